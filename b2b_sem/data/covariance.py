"""Covariance matrices as input: read from delimited text, or checked as they come from memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from b2b_sem.data.numeric import listed
from b2b_sem.data.source import find_format, read_bytes
from b2b_sem.data.table import check_names
from b2b_sem.data.text import decode, find_delimiter, is_number, iterate_records
from b2b_sem.errors import DataError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["check_nobs", "labelled_matrix", "labelled_mean", "read_covariance"]

_SHAPE = "Expected a header with the variable names and one row per variable: the full matrix or its lower triangle."

#: Largest difference between two cells that should be equal, relative to the product of the standard deviations.
SYMMETRY = 1e-8


def read_covariance(path: str | Path) -> pd.DataFrame:
    """Read a covariance matrix.

    Parameters
    ----------
    path : str or Path
        Delimited text. The first row names the variables; a first column may name them again. The matrix is full, or
        only its lower (or upper) triangle is filled. A lower triangle may also come without a header, when each row
        starts with its name.

    Returns
    -------
    DataFrame, shape (p, p)
        Symmetric, labelled on both sides in the order of the header.

    Raises
    ------
    DataError
        Not square, not symmetric, a cell that is not a number, a variance that is not positive, names that occur
        twice or differ between header and rows; each named by line.
    """
    import pandas as pd

    file = Path(path)
    raw = read_bytes(file)
    if find_format(file, raw) not in ("csv", "tsv"):
        raise DataError("a covariance matrix is read from text only", file=file, hint="Save it as CSV or TSV.")
    text = decode(raw, file).text
    delimiter = find_delimiter(text, file, ragged=True)
    records = [
        (line, [cell.strip() for cell in cells])
        for _, line, cells in iterate_records(text, delimiter, file)
        if any(cell.strip() for cell in cells)
    ]
    names, labels, body = _split_names(file, records)
    if len(set(names)) < len(names) or not all(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        what = f"names occur more than once: {listed(twice)}" if all(names) else "a variable has no name"
        raise DataError(what, file=file, line=records[0][0], hint="Give every variable its own name.")
    comma = delimiter != "," and not any("." in cell for _, cells in body for cell in cells)
    matrix = _fill(file, names, body, comma)
    if labels is not None and labels != names:
        matrix = _reorder(file, names, labels, matrix, body)
    return pd.DataFrame(_complete(file, names, matrix), index=names, columns=names)


_Rows = list[tuple[int, list[str]]]


def _split_names(path: Path, records: _Rows) -> tuple[list[str], list[str] | None, _Rows]:
    """Return the header names, the row labels if there are any, and the rows without their labels."""
    line, first = records[0]
    if is_number(first[0]):
        raise DataError("the matrix has no variable names", file=path, line=line, hint=_SHAPE)
    headless = len(first) > 1 and is_number(first[1])
    rows = records if headless else records[1:]
    if not rows:
        raise DataError("there is a header but no matrix below it", file=path, line=line, hint=_SHAPE)
    labelled = [not is_number(cells[0]) and cells[0] != "" for _, cells in rows]
    if not all(labelled):
        labels = None
        # an empty first cell is the empty triangle; a text among numbers is a wrong cell and is named as such
        if headless:
            where = rows[labelled.index(False)][0]
            raise DataError("the row does not start with a variable name", file=path, line=where, hint=_SHAPE)
        body = rows
    else:
        labels, body = [cells[0] for _, cells in rows], [(n, cells[1:]) for n, cells in rows]
    if headless:
        assert labels is not None
        return labels, None, body
    names = first[1:] if labels is not None and len(first) == len(rows) + 1 else first
    if len(names) != len(rows):
        raise DataError(
            f"the header names {len(names)} variables but {len(rows)} rows follow", file=path, line=line, hint=_SHAPE
        )
    return names, labels, body


def _fill(path: Path, names: list[str], body: _Rows, comma: bool) -> NDArray[np.float64]:
    """Return the p x p matrix with NaN where a cell is empty or left out."""
    p = len(names)
    matrix = np.full((p, p), np.nan)
    for i, (line, cells) in enumerate(body):
        extra = [cell for cell in cells[p:] if cell]
        if extra:
            raise DataError(f"the row has {len(cells)} cells for {p} variables", file=path, line=line, hint=_SHAPE)
        for j, cell in enumerate(cells[:p]):
            if not cell:
                continue
            try:
                number = float(cell.replace(",", ".") if comma else cell)
            except ValueError:
                number = np.nan
            if not np.isfinite(number):
                raise DataError(
                    f"'{cell}' in column {names[j]} is not a number", file=path, line=line, hint="Correct the cell."
                )
            matrix[i, j] = number
    return matrix


def _reorder(
    path: Path, names: list[str], labels: list[str], matrix: NDArray[np.float64], body: _Rows
) -> NDArray[np.float64]:
    for label, (line, _) in zip(labels, body, strict=True):
        if label not in names:
            raise DataError(
                f"row '{label}' is not a name of the header.{did_you_mean(label, names)}",
                file=path,
                line=line,
                hint="Rows and columns of a covariance matrix have the same names.",
            )
    if len(set(labels)) < len(labels):
        twice = sorted({label for label in labels if labels.count(label) > 1})
        raise DataError(f"rows occur more than once: {listed(twice)}", file=path, hint="Name each row once.")
    if np.isnan(matrix).any():
        raise DataError(
            "rows and header name the variables in a different order, and the matrix is not full",
            file=path,
            hint="Put the rows in the order of the header, or give the full matrix.",
        )
    return matrix[[labels.index(name) for name in names]]


def _complete(path: Path, names: list[str], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mirror a triangle, check the symmetry of a full matrix and the variances."""
    p = len(names)
    lower, upper = np.tril_indices(p, -1), np.triu_indices(p, 1)
    empty = np.isnan(matrix)
    if p > 1 and empty[upper].all() and not empty[lower].any():
        matrix = _mirror(matrix)
    elif p > 1 and empty[lower].all() and not empty[upper].any():
        matrix = _mirror(matrix.T)
    empty = np.isnan(matrix)
    if empty.any():
        i, j = np.argwhere(empty)[0]
        raise DataError(
            f"the cell of {names[i]} and {names[j]} is empty", file=path, hint="Fill the full matrix or one triangle."
        )
    variance = np.diag(matrix)
    if (variance <= 0).any():
        i = int(np.argmax(variance <= 0))
        raise DataError(
            f"the variance of {names[i]} is {variance[i]:g}: not positive", file=path, hint="Correct the diagonal."
        )
    gap = np.abs(matrix - matrix.T) / np.sqrt(np.outer(variance, variance))
    if gap.max() > SYMMETRY:
        i, j = divmod(int(np.argmax(gap)), p)
        raise DataError(
            f"not symmetric: {names[i]} with {names[j]} is {matrix[i, j]:g} in one place and {matrix[j, i]:g} in the "
            "other",
            file=path,
            hint="Correct one of the two cells, or give the lower triangle only.",
        )
    return (matrix + matrix.T) / 2


