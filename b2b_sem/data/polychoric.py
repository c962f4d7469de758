"""Polychoric correlations of all pairs of ordered items at once, from their two-way tables."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from b2b_sem.data.bivariate import FAR, bvn_density, bvn_grid
from b2b_sem.data.twostep import solve_scores

__all__ = ["LIMIT", "SMALLEST", "CellScores", "estimate_polychorics", "pair_tables", "score_cells"]

Array = NDArray[np.float64]
Index = NDArray[np.intp]

#: Probabilities of cells below this count as this, and do not move the correlation (as in lavaan).
SMALLEST = float(np.sqrt(np.finfo(np.float64).eps))
#: Probabilities of rectangles are differences of numbers up to 1: below this they are rounding.
ROUNDING = 1e-14
#: Correlations are searched between -LIMIT and LIMIT (as in lavaan).
LIMIT = 0.999
#: Cells computed at a time: the working arrays stay in the processor's cache.
BLOCK = 32_768
#: Rows counted at a time.
ROWS = 4_096


@dataclass(frozen=True, eq=False)
class CellScores:
    """Derivatives of the log-likelihood of every pair, P pairs with K categories each (padded).

    Attributes
    ----------
    score : ndarray, shape (P, K, K)
        Score of the correlation for an answer in the cell.
    cross : tuple of ndarray, each of shape (P, K - 1)
        Sum over the answers of the score times the scores of the thresholds of the first and of the second item.
    square : ndarray, shape (P,)
        Sum over the answers of the squared score.
    lost : ndarray, shape (P,)
        Answers in cells whose probability is below :data:`SMALLEST`.
    """

    score: Array
    cross: tuple[Array, Array]
    square: Array
    lost: Array


def pair_tables(codes: Index, size: int, first: Index, second: Index) -> Array:
    """Return the two-way tables of pairs of items.

    Parameters
    ----------
    codes : ndarray of int, shape (N, p)
        Category of each answer from 0, -1 where there is none.
    size : int
        Largest number of categories K.
    first, second : ndarray of int, shape (P,)
        Items of each pair.

    Returns
    -------
    ndarray, shape (P, K, K)
        Counts; the categories of the first item are rows.
    """
    n, p = codes.shape
    total = np.zeros((p * size, p * size))
    offsets = np.arange(p) * size
    # single precision counts exactly up to 2^24, far above the rows of a block
    for start in range(0, n, ROWS):
        part = codes[start : start + ROWS]
        marks = np.zeros((len(part), p * size), dtype=np.float32)
        row, item = np.nonzero(part >= 0)
        marks[row, offsets[item] + part[row, item]] = 1.0
        total += marks.T @ marks
    return np.ascontiguousarray(total.reshape(p, size, p, size)[first, :, second, :])


def estimate_polychorics(tables: Array, upper: Array, lower: Array) -> Array:
    """Return the correlations that maximise the likelihood of the tables, given the thresholds.

    Parameters
    ----------
    tables : ndarray, shape (P, K, K)
        Counts.
    upper, lower : ndarray, shape (P, K - 1)
        Thresholds of the row item and of the column item; infinite ones pad items with fewer categories.

    Returns
    -------
    ndarray, shape (P,)

    Notes
    -----
    ``l(rho) = sum n_ab log pi_ab(rho)`` with ``pi_ab`` the normal probability of the rectangle between the thresholds.
    Olsson (1979), doi:10.1007/BF02296207, the two-step method.
    """
    tables = _open_corner(tables, _binary(upper) & _binary(lower))
    upper, lower = _finite(upper), _finite(lower)
    rho = _maximize(tables, upper, lower, SMALLEST)
    unlikely = np.flatnonzero(np.isinf(_heights(tables, upper, lower, rho)[1]))
    if len(unlikely):
        # leaving out very unlikely answers can make a second maximum, beside that of all answers: the higher one counts
        part = tables[unlikely], upper[unlikely], lower[unlikely]
        whole = _maximize(*part, 0.0)
        height, exact = _heights(*part, whole)
        better = np.isfinite(exact) & (height > _heights(*part, rho[unlikely])[0])
        rho[unlikely[better]] = whole[better]
    return rho


def _heights(tables: Array, upper: Array, lower: Array, rho: Array) -> tuple[Array, Array]:
    """Return the log-likelihoods with probabilities of at least `SMALLEST`, and without: -inf where that matters."""
    height, exact = np.empty(len(tables)), np.empty(len(tables))
    for part in _blocks(tables):
        counts = tables[part]
        pi, _ = _cells(upper[part], lower[part], rho[part])
        height[part] = (counts * np.log(np.maximum(pi, SMALLEST))).sum(axis=(1, 2))
        lost = ((pi <= SMALLEST) & (counts > 0)).any(axis=(1, 2))
        exact[part] = np.where(lost, -np.inf, height[part])
    return height, exact


def _maximize(tables: Array, upper: Array, lower: Array, least: float) -> Array:
    """Return the maxima of the likelihoods; cells with a probability of `least` or less do not count."""
    rho = np.empty(len(tables))
    for part in _blocks(tables):
        counts, h, k = tables[part], upper[part], lower[part]
        product = h[:, :, None] * k[:, None, :]
        squares = h[:, :, None] ** 2 + k[:, None, :] ** 2

        def evaluate(
            which: Index,
            now: Array,
            counts: Array = counts,
            h: Array = h,
            k: Array = k,
            product: Array = product,
            squares: Array = squares,
        ) -> tuple[Array, Array]:
            if len(which) < len(counts):
                counts, h, k = counts[which], h[which], k[which]
                product, squares = product[which], squares[which]
            pi, density = _cells(h, k, now)
            r = now[:, None, None]
            free = 1.0 - r * r
            weight = np.where(pi > least, counts, 0.0) if least else counts.astype(float)
            np.maximum(pi, max(least, ROUNDING), out=pi)
            weight /= pi
            ratio = _rectangles(density)
            score = np.einsum("pab,pab->p", weight, ratio)
            ratio *= ratio
            ratio /= pi
            # the derivative of the density, at the corners, against the weights of the four cells around each
            density *= r / free + (product * (1.0 + r * r) - r * squares) / free**2
            slope = np.einsum("pab,pab->p", _around(weight), density) - np.einsum("pab,pab->p", weight, ratio)
            return score, slope

        rho[part] = solve_scores(evaluate, _pearson(counts), LIMIT, counts.sum(axis=(1, 2)))
    return rho


def score_cells(tables: Array, upper: Array, lower: Array, rho: Array) -> CellScores:
    """Return the scores of the answers in every cell at the given correlations; see :func:`estimate_polychorics`."""
    from scipy.special import ndtr

    count, size = tables.shape[:2]
    score = np.empty(tables.shape)
    cross = np.empty((count, size - 1)), np.empty((count, size - 1))
    square, lost = np.empty(count), np.empty(count)
    for part in _blocks(tables):
        counts, h, k, r = tables[part], _finite(upper[part]), _finite(lower[part]), rho[part]
        pi, density = _cells(h, k, r)
        seen = pi > SMALLEST
        pi = np.maximum(pi, SMALLEST)
        s = np.where(seen, _rectangles(density) / pi, 0.0)
        score[part] = s
        weight = counts * s
        square[part] = np.einsum("pab,pab->p", weight, s)
        lost[part] = np.where(seen, 0.0, counts).sum(axis=(1, 2))
        weight /= pi
        root = np.sqrt(1.0 - r * r)[:, None, None]
        r = r[:, None, None]
        for side, (own, other) in enumerate(((h, k), (k, h))):
            # derivative of the rectangles below a threshold: its density times the share of the other item's category
            share = _between(ndtr((other[:, None, :] - r * own[:, :, None]) / root))
            share *= (np.exp(-0.5 * own * own) / np.sqrt(2.0 * np.pi))[:, :, None]
            w = weight if side == 0 else weight.transpose(0, 2, 1)
            cross[side][part] = np.einsum("pab,pab->pa", w[:, :-1] - w[:, 1:], share)
    return CellScores(score, cross, square, lost)


def _blocks(tables: Array) -> list[slice]:
    step = max(1, BLOCK // (tables.shape[1] * tables.shape[2]))
    return [slice(start, start + step) for start in range(0, len(tables), step)]


def _finite(thresholds: Array) -> Array:
    return np.clip(thresholds, -FAR, FAR)


def _cells(h: Array, k: Array, rho: Array) -> tuple[Array, Array]:
    """Return the probability of every cell, shape (P, K, K), and the density at every corner, (P, K - 1, K - 1)."""
    from scipy.special import ndtr

    count, rows = h.shape
    columns = k.shape[1]
    corner = np.zeros((count, rows + 2, columns + 2))
    corner[:, 1:-1, 1:-1] = bvn_grid(h, k, rho)
    corner[:, 1:-1, -1] = ndtr(h)
    corner[:, -1, 1:-1] = ndtr(k)
    corner[:, -1, -1] = 1.0
    below = corner[:, 1:] - corner[:, :-1]
    pi = below[:, :, 1:] - below[:, :, :-1]
    return pi, bvn_density(h[:, :, None], k[:, None, :], rho[:, None, None])


def _rectangles(corner: Array) -> Array:
    """Return the alternating sum over the four corners of each cell, from a function that is 0 outside."""
    count, rows, columns = corner.shape
    out = np.zeros((count, rows + 1, columns + 1))
    out[:, :-1, :-1] = corner
    out[:, 1:, :-1] -= corner
    out[:, :-1, 1:] -= corner
    out[:, 1:, 1:] += corner
    return out


def _around(cells: Array) -> Array:
    """Return the alternating sum over the four cells around each inner corner: the transpose of `_rectangles`."""
    below = cells[:, :-1] - cells[:, 1:]
    return below[:, :, :-1] - below[:, :, 1:]


def _between(edge: Array) -> Array:
    """Return the differences of a distribution function along the last axis, from 0 to 1."""
    out = np.empty((*edge.shape[:-1], edge.shape[-1] + 1))
    out[..., :-1] = edge
    out[..., -1] = 1.0
    out[..., 1:] -= edge
    return out


def _pearson(tables: Array) -> Array:
    """Return the product-moment correlation of the category numbers, where the search starts."""
    size = tables.shape[1]
    code = np.arange(size, dtype=np.float64)
    n = tables.sum(axis=(1, 2))
    row, column = tables.sum(axis=2), tables.sum(axis=1)
    a, b = row @ code / n, column @ code / n
    va, vb = row @ code**2 / n - a * a, column @ code**2 / n - b * b
    ab = np.einsum("pab,a,b->p", tables, code, code) / n - a * b
    with np.errstate(divide="ignore", invalid="ignore"):
        r = ab / np.sqrt(va * vb)
    return np.where(np.isfinite(r), r, 0.0)


def _binary(thresholds: Array) -> NDArray[np.bool_]:
    """Return which items have one threshold only."""
    return np.asarray(~np.isfinite(thresholds[:, 1:]).any(axis=1))


def _open_corner(tables: Array, binary: NDArray[np.bool_]) -> Array:
    """Move half an answer into the single empty cell of a two-by-two table, keeping its margins (as in lavaan).

    Without it the likelihood rises to the limit. Brown & Benedetti (1977), doi:10.1007/BF02293655.
    """
    empty = tables[:, :2, :2] == 0
    single = binary & (empty.sum(axis=(1, 2)) == 1)
    if not single.any():
        return tables
    diagonal = empty[:, 0, 0] | empty[:, 1, 1]
    shift = np.where(single, np.where(diagonal, 0.5, -0.5), 0.0)
    out = tables.copy()
    out[:, :2, :2] += shift[:, None, None] * np.array([[1.0, -1.0], [-1.0, 1.0]])
    return out
