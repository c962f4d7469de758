"""Populations in which one proposition has an effect of a given size, and all else stays as it is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from b2b_sem.errors import SpecError
from b2b_sem.simulate.draw import Plan
from b2b_sem.simulate.respond import make_plan
from b2b_sem.spec.base import Location
from b2b_sem.spec.model import ModelSpec, Proposition
from b2b_sem.spec.moderation import product_of, read_product
from b2b_sem.spec.plan import Aim, EffectSize, PlanSpec
from b2b_sem.spec.simulation import SimulationSpec
from b2b_sem.spec.statement import read_pair

__all__ = ["PlannedEffect", "SizedPopulation", "sized_population"]

#: Rounds in which variances that are left over and effects that depend on them are brought into line, at most.
_ROUNDS = 200
#: Change of an effect at which that ends.
_CLOSE = 1e-13


@dataclass(frozen=True)
class PlannedEffect:
    """One value of the population that makes the size of an effect.

    Attributes
    ----------
    kind : str
        ``path``, ``f2``, ``d``; ``change`` for a value that the file states itself.
    size : float
        What the file says for this kind; NaN for a change.
    name : str
        Such as ``PC ~ NR``, ``RR ~ PC:PX``, or the latent whose means differ.
    level : str
        Group that has the value; empty where there is one value for all.
    value : float
        Standardized path or product, or difference of means.
    """

    kind: str
    size: float
    name: str
    level: str
    value: float


@dataclass(frozen=True, eq=False)
class SizedPopulation:
    """A population in which one proposition has an effect of a given size.

    Attributes
    ----------
    proposition, size : str
    spec : SimulationSpec
    effects : tuple of PlannedEffect
    """

    proposition: str
    size: str
    spec: SimulationSpec
    effects: tuple[PlannedEffect, ...]


def sized_population(plan: PlanSpec, prop: Proposition, aim: Aim, size: str) -> SizedPopulation:
    """Return the population in which a proposition has the effect that a size means.

    - A path gets the value ``path``, with the sign that is claimed; an indirect effect in each of its paths, of which
      the first has the sign.
    - A product gets the standardized effect g with ``g^2 (1 + r^2) / psi = f2``: r is the correlation of its factors,
      psi the variance of the outcome that is left. This is dR2 / (1 - R2), as products of normal variables are
      uncorrelated with them.
    - A claim on groups: the means of its constructs differ by ``d``; each path named under ``differ`` differs by D with
      ``w (1 - w) D^2 / psi = f2``, the share w of the level that is meant, and psi on average over both. The path
      averages to its value in the population. With equal covariances of the predictors in both groups this is
      dR2 / (1 - R2) of group times predictor.

    Everything else has the value of the population; variances that are not explained follow.

    Parameters
    ----------
    plan : PlanSpec
        Tied to its population.
    prop : Proposition
    aim : Aim
        What the file says about it.
    size : str

    Raises
    ------
    SpecError
        If no population has these values, or the file does not say what is needed.
    """
    base = plan.population_spec
    if base is None or base.model_spec is None:
        raise SpecError(f"the plan '{plan.id}' was built without its population", hint="load it from a file")
    at: Location = ("propositions", prop.id)
    start = plan.changed(base, aim.also, (*at, "also")) if aim.also else base
    if size in aim.changes:
        spec = plan.changed(start, aim.changes[size], (*at, "changes", size))
        _solved(plan, spec, at)
        return SizedPopulation(prop.id, size, spec, tuple(_stated(aim.changes[size])))
    values = plan.sizes[size]
    if prop.test == "moderation":
        spec, effects = _with_product(plan, start, prop, values, at)
    elif prop.test == "group":
        spec, effects = _with_groups(plan, start, base.model_spec, prop, aim, values, at)
    else:
        spec, effects = _with_paths(plan, start, prop, values, at)
    return SizedPopulation(prop.id, size, spec, effects)


def _with_paths(
    plan: PlanSpec, start: SimulationSpec, prop: Proposition, size: EffectSize, at: Location
) -> tuple[SimulationSpec, tuple[PlannedEffect, ...]]:
    assert size.path is not None  # the rules of the file
    ((claim, sign),) = prop.claims()
    effects = []
    for k, pair in enumerate(claim.regressions):
        value = -size.path if sign == "-" and k == 0 else size.path
        effects.append(PlannedEffect("path", size.path, f"{pair[0]} ~ {pair[1]}", "", value))
    own = {e.name: e.value for e in effects}
    change: dict[str, Any] = {"values": {"paths": _renamed(own, start.values.paths)}}
    levels = {} if start.groups is None else start.groups.levels
    # a level that has a value of its own for the path gets the planned one, too
    over = {key: {k for k in _renamed(own, part.paths) if k in part.paths} for key, part in levels.items()}
    if any(over.values()):
        named = {key: _renamed(own, levels[key].paths) for key in over}
        change["groups"] = {
            "levels": {key: {"paths": {k: v for k, v in named[key].items() if k in over[key]}} for key in over}
        }
    spec = plan.changed(start, change, at)
    _solved(plan, spec, at)
    return spec, tuple(effects)


def _with_product(
    plan: PlanSpec, start: SimulationSpec, prop: Proposition, size: EffectSize, at: Location
) -> tuple[SimulationSpec, tuple[PlannedEffect, ...]]:
    assert size.f2 is not None
    product = product_of(prop)
    if product is None:
        raise plan.error(at, f"{prop.id} names no product", at_key=True)
    outcome, first, second = product
    ((claim, sign),) = prop.claims()
    given = {read_product(text): text for text in start.values.interactions}
    if len({key for key in given if key is not None and key[0] == outcome} - {product}):
        raise plan.error(
            at,
            f"f2 of {prop.id} is not defined beside other products that lead to {outcome}",
            hint="State its values under 'changes'.",
            at_key=True,
        )
    name = given.get(product, f"{outcome} ~ {claim.start}:{claim.moderator}")
    value = 0.0
    for _ in range(_ROUNDS):
        spec = plan.changed(start, {"values": {"interactions": {name: value}}}, at)
        solved = _solved(plan, spec, at)
        if solved.levels:
            raise plan.error(
                at,
                f"f2 of {prop.id} is not defined in a population of several groups",
                hint="State its values under 'changes'.",
                at_key=True,
            )
        population = solved.population
        (own,) = [p for p in population.interactions if {p.first, p.second} == {first, second}]
        before = value
        value = math.sqrt(size.f2 * population.disturbance_sd[outcome] ** 2 / (1 + own.mean**2))
        value = value if sign == "+" else -value
        if abs(value - before) < _CLOSE:
            break
    return spec, (PlannedEffect("f2", size.f2, name, "", value),)


def _with_groups(
    plan: PlanSpec,
    start: SimulationSpec,
    model: ModelSpec,
    prop: Proposition,
    aim: Aim,
    size: EffectSize,
    at: Location,
) -> tuple[SimulationSpec, tuple[PlannedEffect, ...]]:
    assert size.d is not None
    assert size.f2 is not None
    assert prop.group is not None
    assert prop.level is not None
    other, share = _levels(plan, start, prop.group, prop.level, at)
    means = {claim.end: (size.d if sign == "+" else -size.d) for claim, sign in prop.claims()}
    paths = start.paths()
    differ = {read_pair(text, "~"): sign for text, sign in aim.differ.items()}
    pairs = {pair: 1.0 if sign == "+" else -1.0 for pair, sign in differ.items() if pair is not None}
    if absent := [f"{a} ~ {b}" for a, b in pairs if (a, b) not in paths]:
        raise plan.error((*at, "differ"), f"the population '{start.id}' has no path {absent[0]}", at_key=True)
    distance = dict.fromkeys(pairs, 0.0)
    for _ in range(_ROUNDS):
        there = {f"{a} ~ {b}": paths[a, b] + s * (1 - share) * distance[a, b] for (a, b), s in pairs.items()}
        here = {f"{a} ~ {b}": paths[a, b] - s * share * distance[a, b] for (a, b), s in pairs.items()}
        change = {
            "values": {"paths": _renamed(here, start.values.paths)},
            "groups": {
                "split": prop.group,
                "reference": other,
                "levels": {prop.level: {"means": means, "paths": _renamed(there, _own_paths(start, prop.level))}},
            },
        }
        spec = plan.changed(start, change, at)
        found = {level.name: level.population for level in _solved(plan, spec, at).levels}
        left = {
            a: share * found[prop.level].disturbance_sd[a] ** 2 + (1 - share) * found[other].disturbance_sd[a] ** 2
            for a, _ in pairs
        }
        before = distance
        distance = {pair: math.sqrt(size.f2 * left[pair[0]] / (share * (1 - share))) for pair in pairs}
        if all(abs(distance[pair] - before[pair]) < _CLOSE for pair in pairs):
            break
    effects = [PlannedEffect("d", size.d, name, prop.level, value) for name, value in means.items()]
    effects += [
        PlannedEffect("f2", size.f2, name, level, values[name])
        for name in there
        for level, values in ((prop.level, there), (other, here))
    ]
    return spec, tuple(effects)


def _levels(plan: PlanSpec, start: SimulationSpec, group: str, level: str, at: Location) -> tuple[str, float]:
    """Return the level beside the one that is meant, and the share of that one among the two."""
    survey = start.survey_spec
    if survey is None:
        raise plan.error(at, f"'{group}' needs a survey that says what it is", at_key=True)
    split = survey.split(group)
    others = [name for name in split.levels if name != level]
    if level not in split.levels or len(others) != 1:
        raise plan.error(
            at,
            f"sizes are defined for two groups; '{group}' has {', '.join(split.levels) or 'no levels'}",
            hint="State the values under 'changes'.",
            at_key=True,
        )
    if start.groups is not None and (start.groups.split != group or str(start.groups.reference) != others[0]):
        raise plan.error(
            at,
            f"the population '{start.id}' has other groups: {start.groups.split} against {start.groups.reference}",
            hint=f"Name a population without groups, or one with '{others[0]}' of '{group}' as reference.",
            at_key=True,
        )
    fact = start.facts.get(split.fact)
    if fact is None or fact.shares is None:
        raise plan.error(
            at,
            f"the groups of '{group}' follow from the fact '{split.fact}', which the population does not draw",
            hint=f"Give its shares under facts: {split.fact}.",
            at_key=True,
        )
    there, other = (sum(fact.shares.get(code, 0.0) for code in split.levels[name]) for name in (level, others[0]))
    if not there or not other:
        raise plan.error(at, f"one of the groups of '{group}' has no respondents", at_key=True)
    return others[0], there / (there + other)


def _own_paths(spec: SimulationSpec, level: str) -> Mapping[str, float]:
    if spec.groups is None or level not in spec.groups.levels:
        return {}
    return spec.groups.levels[level].paths


def _renamed(values: Mapping[str, float], given: Mapping[str, Any]) -> dict[str, float]:
    """Return values by the names under which a file has them: 'PC~NR' and 'PC ~ NR' are the same path."""
    known = {read_pair(text, "~"): text for text in given}
    return {known.get(read_pair(name, "~"), name): value for name, value in values.items()}


def _solved(plan: PlanSpec, spec: SimulationSpec, at: Location) -> Plan:
    """Return the population, solved; what is wrong with it is said at the place of the plan that made it so."""
    problems = list(spec.problems())
    if spec.model_spec is not None:
        problems += spec.problems_with(spec.model_spec, spec.survey_spec)
    if problems:
        raise plan.error(at, f"{at[1]}: {problems[0].message}", hint=problems[0].hint, at_key=True)
    try:
        return make_plan(spec)
    except SpecError as error:
        raise plan.error(at, f"{at[1]}: {error.message}", hint=error.hint, at_key=True) from None


def _stated(change: Mapping[str, Any], place: tuple[str, ...] = ()) -> list[PlannedEffect]:
    """Return the numbers of a change as effects, named by their places."""
    out = []
    for key, value in change.items():
        if isinstance(value, Mapping):
            out += _stated(value, (*place, str(key)))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            out.append(PlannedEffect("change", math.nan, ": ".join((*place, str(key))), "", float(value)))
    return out
