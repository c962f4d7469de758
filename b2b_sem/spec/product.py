"""Products of variables in a model: ``RR ~ PC + PX + PC:PX``.

The linear part of a model is a table of its own, with all the defaults of a model without products; the products are
rows that are added to it. A variable that stands in a product has its own path, too: fixed at 0 where the text gives
it none.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from typing import Any

from b2b_sem.errors import ModelSyntaxError, Unsupported
from b2b_sem.spec.definition import check_constraints
from b2b_sem.spec.partable import ParameterTable, Row
from b2b_sem.spec.syntax import Entry, Modifiers, ParsedModel

__all__ = [
    "add_products",
    "factors_of",
    "is_product",
    "linear_part",
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
    paths = {(e.lhs, e.rhs) for e in kept if e.op == "~"}
    for e in products:
        for name in factors_of(e):
            if (e.lhs, name) not in paths:
                paths.add((e.lhs, name))
                kept.append(Entry(e.lhs, "~", name, Modifiers(fixed=(0.0,)), e.line, e.column))
    return replace(parsed, entries=tuple(kept), constraints=())


def add_products(table: ParameterTable, parsed: ParsedModel) -> ParameterTable:
    """Add the products and constraints of a model to the table of its linear part.

    Parameters
    ----------
    table : ParameterTable
        Of :func:`linear_part`.
    parsed : ParsedModel
        The whole model.

    Returns
    -------
    ParameterTable
        Rows of products stand behind the user's other rows, their parameters behind all others.

    Raises
    ------
    ModelSyntaxError
        For a product of unknown variables, one that is stated twice, or one that leads back to itself.
    Unsupported
        For products without a latent variable, and bounds.
    """
    entries = product_entries(parsed)
    known = {*table.observed, *table.latents}
    numbers = {r.label: r.free for r in table.rows if r.label and r.free}
    fixed = {r.label: r.value for r in table.rows if r.label and not r.free}
    free, seen, rows = table.nfree, set[tuple[str, ...]](), []
    for e in entries:
        first, second = factors_of(e)
        where: dict[str, Any] = {"file": parsed.file, "line": e.line, "column": e.column}
        for name in (first, second):
            if name not in known:
                raise ModelSyntaxError(f"'{name}' of the product '{e.rhs}' is no variable of the model", **where)
        key = (e.lhs, *sorted((first, second)))
        if key in seen:
            raise ModelSyntaxError(f"the product '{e.rhs}' stands twice in the equation of {e.lhs}", **where)
        seen.add(key)
        m = e.modifiers
        if m.lower or m.upper or m.equal or any(len(v) > 1 for v in (m.fixed, m.start, m.label)):
            raise Unsupported(
                f"bounds, equal() and values of groups are not available for the product '{e.rhs}'",
                hint="use a label, a start or a fixed value",
                **where,
            )
        label = m.label[0] if m.label else ""
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
        rows.append(Row(e.lhs, "~", e.rhs, number, value, start, label, True, False, e.line, e.column))
    _check_order(table, entries, parsed)
    users = sum(r.user for r in table.rows)
    every = (*table.rows[:users], *rows, *table.rows[users:])
    constraints = check_constraints({r.label for r in every if r.label}, parsed)
    notes = (*table.defaults, *_describe(parsed, entries))
    return replace(table, rows=every, constraints=constraints, defaults=notes, text=parsed.text)


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
    given = {(e.lhs, e.rhs) for e in parsed.entries if e.op == "~"}
    absent = [f"{e.lhs} ~ {v}" for e in entries for v in factors_of(e) if (e.lhs, v) not in given]
    if not absent:
        return []
    return [f"Paths of the factors of products that the model does not name are fixed at 0: {', '.join(absent)}."]
