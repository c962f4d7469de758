"""Simulated respondents: answers drawn from a population, as a survey tool would export them.

Random numbers come from ``numpy.random.default_rng`` on children of ``numpy.random.SeedSequence(seed)``, one child for
each purpose (latents, items, carelessness, missing answers, each background fact). Asking for missing answers or
another fact therefore does not change the other columns, and the first rows do not depend on how many follow. Sums run
term by term in a fixed order, without a linear algebra library: the same seed gives the same file on every machine.
(NumPy reserves the right to change how a new release draws normal numbers; a test notices when it does.)
"""

from __future__ import annotations

import math
import operator
import os
from bisect import bisect_left
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import accumulate
from types import MappingProxyType
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd
from numpy.random import Generator, SeedSequence, default_rng
from numpy.typing import NDArray

from b2b_sem.errors import DataError
from b2b_sem.simulate import nonresponse
from b2b_sem.simulate.cluster import Clustered, icc_table, make_clustered, membership
from b2b_sem.simulate.codebook import codebook
from b2b_sem.simulate.population import Population, population
from b2b_sem.simulate.truth import (
    LevelPopulation,
    answer_attenuation,
    attenuations,
    level_truth,
    moderated_truth,
    pooled_truth,
    truth_table,
)
from b2b_sem.simulate.uneven import Uneven, check_shares, correlated, make_uneven, note, uneven_items
from b2b_sem.spec.loader import load_model, load_simulation, load_survey
from b2b_sem.spec.method import METHOD_FACTOR
from b2b_sem.spec.model import ModelSpec
from b2b_sem.spec.simulation import SimulationSpec
from b2b_sem.spec.survey import SurveySpec, require_survey

__all__ = ["ID_COLUMN", "Plan", "SimulatedData", "answer_attenuation", "draw_columns", "make_plan", "simulate"]

Array = NDArray[np.float64]

ID_COLUMN = "id"
# Continuous answers are rounded: the last digits of a double may differ between machines.
_DECIMALS = 6
# What was added later has streams of its own, by purpose, so that nothing else is drawn anew.
_PARTS, _STRAIGHT, _HOLES, _PILOT, _METHOD, _SIZES, _CLUSTERS = range(1_000_000, 1_000_007)
# Respondents that rates of missing answers are solved with: they come out within about .002 in the population.
_MANY = 50_000


@dataclass(frozen=True)
class SimulatedData:
    """Answers of simulated respondents and the values they were drawn from.

    Attributes
    ----------
    frame : DataFrame
        One row a respondent: id, items in questionnaire order with attention checks in their place, background facts.
        Reversed items are stored as answered, before reverse coding. Missing answers are empty (NaN).
    truth : DataFrame
        Population values: lhs, op, rhs, value, expected. Standardized, for items as scored (after reverse coding).
        `value` is what the population holds; `expected` is what the standardized solution of the recorded answers tends
        to: the same for relations between latents, somewhat weaker loadings where answers are whole numbers.
    n, seed : int
    simulation : str
        Id of the population.
    digests : mapping of str to str
        SHA-256 of the simulation, model and survey file, as far as they came from files.
    population : Population
    notes : tuple of str
        What was drawn, and how far rounding weakens correlations.
    split : str or None
        What tells apart the groups of a population that has some. `truth` then has a column `group`, with one set of
        rows a level, and rows for means: op ``mean`` is the total mean of a latent minus that of the reference level,
        ``~1`` the intercept that is left of it beside the predictors. Values are in units of the reference level.
    levels : mapping of str to Population
        The values of each level; empty without groups. `population` is that of the reference level.
    pooled : DataFrame or None
        With groups or interactions: the rows that hold in each level and in all respondents together, without the
        column `group`, for the model without what propositions on moderation add to it. A fit that does not tell groups
        apart, and has no products, can be compared with these only.
    moderated : DataFrame or None
        With interactions: rows of the equations in which they stand, as far as they hold in all respondents together.
    icc : DataFrame or None
        With clusters: name, icc, the share of the variance of each latent and of the response to each item that lies
        between clusters; with groups a column `group`, and the shares within each.
    codebook : DataFrame
        What each column means (:func:`b2b_sem.simulate.codebook.codebook`).
    """

    frame: pd.DataFrame
    truth: pd.DataFrame
    n: int
    seed: int
    simulation: str
    digests: Mapping[str, str]
    population: Population = field(repr=False)
    notes: tuple[str, ...] = ()
    split: str | None = None
    levels: Mapping[str, Population] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    pooled: pd.DataFrame | None = field(default=None, repr=False)
    moderated: pd.DataFrame | None = field(default=None, repr=False)
    icc: pd.DataFrame | None = field(default=None, repr=False)
    codebook: pd.DataFrame | None = field(default=None, repr=False)


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


