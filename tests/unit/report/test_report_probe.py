"""Figures of products hold what the slopes and regions say."""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf

import b2b_sem as bs
from b2b_sem.report.page import figure_spec
from b2b_sem.report.probe_figure import draw_floodlight, draw_slopes, draw_surface, probe_figures


@cache
def regression(formula: str = "y ~ x * m", factor: float = 0.4) -> Any:
    """Fit a regression with a product."""
    rng = np.random.default_rng(4)
    x, m, e = rng.normal(size=(3, 160))
    y = 0.2 * x + 0.3 * m + factor * x * m + 0.1 * x**2 + e
    return smf.ols(formula, pd.DataFrame({"x": x, "m": m, "y": y})).fit()


def test_slopes_show_each_line_with_its_band_and_slope() -> None:
    slopes = bs.simple_slopes(regression(), "x:m")
    figure = draw_slopes(slopes, {"x": "Price & quality"})
    assert figure is not None
    lines = [t for t in figure.plot.data if t.fill is None]
    bands = [t for t in figure.plot.data if t.fill == "toself"]
    assert (len(lines), len(bands)) == (3, 3)
    table = slopes.table
    for trace, slope in zip(lines, table["est"], strict=True):
        assert (trace.y[-1] - trace.y[0]) / (trace.x[-1] - trace.x[0]) == pytest.approx(slope)
    assert [t.name for t in lines] == ["m at -1 SD", "m at mean", "m at +1 SD"]
    assert len({t.line.dash for t in lines}) == 3
    written = [a.text for a in figure.plot.layout.annotations]
    assert written[2] == f"b = {table['est'][2]:.2f}"
    assert "Price &amp; quality (x)" in figure.plot.layout.xaxis.title.text
    assert f"at +1 SD {table['est'][2]:.2f}" in figure.alt
    assert "zero of" not in figure.caption


def test_a_square_is_drawn_with_its_curve() -> None:
    figure = draw_slopes(bs.simple_slopes(regression("y ~ x * m + I(x ** 2)"), "x:x"))
    assert figure is not None
    curve = figure.plot.data[0]
    assert curve.name == "curve"
    assert not np.allclose(np.diff(curve.y, 2), 0.0)
    assert draw_surface(bs.simple_slopes(regression("y ~ x * m + I(x ** 2)"), "x:x")) is None


def test_floodlight_shades_where_the_slope_differs() -> None:
    region = bs.johnson_neyman(regression(), "x:m")
    figure = draw_floodlight(region)
    assert figure is not None
    band = region.band()
    low, high = band["value"].iloc[0], band["value"].iloc[-1]
    shaded = [s for s in figure.plot.layout.shapes if s.type == "rect"]
    expected = [(max(a, low), min(b, high)) for a, b in region.intervals if a < high and b > low]
    assert [(s.x0, s.x1) for s in shaded] == expected
    marks = [s.x0 for s in figure.plot.layout.shapes if s.type == "line"]
    assert marks == [v for v in region.bounds if low < v < high]
    sure = next(t for t in figure.plot.data if t.name == "differs from 0")
    assert sum(v is not None for v in sure.y) == int(band["significant"].sum())
    assert f"{region.share_sample:.0%} of the sample" in figure.caption
    # the other band decides
    other = draw_floodlight(bs.johnson_neyman(regression(), "x:m", simultaneous=True))
    assert other is not None
    assert "by the simultaneous band" in other.caption


def test_floodlight_of_an_effect_that_is_nowhere() -> None:
    figure = draw_floodlight(bs.johnson_neyman(regression("y ~ x * m", 0.0), "x:m", alpha=1e-9))
    assert figure is not None
    assert "nowhere" in figure.caption
    assert not [s for s in figure.plot.layout.shapes if s.type == "rect"]


def test_surface_is_the_expected_outcome() -> None:
    fit = regression()
    slopes = bs.simple_slopes(fit, "x:m")
    figure = draw_surface(slopes)
    assert figure is not None
    contour = figure.plot.data[0]
    theirs = fit.predict(pd.DataFrame({"x": [contour.x[5]], "m": [contour.y[40]]}))
    assert contour.z[40][5] == pytest.approx(float(theirs.iloc[0]))


def test_nothing_is_drawn_without_numbers() -> None:
    slopes = bs.simple_slopes(regression(), "x:m")
    broken = slopes.surface.__class__.from_json(slopes.surface.to_json() | {"coefficients": [None] * 6})
    table = slopes.table.assign(est=math.nan)
    assert draw_slopes(slopes.__class__(broken, 0.95, (), table)) is None
    assert draw_surface(slopes.__class__(broken, 0.95, (), table)) is None


def test_page(tmp_path: Path) -> None:
    results = [bs.simple_slopes(regression(), "x:m"), bs.johnson_neyman(regression(), "x:m")]
    assert [f.name for f in probe_figures(results)] == ["slopes-y-x-m", "surface-y-x-m", "floodlight-y-x-m"]
    for figure in probe_figures(results):
        json.loads(figure_spec(figure))
    text = bs.write_figures(results, tmp_path / "probe.html").read_text(encoding="utf-8")
    assert text.count('<figure class="plot') == 3
    assert "standard errors take both as known" in text
    text = bs.write_figures(results[1], tmp_path / "one.html").read_text(encoding="utf-8")
    assert text.count('<figure class="plot') == 1
