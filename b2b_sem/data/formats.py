"""One reader per file format, each giving the same raw table: cells, header, source rows, what was detected."""

from __future__ import annotations

import importlib.util
import io
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from b2b_sem.data.numeric import MISSING_TOKENS, as_floats, is_missing, listed
from b2b_sem.data.text import DELIMITERS, TextTable, decode, find_delimiter, split
from b2b_sem.errors import DataError, Unsupported, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["RawTable", "read_parquet", "read_statistics_file", "read_text", "read_workbook", "settle"]


@dataclass(frozen=True, eq=False)
class RawTable:
    """What a format reader hands over: `frame` has n rows; `header` and `rows` name its columns and source rows.

    The first note describes the file in a few words; the others say what was changed.
    """

    format: str
    frame: pd.DataFrame
    header: Sequence[object]
    rows: NDArray[np.int64]
    details: Mapping[str, Any]
    notes: Sequence[str]


def settle(column: pd.Series, decimal: str = ".") -> pd.Series:
    """Return a text or mixed column as numbers when every cell is one (or missing), else stripped, with NaN holes."""
    if column.dtype.kind != "O" or str(column.dtype) == "category":
        return column
    import pandas as pd

    values = column.to_numpy(dtype=object)
    missing = is_missing(values)
    if not any(isinstance(v, bool) for v in values):
        numbers, bad = as_floats(values, decimal=decimal)
        if bad is None:
            return pd.Series(numbers, index=column.index, name=column.name)
    plain = [
        np.nan if hole else v.strip() if isinstance(v, str) else v for v, hole in zip(values, missing, strict=True)
    ]
    return pd.Series(plain, index=column.index, name=column.name, dtype=object)


def read_text(path: Path, raw: bytes) -> RawTable:
    """Read delimited text; delimiter, encoding and decimal mark are detected."""
    import pandas as pd

    decoded = decode(raw, path)
    text, notes = decoded.text, list(decoded.notes)
    first_line, _, _ = text.partition("\n")
    if first_line.lower().startswith("sep=") and len(first_line.strip()) == 5:
        delimiter, text = first_line.strip()[4], text[len(first_line) :]  # the empty line keeps the row numbers right
    else:
        delimiter = find_delimiter(text, path)
    table = split(text, delimiter, path)
    frame = pd.read_csv(
        io.StringIO(table.body),
        sep=delimiter,
        header=None,
        names=list(range(len(table.header))),
        index_col=False,
        na_values=sorted(MISSING_TOKENS),
        keep_default_na=False,
        skipinitialspace=True,
        low_memory=False,
    )
    if len(frame) != len(table.rows):
        raise DataError(
            f"the rows cannot be told apart: {len(table.rows)} records, {len(frame)} rows",
            file=path,
            hint="Look for line breaks or quotes inside cells; quote such cells or remove the characters.",
        )
    parsed, decimal = _settle_text(frame, delimiter)
    _refuse_thousands(path, table, parsed, delimiter, decimal)
    frame = parsed
    word = DELIMITERS.get(delimiter, repr(delimiter))
    mark = ", decimal comma" if decimal == "," else ""
    notes.insert(0, f"{word}-separated text, {decoded.encoding}{mark}")
    if table.question_text:
        notes.append("the two extra header rows of Qualtrics (question texts, import ids) are left out")
    details: dict[str, Any] = {"delimiter": delimiter, "encoding": decoded.encoding, "decimal": decimal}
    if table.question_text:
        details["question_text"] = table.question_text
    kind = "tsv" if delimiter == "\t" else "csv"
    return RawTable(kind, frame, table.header, table.rows, details, notes)


def _settle_text(frame: pd.DataFrame, delimiter: str) -> tuple[pd.DataFrame, str]:
    """Turn text columns that spell numbers into numbers; tell the decimal mark from the whole file."""
    texts = [i for i in frame.columns if frame[i].dtype.kind == "O"]
    settled = {i: settle(frame[i]) for i in texts}
    open_columns = [i for i in texts if settled[i].dtype.kind == "O"]
    fractions = any(
        frame[i].dtype.kind == "f" and bool(np.any(np.mod(frame[i].dropna(), 1) != 0)) for i in frame.columns
    ) or any(s.dtype.kind == "f" and bool(np.any(np.mod(s.dropna(), 1) != 0)) for s in settled.values())
    decimal = "."
    if not fractions:
        # Points nowhere: a column in which every cell is a number with a comma settles the question for the file.
        # In comma-separated text "1,234" may also be a thousand, so there three digits after the comma prove nothing.
        for i in open_columns:
            candidate = settle(settled[i], ",")
            if candidate.dtype.kind != "O" and not (delimiter == "," and _all_thousands(settled[i])):
                decimal, settled[i] = ",", candidate
    for i in texts:
        frame[i] = settled[i]
    return frame, decimal


