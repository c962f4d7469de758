"""A population in the metric of the answers: raw loadings, paths, variances and means, as in lavaan or Mplus text.

What the file says of a variance is either the whole (``variances``) or what predictors leave of it
(``residual_variances``), and of a mean either the whole (``means``) or what predictors leave of it (``intercepts``);
the other one of the two follows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Literal

from pydantic import Field

from b2b_sem.errors import did_you_mean
from b2b_sem.spec.base import Code, Location, Problem, Text
from b2b_sem.spec.level import LevelValues, PopulationGroups, pair_problems, unknown
from b2b_sem.spec.model import ModelSpec
from b2b_sem.spec.simulation import Loadings, PopulationValues, SimulationSpec
from b2b_sem.spec.statement import read_pair
from b2b_sem.spec.survey import SurveySpec

__all__ = ["DEFAULT", "RawGroups", "RawLevel", "RawLoadings", "RawSimulation", "RawValues"]

Variance = Annotated[float, Field(gt=0)]
#: Stands for all items that are not named.
DEFAULT = "default"
_PAIRS = (("correlations", "covariances"), ("residual_correlations", "residual_covariances"))
_WHOLE = (("variances", "residual_variances", "variance"), ("means", "intercepts", "mean"))


class RawLoadings(Loadings):
    """Raw loadings of the items as scored: item, else scale, else default."""

    default: float | None = Field(default=None, description="All items for which nothing else is named.")
    reliability: dict[Code, Annotated[float, Field(gt=0, lt=1)]] = Field(
        default_factory=dict,
        description="Latent -> reliability of the sum of its items: their residual variances, all equal, follow.",
    )
    scales: dict[Code, float] = Field(default_factory=dict, description="Latent -> loading of all its items.")
    items: dict[Code, float] = Field(default_factory=dict)


class RawValues(PopulationValues):
    """Population values in the metric of the answers. 'default' stands for all items that are not named."""

    loadings: RawLoadings
    variances: dict[Code, Variance] = Field(
        default_factory=dict, description="Latent, item or 'default' -> its whole variance."
    )
    residual_variances: dict[Code, Variance] = Field(
        default_factory=dict,
        description="Outcome, item or 'default' -> what its predictors, or latents, leave of the variance.",
    )
    covariances: dict[Text, float] = Field(
        default_factory=dict, description="'NR ~~ PE' -> covariance of exogenous latents. Pairs not named: 0."
    )
    residual_covariances: dict[Text, float] = Field(
        default_factory=dict, description="'EQ ~~ DE' or 'nr1 ~~ nr2' -> covariance of the residuals. Others: 0."
    )
    means: dict[Code, float] = Field(
        default_factory=dict,
        description="Latent, item or 'default' -> its whole mean. Items not named: the midpoint of their answers.",
    )
    intercepts: dict[Code, float] = Field(
        default_factory=dict,
        description="Latent, item or 'default' -> what its predictors leave of the mean. Latents not named: 0.",
    )
    interactions: dict[Text, float] = Field(
        default_factory=dict,
        description="'RR ~ PC:PX' -> raw effect of a product of deviations from the means: of the model, or of a "
        "proposition on moderation, whose moderator is then in the population.",
    )


class RawLevel(LevelValues):
    """What differs in one level from the reference level, in the metric of the answers.

    Items keep loadings, intercepts and residual variances of the reference level, latents what the file says of them,
    unless they are named here.
    """

    means: dict[Code, float] = Field(default_factory=dict, description="Latent -> its whole mean in this level.")
    loadings: dict[Code, float] = Field(default_factory=dict, description="Item (as scored) -> loading.")
    intercepts: dict[Code, float] = Field(
        default_factory=dict, description="Latent, or item (as scored) -> what predictors leave of its mean."
    )
    variances: dict[Code, Variance] = Field(default_factory=dict, description="Latent -> its whole variance.")
    residual_variances: dict[Code, Variance] = Field(
        default_factory=dict, description="Outcome or item -> what its predictors, or latents, leave of the variance."
    )
    covariances: dict[Text, float] = Field(
        default_factory=dict, description="'NR ~~ PE' -> covariance of exogenous latents."
    )


class RawGroups(PopulationGroups):
    """Levels of one split that differ in some raw values."""

    levels: Mapping[int | str, RawLevel] = Field(
        description="Level (of a fact: its category or label) -> what differs from the reference."
    )

    def with_intercept(self, latents: Iterable[str], items: Iterable[str]) -> tuple[str, ...]:
        """Return the variables whose intercepts a level may name."""
        return (*latents, *items)


class RawSimulation(SimulationSpec):
    """A population: a model of the survey's constructs with values in the metric of the answers."""

    standardized: Literal[False] = Field(  # type: ignore[assignment]
        description="false: all values are in the metric of the answers."
    )
    values: RawValues
    groups: RawGroups | None = Field(default=None, description="What is different in some groups.")

    # ---- rules -----------------------------------------------------------------------------------------------------

    def problems(self) -> Iterator[Problem]:
        """Yield what is wrong in this population without looking at the model."""
        yield from super().problems()
        yield from _contradictions(("values",), self.values)
        for level, own in () if self.groups is None else self.groups.levels.items():
            yield from _contradictions(("groups", "levels", level), own)
        if self.values.method is not None and self.values.loadings.reliability:
            yield Problem(
                ("values", "loadings", "reliability"),
                "residual variances do not follow from reliabilities beside common method variance",
                "Give residual variances.",
                at_key=True,
            )
        for at, shape in self._shapes():
            for key in ("mean", "sd"):
                if getattr(shape, key) is not None:
                    yield Problem(
                        (*at, key),
                        f"'{key}': where raw answers lie follows from the intercepts and variances of the items",
                        "Take it out.",
                        at_key=True,
                    )

    def problems_with(self, model: ModelSpec, survey: SurveySpec | None) -> Iterator[Problem]:
        """Yield what does not fit together with the model and the survey."""
        first = list(super().problems_with(model, survey))
        yield from first
        if first:
            return
        terms = self.indicators(model, survey)
        latents = tuple(terms)
        items = tuple(dict.fromkeys(i for own in terms.values() for i in own if i not in terms))
        facets = {i for own in terms.values() for i in own if i in terms}
        outcomes = {outcome for outcome, _ in self.regressions(model)} | facets
        at: Location = ("values",)
        for section in ("variances", "residual_variances", "means", "intercepts"):
            yield from unknown((*at, section), getattr(self.values, section), (*latents, *items, DEFAULT), "variable")
        yield from self._residual_problems(
            (*at, "residual_variances"), self.values.residual_variances, latents, outcomes
        )
        yield from self._correlation_problems((*at, "covariances"), self.values.covariances, model)
        for text in self.values.residual_covariances:
            for name in read_pair(text, "~~") or ():
                here = (*at, "residual_covariances", text)
                if name not in items and name not in latents:
                    near = did_you_mean(name, (*items, *latents))
                    yield Problem(here, f"the model has no latent or item '{name}'.{near}", at_key=True)
                elif name in latents and name not in outcomes:
                    yield Problem(
                        here, f"'{name}' has no residual, as nothing in the model leads to it", at_key=True,
                        hint="Put the value under covariances.",
                    )  # fmt: skip
        for level, own in () if self.groups is None else self.groups.levels.items():
            place: Location = ("groups", "levels", level)
            yield from unknown((*place, "variances"), own.variances, latents, "latent")
            yield from unknown((*place, "residual_variances"), own.residual_variances, (*latents, *items), "variable")
            yield from self._residual_problems(
                (*place, "residual_variances"), own.residual_variances, latents, outcomes
            )
            yield from self._correlation_problems((*place, "covariances"), own.covariances, model)
        yield from self._absent_variances(latents, items, outcomes, terms)

    def _residual_problems(
        self, at: Location, given: Iterable[str], latents: Iterable[str], outcomes: set[str]
    ) -> Iterator[Problem]:
        for name in given:
            if name in latents and name not in outcomes:
                yield Problem(
                    (*at, name),
                    f"'{name}' has no residual, as nothing in the model leads to it",
                    "Put the value under variances.",
                    at_key=True,
                )

    def _absent_variances(
        self, latents: Iterable[str], items: Iterable[str], outcomes: set[str], terms: Mapping[str, list[str]]
    ) -> Iterator[Problem]:
        """Every latent and item needs a variance, whole or residual, and none both."""
        whole, left = self.values.variances, self.values.residual_variances
        solved = {i for latent in self.values.loadings.reliability for i in terms.get(latent, ())}
        if absent := [name for name in latents if name not in whole and name not in left]:
            some = [name for name in absent if name in outcomes]
            yield Problem(
                ("values",),
                f"no variance for {', '.join(absent)}",
                "Name it under 'variances'" + (", or what is left of it under 'residual_variances'." if some else "."),
                weak=True,
            )
        named = {*whole, *left, *solved}
        if DEFAULT not in named and (absent := [item for item in items if item not in named]):
            listing = ", ".join(absent[:5]) + (f" and {len(absent) - 5} more" if len(absent) > 5 else "")
            yield Problem(
                ("values",),
                f"no residual variance for {listing}",
                "Give a default under 'residual_variances'.",
                weak=True,
            )

    def _loading_problems(
        self, at: Location, model: ModelSpec, survey: SurveySpec | None, latents: Iterable[str]
    ) -> Iterator[Problem]:
        """Every item needs a loading; a reliability stands for residual variances, which must not be given, too."""
        given, terms = self.values.loadings, self.indicators(model, survey)
        pairs = (*self.values.residual_correlations, *self.values.residual_covariances)
        for latent in latents:
            items = model.items_of(latent, survey)
            absent = [item for item in items if item not in given.items]
            if given.default is None and latent not in given.scales and absent:
                yield Problem(at, f"no loading for {', '.join(absent)} of {latent}", "Give a default.", weak=True)
            if latent not in given.reliability:
                continue
            here: Location = (*at, "reliability", latent)
            others = {item for other, own in terms.items() if other != latent for item in own}
            named = [item for item in items if item in self.values.variances or item in self.values.residual_variances]
            if named:
                yield Problem(here, f"the variance of {named[0]} is given, too", at_key=True)
            elif any(name in terms for name in terms.get(latent, ())):
                yield Problem(
                    here,
                    f"{latent} is measured through facets: its reliability gives no residual variances",
                    at_key=True,
                )
            elif (shared := [item for item in items if item in others]) or any(
                set(read_pair(text, "~~") or ("",)) <= set(items) for text in pairs
            ):
                what = f"{shared[0]} has other latents, too" if shared else "its residuals correlate"
                yield Problem(
                    here, f"{what}: the reliability of {latent} gives no residual variances", at_key=True,
                    hint="Give residual variances.",
                )  # fmt: skip

    def _named(self) -> set[str]:
        """Return all names of latents and items that values are given for."""
        values, levels = self.values, () if self.groups is None else tuple(self.groups.levels.values())
        names = super()._named() | {*values.variances, *values.residual_variances, *values.means, *values.intercepts}
        for level in levels:
            names |= {*level.variances, *level.residual_variances}
        every: tuple[RawValues | RawLevel, ...] = (values, *levels)
        pairs = [read_pair(text, "~~") for own in every for text in own.covariances]
        pairs += [read_pair(text, "~~") for text in values.residual_covariances]
        return names.union(*(pair for pair in pairs if pair is not None))


def _contradictions(at: Location, values: RawValues | RawLevel) -> Iterator[Problem]:
    """Yield what is said twice: once as a whole, once as what is left of it, or once by its covariance."""
    for whole, left, noun in _WHOLE:
        for name in getattr(values, left):
            if name in getattr(values, whole):
                yield Problem(
                    (*at, left, name),
                    f"'{name}' stands under '{whole}', too: the one follows from the other",
                    f"Give the whole {noun} or what is left of it.",
                    at_key=True,
                )
    for correlations, covariances in _PAIRS:
        given = getattr(values, covariances, {})
        yield from pair_problems((*at, covariances), "~~", given, "NR ~~ PE")
        known = {frozenset(read_pair(text, "~~") or ()) for text in getattr(values, correlations, ())}
        for text in given:
            if (pair := read_pair(text, "~~")) is not None and frozenset(pair) in known:
                yield Problem(
                    (*at, covariances, text),
                    f"'{text}' stands under '{correlations}', too: give one of both",
                    at_key=True,
                )
