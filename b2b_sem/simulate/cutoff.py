"""``fit_cutoffs``: cut-offs of fit indices for one model and one sample size."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from b2b_sem.analysis.cutoff import derive_cutoffs
from b2b_sem.analysis.cutoff_recipe import Recipe, measurement_text, recipe_of, recipe_of_text
from b2b_sem.analysis.intake import model_text
from b2b_sem.analysis.montecarlo import Population
from b2b_sem.analysis.montecarlo import population as text_population
from b2b_sem.analysis.structural import fit as fit_model
from b2b_sem.errors import DataError, Unsupported, whole_number
from b2b_sem.results.cutoff import FitCutoffs
from b2b_sem.results.fit import FitResult
from b2b_sem.simulate.answer_moments import answer_population
from b2b_sem.simulate.respond import make_plan
from b2b_sem.spec.loader import load_simulation
from b2b_sem.spec.model import ModelSpec
from b2b_sem.spec.simulation import SimulationSpec
from b2b_sem.spec.statement import is_syntax

__all__ = ["fit_cutoffs"]


def fit_cutoffs(
    model: FitResult | str | Path | ModelSpec | None = None,
    *,
    population: str | os.PathLike[str] | SimulationSpec | Population | None = None,
    n: int | None = None,
    replications: int = 500,
    seed: int,
    jobs: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> FitCutoffs:
    """Return cut-offs of SRMR, RMSEA and CFI for a model at hand, by simulation (dynamic fit index cut-offs).

    The usual cut-offs come from one model with 15 items and three factors. Here samples are drawn from the estimates of
    the model itself, and from populations with hypothetical misspecifications of growing size: left-out
    cross-loadings with several factors (McNeish & Wolf 2023, doi:10.1037/met0000425), left-out correlations of
    residuals with one (McNeish & Wolf 2022, doi:10.3758/s13428-021-01847-y). A cut-off is the value that tells the two
    apart in at least 95% of both kinds of samples ("95/5"), else in 90% ("90/10"); else there is none.

    Cut-offs are those of the measurement part: of a model with regressions it is fitted again, with latent variables
    that covary freely, and its own indices are compared. They find misfit of the measurement, not of the paths.

    Parameters
    ----------
    model : FitResult, str, Path or ModelSpec
        A fit by ML, or by WLSMV or ULSMV with all items ordinal (samples are then cut at its thresholds; McNeish 2023,
        doi:10.1037/amp0001213). Or lavaan
        syntax with the standardized value of every loading and correlation: ``F =~ .7*x1 + .6*x2``, ``F ~~ .4*G``. With
        `population` the model that is going to be fitted.
    population : str, path, SimulationSpec or Population, optional
        Where the values come from before there are data: a simulation file, lavaan syntax with a number for every
        parameter, or moments. Without `model` that of the simulation file.
    n : int, optional
        Respondents. Default: those of the fit, or of the simulation file. Indices of the fit are compared at its own
        number only.
    replications : int
        Samples of each population.
    seed : int
    jobs : int
        Worker processes; the numbers do not depend on them.
    progress : callable, optional
        Called with the samples done and their total.

    Returns
    -------
    FitCutoffs
        ``table``: cut-offs by level and index; ``added``: what each level leaves out; ``conclusions()``.

    Raises
    ------
    DataError, ModelSyntaxError
        For arguments that cannot be used.
    ModelError
        If the measurement model cannot be fitted.
    Unsupported
        For models, estimators and data without a tested rule; see :func:`b2b_sem.analysis.cutoff.measurement_fit`.

    Examples
    --------
    >>> import b2b_sem as bs
    >>> found = bs.fit_cutoffs("F =~ .7*a + .6*b + .8*c + .5*d + .7*e + .6*f", n=300, replications=100, seed=1)
    >>> found.levels
    3
    """
    n = None if n is None else whole_number(n, "n", 2)
    if isinstance(model, FitResult):
        if population is not None:
            raise DataError("a fit has values of its own", hint="leave population out, or give the model as text")
        recipe = recipe_of(model)
    elif population is not None:
        recipe = _planned(model, population, n)
    elif model is None:
        raise DataError("there is no model", hint="give a fit, a standardized model, or population=...")
    else:
        text, file = model_text(model)
        if n is None:
            raise DataError("there is no number of respondents", hint="give n=..., such as 300", file=file)
        recipe = recipe_of_text(text, n, file)
    recipe = recipe if n is None else recipe.at(int(n))
    return derive_cutoffs(recipe, replications=replications, seed=seed, jobs=jobs, progress=progress)


def _planned(
    model: str | Path | ModelSpec | None,
    population: str | os.PathLike[str] | SimulationSpec | Population,
    n: int | None,
) -> Recipe:
    """Return the recipe for a model with the values that it has in a population."""
    text = None if model is None else model_text(model)[0]
    if isinstance(population, Population):
        moments = population
    elif is_syntax(population):
        moments = text_population(population)
    else:
        spec = population if isinstance(population, SimulationSpec) else load_simulation(population)
        plan = make_plan(spec)
        if spec.response.missing_rate > 0 or spec.missing is not None:
            raise Unsupported(
                f"'{spec.id}' has missing answers: cut-offs are known for complete rows only",
                hint="leave them out of the file",
            )
        moments = answer_population(plan).parts[0]
        text = plan.model.syntax() if text is None else text
        n = spec.n if n is None else n
    if text is None:
        raise DataError("there is no model", hint="give the model that is going to be fitted")
    if n is None:
        raise DataError("there is no number of respondents", hint="give n=..., such as 300")
    measured, items, notes = measurement_text(text)
    for item in items:
        if item not in moments.names:
            raise DataError(f"the population has no variable '{item}'", hint="check the names in both")
    at = [moments.names.index(item) for item in items]
    cov = pd.DataFrame(moments.cov[np.ix_(at, at)], index=items, columns=items)
    recipe = recipe_of(fit_model(measured, sample_cov=cov, nobs=int(n), engine="native", likelihood="wishart"))
    # the indices of a fit to moments without sampling error say nothing about data
    return replace(recipe, values={}, likelihood="normal", notes=(*notes, *recipe.notes))
