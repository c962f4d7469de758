"""Power of tests of fit from degrees of freedom alone: ``fit_power``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from b2b_sem.errors import DataError
from b2b_sem.measures.power import rmsea_change_rows, rmsea_detectable, rmsea_power, rmsea_rows
from b2b_sem.results.power import COLUMNS, PowerResult

__all__ = ["RMSEA_TESTS", "fit_power", "rmsea_names", "whole_rows"]

#: RMSEA of the hypothesis and of the population: close, not close and exact fit (MacCallum and others 1996).
RMSEA_TESTS = ((0.05, 0.08), (0.05, 0.01), (0.0, 0.05))


def fit_power(
    df: int,
    nobs: int,
    *,
    null: float | tuple[float, float] | None = None,
    alternative: float | tuple[float, float] | None = None,
    larger: int | None = None,
    power: float = 0.80,
    alpha: float = 0.05,
    groups: int = 1,
) -> PowerResult:
    """Return the power of tests about RMSEA: of a model, or of what a restriction of a larger model does to its fit.

    No population is needed: a model is described by its degrees of freedom, its misfit by RMSEA. A hypothesis of close
    fit (RMSEA at most `null`) is tested against an `alternative` above it, one of not close fit against one below
    (MacCallum, Browne & Sugawara 1996, doi:10.1037/1082-989X.1.2.130).

    With `larger` the likelihood-ratio test of two nested models is meant, and RMSEA are pairs, of the restricted and of
    the larger model (MacCallum, Browne & Cai 2006, doi:10.1037/1082-989X.11.1.19); the table then has their RMSEA of
    the difference, the root of (df_1 RMSEA_1^2 - df_2 RMSEA_2^2) / (df_1 - df_2).

    Parameters
    ----------
    df : int
        Degrees of freedom of the model; of the restricted one with `larger`.
    nobs : int
        Rows of all groups together.
    null, alternative : float, optional
        RMSEA by the hypothesis, and in the population. Default: close fit (.05, .08), not close fit (.05, .01) and
        exact fit (0, .05). With `larger` pairs of them: null by default (0, 0), equal fit.
    larger : int, optional
        Degrees of freedom of a model that has more parameters.
    power, alpha : float
        For ``rows_needed`` and ``detectable``; the error rate of each test.
    groups : int

    Returns
    -------
    PowerResult
        ``detectable`` is the RMSEA that `nobs` rows tell from that of the hypothesis.

    Raises
    ------
    DataError
        For numbers out of range or that do not go together.

    Examples
    --------
    >>> found = fit_power(48, 200, null=0.05, alternative=0.08)
    >>> round(float(found.table["power"].iloc[0]), 2)
    0.75
    """
    count = whole_rows(nobs)
    rows: list[dict[str, Any]] = []

    def add(test: str, df: int, null: float, alternative: float, needed: int) -> None:
        low, high = rmsea_detectable(count, df, null, power, alpha, groups)
        rows.append(
            {"kind": "rmsea", "test": test, "group": "", "method": "rmsea", "null": null, "value": alternative}
            | {"df": df, "power": float(rmsea_power(count, df, null, alternative, alpha, groups))}
            | {"rows_needed": float(needed), "detectable": high if alternative > null else low}
        )

    if larger is not None:
        first, second = _pair("null", (0.0, 0.0) if null is None else null), _pair("alternative", alternative)
        pairs = (df, larger)
        needed = rmsea_change_rows(pairs, first, second, power, alpha, groups)  # refuses what makes no sense
        roots = [math.sqrt((df * a * a - larger * b * b) / (df - larger)) for a, b in (first, second)]
        add(f"df {df} against df {larger}", df - larger, roots[0], roots[1], needed)
    else:
        tests = _tests(null, alternative)
        for name, (low, high) in zip(rmsea_names(tests), tests, strict=True):
            add(name, df, low, high, rmsea_rows(df, low, high, power, alpha, groups))
    labels = tuple(f"Group {g + 1}" for g in range(groups)) if groups > 1 else ()
    shares = (1.0 / groups,) * groups
    table = pd.DataFrame(rows).reindex(columns=list(COLUMNS))
    return PowerResult(count, alpha, power, labels, shares, (), table, (None,) * len(table))


def rmsea_names(pairs: Sequence[tuple[float, float]]) -> list[str]:
    """Return what tests about RMSEA are called, with their numbers where a name would stand for several of them."""
    plain = [
        "exact fit" if null == 0 else "close fit" if null < alternative else "not close fit"
        for null, alternative in pairs
    ]
    return [
        name if plain.count(name) == 1 else f"{name}, {null:g} against {alternative:g}"
        for name, (null, alternative) in zip(plain, pairs, strict=True)
    ]


def whole_rows(nobs: Any) -> int:
    """Return a number of rows as an integer.

    Raises
    ------
    DataError
        If it is none, or below 2.
    """
    try:
        count = int(nobs)
        if isinstance(nobs, bool) or count != nobs or count < 2:
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise DataError(f"nobs={nobs!r}", hint="give the number of rows of all groups together, such as 200") from None
    return count


def _pair(name: str, given: Any) -> tuple[float, float]:
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise DataError(
            f"{name}={given!r} must be two RMSEA",
            hint="give that of the restricted model and that of the larger one, such as (0.06, 0.05)",
        )
    return float(given[0]), float(given[1])


def _tests(null: Any, alternative: Any) -> tuple[tuple[float, float], ...]:
    if null is None and alternative is None:
        return RMSEA_TESTS
    for name, given in (("null", null), ("alternative", alternative)):
        if isinstance(given, tuple | list):
            raise DataError(f"{name}={given!r}: two RMSEA are for two models", hint="give larger=..., or one number")
        if given is None:
            raise DataError(f"{name} is missing", hint="give null and alternative, such as 0.05 and 0.08")
    return ((float(null), float(alternative)),)
