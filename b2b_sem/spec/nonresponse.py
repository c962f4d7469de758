"""Answers that are not there: by chance, depending on what was answered, on the answer itself, or by design."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Annotated

from pydantic import Field

from b2b_sem.errors import did_you_mean
from b2b_sem.spec.base import Code, Location, Node, Problem

__all__ = ["Mechanism", "Missing", "PlannedMissing", "StraightLining"]

# beyond this a predictor all but decides who answers
Slope = Annotated[float, Field(ge=-5, le=5)]


class Mechanism(Node):
    """Why some items have no answer.

    The log odds of a missing answer are ``a + sum_k slope_k z_k``, with z_k a predictor (items as scored) standardized
    in the population and a such that the asked rate comes out. Without slopes answers are missing completely at random,
    with ``depends_on`` at random, with ``on_itself`` not at random.
    """

    items: tuple[Code, ...] = Field(min_length=1, description="Items, or scales that stand for all their items.")
    rate: Annotated[float, Field(gt=0, lt=1)] = Field(description="Share of missing answers of each of these items.")
    depends_on: dict[Code, Slope] = Field(
        default_factory=dict, description="Item or fact -> change of the log odds by one standard deviation of it."
    )
    on_itself: Slope = Field(
        default=0.0, description="Change of the log odds by one standard deviation of the answer that is missing."
    )
    together: bool = Field(
        default=False, description="Whether a respondent leaves out all of these items or none, as in a break-off."
    )


class PlannedMissing(Node):
    """Sets of items of which each respondent is asked only some, chosen by chance; all other items are asked always."""

    sets: dict[Code, tuple[Code, ...]] = Field(
        min_length=2, description="Name of a set -> items, or scales that stand for all their items."
    )
    leave_out: Annotated[int, Field(ge=1)] = Field(
        default=1, description="Number of sets that a respondent is not asked; 1 of 3 is the three-form design."
    )


class Missing(Node):
    """What is missing beyond ``response: missing_rate``."""

    mechanisms: tuple[Mechanism, ...] = ()
    planned: PlannedMissing | None = None

    def problems_with(
        self,
        at: Location,
        resolve: Callable[[str], tuple[str, ...]],
        known: Iterable[str],
        facts: Mapping[str, bool],
        rate: float,
    ) -> Iterator[Problem]:
        """Yield what does not fit together with the population.

        Parameters
        ----------
        at : Location
            Place of this section.
        resolve : callable
            The items of the population that a name stands for; none if it is not known.
        known : iterable of str
            Names to suggest.
        facts : mapping of str to bool
            Facts that are drawn, and whether they are numbers.
        rate : float
            Share of all answers that are missing by chance anyway.
        """
        names = tuple(known)
        holes = {item for mechanism in self.mechanisms for name in mechanism.items for item in resolve(name)}
        for own in () if self.planned is None else self.planned.sets.values():
            holes |= {item for name in own for item in resolve(name)}
        for k, mechanism in enumerate(self.mechanisms):
            here: Location = (*at, "mechanisms", k)
            yield from _unknown((*here, "items"), mechanism.items, resolve, names)
            if mechanism.on_itself and mechanism.together:
                yield Problem(
                    (*here, "together"),
                    "items that are left out together cannot each depend on their own answer",
                    hint="Take out 'together' or 'on_itself'.",
                )
            for name in mechanism.depends_on:
                place: Location = (*here, "depends_on", name)
                if name in facts:
                    if not facts[name]:
                        yield Problem(place, f"the categories of fact '{name}' are not numbers", at_key=True)
                elif resolve(name) != (name,):
                    near = did_you_mean(name, (*names, *facts))
                    yield Problem(
                        place, f"'{name}' is neither an item of the population nor a fact that is drawn.{near}",
                        at_key=True,
                    )  # fmt: skip
                elif name in holes or rate:
                    yield Problem(
                        place,
                        f"missing answers depend on '{name}', which is missing itself for some: that is not at random",
                        hint="Let it depend on items or facts that everybody answers"
                        + (", and give missing rates under 'mechanisms' instead of 'missing_rate'." if rate else "."),
                        at_key=True,
                    )
        yield from self._planned_problems((*at, "planned"), resolve, names)

    def _planned_problems(
        self, at: Location, resolve: Callable[[str], tuple[str, ...]], names: tuple[str, ...]
    ) -> Iterator[Problem]:
        if self.planned is None:
            return
        seen: dict[str, str] = {}
        for name, own in self.planned.sets.items():
            here: Location = (*at, "sets", name)
            yield from _unknown(here, own, resolve, names)
            for item in dict.fromkeys(item for code in own for item in resolve(code)):
                if item in seen:
                    yield Problem(here, f"'{item}' stands in the set '{seen[item]}', too", at_key=True)
                seen.setdefault(item, name)
        if self.planned.leave_out >= len(self.planned.sets):
            yield Problem((*at, "leave_out"), f"there are {len(self.planned.sets)} sets: at least one must be asked")


class StraightLining(Node):
    """Respondents who at some point give the same answer to one question after the other, reversed or not."""

    share: Annotated[float, Field(gt=0, lt=1)] = Field(description="Share of respondents.")
    length: Annotated[int, Field(ge=2)] | None = Field(
        default=None, description="Number of questions with the same answer, attention checks included; default all."
    )


def _unknown(
    at: Location, given: Iterable[str], resolve: Callable[[str], tuple[str, ...]], names: tuple[str, ...]
) -> Iterator[Problem]:
    for k, name in enumerate(given):
        if not resolve(name):
            yield Problem((*at, k), f"the population has no item or scale '{name}'.{did_you_mean(name, names)}")
