"""Where the nodes of a path diagram stand and how its arrows run: layers from left to right, in pixels.

Layered drawing after Sugiyama, Tagawa & Toda (1981, doi:10.1109/TSMC.1981.4308636): a node stands one layer right of
the last of its predecessors; an arrow over several layers gets a place of its own in each layer it crosses, so that
it never runs through a node; the order within layers follows the medians of the neighbours. Everything is
deterministic: the same model gives the same picture.
"""

from __future__ import annotations

import graphlib
import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Layout", "Point", "lay_out", "place_on_circle"]

Point = tuple[float, float]
_SWEEPS = 12
_LANE = 20.0  # height kept free for an arrow that crosses a layer


@dataclass(frozen=True)
class Layout:
    """A drawing plan; y grows downwards.

    Attributes
    ----------
    width, height : float
        Pixels.
    nodes : mapping of str to (x, y)
        Centres.
    layers : mapping of str to int
        Layer of each node, 0 at the left.
    routes : mapping of (source, target) to tuple of points
        Each arrow as a dense line from the border of its source to the border of its target.
    """

    width: float
    height: float
    nodes: Mapping[str, Point]
    layers: Mapping[str, int]
    routes: Mapping[tuple[str, str], tuple[Point, ...]]


def lay_out(
    nodes: Sequence[str],
    edges: Sequence[tuple[str, str]],
    *,
    node_width: float,
    node_height: float,
    gap: float,
    clearance: float,
    margin: tuple[float, float, float, float],
    boxes: Collection[str] = (),
    rooms: Mapping[str, tuple[float, float, float]] | None = None,
    late: Collection[str] = (),
    lane_height: float = _LANE,
) -> Layout:
    """Place nodes in layers and route arrows around them.

    Parameters
    ----------
    nodes : sequence of str
        In model order, which breaks all ties.
    edges : sequence of (source, target)
        May contain cycles; loops from a node to itself are left out.
    node_width, node_height : float
        Size of the ellipse or box of a node.
    gap, clearance : float
        Horizontal space between layers, vertical space between neighbours in a layer.
    margin : (left, top, right, bottom)
    boxes : collection of str
        Nodes drawn as rectangles; all others are ellipses.
    rooms : mapping of str to (half the width, above, below), optional
        Space around the centre of nodes that need more than their own size. Arrows leave and enter such a room level.
    late : collection of str
        Nodes that stand as close to the nodes they lead to as they can.
    lane_height : float
        Height kept free for an arrow that crosses a layer.
    """
    edges = [e for e in dict.fromkeys(edges) if e[0] != e[1]]
    forward = {e: (e[1], e[0]) if back else e for e, back in _feedback(nodes, edges).items()}
    rank = _ranks(nodes, list(forward.values()))
    for name in late:
        ahead = [rank[b] for a, b in forward.values() if a == name]
        rank[name] = min(ahead) - 1 if ahead else rank[name]

    # an arrow over several layers becomes a chain of lanes, one per layer crossed
    chains: dict[tuple[str, str], list[str]] = {}
    layer_of: dict[str, int] = dict(rank)
    for edge, (source, target) in forward.items():
        lanes = [f"\0{edge[0]}\0{edge[1]}\0{k}" for k in range(rank[source] + 1, rank[target])]
        for k, lane in enumerate(lanes, rank[source] + 1):
            layer_of[lane] = k
        chains[edge] = [source, *lanes, target]
    links = list(dict.fromkeys(pair for chain in chains.values() for pair in itertools.pairwise(chain)))
    layers: list[list[str]] = [[] for _ in range(max(layer_of.values(), default=0) + 1)]
    for name, k in layer_of.items():
        layers[k].append(name)
    layers = _order(layers, links)

    given = dict.fromkeys(nodes, (node_width / 2, node_height / 2, node_height / 2)) | dict(rooms or {})
    room = {n: (given[n][1] + clearance / 2, given[n][2] + clearance / 2) for n in nodes}
    room |= dict.fromkeys((n for n in layer_of if "\0" in n), (lane_height / 2, lane_height / 2))
    y = _heights(layers, links, room)
    left, top, right, bottom = margin
    spare = {n: lane_height / 2 if "\0" in n else clearance / 2 for n in y}
    lowest = min((y[n] - room[n][0] + spare[n] for n in y), default=0.0)
    reach = [max((given[n][0] for n in layer if n in given), default=node_width / 2) for layer in layers]
    centre, right_end = [], left
    for half in reach:
        centre.append(right_end + half)
        right_end += 2 * half + gap
    x = {n: centre[k] for n, k in layer_of.items()}
    y = {n: v - lowest + top for n, v in y.items()}
    deepest = max((y[n] + room[n][1] - spare[n] for n in y), default=top)
    halves = {n: reach[k] for n, k in layer_of.items()}
    routes = _route(chains, forward, x, y, halves, node_width, node_height, boxes)
    return Layout(
        width=right_end - gap + right,
        height=deepest + bottom,
        nodes={n: (x[n], y[n]) for n in nodes},
        layers={n: rank[n] for n in nodes},
        routes=routes,
    )


