"""A model fitted to a population, and the noncentrality of restrictions of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from b2b_sem.analysis.fitted import Fit, context_of
from b2b_sem.analysis.power_missing import Holes, expected_cases
from b2b_sem.analysis.power_population import GroupPopulation
from b2b_sem.analysis.structural import fit as fit_model
from b2b_sem.engine.base import Array, EngineFit, IntArray
from b2b_sem.engine.group import GroupProblem, group_starts
from b2b_sem.engine.native.constraint import LinearConstraints, null_basis
from b2b_sem.engine.native.grouped import Grouped, grouped_moments
from b2b_sem.engine.native.information import invert_information
from b2b_sem.engine.native.loss import Moments, evaluate, expected_information
from b2b_sem.engine.native.optimize import minimize
from b2b_sem.engine.problem import Problem, starting_values
from b2b_sem.engine.threads import single_thread
from b2b_sem.errors import ModelError, Unsupported
from b2b_sem.spec.partable import ParameterTable, Row
from b2b_sem.spec.syntax import parse_model

__all__ = ["DRAW", "Settings", "Target", "clean", "fit_population", "group_of", "unit"]

#: Rows the population is fitted with; noncentralities are divided by it.
REFERENCE = 1_000_000
#: Noncentrality of one row below which a restriction counts as true in the population: rounding of two minima.
TRUE = 1e-11
DRAW = "draw samples: give replications=..., or run a Monte Carlo study (monte_carlo)"


def clean(per_row: float) -> float:
    """Return 0 for what is rounding."""
    return per_row if per_row > TRUE else 0.0


@dataclass(frozen=True)
class Settings:
    """How the model is fitted: arguments of ``fit`` by their names there."""

    group_equal: tuple[str, ...] = ()
    group_partial: tuple[str, ...] = ()
    std_lv: bool = False
    orthogonal: bool = False
    missing: str = "listwise"


@dataclass(frozen=True, eq=False)
class Target:
    """A model fitted to a population.

    Attributes
    ----------
    population : GroupPopulation
    fit : Fit
        To the moments of complete answers.
    moments : Moments
        What restrictions are fitted to.
    solution : EngineFit
        The minimum for these.
    used : float
        Share of the rows that take part: of complete ones, or of those with any answer.
    exact : bool
        Whether all patterns of missing answers were taken into account, not a selection.
    """

    population: GroupPopulation
    fit: Fit
    moments: Moments
    solution: EngineFit
    used: float = 1.0
    exact: bool = True

    #: How restrictions are tested, and whether the test of the model itself has a power by theory.
    method: ClassVar[str] = "likelihood-ratio"
    tests_fit: ClassVar[bool] = True

    @property
    def problem(self) -> Problem:
        """The problem of complete answers."""
        return context_of(self.fit).problem

    @property
    def table(self) -> ParameterTable:
        """The parameter table."""
        return self.problem.table

    @property
    def rows(self) -> list[Row]:
        """The rows of the table."""
        return list(self.table.rows)

    @property
    def theta(self) -> Array:
        """The free parameters of the model in the population."""
        return self.solution.theta

    @property
    def df(self) -> int:
        """Degrees of freedom."""
        return int(self.fit.measures["df"])

    @property
    def per_row(self) -> float:
        """Noncentrality that one row adds to the test of the model itself."""
        return self.used * clean(self.solution.fmin)

    @property
    def vcov(self) -> Array:
        """Covariance matrix of the estimates from one row, (q, q)."""
        return self._vcov

    @cached_property
    def _vcov(self) -> Array:
        with single_thread():
            point = evaluate(self.problem.structure, self.moments, self.theta)
            assert point is not None
            information = expected_information(self.problem.structure, point)
        return invert_information(information, 1, self.problem.constraints).vcov / self.used

    @cached_property
    def standardized(self) -> Mapping[tuple[str, str, str, int], float]:
        """Values with variances of 1, by (lhs, op, rhs, group from 1)."""
        table = self.fit.standardized()
        keys = zip(table["lhs"], table["op"], table["rhs"], table["group"], strict=True)
        return {(a, o, b, max(int(g), 1)): float(v) for (a, o, b, g), v in zip(keys, table["est_std"], strict=True)}

    def std(self, row: Row) -> float:
        """Return the standardized value of a row."""
        return self.standardized.get((row.lhs, row.op, row.rhs, max(row.group, 1)), float("nan"))

    def places(self, group: int) -> IntArray:
        """Return the joint parameter, from 0, of each parameter of a group (from 0)."""
        problem = self.problem
        return problem.places[group] if isinstance(problem, GroupProblem) else np.arange(len(self.theta))

    def zero(self, row: Row) -> float:
        """Return the noncentrality of one row for ``parameter == 0``."""
        return self.restricted(unit(len(self.theta), (row.free, 1.0))[None], np.zeros(1), f"{row.name} == 0")

    def restricted(self, matrix: Array, right: Array, what: str) -> float:
        """Return the noncentrality of one row for ``matrix theta = right``.

        Raises
        ------
        ModelError
            If the restriction says nothing new, or the model cannot be fitted with it; `what` names it.
        """
        problem = self.problem
        q = problem.table.nfree
        held = problem.constraints
        if held is not None:
            normal = null_basis(held.basis.T, q).T
            matrix, right = np.vstack([normal, matrix]), np.concatenate([normal @ held.origin, right])
        if np.linalg.matrix_rank(matrix) < len(matrix):
            raise ModelError(
                f"'{what}' says what the model says already, or twice the same",
                hint="test parameters that are free in the model",
            )
        origin = np.linalg.lstsq(matrix, right, rcond=None)[0]
        constraints = LinearConstraints(origin, null_basis(matrix, q), len(matrix), ())
        found = _minimize(problem, self.moments, self.theta, constraints)
        if found is None or not found.converged:
            raise ModelError(
                f"the model with '{what}' cannot be fitted to the population",
                hint="test something else, or draw samples",
            )
        return self.used * clean(found.fmin - self.solution.fmin)


def unit(q: int, *signed: tuple[int, float]) -> Array:
    """Return a vector of length `q` with the given numbers at parameters (from 1)."""
    out = np.zeros(q)
    for number, sign in signed:
        out[number - 1] += sign
    return out


def group_of(target: Target, row: Row) -> str:
    """Return the label of the group of a row; empty for a parameter that groups share."""
    shared = {r.group for r in target.rows if r.free == row.free}
    return target.population.labels[row.group - 1] if target.population.labels and len(shared) == 1 else ""


def _minimize(
    problem: Problem, moments: Moments, theta: Array, constraints: LinearConstraints | None
) -> EngineFit | None:
    starts: Sequence[Callable[[], Array]]
    starts = group_starts(problem) if isinstance(problem, GroupProblem) else starting_values(problem)
    with single_thread():
        try:
            return minimize(problem.structure, moments, [lambda: theta, *starts], constraints=constraints)
        except ValueError:
            return None


def fit_population(population: GroupPopulation, model: str, settings: Settings) -> Target:
    """Fit a model to the moments of a population.

    Raises
    ------
    ModelError
        If it cannot be fitted.
    Unsupported
        For models with inequalities or nonlinear constraints, and products of variables.
    """
    several = bool(population.labels)
    parsed = parse_model(model)
    if any(":" in e.rhs for e in parsed.entries if e.op == "~"):
        raise Unsupported("the power of a product of variables does not follow from means and covariances", hint=DRAW)
    names = [name for name in population.parts[0].names if name in parsed_names(model)]
    holes = population.holes or (Holes(),) * len(population.parts)
    fiml = settings.missing == "fiml" and any(h.touches(names) for h in holes)
    complete = np.ones(len(holes)) if fiml else np.array([h.complete(names) for h in holes])
    weight = np.array(population.shares) * complete
    used = float(weight.sum())
    # at least the rows that lavaan's rule of divisors needs; whole numbers, so that shares are right to 1e-6
    sizes = [max(round(REFERENCE * share), 2) for share in weight / used]
    covs, means = {}, {}
    for label, part, n in zip(population.labels or ("",), population.parts, sizes, strict=True):
        columns = list(part.names)
        # the divisor of given covariances is n - 1; that of the population is n
        covs[label] = pd.DataFrame(part.cov * (n / (n - 1)), index=columns, columns=columns)
        means[label] = pd.Series(part.mean, index=columns)
    arguments: dict[str, Any] = {"std_lv": settings.std_lv, "orthogonal": settings.orthogonal}
    if several:
        arguments |= {"group_equal": settings.group_equal, "group_partial": settings.group_partial}
    if fiml:
        arguments["meanstructure"] = True
    keyed = dict(zip(covs, sizes, strict=True))
    found = fit_model(
        model,
        sample_cov=covs if several else covs[""],
        sample_mean=means if several else means[""],
        nobs=keyed if several else sizes[0],
        engine="native",
        **arguments,
    )
    if not isinstance(found, Fit) or not found.converged or not found.identified:
        raise ModelError(
            f"the model cannot be fitted to the population itself: {found.failure}", hint="check both models"
        )
    problem, solution = context_of(found).problem, context_of(found).solution
    if problem.restrictions is not None:
        raise Unsupported(
            "power with inequalities, bounds or nonlinear constraints is not available by theory",
            hint=f"leave them out, or {DRAW}",
        )
    if not fiml:
        return Target(population, found, problem.moments, solution, used)
    return _with_holes(Target(population, found, problem.moments, solution), holes)


def parsed_names(model: str) -> set[str]:
    """Return all names in a model: those of its observed variables are among them."""
    entries = parse_model(model).entries
    return {name for e in entries for name in (e.lhs, e.rhs)}


def _with_holes(target: Target, holes: Sequence[Holes]) -> Target:
    """Fit the model to what full information maximum likelihood expects of rows with holes.

    Raises
    ------
    Unsupported
        If exogenous variables that are taken as fixed may be missing.
    """
    problem = target.problem
    parts = problem.parts if isinstance(problem, GroupProblem) else (problem,)
    moments, answered, exact = [], [], True
    for part, own in zip(parts, holes, strict=True):
        names = part.table.observed
        if part.table.fixed_x and own.touches(part.table.exogenous):
            raise Unsupported(
                "rows without an exogenous variable are left out by missing='fiml', and its power is not available",
                hint=f"let answers be missing to measured variables only, or {DRAW}",
            )
        patterns = own.patterns(names)
        exact = exact and patterns.exact
        mean = np.zeros(len(names)) if part.moments.mean is None else part.moments.mean
        cases = expected_cases(names, np.array(mean), np.array(part.moments.cov), patterns, REFERENCE)
        moments.append(replace(part.moments, mean=np.array(mean), weight=cases))
        answered.append(patterns.answered)
    if isinstance(problem, GroupProblem):
        whole = problem.moments.weight
        assert isinstance(whole, Grouped)
        share = np.array([part.share for part in whole.parts]) * answered
        used = float(share.sum())
        joint = grouped_moments(
            [replace(p, moments=m, share=s / used) for p, m, s in zip(whole.parts, moments, share, strict=True)],
            whole.q,
        )
    else:
        joint, used = moments[0], answered[0]
    found = _minimize(problem, joint, target.theta, problem.constraints)
    if found is None or not found.converged:
        raise ModelError(
            "the model cannot be fitted to the population with these missing answers", hint="lower their rates"
        )
    return Target(target.population, target.fit, joint, found, used, exact)
