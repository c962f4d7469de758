"""What scaled difference tests of several groups need beyond two chi-squares.

Informations and middles of sandwiches of the groups are added with weights n_g / N at the places of their parameters,
as everywhere; the directions that the restricted model gives up are those of the moments of all groups together.
"""

from __future__ import annotations

import numpy as np

from b2b_sem.data.observed import Observed
from b2b_sem.engine.base import Array
from b2b_sem.engine.difference import moment_derivatives
from b2b_sem.engine.group import GroupProblem, scaled_group_test, solution_at
from b2b_sem.engine.native.information import invert_information
from b2b_sem.engine.ordinal_score import given_up
from b2b_sem.errors import ModelError

__all__ = ["group_bread_and_meat", "group_restriction", "group_scaling_factor"]


def group_bread_and_meat(problem: GroupProblem, observed: Observed, theta: Array) -> tuple[Array, Array]:
    """Return the inverse information of one observation and D'V Gamma V D, each (q, q), of all groups.

    Parameters
    ----------
    problem : GroupProblem
        With a test that rests on the rows of the data.
    observed : Observed
        With these rows.
    theta : (q,) array

    Raises
    ------
    ModelError
        If the model is not identified there.
    """
    at = solution_at(problem, observed, theta)
    precision = invert_information(at.expected, 1, problem.constraints)
    if not precision.identified:
        raise ModelError("the model is not identified", hint="fit a simpler model")
    return precision.vcov, at.moment_meat


def group_scaling_factor(problem: GroupProblem, observed: Observed, theta: Array, df: int) -> float:
    """Return the Satorra-Bentler scaling factor tr(U Gamma) / df at any parameter values."""
    return scaled_group_test(solution_at(problem, observed, theta), 1.0, df).trace / df


def group_restriction(larger: GroupProblem, theta1: Array, smaller: GroupProblem, theta0: Array) -> Array:
    """Return A (r0 - r1, q1): the directions of the larger model that the smaller one gives up in any group.

    See :func:`b2b_sem.engine.difference.restriction`.
    """
    firsts: list[Array] = []
    seconds: list[Array] = []
    for g, part in enumerate(larger.parts):
        other = smaller.parts[g]
        order = [part.table.observed.index(v) for v in other.table.observed]
        for out, problem, own, theta, moved in (
            (firsts, larger, part, theta1, None),
            (seconds, smaller, other, theta0, order),
        ):
            place = problem.places[g]
            slopes = moment_derivatives(own, theta[place], moved)
            wide = np.zeros((len(slopes), problem.table.nfree))
            wide[:, place] = slopes
            out.append(wide)
    return given_up(np.concatenate(firsts), larger, np.concatenate(seconds), smaller)
