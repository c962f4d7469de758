"""Fit functions of least squares: F = (s - sigma)' V (s - sigma) with a weight V that does not change.

s holds the means (under a mean structure) and the lower triangle of S. Three weights:

* GLS: V from the normal distribution at S, F = 1/2 tr[(S^-1 (S - Sigma))^2] + d' S^-1 d
  (Joreskog & Goldberger 1972, doi:10.1007/BF02306782);
* ULS: V = I, each covariance counted once (Joreskog 1977, as implemented in lavaan);
* WLS, also called ADF: V is the inverse of the asymptotic covariance matrix of s, estimated without assumptions about
  the distribution (Browne 1984, doi:10.1111/j.2044-8317.1984.tb00789.x).

The gradient is tr(W dSigma) - 2 t' dmu with t and W made from V (s - sigma): the same gathers from M'WM as in maximum
likelihood. V is p* x p* for WLS only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from b2b_sem.engine.base import Array, IntArray
from b2b_sem.engine.native.implied import Implied, Structure, implied_moments
from b2b_sem.engine.native.loss import Moments, Point, curvature, entry_information, mean_scales
from b2b_sem.measures.fit import gfi as normal_gfi

__all__ = ["DenseWeight", "IdentityWeight", "LeastSquares", "NormalWeight"]


@dataclass(frozen=True)
class LeastSquares(ABC):
    """What the three fit functions share."""

    @property
    def unit(self) -> float:
        """What values and second derivatives are multiplied by to have the unit of the fit function."""
        return 1.0

    @abstractmethod
    def _pull(self, moments: Moments, implied: Implied) -> tuple[float, Array, Array | None]:
        """Return F, W (p, p) and t (p,)."""

    @abstractmethod
    def _entry_information(self, structure: Structure, point: Point) -> Array:
        """Return D'VD for the entries of the matrices, shape (E, E)."""

    @abstractmethod
    def gfi(self, moments: Moments, implied: Implied) -> float:
        """Return the goodness of fit index with this weight."""

    def _metric(self, moments: Moments) -> Array:
        """Return the p x p matrix the weight is made of, where there is one."""
        return np.eye(len(moments.cov))

    def evaluate(self, structure: Structure, moments: Moments, theta: Array) -> Point | None:
        """Return the fit function at `theta`, or None where a variance is not positive."""
        implied = implied_moments(structure, theta)
        if implied is None or not np.isfinite(implied.sigma).all() or np.diag(implied.sigma).min() <= 0:
            return None
        value, _, _ = self._pull(moments, implied)
        return Point(theta, value, implied, self._metric(moments), self) if np.isfinite(value) else None

    def gradient(self, structure: Structure, moments: Moments, point: Point) -> Array:
        """Return dF/dtheta, shape (q,)."""
        columns = point.implied.columns
        _, pull, mean = self._pull(moments, point.implied)
        weight = columns.T @ pull @ columns
        out = 2.0 * structure.w * weight[structure.u, structure.v]
        if mean is not None:
            out = out - 2.0 * mean_scales(structure, point.implied) * (columns.T @ mean)[structure.mean_column]
        return structure.gather(out)

    def expected_information(self, structure: Structure, point: Point) -> Array:
        """Return D'VD with D the derivatives of the moments, shape (q, q)."""
        return structure.gather(structure.gather(self._entry_information(structure, point)).T)

    def scoring_information(self, structure: Structure, point: Point) -> Array:
        """Return D'VD: the metric of the search."""
        return self.expected_information(structure, point)

    def hessian(self, structure: Structure, moments: Moments, point: Point) -> Array:
        """Return d2F / dtheta dtheta', shape (q, q)."""
        columns = point.implied.columns
        _, pull, mean = self._pull(moments, point.implied)
        out = 2.0 * self._entry_information(structure, point)
        lever = None if mean is None else columns.T @ mean
        out = out + curvature(structure, point.implied, columns.T @ pull @ columns, lever)
        total: Array = structure.gather(structure.gather(out).T)
        return (total + total.T) / 2


@dataclass(frozen=True)
class NormalWeight(LeastSquares):
    """GLS.

    Attributes
    ----------
    inverse : (p, p) array
        S^-1.
    given : tuple of int
        Variables whose moments are fixed: their moments get no weight in the goodness of fit index.
    """

    inverse: Array
    given: tuple[int, ...] = ()

    def _metric(self, moments: Moments) -> Array:
        return self.inverse

    def _pull(self, moments: Moments, implied: Implied) -> tuple[float, Array, Array | None]:
        product = self.inverse @ (implied.sigma - moments.cov)
        value = 0.5 * float((product * product.T).sum())
        mean: Array | None = None
        if implied.mu is not None and moments.mean is not None:
            d = moments.mean - implied.mu
            mean = self.inverse @ d
            value += float(d @ mean)
        return value, product @ self.inverse, mean

    def _entry_information(self, structure: Structure, point: Point) -> Array:
        return entry_information(structure, point)

    def gfi(self, moments: Moments, implied: Implied) -> float:
        """Return the goodness of fit index with the normal-theory weight at S."""
        given = list(self.given) or None
        return normal_gfi(moments.cov, implied.sigma, moments.mean, implied.mu, given=given, omega=self.inverse)


