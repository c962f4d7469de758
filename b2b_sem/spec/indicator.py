"""Product indicators: a model with products of latent variables as a linear model whose products are measured.

``RR ~ PC + PX + PC:PX`` gets the latent variable ``PC:PX``, measured by products of the indicators of its factors:
matched pairs in their order (the first of one with the first of the other), or all pairs. The pair of the items whose
loadings are fixed gives the product its unit: that of PC times that of PX.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from b2b_sem.errors import ModelSyntaxError, Unsupported
from b2b_sem.spec.constrained import constrain
from b2b_sem.spec.product import factors_of, is_product, linear_part, product_entries
from b2b_sem.spec.syntax import Entry, Modifiers, ParsedModel

__all__ = ["CENTRINGS", "Expansion", "ProductTerm", "column_name", "expand", "observed_products", "pairs_of"]

#: How products are centred, by the name that a method starts with.
CENTRINGS = {
    "dmc": "double-mean-centred",
    "mc": "mean-centred",
    "rc": "residual-centred",
    "ca": "mean-centred and constrained",
}


@dataclass(frozen=True)
class ProductTerm:
    """One product and the columns that stand for it.

    Attributes
    ----------
    name : str
        As in the model: ``PC:PX``.
    first, second : tuple of str
        Items of the two factors.
    pairs : tuple of (str, str)
        The items whose products are used.
    centring : {"dmc", "mc", "rc", "ca", "none"}
    columns : tuple of str
        Name of each product.
    """

    name: str
    first: tuple[str, ...]
    second: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    centring: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Expansion:
    """A model whose products are measured.

    Attributes
    ----------
    parsed : ParsedModel
    terms : tuple of ProductTerm
    notes : tuple of str
    """

    parsed: ParsedModel
    terms: tuple[ProductTerm, ...]
    notes: tuple[str, ...]


def column_name(first: str, second: str) -> str:
    """Return the name of the product of two items."""
    return f"{first}.{second}"


def pairs_of(first: Sequence[str], second: Sequence[str], every: bool) -> tuple[tuple[str, str], ...]:
    """Return the pairs of items whose products are taken.

    Parameters
    ----------
    first, second : sequence of str
    every : bool
        All pairs, each once in a square; else the first with the first, and so on, as far as the shorter list goes.
    """
    if not every:
        return tuple(zip(first, second, strict=False))
    found: dict[frozenset[str], tuple[str, str]] = {}
    for a in first:
        for b in second:
            found.setdefault(frozenset((a, b)), (a, b))
    return tuple(found.values())


def observed_products(parsed: ParsedModel) -> tuple[Entry, ...]:
    """Return the products without a latent variable."""
    latents = {e.lhs for e in parsed.entries if e.op == "=~"}
    return tuple(e for e in product_entries(parsed) if not latents & set(factors_of(e)))


def expand(parsed: ParsedModel, method: str) -> Expansion:
    """Return the model with a latent variable for each product, measured by products of items.

    Residuals of two products that share an item with measurement error covary: that is so whatever the distribution of
    the answers (Marsh, Wen & Hau 2004, doi:10.1037/1082-989X.9.3.275). With mean-centred products the mean of the
    latent product is a parameter, and the intercept of its first indicator is 0.

    Parameters
    ----------
    parsed : ParsedModel
    method : {"dmc", "dmc-all", "mc", "mc-all", "rc", "rc-all", "ca"}
        ``"ca"`` is ``"mc"`` with the constraints of :mod:`b2b_sem.spec.constrained`.

    Raises
    ------
    ModelSyntaxError
        For a product of unknown variables, one that is stated twice, or names that clash.
    Unsupported
        For factors measured by latent variables, products without a unit, and blocks.
    """
    if parsed.blocks:
        raise Unsupported(
            "products of latent variables and blocks for groups do not go together",
            file=parsed.file,
            hint="write one model for all groups, with c(...) where they differ",
        )
    centring, _, every = method.partition("-")
    measured = _measured(parsed)
    names = _canonical(parsed)
    terms: list[ProductTerm] = []
    added: list[Entry] = []
    notes = []
    for e in product_entries(parsed):
        if names[e.rhs] != e.rhs or e.rhs in {t.name for t in terms}:
            continue
        term = _term(e, parsed, measured, centring, bool(every))
        terms.append(term)
        added += _loadings(term, e, parsed, measured)
        if centring == "mc":
            added.append(Entry(term.columns[0], "~1", "", Modifiers(fixed=(0.0,)), e.line, e.column))
            added.append(Entry(term.name, "~1", "", Modifiers(fixed=(None,)), e.line, e.column))
        notes.append(_describe(term, every))
    _check_names(parsed, terms)
    added += _residual_covariances(terms, measured, product_entries(parsed)[0])
    plain = linear_part(parsed)
    rest = [e for e in plain.entries if e not in parsed.entries]
    kept = [replace(e, rhs=names[e.rhs]) if e.rhs in names else e for e in parsed.entries]
    _check_twice(kept, parsed)
    own: tuple[Entry, ...] = (*kept, *rest, *added)
    constraints = parsed.constraints
    if centring == "ca":
        if len(terms) > 1:
            raise Unsupported(
                "the constrained approach is available for one product", file=parsed.file, hint="use interaction='dmc'"
            )
        own, constraints = constrain(replace(parsed, entries=own), terms[0].name, terms[0].pairs, terms[0].columns)
    if rest:
        absent = ", ".join(f"{e.lhs} ~ {e.rhs}" for e in rest)
        notes.append(f"Paths of the factors of products that the model does not name are fixed at 0: {absent}.")
    notes += [f"{old} is {new}: one product, one name." for old, new in names.items() if old != new]
    return Expansion(replace(parsed, entries=own, constraints=constraints), tuple(terms), tuple(notes))


def _canonical(parsed: ParsedModel) -> dict[str, str]:
    """Return the name of each product as first written: PX:PC is PC:PX."""
    first: dict[frozenset[str], str] = {}
    return {e.rhs: first.setdefault(frozenset(factors_of(e)), e.rhs) for e in product_entries(parsed)}


def _measured(parsed: ParsedModel) -> dict[str, dict[str, Entry]]:
    """Return the indicators of each latent variable, with their statements."""
    out: dict[str, dict[str, Entry]] = {}
    for e in parsed.entries:
        if e.op == "=~":
            out.setdefault(e.lhs, {})[e.rhs] = e
    return out


def _term(
    e: Entry, parsed: ParsedModel, measured: Mapping[str, Mapping[str, Entry]], centring: str, every: bool
) -> ProductTerm:
    where: dict[str, Any] = {"file": parsed.file, "line": e.line, "column": e.column}
    items: list[tuple[str, ...]] = []
    for name in factors_of(e):
        own = tuple(measured.get(name, {name: e}))
        facets = [v for v in own if v in measured]
        if facets:
            raise Unsupported(
                f"{name} is measured by latent variables ({', '.join(facets)}), so '{e.rhs}' has no product indicators",
                hint="use interaction='lms'",
                **where,
            )
        items.append(own)
    first, second = items
    if min(len(first), len(second)) == 1:
        every = True  # an observed variable, or a single item, goes with each item of the other
    pairs = pairs_of(first, second, every)
    return ProductTerm(e.rhs, first, second, pairs, centring, tuple(column_name(*p) for p in pairs))


def _loadings(
    term: ProductTerm, e: Entry, parsed: ParsedModel, measured: Mapping[str, Mapping[str, Entry]]
) -> list[Entry]:
    """Return the loadings of a product: that of a pair of fixed loadings is fixed at their product."""
    a, b = factors_of(e)
    fixed = [_fixed_product(_fixed_loading(a, x, measured), _fixed_loading(b, y, measured)) for x, y in term.pairs]
    at = next((k for k, values in enumerate(fixed) if all(values)), None)
    if at is None:
        raise Unsupported(
            f"the product '{term.name}' has no unit: in no pair of items ({', '.join(term.columns)}) are both loadings "
            "fixed",
            file=parsed.file,
            line=e.line,
            column=e.column,
            hint=f"fix the first loading of {a} and of {b}",
        )
    out = []
    for k, column in enumerate(term.columns):
        modifiers = Modifiers(fixed=fixed[k]) if k == at else Modifiers(fixed=(None,)) if k == 0 else Modifiers()
        out.append(Entry(term.name, "=~", column, modifiers, e.line, e.column))
    return out


def _fixed_product(x: tuple[float | None, ...], y: tuple[float | None, ...]) -> tuple[float | None, ...]:
    n = max(len(x), len(y))
    pairs = zip(x * n if len(x) == 1 else x, y * n if len(y) == 1 else y, strict=False)
    return tuple(None if a is None or b is None else a * b for a, b in pairs)


def _fixed_loading(name: str, item: str, measured: Mapping[str, Mapping[str, Entry]]) -> tuple[float | None, ...]:
    """Return the fixed loading of an item, one for all groups or one for each; None if it is free."""
    if name not in measured:
        return (1.0,)
    fixed = measured[name][item].modifiers.fixed
    return fixed or ((1.0,) if item == next(iter(measured[name])) else (None,))


def _residual_covariances(
    terms: Sequence[ProductTerm], measured: Mapping[str, Mapping[str, Entry]], e: Entry
) -> list[Entry]:
    """Return covariances of the residuals of products that share an item; one without error gives none."""
    with_error = {item for own in measured.values() if len(own) > 1 for item in own}
    pairs = {c: set(p) & with_error for t in terms for c, p in zip(t.columns, t.pairs, strict=True)}
    return [Entry(a, "~~", b, Modifiers(), e.line, e.column) for a, b in combinations(pairs, 2) if pairs[a] & pairs[b]]


def _check_names(parsed: ParsedModel, terms: Sequence[ProductTerm]) -> None:
    known = {name for e in parsed.entries for name in (e.lhs, e.rhs)}
    clash = [c for t in terms for c in t.columns if c in known]
    if clash:
        raise ModelSyntaxError(
            f"'{clash[0]}' is a variable of the model, and the name of a product of two of its items",
            file=parsed.file,
            hint="rename the variable, or leave it out: products of items are made from the data",
        )


def _check_twice(entries: Sequence[Entry], parsed: ParsedModel) -> None:
    seen: set[tuple[str, str]] = set()
    for e in entries:
        if is_product(e):
            if (e.lhs, e.rhs) in seen:
                raise ModelSyntaxError(
                    f"the product '{e.rhs}' stands twice in the equation of {e.lhs}",
                    file=parsed.file,
                    line=e.line,
                    column=e.column,
                )
            seen.add((e.lhs, e.rhs))


def _describe(term: ProductTerm, every: str) -> str:
    how = CENTRINGS[term.centring]
    kind = "all pairs" if every else "matched pairs"
    text = f"{term.name} is measured by {how} products of items ({kind}): {', '.join(term.columns)}."
    used = {item for pair in term.pairs for item in pair}
    left = [item for item in dict.fromkeys((*term.first, *term.second)) if item not in used]
    return text + (f" Items without a partner are in no product: {', '.join(left)}." if left else "")
