"""Correlations of pairs computed row by row: numeric with ordered, two numeric, and ordered ones given covariates.

Every function takes the pairs of one kind at once, as arrays with a row per pair, and returns :class:`RowScores`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from b2b_sem.data.bivariate import bvn_density, bvn_rows
from b2b_sem.data.margin import interval
from b2b_sem.data.polychoric import LIMIT, SMALLEST
from b2b_sem.data.twostep import solve_scores

__all__ = ["BLOCK", "RowScores", "correlate_numeric", "correlate_ordered", "correlate_serial"]

Array = NDArray[np.float64]
Index = NDArray[np.intp]
Mask = NDArray[np.bool_]

#: Rows times pairs computed at a time.
BLOCK = 65_536
#: Polyserial correlations are searched between -SERIAL_LIMIT and SERIAL_LIMIT (as in lavaan).
SERIAL_LIMIT = 0.995
#: A conditional probability below this counts as this (as in lavaan).
TINY = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, eq=False)
class RowScores:
    """Correlations of P pairs and, for every row, derivatives of the log-likelihood of the pair; shape (P, N) each.

    Attributes
    ----------
    rho : ndarray, shape (P,)
    score : ndarray
        With respect to the correlation; zero where one of the two answers is missing.
    first, second : tuple of two ndarrays
        Of an ordered item: with respect to the threshold above and the one below its answer. Of a numeric variable:
        with respect to its mean and its variance, in units of the standardized variable.
    lost : ndarray, shape (P,)
        Rows whose probability is below :data:`SMALLEST` and which therefore do not move the correlation.
    """

    rho: Array
    score: Array
    first: tuple[Array, Array]
    second: tuple[Array, Array]
    lost: Array


def correlate_numeric(a: Array, b: Array, sd: Array, seen: Mask) -> RowScores:
    """Return correlations of pairs of numeric variables, given the mean and variance of each.

    Parameters
    ----------
    a, b : ndarray, shape (P, N)
        Standardized residuals, mean 0 and mean square 1 over the answers of each variable.
    sd : ndarray, shape (P,)
        Product of the two standard deviations.
    seen : ndarray of bool, shape (P, N)

    Notes
    -----
    The score is zero where ``n rho (1 - rho^2) + (1 + rho^2) sum(ab) - rho (sum(a^2) + sum(b^2)) = 0``; with complete
    rows that is the product-moment correlation. Given missing answers, as in lavaan, rows whose density (in the units
    of the variables) is below :data:`SMALLEST` do not move the correlation.
    """
    a, b = np.where(seen, a, 0.0), np.where(seen, b, 0.0)
    product, squares = a * b, a * a + b * b
    complete = np.asarray(seen.all(axis=1))
    lost = np.zeros(len(a))

    def evaluate(which: Index, r: Array) -> tuple[Array, Array]:
        free = 1.0 - r * r
        with np.errstate(under="ignore"):
            exponent = (r[:, None] * product[which] - 0.5 * squares[which]) / free[:, None]
            density = np.exp(exponent) / (2.0 * np.pi * sd[which] * np.sqrt(free))[:, None]
        kept = seen[which] & ((density >= SMALLEST) | complete[which][:, None])
        lost[which] = (seen[which] & ~kept).sum(axis=1)
        n = kept.sum(axis=1).astype(np.float64)
        ab = np.where(kept, product[which], 0.0).sum(axis=1)
        sq = np.where(kept, squares[which], 0.0).sum(axis=1)
        # the score times (1 - rho^2)^2, which has the same roots and the same sign
        return n * r * free + (1.0 + r * r) * ab - r * sq, n * (1.0 - 3.0 * r * r) + 2.0 * r * ab - sq

    rho = solve_scores(evaluate, _pearson(a, b, seen), 1.0, seen.sum(axis=1))
    r = np.clip(rho, -1 + 1e-12, 1 - 1e-12)[:, None]
    free = 1.0 - r * r
    q = a * a - 2.0 * r * a * b + b * b
    score = np.where(seen, (r + a * b - q * r / free) / free, 0.0)

    def side(own: Array, other: Array) -> tuple[Array, Array]:
        mean = (own - r * other) / free
        return mean, np.where(seen, 0.5 * (own * mean - 1.0), 0.0)

    return RowScores(rho, score, side(a, b), side(b, a), lost)


def correlate_serial(
    z: Array, sd: Array, upper: Array, lower: Array, seen: Mask, codes: Array, thresholds: Sequence[Array]
) -> RowScores:
    """Return polyserial correlations, given mean and variance of the first and thresholds of the second variable.

    Parameters
    ----------
    z : ndarray, shape (P, N)
        Standardized residuals of the numeric variable.
    sd : ndarray, shape (P,)
        Standard deviation of that residual.
    upper, lower : ndarray, shape (P, N)
        Limits of the latent response of the ordered item.
    seen : ndarray of bool, shape (P, N)
    codes : ndarray, shape (P, N)
        Categories, and
    thresholds : sequence of P ndarrays
        thresholds of the ordered item, for a first guess.

    Notes
    -----
    ``l(rho) = sum log(Phi((t_y - rho z) / R) - Phi((t_(y-1) - rho z) / R))``, ``R^2 = 1 - rho^2``. Olsson, Drasgow &
    Dorans (1982), doi:10.1007/BF02294164, the two-step method. As in lavaan, rows whose joint density (in the units of
    the numeric variable) is below :data:`SMALLEST` do not move the correlation.
    """
    with np.errstate(under="ignore"):
        height = _density(np.where(seen, z, 0.0)) / sd[:, None]

    def terms(which: Index | slice, r: Array) -> tuple[Array, ...]:
        r = r[:, None]
        root = np.sqrt(1.0 - r * r)
        top, bottom = upper[which], lower[which]
        h, k = (top - r * z[which]) / root, (bottom - r * z[which]) / root
        pi = np.maximum(interval(h, k), TINY)
        dens_h, dens_k = _density(h) / pi, _density(k) / pi
        # derivatives of both limits with respect to rho
        dh, dk = (r * top - z[which]) / root**3, (r * bottom - z[which]) / root**3
        score = np.where(seen[which], dens_h * dh - dens_k * dk, 0.0)
        return r, root, h, k, dens_h, dens_k, dh, dk, score, pi

    def evaluate(which: Index, now: Array) -> tuple[Array, Array]:
        r, root, h, k, dens_h, dens_k, dh, dk, score, pi = terms(which, now)
        ddh = upper[which] / root**3 + 3.0 * r * dh / root**2
        ddk = lower[which] / root**3 + 3.0 * r * dk / root**2
        change = dens_h * (ddh - h * dh * dh) - dens_k * (ddk - k * dk * dk) - score * score
        kept = seen[which] & (height[which] * pi >= SMALLEST)
        return np.where(kept, score, 0.0).sum(axis=1), np.where(kept, change, 0.0).sum(axis=1)

    # lavaan's first guess: where rows drop out, the likelihood may have more than one maximum
    spread = np.array([(own[own >= 0]).std() for own in codes])
    steep = np.array([_density(own).sum() for own in thresholds])
    plain = _pearson(z, codes, seen)
    # thresholds far from 0, where covariates have large means, say nothing about the scale of the codes
    start = plain * spread / np.maximum(steep, 0.1 * spread)
    start = np.where(np.abs(start) > 0.9, start / 2.0, start)
    rho = solve_scores(evaluate, np.where(np.abs(start) > 0.95, plain, start), SERIAL_LIMIT, seen.sum(axis=1))
    r, root, _, _, dens_h, dens_k, _, _, score, pi = terms(slice(None), rho)
    lost = (seen & (height * pi < SMALLEST)).sum(axis=1).astype(np.float64)
    push = r / root * (dens_h - dens_k)
    mean = np.where(seen, z + push, 0.0)
    variance = np.where(seen, 0.5 * (z * z - 1.0 + z * push), 0.0)
    above, below = np.where(seen, dens_h / root, 0.0), np.where(seen, -dens_k / root, 0.0)
    return RowScores(rho, score, (mean, variance), (above, below), lost)


def correlate_ordered(upper: tuple[Array, Array], lower: tuple[Array, Array], seen: Mask) -> RowScores:
    """Return polychoric correlations of pairs whose limits differ from row to row, as covariates make them.

    Parameters
    ----------
    upper, lower : tuple of two ndarrays, shape (P, N)
        Limits of the latent responses of the first and of the second item.
    seen : ndarray of bool, shape (P, N)
    """
    corners = [
        (upper[0], upper[1], 1.0),
        (lower[0], upper[1], -1.0),
        (upper[0], lower[1], -1.0),
        (lower[0], lower[1], 1.0),
    ]

    def rectangle(which: Index | slice, r: Array) -> Array:
        out = np.zeros(seen[which].shape)
        for h, k, sign in corners:
            out += sign * bvn_rows(h[which], k[which], r)
        return out

    def evaluate(which: Index, now: Array) -> tuple[Array, Array]:
        pi = rectangle(which, now)
        kept = seen[which] & (pi >= SMALLEST)
        pi = np.maximum(pi, SMALLEST)
        r = now[:, None]
        free = 1.0 - r * r
        slope, curve = np.zeros(pi.shape), np.zeros(pi.shape)
        for h, k, sign in corners:
            h, k = h[which], k[which]
            density = sign * bvn_density(h, k, r)
            slope += density
            curve += density * (r / free + (h * k * (1.0 + r * r) - r * (h * h + k * k)) / free**2)
        ratio = np.where(kept, slope / pi, 0.0)
        return ratio.sum(axis=1), (np.where(kept, curve / pi, 0.0) - ratio * ratio).sum(axis=1)

    # one scoring step from 0, where the score is the product of the expected latent residuals
    first, second = (_expected(high, low) for high, low in zip(upper, lower, strict=True))
    product = np.where(seen, first * second, 0.0)
    start = product.sum(axis=1) / np.maximum((product * product).sum(axis=1), TINY)
    rho = solve_scores(evaluate, np.clip(start, -0.9, 0.9), LIMIT, seen.sum(axis=1))
    pi = rectangle(slice(None), rho)
    kept = seen & (pi >= SMALLEST)
    r = rho[:, None]
    root = np.sqrt(1.0 - r * r)
    weight = np.where(kept, 1.0 / np.maximum(pi, SMALLEST), 0.0)
    score = np.zeros(pi.shape)
    for h, k, sign in corners:
        score += sign * bvn_density(h, k, r)
    score *= weight

    def side(own: int, other: int) -> tuple[Array, Array]:
        def push(limit: Array) -> Array:
            share = interval((upper[other] - r * limit) / root, (lower[other] - r * limit) / root)
            return weight * _density(limit) * share

        return push(upper[own]), -push(lower[own])

    return RowScores(rho, score, side(0, 1), side(1, 0), (seen & ~kept).sum(axis=1).astype(np.float64))


def _expected(upper: Array, lower: Array) -> Array:
    """Return the mean of a standard normal variable between two limits."""
    return np.asarray((_density(lower) - _density(upper)) / np.maximum(interval(upper, lower), SMALLEST))


def _pearson(a: Array, b: Array, seen: Mask) -> Array:
    n = seen.sum(axis=1)
    a, b = np.where(seen, a, 0.0), np.where(seen, b, 0.0)
    a = np.where(seen, a - (a.sum(axis=1) / n)[:, None], 0.0)
    b = np.where(seen, b - (b.sum(axis=1) / n)[:, None], 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        r = (a * b).sum(axis=1) / np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    return np.where(np.isfinite(r), r, 0.0)


def _density(x: Array) -> Array:
    return np.asarray(np.exp(-0.5 * x * x) / np.sqrt(2.0 * np.pi))
