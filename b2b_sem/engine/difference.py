"""What scaled difference tests need beyond two chi-squares, without a fourth-moment matrix.

With z_i = y_i - m, Omega = Sigma^-1 and the columns M of :mod:`b2b_sem.engine.native.implied`, the casewise score of a
parameter is w (z_i' Omega M_u)(z_i' Omega M_v) [+ z_i' Omega dmu]: all scores are gathers from one (n, p + 2m) product.
Their covariance matrix is D' V Gamma V D, with Gamma the asymptotic covariance matrix of the sample moments without
any assumption on their distribution.
"""

from __future__ import annotations

import numpy as np

from b2b_sem.engine.base import Array
from b2b_sem.engine.native.information import invert_information
from b2b_sem.engine.native.loss import Point, evaluate, expected_information
from b2b_sem.engine.problem import Problem
from b2b_sem.errors import ModelError

__all__ = ["bread_and_meat", "moment_derivatives", "restriction", "scaling_factor"]

#: Rows handled at once.
CHUNK = 4096


def _point(problem: Problem, theta: Array) -> Point:
    point = evaluate(problem.structure, problem.moments, theta)
    if point is None:
        raise ModelError("the covariance matrix implied at the solution is not positive definite")
    return point


def _mean_scale(problem: Problem, point: Point) -> Array:
    structure = problem.structure
    values = np.concatenate([[1.0], point.implied.eta_mean])
    return np.where(structure.mean_scale < 0, 0.0, values[structure.mean_scale])


def bread_and_meat(problem: Problem, raw: Array, theta: Array) -> tuple[Array, Array]:
    """Return the inverse information of one observation and the covariance matrix of the casewise scores.

    Parameters
    ----------
    problem : Problem
    raw : (n, p) array
        Complete rows, variables in model order.
    theta : (q,) array

    Returns
    -------
    bread, meat : (q, q) arrays
    """
    structure, point = problem.structure, _point(problem, theta)
    precision = invert_information(expected_information(structure, point), 1, problem.constraints)
    if not precision.identified:
        raise ModelError("the model is not identified", hint="fit a simpler model")
    weights = point.omega @ point.implied.columns
    mean = raw.mean(axis=0)
    scale = _mean_scale(problem, point) if structure.meanstructure else None
    total, cross = np.zeros(problem.table.nfree), np.zeros((problem.table.nfree,) * 2)
    for start in range(0, len(raw), CHUNK):
        y = (raw[start : start + CHUNK] - mean) @ weights
        scores = structure.w * y[:, structure.u] * y[:, structure.v]
        if scale is not None:
            scores = scores + scale * y[:, structure.mean_column]
        scores = structure.gather(scores)
        total += scores.sum(axis=0)
        cross += scores.T @ scores
    n = len(raw)
    return precision.vcov, cross / n - np.outer(total, total) / n**2


def scaling_factor(problem: Problem, raw: Array, theta: Array, df: int) -> float:
    """Return the Satorra-Bentler scaling factor tr(U Gamma) / df of a model at any parameter values.

    tr(U Gamma) = tr(V Gamma) - tr(bread meat), with tr(V Gamma) = (mean(a_i^2) - tr(Omega S Omega S)) / 2
    [+ tr(Omega S)] and a_i = z_i' Omega z_i. Satorra & Bentler (1994), in von Eye & Clogg (eds.), Latent variables
    analysis.
    """
    bread, meat = bread_and_meat(problem, raw, theta)
    point = _point(problem, theta)
    centred = raw - raw.mean(axis=0)
    squares = np.einsum("ij,ij->i", centred @ point.omega, centred)
    product = point.omega @ (centred.T @ centred / len(raw))
    trace = 0.5 * float(np.mean(squares**2) - (product * product.T).sum())
    if problem.structure.meanstructure:
        trace += float(np.trace(product))
    return (trace - float((bread * meat).sum())) / df


def restriction(larger: Problem, theta1: Array, smaller: Problem, theta0: Array) -> Array:
    """Return A (r0 - r1, q1): the directions of the larger model that the smaller one gives up.

    lavaan's "delta" method: the part of the larger model's parameter space that is orthogonal to the least-squares
    image of the smaller model's derivatives.
    """
    order = [larger.table.observed.index(v) for v in smaller.table.observed]
    first, second = moment_derivatives(larger, theta1, None), moment_derivatives(smaller, theta0, order)
    if larger.constraints is not None:
        first = first @ larger.constraints.basis
    if smaller.constraints is not None:
        second = second @ smaller.constraints.basis
    image = np.linalg.lstsq(first, second, rcond=None)[0]
    rank = np.linalg.matrix_rank(image)
    complement = np.linalg.svd(image)[0][:, rank:].T
    return complement if larger.constraints is None else complement @ larger.constraints.basis.T


def moment_derivatives(problem: Problem, theta: Array, order: list[int] | None) -> Array:
    """Return the derivatives of all moments, (p* [+ p], q), with variables moved to the places `order`."""
    structure, point = problem.structure, _point(problem, theta)
    columns = point.implied.columns
    if order is not None:
        moved = np.empty_like(columns)
        moved[order] = columns
        columns = moved
    i, j = np.tril_indices(structure.p)
    u, v = columns[:, structure.u], columns[:, structure.v]
    out = structure.gather(structure.w * (u[i] * v[j] + v[i] * u[j]))
    if structure.meanstructure:
        mean = structure.gather(_mean_scale(problem, point) * columns[:, structure.mean_column])
        out = np.concatenate([out, mean])
    return out
