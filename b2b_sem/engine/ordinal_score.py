"""How two models of ordinal items differ."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from b2b_sem.data.ordinal import OrdinalMoments
from b2b_sem.engine.base import Array
from b2b_sem.engine.categorical import weight_of
from b2b_sem.engine.native.optimize import minimize
from b2b_sem.engine.nested import Reproduction
from b2b_sem.engine.ordinal import solution_of
from b2b_sem.engine.problem import Problem

__all__ = ["directions_given_up", "given_up", "reproduce_ordinal", "statistic_order"]


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
    place = {name: k for k, name in enumerate(statistic_names(smaller))}
    return [place[name] for name in statistic_names(larger)]


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
