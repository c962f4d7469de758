"""Intervals from replicates: what they are for, and where they have no value."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from b2b_sem.measures.interval import INTERVALS, acceleration, interval, spread


def percentile(draws: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    return interval(draws, np.nan, "percentile", level)


def bias_corrected(draws: np.ndarray, estimate: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    return interval(draws, estimate, "bc", level)


def bca(
    draws: np.ndarray, estimate: np.ndarray, jackknife: np.ndarray, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    return interval(draws, estimate, "bca", level, jackknife)


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


def test_percentile_of_evenly_spaced_draws() -> None:
    draws = np.arange(1.0, 1000.0)[:, None]  # 999 draws: quantile share s is order statistic 1000 s
    lower, upper = interval(draws, np.array([500.0]), "percentile", 0.9)
    assert (lower[0], upper[0]) == pytest.approx((50.0, 950.0))


def test_bias_correction_and_acceleration_are_those_of_the_formula() -> None:
    draws = np.arange(1.0, 1000.0)[:, None]
    estimate = np.array([400.0])
    z0 = stats.norm.ppf((399 + 0.5) / 999)
    z = stats.norm.ppf(0.95)
    lower, upper = interval(draws, estimate, "bc", 0.9)
    assert (lower[0], upper[0]) == pytest.approx(
        (1000 * stats.norm.cdf(2 * z0 - z), 1000 * stats.norm.cdf(2 * z0 + z)), abs=0.2
    )
    jackknife = np.array([0.0, 0.0, 0.0, 1.0])[:, None]
    d = jackknife.mean() - jackknife[:, 0]
    a = (d**3).sum() / (6 * (d**2).sum() ** 1.5)
    assert acceleration(jackknife)[0] == pytest.approx(a)
    lower, _ = interval(draws, estimate, "bca", 0.9, jackknife)
    assert lower[0] == pytest.approx(1000 * stats.norm.cdf(z0 + (z0 - z) / (1 - a * (z0 - z))), abs=0.2)


@pytest.mark.parametrize("kind", INTERVALS)
def test_constants_missing_draws_and_columns(kind: str) -> None:
    rng = np.random.default_rng(1)
    column = rng.normal(size=400)
    holes = np.where(rng.random(400) < 0.1, np.nan, column)
    draws = np.column_stack([np.ones(400), holes, column, np.full(400, np.nan)])
    jackknife = rng.normal(size=(30, 4))
    estimate = np.array([1.0, 0.05, 0.05, 0.0])
    lower, upper = interval(draws, estimate, kind, 0.95, jackknife)
    assert (lower[0], upper[0]) == (1.0, 1.0)
    alone = interval(holes[np.isfinite(holes)][:, None], estimate[1:2], kind, 0.95, jackknife[:, 1:2])
    assert (lower[1], upper[1]) == pytest.approx((alone[0][0], alone[1][0]))
    assert -2.6 < lower[2] < -1.4
    assert 1.4 < upper[2] < 2.6
    assert np.isnan(lower[3])


def test_acceleration_of_constants_and_holes() -> None:
    jackknife = np.array([[1.0, 1.0], [1.0, np.nan], [1.0, 3.0], [1.0, 1.0]])
    found = acceleration(jackknife)
    assert found[0] == 0.0
    assert found[1] == pytest.approx(acceleration(jackknife[[0, 2, 3], 1:])[0])


def test_refuses_what_it_cannot_do() -> None:
    with pytest.raises(ValueError, match="unknown interval"):
        interval(np.ones((3, 1)), np.ones(1), "student")
    with pytest.raises(ValueError, match="leave-one-out"):
        interval(np.ones((3, 1)), np.ones(1), "bca")


def test_without_any_leave_one_out_estimate_there_is_no_bca() -> None:
    draws = np.random.default_rng(6).normal(size=200)
    nothing = np.full((30, 1), np.nan)
    assert np.isnan(acceleration(nothing)).all()
    assert np.isnan(interval(draws, 0.1, "bca", 0.95, nothing)).all()


@pytest.mark.parametrize("kind", INTERVALS)
def test_rounding_does_not_make_an_interval(kind: str) -> None:
    """A standardized variance is 1 in every replicate, but for the last digit."""
    draws = 1.0 - np.random.default_rng(7).integers(0, 2, size=200) * 2.0**-53
    lower, upper = interval(draws, 1.0 + 2.0**-52, kind, 0.95, draws)
    assert (lower[0], upper[0]) == (1.0 + 2.0**-52, 1.0 + 2.0**-52)


def test_a_replicate_equal_to_the_estimate_is_half_below_it() -> None:
    draws = np.repeat(np.arange(-5.0, 6.0), 21)  # symmetric about the estimate, with ties: no bias to correct
    np.testing.assert_allclose(bias_corrected(draws, np.array([0.0])), percentile(draws), rtol=1e-12)


def test_spread_leaves_out_what_is_missing() -> None:
    column = np.array([1.0, 2.0, 4.0, 9.0])
    mean, sd = spread(np.column_stack([column, [1.0, np.nan, 3.0, np.inf], np.full(4, np.nan)]))
    assert mean[:2] == pytest.approx([4.0, 2.0])
    assert sd[:2] == pytest.approx([column.std(ddof=1), np.sqrt(2.0)])
    assert np.isnan([mean[2], sd[2]]).all()
