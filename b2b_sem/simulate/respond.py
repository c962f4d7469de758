"""Simulated respondents: answers drawn from a population, as a survey tool would export them.

How they are drawn is in :mod:`b2b_sem.simulate.draw`: the same seed gives the same file on every machine.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import pandas as pd
from numpy.random import SeedSequence

from b2b_sem.errors import Unsupported, whole_number
from b2b_sem.simulate.cluster import make_clustered
from b2b_sem.simulate.codebook import codebook
from b2b_sem.simulate.draw import Plan, draw_columns
from b2b_sem.simulate.note import intraclass, notes
from b2b_sem.simulate.population import Population, population
from b2b_sem.simulate.text import make_text_plan, text_codebook, text_notes, text_truth
from b2b_sem.simulate.truth import (
    LevelPopulation,
    answer_attenuation,
    level_truth,
    moderated_truth,
    pooled_truth,
    truth_table,
)
from b2b_sem.simulate.uneven import check_shares, make_uneven
from b2b_sem.spec.loader import load_model, load_population, load_survey
from b2b_sem.spec.model import ModelSpec
from b2b_sem.spec.simulation import SimulationSpec
from b2b_sem.spec.statement import is_syntax
from b2b_sem.spec.survey import SurveySpec, require_survey
from b2b_sem.spec.text import TextPopulation, TextValues, text_population

__all__ = ["ID_COLUMN", "SimulatedData", "answer_attenuation", "make_plan", "simulate", "sources"]

ID_COLUMN = "id"


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
        Populations with raw values have a column `raw`: the value in the metric of the answers.
    n, seed : int
    simulation : str
        Id of the population.
    digests : mapping of str to str
        SHA-256 of the simulation, model and survey file, as far as they came from files.
    values : Population or None
        None for a population that is lavaan text.
    notes : tuple of str
        What was drawn, and how far rounding weakens correlations.
    split : str or None
        What tells apart the groups of a population that has some. `truth` then has a column `group`, with one set of
        rows a level, and rows for means: op ``mean`` is the total mean of a latent minus that of the reference level,
        ``~1`` the intercept that is left of it beside the predictors. Values are in units of the reference level.
    levels : mapping of str to Population
        The values of each level; empty without groups.
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
    values: Population | None = field(repr=False)
    notes: tuple[str, ...] = ()
    split: str | None = None
    levels: Mapping[str, Population] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    pooled: pd.DataFrame | None = field(default=None, repr=False)
    moderated: pd.DataFrame | None = field(default=None, repr=False)
    icc: pd.DataFrame | None = field(default=None, repr=False)
    codebook: pd.DataFrame | None = field(default=None, repr=False)

    @property
    def population(self) -> Population:
        """Return the values of the population; that of the reference level, if there are some.

        Raises
        ------
        Unsupported
            For a population that is lavaan text: `truth` holds its values.
        """
        if self.values is None:
            raise Unsupported(f"'{self.simulation}' is lavaan text: its values are those of 'truth'")
        return self.values


def simulate(
    sim: str | os.PathLike[str] | SimulationSpec | TextPopulation = "lima2026",
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
    sim : str, path, SimulationSpec or TextPopulation
        Bundled id, path of a simulation file, or a loaded one; lavaan text with a value for every parameter, or a file
        of it; or a Monte Carlo file, whose population is drawn from.
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
    spec = _population(sim, base)
    count = whole_number(spec.n if n is None else n, "n", 1)
    number = whole_number(spec.seed if seed is None else seed, "seed", 0)
    if isinstance(spec, TextPopulation):
        return _simulate_text(spec, count, number)
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
        truth=level_truth(plan.levels, factors, values) if plan.levels else truth_table(values, plan.factors(values)),
        n=count,
        seed=number,
        simulation=spec.id,
        digests=MappingProxyType({kind: text for kind, text in digests.items() if text is not None}),
        values=values,
        notes=notes(plan, count, number, frame),
        split=spec.groups.split if spec.groups is not None else None,
        levels=MappingProxyType({level.name: level.population for level in plan.levels if level.name}),
        pooled=pooled_truth(levels, factors, fitted if products else None) if plan.levels or products else None,
        moderated=moderated_truth(levels, factors) if products else None,
        icc=intraclass(plan),
        codebook=codebook(survey, frame.columns, _other_columns(spec)),
    )


def _population(
    given: str | os.PathLike[str] | SimulationSpec | TextPopulation, base: str | os.PathLike[str] | None
) -> SimulationSpec | TextPopulation:
    if isinstance(given, SimulationSpec | TextPopulation):
        return given
    if is_syntax(given):
        return text_population("text", TextValues(text=given), "lavaan text")
    return load_population(given, base)


def _simulate_text(spec: TextPopulation, n: int, seed: int) -> SimulatedData:
    plan = make_text_plan(spec)
    frame = pd.DataFrame({ID_COLUMN: np.arange(1, n + 1), **plan.draw(n, (SeedSequence(seed),))})
    return SimulatedData(
        frame=frame,
        truth=text_truth(plan),
        n=n,
        seed=seed,
        simulation=spec.id,
        digests=MappingProxyType({} if spec.digest is None else {"simulation": spec.digest}),
        values=None,
        notes=text_notes(plan, n, seed),
        codebook=text_codebook(plan, {ID_COLUMN: "number of the row"}),
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


def _draw(plan: Plan, n: int, seed: SeedSequence) -> pd.DataFrame:
    return pd.DataFrame({ID_COLUMN: np.arange(1, n + 1), **draw_columns(plan, n, (seed,))})


def _other_columns(spec: SimulationSpec) -> dict[str, str]:
    """Return the meaning of columns that are not of the survey."""
    own = {} if spec.clusters is None else {spec.clusters.name: "number of the cluster that the respondent belongs to"}
    return {ID_COLUMN: "number of the respondent", **own}
