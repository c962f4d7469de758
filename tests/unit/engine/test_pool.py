"""Worker processes that are killed: nothing is lost, and the end is clear if it happens again and again."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from broken_task import Fragile

from b2b_sem.engine import blocks, pool
from b2b_sem.engine.blocks import run_blocks
from b2b_sem.engine.pool import ATTEMPTS
from b2b_sem.errors import B2BSemError, B2BSemWarning


@pytest.fixture(autouse=True)
def _start_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "WORTHWHILE", 0.0)


def test_blocks_of_a_killed_worker_are_done_again(tmp_path: Path) -> None:
    whole = run_blocks(Fragile(), "run", 12, 1, None)
    with pytest.warns(B2BSemWarning, match="done again"):
        found = run_blocks(Fragile(deadly=(3, 9), marks=tmp_path), "run", 12, 2, None)
    assert {path.name for path in tmp_path.iterdir()} == {"3", "9"}  # both did kill
    for name in whole:
        np.testing.assert_array_equal(whole[name], found[name])


def test_workers_killed_by_hand_lose_nothing(tmp_path: Path, living_workers: Callable[[], list[int]]) -> None:
    whole = run_blocks(Fragile(), "run", 30, 1, tmp_path / "whole")
    killed: list[int] = []

    def kill(done: int) -> None:
        if done >= 4 * 4 and not killed:
            killed.extend(living_workers())
            for pid in killed:
                os.kill(pid, signal.SIGKILL)

    with pytest.warns(B2BSemWarning, match="done again"):
        found = run_blocks(Fragile(seconds=0.02), "run", 30, 2, tmp_path / "kept", kill)
    assert len(killed) == 2
    for name in whole:
        np.testing.assert_array_equal(whole[name], found[name])
    for path in sorted((tmp_path / "whole").iterdir()):
        assert path.read_bytes() == (tmp_path / "kept" / path.name).read_bytes()


def test_a_block_that_always_kills_ends_the_run_clearly(tmp_path: Path) -> None:
    seen: list[int] = []
    with (
        pytest.warns(B2BSemWarning, match="done again"),
        pytest.raises(B2BSemError, match=f"{ATTEMPTS} times in a row") as error,
    ):
        run_blocks(Fragile(deadly=(7,)), "run", 8, 2, tmp_path, seen.append)
    assert "fewer jobs" in str(error.value)
    kept = sorted(tmp_path.iterdir())
    assert len(kept) == seen[-1] / 4
    # what is kept is used by the next run, whose workers live
    found = run_blocks(Fragile(), "run", 8, 1, tmp_path)
    np.testing.assert_array_equal(found["x"], run_blocks(Fragile(), "run", 8, 1, None)["x"])


def test_large_arrays_are_shared_and_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    task = Fragile(weight=np.arange(3.0) + np.zeros((200_000, 3)))
    assert isinstance(pool._packed(task), bytes)
    monkeypatch.setattr(pool, "LARGE", 1_000_000)
    assert pool._packed(task) is task
    whole, found = (run_blocks(task, "run", 6, jobs, None) for jobs in (1, 2))
    for name in whole:
        np.testing.assert_array_equal(whole[name], found[name])
    bare = run_blocks(Fragile(), "run", 6, 1, None)["x"]
    np.testing.assert_array_equal(whole["x"], bare + np.array([0.0, 1.0, 2.0]))
