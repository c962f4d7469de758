"""What a theory claims: paths as written, propositions, and the model that a claim on groups is tested with.

A claim on groups may be about latent variables that the main model does not have. They are measured in a section of the
proposition, so that the main model and its fit stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from b2b_sem.errors import did_you_mean
from b2b_sem.spec.base import Code, Lines, Location, Node, Problem, Text
from b2b_sem.spec.statement import Statement, Term, render, split_statements

__all__ = ["ClaimModel", "ClaimPath", "Construct", "Part", "Proposition", "claim_model", "leads_to", "own_problems"]

Sign = Literal["+", "-"]

NAME = r"[A-Za-z][A-Za-z0-9_.]*"
_CLAIM = re.compile(rf"^\s*({NAME})(?:\s+x\s+({NAME}))?((?:\s*->\s*{NAME})+)\s*$")
#: Sections of a proposition that only claims on groups have.
_OWN = ("measurement", "structural", "mediators", "covariates")

Regression = tuple[str, str]
"""Outcome and predictor."""


@dataclass(frozen=True, slots=True)
class ClaimPath:
    """A path as written in a proposition: ``A -> B``, ``A -> B -> C`` or ``A x M -> B``."""

    steps: tuple[str, ...]
    moderator: str | None = None

    @property
    def start(self) -> str:
        """First variable."""
        return self.steps[0]

    @property
    def end(self) -> str:
        """Last variable."""
        return self.steps[-1]

    @property
    def names(self) -> tuple[str, ...]:
        """All variables, moderator last."""
        return self.steps if self.moderator is None else (*self.steps, self.moderator)

    @property
    def regressions(self) -> tuple[tuple[str, str], ...]:
        """``(outcome, predictor)`` of each step."""
        return tuple(zip(self.steps[1:], self.steps[:-1], strict=True))

    @classmethod
    def parse(cls, text: str) -> ClaimPath:
        """Read a path; raises ValueError with the accepted forms."""
        match = _CLAIM.match(text)
        if match is None:
            raise ValueError(f"cannot read the path '{text}': write 'A -> B', 'A -> B -> C' or 'A x M -> B'")
        first, moderator, rest = match.groups()
        return cls((first, *re.findall(NAME, rest)), moderator)


class Construct(Node):
    """How one latent is measured: by a scale of the survey, or by items named one by one."""

    scale: Code | None = Field(default=None, description="Scale of the survey; all its active items are used.")
    items: tuple[Code, ...] | None = Field(
        default=None, description="Item codes, the first one sets the unit of the latent."
    )
    second_order: Literal["none", "facets"] = Field(
        default="none", description="facets: one first-order factor per facet of the scale, and the latent above them."
    )

    def check(self, loc: Location, code: str) -> Iterator[Problem]:
        """Yield what is wrong here without looking at a survey."""
        if (self.scale is None) == (self.items is None):
            yield Problem(loc, f"{code} needs either 'scale' or 'items'", at_key=True)
        if self.items is not None:
            if not self.items:
                yield Problem((*loc, "items"), f"{code} has no items")
            for position, item in enumerate(self.items):
                if item in self.items[:position]:
                    yield Problem((*loc, "items", position), f"item '{item}' is listed twice for {code}")
        if self.second_order == "facets" and self.scale is None:
            yield Problem((*loc, "second_order"), "facets come from the survey: name the scale instead of the items")


class Part(Node):
    """One of several paths that a proposition claims together."""

    path: Text
    sign: Sign


class Proposition(Node):
    """A claim of the theory and the test that decides it."""

    id: Code
    statement: Text
    test: Literal["path", "indirect", "moderation", "group"] = "path"
    path: Text | None = Field(
        default=None, description="'A -> B', 'A -> B -> C' (indirect) or 'A x M -> B' (moderation)."
    )
    sign: Sign | None = None
    parts: tuple[Part, ...] = Field(
        default=(), description="Instead of path and sign: several paths that must all hold."
    )
    group: Code | None = Field(default=None, description="Group of the survey that is compared (test: group).")
    level: Code | None = Field(
        default=None, description="Level of the group that the parts are about, against the other (test: group)."
    )
    measurement: dict[Code, Construct] = Field(
        default_factory=dict,
        description="Latents that this claim is about and the main model does not have (test: group, moderation).",
    )
    structural: Lines | None = Field(
        default=None, description="lavaan lines: paths from or to the latents of this claim, 'AU ~ DA' (test: group)."
    )
    mediators: tuple[Code, ...] = Field(
        default=(),
        description="Latents that carry part of the difference; the total difference is judged (test: group).",
    )
    covariates: tuple[Code, ...] = Field(
        default=(), description="Latents held equal; the difference that remains is judged (test: group)."
    )
    needs: Text | None = Field(default=None, description="What a test needs that this model does not have.")
    source: Text | None = None

    @property
    def own_model(self) -> bool:
        """Whether the claim is tested with a model of its own latents, beside the main model."""
        return bool(self.measurement or self.structural or self.mediators or self.covariates)

    @property
    def adds(self) -> bool:
        """Whether the claim is tested with something that the main model does not have."""
        return self.own_model or self.test == "moderation"

    @property
    def between(self) -> tuple[str, ...]:
        """Mediators or covariates."""
        return self.mediators or self.covariates

    def regressions(self) -> tuple[Regression, ...]:
        """Return ``(outcome, predictor)`` of each path that the claim adds to the main model where it has none.

        Those of its structural lines; of a moderation those of predictor and moderator.
        """
        if self.test == "moderation" and self.path is not None and self.readable:
            claim = ClaimPath.parse(self.path)
            return tuple((claim.end, name) for name in (claim.start, claim.moderator) if name is not None)
        lines = split_statements(self.structural or "")
        return tuple((s.lhs, t.variable) for s in lines if s.op == "~" for t in s.terms)

    @property
    def readable(self) -> bool:
        """Whether every path can be read; always true for a loaded model."""
        texts = [self.path] if self.path is not None else [part.path for part in self.parts]
        return all(_CLAIM.match(text) for text in texts)

    def claims(self) -> tuple[tuple[ClaimPath, Sign], ...]:
        """Return every claimed path with its sign."""
        if self.path is not None and self.sign is not None:
            return ((ClaimPath.parse(self.path), self.sign),)
        return tuple((ClaimPath.parse(part.path), part.sign) for part in self.parts)


@dataclass(frozen=True)
class ClaimModel:
    """The latents that a claim on groups is about, and the paths among them.

    Attributes
    ----------
    id : str
        Of the proposition.
    group, level : str or None
    text : str
        Measurement and structure in lavaan syntax.
    structure : str
        Paths, and covariances of latents that no paths connect.
    latents : tuple of str
    regressions : tuple of (outcome, predictor)
    pairs : tuple of (start, outcome)
        Of the parts, in their order.
    starts : tuple of str
        Variables in front of the arrows that are measured and lead to an outcome. For others the groups stand.
    mediators, covariates : tuple of str
    in_main : bool
        Whether the main model has all of this.
    """

    id: str
    group: str | None
    level: str | None
    text: str
    structure: str
    latents: tuple[str, ...]
    regressions: tuple[Regression, ...]
    pairs: tuple[tuple[str, str], ...]
    starts: tuple[str, ...]
    mediators: tuple[str, ...]
    covariates: tuple[str, ...]
    in_main: bool

    @property
    def between(self) -> tuple[str, ...]:
        """Mediators or covariates."""
        return self.mediators or self.covariates


def leads_to(regressions: Iterable[Regression], start: str) -> set[str]:
    """Return the variables that directed paths lead to from `start`."""
    paths = tuple(regressions)
    found: set[str] = set()
    new = {start}
    while new:
        new = {outcome for outcome, predictor in paths if predictor in new} - found
        found |= new
    return found


def _pairs(prop: Proposition) -> tuple[tuple[str, str], ...]:
    """Return the first and last variables of the paths that can be read."""
    texts = [prop.path] if prop.path is not None else [part.path for part in prop.parts]
    claims = [ClaimPath.parse(text) for text in texts if _CLAIM.match(text)]
    return tuple((c.start, c.end) for c in claims)


def _ends(prop: Proposition) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the first variables of the paths that can be read, and the last ones, each once."""
    pairs = _pairs(prop)
    return tuple(dict.fromkeys(a for a, _ in pairs)), tuple(dict.fromkeys(b for _, b in pairs))


