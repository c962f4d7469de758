"""list, copy, survey, and where output may go."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from b2b_sem.cli.app import run
from b2b_sem.cli.bundled import bundled_files
from b2b_sem.cli.output import check_directory, check_file, staged_directory
from b2b_sem.errors import B2BSemError
from b2b_sem.spec.loader import load_model, load_survey


def failed(args: list[str], capsys: pytest.CaptureFixture[str], code: int = 2) -> str:
    """Run a command that must fail, and return its one message."""
    assert run(args) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert shown.err.count("error: ") == 1
    return shown.err


# ---- list ----------------------------------------------------------------------------------------------------------


def test_list_shows_every_bundled_file_with_its_title(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list"]) == 0
    shown = capsys.readouterr().out
    assert [line for line in shown.splitlines() if not line.startswith(" ")] == [
        "surveys",
        "models",
        "simulations",
        "studies",
        "Monte Carlo studies",
        "sample-size plans",
    ]
    entries = bundled_files()
    assert len(entries) >= 4
    for entry in entries:
        assert f"  {entry.id} " in shown
        assert entry.title in shown


# ---- copy ----------------------------------------------------------------------------------------------------------


def test_copy_keeps_the_folders_and_the_copy_loads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["copy", "lima2026", str(tmp_path / "mine")]) == 0
    assert "model lima2026 -> " in capsys.readouterr().out
    copied = tmp_path / "mine" / "models" / "lima2026.yaml"
    assert load_model(copied).syntax() == load_model("lima2026").syntax()
    assert (tmp_path / "mine" / "surveys" / "lima2026.yaml").is_file()


def test_copy_one_kind_to_a_file_name(tmp_path: Path) -> None:
    target = tmp_path / "new" / "mine.yaml"
    assert run(["copy", "lima2026", str(target), "--kind", "survey"]) == 0
    assert load_survey(target).title == load_survey("lima2026").title


def test_copy_refuses_one_file_name_for_several_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = failed(["copy", "lima2026", str(tmp_path / "mine.yaml")], capsys)
    assert "names 3 files (survey, model, simulation)" in message
    assert "--kind" in message
    assert list(tmp_path.iterdir()) == []


def test_copy_does_not_replace_unless_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "mine.yaml"
    target.write_text("my own work", encoding="utf-8")
    args = ["copy", "demo", str(target)]
    assert "give --force to replace" in failed(args, capsys)
    assert target.read_text(encoding="utf-8") == "my own work"
    assert run([*args, "--force"]) == 0
    assert "kind: study" in target.read_text(encoding="utf-8")


def test_copy_of_an_unknown_id_names_the_closest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = failed(["copy", "lima2025", str(tmp_path)], capsys)
    assert "there is no bundled file 'lima2025'. Did you mean 'lima2026' or 'lima2026_plan'?" in message
    assert "there is no bundled study 'lima2026'" in failed(
        ["copy", "lima2026", str(tmp_path), "--kind", "study"], capsys
    )


def test_copy_below_a_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert "is not a directory" in failed(["copy", "demo", str(tmp_path / "file" / "sub")], capsys)
    assert "must be a directory, but this is a file" in failed(["copy", "demo", str(tmp_path / "file")], capsys)


# ---- survey --------------------------------------------------------------------------------------------------------


def test_survey_list_says_that_the_wording_is_a_draft(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["survey", "list"]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("lima2026 "))
    assert "[draft, not validated]" in line
    assert f"{len(load_survey('lima2026').items())} items" in line


def test_survey_show_shows_every_item_reverse_marks_and_sources(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["survey", "show", "lima2026"]) == 0
    shown = capsys.readouterr().out
    flat = " ".join(shown.split())
    survey = load_survey("lima2026")
    assert "! draft, not validated: all scales" in shown
    for code, scale in survey.scales.items():
        assert f"\n{code}  {scale.name} [draft, not validated" in shown
        for name, item in scale.items.items():
            mark = " R " if item.reverse else " "
            assert f" {name}{mark}{' '.join(item.text.split())}" in flat
        for source in scale.sources:
            assert source.citation in flat
            assert source.doi is None or f"doi:{source.doi}" in flat
    assert "R = reverse coded" in shown
    assert max(map(len, shown.splitlines())) <= 100


def test_survey_show_one_scale(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["survey", "show", "lima2026", "--scale", "PC"]) == 0
    shown = capsys.readouterr().out
    assert "pc1" in shown
    assert "nr1" not in shown


def test_survey_show_marks_validated_dropped_and_adapted_items(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(
        "kind: survey\nschema_version: 1\nid: own\ntitle: Own\nformat: {high: 5}\nscales:\n"
        "  AA:\n    name: a\n    validated: {doi: 10.1234/abc}\n"
        "    items:\n      aa1: {text: One, adapted: shorter}\n      aa2: {text: Two, dropped_because: unclear}\n",
        encoding="utf-8",
    )
    assert run(["survey", "show", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "AA  a [validated: doi:10.1234/abc]" in shown
    assert "adapted: shorter" in shown
    assert "NOT USED: unclear" in shown
    assert "draft" not in shown
    assert "reverse" not in shown


def test_survey_show_unknown_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no bundled survey 'lima'" in failed(["survey", "show", "lima"], capsys)
    assert "no scale 'PCC'. Did you mean 'PC'?" in failed(["survey", "show", "lima2026", "--scale", "PCC"], capsys)
    assert "there is no such file" in failed(["survey", "show", "./nothing.yaml"], capsys)
    assert "directory" in failed(["survey", "show", f"{tmp_path}/"], capsys)


# ---- output --------------------------------------------------------------------------------------------------------


def test_output_checks(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    check_file(tmp_path / "new" / "deep" / "x.json")
    check_file(tmp_path / "file")
    check_directory(tmp_path / "new")
    check_directory(tmp_path)
    assert not (tmp_path / "new").exists()
    with pytest.raises(B2BSemError, match="must be a file, but this is a directory"):
        check_file(tmp_path)
    with pytest.raises(B2BSemError, match="is not a directory"):
        check_file(tmp_path / "file" / "x.json")
    with pytest.raises(B2BSemError, match="must be a directory, but this is a file"):
        check_directory(tmp_path / "file")


def test_output_without_write_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # the tests may run as root, for whom every folder is writable
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(B2BSemError, match="no write permission"):
        check_file(tmp_path / "x.json")
    with pytest.raises(B2BSemError, match="no write permission"):
        check_directory(tmp_path / "new")


def write_run(stage: Path, names: list[str], text: str) -> None:
    for name in names:
        (stage / name).parent.mkdir(parents=True, exist_ok=True)
        (stage / name).write_text(text, encoding="utf-8")
    (stage / "m.json").write_text(json.dumps({"files": [{"path": name} for name in names]}), encoding="utf-8")


def contents(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): p.read_text(encoding="utf-8") for p in folder.rglob("*") if p.is_file()}


def test_staged_directory_appears_at_once_and_is_replaced_without_leftovers(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "out"
    with staged_directory(target, listing="m.json") as stage:
        write_run(stage, ["a.txt", "tables/old.csv"], "first")
        assert not target.exists()
    assert contents(target).keys() == {"a.txt", "tables/old.csv", "m.json"}
    (target / "notes.txt").write_text("mine", encoding="utf-8")
    with staged_directory(target, listing="m.json") as stage:
        write_run(stage, ["a.txt", "tables/new.csv"], "second")
    found = contents(target)
    assert found.keys() == {"a.txt", "tables/new.csv", "m.json", "notes.txt"}
    assert found["a.txt"] == "second"
    assert found["notes.txt"] == "mine"
    assert [p.name for p in target.parent.iterdir()] == ["out"]
    if os.name == "posix":
        assert target.stat().st_mode & 0o700 == 0o700


def test_staged_directory_leaves_nothing_after_a_failure(tmp_path: Path) -> None:
    target = tmp_path / "out"

    def fail_half_way() -> None:
        with staged_directory(target, listing="m.json") as stage:
            write_run(stage, ["a.txt"], "half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert list(tmp_path.iterdir()) == []


def test_staged_directory_removes_nothing_outside_itself(tmp_path: Path) -> None:
    target, outside = tmp_path / "out", tmp_path / "precious.txt"
    outside.write_text("mine", encoding="utf-8")
    target.mkdir()
    (target / "m.json").write_text('{"files": [{"path": "../precious.txt"}]}', encoding="utf-8")
    with staged_directory(target, listing="m.json") as stage:
        write_run(stage, ["a.txt"], "x")
    assert outside.read_text(encoding="utf-8") == "mine"
