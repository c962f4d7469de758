"""Options of commands that compare waves: how columns belong to waves, as a person writes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from b2b_sem.spec.model import ModelSpec

__all__ = ["check_scoring", "wave_arguments", "wave_options"]


def wave_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that name waves."""
    for option in (
        click.option(
            "--correlated/--no-correlated",
            default=True,
            help="With waves: residuals of an item covary with its own in other waves (default: yes).",
        ),
        click.option("--person", metavar="COLUMN", help="Of long data: column that tells persons apart."),
        click.option("--wave", metavar="COLUMN", help="Of long data: column that tells waves apart, with --person."),
        click.option(
            "--waves",
            metavar="T1=_t1,T2=_t2",
            help="In place of --group: each wave and what follows names in it, 't1_{}', or its columns 'y1+y2+y3'; of "
            "long data the waves in their order.",
        ),
    ):
        command = option(command)
    return command


def wave_arguments(
    ctx: click.Context, group: str | None, waves: str | None, wave: str | None, person: str | None, correlated: bool
) -> dict[str, Any]:
    """Return the arguments of ``invariance`` that say what is compared.

    Raises
    ------
    UsageError
        Unless groups or waves are named.
    """
    over_waves = any(given is not None for given in (waves, wave, person))
    if over_waves == (group is not None):
        what = "'--group' and waves are both given" if over_waves else "Nothing to compare"
        raise click.UsageError(f"{what}: give '--group', '--waves', or '--wave' and '--person'.", ctx)
    if not over_waves:
        if not correlated:
            raise click.UsageError("'--no-correlated' goes with waves only.", ctx)
        return {"group": group}
    if (wave is None) != (person is None):
        raise click.UsageError("'--wave' and '--person' go together: both name columns of long data.", ctx)
    parts = [part.strip() for part in (waves or "").split(",") if part.strip()]
    named: Any = None
    if wave is not None:
        named = parts or None
    elif not parts or not all("=" in part for part in parts):
        raise click.UsageError(f"'--waves {waves}' is no list of waves: write it as 'T1=_t1,T2=_t2'.", ctx)
    else:
        pairs = [(label.strip(), rule.strip()) for label, _, rule in (part.partition("=") for part in parts)]
        twice = next((label for label, _ in pairs if [p[0] for p in pairs].count(label) > 1), None)
        if twice is not None:
            raise click.UsageError(f"'--waves' names the wave '{twice}' twice.", ctx)
        named = {label: [c.strip() for c in rule.split("+")] if "+" in rule else rule for label, rule in pairs}
    return {"waves": named, "wave": wave, "person": person, "correlated": correlated}


def check_scoring(
    ctx: click.Context, spec: ModelSpec, score: bool, *, waves: str | None, wave: str | None, **_: Any
) -> None:
    """Refuse columns of waves that the model's survey, which names one column an item, would have to score.

    Raises
    ------
    UsageError
    """
    if waves is not None and wave is None and score and spec.survey_spec is not None:
        raise click.UsageError(
            "the model's survey cannot score columns of waves: give '--no-score' and reverse-coded answers, or long "
            "data with '--wave' and '--person'.",
            ctx,
        )
