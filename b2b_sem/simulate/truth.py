"""The values that simulated answers were drawn from, set out as tables: for all respondents, or level by level."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from b2b_sem.simulate.population import Population
from b2b_sem.spec.simulation import SimulationSpec
from b2b_sem.spec.survey import SurveySpec

__all__ = [
    "LevelPopulation",
    "answer_attenuation",
    "attenuations",
    "level_truth",
    "moderated_truth",
    "pooled_truth",
    "truth_table",
]

Array = NDArray[np.float64]
Row = tuple[str, str, str, float, float]
Key = tuple[str, str, str]

_COLUMNS = ("lhs", "op", "rhs", "value", "expected")

# Values that differ by less than this are the same: rounding of sums in different orders.
_SAME = 1e-9


@dataclass(frozen=True)
class LevelPopulation:
    """One level of a split: what it is called, the categories that belong to it, its values and share.

    Attributes
    ----------
    name : str
        Empty for respondents who belong to no level, who have the values of the reference level.
    codes : tuple
        Categories of the fact.
    share : float
        Of all respondents, expected.
    population : Population
    """

    name: str
    codes: tuple[int | str, ...]
    share: float
    population: Population


def answer_attenuation(cuts: Sequence[float]) -> float:
    """Correlation of a standard normal response with the answer it is cut into.

    ``sum_k phi(t_k) / sd(answer)``, phi being the normal density. The correlation of two items shrinks by about the
    product of their two factors; for 7 evenly spread answers each is about .97.

    Parameters
    ----------
    cuts : sequence of float
        Increasing cut points on the standard normal scale.

    Returns
    -------
    float
        Between 0 and 1; NaN if all answers are practically the same.

    References
    ----------
    Olsson, Drasgow & Dorans (1982), doi:10.1007/BF02294164 (point-polyserial correlation).
    """
    below = [0.0, *(0.5 * math.erfc(-t / math.sqrt(2)) for t in cuts), 1.0]
    shares = [b - a for a, b in pairwise(below)]
    mean = math.fsum(k * share for k, share in enumerate(shares))
    variance = math.fsum((k - mean) ** 2 * share for k, share in enumerate(shares))
    density = math.fsum(math.exp(-t * t / 2) / math.sqrt(2 * math.pi) for t in cuts)
    return density / math.sqrt(variance) if variance > 0 else float("nan")


def attenuations(
    spec: SimulationSpec, survey: SurveySpec, values: Population, items: Sequence[str]
) -> dict[str, float]:
    """Return how far each item's loading survives the cutting into answers (1 for continuous answers)."""
    out = dict.fromkeys(items, 1.0)
    if spec.response.type == "ordinal":
        for item in items:
            cuts = values.cuts.get(item) or spec.shape(item, survey.scale_of(item)).cut_points(*survey.range_of(item))
            mean, sd = values.response_mean(item), values.response_sd.get(item, 1.0)
            if (mean, sd) != (0.0, 1.0):
                cuts = tuple((t - mean) / sd for t in cuts)
            out[item] = answer_attenuation(cuts)
    return out


def truth_table(values: Population, factor: Mapping[str, float]) -> pd.DataFrame:
    """Return the population values, and what they become when answers are whole numbers.

    Returns
    -------
    DataFrame
        lhs, op, rhs, value, expected, both standardized; and of a raw population `raw`, the value in the metric of the
        answers, with rows ``~1`` for intercepts.
    """
    rows = _rows(values.standardized(), factor)
    if not values.raw:
        return pd.DataFrame(rows, columns=list(_COLUMNS))
    return pd.DataFrame(_with_raw(values, rows, factor), columns=[*_COLUMNS, "raw"])


