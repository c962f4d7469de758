"""What the commands on groups share: options, groups that a survey defines, and how results are written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from b2b_sem.cli.output import check_file, check_not_input, say
from b2b_sem.errors import DataError, did_you_mean

if TYPE_CHECKING:
    from b2b_sem.data.read import Responses
    from b2b_sem.results.invariance import InvarianceResult
    from b2b_sem.results.moderation import ModerationResult
    from b2b_sem.results.path_group import PathGroupResult
    from b2b_sem.spec.model import ModelSpec

__all__ = [
    "answer_options",
    "check_outputs",
    "given_model",
    "listed",
    "ordinal_options",
    "output_options",
    "place_groups",
    "write_result",
]

_Command = TypeVar("_Command", bound=Callable[..., Any])


def answer_options(command: _Command) -> _Command:
    """Add the options that say where the answers are and how they are read."""
    return _with(
        command,
        click.option("--data", required=True, metavar="F", help="Data file: CSV, TSV, XLSX, .sav, .dta or Parquet."),
        click.option("--sheet", help="Sheet of a workbook (default: the first)."),
        click.option(
            "--missing-code", "missing_codes", multiple=True, metavar="CODE", help="A value that means missing."
        ),
        click.option(
            "--score/--no-score", default=True, help="Reverse-code and check the answers by the model's survey, if any."
        ),
    )


def ordinal_options(command: _Command) -> _Command:
    """Add the options on ordinal items."""
    return _with(
        command,
        click.option(
            "--ordered",
            is_flag=False,
            flag_value="all",
            metavar="A,B",
            help="Ordinal items: names, or all if none are given.",
        ),
        click.option(
            "--parameterization",
            type=click.Choice(["delta", "theta"]),
            default="delta",
            help="Of ordinal items (default: delta).",
        ),
    )


def output_options(command: _Command) -> _Command:
    """Add the options that say where a result is written."""
    return _with(
        command,
        click.option("--json", "json_out", metavar="OUT", help="Also write the result as JSON; '-' prints JSON only."),
        click.option("--figure", "figure_out", metavar="OUT.html", help="Also write the figures as one HTML page."),
    )


def _with(command: _Command, *options: Callable[[_Command], _Command]) -> _Command:
    """Return a command with options in this order."""
    for option in reversed(options):
        command = option(command)
    return command


def check_outputs(ctx: click.Context, model: str, data: str, json_out: str | None, figure_out: str | None) -> None:
    """Refuse a model text in place of a file, and files that cannot be written, before any work is done."""
    from b2b_sem.spec.statement import is_syntax

    if is_syntax(model):
        raise click.UsageError("MODEL is the name of a file: write the model text to a file such as model.lav.", ctx)
    for name, flag in ((json_out, "--json"), (figure_out, "--figure")):
        if name is not None and not name.strip():
            raise click.UsageError(f"'{flag}' needs a file name.", ctx)
    if figure_out is not None and Path(figure_out).suffix.lower() not in (".html", ".htm"):
        raise click.UsageError(
            "'--figure' writes an HTML page: give a name that ends in .html (the camera above each figure saves it as "
            "SVG).",
            ctx,
        )
    if json_out is not None and figure_out is not None and Path(json_out).resolve() == Path(figure_out).resolve():
        raise click.UsageError("'--json' and '--figure' name the same file.", ctx)
    for name in (json_out, figure_out):
        if name is not None and name != "-":
            check_file(Path(name))
            check_not_input(Path(name), model, data)


def given_model(spec: ModelSpec) -> ModelSpec | Path:
    """Return what is fitted: a file of plain lavaan syntax goes in as a path, so that messages name its lines."""
    path = spec.source
    return spec if path is None or path.suffix.lower() in (".yaml", ".yml") else path


def listed(text: str | None) -> tuple[str, ...]:
    """Return the parts of a list with commas."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def place_groups(spec: ModelSpec, responses: Responses, name: str | None, *, score: bool) -> Responses:
    """Put each respondent into a group that the survey of the model defines, where it does; as studies do.

    Parameters
    ----------
    spec : ModelSpec
    responses : Responses
    name : str or None
        A group of the survey, one of its categorical facts, or a column of the data, which is taken as it is.
    score : bool
        Whether the survey is applied at all.

    Raises
    ------
    DataError
        If the name means two things, or neither a column nor a group of the survey, or nobody is in any group.
    """
    from b2b_sem.analysis.split import small_groups, split_answers

    survey, frame = spec.survey_spec, responses.frame
    if name is None or survey is None or not score:
        return responses
    if name not in survey.groups and (name not in survey.facts or survey.facts[name].type == "number"):
        if name not in frame.columns:
            known = dict.fromkeys([*survey.groups, *map(str, frame.columns)])
            raise DataError(
                f"'{name}' is neither a column of the data nor a group of the survey '{survey.id}'."
                f"{did_you_mean(name, known)}",
                file=responses.path,
                hint=f"groups of the survey: {', '.join(survey.groups) or 'none'}",
            )
        return responses
    split = survey.split(name)
    fact = split.fact
    if fact != name and name in frame.columns:
        if fact not in frame.columns:
            return responses
        raise DataError(
            f"'{name}' is a column of the data, and the survey '{survey.id}' makes groups of this name from '{fact}'",
            file=responses.path,
            hint="rename or remove the column for the groups of the survey, or take it as it is with --no-score",
        )
    if fact not in frame.columns:
        raise DataError(
            f"the groups of '{name}' come from '{fact}', and the data have no such column", file=responses.path
        )
    texts = frame[fact].dropna().astype(str).str.strip()
    texts = texts[texts != ""]
    if fact == name and len(texts) and texts.isin(list(split.levels)).all():
        return responses  # the column holds the groups themselves
    codes = {str(value) for values in split.levels.values() for value in values}
    outside = int((~texts.str.removesuffix(".0").isin(codes)).sum()) if codes else 0
    if codes and outside == len(texts):
        raise DataError(
            f"no value of '{fact}' belongs to a group of '{name}' of the survey '{survey.id}'",
            file=responses.path,
            hint=f"its groups: {', '.join(split.levels)}; --no-score takes the column as it is",
        )
    _, groups = split_answers(frame, survey, name)
    notes = small_groups(frame, survey, name)
    if codes or notes:
        found = ", ".join(dict.fromkeys(groups.dropna()))
        say(f"groups of '{name}' by the survey, from '{fact}': {found or 'none'} (--no-score: the column itself)")
    if outside:
        say(f"{outside} respondents belong to no group of '{name}' and are left out")
    for note in notes:
        say(note)
    return replace(responses, frame=frame.assign(**{name: groups}))


def write_result(
    result: InvarianceResult | PathGroupResult | ModerationResult, json_out: str | None, figure_out: str | None
) -> None:
    """Print a result, and write what was asked for."""
    import json

    from b2b_sem.results.io import write_json

    if json_out == "-":
        click.echo(json.dumps(result.to_json(), indent=1, ensure_ascii=False, allow_nan=False))
    else:
        click.echo(result.summary())
        if json_out is not None:
            say(f"JSON -> {write_json(json_out, result.to_json())}")
    if figure_out is not None:
        from b2b_sem.report.page import write_figures

        say(f"figures -> {write_figures(result, figure_out)}")
