"""Pages of lessons: the task sheet for students, and the sheet that says what was recovered."""

from __future__ import annotations

import math
import os
import textwrap
from importlib.metadata import version
from pathlib import Path
from typing import Any

from markupsafe import Markup

from b2b_sem.measures.notation import number, probability
from b2b_sem.report.lesson_figure import draw_recovery
from b2b_sem.report.page import figure_spec, plotly_code, template
from b2b_sem.report.table import Column, Table, table
from b2b_sem.results.io import write_text
from b2b_sem.results.lesson import Lesson, LessonCheck

__all__ = ["chance_lines", "check_lines", "check_tables", "write_check", "write_task"]

WIDTH = 100


def write_task(lesson: Lesson, path: str | os.PathLike[str]) -> Path:
    """Write the task sheet as one HTML page without scripts, whole or not at all."""
    page = template("lesson_task.html.j2").render(task=lesson.task, version=version("b2b-sem"))
    return write_text(path, page + "\n")


def write_check(check: LessonCheck, path: str | os.PathLike[str]) -> Path:
    """Write the sheet of what was recovered as one HTML page that works without a network."""
    tables = check_tables(check)
    figure = draw_recovery(check)
    page = template("lesson_check.html.j2").render(
        check=check,
        summary=check.summary(),
        mistakes=[m for m in check.mistakes if m.serious],
        remarks=[m for m in check.mistakes if not m.serious],
        chance=chance_lines(check),
        paths=check.paths.to_dict("records"),
        verdicts=check.verdicts.to_dict("records"),
        tables={name: Markup(t.to_html()) for name, t in tables.items()},
        figure=figure,
        spec=None if figure is None else Markup(figure_spec(figure)),
        plotly=Markup(plotly_code()) if figure is not None else "",
        version=version("b2b-sem"),
    )
    return write_text(path, page + "\n")


def check_tables(check: LessonCheck) -> dict[str, Table]:
    """Return the tables of the sheet that have rows."""
    out = {
        "paths": table(
            "paths",
            "Paths: truth, estimate, decision",
            [
                Column("path", "Path", "path"),
                Column("claimed", "Claim", "value"),
                Column("truth", "Truth", "bounded"),
                Column("est", "Estimate", "bounded"),
                Column("ci", f"{100 * check.confidence:g}% CI", "interval_bounded"),
                Column("covered", "Holds truth", "flag"),
                Column("pvalue", "p", "p"),
                Column("decision", "Decision", "value"),
                Column("recovered", "Recovered", "flag"),
                Column("bias_se", "Off by (SE)", "number"),
                Column("systematic_se", "Systematic", "number"),
                Column("chance_se", "Chance", "number"),
                Column("power", "Power", "bounded"),
            ],
            [
                (
                    r["path"],
                    " ".join(str(r[c]) for c in ("proposition", "claimed") if isinstance(r[c], str) and r[c]),
                    r["truth"],
                    r["est"],
                    (r["ci_lower"], r["ci_upper"]),
                    r["covered"],
                    r["pvalue"],
                    r["decision"],
                    r["recovered"],
                    r["bias_se"],
                    r["systematic_se"],
                    r["chance_se"],
                    r["power"],
                )
                for r in check.paths.to_dict("records")
            ],
            [
                "Standardized. Decision: right, or type I (an effect that is not there), type II (one that was not "
                "found), type S (the wrong sign).",
                "Off by: estimate minus truth in standard errors; systematic is the part that would stay with very "
                "many respondents, chance is the rest.",
                "Power: probability that a right analysis of as many careful respondents finds this path; where it is "
                "zero, that of a false alarm.",
            ],
        ),
        "verdicts": table(
            "verdicts",
            "Verdicts: what is right, and what was found",
            [
                Column("id", "Name", "value"),
                Column("path", "Path", "path"),
                Column("sign", "Sign", "value"),
                Column("truth", "In the population"),
                Column("right", "Right verdict", "verdict"),
                Column("found", "Verdict found", "verdict"),
                Column("outcome", "Outcome", "value"),
            ],
            [
                tuple(r[c] for c in ("id", "path", "sign", "truth", "right", "found", "outcome"))
                for r in check.verdicts.to_dict("records")
            ],
            [
                "Verdicts rest on tests that are adjusted for their number, and can so miss what the test of a path "
                "finds."
            ],
        ),
        "reliability": table(
            "reliability",
            "Reliability of the scales",
            [
                Column("scale", "Scale", "code"),
                Column("items", "Items", "count"),
                Column("truth", "Truth", "bounded"),
                Column("est", "Estimate", "bounded"),
                Column("difference", "Difference", "bounded"),
            ],
            [tuple(r.values()) for r in check.reliability.to_dict("records")],
            ["Composite reliability: the share of the variance of the sum of the items that the construct makes."],
        ),
        "loadings": table(
            "loadings",
            "Loadings",
            [
                Column("scale", "Scale", "code"),
                Column("item", "Item", "code"),
                Column("reverse", "Reversed", "flag"),
                Column("truth", "Truth", "bounded"),
                Column("est", "Estimate", "bounded"),
                Column("ci", f"{100 * check.confidence:g}% CI", "interval_bounded"),
                Column("covered", "Holds truth", "flag"),
                Column("bias_se", "Off by (SE)", "number"),
            ],
            [
                (
                    *(r[c] for c in ("scale", "item", "reverse", "truth", "est")),
                    (r["ci_lower"], r["ci_upper"]),
                    r["covered"],
                    r["bias_se"],
                )
                for r in check.loadings.to_dict("records")
            ],
            ["Standardized, of items as scored. The truth is what answers in whole numbers tend to."],
        ),
    }
    return {name: t for name, t in out.items() if t.rows}


