"""Bootstrap intervals on arrays whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from b2b_sem.measures.resample import INTERVALS, acceleration, interval


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