def _with_raw(values: Population, rows: Sequence[Row], factor: Mapping[str, float]) -> list[tuple[Any, ...]]:
    """Set the raw values beside the standardized ones, and add intercepts."""
    out: list[tuple[Any, ...]] = [(*row, own[3]) for row, own in zip(rows, values.truth(), strict=True)]
    # an item's intercept in a fit is that of the population only if latents have the means that a fit gives them, 0
    centred = not any(values.means[name] for name in values.latents)
    for item in values.items:
        raw = values.shifts[item]
        known = raw / values.response_sd[item]
        out.append((item, "~1", "", known, known if centred and factor.get(item, 1.0) == 1 else math.nan, raw))
    for latent in values.latents:
        if raw := values.intercept(latent):
            out.append((latent, "~1", "", raw / values.node_sd[latent], math.nan, raw))
    return out


def _rows(values: Population, factor: Mapping[str, float]) -> list[Row]:
    unique = {item: 1 - factor[item] ** 2 * values.r2[item] for item in factor}
    sd = {item: values.response_sd.get(item, 1.0) for item in factor}
    rows = []
    for lhs, op, rhs, value in values.truth():
        expected = value
        if op == "=~" and rhs in factor:
            expected = value / sd[rhs] * factor[rhs]
        elif op == "~~" and lhs in factor:
            # Of the residual covariance, as of any covariance, the product of the two factors is left.
            left = values.residual_sd[lhs] / sd[lhs] * factor[lhs]
            own = left * (values.residual_sd[rhs] / sd[rhs]) * factor[rhs]
            expected = unique[lhs] if lhs == rhs else value * own / math.sqrt(unique[lhs] * unique[rhs])
        rows.append((lhs, op, rhs, value, expected))
    return rows


def level_truth(
    levels: Sequence[LevelPopulation], factors: Sequence[Mapping[str, float]], reference: Population
) -> pd.DataFrame:
    """Return the population values of each level.

    Beside the rows of :func:`truth_table` there are means of latents: op ``mean`` is the total mean, ``~1`` the
    intercept that is left of it beside the predictors; and ``~1`` of items whose intercept is shifted somewhere.

    Returns
    -------
    DataFrame
        lhs, op, rhs, group, value, expected. Values are in units of the reference level, `expected` is standardized
        within the level; means keep their size, as long as few answers lie at the ends of the scale (of 1.5 standard
        deviations about 1.4 are left in seven answers around 4.6). No value is expected of shifted items. Raw
        populations: value and expected are standardized within the level, means are minus those of the reference, in
        its standard deviations, and `raw` is the value in the metric of the answers.
    """
    if reference.raw:
        return _raw_levels(levels, factors, reference)
    shifted = [item for item in factors[0] if any(item in level.population.shifts for level in levels)]
    out = []
    for level, factor in zip(levels, factors, strict=True):
        if not level.name:
            continue
        pop = level.population
        rows = _rows(pop, factor)
        for latent in pop.latents:
            mean, intercept = pop.means.get(latent, 0.0), pop.intercept(latent)
            rows += [(latent, "mean", "", mean, mean), (latent, "~1", "", intercept, intercept)]
        rows += [(item, "~1", "", pop.shifts.get(item, 0.0), math.nan) for item in shifted]
        out += [(*row[:3], level.name, *row[3:]) for row in rows]
    return pd.DataFrame(out, columns=["lhs", "op", "rhs", "group", "value", "expected"])


def _raw_levels(
    levels: Sequence[LevelPopulation], factors: Sequence[Mapping[str, float]], reference: Population
) -> pd.DataFrame:
    out: list[tuple[Any, ...]] = []
    for level, factor in zip(levels, factors, strict=True):
        if not level.name:
            continue
        pop = level.population
        rows = _with_raw(pop, _rows(pop.standardized(), factor), factor)
        for latent in pop.latents:
            apart = (pop.means[latent] - reference.means[latent]) / reference.node_sd[latent]
            rows.append((latent, "mean", "", apart, apart, pop.means[latent]))
        out += [(*row[:3], level.name, *row[3:]) for row in rows]
    return pd.DataFrame(out, columns=["lhs", "op", "rhs", "group", "value", "expected", "raw"])


