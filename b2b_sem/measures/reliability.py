"""Reliability of sum scores and variance extracted by scales: numbers in, numbers out.

All functions take plain arrays. A covariance matrix is that of the items as they enter the score, so reversed items
must be recoded first: an item that is keyed the other way lowers every coefficient here.
"""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from b2b_sem.errors import DataError

__all__ = [
    "alpha",
    "alpha_if_deleted",
    "alpha_standardized",
    "ave",
    "ave_weighted",
    "composite_reliability",
    "omega",
]

Array = NDArray[np.float64]


def alpha(cov: ArrayLike) -> float:
    """Cronbach's alpha of the sum of the items.

    ``k / (k - 1) * (1 - trace(S) / sum(S))``. A lower bound to reliability when errors are uncorrelated; equal to it
    when, in addition, all items measure the same thing with the same loading (tau-equivalence).

    Parameters
    ----------
    cov : array_like, shape (k, k)
        Covariance matrix of the items, any divisor (alpha does not depend on it).

    Returns
    -------
    float
        Alpha; NaN for fewer than two items or when the sum of the items has no variance. May be negative.

    Raises
    ------
    DataError
        If `cov` is not a square, symmetric, finite matrix with variances above zero.

    References
    ----------
    Cronbach (1951), doi:10.1007/BF02310555. Same number as ``semTools::reliability``'s ``alpha``.
    """
    s = _square(cov, "covariance")
    k = len(s)
    total = float(s.sum())
    if k < 2 or total <= 0:
        return float("nan")
    return k / (k - 1) * (1 - float(np.trace(s)) / total)


def alpha_standardized(cov: ArrayLike) -> float:
    """Alpha of the sum of the standardized items.

    ``k r / (1 + (k - 1) r)`` with ``r`` the mean correlation between items (``psych::alpha``'s ``std.alpha``).

    Parameters
    ----------
    cov : array_like, shape (k, k)
        Covariance or correlation matrix of the items.

    Returns
    -------
    float
        Standardized alpha; NaN for fewer than two items.

    Raises
    ------
    DataError
        As in :func:`alpha`.

    References
    ----------
    Cronbach (1951), doi:10.1007/BF02310555; Falk & Savalei (2011), doi:10.1080/00223891.2011.594129.
    """
    s = _square(cov, "covariance")
    sd = np.sqrt(np.diag(s))
    return alpha(s / np.outer(sd, sd))


def alpha_if_deleted(cov: ArrayLike) -> Array:
    """Alpha of the scale without each item in turn.

    Parameters
    ----------
    cov : array_like, shape (k, k)
        Covariance matrix of the items.

    Returns
    -------
    ndarray, shape (k,)
        Alpha of the other ``k - 1`` items; NaN where fewer than two would remain.

    Raises
    ------
    DataError
        As in :func:`alpha`.
    """
    s = _square(cov, "covariance")
    k = len(s)
    if k < 3:
        return np.full(k, np.nan)
    keep = ~np.eye(k, dtype=bool)
    return np.array([alpha(s[np.ix_(row, row)]) for row in keep])


def omega(
    loadings: ArrayLike,
    residual_cov: ArrayLike,
    factor_var: float = 1.0,
    total_var: float | None = None,
) -> float:
    """McDonald's omega: share of the variance of the item sum that is due to the factor.

    ``(sum l)^2 phi / total`` with ``total = (sum l)^2 phi + sum(Theta)``, where Theta is the whole residual matrix:
    residual covariances count in the denominator. The two other totals in use can be given as `total_var`:

    ==========================  ===============================================================  ============
    total                       source                                                           semTools name
    ==========================  ===============================================================  ============
    common + sum(Theta)         Bollen (1980), doi:10.2307/2095172; Raykov (2001)                 ``omega``
    sum of the implied matrix   Bentler (1972): differs from the first only with cross-loadings   ``omega2``
    sum of the sample matrix    McDonald (1999); default of ``compRelSEM``                        ``omega3``
    ==========================  ===============================================================  ============

    Parameters
    ----------
    loadings : array_like, shape (k,)
        Unstandardized loadings of the items on the factor.
    residual_cov : array_like, shape (k, k) or (k,)
        Residual covariance matrix of the items, or only its diagonal. Ignored when `total_var` is given.
    factor_var : float
        Variance of the factor (for an endogenous factor its total variance, not its disturbance).
    total_var : float, optional
        Variance of the item sum to divide by.

    Returns
    -------
    float
        Omega; NaN for fewer than two items or a total that is not above zero. Loadings keep their signs: items keyed
        the other way lower the coefficient.

    Raises
    ------
    DataError
        If shapes do not fit, values are not finite, or `factor_var` is negative.

    References
    ----------
    McDonald (1999), Test theory: a unified treatment, Erlbaum; McNeish (2018), doi:10.1037/met0000144.
    """
    weights = _vector(loadings)
    if not np.isfinite(factor_var) or factor_var < 0:
        raise DataError(f"the variance of a factor cannot be {factor_var:g}")
    common = float(weights.sum()) ** 2 * float(factor_var)
    total = common + float(_residual(residual_cov, len(weights)).sum()) if total_var is None else float(total_var)
    if len(weights) < 2 or not total > 0:
        return float("nan")
    return common / total


