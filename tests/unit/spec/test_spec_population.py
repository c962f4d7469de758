from __future__ import annotations

import math
import pickle
from pathlib import Path

import pytest

from b2b_sem.errors import SpecError
from b2b_sem.spec.loader import load_simulation, load_study
from b2b_sem.spec.simulation import ResponseShape


def test_values_are_found_by_item_then_latent_then_default() -> None:
    spec = load_simulation("lima2026")
    values = spec.values.loadings
    assert spec.loading("nr4", "NR") == values.items["nr4"]
    assert spec.loading("nr1", "NR") == values.scales["NR"]
    assert spec.loading("pc1", "PC") == values.default
    assert spec.paths()["PC", "NR"] == 0.25
    assert spec.correlations()["NR", "PE"] == 0.40
    assert spec.residual_correlations() == {("DE", "EQ"): 0.10}


def test_every_path_of_the_model_has_a_value() -> None:
    spec = load_simulation("lima2026")
    assert spec.model_spec is not None
    assert set(spec.paths()) == set(spec.model_spec.regressions())


def test_cut_points_from_mean_and_sd() -> None:
    cuts = ResponseShape(mean=4.0, sd=2.0).cut_points(1, 7)
    assert cuts == (-1.25, -0.75, -0.25, 0.25, 0.75, 1.25)
    assert ResponseShape().cut_points(1, 5) == (-1.5, -0.5, 0.5, 1.5)
    assert ResponseShape(thresholds=(-1.0, 0.0)).cut_points(1, 3) == (-1.0, 0.0)


def test_shape_of_an_item() -> None:
    spec = load_simulation("lima2026")
    assert spec.shape("de1", "DE").mean == 4.1
    assert spec.shape("nr1", "NR").mean == 4.6


def test_demo_study_carries_everything() -> None:
    study = load_study("demo")
    assert study.steps == ("fit", "measurement", "effects", "propositions", "groups", "moderation", "rivals")
    assert study.splits == ("sector",)
    assert study.rivals == ("tv_to_pc", "eq_to_bt", "full_mediation", "one_factor")
    assert study.model_spec is not None
    assert study.model_spec.survey_spec is study.survey_spec
    assert study.simulation_spec is not None
    assert (study.alpha, study.confidence, study.multiplicity) == (0.05, 0.95, "holm")
    assert study.fit_settings().stated() == {"estimator": "ML", "missing": "listwise"}
    assert study.data_path is None


def test_loaded_study_survives_pickling() -> None:
    study = load_study("demo")
    again = pickle.loads(pickle.dumps(study))
    assert again.model_spec.syntax(rival="full_mediation") == study.model_spec.syntax(rival="full_mediation")
    assert again.source == study.source


STUDY = """\
kind: study
schema_version: 1
id: own
title: T
model: ./m.lav
data: {{{data}}}
analyses: [fit]
"""


def write(folder: Path, data: str) -> Path:
    (folder / "m.lav").write_text("X =~ a + b + c\n")
    (folder / "study.yaml").write_text(STUDY.format(data=data))
    return folder / "study.yaml"


def test_data_paths_start_from_the_study_file(tmp_path: Path) -> None:
    (tmp_path / "answers.csv").write_text("a,b,c\n1,2,3\n")
    study = load_study(write(tmp_path, "file: answers.csv, rename: {Q1: a}"))
    assert study.data_path == tmp_path / "answers.csv"
    assert study.data.origin == "file"
    assert study.data.rename == {"Q1": "a"}
    assert study.survey_spec is None


def test_missing_data_file_gets_a_suggestion_unless_another_takes_its_place(tmp_path: Path) -> None:
    (tmp_path / "answers.csv").write_text("a,b,c\n1,2,3\n")
    path = write(tmp_path, "file: anwsers.csv")
    with pytest.raises(SpecError, match=r"Did you mean 'answers\.csv'") as caught:
        load_study(path)
    assert (caught.value.line, caught.value.column) == (6, 14)
    assert load_study(path, check_data=False).data.file == "anwsers.csv"


def test_covariance_needs_n(tmp_path: Path) -> None:
    (tmp_path / "cov.csv").write_text("")
    with pytest.raises(SpecError, match="needs 'n'"):
        load_study(write(tmp_path, "covariance: cov.csv"))
    assert load_study(write(tmp_path, "covariance: cov.csv, n: 120")).data.n == 120


def test_two_columns_cannot_get_one_name(tmp_path: Path) -> None:
    (tmp_path / "answers.csv").write_text("")
    with pytest.raises(SpecError, match="columns 'Q1' and 'Q2' are both renamed to 'a'"):
        load_study(write(tmp_path, "file: answers.csv, rename: {Q1: a, Q2: a}"))


def test_rival_that_needs_items_nobody_answers(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(
        "kind: study\nschema_version: 1\nid: own\ntitle: T\nmodel: lima2026\n"
        "data: {simulate: lima2026}\nanalyses: [fit, rivals: [tv_to_pc, echo]]\n"
    )
    with pytest.raises(SpecError, match="rival 'echo' needs oe1, oe2, oe3, oe4") as caught:
        load_study(path)
    assert (caught.value.line, caught.value.column) == (7, 36)


def test_bare_rivals_means_all(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(
        "kind: model\nschema_version: 1\nid: m\ntitle: T\nmeasurement: {X: {items: [a, b, c]}, Y: {items: [d, e]}}\n"
        "structural: Y ~ X\nrivals:\n  r1: {title: t, why: w, remove: [Y ~ X]}\n"
        "  r2: {title: t, why: w, form: one_factor}\n"
    )
    (tmp_path / "answers.csv").write_text("")
    path = tmp_path / "study.yaml"
    path.write_text(
        "kind: study\nschema_version: 1\nid: own\ntitle: T\nmodel: m.yaml\n"
        "data: {file: answers.csv}\nanalyses: [rivals]\n"
    )
    assert load_study(path).rivals == ("r1", "r2")


def test_shares_of_the_bundled_facts_sum_to_one() -> None:
    for fact in load_simulation("lima2026").facts.values():
        if fact.shares is not None:
            assert math.isclose(sum(fact.shares.values()), 1)
