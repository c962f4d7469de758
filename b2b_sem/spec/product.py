"""Products of variables in a model: ``RR ~ PC + PX + PC:PX``.

The linear part of a model is a table of its own, with all the defaults of a model without products; the products are
rows that are added to it. A variable that stands in a product has its own path, too: fixed at 0 where the text gives
it none.
"""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from typing import Any

from b2b_sem.errors import ModelSyntaxError, Unsupported
from b2b_sem.spec.definition import check_constraints
from b2b_sem.spec.group import models_of_groups
from b2b_sem.spec.partable import ParameterTable, Row
from b2b_sem.spec.syntax import Entry, Modifiers, ParsedModel

__all__ = [
    "add_products",
    "factors_of",
    "is_product",
    "linear_part",
    "partial_products",
    "product_entries",
    "product_rows",
    "units_of",
]


def is_product(row: Row | Entry) -> bool:
    """Whether a row or an entry is the path of a product."""
    return row.op == "~" and ":" in row.rhs


def factors_of(row: Row | Entry) -> tuple[str, str]:
    """Return the two factors of a product."""
    first, second = row.rhs.split(":")
    return first, second


def units_of(predictor: str, known: Container[str]) -> tuple[str, ...]:
    """Return the variables whose standard deviations, multiplied, are the unit of a standardized predictor.

    Those of a product are its factors, not the product as a variable of its own (Wen, Marsh & Hau 2010,
    doi:10.1080/10705510903438872); `known` are the variables whose standard deviations there are.
    """
    first, _, second = predictor.partition(":")
    return (first, second) if second and first in known and second in known else (predictor,)


def product_entries(parsed: ParsedModel) -> tuple[Entry, ...]:
    """Return the products of a parsed model that are no columns of the data."""
    return tuple(e for e in parsed.entries if is_product(e) and e.rhs not in parsed.columns)


def product_rows(table: ParameterTable) -> tuple[Row, ...]:
    """Return the products of a table that are no variables of their own."""
    variables = {*table.observed, *table.latents}
    return tuple(r for r in table.rows if is_product(r) and r.rhs not in variables)


def linear_part(parsed: ParsedModel) -> ParsedModel:
    """Return the model without its products and constraints; paths of factors that have none are fixed at 0."""
    products = product_entries(parsed)
    kept = [e for e in parsed.entries if e not in products]
    paths = {(e.block, e.lhs, e.rhs) for e in kept if e.op == "~"}
    for e in products:
        for name in factors_of(e):
            if (e.block, e.lhs, name) not in paths:
                paths.add((e.block, e.lhs, name))
                kept.append(Entry(e.lhs, "~", name, Modifiers(fixed=(0.0,)), e.line, e.column, e.block))
    return replace(parsed, entries=tuple(kept), constraints=())


def add_products(
    table: ParameterTable, parsed: ParsedModel, group_equal: Sequence[str] = (), group_partial: Sequence[str] = ()
) -> ParameterTable:
    """Add the products and constraints of a model to the table of its linear part.

    Parameters
    ----------
    table : ParameterTable
        Of :func:`linear_part`.
    parsed : ParsedModel
        The whole model.
    group_equal, group_partial : sequence of str
        What is equal in all groups of the table: products are so with "regressions", unless they have labels or are
        named in `group_partial`, as ``"RR~PC:PX"``.

    Returns
    -------
    ParameterTable
        Rows of products stand behind the user's other rows, their parameters behind all others.

    Raises
    ------
    ModelSyntaxError
        For a product of unknown variables, one that is stated twice, one that leads back to itself, and modifiers for
        another number of groups.
    Unsupported
        For bounds.
    """
    count = max(len(table.groups), 1)
    models = models_of_groups(parsed, table.groups)
    entries = product_entries(parsed)
    known = {*table.observed, *table.latents}
    numbers = {r.label: r.free for r in table.rows if r.label and r.free}
    fixed = {r.label: r.value for r in table.rows if r.label and not r.free}
    free, seen, rows = table.nfree, set[tuple[int, tuple[str, ...]]](), list[Row]()
    shared = _equal_products(entries, group_equal, group_partial)
    for g, e in [(g, e) for g, own in enumerate(models, 1) for e in product_entries(own)]:
        first, second = factors_of(e)
        where: dict[str, Any] = {"file": parsed.file, "line": e.line, "column": e.column}
        for name in (first, second):
            if name not in known:
                raise ModelSyntaxError(f"'{name}' of the product '{e.rhs}' is no variable of the model", **where)
        key: tuple[str, ...] = (e.lhs, *sorted((first, second)))
        if (g, key) in seen:
            raise ModelSyntaxError(f"the product '{e.rhs}' stands twice in the equation of {e.lhs}", **where)
        seen.add((g, key))
        m = e.modifiers
        if m.lower or m.upper or m.equal:
            raise Unsupported(
                f"bounds and equal() are not available for the product '{e.rhs}'",
                hint="use a label, a start or a fixed value",
                **where,
            )
        for values in (m.fixed, m.start, m.label):
            if len(values) > 1 and len(values) != count:
                raise ModelSyntaxError(
                    f"the product '{e.rhs}' has modifiers for {len(values)} groups, but there "
                    + (f"are {count}" if count > 1 else "is one"),
                    hint="give one value, or one for each group: c(a, b)*X:M",
                    **where,
                )
        m = m.of_group(g)
        label = m.label[0] if m.label else ""
        if not label and key in shared and count > 1:
            # numbered behind the labels that equality gives to other rows
            label = f".p{len(table.rows) + shared.index(key) + 1}."
        value = m.fixed[0] if m.fixed else None
        number = 0
        if label in fixed and label:
            value = fixed[label]
        elif value is None:
            number = numbers.get(label, 0) if label else 0
            if not number:
                free += 1
                number = free
                if label:
                    numbers[label] = number
        start = m.start[0] if m.start else None
        rows.append(Row(e.lhs, "~", e.rhs, number, value, start, label, True, False, e.line, e.column, group=g))
    rows = _fixed_alike(rows)
    every: tuple[Row, ...] = ()
    for g, own in enumerate(models, 1):
        _check_order(table.part(g), product_entries(own), parsed)
        part = [r for r in table.rows if r.group == g]
        users = sum(r.user for r in part)
        every = (*every, *part[:users], *(r for r in rows if r.group == g), *part[users:])
    every = _renumbered(every)
    constraints = check_constraints({r.label for r in every if r.label}, parsed)
    notes = (*table.defaults, *_describe(parsed, entries))
    return replace(table, rows=every, constraints=constraints, defaults=notes, text=parsed.text)


