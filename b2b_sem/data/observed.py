"""What a model is fitted to: the moments of the observed variables, checked before any engine sees them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from b2b_sem.data.covariance import check_nobs, labelled_matrix, labelled_mean
from b2b_sem.data.em import em_moments
from b2b_sem.data.incomplete import Incomplete, group_patterns, matching_pairs, refuse_unseen_pairs
from b2b_sem.data.numeric import listed
from b2b_sem.data.table import Table, dropped_note
from b2b_sem.errors import DataError, Unsupported, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

    from b2b_sem.data.group import GroupRows
    from b2b_sem.data.ordinal import OrdinalMoments
    from b2b_sem.data.read import Responses

__all__ = ["GroupMoments", "Observed", "observe", "observe_moments", "stray_values"]

#: Eigenvalues of a correlation matrix below this count as zero: the columns carry the same information twice.
SINGULAR = 1e-10
#: Ratio of the largest to the smallest variance from which a note is given (lavaan's rule).
VARIANCE_RATIO = 1000.0
#: Numbers that survey programs use for "no answer" and that no rating scale contains.
MISSING_CODES = frozenset(
    sign * code for sign in (1.0, -1.0) for code in (9, 66, 77, 88, 96, 97, 98, 99, 777, 888, 997, 998, 999, 9999)
)
#: Relative asymmetry a covariance matrix may have, as printed or computed in another order of summation.
ASYMMETRY = 1e-8
#: Rows centred at a time: the centred copy stays in the processor's cache and costs no memory worth naming.
BLOCK = 8_192


@dataclass(frozen=True, eq=False)
class GroupMoments:
    """Sample moments of one group.

    Attributes
    ----------
    label : str or None
        Name of the group, None when there is only one.
    nobs : int
        Number of complete rows n.
    cov : ndarray, shape (p, p)
        Covariance matrix with divisor n (the maximum likelihood estimate under normality).
    mean : ndarray, shape (p,), or None
        Means, None when only a covariance matrix is known.
    """

    label: str | None
    nobs: int
    cov: NDArray[np.float64]
    mean: NDArray[np.float64] | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "cov", _frozen(self.cov))
        if self.mean is not None:
            object.__setattr__(self, "mean", _frozen(self.mean))


@dataclass(frozen=True, eq=False)
class Observed:
    """Moments of the observed variables, one entry per group, and how they came about.

    Attributes
    ----------
    names : tuple of str, length p
        Variables in the order of every matrix.
    groups : tuple of GroupMoments
    n_read, n_dropped : int
        Rows seen, those without any cell in the file among them, and rows left out because a value was missing.
    notes : tuple of str
        What a careful reader must know: rows dropped and why, variances far apart.
    warnings : tuple of str
        What is probably a mistake in the data: values that look like undeclared missing codes.
    index : pandas Index or None
        Labels of the complete rows, group after group; None when the data had none.
    clusters : tuple of int arrays, each of shape (n,), or None
        The cluster of each complete row, numbered from 0 in the order of the data; None without clusters.
    raw : tuple of ndarray, each of shape (n, p), or None
        The rows used of each group, or None when not kept or not known.
    ordinal : tuple of OrdinalMoments, or None
        Thresholds and latent correlations, where items are ordinal.
    incomplete : tuple of Incomplete or None
        The rows of each group by their patterns of missing values, if rows with missing values are used; the moments
        are then the maximum likelihood estimates without a model, and `raw` holds NaN. None if such rows are left out.
    """

    names: tuple[str, ...]
    groups: tuple[GroupMoments, ...]
    n_read: int
    n_dropped: int
    notes: tuple[str, ...] = ()
    raw: tuple[NDArray[np.float64], ...] | None = None
    warnings: tuple[str, ...] = ()
    index: pd.Index | None = None
    clusters: tuple[NDArray[np.intp], ...] | None = None
    ordinal: tuple[OrdinalMoments, ...] | None = None
    incomplete: tuple[Incomplete, ...] | None = None

    def __post_init__(self) -> None:
        if self.raw is not None:
            object.__setattr__(self, "raw", tuple(_frozen(part) for part in self.raw))

    @property
    def nobs(self) -> int:
        """Rows used, over all groups."""
        return sum(group.nobs for group in self.groups)

    def part(self, group: int) -> Observed:
        """Return what one group holds; notes, warnings and counts of rows read stay with the whole.

        Parameters
        ----------
        group : int
            From 1.
        """
        if len(self.groups) == 1:
            return self
        at = slice(group - 1, group)
        n = self.groups[group - 1].nobs
        start = sum(g.nobs for g in self.groups[: group - 1])
        return Observed(
            self.names,
            self.groups[at],
            n,
            0,
            raw=None if self.raw is None else self.raw[at],
            index=None if self.index is None else self.index[start : start + n],
            clusters=None if self.clusters is None else self.clusters[at],
            ordinal=None if self.ordinal is None else self.ordinal[at],
            incomplete=None if self.incomplete is None else self.incomplete[at],
        )


def _frozen(array: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a read-only view, so that the caller's own array stays writeable."""
    view = np.asarray(array, dtype=np.float64).view()
    view.flags.writeable = False
    return view


