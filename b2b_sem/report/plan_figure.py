"""Figures of a sample-size plan: respondents by proposition and size of the effect, and the curves behind them."""

from __future__ import annotations

import html
import math
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from b2b_sem.measures.notation import TYPESET, number
from b2b_sem.measures.probit import fit_probit
from b2b_sem.report.canvas import INK, MARKS, MUTED, Figure, base_layout, ticks, tint
from b2b_sem.results.plan import PlanResult

__all__ = ["draw_curves", "draw_plan", "plan_figures"]

_ROW = 34
_POINTS = 60
#: Numbers of respondents that are marked on an axis.
_ROUND = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000)


def plan_figures(result: PlanResult) -> list[Figure]:
    """Return the figures that the numbers allow."""
    made = [draw_plan(result), draw_curves(result)]
    return [figure for figure in made if figure is not None]


def _log_axis(low: float, high: float) -> dict[str, Any]:
    marks = [v for v in _ROUND if low / 1.05 <= v <= high * 1.05]
    return {
        "type": "log",
        "range": [math.log10(low), math.log10(high)],
        "tickmode": "array",
        "tickvals": marks,
        "ticktext": [f"{v:,}" for v in marks],
        "gridcolor": "#e6e6e6",
        "zeroline": False,
        "fixedrange": True,
    }


def draw_plan(result: PlanResult) -> Figure | None:
    """Draw the respondents that each proposition needs, with intervals; None if no search came to an answer."""
    table = result.table
    table = table[table["rows"].notna()]
    if table.empty:
        return None
    names = list(dict.fromkeys(result.table["proposition"]))
    sizes = list(dict.fromkeys(result.table["size"]))
    plot = go.Figure()
    ends = np.concatenate([table[c].dropna().to_numpy(dtype=float) for c in ("rows", "lower", "upper", "theory")])
    low, high = max(float(ends[ends > 0].min()) / 1.3, 5.0), float(ends.max()) * 1.3
    step = 0.7 / max(len(sizes), 1)
    for k, size in enumerate(sizes):
        own = table[table["size"] == size]
        if own.empty:
            continue
        colour, symbol = MARKS[k % len(MARKS)]
        y = [names.index(p) + (k - (len(sizes) - 1) / 2) * step for p in own["proposition"]]
        # an interval without an upper end reaches the edge
        reach = [
            (r["rows"] - max(r["lower"], low), (high if math.isnan(r["upper"]) else r["upper"]) - r["rows"])
            for r in own.fillna({"lower": low}).to_dict("records")
        ]
        plot.add_scatter(
            x=own["rows"],
            y=y,
            mode="markers",
            marker={"color": colour, "symbol": symbol, "size": 10, "line": {"color": colour, "width": 1.5}},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [up for _, up in reach],
                "arrayminus": [down for down, _ in reach],
                "thickness": 1.4,
                "width": 0,
                "color": colour,
            },
            name=html.escape(size),
            hovertext=[_said(r) for r in own.to_dict("records")],
            hoverinfo="text",
        )
        known = own[own["theory"].notna()]
        plot.add_scatter(
            x=known["theory"],
            y=[place for place, v in zip(y, own["theory"], strict=True) if not math.isnan(v)],
            mode="markers",
            marker={"color": INK, "symbol": "line-ns", "size": 11, "line": {"color": INK, "width": 1.6}},
            name="theory, without adjustment",
            showlegend=k == len(sizes) - 1 and not known.empty,
            hoverinfo="skip",
        )
    path = {r["proposition"]: r["path"] for r in result.table.to_dict("records")}
    labels = [f"<b>{html.escape(n)}</b> {html.escape(_short(path[n]))}" for n in names]
    layout = base_layout(110 + _ROW * len(names))
    layout["margin"] = {"l": 10, "r": 16, "t": 44, "b": 56}
    plot.update_layout(
        **layout,
        legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "font": {"size": 12}, "itemclick": False},
        yaxis={
            "tickmode": "array",
            "tickvals": list(range(len(names))),
            "ticktext": labels,
            "range": [len(names) - 0.4, -0.6],
            "automargin": True,
            "showgrid": False,
            "zeroline": False,
            "fixedrange": True,
        },
        xaxis={**_log_axis(low, high), "title": {"text": "Respondents"}},
    )
    said = "; ".join(f"{r['proposition']} {r['size']}: {r['rows']:.0f}" for r in table.to_dict("records"))
    return Figure(
        "plan",
        f"Respondents for a power of {number(result.power, 2, bounded=True, glyphs=TYPESET)}",
        f"Smallest number of respondents with which a proposition is supported in {100 * result.power:g}% of samples, "
        f"by the size of its effect; lines: {100 * result.level:g}% intervals. Upright strokes: large-sample theory "
        "for the test of the path by itself.",
        f"Respondents needed: {said}.",
        plot,
        min_width=520,
        max_width=900,
    )


