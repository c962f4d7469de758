"""verify: yes on an untouched folder wherever it lies; no, with the cause, on a tampered one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from b2b_sem.cli.app import run
from b2b_sem.report.html import write_report
from b2b_sem.results.provenance import seal, sha256
from b2b_sem.results.study import read_study_result

SURVEY = """kind: survey
schema_version: 1
id: s
title: Small survey
format: {high: 7}
scales:
  AA: {name: first, items: {a1: One, a2: Two, a3: {text: Three, reverse: true}}}
  BB: {name: second, items: {b1: One, b2: Two, b3: Three}}
  CC: {name: third, items: {c1: One, c2: Two, c3: Three}}
"""
MODEL = """kind: model
schema_version: 1
id: m
title: Small model
survey: s.yaml
measurement: {AA: {scale: AA}, BB: {scale: BB}, CC: {scale: CC}}
structural: |
  BB ~ AA
  CC ~ BB
options: {engine: native}
propositions:
  - {id: H1, statement: More of the first brings more of the second., path: AA -> BB, sign: "+"}
  - {id: H2, statement: More of the second brings less of the third., path: BB -> CC, sign: "-"}
  - {id: H3, statement: Through the second., test: indirect, path: AA -> BB -> CC, sign: "+"}
rivals:
  direct: {title: Direct, why: It may also work directly., add: [CC ~ AA]}
"""
STUDY = """kind: study
schema_version: 1
id: small
title: Small study
model: parts/m.yaml
data: {file: d.csv}
analyses: [fit, measurement, effects, missingness, propositions, rivals]
alpha: 0.05
"""
POPULATION = """kind: simulation
schema_version: 1
id: p
title: Population
model: parts/m.yaml
values:
  loadings: {default: 0.8}
  paths: {BB ~ AA: 0.5, CC ~ BB: 0.4}
