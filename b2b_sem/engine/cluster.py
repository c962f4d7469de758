"""Blocks of replicates on the workers of a dask cluster, on this machine or on many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from b2b_sem.errors import DataError, Unsupported

__all__ = ["run_on_cluster"]

#: Blocks in the hands of the cluster for each of its threads: enough that none waits, few enough to keep memory flat.
AHEAD = 3
#: Seconds until a scheduler that does not answer counts as absent.
PATIENCE = 20


def run_on_cluster(task: Any, what: str, todo: Sequence[int], address: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield blocks as they are done, in any order.

    A block that was with a worker which dies is given to another one; its numbers are the same there.

    Parameters
    ----------
    task : object with the method `what`
    what : str
    todo : sequence of int
    address : str
        Of the scheduler, such as ``tcp://host:8786``.

    Raises
    ------
    Unsupported
        If dask is not installed.
    DataError
        If nobody answers at `address`, or it has no workers.
    """
    if not todo:
        return
    try:
        from distributed import Client, as_completed
    except ImportError:
        raise Unsupported(
            "a cluster needs the package 'distributed'", hint="install b2b-sem with the extra 'cluster'"
        ) from None
    try:
        client = Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise DataError(f"no scheduler answers at {address}: {error}", hint="start it with 'dask scheduler'") from None
    with client:
        threads = sum(client.nthreads().values())
        if not threads:
            raise DataError(f"the scheduler at {address} has no workers", hint=f"start some: 'dask worker {address}'")
        left = iter(todo)
        number: dict[str, int] = {}

        def submit(block: int) -> Any:
            # not pure: the same block may be asked for again in a later run with other settings
            future = client.submit(_one, task, what, block, pure=False)
            number[future.key] = block
            return future

        waiting = as_completed([submit(block) for block in islice(left, AHEAD * threads)], loop=client.loop)
        for future in waiting:
            part = future.result()
            yield number.pop(future.key), part
            future.release()
            block = next(left, None)
            if block is not None:
                waiting.add(submit(block))


def _one(task: Any, what: str, block: int) -> dict[str, Any]:
    part: dict[str, Any] = getattr(task, what)(block)
    return part
