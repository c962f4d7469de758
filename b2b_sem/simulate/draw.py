"""Drawing of answers: a population tied to its questionnaire, and the columns of samples of respondents.

Random numbers come from ``numpy.random.default_rng`` on children of a ``numpy.random.SeedSequence``, one child for
each purpose (latents, items, carelessness, missing answers, each background fact). Asking for missing answers or
another fact therefore does not change the other columns, and the first rows do not depend on how many follow. Sums run
term by term in a fixed order, without a linear algebra library: the same seed gives the same answers on every machine.
(NumPy reserves the right to change how a new release draws normal numbers; a test notices when it does.)
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import accumulate
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd
from numpy.random import Generator, SeedSequence, default_rng
from numpy.typing import NDArray

from b2b_sem.simulate import nonresponse
from b2b_sem.simulate.cluster import Clustered, membership
from b2b_sem.simulate.population import Population
from b2b_sem.simulate.raw import fact_moments
from b2b_sem.simulate.truth import LevelPopulation, attenuations
from b2b_sem.simulate.uneven import Uneven, correlated, uneven_items
from b2b_sem.spec.method import METHOD_FACTOR
from b2b_sem.spec.model import ModelSpec
from b2b_sem.spec.simulation import SimulationSpec
from b2b_sem.spec.survey import SurveySpec

__all__ = ["HOLES", "Plan", "aside", "draw_columns"]

Array = NDArray[np.float64]

# Continuous answers are rounded: the last digits of a double may differ between machines.
_DECIMALS = 6
# Cut points that are compared with all responses one after the other.
_FEW = 20
# What was added later has streams of its own, by purpose, so that nothing else is drawn anew.
_PARTS, _STRAIGHT, HOLES, _PILOT, _METHOD, _SIZES, _CLUSTERS = range(1_000_000, 1_000_007)
# Respondents that rates of missing answers are solved with: they come out within about .002 in the population.
_MANY = 50_000


@dataclass(frozen=True)
class Plan:
    """A population tied to the questionnaire its answers are given to."""

    spec: SimulationSpec
    model: ModelSpec
    survey: SurveySpec
    population: Population
    items: tuple[str, ...]
    fact: str | None = None
    levels: tuple[LevelPopulation, ...] = ()
    uneven: tuple[Uneven, ...] = ()
    clustered: tuple[Clustered | None, ...] = ()

    def standing_for(self, name: str) -> tuple[str, ...]:
        """Return the items that an item or scale stands for."""
        return self.spec.standing_for(name, self.items, self.survey)

    @property
    def needed(self) -> frozenset[str]:
        """Return the facts that answers, or missing answers, depend on."""
        missing = () if self.spec.missing is None else self.spec.missing.mechanisms
        names = {*self.population.covariates, *(name for mechanism in missing for name in mechanism.depends_on)}
        return frozenset(names if self.fact is None else {*names, self.fact})

    @property
    def complete(self) -> bool:
        """Whether no answer is missing."""
        return not self.spec.response.missing_rate and self.spec.missing is None

    def draw(self, n: int, seeds: Sequence[SeedSequence], *, facts: Container[str] | None = None) -> dict[str, Any]:
        """Draw `n` respondents for each seed; see :func:`draw_columns`."""
        return draw_columns(self, n, seeds, facts=facts)

    @property
    def one_by_one(self) -> bool:
        """Whether samples have random numbers that are not drawn for several of them at once."""
        shape = self.spec.distribution
        sums = shape is not None and shape.items is not None and shape.items.method == "independent"
        sections = (self.spec.missing, self.spec.clusters, self.spec.response.straight, self.spec.values.method)
        return sums or any(section is not None for section in sections)

    @cached_property
    def law(self) -> nonresponse.Law:
        """Return which answers are missing, solved with respondents of a fixed seed."""
        if self.spec.missing is None:
            return nonresponse.Law()
        for problem in self.spec.missing_problems(self.items, self.survey):
            raise self.spec.error(problem.loc, problem.message, hint=problem.hint)
        asked, columns = _asked(self, _MANY, (SeedSequence(_PILOT),))
        return nonresponse.make_law(self.spec.missing, self.standing_for, self.survey, asked, columns)

    def factors(self, values: Population) -> dict[str, float]:
        """Return how far each item's loading survives the cutting into answers; NaN if its response is not normal."""
        out = attenuations(self.spec, self.survey, values, self.items)
        if self.spec.response.type == "ordinal":
            out |= dict.fromkeys(uneven_items(self.spec, self.survey, values), math.nan)
        return out


