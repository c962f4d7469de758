"""A real dask cluster on this machine, with worker processes of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from broken_task import Fragile
from distributed import Client, LocalCluster

from b2b_sem.engine import cluster as module
from b2b_sem.engine.blocks import run_blocks
from b2b_sem.errors import B2BSemError, DataError


@pytest.fixture(scope="module")
def workers() -> Iterator[LocalCluster]:
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(host="127.0.0.1", **options) as cluster:
        yield cluster


def address(workers: LocalCluster) -> str:
    text: str = workers.scheduler_address
    return text


def test_the_numbers_are_those_of_one_process(workers: LocalCluster, tmp_path: Path) -> None:
    whole = run_blocks(Fragile(), "run", 25, 1, tmp_path / "one")
    seen: list[int] = []
    found = run_blocks(Fragile(), "run", 25, 1, tmp_path / "two", seen.append, cluster=address(workers))
    assert seen == [4 * k for k in range(26)]
    for name in whole:
        np.testing.assert_array_equal(whole[name], found[name])
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_killed_workers_lose_nothing(workers: LocalCluster) -> None:
    whole = run_blocks(Fragile(), "run", 25, 1, None)
    killed: list[int] = []

    def kill(done: int) -> None:
        if done >= 4 * 4 and not killed:
            with Client(address(workers), set_as_default=False) as client:
                killed.extend(client.run(os.getpid).values())
            # all of them: what they were given has to be sent again as well
            for pid in killed:
                os.kill(pid, signal.SIGKILL)

    found = run_blocks(Fragile(seconds=0.05), "run", 25, 1, None, kill, cluster=address(workers))
    assert len(killed) == 2
    for name in whole:
        np.testing.assert_array_equal(whole[name], found[name])


@pytest.mark.parametrize("place", ["nohost", "tcp://nohost", "tcp://:8786", "nohost:port"])
def test_what_is_no_address_is_said_to_be(place: str) -> None:
    with pytest.raises(DataError, match="is not the address of a scheduler"):
        run_blocks(Fragile(), "run", 3, 1, None, cluster=place)


def test_other_versions_are_refused(workers: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    own = module._versions()
    monkeypatch.setattr(module, "_versions", lambda: own | {"numpy": "1.0"})
    with pytest.raises(DataError, match=r"a worker of the cluster has numpy .*, this computer 1\.0"):
        run_blocks(Fragile(), "run", 3, 1, None, cluster=address(workers))


def test_a_block_that_always_kills_ends_the_run_clearly(workers: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers.scheduler, "allowed_failures", 0)  # three without this
    with pytest.raises(B2BSemError, match="ended every worker") as error:
        run_blocks(Fragile(deadly=(2,)), "run", 6, 1, None, cluster=address(workers))
    assert "memory" in str(error.value)


def test_a_cluster_without_workers_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    with LocalCluster(host="127.0.0.1", n_workers=0, dashboard_address="127.0.0.1:0") as cluster:
        place = address(cluster)
        with pytest.raises(DataError, match="has no workers"):
            run_blocks(Fragile(), "run", 3, 1, None, cluster=place)
        # one that nobody starts again
        words = ["-m", "distributed.cli.dask_worker", place, "--no-nanny", "--nthreads", "1", "--no-dashboard"]
        paths = {"PYTHONPATH": os.pathsep.join(sys.path)}
        worker = subprocess.Popen([sys.executable, *words], env=os.environ | paths, stderr=subprocess.DEVNULL)
        cluster.wait_for_workers(1, timeout=30)
        monkeypatch.setattr(module, "GLANCE", 0.3)
        monkeypatch.setattr(module, "FETCH", 0.5)
        monkeypatch.setattr(module, "DESERTED", 1)
        try:
            with pytest.raises(B2BSemError, match="no workers for"):
                run_blocks(
                    Fragile(seconds=0.05), "run", 400, 1, None, lambda done: done and worker.kill(), cluster=place
                )
        finally:
            worker.kill()
            worker.wait()


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.5)
    with pytest.raises(DataError, match="no scheduler answers"):
        run_blocks(Fragile(), "run", 3, 1, None, cluster="tcp://127.0.0.1:1")
