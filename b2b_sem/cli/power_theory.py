"""``b2b-sem power`` by theory, and ``b2b-sem fit-power``: options that they share, and the files they write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from b2b_sem.results.power import PowerResult

__all__ = ["CURVE", "THEORY", "numbers", "show_power", "theory_options", "theory_settings"]

#: Numbers of respondents of curve.csv.
CURVE = "50,100,150,200,300,400,600,800,1000"
#: Options that :func:`theory_options` adds, by their names in Python.
THEORY = ("group", "group_equal", "group_partial", "steps", "missing", "missing_rate", "rmsea", "hold")


def theory_options(command: Any) -> Any:
    """Add the options of power by theory to a command."""
    options = (
        click.option("--group", metavar="NAME", help="Compare the groups that differ in SIM (its 'split')."),
        click.option("--group-equal", metavar="A,B", help="Equal in all groups: loadings, intercepts, residuals, ..."),
        click.option("--group-partial", metavar="A,B", help="Parameters that are not equal all the same: F=~x2, x2~1."),
        click.option(
            "--steps", metavar="A,B", help="By theory: steps of invariance (default: metric,scalar,strict), or none."
        ),
        click.option("--missing", help="Rows with missing answers: listwise (default) or fiml."),
        click.option(
            "--missing-rate",
            type=float,
            metavar="RATE",
            help="By theory: answers missing by chance (lavaan syntax only).",
        ),
        click.option(
            "--rmsea", multiple=True, metavar="A,B", help="By theory: test RMSEA A where it is B; repeatable."
        ),
        click.option("--hold", metavar="WHAT", help="Of --detectable: what stays, variance (default) or residual."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def theory_settings(given: dict[str, Any]) -> dict[str, Any]:
    """Return the options that were given as ``bs.power`` takes them."""
    out = {name: value for name, value in given.items() if value not in (None, ())}
    for name in ("group_equal", "group_partial", "steps"):
        if name in out:
            parts = [part.strip() for part in out[name].split(",") if part.strip()]
            out[name] = () if name == "steps" and parts == ["none"] else tuple(parts)
    if "rmsea" in out:
        pairs = [numbers("--rmsea", text, least=0.0) for text in out["rmsea"]]
        wrong = next((text for text, pair in zip(out["rmsea"], pairs, strict=True) if len(pair) != 2), None)
        if wrong is not None:
            raise click.BadParameter(f"'{wrong}' is no pair of numbers, such as 0.05,0.08", param_hint="'--rmsea'")
        out["rmsea"] = [(pair[0], pair[1]) for pair in pairs]
    return out


def show_power(result: PowerResult, sizes: Sequence[int], out: Path | None) -> None:
    """Print a result, and write its tables, figures and JSON to a directory.

    Parameters
    ----------
    result : PowerResult
    sizes : sequence of int
        Numbers of respondents of curve.csv.
    out : Path or None
    """
    from b2b_sem.cli.output import write_result

    click.echo(result.summary())
    if out is not None:
        write_result(result, out, "power", {"power.csv": result.table, "curve.csv": result.curve(sizes)})


def numbers(option: str, text: str, *, least: float | None = None) -> list[float]:
    """Return numbers written with commas between them: positive, or not below `least`."""
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        found = []
    bad = not found or (min(found) <= 0 if least is None else min(found) < least)
    if bad or (option == "--curve" and min(found) < 2):
        raise click.BadParameter(f"'{text}' is no list of positive numbers, such as 100,200", param_hint=f"'{option}'")
    return found
