"""What the studies share: shares with their Monte Carlo errors, Markdown tables, and the marks of the figures."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import pandas as pd

__all__ = ["TEXT", "draw_line", "draw_mark", "likely", "percent", "rate", "row", "table"]

#: How the figures write.
TEXT = 'font-family="Helvetica, Arial, sans-serif" fill="#1a1a1a"'


def rate(hits: pd.Series) -> tuple[float, float]:
    """Return a share and its Monte Carlo error."""
    share = float(hits.mean())
    return share, math.sqrt(share * (1 - share) / len(hits))


def likely(share: float, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a share by Wilson (1927), doi:10.1080/01621459.1927.10502953.

    Unlike share plus or minus errors it has a width where the share is 0 or 1.
    """
    z = 1.959963984540054
    middle, half = share + z * z / (2 * count), z * math.sqrt(share * (1 - share) / count + (z / (2 * count)) ** 2)
    return (middle - half) / (1 + z * z / count), (middle + half) / (1 + z * z / count)


def percent(share: float, error: float) -> str:
    """Return a share and its Monte Carlo error, in per cent."""
    return f"{100 * share:.1f} ({100 * error:.1f})"


def row(cells: Iterable[Any]) -> str:
    """Return a row of a Markdown table."""
    return "| " + " | ".join(map(str, cells)) + " |"


def table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> list[str]:
    """Return the lines of a Markdown table."""
    names = list(head)
    return [row(names), "|" + "---|" * len(names), *map(row, rows)]


def draw_line(x1: float, x2: float, y1: float, y2: float, colour: str, dash: str = "none") -> str:
    """Return a line of an SVG picture."""
    ends = f'x1="{x1:.1f}" x2="{x2:.1f}" y1="{y1:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-dasharray="{dash}"/>'


def draw_mark(kind: str, x: float, y: float, colour: str) -> str:
    """Return a mark of an SVG picture: circle, square, triangle or diamond."""
    if kind == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>'
    if kind == "square":
        return f'<rect x="{x - 3.2:.1f}" y="{y - 3.2:.1f}" width="6.4" height="6.4" fill="{colour}"/>'
    corners = [(-4, 3.4), (4, 3.4), (0, -4)] if kind == "triangle" else [(-4.4, 0), (0, -4.4), (4.4, 0), (0, 4.4)]
    points = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
    return f'<polygon points="{points}" fill="{colour}"/>'
