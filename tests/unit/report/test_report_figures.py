import itertools
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import study_fixture as studies

from b2b_sem.report.canvas import STYLES
from b2b_sem.report.diagram import draw_path_diagram
from b2b_sem.report.figures import build_figures, draw_htmt, draw_loadings


@pytest.fixture(scope="module")
def result():
    return studies.demo()


def labels(figure):
    return [re.sub("<[^>]+>", " ", a["text"]) for a in figure.plot.to_plotly_json()["layout"]["annotations"]]


def lines(figure):
    return [t for t in figure.plot.to_plotly_json()["data"] if t["mode"] == "lines" and t["hoverinfo"] == "text"]


def box(annotation):
    size = annotation["font"]["size"]
    text = re.sub("<[^>]+>", "", annotation["text"])
    w, h = 0.55 * size * len(text), size
    return annotation["x"] - w / 2, annotation["y"] - h / 2, annotation["x"] + w / 2, annotation["y"] + h / 2


def overlap(a, b):
    return min(a[2], b[2]) > max(a[0], b[0]) and min(a[3], b[3]) > max(a[1], b[1])


def test_coefficients_and_r2_are_those_of_the_fit(result):
    figure = draw_path_diagram(result)
    shown = " ".join(labels(figure))
    for v in result.verdicts[:8]:
        assert f"{v.id} {v.std:.2f}".replace("0.", ".") in shown
    for name in ("PC", "TV", "RR", "EQ", "BT", "DE"):
        assert f"R² = {result.fit.r2[name]:.2f}".replace("0.", ".") in shown
        assert result.study["construct_names"][name].split()[0] in shown
    assert "0." not in shown
    assert "NR to PC" in figure.alt


def test_line_style_follows_the_verdict(result):
    changed = studies.judged(result, P1="contradicted", P7="not supported")
    matches = [(re.match(r"<b>(P\d+):", t["text"]), t["line"]) for t in lines(draw_path_diagram(changed))]
    drawn = {found[1]: line for found, line in matches if found}
    assert drawn["P1"]["color"] == STYLES["contradicted"].colour
    assert drawn["P7"]["dash"] == STYLES["not supported"].dash
    assert drawn["P2"]["dash"] == "solid"
    looks = {(s.dash, s.symbol) for s in STYLES.values()}
    assert len(looks) == len(STYLES)  # told apart without colour
    shown = labels(draw_path_diagram(changed))
    assert {"supported", "not supported", "contradicted"} <= set(shown)
    p7 = next(t for t in shown if "P7" in t)
    assert "*" not in p7  # stars rest on the adjusted p


def test_labels_cover_neither_nodes_nor_one_another(result):
    for study in (result, studies.structure(latents="ABCD", paths=[("A", "B"), ("B", "C"), ("C", "B"), ("A", "D")])):
        layout = draw_path_diagram(study).plot.to_plotly_json()["layout"]
        nodes = [(s["x0"], s["y0"], s["x1"], s["y1"]) for s in layout["shapes"] if s["type"] in ("circle", "rect")]
        boxes = [box(a) for a in layout["annotations"] if a.get("bgcolor")]
        assert len(boxes) >= 4
        for a, b in itertools.combinations(boxes, 2):
            assert not overlap(a, b)
        for a, (x0, y0, x1, y1) in itertools.product(boxes, nodes):
            for x, y in itertools.product(a[::2], a[1::2]):
                across, down = (2 * x - x0 - x1) / (x1 - x0), (2 * y - y0 - y1) / (y1 - y0)
                assert across**2 + down**2 >= 1  # outside the ellipse
        assert all(a[0] >= 0 and a[1] >= 0 and a[2] <= layout["width"] for a in boxes)


def test_labels_are_close_to_their_lines(result):
    figure = draw_path_diagram(result)
    places = {a["text"]: (a["x"], a["y"]) for a in figure.plot.to_plotly_json()["layout"]["annotations"]}
    for line in lines(figure):
        found = re.match(r"<b>(P\d+):", line["text"])
        if not found:
            continue
        x, y = next(p for t, p in places.items() if t.startswith(f"<b>{found[1]} "))
        distance = np.hypot(np.array(line["x"]) - x, np.array(line["y"]) - y).min()
        assert distance < 45


def test_a_failed_fit_is_drawn_without_numbers(result):
    figures = build_figures(studies.failed(result))
    assert set(figures) == {"path-diagram", "htmt-map"}
    diagram = figures["path-diagram"]
    assert not re.search(r"\d\d", " ".join(labels(diagram)))
    assert "did not converge" in diagram.caption
    assert all("no numbers" in t["text"] for t in lines(diagram))


