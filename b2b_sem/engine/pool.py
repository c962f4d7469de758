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
#: Most blocks in one message, and most seconds of work: a message costs as much as a few fits, and what a worker has
#: finished of it is lost if it dies before the rest is done.
TOGETHER, SECONDS = 8, 1.0
#: Bytes of arrays in a task from which it is not sent with each message.
LARGE = 5_000_000


def run_in_processes(
    task: Any, what: str, todo: Sequence[int], jobs: int, *, pace: float = 0.0
) -> Iterator[tuple[int, dict[str, Any]]]:
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
    pace : float
        Seconds that a block takes.

    Raises
    ------
    B2BSemError
        If ``ATTEMPTS`` pools in a row break before any of their blocks is done.
    """
    from joblib import Parallel, delayed

    given = _packed(task)
    left = list(todo)
    idle = 0
    while left:
        step = max(1, min(TOGETHER, len(left) // (4 * jobs), int(SECONDS / max(pace, 1e-3))))
        batches = [left[k : k + step] for k in range(0, len(left), step)]
        parallel = Parallel(n_jobs=jobs, backend="loky", return_as="generator_unordered")
        done: set[int] = set()
        try:
            for found in parallel(delayed(_several)(given, what, batch) for batch in batches):
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


def _packed(task: Any) -> Any:
    """Return the task as bytes, which workers unpack once; one with large arrays as it is: joblib shares them."""
    arrays: list[pickle.PickleBuffer] = []
    pickle.dumps(task, protocol=5, buffer_callback=arrays.append)
    return task if sum(array.raw().nbytes for array in arrays) > LARGE else pickle.dumps(task)


@lru_cache(maxsize=1)
def _unpacked(packed: bytes) -> Any:
    return pickle.loads(packed)


def _several(given: Any, what: str, blocks: Sequence[int]) -> list[tuple[int, dict[str, Any]]]:
    method = getattr(_unpacked(given) if isinstance(given, bytes) else given, what)
    return [(block, method(block)) for block in blocks]
