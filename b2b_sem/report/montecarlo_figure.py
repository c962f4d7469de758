"""Figures of the parameters of a Monte Carlo study: estimates against the truth, how good errors and intervals are.

Conditions that share a figure stand beside each other in the row of a parameter; more of them than can be told apart
are spread over several figures.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from b2b_sem.measures.notation import TYPESET, number
from b2b_sem.measures.power import binomial_band
from b2b_sem.report.canvas import INK, MARKS, Figure, base_layout
from b2b_sem.report.montecarlo_finding import HALF, is_raw
from b2b_sem.results.montecarlo import MonteCarloResult

__all__ = [
    "MORRIS",
    "ROW",
    "Part",
    "band",
    "canvas",
    "draw_bias",
    "draw_coverage",
    "draw_estimates",
    "draw_rejections",
    "draw_se_bias",
    "marker",
    "parts_of",
    "spread",
    "style",
]

MORRIS = "Morris, White & Crowther 2019, doi:10.1002/sim.8086"
#: Parameters, and conditions, of one figure; more would not be read.
_ROWS, _SERIES = 30, 6
#: Height of a row in pixels.
ROW = 24


@dataclass(frozen=True)
class Part:
    """Conditions that share a figure.

    Attributes
    ----------
    number : int
        From 1.
    of : int
        Number of parts.
    names : tuple of str
    """

    number: int
    of: int
    names: tuple[str, ...]

    @property
    def id(self) -> str:
        """What is added to the id of a figure."""
        return f"-{self.number}" if self.of > 1 else ""

    @property
    def title(self) -> str:
        """What is added to its title."""
        return f", part {self.number} of {self.of}" if self.of > 1 else ""


def parts_of(result: MonteCarloResult) -> list[Part]:
    """Return the conditions as they share figures; the sizes of a change with its options stay together if they can."""
    packs: list[list[str]] = []
    for _, rows in groupby(result.conditions.to_dict("records"), key=lambda r: (r["change"], r["options"])):
        names = [str(row["condition"]) for row in rows]
        for run in (names[k : k + _SERIES] for k in range(0, len(names), _SERIES)):
            if packs and len(packs[-1]) + len(run) <= _SERIES:
                packs[-1] += run
            else:
                packs.append(run)
    return [Part(k + 1, len(packs), tuple(names)) for k, names in enumerate(packs)]


def band(share: Any, trials: Any) -> tuple[Any, Any]:
    """Return 95% Monte Carlo limits of shares, in percent; they have a width at 0 and 100%, too."""
    share, trials = np.asarray(share, dtype=float), np.asarray(trials, dtype=float)
    low, high = binomial_band(share * trials, trials)
    return 100 * low, 100 * high


def style(position: int) -> tuple[str, str]:
    """Return colour and symbol of a series."""
    return MARKS[position % len(MARKS)]


@dataclass(frozen=True)
class _Rows:
    """The rows of a table that a figure shows."""

    frame: pd.DataFrame
    labels: list[str]
    names: list[str]
    what: str
    left_out: str

    def of(self, name: str) -> pd.DataFrame:
        return self.frame[self.frame["condition"] == name]

    def places(self, own: pd.DataFrame, position: int) -> list[float]:
        """Return the heights of the rows of one condition, which do not lie on those of others."""
        shift = (position - (len(self.names) - 1) / 2) * 0.7 / max(len(self.names), 1)
        return [self.labels.index(_label(row)) + shift for row in own.to_dict("records")]


def _rows(frame: pd.DataFrame, part: Part | None, far: Callable[[pd.DataFrame], Any], needed: str) -> _Rows | None:
    """Return the paths with known values, or else the loadings; of many those that are farthest off somewhere."""
    frame = frame[frame["true"].map(math.isfinite) & frame[needed].map(math.isfinite)]
    if part is not None:
        frame = frame[frame["condition"].isin(part.names)]
    what = "paths" if (frame["op"] == "~").any() else "loadings"
    frame = frame[frame["op"] == ("~" if what == "paths" else "=~")]
    if frame.empty:
        return None
    marks = pd.Series([_label(row) for row in frame.to_dict("records")], index=frame.index)
    labels, left_out = list(dict.fromkeys(marks)), ""
    if len(labels) > _ROWS:
        worst = far(frame).abs().groupby(marks).max().nlargest(_ROWS).index
        left_out = f" Of {len(labels)} {what} the {_ROWS} that are farthest off; all are in the tables."
        labels = [label for label in labels if label in set(worst)]
        frame = frame[marks.isin(labels)]
    return _Rows(frame, labels, list(dict.fromkeys(frame["condition"])), what, left_out)


def _label(row: Mapping[Hashable, Any]) -> str:
    arrow = f"{row['rhs']} → {row['lhs']}" if row["op"] == "~" else f"{row['lhs']} → {row['rhs']}"
    return html.escape(arrow + (f" ({row['group']})" if row["group"] else ""))


def canvas(labels: Sequence[str], conditions: int, title: str) -> go.Figure:
    """Return an empty figure with a row for each label."""
    plot = go.Figure()
    legend = 24 * -(-conditions // 3)
    layout = base_layout(76 + legend + max(ROW, 13 * conditions) * len(labels))
    layout["margin"] = {"l": 10, "r": 16, "t": 22 + legend, "b": 52}
    plot.update_layout(
        **layout,
        legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "font": {"size": 12}, "itemclick": False},
        yaxis={
            "tickmode": "array",
            "tickvals": list(range(len(labels))),
            "ticktext": list(labels),
            "range": [len(labels) - 0.45, -0.55],
            "automargin": True,
            "showgrid": False,
            "zeroline": False,
            "fixedrange": True,
        },
        xaxis={"title": {"text": title}, "gridcolor": "#ececec", "zeroline": False, "fixedrange": True},
    )
    return plot


def marker(colour: str, symbol: str, size: int = 8) -> dict[str, Any]:
    """Return the marker of a series."""
    return {"color": colour, "symbol": symbol, "size": size, "line": {"color": colour, "width": 1.5}}


def spread(plot: go.Figure, own: pd.DataFrame, y: Sequence[float], colour: str, **axes: str) -> None:
    """Add lines for the middle half and for 90% of the values."""
    for low, high, width in (("q05", "q95", 1.5), ("q25", "q75", 5)):
        plot.add_scatter(
            x=[end for pair in zip(own[low], own[high], strict=True) for end in (*pair, None)],
            y=[end for place in y for end in (place, place, None)],
            mode="lines",
            line={"color": colour, "width": width},
            showlegend=False,
            hoverinfo="skip",
            **axes,
        )


def draw_estimates(result: MonteCarloResult, part: Part | None = None) -> Figure | None:
    """Draw where the estimates of each path lie, and the true values; None without known values."""
    shown = _rows(result.estimates, part, lambda f: f["q50"] - f["true"], "q50")
    if shown is None:
        return None
    plot = canvas(shown.labels, len(shown.names) + 1, "Estimate" if is_raw(result) else "Standardized estimate")
    ends = shown.frame[["q05", "q95", "true"]]
    room = 0.03 * float(ends.max().max() - ends.min().min())
    plot.update_xaxes(range=[float(ends.min().min()) - room, float(ends.max().max()) + room])
    strokes: list[tuple[float, float]] = []
    for position, name in enumerate(shown.names):
        own = shown.of(name)
        colour, symbol = style(position)
        y = shown.places(own, position)
        spread(plot, own, y, colour)
        plot.add_scatter(
            x=own["q50"],
            y=y,
            mode="markers",
            marker=marker(colour, symbol, 9),
            name=html.escape(name),
            hovertext=[f"{_label(r)}, {html.escape(name)}: median {number(r['q50'])}" for r in own.to_dict("records")],
            hoverinfo="text",
        )
        strokes += zip(own["true"], y, strict=True)
    plot.add_scatter(
        x=[value for value, _ in strokes],
        y=[place for _, place in strokes],
        mode="markers",
        marker={"color": INK, "symbol": "line-ns", "size": 13, "line": {"color": INK, "width": 2}},
        name="true value",
        hoverinfo="skip",
    )
    far = max(abs(r["q50"] - r["true"]) for r in shown.frame.to_dict("records"))
    return _figure(
        "estimates",
        f"Estimates of {shown.what} against the truth",
        "Points: medians of the estimates; thick lines: the middle half of them, thin lines: 90%. Upright strokes: the "
        f"true values. {'Raw' if is_raw(result) else 'Standardized'} solution.",
        f"Distributions of the estimates of {len(shown.labels)} {shown.what} in {len(shown.names)} conditions. The "
        f"median farthest from its true value is {number(far, 3)} away.",
        plot,
        shown,
        part,
    )


def _figure(name: str, title: str, caption: str, alt: str, plot: go.Figure, shown: _Rows, part: Part | None) -> Figure:
    own = part if part is not None else Part(1, 1, ())
    alt = f"{alt} All numbers are in the table of parameters."
    return Figure(name + own.id, title + own.title, caption + shown.left_out, alt, plot, min_width=330, max_width=900)


def _dots(
    shown: _Rows,
    title: str,
    aim: float,
    value: Callable[[pd.DataFrame], Any],
    limits: Callable[[pd.DataFrame], tuple[Any, Any]],
    text: Callable[[float], str],
) -> go.Figure:
    """Return a figure of points with 95% Monte Carlo intervals and a line where they should be."""
    plot = canvas(shown.labels, len(shown.names), title)
    plot.add_vline(x=aim, line={"color": INK, "width": 1, "dash": "4px,4px"})
    for position, name in enumerate(shown.names):
        own = shown.of(name)
        colour, symbol = style(position)
        x = np.asarray(value(own), dtype=float)
        low, high = (np.asarray(end, dtype=float) for end in limits(own))
        error = {"type": "data", "symmetric": False, "array": list(high - x), "arrayminus": list(x - low)}
        plot.add_scatter(
            x=list(x),
            y=shown.places(own, position),
            mode="markers",
            marker=marker(colour, symbol),
            error_x={**error, "thickness": 1.2, "width": 0, "color": colour},
            name=html.escape(name),
            hovertext=[
                f"{_label(r)}, {html.escape(name)}: {text(v)} [{text(a)}, {text(b)}]"
                for r, v, a, b in zip(own.to_dict("records"), x, low, high, strict=True)
            ],
            hoverinfo="text",
        )
    return plot


def draw_bias(result: MonteCarloResult, part: Part | None = None) -> Figure | None:
    """Draw the bias of each path with its Monte Carlo interval; None without known values."""
    shown = _rows(result.parameters, part, lambda f: f["bias"], "bias")
    if shown is None:
        return None
    plot = _dots(
        shown,
        "Mean estimate − true value",
        0.0,
        lambda f: f["bias"],
        lambda f: (f["bias"] - HALF * f["bias_mcse"], f["bias"] + HALF * f["bias_mcse"]),
        lambda v: number(v, 3, glyphs=TYPESET),
    )
    low, high = shown.frame["bias"].min(), shown.frame["bias"].max()
    return _figure(
        "bias",
        f"Bias of {shown.what}",
        f"Lines: 95% Monte Carlo intervals. Intervals that miss the dashed line show bias ({MORRIS}).",
        f"Bias of {len(shown.labels)} {shown.what} in {len(shown.names)} conditions, from {number(low, 3)} to "
        f"{number(high, 3)}.",
        plot,
        shown,
        part,
    )


def draw_se_bias(result: MonteCarloResult, part: Part | None = None) -> Figure | None:
    """Draw how far the average standard error is from the spread of the estimates; None without known values."""
    shown = _rows(result.parameters, part, lambda f: f["se_bias"], "se_bias")
    if shown is None:
        return None
    plot = _dots(
        shown,
        "Error of the standard errors (%)",
        0.0,
        lambda f: 100 * f["se_bias"],
        lambda f: (
            100 * (f["se_bias"] - HALF * f["se_bias_mcse"]),
            100 * (f["se_bias"] + HALF * f["se_bias_mcse"]),
        ),
        lambda v: f"{number(v, 1, glyphs=TYPESET)}%",
    )
    low, high = 100 * shown.frame["se_bias"].min(), 100 * shown.frame["se_bias"].max()
    return _figure(
        "se-bias",
        f"Standard errors of {shown.what}",
        "Average standard error, relative to the standard deviation of the estimates: below 0 they are too small. "
        "Lines: 95% Monte Carlo "
        "intervals.",
        f"Relative error of the standard errors of {len(shown.labels)} {shown.what} in {len(shown.names)} conditions, "
        f"from {low:.1f}% to {high:.1f}%.",
        plot,
        shown,
        part,
    )


def draw_coverage(result: MonteCarloResult, part: Part | None = None) -> Figure | None:
    """Draw how often the intervals hold the true value, with bands of Monte Carlo error; None without known values."""
    level = 100 * result.confidence
    shown = _rows(result.parameters, part, lambda f: f["coverage"] - result.confidence, "coverage")
    if shown is None:
        return None
    plot = _dots(
        shown,
        f"Coverage of {level:g}% intervals (%)",
        level,
        lambda f: 100 * f["coverage"],
        lambda f: band(f["coverage"], f["n_used"]),
        lambda v: f"{v:.1f}%",
    )
    low, high = 100 * shown.frame["coverage"].min(), 100 * shown.frame["coverage"].max()
    return _figure(
        "coverage",
        f"Coverage of the intervals of {shown.what}",
        f"Share of samples whose {level:g}% interval holds the true value; lines: 95% Monte Carlo bands of this share. "
        "The dashed line is what correct intervals have.",
        f"Coverage of {len(shown.labels)} {shown.what} in {len(shown.names)} conditions, from {low:.1f}% to "
        f"{high:.1f}%.",
        plot,
        shown,
        part,
    )


def draw_rejections(result: MonteCarloResult, part: Part | None = None) -> Figure | None:
    """Draw how often the tests of the paths reject zero; None without known values."""
    shown = _rows(result.parameters, part, lambda f: 1 - f["power"], "power")
    if shown is None:
        return None
    plot = _dots(
        shown,
        "Rejected (%)",
        80.0,
        lambda f: 100 * f["power"],
        lambda f: band(f["power"], f["n_used"]),
        lambda v: f"{v:.1f}%",
    )
    plot.update_xaxes(range=[-2, 102])
    low, high = 100 * shown.frame["power"].min(), 100 * shown.frame["power"].max()
    alpha = number(result.alpha, 3, bounded=True, glyphs=TYPESET).rstrip("0")
    return _figure(
        "power",
        f"Power of the tests of {shown.what}",
        f"Share of samples whose test rejects 0 at alpha = {alpha}, one at a time; lines: 95% Monte Carlo bands; "
        "dashed: 80%. Where the true value is 0 this is the error of the first kind.",
        f"Power of the tests of {len(shown.labels)} {shown.what} in {len(shown.names)} conditions, from {low:.1f}% to "
        f"{high:.1f}%.",
        plot,
        shown,
        part,
    )
