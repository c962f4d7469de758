"""Correlations of pairs computed row by row: numeric with ordered, two numeric, and ordered ones given covariates.

Every function takes the pairs of one kind at once, as arrays with a row per pair, and returns :class:`RowScores`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from b2b_sem.data.bivariate import FAR, bvn_density, bvn_rows
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
#: Points of the grid for other maxima of a polyserial likelihood, with more than FEW rows and with fewer: the maxima
#: of small samples with outliers may lie close together.
FEW, SPARSE, DENSE = 500, 15, 61
#: lavaan takes a conditional probability below this as this.
TINY = float(np.finfo(np.float64).eps)
#: A probability below this is computed by its logarithm.
UNDERFLOW = 1e-290


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
        Of two ordered items: rows whose probability is below :data:`SMALLEST` and which therefore do not move the
        correlation. Otherwise rows that lavaan would leave out, and that count here: their density, in the units of the
        numeric variables, is below :data:`SMALLEST` at this correlation or where lavaan's search starts.
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
        Product of the two standard deviations; for `lost` only.
    seen : ndarray of bool, shape (P, N)

    Notes
    -----
    The score is zero where ``n rho (1 - rho^2) + (1 + rho^2) sum(ab) - rho (sum(a^2) + sum(b^2)) = 0``; with complete
    rows that is the product-moment correlation. Given missing answers the equation may have three solutions: the most
    likely one counts. Kendall & Stuart (1979), The Advanced Theory of Statistics 2, 18.38.
    """
    a, b = np.where(seen, a, 0.0), np.where(seen, b, 0.0)
    product, squares = a * b, a * a + b * b
    rho = _cubic(seen.sum(axis=1).astype(np.float64), product.sum(axis=1), squares.sum(axis=1))
    complete = np.asarray(seen.all(axis=1))[:, None]

    def dropped(r: Array) -> Mask:
        r = np.clip(r, -1 + 1e-12, 1 - 1e-12)[:, None]
        with np.errstate(under="ignore"):
            density = np.exp((r * product - 0.5 * squares) / (1.0 - r * r)) / (2.0 * np.pi * sd[:, None])
        return np.asarray(seen & ~complete & (density < SMALLEST * np.sqrt(1.0 - r * r)))

    lost = (dropped(rho) | dropped(_pearson(a, b, seen))).sum(axis=1).astype(np.float64)
    r = np.clip(rho, -1 + 1e-12, 1 - 1e-12)[:, None]
    free = 1.0 - r * r
    q = a * a - 2.0 * r * a * b + b * b
    score = np.where(seen, (r + a * b - q * r / free) / free, 0.0)

    def side(own: Array, other: Array) -> tuple[Array, Array]:
        mean = (own - r * other) / free
        return mean, np.where(seen, 0.5 * (own * mean - 1.0), 0.0)

    return RowScores(rho, score, side(a, b), side(b, a), lost)


def _cubic(n: Array, product: Array, squares: Array) -> Array:
    """Return the most likely of the solutions of ``-n r^3 + p r^2 + (n - s) r + p = 0``, pair by pair."""
    companion = np.zeros((len(n), 3, 3))
    companion[:, 0] = np.column_stack([product / n, 1.0 - squares / n, product / n])
    companion[:, 1, 0] = companion[:, 2, 1] = 1.0
    # real parts that are no solutions are no harm: their likelihood is smaller
    r = np.clip(np.linalg.eigvals(companion).real, -1 + 1e-12, 1 - 1e-12)
    free = 1.0 - r * r
    value = -0.5 * n[:, None] * np.log(free) - (0.5 * squares[:, None] - r * product[:, None]) / free
    best = r[np.arange(len(r)), value.argmax(axis=1)]
    for _ in range(2):  # to the last digits
        score = n * best * (1.0 - best * best) + (1.0 + best * best) * product - best * squares
        slope = n * (1.0 - 3.0 * best * best) + 2.0 * best * product - squares
        with np.errstate(divide="ignore", invalid="ignore"):
            step = score / slope
        best = np.clip(np.where(np.abs(step) < 1e-4, best - step, best), -1.0, 1.0)
    return best


