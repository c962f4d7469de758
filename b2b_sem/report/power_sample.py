"""Pages of power by samples: tables, curves with bands, intervals of the rows that are needed."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from b2b_sem.measures.notation import TYPESET, number
from b2b_sem.report.canvas import INK, MUTED, Figure, axis_marks, base_layout, ticks, tint
from b2b_sem.report.power_figure import LINES, MOST, dotted
from b2b_sem.report.power_table import label_of
from b2b_sem.report.table import Column, Table, table
from b2b_sem.results.power_sample import COUNT, EffectSearch, RowSearch, SampledPower, fitted_curve

__all__ = ["Sampled", "sampled_contents", "sampled_figures", "sampled_tables"]

Sampled = SampledPower | RowSearch | EffectSearch
#: Kinds of tests that share a figure, its id and its title.
PARTS = (
    (("path", "parameter", "definition", "restriction"), "power-path", "Paths"),
    (("indirect",), "power-indirect", "Indirect effects (joint significance)"),
    (("difference",), "power-group", "Differences of groups"),
    (("proposition",), "power-proposition", "Propositions"),
    (("together",), "power-together", "Several tests at once"),
)
KEYS = ["kind", "test", "group", "method"]
POINTS = 60
#: Share of all samples of a test from which its curve is not drawn beside others.
TOP = 0.985
_FRAME = {"showline": True, "linecolor": "#d5d9de", "gridcolor": "#e6e6e6", "zeroline": False, "fixedrange": True}
_ROW = 24


def sampled_contents(result: Sampled) -> tuple[str, str, list[str], list[Figure]]:
    """Return title, subtitle, lines of text and figures of a page."""
    named = f"Population {result.population}, model {result.model} · seed {result.seed} · alpha {result.alpha:g}"
    if isinstance(result, EffectSearch):
        title = f"Smallest effect for power {result.power:g} with {result.nobs} respondents"
        return title, f"{named} · {result.replications} samples", [result.summary()], sampled_figures(result)
    if isinstance(result, RowSearch):
        title, many = f"Respondents for power {result.power:g}", f"{result.replications} samples in all"
    else:
        title, many = f"Power with {result.nobs} respondents", f"{result.replications} samples of each size"
    return title, f"{named} · {many}", [*result.notes, _failures(result)], sampled_figures(result)


def _failures(result: Sampled) -> str:
    counted = "count as not found" if result.failures == COUNT else "are left out"
    return f"In curves and numbers of respondents, samples without a usable solution {counted}."


# ---- tables --------------------------------------------------------------------------------------------------------


def sampled_tables(result: Sampled) -> list[Table]:
    """Return the tables of a page."""
    if isinstance(result, EffectSearch):
        return []
    own = result.table
    own["test"] = [label_of(r) for r in own.to_dict("records")]
    columns = [Column("kind", "Kind"), Column("test", "Test", "path")]
    if own["value"].notna().any():
        columns.append(Column("value", "Value", "bounded"))
    level = f"{result.level:.0%} interval"
    if isinstance(result, RowSearch):
        bounds = zip(own["bound"], own["rows"], own["lower"], own["upper"], strict=True)
        cells = [_rows_cell(*v) for v in bounds]
        own["rows"], own["interval"] = [c[0] for c in cells], [c[1] for c in cells]
        columns += [Column("rows", "Respondents", "value"), Column("interval", level, "value")]
        columns += [Column("precise", "As precise as asked", "flag")]
        title = f"Smallest number of respondents for power {result.power:g}"
    else:
        own["interval"] = list(zip(own["lower"], own["upper"], strict=True))
        columns += [Column("power", "Power", "bounded3"), Column("mcse", "± MC error", "bounded3")]
        columns += [Column("interval", level, "interval_bounded3")]
        columns += [Column("power_all", "Of all samples", "bounded3"), Column("failed", "Failed", "count")]
        if own["rows_needed"].notna().any():
            ends = zip(own["rows_needed"], own["rows_lower"], own["rows_upper"], strict=True)
            own["needed"] = [f"{n:.0f} [{a:.0f}, {b:.0f}]" if math.isfinite(n) else "" for n, a, b in ends]
            columns.append(Column("needed", f"Respondents for {result.power:g}", "value"))
        title = f"Power with {result.nobs} respondents"
    notes = ["MC error: Monte Carlo standard error of a share p of R samples, the root of p (1 - p) / R."]
    rows = [[r[c.key] for c in columns] for r in own.to_dict("records")]
    return [table("power", title, columns, rows, notes if isinstance(result, SampledPower) else [])]


def _rows_cell(bound: str, rows: float, low: float, high: float) -> tuple[str, str]:
    if not math.isfinite(rows):
        return "", ""
    return (f"{bound} {rows:.0f}", "") if bound else (f"{rows:.0f}", f"[{low:.0f}, {high:.0f}]")


# ---- figures -------------------------------------------------------------------------------------------------------


def sampled_figures(result: Sampled) -> list[Figure]:
    """Return the figures that the samples allow."""
    if isinstance(result, EffectSearch):
        return [_effect_figure(result)]
    shares = result.shares
    made: list[Figure] = []
    if isinstance(result, RowSearch):
        made += _needed_figure(result)
    if shares["nobs"].nunique() < 2:
        return [*made, *_points_figure(result, shares)]
    if len(shares.drop_duplicates(KEYS)) <= MOST:
        return [*made, _curve_figure(result, shares, "power-curve", "Power over respondents")]
    for kinds, name, title in PARTS:
        own = shares[shares["kind"].isin(kinds)]
        if len(own):
            made.append(_curve_figure(result, own, name, title))
    return made


def _needed(result: SampledPower | RowSearch) -> dict[tuple[Any, ...], tuple[float, float, float]]:
    frame = result.table
    names = ("rows", "lower", "upper") if isinstance(result, RowSearch) else ("rows_needed", "rows_lower", "rows_upper")
    rows = frame.to_dict("records")
    return {tuple(r[k] for k in KEYS): (r[names[0]], r[names[1]], r[names[2]]) for r in rows}


def _curve_figure(result: SampledPower | RowSearch, shares: pd.DataFrame, name: str, title: str) -> Figure:
    """Draw power over respondents: a probit curve with its band, and the shares it goes through."""
    needed = _needed(result)
    keys = list(dict.fromkeys(zip(*(shares[k] for k in KEYS), strict=True)))
    # the tests that need most are those a plan depends on; a curve along the top says nothing
    mean = {k: _mean(shares, k) for k in keys}
    rising = [k for k in keys if mean[k] < TOP] or keys
    hard = sorted(rising, key=lambda k: (-needed[k][0] if math.isfinite(needed[k][0]) else 0.0, mean[k]))
    shown = [k for k in keys if k in hard[:MOST]]
    finite = [needed[k][0] for k in shown if math.isfinite(needed[k][0])]
    drawn = shares["nobs"]
    right = float(drawn.max()) if isinstance(result, SampledPower) else 2.0 * max(finite, default=float(drawn.max()))
    left = float(drawn.min())
    plot, said = go.Figure(), []
    for k, key in enumerate(shown):
        own = shares[np.logical_and.reduce([shares[c] == v for c, v in zip(KEYS, key, strict=True)])]
        label = label_of(dict(zip(KEYS, key, strict=True))).replace("->", "→")
        rows, low, high = needed[key]
        said.append(f"{label}: {rows:.0f} respondents ({low:.0f} to {high:.0f})" if rows > 0 else label)
        grid = np.linspace(left, min(right, float(drawn.max())), POINTS)
        curve = fitted_curve(own, result.failures)
        points = own[own["nobs"] <= right]
        suffix = "_all" if result.failures == COUNT else ""
        _trace(plot, k, label, result.level, grid, None if curve is None else (curve, np.sqrt(grid)), points, suffix)
    caption = (
        f"Shares of samples that reject, with {result.level:.0%} intervals, and the probit curve through them with its "
        f"band; dotted: power {number(result.power, 2, bounded=True, glyphs=TYPESET)}"
    )
    caption += f" and {result.nobs} respondents." if isinstance(result, SampledPower) else "."
    if len(keys) > len(shown):
        caption += f" {len(keys) - len(shown)} tests that need fewer respondents are not drawn."
    marks = [dotted(x0=0, x1=1, xref="paper", y0=result.power, y1=result.power)]
    if isinstance(result, SampledPower):
        marks.append(dotted(x0=result.nobs, x1=result.nobs, y0=0, y1=1, yref="paper"))
    _style(plot, "Respondents", [0.0, right * 1.02], marks, len(shown))
    return Figure(name, title, caption, "; ".join(said), plot, min_width=340, max_width=900)


def _mean(shares: pd.DataFrame, key: tuple[Any, ...]) -> float:
    own = shares[np.logical_and.reduce([shares[c] == v for c, v in zip(KEYS, key, strict=True)])]
    return float(own["rejected"].sum() / max(own["drawn"].sum(), 1))


def _trace(
    plot: go.Figure,
    place: int,
    label: str,
    level: float,
    grid: np.ndarray[Any, Any],
    curve: Any,
    points: pd.DataFrame,
    suffix: str,
    axis: str = "nobs",
) -> None:
    """Add one test: band, curve, points with intervals."""
    colour, dash = LINES[place % len(LINES)]
    name = html.escape(label)
    if curve is not None:
        made, at = curve
        low, high = made.band(at, level)
        plot.add_scatter(
            x=[*grid, *grid[::-1]],
            y=[*high, *low[::-1]],
            mode="lines",
            line={"width": 0},
            fill="toself",
            fillcolor=tint(colour, 0.14),
            hoverinfo="skip",
            showlegend=False,
            legendgroup=name,
        )
        plot.add_scatter(
            x=list(grid),
            y=list(made.power(at)),
            mode="lines",
            line={"color": colour, "width": 2.4, "dash": dash},
            name=name,
            legendgroup=name,
            hovertemplate=f"{name}<br>%{{x:.3~f}}: power %{{y:.2f}}<extra></extra>",
        )
    share, low, high = (points[f"{c}{suffix}"] for c in ("power", "lower", "upper"))
    plot.add_scatter(
        x=list(points[axis]),
        y=list(share),
        mode="markers",
        marker={"color": colour, "size": 6},
        error_y={
            "type": "data",
            "array": list(high - share),
            "arrayminus": list(share - low),
            "thickness": 1.1,
            "width": 0,
            "color": colour,
        },
        name=name,
        legendgroup=name,
        showlegend=curve is None,
        hovertext=[
            f"{name}<br>{x:g}: {r} of {d} samples, {100 * s:.1f}%"
            for x, r, d, s in zip(points[axis], points["rejected"], points["drawn"], share, strict=True)
        ],
        hoverinfo="text",
    )


def _style(plot: go.Figure, title: str, span: Sequence[float], marks: Iterable[dict[str, Any]], tests: int) -> None:
    base = base_layout(height=400 + 14 * max(0, tests - 3))
    base["margin"] = {**base["margin"], "t": 40 + 22 * math.ceil(tests / 2), "l": 56}
    plot.update_layout(
        **base,
        xaxis={**_FRAME, "title": {"text": title}, "range": list(span), **axis_marks(span[0], span[1])},
        yaxis={
            **_FRAME,
            "title": {"text": "Power"},
            "range": [0, 1.02],
            **ticks([0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        },
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0, "itemclick": False},
        showlegend=True,
        shapes=list(marks),
    )


def _forest(labels: list[str], values: pd.DataFrame, title: str, marks: Sequence[dict[str, Any]]) -> go.Figure:
    """Draw a point with its interval for each label; `values` has at, lower, upper and text."""
    base = base_layout(height=90 + _ROW * len(labels))
    base["margin"] = {**base["margin"], "t": 16}
    plot = go.Figure()
    plot.add_scatter(
        x=list(values["at"]),
        y=list(range(len(labels))),
        mode="markers",
        marker={"color": LINES[0][0], "size": 8},
        error_x={
            "type": "data",
            "array": list(values["upper"] - values["at"]),
            "arrayminus": list(values["at"] - values["lower"]),
            "thickness": 1.6,
            "width": 0,
            "color": LINES[0][0],
        },
        hovertext=[f"{html.escape(t)}: {v}" for t, v in zip(labels, values["text"], strict=True)],
        hoverinfo="text",
    )
    plot.update_layout(
        **base,
        showlegend=False,
        shapes=list(marks),
        yaxis={
            "tickmode": "array",
            "tickvals": list(range(len(labels))),
            "ticktext": [html.escape(t) for t in labels],
            "range": [len(labels) - 0.4, -0.6],
            "automargin": True,
            "fixedrange": True,
            "tickfont": {"color": INK},
            "gridcolor": "#eeeeee",
            "zeroline": False,
        },
        xaxis={**_FRAME, "title": {"text": title}},
    )
    return plot


def _needed_figure(result: RowSearch) -> list[Figure]:
    """Draw the rows that each test needs, with their intervals."""
    own = result.table
    own = own[(own["rows"] > 0) & (own["bound"] != "more than")]
    if own.empty:
        return []
    labels = [label_of(r).replace("->", "→") for r in own.to_dict("records")]
    texts = [
        f"{b} {n:.0f}".strip() if b else f"{n:.0f} [{low:.0f}, {high:.0f}]"
        for b, n, low, high in zip(own["bound"], own["rows"], own["lower"], own["upper"], strict=True)
    ]
    values = pd.DataFrame({"at": own["rows"], "lower": own["lower"], "upper": own["upper"], "text": texts})
    plot = _forest(labels, values, "Respondents", [])
    plot.update_xaxes(rangemode="tozero")
    caption = f"Smallest number of respondents for power {result.power:g}, with {result.level:.0%} intervals."
    said = "; ".join(f"{t}: {v}" for t, v in zip(labels, texts, strict=True))
    return [Figure("power-rows", "Respondents needed", caption, said, plot, min_width=340, max_width=900)]


def _points_figure(result: SampledPower | RowSearch, shares: pd.DataFrame) -> list[Figure]:
    """Draw the power of each test at one number of rows, with its interval."""
    ending = "_all" if result.failures == COUNT else ""
    own = shares[shares["drawn"] > 0]
    labels = [label_of(r).replace("->", "→") for r in own.to_dict("records")]
    names = {"at": f"power{ending}", "lower": f"lower{ending}", "upper": f"upper{ending}"}
    values = pd.DataFrame({k: own[v] for k, v in names.items()})
    values["text"] = [
        f"{a:.3f} [{low:.3f}, {high:.3f}]"
        for a, low, high in zip(values["at"], values["lower"], values["upper"], strict=True)
    ]
    marks = [dotted(x0=result.power, x1=result.power, y0=0, y1=1, yref="paper")]
    plot = _forest(labels, values, "Power", marks)
    plot.update_xaxes(range=[0, 1.02], **ticks([0.0, 0.2, 0.4, 0.6, 0.8, 1.0]))
    caption = (
        f"Share of samples that reject, with {result.level:.0%} intervals; dotted: power "
        f"{number(result.power, 2, bounded=True, glyphs=TYPESET)}."
    )
    said = "; ".join(f"{t}: {v}" for t, v in zip(labels, values["text"], strict=True))
    return [Figure("power-tests", "Power of each test", caption, said, plot, min_width=340, max_width=900)]


def _effect_figure(result: EffectSearch) -> Figure:
    """Draw power over the values of an effect."""
    shares = result.shares
    curve = fitted_curve(shares, result.failures, "effect", result.null)
    low, high = float(shares["effect"].min()), float(shares["effect"].max())
    grid = np.linspace(low, high, POINTS)
    plot = go.Figure()
    suffix = "_all" if result.failures == COUNT else ""
    made = None if curve is None else (curve, np.abs(grid - result.null))
    _trace(plot, 0, result.test, result.level, grid, made, shares, suffix, axis="effect")
    marks = [dotted(x0=0, x1=1, xref="paper", y0=result.power, y1=result.power)]
    if math.isfinite(result.detectable):
        marks.append(dotted(x0=result.detectable, x1=result.detectable, y0=0, y1=1, yref="paper"))
    pad = 0.05 * (high - low) or 0.01
    _style(plot, f"Value of {result.effect}", [low - pad, high + pad], marks, 1)
    plot.update_layout(legend={"font": {"color": MUTED}})
    caption = (
        f"Shares of samples of {result.nobs} respondents that reject, with {result.level:.0%} intervals, and the "
        "probit curve through them with its band; dotted: the asked power and the smallest value that has it."
    )
    return Figure(
        "power-effect", "Power over the effect", caption, result.summary(), plot, min_width=340, max_width=900
    )