@pytest.mark.parametrize(
    "parts",
    [
        {"observed": ["x", "y", "z"], "paths": [("x", "y"), ("y", "z"), ("z", "x")]},
        {"latents": "ABC", "covariances": list(itertools.combinations("ABC", 2))},
        {"latents": "ABCDEFGHIJ", "covariances": list(itertools.combinations("ABCDEFGHIJ", 2))},
        {"latents": ["G", "a", "b"], "loadings": [("G", "a"), ("G", "b")], "paths": [("a", "b")]},
        {"latents": ["only"]},
        {"observed": ["x", "y"]},
        {"latents": "AB", "observed": ["sex"], "paths": [("sex", "B"), ("A", "B")], "covariances": [("A", "sex")]},
    ],
    ids=["cycle", "cfa", "big cfa", "second order", "one factor", "no path", "covariate"],
)
def test_every_structure_can_be_drawn(parts):
    figure = draw_path_diagram(studies.structure(**parts))
    drawn = [t["text"] for t in lines(figure)]
    wanted = len(parts.get("paths", ())) + len(parts.get("loadings", ())) + len(parts.get("covariances", ()))
    assert len(drawn) == wanted
    shown = " ".join(labels(figure))
    involved = [*parts.get("latents", ()), *(n for p in parts.get("paths", ()) for n in p)]
    assert all(n in shown for n in involved)


def test_markup_in_names_is_escaped():
    result = studies.structure(observed=["a<b>", "c"], paths=[("a<b>", "c")])
    text = json.dumps(draw_path_diagram(result).plot.to_plotly_json(), default=str)
    assert "a<b>" not in text.replace("<b>a&lt;b&gt;", "")


def test_figures_are_deterministic_and_without_leading_zeros(result):
    first, second = build_figures(result), build_figures(studies.demo())
    assert {n: f.plot.to_json() for n, f in first.items()} == {n: f.plot.to_json() for n, f in second.items()}
    assert list(first) == ["path-diagram", "forest", "correlations", "loadings-plot", "htmt-map"]
    for figure in first.values():
        layout = figure.plot.to_plotly_json()["layout"]
        for axis in ("xaxis", "yaxis"):
            assert not [t for t in layout[axis].get("ticktext") or () if str(t).startswith("0.")]


def test_forest_has_one_interval_a_path_in_the_order_of_propositions(result):
    plot = build_figures(result)["forest"].plot.to_plotly_json()
    trace = plot["data"][0]
    tested = result.verdicts[:8]
    np.testing.assert_allclose(trace["x"], [v.std for v in tested])
    np.testing.assert_allclose(np.add(trace["x"], trace["error_x"]["array"]), [v.ci_upper for v in tested], rtol=1e-5)
    np.testing.assert_allclose(
        np.subtract(trace["x"], trace["error_x"]["arrayminus"]), [v.ci_lower for v in tested], rtol=1e-5
    )
    assert [re.search(r"P\d+", t)[0] for t in plot["layout"]["yaxis"]["ticktext"]] == [v.id for v in tested]


def test_htmt_frames_what_exceeds_its_guides(result):
    frame = result.measurement.htmt.copy()
    frame.iloc[3, 1], frame.iloc[5, 2] = 0.87, 0.93
    figure = draw_htmt(replace(result.measurement, htmt=frame))
    shapes = figure.plot.to_plotly_json()["layout"]["shapes"]
    assert [s["line"]["dash"] for s in shapes] == ["4px,3px", "solid"]
    assert ((shapes[0]["x0"] + shapes[0]["x1"]) / 2, (shapes[0]["y0"] + shapes[0]["y1"]) / 2) == (1, 2)
    assert "2 of 36 ratios exceed .85" in figure.caption
    assert "doi:10.1007/s11747-014-0403-8" in figure.caption
    cells = figure.plot.to_plotly_json()["data"][0]["z"]
    assert cells[2][1] == 0.87
    assert cells[0][1] is None


def test_loadings_survive_missing_intervals(result):
    frame = result.measurement.loadings.copy()
    frame.loc[0, ["ci_lower", "ci_upper"]] = np.nan
    frame.loc[1, "std_all"] = -0.3
    plot = draw_loadings(replace(result.measurement, loadings=frame)).plot.to_plotly_json()
    assert plot["data"][0]["error_x"]["array"][0] is None
    assert plot["layout"]["xaxis"]["range"][0] <= -0.3
    assert draw_loadings(replace(result.measurement, loadings=frame.iloc[:0])) is None
