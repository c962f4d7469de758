"""Moments of resampled data, many samples at once, and the random streams behind them.

A bootstrap sample is a vector of counts: its cross-products are counts times the outer products of the rows, so a block
of samples is one matrix product. Blocks have a size that depends on the data alone and a random stream each, so that
neither the number of workers nor an interruption changes a draw.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from b2b_sem.engine.base import Array

__all__ = [
    "block_size",
    "bollen_stine",
    "bootstrap_counts",
    "leave_one_out",
    "stream",
    "weighted_moments",
    "wishart_moments",
]

#: Numbers in one block of outer products.
BLOCK_NUMBERS = 1 << 20


def stream(seed: int, block: int) -> np.random.Generator:
    """Return the random stream of a block: child number `block` of ``SeedSequence(seed)``."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(block,)))


def block_size(nobs: int) -> int:
    """Return the replicates in a block: 128, fewer when the counts of a block would be large."""
    return int(np.clip((1 << 22) // max(nobs, 1), 4, 128))


def bootstrap_counts(rng: np.random.Generator, nobs: int, size: int) -> Array:
    """Draw how often each row appears in each of `size` samples of `nobs` rows with replacement: (size, nobs)."""
    rows = rng.integers(0, nobs, size=(size, nobs))
    rows += np.arange(size)[:, None] * nobs
    counts = np.bincount(rows.ravel(), minlength=size * nobs)
    return counts.reshape(size, nobs).astype(float)


def _outer_products(data: Array) -> Iterator[tuple[slice, Array]]:
    """Yield blocks of rows and the lower triangles of their outer products, (rows, p (p + 1) / 2)."""
    i, j = np.tril_indices(data.shape[1])
    step = max(1, BLOCK_NUMBERS // len(i))
    for first in range(0, len(data), step):
        at = slice(first, first + step)
        columns = np.ascontiguousarray(data[at].T)
        yield at, (columns[i] * columns[j]).T


def _unpacked(lower: Array, p: int) -> Array:
    i, j = np.tril_indices(p)
    out = np.empty((len(lower), p, p))
    out[:, i, j] = lower
    out[:, j, i] = lower
    return out


def weighted_moments(data: Array, counts: Array, *, divisor: int) -> tuple[Array, Array]:
    """Return covariance matrices (R, p, p) and means (R, p) of samples given by counts.

    Parameters
    ----------
    data : (n, p) array
    counts : (R, n) array
        How often each row is in each sample; each row of it sums to n.
    divisor : int
        Of the covariances: n, or n - 1 for the Wishart likelihood.
    """
    n, p = data.shape
    centre = data.mean(axis=0)
    centred = data - centre
    shift = counts @ centred / n
    lower = np.zeros((len(counts), p * (p + 1) // 2))
    for at, products in _outer_products(centred):
        lower += counts[:, at] @ products
    cov = _unpacked(lower, p)
    cov -= n * shift[:, :, None] * shift[:, None, :]
    cov /= divisor
    return cov, centre + shift


def leave_one_out(data: Array, rows: slice, *, divisor: int) -> tuple[Array, Array]:
    """Return the moments of the samples without one row each, by removing it from those of all rows.

    Without row i, with c_i = x_i - m and n S = sum of c c': the mean is m - c_i / (n - 1), and the cross-products about
    it are n S - c_i c_i' n / (n - 1).

    Parameters
    ----------
    data : (n, p) array
    rows : slice
        Which rows to leave out.
    divisor : int
        Of the covariances of all rows; those of the smaller samples have one less.
    """
    n = len(data)
    centre = data.mean(axis=0)
    centred = data - centre
    cross = centred.T @ centred
    left = centred[rows]
    cov = cross - left[:, :, None] * left[:, None, :] * (n / (n - 1))
    cov /= divisor - 1
    return cov, centre - left / (n - 1)


def bollen_stine(data: Array, cov: Array, sigma: Array, mu: Array | None) -> Array:
    """Transform data so that the model is exactly true in them: Z = (X - m) S^-1/2 Sigma^1/2 [+ mu].

    Roots are the symmetric ones (Bollen & Stine 1992, doi:10.1177/0049124192021002004).

    Parameters
    ----------
    data : (n, p) array
    cov, sigma : (p, p) arrays
        Sample and implied covariance matrix.
    mu : (p,) array or None
        Implied means.
    """
    out: Array = (data - data.mean(axis=0)) @ _root(cov, -0.5) @ _root(sigma, 0.5)
    return out if mu is None else out + mu


def _root(matrix: Array, power: float) -> Array:
    values, vectors = np.linalg.eigh(matrix)
    out: Array = (vectors * values**power) @ vectors.T
    return out


def wishart_moments(
    rng: np.random.Generator, cov: Array, mean: Array | None, nobs: int, size: int, *, divisor: int
) -> tuple[Array, Array | None]:
    """Draw moments of `size` normal samples of `nobs` rows without drawing the rows.

    n S = (C A) (C A)' with C C' = Sigma and A lower triangular: standard normal below the diagonal, roots of
    chi-squares with n - 1, n - 2, ... degrees of freedom on it (Bartlett 1933, doi:10.1017/S0370164600015753). Means
    are independent of it, N(mu, Sigma / n).

    Parameters
    ----------
    rng : Generator
    cov, mean : (p, p) array, (p,) array or None
        Of the population.
    nobs, size : int
    divisor : int
        Of the covariances.
    """
    p = len(cov)
    root = np.linalg.cholesky(cov)
    i, j = np.tril_indices(p, -1)
    a = np.zeros((size, p, p))
    a[:, i, j] = rng.standard_normal((size, len(i)))
    k = np.arange(p)
    a[:, k, k] = np.sqrt(rng.chisquare(nobs - 1 - k, size=(size, p)))
    a = root @ a
    drawn = a @ a.transpose(0, 2, 1) / divisor
    if mean is None:
        return drawn, None
    return drawn, mean + rng.standard_normal((size, p)) @ root.T / np.sqrt(nobs)
