"""``b2b-sem diagram``: the path diagram of a study or of one model, as SVG, PDF, PNG, TikZ or HTML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


@click.command("diagram", short_help="Draw the path diagram of a study or a model.")
@click.argument("source", metavar="DIR|MODEL")
@click.option("--out", required=True, metavar="F", help="Output: .svg, .pdf, .png, .tex (TikZ) or .html.")
@click.option("--data", metavar="F", help="Data file, with a MODEL.")
@click.option("--kind", default="structural", help="structural (default), or full: with indicators.")
@click.option("--style", help="verdict (default where there are verdicts), significance or plain.")
@click.option("--label", default="stars", help="Beside coefficients: stars (default), interval, p or none.")
@click.option("--estimates", default="std", help="std (default) or raw.")
@click.option("--only", metavar="GROUP", help="Draw this group alone.")
@click.option("--grey", is_flag=True, help="No colours.")
@click.option("--dpi", type=float, default=300, show_default=True, help="Dots per inch of a PNG.")
@click.option("--title", default="Path diagram", help="Title of the page and of the file.")
@click.option("--sheet", help="With --data: sheet of a workbook (default: the first).")
@click.option("--missing-code", "missing_codes", multiple=True, metavar="CODE", help="A value that means missing.")
@click.option("--score/--no-score", default=True, help="Score the answers by the model's survey, if any.")
@click.option("--estimator", help="Estimator of the fit (default: as the model file says, else ML).")
@click.option("--missing", help="listwise (default), fiml, ...")
@click.option("--interaction", help="How products of latents are fitted: lms (default), qml, dmc, ...")
@click.option("--group", metavar="COLUMN", help="Fit groups, and draw each.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    source: str,
    out: str,
    data: str | None,
    kind: str,
    style: str | None,
    label: str,
    estimates: str,
    only: str | None,
    grey: bool,
    dpi: float,
    title: str,
    sheet: str | None,
    missing_codes: tuple[str, ...],
    score: bool,
    **over: str | None,
) -> int:
    """Draw the path diagram of a study or of a model.

    DIR is the folder of a study that was run (with results.json); MODEL a file in lavaan syntax (.lav, .txt), a model
    file (.yaml), or the id of a bundled model, which is fitted to --data. The caption is printed.
    """
    from b2b_sem.cli.output import check_file, check_not_input, reason, say
    from b2b_sem.report.diagram import format_of, path_diagram

    if not out.strip():
        raise click.UsageError("'--out' needs a file name.", ctx)
    if "~" in source or "\n" in source:
        raise click.UsageError("MODEL is the name of a file: write the model text to a file such as model.lav.", ctx)
    format_of(out)
    check_file(Path(out))
    stated = {name: value for name, value in over.items() if value is not None}
    options: dict[str, Any] = {
        "style": style,
        "label": label,
        "estimates": estimates,
        "group": only,
        "grey": grey,
        "title": title,
    }
    if data is None:
        if not Path(source).is_dir():
            raise click.UsageError("Missing option '--data' (or give the folder of a study that was run).", ctx)
        given = [f"--{name}" for name in stated] + ["--sheet"] * (sheet is not None)
        if given or missing_codes:
            raise click.UsageError(f"'{(given or ['--missing-code'])[0]}' goes with '--data' only.", ctx)
        from b2b_sem.results.study import read_study_result

        result: Any = read_study_result(Path(source) / "results.json")
        fit = result.fit
    else:
        check_not_input(Path(out), source, data)
        result = fit = _fit(source, data, sheet, missing_codes, score, stated, options)
    diagram = path_diagram(result, kind, **options)  # type: ignore[arg-type]
    say(f"diagram -> {diagram.save(out, dpi=dpi)}")
    click.echo(diagram.caption)
    if not fit.ok:
        click.echo(f"error: {fit.failure}: the diagram has no numbers{reason(fit)}", err=True)
        return 1
    return 0


def _fit(
    model: str,
    data: str,
    sheet: str | None,
    missing_codes: tuple[str, ...],
    score: bool,
    stated: dict[str, str],
    options: dict[str, Any],
) -> Any:
    """Fit the model; places and names of nodes that its files give are added to the options of the diagram."""
    from b2b_sem.analysis.structural import fit
    from b2b_sem.cli.fit import read_answers
    from b2b_sem.cli.group import given_model, place_groups
    from b2b_sem.spec.loader import load_model

    spec = load_model(model)
    settings: dict[str, Any] = {**spec.options.stated(), **stated}
    if spec.survey_spec is not None:
        scales = spec.survey_spec.scales
        named = {code: c.scale for code, c in spec.measurement.items() if c.scale in scales}
        options["names"] = {code: scales[scale].name for code, scale in named.items() if scale is not None}
    answers = read_answers(spec, data, sheet, missing_codes, score)
    fitted = fit(given_model(spec), place_groups(spec, answers, settings.get("group"), score=score), **settings)
    # the file may also place what only a claim adds
    drawn = {name for factors in (fitted.model.latents, fitted.model.observed) for name in factors}
    options["positions"] = {name: place for name, place in spec.diagram.positions.items() if name in drawn} or None
    return fitted