def place_on_circle(
    nodes: Sequence[str],
    pairs: Sequence[tuple[str, str]],
    *,
    node_width: float,
    node_height: float,
    margin: tuple[float, float, float, float],
) -> Layout:
    """Place nodes on an ellipse, for models without directed paths; lines run straight between borders."""
    count = max(len(nodes), 1)
    left, top, right, bottom = margin
    # wide enough that neighbours keep their distance
    radius = 0.0 if count == 1 else max(150.0, node_height * 1.5 / (2 * math.sin(math.pi / count)))
    across = 0.0 if count == 1 else max(radius * 1.6, node_width * 1.3)
    centre = (left + across + node_width / 2, top + radius + node_height / 2)
    angle = [2 * math.pi * k / count - math.pi / 2 for k in range(count)]
    place = {
        n: (centre[0] + across * math.cos(a), centre[1] + radius * math.sin(a))
        for n, a in zip(nodes, angle, strict=False)
    }
    routes = {}
    for a, b in pairs:
        start = _border(place[a], place[b], node_width, node_height)
        end = _border(place[b], place[a], node_width, node_height)
        routes[a, b] = tuple(_mix(start, end, t / 24) for t in range(25))
    return Layout(2 * centre[0] - left + right, 2 * centre[1] - top + bottom, place, dict.fromkeys(nodes, 0), routes)


def _mix(a: Point, b: Point, t: float) -> Point:
    return a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t


def _border(centre: Point, towards: Point, width: float, height: float) -> Point:
    """Return where the line from `centre` to `towards` leaves the ellipse around `centre`."""
    dx, dy = towards[0] - centre[0], towards[1] - centre[1]
    scale = math.hypot(dx / (width / 2), dy / (height / 2)) or 1.0
    return centre[0] + dx / scale, centre[1] + dy / scale


def _feedback(nodes: Sequence[str], edges: Sequence[tuple[str, str]]) -> dict[tuple[str, str], bool]:
    """Return for each edge whether it closes a cycle (depth-first search in model order, sources first)."""
    targets: dict[str, list[str]] = {n: [] for n in nodes}
    incoming = dict.fromkeys(nodes, 0)
    for source, target in edges:
        targets[source].append(target)
        incoming[target] += 1
    back = dict.fromkeys(edges, False)
    state: dict[str, int] = {}
    for root in sorted(nodes, key=lambda n: incoming[n] > 0):  # stable: model order within both kinds
        if root in state:
            continue
        state[root] = 1
        stack = [(root, iter(targets[root]))]
        while stack:
            name, rest = stack[-1]
            for target in rest:
                if state.get(target) == 1:
                    back[name, target] = True
                elif target not in state:
                    state[target] = 1
                    stack.append((target, iter(targets[target])))
                    break
            else:
                state[name] = 2
                stack.pop()
    return back


def _ranks(nodes: Sequence[str], edges: Sequence[tuple[str, str]]) -> dict[str, int]:
    before: dict[str, list[str]] = {n: [] for n in nodes}
    for source, target in edges:
        before[target].append(source)
    rank: dict[str, int] = {}
    for name in graphlib.TopologicalSorter(before).static_order():
        rank[name] = 1 + max((rank[p] for p in before[name]), default=-1)
    return {n: rank[n] for n in nodes}


def _order(layers: list[list[str]], links: list[tuple[str, str]]) -> list[list[str]]:
    """Order each layer by the medians of its neighbours, keep the order with the fewest crossings."""
    before: dict[str, list[str]] = {}
    after: dict[str, list[str]] = {}
    for a, b in links:
        after.setdefault(a, []).append(b)
        before.setdefault(b, []).append(a)
    best, fewest = [list(layer) for layer in layers], _crossings(layers, links)
    current = [list(layer) for layer in layers]
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        neighbours = before if down else after
        for k in range(1, len(current)) if down else range(len(current) - 2, -1, -1):
            place = {n: i for i, n in enumerate(current[k - 1 if down else k + 1])}
            here = {n: i for i, n in enumerate(current[k])}
            near = {n: sorted(place[m] for m in neighbours.get(n, ()) if m in place) for n in current[k]}
            current[k].sort(key=lambda n: (_median(near[n], here[n]), here[n]))
        _transpose(current, links)
        crossings = _crossings(current, links)
        if crossings < fewest:
            best, fewest = [list(layer) for layer in current], crossings
    return best


def _median(values: list[int], default: float) -> float:
    if not values:
        return default
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


def _transpose(layers: list[list[str]], links: list[tuple[str, str]]) -> None:
    """Swap neighbours as long as that removes crossings."""
    count, improved = _crossings(layers, links), True
    while improved and count:
        improved = False
        for layer in layers:
            for i in range(len(layer) - 1):
                layer[i], layer[i + 1] = layer[i + 1], layer[i]
                swapped = _crossings(layers, links)
                if swapped < count:
                    count, improved = swapped, True
                else:
                    layer[i], layer[i + 1] = layer[i + 1], layer[i]


