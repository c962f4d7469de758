"""A node of a path diagram with what hangs on it: its words, and in full diagrams indicators and disturbance."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass

from b2b_sem.measures.notation import TYPESET, number
from b2b_sem.report.canvas import INK, MUTED
from b2b_sem.report.network import Item, Network, Node
from b2b_sem.report.route import Body, Field, box_of
from b2b_sem.report.shape import Ellipse, Line, Point, Rectangle, Shape, Words, clean, fit_text, head, text_width
from b2b_sem.report.structure import PathEstimate

__all__ = ["ITEM_GAP", "Look", "block_room", "column_size", "draw_column", "draw_items", "draw_node", "value_text"]

ITEM_GAP = 8.0
_ITEM_SIZE = 11.0
_VALUE_SIZE = 10.0
_ITEM_HEIGHT = 22.0
_STUB = 15.0
_MOST = 92.0  # widest box of an indicator
_THIN = 1.1
_DASH = (4.0, 3.0)


@dataclass(frozen=True)
class Look:
    """How a diagram is drawn; see :func:`b2b_sem.report.diagram.path_diagram`."""

    full: bool
    style: str
    label: str
    estimates: str
    alpha: float
    node: tuple[float, float]


def value_text(look: Look, std: float, est: float) -> str:
    """Return the number that stands for a parameter."""
    if look.estimates == "raw":
        return number(est, 2, glyphs=TYPESET)
    return number(std, 2, bounded=True, glyphs=TYPESET)


def draw_node(node: Node, x: float, y: float, look: Look, size: tuple[float, float], usable: bool) -> list[Shape]:
    """Return the outline of a node and the words in it, all of which stay inside."""
    width, height = size
    code, name = clean(node.code), clean(node.name)
    explained = node.r2 is not None and math.isfinite(node.r2) and usable
    about = [code, *([name] if name else []), "latent variable" if node.latent else "observed variable"]
    rows: list[tuple[str, float, bool]] = [(code, 13.0, True)]
    if name:
        fitting = 1 if height < 75 and explained else 2 if explained or height < 75 else 3
        lines = textwrap.wrap(name, 18)
        if len(lines) > fitting:
            lines = [*lines[: fitting - 1], " ".join(lines[fitting - 1 :])]
        rows += [(line, 10.5, False) for line in lines]
    if explained:
        rows.append((f"R² = {number(node.r2, 2, bounded=True, glyphs=TYPESET)}", 11.0, False))
        about.append(f"R² = {number(node.r2, 3, bounded=True, glyphs=TYPESET)}")
    form = Ellipse if node.latent else Rectangle
    fill = "#f6f8fb" if node.latent else "#ffffff"
    shapes: list[Shape] = [form(x, y, width, height, fill, INK, 1.5, tuple(about), node.code)]
    top = y - sum(1.22 * s for _, s, _ in rows) / 2
    for text, points, bold in rows:
        middle = top + 0.61 * points
        top += 1.22 * points
        edge = max(abs(middle - y - 0.5 * points), abs(middle - y + 0.5 * points)) / (height / 2)
        room = (width * math.sqrt(max(0.0, 1 - edge**2)) if node.latent else width) - 8
        shapes.append(Words(x, middle, fit_text(text, points, room, bold), points, INK, bold, name=node.code))
    return shapes


def _item_width(item: Item) -> float:
    return min(_MOST, max(32.0, text_width(clean(item.name), _ITEM_SIZE) + 12))


def _pitch(item: Item, look: Look) -> float:
    value = value_text(look, item.loading.std, item.loading.est)
    return max(_item_width(item) + ITEM_GAP, text_width(value, _VALUE_SIZE) / 0.8 + 12)


def _rise(items: tuple[Item, ...], look: Look, height: float) -> tuple[float, float]:
    """Return half the width of a row of indicators, and how high above the node their lower edges are.

    The outer loadings leave the node above its sides, where arrows of the structure start.
    """
    half = sum(_pitch(i, look) for i in items) / 2
    outermost = max(0.0, half - min((_pitch(i, look) for i in items), default=0.0) / 2)
    return half, max(height / 2 + 48.0, 0.72 * outermost)


def block_room(node: Node, look: Look, size: tuple[float, float]) -> tuple[float, float, float]:
    """Return half the width, and the space above and below the centre of a node, that it needs with all it carries."""
    half, above, below = size[0] / 2, size[1] / 2, size[1] / 2
    if node.items:
        wide, rise = _rise(node.items, look, size[1])
        half, above = max(half, wide), rise + _ITEM_HEIGHT + _STUB + 16
    return half, above, below + (_STUB + 20 if node.residual is not None else 0.0)


def draw_items(
    node: Node, x: float, y: float, look: Look, size: tuple[float, float], usable: bool, page: Field
) -> list[Shape]:
    """Return the indicators above a node, and its disturbance below it; what they cover is marked on the page."""
    shapes: list[Shape] = []
    if node.items:
        half, rise = _rise(node.items, look, size[1])
        left = x - half
        row = y - rise - _ITEM_HEIGHT / 2
        body = Body(x, y, *size, node.latent)
        for item in node.items:
            pitch = _pitch(item, look)
            at = left + pitch / 2
            left += pitch
            shapes += _item(item, at, row, usable, page)
            start = _border_towards(body, (at, row + _ITEM_HEIGHT / 2))
            shapes += _loading(item, start, (at, row + _ITEM_HEIGHT / 2), 0.66, look, usable, page)
            if item.residual is not None:
                shapes += _residual(
                    item.name, item.residual, (at, row - _ITEM_HEIGHT / 2), (0.0, -1.0), look, usable, page
                )
        page.walls.append((x - half, row - _ITEM_HEIGHT / 2 - _STUB - 14, x + half, row + _ITEM_HEIGHT / 2))
        # the fan of loadings: labels of other arrows stay out of it
        page.walls.append((x - 0.6 * half, row + _ITEM_HEIGHT / 2, x + 0.6 * half, y - size[1] / 2 - 2))
    if node.residual is not None:
        shapes += _residual(node.code, node.residual, (x, y + size[1] / 2), (0.0, 1.0), look, usable, page)
    return shapes


def column_size(node: Node) -> float:
    """Return the height of a column of indicators beside a node."""
    return len(node.items) * (_ITEM_HEIGHT + ITEM_GAP)


def draw_column(
    node: Node, x: float, y: float, look: Look, size: tuple[float, float], usable: bool, page: Field
) -> list[Shape]:
    """Return the indicators of a node as a column at its left, for models without directed paths."""
    shapes: list[Shape] = []
    wide = max((_item_width(i) for i in node.items), default=0.0)
    step = _ITEM_HEIGHT + ITEM_GAP
    body = Body(x, y, *size, node.latent)
    right = x - size[0] / 2 - max(70.0, 0.45 * column_size(node))
    for k, item in enumerate(node.items):
        at = y + (k - (len(node.items) - 1) / 2) * step
        shapes += _item(item, right - wide / 2, at, usable, page, wide)
        shapes += _loading(item, _border_towards(body, (right, at)), (right, at), 0.72, look, usable, page)
        if item.residual is not None:
            shapes += _residual(item.name, item.residual, (right - wide, at), (-1.0, 0.0), look, usable, page)
    return shapes


def _border_towards(body: Body, target: tuple[float, float]) -> tuple[float, float]:
    dx, dy = target[0] - body.x, target[1] - body.y
    a, b = abs(dx) / (body.width / 2), abs(dy) / (body.height / 2)
    scale = (math.hypot(a, b) if body.round else max(a, b)) or 1.0
    return body.x + dx / scale, body.y + dy / scale


def _item(item: Item, x: float, y: float, usable: bool, page: Field, width: float = 0.0) -> list[Shape]:
    wide = width or _item_width(item)
    page.bodies[item.name] = Body(x, y, wide, _ITEM_HEIGHT)
    text = clean(item.name)
    return [
        Rectangle(x, y, wide, _ITEM_HEIGHT, "#ffffff", INK, _THIN, (text, "indicator"), item.name),
        Words(x, y, fit_text(text, _ITEM_SIZE, wide - 6), _ITEM_SIZE, INK, name=item.name),
    ]


def _loading(item: Item, start: Point, end: Point, share: float, look: Look, usable: bool, page: Field) -> list[Shape]:
    weak = usable and look.style == "significance" and not item.loading.p < look.alpha and item.loading.se > 0
    text = value_text(look, item.loading.std, item.loading.est)
    about = (f"{clean(item.loading.source)} → {clean(item.name)}", *([f"loading {text}"] if usable else []))
    name = f"{item.loading.source} =~ {item.name}"
    shapes: list[Shape] = [
        Line((start, end), INK, _THIN, _DASH if weak else (), about, name),
        head(end, start, INK, 0.0, name),
    ]
    page.add_line(name, (start, end))
    if usable and look.label != "none":
        x, y = start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])
        page.labels.append(box_of(x, y, text_width(text, _VALUE_SIZE), 1.15 * _VALUE_SIZE))
        shapes.append(Words(x, y, text, _VALUE_SIZE, INK, plate=True, name=name))
    return shapes


def _residual(
    owner: str, variance: PathEstimate, end: Point, away: Point, look: Look, usable: bool, page: Field
) -> list[Shape]:
    """Return a short arrow into a variable, with the variance of what is not explained at its tail."""
    start = (end[0] + away[0] * _STUB, end[1] + away[1] * _STUB)
    name = f"{owner} ~~ {owner}"
    text = value_text(look, variance.std, variance.est)
    about = (f"residual variance of {clean(owner)}", *([text] if usable else []))
    shapes: list[Shape] = [Line((start, end), MUTED, 1.0, (), about, name), head(end, start, MUTED, -1.5, name)]
    page.add_line(name, (start, end))
    if usable and look.label != "none":
        wide = text_width(text, _VALUE_SIZE)
        x = start[0] + away[0] * (wide / 2 + 2)
        y = start[1] + away[1] * 7.5
        page.labels.append(box_of(x, y, wide, 1.15 * _VALUE_SIZE))
        shapes.append(Words(x, y, text, _VALUE_SIZE, INK, name=name))
    return shapes


def largest(network: Network) -> int:
    """Return how many arrows meet at most at one side of a node, which has to be high enough for them."""
    count: dict[tuple[str, int], int] = {}
    for p in network.paths:
        for key in ((p.source, 1), (p.target, -1)):
            count[key] = count.get(key, 0) + 1
    return max(count.values(), default=0)
