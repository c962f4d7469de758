"""The probit curve of power: it gives back the curve that made the shares, and says so when shares do not tell."""

from __future__ import annotations

import math

import numpy as np
import pytest

from b2b_sem.measures.power import wald_power
from b2b_sem.measures.probit import fit_probit

ROWS = np.array([60, 90, 120, 200])
TRIALS = np.full(4, 10_000)


def test_curve_gives_back_the_rows_of_a_z_test() -> None:
    hits = TRIALS * wald_power(0.25, 1 / np.sqrt(ROWS))
    curve = fit_probit(np.sqrt(ROWS), hits, TRIALS)
    assert curve is not None
    root, se = curve.solve(0.8)
    assert float(wald_power(0.25, 1 / root)) == pytest.approx(0.8, abs=1e-3)
    assert curve.power(root) == pytest.approx(0.8, abs=1e-12)
    rng = np.random.default_rng(1)
    again = [fit_probit(np.sqrt(ROWS), rng.binomial(10_000, hits / TRIALS), TRIALS) for _ in range(300)]
    roots = [c.solve(0.8)[0] for c in again if c is not None]
    assert len(roots) == 300
    assert se == pytest.approx(float(np.std(roots)), rel=0.15)
    spread = np.std([c.power(11.0) for c in again if c is not None])
    low, high = curve.band(11.0)
    assert float(high - low) == pytest.approx(2 * 1.96 * float(spread), rel=0.15)


def test_probit_is_that_of_statsmodels() -> None:
    import statsmodels.api as sm

    hits = np.array([20, 41, 77, 96])
    x = sm.add_constant(np.sqrt(ROWS))
    theirs = sm.GLM(
        np.column_stack([hits, 100 - hits]), x, family=sm.families.Binomial(sm.families.links.Probit())
    ).fit(tol=1e-14)
    curve = fit_probit(np.sqrt(ROWS), hits, np.full(4, 100))
    assert curve is not None
    assert curve.slope == pytest.approx(theirs.params[1], rel=1e-8)
    assert curve.height - curve.slope * curve.center == pytest.approx(theirs.params[0], rel=1e-8)
    assert math.sqrt(curve.cov[1, 1]) == pytest.approx(theirs.bse[1], rel=1e-6)
    at = 12.0
    prediction = theirs.get_prediction([[1.0, at]]).summary_frame(alpha=0.05)
    assert float(curve.power(at)) == pytest.approx(float(prediction["mean"].iloc[0]), rel=1e-8)


@pytest.mark.parametrize(
    ("hits", "trials"),
    [
        ([0, 0, 0, 0], [50] * 4),
        ([50, 50, 50, 50], [50] * 4),
        ([40, 30, 20, 10], [50] * 4),  # falls
        ([0, 0, 50, 50], [50] * 4),  # any steep curve fits
        ([0, 20, 0, 0], [0, 50, 0, 0]),  # one place
    ],
)
def test_shares_that_do_not_tell_give_no_curve(hits: list[int], trials: list[int]) -> None:
    assert fit_probit(np.sqrt(ROWS), hits, trials) is None
