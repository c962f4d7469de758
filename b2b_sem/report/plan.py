"""The report of a sample-size plan: tables as CSV and one page with figures."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from b2b_sem.measures.notation import number
from b2b_sem.report.plan_figure import plan_figures
from b2b_sem.report.section import Block, Section, write_sections
from b2b_sem.report.table import Column, Table, table
from b2b_sem.results.io import write_text
from b2b_sem.results.plan import PlanResult

__all__ = ["plan_tables", "write_plan_report", "write_plan_tables"]

#: Files and the tables that they hold.
_FILES = {"plan": "table", "visits": "visits", "effects": "effects", "held": "held"}
_KINDS = {"path": "standardized path", "f2": "f²", "d": "difference of means, d", "change": "value of the file"}


def write_plan_tables(result: PlanResult, directory: str | os.PathLike[str]) -> list[Path]:
    """Write every table as ``<name>.csv`` with full-precision numbers; missing numbers are empty cells."""
    folder = Path(directory)
    return [
        write_text(folder / f"{name}.csv", getattr(result, own).to_csv(index=False, lineterminator="\n"))
        for name, own in _FILES.items()
    ]


def plan_tables(result: PlanResult) -> dict[str, Table]:
    """Return the tables of the page."""
    whole = 100 * result.level
    sizes = list(dict.fromkeys(result.table["size"]))
    wide = result.wide()
    path = {r["proposition"]: r["path"] for r in result.table.to_dict("records")}
    out = {
        "plan": table(
            "plan",
            f"Respondents for a power of {number(result.power, 2, bounded=True)}",
            [
                Column("proposition", "Proposition", "code"),
                Column("path", "Claim"),
                *(Column(s, s, "count") for s in sizes),
            ],
            [(p, path[p], *(wide.loc[p, s] for s in sizes)) for p in wide.index],
            [],
        ),
        "effects": _frame(
            "effects",
            "What the sizes are",
            result.effects.assign(what=[_KINDS[k] for k in result.effects["kind"]]),
            [
                Column("proposition", "Proposition", "code", merged=True),
                Column("size", "Size"),
                Column("what", "Measure"),
                Column("asked", "Size", "number3"),
                Column("name", "In the population", "path"),
                Column("level", "Group"),
                Column("value", "Value", "bounded3"),
            ],
            [
                "d: in standard deviations within groups. f²: explained variance that the product or the difference of "
                "paths adds, divided by the variance that is not explained."
            ],
        ),
        "precision": _frame(
            "precision",
            "Respondents with intervals",
            result.table,
            [
                Column("proposition", "Proposition", "code", merged=True),
                Column("size", "Size"),
                Column("rows", "Respondents", "count"),
                Column("lower", f"{whole:g}% from", "count"),
                Column("upper", "to", "count"),
                Column("single", "By itself", "count"),
                Column("single_lower", f"{whole:g}% from", "count"),
                Column("single_upper", "to", "count"),
                Column("theory", "Theory", "count"),
                Column("samples", "Samples", "count"),
                Column("unsolved", "Not testable", "count"),
            ],
            [],
        ),
        "held": _frame(
            "held",
            f"All else: paths and correlations of the population {result.population}",
            result.held.assign(what=result.held["lhs"] + " " + result.held["op"] + " " + result.held["rhs"]),
            [Column("what", "Value", "path"), Column("value", "Standardized", "bounded")],
            [],
        ),
        "visits": _frame(
            "visits",
            "What was drawn",
            result.visits,
            [
                Column("proposition", "Proposition", "code", merged=True),
                Column("size", "Size"),
                Column("nobs", "Respondents", "count"),
                Column("samples", "Samples", "count"),
                Column("supported", "Supported", "count"),
                Column("not_supported", "Not supported", "count"),
                Column("contradicted", "Contradicted", "count"),
                Column("not_testable", "Not testable", "count"),
                Column("power", "Power", "bounded3"),
                Column("power_lower", f"{whole:g}% from", "bounded3"),
                Column("power_upper", "to", "bounded3"),
            ],
            [],
        ),
    }
    return {name: t for name, t in out.items() if t.rows}


def _frame(name: str, title: str, frame: pd.DataFrame, columns: list[Column], notes: list[str]) -> Table:
    return table(name, title, columns, [[r[c.key] for c in columns] for r in frame.to_dict("records")], notes)


def write_plan_report(result: PlanResult, path: str | os.PathLike[str]) -> Path:
    """Write the report of a plan as one HTML page that works without a network, whole or not at all."""
    tables, figures = plan_tables(result), plan_figures(result)

    def have(*names: str) -> list[Block]:
        return [name for name in names if name in tables]

    drawn: list[Block] = [(figure,) for figure in figures]
    sections = [
        Section("respondents", "Respondents", (), [*drawn[:1], *have("plan", "precision")]),
        Section("effects", "What the sizes are", (), have("effects"), have("held")),
        Section("power", "Power over respondents", (), drawn[1:], have("visits")),
    ]
    subtitle = (
        f"Population {result.population}, model {result.model} · {int(result.visits['samples'].sum())} samples · "
        f"seed {result.seed}"
    )
    return write_sections(result, subtitle, sections, tables, path)
