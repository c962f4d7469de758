"""``b2b-sem lesson``: data with hidden truth for a class, and what somebody recovered of it."""

from __future__ import annotations

from pathlib import Path

import click

#: First words of the second line of a file with a key, by which it is known as ours.
_MARK = "# key of the lesson"


@click.group("lesson", short_help="Make data with hidden truth for a class, and check results against it.")
def command() -> None:
    """Make a data set whose truth is hidden, and compare results with it."""


@command.command("make")
@click.argument("sim", default="lima2026")
@click.option("--n", "nobs", type=click.IntRange(min=30, max=1_000_000), required=True, help="Number of respondents.")
@click.option("--seed", type=click.IntRange(min=0), help="The same seed makes the same lesson (default: by chance).")
@click.option(
    "--level",
    type=click.Choice(["intro", "standard", "hard"]),
    default="standard",
    show_default=True,
    help="intro: clean answers; standard: careless and missing ones; hard: more faults.",
)
@click.option("--key", metavar="TEXT", help="What opens the truth (default: one is made and shown).")
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Where the files go.")
@click.option("--force", is_flag=True, help="Replace another lesson, and its key.")
def make(sim: str, nobs: int, seed: int | None, level: str, key: str | None, out: Path, force: bool) -> None:
    """Make a lesson from the population SIM: answers, codebook, survey, model, study, task sheet, sealed truth.

    DIR is what students get. The key is written to DIR.key beside it, and shown; it stays with the teacher. The values
    of SIM are replaced by hidden ones: some paths are zero, some have the other sign than the theory says.
    """
    from b2b_sem.cli.output import check_directory, check_file, say, staged_directory
    from b2b_sem.errors import B2BSemError
    from b2b_sem.report.lesson import write_task
    from b2b_sem.results.io import write_text
    from b2b_sem.results.lesson import LISTING
    from b2b_sem.simulate.lesson import key_file, make_lesson

    check_directory(out)
    kept = key_file(out)
    check_file(kept)
    if kept.exists() and _MARK not in kept.read_text(encoding="utf-8", errors="replace"):
        raise B2BSemError(
            "this file is in the way of the key and is not from an earlier lesson",
            file=kept,
            hint="name another directory with --out, or move it away",
        )
    lesson = make_lesson(sim, nobs, seed, level=level, key=key)
    if not force and kept.exists() and kept.read_text(encoding="utf-8").splitlines()[:1] != [lesson.key]:
        raise B2BSemError(
            "this is the key of another lesson, which nobody could open without it",
            file=kept,
            hint="name another directory with --out, or give --force to replace the lesson and its key",
        )
    with staged_directory(out, listing=LISTING) as stage:
        lesson.save(stage)
        write_task(lesson, stage / "task.html")
        _list_page(stage / LISTING, "task.html")
    write_text(kept, f"{lesson.key}\n{_MARK} in the folder {kept.stem}; keep it, and hand out the folder only\n")
    say(f"{nobs} respondents, level {level} -> {out}")
    click.echo(f"task sheet: {out / 'task.html'}")
    click.echo(f"key (for the teacher, in {kept.name}): {lesson.key}")


def _list_page(listing: Path, name: str) -> None:
    """Add a page to the listing of the files of a lesson."""
    import json

    from b2b_sem.results.io import write_json
    from b2b_sem.results.lesson import file_entry

    data = json.loads(listing.read_text(encoding="utf-8"))
    data["files"].append(file_entry(name, (listing.parent / name).read_text(encoding="utf-8")))
    write_json(listing, data)


@command.command("check")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("results", required=False, type=click.Path(path_type=Path))
@click.option("--key", metavar="TEXT", help="What opens the truth (default: from the file DIR.key).")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="OUT", help="Where the sheet goes (default: DIR/recovered)."
)
def check(folder: Path, results: Path | None, key: str | None, out: Path | None) -> int:
    """Compare RESULTS with the hidden truth of the lesson in DIR, and write recovered.html and recovered.json.

    RESULTS is a folder of 'b2b-sem run', its results.json, or a file of 'b2b-sem fit --json'. Without it, the study
    file in DIR is run as it stands now. The exit code is 1 when the fit must not be interpreted.
    """
    from b2b_sem.cli.output import check_directory, say, staged_directory
    from b2b_sem.report.lesson import check_lines, write_check
    from b2b_sem.results.io import write_json
    from b2b_sem.results.lesson import STUDY
    from b2b_sem.simulate.lesson import open_lesson
    from b2b_sem.simulate.lesson_check import check_lesson

    target = folder / "recovered" if out is None else out
    check_directory(target)
    opened = open_lesson(folder, key)  # a wrong key fails before anything is run
    if results is None:
        from b2b_sem.study import run_study

        study = run_study(folder / STUDY, progress=say)
        result = check_lesson(opened, study, source=f"{STUDY} of the lesson")
    else:
        result = check_lesson(opened, results)
    with staged_directory(target, listing="recovered.json") as stage:
        write_check(result, stage / "recovered.html")
        files = [{"path": "recovered.html"}, {"path": "recovered.json"}]
        write_json(stage / "recovered.json", {**result.to_json(), "files": files})
    click.echo(check_lines(result))
    click.echo(f"sheet: {target / 'recovered.html'}")
    if not result.ok:
        click.echo(f"error: {result.failure}: nothing can be recovered from this fit", err=True)
        return 1
    return 0


@command.command("open")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--key", metavar="TEXT", help="What opens the truth (default: from the file DIR.key).")
def show(folder: Path, key: str | None) -> None:
    """Show the hidden truth of the lesson in DIR: for teachers."""
    from b2b_sem.simulate.lesson import open_lesson
    from b2b_sem.simulate.lesson_truth import truth_lines

    for line in truth_lines(open_lesson(folder, key)):
        click.echo(line)
