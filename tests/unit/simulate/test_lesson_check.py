"""Checking results against a hidden truth: decisions, what is systematic, mistakes that students make."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from lesson_fixture import write_population
from scipy.stats import binom

import b2b_sem as bs
from b2b_sem.errors import DataError, Unsupported
from b2b_sem.results.fit import FitResult
from b2b_sem.results.lesson import Lesson, LessonCheck
from b2b_sem.simulate.lesson import OpenLesson, make_lesson, open_lesson
from b2b_sem.simulate.lesson_answers import ROWS, identify, keep_rows, scored
from b2b_sem.simulate.lesson_check import check_lesson
from b2b_sem.spec.loader import load_simulation
from b2b_sem.spec.simulation import SimulationSpec

MEASURED = "A =~ a1 + a2 + a3 + a4\nB =~ b1 + b2 + b3\nC =~ c1 + c2 + c3\nD =~ d1 + d2 + d3\n"
RIGHT = MEASURED + "B ~ A\nC ~ A + B\nD ~ B + C"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SimulationSpec:
    return load_simulation(write_population(tmp_path_factory.mktemp("small")))


@pytest.fixture(scope="module")
def lesson(small: SimulationSpec) -> Lesson:
    return make_lesson(small, 400, 21, level="intro")


@pytest.fixture(scope="module")
def clean(lesson: Lesson) -> OpenLesson:
    return open_lesson(lesson)


@pytest.fixture(scope="module")
def hard(small: SimulationSpec) -> OpenLesson:
    return open_lesson(make_lesson(small, 500, 4, level="hard"))


@pytest.fixture(scope="module")
def rough(hard: OpenLesson) -> LessonCheck:
    """What comes of handing in the first thing that runs."""
    return check_lesson(hard, fit(hard))


def answers(opened: OpenLesson, rows: str = "all", **options: Any) -> pd.DataFrame:
    """Return scored answers of a lesson."""
    kept = opened.recorded[keep_rows(rows, opened.recorded, opened.survey, opened.spoiled)]
    return scored(kept, opened.survey, opened.model.items(opened.survey), **options)


def fit(opened: OpenLesson, text: str = RIGHT, rows: str = "all", **options: Any) -> FitResult:
    found: FitResult = bs.fit(text, answers(opened, rows), engine="native", **options)
    return found


def codes(check: LessonCheck, *, serious: bool = True) -> set[str]:
    return {m.code for m in check.mistakes if m.serious is serious}


# ---- a right analysis ------------------------------------------------------------------------------------------------


def test_truth_estimates_and_decisions_stand_side_by_side(clean: OpenLesson) -> None:
    own = fit(clean)
    check = check_lesson(clean, own)
    truth = clean.spec.paths()
    std, raw = (t.set_index(["lhs", "op", "rhs"]) for t in (own.standardized(), own.parameters))
    assert len(check.paths) == len(truth) == check.graded == 5
    for row in check.paths.to_dict("records"):
        key = row["lhs"], "~", row["rhs"]
        assert row["truth"] == pytest.approx(truth[row["lhs"], row["rhs"]], abs=1e-12)
        assert row["est"] == pytest.approx(std.loc[key, "est_std"])
        assert row["pvalue"] == pytest.approx(raw.loc[key, "pvalue"])
        assert row["bias_se"] == pytest.approx((row["est"] - row["truth"]) / std.loc[key, "se"])
        assert row["covered"] == (row["ci_lower"] <= row["truth"] <= row["ci_upper"])
        significant = row["pvalue"] < 0.05
        if row["truth"] == 0:
            expected = "type I" if significant else "right"
            assert row["power"] == pytest.approx(0.05, abs=1e-3)  # whole answers: not quite zero
            assert math.isnan(row["rows_needed"])
        elif not significant:
            expected = "type II"
        else:
            expected = "right" if row["est"] * row["truth"] > 0 else "type S"
        assert row["decision"] == expected
        assert row["recovered"] == (expected == "right" and row["covered"])
        # clean answers and the right model: all distance is chance
        assert row["systematic_se"] == 0
        assert row["chance_se"] == pytest.approx(row["bias_se"])
    assert codes(check) == set()
    assert check.ok
    assert check.paths.set_index("path").loc["A -> C", ["proposition", "claimed"]].tolist() == ["H2", "-"]


def test_power_is_that_of_the_population(clean: OpenLesson) -> None:
    own = fit(clean)
    check = check_lesson(clean, own)
    planned = bs.power(clean.spec, RIGHT, nobs=400, indirect=False).table.set_index("test")
    for row in check.paths.to_dict("records"):
        assert row["power"] == pytest.approx(planned.loc[f"{row['lhs']}~{row['rhs']}", "power"])


def test_what_chance_does_is_binomial(clean: OpenLesson) -> None:
    check = check_lesson(clean, fit(clean))
    chance = check.chance
    for name, table in (("path", check.paths), ("loading", check.loadings)):
        misses = int((table["covered"] == False).sum())  # noqa: E712
        assert chance[f"{name}_misses"] == misses
        assert chance[f"{name}_expected"] == pytest.approx(0.05 * len(table))
        assert chance[f"{name}_probability"] == pytest.approx(binom.sf(misses - 1, len(table), 0.05))
    zeros = check.paths["truth"] == 0
    assert chance["zeros"] == zeros.sum() > 0
    assert chance["false_alarms_expected"] == pytest.approx(0.05 * zeros.sum())
    assert chance["overlooked_expected"] == pytest.approx((1 - check.paths["power"][~zeros]).sum())


def test_right_analyses_are_right_as_often_as_they_should(small: SimulationSpec) -> None:
    misses = graded = alarms = zeros = 0
    for seed in range(20):
        opened = open_lesson(make_lesson(small, 300, 1000 + seed, level="intro"))
        table = fit(opened).standardized().set_index(["lhs", "op", "rhs"])
        for (outcome, predictor), value in opened.spec.paths().items():
            row = table.loc[outcome, "~", predictor]
            misses += not row["ci_lower"] <= value <= row["ci_upper"]
            graded += 1
            if value == 0:
                zeros += 1
                alarms += bool(row["pvalue"] < 0.05)
    # 100 intervals of 95%: 5 misses, standard error 2.2; 4 of these are allowed
    assert graded == 100
    assert misses <= 13
    assert zeros >= 20
    assert alarms <= 0.05 * zeros + 4 * math.sqrt(0.05 * 0.95 * zeros)


def test_reliabilities_and_loadings_are_near_the_truth(clean: OpenLesson) -> None:
    check = check_lesson(clean, fit(clean))
    assert check.reliability["scale"].tolist() == ["A", "B", "C", "D"]
    assert (check.reliability["difference"].abs() < 0.06).all()
    np.testing.assert_allclose(check.reliability["difference"], check.reliability["est"] - check.reliability["truth"])
    assert len(check.loadings) == 13
    assert (check.loadings["bias_se"].abs() < 4).all()
    assert check.loadings.set_index("item")["reverse"].to_dict()["a4"] is True


def test_json_holds_everything(hard: OpenLesson, tmp_path: Path) -> None:
    check = check_lesson(hard, fit(hard, MEASURED + "B ~ A\nC ~ B\nD ~ B + C + A"))
    text = json.dumps(check.to_json(), allow_nan=False)
    again = LessonCheck.from_json(json.loads(text))
    assert json.dumps(again.to_json(), allow_nan=False) == text
    assert again.recovered == check.recovered
    assert again.graded == check.graded
    pd.testing.assert_frame_equal(again.loadings, check.loadings)
    assert json.loads(check.save(tmp_path / "c.json").read_text(encoding="utf-8"))["summary"] == check.summary()


# ---- ways to hand in results -----------------------------------------------------------------------------------------


def test_studies_fits_files_and_folders_say_the_same(lesson: Lesson, tmp_path: Path) -> None:
    folder = lesson.save(tmp_path / "lesson")
    study = bs.run_study(folder / "study.yaml", engine="native")
    study.save(tmp_path / "results" / "results.json")
    single = tmp_path / "fit.json"
    single.write_text(json.dumps(study.fit.to_json()), encoding="utf-8")
    (tmp_path / "lesson.key").write_text(lesson.key + "\n", encoding="utf-8")
    first = check_lesson(lesson, study)
    for given in (tmp_path / "results", tmp_path / "results" / "results.json", single):
        other = check_lesson(folder, given)
        pd.testing.assert_frame_equal(other.paths, first.paths)
        assert other.source == str(given)
    # a study holds verdicts; those of a lone fit are computed
    ids = ["H1", "H2", "H3", "H4", "H5"]
    assert first.verdicts["id"].tolist() == ids
    alone = check_lesson(folder, single).verdicts.set_index("id")
    assert alone.loc["H1":"H4", "found"].tolist() == first.verdicts.set_index("id").loc["H1":"H4", "found"].tolist()
    assert codes(first, serious=False) == set()


def test_verdicts_know_the_truth(clean: OpenLesson, lesson: Lesson, tmp_path: Path) -> None:
    folder = lesson.save(tmp_path / "lesson")
    study = bs.run_study(folder / "study.yaml", engine="native")
    truth = clean.spec.paths()
    table = check_lesson(clean, study).verdicts.set_index("id")
    claims = {"H1": ("B", "A", 1), "H2": ("C", "A", -1), "H3": ("C", "B", 1), "H4": ("D", "C", 1)}
    right = {}
    for name, (outcome, predictor, sign) in claims.items():
        value = truth[outcome, predictor] * sign
        right[name] = "not supported" if not value else "supported" if value > 0 else "contradicted"
    value = truth["B", "A"] * truth["C", "B"]
    right["H5"] = "not supported" if not value else "supported" if value > 0 else "contradicted"
    assert table["right"].to_dict() == right
    found = {v.id: v.verdict for v in study.verdicts}
    assert table["found"].to_dict() == found
    assert all((table.loc[i, "outcome"] == "right") == (found[i] == right[i]) for i in right)
    # every wrong verdict has its name
    turned = tuple(
        replace(v, verdict="contradicted" if v.verdict == "supported" else "supported") for v in study.verdicts
    )
    wrong = check_lesson(clean, replace(study, verdicts=turned)).verdicts.set_index("id")
    for name, verdict in right.items():
        if wrong.loc[name, "found"] == verdict:
            expected = "right"
        else:
            expected = "type I" if verdict == "not supported" else "type S"
        assert wrong.loc[name, "outcome"] == expected, name
    silent = tuple(replace(v, verdict="not supported") for v in study.verdicts)
    overlooked = check_lesson(clean, replace(study, verdicts=silent)).verdicts.set_index("id")
    for name, verdict in right.items():
        assert overlooked.loc[name, "outcome"] == ("right" if verdict == "not supported" else "type II")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "not a results file"),
        ('{"results_version": 99}', "results version 99"),
        ('{"a": 1}', "no results of a fit"),
        (None, "cannot read the results"),
    ],
)
def test_what_is_no_result_is_refused(text: str | None, message: str, clean: OpenLesson, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        check_lesson(clean, path)


def test_a_fit_of_groups_is_refused(clean: OpenLesson) -> None:
    frame = answers(clean).assign(half=lambda t: np.arange(len(t)) % 2)
    grouped = bs.fit("B =~ b1 + b2 + b3", frame, group="half", engine="native")
    with pytest.raises(Unsupported, match="one of 2 groups"):
        check_lesson(clean, grouped)


def test_alpha_is_that_of_the_study_or_as_given(clean: OpenLesson) -> None:
    own = fit(clean)
    assert check_lesson(clean, own).alpha == 0.05
    strict = check_lesson(clean, own, alpha=1e-12)
    assert (strict.paths["decision"][strict.paths["pvalue"] > 1e-12] != "type I").all()
    with pytest.raises(DataError, match="alpha=2"):
        check_lesson(clean, own, alpha=2)


# ---- what was done with the answers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", ROWS)
def test_rows_that_were_left_out_are_told(rows: str, hard: OpenLesson) -> None:
    found = identify(fit(hard, rows=rows), hard.recorded, hard.survey, hard.spoiled)
    assert found is not None
    assert found.exact
    assert not found.flipped
    assert not found.coded
    # another rule may keep the same rows; then nobody can tell them apart
    kept = [keep_rows(name, hard.recorded, hard.survey, hard.spoiled) for name in (rows, found.rows)]
    complete = answers(hard).notna().all(axis=1).to_numpy()
    np.testing.assert_array_equal(kept[0] & complete, kept[1] & complete)


def test_full_information_is_told_from_the_nearest(hard: OpenLesson) -> None:
    found = identify(fit(hard, rows="checks", missing="fiml"), hard.recorded, hard.survey, hard.spoiled)
    assert found is not None
    assert (found.rows, found.exact, found.counted) == ("checks", False, True)


@pytest.mark.parametrize("turned", [("a4", "c3"), ("c3",), ("b1",), ("a4", "b2")])
def test_items_that_point_the_wrong_way_are_told(turned: tuple[str, ...], hard: OpenLesson) -> None:
    frame = answers(hard)
    for item in turned:
        frame[item] = 8 - frame[item]
    own = bs.fit(RIGHT, frame, engine="native")
    found = identify(own, hard.recorded, hard.survey, hard.spoiled)
    assert found is not None
    assert set(found.flipped) == set(turned)
    assert found.exact
    if len(turned) == 2:
        messages = [m for m in check_lesson(hard, own).mistakes if m.code == "reversed"]
        assert len(messages) == (1 if "c3" in turned else 2)
        assert all(item in " ".join(m.found for m in messages) for item in turned)


def test_codes_taken_for_answers_are_told(hard: OpenLesson) -> None:
    own = bs.fit(RIGHT, answers(hard, coded=True), engine="native")
    check = check_lesson(hard, own)
    assert "codes" in codes(check)
    assert "missing" not in codes(check)
    assert next(m for m in check.mistakes if m.code == "codes").found.endswith("numbers: -99 and 8.")


def test_raw_answers_have_both_faults(hard: OpenLesson) -> None:
    raw = hard.recorded
    check = check_lesson(hard, bs.fit(RIGHT, raw, engine="native"))
    assert {"codes", "reversed", "careless", "method"} <= codes(check)


def test_other_answers_are_told(hard: OpenLesson, clean: OpenLesson) -> None:
    check = check_lesson(hard, fit(clean))
    assert "data" in codes(check)
    assert check.paths["systematic_se"].isna().all()
    assert "careless" not in codes(check)


def test_a_changed_data_file_is_told(lesson: Lesson, tmp_path: Path) -> None:
    folder = lesson.save(tmp_path / "lesson")
    file = folder / "answers.csv"
    frame = pd.read_csv(file)
    frame["note"] = 1
    frame.to_csv(file, index=False)
    study = bs.run_study(folder / "study.yaml", engine="native")
    check = check_lesson(folder, study, key=lesson.key)
    assert "data" in codes(check, serious=False)
    assert any("it was changed" in note for note in check.notes)


def test_careless_respondents_that_were_kept_are_told(hard: OpenLesson, rough: LessonCheck) -> None:
    assert "careless" in codes(rough)
    total = int(hard.spoiled.sum())
    assert f"{total} of 500 respondents" in next(m for m in rough.mistakes if m.code == "careless").found


def test_a_method_factor_is_seen(small: SimulationSpec) -> None:
    opened = open_lesson(make_lesson(small, 500, 5, level="hard"))
    check = check_lesson(opened, fit(opened, opened.model.syntax(rival="method"), "both"))
    assert check.ok
    assert codes(check) == {"missing"}  # neither careless answers nor the method are left
    assert any("was taken for a method factor" in note for note in check.notes)


def test_faults_explain_what_they_do(hard: OpenLesson, rough: LessonCheck) -> None:
    careful = check_lesson(hard, fit(hard, rows="both", missing="fiml"))
    assert codes(rough) == {"careless", "missing", "method"}
    assert codes(careful) == {"method"}
    # what is left of a careful analysis is common method variance alone
    assert rough.paths["systematic_se"].abs().sum() > careful.paths["systematic_se"].abs().sum() > 0
    told = " ".join(rough.paths["explanation"])
    assert "common method variance (" in told
    assert "careless answers (" in told
    assert "careless answers" not in " ".join(careful.paths["explanation"])


# ---- which model was fitted ------------------------------------------------------------------------------------------


def test_other_names_of_latents_do_not_matter(clean: OpenLesson) -> None:
    own = check_lesson(clean, fit(clean))
    text = RIGHT
    for old, new in (("A", "Fame"), ("B", "D2"), ("C", "A2"), ("D", "B")):  # one bears the name of another
        text = text.replace(f"{old} ", f"_{new} ").replace(f"~ {old}", f"~ _{new}").replace(f"+ {old}", f"+ _{new}")
    text = text.replace("_", "")
    assert "B =~ d1" in text
    other = check_lesson(clean, fit(clean, text))
    pd.testing.assert_frame_equal(
        other.paths.drop(columns="power"), own.paths.drop(columns="power"), rtol=1e-4, atol=1e-4, check_dtype=False
    )
    np.testing.assert_allclose(other.paths["power"], own.paths["power"], rtol=1e-6)
    assert any("Fame = A" in note for note in other.notes)
    assert other.verdicts["found"].tolist() == own.verdicts["found"].tolist()


def test_an_omitted_path_moves_the_others(small: SimulationSpec) -> None:
    # a seed in which B -> D is there and C -> D is too, so that leaving one out matters
    for seed in range(100):
        opened = open_lesson(make_lesson(small, 400, seed, level="intro"))
        truth = opened.spec.paths()
        if truth["D", "B"] and truth["C", "B"]:
            break
    check = check_lesson(opened, fit(opened, MEASURED + "B ~ A\nC ~ A + B\nD ~ C"))
    table = check.paths.set_index("path")
    assert table.loc["B -> D", "decision"] == "not in the model"
    assert table.loc["B -> D", "recovered"] is False
    assert math.isnan(table.loc["B -> D", "est"])
    assert "path-missing" in codes(check)
    # the regression of D on C alone has the slope r(C, D)
    values = opened.drawn.population
    cov = values.cov()
    at = {name: len(values.items) + k for k, name in enumerate(values.nodes)}
    expected = cov[at["C"], at["D"]] - truth["D", "C"]
    se = (table.loc["C -> D", "ci_upper"] - table.loc["C -> D", "ci_lower"]) / (2 * 1.959964)
    assert table.loc["C -> D", "systematic_se"] * se == pytest.approx(expected, abs=0.04)
    assert "the model (" in table.loc["C -> D", "explanation"]


def test_a_path_left_out_that_is_zero_does_no_harm(clean: OpenLesson) -> None:
    truth = clean.spec.paths()
    zero = next(pair for pair, value in truth.items() if value == 0 and pair[0] in ("C", "D"))
    kept = [f"{a} ~ {b}" for a, b in truth if (a, b) != zero]
    check = check_lesson(clean, fit(clean, MEASURED + "\n".join(kept)))
    row = check.paths.set_index("path").loc[f"{zero[1]} -> {zero[0]}"]
    assert row["decision"] == "not in the model"
    assert row["recovered"] is None
    assert check.graded == 4
    assert "path-missing" in codes(check, serious=False)
    assert "path-missing" not in codes(check)


def test_extra_and_turned_paths_are_told(clean: OpenLesson) -> None:
    check = check_lesson(clean, fit(clean, RIGHT + " + A"))
    row = check.paths.set_index("path").loc["A -> D"]
    assert row["truth"] == 0
    assert row["recovered"] is None
    assert "path-extra" in codes(check, serious=False)
    assert check.graded == 5
    turned = check_lesson(clean, fit(clean, MEASURED + "A ~ B\nC ~ A + B\nD ~ B + C"))
    table = turned.paths.set_index("path")
    assert table.loc["B -> A", "decision"] == "wrong direction"
    assert table.loc["A -> B", "decision"] == "not in the model"
    assert "path-turned" in codes(turned)
    assert "path-missing" not in codes(turned)


def test_a_model_without_paths_is_told(clean: OpenLesson) -> None:
    check = check_lesson(clean, fit(clean, MEASURED))
    assert check.recovered == 0
    assert [m.title for m in check.mistakes if m.serious] == ["The model has no paths of the theory"]
    assert set(check.verdicts["outcome"]) == {"not tested"}


def test_columns_that_are_no_items_are_told(clean: OpenLesson) -> None:
    recorded = clean.recorded
    frame = answers(clean).assign(id=recorded["id"], ac1=recorded["ac1"], size=recorded["size"])
    check = check_lesson(clean, bs.fit(RIGHT.replace("a4\n", "a4 + id\n"), frame, engine="native"))
    found = next(m for m in check.mistakes if m.code == "columns")
    assert found.serious
    assert found.found.startswith("id:")
    # a fact as a predictor is no blunder
    fact = check_lesson(clean, bs.fit(RIGHT + " + size", frame, engine="native"))
    assert "columns" in codes(fact, serious=False)
    assert fact.paths["path"].str.startswith("size").sum() == 0


def test_misplaced_and_missing_items_and_constructs_are_told(clean: OpenLesson) -> None:
    text = RIGHT.replace("b2 + b3", "b2 + c3").replace("c2 + c3", "c2 + b3")
    check = check_lesson(clean, fit(clean, text))
    found = next(m for m in check.mistakes if m.code == "measurement")
    assert "c3 on B" in found.found
    assert "b3 on C" in found.found
    shorter = check_lesson(clean, fit(clean, RIGHT.replace(" + a4", "")))
    assert "measurement" in codes(shorter, serious=False)
    assert shorter.reliability.set_index("scale").loc["A", "items"] == 3
    without = check_lesson(clean, fit(clean, "A =~ a1 + a2 + a3\nB =~ b1 + b2 + b3\nB ~ A"))
    assert any(m.title == "Constructs are not in the model" and "C and D" in m.found for m in without.mistakes)


def test_a_fit_that_failed_recovers_nothing(clean: OpenLesson) -> None:
    broken = replace(FitResult.from_json(fit(clean).to_json()), converged=False)
    check = check_lesson(clean, broken)
    assert not check.ok
    assert check.recovered == 0
    assert check.graded == 5
    assert set(check.paths["decision"]) == {"no verdict"}
    assert "failed" in codes(check)
    assert check.summary() == "Nothing was recovered: the estimation did not converge."


def test_ordered_items_are_compared_with_what_is_behind_them(clean: OpenLesson) -> None:
    own = fit(clean, ordered=True)
    check = check_lesson(clean, own)
    truth = clean.drawn.truth
    value = {r["rhs"]: r["value"] for r in truth.to_dict("records") if r["op"] == "=~"}
    for row in check.loadings.to_dict("records"):
        assert row["truth"] == pytest.approx(value[row["item"]])
    assert "data" not in codes(check)


def test_facets_facts_and_other_formats(tmp_path: Path) -> None:
    survey = """
