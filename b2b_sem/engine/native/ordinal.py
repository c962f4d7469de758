"""What a model of ordinal items implies: thresholds, latent correlations and their exact derivatives.

Behind an ordinal item stands a continuous response y*; the model of :mod:`b2b_sem.engine.native.implied` is one of y*
and of the numeric variables, with moments Sigma* and mu. Only what answers tell is compared with data,

    th_k = d (tau_k - mu),     r_ij = d_i d_j Sigma*_ij,

with d the scale of y* (1 for numeric variables, whose means and variances count, too). *delta* takes d as the
parameter (1 by default), so that residual variances follow from Var(y*) = 1 / d^2; *theta* takes residual variances as
parameters (1 by default), and d = 1 / sqrt(Sigma*_ii) follows. Muthen (1984), doi:10.1007/BF02294210; Muthen &
Asparouhov (2002), Mplus web note 4.

With covariates that are conditioned on, mu and Sigma* are those given x = 0, and the slopes d (I - B)^-1 on x are
compared, too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from b2b_sem.engine.base import Array, IntArray
from b2b_sem.engine.native.implied import (
    BETA,
    LAMBDA,
    Implied,
    Structure,
    compile_structure,
    implied_moments,
)
from b2b_sem.engine.native.loss import mean_scales
from b2b_sem.spec.partable import ParameterTable

__all__ = ["Layout", "Slopes", "State", "compile_layout"]


@dataclass(frozen=True, eq=False)
class Layout:
    """Where the statistics of ordinal items come from; independent of data.

    Statistics stand in lavaan's order: thresholds (for numeric variables minus the mean), slopes on covariates,
    variances of numeric variables, correlations.

    Attributes
    ----------
    structure : Structure
        Of y* and numeric variables. Residual variances that the delta parameterization computes, and on which other
        moments depend (those of items that take part in paths), are its last r parameters.
    q, r : int
    theta : bool
        Theta parameterization.
    y, x : int arrays
        Places among the observed variables: modelled ones, in the order of the statistics, and covariates given.
    ordered : (n,) bool array
        For each of `y`.
    item : (h,) int array
        Element of `y` for each threshold or mean.
    threshold : (h,) int array
        Its parameter, -1 if fixed.
    level : (h,) array
        Its fixed value.
    scale : (n,) int array
        Parameter that is the scale, -1 if fixed or no parameter.
    fixed_scale : (n,) array
    computed : (r,) int array
        Elements of `y` whose residual variance is computed.
    low, high : int arrays
        Elements of `y` of each correlation.
    core : (c,) int array
        Parameters, up to q, that moments or scales depend on.
    """

    structure: Structure
    q: int
    r: int
    theta: bool
    y: IntArray
    x: IntArray
    ordered: npt.NDArray[np.bool_]
    item: IntArray
    threshold: IntArray
    level: Array
    scale: IntArray
    fixed_scale: Array
    computed: IntArray
    low: IntArray
    high: IntArray
    core: IntArray

    @cached_property
    def numeric(self) -> IntArray:
        """Elements of `y` that are numeric."""
        return np.flatnonzero(~self.ordered)

    @cached_property
    def size(self) -> int:
        """Number of statistics."""
        return len(self.item) + len(self.y) * len(self.x) + len(self.numeric) + len(self.low)

    @cached_property
    def gather(self) -> Array:
        """Matrix that sums entries of the structure to core parameters and computed residuals, (E, c + r)."""
        columns = np.concatenate([self.core, np.arange(self.q, self.q + self.r)])
        return (self.structure.free[:, None] == columns).astype(float)

    @cached_property
    def scale_core(self) -> tuple[IntArray, IntArray]:
        """Elements of `y` with a free scale, and the places of these parameters in `core`."""
        at = np.flatnonzero(self.scale >= 0)
        return at, np.searchsorted(self.core, self.scale[at])

    @cached_property
    def incidence(self) -> Array:
        """Which correlations an item takes part in, (n, pairs)."""
        rows = np.arange(len(self.y))[:, None]
        return (rows == self.low).astype(float) + (rows == self.high)

    @cached_property
    def eta_of_x(self) -> IntArray:
        """Places of the covariates in eta."""
        return np.array([self.structure.eta.index(self.structure.observed[k]) for k in self.x], dtype=np.intp)

    def state(self, theta: Array) -> State | None:
        """Return everything implied at `theta`, shape (q,); None where a variance is not positive."""
        structure = self.structure
        full = np.concatenate([theta, np.zeros(self.r)])
        implied = implied_moments(structure, full)
        if implied is None or not np.isfinite(implied.sigma).all():
            return None
        diagonal = np.diag(implied.sigma)[self.y]
        scale = self.fixed_scale.copy()
        if self.theta:
            if diagonal.min() <= 0:
                return None
            scale[self.ordered] = diagonal[self.ordered] ** -0.5
        else:
            free = self.scale >= 0
            scale[free] = theta[self.scale[free]]
            if not (scale > 0).all() or (diagonal[self.numeric] <= 0).any():
                return None
        response = np.ones((0, 0))
        if self.r:
            place = self.y[self.computed]
            columns = implied.columns[place][:, structure.u[self._computed_entries]]
            response = columns * columns
            try:
                full[self.q :] = np.linalg.solve(response, scale[self.computed] ** -2 - diagonal[self.computed])
            except np.linalg.LinAlgError:
                return None
            implied = implied_moments(structure, full)
            if implied is None:
                return None
        return State(self, theta, full, implied, scale, response)

    @cached_property
    def _computed_entries(self) -> IntArray:
        """Entries of the structure that are computed residuals, in order."""
        numbers = self.q + np.arange(self.r)
        return np.array([np.flatnonzero(self.structure.free == k)[0] for k in numbers], dtype=np.intp)


@dataclass(frozen=True, eq=False)
class Slopes:
    """Derivatives of the statistics: ``D[:, core] = dense`` plus ``coefficient`` at (row h, parameter threshold[h]).

    Attributes
    ----------
    dense : (K, c) array
    coefficient : (h,) array
        0 where the threshold is fixed.
    """

    layout: Layout
    dense: Array
    coefficient: Array

    def matrix(self) -> Array:
        """Return D, shape (K, q)."""
        layout = self.layout
        out = np.zeros((len(self.dense), layout.q))
        out[:, layout.core] = self.dense
        free = np.flatnonzero(layout.threshold >= 0)
        out[free, layout.threshold[free]] += self.coefficient[free]
        return out

    def pull(self, vector: Array) -> Array:
        """Return D'v, shape (q,)."""
        layout = self.layout
        out = np.zeros(layout.q)
        out[layout.core] = vector @ self.dense
        free = layout.threshold >= 0
        np.add.at(out, layout.threshold[free], (self.coefficient * vector[: len(layout.item)])[free])
        return out

    def weigh(self, diagonal: Array) -> Array:
        """Return D' diag(v) D, shape (q, q)."""
        layout = self.layout
        out = np.zeros((layout.q, layout.q))
        root = np.sqrt(diagonal)[:, None] * self.dense
        out[np.ix_(layout.core, layout.core)] = root.T @ root
        free = np.flatnonzero(layout.threshold >= 0)
        at, size = layout.threshold[free], (self.coefficient * diagonal[: len(layout.item)])[free]
        cross = np.zeros((layout.q, len(layout.core)))
        np.add.at(cross, at, size[:, None] * self.dense[free])
        out[:, layout.core] += cross
        out[layout.core, :] += cross.T
        np.add.at(out, (at, at), size * self.coefficient[free])
        return out


