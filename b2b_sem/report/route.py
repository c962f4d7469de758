"""Arrows between any two places, and labels beside them: both look for the way that covers least.

Used where the layers of :mod:`b2b_sem.report.layout` do not say how a line runs: arrows that end on another arrow,
covariances, nodes placed by hand. Everything is deterministic.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from b2b_sem.report.shape import Area, Point

__all__ = ["BENDS", "Body", "Field", "box_of", "dense", "overlap"]

_STEPS = 56
BENDS = (0.0, 0.12, -0.12, 0.25, -0.25, 0.4, -0.4, 0.6, -0.6, 0.85, -0.85, 1.2, -1.2)
_PLACES = (0.5, 0.45, 0.55, 0.4, 0.6, 0.35, 0.65, 0.3, 0.7, 0.25, 0.75, 0.2, 0.8, 0.15, 0.85, 0.1, 0.9)
_AIR = 6.0  # pixels between a line and a node that it passes
_PAD = 1.5  # pixels around a label


@dataclass(frozen=True)
class Body:
    """A node, a box or a point where a line may start or end."""

    x: float
    y: float
    width: float = 0.0
    height: float = 0.0
    round: bool = False

    @property
    def area(self) -> Area:
        """The box around it."""
        return self.x - self.width / 2, self.y - self.height / 2, self.x + self.width / 2, self.y + self.height / 2

    def holds(self, p: Point, air: float = 0.0) -> bool:
        """Tell whether a point lies inside, or closer than `air`."""
        a, b = self.width / 2 + air, self.height / 2 + air
        if a <= 0 or b <= 0:
            return False
        dx, dy = abs(p[0] - self.x) / a, abs(p[1] - self.y) / b
        return dx * dx + dy * dy < 1 if self.round else max(dx, dy) < 1


def box_of(x: float, y: float, width: float, height: float) -> Area:
    """Return the box of this size around a point."""
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def dense(points: Sequence[Point], step: float = 4.0) -> np.ndarray:
    """Return a polyline as an (n, 2) array of points at most `step` apart."""
    out: list[Point] = [points[0]]
    for a, b in itertools.pairwise(points):
        count = max(1, math.ceil(math.hypot(b[0] - a[0], b[1] - a[1]) / step))
        out += [(a[0] + (b[0] - a[0]) * k / count, a[1] + (b[1] - a[1]) * k / count) for k in range(1, count + 1)]
    return np.array(out)


def overlap(a: Area, b: Area) -> bool:
    """Tell whether two boxes overlap."""
    return min(a[2], b[2]) > max(a[0], b[0]) and min(a[3], b[3]) > max(a[1], b[1])


@dataclass
class Field:
    """What is on the page so far."""

    bodies: dict[str, Body] = field(default_factory=dict)
    walls: list[Area] = field(default_factory=list)  # areas that no free line and no label may cover
    lines: dict[str, np.ndarray] = field(default_factory=dict)
    labels: list[Area] = field(default_factory=list)
    size: tuple[float, float] = (math.inf, math.inf)

    def add_line(self, key: str, points: Sequence[Point]) -> None:
        """Remember a line."""
        self.lines[key] = dense(points)

    def hits(self, points: np.ndarray, skip: Sequence[str]) -> int:
        """Count nodes, walls and labels that a line runs through; of nodes in `skip` only the inside counts."""
        inner, count = points[1:-1], 0
        for name, body in self.bodies.items():
            air = -2.0 if name in skip else _AIR
            across = np.abs(inner[:, 0] - body.x) / max(body.width / 2 + air, 1e-9)
            down = np.abs(inner[:, 1] - body.y) / max(body.height / 2 + air, 1e-9)
            count += bool(((across**2 + down**2 if body.round else np.maximum(across, down)) < 1).any())
        for wall in (*self.walls, *self.labels):
            inside = (points[:, 0] > wall[0]) & (points[:, 0] < wall[2])
            count += bool((inside & (points[:, 1] > wall[1]) & (points[:, 1] < wall[3])).any())
        return count

    def connect(
        self, start: Body, end: Body, skip: Sequence[str], bends: Sequence[float] = BENDS
    ) -> tuple[tuple[Point, ...], int, int]:
        """Return a line from the border of one body to that of another, with the nodes it hits and lines it crosses."""
        best: tuple[float, tuple[Point, ...], int, int] | None = None
        length = math.hypot(end.x - start.x, end.y - start.y) or 1.0
        nx, ny = -(end.y - start.y) / length, (end.x - start.x) / length
        for bend in bends:
            mid = ((start.x + end.x) / 2 + nx * bend * length, (start.y + end.y) / 2 + ny * bend * length)
            points = _bow(start, mid, end)
            if len(points) < 4:
                continue
            route = dense(points)
            hit = self.hits(route, skip)
            outside = bool((route < 4).any() or (route > np.array(self.size) - 4).any())
            crossed = self.crossings(route)
            cost = 1000.0 * hit + 400.0 * outside + 25.0 * crossed + 60.0 * abs(bend)
            if best is None or cost < best[0] - 1e-9:
                best = (cost, points, hit + outside, crossed)
        if best is None:  # the two bodies lie on one another
            return ((start.x, start.y), (end.x, end.y)), 1, 0
        return best[1:]

    def crossings(self, route: np.ndarray) -> int:
        """Count the lines that come closer than three pixels to the inner part of a line."""
        inner = route[4:-4] if len(route) > 12 else route
        low, high = inner.min(axis=0) - 3, inner.max(axis=0) + 3
        count = 0
        for other in self.lines.values():
            near = other[((other > low) & (other < high)).all(axis=1)]
            count += bool((np.abs(inner[:, None, :] - near[None, :, :]).max(axis=2) < 3.0).any())
        return count

    def place_label(self, key: str, points: Sequence[Point], width: float, height: float) -> tuple[Area, int]:
        """Return the box of a label beside its line, or on it, and how many other things it covers there."""
        own = dense(points)
        others = [line for name, line in self.lines.items() if name != key]
        rest = np.concatenate(others) if others else np.empty((0, 2))
        best: tuple[float, Area, int] | None = None
        for t in _PLACES:
            k = min(len(own) - 2, max(1, round(t * (len(own) - 1))))
            (x, y), (dx, dy) = own[k], own[k + 1] - own[k - 1]
            length = math.hypot(dx, dy) or 1.0
            nx, ny = dy / length, -dx / length
            if ny > 0 or (ny == 0 and nx > 0):
                nx, ny = -nx, -ny  # first choice: above the line
            away = abs(nx) * width / 2 + abs(ny) * height / 2 + 3
            for side in (1, -1, 0):
                box = box_of(float(x) + side * nx * away, float(y) + side * ny * away, width, height)
                covered = self.covered(box, rest)
                cost = abs(t - 0.5) * 20 + (0, 1.5, 6)[(1, -1, 0).index(side)] + 60.0 * covered
                if side:
                    cost += 4.0 * int(_within(own, box).sum())
                if best is None or cost < best[0] - 1e-9:
                    best = (cost, box, covered)
        assert best is not None
        return best[1], best[2]

    def covered(self, box: Area, rest: np.ndarray) -> int:
        """Count labels, nodes, walls, foreign lines and borders of the page that a box touches."""
        wide = (box[0] - _PAD, box[1] - _PAD, box[2] + _PAD, box[3] + _PAD)
        count = sum(overlap(wide, other) for other in (*self.labels, *self.walls))
        count += sum(overlap(wide, body.area) for body in self.bodies.values())
        count += bool(_within(rest, wide).any())
        return count + (box[0] < 0 or box[1] < 0 or box[2] > self.size[0] or box[3] > self.size[1])


def _within(points: np.ndarray, box: Area) -> np.ndarray:
    x, y = points[:, 0], points[:, 1]
    return (x > box[0]) & (x < box[2]) & (y > box[1]) & (y < box[3])


def _bow(start: Body, middle: Point, end: Body) -> tuple[Point, ...]:
    """Return a quadratic curve between two bodies, cut where it leaves the first and enters the second."""

    def at(t: float) -> Point:
        s = 1 - t
        return (
            s * s * start.x + 2 * s * t * middle[0] + t * t * end.x,
            s * s * start.y + 2 * s * t * middle[1] + t * t * end.y,
        )

    leave = max((k for k in range(_STEPS + 1) if start.holds(at(k / _STEPS))), default=-1)
    enter = min((k for k in range(_STEPS + 1) if k > leave and end.holds(at(k / _STEPS))), default=_STEPS + 1)
    first = _border(at, start, leave / _STEPS, (leave + 1) / _STEPS) if leave >= 0 else 0.0
    last = _border(at, end, enter / _STEPS, (enter - 1) / _STEPS) if enter <= _STEPS else 1.0
    if last <= first:
        return ()
    return tuple(at(first + (last - first) * k / _STEPS) for k in range(_STEPS + 1))


def _border(at: Callable[[float], Point], body: Body, inside: float, outside: float) -> float:
    """Return where a curve crosses the border of a body, by bisection."""
    for _ in range(30):
        middle = (inside + outside) / 2
        if body.holds(at(middle)):
            inside = middle
        else:
            outside = middle
    return outside
