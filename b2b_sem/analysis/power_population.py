"""Populations of one or several groups that power is computed for, and how they change with one of their values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from b2b_sem.analysis.montecarlo import Population, moments_of
from b2b_sem.analysis.power_missing import Holes, holes_by_chance
from b2b_sem.engine.base import Array
from b2b_sem.engine.group import local_table
from b2b_sem.engine.native.implied import compile_structure, implied_moments
from b2b_sem.errors import DataError, ModelSyntaxError
from b2b_sem.spec.partable import ParameterTable, Row, build_table
from b2b_sem.spec.syntax import ParsedModel, parse_model

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "HOLD",
    "GroupPopulation",
    "OrdinalPopulation",
    "PathChanges",
    "read_population",
    "split_rows_by",
    "valued_table",
]

#: What stays as it is when a path of the population changes.
HOLD = ("variance", "residual")
#: New values of paths by (lhs, rhs, group from 0).
PathChanges = Mapping[tuple[str, str, int], float]


@dataclass(frozen=True, eq=False)
class OrdinalPopulation:
    """Ordinal items: normal responses that are cut into answers.

    Attributes
    ----------
    names : tuple of str, length p
    thresholds : mapping of str to tuple of float
    cor : (p, p) array
        Correlations of the responses.
    rows : DataFrame
        Answers of many respondents of the population, as scored.
    """

    names: tuple[str, ...]
    thresholds: Mapping[str, tuple[float, ...]]
    cor: Array
    rows: pd.DataFrame


@dataclass(frozen=True, eq=False)
class GroupPopulation:
    """Moments of one or several groups.

    Attributes
    ----------
    labels : tuple of str
        Empty with one group.
    parts : tuple of Population
    shares : tuple of float
        Of all rows; they sum to 1.
    tables : tuple of ParameterTable
        Every parameter of each group at its value; empty where only moments are known.
    holes : tuple of Holes
        What is missing in each group; empty if nothing is.
    change : callable or None
        Makes the population with other values of some paths, where it does not come from tables.
    notes : tuple of str
        What to know about results for this population.
    ordinal : OrdinalPopulation or None
        Where answers are taken as categories, not as numbers.
    """

    labels: tuple[str, ...]
    parts: tuple[Population, ...]
    shares: tuple[float, ...]
    tables: tuple[ParameterTable, ...] = ()
    holes: tuple[Holes, ...] = ()
    change: Callable[[PathChanges], GroupPopulation | None] | None = None
    notes: tuple[str, ...] = ()
    ordinal: OrdinalPopulation | None = None

    @property
    def changeable(self) -> bool:
        """Whether paths can take other values: not where only moments are known."""
        return bool(self.tables) or self.change is not None

    def value(self, lhs: str, op: str, rhs: str, group: int) -> float:
        """Return the population's value of a parameter of a group (from 0); NaN where it has none."""
        key = (rhs, op, lhs) if op == "~~" and rhs < lhs else (lhs, op, rhs)
        return float(self.parts[group].values.get(key, np.nan))

    def with_paths(self, paths: PathChanges, hold: str) -> GroupPopulation | None:
        """Return the population with other values of some paths.

        Parameters
        ----------
        paths : mapping of (lhs, rhs, group from 0) to float
        hold : {"variance", "residual"}
            The variances of the outcomes stay, and their residual variances give way; or the residual variances stay.

        Returns
        -------
        GroupPopulation or None
            None where there is no such population: paths would explain more than all variance.
        """
        if self.change is not None:
            return self.change(paths)
        parts, tables = list(self.parts), list(self.tables)
        for group in sorted({g for _, _, g in paths}):
            own = {(lhs, rhs): value for (lhs, rhs, g), value in paths.items() if g == group}
            table: ParameterTable | None = tables[group]
            for (lhs, rhs), value in own.items():
                assert table is not None
                table = _with(table, lhs, "~", rhs, value)
            if hold == "variance":
                table = _held(self.tables[group], table, dict.fromkeys(lhs for lhs, _ in own))
            if table is None:
                return None
            try:
                parts[group], tables[group] = moments_of(table), table
            except ModelSyntaxError:
                return None
        return replace(self, parts=tuple(parts), tables=tuple(tables))


def _held(before: ParameterTable, table: ParameterTable | None, outcomes: Iterable[str]) -> ParameterTable | None:
    """Return the table with residual variances that leave the outcomes the variances they had; None if there are none.

    An outcome may lead to another one: the second round, or a later one, finds nothing to change.
    """
    names = list(outcomes)
    for _ in range(len(names) + 1):
        moved = 0.0
        for name in names:
            if table is None:
                return None
            old, new = _variance(before, name), _variance(table, name)
            if old is None or new is None:
                return None
            # the variance is linear in the residual variance: d Var / d psi = (I - B)^-1 [lhs, lhs]^2
            residual = new.residual - (new.total - old.total) / new.slope
            if residual <= 0:
                return None
            moved = max(moved, abs(new.total / old.total - 1.0))
            table = _with(table, name, "~~", name, residual)
        if moved < 1e-13:
            break
    return table