def correlate_serial(
    z: Array, sd: Array, upper: Array, lower: Array, seen: Mask, codes: Array, thresholds: Sequence[Array]
) -> RowScores:
    """Return polyserial correlations, given mean and variance of the first and thresholds of the second variable.

    Parameters
    ----------
    z : ndarray, shape (P, N)
        Standardized residuals of the numeric variable.
    sd : ndarray, shape (P,)
        Standard deviation of that residual; for `lost` only.
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
    Dorans (1982), doi:10.1007/BF02294164, the two-step method. Every row counts, however unlikely.

    In ``c = 1 / R`` and ``s = rho / R`` the likelihood is concave (Pratt 1981, doi:10.1080/01621459.1981.10477619), and
    the correlations are the curve ``c = sqrt(1 + s^2)``, convex. Where it is stationary on the curve and does not rise
    with c, what is more likely lies below the tangent, and the curve above: no other correlation is more likely.
    Otherwise a grid is searched for other maxima.
    """
    share = _Serial(z, upper, lower, seen)

    # lavaan's first guess
    spread = np.array([(own[own >= 0]).std() for own in codes])
    steep = np.array([_density(own).sum() for own in thresholds])
    plain = _pearson(z, codes, seen)
    # thresholds far from 0, where covariates have large means, say nothing about the scale of the codes
    start = plain * spread / np.maximum(steep, 0.1 * spread)
    start = np.where(np.abs(start) > 0.9, start / 2.0, start)
    start = np.where(np.abs(start) > 0.95, plain, start)
    rows = seen.sum(axis=1)
    rho = solve_scores(share.evaluate, start, SERIAL_LIMIT, rows)
    share.improve(rho, rows)

    every = slice(None)
    with np.errstate(under="ignore"):
        height = _density(np.where(seen, z, 0.0)) / sd[:, None]
    at = share.limits(every, rho)
    smaller = np.minimum(at.log, share.log(every, start))
    dropped = seen & (height * np.maximum(np.exp(smaller), TINY) < SMALLEST)
    r, root = rho[:, None], at.root
    score = at.above * at.dh - at.below * at.dk
    push = r / root * (at.above - at.below)
    mean = np.where(seen, z + push, 0.0)
    variance = np.where(seen, 0.5 * (z * z - 1.0 + z * push), 0.0)
    return RowScores(
        rho, score, (mean, variance), (at.above / root, -at.below / root), dropped.sum(axis=1).astype(np.float64)
    )


@dataclass(frozen=True, eq=False)
class _Limits:
    """Answers given the numeric variable: limits h and k of the latent residual, and what follows from them."""

    root: Array
    h: Array
    k: Array
    log: Array  # logarithm of the probability; 0 where an answer is missing
    above: Array  # density at h over the probability
    below: Array
    dh: Array  # derivative of h with respect to the correlation
    dk: Array


