"""Figures of tests in a Monte Carlo study: power and verdicts, over sample sizes where these differ."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from b2b_sem.measures.notation import TYPESET, number
from b2b_sem.report.canvas import INK, MUTED, STYLES, Figure, axis_id, base_layout, grid, tint
from b2b_sem.report.montecarlo_figure import band, canvas, style
from b2b_sem.results.montecarlo import MonteCarloResult
from b2b_sem.results.verdict import CONTRADICTED, NOT_SUPPORTED, SUPPORTED

__all__ = ["draw_power_curves", "draw_verdict_curves", "draw_verdicts"]

#: Panels of one figure, and those beside each other.
_PANELS, _COLUMNS = 12, 4
#: Lines of one panel: changes and options.
_LINES = 6
#: Most lines whose bands are filled.
_BANDS = 2
#: Largest ratio of sample sizes on an axis of equal steps.
_LINEAR = 5.0
#: Height of a panel and of the room above it.
_PANEL, _ROOM = 130, 58


@dataclass(frozen=True)
class _Curve:
    """One line of a panel: shares over sample sizes."""

    panel: str
    line: str
    n: tuple[float, ...]
    share: tuple[float, ...]
    trials: tuple[float, ...]


def draw_verdicts(result: MonteCarloResult) -> Figure | None:
    """Draw how often each proposition is supported, not supported or contradicted; None if none could be tested."""
    frame = result.verdicts
    frame = frame[frame["not_testable"] < 1]
    if frame.empty:
        return None
    frame = frame.sort_values(
        "proposition", kind="stable", key=lambda ids: ids.map({v: k for k, v in enumerate(ids.unique())})
    )
    single = frame["condition"].nunique() == 1
    labels = [p if single else f"{p}, {c}" for p, c in zip(frame["proposition"], frame["condition"], strict=True)]
    plot = canvas([html.escape(v) for v in labels], 1, "Share of samples (%)")
    for verdict, column in ((SUPPORTED, "supported"), (NOT_SUPPORTED, "not_supported"), (CONTRADICTED, "contradicted")):
        low, high = band(frame[column], frame["n_used"])
        plot.add_bar(
            x=100 * frame[column],
            y=list(range(len(labels))),
            orientation="h",
            name=verdict,
            marker={"color": STYLES[verdict].colour, "line": {"color": "#ffffff", "width": 1}},
            hovertext=[
                f"{html.escape(t)}: {verdict} {v:.1f}% [{a:.1f}%, {b:.1f}%]"
                for t, v, a, b in zip(labels, 100 * frame[column], low, high, strict=True)
            ],
            hoverinfo="text",
        )
    plot.update_layout(barmode="stack", bargap=0.35)
    plot.update_xaxes(range=[0, 100])
    listed = "; ".join(f"{t} {s:.0f}%" for t, s in zip(labels, 100 * frame["supported"], strict=True))
    return Figure(
        "verdicts",
        "Verdicts",
        "Share of samples with each verdict. What is missing to 100% are samples in which the proposition could not be "
        "tested, such as those without an admissible solution.",
        f"Share of samples in which a proposition is supported: {listed}.",
        plot,
        min_width=330,
        max_width=900,
    )


def draw_verdict_curves(result: MonteCarloResult) -> list[Figure]:
    """Draw how often each proposition is supported over sample sizes; nothing if there is only one size."""
    frame = result.verdicts
    frame = frame[frame["not_testable"] < 1].assign(panel=lambda f: f["proposition"], share=lambda f: f["supported"])
    if frame.empty or result.conditions["n"].nunique() < 2:
        return []
    return _curves(
        result,
        frame,
        "verdict-curves",
        "Support over the number of respondents",
        "Supported (%)",
        "Share of samples in which each proposition is supported, with 95% Monte Carlo bands; dotted: 80%.",
        80.0,
    )


def draw_power_curves(result: MonteCarloResult) -> list[Figure]:
    """Draw how often the tests of paths reject zero over sample sizes; nothing if there is only one size."""
    frame = result.parameters
    frame = frame[(frame["op"] == "~") & frame["power"].map(math.isfinite)]
    if frame.empty or result.conditions["n"].nunique() < 2:
        return []
    arrow = frame["rhs"] + " → " + frame["lhs"] + frame["group"].map(lambda g: f" ({g})" if g else "")
    frame = frame.assign(panel=arrow.where(frame["true"] != 0, arrow + " (true value 0)"), share=frame["power"])
    alpha = number(result.alpha, 3, bounded=True, glyphs=TYPESET).rstrip("0")
    return _curves(
        result,
        frame,
        "power",
        "Power of the tests of paths",
        "Rejected (%)",
        f"Share of samples in which the test of a path rejects 0 at alpha = {alpha}, one at a time, with 95% Monte "
        "Carlo bands; dotted: 80%. Where the true value is 0 this is the error of the first kind.",
        80.0,
    )


def _curves(
    result: MonteCarloResult, frame: pd.DataFrame, name: str, title: str, axis: str, caption: str, aim: float
) -> list[Figure]:
    table = result.conditions.set_index("condition")
    lines = [", ".join(filter(None, (str(c), str(o)))) for c, o in zip(table["change"], table["options"], strict=True)]
    line_of = dict(zip(table.index, lines, strict=True))
    frame = frame.assign(line=frame["condition"].map(line_of), n=frame["condition"].map(table["n"]))
    curves = []
    for (panel, line), own in frame.groupby(["panel", "line"], sort=False):
        own = own.sort_values("n")
        parts = (tuple(float(v) for v in own[c]) for c in ("n", "share", "n_used"))
        curves.append(_Curve(str(panel), str(line), *parts))
    panels = list(dict.fromkeys(c.panel for c in curves))
    left_out = ""
    if len(panels) > _PANELS:
        least = frame.groupby("panel")["share"].mean().nsmallest(_PANELS).index
        left_out = f" Of {len(panels)} the {_PANELS} with the smallest shares; all are in the tables."
        panels = [panel for panel in panels if panel in set(least)]
    every = list(dict.fromkeys(lines))
    packs = [every[k : k + _LINES] for k in range(0, len(every), _LINES)]
    out = []
    for k, pack in enumerate(packs):
        drawn = [c for c in curves if c.line in pack and c.panel in panels]
        more = f", part {k + 1} of {len(packs)}" if len(packs) > 1 else ""
        plot = _panels(drawn, panels, pack, axis, aim)
        said = "; ".join(f"{c.panel}{f' ({c.line})' if c.line else ''} {_list(c)}" for c in drawn)
        ident = f"{name}-{k + 1}" if len(packs) > 1 else name
        out.append(Figure(ident, title + more, caption + left_out, f"{title}: {said}.", plot, min_width=640))
    return out


def _list(curve: _Curve) -> str:
    return ", ".join(f"{100 * s:.0f}% at {n:.0f}" for n, s in zip(curve.n, curve.share, strict=True))


def _panels(curves: Sequence[_Curve], panels: Sequence[str], lines: Sequence[str], axis: str, aim: float) -> go.Figure:
    """Return a grid of small figures that share their axes, one a panel."""
    columns = min(_COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    legend = 26 if any(lines) else 0
    inner = rows * _PANEL + (rows - 1) * _ROOM
    plot = go.Figure()
    layout = base_layout(inner + 84 + legend)
    layout["margin"] = {"l": 52, "r": 16, "t": 34 + legend, "b": 50}
    plot.update_layout(
        **layout,
        showlegend=any(lines),
        legend={"orientation": "h", "x": 0, "y": 1 + 26 / inner, "yanchor": "bottom", "itemclick": False},
    )
    sizes = sorted({n for c in curves for n in c.n})
    places = grid(len(panels), columns, 0.035, _ROOM / inner)
    for k, (panel, place) in enumerate(zip(panels, places, strict=True)):
        last = k + columns >= len(panels)
        own = {c.line: c for c in curves if c.panel == panel}
        for position, line in enumerate(lines):
            if line in own:
                _line(plot, _aside(own[line], sizes, position, len(lines)), own[line], position, k, len(lines))
        frame: dict[str, Any] = {"gridcolor": "#ececec", "zeroline": False, "fixedrange": True, "linecolor": "#d5d9de"}
        plot.update_layout(
            {
                f"xaxis{k + 1}": {**frame, **_size_axis(sizes), "domain": place[0], "anchor": axis_id("y", k)}
                | ({"title": {"text": "Respondents", "font": {"size": 12}}} if last else {}),
                f"yaxis{k + 1}": {
                    **frame,
                    "domain": place[1],
                    "anchor": axis_id("x", k),
                    "range": [-3, 103],
                    "tickmode": "array",
                    "tickvals": [0, 20, 40, 60, 80, 100],
                    "showticklabels": k % columns == 0,
                }
                | ({"title": {"text": axis, "font": {"size": 12}}} if k % columns == 0 else {}),
            }
        )
        plot.add_shape(
            type="line", xref=axis_id("x", k) + " domain", x0=0, x1=1, yref=axis_id("y", k), y0=aim, y1=aim,
            layer="below", line={"color": MUTED, "width": 1.2, "dash": "2px,3px"},
        )  # fmt: skip
        plot.add_annotation(
            text=f"<b>{html.escape(panel)}</b>", x=place[0][0], y=place[1][1], xref="paper", yref="paper",
            xanchor="left", yanchor="bottom", showarrow=False, font={"size": 12, "color": INK},
        )  # fmt: skip
    return plot


def _size_axis(sizes: Sequence[float]) -> dict[str, Any]:
    """Return an axis with all sizes, or some of many; with equal ratios where they are far apart."""
    wide = _is_wide(sizes)
    scale = [math.log10(n) for n in sizes] if wide else list(sizes)
    room = max((scale[-1] - scale[0]) * 0.12, 0.02 * abs(scale[-1]))
    apart = (scale[-1] - scale[0] + 2 * room) / 5
    marked: list[tuple[float, float]] = []
    for n, place in zip(sizes, scale, strict=True):
        if not marked or place - marked[-1][1] >= apart:
            marked.append((n, place))
    if len(sizes) > 1 and marked[-1][0] != sizes[-1]:
        if len(marked) > 1 and scale[-1] - marked[-1][1] < apart:
            marked.pop()
        marked.append((sizes[-1], scale[-1]))
    ticks = [n for n, _ in marked]
    return {
        "type": "log" if wide else "linear",
        "range": [scale[0] - room, scale[-1] + room],
        "tickmode": "array",
        "tickvals": ticks,
        "ticktext": [f"{n:.0f}" for n in ticks],
    }


def _aside(curve: _Curve, sizes: Sequence[float], position: int, lines: int) -> list[float]:
    """Return where the points of a line stand, so that equal ones of several lines are all seen."""
    shift = (position - (lines - 1) / 2) * 0.025
    if _is_wide(sizes):
        return [n * (sizes[-1] / sizes[0]) ** shift for n in curve.n]
    return [n + shift * (sizes[-1] - sizes[0]) for n in curve.n]


def _is_wide(sizes: Sequence[float]) -> bool:
    return sizes[-1] / sizes[0] > _LINEAR


def _line(plot: go.Figure, x: Sequence[float], curve: _Curve, position: int, panel: int, lines: int) -> None:
    colour, symbol = style(position)
    axes = {"xaxis": axis_id("x", panel), "yaxis": axis_id("y", panel)}
    low, high = band(curve.share, curve.trials)
    share = 100 * np.asarray(curve.share)
    if len(curve.n) > 1 and lines <= _BANDS:
        plot.add_scatter(
            x=[*x, *x[::-1]],
            y=[*high, *low[::-1]],
            mode="lines",
            fill="toself",
            fillcolor=tint(colour, 0.16),
            line={"width": 0},
            showlegend=False,
            hoverinfo="skip",
            **axes,
        )
    who = f"{html.escape(curve.panel)}{', ' + html.escape(curve.line) if curve.line else ''}"
    plot.add_scatter(
        x=list(x),
        y=list(share),
        mode="lines+markers",
        line={"color": colour, "width": 2},
        marker={"color": colour, "symbol": symbol, "size": 7, "line": {"color": colour, "width": 1.5}},
        error_y={
            "type": "data",
            "symmetric": False,
            "array": list(high - share),
            "arrayminus": list(share - low),
            "thickness": 1.2,
            "width": 0,
            "color": colour,
        },
        name=html.escape(curve.line),
        legendgroup=str(position),
        showlegend=panel == 0,
        hovertext=[
            f"{who}, n = {n:.0f}: {s:.1f}% [{a:.1f}%, {b:.1f}%]"
            for n, s, a, b in zip(curve.n, share, low, high, strict=True)
        ],
        hoverinfo="text",
        **axes,
    )
