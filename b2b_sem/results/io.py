"""JSON in and out of results: missing numbers are null, never NaN; files appear whole or not at all."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from b2b_sem.errors import DataError

__all__ = [
    "frame_from_records",
    "matrix_from_json",
    "matrix_to_json",
    "plain",
    "read_object",
    "records",
    "write_json",
    "write_text",
]


def plain(value: Any) -> Any:
    """Turn a value into plain JSON types; NaN and infinities become None."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, pd.DataFrame):
        return records(value)
    if isinstance(value, pd.Series):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return [plain(v) for v in value.tolist()]
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(v) for v in value]
    if isinstance(value, os.PathLike):
        return str(value)
    if value is pd.NA:
        return None
    raise TypeError(f"cannot write a {type(value).__name__} to JSON")


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a table as a list of records (index left out)."""
    names = [str(c) for c in frame.columns]
    columns = [frame[c].tolist() for c in frame.columns]
    return [dict(zip(names, map(plain, row), strict=True)) for row in zip(*columns, strict=True)]


def frame_from_records(rows: list[dict[str, Any]], columns: tuple[str, ...] | None = None) -> pd.DataFrame:
    """Rebuild a table written by :func:`records`; null becomes NaN in number columns, text stays text."""
    frame = pd.DataFrame(rows, columns=None if columns is None else list(columns))
    for name in frame.columns:
        values = frame[name]
        if values.isna().any() and not any(isinstance(v, str) for v in values):
            frame[name] = pd.to_numeric(values)
    return frame


def matrix_to_json(frame: pd.DataFrame) -> dict[str, Any]:
    """Return a labelled matrix as ``{"rows": [...], "columns": [...], "values": [[...]]}``."""
    return {
        "rows": [str(r) for r in frame.index],
        "columns": [str(c) for c in frame.columns],
        "values": plain(frame.to_numpy(dtype=float)),
    }


def matrix_from_json(data: Mapping[str, Any]) -> pd.DataFrame:
    """Rebuild a matrix written by :func:`matrix_to_json`."""
    values = np.array([[np.nan if v is None else v for v in row] for row in data["values"]], dtype=float)
    shape = (len(data["rows"]), len(data["columns"]))
    return pd.DataFrame(values.reshape(shape), index=data["rows"], columns=data["columns"])


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """Write `text` as UTF-8 to a temporary name beside `path`, then rename: a reader never sees half a file."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)  # mkstemp makes files private; results are ordinary files
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return target


def write_json(path: str | os.PathLike[str], data: Any) -> Path:
    """Write `data` as indented JSON without NaN (see :func:`plain`), atomically."""
    return write_text(path, json.dumps(plain(data), indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_object(path: str | os.PathLike[str], what: str) -> dict[str, Any]:
    """Return what a JSON file holds; raises ``DataError`` if that is not `what`, an object such as a result."""
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"cannot be read as a result: {error}", file=path) from None
    if not isinstance(data, dict):
        raise DataError(f"this is not {what}", file=path, hint="name its results.json")
    return data