def draw_columns(
    plan: Plan, n: int, seeds: Sequence[SeedSequence], *, facts: Container[str] | None = None
) -> dict[str, Any]:
    """Draw `n` respondents for each seed, one sample after another: the columns of ``simulate`` without the id.

    Parameters
    ----------
    plan : Plan
    n : int
    seeds : sequence of SeedSequence
        One a sample; used up. A sample does not depend on those beside it. Clusters are numbered within samples.
    facts : container of str, optional
        Background facts to return. Default: all. Facts that answers depend on are drawn in any case.
    """
    if plan.one_by_one and len(seeds) > 1:
        parts = [draw_columns(plan, n, (seed,), facts=facts) for seed in seeds]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    asked, columns = _asked(plan, n, seeds, facts)
    rate = plan.spec.response.missing_rate
    if rate > 0:
        holes = np.concatenate([aside(seed, 3).random((n, len(plan.items))) for seed in seeds]) < rate
        for k, item in enumerate(plan.items):
            asked[item] = np.where(holes[:, k], np.nan, asked[item])
    if plan.spec.missing is not None:
        given, law = dict(asked), plan.law
        found = nonresponse.missing_answers(law, plan.survey, given, columns, n, partial(aside, seeds[0], HOLES))
        for item, hole in found.items():
            asked[item] = np.where(hole, np.nan, asked[item])
    return asked | columns


