"""Minimisation by Fisher scoring with a line search, damping and, as a last resort, other starts and BFGS.

Plain scoring converges linearly, at a rate set by the misfit. The last steps are therefore remembered as secant pairs
and correct the scoring step by the two-loop recursion of L-BFGS (Nocedal 1980, doi:10.1090/S0025-5718-1980-0572855-7)
with the inverse information as its initial matrix.

Fisher scoring does not depend on the units of the variables, so nothing is rescaled. Convergence is judged by the
gradient in units of its expected curvature (see :class:`~b2b_sem.engine.base.EngineFit`), never by the step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from b2b_sem.engine.base import Array, EngineFit
from b2b_sem.engine.native.constraint import LinearConstraints
from b2b_sem.engine.native.implied import Structure
from b2b_sem.engine.native.loss import Moments, Point, evaluate, expected_information, gradient, objective

__all__ = ["TOLERANCE", "minimize", "scaled_gradient"]

#: The optimiser goes on to this scaled gradient as long as it makes progress ...
TARGET = 1e-11
#: ... and a solution counts as converged below this one: a move of 1e-8 standard errors times sqrt(N).
TOLERANCE = 1e-8
#: Secant pairs remembered, and the scaled gradient below which they are used: far from the minimum they mislead.
MEMORY = 8
NEAR = 0.1


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
    scale = np.sqrt(np.maximum(np.diag(info), 0.0))
    scale[scale < 1e-10 * max(scale.max(), 1e-300)] = 1.0
    return float(np.max(np.abs(grad) / (2.0 * scale)))


def _solve(info: Array, grad: Array, damping: float) -> Array:
    """Solve (I + damping diag I) step = -g/2, in correlation metric; singular directions are left alone."""
    scale = np.sqrt(np.maximum(np.diag(info), 0.0))
    scale[scale < 1e-10 * max(scale.max(), 1e-300)] = 1.0
    scaled = info / np.outer(scale, scale)
    scaled[np.diag_indices_from(scaled)] += damping
    right = -0.5 * grad / scale
    try:
        factor = np.linalg.cholesky(scaled)
        if factor.diagonal().min() > 1e-6:
            return np.linalg.solve(factor.T, np.linalg.solve(factor, right)) / scale
    except np.linalg.LinAlgError:
        pass
    values, vectors = np.linalg.eigh(scaled)
    keep = values > 1e-10 * max(values.max(), 1e-300)
    return (vectors[:, keep] @ ((vectors[:, keep].T @ right) / values[keep])) / scale


def _score(
    structure: Structure,
    moments: Moments,
    theta: Array,
    constraints: LinearConstraints | None,
    max_iterations: int,
) -> _Solution | None:
    """Fisher scoring from one start; None if the start has no fit function."""
    point = evaluate(structure, moments, theta)
    if point is None:
        return None
    damping, stalled, size, count = 0.0, 0, np.inf, 0
    best = np.inf
    pairs: list[tuple[Array, Array]] = []
    last: tuple[Array, Array] | None = None  # step taken, gradient before it
    for count in range(max_iterations + 1):
        grad = _reduce(gradient(structure, moments, point), constraints)
        info = _reduce(expected_information(structure, point), constraints)
        size = scaled_gradient(grad, info)
        if last is not None:
            pairs = _remember(pairs, last[0], grad - last[1], info) if size < NEAR else []
        stalled = stalled + 1 if size > 0.9 * best else 0
        best = min(best, size)
        if size <= TARGET or count == max_iterations or (stalled >= 8 and best <= TOLERANCE):
            break
        moved = None
        for _ in range(12):
            step = _step(info, grad, damping, pairs)
            moved = _line_search(structure, moments, point, _expand(step, constraints), float(grad @ step), size)
            if moved is None and pairs:
                pairs = []  # the memory misleads: plain scoring
                continue
            if moved is not None:
                damping = damping / 10 if damping > 1e-8 else 0.0
                break
            damping = max(10 * damping, 1e-4)
        if moved is None:
            break
        last = (_reduce(moved.theta - point.theta, constraints), grad)
        point = moved
    return _Solution(point, size, count, size <= TOLERANCE)


def _remember(pairs: list[tuple[Array, Array]], step: Array, change: Array, info: Array) -> list[tuple[Array, Array]]:
    """Add a secant pair if its curvature is positive and near that of the information."""
    curvature, expected = float(step @ change), 2.0 * float(step @ info @ step)
    if expected > 0 and 0.05 < curvature / expected < 20.0:
        return [*pairs[1 - MEMORY :], (step, change)]
    return []


def _step(info: Array, grad: Array, damping: float, pairs: list[tuple[Array, Array]]) -> Array:
    """Return the scoring step, corrected by the secant pairs."""
    vector = grad
    weights = []
    for s, y in reversed(pairs):
        a = float(s @ vector) / float(s @ y)
        vector = vector - a * y
        weights.append(a)
    step = -_solve(info, vector, damping)
    for (s, y), a in zip(pairs, reversed(weights), strict=True):
        step = step + (a - float(y @ step) / float(s @ y)) * s
    return -step


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
    found = scipy_minimize(value, start, jac=True, method="BFGS", options={"maxiter": 2000, "gtol": 1e-8})
    alpha = np.asarray(found.x)
    full = alpha if constraints is None else constraints.origin + constraints.basis @ alpha
    return full if np.isfinite(objective(structure, moments, full)) else None


def minimize(
    structure: Structure,
    moments: Moments,
    starts: Iterable[Callable[[], Array]],
    *,
    constraints: LinearConstraints | None = None,
    max_iterations: int = 500,
) -> EngineFit:
    """Minimise the fit function.

    Parameters
    ----------
    structure, moments : Structure, Moments
    starts : iterable of callables
        Starting values, tried in order until one converges.
    constraints : LinearConstraints, optional
    max_iterations : int
        For each start.

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
    total = 0
    for number, make in enumerate(starts):
        theta = make()
        if constraints is not None:
            theta = constraints.project(theta)
        solution = _score(structure, moments, theta, constraints, max_iterations)
        message = f"Fisher scoring from start {number + 1}"
        if solution is not None and not solution.converged:
            total += solution.iterations
            again = _bfgs(structure, moments, theta, constraints)
            if again is not None:
                second = _score(structure, moments, again, constraints, max_iterations)
                if second is not None and (second.converged or second.point.value < solution.point.value):
                    solution, message = second, f"BFGS, then Fisher scoring, from start {number + 1}"
        if solution is None:
            continue
        total += solution.iterations
        if solution.converged:
            return EngineFit(
                solution.point.theta, solution.point.value, solution.gradient, True, total, message, "native"
            )
        if best is None or solution.point.value < best.point.value:
            best = solution
    if best is None:
        raise ValueError("no starting value gives a positive definite covariance matrix")
    return EngineFit(
        best.point.theta, best.point.value, best.gradient, False, total, "no start led to a minimum", "native"
    )
