"""The columns a model needs, taken out of a table and checked; messages name rows and columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2b_sem.data.numeric import Cell, columns_as_floats, fail_on_absent, fail_on_cells, listed
from b2b_sem.errors import DataError

__all__ = ["Table", "check_names"]

#: Beyond this, or closer together than its inverse, products of four numbers leave the range of a float.
LARGEST = 1e75


def check_names(names: Sequence[str] | None) -> list[str]:
    """Return the names as a list, or raise DataError when there are none or one occurs twice."""
    wanted = [str(name) for name in names] if names is not None else []
    if not wanted:
        raise DataError("no variables are named", hint="Name at least one column.")
    twice = sorted({name for name in wanted if wanted.count(name) > 1})
    if twice:
        raise DataError(f"variables are named more than once: {listed(twice)}", hint="Name each variable once.")
    return wanted


def dropped_note(names: Sequence[str], counts: Sequence[int], dropped: int, total: int, where: str = "") -> str:
    """Say how many rows were left out, and in which columns, most missing values first."""
    found = sorted(((count, name) for name, count in zip(names, counts, strict=True) if count), key=lambda c: -c[0])
    what = "row" if dropped == 1 else "rows"
    columns = listed(f"{name} ({count})" for count, name in found)
    return f"{dropped} of {total} {what} dropped{where}: missing values in {columns}"


@dataclass(frozen=True, eq=False)
class Table:
    """The chosen columns of whatever the caller passed, and how messages name its rows and its file.

    `n_empty` rows more had no answer to anything and were left out when the file was read.
    """

    names: list[str]
    columns: list[Any]
    n: int
    row_name: Callable[[int], str]
    file: object
    decimal: str
    looks_like_covariance: bool
    n_empty: int = 0

    @classmethod
    def open(cls, data: Any, names: Sequence[str]) -> Table:
        """Pick the columns out of a DataFrame, a mapping or Responses."""
        wanted = check_names(names)
        file, decimal, row_name, n_empty = None, ".", "data row {}".format, 0
        source, source_of = getattr(data, "source_rows", None), data
        if source is not None:  # Responses: rows are those of the file
            n_empty = int(data.details.get("n_empty", 0))
            file, decimal, data = data.path, str(data.details.get("decimal", ".")), data.frame
            row_name = getattr(source_of, "row_text", "row {}").format
        if not hasattr(data, "columns") and not isinstance(data, Mapping):
            raise DataError(
                f"data must be a DataFrame or a mapping of names to columns, not {type(data).__name__}",
                hint="Give the columns names: pandas.DataFrame(array, columns=[...]).",
            )
        known = [str(name) for name in (data.columns if hasattr(data, "columns") else data)]
        fail_on_absent(wanted, known, file=file)
        twice = [name for name in wanted if known.count(name) > 1]
        if twice:
            raise DataError(
                f"more than one column is called {listed(twice)}", file=file, hint="Give each column its own name."
            )
        keys = {str(key): key for key in (data.columns if hasattr(data, "columns") else data)}
        columns = [data[keys[name]] for name in wanted]
        sizes = {name: len(column) for name, column in zip(wanted, columns, strict=True)}
        if len(set(sizes.values())) > 1:
            counts = listed(f"{name} has {size}" for name, size in sizes.items())
            raise DataError(f"columns differ in length: {counts}", file=file, hint="Give every column the same rows.")
        n = sizes[wanted[0]]
        labels = (lambda i: row_name(source[i])) if source is not None else (lambda i: row_name(i + 1))
        return cls(wanted, columns, n, labels, file, decimal, _is_square_symmetric(data, n), n_empty)

    def floats(self) -> list[NDArray[np.float64]]:
        """Return every column as float64, or name the cells that are not numbers."""
        named = zip(self.names, self.columns, strict=True)
        return columns_as_floats(named, self.row_name, file=self.file, decimal=self.decimal)

    def refuse_infinite(self, columns: NDArray[np.float64]) -> None:
        """Raise when a value is infinite; `columns` has one row per variable."""
        cells: list[Cell] = []
        total = 0
        for name, values in zip(self.names, columns, strict=True):
            # the sum is finite unless a value is not (or the sum overflows, which the exact test then clears)
            with np.errstate(invalid="ignore", over="ignore"):
                total_value = values.sum()
            if not np.isfinite(total_value):
                where = np.flatnonzero(np.isinf(values))
                total += len(where)
                cells += [(int(i), name, values[i]) for i in where[:5]]
        hint = "Correct these cells: a division by zero or a log of zero?"
        fail_on_cells(cells, "are infinite", self.row_name, total=total, file=self.file, hint=hint)

    def refuse_empty(self, holes: Mapping[str, NDArray[np.bool_]]) -> None:
        """Raise when there are no rows, or columns without a single value."""
        if not self.n:
            raise DataError("the data have no rows", file=self.file, hint="Give data with answers.")
        empty = [name for name in self.names if name in holes and holes[name].all()]
        if empty:
            raise DataError(
                f"every value is missing in {listed(empty)}",
                file=self.file,
                hint="Leave the column out of the model, or check the missing codes.",
            )

    def refuse_too_few(
        self, n: int, notes: list[str], *, listwise: bool = True, use: str = "missing='fiml' or 'mi'"
    ) -> None:
        """Raise when there are not more rows to use than variables; `notes` say why rows were left out."""
        p = len(self.names)
        if n > max(p, 1):
            return
        if self.looks_like_covariance:
            raise DataError(
                "this looks like a covariance matrix, not like data: its rows and columns mirror each other",
                file=self.file,
                hint="Pass it as a covariance matrix (--sample-cov) with the number of observations (--nobs).",
            )
        variables = f"{p} variables" if p != 1 else "one variable"
        why = f" ({notes[0]})" if notes else ""
        if not n:
            raise DataError(
                f"no complete rows: every row has a missing value{why}",
                file=self.file,
                hint=f"Use all answers there are ({use}), leave out the columns with most missing "
                "values, or check the missing codes.",
            )
        start = f"Use all answers there are ({use}), c" if notes and listwise else "C"
        raise DataError(
            f"{n} complete {'rows' if n != 1 else 'row'} for {variables}: the covariance matrix needs more rows than "
            f"variables{why}",
            file=self.file,
            hint=f"{start}ollect more answers, or use fewer variables.",
        )

    def refuse_out_of_scale(self, values: NDArray[np.float64]) -> None:
        """Raise when numbers are so large or so small that their squares do not fit a float."""
        high, low = values.max(axis=1), values.min(axis=1)
        size, width = np.maximum(high, -low), high / 2 - low / 2
        for name, top, half in zip(self.names, size.tolist(), width.tolist(), strict=True):
            if top > LARGEST or 0 < half < 1 / LARGEST:
                what = f"too large (up to {top:.3g})" if top > LARGEST else f"too close together ({2 * half:.3g} apart)"
                raise DataError(
                    f"the numbers in column {name} are {what} to compute with",
                    file=self.file,
                    hint="Check the cells, or divide the column by a constant.",
                )

    def refuse_constant(self, values: NDArray[np.float64], after: str) -> None:
        """Raise when a column does not vary, or only in digits that rounding leaves behind."""
        low, high = values.min(axis=1), values.max(axis=1)
        flat = (high - low) <= 1e-13 * np.maximum(np.abs(low), np.abs(high))
        if flat.any():
            shown = [f"{self.names[i]} (always {low[i]:g})" for i in np.flatnonzero(flat)]
            what = "column does" if len(shown) == 1 else "columns do"
            raise DataError(
                f"{what} not vary{after}: {listed(shown)}", file=self.file, hint="Leave it out of the model."
            )


def _is_square_symmetric(data: Any, n: int) -> bool:
    """Whether the table is a labelled covariance or correlation matrix passed as if it were data."""
    if n < 2 or not hasattr(data, "to_numpy") or data.shape != (n, n) or n > 1000:
        return False
    try:
        cells = data.to_numpy(dtype=np.float64)
    except (TypeError, ValueError):
        return False
    return bool(np.allclose(cells, cells.T, rtol=1e-8, atol=0))
