"""Correlations of pairs computed row by row: numeric with ordered, two numeric, and ordered ones given covariates.

Every function takes the pairs of one kind at once, as arrays with a row per pair, and returns :class:`RowScores`.
"""

from __future__ import annotations

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


def correlate_numeric(a: Array, b: Array, seen: Mask) -> RowScores:
    """Return correlations of pairs of numeric variables, given the mean and variance of each.

    Parameters
    ----------
    a, b : ndarray, shape (P, N)
        Standardized residuals, mean 0 and mean square 1 over the answers of each variable.
    seen : ndarray of bool, shape (P, N)

    Notes
    -----
    The score is zero where ``n rho (1 - rho^2) + (1 + rho^2) sum(ab) - rho (sum(a^2) + sum(b^2)) = 0``; with complete
    rows that is the product-moment correlation.
    """
    a, b = np.where(seen, a, 0.0), np.where(seen, b, 0.0)
    n = seen.sum(axis=1).astype(np.float64)
    ab = np.einsum("pn,pn->p", a, b)
    squares = np.einsum("pn,pn->p", a, a) + np.einsum("pn,pn->p", b, b)

    def evaluate(which: Index, r: Array) -> tuple[Array, Array]:
        n_, ab_, sq = n[which], ab[which], squares[which]
        # the score times (1 - rho^2)^2, which has the same roots and the same sign
        return n_ * r * (1 - r * r) + (1 + r * r) * ab_ - r * sq, n_ * (1 - 3 * r * r) + 2 * r * ab_ - sq

    with np.errstate(divide="ignore", invalid="ignore"):
        start = 2.0 * ab / squares
    rho = solve_scores(evaluate, np.where(np.isfinite(start), start, 0.0), 1.0)
    r = np.clip(rho, -1 + 1e-12, 1 - 1e-12)[:, None]
    free = 1.0 - r * r
    q = a * a - 2.0 * r * a * b + b * b
    score = np.where(seen, (r + a * b - q * r / free) / free, 0.0)

    def side(own: Array, other: Array) -> tuple[Array, Array]:
        mean = (own - r * other) / free
        return mean, np.where(seen, 0.5 * (own * mean - 1.0), 0.0)

    return RowScores(rho, score, side(a, b), side(b, a), np.zeros(len(rho)))


def correlate_serial(z: Array, upper: Array, lower: Array, seen: Mask) -> RowScores:
    """Return polyserial correlations, given mean and variance of the first and thresholds of the second variable.

    Parameters
    ----------
    z : ndarray, shape (P, N)
        Standardized residuals of the numeric variable.
    upper, lower : ndarray, shape (P, N)
        Limits of the latent response of the ordered item.
    seen : ndarray of bool, shape (P, N)

    Notes
    -----
    ``l(rho) = sum log(Phi((t_y - rho z) / R) - Phi((t_(y-1) - rho z) / R))``, ``R^2 = 1 - rho^2``. Olsson, Drasgow &
    Dorans (1982), doi:10.1007/BF02294164, the two-step method.
    """

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
        return r, root, h, k, dens_h, dens_k, dh, dk, score

    def evaluate(which: Index, now: Array) -> tuple[Array, Array]:
        r, root, h, k, dens_h, dens_k, dh, dk, score = terms(which, now)
        ddh = upper[which] / root**3 + 3.0 * r * dh / root**2
        ddk = lower[which] / root**3 + 3.0 * r * dk / root**2
        change = dens_h * (ddh - h * dh * dh) - dens_k * (ddk - k * dk * dk)
        curve = np.where(seen[which], change, 0.0) - score * score
        return score.sum(axis=1), curve.sum(axis=1)

    # a first guess: the correlation with the middle of the limits
    middle = np.where(seen, np.clip((np.clip(upper, -3, 3) + np.clip(lower, -3, 3)) / 2.0, -3, 3), 0.0)
    held = np.where(seen, z, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        start = (held * middle).sum(axis=1) / np.sqrt((held**2).sum(axis=1) * (middle**2).sum(axis=1))
    rho = solve_scores(evaluate, np.where(np.isfinite(start), start, 0.0), SERIAL_LIMIT)
    r, root, _, _, dens_h, dens_k, _, _, score = terms(slice(None), rho)
    push = r / root * (dens_h - dens_k)
    mean = np.where(seen, z + push, 0.0)
    variance = np.where(seen, 0.5 * (z * z - 1.0 + z * push), 0.0)
    above, below = np.where(seen, dens_h / root, 0.0), np.where(seen, -dens_k / root, 0.0)
    return RowScores(rho, score, (mean, variance), (above, below), np.zeros(len(rho)))


def correlate_ordered(
    upper: tuple[Array, Array], lower: tuple[Array, Array], codes: tuple[Array, Array], seen: Mask
) -> RowScores:
    """Return polychoric correlations of pairs whose limits differ from row to row, as covariates make them.

    Parameters
    ----------
    upper, lower : tuple of two ndarrays, shape (P, N)
        Limits of the latent responses of the first and of the second item.
    codes : tuple of two ndarrays, shape (P, N)
        Categories, for a first guess.
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

    rho = solve_scores(evaluate, _pearson(*codes, seen), LIMIT)
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
