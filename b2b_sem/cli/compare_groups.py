"""``b2b-sem compare-groups``: whether paths are the same in several groups."""

from __future__ import annotations

import click

from b2b_sem.cli.group import answer_options, ordinal_options, output_options


@click.command("compare-groups", short_help="Test whether paths are the same in several groups.")
@click.argument("model")
@answer_options
@click.option(
    "--group", required=True, metavar="NAME", help="Column that tells groups apart, or a group of the model's survey."
)
@click.option("--paths", metavar="A,B", help="Paths to compare, as 'Y ~ X' or 'X -> Y' (default: all).")
@click.option("--equal", metavar="A,B", help="Equal in all groups beside them (default: loadings; '' for nothing).")
@click.option("--partial", metavar="A,B", help="Exceptions, such as loadings that invariance released: F=~x2.")
@click.option(
    "--estimator",
    default="ML",
    help="ML (default), MLM, MLMV, MLMVS, MLR, MLF, GLS or WLS; WLSMV, ... with --ordered.",
)
@click.option(
    "--missing", default="listwise", help="listwise (default) or fiml (all answers are used); pairwise with --ordered."
)
@ordinal_options
@click.option("--cluster", metavar="COLUMN", help="Rows with equal values here belong together, within groups.")
@click.option("--std-lv/--no-std-lv", default=False, help="Fix latent variances to 1 instead of first loadings.")
@click.option("--size", type=float, default=0.2, help="Standardized difference that the power is for (default: 0.2).")
@click.option("--alpha", type=float, default=0.05, help="Error rate of the tests (default: 0.05).")
@click.option("--level", type=float, default=0.95, help="Level of the intervals (default: 0.95).")
@click.option("--multiplicity", default="holm", help="holm (default), bonferroni, bh or none.")
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
    group: str,
    paths: str | None,
    equal: str | None,
    partial: str | None,
    estimator: str,
    missing: str,
    ordered: str | None,
    parameterization: str,
    cluster: str | None,
    std_lv: bool,
    size: float,
    alpha: float,
    level: float,
    multiplicity: str,
    json_out: str | None,
    figure_out: str | None,
) -> int:
    """Estimate the paths of MODEL in each group of one joint model and test whether they are equal.

    MODEL is a file in lavaan syntax (.lav, .txt), a model file (.yaml), or the id of a bundled model. Test first with
    `b2b-sem invariance` whether the loadings are equal.
    """
    from b2b_sem.analysis.path_group import compare_groups
    from b2b_sem.cli.fit import ordered_names, read_answers
    from b2b_sem.cli.group import check_outputs, given_model, listed, place_groups, write_result
    from b2b_sem.spec.loader import load_model

    check_outputs(ctx, model, data, json_out, figure_out)
    spec = load_model(model)
    answers = place_groups(spec, read_answers(spec, data, sheet, missing_codes, score), group, score=score)
    result = compare_groups(
        given_model(spec),
        answers,
        group,
        paths=None if paths is None else listed(paths),
        equal=("loadings",) if equal is None else listed(equal),
        partial=listed(partial),
        estimator=estimator,
        missing=missing,
        ordered=ordered_names(ordered),
        parameterization=parameterization,
        cluster=cluster,
        std_lv=std_lv,
        size=size,
        alpha=alpha,
        level=level,
        multiplicity=multiplicity,
    )
    write_result(result, json_out, figure_out)
    if result.fit is not None and not result.fit.ok:
        click.echo(f"error: {result.fit.failure}: the numbers must not be interpreted", err=True)
        return 1
    return 0
