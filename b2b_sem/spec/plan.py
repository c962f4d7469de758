"""A sample-size plan: how many respondents each proposition needs, under effects of several sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, PrivateAttr, ValidationError

from b2b_sem.errors import DataError, did_you_mean
from b2b_sem.spec.base import Citation, Code, Document, FitSettings, Location, Node, Problem, Text
from b2b_sem.spec.claim import Proposition, Sign
from b2b_sem.spec.model import ModelSpec
from b2b_sem.spec.montecarlo import CHANGEABLE, changed_population
from b2b_sem.spec.simulation import SimulationSpec
from b2b_sem.spec.statement import read_pair

__all__ = ["Aim", "EffectSize", "PlanSpec", "Search"]

Proportion = Annotated[float, Field(gt=0, lt=1)]
#: What the population of a proposition may have beside that of the others.
ALSO = ("claims", *CHANGEABLE)


class EffectSize(Node):
    """What "small" or "large" means, for each kind of effect. A proposition takes those that it needs."""

    path: Proportion | None = Field(default=None, description="Standardized path; of each path of an indirect effect.")
    f2: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None,
        description="Moderation: explained variance that is added, by that which is not explained, dR2 / (1 - R2).",
    )
    d: Annotated[float, Field(gt=0, le=3)] | None = Field(
        default=None, description="Difference of latent means of groups, in standard deviations within them."
    )


class Search(Node):
    """How the number of respondents is searched by samples."""

    samples: Annotated[int, Field(ge=5, le=1_000_000)] | None = Field(
        default=None, description="Samples in a batch. Default: 500."
    )
    batches: Annotated[int, Field(ge=3, le=10_000)] | None = Field(
        default=None, description="Batches after which a search ends, with the interval it has. Default: 20."
    )
    precision: Proportion | None = Field(
        default=None,
        description="Half width of the 95% interval at which a search ends, as a share of the respondents. "
        "Default: 0.05.",
    )

    @classmethod
    def of(cls, **settings: float | None) -> Search:
        """Return settings that were given in Python; raises ``DataError`` for those that cannot be."""
        try:
            return cls.model_validate(settings)
        except ValidationError as error:
            first = error.errors()[0]
            raise DataError(f"{first['loc'][0]}={first['input']!r}: {first['msg']}") from None

    def over(self, other: Search) -> Search:
        """Return these settings with the gaps filled from `other`."""
        stated = {name: value for name, value in self if value is not None}
        return Search(**{**dict(other), **stated})


#: What holds where a file says nothing.
SEARCH = Search(samples=500, batches=20, precision=0.05)


class Aim(Node):
    """A proposition that is planned for."""

    differ: dict[Text, Sign] = Field(
        default_factory=dict,
        description="For claims on groups: 'PC ~ RE' -> whether the path is larger (+) or smaller (-) in the level "
        "that the proposition names.",
    )
    also: dict[str, Any] = Field(
        default_factory=dict,
        description="What else the population has for this proposition, at all sizes: parts of its claims, values, "
        "groups, response, distribution, clusters, missing or facts, written as in its file.",
    )
    changes: dict[Code, dict[str, Any]] = Field(
        default_factory=dict,
        description="Size -> what is different in the population, instead of what 'sizes' says; written like 'also'.",
    )
    search: Search = Field(default_factory=Search, description="Instead of the search of the file.")


class PlanSpec(Document):
    """For each proposition and size of its effect: how many respondents are needed to find it."""

    KIND: ClassVar[str] = "plan"

    kind: Literal["plan"] = Field(description="Write 'kind: plan'.")
    description: Text | None = None
    citation: tuple[Citation, ...] = ()
    population: Text = Field(
        description="Id of a bundled simulation, or path of a simulation file: the values of all that stays as it is."
    )
    sizes: dict[Code, EffectSize] = Field(description="Name -> effects of this size, such as small, medium and large.")
    propositions: dict[Code, Aim] = Field(
        default_factory=dict, description="What is planned for. Default: all propositions of the model."
    )
    options: FitSettings = Field(
        default_factory=FitSettings, description="Options of all fits, over those of the model file."
    )
    power: Proportion = Field(default=0.80, description="Probability with which a proposition is to be supported.")
    alpha: Proportion = 0.05
    multiplicity: Literal["holm", "bonferroni", "bh", "none"] = "holm"
    search: Search = Field(default_factory=Search)
    seed: Annotated[int, Field(ge=0)] = 1

    _population: SimulationSpec | None = PrivateAttr(None)

    @property
    def population_spec(self) -> SimulationSpec | None:
        """The population that was loaded with the plan."""
        return self._population

    def tie(self, population: SimulationSpec) -> PlanSpec:
        """Return a copy that knows its population."""
        copy = self.model_copy()
        copy._population = population
        return copy

    def aims(self, model: ModelSpec) -> dict[str, Aim]:
        """Return what is planned for, in the order of the model's propositions."""
        if not self.propositions:
            return {p.id: Aim() for p in model.propositions}
        return {p.id: self.propositions[p.id] for p in model.propositions if p.id in self.propositions}

    def changed(self, population: SimulationSpec, change: Mapping[str, Any], at: Location) -> SimulationSpec:
        """Return a population with a change; what cannot be read is said at its place in the plan (``SpecError``)."""
        try:
            return changed_population(population, change)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise self.error((*at, *first["loc"]), f"{first['msg']} ({place})") from None

    def searching(self, aim: Aim) -> Search:
        """Return how the respondents of a proposition are searched, all gaps filled."""
        return aim.search.over(self.search).over(SEARCH)

    # ---- rules -----------------------------------------------------------------------------------------------------

    def problems(self) -> Iterator[Problem]:
        """Yield what is wrong here without looking at the population."""
        if not self.sizes:
            yield Problem(("sizes",), "a plan needs at least one size of effects", at_key=True)
        for name, size in self.sizes.items():
            if size.path is None and size.f2 is None and size.d is None:
                yield Problem(("sizes", name), f"'{name}' says nothing: give path, f2 or d", at_key=True)
        if self.power <= self.alpha:
            yield Problem(("power",), f"a power of {self.power:g} is not above alpha = {self.alpha:g}")
        if self.options.seed is not None:
            yield Problem(("options", "seed"), "each sample has a seed of its own, which follows from that of the plan")
        if self.options.group is not None:
            yield Problem(
                ("options", "group"), "verdicts rest on one fit of all respondents", at_key=True,
                hint="Propositions on groups are compared by themselves.",
            )  # fmt: skip
        for name, aim in self.propositions.items():
            here: Location = ("propositions", name)
            parts: list[tuple[Location, dict[str, Any]]] = [((*here, "also"), aim.also)]
            parts += [((*here, "changes", size), change) for size, change in aim.changes.items()]
            for at, change in parts:
                for key in change:
                    if key not in ALSO:
                        hint = "It may hold " + ", ".join(ALSO) + "."
                        yield Problem((*at, key), f"a change cannot touch '{key}'", hint=hint, at_key=True)
            for named in aim.changes:
                if named not in self.sizes:
                    near = did_you_mean(named, self.sizes)
                    yield Problem((*here, "changes", named), f"'sizes' does not name '{named}'.{near}", at_key=True)
            for text in aim.differ:
                if read_pair(text, "~") is None:
                    yield Problem(
                        (*here, "differ", text), f"cannot read '{text}': write two names like 'PC ~ NR'", at_key=True
                    )

    def problems_with(self, population: SimulationSpec) -> Iterator[Problem]:
        """Yield what does not fit together with the population and its model."""
        model = population.model_spec
        if model is None:
            return
        known = {p.id: p for p in model.propositions}
        if not known:
            yield Problem(("population",), f"the model '{model.id}' has no propositions to plan for")
        for name in self.propositions:
            if name not in known:
                near = did_you_mean(name, known)
                yield Problem(
                    ("propositions", name), f"the model '{model.id}' has no proposition '{name}'.{near}", at_key=True
                )
        for name, aim in self.aims(model).items():
            yield from self._aim_problems(known[name], aim, model)

    def _aim_problems(self, prop: Proposition, aim: Aim, model: ModelSpec) -> Iterator[Problem]:
        here: Location = ("propositions", prop.id) if self.propositions else ("population",)
        needed = _needed(prop)
        for size, values in self.sizes.items():
            absent = [name for name in needed if getattr(values, name) is None]
            if absent and size not in aim.changes:
                yield Problem(
                    ("sizes", size),
                    f"'{size}' does not say what it means for {prop.id}: {' and '.join(absent)}",
                    hint=f"Give it, or state the values of {prop.id} under its 'changes'.",
                    at_key=True,
                )
        if set(aim.changes) >= set(self.sizes):
            return
        if prop.test != "group":
            if aim.differ:
                yield Problem((*here, "differ"), f"{prop.id} is not about groups", at_key=True)
            return
        if not prop.parts or prop.level is None or prop.group is None:
            yield Problem(
                here, f"sizes are not defined for {prop.id}: it names no group, level and parts", at_key=True,
                hint="State its values under 'changes'.",
            )  # fmt: skip
            return
        own = {claim.start for claim, _ in prop.claims()} & {*model.latents, *model.claim_latents()}
        if own:
            yield Problem(
                here, f"sizes are not defined for {prop.id}: {', '.join(sorted(own))} is measured", at_key=True,
                hint="State its values under 'changes'.",
            )  # fmt: skip
        if not aim.differ:
            yield Problem(
                here, f"{prop.id} says that paths differ between groups; which ones?", at_key=True,
                hint="Name them: differ: {PC ~ NR: '-'}.",
            )  # fmt: skip
        paths = model.regressions()
        for text in aim.differ:
            pair = read_pair(text, "~")
            if pair is not None and pair not in paths:
                yield Problem(
                    (*here, "differ", text), f"the model has no path '{pair[0]} ~ {pair[1]}'", at_key=True,
                    hint="Its paths: " + ", ".join(f"{a} ~ {b}" for a, b in paths) + ".",
                )  # fmt: skip


def _needed(prop: Proposition) -> tuple[str, ...]:
    """Return the kinds of effects whose sizes a proposition needs."""
    if prop.test == "moderation":
        return ("f2",)
    return ("d", "f2") if prop.test == "group" else ("path",)
