"""``b2b-sem list``: what is bundled."""

from __future__ import annotations

import click

_TITLES = {"study": "studies", "montecarlo": "Monte Carlo studies", "plan": "sample-size plans"}


@click.command("list", short_help="List what is bundled.")
def command() -> None:
    """List the bundled surveys, models, simulations, studies, Monte Carlo studies and plans."""
    from b2b_sem.cli.bundled import bundled_files

    entries = bundled_files()
    width = max((len(entry.id) for entry in entries), default=0)
    kind = ""
    for entry in entries:
        if entry.kind != kind:
            kind = entry.kind
            click.echo(_TITLES.get(kind, f"{kind}s"))
        click.echo(f"  {entry.id:<{width}}  {entry.title}")
