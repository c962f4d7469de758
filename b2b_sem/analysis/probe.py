"""Simple slopes, Johnson-Neyman regions and the size of a product, for latent and observed moderators."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from b2b_sem.analysis.equation import Variables, equation_of, fitted_scores, surface_of
from b2b_sem.engine.base import Array
from b2b_sem.errors import DataError, did_you_mean
from b2b_sem.measures.probing import critical_value, normal_share, sample_share, wald_columns
from b2b_sem.results.probe import (
    REGION_COLUMNS,
    SLOPE_COLUMNS,
    JohnsonNeyman,
    SimpleSlopes,
    Surface,
    find_regions,
)

__all__ = ["PLACES", "johnson_neyman", "moderator_values", "simple_slopes"]

#: What `at` may name.
PLACES = ("sd", "percentiles")
#: Hayes (2018): in skewed variables mean -+ SD may lie outside the data; these percentiles cannot.
PERCENTILES = (16, 50, 84)


def simple_slopes(
    fit: Any,
    product: str,
    moderator: str | None = None,
    at: str | float | Sequence[float] | None = None,
    *,
    unit: str = "raw",
    outcome: str | None = None,
    held: Mapping[str, float] | None = None,
    level: float = 0.95,
    aliases: Mapping[str, str] | None = None,
    group: str | None = None,
) -> SimpleSlopes:
    """Return the effect of one variable on another at values of a moderator.

    With y = b1 x + b2 m + b3 x m + ... the slope of x at m is b1 + b3 m, its variance v11 + 2 v13 m + v33 m^2 (Aiken &
    West 1991; Bauer & Curran 2005, doi:10.1207/s15327906mbr4003_5), from the joint covariance matrix of the estimates,
    whatever estimator made it. Other products of x add their coefficient times the value at which their other factor
    is held; a square b4 x^2 adds 2 b4 x. For the product ``X:X`` the slope is b1 + 2 b4 x at values of X itself.

    Parameters
    ----------
    fit : FitResult or regression result
        Of :func:`b2b_sem.fit`, with a product of latent or observed variables; or of statsmodels' ``OLS(...).fit()``,
        with robust standard errors or without, whose terms have the names that formulas give them: ``x:m`` and
        ``I(x ** 2)``.
    product : str
        ``X:M``.
    moderator : str, optional
        Which factor is the moderator. Default: the second.
    at : "sd", "percentiles", float or sequence of float, optional
        ``"sd"`` (default): the mean and one standard deviation below and above it. ``"percentiles"``: the 16th, 50th
        and 84th, of the sample for an observed moderator, of the implied normal distribution for a latent one. Or
        values, see `unit`. An observed moderator with two values is taken at both by default.
    unit : {"raw", "sd"}
        Whether values are in units of the moderator (for a latent one that of its first item, or its standard
        deviation under ``std_lv=True``), or in standard deviations from its mean.
    outcome : str, optional
        Needed where the product stands in several equations.
    held : mapping of str to float, optional
        Where other variables of the equation are held, in raw units. Default: their means.
    level : float
        Of the intervals.
    aliases : mapping of str to str, optional
        Which predictors stand for products, for columns and latent variables that were made by hand:
        ``{"XM": "X:M"}``. Their factors must have their zero where the product was centred.
    group : str, optional
        Label of the group, for a fit of several groups.

    Returns
    -------
    SimpleSlopes

    Raises
    ------
    ModelSyntaxError
        If the model has no such product, moderator, outcome or held variable.
    DataError
        For values, units or levels that cannot be used.
    Unsupported
        For a result read from a file, and products of three variables.

    Notes
    -----
    The standard errors hold for the values of the moderator as given: that mean and standard deviation are estimates,
    too, is left out.

    Examples
    --------
    >>> import numpy as np, pandas as pd, statsmodels.formula.api as smf
    >>> from b2b_sem.analysis.probe import simple_slopes
    >>> rng = np.random.default_rng(1)
    >>> data = pd.DataFrame(rng.normal(size=(100, 2)), columns=["x", "m"])
    >>> data["y"] = 0.3 * data.x + 0.2 * data.x * data.m + rng.normal(size=100)
    >>> slopes = simple_slopes(smf.ols("y ~ x * m", data).fit(), "x:m", at=[-1.0, 1.0])
    >>> len(slopes.table)
    2
    """
    _check_level(level)
    equation, named = equation_of(fit, product, moderator, outcome, group, aliases)
    surface = surface_of(equation, named, held)
    labels, values = moderator_values(equation.variables, named.moderator, at, unit)
    est, se = surface.slopes(values)
    ratio = surface.x.sd / surface.y.sd if surface.y.sd > 0 else math.nan
    table = pd.DataFrame(
        {
            "at": labels,
            "value": values,
            "value_sd": _in_deviations(values, surface),
            **wald_columns(est, se, level, equation.df),
            "est_std": est * ratio,
        },
        columns=list(SLOPE_COLUMNS),
    )
    notes = [*_failed(equation.failure), *equation.notes, *_notes(surface)]
    if not (isinstance(at, (str, type(None)))) and unit == "raw":
        notes.extend(_outside(values, surface))
    return SimpleSlopes(surface, level, tuple(notes), table)


def johnson_neyman(
    fit: Any,
    product: str,
    moderator: str | None = None,
    alpha: float = 0.05,
    *,
    simultaneous: bool = False,
    outcome: str | None = None,
    held: Mapping[str, float] | None = None,
    aliases: Mapping[str, str] | None = None,
    group: str | None = None,
) -> JohnsonNeyman:
    """Return the values of a moderator at which an effect differs from zero, and the share of the sample there.

    The slope b1 + b3 m differs from zero where |b1 + b3 m| >= c SE(m), a quadratic inequality in m (Johnson & Neyman
    1936; Bauer & Curran 2005, doi:10.1207/s15327906mbr4003_5). Pointwise c is the quantile of the normal or t
    distribution: right for one value chosen in advance. Simultaneously c is sqrt(2 F(1 - alpha; 2, df)), or the root of
    the chi-square quantile with two degrees of freedom: right for all values at once (Potthoff 1964,
    doi:10.1007/BF02289721). Both bands are reported.

    Parameters
    ----------
    fit, product, moderator, outcome, held, aliases, group
        As in :func:`simple_slopes`.
    alpha : float
        Error rate.
    simultaneous : bool
        Whether the simultaneous band decides; the pointwise one does by default.

    Returns
    -------
    JohnsonNeyman

    Raises
    ------
    ModelSyntaxError, DataError, Unsupported
        As :func:`simple_slopes`.
    """
    if not 0.0 < alpha < 1.0:
        raise DataError(f"alpha must lie between 0 and 1, not {alpha}", hint="use alpha=0.05")
    equation, named = equation_of(fit, product, moderator, outcome, group, aliases)
    surface = surface_of(equation, named, held)
    critical = {
        band: critical_value(alpha, simultaneous=band == "simultaneous", df=equation.df)
        for band in ("pointwise", "simultaneous")
    }
    m = surface.m
    values = equation.variables.sample.get(named.moderator)
    notes = [*_failed(equation.failure), *equation.notes, *_notes(surface)]
    if values is None and m.latent:
        values = fitted_scores(fit, named.moderator, group)
        if values is not None:
            notes.append(
                f"share_sample counts factor scores of {named.moderator}: they vary less than {named.moderator} itself."
            )
    rows = [
        {
            "band": band,
            "lower": low,
            "upper": high,
            "sign": sign,
            "share": normal_share(((low, high),), m.mean, m.sd),
            "share_sample": math.nan if values is None else sample_share((low, high), values),
        }
        for band, low, high, sign in find_regions(surface, critical)
    ]
    table = pd.DataFrame(rows, columns=list(REGION_COLUMNS))
    return JohnsonNeyman(surface, alpha, simultaneous, MappingProxyType(critical), tuple(notes), table)


def moderator_values(
    variables: Variables, name: str, at: str | float | Sequence[float] | None, unit: str = "raw"
) -> tuple[list[str], Array]:
    """Return what values of a moderator are called, and the values in raw units.

    Raises
    ------
    DataError
        For values or units that cannot be used.
    """
    spread = variables.spread[name]
    sample = variables.sample.get(name)
    if unit not in ("raw", "sd"):
        raise DataError(f"unit={unit!r} is not known.{did_you_mean(unit, ('raw', 'sd'))}", hint="use 'raw' or 'sd'")
    if at is None:
        two = np.unique(sample) if sample is not None else np.empty(0)
        if len(two) == 2:
            return [f"{v:g}" for v in two], two
        at = "sd"
    if isinstance(at, str):
        if at not in PLACES:
            raise DataError(
                f"at={at!r} is not known.{did_you_mean(at, PLACES)}", hint="use 'sd', 'percentiles' or numbers"
            )
        if at == "percentiles":
            share = np.array(PERCENTILES) / 100.0
            where = spread.mean + spread.sd * special.ndtri(share) if sample is None else np.quantile(sample, share)
            return [f"P{p}" for p in PERCENTILES], np.asarray(where)
        at, unit = (-1.0, 0.0, 1.0), "sd"
    try:
        given = np.atleast_1d(np.asarray(at, dtype=float))
    except (TypeError, ValueError):
        given = np.array([np.nan])
    if given.ndim != 1 or not len(given) or not np.isfinite(given).all():
        raise DataError(
            f"values of the moderator must be finite numbers, not {at!r}", hint="use at=[-1, 0, 1], unit='sd'"
        )
    if unit == "raw":
        return [f"{v:g}" for v in given], given
    if not spread.sd > 0.0:
        raise DataError(f"{name} has no variance: standard deviations are no unit", hint="give values, unit='raw'")
    return ["mean" if v == 0 else f"{v:+g} SD" for v in given], spread.mean + given * spread.sd


def _check_level(level: float) -> None:
    if not 0.0 < level < 1.0:
        raise DataError(f"the confidence level must lie between 0 and 1, not {level}", hint="use level=0.95")


def _in_deviations(values: Array, surface: Surface) -> Array:
    return (values - surface.m.mean) / surface.m.sd if surface.m.sd > 0 else np.full(len(values), math.nan)


def _failed(failure: str) -> list[str]:
    return [f"These slopes must not be interpreted: {failure}."] if failure else []


def _notes(surface: Surface) -> list[str]:
    m = surface.m
    what = "implied by the model" if m.latent else "of the sample"
    notes = [
        f"{surface.moderator} has mean {m.mean:.3f} and standard deviation {m.sd:.3f}, {what}; standard errors take "
        "both as known."
    ]
    if surface.held:
        notes.append("Held: " + ", ".join(f"{k} = {v:.3g}" for k, v in surface.held.items()) + ".")
    return notes


def _outside(values: Array, surface: Surface) -> list[str]:
    m = surface.m
    low, high = (m.low, m.high) if math.isfinite(m.low) else (m.mean - 3.0 * m.sd, m.mean + 3.0 * m.sd)
    far = values[(values < low) | (values > high)]
    if not len(far):
        return []
    where = ", ".join(f"{v:g}" for v in far)
    return [f"Beyond the data: {surface.moderator} = {where} lies outside {low:.3g} to {high:.3g}."]
