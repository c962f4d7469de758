"""Sampling adequacy of a set of items: Kaiser-Meyer-Olkin measure and Bartlett's test of sphericity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from b2b_sem.errors import DataError

__all__ = ["KMO_ITEM_MINIMUM", "Adequacy", "adequacy", "adequacy_of_data"]

Array = NDArray[np.float64]

#: Items below this are "unacceptable" (Kaiser 1974, doi:10.1007/BF02291575).
KMO_ITEM_MINIMUM = 0.5

# Smallest admissible ratio of the smallest to the largest eigenvalue of a correlation matrix: below it the inverse
# has fewer than about four correct digits.
_CONDITION = 1e-12
# exp(-700) is about the smallest double: beyond it a determinant is zero although the matrix is regular.
_LOG_DETERMINANT = -700.0


@dataclass(frozen=True)
class Adequacy:
    """Whether the items share enough variance for a factor model.

    Attributes
    ----------
    kmo : float
        Overall measure of sampling adequacy, between 0 and 1.
    items : tuple of (str, float)
        Measure of each item.
    bartlett_chisq, bartlett_df, bartlett_pvalue : float
        Test of the hypothesis that all correlations are zero.
    """

    kmo: float
    items: tuple[tuple[str, float], ...]
    bartlett_chisq: float
    bartlett_df: float
    bartlett_pvalue: float

    @property
    def low_items(self) -> tuple[str, ...]:
        """Names of the items whose measure is below :data:`KMO_ITEM_MINIMUM`."""
        return tuple(name for name, value in self.items if value < KMO_ITEM_MINIMUM)


def adequacy(cor: ArrayLike, nobs: int, names: Sequence[str] | None = None) -> Adequacy:
    """KMO and Bartlett's test from a correlation matrix.

    KMO of item j: ``sum_k r_jk^2 / (sum_k r_jk^2 + sum_k q_jk^2)`` over the other items, ``q`` being the partial
    correlations given all other items; the overall measure sums over all pairs. Bartlett: ``-(n - 1 - (2p + 5) / 6)
    ln det R`` with ``p (p - 1) / 2`` degrees of freedom.

    Parameters
    ----------
    cor : array_like, shape (p, p)
        Correlation (or covariance) matrix of the items.
    nobs : int
        Number of respondents behind it.
    names : sequence of str, optional
        Names of the items for messages and results.

    Returns
    -------
    Adequacy

    Raises
    ------
    DataError
        If the matrix is not a regular correlation matrix of two or more items (items that repeat each other are
        named), or there are too few respondents.

    References
    ----------
    Kaiser (1974), doi:10.1007/BF02291575; Bartlett (1951), doi:10.1093/biomet/38.3-4.337. Same numbers as
    ``psych::KMO`` and ``psych::cortest.bartlett``.
    """
    r, labels = _correlations(cor, names)
    inverse = np.linalg.inv(r)
    scale = np.sqrt(np.diag(inverse))
    partial = inverse / np.outer(scale, scale)
    off = ~np.eye(len(r), dtype=bool)
    r2 = np.where(off, r, 0.0) ** 2
    q2 = np.where(off, partial, 0.0) ** 2
    if not r2.sum() > 0:
        raise DataError("no item correlates with any other: sampling adequacy is not defined")
    each = r2.sum(axis=0) / (r2.sum(axis=0) + q2.sum(axis=0))
    return _result(float(r2.sum() / (r2.sum() + q2.sum())), each, labels, *_bartlett(r, nobs))


def adequacy_of_data(data: ArrayLike, names: Sequence[str] | None = None) -> Adequacy:
    """KMO and Bartlett's test from answers, computed by factor_analyzer.

    Parameters
    ----------
    data : array_like, shape (n, p)
        Answers of complete cases.
    names : sequence of str, optional
        Names of the items.

    Returns
    -------
    Adequacy
        As :func:`adequacy` gives it for the correlations of `data`.

    Raises
    ------
    DataError
        If `data` holds missing values or constant items, has no more rows than items, or the correlation matrix is
        singular.
    """
    x = np.asarray(data, dtype=np.float64)
    if x.ndim != 2:
        raise DataError(f"answers must form a table of respondents and items, but their shape is {x.shape}")
    n, p = x.shape
    if not np.isfinite(x).all():
        raise DataError("the answers hold missing or infinite values", hint="use complete rows only")
    if n <= p:
        raise DataError(f"{n} rows are too few for the sampling adequacy of {p} items: more rows than items are needed")
    labels = _labels(names, p)
    z = x - x.mean(axis=0)
    sd = z.std(axis=0, ddof=1)
    if not (sd > 0).all():
        constant = ", ".join(label for label, s in zip(labels, sd, strict=True) if not s > 0)
        raise DataError(f"constant item: {constant}")
    z /= sd
    r, _ = _correlations(z.T @ z / (n - 1), labels)
    from factor_analyzer.factor_analyzer import calculate_bartlett_sphericity, calculate_kmo

    # factor_analyzer takes a pseudo-inverse, and warns, when the determinant of the covariance matrix is small.
    # KMO does not depend on the units: bring the determinant of this regular matrix to one.
    logdet = float(np.linalg.slogdet(r)[1])
    each, total = calculate_kmo(z * np.exp(-logdet / (2 * p)))
    if logdet > _LOG_DETERMINANT:
        chisq, pvalue = calculate_bartlett_sphericity(z)
        test = (float(chisq), p * (p - 1) / 2, float(pvalue))
    else:
        test = _bartlett(r, n)
    return _result(float(total), np.asarray(each), labels, *test)


def _bartlett(r: Array, nobs: int) -> tuple[float, float, float]:
    from scipy.special import chdtrc

    p = len(r)
    factor = nobs - 1 - (2 * p + 5) / 6
    if factor <= 0:
        raise DataError(f"{nobs} respondents are too few for Bartlett's test of {p} items")
    chisq = max(0.0, -factor * float(np.linalg.slogdet(r)[1]))
    df = p * (p - 1) / 2
    return chisq, df, float(chdtrc(df, chisq))


def _result(total: float, each: Array, labels: tuple[str, ...], chisq: float, df: float, pvalue: float) -> Adequacy:
    items = tuple((label, float(value)) for label, value in zip(labels, each, strict=True))
    return Adequacy(total, items, chisq, df, pvalue)


def _labels(names: Sequence[str] | None, p: int) -> tuple[str, ...]:
    labels = tuple(f"item {i + 1}" for i in range(p)) if names is None else tuple(str(n) for n in names)
    if len(labels) != p:
        raise DataError(f"{len(labels)} names were given for {p} items")
    return labels


def _correlations(cor: ArrayLike, names: Sequence[str] | None) -> tuple[Array, tuple[str, ...]]:
    """Return a regular correlation matrix and the item names, or say which items make it singular."""
    r = np.array(cor, dtype=np.float64)
    if r.ndim != 2 or r.shape[0] != r.shape[1]:
        raise DataError(f"the correlation matrix must be square, but its shape is {r.shape}")
    labels = _labels(names, len(r))
    if len(r) < 2:
        raise DataError("sampling adequacy needs at least two items")
    if not np.isfinite(r).all() or (np.diag(r) <= 0).any():
        raise DataError("the correlation matrix holds missing values or variances that are not above zero")
    sd = np.sqrt(np.diag(r))
    r = r / np.outer(sd, sd)
    if not np.allclose(r, r.T, rtol=0, atol=1e-8):
        raise DataError("the correlation matrix is not symmetric")
    values, vectors = np.linalg.eigh(r)
    if values[0] < -1e-8 * values[-1]:
        raise DataError("the correlation matrix is not positive definite: no answers can have these correlations")
    if values[0] < _CONDITION * values[-1]:
        culprits = ", ".join(labels[i] for i in np.flatnonzero(np.abs(vectors[:, 0]) > 1e-4))
        raise DataError(
            f"the correlation matrix is singular: {culprits} are linearly dependent",
            hint="leave out one of them (a copy, a total score, or an item computed from the others)",
        )
    return r, labels