@dataclass(frozen=True, eq=False)
class State:
    """What a layout implies at one parameter vector.

    Attributes
    ----------
    theta : (q,) array
    full : (q + r,) array
        With the computed residual variances behind.
    implied : Implied
        Moments of y*, with computed residual variances where they matter.
    scale : (n,) array
        d, 1 for numeric variables.
    response : (r, r) array
        Derivatives of the variances of the computed items by their residual variances.
    """

    layout: Layout
    theta: Array
    full: Array
    implied: Implied
    scale: Array
    response: Array

    @cached_property
    def covariance(self) -> Array:
        """Covariances of the modelled variables in the metric of the statistics, (n, n); 1 for ordinal items."""
        layout = self.layout
        out = self.implied.sigma[np.ix_(layout.y, layout.y)] * np.outer(self.scale, self.scale)
        at = np.flatnonzero(layout.ordered)
        out[at, at] = 1.0
        return out

    @cached_property
    def thresholds(self) -> Array:
        """Thresholds, and minus the means of numeric variables, (h,)."""
        layout = self.layout
        level = layout.level.copy()
        free = layout.threshold >= 0
        level[free] = self.theta[layout.threshold[free]]
        assert self.implied.mu is not None
        return self.scale[layout.item] * (level - self.implied.mu[layout.y[layout.item]])

    @cached_property
    def slopes_on_x(self) -> Array:
        """Slopes on the covariates, (n, number of x)."""
        layout = self.layout
        p = layout.structure.p
        return self.scale[:, None] * self.implied.columns[np.ix_(layout.y, p + layout.eta_of_x)]

    @cached_property
    def statistic(self) -> Array:
        """All statistics, (K,)."""
        layout, cov = self.layout, self.covariance
        return np.concatenate(
            [self.thresholds, self.slopes_on_x.T.ravel(), np.diag(cov)[layout.numeric], cov[layout.low, layout.high]]
        )

    @cached_property
    def parts(self) -> Parts:
        """First derivatives of the moments of y* and of log d."""
        layout, structure = self.layout, self.layout.structure
        columns = self.implied.columns[layout.y]
        u, v, w = columns[:, structure.u], columns[:, structure.v], structure.w
        low, high, gather = layout.low, layout.high, layout.gather
        cov = (w * (u[low] * v[high] + v[low] * u[high])) @ gather
        variance = (2.0 * w * u * v) @ gather
        mean = (mean_scales(structure, self.implied) * columns[:, structure.mean_column]) @ gather
        log_scale = np.zeros((len(layout.y), gather.shape[1]))
        at, place = layout.scale_core
        log_scale[at, place] = 1.0 / self.scale[at]
        chain: Array | None = None
        if layout.r:
            c = len(layout.core)
            right = -2.0 * self.scale[layout.computed, None] ** -2 * log_scale[layout.computed, :c]
            chain = np.linalg.solve(self.response, right - variance[layout.computed, :c])
        if layout.theta:
            diagonal = np.diag(self.implied.sigma)[layout.y]
            log_scale[layout.ordered] = -0.5 * variance[layout.ordered] / diagonal[layout.ordered, None]
        on_x = [self._slope_of_x(k, columns) @ gather for k in layout.eta_of_x]
        return Parts(cov, variance, mean, log_scale, np.array(on_x).reshape(len(on_x), *mean.shape), chain)

    def _slope_of_x(self, x: int, columns: Array) -> Array:
        """Return the derivatives of the effects of one covariate by the entries, (n, E)."""
        structure = self.layout.structure
        moving = np.isin(structure.matrix, (LAMBDA, BETA))
        scale = np.zeros(len(moving))
        scale[moving] = self.implied.inverse[structure.col[moving], x]
        return scale * columns[:, structure.mean_column]

    @cached_property
    def slopes(self) -> Slopes:
        """Derivatives of the statistics."""
        layout, parts = self.layout, self.parts
        coefficient = np.where(layout.threshold >= 0, self.scale[layout.item], 0.0)
        full = np.concatenate(self.blocks)
        c = len(layout.core)
        dense = full[:, :c]
        if parts.chain is not None:
            dense = dense + full[:, c:] @ parts.chain
        return Slopes(layout, dense, coefficient)

    @cached_property
    def blocks(self) -> tuple[Array, Array, Array, Array]:
        """Derivatives of thresholds (but by themselves), slopes, variances, correlations; by core and residuals."""
        layout, parts, d = self.layout, self.parts, self.scale
        item, low, high = layout.item, layout.low, layout.high
        move = parts.log_scale
        thresholds = self.thresholds[:, None] * move[item] - d[item, None] * parts.mean[item]
        on_x = d[:, None] * parts.on_x + self.slopes_on_x.T[:, :, None] * move
        r = self.covariance[low, high]
        cov = (d[low] * d[high])[:, None] * parts.cov + r[:, None] * (move[low] + move[high])
        return thresholds, on_x.reshape(-1, move.shape[1]), parts.variance[layout.numeric], cov


