"""Several groups: rows split by a column, moments of each group, and what messages say about them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from b2b_sem.data.numeric import listed
from b2b_sem.data.observed import Observed, observe_moments
from b2b_sem.data.table import Table
from b2b_sem.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "GroupRows",
    "group_labels",
    "join_groups",
    "naming_group",
    "observe_each",
    "observe_group_moments",
    "shared_clusters",
    "split_rows",
]

#: More labels than this in a message are counted, not listed.
SHOWN = 6


@dataclass(frozen=True, eq=False)
class GroupRows:
    """The rows of one group; like ``Responses`` it says which rows of the whole they are.

    Attributes
    ----------
    label : str
    frame : DataFrame
    source_rows : ndarray of int, shape (n,)
        Row of the file, or of the data from 1.
    row_text : str
        How messages name a row.
    path : object
        File, if there is one.
    details : mapping
    """

    label: str
    frame: pd.DataFrame
    source_rows: NDArray[np.intp]
    row_text: str
    path: object
    details: Mapping[str, Any]


def group_labels(values: Any) -> tuple[tuple[str, ...], NDArray[np.intp]]:
    """Return the labels of the groups in the order of appearance, and the group of each row from 0.

    Parameters
    ----------
    values : array-like, shape (n,)
        Numbers or text. Whole numbers lose their decimals: 1.0 is group "1". Text loses blanks around it.

    Returns
    -------
    labels : tuple of str
    codes : ndarray of int, shape (n,)
        -1 where there is no value.
    """
    from pandas import Series, factorize, isna

    texts = np.array([None if isna(v) else _label(v) or None for v in Series(values)], dtype=object)
    codes, labels = factorize(texts, use_na_sentinel=True)
    return tuple(str(label) for label in labels), codes.astype(np.intp)


def _label(value: object) -> str:
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()


def split_rows(data: Any, group: str, names: Sequence[str]) -> tuple[list[GroupRows], int, list[str]]:
    """Split the rows of the named columns by a column.

    Parameters
    ----------
    data : DataFrame, mapping of str to array, or Responses
    group : str
        The column that says which group a row belongs to; numbers or text.
    names : sequence of str
        Columns to keep.

    Returns
    -------
    parts : list of GroupRows
        In the order in which the groups appear.
    n_read : int
        All rows, also those without a group.
    notes : list of str
        Rows without a group, which are in no part.

    Raises
    ------
    DataError
        If a column is not there, there is a single group, or no row has one.
    """
    import pandas as pd

    wanted = [name for name in dict.fromkeys(map(str, names)) if name != group]
    table = Table.open(data, [*wanted, group])
    labels, codes = group_labels(table.columns[-1])
    if not table.n:
        raise DataError("the data have no rows", file=table.file, hint="Give data with answers.")
    if len(labels) < 2:
        what = "has no value" if not labels else f"has a single value, {labels[0]}"
        raise DataError(
            f"the group column {group} {what}: there are no groups to compare",
            file=table.file,
            hint="Leave group out, or name the column that tells groups apart.",
        )
    notes = []
    if lost := int((codes < 0).sum()):
        notes.append(
            f"{lost} of {table.n} {'row' if lost == 1 else 'rows'} dropped: no value in the group column {group}"
        )
    notes += _twins(labels)
    whole = getattr(data, "frame", data)
    if hasattr(whole, "columns"):
        keys = {str(key): key for key in whole.columns}
        frame = whole[[keys[name] for name in table.names]]
    else:
        frame = pd.DataFrame(dict(zip(table.names, map(np.asarray, table.columns), strict=True)))
    source = getattr(data, "source_rows", None)
    numbers = np.arange(1, table.n + 1) if source is None else np.asarray(source)
    parts = []
    for g, label in enumerate(labels):
        rows = np.flatnonzero(codes == g)
        parts.append(
            GroupRows(
                label,
                frame.iloc[rows],
                numbers[rows],
                "data row {}" if source is None else "row {}",
                getattr(data, "path", None),
                getattr(data, "details", {}),
            )
        )
    return parts, table.n, notes


def shared_clusters(parts: Sequence[GroupRows], cluster: str) -> tuple[str, ...]:
    """Return a warning if the column of clusters has values that occur in several groups.

    Groups count as independent: the rows of one cluster in two groups are taken as two clusters.
    """
    from pandas import factorize

    every, own = [], []
    for part in parts:
        values = np.asarray(Table.open(part, [cluster]).columns[0])
        every.append(values)
        own.append(factorize(values, use_na_sentinel=True)[1])
    distinct = factorize(np.concatenate(every), use_na_sentinel=True)[1]
    seen = sum(np.isin(distinct, values).astype(int) for values in own)
    if not (count := int(np.sum(seen > 1))):
        return ()
    return (
        f"{count} of {len(distinct)} clusters in column {cluster} have rows in several groups. Groups are taken as "
        "independent, so each counts as one cluster for each group. If the same numbers stand for different clusters, "
        "that is right; if a cluster has members in several groups, standard errors of what is equal in all groups and "
        "of differences between groups are not.",
    )


def _twins(labels: Sequence[str]) -> list[str]:
    """Say which labels differ in blanks or in capital letters only: usually one group that was typed in two ways."""
    alike: dict[str, list[str]] = {}
    for label in labels:
        alike.setdefault(" ".join(label.split()).casefold(), []).append(repr(label))
    return [
        f"the groups {' and '.join(same)} differ in blanks or capital letters only: write them alike if they are one"
        for same in alike.values()
        if len(same) > 1
    ]


@contextmanager
def naming_group(label: str) -> Iterator[None]:
    """Name the group in front of messages about its data."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{_title(label)}: {error.message}", file=error.file, hint=error.hint) from error


