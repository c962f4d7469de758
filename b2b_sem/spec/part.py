"""A population with other values: parts of a simulation file taken out and others put in their place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from b2b_sem.errors import SpecError
from b2b_sem.spec.model import ModelSpec
from b2b_sem.spec.simulation import SimulationSpec
from b2b_sem.spec.survey import SurveySpec

__all__ = ["clean", "with_parts"]

#: Of a response, what goes wrong with the answers; the rest of the section is their shape.
SPOILED = ("careless_share", "missing_rate", "straight")


def with_parts(spec: SimulationSpec, parts: Mapping[str, Any], model: ModelSpec, survey: SurveySpec) -> SimulationSpec:
    """Return the population with other values.

    Parameters
    ----------
    spec : SimulationSpec
        What is not replaced stays as it is.
    parts : mapping
        ``values`` (the whole section), ``response`` (what goes wrong with answers), ``missing`` (the whole section or
        None), ``levels`` (list of key and what is different in this level of the groups). Plain JSON types: lists stand
        for tuples.
    model, survey : ModelSpec, SurveySpec
        Those of the population.

    Raises
    ------
    SpecError
        If the parts do not go with the file.
    """
    plain = spec.model_dump(exclude_unset=True)
    plain["values"] = _tuples(parts["values"])
    shape = {key: own for key, own in plain.get("response", {}).items() if key not in SPOILED}
    plain["response"] = shape | _tuples(parts["response"])
    plain.pop("missing", None)
    if parts.get("missing") is not None:
        plain["missing"] = _tuples(parts["missing"])
    for key, own in parts.get("levels", ()):
        levels = plain["groups"]["levels"]
        levels[key] = {**levels[key], **own}
    made = _made(spec, plain)
    for problem in (*made.problems(), *made.problems_with(model, survey)):
        raise SpecError(f"the values do not go with '{spec.id}': {problem.message}", hint=problem.hint)
    return made


def clean(
    spec: SimulationSpec, *, careless: bool = True, missing: bool = True, method: bool = True, cuts: bool = False
) -> SimulationSpec:
    """Return the population without some of what spoils its answers.

    Parameters
    ----------
    spec : SimulationSpec
    careless, missing, method, cuts : bool
        Take out careless answers and straight lines; missing answers; common method variance; the cutting of answers
        into whole numbers.
    """
    plain = spec.model_dump(exclude_unset=True)
    response = dict(plain.get("response", {}))
    gone = [*(("careless_share", "straight") if careless else ()), *(("missing_rate",) if missing else ())]
    plain["response"] = {key: own for key, own in response.items() if key not in gone}
    if cuts:
        plain["response"]["type"] = "continuous"
    if missing:
        plain.pop("missing", None)
    if method:
        plain["values"] = {key: own for key, own in plain["values"].items() if key != "method"}
    return _made(spec, plain)


def _made(spec: SimulationSpec, plain: Mapping[str, Any]) -> SimulationSpec:
    try:
        made = SimulationSpec.model_validate(plain)
    except ValidationError as error:
        raise SpecError(f"the values do not go with '{spec.id}': {error.errors()[0]['msg']}") from None
    made._origin, made._model, made._survey = spec._origin, spec._model, spec._survey
    return made


def _tuples(value: Any) -> Any:
    """Return lists as tuples, as the strict types of the files want them."""
    if isinstance(value, Mapping):
        return {key: _tuples(own) for key, own in value.items()}
    return tuple(_tuples(own) for own in value) if isinstance(value, list | tuple) else value
