"""How much a product explains: by least squares, by hand, and in large samples."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf

import b2b_sem as bs
from b2b_sem.analysis.moderation_size import _term_cov
from b2b_sem.errors import DataError, Unsupported

MODEL = "X =~ x1 + x2\nM =~ m1 + m2\nY =~ y1 + y2\nY ~ X + M"


@cache
def answers(n: int = 240) -> pd.DataFrame:
    """Return answers of a model with a product."""
    rng = np.random.default_rng(21)
    x, m = rng.multivariate_normal([0, 0], [[1, 0.4], [0.4, 1]], size=n).T
    y = 0.4 * x + 0.2 * m + 0.4 * x * m + rng.normal(size=n)
    out = {f"{name}{k}": v + 0.5 * rng.normal(size=n) for name, v in [("x", x), ("m", m), ("y", y)] for k in (1, 2)}
    return pd.DataFrame(out)


@cache
def lms(extra: str = " + X:M") -> bs.FitResult:
    """Fit the model with products."""
    return bs.fit(MODEL + extra, answers())


def test_share_of_a_latent_product_by_hand() -> None:
    found = bs.moderation_size(lms(), "X:M")
    cov = lms().latent_cov()
    rows = lms().parameters
    b3 = rows[rows["rhs"] == "X:M"]["est"].iloc[0]
    share = b3**2 * (cov.loc["X", "X"] * cov.loc["M", "M"] + cov.loc["X", "M"] ** 2) / cov.loc["Y", "Y"]
    assert found.r2 == pytest.approx(lms().r2["Y"], rel=1e-12)
    assert found.delta_r2 == pytest.approx(share, rel=1e-9)
    assert found.f2 == pytest.approx(share / (1 - lms().r2["Y"]), rel=1e-9)


def test_r2_of_another_fit() -> None:
    linear = bs.fit(MODEL, answers(), engine="native")
    found = bs.moderation_size(lms(), "X:M", without=linear)
    assert found.r2_without == linear.r2["Y"]
    assert "fitted to the same data" in found.definition
    assert found.delta_r2 == pytest.approx(bs.moderation_size(lms(), "X:M").delta_r2, abs=0.03)


def test_a_product_beside_others_counts_what_only_it_explains() -> None:
    found = bs.moderation_size(lms(" + X:M + X:X"), "X:M")
    fit = lms(" + X:M + X:X")
    cov = fit.latent_cov()
    rows = fit.parameters
    b3 = rows[rows["rhs"] == "X:M"]["est"].iloc[0]
    xx, mm, xm = cov.loc["X", "X"], cov.loc["M", "M"], cov.loc["X", "M"]
    unique = xx * mm + xm**2 - (2 * xx * xm) ** 2 / (2 * xx**2)
    assert found.delta_r2 == pytest.approx(b3**2 * unique / cov.loc["Y", "Y"], rel=1e-9)


def test_moments_of_products_are_those_of_large_samples() -> None:
    rng = np.random.default_rng(2)
    mean, cov = np.array([1.0, -0.5, 0.3]), np.array([[1.0, 0.3, 0.2], [0.3, 2.0, -0.4], [0.2, -0.4, 0.5]])
    z = rng.multivariate_normal(mean, cov, size=400_000)
    terms = [("a",), ("b",), ("a", "b"), ("b", "c"), ("a", "a")]
    columns = [np.prod([z[:, "abc".index(v)] for v in t], axis=0) for t in terms]
    expected = np.cov(np.array(columns))
    np.testing.assert_allclose(_term_cov(terms, ("a", "b", "c"), mean, cov), expected, atol=0.06)


def test_regression() -> None:
    fit = smf.ols("y1 ~ x1 * m1", answers()).fit()
    found = bs.moderation_size(fit, "x1:m1")
    assert found.r2 == pytest.approx(fit.rsquared, rel=1e-12)
    assert found.delta_r2 == pytest.approx(fit.tvalues["x1:m1"] ** 2 * (1 - fit.rsquared) / fit.df_resid, rel=1e-9)
    assert "delta R2" in str(found)


def test_what_is_refused() -> None:
    logit = smf.logit("z ~ x1 * m1", answers().assign(z=(answers()["y1"] > 0).astype(int))).fit(disp=0)
    with pytest.raises(Unsupported, match="R2 of Logit"):
        bs.moderation_size(logit, "x1:m1")
    with pytest.raises(DataError, match="without="):
        bs.moderation_size(smf.ols("y1 ~ x1 * m1", answers()).fit(), "x1:m1", without=lms())
    other = bs.fit("X =~ x1 + x2 + m1 + m2", answers(), engine="native")
    with pytest.raises(DataError, match="says nothing about 'Y'"):
        bs.moderation_size(lms(), "X:M", without=other)
    chain = bs.fit("X =~ x1 + x2\nM =~ m1 + m2\nY =~ y1 + y2\nY ~ X + X:X\nM ~ Y + X + X:Y", answers())
    with pytest.raises(Unsupported, match="Y depends on a product itself"):
        bs.moderation_size(chain, "X:Y")