def chance_lines(check: LessonCheck) -> list[str]:
    """Return what chance alone does, beside what happened."""
    c = check.chance
    out = []
    level = f"{100 * check.confidence:g}%"
    for name, word in (("path", "paths"), ("loading", "loadings")):
        count = int(c[f"{name}_intervals"])
        if not count:
            continue
        misses, p = int(c[f"{name}_misses"]), c[f"{name}_probability"]
        line = (
            f"{misses} of {count} intervals of {word} miss the truth. In a perfect analysis {level} intervals would "
            f"miss {_about(c[f'{name}_expected'])} of {count} on average"
        )
        if misses:
            line += f", and {misses} or more with probability {probability(p)}"
            line += ": more than chance explains" if p < 0.01 else ""
        out.append(f"{line}.")
    if c["zeros"]:
        out.append(
            f"{_count(c['zeros'], 'path is', 'paths are')} zero in the population: {int(c['false_alarms'])} false "
            f"{'alarm' if c['false_alarms'] == 1 else 'alarms'}, where alpha = {number(check.alpha, 2, bounded=True)} "
            f"makes {_about(c['false_alarms_expected'])} on average."
        )
    if c["effects"]:
        line = f"{_count(c['effects'], 'path is', 'paths are')} not zero: {int(c['overlooked'])} overlooked"
        known = math.isfinite(c["overlooked_expected"])
        line += f", where the power of the tests makes {_about(c['overlooked_expected'])} on average" if known else ""
        out.append(f"{line}.")
    if out:
        out.append(
            "Intervals of one fit are counted as if they were independent of each other, which they are not quite: the "
            "probabilities are rough."
        )
    return out


def check_lines(check: LessonCheck) -> str:
    """Return the sheet for a terminal: a line for each path, mistakes, what chance does."""
    wide = max([4, *(len(str(p)) for p in check.paths["path"])])
    head = f"{'Path':<{wide}}  {'Truth':>6}  {'Est.':>6}  {'95% CI':>14}  {'Off (SE)':>8}  {'Decision':<16}  Recovered"
    lines = [*textwrap.wrap(check.summary(), WIDTH), "", head, "-" * max(len(head), 60)]
    for r in check.paths.to_dict("records"):
        limits = f"[{_cell(r['ci_lower'])}, {_cell(r['ci_upper'])}]" if math.isfinite(r["ci_lower"]) else "-"
        done = {True: "yes", False: "NO"}.get(r["recovered"], "-") if isinstance(r["recovered"], bool) else "-"
        off = number(r["bias_se"], 1)
        lines.append(
            f"{r['path']:<{wide}}  {_cell(r['truth']):>6}  {_cell(r['est']):>6}  {limits:>14}  {off:>8}  "
            f"{r['decision']:<16}  {done}"
        )
    wrong = check.verdicts[~check.verdicts["outcome"].isin(["right", "not graded"])]
    if len(wrong):
        lines += ["", "Verdicts that are not right:"]
        for r in wrong.to_dict("records"):
            text = f"{r['id']}: found '{r['found']}', right '{r['right']}' ({r['outcome']})"
            lines += textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="    ")
    for title, serious in (("Mistakes:", True), ("Remarks:", False)):
        own = [m for m in check.mistakes if m.serious is serious]
        if own:
            lines += ["", title]
        for m in own:
            lines += textwrap.wrap(
                f"- {m.title}. {m.found} {m.advice}", WIDTH, initial_indent="  ", subsequent_indent="    "
            )
    chance = chance_lines(check)
    lines += ["", "Chance:"] if chance else []
    for text in chance:
        lines += textwrap.wrap(f"- {text}", WIDTH, initial_indent="  ", subsequent_indent="    ")
    return "\n".join(lines)


def _cell(value: Any) -> str:
    return number(value, 2, bounded=True)


def _about(value: float) -> str:
    return number(value, 1 if value >= 0.1 else 2)


def _count(value: float, one: str, many: str) -> str:
    return f"{int(value)} {one if value == 1 else many}"
