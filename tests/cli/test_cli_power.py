"""``b2b-sem power``: the table, the files, and messages."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from b2b_sem.cli import app
from b2b_sem.results.power import PowerResult

POPULATION = """F =~ 1*x1 + .8*x2 + .7*x3
Y ~ c(.3, .6)*F
Y ~~ .9*Y
x1 ~~ .5*x1
x2 ~~ .5*x2
x3 ~~ .5*x3
"""


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    (tmp_path / "truth.lav").write_text(POPULATION, encoding="utf-8")
    (tmp_path / "model.lav").write_text("F =~ x1 + x2 + x3\nY ~ c(a, b)*F\n", encoding="utf-8")
    return [str(tmp_path / "truth.lav"), "--model", str(tmp_path / "model.lav"), "--n", "300"]


def test_table_and_files(files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "plan"
    more = ["--restriction", "a == b", "--shares", "2,1", "--curve", "100,300", "--out", str(out)]
    assert app.run(["power", *files, *more]) == 0
    shown = capsys.readouterr()
    assert "Power at 300 rows in 2 groups" in shown.out
    assert "power.csv, curve.csv, power.html, power.json" in shown.err
    table, curve = pd.read_csv(out / "power.csv"), pd.read_csv(out / "curve.csv")
    assert set(curve["nobs"]) == {100, 300}
    data = json.loads((out / "power.json").read_text(encoding="utf-8"))
    again = PowerResult.from_json(data)
    assert again.shares == pytest.approx((2 / 3, 1 / 3))
    assert again.table["power"].tolist() == pytest.approx(table["power"].tolist())
    assert {f["path"] for f in data["files"]} == {p.name for p in out.iterdir()}
    assert "a == b" in set(table["test"])
    assert app.run(["power", *files, *more]) == 0  # the same command may run again


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--curve", "a,b"], "list of positive numbers"),
        (["--curve", "1"], "list of positive numbers"),
        (["--shares", "1,2,3"], "2 groups"),
        (["--alpha", "2"], "alpha=2.0"),
        (["--restriction", "a == c"], "'c' is not a label"),
        (["--steps", "metrc"], "Did you mean 'metric'"),
        (["--missing", "drop"], "missing='drop'"),
        (["--missing-rate", "1.5"], "missing_rate=1.5"),
        (["--rmsea", "0.05"], "pair of numbers"),
        (["--rmsea", "0.05,0.05"], "same RMSEA"),
        (["--hold", "mean"], "hold='mean'"),
        (["--group", "side"], "simulation files"),
        (["--group-equal", "loadngs"], "loadngs"),
        (["--replications", "20", "--rmsea", "0.05,0.08"], "by theory"),
    ],
)
def test_bad_input_is_one_message(
    change: list[str], message: str, files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(["power", *files, *change]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: ")
    assert message in shown


def test_a_population_in_text_needs_a_model(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["power", files[0]]) == 2
    assert "no model to test" in capsys.readouterr().err


def test_an_unknown_file_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["power", "nowhere.lav", "--n", "10"]) == 2
    assert "nowhere.lav" in capsys.readouterr().err


def test_options_of_theory(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    more = ["--group-equal", "loadings", "--group-partial", "F=~x3", "--steps", "metric", "--missing", "fiml"]
    assert app.run(["power", *files, *more, "--missing-rate", "0.1", "--rmsea", "0.03,0.06"]) == 0
    shown = capsys.readouterr().out
    assert "metric, partial" in shown
    assert "scalar" not in shown
    assert shown.count("close fit") == 1
    assert app.run(["power", *files, "--steps", "none"]) == 0
    assert "metric" not in capsys.readouterr().out


def test_power_of_fit_needs_no_population(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "fit"
    assert app.run(["fit-power", "48", "--n", "200", "--out", str(out)]) == 0
    shown = capsys.readouterr()
    assert "not close fit" in shown.out
    assert PowerResult.from_json(json.loads((out / "power.json").read_text(encoding="utf-8"))).table["df"].tolist() == [
        48, 48, 48,
    ]  # fmt: skip
    assert app.run(["fit-power", "22", "--n", "200", "--larger", "20", "--alternative", "0.06,0.04"]) == 0
    assert "df 22 against df 20" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["48"], "--n"),
        (["48", "--n", "200", "--null", "0.05"], "alternative is missing"),
        (["48", "--n", "200", "--null", "x"], "list of positive numbers"),
        (["48", "--n", "200", "--null", "0.05", "--alternative", "0.08,0.1"], "two models"),
        (["48", "--n", "200", "--null", "1,2,3"], "more than two"),
        (["22", "--n", "200", "--larger", "20"], "alternative=None must be two"),
        (["22", "--n", "200", "--larger", "25", "--alternative", "0.06,0.04"], "restricted model first"),
        (["48", "--n", "200", "--power", "0.01"], "power=0.01"),
    ],
)
def test_bad_input_of_fit_power(change: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["fit-power", *change]) == 2
    assert message in capsys.readouterr().err
