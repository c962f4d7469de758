"""Claims on groups with latents of their own in the report: total, direct and indirect effects, slopes."""

from __future__ import annotations

from b2b_sem.report.table import Column, Table, table
from b2b_sem.results.group_claim import GroupClaim

__all__ = ["claim_tables"]

_EFFECTS = (
    Column("outcome", "Outcome", "code"),
    Column("predictor", "Of", "value"),
    Column("effect", "Effect", "value"),
    Column("through", "Through", "value"),
    Column("at", "At the mean of", "value"),
    Column("est", "Estimate", "number"),
    Column("se", "SE", "number"),
    Column("ci", "CI", "interval"),
    Column("pvalue", "p", "p"),
    Column("judged", "Judged", "flag"),
)


def claim_tables(claim: GroupClaim, prefix: str) -> list[Table]:
    """Return the tables of a claim: effects, and slopes, as far as there are numbers."""
    out = []
    name = f"{prefix}_{claim.id}"
    if len(claim.effects):
        rows = []
        for row in claim.effects.to_dict("records"):
            row["ci"] = (row["ci_lower"], row["ci_upper"])
            rows.append([row[c.key] for c in _EFFECTS])
        notes = [f"{claim.level_ci:.0%} intervals (delta method). The verdict rests on the effects that are judged."]
        if claim.level:
            notes.append(
                f"{claim.level}: its mean minus that of {claim.reference}, in standard deviations of {claim.reference}."
            )
        if claim.equal_slopes is False:
            notes.append("Slopes differ: a direct effect without a group is that at the mean of all respondents.")
        out.append(table(name, f"{claim.id}: total, direct and indirect effects", list(_EFFECTS), rows, notes))
    if len(claim.slopes):
        columns = [
            Column("path", "Path", "path"),
            Column("first", claim.reference, "number"),
            Column("second", claim.level, "number"),
            Column("est", "Difference", "number"),
            Column("se", "SE", "number"),
            Column("ci", "CI", "interval"),
            Column("pvalue", "p", "p"),
        ]
        rows = []
        for row in claim.slopes.to_dict("records"):
            end, start = str(row["path"]).split("~")
            row |= {"path": f"{start} -> {end}", "ci": (row["ci_lower"], row["ci_upper"])}
            rows.append([row[c.key] for c in columns])
        notes = [f"{claim.level_ci:.0%} intervals. Latent variables have (residual) variance 1 in {claim.reference}."]
        out.append(table(f"{name}_slopes", f"{claim.id}: slopes in each group", columns, rows, notes))
    return out
