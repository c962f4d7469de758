"""From a solution to everything that is reported: one place for all engines.

Standard errors, tests, intervals, standardized solutions, R2, the baseline model, fit measures and warnings are all
computed here from the estimates, whichever engine found them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from b2b_sem.engine.base import Array, EngineFit, FitOptions, moments_divisor
from b2b_sem.engine.corrected import corrected_measures
from b2b_sem.engine.native.casewise import Casewise
from b2b_sem.engine.native.constraint import LinearConstraints
from b2b_sem.engine.native.implied import Implied, Structure
from b2b_sem.engine.native.information import Precision, invert_information
from b2b_sem.engine.native.loss import Moments, evaluate
from b2b_sem.engine.robust import Rows
from b2b_sem.engine.scaled import Solution, baseline, scaled_measures, scaled_test
from b2b_sem.engine.standardize import RowValues, row_values, standardize
from b2b_sem.errors import ModelError
from b2b_sem.measures import fit as fm
from b2b_sem.spec.partable import ParameterTable, Row

__all__ = [
    "Inference",
    "Pieces",
    "Tested",
    "check_admissible",
    "count_df",
    "explained",
    "indices",
    "infer",
    "measure_names",
    "solution_warnings",
    "wald",
    "without_errors",
]

NAN = float("nan")
#: A standard error below this is one of a quantity that is fixed by construction, such as a standardized variance of 1.
ZERO_SE = math.sqrt(np.finfo(float).eps)


@dataclass(frozen=True)
class Tested:
    """Values of all rows with Wald tests and intervals, each of shape (R + D,)."""

    value: Array
    se: Array
    z: Array
    pvalue: Array
    lower: Array
    upper: Array


@dataclass(frozen=True)
class Inference:
    """All numbers of a fit, in the order of the table's rows and definitions."""

    raw: Tested
    std_lv: Array
    std_all: Tested
    r2: dict[str, float]
    measures: dict[str, float]
    implied: Implied
    vcov: Array
    identified: bool
    admissible: bool
    warnings: tuple[str, ...]


def count_df(table: ParameterTable, constraints: LinearConstraints | None) -> tuple[int, int, int]:
    """Return (moments that count, free parameters, degrees of freedom).

    Moments among exogenous variables taken as fixed do not count.
    """
    p = len(table.observed)
    x = len(table.exogenous)
    moments = p * (p + 1) // 2 + (p if table.meanstructure else 0)
    if table.fixed_x:
        moments -= x * (x + 1) // 2 + (x if table.meanstructure else 0)
    free = table.nfree - (constraints.rank if constraints is not None else 0)
    return moments, free, moments - free


def infer(
    table: ParameterTable,
    structure: Structure,
    moments: Moments,
    nobs: int,
    fixed: dict[str, float],
    solution: EngineFit,
    options: FitOptions,
    *,
    constraints: LinearConstraints | None = None,
    rows: Rows | None = None,
    level: float = 0.95,
    casewise: Casewise | None = None,
) -> Inference:
    """Compute all inference at a solution.

    Parameters
    ----------
    table, structure, moments : ParameterTable, Structure, Moments
    nobs : int
        Rows used.
    fixed : dict
        Values of exogenous moments by row name.
    solution : EngineFit
    options : FitOptions
    constraints : LinearConstraints, optional
    rows : Rows, optional
        The data, where the options need them.
    level : float
        Confidence level of the intervals.
    casewise : Casewise, optional
        The rows, if those with holes were used.

    Raises
    ------
    ModelError
        If the solution has no positive definite covariance matrix, or a defined parameter no value.
    """
    point = evaluate(structure, moments, solution.theta)
    if point is None:
        raise ModelError("the covariance matrix implied at the solution is not positive definite")
    n = moments_divisor(nobs, options.likelihood)
    at = Solution(structure, moments, point, options, rows, constraints)
    precision = invert_information(at.metric, n, constraints)
    plain = options.se == "standard" and options.information == "expected" and at.casewise is None
    vcov = at.vcov(n) if precision.identified and not plain else precision.vcov
    raw = row_values(table, solution.theta, fixed)
    std_lv, std_all = standardize(table, structure, point.implied, raw)
    trusted = solution.converged
    constrained = constraints is not None
    tested = wald(raw, vcov, level, trusted, constrained=constrained)
    admissible, problems = check_admissible(table, structure, point.implied, raw)
    return Inference(
        raw=tested,
        std_lv=std_lv.value,
        std_all=wald(std_all, vcov, level, trusted, drop_zero=True, constrained=constrained),
        r2=explained(table, std_all.value),
        measures=_measures(table, at, nobs, n, trusted, casewise),
        implied=point.implied,
        vcov=vcov,
        # without standard errors that were asked for nothing may be said about the parameters
        identified=precision.identified and (options.se == "none" or bool(np.isfinite(vcov).all())),
        admissible=admissible,
        warnings=(
            *solution_warnings(table, solution, precision, constraints),
            *without_errors(at, precision, vcov),
            *problems,
        ),
    )


