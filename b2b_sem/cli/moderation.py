"""``b2b-sem moderation``: one question of moderation by several routes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from b2b_sem.cli.group import answer_options, output_options
from b2b_sem.errors import DataError, did_you_mean

if TYPE_CHECKING:
    from b2b_sem.spec.model import ModelSpec
    from b2b_sem.spec.moderation import ModeratedModel


@click.command("moderation", short_help="Ask whether an effect is moderated, by several routes side by side.")
@click.argument("model")
@answer_options
@click.option("--claim", metavar="ID", help="A proposition of the model file on moderation: its own product is asked.")
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
    claim: str | None,
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
    model file (.yaml), or the id of a bundled model. With --claim the model of that proposition is fitted: the main
    model, its moderator and the product. A route that fails is a row with its reason; the exit code is 1 if
    no route has an answer.
    """
    from b2b_sem.analysis.moderation import ROUTES, moderation
    from b2b_sem.cli.fit import read_answers
    from b2b_sem.cli.group import check_outputs, given_model, listed, write_result
    from b2b_sem.spec.loader import load_model

    check_outputs(ctx, model, data, json_out, figure_out)
    spec = load_model(model)
    text: Any = given_model(spec)
    if claim is not None:
        if product is not None or outcome is not None:
            raise click.UsageError("'--claim' names the product: leave '--product' and '--outcome' out.", ctx)
        claimed = _claimed(spec, claim)
        text, product, outcome = claimed.text, claimed.product, claimed.outcome
        moderator = moderator or claimed.moderator
    result = moderation(
        text,
        read_answers(spec, data, sheet, missing_codes, score, () if claim is None else (claim,)),
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


def _claimed(spec: ModelSpec, claim: str) -> ModeratedModel:
    """Return the model of a proposition on moderation."""
    from b2b_sem.spec.moderation import moderated_model, product_of

    known = [p.id for p in spec.propositions if product_of(p) is not None]
    if claim not in known:
        raise DataError(
            f"'{claim}' is no proposition on moderation of the model '{spec.id}'.{did_you_mean(claim, known)}",
            hint=f"there are: {', '.join(known) or 'none'}",
        )
    return moderated_model(spec.proposition(claim), spec, spec.survey_spec)


def _cut(text: str, ctx: click.Context) -> float | str:
    if text == "median":
        return text
    try:
        return float(text)
    except ValueError:
        raise click.UsageError(f"'--cut' is a score or 'median', not '{text}'.", ctx) from None
