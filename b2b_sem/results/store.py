"""Blocks of arrays until they are joined: in memory, or in files where there are too many of them.

Imports numpy only, because workers load it too.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from b2b_sem.errors import DataError
from b2b_sem.results.arrays import open_arrays, read_arrays, write_arrays

__all__ = ["BlockStore", "StoredArrays", "TemporaryFolder", "column_groups"]

#: Numbers of one array that :func:`column_groups` hands out at a time ...
_NUMBERS = 250_000
#: ... and of all arrays together that it reads from files in one go.
_READ = 8_000_000


class BlockStore:
    """Blocks by number.

    Parameters
    ----------
    what : str
        Names the files.
    folder : Path, optional
        Where each block is written, and looked for. Default: blocks are kept in memory.
    lean : bool
        Whether blocks are in the folder only.
    """

    def __init__(self, what: str, folder: Path | None = None, *, lean: bool = False) -> None:
        if lean and folder is None:
            raise ValueError("without a folder there is no place but memory")
        self._what, self._folder, self._lean = what, folder, lean
        self._parts: dict[int, dict[str, Any]] = {}

    def has(self, block: int) -> bool:
        """Return whether a block is there and whole."""
        if block in self._parts:
            return True
        stored = None if self._folder is None else read_arrays(self._path(block))
        if stored is not None and not self._lean:
            self._parts[block] = stored
        return stored is not None

    def put(self, block: int, part: dict[str, Any]) -> None:
        """Keep a block."""
        if self._folder is not None:
            write_arrays(self._path(block), part)
        if not self._lean:
            self._parts[block] = part

    def joined(self, blocks: int, count: int, owner: object = None) -> Mapping[str, Any]:
        """Return the first `count` rows of the arrays, blocks in order; what was in memory is handed over.

        Parameters
        ----------
        blocks, count : int
        owner : object, optional
            Something that has to live as long as the files are needed.
        """
        if self._lean:
            return StoredArrays([self._path(block) for block in range(blocks)], count, owner)
        parts = [self._parts.pop(block) for block in range(blocks)]
        # one array after the other, so that there are never two copies of all
        return {name: np.concatenate([part.pop(name) for part in parts])[:count] for name in list(parts[0])}

    def _path(self, block: int) -> Path:
        assert self._folder is not None
        return self._folder / f"{self._what}-{block:06d}.npz"


class StoredArrays(Mapping[str, Any]):
    """Arrays whose rows are spread over files; each is read when it is asked for.

    Parameters
    ----------
    files : sequence of Path
        As :func:`b2b_sem.results.arrays.write_arrays` makes them, in order.
    count : int
        Rows; the files may hold more.
    owner : object, optional
        Something that has to live as long as the files are needed.
    """

    def __init__(self, files: Sequence[Path], count: int, owner: object = None) -> None:
        self._files, self._count, self._owner = tuple(files), count, owner
        with self._open(self._files[0]) as first:
            self._shapes = {name: first[name].shape[1:] for name in first.files}

    def __getitem__(self, name: str) -> Any:
        if name not in self._shapes:
            raise KeyError(name)
        return self.read([name], slice(None))[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of an array without reading it."""
        return (self._count, *self._shapes[name])

    def read(self, names: Sequence[str], columns: slice) -> dict[str, Any]:
        """Return columns of several arrays, opening each file once."""
        parts: dict[str, list[Any]] = {name: [] for name in names}
        for path in self._files:
            with self._open(path) as file:
                for name in names:
                    whole = file[name]
                    parts[name].append(whole if whole.ndim == 1 else whole[:, columns].copy())
        return {name: np.concatenate(parts.pop(name))[: self._count] for name in names}

    @staticmethod
    @contextmanager
    def _open(path: Path) -> Iterator[Any]:
        try:
            with open_arrays(path) as file:
                yield file
        except FileNotFoundError:
            raise DataError(
                "the samples of this result are no longer there",
                file=path,
                hint="run the study again; tables and reports do not need them",
            ) from None


def column_groups(arrays: Mapping[str, Any], names: Sequence[str]) -> Iterator[tuple[slice, dict[str, Any]]]:
    """Yield a few columns of several arrays of the same shape at a time: what is made of them stays small.

    Yields
    ------
    columns : slice
    found : dict of arrays
        Contiguous, so that sums do not depend on where the arrays are kept.
    """
    stored = arrays if isinstance(arrays, StoredArrays) else None
    rows, width = arrays[names[0]].shape if stored is None else stored.shape(names[0])
    small = max(1, _NUMBERS // max(rows, 1))
    large = small * max(1, _READ // (_NUMBERS * len(names)))
    for start in range(0, width, large):
        end = min(start + large, width)
        near = arrays if stored is None else stored.read(names, slice(start, end))
        before = 0 if stored is None else start
        for first in range(start, end, small):
            last = min(first + small, end)
            inside = slice(first - before, last - before)
            yield slice(first, last), {name: np.ascontiguousarray(near[name][:, inside]) for name in names}
        del near  # before the next ones are read


class TemporaryFolder:
    """A folder that is deleted when nobody holds this object any more."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="b2b-sem-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)
