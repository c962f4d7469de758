"""Least distance and quadratic programs with linear constraints: small, dense, exact.

A quadratic program is a least-distance problem in the coordinates of the Cholesky factor of its matrix, and a
least-distance problem with inequalities is a non-negative least-squares problem (Lawson & Hanson 1995, chapter 23,
doi:10.1137/1.9781611971217). What the search finds is used for the active set only; the solution is then computed from
the equations it consists of.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

from b2b_sem.engine.base import Array

__all__ = ["Step", "least_distance", "quadratic_step"]

#: Singular values below this share of the largest count as none.
RCOND = 1e-9


@dataclass(frozen=True)
class Step:
    """A solution with a multiplier for each constraint: equations first, zero where an inequality is not active."""

    value: Array
    multipliers: Array


def least_distance(equations: Array, target: Array, rows: Array, least: Array) -> Step | None:
    """Return the shortest s with ``equations s = target`` and ``rows s >= least``, or None if there is none."""
    m, k = len(equations), len(rows)
    if m:
        u, d, vt = np.linalg.svd(equations)
        rank = int((d > RCOND * d[0]).sum()) if d[0] > 0 else 0
        base = vt[:rank].T @ ((u[:, :rank].T @ target) / d[:rank])
        free = vt[rank:].T
    else:
        base, free = np.zeros(rows.shape[1]), np.eye(rows.shape[1])
    need = least - rows @ base
    active = np.zeros(k, dtype=bool)
    if k and need.max() > 0:
        if not free.shape[1]:
            return None
        found = _active(rows @ free, need)
        if found is None:
            return None
        active = found
    # drop what pushes in the wrong direction until all multipliers have their sign
    for _ in range(k + 1):
        matrix = np.concatenate([equations, rows[active]])
        right = np.concatenate([target, least[active]])
        if not len(matrix):
            return Step(np.zeros(rows.shape[1]), np.zeros(m + k))
        inverse = np.linalg.pinv(matrix, rcond=RCOND)
        value = inverse @ right
        weights = inverse.T @ value
        wrong = np.flatnonzero(weights[m:] < 0)
        if not len(wrong):
            break
        active[np.flatnonzero(active)[wrong[np.argmin(weights[m:][wrong])]]] = False
    multipliers = np.zeros(m + k)
    multipliers[:m] = weights[:m]
    multipliers[m + np.flatnonzero(active)] = weights[m:]
    return Step(value, multipliers)


def _active(rows: Array, need: Array) -> Array | None:
    """Return which inequalities ``rows y >= need`` hold as equations at the shortest y, or None if none exists."""
    from scipy.optimize import nnls

    size = np.linalg.norm(rows, axis=1)
    if ((size == 0) & (need > 0)).any():
        return None
    size = np.where(size > 0, size, 1.0)
    unit = need / size
    unit = unit / unit.max()  # the answer scales with the right-hand side
    matrix = np.concatenate([(rows / size[:, None]).T, unit[None, :]])
    right = np.zeros(len(matrix))
    right[-1] = 1.0
    try:
        weights, distance = nnls(matrix, right, maxiter=30 * len(rows) + 300)
    except RuntimeError:
        return None
    return None if distance < 1e-9 else weights > 0


def quadratic_step(
    factor: Array, gradient: Array, equations: Array, target: Array, rows: Array, least: Array
) -> Step | None:
    """Minimise s'Hs/2 + gradient's under ``equations s = target`` and ``rows s >= least``, with H = factor factor'."""
    shift = solve_triangular(factor, gradient, lower=True)
    both = np.concatenate([equations, rows])
    turned = solve_triangular(factor, both.T, lower=True).T if len(both) else both
    moved = turned @ shift
    m = len(equations)
    found = least_distance(turned[:m], target + moved[:m], turned[m:], least + moved[m:])
    if found is None:
        return None
    return Step(solve_triangular(factor, found.value - shift, lower=True, trans=1), found.multipliers)
