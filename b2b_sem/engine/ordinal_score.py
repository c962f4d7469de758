"""Tests from models of ordinal items: what a model leaves out, and how two models differ."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from b2b_sem.data.ordinal import OrdinalMoments
from b2b_sem.engine.base import Array
from b2b_sem.engine.candidate import absent_parameters, standardizing_factors
from b2b_sem.engine.categorical import weight_of
from b2b_sem.engine.native.categorical import CategoricalWeight
from b2b_sem.engine.native.optimize import minimize
from b2b_sem.engine.native.ordinal import compile_layout
from b2b_sem.engine.nested import Reproduction
from b2b_sem.engine.ordinal import OrdinalRows, ordinal_rows, solution_of
from b2b_sem.engine.problem import Problem
from b2b_sem.errors import ModelError
from b2b_sem.spec.partable import Row

__all__ = ["Candidates", "absent_tests", "directions_given_up", "given_up", "reproduce_ordinal", "statistic_order"]

#: Share of its information that a direction must keep once the model's own parameters are accounted for.
LEAST_SHARE = 1e-9


@dataclass(frozen=True)
class Candidates:
    """Parameters a model fixes or leaves out.

    Attributes
    ----------
    rows : tuple of Row, length c
    mi, epc : (c,) arrays
        Score test and expected change; NaN where the data cannot tell the parameter from those of the model.
    factors : three (c,) arrays
        What turns a change into a standardized one: ``lv``, ``all``, ``nox``.
    """

    rows: tuple[Row, ...]
    mi: Array
    epc: Array
    factors: tuple[Array, Array, Array]


def absent_tests(problem: Problem, theta: Array) -> Candidates:
    """Return the score test of every parameter that a model of ordinal items fixes or leaves out.

    With e = s - sigma and D the derivatives of the statistics by all parameters, the score is D'Ve and its variance
    D'VD, as if V were the inverse of Gamma: for WLSMV the test is not corrected, as in lavaan.
    """
    table, weight = problem.table, weight_of(problem)
    layout = weight.layout
    state = layout.state(theta)
    if state is None:
        raise ModelError("a variance implied at the solution is not positive")
    found = ordinal_rows(problem, state)
    given = [layout.structure.observed[k] for k in layout.x]

    def computed(row: Row) -> bool:
        return row.lhs in table.ordered and row.lhs == row.rhs and row.op == ("~*~" if layout.theta else "~~")

    free = [r for r in table.rows if not r.exo and not computed(r)]
    kept = [r for r in table.rows if r.exo or computed(r)]
    new = [
        Row(lhs, op, rhs, 1, 0.0, None, "", False, False)
        for lhs, op, rhs in absent_parameters(table)
        if lhs not in given and not (op == "~~" and rhs in given)
    ]
    values: list[float] = []
    made: list[Row] = []
    picks: list[Array] = []
    for count, row in enumerate([*free, *new], 1):
        pick = np.zeros(layout.q)
        if row.free and count <= len(free):
            pick[row.free - 1] = 1.0
            values.append(float(theta[row.free - 1]))
        else:
            values.append(float(row.value or 0.0))
        picks.append(pick)
        made.append(replace(row, free=count, value=None))
    extended = replace(table, rows=(*made, *kept), constraints=())
    larger = compile_layout(extended, problem.fixed, bool(given))
    own = np.array(picks)
    point = CategoricalWeight(larger, weight.statistic, weight.diagonal, weight.dense, 1.0).evaluate(
        larger.structure, problem.moments, np.array(values)
    )
    if point is None:
        raise ModelError("a variance implied at the solution is not positive")
    made_weight = point.weight
    assert isinstance(made_weight, CategoricalWeight)
    information = made_weight.expected_information(larger.structure, point)
    score = -0.5 * made_weight.gradient(larger.structure, problem.moments, point)
    constraints = problem.constraints
    tangent = own if constraints is None else own @ constraints.basis
    at = np.flatnonzero(~own.any(axis=1))
    inner = tangent.T @ information @ tangent
    scale = np.sqrt(np.diag(inner))
    cross = (information[at] @ tangent) / scale
    explained = np.linalg.solve(inner / np.outer(scale, scale), cross.T)
    diagonal = np.diag(information)[at]
    variance = diagonal - np.einsum("cr,rc->c", cross, explained)
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = np.where(variance > LEAST_SHARE * diagonal, variance, np.nan)
        # lavaan's score is that of (N - 1) / N F
        epc = (problem.nobs - 1) / problem.nobs * score[at] / variance
        mi = (problem.nobs - 1) * score[at] * epc
    rows = tuple([*free, *new][k] for k in at)
    return Candidates(rows, mi, epc, _factors(problem, rows, found))


def _factors(problem: Problem, rows: tuple[Row, ...], found: OrdinalRows) -> tuple[Array, Array, Array]:
    """Return standardizing factors; thresholds are divided by the standard deviation of y*, scales have none."""
    table = problem.table
    residual = {
        r.lhs: float(found.moving.value[i]) for i, r in enumerate(table.rows) if r.op == "~~" and r.lhs == r.rhs
    }
    usual = np.array([r.op not in ("|", "~*~") for r in rows], dtype=bool)
    known = standardizing_factors(
        table, tuple(r for r, keep in zip(rows, usual, strict=True) if keep), found.implied, residual
    )
    sd = dict(zip(table.observed, np.sqrt(np.diag(found.implied.sigma)), strict=True))
    own = np.array([1.0 / sd[r.lhs] if r.op == "|" else np.nan for r in rows])
    raw = np.where([r.op == "|" for r in rows], 1.0, np.nan)

    def fill(base: Array, values: Array) -> Array:
        out = np.array(base, dtype=float)
        out[usual] = values
        return out

    return fill(raw, known[0]), fill(own, known[1]), fill(own, known[2])


def reproduce_ordinal(larger: Problem, theta: Array, smaller: Problem, theta0: Array) -> Reproduction:
    """Fit the larger model to the thresholds and correlations that the restricted one implies."""
    weight = weight_of(larger)
    state = weight_of(smaller).layout.state(theta0)
    assert state is not None
    target = state.statistic[statistic_order(larger, smaller)]
    made = replace(weight, statistic=target)
    moments = replace(larger.moments, weight=made)
    try:
        found = minimize(weight.layout.structure, moments, [lambda: theta], constraints=larger.constraints)
    except ValueError:
        return Reproduction(float("inf"), theta, False)
    return Reproduction((larger.nobs - 1) * max(found.fmin, 0.0) * made.size, found.theta, found.converged)


def directions_given_up(
    larger: Problem, theta1: Array, smaller: Problem, theta0: Array, moments: OrdinalMoments
) -> tuple[Array, Array, Array]:
    """Return A (r0 - r1, q1), the inverse information and the covariance matrix of the scores of the larger model."""
    first = solution_of(larger, moments, theta1)
    second = weight_of(smaller).layout.state(theta0)
    assert second is not None
    one, two = first.state.slopes.matrix(), second.slopes.matrix()[statistic_order(larger, smaller)]
    return given_up(one, larger, two, smaller), first.precision.vcov, first.meat


def given_up(one: Array, larger: Problem, two: Array, smaller: Problem) -> Array:
    """Return the directions of the larger model that the smaller one gives up, (r0 - r1, q1).

    Parameters
    ----------
    one, two : (K, q1) and (K, q0) arrays
        Derivatives of the statistics, in the same order.
    larger, smaller : Problem
    """
    if larger.constraints is not None:
        one = one @ larger.constraints.basis
    if smaller.constraints is not None:
        two = two @ smaller.constraints.basis
    image = np.linalg.lstsq(one, two, rcond=None)[0]
    rank = int(np.linalg.matrix_rank(image))
    complement = np.linalg.svd(image)[0][:, rank:].T
    if larger.constraints is not None:
        complement = complement @ larger.constraints.basis.T
    return complement


def statistic_order(larger: Problem, smaller: Problem) -> list[int]:
    """Return where each statistic of the larger model stands among those of the smaller."""
    return [statistic_names(smaller).index(name) for name in statistic_names(larger)]


def statistic_names(problem: Problem) -> list[tuple[str, ...]]:
    """Return a name of each statistic that does not depend on the order of the variables."""
    layout, observed = weight_of(problem).layout, problem.table.observed
    names = [observed[k] for k in layout.y]
    out: list[tuple[str, ...]] = []
    count: dict[str, int] = {}
    for k in layout.item:
        count[names[k]] = count.get(names[k], 0) + 1
        out.append((names[k], "|", str(count[names[k]])))
    out += [(y, "~", observed[k]) for k in layout.x for y in names]
    out += [(names[k], "~~", names[k]) for k in layout.numeric]
    out += [("~~", *sorted((names[i], names[j]))) for i, j in zip(layout.low, layout.high, strict=True)]
    return out
