"""The path diagram: constructs in layers from left to right, arrows with coefficients, one line style per verdict."""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from b2b_sem.measures.notation import TYPESET, interval, number, p_phrase, stars
from b2b_sem.report.canvas import FONT, INK, MUTED, STYLES, Figure, style_of
from b2b_sem.report.layout import Layout, Point, lay_out, place_on_circle
from b2b_sem.report.structure import PathEstimate, exogenous_covariances, structural_paths
from b2b_sem.results.study import StudyResult
from b2b_sem.results.verdict import NOT_TESTABLE

__all__ = ["draw_path_diagram"]

_NODE = (124.0, 82.0)
_GAP = (74.0, 96.0)  # between two layers: least, and where there is room
_WIDTH = 1038.0  # what a window of 1280 pixels leaves beside the contents
_MAX_ARCS = 6  # correlations drawn beside the first layer
_MAX_LABELS = 15  # lines of a correlation diagram that carry their number

Box = tuple[float, float, float, float]


def draw_path_diagram(result: StudyResult) -> Figure:
    """Draw the structural part of the main model.

    Latent variables are ellipses, observed ones boxes. Arrows carry the proposition, the standardized coefficient and
    stars; intervals and tests show on hover. A model without directed paths is drawn as a ring of correlated
    constructs. A fit that failed is drawn without numbers.

    Parameters
    ----------
    result : StudyResult
        ``study["construct_names"]``, a mapping of code to name, labels the nodes when it is there.

    Returns
    -------
    Figure
        Fixed size in pixels; never an arrow through a node.
    """
    fit = result.fit
    names: Mapping[str, str] = result.study.get("construct_names") or {}
    paths = structural_paths(fit, result.verdicts)
    latents = fit.model.latents
    involved = dict.fromkeys([*latents, *(n for p in paths for n in (p.source, p.target))])
    if not paths and not latents:
        involved = dict.fromkeys(fit.model.observed)
    nodes = list(involved)
    covariances = [c for c in exogenous_covariances(fit, nodes) if c.est != 0]
    if paths:
        boxes = [n for n in nodes if n not in latents]
        layout, arcs = _lay_out(nodes, paths, boxes, covariances, _GAP[1])
        spare = _WIDTH - layout.width
        if spare < 0:
            places = max(layout.layers.values(), default=0)
            gap = max(_GAP[0], _GAP[1] + spare / max(places, 1))
            layout, arcs = _lay_out(nodes, paths, boxes, covariances, gap)
        lines = list(paths)
    else:
        pairs = [(c.source, c.target) for c in covariances]
        layout = place_on_circle(nodes, pairs, node_width=_NODE[0], node_height=_NODE[1], margin=(14, 14, 14, 40))
        arcs, lines = [], list(covariances)

    canvas = _Canvas(layout, fit.ok, set(latents))
    for name in nodes:
        canvas.add_node(name, names.get(name, ""), fit.r2.get(name))
    for line in lines:
        if line.source != line.target:
            canvas.add_line(line, layout.routes[line.source, line.target])
    for arc in arcs:
        canvas.add_arc(arc)
    canvas.add_labels(all_lines=bool(paths) or len(lines) <= _MAX_LABELS)
    canvas.add_legend()
    return Figure(
        name="path-diagram",
        title="Path diagram" if paths else "Correlated constructs",
        caption=_caption(result, bool(paths), covariances, arcs),
        alt=_describe(nodes, lines, fit.ok),
        plot=canvas.figure(),
        min_width=round(layout.width),
        fixed=True,
    )


def _lay_out(
    nodes: list[str], paths: Sequence[PathEstimate], boxes: list[str], covariances: Sequence[PathEstimate], gap: float
) -> tuple[Layout, list[PathEstimate]]:
    """Lay the paths out in layers, with room on the left for the correlations of the first one."""
    layout = lay_out(
        nodes,
        [(p.source, p.target) for p in paths],
        node_width=_NODE[0],
        node_height=_NODE[1],
        gap=gap,
        clearance=34,
        margin=(14, 14, 14, 52),
        boxes=boxes,
    )
    arcs = _choose_arcs(layout, covariances)
    return (_shift(layout, 26 + 26 * max(_span(layout, c) for c in arcs)) if arcs else layout), arcs


def _choose_arcs(layout: Layout, covariances: Sequence[PathEstimate]) -> list[PathEstimate]:
    """Return the covariances between nodes of the first layer, unless they are too many to read."""
    here = [c for c in covariances if layout.layers[c.source] == layout.layers[c.target] == 0]
    return here if len(here) <= _MAX_ARCS else []


def _span(layout: Layout, arc: PathEstimate) -> int:
    """Return how many places in the first layer lie between the ends of an arc, at least 1."""
    column = sorted((layout.nodes[n][1], n) for n, k in layout.layers.items() if k == 0)
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


