"""Respondents under the normal models of many points: densities, and the sums that derivatives are made of.

At each point q of an integral the answers and the given variables have a normal distribution with mean mu_q and
covariance matrix Sigma_q (:mod:`b2b_sem.engine.native.mixture`). Respondents with the same answers present are one
product of matrices: quadratic forms are linear in y and its products. Respondents with holes of many patterns are
rows of an array each: with K = Sigma^-1 only systems as small as the number of holes are solved
(:mod:`b2b_sem.data.em`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from b2b_sem.data.em import Block, CaseSums, compact
from b2b_sem.data.incomplete import Incomplete, group_patterns
from b2b_sem.engine.base import Array, IntArray
from b2b_sem.engine.native.casemoment import moment_information, moment_slopes
from b2b_sem.engine.native.implied import Implied, Structure
from b2b_sem.engine.native.loss import covariance_bend, mean_bend

__all__ = ["Models", "Rows", "Work", "gather_rows"]

#: Respondents of one pattern from which it is worth a product of matrices of its own.
MANY = 40
#: Numbers in one working array.
LIMIT = 4_000_000
LOG_2PI = float(np.log(2.0 * np.pi))


@dataclass(frozen=True)
class Models:
    """The linear models of all points, each array with the point first.

    Attributes
    ----------
    points : (Q, d) array
        Values of the given variables.
    mu, sigma : (Q, P) and (Q, P, P) arrays
        Moments of answers and given variables.
    eta_cov, eta_mean, inverse : (Q, m, m), (Q, m) and (Q, m, m) arrays
    columns : (Q, P, P + 2m) array
    psi, theta : (m, m) and (P, P) arrays
        The same at all points.
    """

    points: Array
    mu: Array
    sigma: Array
    eta_cov: Array
    eta_mean: Array
    inverse: Array
    columns: Array
    psi: Array
    theta: Array

    def at(self, q: int) -> Implied:
        """Return the model of one point."""
        return Implied(
            self.sigma[q],
            self.mu[q],
            self.eta_cov[q],
            self.eta_mean[q],
            self.columns[q],
            self.inverse[q],
            self.psi,
            self.theta,
        )


@dataclass(frozen=True)
class Work:
    """What a set of respondents keeps of an evaluation.

    Attributes
    ----------
    inverse : (Q, k, k) array
        Inverse covariance matrices.
    lever : (Q, k) array
        Sigma^-1 ((0, c) - mu) of respondents with the same answers present; else empty.
    small : tuple of (G, Q, m, m) arrays
        For each block of patterns the inverse of K at the holes.
    """

    inverse: Array
    lever: Array
    small: tuple[Array, ...] = ()


class Rows(Protocol):
    """A set of respondents.

    ``rows`` are their places among all; weights are (n, Q) arrays.
    """

    @property
    def rows(self) -> IntArray:
        """Places of the respondents among all."""

    def weigh(self, models: Models, center: Array) -> tuple[Array, Work] | None:
        """Return the log densities of answers and given variables (n, Q), or None where there are none."""

    def add_forces(self, models: Models, center: Array, work: Work, weight: Array, pull: Array, push: Array) -> None:
        """Add the sums of w (Omega - r r') and w r at each point to (Q, P, P) and (Q, P) arrays."""

    def scores(
        self, structure: Structure, models: Models, center: Array, work: Work, q: int, take: IntArray, means: Array
    ) -> Array:
        """Return the scores of the entries of some respondents at one point, (n, E)."""

    def rigid(
        self, structure: Structure, models: Models, center: Array, work: Work, q: int, weight: Array, means: Array
    ) -> Array:
        """Return the Hessian of -2 sum w log f at one point without second derivatives of the moments, (E, E)."""


def gather_rows(incomplete: Incomplete, center: Array) -> tuple[Rows, ...]:
    """Return the respondents in sets that are fast to compute: frequent patterns each by itself, all others together.

    Parameters
    ----------
    incomplete : Incomplete
    center : (p,) array
        What is subtracted from the answers.
    """
    out: list[Rows] = []
    frequent = incomplete.counts >= (MANY if len(incomplete.counts) > 1 else 1)
    for pattern in np.flatnonzero(frequent):
        rows = np.flatnonzero(incomplete.member == pattern)
        observed = np.flatnonzero(incomplete.patterns[pattern])
        answers = incomplete.rows[np.ix_(rows, observed)] - center[observed]
        first, second = np.triu_indices(len(observed))
        features = np.concatenate([answers[:, first] * answers[:, second], answers, np.ones((len(rows), 1))], axis=1)
        out.append(_Alike(rows, observed, answers, features, first, second))
    rest = np.flatnonzero(~frequent[incomplete.member])
    if len(rest):
        sums = compact(group_patterns(incomplete.rows[rest] - center), shorten=False)
        assert sums.order is not None
        out.append(_Mixed(rest[sums.order], sums))
    return tuple(out)


def _combine(structure: Structure, force: Array, fixed: Array, means: Array) -> Array:
    """Return scores w (f_u f_v - fixed) + scale f, with f = M' r."""
    s = structure
    return s.w * (force[:, s.u] * force[:, s.v] - fixed) + means * force[:, s.mean_column]


@dataclass(frozen=True, eq=False)
class _Alike:
    """Respondents with the same answers present."""

    rows: IntArray
    observed: IntArray
    answers: Array  # (n, k)
    features: Array  # (n, k (k + 1) / 2 + k + 1): products of answers, answers, 1
    first: IntArray
    second: IntArray

    def _places(self, models: Models, center: Array) -> IntArray:
        p = len(center)
        return np.concatenate([self.observed, np.arange(p, p + models.points.shape[1])])

    def weigh(self, models: Models, center: Array) -> tuple[Array, Work] | None:
        k = len(self.observed)
        at = self._places(models, center)
        sigma = models.sigma[:, at[:, None], at]
        found = _invert(sigma)
        if found is None:
            return None
        inverse, logdet = found
        # distance of (center, c) from the mean: answers are stored without their center
        away = np.concatenate([np.broadcast_to(center[self.observed], (len(sigma), k)), models.points], axis=1)
        away = away - models.mu[:, at]
        lever = np.einsum("qij,qj->qi", inverse, away)
        form = inverse[:, self.first, self.second] * np.where(self.first == self.second, 1.0, 2.0)
        constant = (away * lever).sum(axis=1) + logdet + len(at) * LOG_2PI
        coefficients = np.concatenate([form, 2.0 * lever[:, :k], constant[:, None]], axis=1)
        coefficients *= -0.5
        return self.features @ coefficients.T, Work(inverse, lever)

    def _sums(self, weight: Array) -> tuple[Array, Array, Array]:
        """Return weighted sums of products of answers, of answers, and of 1: (Q, k, k), (Q, k), (Q,)."""
        k, count = len(self.observed), len(self.first)
        sums = weight.T @ self.features
        products = np.empty((len(sums), k, k))
        products[:, self.first, self.second] = sums[:, :count]
        products[:, self.second, self.first] = sums[:, :count]
        return products, sums[:, count:-1], sums[:, -1]

    def add_forces(self, models: Models, center: Array, work: Work, weight: Array, pull: Array, push: Array) -> None:
        at = self._places(models, center)
        products, total, n = self._sums(weight)
        inverse, lever = work.inverse, work.lever
        slope = inverse[:, :, : len(self.observed)]
        mean = np.einsum("qij,qj->qi", slope, total)
        cross = mean[:, :, None] * lever[:, None, :]
        square = slope @ products @ slope.transpose(0, 2, 1) + cross + cross.transpose(0, 2, 1)
        square += n[:, None, None] * (lever[:, :, None] * lever[:, None, :])
        pull[:, at[:, None], at] += n[:, None, None] * inverse - square
        push[:, at] += mean + n[:, None] * lever

    def scores(
        self, structure: Structure, models: Models, center: Array, work: Work, q: int, take: IntArray, means: Array
    ) -> Array:
        columns = models.columns[q][self._places(models, center)]
        slope = work.inverse[q] @ columns
        fixed = (columns.T @ slope)[structure.u, structure.v]
        force = self.answers[take] @ slope[: len(self.observed)] + work.lever[q] @ columns
        return _combine(structure, force, fixed, means)

    def rigid(
        self, structure: Structure, models: Models, center: Array, work: Work, q: int, weight: Array, means: Array
    ) -> Array:
        products, total, n = (x[0] for x in self._sums(weight[:, q : q + 1]))
        columns = models.columns[q][self._places(models, center)]
        slope = work.inverse[q] @ columns
        a = columns.T @ slope
        slope = slope[: len(self.observed)].T
        fixed = columns.T @ work.lever[q]
        force = slope @ total
        cross = np.outer(force, fixed)
        c = slope @ products @ slope.T + cross + cross.T + n * np.outer(fixed, fixed)
        out: Array = covariance_bend(structure, a, c, n) + mean_bend(structure, a, force + n * fixed, means, n)
        return out


@dataclass(frozen=True, eq=False)
class _Mixed:
    """Respondents with holes of many patterns, sorted by pattern; answers without their center, 0 at holes."""

    rows: IntArray
    sums: CaseSums

    def weigh(self, models: Models, center: Array) -> tuple[Array, Work] | None:
        sigma = models.sigma
        found = _invert(sigma)
        if found is None:
            return None
        inverse, logdet = found
        small = []
        count = len(self.rows)
        own = np.zeros((count, len(sigma)))
        for block in self.sums.blocks:
            at = block.holes
            parts = _invert_small(inverse[:, at[:, :, None], at[:, None, :]].swapaxes(0, 1))
            if parts is None:
                return None
            small.append(parts[0])
            own[block.rows] = parts[1][block.pattern]
        work = Work(inverse, inverse[:, :0, 0], tuple(small))
        seen = self.sums.seen.sum(axis=1) + models.points.shape[1]
        density = own + logdet + seen[:, None] * LOG_2PI
        for part, away, r in self._residuals(models, center, work, range(len(sigma))):
            density[:, part] += (away * r).sum(axis=2).T
        density *= -0.5
        return density, work

    def _residuals(
        self, models: Models, center: Array, work: Work, points: range
    ) -> Iterator[tuple[slice, Array, Array]]:
        """Yield, for some points at a time, deviations filled in and r = Omega (y - mu), 0 at holes: (Q, n, P)."""
        p, d = len(center), models.points.shape[1]
        n = len(self.rows)
        size = max(1, LIMIT // (n * (p + d)))
        for first in range(points.start, points.stop, size):
            part = slice(first, min(first + size, points.stop))
            away = np.empty((part.stop - part.start, n, p + d))
            gap = (center - models.mu[part, :p])[:, None, :]
            np.multiply(self.sums.rows + gap, self.sums.seen, out=away[:, :, :p])
            away[:, :, p:] = (models.points[part] - models.mu[part, p:])[:, None, :]
            inverse = work.inverse[part]
            pushed = away @ inverse
            for block, small in zip(self.sums.blocks, work.small, strict=True):
                if not block.holes.shape[1]:
                    continue
                holes = block.holes[block.pattern]
                at = np.arange(block.rows.start, block.rows.stop)[:, None]
                known = pushed[:, at, holes].transpose(1, 2, 0)  # (k, m, Q)
                own = small[:, part][block.pattern]  # (k, Q, m, m)
                away[:, at, holes] = -np.einsum("nqij,njq->qni", own, known)
            r = away @ inverse
            r[:, :, :p] *= self.sums.seen
            yield part, away, r

    def add_forces(self, models: Models, center: Array, work: Work, weight: Array, pull: Array, push: Array) -> None:
        count, size = work.inverse.shape[:2]
        spread = np.zeros(count * size * size)
        base = np.arange(count)[:, None, None] * (size * size)
        for block, small in zip(self.sums.blocks, work.small, strict=True):
            at = block.holes
            if not at.shape[1]:
                continue
            n = _by_pattern(weight[block.rows], block)
            place = base + (at[:, :, None] * size + at[:, None, :])[:, None]
            spread += np.bincount(place.ravel(), (small * n[:, :, None, None]).ravel(), minlength=len(spread))
        inverse = work.inverse
        pull += weight.sum(axis=0)[:, None, None] * inverse
        pull -= inverse @ spread.reshape(count, size, size) @ inverse
        for part, _, r in self._residuals(models, center, work, range(count)):
            weighted = r * weight.T[part, :, None]
            pull[part] -= r.transpose(0, 2, 1) @ weighted
            push[part] += weighted.sum(axis=1)

    def scores(
        self, structure: Structure, models: Models, center: Array, work: Work, q: int, take: IntArray, means: Array
    ) -> Array:
        ((_, _, r),) = self._residuals(models, center, work, range(q, q + 1))
        columns = models.columns[q]
        slope = work.inverse[q] @ columns
        u, v = structure.u, structure.v
        fixed = np.repeat((columns.T @ slope)[u, v][None], len(self.rows), axis=0)
        for block, small in zip(self.sums.blocks, work.small, strict=True):
            if block.holes.shape[1]:
                cut = slope[block.holes]  # (G, m, K)
                lost = ((small[:, q] @ cut)[:, :, u] * cut[:, :, v]).sum(axis=1)
                fixed[block.rows] -= lost[block.pattern]
        return _combine(structure, r[0][take] @ columns, fixed[take], means)

    def rigid(
        self, structure: Structure, models: Models, center: Array, work: Work, q: int, weight: Array, means: Array
    ) -> Array:
        sums, n, points = self.sums, len(self.rows), models.points
        own = weight[:, q]
        root = np.sqrt(own)[:, None]
        given = np.broadcast_to(points[q], (n, points.shape[1]))
        blocks = tuple(replace(b, counts=_by_pattern(own[b.rows, None], b)[:, 0]) for b in sums.blocks)
        weighted = CaseSums(
            1,
            np.concatenate([sums.rows + center * sums.seen, given], axis=1) * root,
            np.concatenate([sums.seen, np.ones_like(given)], axis=1),
            root[:, 0],
            blocks,
            sums.values,
        )
        inner = moment_information(weighted, models.mu[q], models.sigma[q])
        slopes = moment_slopes(replace(structure, summing=None), models.at(q))
        # the slopes of the means are those without the value of the given variable: so are these
        out: Array = 2.0 * (slopes.T @ inner @ slopes)
        return out


def _by_pattern(values: Array, block: Block) -> Array:
    """Return sums over the respondents of each pattern of a block, (G, ...)."""
    start = np.flatnonzero(np.diff(block.pattern, prepend=-1))
    out: Array = np.add.reduceat(values, start, axis=0)
    return out


def _invert(stack: Array) -> tuple[Array, Array] | None:
    """Return inverses and log determinants of covariance matrices (Q, m, m); None if one is not positive definite."""
    try:
        factor = np.linalg.cholesky(stack)
    except np.linalg.LinAlgError:
        return None
    logdet = 2.0 * np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(axis=1)
    inverse = np.linalg.inv(stack)
    return (inverse + inverse.transpose(0, 2, 1)) / 2, logdet


def _invert_small(stack: Array) -> tuple[Array, Array] | None:
    """Return inverses and log determinants of many small positive definite matrices (..., m, m); None if one is not.

    By elimination, each step for all matrices at once: much faster than one call a matrix.
    """
    out = np.array(stack)
    logdet = np.zeros(out.shape[:-2])
    for k in range(out.shape[-1]):
        pivot = out[..., k, k].copy()
        if not (pivot > 0.0).all():
            return None
        logdet += np.log(pivot)
        row = out[..., k, :] / pivot[..., None]
        column = out[..., :, k].copy()
        column[..., k] = 0.0
        row[..., k] = 1.0 / pivot
        out[..., :, k] = 0.0
        out[..., k, :] = 0.0
        out -= column[..., :, None] * row[..., None, :]
        out[..., k, :] = row
    return out, logdet
