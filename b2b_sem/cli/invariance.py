"""``b2b-sem invariance``: whether items measure the same in several groups or waves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from b2b_sem.cli.wave import check_scoring, wave_arguments, wave_options

if TYPE_CHECKING:
    from b2b_sem.results.invariance import InvarianceResult


@click.command("invariance", short_help="Test whether items measure the same in several groups or waves.")
@click.argument("model")
@click.option("--data", required=True, metavar="F", help="Data file: CSV, TSV, XLSX, .sav, .dta or Parquet.")
@click.option("--group", metavar="COLUMN", help="Column that tells groups apart.")
@wave_options
@click.option("--sheet", help="Sheet of a workbook (default: the first).")
@click.option("--missing-code", "missing_codes", multiple=True, metavar="CODE", help="A value that means missing.")
@click.option(
    "--score/--no-score", default=True, help="Reverse-code and check the answers by the model's survey, if any."
)
@click.option(
    "--steps",
    metavar="A,B",
    help="First steps of configural,metric,scalar,strict (with --ordered configural,thresholds,...; default: all).",
)
@click.option("--estimator", default="ML", help="ML (default), MLM, MLMV, MLR or MLF; WLSMV, ... with --ordered.")
@click.option(
    "--missing", default="listwise", help="listwise (default) or fiml (all answers are used); pairwise with --ordered."
)
@click.option("--cluster", metavar="COLUMN", help="Rows with equal values here belong together, within groups.")
@click.option(
    "--ordered", is_flag=False, flag_value="all", metavar="A,B", help="Ordinal items: names, or all if none are given."
)
@click.option(
    "--parameterization",
    type=click.Choice(["delta", "theta"]),
    default="delta",
    help="Of ordinal items (default: delta).",
)
@click.option("--criteria", default="chen", help="chen (default), cheung-rensvold or chisq.")
@click.option("--alpha", type=float, default=0.05, help="Error rate of the tests (default: 0.05).")
@click.option("--partial/--no-partial", default=True, help="Release parameters where a step fails (default: yes).")
@click.option("--stop/--no-stop", default=True, help="Stop at the first step that fails (default: yes).")
@click.option("--json", "json_out", metavar="OUT", help="Also write the result as JSON; '-' prints JSON only.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    model: str,
    data: str,
    group: str | None,
    sheet: str | None,
    missing_codes: tuple[str, ...],
    score: bool,
    steps: str | None,
    estimator: str,
    missing: str,
    cluster: str | None,
    ordered: str | None,
    parameterization: str,
    criteria: str,
    alpha: float,
    partial: bool,
    stop: bool,
    json_out: str | None,
    **over: Any,
) -> int:
    """Test configural, metric, scalar and strict invariance of the measurement part of MODEL.

    With --ordered equal thresholds come before equal loadings.

    MODEL is a file in lavaan syntax (.lav, .txt), a model file (.yaml), or the id of a bundled model.
    """
    from b2b_sem.analysis.invariance import invariance
    from b2b_sem.cli.fit import ordered_names, read_answers
    from b2b_sem.cli.output import check_file, check_not_input
    from b2b_sem.spec.loader import load_model

    if "~" in model or "\n" in model:
        raise click.UsageError("MODEL is the name of a file: write the model text to a file such as model.lav.", ctx)
    if json_out is not None and not json_out.strip():
        raise click.UsageError("'--json' needs a file name.", ctx)
    to_file = json_out is not None and json_out != "-"
    if to_file:
        check_file(Path(str(json_out)))
        check_not_input(Path(str(json_out)), model, data)
    compared = wave_arguments(ctx, group, **over)
    spec = load_model(model)
    check_scoring(ctx, spec, score, **over)
    path = spec.source
    result = invariance(
        spec if path is None or path.suffix.lower() in (".yaml", ".yml") else path,
        read_answers(spec, data, sheet, missing_codes, score),
        **compared,
        steps=None if steps is None else tuple(s.strip() for s in steps.split(",") if s.strip()),
        estimator=estimator,
        missing=missing,
        cluster=cluster,
        ordered=ordered_names(ordered),
        parameterization=parameterization,
        criteria=criteria,
        partial=partial,
        alpha=alpha,
        stop=stop,
    )
    _write(result, json_out)
    return 0


def _write(result: InvarianceResult, json_out: str | None) -> None:
    import json

    from b2b_sem.cli.output import say
    from b2b_sem.results.io import write_json

    if json_out == "-":
        click.echo(json.dumps(result.to_json(), indent=1, ensure_ascii=False, allow_nan=False))
        return
    click.echo(result.summary())
    if json_out is not None:
        say(f"JSON -> {write_json(json_out, result.to_json())}")