def draw_curves(result: PlanResult) -> Figure | None:
    """Draw the shares of samples in which each proposition is supported, with curves; None if nothing was drawn."""
    visits = result.visits
    if visits.empty:
        return None
    names = list(dict.fromkeys(visits["proposition"]))
    sizes = list(dict.fromkeys(visits["size"]))
    columns = 2 if len(names) > 1 else 1
    lines = -(-len(names) // columns)
    plot = make_subplots(
        rows=lines,
        cols=columns,
        subplot_titles=[html.escape(n) for n in names],
        vertical_spacing=min(0.35 / lines, 0.12),
        horizontal_spacing=0.08,
    )
    for place, name in enumerate(names):
        row, column = divmod(place, columns)
        at = {"row": row + 1, "col": column + 1}
        shown = visits[visits["proposition"] == name]
        low, high = float(shown["nobs"].min()) / 1.25, float(shown["nobs"].max()) * 1.25
        for k, size in enumerate(sizes):
            own = shown[shown["size"] == size]
            if own.empty:
                continue
            colour, symbol = MARKS[k % len(MARKS)]
            curve = fit_probit(np.sqrt(own["nobs"]), own["supported"], own["samples"])
            if curve is not None:
                x = np.geomspace(own["nobs"].min() / 1.15, own["nobs"].max() * 1.15, _POINTS)
                below, above = curve.band(np.sqrt(x), result.level)
                edge = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
                plot.add_scatter(x=x, y=below, **edge, **at)
                plot.add_scatter(x=x, y=above, fill="tonexty", fillcolor=tint(colour, 0.13), **edge, **at)
                plot.add_scatter(
                    x=x,
                    y=curve.power(np.sqrt(x)),
                    mode="lines",
                    line={"color": colour, "width": 2},
                    hoverinfo="skip",
                    showlegend=False,
                    **at,
                )
            plot.add_scatter(
                x=own["nobs"],
                y=own["power"],
                mode="markers",
                marker={"color": colour, "symbol": symbol, "size": 7, "line": {"color": colour, "width": 1.2}},
                error_y={
                    "type": "data",
                    "symmetric": False,
                    "array": own["power_upper"] - own["power"],
                    "arrayminus": own["power"] - own["power_lower"],
                    "thickness": 1.1,
                    "width": 0,
                    "color": colour,
                },
                name=html.escape(size),
                legendgroup=size,
                showlegend=place == 0,
                hovertext=[
                    f"{html.escape(name)}, {html.escape(size)}: {r['nobs']} respondents, {100 * r['power']:.1f}% of "
                    f"{r['samples']} samples"
                    for r in own.to_dict("records")
                ],
                hoverinfo="text",
                **at,
            )
        plot.add_hline(y=result.power, line={"color": MUTED, "width": 1.2, "dash": "2px,3px"}, **at)
        plot.update_xaxes(**_log_axis(low, high), tickfont={"size": 11}, **at)
        plot.update_yaxes(
            range=[0, 1.03],
            gridcolor="#e6e6e6",
            zeroline=False,
            fixedrange=True,
            tickfont={"size": 11},
            **ticks([0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
            **at,
        )
    layout = base_layout(120 + 200 * lines)
    layout["margin"] = {"l": 46, "r": 16, "t": 76, "b": 40}
    plot.update_layout(
        **layout,
        legend={"orientation": "h", "x": 0, "y": 0.995, "yanchor": "top", "yref": "container", "itemclick": False},
    )
    return Figure(
        "plan-curves",
        "Share of samples that support a proposition, over the number of respondents",
        f"Marks: samples that were drawn, with {100 * result.level:g}% intervals; curves Φ(a + b √n) through "
        "them, with bands; dotted: the asked power.",
        f"Curves of power over respondents for {', '.join(names)}, each for {', '.join(sizes)} effects. The numbers "
        "are in the table of what was drawn.",
        plot,
        min_width=620,
        max_width=980,
    )


def _said(row: Mapping[Hashable, Any]) -> str:
    ends = f"{row['lower']:.0f} to {row['upper']:.0f}"
    return html.escape(f"{row['proposition']}, {row['size']}: {row['rows']:.0f} respondents ({ends})")


def _short(path: str) -> str:
    """Return what a proposition claims for an axis: a claim with parts would not fit."""
    shown = path if len(path) <= 30 else path.split(",")[0].strip() + " …"
    return shown.replace(" -> ", " → ").replace(" x ", " × ")
