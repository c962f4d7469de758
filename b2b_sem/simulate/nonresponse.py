"""Which answers are missing, and respondents who repeat themselves: what happens to answers after they are given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from b2b_sem.errors import DataError
from b2b_sem.spec.nonresponse import Mechanism, Missing, StraightLining
from b2b_sem.spec.survey import SurveySpec

__all__ = ["Law", "Rule", "line_up", "make_law", "missing_answers", "note"]

Array = NDArray[np.float64]
Columns = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Rule:
    """One mechanism with its numbers: log odds of a hole are ``intercept + sum of slope (x - mean) / sd``.

    Attributes
    ----------
    items : tuple of str
    intercepts : tuple of float
        One an item; one for all if they are left out together.
    terms : tuple of tuple (str, float, float, float)
        Predictor, slope, mean and standard deviation in the population.
    itself : tuple of tuple (float, float, float)
        For each item slope, mean and standard deviation of its own answer; empty if that does not matter.
    together : bool
    """

    items: tuple[str, ...]
    intercepts: tuple[float, ...]
    terms: tuple[tuple[str, float, float, float], ...]
    itself: tuple[tuple[float, float, float], ...]
    together: bool


@dataclass(frozen=True)
class Law:
    """All rules, and the sets of a planned design with the number of those that are left out."""

    rules: tuple[Rule, ...] = ()
    sets: tuple[tuple[str, ...], ...] = ()
    leave_out: int = 0


def make_law(
    missing: Missing, resolve: Callable[[str], tuple[str, ...]], survey: SurveySpec, asked: Columns, facts: Columns
) -> Law:
    """Solve for the intercepts that give the asked rates.

    Parameters
    ----------
    missing : Missing
    resolve : callable
        The items of the population that a name stands for.
    survey : SurveySpec
        Says which items are reversed.
    asked, facts : mapping of str to array
        Answers and facts of many respondents of the population. The law is one of the population: it does not depend on
        the respondents who are drawn afterwards.

    Returns
    -------
    Law

    Raises
    ------
    DataError
        If something that answers depend on does not vary.
    """
    rules = []
    for mechanism in missing.mechanisms:
        items = tuple(dict.fromkeys(item for name in mechanism.items for item in resolve(name)))
        terms = []
        for name, slope in mechanism.depends_on.items():
            x = _column(name, survey, asked, facts)
            terms.append((name, slope, *_centre(name, x)))
        itself = []
        for item in items if mechanism.on_itself else ():
            x = _column(item, survey, asked, facts)
            itself.append((mechanism.on_itself, *_centre(item, x)))
        rule = Rule(items, (), tuple(terms), tuple(itself), mechanism.together)
        odds = list(_log_odds(rule, survey, asked, facts, len(next(iter(asked.values())))))
        rules.append(
            Rule(items, tuple(_intercept(x, mechanism.rate) for x in odds), rule.terms, rule.itself, rule.together)
        )
    planned = missing.planned
    if planned is None:
        return Law(tuple(rules))
    sets = tuple(tuple(dict.fromkeys(item for name in own for item in resolve(name))) for own in planned.sets.values())
    return Law(tuple(rules), sets, planned.leave_out)


def missing_answers(
    law: Law, survey: SurveySpec, asked: Columns, facts: Columns, n: int, stream: Callable[[int], Generator]
) -> dict[str, NDArray[np.bool_]]:
    """Return which answers of which items are missing.

    Parameters
    ----------
    law : Law
    survey : SurveySpec
    asked, facts : mapping of str to array
        Answers and facts of `n` respondents.
    n : int
    stream : callable
        The random numbers of the planned design (0) and of rule k (k + 1).

    Returns
    -------
    dict of str to array of bool, shape (n,)
    """
    out: dict[str, NDArray[np.bool_]] = {}
    for k, rule in enumerate(law.rules):
        dice = stream(k + 1).random((n, len(rule.intercepts)))
        for j, odds in enumerate(_log_odds(rule, survey, asked, facts, n)):
            hole = dice[:, j] < _logistic(rule.intercepts[j] + odds)
            for item in rule.items if rule.together else (rule.items[j],):
                out[item] = hole | out.get(item, False)
    if law.sets:
        # the sets with the smallest of some independent random numbers are as good as drawn from an urn
        rank = stream(0).random((n, len(law.sets))).argsort(axis=1).argsort(axis=1)
        for j, items in enumerate(law.sets):
            for item in items:
                out[item] = (rank[:, j] < law.leave_out) | out.get(item, False)
    return out


def line_up(
    straight: StraightLining, survey: SurveySpec, asked: Columns, n: int, rng: Generator
) -> dict[str, NDArray[Any]]:
    """Let a share of the respondents repeat, from a question drawn by chance on, the answer they gave there.

    An answer beyond the end of another question's format becomes that end.
    """
    codes = list(asked)
    length = min(straight.length or len(codes), len(codes))
    dice = rng.random((n, 2))
    who = dice[:, 0] < straight.share
    start = np.minimum((dice[:, 1] * (len(codes) - length + 1)).astype(np.int64), len(codes) - length)
    every = np.column_stack([asked[code] for code in codes])
    repeated = every[np.arange(n), start]
    out = {}
    for k, code in enumerate(codes):
        low, high = survey.range_of(code)
        inside = who & (start <= k) & (k < start + length)
        out[code] = np.where(inside, np.clip(repeated, low, high).astype(asked[code].dtype), asked[code])
    return out


def note(missing: Missing) -> Iterator[str]:
    """Yield what the section means for the data."""
    for mechanism in missing.mechanisms:
        yield f"{mechanism.rate:.1%} of the answers to {', '.join(mechanism.items)} are missing{_reason(mechanism)}"
    if (planned := missing.planned) is not None:
        yield f"respondents are not asked {planned.leave_out} of the sets {', '.join(planned.sets)}, chosen by chance"


def _reason(mechanism: Mechanism) -> str:
    if mechanism.on_itself:
        return ", depending on the answer itself: not at random"
    if mechanism.depends_on:
        return f", depending on {', '.join(mechanism.depends_on)}: at random, given these"
    return " completely at random"


def _centre(name: str, x: Array) -> tuple[float, float]:
    sd = float(x.std())
    if not sd > 0:
        raise DataError(f"missing answers depend on '{name}', which has the same value for everybody")
    return float(x.mean()), sd


def _column(name: str, survey: SurveySpec, asked: Columns, facts: Columns) -> Array:
    """Return the answers to an item as scored, or a fact."""
    if name not in asked:
        return np.asarray(facts[name], dtype=np.float64)
    x = np.asarray(asked[name], dtype=np.float64)
    return sum(survey.range_of(name)) - x if survey.item(name).reverse else x


def _log_odds(rule: Rule, survey: SurveySpec, asked: Columns, facts: Columns, n: int) -> Iterator[Array]:
    """Yield the log odds without their intercepts: one an item, or one if the items are left out together."""
    shared = np.zeros(n)
    for name, slope, mean, sd in rule.terms:
        shared = shared + slope * (_column(name, survey, asked, facts) - mean) / sd
    if rule.together:
        yield shared
        return
    for j, item in enumerate(rule.items):
        if not rule.itself:
            yield shared
            continue
        slope, mean, sd = rule.itself[j]
        yield shared + slope * (_column(item, survey, asked, facts) - mean) / sd


def _intercept(odds: Array, rate: float) -> float:
    """Return what the log odds must be raised by for their probabilities to have the mean `rate`."""
    low, high = -60.0 - float(odds.max()), 60.0 - float(odds.min())
    for _ in range(60):
        middle = (low + high) / 2
        if _logistic(middle + odds).mean() < rate:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _logistic(x: Array) -> Array:
    return 1 / (1 + np.exp(-np.clip(x, -500.0, 500.0)))
