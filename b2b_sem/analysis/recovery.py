"""What simulated groups were drawn with, beside what a comparison of them found."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from b2b_sem.results.comparison import GroupComparison

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
        One row a quantity: split; quantity (``path``: standardized within the group; ``mean``: of the group minus that
        of the reference, in the reference's standard deviations); name; group, reference (empty for paths); truth, est,
        interval, and whether it covers the truth.
    """
    table = zip(*(truth[c] for c in ("lhs", "op", "rhs", "group", "expected")), strict=True)
    values: Values = {(str(a), str(op), str(b), str(group)): float(v) for a, op, b, group, v in table}
    rows = [*_means(values, comparison), *_paths(values, comparison)]
    out = pd.DataFrame(
        [(comparison.name, *row, row[-2] <= row[4] <= row[-1]) for row in rows], columns=list(RECOVERY_COLUMNS)
    )
    return out


def _means(values: Values, comparison: GroupComparison) -> Iterator[Row]:
    ladder = comparison.invariance
    if ladder is None:
        return
    reference = next(iter(ladder.groups))
    for row in ladder.means.to_dict("records"):
        latent, group = str(row["latent"]), str(row["group"])
        both = [values.get((latent, "mean", "", g)) for g in (group, reference)]
        if both[0] is not None and both[1] is not None and row["se"] > 0:
            yield (
                "mean", latent, group, reference, both[0] - both[1], row["est"], row["ci_lower"], row["ci_upper"],
            )  # fmt: skip


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