def _refuse_thousands(path: Path, table: TextTable, frame: pd.DataFrame, delimiter: str, decimal: str) -> None:
    """Raise when a decimal mark is used between thousands: 2.570 beside 822 would be read as 2.57 beside 822."""
    import pandas as pd

    for j, name in enumerate(table.header):
        values = frame[j].dropna().to_numpy() if frame[j].dtype.kind == "f" else np.zeros(0)
        whole = np.mod(values, 1) == 0
        # cheap signs first: fractions of thousandths below 1000 beside whole numbers from 100 to 999
        if whole.all() or not (np.abs(values[whole]) >= 100).any() or np.abs(values).max() >= 1000:
            continue
        body = io.StringIO(table.body)
        texts = pd.read_csv(
            body, sep=delimiter, header=None, names=list(range(len(table.header))), usecols=[j], index_col=False,
            dtype=str, keep_default_na=False, skipinitialspace=True,
        )[j].str.strip()  # fmt: skip
        marked = texts[texts.str.contains(decimal, regex=False)]
        thousands = marked.str.fullmatch(r"[+-]?[1-9]\d{0,2}[.,]\d{3}")
        beside, shown = texts[texts.str.fullmatch(r"[+-]?\d{3}")], marked[marked.str.endswith("0")]
        if thousands.all() and len(shown) and len(beside):
            raise DataError(
                f"column '{name}' seems to use '{decimal}' between thousands: {shown.iloc[0]} beside {beside.iloc[0]}",
                file=path,
                hint="Export the numbers without separators between thousands; decimals need not end in 0.",
            )


def _all_thousands(column: pd.Series) -> bool:
    cells = [str(v) for v in column.dropna() if "," in str(v)]
    return all(len(cell.rpartition(",")[2]) == 3 for cell in cells)


def read_workbook(path: Path, raw: bytes, sheet: str | int | None) -> RawTable:
    """Read one sheet of an Excel workbook; its first row that is not blank is the header."""
    import openpyxl
    import pandas as pd

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # openpyxl warns about styles and extensions, which hold no data
        try:
            book = openpyxl.load_workbook(io.BytesIO(raw), read_only=True, data_only=True)
        except (zipfile.BadZipFile, KeyError, ValueError, OSError, SyntaxError) as error:
            raise DataError(
                f"not a readable Excel workbook ({error})", file=path, hint="Open it in Excel and save it again."
            ) from None
        names = [s.title for s in book.worksheets]
        name = _choose_sheet(path, names, sheet)
        grid = [(i, row) for i, row in enumerate(book[name].iter_rows(values_only=True), 1) if not _blank(row)]
        book.close()
        if len(grid) > 1:
            _refuse_formulas(path, raw, name)
            _refuse_merged(path, raw, name, grid[0][0])
    if not grid:
        raise DataError(f"sheet '{name}' is empty", file=path, hint=f"The sheets are {listed(names)}.")
    width = max(max(j for j, cell in enumerate(row, 1) if not _blank((cell,))) for _, row in grid)
    header = [("" if cell is None else str(cell).strip()) for cell in (*grid[0][1], *[None] * width)][:width]
    if len(grid) == 1:
        raise DataError(f"sheet '{name}' has a header but no rows", file=path, hint="Choose another sheet.")
    if all(isinstance(cell, int | float) for cell in grid[0][1][:width]):
        raise DataError(
            f"the first row of sheet '{name}' holds only numbers: there is no header row",
            file=path,
            hint="Add a first row with the column names.",
        )
    cells = [(*row, *[None] * width)[:width] for _, row in grid[1:]]
    rows = np.array([i for i, _ in grid[1:]], dtype=np.int64)
    frame = pd.DataFrame(cells, columns=range(width), dtype=object)
    for j in frame.columns:
        frame[j] = settle(frame[j])
    notes = [f"Excel sheet '{name}'"]
    if len(names) > 1:
        others = [n for n in names if n != name]
        notes = [f"Excel sheet '{name}'; the workbook also has {listed(others)}"]
    return RawTable("xlsx", frame, header, rows, {"sheet": name, "sheets": tuple(names)}, notes)


def _choose_sheet(path: Path, names: list[str], sheet: str | int | None) -> str:
    if not names:
        raise DataError("the workbook has no data sheet", file=path, hint="Add a sheet with the data.")
    if sheet is None:
        return names[0]
    if isinstance(sheet, int):
        if 1 <= sheet <= len(names):
            return names[sheet - 1]
        raise DataError(
            f"there is no sheet {sheet}; the workbook has {len(names)}",
            file=path,
            hint=f"Sheets count from 1: {listed(names)}.",
        )
    if sheet in names:
        return sheet
    raise DataError(
        f"there is no sheet '{sheet}'.{did_you_mean(sheet, names)}", file=path, hint=f"The sheets are {listed(names)}."
    )


