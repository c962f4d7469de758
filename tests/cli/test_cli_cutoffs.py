"""``b2b-sem cutoffs``: from data, from standardized values, from a population; whole files; clear refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs
from b2b_sem.cli.app import run

CFA = "F =~ x1 + x2 + x3\nG =~ x4 + x5 + x6\n"
VALUES = "F =~ .8*a + .5*b + .7*c\nG =~ .6*d + .9*e + .4*f\nF ~~ .3*G\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(6)
    factors = rng.standard_normal((250, 2)) @ np.array([[1, 0.4], [0, 0.9]])
    rows = np.repeat(factors, 3, axis=1) * [0.8, 0.6, 0.7, 0.6, 0.9, 0.5] + 0.6 * rng.standard_normal((250, 6))
    frame = pd.DataFrame(rows, columns=[f"x{k}" for k in range(1, 7)])
    frame.to_csv(tmp_path / "rows.csv", index=False)
    frame.apply(lambda c: np.digitize(c, [-0.7, 0.5])).to_csv(tmp_path / "answers.csv", index=False)
    (tmp_path / "paths.lav").write_text(CFA + "G ~ F\n", encoding="utf-8")
    (tmp_path / "values.lav").write_text(VALUES, encoding="utf-8")
    return tmp_path


def test_files_of_a_run_hold_the_result(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder / "out"
    given = ["cutoffs", str(folder / "values.lav"), "--n", "200", "--replications", "40", "--seed", "3"]
    assert run([*given, "--out", str(out)]) == 0
    expected = bs.fit_cutoffs(VALUES, n=200, replications=40, seed=3)
    written = json.loads((out / "cutoffs.json").read_text(encoding="utf-8"))
    assert {p.name for p in out.iterdir()} == {entry["path"] for entry in written["files"]}
    assert bs.FitCutoffs.from_json(written).to_json() == expected.to_json()
    table = pd.read_csv(out / "cutoffs.csv")
    assert table["cut"].tolist() == pytest.approx(expected.table["cut"].tolist(), nan_ok=True)
    samples = pd.read_csv(out / "samples.csv")
    assert samples["level"].value_counts().to_dict() == {0: 40, 1: 40}
    assert (out / "cutoffs.html").stat().st_size > 100_000
    assert expected.summary() in capsys.readouterr().out


def test_data_are_fitted_and_compared(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["cutoffs", str(folder / "paths.lav"), "--data", str(folder / "rows.csv"), "--replications", "40"]
    assert run(given) == 0
    shown = capsys.readouterr()
    fit = bs.fit(CFA, pd.read_csv(folder / "rows.csv"))
    assert f"SRMR = {fit.measures['srmr']:.3f}".replace("0.", ".") in shown.out
    assert "left out: G ~ F" in shown.err
    assert run([*given[:3], str(folder / "answers.csv"), "--ordered", "--replications", "20"]) == 0
    shown = capsys.readouterr()
    assert "estimator WLSMV" in shown.out
    assert "CFI_scaled" in shown.out


def test_a_population_is_enough(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "part.lav").write_text("PC =~ pc1 + pc2 + pc3 + pc4\nBT =~ bt1 + bt2 + bt3\nBT ~ PC\n", encoding="utf-8")
    given = ["cutoffs", str(folder / "part.lav"), "--population", "lima2026", "--replications", "20"]
    assert run(given) == 0
    shown = capsys.readouterr().out
    assert f"2 factors, n = {bs.load_simulation('lima2026').n}" in shown
    assert "left out: BT ~ PC" in shown


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "Missing argument 'MODEL'"),
        (["{f}/values.lav"], "no number of respondents"),
        (["{f}/paths.lav", "--n", "100"], "has no number"),
        (["{f}/values.lav", "--n", "100", "--estimator", "ML"], "'--estimator' goes with '--data'"),
        (["{f}/values.lav", "--data", "{f}/rows.csv", "--population", "lima2026"], "either '--data' or"),
        (["{f}/paths.lav", "--data", "{f}/rows.csv", "--estimator", "MLR"], "estimator='MLR'"),
        (["{f}/none.lav", "--n", "100"], "none.lav"),
        (["{f}/values.lav", "--n", "100", "--out", "{f}/rows.csv"], "must be a directory"),
    ],
)
def test_wrong_input_is_one_message(
    given: list[str], said: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["cutoffs", *(word.format(f=folder) for word in given)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.splitlines()[-1].startswith(("error:", "  ->"))
    assert "Traceback" not in error
