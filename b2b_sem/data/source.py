"""Find, open and recognise a data file before anything is parsed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from b2b_sem.errors import DataError, Unsupported, did_you_mean

__all__ = ["FORMATS", "find_format", "read_bytes"]

#: Formats that can be read, each with the suffixes it is recognised by.
FORMATS: Mapping[str, tuple[str, ...]] = {
    "csv": (".csv", ".txt", ".dat"),
    "tsv": (".tsv", ".tab"),
    "xlsx": (".xlsx", ".xlsm"),
    "sav": (".sav", ".zsav"),
    "dta": (".dta",),
    "parquet": (".parquet", ".pq"),
}
_OTHER_NAMES = {"spss": "sav", "stata": "dta", "excel": "xlsx", "zsav": "sav", "xlsm": "xlsx", "txt": "csv"}
_SAVE_AS = {
    ".xls": "Save it as .xlsx or CSV.",
    ".ods": "Save it as .xlsx or CSV.",
    ".rds": 'Save it from R with write.csv(data, "data.csv", row.names = FALSE).',
    ".rdata": 'Save it from R with write.csv(data, "data.csv", row.names = FALSE).',
    ".rda": 'Save it from R with write.csv(data, "data.csv", row.names = FALSE).',
    ".sas7bdat": "Export it as CSV.",
    ".json": "Export it as CSV.",
    ".zip": "Unpack it and name the data file inside.",
    ".gz": "Unpack it and name the data file inside.",
    ".pdf": "Export the data, not a report.",
}
_MAGIC = (
    (b"PK\x03\x04", "xlsx", "an Excel workbook (or another zip archive)"),
    (b"$FL2", "sav", "an SPSS file"),
    (b"$FL3", "sav", "an SPSS file"),
    (b"PAR1", "parquet", "a Parquet file"),
    (b"<stata_dta>", "dta", "a Stata file"),
    (b"\xd0\xcf\x11\xe0", None, "an old or password-protected Office file"),
    (b"\x1f\x8b", None, "a compressed file"),
    (b"%PDF", None, "a PDF document"),
    (b"<html", None, "a web page (HTML)"),
    (b"<!doctype html", None, "a web page (HTML)"),
)


def read_bytes(path: Path) -> bytes:
    """Return the contents of a file, or raise DataError saying why it cannot be read."""
    if str(path) == "-":
        raise DataError("data are not read from standard input", hint="Save them to a file and name the file.")
    if path.is_dir():
        inside = sorted(p.name for p in path.iterdir() if p.suffix.lower() in sum(FORMATS.values(), ()))
        hint = f"Name a data file, such as {inside[0]}." if inside else "Name a data file."
        raise DataError("this is a folder, not a file", file=path, hint=hint)
    if not path.exists():
        folder = path.parent
        if not folder.is_dir():
            raise DataError("file not found", file=path, hint=f"The folder {folder} does not exist either.")
        near = did_you_mean(path.name, [p.name for p in folder.iterdir() if p.is_file()])
        raise DataError(f"file not found.{near}" if near else "file not found", file=path, hint="Check the path.")
    try:
        raw = path.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(f"cannot be read: {reason}", file=path, hint="Check the file's rights.") from None
    if not raw.strip():
        raise DataError("the file is empty", file=path, hint="Export the data again, with a header row.")
    return raw


def find_format(path: Path, raw: bytes, wanted: str | None = None) -> str:
    """Return the key of :data:`FORMATS`: as wanted, or from the suffix, checked against the first bytes."""
    suffix = path.suffix.lower()
    if wanted is not None:
        kind = _OTHER_NAMES.get(wanted.lower(), wanted.lower())
        if kind not in FORMATS:
            raise DataError(
                f"unknown format '{wanted}'.{did_you_mean(wanted, [*FORMATS, *_OTHER_NAMES])}",
                file=path,
                hint=f"Known formats: {', '.join(FORMATS)}.",
            )
    else:
        known = [name for name, suffixes in FORMATS.items() if suffix in suffixes]
        if not known and suffix in _SAVE_AS:
            raise Unsupported(f"files of type {suffix} are not read", file=path, hint=_SAVE_AS[suffix])
        kind = known[0] if known else ""
    for magic, content, words in _MAGIC:
        if (raw.startswith(magic) or raw[:64].lstrip().lower().startswith(magic)) and content != kind:
            if content is not None and not kind:
                return content
            hint = f"Rename the file or give the format: {content}." if content else "Save the data as CSV or .xlsx."
            raise DataError(f"the file holds {words}", file=path, hint=hint)
    expected = [magic for magic, content, _ in _MAGIC if content == kind]
    # Old Stata releases start with a version byte only; pyreadstat judges those itself
    if expected and kind != "dta" and not any(raw.startswith(magic) for magic in expected):
        raise DataError(
            f"this is not a .{kind} file, whatever its name",
            file=path,
            hint="Export it again, or give the format it really has, such as csv.",
        )
    return kind or "csv"
