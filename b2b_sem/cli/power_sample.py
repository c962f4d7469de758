"""``b2b-sem power`` by samples: power at sizes, the respondents that are needed, the smallest effect."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import pandas as pd

    from b2b_sem.report.power_sample import Sampled

__all__ = ["run_sampled"]

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
    from b2b_sem.cli.output import write_result
    from b2b_sem.cli.progress import ProgressLine
    from b2b_sem.cli.sampling import fresh_blocks
    from b2b_sem.simulate.folder import MARK
    from b2b_sem.simulate.sampled import Described, find_effect, find_rows, load_source, sampled_power
    from b2b_sem.spec.montecarlo import MonteCarloSpec

    source = load_source(population)
    # samples of moments take seconds: only those of a file are kept
    keep = out is not None and mode != "effect" and isinstance(source, Described)
    kept = fresh_blocks(out, MARK, resume=resume) if out is not None and keep else None
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
        write_result(result, out, "power", _tables(result))
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


def _tables(result: Sampled) -> dict[str, pd.DataFrame]:
    """Return the tables of a result by their files; a curve where several sizes were drawn."""
    import numpy as np

    from b2b_sem.results.power_sample import EffectSearch

    if isinstance(result, EffectSearch):
        return {"shares.csv": result.shares}
    tables = {"power.csv": result.table, "shares.csv": result.shares}
    drawn = result.shares["nobs"]
    if drawn.nunique() > 1:
        sizes = np.unique(np.linspace(drawn.min(), drawn.max(), POINTS).round().astype(int))
        tables["curve.csv"] = result.curve(sizes)
    return tables
