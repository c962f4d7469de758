"""Sums over respondents behind robust standard errors and scaled tests, without any p* x p* matrix.

With Omega = Sigma^-1 = L'L, e_i = L (y_i - m) and M the columns that all derivatives of Sigma are made of
(dSigma_a = w_a (u v' + v u')), everything is a product of N x p arrays:

* a respondent's score is w_a (Y_iu Y_iv - M'Omega M_uv) with Y = e' L M: its cross-products are the middle of the
  sandwich (Huber 1967; White 1982, doi:10.2307/1912526);
* D'V Gamma V D, with Gamma the asymptotic covariance matrix of the sample moments (Browne 1984,
  doi:10.1111/j.2044-8317.1984.tb00789.x), is the same with S in the place of Sigma;
* tr(V Gamma) is a sum of (e_i'e_i)^2, and tr(V Gamma V Gamma) of (e_i'e_j)^4 over pairs, all of them centred.

Exogenous variables taken as fixed: the products of what they predict are subtracted (moments given x), as in lavaan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from b2b_sem.data.observed import Observed
from b2b_sem.engine.base import Array, IntArray
from b2b_sem.engine.native.implied import Structure
from b2b_sem.engine.native.loss import Point, mean_scales
from b2b_sem.errors import DataError
from b2b_sem.spec.partable import ParameterTable

__all__ = ["Rows", "moment_meat", "moment_products", "rows_of", "score_meat", "second_trace", "trace_of_gamma"]

#: Numbers in one working array; blocks of rows are cut to it.
LIMIT = 1_000_000


@dataclass(frozen=True)
class Rows:
    """The data of a fit.

    Attributes
    ----------
    values : (N, p) array
        In model order.
    mean : (p,) array
    cov : (p, p) array
        With divisor N.
    fitted : (p, p) array or None
        Matrix that turns a centred row into what fixed exogenous variables predict of it.
    order, start : int arrays or None
        Rows sorted by cluster, and where each cluster starts.
    """

    values: Array
    mean: Array
    cov: Array
    fitted: Array | None
    order: IntArray | None = None
    start: IntArray | None = None

    @property
    def nobs(self) -> int:
        """Number of rows N."""
        return len(self.values)

    @property
    def residual(self) -> Array:
        """Mean of yy' - y^y^' over centred rows y and what x predicts of them, (p, p)."""
        return self.cov if self.fitted is None else self.cov - self.fitted.T @ self.cov @ self.fitted

    def blocks(self, width: int) -> Iterator[Array]:
        """Yield centred rows in blocks, for working arrays of `width` columns."""
        size = max(LIMIT // max(width, 1), 16)
        for first in range(0, self.nobs, size):
            at = slice(first, first + size) if self.order is None else self.order[first : first + size]
            yield self.values[at] - self.mean

    def crossproduct(self, width: int, make: Callable[[Array], Array], columns: int) -> Array:
        """Return the sum of s s' over rows or, with clusters, over sums of s within clusters, divided by N.

        Parameters
        ----------
        width : int
            Columns of the largest working array `make` needs.
        make : callable
            Centred rows (b, p) -> s (b, columns).
        columns : int
        """
        if self.start is None:
            total = np.zeros((columns, columns))
            for block in self.blocks(width):
                part = make(block)
                total += part.T @ part
            return total / self.nobs
        sums = self._cluster_sums(width, make, columns)
        count = len(self.start)
        return sums.T @ sums * (count / (count - 1) / self.nobs)

    def _cluster_sums(self, width: int, make: Callable[[Array], Array], columns: int) -> Array:
        assert self.start is not None
        sums = np.zeros((len(self.start), columns))
        done = 0
        for block in self.blocks(width):
            part = make(block)
            last = done + len(block)
            first = int(np.searchsorted(self.start, done, side="right")) - 1
            inside = self.start[first : int(np.searchsorted(self.start, last, side="left"))]
            sums[first : first + len(inside)] += np.add.reduceat(part, np.maximum(inside - done, 0), axis=0)
            done = last
        return sums


def rows_of(table: ParameterTable, observed: Observed) -> Rows:
    """Return the data behind `observed`.

    Raises
    ------
    DataError
        If only moments are known.
    """
    if observed.raw is None:
        raise DataError(
            "robust standard errors and tests, and WLS, need the data: a covariance matrix is not enough",
            hint="give data=..., or use estimator='ML', 'GLS' or 'ULS'",
        )
    group = observed.groups[0]
    assert group.mean is not None
    fitted: Array | None = None
    if table.fixed_x:
        x = [table.observed.index(v) for v in table.exogenous]
        fitted = np.zeros_like(group.cov)
        fitted[x] = np.linalg.solve(group.cov[np.ix_(x, x)], group.cov[x])
        fitted[np.ix_(x, x)] = np.eye(len(x))
    order: IntArray | None = None
    start: IntArray | None = None
    if observed.clusters is not None:
        codes = observed.clusters[0]
        order = np.argsort(codes, kind="stable")
        start = np.flatnonzero(np.diff(codes[order], prepend=-1))
    return Rows(observed.raw[0], np.array(group.mean), np.array(group.cov), fitted, order, start)


def _root(omega: Array) -> Array:
    """Return L with L'L = omega."""
    return np.linalg.cholesky(omega).T


