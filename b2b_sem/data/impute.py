"""Multiple imputation by chained equations: several completed copies of data with holes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from b2b_sem.data.chain import Settings, run_chains, scale_reduction
from b2b_sem.data.numeric import listed
from b2b_sem.data.table import Table
from b2b_sem.errors import DataError, Unsupported, did_you_mean, whole_number

if TYPE_CHECKING:
    import pandas as pd

    from b2b_sem.data.read import Responses

__all__ = ["SCALES", "Imputations", "impute"]

#: How draws are put on the response scale, with what a report says of it.
SCALES = {
    "match": "predictive mean matching",
    "round": "normal regression, rounded to the response scale",
    "none": "normal regression",
}
#: A column with fewer answers than this says too little about those that are missing.
FEWEST = 10
#: R-hat above this says that the chains had not mixed.
UNMIXED = 1.2


@dataclass(frozen=True, eq=False)
class Imputations:
    """Completed copies of one data set.

    Iterating gives the copies, as does ``frames``; each is a DataFrame of its own, with the columns and row labels of
    the data.

    Attributes
    ----------
    seed : int
    scale : {"match", "round", "none"}
        How draws were put on the response scale.
    iterations : int
        Rounds over all columns in each chain.
    items, auxiliary : tuple of str
        Columns that were completed.
    n_read, n_dropped : int
        Rows seen, and rows left out because none of the items was answered.
    missing : mapping of str to int
        Missing answers in each column that has some, rows left out not counted.
    notes, warnings : tuple of str
    group : str or None
        Column of groups, if each group was imputed by itself.
    groups : mapping of str to Imputations
        What was imputed in each group; empty without groups.
    """

    seed: int
    scale: str
    iterations: int
    items: tuple[str, ...]
    auxiliary: tuple[str, ...]
    n_read: int
    n_dropped: int
    missing: Mapping[str, int]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    _frames: tuple[pd.DataFrame, ...] = field(repr=False)
    _trace: NDArray[np.float64] = field(repr=False)
    _observed: Mapping[str, tuple[float, float]] = field(repr=False)
    group: str | None = None
    groups: Mapping[str, Imputations] = field(default_factory=dict, repr=False)

    @property
    def frames(self) -> tuple[pd.DataFrame, ...]:
        """The completed data sets (copies)."""
        return tuple(frame.copy() for frame in self._frames)

    def __len__(self) -> int:
        return len(self._frames)

    def __iter__(self) -> Iterator[pd.DataFrame]:
        return iter(self.frames)

    def __getitem__(self, index: int) -> pd.DataFrame:
        return self._frames[index].copy()

    @property
    def nobs(self) -> int:
        """Rows of each completed data set."""
        return self.n_read - self.n_dropped

    def trace(self) -> pd.DataFrame:
        """Return mean and standard deviation of the draws: imputation iteration column mean sd.

        The lines of a column, drawn over iterations, should mix and show no trend.
        """
        import pandas as pd

        if self.groups:
            return self._by_group({label: part.trace() for label, part in self.groups.items()})
        m, rounds, k, _ = self._trace.shape
        index = pd.MultiIndex.from_product(
            [range(1, m + 1), range(1, rounds + 1), list(self.missing)], names=["imputation", "iteration", "column"]
        )
        table = pd.DataFrame(self._trace.reshape(m * rounds * k, 2), index=index, columns=["mean", "sd"])
        return table.reset_index()

    def convergence(self) -> pd.DataFrame:
        """Return one row a column with holes: what was drawn beside what was answered, and whether chains mixed.

        Columns: column missing share mean_observed mean_imputed sd_observed sd_imputed rhat_mean rhat_sd. R-hat is
        the potential scale reduction (Gelman & Rubin 1992, doi:10.1214/ss/1177011136) of the means and standard
        deviations over the second half of the iterations; above 1.2 more iterations are needed. Means differ where
        answers are missing at random rather than completely at random: that is no error.
        With groups imputed by themselves the column ``group`` stands first.
        """
        import pandas as pd

        if self.groups:
            return self._by_group({label: part.convergence() for label, part in self.groups.items()})
        half = self._trace[:, self.iterations // 2 :]
        reduction = scale_reduction(half)
        last = self._trace[:, -1].mean(axis=0)
        rows = [
            {
                "column": name,
                "missing": count,
                "share": count / self.nobs,
                "mean_observed": self._observed[name][0],
                "mean_imputed": float(last[j, 0]),
                "sd_observed": self._observed[name][1],
                "sd_imputed": float(last[j, 1]),
                "rhat_mean": float(reduction[j, 0]),
                "rhat_sd": float(reduction[j, 1]),
            }
            for j, (name, count) in enumerate(self.missing.items())
        ]
        names = ("column", "missing", "share", "mean_observed", "mean_imputed", "sd_observed", "sd_imputed")
        return pd.DataFrame(rows, columns=[*names, "rhat_mean", "rhat_sd"])

    def _by_group(self, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        import pandas as pd

        named = [table.assign(group=label) for label, table in tables.items()]
        whole = pd.concat([table for table in named if len(table)] or named[:1], ignore_index=True)
        return whole[["group", *(c for c in whole.columns if c != "group")]]

    def summary(self) -> str:
        """Return what was done, and the table of convergence, as text."""
        table = self.convergence().to_string(index=False, float_format=lambda v: f"{v:.3f}")
        return "\n".join([*self.notes, "", table, *self.warnings]) if self.missing else "\n".join(self.notes)

    def __str__(self) -> str:
        return self.summary()


def impute(
    data: pd.DataFrame | Mapping[str, Any] | Responses,
    m: int = 20,
    *,
    seed: int | None = None,
    items: Sequence[str] | None = None,
    auxiliary: Sequence[str] = (),
    scale: str = "match",
    limits: tuple[float, float] | Mapping[str, tuple[float, float]] | None = None,
    iterations: int = 10,
    donors: int = 5,
    jobs: int = 1,
    group: str | None = None,
) -> Imputations:
    """Complete data with missing answers m times.

    Every column with holes is regressed on all other columns, and its missing answers are drawn given that regression,
    column after column, for some rounds (chained equations: van Buuren & Groothuis-Oudshoorn 2011,
    doi:10.18637/jss.v045.i03). Each of the m chains has a random stream of its own
    (``numpy.random.SeedSequence(seed).spawn(m)``). The result is right if answers are missing at random given the
    columns that take part.

    Parameters
    ----------
    data : DataFrame, mapping of columns, or Responses
        One row a respondent.
    m : int
        Completed data sets, at least 2.
    seed : int
        Must be given: the same seed gives the same data, for any number of jobs.
    items : sequence of str, optional
        Columns to complete: all that the model will use, its outcomes included. Default: all numeric columns but the
        auxiliary ones. They must be numbers; a category is one when it is coded as 0/1 columns. Rows without any
        answer to them are left out.
    auxiliary : sequence of str
        Further columns that help to predict; they are completed, too. Columns that say why an answer is missing make
        the assumption hold.
    scale : {"match", "round", "none"}
        "match": a missing answer is that of a respondent with nearly the same expected answer (predictive mean
        matching, Little 1988, doi:10.1080/07350015.1988.10509663; coefficients are drawn for those who did not answer),
        so that only answers that were given are drawn, and skewed scales stay skewed. "round": normal draws rounded to
        whole numbers, where all answers are whole numbers, and held inside the limits; means and variances of skewed
        items are biased. "none": normal draws as they are, also outside of the scale; means and covariances are right
        on average.
    limits : (low, high), or mapping of column to such, optional
        For "round"; default: smallest and largest answer.
    iterations : int
        Rounds of each chain.
    donors : int
        For "match": respondents one is drawn from.
    jobs : int
        Worker processes.
    group : str, optional
        Column of groups, each of which is imputed by itself: what goes with what may then differ between groups, as it
        may in a model of several groups. Rows without a group are left out.

    Returns
    -------
    Imputations

    Raises
    ------
    DataError
        A column is not there, is not numeric or has too few answers; two columns were never answered together; or no
        seed is given.
    Unsupported
        For an unknown `scale`.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(1)
    >>> data = pd.DataFrame(rng.integers(1, 6, size=(50, 3)), columns=["a", "b", "c"]).astype(float)
    >>> data.loc[:9, "a"] = np.nan
    >>> completed = impute(data, m=3, seed=1)
    >>> len(completed), int(completed[0].isna().sum().sum()), sorted(completed[0]["a"].unique()) == [1, 2, 3, 4, 5]
    (3, 0, True)
    """
    _check(m, seed, scale, limits, iterations, donors, jobs)
    assert seed is not None
    frame, names, extra = _columns(data, items, auxiliary, group)
    streams = np.random.SeedSequence(seed)
    if group is not None:
        return _impute_groups(frame, names, extra, group, m, seed, streams, scale, limits, iterations, donors, jobs)
    return _impute(data, frame, names, extra, m, seed, streams, scale, limits, iterations, donors, jobs)


def _impute(
    data: Any,
    frame: Any,
    names: Sequence[str],
    extra: Sequence[str],
    m: int,
    seed: int,
    streams: np.random.SeedSequence,
    scale: str,
    limits: Any,
    iterations: int,
    donors: int,
    jobs: int,
) -> Imputations:
    """Complete the rows of one group; `frame` are the data with the columns' names as text."""
    table = Table.open(data, [*names, *extra])
    values = np.column_stack(table.floats()).astype(np.float64)
    table.refuse_infinite(values.T)
    empty = np.isnan(values)
    table.refuse_empty({name: empty[:, j] for j, name in enumerate(table.names)})
    kept = ~empty[:, : len(names)].all(axis=1)
    values, empty = values[kept], empty[kept]
    table.refuse_out_of_scale(np.where(empty, np.nanmean(values, axis=0), values).T)
    dropped = int((~kept).sum()) + table.n_empty
    counts = empty.sum(axis=0)
    _refuse_thin(table, values, empty)
    holes = sorted(np.flatnonzero(counts).tolist(), key=lambda j: (counts[j], j))
    low, high = _limits(limits, table.names, values, holes)
    answers = [values[~empty[:, j], j] for j in holes]
    whole = tuple(bool((a == np.round(a)).all()) for a in answers)
    settings = Settings(scale, iterations, donors, low, high, whole)
    seeds = streams.spawn(m)
    if holes:
        found = _run(values, holes, seeds, settings, jobs)
    else:
        found = [(values, np.zeros((iterations, 0, 2)))] * m
    base = frame.loc[kept].copy()
    frames = []
    for completed, _ in found:
        copy = base.copy()
        for j, name in enumerate(table.names):
            if counts[j]:
                copy[name] = completed[:, j]
        frames.append(copy)
    trace = np.stack([t for _, t in found])
    missing = {table.names[j]: int(counts[j]) for j in holes}
    notes = _notes(m, seed, settings, values, empty, table.n + table.n_empty, dropped)
    return Imputations(
        seed=seed,
        scale=scale,
        iterations=iterations,
        items=tuple(names),
        auxiliary=tuple(extra),
        n_read=table.n + table.n_empty,
        n_dropped=dropped,
        missing=missing,
        notes=notes,
        warnings=_warnings(trace, missing, values, iterations),
        _frames=tuple(frames),
        _trace=trace,
        _observed={table.names[j]: (float(a.mean()), float(a.std())) for j, a in zip(holes, answers, strict=True)},
    )


