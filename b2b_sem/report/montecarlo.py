"""The report of a Monte Carlo study: tables as CSV, one page with figures, lines for a terminal."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from b2b_sem.report.canvas import Figure
from b2b_sem.report.montecarlo_curve import draw_power_curves, draw_verdict_curves, draw_verdicts
from b2b_sem.report.montecarlo_figure import (
    MORRIS,
    Part,
    draw_bias,
    draw_coverage,
    draw_estimates,
    draw_rejections,
    draw_se_bias,
    parts_of,
)
from b2b_sem.report.montecarlo_finding import findings, is_raw, parameter_name
from b2b_sem.report.montecarlo_sample import draw_fit, draw_outcomes
from b2b_sem.report.section import Block, Section, write_sections
from b2b_sem.report.table import Column, Kind, Table, table
from b2b_sem.results.io import write_text
from b2b_sem.results.montecarlo import MonteCarloResult

__all__ = ["montecarlo_tables", "verdict_lines", "write_monte_carlo_report", "write_monte_carlo_tables"]

_FILES = ("conditions", "replications", "verdicts", "parameters", "estimates", "measures")
#: Columns of a terminal.
_WIDTH = 100
_MCSE = "In brackets: Monte Carlo standard error."
#: At 0 and 100 % the formula gives an error of 0.
_EDGE = "Of R samples a share of 0% or 100% can still be off by about 3 / R (rule of three)."
_NUMBERS: tuple[tuple[str, str, Kind], ...] = (
    ("bias", "Bias", "error_bounded3"),
    ("rel_bias", "Relative bias %", "error_percent"),
    ("sd", "SD", "error_bounded3"),
    ("se_bias", "SE bias %", "error_percent"),
    ("rmse", "RMSE", "error_bounded3"),
    ("coverage", "Coverage %", "error_percent"),
    ("power", "Power %", "error_percent"),
)
#: Rows from which a table is folded.
_LONG = 48
#: Fit measures that people look at first.
_FIRST = (
    "chisq", "df", "pvalue", "chisq_scaled", "df_scaled", "pvalue_scaled", "cfi", "cfi_robust", "tli", "rmsea",
    "rmsea_robust", "srmr",
)  # fmt: skip


def write_monte_carlo_tables(result: MonteCarloResult, directory: str | os.PathLike[str]) -> list[Path]:
    """Write every table as ``<name>.csv`` with full-precision numbers; missing numbers are empty cells."""
    folder = Path(directory)
    return [
        write_text(folder / f"{name}.csv", getattr(result, name).to_csv(index=False, lineterminator="\n"))
        for name in _FILES
    ]


def montecarlo_tables(result: MonteCarloResult) -> dict[str, Table]:
    """Return the tables of the page; those without rows are left out."""
    out = {
        "support": _support(result),
        "verdicts": _verdicts(result),
        "replications": _replications(result),
        **_parameters(result),
        "measures": _measures(result),
        "conditions": _conditions(result),
    }
    return {name: found for name, found in out.items() if found.rows}


def _pair(row: Any, name: str) -> tuple[Any, Any]:
    return row[name], row[f"{name}_mcse"]


def _cell(row: Any, name: str, kind: str) -> Any:
    return _pair(row, name) if kind.startswith("error") else row[name]


def _table(name: str, title: str, rows: Iterable[Any], columns: Sequence[Column], notes: Sequence[str] = ()) -> Table:
    return table(name, title, columns, [[_cell(r, c.key, c.kind) for c in columns] for r in rows], notes)


def _support(result: MonteCarloResult) -> Table:
    """One row a condition, one column a proposition that some sample could test."""
    frame = result.verdicts
    tested = frame[frame["not_testable"] < 1]
    names = [p for p in dict.fromkeys(frame["proposition"]) if (tested["proposition"] == p).any()]
    cells = {(r["condition"], r["proposition"]): _pair(r, "supported") for r in frame.to_dict("records")}
    rows = [[c, *(cells[c, p] for p in names)] for c in dict.fromkeys(frame["condition"])] if names else []
    columns = [Column("condition", "Condition"), *(Column(p, p, "error_percent") for p in names)]
    return table("support", "Samples in which a proposition is supported, %", columns, rows, [_MCSE, _EDGE])


def _verdicts(result: MonteCarloResult) -> Table:
    columns = [
        Column("proposition", "Proposition", merged=True),
        Column("condition", "Condition"),
        Column("supported", "Supported %", "error_percent"),
        Column("not_supported", "Not supported %", "error_percent"),
        Column("contradicted", "Contradicted %", "error_percent"),
        Column("not_testable", "Not testable %", "error_percent"),
    ]
    frame = _by(result.verdicts, ["proposition"])
    return _table("verdicts", "All verdicts", frame.to_dict("records"), columns, [_MCSE])


def _by(frame: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Return rows of the same thing beneath each other, things and conditions in the order in which they come."""
    keys = frame[names].astype(str).agg("\n".join, axis=1) if len(frame) else pd.Series(dtype=object)
    order = {key: k for k, key in enumerate(dict.fromkeys(keys))}
    return frame.iloc[keys.map(order).argsort(kind="stable")] if len(frame) else frame


