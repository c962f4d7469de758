"""Constraints that are not linear equations: nonlinear ``==``, ``<``, ``>`` and bounds of single parameters.

Every constraint is a function c(theta) that must be 0 or, for an inequality, at least 0. Linear equations are not here:
they are solved for beforehand (:class:`~b2b_sem.engine.native.constraint.LinearConstraints`), and everything here is
restricted to what they leave open. Values, gradients and second derivatives are exact: the expression is walked with
second-order forward differentiation in the few parameters it contains.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from b2b_sem.engine.base import Array, IntArray
from b2b_sem.engine.native.constraint import (
    LinearConstraints,
    definitions_used,
    linear_constraints,
    linear_form,
    null_basis,
)
from b2b_sem.errors import ModelSyntaxError
from b2b_sem.spec import expression as ex
from b2b_sem.spec.partable import ParameterTable
from b2b_sem.spec.syntax import Constraint

__all__ = ["Restriction", "Restrictions", "restrict"]

Jet = tuple[float, Array, Array]

#: Second derivatives of :data:`b2b_sem.spec.expression.FUNCTIONS`.
_SECOND: Mapping[str, Callable[[float], float]] = {
    "exp": math.exp,
    "log": lambda x: -1 / (x * x),
    "log2": lambda x: -1 / (x * x * math.log(2)),
    "log10": lambda x: -1 / (x * x * math.log(10)),
    "sqrt": lambda x: -0.25 * x**-1.5,
    "abs": lambda _: 0.0,
    "sin": lambda x: -math.sin(x),
    "cos": lambda x: -math.cos(x),
    "tan": lambda x: 2 * math.tan(x) * (1 + math.tan(x) ** 2),
    "tanh": lambda x: -2 * math.tanh(x) * (1 - math.tanh(x) ** 2),
    "atanh": lambda x: 2 * x / (1 - x * x) ** 2,
}


def jet(tree: ex.Expression, known: Mapping[str, Jet], k: int) -> Jet:
    """Return value, gradient (k,) and second derivatives (k, k) of an expression.

    Raises
    ------
    ValueError, ZeroDivisionError, OverflowError
        Where it has no value.
    """
    match tree:
        case ex.Number(value):
            return value, np.zeros(k), np.zeros((k, k))
        case ex.Name(name):
            return known[name]
        case ex.Negative(operand):
            v, g, h = jet(operand, known, k)
            return -v, -g, -h
        case ex.Call(function, operand):
            f, slope = ex.FUNCTIONS[function]
            v, g, h = jet(operand, known, k)
            return _chain(f(v), slope(v), _SECOND[function](v), g, h)
        case ex.Binary(op, left, right):
            a, b = jet(left, known, k), jet(right, known, k)
            if op in "+-":
                sign = 1.0 if op == "+" else -1.0
                return a[0] + sign * b[0], a[1] + sign * b[1], a[2] + sign * b[2]
            if op == "*":
                return _product(a, b)
            if op == "/":
                inverse = 1.0 / b[0]
                return _product(a, _chain(inverse, -(inverse**2), 2 * inverse**3, b[1], b[2]))
            return _power(a, b, constant=next(ex.names(right), None) is None)


def _chain(value: float, first: float, second: float, g: Array, h: Array) -> Jet:
    return value, first * g, first * h + second * np.outer(g, g)


def _product(a: Jet, b: Jet) -> Jet:
    cross = np.outer(a[1], b[1])
    return a[0] * b[0], a[0] * b[1] + b[0] * a[1], a[0] * b[2] + b[0] * a[2] + cross + cross.T


def _power(a: Jet, b: Jet, *, constant: bool) -> Jet:
    if constant:  # the base may be negative
        x, n = a[0], b[0]
        first = n * math.pow(x, n - 1) if n else 0.0
        second = n * (n - 1) * math.pow(x, n - 2) if n * (n - 1) else 0.0
        return _chain(math.pow(x, n), first, second, a[1], a[2])
    v, g, h = _product(b, _chain(math.log(a[0]), 1 / a[0], -1 / a[0] ** 2, a[1], a[2]))
    value = math.exp(v)
    return _chain(value, value, value, g, h)


@dataclass(frozen=True)
class Restriction:
    """One constraint, c(theta) = 0 or c(theta) >= 0.

    Attributes
    ----------
    text : str
        As written, or as a bound such as ``x1~~x1 >= 0``.
    equality : bool
    at : (k,) int array
        The parameters it contains, from 0.
    slope, offset : (k,) array and float
        c = slope'theta[at] - offset, if it is linear; slope is None otherwise.
    function : callable or None
        theta[at] to value, gradient and second derivatives, if it is not linear.
    bound : bool
        Of a single parameter, from ``lower()``, ``upper()`` or ``bounds=``.
    line, column : int
        Place in the model text; 0 for automatic bounds.
    """

    text: str
    equality: bool
    at: IntArray
    slope: Array | None
    offset: float
    function: Callable[[Array], Jet] | None
    bound: bool = False
    line: int = 0
    column: int = 0

    @property
    def linear(self) -> bool:
        """Whether the constraint is linear in the parameters."""
        return self.slope is not None


@dataclass(frozen=True)
class Restrictions:
    """All constraints of a problem beside its linear equations.

    Attributes
    ----------
    items : tuple of Restriction
        Equalities first.
    linear : LinearConstraints or None
        The linear equations, which the items are in addition to.
    idle : tuple of str
        Inequalities without a free parameter, which hold and restrict nothing.
    file : str or None
    """

    items: tuple[Restriction, ...]
    linear: LinearConstraints | None
    idle: tuple[str, ...]
    file: str | None
    q: int

    @property
    def equations(self) -> int:
        """Number of nonlinear equations."""
        return sum(r.equality for r in self.items)

    @property
    def curved(self) -> bool:
        """Whether any constraint is not linear."""
        return any(not r.linear for r in self.items)

    def evaluate(self, theta: Array) -> tuple[Array, Array] | None:
        """Return values (m,) and Jacobian (m, q), or None where a constraint has no value."""
        values, jacobian = np.zeros(len(self.items)), np.zeros((len(self.items), self.q))
        for i, item in enumerate(self.items):
            x = theta[item.at]
            if item.slope is not None:
                values[i], jacobian[i, item.at] = float(item.slope @ x) - item.offset, item.slope
                continue
            assert item.function is not None
            try:
                values[i], jacobian[i, item.at], _ = item.function(x)
            except (ValueError, ZeroDivisionError, OverflowError):
                return None
        return (values, jacobian) if np.isfinite(values).all() and np.isfinite(jacobian).all() else None

    def curvature(self, theta: Array, multipliers: Array) -> Array:
        """Return the sum of the second derivatives, each times its multiplier, (q, q)."""
        out = np.zeros((self.q, self.q))
        for item, weight in zip(self.items, multipliers, strict=True):
            if item.function is not None and weight:
                out[np.ix_(item.at, item.at)] += weight * item.function(theta[item.at])[2]
        return out

    def select(self, keep: Sequence[int]) -> Restrictions:
        """Return the restrictions with some of the items."""
        return Restrictions(tuple(self.items[i] for i in keep), self.linear, self.idle, self.file, self.q)

    def snap(self, theta: Array, tolerance: Array) -> Array:
        """Put parameters within a tolerance of a bound exactly on it."""
        out = theta.copy()
        for item in self.items:
            if item.slope is not None and len(item.at) == 1:
                k, bound = int(item.at[0]), float(item.offset / item.slope[0])
                if abs(theta[k] - bound) <= tolerance[k]:
                    out[k] = bound
        return out

    def tangent(self, theta: Array, scale: Array, tolerance: float = 1e-7) -> LinearConstraints:
        """Return the directions that stay open at a solution.

        Parameters
        ----------
        theta : (q,) array
        scale : (q,) array
            Root of the expected curvature of each parameter: makes distances free of units.
        tolerance : float
            Distance, in these units, at which an inequality counts as an equation.
        """
        base = np.eye(self.q) if self.linear is None else self.linear.basis
        rank = 0 if self.linear is None else self.linear.rank
        redundant = () if self.linear is None else self.linear.redundant
        found = self.evaluate(theta)
        assert found is not None
        values, jacobian = found
        scaled = (jacobian @ base) / _reduced_scale(scale, base)
        norms = np.linalg.norm(scaled, axis=1)
        rows: list[Array] = []
        units: list[Array] = []
        active: list[str] = []
        for item, value, row, unit, norm in zip(self.items, values, jacobian @ base, scaled, norms, strict=True):
            if not item.equality and value > tolerance * norm:
                continue
            new = norm > 0 and np.linalg.matrix_rank(np.array([*units, unit / norm]), tol=1e-7) == len(units) + 1
            if new:
                rows.append(row)
                units.append(unit / norm)
                rank += item.equality
            if not item.equality:
                active.append(item.text)
            elif not new:
                redundant = (*redundant, item.text)
        inner = null_basis(np.array(rows), base.shape[1])
        basis = base @ inner
        basis[np.linalg.norm(basis, axis=1) < 1e-13] = 0.0
        return LinearConstraints(theta, basis, rank, redundant, tuple(active), self.idle)


def _reduced_scale(scale: Array, base: Array) -> Array:
    """Return the scale of combinations of parameters."""
    out: Array = np.sqrt(((base * scale[:, None]) ** 2).sum(axis=0))
    return out


def restrict(table: ParameterTable) -> Restrictions | None:
    """Return the constraints of a table, or None if it has none beside linear equations.

    Raises
    ------
    ModelSyntaxError
        If an inequality without a free parameter is false, or linear constraints contradict each other.
    """
    linear = linear_constraints(table, skip_nonlinear=True)
    curved = [s for s in table.equalities if linear_form(table, s) is None]
    if not curved and not table.inequalities and not table.bounded:
        return None
    items: list[Restriction] = []
    idle: list[str] = []
    for statement in (*curved, *table.inequalities):
        item = _compile(table, statement)
        if len(item.at):
            items.append(item)
            continue
        value = -item.offset if item.slope is not None else math.nan
        if item.equality or not value >= -1e-12 * (1.0 + abs(value)):
            raise ModelSyntaxError(
                f"the constraint '{statement.statement}' has no free parameter and is false",
                file=table.file,
                line=statement.line,
                column=statement.column,
                hint="remove it, or free one of the parameters",
            )
        idle.append(statement.statement)
    items += _bounds(table)
    out = Restrictions(tuple(items), linear, tuple(idle), table.file, table.nfree)
    _require_possible(out)
    return out


def _compile(table: ParameterTable, statement: Constraint) -> Restriction:
    """Turn a statement into a function of the parameters it contains."""
    equality, place = statement.op == "==", (statement.line, statement.column)
    left, right = (statement.right, statement.left) if statement.op == "<" else (statement.left, statement.right)
    form = linear_form(table, statement)
    if form is not None:
        sign = -1.0 if statement.op == "<" else 1.0
        at = np.flatnonzero(form[0])
        return Restriction(statement.statement, equality, at, sign * form[0][at], sign * form[1], None, False, *place)
    definitions = definitions_used(table, [statement])
    used = {n.name for d in definitions for n in ex.names(d.right)}
    used |= {n.name for side in (left, right) for n in ex.names(side)}
    rows = {r.label: r for r in reversed(table.rows) if r.label in used}
    at = np.array(sorted({r.free - 1 for r in rows.values() if r.free}), dtype=np.intp)
    k = len(at)
    where = {int(parameter): i for i, parameter in enumerate(at)}
    eye, flat = np.eye(k), np.zeros((k, k))

    def function(x: Array) -> Jet:
        known: dict[str, Jet] = {}
        for label, row in rows.items():
            if row.free:
                i = where[row.free - 1]
                known[label] = float(x[i]), eye[i], flat
            else:
                known[label] = float(row.value or 0.0), np.zeros(k), flat
        for definition in definitions:
            known[definition.name] = jet(definition.right, known, k)
        a, b = jet(left, known, k), jet(right, known, k)
        return a[0] - b[0], a[1] - b[1], a[2] - b[2]

    return Restriction(statement.statement, equality, at, None, 0.0, function, False, *place)


def _bounds(table: ParameterTable) -> list[Restriction]:
    """Return the bounds of the rows; of rows that share a parameter the narrowest."""
    out: dict[tuple[int, float], Restriction] = {}
    for row in table.bounded:
        for bound, sign, symbol in ((row.lower, 1.0, ">="), (row.upper, -1.0, "<=")):
            if bound is None:
                continue
            key = (row.free, sign)
            if key in out and out[key].offset >= sign * bound:
                continue
            name = f"{row.label} ({row.name})" if row.label else row.name
            text = f"{name} {symbol} {bound:.6g}"
            at = np.array([row.free - 1])
            out[key] = Restriction(text, False, at, np.array([sign]), sign * bound, None, True, row.line, row.column)
    return list(out.values())


def _require_possible(restrictions: Restrictions) -> None:
    """Refuse linear inequalities that no parameter vector satisfies, and name the first that is one too many."""
    items = [r for r in restrictions.items if r.linear and not r.equality]
    # bounds of different parameters cannot contradict each other
    if all(r.bound for r in items) and restrictions.linear is None:
        lower = {int(r.at[0]): r.offset for r in items if r.slope is not None and r.slope[0] > 0}
        pairs = [(r, lower.get(int(r.at[0]), -math.inf)) for r in items if r.slope is not None and r.slope[0] < 0]
        bad = next((r for r, low in pairs if low > -r.offset), None)
    else:
        bad = None
        if items and not _possible(items, restrictions):
            count = next(n for n in range(1, len(items) + 1) if not _possible(items[:n], restrictions))
            bad = items[count - 1]
    if bad is not None:
        raise ModelSyntaxError(
            f"the constraint '{bad.text}' contradicts the others or the fixed values",
            file=restrictions.file,
            line=bad.line or None,
            column=bad.column or None,
            hint="remove it, or free one of the parameters",
        )


def _possible(items: Sequence[Restriction], restrictions: Restrictions) -> bool:
    from scipy.optimize import linprog

    q, linear = restrictions.q, restrictions.linear
    origin, basis = (np.zeros(q), np.eye(q)) if linear is None else (linear.origin, linear.basis)
    rows, right = [], []
    for item in items:
        assert item.slope is not None
        row = np.zeros(q)
        row[item.at] = item.slope
        scale = float(np.abs(row).max())
        rows.append(-(row @ basis) / scale)
        right.append((row @ origin - item.offset) / scale)
    if not basis.shape[1]:
        return bool((np.array(right) >= -1e-9).all())
    found = linprog(np.zeros(basis.shape[1]), A_ub=np.array(rows), b_ub=np.array(right), bounds=(None, None))
    return found.status != 2
