"""Where output goes: checks before the work starts, whole files after it, progress on stderr."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from b2b_sem.errors import B2BSemError

if TYPE_CHECKING:
    import pandas as pd

    from b2b_sem.results.cutoff import FitCutoffs
    from b2b_sem.results.fit import FitResult
    from b2b_sem.results.power import PowerResult
    from b2b_sem.results.power_sample import EffectSearch, RowSearch, SampledPower

__all__ = [
    "check_directory",
    "check_file",
    "check_not_input",
    "reason",
    "result_folder",
    "say",
    "staged_directory",
    "write_result",
]


def reason(fit: FitResult) -> str:
    """Return why a fit failed and what to do, as the last lines of the message."""
    return "".join(f"\n  -> {warning}" for warning in fit.warnings[:2])


def say(message: str) -> None:
    """Write one line of progress to stderr."""
    click.echo(message, err=True)


_ELSEWHERE = "name another directory with --out, or move it away"


def check_file(path: Path) -> None:
    """Refuse a path at which no file can be written, before any work is done.

    Raises
    ------
    B2BSemError
        If it is a directory, below something that is not one, or in a folder without write permission.
    """
    if path.is_dir():
        raise B2BSemError("the output must be a file, but this is a directory", file=path, hint="add a file name")
    if path.exists() and not path.is_file():
        raise B2BSemError("the output must be an ordinary file, and this is a device or pipe", file=path)
    _check_parents(path.parent, path)


def check_directory(path: Path) -> None:
    """Refuse a path at which no directory can be written, before any work is done.

    Raises
    ------
    B2BSemError
        If it is a file, below a file, or in a folder without write permission.
    """
    if path.exists() and not path.is_dir():
        raise B2BSemError(
            "the output must be a directory, but this is a file", file=path, hint="name another directory with --out"
        )
    _check_parents(path, path)


def result_folder(out: str | None, name: str) -> Path:
    """Return where results go, by default results/NAME; a folder that cannot be written is refused."""
    if out is not None and not out.strip():
        raise click.UsageError("'--out' needs the name of a directory.", click.get_current_context())
    target = Path(out) if out is not None else Path("results") / name
    check_directory(target)
    return target


def check_not_input(path: Path, *inputs: str | Path | None) -> None:
    """Refuse an output that would replace a file which is read.

    Raises
    ------
    B2BSemError
        If `path` is one of `inputs`.
    """
    for name in inputs:
        if name is not None and path.exists() and Path(name).exists() and path.samefile(name):
            raise B2BSemError("this file is read by the same command", file=path, hint="name another output file")


def _check_parents(start: Path, shown: Path) -> None:
    existing = start
    while not os.path.lexists(existing) and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise B2BSemError(
            f"cannot write here: {existing} is not a directory", file=shown, hint="name another place for the output"
        )
    if not os.access(existing, os.W_OK | os.X_OK):
        raise B2BSemError(
            f"cannot write here: no write permission in {existing}", file=shown, hint="name another place"
        )


@contextlib.contextmanager
def staged_directory(target: Path, *, listing: str) -> Iterator[Path]:
    """Give a temporary directory to write into; move what is in it to `target` only if nothing went wrong.

    A new `target` appears at once and complete. In an existing one files are replaced one by one, `listing` last;
    files that the earlier `listing` names and the new one does not are removed, so that no table of an earlier run
    stays behind. Files of other origin are left alone.

    Parameters
    ----------
    target : Path
        The final directory.
    listing : str
        Name of the JSON file in it whose ``files`` list the produced files by ``path``.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        yield stage
        mask = os.umask(0)
        os.umask(mask)
        stage.chmod(0o777 & ~mask)  # mkdtemp makes directories private; results are ordinary files
        if not target.exists():
            stage.rename(target)
            return
        before, after = _listed(target / listing), _listed(stage / listing)
        # while files are being replaced the folder is not complete: the old listing steps aside, and stays readable
        # for the next run should this one be cut off
        aside = target / f".{listing}"
        before |= _listed(aside)
        _refuse_foreign(stage, target, {*before, listing})
        if (target / listing).exists():
            os.replace(target / listing, aside)
        produced = sorted((p for p in stage.rglob("*") if p.is_file()), key=lambda p: (p.name == listing, p))
        for path in produced:
            final = target / path.relative_to(stage)
            final.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, final)
        for name in before - after:
            stale = target / name
            if stale.resolve().is_relative_to(target.resolve()):
                stale.unlink(missing_ok=True)
        aside.unlink(missing_ok=True)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def write_result(
    result: PowerResult | SampledPower | RowSearch | EffectSearch | FitCutoffs,
    out: Path,
    name: str,
    tables: Mapping[str, pd.DataFrame | str],
) -> None:
    """Write a result as tables, a page with figures, and JSON that lists the files; say what was written.

    Parameters
    ----------
    result : PowerResult and others
    out : Path
    name : str
        Of the page and of the JSON file, without ending.
    tables : mapping of str to DataFrame or str
        By the names of their files; text is written as it is.
    """
    from b2b_sem.report.page import write_figures
    from b2b_sem.results.io import write_json, write_text

    page, listing = f"{name}.html", f"{name}.json"
    names = [*tables, page, listing]
    with staged_directory(out, listing=listing) as stage:
        for file, table in tables.items():
            text = table if isinstance(table, str) else table.to_csv(index=False, lineterminator="\n")
            write_text(stage / file, text)
        write_figures(result, stage / page)
        made = {"command": ["b2b-sem", *sys.argv[1:]], "files": [{"path": file} for file in names]}
        write_json(stage / listing, {**result.to_json(), **made})
    say(f"{', '.join(names)} -> {out}")


def _refuse_foreign(stage: Path, target: Path, ours: set[str]) -> None:
    """Refuse to replace what the program did not write there, before anything is touched."""
    for path in sorted(stage.rglob("*")):
        name = path.relative_to(stage)
        final = target / name
        if not os.path.lexists(final) or (path.is_dir() and final.is_dir()):
            continue
        if path.is_dir() or final.is_dir():
            what = "a directory" if final.is_dir() else "a file"
            raise B2BSemError(f"{what} of this name is in the way of the results", file=final, hint=_ELSEWHERE)
        if not path.is_dir() and name.as_posix() not in ours:
            raise B2BSemError("this file is not from an earlier run and is not replaced", file=final, hint=_ELSEWHERE)


def _listed(path: Path) -> set[str]:
    """Return the file names a listing holds; none if it is absent or not one of ours."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["files"]
        return {str(entry["path"]) for entry in entries}
    except (OSError, ValueError, KeyError, TypeError):
        return set()
