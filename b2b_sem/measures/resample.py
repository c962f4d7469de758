"""Bootstrap standard errors and intervals from a matrix of replicates, for all columns at once.

Quantiles between two order statistics are interpolated on the scale of normal quantiles (Davison & Hinkley 1997,
doi:10.1017/CBO9780511802843, equation 5.8), as R's ``boot.ci`` does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

__all__ = ["INTERVALS", "acceleration", "interval"]

Array = npt.NDArray[np.floating[Any]]
INTERVALS = ("bca", "bc", "percentile", "basic", "normal")


def interval(
    draws: Array, estimate: Array, kind: str = "bca", level: float = 0.95, jackknife: Array | None = None
) -> tuple[Array, Array]:
    """Return lower and upper limits, each (k,).

    With Q the quantile function of the draws, z the normal quantile of (1 + level) / 2, z0 the normal quantile of the
    share of draws below the estimate and a the acceleration:

    - ``percentile``: Q(Phi(-z)), Q(Phi(z))
    - ``bc``: Q(Phi(2 z0 -+ z)) (Efron 1981, doi:10.2307/3314608)
    - ``bca``: Q(Phi(z0 + (z0 -+ z) / (1 - a (z0 -+ z)))) (Efron 1987, doi:10.1080/01621459.1987.10478410)
    - ``basic``: 2 estimate - Q(Phi(+-z))
    - ``normal``: estimate - bias -+ z SE

    Parameters
    ----------
    draws : (R, k) array
        Values that are not finite are left out, column by column.
    estimate : (k,) array
    kind : {"bca", "bc", "percentile", "basic", "normal"}
    level : float
    jackknife : (n, k) array, optional
        Leave-one-out estimates, for ``bca``.

    Returns
    -------
    lower, upper : arrays
        The estimate itself where all draws are equal to it (fixed parameters); NaN with fewer than two draws.
    """
    if kind not in INTERVALS:
        raise ValueError(f"unknown interval {kind!r}")
    if kind == "bca" and jackknife is None:
        raise ValueError("bca needs the leave-one-out estimates")
    estimate = np.asarray(estimate, dtype=float)
    ordered = np.sort(np.where(np.isfinite(draws), draws, np.nan), axis=0)  # NaN go last
    count = np.isfinite(ordered).sum(axis=0)
    z = float(special.ndtri(0.5 + level / 2))
    limits = np.array([-z, z])[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        if kind == "normal":
            finite = np.where(np.isfinite(draws), draws, 0.0)
            mean = finite.sum(axis=0) / count
            spread = np.where(np.isfinite(draws), draws - mean, 0.0)
            se = np.sqrt((spread**2).sum(axis=0) / (count - 1))
            out = 2.0 * estimate - mean + limits * se
        elif kind == "basic":
            out = 2.0 * estimate - _quantile(ordered, count, special.ndtr(-limits + np.zeros(len(estimate))))
        else:
            # a draw equal to the estimate counts as half below it
            below = (ordered < estimate).sum(axis=0) + 0.5 * (ordered == estimate).sum(axis=0)
            z0 = special.ndtri(below / count) if kind != "percentile" else np.zeros(len(estimate))
            shifted = z0 + limits
            a = acceleration(jackknife) if kind == "bca" and jackknife is not None else 0.0
            out = _quantile(ordered, count, special.ndtr(z0 + shifted / (1.0 - a * shifted)))
    constant = (ordered[0] == estimate) & (np.nanmax(ordered, axis=0, initial=-np.inf) == estimate)
    out = np.where(constant, estimate, np.where(count < 2, np.nan, out))
    return out[0], out[1]


def acceleration(jackknife: Array) -> Array:
    """Return a = sum(d^3) / (6 sum(d^2)^(3/2)), d the mean of the leave-one-out estimates minus each of them."""
    usable = np.isfinite(jackknife)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(usable, jackknife, 0.0).sum(axis=0) / usable.sum(axis=0)
        d = np.where(usable, mean - jackknife, 0.0)
        scale = np.abs(d).max(axis=0, initial=0.0)
        d = np.where(scale > 0, d / np.where(scale > 0, scale, 1.0), 0.0)
        a = (d**3).sum(axis=0) / (6.0 * (d**2).sum(axis=0) ** 1.5)
    out: Array = np.where(np.isfinite(a), a, 0.0)
    return out


def _quantile(ordered: Array, count: Array, share: Array) -> Array:
    """Return quantiles (2, k) of sorted columns; beyond the outermost order statistics the outermost is taken."""
    position = (count + 1) * share
    usable = np.isfinite(position)
    position = np.where(usable, position, 1.0)
    below = np.clip(np.floor(position + 1e-10), 1, np.maximum(count, 1)).astype(int)
    above = np.minimum(below + 1, np.maximum(count, 1))
    left, right = np.take_along_axis(ordered, below - 1, axis=0), np.take_along_axis(ordered, above - 1, axis=0)
    lower, upper = special.ndtri(below / (count + 1)), special.ndtri(above / (count + 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        weight = np.where(above > below, (special.ndtri(share) - lower) / (upper - lower), 0.0)
    weight = np.clip(np.where(np.isfinite(weight), weight, 0.0), 0.0, 1.0)
    out: Array = np.where(usable, left + weight * (right - left), np.nan)
    return out
