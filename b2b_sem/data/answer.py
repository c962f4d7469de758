"""Answers as numbers, where ordered items may also be ordered categories with text labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from b2b_sem.data.category import merge_sparse
from b2b_sem.data.numeric import as_floats, listed
from b2b_sem.data.table import Table

if TYPE_CHECKING:
    import pandas as pd

    from b2b_sem.data.read import Responses

__all__ = ["Answers", "number_categories", "read_answers"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Answers:
    """Columns of a table as numbers.

    Attributes
    ----------
    names : tuple of str, length p
    values : ndarray, shape (n, p)
        NaN where there is no answer. Categories with text labels are numbered from 1 in their declared order.
    texts : mapping of str to tuple of str
        The labels behind the numbers, for items with such categories.
    notes : tuple of str
        Declared categories that nobody chose.
    """

    names: tuple[str, ...]
    values: Array
    texts: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...] = ()

    def merged(self, items: Sequence[str], least: int) -> Answers:
        """Return these answers with every category of the items that has fewer than `least` merged with a neighbour.

        The notes say what was merged with what; see :func:`b2b_sem.data.category.merge_sparse`.
        """
        values, notes = self.values.copy(), list(self.notes)
        for name in items:
            column = self.names.index(name)
            values[:, column], pairs = merge_sparse(values[:, column], least)
            words = self.texts.get(name)
            shown = [" counted as ".join(words[int(v) - 1] if words else f"{v:g}" for v in pair) for pair in pairs]
            if shown:
                notes.append(f"{name}: {listed(shown)}, because fewer than {least} answered so")
        return replace(self, values=values, notes=tuple(notes))


def read_answers(
    data: pd.DataFrame | Mapping[str, ArrayLike] | Responses, names: Sequence[str], ordered: Sequence[str]
) -> Answers:
    """Return the named columns as numbers.

    Parameters
    ----------
    data : DataFrame, mapping of str to array, or Responses
    names : sequence of str
    ordered : sequence of str
        Items whose columns may be ordered categories (pandas) with labels that are no numbers.

    Raises
    ------
    DataError
        A column is not there, or holds something that is neither a number nor an ordered category; cells are named.
    """
    table, texts, notes = number_categories(Table.open(data, names), ordered)
    values = np.array(table.floats())
    table.refuse_infinite(values)
    table.refuse_empty(dict(zip(table.names, np.isnan(values), strict=True)))
    return Answers(tuple(table.names), values.T, texts, tuple(notes))


def number_categories(table: Table, ordered: Sequence[str]) -> tuple[Table, dict[str, tuple[str, ...]], list[str]]:
    """Return a table whose ordered categories with text labels are numbered, the labels, and notes on unused ones."""
    columns, texts, notes = [], {}, []
    for name, column in zip(table.names, table.columns, strict=True):
        numbers, labels, unused = _categories(column) if name in ordered else (column, None, [])
        columns.append(numbers)
        if labels is not None:
            texts[name] = labels
        if unused:
            notes.append(f"nobody answered {listed(unused)} to {name}: it has no threshold there")
    return replace(table, columns=columns), texts, notes


def _categories(column: Any) -> tuple[Any, tuple[str, ...] | None, list[str]]:
    """Return a column as numbers where it holds ordered categories, its labels, and those that do not occur."""
    values = getattr(column, "cat", column)
    if getattr(getattr(column, "dtype", None), "name", "") != "category" or not values.ordered:
        return column, None, []
    codes = np.asarray(values.codes)
    labels = [str(label) for label in values.categories]
    used = np.bincount(codes[codes >= 0], minlength=len(labels))
    unused = [label for label, count in zip(labels, used, strict=True) if count == 0]
    if not unused and as_floats(values.categories)[1] is None:
        return column, None, []
    if as_floats(values.categories)[1] is None:
        return column, None, unused
    return np.where(codes < 0, np.nan, codes + 1.0), tuple(labels), unused
