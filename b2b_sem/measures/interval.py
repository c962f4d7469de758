"""Means, standard errors and confidence intervals from replicates of estimates.

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

__all__ = ["INTERVALS", "acceleration", "bias_correction", "interval", "spread"]

Array = npt.NDArray[np.floating[Any]]
INTERVALS = ("bca", "bc", "percentile", "basic", "normal")
#: Replicates this close to the estimate, beside its size, are that estimate up to rounding.
ROUNDING = 1e-12


def interval(
    draws: Array, estimate: npt.ArrayLike, kind: str = "bca", level: float = 0.95, jackknife: Array | None = None
) -> tuple[Array, Array]:
    """Return lower and upper limits, each (k,).

    With Q the quantile function of the draws, z the normal quantile of (1 + level) / 2, z0 the bias correction
    (:func:`bias_correction`) and a the acceleration (:func:`acceleration`):

    - ``percentile``: Q(Phi(-z)), Q(Phi(z)) (Efron 1981, doi:10.2307/3314608)
    - ``bc``: Q(Phi(2 z0 -+ z)) (Efron 1981)
    - ``bca``: Q(Phi(z0 + (z0 -+ z) / (1 - a (z0 -+ z)))) (Efron 1987, doi:10.1080/01621459.1987.10478410)
    - ``basic``: 2 estimate - Q(Phi(+-z))
    - ``normal``: estimate - bias -+ z SE

    Parameters
    ----------
    draws : (R,) or (R, k) array
    estimate : float or (k,) array
        The estimates in the full sample.
    kind : {"bca", "bc", "percentile", "basic", "normal"}
    level : float
        Confidence level in (0, 1).
    jackknife : (n,) or (n, k) array, optional
        The estimates without row i, for each row i of the data; for ``bca``.

    Returns
    -------
    lower, upper : (k,) arrays
        The estimate itself where all draws are equal to it (fixed parameters), but for rounding. NaN with fewer than
        two draws, and for ``bc`` and ``bca`` where all or no draws lie below the estimate.
    """
    if kind not in INTERVALS:
        raise ValueError(f"unknown interval {kind!r}")
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie between 0 and 1, not {level}")
    if kind == "bca" and jackknife is None:
        raise ValueError("bca needs the leave-one-out estimates")
    values = _columns(draws)
    center = np.broadcast_to(np.asarray(estimate, dtype=float), values.shape[1:])
    known = np.isfinite(values)
    tails = np.tile([(1.0 - level) / 2.0, (1.0 + level) / 2.0], (len(center), 1))
    if kind == "normal":
        mean, se = spread(values)
        out = (2.0 * center - mean)[:, None] + special.ndtri(tails) * se[:, None]
    elif kind == "basic":
        out = 2.0 * center[:, None] - _quantiles(values, tails[:, ::-1])
    elif kind == "percentile":
        out = _quantiles(values, tails)
    else:
        a = np.zeros(len(center)) if kind == "bc" or jackknife is None else acceleration(jackknife)
        z0 = bias_correction(values, center)[:, None]
        shifted = z0 + special.ndtri(tails)
        with np.errstate(invalid="ignore", divide="ignore"):
            at = special.ndtr(z0 + shifted / (1.0 - a[:, None] * shifted))
        out = _quantiles(values, np.where(np.isfinite(z0), at, np.nan))
    out[known.sum(axis=0) < 2] = np.nan
    size = np.where(np.abs(center) > 0, np.abs(center), 1.0)
    with np.errstate(invalid="ignore"):
        away = np.where(known, np.abs(values - center), 0.0).max(axis=0, initial=0.0)
    constant = known.any(axis=0) & (away <= ROUNDING * size)
    out[constant] = center[constant, None]
    return out[:, 0], out[:, 1]


def spread(draws: Array) -> tuple[Array, Array]:
    """Return mean and standard deviation (divisor R - 1) of the replicates, each (k,).

    NaN where there is no replicate, and the deviation also where there is one only.
    """
    values = _columns(draws)
    known = np.isfinite(values)
    count = known.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(known, values, 0.0).sum(axis=0) / count
        sd = np.sqrt((np.where(known, values - mean, 0.0) ** 2).sum(axis=0) / (count - 1))
    return mean, np.where(count > 1, sd, np.nan)


def bias_correction(draws: Array, estimate: npt.ArrayLike) -> Array:
    """Return z0, the normal quantile of the share of replicates below the estimate, shape (k,).

    A replicate equal to the estimate counts as half below it. Infinite where all or no replicates lie below it.
    Efron (1987), doi:10.1080/01621459.1987.10478410.
    """
    values, center = _columns(draws), np.asarray(estimate, dtype=float)
    known = np.isfinite(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        below = ((values < center) & known).sum(axis=0) + 0.5 * (values == center).sum(axis=0)
        return np.asarray(special.ndtri(below / known.sum(axis=0)), dtype=float)


def acceleration(jackknife: Array) -> Array:
    """Return the acceleration a = sum(L^3) / (6 sum(L^2)^1.5), with L_i = mean(t) - t_(i), shape (k,).

    Parameters
    ----------
    jackknife : (n,) or (n, k) array
        The estimate without row i, for each row.

    Returns
    -------
    array
        0 where no row matters, NaN where there is no estimate. Efron (1987), doi:10.1080/01621459.1987.10478410.
    """
    values = _columns(jackknife)
    known = np.isfinite(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(known, values, 0.0).sum(axis=0) / known.sum(axis=0)
        influence = np.where(known, mean - values, 0.0)
        # a power of tiny influences would underflow: the ratio does not depend on their size
        size = np.abs(influence).max(axis=0, initial=0.0)
        influence = influence / np.where(size > 0, size, 1.0)
        a = (influence**3).sum(axis=0) / (6.0 * (influence**2).sum(axis=0) ** 1.5)
    return np.where(known.any(axis=0) & ~(size > 0), 0.0, a)


def _columns(draws: Array) -> Array:
    values = np.asarray(draws, dtype=float)
    return values[:, None] if values.ndim == 1 else values


def _quantiles(values: Array, at: Array) -> Array:
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
        return np.where(usable, first + np.where(share > 0, share * (second - first), 0.0), np.nan)
