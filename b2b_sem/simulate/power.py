"""``power``: how probable it is that tests find what is true in a population."""

from __future__ import annotations

import os
from collections.abc import Mapping
from inspect import signature
from pathlib import Path
from typing import Any, overload

from b2b_sem.analysis.intake import model_text
from b2b_sem.analysis.montecarlo import Population
from b2b_sem.analysis.power import analytic_power
from b2b_sem.analysis.power_population import GroupPopulation
from b2b_sem.analysis.power_target import DRAW
from b2b_sem.errors import DataError, Unsupported, did_you_mean
from b2b_sem.results.power import PowerResult
from b2b_sem.results.power_sample import SampledPower
from b2b_sem.simulate.answer_moments import answer_population, ordinal_population, text_answers
from b2b_sem.simulate.respond import make_plan
from b2b_sem.simulate.sampled import Source, load_source, sampled_power
from b2b_sem.spec.loader import load_simulation
from b2b_sem.spec.model import ModelSpec
from b2b_sem.spec.montecarlo import MonteCarloSpec
from b2b_sem.spec.simulation import SimulationSpec
from b2b_sem.spec.statement import is_syntax
from b2b_sem.spec.text import TextPopulation

__all__ = ["power"]

#: Options of power by theory alone, and of power by samples.
THEORY = ("shares", "steps", "indirect", "detectable", "hold", "rmsea", "missing_rate")
COUNTED = ("sizes", "tests", "failures", "level", "seed", "jobs", "cluster", "folder", "progress", "change", "variant")


@overload
def power(
    population: str | os.PathLike[str] | SimulationSpec | Population | Mapping[str, Population],
    model: str | Path | ModelSpec | None = None,
    *,
    nobs: int | None = None,
    power: float = 0.80,
    alpha: float | None = None,
    replications: None = None,
    **options: Any,
) -> PowerResult: ...


@overload
def power(
    population: Source,
    model: str | Path | ModelSpec | None = None,
    *,
    nobs: int | None = None,
    power: float = 0.80,
    alpha: float | None = None,
    replications: int | None,
    **options: Any,
) -> SampledPower: ...


