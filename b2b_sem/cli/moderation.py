"""``b2b-sem moderation``: one question of moderation by several routes."""

from __future__ import annotations

import click

from b2b_sem.cli.group import answer_options, output_options


@click.command("moderation", short_help="Ask whether an effect is moderated, by several routes side by side.")
@click.argument("model")
@answer_options
@click.option("--product", metavar="A:B", help="The product that is asked about (default: the only one).")
@click.option("--outcome", metavar="Y", help="The equation that it stands in (default: the only one).")
@click.option(
    "--routes",
    metavar="A,B",
    help="Of lms, qml, dmc, dmc-all, mc, mc-all, rc, rc-all, scores, adjusted, split, observed (default: all but mc, "
    "mc-all, rc-all and adjusted).",
)
@click.option("--moderator", metavar="B", help="The factor that makes the groups of the split (default: the second).")
@click.option("--estimator", default="ML", help="ML (default), MLR, ... of the latent routes and the split.")
@click.option("--missing", default="listwise", help="listwise (default) or fiml (all answers are used).")
@click.option("--cluster", metavar="COLUMN", help="Rows with equal values here belong together (not with scores).")
@click.option("--std-lv/--no-std-lv", default=False, help="Fix latent variances to 1 instead of first loadings.")
@click.option("--score-by", default="mean", help="mean of the items (default), or factor scores: regression, bartlett.")
@click.option("--cut", default="median", metavar="SCORE", help="Where the moderator is split (default: its median).")
@click.option("--alpha", type=float, default=0.05, help="Error rate of each test (default: 0.05).")
@click.option("--level", type=float, default=0.95, help="Level of the intervals (default: 0.95).")
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
    product: str | None,
    outcome: str | None,
    routes: str | None,
    moderator: str | None,
    estimator: str,
    missing: str,
    cluster: str | None,
    std_lv: bool,
    score_by: str,
    cut: str,
    alpha: float,
    level: float,
    json_out: str | None,
    figure_out: str | None,
) -> int:
    """Ask by several routes whether the effect of A on Y depends on B, and whether the verdict depends on the route.

    MODEL has the product in the equation of the outcome: Y ~ A + B + A:B. It is a file in lavaan syntax (.lav, .txt), a
    model file (.yaml), or the id of a bundled model. A route that fails is a row with its reason; the exit code is 1 if
    no route has an answer.
    """
    from b2b_sem.analysis.moderation import ROUTES, moderation
    from b2b_sem.cli.fit import read_answers
    from b2b_sem.cli.group import check_outputs, given_model, listed, write_result
    from b2b_sem.spec.loader import load_model

    check_outputs(ctx, model, data, json_out, figure_out)
    spec = load_model(model)
    result = moderation(
        given_model(spec),
        read_answers(spec, data, sheet, missing_codes, score),
        product,
        outcome,
        routes=ROUTES if routes is None else listed(routes),
        moderator=moderator,
        estimator=estimator,
        missing=missing,
        cluster=cluster,
        std_lv=std_lv,
        score=score_by,
        cut=_cut(cut, ctx),
        alpha=alpha,
        level=level,
    )
    write_result(result, json_out, figure_out)
    if not result.ok:
        click.echo("error: no route has an answer; the reasons stand with the routes", err=True)
        return 1
    return 0


def _cut(text: str, ctx: click.Context) -> float | str:
    if text == "median":
        return text
    try:
        return float(text)
    except ValueError:
        raise click.UsageError(f"'--cut' is a score or 'median', not '{text}'.", ctx) from None
