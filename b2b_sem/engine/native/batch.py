"""Minimisation for a stack of samples at once: stacks of moments in, stacks of estimates out.

Quasi-Newton steps (L-BFGS; Nocedal 1980, doi:10.1090/S0025-5718-1980-0572855-7) whose first guess of the inverse
Hessian is the exact one at the solution of the full sample. Replicates differ from it by sampling error only, so that
guess is right to about 1/sqrt(N) and the secant pairs take care of the rest: the usual bootstrap replicate needs eight
to ten evaluations, and no replicate has a q x q matrix of its own. Replicates that are still far away after
``PATIENCE`` iterations get their own expected information. Finished replicates leave the stack at once. There is no
loop over replicates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from b2b_sem.engine.base import Array, IntArray
from b2b_sem.engine.native.constraint import LinearConstraints
from b2b_sem.engine.native.stack import Kernel, Stack

__all__ = ["TOLERANCE", "Curvature", "StackSolution", "chunk_size", "minimize_stack"]

#: Scaled gradient at which a replicate is done, if it is also within NEAR standard errors of the minimum, as the
#: predicted fall of the fit function says. One more step is then taken without a look at its value.
TOLERANCE = 1e-6
NEAR = 1e-3
#: Iterations before a replicate gets its own information, and how often that is renewed.
PATIENCE = 16
REFRESHES = 4
#: Secant pairs kept.
MEMORY = 8
#: Bytes the work arrays of a chunk may take. Measured for 36 items: 0.46 ms a refit with 1.5 MB, 0.38 with 6, 0.31 with
#: 12 and more: what a call costs is shared by more replicates.
WORK = 16_000_000


@dataclass(frozen=True)
class Curvature:
    """What the iterations know about the fit function before they begin.

    Attributes
    ----------
    inverse : (a, a) array
        Inverse Hessian of F at the full-sample solution, in the open directions.
    scale : (a,) array
        Roots of the diagonal of the expected information in these directions.
    nobs : int
        Rows of a sample: they decide what distance from the minimum counts as small.
    constraints : LinearConstraints or None
    """

    inverse: Array
    scale: Array
    nobs: int
    constraints: LinearConstraints | None

    def reduce(self, gradient: Array) -> Array:
        """Return gradients (R, q) in the open directions."""
        return gradient if self.constraints is None else gradient @ self.constraints.basis

    def expand(self, alpha: Array) -> Array:
        """Return full parameter vectors (R, q)."""
        return alpha if self.constraints is None else self.constraints.origin + alpha @ self.constraints.basis.T

    def start(self, theta: Array) -> Array:
        """Return the open directions' part of full parameter vectors."""
        return theta if self.constraints is None else (theta - self.constraints.origin) @ self.constraints.basis


@dataclass(frozen=True)
class StackSolution:
    """Solutions of a stack.

    Attributes
    ----------
    theta : (R, q) array
    fmin : (R,) array
    gradient : (R,) array
        Largest scaled gradient, with the information of the full sample or, where renewed, of the replicate.
    converged : (R,) bool array
    iterations : (R,) int array
        Evaluations of the fit function.
    """

    theta: Array
    fmin: Array
    gradient: Array
    converged: npt.NDArray[np.bool_]
    iterations: IntArray