def simulate(
    sim: str | os.PathLike[str] | SimulationSpec = "lima2026",
    n: int | None = None,
    seed: int | None = None,
    *,
    base: str | os.PathLike[str] | None = None,
) -> SimulatedData:
    """Draw simulated respondents from a population.

    Continuous responses with the population's correlations are drawn first. With ``response: ordinal`` each is cut into
    the answers of its item (``cut_points``); correlations between items then
    come out somewhat nearer to zero than in the population (the notes say how much), relations between latents do not.
    The response shape describes the answers as scored; a reversed item is stored as ``low + high - answer``.

    With ``groups`` in the file the level of a respondent follows from the fact that was drawn for them, and their
    responses are those of this level: its paths and correlations among latents, its means, loadings and intercepts. Who
    belongs to no level answers like the reference level.

    Parameters
    ----------
    sim : str, path or SimulationSpec
        Bundled id, path of a simulation file, or a loaded one.
    n : int, optional
        Number of respondents; default as stated in the file.
    seed : int, optional
        Seed of the random numbers; default as stated in the file. The same seed gives the same answers everywhere.
    base : path, optional
        Directory that a relative path in `sim` starts from.

    Returns
    -------
    SimulatedData

    Raises
    ------
    SpecError
        If the file is not valid or its values are impossible (a construct with R2 above 1 is named).
    DataError
        If `n` is not above zero or `seed` is negative.
    """
    spec = sim if isinstance(sim, SimulationSpec) else load_simulation(sim, base)
    count = _whole(spec.n if n is None else n, "the number of respondents", 1)
    number = _whole(spec.seed if seed is None else seed, "the seed", 0)
    plan = make_plan(spec)
    model, survey, values = plan.model, plan.survey, plan.population
    frame = _draw(plan, count, SeedSequence(number))
    levels = plan.levels or (LevelPopulation("", (), 1.0, values),)
    factors = [plan.factors(level.population) for level in levels]
    # the model that is fitted to all has nothing of the claims on moderation
    fitted = [pair for pair in spec.regressions(model) if pair not in _moderators(spec, model)]
    products = bool(values.interactions)
    digests = {"simulation": spec.digest, "model": model.digest, "survey": survey.digest}
    return SimulatedData(
        frame=frame,
        truth=level_truth(plan.levels, factors) if plan.levels else truth_table(values, plan.factors(values)),
        n=count,
        seed=number,
        simulation=spec.id,
        digests=MappingProxyType({kind: text for kind, text in digests.items() if text is not None}),
        population=values,
        notes=_notes(plan, count, number, frame),
        split=spec.groups.split if spec.groups is not None else None,
        levels=MappingProxyType({level.name: level.population for level in plan.levels if level.name}),
        pooled=pooled_truth(levels, factors, fitted if products else None) if plan.levels or products else None,
        moderated=moderated_truth(levels, factors) if products else None,
        icc=_icc(plan),
        codebook=codebook(survey, frame.columns, _other_columns(spec)),
    )


def make_plan(spec: SimulationSpec) -> Plan:
    """Solve for a population and tie it to its questionnaire; raises ``SpecError`` if its values are impossible."""
    model, survey = sources(spec)
    values = population(spec, model, survey)
    known = survey.items()
    for item in values.items:
        if item not in known:
            raise spec.error(("model",), f"item '{item}' of the model '{model.id}' is not asked in '{survey.id}'")
    items = tuple(item for item in known if item in set(values.items))
    fact, levels = _levels(spec, model, survey, values)
    check_shares(spec, survey, values, items)
    every = [level.population for level in levels] or [values]
    uneven = tuple(make_uneven(spec, survey, own) for own in every)
    clustered = tuple(make_clustered(spec, own) for own in every)
    return Plan(spec, model, survey, values, items, fact, levels, uneven, clustered)


