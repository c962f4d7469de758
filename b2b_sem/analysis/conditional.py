"""Direct, indirect and total effects at values of a moderator, and the index of moderated mediation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from types import MappingProxyType
from typing import Any, cast

import numpy as np
import pandas as pd

from b2b_sem.analysis.effect import check_replicates, check_settings
from b2b_sem.analysis.equation import (
    Variables,
    column_notes,
    group_context,
    is_centred,
    name_product,
    read_terms,
    refuse_centred_groups,
    residual_notes,
    variables_of,
)
from b2b_sem.analysis.fitted import Fit, context_of
from b2b_sem.analysis.probe import moderator_values
from b2b_sem.engine.base import Array
from b2b_sem.engine.draw import multivariate_normal
from b2b_sem.errors import DataError, ModelSyntaxError, Unsupported, did_you_mean
from b2b_sem.measures.interval import interval, spread
from b2b_sem.measures.probing import wald_columns
from b2b_sem.results.effect import Replicates
from b2b_sem.results.fit import FitResult
from b2b_sem.results.probe import CONDITIONAL_COLUMNS, INDEX_COLUMNS, ConditionalEffects

__all__ = ["conditional_effects"]

NAN = float("nan")
#: More paths than this are a mistake.
MOST_PATHS = 2_000


@dataclass(frozen=True, eq=False)
class _Edge:
    """The effect of one variable on another, a line over the moderator: (a + A theta) + m (b + B theta).

    Attributes
    ----------
    start, end : str
    constant : (2,) array
        a and b.
    weight : (2, q) array
        A and B.
    """

    start: str
    end: str
    constant: Array
    weight: Array

    @property
    def moderated(self) -> bool:
        """Whether the moderator changes it."""
        return bool(self.constant[1] or self.weight[1].any())

    def at(self, m: float) -> tuple[float, Array]:
        """Return constant and weights (q,) at a value of the moderator."""
        return float(self.constant[0] + m * self.constant[1]), self.weight[0] + m * self.weight[1]


@dataclass(frozen=True)
class _Effect:
    """A sum of paths."""

    kind: str
    outcome: str
    predictor: str
    label: str
    paths: tuple[tuple[_Edge, ...], ...]

    @property
    def degree(self) -> int:
        """The highest power of the moderator in it."""
        return max(sum(e.moderated for e in path) for path in self.paths)

    def at(self, thetas: Array, m: float) -> Array:
        """Return the effect for a stack of parameter vectors (R, q): (R,)."""
        out = np.zeros(len(thetas))
        for path in self.paths:
            value = np.ones(len(thetas))
            for edge in path:
                constant, weight = edge.at(m)
                value = value * (constant + thetas @ weight)
            out += value
        return out

    def slope(self, theta: Array, m: float) -> Array:
        """Return its derivatives by the parameters (q,)."""
        out = np.zeros(len(theta))
        for path in self.paths:
            parts = [edge.at(m) for edge in path]
            values = [constant + float(theta @ weight) for constant, weight in parts]
            for k, (_, weight) in enumerate(parts):
                out += math.prod(values[:k] + values[k + 1 :]) * weight
        return out


def conditional_effects(
    fit: FitResult,
    product: str,
    moderator: str | None = None,
    at: str | float | Sequence[float] | None = None,
    *,
    unit: str = "raw",
    outcome: str | Sequence[str] | None = None,
    predictor: str | Sequence[str] | None = None,
    held: Mapping[str, float] | None = None,
    ci: str = "delta",
    level: float = 0.95,
    draws: int | None = None,
    seed: int = 1,
    bootstrap: Replicates | None = None,
    jobs: int = 1,
    aliases: Mapping[str, str] | None = None,
    group: str | None = None,
) -> ConditionalEffects:
    """Return direct, indirect and total effects at values of a moderator, and the index of moderated mediation.

    With the moderator at m every product with it is a path: the effect of x on y in ``y ~ x + m + x:m`` is b1 + b3 m.
    Effects are products of paths along a chain, and sums over chains, so an effect that the moderator enters once is a
    line over m. Its slope is the index of moderated mediation (Hayes 2015, doi:10.1080/00273171.2014.962683).

    Parameters
    ----------
    fit : FitResult
        As returned by :func:`b2b_sem.fit`.
    product : str
        ``X:M``. All products with the same moderator count, wherever they stand.
    moderator : str, optional
        Which factor is the moderator. Default: the second.
    at, unit
        Values of the moderator, as in :func:`simple_slopes`.
    outcome, predictor : str or sequence of str, optional
        Keep only effects on these outcomes, of these predictors.
    held : mapping of str to float, optional
        Values, in raw units, of the variables that other products have. Default: their means. A square adds twice its
        coefficient times the value at which its variable is held (an instantaneous effect: Hayes & Preacher 2010,
        doi:10.1080/00273171.2010.498290).
    ci : {"delta", "mc", "percentile", "bc", "bca"}
        Delta method; Monte Carlo: percentiles of draws of the parameters from the normal distribution of the estimates
        (Preacher & Selig 2012, doi:10.1080/19312458.2012.679848); or bootstrap intervals.
    level : float
    draws, seed : int
        Monte Carlo draws (default 20,000) or bootstrap replicates (default 5,000), and their seed.
    bootstrap : object, optional
        Replicates to use instead of new ones: what ``fit.bootstrap`` returns.
    jobs : int
        Worker processes of the bootstrap.
    aliases, group
        As in :func:`simple_slopes`.

    Returns
    -------
    ConditionalEffects
        Only effects that the moderator changes. ``index`` has their change by one unit of the moderator, and the
        contrast between its last and its first value.

    Raises
    ------
    ModelSyntaxError
        If the model has no such product, moderator, outcome, predictor or held variable.
    DataError
        For values, levels or replicates that cannot be used.
    Unsupported
        For loops, products of three variables, a result read from a file, another kind of interval, and, of a
        predictor that is named, a product of two variables that both depend on it, without their values in `held`.

    Notes
    -----
    The moderator is held at its value: chains that pass through it are left out. Where the moderator is the predictor
    itself, direct and total effects exist only if its products are squares or have other factors that it does not
    move.
    """
    if not isinstance(fit, FitResult):
        raise DataError(
            f"conditional effects need a fitted model, not {type(fit).__name__}", hint="give the result of b2b_sem.fit"
        )
    context, number = group_context(fit, group)
    count = (20_000 if ci == "mc" else 5_000) if draws is None else draws
    check_settings(ci, level, count)
    rows = fit.parameters
    rows = rows[(rows["op"] == "~") & (rows["group"] == number)]
    rows = rows.assign(
        term=pd.Series(read_terms(rows["rhs"], aliases), index=rows.index, dtype=object),
        centred=[is_centred(context, name) for name in rows["rhs"]],
    )
    refuse_centred_groups(fit, rows["centred"])
    products: dict[str, list[tuple[str, ...]]] = {}
    for y, term in zip(rows["lhs"], rows["term"], strict=True):
        if len(term) == 2:
            products.setdefault(y, []).append(term)
    named = name_product(products, product, moderator, _only(outcome, products, product))
    w = named.moderator
    variables = variables_of(context)
    labels, values = moderator_values(variables, w, at, unit)
    vcov, theta = context_of(fit).vcov, context_of(fit).solution.theta
    graph = _Graph(rows, w, variables, dict(held or {}), len(theta))
    effects = graph.effects(_chosen("predictor", predictor, graph), _chosen("outcome", outcome, graph))
    if not effects:
        raise ModelSyntaxError(
            f"{w} changes none of these effects", hint="leave out outcome and predictor to see those that it changes"
        )
    if not fit.converged:
        vcov = np.full_like(vcov, NAN)
    stack, left_out, failed = _draws(fit, ci, count, seed, bootstrap, jobs, level, vcov, theta)
    deviation = variables.spread
    table, index = [], []
    for e in effects:
        head = {"kind": e.kind, "outcome": e.outcome, "predictor": e.predictor, "path": e.label}
        ratio = deviation[e.predictor].sd / deviation[e.outcome].sd if deviation[e.outcome].sd > 0 else NAN
        points = [(e.at(theta[None], m)[0], e.slope(theta, m)) for m in values]
        many = None if stack is None else np.stack([e.at(stack, m) for m in values], axis=1)
        few = None if left_out is None else np.stack([e.at(left_out, m) for m in values], axis=1)
        tested = _tested(points, vcov, level, ci, many, few)
        for k, m in enumerate(values):
            own = {name: part[k] for name, part in tested.items()}
            where = {"at": labels[k], "value": m, "value_sd": _in_deviations(m, variables, w)}
            table.append({**head, **where, **own, "est_std": own["est"] * ratio})
        # one unit further, where the effect is a line; the change from the first to the last value
        steps = [("index", 0.0, 1.0)] if e.degree == 1 else []
        if len(values) > 1:
            steps.append(("contrast", float(values[0]), float(values[-1])))
        if e.degree > 1:
            index.append({"measure": "index", **head, **dict.fromkeys(INDEX_COLUMNS[5:], NAN)})
        for measure, low, high in steps:
            point = (
                e.at(theta[None], high)[0] - e.at(theta[None], low)[0],
                e.slope(theta, high) - e.slope(theta, low),
            )
            many = None if stack is None else (e.at(stack, high) - e.at(stack, low))[:, None]
            few = None if left_out is None else (e.at(left_out, high) - e.at(left_out, low))[:, None]
            change = _tested([point], vcov, level, ci, many, few)
            index.append({"measure": measure, **head, **{k: v[0] for k, v in change.items()}})
    notes = _notes(fit, w, graph, variables, any(e.degree > 1 for e in effects), failed)
    if ci in ("delta", "mc"):
        notes += column_notes(fit, rows, aliases)
    notes += residual_notes(context, rows["rhs"])
    return ConditionalEffects(
        named.product,
        w,
        ci,
        level,
        0 if stack is None else len(stack) + failed,
        failed,
        None if ci == "delta" else seed,
        MappingProxyType(graph.held),
        tuple(notes),
        pd.DataFrame(table, columns=list(CONDITIONAL_COLUMNS)),
        pd.DataFrame(index, columns=list(INDEX_COLUMNS)),
    )


def _only(outcome: str | Sequence[str] | None, products: Mapping[str, Any], product: str) -> str | None:
    """Return in which equation the product is looked for, where it stands in several: any of them will do."""
    names = (outcome,) if isinstance(outcome, str) else tuple(outcome or ())
    parts = sorted(p.strip() for p in product.split(":"))
    found = [y for y, terms in products.items() if any(sorted(t) == parts for t in terms)]
    if len(found) < 2:
        return None
    return next((y for y in found if y in names), found[0])


def _chosen(which: str, given: str | Sequence[str] | None, graph: _Graph) -> tuple[str, ...] | None:
    if given is None:
        return None
    names = (given,) if isinstance(given, str) else tuple(given)
    for name in names:
        if name not in graph.names:
            raise ModelSyntaxError(
                f"{which} '{name}' has no part in the regressions of the model.{did_you_mean(name, graph.names)}",
                hint="the regressions are about " + ", ".join(graph.names),
            )
    return names


class _Graph:
    """The regressions of a model with one moderator held at a value."""

    def __init__(
        self, rows: pd.DataFrame, moderator: str, variables: Variables, held: dict[str, float], q: int
    ) -> None:
        self.moderator = moderator
        pairs = zip(rows["lhs"], rows["term"], strict=True)
        self.names = tuple(dict.fromkeys(v for y, term in pairs for v in (y, *term)))
        self.held: dict[str, float] = {}
        self.through = False
        self.notes: list[str] = []
        self._rows = rows
        self._variables, self._given, self._q = variables, held, q
        self._below = self._descendants()
        for name in held:
            if name not in self.names or name == moderator:
                raise ModelSyntaxError(
                    f"'{name}' cannot be held at a value.{did_you_mean(name, self.names)}",
                    hint="give values of other moderators in raw units",
                )

    def _descendants(self) -> dict[str, set[str]]:
        """Return what depends on each variable, itself included."""
        before: dict[str, set[str]] = {v: set() for v in self.names}
        for y, term in zip(self._rows["lhs"], self._rows["term"], strict=True):
            before[y].update(term)
        try:
            order = tuple(TopologicalSorter(before).static_order())
        except CycleError as error:
            raise Unsupported(
                f"conditional effects of models with loops are not available: {' -> '.join(reversed(error.args[1]))}",
                hint="remove a path of the loop",
            ) from None
        above: dict[str, set[str]] = {}
        for v in order:
            above[v] = {v}.union(*(above[x] for x in before[v]))
        return {v: {y for y in self.names if v in above[y]} for v in self.names}

    def _edges(self, predictor: str, wanted: set[str]) -> tuple[dict[str, list[_Edge]], set[str]]:
        """Return the paths by their starts, and outcomes on which the direct effect of the predictor is no path."""
        w, below = self.moderator, self._below[predictor]
        made: dict[tuple[str, str], tuple[Array, Array]] = {}
        unknown = set()
        for y, factors, centred, free, est in zip(
            *(self._rows[name] for name in ("lhs", "term", "centred", "free", "est")), strict=True
        ):
            origin = {v: self._variables.spread[v].mean if centred else 0.0 for v in factors}
            moving = [v for v in factors if v in below]
            if not moving or not wanted & self._below[y]:
                continue
            if len(factors) == 1:
                starts = [(factors[0], 1.0, 0.0)]
            elif w in factors:
                other = factors[1] if factors[0] == w else factors[0]
                if other == w:
                    # a square moves the outcome by 2 m where the moderator is the predictor, else it is held
                    starts = [(w, -2.0 * origin[w], 2.0)] if predictor == w else []
                else:
                    starts = [(other, -origin[w], 1.0)] if other in below else []
                    if predictor == w and other in below:
                        unknown.add(y)
                    elif predictor == w:
                        starts.append((w, self._at(other) - origin[other], 0.0))
            else:
                starts = self._other(factors, moving, origin)
            for start, constant, slope in starts:
                k, g = made.setdefault((start, y), (np.zeros(2), np.zeros((2, self._q))))
                part = np.array([constant, slope])
                if free:
                    g[:, int(free) - 1] += part
                else:
                    k += est * part
        out: dict[str, list[_Edge]] = {}
        for (start, y), (k, g) in made.items():
            out.setdefault(start, []).append(_Edge(start, y, k, g))
        return out, unknown

    def _other(
        self, factors: tuple[str, ...], moving: list[str], origin: Mapping[str, float]
    ) -> list[tuple[str, float, float]]:
        """Return the paths that a product without the moderator makes: derivatives where its factors are held."""
        if len(set(factors)) == 1:
            return [(factors[0], 2.0 * (self._at(factors[0]) - origin[factors[0]]), 0.0)]
        if len(moving) == 2 and not set(factors) <= set(self._given):
            raise Unsupported(
                f"both factors of the product {':'.join(factors)} depend on the predictor: its effect depends on both",
                hint=f"say where they are: held={{'{factors[0]}': 0.0, '{factors[1]}': 0.0}}",
            )
        pairs = ((factors[0], factors[1]), (factors[1], factors[0]))
        return [(a, self._at(b) - origin[b], 0.0) for a, b in pairs if a in moving]

    def _at(self, name: str) -> float:
        """Return where a variable is held."""
        value = self._given.get(name, self._variables.spread[name].mean)
        self.held[name] = float(value)
        return float(value)

    def effects(self, predictors: tuple[str, ...] | None, outcomes: tuple[str, ...] | None) -> list[_Effect]:
        """Return the effects that the moderator changes."""
        out: list[_Effect] = []
        for x in self.names if predictors is None else predictors:
            below = self._below[x] - {x}
            wanted = [y for y in self.names if y in below and y != self.moderator]
            if outcomes is not None:
                wanted = [y for y in wanted if y in outcomes]
            if not wanted or not self._reaches(x, wanted):
                continue
            before, found = dict(self.held), len(out)
            try:
                edges, unknown = self._edges(x, set(wanted))
            except Unsupported as error:
                if predictors is not None:
                    raise
                self.notes.append(f"Effects of {x} are left out: {error.message}.")
                continue
            for y in wanted:
                out.extend(self._pair(x, y, edges, unknown))
            if len(out) == found:
                self.held = before
        return out

    def _reaches(self, x: str, outcomes: Sequence[str]) -> bool:
        """Whether a product with the moderator stands between a predictor and outcomes."""
        for y, factors in zip(self._rows["lhs"], self._rows["term"], strict=True):
            if len(factors) == 2 and self.moderator in factors:
                others = [v for v in factors if v != self.moderator] or [self.moderator]
                start = x == self.moderator or others[0] in self._below[x]
                if start and any(z in self._below[y] for z in outcomes):
                    return True
        return False

    def _pair(self, x: str, y: str, edges: dict[str, list[_Edge]], unknown: set[str]) -> list[_Effect]:
        """Return the effects of one variable on another."""
        paths = self._paths(x, y, edges)
        direct = tuple(p for p in paths if len(p) == 1)
        indirect = tuple(p for p in paths if len(p) > 1)
        made = [_Effect("specific", y, x, _label(p), (p,)) for p in indirect]
        if indirect:
            made.append(_Effect("indirect", y, x, f"{x} -> ... -> {y}", indirect))
        # a direct effect that depends on a mediator has no value at a value of the moderator alone
        if not any(z == y or y in self._below[z] for z in unknown):
            if direct:
                made.append(_Effect("direct", y, x, f"{x} -> {y}", direct))
            if indirect:
                made.append(_Effect("total", y, x, f"{x} => {y}", (*direct, *indirect)))
        return [e for e in made if e.degree > 0]

    def _paths(self, x: str, y: str, edges: dict[str, list[_Edge]]) -> list[tuple[_Edge, ...]]:
        """Return all chains between two variables; none passes the moderator, which is held."""
        out: list[tuple[_Edge, ...]] = []
        stack: list[tuple[str, tuple[_Edge, ...]]] = [(x, ())]
        while stack:
            node, chain = stack.pop()
            for edge in reversed(edges.get(node, ())):
                if edge.end == y:
                    out.append((*chain, edge))
                elif edge.end == self.moderator:
                    self.through |= y in self._below[self.moderator]
                elif y in self._below[edge.end]:
                    stack.append((edge.end, (*chain, edge)))
            if len(out) > MOST_PATHS:
                raise Unsupported(
                    f"there are more than {MOST_PATHS} paths from {x} to {y}", hint="name an outcome and a predictor"
                )
        return sorted(out, key=len)


def _label(path: tuple[_Edge, ...]) -> str:
    return " -> ".join([path[0].start, *(edge.end for edge in path)])


def _draws(
    fit: FitResult,
    ci: str,
    count: int,
    seed: int,
    bootstrap: Replicates | None,
    jobs: int,
    level: float,
    vcov: Array,
    theta: Array,
) -> tuple[Array | None, Array | None, int]:
    """Return parameter vectors (R, q) behind the intervals, those of the jackknife, and how many failed."""
    if ci == "delta":
        return None, None, 0
    if ci == "mc":
        if not np.isfinite(vcov).all():
            raise Unsupported(
                "Monte Carlo intervals are drawn from the standard errors, and this fit has none",
                hint="see fit.warnings, or fit again without se='none'",
            )
        rng = np.random.default_rng(np.random.SeedSequence(seed))
        return multivariate_normal(theta, vcov, count, rng), None, 0
    if bootstrap is None:
        # the method, not the function: models with products resample in their own way
        bootstrap = cast(Fit, fit).bootstrap(count, seed=seed, jobs=jobs, ci=ci, level=level)
    check_replicates(ci, bootstrap, len(theta))
    thetas = np.asarray(bootstrap.theta, dtype=float)
    lost = ~np.isfinite(thetas).all(axis=1)
    failed = max(int(bootstrap.failed), int(lost.sum()))
    few = None if bootstrap.jackknife is None or ci != "bca" else np.asarray(bootstrap.jackknife, dtype=float)
    return thetas[~lost], few, failed


def _tested(
    points: Sequence[tuple[float, Array]],
    vcov: Array,
    level: float,
    ci: str,
    stack: Array | None,
    left_out: Array | None,
) -> dict[str, Array]:
    """Return est, se, z, pvalue and interval of each value (k,)."""
    est = np.array([value for value, _ in points])
    slope = np.array([gradient for _, gradient in points])
    se = np.sqrt(np.maximum(np.einsum("kq,qr,kr->k", slope, vcov, slope), 0.0))
    if stack is None:
        return wald_columns(est, se, level)
    if ci != "mc":
        se = spread(stack)[1]
    out = wald_columns(est, se, level)
    out["ci_lower"], out["ci_upper"] = interval(stack, est, "percentile" if ci == "mc" else ci, level, left_out)
    return out


def _in_deviations(value: float, variables: Variables, name: str) -> float:
    own = variables.spread[name]
    return (value - own.mean) / own.sd if own.sd > 0 else NAN


def _notes(fit: FitResult, w: str, graph: _Graph, variables: Variables, bent: bool, failed: int) -> list[str]:
    own = variables.spread[w]
    notes = [f"These effects must not be interpreted: {fit.failure}."] if fit.failure else []
    notes.append(
        f"{w} has mean {own.mean:.3f} and standard deviation {own.sd:.3f}, "
        f"{'implied by the model' if own.latent else 'of the sample'}; standard errors take both as known."
    )
    if graph.held:
        notes.append("Held: " + ", ".join(f"{k} = {v:.3g}" for k, v in graph.held.items()) + ".")
    if graph.through:
        notes.append(f"Chains that pass through {w} are left out: {w} is held at its value.")
    if bent:
        notes.append(f"{w} changes some effects at two stages: they are no lines and have no index; see the contrasts.")
    notes.extend(graph.notes)
    if failed:
        notes.append(f"{failed} replicates failed and are left out.")
    return notes
