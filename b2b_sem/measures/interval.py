"""Confidence intervals from replicates of an estimate: percentile, bias-corrected, and BCa.

All functions take one column an estimate and work on all columns at once. A replicate that is not finite is left out
of its own column only.

The quantile is that of Davison & Hinkley (1997, doi:10.1017/CBO9780511802843, eq. 5.8) and of R's ``boot::boot.ci``:
the value at rank (R + 1) alpha of the R sorted replicates, interpolated on the scale of normal quantiles between
neighbouring ranks, and the extreme replicate where the rank lies outside 1..R.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

__all__ = ["acceleration", "bca", "bias_corrected", "bias_correction", "percentile"]

Array = npt.NDArray[np.floating[Any]]


def percentile(draws: Array, level: float = 0.95) -> tuple[Array, Array]:
    """Return the percentile interval: the quantiles (1 -+ level) / 2 of the replicates.

    Parameters
    ----------
    draws : (R,) or (R, k) array
        Replicates, one column an estimate.
    level : float
        Confidence level in (0, 1).

    Returns
    -------
    lower, upper : (k,) arrays
        NaN where a column has no finite replicate. Efron (1981), doi:10.2307/3314608.
    """
    values = _columns(draws)
    tails = np.tile(_tails(level), (values.shape[1], 1))
    return _quantiles(values, tails)


def bias_correction(draws: Array, estimate: Array) -> Array:
    """Return z0, the normal quantile of the share of replicates below the estimate, shape (k,).

    Infinite where all or no replicates lie below it. Efron (1987), doi:10.1080/01621459.1987.10478410.
    """
    values = _columns(draws)
    known = np.isfinite(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        below = ((values < np.atleast_1d(estimate)) & known).sum(axis=0) / known.sum(axis=0)
    return np.asarray(special.ndtri(below), dtype=float)


def acceleration(jackknife: Array) -> Array:
    """Return the acceleration a = sum(L^3) / (6 sum(L^2)^1.5), with L_i = mean(t) - t_(i), shape (k,).

    Parameters
    ----------
    jackknife : (n,) or (n, k) array
        The estimate without row i, for each row. Efron (1987), doi:10.1080/01621459.1987.10478410.
    """
    values = _columns(jackknife)
    known = np.isfinite(values)
    count = known.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(known, values, 0.0).sum(axis=0) / count
        influence = np.where(known, mean - values, 0.0)
        # a power of tiny influences would underflow: the ratio does not depend on their size
        size = np.abs(influence).max(axis=0, initial=0.0)
        influence = influence / np.where(size > 0, size, 1.0)
        return np.asarray((influence**3).sum(axis=0) / (6.0 * (influence**2).sum(axis=0) ** 1.5), dtype=float)


def bias_corrected(draws: Array, estimate: Array, level: float = 0.95) -> tuple[Array, Array]:
    """Return the bias-corrected (BC) interval: BCa with acceleration 0.

    Parameters
    ----------
    draws : (R,) or (R, k) array
    estimate : float or (k,) array
        The estimates in the full sample.
    level : float

    Returns
    -------
    lower, upper : (k,) arrays
        NaN where all or no replicates lie below the estimate.
    """
    values = _columns(draws)
    return _corrected(values, estimate, np.zeros(values.shape[1]), level)


def bca(draws: Array, estimate: Array, jackknife: Array, level: float = 0.95) -> tuple[Array, Array]:
    """Return the bias-corrected and accelerated (BCa) interval.

    The quantiles are taken at Phi(z0 + (z0 + z) / (1 - a (z0 + z))), z = Phi^-1((1 -+ level) / 2), with the bias
    correction z0 from the replicates and the acceleration a from the jackknife.
    Efron (1987), doi:10.1080/01621459.1987.10478410.

    Parameters
    ----------
    draws : (R,) or (R, k) array
    estimate : float or (k,) array
        The estimates in the full sample.
    jackknife : (n,) or (n, k) array
        The estimates without row i, for each row i of the data.
    level : float

    Returns
    -------
    lower, upper : (k,) arrays
    """
    return _corrected(_columns(draws), estimate, acceleration(jackknife), level)


def _corrected(values: Array, estimate: Array, a: Array, level: float) -> tuple[Array, Array]:
    z0 = bias_correction(values, estimate)
    shifted = z0[:, None] + special.ndtri(_tails(level))
    with np.errstate(invalid="ignore", divide="ignore"):
        at = special.ndtr(z0[:, None] + shifted / (1.0 - a[:, None] * shifted))
    at[~np.isfinite(z0)] = np.nan
    return _quantiles(values, at)


def _columns(draws: Array) -> Array:
    values = np.asarray(draws, dtype=float)
    return values[:, None] if values.ndim == 1 else values


def _tails(level: float) -> Array:
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie between 0 and 1, not {level}")
    return np.array([(1.0 - level) / 2.0, (1.0 + level) / 2.0])


def _quantiles(values: Array, at: Array) -> tuple[Array, Array]:
    """Return the quantiles of each column at the probabilities `at`, shape (k, 2)."""
    sorted_ = np.sort(np.where(np.isfinite(values), values, np.inf), axis=0)
    count = np.isfinite(sorted_).sum(axis=0)[:, None]
    column = np.arange(values.shape[1])[:, None]
    usable = (count > 0) & np.isfinite(at)
    with np.errstate(invalid="ignore", divide="ignore"):
        rank = np.where(usable, (count + 1) * at, 1.0)
        rank = np.where(np.abs(rank - np.rint(rank)) < 1e-9, np.rint(rank), rank)  # (1 - .95) / 2 is not quite .025
        low = np.clip(np.floor(rank), 1, np.maximum(count, 1)).astype(int)
        high = np.minimum(low + 1, np.maximum(count, 1))
        z, z_low, z_high = (special.ndtri(p) for p in (at, low / (count + 1), high / (count + 1)))
        share = np.where((rank > low) & (high > low), (z - z_low) / (z_high - z_low), 0.0)
    first, second = sorted_[low - 1, column], sorted_[high - 1, column]
    with np.errstate(invalid="ignore"):
        out = np.where(usable, first + np.where(share > 0, share * (second - first), 0.0), np.nan)
    return out[:, 0], out[:, 1]
