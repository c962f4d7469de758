"""Rows of a population that is lavaan text with values: how they are drawn, and what is true of them."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd
from numpy.random import SeedSequence

from b2b_sem.analysis.montecarlo import Population, moments_of
from b2b_sem.errors import DataError, ModelSyntaxError
from b2b_sem.simulate.codebook import COLUMNS
from b2b_sem.simulate.draw import HOLES, aside
from b2b_sem.simulate.rows import RowDraw, make_row_draw
from b2b_sem.spec.text import TextPopulation

__all__ = ["TextPlan", "make_text_plan", "standardized_values", "text_codebook", "text_notes", "text_truth"]

Key = tuple[str, str, str]
# Numbers are rounded at so many digits behind the size of a standard deviation: the last ones depend on the machine.
_DIGITS = 6


@dataclass(frozen=True, eq=False)
class TextPlan:
    """A population of lavaan text, ready to be drawn from.

    Attributes
    ----------
    spec : TextPopulation
    population : Population
        Its moments and values.
    items : tuple of str
        Observed variables.
    rows : RowDraw
    cuts : mapping of str to tuple of float
        Points at which variables are cut into answers 1, 2, ...
    survey : None
        There is none.
    levels : tuple
        Groups: none.
    """

    spec: TextPopulation
    population: Population
    items: tuple[str, ...]
    rows: RowDraw
    cuts: Mapping[str, tuple[float, ...]]
    survey: None = None
    levels: tuple[()] = ()

    @property
    def complete(self) -> bool:
        """Whether no number is missing."""
        return self.spec.missing_rate == 0

    def draw(self, n: int, seeds: Sequence[SeedSequence], *, facts: Container[str] | None = None) -> dict[str, Any]:
        """Draw `n` rows for each seed; see :meth:`b2b_sem.simulate.draw.Plan.draw`."""
        out: dict[str, Any] = {}
        holes = [aside(seed, HOLES) for seed in seeds]
        for name, sd, x in zip(self.items, self.rows.sd, self.rows.draw(n, seeds).values(), strict=True):
            if name in self.cuts:
                out[name] = 1 + np.searchsorted(np.array(self.cuts[name]), x, side="left")
            else:
                out[name] = np.round(x, _DIGITS - math.floor(math.log10(sd)))
        if not self.complete:
            gone = np.concatenate([rng.random((n, len(self.items))) for rng in holes]) < self.spec.missing_rate
            for k, name in enumerate(self.items):
                out[name] = np.where(gone[:, k], np.nan, out[name])
        return out


def make_text_plan(spec: TextPopulation) -> TextPlan:
    """Solve for the moments of a population and how it is drawn.

    Raises
    ------
    SpecError
        If a variance is negative, the covariances cannot be, or the asked skew and kurtosis cannot be reached.
    """
    for problem in spec.problems():
        raise spec.error(problem.loc[len(spec._at) :], problem.message, hint=problem.hint)
    table = spec.table()
    try:
        found = moments_of(table)
    except ModelSyntaxError as error:
        raise spec.error(("text",), error.message, hint=error.hint) from None
    for (lhs, op, rhs), value in found.values.items():
        if op == "~~" and lhs == rhs and value < 0:
            raise spec.error(("text",), f"the variance of '{lhs}' is {value:g}, which cannot be")
    try:
        rows = make_row_draw(found, spec.skew, spec.kurtosis, spec.method)
    except DataError as error:
        raise spec.error(("kurtosis",) if spec.kurtosis else ("skew",), error.message, hint=error.hint) from None
    cuts = dict(spec.cuts())
    for name, shares in spec.shares.items():
        k = found.names.index(name)
        below = np.cumsum(shares)[:-1]
        cuts[name] = tuple(float(found.mean[k]) + rows.sd[k] * NormalDist().inv_cdf(float(s)) for s in below)
    return TextPlan(spec, found, found.names, rows, cuts)


def standardized_values(population: Population) -> dict[Key, float]:
    """Return the values in units of the standard deviations of the variables, covariances as correlations."""
    sd, values = population.sd, population.values
    out: dict[Key, float] = {}
    for (lhs, op, rhs), value in values.items():
        with_sd = {"=~": (rhs, lhs), "~": (lhs, rhs)}.get(op)
        if with_sd is not None:
            out[lhs, op, rhs] = value * sd[with_sd[1]] / sd[with_sd[0]] if sd[with_sd[0]] else math.nan
        elif op == "~~" and lhs == rhs:
            out[lhs, op, rhs] = value / sd[lhs] ** 2 if sd[lhs] else math.nan
        elif op == "~~":
            left = values[lhs, op, lhs] * values[rhs, op, rhs]
            out[lhs, op, rhs] = value / math.sqrt(left) if left > 0 else math.nan
        elif op == "~1":
            out[lhs, op, rhs] = value / sd[lhs] if sd[lhs] else math.nan
    return out


def text_truth(plan: TextPlan) -> pd.DataFrame:
    """Return the values of the text.

    Returns
    -------
    DataFrame
        lhs, op, rhs, value (standardized), expected (the same; NaN where a variable is cut into answers, and of means),
        raw.
    """
    standardized = standardized_values(plan.population)
    rows = []
    for (lhs, op, rhs), raw in plan.population.values.items():
        if op == "~1" and not raw:
            continue
        value = standardized[lhs, op, rhs]
        touched = op == "~1" or lhs in plan.cuts or rhs in plan.cuts
        rows.append((lhs, op, rhs, value, math.nan if touched else value, raw))
    return pd.DataFrame(rows, columns=["lhs", "op", "rhs", "value", "expected", "raw"])


def text_codebook(plan: TextPlan, others: Mapping[str, str]) -> pd.DataFrame:
    """Describe the columns: which variables are cut into answers, and where."""
    latents: dict[str, list[str]] = {}
    for lhs, op, rhs in plan.population.values:
        if op == "=~":
            latents.setdefault(rhs, []).append(lhs)
    blank = dict.fromkeys(COLUMNS, "")
    rows = [blank | {"column": name, "kind": "other", "text": text} for name, text in others.items()]
    for k, name in enumerate(plan.items):
        own = {"column": name, "kind": "variable", "scale": ", ".join(latents.get(name, ()))}
        if name in plan.cuts:
            points = ", ".join(f"{t:.4g}" for t in plan.cuts[name])
            own |= {"text": f"cut at {points}", "low": "1", "high": str(len(plan.cuts[name]) + 1)}
        else:
            own["text"] = f"mean {plan.rows.mean[k]:.4g}, standard deviation {plan.rows.sd[k]:.4g}"
        rows.append(blank | own)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def text_notes(plan: TextPlan, n: int, seed: int) -> tuple[str, ...]:
    """Return what was drawn."""
    out = [f"{n} simulated rows from the population '{plan.spec.id}', seed {seed}"]
    if plan.rows.parts is not None:
        how = {"vale-maurelli": "polynomials of normal variables (Vale & Maurelli 1983)"}
        text = how.get(plan.spec.method, "independent generators (Foldnes & Olsson 2016)")
        out.append(f"variables have the asked skew and kurtosis, as {text}")
    if plan.cuts:
        out.append(f"cut into answers: {', '.join(plan.cuts)}; nothing is expected of their loadings as numbers")
    if plan.spec.missing_rate:
        out.append(f"{plan.spec.missing_rate:.1%} of the numbers are missing completely at random")
    return tuple(out)
