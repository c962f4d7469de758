"""Populations of one or several groups that power is computed for, and how they change with one of their values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from b2b_sem.analysis.montecarlo import Population, moments_of
from b2b_sem.engine.base import Array
from b2b_sem.engine.group import local_table
from b2b_sem.engine.native.implied import compile_structure, implied_moments
from b2b_sem.errors import DataError, ModelSyntaxError
from b2b_sem.spec.partable import ParameterTable, Row, build_table
from b2b_sem.spec.syntax import ParsedModel, parse_model

__all__ = ["HOLD", "GroupPopulation", "read_population", "split_rows_by"]

#: What stays as it is when a path of the population changes.
HOLD = ("variance", "residual")


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
    """

    labels: tuple[str, ...]
    parts: tuple[Population, ...]
    shares: tuple[float, ...]
    tables: tuple[ParameterTable, ...] = ()

    def value(self, lhs: str, op: str, rhs: str, group: int) -> float:
        """Return the population's value of a parameter of a group (from 0); NaN where it has none."""
        key = (rhs, op, lhs) if op == "~~" and rhs < lhs else (lhs, op, rhs)
        return float(self.parts[group].values.get(key, np.nan))

    def with_path(self, lhs: str, rhs: str, group: int, value: float, hold: str) -> GroupPopulation | None:
        """Return the population with another value of the path ``lhs ~ rhs`` in a group (from 0).

        Parameters
        ----------
        lhs, rhs : str
        group : int
        value : float
        hold : {"variance", "residual"}
            The variance of `lhs` stays, and its residual variance gives way; or the residual variance stays.

        Returns
        -------
        GroupPopulation or None
            None where there is no such population: the path would explain more than all variance.
        """
        table = _with(self.tables[group], lhs, "~", rhs, value)
        if hold == "variance":
            before, after = _variance(self.tables[group], lhs), _variance(table, lhs)
            if before is None or after is None:
                return None
            # the variance is linear in the residual variance: d Var / d psi = (I - B)^-1 [lhs, lhs]^2
            residual = after.residual - (after.total - before.total) / after.slope
            if residual <= 0:
                return None
            table = _with(table, lhs, "~~", lhs, residual)
        try:
            part = moments_of(table)
        except ModelSyntaxError:
            return None
        parts, tables = list(self.parts), list(self.tables)
        parts[group], tables[group] = part, table
        return replace(self, parts=tuple(parts), tables=tuple(tables))


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
    given: str | Population | Mapping[str, Population], shares: Sequence[float] | Mapping[str, float] | None = None
) -> GroupPopulation:
    """Return the groups of a population.

    Parameters
    ----------
    given : str, Population, or mapping of label to Population
        Text is lavaan syntax with a number for every parameter, as in :func:`~b2b_sem.analysis.montecarlo.population`;
        groups differ by ``c(.3, .5)*x`` or by ``group:`` blocks.
    shares : sequence or mapping of float, optional
        Of the rows in each group, in any unit. Default: equal.

    Raises
    ------
    DataError
        If shares and groups do not go together.
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
        tables = tuple(_valued(part) for part in locals_)
        parts = tuple(moments_of(part) for part in tables)
    elif isinstance(given, Population):
        labels, parts = (), (given,)
    else:
        labels, parts = tuple(str(key) for key in given), tuple(given.values())
        if len(parts) == 1:
            labels = ()
    return GroupPopulation(labels, parts, _shares(shares, labels), tables)


def _labels(parsed: ParsedModel) -> tuple[str, ...]:
    """Return the labels of the groups that the text tells apart; empty for one."""
    if parsed.blocks:
        return parsed.blocks
    lengths = {len(v) for e in parsed.entries for v in (e.modifiers.fixed, e.modifiers.start)}
    return tuple(f"Group {k + 1}" for k in range(max(lengths, default=0))) if max(lengths, default=0) > 1 else ()


def _valued(table: ParameterTable) -> ParameterTable:
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