def _asked(
    plan: Plan, n: int, seeds: Sequence[SeedSequence], facts: Container[str] | None = None
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Return the answers to all questions in their order, none of them missing, and the facts."""
    children = [seed.spawn(4) for seed in seeds]  # the last is that of missing answers
    streams = [[default_rng(child) for child in own] for own in children]
    told = [dict(zip(plan.spec.facts, seed.spawn(len(plan.spec.facts)), strict=True)) for seed in seeds]
    for name in plan.population.covariates:
        fact_moments(plan.spec, name)  # refuses one that is not drawn
    columns: dict[str, Any] = {}
    scores: dict[str, Array] = {}
    for name in plan.spec.facts:
        if facts is None or name in facts or name in plan.needed:
            drawn = [_fact(plan, name, n, default_rng(own[name])) for own in told]
            columns[name], scores[name] = (np.concatenate(part) for part in zip(*drawn, strict=True))
    late = [[default_rng(child.spawn(1)[0]) for child in own[:2]] for own in children]
    normal = [_normal(plan, n, own, last) for own, last in zip(streams, late, strict=True)]
    count = n * len(seeds)
    cluster = None if plan.spec.clusters is None else membership(plan.spec.clusters, n, aside(seeds[0], _SIZES))
    z, noise = (_stacked(part) for part in zip(*normal, strict=True))
    responses = _behind(plan, columns, scores, count, _numbers(plan, z, noise, cluster, seeds[0]), seeds[0])
    answers = {item: _answer(plan, item, responses[item], columns) for item in plan.items}
    checks = {code: np.full(count, check.answer) for code, check in plan.survey.attention_checks.items()}
    asked: dict[str, NDArray[Any]] = {}
    for item in plan.items:
        asked[item] = answers[item]
        asked |= {c: checks.pop(c) for c, k in plan.survey.attention_checks.items() if k.after == item}
    asked |= checks
    asked = _carelessness(plan, asked, n, [own[2] for own in streams])
    if (straight := plan.spec.response.straight) is not None:
        if (straight.length or 0) > len(asked):
            raise plan.spec.error(
                ("response", "straight", "length"), f"{straight.length} answers in a row, but {len(asked)} are asked"
            )
        asked = nonresponse.line_up(straight, plan.survey, asked, n, aside(seeds[0], _STRAIGHT))
    if plan.spec.clusters is not None and cluster is not None:
        columns[plan.spec.clusters.name] = cluster + 1
    return asked, columns


def _stacked(parts: Sequence[Array]) -> Array:
    """Return samples one below the other, each column in one piece: sums go column by column."""
    n, width = parts[0].shape
    out = np.empty((n * len(parts), width), order="F")
    for k, part in enumerate(parts):
        out[k * n : (k + 1) * n] = part
    return out


@dataclass(frozen=True)
class _Numbers:
    """Independent standard normal numbers of respondents for nodes and items, and those of their clusters."""

    nodes: Array
    items: Array
    cluster_nodes: Array | None = None
    cluster_items: Array | None = None

    def of(self, rows: NDArray[np.bool_]) -> _Numbers:
        """Return those of some respondents."""
        own = (None if x is None else x[rows] for x in (self.cluster_nodes, self.cluster_items))
        return _Numbers(self.nodes[rows], self.items[rows], *own)


def _numbers(plan: Plan, nodes: Array, items: Array, cluster: NDArray[np.intp] | None, seed: SeedSequence) -> _Numbers:
    """Return the random numbers behind the responses; what comes with a section has streams of its own."""
    values = plan.population
    if METHOD_FACTOR in values.added_last:
        nodes[:, values.nodes.index(METHOD_FACTOR)] = aside(seed, _METHOD).standard_normal(len(nodes))
    if cluster is None:
        return _Numbers(nodes, items)
    count = int(cluster[-1]) + 1
    # by name, so that another latent or item changes nothing for the others
    drawn = [
        np.column_stack([aside(seed, _CLUSTERS, crc32(name.encode())).standard_normal(count) for name in names])
        for names in (values.nodes, values.items)
    ]
    return _Numbers(nodes, items, drawn[0][cluster], drawn[1][cluster])


def _normal(plan: Plan, n: int, streams: Sequence[Generator], own: Sequence[Generator]) -> tuple[Array, Array]:
    """Return standard normal numbers for nodes and items; those that come with a product have streams of their own.

    The column of the method factor is left empty.
    """
    values = plan.population
    late = [name in values.added_last for name in values.nodes]
    alone = {item for latent, item, _ in values.loadings if latent in values.added_last}
    alone -= {item for latent, item, _ in values.loadings if latent not in values.added_last}
    out = []
    for which, last in enumerate((late, [item in alone for item in values.items])):
        places = np.array(last, dtype=bool)
        drawn = streams[which].standard_normal((n, int((~places).sum())))
        if not places.any():
            out.append(drawn)
            continue
        z = np.empty((n, len(last)))
        z[:, ~places] = drawn
        if which == 0 and METHOD_FACTOR in values.added_last:
            places[values.nodes.index(METHOD_FACTOR)] = False
        if places.any():
            z[:, places] = own[which].standard_normal((n, int(places.sum())))
        out.append(z)
    return out[0], out[1]


def _behind(
    plan: Plan,
    columns: Mapping[str, Any],
    scores: Mapping[str, Array],
    n: int,
    numbers: _Numbers,
    seed: SeedSequence,
) -> dict[str, Array]:
    """Return the continuous response behind every item, each respondent's from the values of their level."""
    values = plan.population
    if plan.fact is None:
        asides = _asides(seed, _PARTS, 0, len(values.items))
        found = _responses(values, scores, numbers, plan.uneven[0], plan.clustered[0], asides)
        return {item: x + values.response_mean(item) for item, x in found.items()} if values.raw else found
    out = {item: np.empty(n) for item in values.items}
    for k, level in enumerate(plan.levels):
        # the same random numbers, whatever the level: values that do not differ leave the answers as they are
        rows = _rows_of(level, plan.fact, columns)
        own = {name: score[rows] for name, score in scores.items() if len(score)}
        asides = _asides(seed, _PARTS, k, len(values.items))
        found = _responses(level.population, own, numbers.of(rows), plan.uneven[k], plan.clustered[k], asides)
        for item, response in found.items():
            out[item][rows] = response + level.population.response_mean(item)
    return out


def _nodes(values: Population, scores: Mapping[str, Array], unique: Sequence[Array]) -> dict[str, Array]:
    """Return covariates and latents, as deviations from their means, from what is unexplained in them."""
    nodes: dict[str, Array] = {}
    for name in values.order:
        if name in scores:
            nodes[name] = scores[name] * values.disturbance_sd[name]
            continue
        total = unique[values.nodes.index(name)] * values.disturbance_sd[name]
        for outcome, predictor, value in values.paths:
            if outcome == name:
                total += value * nodes[predictor]
        for product in values.interactions:
            if product.outcome == name:
                total += product.value * (nodes[product.first] * nodes[product.second] - product.mean)
        nodes[name] = total
    return nodes


def _responses(
    values: Population,
    scores: Mapping[str, Array],
    numbers: _Numbers,
    uneven: Uneven,
    clustered: Clustered | None,
    asides: Sequence[Callable[[], Generator]],
) -> dict[str, Array]:
    """Return the continuous response behind every item, with mean 0."""
    whole = uneven.responses(values, numbers.items, asides)
    if whole is not None:
        return whole
    if clustered is None or numbers.cluster_nodes is None or numbers.cluster_items is None:
        disturbances = uneven.disturbances(values.disturbance_cor, numbers.nodes)
        unique = correlated(values.residual_cor, numbers.items)
    else:
        disturbances = clustered.nodes.draw(numbers.nodes, numbers.cluster_nodes)
        unique = clustered.items.draw(numbers.items, numbers.cluster_items)
    nodes = _nodes(values, scores, disturbances)
    out = {item: own * values.residual_sd[item] for item, own in zip(values.items, unique, strict=True)}
    for latent, item, value in values.loadings:
        out[item] += value * nodes[latent]
    return out


def aside(seed: SeedSequence, *key: int) -> Generator:
    """Return the stream of a purpose that has one of its own."""
    return default_rng(SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, *key)))


