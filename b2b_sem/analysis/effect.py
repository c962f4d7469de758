"""Direct, indirect and total effects of a fitted model, with intervals of five kinds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import pandas as pd
from scipy import special

from b2b_sem.analysis.bootstrap import bootstrap as resample
from b2b_sem.analysis.fitted import Fit, context_of, part_context, refuse_ordinal
from b2b_sem.engine.base import Array, IntArray
from b2b_sem.engine.draw import multivariate_normal
from b2b_sem.engine.effect import MOST_PATHS, EffectMap, effect_draws, effects_at, find_effects
from b2b_sem.engine.group import GroupProblem
from b2b_sem.engine.standardize import RowValues
from b2b_sem.engine.threads import single_thread
from b2b_sem.errors import DataError, ModelSyntaxError, Unsupported, did_you_mean
from b2b_sem.measures.interval import interval, spread
from b2b_sem.results.bootstrap import BootstrapResult
from b2b_sem.results.effect import EFFECT_COLUMNS, EffectsResult, Replicates
from b2b_sem.results.fit import FitResult
from b2b_sem.spec.partable import ParameterTable

__all__ = ["INTERVALS", "check_replicates", "check_settings", "indirect_effects"]

INTERVALS: tuple[str, ...] = ("delta", "mc", "percentile", "bc", "bca")
NAN = float("nan")
#: A standard error this small beside its estimate, or beside 1, is that of a constant.
ZERO = np.sqrt(np.finfo(float).eps)


def indirect_effects(
    fit: FitResult,
    ci: str = "delta",
    level: float = 0.95,
    draws: int | None = None,
    seed: int = 1,
    outcome: str | Sequence[str] | None = None,
    predictor: str | Sequence[str] | None = None,
    bootstrap: Replicates | None = None,
    jobs: int = 1,
    group: str | None = None,
) -> EffectsResult:
    """Return all specific, direct, total indirect and total effects, and the ``:=`` parameters.

    The effects are found in the parameter table: every directed path of two or more regressions (``~``) between any
    two variables, latent or observed. Loadings are no effects, also those of second-order factors.

    Parameters
    ----------
    fit : FitResult
        As returned by :func:`b2b_sem.fit`.
    ci : {"delta", "mc", "percentile", "bc", "bca"}
        Delta method; Monte Carlo: percentiles of `draws` parameter vectors from the normal distribution of the
        estimates (Preacher & Selig 2012, doi:10.1080/19312458.2012.679848); or percentile, bias-corrected or
        bias-corrected and accelerated intervals of bootstrap replicates.
    level : float
        Confidence level.
    draws, seed : int
        Number of Monte Carlo draws (default 20,000) or bootstrap replicates (default 5,000), and their seed.
    group : str, optional
        Label of the group, for a fit of several groups; the estimates are those of the joint fit.
    outcome, predictor : str or sequence of str, optional
        Keep only effects on these outcomes, of these predictors.
    bootstrap : object, optional
        Replicates to use instead of new ones, with the attributes ``theta`` (R, q), ``jackknife`` (n, q) or None,
        and ``failed``: what :meth:`~b2b_sem.analysis.fitted.Fit.bootstrap` returns. Only that knows the moments of
        fixed exogenous variables in each replicate; for others they are those of the full sample.
    jobs : int
        Worker processes of the bootstrap.

    Returns
    -------
    EffectsResult
        Raw and standardized effects (``std_all``), each with SE, z, p and interval. The SE is that of the delta
        method (Sobel 1982, doi:10.2307/270723) or, with bootstrap intervals, the standard deviation of the
        replicates.

    Raises
    ------
    Unsupported
        For another kind of interval, a result read from a file, or a model that cannot be resampled.
    ModelSyntaxError
        If `outcome` or `predictor` is not part of the structural part of the model.
    DataError
        If level, draws or the replicates cannot be used.
    """
    if fit.groups:
        if group is None:
            raise Unsupported("effects are those of one group", hint=f"give group={fit.groups[0]!r} or another label")
        context = part_context(fit, group)
    elif group is not None:
        raise DataError(f"group={group!r}, but the fit has one group", hint="leave group out")
    else:
        context = context_of(fit)
    if ci == "mc" and not np.isfinite(context.vcov).all():
        raise Unsupported(
            "Monte Carlo intervals are drawn from the standard errors, and this fit has none",
            hint="fit again without se='none'" if context.problem.options.se == "none" else "see fit.warnings",
        )
    count = (20_000 if ci == "mc" else 5_000) if draws is None else draws
    check_settings(ci, level, count)
    if ci != "delta":
        refuse_ordinal(context.problem, f"intervals of effects by ci='{ci}'", "use ci='delta'")
    if ci in ("percentile", "bc", "bca"):
        if bootstrap is None:
            bootstrap = resample(cast(Fit, fit), count, seed=seed, jobs=jobs, ci=ci, level=level)
        check_replicates(ci, bootstrap, context_of(fit).problem.table.nfree)
    problem = context.problem
    with single_thread():
        everything = find_effects(problem.table, problem.structure, (), ())
        effects = find_effects(
            problem.table,
            problem.structure,
            _names("outcome", outcome, everything, problem.table.file),
            _names("predictor", predictor, everything, problem.table.file),
        )
        theta = context.solution.theta
        raw, std = effects_at(problem, effects, theta)
        vcov = context.vcov if fit.converged else np.full_like(context.vcov, NAN)
        columns = _wald(raw, vcov, level, ""), _wald(std, vcov, level, "_std")
        failed, used = 0, 0
        place, rows = _whereabouts(fit, group)
        exo, exo_left_out = _exogenous(problem.table, bootstrap if ci != "mc" else None, rows)
        if ci != "delta":
            if bootstrap is not None and ci != "mc":
                thetas, failed = np.asarray(bootstrap.theta, dtype=float)[:, place], int(bootstrap.failed)
                # replicates that failed may be in the array as NaN, or left out of it
                failed = max(failed - int((~np.isfinite(thetas).all(axis=1)).sum()), 0)
            elif np.isfinite(vcov).all():
                rng = np.random.default_rng(np.random.SeedSequence(seed))
                thetas = multivariate_normal(theta, vcov, count, rng)
            else:
                thetas = np.full((count, len(theta)), NAN)
            used = len(thetas) + failed
            stacks = effect_draws(problem, effects, thetas, exo)
            failed += int((~np.isfinite(np.concatenate(stacks, axis=1)).all(axis=1)).sum())
            jackknife: tuple[Array | None, Array | None] = (None, None)
            if ci == "bca" and bootstrap is not None and bootstrap.jackknife is not None:
                left_out_thetas = np.asarray(bootstrap.jackknife, dtype=float)[:, place]
                jackknife = effect_draws(problem, effects, left_out_thetas, exo_left_out)
            for part, values, stack, left_out, ending in zip(
                columns, (raw, std), stacks, jackknife, ("", "_std"), strict=True
            ):
                _replace(part, values, stack, left_out, ci, level, ending)
    stable = bool(np.isfinite(raw.value[_is_pair(effects)]).all())
    table = pd.DataFrame(
        {
            "kind": [e.kind for e in effects.effects],
            "outcome": [e.outcome for e in effects.effects],
            "predictor": [e.predictor for e in effects.effects],
            "path": [e.path for e in effects.effects],
            **columns[0],
            **columns[1],
        },
        columns=list(EFFECT_COLUMNS),
    )
    return EffectsResult(
        ci,
        level,
        used,
        failed,
        None if ci == "delta" else seed,
        stable,
        _notes(fit, effects, ci, used, failed, stable),
        table,
    )


def check_settings(ci: str, level: float, draws: int) -> None:
    """Refuse a kind of interval, a level or a number of draws that cannot be used."""
    if ci not in INTERVALS:
        raise Unsupported(
            f"ci={ci!r} is not available.{did_you_mean(str(ci), INTERVALS)}", hint="use " + ", ".join(INTERVALS)
        )
    if not 0.0 < level < 1.0:
        raise DataError(f"the confidence level must lie between 0 and 1, not {level}", hint="use level=0.95")
    if ci != "delta" and draws < 100:
        raise DataError(f"{draws} draws are too few for an interval", hint="use draws=5000 or more")


def check_replicates(ci: str, bootstrap: Replicates, q: int) -> None:
    """Refuse replicates that are not those of a model with `q` parameters, or too little for an interval."""
    shape = np.shape(bootstrap.theta)
    if len(shape) != 2 or shape[1] != q or not shape[0]:
        raise DataError(
            f"bootstrap replicates of shape {shape} do not belong to this model with {q} free parameters",
            hint="use the bootstrap of this very fit",
        )
    if ci == "bca" and bootstrap.jackknife is None:
        raise Unsupported(
            "ci='bca' needs the jackknife: the estimates without each row in turn",
            hint="make the replicates with ci='bca', or use ci='percentile' or ci='bc'",
        )


def _whereabouts(fit: FitResult, group: str | None) -> tuple[IntArray | slice, int]:
    """Return where the parameters of a group stand among all, and how many rows of other groups are before its own."""
    problem = context_of(fit).problem
    if group is None or not isinstance(problem, GroupProblem):
        return slice(None), 0
    g = fit.groups.index(str(group))
    return problem.places[g], sum(len(part.table.rows) for part in problem.parts[:g])


def _exogenous(table: ParameterTable, bootstrap: Replicates | None, before: int) -> tuple[Array | None, Array | None]:
    """Return the moments that the data fix in each replicate and each leave-one-out sample, where they are known."""
    if not isinstance(bootstrap, BootstrapResult):
        return None, None
    at = [before + i for i, row in enumerate(table.rows) if row.exo]
    left_out = bootstrap.jackknife_values
    return bootstrap.values[:, at], None if left_out is None else left_out[:, at]


def _names(
    which: str, given: str | Sequence[str] | None, effects: EffectMap, file: str | None
) -> tuple[str, ...] | None:
    if given is None:
        return None
    names = (given,) if isinstance(given, str) else tuple(given)
    for name in names:
        if name not in effects.names:
            raise ModelSyntaxError(
                f"{which} '{name}' has no part in the regressions of the model.{did_you_mean(name, effects.names)}",
                file=file,
                hint="the regressions are about " + ", ".join(effects.names) if effects.names else None,
            )
    return names


def _wald(values: RowValues, vcov: Array, level: float, ending: str) -> dict[str, Array]:
    jacobian = values.jacobian
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = np.einsum("rq,qs,rs->r", jacobian, vcov, jacobian, optimize=True)
        se = np.sqrt(np.where(variance > -1e-20, np.maximum(variance, 0.0), NAN))
        # what is fixed in the model has no test
        size = np.abs(jacobian) @ np.sqrt(np.maximum(np.diag(vcov), 0.0))
        se = np.where(se <= ZERO * size, 0.0, se)
        return _columns(values.value, se, level, ending)


def _columns(value: Array, se: Array, level: float, ending: str) -> dict[str, Array]:
    with np.errstate(invalid="ignore", divide="ignore"):
        z = np.where(se > 0, value / se, NAN)
    quantile = float(special.ndtri(0.5 + level / 2))
    return {
        f"est{ending}": value,
        f"se{ending}": se,
        f"z{ending}": z,
        f"pvalue{ending}": 2.0 * special.ndtr(-np.abs(z)),
        f"ci_lower{ending}": value - quantile * se,
        f"ci_upper{ending}": value + quantile * se,
    }


def _replace(
    columns: dict[str, Array],
    values: RowValues,
    stack: Array,
    left_out: Array | None,
    ci: str,
    level: float,
    ending: str,
) -> None:
    """Put the interval of the replicates, and for a bootstrap their SD, in the place of the delta method's."""
    constant = columns[f"se{ending}"] == 0.0
    lower, upper = interval(stack, values.value, "percentile" if ci == "mc" else ci, level, left_out)
    if ci != "mc":
        se = spread(stack)[1]
        columns.update(_columns(values.value, np.where(constant, 0.0, se), level, ending))
    columns[f"ci_lower{ending}"] = np.where(constant | ~np.isfinite(values.value), values.value, lower)
    columns[f"ci_upper{ending}"] = np.where(constant | ~np.isfinite(values.value), values.value, upper)


def _is_pair(effects: EffectMap) -> np.ndarray:
    return np.array([e.kind in ("indirect", "total") for e in effects.effects], dtype=bool)


def _notes(fit: FitResult, effects: EffectMap, ci: str, used: int, failed: int, stable: bool) -> tuple[str, ...]:
    notes = []
    if fit.failure:
        notes.append(f"These effects must not be interpreted: {fit.failure}.")
    if effects.unlisted:
        notes.append(
            f"There are more than {MOST_PATHS} specific indirect effects: they are not listed. Name an outcome or a "
            "predictor to see those of one."
        )
    if effects.cyclic:
        notes.append(
            "The model has a loop: specific effects are those of paths that pass no variable twice; total effects "
            "count every turn of the loop."
        )
    if not stable:
        notes.append(
            "The loop is not stable (largest absolute eigenvalue of the coefficients 1 or more): total and indirect "
            "effects do not exist."
        )
    if failed:
        what = "draws" if ci == "mc" else "bootstrap replicates"
        notes.append(
            f"{failed} of {used} {what} gave no value for at least one effect and are left out of its interval."
        )
    return tuple(notes)
