"""Residuals of a fitted model: sample minus implied moments, raw, as correlations, and divided by standard errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from b2b_sem.analysis.fitted import Context, context_of
from b2b_sem.engine.base import Array, moments_divisor
from b2b_sem.engine.group import GroupProblem, solution_at
from b2b_sem.engine.native.loss import evaluate
from b2b_sem.engine.residual import ResidualSpread, residual_core, residual_spread
from b2b_sem.engine.threads import single_thread
from b2b_sem.errors import ModelError, Unsupported, did_you_mean
from b2b_sem.results.fit import FitResult
from b2b_sem.spec.partable import ParameterTable

__all__ = ["RESIDUAL_KINDS", "residuals"]

_SCALES = ("raw", "cor_bentler", "cor_bollen")
_TESTS = ("normalized", "standardized", "standardized_mplus")
RESIDUAL_KINDS: tuple[str, ...] = ("raw", "cor", "cor_bollen", "cor_bentler", *_TESTS)


def residuals(fit: FitResult, kind: str = "raw", *, se: bool = False) -> dict[str, Any]:
    """Return sample minus implied moments, as lavaan's ``lavResiduals``.

    Parameters
    ----------
    fit : FitResult
    kind : str
        ``"raw"``: S - Sigma, and m - mu under a mean structure. ``"cor_bollen"`` (or ``"cor"``): both matrices turned
        into correlations first. ``"cor_bentler"``: divided by the sample standard deviations, as in SRMR; for both,
        mean residuals are divided by the sample standard deviations. ``"normalized"``: raw residuals divided by the
        standard errors of the sample moments. ``"standardized"``: divided by the standard errors of the residuals
        (Maydeu-Olivares 2017, doi:10.1007/s11336-016-9552-7), so that they are z values. ``"standardized_mplus"``: with
        the variances Gamma / n - Delta V Delta', NaN where those are negative. Dots may stand for underscores.
    se : bool
        Add the standard errors of the residuals and, for the first four kinds, z.

    Returns
    -------
    dict
        ``"cov"`` (DataFrame) and, under a mean structure, ``"mean"`` (Series); with `se` also ``"cov_se"``,
        ``"cov_z"``, ``"mean_se"``, ``"mean_z"``. A residual that is 0 by
        construction has SE 0 and z 0. For several groups a dict of this by label.

    Raises
    ------
    Unsupported
        For another kind; for standard errors of a result read from a file or under another estimator than maximum
        likelihood with expected information.
    """
    name = str(kind).replace(".", "_")
    name = "cor_bollen" if name == "cor" else name
    if name not in RESIDUAL_KINDS:
        raise Unsupported(
            f"residuals of kind '{kind}' are not available.{did_you_mean(str(kind), RESIDUAL_KINDS)}",
            hint="use " + ", ".join(map(repr, RESIDUAL_KINDS)),
        )
    scale = name if name in _SCALES else "raw"
    wanted = name != scale or se
    which = name if name in _TESTS else "standardized"
    if fit.groups:
        sample, implied = fit.sample(), fit.implied()
        parts = {label: _moments(sample[label], implied[label], scale) for label in fit.groups}
        if not wanted:
            return parts
        spreads = _group_spreads(fit, which, scale)
        return {label: _divided(parts[label], own, name, se) for label, own in zip(parts, spreads, strict=True)}
    out = _moments(fit.sample(), fit.implied(), scale)
    return _divided(out, _spread(fit, which, scale), name, se) if wanted else out


def _divided(out: dict[str, Any], spread: ResidualSpread, name: str, se: bool) -> dict[str, Any]:
    """Return residuals with standard errors and z, or z alone where that is the kind of residual."""
    errors: dict[str, Any] = {"cov": pd.DataFrame(spread.cov, index=out["cov"].index, columns=out["cov"].columns)}
    if spread.mean is not None:
        errors["mean"] = pd.Series(spread.mean, index=out["mean"].index)
    z = {part: _ratio(out[part], errors[part]) for part in errors}
    if name in _TESTS:
        return z | ({f"{part}_se": value for part, value in errors.items()} if se else {})
    for part, value in errors.items():
        out[f"{part}_se"] = value
        out[f"{part}_z"] = z[part]
    return out


def _moments(sample: dict[str, Any], implied: dict[str, Any], scale: str) -> dict[str, Any]:
    """Return the residuals on one of the three scales."""
    s, sigma = sample["cov"], implied["cov"]
    out: dict[str, Any] = {}
    with np.errstate(invalid="ignore", divide="ignore"):
        sd = np.sqrt(np.diag(s))
        if scale == "raw":
            out["cov"] = s - sigma
        else:
            own = sd if scale == "cor_bentler" else np.sqrt(np.diag(sigma))
            out["cov"] = s / np.outer(sd, sd) - sigma / np.outer(own, own)
    if "mean" in sample and "mean" in implied:
        unit = pd.Series(sd, index=s.index).loc[list(sample["mean"].index)]  # ordinal items have no mean
        out["mean"] = (sample["mean"] - implied["mean"]) / (1.0 if scale == "raw" else unit)
    for part in ("th", "slopes"):
        if part in sample and part in implied:
            out[part] = sample[part] - implied[part]
    return out


def _ratio(value: Any, error: Any) -> Any:
    """Return value / error, 0 for a residual that is 0 by construction."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return (value / error.where(error != 0.0, 1.0)).where(error != 0.0, 0.0)


