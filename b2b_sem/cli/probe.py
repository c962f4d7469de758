"""``b2b-sem probe``: what a product in a model means."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from b2b_sem.cli.group import answer_options, output_options


@click.command("probe", short_help="Simple slopes, Johnson-Neyman region and conditional effects of a product.")
@click.argument("model")
@answer_options
@click.option("--product", required=True, metavar="A:B", help="The product; B is the moderator.")
@click.option("--moderator", metavar="A", help="The other factor as the moderator.")
@click.option("--outcome", metavar="Y", help="The equation of the product (default: the only one).")
@click.option("--at", metavar="V,W", help="Values of the moderator: sd (default), percentiles, or numbers.")
@click.option("--unit", type=click.Choice(["raw", "sd"]), default="raw", help="Of these numbers (default: raw).")
@click.option("--hold", "held", multiple=True, metavar="NAME=V", help="Value of another variable (default: its mean).")
@click.option(
    "--simultaneous/--pointwise", default=False, help="Which band decides on the region (default: pointwise)."
)
@click.option("--ci", type=click.Choice(["delta", "mc"]), default="delta", help="Of conditional effects.")
@click.option("--seed", type=click.IntRange(min=0), default=1, help="Of the draws of --ci mc (default: 1).")
@click.option("--interaction", default="lms", help="How products of latent variables are fitted (default: lms).")
@click.option("--estimator", default="ML", help="ML (default), MLR, ...")
@click.option("--missing", default="listwise", help="listwise (default) or fiml (all answers are used).")
@click.option("--cluster", metavar="COLUMN", help="Rows with equal values here belong together.")
@click.option("--alpha", type=float, default=0.05, help="Error rate of the region (default: 0.05).")
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
    product: str,
    moderator: str | None,
    outcome: str | None,
    at: str | None,
    unit: str,
    held: tuple[str, ...],
    simultaneous: bool,
    ci: str,
    seed: int,
    interaction: str,
    estimator: str,
    missing: str,
    cluster: str | None,
    alpha: float,
    level: float,
    json_out: str | None,
    figure_out: str | None,
) -> int:
    """Fit MODEL and probe one of its products: slopes at values of the moderator, where they differ from zero, indirect
    and total effects that the moderator changes, and how much the product explains.

    MODEL has the product in the equation of the outcome: Y ~ A + B + A:B. It is a file in lavaan syntax (.lav, .txt), a
    model file (.yaml), or the id of a bundled model.
    """
    from b2b_sem.analysis.conditional import conditional_effects
    from b2b_sem.analysis.moderation_size import moderation_size
    from b2b_sem.analysis.probe import johnson_neyman, simple_slopes
    from b2b_sem.analysis.structural import fit
    from b2b_sem.cli.fit import read_answers
    from b2b_sem.cli.group import check_outputs, given_model
    from b2b_sem.cli.output import reason, say
    from b2b_sem.errors import Unsupported
    from b2b_sem.results.io import write_json
    from b2b_sem.spec.loader import load_model

    check_outputs(ctx, model, data, json_out, figure_out)
    values, where = _values(at, ctx), _held(held, ctx)
    spec = load_model(model)
    fitted = fit(
        given_model(spec),
        read_answers(spec, data, sheet, missing_codes, score),
        interaction=interaction,
        estimator=estimator,
        missing=missing,
        cluster=cluster,
    )
    options: dict[str, Any] = {"outcome": outcome, "held": where}
    slopes = simple_slopes(fitted, product, moderator, values, unit=unit, level=level, **options)
    region = johnson_neyman(fitted, product, moderator, alpha, simultaneous=simultaneous, **options)
    content: dict[str, Any] = {"slopes": slopes.to_json(), "region": region.to_json()}
    text = [str(slopes), str(region)]
    try:
        size = moderation_size(fitted, product, outcome=outcome)
        content["size"] = size.to_json()
        text.append(str(size))
    except Unsupported as error:
        content["size"] = None
        text.append(f"delta R2: {error}")
    # conditional effects know no other variables than those of products
    own = {name: value for name, value in where.items() if name != slopes.surface.moderator}
    try:
        effects = conditional_effects(
            fitted, product, moderator, values, unit=unit, level=level, held=own, ci=ci, seed=seed
        )
        content["effects"] = effects.to_json()
        text.append(str(effects))
    except Unsupported as error:
        content["effects"] = None
        text.append(f"effects: {error}")
    if json_out == "-":
        click.echo(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False))
    else:
        click.echo("\n\n".join(text))
        if json_out is not None:
            say(f"JSON -> {write_json(Path(json_out), content)}")
    if figure_out is not None:
        from b2b_sem.report.page import write_figures

        say(f"figures -> {write_figures([slopes, region], figure_out)}")
    if not fitted.ok:
        click.echo(f"error: {fitted.failure}{reason(fitted)}", err=True)
        return 1
    return 0


def _values(text: str | None, ctx: click.Context) -> str | list[float] | None:
    """Read --at: a word, or numbers with commas."""
    if text is None or text in ("sd", "percentiles"):
        return text
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise click.UsageError(f"'--at {text}': give sd, percentiles, or numbers such as -1,0,1.", ctx) from None


def _held(pairs: tuple[str, ...], ctx: click.Context) -> dict[str, float]:
    """Read --hold NAME=V."""
    out = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        try:
            out[name.strip()] = float(value)
        except ValueError:
            sign = ""
        if not sign or not name.strip():
            raise click.UsageError(f"'--hold {pair}': write NAME=VALUE, such as size=3.", ctx)
    return out
