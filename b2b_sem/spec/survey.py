"""The survey: scales, items, response formats, checks and background facts of one questionnaire."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from b2b_sem.errors import DataError, SpecError, did_you_mean
from b2b_sem.spec.base import Citation, Code, Document, Doi, Node, Problem, Text

__all__ = ["AttentionCheck", "Fact", "Group", "Item", "ResponseFormat", "Scale", "SurveySpec", "Validation"]

DRAFT_NOTICE = "draft, not validated"


class ResponseFormat(Node):
    """Numbered answers from `low` to `high`, and the codes that stand for "no answer"."""

    low: int = Field(default=1, description="Code of the lowest answer.")
    high: int = Field(description="Code of the highest answer.")
    anchors: dict[int, Text] = Field(default_factory=dict, description="Label of each labelled answer.")
    missing: dict[int, Text] | None = Field(
        default=None,
        description="Codes read as missing, with their meaning. A scale's own format inherits the survey's.",
    )

    @property
    def points(self) -> int:
        """Number of answers."""
        return self.high - self.low + 1

    def check(self, loc: tuple[str | int, ...], missing: dict[int, str]) -> Iterator[Problem]:
        """Yield what is wrong with this format; `missing` holds the codes that apply to it."""
        if self.high <= self.low:
            yield Problem((*loc, "high"), f"the highest answer {self.high} is not above the lowest {self.low}")
            return
        for code in self.anchors:
            if not self.low <= code <= self.high:
                yield Problem(
                    (*loc, "anchors", code),
                    f"anchor {code} is outside the answers {self.low} to {self.high}",
                    at_key=True,
                )
        for code, label in missing.items():
            if self.low <= code <= self.high:
                yield Problem(
                    (*loc, "missing", code),
                    f"missing code {code} ({label}) is also a valid answer ({self.low} to {self.high})",
                    hint="Choose a code outside the answers, such as -99.",
                    at_key=True,
                )


class Validation(Node):
    """Evidence that a scale was validated in this wording."""

    doi: Doi = Field(description="Publication that reports the validation of this wording.")
    note: Text | None = None


class Item(Node):
    """One question of a scale."""

    text: Text
    reverse: bool = Field(default=False, description="True if agreement means less of the construct.")
    facet: Code | None = None
    format: ResponseFormat | None = Field(default=None, description="Response format of this item alone.")
    adapted: Text | None = Field(default=None, description="How the wording was changed against its source.")
    dropped_because: Text | None = Field(
        default=None, description="Why the item is not used; the item stays on record."
    )

    @property
    def active(self) -> bool:
        """Whether the item is used."""
        return self.dropped_because is None


def _item_from_text(value: Any) -> Any:
    return {"text": value} if isinstance(value, str) else value


def _no_tag(value: Any) -> Any:
    """Give a clear message for ``validated: true``, which says who but not where."""
    if value is True:
        raise ValueError("'validated: true' is not enough: give the publication as 'validated: {doi: 10....}'")
    return None if value is False else value


class Scale(Node):
    """The items that measure one construct."""

    name: Text
    definition: Text | None = None
    sources: tuple[Citation, ...] = ()
    note: Text | None = None
    validated: Annotated[
        Validation | None, BeforeValidator(_no_tag, json_schema_input_type=Literal[False] | Validation)
    ] = Field(default=None, description="false, or the publication that validated this wording.")
    facets: dict[Code, Text] = Field(default_factory=dict, description="Facet code -> name.")
    format: ResponseFormat | None = Field(default=None, description="Response format of this scale alone.")
    items: dict[Code, Annotated[Item, BeforeValidator(_item_from_text, json_schema_input_type=str | Item)]]


class AttentionCheck(Node):
    """An item with one correct answer, named in its text."""

    text: Text
    answer: int
    after: Code | None = Field(default=None, description="Item after which the check is shown.")
    format: ResponseFormat | None = None


class Fact(Node):
    """A background variable of the respondent, the firm or the purchase."""

    label: Text
    type: Literal["categorical", "number", "text"]
    question: Text | None = None
    categories: dict[int | str, Text] = Field(default_factory=dict, description="Code -> label.")
    unit: Text | None = None
    minimum: float | None = None
    maximum: float | None = None
    correct: int | str | None = Field(default=None, description="Right answer of a knowledge or recall question.")
    note: Text | None = None


class Group(Node):
    """A split of the respondents by one fact that is categorical or text."""

    fact: Code
    label: Text
    levels: dict[Code, tuple[int | str, ...]] = Field(
        default_factory=dict,
        description="Group -> categories (or texts) of the fact that belong to it. Default: each is a group.",
    )
    minimum: Annotated[int, Field(ge=2)] | None = Field(
        default=None, description="Groups with fewer respondents are left out of comparisons, or joined (rest)."
    )
    rest: Text | None = Field(
        default=None, description="Name of the group that takes up all groups with fewer respondents than the minimum."
    )


class SurveySpec(Document):
    """A survey instrument.

    Errors that a single field cannot show (codes used twice, unknown facets, answers outside the format, ...) come
    from :meth:`problems`, which the loader turns into messages with file, line and column.
    """

    KIND: ClassVar[str] = "survey"

    kind: Literal["survey"] = Field(description="Write 'kind: survey'.")
    description: Text | None = None
    language: Text = "en"
    citation: tuple[Citation, ...] = ()
    note: Text | None = None
    format: ResponseFormat = Field(description="Response format of all scales that state no own.")
    recall: Text | None = Field(default=None, description="Situation the respondent is asked to think of.")
    placeholders: dict[Code, Text] = Field(
        default_factory=dict, description="Text piped into items as {name}, and what stands there."
    )
    scales: dict[Code, Scale]
    marker: Code | None = Field(
        default=None, description="Scale unrelated to the topic, for checks of common method variance."
    )
    attention_checks: dict[Code, AttentionCheck] = Field(default_factory=dict)
    facts: dict[Code, Fact] = Field(default_factory=dict)
    groups: dict[Code, Group] = Field(default_factory=dict)

    # ---- questions asked of a survey -------------------------------------------------------------------------------

    def scale(self, code: str) -> Scale:
        """Return the scale called `code`; an unknown code raises :class:`SpecError` with the closest one."""
        if code not in self.scales:
            raise self.error(
                ("scales",),
                f"the survey '{self.id}' has no scale '{code}'.{did_you_mean(code, self.scales)}",
                hint="Its scales: " + ", ".join(self.scales),
            )
        return self.scales[code]

    def items(self, scale: str | None = None, *, active_only: bool = True) -> tuple[str, ...]:
        """Return the item codes of one scale, or of all scales, in the order of the file."""
        scales = self.scales.values() if scale is None else (self.scale(scale),)
        return tuple(code for s in scales for code, item in s.items.items() if item.active or not active_only)

    def item(self, code: str) -> Item:
        """Return the item called `code`; an unknown code raises :class:`SpecError` with the closest one."""
        return self.scales[self.scale_of(code)].items[code]

    def scale_of(self, item: str) -> str:
        """Return the code of the scale that holds `item`."""
        for code, scale in self.scales.items():
            if item in scale.items:
                return code
        known = self.items(active_only=False)
        raise self.error(("scales",), f"the survey '{self.id}' has no item '{item}'.{did_you_mean(item, known)}")

    def reverse_items(self, scale: str | None = None) -> tuple[str, ...]:
        """Return the active items that are reverse coded."""
        return tuple(code for code in self.items(scale) if self.item(code).reverse)

    def facet_items(self, scale: str) -> dict[str, tuple[str, ...]]:
        """Return facet code -> active item codes of one scale, in the order in which the facets are declared."""
        spec = self.scale(scale)
        return {
            facet: tuple(code for code, item in spec.items.items() if item.active and item.facet == facet)
            for facet in spec.facets
        }

    def format_of(self, item: str) -> ResponseFormat:
        """Return the response format that applies to an item or attention check, with its missing codes filled in."""
        if item in self.attention_checks:
            own: tuple[ResponseFormat | None, ...] = (self.attention_checks[item].format,)
        else:
            scale = self.scales[self.scale_of(item)]
            own = (scale.items[item].format, scale.format)
        chosen = next((f for f in own if f is not None), self.format)
        if chosen.missing is not None:
            return chosen
        inherited = next((f.missing for f in (*own, self.format) if f is not None and f.missing is not None), {})
        return chosen.model_copy(update={"missing": inherited})

    def range_of(self, item: str) -> tuple[int, int]:
        """Return the lowest and the highest valid answer of an item."""
        form = self.format_of(item)
        return form.low, form.high

    def missing_codes(self, item: str) -> tuple[int, ...]:
        """Return the codes that are read as missing for an item, sorted."""
        return tuple(sorted(self.format_of(item).missing or {}))

    def split(self, name: str) -> Group:
        """Return how a group of the survey, or a fact that is categorical or text, splits the respondents.

        The groups of a fact are called like the labels of its categories. Those of a text are not known beforehand:
        the levels are then empty.

        Raises
        ------
        DataError
            For a name that the survey does not have, and for facts that are numbers.
        """
        if name not in self.groups and name not in self.facts:
            known = dict.fromkeys([*self.groups, *self.facts])
            raise DataError(
                f"the survey '{self.id}' has no group or fact '{name}'.{did_you_mean(name, known)}",
                hint="it has " + ", ".join(known),
            )
        group = self.groups.get(name) or Group(fact=name, label=self.facts[name].label)
        fact = self.facts[group.fact]
        if fact.type == "number":
            raise DataError(f"'{name}' is a number: it names no groups", hint="use a categorical fact")
        if group.levels or not fact.categories:
            return group
        levels: dict[str, tuple[int | str, ...]] = {}
        for code, label in fact.categories.items():
            levels[label] = (*levels.get(label, ()), code)
        return group.model_copy(update={"levels": levels})

    def draft_scales(self) -> tuple[str, ...]:
        """Return the scales whose wording was not validated in a publication."""
        return tuple(code for code, scale in self.scales.items() if scale.validated is None)

    @property
    def notice(self) -> str | None:
        """``"draft, not validated"`` while any scale lacks the DOI of its validation, else None."""
        return DRAFT_NOTICE if self.draft_scales() else None

    # ---- rules -----------------------------------------------------------------------------------------------------

    def problems(self) -> Iterator[Problem]:
        """Yield what is wrong in this survey, with locations."""
        yield from self.format.check(("format",), self.format.missing or {})
        if not self.scales:
            yield Problem(("scales",), "the survey has no scales")
        yield from self._code_problems()
        for code, scale in self.scales.items():
            yield from self._scale_problems(code, scale)
        if self.marker is not None and self.marker not in self.scales:
            yield Problem(("marker",), f"there is no scale '{self.marker}'.{did_you_mean(self.marker, self.scales)}")
        for code, check in self.attention_checks.items():
            yield from self._check_problems(code, check)
        for code, fact in self.facts.items():
            yield from _fact_problems(code, fact)
        for code, group in self.groups.items():
            yield from self._group_problems(code, group)

    def _code_problems(self) -> Iterator[Problem]:
        """Every column of the data file must have one meaning, and a latent may not be called like a column."""
        owner: dict[str, str] = {}
        for scale_code, scale in self.scales.items():
            for code in scale.items:
                if code in owner:
                    yield Problem(
                        ("scales", scale_code, "items", code),
                        f"item code '{code}' is already used in scale {owner[code]}",
                        hint="Item codes are column names: each must be unique in the survey.",
                        at_key=True,
                    )
                else:
                    owner[code] = scale_code
        for section, codes in (("attention_checks", self.attention_checks), ("facts", self.facts)):
            for code in codes:
                if code in owner:
                    where = f"as an item of scale {owner[code]}" if owner[code] in self.scales else f"in {owner[code]}"
                    yield Problem((section, code), f"code '{code}' is already used {where}", at_key=True)
                owner.setdefault(code, section)
        for code in self.scales:
            if code in owner:
                yield Problem(
                    ("scales", code), f"scale code '{code}' is also the code of a column", at_key=True,
                    hint="By convention scales are upper case (NR) and items lower case (nr1).",
                )  # fmt: skip

    def _scale_problems(self, code: str, scale: Scale) -> Iterator[Problem]:
        loc = ("scales", code)
        if not scale.items:
            yield Problem((*loc, "items"), f"scale {code} has no items")
        elif not any(item.active for item in scale.items.values()):
            yield Problem(
                (*loc, "items"),
                f"scale {code} has no active items: all of them are dropped",
                hint="Remove 'dropped_because' from the items that are used.",
            )
        if scale.format is not None:
            yield from scale.format.check((*loc, "format"), scale.format.missing or self.format.missing or {})
        for item_code, item in scale.items.items():
            at = (*loc, "items", item_code)
            if item.facet is not None and item.facet not in scale.facets:
                listing = ", ".join(scale.facets) or "none"
                yield Problem(
                    (*at, "facet"),
                    f"scale {code} has no facet '{item.facet}'.{did_you_mean(item.facet, scale.facets)}",
                    hint=f"Facets of {code}: {listing}.",
                )
            if item.format is not None:
                yield from item.format.check((*at, "format"), self.format_of(item_code).missing or {})
            for name in _placeholders(item.text):
                if name not in self.placeholders:
                    yield Problem(
                        (*at, "text"),
                        f"item {item_code} pipes in {{{name}}}, which is not declared."
                        f"{did_you_mean(name, self.placeholders)}",
                        hint=f"Add '{name}' to placeholders.",
                    )
        for facet, members in self.facet_items(code).items():
            if not members:
                yield Problem(
                    (*loc, "facets", facet),
                    f"facet '{facet}' of scale {code} has no active item",
                    at_key=True,
                    weak=True,
                )

    def _check_problems(self, code: str, check: AttentionCheck) -> Iterator[Problem]:
        loc = ("attention_checks", code)
        if check.format is not None:
            yield from check.format.check((*loc, "format"), self.format_of(code).missing or {})
        low, high = self.range_of(code)
        if not low <= check.answer <= high:
            yield Problem((*loc, "answer"), f"the correct answer {check.answer} is outside the answers {low} to {high}")
        known = self.items(active_only=False)
        if check.after is not None and check.after not in known:
            yield Problem((*loc, "after"), f"there is no item '{check.after}'.{did_you_mean(check.after, known)}")

    def _group_problems(self, code: str, group: Group) -> Iterator[Problem]:
        loc = ("groups", code)
        fact = self.facts.get(group.fact)
        if fact is None:
            yield Problem((*loc, "fact"), f"there is no fact '{group.fact}'.{did_you_mean(group.fact, self.facts)}")
            return
        if fact.type == "number":
            yield Problem((*loc, "fact"), f"fact '{group.fact}' is a number, so it cannot define groups")
            return
        if len(group.levels) < 2 and "levels" in group.model_fields_set:
            yield Problem((*loc, "levels"), f"group '{code}' needs at least two levels")
        if group.rest is not None and group.minimum is None:
            yield Problem(
                (*loc, "rest"), "'rest' takes up small groups: say with 'minimum' which groups are small", at_key=True
            )
        if group.rest is not None and group.rest in self.split(code).levels:
            yield Problem((*loc, "rest"), f"'{group.rest}' is already a level of group '{code}'")
        seen: dict[int | str, str] = {}
        for level, values in group.levels.items():
            for position, value in enumerate(values):
                at = (*loc, "levels", level, position)
                if value not in fact.categories and fact.type == "categorical":
                    listing = ", ".join(str(c) for c in fact.categories)
                    yield Problem(at, f"fact '{group.fact}' has no category {value!r}", hint=f"Categories: {listing}.")
                elif value in seen:
                    yield Problem(at, f"category {value!r} is already in level '{seen[value]}'")
                seen.setdefault(value, level)


def _placeholders(text: str) -> tuple[str, ...]:
    """Return the names in braces of an item text."""
    return tuple(part.split("}", 1)[0] for part in text.split("{")[1:] if "}" in part)


def _fact_problems(code: str, fact: Fact) -> Iterator[Problem]:
    loc = ("facts", code)
    if fact.type == "categorical" and len(fact.categories) < 2:
        yield Problem(loc, f"categorical fact '{code}' needs at least two categories", at_key=True)
    if fact.type != "categorical" and fact.categories:
        yield Problem(
            (*loc, "categories"), f"fact '{code}' is of type {fact.type} and cannot have categories", at_key=True
        )
    if fact.type != "number" and (fact.minimum is not None or fact.maximum is not None):
        yield Problem(loc, f"fact '{code}' is not a number and cannot have a minimum or maximum", at_key=True)
    if fact.minimum is not None and fact.maximum is not None and fact.maximum < fact.minimum:
        yield Problem((*loc, "maximum"), f"the maximum {fact.maximum:g} is below the minimum {fact.minimum:g}")
    if fact.correct is not None and fact.correct not in fact.categories:
        yield Problem((*loc, "correct"), f"the correct answer {fact.correct!r} is not one of the categories")


def require_survey(survey: SurveySpec | None, reason: str) -> SurveySpec:
    """Return `survey`, or raise a :class:`SpecError` that says why one is needed."""
    if survey is None:
        raise SpecError(f"a survey is needed: {reason}", hint="Name it in the model file ('survey: <id>') or pass it.")
    return survey
