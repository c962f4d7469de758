"""Simple slopes and Johnson-Neyman intervals against the definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from b2b_sem.measures.probing import critical_value, johnson_neyman, normal_share, slope_lines

COV = np.array([[0.010, 0.002], [0.002, 0.006]])


@pytest.mark.parametrize("seed", range(30))
def test_intervals_are_where_the_slope_is_significant(seed: int) -> None:
    rng = np.random.default_rng(seed)
    root = rng.normal(scale=0.1, size=(2, 2))
    cov, (b1, b3) = root @ root.T + 1e-3 * np.eye(2), rng.normal(scale=0.4, size=2)
    found = johnson_neyman(b1, b3, cov, 1.96)
    at = np.linspace(-30, 30, 4001)
    slope, se = slope_lines(b1, b3, cov, at)
    inside = np.zeros(len(at), dtype=bool)
    for low, high in found:
        inside |= (at >= low) & (at <= high)
    edge = np.abs(np.abs(slope) - 1.96 * se) < 1e-9
    np.testing.assert_array_equal(inside[~edge], (np.abs(slope) >= 1.96 * se)[~edge])


def test_slopes_by_hand() -> None:
    slope, se = slope_lines(0.3, 0.2, COV, [-1.0, 0.0, 2.0])
    np.testing.assert_allclose(slope, [0.1, 0.3, 0.7])
    np.testing.assert_allclose(se**2, [0.010 - 0.004 + 0.006, 0.010, 0.010 + 0.008 + 0.024])


@pytest.mark.parametrize(
    ("b1", "b3", "cov", "intervals"),
    [
        (1.0, 0.0, np.diag([0.01, 0.0]), 1),  # the same slope everywhere
        (0.01, 0.0, np.diag([0.01, 0.0]), 0),
        (0.0, 0.0, np.diag([0.01, 0.01]), 0),
        (0.5, 0.5, COV, 2),
        (0.5, 0.01, COV, 1),
    ],
)
def test_number_of_intervals(b1: float, b3: float, cov: np.ndarray, intervals: int) -> None:
    assert len(johnson_neyman(b1, b3, cov, 1.96)) == intervals


def test_critical_values() -> None:
    assert critical_value(0.05) == pytest.approx(stats.norm.ppf(0.975))
    assert critical_value(0.05, df=30) == pytest.approx(stats.t.ppf(0.975, 30))
    assert critical_value(0.05, simultaneous=True) == pytest.approx(math.sqrt(stats.chi2.ppf(0.95, 2)))
    assert critical_value(0.1, simultaneous=True, df=40) == pytest.approx(math.sqrt(2 * stats.f.ppf(0.9, 2, 40)))
    with pytest.raises(ValueError, match="alpha"):
        critical_value(1.5)


def test_the_simultaneous_band_holds_everywhere_at_once() -> None:
    rng = np.random.default_rng(6)
    b1, b3 = rng.multivariate_normal([0.0, 0.0], COV, size=8_000).T
    # all values of the moderator, by angle
    m = np.tan(np.linspace(-1.5707, 1.5707, 201))
    _, se = slope_lines(0.0, 0.0, COV, m)
    largest = np.max(np.abs(b1[:, None] + b3[:, None] * m) / se, axis=1)
    assert (largest > critical_value(0.05, simultaneous=True)).mean() == pytest.approx(0.05, abs=0.01)
    # pointwise, the chance of a false finding somewhere is larger
    assert (largest > critical_value(0.05)).mean() > 0.12


def test_share() -> None:
    assert normal_share(((-math.inf, math.inf),), 0.0, 1.0) == pytest.approx(1.0)
    assert normal_share(((-math.inf, -1.0), (1.0, math.inf)), 0.0, 1.0) == pytest.approx(2 * stats.norm.sf(1.0))
    assert math.isnan(normal_share(((0.0, 1.0),), 0.0, 0.0))
