"""Discriminant validity of scales: HTMT, HTMT2 and the Fornell-Larcker criterion, numbers in, numbers out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from b2b_sem.errors import DataError

__all__ = ["fornell_larcker", "fornell_larcker_violations", "htmt", "htmt2", "undefined_ratios"]

Array = NDArray[np.float64]


#: A correlation this small is zero up to rounding; the logarithm of rounding noise must not decide a geometric mean.
ROUNDING = 1e-12


def htmt(cor: ArrayLike, blocks: Sequence[Sequence[int]], *, absolute: bool = True) -> Array:
    """Heterotrait-monotrait ratio of correlations (arithmetic means).

    Mean correlation between the items of two scales, divided by the geometric mean of the two mean correlations
    within the scales. Under tau-equivalence it is the correlation of the scales free of measurement error.

    Parameters
    ----------
    cor : array_like, shape (p, p)
        Correlation matrix of the items (a covariance matrix is turned into one).
    blocks : sequence of sequences of int
        For each scale the positions of its items in `cor`.
    absolute : bool
        Use absolute correlations, so that items keyed in opposite directions do not cancel out. True is the default
        of ``semTools::htmt`` (0.5-6) and the form SmartPLS calls HTMT+; False is the formula of Henseler et al. With
        all correlations positive both agree.

    Returns
    -------
    ndarray, shape (m, m)
        Symmetric, with ones on the diagonal (as semTools prints it). NaN where the ratio is not defined; why, says
        :func:`undefined_ratios`. Single-item scales have no correlation within the scale: NaN. (Setting it to 1, as
        some programs do, would claim that the item is free of error.) An item that belongs to both scales is not
        paired with itself.

    Raises
    ------
    DataError
        If `cor` is not a proper matrix or a block names a position outside it or one position twice.

    References
    ----------
    Henseler, Ringle & Sarstedt (2015), doi:10.1007/s11747-014-0403-8.
    """
    return _ratios(cor, blocks, absolute=absolute, geometric=False)[0]


def htmt2(cor: ArrayLike, blocks: Sequence[Sequence[int]], *, absolute: bool = True) -> Array:
    """Heterotrait-monotrait ratio with geometric means, consistent also when loadings differ within a scale.

    Parameters
    ----------
    cor : array_like, shape (p, p)
        Correlation matrix of the items (a covariance matrix is turned into one).
    blocks : sequence of sequences of int
        For each scale the positions of its items in `cor`.
    absolute : bool
        Use absolute correlations (what ``semTools::htmt(htmt2 = TRUE)`` always does). If False, a ratio for which
        any correlation is zero or negative is NaN: a geometric mean needs positive numbers.

    Returns
    -------
    ndarray, shape (m, m)
        As for :func:`htmt`.

    Raises
    ------
    DataError
        As for :func:`htmt`.

    References
    ----------
    Roemer, Schuberth & Henseler (2021), doi:10.1108/IMDS-02-2021-0082.
    """
    return _ratios(cor, blocks, absolute=absolute, geometric=True)[0]


def undefined_ratios(
    cor: ArrayLike, blocks: Sequence[Sequence[int]], *, absolute: bool = True, geometric: bool = False
) -> dict[tuple[int, int], str]:
    """Why ratios of :func:`htmt` (or, with `geometric`, of :func:`htmt2`) are NaN.

    Returns
    -------
    dict
        ``{(i, j): reason}`` with ``i > j`` for every undefined ratio; empty when all are defined.
    """
    return _ratios(cor, blocks, absolute=absolute, geometric=geometric)[1]


def fornell_larcker(latent_cor: ArrayLike, ave: ArrayLike) -> Array:
    """Table of the Fornell-Larcker criterion.

    Parameters
    ----------
    latent_cor : array_like, shape (m, m)
        Correlations of the latent variables.
    ave : array_like, shape (m,)
        Average variance extracted of each (NaN where there is none).

    Returns
    -------
    ndarray, shape (m, m)
        Correlations below the diagonal, square roots of AVE on it, NaN above.

    Raises
    ------
    DataError
        If the shapes do not fit.

    References
    ----------
    Fornell & Larcker (1981), doi:10.1177/002224378101800104.
    """
    r, root = _larcker_input(latent_cor, ave)
    out = np.where(np.tri(len(r), k=-1, dtype=bool), r, np.nan)
    np.fill_diagonal(out, root)
    return out


def fornell_larcker_violations(latent_cor: ArrayLike, ave: ArrayLike) -> tuple[tuple[int, int], ...]:
    """Pairs of scales that share at least as much variance as one of them extracts from its own items.

    Returns
    -------
    tuple of (int, int)
        Pairs ``(i, j)``, ``i > j``, with ``|r_ij| >= min(sqrt(AVE_i), sqrt(AVE_j))``. A scale without AVE is
        compared on the other scale's side only.
    """
    r, root = _larcker_input(latent_cor, ave)
    limit = np.fmin(root[:, None], root[None, :])
    rows, columns = np.nonzero(np.tril(np.abs(r) >= limit, k=-1))
    return tuple(zip(rows.tolist(), columns.tolist(), strict=True))


def _larcker_input(latent_cor: ArrayLike, ave: ArrayLike) -> tuple[Array, Array]:
    r = np.asarray(latent_cor, dtype=np.float64)
    a = np.asarray(ave, dtype=np.float64)
    if r.ndim != 2 or r.shape != (len(r), len(r)) or a.shape != (len(r),):
        raise DataError(f"{r.shape} correlations and {a.shape} values of AVE do not belong together")
    if (a < 0).any():
        raise DataError("an average variance extracted cannot be negative")
    return r, np.sqrt(a)


def _ratios(
    cor: ArrayLike, blocks: Sequence[Sequence[int]], *, absolute: bool, geometric: bool
) -> tuple[Array, dict[tuple[int, int], str]]:
    """Return the ratios and, for each NaN below the diagonal, the reason."""
    r, index = _check(cor, blocks)
    if absolute:
        r = np.abs(r)
    m = len(index)
    within: list[tuple[float, str]] = []
    for block in index:
        pairs = r[np.ix_(block, block)][np.tri(len(block), k=-1, dtype=bool)]
        value, problem = _mean(pairs, geometric)
        if not pairs.size:
            problem = "a scale with a single item has no correlation within the scale"
        elif not problem and value <= 0:
            problem = "the mean correlation within a scale is not above zero"
        within.append((value, problem))
    out = np.full((m, m), np.nan)
    reasons: dict[tuple[int, int], str] = {}
    for i in range(m):
        if not within[i][1]:
            out[i, i] = 1.0
        for j in range(i):
            apart = index[i][:, None] != index[j][None, :]
            between, problem = _mean(r[np.ix_(index[i], index[j])][apart], geometric)
            problem = within[i][1] or within[j][1] or problem
            if problem:
                reasons[i, j] = problem
            else:
                out[i, j] = out[j, i] = between / np.sqrt(within[i][0] * within[j][0])
    return out, reasons


def _mean(values: Array, geometric: bool) -> tuple[float, str]:
    """Return the arithmetic or geometric mean of correlations, or NaN and the reason."""
    if not values.size:
        return float("nan"), "the two scales have no pair of different items"
    if not geometric:
        return float(values.mean()), ""
    if (values <= ROUNDING).any():
        return float("nan"), "a geometric mean needs correlations above zero, and one of them is zero or negative"
    return float(np.exp(np.log(values).mean())), ""


def _check(cor: ArrayLike, blocks: Sequence[Sequence[int]]) -> tuple[Array, list[NDArray[np.intp]]]:
    r = np.array(cor, dtype=np.float64)
    if r.ndim != 2 or r.shape[0] != r.shape[1]:
        raise DataError(f"the correlation matrix must be square, but its shape is {r.shape}")
    sd = np.sqrt(np.where(np.diag(r) > 0, np.diag(r), np.nan))
    if not np.isfinite(r).all() or np.isnan(sd).any():
        raise DataError("the correlation matrix holds missing values or variances that are not above zero")
    if not np.array_equal(sd, np.ones(len(r))):
        r /= np.outer(sd, sd)
    index = []
    for number, block in enumerate(blocks, start=1):
        positions = np.asarray(block, dtype=np.intp)
        if positions.ndim != 1 or not positions.size:
            raise DataError(f"scale {number} has no items")
        if positions.min() < 0 or positions.max() >= len(r):
            raise DataError(f"scale {number} names an item outside the {len(r)} x {len(r)} correlation matrix")
        if len(np.unique(positions)) != len(positions):
            raise DataError(f"scale {number} names an item twice")
        index.append(positions)
    return r, index
