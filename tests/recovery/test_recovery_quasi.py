"""Quasi-maximum likelihood finds products again: bias, standard errors and coverage, also downstream of a product."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs

pytestmark = pytest.mark.slow

MODEL = """
X =~ x1 + x2 + x3
M =~ m1 + m2 + m3
Y =~ y1 + y2 + y3
W =~ w1 + w2 + w3
Y ~ X + M + X:M + M:M
W ~ Y + X
"""
TRUTH = {("Y", "X"): 0.4, ("Y", "M"): 0.2, ("Y", "X:M"): 0.5, ("Y", "M:M"): -0.2, ("W", "Y"): 0.7, ("W", "X"): 0.2}
N, REPLICATIONS = 400, 100


def draw(rng: np.random.Generator) -> pd.DataFrame:
    x = rng.normal(size=N)
    m = 0.4 * x + np.sqrt(0.84) * rng.normal(size=N)
    y = 0.4 * x + 0.2 * m + 0.5 * x * m - 0.2 * m**2 + 0.6 * rng.normal(size=N)
    w = 0.7 * y + 0.2 * x + 0.6 * rng.normal(size=N)
    columns = {}
    for name, factor in zip("xmyw", (x, m, y, w), strict=True):
        for k, loading in enumerate((1.0, 0.8, 1.1), start=1):
            columns[f"{name}{k}"] = loading * factor + 0.6 * rng.normal(size=N)
    return pd.DataFrame(columns)


@cache
def replications() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return estimates and robust standard errors, replications in rows."""
    estimates, errors = [], []
    for seed in np.random.SeedSequence(20261122).spawn(REPLICATIONS):
        found = bs.fit(MODEL, draw(np.random.default_rng(seed)), interaction="qml", estimator="MLR")
        assert found.ok, found.failure
        rows = found.parameters.query("op == '~'").set_index(["lhs", "rhs"])
        estimates.append(rows["est"])
        errors.append(rows["se"])
    return pd.DataFrame(estimates).reset_index(drop=True), pd.DataFrame(errors).reset_index(drop=True)


def test_no_bias() -> None:
    estimates, _ = replications()
    for key, truth in TRUTH.items():
        spread = estimates[key].std() / np.sqrt(REPLICATIONS)
        assert abs(estimates[key].mean() - truth) < 3.5 * spread + 0.005, key


def test_errors_are_right() -> None:
    """The standard error of a standard deviation of 100 values is 7 percent of it."""
    estimates, errors = replications()
    for key in TRUTH:
        assert errors[key].mean() == pytest.approx(estimates[key].std(), rel=0.22), key


def test_coverage() -> None:
    estimates, errors = replications()
    inside = [(np.abs(estimates[key] - truth) < 1.96 * errors[key]).mean() for key, truth in TRUTH.items()]
    # 6 x 100 intervals, in part dependent
    assert 0.91 < np.mean(inside) < 0.98
    assert min(inside) > 0.87
