"""Models with latent products: the problem, its solution by LMS, and everything that is reported.

See :mod:`b2b_sem.engine.native.mixture` for the likelihood. The integral is over the fewest latent variables that make
all products linear; the points are set from the model without products, and set again where the solution asks for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, Protocol

import numpy as np

from b2b_sem.data.incomplete import group_patterns
from b2b_sem.data.observed import Observed
from b2b_sem.engine.base import Array, EngineFit, FitOptions, IntArray
from b2b_sem.engine.inference import (
    Inference,
    check_admissible,
    explained,
    solution_warnings,
    wald,
)
from b2b_sem.engine.native.constraint import LinearConstraints
from b2b_sem.engine.native.implied import THETA, Implied, Structure
from b2b_sem.engine.native.information import Precision, invert_information
from b2b_sem.engine.native.loss import Point, evaluate
from b2b_sem.engine.native.mixture import REACH, Grid, Memory, Mixture, MixturePoint, Product, make_grid, make_mixture
from b2b_sem.engine.native.optimize import minimize
from b2b_sem.engine.problem import Problem, prepare, solve
from b2b_sem.engine.product_measure import Likelihoods, product_measures, scaling_factor
from b2b_sem.engine.standardize import Deviations, RowValues, row_values, scale_rows
from b2b_sem.errors import ModelError, Unsupported
from b2b_sem.spec.partable import ParameterTable
from b2b_sem.spec.product import factors_of, product_rows

__all__ = [
    "EXACT",
    "Found",
    "PreparedProducts",
    "ProductFit",
    "ProductProblem",
    "cross_products",
    "given_variables",
    "infer_products",
    "maximize",
    "prepare_products",
    "sandwich",
    "scaled_rows",
    "search",
    "solve_products",
]

#: Distance of points, in the smallest posterior standard deviation of a given variable: the relative error of a sum
#: over a normal density is 2 exp(-2 (pi / distance)^2), 2e-8 here.
DISTANCE = 1.04
#: The same for a first, rough maximum.
ROUGH = 1.6 * DISTANCE
#: Change of the log-likelihood with twice the points below which the integral counts as exact.
EXACT = 1e-6
#: Points, in one dimension, to begin and to end with.
FEWEST, MOST = 25, 4001
#: Points in all dimensions together.
LIMIT = 40_000
#: How often the points are set again.
ROUNDS = 6
#: Distance from the ends, in standard deviations, within which no respondent may have any weight, that weight, and
#: what the ends are multiplied by where one has.
MARGIN, WEIGHT, FURTHER = 0.5, 1e-6, 1.4
#: Ends, in standard deviations, and distance of the points for the moments of all variables, in the smallest standard
#: deviation of a given variable given the others.
PRIOR_REACH, PRIOR_DISTANCE = 8.0, 0.8
#: Share of an item's variance that a residual variance gets to begin with where it has none.
LEAST_RESIDUAL = 0.05
#: Relative step of numeric derivatives of standard deviations.
STEP = 1e-5
NAN = float("nan")


class Likelihood(Protocol):
    """What inference needs of the likelihood of a model with products."""

    def scores(self, point: Point) -> Array:
        """Return the score of each respondent, (N, q)."""

    def first_order(self, point: Point) -> Array:
        """Return the first-order information of a respondent, (q, q)."""

    def expected_information(self, structure: Structure, point: Point) -> Array:
        """Return the observed information of a respondent, (q, q)."""

    def whole_moments(self, theta: Array) -> Implied:
        """Return the moments of all variables, products and all."""


class PreparedProducts(Protocol):
    """A compiled model with products: see :class:`ProductProblem`."""

    @property
    def problem(self) -> Problem:
        """With the likelihood as the weight of its moments."""

    @property
    def linear(self) -> Problem:
        """Without products."""

    @property
    def given(self) -> tuple[str, ...]:
        """The variables that are integrated out, if any."""

    @property
    def mixture(self) -> Likelihood:
        """The likelihood."""


@dataclass(frozen=True)
class ProductProblem:
    """A model with products, and the same model without.

    Attributes
    ----------
    problem : Problem
        With a :class:`Mixture` as the weight of its moments; its structure is that of the linear models of all points.
    linear : Problem
        Without products.
    given : tuple of str
        The variables that are integrated out.
    """

    problem: Problem
    linear: Problem
    given: tuple[str, ...]

    @property
    def mixture(self) -> Mixture:
        """The likelihood."""
        weight = self.problem.moments.weight
        assert isinstance(weight, Mixture)
        return weight

    def with_grid(self, grid: Grid) -> ProductProblem:
        """Return the problem with other points."""
        return self.with_likelihood(grid=grid)

    def with_likelihood(self, **changes: Any) -> ProductProblem:
        """Return the problem with a changed likelihood."""
        moments = replace(self.problem.moments, weight=replace(self.mixture, **changes))
        return replace(self, problem=replace(self.problem, moments=moments))


@dataclass(frozen=True)
class ProductFit:
    """A solution.

    Attributes
    ----------
    problem : PreparedProducts
        With the points of the solution, if there are any.
    solution, linear : EngineFit
        Of the model and of the one without products.
    points : tuple of int
        Points in each dimension.
    error : float
        Change of the log-likelihood with twice as many points in each dimension.
    """

    problem: PreparedProducts
    solution: EngineFit
    linear: EngineFit
    points: int
    error: float


def given_variables(table: ParameterTable) -> tuple[str, ...]:
    """Return the fewest latent variables of which every product has one; of several such sets the first.

    Raises
    ------
    Unsupported
        If a product needs a latent variable that equals an item without error.
    """
    pairs = [factors_of(r) for r in product_rows(table)]
    exact = {r.lhs for r in table.rows if r.op == "~~" and r.lhs == r.rhs and not r.free and r.value == 0.0}
    sure = {r.lhs for r in table.rows if r.op == "=~" and r.rhs in exact and r.rhs in table.observed}
    endogenous = {r.lhs for r in table.rows if r.op == "~"} | {r.rhs for r in table.rows if r.op == "=~"}
    named = dict.fromkeys(v for pair in pairs for v in pair if v in table.latents and v not in sure)
    candidates = sorted(named, key=lambda v: v in endogenous)
    for size in range(1, len(candidates) + 1):
        for chosen in combinations(candidates, size):
            if all(set(pair) & set(chosen) for pair in pairs):
                return chosen
    names = ", ".join(":".join(p) for p in pairs if not set(p) & set(candidates))
    raise Unsupported(
        f"the product {names} has no latent variable with measurement error",
        hint="measure one of its factors by several items, or make the product a column of the data",
    )


def prepare_products(
    table: ParameterTable,
    linear: ParameterTable,
    observed: Observed,
    options: FitOptions,
    constraints: LinearConstraints | None,
    linear_constraints: LinearConstraints | None = None,
) -> ProductProblem:
    """Compile a table with products.

    Parameters
    ----------
    table, linear : ParameterTable
        With products, and without: its parameters are the first ones of the former.
    observed : Observed
        With the rows.
    options : FitOptions
    constraints, linear_constraints : LinearConstraints or None
        Of the two tables.
    """
    plain = FitOptions(missing=options.missing, information="observed" if observed.incomplete else "expected")
    base = prepare(linear, observed, plain, linear_constraints)
    structure = replace(base.structure, q=table.nfree)
    place = {v: i for i, v in enumerate(structure.eta)}
    given = given_variables(table)
    products = []
    for row in product_rows(table):
        first, second = factors_of(row)
        known, other = (first, second) if first in given else (second, first)
        number = row.free - 1 if row.free else None
        products.append(Product(number, row.value or 0.0, place[row.lhs], place[known], place[other]))
    assert observed.raw is not None
    order = [observed.names.index(v) for v in table.observed]
    incomplete = group_patterns(observed.raw[0][:, order])
    start = Grid(np.zeros((1, len(given))), 1.0)
    mixture = make_mixture(structure, tuple(products), tuple(place[v] for v in given), incomplete, start)
    moments = replace(base.moments, weight=mixture)
    problem = Problem(table, mixture.structure, moments, base.fixed, observed.nobs, options, constraints)
    return ProductProblem(problem, base, given)


def solve_products(problem: ProductProblem) -> ProductFit:
    """Maximise the likelihood.

    Raises
    ------
    ModelError
        If the model without products has no start, or the integral needs more points than are available.
    """
    linear, _ = solve(problem.linear, "native")
    theta: Array = np.zeros(problem.problem.table.nfree)
    theta[: len(linear.theta)] = linear.theta
    for row in product_rows(problem.problem.table):
        if row.free and row.start is not None:
            theta[row.free - 1] = row.start
    free = len(linear.theta)
    found = search([problem], [np.arange(len(theta))], free, lambda parts: parts[0].problem, theta)
    return ProductFit(found.parts[0], found.solution, linear, found.points, found.error)


@dataclass(frozen=True)
class Found:
    """What a search has found: the problems of all groups with their last points, the solution and its exactness."""

    parts: tuple[ProductProblem, ...]
    solution: EngineFit
    points: int
    error: float


def search(
    parts: Sequence[ProductProblem],
    places: Sequence[IntArray],
    linear: int,
    join: Callable[[Sequence[ProductProblem]], Problem],
    theta: Array,
) -> Found:
    """Maximise the likelihood of one group or several, setting the points until the integrals are exact.

    Parameters
    ----------
    parts : sequence of ProductProblem
        One for each group, with parameters of its own.
    places : sequence of (q_g,) int arrays
        Which of all parameters these are.
    linear : int
        The first so many parameters are those of the model without products.
    join : callable
        Makes the problem of all groups.
    theta : (q,) array
        Where to begin.

    Raises
    ------
    ModelError
        If there is no likelihood at the start.
    """
    theta = np.array(theta)
    for part, place in zip(parts, places, strict=True):
        theta[place] = np.maximum(theta[place], _least(part))
    flat = np.array(theta)
    flat[linear:] = 0.0
    wide = [_Wide(part.with_likelihood(memory=Memory())) for part in parts]
    for own, place in zip(wide, places, strict=True):
        own.locate(*_first_spread(own.problem, flat[place]), ROUGH)
    rough, iterations, error = ROUGH, 0, math.inf
    solution: EngineFit | None = None
    for _ in range(ROUNDS):
        points = [evaluate(w.inner.structure, w.inner.moments, theta[at]) for w, at in zip(wide, places, strict=True)]
        if not all(isinstance(point, MixturePoint) for point in points):
            raise ModelError(
                "no starting value gives proper covariance matrices",
                hint="fit the model without products first; remove variances that are fixed at 0",
            )
        pairs = [(w, point) for w, point in zip(wide, points, strict=True) if isinstance(point, MixturePoint)]
        widened = [solution is not None and w.widen(point) for w, point in pairs]
        if any(widened):
            continue
        now = [w.problem if solution is None else w.pruned(point) for w, point in pairs]
        joint = join(now)
        solution = maximize(joint, theta)
        theta, iterations = solution.theta, iterations + solution.iterations
        spreads = [_spread(w.problem, theta[at]) for w, at in zip(wide, places, strict=True)]
        if rough > DISTANCE:
            rough = DISTANCE
        else:
            finer = [w.finer(*spread[:2]) for w, spread in zip(wide, spreads, strict=True)]
            values = [p.mixture.log_likelihood(theta[at], g) for p, at, g in zip(now, places, finer, strict=True)]
            value = sum(values) + 0.5 * solution.fmin * joint.nobs
            error = value if math.isfinite(value) else math.inf
            if abs(error) <= EXACT or not solution.converged:
                break
        for w, spread in zip(wide, spreads, strict=True):
            w.locate(*spread, DISTANCE)
    assert solution is not None
    last = [p.with_likelihood(prior=_prior_grid(p, theta[at]), memory=None) for p, at in zip(now, places, strict=True)]
    count = max(w.count for w in wide)
    return Found(tuple(last), replace(solution, iterations=iterations), count, error)


class _Wide:
    """The points of one group while they are being set."""

    def __init__(self, problem: ProductProblem) -> None:
        self.problem, self.reach, self.count = problem, REACH, 0

    @property
    def inner(self) -> Problem:
        return self.problem.problem

    def locate(self, mean: Array, sd: Array, spread: Array, distance: float) -> None:
        """Set the points for these moments of the given variables."""
        self.mean, self.sd, self.spread = mean, sd, spread
        grid, self.count = _grid(mean, sd, spread, distance, self.reach)
        self.problem = self.problem.with_grid(grid)

    def widen(self, point: MixturePoint) -> bool:
        """Set points further out if a respondent has any weight near the ends, and say so."""
        if _edge_weight(self.problem.mixture, point, self.mean, self.sd, self.reach) <= WEIGHT:
            return False
        self.reach *= FURTHER
        self.locate(self.mean, self.sd, self.spread, DISTANCE)
        return True

    def pruned(self, point: MixturePoint) -> ProductProblem:
        """Return the problem without the points that nobody gives any weight."""
        return self.problem.with_grid(self.problem.mixture.prune(point))

    def finer(self, mean: Array, sd: Array) -> Grid:
        """Return twice as many points in each dimension."""
        return make_grid(mean, sd, 2 * self.count - 1, self.reach)


def _least(problem: ProductProblem) -> Array:
    """Return the least values to begin with: residual variances of items are positive, (q,)."""
    structure = problem.problem.structure
    out = np.full(problem.problem.table.nfree, -np.inf)
    variance = np.diag(problem.linear.moments.cov)
    own = (structure.matrix == THETA) & (structure.row == structure.col)
    for entry in np.flatnonzero(own):
        out[structure.free[entry]] = LEAST_RESIDUAL * variance[structure.row[entry]]
    return out


def _edge_weight(mixture: Mixture, point: MixturePoint, mean: Array, sd: Array, reach: float) -> float:
    """Return the largest posterior weight that any respondent has near the ends of the points."""
    away = (((mixture.grid.points - mean) / sd) ** 2).sum(axis=1) >= (reach - MARGIN) ** 2
    return max(float(w[:, away].max(initial=0.0)) for w in point.weights)


def maximize(problem: Problem, theta: Array) -> EngineFit:
    """Maximise the likelihood from one start, with the points as they are.

    Raises
    ------
    ModelError
        If there is no likelihood at the start.
    """
    try:
        return minimize(
            problem.structure,
            problem.moments,
            [lambda: theta],
            constraints=problem.constraints,
            max_iterations=problem.options.max_iterations,
        )
    except ValueError as error:
        raise ModelError(
            "no starting value gives proper covariance matrices",
            hint="fit the model without products first; remove variances that are fixed at 0",
        ) from error


def _spread(problem: ProductProblem, theta: Array) -> tuple[Array, Array, Array]:
    """Return mean and standard deviation of the given variables, and their smallest posterior deviation: (D,) each."""
    mixture = problem.mixture
    mean, sd = _location(mixture, theta)
    point = evaluate(problem.problem.structure, problem.problem.moments, theta)
    assert isinstance(point, MixturePoint)
    centered = mixture.grid.points - mean  # keeps digits where a variable is far from 0
    variances = [weight @ centered**2 - (weight @ centered) ** 2 for weight in point.weights]
    smallest = np.quantile(np.concatenate(variances), 0.01, axis=0)
    return mean, sd, np.sqrt(np.maximum(smallest, 1e-8 * sd**2))


def _first_spread(problem: ProductProblem, theta: Array) -> tuple[Array, Array, Array]:
    """Return what :func:`_spread` does, from the model without products."""
    mixture = problem.mixture
    mean, sd = _location(mixture, theta)
    p, d = len(mixture.center), mixture.dimensions
    joint = mixture.joint_covariance(theta)
    assert joint is not None
    inverse = np.linalg.inv(joint[0])
    own = np.diag(inverse)[p : p + d]
    with np.errstate(invalid="ignore"):
        return mean, sd, np.where(own > 0, np.minimum(1.0 / np.sqrt(own), sd), 0.1 * sd)


def _location(mixture: Mixture, theta: Array) -> tuple[Array, Array]:
    """Return mean and standard deviation of the given variables: (D,) each."""
    implied, at = mixture.whole_moments(theta), list(mixture.given)
    return implied.eta_mean[at], np.sqrt(np.diag(implied.eta_cov)[at])


def _grid(mean: Array, sd: Array, spread: Array, distance: float, reach: float) -> tuple[Grid, int]:
    count = math.ceil(float(np.max(2.0 * reach * sd / (distance * spread)))) + 1
    count = max(FEWEST, min(count, _most(len(mean))))
    return make_grid(mean, sd, count, reach), count


def _most(dimensions: int) -> int:
    """Return the largest number of points in each dimension: the corners are left out."""
    return MOST if dimensions == 1 else int((LIMIT / (0.8, 0.53)[min(dimensions, 3) - 2]) ** (1.0 / dimensions))


def _prior_grid(problem: ProductProblem, theta: Array) -> Grid:
    """Return points for the moments of all variables: a smooth integral without data needs few."""
    mixture, at = problem.mixture, list(problem.mixture.given)
    mean, sd = _location(mixture, theta)
    rough = make_grid(mean, sd, FEWEST)
    inner = mixture.models(theta, rough.points).eta_cov[:, at][:, :, at]
    alone = 1.0 / np.sqrt(np.diagonal(np.linalg.inv(inner), axis1=1, axis2=2))
    count = math.ceil(float(np.max(2.0 * PRIOR_REACH * sd / (PRIOR_DISTANCE * alone.min(axis=0))))) + 1
    return make_grid(mean, sd, min(count, _most(len(at))), PRIOR_REACH)


def scaled_rows(problem: PreparedProducts, theta: Array, raw: RowValues) -> tuple[RowValues, RowValues]:
    """Return the ``std_lv`` and ``std_all`` solutions."""
    return scale_rows(problem.problem.table, raw, *_deviations(problem, theta))


def _deviations(problem: PreparedProducts, theta: Array) -> tuple[Deviations, Deviations]:
    """Return deviations of the latent variables, and of latent and observed ones, with those of products of factors.

    Derivatives are central differences: moments with products have no short derivatives.
    """
    table, structure = problem.problem.table, problem.problem.structure
    k, observed = structure.nlatent, table.observed
    names = [*structure.eta[:k], *observed]

    def sds(at: Array) -> Array:
        implied = problem.mixture.whole_moments(at)
        with np.errstate(invalid="ignore"):
            return np.sqrt(np.concatenate([np.diag(implied.eta_cov)[:k], np.diag(implied.sigma)]))

    value = sds(theta)
    slopes = np.zeros((len(names), len(theta)))
    for j in range(len(theta)):
        h = STEP * max(1.0, abs(theta[j]))
        up, down = theta.copy(), theta.copy()
        up[j] += h
        down[j] -= h
        slopes[:, j] = (sds(up) - sds(down)) / (2.0 * h)
    q = len(theta)

    def collect(members: range) -> Deviations:
        sd = {names[i]: float(value[i]) for i in members}
        slope = {names[i]: slopes[i] for i in members}
        out = Deviations(sd, slope)
        for row in product_rows(table):
            (a, da), (b, db) = (out.of(v, q) for v in factors_of(row))
            sd[row.rhs], slope[row.rhs] = a * b, a * db + b * da
        return out

    return collect(range(k)), collect(range(len(names)))


def infer_products(
    fit: ProductFit, observed: Observed, *, clusters: IntArray | None = None, level: float = 0.95
) -> Inference:
    """Compute all inference at a solution.

    Standard errors come from the observed information, from the cross-products of the scores ("first.order"), or from
    both (robust; White 1982, doi:10.2307/1912526); with clusters scores are summed within them first.

    Raises
    ------
    ModelError
        If the solution has no likelihood.
    """
    problem, solution = fit.problem, fit.solution
    inner, mixture = problem.problem, problem.mixture
    table, options, constraints = inner.table, inner.options, inner.constraints
    point = evaluate(inner.structure, inner.moments, solution.theta)
    if point is None:
        raise ModelError("a covariance matrix at the solution is not positive definite")
    n = inner.nobs
    first = options.information == "first.order"
    information = mixture.first_order(point) if first else mixture.expected_information(inner.structure, point)
    precision = invert_information(information, n, constraints)
    robust = options.se.startswith("robust") and precision.identified
    middle = cross_products(mixture.scores(point), clusters) / n if robust else None
    vcov = sandwich(precision, middle, options, n)
    raw = row_values(table, solution.theta, inner.fixed)
    std_lv, std_all = scaled_rows(problem, solution.theta, raw)
    implied = problem.mixture.whole_moments(solution.theta)
    admissible, problems = check_admissible(table, replace(inner.structure, observed=table.observed), implied, raw)
    tests = wald(raw, vcov, level, solution.converged, constrained=constraints is not None)
    warnings = [*solution_warnings(table, solution, precision, constraints), *problems]
    if not abs(fit.error) <= EXACT:
        warnings.append(
            f"The integral over {', '.join(problem.given)} is not exact: the log-likelihood changes by {fit.error:.2g} "
            "with more points. Do not rely on small differences."
        )
    return Inference(
        raw=tests,
        std_lv=std_lv.value,
        std_all=wald(std_all, vcov, level, solution.converged, drop_zero=True, constrained=constraints is not None),
        r2=explained(table, std_all.value),
        measures=product_measures(
            [inner], [implied], _likelihoods(fit, information, middle, clusters), converged=solution.converged
        ),
        implied=implied,
        vcov=vcov,
        identified=precision.identified and (options.se == "none" or bool(np.isfinite(vcov).all())),
        admissible=admissible,
        warnings=tuple(warnings),
    )


def cross_products(scores: Array, clusters: IntArray | None) -> Array:
    """Return the sum of s s' over respondents, or over sums of s within clusters times C / (C - 1), (q, q)."""
    if clusters is None:
        return scores.T @ scores
    count = int(clusters.max()) + 1
    sums = np.zeros((count, scores.shape[1]))
    np.add.at(sums, clusters, scores)
    return count / (count - 1) * sums.T @ sums


