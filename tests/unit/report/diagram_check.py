"""Geometry of a drawing, checked from its shapes alone: nothing covers anything else."""

from __future__ import annotations

import itertools
import math

from b2b_sem.report.network import Item, Moderation, Network, Node
from b2b_sem.report.shape import Drawing, Ellipse, Line, Rectangle, Words
from b2b_sem.report.structure import PathEstimate


def estimate(source, target, kind="path", std=0.345, p=0.001, proposition=None):
    return PathEstimate(source, target, kind, 2 * std, 0.1, p, std, std - 0.1, std + 0.1, proposition)


def network(nodes, paths=(), covariances=(), items=None, moderations=(), boxes=(), label="", names=None):
    """A network from names: `items` maps nodes to names of indicators, moderations are (moderator, source, target)."""
    ends = {b for _, b in paths}
    items = items or {}
    made = tuple(
        Node(
            n,
            (names or {}).get(n, ""),
            n not in boxes,
            0.25 if n in ends else None,
            estimate(n, n, "variance", 0.75) if n in ends and items else None,
            tuple(Item(i, estimate(n, i, "loading", 0.7), estimate(i, i, "variance", 0.51)) for i in items.get(n, ())),
        )
        for n in nodes
    )
    return Network(
        made,
        tuple(estimate(a, b) for a, b in paths),
        tuple(estimate(a, b, "covariance", 0.2) for a, b in covariances),
        tuple(Moderation(estimate(m, b, "moderation", 0.12), a) for m, a, b in moderations),
        (),
        True,
        label,
    )


def dense(points, step=2.0):
    out = [points[0]]
    for a, b in itertools.pairwise(points):
        count = max(1, math.ceil(math.dist(a, b) / step))
        out += [(a[0] + (b[0] - a[0]) * k / count, a[1] + (b[1] - a[1]) * k / count) for k in range(1, count + 1)]
    return out


def overlap(a, b, slack=0.0):
    return min(a[2], b[2]) - max(a[0], b[0]) > slack and min(a[3], b[3]) - max(a[1], b[1]) > slack


def inside(shape, point, share=0.96):
    across, down = abs(point[0] - shape.x) / (shape.width / 2), abs(point[1] - shape.y) / (shape.height / 2)
    return (math.hypot(across, down) if isinstance(shape, Ellipse) else max(across, down)) < share


def faults(drawing: Drawing) -> list[str]:
    """Return what covers what; empty for a clean drawing."""
    nodes = [s for s in drawing.shapes if isinstance(s, Ellipse | Rectangle)]
    names = {s.name for s in nodes}
    lines = [s for s in drawing.shapes if isinstance(s, Line)]
    words = [s for s in drawing.shapes if isinstance(s, Words)]
    labels = [w for w in words if w.name not in names]
    found = []
    for a, b in itertools.combinations(nodes, 2):
        if overlap(a.area, b.area):
            found.append(f"node {a.name} on node {b.name}")
    for a, b in itertools.combinations(labels, 2):
        if overlap(a.area, b.area) and not (a.name == b.name and abs(a.y - b.y) >= a.size):
            found.append(f"label {a.name} on label {b.name}")
    for label, node in itertools.product(labels, nodes):
        if overlap(label.area, node.area):
            found.append(f"label {label.name} on node {node.name}")
    for line in lines:
        points = dense(line.points)
        for node in nodes:
            if any(inside(node, p) for p in points):
                found.append(f"line {line.name} through node {node.name}")
        for label in labels:
            x0, y0, x1, y1 = label.area
            if label.name != line.name and any(x0 < x < x1 and y0 < y < y1 for x, y in points):
                found.append(f"line {line.name} through label {label.name}")
    for word in words:
        owner = next((n for n in nodes if n.name == word.name), None)
        if owner is not None and not (
            owner.area[0] <= word.area[0]
            and word.area[2] <= owner.area[2]
            and owner.area[1] <= word.area[1]
            and word.area[3] <= owner.area[3]
        ):
            found.append(f"words '{word.text}' leave node {word.name}")
    page = (-0.5, -0.5, drawing.width + 0.5, drawing.height + 0.5)
    for shape in [*words, *nodes]:
        a = shape.area
        if a[0] < page[0] or a[1] < page[1] or a[2] > page[2] or a[3] > page[3]:
            found.append(f"{shape.name} leaves the page")
    for line in lines:
        if any(not (page[0] <= x <= page[2] and page[1] <= y <= page[3]) for x, y in line.points):
            found.append(f"line {line.name} leaves the page")
    return found
