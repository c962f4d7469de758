"""Tables of power by theory: what each test finds, and how many respondents it takes."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

from b2b_sem.report.table import Column, Table, table
from b2b_sem.results.power import PowerResult

__all__ = ["label_of", "power_tables"]

_KINDS = {
    "path": "Path",
    "restriction": "Restriction",
    "indirect": "Indirect effect",
    "interaction": "Product",
    "difference": "Difference of groups",
    "step": "Step of invariance",
    "model": "Fit of the model",
    "rmsea": "Test of RMSEA",
}


def label_of(row: Mapping[Hashable, Any]) -> str:
    """Return the name of a test as people write it, with its group."""
    text = str(row["test"])
    if row["kind"] in ("path", "difference") and "~" in text:
        outcome, predictor = text.split("~", 1)
        text = f"{predictor} -> {outcome}"
    return f"{text} ({row['group']})" if row["group"] else text


def power_tables(result: PowerResult) -> list[Table]:
    """Return the table of a page: one row a test; columns that no test has are left out."""
    frame = result.table
    rows = [
        {**r, "label": label_of(r), "what": _KINDS.get(str(r["kind"]), r["kind"])} for r in frame.to_dict("records")
    ]
    detectable = f"Found with power {result.power:g}"
    columns = [
        Column("what", "Kind", merged=True),
        Column("label", "Test", "path"),
        Column("method", "Method"),
        Column("value", "Value", "number3"),
        Column("std_all", "Standardized", "number3"),
        Column("power", "Power", "bounded3"),
        Column("rows_needed", f"Respondents for {result.power:g}", "count"),
        Column("detectable", detectable, "number3"),
        Column("detectable_std", f"{detectable}, standardized", "number3"),
    ]
    shown = [c for c in columns if c.kind not in ("number3",) or any(_known(r.get(c.key)) for r in rows)]
    notes = [f"Power with {result.nobs} respondents at alpha {result.alpha:g}. Respondents: of all groups together."]
    if any(r["method"] == "delta" for r in rows):
        notes.append("joint: all paths of an indirect effect significant; delta: z test of the product.")
    if any(not _known(r["rows_needed"]) for r in rows):
        notes.append("No number of respondents where none is enough.")
    cells = [[r.get(c.key) for c in shown] for r in rows]
    return [table("power", "Power of each test", shown, cells, notes)] if cells else []


def _known(value: Any) -> bool:
    return isinstance(value, float | int) and math.isfinite(value)
