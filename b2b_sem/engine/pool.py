"""Blocks of replicates on processes of this machine; what a killed process had in hand is done again."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from typing import Any

from b2b_sem.errors import B2BSemError, B2BSemWarning

__all__ = ["run_in_processes"]

#: Pools in a row that may break before they finish a single block.
ATTEMPTS = 3
#: Most blocks in one message: sending one costs as much as a few fits.
TOGETHER = 8


def run_in_processes(task: Any, what: str, todo: Sequence[int], jobs: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield blocks as they are done, in any order.

    When the system ends a worker process (for lack of memory, or by hand), all workers of its pool are lost with it.
    The blocks that had not come back are then given to a new pool.

    Parameters
    ----------
    task : picklable object with the method `what`
    what : str
    todo : sequence of int
    jobs : int
        Worker processes.

    Raises
    ------
    B2BSemError
        If ``ATTEMPTS`` pools in a row break before any of their blocks is done.
    """
    from joblib import Parallel, delayed

    # pickled once: workers keep what they unpacked, and a message costs next to nothing
    packed = pickle.dumps(task)
    left = list(todo)
    idle = 0
    while left:
        step = max(1, min(TOGETHER, len(left) // (4 * jobs)))
        batches = [left[k : k + step] for k in range(0, len(left), step)]
        parallel = Parallel(n_jobs=jobs, backend="loky", return_as="generator_unordered")
        done: set[int] = set()
        try:
            for found in parallel(delayed(_several)(packed, what, batch) for batch in batches):
                for block, part in found:
                    done.add(block)
                    yield block, part
        except BrokenProcessPool:
            idle = 0 if done else idle + 1
            if idle == ATTEMPTS:
                raise B2BSemError(
                    f"worker processes were ended from outside {ATTEMPTS} times in a row before they finished anything",
                    hint="often memory runs out: use fewer jobs. Blocks that are kept in a folder are not lost.",
                ) from None
            warnings.warn(
                "a worker process was ended from outside (often memory runs out): what it had in hand is done again",
                B2BSemWarning,
                stacklevel=2,
            )
        left = [block for block in left if block not in done]


@lru_cache(maxsize=1)
def _unpacked(packed: bytes) -> Any:
    return pickle.loads(packed)


def _several(packed: bytes, what: str, blocks: Sequence[int]) -> list[tuple[int, dict[str, Any]]]:
    method = getattr(_unpacked(packed), what)
    return [(block, method(block)) for block in blocks]
