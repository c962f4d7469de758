"""One estimation problem, and the engines that solve it.

A :class:`Problem` holds everything that does not change while parameters do; the bootstrap and other repeated fits
prepare it once and exchange the moments.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from b2b_sem.data.em import compact
from b2b_sem.data.observed import Observed
from b2b_sem.engine.adf import make_weight
from b2b_sem.engine.base import Array, EngineFit, FitOptions, moments_divisor
from b2b_sem.engine.native.casewise import Casewise
from b2b_sem.engine.native.constraint import LinearConstraints
from b2b_sem.engine.native.implied import Structure, compile_structure
from b2b_sem.engine.native.information import invert_information
from b2b_sem.engine.native.loss import Moments, evaluate, expected_information, make_moments
from b2b_sem.engine.native.optimize import minimize
from b2b_sem.engine.native.restricted import constraint_tangent, minimize_restricted
from b2b_sem.engine.native.restriction import Restrictions, restrict
from b2b_sem.engine.native.start import plain_start, start_values
from b2b_sem.engine.standardize import RowValues, row_values
from b2b_sem.errors import ModelError, Unsupported
from b2b_sem.spec.partable import ParameterTable

__all__ = ["Problem", "at_solution", "fixed_moments", "make_casewise", "prepare", "solve", "starting_values"]

P = TypeVar("P", bound="Problem")
#: Iterations of the first search for a start by complete data.
QUICK = 50


@dataclass(frozen=True)
class Problem:
    """Everything the engines need.

    Attributes
    ----------
    table : ParameterTable
    structure : Structure
        The table compiled to index arrays.
    moments : Moments
        Sample moments with the divisor of the likelihood.
    fixed : dict
        Values of the rows that the data fix (exogenous moments), by row name.
    nobs : int
    options : FitOptions
    constraints : LinearConstraints or None
        The linear equations; after :func:`at_solution` the tangent of all constraints.
    restrictions : Restrictions or None
        Nonlinear equations, inequalities and bounds; None if there are none. A repeated fit must go through
        :func:`solve`, which knows them: `constraints` alone does not say what holds elsewhere.
    """

    table: ParameterTable
    structure: Structure
    moments: Moments
    fixed: dict[str, float]
    nobs: int
    options: FitOptions
    constraints: LinearConstraints | None
    restrictions: Restrictions | None = None

    def values(self, theta: Array) -> RowValues:
        """Return the value of every row and definition at `theta`, with derivatives."""
        return row_values(self.table, theta, self.fixed)


def prepare(
    table: ParameterTable, observed: Observed, options: FitOptions, constraints: LinearConstraints | None
) -> Problem:
    """Compile a table and the moments it is fitted to.

    Raises
    ------
    DataError
        If the estimator needs the rows of the data and there are only moments, or too few rows.
    LinAlgError
        If the sample covariance matrix is not positive definite; :func:`~b2b_sem.data.observed.observe` refuses such
        data before.
    """
    group = observed.groups[0]
    cov = np.array(group.cov)
    if options.likelihood == "wishart":
        cov = cov * (group.nobs / (group.nobs - 1))
    mean = np.array(group.mean) if table.meanstructure and group.mean is not None else None
    fixed = fixed_moments(table, cov, mean)
    structure = compile_structure(table, fixed)
    casewise = make_casewise(table, observed)
    # without a hole the likelihood is that of complete data
    weight = make_weight(table, observed, cov, mean, options) if casewise is None or casewise.complete else casewise
    moments = replace(make_moments(cov, mean), weight=weight)
    return Problem(table, structure, moments, fixed, group.nobs, options, constraints, restrict(table))


def fixed_moments(table: ParameterTable, cov: Array, mean: Array | None) -> dict[str, float]:
    """Return the values of the rows that the data fix, by row name, from moments in model order."""
    index = {v: i for i, v in enumerate(table.observed)}
    fixed: dict[str, float] = {}
    for row in table.rows:
        if row.exo and row.op == "~~":
            fixed[row.name] = float(cov[index[row.lhs], index[row.rhs]])
        elif row.exo and mean is not None:
            fixed[row.name] = float(mean[index[row.lhs]])
    return fixed


def make_casewise(table: ParameterTable, observed: Observed) -> Casewise | None:
    """Return the likelihood of rows with holes, or None where rows with holes were left out."""
    if observed.incomplete is None:
        return None
    group, incomplete = observed.groups[0], observed.incomplete[0]
    assert group.mean is not None
    given = tuple(table.observed.index(v) for v in table.exogenous) if table.fixed_x else ()
    clusters = None if observed.clusters is None else observed.clusters[0]
    return Casewise(incomplete, compact(incomplete), np.array(group.mean), np.array(group.cov), given, clusters)


def at_solution(problem: P, theta: Array) -> P:
    """Return the problem with its constraints as they are at a solution: see :class:`LinearConstraints`."""
    if problem.restrictions is None:
        return problem
    tangent = constraint_tangent(problem.structure, problem.moments, problem.restrictions, theta)
    return replace(problem, constraints=tangent)


def starting_values(problem: Problem) -> list[Callable[[], Array]]:
    """Starting values, most promising first; later ones only run when the earlier ones fail."""
    table, cov, mean = problem.table, problem.moments.cov, problem.moments.mean

    def perturbed(seed: int) -> Array:
        rng = np.random.default_rng(seed)
        theta = plain_start(table, cov, mean)
        return theta * rng.uniform(0.6, 1.4, size=len(theta))

    return [
        lambda: start_values(table, cov, mean, problem.fixed),
        lambda: plain_start(table, cov, mean),
        lambda: perturbed(1),
        lambda: perturbed(2),
    ]


def solve(problem: Problem, engine: str) -> tuple[EngineFit, tuple[str, ...]]:
    """Minimise the fit function with an engine.

    Parameters
    ----------
    problem : Problem
    engine : {"auto", "semopy", "native"}
        "auto" takes semopy where it can fit the model, else the native engine.

    Returns
    -------
    solution : EngineFit
    notes : tuple of str
        Why the native engine was used under "auto".

    Raises
    ------
    Unsupported
        If "semopy" is asked for and cannot fit the model.
    ModelError
        If no starting value gives a positive definite covariance matrix.
    """
    starts = starting_values(problem)
    costly = isinstance(problem.moments.weight, Casewise)
    if costly and problem.restrictions is None:
        starts = _complete_starts(problem, starts)
    guess, notes = (None, ()) if engine == "native" else _ask_semopy(problem, engine, starts[0])
    if guess is not None:
        first = guess
        starts = [lambda: first, *starts]
    try:
        if problem.restrictions is not None:
            found = minimize_restricted(
                problem.structure,
                problem.moments,
                starts,
                problem.restrictions,
                max_iterations=problem.options.max_iterations,
            )
            return found, notes
        solution = minimize(
            problem.structure,
            problem.moments,
            starts,
            constraints=problem.constraints,
            max_iterations=problem.options.max_iterations,
            rescue=1 if costly else None,
        )
    except ValueError as error:
        raise ModelError(
            f"the model cannot be started: {error}",
            hint="give starting values with start(), or check fixed values",
        ) from error
    return (solution if guess is None else _polished(problem, solution, guess)), notes


def _complete_starts(problem: Problem, starts: list[Callable[[], Array]]) -> list[Callable[[], Array]]:
    """Return starts for rows with holes: first the estimates of complete data with their moments, which are close.

    Where these are not found soon, they are looked for at length only once other starts have failed.
    """
    moments = replace(problem.moments, weight=None)

    def search(number: int, **options: Any) -> EngineFit | None:
        try:
            return minimize(problem.structure, moments, starts[:number], constraints=problem.constraints, **options)
        except ValueError:
            return None

    soon = search(1, max_iterations=QUICK, rescue=0)
    if soon is not None and soon.converged:
        return [lambda: soon.theta, *starts]

    def late() -> Array:
        found = search(2)
        return starts[0]() if found is None else found.theta

    return [*starts[:2], late, *starts[2:]]


def _ask_semopy(problem: Problem, engine: str, start: Callable[[], Array]) -> tuple[Array | None, tuple[str, ...]]:
    """Return semopy's estimates; under "auto" None with a note where semopy cannot fit the model."""
    from b2b_sem.engine.semopy_adapter import estimate, unsupported_reason

    estimator = problem.options.estimator
    reason = unsupported_reason(problem.table) if estimator == "ML" else f"its {estimator} is not reliable"
    if isinstance(problem.moments.weight, Casewise):
        reason = "rows have missing values"
    try:
        if reason:
            raise Unsupported(f"the semopy engine cannot fit this model: {reason}", hint="use engine='native'")
        return estimate(problem.table, problem.moments.cov, problem.nobs, problem.fixed, start()), ()
    except Unsupported as error:
        if engine == "semopy":
            raise
        return None, (f"The native engine was used: {reason or error.message}.",)


def _polished(problem: Problem, solution: EngineFit, guess: Array) -> EngineFit:
    """Record how far the native optimiser had to move semopy's estimates, in standard errors."""
    polish: float | None = None
    point = evaluate(problem.structure, problem.moments, solution.theta)
    if point is not None:
        info = expected_information(problem.structure, point)
        n = moments_divisor(problem.nobs, problem.options.likelihood)
        precision = invert_information(info, n, problem.constraints)
        if precision.identified:
            se = np.sqrt(np.diag(precision.vcov))
            polish = float(np.max(np.abs(guess - solution.theta)[se > 0] / se[se > 0], initial=0.0))
    return replace(solution, engine="semopy", polish=polish, message="semopy, polished by " + solution.message)
