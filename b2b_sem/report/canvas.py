"""What all figures share: the wrapper with its caption and text alternative, colours, fonts, axis labels."""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from b2b_sem.measures.notation import TYPESET, number
from b2b_sem.results.verdict import CONTRADICTED, NOT_SUPPORTED, SUPPORTED

__all__ = [
    "FONT",
    "INK",
    "MARKS",
    "MUTED",
    "STYLES",
    "Figure",
    "LineStyle",
    "axis_id",
    "axis_marks",
    "base_layout",
    "grid",
    "style_of",
    "ticks",
    "tint",
    "wrap_label",
]

FONT = "Helvetica Neue, Helvetica, Arial, Liberation Sans, sans-serif"
INK = "#1a1a1a"
#: Colour and symbol of groups or conditions: they differ in shape and filling, too, so that grey prints stay readable.
MARKS = (
    ("#0b5394", "circle"),
    ("#b45309", "diamond-open"),
    ("#3c4043", "square"),
    ("#0f766e", "triangle-up-open"),
    ("#7e3794", "star"),
    ("#b3261e", "hexagon-open"),
    ("#5f6368", "triangle-down"),
    ("#1d5c9c", "pentagon-open"),
)
MUTED = "#5f6368"


@dataclass(frozen=True)
class Figure:
    """A plotly figure and what surrounds it.

    Attributes
    ----------
    name : str
        Id in the page; the same for every run, so that reports can be compared.
    title, caption : str
        The caption may hold ``doi:10...``.
    alt : str
        What the figure shows, for readers who cannot see it.
    plot : plotly.graph_objects.Figure
    min_width : int
        Pixels below which the figure scrolls instead of shrinking.
    max_width : int
        Pixels above which the figure does not grow; 0 for no limit.
    fixed : bool
        Whether the figure has exactly its own size (its texts were placed in pixels).
    """

    name: str
    title: str
    caption: str
    alt: str
    plot: Any
    min_width: int = 0
    max_width: int = 0
    fixed: bool = False


@dataclass(frozen=True)
class LineStyle:
    """How a verdict looks: colour, line and marker all differ, so that grey prints stay readable."""

    colour: str
    dash: str
    width: float
    symbol: str
    word: str


STYLES: dict[str, LineStyle] = {
    SUPPORTED: LineStyle("#0b5394", "solid", 3.0, "circle", "supported"),
    NOT_SUPPORTED: LineStyle("#6e6e6e", "7px,5px", 2.0, "circle-open", "not supported"),
    CONTRADICTED: LineStyle("#b3261e", "12px,4px,3px,4px", 3.0, "x", "contradicted"),
    "": LineStyle("#3c4043", "solid", 1.3, "square-open", "no proposition"),
}


def style_of(verdict: str | None) -> LineStyle:
    """Return the style for a verdict; anything that was not tested looks like a path without proposition."""
    return STYLES.get(verdict or "", STYLES[""])


def ticks(values: Sequence[float], digits: int = 1) -> dict[str, Any]:
    """Return axis settings with labels that have no leading zero."""
    labels = ["0" if v == 0 else number(v, digits, bounded=True, glyphs=TYPESET) for v in values]
    return {"tickmode": "array", "tickvals": list(values), "ticktext": labels}


def base_layout(height: int) -> dict[str, Any]:
    """Return the layout that all figures share."""
    return {
        "height": height,
        "margin": {"l": 10, "r": 16, "t": 26, "b": 52},
        "font": {"family": FONT, "size": 13, "color": INK},
        "paper_bgcolor": "#ffffff",
        "plot_bgcolor": "#ffffff",
        "hoverlabel": {"bgcolor": "#ffffff", "font": {"color": INK}},
        "dragmode": False,
    }


def wrap_label(text: str, width: int) -> str:
    """Return a name as lines of at most `width` characters, escaped for figures."""
    lines = textwrap.wrap(text, width, break_on_hyphens=False) or [""]
    return "<br>".join(html.escape(line) for line in lines)


def axis_marks(low: float, high: float, most: int = 8) -> dict[str, Any]:
    """Return axis settings with round marks between two values, at most `most`, whose numbers keep leading zeros."""
    span = high - low
    step = next(m for e in range(-12, 13) for m in (10.0**e, 2 * 10.0**e, 5 * 10.0**e) if span / m <= most - 1)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    values = [round(k * step, 12) for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]
    labels = ["0" if v == 0 else number(v, digits, glyphs=TYPESET) for v in values]
    return {"tickmode": "array", "tickvals": values, "ticktext": labels}


def axis_id(letter: str, position: int) -> str:
    """Return the name that traces give an axis: x, x2, x3, ..."""
    return letter if position == 0 else f"{letter}{position + 1}"


def grid(count: int, columns: int, gap: float, row_gap: float) -> list[tuple[list[float], list[float]]]:
    """Return the domains of panels, row by row from the top: ([left, right], [bottom, top])."""
    rows = -(-count // columns)
    width, height = (1 - gap * (columns - 1)) / columns, (1 - row_gap * (rows - 1)) / rows
    out = []
    for k in range(count):
        row, column = divmod(k, columns)
        left, top = column * (width + gap), 1 - row * (height + row_gap)
        out.append(([left, min(1.0, left + width)], [max(0.0, top - height), top]))
    return out


def tint(colour: str, opacity: float) -> str:
    """Return a colour such as ``#0b5394`` as plotly writes it with this opacity, for bands behind lines."""
    red, green, blue = (int(colour[k : k + 2], 16) for k in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"
