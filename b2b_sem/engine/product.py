"""Models with latent products: their solution by LMS, and everything that is reported.

See :mod:`b2b_sem.engine.native.mixture` for the likelihood. The integral is over the fewest latent variables that make
all products linear.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from b2b_sem.data.observed import Observed
from b2b_sem.engine.base import Array, EngineFit, FitOptions, IntArray
from b2b_sem.engine.inference import (
    Inference,
    check_admissible,
    explained,
    solution_warnings,
    wald,
)
from b2b_sem.engine.native.information import Precision, invert_information
from b2b_sem.engine.native.loss import evaluate
from b2b_sem.engine.product_base import PreparedProducts, begin
from b2b_sem.engine.product_measure import find_likelihoods, product_measures
from b2b_sem.engine.product_problem import ProductProblem
from b2b_sem.engine.product_search import EXACT, search
from b2b_sem.engine.standardize import Deviations, RowValues, row_values, scale_rows
from b2b_sem.errors import ModelError
from b2b_sem.spec.product import factors_of, product_rows

__all__ = [
    "ProductFit",
    "cross_products",
    "infer_products",
    "sandwich",
    "scaled_rows",
    "solve_products",
    "standard_deviations",
    "with_units",
]

#: Relative step of numeric derivatives of standard deviations.
STEP = 1e-5
NAN = float("nan")


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


def solve_products(problem: ProductProblem) -> ProductFit:
    """Maximise the likelihood.

    Raises
    ------
    ModelError
        If no starting value has a likelihood, or the integral needs more points than are available.
    """
    linear = problem.solution
    assert linear is not None  # parts of several groups have none
    theta = begin(problem.problem.table, linear)
    found = search([problem], [np.arange(len(theta))], lambda parts: parts[0].problem, theta)
    return ProductFit(found.parts[0], found.solution, linear, found.points, found.error)


def scaled_rows(problem: PreparedProducts, theta: Array, raw: RowValues) -> tuple[RowValues, RowValues]:
    """Return the ``std_lv`` and ``std_all`` solutions."""
    return scale_rows(problem.problem.table, raw, *_deviations(problem, theta))


def standard_deviations(problem: PreparedProducts, theta: Array) -> Array:
    """Return those of latent and then of observed variables that the whole model implies, (k + p,)."""
    implied, k = problem.mixture.whole_moments(theta), problem.problem.structure.nlatent
    with np.errstate(invalid="ignore"):
        return np.sqrt(np.concatenate([np.diag(implied.eta_cov)[:k], np.diag(implied.sigma)]))


def with_units(problem: PreparedProducts, value: Array, slopes: Array) -> tuple[Deviations, Deviations]:
    """Return deviations of the latent variables, and of latent and observed ones, with those of products of factors.

    Parameters
    ----------
    problem : ProductProblem
    value : (k + p,) array
        Of :func:`standard_deviations`.
    slopes : (k + p, q) array
        Their derivatives.
    """
    table, structure = problem.problem.table, problem.problem.structure
    names, q = [*structure.eta[: structure.nlatent], *table.observed], slopes.shape[1]

    def collect(members: range) -> Deviations:
        sd = {names[i]: float(value[i]) for i in members}
        slope = {names[i]: slopes[i] for i in members}
        out = Deviations(sd, slope)
        for row in product_rows(table):
            (a, da), (b, db) = (out.of(v, q) for v in factors_of(row))
            sd[row.rhs], slope[row.rhs] = a * b, a * db + b * da
        return out

    return collect(range(structure.nlatent)), collect(range(len(names)))


def _deviations(problem: PreparedProducts, theta: Array) -> tuple[Deviations, Deviations]:
    """Return :func:`with_units`, with derivatives by central differences: the moments have no short derivatives."""
    value = standard_deviations(problem, theta)
    slopes = np.zeros((len(value), len(theta)))
    for j in range(len(theta)):
        h = STEP * max(1.0, abs(theta[j]))
        up, down = theta.copy(), theta.copy()
        up[j] += h
        down[j] -= h
        slopes[:, j] = (standard_deviations(problem, up) - standard_deviations(problem, down)) / (2.0 * h)
    return with_units(problem, value, slopes)


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
    likelihoods = find_likelihoods(inner, problem.linear.table, solution, fit.linear, information, middle)
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
        measures=product_measures([inner], [implied], likelihoods, converged=solution.converged),
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