# ---- input -----------------------------------------------------------------------------------------------------------


def _whole(value: Any, what: str, least: int) -> int:
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise DataError(f"{what} must be a whole number, not {value!r}") from None
    if number < least:
        raise DataError(f"{what} must be {least} or more, not {number}")
    return number


def sources(spec: SimulationSpec) -> tuple[ModelSpec, SurveySpec]:
    """Return model and survey, loaded with the population or, for one made in Python, now."""
    survey = spec.survey_spec
    if survey is None and spec.survey is not None:
        survey = load_survey(spec.survey, spec.base)
    model = spec.model_spec or load_model(spec.model, spec.base, survey=survey)
    return model, require_survey(survey or model.survey_spec, f"answers to simulate '{spec.id}' need a response format")


def _moderators(spec: SimulationSpec, model: ModelSpec) -> set[tuple[str, str]]:
    """Return the paths that the population has only because of products that propositions claim."""
    others = [p for p in spec.claimed(model) if model.proposition(p).test != "moderation"]
    return {*spec.regressions(model)} - {*model.regressions(others)}


def _levels(
    spec: SimulationSpec, model: ModelSpec, survey: SurveySpec, reference: Population
) -> tuple[str | None, tuple[LevelPopulation, ...]]:
    """Return the fact that tells levels apart, and the levels; last those who belong to none, if there are any."""
    groups = spec.groups
    if groups is None:
        return None, ()
    split = survey.split(groups.split)
    where = ("groups", "split")
    drawn = spec.facts.get(split.fact)
    if drawn is None or drawn.shares is None:
        raise spec.error(
            where, f"the groups of '{groups.split}' follow from the fact '{split.fact}', which has no shares"
        )
    if split.fact in reference.covariates:
        raise spec.error(
            where,
            f"the fact '{split.fact}' tells the groups apart and is a predictor in the model",
            hint="Take it out of the model: what it leads to is what differs between the groups.",
        )
    out = []
    rest, unused = dict(drawn.shares), dict.fromkeys(groups.levels)
    for name, codes in (split.levels or {str(text): (text,) for text in drawn.shares}).items():
        key = groups.name_of(name, codes)
        values = reference
        if key is not None:
            unused.pop(key)
            values = population(spec, model, survey, key, reference)
        out.append(LevelPopulation(name, codes, math.fsum(rest.pop(code, 0.0) for code in codes), values))
    if unused:
        raise spec.error(("groups", "levels"), f"'{groups.split}' has no level '{next(iter(unused))}'")
    if rest:
        out.append(LevelPopulation("", tuple(rest), math.fsum(rest.values()), reference))
    return split.fact, tuple(level for level in out if level.share > 0)


# ---- drawing ---------------------------------------------------------------------------------------------------------