def power(
    population: Source,
    model: str | Path | ModelSpec | None = None,
    *,
    nobs: int | None = None,
    power: float = 0.80,
    alpha: float | None = None,
    replications: int | None = None,
    **options: Any,
) -> PowerResult | SampledPower:
    """Return the power of the tests of a model in a population, and the rows that a power needs.

    Large-sample theory for maximum likelihood, with complete answers or answers missing by chance: the model is fitted
    to the moments of the population with and without each restriction, and the difference is the noncentrality of the
    likelihood-ratio test of one row (Satorra & Saris 1985, doi:10.1007/BF02294150). Tests of RMSEA are those of
    MacCallum, Browne & Sugawara (1996, doi:10.1037/1082-989X.1.2.130). Indirect effects have the power of the joint
    significance test and of the delta method.

    With `replications` the power is counted instead: so many samples are drawn and fitted, and each test says in which
    share of them it rejects. A simulation file then gives answers as a survey collects them (whole numbers, careless
    and missing ones, groups, clusters, products), and every option of :func:`b2b_sem.fit` may be used.

    Parameters
    ----------
    population : str, path, SimulationSpec, MonteCarloSpec, Population, or mapping of label to Population
        Id or path of a simulation file: means and covariances are those of its answers, whole numbers that correlate
        less than what is behind them. Or lavaan syntax with a number for every parameter
        (``F =~ 1*x1 + .8*x2``), where groups differ by ``c(.3, .5)*x`` or ``group:`` blocks. Or moments.
    model : str, Path or ModelSpec, optional
        The model to be fitted. Default: that of the simulation file.
    nobs : int, optional
        Rows of all groups together. Default: that of the simulation file.
    power, alpha : float
        The power that ``rows_needed`` is for, and the error rate of each test (0.05, or that of a Monte Carlo file).
    replications : int, optional
        Samples to draw. A Monte Carlo file has a number of its own.
    **options
        By theory:
        ``group`` (of a simulation file whose groups differ: compares them; without it all are analysed together),
        ``shares``, ``missing``, ``missing_rate``, ``restrictions``, ``steps``, ``indirect``, ``rmsea``, ``detectable``,
        ``hold``, ``group_equal``, ``group_partial``, ``std_lv``, ``orthogonal``: see
        :func:`b2b_sem.analysis.power.analytic_power`.

        By samples: ``sizes`` (further numbers of rows that are drawn), ``tests`` (names, as in
        :func:`b2b_sem.find_rows`), ``failures``, ``level``, ``seed``, ``jobs``, ``cluster``, ``folder``, ``progress``,
        ``change`` and ``variant`` (of a Monte Carlo file), ``multiplicity``, ``moderation``, ``groups`` (for verdicts
        on propositions), ``restrictions`` (one parameter each: ``"a == b"``), and the options of :func:`b2b_sem.fit`.

    Returns
    -------
    PowerResult or SampledPower
        ``table`` at `nobs` rows, ``curve(rows)`` over numbers of rows. By samples every power has its Monte Carlo
        standard error and interval.

    Raises
    ------
    DataError
        For arguments that do not go together.
    ModelError
        If the model cannot be fitted to the population.
    Unsupported
        By theory: for products, clusters, responses that are not normal, respondents who answer at random or repeat
        themselves, answers missing for a reason, and constraints that are not linear equations: these need samples.

    Examples
    --------
    >>> import b2b_sem as bs
    >>> found = bs.power("x ~~ 1*x\\ny ~ .3*x\\ny ~~ .91*y", "y ~ x", nobs=85)
    >>> round(float(found.table["power"].iloc[0]), 2)
    0.82
    """
    population = load_source(population)
    if replications is not None or isinstance(population, MonteCarloSpec):
        theory = next((name for name in THEORY if name in options), None)
        if theory is not None:
            raise DataError(f"'{theory}' is for power by theory", hint="leave it out, or leave replications out")
        if replications is None:
            assert isinstance(population, MonteCarloSpec)
            replications = population.replications
        return sampled_power(
            population, model, nobs=nobs, power=power, alpha=alpha, replications=replications, **options
        )
    _check(options)
    alpha = 0.05 if alpha is None else alpha
    given: str | Population | Mapping[str, Population] | GroupPopulation
    text: str | None = None if model is None else model_text(model)[0]
    if isinstance(population, Population | Mapping) or is_syntax(population):
        given = population
    elif isinstance(population, TextPopulation):
        given = text_answers(population)
        text = population.model_spec.syntax() if text is None else text
        nobs = population.n if nobs is None else nobs
    else:
        spec = population if isinstance(population, SimulationSpec) else load_simulation(population)
        plan = make_plan(spec)
        group, ordered = options.pop("group", None), options.pop("ordered", None)
        if ordered and group is not None:
            raise Unsupported("groups of ordinal items have no power by theory", hint=DRAW)
        given = ordinal_population(plan) if ordered else answer_population(plan, group)
        text = plan.model.syntax() if text is None else text
        nobs = spec.n if nobs is None else nobs
    if options.pop("ordered", None):
        raise DataError("ordered is for simulation files", hint="describe the answers by a file, or leave ordered out")
    if options.pop("group", None) is not None:
        raise DataError(
            "group is for simulation files", hint="let values differ in the population, as in 'Y ~ c(.3, .5)*X'"
        )
    if text is None:
        raise DataError("there is no model to test", hint="give model=..., such as 'Y ~ b*X'")
    if nobs is None:
        raise DataError("there is no number of rows", hint="give nobs=..., such as 200")
    return analytic_power(given, text, nobs=nobs, power=power, alpha=alpha, **options)


def _check(options: Mapping[str, Any]) -> None:
    """Refuse options that power by theory does not have."""
    counted = next((name for name in COUNTED if name in options), None)
    if counted is not None:
        raise DataError(f"'{counted}' is for power by samples", hint="give replications=..., such as 1000")
    known = [name for name in signature(analytic_power).parameters if name not in ("population", "model")]
    unknown = next((name for name in options if name not in (*known, "group", "ordered")), None)
    if unknown is not None:
        raise DataError(
            f"'{unknown}' is no option of power by theory.{did_you_mean(unknown, known)}",
            hint="leave it out, or give replications=..., such as 1000: samples take all options of fit",
        )
