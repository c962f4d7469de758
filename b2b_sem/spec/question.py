"""One question of moderation in a model: which product of which equation, and the models of simpler ways to ask it."""

from __future__ import annotations

from dataclasses import dataclass

from b2b_sem.errors import DataError, ModelSyntaxError, Unsupported, did_you_mean
from b2b_sem.spec.product import factors_of, is_product, product_entries
from b2b_sem.spec.syntax import Entry, ParsedModel

__all__ = ["Question", "find_question", "items_of", "path_entries", "split_model"]


@dataclass(frozen=True)
class Question:
    """Whether `moderator` changes the effect of `focal` on `outcome`.

    Attributes
    ----------
    parsed : ParsedModel
    outcome, focal, moderator : str
    product : str
        As the model writes it.
    """

    parsed: ParsedModel
    outcome: str
    product: str
    focal: str
    moderator: str

    @property
    def factors(self) -> tuple[str, str]:
        """The factors of the product in the order of the model."""
        first, second = self.product.split(":")
        return first, second


def find_question(
    parsed: ParsedModel, product: str | None = None, outcome: str | None = None, moderator: str | None = None
) -> Question:
    """Find the product that is asked about.

    Parameters
    ----------
    parsed : ParsedModel
    product : str, optional
        Such as ``"PC:PX"``; the order of its factors does not matter. Default: the only one of the model.
    outcome : str, optional
        Default: the only variable with this product.
    moderator : str, optional
        One of its factors; default: the second one.

    Raises
    ------
    ModelSyntaxError
        If the model has no such product, or several.
    DataError
        For a product or a moderator that cannot be read.
    Unsupported
        For blocks of groups.
    """
    if parsed.blocks:
        raise Unsupported(
            "the groups have models of their own", file=parsed.file, hint="give one model, without 'group:' blocks"
        )
    entries = product_entries(parsed)
    if not entries:
        raise ModelSyntaxError(
            "the model has no product", file=parsed.file, hint="add it to an equation: RR ~ PC + PX + PC:PX"
        )
    every = ", ".join(f"{e.lhs} ~ {e.rhs}" for e in entries)
    wanted: list[str] = []
    if product is not None:
        wanted = [part.strip() for part in str(product).split(":")]
        if len(wanted) != 2 or not all(wanted):
            raise DataError(f"product={product!r} is no product of two variables", hint="write it as 'PC:PX'")
        entries = tuple(e for e in entries if sorted(factors_of(e)) == sorted(wanted))
    if outcome is not None:
        entries = tuple(e for e in entries if e.lhs == outcome)
    if not entries:
        said = " ".join(t for t in ("" if outcome is None else f"{outcome} ~", product or "a product") if t)
        raise ModelSyntaxError(f"the model has no '{said}'", file=parsed.file, hint=f"it has: {every}")
    if len(entries) > 1:
        raise ModelSyntaxError(
            f"the model has several products: {every}", file=parsed.file, hint="name one by 'product' and 'outcome'"
        )
    first, second = wanted or factors_of(entries[0])
    if moderator is None:
        moderator = second
    elif moderator not in (first, second):
        raise DataError(
            f"moderator={moderator!r} is no factor of {first}:{second}.{did_you_mean(moderator, (first, second))}",
            hint=f"use {first!r} or {second!r}",
        )
    return Question(parsed, entries[0].lhs, entries[0].rhs, first if moderator == second else second, moderator)


def items_of(parsed: ParsedModel, name: str) -> tuple[str, ...]:
    """Return the observed variables that measure a variable, through latent ones in between; itself if observed."""
    below = [e.rhs for e in parsed.entries if e.op == "=~" and e.lhs == name]
    return tuple(dict.fromkeys(item for child in below for item in items_of(parsed, child))) if below else (name,)


def path_entries(parsed: ParsedModel) -> tuple[Entry, ...]:
    """Return the regressions of a model, those of products left out."""
    return tuple(e for e in parsed.entries if e.op == "~" and not is_product(e))


def split_model(question: Question) -> tuple[str, tuple[str, ...]]:
    """Return the text of the model without products and without the moderator, and which paths that leaves out.

    Labels of loadings stay; others would make parameters equal in all groups and are left out, and with them
    definitions and constraints.

    Raises
    ------
    Unsupported
        For a moderator that is its own predictor or the outcome, for bounds and values of groups.
    """
    parsed, out = question.parsed, question.moderator
    if out in (question.focal, question.outcome):
        raise Unsupported(
            f"groups cannot be made by {out}, whose own effect is asked about", hint="use the other routes"
        )
    gone = _measures_alone(question)
    lines, dropped = [], []
    for e in parsed.entries:
        if is_product(e):
            if e.rhs != question.product or e.lhs != question.outcome:
                dropped.append(e.text)
        elif e.lhs in gone or e.rhs in gone:
            if e.op == "~" and (e.lhs, e.rhs) != (question.outcome, out):
                dropped.append(e.text)
        else:
            lines.append(_written(e, parsed))
    if not any(e.lhs == question.outcome and e.rhs == question.focal for e in path_entries(parsed)):
        lines.append(f"{question.outcome} ~ {question.focal}")
    return "\n".join(lines), tuple(dropped)


def _measures_alone(question: Question) -> set[str]:
    """Return the moderator and all that measures nothing else."""
    measured: dict[str, set[str]] = {}
    for e in question.parsed.entries:
        if e.op == "=~":
            measured.setdefault(e.rhs, set()).add(e.lhs)
    used = {name for e in question.parsed.entries if e.op == "~" for name in (e.lhs, *e.rhs.split(":"))}
    gone, before = {question.moderator}, 0
    while len(gone) > before:
        before = len(gone)
        gone |= {name for name, by in measured.items() if by <= gone and name not in used}
    return gone


def _written(e: Entry, parsed: ParsedModel) -> str:
    m = e.modifiers
    if m.lower or m.upper or m.equal or len(m.fixed) > 1 or len(m.label) > 1:
        raise Unsupported(
            f"'{e.text}' has bounds, equal() or values of groups",
            file=parsed.file,
            line=e.line,
            hint="leave them out: the groups of a split have one model",
        )
    marks = []
    if m.fixed:
        marks.append("NA" if m.fixed[0] is None else repr(m.fixed[0]))
    if m.label and e.op == "=~":
        marks.append(m.label[0])
    right = " + ".join(f"{mark}*{e.rhs or '1'}" for mark in marks) or e.rhs or "1"
    return f"{e.lhs} {e.op.replace('~1', '~')} {right}"
