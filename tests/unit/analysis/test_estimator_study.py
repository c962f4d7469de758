"""The simulation in the documents runs, and judges estimates against the truth it draws from."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from study_script import FOLDER, load_script


@pytest.fixture(scope="module")
def study() -> ModuleType:
    return load_script("estimator_study")


def test_large_samples_find_the_truth(study: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "N", 20_000)
    holes = study.replicate("holes", "MAR", 0, ("listwise", "FIML"))
    error = {method: {k: v[0] for k, v in holes[method]["found"].items()} for method in ("listwise", "FIML")}
    assert max(abs(v) for v in error["FIML"].values()) < 0.08
    # who answers depends on pc1, which predicts the answers: listwise means are too low
    assert np.mean([v for k, v in error["listwise"].items() if k[1] == "~1"]) < -0.1
    answers = study.replicate("answers", "3, skewed", 0, ("ML", "WLSMV"))
    assert max(abs(v[0]) for v in answers["WLSMV"]["found"].values()) < 0.05
    loadings = [v[0] for k, v in answers["ML"]["found"].items() if k[1] == "=~"]
    assert np.mean(loadings) < -0.09


def test_shares_of_holes_and_answers_are_as_stated(study: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "N", 50_000)
    rng = np.random.default_rng(1)
    frame = study.draw(rng)
    assert frame.var().sub(1).abs().max() < 0.03
    for mechanism in study.HOLES:
        share = study.punch(frame, mechanism, rng).isna().mean()
        assert share[list(study.FACTORS["PC"])].max() == 0
        assert share[list(study.FACTORS["BT"])].sub(study.SHARE).abs().max() < 0.02
    for name, shares in study.ANSWERS.items():
        found = study.record(frame, name)["pc1"].value_counts(normalize=True).sort_index()
        assert found.to_numpy() == pytest.approx(shares, abs=0.01)


def test_the_same_replication_gives_the_same_numbers(study: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "IMPUTATIONS", 3)
    first = study.replicate("holes", "MNAR", 3, ("FIML", "imputation"))
    again = study.replicate("holes", "MNAR", 3, ("FIML", "imputation"))
    assert first == again
    other = study.replicate("holes", "MNAR", 4, ("FIML",))
    rows, test = study.summarize("holes", "MNAR", "FIML", [first["FIML"], other["FIML"], None])
    assert [r["kind"] for r in rows] == ["loadings", "paths", "intercepts"]
    assert rows[0]["lost"] == 1
    assert 0 <= test["rejected"] <= 1


def test_the_page_shows_the_numbers_of_the_files(study: ModuleType) -> None:
    folder = FOLDER
    estimates, tests = (pd.read_csv(folder / f"{name}.csv") for name in ("estimates", "tests"))
    page = (folder.parent / "estimator-study.md").read_text(encoding="utf-8")
    lines = [line for line in study.tables(estimates, tests).splitlines() if line and not line.startswith("#")]
    assert len(lines) > 30
    assert [line for line in lines if line not in page] == []
    for experiment in ("holes", "answers"):
        assert (folder / f"{experiment}.svg").read_text(encoding="utf-8") == study.draw_figure(estimates, experiment)
