"""Commands on populations that are lavaan text with values."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from b2b_sem.cli.app import run

TEXT = "F =~ 1*x1 + .8*x2 + 1.2*x3\nF ~~ 2*F\ny ~ .6*F\n"
STUDY = """\
kind: montecarlo
schema_version: 1
id: rows
title: Rows
population: {file: rows.lav, kurtosis: 1}
conditions: {n: [100]}
replications: 20
"""
DRAW = ["--n", "50", "--seed", "1", "--out", "a.csv", "--truth", "t.csv", "--codebook", "c.csv"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.lav").write_text(TEXT, encoding="utf-8")
    (tmp_path / "rows.yaml").write_text(STUDY, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("population", ["./rows.lav", "rows.yaml"])
def test_rows_truth_and_codebook(population: str) -> None:
    assert run(["simulate", population, *DRAW]) == 0
    assert list(pd.read_csv("a.csv")) == ["id", "x1", "x2", "x3", "y"]
    truth = pd.read_csv("t.csv").set_index(["lhs", "op", "rhs"])
    assert truth.loc[("y", "~", "F"), "raw"] == 0.6
    assert truth.loc[("y", "~", "F"), "value"] == pytest.approx(0.6 * (2 / 1.72) ** 0.5)
    assert pd.read_csv("c.csv")["column"].tolist() == ["id", "x1", "x2", "x3", "y"]


def test_a_study_and_its_page(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["montecarlo", "rows.yaml", "--out", "out"]) == 0
    assert "report:" in capsys.readouterr().out
    results = json.loads((here / "out" / "results.json").read_text(encoding="utf-8"))
    assert results["provenance"]["solution"] == "raw"
    table = pd.read_csv(next((here / "out" / "tables").glob("*parameters*.csv")))
    row = table[(table["lhs"] == "y") & (table["op"] == "~")].iloc[0]
    assert row["true"] == 0.6
    assert np.isfinite(row["coverage"])
    assert "raw solution" in (here / "out" / "report.html").read_text(encoding="utf-8")


def test_wrong_text_names_line_and_column(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "rows.lav").write_text(TEXT + "z ~ F\n", encoding="utf-8")
    assert run(["simulate", "./rows.lav", *DRAW]) == 2
    assert "rows.lav:4:5: no value for 'z ~ F'" in capsys.readouterr().err
    assert not (here / "a.csv").exists()
    assert run(["simulate", "./absent.lav", *DRAW]) == 2
    (here / "rows.yaml").write_text(STUDY.replace("rows.lav", "absent.lav"), encoding="utf-8")
    assert run(["montecarlo", "rows.yaml", "--out", "out"]) == 2
    assert "rows.yaml:5" in capsys.readouterr().err
