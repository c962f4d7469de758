"""Models with latent products: the problem, its solution by LMS, and everything that is reported.

See :mod:`b2b_sem.engine.native.mixture` for the likelihood. The integral is over the fewest latent variables that make
all products linear; the points are set from the model without products, and set again where the solution asks for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from b2b_sem.data.incomplete import group_patterns
from b2b_sem.data.observed import Observed
from b2b_sem.engine.base import Array, EngineFit, FitOptions, IntArray
from b2b_sem.engine.inference import (
    Inference,
    check_admissible,
    explained,
    measure_names,
    solution_warnings,
    wald,
)
from b2b_sem.engine.native.constraint import LinearConstraints
from b2b_sem.engine.native.implied import Implied
from b2b_sem.engine.native.information import Precision, invert_information
from b2b_sem.engine.native.loss import evaluate
from b2b_sem.engine.native.mixture import REACH, Grid, Mixture, MixturePoint, Product, make_grid, make_mixture
from b2b_sem.engine.native.optimize import minimize
from b2b_sem.engine.problem import Problem, prepare, solve
from b2b_sem.engine.standardize import Deviations, row_values, scale_rows
from b2b_sem.errors import ModelError, Unsupported
from b2b_sem.measures import fit as fm
from b2b_sem.spec.partable import ParameterTable
from b2b_sem.spec.product import factors_of, product_rows

__all__ = [
    "ProductFit",
    "ProductProblem",
    "given_variables",
    "infer_products",
    "prepare_products",
    "solve_products",
]

#: Distance of points, in the smallest posterior standard deviation of a given variable: the relative error of a sum
#: over a normal density is 2 exp(-2 (pi / distance)^2), 2e-8 here.
DISTANCE = 1.04
#: Change of the log-likelihood with twice the points below which the integral counts as exact.
EXACT = 1e-6
#: Points, in one dimension, to begin and to end with.
FEWEST, MOST = 25, 801
#: Points in all dimensions together.
LIMIT = 20_000
#: How often the points are set again.
ROUNDS = 4
#: Relative step of numeric derivatives of standard deviations.
STEP = 1e-5
NAN = float("nan")


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
        moments = replace(self.problem.moments, weight=replace(self.mixture, grid=grid))
        return replace(self, problem=replace(self.problem, moments=moments))


@dataclass(frozen=True)
class ProductFit:
    """A solution.

    Attributes
    ----------
    problem : ProductProblem
        With the points of the solution.
    solution, linear : EngineFit
        Of the model and of the one without products.
    points : tuple of int
        Points in each dimension.
    error : float
        Change of the log-likelihood with twice as many points in each dimension.
    """

    problem: ProductProblem
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
    flat = np.array(theta)
    for x in problem.mixture.products:
        if x.parameter is not None and x.parameter >= len(linear.theta):
            flat[x.parameter] = 0.0
    mean, sd, spread = _spread(problem, flat)
    grid, count = _grid(mean, sd, spread)
    solution = _minimize(problem.with_grid(_grid(mean, sd, 1.6 * spread)[0]), theta)
    iterations, theta = solution.iterations, solution.theta
    for _ in range(ROUNDS):
        mean, sd, spread = _spread(problem.with_grid(grid), theta)
        grid, count = _grid(mean, sd, spread)
        problem = problem.with_grid(grid)
        solution = _minimize(problem, theta)
        theta, iterations = solution.theta, iterations + solution.iterations
        finer = make_grid(*_location(problem.mixture, theta), 2 * count - 1)
        point = evaluate(problem.problem.structure, problem.with_grid(finer).problem.moments, theta)
        error = math.inf if point is None else 0.5 * (solution.fmin - point.value) * problem.problem.nobs
        if abs(error) <= EXACT or not solution.converged:
            break
    return ProductFit(problem, replace(solution, iterations=iterations), linear, count, error)


def _minimize(problem: ProductProblem, theta: Array) -> EngineFit:
    """Maximise the likelihood from one start, with the points as they are."""
    inner = problem.problem
    try:
        return minimize(
            inner.structure,
            inner.moments,
            [lambda: theta],
            constraints=inner.constraints,
            max_iterations=inner.options.max_iterations,
        )
    except ValueError as error:
        raise ModelError(
            "no starting value gives proper covariance matrices",
            hint="fit the model without products first; remove variances that are fixed at 0",
        ) from error


def _spread(problem: ProductProblem, theta: Array) -> tuple[Array, Array, Array]:
    """Return mean and standard deviation of the given variables, and their smallest posterior deviation: (D,) each.

    Where there is a grid the latter comes from the weights of its points, else from the model without products.
    """
    mixture = problem.mixture
    mean, sd = _location(mixture, theta)
    if len(mixture.grid.points) > 1:
        point = evaluate(problem.problem.structure, problem.problem.moments, theta)
        assert isinstance(point, MixturePoint)
        smallest = np.full(len(mean), np.inf)
        for weight in point.weights:
            first = weight @ mixture.grid.points
            second = weight @ mixture.grid.points**2
            smallest = np.minimum(smallest, np.quantile(second - first**2, 0.01, axis=0))
        return mean, sd, np.sqrt(np.maximum(smallest, 1e-6 * sd**2))
    p, d = len(mixture.center), mixture.dimensions
    joint = mixture.joint_covariance(theta)
    assert joint is not None
    inverse = np.linalg.inv(joint[0])
    return mean, sd, 1.0 / np.sqrt(np.diag(inverse)[p : p + d])


def _location(mixture: Mixture, theta: Array) -> tuple[Array, Array]:
    """Return mean and standard deviation of the given variables: (D,) each."""
    implied, at = mixture.whole_moments(theta), list(mixture.given)
    return implied.eta_mean[at], np.sqrt(np.diag(implied.eta_cov)[at])


def _grid(mean: Array, sd: Array, spread: Array) -> tuple[Grid, int]:
    count = math.ceil(float(np.max(2.0 * REACH * sd / (DISTANCE * spread)))) + 1
    most = MOST if len(mean) == 1 else int(LIMIT ** (1.0 / len(mean)) * 1.3)
    count = max(FEWEST, count)
    if count > most:
        count = most
    return make_grid(mean, sd, count), count


def _deviations(problem: ProductProblem, theta: Array) -> tuple[Deviations, Deviations]:
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
    vcov = _vcov(precision, mixture, point, options, n, clusters, information, constraints)
    raw = row_values(table, solution.theta, inner.fixed)
    std_lv, std_all = scale_rows(table, raw, *_deviations(problem, solution.theta))
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
        measures=_measures(fit, implied),
        implied=implied,
        vcov=vcov,
        identified=precision.identified and (options.se == "none" or bool(np.isfinite(vcov).all())),
        admissible=admissible,
        warnings=tuple(warnings),
    )


def _vcov(
    precision: Precision,
    mixture: Mixture,
    point: object,
    options: FitOptions,
    n: int,
    clusters: IntArray | None,
    information: Array,
    constraints: LinearConstraints | None,
) -> Array:
    q = len(information)
    if options.se == "none" or not precision.identified:
        return np.full((q, q), np.nan)
    if options.se == "standard":
        return precision.vcov
    assert isinstance(point, MixturePoint)
    scores = mixture.scores(point)
    correction = 1.0
    if clusters is not None:
        count = int(clusters.max()) + 1
        sums = np.zeros((count, q))
        np.add.at(sums, clusters, scores)
        scores, correction = sums, count / (count - 1)
    return precision.vcov @ (correction * scores.T @ scores) @ precision.vcov


def _measures(fit: ProductFit, implied: Implied) -> dict[str, float]:
    """Return the likelihood, information criteria, the test against the model without products, and SRMR."""
    inner, linear = fit.problem.problem, fit.problem.linear
    n, table = inner.nobs, inner.table
    free = table.nfree - (0 if inner.constraints is None else inner.constraints.rank)
    names = measure_names(FitOptions(), casewise=False)
    out = dict.fromkeys(names, NAN) | {"npar": free, "ntotal": n}
    if not fit.solution.converged:
        return out
    x = [table.observed.index(v) for v in table.exogenous] if table.fixed_x else []
    cov, mean = inner.moments.cov, inner.moments.mean
    given = _log_likelihood_of_fixed(cov, x, n)
    logl = -0.5 * n * fit.solution.fmin - given
    out |= {
        "fmin": fit.solution.fmin / 2.0,
        "logl": logl,
        "aic": fm.aic(logl, free),
        "bic": fm.bic(logl, free, n),
        "bic2": fm.bic2(logl, free, n),
        "rmr": fm.rmr(cov, implied.sigma, mean, implied.mu),
        "srmr": fm.srmr(cov, implied.sigma, mean, implied.mu),
    }
    if fit.linear.converged and linear.constraints is None and inner.constraints is None:
        flat = np.zeros(table.nfree)
        flat[: len(fit.linear.theta)] = fit.linear.theta
        at = evaluate(inner.structure, inner.moments, flat)
        if at is not None:
            difference = n * (at.value - fit.solution.fmin)
            df = table.nfree - len(fit.linear.theta)
            out |= {
                "linear_logl": -0.5 * n * at.value - given,
                "product_chisq": difference,
                "product_df": df,
                "product_pvalue": fm.chisq_pvalue(difference, df) if df else NAN,
            }
    return out


def _log_likelihood_of_fixed(cov: Array, x: list[int], n: int) -> float:
    """Return the log-likelihood of exogenous variables taken as fixed, at their own moments."""
    if not x:
        return 0.0
    logdet = float(np.linalg.slogdet(cov[np.ix_(x, x)])[1])
    return -0.5 * n * (len(x) * math.log(2.0 * math.pi) + logdet + len(x))