def observe(
    frame: pd.DataFrame | Mapping[str, ArrayLike] | Responses | GroupRows,
    names: Sequence[str],
    *,
    missing: str = "listwise",
    keep_raw: bool = True,
    cluster: str | None = None,
    complete: Sequence[str] = (),
    group: str | None = None,
) -> Observed:
    """Return mean and covariance of the named columns over the complete rows.

    Parameters
    ----------
    frame : DataFrame, mapping of str to array, or Responses
        One column per variable, one row per respondent. With `Responses`, messages name the rows of the file.
    names : sequence of str, length p
        Columns to use, in the order the moments shall have.
    missing : {"listwise", "fiml", "fiml.x"}
        Rows with a missing value in any of the columns are left out and counted in the notes; or all rows with an
        answer are used (the two are the same here).
    keep_raw : bool
        Whether to keep the complete rows, which scores, robust errors and the bootstrap need.
    cluster : str, optional
        Column that says which rows belong together; it needs no numbers.
    complete : sequence of str
        Variables that must be there in every row that is used, also where others may be missing.
    group : str, optional
        Column that tells groups apart; they stand in the order in which they appear.

    Returns
    -------
    Observed
        Covariance with divisor n, of one group or of each.

    Raises
    ------
    DataError
        A column is not there, not numeric, infinite, entirely missing, constant, or repeats the information of
        others; or there are not more complete rows than variables; all this in each group. Each message names rows
        and columns, and the group. There is only one group in the column of groups.
    Unsupported
        `missing` is a method other than listwise deletion.

    Notes
    -----
    ``m = sum(x) / n`` and ``S = sum((x - m)(x - m)') / n``, the two-pass form: centring first keeps all digits where
    ``E[xx'] - mm'`` cancels. Chan, Golub & LeVeque (1983), doi:10.1080/00031305.1983.10483115.
    """
    _check_missing(missing)
    if group is not None:
        from b2b_sem.data.group import join_groups, observe_each, shared_clusters, split_rows

        parts, n_read, lost = split_rows(frame, group, [*names, *([] if cluster is None else [cluster])])
        found = observe_each(
            parts,
            lambda part: observe(part, names, missing=missing, keep_raw=keep_raw, cluster=cluster, complete=complete),
        )
        joined = join_groups(found, [part.label for part in parts], n_read, lost)
        strays = () if cluster is None else shared_clusters(parts, cluster)
        return replace(joined, warnings=(*strays, *joined.warnings))
    table = Table.open(frame, names)
    values = _stack(table.floats(), table.n)
    table.refuse_infinite(values)
    holes = {}
    for name, row in zip(table.names, values, strict=True):
        hole = np.isnan(row)
        if hole.any():
            holes[name] = hole
    table.refuse_empty(holes)
    if missing != "listwise":
        return _observe_incomplete(frame, table, values, holes, keep_raw, cluster, complete)
    n_read, n = table.n + table.n_empty, table.n
    notes = []
    kept = None
    if holes:
        kept = ~np.logical_or.reduce(list(holes.values()))
        n = int(kept.sum())
    if n < n_read:
        gone = {
            name: table.n_empty + int(holes[name].sum()) if name in holes else table.n_empty for name in table.names
        }
        notes.append(dropped_note(tuple(gone), tuple(gone.values()), n_read - n, n_read))
    table.refuse_too_few(n, notes)
    if kept is not None:
        values = _keep(values, kept)
    table.refuse_out_of_scale(values)
    after = "" if kept is None else ", once rows with missing values are left out"
    table.refuse_constant(values, after)
    mean, cov = _moments(values)
    _refuse_collinear(table.names, cov, mean, table.file)
    notes += _variance_note(table.names, cov)
    raw = (values.T,) if keep_raw else None
    strays = tuple(stray_values(table.names, values))
    moments = GroupMoments(None, n, cov, mean)
    labels = getattr(getattr(frame, "frame", frame), "index", None) if keep_raw else None
    if labels is not None and kept is not None:
        labels = labels[kept]
    clusters = None if cluster is None else (_clusters(frame, cluster, kept),)
    return Observed(tuple(table.names), (moments,), n_read, n_read - n, tuple(notes), raw, strays, labels, clusters)


