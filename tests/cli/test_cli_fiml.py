"""Rows with missing answers through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import b2b_sem as bs
from b2b_sem.cli.app import run


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(8)
    frame = bs.simulate("lima2026", n=200, seed=8).frame[["pc1", "pc2", "pc3", "pc4"]].astype(float)
    frame.mask(rng.random(frame.shape) < 0.15).to_csv("d.csv", index=False)
    Path("m.lav").write_text("PC =~ pc1 + pc2 + pc3 + pc4\n", encoding="utf-8")
    return tmp_path


def test_fit_with_holes(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import pandas as pd

    args = ["fit", "m.lav", "--data", "d.csv", "--missing", "fiml", "--estimator", "MLR", "--json", "o.json"]
    assert run(args) == 0
    shown = capsys.readouterr()
    assert "patterns of answers" in shown.out + shown.err
    found = json.loads(Path("o.json").read_text(encoding="utf-8"))
    fit = bs.fit("PC =~ pc1 + pc2 + pc3 + pc4", pd.read_csv("d.csv"), missing="fiml", estimator="MLR")
    assert found["nobs"] == fit.nobs > 190
    assert found["measures"]["chisq_scaled"] == pytest.approx(fit.measures["chisq_scaled"], rel=1e-12)
    assert found["measures"]["rmsea_robust"] == pytest.approx(fit.measures["rmsea_robust"], rel=1e-9, abs=1e-12)


def test_what_needs_complete_rows_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["fit", "m.lav", "--data", "d.csv", "--missing", "fiml", "--estimator", "MLM"]) == 2
    assert "use estimator='MLR'" in capsys.readouterr().err
