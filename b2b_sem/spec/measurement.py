"""The measurement part of a model: latent variables and their indicators, without what predicts them.

Whether answers mean the same in several groups is a question about this part alone. Latent variables covary freely in
it, as exogenous ones do by default, so that no wrong path can be taken for an item that works differently.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from b2b_sem.errors import ModelSyntaxError, Unsupported
from b2b_sem.spec.syntax import Entry, ParsedModel

__all__ = ["MeasurementModel", "measurement_model"]


@dataclass(frozen=True)
class MeasurementModel:
    """Latent variables with their indicators.

    Attributes
    ----------
    text : str
        In model syntax; scales of the latent variables are left to the defaults.
    items : mapping of str to tuple of str
        Indicators of each latent variable, in the order of the text.
    notes : tuple of str
        What was left out.
    """

    text: str
    items: dict[str, tuple[str, ...]]
    notes: tuple[str, ...]

    @property
    def factor(self) -> dict[str, str]:
        """The latent variable of each item that indicates one only."""
        count = Counter(item for items in self.items.values() for item in items)
        return {item: f for f, items in self.items.items() for item in items if count[item] == 1}


def measurement_model(parsed: ParsedModel) -> MeasurementModel:
    """Return the measurement part of a model.

    Loadings, covariances of residuals and values fixed by the user are kept; a first loading fixed at 1, variances and
    means of latent variables set scales and origins and are left out. So are regressions and definitions.

    Raises
    ------
    ModelSyntaxError
        If the model has no latent variable.
    Unsupported
        For blocks of groups, latent variables that indicate others, statements on thresholds, and constraints within
        the measurement part.
    """
    if parsed.blocks:
        raise _unsupported(
            parsed, parsed.entries[0], "the groups have models of their own", "give one model, without 'group:' blocks"
        )
    items: dict[str, list[str]] = {}
    for e in parsed.entries:
        if e.op == "=~":
            items.setdefault(e.lhs, []).append(e.rhs)
    if not items:
        raise ModelSyntaxError(
            "the model has no latent variable: there is no measurement to compare",
            file=parsed.file,
            hint="define latent variables, for example 'F =~ x1 + x2 + x3'",
        )
    if all(len(set(members)) < 2 for members in items.values()):
        raise Unsupported(
            "every latent variable has one item: whether it measures the same cannot be tested",
            file=parsed.file,
            hint="measure latent variables by several items",
        )
    observed = {item for members in items.values() for item in members}
    for e in parsed.entries:
        _refuse(parsed, e, items)
    if any(c.op != ":=" for c in parsed.constraints):
        raise _unsupported(parsed, parsed.constraints[0], "constraints are not available here", "remove them")
    lines: list[str] = []
    dropped: list[str] = []
    for e in parsed.entries:
        fixed = e.modifiers.fixed[0] if e.modifiers.fixed else None
        if e.op == "=~":
            marker = fixed == 1.0 and e.rhs == items[e.lhs][0]
            lines.append(f"{e.lhs} =~ {'' if fixed is None or marker else f'{fixed!r}*'}{e.rhs}")
        elif e.op == "~~" and e.lhs in observed and e.rhs in observed:
            if e.lhs != e.rhs or fixed is not None:
                lines.append(f"{e.lhs} ~~ {'' if fixed is None else f'{fixed!r}*'}{e.rhs}")
        elif e.op == "~~" and e.lhs in items and e.rhs in items:
            if e.lhs != e.rhs and fixed is not None:
                lines.append(f"{e.lhs} ~~ {fixed!r}*{e.rhs}")
        elif e.op in ("~", "~~"):
            dropped.append(e.text)
    notes = []
    if dropped:
        shown = "; ".join(dropped[:6]) + ("; ..." if len(dropped) > 6 else "")
        notes.append(
            f"Only the measurement part is tested, with all latent variables free to covary; left out: {shown}."
        )
    return MeasurementModel("\n".join(lines), {f: tuple(m) for f, m in items.items()}, tuple(notes))


def _refuse(parsed: ParsedModel, e: Entry, items: dict[str, list[str]]) -> None:
    if e.op in ("|", "~*~"):
        raise _unsupported(
            parsed,
            e,
            f"'{e.text}' is about thresholds or scales, which the steps of invariance make free or equal",
            "leave it out, and say which items are ordinal: ordered=[...]",
        )
    if e.op == "=~" and e.rhs in items:
        raise _unsupported(
            parsed,
            e,
            f"{e.lhs} is measured by the latent variable {e.rhs}: such models are not available here",
            "test the latent variables of the first order",
        )
    if e.op not in ("=~", "~~", "~1"):
        return
    inside = e.op == "=~" or (e.op == "~~" and (e.rhs in items or any(e.rhs in m for m in items.values())))
    m = e.modifiers
    if len(m.fixed) > 1 or (inside and (len(m.label) > 1 or m.equal or m.lower or m.upper)):
        raise _unsupported(
            parsed,
            e,
            f"'{e.text}' has values, labels or bounds of its own for the groups",
            "leave them out: the steps say what is equal, and tests say what must differ",
        )
    if e.op == "~1" and m.fixed and m.fixed[0] is not None and e.lhs not in items:
        raise _unsupported(parsed, e, f"the intercept of {e.lhs} is fixed", "leave it free")
    shared = [o for o in parsed.entries if m.label and o is not e and o.modifiers.label == m.label]
    if inside and shared:
        raise _unsupported(
            parsed,
            e,
            f"the label {m.label[0]} makes parameters of the measurement part equal",
            "leave the label out: equality within a group is not available here",
        )


def _unsupported(parsed: ParsedModel, where: Any, message: str, hint: str) -> Unsupported:
    return Unsupported(message, file=parsed.file, line=where.line, column=where.column, hint=hint)
