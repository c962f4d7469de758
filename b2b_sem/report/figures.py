"""The figures of a study: path diagram, forest plot, loadings, correlations, HTMT; all deterministic."""

from __future__ import annotations

import html
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from b2b_sem.measures.notation import TYPESET, interval, number, p_phrase
from b2b_sem.report.answer import draw_answers
from b2b_sem.report.canvas import FONT, INK, MUTED, STYLES, Figure, base_layout, ticks
from b2b_sem.report.comparison import comparison_figures
from b2b_sem.report.cutoff import cutoff_figures
from b2b_sem.report.definition import HENSELER
from b2b_sem.report.diagram import draw_path_diagram
from b2b_sem.report.moderation_claim import moderation_figures
from b2b_sem.report.structure import structural_paths
from b2b_sem.results.measurement import MeasurementResult
from b2b_sem.results.study import StudyResult

__all__ = ["build_figures", "draw_correlations", "draw_forest", "draw_htmt", "draw_loadings", "draw_path_diagram"]

# light enough for dark figures up to .85, dark enough for white ones beyond: the step marks the guide
_STEP = 0.85
_BLUES = [[0.0, "#ffffff"], [_STEP, "#86b6e0"], [_STEP, "#1d5c9c"], [1.0, "#08306b"]]
_DIVERGING = [
    [0.0, "#5a3304"],
    [0.5 - _STEP / 2, "#8a5414"],
    [0.5 - _STEP / 2, "#dfbd82"],
    [0.5, "#ffffff"],
    [0.5 + _STEP / 2, "#86b6e0"],
    [0.5 + _STEP / 2, "#1d5c9c"],
    [1.0, "#08306b"],
]


def build_figures(result: StudyResult) -> dict[str, Figure]:
    """Return the figures this result allows, by name; a failed fit keeps only those that do not rest on it."""
    made: list[Figure | None] = [draw_path_diagram(result)]
    if result.ok:
        made += [draw_forest(result), draw_correlations(result)]
        if result.measurement is not None:
            made.append(draw_loadings(result.measurement))
    if result.measurement is not None:
        made.append(draw_htmt(result.measurement))
    made.append(draw_answers(result))
    further = comparison_figures(result) | moderation_figures(result) | cutoff_figures(result)
    return {f.name: f for f in made if f is not None} | further


def draw_forest(result: StudyResult) -> Figure | None:
    """Draw all standardized structural paths with their intervals, propositions first; None without paths."""
    paths = [p for p in structural_paths(result.fit, result.verdicts) if p.kind == "path"]
    if not paths:
        return None
    order = {v.id: i for i, v in enumerate(result.verdicts)}
    paths.sort(key=lambda p: order[p.proposition.id] if p.proposition else len(order))
    plot = go.Figure()
    labels = [
        (f"<b>{html.escape(p.proposition.id)}</b>  " if p.proposition else "")
        + f"{html.escape(p.source)} → {html.escape(p.target)}"
        for p in paths
    ]
    for key in [k for k in STYLES if any((p.proposition.verdict if p.proposition else "") == k for p in paths)]:
        style = STYLES[key]
        rows = [i for i, p in enumerate(paths) if (p.proposition.verdict if p.proposition else "") == key]
        chosen = [paths[i] for i in rows]
        plot.add_trace(
            go.Scatter(
                x=[p.std for p in chosen],
                y=rows,
                error_x={
                    "type": "data",
                    "symmetric": False,
                    "array": [p.ci_upper - p.std for p in chosen],
                    "arrayminus": [p.std - p.ci_lower for p in chosen],
                    "color": style.colour,
                    "thickness": 1.8,
                    "width": 5,
                },
                mode="markers+text",
                marker={
                    "symbol": style.symbol,
                    "size": 10,
                    "color": style.colour,
                    "line": {"width": 2, "color": style.colour},
                },
                text=[
                    f"{number(p.std, 2, bounded=True, glyphs=TYPESET)} "
                    f"{interval(p.ci_lower, p.ci_upper, bounded=True, glyphs=TYPESET)}"
                    for p in chosen
                ],
                textposition="top center",
                textfont={"size": 12, "color": INK},
                cliponaxis=False,
                hovertext=[p_phrase(p.p, glyphs=TYPESET).replace("<", "&lt;") for p in chosen],
                hoverinfo="x+text",
                hovertemplate="%{x:.3f}, %{hovertext}<extra></extra>",
                name=style.word,
            )
        )
    low = min(0.0, *(p.ci_lower for p in paths))
    high = max(0.0, *(p.ci_upper for p in paths))
    pad = 0.12 * (high - low)
    span = [low - pad, high + pad]
    step = 0.1 if high - low <= 0.9 else 0.2 if high - low <= 1.8 else 0.5
    marks = [round(v, 1) for v in np.arange(np.ceil(span[0] / step), np.floor(span[1] / step) + 1) * step]
    plot.update_layout(
        **base_layout(height=90 + 44 * len(paths)),
        xaxis={"range": span, "gridcolor": "#e6e6e6", "zeroline": True, "zerolinecolor": INK, "zerolinewidth": 1.2}
        | ticks(marks)
        | {"title": {"text": "Standardized coefficient", "font": {"size": 13}, "standoff": 10}, "fixedrange": True},
        yaxis={
            "tickmode": "array",
            "tickvals": list(range(len(paths))),
            "ticktext": labels,
            "range": [len(paths) - 0.4, -0.8],
            "automargin": True,
            "showgrid": False,
            "zeroline": False,
            "fixedrange": True,
        },
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0, "itemclick": False},
        showlegend=True,
    )
    level = result.verdicts[0].level if result.verdicts else 0.95
    text = "; ".join(f"{p.source} to {p.target} {number(p.std, bounded=True)}" for p in paths)
    return Figure(
        "forest",
        "Standardized paths",
        f"Points: standardized coefficients; lines: {level:.0%} confidence intervals (delta method).",
        f"Forest plot of standardized paths: {text}.",
        plot,
        min_width=330,
        max_width=900,
    )


