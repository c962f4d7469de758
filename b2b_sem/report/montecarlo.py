"""The report of a Monte Carlo study: tables as CSV, one page with figures, lines for a terminal."""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path

import pandas as pd
from markupsafe import Markup

from b2b_sem.report.montecarlo_figure import montecarlo_figures
from b2b_sem.report.page import figure_spec, plotly_code, template
from b2b_sem.report.table import Column, Table, table
from b2b_sem.results.io import write_text
from b2b_sem.results.montecarlo import MonteCarloResult

__all__ = ["montecarlo_tables", "verdict_lines", "write_monte_carlo_report", "write_monte_carlo_tables"]

_FILES = ("conditions", "replications", "verdicts", "parameters", "estimates", "measures")


def write_monte_carlo_tables(result: MonteCarloResult, directory: str | os.PathLike[str]) -> list[Path]:
    """Write every table as ``<name>.csv`` with full-precision numbers; missing numbers are empty cells."""
    folder = Path(directory)
    return [
        write_text(folder / f"{name}.csv", getattr(result, name).to_csv(index=False, lineterminator="\n"))
        for name in _FILES
    ]


def montecarlo_tables(result: MonteCarloResult) -> dict[str, Table]:
    """Return the tables of the page."""
    head = Column("condition", "Condition")
    out = {
        "verdicts": _table(
            "verdicts",
            "Probability of each verdict",
            result.verdicts,
            [
                head,
                Column("proposition", "Proposition"),
                *(
                    Column(name, title, "bounded3")
                    for name, title in (
                        ("supported", "Supported"),
                        ("supported_mcse", "± MC error"),
                        ("not_supported", "Not supported"),
                        ("contradicted", "Contradicted"),
                        ("not_testable", "Not testable"),
                    )
                ),
            ],
            ["MC error: Monte Carlo standard error of the share beside it, the square root of p (1 - p) / R."],
        ),
        "replications": _table(
            "replications",
            "Samples and their solutions",
            result.replications,
            [
                head,
                Column("replications", "Samples", "count"),
                Column("converged", "With a solution", "bounded3"),
                Column("improper", "Improper among them", "bounded3"),
                Column("failed", "Failed", "count"),
                Column("why", "Why"),
            ],
            [],
        ),
    }
    frame = result.parameters
    columns = [
        head,
        Column("parameter", "Parameter", "path"),
        *([Column("group", "Group")] if (frame["group"] != "").any() else []),
        Column("true", "True", "bounded"),
        Column("mean", "Mean", "bounded3"),
        Column("bias", "Bias", "bounded3"),
        Column("rel_bias", "Relative", "bounded3"),
        Column("sd", "SD", "bounded3"),
        Column("se_bias", "SE bias", "bounded3"),
        Column("rmse", "RMSE", "bounded3"),
        Column("coverage", "Coverage", "bounded3"),
        Column("power", "Power", "bounded3"),
        Column("n_used", "Used", "count"),
    ]
    notes = [
        "Standardized solution. SD: of the estimates; SE bias: average standard error divided by it, minus 1; Power: "
        "share of tests that reject zero, the error of the first kind where the true value is 0. The files in tables/ "
        "have the Monte Carlo standard error of every number."
    ]
    for name, title, ops in (
        ("paths", "Paths", ("~",)),
        ("other", "Loadings, variances and covariances", ("=~", "~~", ":=")),
    ):
        own = frame[frame["op"].isin(ops)]
        if not own.empty:
            named = own.assign(parameter=own["lhs"] + " " + own["op"] + " " + own["rhs"])
            out[name] = _table(name, title, named, columns, notes)
    out["measures"] = _table(
        "measures",
        "Fit measures",
        result.measures,
        [
            head,
            Column("measure", "Measure"),
            Column("mean", "Mean", "number3"),
            Column("sd", "SD", "number3"),
            *(Column(q, f"{int(q[1:])}%", "number3") for q in ("q05", "q50", "q95")),
            Column("rejected", "Rejected", "bounded3"),
            Column("n_used", "Used", "count"),
        ],
        [f"Percentages: quantiles. Rejected: share of p-values below {result.alpha:g}."],
    )
    return {name: t for name, t in out.items() if t.rows}


def _table(name: str, title: str, frame: pd.DataFrame, columns: list[Column], notes: list[str]) -> Table:
    return table(name, title, columns, [[r[c.key] for c in columns] for r in frame.to_dict("records")], notes)


def write_monte_carlo_report(result: MonteCarloResult, path: str | os.PathLike[str]) -> Path:
    """Write the report of a Monte Carlo study as one HTML page that works without a network, whole or not at all."""
    tables = montecarlo_tables(result)
    folded = [name for name in ("other", "measures") if name in tables]
    figures = montecarlo_figures(result)
    page = template("montecarlo.html.j2").render(
        title=result.title,
        subtitle=f"Population {result.population}, model {result.model} · {result.replications_each} samples of each "
        f"of {len(result.conditions)} conditions · seed {result.seed}",
        lines=result.notes,
        warnings=result.warnings,
        figures=figures,
        specs=[Markup(figure_spec(f)) for f in figures],
        tables=[Markup(t.to_html()) for name, t in tables.items() if name not in folded],
        folded=[Markup(tables[name].to_html()) for name in folded],
        plotly=Markup(plotly_code()),
        version=version("b2b-sem"),
    )
    return write_text(path, page + "\n")


def verdict_lines(result: MonteCarloResult) -> list[str]:
    """Return how often each proposition is supported, one line a proposition and one column a condition."""
    frame = result.verdicts
    lost = [
        f"{r['condition']}: {r['failed']} of {r['replications']} samples have no solution"
        for r in result.replications.to_dict("records")
        if r["failed"]
    ]
    if frame.empty:
        return lost
    wide = frame.pivot_table(index="proposition", columns="condition", values="supported", sort=False)
    tested = frame.groupby("proposition")["not_testable"].min() < 1
    width = [max(len(c), 6) for c in wide.columns]
    first = max(9, *(len(p) for p in wide.index))
    lines = ["share of samples in which a proposition is supported:"]
    heads = "  ".join(f"{c:>{w}}" for c, w in zip(wide.columns, width, strict=True))
    lines.append(f"{'':<{first}}  {heads}")
    for name in wide.index:
        cells = [f"{100 * v:.1f}%" if tested[name] else "-" for v in (float(wide.loc[name, c]) for c in wide.columns)]
        lines.append(f"{name:<{first}}  " + "  ".join(f"{c:>{w}}" for c, w in zip(cells, width, strict=True)))
    return [*lines, *lost]
