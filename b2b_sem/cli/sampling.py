"""What the commands that draw samples share: options of workers, and where they keep finished blocks."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from b2b_sem.errors import B2BSemError

__all__ = ["check_workers", "fresh_blocks", "worker_options"]

#: Folder of the output in which finished samples are kept until the results are written.
BLOCKS = ".samples"
Command = TypeVar("Command", bound=Callable[..., Any])


def worker_options(command: Command) -> Command:
    """Add --jobs, --cluster and --resume to a command; jobs and cluster are None where they were not given."""
    for option in (
        click.option("--resume", is_flag=True, help="Go on with a run that was broken off; the numbers are the same."),
        click.option("--cluster", metavar="ADDRESS", help="Dask scheduler whose workers do the work: tcp://host:8786."),
        click.option("--jobs", type=click.IntRange(min=1), help="Worker processes (default: 1)."),
    ):
        command = option(command)
    return command


def check_workers(jobs: int | None, cluster: str | None) -> None:
    """Refuse workers of both kinds."""
    if cluster is not None and (jobs or 1) > 1:
        raise click.UsageError("Give either '--jobs' or '--cluster'.", click.get_current_context())


def fresh_blocks(target: Path, mark: str, *, resume: bool) -> Path:
    """Return where finished blocks are kept; those of an earlier run are removed unless it is to go on.

    Parameters
    ----------
    target : Path
        Where the results go.
    mark : str
        File by which a folder of blocks is known as ours.
    resume : bool

    Raises
    ------
    B2BSemError
        If a folder of this name holds something else: it would be removed once the results are written.
    """
    kept = target / BLOCKS
    if kept.is_dir() and any(kept.iterdir()) and not (kept / mark).is_file():
        raise B2BSemError(
            "this folder does not hold samples of this command",
            file=kept,
            hint="name another directory with --out, or move it away",
        )
    if not resume and kept.is_dir():
        shutil.rmtree(kept)
    return kept
