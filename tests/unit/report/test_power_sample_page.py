"""Pages of power by samples: figures and tables hold the numbers of the result."""

from __future__ import annotations

from pathlib import Path

import pytest

import b2b_sem as bs
from b2b_sem.report.power_sample import sampled_figures, sampled_tables

TEXT = "x ~~ 1*x\nm ~ .4*x\ny ~ .3*m + .1*x\nm ~~ .84*m\ny ~~ .9*y"
MODEL = "m ~ x\ny ~ m + x"


def test_curves_go_through_the_shares(tmp_path: Path) -> None:
    found = bs.power(TEXT, MODEL, nobs=100, sizes=[60, 200], replications=400, seed=1)
    (figure,) = sampled_figures(found)
    assert figure.name == "power-curve"
    shares = found.shares.set_index("test")
    drawn = {t.name: t for t in figure.plot.data if t.mode == "lines" and t.showlegend is not False}
    assert set(drawn) == {"x → m", "m → y", "x → y", "all paths", "x → m → y"}
    weak = drawn["x → y"]
    curve = found.curve([round(v) for v in (weak.x[0], weak.x[-1])]).set_index("test")["power"]
    assert [weak.y[0], weak.y[-1]] == pytest.approx(curve["y~x"].tolist(), abs=1e-9)
    points = {t.name: t for t in figure.plot.data if t.mode == "markers"}
    assert list(points["x → y"].x) == [60, 100, 200]
    assert list(points["x → y"].y) == shares.loc["y~x", "power_all"].tolist()
    high = [y + e for y, e in zip(points["x → y"].y, points["x → y"].error_y.array, strict=True)]
    assert high == pytest.approx(shares.loc["y~x", "upper_all"].tolist())
    page = bs.write_figures(found, tmp_path / "power.html").read_text(encoding="utf-8")
    assert "Power with 100 respondents" in page
    (table,) = sampled_tables(found)
    assert [row[1] for row in table.rows] == ["x -> m", "m -> y", "x -> y", "all paths", "x -> m -> y"]
    needed = found.table.set_index("test").loc["y~m", "rows_needed"]
    assert f"{needed:.0f} [" in page


def test_one_size_shows_every_test_with_its_interval() -> None:
    found = bs.power(TEXT, MODEL, nobs=100, replications=400, seed=1)
    (figure,) = sampled_figures(found)
    (points,) = figure.plot.data
    assert list(points.x) == found.table["power_all"].tolist()
    assert "x → y: 0." in figure.alt


def test_many_tests_are_drawn_by_kind() -> None:
    found = bs.power("lima2026", nobs=150, sizes=[300], replications=30, seed=1)
    figures = {f.name: f for f in sampled_figures(found)}
    assert list(figures) == ["power-path", "power-indirect", "power-proposition", "power-together"]
    lines = [t for t in figures["power-indirect"].plot.data if t.mode == "lines" and t.showlegend is not False]
    assert len(lines) <= 6
    assert "are not drawn" in figures["power-indirect"].caption
    names = {t.name for t in figures["power-path"].plot.data}
    assert "NR → PC" in names  # the path that needs most
    assert "PE → TV" not in names  # always found


def test_a_search_shows_what_is_needed() -> None:
    found = bs.find_rows(TEXT, MODEL, tests=["m~x", "y~m"], precision=0.1, seed=1)
    needed, curve = sampled_figures(found)
    (points,) = needed.plot.data
    assert list(points.x) == found.table["rows"].tolist()
    assert curve.name == "power-curve"
    assert f"{found.table['rows'].iloc[0]:.0f} respondents" in curve.alt
    (table,) = sampled_tables(found)
    assert table.rows[0][3] == f"{found.table['rows'].iloc[0]:.0f}"
