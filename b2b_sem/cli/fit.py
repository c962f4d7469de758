"""``b2b-sem fit``: one model on one data file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    import pandas as pd

    from b2b_sem.analysis.fitted import Fit
    from b2b_sem.data.read import Responses
    from b2b_sem.spec.model import ModelSpec


@click.command("fit", short_help="Fit one model to one data file.")
@click.argument("model")
@click.option("--data", metavar="F", help="Data file: CSV, TSV, XLSX, .sav, .dta or Parquet.")
@click.option("--sample-cov", metavar="F", help="Instead of --data: a covariance matrix as CSV (divisor n - 1).")
@click.option("--nobs", type=click.IntRange(min=1), help="Sample size behind --sample-cov.")
@click.option("--sheet", help="Sheet of a workbook (default: the first).")
@click.option("--missing-code", "missing_codes", multiple=True, metavar="CODE", help="A value that means missing.")
@click.option(
    "--score/--no-score", default=True, help="Reverse-code and check the answers by the model's survey, if any."
)
@click.option(
    "--estimator",
    help="ML (default), MLM, MLMV, MLMVS, MLR, MLF, GLS, ULS or WLS; ordinal: WLSMV (default), WLSM, ...; auto.",
)
@click.option("--information", help="expected, observed or first.order (default: as the estimator has it).")
@click.option("--se", help="standard, robust.sem, robust.huber.white or none (default: as the estimator has it).")
@click.option("--test", help="standard, satorra.bentler, ... (default: as the estimator has it).")
@click.option("--cluster", metavar="COLUMN", help="Rows with equal values here belong together.")
@click.option("--likelihood", help="normal (default) or wishart.")
@click.option(
    "--missing",
    help="listwise (default), fiml or fiml.x (all answers are used; x: also without covariates), pairwise (ordinal "
    "items), or mi (multiple imputation).",
)
@click.option("--imputations", type=click.IntRange(min=2), metavar="M", help="Completed data sets of mi (default 20).")
@click.option(
    "--auxiliary", metavar="A,B", help="Columns outside the model that tell about missing answers (fiml, mi)."
)
@click.option(
    "--group",
    metavar="NAME",
    help="Fit the model to several groups at once: the column that tells them apart, or a group of the survey.",
)
@click.option("--group-equal", metavar="A,B", help="Equal in all groups: loadings, intercepts, residuals, ...")
@click.option("--group-partial", metavar="A,B", help="Parameters that are not equal all the same: F=~x2, x2~1.")
@click.option(
    "--ordered",
    is_flag=False,
    flag_value="all",
    metavar="A,B",
    help="Ordinal items: thresholds and polychoric correlations. Names, or all if none are given.",
)
@click.option("--parameterization", type=click.Choice(["delta", "theta"]), help="Of ordinal items (default: delta).")
@click.option("--engine", type=click.Choice(["auto", "semopy", "native"]), help="Default: auto.")
@click.option("--std-lv/--no-std-lv", default=None, help="Fix latent variances to 1 instead of first loadings.")
@click.option("--orthogonal/--no-orthogonal", default=None, help="Fix covariances of exogenous latents to 0.")
@click.option("--meanstructure/--no-meanstructure", default=None, help="Estimate intercepts.")
@click.option("--kind", type=click.Choice(["sem", "cfa", "growth"]), help="Defaults for intercepts; default: sem.")
@click.option("--fixed-x/--free-x", default=None, help="Moments of exogenous covariates: as observed, or estimated.")
@click.option(
    "--modindices",
    type=click.IntRange(min=1),
    is_flag=False,
    flag_value=10,
    metavar="N",
    help="Also print the N largest modification indices (10 if N is left out).",
)
@click.option(
    "--interaction",
    metavar="WAY",
    help="How products of latent variables (PC:PX) are estimated: lms (default), qml, or by product indicators: dmc, "
    "dmc-all, mc, mc-all, rc, rc-all, ca.",
)
@click.option("--bounds", help="Automatic bounds: pos.var, standard, wide, ...")
@click.option("--bootstrap", type=click.IntRange(min=2), metavar="N", help="Also refit N resampled data sets.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of the bootstrap, or of mi.")
@click.option("--jobs", type=click.IntRange(min=1), default=1, help="Worker processes of the bootstrap.")
@click.option(
    "--bootstrap-kind",
    type=click.Choice(["nonparametric", "bollen-stine"]),
    default="nonparametric",
    help="Default: nonparametric, with BCa intervals.",
)
@click.option("--json", "json_out", metavar="OUT", help="Also write the result as JSON; '-' prints JSON only.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    model: str,
    data: str | None,
    sample_cov: str | None,
    nobs: int | None,
    sheet: str | None,
    missing_codes: tuple[str, ...],
    score: bool,
    modindices: int | None,
    bootstrap: int | None,
    seed: int | None,
    jobs: int,
    bootstrap_kind: str,
    json_out: str | None,
    **options: Any,
) -> int:
    """Fit MODEL to a data file and print the result.

    MODEL is a file in lavaan syntax (.lav, .txt), a model file (.yaml), or the id of a bundled model.
    """
    from b2b_sem.cli.output import check_file, check_not_input, reason
    from b2b_sem.spec.statement import is_syntax

    if is_syntax(model):
        raise click.UsageError("MODEL is the name of a file: write the model text to a file such as model.lav.", ctx)
    if json_out is not None and not json_out.strip():
        raise click.UsageError("'--json' needs a file name.", ctx)
    _check_source(ctx, data, sample_cov, nobs)
    _check_bootstrap(ctx, bootstrap, seed, sample_cov, imputed=options["missing"] == "mi")
    if options["missing"] == "mi":
        options["seed"] = seed
    to_stdout = json_out == "-"
    if json_out is not None and not to_stdout:
        check_file(Path(json_out))
        check_not_input(Path(json_out), model, data, sample_cov)
    result = _fit(model, data, sample_cov, nobs, sheet, missing_codes, score, _stated(options))
    content = result.to_json()
    indices = _modindices(result) if modindices is not None else None
    if indices is not None:
        from b2b_sem.results.io import records

        content["modification_indices"] = records(indices)
    text = ""
    if bootstrap is not None and result.converged and result.identified:
        resampled = _bootstrap(result, bootstrap, seed, jobs, bootstrap_kind)
        content["bootstrap"], text = resampled.to_json(), f"\n{resampled}"
    if to_stdout:
        import json

        click.echo(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False))
    else:
        click.echo(result.summary())
        if indices is not None:
            click.echo(_largest(indices, modindices or 10))
        if text:
            click.echo(text)
    if json_out is not None and not to_stdout:
        from b2b_sem.cli.output import say
        from b2b_sem.results.io import write_json

        say(f"JSON -> {write_json(json_out, content)}")
    if not result.ok:
        click.echo(f"error: {result.failure}: the numbers must not be interpreted{reason(result)}", err=True)
        return 1
    return 0


def _modindices(result: Fit) -> pd.DataFrame | None:
    """Return all modification indices, largest first; None where a fit that failed has none."""
    return result.modification_indices(sort=True) if result.converged and result.identified else None


def _largest(indices: pd.DataFrame, count: int) -> str:
    shown = indices.head(count)[["lhs", "op", "rhs", "mi", "epc", "sepc_all", "pvalue_fdr"]]
    lines = [
        "",
        f"Largest modification indices ({len(shown)} of {len(indices)}):",
        shown.to_string(index=False, float_format=lambda v: f"{v:.3f}") if len(shown) else "(none)",
        f"Each is one of {len(indices)} tests; pvalue_fdr allows for that. Free a parameter only for a reason.",
    ]
    return "\n".join(lines)


def _check_bootstrap(
    ctx: click.Context, bootstrap: int | None, seed: int | None, sample_cov: str | None, *, imputed: bool
) -> None:
    if imputed and bootstrap is not None:
        raise click.UsageError("'--bootstrap' is not available with '--missing mi'.", ctx)
    if bootstrap is None:
        for name, flag in (("seed", "--seed"), ("jobs", "--jobs"), ("bootstrap_kind", "--bootstrap-kind")):
            if imputed and name == "seed":
                continue
            if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
                where = "'--bootstrap' or '--missing mi'" if name == "seed" else "'--bootstrap'"
                raise click.UsageError(f"'{flag}' goes with {where} only.", ctx)
        return
    if seed is None:
        raise click.UsageError("'--bootstrap' needs '--seed', so that the numbers can be repeated.", ctx)
    if sample_cov is not None:
        raise click.UsageError("'--bootstrap' needs '--data': a covariance matrix has no rows to resample.", ctx)


def _bootstrap(result: Any, n: int, seed: int | None, jobs: int, kind: str) -> Any:
    """Resample, with progress on stderr where somebody watches."""
    import sys

    from b2b_sem.cli.output import say

    def show(done: int, total: int) -> None:
        if sys.stderr.isatty():
            click.echo(f"\rbootstrap: {done} of {total} fits", nl=done == total, err=True)

    resampled = result.bootstrap(n, seed=seed, jobs=jobs, kind=kind, progress=show)
    for warning in resampled.warnings:
        say(warning)
    return resampled


def _stated(options: dict[str, Any]) -> dict[str, Any]:
    """Return what the user stated; the rest is left to the model file and the defaults of ``fit``."""
    stated = {name: value for name, value in options.items() if value is not None}
    for name in ("group_equal", "group_partial", "auxiliary"):
        if name in stated:
            stated[name] = tuple(part.strip() for part in stated[name].split(",") if part.strip())
    if "ordered" in stated:
        stated["ordered"] = ordered_names(stated["ordered"])
    return stated


def ordered_names(text: str | None) -> tuple[str, ...] | bool | None:
    """Return the ordinal items that an option names: True for all."""
    if text is None:
        return None
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    return True if names == ("all",) else names


def _check_source(ctx: click.Context, data: str | None, sample_cov: str | None, nobs: int | None) -> None:
    if data is None and sample_cov is None:
        raise click.UsageError("Missing option '--data' (or '--sample-cov' with '--nobs').", ctx)
    if data is not None and sample_cov is not None:
        raise click.UsageError("'--data' and '--sample-cov' exclude each other: give one of them.", ctx)
    if sample_cov is not None and nobs is None:
        raise click.UsageError("'--sample-cov' needs '--nobs', the sample size behind the matrix.", ctx)
    if data is not None and nobs is not None:
        raise click.UsageError("'--nobs' goes with '--sample-cov' only; with '--data' the rows are counted.", ctx)
    if sample_cov is not None:
        for name, flag in (("sheet", "--sheet"), ("missing_codes", "--missing-code"), ("score", "--score")):
            if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
                raise click.UsageError(f"'{flag}' goes with '--data' only.", ctx)


def _fit(
    model: str,
    data: str | None,
    sample_cov: str | None,
    nobs: int | None,
    sheet: str | None,
    missing_codes: tuple[str, ...],
    score: bool,
    stated: dict[str, Any],
) -> Fit:
    from b2b_sem.spec.loader import load_model

    spec = load_model(model)
    settings = {**spec.options.stated(), **stated}
    from b2b_sem.analysis.structural import fit
    from b2b_sem.cli.group import given_model, place_groups
    from b2b_sem.errors import DataError

    if sample_cov is not None:
        from b2b_sem.data.covariance import read_covariance

        source: dict[str, Any] = {"sample_cov": read_covariance(sample_cov), "nobs": nobs}
    else:
        assert data is not None
        answers = read_answers(spec, data, sheet, missing_codes, score)
        source = {"data": place_groups(spec, answers, settings.get("group"), score=score)}
    try:
        return fit(given_model(spec), **source, **settings)
    except DataError as error:
        if error.file is None and sample_cov is not None:
            raise DataError(error.message, file=sample_cov, hint=error.hint) from None
        raise


def _number_or_text(code: str) -> float | str:
    try:
        return float(code)
    except ValueError:
        return code


def read_answers(
    spec: ModelSpec,
    data: str,
    sheet: str | None,
    missing_codes: tuple[str, ...],
    score: bool,
    claims: tuple[str, ...] = (),
) -> Responses:
    """Read a data file, scored by the survey of the model if there is one; what was done goes to stderr.

    `claims` are propositions whose own items are scored, too.
    """
    from b2b_sem.cli.output import say
    from b2b_sem.data.read import read_responses

    responses = read_responses(data, sheet=sheet, missing_codes=[_number_or_text(code) for code in missing_codes])
    if score and spec.survey_spec is not None:
        from b2b_sem.data.score import rules_from_survey
        from b2b_sem.data.score import score as score_responses

        responses = score_responses(responses, rules_from_survey(spec.survey_spec, spec.items(claims=claims)))
    for note in responses.notes:
        say(note)
    return responses