def _draw(plan: Plan, n: int, seed: SeedSequence) -> pd.DataFrame:
    return pd.DataFrame({ID_COLUMN: np.arange(1, n + 1), **draw_columns(plan, n, (seed,))})


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
        holes = np.concatenate([_aside(seed, 3).random((n, len(plan.items))) for seed in seeds]) < rate
        for k, item in enumerate(plan.items):
            asked[item] = np.where(holes[:, k], np.nan, asked[item])
    if plan.spec.missing is not None:
        given, law = dict(asked), plan.law
        found = nonresponse.missing_answers(law, plan.survey, given, columns, n, partial(_aside, seeds[0], _HOLES))
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
    undrawn = [name for name in plan.population.covariates if name not in plan.spec.facts]
    if undrawn:
        raise plan.spec.error(
            ("facts",), f"'{undrawn[0]}' is a predictor in the model: say under 'facts' how it is distributed"
        )
    columns: dict[str, Any] = {}
    scores: dict[str, Array] = {}
    for name in plan.spec.facts:
        if facts is None or name in facts or name in plan.needed:
            drawn = [_fact(plan, name, n, default_rng(own[name])) for own in told]
            columns[name], scores[name] = (np.concatenate(part) for part in zip(*drawn, strict=True))
    late = [[default_rng(child.spawn(1)[0]) for child in own[:2]] for own in children]
    normal = [_normal(plan, n, own, last) for own, last in zip(streams, late, strict=True)]
    count = n * len(seeds)
    cluster = None if plan.spec.clusters is None else membership(plan.spec.clusters, n, _aside(seeds[0], _SIZES))
    z, noise = (np.concatenate(part) for part in zip(*normal, strict=True))
    responses = _behind(plan, columns, scores, count, _numbers(plan, z, noise, cluster, seeds[0]), seeds[0])
    answers = {item: _answer(plan, item, responses[item]) for item in plan.items}
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
        asked = nonresponse.line_up(straight, plan.survey, asked, n, _aside(seeds[0], _STRAIGHT))
    if plan.spec.clusters is not None and cluster is not None:
        columns[plan.spec.clusters.name] = cluster + 1
    return asked, columns


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
        nodes[:, values.nodes.index(METHOD_FACTOR)] = _aside(seed, _METHOD).standard_normal(len(nodes))
    if cluster is None:
        return _Numbers(nodes, items)
    count = int(cluster[-1]) + 1
    # by name, so that another latent or item changes nothing for the others
    drawn = [
        np.column_stack([_aside(seed, _CLUSTERS, crc32(name.encode())).standard_normal(count) for name in names])
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
        z, places = np.empty((n, len(last))), np.array(last, dtype=bool)
        z[:, ~places] = streams[which].standard_normal((n, int((~places).sum())))
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
        return _responses(values, scores, numbers, plan.uneven[0], plan.clustered[0], asides)
    out = {item: np.empty(n) for item in values.items}
    for k, level in enumerate(plan.levels):
        # the same random numbers, whatever the level: values that do not differ leave the answers as they are
        rows = pd.Series(columns[plan.fact]).isin(level.codes).to_numpy()
        own = {name: score[rows] for name, score in scores.items() if len(score)}
        asides = _asides(seed, _PARTS, k, len(values.items))
        found = _responses(level.population, own, numbers.of(rows), plan.uneven[k], plan.clustered[k], asides)
        for item, response in found.items():
            out[item][rows] = response + level.population.response_mean(item)
    return out


def _nodes(values: Population, scores: Mapping[str, Array], unique: Sequence[Array]) -> dict[str, Array]:
    """Return covariates and latents, all with mean 0 and variance 1, from what is unexplained in them."""
    nodes: dict[str, Array] = {}
    for name in values.order:
        if name in scores:
            nodes[name] = scores[name]
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


def _aside(seed: SeedSequence, *key: int) -> Generator:
    """Return the stream of a purpose that has one of its own."""
    return default_rng(SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, *key)))


def _asides(seed: SeedSequence, purpose: int, part: int, count: int) -> list[Callable[[], Generator]]:
    """Return the streams of a purpose, made when they are asked for."""
    return [partial(_aside, seed, purpose, part, k) for k in range(count)]


def _answer(plan: Plan, item: str, response: Array) -> NDArray[Any]:
    """Return the stored answers of one item: cut or shifted to its format, reversed items turned round."""
    low, high = plan.survey.range_of(item)
    shape = plan.spec.shape(item, plan.survey.scale_of(item))
    reverse = plan.survey.item(item).reverse
    if plan.spec.response.type == "continuous":
        mean = (low + high) / 2 if shape.mean is None else shape.mean
        sd = (high - low) / 4 if shape.sd is None else shape.sd
        value = mean + sd * response
        return np.round(low + high - value if reverse else value, _DECIMALS)
    answer = low + np.searchsorted(np.array(shape.cut_points(low, high)), response, side="left")
    return low + high - answer if reverse else answer


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
        if values.dtype == object:
            raise plan.spec.error(
                where, f"fact '{name}' is a predictor in the model, but its categories are not numbers"
            )
        mean = math.fsum(c * p for c, p in spec.shares.items() if isinstance(c, int))
        variance = math.fsum((c - mean) ** 2 * p for c, p in spec.shares.items() if isinstance(c, int))
        if not variance > 0:
            raise plan.spec.error(where, f"fact '{name}' is a predictor in the model, but it does not vary")
        return values, (values - mean) / math.sqrt(variance)
    if fact.type == "text" or spec.mean is None or spec.sd is None:
        raise plan.spec.error(
            where, f"fact '{name}' is text: its answers cannot be drawn", hint="Take it out of 'facts'."
        )
    if spec.sd == 0 and name in plan.population.covariates:
        raise plan.spec.error(where, f"fact '{name}' is a predictor in the model, but it does not vary")
    score = rng.standard_normal(n)
    values = np.clip(spec.mean + spec.sd * score, fact.minimum, fact.maximum)
    # What has a lower end is counted: people, years, certificates.
    return (np.round(values, 2), score) if fact.minimum is None else (np.rint(values).astype(np.int64), score)


