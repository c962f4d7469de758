"""The textbook forms with p* x p* matrices that the engine avoids: slow, plain, and sharing no code with it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from engine_case import Case, brute_moments, derivative

from b2b_sem.engine.base import Array


def vech(matrix: Array) -> Array:
    """Return the lower triangle, columns first."""
    return np.concatenate([matrix[j:, j] for j in range(len(matrix))])


def duplication(p: int) -> Array:
    """Return D with vec(A) = D vech(A) for symmetric A."""
    cells = [(i, j) for j in range(p) for i in range(j, p)]
    out = np.zeros((p * p, len(cells)))
    for k, (i, j) in enumerate(cells):
        out[i * p + j, k] = out[j * p + i, k] = 1.0
    return out


def normal_weight(sigma: Array, means: bool) -> Array:
    """Return the inverse of the covariance matrix of (means, vech S) under normality."""
    inverse = np.linalg.inv(sigma)
    d = duplication(len(sigma))
    cov = 0.5 * d.T @ np.kron(inverse, inverse) @ d
    if not means:
        return cov
    out = np.zeros((len(sigma) + len(cov),) * 2)
    out[: len(sigma), : len(sigma)] = inverse
    out[len(sigma) :, len(sigma) :] = cov
    return out


def slopes(c: Case, theta: Array) -> Array:
    """Return the derivatives of (means, vech Sigma), by finite differences."""

    def moments(at: Array) -> Array:
        sigma, mu = brute_moments(c.table, at, c.fixed)
        return np.concatenate([mu, vech(sigma)]) if c.table.meanstructure else vech(sigma)

    return derivative(moments, theta)


def data_of(c: Case, frame: pd.DataFrame) -> Array:
    """Return the rows of the model's variables."""
    return frame[list(c.table.observed)].to_numpy(dtype=float)


def moment_rows(c: Case, data: Array) -> Array:
    """Return centred (y, vech yy') of every row, minus what fixed exogenous variables predict of them."""
    mean = data.mean(axis=0)
    centred = data - mean
    cov = np.array([vech(np.outer(a, a)) for a in centred])
    if c.table.fixed_x:
        x = [c.table.observed.index(v) for v in c.table.exogenous]
        design = np.column_stack([np.ones(len(data)), data[:, x]])
        predicted = design @ np.linalg.lstsq(design, data, rcond=None)[0] - mean
        predicted[:, x] = centred[:, x]  # variables given explain themselves, without rounding
        cov = cov - np.array([vech(np.outer(b, b)) for b in predicted])
        centred = centred - predicted
    cov = cov - cov.mean(axis=0)
    return np.concatenate([centred, cov], axis=1) if c.table.meanstructure else cov


def grouped(rows: Array, codes: Array | None) -> Array:
    """Return sums within clusters times the root of C / (C - 1), or the rows themselves."""
    if codes is None:
        return rows
    labels = np.unique(codes)
    sums = np.array([rows[codes == label].sum(axis=0) for label in labels])
    return sums * np.sqrt(len(labels) / (len(labels) - 1))


def scores(c: Case, theta: Array, data: Array) -> Array:
    """Return the derivatives of each row's log-likelihood, by finite differences."""
    mean = data.mean(axis=0)

    def logl(at: Array) -> Array:
        sigma, mu = brute_moments(c.table, at, c.fixed)
        d = data - (mu if c.table.meanstructure else mean)
        return -0.5 * (np.linalg.slogdet(sigma)[1] + np.einsum("ni,ij,nj->n", d, np.linalg.inv(sigma), d))

    return derivative(logl, theta)