def observe_moments(
    cov: pd.DataFrame | ArrayLike,
    nobs: int,
    mean: pd.Series | Mapping[str, float] | ArrayLike | None = None,
    names: Sequence[str] | None = None,
    rescale: bool = True,
) -> Observed:
    """Return observed moments from a covariance matrix and the number of rows it was computed from.

    Parameters
    ----------
    cov : DataFrame or array, shape (p, p)
        Covariance matrix with divisor n - 1, as statistics programs print it. A DataFrame is labelled on both sides.
    nobs : int
        Number of rows n.
    mean : Series, mapping or array of length p, optional
        Means; without labels in the order of the result, that is, of `names` where given.
    names : sequence of str, optional
        For a DataFrame: the variables to use, in this order. For an array: the name of each row, required.
    rescale : bool
        Multiply by (n - 1) / n, as lavaan does for the normal likelihood. Pass False when the divisor was n.

    Returns
    -------
    Observed
        With one group and no raw data.

    Raises
    ------
    DataError
        Not square, not symmetric, not positive definite (the columns responsible are named), names missing, or too
        few rows.
    """
    n = check_nobs(nobs)
    matrix, labels = labelled_matrix(cov, names)
    p = len(labels)
    if not np.isfinite(matrix).all():
        i, j = np.argwhere(~np.isfinite(matrix))[0]
        raise DataError(
            f"the covariance of {labels[i]} and {labels[j]} is {matrix[i, j]:g}: not a finite number",
            hint="Give a complete covariance matrix.",
        )
    variance = np.diag(matrix)
    if (variance <= 0).any():
        bad = [f"{labels[i]} ({variance[i]:g})" for i in np.flatnonzero(variance <= 0)]
        raise DataError(f"variances must be positive: {listed(bad)}", hint="Correct the diagonal of the matrix.")
    gap = np.abs(matrix - matrix.T) / np.sqrt(np.outer(variance, variance))
    if gap.max() > ASYMMETRY:
        i, j = divmod(int(gap.argmax()), p)
        raise DataError(
            f"the covariance matrix is not symmetric: {labels[i]} with {labels[j]} is {matrix[i, j]:g} in one place "
            f"and {matrix[j, i]:g} in the other",
            hint="Correct one of the two cells.",
        )
    if n <= p:
        raise DataError(
            f"{n} rows for {p} variables: there must be more rows than variables",
            hint="Check the number of observations, or use fewer variables.",
        )
    matrix = (matrix + matrix.T) / 2
    _refuse_collinear(labels, matrix, None, None)
    notes = _variance_note(labels, matrix)
    if np.allclose(variance, 1.0, rtol=0, atol=1e-12) and p > 1:
        notes.append(
            "all variances are 1: if this is a correlation matrix, standard errors of unstandardized estimates and fit "
            "under equality constraints are not those of the covariance matrix"
        )
    if rescale:
        matrix = matrix * ((n - 1) / n)
    centre = None if mean is None else labelled_mean(mean, labels)
    return Observed(tuple(labels), (GroupMoments(None, n, matrix, centre),), n, 0, tuple(notes))


