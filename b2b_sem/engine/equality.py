"""Several groups once more, with some parameters equal: what a chi-square difference test needs, and no more.

The parameters are set equal by linear constraints on the problem that was solved, and the search begins at the minimum
of the quadratic form that the fit function is close to its own minimum. With K a basis of what is free, H the Hessian
there and A theta = 0 the equations,

    alpha = alpha^ - H^-1 A' (A H^-1 A')^-1 A theta^    (all in the coordinates of K),

which is a step or two of Newton's method away from the solution.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from b2b_sem.data.observed import Observed
from b2b_sem.engine.base import Array
from b2b_sem.engine.group import GroupProblem, count_group_df, group_chisq, group_starts, scaled_group_test, solution_at
from b2b_sem.engine.native.constraint import LinearConstraints
from b2b_sem.engine.native.information import invert_information
from b2b_sem.engine.native.loss import evaluate, hessian
from b2b_sem.engine.native.optimize import minimize
from b2b_sem.errors import ModelError

__all__ = ["EqualFit", "fit_equal"]

#: Singular value, of equations with length 1, below which one follows from others.
DEPENDENT = 1e-10


@dataclass(frozen=True)
class EqualFit:
    """A model with some parameters equal.

    Attributes
    ----------
    converged, identified : bool
    chisq : float
        NaN if the fit did not converge.
    df : int
    factor : float
        Scaling factor; NaN where the test is not scaled.
    theta : (q,) array
    """

    converged: bool
    identified: bool
    chisq: float
    df: int
    factor: float
    theta: Array


def fit_equal(
    problem: GroupProblem, observed: Observed, theta: Array, equations: Sequence[Array]
) -> Iterator[EqualFit]:
    """Fit the model again for each matrix A of `equations`, under A theta = 0.

    Parameters
    ----------
    problem : GroupProblem
    observed : Observed
    theta : (q,) array
        The estimates without the equations.
    equations : sequence of (r, q) arrays

    Raises
    ------
    ModelError
        If the fit function does not exist at `theta`.
    """
    old = problem.constraints
    basis = np.eye(len(theta)) if old is None else old.basis
    point = evaluate(problem.structure, problem.moments, theta)
    if point is None:
        raise ModelError("the covariance matrix implied at the solution is not positive definite")
    near = getattr(problem.moments.weight, "near_hessian", None)
    curve = hessian(problem.structure, problem.moments, point) if near is None else near(problem.structure, point)
    if old is not None:
        curve = basis.T @ curve @ basis
    inverse = np.linalg.pinv(curve, hermitian=True)
    for rows in equations:
        reduced = rows if old is None else rows @ basis
        gap = rows @ theta
        way = inverse @ reduced.T
        alpha = -way @ np.linalg.lstsq(reduced @ way, gap, rcond=None)[0]
        guess = theta + (alpha if old is None else basis @ alpha)
        yield _fit(replace(problem, constraints=_joined(old, basis, reduced, theta, gap)), observed, guess, theta)


def _joined(
    old: LinearConstraints | None, basis: Array, reduced: Array, theta: Array, gap: Array
) -> LinearConstraints:
    """Return the constraints with the equations added."""
    size = np.linalg.norm(reduced, axis=1, keepdims=True)
    _, values, directions = np.linalg.svd(reduced / np.where(size > DEPENDENT, size, 1.0))
    rank = int((values > DEPENDENT).sum())
    origin = theta - basis @ np.linalg.lstsq(reduced, gap, rcond=None)[0]
    free = basis @ directions[rank:].T
    if old is None:
        return LinearConstraints(origin, free, rank, ())
    return replace(old, origin=origin, basis=free, rank=old.rank + rank)


def _fit(problem: GroupProblem, observed: Observed, guess: Array, theta: Array) -> EqualFit:
    nan, constraints = float("nan"), problem.constraints
    df = count_group_df(problem)[2]
    try:
        found = minimize(
            problem.structure,
            problem.moments,
            [lambda: guess, lambda: theta, *group_starts(problem)],
            constraints=constraints,
            max_iterations=problem.options.max_iterations,
        )
    except ValueError:
        return EqualFit(False, False, nan, df, nan, theta)
    if not found.converged:
        return EqualFit(False, False, nan, df, nan, found.theta)
    at = solution_at(problem, observed, found.theta)
    identified = invert_information(at.metric, 1, constraints).identified
    chisq = sum(group_chisq(problem, at))
    factor = nan if problem.options.test == "standard" else scaled_group_test(at, chisq, df).factor
    return EqualFit(True, identified, chisq, df, factor, found.theta)