def _crossings(layers: list[list[str]], links: list[tuple[str, str]]) -> int:
    place = {n: (k, i) for k, layer in enumerate(layers) for i, n in enumerate(layer)}
    total = 0
    by_layer: dict[int, list[tuple[int, int]]] = {}
    for a, b in links:
        by_layer.setdefault(place[a][0], []).append((place[a][1], place[b][1]))
    for pairs in by_layer.values():
        total += sum((p[0] - q[0]) * (p[1] - q[1]) < 0 for p, q in itertools.combinations(pairs, 2))
    return total


def _heights(
    layers: list[list[str]], links: list[tuple[str, str]], room: dict[str, tuple[float, float]]
) -> dict[str, float]:
    """Pull every node to the mean height of its neighbours, keeping order and distances."""
    y: dict[str, float] = {}
    for layer in layers:
        edge = 0.0
        for n in layer:
            y[n] = edge + room[n][0]
            edge += sum(room[n])
        for n in layer:
            y[n] -= edge / 2  # layers are centred on one another to begin with
    beside: dict[str, list[str]] = {}
    for a, b in links:
        # straight lanes matter most
        weight = 3 if "\0" in a and "\0" in b else 1
        beside.setdefault(a, []).extend([b] * weight)
        beside.setdefault(b, []).extend([a] * weight)
    order = [*range(len(layers)), *range(len(layers) - 2, -1, -1)]
    for k in order * (_SWEEPS // 2):
        layer = layers[k]
        wanted = [sum(y[m] for m in beside[n]) / len(beside[n]) if n in beside else y[n] for n in layer]
        y.update(zip(layer, _separate(wanted, [room[n] for n in layer]), strict=True))
    return y


def _separate(wanted: list[float], room: list[tuple[float, float]]) -> list[float]:
    """Return positions closest to `wanted` (least squares) that keep order and distances: pool adjacent violators."""
    offset = [0.0]
    for (_, below), (above, _) in itertools.pairwise(room):
        offset.append(offset[-1] + below + above)
    blocks: list[tuple[float, int]] = []  # mean, length
    for value, shift in zip(wanted, offset, strict=False):
        blocks.append((value - shift, 1))
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            (a, m), (b, n) = blocks[-2:]
            blocks[-2:] = [((a * m + b * n) / (m + n), m + n)]
    flat = [mean for mean, length in blocks for _ in range(length)]
    return [mean + shift for mean, shift in zip(flat, offset, strict=False)]


def _route(
    chains: Mapping[tuple[str, str], list[str]],
    forward: Mapping[tuple[str, str], tuple[str, str]],
    x: Mapping[str, float],
    y: Mapping[str, float],
    halves: Mapping[str, float],
    width: float,
    height: float,
    boxes: Collection[str],
) -> dict[tuple[str, str], tuple[Point, ...]]:
    """Draw each chain: horizontal through the layers it crosses, curved in the gaps between layers."""
    # arrows that meet at one side of a node get ports of their own, in the order of where they come from
    sides: dict[tuple[str, int], list[tuple[float, tuple[str, str]]]] = {}
    for edge, chain in chains.items():
        sides.setdefault((chain[0], 1), []).append((y[chain[1]], edge))
        sides.setdefault((chain[-1], -1), []).append((y[chain[-2]], edge))
    port: dict[tuple[str, int, tuple[str, str]], Point] = {}
    for (name, side), users in sides.items():
        step = min(16.0, 0.7 * height / len(users))
        for k, (_, edge) in enumerate(sorted(users)):
            dy = (k - (len(users) - 1) / 2) * step
            reach = 1.0 if name in boxes else math.sqrt(max(0.0, 1 - (dy / (height / 2)) ** 2))
            port[name, side, edge] = (x[name] + side * width / 2 * reach, y[name] + dy)
    routes = {}
    for edge, chain in chains.items():
        points: list[Point] = [port[chain[0], 1, edge]]
        if halves[chain[0]] > width / 2:  # level to the border of a wide layer
            points.append((x[chain[0]] + halves[chain[0]], points[0][1]))
        for lane in chain[1:-1]:
            entry, leave = (x[lane] - halves[lane], y[lane]), (x[lane] + halves[lane], y[lane])
            points += [*_curve(points[-1], entry), leave]
        end = port[chain[-1], -1, edge]
        if halves[chain[-1]] > width / 2:
            points += [*_curve(points[-1], (x[chain[-1]] - halves[chain[-1]], end[1])), end]
        else:
            points += _curve(points[-1], end)
        routes[edge] = tuple(points if forward[edge] == edge else reversed(points))
    return routes


def _curve(a: Point, b: Point, steps: int = 24) -> list[Point]:
    """Return a cubic curve from `a` (left out) to `b`, horizontal at both ends."""
    pull = 0.5 * (b[0] - a[0])
    out = []
    for k in range(1, steps + 1):
        t = k / steps
        s = 1 - t
        out.append(
            (
                s**3 * a[0] + 3 * s * s * t * (a[0] + pull) + 3 * s * t * t * (b[0] - pull) + t**3 * b[0],
                s**3 * a[1] + 3 * s * s * t * a[1] + 3 * s * t * t * b[1] + t**3 * b[1],
            )
        )
    return out
