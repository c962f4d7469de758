"""Standard errors and fit measures for a stack of maximum likelihood estimates: what a Monte Carlo study reports.

The rules are those of :mod:`b2b_sem.engine.standardize` and :mod:`b2b_sem.engine.inference`, for R samples at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from b2b_sem.engine.base import Array, moments_divisor
from b2b_sem.engine.inference import ZERO_SE, count_df
from b2b_sem.engine.native.information import RANK_TOLERANCE
from b2b_sem.engine.native.stack import Kernel, Parts, expected_informations, parts, proper_inverse
from b2b_sem.engine.problem import Problem
from b2b_sem.engine.rowstack import deviations, row_stack
from b2b_sem.errors import Unsupported
from b2b_sem.measures import fit as fm
from b2b_sem.spec.partable import ParameterTable

__all__ = ["MEASURES", "StackInference", "infer_stack", "measure_stack"]

#: Fit measures of :func:`infer_stack`, in order.
MEASURES: tuple[str, ...] = ("chisq", "df", "pvalue", "cfi", "tli", "rmsea", "rmsea_pvalue", "srmr")


@dataclass(frozen=True)
class StackInference:
    """Inference for R samples; columns of the first four are the rows of the table.

    Attributes
    ----------
    raw, raw_se, std, std_se : (R, rows) arrays
        Unstandardized and standardized (``std_all``) values and their standard errors, 0 where a value is fixed.
    identified : (R,) bool array
        Whether the information is far from singular; standard errors are NaN elsewhere.
    measures : (R, len(MEASURES)) array
    """

    raw: Array
    raw_se: Array
    std: Array
    std_se: Array
    identified: npt.NDArray[np.bool_]
    measures: Array


def infer_stack(
    problem: Problem, kernel: Kernel, theta: Array, fmin: Array, cov: Array, mean: Array | None
) -> StackInference:
    """Return standard errors by the expected information, and fit measures.

    Parameters
    ----------
    problem : Problem
        Of one group, maximum likelihood, complete data, no exogenous observed variables.
    kernel : Kernel
        Compiled from its table.
    theta : (R, q) array
        Estimates, all of them finite.
    fmin : (R,) array
    cov : (R, p, p) array
        Sample covariances with the divisor of the likelihood.
    mean : (R, p) array or None

    Raises
    ------
    Unsupported
        If the table has exogenous variables or definitions.
    """
    table = problem.table
    if kernel.exo or table.definitions:
        raise Unsupported("batches have no standard errors of definitions and fixed covariates", hint="use bs.fit")
    n = moments_divisor(problem.nobs, problem.options.likelihood)
    exo = np.empty((len(theta), 0))
    with np.errstate(all="ignore"):
        filled = parts(kernel, theta, exo)
        vcov, identified = _vcov(problem, kernel, theta, exo, n)
        sd = deviations(kernel, theta, exo)
        raw, std = row_stack(table, kernel, theta, exo, sd)
        free = np.array([r.free - 1 for r in table.rows])
        fixed = free < 0
        variance = np.diagonal(vcov, axis1=1, axis2=2)
        raw_se = np.where(fixed, 0.0, np.sqrt(variance[:, np.maximum(free, 0)]))
        slope = _slopes(table, kernel, filled, raw, std, sd)
        std_variance = np.einsum("rkq,rkq->rk", slope @ vcov, slope)
        std_se = np.sqrt(np.where(std_variance < 0, np.where(std_variance > -1e-20, 0.0, np.nan), std_variance))
        std_se = np.where(slope.any(axis=2), np.where(std_se < ZERO_SE, 0.0, std_se), 0.0)
        measures = _measures(problem, filled, fmin, cov, mean, n)
    return StackInference(raw, raw_se, std, std_se, identified, measures)


def measure_stack(problem: Problem, kernel: Kernel, theta: Array, fmin: Array, cov: Array, mean: Array | None) -> Array:
    """Return the fit measures alone, (R, len(MEASURES)); arguments and errors are those of :func:`infer_stack`."""
    if kernel.exo:
        raise Unsupported("batches have no fit measures with fixed covariates", hint="use bs.fit")
    n = moments_divisor(problem.nobs, problem.options.likelihood)
    with np.errstate(all="ignore"):
        return _measures(problem, parts(kernel, theta, np.empty((len(theta), 0))), fmin, cov, mean, n)


def _vcov(problem: Problem, kernel: Kernel, theta: Array, exo: Array, n: int) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Return K (K' I K)^-1 K' / n, NaN where the information is (almost) singular."""
    info = expected_informations(kernel, theta, exo)
    basis = None if problem.constraints is None else problem.constraints.basis
    if basis is not None:
        info = basis.T @ info @ basis
    diagonal = np.diagonal(info, axis1=1, axis2=2)
    scale = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    info = info / (scale[:, :, None] * scale[:, None, :])
    broken = ~np.isfinite(info).all(axis=(1, 2))
    info[broken] = np.eye(info.shape[1])
    inverse = proper_inverse(info)
    spread = np.diagonal(inverse, axis1=1, axis2=2)
    # a smallest eigenvalue below the rank tolerance shows in the trace of the inverse
    identified = ~broken & (spread > 0).all(axis=1) & (spread.sum(axis=1) < 1.0 / RANK_TOLERANCE)
    inverse /= scale[:, :, None] * scale[:, None, :] * n
    out = inverse if basis is None else basis @ inverse @ basis.T
    out[~identified] = np.nan
    return out, identified


