"""Drawings as SVG: one file that every browser, word processor and vector editor opens; text stays text."""

from __future__ import annotations

import html
from collections.abc import Sequence

from b2b_sem.report.shape import BACKGROUND, Drawing, Ellipse, Line, Polygon, Rectangle, Shape, clean

__all__ = ["to_svg"]

_FONT = "Helvetica, Arial, 'Liberation Sans', 'Nimbus Sans', sans-serif"


def to_svg(drawing: Drawing) -> str:
    """Return a drawing as an SVG document; the same drawing always gives the same text.

    Lines and nodes carry a ``title``, which browsers show under the pointer. Everything is escaped.
    """
    width, height = _n(drawing.width), _n(drawing.height)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'role="img" aria-label="{_escape(drawing.title)}" font-family="{_FONT}">'
    )
    parts = [
        head,
        f"<title>{_escape(drawing.title)}</title>",
        f"<desc>{_escape(drawing.description)}</desc>",
        f'<rect width="{width}" height="{height}" fill="{BACKGROUND}"/>',
        *(_shape(s) for s in drawing.shapes),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _shape(s: Shape) -> str:
    if isinstance(s, Line):
        dash = f' stroke-dasharray="{" ".join(map(_n, s.dash))}"' if s.dash else ""
        points = " ".join(f"{_n(x)},{_n(y)}" for x, y in s.points)
        drawn = f'<polyline points="{points}" fill="none" stroke="{s.colour}" stroke-width="{_n(s.width)}"{dash}'
        return _titled(drawn + ' stroke-linejoin="round"', "polyline", s.about)
    if isinstance(s, Polygon):
        points = " ".join(f"{_n(x)},{_n(y)}" for x, y in s.points)
        return f'<polygon points="{points}" fill="{s.fill}"/>'
    if isinstance(s, Ellipse):
        drawn = f'<ellipse cx="{_n(s.x)}" cy="{_n(s.y)}" rx="{_n(s.width / 2)}" ry="{_n(s.height / 2)}"'
        return _titled(f'{drawn} fill="{s.fill}" stroke="{s.colour}" stroke-width="{_n(s.line)}"', "ellipse", s.about)
    if isinstance(s, Rectangle):
        x, y, *_ = s.area
        drawn = f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(s.width)}" height="{_n(s.height)}"'
        return _titled(f'{drawn} fill="{s.fill}" stroke="{s.colour}" stroke-width="{_n(s.line)}"', "rect", s.about)
    anchor = "" if s.anchor == "left" else ' text-anchor="middle"'
    weight = ' font-weight="bold"' if s.bold else ""
    # the baseline lies 0.35 em below the middle of capitals and figures; not every program reads dominant-baseline
    text = (
        f'<text x="{_n(s.x)}" y="{_n(s.y + 0.35 * s.size)}" font-size="{_n(s.size)}" fill="{s.colour}"{anchor}{weight}>'
        f"{_escape(s.text)}</text>"
    )
    if not s.plate:
        return text
    left, top, right, bottom = s.area
    return (
        f'<rect x="{_n(left - 1)}" y="{_n(top)}" width="{_n(right - left + 2)}" height="{_n(bottom - top)}" '
        f'fill="{BACKGROUND}" fill-opacity="0.92"/>{text}'
    )


def _titled(opening: str, tag: str, about: Sequence[str]) -> str:
    if not about:
        return opening + "/>"
    lines = "&#10;".join(_escape(line) for line in about)
    return f"{opening}><title>{lines}</title></{tag}>"


def _escape(text: str) -> str:
    return html.escape(clean(text), quote=True)


def _n(value: float) -> str:
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text
