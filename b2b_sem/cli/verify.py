"""``b2b-sem verify``: does a folder hold what its files and its data give?"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from b2b_sem.results.study import StudyResult
    from b2b_sem.results.verification import Verification

_SHOWN = 10
_ANSWERS = {
    "equal": "yes: the results are reproduced",
    "differs": "no: the folder does not hold what its inputs give",
    "cannot": "cannot say: the run could not be repeated",
}
_BASIS = {
    "data": "the data",
    "simulation": "simulated respondents of the same seed",
    "moments": "the covariance matrix and the number of rows (the data are not here)",
}
_CODES = {"equal": 0, "differs": 1, "cannot": 2}


@click.command("verify", short_help="Repeat a run and compare every value.")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--data", metavar="F", help="The data file, if it is not in DIR and not at its old place.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Worker processes.")
@click.option("--allow-extra", is_flag=True, help="Files in DIR that are not from the run are no reason for a no.")
def command(directory: Path, data: str | None, as_json: bool, jobs: int, allow_extra: bool) -> int:
    """Repeat the run that wrote DIR and compare every value.

    The folder is compared with its manifest, then the run is repeated from the copies of its files: whole numbers,
    words and decisions must be the same, other numbers within 1e-6. Without the data what follows from the covariance
    matrix and the number of rows is repeated.

    The exit code is 0 if the results are reproduced, 1 if not, and 2 if the run cannot be repeated.
    """
    from b2b_sem.cli.output import say
    from b2b_sem.verify import verify

    found = verify(directory, data=data, jobs=jobs, extra=not allow_extra, outputs=_write, progress=say)
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=1, ensure_ascii=False, allow_nan=False))
    else:
        for line in _lines(found):
            click.echo(line)
    return _CODES[found.answer]


def _write(result: StudyResult, folder: Path) -> None:
    from b2b_sem.report.html import write_report
    from b2b_sem.report.tables import write_tables

    write_tables(result, folder / "tables")
    write_report(result, folder / "report.html")


def _lines(found: Verification) -> list[str]:
    lines = [f"{found.id}: {_ANSWERS[found.answer]}"]
    grave = [f for f in found.findings if f.grave]
    for finding in grave:
        lines.append(f"  - {finding}")
    comparison = found.comparison
    if comparison is not None:
        lines.append(f"Repeated from {_BASIS[found.basis]}.")
        lines.append(
            f"Compared: {comparison.exact} counts, words and decisions, which must be the same; {comparison.numbers} "
            "other numbers, which may differ by 1e-6."
        )
        if comparison.differences:
            lines.append(f"Different: {len(comparison.differences)} values, among them")
            ordered = sorted(
                comparison.differences, key=lambda d: (d.column != "verdict", math.isinf(d.size), -d.size)
            )  # decisions, then numbers, then words
            lines += [f"  - {difference}" for difference in ordered[:_SHOWN]]
        worst = comparison.worst
        if worst is not None:
            lines.append(f"Worst difference: {'none' if worst.size == 0 else worst}")
    others = [f for f in found.findings if not f.grave]
    if others:
        reason = "Can be the cause:" if comparison is not None and comparison.differences else "For information:"
        lines += [reason, *(f"  - {finding}" for finding in others)]
    lines += [f"Not checked: {text}" for text in found.unchecked]
    return lines