def _slopes(
    table: ParameterTable, kernel: Kernel, filled: Parts, raw: Array, std: Array, sd: Mapping[str, Array]
) -> Array:
    """Return the derivatives (R, rows, q) of the standardized values, by their logarithms.

    A value is a parameter times powers of standard deviations; with v a variance, d log sqrt(v) = dv / (2 v).
    """
    structure = kernel.structure
    count, q, p, m = len(raw), structure.q, structure.p, structure.m
    identity = np.broadcast_to(np.eye(m), (count, m, m))
    inverse = identity if filled.inverse is None else filled.inverse
    inner = np.concatenate([np.zeros((count, m, p)), inverse, filled.eta_cov], axis=2)
    outer = np.concatenate(
        [np.broadcast_to(np.eye(p), (count, p, p)), filled.lam @ inverse, filled.lam @ filled.eta_cov], axis=2
    )
    u, v, w = structure.u, structure.v, structure.w
    # d var / (2 var), where d var = 2 w u v
    own = structure.gather(w * inner[:, :, u] * inner[:, :, v])
    own /= np.diagonal(filled.eta_cov, axis1=1, axis2=2)[:, :, None]
    seen = structure.gather(w * outer[:, :, u] * outer[:, :, v])
    seen /= np.diagonal(filled.sigma(), axis1=1, axis2=2)[:, :, None]
    logs = {name: own[:, k] for k, name in enumerate(structure.eta[: structure.nlatent])}
    logs |= {name: seen[:, k] for k, name in enumerate(structure.observed)}
    variances = {r.lhs: (i, r.free - 1) for i, r in enumerate(table.rows) if r.op == "~~" and r.lhs == r.rhs}
    out = np.zeros((count, len(table.rows), q))
    change: Array
    for i, row in enumerate(table.rows):
        if row.op == "=~":
            change = logs[row.lhs] - logs[row.rhs]
        elif row.op == "~":
            change = logs[row.rhs] - logs[row.lhs]
        elif row.op == "~1":
            change = np.negative(logs[row.lhs])
        elif row.lhs == row.rhs:
            change = np.multiply(-2.0, logs[row.lhs])
        else:
            change = np.zeros((count, q))
            for name in (row.lhs, row.rhs):
                at, free = variances[name]
                if free >= 0:
                    change[:, free] -= 1.0 / (2.0 * raw[:, at])
        out[:, i] = std[:, i, None] * change
        if row.free:
            out[:, i, row.free - 1] += _scale(row.op, row.lhs, row.rhs, raw, variances, sd)
    return out


def _scale(
    op: str, lhs: str, rhs: str, raw: Array, variances: Mapping[str, tuple[int, int]], sd: Mapping[str, Array]
) -> Array:
    """Return what a value is multiplied by to be standardized, (R,)."""
    if op == "=~":
        return sd[lhs] / sd[rhs]
    if op == "~":
        return sd[rhs] / sd[lhs]
    if op == "~1":
        return 1.0 / sd[lhs]
    if lhs == rhs:
        return np.asarray(1.0 / sd[lhs] ** 2)
    return np.asarray(1.0 / np.sqrt(np.abs(raw[:, variances[lhs][0]] * raw[:, variances[rhs][0]])))


def _measures(problem: Problem, filled: Parts, fmin: Array, cov: Array, mean: Array | None, n: int) -> Array:
    """Return the fit measures; the baseline model has variances (and means) only."""
    table, p = problem.table, problem.structure.p
    df = count_df(table, problem.constraints)[2]
    base_df = p * (p - 1) // 2
    variance = np.diagonal(cov, axis1=1, axis2=2)
    chisq = n * np.maximum(fmin, 0.0)
    base = n * np.maximum(np.log(variance).sum(axis=1) - np.linalg.slogdet(cov)[1], 0.0)
    sd = np.sqrt(variance)
    i, j = np.tril_indices(p)
    residual = (cov - filled.sigma())[:, i, j] / (sd[:, i] * sd[:, j])
    total, count = (residual**2).sum(axis=1), len(i)
    if table.meanstructure and mean is not None and filled.mu is not None:
        total = total + (((mean - filled.mu) / sd) ** 2).sum(axis=1)
        count += p
    srmr = np.sqrt(total / count)
    rows = [
        (
            c,
            df,
            fm.chisq_pvalue(c, df),
            fm.cfi(c, df, b, base_df),
            fm.tli(c, df, b, base_df),
            fm.rmsea(c, df, n),
            fm.rmsea_pvalue(c, df, n),
            r,
        )
        for c, b, r in zip(chisq.tolist(), base.tolist(), srmr.tolist(), strict=True)
    ]
    return np.array(rows, dtype=float).reshape(len(chisq), len(MEASURES))
