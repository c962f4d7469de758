"""The maximum likelihood fit function, its gradient and its expected information.

F(theta) = log|Sigma| + tr(S Sigma^-1) - log|S| - p + (m - mu)' Sigma^-1 (m - mu)

(Joreskog 1969, doi:10.1007/BF02289343). Standard errors are those of the expected information (Fisher) of F / 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack

from b2b_sem.engine.base import Array
from b2b_sem.engine.native.implied import Implied, Structure, implied_moments

__all__ = ["Moments", "Point", "evaluate", "expected_information", "gradient", "make_moments", "objective"]


@dataclass(frozen=True)
class Moments:
    """Sample moments in model order, with log|S|."""

    cov: Array
    mean: Array | None
    logdet: float


@dataclass(frozen=True)
class Point:
    """The fit function at one parameter vector, with what its derivatives need."""

    theta: Array
    value: float
    implied: Implied
    omega: Array  # Sigma^-1


def make_moments(cov: Array, mean: Array | None) -> Moments:
    """Prepare sample moments; `cov` must be positive definite."""
    factor = np.linalg.cholesky(cov)
    return Moments(cov, mean, 2.0 * float(np.log(np.diag(factor)).sum()))


def evaluate(structure: Structure, moments: Moments, theta: Array) -> Point | None:
    """Return the fit function at `theta`, or None where Sigma is not positive definite."""
    implied = implied_moments(structure, theta)
    if implied is None or not np.isfinite(implied.sigma).all():
        return None
    factor, info = lapack.dpotrf(implied.sigma, lower=1)
    if info != 0:
        return None
    logdet = 2.0 * float(np.log(np.diag(factor)).sum())
    omega, info = lapack.dpotri(factor, lower=1)
    if info != 0:
        return None
    omega = np.tril(omega) + np.tril(omega, -1).T
    value = logdet - moments.logdet + float((moments.cov * omega).sum()) - structure.p
    if implied.mu is not None and moments.mean is not None:
        d = moments.mean - implied.mu
        value += float(d @ omega @ d)
    return Point(theta, value, implied, omega) if np.isfinite(value) else None


def objective(structure: Structure, moments: Moments, theta: Array) -> float:
    """Return F, infinite where Sigma is not positive definite."""
    point = evaluate(structure, moments, theta)
    return float("inf") if point is None else point.value


def gradient(structure: Structure, moments: Moments, point: Point) -> Array:
    """Return dF/dtheta, shape (q,)."""
    columns, omega = point.implied.columns, point.omega
    difference = point.implied.sigma - moments.cov
    lever: Array | None = None
    if point.implied.mu is not None and moments.mean is not None:
        d = moments.mean - point.implied.mu
        difference = difference - np.outer(d, d)
        lever = columns.T @ (omega @ d)
    weight = columns.T @ (omega @ difference @ omega) @ columns
    out = 2.0 * structure.w * weight[structure.u, structure.v]
    if lever is not None:
        out = out - 2.0 * _mean_scale(structure, point) * lever[structure.mean_column]
    return structure.gather(out)


def expected_information(structure: Structure, point: Point) -> Array:
    """Return the expected information of one observation, 1/2 tr(W dS_a W dS_b) + dmu_a' W dmu_b: shape (q, q)."""
    columns = point.implied.columns
    k = columns.T @ point.omega @ columns
    u, v, w = structure.u, structure.v, structure.w
    ku, kv = k[u], k[v]
    info = (ku[:, u] * kv[:, v] + ku[:, v] * kv[:, u]) * np.outer(w, w)
    if structure.meanstructure:
        scale, column = _mean_scale(structure, point), structure.mean_column
        info = info + k[np.ix_(column, column)] * np.outer(scale, scale)
    return structure.gather(structure.gather(info).T)


def _mean_scale(structure: Structure, point: Point) -> Array:
    values = np.concatenate([[1.0], point.implied.eta_mean])
    return np.where(structure.mean_scale < 0, 0.0, values[structure.mean_scale])
