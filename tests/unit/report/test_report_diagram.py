import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import diagram_check as check
import numpy as np
import pandas as pd
import pytest
import study_fixture as studies
from hypothesis import given, settings
from hypothesis import strategies as st

import b2b_sem as bs
from b2b_sem.errors import B2BSemWarning, DataError, Unsupported
from b2b_sem.report.block import Look
from b2b_sem.report.compose import compose
from b2b_sem.report.diagram import path_diagram
from b2b_sem.report.shape import Ellipse, Line, Polygon, Rectangle, Words, clean, fit_text, text_width
from b2b_sem.report.tikz import escape_tex

HOSTILE = '<script>alert(1)</script> & "x" $y$ \\end{document} %_^~#'


def look(full=False, style="significance", label="stars"):
    return Look(full, style, label, "std", 0.05, (124.0, 82.0))


@pytest.fixture(scope="module")
def result():
    return studies.demo()


@pytest.fixture(scope="module")
def moderated():
    rng = np.random.default_rng(5)
    pc, px = rng.standard_normal((2, 300))
    rr = 0.5 * pc + 0.3 * px + 0.4 * pc * px + rng.standard_normal(300)
    columns = {
        f"{n}{i}": v + 0.6 * rng.standard_normal(300) for n, v in (("p", pc), ("x", px), ("r", rr)) for i in "123"
    }
    data = pd.DataFrame(columns | {"sector": np.repeat(["north", "south"], 150)})
    return data


MODERATED = "PC =~ p1 + p2 + p3\nPX =~ x1 + x2 + x3\nRR =~ r1 + r2 + r3\nRR ~ PC + PX + PC:PX"


# ---- nothing covers anything else ----------------------------------------------------------------------------------


@st.composite
def networks(draw):
    count = draw(st.integers(2, 6))
    nodes = [f"N{i}" for i in range(count)]
    pairs = [(a, b) for i, a in enumerate(nodes) for b in nodes[i + 1 :]]
    paths = draw(st.lists(st.sampled_from(pairs), min_size=1, max_size=count + 2, unique=True))
    if draw(st.booleans()):
        paths.append(paths[0][::-1])  # feedback
    rest = [p for p in pairs if p not in paths]
    covariances = draw(st.lists(st.sampled_from(rest), max_size=3, unique=True)) if rest else []
    items = None
    if draw(st.booleans()):
        items = {n: [f"{n}_{'q' * draw(st.integers(0, 12))}{i}" for i in range(draw(st.integers(1, 5)))] for n in nodes}
    moderations, boxes = [], draw(st.lists(st.sampled_from(nodes), max_size=0 if items else 2))
    if draw(st.booleans()):
        moderations = [("MOD", *paths[0])]
        nodes.append("MOD")
    names = dict.fromkeys(nodes, "a name that is longer than its node can ever hold in one line")
    return check.network(nodes, paths, covariances, items, moderations, boxes, names=names), items is not None


@settings(max_examples=20, deadline=None, derandomize=True)
@given(networks(), st.sampled_from(["stars", "interval", "p"]))
def test_random_models_are_drawn_without_overlaps(made, label):
    network, full = made
    composed = compose([network], look(full, label=label), about={})
    assert check.faults(composed.drawing) == []
    assert composed.conflicts == 0
    shown = {s.name for s in composed.drawing.shapes if isinstance(s, Line)}
    assert {f"{p.source} → {p.target}" for p in network.paths} <= shown
    assert {f"{m.moderator} ⊸ {m.edge[1]}" for m in network.moderations} <= shown


@pytest.mark.parametrize("kind", ["structural", "full"])
def test_the_demo_study_has_no_overlaps(result, kind):
    for options in ({}, {"label": "interval"}, {"style": "significance", "label": "p"}):
        assert check.faults(path_diagram(result, kind, **options).drawing) == []


