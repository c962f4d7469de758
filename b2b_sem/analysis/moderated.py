"""Models with products of latent variables, ``RR ~ PC + PX + PC:PX``: which way of estimation a call asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from b2b_sem.analysis.fitted import Fit
from b2b_sem.analysis.linear import fit_linear
from b2b_sem.data.product import METHODS
from b2b_sem.errors import Unsupported
from b2b_sem.spec.product import product_entries
from b2b_sem.spec.syntax import ParsedModel

__all__ = ["INTERACTIONS", "add_notes", "fit_products"]

#: Ways of estimation: what `interaction` may be.
INTERACTIONS = ("lms", "qml", *METHODS, "ca")


def fit_products(parsed: ParsedModel, data: Any, arguments: Mapping[str, Any]) -> Fit:
    """Fit a model with products in the way that ``arguments["interaction"]`` names.

    Parameters
    ----------
    parsed : ParsedModel
    data : DataFrame or Responses
    arguments : mapping
        Those of :func:`b2b_sem.fit`.

    Raises
    ------
    Unsupported, DataError, ModelSyntaxError
        As :func:`b2b_sem.fit`.
    """
    from b2b_sem.analysis.indicator import fit_indicators, with_observed_products
    from b2b_sem.analysis.lms import LMS
    from b2b_sem.analysis.product_fit import fit_way
    from b2b_sem.analysis.qml import QML

    interaction = arguments["interaction"]
    parsed, data, notes = with_observed_products(parsed, data)
    if not product_entries(parsed):
        if interaction != "lms":
            raise Unsupported(
                f"interaction={interaction!r} is about products of latent variables, and the model has none",
                hint="leave it out: products of observed variables are columns of the data",
            )
        return add_notes(fit_linear(parsed, data, arguments), notes)
    if arguments["ordered"] or any(e.op in ("|", "~*~") for e in parsed.entries):
        raise Unsupported(
            "products of latent variables are not available with ordinal items",
            hint="take the answers as numbers: leave ordered and thresholds out",
        )
    if interaction == "lms":
        return add_notes(fit_way(parsed, data, arguments, LMS), notes)
    if interaction == "qml":
        return add_notes(fit_way(parsed, data, arguments, QML), notes)
    if interaction in (*METHODS, "ca"):
        return add_notes(fit_indicators(parsed, data, arguments), notes)
    raise Unsupported(
        f"interaction={interaction!r} is not available", hint=f"use one of {', '.join(repr(i) for i in INTERACTIONS)}"
    )


def add_notes(fit: Fit, notes: Sequence[str]) -> Fit:
    """Return the fit with more notes in front of its own."""
    return replace(fit, notes=(*notes, *fit.notes)) if notes else fit
