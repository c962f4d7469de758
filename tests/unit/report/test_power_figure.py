"""Figures of power: the curves are those of the result, and the page holds them."""

from __future__ import annotations

from pathlib import Path

import pytest

import b2b_sem as bs
from b2b_sem.report.power_figure import MOST, power_figures
from b2b_sem.report.power_table import power_tables

ITEMS = "\n".join(f"{v} ~~ .5*{v}" for v in ("x1", "x2", "x3", "Y"))
TEXT = f"F =~ 1*x1 + c(.8, .6)*x2 + .7*x3\nY ~ c(.3, .5)*F\n{ITEMS}"


def test_curves_are_those_of_the_result(tmp_path: Path) -> None:
    found = bs.power(TEXT, "F =~ x1 + x2 + x3\nY ~ c(a, b)*F", nobs=200, restrictions=["a == b"])
    figures = {f.name: f for f in power_figures(found)}
    assert list(figures) == ["power-path", "power-group", "power-fit"]
    path = figures["power-path"]
    assert [t.name for t in path.plot.data] == ["Y~F Group 1", "Y~F Group 2", "a == b"]
    curve = found.curve(path.plot.data[1].x)
    own = curve[(curve["kind"] == "path") & (curve["group"] == "Group 2")]
    assert list(path.plot.data[1].y) == pytest.approx(own["power"].tolist(), abs=1e-12)
    assert 200 in path.plot.data[0].x
    assert "respondents needed" in path.alt
    page = bs.write_figures(found, tmp_path / "power.html").read_text(encoding="utf-8")
    assert all(f.caption.split(";")[0] in page for f in figures.values())


def test_many_tests_show_those_with_the_least_power() -> None:
    names = [f"x{k}" for k in range(1, 9)]
    text = "\n".join(f"{v} ~~ 1*{v}" for v in [*names, "y"])
    text += "\ny ~ " + " + ".join(f"{0.05 * k}*{v}" for k, v in enumerate(names, 1))
    found = bs.power(text, "y ~ " + " + ".join(names), nobs=150)
    (figure,) = power_figures(found)
    assert [t.name for t in figure.plot.data] == [f"y~{v}" for v in names[:MOST]]
    assert "2 tests with more power" in figure.caption


def test_the_page_has_a_table_of_all_tests(tmp_path: Path) -> None:
    found = bs.power(TEXT, "F =~ x1 + x2 + x3\nY ~ c(a, b)*F", nobs=200, restrictions=["a == b"])
    (made,) = power_tables(found)
    keys = [c.key for c in made.columns]
    rows = [dict(zip(keys, row, strict=True)) for row in made.rows]
    own = found.table
    assert [r["power"] for r in rows] == own["power"].tolist()
    assert [r["rows_needed"] for r in rows] == own["rows_needed"].tolist()
    assert rows[1]["label"] == "F -> Y (Group 2)"
    assert "detectable" not in keys
    page = bs.write_figures(found, tmp_path / "power.html").read_text(encoding="utf-8")
    assert "F → Y (Group 2)" in page
    assert "Power with 200 respondents" in page
    small = bs.power(TEXT, "F =~ x1 + x2 + x3\nY ~ c(a, b)*F", nobs=200, detectable=True)
    (further,) = power_tables(small)
    assert "detectable" in [c.key for c in further.columns]
