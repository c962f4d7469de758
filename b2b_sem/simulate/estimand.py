"""What a fit of samples from a population should find: the true value of each parameter that it reports."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from b2b_sem.analysis.structural import fit
from b2b_sem.errors import B2BSemError
from b2b_sem.simulate.draw import Plan
from b2b_sem.simulate.population import Population
from b2b_sem.simulate.text import TextPlan, standardized_values
from b2b_sem.simulate.trial import Key, key_of, shaping
from b2b_sem.simulate.truth import LevelPopulation, moderated_truth, pooled_truth
from b2b_sem.spec.method import METHOD_FACTOR
from b2b_sem.spec.partable import ParameterTable, build_table
from b2b_sem.spec.product import linear_part, product_entries
from b2b_sem.spec.syntax import parse_model

if TYPE_CHECKING:
    from b2b_sem.simulate.trial import Trial

__all__ = ["true_values"]

Array = NDArray[np.float64]
Name = tuple[str, str, str]
#: Fit function below which a model reproduces the covariances of a population.
_EXACT = 1e-10
#: Difference of two values that are the same: what is left of the convergence of that fit.
_SAME = 1e-6
#: Rounding of standard deviations that are 1.
_ROUNDING = 1e-9
#: Respondents of that fit, whose estimates do not depend on it.
_MANY = 10_000


def true_values(plan: Plan | TextPlan, trial: Trial) -> Array:
    """Return the population's value of each reported parameter, NaN where it has none.

    - Loadings and paths have the values of the population, whatever else is in the model that is fitted: a path from
      which a confounder was left out is biased. Standardized within the level, in populations with levels.
    - A (residual) variance or covariance means the same in both only if the variables have the same predictors in both;
      otherwise it has no value of that name.
    - Raw values are put into the metric that the fitted model gives its latents, by a fixed loading or variance, and
      ordinal items, whose responses have variance 1. Where groups share a metric that a variance gives one of them, and
      in groups of ordinal items, nothing is said.
    - Where the model reproduces the moments of the population, and agrees with the values above, all other
      parameters have the values they have in this solution: those of models written differently, of paths and
      covariances that the population does not have (which are 0), of defined parameters, of intercepts.
    - A fit of respondents of several levels together has the values that hold in each of them and in their mixture.

    Parameters
    ----------
    plan : Plan or TextPlan
    trial : Trial

    Returns
    -------
    (k,) array
        In the order of ``trial.rows``, of the solution that ``trial`` reports.
    """
    settings = trial.condition.settings
    group = settings.group
    groups = tuple(dict.fromkeys(key[3] for key in trial.rows if key[3]))
    shared = trial.raw and bool(settings.group_equal)
    if trial.raw and settings.ordered and (group is not None or settings.parameterization == "theta"):
        return np.full(len(trial.rows), np.nan)
    parsed = parse_model(trial.text)
    table = build_table(linear_part(parsed), groups=groups, **shaping(settings.stated()))
    predictors = _parents((row.lhs, row.op, row.rhs) for row in table.rows)
    for entry in product_entries(parsed):
        predictors.setdefault(entry.lhs, set()).add(_product(entry.rhs))
    regressions = [(row.lhs, row.rhs) for row in table.rows if row.op == "~" and row.group == 1]
    known: dict[Key, float] = {}
    for label in groups or ("",):  # what is defined from several groups belongs to none of them
        names = dict.fromkeys(key[:3] for key in trial.rows if key[3] == label)
        values: dict[bool, dict[Name, float]] = {}
        same: dict[bool, dict[Name, float]] = {}
        for raw in {False, trial.raw}:
            if isinstance(plan, TextPlan):
                values[raw] = _of_text(plan, raw=raw)
                theirs = [_parents(plan.population.values)]
            else:
                part = _part(plan, group, label)
                values[raw] = _values(plan, part, names, regressions, raw=raw)
                theirs = [_predictors(level.population) for level in part]
            same[raw] = {
                name: v
                for name, v in values[raw].items()
                if all(_means_the_same(name, predictors, own) for own in theirs)
            }
        moments = None
        if len(theirs) == 1:
            moments = _text_moments(plan) if isinstance(plan, TextPlan) else _moments(part[0].population)
        if trial.raw:
            scale = _ordinal_scale(settings.ordered, table, moments)
            same[True] = {} if scale is None else _in_metric(same[True], values[True], table, scale, shared=shared)
            if moments is not None and scale is not None:
                factor = np.array([scale.get(name, 1.0) for name in moments[0].index])
                moments = moments[0] * np.outer(factor, factor), moments[1] * factor
        own = {name: v for name, v in same[trial.raw].items() if name in names}
        if moments is not None and not shared and names.keys() - own.keys():
            own |= _reproduced(moments, trial, own, same[False], names)
        known |= {(*name, label): value for name, value in own.items()}
    return np.array([known.get(key, np.nan) for key in trial.rows])


def _product(text: str) -> str:
    return ":".join(sorted(text.split(":")))


def _parents(names: Iterable[Name]) -> dict[str, set[str]]:
    """Return variable -> what leads to it."""
    out: dict[str, set[str]] = {}
    for lhs, op, rhs in names:
        if op in ("=~", "~"):
            outcome, predictor = (rhs, lhs) if op == "=~" else (lhs, rhs)
            out.setdefault(outcome, set()).add(predictor)
    return out


def _of_text(plan: TextPlan, *, raw: bool) -> dict[Name, float]:
    """Return the values of a text; means come from the moments."""
    values = plan.population.values if raw else standardized_values(plan.population)
    return {key_of(*name)[:3]: v for name, v in values.items() if name[1] != "~1" and math.isfinite(v)}


def _ordinal_scale(
    ordered: tuple[str, ...] | bool | None, table: ParameterTable, moments: tuple[pd.DataFrame, Array] | None
) -> dict[str, float] | None:
    """Return the scale of ordinal items, whose responses have variance 1; None if their variance is not known."""
    if ordered is None or ordered is False:
        return {}
    if moments is None:
        return None
    variance = dict(zip(moments[0].index, np.diag(moments[0].to_numpy()), strict=True))
    names = [name for name in table.observed if name not in table.exogenous] if ordered is True else list(ordered)
    return {name: float(variance[name]) ** -0.5 for name in names if name in variance}


def _in_metric(
    same: Mapping[Name, float],
    values: Mapping[Name, float],
    table: ParameterTable,
    ordinal: Mapping[str, float],
    *,
    shared: bool,
) -> dict[Name, float]:
    """Put raw values into the metric of a model that is fitted; what has no metric is left out.

    A latent that the model fixes by a loading of p instead of the population's l is l / p times as large; one that it
    fixes by a (residual) variance of s instead of v is sqrt(s / v) times as large, unless groups share the metric.
    """
    scale: dict[str, float] = {name: ordinal.get(name, 1.0) for name in table.observed}
    fixed = [row for row in table.rows if not row.free and row.value and row.group == 1]
    for latent in table.latents:
        for row in fixed:
            name = (row.lhs, row.op, row.rhs)
            if row.op == "=~" and row.lhs == latent and row.rhs in table.observed and values.get(name):
                scale[latent] = values[name] * scale[row.rhs] / float(row.value or 1.0)
                break
            if not shared and row.op == "~~" and row.lhs == row.rhs == latent and same.get(name, 0.0) > 0:
                scale[latent] = math.sqrt(float(row.value or 1.0) / same[name])
                break
    for latent in table.latents:  # latents that others stand for
        for row in fixed:
            name = (row.lhs, row.op, row.rhs)
            if latent not in scale and row.op == "=~" and row.lhs == latent and row.rhs in scale and values.get(name):
                scale[latent] = values[name] * scale[row.rhs] / float(row.value or 1.0)
    out = {}
    for (lhs, op, rhs), value in same.items():
        parts = [lhs, *rhs.split(":")]
        if op == "~1" or any(part not in scale for part in parts):
            continue
        left, right = scale[lhs], math.prod(scale[part] for part in parts[1:])
        out[lhs, op, rhs] = value * (left * right if op == "~~" else right / left if op == "=~" else left / right)
    return out


def _part(plan: Plan, group: str | None, label: str) -> list[LevelPopulation]:
    """Return the levels of the population that a group of the fit is made of, with their shares of it."""
    if not plan.levels:
        return [LevelPopulation("", (), 1.0, plan.population)]
    part = list(plan.levels)
    if group is not None:
        split = plan.survey.split(group)
        if split.fact == plan.fact:  # other facts are independent of it: their levels are mixtures of all
            codes = set(split.levels[label]) if split.levels else {label}
            shares = plan.spec.facts[split.fact].shares or {}
            weights = [math.fsum(v for c, v in shares.items() if _in(c, codes) and _in(c, own.codes)) for own in part]
            part = [replace(own, share=w) for own, w in zip(part, weights, strict=True) if w > 0]
    total = math.fsum(level.share for level in part)
    return [replace(level, share=level.share / total) for level in part]


def _in(code: int | str, codes: Iterable[int | str]) -> bool:
    return str(code) in {str(other) for other in codes}


def _values(
    plan: Plan,
    part: Sequence[LevelPopulation],
    names: Iterable[Name],
    regressions: Sequence[tuple[str, str]],
    *,
    raw: bool,
) -> dict[Name, float]:
    """Return the values that hold in all of these levels together."""
    if len(part) == 1:
        only = part[0].population
        if raw:
            return {key_of(lhs, op, rhs)[:3]: float(value) for lhs, op, rhs, value in only.truth()}
        return _standardized(only.standardized())
    products = any(level.population.interactions for level in part)
    factors = [plan.factors(level.population) for level in part]
    first = part[0].population
    # what is there only because of a product is no predictor of a model that does not name it
    usual = [(a, b) for a, b, _ in first.paths if b not in first.added_last or (a, b) in regressions]
    tables = [pooled_truth(part, factors, usual if products else None)]
    if products and any(":" in name[2] for name in names):
        tables.append(moderated_truth(part, factors))
    return {
        key_of(lhs, op, rhs)[:3]: float(value)
        for table in tables
        for lhs, op, rhs, value in zip(
            table["lhs"], table["op"], table["rhs"], table["raw" if raw else "value"], strict=True
        )
        if math.isfinite(value)
    }


def _standardized(population: Population) -> dict[Name, float]:
    """Return the values of a population in units of its own standard deviations."""
    spread = np.sqrt(np.diag(population.cov()))
    # values of a file stay as they are to the last digit
    spread = np.where(np.abs(spread - 1.0) < _ROUNDING, 1.0, spread)
    sd = dict(zip((*population.items, *population.nodes), spread, strict=True))
    out = {}
    for lhs, op, rhs, value in population.truth():
        if op == "=~":
            value *= sd[lhs] / sd[rhs]
        elif op == "~":
            value *= math.prod(sd[part] for part in rhs.split(":")) / sd[lhs]
        elif lhs == rhs:
            value /= sd[lhs] ** 2
        out[key_of(lhs, op, rhs)[:3]] = float(value)
    return out


def _predictors(population: Population) -> dict[str, set[str]]:
    out: dict[str, set[str]] = {}
    for outcome, predictor, _ in population.paths:
        out.setdefault(outcome, set()).add(predictor)
    for product in population.interactions:
        out.setdefault(product.outcome, set()).add(_product(f"{product.first}:{product.second}"))
    for latent, item, _ in population.loadings:
        if latent != METHOD_FACTOR:  # what a model without it makes of its share is bias
            out.setdefault(item, set()).add(latent)
    return out


def _means_the_same(name: Name, one: Mapping[str, set[str]], other: Mapping[str, set[str]]) -> bool:
    lhs, op, rhs = name
    return op != "~~" or all(one.get(v, set()) == other.get(v, set()) for v in (lhs, rhs))


def _moments(population: Population) -> tuple[pd.DataFrame, NDArray[np.float64]] | None:
    """Return the covariances and means of items and facts; None where products make them those of no linear model."""
    if population.interactions:
        return None
    observed = [*population.items, *population.covariates]
    at = [(*population.items, *population.nodes).index(name) for name in observed]
    cov = pd.DataFrame(population.cov()[np.ix_(at, at)], index=observed, columns=observed)
    means = [population.response_mean(item) for item in population.items]
    return cov, np.array([*means, *(population.means.get(name, 0.0) for name in population.covariates)])


def _text_moments(plan: TextPlan) -> tuple[pd.DataFrame, NDArray[np.float64]]:
    names = list(plan.items)
    return pd.DataFrame(plan.population.cov, index=names, columns=names), np.asarray(plan.population.mean)


def _reproduced(
    moments: tuple[pd.DataFrame, Array],
    trial: Trial,
    known: Mapping[Name, float],
    standardized: Mapping[Name, float],
    names: Iterable[Name],
) -> dict[Name, float]:
    """Return the solution of the moments of the population, if the model reproduces them and the known values.

    The standardized ones, which do not depend on a metric, say whether the solution is that of the population: that of
    a confounded path reproduces the moments as well.
    """
    cov, mean = moments
    frame = cov * _MANY / (_MANY - 1)
    options = shaping(trial.condition.settings.stated())
    if options.pop("growth", False):
        options["kind"] = "growth"
    if options.get("meanstructure") or any(op == "~1" for _, op, _ in names):
        options["sample_mean"] = pd.Series(mean, index=cov.index)
    try:
        found = fit(trial.text, sample_cov=frame, nobs=_MANY, engine="native", **options)
    except B2BSemError:
        return {}
    if not (found.converged and found.identified and found.measures["fmin"] < _EXACT):
        return {}
    solution = _by_name(found.standardized(), "est_std")
    mentioned = {name: v for name, v in standardized.items() if name in solution}
    if any(abs(solution[name] - value) > _SAME for name, value in mentioned.items()):
        return {}
    if trial.raw:
        solution = _by_name(found.parameters, "est")
    if any(abs(solution.get(name, math.inf) - value) > _SAME * max(1.0, abs(value)) for name, value in known.items()):
        return {}
    # a number without its last digits: 0 is 0, and no error of rounding looks like bias
    return {name: _tidy(solution[name], trial.raw) for name in names if name not in known and name in solution}


def _by_name(table: pd.DataFrame, column: str) -> dict[Name, float]:
    rows = zip(table["lhs"], table["op"], table["rhs"], table[column], strict=True)
    return {key_of(lhs, op, rhs)[:3]: float(value) for lhs, op, rhs, value in rows}


def _tidy(value: float, raw: bool) -> float:
    if raw:  # of any size
        return float(f"{value:.8g}") if abs(value) > _SAME else 0.0
    return round(value, 6) + 0.0