def draw_loadings(measurement: MeasurementResult) -> Figure | None:
    """Draw standardized loadings with intervals, items grouped by scale; None without loadings."""
    frame = measurement.loadings
    if not len(frame):
        return None
    plot = go.Figure()
    y, position, labels = 0.0, [], []
    shapes: list[dict[str, Any]] = []
    texts: list[dict[str, Any]] = []
    for k, (scale, rows) in enumerate(frame.groupby("scale", sort=False)):
        start = y
        places = [y + 0.9 + i for i in range(len(rows))]
        y = places[-1] + 0.6
        position += places
        labels += [html.escape(str(i)) for i in rows["item"]]
        if k % 2 == 0:
            shapes.append(
                {
                    "type": "rect",
                    "xref": "paper",
                    "x0": 0,
                    "x1": 1,
                    "y0": start + 0.1,
                    "y1": y + 0.1,
                    "fillcolor": "#f4f6f9",
                    "line": {"width": 0},
                    "layer": "below",
                }
            )
        texts.append(
            {
                "xref": "paper",
                "x": 0.01,
                "y": start + 0.35,
                "text": f"<b>{html.escape(str(scale))}</b>",
                "showarrow": False,
                "xanchor": "left",
                "yanchor": "top",
                "font": {"size": 13},
            }
        )
        values = rows["std_all"].to_numpy(dtype=float)
        plot.add_trace(
            go.Scatter(
                x=_numbers(values),
                y=places,
                error_x={
                    "type": "data",
                    "symmetric": False,
                    "array": _numbers(rows["ci_upper"].to_numpy(dtype=float) - values),
                    "arrayminus": _numbers(values - rows["ci_lower"].to_numpy(dtype=float)),
                    "color": "#0b5394",
                    "thickness": 1.4,
                    "width": 3,
                },
                mode="markers",
                marker={"size": 7, "color": "#0b5394"},
                hovertext=[
                    f"{html.escape(str(i))}: {number(v, 3, bounded=True, glyphs=TYPESET)}"
                    for i, v in zip(rows["item"], values, strict=True)
                ],
                hoverinfo="text",
                showlegend=False,
            )
        )
    bounds = frame[["ci_lower", "ci_upper", "std_all"]].to_numpy(dtype=float)
    bounds = bounds[np.isfinite(bounds)]
    low = min(0.4, float(np.floor((bounds.min() - 0.05) * 5) / 5)) if bounds.size else 0.0
    high = max(1.0, float(bounds.max()) + 0.02) if bounds.size else 1.0
    shapes.append(
        {
            "type": "line",
            "x0": 0.708,
            "x1": 0.708,
            "y0": 0,
            "y1": y + 0.1,
            "line": {"color": MUTED, "width": 1.2, "dash": "4px,4px"},
            "layer": "below",
        }
    )
    marks = [round(v, 1) for v in np.arange(round(low / 0.2), 6) * 0.2]
    plot.update_layout(
        **base_layout(height=round(70 + 19 * y)),
        shapes=shapes,
        annotations=texts,
        xaxis={"range": [low, high], "gridcolor": "#e6e6e6", "zeroline": low < 0, "side": "bottom"}
        | ticks(marks)
        | {"title": {"text": "Standardized loading", "font": {"size": 13}, "standoff": 10}, "fixedrange": True},
        yaxis={
            "tickmode": "array",
            "tickvals": position,
            "ticktext": labels,
            "range": [y + 0.2, 0],
            "automargin": True,
            "tickfont": {"size": 11},
            "showgrid": False,
            "zeroline": False,
            "fixedrange": True,
        },
    )
    return Figure(
        "loadings-plot",
        "Standardized loadings",
        "Lines: 95% confidence intervals. Dashed: the guide of .708, where an item shares half its variance with its "
        "construct (Hair, Risher, Sarstedt & Ringle 2019, doi:10.1108/EBR-11-2018-0203).",
        f"Loadings of {len(frame)} items from {number(float(frame['std_all'].min()), bounded=True)} to "
        f"{number(float(frame['std_all'].max()), bounded=True)}; all values are in the table of loadings.",
        plot,
        min_width=320,
        max_width=900,
    )


