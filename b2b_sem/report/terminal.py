"""Verdicts and fit for a terminal: plain ASCII signs, no colour, at most 100 columns."""

from __future__ import annotations

import textwrap

from b2b_sem.measures.notation import interval, number, probability
from b2b_sem.report.narrative import describe_fit, describe_instrument, describe_trust, describe_verdicts, warnings_of
from b2b_sem.results.method import label_method
from b2b_sem.results.study import StudyResult
from b2b_sem.results.verdict import NOT_TESTABLE

__all__ = ["WIDTH", "fit_lines", "verdict_table"]

WIDTH = 100
_ADJUSTED = {"holm": "p (Holm)", "bonferroni": "p (Bonf.)", "bh": "p (BH)"}
_MOST_WARNINGS = 8


def verdict_table(result: StudyResult) -> str:
    """Return the verdicts as text: a line of numbers for each proposition, its statement wrapped below.

    Parameters
    ----------
    result : StudyResult

    Returns
    -------
    str
        No line is longer than :data:`WIDTH`; ends without a line break. Propositions that were not tested show the
        reason in place of numbers.
    """
    if not result.verdicts:
        return describe_verdicts(result)
    adjusted = _ADJUSTED.get(result.verdicts[0].adjustment)
    level = f"{result.verdicts[0].level:.0%} CI"
    first = max(4, *(len(v.id) for v in result.verdicts))
    second = min(24, max(4, *(len(v.path) for v in result.verdicts)))

    def line(*cells: str) -> str:
        head, path, std, limits, p, p_adjusted, verdict = cells
        shown = f"{p_adjusted:>9}  " if adjusted else ""
        return f"{head:<{first}}  {path:<{second}}  {std:>6}  {limits:>14}  {p:>7}  {shown}{verdict}".rstrip()

    lines = [line("", "Path", "Std.", level, "p", adjusted or "", "Verdict")]
    lines.append("-" * WIDTH)
    for v in result.verdicts:
        path = v.path if len(v.path) <= second else v.path[: second - 3] + "..."
        if v.verdict == NOT_TESTABLE:
            lines.append(line(v.id, path, "-", "-", "-", "-", v.verdict))
        else:
            lines.append(
                line(
                    v.id,
                    path,
                    number(v.std, bounded=True),
                    interval(v.ci_lower, v.ci_upper, bounded=True),
                    probability(v.pvalue),
                    probability(v.p_adjusted),
                    v.verdict,
                )
            )
        indent = " " * (first + 2)
        lines += textwrap.wrap(v.statement, WIDTH, initial_indent=indent, subsequent_indent=indent)
        if v.verdict == NOT_TESTABLE and v.reason:
            lines += textwrap.wrap(
                f"Reason: {v.reason}", WIDTH, initial_indent=indent, subsequent_indent=indent + " " * 8
            )
    lines.append("-" * WIDTH)
    lines += textwrap.wrap(describe_verdicts(result), WIDTH)
    return "\n".join(lines)


def fit_lines(result: StudyResult) -> str:
    """Return the fit, whether it may be trusted, and the warnings, in lines of at most :data:`WIDTH` characters."""
    lines = textwrap.wrap(f"Fit: {describe_fit(result.fit)}", WIDTH, subsequent_indent="     ")
    lines += textwrap.wrap(label_method(result.fit), WIDTH, initial_indent="     ", subsequent_indent="     ")
    lines += textwrap.wrap(describe_trust(result.fit), WIDTH, initial_indent="     ", subsequent_indent="     ")
    found = warnings_of(result)
    if found:
        lines.append(f"Warnings ({len(found)}):" if len(found) > 1 else "Warning:")
        for text in found[:_MOST_WARNINGS]:
            lines += textwrap.wrap(text, WIDTH, initial_indent="  - ", subsequent_indent="    ", break_on_hyphens=False)
        if len(found) > _MOST_WARNINGS:
            lines.append(f"  ... and {len(found) - _MOST_WARNINGS} more in the report")
    notice = result.study.get("instrument_notice")
    if notice:
        lines += textwrap.wrap(describe_instrument(str(notice)), WIDTH)
    return "\n".join(lines)
