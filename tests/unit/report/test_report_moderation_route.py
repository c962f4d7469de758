"""The table and the figure of routes hold what the routes found."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

import b2b_sem as bs
from b2b_sem.report.moderation_route import draw_routes, route_figures, route_table
from b2b_sem.results.moderation import AGREE, ModerationResult, RouteRow


def row(name: str, std: float, decision: str, **more: object) -> RouteRow:
    values = {"est": 2 * std, "se": 0.2, "statistic": 10 * std, "pvalue": 0.0123, "ci_lower": -0.5, "ci_upper": 0.9}
    return RouteRow(
        name,
        f"what {name} does",
        **values,
        std=std,
        std_se=0.1,
        std_lower=std - 0.2,
        std_upper=std + 0.2,
        n=321,
        decision=decision,
        **more,  # type: ignore[arg-type]
    )


@pytest.fixture
def result() -> ModerationResult:
    return ModerationResult(
        "Y ~ A + <B> + A:<B>",
        "A:<B>",
        "Y",
        "A",
        "<B>",
        0.05,
        0.9,
        MappingProxyType({"estimator": "ML", "missing": "listwise"}),
        AGREE,
        ("The verdict does not depend on the route.",),
        ("A note.",),
        (),
        (
            row("lms", 0.25, "positive"),
            RouteRow("qml", "what qml does", reason="it is <not> available"),
            row("split", -0.15, "none", df=math.nan),
            row("observed", 0.3, "positive"),
        ),
    )


def test_the_table_has_all_numbers(result: ModerationResult) -> None:
    made = route_table(result, "p9_routes")
    lines = list(csv.DictReader(io.StringIO(made.to_csv())))
    assert made.name == "p9_routes"
    assert [line["route"] for line in lines] == ["lms", "qml", "split", "observed"]
    assert float(lines[0]["std"]) == 0.25
    assert float(lines[0]["std_ci_lower"]) == pytest.approx(0.05)
    assert (lines[0]["n"], lines[0]["decision"]) == ("321", "positive")
    assert lines[1]["est"] == ""
    assert (lines[1]["decision"], lines[1]["reason"]) == ("no answer", "it is <not> available")
    assert lines[2]["decision"] == "not significant"
    page = made.to_html()
    assert "90% CI" in page
    assert "Why there is no answer" in page
    assert "<not>" not in page
    assert "The verdict does not depend" in page
    fine = replace(result, rows=(result.rows[0],))
    assert "Why there is no answer" not in route_table(fine).to_html()


def test_the_figure_shows_each_answer(result: ModerationResult) -> None:
    (figure,) = route_figures(result)
    spec = figure.plot.to_dict()
    (marks,) = spec["data"]
    assert list(marks["x"]) == [0.25, -0.15, 0.3]
    assert list(marks["y"]) == [0, 2, 3]  # the row without an answer stays empty
    assert list(marks["error_x"]["array"]) == pytest.approx([0.2, 0.2, 0.2])
    labels = spec["layout"]["yaxis"]["ticktext"]
    assert [label.split("<br>")[0] for label in labels] == [f"<b>{r.route}</b>" for r in result.rows]
    texts = [note["text"] for note in spec["layout"]["annotations"]]
    assert "no answer" in texts
    assert "warning example<br>p = .012" in texts
    assert "No answer: qml." in figure.caption
    assert "lms 0.25 [0.05, 0.45]" in figure.alt
    assert "is a warning" in figure.caption
    assert spec["layout"]["xaxis"]["range"][0] < -0.35
    assert "<B>" not in spec["layout"]["xaxis"]["title"]["text"]


def test_nothing_to_draw(result: ModerationResult, tmp_path: Path) -> None:
    empty = replace(result, rows=(result.rows[1],))
    assert draw_routes(empty) is None
    assert route_figures(empty) == []
    page = bs.write_figures(empty, tmp_path / "routes.html").read_text(encoding="utf-8")
    assert "A → Y, moderated by &lt;B&gt;" in page
