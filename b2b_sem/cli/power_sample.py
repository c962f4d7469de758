"""``b2b-sem power`` by samples: power at sizes, the respondents that are needed, the smallest effect."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from b2b_sem.report.power_sample import Sampled

__all__ = ["run_sampled"]

#: Where finished blocks are kept until the results are written.
BLOCKS = ".samples"
#: Sizes between the smallest and the largest that were drawn, in curve.csv.
POINTS = 50


def run_sampled(
    population: Any,
    model: Any,
    *,
    out: Path | None,
    resume: bool,
    mode: str,
    nobs: int | None,
    effect: str | None,
    sizes: Sequence[int],
    tests: Sequence[str],
    replications: int | None,
    settings: Mapping[str, Any],
    search: Mapping[str, Any],
) -> int:
    """Count power by samples, print it, and write it.

    Parameters
    ----------
    population, model
        As :func:`b2b_sem.power` takes them.
    out : Path or None
    resume : bool
        Go on with the blocks that a broken run left in `out`.
    mode : {"power", "rows", "effect"}
    nobs, effect, sizes, tests, replications
        None or empty where they were not given.
    settings : mapping
        For all three.
    search : mapping
        Precision and largest, for searches.

    Returns
    -------
    int
        Exit code: 1 if a search found nothing precise.
    """
    from b2b_sem.cli.output import say
    from b2b_sem.cli.progress import ProgressLine
    from b2b_sem.simulate.sampled import find_effect, find_rows, load_source, sampled_power
    from b2b_sem.spec.montecarlo import MonteCarloSpec

    source = load_source(population)
    kept = None if out is None or mode == "effect" or not hasattr(source, "KIND") else out / BLOCKS
    if kept is not None and not resume and kept.is_dir():
        shutil.rmtree(kept)
    line = ProgressLine("samples")
    common: dict[str, Any] = {**settings, "progress": line}
    spent: dict[str, Any] = {} if replications is None else {"replications": replications}
    result: Sampled
    try:
        if mode == "effect":
            test = tests[0] if tests else None
            result = find_effect(population, effect or "", model, nobs=nobs, test=test, **spent, **search, **common)
        elif mode == "rows":
            result = find_rows(source, model, start=nobs, tests=tests, folder=kept, **spent, **search, **common)
        else:
            if replications is None:
                assert isinstance(source, MonteCarloSpec)  # the command asked for samples
                spent = {"replications": source.replications}
            result = sampled_power(source, model, nobs=nobs, sizes=sizes, tests=tests, folder=kept, **spent, **common)
    finally:
        line.close()
    click.echo(result.summary())
    if out is not None:
        say(", ".join(_write(result, out)) + f" -> {out}")
        if kept is not None:
            shutil.rmtree(kept, ignore_errors=True)
    return _code(result)


def _code(result: Sampled) -> int:
    from b2b_sem.results.power_sample import EffectSearch, RowSearch

    if isinstance(result, RowSearch):
        return 0 if bool(result.table["precise"].all()) else 1
    if isinstance(result, EffectSearch):
        return 0 if result.precise else 1
    return 0 if bool(result.shares["used"].any()) else 1


def _write(result: Sampled, out: Path) -> list[str]:
    """Write tables, page and JSON; return their names."""
    import numpy as np
    import pandas as pd

    from b2b_sem.cli.output import staged_directory
    from b2b_sem.report.page import write_figures
    from b2b_sem.results.io import write_json, write_text
    from b2b_sem.results.power_sample import EffectSearch

    tables: dict[str, pd.DataFrame] = {"shares.csv": result.shares}
    if not isinstance(result, EffectSearch):
        tables = {"power.csv": result.table, **tables}
        drawn = result.shares["nobs"]
        if drawn.nunique() > 1:
            sizes = np.unique(np.linspace(drawn.min(), drawn.max(), POINTS).round().astype(int))
            tables["curve.csv"] = result.curve(sizes)
    names = [*tables, "power.html", "power.json"]
    with staged_directory(out, listing="power.json") as stage:
        for name, table in tables.items():
            write_text(stage / name, table.to_csv(index=False, lineterminator="\n"))
        write_figures(result, stage / "power.html")
        files = [{"path": name} for name in names]
        command = ["b2b-sem", *sys.argv[1:]]
        write_json(stage / "power.json", {**result.to_json(), "command": command, "files": files})
    return names
