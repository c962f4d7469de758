"""Values of all rows and definitions of a table for a stack of estimates: raw and standardized, without derivatives.

The rules are those of :mod:`b2b_sem.engine.standardize`, for R parameter vectors at once. Bootstrap tables, Monte Carlo
studies and effects are made from these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from b2b_sem.engine.base import Array
from b2b_sem.engine.native.stack import Kernel, parts
from b2b_sem.spec import expression as ex
from b2b_sem.spec.partable import ParameterTable
from b2b_sem.spec.product import units_of

__all__ = ["deviations", "evaluate_stack", "fill_definitions", "row_stack", "unit"]

_FUNCTIONS: Mapping[str, Callable[[Array], Array]] = {
    "exp": np.exp,
    "log": np.log,
    "log2": np.log2,
    "log10": np.log10,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "tanh": np.tanh,
    "atanh": np.arctanh,
}


def evaluate_stack(tree: ex.Expression, values: Mapping[str, Array]) -> Array:
    """Return the value of an expression for arrays of values, NaN where it does not exist.

    Parameters
    ----------
    tree : Expression
    values : mapping
        For each name an array of shape (R,).
    """
    with np.errstate(all="ignore"):
        out = np.asarray(_evaluate(tree, values), dtype=float)
    return np.where(np.isfinite(out), out, np.nan)


def _evaluate(tree: ex.Expression, values: Mapping[str, Array]) -> Array:
    match tree:
        case ex.Number(value):
            return np.asarray(float(value))
        case ex.Name(name):
            return values[name]
        case ex.Negative(operand):
            return -_evaluate(operand, values)
        case ex.Call(function, operand):
            return _FUNCTIONS[function](_evaluate(operand, values))
        case ex.Binary(op, left, right):
            a, b = _evaluate(left, values), _evaluate(right, values)
            if op == "+":
                return a + b
            if op == "-":
                return a - b
            if op == "*":
                return a * b
            return a / b if op == "/" else np.power(a, b)


def row_stack(
    table: ParameterTable, kernel: Kernel, theta: Array, exo: Array, sd: Mapping[str, Array] | None = None
) -> tuple[Array, Array]:
    """Return raw and standardized (``std_all``) values, each (R, rows + definitions).

    Parameters
    ----------
    table : ParameterTable
    kernel : Kernel
        Compiled from it.
    theta : (R, q) array
    exo : (R, x) array
        Moments that the data fix, one column a row with ``exo``.
    sd : mapping, optional
        What :func:`deviations` returns for the same arguments, if it is known already.

    Returns
    -------
    raw, standardized : arrays
        NaN where a definition or a standardized value does not exist.
    """
    count, n = len(theta), len(table.rows)
    raw = np.empty((count, n + len(table.definitions)))
    fixed = 0
    for i, row in enumerate(table.rows):
        if row.free:
            raw[:, i] = theta[:, row.free - 1]
        elif row.exo:
            raw[:, i] = exo[:, fixed]
            fixed += 1
        else:
            raw[:, i] = float(row.value or 0.0)
    standardized = raw.copy()
    with np.errstate(all="ignore"):
        sd = deviations(kernel, theta, exo) if sd is None else sd
        variance_row = {r.lhs: i for i, r in enumerate(table.rows) if r.op == "~~" and r.lhs == r.rhs}
        for i, row in enumerate(table.rows):
            if row.op == "=~":
                standardized[:, i] *= sd[row.lhs] / sd[row.rhs]
            elif row.op == "~":
                standardized[:, i] *= unit(row.rhs, sd) / sd[row.lhs]
            elif row.op == "~1":
                standardized[:, i] /= sd[row.lhs]
            elif row.lhs == row.rhs:
                standardized[:, i] /= sd[row.lhs] ** 2
            else:
                for name in (row.lhs, row.rhs):
                    at = variance_row.get(name)
                    standardized[:, i] /= np.nan if at is None else np.sqrt(np.abs(raw[:, at]))
        for target in (raw, standardized):
            fill_definitions(table, target)
    return raw, standardized


def unit(predictor: str, sd: Mapping[str, Array]) -> Array:
    """Return the standard deviation of a predictor, (R,); of a product, those of its factors multiplied."""
    return np.asarray(np.prod([sd[name] for name in units_of(predictor, sd)], axis=0))


def fill_definitions(table: ParameterTable, target: Array) -> None:
    """Write the values of the definitions into the columns behind those of the rows, (R, rows + definitions)."""
    known: dict[str, Array] = {}
    for i, row in enumerate(table.rows):
        if row.label:
            known.setdefault(row.label, target[:, i])
    for k, definition in enumerate(table.definitions, len(table.rows)):
        target[:, k] = evaluate_stack(definition.right, known)
        known[definition.name] = target[:, k]


def deviations(kernel: Kernel, theta: Array, exo: Array) -> dict[str, Array]:
    """Return the implied standard deviations of all variables by name, each (R,); NaN where a variance is not positive.

    Parameters
    ----------
    kernel : Kernel
    theta : (R, q) array
    exo : (R, x) array
        As for :func:`row_stack`.
    """
    structure = kernel.structure
    with np.errstate(all="ignore"):
        filled = parts(kernel, theta, exo)
        k = structure.nlatent
        observed = np.einsum("rpm,rpm->rp", filled.lam @ filled.eta_cov, filled.lam) + filled.residual_variances()
        latent = np.diagonal(filled.eta_cov, axis1=1, axis2=2)[:, :k]
        variance = np.concatenate([latent, observed], axis=1)
        root = np.sqrt(np.where(variance > 0, variance, np.nan))
    return dict(zip([*structure.eta[:k], *structure.observed], root.T, strict=True))
