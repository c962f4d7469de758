"""What simulated groups were drawn with, beside what a comparison of them found."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from b2b_sem.results.comparison import GroupComparison
from b2b_sem.results.group_claim import GroupClaim

__all__ = ["RECOVERY_COLUMNS", "recover_groups"]

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