def _mirror(lower: NDArray[np.float64]) -> NDArray[np.float64]:
    filled = np.tril(np.nan_to_num(lower, nan=0.0))
    result = filled + np.tril(filled, -1).T
    diagonal = np.diag_indices(len(lower))
    result[diagonal] = lower[diagonal]
    return result


def check_nobs(nobs: Any) -> int:
    """Return the number of observations as int, or raise DataError."""
    try:
        number = float(nobs)
    except (TypeError, ValueError):
        number = np.nan
    if isinstance(nobs, bool) or not np.isfinite(number) or number != int(number) or number < 2:
        raise DataError(
            f"the number of observations must be a whole number of at least 2, not {nobs!r}",
            hint="Give the number of rows the covariance matrix was computed from.",
        )
    return int(number)


def labelled_matrix(cov: Any, names: Sequence[str] | None) -> tuple[NDArray[np.float64], list[str]]:
    """Return a square float matrix, shape (p, p), and its names, picked and ordered by `names` if labelled."""
    labels: list[str] | None = None
    if hasattr(cov, "columns"):
        labels, rows = [str(c) for c in cov.columns], [str(r) for r in cov.index]
        if len(labels) == len(rows) and rows == [str(i) for i in range(len(rows))] and rows != labels:
            rows = labels  # a table read without row names
        if sorted(labels) != sorted(rows):
            odd = sorted(set(labels) ^ set(rows)) or ["(repeated names)"]
            raise DataError(
                f"rows and columns of the covariance matrix have different names: {listed(odd)}",
                hint="Label both sides with the same variables.",
            )
        check_names(labels)
        order = [rows.index(label) for label in labels]
        cells = cov.to_numpy()[order] if cov.shape[0] == cov.shape[1] else cov.to_numpy()
    else:
        cells = np.asarray(cov)
    try:
        matrix = np.array(cells, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError("the covariance matrix holds cells that are not numbers", hint="Give numbers only.") from None
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size:
        shape = " x ".join(map(str, matrix.shape)) or "a single number"
        raise DataError(f"the covariance matrix is not square: {shape}", hint="Give one row and column per variable.")
    if labels is None:
        if names is None:
            raise DataError("the covariance matrix has no names", hint="Pass names, or a labelled DataFrame.")
        labels = check_names(names)
        if len(labels) != len(matrix):
            raise DataError(
                f"{len(labels)} names for a {len(matrix)} x {len(matrix)} covariance matrix",
                hint="Give one name per row.",
            )
        return matrix, labels
    if names is None:
        return matrix, labels
    wanted = check_names(names)
    absent = [name for name in wanted if name not in labels]
    if absent:
        shown = "; ".join(f"'{name}'.{did_you_mean(name, labels)}" for name in absent[:6])
        raise DataError(f"not in the covariance matrix: {shown}", hint=f"Its variables are {listed(labels, most=12)}.")
    pick = [labels.index(name) for name in wanted]
    return matrix[np.ix_(pick, pick)], wanted


def labelled_mean(mean: Any, labels: Sequence[str]) -> NDArray[np.float64]:
    """Return the means, shape (p,), in the order of `labels`."""
    if isinstance(mean, Mapping) or (hasattr(mean, "index") and not isinstance(mean, list | tuple)):
        known = {str(key): value for key, value in mean.items()}
        absent = [name for name in labels if name not in known]
        if absent:
            raise DataError(
                f"no mean is given for {listed(absent)}.{did_you_mean(absent[0], known)}",
                hint="Give the mean of every variable.",
            )
        mean = [known[name] for name in labels]
    try:
        values = np.array(mean, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError("the means hold values that are not numbers", hint="Give numbers only.") from None
    if values.shape != (len(labels),) or not np.isfinite(values).all():
        raise DataError(
            f"{values.size} means for {len(labels)} variables"
            if values.shape != (len(labels),)
            else "a mean is not a finite number",
            hint="Give one finite mean per variable, in the order of the covariance matrix.",
        )
    return values
