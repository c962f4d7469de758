"""Blocks of replicates on the workers of a dask cluster, on this machine or on many."""

from __future__ import annotations

import logging
import pickle
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from itertools import islice
from typing import Any

from b2b_sem.errors import B2BSemError, DataError, Unsupported

__all__ = ["run_on_cluster"]

#: Blocks in the hands of the cluster for each of its threads: enough that none waits, few enough to keep memory flat.
AHEAD = 3
#: Seconds until a scheduler that does not answer counts as absent.
PATIENCE = 20
#: Seconds without any worker after which a run gives up; restarted workers are back much sooner.
DESERTED = 120
#: Seconds between looks at whether there are workers left.
GLANCE = 5
#: Seconds for fetching the numbers of a block that is done, at first: its worker may have died since then.
FETCH = 5
KEPT = "Blocks that are kept in a folder are not lost."


def run_on_cluster(task: Any, what: str, todo: Sequence[int], address: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield blocks as they are done, in any order.

    A block that was with a worker which dies is given to another one; its numbers are the same there. Workers may come
    and go while the run lasts.

    Parameters
    ----------
    task : picklable object with the method `what`
    what : str
    todo : sequence of int
    address : str
        Of the scheduler, such as ``tcp://host:8786``.

    Raises
    ------
    Unsupported
        If dask is not installed.
    DataError
        If nobody answers at `address`, it has no workers, or they have other versions of what numbers depend on.
    B2BSemError
        If the scheduler or all workers are lost for good, or a block ends every worker it is given to.
    """
    if not todo:
        return
    try:
        from distributed import Client
    except ImportError:
        raise Unsupported(
            "a cluster needs the package 'distributed'", hint="install b2b-sem with the extra 'cluster'"
        ) from None
    scheme, _, place = address.rpartition("://")
    host, _, port = place.rpartition(":")
    if scheme in ("", "tcp", "tls") and not (host and port.isdecimal()):  # dask would print a traceback beside its own
        raise DataError(f"'{address}' is not the address of a scheduler", hint="write tcp://host:8786")
    try:
        client = Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise DataError(f"no scheduler answers at {address}: {error}", hint="start it with 'dask scheduler'") from None
    with _quiet(), client:
        threads = sum(client.nthreads().values())
        if not threads:
            raise DataError(f"the scheduler at {address} has no workers", hint=f"start some: 'dask worker {address}'")
        yield from _work(client, task, what, todo, AHEAD * threads)


def _work(client: Any, task: Any, what: str, todo: Sequence[int], ahead: int) -> Iterator[tuple[int, dict[str, Any]]]:
    # computed, not scattered: when the worker that holds it dies, the scheduler has it unpacked again elsewhere
    shared = client.submit(_unpack, pickle.dumps(task), pure=False)
    left = iter(todo)
    waiting: dict[Any, int] = {}

    def submit(blocks: Iterator[int]) -> None:
        for block in blocks:
            # not pure: the same block may be asked for again in a later run with other settings
            waiting[client.submit(_one, shared, what, block, _versions(), pure=False)] = block

    submit(islice(left, ahead))
    seen, patience = time.monotonic(), FETCH
    while waiting:
        for future in _finished(client, waiting):
            try:
                with _explained():
                    part = future.result(timeout=patience)
            except TimeoutError:
                patience = min(2 * patience, DESERTED)  # or the way to this computer is slow
                break
            submit(islice(left, 1))
            yield waiting.pop(future), part
        if client.scheduler_info()["workers"]:
            seen = time.monotonic()
        elif time.monotonic() - seen >= DESERTED:
            raise B2BSemError(f"the cluster has had no workers for {DESERTED} seconds", hint=KEPT)


def _finished(client: Any, waiting: Iterable[Any]) -> Iterable[Any]:
    """Return what is done; nothing if that takes long."""
    from distributed import wait

    try:
        with _explained(), client.as_current():
            done: Iterable[Any] = wait(list(waiting), timeout=GLANCE, return_when="FIRST_COMPLETED").done
    except TimeoutError:
        return ()
    return done


@contextmanager
def _explained() -> Iterator[None]:
    """Say what happened in the words of this package."""
    from distributed import CancelledError, KilledWorker
    from distributed.comm import CommClosedError

    try:
        yield
    except KilledWorker:
        raise B2BSemError(
            "a block ended every worker of the cluster that it was given to",
            hint=f"often memory runs out: start workers with fewer threads. {KEPT}",
        ) from None
    except ModuleNotFoundError as error:
        raise DataError(
            f"a worker of the cluster cannot do this: {error}",
            hint=f"install b2b-sem {version('b2b-sem')} for the workers",
        ) from None
    except (CancelledError, CommClosedError):
        raise B2BSemError("the scheduler of the cluster was lost", hint=KEPT) from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the client from logging what is said by an exception."""
    logger = logging.getLogger("distributed.client")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)


@cache
def _versions() -> dict[str, str]:
    """Return what numbers depend on besides the seed."""
    return {name: version(name) for name in ("b2b-sem", "numpy", "scipy")} | {
        "python": f"{sys.version_info.major}.{sys.version_info.minor}"
    }


def _unpack(packed: bytes) -> Any:
    return pickle.loads(packed)


def _one(task: Any, what: str, block: int, wanted: dict[str, str]) -> dict[str, Any]:
    for name, text in wanted.items():
        if _versions()[name] != text:
            raise DataError(
                f"a worker of the cluster has {name} {_versions()[name]}, this computer {text}: numbers may differ",
                hint="install the same versions everywhere",
            )
    part: dict[str, Any] = getattr(task, what)(block)
    return part
