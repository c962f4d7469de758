"""Large-sample variances of residuals: sample minus implied moments.

Write Gamma for the normal-theory covariance matrix of the sample moments at S, Delta for the derivatives of the implied
moments, A for the normal-theory weight at Sigma, and J = Delta' A Delta. The residuals have the covariance matrix
Q Gamma Q' / n,  Q = I - Delta J^-1 Delta' A  (Maydeu-Olivares 2017, doi:10.1007/s11336-016-9552-7).
All matrices act by products of p x p matrices: Gamma maps a symmetric matrix X to 2 S X S, and nothing of size
p(p + 1)/2 squared is ever formed. Exogenous variables taken as fixed are conditioned on, which puts
Gamma(S) - Gamma(P), P = S_x S_xx^-1 S_x', in the place of Gamma(S).

Parameters that groups share depend on the moments of all groups: the last term of Q Gamma Q' is then
n_g Delta_g V (sum over groups of n_h Delta_h' A_h Gamma_h A_h Delta_h) V Delta_g', V being the covariance matrix of the
estimates.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from b2b_sem.engine.base import Array, IntArray
from b2b_sem.engine.native.implied import Structure
from b2b_sem.engine.native.loss import Moments, Point, expected_information

__all__ = ["ResidualSpread", "residual_core", "residual_spread"]

#: Part of a sampling variance that rounding leaves of a residual that is 0 by construction.
NOTHING = 1e-9


@dataclass(frozen=True)
class ResidualSpread:
    """Standard errors of residuals.

    Attributes
    ----------
    cov : (p, p) array
    mean : (p,) array or None
        None without a mean structure.
    """

    cov: Array
    mean: Array | None


def residual_core(structure: Structure, moments: Moments, point: Point, given: list[int]) -> Array:
    """Return Delta' A Gamma A Delta, (q, q); arguments as for :func:`residual_spread`."""
    omega = point.omega
    explained = _explained(moments.cov, given)
    core = _information(structure, point, omega @ moments.cov @ omega)
    return core - _information(structure, point, omega @ explained @ omega)


def _explained(s: Array, given: list[int]) -> Array:
    """Return what fixed variables predict of the covariance matrix."""
    if not given:
        return np.zeros_like(s)
    out: Array = s[:, given] @ np.linalg.solve(s[np.ix_(given, given)], s[given])
    return out


def residual_spread(
    structure: Structure,
    moments: Moments,
    point: Point,
    vcov: Array,
    n: int,
    given: list[int],
    kind: str,
    scale: str = "raw",
    joint: tuple[Array, Array] | None = None,
) -> ResidualSpread:
    """Return the standard errors of residuals.

    Parameters
    ----------
    structure, moments, point : Structure, Moments, Point
    vcov : (q, q) array
        Covariance matrix of the estimates: J^-1 / n, under constraints restricted to what they leave open.
    n : int
        Divisor of the moments.
    given : list of int
        Positions of exogenous variables taken as fixed.
    kind : {"normalized", "standardized", "standardized_mplus"}
        Variance of the sample moment alone (Gamma / n); of the residual; or Gamma / n - Delta V Delta'.
    scale : {"raw", "cor_bentler", "cor_bollen"}
        Of the residuals: raw; divided by sample standard deviations; differences of correlations.
    joint : tuple of (q, Q) and (Q, Q) arrays, optional
        For one of several groups: n times the covariances of its parameters with all Q, and the sum over groups of
        n_h / n times :func:`residual_core`.

    Returns
    -------
    ResidualSpread
        NaN where a variance comes out negative; 0 where the residual is 0 by construction.
    """
    s, p = moments.cov, structure.p
    explained = _explained(s, given)
    rows = _Rows(*np.tril_indices(p), s, scale)
    reference = rows.sampling(s) - rows.sampling(explained)
    with_mean = point.implied.mu is not None and moments.mean is not None
    mean_reference = np.diag(s - explained)
    variance, mean_variance = reference, mean_reference
    if kind != "normalized":
        columns, omega = point.implied.columns, point.omega
        slope, mean_slope = _slopes(structure, point, columns, rows)
        spread = n * vcov
        reach = slope @ spread  # Delta J^-1
        if kind == "standardized_mplus":
            variance = reference - (reach * slope).sum(axis=1)
            mean_variance = mean_reference - ((mean_slope @ spread) * mean_slope).sum(axis=1)
        else:
            pushed = _slopes(structure, point, s @ omega @ columns, rows)[0]
            pushed -= _slopes(structure, point, explained @ omega @ columns, rows)[0]
            wide, core = (spread, residual_core(structure, moments, point, given)) if joint is None else joint
            far = slope @ wide
            variance = reference - 2.0 * (reach * pushed).sum(axis=1) + ((far @ core) * far).sum(axis=1)
            reach, far = mean_slope @ spread, mean_slope @ wide
            pushed = (s - explained) @ omega @ mean_slope
            mean_variance = mean_reference - 2.0 * (reach * pushed).sum(axis=1)
            mean_variance += ((far @ core) * far).sum(axis=1)
    if scale == "cor_bollen":  # a correlation of 1 has no error
        variance = np.where(rows.i == rows.j, 0.0, variance)
    matrix = np.zeros((p, p))
    matrix[rows.i, rows.j] = _error(variance, rows.sampling(s)) / np.sqrt(n)
    matrix = matrix + np.tril(matrix, -1).T
    if not with_mean:
        return ResidualSpread(matrix, None)
    mean = _error(mean_variance, np.diag(s)) / np.sqrt(n)
    return ResidualSpread(matrix, mean if scale == "raw" else mean / np.sqrt(np.diag(s)))