def wald(
    values: RowValues,
    vcov: Array,
    level: float,
    trusted: bool,
    *,
    drop_zero: bool = False,
    constrained: bool = False,
) -> Tested:
    """Wald tests and intervals of all rows; a row without a standard error of its own gets none."""
    jacobian = values.jacobian
    variance = np.einsum("rq,qs,rs->r", jacobian, vcov, jacobian, optimize=True)
    if constrained:  # what constraints pin has no variance: only rounding is left of the terms that cancel
        size = np.einsum("rq,qs,rs->r", np.abs(jacobian), np.abs(vcov), np.abs(jacobian), optimize=True)
        variance = np.where(np.abs(variance) <= 1e-13 * size, 0.0, variance)
    constant = ~jacobian.any(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        se = np.sqrt(np.where(variance < 0, np.where(variance > -1e-20, 0.0, NAN), variance))
        se = np.where(constant, 0.0, se)
        if not trusted:
            se = np.full_like(se, NAN)
        if drop_zero:
            se = np.where(se < ZERO_SE, 0.0, se)
        z = np.where(se > 0, values.value / se, NAN)
    quantile = float(special.ndtri(0.5 + level / 2))
    return Tested(
        values.value,
        se,
        z,
        2.0 * special.ndtr(-np.abs(z)),
        values.value - quantile * se,
        values.value + quantile * se,
    )


def explained(table: ParameterTable, std_all: Array) -> dict[str, float]:
    """Return 1 - standardized residual variance of every indicator and outcome."""
    predicted = {r.rhs for r in table.rows if r.op == "=~"} | {r.lhs for r in table.rows if r.op == "~"}
    out = {}
    for i, row in enumerate(table.rows):
        if row.op == "~~" and row.lhs == row.rhs and row.lhs in predicted:
            value = 1.0 - float(std_all[i])
            out[row.lhs] = value if value <= 1.0 else NAN
    return out


def measure_names(options: FitOptions, casewise: bool) -> tuple[str, ...]:
    """Return the measures that a fit has, in order."""
    from b2b_sem.results.columns import MEASURE_NAMES, ROBUST_MEASURE_NAMES, SCALED_MEASURE_NAMES

    scaled = options.test != "standard"
    names = MEASURE_NAMES + (SCALED_MEASURE_NAMES if scaled else ())
    robust = casewise or (scaled and options.test != "mean.var.adjusted")
    return names + (ROBUST_MEASURE_NAMES if robust else ())


def _measures(
    table: ParameterTable,
    at: Solution,
    nobs: int,
    n: int,
    trusted: bool,
    casewise: Casewise | None,
) -> dict[str, float]:
    moments, implied, options, constraints = at.moments, at.point.implied, at.options, at.constraints
    scaled = options.test != "standard"
    names = measure_names(options, casewise is not None)
    p = len(table.observed)
    x = [table.observed.index(v) for v in table.exogenous]
    _, npar, df = count_df(table, constraints)
    all_moments = p * (p + 1) // 2 + (p if table.meanstructure else 0)
    out: dict[str, float] = {"npar": npar, "df": df, "ntotal": nobs}
    if not trusted:
        return {name: out.get(name, NAN) for name in names}
    cov, mean, sigma, mu = moments.cov, moments.mean, implied.sigma, implied.mu
    if not table.meanstructure:
        mean = None
    value = max(at.point.value, 0.0) * at.unit
    chisq = n * value
    origin, base_value, base_df = baseline(table, moments, options, at.rows)
    base = n * max(base_value, 0.0)
    given = x if table.fixed_x else None
    weight = moments.weight
    if weight is None:
        logl = fm.log_likelihood(cov, mean, sigma, mu, nobs, given=given)
        unrestricted = fm.log_likelihood(cov, None, cov, None, nobs, given=given)
        gfi = fm.gfi(cov, sigma, mean, mu, given=given)
    else:
        logl, unrestricted = NAN, NAN
        gfi = weight.gfi(moments, implied)
    if at.casewise is not None:
        logl, unrestricted = at.casewise.log_likelihood(at.point.value), at.casewise.log_likelihood(0.0)
    out |= indices(
        options,
        Pieces(value if weight is None else chisq / nobs, chisq, df, base, base_df, logl, unrestricted, npar, nobs, n),
        fm.rmr(cov, sigma, mean, mu),
        fm.srmr(cov, sigma, mean, mu),
        gfi,
        all_moments,
    )
    if scaled:
        test, null = scaled_test(at, chisq, df), scaled_test(origin, base, base_df)
        out |= scaled_measures(test, null, chisq, df, base, base_df, n, options.test)
    if casewise is not None:
        out |= corrected_measures(at, origin, casewise, nobs, df, base_df)
    return {name: out[name] for name in names}


@dataclass(frozen=True)
class Pieces:
    """What fit indices are made of.

    Attributes
    ----------
    value : float
        Twice the minimum that is reported.
    chisq, df, base, base_df : float, int
        Tests of the model and of the baseline model.
    logl, unrestricted : float
    npar, nobs, n : int
        Free parameters, rows, multiplier of the fit function.
    groups : int
    """

    value: float
    chisq: float
    df: int
    base: float
    base_df: int
    logl: float
    unrestricted: float
    npar: int
    nobs: int
    n: int
    groups: int = 1


def indices(options: FitOptions, of: Pieces, rmr: float, srmr: float, gfi: float, all_moments: int) -> dict[str, float]:
    """Return the fit indices without correction.

    With G groups RMSEA and its bounds are multiplied by sqrt(G) (Steiger 1998, doi:10.1080/10705519809540115).
    """
    chisq, df, base, base_df, npar, nobs, n = of.chisq, of.df, of.base, of.base_df, of.npar, of.nobs, of.n
    logl, root = of.logl, math.sqrt(of.groups)
    # without a likelihood or a weight from the data the statistic has no known distribution
    tested = options.estimator != "ULS"
    lower, upper = fm.rmsea_ci(chisq, df, n)
    return {
        "fmin": of.value / 2,
        "chisq": chisq,
        "pvalue": fm.chisq_pvalue(chisq, df) if tested else NAN,
        "baseline_chisq": base,
        "baseline_df": base_df,
        "baseline_pvalue": fm.chisq_pvalue(base, base_df) if tested else NAN,
        "cfi": fm.cfi(chisq, df, base, base_df),
        "tli": fm.tli(chisq, df, base, base_df),
        "nnfi": fm.tli(chisq, df, base, base_df),
        "rfi": fm.rfi(chisq, df, base, base_df),
        "nfi": fm.nfi(chisq, df, base, base_df),
        "pnfi": fm.pnfi(chisq, df, base, base_df),
        "ifi": fm.ifi(chisq, df, base),
        "rni": fm.rni(chisq, df, base, base_df),
        "logl": logl,
        "unrestricted_logl": of.unrestricted,
        "aic": fm.aic(logl, npar),
        "bic": fm.bic(logl, npar, nobs),
        "bic2": fm.bic2(logl, npar, nobs),
        "rmsea": root * fm.rmsea(chisq, df, n),
        "rmsea_ci_lower": root * lower,
        "rmsea_ci_upper": root * upper,
        "rmsea_pvalue": fm.rmsea_pvalue(chisq, df, n, 0.05 / root),
        "rmr": rmr,
        "srmr": srmr,
        "cn_05": fm.critical_n(chisq, df, n, 0.05),
        "cn_01": fm.critical_n(chisq, df, n, 0.01),
        "gfi": gfi,
        "agfi": fm.agfi(gfi, all_moments, df),
        "pgfi": fm.pgfi(gfi, all_moments, df),
        "mfi": fm.mfi(chisq, df, n),
        "ecvi": fm.ecvi(chisq, npar, n),
    }


def without_errors(at: Solution, precision: Precision, vcov: Array) -> list[str]:
    """Say why an identified model has no standard errors although they were asked for."""
    if not precision.identified or at.options.se == "none" or np.isfinite(vcov).all():
        return []
    return [
        f"The {at.options.information} information is not positive definite at the solution: there are no standard "
        "errors. Use information='expected', or simplify the model."
    ]


def solution_warnings(
    table: ParameterTable, solution: EngineFit, precision: Precision, constraints: LinearConstraints | None
) -> list[str]:
    """Return what a reader must know about the solution before any number: convergence, identification, constraints."""
    out = []
    if not solution.converged:
        out.append(
            f"The estimation did not converge after {solution.iterations} iterations ({solution.message}; scaled "
            f"gradient {solution.gradient:.1e}). The numbers must not be used: check the model for parameters the "
            "data say nothing about, fix or remove them, or give starting values with start()."
        )
    if not precision.identified:
        names = [_named(table, r) for k in precision.unidentified for r in table.rows if r.free == k + 1]
        out.append(
            "The model is not identified: the data do not determine "
            f"{_listed(names)}. Standard errors cannot be computed: fix one of these parameters or simplify the model."
        )
    if constraints is not None and constraints.redundant:
        out.append(f"Redundant constraints were ignored: {_listed(constraints.redundant)}.")
    if constraints is not None and constraints.idle:
        out.append(f"Constraints without a free parameter restrict nothing: {_listed(constraints.idle)}.")
    if constraints is not None and constraints.active:
        out.append(
            f"The solution lies on the boundary of: {_listed(constraints.active)}. Standard errors take these as "
            "equations, degrees of freedom do not; the chi-square test is then only approximate (its distribution is "
            "a mixture)."
        )
    return out


def _named(table: ParameterTable, row: Row) -> str:
    return f"{row.name} (group {table.groups[row.group - 1]})" if table.groups else row.name


def _listed(names: tuple[str, ...] | list[str], most: int = 6) -> str:
    shown = ", ".join(dict.fromkeys(names[:most]))
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def check_admissible(
    table: ParameterTable, structure: Structure, implied: Implied, raw: RowValues
) -> tuple[bool, list[str]]:
    """Check for negative variances and improper covariance matrices (Heywood cases)."""
    problems = []
    negative = [
        (row.lhs, float(raw.value[i]))
        for i, row in enumerate(table.rows)
        if row.op == "~~" and row.lhs == row.rhs and raw.value[i] < 0
    ]
    if negative:
        shown = _listed([f"{name} ({value:.3g})" for name, value in negative])
        problems.append(
            f"Heywood case: negative variance of {shown}. The solution is not admissible: check these items "
            "(too few indicators, an outlier, a wrong reverse key), or fix the variance at 0 and say so."
        )
    k = structure.nlatent
    if k:
        cov = implied.eta_cov[:k, :k]
        if (np.diag(cov) > 0).all():
            sd = np.sqrt(np.diag(cov))
            cor = cov / np.outer(sd, sd)
            if np.linalg.eigvalsh(cor)[0] < -1e-8:
                size = np.abs(np.tril(cor, -1))
                i, j = np.unravel_index(int(size.argmax()), size.shape)
                problems.append(
                    "The covariance matrix of the latent variables is not positive definite (largest correlation: "
                    f"{structure.eta[i]} with {structure.eta[j]}, {cor[i, j]:.3f}). The solution is not admissible: "
                    "these constructs may be one, or a path is missing."
                )
        elif not negative:
            problems.append("A latent variable has a negative implied variance. The solution is not admissible.")
    # residual correlations with auxiliary variables are no part of the model: only all together must be proper
    if not negative and _indefinite(_without(table.auxiliary, implied.theta, structure.observed)):
        problems.append(
            "The covariance matrix of the residuals is not positive definite. The solution is not admissible: look "
            "at the residual covariances of the model."
        )
    if not problems and _indefinite(_without(table.auxiliary, implied.psi, structure.eta)):
        problems.append(
            "The covariance matrix of the (residual) latent terms is not positive definite. The solution is not "
            "admissible: look at the covariances of the model."
        )
    return not problems, problems


def _without(names: tuple[str, ...], matrix: Array, labels: tuple[str, ...] | list[str]) -> Array:
    keep = [i for i, label in enumerate(labels) if label not in names]
    return matrix[np.ix_(keep, keep)] if names else matrix


def _indefinite(matrix: Array) -> bool:
    diagonal = np.diag(matrix)
    scale = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    return bool(len(matrix) and np.linalg.eigvalsh(matrix / np.outer(scale, scale))[0] < -1e-8)
