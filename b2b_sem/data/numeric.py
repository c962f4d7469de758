"""Turn columns of any origin into float64 and name the cells that are not numbers.

Nothing is coerced silently: a cell is a number, one of :data:`MISSING_TOKENS`, or reported with its row and column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2b_sem.errors import DataError, did_you_mean

__all__ = [
    "MISSING_TOKENS",
    "Cell",
    "as_floats",
    "columns_as_floats",
    "describe_cells",
    "fail_on_absent",
    "fail_on_cells",
    "is_missing",
    "listed",
]

#: Cell texts read as missing: the empty cell, R's NA, NaN, Stata's and SAS's dot, and Excel's and SPSS's exports.
MISSING_TOKENS = frozenset({"", "NA", "NaN", "nan", ".", "#N/A", "#NULL!"})

#: How many offending cells a message shows; the rest is counted.
SHOWN = 5

#: Position of the row (from 0), column name, value as it stands in the data.
Cell = tuple[int, str, object]


def listed(words: Iterable[object], *, most: int = 6) -> str:
    """Return ``a, b and 3 more`` for messages and notes."""
    texts = [str(word) for word in words]
    rest = len(texts) - most
    return ", ".join(texts) if rest <= 0 else f"{', '.join(texts[:most])} and {rest} more"


def fail_on_absent(
    names: Iterable[str], columns: Sequence[str], *, file: object = None, hint: str | None = None
) -> None:
    """Raise DataError naming every one of `names` that is not in `columns`, with the closest column."""
    known = set(columns)
    absent = [name for name in dict.fromkeys(names) if name not in known]
    if not absent:
        return
    lower = {column.lower() for column in columns}
    guesses = [did_you_mean(name, columns, count=1 if name.lower() in lower else 3) for name in absent]
    if len(absent) == 1:
        message = f"column not found: '{absent[0]}'.{guesses[0]}" if guesses[0] else f"column not found: '{absent[0]}'"
    else:
        shown = [
            f"'{name}'{guess.replace(' Did', ', did').rstrip('?')}" for name, guess in zip(absent, guesses, strict=True)
        ]
        rest = f" and {len(shown) - 6} more" if len(shown) > 6 else ""
        message = f"{len(absent)} columns not found: {'; '.join(shown[:6])}{rest}"
    raise DataError(message, file=file, hint=hint or f"The columns are {listed(columns, most=12)}.")


def describe_cells(cells: Iterable[Cell], row_name: Callable[[int], str], *, total: int | None = None) -> str:
    """Return ``'abc' (row 5, column nr1), ...`` for the first cells and the number of those not shown."""
    known = list(cells)
    total = len(known) if total is None else total
    texts = [f"{_quoted(value)} ({row_name(row)}, column {name})" for row, name, value in known[:SHOWN]]
    rest = total - len(texts)
    return ", ".join(texts) + (f" and {rest} more" if rest > 0 else "")


def fail_on_cells(
    cells: list[Cell], what: str, row_name: Callable[[int], str], *, total: int, file: object = None, hint: str
) -> None:
    """Raise DataError naming `cells` when there are any; `what` reads after "N cells" ("are not numbers")."""
    if not total:
        return
    counted = f"{total} cells {what}" if total != 1 else f"one cell {_singular(what)}"
    raise DataError(f"{counted}: {describe_cells(cells, row_name, total=total)}", file=file, hint=hint)


def is_missing(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which cells of an object array are empty, NaN, None or one of the missing tokens."""
    import pandas as pd

    holes = np.asarray(pd.isna(values), dtype=bool)
    texts = np.fromiter((isinstance(v, str) and v.strip() in MISSING_TOKENS for v in values), bool, len(values))
    return holes | texts


def as_floats(column: Any, *, decimal: str = ".") -> tuple[NDArray[np.float64], NDArray[np.bool_] | None]:
    """Return the column as float64 with NaN for missing, and which cells are not numbers.

    Parameters
    ----------
    column : Series, array or sequence, length n
        Numbers, booleans (taken as 0 and 1), ordered categories that are numbers, or text that spells numbers.
    decimal : {".", ","}
        Decimal mark of numbers spelled as text.

    Returns
    -------
    values : ndarray, shape (n,)
        Float64. Numeric input comes back without a copy where its type allows.
    bad : ndarray of bool, shape (n,), or None
        True where a cell is neither a number nor missing; None when there is no such cell.

    Raises
    ------
    TypeError
        When the column as a whole has no numeric meaning (dates, unordered or text categories); the text says which.
    """
    dtype = getattr(column, "dtype", None)
    if dtype is None:
        column = list(column)
        guess = np.asarray(column)
        # numpy turns [1, "a"] into text; the original objects keep what the user wrote
        column = np.asarray(column, dtype=object) if guess.dtype.kind in "US" else guess
        dtype = column.dtype
    if isinstance(dtype, np.dtype):
        values = np.asarray(column)
        if dtype.kind in "biuf":
            return values.astype(np.float64, copy=False), None
        if dtype.kind in "OUS":
            return _from_objects(values.astype(object, copy=False), decimal)
        raise TypeError(_no_number(dtype))
    if dtype.name == "category":
        return _from_categories(column, decimal), None
    if dtype.kind in "biuf":
        return column.to_numpy(dtype=np.float64, na_value=np.nan), None
    if dtype.kind in "OUS":
        return _from_objects(column.to_numpy(dtype=object), decimal)
    raise TypeError(_no_number(dtype))