def _impute_groups(
    frame: Any,
    names: Sequence[str],
    extra: Sequence[str],
    group: str,
    m: int,
    seed: int,
    streams: np.random.SeedSequence,
    *settings: Any,
) -> Imputations:
    """Complete each group by itself, and put the rows back in their order."""
    import pandas as pd

    from b2b_sem.data.group import group_labels, naming_group

    labels, codes = group_labels(Table.open(frame, [group]).columns[0])
    parts: dict[str, Imputations] = {}
    for g, (label, own) in enumerate(zip(labels, streams.spawn(len(labels)), strict=True)):
        rows = np.flatnonzero(codes == g)
        part = frame.iloc[rows].set_axis(rows, axis=0)
        with naming_group(label):
            parts[label] = _impute(part, part, names, extra, m, seed, own, *settings)
    if not parts:
        raise DataError(f"the group column {group} has no value", hint="name the column that tells groups apart")
    lost = int((codes < 0).sum())
    notes = [f"{lost} of {len(codes)} rows dropped: no value in the group column {group}"] if lost else []
    frames = []
    for k in range(m):
        whole = pd.concat([part._frames[k] for part in parts.values()]).sort_index()
        frames.append(whole.set_axis(frame.index[whole.index.to_numpy()], axis=0))
    missing: dict[str, int] = {}
    for part in parts.values():
        for name, count in part.missing.items():
            missing[name] = missing.get(name, 0) + count
    first = next(iter(parts.values()))
    said = {
        kind: tuple(f"group {label}: {text}" for label, part in parts.items() for text in getattr(part, kind))
        for kind in ("notes", "warnings")
    }
    return Imputations(
        seed=seed,
        scale=first.scale,
        iterations=first.iterations,
        items=tuple(names),
        auxiliary=tuple(extra),
        n_read=len(codes),
        n_dropped=lost + sum(part.n_dropped for part in parts.values()),
        missing=missing,
        notes=(*notes, "each group was imputed by itself", *said["notes"]),
        warnings=said["warnings"],
        _frames=tuple(frames),
        _trace=np.zeros((m, first.iterations, 0, 2)),
        _observed={},
        group=group,
        groups=parts,
    )


