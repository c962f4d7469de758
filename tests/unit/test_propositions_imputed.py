"""Verdicts on pooled fits: their intervals follow the t distribution of each parameter."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from b2b_sem.analysis.imputation import PooledFit, fit_imputed
from b2b_sem.propositions import judge
from b2b_sem.spec.model import Proposition


@pytest.fixture(scope="module")
def pooled() -> PooledFit:
    rng = np.random.default_rng(2)
    f = rng.normal(size=(120, 1))
    g = 0.5 * f + rng.normal(size=(120, 1))
    data = pd.DataFrame(np.hstack([f, f, f, g, g, g]) + rng.normal(size=(120, 6)), columns=list("abcdef"))
    # three "imputations" that disagree on how strong the path is, so that its degrees of freedom are few
    frames = [data.assign(**{v: data[v] + 0.12 * k * data["a"] for v in "def"}) for k in range(3)]
    return fit_imputed("F =~ a + b + c\nG =~ d + e + f\nG ~ F", frames)


def claim() -> Proposition:
    return Proposition.model_validate({"id": "P1", "statement": "More of F, more of G.", "path": "F -> G", "sign": "+"})


def test_interval_is_that_of_the_standardized_solution(pooled: PooledFit) -> None:
    (verdict,) = judge([claim()], pooled)
    table = pooled.standardized()
    row = table[(table["op"] == "~")].iloc[0]
    assert (verdict.ci_lower, verdict.ci_upper) == pytest.approx((row["ci_lower"], row["ci_upper"]), rel=1e-12)
    assert verdict.ci_upper - verdict.std > 2.05 * verdict.std_se  # a normal distribution would give 1.96


def test_other_levels_use_the_same_degrees_of_freedom(pooled: PooledFit) -> None:
    (wide,), (narrow,) = judge([claim()], pooled), judge([claim()], pooled, level=0.8)
    reach = (wide.ci_upper - wide.std) / wide.std_se
    found = (narrow.ci_upper - narrow.std) / narrow.std_se
    # the t distribution whose 97.5 % quantile is `reach` has `found` as its 90 % quantile
    freedom = np.linspace(2, 200, 200_001)
    df = freedom[np.argmin(np.abs(stats.t.ppf(0.975, freedom) - reach))]
    assert found == pytest.approx(stats.t.ppf(0.9, df), rel=1e-4)
    assert found > 1.01 * stats.norm.ppf(0.9)