def columns_as_floats(
    columns: Iterable[tuple[str, Any]], row_name: Callable[[int], str], *, file: object = None, decimal: str = "."
) -> list[NDArray[np.float64]]:
    """Return every named column as float64, NaN where missing; see :func:`as_floats`.

    Raises
    ------
    DataError
        A column has no numeric meaning, or cells are not numbers: the first five are named, all are counted.
    """
    result: list[NDArray[np.float64]] = []
    cells: list[Cell] = []
    total = 0
    for name, column in columns:
        try:
            values, bad = as_floats(column, decimal=decimal)
            if bad is not None and np.isnan(values).all():
                kinds = dict.fromkeys(_quoted(value) for value in np.asarray(column, dtype=object)[bad])
                raise TypeError(f"holds text ({listed(kinds, most=3)})")
        except TypeError as error:
            raise DataError(
                f"column '{name}' {error}, not numbers",
                file=file,
                hint="Recode it as numbers, or as dummy variables, or leave it out.",
            ) from None
        if bad is not None:
            where = np.flatnonzero(bad)
            total += len(where)
            objects = np.asarray(column, dtype=object)
            cells += [(int(i), name, objects[i]) for i in where[:SHOWN]]
        result.append(values)
    hint = "Correct these cells, or declare the text as a missing code."
    fail_on_cells(cells, "are not numbers", row_name, total=total, file=file, hint=hint)
    return result


def _from_categories(column: Any, decimal: str) -> NDArray[np.float64]:
    values = getattr(column, "cat", column)  # a Series has its categories behind .cat, a Categorical has them itself
    if not values.ordered:
        raise TypeError("holds unordered categories")
    levels, bad = as_floats(values.categories, decimal=decimal)
    if bad is not None:
        raise TypeError("holds categories that are not numbers")
    codes = np.asarray(values.codes)
    return np.where(codes < 0, np.nan, levels[codes])


def _from_objects(values: NDArray[Any], decimal: str) -> tuple[NDArray[np.float64], NDArray[np.bool_] | None]:
    import pandas as pd

    missing = is_missing(values)
    numbers = np.full(len(values), np.nan)
    known = np.flatnonzero(~missing)
    cells = [_plain(value, decimal) for value in values[known]]
    numbers[known] = np.asarray(pd.to_numeric(pd.Series(cells, dtype=object), errors="coerce"), dtype=np.float64)
    bad = np.isnan(numbers) & ~missing
    return numbers, bad if bad.any() else None


def _plain(value: object, decimal: str) -> object:
    """Return a text or number that pandas reads as we mean it, or None for anything else (dates, lists, ...)."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        text = value.strip()
        if len(text) > 308:  # no number of this length fits a float
            return None
        if decimal == "," and "," in text:
            return None if "." in text else text.replace(",", ".", 1)
        return text
    if isinstance(value, bool | np.bool_):
        return float(value)
    if isinstance(value, int) and abs(value) > 10**308:
        return None
    return value if isinstance(value, int | float | np.number) else _decimal(value)


def _decimal(value: object) -> float | None:
    from decimal import Decimal

    return float(value) if isinstance(value, Decimal) else None


def _no_number(dtype: object) -> str:
    kind = getattr(dtype, "kind", "")
    if kind in "Mm":
        return "holds dates or times"
    return "holds complex numbers" if kind == "c" else f"holds values of type {dtype}"


def _quoted(value: object) -> str:
    if isinstance(value, float | np.floating):
        return f"{value:g}"
    if isinstance(value, int | np.integer):
        digits = str(value)
        return digits if len(digits) <= 40 else f"{digits[:37]}..."
    text = str(value)
    return repr(text if len(text) <= 40 else text[:37] + "...")


def _singular(what: str) -> str:
    return {"are not numbers": "is not a number", "are infinite": "is infinite"}.get(
        what, what.replace("lie ", "lies ", 1)
    )