class _Canvas:
    """Collects shapes, annotations and traces in pixel coordinates; y grows downwards."""

    def __init__(self, layout: Layout, usable: bool, latents: set[str]) -> None:
        self.latents = latents
        self.layout = layout
        self.usable = usable
        self.shapes: list[dict[str, Any]] = []
        self.texts: list[dict[str, Any]] = []
        self.traces: list[Any] = []
        self.boxes: list[Box] = []
        self.lines: list[tuple[PathEstimate, tuple[Point, ...]]] = []
        self.used: dict[str, None] = {}

    def add_node(self, code: str, name: str, r2: float | None) -> None:
        latent = code in self.latents
        x, y = self.layout.nodes[code]
        w, h = _NODE
        box = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
        self.boxes.append(box)
        self.shapes.append(
            {
                "type": "circle" if latent else "rect",
                "x0": box[0],
                "y0": box[1],
                "x1": box[2],
                "y1": box[3],
                "line": {"color": INK, "width": 1.5},
                "fillcolor": "#f6f8fb" if latent else "#ffffff",
                "layer": "above",
            }
        )
        shown = code if len(code) <= 14 else code[:13] + "…"
        parts = [f"<b>{html.escape(shown)}</b>"]
        if name:
            words = textwrap.wrap(name, 18)[: 3 if r2 is None else 2]
            parts += [f'<span style="font-size:10.5px">{html.escape(w)}</span>' for w in words]
        explained = r2 is not None and math.isfinite(r2) and self.usable
        if explained:
            parts.append(f'<span style="font-size:11px">R² = {number(r2, 2, bounded=True, glyphs=TYPESET)}</span>')
        self.texts.append(_text(x, y, "<br>".join(parts), size=13))
        hover = f"<b>{html.escape(code)}</b>" + (f"<br>{html.escape(name)}" if name else "")
        hover += "<br>latent variable" if latent else "<br>observed variable"
        if explained:
            hover += f"<br>R² = {number(r2, 3, bounded=True, glyphs=TYPESET)}"
        self.traces.append(
            go.Scatter(
                x=[x],
                y=[y],
                mode="markers",
                marker={"size": 56, "opacity": 0},
                text=[hover],
                hoverinfo="text",
                showlegend=False,
            )
        )

    def add_line(self, line: PathEstimate, points: tuple[Point, ...]) -> None:
        verdict = line.proposition.verdict if line.proposition and self.usable else ""
        style = style_of(verdict)
        if line.kind == "path":
            self.used[verdict if verdict in STYLES else ""] = None
        double = line.kind == "covariance"
        width = 1.0 + 4.0 * min(1.0, abs(line.std)) if double and self.usable else style.width
        self.lines.append((line, points))
        self._stroke(points, style.colour, style.dash, width, _hover(line, self.usable))
        self._head(points[-1], points[-3], style.colour, width)
        if double:
            self._head(points[0], points[2], style.colour, width)

    def add_arc(self, arc: PathEstimate) -> None:
        """Draw a covariance as a thin curve on the left of the first layer."""
        upper, lower = sorted((arc.source, arc.target), key=lambda n: self.layout.nodes[n][1])
        (xa, ya), (xb, yb) = self.layout.nodes[upper], self.layout.nodes[lower]
        steps = _span(self.layout, arc)
        w, h = _NODE
        # long arcs leave above short ones, so that they do not cross at the nodes
        dy = h * (0.30 - 0.13 * (steps - 1)) if steps < 3 else 0.0
        round_reach = w / 2 * math.sqrt(max(0.0, 1 - (dy / (h / 2)) ** 2))
        reach = {n: round_reach if n in self.latents else w / 2 for n in (upper, lower)}
        a, b = (xa - reach[upper], ya + dy), (xb - reach[lower], yb - dy)
        bulge = (min(a[0], b[0]) - (xa - w / 2)) + 4 / 3 * (16 + 26 * (steps - 1))
        points = []
        for k in range(33):
            t = k / 32
            s = 1 - t
            side = 3 * s * t * bulge
            points.append((s * a[0] + t * b[0] - side, (s**3 + 3 * s * s * t) * a[1] + (t**3 + 3 * s * t * t) * b[1]))
        self.lines.append((arc, tuple(points)))
        self._stroke(tuple(points), MUTED, "solid", 1.0, _hover(arc, self.usable))
        self._head(points[0], points[3], MUTED, 0.8)
        self._head(points[-1], points[-4], MUTED, 0.8)

    def add_labels(self, *, all_lines: bool) -> None:
        """Put each label beside its line where it covers no node, no other line and no other label."""
        if not self.usable:
            return
        placed: list[Box] = []
        for line, points in sorted(self.lines, key=lambda item: item[0].kind != "path"):
            if line.kind == "covariance" and not all_lines:
                continue
            text, size = _label(line)
            w, h = 0.58 * size * len(text) + 8, size + 6.0
            box = self._free_place(points, w, h, placed, line)
            placed.append(box)
            bold = line.kind == "path" and line.proposition is not None
            colour = style_of(line.proposition.verdict if line.proposition else None).colour
            self.texts.append(
                _text(
                    (box[0] + box[2]) / 2,
                    (box[1] + box[3]) / 2,
                    f"<b>{html.escape(text)}</b>" if bold else html.escape(text),
                    size=size,
                    colour=INK if colour == STYLES[""].colour else colour,
                    background="rgba(255,255,255,0.92)",
                )
            )

    def _free_place(self, points: tuple[Point, ...], w: float, h: float, placed: list[Box], line: PathEstimate) -> Box:
        others = [p for other, route in self.lines if other is not line for p in route]
        best: tuple[float, Box] | None = None
        for t in (0.5, 0.44, 0.56, 0.38, 0.62, 0.32, 0.68, 0.26, 0.74, 0.2, 0.8, 0.14, 0.86):
            k = min(len(points) - 2, max(1, round(t * (len(points) - 1))))
            x, y = points[k]
            dx, dy = points[k + 1][0] - points[k - 1][0], points[k + 1][1] - points[k - 1][1]
            length = math.hypot(dx, dy) or 1.0
            nx, ny = dy / length, -dx / length
            if ny > 0 or (ny == 0 and nx > 0):
                nx, ny = -nx, -ny  # first choice: above the line
            for side in (1, -1):
                away = abs(nx) * w / 2 + abs(ny) * h / 2 + 3
                cx, cy = x + side * nx * away, y + side * ny * away
                box = (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)
                cost = abs(t - 0.5) * 20 + (side < 0) * 1.5
                cost += 60 * sum(_overlap(box, b) > 0 for b in placed) + 30 * sum(
                    _overlap(box, b) > 0 for b in self.boxes
                )
                cost += 8 * sum(_inside(p, box) for p in others) + 4 * sum(_inside(p, box) for p in points)
                cost += 100 * (box[0] < 0 or box[1] < 0 or box[2] > self.layout.width)
                if best is None or cost < best[0] - 1e-9:
                    best = (cost, box)
        assert best is not None
        return best[1]

    def add_legend(self) -> None:
        """Explain the line styles in one row below the diagram."""
        y = self.layout.height - 18
        x = 16.0
        if not self.usable or set(self.used) <= {""}:  # nothing to tell apart
            return
        for key in [k for k in STYLES if k in self.used]:
            style = STYLES[key]
            self._stroke(((x, y), (x + 34, y)), style.colour, style.dash, style.width, "")
            self.texts.append(_text(x + 40, y, style.word, size=12, anchor="left"))
            x += 40 + 7.2 * len(style.word) + 26

    def figure(self) -> Any:
        width, height = self.layout.width, self.layout.height
        hidden = {"visible": False, "fixedrange": True}
        layout = {
            "width": round(width),
            "height": round(height),
            "margin": {"l": 0, "r": 0, "t": 0, "b": 0},
            "xaxis": {**hidden, "range": [0, round(width)]},
            "yaxis": {**hidden, "range": [round(height), 0]},
            "shapes": self.shapes,
            "annotations": self.texts,
            "font": {"family": FONT, "size": 12, "color": INK},
            "hoverlabel": {"align": "left", "bgcolor": "#ffffff", "font": {"size": 12, "color": INK}},
            "hovermode": "closest",
            "showlegend": False,
            "paper_bgcolor": "#ffffff",
            "plot_bgcolor": "#ffffff",
            "dragmode": False,
        }
        return go.Figure(data=self.traces, layout=layout)

    def _stroke(self, points: Sequence[Point], colour: str, dash: str, width: float, hover: str) -> None:
        self.traces.append(
            go.Scatter(
                x=[round(p[0], 2) for p in points],
                y=[round(p[1], 2) for p in points],
                mode="lines",
                line={"color": colour, "width": width, "dash": dash},
                text=hover or None,
                hoverinfo="text" if hover else "skip",
                showlegend=False,
            )
        )

    def _head(self, tip: Point, behind: Point, colour: str, width: float) -> None:
        dx, dy = tip[0] - behind[0], tip[1] - behind[1]
        length = math.hypot(dx, dy) or 1.0
        dx, dy = dx / length, dy / length
        size = 7.5 + 1.2 * width
        base = (tip[0] - size * dx, tip[1] - size * dy)
        half = 0.42 * size
        corners = [tip, (base[0] - half * dy, base[1] + half * dx), (base[0] + half * dy, base[1] - half * dx)]
        path = "M " + " L ".join(f"{px:.2f},{py:.2f}" for px, py in corners) + " Z"
        self.shapes.append({"type": "path", "path": path, "fillcolor": colour, "line": {"width": 0}, "layer": "above"})


