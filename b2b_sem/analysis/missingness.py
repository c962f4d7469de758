"""Diagnosis of missing answers: ``missingness``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from b2b_sem.data.em import em_moments
from b2b_sem.data.incomplete import Incomplete, group_patterns
from b2b_sem.data.numeric import as_floats, is_missing, listed
from b2b_sem.data.observed import stray_values
from b2b_sem.data.table import Table, check_names
from b2b_sem.engine.base import Array
from b2b_sem.engine.threads import single_thread
from b2b_sem.errors import DataError
from b2b_sem.measures.mcar import LittleTest, compare_by_answer, little_test
from b2b_sem.measures.multiplicity import false_discovery
from b2b_sem.results.missingness import (
    ITEM_COLUMNS,
    PATTERN_COLUMNS,
    PERSON_COLUMNS,
    RELATED_COLUMNS,
    SPARSE_COLUMNS,
    MissingnessResult,
)

if TYPE_CHECKING:
    from b2b_sem.data.read import Responses

__all__ = ["missingness"]

NAN = float("nan")
#: Patterns of one respondent are worth a note from this share of those who left something out.
MANY = 0.2
#: Respondents needed on both sides of a comparison: two equal answers have no variance, and any t.
FEWEST = 10
#: Respondents who left out this share of the items are listed one by one.
SPARSE = 0.5


@dataclass(frozen=True)
class _Columns:
    """Columns of the data: numbers with NaN, and holes also for columns that hold text."""

    names: tuple[str, ...]
    values: Array  # (N, p); NaN in all of a text column
    holes: np.ndarray  # (N, p) bool
    text: tuple[str, ...]

    def take(self, names: Sequence[str]) -> Array:
        """Return the values of some columns, (N, k)."""
        return self.values[:, [self.names.index(name) for name in names]]


def missingness(
    data: pd.DataFrame | Mapping[str, Any] | Responses,
    items: Sequence[str] | None = None,
    *,
    others: Sequence[str] | None = None,
    most: int = 20,
    alpha: float = 0.05,
) -> MissingnessResult:
    """Show which answers are missing, whose, in which patterns, and test whether that is completely at random.

    Little's test (1988, doi:10.1080/01621459.1988.10478722) compares the mean of each pattern of holes with the maximum
    likelihood estimates of all rows (EM algorithm). It takes the answers as normally distributed.

    Parameters
    ----------
    data : DataFrame, mapping of columns, or Responses
        One row a respondent.
    items : sequence of str, optional
        Columns to look at, such as the items of a model. Default: all.
    others : sequence of str, optional
        Further columns that may tell who leaves items out. Default: all other columns that hold numbers.
    most : int
        How many of the patterns are listed; all are counted.
    alpha : float
        Error rate of the conclusions.

    Returns
    -------
    MissingnessResult
        ``print(result)`` shows the conclusions; tables are attributes.

    Raises
    ------
    DataError
        For columns that are not there, data without rows, infinite values, or a useless `most` or `alpha`.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(1)
    >>> f = rng.normal(size=(200, 1))
    >>> data = pd.DataFrame(f + rng.normal(size=(200, 3)), columns=["x1", "x2", "x3"])
    >>> data.loc[data["x1"] > 1, "x3"] = np.nan
    >>> result = missingness(data)
    >>> result.n_patterns, result.df, bool(result.pvalue < 0.05)
    (2, 2, True)
    """
    if most < 1:
        raise DataError(f"most={most}: at least one pattern is listed", hint="give a number from 1")
    if not 0 < alpha < 1:
        raise DataError(f"alpha={alpha:g} is no error rate", hint="give a number between 0 and 1, such as 0.05")
    known = _column_names(data)
    wanted = check_names(known if items is None else list(items))
    extra = [n for n in (known if others is None else map(str, others)) if n not in set(wanted)]
    columns = _read(data, wanted, extra, strict=others is not None)
    holes = columns.holes[:, : len(wanted)]
    if not len(holes):
        raise DataError("the data have no rows", hint="Give data with answers.")
    notes = list(getattr(data, "notes", ()))
    shown = [name for name in columns.text if name in set(wanted)]
    if shown:
        notes.append(f"Columns that hold text are counted, but not tested: {listed(shown)}.")
    notes += _undeclared(columns, wanted)
    left_out = holes.sum(axis=1)
    # patterns of holes alone, so that text columns count and empty rows are one of them
    grouped = group_patterns(np.column_stack([np.zeros(len(holes)), np.where(holes, np.nan, 0.0)]))
    with single_thread():
        test, untested, remarks = _little(columns, wanted)
        related = _related(columns, wanted, holes)
    few = [name for i, name in enumerate(wanted) if 0 < min(holes[:, i].sum(), (~holes[:, i]).sum()) < FEWEST]
    if few:
        notes.append(f"Fewer than {FEWEST} respondents left out, or answered, {listed(few)}: too few to compare.")
    coverage = grouped.coverage[1:, 1:]
    return MissingnessResult(
        n=len(holes),
        n_complete=int((left_out == 0).sum()),
        n_empty=int((left_out == len(wanted)).sum()),
        items=_items(wanted, holes),
        persons=_persons(left_out),
        sparse=_sparse(data, wanted, left_out),
        patterns=_patterns(wanted, grouped, most),
        n_patterns=len(grouped.counts),
        coverage=pd.DataFrame(coverage, index=wanted, columns=wanted),
        lowest=_lowest(wanted, coverage),
        chisq=test.chisq,
        df=test.df,
        pvalue=test.pvalue,
        compared=test.patterns,
        untested=untested,
        related=related,
        alpha=alpha,
        notes=(*notes, *remarks),
    )


def _column_names(data: Any) -> list[str]:
    frame = getattr(data, "frame", data)
    if not hasattr(frame, "columns") and not isinstance(frame, Mapping):
        raise DataError(
            f"the data are a {type(frame).__name__}, whose columns have no names",
            hint="give a DataFrame, for example pd.DataFrame(array, columns=[...])",
        )
    return [str(c) for c in frame]


def _read(data: Any, wanted: list[str], extra: list[str], *, strict: bool) -> _Columns:
    """Return all columns; further ones that hold text are left out unless they were asked for."""
    table = Table.open(data, [*wanted, *extra])
    names, values, holes, text = [], [], [], []
    for name, column in zip(table.names, table.columns, strict=True):
        try:
            numbers, bad = as_floats(column, decimal=table.decimal)
            numeric = bad is None
        except TypeError:
            numeric = False
        if not numeric:
            if name in extra:
                if strict:
                    raise DataError(
                        f"column '{name}' does not hold numbers",
                        file=table.file,
                        hint="Recode it as numbers, or as dummy variables, or leave it out of others.",
                    )
                continue
            numbers = np.full(table.n, np.nan)
            hole = is_missing(np.asarray(column, dtype=object))
            text.append(name)
        else:
            hole = np.isnan(numbers)
        names.append(name)
        values.append(numbers)
        holes.append(hole)
    checked = Table(names, [], table.n, table.row_name, table.file, table.decimal, False)
    checked.refuse_infinite(np.array(values))
    return _Columns(tuple(names), np.column_stack(values), np.column_stack(holes), tuple(text))


def _undeclared(columns: _Columns, wanted: list[str]) -> list[str]:
    """Name values that look like codes of missing answers: they were counted as answers."""
    names = [name for name in wanted if name not in columns.text]
    kept = [values[~np.isnan(values)] for values in columns.take(names).T]
    known = [(name, values) for name, values in zip(names, kept, strict=True) if len(values)]
    return list(stray_values([name for name, _ in known], [values for _, values in known]))


def _items(names: list[str], holes: np.ndarray) -> pd.DataFrame:
    missing = holes.sum(axis=0)
    rows = [
        (name, len(holes) - int(count), int(count), 100.0 * int(count) / len(holes))
        for name, count in zip(names, missing, strict=True)
    ]
    return pd.DataFrame(rows, columns=list(ITEM_COLUMNS))


def _persons(left_out: np.ndarray) -> pd.DataFrame:
    number, persons = np.unique(left_out, return_counts=True)
    return pd.DataFrame(dict(zip(PERSON_COLUMNS, (number, persons, 100.0 * persons / len(left_out)), strict=True)))


def _sparse(data: Any, names: list[str], left_out: np.ndarray) -> pd.DataFrame:
    """List respondents with few answers by their row in the file, or their label in the table."""
    at = np.flatnonzero(left_out >= SPARSE * len(names))
    at = at[np.argsort(-left_out[at], kind="stable")]
    at = at[left_out[at] > 0]
    labels = getattr(data, "source_rows", None)
    if labels is None:
        labels = getattr(data, "index", None)
    labels = np.arange(1, len(left_out) + 1) if labels is None else np.asarray(labels)
    rows = [(str(labels[i]), int(left_out[i]), 100.0 * int(left_out[i]) / len(names)) for i in at]
    return pd.DataFrame(rows, columns=list(SPARSE_COLUMNS))


def _patterns(names: list[str], grouped: Incomplete, most: int) -> pd.DataFrame:
    rows = []
    for k in range(min(most, len(grouped.counts))):
        out = tuple(name for name, answered in zip(names, grouped.patterns[k, 1:], strict=True) if not answered)
        count = int(grouped.counts[k])
        rows.append((k + 1, count, 100.0 * count / grouped.nobs, len(out), out))
    return pd.DataFrame(rows, columns=list(PATTERN_COLUMNS))


def _lowest(names: list[str], coverage: Array) -> tuple[str, str, float] | None:
    if len(names) < 2:
        return None
    i, j = np.triu_indices(len(names), 1)
    k = int(coverage[i, j].argmin())
    return names[i[k]], names[j[k]], float(coverage[i[k], j[k]])


def _little(columns: _Columns, wanted: list[str]) -> tuple[LittleTest, str, list[str]]:
    """Return Little's test on the items that hold numbers, or why it cannot be made, and remarks on it."""
    none = LittleTest(NAN, 0, NAN, 0)
    values = columns.take(wanted)
    with np.errstate(invalid="ignore"):
        seen = ~np.isnan(values)
        low = np.where(seen, values, np.inf).min(axis=0)
        high = np.where(seen, values, -np.inf).max(axis=0)
    varying = high - low > 1e-13 * np.maximum(np.abs(low), np.abs(high))
    names = [name for name, keep in zip(wanted, varying, strict=True) if keep]
    remarks = []
    constant = [n for n, keep in zip(wanted, varying, strict=True) if not keep and n not in columns.text]
    if constant:
        remarks.append(f"Not in Little's test, because they do not vary: {listed(constant)}.")
    if not np.isnan(values[:, varying]).any():
        return none, "no answer is missing" if names else "no item holds numbers that vary", remarks
    data = group_patterns(values[:, varying])
    if len(data.counts) == 1:
        return none, "all respondents have the same holes", remarks
    if (data.coverage == 0).any():
        return none, "some items were never answered by the same respondent, so their covariance is unknown", remarks
    if data.nobs <= len(names):
        return none, f"there are {data.nobs} respondents for {len(names)} items", remarks
    found = em_moments(data)
    sd = np.sqrt(np.diag(found.cov))
    if not found.converged or np.linalg.eigvalsh(found.cov / np.outer(sd, sd))[0] < 1e-10:
        return none, "the covariance matrix of all items cannot be found: some carry the same information", remarks
    test = little_test(data.rows, data.patterns, data.member, data.counts, found.mean, found.cov)
    holes = ~data.patterns.all(axis=1)
    alone = int((data.counts[holes] == 1).sum())
    if alone > MANY * int(data.counts[holes].sum()):
        remarks.append(
            f"{alone} of the {int(holes.sum())} patterns with holes belong to a single respondent each: the "
            "chi-square distribution of Little's test then rests on normally distributed answers."
        )
    return test, "", remarks


