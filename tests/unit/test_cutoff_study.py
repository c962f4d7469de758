"""Cut-offs of fit indices in a study: asked for by one line, in the result, the report and its tables."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

import b2b_sem as bs
from b2b_sem.errors import SpecError, Unsupported
from b2b_sem.report.html import render_report
from b2b_sem.report.tables import build_tables

STUDY = """kind: study
schema_version: 1
id: cut
title: Cut-offs
model: small.lav
data: {file: rows.csv}
analyses: [fit]
"""
TEXT = "F =~ x1 + x2 + x3\nG =~ x4 + x5 + x6\nG ~ F\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    truth = "F =~ 1*x1 + .8*x2 + .9*x3\nG =~ 1*x4 + .9*x5 + .8*x6\nG ~ .4*F"
    from b2b_sem.analysis.montecarlo import population
    from b2b_sem.simulate.rows import draw_rows

    rows = draw_rows(population(truth), 300, 2)
    rows.to_csv(tmp_path / "rows.csv", index=False)
    rows.apply(lambda c: pd.cut(c, [-99, -1, 0.5, 99], labels=False)).to_csv(tmp_path / "answers.csv", index=False)
    (tmp_path / "small.lav").write_text(TEXT, encoding="utf-8")
    return tmp_path


def study(folder: Path, more: str) -> Path:
    path = folder / "cut.yaml"
    path.write_text(STUDY + more, encoding="utf-8")
    return path


def test_one_line_asks_for_cutoffs(folder: Path) -> None:
    result = bs.run_study(study(folder, "fit_cutoffs: {replications: 60, seed: 5}\n"))
    found = result.fit_cutoffs
    assert found is not None
    alone = bs.fit_cutoffs(bs.fit(TEXT, pd.read_csv(folder / "rows.csv")), replications=60, seed=5)
    assert found.to_json() == alone.to_json()
    again = bs.StudyResult.from_json(json.loads(json.dumps(result.to_json())))
    assert again.fit_cutoffs is not None
    assert again.fit_cutoffs.to_json() == found.to_json()
    assert "fit_cutoffs" in build_tables(result)
    page = render_report(again)
    assert 'id="figure-fit-cutoffs"' in page
    assert "Cut-offs for this model" in page
    for line in found.conclusions():
        assert line in page


def test_without_the_line_there_are_none(folder: Path) -> None:
    result = bs.run_study(study(folder, ""))
    assert result.fit_cutoffs is None
    assert "fit_cutoffs" not in build_tables(result)
    assert "Cut-offs for this model" not in render_report(result)
    assert bs.load_study(study(folder, "fit_cutoffs: false\n")).cutoffs is None
    default = bs.load_study(study(folder, "fit_cutoffs: true\n")).cutoffs
    assert default is not None
    assert (default.replications, default.seed) == (500, 1)


def test_ordinal_items_of_a_study_are_fitted_again_without_paths(folder: Path) -> None:
    more = "fit_cutoffs: {replications: 20}\noptions: {ordered: true}\n"
    path = study(folder, more)
    path.write_text(path.read_text(encoding="utf-8").replace("rows.csv", "answers.csv"), encoding="utf-8")
    found = bs.run_study(path).fit_cutoffs
    assert found is not None
    assert found.estimator == "WLSMV"
    own = bs.fit(TEXT.replace("G ~ F\n", ""), pd.read_csv(folder / "answers.csv"), ordered=True)
    assert found.values["srmr"] == pytest.approx(own.measures["srmr"], abs=1e-9)


def test_what_has_no_rule_is_refused_with_its_place(folder: Path) -> None:
    with pytest.raises(Unsupported, match="missing='fiml'") as error:
        bs.run_study(study(folder, "fit_cutoffs: true\noptions:\n  missing: fiml\n"))
    assert error.value.line == 10
    with pytest.raises(SpecError, match="replications"):
        bs.load_study(study(folder, "fit_cutoffs: {replications: 3}\n"))
