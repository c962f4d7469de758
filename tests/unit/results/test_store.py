"""Blocks in memory and in files give the same arrays; files need no memory."""

from __future__ import annotations

import gc
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from b2b_sem.errors import DataError
from b2b_sem.results import store as module
from b2b_sem.results.store import BlockStore, StoredArrays, TemporaryFolder, column_groups


def filled(store: BlockStore, blocks: int = 5, rows: int = 4, width: int = 7) -> BlockStore:
    for block in reversed(range(blocks)):
        rng = np.random.default_rng(block)
        part = {"x": rng.standard_normal((rows, width)), "y": rng.standard_normal((rows, width))}
        store.put(block, part | {"why": np.array(["", "x" * block, "", ""])[:rows]})
    return store


def test_both_kinds_give_the_same(tmp_path: Path) -> None:
    memory = filled(BlockStore("run")).joined(5, 18)
    files = filled(BlockStore("run", tmp_path, lean=True)).joined(5, 18)
    assert isinstance(files, StoredArrays)
    assert set(files) == set(memory) == {"x", "y", "why"}
    assert len(files) == 3
    for name in memory:
        np.testing.assert_array_equal(memory[name], files[name])
    assert files["x"].shape == files.shape("x") == (18, 7)
    assert memory["why"][17] == "xxxx"
    with pytest.raises(KeyError):
        files["z"]


@pytest.mark.parametrize("numbers", [20, 40, 1000])
def test_column_groups_cover_everything_once(numbers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_NUMBERS", numbers)
    monkeypatch.setattr(module, "_READ", 150)
    memory = filled(BlockStore("run")).joined(5, 18)
    files = filled(BlockStore("run", tmp_path, lean=True)).joined(5, 18)
    for arrays in (memory, files):
        groups = list(column_groups(arrays, ("x", "y")))
        assert [own["x"].flags.c_contiguous for _, own in groups] == [True] * len(groups)
        assert len(groups) == {20: 7, 40: 4, 1000: 1}[numbers]
        for name in ("x", "y"):
            np.testing.assert_array_equal(np.concatenate([own[name] for _, own in groups], axis=1), memory[name])
            for at, own in groups:
                np.testing.assert_array_equal(own[name], memory[name][:, at])


def test_files_are_found_again_and_broken_ones_are_not(tmp_path: Path) -> None:
    filled(BlockStore("run", tmp_path))
    (tmp_path / "run-000003.npz").write_bytes(b"half a file")
    for lean in (False, True):
        again = BlockStore("run", tmp_path, lean=lean)
        assert [again.has(block) for block in range(6)] == [True, True, True, False, True, False]


def test_memory_does_not_grow_with_the_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_NUMBERS", 10_000)
    monkeypatch.setattr(module, "_READ", 100_000)
    tracemalloc.start()
    try:
        arrays = filled(BlockStore("run", tmp_path, lean=True), blocks=40, rows=10, width=1000).joined(40, 400)
        sums = [own["x"].sum() + own["y"].sum() for _, own in column_groups(arrays, ("x", "y"))]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(sums) == 40
    assert peak < 0.5 * 2 * 400 * 1000 * 8  # all of it would be 6.4 MB


def test_a_temporary_folder_goes_with_its_last_holder() -> None:
    owner = TemporaryFolder()
    path = owner.path
    arrays = filled(BlockStore("run", path / "a", lean=True)).joined(5, 20, owner)
    del owner
    gc.collect()
    assert arrays["x"].shape == (20, 7)
    del arrays
    gc.collect()
    assert not path.exists()


def test_files_that_are_gone_are_said_to_be(tmp_path: Path) -> None:
    arrays = filled(BlockStore("run", tmp_path, lean=True)).joined(5, 20)
    (tmp_path / "run-000002.npz").unlink()
    with pytest.raises(DataError, match="no longer there"):
        arrays["x"]
