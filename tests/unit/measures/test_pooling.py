"""Rubin's rules against numbers worked out by hand, and their limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from b2b_sem.measures import pooling as pool


def test_scalars_by_hand() -> None:
    # Q = 10, 12, 14; U = 4: W = 4, B = 4, T = 4 + 4/3 * 4
    found = pool.pool_scalars(np.array([[10.0], [12.0], [14.0]]), np.full((3, 1), 4.0))
    assert found.estimate[0] == 12.0
    assert found.total[0] == pytest.approx(4 + 16 / 3)
    assert found.riv[0] == pytest.approx(4 / 3)
    assert found.df[0] == pytest.approx(2 * (1 + 3 / 4) ** 2)
    assert found.fmi[0] == pytest.approx((16 / 3) / (4 + 16 / 3))


def test_small_samples_have_fewer_degrees_of_freedom() -> None:
    # Barnard & Rubin: 1 / (1/v + 1/v_obs), v_obs = (1 - lambda) (n + 1) / (n + 3) n
    values, variances = np.array([[10.0], [12.0], [14.0]]), np.full((3, 1), 4.0)
    v, lam = 2 * (7 / 4) ** 2, (16 / 3) / (28 / 3)
    observed = (1 - lam) * 21 / 23 * 20
    found = pool.pool_scalars(values, variances, complete_df=20)
    assert found.df[0] == pytest.approx(1 / (1 / v + 1 / observed))
    nothing = pool.pool_scalars(np.full((3, 1), 5.0), variances, complete_df=20)
    assert nothing.df[0] == pytest.approx(21 / 23 * 20)


def test_nothing_missing_is_the_normal_distribution() -> None:
    found = pool.pool_scalars(np.full((4, 1), 2.0), np.ones((4, 1)))
    assert math.isinf(found.df[0])
    assert found.fmi[0] == 0
    z, p, lower, upper = pool.t_interval(found.estimate, np.sqrt(found.total), found.df)
    assert z[0] == 2.0
    assert p[0] == pytest.approx(2 * stats.norm.sf(2.0), rel=1e-12)
    assert (lower[0], upper[0]) == pytest.approx((2 - 1.959963984540054, 2 + 1.959963984540054))


def test_t_interval_has_the_tails_of_t() -> None:
    z, p, lower, upper = pool.t_interval(np.array([2.0]), np.array([1.0]), np.array([5.0]), level=0.9)
    assert p[0] == pytest.approx(2 * stats.t.sf(2.0, 5))
    assert upper[0] - z[0] == pytest.approx(stats.t.ppf(0.95, 5))
    assert lower[0] == pytest.approx(2 - stats.t.ppf(0.95, 5))
    assert math.isnan(pool.t_interval(np.array([1.0]), np.array([0.0]), np.array([5.0]))[0][0])


def test_one_imputation_is_refused() -> None:
    with pytest.raises(ValueError, match="at least two"):
        pool.pool_scalars(np.ones((1, 2)), np.ones((1, 2)))


def test_d1_of_one_parameter_is_its_squared_t() -> None:
    values = np.array([0.4, 0.7, 0.5, 0.9])
    scalars = pool.pool_scalars(values[:, None], np.full((4, 1), 0.04))
    found = pool.pool_d1(scalars.estimate, np.diag(scalars.within), np.diag(scalars.between), 4)
    assert found.f == pytest.approx(scalars.estimate[0] ** 2 / scalars.total[0])
    assert found.riv == pytest.approx(scalars.riv[0])
    # a = k (m - 1) = 3 is below 5: the other formula of the degrees of freedom
    assert found.df2 == pytest.approx(3 * 2 * (1 + 1 / scalars.riv[0]) ** 2 / 2)


def test_d2_by_hand() -> None:
    # sqrt(w) = 2, 3, 4: variance 1, r = 4/3, mean w = 29/3
    found = pool.pool_d2(np.array([4.0, 9.0, 16.0]), 2)
    r = 4 / 3
    assert found.riv == pytest.approx(r)
    assert found.f == pytest.approx((29 / 6 - 4 / 2 * r) / (1 + r))
    assert found.df2 == pytest.approx(2 ** (-1) * 2 * (1 + 1 / r) ** 2)
    assert found.pvalue == pytest.approx(stats.f.sf(found.f, 2, found.df2))


def test_d2_is_never_negative_and_takes_rounding() -> None:
    assert pool.pool_d2(np.array([0.1, 9.0, 0.2]), 3).f == 0.0
    assert pool.pool_d2(np.array([-1e-12, 1e-12]), 1).pvalue == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("rule", [pool.pool_d3, pool.pool_d4])
def test_likelihood_rules_by_hand(rule) -> None:
    # k = 3, m = 5: r = 6 / 12 * (20 - 16) = 2
    found = rule(20.0, 16.0, 3, 5)
    assert found.riv == pytest.approx(2.0)
    assert found.f == pytest.approx(16 / 9)
    a = 12
    expected = 4 + 8 * (1 + (1 - 2 / a) / 2) ** 2 if rule is pool.pool_d3 else a * 1.5**2
    assert found.df2 == pytest.approx(expected)
    assert found.chisq == pytest.approx(16 / 3)
    assert found.fmi == pytest.approx(2 / 3)


def test_complete_data_give_the_chi_square_test() -> None:
    for found in (pool.pool_d3(12.0, 12.0, 4, 5), pool.pool_d4(12.0, 12.0, 4, 5), pool.pool_d2(np.full(5, 12.0), 4)):
        assert found.chisq == pytest.approx(12.0)
        assert found.pvalue == pytest.approx(stats.chi2.sf(12.0, 4))
        assert math.isinf(found.df2)


def test_a_negative_increase_is_kept_by_d3_and_not_by_d4() -> None:
    assert pool.pool_d3(10.0, 11.0, 4, 5).riv < 0
    assert pool.pool_d4(10.0, 11.0, 4, 5).riv == 0
    assert math.isnan(pool.pool_d3(10.0, 30.0, 1, 3).f)  # 1 + r is negative: there is no test


def test_imputations_needed() -> None:
    # upper bound of fmi .3 from 20 imputations: logistic(logit(.3) + 1.96 sqrt(.1))
    upper = 1 / (1 + math.exp(-(math.log(3 / 7) + 1.959963984540054 * math.sqrt(0.1))))
    assert pool.imputations_needed(0.3, 20) == math.ceil(1 + 0.5 * (upper / 0.05) ** 2)
    assert pool.imputations_needed(0.0, 20) == 2
    assert pool.imputations_needed(0.3, 20, cv=0.01) > pool.imputations_needed(0.3, 20)