kind: survey
schema_version: 1
id: s
title: s
format: {low: 0, high: 10, missing: {99: none}}
scales:
  Q:
    name: q
    facets: {a: first, b: second}
    items:
      q1: {text: x, facet: a}
      q2: {text: x, facet: a}
      q3: {text: x, facet: a, reverse: true}
      q4: {text: x, facet: b}
      q5: {text: x, facet: b}
      q6: {text: x, facet: b}
  S: {name: s, format: {low: 1, high: 5}, items: {s1: x, s2: x, s3: x}}
  L: {name: l, items: {l1: x, l2: x, l3: {text: x, reverse: true}, l4: x}}
facts:
  age: {label: age, type: number, minimum: 16, maximum: 90}
"""
    model = """
kind: model
schema_version: 1
id: m
title: m
survey: ./survey.yaml
measurement: {Q: {scale: Q, second_order: facets}, S: {scale: S}, L: {scale: L}}
structural: |
  S ~ Q
  L ~ S + Q
covariates: {age: [L, S]}
propositions:
  - {id: A1, statement: q, path: Q -> S, sign: "+"}
  - {id: A2, statement: age, path: age -> L, sign: "-"}
"""
    population = """
kind: simulation
schema_version: 1
id: p
title: p
model: ./model.yaml
values: {loadings: {default: 0.8}, paths: {S ~ Q: 0.4, L ~ S: 0.3, L ~ Q: 0.2, L ~ age: -0.1, S ~ age: 0.1}}
facts: {age: {mean: 44, sd: 12}}
"""
    path = write_population(tmp_path, survey=survey, model=model, population=population)
    lesson = make_lesson(path, 500, 2, level="hard")
    opened = open_lesson(lesson)
    folder = lesson.save(tmp_path / "lesson")
    check = check_lesson(opened, bs.run_study(folder / "study.yaml", engine="native"))
    truth = opened.spec.paths()
    table = check.paths.set_index("path")["truth"].to_dict()
    assert table == pytest.approx({f"{b} -> {a}": value for (a, b), value in truth.items()}, abs=1e-12)
    assert codes(check) == {"careless", "missing", "method"}
    assert "no attention check" in next(m for m in check.mistakes if m.code == "careless").found
    assert check.paths["systematic_se"].notna().all()
    assert check.paths["power"].notna().all()
    assert check.reliability["scale"].tolist() == ["Q_a", "Q_b", "S", "L"]
    assert check.verdicts["id"].tolist() == ["A1", "A2"]
    assert not any("groups" in note for note in check.notes)


# ---- groups and products ---------------------------------------------------------------------------------------------


def test_a_path_that_differs_between_groups_has_the_value_of_all_together(tmp_path: Path) -> None:
    survey = """
