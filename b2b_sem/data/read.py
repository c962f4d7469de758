"""Read survey files: delimited text, Excel, SPSS, Stata and Parquet, all into one frozen type.

What was detected and changed on the way (delimiter, encoding, decimal mark, dropped rows, missing codes) stands in
``Responses.details`` and ``Responses.notes``. Cells that are not numbers are kept as they are; ``numeric`` names
them by row and column when numbers are asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from b2b_sem.data.covariance import read_covariance
from b2b_sem.data.formats import (
    RawTable,
    read_parquet,
    read_statistics_file,
    read_text,
    read_workbook,
    settle,
)
from b2b_sem.data.numeric import as_floats, columns_as_floats, fail_on_absent, listed
from b2b_sem.data.source import FORMATS, find_format, read_bytes
from b2b_sem.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FORMATS", "Responses", "numeric", "read_covariance", "read_responses", "set_missing"]


@dataclass(frozen=True, eq=False)
class Responses:
    """Answers as read from a file or made by a simulation: one row per respondent.

    Attributes
    ----------
    frame : DataFrame
        One column per variable; numeric where every cell is a number or missing, else the cells as they were.
    path : Path or None
        The file, None for data that came from memory.
    format : str
        One of ``FORMATS``, or "memory".
    details : dict
        What was detected: delimiter, encoding, decimal, sheet, value labels, question texts, ...; ``n_empty``: how many
        rows without any cell were left out.
    notes : tuple of str
        What a careful reader must know: rows left out, codes set to missing, items reversed.
    source_rows : ndarray of int, shape (n,)
        Row of the file each row of the frame came from. Text files and sheets count from 1 with the header as row 1;
        SPSS, Stata and Parquet files have no header row and count cases from 1.
    """

    frame: pd.DataFrame
    path: Path | None
    format: str
    source_rows: NDArray[np.int64]
    details: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.source_rows) != len(self.frame):
            raise ValueError(f"{len(self.source_rows)} source rows for {len(self.frame)} rows")
        rows = np.array(self.source_rows, dtype=np.int64)
        rows.flags.writeable = False
        object.__setattr__(self, "source_rows", rows)
        object.__setattr__(self, "frame", self.frame.copy())
        object.__setattr__(self, "details", dict(self.details))

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, *, notes: Iterable[str] = ()) -> Responses:
        """Wrap a table from memory; its rows count from 1."""
        return cls(frame, None, "memory", np.arange(1, len(frame) + 1), notes=tuple(notes))

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns in file order."""
        return tuple(str(name) for name in self.frame.columns)

    def row_name(self, position: int) -> str:
        """Return how messages name the row at `position` (from 0): ``row 37``."""
        return f"row {self.source_rows[position]}"

    def require(self, names: Iterable[str], *, hint: str | None = None) -> None:
        """Raise DataError naming every one of `names` that is not a column, with the closest column names."""
        fail_on_absent(names, self.columns, file=self.path, hint=hint)


def read_responses(
    path: str | Path,
    *,
    format: str | None = None,
    sheet: str | int | None = None,
    columns: Sequence[str] | None = None,
    rename: Mapping[str, str] | None = None,
    missing_codes: Iterable[float | str] = (),
) -> Responses:
    """Read a survey data file.

    Parameters
    ----------
    path : str or Path
        CSV, TSV, XLSX, SPSS .sav, Stata .dta or Parquet.
    format : str, optional
        One of ``FORMATS``; by default told from the suffix and the first bytes.
    sheet : str or int, optional
        XLSX only: name or position (from 1) of the sheet; the first by default.
    columns : sequence of str, optional
        Keep these columns, in this order; names after `rename`.
    rename : mapping of str to str, optional
        Old to new column names.
    missing_codes : iterable of number or str
        Values that mean "missing" in every column, such as -99.

    Returns
    -------
    Responses

    Raises
    ------
    DataError
        The file does not exist, is not what its name says, or is not a rectangular table with unique column names.
    Unsupported
        The format needs an optional package that is not installed, or cannot be read at all.
    """
    file = Path(path)
    raw = read_bytes(file)
    kind = find_format(file, raw, format)
    if sheet is not None and kind != "xlsx":
        raise DataError("a sheet is named, but only XLSX files have sheets", file=file, hint="Leave `sheet` out.")
    if kind in ("csv", "tsv"):
        table = read_text(file, raw)
    elif kind == "xlsx":
        table = read_workbook(file, raw, sheet)
    elif kind == "parquet":
        table = read_parquet(file, raw)
    else:
        table = read_statistics_file(file, kind)
    del raw
    responses = _finish(file, table)
    responses = _rename(responses, rename or {})
    if columns is not None:
        responses.require(columns)
        responses = replace(responses, frame=responses.frame[list(dict.fromkeys(columns))])
    return set_missing(responses, tuple(missing_codes))


