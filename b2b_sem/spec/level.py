"""Groups within a population: what is different in some levels of a split of the respondents."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Annotated

from pydantic import Field

from b2b_sem.errors import B2BSemError, did_you_mean
from b2b_sem.spec.base import Code, Location, Node, Problem, Text
from b2b_sem.spec.moderation import Product, read_product
from b2b_sem.spec.statement import read_pair
from b2b_sem.spec.survey import SurveySpec

__all__ = [
    "Correlation",
    "LevelValues",
    "PopulationGroups",
    "Share",
    "count_problems",
    "pair_problems",
    "product_problems",
    "threshold_problems",
    "unknown",
]

Correlation = Annotated[float, Field(gt=-1, lt=1)]
Share = Annotated[float, Field(ge=0, le=1)]
# more standard deviations than this are a slip of the pen: nearly all answers would be the same
Shift = Annotated[float, Field(ge=-3, le=3)]


class LevelValues(Node):
    """What differs in one level from the reference level; everything that is not named is the same.

    Within each level every latent has variance 1, paths and correlations are standardized, and item residuals are those
    of the reference level. Loadings and intercepts are therefore equal in all levels, unless they are named here.
    """

    means: dict[Code, Shift] = Field(
        default_factory=dict,
        description="Latent -> its mean (also of outcomes: the total mean, not the intercept) minus that of the "
        "reference level, in standard deviations.",
    )
    paths: dict[Text, float] = Field(default_factory=dict, description="'PC ~ NR' -> standardized path.")
    correlations: dict[Text, Correlation] = Field(
        default_factory=dict, description="'NR ~~ PE' -> correlation of exogenous latents."
    )
    loadings: dict[Code, Correlation] = Field(
        default_factory=dict, description="Item (as scored) -> loading, in the metric of the reference level."
    )
    intercepts: dict[Code, Shift] = Field(
        default_factory=dict,
        description="Item (as scored) -> shift of its response, in standard deviations of the reference level.",
    )
    interactions: dict[Text, float] = Field(
        default_factory=dict, description="'RR ~ PC:PX' -> effect of a product that the file names, too."
    )
    thresholds: dict[Code, tuple[float, ...]] = Field(
        default_factory=dict,
        description="Item (as scored) -> increasing cut points of its response, in the metric of the reference level.",
    )


class PopulationGroups(Node):
    """Levels of one split that differ in some values; a respondent's level follows from the fact that is drawn.

    The values of the file are those of the reference level, of levels that are not named, and of respondents who belong
    to no level.
    """

    split: Code = Field(description="Group of the survey, or a fact that is categorical or text.")
    reference: int | str = Field(description="Level that the values of the file are about.")
    levels: Mapping[int | str, LevelValues] = Field(
        description="Level (of a fact: its category or label) -> what differs from the reference."
    )

    def name_of(self, level: str, codes: tuple[int | str, ...]) -> int | str | None:
        """Return how `levels` calls a level of these categories: by itself, or by its only category; else None."""
        names = (level, *codes) if len(codes) == 1 else (level,)
        return next((name for name in names if name in self.levels), None)

    def problems(self) -> Iterator[Problem]:
        """Yield what is wrong here without looking at a survey or model."""
        if not self.levels:
            yield Problem(("groups", "levels"), "no level differs from the reference: name at least one", at_key=True)
        for level, values in self.levels.items():
            at: Location = ("groups", "levels", level)
            if level == self.reference:
                yield Problem(
                    at, f"'{level}' is the reference level: its values are those of the file", at_key=True,
                    hint="Name the levels that differ from it.",
                )  # fmt: skip
            yield from pair_problems((*at, "paths"), "~", values.paths, "PC ~ NR")
            yield from pair_problems((*at, "correlations"), "~~", values.correlations, "NR ~~ PE")
            yield from product_problems((*at, "interactions"), values.interactions)
            for item, cuts in values.thresholds.items():
                yield from threshold_problems((*at, "thresholds", item), cuts)

    def problems_with(
        self,
        survey: SurveySpec | None,
        shares: Mapping[str, Mapping[int | str, float] | None],
        latents: Iterable[str],
        items: Iterable[str],
        products: Iterable[Product],
        path_problems: Callable[[Location, Mapping[str, float]], Iterator[Problem]],
        correlation_problems: Callable[[Location, Mapping[str, float]], Iterator[Problem]],
    ) -> Iterator[Problem]:
        """Yield what does not fit together with the survey, the facts that are drawn, and the model.

        Parameters
        ----------
        survey : SurveySpec or None
        shares : mapping of str to mapping or None
            Facts that are drawn, with the shares of their categories.
        latents, items : iterable of str
            Those of the population.
        products : iterable of Product
            Those that the file gives a value.
        path_problems, correlation_problems : callable
            What is wrong with values of this kind at a place of the file.
        """
        if survey is None:
            yield Problem(("groups",), "groups are told apart by the facts of a survey, and there is none", at_key=True)
            return
        yield from self._split_problems(survey, shares)
        for level, values in self.levels.items():
            at: Location = ("groups", "levels", level)
            yield from unknown((*at, "means"), values.means, latents, "latent")
            yield from unknown((*at, "loadings"), values.loadings, items, "item")
            yield from unknown((*at, "intercepts"), values.intercepts, self.with_intercept(latents, items), "item")
            yield from unknown((*at, "thresholds"), values.thresholds, items, "item")
            for item, cuts in values.thresholds.items():
                if item in survey.items(active_only=False):
                    yield from count_problems((*at, "thresholds", item), survey, item, cuts)
            for text in values.interactions:
                product = read_product(text)
                if product is not None and product not in products:
                    yield Problem(
                        (*at, "interactions", text),
                        f"the population has no product '{text}'",
                        hint="Give its value in the reference level under 'values: interactions', too; 0 is a value.",
                        at_key=True,
                    )
            yield from path_problems((*at, "paths"), values.paths)
            yield from correlation_problems((*at, "correlations"), values.correlations)

    def with_intercept(self, latents: Iterable[str], items: Iterable[str]) -> tuple[str, ...]:
        """Return the variables whose intercepts a level may name."""
        return tuple(items)

    def _split_problems(
        self, survey: SurveySpec, shares: Mapping[str, Mapping[int | str, float] | None]
    ) -> Iterator[Problem]:
        at: Location = ("groups", "split")
        try:
            split = survey.split(self.split)
        except B2BSemError as error:
            yield Problem(at, error.message, error.hint)
            return
        drawn = shares.get(split.fact)
        if drawn is None:
            yield Problem(
                at,
                f"the groups of '{self.split}' follow from the fact '{split.fact}', which is not drawn",
                hint=f"Give its shares: facts: {{{split.fact}: {{shares: ...}}}}.",
            )
            return
        # texts are their own levels
        levels = split.levels or {str(text): (text,) for text in drawn}
        seen: dict[str, int | str] = {}
        named: list[tuple[Location, int | str, bool]] = [(("groups", "reference"), self.reference, False)]
        named += [(("groups", "levels", level), level, True) for level in self.levels]
        for place, name, at_key in named:
            own = [level for level, codes in levels.items() if name == level or (name,) == codes]
            if not own:
                yield Problem(
                    place,
                    f"'{self.split}' has no level '{name}'.{did_you_mean(str(name), levels)}",
                    hint="Its levels: " + ", ".join(levels) + ".",
                    at_key=at_key,
                )
                continue
            if own[0] in seen and seen[own[0]] != name:
                yield Problem(place, f"'{name}' is the same level as '{seen[own[0]]}'", at_key=at_key)
            seen.setdefault(own[0], name)
            if not sum(drawn.get(code, 0.0) for code in levels[own[0]]):
                yield Problem(
                    place, f"no respondent is in the level '{name}': the shares of '{split.fact}' give it nothing",
                    at_key=at_key,
                )  # fmt: skip


def pair_problems(at: Location, op: str, values: Mapping[str, float], example: str) -> Iterator[Problem]:
    """Yield what is wrong with the names of values that belong to two variables each."""
    seen: dict[tuple[str, str], str] = {}
    for text in values:
        pair = read_pair(text, op)
        if pair is None:
            yield Problem((*at, text), f"cannot read '{text}': write two names like '{example}'", at_key=True)
        elif pair[0] == pair[1]:
            yield Problem((*at, text), f"'{text}' names the same variable twice", at_key=True)
        elif pair in seen:
            yield Problem((*at, text), f"'{text}' states the same value as '{seen[pair]}'", at_key=True)
        else:
            seen[pair] = text


def product_problems(at: Location, values: Iterable[str]) -> Iterator[Problem]:
    """Yield what is wrong with the names of products."""
    seen: dict[Product, str] = {}
    for text in values:
        product = read_product(text)
        if product is None:
            yield Problem(
                (*at, text), f"cannot read '{text}': write an outcome and a product like 'RR ~ PC:PX'", at_key=True
            )
        elif product in seen:
            yield Problem((*at, text), f"'{text}' states the same value as '{seen[product]}'", at_key=True)
        else:
            seen[product] = text


def threshold_problems(at: Location, cuts: Sequence[float]) -> Iterator[Problem]:
    """Yield thresholds that do not increase."""
    for position in range(1, len(cuts)):
        if cuts[position] <= cuts[position - 1]:
            yield Problem((*at, position), f"thresholds must increase: {cuts[position]:g} does not")


def count_problems(at: Location, survey: SurveySpec, item: str, cuts: Sequence[float]) -> Iterator[Problem]:
    """Yield that an item needs another number of thresholds."""
    low, high = survey.range_of(item)
    if len(cuts) != high - low:
        yield Problem(at, f"{len(cuts)} thresholds, but {item} needs {high - low} (one less than its answers)")


def unknown(loc: Location, given: Iterable[str], known: Iterable[str], noun: str) -> Iterator[Problem]:
    """Yield one finding for each name that is not known."""
    names = tuple(known)
    for name in given:
        if name not in names:
            yield Problem((*loc, name), f"there is no {noun} '{name}'.{did_you_mean(name, names)}", at_key=True)
