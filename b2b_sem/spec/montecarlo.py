"""A Monte Carlo study: which population, under which conditions, fitted how, and how often."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, TypeVar, cast

from pydantic import Discriminator, Field, PrivateAttr, Tag, ValidationError

from b2b_sem.errors import B2BSemError, DataError, SpecError
from b2b_sem.spec.base import Code, Document, FitSettings, Location, Node, Problem, Text
from b2b_sem.spec.model import ModelSpec
from b2b_sem.spec.partable import build_table
from b2b_sem.spec.product import linear_part
from b2b_sem.spec.simulation import SimulationSpec
from b2b_sem.spec.syntax import parse_model
from b2b_sem.spec.text import TextPopulation, TextValues

__all__ = ["CHANGEABLE", "Condition", "Conditions", "MonteCarloSpec", "changed_population"]

P = TypeVar("P", bound=SimulationSpec | TextPopulation)

Proportion = Annotated[float, Field(gt=0, lt=1)]
#: What a change of the population may touch.
CHANGEABLE = ("values", "groups", "response", "distribution", "clusters", "missing", "facts")
#: The same of a population that is lavaan text.
TEXT_CHANGEABLE = ("values", "skew", "kurtosis", "method", "thresholds", "shares", "missing_rate")


class Conditions(Node):
    """Lists that are crossed: every sample size with every change of the population and every set of options."""

    n: tuple[Annotated[int, Field(ge=2, le=10_000_000)], ...] = Field(
        default=(), description="Sample sizes. Default: the n of the population."
    )
    changes: dict[Code, dict[str, Any]] = Field(
        default_factory=dict,
        description="Name -> what is different in the population: parts of its values, groups, response, distribution, "
        "clusters, missing or facts, written as in its file. An empty mapping is the population as it is.",
    )
    options: dict[Code, FitSettings] = Field(
        default_factory=dict,
        description="Name -> options of the fit. All of them are tried on the same respondents.",
    )


@dataclass(frozen=True)
class Condition:
    """One cell of the design.

    Attributes
    ----------
    name : str
        The parts that vary, such as ``n=200, weak, MLR``.
    n : int
    change, options : str
        Names; empty where the file names none.
    settings : FitSettings
        Those of the model with those of the condition on top.
    """

    name: str
    n: int
    change: str
    options: str
    settings: FitSettings

    @property
    def key(self) -> tuple[int, int]:
        """What the random numbers depend on besides seed and replication: size and change, not the options.

        Conditions that differ in options alone are fitted to the same respondents, and a condition keeps its numbers
        whatever other conditions the study has.
        """
        return self.n, zlib.crc32(self.change.encode())


class MonteCarloSpec(Document):
    """A simulation study: a population, crossed conditions, and how many samples of each are drawn and fitted."""

    KIND: ClassVar[str] = "montecarlo"

    kind: Literal["montecarlo"] = Field(description="Write 'kind: montecarlo'.")
    description: Text | None = None
    population: Annotated[
        Annotated[Text, Tag("path")] | Annotated[TextValues, Tag("inline")],
        Discriminator(lambda given: "path" if isinstance(given, str) else "inline"),
    ] = Field(
        description="Id of a bundled simulation, path of a simulation file or of a file of lavaan text with values; or "
        "such text itself: {text: ...}."
    )
    model: Text | None = Field(
        default=None, description="Another model to fit: id, path, or lavaan text. Default: that of the population."
    )
    solution: Literal["standardized", "raw"] | None = Field(
        default=None, description="Whose parameters are reported. Default: raw where the values of the population are."
    )
    conditions: Conditions = Field(default_factory=Conditions)
    options: FitSettings = Field(
        default_factory=FitSettings, description="Options of all fits, over those of the model file."
    )
    replications: Annotated[int, Field(ge=2, le=10_000_000)] = Field(
        default=1000, description="Samples of each condition."
    )
    seed: Annotated[int, Field(ge=0)] = 1
    alpha: Proportion = 0.05
    confidence: Proportion = Field(default=0.95, description="Level of the intervals whose coverage is counted.")
    multiplicity: Literal["holm", "bonferroni", "bh", "none"] = "holm"

    moderation: bool = Field(
        default=False, description="Whether each sample is also fitted with the products of propositions on moderation."
    )
    groups: Code | None = Field(
        default=None, description="Group of the survey: each sample is also compared across its levels, for verdicts."
    )

    _population: SimulationSpec | TextPopulation | None = PrivateAttr(None)
    _model: ModelSpec | None = PrivateAttr(None)

    @property
    def population_spec(self) -> SimulationSpec | TextPopulation | None:
        """The population that was loaded with the study."""
        return self._population

    @property
    def model_spec(self) -> ModelSpec | None:
        """The model that is fitted, tied to its survey."""
        return self._model

    @property
    def raw(self) -> bool:
        """Whether parameters of the raw solution are reported."""
        population = self._population
        if self.solution is None:
            return isinstance(population, TextPopulation) or (population is not None and not population.standardized)
        return self.solution == "raw"

    def tie(self, population: SimulationSpec | TextPopulation, model: ModelSpec) -> MonteCarloSpec:
        """Return a copy that knows its population and the model to fit."""
        copy = self.model_copy()
        copy._population, copy._model = population, model
        return copy

    def with_settings(self, settings: Mapping[str, Any]) -> MonteCarloSpec:
        """Return a copy with other settings, which is not tied to a population; raises ``DataError`` for wrong ones."""
        try:
            return MonteCarloSpec.model_validate({**self.model_dump(), **settings})
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise DataError(f"{where}={first.get('input')!r}: {first['msg']}", hint="correct this setting") from None

    def problems(self) -> Iterator[Problem]:
        """Yield what is wrong here without looking at the population."""
        seen: set[int] = set()
        for position, n in enumerate(self.conditions.n):
            if n in seen:
                yield Problem(("conditions", "n", position), f"the sample size {n} stands there twice")
            seen.add(n)
        for name, options in self.conditions.options.items():
            if options.seed is not None:
                yield _no_seed(("conditions", "options", name, "seed"))
        if self.options.seed is not None:
            yield _no_seed(("options", "seed"))

    def problems_with(self, population: SimulationSpec | TextPopulation, model: ModelSpec) -> Iterator[Problem]:
        """Yield what does not fit together with the population and the model to fit."""
        if isinstance(population, TextPopulation):
            drawn, survey = set(population.table().observed), None
            wanted = build_table(linear_part(parse_model(model.syntax()))).observed
            yield from self._text_problems(population)
        else:
            source, survey = population.model_spec, population.survey_spec
            drawn = set() if source is None else set(source.items(claims=population.claimed(source)))
            drawn |= set(population.facts)
            if self.solution == "raw" and population.standardized:
                yield Problem(
                    ("solution",),
                    f"the values of '{population.id}' are standardized: nothing is known of the raw ones",
                    "Take it out, or write the population with 'standardized: false'.",
                )
            wanted = tuple(model.items(survey))
        absent = [item for item in wanted if item not in drawn]
        if absent:
            listing = ", ".join(absent[:5]) + (f" and {len(absent) - 5} more" if len(absent) > 5 else "")
            yield Problem(
                ("model",), f"the model '{model.id}' needs {listing}, which '{population.id}' does not contain"
            )
        if self.groups is not None and survey is not None:
            try:
                fact = survey.split(self.groups).fact
            except B2BSemError as error:
                yield Problem(("groups",), error.message, error.hint)
            else:
                if fact not in population.facts:
                    yield Problem(
                        ("groups",), f"the groups of '{self.groups}' follow from the fact '{fact}', which is not drawn"
                    )
        known = TEXT_CHANGEABLE if isinstance(population, TextPopulation) else CHANGEABLE
        for name, change in self.conditions.changes.items():
            wrong = [key for key in change if key not in known]
            for key in wrong:
                yield Problem(
                    ("conditions", "changes", name, key),
                    f"a change cannot touch '{key}'",
                    hint="It may hold " + ", ".join(known) + ".",
                    at_key=True,
                )
            if not wrong:
                yield from self._change_problems(name, population)

    def _text_problems(self, population: TextPopulation) -> Iterator[Problem]:
        """Yield what needs a survey, or groups."""
        for key, given in (("groups", self.groups is not None), ("moderation", self.moderation)):
            if given:
                yield Problem(
                    (key,),
                    f"'{key}' needs a population with a survey, and '{population.id}' is lavaan text",
                    at_key=True,
                )
        every = [(("options",), self.options)]
        every += [(("conditions", "options", name), own) for name, own in self.conditions.options.items()]  # type: ignore[misc]
        for at, own in every:
            for key in ("group", "cluster"):
                if getattr(own, key) is not None:
                    yield Problem(
                        (*at, key), f"'{key}': '{population.id}' is lavaan text, which has no groups or clusters",
                        at_key=True,
                    )  # fmt: skip

    def _change_problems(self, name: str, population: SimulationSpec | TextPopulation) -> Iterator[Problem]:
        where: Location = ("conditions", "changes", name)
        try:
            changed = self.changed(population, name)
        except ValidationError as error:
            for found in error.errors():
                yield Problem((*where, *found["loc"]), found["msg"], at_key=True)
            return
        if isinstance(changed, TextPopulation):
            changed._at = ()
        rules = list(changed.problems())
        if isinstance(changed, SimulationSpec) and changed.model_spec is not None:
            rules += changed.problems_with(changed.model_spec, changed.survey_spec)
        for problem in rules:
            yield Problem((*where, *problem.loc), problem.message, problem.hint, problem.at_key)

    def changed(self, population: P, change: str) -> P:
        """Return the population with a change; what the change does not name stays as it is."""
        if not change or not self.conditions.changes[change]:
            return population
        return changed_population(population, self.conditions.changes[change])

    def cells(self) -> tuple[Condition, ...]:
        """Return all conditions, sizes varying fastest.

        Raises
        ------
        SpecError
            If the study was built without its population.
        """
        population, model = self._population, self._model
        if population is None or model is None:
            raise SpecError(f"the study '{self.id}' was built without its population", hint="load it from a file")
        common = self.options.over(model.options)
        out = []
        for change in self.conditions.changes or {"": {}}:
            for options, own in (self.conditions.options or {"": FitSettings()}).items():
                for n in self.conditions.n or (population.n,):
                    words = [f"n={n}", *(name for name in (change, options) if name)]
                    out.append(Condition(", ".join(words), n, change, options, own.over(common)))
        return tuple(out)


def changed_population(population: P, change: Mapping[str, Any]) -> P:
    """Return a population with parts of its file replaced; raises pydantic's ``ValidationError`` for unknown parts."""
    plain = population.model_dump(exclude_unset=True)
    merged = type(population).model_validate(_merged(plain, change))
    merged._origin = population._origin
    for name in ("_model", "_survey", "_at", "_read"):
        if hasattr(population, name):
            setattr(merged, name, getattr(population, name))
    return cast(P, merged)


def _no_seed(at: Location) -> Problem:
    return Problem(at, "each replication has a seed of its own, which follows from that of the study", at_key=True)


def _merged(base: Any, over: Any) -> Any:
    """Return nested mappings with those of `over` put in; anything else is replaced."""
    if not (isinstance(base, Mapping) and isinstance(over, Mapping)):
        return over
    return {**base, **{key: _merged(base.get(key), value) for key, value in over.items()}}
