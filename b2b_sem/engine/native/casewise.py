"""The fit function of rows with holes: full information maximum likelihood.

F(theta) = (-2 log L(theta) + 2 log L_1) / N,  with L the normal likelihood of what each respondent answered and L_1 its
maximum without a model (Finkbeiner 1979, doi:10.1007/BF02296204; Arbuckle 1996). The gradient is that of complete data
with the mean of Omega_g - r r' in the place of Omega (Sigma - S) Omega, where Omega_g is the inverse of the covariance
matrix of the answers of a pattern and r = Omega_g (y - mu); the Hessian is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import lapack

from b2b_sem.data.em import CaseSums, Pull, compact, em_moments, pull, saturated_start
from b2b_sem.data.incomplete import Incomplete, group_patterns, pairwise_moments
from b2b_sem.engine.base import Array, IntArray
from b2b_sem.engine.native.casemoment import (
    complete_information,
    complete_spread,
    moment_information,
    moment_places,
    moment_slopes,
    pattern_form,
    score_blocks,
)
from b2b_sem.engine.native.implied import Implied, Structure, implied_moments
from b2b_sem.engine.native.loss import Moments, Point, curvature, entry_information, mean_scales

__all__ = ["CasePoint", "Casewise"]


@dataclass(frozen=True)
class CasePoint(Point):
    """A point of the fit function with what its derivatives need; ``omega`` is the inverse of Sigma."""

    pull: Pull | None = None


@dataclass(frozen=True, eq=False)
class Casewise:
    """Full information maximum likelihood.

    Attributes
    ----------
    incomplete : Incomplete
    sums : CaseSums
    mean, cov : (p,) and (p, p) arrays
        Moments that maximise the likelihood without a model.
    given : tuple of int
        Exogenous variables taken as fixed: moments among them are no statistics.
    clusters : (N,) int array or None
        Cluster of each row, from 0.
    """

    incomplete: Incomplete
    sums: CaseSums
    mean: Array
    cov: Array
    given: tuple[int, ...] = ()
    clusters: IntArray | None = None

    @property
    def complete(self) -> bool:
        """Whether there is no hole at all."""
        return self.incomplete.complete

    @property
    def unit(self) -> float:
        """What values and second derivatives are multiplied by to have the unit of the fit function."""
        return 1.0

    @cached_property
    def floor(self) -> float:
        """-2 log L_1 / N, without its constant."""
        at = pull(self.sums, self.mean, self.cov)
        assert at is not None
        return at.value

    def log_likelihood(self, value: float) -> float:
        """Return log L for a value of F: of all variables given the fixed exogenous ones."""
        n, x = self.sums.nobs, list(self.given)
        out = -0.5 * (n * (value + self.floor) + self.sums.values * np.log(2.0 * np.pi))
        if x:
            logdet = float(np.linalg.slogdet(self.cov[np.ix_(x, x)])[1])
            out += 0.5 * n * (len(x) * np.log(2.0 * np.pi) + logdet + len(x))
        return float(out)

    def independent(self, x: list[int]) -> tuple[Array, Array]:
        """Return mean and covariance matrix of uncorrelated variables; those of the variables `x` among themselves.

        Where `x` are taken as fixed their moments are those without a model, else the maximum of their own likelihood.
        """
        mean, cov = saturated_start(self.incomplete)
        if x:
            at = np.ix_(x, x)
            if self.given:
                mean[x], cov[at] = self.mean[x], self.cov[at]
            else:
                found = em_moments(group_patterns(self.incomplete.rows[:, x]))
                mean[x], cov[at] = found.mean, found.cov
        return mean, cov

    def evaluate(self, structure: Structure, moments: Moments, theta: Array) -> Point | None:
        """Return the fit function at `theta`, or None where Sigma is not positive definite."""
        implied = implied_moments(structure, theta)
        if implied is None or implied.mu is None or not np.isfinite(implied.sigma).all():
            return None
        at = pull(self.sums, implied.mu, implied.sigma)
        if at is None:
            return None
        return CasePoint(theta, at.value - self.floor, implied, at.inverse, self, at)

    def gradient(self, structure: Structure, moments: Moments, point: Point) -> Array:
        """Return dF/dtheta, shape (q,)."""
        columns = point.implied.columns
        at = self._pull(point)
        weight = columns.T @ (at.omega - at.cross) @ columns
        out = 2.0 * structure.w * weight[structure.u, structure.v]
        lever = columns.T @ at.lever
        out = out - 2.0 * mean_scales(structure, point.implied) * lever[structure.mean_column]
        return structure.gather(out)

    def scoring_information(self, structure: Structure, point: Point) -> Array:
        """Return the expected information of a respondent without holes: the metric of the search."""
        return structure.gather(structure.gather(entry_information(structure, point)).T)

    def expected_information(self, structure: Structure, point: Point) -> Array:
        """Return the expected information of one respondent, given the patterns, (q, q)."""
        return self.information(structure, point, "expected")

    def hessian(self, structure: Structure, moments: Moments, point: Point) -> Array:
        """Return d2F / dtheta dtheta', shape (q, q)."""
        return 2.0 * self.information(structure, point, "observed")

    def near_hessian(self, structure: Structure, point: Point) -> Array:
        """Return the Hessian with the information of the moments where they are without the model, (q, q).

        That information is needed anyway, and close to the one at a solution that fits.
        """
        slopes = moment_slopes(structure, point.implied)
        return 2.0 * (slopes.T @ self._observed_at_best @ slopes + self.bend(structure, point))

    def bend(self, structure: Structure, point: Point) -> Array:
        """Return half the part of the Hessian from second derivatives of the implied moments."""
        at, columns = self._pull(point), point.implied.columns
        bend = curvature(structure, point.implied, columns.T @ (at.omega - at.cross) @ columns, columns.T @ at.lever)
        return 0.5 * structure.gather(structure.gather(bend).T)

    def information(self, structure: Structure, point: Point, kind: str) -> Array:
        """Return the information of one respondent, (q, q).

        Parameters
        ----------
        structure, point : Structure, Point
        kind : {"expected", "observed", "h1", "first.order"}
            ``h1`` is the observed information without the second derivatives of the implied moments.
        """
        if kind == "first.order":
            return self.score_meat(structure, point)
        implied = point.implied
        assert implied.mu is not None
        slopes = moment_slopes(structure, implied)
        inner = moment_information(self.sums, implied.mu, implied.sigma, expected=kind == "expected")
        out: Array = slopes.T @ inner @ slopes
        if kind == "observed":
            out = out + self.bend(structure, point)
        return (out + out.T) / 2

    def _pull(self, point: Point) -> Pull:
        assert isinstance(point, CasePoint)
        assert point.pull is not None
        return point.pull

    def score_meat(self, structure: Structure, point: Point) -> Array:
        """Return the cross-products of the respondents' scores, (q, q), divided by N.

        With clusters of sums within clusters, times C / (C - 1) for C clusters.
        """
        implied = point.implied
        assert implied.mu is not None
        return self._crossproduct(implied.mu, implied.sigma, moment_slopes(structure, implied))

    def _crossproduct(self, mean: Array, cov: Array, slopes: Array | None = None) -> Array:
        """Return the mean of s s' with s the scores of the moments, or of parameters with these derivatives."""
        p = len(mean)
        columns = p + p * (p + 1) // 2 if slopes is None else slopes.shape[1]
        groups = None if self.clusters is None else int(self.clusters.max()) + 1
        total = np.zeros((columns, columns))
        sums = np.zeros((groups or 0, columns))
        single = compact(self.incomplete, shorten=False)
        for rows, scores in score_blocks(single, mean, cov):
            part = scores if slopes is None else scores @ slopes
            if self.clusters is None:
                total += part.T @ part
            else:
                assert single.order is not None
                np.add.at(sums, self.clusters[single.order[rows]], part)
        if groups is not None:
            total = sums.T @ sums * (groups / (groups - 1))
        return total / self.sums.nobs

    # Without a model ------------------------------------------------------------------------------------------------

    @cached_property
    def varying(self) -> IntArray:
        """Moments that are statistics: all but those among fixed exogenous variables."""
        p = len(self.mean)
        fixed = np.isin(np.arange(p), self.given)
        i, j = moment_places(p)
        return np.flatnonzero(np.concatenate([~fixed, ~(fixed[i] & fixed[j])]))

    def _kept(self, matrix: Array) -> Array:
        return matrix[np.ix_(self.varying, self.varying)] if self.given else matrix

    @cached_property
    def _observed_at_best(self) -> Array:
        if self.complete:  # residuals have the mean 0 and products whose mean is Omega: nothing is left of them
            return complete_information(self.cov)
        return moment_information(self.sums, self.mean, self.cov)

    @cached_property
    def observed_moments(self) -> Array:
        """Observed information of the varying moments at their estimates."""
        return self._kept(self._observed_at_best)

    @cached_property
    def inverse_moments(self) -> Array | None:
        """Inverse of :attr:`observed_moments`; None if it is not positive definite."""
        if self.complete and not self.given:
            return complete_spread(self.cov)
        matrix = self.observed_moments
        if np.diag(matrix).min() <= 0:
            return None
        scale = 1.0 / np.sqrt(np.diag(matrix))
        factor, info = lapack.dpotrf(matrix * np.outer(scale, scale), lower=1)
        if info != 0:
            return None
        out, info = lapack.dpotri(factor, lower=1)
        if info != 0:
            return None
        full: Array = (np.tril(out) + np.tril(out, -1).T) * np.outer(scale, scale)
        return full

    @cached_property
    def expected_moments(self) -> Array:
        """Expected information of the varying moments at their estimates."""
        if self.complete:
            return self.complete_moments
        return self._kept(moment_information(self.sums, self.mean, self.cov, expected=True))

    @cached_property
    def complete_moments(self) -> Array:
        """Information that the varying moments would have without holes."""
        if self.complete:
            return self.observed_moments
        return self._kept(complete_information(self.cov))

    @cached_property
    def moment_meat(self) -> Array:
        """Cross-products of the respondents' scores of the varying moments at their estimates."""
        return self._kept(self._crossproduct(self.mean, self.cov))

    @cached_property
    def inverse_meat(self) -> Array:
        """W^-1 J: inverse observed information times :attr:`moment_meat`, of the varying moments."""
        inverse = self.inverse_moments
        if inverse is None:
            return np.full_like(self.moment_meat, np.nan)
        out: Array = inverse @ self.moment_meat
        return out

    @cached_property
    def complete_trace(self) -> float:
        """tr(W_c W^-1 J W^-1) with W_c the information without holes."""
        if self.complete:
            return float(np.trace(self.inverse_meat))
        inverse = self.inverse_moments
        return np.nan if inverse is None else float(((inverse @ self.complete_moments) * self.inverse_meat.T).sum())

    def moment_trace(self, information: str) -> float:
        """Return tr(W^-1 J) with W the information of the varying moments, observed unless ``expected``."""
        expected = information == "expected" and not self.complete
        if not expected and self.inverse_moments is not None:
            return float(np.trace(self.inverse_meat))
        weight = self.expected_moments if expected else self.observed_moments
        return float(np.trace(np.linalg.solve(weight, self.moment_meat)))

    def slopes(self, structure: Structure, implied: Implied) -> Array:
        """Return the derivatives of the varying moments by the parameters."""
        return moment_slopes(structure, implied)[self.varying]

    def gfi(self, moments: Moments, implied: Implied) -> float:
        """Return 1 - e'We / s'Ws with the expected information of the moments at the implied moments as weight.

        As in lavaan, s are the means and covariances of the answers there are, pair by pair, with divisor N.
        """
        assert implied.mu is not None
        given, n = list(self.given), self.sums.nobs
        mean, cov = pairwise_moments(self.incomplete)
        cov = cov * ((n - 1) / n)

        def size(cov: Array, mean: Array) -> float:
            cov, mean = cov.copy(), mean.copy()
            if given:
                cov[np.ix_(given, given)] = 0.0
                mean[given] = 0.0
            return pattern_form(self.sums, implied.sigma, cov, mean)

        return 1.0 - size(cov - implied.sigma, mean - implied.mu) / size(cov, mean)
