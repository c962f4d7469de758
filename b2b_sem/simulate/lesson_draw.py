"""The hidden truth of a lesson: values drawn for a population, some of them zero, some against the theory.

What is drawn is a set of parts that take the place of sections of a simulation file: plain types, so that they can be
kept in a file and put in again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.random import Generator

from b2b_sem.errors import SpecError, Unsupported
from b2b_sem.simulate.population import Population, population
from b2b_sem.simulate.respond import sources
from b2b_sem.spec.model import ModelSpec
from b2b_sem.spec.part import with_parts
from b2b_sem.spec.simulation import SimulationSpec
from b2b_sem.spec.statement import read_pair
from b2b_sem.spec.survey import SurveySpec

__all__ = ["LEVELS", "Level", "claimed_signs", "draw_parts"]

#: Attempts at values that go together before a population is given up.
_TRIES = 300
#: More explained variance than this leaves little to be found out about a construct.
_MOST_EXPLAINED = 0.70
_REVERSED = 0.14  # how much weaker a reversed item is on average


@dataclass(frozen=True)
class Level:
    """How difficult a lesson is: ranges of what is drawn.

    Attributes
    ----------
    loadings, paths : tuple of float
        Range of standardized loadings of items that are not reversed, and of the size of paths that are not zero.
    zero, other : float
        Share of paths that are zero, and that have the other sign than the theory says.
    careless, straight, holes, dropout, method : tuple of float
        Ranges of the shares of careless respondents and straight-liners, of answers missing by chance, of respondents
        who break off depending on an earlier answer, and of common method variance; (0, 0) for none.
    codes : bool
        Whether missing answers are recorded with the codes of the survey, not as empty cells.
    """

    loadings: tuple[float, float]
    paths: tuple[float, float]
    zero: float
    other: float
    careless: tuple[float, float] = (0.0, 0.0)
    straight: tuple[float, float] = (0.0, 0.0)
    holes: tuple[float, float] = (0.0, 0.0)
    dropout: tuple[float, float] = (0.0, 0.0)
    method: tuple[float, float] = (0.0, 0.0)
    codes: bool = False


LEVELS: Mapping[str, Level] = {
    "intro": Level(loadings=(0.72, 0.86), paths=(0.30, 0.50), zero=0.15, other=0.12),
    "standard": Level(
        loadings=(0.66, 0.84), paths=(0.18, 0.46), zero=0.20, other=0.15, careless=(0.04, 0.07), holes=(0.003, 0.007)
    ),
    "hard": Level(
        loadings=(0.60, 0.80),
        paths=(0.14, 0.42),
        zero=0.25,
        other=0.15,
        careless=(0.06, 0.10),
        straight=(0.02, 0.04),
        dropout=(0.12, 0.20),
        method=(0.03, 0.08),
        codes=True,
    ),
}


def claimed_signs(spec: SimulationSpec, model: ModelSpec) -> dict[tuple[str, str], int]:
    """Return outcome and predictor of each path -> 1 or -1: as a proposition says, else as the file's own value."""
    own = spec.paths()
    out = {pair: -1 if own.get(pair, 0.0) < 0 else 1 for pair in spec.regressions(model)}
    for prop in model.propositions:
        if prop.test == "path" and prop.path is not None:
            for claim, sign in prop.claims():
                out |= {pair: -1 if sign == "-" else 1 for pair in claim.regressions if pair in out}
    return out


def draw_parts(spec: SimulationSpec, level: Level, rng: Generator) -> dict[str, Any]:
    """Return values that a population of this model and survey can have.

    Parameters
    ----------
    spec : SimulationSpec
        Gives the structure: which paths, correlations, products and groups there are. Its values serve for signs only.
    level : Level
    rng : Generator

    Returns
    -------
    dict
        values, response, missing, levels (a list of key and values): plain JSON types.

    Raises
    ------
    SpecError
        If no values are found that go together.
    Unsupported
        For populations with raw values, or whose answers are continuous, or missing, not normal or in clusters by
        their file.
    """
    model, survey = sources(spec)
    for name, present in (
        ("missing", spec.missing is not None),
        ("clusters", spec.clusters is not None),
        ("distribution", spec.distribution is not None),
    ):
        if present:
            raise Unsupported(
                f"the population '{spec.id}' has a section '{name}', which a lesson would not tell of",
                hint="take the section out; the level of a lesson says what is missing or careless",
            )
    if not spec.standardized:
        raise Unsupported(
            f"the population '{spec.id}' has raw values, and a lesson draws standardized ones",
            hint="use a population without 'standardized: false'",
        )
    if spec.response.type == "continuous":
        raise Unsupported(
            f"the population '{spec.id}' has continuous answers, and a questionnaire takes whole numbers only",
            hint="give 'type: ordinal' under 'response'",
        )
    last: SpecError | None = None
    for _ in range(_TRIES):
        parts = _draw(spec, model, survey, level, rng)
        try:
            candidate = with_parts(spec, parts, model, survey)
            every: list[Population] = [population(candidate, model, survey)]
            for key in () if candidate.groups is None else candidate.groups.levels:
                every.append(population(candidate, model, survey, key, every[0]))
        except SpecError as error:
            last = error
            continue
        outcomes = {name: values.r2[name] for values in every for name in values.outcomes}
        facets = {name for values in every for name, parent, _ in values.paths if parent in values.higher}
        if all(share <= _MOST_EXPLAINED for name, share in outcomes.items() if name not in facets):
            return parts
    reason = f": {last.message}" if last is not None else ""
    raise SpecError(
        f"no hidden values were found that go together in '{spec.id}'{reason}",
        hint="use a population with fewer predictors for each outcome",
    )