def pooled_truth(
    levels: Sequence[LevelPopulation],
    factors: Sequence[Mapping[str, float]],
    regressions: Sequence[tuple[str, str]] | None = None,
) -> pd.DataFrame:
    """Return the values that hold in every level and also in all respondents together.

    A value that is equal in all levels is in general another one in their mixture: means that differ add to variances
    and covariances, and a regression on predictors whose correlations differ has other weights. Values are therefore
    compared with those of the covariances of the mixture; where these differ from those of a level, they are left out.
    A model of all respondents together does not describe a mixture exactly: what it finds for the values that are kept
    can still be off by a few thousandths, if groups differ as much as they usually do.

    Parameters
    ----------
    levels : sequence of LevelPopulation
    factors : sequence of mapping
        How far each item's loading survives the cutting into answers, by level.
    regressions : sequence of (outcome, predictor), optional
        Of the model that is fitted, if it does not have all paths of the population: values are those that it tends
        to. Default: those of the population.

    Returns
    -------
    DataFrame
        lhs, op, rhs, value, expected, as of the first level; of a raw population also raw. Of a row of which only the
        raw or only the standardized value holds in all of them, the other is NaN.
    """
    mixed = _mixture(levels, regressions)
    every = [_rows(level.population.standardized(), factor) for level, factor in zip(levels, factors, strict=True)]
    found = [{row[:3]: row for row in rows} for rows in every]
    kept: dict[Key, Row] = {}
    for key, row in found[0].items():
        others = [own.get(key) for own in found]
        same = all(o is not None and abs(o[3] - row[3]) < _SAME and abs(o[4] - row[4]) < _SAME for o in others)
        if same and abs(mixed.get(key, math.nan) - row[3]) < _SAME:
            kept[key] = row
    if not levels[0].population.raw:
        return pd.DataFrame(list(kept.values()), columns=list(_COLUMNS))
    mixed = _mixture(levels, regressions, raw=True)
    own = [{row[:3]: row[3] for row in level.population.truth()} for level in levels]
    raw = {
        key: value
        for key, value in own[0].items()
        if all(abs(other.get(key, math.nan) - value) < _SAME for other in own)
        and abs(mixed.get(key, math.nan) - value) < _SAME
    }
    return _either(found[0], kept, raw)


def _either(order: Iterable[Key], kept: Mapping[Key, Row], raw: Mapping[Key, float]) -> pd.DataFrame:
    """Return rows that hold standardized or raw, NaN where they do not."""
    rows = [
        (*kept.get(key, (*key, math.nan, math.nan)), raw.get(key, math.nan))
        for key in order
        if key in kept or key in raw
    ]
    return pd.DataFrame(rows, columns=[*_COLUMNS, "raw"])


def moderated_truth(levels: Sequence[LevelPopulation], factors: Sequence[Mapping[str, float]]) -> pd.DataFrame:
    """Return the equations of outcomes of products that hold in every level, and so in all respondents together.

    They do if products, paths and the correlations of factors are the same, and so are the means of all that takes
    part.

    Returns
    -------
    DataFrame
        lhs, op, rhs, value, expected, as of the first level; rhs of a product is such as ``PC:PX``. Of a raw population
        also raw; of an equation that holds only raw, or only standardized, the other values are NaN.
    """
    first = levels[0].population
    outcomes = {x.outcome for x in first.interactions}
    every = [level.population for level in levels]
    raw = {name for name in outcomes if all(_same_equation(name, first, pop) for pop in every)}
    rows = [row for row in _rows(first.standardized(), factors[0]) if row[1] == "~"]
    if not first.raw:
        return pd.DataFrame([row for row in rows if row[0] in raw], columns=list(_COLUMNS))
    core = first.standardized()
    whole = {name for name in outcomes if all(_same_equation(name, core, pop.standardized()) for pop in every)}
    if any(pop.means != first.means for pop in every):
        whole &= raw  # means are not those of the standardized levels
    kept = {row[:3]: row for row in rows if row[0] in whole}
    own = {row[:3]: row[3] for row in first.truth() if row[1] == "~" and row[0] in raw}
    return _either([row[:3] for row in rows], kept, own)