def _observe_incomplete(
    frame: object,
    table: Table,
    values: NDArray[np.float64],
    holes: Mapping[str, NDArray[np.bool_]],
    keep_raw: bool,
    cluster: str | None,
    complete: Sequence[str],
) -> Observed:
    """Return the rows with at least one answer, and their moments by the EM algorithm; `values` are (p, n)."""
    notes = []
    n_read, left = table.n + table.n_empty, table.n_empty
    whole = np.zeros(table.n, dtype=bool)
    dropped = whole
    lacking = {
        name: holes.get(name, whole) for name in table.names if name in set(complete) and (left or name in holes)
    }
    if lacking:
        dropped = np.logical_or.reduce(list(lacking.values()))
        where = listed(f"{name} ({int(hole.sum()) + left})" for name, hole in lacking.items())
        notes.append(
            f"{_rows_text(int(dropped.sum()) + left, n_read)} dropped: missing values in exogenous variables taken as "
            f"fixed, {where}; missing='fiml.x' uses them"
        )
        left = 0
    empty = np.logical_and.reduce([holes.get(name, whole) for name in table.names]) & ~dropped
    if empty.any() or left:
        notes.append(f"{_rows_text(int(empty.sum()) + left, n_read)} dropped: no answer to any variable")
        dropped = dropped | empty
    used = ~dropped
    rows = np.ascontiguousarray(values[:, used].T)
    table.refuse_too_few(len(rows), notes, listwise=False)
    seen = ~np.isnan(rows)
    table.refuse_empty({name: ~seen[:, k] for k, name in enumerate(table.names)})
    # in each column the first answer stands for the missing ones: nothing changes for extremes
    filled = np.where(seen, rows, rows[seen.argmax(axis=0), np.arange(rows.shape[1])]).T
    table.refuse_out_of_scale(filled)
    table.refuse_constant(filled, " among the answers")
    incomplete = group_patterns(rows)
    refuse_unseen_pairs(table.names, incomplete, table.file)
    if incomplete.complete:
        mean, cov = _moments(np.ascontiguousarray(filled))
        _refuse_collinear(table.names, cov, mean, table.file)
    else:
        some = int((~seen.all(axis=1)).sum())
        counts = sorted(((int((~seen[:, k]).sum()), name) for k, name in enumerate(table.names)), key=lambda c: -c[0])
        where = listed(f"{name} ({count})" for count, name in counts if count)
        notes.append(
            f"{_rows_text(some, len(rows))} with missing values used with the answers there are: {where} "
            f"({len(incomplete.counts)} patterns of answers)"
        )
        found = em_moments(incomplete)
        mean, cov = np.asarray(found.mean, dtype=np.float64), np.asarray(found.cov, dtype=np.float64)
        if not found.converged:
            _refuse_copies(table.names, incomplete, table.file)
            _refuse_dependent(table.names, rows, cov, table.file)
            share = incomplete.coverage + np.eye(len(cov))
            i, j = np.unravel_index(int(share.argmin()), share.shape)
            raise DataError(
                "these answers do not determine the covariances of all variables: without a model their likelihood has "
                "no maximum, or one that cannot be reached, because too few rows hold most of the answers. The fewest "
                f"are shared by {table.names[i]} and {table.names[j]} "
                f"({round(share[i, j] * len(rows))} of {len(rows)} rows)",
                file=table.file,
                hint="Leave out variables with many missing values; a test of the model would mean nothing.",
            )
        _refuse_collinear(table.names, cov, mean, table.file)
    notes += _variance_note(table.names, cov)
    strays = tuple(stray_values(table.names, [row[ok] for row, ok in zip(rows.T, seen.T, strict=True)]))
    labels = getattr(getattr(frame, "frame", frame), "index", None) if keep_raw else None
    if labels is not None and dropped.any():
        labels = labels[used]
    clusters = None if cluster is None else (_clusters(frame, cluster, used),)
    return Observed(
        tuple(table.names),
        (GroupMoments(None, len(rows), cov, mean),),
        n_read,
        int(dropped.sum()) + table.n_empty,
        tuple(notes),
        (rows,) if keep_raw else None,
        strays,
        labels,
        clusters,
        incomplete=(incomplete,),
    )


