"""Starting values: one-factor solutions for each block of indicators, then regressions among the factors.

Good starts save iterations and, more important, keep Sigma positive definite; the solution does not depend on them.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from b2b_sem.engine.base import Array
from b2b_sem.spec.partable import ParameterTable, Row

__all__ = ["plain_start", "start_values"]


def _one_factor(cov: Array) -> tuple[Array, float]:
    """Return principal-axis loadings of one factor and their share of the variance, for 2 or more variables."""
    sd = np.sqrt(np.diag(cov))
    cor = cov / np.outer(sd, sd)
    k = len(sd)
    if k == 2:
        r = cor[0, 1]
        common = min(max(abs(r), 0.1), 0.9)
        return sd * np.sqrt(common) * np.array([1.0, 1.0 if r >= 0 else -1.0]), common
    absolute = np.abs(cor - np.eye(k)).max(axis=1)
    communality = np.clip(absolute, 0.1, 0.9)
    vector = np.ones(k)
    for _ in range(4):
        reduced = cor.copy()
        np.fill_diagonal(reduced, communality)
        values, vectors = np.linalg.eigh(reduced)
        vector = vectors[:, -1] * np.sqrt(max(values[-1], 0.05))
        communality = np.clip(vector**2, 0.05, 0.95)
    return sd * np.sign(vector) * np.sqrt(communality), float(communality.mean())


def start_values(table: ParameterTable, cov: Array, mean: Array | None, fixed: dict[str, float]) -> Array:
    """Return starting values for the free parameters, shape (q,)."""
    index = {v: i for i, v in enumerate(table.observed)}
    latents = set(table.latents)
    variance = np.diag(cov)
    values: dict[int, float] = {}  # row number -> value
    by_latent: dict[str, list[tuple[int, Row]]] = defaultdict(list)
    loads: dict[str, int] = defaultdict(int)
    for i, row in enumerate(table.rows):
        if row.op == "=~":
            by_latent[row.lhs].append((i, row))
            loads[row.rhs] += 1
    # weights that turn observed variables into rough scores of everything in eta
    weights: dict[str, Array] = {v: np.eye(len(index))[i] for v, i in index.items()}
    scale: dict[str, float] = {v: float(variance[i]) for v, i in index.items()}
    pending = list(table.latents)
    unit = {r.lhs for r in table.rows if r.op == "~~" and r.lhs == r.rhs and r.lhs in latents and not r.free}
    while pending:
        ready = [f for f in pending if all(r.rhs in weights for _, r in by_latent[f])] or pending[:1]
        for latent in ready:
            pending.remove(latent)
            _start_block(by_latent[latent], latent in unit, weights, scale, cov, loads, values)
    residual = {}
    for name, i in index.items():
        explained = sum(
            _value(values, n, row) ** 2 * scale[row.lhs]
            for f in table.latents
            for n, row in by_latent[f]
            if row.rhs == name
        )
        residual[name] = max(variance[i] - explained, 0.2 * variance[i])
    _start_structure(table, weights, scale, cov, values, residual)
    mean_of = {v: float(mean[i]) for v, i in index.items()} if mean is not None else {}
    theta = np.zeros(table.nfree)
    count = np.zeros(table.nfree)
    for i, row in enumerate(table.rows):
        if row.free:
            value = values.get(i, mean_of.get(row.lhs, 0.0) if row.op == "~1" else 0.0)
            if row.start is not None:
                value = row.start
            theta[row.free - 1] += value
            count[row.free - 1] += 1
    return theta / count


def _value(values: dict[int, float], number: int, row: Row) -> float:
    return values.get(number, 0.0) if row.free else float(row.value or 0.0)


def _start_block(
    rows: list[tuple[int, Row]],
    unit: bool,
    weights: dict[str, Array],
    scale: dict[str, float],
    cov: Array,
    loads: dict[str, int],
    values: dict[int, float],
) -> None:
    """Start the loadings of one latent variable and record its scores and variance."""
    latent = rows[0][1].lhs
    known = [(n, r) for n, r in rows if r.rhs in weights]
    if not known:
        weights[latent] = np.zeros(len(cov))
        scale[latent] = 1.0
        return
    w = np.array([weights[r.rhs] for _, r in known])
    block = w @ cov @ w.T
    np.fill_diagonal(block, [scale[r.rhs] for _, r in known])
    if len(known) == 1:
        vector: Array = np.sqrt(np.diag(block)) * 0.9
    else:
        vector, _ = _one_factor(block)
    vector = vector / np.sqrt([max(loads[r.rhs], 1) for _, r in known])
    marker = next((k for k, (_, r) in enumerate(known) if not r.free and r.value), None)
    if unit or marker is None or abs(vector[marker]) < 1e-8:
        factor = 1.0
    else:
        factor = float(known[marker][1].value or 1.0) / vector[marker]
    if marker is None and vector[0] < 0:
        factor = -factor
    elif unit and marker is not None and vector[marker] * float(known[marker][1].value or 1.0) < 0:
        factor = -factor  # of the two directions of a latent variable, the one that a fixed loading points in
    vector = vector * factor
    for (n, row), loading in zip(known, vector, strict=True):
        if row.free:
            values[n] = float(loading)
    scale[latent] = factor**-2
    weights[latent] = (vector @ w) / float(vector @ vector)


def _start_structure(
    table: ParameterTable,
    weights: dict[str, Array],
    scale: dict[str, float],
    cov: Array,
    values: dict[int, float],
    residual: dict[str, float],
) -> None:
    """Start regressions, (residual) variances and covariances from the rough scores."""
    names = [*table.latents, *table.observed]
    index = {v: i for i, v in enumerate(names)}
    w = np.array([weights[v] for v in names])
    eta = w @ cov @ w.T
    sd = np.sqrt(np.array([scale[v] for v in names]))
    correlation = np.clip(eta / np.outer(sd, sd), -0.9, 0.9)
    np.fill_diagonal(correlation, 1.0)
    eta = correlation * np.outer(sd, sd)
    paths: dict[str, list[tuple[int, Row]]] = defaultdict(list)
    for i, row in enumerate(table.rows):
        if row.op == "~":
            paths[row.lhs].append((i, row))
    left = {v: float(eta[index[v], index[v]]) for v in names}
    for v in table.observed:
        left[v] = residual[v]
    for v, rows in paths.items():
        own = index[v]
        at = [index[r.rhs] for _, r in rows]
        free = [k for k, (_, r) in enumerate(rows) if r.free]
        slopes = np.array([float(r.value or 0.0) if not r.free else 0.0 for _, r in rows])
        target = eta[at, own] - eta[np.ix_(at, at)] @ slopes
        if free:
            sub = eta[np.ix_([at[k] for k in free], [at[k] for k in free])]
            ridge = sub + 0.05 * np.diag(np.diag(sub))
            slopes[free] = np.linalg.solve(ridge, target[free])
        explained = float(slopes @ eta[np.ix_(at, at)] @ slopes)
        limit = 0.8 * eta[own, own]
        if explained > limit:
            slopes[free] *= np.sqrt(limit / explained)
            explained = limit
        left[v] = max(left[v] - explained, 0.2 * eta[own, own])
        for k in free:
            values[rows[k][0]] = float(slopes[k])
    for number, row in enumerate(table.rows):
        if row.op == "=~" and row.rhs in table.latents:
            loading = _value(values, number, row)
            left[row.rhs] = max(left[row.rhs] - loading**2 * scale[row.lhs], 0.2 * eta[index[row.rhs], index[row.rhs]])
    endogenous = set(paths) | {r.rhs for r in table.rows if r.op == "=~"}
    for i, row in enumerate(table.rows):
        if row.op != "~~" or not row.free:
            continue
        if row.lhs == row.rhs:
            values[i] = float(left[row.lhs])
        elif row.lhs not in endogenous and row.rhs not in endogenous:
            values[i] = float(0.8 * eta[index[row.lhs], index[row.rhs]])
        else:
            values[i] = 0.0


def plain_start(table: ParameterTable, cov: Array, mean: Array | None) -> Array:
    """Return cautious starting values: loadings of one sign, no regressions, no covariances."""
    index = {v: i for i, v in enumerate(table.observed)}
    marker = {r.lhs: r.rhs for r in reversed(table.rows) if r.op == "=~" and not r.free and r.value}
    theta = np.zeros(table.nfree)
    for row in table.rows:
        if not row.free:
            continue
        value = 0.0
        if row.op == "=~":
            size = np.sqrt(cov[index[row.rhs], index[row.rhs]]) if row.rhs in index else 1.0
            reference = marker.get(row.lhs)
            base = np.sqrt(cov[index[reference], index[reference]]) if reference in index else 1.0
            value = float(size / base if row.lhs in marker else 0.6 * size)
        elif row.op == "~~" and row.lhs == row.rhs:
            if row.lhs in index:
                value = float(0.6 * cov[index[row.lhs], index[row.lhs]])
            else:
                reference = marker.get(row.lhs)
                value = float(0.3 * cov[index[reference], index[reference]]) if reference in index else 0.5
        elif row.op == "~1" and row.lhs in index and mean is not None:
            value = float(mean[index[row.lhs]])
        theta[row.free - 1] = value if row.start is None else row.start
    return theta