kind: survey
schema_version: 1
id: s
title: s
format: {low: 1, high: 7}
scales:
  X: {name: x, items: {x1: x, x2: x, x3: x}}
  Y: {name: y, items: {y1: x, y2: x, y3: x}}
facts:
  side: {label: side, type: categorical, categories: {1: left, 2: right}}
"""
    model = """
kind: model
schema_version: 1
id: m
title: m
survey: ./survey.yaml
measurement: {X: {scale: X}, Y: {scale: Y}}
structural: Y ~ X
propositions:
  - {id: Q1, statement: q, path: X -> Y, sign: "+"}
"""
    population = """
kind: simulation
schema_version: 1
id: p
title: p
model: ./model.yaml
values: {loadings: {default: 0.8}, paths: {Y ~ X: 0.3}}
groups:
  split: side
  reference: left
  levels: {right: {paths: {Y ~ X: 0.6}}}
response: {mean: 4, sd: 1.4}
facts: {side: {shares: {1: 0.5, 2: 0.5}}}
"""
    path = write_population(tmp_path, survey=survey, model=model, population=population)
    for seed in range(50):
        opened = open_lesson(make_lesson(path, 500, seed, level="intro"))
        values = {name: own.paths[0][2] for name, own in opened.drawn.levels.items()}
        if values["left"] != values["right"]:
            break
    text = "X =~ x1 + x2 + x3\nY =~ y1 + y2 + y3\nY ~ X"
    check = check_lesson(opened, fit(opened, text))
    row = check.paths.iloc[0]
    # equal shares and variances: the mean of both
    assert row["truth"] == pytest.approx(sum(values.values()) / 2, abs=0.03)
    assert "the groups differ" in row["explanation"].lower()
    signs = {np.sign(v) for v in values.values()}
    outcome = check.verdicts.iloc[0]
    assert (outcome["outcome"] == "not graded") == (len(signs) > 1)
    assert "(left)" in outcome["truth"]