def _related(columns: _Columns, wanted: list[str], holes: np.ndarray) -> pd.DataFrame:
    """Compare each variable between those who left an item out and those who answered it."""
    numeric = [name for name in columns.names if name not in columns.text]
    holed = [name for i, name in enumerate(wanted) if holes[:, i].any()]
    if not holed or not numeric:
        return pd.DataFrame(columns=list(RELATED_COLUMNS))
    at = [wanted.index(name) for name in holed]
    values = columns.take(numeric)
    found = compare_by_answer(holes[:, at], values)
    r = _correlations(columns.take(holed), values)
    i, j = np.nonzero(~np.isnan(found.pvalue) & (np.minimum(found.n_missing, found.n_answered) >= FEWEST))
    other = np.array([holed[a] != numeric[b] for a, b in zip(i, j, strict=True)], dtype=bool)
    i, j = i[other], j[other]
    table = pd.DataFrame(
        {
            "item": [holed[a] for a in i],
            "variable": [numeric[b] for b in j],
            **{
                name: getattr(found, name)[i, j]
                for name in ("n_missing", "n_answered", "mean_missing", "mean_answered", "d", "t", "df", "pvalue")
            },
            "pvalue_fdr": false_discovery(found.pvalue[i, j]),
            "r": r[i, j],
        },
        columns=list(RELATED_COLUMNS),
    )
    return table.sort_values("pvalue", kind="stable").reset_index(drop=True)


def _correlations(items: Array, values: Array) -> Array:
    """Return the correlation of each item with each variable over the rows where both are known, (p, v)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        a, b = (~np.isnan(m) for m in (items, values))
        x, y = (
            np.where(seen, m - np.where(seen, m, 0.0).sum(axis=0) / seen.sum(axis=0), 0.0)
            for seen, m in ((a, items), (b, values))
        )
        x, y = (m / np.where(np.abs(m).max(axis=0) > 0, np.abs(m).max(axis=0), 1.0) for m in (x, y))
        a, b = a.astype(float), b.astype(float)
        n = a.T @ b
        mx, my = x.T @ b / n, a.T @ y / n
        vx, vy = (x * x).T @ b / n - mx**2, a.T @ (y * y) / n - my**2
        r = (x.T @ y / n - mx * my) / np.sqrt(np.where((vx > 1e-13) & (vy > 1e-13), vx * vy, np.nan))
    return np.clip(r, -1.0, 1.0)
