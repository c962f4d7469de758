"""Information and scores of the moments of rows with holes, without a model.

Moments are the means, then the lower triangle of the covariance matrix, row by row. With Omega_g = Sigma_oo^-1 of the
pattern g (0 at holes) and r a respondent's Omega_g (y - mu), the second derivatives of -log L are

    tr(Omega_g X H_g Y),   H_g = sum r r' - n_g Omega_g / 2,   for changes X and Y of Sigma,

so that their sum over patterns is one product of matrices with a row for each pattern. The expected information has
n_g Omega_g / 2 in the place of H_g. A respondent's score is r for the means and r r' - Omega_g for the covariances,
half of it on the diagonal.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from b2b_sem.data.em import Block, CaseSums, compact, small_inverses
from b2b_sem.data.incomplete import Incomplete
from b2b_sem.engine.base import Array, IntArray
from b2b_sem.engine.native.implied import Implied, Structure
from b2b_sem.engine.native.loss import mean_scales

__all__ = [
    "case_residuals",
    "complete_information",
    "complete_spread",
    "moment_information",
    "moment_places",
    "moment_slopes",
    "pair_products",
    "pattern_form",
    "score_blocks",
]

#: Numbers in one working array.
LIMIT = 2_000_000


def moment_places(p: int) -> tuple[IntArray, IntArray]:
    """Return rows and columns of the lower triangle, row by row."""
    return np.tril_indices(p)


def moment_slopes(structure: Structure, implied: Implied) -> Array:
    """Return the derivatives of means and covariances by the parameters, (p + p(p + 1)/2, q)."""
    columns = implied.columns
    i, j = moment_places(structure.p)
    u, v = columns[:, structure.u], columns[:, structure.v]
    cov = structure.w * (u[i] * v[j] + v[i] * u[j])
    mean = mean_scales(structure, implied) * columns[:, structure.mean_column]
    return structure.gather(np.concatenate([mean, cov]))


def _pieces(block: Block, size: int) -> Iterator[tuple[IntArray, Array, slice, IntArray]]:
    """Yield some patterns of a block at a time: holes, counts, rows and the pattern of each row."""
    for first in range(0, len(block.counts), size):
        last = min(first + size, len(block.counts))
        start, stop = np.searchsorted(block.pattern, [first, last])
        rows = slice(block.rows.start + int(start), block.rows.start + int(stop))
        yield block.holes[first:last], block.counts[first:last], rows, block.pattern[start:stop] - first


def _omegas(inverse: Array, holes: IntArray) -> Array:
    """Return Sigma_oo^-1 of each pattern, 0 at holes, (G, p, p)."""
    count, m = holes.shape
    out = np.broadcast_to(inverse, (count, *inverse.shape)).copy()
    if not m:
        return out
    small, _ = small_inverses(inverse[holes[:, :, None], holes[:, None, :]])
    cut = inverse[holes]  # (G, m, p)
    out -= cut.swapaxes(1, 2) @ (small @ cut)
    at = np.arange(count)[:, None]
    out[at, holes] = 0.0
    out[at, :, holes] = 0.0
    return out


def _residuals(sums: CaseSums, mean: Array, omega: Array, rows: slice, pattern: IntArray) -> Array:
    """Return Omega_g (y - mu) of each row, (k, p)."""
    d = (sums.rows[rows] - np.multiply.outer(sums.weight[rows], mean)) * sums.seen[rows]
    if len(omega) == 1:
        return d @ omega[0]
    out: Array = (omega[pattern] @ d[:, :, None])[:, :, 0]
    return out


def moment_information(sums: CaseSums, mean: Array, cov: Array, *, expected: bool = False) -> Array:
    """Return the information of the moments of one respondent, observed or expected, at given moments.

    Parameters
    ----------
    sums : CaseSums
    mean, cov : (p,) and (p, p) arrays

    Returns
    -------
    (p + p*, p + p*) array
        Rows and columns: means, then the lower triangle.
    """
    p = len(mean)
    i, j = moment_places(p)
    count = len(i)
    inverse = np.linalg.inv(cov)
    inverse = (inverse + inverse.T) / 2
    gram, cross, total = np.zeros((count, count)), np.zeros((count, p)), np.zeros((p, p))
    # many patterns for one product of matrices: each adds to the large result as a whole
    waiting: list[tuple[Array, Array, Array]] = []
    size = max(LIMIT // (p * p), 1)
    for block in sums.blocks:
        for holes, counts, rows, pattern in _pieces(block, size):
            omega = _omegas(inverse, holes)
            total += np.tensordot(counts, omega, 1)
            packed = omega[:, i, j]
            if expected:
                waiting.append((packed, 0.5 * counts[:, None] * packed, packed[:, :0]))
            else:
                r = _residuals(sums, mean, omega, rows, pattern)
                start = np.flatnonzero(np.diff(pattern, prepend=-1))
                products = np.add.reduceat(r[:, i] * r[:, j], start, axis=0)
                lever = np.add.reduceat(sums.weight[rows, None] * r, start, axis=0)
                waiting.append((packed, products - 0.5 * counts[:, None] * packed, lever))
            if sum(len(part[0]) for part in waiting) * count >= LIMIT:
                _add_products(waiting, gram, cross)
    _add_products(waiting, gram, cross)
    out = np.zeros((p + count, p + count))
    out[:p, :p] = total
    out[p:, p:] = _assemble(gram, p)
    if not expected:
        at = _positions(p)
        half = np.where(i == j, 0.5, 1.0)
        mixed = half * (cross[at[:, i], j] + cross[at[:, j], i])
        out[:p, p:] = mixed
        out[p:, :p] = mixed.T
    return out / sums.nobs


def _add_products(waiting: list[tuple[Array, Array, Array]], gram: Array, cross: Array) -> None:
    """Add the products of elements of Omega_g with those of H_g, and with sums of residuals; empty the list."""
    if not waiting:
        return
    packed, inner, lever = (np.concatenate(parts) for parts in zip(*waiting, strict=True))
    gram += packed.T @ inner
    if lever.shape[1]:
        cross += packed.T @ lever
    waiting.clear()


def pattern_form(sums: CaseSums, cov: Array, change: Array, mean_change: Array) -> float:
    """Return the quadratic form of changes of the moments with their expected information at `cov`."""
    inverse = np.linalg.inv(cov)
    inverse = (inverse + inverse.T) / 2
    total = 0.0
    size = max(LIMIT // len(cov) ** 2, 1)
    for block in sums.blocks:
        for holes, counts, _, _ in _pieces(block, size):
            omega = _omegas(inverse, holes)
            product = omega @ change
            form = 0.5 * (product * product.swapaxes(1, 2)).sum(axis=(1, 2)) + (omega @ mean_change) @ mean_change
            total += float(counts @ form)
    return total / sums.nobs


def complete_information(cov: Array) -> Array:
    """Return the expected information of the moments of one respondent without holes."""
    p = len(cov)
    inverse = np.linalg.inv(cov)
    inverse = (inverse + inverse.T) / 2
    i, j = moment_places(p)
    half = np.where(i == j, 0.5, 1.0)
    out = np.zeros((p + len(i), p + len(i)))
    out[:p, :p] = inverse
    out[p:, p:] = pair_products(inverse) * (half[:, None] * half)
    return out


def complete_spread(cov: Array) -> Array:
    """Return the inverse of :func:`complete_information`: N times the covariance matrix of the moments."""
    p = len(cov)
    out = np.zeros((p + p * (p + 1) // 2,) * 2)
    out[:p, :p] = cov
    out[p:, p:] = pair_products((cov + cov.T) / 2)
    return out


def pair_products(matrix: Array) -> Array:
    """Return a_ik a_jl + a_il a_jk for elements (i, j) and (k, l) of the triangle of a symmetric matrix, (p*, p*)."""
    i, j = moment_places(len(matrix))
    by_row, by_column = matrix[:, i], matrix[:, j]
    out = by_row[i]
    out *= by_column[j]
    out += by_column[i] * by_row[j]
    return out


def _positions(p: int) -> IntArray:
    """Return the place of each element in the lower triangle, (p, p)."""
    i, j = moment_places(p)
    at = np.zeros((p, p), dtype=np.intp)
    at[i, j] = at[j, i] = np.arange(len(i))
    return at


def _assemble(gram: Array, p: int) -> Array:
    """Return tr(Omega X H Y) for elements X and Y of the triangle, from the products of elements of Omega and H.

    Summed with X and Y exchanged, as in the information: the products of Omega with H and of H with Omega.
    """
    i, j = moment_places(p)
    at = _positions(p)
    count = len(i)
    half = np.where(i == j, 0.5, 1.0)
    both = gram + gram.T
    one, two = j * count + at[:, i], i * count + at[:, j]
    out = np.empty((count, count))
    first = 0
    for a in range(p):  # the rows of (a, 0), ..., (a, a)
        flat = both[at[a]].ravel()
        rows = flat.take(one[: a + 1])
        rows += flat.take(two[: a + 1])
        rows *= half[first : first + a + 1, None] * half
        out[first : first + a + 1] = rows
        first += a + 1
    return out


def case_residuals(incomplete: Incomplete, mean: Array, cov: Array) -> Array:
    """Return Sigma_oo^-1 (y_o - mu_o) of each respondent, 0 at holes, (N, p)."""
    single = compact(incomplete, shorten=False)
    assert single.order is not None
    inverse = np.linalg.inv(cov)
    inverse = (inverse + inverse.T) / 2
    out = np.zeros_like(incomplete.rows)
    size = max(LIMIT // len(cov) ** 2, 1)
    for block in single.blocks:
        for holes, _, rows, pattern in _pieces(block, size):
            omega = _omegas(inverse, holes)
            step = max(LIMIT // len(cov) ** 2, 1)
            for first in range(rows.start, rows.stop, step):
                part = slice(first, min(first + step, rows.stop))
                own = pattern[part.start - rows.start : part.stop - rows.start]
                out[single.order[part]] = _residuals(single, mean, omega, part, own)
    return out


def score_blocks(single: CaseSums, mean: Array, cov: Array) -> Iterator[tuple[slice, Array]]:
    """Yield scores of the moments, some respondents at a time.

    Parameters
    ----------
    single : CaseSums
        With each row by itself.
    mean, cov : (p,) and (p, p) arrays

    Yields
    ------
    rows : slice
        Of the rows of `single`.
    scores : (k, p + p*) array
    """
    p = len(mean)
    i, j = moment_places(p)
    half = np.where(i == j, 0.5, 1.0)
    inverse = np.linalg.inv(cov)
    inverse = (inverse + inverse.T) / 2
    # patterns of many rows must not make large arrays either
    size = max(LIMIT // (p * p), 1)
    for block in single.blocks:
        for holes, _, rows, pattern in _pieces(block, size):
            omega = _omegas(inverse, holes)
            packed = omega[:, i, j]
            step = max(LIMIT // (len(i) + p), 1)
            for first in range(rows.start, rows.stop, step):
                part = slice(first, min(first + step, rows.stop))
                own = pattern[part.start - rows.start : part.stop - rows.start]
                r = _residuals(single, mean, omega, part, own)
                yield part, np.concatenate([r, half * (r[:, i] * r[:, j] - packed[own])], axis=1)