def numeric(responses: Responses, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Return the columns as float64, NaN where missing.

    Raises
    ------
    DataError
        A column is not there, or cells are not numbers: the first five are named by row and column, all are counted.
    """
    import pandas as pd

    names = list(responses.columns if columns is None else columns)
    responses.require(names)
    values = columns_as_floats(
        [(name, responses.frame[name]) for name in names],
        responses.row_name,
        file=responses.path,
        decimal=str(responses.details.get("decimal", ".")),
    )
    return pd.DataFrame(dict(zip(names, values, strict=True)), index=responses.frame.index)


def set_missing(responses: Responses, codes: Sequence[float | str], columns: Sequence[str] | None = None) -> Responses:
    """Return the responses with every cell equal to one of `codes` set to missing, and a note that counts them."""
    if not codes:
        return responses
    names = list(responses.columns if columns is None else columns)
    frame = responses.frame.copy()
    counts: dict[float | str, int] = dict.fromkeys(codes, 0)
    hit: dict[str, None] = {}
    for name in names:
        column = frame[name]
        holes = np.zeros(len(column), dtype=bool)
        for code in codes:
            found = _equal_to(column, code) & ~holes
            if found.any():
                counts[code] += int(found.sum())
                holes |= found
        if holes.any():
            hit[name] = None
            frame[name] = settle(column.mask(holes), str(responses.details.get("decimal", ".")))
    names_of = {code: f"{code:g}" if isinstance(code, float) else str(code) for code in counts}
    present = [f"{names_of[c]} ({n} {'cell' if n == 1 else 'cells'})" for c, n in counts.items() if n]
    absent = [names_of[c] for c, n in counts.items() if not n]
    notes = list(responses.notes)
    if present:
        notes.append(f"missing codes set to missing: {', '.join(present)} in {listed(hit)}")
    if absent:
        notes.append(f"missing codes that do not occur: {', '.join(absent)}")
    return replace(responses, frame=frame, notes=tuple(notes))


def _equal_to(column: pd.Series, code: float | str) -> NDArray[np.bool_]:
    if column.dtype.kind in "biuf":
        try:
            number = float(code)
        except ValueError:
            return np.zeros(len(column), dtype=bool)
        return np.asarray((column.to_numpy() if isinstance(column.dtype, np.dtype) else column) == number, dtype=bool)
    text = str(code).strip()
    same = np.fromiter((str(v).strip() == text for v in column), bool, len(column))
    if isinstance(code, str):
        return same
    try:
        values, _ = as_floats(column)
    except TypeError:
        return same
    return same | (values == float(code))


def _finish(path: Path, table: RawTable) -> Responses:
    """Check the names, leave out what holds no data, and count it."""
    names = [str(name).strip() for name in table.header]
    said = list(table.notes)
    frame, rows = table.frame.set_axis(range(len(names)), axis=1), table.rows
    keep = list(range(len(names)))
    for j in [j for j, name in enumerate(names) if not name]:
        if frame[j].isna().all():
            said.append(f"column {j + 1} has neither name nor cells and is left out")
        elif j == 0 and len(names) > 1 and frame[j].nunique() == len(frame):
            said.append("the first column has no name and numbers or names the rows: it is left out")
        else:
            raise DataError(
                f"column {j + 1} has no name",
                file=path,
                line=1,
                hint="The first row must hold the column names: name the column, or remove title rows above them.",
            )
        keep.remove(j)
    _refuse_duplicates(path, names, keep)
    empty = np.asarray(frame[keep].isna().all(axis=1))
    if empty.any():
        where = listed(rows[empty])
        said.append(f"{int(empty.sum())} {'row' if empty.sum() == 1 else 'rows'} without any answer left out: {where}")
        frame, rows = frame.loc[~empty].reset_index(drop=True), rows[~empty]
    if not len(frame):
        raise DataError("every cell is empty", file=path, hint="Export the data again, with the answers.")
    copies = int(frame[keep].duplicated().sum())
    if len(frame) > 1 and copies >= len(frame) / 3:
        said.append(
            f"{copies} of {len(frame)} rows repeat an earlier row in every column: was the file appended to itself?"
        )
    frame = frame[keep].set_axis([names[j] for j in keep], axis=1)
    said[0] = f"{len(frame)} rows, {frame.shape[1]} columns; {said[0]}"
    details = {**table.details, "n_empty": int(empty.sum())} if empty.any() else table.details
    return Responses(frame, path, table.format, rows, details, tuple(said))


def _refuse_duplicates(path: Path, names: list[str], keep: list[int]) -> None:
    places: dict[str, list[int]] = {}
    for j in keep:
        places.setdefault(names[j], []).append(j + 1)
    twice = [f"'{n}' (columns {', '.join(map(str, p))})" for n, p in places.items() if len(p) > 1]
    if twice:
        raise DataError(
            f"column names occur more than once: {listed(twice)}", file=path, line=1, hint="Give each its own name."
        )


def _rename(responses: Responses, rename: Mapping[str, str]) -> Responses:
    if not rename:
        return responses
    responses.require(rename, hint="`rename` goes from the name in the file to the new name.")
    names = [rename.get(name, name) for name in responses.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            f"renaming gives two columns the same name: {listed(twice)}",
            file=responses.path,
            hint="Choose another new name, or leave one of the columns out of `rename`.",
        )
    changed = ", ".join(f"{old} to {new}" for old, new in rename.items() if old != new)
    note = (f"columns renamed: {changed}",) if changed else ()
    return replace(responses, frame=responses.frame.set_axis(names, axis=1), notes=(*responses.notes, *note))