def _title(label: str) -> str:
    """Return the label as messages write it; groups without labels are "Group 1" and so on."""
    return label if label.startswith("Group ") else f"group {label}"


def observe_each(parts: Sequence[GroupRows], look: Callable[[GroupRows], Observed]) -> list[Observed]:
    """Apply `look` to each group; errors name the group.

    Raises
    ------
    DataError
        For the first group whose rows cannot be used.
    """
    out = []
    for part in parts:
        with naming_group(part.label):
            out.append(look(part))
    return out


def join_groups(
    parts: Sequence[Observed], labels: Sequence[str], n_read: int | None = None, notes: Sequence[str] = ()
) -> Observed:
    """Put the moments of single groups side by side; notes and warnings name their group.

    Parameters
    ----------
    parts : sequence of Observed
        Each of one group, with the same variables.
    labels : sequence of str
    n_read : int, optional
        Rows seen, where some belong to no group.
    notes : sequence of str
        On all groups.
    """
    total = sum(part.n_read for part in parts) if n_read is None else n_read
    index = parts[0].index
    for part in parts[1:]:
        index = None if index is None or part.index is None else index.append(part.index)

    def named(field: str) -> tuple[str, ...]:
        pairs = zip(labels, parts, strict=True)
        return tuple(f"{_title(label)}: {text}" for label, part in pairs for text in getattr(part, field))

    def joined(field: str) -> tuple[Any, ...] | None:
        values = [getattr(part, field) for part in parts]
        return None if any(v is None for v in values) else tuple(v[0] for v in values)

    return Observed(
        parts[0].names,
        tuple(replace(part.groups[0], label=str(label)) for label, part in zip(labels, parts, strict=True)),
        total,
        total - sum(part.nobs for part in parts),
        (*notes, *named("notes")),
        joined("raw"),
        named("warnings"),
        index,
        joined("clusters"),
        joined("ordinal"),
        joined("incomplete"),
    )


def observe_group_moments(
    cov: Mapping[str, Any] | Sequence[Any],
    nobs: Mapping[str, int] | Sequence[int],
    mean: Mapping[str, Any] | Sequence[Any] | None = None,
    names: Sequence[str] | None = None,
    rescale: bool = True,
) -> Observed:
    """Return observed moments from the covariance matrix and the number of rows of each group.

    Parameters
    ----------
    cov : mapping of label to matrix, or sequence of matrices
        Each as in :func:`b2b_sem.data.observed.observe_moments`. Groups of a sequence are "Group 1", "Group 2", ...
    nobs : mapping of label to int, or sequence of int
    mean : mapping of label to means, or sequence of means, optional
    names, rescale
        As in :func:`b2b_sem.data.observed.observe_moments`.

    Raises
    ------
    DataError
        If there are fewer than two groups, numbers of rows or means do not go with the matrices, or a matrix cannot be
        used; the message names the group.
    """
    labels = [str(key) for key in cov] if isinstance(cov, Mapping) else [f"Group {k + 1}" for k in range(len(cov))]
    if len(labels) < 2:
        raise DataError(
            "a list of covariance matrices needs one for each of several groups",
            hint="Give the matrix itself for one group.",
        )
    sizes = _each(nobs, labels, "nobs", "numbers of rows")
    means = [None] * len(labels) if mean is None else _each(mean, labels, "sample_mean", "means")
    matrices = list(cov.values()) if isinstance(cov, Mapping) else list(cov)
    order = names
    parts = []
    for label, matrix, n, centre in zip(labels, matrices, sizes, means, strict=True):
        if order is None and hasattr(matrix, "columns"):
            order = [str(c) for c in matrix.columns]
        with naming_group(label):
            parts.append(observe_moments(matrix, n, centre, order, rescale))
    return join_groups(parts, labels)


def _each(values: Any, labels: Sequence[str], argument: str, what: str) -> list[Any]:
    """Return one value for each group, in their order."""
    if isinstance(values, Mapping):
        found = {str(key): value for key, value in values.items()}
        absent = [label for label in labels if label not in found]
        if absent or len(found) != len(labels):
            raise DataError(
                f"{argument} and the covariance matrices are not of the same groups: {listed(found, most=SHOWN)} and "
                f"{listed(labels, most=SHOWN)}",
                hint="Use the same labels.",
            )
        return [found[label] for label in labels]
    if isinstance(values, str) or not hasattr(values, "__len__") or len(values) != len(labels):
        count = len(values) if hasattr(values, "__len__") else 1
        raise DataError(
            f"{count} {what} for {len(labels)} covariance matrices",
            hint=f"Give {argument} as a list with one entry for each group.",
        )
    return list(values)
