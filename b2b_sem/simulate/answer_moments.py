"""Means and covariances that the answers of a population have, without drawing any.

Answers are steps of normal responses, so that their moments follow exactly from the cut points
(:mod:`b2b_sem.measures.cut`): by level, and given each category of the facts that predict. Levels and categories are
mixed by their shares.

Respondents who answer at random are refused although their moments are as simple: the mixture is far from normal, and
tests of samples reject otherwise than the moments say (the chi-square test twice as often as it should where one in ten
answers so).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pandas as pd
from numpy.random import SeedSequence
from numpy.typing import NDArray

from b2b_sem.analysis.montecarlo import Population as Moments
from b2b_sem.analysis.power_missing import Holes, holes_by_chance
from b2b_sem.analysis.power_population import GroupPopulation, OrdinalPopulation, PathChanges, valued_table
from b2b_sem.analysis.power_target import DRAW
from b2b_sem.data.read import Responses
from b2b_sem.data.score import rules_from_survey, score
from b2b_sem.errors import DataError, SpecError, Unsupported, did_you_mean
from b2b_sem.measures.cut import Steps, cut_moments, linear_steps, mixed_moments, steps_of
from b2b_sem.simulate.draw import Plan, draw_columns
from b2b_sem.simulate.raw import fact_moments
from b2b_sem.simulate.respond import make_plan
from b2b_sem.simulate.structure import Population
from b2b_sem.simulate.text import make_text_plan
from b2b_sem.simulate.truth import LevelPopulation
from b2b_sem.spec.level import LevelValues
from b2b_sem.spec.simulation import SimulationSpec
from b2b_sem.spec.statement import read_pair
from b2b_sem.spec.text import TextPopulation

__all__ = ["answer_population", "ordinal_population", "text_answers"]

Array = NDArray[np.float64]

#: Standard deviations beyond which nobody has a fact.
FAR = 8.5
#: Finest steps in which a fact without a smallest value is followed, as a share of its standard deviation.
FINE = 200
#: Respondents, and their seed, that the precision of thresholds and correlations is taken from.
ROWS, SEED = 20_000, 1984


def answer_population(plan: Plan, group: str | None = None) -> GroupPopulation:
    """Return the moments of answers (as scored) and of facts that predict.

    Parameters
    ----------
    plan : Plan
    group : str, optional
        What tells the groups of the population apart: its levels are then groups, without respondents who belong to
        none. Default: all respondents together.

    Returns
    -------
    GroupPopulation
        With its reasons for missing answers; standardized paths can be changed.

    Raises
    ------
    DataError
        If `group` is not what the population is split by.
    Unsupported
        For what moments do not describe: products, responses that are not normal behind the cut points, clusters,
        respondents who answer at random or repeat themselves, answers missing for a reason.
    """
    _refuse(plan)
    split = _split(plan, group)
    levels = plan.levels or (LevelPopulation("", (), 1.0, plan.population),)
    notes = []
    if split:
        named = [level for level in levels if level.name]
        total = math.fsum(level.share for level in named)
        if total < 1 - 1e-9:
            notes.append(f"{1 - total:.1%} of the respondents belong to no group: rows count the others.")
        parts = [_moments(plan, level.population) for level in named]
        shares = [level.share / total for level in named]
    else:
        if plan.levels:
            notes.append(
                f"Groups of '{plan.spec.groups.split}' differ in this population and are analysed together; group="
                f"'{plan.spec.groups.split}' compares them."
                if plan.spec.groups is not None
                else ""
            )
        every = [_moments(plan, level.population) for level in levels]
        mean, cov = mixed_moments(
            [level.share for level in levels], *zip(*((p.mean, p.cov) for p in every), strict=True)
        )
        values = every[0].values if len(levels) == 1 else {}
        named, parts, shares = [], [Moments(every[0].names, cov, mean, values)], [1.0]
    # in the metric of the answers a path that changes does not say what else does
    changeable = not plan.population.raw and (split or not plan.levels)
    return GroupPopulation(
        tuple(level.name for level in named),
        tuple(parts),
        tuple(shares),
        holes=(_holes(plan),) * len(parts),
        change=_Change(plan, group, tuple(level.name for level in named)) if changeable else None,
        notes=tuple(notes),
    )


def ordinal_population(plan: Plan) -> GroupPopulation:
    """Return thresholds and correlations behind answers that are taken as categories.

    Raises
    ------
    Unsupported
        For groups, facts that predict, missing answers, continuous answers, and what moments do not describe.
    """
    _refuse(plan)
    spec, values = plan.spec, plan.population
    reasons: Sequence[tuple[bool, str]] = (
        (spec.response.type != "ordinal", "continuous answers, which have no categories"),
        (bool(plan.levels), "groups that differ"),
        (bool(values.covariates), "facts that predict"),
        (spec.response.missing_rate > 0 or spec.missing is not None, "missing answers"),
    )
    for present, what in reasons:
        if present:
            raise Unsupported(f"'{spec.id}' has {what}: for ordinal items its power is not known by theory", hint=DRAW)
    sd = np.sqrt(np.diag(values.item_cov()))
    cuts = {
        item: tuple((_cut_points(plan, values, item) - values.response_mean(item)) / sd[k])
        for k, item in enumerate(values.items)
    }
    drawn = pd.DataFrame(draw_columns(plan, ROWS, (SeedSequence(SEED),), facts=()))
    rows = score(Responses.from_frame(drawn), rules_from_survey(plan.survey, plan.items)).frame
    cor = values.item_cov() / np.outer(sd, sd)
    ordinal = OrdinalPopulation(values.items, cuts, cor, rows[list(values.items)].astype(float))
    note = "Wald tests in large samples: samples of a few hundred find somewhat more than this."
    return replace(answer_population(plan), change=None, ordinal=ordinal, notes=(note,))


def text_answers(spec: TextPopulation) -> GroupPopulation:
    """Return the moments of a population file that is lavaan text: of its variables, or of the answers they are cut to.

    Raises
    ------
    Unsupported
        If variables are not normal.
    """
    shapes = {"skew": spec.skew, "kurtosis": spec.kurtosis}
    odd = [name for name, m in shapes.items() if np.any(list(m.values()) if isinstance(m, Mapping) else m)]
    if odd:
        raise Unsupported(
            f"'{spec.id}' has variables that are not normal ({', '.join(odd)}): its power does not follow from moments",
            hint=DRAW,
        )
    plan = make_text_plan(spec)
    part = plan.population
    sd = np.sqrt(np.diag(part.cov))
    steps = []
    for name, m, s in zip(part.names, part.mean, sd, strict=True):
        cuts = plan.cuts.get(name)
        if cuts is None:
            steps.append(linear_steps(float(m), float(s)))
        else:
            steps.append(steps_of((np.array(cuts) - m) / s, [float(k) for k in range(1, len(cuts) + 2)]))
    mean, cov = cut_moments(steps, part.cov / np.outer(sd, sd))
    # what is not cut may take other values
    tables = () if plan.cuts else (valued_table(spec.table()),)
    holes = (holes_by_chance(spec.missing_rate, part.names),) if spec.missing_rate else ()
    return GroupPopulation((), (Moments(part.names, cov, mean, part.values),), (1.0,), tables, holes)


def _refuse(plan: Plan) -> None:
    spec, missing = plan.spec, plan.spec.missing
    every = [plan.population, *(level.population for level in plan.levels)]
    reasons: Sequence[tuple[bool, str]] = (
        (any(v.interactions for v in every), "products of latent variables"),
        (spec.distribution is not None, "responses that are not normal"),
        (spec.clusters is not None, "respondents in clusters"),
        (spec.response.careless_share > 0, "respondents who answer at random"),
        (spec.response.straight is not None, "respondents who repeat one answer"),
        (
            missing is not None and any(m.depends_on or m.on_itself for m in missing.mechanisms),
            "answers that are missing for a reason",
        ),
    )
    for present, what in reasons:
        if present:
            raise Unsupported(f"'{spec.id}' has {what}: its power does not follow from moments", hint=DRAW)


def _split(plan: Plan, group: str | None) -> bool:
    if group is None:
        return False
    groups = plan.spec.groups
    if groups is None:
        raise DataError(
            f"group='{group}': no groups differ in '{plan.spec.id}'",
            hint="say under 'groups' what is different in a level, or leave group out",
        )
    if group not in (groups.split, plan.fact):
        raise DataError(
            f"group='{group}' is not what differs in '{plan.spec.id}'.{did_you_mean(group, [groups.split])}",
            hint=f"use group='{groups.split}'",
        )
    return True


# ---- moments ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Cell:
    """Respondents with the same categories: their share, and what the categories are in standard deviations."""

    share: float
    codes: tuple[float, ...] = ()
    scores: tuple[float, ...] = ()


def _moments(plan: Plan, values: Population) -> Moments:
    """Return the moments of one level; the values are those of the file."""
    numeric = [name for name in values.covariates if plan.spec.facts[name].shares is None]
    categories = [name for name in values.covariates if name not in numeric]
    names = (*values.items, *numeric, *categories)
    whole = values.cov()
    at = {name: k for k, name in enumerate((*values.items, *values.nodes))}
    kept = [at[name] for name in (*values.items, *numeric)]
    known = [at[name] for name in categories]
    slopes = whole[np.ix_(kept, known)] @ np.linalg.inv(whole[np.ix_(known, known)])
    # given its categories a respondent's responses are normal
    cov = whole[np.ix_(kept, kept)] - slopes @ whole[np.ix_(known, kept)]
    sd = np.sqrt(np.diag(cov))
    centre = np.array([values.response_mean(item) for item in values.items] + [0.0] * len(numeric))
    # what a standard deviation of a fact is in the metric of the values
    unit = np.array([values.disturbance_sd[name] for name in categories])
    means, covs, shares = [], [], []
    for cell in _cells(plan, categories):
        at_cell = centre + slopes @ (unit * np.array(cell.scores))
        steps = [_answer_steps(plan, values, item, at_cell[k], sd[k]) for k, item in enumerate(values.items)]
        for k, name in enumerate(numeric, len(steps)):
            own_unit = values.disturbance_sd[name]
            steps.append(_fact_steps(plan, name, at_cell[k] / own_unit, sd[k] / own_unit))
        mean, own = cut_moments(steps, cov / np.outer(sd, sd))
        means.append(np.concatenate([mean, cell.codes]))
        covs.append(np.pad(own, (0, len(categories))))
        shares.append(cell.share)
    mean, own = mixed_moments(shares, means, covs)
    truth = {(lhs, op, rhs): value for lhs, op, rhs, value in values.truth()}
    return Moments(names, own, mean, truth)


def _cells(plan: Plan, categories: Sequence[str]) -> list[_Cell]:
    lists = []
    for name in categories:
        mean, sd = fact_moments(plan.spec, name)
        shares = plan.spec.facts[name].shares or {}
        lists.append([(share, float(code), (float(code) - mean) / sd) for code, share in shares.items() if share > 0])
    return [
        _Cell(math.prod(part[0] for part in own), tuple(part[1] for part in own), tuple(part[2] for part in own))
        for own in product(*lists)
    ]


def _cut_points(plan: Plan, values: Population, item: str) -> NDArray[np.float64]:
    """Return the cut points of an item in the metric of its response."""
    own = values.cuts.get(item) or plan.population.cuts.get(item)
    if not own:
        own = plan.spec.shape(item, plan.survey.scale_of(item)).cut_points(*plan.survey.range_of(item))
    return np.array(own)


def _answer_steps(plan: Plan, values: Population, item: str, mean: float, sd: float) -> Steps:
    """Return an answer as scored as a function of a standard normal variable; the response has this mean and sd."""
    low, high = plan.survey.range_of(item)
    if plan.spec.response.type == "ordinal":
        cuts = (_cut_points(plan, values, item) - mean) / sd
        return steps_of(cuts, [float(answer) for answer in range(low, high + 1)])
    if values.raw:
        return linear_steps(mean, sd)
    shape = plan.spec.shape(item, plan.survey.scale_of(item))
    centre = (low + high) / 2 if shape.mean is None else shape.mean
    width = (high - low) / 4 if shape.sd is None else shape.sd
    return linear_steps(centre + width * mean, width * sd)


def _fact_steps(plan: Plan, name: str, mean: float, sd: float) -> Steps:
    """Return a number that is rounded, and cut off at the ends the survey allows; its score has this mean and sd."""
    fact = plan.survey.facts[name]
    middle, spread = fact_moments(plan.spec, name)
    centre, width = middle + spread * mean, spread * sd
    counted = fact.minimum is not None
    if not counted and fact.maximum is None:
        return linear_steps(centre, width)
    grain = max(1.0 if counted else 0.01, width / FINE)
    first, last = centre - FAR * width, centre + FAR * width
    first = first if fact.minimum is None else max(first, fact.minimum)
    last = last if fact.maximum is None else min(last, fact.maximum)
    levels = np.arange(math.floor(first / grain), math.ceil(last / grain) + 1) * grain
    levels = np.unique(np.clip(levels, fact.minimum, fact.maximum))
    if len(levels) == 1:
        raise plan.spec.error(("facts", name), f"fact '{name}' is a predictor in the model, but it does not vary")
    return steps_of(((levels[1:] + levels[:-1]) / 2 - centre) / width, levels)


# ---- missing answers -------------------------------------------------------------------------------------------------


def _holes(plan: Plan) -> Holes:
    """Return the reasons for missing answers, all of them independent of the answers."""
    reasons: list[dict[frozenset[str], float]] = []
    if rate := plan.spec.response.missing_rate:
        reasons += [{frozenset({item}): rate, frozenset(): 1 - rate} for item in plan.items]
    law = plan.law
    missing = plan.spec.missing
    for mechanism, rule in zip(() if missing is None else missing.mechanisms, law.rules, strict=True):
        sets = [frozenset(rule.items)] if rule.together else [frozenset({item}) for item in rule.items]
        reasons += [{gone: mechanism.rate, frozenset(): 1 - mechanism.rate} for gone in sets]
    if law.sets:
        choices = [c for c in product((False, True), repeat=len(law.sets)) if sum(c) == law.leave_out]
        planned: dict[frozenset[str], float] = {}
        for choice in choices:
            gone = frozenset(item for own, left in zip(law.sets, choice, strict=True) if left for item in own)
            planned[gone] = planned.get(gone, 0.0) + 1 / len(choices)
        reasons.append(planned)
    return Holes(tuple(tuple((p, gone) for gone, p in reason.items()) for reason in reasons))


# ---- other values ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Change:
    """Makes the population with other standardized paths; every variance stays 1, within each group."""

    plan: Plan
    group: str | None
    labels: tuple[str, ...]

    def __call__(self, paths: PathChanges) -> GroupPopulation | None:
        """Return the population, or None where there is none: the paths would explain more than all variance."""
        try:
            return answer_population(make_plan(self._changed(paths)), self.group)
        except SpecError:
            return None

    def _changed(self, paths: PathChanges) -> SimulationSpec:
        spec = self.plan.spec
        own: dict[str, dict[tuple[str, str], float]] = {}
        for (lhs, rhs, g), value in paths.items():
            own.setdefault(self.labels[g] if self.labels else "", {})[lhs, rhs] = value
        general = dict(own.get("", {}))
        groups = spec.groups
        if self.labels and groups is not None:
            codes = {level.name: level.codes for level in self.plan.levels}
            # every level states all paths that change in any of them; the reference level by the values of the file
            changed = {pair for values in own.values() for pair in values}
            levels = dict(groups.levels)
            reference = next(n for n in self.labels if n == groups.reference or (groups.reference,) == codes[n])
            for label in self.labels:
                mine = {p: self._path(label, p) for p in changed} | own.get(label, {})
                if label == reference:
                    general = mine
                    continue
                key = groups.name_of(label, codes[label])
                key = label if key is None else key
                before = levels.get(key, LevelValues())
                levels[key] = before.model_copy(update={"paths": _stated(before.paths, mine)})
            spec = spec.model_copy(update={"groups": groups.model_copy(update={"levels": levels})})
        values = spec.values.model_copy(update={"paths": _stated(spec.values.paths, general)})
        return spec.model_copy(update={"values": values})

    def _path(self, label: str, pair: tuple[str, str]) -> float:
        level = next(level for level in self.plan.levels if level.name == label)
        return next(v for a, b, v in level.population.paths if (a, b) == pair)


def _stated(paths: Mapping[str, float], changes: Mapping[tuple[str, str], float]) -> dict[str, float]:
    """Return paths as a file states them, some with other values."""
    kept = {text: value for text, value in paths.items() if read_pair(text, "~") not in changes}
    return kept | {f"{a} ~ {b}": value for (a, b), value in changes.items()}
