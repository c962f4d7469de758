"""The fit function of ordinal items: F = (s - sigma)' V (s - sigma) with thresholds and polychoric correlations s.

V is the inverse of the asymptotic covariance matrix Gamma of s (WLS), the inverse of its diagonal (DWLS, behind WLSM
and WLSMV) or the identity (ULS): Muthen (1984), doi:10.1007/BF02294210; Muthen, du Toit & Spisic (1997). Gradient and
Hessian are exact. Second derivatives of Sigma* and mu come from :func:`b2b_sem.engine.native.loss.curvature`; scales
enter through their logarithms, whose second derivatives have rank one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from b2b_sem.engine.base import Array
from b2b_sem.engine.native.implied import BETA, LAMBDA, Implied, Structure
from b2b_sem.engine.native.loss import Moments, Point, curvature
from b2b_sem.engine.native.ordinal import Layout, State

__all__ = ["CategoricalWeight", "OrdinalPoint"]


@dataclass(frozen=True)
class OrdinalPoint(Point):
    """The fit function at one parameter vector; ``state`` holds what the model implies there."""

    state: State | None = None


@dataclass(frozen=True, eq=False)
class CategoricalWeight:
    """Weighted least squares for thresholds and latent correlations.

    Attributes
    ----------
    layout : Layout
    statistic : (K,) array
        s.
    diagonal : (K,) array or None
        V, if it is diagonal.
    dense : (K, K) array or None
        V otherwise.
    size : float
        Inside, F is divided by this, so that the optimiser's tolerances do not depend on units.
    """

    layout: Layout
    statistic: Array
    diagonal: Array | None
    dense: Array | None = None
    size: float = 1.0

    @property
    def unit(self) -> float:
        """What values are multiplied by to be F."""
        return self.size

    def times(self, vector: Array) -> Array:
        """Return V times a vector or matrix."""
        if self.dense is not None:
            out: Array = self.dense @ vector
            return out
        assert self.diagonal is not None
        return self.diagonal * vector if vector.ndim == 1 else self.diagonal[:, None] * vector

    def evaluate(self, structure: Structure, moments: Moments, theta: Array) -> Point | None:
        """Return the fit function at `theta`, or None where a variance is not positive."""
        state = self.layout.state(theta)
        if state is None:
            return None
        residual = state.statistic - self.statistic
        value = float(residual @ self.times(residual)) / self.size
        p = len(moments.cov)
        return OrdinalPoint(theta, value, state.implied, np.eye(p), self, state) if np.isfinite(value) else None

    def gradient(self, structure: Structure, moments: Moments, point: Point) -> Array:
        """Return dF/dtheta, shape (q,)."""
        state = _state(point)
        pull = 2.0 / self.size * self.times(state.statistic - self.statistic)
        return state.slopes.pull(pull)

    def expected_information(self, structure: Structure, point: Point) -> Array:
        """Return D'VD, shape (q, q)."""
        slopes = _state(point).slopes
        if self.diagonal is not None:
            return slopes.weigh(self.diagonal / self.size)
        d = slopes.matrix()
        out: Array = d.T @ self.times(d) / self.size
        return out

    def scoring_information(self, structure: Structure, point: Point) -> Array:
        """Return D'VD: the metric of the search."""
        return self.expected_information(structure, point)

    def hessian(self, structure: Structure, moments: Moments, point: Point) -> Array:
        """Return d2F / dtheta dtheta', shape (q, q)."""
        state = _state(point)
        pull = 2.0 / self.size * self.times(state.statistic - self.statistic)
        out = 2.0 * self.expected_information(structure, point) + _curved(self.layout, state, pull)
        return (out + out.T) / 2

    def gfi(self, moments: Moments, implied: Implied) -> float:
        """Not asked for: see :mod:`b2b_sem.engine.ordinal`."""
        raise NotImplementedError

    def fit_index(self, point: Point) -> float:
        """Return the goodness of fit index 1 - e'Ve / s'Vs."""
        return 1.0 - point.value * self.size / float(self.statistic @ self.times(self.statistic))


def _state(point: Point) -> State:
    assert isinstance(point, OrdinalPoint)
    assert point.state is not None
    return point.state


