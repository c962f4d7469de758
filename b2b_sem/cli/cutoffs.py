"""``b2b-sem cutoffs``: cut-offs of fit indices for the model at hand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from b2b_sem.results.fit import FitResult
    from b2b_sem.spec.model import ModelSpec


@click.command("cutoffs", short_help="Find the cut-offs of fit indices for a model, by simulation.")
@click.argument("model", required=False)
@click.option("--data", metavar="F", help="Data file: the model is fitted, and its indices are compared.")
@click.option("--population", metavar="SIM", help="Before there are data: a simulation file (id or path).")
@click.option("--n", type=click.IntRange(min=2), help="Respondents (default: those of the data, or SIM's).")
@click.option("--replications", type=click.IntRange(min=20), default=500, show_default=True, help="Samples a level.")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Seed of the samples.")
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Worker processes.")
@click.option("--sheet", help="Sheet of a workbook (default: the first).")
@click.option("--missing-code", "missing_codes", multiple=True, metavar="CODE", help="A value that means missing.")
@click.option(
    "--score/--no-score", default=True, help="Reverse-code and check the answers by the model's survey, if any."
)
@click.option("--estimator", help="ML (default); ordinal: WLSMV (default) or ULSMV.")
@click.option(
    "--ordered",
    is_flag=False,
    flag_value="all",
    metavar="A,B",
    help="Ordinal items: samples are cut at the thresholds. Names, or all if none are given.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write cutoffs.csv, samples.csv, cutoffs.html (figure) and cutoffs.json here.",
)
@click.pass_context
def command(
    ctx: click.Context,
    /,
    model: str | None,
    data: str | None,
    population: str | None,
    n: int | None,
    replications: int,
    seed: int,
    jobs: int,
    out: Path | None,
    **options: Any,
) -> int:
    """Find the cut-offs of SRMR, RMSEA and CFI for MODEL and its number of respondents.

    MODEL is a file in lavaan syntax, a model file, or the id of a bundled model. With --data it is fitted; with
    --population its values are those of SIM (whose own model is the default); without both it is a file in lavaan
    syntax with a standardized value for every loading and correlation, such as 'F =~ .7*x1 + .6*x2'.
    """
    from b2b_sem.cli.output import check_directory, write_result
    from b2b_sem.cli.progress import ProgressLine
    from b2b_sem.simulate.cutoff import fit_cutoffs
    from b2b_sem.spec.loader import load_model

    if data is not None and population is not None:
        raise click.UsageError("Give either '--data' or '--population'.", ctx)
    if model is None and population is None:
        raise click.UsageError("Missing argument 'MODEL'.", ctx)
    given: Any = None if model is None else load_model(model)
    stated = [f"--{name}" for name in ("estimator", "ordered", "sheet") if options[name]]
    if data is None and stated:
        raise click.UsageError(f"'{stated[0]}' goes with '--data'.", ctx)
    if out is not None:
        check_directory(out)
    if data is not None:
        given = _fit(given, data, options)
    line = ProgressLine("samples")
    try:
        found = fit_cutoffs(
            given, population=population, n=n, replications=replications, seed=seed, jobs=jobs, progress=line
        )
    finally:
        line.close()
    click.echo(found.summary())
    if out is None:
        return 0
    import pandas as pd

    from b2b_sem.report.cutoff import tabulate_cutoffs

    samples = pd.concat([found.samples(k).assign(level=k) for k in range(found.levels + 1)], ignore_index=True)
    write_result(found, out, "cutoffs", {"cutoffs.csv": tabulate_cutoffs(found).to_csv(), "samples.csv": samples})
    return 0


def _fit(model: ModelSpec, data: str, options: dict[str, Any]) -> FitResult:
    """Fit the measurement part of a model to a data file."""
    from b2b_sem.analysis.cutoff_recipe import measurement_text
    from b2b_sem.analysis.intake import model_text
    from b2b_sem.analysis.structural import fit
    from b2b_sem.cli.fit import ordered_names, read_answers
    from b2b_sem.cli.group import given_model
    from b2b_sem.cli.output import say

    settings = model.options.stated()
    settings |= {name: options[name] for name in ("estimator",) if options[name]}
    if options["ordered"]:
        settings["ordered"] = ordered_names(options["ordered"])
    answers = read_answers(model, data, options["sheet"], options["missing_codes"], options["score"])
    text, items, notes = measurement_text(model_text(given_model(model))[0])
    for note in notes:
        say(note)
    if isinstance(settings.get("ordered"), tuple):
        settings["ordered"] = tuple(v for v in settings["ordered"] if v in items)
    return fit(text, answers, **settings)
