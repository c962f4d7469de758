"""Minimisation under nonlinear equations and inequalities.

Every iterate satisfies the constraints: a step is the solution of a quadratic program (Fisher scoring far from the
solution, Newton's method with the exact Hessian of the Lagrangian near it, all inequalities in the program), and is put
back onto the constraints by the shortest way before the fit function is asked. So the fit function alone judges a step,
and no weight between fit and feasibility is needed. Distances are measured in units of the expected curvature and do
not depend on the units of the variables. Linear equations are solved for beforehand.

Sequential quadratic programming: Nocedal & Wright (2006), chapter 18, doi:10.1007/978-0-387-40065-5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from b2b_sem.engine.base import Array, EngineFit
from b2b_sem.engine.native import optimize as op
from b2b_sem.engine.native.constraint import LinearConstraints
from b2b_sem.engine.native.implied import Structure
from b2b_sem.engine.native.loss import Moments, Point, evaluate, expected_information, gradient, hessian
from b2b_sem.engine.native.quadratic import Step, least_distance, quadratic_step
from b2b_sem.engine.native.restriction import Restrictions
from b2b_sem.errors import ModelError

__all__ = ["constraint_tangent", "minimize_restricted"]

#: Largest distance from a constraint, in units of the expected curvature of one observation.
FEASIBLE = 1e-10


@dataclass(frozen=True)
class _Space:
    """The problem in the coordinates that linear equations leave open."""

    structure: Structure
    moments: Moments
    restrictions: Restrictions

    @property
    def linear(self) -> LinearConstraints | None:
        return self.restrictions.linear

    @property
    def base(self) -> Array:
        return np.eye(self.structure.q) if self.linear is None else self.linear.basis

    def information(self, point: Point) -> Array:
        return op._reduce(expected_information(self.structure, point), self.linear)

    def evaluate(self, theta: Array, scale: Array) -> tuple[Array, Array] | None:
        """Return values and Jacobian of the constraints, each divided so that its gradient has length 1."""
        found = self.restrictions.evaluate(theta)
        if found is None:
            return None
        values, jacobian = found[0], (found[1] @ self.base) / scale
        norms = np.linalg.norm(jacobian, axis=1)
        norms = np.where(norms > 0, norms, 1.0)
        return values / norms, jacobian / norms[:, None]


def _violation(space: _Space, values: Array) -> float:
    m = space.restrictions.equations
    return max(float(np.abs(values[:m]).max(initial=0.0)), float(-values[m:].min(initial=0.0)))


def _restore(space: _Space, theta: Array, scale: Array) -> Array | None:
    """Return a parameter vector near `theta` that satisfies all constraints, or None if none is found."""
    if space.linear is not None:
        theta = space.linear.project(theta)
    m = space.restrictions.equations
    found = space.evaluate(theta, scale)
    if found is None:
        return None
    size = _violation(space, found[0])
    for count in range(60):
        if size <= FEASIBLE * 1e-3:
            return theta
        values, rows = found
        step = least_distance(rows[:m], -values[:m], rows[m:], -values[m:])
        if step is None:  # the linearised constraints contradict each other: go towards them as far as they agree
            bad = np.abs(values) * (np.arange(len(values)) < m) + np.maximum(-values, 0) * (np.arange(len(values)) >= m)
            wrong = bad > 0
            move = -np.linalg.pinv(rows[wrong], rcond=1e-6) @ values[wrong]
        else:
            move = step.value
        length = 1.0
        for _ in range(12):
            trial = theta + space.base @ (length * move / scale)
            there = space.evaluate(trial, scale)
            if there is not None and (now := _violation(space, there[0])) < (1.0 - 1e-4 * length) * size:
                break
            length *= 0.5
        else:
            break
        theta, found, size = trial, there, now
        if count > 30 and size > 1.0:
            break
    return theta if size <= FEASIBLE else None


@dataclass(frozen=True)
class _Quadratic:
    """A positive definite matrix for the quadratic program, as its factor."""

    factor: Array
    matrix: Array


def _positive(matrix: Array, least: float) -> _Quadratic:
    """Factor a matrix in correlation metric; curvature that is negative is turned round, and small one raised."""
    try:
        factor = np.linalg.cholesky(matrix)
        if np.diag(factor).min() ** 2 > least:
            return _Quadratic(factor, matrix)
    except np.linalg.LinAlgError:
        pass
    values, vectors = np.linalg.eigh(matrix)
    matrix = (vectors * np.maximum(np.abs(values), least)) @ vectors.T
    return _Quadratic(np.linalg.cholesky((matrix + matrix.T) / 2), matrix)


def _descend(space: _Space, theta: Array, max_iterations: int) -> op._Solution | None:
    """Minimise from one start; None if no feasible point with a fit function is near it."""
    first = evaluate(space.structure, space.moments, theta)
    if first is None:
        return None
    restored = _restore(space, theta, op._scale(space.information(first)))
    point = None if restored is None else evaluate(space.structure, space.moments, restored)
    if point is None:
        return None
    m = space.restrictions.equations
    damping, stalled, best, size, count = 0.0, 0, np.inf, np.inf, 0
    values: list[float] = []
    for count in range(max_iterations + 1):
        info = space.information(point)
        scale = op._scale(info)
        grad = op._reduce(gradient(space.structure, space.moments, point), space.linear) / scale
        found = space.evaluate(point.theta, scale)
        assert found is not None
        c, rows = found
        scaled_info = info / np.outer(scale, scale)

        def solve(quadratic: _Quadratic, grad: Array = grad, c: Array = c, rows: Array = rows) -> Step | None:
            return quadratic_step(quadratic.factor, grad, rows[:m], -c[:m], rows[m:], -c[m:])

        scoring = solve(_positive(2.0 * scaled_info + damping * np.eye(len(info)), 1e-8))
        if scoring is None:
            break
        size = float(np.abs(grad - rows.T @ scoring.multipliers).max(initial=0.0)) / 2.0
        stalled = stalled + 1 if size > 0.9 * best else 0
        best = min(best, size)
        values.append(point.value)
        patience = op.PATIENCE
        stuck = count >= patience and values[-patience] - point.value < 1e-9 * (1.0 + point.value)
        if size <= op.TARGET or count == max_iterations or stuck or (stalled >= 4 and best <= op.TOLERANCE):
            break
        moved: Point | None = None
        if size < op.NEAR:
            raw = _raw_multipliers(space, point.theta, scale, scoring.multipliers)
            curvature = hessian(space.structure, space.moments, point)
            curvature -= space.restrictions.curvature(point.theta, raw)
            reduced = op._reduce(curvature, space.linear) / np.outer(scale, scale)
            newton = solve(_convex(reduced, rows, scoring.multipliers, m))
            if newton is not None:
                moved = _search(space, point, newton, scale, grad, size)
        for _ in range(12):
            if moved is not None:
                break
            step = solve(_positive(2.0 * scaled_info + damping * np.eye(len(info)), 1e-8))
            if step is not None:
                moved = _search(space, point, step, scale, grad, size)
            if moved is not None:
                damping = damping / 10 if damping > 1e-8 else 0.0
            else:
                damping = max(10 * damping, 1e-4)
        if moved is None:
            break
        point = moved
    return op._Solution(point, size, count, size <= op.TOLERANCE)


def _raw_multipliers(space: _Space, theta: Array, scale: Array, multipliers: Array) -> Array:
    """Return the multipliers of the constraints as they are, from those of the constraints of length 1."""
    found = space.restrictions.evaluate(theta)
    assert found is not None
    norms = np.linalg.norm((found[1] @ space.base) / scale, axis=1)
    out: Array = multipliers / np.where(norms > 0, norms, 1.0)
    return out


def _convex(matrix: Array, rows: Array, multipliers: Array, m: int) -> _Quadratic:
    """Make the Hessian of the Lagrangian positive definite without changing it where the constraints let it act.

    Along equations and active inequalities it may have any sign at a minimum; there squares of the constraints are
    added (Nocedal & Wright 2006, section 18.4), which are zero for every step that keeps them.
    """
    active = rows[(np.arange(len(rows)) < m) | (multipliers > 0)]
    if len(active):
        try:
            factor = np.linalg.cholesky(matrix)
            if np.diag(factor).min() ** 2 > op.LEAST_CURVATURE:
                return _Quadratic(factor, matrix)
        except np.linalg.LinAlgError:
            pass
        weight = 2.0 + 2.0 * float(np.abs(matrix).sum(axis=1).max())
        matrix = matrix + weight * active.T @ active
    return _positive(matrix, op.LEAST_CURVATURE)


def _search(space: _Space, point: Point, step: Step, scale: Array, grad: Array, size: float) -> Point | None:
    """Halve the step until the fit function falls enough; every trial is put back onto the constraints."""
    slope = min(float(grad @ step.value), 0.0)
    slack = 1e-13 * (1.0 + abs(point.value)) if size < 1e-4 else 0.0
    length = 1.0
    for _ in range(10):
        theta = _restore(space, point.theta + space.base @ (length * step.value / scale), scale)
        trial = None if theta is None else evaluate(space.structure, space.moments, theta)
        if trial is not None and trial.value <= point.value + 1e-4 * length * slope + slack:
            return trial
        length *= 0.5
    return None


def constraint_tangent(
    structure: Structure, moments: Moments, restrictions: Restrictions, theta: Array
) -> LinearConstraints:
    """Return the directions that equations and active inequalities leave open at a solution."""
    point = evaluate(structure, moments, theta)
    scale = np.ones(len(theta)) if point is None else op._scale(expected_information(structure, point))
    return restrictions.tangent(theta, scale)


def minimize_restricted(
    structure: Structure,
    moments: Moments,
    starts: Iterable[Callable[[], Array]],
    restrictions: Restrictions,
    *,
    max_iterations: int = 150,
) -> EngineFit:
    """Minimise the fit function under constraints.

    Parameters
    ----------
    structure, moments : Structure, Moments
    starts : iterable of callables
        Starting values; they need not satisfy the constraints.
    restrictions : Restrictions
    max_iterations : int
        For each start.

    Returns
    -------
    EngineFit
        ``gradient`` is that of the Lagrangian. ``converged=False`` with the best point found if no start leads to a
        minimum.

    Raises
    ------
    ModelError
        If no parameter values are found that satisfy the constraints; names the first that cannot be added.
    ValueError
        If no start has a fit function.
    """
    space = _Space(structure, moments, restrictions)
    starts = list(starts)
    total = 0
    candidates: list[tuple[Array, str]] = []
    # the minimum without the constraints, if there is one, is close to the minimum with them
    free = op._score(structure, moments, _projected(starts[0](), restrictions.linear), restrictions.linear, 60)
    if free is not None:
        total += free.iterations
        if free.converged:
            candidates.append((free.point.theta, "the minimum without them"))
    candidates += [(make(), f"start {i + 1}") for i, make in enumerate(starts)]
    best: op._Solution | None = None
    message = ""
    good = 0
    # curved constraints can have several minima: look from two sides and take the better one
    wanted = 2 if restrictions.curved else 1
    for theta, name in candidates:
        solution = _descend(space, _projected(theta, restrictions.linear), max_iterations)
        if solution is None:
            continue
        total += solution.iterations
        if best is None or (solution.converged, -solution.point.value) > (best.converged, -best.point.value + 1e-12):
            best, message = solution, f"Newton's method under constraints from {name}"
        tangent = constraint_tangent(structure, moments, restrictions, solution.point.theta)
        good += solution.converged and op._regular(structure, solution.point, tangent)
        if good >= wanted:
            break
    if best is None:
        _explain(space, [theta for theta, _ in candidates])
        raise ValueError("no starting value gives a positive definite covariance matrix")
    if not best.converged:
        message = "no start led to a minimum"
    point = _snapped(space, best.point)
    return EngineFit(point.theta, point.value, best.gradient, best.converged, total, message, "native")


def _projected(theta: Array, linear: LinearConstraints | None) -> Array:
    return theta if linear is None else linear.project(theta)


def _snapped(space: _Space, point: Point) -> Point:
    """Put parameters that rounding keeps off their bound onto it."""
    scale = op._scale(expected_information(space.structure, point))
    theta = space.restrictions.snap(point.theta, FEASIBLE / scale)
    moved = evaluate(space.structure, space.moments, theta)
    return point if moved is None else moved


def _explain(space: _Space, starts: list[Array]) -> None:
    """Raise for the first constraint that cannot be satisfied together with those before it."""
    items = space.restrictions.items
    points = [(theta, evaluate(space.structure, space.moments, theta)) for theta in starts]
    scales = [np.ones(space.base.shape[1]) if p is None else op._scale(space.information(p)) for _, p in points]
    for count in range(1, len(items) + 1):
        part = replace(space, restrictions=space.restrictions.select(range(count)))
        if all(_restore(part, t, s) is None for (t, _), s in zip(points, scales, strict=True)):
            item = items[count - 1]
            raise ModelError(
                f"no parameter values were found that satisfy the constraint '{item.text}' and those before it",
                file=space.restrictions.file,
                line=item.line or None,
                column=item.column or None,
                hint="check the constraint, or give starting values near the solution with start()",
            )