def test_the_check_finds_overlaps(result):
    drawing = path_diagram(result).drawing
    label = next(s for s in drawing.shapes if isinstance(s, Words) and s.plate)
    node = next(s for s in drawing.shapes if isinstance(s, Ellipse))
    line = next(s for s in drawing.shapes if isinstance(s, Line))
    wrong = {
        "on node": replace(label, x=node.x, y=node.y),
        "through node": replace(line, points=((node.x - 90, node.y), (node.x + 90, node.y))),
        "leaves the page": replace(label, x=-5.0),
        "through label": replace(line, points=((label.x - 90, label.y), (label.x + 90, label.y)), name="other"),
        "on label": replace(label, name="other"),
    }
    for words, shape in wrong.items():
        found = check.faults(replace(drawing, shapes=(*drawing.shapes, shape)))
        assert any(words in fault for fault in found), words


def test_words_stay_inside_what_was_reserved_for_them_in_pdf_and_png(result):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from b2b_sem.report.raster import _artists

    drawing = path_diagram(result, "full").drawing
    figure = Figure(figsize=(drawing.width / 96, drawing.height / 96), dpi=96)
    renderer = FigureCanvasAgg(figure).get_renderer()
    page = figure.add_axes((0, 0, 1, 1))
    page.set_xlim(0, drawing.width)
    page.set_ylim(drawing.height, 0)
    for word in (s for s in drawing.shapes if isinstance(s, Words)):
        text = _artists(word)[-1]
        page.add_artist(text)
        assert text.get_window_extent(renderer).width <= (word.area[2] - word.area[0]) * 1.1 + 2, word.text


# ---- what is shown -------------------------------------------------------------------------------------------------


def words_of(diagram):
    return [s.text for s in diagram.drawing.shapes if isinstance(s, Words)]


def test_a_full_diagram_has_every_loading_and_residual_variance(result):
    diagram = path_diagram(result, "full")
    table = result.fit.standardized()
    named = [(s.name, s.text) for s in diagram.drawing.shapes if isinstance(s, Words)]
    residuals = table[(table["op"] == "~~") & (table["lhs"] == table["rhs"]) & (table["est_std"] < 0.9995)]
    for rows, sign in ((table[table["op"] == "=~"], "=~"), (residuals, "~~")):
        assert len(rows) > 5
        for row in rows.itertuples():
            assert (f"{row.lhs} {sign} {row.rhs}", f"{row.est_std:.2f}".lstrip("0")) in named
    assert sum(isinstance(s, Rectangle) for s in diagram.drawing.shapes) == len(result.fit.model.observed)


def test_unstandardized_numbers_and_intervals(result):
    row = result.fit.parameters.query("lhs == 'PC' and op == '~' and rhs == 'RE'").iloc[0]
    assert f"P3 {row['est']:.2f}***" in words_of(path_diagram(result, estimates="raw"))
    std = result.fit.standardized().query("lhs == 'PC' and op == '~' and rhs == 'RE'").iloc[0]
    expected = f"[{std['ci_lower']:.2f}, {std['ci_upper']:.2f}]".replace("0.", ".")
    assert expected in words_of(path_diagram(result, label="interval"))
    with pytest.raises(Unsupported, match="standardized"):
        path_diagram(result, estimates="raw", label="interval")


def test_significance_is_solid_or_dashed(result):
    changed = studies.judged(result, P7="not supported")
    diagram = path_diagram(changed, style="significance")
    dashes = {s.name: bool(s.dash) for s in diagram.drawing.shapes if isinstance(s, Line)}
    assert dashes["PC → BT"]
    assert not dashes["RE → PC"]
    assert "not significant" in words_of(diagram)
    assert "Dashed" in diagram.caption
    assert "Dashed" not in path_diagram(result, style="plain").caption


