"""Missing answers in the report: shown where there are any, with how they were treated."""

from __future__ import annotations

import json
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pandas as pd
import pytest
from study_fixture import demo

from b2b_sem.analysis.missingness import missingness
from b2b_sem.report.html import render_report
from b2b_sem.report.missingness import (
    describe_treatment,
    draw_coverage,
    draw_missing,
    draw_patterns,
    missing_figures,
    missing_tables,
)
from b2b_sem.report.tables import build_tables
from b2b_sem.results.missingness import MissingnessResult
from b2b_sem.results.study import StudyResult


def diagnosis(p: int = 4, *, holes: bool = True) -> MissingnessResult:
    rng = np.random.default_rng(8)
    data = pd.DataFrame(rng.normal(size=(200, p)), columns=[f"x<{k}" for k in range(p)])
    if holes:
        data.iloc[:30, 0] = np.nan
        data.iloc[20:60, 1] = np.nan
    return missingness(data)


def study(found: MissingnessResult | None, **options: object) -> StudyResult:
    result = demo()
    model = replace(result.fit.model, options=MappingProxyType({**result.fit.model.options, **options}))
    return replace(result, missingness=found, fit=replace(result.fit, model=model))


def test_the_section_is_there_only_if_answers_are_missing() -> None:
    page = render_report(study(diagnosis()))
    assert '<section id="missing">' in page
    assert '<a href="#missing">' in page
    for name in ("missing-items", "missing-patterns", "missing-coverage"):
        assert f'id="figure-{name}"' in page
    section = page.split('<section id="missing">')[1].split("</section>")[0]
    assert "x&lt;0" in section
    assert "x<0" not in section
    for found in (None, diagnosis(holes=False)):
        page = render_report(study(found))
        assert '<section id="missing">' not in page
        assert missing_tables(study(found)) == {}
        assert missing_figures(study(found)) == {}


def test_tables_hold_the_numbers() -> None:
    found = diagnosis()
    tables = build_tables(study(found))
    assert tables["missing_items"].rows[0] == ("x<1", 160, 40, 20.0)
    assert tables["missing_patterns"].rows[0][:4] == (1, 140, 70.0, 0)
    assert tables["missing_patterns"].rows[0][4] == "none"
    assert tables["missing_coverage"].rows[1][:3] == ("x<1", 0.7, 0.8)
    assert len(tables["missing_related"].rows) == len(found.related)
    assert "missing_items" in build_tables(study(found))


def test_the_plot_of_patterns_marks_the_holes() -> None:
    found = diagnosis()
    heat = draw_patterns(found).plot.data[0]
    assert [list(line) for line in heat.z] == [[0, 0, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0]]
    assert "140" in draw_patterns(found).plot.layout.yaxis.ticktext[0]
    shorter = replace(found, patterns=found.patterns.head(2))
    assert "The other 2 patterns belong to 30 respondents." in draw_patterns(shorter).caption


def test_bars_and_coverage() -> None:
    found = diagnosis()
    assert list(draw_missing(found).plot.data[0].x) == [20.0, 15.0, 0.0, 0.0]
    figure = draw_coverage(found)
    assert figure is not None
    assert "x<0 with x<1, .70" in figure.caption
    assert len(figure.plot.layout.annotations) == 10
    wide = draw_coverage(diagnosis(20))
    assert wide is not None
    assert len(wide.plot.layout.annotations) == 0
    assert draw_coverage(missingness(pd.DataFrame({"a": [1.0, np.nan, 2.0]}))) is None


@pytest.mark.parametrize(
    ("options", "dropped", "words"),
    [
        ({"missing": "listwise"}, 7, "were left out: 7 of"),
        ({"missing": "listwise"}, 0, "No row was left out"),
        ({"missing": "fiml"}, 0, "full information maximum likelihood"),
        (
            {"missing": "fiml", "auxiliary": ("age", "sex")},
            0,
            "Auxiliary variables that tell about the holes: age, sex.",
        ),
        ({"missing": "fiml"}, 3, "3 of"),
    ],
)
def test_treatment_is_said(options: dict[str, object], dropped: int, words: str) -> None:
    result = study(diagnosis(), **options)
    result = replace(result, fit=replace(result.fit, n_dropped=dropped))
    assert words in describe_treatment(result)


def test_the_study_result_keeps_the_diagnosis() -> None:
    result = study(diagnosis())
    again = StudyResult.from_json(json.loads(json.dumps(result.to_json(), allow_nan=False)))
    assert again.missingness is not None
    assert again.missingness.to_json() == diagnosis().to_json()
    assert render_report(again) == render_report(result)
