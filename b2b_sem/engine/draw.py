"""Model quantities for a whole stack of parameter vectors, without a loop over them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from b2b_sem.engine.base import Array
from b2b_sem.engine.native.implied import BETA, LAMBDA, PSI, THETA, Structure
from b2b_sem.engine.problem import Problem
from b2b_sem.spec import expression as ex
from b2b_sem.spec.partable import Row

__all__ = ["DrawMoments", "definition_draws", "draw_moments", "evaluate_stack", "multivariate_normal"]

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


@dataclass(frozen=True)
class DrawMoments:
    """Implied standard deviations for each of R parameter vectors; NaN where a variance is not positive.

    Attributes
    ----------
    sd_eta : (R, m) array
        Of the variables in ``structure.eta``.
    sd_observed : (R, p) array
    """

    sd_eta: Array
    sd_observed: Array


def multivariate_normal(mean: Array, cov: Array, size: int, rng: np.random.Generator) -> Array:
    """Return `size` draws from N(mean, cov), shape (size, q); `cov` may be singular.

    The factor is the symmetric root of the correlation matrix: it is unique, so that the same seed gives the same
    draws everywhere, and does not depend on the units of the parameters.
    """
    sd = np.sqrt(np.diag(cov))
    scale = np.where(sd > 0, sd, 1.0)
    roots, vectors = np.linalg.eigh(cov / np.outer(scale, scale))
    factor = (vectors * np.sqrt(np.maximum(roots, 0.0))) @ vectors.T
    return np.asarray(mean + (rng.standard_normal((size, len(mean))) @ factor) * scale)


def draw_moments(structure: Structure, thetas: Array) -> DrawMoments:
    """Return the implied standard deviations at each row of `thetas`, shape (R, q)."""
    values = thetas[:, structure.free]
    count = len(thetas)
    filled = []
    for matrix in (LAMBDA, THETA, BETA, PSI):
        target = np.broadcast_to(structure.templates[matrix], (count, *structure.templates[matrix].shape)).copy()
        entries, i, j = structure.where[matrix]
        target[:, i, j] = values[:, entries]
        if matrix in (THETA, PSI):
            target[:, j, i] = values[:, entries]
        filled.append(target)
    lam, theta, beta, psi = filled
    inverse = _solve_identity(beta)
    eta = inverse @ psi @ inverse.transpose(0, 2, 1)
    observed = ((lam @ eta) * lam).sum(axis=2) + np.diagonal(theta, axis1=1, axis2=2)
    return DrawMoments(_root(np.diagonal(eta, axis1=1, axis2=2)), _root(observed))


def _solve_identity(beta: Array) -> Array:
    identity = np.eye(beta.shape[-1])
    regular = np.linalg.slogdet(identity - beta)[0] != 0
    if regular.all():
        return np.linalg.inv(identity - beta)
    out = np.full_like(beta, np.nan)
    out[regular] = np.linalg.inv(identity - beta[regular])
    return out


def _root(variance: Array) -> Array:
    with np.errstate(invalid="ignore"):
        return np.sqrt(np.where(variance > 0, variance, np.nan))


def definition_draws(problem: Problem, thetas: Array, moments: DrawMoments) -> tuple[Array, Array]:
    """Return the ``:=`` parameters at each row of `thetas`: raw and standardized, each (R, D).

    As in the standardized solution, a standardized definition is the expression at the standardized parameters, and a
    label stands for the first parameter that carries it.
    """
    table = problem.table
    wanted = {n.name for d in table.definitions for n in ex.names(d.right)}
    raw: dict[str, Array] = {}
    std: dict[str, Array] = {}
    for row in table.rows:
        if row.label in wanted and row.label not in raw:
            raw[row.label] = _row_draws(row, problem, thetas)
            std[row.label] = _standardized(row, raw[row.label], problem, thetas, moments)
    for definition in table.definitions:
        for known in (raw, std):
            value = evaluate_stack(definition.right, known)
            known[definition.name] = np.broadcast_to(value, (len(thetas),)).astype(float)
    names = [d.name for d in table.definitions]
    return np.stack([raw[n] for n in names], axis=1), np.stack([std[n] for n in names], axis=1)


def _row_draws(row: Row, problem: Problem, thetas: Array) -> Array:
    if row.free:
        return np.asarray(thetas[:, row.free - 1])
    value = problem.fixed[row.name] if row.exo else float(row.value or 0.0)
    return np.full(len(thetas), value)


def _standardized(row: Row, value: Array, problem: Problem, thetas: Array, moments: DrawMoments) -> Array:
    structure = problem.structure
    eta = {v: i for i, v in enumerate(structure.eta)}
    observed = {v: i for i, v in enumerate(structure.observed)}

    def sd(name: str) -> Array:
        return moments.sd_eta[:, eta[name]] if name in eta else moments.sd_observed[:, observed[name]]

    with np.errstate(invalid="ignore", divide="ignore"):
        if row.op == "=~":
            return value * sd(row.lhs) / sd(row.rhs)
        if row.op == "~":
            return value * sd(row.rhs) / sd(row.lhs)
        if row.op == "~1":
            return value / sd(row.lhs)
        if row.lhs == row.rhs:
            return value / sd(row.lhs) ** 2
        own = {r.lhs: r for r in problem.table.rows if r.op == "~~" and r.lhs == r.rhs}
        for name in (row.lhs, row.rhs):
            if name not in own:
                return np.full(len(thetas), np.nan)
            value = value / np.sqrt(np.abs(_row_draws(own[name], problem, thetas)))
        return value


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
