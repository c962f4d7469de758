"""The maximum likelihood fit function, its gradient and its expected information.

F(theta) = log|Sigma| + tr(S Sigma^-1) - log|S| - p + (m - mu)' Sigma^-1 (m - mu)

(Joreskog 1969, doi:10.1007/BF02289343). Standard errors are those of the expected information (Fisher) of F / 2.
Moments that carry a weight are fitted by least squares instead (:mod:`b2b_sem.engine.native.least_squares`): the
functions below then give the value and derivatives of that fit function.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.linalg import lapack

from b2b_sem.engine.base import Array, IntArray
from b2b_sem.engine.native.implied import ALPHA, BETA, LAMBDA, PSI, Implied, Structure, implied_moments

__all__ = [
    "Discrepancy",
    "Moments",
    "Point",
    "covariance_bend",
    "curvature",
    "entry_information",
    "evaluate",
    "expected_information",
    "gradient",
    "hessian",
    "make_moments",
    "mean_bend",
    "mean_scales",
    "objective",
    "scoring_information",
]


class Discrepancy(Protocol):
    """A fit function other than maximum likelihood, with its derivatives; each as the function of that name below."""

    @property
    def unit(self) -> float:
        """What values and second derivatives are multiplied by to have the unit of the fit function."""

    def evaluate(self, structure: Structure, moments: Moments, theta: Array) -> Point | None:
        """Return the fit function at `theta`, divided by the unit."""

    def gradient(self, structure: Structure, moments: Moments, point: Point) -> Array:
        """Return the gradient, shape (q,)."""

    def expected_information(self, structure: Structure, point: Point) -> Array:
        """Return half the Hessian without residuals, shape (q, q)."""

    def scoring_information(self, structure: Structure, point: Point) -> Array:
        """Return the metric of the search, shape (q, q): the expected information or something cheaper."""

    def hessian(self, structure: Structure, moments: Moments, point: Point) -> Array:
        """Return the Hessian, shape (q, q)."""

    def gfi(self, moments: Moments, implied: Implied) -> float:
        """Return the goodness of fit index with this weight."""


@dataclass(frozen=True)
class Moments:
    """Sample moments in model order, with log|S|; without a weight they are fitted by maximum likelihood."""

    cov: Array
    mean: Array | None
    logdet: float
    weight: Discrepancy | None = None


@dataclass(frozen=True)
class Point:
    """The fit function at one parameter vector, with what its derivatives need."""

    theta: Array
    value: float
    implied: Implied
    omega: Array  # Sigma^-1; the weight matrix of least squares where that is p x p
    weight: Discrepancy | None = None


def make_moments(cov: Array, mean: Array | None) -> Moments:
    """Prepare sample moments; `cov` must be positive definite."""
    factor = np.linalg.cholesky(cov)
    return Moments(cov, mean, 2.0 * float(np.log(np.diag(factor)).sum()))


def evaluate(structure: Structure, moments: Moments, theta: Array) -> Point | None:
    """Return the fit function at `theta`, or None where Sigma is not positive definite."""
    if moments.weight is not None:
        return moments.weight.evaluate(structure, moments, theta)
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
    if moments.weight is not None:
        return moments.weight.gradient(structure, moments, point)
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
    if point.weight is not None:
        return point.weight.expected_information(structure, point)
    return structure.gather(structure.gather(entry_information(structure, point)).T)


def scoring_information(structure: Structure, point: Point) -> Array:
    """Return the metric of the search, shape (q, q): the expected information, or what its weight has instead."""
    if point.weight is not None:
        return point.weight.scoring_information(structure, point)
    return expected_information(structure, point)


def entry_information(structure: Structure, point: Point) -> Array:
    """Return the expected information for entries of the matrices before they are summed, shape (E, E)."""
    columns = point.implied.columns
    k = columns.T @ point.omega @ columns
    u, v, w = structure.u, structure.v, structure.w
    ku, kv = k[u], k[v]
    info = (ku[:, u] * kv[:, v] + ku[:, v] * kv[:, u]) * np.outer(w, w)
    if structure.meanstructure:
        scale, column = _mean_scale(structure, point), structure.mean_column
        info = info + k[np.ix_(column, column)] * np.outer(scale, scale)
    return info


def hessian(structure: Structure, moments: Moments, point: Point, *, curved: bool = True) -> Array:
    """Return d2F / dtheta dtheta', shape (q, q).

    With W = Omega (Sigma - S~) Omega and S~ = S + d d', the covariance part is
    tr(W d2Sigma_ab) - tr(Omega dSigma_a Omega dSigma_b) + 2 tr(Omega dSigma_a Omega S~ Omega dSigma_b). Second
    derivatives need no new vectors: the derivative of a column c of M by an entry b is a combination of two columns
    of M, dM_c = P[b, c] M_x(b) + Q[b, c] M_y(b), with coefficients from (I - B)^-1 and E.

    Without `curved` the second derivatives of Sigma and mu are left out: what remains is 2 D'AD with D the first
    derivatives of the moments and A the observed information of a model without structure.
    """
    if moments.weight is not None:
        return moments.weight.hessian(structure, moments, point)
    implied, omega = point.implied, point.omega
    columns = implied.columns
    sample = moments.cov
    d: Array | None = None
    if implied.mu is not None and moments.mean is not None:
        d = moments.mean - implied.mu
        sample = sample + np.outer(d, d)
    k = columns.T @ omega @ columns
    c = columns.T @ (omega @ sample @ omega) @ columns
    y = k - c  # M' Omega Sigma Omega M - M' Omega S~ Omega M = M' W M
    out = covariance_bend(structure, k, c)
    if curved:
        lever = None if d is None else columns.T @ (omega @ d)
        out += curvature(structure, implied, y, lever)
    if d is not None:
        out += mean_bend(structure, k, columns.T @ (omega @ d), _mean_scale(structure, point))
    total = structure.gather(structure.gather(out).T)
    return (total + total.T) / 2


def _column_slopes(structure: Structure, implied: Implied) -> tuple[Array, Array, IntArray, IntArray]:
    """Return P, Q (E, p + 2m) and the columns x, y (E,) of ``dM_c = P[b, c] M_x(b) + Q[b, c] M_y(b)``."""
    p, m = structure.p, structure.m
    count = len(structure.free)
    first, second = np.zeros((count, p + 2 * m)), np.zeros((count, p + 2 * m))
    x, z = np.zeros(count, dtype=np.intp), np.zeros(count, dtype=np.intp)
    inverse, eta_cov = implied.inverse, implied.eta_cov
    kind, row, col = structure.matrix, structure.row, structure.col
    g, h = slice(p, p + m), slice(p + m, p + 2 * m)
    for which, base in ((LAMBDA, 0), (BETA, p)):
        at = np.flatnonzero(kind == which)
        x[at] = base + row[at]
        first[at, g] = inverse[col[at]]
        first[at, h] = eta_cov[col[at]]
    at = np.flatnonzero(kind == BETA)
    z[at] = p + m + col[at]
    second[at, h] = inverse.T[row[at]]
    at = np.flatnonzero(kind == PSI)
    weight = structure.w[at][:, None]
    x[at], z[at] = p + row[at], p + col[at]
    first[at, h] = weight * inverse.T[col[at]]
    second[at, h] = weight * inverse.T[row[at]]
    return first, second, x, z


def curvature(structure: Structure, implied: Implied, y: Array, lever: Array | None) -> Array:
    """Return tr(W d2Sigma_ab) - 2 t' d2mu_ab for entries b (rows) and a (columns), from y = M'WM and lever = M't."""
    u, v, w = structure.u, structure.v, structure.w
    first, second, x, z = _column_slopes(structure, implied)
    bend = first[:, u] * y[np.ix_(x, v)] + second[:, u] * y[np.ix_(z, v)]
    bend += first[:, v] * y[np.ix_(x, u)] + second[:, v] * y[np.ix_(z, u)]
    out = 2.0 * bend * w
    if lever is None:
        return out
    scale, column = mean_scales(structure, implied), structure.mean_column
    # first through the column, then through the mean of eta
    mean = scale * (first[:, column] * lever[x][:, None] + second[:, column] * lever[z][:, None])
    eta_slope = np.zeros((len(structure.free), 1 + structure.m))
    inverse, eta_mean = implied.inverse, implied.eta_mean
    at = np.flatnonzero(structure.matrix == BETA)
    eta_slope[at, 1:] = inverse.T[structure.row[at]] * eta_mean[structure.col[at]][:, None]
    at = np.flatnonzero(structure.matrix == ALPHA)
    eta_slope[at, 1:] = inverse.T[structure.row[at]]
    moving = structure.mean_scale > 0
    mean[:, moving] += eta_slope[:, structure.mean_scale[moving]] * lever[column[moving]]
    return out - 2.0 * mean


