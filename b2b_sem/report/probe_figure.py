"""Figures of a product: simple slopes, where the slope differs from zero (floodlight), and the response surface."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import plotly.graph_objects as go

from b2b_sem.measures.notation import TYPESET, interval, number, p_phrase
from b2b_sem.report.canvas import INK, MUTED, Figure, axis_marks, base_layout, wrap_label
from b2b_sem.results.probe import JohnsonNeyman, SimpleSlopes, Surface

__all__ = ["draw_floodlight", "draw_slopes", "draw_surface", "probe_figures"]

#: Lines differ in colour and dash, so that grey prints stay readable; the bands have the colour of the line.
_LINES = (
    ("#b45309", "7px,5px", "rgba(180,83,9,.13)"),
    ("#3c4043", "solid", "rgba(60,64,67,.12)"),
    ("#0b5394", "12px,4px,3px,4px", "rgba(11,83,148,.13)"),
    ("#7e3794", "3px,3px", "rgba(126,55,148,.13)"),
    ("#0f766e", "16px,5px", "rgba(15,118,110,.13)"),
)
_SURE, _UNSURE = "#0b5394", "#6e6e6e"
_BAND = "rgba(11,83,148,.14)"
_TINT = "#eef4fa"
_FRAME = {"showline": True, "linecolor": "#d5d9de", "gridcolor": "#e6e6e6", "zeroline": False, "fixedrange": True}


def probe_figures(
    results: Sequence[SimpleSlopes | JohnsonNeyman], names: Mapping[str, str] | None = None
) -> list[Figure]:
    """Return the figures of slopes and regions that their numbers allow.

    Parameters
    ----------
    results : sequence of SimpleSlopes or JohnsonNeyman
    names : mapping of str to str, optional
        Longer names of variables.
    """
    out: list[Figure | None] = []
    for result in results:
        if isinstance(result, JohnsonNeyman):
            out.append(draw_floodlight(result, names))
        else:
            out += [draw_slopes(result, names), draw_surface(result, names)]
    return [f for f in out if f is not None]


def draw_slopes(result: SimpleSlopes, names: Mapping[str, str] | None = None) -> Figure | None:
    """Draw the expected outcome over the focal variable at each value of the moderator; None without numbers."""
    s, table = result.surface, result.table
    if not (np.isfinite(table["est"]).all() and _drawable(s)):
        return None
    lines = result.lines()
    plot = go.Figure()
    texts = []
    if s.moderator == s.focal:
        x = np.linspace(*s.x.window(), 81)
        y, _ = s.predict(x, 0.0)
        plot.add_trace(
            go.Scatter(x=x, y=y, mode="lines", line={"color": MUTED, "width": 1.5}, name="curve", hoverinfo="skip")
        )
    places = _spaced([float(own["est"].iloc[-1]) for _, own in lines.groupby("at", sort=False)], lines["est"])
    for k, (row, (_, own)) in enumerate(zip(table.to_dict("records"), lines.groupby("at", sort=False), strict=True)):
        colour, dash, band = _LINES[k % len(_LINES)]
        label = f"{s.moderator} at {row['at']}"
        if np.isfinite(own["se"]).all():
            plot.add_trace(
                go.Scatter(
                    x=[*own["x"], *own["x"][::-1]],
                    y=[*own["ci_upper"], *own["ci_lower"][::-1]],
                    fill="toself",
                    fillcolor=band,
                    line={"width": 0},
                    hoverinfo="skip",
                    showlegend=False,
                    mode="lines",
                )
            )
        limits = interval(row["ci_lower"], row["ci_upper"], 3, glyphs=TYPESET)
        p = p_phrase(row["pvalue"], glyphs=TYPESET)
        said = f"{label}: slope {number(row['est'], 3, glyphs=TYPESET)} {limits}, {p}"
        plot.add_trace(
            go.Scatter(
                x=list(own["x"]),
                y=list(own["est"]),
                mode="lines",
                line={"color": colour, "width": 2.6, "dash": dash},
                name=html.escape(label),
                hovertemplate=f"{html.escape(said)}<extra></extra>",
            )
        )
        texts.append(
            _text(
                float(own["x"].iloc[-1]),
                places[k],
                f"b = {number(row['est'], 2, glyphs=TYPESET)}",
                color=colour,
                xanchor="left",
                xshift=6,
            )
        )
    low, high = s.x.window()
    base = base_layout(height=400)
    base["margin"] = {**base["margin"], "r": 84, "t": 40}
    plot.update_layout(
        **base,
        annotations=texts,
        xaxis=_axis(_unit(s.focal, s.x.latent, names), low, high),
        yaxis=_axis(_unit(s.outcome, s.y.latent, names), *_room(lines, s)),
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0, "itemclick": False},
        showlegend=True,
    )
    found = "; ".join(
        f"at {r['at']} {number(r['est'])} {interval(r['ci_lower'], r['ci_upper'])}" for r in table.to_dict("records")
    )
    held = f" Held: {', '.join(f'{k} = {number(v)}' for k, v in s.held.items())}." if s.held else ""
    what = "tangents of the curve" if s.moderator == s.focal else f"expected {s.outcome}"
    caption = (
        f"Lines: {what} at values of {s.moderator}; bands: {result.level:.0%} confidence intervals; b: slopes.{held}"
    )
    if s.y.latent:
        caption += f" The zero of {s.outcome} is set by the model, so the bands say nothing about its level."
    return Figure(
        _identity("slopes", s),
        f"Effect of {_named(s.focal, names)} on {_named(s.outcome, names)} at values of {_named(s.moderator, names)}",
        caption,
        f"Lines of {s.outcome} over {s.focal}. Slopes {found}.",
        plot,
        min_width=420,
        max_width=820,
    )


def draw_floodlight(result: JohnsonNeyman, names: Mapping[str, str] | None = None) -> Figure | None:
    """Draw the slope over the moderator with both bands, and where it differs from zero; None without numbers."""
    s = result.surface
    band = result.band()
    if not (np.isfinite(band["pointwise_lower"]).all() and _drawable(s)):
        return None
    x = list(band["value"])
    low, high = x[0], x[-1]
    plot = go.Figure()
    plot.add_trace(
        go.Scatter(
            x=[*x, *x[::-1]],
            y=[*band["pointwise_upper"], *band["pointwise_lower"][::-1]],
            fill="toself",
            fillcolor=_BAND,
            line={"width": 0},
            mode="lines",
            hoverinfo="skip",
            name=f"{1 - result.alpha:.0%} pointwise",
        )
    )
    for k, end in enumerate(("lower", "upper")):
        plot.add_trace(
            go.Scatter(
                x=x,
                y=list(band[f"simultaneous_{end}"]),
                mode="lines",
                line={"color": MUTED, "width": 1.3, "dash": "4px,3px"},
                hoverinfo="skip",
                name=f"{1 - result.alpha:.0%} simultaneous",
                showlegend=k == 0,
            )
        )
    # the whole line, and over it in another style where the slope differs from zero
    parts = [("not different from 0", _UNSURE, "2px,3px", 2.0, [True] * len(x))]
    parts.append(("differs from 0", _SURE, "solid", 3.0, list(band["significant"])))
    for label, colour, dash, width, kept in parts:
        plot.add_trace(
            go.Scatter(
                x=x,
                y=[v if keep else None for v, keep in zip(band["est"], kept, strict=True)],
                mode="lines",
                line={"color": colour, "width": width, "dash": dash},
                name=label,
                hovertemplate=f"{html.escape(s.moderator)} %{{x:.3f}}: slope %{{y:.3f}}<extra></extra>",
            )
        )
    shapes: list[dict[str, Any]] = []
    texts = []
    for first, last in result.intervals:
        if first < high and last > low:
            ends = {"x0": max(first, low), "x1": min(last, high)}
            shapes.append(
                {"type": "rect", "yref": "paper", "y0": 0, "y1": 1, **ends, "fillcolor": _TINT}
                | {"line": {"width": 0}, "layer": "below"}
            )
    for value in result.bounds:
        if low < value < high:
            line = {"color": INK, "width": 1.3, "dash": "5px,4px"}
            shapes.append({"type": "line", "yref": "paper", "x0": value, "x1": value, "y0": 0, "y1": 1, "line": line})
            texts.append(_text(value, 1.0, number(value, 2, glyphs=TYPESET), yref="paper", yanchor="bottom"))
    for steps in (-2, -1, 0, 1, 2):
        value = s.m.mean + steps * s.m.sd
        if low <= value <= high:
            word = "mean" if steps == 0 else f"{steps:+d} SD".replace("-", "−")
            texts.append(_text(value, 0.0, word, color=MUTED, yref="paper", yanchor="bottom", size=11))
    edges = band[["simultaneous_lower", "simultaneous_upper"]].to_numpy()
    bottom, top = min(0.0, float(edges.min())), max(0.0, float(edges.max()))
    pad = 0.08 * (top - bottom) or 1.0
    base = base_layout(height=400)
    base["margin"] = {**base["margin"], "t": 62}
    plot.update_layout(
        **base,
        shapes=shapes,
        annotations=texts,
        xaxis=_axis(_unit(s.moderator, s.m.latent, names), low, high),
        yaxis={
            **_axis(f"Slope of {s.focal} on {s.outcome}", bottom - 1.6 * pad, top + pad),
            "zeroline": True,
            "zerolinecolor": INK,
            "zerolinewidth": 1.2,
        },
        legend={"orientation": "h", "yanchor": "top", "y": 1.0, "yref": "container", "x": 0, "itemclick": False},
        showlegend=True,
    )
    said = _where(result)
    return Figure(
        _identity("floodlight", s),
        f"Where {_named(s.focal, names)} has an effect on {_named(s.outcome, names)}, by {_named(s.moderator, names)}",
        f"Line: slope of {s.focal}; band: {1 - result.alpha:.0%} pointwise, dashed: for all values at once (Bauer & "
        f"Curran 2005, doi:10.1207/s15327906mbr4003_5). Shaded: where the slope differs from zero by the {result.kind} "
        f"band. {said}",
        f"Slope of {s.focal} on {s.outcome} over {s.moderator} with confidence bands. {said}",
        plot,
        min_width=420,
        max_width=820,
    )


def draw_surface(result: SimpleSlopes, names: Mapping[str, str] | None = None) -> Figure | None:
    """Draw the expected outcome over the focal variable and the moderator as contours; None for a square."""
    s = result.surface
    if s.moderator == s.focal or not _drawable(s):
        return None
    x, m = np.linspace(*s.x.window(), 61), np.linspace(*s.m.window(), 61)
    y, _ = s.predict(x[None, :], m[:, None])
    if not np.isfinite(y).all():
        return None
    plot = go.Figure(
        go.Contour(
            x=x,
            y=m,
            z=y,
            colorscale=[[0.0, "#f7f3ea"], [0.5, "#bcd4e8"], [1.0, "#4f8ac0"]],
            contours={"showlabels": True, "labelfont": {"size": 12, "color": INK}},
            line={"color": "#ffffff", "width": 1},
            colorbar={
                "title": {"text": wrap_label(s.outcome, 12), "font": {"size": 12}},
                "thickness": 12,
                "outlinewidth": 0,
            },
            hovertemplate=f"{html.escape(s.focal)} %{{x:.2f}}, {html.escape(s.moderator)} %{{y:.2f}}: "
            "%{z:.2f}<extra></extra>",
        )
    )
    plot.update_layout(
        **base_layout(height=430),
        xaxis=_axis(_unit(s.focal, s.x.latent, names), float(x[0]), float(x[-1])),
        yaxis=_axis(_unit(s.moderator, s.m.latent, names), float(m[0]), float(m[-1])),
    )
    corners = "; ".join(
        f"{a} {s.focal} and {b} {s.moderator} {number(float(y[i, j]))}"
        for b, i in (("low", 0), ("high", -1))
        for a, j in (("low", 0), ("high", -1))
    )
    held = f" Held: {', '.join(f'{k} = {number(v)}' for k, v in s.held.items())}." if s.held else ""
    return Figure(
        _identity("surface", s),
        f"{_named(s.outcome, names)} over {_named(s.focal, names)} and {_named(s.moderator, names)}",
        f"Contours: expected {s.outcome}, up to two standard deviations from the means. Without the product they would "
        f"be parallel lines.{held}",
        f"Contour plot of the expected {s.outcome}: {corners}.",
        plot,
        min_width=420,
        max_width=720,
    )


def _drawable(s: Surface) -> bool:
    """Whether both axes have an extent."""
    return all(math.isfinite(v.sd) and v.window()[1] > v.window()[0] for v in (s.x, s.m))


def _where(result: JohnsonNeyman) -> str:
    """Say where the slope differs from zero, and for how many."""
    m = result.surface.moderator
    if not result.intervals:
        return "The slope differs from zero nowhere."
    parts = []
    for low, high in result.intervals:
        if math.isinf(low) and math.isinf(high):
            parts.append(f"at all values of {m}")
        elif math.isinf(low):
            parts.append(f"below {number(high, glyphs=TYPESET)}")
        elif math.isinf(high):
            parts.append(f"above {number(low, glyphs=TYPESET)}")
        else:
            parts.append(f"between {number(low, glyphs=TYPESET)} and {number(high, glyphs=TYPESET)}")
    share = f"{result.share:.0%} of the distribution that the model implies"
    if math.isfinite(result.share_sample):
        share += f", {result.share_sample:.0%} of the sample"
    return f"The slope differs from zero {' and '.join(parts)} ({share})."


def _identity(kind: str, s: Surface) -> str:
    return "-".join([kind, *(v for v in (s.outcome, s.focal, s.moderator))])


def _named(code: str, names: Mapping[str, str] | None) -> str:
    name = (names or {}).get(code, code)
    return code if name == code else f"{name} ({code})"


def _unit(code: str, latent: bool, names: Mapping[str, str] | None) -> str:
    return wrap_label(_named(code, names), 60) + (" (latent)" if latent else "")


def _axis(title: str, low: float, high: float) -> dict[str, Any]:
    return {
        **_FRAME,
        **axis_marks(low, high),
        "range": [low, high],
        "title": {"text": title, "font": {"size": 13}, "standoff": 10},
        "automargin": True,
    }


def _text(x: float, y: float, text: str, *, color: str = INK, size: int = 12, **more: Any) -> dict[str, Any]:
    return {"x": x, "y": y, "text": text, "showarrow": False, "font": {"size": size, "color": color}, **more}


def _room(lines: Any, s: Surface) -> tuple[float, float]:
    """Return the ends of the axis of the outcome: all lines, and their bands as far as they are of that size."""
    low, high = float(lines["est"].min()), float(lines["est"].max())
    span = high - low or s.y.sd or 1.0
    if np.isfinite(lines["se"]).all():
        low = max(low - span, min(low, float(lines["ci_lower"].min())))
        high = min(high + span, max(high, float(lines["ci_upper"].max())))
    return low - 0.06 * span, high + 0.06 * span


def _spaced(values: Sequence[float], shown: Any) -> list[float]:
    """Move labels apart that would cover each other."""
    gap = 0.06 * (float(shown.max()) - float(shown.min()) or 1.0)
    out = list(values)
    order = sorted(range(len(out)), key=lambda k: out[k])
    for a, b in pairwise(order):
        out[b] = max(out[b], out[a] + gap)
    return out
