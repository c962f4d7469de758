"""What the estimates of many samples say about a method, each number with its Monte Carlo standard error.

Formulas and Monte Carlo standard errors are those of Morris, White and Crowther (2019), doi:10.1002/sim.8086, table 6.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["PERFORMANCE", "performance", "share"]

Array = npt.NDArray[np.floating[Any]]
Flags = npt.NDArray[np.bool_]
#: Columns of :func:`performance`, in order.
PERFORMANCE: tuple[str, ...] = (
    "true",
    "mean",
    "bias",
    "bias_mcse",
    "rel_bias",
    "rel_bias_mcse",
    "sd",
    "sd_mcse",
    "mean_se",
    "mean_se_mcse",
    "se_bias",
    "se_bias_mcse",
    "rmse",
    "rmse_mcse",
    "coverage",
    "coverage_mcse",
    "power",
    "power_mcse",
    "n_used",
)
#: Spread of estimates, relative to their size, that is rounding of a value that cannot vary.
ROUNDING = 1e-12


def share(hit: Array, *, axis: int = 0) -> tuple[Array, Array]:
    """Return shares and their Monte Carlo standard errors, sqrt(p (1 - p) / R); NaN entries do not count.

    Parameters
    ----------
    hit : (R, ...) array
        1, 0 or NaN.
    axis : int
    """
    known = np.isfinite(hit)
    count = known.sum(axis=axis)
    with np.errstate(invalid="ignore", divide="ignore"):
        p = np.where(known, hit, 0.0).sum(axis=axis) / count
        return p, np.sqrt(p * (1.0 - p) / count)


def performance(estimate: Array, se: Array, half: Array, pvalue: Array, true: Array, alpha: float) -> dict[str, Array]:
    """Summarise the estimates of k parameters in R samples.

    Parameters
    ----------
    estimate, se, half, pvalue : (R, k) arrays
        Estimates; standard errors; half the widths of the intervals; p-values of the tests against zero. A sample
        without an estimate is NaN everywhere and does not count; one without a standard error counts for bias only.
    true : (k,) array
        NaN where it is not known: bias, RMSE and coverage are NaN then.
    alpha : float
        Level of the tests.

    Returns
    -------
    dict of str to (k,) array
        ``bias`` mean minus true value; ``rel_bias`` the same divided by the true value (NaN for 0); ``sd`` of the
        estimates (divisor R - 1); ``mean_se`` the root of the mean squared standard error; ``se_bias`` = mean_se / sd -
        1; ``rmse``; ``coverage``, share of intervals that hold the true value; ``power``, share of tests that reject
        (where the true value is 0, the error of the first kind); ``n_used``, samples with an estimate; and ``*_mcse``.
        A parameter that does not vary (a loading fixed at 1) has sd 0, and no se_bias, coverage or power.
    """
    known = np.isfinite(estimate)
    n = known.sum(axis=0).astype(float)
    few = n < 2

    def mean(values: Array, at: Flags = known, count: Array = n) -> Array:
        return np.asarray(np.where(at, values, 0.0).sum(axis=0) / count)

    with np.errstate(invalid="ignore", divide="ignore"):
        centre = mean(estimate)
        deviation = np.where(known, estimate - centre, 0.0)
        sd = np.sqrt((deviation**2).sum(axis=0) / (n - 1.0))
        fixed = sd <= ROUNDING * np.maximum(np.abs(centre), 1.0)
        sd = np.where(few, np.nan, np.where(fixed, 0.0, sd))
        bias = centre - true
        bias_mcse = sd / np.sqrt(n)
        whole = np.where(true == 0.0, np.nan, true)
        square = (estimate - true) ** 2
        mse = mean(square)
        mse_mcse = np.sqrt(mean((square - mse) ** 2) * n / (n - 1.0) / n)
        rmse = np.sqrt(mse)
        tested = known & np.isfinite(se) & (se > 0)
        m = tested.sum(axis=0).astype(float)
        variance = np.where(tested, se**2, 0.0)
        mean_variance = mean(variance, tested, m)
        mean_se = np.where(m > 0, np.sqrt(mean_variance), np.nan)
        spread = np.sqrt(np.where(tested, (variance - mean_variance) ** 2, 0.0).sum(axis=0) / (m - 1.0))
        mean_se_mcse = spread / np.sqrt(m) / (2.0 * mean_se)
        vary = np.where(fixed, np.nan, sd)
        ratio = mean_se / vary
        ratio_mcse = ratio * np.sqrt((mean_se_mcse / mean_se) ** 2 + 1.0 / (2.0 * (n - 1.0)))
        covered = np.where(tested & np.isfinite(half), np.abs(estimate - true) <= half, np.nan)
        covered = np.where(np.isfinite(true), covered, np.nan)
        rejected = np.where(known & np.isfinite(pvalue), pvalue < alpha, np.nan)
    coverage, coverage_mcse = share(covered)
    power, power_mcse = share(rejected)
    freedom = np.maximum(n - 1.0, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        out = {
            "true": true,
            "mean": centre,
            "bias": bias,
            "bias_mcse": np.where(np.isfinite(true), bias_mcse, np.nan),
            "rel_bias": bias / whole,
            "rel_bias_mcse": bias_mcse / np.abs(whole),
            "sd": sd,
            "sd_mcse": sd / np.sqrt(2.0 * freedom),
            "mean_se": mean_se,
            "mean_se_mcse": mean_se_mcse,
            "se_bias": ratio - 1.0,
            "se_bias_mcse": ratio_mcse,
            "rmse": rmse,
            "rmse_mcse": mse_mcse / (2.0 * np.where(rmse > 0, rmse, np.nan)),
            "coverage": coverage,
            "coverage_mcse": coverage_mcse,
            "power": power,
            "power_mcse": power_mcse,
            "n_used": n,
        }
    return {name: np.asarray(out[name], dtype=float) for name in PERFORMANCE}
