"""Draws of parameter vectors."""

from __future__ import annotations

import numpy as np

from b2b_sem.engine.base import Array

__all__ = ["multivariate_normal"]


def multivariate_normal(mean: Array, cov: Array, size: int, rng: np.random.Generator) -> Array:
    """Return `size` draws from N(mean, cov), shape (size, q); `cov` may be singular.

    The factor is the symmetric root of the correlation matrix: it is unique, so that the same seed gives the same
    draws everywhere, and does not depend on the units of the parameters.
    """
    sd = np.sqrt(np.diag(cov))
    scale = np.where(sd > 0, sd, 1.0)
    roots, vectors = np.linalg.eigh(cov / np.outer(scale, scale))
    factor = (vectors * np.sqrt(np.maximum(roots, 0.0))) @ vectors.T
    return np.asarray(mean + (rng.standard_normal((size, len(mean))) @ factor) * scale)
