"""Cut-offs of two distributions: criteria, their order, and numbers that follow by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from b2b_sem.measures.cutoff import construct_reliability, cross_loading, find_cut, quantile_error

GRID = np.linspace(0, 1, 101)  # its quantile p is p


def test_distributions_far_apart_are_cut_at_95_5() -> None:
    cut = find_cut(GRID, GRID + 2, higher_is_worse=True)
    assert (cut.value, cut.criterion) == (pytest.approx(2.05), "95/5")
    assert cut.sensitivity == pytest.approx(96 / 101)
    assert cut.specificity == 1
    assert cut.correct == pytest.approx(0.95)
    assert cut.power == 1


@pytest.mark.parametrize(
    ("shift", "criterion", "value"),
    # 5th percentile shift + .05 against .95; 10th shift + .10 against .90
    [(0.901, "95/5", 0.951), (0.899, "90/10", 0.999), (0.801, "90/10", 0.901), (0.799, "none", math.nan)],
)
def test_criteria_are_tried_in_order(shift: float, criterion: str, value: float) -> None:
    cut = find_cut(GRID, GRID + shift, higher_is_worse=True)
    assert cut.criterion == criterion
    assert cut.value == pytest.approx(value, nan_ok=True)
    assert cut.power == pytest.approx((GRID + shift > 0.95).mean())
    assert math.isnan(cut.sensitivity) == (criterion == "none")


def test_cfi_is_the_mirror_of_rmsea() -> None:
    rng = np.random.default_rng(1)
    good, bad = rng.normal(0, 1, 500), rng.normal(4, 1, 500)
    up, down = find_cut(good, bad, higher_is_worse=True), find_cut(-good, -bad, higher_is_worse=False)
    assert down.value == pytest.approx(-up.value)
    assert down.correct == pytest.approx(-up.correct)
    assert (down.criterion, down.sensitivity, down.specificity) == (up.criterion, up.sensitivity, up.specificity)
    assert find_cut(good, bad, higher_is_worse=False).criterion == "none"


def test_equal_distributions_with_ties_have_no_cut() -> None:
    ones = np.ones(50)
    assert find_cut(ones, ones, higher_is_worse=False).criterion == "none"


def test_missing_values_are_left_out_and_nothing_is_refused() -> None:
    holes = np.append(GRID, np.nan)
    assert find_cut(holes, holes + 2, higher_is_worse=True).value == pytest.approx(2.05)
    with pytest.raises(ValueError, match="no values"):
        find_cut(np.array([np.nan]), GRID, higher_is_worse=True)


def test_error_of_a_quantile_is_that_of_repeated_samples() -> None:
    rng = np.random.default_rng(3)
    spread = np.std([np.quantile(rng.normal(size=500), 0.05) for _ in range(800)])
    claimed = np.mean([quantile_error(rng.normal(size=500), 0.05) for _ in range(200)])
    assert claimed == pytest.approx(spread, rel=0.1)
    assert math.isnan(quantile_error(np.ones(1), 0.05))


def test_construct_reliability_by_hand() -> None:
    # .36/.64 + .64/.36 = 0.5625 + 1.7778
    assert construct_reliability(np.array([0.6, -0.8])) == pytest.approx(1 / (1 + 1 / 2.340277777777778))
    assert construct_reliability(np.array([0.0])) == 0


@pytest.mark.parametrize("correlation", [-0.85, 0.0, 0.4, 0.9])
@pytest.mark.parametrize("loading", [-0.95, 0.3, 0.8])
def test_cross_loadings_leave_a_residual_variance(loading: float, correlation: float) -> None:
    value = cross_loading(loading, correlation)
    for sign in (-1, 1):
        assert loading**2 + value**2 + 2 * loading * value * sign * correlation < 1
    assert 0 < value <= abs(loading)
    assert cross_loading(0.3, 0.4) == 0.3