def score_meat(structure: Structure, point: Point, rows: Rows) -> Array:
    """Return the cross-products of the respondents' scores (derivatives of their log-likelihood), (q, q).

    Divided by N. With clusters of sums within clusters, times C / (C - 1) for C clusters.
    """
    implied, omega = point.implied, point.omega
    u, v, w = structure.u, structure.v, structure.w
    project = omega @ implied.columns
    level = w * (implied.columns.T @ project)[u, v]
    scale = mean_scales(structure, implied)
    shift = np.zeros(structure.p) if implied.mu is None else rows.mean - implied.mu

    def scores(block: Array) -> Array:
        y = (block + shift) @ project
        out = w * y[:, u] * y[:, v] - level
        if structure.meanstructure:
            out += scale * y[:, structure.mean_column]
        return structure.gather(out)

    return rows.crossproduct(4 * len(structure.free), scores, structure.q)


def moment_products(structure: Structure, point: Point, rows: Rows) -> tuple[Callable[[Array], Array], int]:
    """Return the function that maps centred rows to their part of D'V (s - mean of s), and its working width."""
    implied = point.implied
    u, v, w = structure.u, structure.v, structure.w
    project = point.omega @ implied.columns
    level = w * (project.T @ rows.residual @ project)[u, v]
    scale = mean_scales(structure, implied)

    def products(block: Array) -> Array:
        y = block @ project
        out = w * y[:, u] * y[:, v] - level
        if rows.fitted is not None:
            predicted = (block @ rows.fitted) @ project
            out -= w * predicted[:, u] * predicted[:, v]
            y = y - predicted
        if structure.meanstructure:
            out += scale * y[:, structure.mean_column]
        return structure.gather(out)

    return products, 4 * len(structure.free)


def moment_meat(structure: Structure, point: Point, rows: Rows) -> Array:
    """Return D'V Gamma V D, shape (q, q), with V the normal-theory weight at Sigma."""
    products, width = moment_products(structure, point, rows)
    return rows.crossproduct(width, products, structure.q)


def trace_of_gamma(omega: Array, rows: Rows, meanstructure: bool) -> float:
    """Return tr(V Gamma) with V the normal-theory weight made of `omega`."""
    root = _root(omega)
    residual = root @ rows.residual @ root.T
    if rows.start is not None:
        return _clustered_trace(root, residual, rows, meanstructure)
    total, plain = 0.0, 0.0
    for block in rows.blocks(4 * len(omega)):
        e = block @ root.T
        own = (e * e).sum(axis=1)
        if rows.fitted is None:
            total += float(own @ own)
            plain += float(own.sum())
            continue
        f = (block @ rows.fitted) @ root.T
        cross, predicted = (e * f).sum(axis=1), (f * f).sum(axis=1)
        total += float(own @ own - 2.0 * cross @ cross + predicted @ predicted)
        plain += float((own - 2.0 * cross + predicted).sum())
    out = 0.5 * total / rows.nobs - 0.5 * float((residual * residual).sum())
    return out + (plain / rows.nobs if meanstructure else 0.0)