def _refuse_formulas(path: Path, raw: bytes, name: str) -> None:
    """Raise when a formula has no stored result: it would read as an empty cell, that is, as a missing answer."""
    import openpyxl

    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        sheets = [archive.read(n) for n in archive.namelist() if n.startswith("xl/worksheets/")]
    if not any(b"<f>" in xml or b"<f " in xml for xml in sheets):
        return
    formulas = openpyxl.load_workbook(io.BytesIO(raw), read_only=True)[name]
    results = openpyxl.load_workbook(io.BytesIO(raw), read_only=True, data_only=True)[name]
    for formula_row, result_row in zip(formulas.iter_rows(), results.iter_rows(values_only=True), strict=False):
        for cell, result in zip(formula_row, result_row, strict=False):
            if cell.data_type == "f" and result is None:
                raise DataError(
                    f"cell {cell.coordinate} of sheet '{name}' is a formula without a stored result",
                    file=path,
                    hint="Open the workbook in Excel or LibreOffice and save it, or paste the cells as values.",
                )


def _refuse_merged(path: Path, raw: bytes, name: str, header_row: int) -> None:
    """Raise when cells are merged: all but the first of them would read as missing answers or missing names."""
    import openpyxl

    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        sheets = [archive.read(n) for n in archive.namelist() if n.startswith("xl/worksheets/")]
    if not any(b"<mergeCell " in xml for xml in sheets):
        return
    merged = openpyxl.load_workbook(io.BytesIO(raw))[name].merged_cells.ranges
    found = sorted((r for r in merged if r.max_row >= header_row), key=lambda r: (r.min_row, r.min_col))
    if found:
        raise DataError(
            f"merged cells in sheet '{name}': {listed(str(r.coord) for r in found)}",
            file=path,
            hint="Unmerge them and fill every cell: only the first of merged cells has a value.",
        )


def _blank(row: tuple[object, ...]) -> bool:
    return all(cell is None or (isinstance(cell, str) and not cell.strip()) for cell in row)


def read_statistics_file(path: Path, kind: str) -> RawTable:
    """Read an SPSS or Stata file; declared user-missing values become missing, value labels stay in the details."""
    import pyreadstat

    reader: Callable[..., Any] = pyreadstat.read_sav if kind == "sav" else pyreadstat.read_dta
    try:
        frame, meta = reader(str(path), user_missing=kind == "sav")
    except Exception as error:  # pyreadstat raises its own classes, UnicodeDecodeError and plain Exception alike
        program = "SPSS" if kind == "sav" else "Stata"
        raise DataError(
            f"not a readable {program} file ({error})", file=path, hint=f"Save it again from {program}, or as CSV."
        ) from None
    if frame.shape[1] == 0 or not len(frame):
        raise DataError("the file has no cases", file=path, hint="Export the data again, with the answers.")
    notes = ["SPSS file" if kind == "sav" else "Stata file"]
    declared = {}
    for name, ranges in (meta.missing_ranges or {}).items():
        declared[name] = [(r["lo"], r["hi"]) for r in ranges]
        column = frame[name]
        if column.dtype.kind in "biuf":
            holes = np.logical_or.reduce([(column >= lo) & (column <= hi) for lo, hi in declared[name]])
        else:
            stop = {str(lo).strip() for lo, _ in declared[name]}
            holes = np.fromiter((isinstance(v, str) and v.strip() in stop for v in column), bool, len(column))
        if holes.any():
            frame[name] = column.mask(holes)
            count = int(holes.sum())
            notes.append(f"user-missing values of {name} set to missing: {count} cell{'' if count == 1 else 's'}")
    for name in frame.columns:
        frame[name] = settle(frame[name])
    details = {
        "encoding": meta.file_encoding,
        "question_text": {k: v for k, v in meta.column_names_to_labels.items() if v},
        "value_labels": dict(meta.variable_value_labels),
        "user_missing": declared,
        "measure": dict(meta.variable_measure),
    }
    return RawTable(kind, frame, list(frame.columns), np.arange(1, len(frame) + 1), details, notes)


def read_parquet(path: Path, raw: bytes) -> RawTable:
    """Read a Parquet file, if pyarrow is installed."""
    if importlib.util.find_spec("pyarrow") is None:
        raise Unsupported(
            "Parquet files need the optional package pyarrow, which is not installed",
            file=path,
            hint="Install it with: pip install 'b2b-sem[parquet]', or save the data as CSV.",
        )
    import pyarrow
    import pyarrow.parquet

    try:
        frame = pyarrow.parquet.read_table(io.BytesIO(raw)).to_pandas()
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise DataError(f"not a readable Parquet file ({error})", file=path, hint="Write the file again.") from None
    if frame.shape[1] == 0 or not len(frame):
        raise DataError("the file has no rows", file=path, hint="Export the data again, with the answers.")
    frame = frame.reset_index(drop=True)
    return RawTable("parquet", frame, list(frame.columns), np.arange(1, len(frame) + 1), {}, ("Parquet file",))
