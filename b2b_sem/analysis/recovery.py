"""What simulated respondents were drawn with, beside what a fit of all or a comparison of groups found."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from b2b_sem.results.comparison import GroupComparison
from b2b_sem.results.fit import FitResult
from b2b_sem.results.group_claim import GroupClaim

__all__ = ["RECOVERY_COLUMNS", "recover", "recover_groups"]

#: Of known values of all respondents together.
COLUMNS = ("lhs", "op", "rhs", "population", "truth", "est_std", "se", "ci_lower", "ci_upper", "covered")

RECOVERY_COLUMNS = (
    "split",
    "quantity",
    "name",
    "group",
    "reference",
    "truth",
    "est",
    "ci_lower",
    "ci_upper",
    "covered",
)
#: Slopes that differ by less are equal.
SAME = 1e-9
Values = dict[tuple[str, str, str, str], float]
Row = tuple[str, str, str, str, float, float, float, float]


def recover(truth: pd.DataFrame, fit: FitResult) -> pd.DataFrame:
    """Return known values of simulated respondents beside the estimates of a fit of all of them together.

    Parameters
    ----------
    truth : DataFrame
        lhs, op, rhs, value, expected, as ``simulate`` gives it.
    fit : FitResult

    Returns
    -------
    DataFrame
        lhs, op, rhs, population, truth, est_std, se, ci_lower, ci_upper, covered: one row a parameter that is in both
        and has a standard error. `truth` is what the standardized solution of the recorded answers tends to;
        `population` is the value before answers were rounded to the response scale. The two differ only for loadings
        and residuals of items that were fitted as numbers.
    """
    estimates = fit.standardized()[["lhs", "op", "rhs", "est_std", "se", "ci_lower", "ci_upper"]]
    # nothing is expected of items whose responses are not normal, neither as numbers nor as ordinal items
    table = truth[truth["expected"].notna()].rename(columns={"expected": "truth", "value": "population"})
    if ordered := set(fit.model.options.get("ordered") or ()):
        # ordinal items are modelled as they were before the rounding; pairs of one such and one number are left out
        items = set(fit.model.observed)
        own = (table["lhs"].isin(ordered) | ~table["lhs"].isin(items)) & (
            table["rhs"].isin(ordered) | ~table["rhs"].isin(items)
        )
        table["truth"] = table["truth"].where(~own, table["population"])
        table = table[own | ~(table["lhs"].isin(ordered) | table["rhs"].isin(ordered))]
    swapped = estimates[estimates["op"] == "~~"].rename(columns={"lhs": "rhs", "rhs": "lhs"})
    both = pd.concat([estimates, swapped[swapped["lhs"] != swapped["rhs"]]], ignore_index=True)
    merged = table.merge(both, on=["lhs", "op", "rhs"], how="inner")
    merged = merged[merged["se"] > 0].reset_index(drop=True)
    merged["covered"] = (merged["ci_lower"] <= merged["truth"]) & (merged["truth"] <= merged["ci_upper"])
    return merged[list(COLUMNS)]


def recover_groups(truth: pd.DataFrame, comparison: GroupComparison) -> pd.DataFrame:
    """Return the known values of simulated groups beside the estimates of a comparison.

    Parameters
    ----------
    truth : DataFrame
        lhs, op, rhs, group, value, expected; op ``mean`` for the total means of latent variables, which have variance 1
        in each group.
    comparison : GroupComparison
        Of the split that tells these groups apart, with its fits (not read from a file).

    Returns
    -------
    DataFrame
        One row a quantity: split; quantity; name; group, reference (empty for paths); truth, est, interval, and whether
        it covers the truth. Quantities are ``mean`` (of the group minus that of the reference, in the reference's
        standard deviations), ``path`` (standardized within the group), and of claims with latents of their own
        ``total``, ``direct`` and ``indirect`` differences of means.
    """
    table = zip(*(truth[c] for c in ("lhs", "op", "rhs", "group", "expected")), strict=True)
    values: Values = {(str(a), str(op), str(b), str(group)): float(v) for a, op, b, group, v in table}
    claims = [row for claim in comparison.claims for row in _claim(values, claim)]
    rows = [*claims, *_means(values, comparison), *_paths(values, comparison)]
    out = pd.DataFrame(
        [(comparison.name, *row, row[-2] <= row[4] <= row[-1]) for row in rows], columns=list(RECOVERY_COLUMNS)
    )
    return out


def _claim(values: Values, claim: GroupClaim) -> Iterator[Row]:
    if claim.invariance is None:
        return
    second, first = claim.level, claim.reference
    slopes = [str(path).split("~") for path in claim.slopes["path"]]
    sizes = claim.invariance.groups
    for row in claim.effects.to_dict("records"):
        if row["predictor"] != second or row["at"] or not row["se"] > 0:
            continue
        outcome = str(row["outcome"])
        apart = _apart(values, outcome, second, first)
        parts: dict[str, float] | None = None
        if apart is not None:
            predictors = [x for y, x in slopes if y == outcome]
            share = sizes[first] / (sizes[first] + sizes[second])
            parts = _parts(values, outcome, predictors, second, first, share, bool(claim.equal_slopes))
        if row["effect"] == "total":
            truth, name = apart, outcome
        elif parts is None or apart is None:
            continue
        elif row["effect"] == "direct":
            truth, name = apart - sum(parts.values()), outcome
        else:
            through = str(row["through"])
            truth, name = parts[through] if through else sum(parts.values()), f"{through or 'all'} -> {outcome}"
        if truth is not None:
            yield row["effect"], name, second, first, truth, row["est"], row["ci_lower"], row["ci_upper"]


def _parts(
    values: Values, outcome: str, predictors: list[str], second: str, first: str, share: float, equal: bool
) -> dict[str, float] | None:
    """Return what each predictor carries; None if the model has other predictors or equal slopes that are not equal."""
    known = {b for a, op, b, _ in values if (a, op) == (outcome, "~")}
    if not predictors or known != set(predictors):
        return None
    out = {}
    for name in predictors:
        b1, b2 = values[outcome, "~", name, first], values[outcome, "~", name, second]
        apart = _apart(values, name, second, first)
        if apart is None or (equal and abs(b1 - b2) > SAME):
            return None
        out[name] = (share * b2 + (1 - share) * b1) * apart
    return out


def _apart(values: Values, latent: str, group: str, reference: str) -> float | None:
    """Return the true difference of two means, None if the population does not have the latent variable."""
    both = [values.get((latent, "mean", "", g)) for g in (group, reference)]
    return None if both[0] is None or both[1] is None else both[0] - both[1]


def _means(values: Values, comparison: GroupComparison) -> Iterator[Row]:
    ladder = comparison.invariance
    if ladder is None:
        return
    reference = next(iter(ladder.groups))
    for row in ladder.means.to_dict("records"):
        latent, group = str(row["latent"]), str(row["group"])
        truth = _apart(values, latent, group, reference)
        if truth is not None and row["se"] > 0:
            yield "mean", latent, group, reference, truth, row["est"], row["ci_lower"], row["ci_upper"]


def _paths(values: Values, comparison: GroupComparison) -> Iterator[Row]:
    found = comparison.paths
    if found is None or found.fit is None or not found.fit.ok:
        return
    table = found.fit.standardized()
    table = table[(table["op"] == "~") & (table["lhs"] + "~" + table["rhs"]).isin(found.tests["path"])]
    for row in table.to_dict("records"):
        group = found.fit.groups[int(row["group"]) - 1]
        truth = values.get((row["lhs"], "~", row["rhs"], group))
        if truth is not None and row["se"] > 0:
            name = f"{row['rhs']} -> {row['lhs']}"
            yield "path", name, group, "", truth, row["est_std"], row["ci_lower"], row["ci_upper"]
