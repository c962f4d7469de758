"""The command ``plan``: files, lines, an interruption, wrong input."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from b2b_sem.cli.app import run
from b2b_sem.results.plan import read_plan

PLAN = """\
kind: plan
schema_version: 1
id: mine
title: How many for P4?
population: lima2026
sizes: {large: {path: 0.35}}
propositions: {P4: {}}
search: {samples: 60, batches: 4, precision: 0.3}
seed: 4
"""


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(PLAN, encoding="utf-8")
    return path


def test_files_and_lines(plan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert run(["plan", str(plan), "--out", str(out)]) == 0
    shown = capsys.readouterr()
    assert "respondents with which a proposition is supported in 80 % of samples" in shown.out
    assert "P4  PC -> RR" in shown.out
    assert "searches: 1 of 1 (100%)" in shown.err
    listed = {e["path"] for e in json.loads((out / "manifest.json").read_text(encoding="utf-8"))["files"]}
    assert listed == {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()} - {"manifest.json"}
    assert {p.name for p in (out / "tables").iterdir()} == {"plan.csv", "visits.csv", "effects.csv", "held.csv"}
    result = read_plan(out / "results.json")
    assert result.seed == 4
    table = pd.read_csv(out / "tables" / "plan.csv")
    assert table["rows"].tolist() == result.table["rows"].tolist()
    assert not (out / ".samples").exists()

    # the same numbers after an interruption, and from the file of another folder
    kept = tmp_path / "again" / ".samples"
    assert run(["plan", str(plan), "--out", str(tmp_path / "again"), "--seed", "4", "--resume"]) == 0
    assert not kept.exists()
    assert (tmp_path / "again" / "tables" / "visits.csv").read_bytes() == (out / "tables" / "visits.csv").read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "nowhere"),
        (["lima2026"], "plan"),
        (["lima2026_plan", "--only", "P11"], "no proposition 'P11'"),
        (["lima2026_plan", "--power", "1.2"], "--power"),
        (["lima2026_plan", "--power", "0.05"], "power=0.05"),
        (["lima2026_plan", "--samples", "2"], "--samples"),
        (["lima2026_plan", "--precision", "0"], "--precision"),
        (["lima2026_plan", "--out", " "], "--out"),
        (["lima2026_plan", "--jobs", "2", "--cluster", "tcp://127.0.0.1:1"], "either"),
    ],
)
def test_wrong_input_is_one_message(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["plan", *words]) == 2
    assert message in capsys.readouterr().err
    assert not any(tmp_path.rglob("report.html"))


def test_a_bundled_plan_is_a_start_for_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["copy", "lima2026_plan", str(tmp_path / "mine.yaml")]) == 0
    assert run(["list"]) == 0
    shown = capsys.readouterr().out
    assert "sample-size plans" in shown
    assert "lima2026_plan" in shown