response: {type: ordinal, mean: 4, sd: 1.2}
n: 200
seed: 3
"""


def write_project(folder: Path) -> None:
    """Write a study in two folders with its data, and one on simulated respondents."""
    rng = np.random.default_rng(11)
    a = rng.normal(size=220)
    b = 0.6 * a + 0.8 * rng.normal(size=220)
    c = 0.5 * b + 0.85 * rng.normal(size=220)
    answers = {f"{n}{i}": f + 0.7 * rng.normal(size=220) for n, f in (("a", a), ("b", b), ("c", c)) for i in (1, 2, 3)}
    data = pd.DataFrame(answers)
    data["a3"] = -data["a3"]
    data = (4 + 1.2 * data).round().clip(1, 7).astype(int)
    data["city"] = np.where(np.arange(220) % 3 == 0, "Köln", "Graz")
    (folder / "parts").mkdir(parents=True)
    data.to_csv(folder / "d.csv", index=False)
    texts = {
        "parts/s": SURVEY,
        "parts/m": MODEL,
        "small": STUDY,
        "p": POPULATION,
        "drawn": STUDY.replace("file: d.csv", "simulate: p.yaml").replace("id: small", "id: drawn"),
    }
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs in one project: ``out`` with a copy of the data, ``drawn`` on simulated respondents."""
    folder = tmp_path_factory.mktemp("made")
    write_project(folder)
    before = Path.cwd()
    os.chdir(folder)
    try:
        assert run(["run", "small.yaml", "--out", "out", "--with-data"]) == 0
        assert run(["run", "drawn.yaml", "--out", "drawn"]) == 0
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy of the first run alone, somewhere else."""
    shutil.copytree(made / "out", tmp_path / "out")
    return tmp_path / "out"


def ask(folder: Path, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    code = run(["verify", str(folder), "--json", *more])
    return code, json.loads(capsys.readouterr().out)


def causes(found: dict[str, Any]) -> set[tuple[str, str]]:
    return {(f["kind"], f["where"]) for f in found["findings"] if f["grave"]}


def change_json(path: Path, edit: Callable[[dict[str, Any]], None], sealed: bool = False) -> None:
    held = json.loads(path.read_text(encoding="utf-8"))
    edit(held)
    if sealed:
        held["seal"] = seal(held)
    path.write_text(json.dumps(held, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def renew(folder: Path) -> None:
    """Write the manifest anew for changed files, as somebody would who wants to hide a change."""

    def edit(manifest: dict[str, Any]) -> None:
        for entry in manifest["files"]:
            path = folder / entry["path"]
            entry |= {"sha256": sha256(path), "bytes": path.stat().st_size}

    change_json(folder / "manifest.json", edit, sealed=True)


# ---- yes -----------------------------------------------------------------------------------------------------------


def test_yes_somewhere_else_without_the_project(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = ask(folder, capsys)
    assert (code, found["answer"], found["basis"], found["findings"]) == (0, "equal", "data", [])
    assert found["compared"]["numbers"] > 1500
    assert found["compared"]["exact"] > 1000
    assert found["worst"] is None or found["worst"]["size"] <= 1e-6
    assert run(["verify", str(folder)]) == 0
    assert "small: yes: the results are reproduced" in capsys.readouterr().out


def test_yes_on_simulated_respondents(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(made / "drawn", tmp_path / "elsewhere")
    code, found = ask(tmp_path / "elsewhere", capsys, "--jobs", "2")
    assert (code, found["basis"]) == (0, "simulation")
    paths = {c["path"]: c["role"] for c in json.loads((made / "drawn/manifest.json").read_text("utf-8"))["configs"]}
    assert paths == {
        "inputs/own/drawn.yaml": "study",
        "inputs/own2/m.yaml": "model",
        "inputs/own2/s.yaml": "survey",
        "inputs/own/p.yaml": "simulation",
    }


def test_the_copies_can_be_run_themselves(folder: Path, tmp_path: Path) -> None:
    assert run(["run", str(folder / "inputs/own/small.yaml"), "--data", str(folder / "inputs/data/d.csv"),
                "--out", str(tmp_path / "again")]) == 0  # fmt: skip
    assert (tmp_path / "again/tables/parameters.csv").read_bytes() == (folder / "tables/parameters.csv").read_bytes()


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path) -> None:
    """In another folder, with another hash seed, locale, time zone and number of jobs."""
    outs = []
    for name, settings, jobs in (
        ("one", {"PYTHONHASHSEED": "1", "TZ": "UTC", "LC_ALL": "C.UTF-8"}, "1"),
        ("two/deeper", {"PYTHONHASHSEED": "77", "TZ": "Asia/Kolkata", "LC_ALL": "C"}, "2"),
    ):
        here = tmp_path / name
        write_project(here)
        done = subprocess.run(
            [sys.executable, "-m", "b2b_sem", "run", "small.yaml", "--out", "out", "--jobs", jobs, "--ro-crate"],
            cwd=here,
            env={**os.environ, **settings, "SOURCE_DATE_EPOCH": "1779000000", "PYTHONPATH": os.getcwd()},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        outs.append({p.relative_to(here).as_posix(): p.read_bytes() for p in (here / "out").rglob("*") if p.is_file()})
    assert len(outs[0]) > 20
    manifests = [json.loads(out.pop("out/manifest.json")) for out in outs]
    assert outs[0] == outs[1]
    for manifest in manifests:  # the one thing that says how it was called
        assert manifest.pop("seal")
        manifest["command"].remove("1" if "1" in manifest["command"] else "2")
        manifest["command"] = [word for word in manifest["command"] if not word.endswith("__main__.py")]
    assert manifests[0] == manifests[1]
    assert manifests[0]["seconds"] is None


def test_data_at_the_old_place_or_named(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_project(tmp_path / "x")
    before = Path.cwd()
    os.chdir(tmp_path / "x")
    try:
        assert run(["run", "small.yaml", "--out", "results/out"]) == 0
    finally:
        os.chdir(before)
    (tmp_path / "x").rename(tmp_path / "clone")
    out = tmp_path / "clone/results/out"
    assert json.loads((out / "manifest.json").read_text("utf-8"))["data"]["path"] == "../../d.csv"
    assert ask(out, capsys)[1]["basis"] == "data"
    shutil.move(tmp_path / "clone/d.csv", tmp_path / "d.csv")
    code, found = ask(out, capsys, "--data", str(tmp_path / "d.csv"))
    assert (code, found["basis"]) == (0, "data")


def test_data_written_in_another_way_are_the_same_data(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = folder.parent / "again.csv"
    data = pd.read_csv(folder / "inputs/data/d.csv")
    data.to_csv(copy, index=False, sep=";", lineterminator="\r\n")
    code, found = ask(folder, capsys, "--data", str(copy))
    assert code == 0
    assert [f["message"] for f in found["findings"]] == [
        "written in another way, with the same values in the same order"
    ]
    assert found["differences"] == []


# ---- without the data ----------------------------------------------------------------------------------------------


def test_without_the_data_moments_are_enough(made: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(folder / "inputs/data")

    def drop(manifest: dict[str, Any]) -> None:
        manifest["data"]["copy"] = None
        manifest["files"] = [e for e in manifest["files"] if not e["path"].startswith("inputs/data")]

    change_json(folder / "manifest.json", drop, sealed=True)
    code, found = ask(folder, capsys)
    assert (code, found["basis"], found["answer"]) == (0, "moments", "equal")
    assert "d.csv is not here" in found["unchecked"][0]
    assert "whether the covariance matrix comes from the answers" in found["unchecked"][0]

    def lie(results: dict[str, Any]) -> None:
        results["verdicts"][1]["verdict"] = "supported"
        results["effects"]["effects"][0]["se"] *= 1.00001

    change_json(folder / "results.json", lie)
    renew(folder)
    code, found = ask(folder, capsys)
    assert code == 1
    assert {(d["table"], d["row"], d["column"]) for d in found["differences"]} >= {
        ("verdicts", "H2 BB -> CC", "verdict")
    }
    assert any(d["table"] == "effects.effects" and d["column"] == "se" for d in found["differences"])


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ("{estimator: MLR}", 0, "standard errors, scaled tests"),
        ("{estimator: GLS}", 0, "whether the covariance matrix"),
        ("{estimator: ML, likelihood: wishart, meanstructure: true}", 0, "whether the covariance matrix"),
        ("{estimator: ULS}", 0, ""),
        ("{estimator: ML, missing: fiml}", 2, "missing answers treated by 'fiml' need the answers"),
        ("{ordered: true, missing: pairwise}", 2, "ordinal items need the answers"),
    ],
)
def test_what_moments_can_show(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: str,
    code: int,
    said: str,
) -> None:
    write_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    text = STUDY.replace("missingness, propositions, rivals", "propositions")
    Path("small.yaml").write_text(f"{text}options: {options}\n", encoding="utf-8")
    assert run(["run", "small.yaml", "--out", "out"]) == 0
    Path("d.csv").unlink()
    got, found = ask(Path("out"), capsys)
    assert (got, found["differences"]) == (code, [])
    assert said in " ".join(found["unchecked"])
    if code == 0:

        def lie(results: dict[str, Any]) -> None:
            row = next(r for r in results["fit"]["parameters"] if r["op"] == "~")
            row["est"] += 1e-4

        change_json(Path("out/results.json"), lie)
        renew(Path("out"))
        assert ask(Path("out"), capsys)[0] == 1


# ---- no ------------------------------------------------------------------------------------------------------------


def change_cell(folder: Path) -> None:
    path = folder / "inputs/data/d.csv"
    data = pd.read_csv(path)
    data.loc[5, "b2"] = 7 if data.loc[5, "b2"] != 7 else 1
    data.to_csv(path, index=False)


def change_order(folder: Path) -> None:
    path = folder / "inputs/data/d.csv"
    pd.read_csv(path).iloc[::-1].to_csv(path, index=False)


def replace_in(name: str, old: str, new: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        text = (folder / name).read_text(encoding="utf-8")
        assert old in text
        (folder / name).write_text(text.replace(old, new, 1), encoding="utf-8")

    return edit


def in_json(name: str, edit: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    return lambda folder: change_json(folder / name, edit)


def edit_table(folder: Path) -> None:
    path = folder / "tables/parameters.csv"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    number = next(i for i, line in enumerate(lines) if line.startswith("BB,~,AA"))
    cells = lines[number].split(",")
    position = lines[0].split(",").index("est")
    cells[position] = str(float(cells[position]) + 0.01)
    lines[number] = ",".join(cells)
    path.write_text("".join(lines), encoding="utf-8")


TAMPERED: dict[str, tuple[Callable[[Path], None], tuple[str, str], str]] = {
    "a cell of the data": (change_cell, ("data", "d.csv"), "column b2 holds other values"),
    "the order of the rows": (change_order, ("data", "d.csv"), "the rows stand in another order"),
    "a value of the study": (
        replace_in("inputs/own/small.yaml", "alpha: 0.05", "alpha: 0.01"),
        ("config", "inputs/own/small.yaml"),
        "changed after the run",
    ),
    "a value of the model": (
        replace_in("inputs/own2/m.yaml", "  CC ~ BB", "  CC ~ BB + AA"),
        ("config", "inputs/own2/m.yaml"),
        "changed after the run",
    ),
    "the seed in the manifest": (
        in_json("manifest.json", lambda m: m.update(seed=5)),
        ("seed", "seed"),
        "manifest.json says 5",
    ),
    "an estimate": (
        in_json("results.json", lambda r: r["fit"]["parameters"][1].update(est=0.5)),
        ("file", "results.json"),
        "changed after the run",
    ),
    "a verdict": (
        in_json("results.json", lambda r: r["verdicts"][1].update(verdict="supported")),
        ("file", "results.json"),
        "changed after the run",
    ),
    "a cell of a table": (edit_table, ("file", "tables/parameters.csv"), "column est"),
    "a missing file": (lambda f: (f / "tables/r2.csv").unlink(), ("file", "tables/r2.csv"), "missing"),
    "an added file": (lambda f: (f / "tables/more.csv").write_text("a\n"), ("file", "tables/more.csv"), "not from"),
    "a version in the manifest": (
        in_json("manifest.json", lambda m: m["versions"].update(scipy="1.2.3")),
        ("version", "scipy"),
        "manifest.json says version 1.2.3",
    ),
    "the report": (
        replace_in("report.html", "supported", "confirmed"),
        ("file", "report.html"),
        "changed after the run",
    ),
    "missing results": (lambda f: (f / "results.json").unlink(), ("file", "results.json"), "missing"),
    "a missing model": (lambda f: (f / "inputs/own2/m.yaml").unlink(), ("config", "inputs/own2/m.yaml"), "missing"),
    "the command in the manifest": (
        in_json("manifest.json", lambda m: m["command"].append("--seed")),
        ("manifest", "manifest.json"),
        "its seal is broken",
    ),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_no_with_the_cause(folder: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    tamper, cause, said = TAMPERED[name]
    tamper(folder)
    code, found = ask(folder, capsys)
    assert (code, found["answer"]) == (1, "differs")
    assert cause in causes(found)
    messages = [f["message"] for f in found["findings"] if (f["kind"], f["where"]) == cause]
    assert any(said in message for message in messages), messages
    # nothing else is accused: one change, one file (the seal goes with every change of the manifest)
    assert {where for _, where in causes(found)} - {cause[1], "manifest.json", "inputs/data/d.csv"} == set()
    assert run(["verify", str(folder)]) == 1
    assert capsys.readouterr().out.startswith("small: no: the folder does not hold what its inputs give\n  - ")


def test_values_show_where(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    TAMPERED["a value of the study"][0](folder)
    found = ask(folder, capsys)[1]
    places = {(d["table"], d["column"], d["saved"], d["found"]) for d in found["differences"]}
    assert ("study", "alpha", 0.05, 0.01) in places
    assert "fit.parameters" not in {d["table"] for d in found["differences"]}


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("a cell of the data", ("fit.sample_cov", "b2")),
        ("a value of the model", ("fit.parameters", "CC ~ AA")),
        ("an estimate", ("fit.parameters", "AA =~ a2")),
        ("a verdict", ("verdicts", "H2")),
    ],
)
def test_a_hidden_change_is_found_by_repeating(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, where: tuple[str, str]
) -> None:
    """Digests and seal are made anew, so that only the numbers can tell."""
    TAMPERED[name][0](folder)
    renew(folder)
    code, found = ask(folder, capsys)
    assert code == 1
    assert any(d["table"] == where[0] and where[1] in d["row"] for d in found["differences"])
    assert found["worst"]["size"] is None or found["worst"]["size"] > 1e-6


def test_a_hidden_change_of_a_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit_table(folder)
    renew(folder)
    code, found = ask(folder, capsys)
    assert (code, causes(found)) == (1, {("file", "tables/parameters.csv")})
    message = found["findings"][0]["message"]
    assert "BB ~ AA" in message
    assert "column est" in message


def test_a_hidden_change_of_the_report(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    TAMPERED["the report"][0](folder)
    renew(folder)
    code, found = ask(folder, capsys)
    assert (code, causes(found)) == (1, {("file", "report.html")})
    assert found["findings"][0]["message"] == "the file does not show these results"


def test_a_changed_bundled_file_names_the_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from b2b_sem.resources import resolve
    from b2b_sem.results.verification import Finding
    from b2b_sem.verify import _explain_configs

    original = resolve("models", "lima2026")
    name = "inputs/models/lima2026.yaml"
    (tmp_path / name).parent.mkdir(parents=True)
    text = original.read_text(encoding="utf-8")
    (tmp_path / name).write_text(text.replace("BT ~ RR + PC", "BT ~ RR", 1), encoding="utf-8")
    entry = {"path": name, "role": "model", "sha256": sha256(original), "bundled": True}
    findings = [Finding("config", name, "the file was changed after the run")]
    (more,) = _explain_configs(tmp_path, {"configs": [entry]}, findings)
    assert "BT ~ RR + PC" in more.message
    assert more.message.startswith("line ")


# ---- cannot --------------------------------------------------------------------------------------------------------


def test_cannot(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for args, said in (
        (["verify", str(tmp_path / "nowhere")], "there is no such folder"),
        (["verify", str(tmp_path)], "there is no manifest in this folder"),
        (["verify", str(folder), "--data", str(tmp_path / "gone.csv")], "there is no such data file"),
    ):
        capsys.readouterr()
        assert run(args) == 2
        assert said in capsys.readouterr().err
    change_json(folder / "manifest.json", lambda m: m.update(manifest_version=1))
    assert run(["verify", str(folder)]) == 2
    assert "manifests of version 2" in capsys.readouterr().err


def test_with_data_needs_data(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["run", str(made / "drawn.yaml"), "--out", str(tmp_path / "o"), "--with-data"]) == 2
    assert "there is no data file to copy" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_another_version_here_is_named_and_no_reason_by_itself(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("manifest.json", "results.json"):

        def edit(held: dict[str, Any]) -> None:
            (held if "versions" in held else held["provenance"])["versions"]["scipy"] = "1.2.3"

        change_json(folder / name, edit)
    write_report(read_study_result(folder / "results.json"), folder / "report.html")
    renew(folder)
    code, found = ask(folder, capsys)
    assert code == 0
    assert [(f["where"], f["grave"]) for f in found["findings"]] == [("scipy", False)]
    assert "1.2.3 in the run" in found["findings"][0]["message"]


# ---- Monte Carlo studies -------------------------------------------------------------------------------------------

SAMPLES = """kind: montecarlo
schema_version: 1
id: mc
title: Samples
population: p.yaml
conditions: {n: [150]}
replications: 20
seed: 5
"""


def test_a_monte_carlo_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    Path("mc.yaml").write_text(SAMPLES, encoding="utf-8")
    assert run(["montecarlo", "mc.yaml", "--out", "out", "--seed", "9"]) == 0
    shutil.move("out", "moved")
    for name in ("p.yaml", "mc.yaml"):
        Path(name).unlink()
    shutil.rmtree("parts")
    out = Path("moved")
    code, found = ask(out, capsys)
    assert (code, found["basis"], found["findings"], found["differences"]) == (0, "simulation", [], [])
    assert found["compared"]["numbers"] > 300

    change_json(out / "results.json", lambda r: r["tables"]["parameters"][0].update(true=0.123))
    renew(out)
    code, found = ask(out, capsys)
    assert code == 1
    assert [d["table"] for d in found["differences"]] == ["tables.parameters"]
    capsys.readouterr()
    assert run(["verify", str(out), "--data", "d.csv"]) == 2
    assert "a Monte Carlo study has no data file" in capsys.readouterr().err


# ---- RO-Crate ------------------------------------------------------------------------------------------------------


def test_the_crate_describes_every_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    authors = "authors: [{name: Ann <b>, affiliation: A 'University', orcid: 0000-0002-1825-0097}, {name: Bo}]"
    Path("small.yaml").write_text(STUDY + authors, encoding="utf-8")
    assert run(["run", "small.yaml", "--out", "out", "--with-data", "--ro-crate"]) == 0
    crate = json.loads(Path("out/ro-crate-metadata.json").read_text(encoding="utf-8"))
    assert crate["@context"][0] == "https://w3id.org/ro/crate/1.1/context"
    graph = {entity["@id"]: entity for entity in crate["@graph"]}
    assert len(graph) == len(crate["@graph"])
    assert all("@type" in entity for entity in graph.values())
    descriptor = graph["ro-crate-metadata.json"]
    assert descriptor["@type"] == "CreativeWork"
    assert (descriptor["about"], descriptor["conformsTo"]) == ({"@id": "./"}, {"@id": "https://w3id.org/ro/crate/1.1"})
    root = graph["./"]
    assert root["@type"] == "Dataset"
    assert {"name", "description", "datePublished", "license"} <= set(root)
    files = {p.relative_to("out").as_posix() for p in Path("out").rglob("*") if p.is_file()}
    listed = {part["@id"] for part in root["hasPart"]}
    assert listed == files - {"ro-crate-metadata.json"}
    for name in listed - {"manifest.json"}:
        assert graph[name]["sha256"] == sha256(Path("out") / name)
        assert graph[name]["contentSize"] == str((Path("out") / name).stat().st_size)
    people = [graph[person["@id"]] for person in root["author"]]
    assert [p["name"] for p in people] == ["Ann <b>", "Bo"]
    assert people[0]["@id"] == "https://orcid.org/0000-0002-1825-0097"
    assert {"@id": "inputs/data/d.csv"} in graph["#run"]["object"]
    assert {"@id": "report.html"} in graph["#run"]["result"]

    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            found = [value["@id"]] if set(value) == {"@id"} else []
            return found + [r for inner in value.values() for r in references(inner)]
        return [r for inner in value for r in references(inner)] if isinstance(value, list) else []

    assert set(references(crate["@graph"])) - {"https://w3id.org/ro/crate/1.1"} <= set(graph)
    assert ask(Path("out"), capsys)[0] == 0
