"""Figures of groups: what is drawn is what was found, and can be told apart without colour."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs
from b2b_sem.measures.equivalence import Criteria
from b2b_sem.report.canvas import axis_marks, wrap_label
from b2b_sem.report.group_figure import (
    draw_effects,
    draw_ladder,
    draw_latent_means,
    draw_paths,
    invariance_figures,
    path_figures,
)
from b2b_sem.results.invariance import InvarianceResult
from b2b_sem.results.path_group import PathGroupResult

MODEL = "A =~ a1 + a2 + a3 + a4\nB =~ b1 + b2 + b3 + b4\nB ~ A\n"
LONG = "opinion leaders & analysts of the whole industry"


def answers(groups: dict[str, tuple[float, float, float]], n: int = 250) -> pd.DataFrame:
    """Groups with their own path, mean of A, and shift of the item a2."""
    rng = np.random.default_rng(5)
    frames = []
    for label, (slope, mean, shift) in groups.items():
        a = rng.normal(mean, 1, n)
        b = slope * a + rng.normal(size=n)
        items = {f"{k}{i}": f + rng.normal(scale=0.7, size=n) for k, f in (("a", a), ("b", b)) for i in (1, 2, 3, 4)}
        frames.append(pd.DataFrame(items).assign(team=label))
        frames[-1]["a2"] += shift
    return pd.concat(frames, ignore_index=True)


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    return answers({LONG: (0.2, 0.0, 0.0), "<b>staff": (0.9, -0.5, 0.9), "customers": (0.25, 0.4, 0.0)})


@pytest.fixture(scope="module")
def ladder(data: pd.DataFrame) -> InvarianceResult:
    return bs.invariance(MODEL, data, "team")


@pytest.fixture(scope="module")
def paths(data: pd.DataFrame) -> PathGroupResult:
    return bs.compare_groups(MODEL + "a1 ~~ a3\n", data, "team")


def drawn(figure: Any) -> dict[str, Any]:
    return figure.plot.to_plotly_json()


def ends(trace: dict[str, Any]) -> np.ndarray:
    x, e = np.array(trace["x"]), trace["error_x"]
    return np.column_stack([x - np.array(e["arrayminus"]), x + np.array(e["array"])])


def test_every_path_has_a_mark_for_every_group(paths: PathGroupResult) -> None:
    figure = draw_paths(paths)
    assert figure is not None
    plot, table = drawn(figure), paths.estimates
    assert len(plot["data"]) == 3
    for trace, label in zip(plot["data"], paths.groups, strict=True):
        own = table[table["group"] == label]
        np.testing.assert_allclose(trace["x"], own["est"])
        np.testing.assert_allclose(ends(trace), own[["ci_lower", "ci_upper"]])
    assert len({trace["marker"]["symbol"] for trace in plot["data"]}) == 3
    places = [y for trace in plot["data"] for y in trace["y"]]
    assert len(set(places)) == len(places)  # no mark hides another


def test_paths_that_differ_are_flagged_after_adjustment(paths: PathGroupResult) -> None:
    figure = draw_paths(paths)
    assert figure is not None
    plot = drawn(figure)
    assert [s["type"] for s in plot["layout"]["shapes"]] == ["rect"]
    texts = [a["text"] for a in plot["layout"]["annotations"]]
    assert "<b>p &lt; .001<br>differs</b>" in texts
    assert any("p (Holm)" in t for t in texts)
    assert "Differs: A to B" in figure.alt
    same = replace(paths, _tests=paths.tests.assign(diff_adjusted=0.2, wald_adjusted=0.01))
    again = draw_paths(same)
    assert again is not None
    assert not drawn(again)["layout"].get("shapes")
    assert "p = .200" in [a["text"] for a in drawn(again)["layout"]["annotations"]]
    no_test = draw_paths(replace(paths, _tests=paths.tests.assign(diff_adjusted=np.nan, wald_adjusted=np.nan)))
    assert no_test is not None
    assert "no test" in [a["text"] for a in drawn(no_test)["layout"]["annotations"]]


def test_the_ladder_shows_values_limits_and_decisions(ladder: InvarianceResult) -> None:
    figure = draw_ladder(ladder)
    assert figure is not None
    plot, steps = drawn(figure), ladder.steps
    assert steps["step"].tolist()[:4] == ["configural", "metric", "scalar", "scalar (partial)"]
    for key, axis in (("cfi", "x"), ("rmsea", "x2"), ("srmr", "x3")):
        shown = {}
        for trace in plot["data"]:
            if trace["xaxis"] == axis:
                holds = trace["marker"]["symbol"] == "circle"
                shown |= {y: (x, holds) for x, y in zip(trace["x"], trace["y"], strict=True)}
        assert sorted(shown) == list(range(len(steps)))
        for i, row in enumerate(steps.to_dict("records")):
            assert shown[i] == (pytest.approx(row[key]), row["holds"])
    lines = {(s["xref"], s["y0"] + 0.5): s["x0"] for s in plot["layout"]["shapes"] if s["type"] == "line"}
    at = {name: i for i, name in enumerate(steps["step"])}
    metric, configural = steps.iloc[at["metric"]], steps.iloc[0]
    assert lines["x", 0] == 0.90
    assert lines["x3", 0] == 0.08
    assert ("x2", 0) not in lines
    # a step is compared with the last model that held
    assert lines["x", 1] == pytest.approx(configural["cfi"] - 0.010)
    assert lines["x3", 1] == pytest.approx(configural["srmr"] + 0.030)
    for i in (at["scalar"], at["scalar (partial)"]):
        assert lines["x", i] == pytest.approx(metric["cfi"] - 0.010)
        assert lines["x2", i] == pytest.approx(metric["rmsea"] + 0.015)
        assert lines["x3", i] == pytest.approx(metric["srmr"] + 0.010)
    assert "1 released" in plot["layout"]["yaxis"]["ticktext"][at["scalar (partial)"]]
    assert "doi:10.1080/10705510701301834" in figure.caption
    assert "scalar does not hold" in figure.alt


def test_limits_follow_the_criteria(data: pd.DataFrame) -> None:
    two = data[data["team"] != "customers"]
    settings: dict[str, Any] = {"steps": ("configural", "metric"), "partial": False}
    tested = draw_ladder(bs.invariance(MODEL, two, "team", criteria="chisq", **settings))
    own = draw_ladder(bs.invariance(MODEL, two, "team", criteria=Criteria("own", "me", cfi=0.002), **settings))
    assert tested is not None
    assert own is not None
    assert "Δχ²: p" in drawn(tested)["layout"]["yaxis"]["ticktext"][1]
    assert [s["y0"] for s in drawn(tested)["layout"]["shapes"] if s["type"] == "line"] == [-0.5, -0.5]
    lines = [s for s in drawn(own)["layout"]["shapes"] if s["type"] == "line" and s["y0"] == 0.5]
    values = next(t for t in drawn(own)["data"] if t["xaxis"] == "x")["x"]
    assert [(s["xref"], s["x0"]) for s in lines] == [("x", pytest.approx(values[0] - 0.002))]
    assert "Criteria: me." in own.caption


def test_items_and_means(ladder: InvarianceResult) -> None:
    effects, means = draw_effects(ladder), draw_latent_means(ladder, {"A": "perceived authenticity of the person"})
    assert effects is not None
    assert means is not None
    plot = drawn(effects)
    guides = [s["x0"] for s in plot["layout"]["shapes"] if s["type"] == "line"]
    assert guides == [0.2, 0.4, 0.7]
    labels = plot["layout"]["yaxis"]["ticktext"]
    assert len(labels) == 8
    assert labels[0] == "a1 (referent)"
    assert "a2 (released)" in labels
    table = ladder.effects
    for trace, label in zip(plot["data"], list(ladder.groups)[1:], strict=True):
        np.testing.assert_allclose(trace["x"], table.loc[table["group"] == label, "dmacs"])
    table = ladder.means
    for trace, label in zip(drawn(means)["data"], list(ladder.groups)[1:], strict=True):
        own = table[table["group"] == label]
        np.testing.assert_allclose(trace["x"], own["est"])
        np.testing.assert_allclose(ends(trace), own[["ci_lower", "ci_upper"]])
    assert "perceived authenticity of the<br>person (A)" in drawn(means)["layout"]["yaxis"]["ticktext"]
    assert "partial scalar invariance" in means.caption
    late = replace(ladder, _releases=ladder.releases.assign(step="strict"))  # of residual variances only
    effects, means = draw_effects(late), draw_latent_means(late)
    assert "Under scalar invariance" in str(means.caption)  # type: ignore[union-attr]
    assert not [t for t in drawn(effects)["layout"]["yaxis"]["ticktext"] if "released" in t]


def test_names_are_wrapped_and_escaped(ladder: InvarianceResult, paths: PathGroupResult) -> None:
    for figure in [*invariance_figures(ladder), *path_figures(paths)]:
        text = json.dumps(drawn(figure), default=str)
        assert "<b>staff" not in text
        for trace in drawn(figure)["data"]:
            assert all(len(re.sub("&[a-z]+;", "&", line)) <= 30 for line in trace["name"].split("<br>"))
    assert wrap_label("", 10) == ""


def test_results_from_files_look_the_same(ladder: InvarianceResult, paths: PathGroupResult) -> None:
    old = ladder.to_json()
    again = InvarianceResult.from_json(json.loads(json.dumps(old)))
    other = PathGroupResult.from_json(json.loads(json.dumps(paths.to_json())))
    for a, b in ((invariance_figures(ladder), invariance_figures(again)), (path_figures(paths), path_figures(other))):
        assert [f.plot.to_json() for f in a] == [f.plot.to_json() for f in b]
        assert [(f.caption, f.alt) for f in a] == [(f.caption, f.alt) for f in b]
    del old["limits"]  # as written before there were any
    bare = draw_ladder(InvarianceResult.from_json(old))
    assert bare is not None
    assert not [s for s in drawn(bare)["layout"]["shapes"] if s["type"] == "line"]


def test_what_was_not_found_is_not_drawn(ladder: InvarianceResult, paths: PathGroupResult) -> None:
    empty = replace(ladder, _means=ladder.means.iloc[:0], _effects=ladder.effects.iloc[:0])
    assert [f.name for f in invariance_figures(empty)] == ["invariance-ladder"]
    assert draw_ladder(replace(ladder, _steps=ladder.steps.assign(cfi=np.nan, rmsea=np.nan, srmr=np.nan))) is None
    assert draw_paths(replace(paths, _estimates=paths.estimates.assign(est=np.nan))) is None
    no_se = paths.estimates.assign(ci_lower=np.nan, ci_upper=np.nan)
    assert draw_paths(replace(paths, _estimates=no_se)) is not None


def test_a_page_of_figures(ladder: InvarianceResult, paths: PathGroupResult, tmp_path: Any) -> None:
    page = bs.write_figures(ladder, tmp_path / "new" / "page.html").read_text(encoding="utf-8")
    assert page.count('<figure class="plot') == 3
    assert "opinion leaders &amp; analysts of the whole industry (n = 250)" in page
    assert "<b>staff" not in page.replace("\\u003c", "<").split("<main")[0]
    other = bs.write_figures(paths, tmp_path / "paths.html").read_text(encoding="utf-8")
    assert other.count('<figure class="plot') == 1
    assert "The path B~A differs" in other


@pytest.mark.parametrize(
    ("low", "high", "values", "texts"),
    [
        (-0.12, 0.55, [-0.1, 0.0, 0.1, 0.2, 0.3, 0.4, 0.5], ["−0.1", "0", "0.1"]),
        (-40.0, 720.0, [0.0, 200.0, 400.0, 600.0], ["0", "200", "400"]),
        (0.9981, 1.0, [0.9985, 0.999, 0.9995, 1.0], ["0.9985", "0.9990", "0.9995"]),
    ],
)
def test_axis_marks(low: float, high: float, values: list[float], texts: list[str]) -> None:
    marks = axis_marks(low, high)
    assert marks["tickvals"] == pytest.approx(values)
    assert marks["ticktext"][:3] == texts
