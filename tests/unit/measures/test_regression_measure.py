"""Least squares with HC3 against statsmodels, and the standardized product against the jackknife."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm

from b2b_sem.errors import DataError
from b2b_sem.measures.regression import product_reliability, regress, standardized_product


def draw(n: int = 150, seed: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, n))
    b = b + 0.4 * a
    y = 1.0 + 0.5 * a - 0.2 * b + 0.3 * a * b + (0.5 + 0.5 * np.abs(a)) * rng.normal(size=n)
    return y, np.column_stack([np.ones(n), a, b, a * b])


def test_numbers_are_those_of_statsmodels() -> None:
    y, x = draw()
    found = regress(y, x)
    theirs = sm.OLS(y, x).fit(cov_type="HC3", use_t=True)
    np.testing.assert_allclose(found.coef, theirs.params, rtol=1e-11)
    np.testing.assert_allclose(found.vcov, theirs.cov_params(), rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(found.se, theirs.bse, rtol=1e-10)
    np.testing.assert_allclose(found.t, theirs.tvalues, rtol=1e-10)
    np.testing.assert_allclose(found.pvalue, theirs.pvalues, rtol=1e-8)
    np.testing.assert_allclose(found.r2, theirs.rsquared, rtol=1e-11)
    reach = found.critical(0.9) * found.se
    np.testing.assert_allclose(np.column_stack([found.coef - reach, found.coef + reach]), theirs.conf_int(0.1))
    assert not np.allclose(found.se, sm.OLS(y, x).fit(cov_type="HC2").bse, rtol=1e-3)


def test_units_of_columns_do_not_matter() -> None:
    y, x = draw()
    unit = np.array([1.0, 1e-6, 1e7, 10.0])
    one, other = regress(y, x), regress(y, x * unit)
    np.testing.assert_allclose(other.coef * unit, one.coef, rtol=1e-9)
    np.testing.assert_allclose(other.t, one.t, rtol=1e-9)


def test_standard_error_of_the_standardized_product_is_near_the_jackknife() -> None:
    y, x = draw(300, 9)
    y = y + 0.7 * x[:, 3]  # a strong effect, so that the standard deviations matter
    a, b = x[:, 1], x[:, 2]

    def standardized(rows: np.ndarray) -> float:
        coef = np.linalg.lstsq(x[rows], y[rows], rcond=None)[0]
        return float(coef[3] * a[rows].std(ddof=1) * b[rows].std(ddof=1) / y[rows].std(ddof=1))

    every = np.arange(len(y))
    left_out = np.array([standardized(np.delete(every, i)) for i in every])
    jackknife = np.sqrt((len(y) - 1) / len(y) * ((left_out - left_out.mean()) ** 2).sum())
    found = regress(y, x)
    std, se = standardized_product(found, 3, y, a, b)
    assert std == pytest.approx(standardized(every), rel=1e-10)
    assert se == pytest.approx(jackknife, rel=0.02)
    fixed = found.se[3] * std / found.coef[3]
    assert abs(fixed / jackknife - 1) > 0.1  # standard deviations are estimates, too


def test_where_there_is_no_answer() -> None:
    y, x = draw(20)
    with pytest.raises(DataError, match="too few"):
        regress(y[:4], x[:4])
    with pytest.raises(DataError, match="follows from the others"):
        regress(y, np.column_stack([x, x[:, 1] + 2 * x[:, 2]]))
    with pytest.raises(DataError, match="zero in every row"):
        regress(y, np.column_stack([x, np.zeros(20)]))
    with pytest.raises(DataError, match="one row alone"):
        regress(y, np.column_stack([x, np.arange(20) == 3]))


def test_reliability_of_a_product() -> None:
    rng = np.random.default_rng(2)
    n = 400_000
    a = rng.normal(size=n)
    b = 0.5 * a + np.sqrt(0.75) * rng.normal(size=n)
    x, z = a + 0.5 * rng.normal(size=n), b + 0.7 * rng.normal(size=n)
    rel = 1 / 1.25, 1 / 1.49
    r = np.corrcoef(x, z)[0, 1]
    assert product_reliability(*rel, r) == pytest.approx(np.corrcoef(a * b, x * z)[0, 1] ** 2, abs=0.005)
    assert product_reliability(0.8, 0.7, 0.0) == pytest.approx(0.56)
