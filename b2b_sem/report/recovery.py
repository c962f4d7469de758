"""Known values of simulated groups in the report, beside what was found."""

from __future__ import annotations

from b2b_sem.report.table import Column, Table, table
from b2b_sem.results.study import StudyResult

__all__ = ["tabulate_group_truth"]


def tabulate_group_truth(result: StudyResult) -> Table | None:
    """Return known values of simulated groups beside the estimates of their comparison, or None without both."""
    frame = result.group_truth
    if frame is None or frame.empty:
        return None
    columns = [
        Column("quantity", "Quantity"),
        Column("name", "Name", "path"),
        Column("group", "Group", "value"),
        Column("reference", "Minus", "value"),
        Column("truth", "Expected", "bounded"),
        Column("est", "Estimate", "bounded"),
        Column("ci", "95% CI", "interval_bounded"),
        Column("covered", "Covered", "flag"),
    ]
    rows = [
        (*(r[c.key] for c in columns[:-2]), (r["ci_lower"], r["ci_upper"]), bool(r["covered"]))
        for r in frame.to_dict("records")
    ]
    known = [r[-1] for r in rows]
    notes = [
        f"{sum(known)} of {len(known)} intervals cover the expected value; in the long run 95% should.",
        "Paths are standardized within their group. Differences of means are in standard deviations of the group under "
        "Minus; direct and indirect ones are those of claims.",
    ]
    title = f"Known values of the groups of {frame['split'].iloc[0]}, and estimates"
    return table("group_truth", title, columns, rows, notes)
