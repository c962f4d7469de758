"""Lessons: what is drawn, what is handed out, and that nothing handed out tells the truth."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from lesson_fixture import MODEL, POPULATION, write_population
from numpy.random import default_rng

import b2b_sem as bs
from b2b_sem.errors import DataError, SpecError, Unsupported
from b2b_sem.results.lesson import Lesson
from b2b_sem.simulate import lesson_draw
from b2b_sem.simulate.lesson import key_file, make_lesson, open_lesson
from b2b_sem.simulate.lesson_draw import LEVELS, Level, claimed_signs, draw_parts
from b2b_sem.simulate.lesson_truth import truth_lines
from b2b_sem.simulate.population import population
from b2b_sem.simulate.respond import sources
from b2b_sem.spec.loader import load_simulation
from b2b_sem.spec.part import with_parts
from b2b_sem.spec.simulation import SimulationSpec


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SimulationSpec:
    return load_simulation(write_population(tmp_path_factory.mktemp("small")))


@pytest.mark.parametrize("level", LEVELS)
def test_the_same_seed_makes_the_same_lesson(small: SimulationSpec, level: str) -> None:
    one, two = (make_lesson(small, 60, 5, level=level) for _ in range(2))
    assert one == two
    other = make_lesson(small, 60, 6, level=level)
    assert other.key != one.key
    assert open_lesson(other).drawn.truth["value"].tolist() != open_lesson(one).drawn.truth["value"].tolist()


def test_without_a_seed_every_lesson_is_another_one(small: SimulationSpec) -> None:
    one, two = (make_lesson(small, 40) for _ in range(2))
    assert one.files["answers.csv"] != two.files["answers.csv"]
    seed = open_lesson(one).seed
    assert make_lesson(small, 40, seed) == one


@pytest.mark.parametrize("level", LEVELS)
def test_the_truth_is_what_the_answers_come_from(small: SimulationSpec, level: str) -> None:
    lesson = make_lesson(small, 200, 3, level=level)
    opened = open_lesson(lesson)
    assert opened.same
    assert (opened.id, opened.level, opened.n, opened.seed) == ("small_" + level, level, 200, 3)
    again = bs.simulate(opened.spec, 200, opened.drawn.seed).frame
    shown = lesson.answers
    both = shown.columns.tolist()
    assert both == again.columns.tolist()
    present = again[both].notna()
    assert (shown[both].where(present) == again[both].where(present)).to_numpy()[present.to_numpy()].all()


def test_nothing_handed_out_tells_the_truth(small: SimulationSpec) -> None:
    lesson = make_lesson(small, 50, 987654321, level="hard")
    opened = open_lesson(lesson)
    values = [f"{v:g}" for v in opened.spec.values.loadings.items.values()]
    for name, text in lesson.files.items():
        assert "987654321" not in text, name
        assert str(opened.drawn.seed) not in text
        assert lesson.key not in text
        if name not in ("answers.csv", "truth.seal"):
            assert not any(f" {value}\n" in text or f": {value}," in text for value in values if len(value) == 4), name
    assert "values:" not in lesson.files["model.yaml"]
    # the codebook of a hard lesson does not say which items are reversed; others do
    assert "reverse" not in pd.read_csv(io.StringIO(lesson.files["codebook.csv"])).columns
    easy = make_lesson(small, 50, 1, level="intro")
    assert "reverse" in pd.read_csv(io.StringIO(easy.files["codebook.csv"])).columns


def test_paths_are_zero_or_turned_as_often_as_the_level_says(small: SimulationSpec) -> None:
    model, survey = sources(small)
    signs = claimed_signs(small, model)
    # as propositions say; where none does, as the file's own value
    assert signs == {("B", "A"): 1, ("C", "A"): -1, ("C", "B"): 1, ("D", "B"): 1, ("D", "C"): 1}
    level = LEVELS["standard"]
    kinds, sizes = [], []
    for seed in range(100):
        parts = draw_parts(small, level, default_rng(seed))
        own = with_parts(small, parts, model, survey).paths()
        kinds.append([np.sign(own[pair]) * sign for pair, sign in signs.items()])
        sizes += [abs(value) for value in own.values() if value]
    found = np.array(kinds)
    # of five paths at least one is zero and one has the other sign, and the rest are as stated
    assert ((found == 0).sum(axis=1) >= 1).all()
    assert ((found == -1).sum(axis=1) >= 1).all()
    assert ((found == 1).sum(axis=1) >= 3).all()
    assert level.paths[0] <= min(sizes)
    assert max(sizes) <= level.paths[1]
    # every path has its turn
    assert ((found == 0).mean(axis=0) > 0.08).all()
    assert ((found == -1).mean(axis=0) > 0.08).all()


@pytest.mark.parametrize("sim", ["lima2026", "lima2026_sectors"])
def test_hidden_values_can_be_had_together(sim: str) -> None:
    spec = load_simulation(sim)
    model, survey = sources(spec)
    for seed in range(4):
        drawn = with_parts(spec, draw_parts(spec, LEVELS["intro"], default_rng(seed)), model, survey)
        values = population(drawn, model, survey)
        assert max(values.r2[name] for name in values.outcomes) <= 0.70
        assert set(drawn.paths()) == set(spec.regressions(model))
        assert set(drawn.products()) == set(spec.products())


def test_levels_have_the_faults_they_promise(small: SimulationSpec) -> None:
    found = {level: open_lesson(make_lesson(small, 500, 4, level=level)) for level in LEVELS}
    intro, standard, hard = (found[level] for level in ("intro", "standard", "hard"))
    assert not intro.spoiled.any()
    assert intro.recorded.notna().all(axis=None)
    assert 0.02 < standard.spoiled.mean() < 0.10
    assert 0 < standard.recorded.isna().to_numpy().mean() < 0.02
    assert 0.04 < hard.spoiled.mean() < 0.18
    assert hard.spec.values.method is not None
    # missing answers of a hard lesson are recorded by the codes of the survey, in turn
    assert hard.recorded.notna().all(axis=None)
    items = [name for name in hard.recorded if hard.drawn.frame[name].isna().any()]
    codes = hard.recorded[items].to_numpy()[hard.drawn.frame[items].isna().to_numpy()]
    assert set(codes) == {8, -99}
    # who breaks off leaves out all items of one scale
    holes = hard.drawn.frame[items].isna()
    assert holes.all(axis=1).sum() == holes.any(axis=1).sum() > 30
    assert {name[0] for name in items} == {"d"}


def test_careless_respondents_are_those_whose_answers_change(small: SimulationSpec) -> None:
    opened = open_lesson(make_lesson(small, 400, 4, level="standard"))
    failed = (opened.recorded["ac1"] != 2) | (opened.recorded["ac2"] != 6)
    assert opened.spoiled[failed].all()
    # whoever answers at random passes both checks once in 49
    assert failed.sum() >= 0.7 * opened.spoiled.sum() > 0


def test_files_run_on_their_own(small: SimulationSpec, tmp_path: Path) -> None:
    lesson = make_lesson(small, 150, 2, level="standard")
    folder = lesson.save(tmp_path / "lesson")
    assert {p.name for p in folder.iterdir()} == set(lesson.files)
    listing = json.loads(lesson.files["lesson.json"])
    assert {f["path"] for f in listing["files"]} == set(lesson.files) - {"lesson.json"}
    result = bs.run_study(folder / "study.yaml", engine="native")
    assert result.fit.converged
    assert [v.id for v in result.verdicts] == ["H1", "H2", "H3", "H4", "H5"]
    assert bs.load_model(folder / "model.yaml").survey_spec is not None
    assert Lesson.from_json(json.loads(json.dumps(lesson.to_json()))) == lesson


def test_the_key_lies_beside_the_folder(small: SimulationSpec, tmp_path: Path) -> None:
    lesson = make_lesson(small, 40, 2, key="my own key")
    folder = lesson.save(tmp_path / "lesson")
    assert key_file(folder) == tmp_path / "lesson.key"
    with pytest.raises(DataError, match=r"key of this lesson is needed.*no file lesson.key"):
        open_lesson(folder)
    (tmp_path / "lesson.key").write_text("MY-OWN-KEY\nand a note\n", encoding="utf-8")
    assert open_lesson(folder).n == 40
    with pytest.raises(DataError, match="does not open"):
        open_lesson(folder, "another")
    with pytest.raises(DataError, match="no sealed truth of a lesson here"):
        open_lesson(tmp_path)


def test_the_task_names_what_there_is(small: SimulationSpec) -> None:
    hard, intro = (make_lesson(small, 40, 2, level=level) for level in ("hard", "intro"))
    text = hard.files["task.md"]
    for word in ("H1", "A -> B", "A lowers C.", "answers.csv", "study.yaml", "ac1, ac2", "B -> D"):
        assert word in text
    assert "--data cleaned.csv" in text
    assert "cleaned.csv" not in intro.files["task.md"]
    assert "path of the model without a proposition" in text.replace("Paths", "path").lower()


def test_the_teacher_sees_everything() -> None:
    opened = open_lesson(make_lesson("lima2026_sectors", 80, 5, level="standard"))
    text = "\n".join(truth_lines(opened))
    assert "PC:PX -> RR" in text
    assert "(regulated)" in text
    assert "P10: " in text
    assert "respondents are careless" in text
    assert "missing by chance" in text
    assert "reversed items: nr4, " in text
    for pair, value in opened.spec.paths().items():
        if pair in opened.model.regressions() and pair not in opened.spec.paths(opened.spec.groups.levels["regulated"]):  # type: ignore[union-attr]
            assert f"{pair[1]} -> {pair[0]}: {value}" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"level": "medium"}, "there is no level 'medium'"),
        ({"level": "strandard"}, "Did you mean 'standard'"),
        ({"n": 10}, "n=10 must be a whole number of 30 or more"),
        ({"n": 50.5}, "n=50.5"),
        ({"n": True}, "n=True"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": 1.5}, r"seed=1\.5"),
        ({"key": "--"}, "the key is empty"),
    ],
)
def test_bad_arguments_are_named(small: SimulationSpec, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        make_lesson(small, **{"n": 50, "seed": 1, **arguments})  # type: ignore[arg-type]


def test_a_population_without_files_is_refused(small: SimulationSpec) -> None:
    made = SimulationSpec.model_validate(small.model_dump(exclude_unset=True))
    made._model, made._survey = small._model, small._survey
    with pytest.raises(SpecError, match="was built in Python"):
        make_lesson(made, 50, 1)


@pytest.mark.parametrize(
    "section",
    ["missing: {mechanisms: [{items: [D], rate: 0.1}]}", "distribution: {latents: {A: {skew: 1, kurtosis: 2}}}"],
)
def test_sections_that_a_lesson_would_not_tell_of_are_refused(section: str, tmp_path: Path) -> None:
    path = write_population(tmp_path, population=POPULATION + section + "\n")
    with pytest.raises(Unsupported, match=f"has a section '{section.split(':')[0]}'"):
        make_lesson(path, 50, 1)


def test_raw_values_are_refused(tmp_path: Path) -> None:
    spec = load_simulation(write_population(tmp_path)).model_copy(update={"standardized": False})
    with pytest.raises(Unsupported, match="has raw values"):
        make_lesson(spec, 50, 1)


def test_continuous_answers_are_refused(tmp_path: Path) -> None:
    """The questionnaire of such a lesson would refuse its own answers."""
    spec = load_simulation(write_population(tmp_path))
    response = spec.response.model_copy(update={"type": "continuous"})
    with pytest.raises(Unsupported, match="has continuous answers"):
        make_lesson(spec.model_copy(update={"response": response}), 50, 1)


def test_a_model_in_lavaan_syntax_serves(tmp_path: Path) -> None:
    text = "A =~ a1 + a2 + a3\nB =~ b1 + b2 + b3\nB ~ A\n"
    (tmp_path / "two.lav").write_text(text, encoding="utf-8")
    values = "values:\n  loadings: {default: 0.7}\n  paths: {B ~ A: 0.4}\n"
    path = write_population(
        tmp_path,
        population="kind: simulation\nschema_version: 1\nid: two\ntitle: Two\nmodel: ./two.lav\nsurvey: ./survey.yaml\n"
        + values,
    )
    lesson = make_lesson(path, 120, 3, level="intro")
    assert lesson.files["model.lav"] == text
    folder = lesson.save(tmp_path / "lesson")
    assert bs.run_study(folder / "study.yaml", engine="native").fit.converged
    assert open_lesson(lesson).same


def test_values_that_cannot_be_had_are_refused(small: SimulationSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lesson_draw, "_TRIES", 20)
    greedy = Level(loadings=(0.7, 0.8), paths=(0.95, 0.99), zero=0.0, other=0.0)
    with pytest.raises(SpecError, match="no hidden values were found that go together in 'small'"):
        draw_parts(small, greedy, default_rng(1))


def test_the_comment_behind_a_reference_is_no_part_of_it(tmp_path: Path) -> None:
    assert "# beside this file" in MODEL
    lesson = make_lesson(write_population(tmp_path), 40, 1)
    assert "survey: ./survey.yaml\n" in lesson.files["model.yaml"]