def _same_equation(outcome: str, first: Population, other: Population) -> bool:
    def equation(pop: Population) -> dict[str, tuple[float, ...]]:
        own: dict[str, tuple[float, ...]] = {b: (v, pop.means.get(b, 0.0)) for a, b, v in pop.paths if a == outcome}
        for x in pop.interactions:
            if x.outcome == outcome:
                means = (pop.means.get(x.first, 0.0), pop.means.get(x.second, 0.0))
                own |= {f"{x.first}:{x.second}": (x.value, x.mean, *means)}
        return own | {"": (pop.means.get(outcome, 0.0),)}

    one, two = equation(first), equation(other)
    return all(abs(a - b) < _SAME for name in one for a, b in zip(one[name], two[name], strict=True))


def _mixture(
    levels: Sequence[LevelPopulation], regressions: Sequence[tuple[str, str]] | None = None, *, raw: bool = False
) -> dict[Key, float]:
    """Return the standardized, or raw, values of all levels together, from the covariances of their mixture.

    Paths are the regression of an outcome on its predictors, those of `regressions` if they are given; where its
    disturbance is correlated with one of these, that is not the path, and the value will not be found equal. Products
    are no predictors here: what they explain is part of the residual.
    """
    first = levels[0].population
    nodes, items = first.nodes, first.items
    weights = np.array([level.share for level in levels])
    means, covs = [], []
    for level in levels:
        pop = level.population
        centre = [pop.response_mean(item) for item in items] + [pop.means.get(name, 0.0) for name in nodes]
        means.append(np.array(centre))
        covs.append(pop.cov())
    centre = np.einsum("g,gi->i", weights, np.array(means))
    apart = np.array(means) - centre
    cov = np.einsum("g,gij->ij", weights, np.array(covs)) + np.einsum("g,gi,gj->ij", weights, apart, apart)
    sd = np.ones(len(cov)) if raw else np.sqrt(np.diag(cov))
    cor = cov / np.outer(sd, sd)
    at = {name: i for i, name in enumerate((*items, *nodes))}
    # what each variable leads back to, in one matrix: the residuals are (I - B) x
    slopes = np.zeros_like(cor)
    parents: dict[str, list[str]] = {}
    pairs = [(outcome, predictor) for outcome, predictor, _ in first.paths]
    if regressions is not None:
        pairs = [(a, b) for a, b in pairs if (a, b) in regressions or first.is_facet(a, b)]
    fitted = set(pairs)
    for outcome, predictor in pairs:
        parents.setdefault(outcome, []).append(predictor)
    for latent, item, _ in first.loadings:
        parents.setdefault(item, []).append(latent)
    for outcome, names in parents.items():
        x = [at[name] for name in names]
        slopes[at[outcome], x] = np.linalg.solve(cor[np.ix_(x, x)], cor[x, at[outcome]])
    rest = np.eye(len(cor)) - slopes
    residual = rest @ cor @ rest.T
    scale = np.ones(len(residual)) if raw else np.sqrt(np.diag(residual))
    out: dict[Key, float] = {}
    for lhs, op, rhs, _ in first.truth():
        if rhs not in at:  # a product
            continue
        i, j = at[lhs], at[rhs]
        if op == "=~":
            out[lhs, op, rhs] = float(slopes[j, i])
        elif op == "~":
            if (lhs, rhs) in fitted:
                out[lhs, op, rhs] = float(slopes[i, j])
        elif lhs == rhs:
            out[lhs, op, rhs] = float(residual[i, i])
        else:
            out[lhs, op, rhs] = float(residual[i, j] / (scale[i] * scale[j]))
    return out
