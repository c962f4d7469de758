"""Digests of the columns of a data table: which column changed can be said without keeping any answer."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd

__all__ = ["compare_columns", "fingerprint"]

_DIGITS = 16


def fingerprint(frame: pd.DataFrame) -> dict[str, str]:
    """Return for each column two digests, ``"<in order>-<sorted>"``: of its values as they stand, and sorted.

    Equal numbers give equal digests whatever the file wrote (3, 3.0) and on every platform; a digest covers a whole
    column, so that no single answer can be told from it.
    """
    return {str(name): "-".join(map(_digest, _forms(frame.iloc[:, i]))) for i, name in enumerate(frame.columns)}


def _forms(column: pd.Series) -> tuple[bytes, bytes]:
    missing = column.isna().to_numpy()
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_complex_dtype(column):
        values = np.ascontiguousarray(column.to_numpy(dtype="float64", na_value=np.nan), dtype="<f8") + 0.0
        values[missing] = np.nan  # one bit pattern for all that is missing
        return values.tobytes(), np.sort(values).tobytes()
    texts = ["" if gone else f"={value}" for value, gone in zip(column.tolist(), missing, strict=True)]
    return "\x1f".join(texts).encode(), "\x1f".join(sorted(texts)).encode()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:_DIGITS]


def compare_columns(before: dict[str, str], after: dict[str, str]) -> tuple[str, ...]:
    """Say how two tables differ, from their fingerprints; nothing if all columns hold the same values in order.

    Returns
    -------
    tuple of str
        Sentences without a full stop, such as ``"column pc3 holds other values"``.
    """
    found = []
    if absent := [name for name in before if name not in after]:
        found.append(f"{_list(absent)} {'is' if len(absent) == 1 else 'are'} gone")
    if added := [name for name in after if name not in before]:
        found.append(f"{_list(added)} {'is' if len(added) == 1 else 'are'} new")
    both = [name for name in before if name in after]
    changed = [name for name in both if before[name].split("-")[1:] != after[name].split("-")[1:]]
    moved = [name for name in both if name not in changed and before[name] != after[name]]
    if changed:
        found.append(f"{_list(changed)} {'holds' if len(changed) == 1 else 'hold'} other values")
    if moved:
        found.append("the rows stand in another order" if not changed else f"{_list(moved)} in another order of rows")
    return tuple(found)


def _list(names: list[str]) -> str:
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return f"column{'' if len(names) == 1 else 's'} {', '.join(names[:8])}{more}"