def _asides(seed: SeedSequence, purpose: int, part: int, count: int) -> list[Callable[[], Generator]]:
    """Return the streams of a purpose, made when they are asked for."""
    return [partial(aside, seed, purpose, part, k) for k in range(count)]


def _answer(plan: Plan, item: str, response: Array, columns: Mapping[str, Any]) -> NDArray[Any]:
    """Return the stored answers of one item: cut or shifted to its format, reversed items turned round."""
    low, high = plan.survey.range_of(item)
    shape = plan.spec.shape(item, plan.survey.scale_of(item))
    reverse = plan.survey.item(item).reverse
    if plan.spec.response.type == "continuous":
        mean, sd = 0.0, 1.0
        if not plan.population.raw:
            mean = (low + high) / 2 if shape.mean is None else shape.mean
            sd = (high - low) / 4 if shape.sd is None else shape.sd
        value = mean + sd * response
        return np.round(low + high - value if reverse else value, _DECIMALS)
    cuts = plan.population.cuts.get(item) or shape.cut_points(low, high)
    answer = low + _passed(cuts, response)
    for level in plan.levels:
        if (own := level.population.cuts.get(item, cuts)) != cuts:
            rows = _rows_of(level, plan.fact, columns)
            answer[rows] = low + _passed(own, response[rows])
    return low + high - answer if reverse else answer


def _rows_of(level: LevelPopulation, fact: str | None, columns: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Return which respondents belong to a level."""
    return pd.Series(columns[fact or ""]).isin(level.codes).to_numpy()


def _passed(cuts: Sequence[float], response: Array) -> NDArray[np.int64]:
    """Return how many of the increasing cut points lie below each response."""
    if len(cuts) > _FEW:
        return np.searchsorted(np.array(cuts), response, side="left")
    # a search for each response takes ten times as long
    count = np.zeros(len(response), dtype=np.int8)
    for cut in cuts:
        count += response > cut
    return count.astype(np.int64)


def _carelessness(
    plan: Plan, asked: dict[str, NDArray[Any]], n: int, streams: Sequence[Generator]
) -> dict[str, NDArray[Any]]:
    """Let a share of the respondents answer everything at random."""
    share = plan.spec.response.careless_share
    if not share:
        return asked
    drawn = [(rng.random(n) < share, rng.random((n, len(asked)))) for rng in streams]
    who, dice = (np.concatenate(part) for part in zip(*drawn, strict=True))
    out = {}
    for k, (code, answers) in enumerate(asked.items()):
        low, high = plan.survey.range_of(code)
        # The least of both: the product may round up to the number of answers.
        at_random = np.minimum(low + np.floor(dice[:, k] * (high - low + 1)), high).astype(answers.dtype)
        out[code] = np.where(who, at_random, answers)
    return out


def _fact(plan: Plan, name: str, n: int, rng: Generator) -> tuple[NDArray[Any], Array]:
    """Return the values of a background fact, and the same standardized for use as a predictor."""
    fact, spec = plan.survey.facts[name], plan.spec.facts[name]
    where = ("facts", name)
    if spec.shares is not None:
        codes, cumulative = list(spec.shares), list(accumulate(spec.shares.values()))
        # Rounding may leave the last cumulative share just below 1.
        last = bisect_left(cumulative, cumulative[-1])
        drawn = np.minimum(np.searchsorted(np.array(cumulative), rng.random(n), side="right"), last)
        values = np.array(codes, dtype=np.int64 if all(isinstance(c, int) for c in codes) else object)[drawn]
        if name not in plan.population.covariates:
            return values, np.empty(0)
        mean, sd = fact_moments(plan.spec, name)
        return values, (values - mean) / sd
    if fact.type == "text" or spec.mean is None or spec.sd is None:
        raise plan.spec.error(
            where, f"fact '{name}' is text: its answers cannot be drawn", hint="Take it out of 'facts'."
        )
    if name in plan.population.covariates:
        fact_moments(plan.spec, name)  # refuses one that does not vary
    score = rng.standard_normal(n)
    values = np.clip(spec.mean + spec.sd * score, fact.minimum, fact.maximum)
    # What has a lower end is counted: people, years, certificates.
    return (np.round(values, 2), score) if fact.minimum is None else (np.rint(values).astype(np.int64), score)
