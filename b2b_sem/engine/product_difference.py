"""Differences of log-likelihoods where models have latent products: which model is part of which, and scaling factors.

A model with products has no moments that another could reproduce, so that nestedness is seen from the parameters: the
rows of a table, as far as labels, fixed values and equations leave them free, are an affine set, and a model is nested
in another where its set is part of the other's. Rows that a model does not have are 0.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from b2b_sem.data.observed import Observed
from b2b_sem.engine.base import Array
from b2b_sem.engine.group import GroupProblem, solution_at
from b2b_sem.engine.native.casewise import Casewise
from b2b_sem.engine.native.grouped import GroupPoint
from b2b_sem.engine.native.loss import evaluate
from b2b_sem.engine.problem import Problem
from b2b_sem.engine.product import cross_products
from b2b_sem.engine.product_group import GroupEvidence
from b2b_sem.engine.product_measure import restricted_factor, scaling_factor
from b2b_sem.engine.robust import rows_of
from b2b_sem.engine.scaled import Solution
from b2b_sem.spec.partable import Row

__all__ = ["difference_scaling", "likelihood_scaling", "values_in_larger"]

#: Share of a parameter's size up to which a row counts as reproduced.
TOLERANCE = 1e-8


def values_in_larger(larger: Problem, smaller: Problem, theta: Array) -> tuple[Array, Array] | None:
    """Return where in the larger model the smaller one is; None if it is not part of it.

    Parameters
    ----------
    larger, smaller : Problem
    theta : (q0,) array
        Of the smaller model.

    Returns
    -------
    (q1,) array
        The parameters of `larger` at which it is `smaller` with the parameters `theta`.
    (q1, k) array
        Directions in which the parameters of `larger` move with those of `smaller`.
    """
    larger, smaller = (replace(p, table=replace(p.table, constraints=())) for p in (larger, smaller))
    keys = list(dict.fromkeys([_key(r) for r in (*larger.table.rows, *smaller.table.rows)]))
    big, big_origin, big_rows = _affine(larger, keys)
    small, small_origin, _ = _affine(smaller, keys)
    inner = _affine_values(smaller, theta, keys)
    gaps = np.column_stack([inner - big_origin, small_origin - big_origin, small])
    found, *_ = np.linalg.lstsq(big, gaps, rcond=None)
    left = np.abs(gaps - big @ found)
    size = 1.0 + np.abs(gaps)
    if (left > TOLERANCE * size).any():
        return None
    fixed = _affine_values(larger, np.zeros(big_rows.shape[1]), keys)
    solution, *_ = np.linalg.lstsq(big_rows, np.column_stack([inner - fixed, small]), rcond=None)
    return solution[:, 0], solution[:, 1:]


def _key(row: Row) -> tuple[str, str, str, int]:
    """Return what a parameter is, whichever side of a covariance or factor of a product stands first."""
    lhs, rhs = row.lhs, row.rhs
    if row.op == "~~":
        lhs, rhs = sorted((lhs, rhs))
    elif ":" in rhs:
        rhs = ":".join(sorted(rhs.split(":")))
    return lhs, row.op, rhs, row.group


def _affine_values(problem: Problem, theta: Array, keys: list[Any]) -> Array:
    """Return the values of the rows named by `keys`, 0 for those that the model does not have."""
    place = {key: i for i, key in enumerate(keys)}
    out = np.zeros(len(keys))
    for row, value in zip(problem.table.rows, problem.values(theta).value, strict=False):
        out[place[_key(row)]] = value
    return out


def _affine(problem: Problem, keys: list[Any]) -> tuple[Array, Array, Array]:
    """Return directions and origin of the rows' affine set, and the derivatives of rows by all parameters."""
    place = {key: i for i, key in enumerate(keys)}
    q = problem.table.nfree
    rows = np.zeros((len(keys), q))
    for row in problem.table.rows:
        if row.free:
            rows[place[_key(row)], row.free - 1] = 1.0
    constraints = problem.constraints
    origin = np.zeros(q) if constraints is None else constraints.origin
    directions = rows if constraints is None else rows @ constraints.basis
    return directions, _affine_values(problem, origin, keys), rows


def _evidence(problem: Problem, observed: Observed, theta: Array) -> tuple[Array, Array] | None:
    """Return observed information and mean cross-products of scores of any model at `theta`; None if it has none.

    Parameters
    ----------
    problem : Problem
        Of one group or several, with products or without.
    observed : Observed
    theta : (q,) array
    """
    point = evaluate(problem.structure, problem.moments, theta)
    if point is None:
        return None
    if isinstance(problem, GroupProblem):
        assert isinstance(point, GroupPoint)
        if hasattr(point.points[0].weight, "scores"):
            evidence = GroupEvidence(problem, point, observed.clusters)
            return evidence.observed, evidence.middle
        at: Solution = solution_at(problem, observed, theta)
        return at.information("observed"), at.score_meat
    weight: Any = problem.moments.weight
    if hasattr(weight, "scores"):
        clusters = None if observed.clusters is None else observed.clusters[0]
        middle = cross_products(weight.scores(point), clusters) / problem.nobs
        return weight.expected_information(problem.structure, point), middle
    rows = None if isinstance(weight, Casewise) else rows_of(problem.table, observed)
    at = Solution(problem.structure, problem.moments, point, problem.options, rows, problem.constraints)
    return at.information("observed"), at.score_meat


def likelihood_scaling(problem: Problem, observed: Observed, theta: Array) -> float:
    """Return tr(I^-1 J) / q at `theta`, the scaling factor of a log-likelihood; NaN where there is none."""
    found = _evidence(problem, observed, theta)
    return float("nan") if found is None else scaling_factor(*found, problem.constraints)


def difference_scaling(problem: Problem, observed: Observed, theta: Array, directions: Array) -> float:
    """Return the scaling factor of a likelihood-ratio test at the estimates of the larger model; NaN where none is.

    `directions` are those of :func:`values_in_larger`.
    """
    found = _evidence(problem, observed, theta)
    return float("nan") if found is None else restricted_factor(*found, problem.constraints, directions)
