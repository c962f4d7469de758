"""The report: one HTML file that works offline, with one copy of plotly.js and no reference to any network."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from markupsafe import Markup

from b2b_sem.measures.notation import TYPESET
from b2b_sem.report.answer import spread_answers
from b2b_sem.report.comparison import describe_comparisons
from b2b_sem.report.definition import DEFINITIONS
from b2b_sem.report.effect import tabulate_effects
from b2b_sem.report.figures import build_figures
from b2b_sem.report.missingness import describe_treatment, missing_figures, missing_of, missing_tables
from b2b_sem.report.moderation_claim import describe_moderations
from b2b_sem.report.narrative import describe_fit, describe_trust, describe_verdicts, notices
from b2b_sem.report.page import figure_spec, plotly_code, template
from b2b_sem.report.table import Table
from b2b_sem.report.tables import build_tables, tabulate_fit, tabulate_residuals, tabulate_truth
from b2b_sem.results.fit import FitResult
from b2b_sem.results.io import write_text
from b2b_sem.results.method import describe_method, ordered_of
from b2b_sem.results.study import StudyResult
from b2b_sem.results.verdict import Verdict

__all__ = ["render_report", "write_report"]

_RESIDUALS = 10


def write_report(result: StudyResult, path: str | os.PathLike[str]) -> Path:
    """Write the report of a study to `path`, whole or not at all.

    Parameters
    ----------
    result : StudyResult
    path : path
        Folders on the way are made.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    return write_text(path, render_report(result))


def render_report(result: StudyResult) -> str:
    """Return the report as one HTML document; the same result always gives the same text."""
    tables: dict[str, Table] = build_tables(result)
    tables["fit"] = tabulate_fit(result.fit, TYPESET)
    tables["residuals"] = tabulate_residuals(result.fit, largest=_RESIDUALS)
    if (spread := spread_answers(result)) is not None:
        tables["answers"] = spread
    if (paths := tabulate_truth(result, ops=("~",))) is not None:
        tables["truth"] = paths
        others = tabulate_truth(result, ops=("=~", "~~", "~1", ":="))
        if others is not None:
            tables["truth_other"] = replace(others, name="truth_other")
    if "effects" in tables and (indirect := _indirect(result)) is not None:
        tables["effects_indirect"] = indirect
    if not result.ok:
        for name in ("effects", "effects_indirect"):
            tables.pop(name, None)
        tables.pop("latent_correlations", None)
        tables.pop("truth", None)
        tables.pop("truth_other", None)
    tables |= missing_tables(result, shown=True)
    missing = missing_of(result)
    figures = build_figures(result) | missing_figures(result)
    return (
        template("report.html.j2").render(
            result=result,
            tables={name: Markup(t.to_html()) for name, t in tables.items()},
            figures=figures,
            specs={name: Markup(figure_spec(f)) for name, f in figures.items()},
            plotly=Markup(plotly_code()),
            definitions=DEFINITIONS,
            notices=notices(result),
            verdict_text=describe_verdicts(result),
            trust_text=describe_trust(result.fit),
            fit_text=describe_fit(result.fit, TYPESET),
            method_text=" ".join(describe_method(result.fit)),
            options=_options(result.fit),
            repeatable=_repeatable(result.fit),
            sentences=[_sentence(v) for v in result.verdicts],
            settings=_settings(result.study),
            comparisons=describe_comparisons(result.comparisons, "groups"),
            ladders=describe_comparisons(result.ladders, "invariance"),
            moderations=describe_moderations(result.moderations),
            missing_text=[] if missing is None else [*missing.conclusions(), describe_treatment(result)],
            missing_notes=() if missing is None else missing.notes,
            command=_command(result),
            version=_version(result.provenance),
            created=_date(result.provenance.get("created")),
        )
        + "\n"
    )


def _indirect(result: StudyResult) -> Table | None:
    """Return the effects to show first: those along single paths, and what the model text defines."""
    kinds = {"specific", "defined"} & set(() if result.effects is None else result.effects.table["kind"])
    title = "Indirect effects along single paths" + (" and defined effects" if "defined" in kinds else "")
    found = tabulate_effects(result, ("specific", "defined"), named=len(kinds) > 1)
    return None if found is None else replace(found, name="effects_indirect", title=title)


def _sentence(v: Verdict) -> tuple[str, str, str]:
    return v.id, v.verdict, v.sentence or v.reason


def _settings(study: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the study's settings as readable lines, those shown elsewhere left out."""
    rows: list[tuple[str, str]] = []

    def walk(prefix: str, value: Any) -> None:
        if isinstance(value, Mapping):
            for key, inner in value.items():
                walk(f"{prefix}, {key}" if prefix else str(key), inner)
        elif isinstance(value, list | tuple):
            entries = [_entry(v) for v in value]
            rows.append((prefix, (" " if all(e.endswith(".") for e in entries) else "; ").join(entries) or "none"))
        elif value is not None and value != "":
            rows.append((prefix, "yes" if value is True else "no" if value is False else str(value)))

    walk("", {k: v for k, v in study.items() if k not in ("construct_names", "diagram", "instrument_notice")})
    return [(name.replace("_", " "), text) for name, text in rows]


def _options(fit: FitResult) -> list[tuple[str, str]]:
    """Return the options of the fit as readable lines; those that do not apply are left out."""
    rows = []
    for key, value in fit.model.options.items():
        if key == "estimator" or value is None:
            continue
        if key == "ordered":
            value = ordered_of(fit)
        text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        rows.append((key.replace("_", " "), "yes" if value is True else "no" if value is False else text))
    return rows


def _repeatable(fit: FitResult) -> str:
    """Return what is needed to fit the model again, beside the software."""
    if ordered_of(fit):
        return "Thresholds, their weights and the scaled test of ordered items need the answers."
    if fit.model.options.get("missing", "listwise") != "listwise":
        return "Rows with missing values were used, so that fitting the model again needs the data."
    more = " (the standard errors and the scaled test need the rows)" if "chisq_scaled" in fit.measures else ""
    return f"sample_covariance.csv with n = {fit.nobs} is enough to fit the model again{more}."


def _entry(value: Any) -> str:
    """Return one entry of a list as text; of a mapping only what it holds, sentences behind each other."""
    if not isinstance(value, Mapping):
        return str(value)
    parts = [str(v) for v in value.values() if v not in (None, "")]
    return (" " if any(p.endswith(".") for p in parts) else ", ").join(parts)


def _command(result: StudyResult) -> str:
    known = result.provenance.get("command")
    if known:
        return known if isinstance(known, str) else " ".join(map(str, known))
    seed = result.provenance.get("seed")
    return f"b2b-sem run {result.id}" + (f" --seed {seed}" if seed is not None else "")


def _date(created: object) -> str:
    """Return a time stamp as ``2026-11-21 22:00 UTC``; text in any other form stays as it is."""
    try:
        moment = datetime.fromisoformat(str(created))
    except ValueError:
        return "" if created is None else str(created)
    return f"{moment.astimezone(UTC) if moment.tzinfo else moment:%Y-%m-%d %H:%M} UTC"


def _version(provenance: Mapping[str, Any]) -> str:
    versions = provenance.get("versions")
    return str(versions.get("b2b-sem", "")) if isinstance(versions, Mapping) else ""
