"""A Monte Carlo study: which population, under which conditions, fitted how, and how often."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, PrivateAttr, ValidationError

from b2b_sem.errors import B2BSemError, DataError, SpecError
from b2b_sem.spec.base import Code, Document, FitSettings, Location, Node, Problem, Text
from b2b_sem.spec.model import ModelSpec
from b2b_sem.spec.simulation import SimulationSpec

__all__ = ["Condition", "Conditions", "MonteCarloSpec", "changed_population"]

Proportion = Annotated[float, Field(gt=0, lt=1)]
#: What a change of the population may touch.
CHANGEABLE = ("values", "groups", "response", "distribution", "clusters", "missing", "facts")


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
    population: Text = Field(description="Id of a bundled simulation, or path of a simulation file.")
    model: Text | None = Field(default=None, description="Another model to fit. Default: that of the population.")
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

    _population: SimulationSpec | None = PrivateAttr(None)
    _model: ModelSpec | None = PrivateAttr(None)

    @property
    def population_spec(self) -> SimulationSpec | None:
        """The population that was loaded with the study."""
        return self._population

    @property
    def model_spec(self) -> ModelSpec | None:
        """The model that is fitted, tied to its survey."""
        return self._model

    def tie(self, population: SimulationSpec, model: ModelSpec) -> MonteCarloSpec:
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
        for name, change in self.conditions.changes.items():
            for key in change:
                if key not in CHANGEABLE:
                    yield Problem(
                        ("conditions", "changes", name, key),
                        f"a change cannot touch '{key}'",
                        hint="It may hold " + ", ".join(CHANGEABLE) + ".",
                        at_key=True,
                    )
        for name, options in self.conditions.options.items():
            if options.seed is not None:
                yield _no_seed(("conditions", "options", name, "seed"))
        if self.options.seed is not None:
            yield _no_seed(("options", "seed"))

    def problems_with(self, population: SimulationSpec, model: ModelSpec) -> Iterator[Problem]:
        """Yield what does not fit together with the population and the model to fit."""
        source = population.model_spec
        drawn = set() if source is None else set(source.items(claims=population.claimed(source)))
        drawn |= set(population.facts)
        absent = [item for item in model.items(population.survey_spec) if item not in drawn]
        if absent:
            listing = ", ".join(absent[:5]) + (f" and {len(absent) - 5} more" if len(absent) > 5 else "")
            yield Problem(
                ("model",), f"the model '{model.id}' needs {listing}, which '{population.id}' does not contain"
            )
        if self.groups is not None and population.survey_spec is not None:
            try:
                fact = population.survey_spec.split(self.groups).fact
            except B2BSemError as error:
                yield Problem(("groups",), error.message, error.hint)
            else:
                if fact not in population.facts:
                    yield Problem(
                        ("groups",), f"the groups of '{self.groups}' follow from the fact '{fact}', which is not drawn"
                    )
        for name in self.conditions.changes:
            yield from self._change_problems(name, population)

    def _change_problems(self, name: str, population: SimulationSpec) -> Iterator[Problem]:
        where: Location = ("conditions", "changes", name)
        try:
            changed = self.changed(population, name)
        except ValidationError as error:
            for found in error.errors():
                yield Problem((*where, *found["loc"]), found["msg"], at_key=True)
            return
        rules = list(changed.problems())
        if population.model_spec is not None:
            rules += changed.problems_with(population.model_spec, population.survey_spec)
        for problem in rules:
            yield Problem((*where, *problem.loc), problem.message, problem.hint, problem.at_key)

    def changed(self, population: SimulationSpec, change: str) -> SimulationSpec:
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


def _no_seed(at: Location) -> Problem:
    return Problem(at, "each replication has a seed of its own, which follows from that of the study", at_key=True)


def changed_population(population: SimulationSpec, change: Mapping[str, Any]) -> SimulationSpec:
    """Return a population with parts of its file replaced; raises pydantic's ``ValidationError`` for unknown parts."""
    plain = population.model_dump(exclude_unset=True)
    merged = SimulationSpec.model_validate(_merged(plain, change))
    merged._origin = population._origin
    merged._model, merged._survey = population._model, population._survey
    return merged


def _merged(base: Any, over: Any) -> Any:
    """Return nested mappings with those of `over` put in; anything else is replaced."""
    if not (isinstance(base, Mapping) and isinstance(over, Mapping)):
        return over
    return {**base, **{key: _merged(base.get(key), value) for key, value in over.items()}}