def covariance_bend(structure: Structure, k: Array, c: Array, n: float = 1.0) -> Array:
    """Return the part of the Hessian from first derivatives of Sigma, for entries, shape (E, E).

    Parameters
    ----------
    structure : Structure
    k, c : (p + 2m, p + 2m) arrays
        M' Omega M, and M' Omega S~ Omega M with the sum S~ of `n` cross-products of deviations.
    n : float
    """
    u, v, w = structure.u, structure.v, structure.w
    ww = np.outer(w, w)
    kuu, kuv, kvv = k[np.ix_(u, u)], k[np.ix_(u, v)], k[np.ix_(v, v)]
    luu, luv, lvv = c[np.ix_(u, u)], c[np.ix_(u, v)], c[np.ix_(v, v)]
    out: Array = -2.0 * n * ww * (kuu * kvv + kuv * kuv.T)
    out += 2.0 * ww * (kuv.T * luv + kuu * lvv + kvv * luu + kuv * luv.T)
    return out


def mean_bend(structure: Structure, k: Array, lever: Array, scale: Array, n: float = 1.0) -> Array:
    """Return the part of the Hessian from first derivatives of mu, for entries, rows b, columns a.

    Parameters
    ----------
    structure : Structure
    k : (p + 2m, p + 2m) array
        M' Omega M.
    lever : (p + 2m,) array
        M' Omega d with the sum d of `n` deviations from mu.
    scale : (E,) array
        See :func:`mean_scales`.
    n : float
    """
    u, v, w, column = structure.u, structure.v, structure.w, structure.mean_column
    kmm = n * k[np.ix_(column, column)] * np.outer(scale, scale)
    # dmu_b' Omega dSigma_a Omega d
    cross = scale[:, None] * w * (k[np.ix_(column, u)] * lever[v] + k[np.ix_(column, v)] * lever[u])
    return 2.0 * (kmm + cross + cross.T)


def _mean_scale(structure: Structure, point: Point) -> Array:
    return mean_scales(structure, point.implied)


def mean_scales(structure: Structure, implied: Implied) -> Array:
    """Return the element of (1, eta mean) that goes with each entry; 0 where mu does not depend on it."""
    values = np.concatenate([[1.0], implied.eta_mean])
    return np.where(structure.mean_scale < 0, 0.0, values[structure.mean_scale])