def draw_correlations(result: StudyResult) -> Figure | None:
    """Draw the correlations of the constructs as a heat map; None with fewer than two."""
    frame = result.fit.latent_cor()
    if len(frame) < 2:
        return None
    plot = _heat_map(frame, _DIVERGING, (-1.0, 1.0))
    return Figure(
        "correlations",
        "Correlations of the constructs",
        "Implied by the whole model. Blue: positive, brown: negative.",
        f"Heat map of the correlations of {', '.join(map(str, frame.index))}; all values are in the table.",
        plot,
        min_width=60 + 34 * len(frame),
        max_width=max(360, 90 + 72 * len(frame)),
    )


def draw_htmt(measurement: MeasurementResult) -> Figure | None:
    """Draw HTMT ratios as a heat map, with frames around those above .85 and .90; None with fewer than two scales."""
    frame = measurement.htmt
    if len(frame) < 2:
        return None
    plot = _heat_map(frame, _BLUES, (0.0, 1.0))
    values = frame.to_numpy(dtype=float)
    high = 0
    for i, j in zip(*np.tril_indices(len(frame), -1), strict=True):
        if values[i, j] > 0.85:
            high += 1
            plot.add_shape(
                type="rect",
                x0=j - 0.46,
                x1=j + 0.46,
                y0=i - 1 - 0.46,
                y1=i - 1 + 0.46,
                line={"color": "#b3261e", "width": 3, "dash": "solid" if values[i, j] > 0.90 else "4px,3px"},
            )
    verdict = f"{high} of {len(frame) * (len(frame) - 1) // 2} ratios exceed .85"
    return Figure(
        "htmt-map",
        "HTMT ratios",
        f"Guides: below .85 for distinct constructs, below .90 for close ones ({HENSELER}). {verdict} "
        "(dark cells; red frames: dashed above .85, solid above .90).",
        f"Heat map of heterotrait-monotrait ratios. {verdict}; all values are in the table.",
        plot,
        min_width=60 + 34 * len(frame),
        max_width=max(360, 90 + 72 * len(frame)),
    )


def _heat_map(frame: pd.DataFrame, scale: list[list[Any]], limits: tuple[float, float]) -> Any:
    """Return the strict lower triangle of a square table with its values written in the cells."""
    names = [html.escape(str(n)) for n in frame.index]
    values = frame.to_numpy(dtype=float)
    size = len(names)
    z: list[list[float | None]] = [
        [float(values[i, j]) if j < i and np.isfinite(values[i, j]) else None for j in range(size - 1)]
        for i in range(1, size)
    ]
    text = [["" if v is None else number(v, 2, bounded=True, glyphs=TYPESET) for v in row] for row in z]
    plot = go.Figure(
        go.Heatmap(
            z=z,
            x=list(range(size - 1)),
            y=list(range(size - 1)),
            text=text,
            colorscale=scale,
            zmin=limits[0],
            zmax=limits[1],
            xgap=2,
            ygap=2,
            hoverongaps=False,
            customdata=[[f"{names[i]}, {names[j]}" for j in range(size - 1)] for i in range(1, size)],
            hovertemplate="%{customdata}: %{text}<extra></extra>",
            showscale=False,
        )
    )
    for i, row in enumerate(z):
        for j, value in enumerate(row):
            if value is not None:
                colour = "#ffffff" if abs(value) > _STEP else INK
                plot.add_annotation(
                    x=j, y=i, text=text[i][j], showarrow=False, font={"size": 12, "color": colour, "family": FONT}
                )
    axis = {"showgrid": False, "zeroline": False, "fixedrange": True, "tickmode": "array", "automargin": True}
    plot.update_layout(
        **base_layout(height=110 + 38 * size),
        xaxis={**axis, "tickvals": list(range(size - 1)), "ticktext": names[:-1], "range": [-0.5, size - 1.5]},
        yaxis={**axis, "tickvals": list(range(size - 1)), "ticktext": names[1:], "range": [size - 1.5, -0.5]},
    )
    return plot


def _numbers(values: np.ndarray) -> list[float | None]:
    """Plain numbers for plotly, which would otherwise pack arrays in base64."""
    return [float(v) if np.isfinite(v) else None for v in values]
