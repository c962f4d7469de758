"""Implied moments: everything that can be computed from parameters alone.

The model is  y = tau + Lambda eta + eps,  eta = alpha + B eta + zeta,  so that

    Sigma = Lambda E Lambda' + Theta,   E = (I - B)^-1 Psi (I - B)^-T,   mu = tau + Lambda (I - B)^-1 alpha.

Observed variables that predict, are predicted, or covary with such variables are copied into eta with loading 1 and no
residual. Every derivative of Sigma has rank two: with G = Lambda (I - B)^-1, H = Lambda E and M = [I, G, H],

    dSigma/dtheta_k = w_k (u_k v_k' + v_k u_k'),    u_k, v_k columns of M,

(Lambda_ij: e_i, H_j; Theta_ij: e_i, e_j; B_ij: G_i, H_j; Psi_ij: G_i, G_j; w = 1/2 on a diagonal), so a gradient or an
information matrix is a gather from products with M. Derivatives of mu are columns of M times an element of
(1, (I - B)^-1 alpha).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from b2b_sem.engine.base import Array, IntArray
from b2b_sem.spec.partable import ParameterTable

__all__ = [
    "ALPHA",
    "BETA",
    "LAMBDA",
    "PSI",
    "TAU",
    "THETA",
    "Implied",
    "Structure",
    "compile_structure",
    "implied_moments",
]

LAMBDA, THETA, BETA, PSI, TAU, ALPHA = range(6)


@dataclass(frozen=True)
class Structure:
    """A parameter table compiled to index arrays; independent of data.

    Attributes
    ----------
    p, m, q : int
        Observed variables, variables in eta, free parameters.
    eta : tuple of str
        Latents first, then copied observed variables.
    templates : tuple of arrays
        Lambda (p, m), Theta (p, p), B (m, m), Psi (m, m), tau (p,), alpha (m,), with fixed values filled in.
    free : (E,) int array
        For each free entry (row of the table) its parameter, from 0.
    where : tuple of (entries, first index, second index) arrays, one for each matrix
        Positions that entry values are written to.
    u, v : (E,) int arrays
        Columns of M; 0 with weight 0 for mean parameters.
    w : (E,) array
    mean_column, mean_scale : (E,) int arrays
        Column of M and element of (1, eta mean); (0, -1) where mu does not depend on the entry.
    matrix, row, col : (E,) int arrays
        Place of the entry: 0 Lambda, 1 Theta, 2 B, 3 Psi, 4 tau, 5 alpha.
    meanstructure, paths : bool
        Whether means are modelled, and whether B has free elements.
    summing : (E, q) array or None
        Zero-one matrix that sums entries to parameters; None if there is one entry for each parameter, in order.
    """

    p: int
    m: int
    q: int
    observed: tuple[str, ...]
    eta: tuple[str, ...]
    nlatent: int
    templates: tuple[Array, ...]
    free: IntArray
    where: tuple[tuple[IntArray, IntArray, IntArray], ...]
    u: IntArray
    v: IntArray
    w: Array
    mean_column: IntArray
    mean_scale: IntArray
    matrix: IntArray
    row: IntArray
    col: IntArray
    meanstructure: bool
    paths: bool
    summing: Array | None

    def gather(self, per_entry: Array) -> Array:
        """Sum per-entry values (..., E) to parameters (..., q)."""
        return per_entry if self.summing is None else per_entry @ self.summing


@dataclass(frozen=True)
class Implied:
    """Moments implied by one parameter vector, with the pieces derivatives are made of."""

    sigma: Array
    mu: Array | None
    eta_cov: Array
    eta_mean: Array
    columns: Array  # M, (p, p + 2m)
    inverse: Array  # (I - B)^-1
    psi: Array
    theta: Array


def compile_structure(table: ParameterTable, fixed: dict[str, float]) -> Structure:
    """Compile `table` for fast evaluation.

    Parameters
    ----------
    table : ParameterTable
    fixed : dict
        Values of the rows that the data fix (``exo``), by row name.
    """
    observed = table.observed
    copied = _copied(table)
    eta = (*table.latents, *(v for v in observed if v in copied))
    p, m = len(observed), len(eta)
    y_index = {v: i for i, v in enumerate(observed)}
    eta_index = {v: i for i, v in enumerate(eta)}
    templates = (
        np.zeros((p, m)),
        np.zeros((p, p)),
        np.zeros((m, m)),
        np.zeros((m, m)),
        np.zeros(p),
        np.zeros(m),
    )
    for name in copied:
        templates[LAMBDA][y_index[name], eta_index[name]] = 1.0
    entries: list[tuple[int, int, int, int]] = []  # parameter, matrix, i, j
    for row in table.rows:
        if row.op in ("|", "~*~"):
            continue  # of ordinal items: see b2b_sem.engine.native.ordinal
        matrix, i, j = _place(row.lhs, row.op, row.rhs, y_index, eta_index, copied)
        if row.free:
            entries.append((row.free - 1, matrix, i, j))
        else:
            value = fixed[row.name] if row.exo else row.value
            assert value is not None
            target = templates[matrix]
            if matrix in (TAU, ALPHA):
                target[i] = value
            else:
                target[i, j] = value
                if matrix in (THETA, PSI):
                    target[j, i] = value
    array = np.array(entries, dtype=np.intp).reshape(-1, 4)
    free, matrix_, i_, j_ = array.T
    where = tuple((np.flatnonzero(matrix_ == k), i_[matrix_ == k], j_[matrix_ == k]) for k in range(6))
    n = len(free)
    plain = n == table.nfree and bool((free == np.arange(n)).all())
    u, v = np.zeros(n, dtype=np.intp), np.zeros(n, dtype=np.intp)
    w = np.zeros(n)
    mean_column, mean_scale = np.zeros(n, dtype=np.intp), np.full(n, -1, dtype=np.intp)
    for e in range(n):
        matrix, i, j = int(matrix_[e]), int(i_[e]), int(j_[e])
        if matrix == LAMBDA:
            u[e], v[e], w[e], mean_column[e], mean_scale[e] = i, p + m + j, 1.0, i, 1 + j
        elif matrix == THETA:
            u[e], v[e], w[e] = i, j, 0.5 if i == j else 1.0
        elif matrix == BETA:
            u[e], v[e], w[e], mean_column[e], mean_scale[e] = p + i, p + m + j, 1.0, p + i, 1 + j
        elif matrix == PSI:
            u[e], v[e], w[e] = p + i, p + j, 0.5 if i == j else 1.0
        elif matrix == TAU:
            mean_column[e], mean_scale[e] = i, 0
        else:
            mean_column[e], mean_scale[e] = p + i, 0
    for t in templates:
        t.flags.writeable = False
    return Structure(
        p,
        m,
        table.nfree,
        observed,
        eta,
        len(table.latents),
        templates,
        free,
        where,
        u,
        v,
        w,
        mean_column,
        mean_scale,
        matrix_,
        i_,
        j_,
        table.meanstructure,
        bool(len(where[BETA][0])),
        None if plain else (free[:, None] == np.arange(table.nfree)).astype(float),
    )


def _copied(table: ParameterTable) -> set[str]:
    """Observed variables that need a place in eta."""
    observed = set(table.observed)
    out = {v for r in table.rows if r.op == "~" for v in (r.lhs, r.rhs) if v in observed}
    latents = set(table.latents)
    pairs = [(r.lhs, r.rhs) for r in table.rows if r.op == "~~" and r.lhs != r.rhs]
    grown = True
    while grown:
        grown = False
        for a, b in pairs:
            for one, other in ((a, b), (b, a)):
                if one in observed and one not in out and (other in out or other in latents):
                    out.add(one)
                    grown = True
    return out


def _place(
    lhs: str, op: str, rhs: str, y: dict[str, int], eta: dict[str, int], copied: set[str]
) -> tuple[int, int, int]:
    if op == "=~":
        if rhs in eta:
            return BETA, eta[rhs], eta[lhs]
        return LAMBDA, y[rhs], eta[lhs]
    if op == "~":
        return BETA, eta[lhs], eta[rhs]
    if op == "~~":
        if lhs in eta:
            return PSI, eta[lhs], eta[rhs]
        return THETA, y[lhs], y[rhs]
    if lhs in eta:
        return ALPHA, eta[lhs], 0
    return TAU, y[lhs], 0


def implied_moments(structure: Structure, theta: Array) -> Implied | None:
    """Return the implied moments at `theta`, or None where (I - B) is singular."""
    values = theta[structure.free]
    lam, th, beta, psi, tau, alpha = (t.copy() for t in structure.templates)
    for target, (entries, i, j) in zip((lam, th, beta, psi), structure.where[:4], strict=True):
        target[i, j] = values[entries]
    for target, (entries, i, j) in zip((th, psi), (structure.where[THETA], structure.where[PSI]), strict=True):
        target[j, i] = values[entries]
    identity = np.eye(structure.m)
    if structure.paths or beta.any():
        try:
            inverse = np.linalg.inv(identity - beta)
        except np.linalg.LinAlgError:
            return None
        eta_cov = inverse @ psi @ inverse.T
        g = lam @ inverse
    else:
        inverse, eta_cov, g = identity, psi, lam
    h = lam @ eta_cov
    sigma = h @ lam.T + th
    sigma = (sigma + sigma.T) / 2
    mu, eta_mean = None, np.zeros(structure.m)
    if structure.meanstructure:
        for target, (entries, i, _) in zip((tau, alpha), structure.where[4:], strict=True):
            target[i] = values[entries]
        eta_mean = inverse @ alpha
        mu = tau + lam @ eta_mean
    columns = np.concatenate([np.eye(structure.p), g, h], axis=1)
    return Implied(sigma, mu, eta_cov, eta_mean, columns, inverse, psi, th)
