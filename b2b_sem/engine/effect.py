"""Direct, indirect and total effects as functions of the parameters.

With B the coefficients of the regressions (``~``) among the variables of the structural part, the specific indirect
effect of a path is the product of its coefficients, the total effects are (I - B)^-1 - I, and the total indirect
effects are total minus direct ones (Bollen 1987, doi:10.2307/271028). Standardized effects are multiplied by
sd(predictor) / sd(outcome), with the standard deviations that the model implies. Loadings are no effects.

Everything exists twice: at one point with exact derivatives (:func:`effects_at`, for the delta method, Sobel 1982,
doi:10.2307/270723), and for a whole stack of parameter vectors without a loop (:func:`effect_draws`, for Monte Carlo
and bootstrap intervals).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from b2b_sem.engine.base import Array, IntArray
from b2b_sem.engine.native.implied import Implied, Structure, implied_moments
from b2b_sem.engine.native.stack import Kernel, compile_kernel, inverses
from b2b_sem.engine.problem import Problem
from b2b_sem.engine.rowstack import deviations, row_stack, unit
from b2b_sem.engine.standardize import RowValues, row_values, scale_rows, standardize
from b2b_sem.errors import ModelError
from b2b_sem.spec.partable import ParameterTable
from b2b_sem.spec.product import units_of

if TYPE_CHECKING:
    from b2b_sem.engine.ordinal import OrdinalRows

__all__ = ["Effect", "EffectMap", "effect_draws", "effects_at", "find_effects", "spectral_radius"]

#: More paths than this are not listed without a choice of outcome or predictor.
MOST_PATHS = 5_000
#: Numbers held at a time while a stack of parameter vectors is worked through.
CHUNK = 2_000_000


@dataclass(frozen=True)
class Effect:
    """One effect.

    Attributes
    ----------
    kind : str
        ``specific``, ``indirect`` (the total indirect effect), ``direct``, ``total`` or ``defined`` (a ``:=``).
    outcome, predictor : str
        Empty for a definition.
    path : str
        ``X -> M -> Y`` for a specific effect, ``X -> Y`` for the others, the name of a definition.
    """

    kind: str
    outcome: str
    predictor: str
    path: str


@dataclass(frozen=True)
class EffectMap:
    """The effects of a model, compiled to index arrays.

    Attributes
    ----------
    effects : tuple of Effect
        Specific effects, then direct, indirect and total effects, then definitions.
    names : tuple of str
        Variables of the structural part, s of them.
    place : (s,) int array
        Their place in ``structure.eta``.
    lhs, rhs : (E,) int arrays
        Outcome and predictor of each coefficient, as indices of `names`.
    parameter : (E,) int array
        Free parameter of each coefficient from 0, or -1 when fixed.
    fixed : (E,) array
        Value of fixed coefficients, 0 elsewhere.
    paths : (K, L) int array
        Coefficients of each specific effect; E stands for the factor 1.
    pairs : (P, 2) int array
        Outcome and predictor of each direct, indirect and total effect.
    pair_kind : tuple of str
    definitions : int
    cyclic : bool
        Whether some variable leads back to itself.
    unlisted : bool
        Whether the specific effects were too many to list.
    """

    effects: tuple[Effect, ...]
    names: tuple[str, ...]
    place: IntArray
    lhs: IntArray
    rhs: IntArray
    parameter: IntArray
    fixed: Array
    paths: IntArray
    pairs: IntArray
    pair_kind: tuple[str, ...]
    definitions: int
    cyclic: bool
    unlisted: bool


def find_effects(
    table: ParameterTable,
    structure: Structure,
    outcomes: tuple[str, ...] | None = None,
    predictors: tuple[str, ...] | None = None,
) -> EffectMap:
    """Find all effects of a model in its parameter table.

    Parameters
    ----------
    table, structure : ParameterTable, Structure
    outcomes, predictors : tuple of str, optional
        Keep only effects on these outcomes, of these predictors.

    Returns
    -------
    EffectMap
        Without specific effects if there are more than 5000.
    """
    rows = [r for r in table.rows if r.op == "~" and (r.free or r.value)]
    used = {v for r in rows for v in (r.lhs, r.rhs)}
    names = tuple(v for v in structure.eta if v in used)
    at = {v: i for i, v in enumerate(names)}
    lhs = np.array([at[r.lhs] for r in rows], dtype=np.intp)
    rhs = np.array([at[r.rhs] for r in rows], dtype=np.intp)
    edges: dict[int, list[tuple[int, int]]] = {i: [] for i in range(len(names))}
    for e, (i, j) in enumerate(zip(lhs, rhs, strict=True)):
        edges[int(j)].append((int(i), e))
    reach = _reachable(len(names), lhs, rhs)

    def wanted(outcome: int, predictor: int) -> bool:
        return (outcomes is None or names[outcome] in outcomes) and (
            predictors is None or names[predictor] in predictors
        )

    def walks() -> Iterator[tuple[list[int], list[int]]]:
        for start in range(len(names)):
            targets = {i for i in range(len(names)) if reach[i, start] and i != start and wanted(i, start)}
            if targets:
                yield from (walk for walk in _walk(start, targets, edges, reach) if len(walk[1]) > 1)

    found = list(islice(walks(), MOST_PATHS + 1))
    unlisted = len(found) > MOST_PATHS
    specific = [
        (Effect("specific", names[nodes[-1]], names[nodes[0]], " -> ".join(names[i] for i in nodes)), used_edges)
        for nodes, used_edges in ([] if unlisted else found)
    ]
    direct = {(int(i), int(j)) for i, j in zip(lhs, rhs, strict=True)}
    through = _reachable_indirectly(reach, lhs, rhs)
    pairs: list[tuple[int, int]] = []
    kinds: list[str] = []
    effects = [effect for effect, _ in specific]
    for j in range(len(names)):
        for i in range(len(names)):
            if i == j or not reach[i, j] or not wanted(i, j):
                continue
            present = {"direct": (i, j) in direct, "indirect": bool(through[i, j]), "total": True}
            for kind in (k for k, there in present.items() if there):
                pairs.append((i, j))
                kinds.append(kind)
                effects.append(Effect(kind, names[i], names[j], f"{names[j]} -> {names[i]}"))
    effects += [Effect("defined", "", "", d.name) for d in table.definitions]
    longest = max((len(used_edges) for _, used_edges in specific), default=0)
    paths = np.full((len(specific), longest), len(rows), dtype=np.intp)
    for k, (_, used_edges) in enumerate(specific):
        paths[k, : len(used_edges)] = used_edges
    return EffectMap(
        tuple(effects),
        names,
        np.array([structure.eta.index(v) for v in names], dtype=np.intp),
        lhs,
        rhs,
        np.array([r.free - 1 for r in rows], dtype=np.intp),
        np.array([0.0 if r.free else float(r.value or 0.0) for r in rows]),
        paths,
        np.array(pairs, dtype=np.intp).reshape(-1, 2),
        tuple(kinds),
        len(table.definitions),
        bool(reach.diagonal().any()),
        unlisted,
    )


def _reachable(size: int, lhs: IntArray, rhs: IntArray) -> np.ndarray:
    """Return whether i can be reached from j in one step or more, shape (size, size)."""
    reach = np.zeros((size, size), dtype=bool)
    reach[lhs, rhs] = True
    for k in range(size):
        reach |= np.outer(reach[:, k], reach[k])
    return reach


def _reachable_indirectly(reach: np.ndarray, lhs: IntArray, rhs: IntArray) -> np.ndarray:
    """Return whether i can be reached from j in two steps or more."""
    out = np.zeros_like(reach)
    for i, k in zip(lhs, rhs, strict=True):
        out[i] |= reach[k]
    return out


def _walk(
    start: int, targets: set[int], edges: dict[int, list[tuple[int, int]]], reach: np.ndarray
) -> Iterator[tuple[list[int], list[int]]]:
    """Yield nodes and coefficients of all paths from `start` to a target that pass no variable twice."""
    nodes, taken = [start], list[int]()
    stack = [iter(edges[start])]
    while stack:
        step = next(stack[-1], None)
        if step is None:
            stack.pop()
            if taken:
                taken.pop()
                nodes.pop()
            continue
        node, edge = step
        if node in nodes or not (node in targets or reach[list(targets), node].any()):
            continue
        nodes.append(node)
        taken.append(edge)
        if node in targets:
            yield list(nodes), list(taken)
        stack.append(iter(edges[node]))


def spectral_radius(coefficients: Array) -> Array:
    """Return the largest absolute eigenvalue of B: below 1, effects around a loop die out and total effects exist.

    Bollen (1987), doi:10.2307/271028; Bentler & Freeman (1983), Psychometrika 48. Shape (..., s, s) to (...).
    """
    if coefficients.shape[-1] == 0:
        return np.zeros(coefficients.shape[:-2])
    return np.asarray(np.abs(np.linalg.eigvals(coefficients)).max(axis=-1))


def _coefficients(effects: EffectMap, thetas: Array) -> tuple[Array, Array]:
    """Return the coefficients (R, E) and the matrices B (R, s, s)."""
    values = np.where(effects.parameter >= 0, thetas[:, effects.parameter], effects.fixed)
    matrix = np.zeros((len(thetas), len(effects.names), len(effects.names)))
    matrix[:, effects.lhs, effects.rhs] = values
    return values, matrix


def effects_at(problem: Problem, effects: EffectMap, theta: Array) -> tuple[RowValues, RowValues]:
    """Return the raw and the standardized effects at one parameter vector, with derivatives.

    Parameters
    ----------
    problem : Problem
    effects : EffectMap
    theta : (q,) array

    Returns
    -------
    raw, std : RowValues
        In the order of ``effects.effects``. Total and indirect effects of a model with a loop that is not stable
        are NaN.

    Raises
    ------
    ModelError
        If the model implies no moments at `theta`.
    """
    structure = problem.structure
    implied = implied_moments(structure, theta)
    if implied is None:
        raise ModelError("the model implies no covariance matrix at these parameters: (I - B) is singular")
    q, count = len(theta), len(effects.lhs)
    values, matrix = (part[0] for part in _coefficients(effects, theta[None]))
    slope = np.zeros((count, q))
    free = np.flatnonzero(effects.parameter >= 0)
    slope[free, effects.parameter[free]] = 1.0
    # specific effects: the derivative by one coefficient is the product of the others
    padded = np.append(values, 1.0)
    factors = padded[effects.paths]
    products = np.zeros((len(effects.paths), q))
    for step in range(effects.paths.shape[1]):
        others = np.delete(factors, step, axis=1).prod(axis=1)
        inside = effects.paths[:, step] < count
        products[inside] += others[inside, None] * slope[effects.paths[inside, step]]
    pair_value, pair_slope = _pairs_at(effects, values, matrix, slope)
    value = np.concatenate([factors.prod(axis=1), pair_value])
    jacobian = np.concatenate([products, pair_slope])
    # standardized: times sd(predictor) / sd(outcome)
    ordinal = _ordinal_rows(problem, theta) if problem.table.ordered else None
    variance, own = _variances(structure, implied) if ordinal is None else _ordinal_variances(structure, ordinal)
    at = dict(zip(effects.names, effects.place, strict=True))
    paths = [e for e in effects.effects if e.kind != "defined"]
    y = np.array([at[e.outcome] for e in paths], dtype=np.intp)
    # a product has two factors, any other predictor only itself: the second place is then an extra variable of sd 1
    variance, own = np.append(variance, 1.0), np.concatenate([own, np.zeros((1, q))])
    units = [[at[v] for v in units_of(e.predictor, at)] for e in paths]
    x = np.array([[*u, len(variance) - 1][:2] for u in units], dtype=np.intp).reshape(-1, 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        whole = variance[x].prod(axis=1)
        ratio = np.sqrt(np.where((variance[x] > 0).all(axis=1) & (variance[y] > 0), whole / variance[y], np.nan))
        logs = (own[x] / (2.0 * variance[x])[:, :, None]).sum(axis=1) - own[y] / (2.0 * variance[y])[:, None]
        std = RowValues(value * ratio, ratio[:, None] * (jacobian + value[:, None] * logs))
    raw = RowValues(value, jacobian)
    if not effects.definitions:
        return raw, std
    table = problem.table
    if ordinal is None:
        rows = row_values(table, theta, problem.fixed)
        _, rows_std = standardize(table, structure, implied, rows)
    else:
        rows = ordinal.raw
        _, rows_std = scale_rows(table, ordinal.moving, ordinal.latent, ordinal.everything)
    tail = slice(len(table.rows), None)
    return (
        RowValues(np.concatenate([raw.value, rows.value[tail]]), np.concatenate([raw.jacobian, rows.jacobian[tail]])),
        RowValues(
            np.concatenate([std.value, rows_std.value[tail]]),
            np.concatenate([std.jacobian, rows_std.jacobian[tail]]),
        ),
    )


def _variances(structure: Structure, implied: Implied) -> tuple[Array, Array]:
    """Return the variances (m,) of everything in eta and their derivatives (m, q)."""
    width = structure.p + 2 * structure.m
    columns = np.zeros((structure.m, width))
    columns[:, structure.p : structure.p + structure.m] = implied.inverse
    columns[:, structure.p + structure.m :] = implied.eta_cov
    own = structure.gather(2.0 * structure.w * columns[:, structure.u] * columns[:, structure.v])
    return np.diag(implied.eta_cov), own


def _ordinal_rows(problem: Problem, theta: Array) -> OrdinalRows:
    """Return what a model of ordinal items implies for the responses behind them."""
    from b2b_sem.engine.categorical import weight_of
    from b2b_sem.engine.ordinal import ordinal_rows

    state = weight_of(problem).layout.state(theta)
    if state is None:
        raise ModelError("a variance implied at these parameters is not positive")
    return ordinal_rows(problem, state)


def _ordinal_variances(structure: Structure, rows: OrdinalRows) -> tuple[Array, Array]:
    """Return the same where residual variances of ordinal items are computed."""
    sd = rows.everything
    root = np.array([sd.value[name] for name in structure.eta])
    slope = np.array([sd.slope[name] for name in structure.eta])
    return root**2, 2.0 * root[:, None] * slope


def _pairs_at(effects: EffectMap, values: Array, matrix: Array, slope: Array) -> tuple[Array, Array]:
    """Return direct, indirect and total effects with derivatives: dT = A dB A, A = (I - B)^-1."""
    y, x = effects.pairs.T
    kind = np.array(effects.pair_kind)
    if effects.cyclic and spectral_radius(matrix) >= 1.0:
        inverse = np.full_like(matrix, np.nan)
    else:
        inverse = np.linalg.inv(np.eye(len(matrix)) - matrix)
    total = (inverse[y][:, effects.lhs] * inverse[effects.rhs][:, x].T) @ slope
    direct = ((y[:, None] == effects.lhs) & (x[:, None] == effects.rhs)).astype(float)
    direct_value, direct_slope = direct @ values, direct @ slope
    value, jacobian = inverse[y, x], total
    value = np.where(kind == "direct", direct_value, value - (kind == "indirect") * direct_value)
    jacobian = np.where(
        (kind == "direct")[:, None], direct_slope, jacobian - (kind == "indirect")[:, None] * direct_slope
    )
    return value, jacobian


def effect_draws(problem: Problem, effects: EffectMap, thetas: Array, exo: Array | None = None) -> tuple[Array, Array]:
    """Return the raw and the standardized effects for a stack of parameter vectors.

    Parameters
    ----------
    problem : Problem
    effects : EffectMap
    thetas : (R, q) array
    exo : (R, x) array, optional
        Moments that the data fix, one column a row with ``exo``. Default: those of the full sample.

    Returns
    -------
    raw, std : (R, n) arrays
        In the order of ``effects.effects``; NaN where a parameter vector is not finite, implies a negative variance,
        or a loop is not stable.
    """
    structure = problem.structure
    size = 6 * structure.m**2 + 3 * structure.p * structure.m + effects.paths.size + 4 * len(effects.effects) + 1
    if effects.definitions:
        size += 2 * len(problem.table.rows)
    step = max(1, CHUNK // size)
    if exo is None:
        full = [problem.fixed[row.name] for row in problem.table.rows if row.exo]
        exo = np.broadcast_to(np.array(full), (len(thetas), len(full)))
    kernel = compile_kernel(problem.table, structure)
    parts = [
        _draw(problem, kernel, effects, thetas[k : k + step], exo[k : k + step]) for k in range(0, len(thetas), step)
    ]
    if not parts:
        return np.empty((0, len(effects.effects))), np.empty((0, len(effects.effects)))
    raw, std = (np.concatenate(part) for part in zip(*parts, strict=True))
    return raw, std


def _draw(problem: Problem, kernel: Kernel, effects: EffectMap, thetas: Array, exo: Array) -> tuple[Array, Array]:
    broken = np.asarray(~np.isfinite(thetas).all(axis=1))
    thetas = np.where(broken[:, None], 0.0, thetas)
    values, matrix = _coefficients(effects, thetas)
    padded = np.concatenate([values, np.ones((len(values), 1))], axis=1)
    specific = padded[:, effects.paths].prod(axis=2)
    y, x = effects.pairs.T
    kind = np.array(effects.pair_kind)
    inverse = inverses(np.eye(len(effects.names)) - matrix)
    if effects.cyclic:
        inverse[np.flatnonzero(spectral_radius(matrix) >= 1.0)] = np.nan
    direct = matrix[:, y, x]
    pairs = np.where(kind == "direct", direct, inverse[:, y, x] - (kind == "indirect") * direct)
    raw = np.concatenate([specific, pairs], axis=1)
    sd = deviations(kernel, thetas, exo)
    own = {v: sd[v] for v in effects.names}
    std = raw.copy()
    with np.errstate(invalid="ignore", over="ignore"):
        for k, effect in enumerate(e for e in effects.effects if e.kind != "defined"):
            std[:, k] *= unit(effect.predictor, own) / sd[effect.outcome]
    if effects.definitions:
        rows = row_stack(problem.table, kernel, thetas, exo, sd)
        raw, std = (
            np.concatenate([part, more[:, len(problem.table.rows) :]], axis=1)
            for part, more in zip((raw, std), rows, strict=True)
        )
    raw[broken], std[broken] = np.nan, np.nan
    return raw, std
