"""Intervals from replicates: what they are for, and where they have no value."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from b2b_sem.measures.interval import acceleration, bca, bias_corrected, percentile


def test_whole_ranks_are_order_statistics() -> None:
    draws = np.random.default_rng(1).permutation(np.arange(1.0, 200.0))  # 199 replicates: (R + 1) .025 = 5
    assert [float(b[0]) for b in percentile(draws, 0.95)] == [5.0, 195.0]


def test_columns_do_not_disturb_each_other_and_failed_replicates_leave_only_theirs() -> None:
    rng = np.random.default_rng(2)
    draws = rng.normal(size=(500, 3))
    broken = draws.copy()
    broken[::5, 1] = np.nan
    broken[:, 2] = np.nan
    lower, upper = percentile(broken)
    assert (lower[0], upper[0]) == tuple(b[0] for b in percentile(draws[:, 0]))
    kept = np.delete(draws[:, 1], np.s_[::5])
    assert (lower[1], upper[1]) == tuple(b[0] for b in percentile(kept))
    assert np.isnan([lower[2], upper[2]]).all()
    jackknife = rng.normal(size=(50, 3))
    jackknife[3, 1] = np.inf
    assert acceleration(jackknife)[1] == pytest.approx(acceleration(np.delete(jackknife[:, 1], 3))[0], rel=1e-12)


def test_without_bias_and_skewness_all_three_agree() -> None:
    draws = np.concatenate([-np.arange(1.0, 501.0), np.arange(1.0, 501.0)])
    jackknife = np.tile([-1.0, 1.0], 30)
    plain = percentile(draws, 0.9)
    np.testing.assert_allclose(bias_corrected(draws, np.array([0.0]), 0.9), plain, rtol=1e-12)
    np.testing.assert_allclose(bca(draws, np.array([0.0]), jackknife, 0.9), plain, rtol=1e-12)


def test_an_estimate_outside_all_replicates_has_no_bias_correction() -> None:
    draws = np.random.default_rng(3).normal(size=200)
    assert np.isnan(bias_corrected(draws, np.array([99.0]))).all()
    assert np.isfinite(percentile(draws)).all()


def test_acceleration_does_not_depend_on_units() -> None:
    jackknife = np.random.default_rng(4).exponential(size=80)
    np.testing.assert_allclose(acceleration(jackknife * 1e-120), acceleration(jackknife), rtol=1e-9)
    assert acceleration(-jackknife)[0] == pytest.approx(-acceleration(jackknife)[0])


def test_bca_covers_a_skewed_statistic_better_than_the_percentile_interval() -> None:
    """The variance of normal data: 90 % intervals of n = 20; the target is known exactly."""
    rng = np.random.default_rng(5)
    n, hits = 20, {"percentile": 0, "bca": 0}
    for _ in range(400):
        x = rng.normal(size=n)
        sample = x[rng.integers(n, size=(599, n))]
        draws = sample.var(axis=1)
        left_out = np.array([np.delete(x, i).var() for i in range(n)])
        for name, (lower, upper) in (
            ("percentile", percentile(draws, 0.9)),
            ("bca", bca(draws, np.array([x.var()]), left_out, 0.9)),
        ):
            hits[name] += bool(lower[0] <= 1.0 <= upper[0])
    assert hits["bca"] > hits["percentile"] + 10
    assert hits["bca"] / 400 > 0.80


@pytest.mark.parametrize("level", [0.0, 1.0, 95])
def test_a_level_is_a_probability(level: float) -> None:
    with pytest.raises(ValueError, match="level"):
        percentile(np.arange(10.0), level)


def test_the_interval_of_many_normal_draws_is_that_of_the_normal() -> None:
    draws = stats.norm.ppf(np.arange(1, 100_000) / 100_000)
    np.testing.assert_allclose([b[0] for b in percentile(draws)], [-1.959964, 1.959964], atol=1e-6)