def _equal_products(
    entries: Sequence[Entry], group_equal: Sequence[str], group_partial: Sequence[str]
) -> list[tuple[str, ...]]:
    """Return which products are equal in all groups: outcome and factors in order.

    Raises
    ------
    ModelSyntaxError
        If `group_partial` names a product that the model does not have.
    """
    keys = list(dict.fromkeys((e.lhs, *sorted(factors_of(e))) for e in entries))
    exempt = []
    for name in partial_products(group_partial):
        lhs, _, rhs = re.sub(r"\s+", "", name).partition("~")
        key = (lhs, *sorted(rhs.split(":")))
        if key not in keys:
            raise ModelSyntaxError(
                f"group_partial='{name}' names no parameter", hint="write the product as in the model, 'RR~PC:PX'"
            )
        exempt.append(key)
    return [key for key in keys if key not in exempt] if "regressions" in group_equal else []


def partial_products(group_partial: Sequence[str], columns: Sequence[str] = ()) -> list[str]:
    """Return the members of ``group_partial`` that name products which are no `columns` of the data."""
    named = [(name, re.sub(r"\s+", "", name).partition("~")[2]) for name in group_partial]
    return [name for name, rhs in named if ":" in rhs and rhs not in columns]


def _fixed_alike(rows: list[Row]) -> list[Row]:
    """Return products with one label all fixed where one of them is: at the first such value."""
    fixed: dict[str, float | None] = {}
    for row in rows:
        if row.label and not row.free:
            fixed.setdefault(row.label, row.value)
    return [replace(r, free=0, value=fixed[r.label]) if r.label in fixed else r for r in rows]


def _renumbered(rows: tuple[Row, ...]) -> tuple[Row, ...]:
    """Return the rows without gaps in the numbers of their parameters."""
    numbers = sorted({r.free for r in rows if r.free})
    place = {number: k for k, number in enumerate(numbers, 1)}
    return tuple(replace(r, free=place[r.free]) if r.free else r for r in rows)


def _check_order(table: ParameterTable, entries: Sequence[Entry], parsed: ParsedModel) -> None:
    """Refuse loops: with products a model must be recursive."""
    before: dict[str, set[str]] = {v: set() for v in (*table.latents, *table.observed)}
    for row in table.rows:
        if row.op == "~":
            before[row.lhs].add(row.rhs)
        elif row.op == "=~" and row.rhs in table.latents:
            before[row.rhs].add(row.lhs)
    for e in entries:
        before[e.lhs].update(factors_of(e))
    try:
        TopologicalSorter(before).prepare()
    except CycleError as error:
        names = " -> ".join(reversed(error.args[1]))
        raise Unsupported(
            f"models with products and loops are not available: {names}",
            file=parsed.file,
            hint="remove a path of the loop, or the products",
        ) from None


def _describe(parsed: ParsedModel, entries: Sequence[Entry]) -> list[str]:
    given = {(e.block, e.lhs, e.rhs) for e in parsed.entries if e.op == "~"}
    every = [f"{e.lhs} ~ {v}" for e in entries for v in factors_of(e) if (e.block, e.lhs, v) not in given]
    absent = list(dict.fromkeys(every))
    if not absent:
        return []
    return [f"Paths of the factors of products that the model does not name are fixed at 0: {', '.join(absent)}."]
