"""Copies of study files load without the originals, and mean the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from b2b_sem.errors import SpecError, Unsupported
from b2b_sem.resources import is_bundled, resolve
from b2b_sem.spec.copies import write_copies
from b2b_sem.spec.loader import load_montecarlo, load_study
from b2b_sem.spec.study import StudySpec


def test_a_bundled_study_with_all_it_names(tmp_path: Path) -> None:
    study = load_study("demo")
    copies = write_copies(study, tmp_path)
    assert [(c.role, c.path, c.bundled) for c in copies] == [
        ("study", "simulations/demo.yaml", True),
        ("survey", "surveys/lima2026.yaml", True),
        ("model", "models/lima2026.yaml", True),
        ("simulation", "simulations/lima2026_sectors.yaml", True),
    ]
    # the copies are used, not the bundled files
    model = tmp_path / "models/lima2026.yaml"
    model.write_text(model.read_text(encoding="utf-8").replace("title: ", "title: My ", 1), encoding="utf-8")
    again = load_study(tmp_path / "simulations/demo.yaml")
    assert again.model_spec is not None
    assert again.simulation_spec is not None
    assert again.model_spec.title.startswith("My ")
    assert again.simulation_spec.model_spec is not None
    assert again.simulation_spec.model_spec.title.startswith("My ")
    assert again.digest == study.digest


def test_one_reference_that_means_two_files(tmp_path: Path) -> None:
    """`m.yaml` is the model of the study here, and the model of the population in another folder."""
    here, there = tmp_path / "here", tmp_path / "there"
    for folder, title in ((here, "One"), (there, "Two")):
        folder.mkdir()
        text = resolve("models", "lima2026").read_text(encoding="utf-8")
        lines = [f"title: {title}" if line.startswith("title:") else line for line in text.splitlines()]
        (folder / "m.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    population = resolve("simulations", "lima2026").read_text(encoding="utf-8")
    (there / "p.yaml").write_text(population.replace("model: lima2026", "model: m.yaml"), encoding="utf-8")
    (here / "s.yaml").write_text(
        "kind: study\nschema_version: 1\nid: s\ntitle: T\nmodel: m.yaml\ndata: {simulate: ../there/p.yaml, n: 300}\n",
        encoding="utf-8",
    )
    out = tmp_path / "out"
    copies = write_copies(load_study(here / "s.yaml"), out)
    assert copies[0].path == "own/s.yaml"
    shutil.rmtree(here)
    shutil.rmtree(there)
    again = load_study(out / "own/s.yaml")
    assert again.model_spec is not None
    assert again.model_spec.title == "One"
    assert again.simulation_spec is not None
    assert again.simulation_spec.model_spec is not None
    assert again.simulation_spec.model_spec.title == "Two"


def test_a_monte_carlo_study(tmp_path: Path) -> None:
    copies = write_copies(load_montecarlo("lima2026_samples"), tmp_path)
    assert {c.role for c in copies} == {"montecarlo", "simulation", "model", "survey"}
    assert load_montecarlo(tmp_path / copies[0].path).population_spec is not None


def test_what_cannot_be_copied(tmp_path: Path) -> None:
    source = tmp_path / "s.yaml"
    text = "kind: study\nschema_version: 1\nid: s\ntitle: T\nmodel: lima2026\ndata: {simulate: lima2026, n: 300}\n"
    source.write_text(text, encoding="utf-8")
    study = load_study(source)
    source.write_text(text.replace("n: 300", "n: 400"), encoding="utf-8")
    with pytest.raises(SpecError, match="changed while the study ran"):
        write_copies(study, tmp_path / "out")
    made = StudySpec.model_validate(
        {"kind": "study", "schema_version": 1, "id": "s", "title": "T", "model": "m", "data": {"file": "d.csv"}}
    )
    with pytest.raises(Unsupported, match="not read from a file"):
        write_copies(made, tmp_path / "out")


def test_is_bundled(tmp_path: Path) -> None:
    path = resolve("models", "lima2026")
    assert is_bundled(path)
    assert not is_bundled(path, "simulations")
    shutil.copy(path, tmp_path)
    assert not is_bundled(tmp_path / path.name)
