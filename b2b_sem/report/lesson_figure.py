"""The figure of a checked lesson: estimates with their intervals beside the hidden truth."""

from __future__ import annotations

import html
import math
from typing import Any

import plotly.graph_objects as go

from b2b_sem.measures.notation import TYPESET, interval, number
from b2b_sem.report.canvas import INK, MUTED, Figure, base_layout
from b2b_sem.results.lesson import LessonCheck

__all__ = ["draw_recovery"]

_ROW = 34
#: Colour and symbol of what became of a path; both differ, so that grey prints stay readable.
_LOOKS = {True: ("#0b5394", "circle", "recovered"), False: ("#b3261e", "x", "not recovered")}
_OTHER = (MUTED, "circle-open", "no path of the population")


def draw_recovery(check: LessonCheck) -> Figure | None:
    """Draw the estimate of each path with its interval, and its true value; None without estimates."""
    rows: list[dict[str, Any]] = [
        {str(k): v for k, v in row.items()}
        for row in check.paths.to_dict("records")
        if math.isfinite(row["est"]) and math.isfinite(row["ci_lower"])
    ]
    if not rows or not check.ok:
        return None
    labels = [html.escape(str(r["path"]).replace("->", "→").replace(" x ", " × ")) for r in rows]
    plot = go.Figure()
    ends = [v for r in rows for v in (r["ci_lower"], r["ci_upper"], r["truth"]) if math.isfinite(v)]
    room = 0.05 * (max(ends) - min(ends)) or 0.1
    layout = base_layout(104 + _ROW * len(rows))
    layout["margin"] = {"l": 10, "r": 16, "t": 44, "b": 52}
    plot.update_layout(
        **layout,
        legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "font": {"size": 12}},
        yaxis={
            "tickmode": "array",
            "tickvals": list(range(len(rows))),
            "ticktext": labels,
            "range": [len(rows) - 0.5, -0.5],
            "automargin": True,
            "showgrid": False,
            "zeroline": False,
        },
        xaxis={
            "title": {"text": "Standardized path"},
            "range": [min(ends) - room, max(ends) + room],
            "gridcolor": "#ececec",
            "zeroline": True,
            "zerolinecolor": "#9aa0a6",
        },
    )
    for state in (True, False, None):
        own = [(k, r) for k, r in enumerate(rows) if _state(r) is state]
        if not own:
            continue
        colour, symbol, name = _OTHER if state is None else _LOOKS[state]
        plot.add_scatter(
            x=[r["est"] for _, r in own],
            y=[k for k, _ in own],
            mode="markers",
            name=name,
            marker={"color": colour, "symbol": symbol, "size": 10, "line": {"color": colour, "width": 1.5}},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [r["ci_upper"] - r["est"] for _, r in own],
                "arrayminus": [r["est"] - r["ci_lower"] for _, r in own],
                "thickness": 2,
                "width": 0,
                "color": colour,
            },
            hovertext=[
                f"{labels[k]}: {number(r['est'], bounded=True, glyphs=TYPESET)} "
                f"{interval(r['ci_lower'], r['ci_upper'], bounded=True, glyphs=TYPESET)}, truth "
                f"{number(r['truth'], bounded=True, glyphs=TYPESET)}"
                for k, r in own
            ],
            hoverinfo="text",
        )
    known = [(k, r) for k, r in enumerate(rows) if math.isfinite(r["truth"])]
    plot.add_scatter(
        x=[r["truth"] for _, r in known],
        y=[k for k, _ in known],
        mode="markers",
        name="truth",
        marker={"color": INK, "symbol": "line-ns", "size": 20, "line": {"color": INK, "width": 3}},
        hoverinfo="skip",
    )
    listed = "; ".join(
        f"{r['path']}: truth {number(r['truth'], bounded=True)}, estimate {number(r['est'], bounded=True)} "
        f"{interval(r['ci_lower'], r['ci_upper'], bounded=True)}"
        for r in rows
    )
    return Figure(
        "recovery",
        "Estimates and the truth",
        f"Points with lines: estimates with {100 * check.confidence:g}% intervals. Upright strokes: what is true of "
        "the "
        "population. A path is recovered if its line holds the stroke and the test decided rightly.",
        listed,
        plot,
        min_width=300,
        max_width=820,
    )


def _state(row: dict[str, Any]) -> bool | None:
    value = row["recovered"]
    return value if isinstance(value, bool) else None
