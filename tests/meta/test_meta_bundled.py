"""Every bundled file loads, is called as its id says, and every bundled study runs to a report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from b2b_sem.cli.app import run
from b2b_sem.cli.bundled import bundled_files
from b2b_sem.spec import loader

LOADERS = {
    "survey": loader.load_survey,
    "model": loader.load_model,
    "simulation": loader.load_simulation,
    "study": loader.load_study,
    "montecarlo": loader.load_montecarlo,
    "plan": loader.load_plan,
}
ENTRIES = bundled_files()
NAMES = [f"{entry.kind}-{entry.id}" for entry in ENTRIES]


def test_the_framework_is_bundled_as_survey_model_population_and_study() -> None:
    assert {"survey-lima2026", "model-lima2026", "simulation-lima2026", "study-demo"} <= set(NAMES)


@pytest.mark.parametrize("entry", ENTRIES, ids=NAMES)
def test_bundled_file_loads_and_is_named_by_its_id(entry) -> None:
    loaded = LOADERS[entry.kind](entry.id)
    assert loaded.id == entry.id == entry.path.stem
    assert loaded.title == entry.title


@pytest.mark.parametrize("identifier", [entry.id for entry in ENTRIES if entry.kind == "study"])
def test_bundled_study_runs_to_a_report(identifier: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert run(["run", identifier, "--out", str(out)]) == 0
    results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert results["converged"] is True
    shown = capsys.readouterr().out
    for verdict in results["verdicts"]:
        assert verdict["id"] in shown
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    listed = {entry["path"] for entry in manifest["files"]}
    written = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()} - {"manifest.json"}
    assert listed == written
    assert {"results.json", "report.html"} <= listed
    assert any(name.startswith("tables/") and name.endswith(".csv") for name in listed)
