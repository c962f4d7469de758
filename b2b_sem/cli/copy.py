"""``b2b-sem copy``: a bundled file as a starting point for one's own."""

from __future__ import annotations

from pathlib import Path

import click

_KINDS = ("survey", "model", "simulation", "study", "montecarlo", "plan")
_FILE_SUFFIXES = (".yaml", ".yml", ".lav", ".txt")


@click.command("copy", short_help="Copy bundled files, as a start for your own.")
@click.argument("identifier", metavar="ID")
@click.argument("dest", type=click.Path(path_type=Path))
@click.option("--kind", type=click.Choice(_KINDS), help="Copy only the file of this kind.")
@click.option("--force", is_flag=True, help="Replace files that exist.")
def command(identifier: str, dest: Path, kind: str | None, force: bool) -> None:
    """Copy the bundled files with this ID to DEST, as a start for your own.

    DEST is a directory; the files keep their folder (models/ID.yaml, surveys/ID.yaml, ...). When a single file
    matches, DEST may also be a file name such as mine.yaml.
    """
    from b2b_sem.cli.bundled import bundled_files
    from b2b_sem.cli.output import check_directory, check_file
    from b2b_sem.errors import B2BSemError, SpecError, did_you_mean
    from b2b_sem.results.io import write_text

    known = bundled_files()
    found = [entry for entry in known if entry.id == identifier and kind in (None, entry.kind)]
    if not found:
        ids = [entry.id for entry in known if kind in (None, entry.kind)]
        raise SpecError(
            f"there is no bundled {kind or 'file'} '{identifier}'.{did_you_mean(identifier, ids)}",
            hint="'b2b-sem list' shows what is bundled",
        )
    if dest.suffix in _FILE_SUFFIXES and not dest.is_dir():
        if len(found) > 1:
            kinds = ", ".join(entry.kind for entry in found)
            raise B2BSemError(
                f"'{identifier}' names {len(found)} files ({kinds}), which cannot all become one file",
                file=dest,
                hint="choose one with --kind, or name a directory",
            )
        targets = [dest]
        check_file(dest)
    else:
        targets = [dest / entry.folder / entry.path.name for entry in found]
        check_directory(dest)
        for target in targets:
            check_file(target)
    existing = [str(target) for target in targets if target.exists()]
    if existing and not force:
        raise B2BSemError(
            f"already there: {', '.join(existing)}", hint="name another place, or give --force to replace"
        )
    for entry, target in zip(found, targets, strict=True):
        write_text(target, entry.path.read_text(encoding="utf-8"))
        click.echo(f"{entry.kind} {entry.id} -> {target}")
