"""Groups of respondents in the report: steps of invariance, latent means, and paths."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from b2b_sem.report.group_claim import claim_lines, claim_tables
from b2b_sem.report.table import Column, Kind, Table, table
from b2b_sem.results.comparison import GroupComparison
from b2b_sem.results.study import StudyResult

__all__ = ["comparison_tables", "describe_comparisons"]

_COLUMNS: Mapping[str, tuple[str, Kind]] = {
    "step": ("Step", "value"),
    "partial": ("Released", "count"),
    "chisq": ("χ²", "number"),
    "df": ("df", "count"),
    "cfi": ("CFI", "bounded3"),
    "rmsea": ("RMSEA", "bounded3"),
    "srmr": ("SRMR", "bounded3"),
    "chisq_diff": ("Δχ²", "number"),
    "df_diff": ("Δdf", "count"),
    "pvalue_diff": ("p of Δχ²", "p"),
    "holds": ("Holds", "flag"),
    "latent": ("Construct", "code"),
    "path": ("Path", "path"),
    "group": ("Group", "value"),
    "est": ("Difference", "number"),
    "se": ("SE", "number"),
    "ci": ("CI", "interval"),
    "pvalue": ("p", "p"),
    "p_adjusted": ("p (adjusted)", "p"),
    "d": ("d", "number"),
    "std": ("Std. difference", "number"),
    "power": ("Power", "bounded"),
    "detectable": ("Detectable", "number"),
    "wald": ("Wald", "number"),
    "wald_pvalue": ("p of Wald", "p"),
    "diff_adjusted": ("p of Δχ² (adjusted)", "p"),
}
_STEPS = ["step", "partial", "chisq", "df", "cfi", "rmsea", "srmr", "chisq_diff", "df_diff", "pvalue_diff", "holds"]
_MEANS = ["latent", "group", "est", "se", "ci", "pvalue", "d"]
_TESTS = ["path", "df", "wald", "wald_pvalue", "chisq_diff", "df_diff", "pvalue_diff", "diff_adjusted"]
_DIFFERENCES = ["path", "group", "est", "se", "ci", "pvalue", "p_adjusted", "std", "power", "detectable"]


def comparison_tables(result: StudyResult) -> dict[str, Table]:
    """Return the tables of all comparisons of groups, by name: four for each, as far as there are numbers."""
    found = [made for c in result.comparisons for made in _tables(c)]
    return {t.name: t for t in found}


def describe_comparisons(result: StudyResult) -> list[tuple[str, list[str], list[str]]]:
    """Return what each comparison is called, what may be compared and was found, and the names of its tables."""
    out = []
    for c in result.comparisons:
        lines = [*c.reasons]
        for part in (c.invariance, c.paths):
            if part is not None:
                lines += [*part.statements, *part.warnings, *part.notes]
        lines += [line for claim in c.claims for line in claim_lines(claim)]
        out.append((f"{c.label} ({c.name})", list(dict.fromkeys(lines)), [t.name for t in _tables(c)]))
    return out


def _tables(c: GroupComparison) -> list[Table]:
    out = []
    if c.invariance is not None:
        first = next(iter(c.invariance.groups))
        source = f"Criteria: {c.invariance.source}."
        out.append(_table(f"groups_{c.name}_steps", "Measurement invariance", c.invariance.steps, _STEPS, [source]))
        if len(means := c.invariance.means):
            note = f"In standard deviations of {first}; d in pooled ones."
            out.append(_table(f"groups_{c.name}_means", f"Latent means minus those of {first}", means, _MEANS, [note]))
    if c.paths is not None:
        first = next(iter(c.paths.groups))
        notes = [f"p-values adjusted over the paths: {c.paths.multiplicity}."]
        out.append(_table(f"groups_{c.name}_paths", "Paths equal in all groups", c.paths.tests, _TESTS, notes))
        notes = [
            f"{c.paths.level:.0%} intervals. Power to find a standardized difference of {c.paths.size:g} at alpha = "
            f"{c.paths.alpha:g}; detectable is the one found with a power of .80."
        ]
        title = f"Paths minus those of {first}"
        out.append(_table(f"groups_{c.name}_differences", title, c.paths.differences, _DIFFERENCES, notes))
    return out + [made for claim in c.claims for made in claim_tables(claim, f"groups_{c.name}")]


def _table(name: str, title: str, frame: pd.DataFrame, keys: list[str], notes: list[str]) -> Table:
    columns = [Column(key, *_COLUMNS[key]) for key in keys]
    rows = []
    for row in frame.to_dict("records"):
        row["ci"] = (row.get("ci_lower"), row.get("ci_upper"))
        if "path" in row:
            end, start = str(row["path"]).split("~")
            row["path"] = f"{start} -> {end}"
        rows.append([row[key] for key in keys])
    return table(name, title, columns, rows, notes)