def chunk_size(kernel: Kernel) -> int:
    """Return how many replicates to work on at a time."""
    p, m, q = kernel.structure.p, kernel.structure.m, kernel.structure.q
    each = p * p + 8 * p * m + 8 * m * m + 2 * (MEMORY + 3) * q
    if not kernel.factor:
        each += 6 * p * p
    return int(np.clip(WORK // (8 * each), 8, 256))


class _Work:
    """The replicates still at work, and their secant pairs; shrinks as replicates finish."""

    def __init__(self, index: IntArray, stack: Stack, x: Array, value: Array, slope: Array) -> None:
        self.index, self.stack = index, stack
        self.x, self.value, self.slope = x, value, slope
        self.steps: list[Array] = []
        self.changes: list[Array] = []
        self.rho: list[Array] = []
        self.own: Array | None = None  # (R, a, a) inverse Hessians of their own
        self.scale: Array | None = None
        self.fresh = np.zeros(len(index), dtype=bool)  # no progress even without secant pairs

    def keep(self, at: npt.NDArray[np.bool_]) -> None:
        self.index, self.stack = self.index[at], self.stack.take(at)
        self.x, self.value, self.slope, self.fresh = self.x[at], self.value[at], self.slope[at], self.fresh[at]
        self.steps = [s[at] for s in self.steps]
        self.changes = [c[at] for c in self.changes]
        self.rho = [r[at] for r in self.rho]
        self.own = None if self.own is None else self.own[at]
        self.scale = None if self.scale is None else self.scale[at]

    def forget(self, at: npt.NDArray[np.bool_] | None = None) -> None:
        if at is None:
            self.steps, self.changes, self.rho = [], [], []
        else:
            for rho in self.rho:
                rho[at] = 0.0

    def remember(self, step: Array, change: Array) -> None:
        product = np.einsum("ra,ra->r", step, change)
        size = np.sqrt(np.einsum("ra,ra->r", step, step) * np.einsum("ra,ra->r", change, change))
        with np.errstate(divide="ignore", invalid="ignore"):
            self.rho.append(np.where(product > 1e-12 * size, 1.0 / product, 0.0))
        self.steps.append(step)
        self.changes.append(change)
        if len(self.rho) > MEMORY:
            del self.rho[0], self.steps[0], self.changes[0]

    def direction(self, curvature: Curvature) -> Array:
        """Return -H g by the two-loop recursion."""
        q = self.slope.copy()
        weights = []
        for s, y, rho in zip(reversed(self.steps), reversed(self.changes), reversed(self.rho), strict=True):
            weight = rho * np.einsum("ra,ra->r", s, q)
            weights.append(weight)
            q -= weight[:, None] * y
        q = q @ curvature.inverse if self.own is None else (self.own @ q[:, :, None])[:, :, 0]
        for s, y, rho, weight in zip(self.steps, self.changes, self.rho, reversed(weights), strict=True):
            q += (weight - rho * np.einsum("ra,ra->r", y, q))[:, None] * s
        return -q


def minimize_stack(
    kernel: Kernel,
    stack: Stack,
    starts: Array,
    curvature: Curvature,
    *,
    tolerance: float = TOLERANCE,
    chunk: int | None = None,
    own: bool = False,
) -> StackSolution:
    """Minimise the fit function of every replicate.

    Parameters
    ----------
    kernel : Kernel
    stack : Stack
    starts : (q,) or (R, q) array
        Usually the solution of the full sample.
    curvature : Curvature
    tolerance : float
        Scaled gradient at which a replicate is done.
    chunk : int, optional
        Replicates worked on at a time; by default as many as fit the cache.
    own : bool
        Give every replicate its own expected information from the beginning, for starts far from the solutions.

    Returns
    -------
    StackSolution
        Replicates without a minimum carry ``converged=False`` and their best point.
    """
    total, q = len(stack), kernel.structure.q
    starts = np.broadcast_to(starts, (total, q))
    chunk = chunk_size(kernel) if chunk is None else chunk
    theta = np.array(starts, dtype=float)
    fmin, gradient = np.full(total, np.nan), np.full(total, np.inf)
    converged, iterations = np.zeros(total, dtype=bool), np.zeros(total, dtype=np.intp)
    for first in range(0, total, chunk):
        at = slice(first, min(first + chunk, total))
        solution = _minimize(kernel, stack.take(at), starts[at], curvature, tolerance, own)
        theta[at], fmin[at], gradient[at] = solution.theta, solution.fmin, solution.gradient
        converged[at], iterations[at] = solution.converged, solution.iterations
    return StackSolution(theta, fmin, gradient, converged, iterations)


def _minimize(
    kernel: Kernel, stack: Stack, starts: Array, curvature: Curvature, tolerance: float, own: bool
) -> StackSolution:
    count = len(stack)
    theta, fmin, gradient = np.array(starts, dtype=float), np.full(count, np.nan), np.full(count, np.inf)
    converged, iterations = np.zeros(count, dtype=bool), np.zeros(count, dtype=np.intp)
    x = curvature.start(starts).copy()
    value, slope = kernel.evaluate(stack, curvature.expand(x))
    work = _Work(np.arange(count), stack, x, value, curvature.reduce(slope))
    usable = np.isfinite(value) & np.isfinite(stack.logdet)
    if not usable.all():
        work.keep(usable)
    # N F / 2 is minus the log-likelihood: its predicted fall, N (-g'd) / 4, is half a squared distance in SEs
    near = 2.0 / curvature.nobs * (NEAR * min(tolerance / TOLERANCE, 1.0)) ** 2
    for number in range(1, PATIENCE * (REFRESHES + 1) + 1):
        if not len(work.index):
            break
        if (own or number > PATIENCE) and (number - 1) % PATIENCE == 0:
            _renew(kernel, work, curvature)
        scale = curvature.scale if work.scale is None else work.scale
        size = np.max(np.abs(work.slope) / (2.0 * scale), axis=1, initial=0.0)
        direction = work.direction(curvature)
        descent = np.einsum("ra,ra->r", work.slope, direction)
        iterations[work.index] = number
        gradient[work.index] = size
        done = (size <= tolerance) & (-descent <= near)
        if done.any():
            at = work.index[done]
            # the last step is free: its direction is known and its effect on F is one half of its slope
            theta[at] = curvature.expand(work.x[done] + direction[done])
            fmin[at] = work.value[done] + 0.5 * descent[done]
            converged[at] = True
            going = ~done
            work.keep(going)
            direction, descent, size = direction[going], descent[going], size[going]
            if not len(work.index):
                break
        uphill = ~(descent < 0)
        if uphill.any():
            work.forget(uphill)
            direction[uphill] = work.direction(curvature)[uphill]
            descent = np.einsum("ra,ra->r", work.slope, direction)
        x, value, slope, moved = _search(kernel, work, curvature, direction, descent, size)
        theta[work.index], fmin[work.index] = curvature.expand(x), value
        work.remember(x - work.x, slope - work.slope)
        work.x, work.value, work.slope = x, value, slope
        if not moved.all():
            work.forget(~moved)
            lost = ~moved & work.fresh
            work.fresh = ~moved
            # a replicate that cannot move at all waits for its own information, or is given up
            if lost.any() and number >= PATIENCE * REFRESHES:
                work.keep(~lost)
        else:
            work.fresh[:] = False
    return StackSolution(theta, fmin, gradient, converged, iterations)


def _search(
    kernel: Kernel, work: _Work, curvature: Curvature, direction: Array, descent: Array, size: Array
) -> tuple[Array, Array, Array, npt.NDArray[np.bool_]]:
    """Take full steps, and shorten those that do not let F fall enough; only those are evaluated again."""
    slack = np.where(size < 1e-3, 1e-12 * (1.0 + np.abs(work.value)), 0.0)
    x, value, slope = work.x.copy(), work.value.copy(), work.slope.copy()
    moved = np.zeros(len(x), dtype=bool)
    length = np.ones(len(x))
    left = np.arange(len(x))
    for _ in range(10):
        everyone = len(left) == len(x)
        trial = work.x[left] + length[left, None] * direction[left]
        found, steep = kernel.evaluate(work.stack if everyone else work.stack.take(left), curvature.expand(trial))
        good = found <= work.value[left] + 1e-4 * length[left] * descent[left] + slack[left]
        at = left[good]
        x[at], value[at], slope[at] = trial[good], found[good], curvature.reduce(steep[good])
        moved[at] = True
        # the minimum of the parabola through both values and the slope, within a fifth and a half of the step
        bad = left[~good]
        if not len(bad):
            break
        with np.errstate(all="ignore"):
            rise = found[~good] - work.value[bad] - length[bad] * descent[bad]
            share = -0.5 * length[bad] * descent[bad] / rise
        length[bad] *= np.clip(np.where(np.isfinite(share), share, 0.25), 0.1, 0.5)
        left = bad
    return x, value, slope, moved


def _renew(kernel: Kernel, work: _Work, curvature: Curvature) -> None:
    """Give the slow replicates the inverse of their own expected information, and forget the secant pairs."""
    work.forget()
    info = kernel.informations(curvature.expand(work.x), work.stack.exo)
    if curvature.constraints is not None:
        basis = curvature.constraints.basis
        info = basis.T @ info @ basis
    scale = np.sqrt(np.maximum(np.diagonal(info, axis1=1, axis2=2), 0.0))
    scale = np.where(scale > 0, scale, 1.0)  # also where the information is NaN
    scaled = info / (scale[:, :, None] * scale[:, None, :])
    usable = np.isfinite(scaled).all(axis=(1, 2))
    scaled[~usable] = np.eye(scaled.shape[1])
    values, vectors = np.linalg.eigh(scaled)
    inverse = (vectors / np.maximum(values, 1e-4)[:, None, :]) @ vectors.transpose(0, 2, 1)
    work.own = 0.5 * inverse / (scale[:, :, None] * scale[:, None, :])
    work.own[~usable] = curvature.inverse
    work.scale = np.where(usable[:, None], scale, curvature.scale)
