"""``b2b-sem survey``: look at a questionnaire."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from b2b_sem.spec.survey import ResponseFormat, Scale, SurveySpec

_WIDTH = 100


@click.group("survey", short_help="Look at questionnaires: scales, items, sources.")
def command() -> None:
    """Look at survey instruments: scales, items, sources."""


@command.command("list")
def list_surveys() -> None:
    """List the bundled surveys."""
    from b2b_sem.resources import list_bundled
    from b2b_sem.spec.loader import load_survey

    for identifier in list_bundled("surveys"):
        survey = load_survey(identifier)
        notice = f" [{survey.notice}]" if survey.notice else ""
        click.echo(f"{identifier}  {survey.title}: {len(survey.scales)} scales, {len(survey.items())} items{notice}")


@command.command("show")
@click.argument("survey")
@click.option("--scale", "scales", multiple=True, metavar="CODE", help="Show only this scale (may be repeated).")
def show_survey(survey: str, scales: tuple[str, ...]) -> None:
    """Show the scales, items, reverse keys and sources of SURVEY (a bundled id or a path)."""
    from b2b_sem.spec.loader import load_survey

    spec = load_survey(survey)
    chosen = scales or tuple(spec.scales)
    shown = {code: spec.scale(code) for code in chosen}  # unknown codes fail before anything is printed
    if not scales:
        click.echo("\n".join(_head(spec)))
    for code, scale in shown.items():
        click.echo("")
        click.echo("\n".join(_scale(spec, code, scale)))
    if not scales:
        click.echo("\n".join(_rest(spec)))


def _wrap(text: str, first: str = "", rest: str | None = None) -> list[str]:
    indent = " " * len(first) if rest is None else rest
    return textwrap.wrap(" ".join(text.split()), _WIDTH, initial_indent=first, subsequent_indent=indent) or [first]


def _format(form: ResponseFormat) -> str:
    anchors = ", ".join(f"{code} = {label}" for code, label in form.anchors.items())
    missing = ", ".join(f"{code} = {label}" for code, label in (form.missing or {}).items())
    return (
        f"{form.points} points, {form.low} to {form.high}"
        + (f" ({anchors})" if anchors else "")
        + (f"; read as missing: {missing}" if missing else "")
    )


def _head(spec: SurveySpec) -> Iterator[str]:
    yield f"{spec.id}: {spec.title}"
    if spec.notice:
        drafts = spec.draft_scales()
        which = "all scales" if len(drafts) == len(spec.scales) else ", ".join(drafts)
        yield from _wrap(f"{spec.notice}: {which}", "! ", "  ")
    if spec.description:
        yield from _wrap(spec.description)
    for source in spec.citation:
        yield from _wrap(source.citation + (f" doi:{source.doi}" if source.doi else ""), "Source: ", "        ")
    yield from _wrap(_format(spec.format), "Answers: ", "         ")
    if spec.recall:
        yield from _wrap(spec.recall, "Recall frame: ", "              ")
    for name, meaning in spec.placeholders.items():
        yield from _wrap(meaning, f"{{{name}}}: ", "  ")


def _scale(spec: SurveySpec, code: str, scale: Scale) -> Iterator[str]:
    state = f"validated: doi:{scale.validated.doi}" if scale.validated else "draft, not validated"
    marker = ", marker scale" if spec.marker == code else ""
    yield f"{code}  {scale.name} [{state}{marker}]"
    if scale.definition:
        yield from _wrap(scale.definition, "    ")
    if scale.format is not None:
        yield from _wrap(_format(scale.format), "    Answers: ", "             ")
    width = max((len(item) for item in scale.items), default=0)
    for name, item in scale.items.items():
        reverse = "R" if item.reverse else " "
        marks = [f"facet: {scale.facets[item.facet]}"] if item.facet else []
        if item.format is not None:
            marks.append(_format(item.format))
        if item.adapted:
            marks.append(f"adapted: {item.adapted}")
        if item.dropped_because:
            marks.append(f"NOT USED: {item.dropped_because}")
        tail = f" [{'; '.join(marks)}]" if marks else ""
        yield from _wrap(f"{item.text}{tail}", f"    {name:<{width}} {reverse} ")
    for source in scale.sources:
        doi = f" doi:{source.doi}" if source.doi else ""
        note = f" ({source.note})" if source.note else ""
        yield from _wrap(f"{source.citation}{doi}{note}", "    source: ", "            ")
    if scale.note:
        yield from _wrap(scale.note, "    note: ", "          ")


def _rest(spec: SurveySpec) -> Iterator[str]:
    if spec.attention_checks:
        yield "\nAttention checks"
        for code, check in spec.attention_checks.items():
            yield from _wrap(f"{check.text} [correct: {check.answer}]", f"    {code}  ")
    if spec.facts:
        yield "\nBackground"
        for code, fact in spec.facts.items():
            values = ", ".join(f"{value} = {label}" for value, label in fact.categories.items())
            unit = f", {fact.unit}" if fact.unit else ""
            yield from _wrap(f"{fact.label} ({fact.type}{unit})" + (f": {values}" if values else ""), f"    {code}  ")
    if spec.groups:
        yield "\nGroups"
        for code, group in spec.groups.items():
            levels = ", ".join(group.levels) or "each answer"
            least = "" if group.minimum is None else f"; at least {group.minimum} respondents in each"
            yield from _wrap(f"{group.label}: {levels} (from {group.fact}{least})", f"    {code}  ")
    if any(item.reverse for scale in spec.scales.values() for item in scale.items.values()):
        yield "\nR = reverse coded: agreement means less of the construct."
