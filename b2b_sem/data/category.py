"""Categories of ordered items: which answers occur, how often, and which are too rare; merging them on request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from b2b_sem.data.numeric import listed
from b2b_sem.errors import DataError

__all__ = ["SPARSE", "Coded", "code_answers", "describe_categories", "merge_sparse", "refuse_copies"]

Array = NDArray[np.float64]
Index = NDArray[np.intp]

#: Fewer answers than this make a category sparse: its threshold is poorly known.
SPARSE = 5
#: More categories than any response scale has: such answers are a quantity. Each category costs a threshold, and as a
#: number the variable keeps its distances.
MOST_CATEGORIES = 50


@dataclass(frozen=True, eq=False)
class Coded:
    """Answers of one variable as categories from 0; -1 where there is none, and everywhere for a numeric variable."""

    codes: Index
    levels: tuple[float, ...]
    counts: Index | None


def code_answers(
    name: str, values: Array, ordered: bool, expected: Sequence[float] | None = None, where: str = ""
) -> Coded:
    """Return the answers of an item as categories in ascending order.

    Parameters
    ----------
    name : str
        For messages.
    values : ndarray, shape (N,)
        Answers, NaN where there is none.
    ordered : bool
        False: the variable is numeric and has no categories.
    expected : sequence of float, optional
        Answers that must all occur, because they do in other groups.
    where : str
        Words that name the group in messages.

    Raises
    ------
    DataError
        Only one answer occurs, or more than :data:`MOST_CATEGORIES` do, or an expected one does not.
    """
    codes = np.full(len(values), -1, dtype=np.intp)
    if not ordered:
        return Coded(codes, (), None)
    seen = ~np.isnan(values)
    levels, inverse = np.unique(values[seen], return_inverse=True)
    codes[seen] = inverse
    if len(levels) < 2:
        raise DataError(
            f"all answers to {name}{where} are {levels[0]:g}: an item with one category carries no information",
            hint="Leave it out of the model.",
        )
    if len(levels) > MOST_CATEGORIES:
        raise DataError(
            f"{name} has {len(levels)} different answers{where}, more than a response scale ({MOST_CATEGORIES} at "
            "most): it is a number, not an ordered item",
            hint=f"Leave {name} out of `ordered`, or group its values into categories.",
        )
    if expected is not None:
        absent = [f"{level:g}" for level in expected if level not in levels]
        if absent:
            raise DataError(
                f"nobody answered {listed(absent)} to {name}{where}, while others did in another group",
                hint="The thresholds of all groups must be the same in number: merge this category with its neighbour "
                "in every group.",
            )
    return Coded(codes, tuple(levels.tolist()), np.bincount(codes[seen], minlength=len(levels)))


def describe_categories(
    names: Sequence[str], counts: Sequence[Index | None], empty: Sequence[tuple[str, str, int]], where: str = ""
) -> list[str]:
    """Return warnings on categories with few answers and on empty cells in two-way tables."""
    out = []
    rare = [
        f"{name} (category {k + 1}: {own[k]})"
        for name, own in zip(names, counts, strict=True)
        if own is not None
        for k in np.flatnonzero(own < SPARSE).tolist()
    ]
    if rare:
        out.append(
            f"categories with fewer than {SPARSE} answers{where}: {listed(rare)}; their thresholds are poorly known, "
            "merging them with a neighbour makes the results more stable"
        )
    if empty:
        worst = sorted(empty, key=lambda cell: -cell[2])
        shown = listed(f"{a} and {b} ({count})" for a, b, count in worst)
        what = "pair of items has" if len(empty) == 1 else "pairs of items have"
        out.append(f"{len(empty)} {what} empty cells in the two-way table{where}: {shown}")
    return out


def refuse_copies(tables: Array, names: Sequence[str], first: Index, second: Index) -> None:
    """Raise when the answers to one item are those to another under new names, in the same or the reverse order.

    Parameters
    ----------
    tables : ndarray, shape (P, K, K)
        Counts of the pairs.
    names : sequence of str
    first, second : ndarray of int, shape (P,)
        Positions in `names` of the items of each pair.
    """
    used = tables > 0
    rows, columns = used.sum(axis=2), used.sum(axis=1)
    single = (rows.max(axis=1) == 1) & (columns.max(axis=1) == 1) & (used.sum(axis=(1, 2)) > 1)
    same, reverse = [], []
    for i in np.flatnonzero(single):
        _, at = np.nonzero(used[i])
        step = np.diff(at)
        pair = f"{names[first[i]]} and {names[second[i]]}"
        if (step > 0).all():
            same.append(pair)
        elif (step < 0).all():
            reverse.append(f"{pair} (reversed)")
    if same or reverse:
        raise DataError(
            f"items with the same answers in every row: {listed([*same, *reverse])}",
            hint="Their correlation is 1 and has no standard error: keep one item of each pair.",
        )


def merge_sparse(values: Array, least: int = SPARSE) -> tuple[Array, tuple[tuple[float, float], ...]]:
    """Return answers in which every category has at least `least`, and what was merged with what.

    The rarest category is merged with the rarer of its neighbours, again and again, until none is too rare or two are
    left.

    Parameters
    ----------
    values : ndarray, shape (N,)
        Answers, NaN where there is none.
    least : int
        Smallest number of answers a category may have.

    Returns
    -------
    values : ndarray, shape (N,)
        Merged answers take the value of the larger category.
    merged : tuple of (float, float)
        Old answer and the answer it became, for each answer that changed.
    """
    seen = ~np.isnan(values)
    levels, inverse, counts = np.unique(values[seen], return_inverse=True, return_counts=True)
    blocks = [[i] for i in range(len(levels))]
    total = counts.astype(int).tolist()
    while len(blocks) > 2 and min(total) < least:
        i = total.index(min(total))
        beside = [j for j in (i - 1, i + 1) if 0 <= j < len(blocks)]
        j = min(beside, key=lambda at: total[at])
        low, high = min(i, j), max(i, j)
        blocks[low : high + 1] = [blocks[low] + blocks[high]]
        total[low : high + 1] = [total[low] + total[high]]
    target = levels.copy()
    for block in blocks:
        target[block] = levels[max(block, key=lambda at: counts[at])]
    out = values.copy()
    out[seen] = target[inverse]
    merged = tuple((float(a), float(b)) for a, b in zip(levels, target, strict=True) if a != b)
    return out, merged
