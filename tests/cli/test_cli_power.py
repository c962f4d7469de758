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
