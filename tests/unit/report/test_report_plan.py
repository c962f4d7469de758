"""The report of a sample-size plan: every number of the tables and figures is one of the result."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
import pytest

from b2b_sem.measures.power import binomial_band
from b2b_sem.report.plan import plan_tables, write_plan_report, write_plan_tables
from b2b_sem.report.plan_figure import draw_curves, draw_plan, plan_figures
from b2b_sem.results.plan import EFFECT_COLUMNS, HELD_COLUMNS, PLAN_COLUMNS, VISIT_COLUMNS, PlanResult

NAN = math.nan
LONG = "RG -> AU (-), RG -> LG (+), paths differ"


@pytest.fixture
def result() -> PlanResult:
    rows = [
        ("P1", "NR -> PC", "small", 1200.0, 1100.0, 1300.0, True, 1190.0, 1080.0, 1290.0, 1245.0, 600, 0),
        ("P1", "NR -> PC", "large", 150.0, 140.0, 160.0, True, 130.0, 120.0, 140.0, 128.0, 600, 3),
        ("P10", LONG, "small", 2400.0, 2100.0, NAN, False, NAN, NAN, NAN, NAN, 80, 0),
        ("P10", LONG, "large", NAN, NAN, NAN, False, NAN, NAN, NAN, NAN, 40, 0),
    ]
    counts = [("P1", "small", 600, 300, 150), ("P1", "small", 1200, 300, 241), ("P1", "large", 75, 300, 130)]
    counts += [("P1", "large", 150, 300, 240), ("P10", "small", 2000, 40, 28), ("P10", "small", 4000, 40, 39)]
    counts += [("P10", "large", 500, 40, 40)]
    visits = []
    for p, size, n, drawn, hits in counts:
        low, high = binomial_band(hits, drawn, 0.95)
        visits.append((p, size, n, drawn, hits, drawn - hits, 0, 0, hits, hits / drawn, float(low), float(high)))
    effects = [
        ("P1", "small", "path", 0.1, "PC ~ NR", "", 0.1),
        ("P10", "small", "d", 0.2, "AU", "regulated", -0.2),
        ("P10", "small", "f2", 0.005, "PC ~ RE", "regulated", 0.27),
        ("P10", "large", "change", NAN, "values: paths: PC ~ RE", "", 0.6),
    ]
    tables = {
        "table": pd.DataFrame(rows, columns=list(PLAN_COLUMNS)),
        "visits": pd.DataFrame(visits, columns=list(VISIT_COLUMNS)),
        "effects": pd.DataFrame(effects, columns=list(EFFECT_COLUMNS)),
        "held": pd.DataFrame([("PC", "~", "NR", 0.25)], columns=list(HELD_COLUMNS)),
    }
    return PlanResult(
        id="mine",
        title="How many <respondents>?",
        population="lima2026",
        model="lima2026",
        power=0.8,
        alpha=0.05,
        multiplicity="holm",
        level=0.95,
        seed=1,
        notes=("A note.",),
        warnings=("P10 small: the interval is wider than asked; allow more batches.",),
        provenance=MappingProxyType({}),
        _tables=MappingProxyType(tables),
    )


def test_tables_have_the_numbers_of_the_result(result: PlanResult, tmp_path: Path) -> None:
    tables = plan_tables(result)
    assert list(tables) == ["plan", "effects", "precision", "held", "visits"]
    first, second = tables["plan"].rows
    assert first == ("P1", "NR -> PC", 1200.0, 150.0)
    assert second[:3] == ("P10", LONG, 2400.0)
    assert math.isnan(second[3])
    assert tables["precision"].rows[1][2:] == (150.0, 140.0, 160.0, 130.0, 120.0, 140.0, 128.0, 600, 3)
    assert [row[2] for row in tables["effects"].rows] == [
        "standardized path",
        "difference of means, d",
        "f²",
        "value of the file",
    ]
    paths = {p.name: p for p in write_plan_tables(result, tmp_path)}
    assert set(paths) == {"plan.csv", "visits.csv", "effects.csv", "held.csv"}
    back = pd.read_csv(paths["plan.csv"])
    np.testing.assert_array_equal(back["rows"], result.table["rows"])
    assert "nan" not in paths["plan.csv"].read_text(encoding="utf-8").lower()


def test_the_page_is_whole_and_escaped(result: PlanResult, tmp_path: Path) -> None:
    page = write_plan_report(result, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "How many &lt;respondents&gt;?" in page
    assert "<respondents>" not in page
    for text in ("1,200", "wider than asked", "A note.", 'id="figure-plan"', 'id="figure-plan-curves"', "table-visits"):
        assert text in page
    assert "default-src 'none'" in page


def test_the_figure_has_a_mark_for_each_answer_and_the_theory(result: PlanResult) -> None:
    figure = draw_plan(result)
    marks = {t.name: t for t in figure.plot.data if t.marker.symbol != "line-ns"}
    assert list(marks["small"].x) == [1200.0, 2400.0]
    assert list(marks["large"].x) == [150.0]
    assert list(marks["small"].error_x.arrayminus) == [100.0, 300.0]
    # an interval without an upper end reaches the edge
    edge = 10 ** figure.plot.layout.xaxis.range[1]
    assert list(marks["small"].error_x.array) == pytest.approx([100.0, edge - 2400.0])
    theory = [list(t.x) for t in figure.plot.data if t.marker.symbol == "line-ns"]
    assert theory == [[1245.0], [128.0]]
    assert [t.showlegend for t in figure.plot.data if t.marker.symbol == "line-ns"].count(True) == 1
    assert "P1 small: 1200" in figure.alt
    assert len(figure.plot.layout.yaxis.ticktext) == 2
    assert "RG → AU (-) …" in figure.plot.layout.yaxis.ticktext[1]


def test_curves_go_through_the_shares(result: PlanResult) -> None:
    figure = draw_curves(result)
    shares = [t for t in figure.plot.data if t.mode == "markers"]
    assert [list(t.x) for t in shares] == [[600, 1200], [75, 150], [2000, 4000], [500]]
    assert list(shares[0].y) == pytest.approx([0.5, 241 / 300])
    curves = [t for t in figure.plot.data if t.mode == "lines" and t.line.width == 2]
    # one number of respondents makes no curve
    assert len(curves) == 3
    for share, curve in zip(shares[:2], curves[:2], strict=True):
        # two shares, two parameters: the curve meets both
        np.testing.assert_allclose(np.interp(share.x, curve.x, curve.y), share.y, atol=0.01)
    assert [t.showlegend for t in shares] == [True, True, False, False]


def test_without_answers_there_is_no_figure(result: PlanResult) -> None:
    tables = {name: frame.iloc[:0] for name, frame in result._tables.items()}
    empty = replace(result, _tables=MappingProxyType({**tables, "table": result.table.assign(rows=NAN)}))
    assert draw_plan(empty) is None
    assert plan_figures(empty) == []


def test_the_summary_marks_what_is_not_precise(result: PlanResult) -> None:
    lines = result.summary().splitlines()
    assert lines[2].split() == ["P1", "NR", "->", "PC", "1200", "(1100-1300)", "150", "(140-160)"]
    assert "2400 (2100-?)*" in lines[3]
    assert lines[3].endswith("?")
    assert lines[-1] == result.warnings[0]