def _error(variance: Array, reference: Array) -> Array:
    """Return the root; 0 where rounding is all that is left of `reference`, NaN for a negative variance."""
    with np.errstate(invalid="ignore"):
        root = np.sqrt(variance)
    return np.where(np.abs(variance) <= NOTHING * reference, 0.0, root)


@dataclass(frozen=True)
class _Rows:
    """The elements of the lower triangle, on the scale of the residuals.

    ``cor_bollen`` has the derivative of a correlation at S: ds_ij / (d_i d_j) - r_ij / 2 (ds_ii / s_ii + ds_jj / s_jj).
    """

    i: IntArray
    j: IntArray
    s: Array
    scale: str

    def transform(self, values: Array) -> Array:
        """Apply the change of scale to an array with one row an element."""
        if self.scale == "raw":
            return values
        variance = np.diag(self.s)
        i, j = self.i, self.j
        size = np.sqrt(variance[i] * variance[j])[:, None]
        if self.scale == "cor_bentler":
            return values / size
        diagonal = values[i == j] / variance[:, None]
        half = 0.5 * (self.s[i, j] / size[:, 0])[:, None]
        return values / size - half * (diagonal[i] + diagonal[j])

    def sampling(self, s: Array) -> Array:
        """Return the normal-theory variance of each element with covariance matrix `s`, times n."""
        i, j = self.i, self.j

        def gamma(a: IntArray, b: IntArray, c: IntArray, d: IntArray) -> Array:
            return np.asarray(s[a, c] * s[b, d] + s[a, d] * s[b, c])

        own = gamma(i, j, i, j)
        if self.scale == "raw":
            return own
        variance = np.diag(self.s)
        size = np.sqrt(variance[i] * variance[j])
        own = own / size**2
        if self.scale == "cor_bentler":
            return own
        r = self.s[i, j] / size
        first, second = gamma(i, j, i, i) / variance[i], gamma(i, j, j, j) / variance[j]
        square = gamma(i, i, i, i) / variance[i] ** 2 + gamma(j, j, j, j) / variance[j] ** 2
        square = square + 2.0 * gamma(i, i, j, j) / size**2
        return own - r * (first + second) / size + 0.25 * r**2 * square


def _slopes(structure: Structure, point: Point, columns: Array, rows: _Rows) -> tuple[Array, Array]:
    """Return dSigma (p(p + 1)/2, q) and dmu (p, q), with `columns` in the place of M."""
    u, v, i, j = structure.u, structure.v, rows.i, rows.j
    slope = structure.gather(structure.w * (columns[i][:, u] * columns[j][:, v] + columns[i][:, v] * columns[j][:, u]))
    scale = np.concatenate([[1.0], point.implied.eta_mean])[structure.mean_scale]
    scale = np.where(structure.mean_scale < 0, 0.0, scale)
    return rows.transform(slope), structure.gather(columns[:, structure.mean_column] * scale)


def _information(structure: Structure, point: Point, weight: Array) -> Array:
    """Return 1/2 tr(W dS_a W dS_b) + dmu_a' W dmu_b for a weight W."""
    return expected_information(structure, replace(point, omega=weight))