@dataclass(frozen=True)
class IdentityWeight(LeastSquares):
    """ULS. Inside, F is divided by s's, so that the optimiser's tolerances do not depend on units.

    Attributes
    ----------
    size : float
        s's.
    """

    size: float

    @classmethod
    def of(cls, cov: Array, mean: Array | None) -> IdentityWeight:
        """Return the weight for sample moments."""
        lower = cov[np.tril_indices(len(cov))]
        return cls(float(lower @ lower) + (0.0 if mean is None else float(mean @ mean)))

    @property
    def unit(self) -> float:
        """s's: what values are multiplied by to be sums of squared residuals."""
        return self.size

    def _pull(self, moments: Moments, implied: Implied) -> tuple[float, Array, Array | None]:
        residual = (implied.sigma - moments.cov) / self.size
        diagonal = np.diag(residual)
        # each covariance once, variances once: half of all squares and half of the diagonal
        value = 0.5 * self.size * float((residual * residual).sum() + diagonal @ diagonal)
        mean: Array | None = None
        if implied.mu is not None and moments.mean is not None:
            d = moments.mean - implied.mu
            mean = d / self.size
            value += float(d @ mean)
        return value, residual + np.diag(diagonal), mean

    def _entry_information(self, structure: Structure, point: Point) -> Array:
        columns = point.implied.columns
        diagonal = 2.0 * structure.w * columns[:, structure.u] * columns[:, structure.v]
        return (entry_information(structure, point) + 0.5 * diagonal.T @ diagonal) / self.size

    def gfi(self, moments: Moments, implied: Implied) -> float:
        """Return 1 - (sum of squared residuals) / (sum of squared moments)."""
        value, _, _ = self._pull(moments, implied)
        return 1.0 - value


@dataclass(frozen=True)
class DenseWeight(LeastSquares):
    """WLS.

    Attributes
    ----------
    weight : (K, K) array
        Inverse of the asymptotic covariance matrix of the moments that vary: means first, then covariances.
    means : (k,) int array
        Variables whose mean counts.
    rows, cols : (K - k,) int arrays
        Places in the lower triangle.
    """

    weight: Array
    means: IntArray
    rows: IntArray
    cols: IntArray

    def _moments(self, cov: Array, mean: Array | None) -> Array:
        head = np.zeros(0) if mean is None else mean[self.means]
        return np.concatenate([head, cov[self.rows, self.cols]])

    def _pull(self, moments: Moments, implied: Implied) -> tuple[float, Array, Array | None]:
        modelled = implied.mu is not None and moments.mean is not None
        residual = self._moments(moments.cov, moments.mean) - self._moments(implied.sigma, implied.mu)
        pull = self.weight @ residual
        k = len(self.means)
        matrix = np.zeros_like(moments.cov)
        matrix[self.rows, self.cols] -= pull[k:]
        matrix[self.cols, self.rows] -= pull[k:]  # twice on the diagonal, as it must be
        mean: Array | None = None
        if modelled:
            mean = np.zeros(len(moments.cov))
            mean[self.means] = pull[:k]
        return float(residual @ pull), matrix, mean

    def _derivatives(self, structure: Structure, implied: Implied) -> Array:
        """Return the derivatives of the moments by the entries, shape (K, E)."""
        columns = implied.columns
        u, v = columns[:, structure.u], columns[:, structure.v]
        cov = structure.w * (u[self.rows] * v[self.cols] + v[self.rows] * u[self.cols])
        if not len(self.means):
            return cov
        mean = mean_scales(structure, implied) * columns[:, structure.mean_column]
        return np.concatenate([mean[self.means], cov])

    def _entry_information(self, structure: Structure, point: Point) -> Array:
        slopes = self._derivatives(structure, point.implied)
        return slopes.T @ self.weight @ slopes

    def gfi(self, moments: Moments, implied: Implied) -> float:
        """Return 1 - e'Ve / s'Vs."""
        sample = self._moments(moments.cov, moments.mean)
        residual = sample - self._moments(implied.sigma, implied.mu)
        return 1.0 - float(residual @ self.weight @ residual) / float(sample @ self.weight @ sample)
