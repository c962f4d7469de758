"""Folders of finished samples that commands make, take up again, and remove."""

from __future__ import annotations

from pathlib import Path

import pytest

from b2b_sem.cli.app import run
from b2b_sem.cli.sampling import fresh_blocks
from b2b_sem.errors import B2BSemError


def _filled(folder: Path, *names: str) -> Path:
    kept = folder / ".samples"
    kept.mkdir()
    for name in names:
        (kept / name).write_text("x", encoding="utf-8")
    return kept


def test_samples_of_an_earlier_run_are_kept_only_to_go_on(tmp_path: Path) -> None:
    kept = _filled(tmp_path, "plan.json", "block.npz")
    assert fresh_blocks(tmp_path, "plan.json", resume=True) == kept
    assert (kept / "block.npz").is_file()
    assert fresh_blocks(tmp_path, "plan.json", resume=False) == kept
    assert not kept.exists()


@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_of_other_origin_is_refused_and_left_alone(tmp_path: Path, resume: bool) -> None:
    kept = _filled(tmp_path, "photos.txt")
    with pytest.raises(B2BSemError, match="does not hold samples of this command"):
        fresh_blocks(tmp_path, "plan.json", resume=resume)
    assert (kept / "photos.txt").is_file()


@pytest.mark.parametrize(
    "command",
    [
        ["montecarlo", "lima2026_samples", "--replications", "2"],
        ["plan", "lima2026_plan"],
        ["power", "lima2026", "--replications", "10"],
    ],
)
def test_commands_leave_a_folder_of_other_origin_alone(
    tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    kept = _filled(tmp_path, "photos.txt")
    assert run([*command, "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("error: ") == 1
    assert [path.name for path in kept.iterdir()] == ["photos.txt"]