def _paths(prop: Proposition, main: Iterable[Regression]) -> tuple[Regression, ...]:
    """Return the paths of a claim: its own, and those of the main model from what it names to what it is about."""
    starts, ends = _ends(prop)
    inside = {*ends, *prop.between}
    shared = [(o, p) for o, p in main if o in inside and p in {*starts, *prop.between}]
    return tuple(dict.fromkeys([*shared, *prop.regressions()]))


def claim_model(prop: Proposition, statements: Sequence[Statement], main: Sequence[Regression]) -> ClaimModel:
    """Return the model that a claim on groups is tested with.

    Parameters
    ----------
    prop : Proposition
    statements : sequence of Statement
        Of the main model with all that the claim adds.
    main : sequence of (outcome, predictor)
        Regressions of the main model.
    """
    starts, ends = _ends(prop)
    paths = _paths(prop, main)
    measured = tuple(s for s in starts if leads_to(paths, s) & set(ends))
    wanted = {*ends, *prop.between, *prop.measurement, *(name for pair in paths for name in pair)}
    loadings = [s for s in statements if s.op == "=~"]
    facets = {t.variable for s in loadings if s.lhs in wanted for t in s.terms} & {s.lhs for s in loadings}
    own = [s for s in loadings if s.lhs in wanted | facets]
    latents = tuple(dict.fromkeys(s.lhs for s in own if s.lhs in wanted))
    items = {t.variable for s in own for t in s.terms} - facets
    for s in statements:
        kept = tuple(t for t in s.terms if s.op == "~~" and s.lhs in items and t.variable in items)
        own += [Statement(s.lhs, "~~", kept)] if kept else []
    lines: list[Statement] = []
    for outcome in dict.fromkeys(o for o, _ in paths):
        lines.append(Statement(outcome, "~", tuple(Term("", p) for o, p in paths if o == outcome)))
    reach = {name: leads_to(paths, name) for name in latents}
    for i, first in enumerate(latents):
        free = tuple(Term("", b) for b in latents[i + 1 :] if b not in reach[first] and first not in reach[b])
        lines += [Statement(first, "~~", free)] if free else []
    in_main = not prop.measurement and not prop.structural
    return ClaimModel(
        prop.id,
        prop.group,
        prop.level,
        render([*own, *lines]),
        render(lines),
        latents,
        paths,
        _pairs(prop),
        measured,
        prop.mediators,
        prop.covariates,
        in_main,
    )