def _text(
    x: float,
    y: float,
    text: str,
    *,
    size: float,
    colour: str = INK,
    background: str | None = None,
    anchor: str = "center",
) -> dict[str, Any]:
    out = {
        "x": round(x, 2),
        "y": round(y, 2),
        "text": text,
        "showarrow": False,
        "font": {"size": size, "color": colour, "family": FONT},
        "xanchor": anchor,
        "yanchor": "middle",
        "align": "center",
        "borderpad": 1,
    }
    if background:
        out["bgcolor"] = background
    return out


def _overlap(a: Box, b: Box) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def _inside(p: Point, box: Box) -> bool:
    return box[0] - 2 < p[0] < box[2] + 2 and box[1] - 2 < p[1] < box[3] + 2


def _label(line: PathEstimate) -> tuple[str, float]:
    value = number(line.std, 2, bounded=True, glyphs=TYPESET)
    if line.kind == "covariance":
        return value, 11.0
    mark = stars(line.p)
    head = f"{line.proposition.id} " if line.proposition else ""
    return f"{head}{value}{mark}", 12.5


def _hover(line: PathEstimate, usable: bool) -> str:
    arrow = {"path": "→", "loading": "→", "covariance": "↔"}[line.kind]
    title = f"<b>{html.escape(line.source)} {arrow} {html.escape(line.target)}</b>"
    if line.proposition:
        title = f"<b>{html.escape(line.proposition.id)}:</b> {title}"
    if not usable:
        return title + "<br>no numbers: the fit failed"
    rows = [
        title,
        f"standardized {number(line.std, 3, bounded=True, glyphs=TYPESET)} "
        f"{interval(line.ci_lower, line.ci_upper, 3, bounded=True, glyphs=TYPESET)}",
        f"estimate {number(line.est, 3, glyphs=TYPESET)}, SE {number(line.se, 3, glyphs=TYPESET)}, "
        f"{p_phrase(line.pvalue, glyphs=TYPESET)}",
    ]
    v = line.proposition
    if v:
        if v.adjustment != "none" and v.verdict != NOT_TESTABLE:
            rows.append(f"adjusted {p_phrase(v.p_adjusted, glyphs=TYPESET)}")
        rows.append(f"<b>{html.escape(v.verdict)}</b>")
        rows += [html.escape(part) for part in textwrap.wrap(v.statement, 60)]
    # plotly reads < in hover text as markup
    return "<br>".join(r.replace("p < ", "p &lt; ") for r in rows)