def _replications(result: MonteCarloResult) -> Table:
    columns = [
        Column("condition", "Condition"),
        Column("replications", "Samples", "count"),
        Column("converged", "With a solution %", "error_percent"),
        Column("improper", "Improper among them %", "error_percent"),
        Column("failed", "Failed", "count"),
        *([Column("why", "Why")] if (result.replications["why"] != "").any() else []),
    ]
    return _table(
        "replications", "Samples and their solutions", result.replications.to_dict("records"), columns, [_MCSE]
    )


def _parameters(result: MonteCarloResult) -> dict[str, Table]:
    frame = _by(result.parameters, ["lhs", "op", "rhs", "group"])
    rows = [{**row, "parameter": parameter_name(row)} for row in frame.to_dict("records")]
    whole = all(row["n_used"] == result.replications_each for row in rows)
    raw = is_raw(result)  # may be larger than 1: zeros before the point stay
    columns = [
        Column("parameter", "Parameter", "path", merged=True),
        Column("condition", "Condition"),
        Column("true", "True", "number3" if raw else "bounded3"),
        *(Column(key, title, "error3" if raw and name == "error_bounded3" else name) for key, title, name in _NUMBERS),
        *([] if whole else [Column("n_used", "Used", "count")]),
    ]
    notes = [
        f"{'Raw' if raw else 'Standardized'} solution. {_MCSE[:-1]} ({MORRIS}). SD: of the estimates; SE bias: average "
        "standard error divided by it, minus 1; Power: share of tests that reject 0, the error of the first kind where "
        "the true value is 0.",
        _EDGE,
    ]
    out = {}
    for name, title, ops in (
        ("paths", "Paths", ("~",)),
        ("defined", "Defined parameters", (":=",)),
        ("loadings", "Loadings", ("=~",)),
        ("variances", "Variances and covariances", ("~~",)),
        ("intercepts", "Intercepts and means", ("~1",)),
    ):
        out[name] = _table(name, title, [row for row in rows if row["op"] in ops], columns, notes)
    return out


def _measures(result: MonteCarloResult) -> Table:
    frame = result.measures
    place = frame["measure"].map(lambda m: _FIRST.index(m) if m in _FIRST else len(_FIRST))
    frame = _by(frame.iloc[place.argsort(kind="stable")] if len(frame) else frame, ["measure"])
    frame = frame.assign(mean_mcse=frame["sd"] / frame["n_used"] ** 0.5)
    columns = [
        Column("measure", "Measure", "code", merged=True),
        Column("condition", "Condition"),
        Column("mean", "Mean", "error3"),
        Column("sd", "SD", "number3"),
        *(Column(q, f"{int(q[1:])}%", "number3") for q in ("q05", "q50", "q95")),
        Column("rejected", "Rejected %", "error_percent"),
        Column("n_used", "Used", "count"),
    ]
    notes = [f"Columns with %: quantiles. Rejected: share of p-values below {result.alpha:g}. {_MCSE}"]
    return _table("measures", "Fit measures", frame.to_dict("records"), columns, notes)


def _conditions(result: MonteCarloResult) -> Table:
    frame = result.conditions
    columns = [
        Column("condition", "Condition"),
        Column("n", "n", "count"),
        *(Column(k, t) for k, t in (("change", "Change"), ("options", "Options")) if (frame[k] != "").any()),
        Column("batched", "Fitted in batches", "flag"),
        *([Column("reason", "Why not")] if (frame["reason"] != "").any() else []),
    ]
    return _table("conditions", "Conditions", frame.to_dict("records"), columns)