# ---- rules -----------------------------------------------------------------------------------------------------------


def own_problems(
    loc: Location,
    prop: Proposition,
    latents: Sequence[str],
    observed: Iterable[str],
    main: Sequence[Regression],
    others: Mapping[str, Construct],
) -> Iterator[Problem]:
    """Yield what is wrong with the sections of a proposition that only claims on groups, or on moderation, have.

    Parameters
    ----------
    loc : Location
    prop : Proposition
    latents, observed : names
        Of the main model.
    main : sequence of (outcome, predictor)
        Regressions of the main model.
    others : mapping
        Latents that other propositions and rivals measure.
    """
    if prop.test != "group":
        for key in _OWN:
            if getattr(prop, key) and (key, prop.test) != ("measurement", "moderation"):
                yield Problem(
                    (*loc, key), f"{prop.id} has '{key}', but its test is '{prop.test}'", "Write 'test: group'.", True
                )
        if prop.test != "moderation":
            return
    for code, construct in prop.measurement.items():
        at = (*loc, "measurement", code)
        if code in latents or code in observed:
            yield Problem(at, f"'{code}' is already part of the main model", at_key=True)
        elif others.get(code, construct) != construct:
            yield Problem(at, f"'{code}' is measured in another way by another proposition or rival", at_key=True)
        yield from construct.check(at, code)
        if prop.test == "moderation" and prop.readable and code not in ClaimPath.parse(prop.path or "").names:
            yield Problem(at, f"'{code}' is no part of the path of {prop.id}", at_key=True)
    if prop.test == "moderation":
        return
    known = dict.fromkeys((*latents, *prop.measurement))
    yield from _line_problems((*loc, "structural"), prop, known, main)
    if prop.mediators and prop.covariates:
        yield Problem(
            (*loc, "covariates"),
            f"{prop.id} has mediators and covariates",
            "Give one of them: with mediators the total difference is judged, with covariates what remains of it.",
            True,
        )
    yield from _role_problems(loc, prop, known, observed, main)