def _curved(layout: Layout, state: State, pull: Array) -> Array:
    """Return the sum of pull_k times the Hessian of statistic k, shape (q, q)."""
    structure, parts, d = layout.structure, state.parts, state.scale
    n, h, c = len(layout.y), len(layout.item), len(layout.core)
    on_x_count = n * len(layout.x)
    numeric = len(layout.numeric)
    p_th = pull[:h]
    p_x = pull[h : h + on_x_count].reshape(len(layout.x), n)
    p_var = pull[h + on_x_count : h + on_x_count + numeric]
    p_cov = pull[h + on_x_count + numeric :]
    low, high, item = layout.low, layout.high, layout.item
    move = parts.log_scale

    # how much F moves with the logarithm of each scale, and in pairs
    together = np.zeros((n, n))
    together[low, high] = together[high, low] = p_cov * state.covariance[low, high]
    level = together.sum(axis=1) + np.bincount(item, p_th * state.thresholds, minlength=n)
    level += (p_x * state.slopes_on_x.T).sum(axis=0)
    bend = np.diag(level) + together
    # second derivatives of log d: theta -Sigma''/(2 Sigma) + 2 (log d)' (log d)'', delta -(log d)' (log d)'
    bend[np.diag_indices(n)] += level * np.where(layout.ordered, 2.0, 0.0) if layout.theta else -level
    # first derivatives of everything else, times those of log d
    cross = layout.incidence @ ((p_cov * d[low] * d[high])[:, None] * parts.cov)
    cross -= np.bincount(item, p_th * d[item], minlength=n)[:, None] * parts.mean
    if len(layout.x):
        cross += d[:, None] * np.einsum("xi,xic->ic", p_x, parts.on_x)

    # second derivatives of Sigma* and mu
    p = structure.p
    weight = np.zeros((p, p))
    weight[layout.y[low], layout.y[high]] = 0.5 * p_cov * d[low] * d[high]
    weight += weight.T
    diagonal = np.zeros(n)
    diagonal[layout.numeric] = p_var
    if layout.theta:
        sigma = np.diag(state.implied.sigma)[layout.y]
        diagonal[layout.ordered] = -0.5 * level[layout.ordered] / sigma[layout.ordered]
    if layout.r:
        # computed residuals rho solve Sigma_oo(theta, rho) = d^-2: a multiplier for each of these equations
        blocks = np.concatenate(state.blocks)[:, c:]
        multiplier = -np.linalg.solve(state.response.T, pull @ blocks)
        diagonal[layout.computed] += multiplier
        extra = np.zeros(n)
        extra[layout.computed] = -6.0 * multiplier * d[layout.computed] ** -2
        bend[np.diag_indices(n)] += extra
    weight[layout.y, layout.y] += diagonal
    lever = np.zeros(p)
    lever[layout.y] = 0.5 * np.bincount(item, p_th * d[item], minlength=n)
    columns = state.implied.columns
    entries = curvature(structure, state.implied, columns.T @ weight @ columns, columns.T @ lever)
    moving = np.isin(structure.matrix, (LAMBDA, BETA))
    for k, x in enumerate(layout.eta_of_x):
        slope = replace(state.implied, eta_mean=state.implied.inverse[:, x])
        lever = np.zeros(p)
        lever[layout.y] = -0.5 * p_x[k] * d
        part = curvature(structure, slope, np.zeros((columns.shape[1],) * 2), columns.T @ lever)
        entries += part * np.outer(moving, moving)

    inner = layout.gather.T @ entries @ layout.gather
    inner = (inner + inner.T) / 2 + move.T @ bend @ move
    mixed = cross.T @ move
    inner += mixed + mixed.T
    if parts.chain is not None:
        inner = np.concatenate([np.eye(c), parts.chain]).T @ inner @ np.concatenate([np.eye(c), parts.chain])
    out = np.zeros((layout.q, layout.q))
    out[np.ix_(layout.core, layout.core)] = inner
    free = np.flatnonzero(layout.threshold >= 0)
    share = np.zeros((layout.q, c))
    np.add.at(share, layout.threshold[free], (p_th * d[item])[free, None] * move[item[free], :c])
    out[:, layout.core] += share
    out[layout.core, :] += share.T
    return out
