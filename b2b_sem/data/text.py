"""Delimited text: encoding, delimiter, header and rows, each problem named by line.

The file is split into records by the standard library's reader first, because only it gives line numbers and honest
cell counts; the cells themselves are then parsed in bulk by pandas.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from b2b_sem.errors import DataError

__all__ = ["DELIMITERS", "Decoded", "TextTable", "decode", "find_delimiter", "is_number", "iterate_records", "split"]

#: Delimiters looked for, the safest first: a comma may also be a decimal mark.
DELIMITERS = {"\t": "tab", ";": "semicolon", "|": "vertical bar", ",": "comma"}

_BOMS = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_SAMPLE_CHARS = 200_000
_SAMPLE_RECORDS = 200
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True)
class Decoded:
    """Text of a file and the encoding it was read with."""

    text: str
    encoding: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class TextTable:
    """A delimited file split into header and rows, not yet into cells.

    Attributes
    ----------
    header : tuple of str
        Stripped names, one per column, possibly empty texts.
    body : str
        The text below the header row or rows.
    rows : ndarray of int, shape (n,)
        Record number in the file (header = 1 in an ordinary file) of each row of `body`.
    question_text : dict
        Column name to question text where the file has Qualtrics' two extra header rows.
    """

    header: tuple[str, ...]
    body: str
    rows: NDArray[np.int64]
    question_text: dict[str, str]


def is_number(text: str) -> bool:
    """Return whether a cell spells a number, with a point or a comma as decimal mark."""
    return _NUMBER.fullmatch(text.strip()) is not None


def decode(raw: bytes, path: object) -> Decoded:
    """Return the text of `raw`, trying byte order marks, UTF-8, Windows-1252 and Latin-1 in this order.

    Raises
    ------
    DataError
        When the bytes are not text.
    """
    for mark, encoding in _BOMS:
        if raw.startswith(mark):
            try:
                return Decoded(raw.decode(encoding), encoding)
            except UnicodeDecodeError as error:
                raise DataError(
                    f"the file announces {encoding} but byte {error.start} is not valid in it",
                    file=path,
                    hint="The file is damaged: export it again, as UTF-8.",
                ) from None
    if b"\0" in raw[:4096]:
        # UTF-16 without a mark has a zero in every second byte of plain letters and digits
        for start, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
            if raw[:4096][start::2].count(0) > 0.4 * len(raw[:4096][start::2]) and len(raw) % 2 == 0:
                return Decoded(raw.decode(encoding, "replace"), encoding)
    if b"\0" in raw:
        raise DataError(
            "this is a binary file, not text",
            file=path,
            hint="Give a CSV, TSV, XLSX, SPSS .sav, Stata .dta or Parquet file, with the matching name or format.",
        )
    try:
        return Decoded(raw.decode("utf-8"), "utf-8")
    except UnicodeDecodeError:
        pass
    try:
        text, encoding = raw.decode("cp1252"), "cp1252"
    except UnicodeDecodeError:
        text, encoding = raw.decode("latin-1"), "latin-1"
    return Decoded(text, encoding, (f"not UTF-8: read as {encoding}; check that accented letters are right",))


def find_delimiter(text: str, path: object, *, ragged: bool = False) -> str:
    """Return the delimiter that splits the header and most rows into the same number of cells.

    `ragged` is for triangular matrices, where the rows differ in length by design.
    """
    sample = text[:_SAMPLE_CHARS]
    best: tuple[tuple[float, ...], str] | None = None
    for delimiter in DELIMITERS:
        reader = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter, skipinitialspace=True)
        widths = []
        try:
            for record in reader:
                if any(cell.strip() for cell in record):
                    widths.append(len(record))
                if len(widths) > _SAMPLE_RECORDS:
                    break
        except csv.Error:
            pass
        if len(widths) > 1 and len(sample) < len(text):
            widths.pop()  # the sample may end inside a record
        if not widths:
            continue
        usual, count = Counter(widths).most_common(1)[0]
        score: tuple[float, ...]
        if ragged:
            usual, score = max(widths), (float(sum(widths)),)
        else:
            score = (float(widths[0] == usual), count / len(widths), float(usual))
        if usual > 1 and (best is None or score > best[0]):
            best = (score, delimiter)
    if best is not None:
        return best[1]
    lines = [line.split() for line in sample.splitlines()[:20] if line.strip()]
    if len(lines) > 1 and len(lines[0]) > 1 and len({len(line) for line in lines}) == 1:
        raise DataError(
            "the columns seem to be separated by spaces",
            file=path,
            line=1,
            hint="Save the file with commas, semicolons or tabs between the columns.",
        )
    return ","


def iterate_records(text: str, delimiter: str, path: object) -> Iterator[tuple[int, int, list[str]]]:
    """Yield record number, line on which the record starts (both from 1) and its cells; blank records are skipped."""
    reader = _reader(io.StringIO(text, newline=""), delimiter)
    yield from _records(reader, path)


def split(text: str, delimiter: str, path: object) -> TextTable:
    """Split a delimited text into header and rows and check that every row has as many cells as the header.

    Raises
    ------
    DataError
        No header, no rows, ragged rows (named by line), unbalanced quotes.
    """
    buffer = io.StringIO(text, newline="")
    reader = _reader(buffer, delimiter)
    records = _records(reader, path)
    first = next(records, None)
    if first is None:
        raise DataError("the file is empty", file=path, hint="Export the data again, with a header row.")
    record, _, cells = first
    header = tuple(cell.strip() for cell in cells)
    if all(is_number(name) for name in header):
        raise DataError(
            "the first row holds only numbers: the file has no header row",
            file=path,
            line=reader.line_num,
            hint="Add a first row with the column names.",
        )
    start, line, skipped = buffer.tell(), reader.line_num, record
    labels, imports = next(records, None), next(records, None)
    question_text: dict[str, str] = {}
    if labels and imports and _is_import_row(imports[2]):
        question_text = dict(zip(header, (cell.strip() for cell in labels[2]), strict=False))
        start, line, skipped = buffer.tell(), reader.line_num, imports[0]
    buffer.seek(start)
    below = _records(_reader(buffer, delimiter), path, line, skipped)
    if len(header) == 1:
        # an empty quoted cell and a blank line look alike to the bulk parser: give it every cell in quotes
        kept = list(below)
        rows = _check_widths(iter(kept), 1, path)
        body = "".join('"' + cells[0].replace('"', '""') + '"\n' for _, _, cells in kept)
    else:
        rows, body = _check_widths(below, len(header), path), text[start:]
    if not len(rows):
        raise DataError("the file has a header but no rows", file=path, hint="Export the data again, with the answers.")
    return TextTable(header, body, rows, question_text)


def _check_widths(records: Iterator[tuple[int, int, list[str]]], width: int, path: object) -> NDArray[np.int64]:
    rows: list[int] = []
    ragged: list[tuple[int, int]] = []
    for record, line, cells in records:
        rows.append(record)
        if len(cells) != width:
            ragged.append((line, len(cells)))
    if ragged:
        shown = ", ".join(f"line {line} has {count}" for line, count in ragged[:5])
        rest = f" and {len(ragged) - 5} more rows differ" if len(ragged) > 5 else ""
        if width == 1:
            hint = "The first row must hold the column names: remove title lines above it."
        elif len(ragged) == len(rows) and all(count == width + 1 for _, count in ragged):
            hint = "Every row has one cell more than the header: give the first column (row names?) a name."
        else:
            hint = "Correct these rows; a cell that contains the delimiter must stand in double quotes."
        raise DataError(
            f"the header has {width} {'names' if width != 1 else 'name'} but {shown}{rest}",
            file=path,
            line=ragged[0][0],
            hint=hint,
        )
    return np.asarray(rows, dtype=np.int64)


def _reader(lines: io.StringIO, delimiter: str) -> csv._reader:  # type: ignore[name-defined]
    return csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)


def _records(
    reader: csv._reader,  # type: ignore[name-defined]
    path: object,
    line_offset: int = 0,
    record_offset: int = 0,
) -> Iterator[tuple[int, int, list[str]]]:
    record, line = record_offset, line_offset
    try:
        for cells in reader:
            record, begin, line = record + 1, line + 1, line_offset + reader.line_num
            if cells and (len(cells) > 1 or cells[0].strip()):
                yield record, begin, cells
    except csv.Error as error:
        raise DataError(
            f"the record that starts here cannot be split into cells ({error})",
            file=path,
            line=line + 1,
            hint="Look for a double quote without its partner; a quote inside a quoted cell is written twice.",
        ) from None


def _is_import_row(cells: list[str]) -> bool:
    marked = sum(cell.lstrip().startswith('{"ImportId"') for cell in cells)
    return marked > 0.8 * len(cells)