def _rows_text(count: int, total: int) -> str:
    return f"{count} of {total} {'row' if count == 1 else 'rows'}"


def _clusters(frame: object, name: str, complete: NDArray[np.bool_] | None) -> NDArray[np.intp]:
    """Return the cluster of each complete row, numbered from 0."""
    from pandas import factorize

    table = Table.open(frame, [name])
    codes, _ = factorize(np.asarray(table.columns[0]), use_na_sentinel=True)
    rows = np.arange(table.n) if complete is None else np.flatnonzero(complete)
    codes = codes[rows]
    empty = np.flatnonzero(codes < 0)
    if len(empty):
        shown = listed([table.row_name(int(rows[i])) for i in empty[:6]])
        raise DataError(
            f"column {name} names the cluster of each row, but has no value in {shown}",
            file=table.file,
            hint="Fill the cells, or leave the rows out.",
        )
    _, codes = np.unique(codes, return_inverse=True)
    if codes.max(initial=0) == 0:
        raise DataError(
            f"all rows belong to one cluster: column {name} has a single value",
            file=table.file,
            hint="Standard errors between clusters need several of them; leave cluster out.",
        )
    return codes.astype(np.intp)


def _stack(columns: list[NDArray[np.float64]], n: int) -> NDArray[np.float64]:
    """Copy the columns into one array with a row per variable, shape (p, n): means and products run along memory.

    Filled block by block, because the columns of a table are often interleaved in memory.
    """
    values = np.empty((len(columns), n))
    for start in range(0, n, BLOCK):
        part = slice(start, start + BLOCK)
        for target, source in zip(values, columns, strict=True):
            target[part] = source[part]
    return values


