"""Propositions on moderation in a study: the main model with the moderator and the product, fitted and tested."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from b2b_sem.analysis.conditional import conditional_effects
from b2b_sem.analysis.moderated import INTERACTIONS
from b2b_sem.analysis.moderation import LATENT, ON_SCORES, moderation
from b2b_sem.analysis.moderation_size import moderation_size
from b2b_sem.analysis.probe import johnson_neyman, simple_slopes
from b2b_sem.analysis.product_setting import ERRORS
from b2b_sem.analysis.structural import fit
from b2b_sem.engine.setting import SAME_MISSING
from b2b_sem.errors import B2BSemError
from b2b_sem.measures.notation import interval, listing, number, p_phrase
from b2b_sem.results.fit import FitResult
from b2b_sem.results.moderation import ModerationResult
from b2b_sem.results.moderation_claim import ModerationClaim
from b2b_sem.results.probe import ConditionalEffects, JohnsonNeyman, ModerationSize, SimpleSlopes
from b2b_sem.spec.moderation import ModeratedModel

__all__ = ["moderation_claim", "moderation_truth", "settle_products"]

#: Monte Carlo draws behind the intervals of conditional effects, and their seed.
DRAWS, SEED = 20_000, 1
#: How far from the mean of the moderator words reach, in its standard deviations.
SPAN = 3.0
WORDS = {
    "slopes": "Simple slopes",
    "region": "Johnson-Neyman region",
    "effects": "Conditional effects",
    "size": "Size of the moderation",
}
#: Routes if a study names none, as far as they are available.
DEFAULT = ("lms", "dmc", "scores", "split")
#: The way of estimation if a study names none.
INTERACTION = "lms"
#: Options of a fit that products of latent variables have, too.
KEPT = ("cluster", "std_lv", "orthogonal", "fixed_x", "kind")
#: Options that they do not have.
LEFT = ("auxiliary", "bounds", "group_equal", "group_partial", "information", "likelihood", "se", "test")
TRUTH_COLUMNS = ("id", "lhs", "op", "rhs", "truth", "est_std", "ci_lower", "ci_upper", "covered")


def moderation_claim(
    model: ModeratedModel,
    data: Any,
    settings: Mapping[str, Any],
    *,
    alpha: float,
    level: float,
    routes: Sequence[str] | None = None,
    probe: bool = True,
) -> ModerationClaim:
    """Fit the model of a claim on moderation, probe the product, and ask the same question by other routes.

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
    routes : sequence of str, optional
        As in :func:`b2b_sem.moderation`, beside the way on which the verdict rests. Default: the other ways in which
        latent products are fitted by default, scores, and a split of the moderator.
    probe : bool
        Whether the product is probed, and the model without it fitted; a verdict needs neither.

    Returns
    -------
    ModerationClaim
        Also where the model could not be fitted: then with the reason.
    """
    options, reasons = settle_products(settings)
    found: FitResult | None = None
    linear: FitResult | None = None
    try:
        if absent := _absent(model, data):
            reasons.insert(0, absent)
        else:
            found = fit(model.text, data, **options)
            if probe:
                linear = fit(model.linear, data, **{k: v for k, v in options.items() if k != "interaction"})
    except B2BSemError as error:
        reasons.insert(0, f"The model with {model.product} was not fitted: {error.message}.")
    usable = found if probe and found is not None and found.ok else None
    parts = {} if usable is None else _probed(model, usable, reasons, alpha, level)
    statements = [] if usable is None else [*_likelihood_ratio(model, usable), *describe(model, **parts)]
    if found is not None:
        parts["routes"] = _asked(model, data, found, options, routes, reasons, alpha, level)
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
        linear=linear,
        statements=tuple(statements),
        reasons=tuple(reasons),
        **parts,
    )


def _probed(model: ModeratedModel, found: FitResult, reasons: list[str], alpha: float, level: float) -> dict[str, Any]:
    """Return slopes, region, conditional effects and size, as far as they exist; add why one does not."""
    product, moderator, outcome = model.product, model.moderator, model.outcome
    asked: dict[str, Callable[[], Any]] = {
        "slopes": lambda: simple_slopes(found, product, moderator, outcome=outcome, level=level),
        "region": lambda: johnson_neyman(found, product, moderator, alpha, outcome=outcome),
        "effects": lambda: conditional_effects(
            found, product, moderator, predictor=model.predictor, ci="mc", level=level, draws=DRAWS, seed=SEED
        ),
        "size": lambda: moderation_size(found, product, outcome=outcome),
    }
    out: dict[str, Any] = {}
    for name, ask in asked.items():
        try:
            out[name] = ask()
        except B2BSemError as error:
            reasons.append(f"{WORDS[name]}: {error.message}.")
    return out


def _asked(
    model: ModeratedModel,
    data: Any,
    found: FitResult,
    options: Mapping[str, Any],
    routes: Sequence[str] | None,
    reasons: list[str],
    alpha: float,
    level: float,
) -> ModerationResult | None:
    """Return the answers of all routes; the fit of the verdict is not repeated."""
    way = options["interaction"]
    own = (way,) if way in LATENT else ()  # not every way is a route
    wanted = tuple(dict.fromkeys((*own, *(default_routes() if routes is None else routes))))
    if not set(wanted) - {way}:
        return None
    try:
        return moderation(
            model.text,
            data,
            model.product,
            model.outcome,
            routes=wanted,
            moderator=model.moderator,
            estimator=options["estimator"],
            missing=options["missing"],
            cluster=options.get("cluster"),
            std_lv=options.get("std_lv", False),
            alpha=alpha,
            level=level,
            fits={way: found},
        )
    except B2BSemError as error:
        reasons.append(f"Other routes: {error.message}.")
        return None


def default_routes() -> tuple[str, ...]:
    """Return the routes by which a study asks if it names none."""
    return tuple(route for route in DEFAULT if route in INTERACTIONS or route in ON_SCORES)


def describe(
    model: ModeratedModel,
    slopes: SimpleSlopes | None = None,
    region: JohnsonNeyman | None = None,
    effects: ConditionalEffects | None = None,
    size: ModerationSize | None = None,
) -> list[str]:
    """Say in words what slopes, region, size and conditional effects come to."""
    effect = f"the effect of {model.predictor} on {model.outcome}"
    out = []
    if slopes is not None:
        rows = [
            f"{number(row['est'])} at {_place(str(row['at']), model.moderator)}"
            for row in slopes.table.to_dict("records")
        ]
        shown = [f"{number(v, bounded=True)}" for v in slopes.table["est_std"]]
        out.append(f"{effect[0].upper()}{effect[1:]} is {listing(rows)} (standardized {listing(shown)}).")
    if region is not None:
        out.append(_region(model, region, effect))
    if effects is not None:
        own = effects.index
        own = own[(own["measure"] == "index") & (own["kind"] == "specific") & own["est"].notna()]
        for row in own.to_dict("records"):
            ci = f"{100 * effects.level:g}% CI {interval(row['ci_lower'], row['ci_upper'], 3)}"
            out.append(f"Index of moderated mediation, {row['path']}: {number(row['est'], 3)} ({ci}).")
    if size is not None:
        out.append(
            f"The product adds {number(100 * size.delta_r2, 1)} % to the explained variance of {model.outcome} "
            f"(R2 = {number(size.r2, 3, bounded=True)}; f2 = {number(size.f2, 3, bounded=True)})."
        )
    return out


def _place(at: str, moderator: str) -> str:
    """Return in words where a value of the moderator lies."""
    if at == "mean":
        return f"the mean of {moderator}"
    return f"{at} of {moderator}" if at.endswith("SD") else f"{moderator} = {at}"


def _region(model: ModeratedModel, region: JohnsonNeyman, effect: str) -> str:
    m = model.moderator
    spread = region.surface.m
    low, high = spread.window(SPAN)
    rows = region.regions
    rows = rows[(rows["band"] == region.kind) & (rows["lower"] < high) & (rows["upper"] > low)]
    start = (
        f"Johnson-Neyman (alpha = {region.alpha:g}): within {SPAN:g} standard deviations of the mean of {m}, {effect}"
    )
    if rows.empty:
        return f"{start} nowhere differs from zero."
    parts = []
    for row in rows.to_dict("records"):
        sign = "positive" if row["sign"] == "+" else "negative"
        below, above = row["lower"] > low, row["upper"] < high
        ends = [f"above {number(row['lower'])}"] * below + [f"below {number(row['upper'])}"] * above
        parts.append(f"{sign} {' and '.join(ends) or 'everywhere'} ({number(100 * row['share'], 1)} % of respondents)")
    return f"{start} is {', '.join(parts)}."


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