def _line_problems(
    loc: Location, prop: Proposition, known: Mapping[str, None], main: Sequence[Regression]
) -> Iterator[Problem]:
    for statement in split_statements(prop.structural or ""):
        place = (statement.line, statement.column)
        if statement.op != "~":
            yield Problem(
                loc,
                f"'{statement}' is no path",
                "Only paths stand here, for example AU ~ DA; latents that none connects covary.",
                in_text=place,
            )
            continue
        for term in statement.terms:
            at = (term.line, term.column)
            if term.modifier or term.variable == "1":
                yield Problem(
                    loc,
                    f"'{statement.lhs} ~ {term}' has a value or label, or is no path",
                    "Write the plain path: it is fitted with equal and with free slopes.",
                    in_text=at,
                )
                continue
            absent = [(n, w) for n, w in ((statement.lhs, place), (term.variable, at)) if n not in known]
            for name, where in absent:
                yield Problem(loc, f"there is no latent '{name}'.{did_you_mean(name, known)}", in_text=where)
            if absent:
                continue
            if (statement.lhs, term.variable) in main:
                yield Problem(loc, f"the main model has '{statement.lhs} ~ {term}' already", in_text=at)
            elif statement.lhs not in prop.measurement and term.variable not in prop.measurement:
                yield Problem(
                    loc,
                    f"'{statement.lhs} ~ {term}' is a path between latents of the main model",
                    "Write it into the structural part of the model.",
                    in_text=at,
                )


def _role_problems(
    loc: Location,
    prop: Proposition,
    known: Mapping[str, None],
    observed: Iterable[str],
    main: Sequence[Regression],
) -> Iterator[Problem]:
    if not prop.own_model or not prop.readable:
        return
    starts, ends = _ends(prop)
    paths = _paths(prop, main)
    loop = next((p for _, p in paths if p in leads_to(paths, p)), None)
    if loop is not None:
        yield Problem((*loc, "structural"), f"the paths of {prop.id} lead from '{loop}' back to it")
        return
    role = "mediators" if prop.mediators else "covariates"
    for position, name in enumerate(prop.between):
        at = (*loc, role, position)
        if name not in known:
            yield Problem(at, f"there is no latent '{name}'.{did_you_mean(name, known)}")
        elif name in prop.between[:position]:
            yield Problem(at, f"'{name}' is listed twice")
        elif name in starts:
            yield Problem(at, f"'{name}' is where a path of {prop.id} begins")
        elif not leads_to(paths, name) & set(ends):
            yield Problem(
                at,
                f"no path leads from '{name}' to {' or '.join(ends)}",
                f"Add it to the structural part of {prop.id}, for example: {ends[0]} ~ {name}",
            )
        for end in ends if name in prop.covariates and name in known else ():
            if name != end and (end, name) not in paths and leads_to(paths, name) & set(ends):
                yield Problem(
                    at,
                    f"'{name}' is to be held equal, but no path '{end} ~ {name}' does so",
                    f"Add it to the structural part of {prop.id}.",
                )
    measured = [s for s in starts if leads_to(paths, s) & set(ends)]
    for outcome, predictor in paths:
        if predictor not in (*prop.between, *measured) and predictor in known:
            yield Problem(
                (*loc, "structural"),
                f"the path '{outcome} ~ {predictor}' gives '{predictor}' no role in {prop.id}",
                f"Name '{predictor}' among the mediators or the covariates.",
                weak=True,
            )
    for start in measured:
        if start in observed and (prop.measurement or prop.structural):
            yield Problem(
                (*loc, "parts"),
                f"'{start}' is no latent, and {prop.id} has latents of its own",
                "Measure everything that the claim needs in the main model.",
            )
        for name in prop.mediators:
            if name in known and name not in leads_to(paths, start):
                yield Problem(
                    (*loc, "mediators", prop.mediators.index(name)),
                    f"no path leads from '{start}' to '{name}', so that it carries nothing",
                )
    if len(measured) < len(starts) and prop.level is None:
        yield Problem(loc, f"{prop.id} compares means but names no 'level'", f"Name the level of '{prop.group}'.")
