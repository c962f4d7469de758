"""The constrained approach to product indicators: what normal factors and errors say about products.

With centred items ``x = lx X + dx`` and ``m = lm M + dm`` the product ``x m = lx lm X M + (lx X dm + lm M dx + dx dm)``
has the loading lx lm, and under normality (Kenny & Judd 1984, doi:10.1037/0033-2909.96.1.201; Joreskog & Yang 1996;
Algina & Moulder 2001, doi:10.1207/S15328007SEM0801_3)

* E[X M] = Cov(X, M), Var(X M) = Var(X) Var(M) + Cov(X, M)^2, and X M is uncorrelated with X and M;
* the residual variance of x m is lx^2 Var(X) tm + lm^2 Var(M) tx + tx tm, with tx and tm those of the items.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from b2b_sem.errors import Unsupported
from b2b_sem.spec import expression as ex
from b2b_sem.spec.syntax import Constraint, Entry, Modifiers, ParsedModel

__all__ = ["constrain"]

Key = tuple[str, str, str]


def constrain(
    parsed: ParsedModel, name: str, pairs: Sequence[tuple[str, str]], columns: Sequence[str]
) -> tuple[tuple[Entry, ...], tuple[Constraint, ...]]:
    """Return the statements of a model with one product, its parameters bound to those of its factors.

    Parameters
    ----------
    parsed : ParsedModel
        With the loadings of the product.
    name : str
        The product, ``X:M``.
    pairs : sequence of (str, str)
        The items behind each column.
    columns : sequence of str

    Raises
    ------
    Unsupported
        Where the formulas do not hold: a square, factors that are outcomes or indicators or observed, items that
        measure something else too or whose residuals covary, and parameters of groups.
    """
    first, second = name.split(":")
    entries = {(e.lhs, e.op, e.rhs): e for e in parsed.entries}
    _check(parsed, entries, (first, second), {item for pair in pairs for item in pair})
    bound = _Binding(parsed, entries)
    var_a, var_b = bound.read(first, "~~", first), bound.read(second, "~~", second)
    cov = bound.read(first, "~~", second)
    for (x, m), column in zip(pairs, columns, strict=True):
        lx, lm = bound.read(first, "=~", x), bound.read(second, "=~", m)
        tx, tm = bound.error(first, x), bound.error(second, m)
        bound.write(name, "=~", column, _times(lx, lm))
        cross = _plus(_times(_times(lx, lx), var_a, tm), _times(_times(lm, lm), var_b, tx))
        bound.write(column, "~~", column, _plus(cross, _times(tx, tm)))
        bound.write(column, "~1", "", ex.Number(0.0))
    bound.write(name, "~~", name, _plus(_times(var_a, var_b), _times(cov, cov)))
    bound.write(name, "~1", "", cov)
    for factor in (first, second):
        bound.write(name, "~~", factor, ex.Number(0.0))
    return tuple(bound.entries.values()), (*parsed.constraints, *bound.constraints)


class _Binding:
    """Statements that get labels, and the equations between these."""

    def __init__(self, parsed: ParsedModel, entries: Mapping[Key, Entry]) -> None:
        self.entries = dict(entries)
        self.constraints: list[Constraint] = []
        self.place = next((e.line, e.column) for e in parsed.entries if e.op == "~" and ":" in e.rhs)
        self.taken = {label for e in parsed.entries for label in e.modifiers.label}
        self.count = {e.lhs: sum(o.lhs == e.lhs for o in parsed.entries if o.op == "=~") for e in parsed.entries}

    def read(self, lhs: str, op: str, rhs: str) -> ex.Expression:
        """Return a parameter as an expression: its label, which it gets if it has none, or its fixed value."""
        key = (lhs, op, rhs) if (rhs, op, lhs) not in self.entries or op != "~~" else (rhs, op, lhs)
        entry = self.entries.get(key)
        if entry is None:
            entry = Entry(*key, Modifiers(), *self.place)
        modifiers = entry.modifiers
        if modifiers.fixed and modifiers.fixed[0] is not None:
            return ex.Number(modifiers.fixed[0])
        first = next((k for k in self.entries if k[0] == lhs and k[1] == "=~"), None)
        if key == first and not modifiers.fixed:
            return ex.Number(1.0)
        if not modifiers.label:
            entry = replace(entry, modifiers=replace(modifiers, label=(self._label(lhs, rhs),)))
        self.entries[key] = entry
        return ex.Name(entry.modifiers.label[0], *self.place)

    def error(self, factor: str, item: str) -> ex.Expression:
        """Return the residual variance of an item; the only item of a factor has none unless the model gives one."""
        if self.count[factor] == 1 and (item, "~~", item) not in self.entries:
            return ex.Number(0.0)
        return self.read(item, "~~", item)

    def write(self, lhs: str, op: str, rhs: str, value: ex.Expression) -> None:
        """Bind a parameter to an expression: a fixed value, the same label, or an equation."""
        entry = self.entries.get((lhs, op, rhs), Entry(lhs, op, rhs, Modifiers(), *self.place))
        if isinstance(value, ex.Number):
            modifiers = Modifiers(fixed=(value.value,))
        elif isinstance(value, ex.Name):
            modifiers = Modifiers(fixed=(None,), label=(value.name,))
        else:
            label = self._label(lhs, rhs or "1")
            modifiers = Modifiers(fixed=(None,), label=(label,))
            left = ex.Name(label, *self.place)
            self.constraints.append(Constraint("==", left, value, ex.render(value), *self.place))
        self.entries[lhs, op, rhs] = replace(entry, modifiers=modifiers)

    def _label(self, lhs: str, rhs: str) -> str:
        label = f".{lhs}.{rhs}.".replace(":", "_")
        while label in self.taken:
            label += "_"
        self.taken.add(label)
        return label


def _times(*factors: ex.Expression) -> ex.Expression:
    out: ex.Expression = ex.Number(1.0)
    for factor in factors:
        if isinstance(out, ex.Number) and isinstance(factor, ex.Number):
            out = ex.Number(out.value * factor.value)
        elif ex.Number(0.0) in (out, factor):
            out = ex.Number(0.0)
        elif out == ex.Number(1.0) or factor == ex.Number(1.0):
            out = factor if out == ex.Number(1.0) else out
        else:
            out = ex.Binary("*", out, factor)
    return out


def _plus(a: ex.Expression, b: ex.Expression) -> ex.Expression:
    if isinstance(a, ex.Number) and isinstance(b, ex.Number):
        return ex.Number(a.value + b.value)
    if ex.Number(0.0) in (a, b):
        return b if a == ex.Number(0.0) else a
    return ex.Binary("+", a, b)


def _check(parsed: ParsedModel, entries: Mapping[Key, Entry], factors: tuple[str, str], items: set[str]) -> None:
    """Refuse models in which the formulas do not hold."""
    latents = {e.lhs for e in parsed.entries if e.op == "=~"}
    reason = ""
    if factors[0] == factors[1]:
        reason = "of squares"
    elif not set(factors) <= latents:
        reason = "of observed variables"
    elif any((e.op == "~" and e.lhs in factors) or (e.op == "=~" and e.rhs in factors) for e in parsed.entries):
        reason = f"whose factors are explained by others ({', '.join(factors)})"
    elif any(sum(k[1] == "=~" and k[2] == item for k in entries) > 1 for item in items):
        reason = "with items that measure several factors"
    elif any(k[1] == "~" and (k[0] in items or k[2] in items) for k in entries):
        reason = "with items that stand in regressions"
    elif any(k[1] == "~~" and k[0] != k[2] and (k[0] in items or k[2] in items) for k in entries):
        reason = "with items whose residuals covary"
    elif any(len(v) > 1 for e in parsed.entries for v in (e.modifiers.fixed, e.modifiers.label)):
        reason = "with parameters of groups"
    if reason:
        where: dict[str, Any] = {"file": parsed.file}
        raise Unsupported(
            f"the constrained approach to products {reason} is not available", hint="use interaction='dmc'", **where
        )
