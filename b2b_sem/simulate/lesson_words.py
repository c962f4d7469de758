"""Why a path was recovered or missed, and what a verdict got wrong, in words that teach."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from b2b_sem.measures.notation import interval, listing, number, p_phrase
from b2b_sem.results.verdict import NOT_TESTABLE

__all__ = [
    "ABSENT",
    "NO_VERDICT",
    "RIGHT",
    "TURNED",
    "TYPE_I",
    "TYPE_II",
    "TYPE_S",
    "PathCase",
    "explain_path",
    "explain_verdict",
]

RIGHT, TYPE_I, TYPE_II, TYPE_S = "right", "type I", "type II", "type S"
TURNED, ABSENT, NO_VERDICT = "wrong direction", "not in the model", "no verdict"
#: A systematic part of an error smaller than this, in standard errors, is not worth a sentence.
_SMALL = 0.3
#: A source has to explain this share of the systematic part to be named.
_SHARE = 0.25


@dataclass(frozen=True)
class PathCase:
    """What is known of one path.

    Attributes
    ----------
    start, end : str
    truth, est, se, pvalue : float
    limits : tuple of float
    decision : str
    covered : bool
    systematic : float
        What the analysis would be away from the truth with very many respondents; NaN if not known.
    sources : mapping of str to float
        What takes part in it -> how much the path would move without it.
    power, rows_needed : float
    nobs : int
    alpha : float
    in_truth : bool
        Whether the population has the path.
    """

    start: str
    end: str
    truth: float
    est: float
    se: float
    pvalue: float
    limits: tuple[float, float]
    decision: str
    covered: bool
    systematic: float
    sources: Mapping[str, float]
    power: float
    rows_needed: float
    nobs: int
    alpha: float
    in_truth: bool = True


def explain_path(case: PathCase) -> str:
    """Return what happened to a path."""
    if case.decision == ABSENT:
        return _absent(case)
    if case.decision == NO_VERDICT:
        return "The fit gives no numbers that may be interpreted, so nothing can be said about this path."
    if case.decision == TURNED:
        return (
            f"In the population {case.end} leads to {case.start}, not {case.start} to {case.end}. The data cannot tell "
            "the direction of an arrow; the theory has to."
        )
    return " ".join(part for part in (_decision(case), _interval(case), _systematic(case)) if part)


def _absent(case: PathCase) -> str:
    if not case.truth:
        return (
            f"This path was left out. In the population it is zero, so leaving it out does no harm; but {case.start} "
            "was "
            "not tested, and a reader cannot see that."
        )
    return (
        f"This path was left out, and in the population it is {_n(case.truth)}. What it carries shows up elsewhere: in "
        "other paths between the same constructs, and in a worse fit."
    )


def _decision(case: PathCase) -> str:
    test = p_phrase(case.pvalue)
    if case.decision == TYPE_I:
        what = "there is no such path in the population" if not case.in_truth else "in the population it is zero"
        text = f"Type I error: the test says that there is an effect ({test}), and {what}."
        if not abs(case.systematic) > _SMALL * case.se:
            limit = _n(case.alpha, 3).rstrip("0")
            text += f" With alpha = {limit}, chance does that to {_share(case.alpha)} tests of true zeros."
        return text
    if case.decision == TYPE_S:
        return (
            f"Type S error: the effect is significant ({test}) with the wrong sign. Chance hardly ever does that where "
            "an effect is not tiny: look for an item or scale that points the other way, or a wrong model."
        )
    if case.decision == TYPE_II:
        text = f"Type II error: the effect is there ({_n(case.truth)}), and the test did not find it ({test})."
        return text + _power(case) + " 'Not significant' does not mean 'no effect': look at the whole interval."
    if case.truth:
        return f"Found, with the right sign ({test})."
    if case.in_truth:
        return f"Rightly not significant ({test}): in the population this path is zero."
    return f"Rightly not significant ({test}): the population has no such path."


def _power(case: PathCase) -> str:
    if not math.isfinite(case.power):
        return ""
    text = f" With {case.nobs} careful respondents and the right model, a test finds it in {_share(case.power)} samples"
    if case.power >= 0.80:
        return f"{text}: an unlucky sample, or something in the analysis that weakens the path."
    if math.isfinite(case.rows_needed):
        text += f"; 80 of 100 take about {case.rows_needed:,.0f} respondents"
    return text + "."


def _interval(case: PathCase) -> str:
    shown = interval(*case.limits, bounded=True)
    away = abs(case.est - case.truth) / case.se if case.se > 0 else math.nan
    if case.covered:
        return f"The interval {shown} holds the truth {_n(case.truth)}."
    text = f"The interval {shown} misses the truth {_n(case.truth)} by {_n(away, 1)} standard errors."
    if abs(case.systematic) > _SMALL * case.se or not math.isfinite(case.systematic):
        return text
    return f"{text} Nothing in the analysis explains it: one of twenty intervals misses by chance."


def _systematic(case: PathCase) -> str:
    if not math.isfinite(case.systematic) or abs(case.systematic) <= _SMALL * case.se:
        return ""
    text = (
        f"Not all of the distance is chance: with very many respondents the same analysis would lead to about "
        f"{_n(case.truth + case.systematic)}."
    )
    named = [
        f"{name} ({_signed(value)})"
        for name, value in sorted(case.sources.items(), key=lambda pair: -abs(pair[1]))
        if value * case.systematic > 0 and abs(value) >= _SHARE * abs(case.systematic)
    ]
    return text + (f" This comes from {listing(named)}." if named else "")


def explain_verdict(outcome: str, right: str, found: str, words: str, reason: str) -> str:
    """Return what happened to a verdict."""
    truth = f"In the population: {words}"
    if outcome == "not graded":
        return (
            f"{truth}, so that no single verdict on all respondents is right." if words else "The lesson cannot tell."
        )
    if outcome == "not tested" or found == NOT_TESTABLE:
        return f"{truth}. Not tested: {reason}".rstrip(". ") + "."
    if outcome == RIGHT:
        return f"{truth}. The verdict is right."
    text = {
        TYPE_I: "a claim was decided on an effect that is not there",
        TYPE_II: "the effect is there, and the verdict does not see it",
        TYPE_S: "the verdict has the wrong sign",
    }[outcome]
    more = ""
    if outcome == TYPE_II:
        more = " Tests that are adjusted for their number need stronger effects; 'not supported' is not 'refuted'."
    return f"{truth}. {outcome[:1].upper()}{outcome[1:]} error: {text}; right would be '{right}'.{more}"


def _share(value: float) -> str:
    """Return a probability as so many of 100."""
    count = round(100 * value)
    if count >= 100:
        return "nearly all"
    return f"{count} of 100" if count else "less than 1 of 100"


def _n(value: float, digits: int = 2) -> str:
    return number(value, digits, bounded=True) if value else "0"


def _signed(value: float) -> str:
    return ("+" if value > 0 else "") + _n(value)