def _keep(values: NDArray[np.float64], complete: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Move the complete columns of `values` to the front, in place, and return them."""
    n = int(complete.sum())
    for row in values:
        row[:n] = row[complete]
    kept = values[:, :n]
    # a view keeps the memory of the dropped part: worth a copy only when that is a large share
    return kept.copy() if n < 0.75 * values.shape[1] else kept


def _moments(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean (p,) and covariance (p, p), divisor n, of values with one row per variable, shape (p, n)."""
    p, n = values.shape
    mean = values.mean(axis=1)
    cross, rest = np.zeros((p, p)), np.zeros(p)
    for start in range(0, n, BLOCK):
        centred = values[:, start : start + BLOCK] - mean[:, None]
        cross += centred @ centred.T
        rest += centred.sum(axis=1)
    # what rounding left in the mean is taken out again
    cov = (cross - np.outer(rest, rest) / n) / n
    return mean, (cov + cov.T) / 2


def _refuse_collinear(
    names: Sequence[str], cov: NDArray[np.float64], mean: NDArray[np.float64] | None, file: object
) -> None:
    """Raise when the correlation matrix is singular or indefinite, naming the columns responsible."""
    sd = np.sqrt(np.diag(cov))
    correlation = cov / np.outer(sd, sd)
    roots, vectors = np.linalg.eigh(correlation)
    if roots[0] > SINGULAR:
        return
    close = np.argwhere(np.triu(np.abs(correlation) >= 1 - SINGULAR, 1)).tolist()
    if close:
        shown = []
        for i, j in close:
            same = correlation[i, j] > 0 and abs(sd[i] / sd[j] - 1) < 1e-9
            same = same and mean is not None and abs(mean[i] - mean[j]) < 1e-9 * sd[i]
            kind = "the same values" if same else f"correlation {np.sign(correlation[i, j]):.0f}"
            shown.append(f"{names[i]} and {names[j]} ({kind})")
        over = [f"{names[i]} and {names[j]}" for i, j in close if abs(correlation[i, j]) > 1 + 1e-8]
        if over:
            raise DataError(f"correlations beyond 1: {listed(over)}", file=file, hint="Correct the covariance matrix.")
        raise DataError(
            f"columns carry the same information: {listed(shown)}", file=file, hint="Keep one column of each pair."
        )
    null = vectors[:, roots <= SINGULAR]
    involved = [names[i] for i in np.flatnonzero(np.sqrt((null**2).sum(axis=1)) > 1e-4).tolist()]
    if roots[0] < -SINGULAR:
        raise DataError(
            f"the covariance matrix is not positive definite (smallest eigenvalue of its correlations {roots[0]:.3g}); "
            f"the columns involved are {listed(involved, most=20)}",
            file=file,
            hint="Typing errors and pairwise deletion make such matrices: compute it from complete rows.",
        )
    spare = null.shape[1]
    raise DataError(
        f"columns are linearly dependent: {listed(involved, most=20)} "
        f"({len(involved)} columns hold the information of {len(involved) - spare})",
        file=file,
        hint="Leave one of them out; a sum or mean score beside its own items is the usual cause.",
    )


def _refuse_copies(names: Sequence[str], incomplete: Incomplete, file: object) -> None:
    """Raise for pairs of columns that say the same in all rows that hold both."""
    pairs = matching_pairs(incomplete)
    if pairs:
        shown = listed(f"{names[i]} and {names[j]} ({count} rows)" for i, j, count in pairs)
        raise DataError(
            f"columns carry the same information in all rows that hold both: {shown}",
            file=file,
            hint="Keep one column of each pair.",
        )


def _refuse_dependent(names: Sequence[str], rows: NDArray[np.float64], cov: NDArray[np.float64], file: object) -> None:
    """Raise where columns are linearly dependent in the rows that hold them, given where a search for moments ended."""
    sd = np.sqrt(np.diag(cov))
    weights = np.abs(np.linalg.eigh(cov / np.outer(sd, sd))[1][:, 0])
    involved = np.flatnonzero(weights > 0.02 * weights.max()).tolist()
    part = rows[:, involved]
    part = part[~np.isnan(part).any(axis=1)]
    # more rows than the equation can fit by chance, and values that vary in them
    if len(part) > 2 * len(involved) and (np.ptp(part, axis=0) > 0).all():
        mean, own = _moments(np.ascontiguousarray(part.T))
        _refuse_collinear([names[int(i)] for i in involved], own, mean, file)


def _variance_note(names: Sequence[str], cov: NDArray[np.float64]) -> list[str]:
    variance = np.diag(cov)
    low, high = int(variance.argmin()), int(variance.argmax())
    if variance[high] <= VARIANCE_RATIO * variance[low]:
        return []
    return [
        f"variances differ by more than a factor of 1000: {names[high]} {variance[high]:.4g}, {names[low]} "
        f"{variance[low]:.4g}; dividing {names[high]} by a constant makes the fit more reliable"
    ]


def stray_values(names: Sequence[str], values: Iterable[NDArray[np.float64]]) -> Iterator[str]:
    """Yield a warning for each column whose largest or smallest value stands far apart from all others.

    A usual missing code is named when it lies further from the other values than these spread; any other value only
    when it lies ten times as far. Missing codes inside the range of the answers cannot be told from answers.
    """
    for name, row in zip(names, values, strict=True):
        low, high = float(row.min()), float(row.max())
        middle = low / 2 + high / 2
        for end, other in ((high, row <= middle), (low, row >= middle)):
            count = int(np.count_nonzero(row == end))
            if int(np.count_nonzero(other)) + count != len(row):
                continue  # other values on its side of the middle: it does not stand apart
            rest = row[other]
            near, far = (float(rest.max()), low) if end == high else (float(rest.min()), high)
            spread, gap = abs(near - far), abs(end - near)
            if spread > 0 and gap > spread * (1 if end in MISSING_CODES else 10):
                cells = "1 cell" if count == 1 else f"{count} cells"
                yield (
                    f"{name} is {end:g} in {cells}, far from all other values ({min(near, far):g} to "
                    f"{max(near, far):g}): if it means 'no answer', declare it as a missing code; if it is a typing "
                    "error, correct it."
                )


def _check_missing(missing: str) -> None:
    if missing in ("listwise", "fiml", "fiml.x"):
        return
    known = ("listwise", "fiml", "fiml.x", "pairwise", "ml", "ml.x", "direct")
    if missing in known:
        raise Unsupported(
            f"missing='{missing}' is not available",
            hint="Use missing='fiml', or 'listwise': rows with missing values are left out and counted.",
        )
    raise DataError(f"unknown method missing='{missing}'.{did_you_mean(missing, known)}", hint="Use 'listwise'.")
