"""Minimisation by Fisher scoring, then Newton's method; as a last resort other starts and BFGS.

Scoring needs no good start but converges linearly, at a rate set by the misfit; Newton's method with the exact Hessian
takes over near the minimum. Neither depends on the units of the variables, so nothing is rescaled. Convergence is
judged by the gradient in units of its expected curvature (see :class:`~b2b_sem.engine.base.EngineFit`), never by the
step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack

from b2b_sem.engine.base import Array, EngineFit
from b2b_sem.engine.native.constraint import LinearConstraints
from b2b_sem.engine.native.grouped import Grouped
from b2b_sem.engine.native.implied import BETA, LAMBDA, Structure
from b2b_sem.engine.native.information import RANK_TOLERANCE, definite_inverse
from b2b_sem.engine.native.loss import Moments, Point, evaluate, gradient, hessian, objective, scoring_information

__all__ = ["TOLERANCE", "minimize", "scaled_gradient"]

#: The optimiser goes on to this scaled gradient as long as it makes progress ...
TARGET = 1e-11
#: ... and a solution counts as converged below this one: a move of 1e-8 standard errors times sqrt(N).
TOLERANCE = 1e-8
#: Scaled gradient below which Newton steps are tried.
NEAR = 0.3
#: Curvature, in correlation metric, that a Newton step assumes at least.
LEAST_CURVATURE = 1e-4
#: Iterations without a fall of the fit function after which a start is given up.
PATIENCE = 20


@dataclass(frozen=True)
class _Solution:
    point: Point
    gradient: float
    iterations: int
    converged: bool


def _reduce(matrix: Array, constraints: LinearConstraints | None) -> Array:
    if constraints is None:
        return matrix
    if matrix.ndim == 1:
        return constraints.basis.T @ matrix
    return constraints.basis.T @ matrix @ constraints.basis


def _expand(step: Array, constraints: LinearConstraints | None) -> Array:
    return step if constraints is None else constraints.basis @ step


def scaled_gradient(grad: Array, info: Array) -> float:
    """Return max |g_k| / (2 sqrt(I_kk)); parameters without information count as they are."""
    if not len(grad):
        return 0.0
    return float(np.max(np.abs(grad) / (2.0 * _scale(info))))


def _scale(info: Array) -> Array:
    """Return the square roots of the diagonal, 1 for parameters without any information.

    Parameters are never compared with each other: theirs are different units. A diagonal element is a sum of
    non-negative terms, so one without information is exactly 0.
    """
    scale = np.sqrt(np.maximum(np.diag(info), 0.0))
    scale[scale == 0.0] = 1.0
    return scale


def _scoring_step(info: Array, grad: Array, damping: float) -> Array:
    """Solve (I + damping diag I) step = -g/2 in correlation metric; singular directions are left alone."""
    scale = _scale(info)
    scaled = info / np.outer(scale, scale)
    scaled[np.diag_indices_from(scaled)] += damping
    right = -0.5 * grad / scale
    step = _cholesky_solve(scaled, right, 1e-6)
    if step is None:
        values, vectors = np.linalg.eigh(scaled)
        keep = values > 1e-10 * max(values.max(), 1e-300)
        step = vectors[:, keep] @ ((vectors[:, keep].T @ right) / values[keep])
    return step / scale


def _newton_step(curvature: Array, info: Array, grad: Array) -> Array:
    """Solve H step = -g in correlation metric; negative curvature is turned round, so that the step goes downhill."""
    scale = _scale(info)
    scaled = curvature / np.outer(scale, scale)
    step = _cholesky_solve(scaled, -grad / scale, 1e-5)
    if step is None:
        values, vectors = np.linalg.eigh(scaled)
        size = np.maximum(np.abs(values), LEAST_CURVATURE)
        step = -vectors @ ((vectors.T @ (grad / scale)) / size)
    return step / scale


def _cholesky_solve(matrix: Array, right: Array, least: float) -> Array | None:
    """Solve by Cholesky, or None where a pivot is not above `least`."""
    factor, info = lapack.dpotrf(matrix, lower=1)
    if info != 0 or np.diag(factor).min() <= least:
        return None
    solution, info = lapack.dpotrs(factor, right, lower=1)
    return solution if info == 0 else None


def _score(
    structure: Structure,
    moments: Moments,
    theta: Array,
    constraints: LinearConstraints | None,
    max_iterations: int,
) -> _Solution | None:
    """Minimise from one start; None if the start has no fit function."""
    point = evaluate(structure, moments, theta)
    if point is None:
        return None
    damping, stalled, size, count = 0.0, 0, np.inf, 0
    kept: Array | None = None
    best = np.inf
    # where the Hessian costs much one close to it is kept as long as its steps bring the gradient down quickly
    near = getattr(moments.weight, "near_hessian", None)
    values: list[float] = []
    for count in range(max_iterations + 1):
        grad = _reduce(gradient(structure, moments, point), constraints)
        info = _reduce(scoring_information(structure, point), constraints)
        before, size = size, scaled_gradient(grad, info)
        stalled = stalled + 1 if size > 0.9 * best else 0
        best = min(best, size)
        values.append(point.value)
        stuck = count >= PATIENCE and values[-PATIENCE] - point.value < 1e-9 * (1.0 + point.value)
        if size <= TARGET or count == max_iterations or stuck or (stalled >= 4 and best <= TOLERANCE):
            break
        moved: Point | None = None
        if size < NEAR:
            if near is not None and kept is None:
                kept = _reduce(near(structure, point), constraints)
            elif kept is None or size > 0.3 * before:
                kept = _reduce(hessian(structure, moments, point), constraints)
            newton = _newton_step(kept, info, grad)
            if near is None:
                kept = None
            moved = _line_search(structure, moments, point, _expand(newton, constraints), float(grad @ newton), size)
        for _ in range(12):
            if moved is not None:
                break
            step = _scoring_step(info, grad, damping)
            moved = _line_search(structure, moments, point, _expand(step, constraints), float(grad @ step), size)
            if moved is not None:
                damping = damping / 10 if damping > 1e-8 else 0.0
            else:
                damping = max(10 * damping, 1e-4)
        if moved is None:
            break
        point = moved
    return _Solution(point, size, count, size <= TOLERANCE)


def _line_search(
    structure: Structure, moments: Moments, point: Point, step: Array, slope: float, size: float
) -> Point | None:
    """Halve the step until the fit function falls enough; near the minimum rounding decides, so equal will do."""
    slack = 1e-13 * (1.0 + abs(point.value)) if size < 1e-4 else 0.0
    length = 1.0
    for _ in range(8):
        trial = evaluate(structure, moments, point.theta + length * step)
        if trial is not None and trial.value <= point.value + 1e-4 * length * slope + slack:
            return trial
        length *= 0.5
    return None


def _bfgs(structure: Structure, moments: Moments, theta: Array, constraints: LinearConstraints | None) -> Array | None:
    """Minimise by BFGS, for starts from which scoring makes no progress."""
    from scipy.optimize import minimize as scipy_minimize

    def value(alpha: Array) -> tuple[float, Array]:
        full = alpha if constraints is None else constraints.origin + constraints.basis @ alpha
        point = evaluate(structure, moments, full)
        if point is None:
            return 1e10, np.zeros(len(alpha))
        return point.value, _reduce(gradient(structure, moments, point), constraints)

    start = theta if constraints is None else constraints.basis.T @ (theta - constraints.origin)
    found = scipy_minimize(value, start, jac=True, method="BFGS", options={"maxiter": 300, "gtol": 1e-8})
    alpha = np.asarray(found.x)
    full = alpha if constraints is None else constraints.origin + constraints.basis @ alpha
    return full if np.isfinite(objective(structure, moments, full)) else None


def minimize(
    structure: Structure,
    moments: Moments,
    starts: Iterable[Callable[[], Array]],
    *,
    constraints: LinearConstraints | None = None,
    max_iterations: int = 150,
    rescue: int | None = None,
) -> EngineFit:
    """Minimise the fit function.

    Parameters
    ----------
    structure, moments : Structure, Moments
    starts : iterable of callables
        Starting values, tried in order until one converges to a regular solution with stable loops, in which no latent
        variable has changed its direction since the first start that can be used; else the best.
    constraints : LinearConstraints, optional
    max_iterations : int
        For each start.
    rescue : int, optional
        From how many of the starts BFGS is tried where none leads to a minimum; all by default.

    Returns
    -------
    EngineFit
        With ``converged=False`` and the best point found if no start leads to a minimum.

    Raises
    ------
    ValueError
        If no start has a fit function.
    """
    best: _Solution | None = None
    best_message = ""
    total = 0
    lowest: tuple[_Solution, str] | None = None
    tried: list[Array] = []
    first: Array | None = None
    for number, make in enumerate(starts):
        theta = make()
        if constraints is not None:
            theta = constraints.project(theta)
        tried.append(theta)
        solution = _score(structure, moments, theta, constraints, max_iterations)
        message = f"Fisher scoring and Newton's method from start {number + 1}"
        if solution is None:
            continue
        first = theta if first is None else first
        total += solution.iterations
        regular = solution.converged and _regular(structure, solution.point, constraints)
        stable = (
            regular
            and _stable(structure, moments, solution.point.theta)
            and not _turned(structure, moments, solution.point.theta, first)
        )
        if regular and (lowest is None or solution.point.value < lowest[0].point.value):
            lowest = (solution, message)
        if stable and lowest is not None:
            solution, message = lowest
            return EngineFit(
                solution.point.theta, solution.point.value, solution.gradient, True, total, message, "native"
            )
        # A solution where the model is not identified may be one end of a ridge, and one whose loops do not die out the
        # worse of two minima (n and 1 / n fit alike without covariates). So may one in which the loadings of a latent
        # variable changed sign in a long step: equal or fixed parameters may hold it there. Look from elsewhere, take
        # the best.
        if best is None or (solution.converged, -solution.point.value) > (best.converged, -best.point.value):
            best, best_message = solution, message
    for number, theta in enumerate(tried[:rescue] if best is None or not best.converged else []):
        found = _bfgs(structure, moments, theta, constraints)
        solution = None if found is None else _score(structure, moments, found, constraints, max_iterations)
        if solution is None:
            continue
        total += solution.iterations
        if best is None or (solution.converged, -solution.point.value) > (best.converged, -best.point.value):
            best, best_message = solution, f"BFGS, then Newton's method, from start {number + 1}"
        if best.converged:
            break
    if best is None:
        raise ValueError("no starting value gives a positive definite covariance matrix")
    message = best_message if best.converged else "no start led to a minimum"
    return EngineFit(best.point.theta, best.point.value, best.gradient, best.converged, total, message, "native")


def _regular(structure: Structure, point: Point, constraints: LinearConstraints | None) -> bool:
    """Whether the information has full rank at a solution."""
    info = _reduce(scoring_information(structure, point), constraints)
    if not len(info):
        return True
    scale = _scale(info)
    matrix = info / np.outer(scale, scale)
    return definite_inverse(matrix) is not None or bool(np.linalg.eigvalsh(matrix)[0] > RANK_TOLERANCE)


def _turned(structure: Structure, moments: Moments, theta: Array, start: Array) -> bool:
    """Whether the free loadings of some latent variable, in standard deviations of the items, point the other way."""
    if isinstance(moments.weight, Grouped):
        return any(_turned(p.structure, p.moments, theta[p.index], start[p.index]) for p in moments.weight.parts)
    at = np.flatnonzero((structure.matrix == LAMBDA) & (structure.col < structure.nlatent))
    number, row = structure.free[at], structure.row[at]
    agreement = theta[number] * start[number] / np.diag(moments.cov)[row]
    return bool((np.bincount(structure.col[at], weights=agreement, minlength=1) < 0).any())


def _stable(structure: Structure, moments: Moments, theta: Array) -> bool:
    """Whether effects around loops die out, in every group: no eigenvalue of B is 1 or more in absolute value."""
    if isinstance(moments.weight, Grouped):
        return all(_stable(part.structure, part.moments, theta[part.index]) for part in moments.weight.parts)
    if not structure.paths:
        return True
    coefficients = structure.templates[BETA].copy()
    entries, i, j = structure.where[BETA]
    coefficients[i, j] = theta[structure.free[entries]]
    return bool(np.abs(np.linalg.eigvals(coefficients)).max() < 1)
