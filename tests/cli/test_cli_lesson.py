"""The command ``lesson``: the whole way of a class, exit codes and messages."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from b2b_sem.cli.app import run
from b2b_sem.results.lesson import LessonCheck

MAKE = ["lesson", "make", "--n", "200", "--seed", "3"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("class") / "one"
    assert run([*MAKE, "--level", "standard", "--out", str(out)]) == 0
    return out


def test_the_whole_way(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = {p.name for p in folder.iterdir()}
    assert names >= {"answers.csv", "codebook.csv", "survey.yaml", "model.yaml", "study.yaml", "task.md", "task.html"}
    key = (folder.parent / "one.key").read_text(encoding="utf-8").splitlines()[0]
    assert not any(key in p.read_text(encoding="utf-8") for p in folder.iterdir())
    listing = json.loads((folder / "lesson.json").read_text(encoding="utf-8"))
    assert {f["path"] for f in listing["files"]} == names - {"lesson.json"}
    # a student: leave out who failed a check, run, hand in
    frame = pd.read_csv(folder / "answers.csv")
    frame[(frame["ac1"] == 1) & (frame["ac2"] == 6)].to_csv(tmp_path / "cleaned.csv", index=False)
    results = tmp_path / "results"
    given = ["--data", str(tmp_path / "cleaned.csv"), "--engine", "native"]
    assert run(["run", str(folder / "study.yaml"), *given, "--out", str(results)]) == 0
    capsys.readouterr()
    # the teacher
    assert run(["lesson", "check", str(folder), str(results), "--out", str(tmp_path / "sheet")]) == 0
    shown = capsys.readouterr()
    assert "paths were recovered" in shown.out
    assert "Careless respondents were not screened" not in shown.out
    data = json.loads((tmp_path / "sheet" / "recovered.json").read_text(encoding="utf-8"))
    check = LessonCheck.from_json(data)
    assert check.summary() in " ".join(shown.out.split())
    assert check.source == str(results)
    assert (tmp_path / "sheet" / "recovered.html").stat().st_size > 10_000
    # again at the same place
    assert (
        run(["lesson", "check", str(folder), str(results), "--out", str(tmp_path / "sheet"), "--key", key.lower()]) == 0
    )
    assert run(["lesson", "open", str(folder)]) == 0
    assert "NR -> PC" in capsys.readouterr().out


def test_without_results_the_study_of_the_lesson_is_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = folder / "study.yaml"
    text = study.read_text(encoding="utf-8")
    study.write_text(text + "  engine: native\n", encoding="utf-8")
    assert run(["lesson", "check", str(folder)]) == 0
    assert "Careless respondents were not screened" in capsys.readouterr().out
    assert (folder / "recovered" / "recovered.html").is_file()
    study.write_text(text, encoding="utf-8")


def test_a_fit_that_failed_is_exit_code_1(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # two uncorrelated factors of two items each: enough moments, but not for each of them
    (tmp_path / "bad.lav").write_text("NR =~ nr1 + nr2\nPE =~ pe1 + pe2\n", encoding="utf-8")
    out = tmp_path / "fit.json"
    data = ["--data", str(folder / "answers.csv"), "--engine", "native", "--orthogonal"]
    assert run(["fit", str(tmp_path / "bad.lav"), *data, "--json", str(out)]) == 1
    assert run(["lesson", "check", str(folder), str(out), "--out", str(tmp_path / "sheet")]) == 1
    shown = capsys.readouterr()
    assert "Nothing was recovered" in shown.out
    assert "error: the model is not identified" in shown.err
    assert (tmp_path / "sheet" / "recovered.html").is_file()


def test_the_same_command_makes_the_same_files(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = tmp_path / "again"
    assert run([*MAKE, "--level", "standard", "--out", str(again)]) == 0
    for path in again.iterdir():
        if path.name != "study.yaml":
            assert path.read_bytes() == (folder / path.name).read_bytes(), path.name
    # and may run again at the same place, but another lesson would take the key of the first one away
    assert run([*MAKE, "--level", "standard", "--out", str(again)]) == 0
    before = {path: path.read_bytes() for path in [*again.iterdir(), tmp_path / "again.key"]}
    capsys.readouterr()
    assert run([*MAKE, "--level", "intro", "--out", str(again)]) == 2
    assert "key of another lesson" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in [*again.iterdir(), tmp_path / "again.key"]} == before
    assert run([*MAKE, "--level", "intro", "--out", str(again), "--force"]) == 0
    assert run(["lesson", "open", str(again)]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["make", "--n", "5", "--out", "x"], "5 is not in the range"),
        (["make", "--n", "100"], "Missing option '--out'"),
        (["make", "nowhere", "--n", "100", "--out", "x"], "there is no bundled simulation 'nowhere'"),
        (["make", "demo", "--n", "100", "--out", "x"], "this is a study file"),
        (["make", "--n", "100", "--out", "x", "--level", "easy"], "'easy' is not one of"),
        (["make", "--n", "100", "--out", "x", "--key", " - "], "the key is empty"),
        (["check", "{empty}"], "there is no sealed truth of a lesson here"),
        (["check", "{lesson}", "{empty}/none.json"], "cannot read the results"),
        (["check", "{lesson}", "{lesson}/lesson.json"], "no results of a fit"),
        (["check", "{lesson}", "--key", "AAAA"], "this key does not open the seal"),
        (["open", "{lesson}", "--key", "AAAA"], "this key does not open the seal"),
        (["chek"], "No such command 'chek'"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(
    words: list[str],
    message: str,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    places = {"empty": str(tmp_path / "empty"), "lesson": str(folder)}
    assert run(["lesson", *(word.format(**places) for word in words)]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: ")
    assert message in shown
    assert not (tmp_path / "x").exists()


def test_a_foreign_file_in_the_way_of_the_key_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "one.key").write_text("something else\n", encoding="utf-8")
    assert run([*MAKE, "--out", str(tmp_path / "one")]) == 2
    assert "in the way of the key" in capsys.readouterr().err
    assert (tmp_path / "one.key").read_text(encoding="utf-8") == "something else\n"
    assert not (tmp_path / "one").exists()
