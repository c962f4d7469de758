"""Drawings as plotly figures: the same places as in every other form, with words under the pointer."""

from __future__ import annotations

import html
from typing import Any

from b2b_sem.report.canvas import FONT, INK
from b2b_sem.report.shape import BACKGROUND, Drawing, Ellipse, Line, Polygon, Rectangle, Words

__all__ = ["to_plotly"]


def to_plotly(drawing: Drawing) -> Any:
    """Return a drawing as a plotly figure of fixed size."""
    import plotly.graph_objects as go

    traces: list[Any] = []
    shapes: list[dict[str, Any]] = []
    texts: list[dict[str, Any]] = []
    for s in drawing.shapes:
        if isinstance(s, Line):
            hover = _hover(s.about)
            traces.append(
                go.Scatter(
                    x=[round(p[0], 2) for p in s.points],
                    y=[round(p[1], 2) for p in s.points],
                    mode="lines",
                    line={"color": s.colour, "width": s.width, "dash": ",".join(f"{d:g}px" for d in s.dash) or "solid"},
                    text=hover or None,
                    hoverinfo="text" if hover else "skip",
                    showlegend=False,
                )
            )
        elif isinstance(s, Polygon):
            path = "M " + " L ".join(f"{x:.2f},{y:.2f}" for x, y in s.points) + " Z"
            shapes.append({"type": "path", "path": path, "fillcolor": s.fill, "line": {"width": 0}, "layer": "above"})
        elif isinstance(s, Ellipse | Rectangle):
            traces.append(_target(s, go))
            shapes.append(
                {
                    "type": "circle" if isinstance(s, Ellipse) else "rect",
                    **dict(zip(("x0", "y0", "x1", "y1"), (round(v, 2) for v in s.area), strict=True)),
                    "line": {"color": s.colour, "width": s.line},
                    "fillcolor": s.fill,
                    "layer": "above",
                }
            )
        else:
            texts.append(_text(s))
    hidden = {"visible": False, "fixedrange": True}
    layout = {
        "width": round(drawing.width),
        "height": round(drawing.height),
        "margin": {"l": 0, "r": 0, "t": 0, "b": 0},
        "xaxis": {**hidden, "range": [0, round(drawing.width)]},
        "yaxis": {**hidden, "range": [round(drawing.height), 0]},
        "shapes": shapes,
        "annotations": texts,
        "font": {"family": FONT, "size": 12, "color": INK},
        "hoverlabel": {"align": "left", "bgcolor": "#ffffff", "font": {"size": 12, "color": INK}},
        "hovermode": "closest",
        "showlegend": False,
        "paper_bgcolor": BACKGROUND,
        "plot_bgcolor": BACKGROUND,
        "dragmode": False,
    }
    return go.Figure(data=traces, layout=layout)


def _target(s: Ellipse | Rectangle, go: Any) -> Any:
    """Return an invisible mark that answers to the pointer."""
    return go.Scatter(
        x=[round(s.x, 2)],
        y=[round(s.y, 2)],
        mode="markers",
        marker={"size": round(0.7 * min(s.width, s.height)), "opacity": 0},
        text=[_hover(s.about)],
        hoverinfo="text" if s.about else "skip",
        showlegend=False,
    )


def _hover(about: tuple[str, ...]) -> str:
    """Return lines as plotly's markup, the first in bold; what looks like markup in them is text."""
    lines = [html.escape(line) for line in about]
    return "<br>".join([f"<b>{lines[0]}</b>", *lines[1:]]) if lines else ""


def _text(s: Words) -> dict[str, Any]:
    text = html.escape(s.text)
    out = {
        "x": round(s.x, 2),
        "y": round(s.y, 2),
        "text": f"<b>{text}</b>" if s.bold else text,
        "showarrow": False,
        "font": {"size": s.size, "color": s.colour, "family": FONT},
        "xanchor": "left" if s.anchor == "left" else "center",
        "yanchor": "middle",
        "align": "center",
        "borderpad": 1,
    }
    if s.plate:
        out["bgcolor"] = "rgba(255,255,255,0.92)"
    return out
