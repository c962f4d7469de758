"""What is true of the propositions of a lesson, and what true paths and scales look like in the answers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from b2b_sem.measures.notation import number
from b2b_sem.results.verdict import CONTRADICTED, NOT_SUPPORTED, SUPPORTED
from b2b_sem.simulate.lesson import OpenLesson
from b2b_sem.simulate.population import Population
from b2b_sem.spec.claim import Proposition
from b2b_sem.spec.method import METHOD_FACTOR

__all__ = ["TrueVerdict", "main_paths", "true_reliability", "true_verdict", "truth_lines"]

Pair = tuple[str, str]
#: Values nearer than this are equal.
_SAME = 1e-9


@dataclass(frozen=True)
class TrueVerdict:
    """What a test without error would say of a proposition; `verdict` is empty where the groups differ."""

    verdict: str
    words: str


def main_paths(opened: OpenLesson) -> tuple[Pair, ...]:
    """Return (outcome, predictor) of the main model, products left out."""
    return tuple(dict.fromkeys(pair for pair in opened.model.regressions() if ":" not in pair[1]))


def _levels(opened: OpenLesson) -> dict[str, Population]:
    """Return the values of each level; without groups one without a name."""
    return dict(opened.drawn.levels) or {"": opened.drawn.population}


def true_verdict(prop: Proposition, opened: OpenLesson) -> TrueVerdict | None:
    """Return the right verdict on a proposition; None if the population does not tell."""
    if prop.test == "group":
        return _of_groups(prop, opened) if prop.parts else None
    if len(prop.claims()) != 1:
        return None
    claim, sign = prop.claims()[0]
    found: dict[str, float] = {}
    for name, values in _levels(opened).items():
        paths: dict[Pair, float] = {(a, b): v for a, b, v in values.paths}
        if claim.moderator is not None:
            both = {claim.start, claim.moderator}
            own = [x.value for x in values.interactions if x.outcome == claim.end and {x.first, x.second} == both]
            if not own:
                return None
            found[name] = own[0]
        elif any(pair not in paths for pair in claim.regressions):
            return None
        else:
            found[name] = math.prod(paths[pair] for pair in claim.regressions)
    signs = {_sign(value) for value in found.values()}
    what = {"indirect": "indirect effect", "moderation": "product"}.get(prop.test, "path")
    if len(set(found.values())) == 1:
        words = f"{what} {_n(next(iter(found.values())))}"
    else:
        words = f"{what} " + ", ".join(f"{_n(v)} ({name})" for name, v in found.items() if name)
    if len(signs) > 1:
        return TrueVerdict("", words)
    truth = signs.pop()
    if truth == 0:
        return TrueVerdict(NOT_SUPPORTED, words)
    return TrueVerdict(SUPPORTED if truth == (1 if sign == "+" else -1) else CONTRADICTED, words)


def _of_groups(prop: Proposition, opened: OpenLesson) -> TrueVerdict | None:
    """Return the right verdict on a claim with parts about means of one level, and paths that differ."""
    groups = opened.spec.groups
    levels = {name: values for name, values in opened.drawn.levels.items() if name}
    if groups is None or prop.group != groups.split or prop.level not in levels or len(levels) != 2 or prop.covariates:
        return None
    other = next(values for name, values in levels.items() if name != prop.level)
    own = levels[prop.level]
    signs: list[int] = []
    words: list[str] = []
    for claim, sign in prop.claims():
        if claim.start in own.nodes or claim.end not in own.nodes or len(claim.steps) != 2:
            return None
        apart = own.means.get(claim.end, 0.0) - other.means.get(claim.end, 0.0)
        signs.append(_sign(apart) * (1 if sign == "+" else -1))
        words.append(f"mean of {claim.end} {_n(apart)} in {prop.level}")
    main = main_paths(opened)
    values = [{(a, b): v for a, b, v in level.paths if (a, b) in main} for level in (own, other)]
    differ = any(abs(values[0][pair] - values[1][pair]) > _SAME for pair in values[0])
    signs.append(int(differ))
    words.append("paths differ" if differ else "paths are the same")
    text = "; ".join(words)
    if -1 in signs:
        return TrueVerdict(CONTRADICTED, text)
    return TrueVerdict(SUPPORTED if all(value == 1 for value in signs) else NOT_SUPPORTED, text)


def truth_lines(opened: OpenLesson) -> list[str]:
    """Return the truth of a lesson as lines for a terminal: paths, propositions, and what is wrong with the answers."""
    spec, every = opened.spec, _levels(opened)
    lines = [f"{opened.title} (level {opened.level}, {opened.n} respondents, seed {opened.seed})", "", "Paths:"]
    pairs = spec.regressions(opened.model)
    first = next(iter(every.values()))
    names = [*pairs, *((x.outcome, f"{x.first}:{x.second}") for x in first.interactions)]
    for outcome, predictor in names:
        shown = []
        for name, values in every.items():
            known: dict[Pair, float] = {(a, b): v for a, b, v in values.paths}
            known |= {(x.outcome, f"{x.first}:{x.second}"): x.value for x in values.interactions}
            shown.append((_n(known[outcome, predictor]), name))
        same = len({value for value, _ in shown}) == 1
        text = shown[0][0] if same else ", ".join(f"{value} ({name})" for value, name in shown)
        lines.append(f"  {predictor} -> {outcome}: {text}")
    verdicts = [(prop.id, true_verdict(prop, opened)) for prop in opened.model.propositions]
    if known_ := [(name, found) for name, found in verdicts if found is not None]:
        lines += ["", "Right verdicts:"]
        lines += [
            f"  {name}: {found.verdict or 'differs between the groups'} ({found.words})" for name, found in known_
        ]
    lines += ["", "Answers:"]
    faults = [f"{int(opened.spoiled.sum())} of {opened.n} respondents are careless"] if opened.spoiled.any() else []
    if spec.values.method is not None:
        faults.append(f"{100 * spec.values.method.share:.0f}% common method variance")
    if spec.response.missing_rate:
        faults.append(f"{100 * spec.response.missing_rate:.1f}% of the answers are missing by chance")
    for mechanism in () if spec.missing is None else spec.missing.mechanisms:
        on = ", ".join(mechanism.depends_on)
        faults.append(f"{100 * mechanism.rate:.0f}% break off before {mechanism.items[0]}, depending on {on}")
    if opened.codes and opened.drawn.frame.isna().any(axis=None):
        faults.append("missing answers are recorded by codes")
    if turned := [item for item in opened.survey.reverse_items() if item in opened.drawn.population.items]:
        faults.append(f"reversed items: {', '.join(turned)}")
    return [*lines, *(f"  {fault}" for fault in faults or ["clean"])]


def true_reliability(truth: pd.DataFrame, scales: Mapping[str, Sequence[str]], column: str) -> dict[str, float]:
    """Return the composite reliability of each scale: what the latent has of the variance of the sum of its items.

    ``(sum l)^2 / sum_ij r_ij`` of the standardized items, whose correlations come from the latent, the method factor
    and correlated residuals (Raykov 1997, doi:10.1177/01466216970212006).

    Parameters
    ----------
    truth : DataFrame
        lhs, op, rhs and `column`.
    scales : mapping of latent to items
    column : str
        ``expected`` for recorded answers, ``value`` for what is behind them.
    """
    value = {(r["lhs"], r["op"], r["rhs"]): float(r[column]) for r in truth.to_dict("records")}
    out = {}
    for latent, items in scales.items():
        own = [value.get((latent, "=~", item), math.nan) for item in items]
        method = [value.get((METHOD_FACTOR, "=~", item), 0.0) for item in items]
        rest = [value.get((item, "~~", item), math.nan) for item in items]
        total = math.fsum(own) ** 2 + math.fsum(method) ** 2 + math.fsum(rest)
        for i, a in enumerate(items):
            for j in range(i + 1, len(items)):
                b = items[j]
                r = value.get((a, "~~", b), value.get((b, "~~", a), 0.0))
                total += 2 * r * math.sqrt(rest[i] * rest[j])
        out[latent] = math.fsum(own) ** 2 / total
    return out


def _n(value: float) -> str:
    return number(value, 2, bounded=True) if _sign(value) else "0"


def _sign(value: float) -> int:
    return 0 if abs(value) < _SAME else 1 if value > 0 else -1
