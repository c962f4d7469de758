"""Repeated fits of one problem: other moments, the same model.

:class:`Replicator` holds what does not change: the compiled kernel, the full-sample solution all replicates start
from, and its curvature. Replicates without a minimum from there are fitted again one by one, with the starts and
the last resorts of the single-fit engine, before they count as failed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from b2b_sem.engine.base import Array, IntArray, moments_divisor
from b2b_sem.engine.native.batch import TOLERANCE, Curvature, chunk_size, minimize_stack
from b2b_sem.engine.native.implied import compile_structure
from b2b_sem.engine.native.information import RANK_TOLERANCE
from b2b_sem.engine.native.loss import Moments, evaluate, expected_information, hessian
from b2b_sem.engine.native.optimize import minimize
from b2b_sem.engine.native.stack import (
    Kernel,
    Stack,
    compile_kernel,
    expected_informations,
    make_stack,
    parts,
    proper_inverse,
)
from b2b_sem.engine.native.start import plain_start
from b2b_sem.engine.problem import Problem, starting_values
from b2b_sem.errors import ModelError, Unsupported

__all__ = [
    "Replicates",
    "Replicator",
    "admissible_stack",
    "curvature_at",
    "refuse_repeats",
    "replicator",
    "standard_errors",
]


@dataclass(frozen=True)
class Replicates:
    """Fits of R samples.

    Attributes
    ----------
    theta : (R, q) array
        NaN where no minimum was found.
    fmin : (R,) array
    exo : (R, x) array
        Moments that the data fix, in the order of the table's rows with ``exo``.
    converged, admissible, retried : (R,) bool arrays
        Whether a minimum was found; whether all variances there are non-negative and all covariance matrices proper;
        whether it took the single-fit engine.
    iterations : (R,) int array
    """

    theta: Array
    fmin: Array
    exo: Array
    converged: npt.NDArray[np.bool_]
    admissible: npt.NDArray[np.bool_]
    retried: npt.NDArray[np.bool_]
    iterations: IntArray


@dataclass(frozen=True)
class Replicator:
    """A problem prepared for repeated fits.

    Attributes
    ----------
    problem : Problem
    kernel : Kernel
    theta : (q,) array
        Where replicates start.
    cold : (q,) array
        Where those start again that found no minimum: cautious values that owe nothing to the solution.
    curvature : Curvature
    """

    problem: Problem
    kernel: Kernel
    theta: Array
    cold: Array
    curvature: Curvature

    def fit(
        self,
        cov: Array,
        mean: Array | None = None,
        *,
        starts: Array | None = None,
        tolerance: float = TOLERANCE,
        chunk: int | None = None,
        retry: bool = True,
        alone: bool = True,
    ) -> Replicates:
        """Fit a stack of samples.

        Parameters
        ----------
        cov : (R, p, p) array
            With the divisor of the likelihood.
        mean : (R, p) array, optional
            Needed under a mean structure.
        starts : (R, q) array, optional
            Instead of the full-sample solution.
        tolerance : float
            Scaled gradient at which a replicate is done.
        chunk : int, optional
            Replicates worked on at a time; bounds the memory.
        retry : bool
            Fit replicates without a minimum again, from cautious values.
        alone : bool
            With `retry`: fit those that still have none one by one, which takes as long as hundreds of others.
        """

        def make(at: slice) -> Stack:
            return make_stack(self.kernel, cov[at], None if mean is None else mean[at])

        return self.fit_stacks(
            len(cov), make, starts=starts, tolerance=tolerance, chunk=chunk, retry=retry, alone=alone
        )

    def fit_stacks(
        self,
        count: int,
        make: Callable[[slice], Stack],
        *,
        starts: Array | None = None,
        tolerance: float = TOLERANCE,
        chunk: int | None = None,
        retry: bool = True,
        alone: bool = True,
    ) -> Replicates:
        """Fit `count` samples whose moments `make` prepares, some at a time; the rest is as for :meth:`fit`."""
        chunk = chunk_size(self.kernel) if chunk is None else chunk
        theta = np.empty((count, self.kernel.structure.q))
        fmin, exo = np.empty(count), np.empty((count, len(self.kernel.exo)))
        converged, admissible = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
        retried, iterations = np.zeros(count, dtype=bool), np.zeros(count, dtype=np.intp)
        for first in range(0, count, chunk):
            at = slice(first, min(first + chunk, count))
            stack = make(at)
            start = self.theta if starts is None else starts[at]
            found = minimize_stack(self.kernel, stack, start, self.curvature, tolerance=tolerance, chunk=chunk)
            theta[at], fmin[at], exo[at] = found.theta, found.fmin, stack.exo
            converged[at], iterations[at] = found.converged, found.iterations
            left = np.flatnonzero(~found.converged & np.isfinite(stack.logdet))
            if retry and len(left):
                cold = minimize_stack(
                    self.kernel, stack.take(left), self.cold, self.curvature, tolerance=tolerance, chunk=chunk, own=True
                )
                ended = left[cold.converged]
                theta[first + ended], fmin[first + ended] = cold.theta[cold.converged], cold.fmin[cold.converged]
                converged[first + ended] = True
                iterations[first + left] += cold.iterations
                left = left[~cold.converged]
            for r in left if retry and alone else ():
                retried[first + r] = True
                again = self._alone(stack, int(r))
                if again is not None:
                    theta[first + r], fmin[first + r] = again
                    converged[first + r] = True
            admissible[at] = self._admissible(theta[at], exo[at])
        theta[~converged], fmin[~converged] = np.nan, np.nan
        return Replicates(theta, fmin, exo, converged, admissible & converged, retried, iterations)

    def _admissible(self, theta: Array, exo: Array) -> npt.NDArray[np.bool_]:
        return admissible_stack(self.kernel, theta, exo)

    def _alone(self, stack: Stack, r: int) -> tuple[Array, float] | None:
        """Fit one replicate by the single-fit engine; None if it finds no minimum either."""
        problem = self.problem
        names = [row.name for row in problem.table.rows if row.exo]
        fixed = {n: float(v) for n, v in zip(names, stack.exo[r], strict=True)}
        moments = Moments(
            np.array(stack.cov[r]), None if stack.mean is None else np.array(stack.mean[r]), float(stack.logdet[r])
        )
        structure = compile_structure(problem.table, fixed) if fixed else problem.structure
        own = replace(problem, structure=structure, moments=moments, fixed=fixed)
        try:
            solution = minimize(
                structure,
                moments,
                starting_values(own),
                constraints=problem.constraints,
                max_iterations=min(problem.options.max_iterations, 75),
            )
        except ValueError:
            return None
        return (solution.theta, solution.fmin) if solution.converged else None


def replicator(problem: Problem, theta: Array) -> Replicator:
    """Prepare a problem for repeated fits from a solution.

    Parameters
    ----------
    problem : Problem
    theta : (q,) array
        Usually the solution of the full sample.

    Raises
    ------
    Unsupported
        For an estimator or constraints the batched engine has not been tested with.
    ModelError
        If the model is not identified at `theta`.
    """
    refuse_repeats(problem)
    curvature = curvature_at(problem, theta)
    kernel = compile_kernel(problem.table, problem.structure)
    cold = plain_start(problem.table, problem.moments.cov, problem.moments.mean)
    if problem.constraints is not None:
        cold = problem.constraints.project(cold)
    return Replicator(problem, kernel, np.array(theta), cold, curvature)


def refuse_repeats(problem: Problem) -> None:
    """Raise Unsupported for what the batched engine has not been tested with."""
    if problem.options.estimator != "ML":
        raise Unsupported(
            f"repeated fits are not available for estimator='{problem.options.estimator}'", hint="use estimator='ML'"
        )
    if problem.options.missing != "listwise":
        raise Unsupported("repeated fits are not available with missing='fiml'", hint="use missing='listwise'")
    if problem.restrictions is not None:
        # their tangent at one solution does not hold at the solution of another sample
        raise Unsupported("repeated fits are not available under bounds or nonlinear constraints", hint="remove them")


def curvature_at(problem: Problem, theta: Array) -> Curvature:
    """Return what the iterations know about the fit function, at the full-sample solution.

    Raises
    ------
    ModelError
        If the model is not identified at `theta`.
    """
    point = evaluate(problem.structure, problem.moments, theta)
    if point is None:
        raise ModelError("the covariance matrix implied at the solution is not positive definite")
    info = expected_information(problem.structure, point)
    curvature = hessian(problem.structure, problem.moments, point)
    if problem.constraints is not None:
        basis = problem.constraints.basis
        info, curvature = basis.T @ info @ basis, basis.T @ curvature @ basis
    scale = np.sqrt(np.maximum(np.diag(info), 0.0))
    scale[scale == 0.0] = 1.0
    if len(info) and np.linalg.eigvalsh(info / np.outer(scale, scale))[0] < RANK_TOLERANCE:
        raise ModelError(
            "the model is not identified: repeated fits have no unique solution", hint="simplify the model"
        )
    inverse = _inverse_curvature(curvature, scale)
    if inverse is None:
        inverse = _inverse_curvature(2.0 * info, scale)
    assert inverse is not None
    return Curvature(inverse, scale, problem.nobs, problem.constraints)


def _inverse_curvature(matrix: Array, scale: Array) -> Array | None:
    """Invert in correlation metric; None where the matrix is not safely positive definite."""
    values, vectors = np.linalg.eigh(matrix / np.outer(scale, scale))
    if len(values) and values[0] < 1e-9:
        return None
    out: Array = (vectors / values) @ vectors.T / np.outer(scale, scale)
    return out


def standard_errors(
    problem: Problem, kernel: Kernel, theta: Array, exo: Array, nobs: int, *, chunk: int | None = None
) -> Array:
    """Return standard errors (R, q) by the expected information at each replicate; NaN where it is singular.

    V = K (K' I K)^-1 K' / n, with K a basis of the directions that linear constraints leave open.
    """
    n = moments_divisor(nobs, problem.options.likelihood)
    count, q = theta.shape
    chunk = max(4, min(64, 4_000_000 // (8 * 4 * q * q))) if chunk is None else chunk
    out = np.empty((count, q))
    for first in range(0, count, chunk):
        at = slice(first, min(first + chunk, count))
        info = expected_informations(kernel, theta[at], exo[at])
        basis = None if problem.constraints is None else problem.constraints.basis
        if basis is not None:
            info = basis.T @ info @ basis
        scale = np.sqrt(np.maximum(np.diagonal(info, axis1=1, axis2=2), 0.0))
        scale = np.where(scale > 0, scale, 1.0)
        info = info / (scale[:, :, None] * scale[:, None, :])
        broken = ~np.isfinite(info).all(axis=(1, 2))
        info[broken] = np.eye(info.shape[1])
        variance, singular = _inverse_diagonal(info, scale, basis)
        variance[broken | singular] = np.nan
        out[at] = np.sqrt(variance / n)
    return out


def _inverse_diagonal(info: Array, scale: Array, basis: Array | None) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Return diag(K I^-1 K') of scaled informations, and which of them are singular."""
    inverse = proper_inverse(info)
    diagonal = np.diagonal(inverse, axis1=1, axis2=2)
    # a smallest eigenvalue below the rank tolerance shows in the trace of the inverse
    singular = ~((diagonal > 0).all(axis=1) & (diagonal.sum(axis=1) < 1.0 / RANK_TOLERANCE))
    if basis is None:
        return np.where(diagonal > 0, diagonal, np.nan) / scale**2, singular
    whole = inverse / (scale[:, :, None] * scale[:, None, :])
    return np.einsum("qa,rab,qb->rq", basis, whole, basis, optimize=True), singular


def admissible_stack(kernel: Kernel, theta: Array, exo: Array) -> npt.NDArray[np.bool_]:
    """Whether each replicate has non-negative variances and proper covariance matrices, as the single fit judges."""
    structure = kernel.structure
    with np.errstate(all="ignore"):
        filled = parts(kernel, theta, exo)
        k = structure.nlatent
        good: npt.NDArray[np.bool_] = np.all(filled.residual_variances() >= 0, axis=1)
        good = good & (np.diagonal(filled.psi, axis1=1, axis2=2) >= 0).all(axis=1)
        for matrix in (
            filled.eta_cov[:, :k, :k],
            filled.psi,
            *(() if filled.residual.ndim == 2 else (filled.residual,)),
        ):
            good = good & _proper(matrix)
    return np.asarray(good, dtype=np.bool_)


def _proper(stack: Array) -> npt.NDArray[np.bool_]:
    """Whether matrices have no eigenvalue below -1e-8 in correlation metric."""
    if not stack.shape[1]:
        return np.ones(len(stack), dtype=bool)
    diagonal = np.diagonal(stack, axis1=1, axis2=2)
    scale = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    scaled = stack / (scale[:, :, None] * scale[:, None, :])
    usable: npt.NDArray[np.bool_] = np.all(np.isfinite(scaled), axis=(1, 2))
    scaled[~usable] = np.eye(stack.shape[1])
    shifted = scaled + 1e-8 * np.eye(stack.shape[1])
    try:
        np.linalg.cholesky(shifted)
        return usable
    except np.linalg.LinAlgError:
        out: npt.NDArray[np.bool_] = usable & (np.linalg.eigvalsh(scaled)[:, 0] >= -1e-8)
        return out
