"""Linear equality constraints: theta = origin + basis alpha.

``==`` statements of the model become rows A theta = b; the solver works on alpha, and covariance matrices are mapped
back with the basis. Equal labels never get here: they share one parameter from the start. Nonlinear constraints and
inequalities are in :mod:`b2b_sem.engine.native.restriction`; at their solution they leave the same type behind.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from b2b_sem.engine.base import Array
from b2b_sem.errors import ModelError, ModelSyntaxError, Unsupported
from b2b_sem.spec import expression as ex
from b2b_sem.spec.partable import ParameterTable
from b2b_sem.spec.syntax import Constraint

__all__ = ["LinearConstraints", "label_values", "linear_constraints"]


@dataclass(frozen=True)
class LinearConstraints:
    """The affine set of parameters that satisfy all ``==`` statements, or, with constraints that are not linear or
    not equations, its tangent at the solution.

    Attributes
    ----------
    origin : (q,) array
    basis : (q, q - rank - active) array with orthonormal columns
        Directions in which the parameters can move.
    rank : int
        Number of parameters that ``==`` statements take away; inequalities take none.
    redundant : tuple of str
        Statements that follow from the others.
    active : tuple of str
        Inequalities and bounds that hold as equations at the solution.
    idle : tuple of str
        Inequalities without any free parameter.
    """

    origin: Array
    basis: Array
    rank: int
    redundant: tuple[str, ...]
    active: tuple[str, ...] = ()
    idle: tuple[str, ...] = ()

    def project(self, theta: Array) -> Array:
        """Return the closest parameter vector that satisfies the constraints."""
        return self.origin + self.basis @ (self.basis.T @ (theta - self.origin))


def label_values(
    table: ParameterTable,
    value: Array,
    jacobian: Array,
    definitions: Iterable[Constraint] = (),
    *,
    undefined_as_nan: bool = False,
) -> dict[str, tuple[float, Array]]:
    """Return value and gradient of every label and of the given definitions.

    Parameters
    ----------
    table : ParameterTable
    value : (R,) array
        Values of the table's rows, raw or standardized.
    jacobian : (R, q) array
        Their derivatives.
    definitions : iterable of Constraint
        ``:=`` statements, each after those it uses.
    undefined_as_nan : bool
        Give NaN for a definition without a value here, such as a division by zero, instead of raising.

    Raises
    ------
    ModelError
        If a definition has no value; the message names its line.
    """
    out: dict[str, tuple[float, Array]] = {}
    for row, number, slope in zip(table.rows, value, jacobian, strict=True):
        if row.label:
            out.setdefault(row.label, (float(number), slope))
    for definition in definitions:
        try:
            number, slope = ex.evaluate(definition.right, out)
        except ModelError as error:
            if not undefined_as_nan:
                raise ModelError(
                    error.message,
                    file=table.file,
                    line=definition.line,
                    column=definition.column,
                    hint=error.hint,
                ) from None
            number, slope = float("nan"), float("nan")
        out[definition.name] = (number, np.zeros(jacobian.shape[1]) + slope)
    return out


def definitions_used(table: ParameterTable, statements: Iterable[Constraint]) -> list[Constraint]:
    """Return the definitions that constraints refer to, directly or through others, in order."""
    wanted = {n.name for c in statements for side in (c.left, c.right) for n in ex.names(side)}
    out = []
    for definition in reversed(table.definitions):
        if definition.name in wanted:
            wanted |= {n.name for n in ex.names(definition.right)}
            out.append(definition)
    return out[::-1]


def linear_form(table: ParameterTable, statement: Constraint) -> tuple[Array, float] | None:
    """Return (a, b) with left - right = a'theta - b, or None if the statement is not linear in the parameters."""
    q = table.nfree
    # linear means one gradient everywhere: both signs and two sizes, so that abs() and the like cannot hide
    sizes = np.array([1.0, -1.0, 1e3, -1e3])
    probes = sizes[:, None] * np.random.default_rng(0).uniform(0.5, 1.5, size=(4, q))
    pick = np.array([np.arange(1, q + 1) == row.free for row in table.rows], dtype=float)
    fixed = np.array([0.0 if row.free else float(row.value or 0.0) for row in table.rows])
    definitions = definitions_used(table, [statement])
    gradients, values = [], []
    try:
        for theta in probes:
            known = label_values(table, fixed + pick @ theta, pick, definitions)
            (a, da), (b, db) = ex.evaluate(statement.left, known), ex.evaluate(statement.right, known)
            gradients.append(np.zeros(q) + da - db)
            values.append(a - b)
    except ModelError:  # a logarithm, a root: not linear
        return None
    if not np.allclose(gradients, gradients[0], rtol=1e-10, atol=1e-12):
        return None
    return gradients[0], float(gradients[0] @ probes[0] - values[0])


def null_basis(rows: Array, q: int) -> Array:
    """Return an orthonormal basis of the vectors orthogonal to independent rows; what is pinned is exactly 0."""
    if not len(rows):
        return np.eye(q)
    _, _, vt = np.linalg.svd(rows / np.linalg.norm(rows, axis=1, keepdims=True))
    basis: Array = vt[len(rows) :].T.copy()
    basis[np.linalg.norm(basis, axis=1) < 1e-13] = 0.0
    return basis


def linear_constraints(table: ParameterTable, *, skip_nonlinear: bool = False) -> LinearConstraints | None:
    """Return the linear ``==`` statements of `table` as a :class:`LinearConstraints`, or None if it has none.

    Parameters
    ----------
    table : ParameterTable
    skip_nonlinear : bool
        Leave out what is not linear instead of refusing it.

    Raises
    ------
    Unsupported
        For a constraint that is not linear in the parameters.
    ModelSyntaxError
        If the constraints contradict each other.
    """
    q = table.nfree
    statements, rows, right = [], [], []
    for statement in table.equalities:
        form = linear_form(table, statement)
        if form is None:
            if skip_nonlinear:
                continue
            raise Unsupported(
                f"the constraint '{statement.statement}' is not linear in the parameters",
                file=table.file,
                line=statement.line,
                column=statement.column,
                hint="write it as a linear equation of labels, or define the expression with ':=' and test it",
            )
        statements.append(statement)
        rows.append(form[0])
        right.append(form[1])
    if not statements:
        return None
    matrix, target = np.array(rows), np.array(right)
    kept: list[int] = []
    redundant: list[str] = []
    for i, statement in enumerate(statements):
        trial = [*kept, i]
        scale = np.linalg.norm(matrix[trial], axis=1, keepdims=True)
        scale[scale == 0] = 1.0
        if np.linalg.matrix_rank(matrix[trial] / scale, tol=1e-10) == len(trial):
            kept = trial
            continue
        solution = np.linalg.lstsq(matrix[kept], target[kept], rcond=None)[0] if kept else np.zeros(q)
        if abs(matrix[i] @ solution - target[i]) > 1e-8 * (1 + abs(target[i])):
            raise ModelSyntaxError(
                f"the constraint '{statement.statement}' contradicts the others or the fixed values",
                file=table.file,
                line=statement.line,
                column=statement.column,
                hint="remove it, or free one of the parameters",
            )
        redundant.append(statement.statement)
    if not kept:
        return LinearConstraints(np.zeros(q), np.eye(q), 0, tuple(redundant))
    origin = np.linalg.lstsq(matrix[kept], target[kept], rcond=None)[0]
    return LinearConstraints(origin, null_basis(matrix[kept], q), len(kept), tuple(redundant))