def test_grey_has_no_colours(result):
    colours = set(re.findall("#[0-9a-f]{6}", path_diagram(result, grey=True).to_svg()))
    assert all(c[1:3] == c[3:5] == c[5:] for c in colours)
    assert any(not c[1:3] == c[3:5] == c[5:] for c in set(re.findall("#[0-9a-f]{6}", path_diagram(result).to_svg())))


@pytest.mark.parametrize("interaction", ["lms", "dmc"])
def test_a_product_is_an_arrow_that_ends_on_the_path(moderated, interaction):
    fit = bs.fit(MODERATED, moderated, interaction=interaction)
    diagram = path_diagram(fit)
    lines = {s.name: s for s in diagram.drawing.shapes if isinstance(s, Line)}
    arrow = lines["PX ⊸ RR"]
    tip = next(s for s in diagram.drawing.shapes if isinstance(s, Polygon) and s.name == arrow.name).points[0]
    edge = np.array(check.dense(lines["PC → RR"].points, 0.5))
    assert np.hypot(*(edge - tip).T).min() < 4
    along = np.hypot(*(edge - tip).T).argmin() / len(edge)
    assert 0.2 < along < 0.8
    value = fit.standardized().query("rhs == 'PC:PX' and op == '~'")["est_std"].iloc[0]
    assert any(t.startswith(f"{value:.2f}".lstrip("0")) for t in words_of(diagram))
    assert "PC:PX" not in words_of(diagram)
    assert "moderation" in diagram.caption
    assert check.faults(diagram.drawing) == check.faults(path_diagram(fit, "full").drawing) == []


def test_groups_have_the_same_places(moderated):
    fit = bs.fit("PC =~ p1 + p2 + p3\nRR =~ r1 + r2 + r3\nRR ~ PC", moderated, group="sector")
    diagram = path_diagram(fit)
    ellipses = [s for s in diagram.drawing.shapes if isinstance(s, Ellipse)]
    assert [s.name for s in ellipses] == ["PC", "RR", "PC", "RR"]
    assert [s.x for s in ellipses[:2]] == [s.x for s in ellipses[2:]]
    assert len({b.y - a.y for a, b in zip(ellipses[:2], ellipses[2:], strict=True)}) == 1
    assert {"north", "south"} <= set(words_of(diagram))
    for _number, label in enumerate(fit.groups, 1):
        value = fit.standardized().query("op == '~' and group == @_number")["est_std"].iloc[0]
        shown = words_of(path_diagram(fit, group=label))
        assert any(t.startswith(f"{value:.2f}".lstrip("0")) for t in shown)
    with pytest.raises(DataError, match="Did you mean 'north'"):
        path_diagram(fit, group="nort")


# ---- places --------------------------------------------------------------------------------------------------------


def test_positions_are_kept_and_arrows_find_their_way(result):
    places = {
        "NR": (100, 100),
        "RE": (100, 400),
        "PC": (400, 250),
        "RR": (700, 100),
        "BT": (700, 400),
        "DE": (1000, 400),
    }
    places |= {"PE": (100, 700), "TV": (400, 700), "EQ": (700, 700)}
    diagram = path_diagram(result, positions=places)
    moved = {n: np.subtract(diagram.positions[n], places[n]) for n in places}
    assert all(np.allclose(m, moved["NR"]) for m in moved.values())
    assert check.faults(diagram.drawing) == []
    stated = replace(result, study={**result.study, "diagram": {"positions": {"PC": [400.0, 900.0], "PX": [1.0, 1.0]}}})
    assert path_diagram(stated).drawing != path_diagram(result).drawing
    assert check.faults(path_diagram(stated).drawing) == []


@pytest.mark.parametrize(
    ("positions", "message"),
    [
        ({"PCC": (1, 1)}, "Did you mean 'PC'"),
        ({"PC": (100, 100), "RR": (110, 100)}, "on one another"),
        ({"PC": (float("nan"), 1)}, "not a pair"),
        ({"PC": (1, 2, 3)}, "not a pair"),
    ],
)
def test_wrong_positions_are_refused(result, positions, message):
    with pytest.raises(DataError, match=message):
        path_diagram(result, positions=positions)


