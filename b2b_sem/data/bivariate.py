"""The bivariate normal distribution on whole arrays: probabilities of quadrants and density."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["bvn_cdf", "bvn_density", "bvn_grid", "bvn_rows"]

Array = NDArray[np.float64]

#: From this correlation on the integral runs from the limit 1 instead of from 0, where it would need many more nodes.
HIGH = 0.925
#: Beyond this a normal probability is 0 or 1 to all digits, and its density underflows to an exact zero.
FAR = 60.0
#: Largest correlation, and number of Gauss-Legendre nodes that gives all digits up to it (Genz 2004).
_RULES = tuple((limit, *np.polynomial.legendre.leggauss(count)) for limit, count in ((0.3, 6), (0.75, 12), (HIGH, 20)))


def bvn_cdf(h: ArrayLike, k: ArrayLike, rho: ArrayLike) -> Array:
    """Return P(X <= h, Y <= k) for standard normal X and Y with correlation rho.

    Parameters
    ----------
    h, k : array_like
        Upper limits, infinite ones included.
    rho : array_like
        Correlations in [-1, 1]. The three broadcast.

    Returns
    -------
    ndarray
        Probabilities, absolute error below 1e-14.

    Notes
    -----
    ``P = Phi(h) Phi(k) + 1/(2 pi) int_0^asin(rho) exp(-(h^2 + k^2 - 2 h k sin t) / (2 cos^2 t)) dt`` by Gauss-Legendre;
    for ``|rho| >= 0.925`` the same integral taken from the limit ``|rho| = 1``, whose singular part is subtracted.
    Drezner & Wesolowsky (1990), doi:10.1080/00949659008811236; Genz (2004), doi:10.1023/B:STCO.0000035304.20635.31.
    """
    arrays = np.broadcast_arrays(*(np.asarray(a, dtype=np.float64) for a in (h, k, rho)))
    shape = arrays[0].shape
    x, y, r = (np.ascontiguousarray(a).reshape(-1) for a in arrays)
    return _by_size(x, y, r).reshape(shape)


def bvn_grid(h: Array, k: Array, rho: Array) -> Array:
    """Return P(X <= h[p, a], Y <= k[p, b]) with correlation rho[p], shape (p, a, b); see :func:`bvn_cdf`."""
    return _by_size(h[:, :, None], k[:, None, :], rho[:, None, None])


def bvn_rows(h: Array, k: Array, rho: Array) -> Array:
    """Return P(X <= h[p, n], Y <= k[p, n]) with correlation rho[p], shape (p, n); see :func:`bvn_cdf`."""
    return _by_size(h, k, rho[:, None])


def bvn_density(h: Array, k: Array, rho: Array) -> Array:
    """Return the density at (h, k); it is the derivative of the probability with respect to rho (Plackett 1954)."""
    free = 1.0 - rho * rho
    return np.exp((rho * h * k - 0.5 * (h * h + k * k)) / free) / (2.0 * np.pi * np.sqrt(free))


def _by_size(h: Array, k: Array, rho: Array) -> Array:
    """Send each correlation to the rule that suits its size; arrays agree along the first axis."""
    h, k = np.clip(h, -FAR, FAR), np.clip(k, -FAR, FAR)
    size = np.abs(rho.reshape(len(rho), -1)[:, 0])
    out = np.empty(np.broadcast_shapes(h.shape, k.shape, rho.shape))
    lower = -1.0
    for limit, nodes, weights in _RULES:
        part = (size >= lower) & (size < limit)
        lower = limit
        if part.all():
            return _from_zero(h, k, rho, nodes, weights)
        if part.any():
            out[part] = _from_zero(h[part], k[part], rho[part], nodes, weights)
    part = size >= HIGH
    if part.any():
        out[part] = _from_one(*np.broadcast_arrays(h[part], k[part], rho[part]))
    return out


def _from_zero(h: Array, k: Array, rho: Array, nodes: Array, weights: Array) -> Array:
    """Integrate over the correlation from 0."""
    from scipy.special import ndtr

    angle = np.arcsin(rho) / 2.0
    product, half = h * k, (h * h + k * k) / 2.0
    total = np.zeros(product.shape)
    work = np.empty_like(total)
    for node, weight in zip(nodes, weights, strict=True):
        sine = np.sin(angle * (node + 1.0))
        np.multiply(product, sine, out=work)
        work -= half
        work /= 1.0 - sine * sine
        np.exp(work, out=work)
        work *= weight
        total += work
    total *= angle / (2.0 * np.pi)
    total += ndtr(h) * ndtr(k)
    return np.asarray(np.maximum(total, 0.0))


def _from_one(h: Array, k: Array, rho: Array) -> Array:
    """Integrate over the correlation from its limit 1; a negative one is turned round first.

    With ``x^2 = 1 - r^2`` and ``b = h - k`` the integrand is ``exp(-b^2 / (2 x^2)) g(x)`` where
    ``g(x) = exp(-h k / (1 + sqrt(1 - x^2))) / sqrt(1 - x^2)`` is smooth: it is
    ``exp(-h k / 2) (1 + c x^2 + 5 c d x^4)`` up to terms of sixth order. That part is integrated in closed form, the
    rest by nodes.
    """
    from scipy.special import ndtr

    negative = rho < 0
    k = np.where(negative, -k, k)
    size = np.abs(rho)
    product = h * k
    square = (h - k) ** 2
    gap = np.sqrt(square)
    width2 = (1.0 - size) * (1.0 + size)
    width = np.sqrt(width2)
    c, d = (4.0 - product) / 8.0, (12.0 - product) / 80.0
    with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
        power = -(np.where(width2 > 0, square / width2, np.inf) + product) / 2.0
        series = 1.0 - c * (square - width2) * (1.0 - d * square) / 3.0 + c * d * width2**2
        closed = np.where(power > -100.0, width * np.exp(np.minimum(power, 700.0)) * series, 0.0)
        tail = np.sqrt(2.0 * np.pi) * ndtr(-np.where(width > 0, gap / width, np.inf)) * gap
        tail *= 1.0 - c * square * (1.0 - d * square) / 3.0
        # where the tail vanishes its factor may be huge: nothing is left of the product
        closed -= np.where((product > -100.0) & (tail != 0), np.exp(np.minimum(-product / 2.0, 700.0)) * tail, 0.0)
        _, nodes, weights = _RULES[-1]
        for node, weight in zip(nodes, weights, strict=True):
            x2 = (width * (node + 1.0) / 2.0) ** 2
            root = np.sqrt(1.0 - x2)
            power = -(np.where(x2 > 0, square / x2, np.inf) + product) / 2.0
            exact = np.exp(-product * x2 / (2.0 * (1.0 + root) ** 2)) / root
            rest = np.exp(np.minimum(power, 700.0)) * (exact - (1.0 + c * x2 * (1.0 + 5.0 * d * x2)))
            closed += np.where(power > -100.0, weight * width / 2.0 * rest, 0.0)
    closed /= 2.0 * np.pi
    positive = ndtr(np.minimum(h, k)) - closed
    # P(X <= h, Y <= k) = P(X <= h) - P(X <= h, -Y <= -k)
    return np.asarray(np.maximum(np.where(negative, ndtr(h) - positive, positive), 0.0))
