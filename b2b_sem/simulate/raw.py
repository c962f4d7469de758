"""What a population in the metric of the answers says of variances and means, put together for one level."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from b2b_sem.simulate.structure import Population
from b2b_sem.spec.base import Location
from b2b_sem.spec.method import METHOD_FACTOR
from b2b_sem.spec.raw import DEFAULT, RawLevel, RawSimulation
from b2b_sem.spec.simulation import SimulationSpec
from b2b_sem.spec.statement import read_pair
from b2b_sem.spec.survey import SurveySpec

__all__ = ["Metric", "correlations", "cut_points", "fact_moments", "make_metric", "share_out"]

Pair = tuple[str, str]


@dataclass(frozen=True)
class Metric:
    """Raw variances and means; of each variance, and of each mean, the whole or what predictors leave of it.

    Attributes
    ----------
    variances, residual_variances : mapping of str to float
        Of nodes and items.
    covariances : mapping of (str, str) to float
        Of exogenous latents, or of residuals.
    means, intercepts : mapping of str to float
        Of nodes and items; nodes that are not named have intercept 0.
    reliabilities : mapping of str to float
        Latent -> reliability of the sum of its items, whose residual variances follow.
    """

    variances: Mapping[str, float]
    residual_variances: Mapping[str, float]
    covariances: Mapping[Pair, float]
    means: Mapping[str, float]
    intercepts: Mapping[str, float]
    reliabilities: Mapping[str, float] = field(default_factory=dict)


def make_metric(
    spec: RawSimulation,
    level: RawLevel | None,
    survey: SurveySpec,
    measured: Iterable[Pair],
    covariates: Iterable[str],
    reference: Population | None,
) -> Metric:
    """Put together what the file, and a level of it, say of variances and means.

    Parameters
    ----------
    spec : RawSimulation
    level : RawLevel, optional
    survey : SurveySpec
    measured : iterable of (latent, item)
    covariates : iterable of str
    reference : Population, optional
        The reference level, whose items keep their intercepts and residual variances.
    """
    values, pairs = spec.values, tuple(measured)
    items = tuple(dict.fromkeys(item for _, item in pairs))
    solved = {item for latent, item in pairs if latent in values.loadings.reliability}
    whole, left = _override(values.variances, values.residual_variances, level, "variances", "residual_variances")
    mean, intercept = _override(values.means, values.intercepts, level, "means", "intercepts")
    if reference is not None:
        # items are those of the reference level, apart from what the level names
        own = level.residual_variances if level is not None else {}
        left |= {item: own.get(item, reference.residual_sd[item] ** 2) for item in items}
        moved = level.intercepts if level is not None else {}
        intercept |= {item: moved.get(item, reference.shifts[item]) for item in items}
        for given in (whole, mean):
            for item in items:
                given.pop(item, None)
    else:
        for item in items:
            if item not in whole and item not in left and item not in solved:
                for given, section in ((left, values.residual_variances), (whole, values.variances)):
                    if DEFAULT in section:
                        given[item] = section[DEFAULT]
                        break
            if item not in mean and item not in intercept:
                if DEFAULT in values.intercepts:
                    intercept[item] = values.intercepts[DEFAULT]
                else:
                    mean[item] = values.means.get(DEFAULT, sum(survey.range_of(item)) / 2)
    for given in (whole, left, mean, intercept):
        given.pop(DEFAULT, None)
    for name in covariates:
        mean[name], sd = fact_moments(spec, name)
        whole[name] = sd * sd
    whole[METHOD_FACTOR] = 1.0
    reliabilities = {} if reference is not None else values.loadings.reliability
    return Metric(whole, left, _covariances(spec, level), mean, intercept, reliabilities)


def correlations(spec: RawSimulation, level: RawLevel | None) -> dict[Pair, float]:
    """Return the correlations of exogenous latents that no covariance of the level takes the place of."""
    given = spec.correlations(level)
    if level is not None:
        for text in level.covariances:
            given.pop(_sorted(text), None)
    return given


def _covariances(spec: RawSimulation, level: RawLevel | None) -> dict[Pair, float]:
    out = {_sorted(text): value for text, value in spec.values.covariances.items()}
    if level is not None:
        for text in level.correlations:
            out.pop(_sorted(text), None)
        out |= {_sorted(text): value for text, value in level.covariances.items()}
    return out | {_sorted(text): value for text, value in spec.values.residual_covariances.items()}


def _sorted(text: str) -> Pair:
    pair = read_pair(text, "~~")
    if pair is None:
        raise ValueError(f"cannot read '{text}'")
    return pair


def _override(
    whole: Mapping[str, float], left: Mapping[str, float], level: RawLevel | None, first: str, second: str
) -> tuple[dict[str, float], dict[str, float]]:
    """Return values of the file with those of a level put in, which may be of the other kind."""
    one, two = dict(whole), dict(left)
    if level is not None:
        for name in (*getattr(level, first), *getattr(level, second)):
            one.pop(name, None)
            two.pop(name, None)
        one |= getattr(level, first)
        two |= getattr(level, second)
    return one, two


def share_out(metric: Metric, first: Population, method: Mapping[Pair, float]) -> tuple[dict[Pair, float], Metric]:
    """Take common method variance out of the residual variances.

    Parameters
    ----------
    metric : Metric
    first : Population
        Solved without a method factor.
    method : mapping of (latent, item) to float
        Standardized loadings on the method factor.

    Returns
    -------
    loadings : dict
        On the method factor.
    metric : Metric
        With the residual variances that are left, which are not above zero where there is no room.
    """
    loadings = {(factor, item): value * first.response_sd[item] for (factor, item), value in method.items()}
    left = {item: sd * sd for item, sd in first.residual_sd.items()}
    for (_, item), value in loadings.items():
        left[item] -= value * value
    whole = {name: value for name, value in metric.variances.items() if name not in left}
    return loadings, replace(
        metric, variances=whole, residual_variances={**metric.residual_variances, **left}, reliabilities={}
    )


def cut_points(spec: SimulationSpec, survey: SurveySpec, values: Population) -> dict[str, tuple[float, ...]]:
    """Return where raw responses are cut into answers: halfway between them, or as the file says; not if continuous.

    Raises
    ------
    SpecError
        If the mean of an item lies outside its answers.
    """
    if spec.response.type == "continuous":
        return {}
    known, out = survey.items(active_only=False), {}
    for item in values.items:
        if item not in known:
            continue
        low, high = survey.range_of(item)
        shape = spec.shape(item, survey.scale_of(item))
        mean, sd = values.response_mean(item), values.response_sd[item]
        if shape.thresholds is not None:
            out[item] = shape.thresholds
        elif shape.shares is not None:
            out[item] = tuple(mean + sd * z for z in shape.cut_points(low, high))
        else:
            if not low <= mean <= high:
                raise spec.error(
                    _place(spec, item),
                    f"the mean of '{item}', {mean:.4g}, lies outside its answers ({low} to {high})",
                    hint="Change its intercept, or those of its latents and of what leads to them.",
                )
            out[item] = tuple(answer + 0.5 for answer in range(low, high))
    return out


def _place(spec: SimulationSpec, item: str) -> Location:
    for section in ("means", "intercepts"):
        given: Sequence[str] = tuple(getattr(spec.values, section, ()))
        for name in (item, DEFAULT):
            if name in given:
                return ("values", section, name)
    return ("values",)


def fact_moments(spec: SimulationSpec, name: str) -> tuple[float, float]:
    """Return mean and standard deviation of a fact that is a predictor.

    Raises
    ------
    SpecError
        If it is not drawn, not a number, or does not vary.
    """
    drawn = spec.facts.get(name)
    if drawn is None:
        raise spec.error(("facts",), f"'{name}' is a predictor in the model: say under 'facts' how it is distributed")
    where: Location = ("facts", name)
    if drawn.shares is not None:
        if not all(isinstance(code, int) for code in drawn.shares):
            raise spec.error(where, f"fact '{name}' is a predictor in the model, but its categories are not numbers")
        mean = math.fsum(c * p for c, p in drawn.shares.items() if isinstance(c, int))
        sd = math.sqrt(math.fsum((c - mean) ** 2 * p for c, p in drawn.shares.items() if isinstance(c, int)))
    else:
        assert drawn.mean is not None  # else the file was refused
        assert drawn.sd is not None
        mean, sd = drawn.mean, drawn.sd
    if not sd > 0:
        raise spec.error(where, f"fact '{name}' is a predictor in the model, but it does not vary")
    return mean, sd
