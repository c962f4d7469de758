"""run: a study of one's own, on a file, from the command to the folder of results."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from b2b_sem.cli.app import run
from b2b_sem.results.provenance import sha256
from b2b_sem.results.study import read_study_result

SURVEY = """kind: survey
schema_version: 1
id: s
title: Small survey
format: {high: 7, missing: {9: no answer}}
scales:
  AA: {name: first, items: {a1: One, a2: Two, a3: {text: Three, reverse: true}}}
  BB: {name: second, items: {b1: One, b2: Two, b3: Three}}
"""
MODEL = """kind: model
schema_version: 1
id: m
title: Small model
survey: s.yaml
measurement: {AA: {scale: AA}, BB: {scale: BB}}
structural: BB ~ AA
options: {engine: native}
propositions:
  - {id: H1, statement: More of the first brings more of the second., path: AA -> BB, sign: "+"}
  - {id: H2, statement: More of the first brings less of the second., path: AA -> BB, sign: "-"}
"""
STUDY = """kind: study
schema_version: 1
id: small
title: Small study
model: m.yaml
data: {file: d.csv}
"""


def answers(n: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(11)
    f = rng.normal(size=n)
    g = 0.6 * f + 0.8 * rng.normal(size=n)
    columns = {
        name: factor + 0.7 * rng.normal(size=n) for name, factor in zip("abcdef", [f] * 3 + [g] * 3, strict=True)
    }
    data = pd.DataFrame(columns).set_axis(["a1", "a2", "a3", "b1", "b2", "b3"], axis=1)
    data["a3"] = -data["a3"]
    data = (4 + 1.2 * data).round().clip(1, 7).astype(int)
    data.loc[0, "b1"] = 9
    return data


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    answers().to_csv("d.csv", index=False)
    for name, text in (("s", SURVEY), ("m", MODEL), ("small", STUDY)):
        Path(f"{name}.yaml").write_text(text, encoding="utf-8")
    return tmp_path


def test_run_prints_verdicts_and_writes_a_complete_folder(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["run", "small.yaml"]) == 0
    shown = capsys.readouterr()
    out = Path("results/small")
    assert "H1" in shown.out
    assert "supported" in shown.out
    assert f"report: {out / 'report.html'}" in shown.out
    assert "fitting the model" in shown.err
    assert "fitting the model" not in shown.out

    result = read_study_result(out / "results.json")
    assert {v.id: v.verdict for v in result.verdicts} == {"H1": "supported", "H2": "contradicted"}
    assert (result.sample.n_read, result.sample.n_used, result.sample.n_dropped) == (300, 299, 1)
    assert result.fit.engine == "native"
    assert "NaN" not in (out / "results.json").read_text(encoding="utf-8")

    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    written = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()} - {"manifest.json"}
    assert {entry["path"]: entry["sha256"] for entry in manifest["files"]} == {n: sha256(out / n) for n in written}
    assert manifest["inputs"] == [{"path": "d.csv", "sha256": sha256("d.csv"), "bytes": Path("d.csv").stat().st_size}]
    assert manifest["digests"]["study"] == sha256("small.yaml")
    assert manifest["seed"] is None
    assert [p.name for p in Path("results").iterdir()] == ["small"]


def test_run_on_other_data_in_another_folder(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answers().head(150).to_csv("other.csv", index=False)
    Path("d.csv").unlink()
    assert run(["run", "small.yaml", "--data", "other.csv", "--out", "deep/er"]) == 0
    assert read_study_result("deep/er/results.json").sample.n_read == 150
    manifest = json.loads(Path("deep/er/manifest.json").read_text(encoding="utf-8"))
    assert manifest["inputs"][0]["path"] == "other.csv"


def test_a_failed_fit_is_exit_code_1_and_carries_no_verdict(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cor = np.full((6, 6), 0.2)
    # one factor behind these three needs a loading of sqrt(.8 x .6 / .2) > 1
    cor[:3, :3] = [[1, 0.8, 0.6], [0.8, 1, 0.2], [0.6, 0.2, 1]]
    cor[3:, 3:] = np.where(np.eye(3), 1, 0.6)
    names = ["a1", "a2", "a3", "b1", "b2", "b3"]
    pd.DataFrame(cor, index=names, columns=names).to_csv("c.csv")
    Path("small.yaml").write_text(STUDY.replace("{file: d.csv}", "{covariance: c.csv, n: 400}"), encoding="utf-8")
    assert run(["run", "small.yaml"]) == 1
    shown = capsys.readouterr()
    assert "error: the solution is not admissible (Heywood case): no verdict rests on this fit" in shown.err
    result = read_study_result("results/small/results.json")
    assert not result.ok
    assert {v.verdict for v in result.verdicts} == {"not testable here"}
    assert Path("results/small/report.html").is_file()


@pytest.mark.parametrize(
    ("change", "args", "said"),
    [
        (("d.csv", "a1", "a9"), [], "a1"),
        (("small.yaml", "data:", "dta:"), [], "small.yaml:6:1"),
        (("small.yaml", "d.csv", "e.csv"), [], "Did you mean 'd.csv'?"),
        (("m.yaml", "AA -> BB", "AA -> CC"), [], "m.yaml:10:"),
        (("m.yaml", "BB ~ AA", "BB ~ AA +"), [], "m.yaml:7:"),
        (("s.yaml", "reverse: true", "reverse: yes please"), [], "s.yaml:7:"),
        (("s.yaml", "high: 7", "high: 5"), [], "response format (1 to 5)"),
        (("small.yaml", "title", "title"), ["--seed", "3"], "not simulated"),
    ],
)
def test_a_mistake_in_any_file_is_one_message_and_no_output(
    here: Path,
    capsys: pytest.CaptureFixture[str],
    change: tuple[str, str, str],
    args: list[str],
    said: str,
) -> None:
    name, old, new = change
    text = Path(name).read_text(encoding="utf-8")
    assert old in text
    Path(name).write_text(text.replace(old, new), encoding="utf-8")
    assert run(["run", "small.yaml", *args]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("error: ") == 1
    assert "unexpected" not in shown.err
    assert said in shown.err
    assert not Path("results").exists()


def test_results_do_not_depend_on_the_place_the_time_zone_the_locale_or_the_hash_seed(here: Path) -> None:
    found = []
    for index, surroundings in enumerate(
        (
            {"PYTHONHASHSEED": "0", "TZ": "UTC", "LC_ALL": "C.UTF-8"},
            {"PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo", "LC_ALL": "C", "OMP_NUM_THREADS": "2"},
        )
    ):
        subprocess.run(
            [sys.executable, "-m", "b2b_sem", "run", "small.yaml", "--out", f"out{index}"],
            env={**os.environ, "SOURCE_DATE_EPOCH": "1779000000", **surroundings},
            check=True,
            capture_output=True,
        )
        folder = Path(f"out{index}")
        found.append({p.relative_to(folder).as_posix(): sha256(p) for p in folder.rglob("*") if p.is_file()})
    # the manifest holds the command line, which names the folder
    for files in found:
        del files["manifest.json"]
    assert found[0] == found[1]


def test_the_report_says_how_to_repeat_the_run_without_the_folders_of_the_machine(here: Path) -> None:
    from b2b_sem.spec.loader import load_study
    from b2b_sem.study import run_study

    assert run_study("demo").provenance["command"] == "b2b-sem run demo"
    own = run_study(load_study("small.yaml"), seed=None, engine="native")
    assert own.provenance["command"] == "b2b-sem run small.yaml --engine native"
