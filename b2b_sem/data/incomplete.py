"""Rows with missing values: which variables were answered together, and how often.

Rows are kept as they are and grouped by the pattern of their holes; nothing is filled in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2b_sem.data.numeric import listed
from b2b_sem.errors import DataError

__all__ = ["Incomplete", "group_patterns", "matching_pairs", "pairwise_moments", "refuse_unseen_pairs"]

#: Share of the variance that one variable leaves of another, below which they count as one.
SAME = 1e-10


@dataclass(frozen=True, eq=False)
class Incomplete:
    """Rows with holes, grouped by pattern.

    Attributes
    ----------
    rows : (N, p) array
        NaN where there is no answer; every row has at least one.
    patterns : (G, p) bool array
        True where answered; the most frequent pattern first, then in the order of appearance.
    member : (N,) int array
        Pattern of each row.
    counts : (G,) int array
        Rows of each pattern.
    n_empty : int
        Rows without any answer, left out.
    """

    rows: NDArray[np.floating[Any]]
    patterns: NDArray[np.bool_]
    member: NDArray[np.intp]
    counts: NDArray[np.intp]
    n_empty: int = 0

    def __post_init__(self) -> None:
        for name in ("rows", "patterns", "member", "counts"):
            view = np.asarray(getattr(self, name)).view()
            view.flags.writeable = False
            object.__setattr__(self, name, view)

    @property
    def nobs(self) -> int:
        """Number of rows N."""
        return len(self.rows)

    @property
    def complete(self) -> bool:
        """Whether there is no hole at all."""
        return bool(self.patterns.all())

    @cached_property
    def coverage(self) -> NDArray[np.float64]:
        """Share of the rows in which both variables were answered, (p, p)."""
        seen = self.patterns.astype(float)
        return (seen.T * self.counts) @ seen / self.nobs


def group_patterns(rows: NDArray[np.floating[Any]]) -> Incomplete:
    """Group rows by pattern and leave out those without any answer.

    Parameters
    ----------
    rows : (N, p) array
        NaN where there is no answer.
    """
    seen = ~np.isnan(rows)
    some = seen.any(axis=1)
    n_empty = int(len(rows) - some.sum())
    if n_empty:
        rows, seen = rows[some], seen[some]
    packed = np.packbits(seen, axis=1)
    key = np.ascontiguousarray(packed).view(np.dtype((np.void, packed.shape[1]))).ravel()
    _, first, member, counts = np.unique(key, return_index=True, return_inverse=True, return_counts=True)
    order = np.lexsort((first, -counts))
    rank = np.empty(len(order), dtype=np.intp)
    rank[order] = np.arange(len(order))
    return Incomplete(rows, seen[first[order]], rank[member.reshape(-1)], counts[order], n_empty)


def pairwise_moments(incomplete: Incomplete) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the means of the answers to each variable, and the covariances of those who answered both.

    Covariances have the divisor n - 1 of their own rows; NaN for a pair with one row only.
    """
    seen = ~np.isnan(incomplete.rows)
    mean = np.nanmean(incomplete.rows, axis=0)
    deviation = np.where(seen, incomplete.rows - mean, 0.0)
    share = seen.astype(float)
    count = share.T @ share
    sums = deviation.T @ share
    with np.errstate(invalid="ignore", divide="ignore"):
        cov = (deviation.T @ deviation - sums * sums.T / count) / (count - 1.0)
    return mean, cov


def matching_pairs(incomplete: Incomplete) -> list[tuple[int, int, int]]:
    """Return pairs of variables with correlation 1 or -1 in the rows that hold both, and the number of these (>= 5)."""
    rows = incomplete.rows
    seen = ~np.isnan(rows)
    share = seen.astype(float)
    deviation = np.where(seen, rows - np.nanmean(rows, axis=0), 0.0)
    count = share.T @ share
    sums = deviation.T @ share
    squares = (deviation * deviation).T @ share
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = squares - sums**2 / count
        cross = deviation.T @ deviation - sums * sums.T / count
        gap = 1.0 - cross**2 / (spread * spread.T)
    # a variable that does not vary in the shared rows has no correlation there
    varies = (spread > 1e-10 * squares) & (spread.T > 1e-10 * squares.T)
    found = np.triu((count >= 5) & varies & (gap < SAME), 1)
    return [(int(i), int(j), int(count[i, j])) for i, j in np.argwhere(found)]


def refuse_unseen_pairs(names: Sequence[str], incomplete: Incomplete, file: object = None) -> None:
    """Raise when two variables were never answered by the same respondent: their covariance is not in the data.

    Raises
    ------
    DataError
        Naming the pairs.
    """
    i, j = np.nonzero(np.triu(incomplete.coverage == 0, 1))
    if len(i):
        pairs = [f"{names[a]} and {names[b]}" for a, b in zip(i.tolist(), j.tolist(), strict=True)]
        raise DataError(
            f"never answered by the same respondent: {listed(pairs)}",
            file=file,
            hint="The data say nothing about their covariance: leave one of each pair out of the model.",
        )