class _Serial:
    """The likelihoods of polyserial correlations."""

    def __init__(self, z: Array, upper: Array, lower: Array, seen: Mask) -> None:
        self.z, self.upper, self.lower, self.seen = z, upper, lower, seen
        self.top, self.bottom = upper >= FAR, lower <= -FAR  # the last and the first category

    def limits(self, which: Index | slice, rho: Array) -> _Limits:
        z, upper, lower, seen = self.z[which], self.upper[which], self.lower[which], self.seen[which]
        r = rho[:, None]
        root = np.sqrt(1.0 - r * r)
        h, k = (upper - r * z) / root, (lower - r * z) / root
        log, above, below = _shares(
            np.where(self.top[which], np.inf, h), np.where(self.bottom[which], -np.inf, k), seen
        )
        return _Limits(root, h, k, log, above, below, (r * upper - z) / root**3, (r * lower - z) / root**3)

    def log(self, which: Index | slice, rho: Array) -> Array:
        """Return the logarithm of the probability of every answer, alone."""
        push, root = rho[:, None] * self.z[which], np.sqrt(1.0 - rho * rho)[:, None]
        h = np.where(self.top[which], np.inf, (self.upper[which] - push) / root)
        k = np.where(self.bottom[which], -np.inf, (self.lower[which] - push) / root)
        return _probability(h, k, self.seen[which])[1]

    def evaluate(self, which: Index, rho: Array) -> tuple[Array, Array]:
        """Return score and derivative of the score."""
        at, r = self.limits(which, rho), rho[:, None]
        score = at.above * at.dh - at.below * at.dk
        ddh = self.upper[which] / at.root**3 + 3.0 * r * at.dh / at.root**2
        ddk = self.lower[which] / at.root**3 + 3.0 * r * at.dk / at.root**2
        change = at.above * (ddh - at.h * at.dh**2) - at.below * (ddk - at.k * at.dk**2) - score * score
        return score.sum(axis=1), change.sum(axis=1)

    def improve(self, rho: Array, rows: Array) -> None:
        """Put a likelier maximum in the place of one that is not the largest."""
        at = self.limits(slice(None), rho)
        rise = (at.above * self.upper - at.below * self.lower).sum(axis=1)
        open_ = np.flatnonzero((rise > 0) | (np.abs(rho) > SERIAL_LIMIT - 1e-4))
        if not len(open_):
            return
        # even steps of Fisher's z
        inner = np.linspace(-2.85, 2.85, DENSE if self.z.shape[1] <= FEW else SPARSE)
        points = np.concatenate([[-SERIAL_LIMIT], np.tanh(inner), [SERIAL_LIMIT]])
        grid = np.array([self.log(open_, np.full(len(open_), g)).sum(axis=1) for g in points])
        wall = np.full((1, len(open_)), -np.inf)
        top = (grid >= np.vstack([wall, grid[:-1]])) & (grid >= np.vstack([grid[1:], wall]))
        below, above = np.r_[points[:1], points[:-1]][:, None], np.r_[points[1:], points[-1:]][:, None]
        # such a point has a maximum between its neighbours: another one, if the first is not there
        point, place = np.nonzero(top & ((rho[open_] < below) | (rho[open_] > above)))
        if not len(point):
            return
        pair = open_[place]
        within = below[point, 0], above[point, 0]
        other = solve_scores(
            lambda which, now: self.evaluate(pair[which], now), points[point], SERIAL_LIMIT, rows[pair], within
        )
        value = self.log(pair, other).sum(axis=1)
        best = self.log(slice(None), rho).sum(axis=1)
        for j in np.argsort(value):  # the largest last
            if value[j] > best[pair[j]]:
                rho[pair[j]] = other[j]


def _probability(h: Array, k: Array, seen: Mask) -> tuple[Array, Array, Mask]:
    """Return the normal probability between h and k, its logarithm, and where only the logarithm is right.

    The probability has all its digits as long as it is a number at all; beyond, logarithms of the tails take over.
    """
    from scipy.special import log_ndtr

    pi = interval(h, k)
    far = seen & (pi < UNDERFLOW)
    pi[~seen | far] = 1.0
    log = np.log(pi)
    if far.any():
        h, k = h[far], k[far]
        flip = k > 0
        more, less = log_ndtr(np.where(flip, -k, h)), log_ndtr(np.where(flip, -h, k))
        log[far] = more + np.log(-np.expm1(less - more))
    return pi, log, far


def _shares(h: Array, k: Array, seen: Mask) -> tuple[Array, Array, Array]:
    """Return the logarithm of the normal probability between h and k, and the densities at both over it."""
    pi, log, far = _probability(h, k, seen)
    above, below = np.where(seen, _density(h) / pi, 0.0), np.where(seen, _density(k) / pi, 0.0)
    if far.any():
        base = log[far] + 0.5 * np.log(2.0 * np.pi)
        above[far], below[far] = np.exp(-0.5 * h[far] ** 2 - base), np.exp(-0.5 * k[far] ** 2 - base)
    return log, above, below


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
