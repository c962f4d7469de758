"""Moments of normal variables cut into steps: against probabilities of cells, and definitions."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from b2b_sem.measures.cut import cut_moments, linear_steps, mixed_moments, steps_of

FIVE = (-1.6, -0.4, 0.3, 1.7)
SKEWED = (0.2, 1.1)


def by_cells(first: tuple[float, ...], second: tuple[float, ...], r: float) -> float:
    """Covariance of two cut variables, summed over the cells of the bivariate normal distribution."""
    normal = stats.multivariate_normal([0, 0], [[1, r], [r, 1]])
    edges = [(-np.inf, *cuts, np.inf) for cuts in (first, second)]
    total = 0.0
    for i, j in itertools.product(range(len(first) + 1), range(len(second) + 1)):
        corners = [(edges[0][i + a], edges[1][j + b], (-1) ** (a + b)) for a in (0, 1) for b in (0, 1)]
        total += i * j * sum(s * normal.cdf([np.clip(x, -9, 9), np.clip(y, -9, 9)]) for x, y, s in corners)
    means = [sum(stats.norm.sf(t) for t in cuts) for cuts in (first, second)]
    return float(total - means[0] * means[1])


@pytest.mark.parametrize("r", [-0.7, 0.0, 0.25, 0.9])
def test_covariance_of_answers_is_that_of_their_cells(r: float) -> None:
    steps = [steps_of(FIVE, range(5)), steps_of(SKEWED, range(3))]
    _, cov = cut_moments(steps, np.array([[1.0, r], [r, 1.0]]))
    assert cov[0, 1] == pytest.approx(by_cells(FIVE, SKEWED, r), abs=2e-7)
    # the product of both attenuations alone is not exact
    first = r * steps[0].coefficients[0] * steps[1].coefficients[0]
    assert r == 0 or cov[0, 1] != pytest.approx(first, abs=1e-4)


def test_mean_and_variance_follow_from_the_shares() -> None:
    cuts = np.array([-0.5, 0.1, 2.0])
    shares = np.diff([0, *stats.norm.cdf(cuts), 1])
    values = np.array([1.0, 2.0, 4.0, 3.0])  # also where an answer stands for less
    steps = steps_of(cuts, values)
    assert steps.mean == pytest.approx(shares @ values, abs=1e-14)
    assert steps.variance == pytest.approx(shares @ (values - shares @ values) ** 2, abs=1e-14)
    # Parseval: all coefficients together are the variance; steps make them fall slowly
    assert (steps.coefficients**2).sum() == pytest.approx(steps.variance, rel=0.03)
    assert (steps.coefficients**2).sum() < steps.variance


def test_fine_steps_are_the_variable_itself() -> None:
    cuts = np.arange(-8.5, 8.5, 0.01)
    steps = steps_of(cuts, np.append(cuts, 8.5) - 0.005)
    line = linear_steps(0.0, 1.0)
    mean, cov = cut_moments([steps, line], np.array([[1.0, 0.6], [0.6, 1.0]]))
    assert mean == pytest.approx([0, 0], abs=1e-10)
    assert cov == pytest.approx(np.array([[1 + 1e-4 / 12, 0.6], [0.6, 1.0]]), abs=1e-8)


def test_far_cut_points_keep_their_digits() -> None:
    steps = steps_of([6.0], [0, 1])
    share = stats.norm.sf(6.0)
    assert steps.mean == pytest.approx(share, rel=1e-12)
    assert steps.variance == pytest.approx(share * (1 - share), rel=1e-12)


def test_a_mixture_adds_the_spread_of_means() -> None:
    mean, cov = mixed_moments([0.25, 0.75], [np.zeros(2), np.array([1.0, 2.0])], [np.eye(2), 2 * np.eye(2)])
    assert mean == pytest.approx([0.75, 1.5])
    # within: 1.75 I; between: share times the rest times the products of the distances
    assert cov == pytest.approx(1.75 * np.eye(2) + 0.1875 * np.array([[1, 2], [2, 4]]))
    assert math.isclose(cov[0, 1], 0.375)
