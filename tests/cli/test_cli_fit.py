"""fit and simulate: what a user gives, and what comes back."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs
from b2b_sem.cli.app import run
from b2b_sem.results.columns import PARAMETER_COLUMNS

MODEL = "F =~ x1 + x2 + x3\nG =~ y1 + y2 + y3\nG ~ b*F\ntwice := 2*b\n"
NAMES = ["x1", "x2", "x3", "y1", "y2", "y3"]


def answers(n: int = 200, seed: int = 5) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    f = rng.normal(size=n)
    g = 0.5 * f + rng.normal(size=n)
    columns = [0.8 * f, 0.7 * f, 0.9 * f, 0.8 * g, 0.6 * g, 0.7 * g]
    return pd.DataFrame({name: c + rng.normal(scale=0.6, size=n) for name, c in zip(NAMES, columns, strict=True)})


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    answers().to_csv("d.csv", index=False)
    Path("m.lav").write_text(MODEL, encoding="utf-8")
    return tmp_path


def failed(args: list[str], capsys: pytest.CaptureFixture[str], code: int = 2) -> str:
    capsys.readouterr()
    assert run(args) == code
    shown = capsys.readouterr()
    assert shown.err.count("error: ") == 1
    assert "Traceback" not in shown.err
    assert "unexpected" not in shown.err
    return shown.err


# ---- fit -----------------------------------------------------------------------------------------------------------


def test_fit_prints_the_result_and_keeps_notes_off_stdout(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["fit", "m.lav", "--data", "d.csv", "--engine", "native"]) == 0
    shown = capsys.readouterr()
    expected = bs.fit(MODEL, answers(), engine="native")
    assert f"{expected.measures['chisq']:.3f}" in shown.out
    assert "native" in shown.out
    assert "200 rows, 6 columns" in shown.err
    assert "200 rows, 6 columns" not in shown.out


def test_fit_writes_json_with_the_promised_keys(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["fit", "m.lav", "--data", "d.csv", "--engine", "native", "--json", "new/o.json"]) == 0
    text = Path("new/o.json").read_text(encoding="utf-8")
    assert "NaN" not in text
    found = json.loads(text)
    promised = {"converged", "estimator", "engine", "nobs", "measures", "parameters", "standardized", "r2", "warnings"}
    assert promised <= set(found)
    assert all(tuple(row) == PARAMETER_COLUMNS for row in found["parameters"])
    expected = bs.fit(MODEL, answers(), engine="native")
    assert [row["est"] for row in found["parameters"]] == pytest.approx(list(expected.parameters["est"]), rel=1e-9)
    assert found["measures"]["cfi"] == pytest.approx(expected.measures["cfi"], rel=1e-9)
    marker = next(row for row in found["parameters"] if row["rhs"] == "x1" and row["op"] == "=~")
    assert marker["z"] is None
    assert [p.name for p in Path("new").iterdir()] == ["o.json"]


def test_fit_json_to_stdout_is_json_and_nothing_else(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["fit", "m.lav", "--data", "d.csv", "--engine", "native", "--json", "-"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["nobs"] == 200
    assert found["engine"] == "native"


def test_fit_options_reach_the_fit(here: Path) -> None:
    flags = ["--std-lv", "--meanstructure", "--likelihood", "wishart"]
    assert run(["fit", "m.lav", "--data", "d.csv", "--engine", "native", *flags, "--json", "o.json"]) == 0
    options = json.loads(Path("o.json").read_text(encoding="utf-8"))["model"]["options"]
    assert (options["std_lv"], options["meanstructure"], options["likelihood"]) == (True, True, "wishart")


def test_fit_from_a_covariance_matrix_is_the_same_fit(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answers().cov().to_csv("c.csv")
    base = ["fit", "m.lav", "--engine", "native", "--json", "-"]
    assert run([*base, "--sample-cov", "c.csv", "--nobs", "200"]) == 0
    from_matrix = json.loads(capsys.readouterr().out)
    assert run([*base, "--data", "d.csv"]) == 0
    from_rows = json.loads(capsys.readouterr().out)
    assert from_matrix["measures"]["chisq"] == pytest.approx(from_rows["measures"]["chisq"], rel=1e-8)
    assert from_matrix["nobs"] == 200


def test_fit_reads_a_text_file_and_a_missing_code(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = answers()
    data.loc[3, "x2"] = -99
    data.to_csv("m99.csv", index=False)
    Path("m.txt").write_text(MODEL, encoding="utf-8")
    assert run(["fit", "m.txt", "--data", "m99.csv", "--engine", "native", "--missing-code", "-99", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["nobs"] == 199


def test_fit_scores_by_the_survey_of_the_model_unless_told_not_to(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("nr.yaml").write_text(
        "kind: model\nschema_version: 1\nid: nr\ntitle: One scale\nsurvey: lima2026\n"
        "measurement:\n  NR: {scale: NR}\noptions: {std_lv: true, engine: native}\n",
        encoding="utf-8",
    )
    assert run(["simulate", "lima2026", "--n", "300", "--seed", "4", "--out", "a.csv"]) == 0
    capsys.readouterr()
    loadings = {}
    for flag in ("--score", "--no-score"):
        assert run(["fit", "nr.yaml", "--data", "a.csv", flag, "--json", "-"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["model"]["options"]["std_lv"] is True
        assert found["engine"] == "native"
        loadings[flag] = {row["rhs"]: row["est"] for row in found["parameters"] if row["op"] == "=~"}
    assert loadings["--score"]["nr4"] * loadings["--score"]["nr1"] > 0
    assert loadings["--no-score"]["nr4"] * loadings["--no-score"]["nr1"] < 0


def test_a_command_line_option_wins_over_the_model_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("f.yaml").write_text(
        "kind: model\nschema_version: 1\nid: f\ntitle: F\ntext: F =~ x1 + x2 + x3 + y1\n"
        "options: {std_lv: true, engine: native}\n",
        encoding="utf-8",
    )
    assert run(["fit", "f.yaml", "--data", "d.csv", "--no-std-lv", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["model"]["options"]["std_lv"] is False


def test_a_heywood_case_is_exit_code_1_and_still_written(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # one factor asks for r23 = .64 if x1 is to have no residual; .3 is far below: the residual variance is negative
    cor = pd.DataFrame(
        [[1, 0.8, 0.8], [0.8, 1, 0.3], [0.8, 0.3, 1]], index=["x1", "x2", "x3"], columns=["x1", "x2", "x3"]
    )
    cor.to_csv("c.csv")
    Path("h.lav").write_text("F =~ x1 + x2 + x3", encoding="utf-8")
    args = ["fit", "h.lav", "--sample-cov", "c.csv", "--nobs", "500", "--engine", "native", "--json", "o.json"]
    message = failed(args, capsys, code=1)
    assert "Heywood" in message
    assert "must not be interpreted" in message
    assert json.loads(Path("o.json").read_text(encoding="utf-8"))["admissible"] is False


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["fit", "m.lav"], "Missing option '--data'"),
        (["fit", "m.lav", "--data", "d.csv", "--sample-cov", "c.csv"], "exclude each other"),
        (["fit", "m.lav", "--sample-cov", "c.csv"], "needs '--nobs'"),
        (["fit", "m.lav", "--data", "d.csv", "--nobs", "10"], "'--nobs' goes with '--sample-cov' only"),
        (["fit", "m.lav", "--sample-cov", "c.csv", "--nobs", "9", "--sheet", "A"], "'--sheet' goes with '--data' only"),
        (["fit", "m.lav", "--data", "none.csv"], "none.csv"),
        (["fit", "m.lav", "--data", "."], "this is a folder, not a file"),
        (["fit", "none.lav", "--data", "d.csv"], "there is no such file"),
        (["fit", "lima2025", "--data", "d.csv"], "Did you mean 'lima2026'?"),
        (["fit", "m", "--data", "d.csv"], "Your own file is named by its path: ./m.lav"),
        (["fit", "lima2026", "--data", "d.csv"], "columns not found"),
        (
            ["fit", "m.lav", "--data", "d.csv", "--group", "x1"],
            "'x1' tells groups apart and is a variable of the model",
        ),
        (["fit", "m.lav", "--data", "d.csv", "--group", "none"], "there is no column 'none'"),
        (["fit", "m.lav", "--data", "d.csv", "--group-equal", "loadings"], "group_equal"),
        (["fit", "m.lav", "--data", "d.csv", "--ordered", "x1,x9"], "the ordinal variable 'x9' is not"),
        (["fit", "m.lav", "--data", "d.csv", "--ordered", "x1", "--estimator", "MLR"], "for ordinal items"),
        (["fit", "m.lav", "--data", "d.csv", "--estimator", "MLX"], "estimator='MLX' is not available"),
        (["fit", "m.lav", "--data", "d.csv", "--missing", "fimll"], "missing='fimll' is not available"),
        (["fit", "m.lav", "--data", "d.csv", "--json", "."], "must be a file, but this is a directory"),
        (["fit", "m.lav", "--data", "d.csv", "--json", "d.csv/o.json"], "is not a directory"),
        (["simulate", "lima2026", "--n", "5", "--seed", "1", "--out", "x.sav"], "only CSV can be written"),
        (["simulate", "demo", "--n", "5", "--seed", "1", "--out", "x.csv"], "this is a study file"),
        (["simulate", "lima2026", "--n", "5", "--seed", "1", "--out", "x.csv", "--truth", "x.csv"], "the same file"),
        (["run", "lima2026"], "this is a simulation file"),
        (["run", "demo", "--out", "d.csv"], "must be a directory, but this is a file"),
        (["run", "demo", "--data", "none.csv", "--out", "o"], "none.csv"),
    ],
)
def test_wrong_use_is_one_message(here: Path, capsys: pytest.CaptureFixture[str], args: list[str], said: str) -> None:
    before = sorted(p.name for p in here.rglob("*"))
    assert said in failed(args, capsys)
    assert sorted(p.name for p in here.rglob("*")) == before


BAD_MODELS = {
    "unknown column": ("F =~ x1 + x2 + x33", "m2.lav:1:16: 'x33' is neither"),
    "unfinished sum": ("F =~ x1 + x2 +\n", "m2.lav:1:"),
    "no operator": ("x1 + x2", "m2.lav:1:1: 'x1 + x2' has no operator"),
    "single equals": ("F =~ x1 + x2 + x3\na = b", "m2.lav:2:3: '=' is not an operator"),
    "label unknown": ("F =~ x1 + x2 + x3\nd := bb*2", "m2.lav:2:6: "),
    "empty": ("# nothing here\n", "the model is empty"),
    "latent named like a column": ("x1 =~ x2 + x3 + y1", "has the name of a column"),
    "too many parameters": ("F =~ x1 + x2\n", "not identified"),
    "product of three": ("F =~ x1 + x2 + x3\ny1 ~ F:x1:x2", "m2.lav:2:6: the product 'F:x1:x2' cannot stand here"),
}


@pytest.mark.parametrize("name", BAD_MODELS)
def test_bad_models_name_file_line_and_column(here: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    text, said = BAD_MODELS[name]
    Path("m2.lav").write_text(text, encoding="utf-8")
    assert said in failed(["fit", "m2.lav", "--data", "d.csv"], capsys)


def change(name: str, value: object, row: int = 4) -> pd.DataFrame:
    data = answers().astype(object)
    data.loc[row, name] = value
    return data


BAD_DATA = {
    "text in a number column": (lambda: change("x2", "often"), "row 6"),
    "infinite": (lambda: change("x2", math.inf), "x2"),
    "constant": (lambda: answers().assign(x2=3), "x2"),
    "copy": (lambda: answers().assign(x2=lambda d: d["x1"]), "x1"),
    "collinear": (lambda: answers().assign(x3=lambda d: d["x1"] + d["x2"]), "x3"),
    "all missing": (lambda: answers().assign(x2=None), "x2"),
    "fewer rows than variables": (lambda: answers().head(5), "6 variables"),
    "no rows": (lambda: answers().head(0), "d2.csv"),
}


@pytest.mark.parametrize("name", BAD_DATA)
def test_bad_data_are_named(here: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    make, said = BAD_DATA[name]
    make().to_csv("d2.csv", index=False)
    assert said in failed(["fit", "m.lav", "--data", "d2.csv"], capsys)


def test_bytes_that_are_no_table_are_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("d2.csv").write_bytes(bytes(range(256)) * 20)
    assert "d2.csv" in failed(["fit", "m.lav", "--data", "d2.csv"], capsys)
    Path("d3.csv").write_bytes(b"")
    assert "d3.csv" in failed(["fit", "m.lav", "--data", "d3.csv"], capsys)


# ---- simulate ------------------------------------------------------------------------------------------------------


def test_simulate_writes_the_same_file_for_the_same_seed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, seed in (("a.csv", "7"), ("b.csv", "7"), ("c.csv", "8")):
        assert run(["simulate", "lima2026", "--n", "50", "--seed", seed, "--out", name]) == 0
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "50 simulated respondents" in shown.err
    assert Path("a.csv").read_bytes() == Path("b.csv").read_bytes()
    assert Path("a.csv").read_bytes() != Path("c.csv").read_bytes()
    expected = bs.simulate("lima2026", n=50, seed=7).frame
    pd.testing.assert_frame_equal(pd.read_csv("a.csv"), expected, check_dtype=False)


def test_simulate_writes_the_population_values(here: Path) -> None:
    assert run(["simulate", "lima2026", "--n", "5", "--seed", "1", "--out", "a.csv", "--truth", "t.csv"]) == 0
    truth = pd.read_csv("t.csv")
    row = truth[(truth["lhs"] == "BT") & (truth["op"] == "~") & (truth["rhs"] == "RR")]
    assert row["value"].item() == pytest.approx(0.35)


def test_modification_indices_are_printed_when_asked(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["fit", "m.lav", "--data", "d.csv", "--engine", "native", "--json", "out.json"]
    assert run(args) == 0
    assert "modification" not in capsys.readouterr().out
    assert "modification_indices" not in json.loads(Path("out.json").read_text(encoding="utf-8"))
    assert run([*args, "--modindices", "3"]) == 0
    out = capsys.readouterr().out
    expected = bs.fit(MODEL, answers(), engine="native").modification_indices(sort=True)
    assert f"Largest modification indices (3 of {len(expected)})" in out
    assert f"{expected['mi'].iloc[2]:.3f}" in out
    written = json.loads(Path("out.json").read_text(encoding="utf-8"))["modification_indices"]
    assert len(written) == len(expected)
    assert written[0]["mi"] == pytest.approx(expected["mi"].iloc[0])
    assert set(written[0]) == set(expected.columns)
    assert run(["fit", "m.lav", "--data", "d.csv", "--modindices"]) == 0
    assert f"(10 of {len(expected)})" in capsys.readouterr().out