def sandwich(precision: Precision, middle: Array | None, options: FitOptions, n: int) -> Array:
    """Return the covariance matrix of the estimates: from the information, or a sandwich with `middle` in it."""
    if options.se == "none" or not precision.identified:
        return np.full(precision.vcov.shape, np.nan)
    return precision.vcov if middle is None else precision.vcov @ (n * middle) @ precision.vcov


def _likelihoods(fit: ProductFit, information: Array, middle: Array | None, clusters: IntArray | None) -> Likelihoods:
    """Return what the measures are made from; `middle` are the cross-products of the scores behind robust errors."""
    inner, linear = fit.problem.problem, fit.problem.linear
    rank = 0 if inner.constraints is None else inner.constraints.rank
    scaling = NAN if middle is None else scaling_factor(information, middle, inner.constraints)
    found = Likelihoods(fit.solution.fmin, inner.table.nfree - rank, scaling=scaling)
    if not fit.linear.converged or linear.constraints is not None or inner.constraints is not None:
        return found
    free = len(fit.linear.theta)
    flat = np.zeros(inner.table.nfree)
    flat[:free] = fit.linear.theta
    at = evaluate(inner.structure, inner.moments, flat)
    if at is None:
        return found
    if middle is not None:
        mixture = fit.problem.mixture
        bread = mixture.expected_information(inner.structure, at)[:free, :free]
        cross = cross_products(mixture.scores(at)[:, :free], clusters) / inner.nobs
        scaling = scaling_factor(bread, cross, None)
    return replace(found, linear=at.value, linear_npar=free, linear_scaling=scaling)