def _caption(
    result: StudyResult, directed: bool, covariances: Sequence[PathEstimate], arcs: Sequence[PathEstimate]
) -> str:
    fit = result.fit
    if not fit.ok:
        return f"Structure only: {fit.failure}, so no coefficient is shown."
    if not directed:
        return "Lines: correlations; the thicker, the stronger. All values are in the table of correlations."
    parts = ["Standardized coefficients"]
    adjusted = any(v.adjustment != "none" for v in result.verdicts)
    parts[0] += "; stars rest on the adjusted p of each proposition:" if adjusted else ":"
    parts[0] += " * p < .05, ** p < .01, *** p < .001."
    if arcs:
        parts.append("Thin double arrows: correlations of the predictors.")
    hidden = [c for c in covariances if c not in arcs]
    if hidden and len(hidden) <= 4:
        shown = ", ".join(f"{c.source} ↔ {c.target} {number(c.std, 2, bounded=True, glyphs=TYPESET)}" for c in hidden)
        parts.append(f"Not drawn: {shown} (correlated residuals or predictors).")
    elif hidden:
        parts.append(f"Not drawn: {len(hidden)} correlations, listed in the table of all parameters.")
    untested = [v.id for v in result.verdicts if v.verdict == NOT_TESTABLE]
    if untested:
        parts.append(f"Not testable here: {', '.join(untested)}.")
    if fit.parameters["group"].nunique() > 1:
        parts.append("First group only.")
    return " ".join(parts)


def _describe(nodes: Sequence[str], lines: Iterable[PathEstimate], usable: bool) -> str:
    def one(p: PathEstimate) -> str:
        joint = " with " if p.kind == "covariance" else " to "
        return f"{p.source}{joint}{p.target}" + (f" {number(p.std, 2, bounded=True)}" if usable else "")

    return f"Path diagram of {', '.join(nodes)}. Paths: " + "; ".join(one(p) for p in lines) + "."
