"""One question of moderation by several routes: the table and the figure of a report."""

from __future__ import annotations

import html
import math

from b2b_sem.measures.notation import TYPESET, interval, number, p_phrase
from b2b_sem.report.canvas import Figure, wrap_label
from b2b_sem.report.group_figure import Marks, forest
from b2b_sem.report.table import Column, Table, table
from b2b_sem.results.moderation import EXAMPLE, ModerationResult, RouteRow

__all__ = ["draw_routes", "route_figures", "route_table"]

_DECISIONS = {"positive": "positive", "negative": "negative", "none": "not significant"}


def route_figures(result: ModerationResult) -> list[Figure]:
    """Return the figures of a question of moderation."""
    made = draw_routes(result)
    return [] if made is None else [made]


def route_table(result: ModerationResult, name: str = "moderation_routes") -> Table:
    """Return the routes as a table; CSV files have all its columns.

    Parameters
    ----------
    result : ModerationResult
    name : str
        Stem of the CSV file.
    """
    limits = f"{result.level:.0%} CI"
    columns = [
        Column("route", "Route", "code"),
        Column("title", "What it does"),
        Column("est", "Estimate", "number"),
        Column("se", "SE", "number"),
        Column("statistic", "z or t", "number"),
        Column("df", "df", "count", shown=False),
        Column("pvalue", "p", "p"),
        Column("ci", limits, "interval"),
        Column("std", "Std. effect", "number"),
        Column("std_se", "SE of it", "number", shown=False),
        Column("std_ci", limits, "interval"),
        Column("n", "n", "count"),
        Column("decision", "Effect", "value"),
        Column("reason", "Why there is no answer", shown=any(not row.ok for row in result.rows)),
    ]
    rows = [
        (
            row.route,
            row.title,
            row.est,
            row.se,
            row.statistic,
            row.df,
            row.pvalue,
            (row.ci_lower, row.ci_upper),
            row.std,
            row.std_se,
            (row.std_lower, row.std_upper),
            row.n or "",
            _DECISIONS.get(row.decision, "no answer"),
            row.reason,
        )
        for row in result.rows
    ]
    title = f"{result.focal} -> {result.outcome}, moderated by {result.moderator}: one question by several routes"
    return table(name, title.replace("->", "→"), columns, rows, [*result.statements, *result.notes])


def draw_routes(result: ModerationResult, name: str = "moderation-routes") -> Figure | None:
    """Draw the standardized effect of the product by route, with intervals; None without numbers."""
    rows = list(result.rows)
    shown = [i for i, row in enumerate(rows) if math.isfinite(row.std) and math.isfinite(row.std_se)]
    if not shown:
        return None
    series = Marks(
        "standardized effect of the product",
        shown,
        [rows[i].std for i in shown],
        [(rows[i].std_lower, rows[i].std_upper) for i in shown],
        [_hover(rows[i]) for i in shown],
        written=True,
    )
    labels = [f"<b>{html.escape(row.route)}</b><br>{wrap_label(row.title, 34)}" for row in rows]
    plot = forest(
        [series],
        labels,
        f"Change of the effect of {result.focal} for one standard deviation of {result.moderator} (standardized)",
        sides=[_side(row) for row in rows],
        heading="<b>Decision</b>",
    )
    plot.update_layout(showlegend=False)
    text = "; ".join(
        f"{rows[i].route} {number(rows[i].std)} {interval(rows[i].std_lower, rows[i].std_upper)}" for i in shown
    )
    missing = [row.route for i, row in enumerate(rows) if i not in shown]
    absent = f" No answer: {', '.join(missing)}." if missing else ""
    caption = (
        f"Points: standardized effects of the product (Wen, Marsh & Hau 2010, doi:10.1080/10705510903438872); lines: "
        f"{result.level:.0%} confidence intervals.{absent} {' '.join(result.statements)}"
    )
    if any(row.route == EXAMPLE for row in rows):
        caption += f" The row '{EXAMPLE}' is a warning and does not count."
    return Figure(
        name,
        f"Does {result.moderator} change the effect of {result.focal} on {result.outcome}? The answer by route",
        caption,
        f"Forest plot of {len(shown)} routes: {text}.{absent}",
        plot,
        min_width=620,
        max_width=980,
    )


def _hover(row: RouteRow) -> str:
    limits = interval(row.std_lower, row.std_upper, 3, glyphs=TYPESET)
    p = html.escape(p_phrase(row.pvalue, glyphs=TYPESET))
    return f"{html.escape(row.route)}: {number(row.std, 3, glyphs=TYPESET)} {limits}, {p}, n = {row.n}"


def _side(row: RouteRow) -> str:
    if not row.ok:
        return "no answer"
    p = html.escape(p_phrase(row.pvalue, glyphs=TYPESET))
    said = "warning example" if row.route == EXAMPLE else _DECISIONS[row.decision]
    return f"{said}<br>{p}"