@dataclass(frozen=True)
class _Variance:
    total: float
    residual: float
    slope: float


def _variance(table: ParameterTable, name: str) -> _Variance | None:
    """Return the variance of a variable, its residual variance, and the derivative of the one by the other."""
    structure = compile_structure(table, {})
    implied = implied_moments(structure, np.zeros(0))
    if implied is None or name not in structure.eta:
        return None
    k = structure.eta.index(name)
    return _Variance(float(implied.eta_cov[k, k]), float(implied.psi[k, k]), float(implied.inverse[k, k]) ** 2)


def _with(table: ParameterTable, lhs: str, op: str, rhs: str, value: float) -> ParameterTable:
    def changed(row: Row) -> Row:
        return replace(row, value=value) if (row.lhs, row.op, row.rhs) == (lhs, op, rhs) else row

    return replace(table, rows=tuple(changed(row) for row in table.rows))


def read_population(
    given: str | Population | Mapping[str, Population],
    shares: Sequence[float] | Mapping[str, float] | None = None,
    missing_rate: float | Mapping[str, float] | None = None,
) -> GroupPopulation:
    """Return the groups of a population.

    Parameters
    ----------
    given : str, Population, or mapping of label to Population
        Text is lavaan syntax with a number for every parameter, as in :func:`~b2b_sem.analysis.montecarlo.population`;
        groups differ by ``c(.3, .5)*x`` or by ``group:`` blocks.
    shares : sequence or mapping of float, optional
        Of the rows in each group, in any unit. Default: equal.
    missing_rate : float or mapping of str to float, optional
        Share of the answers to each variable, or to those named, that are missing completely at random.

    Raises
    ------
    DataError
        If shares and groups do not go together, or rates and variables.
    ModelSyntaxError
        If a covariance matrix is not positive definite.
    """
    tables: tuple[ParameterTable, ...] = ()
    if isinstance(given, str):
        parsed = parse_model(given)
        labels = _labels(parsed)
        table = build_table(parsed, meanstructure=True, fixed_x=False, groups=labels)
        numbers = range(1, len(labels) + 1)
        locals_ = [local_table(table, g)[0] for g in numbers] if labels else [table]
        tables = tuple(valued_table(part) for part in locals_)
        parts = tuple(moments_of(part) for part in tables)
    elif isinstance(given, Population):
        labels, parts = (), (given,)
    else:
        labels, parts = tuple(str(key) for key in given), tuple(given.values())
        if len(parts) == 1:
            labels = ()
    holes = tuple(holes_by_chance(missing_rate, part.names) for part in parts) if missing_rate is not None else ()
    return GroupPopulation(labels, parts, _shares(shares, labels), tables, holes)


def _labels(parsed: ParsedModel) -> tuple[str, ...]:
    """Return the labels of the groups that the text tells apart; empty for one."""
    if parsed.blocks:
        return parsed.blocks
    lengths = {len(v) for e in parsed.entries for v in (e.modifiers.fixed, e.modifiers.start)}
    return tuple(f"Group {k + 1}" for k in range(max(lengths, default=0))) if max(lengths, default=0) > 1 else ()


def valued_table(table: ParameterTable) -> ParameterTable:
    """Return the table with every parameter fixed at its value: what the text leaves out has variance 1, and else 0."""

    def fixed(row: Row) -> Row:
        if not row.free:
            return row
        default = 1.0 if row.op == "~~" and row.lhs == row.rhs else 0.0
        return replace(row, free=0, value=default if row.start is None else row.start)

    return replace(table, rows=tuple(fixed(row) for row in table.rows), total=0)


def _shares(given: Sequence[float] | Mapping[str, float] | None, labels: Sequence[str]) -> tuple[float, ...]:
    count = max(len(labels), 1)
    if given is None:
        return (1.0 / count,) * count
    if isinstance(given, Mapping):
        if {str(k) for k in given} != set(labels):
            raise DataError("shares and groups have different labels", hint=f"give one for each of {', '.join(labels)}")
        given = [given[label] for label in labels]
    values = np.asarray(list(given), dtype=float)
    if len(values) != count or not np.isfinite(values).all() or not (values > 0).all():
        raise DataError(
            f"shares={list(values)} for {count} group{'s' if count > 1 else ''}", hint="give a positive number for each"
        )
    return tuple(float(v) for v in values / values.sum())


def split_rows_by(shares: Sequence[float], rows: int) -> list[int]:
    """Return whole numbers of rows of each group with the sum `rows`: by largest remainder."""
    exact: Array = np.asarray(shares, dtype=float) * rows
    out = np.floor(exact).astype(int)
    for k in np.argsort(out - exact, kind="stable")[: rows - int(out.sum())]:
        out[k] += 1
    return [int(v) for v in out]