def write_monte_carlo_report(result: MonteCarloResult, path: str | os.PathLike[str]) -> Path:
    """Write the report of a Monte Carlo study as one HTML page that works without a network, whole or not at all."""
    tables = montecarlo_tables(result)
    conditions = len(result.conditions)
    subtitle = (
        f"Population {result.population}, model {result.model} · {result.replications_each} samples of each of "
        f"{conditions} condition{'s' if conditions > 1 else ''} · seed {result.seed}"
    )
    return write_sections(result, subtitle, _sections(result, tables), tables, path)


def _sections(result: MonteCarloResult, tables: dict[str, Table]) -> list[Section]:
    """Return the page: what was found first, then verdicts, samples, parameters, tests, fit; long tables are folded."""
    parts = parts_of(result)

    def have(*names: str) -> list[Block]:
        return [name for name in names if name in tables]

    def side(*figures: Figure | None) -> list[Block]:
        made = tuple(f for f in figures if f is not None)
        return [made] if made else []

    def estimates(part: Part) -> list[Block]:
        pair = side(draw_bias(result, part), draw_se_bias(result, part))
        return [*side(draw_estimates(result, part)), *pair]

    def tests(part: Part) -> list[Block]:
        return side(draw_coverage(result, part), *([] if curves else [draw_rejections(result, part)]))

    curves = [(f,) for f in draw_power_curves(result)]
    verdicts: list[Block] = [(f,) for f in draw_verdict_curves(result)]
    bars = side(draw_verdicts(result))
    first = "paths" if "paths" in tables else "loadings"
    short = first in tables and len(tables[first].rows) <= _LONG
    return [
        Section("short", "In short", tuple(findings(result))),
        Section(
            "verdicts",
            "Verdicts",
            (),
            [*have("support"), *(verdicts or bars)],
            [*(bars if verdicts else []), *have("verdicts")],
        ),
        Section("samples", "Samples", (), [*have("replications"), *side(draw_outcomes(result))], have("conditions")),
        Section(
            "estimates",
            "Estimates and standard errors",
            (),
            [*have(*([first] if short else []), "defined"), *estimates(parts[0])],
            [
                *(block for part in parts[1:] for block in estimates(part)),
                *have(*([] if short else [first]), *({"paths", "loadings"} - {first}), "variances", "intercepts"),
            ],
        ),
        Section(
            "tests",
            "Intervals and tests",
            (),
            [*tests(parts[0]), *curves[:1]],
            [*(block for part in parts[1:] for block in tests(part)), *curves[1:]],
        ),
        Section(
            "fit",
            "Fit measures",
            (),
            side(draw_fit(result, parts[0])),
            [*(block for part in parts[1:] for block in side(draw_fit(result, part))), *have("measures")],
        ),
    ]


def verdict_lines(result: MonteCarloResult) -> list[str]:
    """Return how often each proposition is supported, one line a proposition and one column a condition."""
    frame = result.verdicts
    lost = [
        f"{r['condition']}: {r['failed']} of {r['replications']} samples have no solution"
        + (f": {r['why']}" if r["why"] else "")
        for r in result.replications.to_dict("records")
        if r["failed"]
    ]
    if frame.empty:
        return lost
    tested = frame.groupby("proposition")["not_testable"].min() < 1
    cells = {
        (r["proposition"], r["condition"]): f"{100 * r['supported']:.1f}%" if tested[r["proposition"]] else "-"
        for r in frame.to_dict("records")
    }
    rows, columns = (list(dict.fromkeys(frame[name])) for name in ("proposition", "condition"))
    if sum(len(c) + 2 for c in columns) > _WIDTH:  # long names stand below each other
        rows, columns = columns, rows
        cells = {(c, p): text for (p, c), text in cells.items()}
    width = [max(len(c), 6) for c in columns]
    first = max(9, *map(len, rows))
    lines = ["share of samples in which a proposition is supported:"]
    lines.append(" " * (first + 2) + "  ".join(f"{c:>{w}}" for c, w in zip(columns, width, strict=True)))
    for name in rows:
        own = "  ".join(f"{cells[name, c]:>{w}}" for c, w in zip(columns, width, strict=True))
        lines.append(f"{name:<{first}}  {own}")
    return [*lines, *lost]
