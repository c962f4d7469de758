"""Products of latent variables where a plain reading of the numbers would be wrong: no test, biased groups, options."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs

MEASURED = "X =~ x1 + x2 + x3\nM =~ m1 + m2 + m3\nY =~ y1 + y2 + y3\n"


@cache
def answers(n: int = 240, distance: float = 0.0) -> pd.DataFrame:
    """Two groups whose factors lie `distance` apart; the same equation of the outcome in both."""
    rng = np.random.default_rng(11)
    group = np.arange(n) % 2
    x, m = rng.normal(size=(2, n)) + distance * group
    y = 0.4 * x + 0.2 * m + 0.3 * x * m + 0.7 * rng.normal(size=n)
    factors = {"x": x, "m": m, "y": y}
    frame = pd.DataFrame({f"{v}{k}": f + 0.5 * rng.normal(size=n) for v, f in factors.items() for k in (1, 2, 3)})
    return frame.assign(team=np.where(group, "b", "a"))


@pytest.mark.parametrize("way", ["lms", "qml"])
@pytest.mark.parametrize("equation", ["Y ~ b*X + M + b*X:M", "Y ~ X + M + 0.2*X:M"])
def test_no_test_where_the_model_without_products_is_not_nested(way, equation):
    m = bs.fit(MEASURED + equation, answers(), interaction=way).measures
    assert np.isfinite(m["logl"])
    assert np.isnan(m.get("product_chisq", np.nan))
    assert np.isnan(m.get("linear_logl", np.nan))


@pytest.mark.parametrize("way", ["lms", "qml"])
def test_one_label_of_two_products_is_one_degree_of_freedom(way):
    data = answers()
    fit = bs.fit(MEASURED + "Y ~ X + M + b*X:M + b*X:X", data, interaction=way)
    linear = bs.fit(MEASURED + "Y ~ X + M", data, meanstructure=True)
    m = fit.measures
    assert m["product_df"] == 1
    assert m["linear_logl"] == pytest.approx(linear.measures["logl"], abs=1e-5)
    assert m["product_chisq"] == pytest.approx(2 * (m["logl"] - m["linear_logl"]), abs=1e-9)


def test_no_test_with_fixed_products_in_groups():
    fit = bs.fit(MEASURED + "Y ~ X + M + c(0.2, 0.3)*X:M", answers(), group="team")
    assert np.isnan(fit.measures.get("product_chisq", np.nan))


def test_product_indicators_of_groups_far_apart():
    """The same equation in both groups, but items are centred between them: a warning, and no slopes."""
    model = MEASURED + "Y ~ X + M + X:M"
    far = bs.fit(model, answers(distance=2.0), group="team", interaction="dmc")
    assert any("centred at their means over all groups" in w for w in far.warnings)
    near = bs.fit(model, answers(), group="team", interaction="dmc")
    assert not any("centred at their means" in w for w in near.warnings)
    for ask in (bs.simple_slopes, bs.johnson_neyman, bs.conditional_effects, bs.moderation_size):
        with pytest.raises(bs.Unsupported, match="product indicators in several groups"):
            ask(near, "X:M", group="a")
    exact = bs.fit(model, answers(600, distance=2.0), group="team", group_equal=["loadings"])
    paths = exact.parameters.query("rhs == 'X:M'")
    assert (abs(paths["est"] - 0.3) < 3 * paths["se"]).all()


@pytest.mark.parametrize("way", ["lms", "qml"])
def test_options_without_meaning_are_read(way):
    model = MEASURED + "Y ~ X + M + X:M"
    with pytest.raises(bs.Unsupported, match="parameterization"):
        bs.fit(model, answers(), interaction=way, parameterization="gamma")
    assert bs.fit(model, answers(), interaction=way, bounds="none", se="none").converged


def test_slopes_of_residual_centred_products_are_for_symmetric_factors():
    """Skewed factors: the path of X beside a residual-centred product is not the slope at the mean of M."""
    rng = np.random.default_rng(5)
    x = rng.exponential(size=3000) - 1.0
    m = 0.5 * x + 0.8 * (rng.exponential(size=3000) - 1.0)
    y = 0.4 * x + 0.2 * m + 0.3 * x * m + 0.6 * rng.normal(size=3000)
    data = pd.DataFrame(
        {f"{v}{k}": f + 0.5 * rng.normal(size=3000) for v, f in zip("xmy", (x, m, y), strict=True) for k in (1, 2, 3)}
    )
    found = {}
    for way in ("dmc", "rc"):
        slopes = bs.simple_slopes(bs.fit(MEASURED + "Y ~ X + M + X:M", data, interaction=way), "X:M", at=0.0)
        found[way] = float(slopes.table["est"].iloc[0]), any("residual-centred" in note for note in slopes.notes)
    assert found["dmc"][0] == pytest.approx(0.4, abs=0.08)
    assert found["rc"][0] > 0.5
    assert [note for _, note in found.values()] == [False, True]


def test_fits_of_another_way_are_no_answer():
    data = answers()
    model = MEASURED + "Y ~ X + M + X:M"
    own = bs.fit(model, data)
    kept = bs.moderation(model, data, routes=("lms", "scores"), fits={"lms": own})
    assert kept.fits["lms"] is own
    plain = bs.fit(MEASURED + "Y ~ X + M", data)
    for fits, message in (
        ({"dmc": own}, "interaction='lms'"),
        ({"lmss": own}, "'lmss'"),
        ({"lms": 3}, "not a fit"),
        ({"lms": plain}, "has no product X:M"),
    ):
        with pytest.raises(bs.DataError, match=message):
            bs.moderation(model, data, routes=("lms", "dmc"), fits=fits)
