"""``power``: how probable it is that tests find what is true in a population."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from b2b_sem.analysis.intake import model_text
from b2b_sem.analysis.montecarlo import Population
from b2b_sem.analysis.power import analytic_power
from b2b_sem.errors import DataError, Unsupported
from b2b_sem.results.power import PowerResult
from b2b_sem.simulate.population import population as build_population
from b2b_sem.simulate.respond import sources
from b2b_sem.simulate.truth import attenuations
from b2b_sem.spec.loader import load_simulation
from b2b_sem.spec.model import ModelSpec
from b2b_sem.spec.simulation import SimulationSpec
from b2b_sem.spec.survey import SurveySpec

__all__ = ["power"]

DRAW = "draw samples with simulate() and fit the model to each"


def power(
    population: str | os.PathLike[str] | SimulationSpec | Population | Mapping[str, Population],
    model: str | Path | ModelSpec | None = None,
    *,
    nobs: int | None = None,
    power: float = 0.80,
    alpha: float = 0.05,
    **options: Any,
) -> PowerResult:
    """Return the power of the tests of a model in a population, and the rows that a power needs.

    Large-sample theory for maximum likelihood and complete answers: the model is fitted to the moments of the
    population with and without each restriction, and the difference is the noncentrality of the likelihood-ratio test
    of one row (Satorra & Saris 1985, doi:10.1007/BF02294150). Tests of RMSEA are those of MacCallum, Browne & Sugawara
    (1996, doi:10.1037/1082-989X.1.2.130). Indirect effects have the power of the joint significance test and of the
    delta method.

    Parameters
    ----------
    population : str, path, SimulationSpec, Population, or mapping of label to Population
        Id or path of a simulation file: its answers are whole numbers, and correlate less than what is behind them
        (each item's share is that of the truth tables). Or lavaan syntax with a number for every parameter
        (``F =~ 1*x1 + .8*x2``), where groups differ by ``c(.3, .5)*x`` or ``group:`` blocks. Or moments.
    model : str, Path or ModelSpec, optional
        The model to be fitted. Default: that of the simulation file.
    nobs : int, optional
        Rows of all groups together. Default: that of the simulation file.
    power, alpha : float
        The power that ``rows_needed`` is for, and the error rate of each test.
    **options
        ``shares``, ``restrictions``, ``steps``, ``indirect``, ``detectable``, ``hold``, ``group_equal``, ``std_lv``,
        ``orthogonal``: see :func:`b2b_sem.analysis.power.analytic_power`.

    Returns
    -------
    PowerResult
        ``table`` at `nobs` rows, ``curve(rows)`` over numbers of rows.

    Raises
    ------
    DataError
        For arguments that do not go together.
    ModelError
        If the model cannot be fitted to the population.
    Unsupported
        For products, groups, facts as predictors, careless or missing answers in a simulation file, and constraints
        that are not linear equations: these need samples.

    Examples
    --------
    >>> import b2b_sem as bs
    >>> found = bs.power("x ~~ 1*x\\ny ~ .3*x\\ny ~~ .91*y", "y ~ x", nobs=85)
    >>> round(float(found.table["power"].iloc[0]), 2)
    0.82
    """
    given: str | Population | Mapping[str, Population]
    text: str | None = None if model is None else model_text(model)[0]
    if isinstance(population, Population | Mapping):
        given = population
    elif isinstance(population, str) and ("~" in population or "\n" in population):
        given = population
    else:
        spec = population if isinstance(population, SimulationSpec) else load_simulation(population)
        own, survey = sources(spec)
        given = _answers(spec, own, survey)
        text = own.syntax() if text is None else text
        nobs = spec.n if nobs is None else nobs
    if text is None:
        raise DataError("there is no model to test", hint="give model=..., such as 'Y ~ b*X'")
    if nobs is None:
        raise DataError("there is no number of rows", hint="give nobs=..., such as 200")
    return analytic_power(given, text, nobs=nobs, power=power, alpha=alpha, **options)


def _answers(spec: SimulationSpec, model: ModelSpec, survey: SurveySpec) -> Population:
    """Return the moments of standardized answers.

    Raises
    ------
    Unsupported
        Where the moments do not say enough, or are not those of the file's values.
    """
    values = build_population(spec, model, survey).standardized()
    reasons: Sequence[tuple[bool, str]] = (
        (bool(values.interactions), "products of latent variables"),
        (spec.groups is not None, "groups"),
        (bool(values.covariates), "facts that predict"),
        (spec.response.careless_share > 0, "careless answers"),
        (spec.response.missing_rate > 0, "missing answers"),
    )
    for present, what in reasons:
        if present:
            raise Unsupported(f"'{spec.id}' has {what}: its power does not follow from moments", hint=DRAW)
    items = values.items
    factor = attenuations(spec, survey, values, items)
    shrink = np.array([factor[item] for item in items])
    cov = values.item_cov() * np.outer(shrink, shrink)
    np.fill_diagonal(cov, 1.0)
    truth = {(lhs, op, rhs): value for lhs, op, rhs, value in values.truth()}
    return Population(tuple(items), cov, np.zeros(len(items)), truth)
