"""Figures of the samples of a Monte Carlo study: how many were solved, and how well the model fitted them."""

from __future__ import annotations

import html
import math

import plotly.graph_objects as go

from b2b_sem.measures.notation import number
from b2b_sem.report.canvas import MUTED, Figure, axis_id, axis_marks, base_layout, grid
from b2b_sem.report.montecarlo_figure import ROW, Part, canvas, marker, spread, style
from b2b_sem.results.montecarlo import MonteCarloResult

__all__ = ["draw_fit", "draw_outcomes"]

#: Fit measures that are drawn, where a fit has them.
_FIT = {
    "cfi": "CFI",
    "tli": "TLI",
    "rmsea": "RMSEA",
    "srmr": "SRMR",
    "cfi_robust": "CFI, robust",
    "rmsea_robust": "RMSEA, robust",
}


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
    plot = canvas(labels, 1, "Share of samples (%)")
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
        min_width=330,
        max_width=900,
    )


def draw_fit(result: MonteCarloResult, part: Part | None = None) -> Figure | None:
    """Draw the distributions of fit measures; None if no sample has one."""
    frame = result.measures
    frame = frame[frame["measure"].isin(list(_FIT))]
    if part is not None:
        frame = frame[frame["condition"].isin(part.names)]
    frame = frame[frame["q50"].map(math.isfinite)]
    if frame.empty:
        return None
    measures = [name for name in _FIT if (frame["measure"] == name).any()]
    names = list(dict.fromkeys(frame["condition"]))
    rows = -(-len(measures) // 2)
    panel = 36 + ROW * len(names)
    height = 60 + rows * panel + 46 * (rows - 1)
    plot = go.Figure()
    layout = base_layout(height)
    layout["margin"] = {"l": 10, "r": 16, "t": 30, "b": 30}
    plot.update_layout(**layout, showlegend=False)
    said = []
    for k, (measure, place) in enumerate(zip(measures, grid(len(measures), 2, 0.06, 46 / (height - 60)), strict=True)):
        own = frame[frame["measure"] == measure]
        axes = {"xaxis": axis_id("x", k), "yaxis": axis_id("y", k)}
        y = [float(names.index(name)) for name in own["condition"]]
        for position in range(len(own)):
            colour, symbol = style(int(y[position]))
            one = own.iloc[position : position + 1]
            spread(plot, one, [y[position]], colour, **axes)
            middle = float(one["q50"].iloc[0])
            plot.add_scatter(
                x=[middle],
                y=[y[position]],
                mode="markers",
                marker=marker(colour, symbol),
                hovertext=f"{html.escape(str(one['condition'].iloc[0]))}: {_FIT[measure]} {number(middle, 3)}",
                hoverinfo="text",
                **axes,
            )
        low, high = float(own["q05"].min()), float(own["q95"].max())
        room = max(high - low, 0.01) * 0.08
        plot.update_layout(
            {
                f"xaxis{k + 1}": {
                    "domain": place[0],
                    "anchor": axis_id("y", k),
                    "range": [low - room, high + room],
                    "gridcolor": "#ececec",
                    "zeroline": False,
                    "fixedrange": True,
                    **axis_marks(low - room, high + room, 6),
                },
                f"yaxis{k + 1}": {
                    "domain": place[1],
                    "anchor": axis_id("x", k),
                    "range": [len(names) - 0.4, -0.6],
                    "tickmode": "array",
                    "tickvals": list(range(len(names))),
                    "ticktext": [html.escape(name) for name in names],
                    "showticklabels": k % 2 == 0,
                    "automargin": True,
                    "showgrid": False,
                    "zeroline": False,
                    "fixedrange": True,
                },
            }
        )
        plot.add_annotation(
            text=f"<b>{_FIT[measure]}</b>", x=place[0][0], y=place[1][1], xref="paper", yref="paper",
            xanchor="left", yanchor="bottom", showarrow=False,
        )  # fmt: skip
        middles = ", ".join(number(v, 3) for v in own["q50"])
        said.append(f"{_FIT[measure]}: medians {middles}")
    whole = part if part is not None else Part(1, 1, ())
    return Figure(
        "fit-measures" + whole.id,
        "Fit measures" + whole.title,
        "Points: medians; thick lines: the middle half of the samples, thin lines: 90%.",
        f"Distributions of fit measures in {len(names)} conditions. {'; '.join(said)}.",
        plot,
        min_width=560,
        max_width=900,
    )