def composite_reliability(loadings: ArrayLike, residual_cov: ArrayLike | None = None) -> float:
    """Composite reliability (CR, Joreskog's rho) from standardized loadings.

    ``(sum l)^2 / ((sum l)^2 + sum(Theta))`` with ``Theta = diag(1 - l^2)`` unless given. This is omega of the sum of
    *standardized* items: it is identical to :func:`omega` when all items have the same variance, and close to it
    when the variances are similar. Which of the two a program prints as "CR" differs between programs.

    Parameters
    ----------
    loadings : array_like, shape (k,)
        Completely standardized loadings.
    residual_cov : array_like, shape (k, k) or (k,), optional
        Standardized residual (co)variances. Give the matrix when residuals correlate: they belong in the
        denominator, and leaving positive ones out overstates reliability (Raykov 2004).

    Returns
    -------
    float
        CR; NaN for fewer than two items, or a denominator that is not above zero.

    Raises
    ------
    DataError
        If shapes do not fit or values are not finite.

    References
    ----------
    Joreskog (1971), doi:10.1007/BF02291393; Fornell & Larcker (1981), doi:10.1177/002224378101800104;
    Raykov (2004), doi:10.1016/S0005-7894(04)80041-8.
    """
    weights = _vector(loadings)
    return omega(weights, 1 - weights**2 if residual_cov is None else residual_cov)


def ave(loadings: ArrayLike) -> float:
    """Average variance extracted: mean of the squared standardized loadings.

    Each item counts the same, whatever its variance. This is Fornell and Larcker's index for standardized items;
    :func:`ave_weighted` is the version for items in their own units (semTools' ``avevar``). The two agree when all
    items have the same variance.

    Parameters
    ----------
    loadings : array_like, shape (k,)
        Completely standardized loadings.

    Returns
    -------
    float
        AVE; NaN for fewer than two items (one item says nothing about shared variance).

    Raises
    ------
    DataError
        If values are not finite.

    References
    ----------
    Fornell & Larcker (1981), doi:10.1177/002224378101800104.
    """
    weights = _vector(loadings)
    return float(np.mean(weights**2)) if len(weights) > 1 else float("nan")


def ave_weighted(loadings: ArrayLike, residual_var: ArrayLike, factor_var: float = 1.0) -> float:
    """Average variance extracted in the items' own units.

    ``sum(l^2 phi) / sum(l^2 phi + theta)``: items with a larger variance weigh more. Same number as
    ``semTools::reliability``'s ``avevar`` for items that load on one factor only.

    Parameters
    ----------
    loadings : array_like, shape (k,)
        Unstandardized loadings.
    residual_var : array_like, shape (k,) or (k, k)
        Residual variances; of a matrix the diagonal is used.
    factor_var : float
        Variance of the factor.

    Returns
    -------
    float
        AVE; NaN for fewer than two items.

    Raises
    ------
    DataError
        If shapes do not fit or values are not finite.

    References
    ----------
    Fornell & Larcker (1981), doi:10.1177/002224378101800104.
    """
    weights = _vector(loadings)
    theta = np.diag(_residual(residual_var, len(weights)))
    common = weights**2 * float(factor_var)
    total = float((common + theta).sum())
    if len(weights) < 2 or not total > 0:
        return float("nan")
    return float(common.sum()) / total


def _square(matrix: ArrayLike, what: str) -> Array:
    """Return `matrix` as a float array after checking that it can be a covariance matrix of items."""
    s = np.asarray(matrix, dtype=np.float64)
    if s.ndim != 2 or s.shape[0] != s.shape[1] or not s.size:
        raise DataError(f"the {what} matrix must be square and not empty, but its shape is {s.shape}")
    if not np.isfinite(s).all():
        raise DataError(f"the {what} matrix holds missing or infinite values")
    if not np.allclose(s, s.T, rtol=1e-8, atol=1e-10 * float(np.abs(s).max())):
        raise DataError(f"the {what} matrix is not symmetric")
    if (np.diag(s) <= 0).any():
        where = ", ".join(str(i + 1) for i in np.flatnonzero(np.diag(s) <= 0))
        raise DataError(f"the {what} matrix has a variance that is not above zero (item {where})")
    return s


def _vector(values: ArrayLike) -> Array:
    """Return loadings as a float vector."""
    v = np.asarray(values, dtype=np.float64)
    if v.ndim != 1 or not v.size:
        raise DataError(f"loadings must be a list of numbers, but their shape is {v.shape}")
    if not np.isfinite(v).all():
        raise DataError("the loadings hold missing or infinite values")
    return v


def _residual(values: ArrayLike, k: int) -> Array:
    """Return a (k, k) residual matrix from a matrix or its diagonal."""
    theta = np.asarray(values, dtype=np.float64)
    if theta.shape == (k,):
        theta = cast(Array, np.diag(theta))
    if theta.shape != (k, k):
        raise DataError(f"{k} loadings need {k} residual variances or a {k} x {k} matrix, not shape {theta.shape}")
    if not np.isfinite(theta).all():
        raise DataError("the residual variances hold missing or infinite values")
    return theta
