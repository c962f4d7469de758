"""Figures of power: curves over numbers of respondents."""

from __future__ import annotations

import html
import math
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from b2b_sem.measures.notation import TYPESET, number
from b2b_sem.report.canvas import MUTED, Figure, base_layout, ticks
from b2b_sem.results.power import PowerResult

__all__ = ["LINES", "MOST", "PARTS", "dotted", "draw_power", "power_figures"]

#: Colour and dash both differ, so that grey prints stay readable.
LINES = (
    ("#0b5394", "solid"),
    ("#b45309", "7px,5px"),
    ("#0f766e", "16px,5px"),
    ("#7e3794", "3px,3px"),
    ("#3c4043", "12px,4px,3px,4px"),
    ("#b3261e", "20px,4px"),
)
#: Curves in one figure; of more, those with the least power are shown.
MOST = 6
POINTS = 25
#: Kinds of tests that share a figure, its id and its title.
PARTS = (
    (("path", "restriction"), "power-path", "Paths"),
    (("indirect",), "power-indirect", "Indirect effects (joint significance)"),
    (("difference", "step"), "power-group", "Differences of groups"),
    (("rmsea",), "power-fit", "Tests of fit"),
)


def power_figures(result: PowerResult) -> list[Figure]:
    """Return the power curves of each kind of test that the result has."""
    table = result.table
    shown = table[(table["method"] != "delta") & table["power"].notna()]
    out = []
    for kinds, name, title in PARTS:
        own = shown[shown["kind"].isin(kinds)]
        if len(own):
            out.append(draw_power(result, own, name, title))
    return out


def draw_power(result: PowerResult, tests: pd.DataFrame, name: str, title: str) -> Figure:
    """Draw the power of some tests over numbers of respondents.

    Parameters
    ----------
    result : PowerResult
    tests : DataFrame
        Rows of its table.
    name, title : str
        Of the figure.
    """
    weakest = tests.sort_values("power", kind="stable").head(MOST).index
    picked = tests[tests.index.isin(weakest)]
    rows = _sizes(result, picked)
    curve = result.only(list(picked.index)).curve(rows)
    plot = go.Figure()
    said = []
    for k, row in enumerate(picked.to_dict("records")):
        colour, dash = LINES[k % len(LINES)]
        label = " ".join(filter(None, (str(row["test"]), str(row["group"]))))
        own = curve.iloc[k * len(rows) : (k + 1) * len(rows)]
        need = f"{row['rows_needed']:.0f}" if math.isfinite(row["rows_needed"]) else "no number of"
        said.append(f"{label}: {number(row['power'], 2)} at {result.nobs}, {need} respondents needed")
        plot.add_trace(
            go.Scatter(
                x=list(own["nobs"]),
                y=list(own["power"]),
                mode="lines",
                line={"color": colour, "width": 2.6, "dash": dash},
                name=html.escape(label),
                hovertemplate=f"{html.escape(label)}<br>%{{x}} respondents: power %{{y:.2f}}<extra></extra>",
            )
        )
    frame: dict[str, Any] = {"showline": True, "linecolor": "#d5d9de", "gridcolor": "#e6e6e6", "zeroline": False}
    base = base_layout(height=380)
    base["margin"] = {**base["margin"], "t": 70, "l": 56}
    plot.update_layout(
        **base,
        xaxis={**frame, "title": {"text": "Respondents"}, "fixedrange": True, "range": [0, rows[-1]]},
        yaxis={
            **frame,
            "title": {"text": "Power"},
            "fixedrange": True,
            "range": [0, 1.02],
            **ticks([0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        },
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0, "itemclick": False},
        showlegend=True,
        shapes=[
            dotted(x0=0, x1=1, xref="paper", y0=result.power, y1=result.power),
            dotted(x0=result.nobs, x1=result.nobs, y0=0, y1=1, yref="paper"),
        ],
    )
    left_out = len(tests) - len(picked)
    more = f" {left_out} tests with more power are not drawn." if left_out else ""
    caption = (
        f"Power over the number of respondents, alpha {number(result.alpha, 2, bounded=True, glyphs=TYPESET)}; dotted: "
        f"the asked power and {result.nobs} respondents.{more}"
    )
    return Figure(name, title, caption, "; ".join(said), plot)


def dotted(**place: Any) -> dict[str, Any]:
    """Return a dotted line that helps to read a figure."""
    return {"type": "line", "line": {"color": MUTED, "width": 1.2, "dash": "2px,3px"}, "layer": "below", **place}


def _sizes(result: PowerResult, tests: pd.DataFrame) -> list[int]:
    """Return numbers of respondents around those that are there and those that are needed."""
    needed = [v for v in tests["rows_needed"] if math.isfinite(v)]
    # one test that needs very many must not flatten the curves of the others
    most = max([1.5 * result.nobs, *(min(1.25 * v, 6.0 * result.nobs) for v in needed)])
    first = max(most / 50.0, 10.0)
    return sorted({round(v) for v in np.linspace(first, max(most, 2 * first), POINTS)} | {result.nobs})
