"""Models with products of latent variables that are measured by products of items; products of observed variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np

from b2b_sem.analysis.fitted import Fit, context_of
from b2b_sem.analysis.intake import check_columns, check_data, refuse
from b2b_sem.analysis.linear import fit_linear
from b2b_sem.data.product import add_product_columns
from b2b_sem.errors import DataError, ModelSyntaxError, Unsupported, did_you_mean
from b2b_sem.spec.indicator import Expansion, ProductTerm, expand, observed_products
from b2b_sem.spec.partable import build_table
from b2b_sem.spec.product import add_products, factors_of, linear_part
from b2b_sem.spec.syntax import Modifiers, ParsedModel

__all__ = ["fit_indicators", "with_observed_products"]

#: Where a method comes from.
SOURCES = {
    "dmc": "Lin, Wen, Marsh & Lin 2010",
    "mc": "Marsh, Wen & Hau 2004",
    "rc": "Little, Bovaird & Widaman 2006",
    "ca": "Kenny & Judd 1984, Joreskog & Yang 1996",
}

#: Distance of a group's mean from the mean of all, in standard deviations, that is worth a warning.
FAR = 0.2


def with_observed_products(parsed: ParsedModel, data: Any) -> tuple[ParsedModel, Any, tuple[str, ...]]:
    """Return the model and the data with the products of observed variables as columns, and what to know about them.

    Parameters
    ----------
    parsed : ParsedModel
    data : DataFrame, mapping, Responses or None

    Raises
    ------
    DataError
        If there are such products and no rows.
    ModelSyntaxError
        If a factor is no column of the data.
    """
    entries = observed_products(parsed)
    if not entries:
        return parsed, data, ()
    names = list(dict.fromkeys(e.rhs for e in entries))
    if data is None:
        raise DataError(
            f"the product {names[0]} is computed from the rows of the data, and there are only moments",
            hint="give data=..., or make the product a variable of the covariance matrix",
        )
    columns = check_columns(data)
    for e in entries:
        absent = next((v for v in factors_of(e) if v not in columns), None)
        if absent is not None:
            raise ModelSyntaxError(
                f"'{absent}' of the product '{e.rhs}' is neither a latent variable of the model nor a column of the "
                f"data.{did_you_mean(absent, columns)}",
                file=parsed.file,
                line=e.line,
                column=e.column,
                hint="check the spelling; names are case-sensitive",
            )
    terms = []
    for name in names:
        a, b = name.split(":")
        terms.append(ProductTerm(name, (a,), (b,), ((a, b),), "none", (name,)))
    note = (
        f"{', '.join(names)}: the product of the columns as they are. The effect of each factor is that where the "
        "other is 0; centre the factors if 0 is no answer. Chi-square depends on where 0 lies, too, if the model "
        "leaves out a factor of the product or one of its covariances."
    )
    return replace(parsed, columns=(*parsed.columns, *names)), add_product_columns(data, terms), (note,)


def fit_indicators(parsed: ParsedModel, data: Any, arguments: Mapping[str, Any]) -> Fit:
    """Fit a model with products of latent variables by product indicators.

    Parameters
    ----------
    parsed : ParsedModel
    data : DataFrame, mapping of columns, or Responses
    arguments : mapping
        Those of :func:`b2b_sem.fit`.

    Raises
    ------
    Unsupported, DataError, ModelSyntaxError
        As :func:`b2b_sem.fit`.
    """
    method = str(arguments["interaction"])
    centring = method.partition("-")[0]
    refuse(
        kind=(arguments["kind"], ("sem", "cfa"), "use kind='sem'"),
        std_lv=(
            bool(arguments["std_lv"]),
            (False,),
            "a product has the unit of its factors: fix a loading of each; the standardized columns tell the rest",
        ),
        auxiliary=(tuple(arguments["auxiliary"]), ((),), "leave it out"),
    )
    if data is None or arguments["sample_cov"] is not None:
        raise DataError("products of items need the rows of the data, not moments", hint="give data=...")
    if centring == "ca":
        refuse(
            group=(arguments["group"], (None,), "the constrained approach is for one group: use 'dmc'"),
            orthogonal=(bool(arguments["orthogonal"]), (False,), "leave it out, or use 'dmc'"),
        )
    if centring in ("mc", "ca") and arguments["meanstructure"] is False:
        raise Unsupported(
            "mean-centred products have means, which are modelled", hint="leave meanstructure out, or use 'dmc'"
        )
    expansion = expand(parsed, method)
    _check_model(parsed, data)
    whole = add_product_columns(data, expansion.terms)
    fit = fit_linear(expansion.parsed, whole, {**arguments, "interaction": "lms"})
    options = MappingProxyType({**fit.model.options, "interaction": method})
    context = replace(context_of(fit), products=expansion.terms)
    return replace(
        fit,
        model=replace(fit.model, options=options),
        warnings=(*fit.warnings, *_far_groups(fit, expansion)),
        notes=(*_notes(fit, expansion, centring), *fit.notes),
        _context=context,
    )


def _far_groups(fit: Fit, expansion: Expansion) -> list[str]:
    """Warn of groups whose means are far from those at which items are centred.

    There the product of two items holds the error of one times the distance of the other: its residual covaries with
    those of its items, which the model leaves out, so that the path of the product is wrong.
    """
    observed = context_of(fit).observed
    if len(observed.groups) == 1:
        return []
    items = list(dict.fromkeys(v for t in expansion.terms for v in (*t.first, *t.second)))
    at = [observed.names.index(v) for v in items]
    sizes = np.array([part.nobs for part in observed.groups], dtype=float)
    means = np.array([np.asarray(part.mean)[at] for part in observed.groups])
    spreads = np.sqrt([np.diag(part.cov)[at] for part in observed.groups])
    away = np.abs(means - sizes @ means / sizes.sum()) / spreads
    g, k = np.unravel_index(int(np.argmax(away)), away.shape)
    if not away[g, k] > FAR:
        return []
    return [
        f"Items are centred at their means over all groups, and in group {fit.groups[g]} {items[k]} lies "
        f"{away[g, k]:.1f} standard deviations from there: the paths of products are biased. Use interaction='lms', or "
        "fit each group by itself."
    ]


def _check_model(parsed: ParsedModel, data: Any) -> None:
    """Refuse what no way of estimation has: unknown variables, products that stand twice, loops."""
    plain = replace(parsed, entries=tuple(replace(e, modifiers=Modifiers()) for e in parsed.entries), constraints=())
    linear = build_table(linear_part(plain))
    check_data(linear, data)
    add_products(linear, plain)


def _notes(fit: Fit, expansion: Expansion, centring: str) -> list[str]:
    """Say how the products were made, and what a reader must know of the numbers."""
    notes = [f"Product indicators ({SOURCES[centring]}). " + " ".join(expansion.notes), _standardization(fit)]
    options = fit.model.options
    if centring == "ca":
        notes.append(
            "The constraints, like standard errors and chi-square here, suppose normal factors and errors of items. If "
            "these are not normal the product is biased: compare interaction='dmc' with estimator='MLR'."
        )
    elif options["se"] == "standard" and options["test"] == "standard":
        notes.append(
            "Products of items are not normal, even where the items are; standard errors and chi-square of "
            f"estimator={fit.estimator!r} take them as normal. estimator='MLR' does not."
        )
    if options["missing"] != "listwise":
        notes.append(
            "A product is missing where an item of it is. That a product is missing depends on the same answers as its "
            "value, so full information does not remove all bias; interaction='lms' does not have this problem."
        )
    return notes


def _standardization(fit: Fit) -> str:
    """Say what the standardized path of a product is, and what it is elsewhere."""
    text = (
        "The standardized path of a product a:b is that of Wen, Marsh & Hau (2010), b3 sd(a) sd(b) / sd(outcome). "
        "Programs that standardize a product like any other variable give another number"
    )
    if fit.groups:
        return text + "."
    sd: dict[str, float] = {}
    for cov in (fit.latent_cov(), fit.implied()["cov"]):
        with np.errstate(invalid="ignore"):
            sd |= dict(zip(cov.index, np.sqrt(np.diag(cov)).tolist(), strict=True))
    rows = fit.parameters
    rows = rows[(rows["op"] == "~") & rows["rhs"].isin([name for name in fit.model.latents if ":" in name])]
    paths = zip(rows["lhs"], rows["rhs"], rows["est"], strict=True)
    naive = [f"{y} ~ {x} {est * sd[x] / sd[y]:.3f}" for y, x, est in paths]
    return f"{text}: {', '.join(naive)}."
