"""Covariance matrix of the estimates, and identification by the rank of the information matrix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack

from b2b_sem.engine.base import Array
from b2b_sem.engine.native.constraint import LinearConstraints

__all__ = ["RANK_TOLERANCE", "Precision", "definite_inverse", "invert_information"]

#: Smallest eigenvalue of the information in correlation metric that counts as identified. Identified models of this
#: package's test suite lie above 1e-6, unidentified ones below 1e-13.
RANK_TOLERANCE = 1e-10
#: Trace of the inverse below which every eigenvalue is clear of that tolerance: none is smaller than 1 / trace.
CLEAR = 1e-2 / RANK_TOLERANCE


@dataclass(frozen=True)
class Precision:
    """Inverse information.

    Attributes
    ----------
    vcov : (q, q) array
        Covariance matrix of the estimates; NaN when the model is not identified.
    identified : bool
    rank : int
    unidentified : tuple of int
        Parameters (from 0) with the largest parts in the null space.
    """

    vcov: Array
    identified: bool
    rank: int
    unidentified: tuple[int, ...]


def invert_information(info: Array, nobs: int, constraints: LinearConstraints | None = None) -> Precision:
    """Invert the information of `nobs` observations under linear constraints.

    V = K (K' I K)^-1 K' / n, with K a basis of the parameter vectors that satisfy the constraints
    (Aitchison & Silvey 1958, doi:10.1214/aoms/1177706538).
    """
    q = len(info)
    basis = np.eye(q) if constraints is None else constraints.basis
    reduced = info if constraints is None else basis.T @ info @ basis
    if not len(reduced):
        return Precision(np.zeros((q, q)), True, 0, ())
    diagonal = np.diag(reduced)
    # parameters have different units: only exactly no information counts as none
    scale = np.sqrt(np.where(diagonal > 0.0, diagonal, 1.0))
    matrix = reduced / np.outer(scale, scale)
    regular = definite_inverse(matrix)
    if regular is not None:
        inverse = regular / np.outer(scale, scale) / nobs
        return Precision(inverse if constraints is None else basis @ inverse @ basis.T, True, len(matrix), ())
    values, vectors = np.linalg.eigh(matrix)
    small = values < RANK_TOLERANCE
    if small.any():
        null = np.abs(basis @ (vectors[:, small] / scale[:, None]))
        null = null / np.maximum(null.max(axis=0, keepdims=True), 1e-300)
        guilty = tuple(int(k) for k in np.flatnonzero(null.max(axis=1) > 0.1))
        return Precision(np.full((q, q), np.nan), False, int((~small).sum()), guilty)
    inverse = (vectors / values) @ vectors.T / np.outer(scale, scale) / nobs
    return Precision(basis @ inverse @ basis.T, True, len(values), ())


def definite_inverse(matrix: Array) -> Array | None:
    """Return the inverse of an information in correlation metric, or None unless it is far from singular.

    By Cholesky, several times faster than eigenvalues, which are only needed to tell what is close to singular.
    """
    factor, info = lapack.dpotrf(matrix, lower=1)
    if info != 0:
        return None
    inverse, info = lapack.dpotri(factor, lower=1)
    if info != 0 or not np.trace(inverse) < CLEAR:
        return None
    return np.tril(inverse) + np.tril(inverse, -1).T
