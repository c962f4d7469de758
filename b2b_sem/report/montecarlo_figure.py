"""Figures of a Monte Carlo study: estimates against the truth, coverage, verdicts, and how many samples were solved."""

from __future__ import annotations

import html
import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from b2b_sem.measures.notation import number
from b2b_sem.report.canvas import INK, MARKS, MUTED, STYLES, Figure, base_layout
from b2b_sem.results.montecarlo import MonteCarloResult
from b2b_sem.results.verdict import CONTRADICTED, NOT_SUPPORTED, SUPPORTED

__all__ = ["draw_coverage", "draw_estimates", "draw_outcomes", "draw_verdicts", "montecarlo_figures"]

MORRIS = "Morris, White & Crowther 2019, doi:10.1002/sim.8086"
#: Rows of a figure; more would not be read.
_MOST = 40
_ROW = 24


def montecarlo_figures(result: MonteCarloResult) -> list[Figure]:
    """Return the figures that the numbers allow."""
    made = [draw_verdicts(result), draw_estimates(result), draw_coverage(result), draw_outcomes(result)]
    return [f for f in made if f is not None]


def _shown(frame: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Return the paths of a table with known values, or what else there is; and what they are called."""
    known = frame[frame["true"].map(math.isfinite)]
    paths = known[known["op"] == "~"]
    if not paths.empty:
        return paths, "paths"
    return known[known["op"] == "=~"], "loadings"


def _label(row: Mapping[Hashable, Any]) -> str:
    arrow = f"{row['rhs']} → {row['lhs']}" if row["op"] == "~" else f"{row['lhs']} → {row['rhs']}"
    return html.escape(arrow + (f" ({row['group']})" if row["group"] else ""))


def _rows(frame: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(map(_label, frame.to_dict("records"))))[:_MOST]


def _canvas(labels: Sequence[str], conditions: int, title: str) -> tuple[go.Figure, float]:
    """Return an empty figure with a row for each label, and how far apart the conditions stand in it."""
    plot = go.Figure()
    height = 96 + max(_ROW, 13 * conditions) * len(labels)
    layout = base_layout(height)
    layout["margin"] = {"l": 10, "r": 16, "t": 44, "b": 52}
    plot.update_layout(
        **layout,
        legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "font": {"size": 12}},
        yaxis={
            "tickmode": "array",
            "tickvals": list(range(len(labels))),
            "ticktext": list(labels),
            "autorange": "reversed",
            "automargin": True,
            "showgrid": False,
            "zeroline": False,
        },
        xaxis={"title": {"text": title}, "gridcolor": "#ececec", "zeroline": False},
    )
    return plot, 0.7 / max(conditions, 1)


def _style(position: int) -> tuple[str, str]:
    return MARKS[position % len(MARKS)]


def _places(own: pd.DataFrame, labels: Sequence[str], position: int, conditions: int, step: float) -> list[float]:
    shift = (position - (conditions - 1) / 2) * step
    return [labels.index(_label(row)) + shift for row in own.to_dict("records")]


def draw_estimates(result: MonteCarloResult) -> Figure | None:
    """Draw where the estimates of each path lie, and the true values; None without known values."""
    frame, what = _shown(result.estimates)
    labels = _rows(frame)
    if not labels:
        return None
    names = list(dict.fromkeys(frame["condition"]))
    plot, step = _canvas(labels, len(names), "Standardized estimate")
    frame = frame[[_label(r) in labels for r in frame.to_dict("records")]]
    for position, name in enumerate(names):
        own = frame[frame["condition"] == name]
        colour, symbol = _style(position)
        y = _places(own, labels, position, len(names), step)
        for low, high, width in (("q05", "q95", 1.5), ("q25", "q75", 5)):
            x = [end for pair in zip(own[low], own[high], strict=True) for end in (*pair, None)]
            lines = [end for place in y for end in (place, place, None)]
            plot.add_scatter(
                x=x,
                y=lines,
                mode="lines",
                line={"color": colour, "width": width},
                showlegend=False,
                hoverinfo="skip",
            )
        plot.add_scatter(
            x=own["q50"],
            y=y,
            mode="markers",
            marker={"color": colour, "symbol": symbol, "size": 9, "line": {"color": colour, "width": 1.5}},
            name=html.escape(name),
            hovertext=[f"{_label(r)}, {html.escape(name)}: median {number(r['q50'])}" for r in own.to_dict("records")],
            hoverinfo="text",
        )
        plot.add_scatter(
            x=own["true"],
            y=y,
            mode="markers",
            marker={"color": INK, "symbol": "line-ns", "size": 13, "line": {"color": INK, "width": 2}},
            name="true value",
            showlegend=position == 0,
            hoverinfo="skip",
        )
    far = max(abs(r["q50"] - r["true"]) for r in frame.to_dict("records"))
    return Figure(
        "estimates",
        f"Estimates of {what} against the truth",
        "Points: medians of the estimates; thick lines: the middle half of them, thin lines: 90%. Upright strokes: the "
        "true values. Standardized solution.",
        f"Distributions of the estimates of {len(labels)} {what} in {len(names)} conditions. The median farthest from "
        f"its true value is {number(far, 3)} away. All numbers are in the table of parameters.",
        plot,
        min_width=480,
        max_width=900,
    )


def draw_coverage(result: MonteCarloResult) -> Figure | None:
    """Draw how often the intervals hold the true value, with bands of Monte Carlo error; None without known values."""
    frame, what = _shown(result.parameters)
    frame = frame[frame["coverage"].map(math.isfinite)]
    labels = _rows(frame)
    if not labels:
        return None
    names = list(dict.fromkeys(frame["condition"]))
    level = 100 * result.confidence
    plot, step = _canvas(labels, len(names), f"Coverage of {level:g}% intervals (%)")
    frame = frame[[_label(r) in labels for r in frame.to_dict("records")]]
    plot.add_vline(x=level, line={"color": INK, "width": 1, "dash": "4px,4px"})
    for position, name in enumerate(names):
        own = frame[frame["condition"] == name]
        colour, symbol = _style(position)
        half = 1.96 * 100 * own["coverage_mcse"]
        plot.add_scatter(
            x=100 * own["coverage"],
            y=_places(own, labels, position, len(names), step),
            mode="markers",
            marker={"color": colour, "symbol": symbol, "size": 8, "line": {"color": colour, "width": 1.5}},
            error_x={"type": "data", "array": list(half), "thickness": 1.2, "width": 0, "color": colour},
            name=html.escape(name),
            hovertext=[f"{_label(r)}, {html.escape(name)}: {100 * r['coverage']:.1f}%" for r in own.to_dict("records")],
            hoverinfo="text",
        )
    low, high = 100 * frame["coverage"].min(), 100 * frame["coverage"].max()
    return Figure(
        "coverage",
        f"Coverage of the intervals of {what}",
        f"Share of samples whose {level:g}% interval holds the true value; lines: 95% Monte Carlo bands of this share. "
        f"The dashed line is what a correct interval has ({MORRIS}).",
        f"Coverage of {len(labels)} {what} in {len(names)} conditions, from {low:.1f}% to {high:.1f}%.",
        plot,
        min_width=480,
        max_width=900,
    )


def draw_verdicts(result: MonteCarloResult) -> Figure | None:
    """Draw how often each proposition is supported, not supported or contradicted; None if none could be tested."""
    frame = result.verdicts
    frame = frame[frame["not_testable"] < 1]
    if frame.empty:
        return None
    frame = frame.sort_values(
        "proposition", kind="stable", key=lambda ids: ids.map({v: k for k, v in enumerate(ids.unique())})
    )
    labels = [f"{p}, {c}" for p, c in zip(frame["proposition"], frame["condition"], strict=True)]
    plot, _ = _canvas([html.escape(v) for v in labels], 1, "Share of samples (%)")
    for verdict, column in ((SUPPORTED, "supported"), (NOT_SUPPORTED, "not_supported"), (CONTRADICTED, "contradicted")):
        plot.add_bar(
            x=100 * frame[column],
            y=list(range(len(labels))),
            orientation="h",
            name=verdict,
            marker={"color": STYLES[verdict].colour, "line": {"color": "#ffffff", "width": 1}},
            hovertext=[
                f"{html.escape(t)}: {verdict} {v:.1f}%" for t, v in zip(labels, 100 * frame[column], strict=True)
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
        min_width=480,
        max_width=900,
    )


def draw_outcomes(result: MonteCarloResult) -> Figure | None:
    """Draw shares of samples with a proper solution, an improper one, and none; None if all are proper."""
    frame = result.replications
    if (frame["converged"] == 1).all() and (frame["improper"] == 0).all():
        return None
    improper = (frame["converged"] * frame["improper"]).fillna(0.0)
    parts = (
        ("proper solution", frame["converged"] - improper, "#0b5394"),
        ("improper solution", improper, "#b45309"),
        ("no solution", 1 - frame["converged"], MUTED),
    )
    labels = [html.escape(name) for name in frame["condition"]]
    plot, _ = _canvas(labels, 1, "Share of samples (%)")
    for name, values, colour in parts:
        plot.add_bar(
            x=100 * values,
            y=list(range(len(labels))),
            orientation="h",
            name=name,
            marker={"color": colour, "line": {"color": "#ffffff", "width": 1}},
            hovertext=[f"{t}: {name} {v:.1f}%" for t, v in zip(labels, 100 * values, strict=True)],
            hoverinfo="text",
        )
    plot.update_layout(barmode="stack", bargap=0.35)
    plot.update_xaxes(range=[0, 100])
    listed = "; ".join(f"{t} {v:.1f}%" for t, v in zip(labels, 100 * frame["converged"], strict=True))
    return Figure(
        "convergence",
        "Convergence",
        "Improper solutions have a negative variance or a covariance matrix that is not proper (Heywood cases); their "
        "estimates count, verdicts do not rest on them.",
        f"Share of samples with a solution: {listed}.",
        plot,
        min_width=420,
        max_width=900,
    )