def _clustered_trace(root: Array, residual: Array, rows: Rows, meanstructure: bool) -> float:
    """Return tr(V Gamma) from the sums of moments within clusters, some columns of the moments at a time."""
    assert rows.start is not None
    p, count = len(root), len(rows.start)
    total = 0.0
    low, high = np.tril_indices(p)
    step = max(4 * LIMIT // count, 1)
    for first in range(0, len(low), step):
        i, j = low[first : first + step], high[first : first + step]
        weight = np.where(i == j, np.sqrt(0.5), 1.0)

        def products(block: Array, i: IntArray = i, j: IntArray = j, weight: Array = weight) -> Array:
            e = block @ root.T
            out = e[:, i] * e[:, j] - residual[i, j]
            if rows.fitted is not None:
                f = (block @ rows.fitted) @ root.T
                out -= f[:, i] * f[:, j]
            return out * weight

        sums = rows._cluster_sums(3 * len(i), products, len(i))
        total += float((sums * sums).sum())
    if meanstructure:

        def means(block: Array) -> Array:
            return (block if rows.fitted is None else block - block @ rows.fitted) @ root.T

        sums = rows._cluster_sums(2 * p, means, p)
        total += float((sums * sums).sum())
    return total * count / (count - 1) / rows.nobs


def second_trace(structure: Structure, point: Point, rows: Rows, bread: Array) -> float:
    """Return tr(U Gamma U Gamma), U = V - V D bread D'V, by whichever of N x N and p* x p* is smaller."""
    p = structure.p
    pairs = p * (p + 1) // 2 + (p if structure.meanstructure else 0)
    if rows.nobs * (2 * p + structure.q) < pairs * pairs:
        return _second_trace_of_rows(structure, point, rows, bread)
    return _second_trace_of_moments(structure, point, rows, bread)


def _second_trace_of_rows(structure: Structure, point: Point, rows: Rows, bread: Array) -> float:
    """Return tr(U Gamma U Gamma) from all pairs of respondents: |Z U Z'|^2 / N^2 with Z the centred products."""
    root = _root(point.omega)
    residual = root @ rows.residual @ root.T
    products, width = moment_products(structure, point, rows)
    g = np.concatenate([products(block) for block in rows.blocks(width)])
    centred = rows.values - rows.mean
    e = centred @ root.T
    f = None if rows.fitted is None else (centred @ rows.fitted) @ root.T
    shift = 0.5 * ((e @ residual) * e).sum(axis=1)
    if f is not None:
        shift -= 0.5 * ((f @ residual) * f).sum(axis=1)
    level = 0.5 * float((residual * residual).sum())
    d = e if f is None else e - f
    total = 0.0
    size = max(LIMIT // rows.nobs, 1)
    for first in range(0, rows.nobs, size):
        at = slice(first, first + size)
        kernel = 0.5 * (e[at] @ e.T) ** 2
        if f is not None:
            kernel += 0.5 * ((f[at] @ f.T) ** 2 - (e[at] @ f.T) ** 2 - (f[at] @ e.T) ** 2)
        kernel += level - shift[at, None] - shift
        if structure.meanstructure:
            kernel += d[at] @ d.T
        kernel -= (g[at] @ bread) @ g.T
        total += float((kernel * kernel).sum())
    return total / rows.nobs**2


def _second_trace_of_moments(structure: Structure, point: Point, rows: Rows, bread: Array) -> float:
    """Return tr(U Gamma U Gamma) from the moments, in a metric in which V is the identity."""
    root = _root(point.omega)
    residual = root @ rows.residual @ root.T
    p = structure.p
    i, j = np.tril_indices(p)
    weight = np.where(i == j, np.sqrt(0.5), 1.0)

    def products(block: Array) -> Array:
        e = block @ root.T
        out = e[:, i] * e[:, j] - residual[i, j]
        if rows.fitted is not None:
            f = (block @ rows.fitted) @ root.T
            out -= f[:, i] * f[:, j]
            e = e - f
        out *= weight
        return np.concatenate([e, out], axis=1) if structure.meanstructure else out

    count = len(i) + (p if structure.meanstructure else 0)
    gamma = rows.crossproduct(3 * count, products, count)
    columns = root @ point.implied.columns
    u, v = columns[:, structure.u], columns[:, structure.v]
    slopes: Array = weight[:, None] * structure.w * (u[i] * v[j] + v[i] * u[j])
    if structure.meanstructure:
        slopes = np.concatenate([mean_scales(structure, point.implied) * columns[:, structure.mean_column], slopes])
    slopes = structure.gather(slopes)
    product = gamma - slopes @ (bread @ (slopes.T @ gamma))
    return float((product * product.T).sum())