# ---- files ---------------------------------------------------------------------------------------------------------


def test_every_form_is_written_and_deterministic(result, tmp_path):
    diagram, again = path_diagram(result), path_diagram(studies.demo())
    for form, start in (("svg", b"<svg"), ("pdf", b"%PDF"), ("png", b"\x89PNG"), ("tex", b"\\Req"), ("html", b"<!doc")):
        path = diagram.save(tmp_path / "deep" / f"a.{form}", dpi=60)
        assert path.read_bytes().startswith(start)
        assert path.read_bytes() == again.save(tmp_path / f"b.{form}", dpi=60).read_bytes()
    with pytest.raises(Unsupported, match=r"a\.docx"):
        diagram.save(tmp_path / "a.docx")
    with pytest.raises(DataError, match="dpi"):
        diagram.save(tmp_path / "a.png", dpi=5000)
    assert "http" not in re.sub(r'xmlns="[^"]*"', "", diagram.to_html())


def test_png_has_the_asked_resolution_and_is_not_empty(result, tmp_path):
    from matplotlib.image import imread

    diagram = path_diagram(result)
    pixels = imread(diagram.save(tmp_path / "a.png", dpi=48))
    assert pixels.shape[:2] == (round(diagram.drawing.height / 2), round(diagram.drawing.width / 2))
    assert 0.02 < (pixels[..., :3].min(axis=2) < 0.9).mean() < 0.4


@pytest.mark.filterwarnings("ignore::b2b_sem.errors.B2BSemWarning")  # no font of the machine has these letters
def test_hostile_names_are_text_in_every_form(tmp_path):
    study = studies.structure(observed=[HOSTILE, "=cmd()", "信任"], paths=[(HOSTILE, "=cmd()"), ("=cmd()", "信任")])
    study = replace(study, study={**study.study, "construct_names": {"=cmd()": HOSTILE * 3}})
    diagram = path_diagram(study, title=HOSTILE)
    assert check.faults(diagram.drawing) == []
    ElementTree.fromstring(diagram.to_svg())  # well-formed
    assert "<script" not in diagram.to_svg() + diagram.to_html()
    body = diagram.to_tex().split("\\begin{tikzpicture}")[1].split("\\end{tikzpicture}")[0]
    assert "\\end{document}" not in body
    assert "\\textbackslash{}" in body
    diagram.save(tmp_path / "a.pdf")
    diagram.save(tmp_path / "a.png", dpi=40)


def test_signs_that_no_font_has_are_named(tmp_path):
    study = studies.structure(observed=["\U00013000", "b"], paths=[("\U00013000", "b")])
    with pytest.warns(B2BSemWarning, match="no installed font"):
        path_diagram(study).save(tmp_path / "a.pdf")


def test_control_and_direction_signs_are_removed():
    assert clean("a\x00b\u202ec\nd\ud800") == "abc d"
    assert escape_tex("50% of $x_1$ -- <a>") == r"50\% of \$x\_1\$ -{}-{} \textless{}a\textgreater{}"
    assert text_width(fit_text("a long name", 10, 30), 10) <= 30
    assert fit_text("short", 10, 100) == "short"


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs LaTeX")
def test_tikz_compiles(result, tmp_path):
    path_diagram(result, "full").save(tmp_path / "a.tex")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "a.tex"], cwd=tmp_path, capture_output=True
    )
    assert done.returncode == 0
    assert b"(1 page" in done.stdout


@pytest.mark.parametrize("option", ["kind", "style", "label", "estimates"])
def test_unknown_options_are_refused(result, option):
    with pytest.raises(DataError, match=f"{option} is 'wrong'"):
        path_diagram(result, **{option: "wrong"})


def test_only_results_can_be_drawn():
    with pytest.raises(DataError, match="a dict cannot be drawn"):
        path_diagram({})
