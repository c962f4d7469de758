"""Arrays in files: whole or not at all. Imports numpy only, because workers load it too."""

from __future__ import annotations

import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["open_arrays", "read_arrays", "write_arrays"]


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays as ``.npz`` to a temporary name beside `path`, then rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            np.savez(stream, **arrays)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_arrays(path: Path) -> dict[str, Any] | None:
    """Read the arrays of a file; None if it is not there or cannot be read."""
    try:
        with open_arrays(path) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):
        return None


@contextmanager
def open_arrays(path: Path) -> Iterator[Any]:
    """Open a file of arrays; each is read when it is asked for."""
    with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
        yield file
