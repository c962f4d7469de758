"""Sample statistics of ordered and numeric variables and their asymptotic covariance: what WLSMV is fitted to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from b2b_sem.data.category import code_answers, describe_categories
from b2b_sem.data.margin import Margin, fit_numeric, fit_ordered
from b2b_sem.data.numeric import listed
from b2b_sem.data.pair import Layout, Pairs
from b2b_sem.data.table import dropped_note
from b2b_sem.errors import DataError, Unsupported, did_you_mean

__all__ = ["OrdinalMoments", "ordinal_moments"]

Array = NDArray[np.float64]
Index = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class OrdinalMoments:
    """Thresholds, means, slopes, variances and correlations of one group, stacked, with their influence functions.

    p variables, K statistics, N rows used, q covariates.

    Attributes
    ----------
    names : tuple of str, length p
        Variables in the order of the model, covariates not among them.
    ordered : tuple of bool, length p
    levels : tuple, length p
        The different answers of each ordered item, ascending; None for a numeric variable.
    thresholds : tuple, length p
        Thresholds of the latent response of each ordered item (given covariates: where they are 0); None for numeric.
    nobs : int
        Rows used.
    cov : ndarray, shape (p, p)
        Covariances of the latent responses and the numeric variables (residual ones, given covariates): polychoric and
        polyserial ones, and maximum likelihood ones (divisor n) among numeric. 1 on the diagonal of ordered items.
    mean : ndarray, shape (p,)
        Means (given covariates: intercepts) of numeric variables; 0 for ordered items.
    statistic : ndarray, shape (K,)
        The stack, in lavaan's order: variable by variable its thresholds, or minus its mean; the slopes, covariate by
        covariate; the variances of numeric variables; the covariances below the diagonal, column by column.
    labels : tuple of str, length K
        ``y1|t1``, ``y2~1``, ``y1~x1``, ``y2~~y2``, ``y1~~y2``.
    influence : ndarray, shape (N, K)
        Influence of every row: the statistic deviates from its population value by the mean of the influences.
    slopes : ndarray, shape (p, q), or None
        Regressions on the covariates, None without covariates.
    covariates : tuple of str, length q
    covariate_mean : ndarray, shape (q,)
    covariate_cov : ndarray, shape (q, q)
        With divisor n.
    rows : ndarray of int, shape (N,)
        Which rows of the data were used.
    counts : tuple, length p
        Answers in each category; None for a numeric variable.
    coverage : ndarray of int, shape (p, p)
        Rows in which both variables have an answer.
    empty_cells : tuple of (str, str, int)
        Pairs of ordered items with empty cells in their two-way table, and how many.
    notes, warnings : tuple of str
        What a careful reader must know; what makes the numbers doubtful.
    """

    names: tuple[str, ...]
    ordered: tuple[bool, ...]
    levels: tuple[tuple[float, ...] | None, ...]
    thresholds: tuple[Array | None, ...]
    nobs: int
    cov: Array
    mean: Array
    statistic: Array
    labels: tuple[str, ...]
    influence: Array
    slopes: Array | None
    covariates: tuple[str, ...]
    covariate_mean: Array
    covariate_cov: Array
    rows: Index
    counts: tuple[Index | None, ...]
    coverage: Index
    empty_cells: tuple[tuple[str, str, int], ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @cached_property
    def gamma(self) -> Array:
        """N times the asymptotic covariance matrix of the statistic, shape (K, K): the mean product of influences."""
        out = self.influence.T @ self.influence
        out /= self.nobs
        return out

    @cached_property
    def gamma_diagonal(self) -> Array:
        """Diagonal of :attr:`gamma`, shape (K,), without the rest."""
        return np.asarray(np.einsum("nk,nk->k", self.influence, self.influence) / self.nobs)


def ordinal_moments(
    values: Array,
    names: Sequence[str],
    ordered: Sequence[str],
    *,
    missing: str = "listwise",
    covariates: Array | None = None,
    covariate_names: Sequence[str] = (),
    levels: Mapping[str, Sequence[float]] | None = None,
    group: str | None = None,
    n_empty: int = 0,
) -> OrdinalMoments:
    """Return the statistics of one group by the two-step method, and the influence of every row on them.

    Parameters
    ----------
    values : ndarray, shape (n, p)
        Answers, NaN where there is none. Any distinct numbers serve as the categories of an ordered item.
    names : sequence of str, length p
    ordered : sequence of str
        Which of the names are ordered items; the others are numeric.
    missing : {"listwise", "pairwise"}
        Use complete rows only; or, for every statistic, all rows that have the answers it needs.
    covariates : ndarray, shape (n, q), optional
        Exogenous variables that everything is conditioned on. Rows without all of them are left out.
    covariate_names : sequence of str, length q
    levels : mapping of str to sequence of float, optional
        Answers an item must have, as seen in the other groups.
    group : str, optional
        Name of the group, for messages.
    n_empty : int
        Rows without any answer that were left out before, for the notes.

    Raises
    ------
    DataError
        A variable without answers or with one answer only, two items that carry the same answers, a pair never
        answered together, a category of another group that nobody has here; each named.
    Unsupported
        Another method for missing answers.

    Notes
    -----
    First every variable by itself (thresholds; mean and variance; given covariates ordered probit and linear
    regressions), then the correlation of every pair with these held fixed. With s1, s2 the scores of a row in both
    steps and A11, A21, A22 sums of products of scores, the influence of the row is ``N B s`` with
    ``B = [[A11, 0], [A21, A22]]^-1``. Muthen (1984), doi:10.1007/BF02294210.
    """
    where = "" if group is None else f" in group {group}"
    names = [str(name) for name in names]
    flags = _flags(names, ordered)
    x = np.zeros((len(values), 0)) if covariates is None else np.asarray(covariates, dtype=np.float64)
    rows, notes = _rows(values, names, x, missing, where, n_empty)
    values, x = np.ascontiguousarray(values[rows].T), x[rows]
    coded = [code_answers(n, v, f, (levels or {}).get(n), where) for n, v, f in zip(names, values, flags, strict=True)]
    codes = np.array([c.codes for c in coded])
    seen = ~np.isnan(values)
    coverage = _coverage(seen, names, where)
    _check_covariates(x, covariate_names)
    margins = [
        fit_ordered(name, c.codes, x) if flag else fit_numeric(name, v, x)
        for name, c, v, flag in zip(names, coded, values, flags, strict=True)
    ]
    layout = Layout.of(margins, x.shape[1])
    pairs = Pairs(margins, layout, x, codes, [c.levels for c in coded], names)
    rho, influence, empty = pairs.solve()
    statistic, cov = _stack(margins, layout, rho)
    warnings = describe_categories(names, [c.counts for c in coded], empty, where)
    warnings += pairs.warnings(cov, where)
    notes += pairs.notes(where)
    notes += [
        f"{name} has {len(c.levels)} different answers: few respondents share one"
        for name, c in zip(names, coded, strict=True)
        if len(c.levels) > 12
    ]
    q = x.shape[1]
    centred = x - x.mean(axis=0)
    return OrdinalMoments(
        names=tuple(names),
        ordered=tuple(flags),
        levels=tuple(c.levels if f else None for c, f in zip(coded, flags, strict=True)),
        thresholds=tuple(m.place if f else None for m, f in zip(margins, flags, strict=True)),
        nobs=len(rows),
        cov=cov,
        mean=np.array([0.0 if f else m.place[0] for m, f in zip(margins, flags, strict=True)]),
        statistic=statistic,
        labels=layout.labels(names, flags, covariate_names),
        influence=influence,
        slopes=np.array([m.slope for m in margins]) if q else None,
        covariates=tuple(covariate_names),
        covariate_mean=x.mean(axis=0),
        covariate_cov=centred.T @ centred / len(x),
        rows=rows,
        counts=tuple(c.counts if f else None for c, f in zip(coded, flags, strict=True)),
        coverage=coverage,
        empty_cells=tuple(empty),
        notes=tuple(notes),
        warnings=tuple(warnings),
    )


def _stack(margins: Sequence[Margin], layout: Layout, rho: Array) -> tuple[Array, Array]:
    """Return the stacked statistic and the covariance matrix."""
    p = len(margins)
    sd = np.sqrt([m.variance for m in margins])
    cov = np.diag(sd**2)
    cov[layout.first, layout.second] = cov[layout.second, layout.first] = rho * sd[layout.first] * sd[layout.second]
    out = np.empty(layout.size + len(rho))
    for i, margin in enumerate(margins):
        numeric = margin.codes is None
        out[layout.place[i]] = -margin.place if numeric else margin.place
        out[layout.slope[i]] = margin.slope
        if numeric:
            out[layout.variance[i]] = margin.variance
    out[layout.size :] = cov[layout.first, layout.second]
    for i in range(p):
        cov[i, i] = margins[i].variance
    return out, cov


def _flags(names: Sequence[str], ordered: Sequence[str]) -> list[bool]:
    unknown = [str(name) for name in ordered if str(name) not in names]
    if unknown:
        raise DataError(
            f"ordered items that are not among the variables: {listed(unknown)}.{did_you_mean(unknown[0], names)}",
            hint=f"The variables are {listed(names, most=12)}.",
        )
    chosen = {str(name) for name in ordered}
    return [name in chosen for name in names]


def _rows(
    values: Array, names: Sequence[str], x: Array, missing: str, where: str, n_empty: int
) -> tuple[Index, list[str]]:
    """Return which rows are used, and notes on those that are not and on `n_empty` more without any answer."""
    if missing not in ("listwise", "pairwise"):
        raise Unsupported(
            f"missing='{missing}' is not available for ordered items",
            hint="Use missing='listwise' (complete rows) or 'pairwise' (all rows with the answers a statistic needs).",
        )
    hole = np.isnan(values)
    total = len(values)
    if total == 0:
        raise DataError(f"no rows{where}", hint="Give data with answers.")
    blank = [name for name, gone in zip(names, hole.T, strict=True) if gone.all()]
    if blank:
        raise DataError(f"every value is missing in {listed(blank)}{where}", hint="Leave the column out.")
    given = ~np.isnan(x).any(axis=1)
    kept = given & (~hole.any(axis=1) if missing == "listwise" else ~hole.all(axis=1))
    notes = []
    rows = np.flatnonzero(kept)
    if len(rows) < 2:
        raise DataError(
            f"{'no complete rows' if len(rows) == 0 else 'one complete row'}{where}",
            hint="Use missing='pairwise', or leave out the columns with most missing values."
            if missing == "listwise"
            else "Check the missing codes.",
        )
    total += n_empty
    dropped = total - len(rows)
    if dropped:
        if missing == "listwise":
            counts = [*(hole.sum(axis=0) + n_empty).tolist(), int((~given).sum()) + (n_empty if x.shape[1] else 0)]
            note = dropped_note([*names, "covariates"], counts, dropped, total, where)
            notes.append(f"{note}; missing='pairwise' uses all answers")
        else:
            unknown = int((~given).sum()) + (n_empty if x.shape[1] else 0)
            if unknown:
                notes.append(f"{unknown} of {total} rows dropped{where}: a covariate is missing")
            if dropped > unknown:
                notes.append(f"{dropped - unknown} of {total} rows dropped{where}: no answer to any item")
    return rows, notes


def _coverage(seen: NDArray[np.bool_], names: Sequence[str], where: str) -> Index:
    held = seen.astype(np.float64)
    counts = np.rint(held @ held.T).astype(np.intp)
    never = np.argwhere(np.triu(counts == 0, 1))
    if len(never):
        shown = [f"{names[i]} with {names[j]}" for i, j in never]
        raise DataError(
            f"pairs never answered together{where}: {listed(shown)}",
            hint="Their correlation is unknown: leave one of the two out.",
        )
    return counts


def _check_covariates(x: Array, names: Sequence[str]) -> None:
    if x.shape[1] == 0:
        return
    if x.shape[1] != len(names):
        raise DataError(f"{x.shape[1]} covariates, but {len(names)} names for them", hint="Name each covariate once.")
    centred = x - x.mean(axis=0)
    sd = np.sqrt((centred**2).mean(axis=0))
    flat = [name for name, s, m in zip(names, sd, np.abs(x).max(axis=0), strict=True) if not s > 1e-13 * m]
    if flat:
        raise DataError(f"covariates that do not vary: {listed(flat)}", hint="Leave them out.")
    values, vectors = np.linalg.eigh(centred.T @ centred / len(x) / np.outer(sd, sd))
    if values[0] < 1e-10:
        loads = np.abs(vectors[:, 0]) > 1e-4
        involved = [name for name, used in zip(names, loads, strict=True) if used]
        raise DataError(f"covariates are linearly dependent: {listed(involved)}", hint="Leave one of them out.")