def _check(fit: FitResult) -> Context:
    """Return what the fit was made from, or say why its residuals have no standard errors."""
    context = context_of(fit)
    problem = context.problem
    options = fit.model.options
    plain = problem.options.estimator == "ML" and problem.options.information == "expected"
    plain = plain and problem.options.missing == "listwise"
    if not plain or options.get("se", "standard") not in ("standard", "default"):
        raise Unsupported(
            "standard errors of residuals are available for estimator='ML' with expected information and standard "
            "errors and without missing='fiml' only",
            hint="use kind='raw', 'cor_bollen' or 'cor_bentler' without standard errors",
        )
    if fit.groups and problem.options.likelihood != "normal":
        raise Unsupported(
            "standard errors of residuals of several groups are not available for likelihood='wishart'",
            hint="leave likelihood out",
        )
    return context


def _group_spreads(fit: FitResult, kind: str, scale: str) -> list[ResidualSpread]:
    """Return the standard errors of the residuals of each group."""
    context = _check(fit)
    problem = context.problem
    assert isinstance(problem, GroupProblem)
    vcov: Array = context.vcov if fit.converged else np.full_like(context.vcov, np.nan)
    with single_thread():
        at = solution_at(problem, context.observed, context.solution.theta)
        pieces = [
            (part.structure, part.moments, own.point, _given(part.table))
            for part, own in zip(problem.parts, at.parts, strict=True)
        ]
        total = np.zeros_like(vcov)
        for part, place, (structure, moments, point, given) in zip(problem.parts, problem.places, pieces, strict=True):
            total[np.ix_(place, place)] += part.nobs * residual_core(structure, moments, point, given)
        out = []
        for part, place, (structure, moments, point, given) in zip(problem.parts, problem.places, pieces, strict=True):
            n, own_vcov = part.nobs, vcov[np.ix_(place, place)]
            joint = n * vcov[place], total / n
            out.append(residual_spread(structure, moments, point, own_vcov, n, given, kind, scale, joint))
    return out


def _given(table: ParameterTable) -> list[int]:
    """Return the places of the variables taken as fixed."""
    return [table.observed.index(v) for v in table.exogenous] if table.fixed_x else []


def _spread(fit: FitResult, kind: str, scale: str) -> ResidualSpread:
    context = _check(fit)
    problem = context.problem
    table = problem.table
    with single_thread():
        point = evaluate(problem.structure, problem.moments, context.solution.theta)
        if point is None:
            raise ModelError("the covariance matrix implied at the solution is not positive definite")
        vcov: Array = context.vcov if fit.converged else np.full_like(context.vcov, np.nan)
        return residual_spread(
            problem.structure,
            problem.moments,
            point,
            vcov,
            moments_divisor(problem.nobs, problem.options.likelihood),
            _given(table),
            kind,
            scale,
        )
