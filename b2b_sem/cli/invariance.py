"""``b2b-sem invariance``: whether items measure the same in several groups or waves."""

from __future__ import annotations

from typing import Any

import click

from b2b_sem.cli.group import answer_options, ordinal_options, output_options
from b2b_sem.cli.wave import check_scoring, wave_arguments, wave_options


@click.command("invariance", short_help="Test whether items measure the same in several groups or waves.")
@click.argument("model")
@answer_options
@click.option("--group", metavar="NAME", help="Column that tells groups apart, or a group of the model's survey.")
@wave_options
@click.option(
    "--steps",
    metavar="A,B",
    help="First steps of configural,metric,scalar,strict (with --ordered configural,thresholds,...; default: all).",
)
@click.option("--estimator", default="ML", help="ML (default), MLM, MLMV, MLR or MLF; WLSMV, ... with --ordered.")
@click.option(
    "--missing", default="listwise", help="listwise (default) or fiml (all answers are used); pairwise with --ordered."
)
@ordinal_options
@click.option("--cluster", metavar="COLUMN", help="Rows with equal values here belong together, within groups.")
@click.option("--criteria", default="chen", help="chen (default), cheung-rensvold or chisq.")
@click.option("--alpha", type=float, default=0.05, help="Error rate of the tests (default: 0.05).")
@click.option("--partial/--no-partial", default=True, help="Release parameters where a step fails (default: yes).")
@click.option("--stop/--no-stop", default=True, help="Stop at the first step that fails (default: yes).")
@output_options
@click.pass_context
def command(
    ctx: click.Context,
    /,
    model: str,
    data: str,
    sheet: str | None,
    missing_codes: tuple[str, ...],
    score: bool,
    group: str | None,
    steps: str | None,
    estimator: str,
    missing: str,
    ordered: str | None,
    parameterization: str,
    cluster: str | None,
    criteria: str,
    alpha: float,
    partial: bool,
    stop: bool,
    json_out: str | None,
    figure_out: str | None,
    **over: Any,
) -> int:
    """Test configural, metric, scalar and strict invariance of the measurement part of MODEL.

    With --ordered equal thresholds come before equal loadings.

    MODEL is a file in lavaan syntax (.lav, .txt), a model file (.yaml), or the id of a bundled model.
    """
    from b2b_sem.analysis.invariance import invariance
    from b2b_sem.cli.fit import ordered_names, read_answers
    from b2b_sem.cli.group import check_outputs, given_model, listed, place_groups, write_result
    from b2b_sem.spec.loader import load_model

    check_outputs(ctx, model, data, json_out, figure_out)
    compared = wave_arguments(ctx, group, **over)
    spec = load_model(model)
    check_scoring(ctx, spec, score, **over)
    result = invariance(
        given_model(spec),
        place_groups(spec, read_answers(spec, data, sheet, missing_codes, score), group, score=score),
        **compared,
        steps=None if steps is None else listed(steps),
        estimator=estimator,
        missing=missing,
        ordered=ordered_names(ordered),
        parameterization=parameterization,
        cluster=cluster,
        criteria=criteria,
        partial=partial,
        alpha=alpha,
        stop=stop,
    )
    write_result(result, json_out, figure_out)
    return int(not result.fit("configural").converged)
