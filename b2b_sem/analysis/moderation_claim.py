"""Propositions on moderation in a study: the main model with the moderator and the product, fitted and tested."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from b2b_sem.analysis.lms import ERRORS
from b2b_sem.analysis.structural import fit
from b2b_sem.engine.setting import SAME_MISSING
from b2b_sem.errors import B2BSemError
from b2b_sem.measures.notation import number, p_phrase
from b2b_sem.results.fit import FitResult
from b2b_sem.results.moderation_claim import ModerationClaim
from b2b_sem.spec.moderation import ModeratedModel

__all__ = ["moderation_truth", "settle_products", "test_claim"]

#: The way of estimation if a study names none.
INTERACTION = "lms"
#: Options of a fit that products of latent variables have, too.
KEPT = ("cluster", "std_lv", "orthogonal", "fixed_x", "kind")
#: Options that they do not have.
LEFT = ("auxiliary", "bounds", "group_equal", "group_partial", "information", "likelihood", "se", "test")
TRUTH_COLUMNS = ("id", "lhs", "op", "rhs", "truth", "est_std", "ci_lower", "ci_upper", "covered")


def test_claim(
    model: ModeratedModel,
    data: Any,
    settings: Mapping[str, Any],
    *,
    alpha: float,
    level: float,
) -> ModerationClaim:
    """Fit the model of a claim on moderation.

    Parameters
    ----------
    model : ModeratedModel
    data : Responses or None
        Scored answers; None if there is only a covariance matrix.
    settings : mapping
        Of the fits of the study; what is not available for products is replaced, which is said. ``interaction`` is the
        way of estimation.
    alpha, level : float
        Error rate, and level of intervals.

    Returns
    -------
    ModerationClaim
        Also where the model could not be fitted: then with the reason.
    """
    options, reasons = settle_products(settings)
    found: FitResult | None = None
    statements: list[str] = []
    try:
        if absent := _absent(model, data):
            reasons.insert(0, absent)
        else:
            found = fit(model.text, data, **options)
            statements += _likelihood_ratio(model, found)
    except B2BSemError as error:
        reasons.insert(0, f"The model with {model.product} was not fitted: {error.message}.")
    return ModerationClaim(
        id=model.id,
        outcome=model.outcome,
        predictor=model.predictor,
        moderator=model.moderator,
        product=model.product,
        interaction=options["interaction"],
        text=model.text,
        added=model.added,
        alpha=alpha,
        level=level,
        fit=found,
        statements=tuple(statements),
        reasons=tuple(reasons),
    )


def settle_products(settings: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the options of fits with products of latent variables, and what they replace or leave out.

    Parameters
    ----------
    settings : mapping
        Arguments of :func:`b2b_sem.fit` as a study states them.
    """
    reasons = []
    estimator = str(settings.get("estimator", "ML")).upper()
    ordered = settings.get("ordered")
    if ordered is not None and ordered is not False and len([] if ordered is True else ordered) + (ordered is True):
        reasons.append("Ordered items were taken as numbers: products of latent variables have no other way.")
    elif estimator not in ERRORS:
        reasons.append(f"The product was estimated with MLR: {estimator} is not available for that.")
    estimator = estimator if estimator in ERRORS else "MLR"
    missing = str(settings.get("missing", "listwise"))
    if SAME_MISSING.get(missing, missing) not in ("listwise", "fiml", "fiml.x"):
        reasons.append(
            f"The product was estimated with full information: missing='{missing}' is not available for that."
        )
        missing = "fiml"
    options: dict[str, Any] = {
        "estimator": estimator,
        "missing": missing,
        "interaction": settings.get("interaction") or INTERACTION,
    }
    options |= {k: settings[k] for k in KEPT if settings.get(k) is not None}
    if left := [k for k in LEFT if settings.get(k)]:
        reasons.append(f"The product was estimated without the setting{'s' * (len(left) > 1)} {', '.join(left)}.")
    return options, reasons


def _absent(model: ModeratedModel, data: Any) -> str:
    """Return what the data do not have, "" if the model can be fitted to them."""
    if data is None:
        return "A product needs the answers: a covariance matrix does not hold it."
    columns = {str(c) for c in data.frame.columns}
    names = [name for name in model.items if name not in columns]
    names += [model.moderator] if model.observed and model.moderator not in columns else []
    if not names or names == [model.moderator]:
        return f"The data have no column '{model.moderator}'." if names else ""
    return f"The data have no {', '.join(names)}: {model.moderator} was not asked in full."


def _likelihood_ratio(model: ModeratedModel, found: FitResult) -> list[str]:
    """Say what the likelihood-ratio test of the products comes to; it is for normal answers."""
    m = found.measures
    p = m.get("product_pvalue", math.nan)
    if not found.ok or found.estimator != "ML" or math.isnan(p) or m["product_df"] != 1:
        return []
    return [
        f"Likelihood-ratio test of {model.product} against the model without it: chi-square(1) = "
        f"{number(m['product_chisq'])}, {p_phrase(p)}."
    ]


def moderation_truth(truth: pd.DataFrame, claim: ModerationClaim) -> pd.DataFrame:
    """Set the known equation of a simulated outcome beside the estimates.

    Parameters
    ----------
    truth : DataFrame
        lhs, op, rhs, expected: all terms of the equation.
    claim : ModerationClaim

    Returns
    -------
    DataFrame
        id lhs op rhs truth est_std ci_lower ci_upper covered; empty where the fit does not have all terms.
    """
    empty = pd.DataFrame(columns=list(TRUTH_COLUMNS))
    if claim.fit is None or not claim.fit.ok:
        return empty
    rows = claim.fit.standardized()
    rows = rows[(rows["op"] == "~") & (rows["lhs"] == claim.outcome)]
    found = {_term(str(r["rhs"])): r for r in rows.to_dict("records")}
    own = truth[truth["lhs"] == claim.outcome]
    known = {_term(str(term)): float(value) for term, value in zip(own["rhs"], own["expected"], strict=True)}
    if _term(claim.product) not in known or not set(known) <= set(found):
        return empty
    out = []
    for term, value in known.items():
        row = found[term]
        est, low, high = (float(row[c]) for c in ("est_std", "ci_lower", "ci_upper"))
        out.append((claim.id, claim.outcome, "~", row["rhs"], value, est, low, high, low <= value <= high))
    return pd.DataFrame(out, columns=list(TRUTH_COLUMNS))


def _term(name: str) -> tuple[str, ...]:
    """Return the factors of a term, sorted: a product has two names."""
    return tuple(sorted(name.split(":")))
