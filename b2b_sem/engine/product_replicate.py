"""Repeated fits of models with latent products: resampled rows, the same model, from the estimates of all rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from b2b_sem.data.incomplete import group_patterns
from b2b_sem.engine.base import Array, FitOptions, IntArray
from b2b_sem.engine.group import GroupProblem, join_rows, with_parts
from b2b_sem.engine.inference import check_admissible
from b2b_sem.engine.native.grouped import GroupPoint
from b2b_sem.engine.native.implied import compile_structure
from b2b_sem.engine.native.information import invert_information
from b2b_sem.engine.native.loss import evaluate, expected_information, gradient
from b2b_sem.engine.native.mixture import Grid, Mixture, make_mixture
from b2b_sem.engine.problem import Problem, fixed_moments
from b2b_sem.engine.product import scaled_rows, standard_deviations, with_units
from b2b_sem.engine.product_problem import ProductProblem
from b2b_sem.engine.product_search import prior_points, roomy_points, search
from b2b_sem.engine.resample import stream
from b2b_sem.engine.standardize import RowValues, row_values, scale_rows, with_definitions
from b2b_sem.engine.threads import single_thread
from b2b_sem.errors import ModelError
from b2b_sem.spec.product import product_rows

__all__ = ["Influence", "ProductTask", "influence", "product_parts", "product_task"]

#: Change of the log-likelihood of a replicate with twice as many points above which its points are set anew.
ROUGHLY = 1e-3
#: Steps of a replicate's search, and its slope, in standard errors of the estimates, at the end.
STEPS, FLAT = 80, 1e-6
#: Replicates in a block: each has a random stream of its own.
SIZE = 8


def product_parts(problem: Problem) -> tuple[list[ProductProblem], list[IntArray]]:
    """Return each group of a problem with latent products, and the joint places of its parameters."""
    several = isinstance(problem, GroupProblem)
    parts = problem.parts if isinstance(problem, GroupProblem) else (problem,)
    places = problem.places if isinstance(problem, GroupProblem) else (np.arange(problem.table.nfree),)
    out = []
    for part in parts:
        mixture = part.moments.weight
        assert isinstance(mixture, Mixture)
        table = part.table if several else replace(part.table, constraints=())
        products = product_rows(table)
        without = replace(table, rows=tuple(r for r in table.rows if r not in products), total=table.nfree)
        structure = compile_structure(without, part.fixed)
        linear = Problem(
            without, structure, replace(part.moments, weight=None), part.fixed, part.nobs, FitOptions(), None
        )
        out.append(ProductProblem(replace(part, table=table), linear, tuple(structure.eta[g] for g in mixture.given)))
    return out, list(places)


@dataclass(frozen=True, eq=False)
class ProductTask:
    """What a worker needs to fit one block of replicates.

    Attributes
    ----------
    problem : Problem
        Of one group or several.
    parts : tuple of ProductProblem
        One for each group, with points that serve resampled rows, too.
    places : tuple of int arrays
    checks : tuple of Grid
        Twice as many points.
    theta : (q,) array
        Where replicates start.
    root : (q, k) array
        R with R R' the covariance matrix of the estimates of all rows, by their information.
    data : tuple of (n_g, p) arrays
        NaN where there is no answer.
    seed, size : int
    """

    problem: Problem
    parts: tuple[ProductProblem, ...]
    places: tuple[IntArray, ...]
    checks: tuple[Grid, ...]
    theta: Array
    root: Array
    data: tuple[Array, ...]
    seed: int
    size: int

    def draw(self, block: int) -> dict[str, Array]:
        """Fit a block of bootstrap samples: each group is drawn by itself, and keeps its number of rows."""
        with single_thread():
            rng = stream(self.seed, block)
            found = [
                self.refit([part[rng.integers(0, len(part), size=len(part))] for part in self.data])
                for _ in range(self.size)
            ]
        return {name: np.array([one[name] for one in found]) for name in found[0]}

    def refit(self, rows: Sequence[Array]) -> dict[str, object]:
        """Fit the model to other rows of each group."""
        count = len(self.problem.table.rows) + len(self.problem.table.definitions)
        out: dict[str, object] = {
            "theta": np.full(len(self.theta), np.nan),
            "values": np.full(count, np.nan),
            "std_values": np.full(count, np.nan),
            "converged": False,
            "admissible": False,
            "retried": False,
        }
        try:
            parts = [_with_rows(part, own) for part, own in zip(self.parts, rows, strict=True)]
            theta = self._warm(parts)
            if theta is None:
                out["retried"] = True
                found = search(parts, self.places, self._join, self.theta)
                parts, theta = list(found.parts), found.solution.theta if found.solution.converged else None
        except (ModelError, np.linalg.LinAlgError):
            return out
        if theta is not None:
            values, std, admissible = self._rows(parts, theta)
            out |= {"theta": theta, "values": values, "std_values": std, "converged": True, "admissible": admissible}
        return out

    def _join(self, parts: Sequence[ProductProblem]) -> Problem:
        if isinstance(self.problem, GroupProblem):
            return with_parts(self.problem, [p.problem for p in parts])
        return parts[0].problem

    def _warm(self, parts: Sequence[ProductProblem]) -> Array | None:
        """Return the solution from the estimates of all rows with their points; None if that is not good enough."""
        joint = self._join(parts)
        theta = _descend(joint, self.theta, self.root)
        point = None if theta is None else evaluate(joint.structure, joint.moments, theta)
        if theta is None or point is None:
            return None
        finer = [
            part.mixture.log_likelihood(theta[at], grid)
            for part, at, grid in zip(parts, self.places, self.checks, strict=True)
        ]
        return theta if abs(sum(finer) + 0.5 * point.value * joint.nobs) <= ROUGHLY else None

    def _rows(self, parts: Sequence[ProductProblem], theta: Array) -> tuple[Array, Array, bool]:
        """Return raw and standardized values of all rows and definitions, and whether the solution is admissible."""
        raws, stds, fine = [], [], True
        for part, place in zip(parts, self.places, strict=True):
            table, own = part.problem.table, theta[place]
            part = part.with_likelihood(prior=prior_points(part, own))
            raw = RowValues(row_values(table, own, part.problem.fixed).value, np.empty((len(table.rows), 0)))
            sds = standard_deviations(part, own)
            std = scale_rows(table, raw, *with_units(part, sds, np.empty((len(sds), 0))))[1]
            structure = replace(part.problem.structure, observed=table.observed)
            fine = fine and check_admissible(table, structure, part.mixture.whole_moments(own), raw)[0]
            raws.append(raw.value)
            stds.append(std.value)
        table, empty = self.problem.table, np.empty((len(self.problem.table.rows), 0))
        values, std_values = (
            with_definitions(table, np.concatenate(each), empty, undefined_as_nan=True).value for each in (raws, stds)
        )
        return values, std_values, fine


def product_task(problem: Problem, theta: Array, data: tuple[Array, ...], seed: int) -> ProductTask:
    """Prepare a problem with latent products for repeated fits from a solution.

    Raises
    ------
    ModelError
        If the information is not positive definite there.
    """
    vcov = _inverse(problem, theta)
    basis = np.eye(len(theta)) if problem.constraints is None else problem.constraints.basis
    inner = basis.T @ vcov @ basis
    if not np.isfinite(inner).all() or np.linalg.eigvalsh(inner)[0] <= 0.0:
        raise ModelError("the information is not positive definite: repeated fits have no unique solution")
    parts, places = product_parts(problem)
    pairs = [roomy_points(part, theta[place]) for part, place in zip(parts, places, strict=True)]
    return ProductTask(
        problem,
        tuple(part for part, _ in pairs),
        tuple(places),
        tuple(grid for _, grid in pairs),
        np.array(theta),
        basis @ np.linalg.cholesky(inner),
        data,
        seed,
        SIZE,
    )


def _inverse(problem: Problem, theta: Array) -> Array:
    """Return the inverse of the observed information of all rows, within the constraints."""
    point = evaluate(problem.structure, problem.moments, theta)
    assert point is not None
    information = expected_information(problem.structure, point)
    return invert_information(information, problem.nobs, problem.constraints).vcov


def _descend(problem: Problem, start: Array, root: Array) -> Array | None:
    """Return the maximum close to a start by BFGS, in the metric of the estimates of all rows; None if none is found.

    With theta = start + R u the Hessian of -log L is near the identity, and the slope is in standard errors (Nocedal &
    Wright 2006, doi:10.1007/978-0-387-40065-5, chapter 6).
    """
    scale = 0.5 * problem.nobs

    def look(at: Array) -> tuple[float, Array] | None:
        point = evaluate(problem.structure, problem.moments, start + root @ at)
        if point is None:
            return None
        return scale * point.value, scale * (root.T @ gradient(problem.structure, problem.moments, point))

    u: Array = np.zeros(root.shape[1])
    now = look(u)
    if now is None:
        return None
    value, slope = now
    inverse: Array = np.eye(len(u))
    for _ in range(STEPS):
        if np.abs(slope).max(initial=0.0) < FLAT:
            return start + root @ u
        step: Array = -inverse @ slope
        fall = float(slope @ step)
        if fall >= 0.0:  # rounding: begin again with the first metric
            inverse[:] = np.eye(len(u))
            step, fall = -slope, -float(slope @ slope)
        for halving in range(20):
            new = look(u + 0.5**halving * step)
            if new is not None and new[0] <= value + 1e-4 * 0.5**halving * fall + 1e-12 * abs(value):
                break
        else:
            return None
        step = 0.5**halving * step
        assert new is not None
        change = new[1] - slope
        curved = float(step @ change)
        if curved > 1e-10 * float(np.linalg.norm(step) * np.linalg.norm(change)):
            left = np.eye(len(u)) - np.outer(step, change) / curved
            inverse[:] = left @ inverse @ left.T + np.outer(step, step) / curved
        u, (value, slope) = u + step, new
    return None


def _with_rows(part: ProductProblem, rows: Array) -> ProductProblem:
    """Return a problem fitted to other rows; exogenous variables taken as fixed have the moments of these."""
    table, mixture = part.problem.table, part.mixture
    if np.isnan(rows).any():
        mean, cov = np.nanmean(rows, axis=0), np.diag(np.nanvar(rows, axis=0))
        x = [table.observed.index(v) for v in table.exogenous] if table.fixed_x else []
        cov[np.ix_(x, x)] = np.cov(rows[:, x].T, bias=True) if x else 0.0
    else:
        mean, cov = rows.mean(axis=0), np.cov(rows.T, bias=True)
    fixed = fixed_moments(table, cov, mean)
    moments = replace(part.linear.moments, cov=cov, mean=mean)
    structure = compile_structure(part.linear.table, fixed)
    new = make_mixture(structure, mixture.products, mixture.given, group_patterns(rows), mixture.grid)
    new = replace(new, prior=mixture.prior)
    problem = replace(
        part.problem, structure=new.structure, moments=replace(moments, weight=new), fixed=fixed, nobs=len(rows)
    )
    return replace(
        part, problem=problem, linear=replace(part.linear, structure=structure, moments=moments, fixed=fixed)
    )


@dataclass(frozen=True)
class Influence:
    """Estimates without one row each, by one Newton step.

    Attributes
    ----------
    theta : (N, q) array
    values, std_values : (N, rows) arrays
    """

    theta: Array
    values: Array
    std_values: Array


def influence(problem: Problem, theta: Array) -> Influence:
    """Return what leaving out each row would change, to first order: theta - H^-1 s_i.

    H is the observed information of all rows and s_i the score of row i; the acceleration of BCa intervals depends on
    such empirical influences only (Efron 1987, doi:10.1080/01621459.1987.10478410).

    Parameters
    ----------
    problem : Problem
        Of one group or several; rows are counted through all groups.
    theta : (q,) array
        The solution.
    """
    point = evaluate(problem.structure, problem.moments, theta)
    assert point is not None
    points = point.points if isinstance(point, GroupPoint) else (point,)
    parts, places = product_parts(problem)
    scores = []
    for part, own, place in zip(parts, points, places, strict=True):
        rows = np.zeros((part.problem.nobs, len(theta)))
        rows[:, place] = part.mixture.scores(own)
        scores.append(rows)
    step = -np.concatenate(scores) @ _inverse(problem, theta)
    raw = problem.values(theta)
    found = []
    for part, place in zip(parts, places, strict=True):
        own_raw = row_values(part.problem.table, theta[place], part.problem.fixed)
        found.append((own_raw, *scaled_rows(part, theta[place], own_raw)))
    if isinstance(problem, GroupProblem):
        std = join_rows(problem, found)[2]
    else:
        own_std = found[0][2]
        std = with_definitions(problem.table, own_std.value, own_std.jacobian, undefined_as_nan=True)
    return Influence(theta + step, raw.value + step @ raw.jacobian.T, std.value + step @ std.jacobian.T)
