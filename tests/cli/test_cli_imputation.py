"""Multiple imputation from the command line and in a study file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs
from b2b_sem.cli.app import run

MODEL = "F =~ x1 + x2 + x3\nG =~ y1 + y2 + y3\nG ~ b*F\n"
STUDY = """
kind: study
schema_version: 1
id: holes
title: Answers with holes
model: m.lav
data: {file: d.csv}
analyses: [fit]
options: {missing: mi, imputations: 3, seed: 4, auxiliary: [z]}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(5)
    f = rng.normal(size=150)
    g = 0.5 * f + rng.normal(size=150)
    frame = pd.DataFrame({f"{n}{i}": v + rng.normal(size=150) for n, v in (("x", f), ("y", g)) for i in (1, 2, 3)})
    frame["z"] = frame["x1"] + rng.normal(size=150)
    frame.loc[::7, "x1"] = np.nan
    frame.loc[::9, "y2"] = np.nan
    frame.to_csv("d.csv", index=False)
    Path("m.lav").write_text(MODEL, encoding="utf-8")
    Path("s.yaml").write_text(STUDY, encoding="utf-8")
    return tmp_path


def test_fit(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--missing", "mi", "--imputations", "3", "--seed", "4", "--auxiliary", "z", "--json", "-"]
    assert run(["fit", "m.lav", "--data", "d.csv", *words]) == 0
    content = json.loads(capsys.readouterr().out)
    expected = bs.fit(MODEL, pd.read_csv("d.csv"), missing="mi", imputations=3, seed=4, auxiliary=["z"])
    assert content["imputation"]["m"] == 3
    assert content["nobs"] == 150
    assert content["measures"]["chisq"] == pytest.approx(expected.measures["chisq"], rel=1e-12)
    assert content["model"]["options"]["auxiliary"] == ["z"]


def test_study(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["run", "s.yaml", "--out", "out"]) == 0
    content = json.loads(Path("out/results.json").read_text(encoding="utf-8"))
    expected = bs.fit(MODEL, pd.read_csv("d.csv"), missing="mi", imputations=3, seed=4, auxiliary=["z"])
    assert content["fit"]["measures"]["chisq"] == pytest.approx(expected.measures["chisq"], rel=1e-12)
    report = Path("out/report.html").read_text(encoding="utf-8")
    assert "imputed 3 times" in report
    assert bs.read_study_result("out/results.json").fit.model.options["missing"] == "mi"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--missing", "mi"], "needs a seed"),
        (["--missing", "mi", "--seed", "1", "--bootstrap", "10"], "not available with '--missing mi'"),
        (["--seed", "1"], "goes with '--bootstrap' or '--missing mi' only"),
        (["--imputations", "5"], "goes with missing='mi'"),
    ],
)
def test_what_does_not_go_together(
    here: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert run(["fit", "m.lav", "--data", "d.csv", *words]) == 2
    assert message in capsys.readouterr().err
