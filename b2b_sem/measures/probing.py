"""Simple slopes of a moderated effect, and where they differ from zero.

The effect of x on y at a value m of the moderator is  b(m) = b1 + b3 m  with variance  v11 + 2 v13 m + v33 m^2
(Aiken & West 1991; Bauer & Curran 2005, doi:10.1207/s15327906mbr4003_5).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

__all__ = ["critical_value", "johnson_neyman", "normal_share", "sample_share", "slope_lines", "wald_columns"]

Array = npt.NDArray[np.floating[Any]]


def slope_lines(b1: float, b3: float, cov: npt.ArrayLike, at: npt.ArrayLike) -> tuple[Array, Array]:
    """Return the simple slopes at values of the moderator and their standard errors, each (k,).

    Parameters
    ----------
    b1, b3 : float
        Coefficients of x and of its product with the moderator.
    cov : (2, 2) array
        Their covariance matrix.
    at : (k,) array
        Values of the moderator.
    """
    v, m = np.asarray(cov, dtype=float), np.asarray(at, dtype=float)
    variance = v[0, 0] + 2.0 * v[0, 1] * m + v[1, 1] * m**2
    return b1 + b3 * m, np.sqrt(np.maximum(variance, 0.0))


def critical_value(alpha: float, *, simultaneous: bool = False, df: float = math.inf) -> float:
    """Return the factor of the standard error.

    Pointwise the two-sided quantile of the normal or t distribution; simultaneous for all values of the moderator at
    once sqrt(2 F(1 - alpha; 2, df)), the band of Working & Hotelling (Potthoff 1964, doi:10.1007/BF02289721).

    Parameters
    ----------
    alpha : float
    simultaneous : bool
    df : float
        Residual degrees of freedom; infinite for maximum likelihood.
    """
    if not 0.0 < alpha < 1.0:
        raise ValueError("alpha must lie between 0 and 1")
    if math.isinf(df):
        if simultaneous:
            return math.sqrt(-2.0 * math.log(alpha))  # the quantile of chi-square with two degrees of freedom
        return float(-special.ndtri(alpha / 2.0))
    if simultaneous:
        return math.sqrt(2.0 * float(special.fdtri(2.0, df, 1.0 - alpha)))
    return float(-special.stdtrit(df, alpha / 2.0))


def johnson_neyman(b1: float, b3: float, cov: npt.ArrayLike, critical: float) -> tuple[tuple[float, float], ...]:
    """Return the intervals of the moderator in which the simple slope differs from zero.

    Where |b1 + b3 m| >= c SE(m), that is (b3^2 - c^2 v33) m^2 + 2 (b1 b3 - c^2 v13) m + b1^2 - c^2 v11 >= 0
    (Johnson & Neyman 1936; Bauer & Curran 2005).

    Parameters
    ----------
    b1, b3, cov
        As in :func:`slope_lines`.
    critical : float
        Factor of the standard error: see :func:`critical_value`.

    Returns
    -------
    tuple of (float, float)
        None, one or two intervals in increasing order; ends may be infinite. The whole line is one interval.
    """
    v, c2 = np.asarray(cov, dtype=float), critical**2
    a, b, c = b3**2 - c2 * v[1, 1], 2.0 * (b1 * b3 - c2 * v[0, 1]), b1**2 - c2 * v[0, 0]
    if not (math.isfinite(a) and math.isfinite(b) and math.isfinite(c)):
        return ()
    everywhere = ((-math.inf, math.inf),)
    if a == 0.0:
        if b == 0.0:
            return everywhere if c >= 0.0 else ()
        return ((-c / b, math.inf),) if b > 0.0 else ((-math.inf, -c / b),)
    inside = b**2 - 4.0 * a * c
    if inside < 0.0:
        return everywhere if a > 0.0 else ()
    # the root that does not cancel first
    q = -0.5 * (b + math.copysign(math.sqrt(inside), b))
    roots = sorted((q / a, c / q if q != 0.0 else 0.0))
    if a > 0.0:
        return ((-math.inf, roots[0]), (roots[1], math.inf))
    return ((roots[0], roots[1]),)


def normal_share(intervals: tuple[tuple[float, float], ...], mean: float, sd: float) -> float:
    """Return the share of a normal distribution that lies in given intervals."""
    if not sd > 0.0:
        return float("nan")
    return float(sum(special.ndtr((high - mean) / sd) - special.ndtr((low - mean) / sd) for low, high in intervals))


def sample_share(interval: tuple[float, float], values: npt.ArrayLike) -> float:
    """Return the share of given values that lie in an interval; NaN without values."""
    given = np.asarray(values, dtype=float)
    given = given[np.isfinite(given)]
    return float(((given >= interval[0]) & (given <= interval[1])).mean()) if len(given) else float("nan")


def wald_columns(value: npt.ArrayLike, se: npt.ArrayLike, level: float, df: float = math.inf) -> dict[str, Array]:
    """Return est, se, z, pvalue, ci_lower and ci_upper, each (k,): normal, or t with finite `df`.

    No test where the standard error is 0.
    """
    est, error = np.atleast_1d(np.asarray(value, dtype=float)), np.atleast_1d(np.asarray(se, dtype=float))
    with np.errstate(invalid="ignore", divide="ignore"):
        z = np.where(error > 0, est / error, np.nan)
    tail = special.ndtr(-np.abs(z)) if math.isinf(df) else special.stdtr(df, -np.abs(z))
    factor = critical_value(1.0 - level, df=df)
    return {
        "est": est,
        "se": error,
        "z": z,
        "pvalue": 2.0 * tail,
        "ci_lower": est - factor * error,
        "ci_upper": est + factor * error,
    }
