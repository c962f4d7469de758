"""How answers are distributed: tables and the figure of stacked bars."""

from __future__ import annotations

import json
from dataclasses import replace

import pandas as pd
import pytest
import study_fixture as studies

from b2b_sem.report.answer import draw_answers, spread_answers, tabulate_answers, tabulate_items
from b2b_sem.report.html import render_report
from b2b_sem.report.tables import build_tables
from b2b_sem.results.study import StudyResult

COUNTS = {"nr1": (0, 10, 30), "nr2": (5, 15, 20), "pe1": (40, 0, 0)}


def answers(counts: dict[str, tuple[int, ...]] = COUNTS) -> pd.DataFrame:
    rows = [
        (name, k + 1, "never" if not k else "", n, 100.0 * n / max(sum(own), 1))
        for name, own in counts.items()
        for k, n in enumerate(own)
    ]
    return pd.DataFrame(rows, columns=["name", "answer", "label", "n", "percent"])


def described(frame: pd.DataFrame | None = None) -> StudyResult:
    result = studies.demo()
    sample = replace(result.sample, answers=answers() if frame is None else frame)
    items = sample.items.assign(categories=3, floor=1.25, ceiling=50.0, empty="", sparse="")
    items.loc[items["name"] == "nr1", ["empty", "sparse"]] = ["1", "2"]
    return replace(result, sample=replace(sample, items=items))


@pytest.fixture(scope="module")
def result() -> StudyResult:
    return described()


def test_every_answer_has_a_row_in_the_file_and_a_cell_in_the_report(result: StudyResult) -> None:
    found = tabulate_answers(result)
    assert [r[0] for r in found.rows] == ["nr1"] * 3 + ["nr2"] * 3 + ["pe1"] * 3
    assert found.to_csv().splitlines()[:3] == ["name,answer,label,n,percent", "nr1,1,never,0,0.0", "nr1,2,,10,25.0"]
    assert found.notes == ("Never given: nr1 1; pe1 2, 3.",)
    wide = spread_answers(result)
    assert [c.heading for c in wide.columns] == ["Item", "1", "2", "3"]
    assert wide.rows == (("nr1", 0, 10, 30), ("nr2", 5, 15, 20), ("pe1", 40, 0, 0))


def test_long_and_different_scales_stay_long() -> None:
    many = described(answers({"nr1": (1,) * 13}))
    assert spread_answers(many) is None
    mixed = spread_answers(described(answers({"nr1": (1, 2), "nr2": (1, 2, 3)})))
    assert mixed.rows[0] == ("nr1", 1, 2, "")  # not a possible answer is not the same as nobody gave it


def test_items_show_floor_ceiling_and_sparse_answers(result: StudyResult) -> None:
    found = tabulate_items(result)
    shown = [c.heading for c in found.columns if c.shown]
    assert "Lowest answer, %" in shown
    assert "Never given" in shown
    row = next(r for r in found.rows if r[0] == "nr1")
    keys = [c.key for c in found.columns]
    assert (row[keys.index("empty")], row[keys.index("sparse")], row[keys.index("floor")]) == ("1", "2", 1.25)
    nothing = replace(result.sample, items=result.sample.items.assign(empty="", sparse=""))
    found = tabulate_items(replace(result, sample=nothing))
    assert "Never given" not in [c.heading for c in found.columns if c.shown]


def test_bars_are_the_percentages_and_add_up(result: StudyResult) -> None:
    plot = draw_answers(result).plot.to_plotly_json()
    assert [t["name"] for t in plot["data"]] == ["1", "2", "3"]
    shares = {name: [t["x"][i] for t in plot["data"]] for i, name in enumerate(COUNTS)}
    assert shares == {"nr1": [0.0, 25.0, 75.0], "nr2": [12.5, 37.5, 50.0], "pe1": [100.0, 0.0, 0.0]}
    axis = plot["layout"]["yaxis"]
    assert axis["ticktext"] == ["nr1", "nr2", "pe1"]
    assert [list(t["y"]) for t in plot["data"]] == [axis["tickvals"]] * 3
    assert [a["text"] for a in plot["layout"]["annotations"]] == ["<b>NR</b>", "<b>PE</b>"]
    assert "nr2: 1 (never): 5, 12.5%" in plot["data"][0]["hovertext"]
    # small segments have no room for a number
    assert plot["data"][0]["text"] == ["", "12", "100"]


def test_items_of_different_length_have_the_same_ends() -> None:
    plot = draw_answers(described(answers({"nr1": (10, 20), "nr2": (5, 10, 15)}))).plot.to_plotly_json()
    first, second, third = plot["data"]
    assert not plot["layout"]["showlegend"]
    assert first["marker"]["color"][0] == first["marker"]["color"][1]
    assert second["marker"]["color"][0] == third["marker"]["color"][0]
    assert second["marker"]["color"][1] not in (first["marker"]["color"][1], third["marker"]["color"][0])


def test_nothing_to_draw() -> None:
    old = studies.demo()
    assert old.sample.answers is None
    assert draw_answers(old) is None
    assert "answers" not in build_tables(old)
    assert draw_answers(described(answers({"nr1": (0, 0)}))) is None


def test_the_report_shows_figure_and_table(result: StudyResult) -> None:
    page = render_report(result)
    assert 'id="figure-answers"' in page
    assert page.count('id="table-answers"') == 1
    assert "Never given: nr1 1; pe1 2, 3." in page


def test_answers_survive_json(result: StudyResult) -> None:
    again = StudyResult.from_json(json.loads(json.dumps(result.to_json(), allow_nan=False)))
    pd.testing.assert_frame_equal(again.sample.answers, result.sample.answers)
    assert StudyResult.from_json(json.loads(json.dumps(studies.demo().to_json()))).sample.answers is None
