"""Values of all rows and definitions of a table for a stack of estimates: raw and standardized, without derivatives.

The rules are those of :mod:`b2b_sem.engine.standardize`, for R parameter vectors at once.
"""

from __future__ import annotations

import numpy as np

from b2b_sem.engine.base import Array
from b2b_sem.engine.native.stack import Kernel, parts
from b2b_sem.spec import expression as ex
from b2b_sem.spec.partable import ParameterTable

__all__ = ["evaluate_stack", "row_stack"]

_FUNCTIONS = {
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


def evaluate_stack(tree: ex.Expression, values: dict[str, Array]) -> Array | float:
    """Return the value of an expression for R sets of values; not finite where it does not exist.

    Parameters
    ----------
    tree : Expression
    values : dict
        For each name its values, (R,).
    """
    match tree:
        case ex.Number(value):
            return value
        case ex.Name(name):
            return values[name]
        case ex.Negative(operand):
            return -evaluate_stack(operand, values)
        case ex.Call(function, operand):
            out: Array = _FUNCTIONS[function](evaluate_stack(operand, values))
            return out
        case ex.Binary(op, left, right):
            a, b = np.asarray(evaluate_stack(left, values)), np.asarray(evaluate_stack(right, values))
            match op:
                case "+":
                    result = a + b
                case "-":
                    result = a - b
                case "*":
                    result = a * b
                case "/":
                    result = a / b
                case _:
                    result = np.power(a.astype(float), b)
            return result


def row_stack(table: ParameterTable, kernel: Kernel, theta: Array, exo: Array) -> tuple[Array, Array]:
    """Return raw and standardized (``std_all``) values, each (R, rows + definitions).

    Parameters
    ----------
    table : ParameterTable
    kernel : Kernel
        Compiled from it.
    theta : (R, q) array
    exo : (R, x) array
        Moments that the data fix, one column a row with ``exo``.

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
        sd = _deviations(kernel, theta, exo)
        variance_row = {r.lhs: i for i, r in enumerate(table.rows) if r.op == "~~" and r.lhs == r.rhs}
        for i, row in enumerate(table.rows):
            if row.op == "=~":
                standardized[:, i] *= sd[row.lhs] / sd[row.rhs]
            elif row.op == "~":
                standardized[:, i] *= sd[row.rhs] / sd[row.lhs]
            elif row.op == "~1":
                standardized[:, i] /= sd[row.lhs]
            elif row.lhs == row.rhs:
                standardized[:, i] /= sd[row.lhs] ** 2
            else:
                for name in (row.lhs, row.rhs):
                    at = variance_row.get(name)
                    standardized[:, i] /= np.nan if at is None else np.sqrt(np.abs(raw[:, at]))
        for target in (raw, standardized):
            known: dict[str, Array] = {}
            for i, row in enumerate(table.rows):
                if row.label:
                    known.setdefault(row.label, target[:, i])
            for k, definition in enumerate(table.definitions):
                value = np.broadcast_to(evaluate_stack(definition.right, known), (count,))
                target[:, n + k] = np.where(np.isfinite(value), value, np.nan)
                known[definition.name] = target[:, n + k]
    return raw, standardized


def _deviations(kernel: Kernel, theta: Array, exo: Array) -> dict[str, Array]:
    """Return the implied standard deviations of all variables, each (R,)."""
    structure = kernel.structure
    filled = parts(kernel, theta, exo)
    k = structure.nlatent
    residual = filled.residual if filled.residual.ndim == 2 else np.diagonal(filled.residual, axis1=1, axis2=2)
    observed = np.einsum("rpm,rpm->rp", filled.lam @ filled.eta_cov, filled.lam) + residual
    latent = np.diagonal(filled.eta_cov, axis1=1, axis2=2)[:, :k]
    out = {name: np.sqrt(observed[:, i]) for i, name in enumerate(structure.observed)}
    for i, name in enumerate(structure.eta[:k]):
        out[name] = np.sqrt(np.where(latent[:, i] > 0, latent[:, i], np.nan))
    return out
