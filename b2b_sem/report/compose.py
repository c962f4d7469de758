"""From what a diagram shows to where everything stands: the drawing of one or several groups.

Places come from layers (:mod:`b2b_sem.report.layout`), from the user, or, for models without directed paths, from a
ring or a column. Labels look for a free place; if some find none, the whole drawing is stretched and tried again, so
that nothing covers anything else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from b2b_sem.errors import DataError, did_you_mean
from b2b_sem.measures.notation import TYPESET, interval, p_phrase, stars
from b2b_sem.report.block import (
    Look,
    block_room,
    column_size,
    draw_column,
    draw_items,
    draw_node,
    largest,
    value_text,
)
from b2b_sem.report.canvas import INK, MUTED, STYLES, style_of
from b2b_sem.report.layout import Layout, Point, lay_out, place_on_circle
from b2b_sem.report.network import Network
from b2b_sem.report.route import BENDS, Body, Field, dense
from b2b_sem.report.shape import Drawing, Line, Polygon, Shape, Words, clean, head, text_width
from b2b_sem.report.structure import PathEstimate

__all__ = ["Composition", "compose"]

_GAP = (74.0, 96.0)  # between two layers: least, and where there is room
_WIDTH = 1038.0  # what a window of 1280 pixels leaves beside the contents
_MAX_ARCS = 6  # correlations drawn beside the first layer
_MAX_FREE = 4  # other correlations that are drawn
_MAX_LABELS = 15  # lines of a ring that carry their number
_SCALES = (1.0, 1.2, 1.45, 1.75, 2.1, 2.6, 3.2, 4.0)
_DASHED = (6.0, 4.0)
_TITLE = 30.0


@dataclass(frozen=True)
class Composition:
    """A drawing, and what could not be drawn.

    Attributes
    ----------
    drawing : Drawing
    hidden : tuple of PathEstimate
        Covariances without an arrow, of the first group.
    arcs : bool
        Whether correlations are drawn beside paths.
    conflicts : int
        Things that cover one another in spite of all; 0 in every drawing that is not very crowded.
    positions : mapping of str to (x, y)
        Centres of the nodes, in the first group.
    dashed : bool
        Whether there are paths that are dashed because they are not significant.
    """

    drawing: Drawing
    hidden: tuple[PathEstimate, ...]
    arcs: bool
    conflicts: int
    positions: Mapping[str, Point]
    dashed: bool


def compose(
    networks: Sequence[Network],
    look: Look,
    *,
    about: Mapping[int, tuple[str, ...]],
    positions: Mapping[str, Point] | None = None,
    title: str = "",
    description: str = "",
) -> Composition:
    """Draw groups below each other, all with the same places.

    Parameters
    ----------
    networks : sequence of Network
        One for each group.
    look : Look
    about : mapping of id of an estimate to lines of text
        What shows when the pointer is on a line.
    positions : mapping of str to (x, y), optional
        Places of nodes; others keep those of the layers.
    title, description : str
        Of the drawing.

    Raises
    ------
    DataError
        If `positions` names what is no node, or puts nodes on one another.
    """
    if positions:
        _check_positions(networks[0], positions)
    best: tuple[int, list[_Panel]] | None = None
    for scale in _SCALES:
        panels = [_Panel(n, look, about, positions or {}, scale) for n in networks]
        for panel in panels:
            panel.draw()
        conflicts = sum(p.conflicts for p in panels)
        if best is None or conflicts < best[0]:
            best = conflicts, panels
        if not conflicts:
            break
    assert best is not None
    return _join(best[1], best[0], look, title, description)


def _join(panels: list[_Panel], conflicts: int, look: Look, title: str, description: str) -> Composition:
    shapes: list[Shape] = []
    y, width = 0.0, max(p.width for p in panels)
    for panel in panels:
        label = clean(panel.network.label)
        if label:
            width = max(width, 32 + text_width(label, 14, True))
            shapes.append(Words(16, y + 18, label, 14, INK, True, "left", name="group"))
            y += _TITLE
        shapes += [_move(s, 0.0, y) for s in panel.shapes]
        y += panel.height
    used = [key for panel in panels for key in panel.used]
    legend, right = _legend(used, y + 18, look, panels[0].network.usable)
    if legend:
        shapes += legend
        y += 40
        width = max(width, right)
    drawing = Drawing(round(width), round(y), tuple(shapes), title, description)
    first = panels[0]
    return Composition(drawing, tuple(first.hidden), first.arcs, conflicts, dict(first.places), "no" in used)


def _legend(used: Sequence[str], y: float, look: Look, usable: bool) -> tuple[list[Shape], float]:
    """Explain the styles of lines in one row; nothing where there is nothing to tell apart."""
    entries: list[tuple[str, str, tuple[float, ...], float]] = []
    if look.style == "verdict":
        entries = [(s.word, s.colour, _dash(s.dash), s.width) for k, s in STYLES.items() if k in used]
        entries = [] if set(used) <= {""} else entries
    elif look.style == "significance":
        words = {"yes": f"p < {_bare(look.alpha)}", "no": "not significant"}
        pens = {"yes": (INK, (), 1.8), "no": (INK, _DASHED, 1.3)}
        entries = [(words[k], *pens[k]) for k in ("yes", "no") if k in used]
        entries = entries if "no" in used else []
    shapes: list[Shape] = []
    x = 16.0
    for word, colour, dash, wide in entries if usable else ():
        shapes.append(Line(((x, y), (x + 34, y)), colour, wide, dash, (), "legend"))
        shapes.append(Words(x + 40, y, word, 12, INK, anchor="left", name="legend"))
        x += 40 + text_width(word, 12) + 26
    return shapes, x


def _bare(alpha: float) -> str:
    text = f"{alpha:g}"
    return text[1:] if text.startswith("0.") else text


def _dash(text: str) -> tuple[float, ...]:
    return () if text == "solid" else tuple(float(part.removesuffix("px")) for part in text.split(","))


def _move(shape: Shape, dx: float, dy: float) -> Shape:
    if isinstance(shape, Line | Polygon):
        return replace(shape, points=tuple((x + dx, y + dy) for x, y in shape.points))
    return replace(shape, x=shape.x + dx, y=shape.y + dy)


def _check_positions(network: Network, positions: Mapping[str, Point]) -> None:
    codes = [n.code for n in network.nodes]
    for name, place in positions.items():
        if name not in codes:
            raise DataError(
                f"a position is given for '{name}', which is no node of the diagram.{did_you_mean(name, codes)}",
                hint=f"nodes: {', '.join(codes)}",
            )
        if len(place) != 2 or not all(math.isfinite(v) for v in place):
            raise DataError(f"the position of '{name}' is not a pair of numbers", hint="write [x, y], in pixels")


class _Panel:
    """One group of a diagram in pixels; y grows downwards."""

    def __init__(
        self,
        network: Network,
        look: Look,
        about: Mapping[int, tuple[str, ...]],
        positions: Mapping[str, Point],
        scale: float,
    ) -> None:
        self.network, self.look, self.about, self.positions, self.scale = network, look, about, positions, scale
        self.size = (look.node[0], max(look.node[1], 14.0 * largest(network)))
        self.latents = {n.code for n in network.nodes if n.latent}
        self.nodes = {n.code: n for n in network.nodes}
        self.page = Field()
        self.shapes: list[Shape] = []
        self.lines: list[tuple[PathEstimate, str, tuple[Point, ...]]] = []
        self.used: list[str] = []
        self.hidden: list[PathEstimate] = []
        self.arcs = False
        self.conflicts = 0
        self.layered = bool(network.paths or network.moderations)
        self.rooms = {n.code: block_room(n, look, self.size) for n in network.nodes}
        self.routes: Mapping[tuple[str, str], tuple[Point, ...]] = {}
        self.layers: Mapping[str, int] = {}
        self.places: dict[str, Point] = {}
        self.width = self.height = 0.0

    def draw(self) -> None:
        """Place everything."""
        arcs = self._place()
        for code, (x, y) in self.places.items():
            self.page.bodies[code] = Body(x, y, *self.size, code in self.latents)
        self.page.size = (self.width, self.height)
        upper: list[Shape] = []
        for node in self.network.nodes:
            hang = draw_column if self._column else draw_items
            upper += hang(node, *self.places[node.code], self.look, self.size, self.network.usable, self.page)
        self._paths()
        for arc in arcs:
            self._arc(arc)
        self._moderations()
        self._free([c for c in self.network.covariances if c not in arcs])
        for node in self.network.nodes:
            self.shapes += draw_node(node, *self.places[node.code], self.look, self.size, self.network.usable)
        self.shapes += upper
        self._labels()

    # ---- places ----------------------------------------------------------------------------------------------------

    @property
    def _column(self) -> bool:
        return self.look.full and not self.layered and not self.positions

    def _place(self) -> list[PathEstimate]:
        """Give every node its place, and return the covariances that are drawn beside the first layer."""
        if self._column:
            self._place_column()
            return []
        codes = list(self.nodes)
        if not self.layered:
            pairs = [(c.source, c.target) for c in self.network.covariances]
            wide = (self.size[0] * self.scale, self.size[1] * self.scale)
            layout = place_on_circle(codes, pairs, node_width=wide[0], node_height=wide[1], margin=(14, 14, 14, 14))
            arcs: list[PathEstimate] = []
            self._adopt(layout)
            self.routes = {}  # straight lines are found again for nodes of their true size
        else:
            layout, arcs = self._layers(_GAP[1] * self.scale)
            spare = _WIDTH - layout.width
            if spare < 0 and self.scale == 1:
                places = max(layout.layers.values(), default=0)
                layout, arcs = self._layers(max(_GAP[0], _GAP[1] + spare / max(places, 1)))
            self._adopt(layout)
        if self.positions:
            self._override()
            return []
        return arcs

    def _adopt(self, layout: Layout) -> None:
        self.places, self.routes, self.layers = dict(layout.nodes), layout.routes, layout.layers
        self.width, self.height = layout.width, layout.height

    def _layers(self, gap: float) -> tuple[Layout, list[PathEstimate]]:
        """Lay the paths out in layers, with room on the left for the correlations of the first one."""
        edges = [(p.source, p.target) for p in self.network.paths]
        # a moderator stands where its arrow to the outcome would start
        edges += [(m.moderator, m.estimate.target) for m in self.network.moderations]
        drawn = {p.source for p in self.network.paths} | {p.target for p in self.network.paths}
        layout = lay_out(
            list(self.nodes),
            edges,
            node_width=self.size[0],
            node_height=self.size[1],
            gap=gap,
            clearance=34 * self.scale,
            margin=(14, 14, 14, 14),
            boxes=[n for n in self.nodes if n not in self.latents],
            rooms=self.rooms,
            late=[m.moderator for m in self.network.moderations if m.moderator not in drawn or self._pure(m.moderator)],
            lane_height=20 * self.scale,
        )
        here = [c for c in self.network.covariances if layout.layers[c.source] == layout.layers[c.target] == 0]
        arcs = here if len(here) <= _MAX_ARCS else []
        if not arcs:
            return layout, []
        dx = (30 + 26 * max(_span(layout.nodes, layout.layers, c) for c in arcs)) * self.scale
        return _shift(layout, dx), arcs

    def _pure(self, moderator: str) -> bool:
        """Tell whether nothing leads to a moderator, and it leads to the outcome that it moderates alone."""
        outcomes = {m.estimate.target for m in self.network.moderations if m.moderator == moderator}
        return all(
            p.target != moderator and (p.source != moderator or p.target in outcomes) for p in self.network.paths
        )

    def _place_column(self) -> None:
        """Stack the factors of a measurement model, with indicators at the left and correlations at the right."""
        gap = 26.0 * self.scale
        width, height = self.size
        columns = {n.code: max(column_size(n), height) for n in self.network.nodes}
        fan = max((max(70.0, 0.45 * column_size(n)) for n in self.network.nodes), default=70.0)
        x = 14 + 46 + 92 + fan + width / 2
        y = 14.0
        for code, high in columns.items():
            self.places[code] = (x, y + high / 2)
            y += high + gap
        spans = len(columns) - 1
        arcs = 0 < len(self.network.covariances) <= _MAX_LABELS
        self.width = x + width / 2 + (30 + 46 * spans * self.scale + 30 if arcs else 14)
        self.height = y - gap + 14
        if not arcs:
            return
        order = list(columns)
        routes = {}
        for c in self.network.covariances:
            a, b = sorted((c.source, c.target), key=order.index)
            steps = order.index(b) - order.index(a)
            most = max(spans, 1)
            dy = height * 0.36 * steps / most
            routes[c.source, c.target] = self._bulge(a, b, dy, (24 + 46 * (steps - 1)) * self.scale, 1)
        self.routes = routes

    def _bulge(
        self, upper: str, lower: str, dy: float, apex: float, side: int, edge: float | None = None
    ) -> tuple[Point, ...]:
        """Return a curve between two nodes of one column that leaves both at their left (-1) or right (1)."""
        ends = []
        for name, shift in ((upper, dy), (lower, -dy)):
            x, y = self.places[name]
            w, h = self.size[0] / 2, self.size[1] / 2
            reach = w * math.sqrt(max(0.0, 1 - (shift / h) ** 2)) if name in self.latents else w
            ends.append((x + side * reach, y + shift))
        a, b = ends
        x = edge if edge is not None else side * max(side * a[0], side * b[0])
        points = [a]
        for k in range(33):
            t = k / 32
            s = 1 - t
            points.append(
                (x + side * 3 * s * t * apex * 4 / 3, (s**3 + 3 * s * s * t) * a[1] + (t**3 + 3 * s * t * t) * b[1])
            )
        return tuple(dict.fromkeys([*points, b]))

    def _override(self) -> None:
        """Move nodes to the places that the user gave; arrows then look for their way themselves."""
        places = {**self.places, **{k: (float(x), float(y)) for k, (x, y) in self.positions.items()}}
        if len(self.positions) == len(places):  # distances in the file are stretched with everything else
            places = {k: (x * self.scale, y * self.scale) for k, (x, y) in places.items()}
        rooms = {
            k: (x - self.rooms[k][0], y - self.rooms[k][1], x + self.rooms[k][0], y + self.rooms[k][2])
            for k, (x, y) in places.items()
        }
        names = list(places)
        for i, a in enumerate(names):
            for b in names[:i]:
                one, two = rooms[a], rooms[b]
                if min(one[2], two[2]) > max(one[0], two[0]) and min(one[3], two[3]) > max(one[1], two[1]):
                    wide, high = (
                        max(self.rooms[k][0] * 2 for k in (a, b)),
                        max(sum(self.rooms[k][1:]) for k in (a, b)),
                    )
                    raise DataError(
                        f"the positions put '{a}' and '{b}' on one another",
                        hint=f"a node needs about {wide:.0f} x {high:.0f} pixels; move one of them, or give positions "
                        "for all nodes",
                    )
        left = min(r[0] for r in rooms.values()) - 60
        top = min(r[1] for r in rooms.values()) - 40
        self.places = {k: (x - left, y - top) for k, (x, y) in places.items()}
        self.width = max(r[2] for r in rooms.values()) - left + 60
        self.height = max(r[3] for r in rooms.values()) - top + 40
        self.routes = {}

    # ---- lines -----------------------------------------------------------------------------------------------------

    def _paths(self) -> None:
        for path in self.network.paths:
            if path.source == path.target:
                continue
            points = self.routes.get((path.source, path.target))
            if points is None:
                points = self._connect(path)
            self._line(path, points)

    def _connect(self, line: PathEstimate) -> tuple[Point, ...]:
        ends = (line.source, line.target)
        bends = BENDS if self.layered or self.positions else (0.0,)  # in a ring straight lines meet no node
        bodies = self.page.bodies
        points, hits, _ = self.page.connect(bodies[line.source], bodies[line.target], ends, bends)
        self.conflicts += hits
        return points

    def _line(self, line: PathEstimate, points: tuple[Point, ...], *, thin: bool = False) -> None:
        """Draw one line with its heads and remember it for its label."""
        name = _key(line)
        colour, dash, width = self._pen(line)
        if thin:
            colour, dash, width = MUTED, (), 1.0
        about = self.about.get(id(line), ())
        drawn = tuple((float(x), float(y)) for x, y in dense(_shorten(points, line.kind, width), 16.0))
        self.shapes.append(Line(drawn, colour, width, dash, about, name))
        route = dense(points)
        back = min(3, len(route) - 1)
        self.shapes.append(
            head(points[-1], (float(route[-1 - back][0]), float(route[-1 - back][1])), colour, width, name)
        )
        if line.kind == "covariance":
            behind = (float(route[back][0]), float(route[back][1]))
            self.shapes.append(head(points[0], behind, colour, width, name))
        self.page.add_line(name, points)
        self.lines.append((line, name, points))

    def _pen(self, line: PathEstimate) -> tuple[str, tuple[float, ...], float]:
        if line.kind == "covariance":
            wide = 1.0 + 4.0 * min(1.0, abs(line.std)) if self.network.usable and math.isfinite(line.std) else 1.3
            return STYLES[""].colour, (), wide
        if self.look.style == "verdict":
            verdict = line.proposition.verdict if line.proposition and self.network.usable else ""
            self.used.append(verdict if verdict in STYLES else "")
            style = style_of(verdict)
            return style.colour, _dash(style.dash), style.width
        if self.look.style == "significance" and self.network.usable and not math.isnan(line.p):
            sure = line.p < self.look.alpha
            self.used.append("yes" if sure else "no")
            return INK, () if sure else _DASHED, 1.8 if sure else 1.3
        return INK, (), 1.5

    def _arc(self, arc: PathEstimate) -> None:
        """Draw a covariance as a thin curve on the left of the first layer."""
        upper, lower = sorted((arc.source, arc.target), key=lambda n: self.places[n][1])
        steps = _span(self.places, self.layers, arc)
        # long arcs leave above short ones, so that they do not cross at the nodes
        dy = self.size[1] * (0.30 - 0.13 * (steps - 1)) if steps < 3 else 0.0
        reach = max(self.rooms[n][0] for n, k in self.layers.items() if k == 0)
        x = self.places[upper][0]
        edge = x - reach if reach > self.size[0] / 2 else None
        if edge is None:
            points = self._bow_left(upper, lower, dy, steps)
        else:
            points = self._bulge(upper, lower, dy, (16 + 26 * (steps - 1)) * self.scale, -1, edge)
        self.arcs = True
        self._line(arc, points, thin=True)

    def _bow_left(self, upper: str, lower: str, dy: float, steps: int) -> tuple[Point, ...]:
        (xa, ya), (xb, yb) = self.places[upper], self.places[lower]
        w, h = self.size
        round_reach = w / 2 * math.sqrt(max(0.0, 1 - (dy / (h / 2)) ** 2))
        reach = {n: round_reach if n in self.latents else w / 2 for n in (upper, lower)}
        a, b = (xa - reach[upper], ya + dy), (xb - reach[lower], yb - dy)
        bulge = (min(a[0], b[0]) - (xa - w / 2)) + 4 / 3 * (16 + 26 * (steps - 1)) * self.scale
        points = []
        for k in range(33):
            t = k / 32
            s = 1 - t
            side = 3 * s * t * bulge
            points.append((s * a[0] + t * b[0] - side, (s**3 + 3 * s * s * t) * a[1] + (t**3 + 3 * s * t * t) * b[1]))
        return tuple(points)

    def _moderations(self) -> None:
        """Draw arrows that end on another arrow, where they get there with the fewest crossings."""
        for moderation in self.network.moderations:
            edge = next(
                points
                for line, _, points in self.lines
                if (line.source, line.target) == moderation.edge and line.kind != "moderation"
            )
            route = dense(edge)
            start = self.page.bodies[moderation.moderator]
            best: tuple[float, tuple[Point, ...], int] | None = None
            for t in (0.5, 0.45, 0.55, 0.4, 0.6, 0.35, 0.65, 0.3, 0.7):
                k = min(len(route) - 2, max(1, round(t * (len(route) - 1))))
                x, y = (float(v) for v in route[k])
                end = Body(x, y, 5.0, 5.0, True)
                points, hits, crossed = self.page.connect(start, end, (moderation.moderator,))
                if len(points) < 4:
                    continue
                along = (float(route[k + 1][0] - route[k - 1][0]), float(route[k + 1][1] - route[k - 1][1]))
                last = (points[-1][0] - points[-4][0], points[-1][1] - points[-4][1])
                lengths = (math.hypot(*along) * math.hypot(*last)) or 1.0
                slant = abs(along[0] * last[0] + along[1] * last[1]) / lengths
                cost = 1000.0 * hits + 25.0 * crossed + 20 * abs(t - 0.5) + 12 * slant
                if best is None or cost < best[0] - 1e-9:
                    best = cost, points, hits
            assert best is not None
            self.conflicts += best[2]
            self._line(moderation.estimate, best[1])

    def _free(self, covariances: Sequence[PathEstimate]) -> None:
        """Draw the other covariances where there is a clear way; the rest is listed under the diagram."""
        drawn = 0
        for c in covariances:
            points: tuple[Point, ...] | None = self.routes.get((c.source, c.target))
            if points is None and not self.layered and not self._column:
                points = self._connect(c)
            elif points is None and self.layered and drawn < _MAX_FREE:
                ends = (c.source, c.target)
                bodies = self.page.bodies
                way, hits, crossed = self.page.connect(bodies[c.source], bodies[c.target], ends)
                points = way if not hits and crossed <= 2 else None
                drawn += points is not None
            if points is None:
                self.hidden.append(c)
                continue
            self.arcs = self.arcs or self.layered
            self._line(c, points, thin=self.layered or self._column)
        self.hidden += self.network.item_covariances

    # ---- labels ----------------------------------------------------------------------------------------------------

    def _labels(self) -> None:
        """Put each label beside its line where it covers no node, no other line and no other label."""
        if not self.network.usable or self.look.label == "none":
            return
        if not self.layered and not self._column and len(self.lines) > _MAX_LABELS:
            return
        order = {"moderation": 0, "path": 1, "loading": 1, "covariance": 2}
        for line, name, points in sorted(self.lines, key=lambda entry: order[entry[0].kind]):
            rows, size = self._label(line)
            width = max(text_width(r, size, bold) for r, bold in rows) + 6
            high = size + 5.0
            box, covered = self.page.place_label(name, points, width, high * len(rows))
            self.conflicts += covered
            self.page.labels.append(box)
            colour = INK
            if self.look.style == "verdict" and line.kind != "covariance":
                colour = style_of(line.proposition.verdict if line.proposition else None).colour
                colour = INK if colour == STYLES[""].colour else colour
            for k, (text, bold) in enumerate(rows):
                y = box[1] + high * (k + 0.5)
                self.shapes.append(Words((box[0] + box[2]) / 2, y, text, size, colour, bold, plate=True, name=name))

    def _label(self, line: PathEstimate) -> tuple[list[tuple[str, bool]], float]:
        value = value_text(self.look, line.std, line.est)
        if line.kind == "covariance":
            return [(value, False)], 11.0
        bold = line.proposition is not None
        first = f"{clean(line.proposition.id)} {value}" if line.proposition else value
        if self.look.label == "stars":
            return [(first + stars(line.p), bold)], 12.5
        if self.look.label == "p":
            return [(first, bold), (p_phrase(line.p, glyphs=TYPESET), False)] if line.p == line.p else [
                (first, bold)
            ], 11.5
        # intervals of the raw coefficient are not in the estimate: they belong to the standardized one
        second = interval(line.ci_lower, line.ci_upper, bounded=True, glyphs=TYPESET)
        return [(first, bold), (second, False)], 11.5


def _key(line: PathEstimate) -> str:
    sign = {"path": "→", "loading": "=~", "covariance": "↔", "moderation": "⊸"}[line.kind]
    return f"{line.source} {sign} {line.target}"


def _shorten(points: tuple[Point, ...], kind: str, width: float) -> tuple[Point, ...]:
    """Let a thick line end inside its head, so that the tip stays sharp."""
    if width < 1.2 or len(points) < 3:
        return points
    cut = 0.6 * (7.5 + 1.2 * width)
    out = _cut(points, cut)
    return tuple(reversed(_cut(tuple(reversed(out)), cut))) if kind == "covariance" else out


def _cut(points: tuple[Point, ...], length: float) -> tuple[Point, ...]:
    rest = list(points)
    while len(rest) > 2:
        (ax, ay), (bx, by) = rest[-2:]
        step = math.hypot(bx - ax, by - ay)
        if step > length:
            share = length / step
            rest[-1] = (bx + (ax - bx) * share, by + (ay - by) * share)
            return tuple(rest)
        length -= step
        rest.pop()
    return tuple(rest)


def _span(places: Mapping[str, Point], layers: Mapping[str, int], arc: PathEstimate) -> int:
    """Return how many places in the first layer lie between the ends of an arc, at least 1."""
    column = sorted((places[n][1], n) for n, k in layers.items() if k == 0)
    place = {n: i for i, (_, n) in enumerate(column)}
    return abs(place[arc.source] - place[arc.target])


def _shift(layout: Layout, dx: float) -> Layout:
    return Layout(
        layout.width + dx,
        layout.height,
        {n: (x + dx, y) for n, (x, y) in layout.nodes.items()},
        layout.layers,
        {e: tuple((x + dx, y) for x, y in r) for e, r in layout.routes.items()},
    )
