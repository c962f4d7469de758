import itertools

import pytest

from b2b_sem.report.layout import lay_out, place_on_circle

SIZE = {"node_width": 120.0, "node_height": 80.0, "gap": 90.0, "clearance": 30.0, "margin": (10, 10, 10, 10)}
LIMA = [
    ("NR", "PC"),
    ("RE", "PC"),
    ("PE", "TV"),
    ("PC", "RR"),
    ("TV", "EQ"),
    ("RR", "BT"),
    ("PC", "BT"),
    ("BT", "DE"),
]
DENSE = [(a, b) for a, b in itertools.combinations("ABCDEFGH", 2) if (ord(a) * ord(b)) % 3 != 1]
CYCLE = [("A", "B"), ("B", "C"), ("C", "B"), ("C", "D"), ("D", "A")]
BACK = [*LIMA, ("DE", "NR"), ("DE", "TV"), ("EQ", "PE")]
CASES = {"lima": LIMA, "dense": DENSE, "cycle": CYCLE, "back": BACK, "chain": [("a", "b"), ("b", "c"), ("a", "c")]}


def nodes_of(edges):
    return list(dict.fromkeys(n for e in edges for n in e))


def plan(edges, nodes=None, **changes):
    return lay_out(nodes or nodes_of(edges), edges, **{**SIZE, **changes})


def test_lima_layers_are_those_of_the_paper():
    order = ["NR", "PE", "RE", "PC", "TV", "RR", "EQ", "BT", "DE"]
    layout = plan(LIMA, order)
    columns = [{n for n, k in layout.layers.items() if k == i} for i in range(5)]
    assert columns == [{"NR", "PE", "RE"}, {"PC", "TV"}, {"RR", "EQ"}, {"BT"}, {"DE"}]
    # no arrow crosses another: PE and TV, EQ stand on one side of the rest
    side = [layout.nodes["PE"][1] > layout.nodes[n][1] for n in ("NR", "RE")]
    assert side in ([True, True], [False, False])
    assert (layout.nodes["TV"][1] > layout.nodes["PC"][1]) == side[0]


@pytest.mark.parametrize("edges", CASES.values(), ids=CASES)
def test_no_arrow_runs_through_a_node_and_no_nodes_overlap(edges):
    layout = plan(edges)
    w, h = SIZE["node_width"] / 2, SIZE["node_height"] / 2
    assert set(layout.routes) == set(edges)
    for (source, target), route in layout.routes.items():
        for x, y in route:
            for name, (cx, cy) in layout.nodes.items():
                inside = ((x - cx) / w) ** 2 + ((y - cy) / h) ** 2
                assert inside >= (1 - 1e-9 if name in (source, target) else 1.05), (source, target, name)
        for end, name in ((route[0], source), (route[-1], target)):
            cx, cy = layout.nodes[name]
            assert ((end[0] - cx) / w) ** 2 + ((end[1] - cy) / h) ** 2 == pytest.approx(1.0)
    for (ax, ay), (bx, by) in itertools.combinations(layout.nodes.values(), 2):
        assert abs(ax - bx) >= 2 * w or abs(ay - by) >= 2 * h + SIZE["clearance"] - 1e-6


@pytest.mark.parametrize("edges", CASES.values(), ids=CASES)
def test_everything_lies_on_the_canvas(edges):
    layout = plan(edges)
    points = [p for route in layout.routes.values() for p in route]
    assert min(x for x, _ in points) >= 0
    assert max(x for x, _ in points) <= layout.width
    assert min(y for _, y in points) >= 0
    assert max(y for _, y in points) <= layout.height
    for x, y in layout.nodes.values():
        assert 10 + 60 - 1e-6 <= x <= layout.width - 70 + 1e-6
        assert 10 + 40 - 1e-6 <= y <= layout.height - 50 + 1e-6


def test_forward_arrows_go_right_and_feedback_goes_left():
    layout = plan(CYCLE)
    assert layout.routes["B", "C"][0][0] < layout.routes["B", "C"][-1][0]
    assert layout.routes["C", "B"][0][0] > layout.routes["C", "B"][-1][0]
    # the two arrows of a feedback loop do not lie on one another
    assert layout.routes["B", "C"][0][1] != layout.routes["C", "B"][-1][1]


def test_same_input_same_picture_whatever_the_order_of_edges():
    assert plan(LIMA) == plan(LIMA)
    nodes = nodes_of(LIMA)
    assert plan(LIMA, nodes).layers == plan(LIMA[::-1], nodes).layers


def test_loops_isolated_nodes_and_nothing_at_all():
    layout = plan([("a", "a"), ("a", "b")], ["a", "b", "c"])
    assert set(layout.routes) == {("a", "b")}
    assert layout.layers == {"a": 0, "b": 1, "c": 0}
    empty = lay_out([], [], **SIZE)
    assert empty.nodes == {}


def test_arrows_meet_the_side_of_a_box():
    layout = plan([("a", "c"), ("b", "c")], boxes=["c"])
    left = layout.nodes["c"][0] - SIZE["node_width"] / 2
    assert [route[-1][0] for route in layout.routes.values()] == [left, left]


@pytest.mark.parametrize("count", [1, 2, 3, 9, 15])
def test_circle_keeps_nodes_apart(count):
    names = [f"F{i}" for i in range(count)]
    pairs = list(itertools.combinations(names, 2))
    layout = place_on_circle(names, pairs, node_width=120, node_height=80, margin=(10, 10, 10, 10))
    assert len(layout.routes) == len(pairs)
    for (ax, ay), (bx, by) in itertools.combinations(layout.nodes.values(), 2):
        assert ((ax - bx) / 120) ** 2 + ((ay - by) / 80) ** 2 > 1
    assert all(0 <= x <= layout.width and 0 <= y <= layout.height for x, y in layout.nodes.values())
