"""Pages and lines of lessons say what the numbers say, and labels cannot break out of them."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import MappingProxyType

import pytest

import b2b_sem as bs
from b2b_sem.report.lesson import chance_lines, check_lines, check_tables, write_check, write_task
from b2b_sem.report.lesson_figure import draw_recovery
from b2b_sem.results.lesson import Block, Lesson, LessonCheck, Mistake, Section, Task

BAD = '<script>alert("x")</script> & | "quoted"'


@pytest.fixture(scope="module")
def lesson() -> Lesson:
    return bs.make_lesson("lima2026", n=250, seed=7, level="standard")


@pytest.fixture(scope="module")
def check(lesson: Lesson) -> LessonCheck:
    model = bs.load_model("lima2026").syntax().replace("BT ~ RR + PC", "BT ~ RR + PE")
    return bs.check_lesson(lesson, bs.fit(model, lesson.answers, engine="native"))


class Tags(HTMLParser):
    """Collects tags and checks that they are closed in order."""

    VOID = frozenset({"meta", "br", "link", "img"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, tag
        assert self.open.pop() == tag


def tags(page: str) -> list[str]:
    parser = Tags()
    parser.feed(page)
    assert parser.open == []
    return parser.seen


def words(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def test_the_task_page_says_what_the_sheet_says(lesson: Lesson, tmp_path: Path) -> None:
    page = write_task(lesson, tmp_path / "task.html").read_text(encoding="utf-8")
    assert "script" not in tags(page)
    text = words(page)
    for section in lesson.task.sections:
        assert section.heading in text
        for block in section.blocks:
            for line in block.lines:
                assert " ".join(line.split()) in text
            for row in block.rows[1:]:
                assert all(cell.replace("->", "→") in text for cell in row[1:])


def test_the_sheet_says_what_the_check_says(check: LessonCheck, tmp_path: Path) -> None:
    page = write_check(check, tmp_path / "sheet.html").read_text(encoding="utf-8")
    tags(re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL))
    text = words(re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL))
    assert check.summary() in text
    for mistake in check.mistakes:
        assert mistake.title in text
        assert mistake.advice in text
    for line in (*chance_lines(check), *check.paths["explanation"], *check.verdicts["explanation"]):
        assert line in text
    assert text.count(" not recovered.") == sum(v is False for v in check.paths["recovered"])


def test_labels_are_escaped_everywhere(lesson: Lesson, check: LessonCheck, tmp_path: Path) -> None:
    kinds = ("text", "list", "question", "steps", "code")
    blocks = (*(Block(kind, (BAD, BAD)) for kind in kinds), Block("table", rows=(("a",), (BAD,))))
    task = Task(BAD, BAD, (Section(BAD, blocks),))
    page = write_task(replace(lesson, task=task), tmp_path / "task.html").read_text(encoding="utf-8")
    assert "script" not in tags(page)
    assert "<script" not in page
    paths, verdicts = check.paths, check.verdicts
    paths.loc[0, ["path", "explanation", "proposition"]] = BAD
    verdicts.loc[0, ["id", "truth", "explanation", "path"]] = BAD
    bad = replace(
        check, title=BAD, source=BAD, notes=(BAD,), mistakes=(Mistake("x", BAD, BAD, BAD, BAD),), _paths=paths,
        _verdicts=verdicts,
    )  # fmt: skip
    page = write_check(bad, tmp_path / "sheet.html").read_text(encoding="utf-8")
    assert "alert(" in page
    assert not re.search(r"<script>\s*alert", page)
    # inside the figure's own script, too
    spec = re.search(r'<script type="application/json"[^>]*>(.*?)</script>', page, flags=re.DOTALL)
    assert spec is not None
    assert "alert" in spec[1]
    assert "<" not in spec[1]
    assert "&lt;script" in draw_recovery(bad).plot.layout.yaxis.ticktext[0]  # type: ignore[union-attr]


def test_markdown_tables_keep_their_columns() -> None:
    task = Task("t", "l", (Section("s", (Block("table", rows=(("a", "b"), ("x|y", "z"))),)),))
    assert "| x\\|y | z |" in task.to_markdown()


def test_the_figure_shows_truth_and_estimates(check: LessonCheck) -> None:
    figure = draw_recovery(check)
    assert figure is not None
    table = check.paths[check.paths["est"].notna()].reset_index(drop=True)
    truth = next(t for t in figure.plot.data if t.name == "truth")
    assert list(truth.x) == table["truth"].tolist()
    for name, state in (("recovered", True), ("not recovered", False), ("no path of the population", None)):
        own = table[[v is state for v in table["recovered"]]]
        trace = next((t for t in figure.plot.data if t.name == name), None)
        if own.empty:
            assert trace is None
            continue
        assert trace is not None
        assert list(trace.x) == own["est"].tolist()
        assert list(trace.y) == own.index.tolist()
        assert list(trace.error_x.array) == pytest.approx((own["ci_upper"] - own["est"]).tolist())
        assert list(trace.error_x.arrayminus) == pytest.approx((own["est"] - own["ci_lower"]).tolist())
    # a path that was not fitted has no estimate to draw
    assert "PC → BT" not in figure.plot.layout.yaxis.ticktext
    assert draw_recovery(replace(check, ok=False)) is None


def test_lines_fit_a_terminal(check: LessonCheck) -> None:
    lines = check_lines(check).splitlines()
    assert max(map(len, lines)) <= 100
    shown = {line.split("  ")[0].strip(): line for line in lines}
    for row in check.paths.to_dict("records"):
        line = shown[row["path"]]
        assert row["decision"] in line
        ending = {True: "yes", False: "NO"}.get(row["recovered"], "-") if row["recovered"] is not None else "-"
        assert line.endswith(ending)
    assert "Careless respondents were not screened" in check_lines(check)


def test_tables_have_a_row_for_each_path_item_and_scale(check: LessonCheck) -> None:
    tables = check_tables(check)
    sizes = {name: len(t.rows) for name, t in tables.items()}
    assert sizes == {"paths": len(check.paths), "verdicts": 8, "reliability": 9, "loadings": 44}


def test_chance_is_said_in_words(check: LessonCheck) -> None:
    chance = dict(check.chance) | {
        "path_intervals": 40.0, "path_misses": 2.0, "path_expected": 2.0, "path_probability": 0.6,
        "loading_intervals": 20.0, "loading_misses": 9.0, "loading_expected": 1.0, "loading_probability": 1e-7,
        "zeros": 1.0, "false_alarms": 1.0, "false_alarms_expected": 0.05, "effects": 0.0,
    }  # fmt: skip
    lines = chance_lines(replace(check, chance=MappingProxyType(chance)))
    assert lines[0].startswith("2 of 40 intervals of paths miss the truth.")
    assert "2.0 of 40 on average, and 2 or more with probability .600." in lines[0]
    assert lines[1].endswith("probability < .001: more than chance explains.")
    assert lines[2].startswith("1 path is zero in the population: 1 false alarm, where alpha = .05 makes 0.05")
    assert len(lines) == 4