def _other_columns(spec: SimulationSpec) -> dict[str, str]:
    """Return the meaning of columns that are not of the survey."""
    own = {} if spec.clusters is None else {spec.clusters.name: "number of the cluster that the respondent belongs to"}
    return {ID_COLUMN: "number of the respondent", **own}


def _icc(plan: Plan) -> pd.DataFrame | None:
    """Return the intraclass correlations of the population, or of each level; None without clusters."""
    if not plan.levels:
        return None if plan.clustered[0] is None else icc_table(plan.population, plan.clustered[0])
    tables = [
        icc_table(level.population, own).assign(group=level.name)
        for level, own in zip(plan.levels, plan.clustered, strict=True)
        if own is not None and level.name
    ]
    return pd.concat(tables, ignore_index=True)[["name", "group", "icc"]] if tables else None


# ---- notes -----------------------------------------------------------------------------------------------------------


def _notes(plan: Plan, n: int, seed: int, frame: pd.DataFrame) -> tuple[str, ...]:
    response = plan.spec.response
    notes = [f"{n} simulated respondents from the population '{plan.spec.id}', seed {seed}"]
    if plan.fact is not None and plan.spec.groups is not None:
        sizes = [(level.name, int(frame[plan.fact].isin(level.codes).sum())) for level in plan.levels]
        listing = ", ".join(f"{name or 'in no level'} {size}" for name, size in sizes)
        notes.append(f"the groups of '{plan.spec.groups.split}' differ in the population: {listing}")
    if response.type == "ordinal":
        every = [level.population for level in plan.levels] or [plan.population]
        factors = [value for values in every for value in plan.factors(values).values() if not math.isnan(value)]
        low, high = min(factors, default=math.nan), max(factors, default=math.nan)
        if len(factors) < len(every) * len(plan.items):
            notes.append(
                "answers are whole numbers: no loadings are expected of items whose responses are not normal; "
                "relations between latents keep about their size"
            )
    if response.type == "ordinal" and factors:
        notes.append(
            f"answers are whole numbers: standardized loadings come out {low:.2f} to {high:.2f} times those of the "
            f"population, correlations between items {low * low:.2f} to {high * high:.2f} times; relations between "
            "latents keep their size"
        )
    if (uneven := note(plan.spec, plan.population)) is not None:
        notes.append(uneven)
    absent = [scale for scale in plan.survey.scales if not set(plan.survey.items(scale)) & set(plan.items)]
    if absent:
        notes.append(f"scales of the survey that the population does not contain were not drawn: {', '.join(absent)}")
    if response.missing_rate:
        notes.append(f"{response.missing_rate:.1%} of the answers are missing completely at random")
    if own := [value for latent, _, value in plan.population.loadings if latent == METHOD_FACTOR]:
        low, high = (f(value * value for value in own) for f in (min, max))
        shares = f"{low:.1%}" if low == high else f"{low:.1%} to {high:.1%}"
        notes.append(
            f"{shares} of the variance of {len(own)} responses is common method variance: estimates of a model without "
            "a method factor will differ from the truth"
        )
    if (icc := _icc(plan)) is not None and plan.spec.clusters is not None:
        low, high, name = icc["icc"].min(), icc["icc"].max(), plan.spec.clusters.name
        notes.append(
            f"{frame[name].nunique()} clusters ('{name}'): {low:.1%} to {high:.1%} "
            "of the variances of latents and responses lie between them"
        )
    if plan.spec.missing is not None:
        notes += nonresponse.note(plan.spec.missing)
    if (straight := response.straight) is not None:
        run = f"{straight.length} questions in a row" if straight.length else "all questions after one another"
        notes.append(
            f"{straight.share:.1%} of the respondents give the same answer to {run}: estimates will differ from "
            "the truth"
        )
    if response.careless_share:
        notes.append(
            f"{response.careless_share:.1%} of the respondents answer at random: estimates will differ from the truth"
        )
    return tuple(notes)
