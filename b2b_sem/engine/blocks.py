"""Blocks of replicates: what a worker does with one, and how they are spread over workers.

Every block has its own random stream and the same size, so neither the number of workers nor an interruption nor a
killed worker changes a number: results are equal to the last bit. This module loads no pandas, so that workers start
quickly.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from b2b_sem.engine.base import Array
from b2b_sem.engine.cluster import run_on_cluster
from b2b_sem.engine.pool import run_in_processes
from b2b_sem.engine.recentring import Recentring
from b2b_sem.engine.replicate import Replicates, Replicator
from b2b_sem.engine.resample import bootstrap_counts, leave_one_out, stream, weighted_moments
from b2b_sem.engine.threads import single_thread
from b2b_sem.results.store import BlockStore

__all__ = ["Task", "fill_store", "run_blocks"]

#: Seconds of work left from which worker processes are started: they take a second or two to start.
WORTHWHILE = 3.0
#: A task: any picklable object with methods that take the number of a block.
Blocks = Any


@dataclass(frozen=True, eq=False)
class Task:
    """What a worker needs to fit one block of replicates; `recentring` where columns are products of items."""

    replicator: Replicator
    data: Array
    seed: int
    size: int
    divisor: int
    recentring: Recentring | None = None

    def draw(self, block: int) -> dict[str, Array]:
        """Fit a block of bootstrap samples."""
        with single_thread():
            counts = bootstrap_counts(stream(self.seed, block), len(self.data), self.size)
            cov, mean = weighted_moments(self.data, counts, divisor=self.divisor)
            return self._fit(cov, mean)

    def leave_out(self, block: int) -> dict[str, Array]:
        """Fit a block of leave-one-out samples."""
        with single_thread():
            rows = slice(block * self.size, (block + 1) * self.size)
            cov, mean = leave_one_out(self.data, rows, divisor=self.divisor)
            return self._fit(cov, mean)

    def _fit(self, cov: Array, mean: Array) -> dict[str, Array]:
        if self.recentring is not None:
            ratio = self.divisor / len(self.data)
            ((cov, mean),) = self.recentring.apply([(cov, mean)], np.ones((len(cov), 1)), ratio)
        return _arrays(self.replicator.fit(cov, mean))


def _arrays(found: Replicates) -> dict[str, Array]:
    return dict(found.__dict__)


def run_blocks(
    task: Blocks,
    what: str,
    blocks: int,
    jobs: int,
    folder: Path | None,
    report: Callable[[int], None] | None = None,
    *,
    size: int | None = None,
    cluster: str | None = None,
) -> dict[str, Array]:
    """Work through blocks and join the arrays they give, in order.

    Parameters
    ----------
    task : object with the method `what`
    what : str
        Called with the number of a block; returns arrays.
    blocks : int
    jobs : int
        Worker processes, if the work is worth starting them.
    folder : Path, optional
        Where finished blocks are kept and looked for.
    report : callable, optional
        Called with the replicates done.
    size : int, optional
        Replicates in a block; ``task.size`` by default.
    cluster : str, optional
        Address of a dask scheduler whose workers take the place of processes on this machine.
    """
    size = task.size if size is None else size
    store = BlockStore(what, folder)
    fill_store(store, task, what, blocks, jobs, report, size=size, cluster=cluster)
    return dict(store.joined(blocks, blocks * size))


def fill_store(
    store: BlockStore,
    task: Blocks,
    what: str,
    blocks: int,
    jobs: int,
    report: Callable[[int], None] | None = None,
    *,
    size: int,
    cluster: str | None = None,
) -> None:
    """Work through the blocks that a store does not have yet; parameters are those of :func:`run_blocks`."""
    report = report or (lambda done: None)
    todo = [block for block in range(blocks) if not store.has(block)]
    done = blocks - len(todo)
    report(done * size)
    work = _fitted(task, what, todo, jobs) if cluster is None else run_on_cluster(task, what, todo, cluster)
    for block, part in work:
        store.put(block, part)
        done += 1
        report(done * size)


def _fitted(task: Blocks, what: str, todo: list[int], jobs: int) -> Iterator[tuple[int, dict[str, Array]]]:
    for number, block in enumerate(todo):
        began = time.monotonic()
        part = getattr(task, what)(block)
        pace = time.monotonic() - began
        yield block, part
        if jobs > 1 and pace * (len(todo) - number - 1) >= WORTHWHILE:
            yield from run_in_processes(task, what, todo[number + 1 :], jobs, pace=pace)
            return