@dataclass(frozen=True, eq=False)
class Parts:
    """Derivatives by core parameters and computed residuals, c + r columns each.

    Attributes
    ----------
    cov : (pairs, c + r) array
        Of Sigma*_ij.
    variance, mean, log_scale : (n, c + r) arrays
        Of Sigma*_ii, mu and log d.
    on_x : (number of x, n, c + r) array
        Of the slopes before scaling.
    chain : (r, c) array or None
        Of the computed residuals by the core parameters.
    """

    cov: Array
    variance: Array
    mean: Array
    log_scale: Array
    on_x: Array
    chain: Array | None


def compile_layout(table: ParameterTable, fixed: dict[str, float], conditional: bool = False) -> Layout:
    """Compile a table with ordinal variables.

    Parameters
    ----------
    table : ParameterTable
    fixed : dict
        Values of the rows that the data fix (``exo``), by row name; with `conditional` zeros are taken.
    conditional : bool
        Whether the statistics are those given the exogenous variables.
    """
    structure = compile_structure(table, _zeros(table) if conditional else fixed)
    place = {v: i for i, v in enumerate(structure.observed)}
    known = set(table.ordered)
    x = [place[v] for v in table.exogenous] if conditional else []
    y = [i for i in range(structure.p) if i not in x]
    names = [structure.observed[i] for i in y]
    computed: list[int] = []
    if table.parameterization == "delta":
        computed = [k for k, v in enumerate(names) if v in known and v in structure.eta]
        if computed:
            numbers = {names[k]: table.nfree + 1 + n for n, k in enumerate(computed)}
            rows = tuple(
                replace(r, free=numbers[r.lhs], value=None) if _is_variance(r.lhs, r.op, r.rhs, numbers) else r
                for r in table.rows
            )
            structure = compile_structure(replace(table, rows=rows), _zeros(table) if conditional else fixed)
    thresholds = {(r.lhs, r.rhs): r for r in table.rows if r.op == "|"}
    scales = {r.lhs: r for r in table.rows if r.op == "~*~"}
    item: list[int] = []
    threshold: list[int] = []
    level: list[float] = []
    for k, v in enumerate(names):
        if v not in known:
            item.append(k)
            threshold.append(-1)
            level.append(0.0)
            continue
        count = sum(name == v for name, _ in thresholds)
        for row in (thresholds[v, f"t{t}"] for t in range(1, count + 1)):
            item.append(k)
            threshold.append(row.free - 1)
            level.append(0.0 if row.free else float(row.value or 0.0))
    scale = np.array([scales[v].free - 1 if v in scales else -1 for v in names], dtype=np.intp)
    fixed_scale = np.array([1.0 if v not in scales or scales[v].free else float(scales[v].value or 1.0) for v in names])
    core = np.union1d(structure.free[structure.free < table.nfree], scale[scale >= 0])
    low, high = np.triu_indices(len(y), 1)
    return Layout(
        structure,
        table.nfree,
        len(computed),
        table.parameterization == "theta",
        np.array(y, dtype=np.intp),
        np.array(x, dtype=np.intp),
        np.array([v in known for v in names]),
        np.array(item, dtype=np.intp),
        np.array(threshold, dtype=np.intp),
        np.array(level),
        scale,
        fixed_scale,
        np.array(computed, dtype=np.intp),
        low,
        high,
        core.astype(np.intp),
    )


def _is_variance(lhs: str, op: str, rhs: str, names: dict[str, int]) -> bool:
    return op == "~~" and lhs == rhs and lhs in names


def _zeros(table: ParameterTable) -> dict[str, float]:
    return {r.name: 0.0 for r in table.rows if r.exo}
