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


@pytest.mark.parametrize(
    ("args", "options"),
    [
        ([], {}),
        (["--missing", "fiml"], {"missing": "fiml"}),
        (["--missing", "fiml.x"], {"missing": "fiml.x"}),
        (["--ordered", "all"], {"ordered": True}),
        (["--ordered", "all", "--missing", "pairwise"], {"ordered": True, "missing": "pairwise"}),
        (["--missing", "mi", "--imputations", "3", "--seed", "1"], {"missing": "mi", "imputations": 3, "seed": 1}),
    ],
)
def test_blank_rows_of_a_file_are_counted(here: Path, args: list[str], options: dict[str, object]) -> None:
    import pandas as pd

    rng = np.random.default_rng(3)
    f = rng.normal(size=(150, 1))
    frame = pd.DataFrame(np.clip(np.round(f + rng.normal(size=(150, 4))), -2, 2) + 3, columns=list("abcd"))
    frame["z"] = np.round(f[:, 0] + rng.normal(size=150), 3)
    frame = frame.mask(rng.random(frame.shape) < 0.06)
    frame.iloc[[4, 60, 149]] = np.nan
    frame.loc[[7, 8], list("abcd")] = np.nan
    frame.to_csv("blank.csv", index=False)
    Path("m.lav").write_text("F =~ a + b + c + d\nF ~ z\n", encoding="utf-8")
    assert run(["fit", "m.lav", "--data", "blank.csv", "--json", "o.json", *args]) == 0
    found = json.loads(Path("o.json").read_text(encoding="utf-8"))
    fit = bs.fit("F =~ a + b + c + d\nF ~ z", pd.read_csv("blank.csv"), **options)
    assert (found["n_read"], found["n_dropped"], found["nobs"]) == (150, fit.n_dropped, fit.nobs)
    assert fit.n_dropped >= 3
    assert found["notes"] == list(fit.notes)
