"""What the commands that draw samples share: options of workers, and where they keep finished blocks."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

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
    """
    kept = target / BLOCKS
    if not resume and (kept / mark).is_file():
        shutil.rmtree(kept)
    return kept
