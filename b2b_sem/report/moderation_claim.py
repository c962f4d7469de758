"""Propositions on moderation in the report: the product, slopes, regions, conditional effects, and other routes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from b2b_sem.measures.notation import TYPESET, number
from b2b_sem.report.canvas import Figure
from b2b_sem.report.comparison import ComparisonPart, ComparisonView
from b2b_sem.report.moderation_route import draw_routes, route_table
from b2b_sem.report.narrative import describe_fit
from b2b_sem.report.probe_figure import probe_figures
from b2b_sem.report.table import Column, Table, table
from b2b_sem.results.method import label_method
from b2b_sem.results.moderation_claim import ModerationClaim
from b2b_sem.results.study import StudyResult

__all__ = ["describe_moderations", "moderation_figures", "moderation_tables", "tabulate_moderation_truth"]

_TESTED = (
    Column("est", "Estimate", "number"),
    Column("se", "SE", "number"),
    Column("z", "z", "number"),
    Column("pvalue", "p", "p"),
)
_TESTED3 = (
    Column("est", "Estimate", "number3"),
    Column("se", "SE", "number3"),
    Column("z", "z", "number", shown=False),
    Column("pvalue", "p", "p"),
)
_KINDS = {"direct": "direct", "specific": "along one path", "indirect": "all indirect", "total": "total"}


def moderation_tables(result: StudyResult) -> dict[str, Table]:
    """Return the tables of all propositions on moderation, by name, as far as there are numbers."""
    found = [made for claim in result.moderations for made in _tables(claim)]
    return {t.name: t for t in found}


def describe_moderations(moderations: Sequence[ModerationClaim]) -> list[ComparisonView]:
    """Return what the report says of propositions on moderation."""
    out = []
    for claim in moderations:
        prefix = _prefix(claim)
        title = f"{claim.id}: {claim.predictor} × {claim.moderator} → {claim.outcome}"
        head, parts = "", []
        if claim.fit is not None:
            head = f"{claim.interaction.upper()}, {label_method(claim.fit)}. "
            added = "; ".join(claim.added.splitlines())
            head += f"The model has, beside the main model: {added}." if added else "The main model has the product."
        if claim.ok:
            assert claim.fit is not None
            tables = [f"{prefix}_equation"] + [f"{prefix}_slopes"] * (claim.slopes is not None)
            folded = [f"{_dashed(prefix)}-surface", *[f"{prefix}_regions"] * (claim.region is not None)]
            notes = [*claim.fit.notes, *(() if claim.slopes is None else claim.slopes.notes)]
            parts.append(
                ComparisonPart(
                    "The product",
                    [*_fitting(claim), *(_typeset(text) for text in claim.statements)],
                    [*claim.fit.warnings],
                    [f"{_dashed(prefix)}-{name}" for name in ("slopes", "floodlight")],
                    tables,
                    folded,
                    list(dict.fromkeys(notes)),
                )
            )
            if claim.effects is not None:
                parts.append(
                    ComparisonPart(
                        "Moderated mediation",
                        tables=[f"{prefix}_index"],
                        folded=[f"{prefix}_effects"],
                        notes=list(claim.effects.notes),
                    )
                )
        elif claim.fit is not None:
            failed = [f"No verdict rests on this fit: {claim.fit.failure}.", *claim.fit.warnings]
            parts.append(ComparisonPart("The product", warnings=failed, notes=list(claim.fit.notes)))
        if claim.routes is not None:
            own = claim.routes
            texts = [f"{row.route}: {text}" for row in own.rows for text in row.notes]
            parts.append(
                ComparisonPart(
                    "Does the verdict depend on the route?",
                    [],
                    list(own.warnings),
                    [f"{_dashed(prefix)}-routes"],
                    [f"{prefix}_routes"],
                    notes=texts,
                )
            )
        out.append(ComparisonView(title, head, list(claim.reasons), parts))
    return out


def moderation_figures(result: StudyResult) -> dict[str, Figure]:
    """Return the figures of all propositions on moderation, by name."""
    names: Mapping[str, str] = result.study.get("construct_names") or {}
    made: list[Figure | None] = []
    for claim in result.moderations:
        prefix = _dashed(_prefix(claim))
        probed = [found for found in (claim.slopes, claim.region) if found is not None]
        for figure in probe_figures(probed, names) if claim.ok else ():
            made.append(replace(figure, name=f"{prefix}-{figure.name.split('-')[0]}"))
        if claim.routes is not None:
            made.append(draw_routes(claim.routes, f"{prefix}-routes"))
    return {f.name: f for f in made if f is not None}


def tabulate_moderation_truth(result: StudyResult) -> Table | None:
    """Return the known equations with products beside the estimates, or None without both."""
    frame = result.moderation_truth
    if frame is None or frame.empty:
        return None
    columns = [
        Column("id", "", "value", merged=True),
        Column("path", "Path", "path"),
        Column("truth", "Expected", "bounded"),
        Column("est_std", "Estimate", "bounded"),
        Column("ci", "95% CI", "interval_bounded"),
        Column("covered", "Covered", "flag"),
    ]
    rows = [
        (
            r["id"],
            f"{r['rhs']} -> {r['lhs']}",
            r["truth"],
            r["est_std"],
            (r["ci_lower"], r["ci_upper"]),
            bool(r["covered"]),
        )
        for r in frame.to_dict("records")
    ]
    notes = [
        f"{sum(r[-1] for r in rows)} of {len(rows)} intervals cover the expected value; in the long run 95% should.",
        "A product is standardized by the standard deviations of its factors and of the outcome.",
    ]
    return table("moderation_truth", "Known equations with products, and estimates", columns, rows, notes)


def _fitting(claim: ModerationClaim) -> list[str]:
    """Return the fit of the model without the product, as the one with it has no test of fit."""
    if claim.linear is None or not claim.linear.ok:
        return []
    return [f"The same model without the product fits so: {describe_fit(claim.linear, TYPESET)}."]


def _typeset(text: str) -> str:
    return text.replace("->", "→").replace("chi-square", "χ²").replace("R2 =", "R² =").replace("f2 =", "f² =")


def _prefix(claim: ModerationClaim) -> str:
    return f"moderation_{claim.id}"


def _dashed(text: str) -> str:
    return text.replace("_", "-")


def _tables(claim: ModerationClaim) -> list[Table]:
    prefix, out = _prefix(claim), []
    if claim.ok:
        out.append(_equation(claim, f"{prefix}_equation"))
        if claim.slopes is not None:
            out.append(_slopes(claim, f"{prefix}_slopes"))
        if claim.region is not None:
            out.append(_regions(claim, f"{prefix}_regions"))
        if claim.effects is not None:
            out += [_index(claim, f"{prefix}_index"), _effects(claim, f"{prefix}_effects")]
    if claim.routes is not None:
        out.append(route_table(claim.routes, f"{prefix}_routes"))
    return out


def _equation(claim: ModerationClaim, name: str) -> Table:
    """Return the equation with the product, raw and standardized."""
    assert claim.fit is not None
    raw, std = (_rows_of(t, claim.outcome) for t in (claim.fit.parameters, claim.fit.standardized()))
    columns = [
        Column("path", "Path", "path"),
        *_TESTED,
        Column("ci", "95% CI", "interval"),
        Column("std", "Std. coef.", "bounded"),
        Column("std_ci", "95% CI", "interval_bounded"),
    ]
    rows = []
    for one, two in zip(raw.to_dict("records"), std.to_dict("records"), strict=True):
        limits = [(r["ci_lower"], r["ci_upper"]) for r in (one, two)]
        numbers = [one[c.key] for c in _TESTED]
        rows.append((f"{one['rhs']} -> {claim.outcome}", *numbers, limits[0], two["est_std"], limits[1]))
    fitted = claim.fit
    r2 = number(fitted.r2.get(claim.outcome, math.nan), 3, bounded=True)
    logl, aic, bic = (number(fitted.measures.get(k, math.nan), 1, glyphs=TYPESET) for k in ("logl", "aic", "bic"))
    notes = [
        f"Standardized, a product is b sd({claim.predictor}) sd({claim.moderator}) / sd({claim.outcome}) "
        "(Wen, Marsh & Hau 2010, doi:10.1080/10705510903438872). The other coefficients are those at 0 of the other "
        "factor, which is the mean of latent variables.",
        f"R² = {r2}; log-likelihood {logl}, AIC {aic}, BIC {bic}; N = {fitted.nobs}.",
    ]
    return table(name, f"{claim.id}: the equation of {claim.outcome}", columns, rows, notes)


def _rows_of(frame: pd.DataFrame, outcome: str) -> pd.DataFrame:
    return frame[(frame["op"] == "~") & (frame["lhs"] == outcome)]


def _slopes(claim: ModerationClaim, name: str) -> Table:
    found = claim.slopes
    assert found is not None
    columns = [
        Column("at", f"At {claim.moderator}", "value"),
        Column("value", "Value", "number"),
        Column("value_sd", "In SD", "number", shown=False),
        *_TESTED,
        Column("ci", f"{found.level:.0%} CI", "interval"),
        Column("est_std", "Std. coef.", "bounded"),
    ]
    rows = [
        (r["at"], r["value"], r["value_sd"], *(r[c.key] for c in _TESTED), (r["ci_lower"], r["ci_upper"]), r["est_std"])
        for r in found.table.to_dict("records")
    ]
    title = f"{claim.id}: the effect of {claim.predictor} on {claim.outcome} at values of {claim.moderator}"
    return table(name, title, columns, rows, [f"Simple slopes with {found.level:.0%} intervals, not adjusted."])


def _regions(claim: ModerationClaim, name: str) -> Table:
    found = claim.region
    assert found is not None
    columns = [
        Column("band", "Band", "value"),
        Column("lower", "From", "any"),
        Column("upper", "To", "any"),
        Column("sign", "Sign", "code"),
        Column("share", "Share (model)", "bounded3"),
        Column("share_sample", "Share (sample)", "bounded3", shown=bool(found.regions["share_sample"].notna().any())),
    ]
    rows = [
        (r["band"], _end(r["lower"]), _end(r["upper"]), r["sign"], r["share"], r["share_sample"])
        for r in found.regions.to_dict("records")
    ]
    notes = [
        f"Values of {claim.moderator} at which the effect of {claim.predictor} differs from zero (alpha = "
        f"{found.alpha:g}): pointwise for one value chosen beforehand, simultaneous for all values at once (Bauer & "
        "Curran 2005, doi:10.1207/s15327906mbr4003_5).",
        *found.notes,
    ]
    return table(name, f"{claim.id}: Johnson-Neyman regions", columns, rows, notes)


def _end(value: float) -> str:
    if math.isinf(value):
        return "no end"
    return number(value, 3, glyphs=TYPESET)


def _index(claim: ModerationClaim, name: str) -> Table:
    found = claim.effects
    assert found is not None
    columns = [
        Column("measure", "Measure", "value"),
        Column("kind", "Effect", "value"),
        Column("path", "Path", "path"),
        *_TESTED3,
        Column("ci", f"{found.level:.0%} CI", "interval3"),
        Column("outcome", "Outcome", "code", shown=False),
        Column("predictor", "Predictor", "code", shown=False),
    ]
    frame = found.index
    # contrasts and sums of a single path say the same in other words
    frame = frame[(frame["measure"] == "index") & frame["est"].notna() | ~frame["path"].isin(_lines(frame))]
    own = frame.groupby(["measure", "outcome", "predictor"])["kind"].transform(lambda k: (k == "specific").sum())
    frame = frame[(frame["kind"] != "indirect") | (own != 1)]
    rows = [
        (
            r["measure"],
            _KINDS.get(r["kind"], r["kind"]),
            r["path"],
            *(r[c.key] for c in _TESTED),
            (r["ci_lower"], r["ci_upper"]),
            r["outcome"],
            r["predictor"],
        )
        for r in frame.to_dict("records")
    ]
    at = found.table["at"].tolist()
    notes = [
        f"index: change of the effect when {claim.moderator} is one unit higher, of an indirect effect the index of "
        "moderated mediation (Hayes 2015, doi:10.1080/00273171.2014.962683)."
        + (f" contrast: from {at[0]} to {at[-1]}." if (frame["measure"] == "contrast").any() else ""),
        _method(claim),
    ]
    return table(
        name, f"{claim.id}: how effects of {claim.predictor} change with {claim.moderator}", columns, rows, notes
    )


def _lines(frame: pd.DataFrame) -> list[str]:
    """Return the effects that are lines over the moderator, and so have an index."""
    return frame.loc[(frame["measure"] == "index") & frame["est"].notna(), "path"].tolist()


def _method(claim: ModerationClaim) -> str:
    found = claim.effects
    assert found is not None
    if found.ci == "mc":
        return f"Monte Carlo intervals ({found.draws:,} draws, seed {found.seed}); SE and p by the delta method."
    return "Intervals by the delta method." if found.ci == "delta" else f"Bootstrap intervals ({found.ci})."


def _effects(claim: ModerationClaim, name: str) -> Table:
    found = claim.effects
    assert found is not None
    columns = [
        Column("kind", "Effect", "value"),
        Column("path", "Path", "path"),
        Column("at", f"At {claim.moderator}", "value"),
        Column("value", "Value", "number", shown=False),
        *_TESTED3,
        Column("ci", f"{found.level:.0%} CI", "interval3"),
        Column("est_std", "Std. coef.", "bounded"),
        Column("outcome", "Outcome", "code", shown=False),
        Column("predictor", "Predictor", "code", shown=False),
    ]
    rows = [
        (
            _KINDS.get(r["kind"], r["kind"]),
            r["path"],
            r["at"],
            r["value"],
            *(r[c.key] for c in _TESTED),
            (r["ci_lower"], r["ci_upper"]),
            r["est_std"],
            r["outcome"],
            r["predictor"],
        )
        for r in found.table.to_dict("records")
    ]
    title = f"{claim.id}: effects of {claim.predictor} at values of {claim.moderator}"
    return table(name, title, columns, rows, [_method(claim)])
