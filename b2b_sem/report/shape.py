"""What a drawing is made of, for all renderers: lines, heads, ellipses, boxes and words, in pixels; y grows downwards.

Widths of words are those of Helvetica, which Arial, Liberation Sans and other metric twins share. Renderers with a
wider face set it smaller (see :mod:`b2b_sem.report.raster`).
"""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass, replace

__all__ = ["BACKGROUND", "Area", "Drawing", "Ellipse", "Line", "Polygon", "Rectangle", "Shape", "Words", "clean"]
__all__ += ["fit_text", "grey_drawing", "head", "text_width", "to_grey"]

Point = tuple[float, float]
Area = tuple[float, float, float, float]  # left, top, right, bottom
BACKGROUND = "#ffffff"

# advance widths of the printable ASCII characters from the space on, in thousandths of the size
_WIDTHS = (
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556, 556, 556,
    556, 556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833,
    722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556, 333, 556, 556, 500, 556,
    556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556, 556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334,
    260, 334, 584,
)  # fmt: skip
_SIGNS = {"−": 584, "–": 556, "…": 1000, "→": 1000, "↔": 1000, "²": 333, "×": 584}
_OTHER = 720  # letters of other alphabets
_WIDE = 1000  # one square, as Chinese, Japanese and Korean signs take
_BOLD = 1.08


@dataclass(frozen=True)
class Line:
    """A polyline; `dash` holds lengths of dashes and gaps in pixels, empty for a solid line.

    `about` says what the line stands for, in lines of plain text; `name` groups what belongs together.
    """

    points: tuple[Point, ...]
    colour: str
    width: float
    dash: tuple[float, ...] = ()
    about: tuple[str, ...] = ()
    name: str = ""


@dataclass(frozen=True)
class Polygon:
    """A filled polygon without outline: the head of an arrow."""

    points: tuple[Point, ...]
    fill: str
    name: str = ""


@dataclass(frozen=True)
class _Node:
    """What is drawn around ``(x, y)``."""

    x: float
    y: float
    width: float
    height: float
    fill: str
    colour: str
    line: float
    about: tuple[str, ...] = ()
    name: str = ""

    @property
    def area(self) -> Area:
        """The box around it."""
        return _around(self.x, self.y, self.width, self.height)


class Ellipse(_Node):
    """An ellipse around ``(x, y)``."""


class Rectangle(_Node):
    """A rectangle around ``(x, y)``."""


@dataclass(frozen=True)
class Words:
    """One line of text; `x` is its middle, or its left end with ``anchor="left"``; `y` is the middle of its height.

    With `plate` a background in the colour of the page lies under it.
    """

    x: float
    y: float
    text: str
    size: float
    colour: str
    bold: bool = False
    anchor: str = "middle"
    plate: bool = False
    name: str = ""

    @property
    def area(self) -> Area:
        """The room it takes."""
        width = text_width(self.text, self.size, self.bold)
        x = self.x + width / 2 if self.anchor == "left" else self.x
        return _around(x, self.y, width, 1.15 * self.size)


Shape = Line | Polygon | Ellipse | Rectangle | Words


@dataclass(frozen=True)
class Drawing:
    """A finished drawing: what comes later lies on top.

    Attributes
    ----------
    width, height : float
        Pixels of 1/96 inch.
    shapes : tuple of shapes
    title, description : str
        What it is and what it shows, for readers who cannot see it.
    """

    width: float
    height: float
    shapes: tuple[Shape, ...]
    title: str
    description: str


def _around(x: float, y: float, width: float, height: float) -> Area:
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def text_width(text: str, size: float, bold: bool = False) -> float:
    """Return the width of one line of text in pixels; characters of other scripts are rated generously."""
    total = 0
    for sign in text:
        code = ord(sign)
        if 32 <= code < 127:
            total += _WIDTHS[code - 32]
        elif sign in _SIGNS:
            total += _SIGNS[sign]
        elif unicodedata.combining(sign) or unicodedata.category(sign) == "Cf":
            continue
        elif unicodedata.east_asian_width(sign) in "WF":
            total += _WIDE
        else:
            total += _OTHER
    return total / 1000 * size * (_BOLD if bold else 1.0)


def fit_text(text: str, size: float, width: float, bold: bool = False) -> str:
    """Return the text, shortened with an ellipsis where it is wider than `width` pixels."""
    if text_width(text, size, bold) <= width:
        return text
    short = text
    while short and text_width(short + "…", size, bold) > width:
        short = short[:-1]
    return short.rstrip() + "…"


def clean(text: str) -> str:
    """Return text on one line, without characters that no document may hold or that turn the reading direction."""
    return "".join(_printable(c) for c in str(text)).strip()


def _printable(sign: str) -> str:
    if sign in "\t\n\r\v\f\x85\u2028\u2029":
        return " "
    kind = unicodedata.category(sign)
    return (
        ""
        if kind in ("Cc", "Cs", "Cn", "Co") or 0x202A <= ord(sign) <= 0x202E or 0x2066 <= ord(sign) <= 0x2069
        else sign
    )


def to_grey(colour: str) -> str:
    """Return the grey of the same lightness (luma of ITU-R BT.601)."""
    red, green, blue = (int(colour[k : k + 2], 16) for k in (1, 3, 5))
    level = round(0.299 * red + 0.587 * green + 0.114 * blue)
    return f"#{level:02x}{level:02x}{level:02x}"


def grey_drawing(drawing: Drawing) -> Drawing:
    """Return the drawing without colours."""

    def change(shape: Shape) -> Shape:
        if isinstance(shape, Polygon):
            return replace(shape, fill=to_grey(shape.fill))
        if isinstance(shape, Ellipse | Rectangle):
            return replace(shape, fill=to_grey(shape.fill), colour=to_grey(shape.colour))
        return replace(shape, colour=to_grey(shape.colour))

    return replace(drawing, shapes=tuple(change(s) for s in drawing.shapes))


def head(tip: Point, behind: Point, colour: str, width: float, name: str = "") -> Polygon:
    """Return the head of an arrow that comes from `behind`."""
    dx, dy = tip[0] - behind[0], tip[1] - behind[1]
    length = math.hypot(dx, dy) or 1.0
    dx, dy = dx / length, dy / length
    size = 7.5 + 1.2 * width
    base = (tip[0] - size * dx, tip[1] - size * dy)
    half = 0.42 * size
    corners = (tip, (base[0] - half * dy, base[1] + half * dx), (base[0] + half * dy, base[1] - half * dx))
    return Polygon(corners, colour, name)
