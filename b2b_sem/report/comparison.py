"""Groups of respondents in the report: steps of invariance, latent means, and paths."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from b2b_sem.measures.notation import TYPESET, count, number, p_phrase
from b2b_sem.report.canvas import Figure
from b2b_sem.report.group_claim import claim_tables
from b2b_sem.report.group_figure import adjustment_name, draw_claim, invariance_figures, path_figures, path_label
from b2b_sem.report.table import Column, Kind, Table, table
from b2b_sem.results.comparison import GroupComparison
from b2b_sem.results.group_claim import GroupClaim
from b2b_sem.results.invariance import InvarianceResult
from b2b_sem.results.path_group import PathGroupResult
from b2b_sem.results.study import StudyResult

__all__ = [
    "ComparisonPart",
    "ComparisonView",
    "comparison_figures",
    "comparison_tables",
    "describe_comparisons",
    "tabulate_parts",
]

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
    "cfi_change": ("ΔCFI", "bounded3"),
    "rmsea_change": ("ΔRMSEA", "bounded3"),
    "srmr_change": ("ΔSRMR", "bounded3"),
    "holds": ("Holds", "flag"),
    "reason": ("Why", "text"),
    "round": ("Round", "count"),
    "parameter": ("Parameter", "code"),
    "item": ("Item", "code"),
    "pvalue_fdr": ("p (FDR)", "p"),
    "tests": ("Tests", "count"),
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
    "std_all": ("Std. coef.", "bounded"),
    "power": ("Power", "bounded"),
    "detectable": ("Detectable", "number"),
    "wald": ("Wald", "number"),
    "wald_pvalue": ("p of Wald", "p"),
    "diff_adjusted": ("p of Δχ² (adjusted)", "p"),
    "referent": ("Referent", "code"),
    "dmacs": ("dMACS", "number"),
    "signed": ("Signed", "number"),
}
_CHANGES = ["cfi_change", "rmsea_change", "srmr_change"]
_STEPS = ["step", "partial", "chisq", "df", "cfi", "rmsea", "srmr", "chisq_diff", "df_diff", "pvalue_diff"]
_RELEASES = ["step", "parameter", "chisq", "df", "pvalue_fdr", "tests", "cfi", "rmsea", "srmr", "holds", "reason"]
_SCORES = ["step", "round", "parameter", "latent", "item", "chisq", "df", "pvalue", "pvalue_fdr"]
_MEANS = ["latent", "group", "est", "se", "ci", "pvalue", "d"]
_DMACS = ["latent", "item", "group", "referent", "dmacs", "signed"]
_TESTS = ["path", "df", "wald", "wald_pvalue", "chisq_diff", "df_diff", "pvalue_diff", "diff_adjusted"]
_DIFFERENCES = ["path", "group", "est", "se", "ci", "pvalue", "p_adjusted", "std", "power", "detectable"]
_ESTIMATES = ["path", "group", "est", "se", "ci", "pvalue", "std_all"]
#: The row of the table of equal paths that tests all of them.
ALL_PATHS = "all paths"


@dataclass(frozen=True)
class ComparisonPart:
    """One part of the section on a comparison.

    Attributes
    ----------
    title : str
    lines : list of str
    warnings : list of str
    figures, tables : list of str
        Names, in order: figures first.
    folded : list of str
        Names of figures and tables that are shown when asked for.
    notes : list of str
    """

    title: str
    lines: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    figures: list[str] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    folded: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ComparisonView:
    """What the report says of one comparison: title, groups and method, why something is missing, and its parts."""

    title: str
    groups: str
    reasons: list[str]
    parts: list[ComparisonPart]


def comparison_tables(result: StudyResult) -> dict[str, Table]:
    """Return the tables of all comparisons of groups and of all ladders, by name, as far as there are numbers."""
    found = [made for c, prefix in _all(result) for made in _tables(c, prefix)]
    return {t.name: t for t in found}


def comparison_figures(result: StudyResult) -> dict[str, Figure]:
    """Return the figures of all comparisons of groups and of all ladders, by name."""
    names: Mapping[str, str] = result.study.get("construct_names") or {}
    found = {}
    for c, prefix in _all(result):
        made = [] if c.invariance is None else invariance_figures(c.invariance, names)
        made += [] if c.paths is None else path_figures(c.paths)
        for figure in made:
            name = f"{_dashed(prefix)}-{figure.name}"
            found[name] = replace(figure, name=name)
        for claim in c.claims:
            made = [] if claim.invariance is None else invariance_figures(claim.invariance, names)
            made += [drawn] if (drawn := draw_claim(claim, names)) is not None else []
            for figure in made:
                name = f"{_dashed(f'{prefix}_{claim.id}')}-{figure.name}"
                found[name] = replace(figure, name=name)
    return found


def _dashed(text: str) -> str:
    return text.replace("_", "-")


def describe_comparisons(comparisons: Sequence[GroupComparison], kind: str) -> list[ComparisonView]:
    """Return what the report says of comparisons.

    Parameters
    ----------
    comparisons : sequence of GroupComparison
    kind : {"groups", "invariance"}
        The analysis of the study that they belong to.
    """
    out = []
    for c in comparisons:
        prefix = f"{kind}_{c.name}"
        first = c.invariance if c.invariance is not None else c.paths
        groups = ""
        if first is not None:
            sizes = ", ".join(f"{label} (n = {n})" for label, n in first.groups.items())
            groups = f"{sizes}. Estimator {first.estimator}, missing answers: {first.missing}."
        parts = [] if c.invariance is None else _ladder_parts(c.invariance, prefix)
        parts += [] if c.paths is None else [_path_part(c.paths, prefix)]
        parts += [part for claim in c.claims for part in _claim_parts(claim, prefix)]
        title = c.label if c.label == c.name else f"{c.label} ({c.name})"
        title = title[0].upper() + title[1:]
        out.append(ComparisonView(title, groups, [*c.reasons], parts))
    return out


def tabulate_parts(result: StudyResult) -> Table | None:
    """Return the parts of the propositions that claim several things together; None if there is none."""
    columns = [
        Column("proposition", "", "value", merged=True),
        Column("part", "Part", "value"),
        Column("claim", "Claim", "path"),
        Column("outcome", "Outcome", "value"),
        Column("text", "What was found"),
        Column("estimate", "Estimate", "number3", shown=False),
        Column("se", "SE", "number3", shown=False),
        Column("pvalue", "p", "p"),
    ]
    rows = [
        (v.id, p.id, p.claim, p.outcome, p.text, p.estimate, p.se, p.pvalue) for v in result.verdicts for p in v.parts
    ]
    notes = ["A proposition with several parts is supported if all of them hold."]
    return table("verdict_parts", "Parts of the propositions", columns, rows, notes) if rows else None


def _all(result: StudyResult) -> list[tuple[GroupComparison, str]]:
    found = [(c, f"groups_{c.name}") for c in result.comparisons]
    return found + [(c, f"invariance_{c.name}") for c in result.ladders]


def _ladder_parts(found: InvarianceResult, prefix: str) -> list[ComparisonPart]:
    dash = _dashed(prefix)
    tables, folded = [f"{prefix}_steps"], []
    if len(found.releases):
        tables.append(f"{prefix}_releases")
    if len(found.effects):
        folded += [f"{dash}-dmacs", f"{prefix}_dmacs"]
    if len(found.tests):
        folded.append(f"{prefix}_score_tests")
    parts = [
        ComparisonPart(
            "May the groups be compared?",
            list(found.statements),
            list(found.warnings),
            [f"{dash}-invariance-ladder"],
            tables,
            folded,
            list(found.notes),
        )
    ]
    if len(found.means):
        figures, tables = [f"{dash}-latent-means"], [f"{prefix}_means"]
        parts.append(ComparisonPart("Latent means", figures=figures, tables=tables))
    return parts


def _path_part(found: PathGroupResult, prefix: str) -> ComparisonPart:
    names = [f"{prefix}_{name}" for name in ("paths", "differences", "estimates")]
    return ComparisonPart(
        "Paths",
        [*map(_typeset, found.statements), *_path_lines(found)],
        list(found.warnings),
        [f"{_dashed(prefix)}-paths-by-group"],
        names[:2],
        names[2:],
        list(found.notes),
    )


def _claim_parts(claim: GroupClaim, prefix: str) -> list[ComparisonPart]:
    own = f"{prefix}_{claim.id}"
    tables = [own] if len(claim.effects) else []
    folded = [f"{own}_slopes"] if len(claim.slopes) else []
    figures = [f"{_dashed(own)}-claim-{claim.id}"]
    parts = [
        ComparisonPart(
            f"Claim {claim.id}", list(claim.statements), list(claim.reasons), figures, tables, folded, list(claim.notes)
        )
    ]
    if claim.invariance is not None:
        parts += [
            replace(part, title=f"{claim.id}: {part.title[0].lower()}{part.title[1:]}")
            for part in _ladder_parts(claim.invariance, own)
        ]
    return parts


def _typeset(text: str) -> str:
    """Return a sentence with paths as cause and effect, as figures and tables write them."""
    return " ".join(_word(word) for word in text.split(" "))


def _word(word: str) -> str:
    bare = word.rstrip(".,:;")
    ends = bare.split("~")
    named = len(ends) == 2 and all(ends) and not ends[1].startswith("1")
    return path_label(bare).replace("->", "→") + word[len(bare) :] if named else word


def _path_lines(found: PathGroupResult) -> list[str]:
    """Say what the test of all paths, that of loadings and the power come to."""
    out = []
    whole = found.omnibus
    tests = [
        f"{what} = {number(whole[key], 2, glyphs=TYPESET)}, df = {count(whole[df])}, "
        f"{p_phrase(whole[p], glyphs=TYPESET)}"
        for what, key, df, p in (
            ("difference of χ²", "chisq_diff", "df_diff", "pvalue_diff"),
            ("Wald χ²", "wald", "df", "wald_pvalue"),
        )
        if math.isfinite(whole[p])
    ]
    if tests:
        out.append(f"All paths equal in all groups: {'; '.join(tests)}.")
    if math.isfinite(found.loadings.get("pvalue", math.nan)):
        loads = found.loadings
        out.append(
            f"Equal loadings, on which this rests: difference of χ² = {number(loads['chisq'], 2, glyphs=TYPESET)}, "
            f"df = {count(loads['df'])}, {p_phrase(loads['pvalue'], glyphs=TYPESET)}."
        )
    frame = found.differences
    rows = frame[frame["power"].map(math.isfinite)].sort_values("power").to_dict("records")
    if rows:
        size, alpha = f"{found.size:g}", number(found.alpha, 2, bounded=True)
        ends = [f"{number(r['power'], 2, bounded=True)} ({path_label(r['path'])})" for r in (rows[0], rows[-1])]
        reach = [number(f([r["detectable"] for r in rows]), 2) for f in (min, max)]
        chance = ends[0] if len(rows) == 1 else f"between {ends[0]} and {ends[1]}"
        least = reach[0] if len(rows) == 1 else f"between {reach[0]} and {reach[1]}"
        out.append(
            f"Power: the test of a single path at alpha = {alpha} finds a standardized difference of {size} with a "
            f"chance {'of ' if len(rows) == 1 else ''}{chance}; the difference that it finds with a chance of .80 is "
            f"{least}.".replace("->", "→")
        )
    return out


def _tables(c: GroupComparison, prefix: str) -> list[Table]:
    out = [] if c.invariance is None else _ladder_tables(c.invariance, prefix)
    out += [] if c.paths is None else _path_tables(c.paths, prefix)
    for claim in c.claims:
        out += claim_tables(claim, prefix)
        out += [] if claim.invariance is None else _ladder_tables(claim.invariance, f"{prefix}_{claim.id}")
    return out


def _ladder_tables(ladder: InvarianceResult, prefix: str) -> list[Table]:
    first = next(iter(ladder.groups))
    kind = f" CFI and RMSEA: {ladder.indices}." if ladder.indices else ""
    notes = [f"Changes are counted from the last step that held. Criteria: {ladder.source}.{kind}"]
    keys = [*_STEPS, *_CHANGES, "holds"]
    out = [_table(f"{prefix}_steps", "Steps of measurement invariance", ladder.steps, keys, notes)]
    if len(ladder.releases):
        notes = ["χ²: score test of the equality that was released; p (FDR): adjusted over the tests of its round."]
        out.append(_table(f"{prefix}_releases", "Released parameters, in order", ladder.releases, _RELEASES, notes))
    if len(ladder.tests):
        notes = ["Of each equality of a step that failed, round by round; p (FDR): within the round."]
        out.append(_table(f"{prefix}_score_tests", "Score tests of equalities", ladder.tests, _SCORES, notes))
    if len(ladder.effects):
        notes = [
            f"Standard deviations of the item, against {first}. Signed: positive where the group answers higher than "
            f"{first} at the same value of the construct."
        ]
        out.append(_table(f"{prefix}_dmacs", "Items that work differently", ladder.effects, _DMACS, notes))
    if len(means := ladder.means):
        notes = [f"95% intervals. In standard deviations of {first}; d in pooled ones."]
        out.append(_table(f"{prefix}_means", f"Latent means minus those of {first}", means, _MEANS, notes))
    return out


def _path_tables(paths: PathGroupResult, prefix: str) -> list[Table]:
    first = next(iter(paths.groups))
    tests = [*paths.tests.to_dict("records"), {**dict.fromkeys(paths.tests), "path": ALL_PATHS, **paths.omnibus}]
    adjusted = adjustment_name(paths.multiplicity) or "no adjustment"
    limits = f"{paths.level:.0%} intervals."
    notes = [f"Adjusted p-values: over the single paths ({adjusted})."]
    title = "Tests of paths that are equal in all groups"
    out = [_table(f"{prefix}_paths", title, pd.DataFrame(tests), _TESTS, notes)]
    notes = [
        f"{limits} Adjusted p-values: over paths and groups ({adjusted}). Power to find a standardized difference of "
        f"{paths.size:g} at alpha = {paths.alpha:g}; detectable is the one found with a power of .80."
    ]
    title = f"Paths minus those of {first}"
    out.append(_table(f"{prefix}_differences", title, paths.differences, _DIFFERENCES, notes))
    notes = [f"{limits} Standardized within each group: differences between these mix paths and variances."]
    own: dict[str, tuple[str, Kind]] = {"est": ("Estimate", "number")}
    out.append(_table(f"{prefix}_estimates", "Paths in each group", paths.estimates, _ESTIMATES, notes, own))
    return out


def _table(
    name: str,
    title: str,
    frame: pd.DataFrame,
    keys: list[str],
    notes: list[str],
    own: Mapping[str, tuple[str, Kind]] | None = None,
) -> Table:
    columns = [Column(key, *{**_COLUMNS, **(own or {})}[key]) for key in keys]
    rows = []
    for row in frame.to_dict("records"):
        row["ci"] = (row.get("ci_lower"), row.get("ci_upper"))
        if "path" in row:
            row["path"] = path_label(str(row["path"]))
        rows.append([row[key] for key in keys])
    return table(name, title, columns, rows, notes)