def _check(m: Any, seed: Any, scale: str, limits: Any, iterations: Any, donors: Any, jobs: Any) -> None:
    if scale not in SCALES:
        raise Unsupported(
            f"scale={scale!r} is not available.{did_you_mean(str(scale), SCALES)}",
            hint="use " + ", ".join(repr(s) for s in SCALES),
        )
    if limits is not None and scale != "round":
        raise DataError("limits are given, but nothing is rounded to them", hint="use scale='round', or leave them out")
    if seed is None:
        raise DataError(
            "multiple imputation draws random numbers and needs a seed, so that its numbers can be repeated",
            hint="give any whole number: seed=1, --seed 1 on the command line, 'seed: 1' in a file",
        )
    whole = {"seed": (seed, 0), "m": (m, 2), "iterations": (iterations, 1), "donors": (donors, 1), "jobs": (jobs, 1)}
    for name, (value, least) in whole.items():
        whole_number(value, name, least)


def _columns(
    data: Any, items: Sequence[str] | None, auxiliary: Sequence[str], group: str | None
) -> tuple[Any, list[str], list[str]]:
    """Return the data as a DataFrame with its items and auxiliary columns, both in the order of the data."""
    import pandas as pd

    frame = getattr(data, "frame", data)
    if isinstance(frame, Mapping):
        frame = pd.DataFrame(dict(frame))
    if not isinstance(frame, pd.DataFrame):
        raise DataError(
            f"data must be a DataFrame or a mapping of names to columns, not {type(data).__name__}",
            hint="Give the columns names: pandas.DataFrame(array, columns=[...]).",
        )
    for option, given in (("items", items), ("auxiliary", auxiliary)):
        if isinstance(given, str):
            raise DataError(f"{option} is one text, not a list of names", hint=f"write {option}=['{given}']")
    extra = list(dict.fromkeys(str(name) for name in auxiliary))
    if items is None:
        numeric = [str(c) for c in frame.columns if pd.api.types.is_numeric_dtype(frame[c])]
        names = [name for name in numeric if name not in extra and name != group]
        if not names:
            raise DataError("the data have no numeric column to complete", hint="name the items: items=[...]")
    else:
        names = [str(name) for name in items]
    if group is not None and group in (*names, *extra):
        raise DataError(f"{group} tells groups apart and is to be imputed, too", hint="leave it out of the items")
    both = [name for name in extra if name in names]
    if both:
        raise DataError(
            f"both an item and auxiliary: {listed(both)}", hint="items take part in all regressions already"
        )
    # the order of the data, so that the order in a model makes no difference
    place = {str(c): i for i, c in enumerate(frame.columns)}
    names.sort(key=lambda name: place.get(name, -1))
    extra.sort(key=lambda name: place.get(name, -1))
    frame = frame.rename(columns={c: str(c) for c in frame.columns})
    return frame, names, extra