def _draw(spec: SimulationSpec, model: ModelSpec, survey: SurveySpec, level: Level, rng: Generator) -> dict[str, Any]:
    pairs = spec.regressions(model)
    signs = claimed_signs(spec, model)
    factors = _kinds(len(pairs), level, rng)
    paths = {
        f"{pair[0]} ~ {pair[1]}": _uniform(level.paths, rng) * kind * signs[pair] + 0.0
        for pair, kind in zip(pairs, factors, strict=True)
    }
    values: dict[str, Any] = {
        "loadings": _loadings(spec, model, survey, level, rng),
        "paths": paths,
        "correlations": {text: _uniform((0.15, 0.45), rng) * _sign(v) for text, v in spec.values.correlations.items()},
        "residual_correlations": dict(spec.values.residual_correlations),
    }
    if spec.values.interactions:
        given = spec.values.interactions
        odds = _kinds(len(given), level, rng)
        values["interactions"] = {
            text: _uniform((0.15, 0.28), rng) * kind * _sign(value) + 0.0
            for (text, value), kind in zip(given.items(), odds, strict=True)
        }
    if level.method[1]:
        values["method"] = {"share": _uniform(level.method, rng)}
    response: dict[str, Any] = {}
    for name, limits in (("careless_share", level.careless), ("missing_rate", level.holes)):
        if limits[1]:
            response[name] = _uniform(limits, rng, 3)
    if level.straight[1]:
        response["straight"] = {"share": _uniform(level.straight, rng, 3)}
    missing = _dropout(spec, model, level, rng) if level.dropout[1] else None
    return {
        "values": values,
        "response": response,
        "missing": missing,
        "levels": _group_levels(spec, values["paths"], level, rng),
    }


def _kinds(count: int, level: Level, rng: Generator) -> list[int]:
    """Return 1 (as stated), 0 (none) or -1 (the other sign) for each path; of four or more at least one of each."""
    if count < 4:
        return [
            int(rng.choice([1, 0, -1], p=[1 - level.zero - level.other, level.zero, level.other])) for _ in range(count)
        ]
    zero = max(1, int(rng.binomial(count, level.zero)))
    other = max(1, int(rng.binomial(count, level.other)))
    while zero + other > count // 2:
        zero, other = (zero - 1, other) if zero > other else (zero, other - 1)
    kinds = [0] * zero + [-1] * other + [1] * (count - zero - other)
    return [kinds[k] for k in rng.permutation(count)]


def _loadings(
    spec: SimulationSpec, model: ModelSpec, survey: SurveySpec, level: Level, rng: Generator
) -> dict[str, Any]:
    """Return a loading of each scale, and one of each item near it."""
    scales, items = {}, {}
    owners: dict[str, int] = {}
    for latent in spec.latents(model):
        for item in model.items_of(latent, survey):
            owners[item] = owners.get(item, 0) + 1
    for latent in spec.latents(model):
        middle = _uniform(level.loadings, rng)
        scales[latent] = middle
        for item in model.items_of(latent, survey):
            value = middle + rng.uniform(-0.06, 0.06)
            value -= _REVERSED * rng.uniform(0.5, 1.5) if survey.item(item).reverse else 0.0
            # what an item has of several latents must fit into its variance
            items[item] = round(float(value) / owners[item], 2)
    return {"scales": scales, "items": items}


def _dropout(spec: SimulationSpec, model: ModelSpec, level: Level, rng: Generator) -> dict[str, Any] | None:
    """Return who breaks off: the items of a last outcome, depending on an answer about one of its causes."""
    pairs = [pair for pair in spec.regressions(model) if {*pair} <= set(spec.latents(model))]
    causes = {b for _, b in pairs}
    ends = [pair for pair in pairs if pair[0] not in causes]
    if not ends:
        return None
    # a cause that is an outcome itself: then leaving these rows out changes the paths into it
    outcomes = {a for a, _ in pairs}
    chosen = [pair for pair in ends if pair[1] in outcomes] or ends
    outcome, cause = chosen[int(rng.integers(len(chosen)))]
    items = model.items_of(outcome)
    asked = [item for item in model.items_of(cause) if item not in items]
    if not asked:
        return None
    slope = -_uniform((0.9, 1.4), rng)
    rate = _uniform(level.dropout, rng)
    return {"mechanisms": [{"items": list(items), "rate": rate, "depends_on": {asked[0]: slope}, "together": True}]}


def _group_levels(
    spec: SimulationSpec, paths: Mapping[str, float], level: Level, rng: Generator
) -> list[tuple[int | str, dict[str, Any]]]:
    """Return the means and paths of each level of the groups that the file names; the rest of it stays."""
    if spec.groups is None:
        return []
    out: list[tuple[int | str, dict[str, Any]]] = []
    for key, given in spec.groups.levels.items():
        own: dict[str, Any] = {}
        if given.means:
            kinds = _kinds(len(given.means), level, rng)
            own["means"] = {
                name: _uniform((0.30, 0.60), rng) * kind * _sign(value) + 0.0
                for (name, value), kind in zip(given.means.items(), kinds, strict=True)
            }
        if given.paths:
            base = {read_pair(text, "~"): value for text, value in paths.items()}
            own["paths"] = {}
            for text in given.paths:
                at = base.get(read_pair(text, "~"), 0.0)
                change = (
                    0.0
                    if rng.random() < level.zero
                    else _uniform((0.20, 0.35), rng) * (1 if rng.random() < 0.5 else -1)
                )
                own["paths"][text] = round(at + change, 2)
        out.append((key, own))
    return out


def _uniform(limits: Sequence[float], rng: Generator, digits: int = 2) -> float:
    return round(float(rng.uniform(limits[0], limits[1])), digits)


def _sign(value: float) -> int:
    return -1 if value < 0 else 1
