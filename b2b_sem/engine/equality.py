"""Several groups once more, with some parameters equal: what a chi-square difference test needs, and no more.

The parameters are set equal by linear equations A theta = 0 on the problem that was solved. The solution is close to
the one without them, so one Hessian H, that of the latter, serves all searches. From the minimum of the quadratic form,

    theta = theta^ - H^-1 A' (A H^-1 A')^-1 A theta^,

steps -P g, with g the gradient and P = H^-1 - H^-1 A' (A H^-1 A')^-1 A H^-1, bring the estimates to the minimum within
the equations at the cost of a gradient each. Where they do not get there soon the usual search does, with a basis of
the null space of the equations.
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
from b2b_sem.engine.native.loss import evaluate, gradient, hessian
from b2b_sem.engine.native.optimize import minimize
from b2b_sem.engine.problem import Problem
from b2b_sem.errors import ModelError

__all__ = ["EqualFit", "can_fit_equal", "fit_equal"]

#: Singular value, of equations with length 1, below which one follows from others.
DEPENDENT = 1e-10
#: Steps with the Hessian of the free model, and the length, in standard errors times sqrt(N), of the last one.
STEPS, SHORT = 30, 1e-9


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
    """

    converged: bool
    identified: bool
    chisq: float
    df: int
    factor: float


def can_fit_equal(problem: Problem) -> bool:
    """Whether a problem is one for :func:`fit_equal`: maximum likelihood, linear equations only, a test of the mean."""
    options = problem.options
    return (
        isinstance(problem, GroupProblem)
        and options.estimator == "ML"
        and options.test in ("standard", "satorra.bentler", "yuan.bentler.mplus")
        and "cluster" not in options.se
        and problem.restrictions is None
        and not problem.table.ordered
    )


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
    inverse = basis @ np.linalg.pinv(basis.T @ curve @ basis, hermitian=True) @ basis.T
    for rows in equations:
        found = _near(problem, theta, inverse, rows)
        whole = replace(problem, constraints=_joined(old, basis, rows, theta))
        yield _judge(whole, observed, _search(whole, theta) if found is None else found)


def _near(problem: GroupProblem, theta: Array, inverse: Array, rows: Array) -> Array | None:
    """Return the estimates under the equations by steps with one inverse Hessian; None if these do not converge."""
    way = inverse @ rows.T
    middle = np.linalg.pinv(rows @ way, hermitian=True)
    unit = np.sqrt(np.maximum(np.diag(inverse), 0.0))
    estimate, before = theta - way @ (middle @ (rows @ theta)), np.inf
    if not np.allclose(rows @ estimate, 0.0, atol=DEPENDENT * max(1.0, float(np.abs(theta).max()))):
        return None
    for _ in range(STEPS):
        point = evaluate(problem.structure, problem.moments, estimate)
        if point is None:
            return None
        step = -inverse @ gradient(problem.structure, problem.moments, point)
        step -= way @ (middle @ (rows @ step))
        size = float(np.max(np.abs(step[unit > 0]) / unit[unit > 0], initial=0.0))
        if not size < before:
            return None
        estimate, before = estimate + step, size
        if size <= SHORT:
            return estimate
    return None


def _joined(old: LinearConstraints | None, basis: Array, rows: Array, theta: Array) -> LinearConstraints:
    """Return the constraints with the equations added."""
    reduced = rows @ basis
    size = np.linalg.norm(reduced, axis=1, keepdims=True)
    _, values, directions = np.linalg.svd(reduced / np.where(size > DEPENDENT, size, 1.0))
    rank = int((values > DEPENDENT).sum())
    origin = theta - basis @ np.linalg.lstsq(reduced, rows @ theta, rcond=None)[0]
    free = basis @ directions[rank:].T
    if old is None:
        return LinearConstraints(origin, free, rank, ())
    return replace(old, origin=origin, basis=free, rank=old.rank + rank)


def _search(problem: GroupProblem, theta: Array) -> Array | None:
    """Return the estimates under the constraints by the usual search; None if it does not converge."""
    try:
        found = minimize(
            problem.structure,
            problem.moments,
            [lambda: theta, *group_starts(problem)],
            constraints=problem.constraints,
            max_iterations=problem.options.max_iterations,
        )
    except ValueError:
        return None
    return found.theta if found.converged else None


def _judge(problem: GroupProblem, observed: Observed, theta: Array | None) -> EqualFit:
    nan, constraints = float("nan"), problem.constraints
    df = count_group_df(problem)[2]
    if theta is None:
        return EqualFit(False, False, nan, df, nan)
    at = solution_at(problem, observed, theta)
    identified = invert_information(at.metric, 1, constraints).identified
    chisq = sum(group_chisq(problem, at))
    factor = nan if problem.options.test == "standard" else scaled_group_test(at, chisq, df).factor
    return EqualFit(True, identified, chisq, df, factor)