def _refuse_thin(table: Table, values: NDArray[np.float64], empty: NDArray[np.bool_]) -> None:
    """Raise for columns with too few answers, and for pairs that were never answered together."""
    answered = ~empty
    counts = answered.sum(axis=0)
    short = [f"{table.names[j]} ({counts[j]})" for j in np.flatnonzero((counts < FEWEST) & empty.any(axis=0))]
    if short:
        raise DataError(
            f"too few answers to predict the missing ones from: {listed(short)}",
            file=table.file,
            hint=f"Leave the column out; {FEWEST} answers are the least, and many more are needed for good ones.",
        )
    together = answered.astype(np.int64).T @ answered.astype(np.int64)
    pairs = np.argwhere(np.triu(together == 0, 1))
    if len(pairs):
        shown = listed(f"{table.names[i]} and {table.names[j]}" for i, j in pairs)
        raise DataError(
            f"never answered by the same person: {shown}",
            file=table.file,
            hint="The data say nothing about how these go together: leave one of each pair out.",
        )


def _limits(
    limits: Any, names: Sequence[str], values: NDArray[np.float64], holes: Sequence[int]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the lowest and the highest answer of each column with holes."""
    if isinstance(limits, Mapping):
        unknown = [str(name) for name in limits if name not in names]
        if unknown:
            raise DataError(f"limits of unknown columns: {listed(unknown)}", hint="name columns that are completed")
    low, high = [], []
    for j in holes:
        given = limits.get(names[j]) if isinstance(limits, Mapping) else limits
        least, most = float(np.nanmin(values[:, j])), float(np.nanmax(values[:, j]))
        if given is not None:
            try:
                bottom, top = (float(v) for v in given)
            except (TypeError, ValueError):
                raise DataError(f"limits={given!r}", hint="give (low, high), such as (1, 7)") from None
            if not bottom <= least <= most <= top:
                raise DataError(
                    f"answers in {names[j]} go from {least:g} to {most:g}, beyond the limits {bottom:g} to {top:g}",
                    hint="correct the limits or the answers",
                )
            least, most = bottom, top
        low.append(least)
        high.append(most)
    return tuple(low), tuple(high)


def _run(
    values: NDArray[np.float64], holes: list[int], seeds: list[Any], settings: Settings, jobs: int
) -> list[tuple[Any, Any]]:
    """Run the chains, in worker processes if asked for; the order is that of the seeds."""
    if jobs == 1:
        return run_chains(values, holes, seeds, settings)
    import itertools
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    context = multiprocessing.get_context("spawn")
    jobs = min(jobs, len(seeds))
    cuts = [len(seeds) * k // jobs for k in range(jobs + 1)]
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        waiting = [
            pool.submit(run_chains, values, holes, seeds[first:last], settings)
            for first, last in itertools.pairwise(cuts)
        ]
        return [one for part in waiting for one in part.result()]


def _notes(
    m: int,
    seed: int,
    settings: Settings,
    values: NDArray[np.float64],
    empty: NDArray[np.bool_],
    n_read: int,
    dropped: int,
) -> tuple[str, ...]:
    out = []
    if dropped:
        what = "row" if dropped == 1 else "rows"
        out.append(f"{dropped} of {n_read} {what} dropped: not one of the items was answered")
    if not empty.any():
        return (*out, "no answer is missing: all completed data sets are the same")
    rows = int(empty.any(axis=1).sum())
    out.append(
        f"{int(empty.sum())} missing answers ({100 * empty.mean():.1f} %) in {rows} of {len(values)} rows were imputed "
        f"{m} times: chained equations, {SCALES[settings.scale]}, {settings.iterations} iterations, seed {seed}"
    )
    return tuple(out)


def _warnings(
    trace: NDArray[np.float64], missing: Mapping[str, int], values: NDArray[np.float64], iterations: int
) -> tuple[str, ...]:
    from scipy import special

    out = []
    rows, p = values.shape
    thin = [f"{name} ({rows - count})" for name, count in missing.items() if rows - count < p + 10]
    if thin:
        out.append(
            f"Few answers for {p} columns: {listed(thin)}. Their imputations rest on little: use fewer columns or "
            "leave these out."
        )
    n = iterations - iterations // 2
    if missing and n >= 3:
        chains = len(trace)
        reduction = scale_reduction(trace[:, iterations // 2 :]).max(axis=1)
        # R-hat of chains that mix perfectly exceeds 1.2, too, when there are few: F(m - 1, m (n - 1)) says how often
        f = n * reduction**2 - (n - 1)
        rare = special.fdtrc(chains - 1, chains * (n - 1), f) < 0.01 / (2 * len(missing))
        bad = rare & (reduction > UNMIXED) & np.isfinite(reduction)
        slow = [f"{name} ({reduction[j]:.2f})" for j, name in enumerate(missing) if bad[j]]
        if slow:
            out.append(
                f"The chains have not mixed (R-hat above {UNMIXED}): {listed(slow)}. Use more iterations, "
                f"for example {3 * iterations}, or fewer columns that say the same."
            )
    return tuple(out)
