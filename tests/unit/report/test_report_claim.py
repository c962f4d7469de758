"""Claims on groups in the report: what a verdict rests on."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import study_fixture as studies

from b2b_sem.report.comparison import comparison_figures, comparison_tables, describe_comparisons
from b2b_sem.report.group_figure import draw_claim
from b2b_sem.report.html import render_report
from b2b_sem.results.comparison import GroupComparison
from b2b_sem.results.group_claim import CLAIM_COLUMNS, SLOPE_COLUMNS, GroupClaim


def claim(**changes: Any) -> GroupClaim:
    rows = [
        ("AU", "regulated", "total", "", "", -0.5, 0.1, -5.0, 1e-6, -0.7, -0.3, True),
        ("AU", "regulated", "direct", "", "", -0.4, 0.1, -4.0, 1e-4, -0.6, -0.2, False),
        ("AU", "regulated", "indirect", "DA", "", -0.1, 0.03, -3.3, 1e-3, -0.16, -0.04, False),
    ]
    slopes = [("AU~DA", 0.2, 0.3, 0.1, 0.1, 1.0, 0.32, -0.1, 0.3)]
    values: dict[str, Any] = {
        "id": "P10",
        "level": "regulated",
        "reference": "open",
        "role": "mediators",
        "between": ("DA",),
        "text": "AU =~ au1 + au2 + au3",
        "invariance": None,
        "equal_slopes": True,
        "slopes_test": MappingProxyType({"chisq": 1.0, "df": 1.0, "pvalue": 0.32}),
        "alpha": 0.05,
        "level_ci": 0.95,
        "statements": ("The slopes do not differ reliably.",),
        "reasons": ("LG could not be tested.",),
        "notes": ("A note.",),
        "_effects": pd.DataFrame(rows, columns=list(CLAIM_COLUMNS)),
        "_slopes": pd.DataFrame(slopes, columns=list(SLOPE_COLUMNS)),
    }
    return GroupClaim(**{**values, **changes})


def study(found: GroupClaim) -> Any:
    return replace(studies.demo(), comparisons=(GroupComparison("sector", "the sector", None, None, (), (found,)),))


def test_figure() -> None:
    figure = draw_claim(claim(), {"AU": "authenticity"})
    assert figure is not None
    plot = figure.plot.to_plotly_json()
    (trace,) = plot["data"]
    np.testing.assert_allclose(trace["x"], [-0.5, -0.4, -0.1])
    np.testing.assert_allclose(np.array(trace["x"]) + np.array(trace["error_x"]["array"]), [-0.3, -0.2, -0.04])
    labels = plot["layout"]["yaxis"]["ticktext"]
    assert [label.startswith("<b>") for label in labels] == [True, False, False]  # what decides
    assert "indirect through DA" in labels[2].replace("<br>", " ")
    assert "−0.50 [−0.70, −0.30]" in [a["text"] for a in plot["layout"]["annotations"]]
    assert "regulated minus open" in plot["layout"]["xaxis"]["title"]["text"]
    measured = claim(_effects=claim().effects.assign(predictor="RG"))
    assert "effects of RG" in str(draw_claim(measured).caption)  # type: ignore[union-attr]
    assert draw_claim(claim(_effects=claim().effects.assign(est=np.nan))) is None


def test_section() -> None:
    result = study(claim())
    (view,) = describe_comparisons(result.comparisons, "groups")
    assert view.title == "The sector (sector)"
    (part,) = view.parts
    assert part.lines == ["The slopes do not differ reliably."]
    assert part.warnings == ["LG could not be tested."]
    tables, figures = comparison_tables(result), comparison_figures(result)
    assert set(tables) == {"groups_sector_P10", "groups_sector_P10_slopes"}
    assert tables["groups_sector_P10_slopes"].rows[0][0] == "DA -> AU"
    assert {*part.tables, *part.folded} == set(tables)
    assert part.figures == list(figures)
    page = render_report(result)
    for text in ("Claim P10", "LG could not be tested.", "What P10 rests on", "A note."):
        assert text in page
