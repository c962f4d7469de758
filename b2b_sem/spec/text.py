"""A population that is lavaan text with a value for every parameter: no survey, answers are columns of numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field, PrivateAttr

from b2b_sem.errors import ModelSyntaxError, SpecError, Unsupported, did_you_mean
from b2b_sem.spec.base import Code, Document, Lines, Location, Node, Problem, Text
from b2b_sem.spec.distribution import Moments
from b2b_sem.spec.level import threshold_problems
from b2b_sem.spec.model import ModelSpec, model_from_lavaan
from b2b_sem.spec.partable import ParameterTable, build_table
from b2b_sem.spec.product import product_entries
from b2b_sem.spec.statement import read_pair, split_statements
from b2b_sem.spec.syntax import Entry, ParsedModel, parse_model

__all__ = ["TextPopulation", "TextValues", "free_text", "text_population"]

AnswerShare = Annotated[float, Field(gt=0, lt=1)]
Key = tuple[str, str, str]
#: What cuts a variable, or scales what is cut; no part of the population's moments.
_CUTS = ("|", "~*~")


class TextValues(Node):
    """lavaan text with values, and what its variables look like."""

    text: Lines | None = Field(default=None, description="lavaan text with a number for every parameter.")
    file: Text | None = Field(default=None, description="Instead: path of a file with this text.")
    values: dict[Text, float] = Field(
        default_factory=dict, description="'Y ~ X' -> value, instead of the one in the text (also =~ and ~~)."
    )
    skew: float | dict[Code, float] = Field(default=0.0, description="Skewness of all variables, or by variable.")
    kurtosis: float | dict[Code, float] = Field(
        default=0.0, description="Excess kurtosis of all variables, or by variable."
    )
    method: Literal["vale-maurelli", "independent"] = Field(
        default="vale-maurelli",
        description="vale-maurelli: polynomials of correlated normal variables; independent: sums of independent "
        "variables that are not normal.",
    )
    thresholds: dict[Code, tuple[float, ...]] = Field(
        default_factory=dict,
        description="Variable -> increasing points at which it is cut into answers 1, 2, ..., in its own metric.",
    )
    shares: dict[Code, tuple[AnswerShare, ...]] = Field(
        default_factory=dict, description="Variable -> how often each answer is given, from the lowest; they sum to 1."
    )
    missing_rate: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0, description="Share of numbers missing completely at random."
    )
    n: Annotated[int, Field(ge=2)] = Field(default=500, description="Number of rows if none is asked for.")
    seed: Annotated[int, Field(ge=0)] = Field(default=1, description="Seed if none is asked for.")


class TextPopulation(TextValues, Document):
    """A population that is lavaan text with values."""

    KIND: ClassVar[str] = "simulation"

    kind: Literal["simulation"] = Field(description="Write 'kind: simulation'.")
    description: Text | None = None

    _at: Location = PrivateAttr(())
    _read: bool = PrivateAttr(False)  # the text is that of the file that is named

    # ---- what a population with a survey has, too --------------------------------------------------------------------

    @property
    def facts(self) -> Mapping[str, object]:
        """Background facts: none."""
        return {}

    @property
    def survey_spec(self) -> None:
        """Survey: none."""
        return None

    @property
    def clusters(self) -> None:
        """Clusters of respondents: none."""
        return None

    @property
    def model_spec(self) -> ModelSpec:
        """The model of the text, its values taken out."""
        return model_from_lavaan(self.id, free_text(self.parsed()))

    def error(self, loc: Location, message: str, *, hint: str | None = None, at_key: bool = False) -> SpecError:
        """Return an error that names file and place; that of an entry of a Monte Carlo file, if it stands there."""
        return super().error((*self._at, *loc), message, hint=hint, at_key=at_key)

    def parsed(self) -> ParsedModel:
        """Return the statements of the text."""
        return parse_model(self.text or "")

    def table(self) -> ParameterTable:
        """Return the parameters with their values as fixed or starting values; thresholds are left out."""
        kept = [s for s in split_statements(self.text or "") if s.op not in _CUTS]
        table = build_table(parse_model("\n".join(map(str, kept))), meanstructure=True, fixed_x=False)
        given = self._overrides()
        rows = []
        for row in table.rows:
            value = given.get((row.lhs, row.op, row.rhs))
            if value is None and row.op == "~~":
                value = given.get((row.rhs, row.op, row.lhs))
            if value is not None:
                row = replace(row, start=value) if row.free else replace(row, value=value)
            rows.append(row)
        return replace(table, rows=tuple(rows))

    def cuts(self) -> dict[str, tuple[float, ...]]:
        """Return variable -> thresholds, of the text and of the section ``thresholds``."""
        out: dict[str, tuple[float, ...]] = {}
        for entry in self.parsed().entries:
            if entry.op == "|":
                out[entry.lhs] = (*out.get(entry.lhs, ()), _number(entry) or 0.0)
        return {name: tuple(sorted(points)) for name, points in out.items()} | self.thresholds

    def _overrides(self) -> dict[Key, float]:
        out: dict[Key, float] = {}
        for text, value in self.values.items():
            for op in ("=~", "~~", "~"):
                if (pair := read_pair(text, op)) is not None:
                    out[pair[0], op, pair[1]] = value
                    break
        return out

    # ---- rules -----------------------------------------------------------------------------------------------------

    def problems(self) -> Iterator[Problem]:
        """Yield what is wrong in this population."""
        for problem in self._problems():
            yield Problem(
                (*self._at, *problem.loc), problem.message, problem.hint, problem.at_key, problem.in_text, problem.weak
            )

    def _problems(self) -> Iterator[Problem]:
        if (self.text is None) == (self.file is None) and not self._read:
            yield Problem((), "give either 'text' (lavaan text with values) or 'file' (where it stands)")
        if self.text is None:
            return
        try:
            parsed = self.parsed()
        except (ModelSyntaxError, Unsupported) as error:
            yield Problem(("text",), error.message, error.hint, in_text=(error.line or 1, error.column or 1))
            return
        firm = list(self._text_problems(parsed))
        yield from firm
        if firm:
            return
        try:
            names = self.table().observed
        except (ModelSyntaxError, Unsupported) as error:
            yield Problem(("text",), error.message, error.hint)
            return
        yield from self._value_problems(parsed)
        yield from self._shape_problems(names)

    def _text_problems(self, parsed: ParsedModel) -> Iterator[Problem]:
        def at(entry: Entry, message: str, hint: str) -> Problem:
            return Problem(("text",), message, hint, in_text=(entry.line, entry.column))

        if parsed.blocks:
            yield Problem(("text",), "a population that is lavaan text has one group", "Take out the 'group:' blocks.")
            return
        for entry in product_entries(parsed):
            yield at(
                entry, f"no numbers can be drawn for the product '{entry.rhs}'",
                "Use a simulation file with a survey, which has 'interactions'.",
            )  # fmt: skip
        numbers: dict[Key, list[Entry]] = {}
        for entry in parsed.entries:
            numbers.setdefault((entry.lhs, entry.op, entry.rhs), []).append(entry)
        first: dict[str, str] = {}
        for entry in parsed.entries:
            if entry.op == "=~":
                first.setdefault(entry.lhs, entry.rhs)
        for (lhs, op, rhs), entries in numbers.items():
            if any(len(e.modifiers.fixed) > 1 or len(e.modifiers.start) > 1 for e in entries):
                yield at(entries[0], f"'{entries[0].text}' has values of several groups", "Give one number.")
            elif op not in _CUTS or op == "|":
                marker = op == "=~" and first[lhs] == rhs
                if all(_number(e) is None for e in entries) and not marker:
                    yield at(
                        entries[0], f"no value for '{entries[0].text}'",
                        f"Write a number before it: {lhs} {op.replace('~1', '~')} 0.5*{rhs or '1'}; 0 is a value.",
                    )  # fmt: skip

    def _value_problems(self, parsed: ParsedModel) -> Iterator[Problem]:
        known = {(e.lhs, e.op, e.rhs) for e in parsed.entries}
        known |= {(e.rhs, e.op, e.lhs) for e in parsed.entries if e.op == "~~"}
        texts = [f"{a} {op} {b}" for a, op, b in known if b and op not in _CUTS]
        for text in self.values:
            one = next((pair for op in ("=~", "~~", "~") if (pair := read_pair(text, op)) is not None), None)
            if one is None or not any((one[0], op, one[1]) in known for op in ("=~", "~~", "~") if op in text):
                yield Problem(
                    ("values", text), f"the text has no parameter '{text}'.{did_you_mean(text, texts)}", at_key=True
                )

    def _shape_problems(self, names: tuple[str, ...]) -> Iterator[Problem]:
        for section in ("skew", "kurtosis", "thresholds", "shares"):
            given = getattr(self, section)
            for name in given if isinstance(given, dict) else ():
                if name not in names:
                    near = did_you_mean(name, names)
                    yield Problem((section, name), f"the population has no variable '{name}'.{near}", at_key=True)
        alike = not isinstance(self.skew, dict) and not isinstance(self.kurtosis, dict)
        for k, name in enumerate(names):
            skew, kurtosis = (_of(given, name) for given in (self.skew, self.kurtosis))
            for problem in () if alike and k else Moments(skew=skew, kurtosis=kurtosis).check(()):
                at = ("kurtosis", name) if isinstance(self.kurtosis, dict) else ("kurtosis",)
                yield Problem(at, problem.message if alike else f"{name}: {problem.message}", problem.hint)
            if name in self.shares and (skew or kurtosis):
                yield Problem(
                    ("shares", name), f"shares of the answers to '{name}' cannot be asked for: it is not normal",
                    "Give thresholds.", at_key=True,
                )  # fmt: skip
        cuts = self.cuts()
        for name, points in cuts.items():
            yield from threshold_problems(("thresholds", name) if name in self.thresholds else ("text",), points)
        for name, shares in self.shares.items():
            if name in cuts:
                yield Problem(("shares", name), f"'{name}' has thresholds, too: give one of both", at_key=True)
            if abs(math.fsum(shares) - 1) > 1e-9:
                yield Problem(("shares", name), f"the shares sum to {math.fsum(shares):g}, not to 1")


def text_population(identifier: str, values: TextValues, title: str = "", at: Location = ()) -> TextPopulation:
    """Return a population of lavaan text that is part of another file, or stands alone."""
    made = TextPopulation(
        schema_version=1, kind="simulation", id=identifier, title=title or identifier, **values.model_dump()
    )
    made._at = at
    return made


def _of(given: float | Mapping[str, float], name: str) -> float:
    return float(given.get(name, 0.0) if isinstance(given, Mapping) else given)


def _number(entry: Entry) -> float | None:
    """Return the value that a term states."""
    fixed, start = entry.modifiers.fixed, entry.modifiers.start
    if fixed and fixed[0] is not None:
        return fixed[0]
    return start[0] if start else None


def free_text(parsed: ParsedModel) -> str:
    """Return a model with all values taken out, to be fitted with lavaan's defaults.

    Zeros stay, as they say that something is not there, and so do labels and constraints. Variances, which the defaults
    add, moments of exogenous observed variables, means of latents and thresholds are left out.
    """
    latents = {e.lhs for e in parsed.entries if e.op == "=~"}
    explained = {e.lhs for e in parsed.entries if e.op == "~"} | {e.rhs for e in parsed.entries if e.op == "=~"}
    outside = {e.rhs for e in parsed.entries if e.op == "~"} - explained - latents
    found: dict[Key, tuple[Entry, str]] = {}
    for entry in parsed.entries:
        zero = _number(entry) == 0
        if entry.op in _CUTS or (entry.op == "~1" and entry.lhs in latents):
            continue
        if entry.op == "~~" and ((entry.lhs == entry.rhs and not zero) or {entry.lhs, entry.rhs} <= outside):
            continue
        if entry.op == "~1" and entry.lhs in outside:
            continue
        key = (entry.lhs, entry.op, entry.rhs)
        label = "".join(f"{name}*" for name in entry.modifiers.label)
        modifier = label or ("0*" if zero and entry.op != "~1" else "")
        if key not in found or modifier:
            found[key] = (entry, modifier)
    lines = [f"{e.lhs} {e.op.replace('~1', '~')} {modifier}{e.rhs or '1'}" for e, modifier in found.values()]
    rest = [str(s) for s in split_statements(parsed.text) if s.op in (":=", "==", "<", ">", "<=", ">=")]
    return "\n".join([*lines, *rest])
