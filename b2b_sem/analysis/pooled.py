"""Chi-squares, fit measures and tests pooled over fits to imputed data sets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from b2b_sem.analysis.fitted import Context, context_of
from b2b_sem.engine.base import Array, moments_divisor
from b2b_sem.engine.group import GroupProblem, solve_groups, with_parts
from b2b_sem.engine.native.implied import Implied, compile_structure
from b2b_sem.engine.native.loss import make_moments
from b2b_sem.engine.problem import Problem, solve
from b2b_sem.engine.scaled import ScaledTest, scaled_measures
from b2b_sem.engine.threads import single_thread
from b2b_sem.errors import ModelError, Unsupported, did_you_mean
from b2b_sem.measures import fit as fm
from b2b_sem.measures.difference import Difference, satorra_bentler_2001
from b2b_sem.measures.pooling import PooledF, pool_d1, pool_d2, pool_d3, pool_d4
from b2b_sem.results.imputation import PooledTest
from b2b_sem.results.test import ComparisonResult
from b2b_sem.spec.partable import ParameterTable

if TYPE_CHECKING:
    from b2b_sem.analysis.fitted import Fit
    from b2b_sem.analysis.imputation import PooledFit
    from b2b_sem.results.fit import FitResult

__all__ = ["PooledChisq", "compare_pooled", "pool_chisq", "pooled_measures", "pooled_test", "pooled_wald"]

NAN = float("nan")
METHODS = ("D2", "D3", "D4")
#: Tests whose correction is more than a factor: their differences are corrected in each data set.
ADJUSTED = ("scaled.shifted", "mean.var.adjusted")


@dataclass(frozen=True)
class PooledChisq:
    """Chi-squares of a model and of its baseline model, pooled.

    Attributes
    ----------
    method : {"D2", "D3"}
    model : PooledF or None
        None for a saturated model.
    baseline : PooledF
    logl, unrestricted_logl : float
        Means over the data sets at the pooled estimates; NaN without a likelihood.
    """

    method: str
    model: PooledF | None
    baseline: PooledF
    logl: float
    unrestricted_logl: float


def has_likelihood(context: Context) -> bool:
    """Whether D3 and D4, which need normal log-likelihoods, are defined."""
    options = context.problem.options
    return options.estimator == "ML" and options.likelihood == "normal"


def chisq_method(context: Context) -> str:
    """Return how the chi-square of such fits is pooled: by likelihoods where there are some, as in semTools."""
    return "D3" if has_likelihood(context) and context.problem.options.test != "scaled.shifted" else "D2"


def problems_of(context: Context) -> tuple[Problem, ...]:
    """Return the problem of each group, or the only one."""
    problem = context.problem
    return problem.parts if isinstance(problem, GroupProblem) else (problem,)


def mean_log_likelihood(contexts: Sequence[Context], at: Sequence[tuple[Array, Array | None]]) -> float:
    """Return the mean over the data sets of the log-likelihood, conditional on fixed covariates.

    Parameters
    ----------
    contexts : sequence of Context
    at : sequence of (sigma, mu)
        Moments of each group.
    """
    total = 0.0
    for context in contexts:
        for problem, (sigma, mu) in zip(problems_of(context), at, strict=True):
            table, moments = problem.table, problem.moments
            total += fm.log_likelihood(moments.cov, moments.mean, sigma, mu, problem.nobs)
            if table.fixed_x and table.exogenous:
                x = [table.observed.index(v) for v in table.exogenous]
                own = moments.cov[np.ix_(x, x)]  # the covariates' part is that of each data set, as in lavaan
                total -= fm.log_likelihood(own, None, own, None, problem.nobs)
    return total / len(contexts)


def pool_chisq(fits: Sequence[Fit], implied: Sequence[Implied]) -> PooledChisq:
    """Pool the chi-squares of fits to imputed data sets.

    Parameters
    ----------
    fits : sequence of Fit
    implied : sequence of Implied
        Moments at the pooled estimates, of each group.
    """
    contexts = [context_of(fit) for fit in fits]
    m, df = len(fits), int(fits[0].measures["df"])
    base_df = int(fits[0].measures["baseline_df"])
    chisq = np.array([fit.measures["chisq"] for fit in fits])
    base = np.array([fit.measures["baseline_chisq"] for fit in fits])
    method = chisq_method(contexts[0])
    logl = unrestricted = base_logl = NAN
    if has_likelihood(contexts[0]):
        moments = mean_moments(contexts)
        logl = mean_log_likelihood(contexts, [(own.sigma, own.mu) for own in implied])
        unrestricted = mean_log_likelihood(contexts, moments)
        pairs = zip(problems_of(contexts[0]), moments, strict=True)
        base_logl = mean_log_likelihood(contexts, [(_baseline_cov(p.table, cov), mean) for p, (cov, mean) in pairs])
    if method == "D3":
        model = pool_d3(float(chisq.mean()), 2 * (unrestricted - logl), df, m) if df else None
        baseline = pool_d3(float(base.mean()), 2 * (unrestricted - base_logl), base_df, m)
    else:
        model = pool_d2(chisq, df) if df else None
        baseline = pool_d2(base, base_df)
    return PooledChisq(method, model, baseline, logl, unrestricted)


def mean_moments(contexts: Sequence[Context]) -> list[tuple[Array, Array | None]]:
    """Return the means over the data sets of the covariance matrix and of the means, for each group."""
    out: list[tuple[Array, Array | None]] = []
    for same in zip(*(problems_of(c) for c in contexts), strict=True):
        cov = np.mean([p.moments.cov for p in same], axis=0)
        means = [p.moments.mean for p in same if p.moments.mean is not None]
        out.append((cov, np.mean(means, axis=0) if means else None))
    return out


def _baseline_cov(table: ParameterTable, cov: Array) -> Array:
    """Return the covariance matrix of the baseline model: its estimates are sample moments, and so are their means."""
    x = [table.observed.index(v) for v in table.exogenous]
    out = np.diag(np.diag(cov))
    out[np.ix_(x, x)] = cov[np.ix_(x, x)]
    return out


def pooled_measures(
    fits: Sequence[Fit], pooled: PooledChisq, context: Context, implied: Sequence[Implied]
) -> dict[str, float]:
    """Return fit measures from pooled chi-squares and moments, as ``fitMeasures()`` of semTools does.

    Chi-squares are k D3 (or k D2) with k degrees of freedom, also for the p-value. A robust test divides the pooled
    chi-square by the mean scaling factor. GFI and its relatives, which have no pooled definition, are NaN.

    Parameters
    ----------
    fits : sequence of Fit
    pooled : PooledChisq
    context : Context
        With the pooled moments and estimates.
    implied : sequence of Implied
        Of each group.
    """
    first = fits[0].measures
    problem = context.problem
    options, nobs, groups = problem.options, problem.nobs, len(implied)
    n = problem.multiplier if isinstance(problem, GroupProblem) else moments_divisor(nobs, options.likelihood)
    root = math.sqrt(groups)
    npar, df, base_df = int(first["npar"]), int(first["df"]), int(first["baseline_df"])
    chisq = 0.0 if pooled.model is None else pooled.model.chisq
    base = pooled.baseline.chisq
    logl = pooled.logl
    lower, upper = fm.rmsea_ci(chisq, df, n)
    rmr = srmr = 0.0
    for part, own in zip(problems_of(context), implied, strict=True):
        residual = part.moments.cov, own.sigma, None if own.mu is None else part.moments.mean, own.mu
        rmr += part.nobs / nobs * fm.rmr(*residual)
        srmr += part.nobs / nobs * fm.srmr(*residual)
    four = (chisq, df, base, base_df)
    known = {
        "npar": npar,
        "chisq": chisq,
        "df": df,
        "pvalue": fm.chisq_pvalue(chisq, df),
        "baseline_chisq": base,
        "baseline_df": base_df,
        "baseline_pvalue": fm.chisq_pvalue(base, base_df),
        "cfi": fm.cfi(*four),
        "tli": fm.tli(*four),
        "nnfi": fm.tli(*four),
        "rfi": fm.rfi(*four),
        "nfi": fm.nfi(*four),
        "pnfi": fm.pnfi(*four),
        "ifi": fm.ifi(*four[:3]),
        "rni": fm.rni(*four),
        "logl": logl,
        "unrestricted_logl": pooled.unrestricted_logl,
        "aic": fm.aic(logl, npar),
        "bic": fm.bic(logl, npar, nobs),
        "ntotal": nobs,
        "bic2": fm.bic2(logl, npar, nobs),
        "rmsea": root * fm.rmsea(chisq, df, n),
        "rmsea_ci_lower": root * lower,
        "rmsea_ci_upper": root * upper,
        "rmsea_pvalue": fm.rmsea_pvalue(chisq, df, n, 0.05 / root),
        "rmr": rmr,
        "srmr": srmr,
        "cn_05": fm.critical_n(chisq, df, n, 0.05),
        "cn_01": fm.critical_n(chisq, df, n, 0.01),
        "mfi": fm.mfi(chisq, df, n),
        "ecvi": fm.ecvi(chisq, npar, n),
    }
    if math.isnan(chisq):
        counts = ("npar", "df", "baseline_df", "ntotal")
        known = {name: value if name in counts else NAN for name, value in known.items()}
    if options.test != "standard":
        test, null = _mean_test(fits, "", chisq, df), _mean_test(fits, "baseline_", base, base_df)
        known |= scaled_measures(test, null, chisq, df, base, base_df, n, options.test, groups)
        if options.test in ADJUSTED:  # not defined there
            known = {name: NAN if name.endswith("_robust") else value for name, value in known.items()}
    return {name: known.get(name, NAN) for name in first}


def _mean_test(fits: Sequence[Fit], prefix: str, chisq: float, df: int) -> ScaledTest:
    """Return the scaled test of a pooled chi-square: mean factor, mean degrees of freedom and mean shift."""
    if df == 0:
        return ScaledTest(chisq, 0, NAN, NAN, NAN)

    def each(name: str) -> Array:
        return np.array([fit.measures[prefix + name] for fit in fits])

    factors, freedom = each("chisq_scaling_factor"), each("df_scaled")
    factor, adjusted = float(factors.mean()), float(freedom.mean())
    shift = 0.0
    if context_of(fits[0]).problem.options.test == "scaled.shifted":
        shift = float((each("chisq_scaled") - each("chisq") / factors).mean())
    scaled = chisq / factor + shift
    trace = float((factors * freedom).mean())
    return ScaledTest(scaled, adjusted, fm.chisq_pvalue(scaled, adjusted), factor, trace, shift)


def pooled_test(fit: PooledFit, against: PooledFit | None = None, method: str = "default") -> PooledTest:
    """Test a model against the saturated model, or two nested models: see :meth:`PooledFit.pooled_test`."""
    if method not in ("default", *METHODS):
        if method == "D1":
            raise Unsupported(
                "D1 is a Wald test: it needs restrictions on labelled parameters", hint="use wald_test('a == b')"
            )
        raise Unsupported(
            f"method={method!r} is not available.{did_you_mean(method, METHODS)}", hint=f"use {', '.join(METHODS)}"
        )
    smaller, larger = fit, against
    if larger is not None and larger.measures["df"] > smaller.measures["df"]:
        smaller, larger = larger, smaller
    if larger is not None:
        _check_same_imputations([larger, smaller], ["the larger model", "the smaller model"])
    context = context_of(smaller.fits[0])
    df = int(smaller.measures["df"] - (0 if larger is None else larger.measures["df"]))
    if df == 0:
        raise ModelError(
            "there is nothing to test: the model is saturated"
            if larger is None
            else "both models have the same degrees of freedom: neither restricts the other",
            hint="give a model with fewer parameters",
        )
    test = context.problem.options.test
    if method == "default":
        method = chisq_method(context)
        if test in ADJUSTED and larger is not None:
            method = "D2"
    if method != "D2" and not has_likelihood(context):
        raise Unsupported(
            f"{method} pools normal log-likelihoods, which these fits do not have", hint="use method='D2'"
        )
    if test == "standard":
        found = _plain(smaller, larger, method, df)
        return PooledTest(method, found.f, found.df1, found.df2, found.pvalue, found.riv, smaller.imputation.used)
    return _robust(smaller, larger, method, df)


def _plain(smaller: PooledFit, larger: PooledFit | None, method: str, df: int) -> PooledF:
    """Pool chi-squares, or their differences, without regard to a robust test."""
    contexts = [context_of(f) for f in smaller.fits]
    m = len(contexts)
    ratio = np.array([f.measures["chisq"] for f in smaller.fits])
    if larger is not None:
        ratio = ratio - np.array([f.measures["chisq"] for f in larger.fits])
    if method == "D2":
        return pool_d2(ratio, df)
    if method == "D4":
        stacked = _stacked_chisq(smaller.fits) - (0.0 if larger is None else _stacked_chisq(larger.fits))
        return pool_d4(float(ratio.mean()), stacked, df, m)
    # the saturated model is part of both chi-squares and cancels between nested models
    top = smaller.measures["unrestricted_logl"] if larger is None else larger.measures["logl"]
    return pool_d3(float(ratio.mean()), 2 * (top - smaller.measures["logl"]), df, m)


def _stacked_chisq(fits: Sequence[Fit]) -> float:
    """Return the chi-square of the model fitted to all data sets under each other, divided by their number."""
    contexts = [context_of(fit) for fit in fits]
    problem = contexts[0].problem
    stacked = [_stacked(contexts, g) for g in range(len(problems_of(contexts[0])))]
    with single_thread():
        if isinstance(problem, GroupProblem):
            solution = solve_groups(with_parts(problem, stacked), "native")
        else:
            solution, _ = solve(stacked[0], "native")
    if not solution.converged:
        raise ModelError(
            "the model did not converge for the stacked data, which D4 needs", hint="use method='D3' or 'D2'"
        )
    return problem.nobs * max(solution.fmin, 0.0)


def _stacked(contexts: Sequence[Context], g: int) -> Problem:
    """Return the problem of one group with the moments of all data sets under each other."""
    problem = problems_of(contexts[0])[g]
    table = problem.table
    means = np.array([np.asarray(c.observed.groups[g].mean) for c in contexts])
    order = [contexts[0].observed.names.index(v) for v in table.observed]
    means = means[:, order]
    cov = mean_moments(contexts)[g][0] + np.cov(means.T, bias=True).reshape(len(order), len(order))
    mean = means.mean(axis=0) if problem.moments.mean is not None else None
    at = {v: i for i, v in enumerate(table.observed)}
    fixed: dict[str, float] = {}
    for row in table.rows:
        if row.exo and row.op == "~~":
            fixed[row.name] = float(cov[at[row.lhs], at[row.rhs]])
        elif row.exo and mean is not None:
            fixed[row.name] = float(mean[at[row.lhs]])
    return replace(problem, structure=compile_structure(table, fixed), moments=make_moments(cov, mean), fixed=fixed)


def _robust(smaller: PooledFit, larger: PooledFit | None, method: str, df: int) -> PooledTest:
    """Pool a robust test: D2 of robust statistics, or D3 divided by the mean scaling factor."""
    test = context_of(smaller.fits[0]).problem.options.test
    m = smaller.imputation.used
    if method == "D4":
        raise Unsupported("D4 is not available for robust tests", hint="use method='D2' or 'D3'")
    if method == "D2":
        found = pool_d2(*_robust_statistics(smaller, larger, df))
        return PooledTest("D2", found.f, found.df1, found.df2, found.pvalue, found.riv, m)
    if test in ADJUSTED and (larger is not None or test == "scaled.shifted"):
        raise Unsupported(f"D3 is not available with test='{test}'", hint="use method='D2'")
    plain = _plain(smaller, larger, method, df)
    if larger is None:
        scaled = _mean_test(smaller.fits, "", plain.chisq, df)
        chisq, freedom, pvalue, factor = scaled.chisq, scaled.df, scaled.pvalue, scaled.factor
    else:
        ours, theirs = (
            float(np.mean([f.measures["chisq_scaling_factor"] for f in part.fits])) for part in (smaller, larger)
        )
        change = satorra_bentler_2001(
            0.0, int(larger.measures["df"]), theirs, plain.chisq, int(smaller.measures["df"]), ours
        )
        chisq, freedom, pvalue, factor = change.chisq, float(change.df), change.pvalue, change.scaling_factor
    return PooledTest("D3", chisq / freedom, freedom, math.inf, pvalue, plain.riv, m, factor)


def _robust_statistics(smaller: PooledFit, larger: PooledFit | None, df: int) -> tuple[Array, float]:
    """Return the robust statistic of each data set and the mean of their degrees of freedom."""
    if larger is None:
        values = [(f.measures["chisq_scaled"], f.measures["df_scaled"]) for f in smaller.fits]
    else:
        from b2b_sem.analysis.compare import compare

        values = []
        for one, other in zip(larger.fits, smaller.fits, strict=True):
            row = compare(one, other).table.iloc[1]
            values.append((float(row["chisq_diff"]), float(df)))
    chisq, freedom = np.array(values).T
    if np.isnan(chisq).any():
        raise Unsupported(
            f"the robust difference does not exist in {int(np.isnan(chisq).sum())} of {len(chisq)} imputed data sets "
            "(negative scaling factor)",
            hint="fit with estimator='ML', or compare AIC and BIC with method='none'",
        )
    return chisq, float(freedom.mean())


def pooled_wald(fit: PooledFit, restrictions: str) -> PooledTest:
    """Test restrictions on labelled parameters by D1: see :meth:`PooledFit.wald_test`."""
    from b2b_sem.analysis.wald import restriction_values, wald_test

    checked = wald_test(fit, restrictions)  # refuses what cannot be tested
    _, value, jacobian = restriction_values(fit, restrictions)
    within, between = vcov_parts([context_of(f) for f in fit.fits])
    m = fit.imputation.used
    found = pool_d1(value, jacobian @ within @ jacobian.T, jacobian @ between @ jacobian.T, m)
    return PooledTest(
        "D1",
        found.f,
        found.df1,
        found.df2,
        found.pvalue,
        found.riv,
        m,
        restrictions=checked.restrictions,
        values=checked.values,
        se=checked.se,
    )


def vcov_parts(contexts: Sequence[Context]) -> tuple[Array, Array]:
    """Return W and B (q, q): the mean covariance matrix of the estimates, and that of the estimates over data sets."""
    within = np.mean([c.vcov for c in contexts], axis=0)
    thetas = np.array([c.solution.theta for c in contexts])
    centred = thetas - thetas.mean(axis=0)
    return within, centred.T @ centred / (len(thetas) - 1)


def compare_pooled(
    fits: Sequence[FitResult], names: Sequence[str] | None = None, method: str = "default"
) -> ComparisonResult:
    """Compare nested models fitted to the same imputed data sets: see :func:`b2b_sem.analysis.compare.compare`."""
    from b2b_sem.analysis import compare as plain
    from b2b_sem.analysis.imputation import PooledFit

    titles = plain._titles(fits, names)
    known = ("default", *METHODS, "none")
    if method not in known:
        raise Unsupported(
            f"method={method!r} is not available for imputed data.{did_you_mean(method, known)}",
            hint=f"use {', '.join(known)}",
        )
    pooled: list[Any] = list(fits)
    for item, title in zip(fits, titles, strict=True):
        if not isinstance(item, PooledFit):
            raise Unsupported(
                f"{title} was not fitted to imputed data, but others were",
                hint="fit all models to the same imputations",
            )
    plain._check_fits(fits, titles)
    plain.check_same_data(fits, titles)
    order = sorted(range(len(fits)), key=lambda i: pooled[i].measures["df"])
    chosen, labels = [pooled[i] for i in order], [titles[i] for i in order]
    tests: list[Difference | None] = [None]
    nested: list[float] = []
    notes = [f"{label}: {f.failure}." for f, label in zip(chosen, labels, strict=True) if not f.ok]
    used = method
    for k in range(1, len(chosen)):
        if method == "none":
            tests.append(None)
            nested.append(math.nan)
            continue
        larger, smaller = chosen[k - 1], chosen[k]
        result = pooled_test(smaller, larger, method)
        with single_thread():
            found = plain._check_nested(larger, smaller, labels[k - 1], labels[k], ordered=False)
        nested.append(found.chisq)
        used = result.method
        tests.append(Difference(result.chisq, int(result.df1), result.pvalue, result.scaling_factor))
        notes.append(f"{labels[k]} against {labels[k - 1]}: {result.summary()}.")
    notes.append(
        "The models need not be nested; smaller AIC and BIC are better."
        if method == "none"
        else "chisq_diff is F times df_diff; its p-value is that of the F test where the note shows one."
    )
    return ComparisonResult(used, tuple(nested), tuple(notes), plain._table(chosen, labels, tests))


def _check_same_imputations(fits: Sequence[PooledFit], titles: Sequence[str]) -> None:
    first, name = fits[0], titles[0]
    for other, title in zip(fits[1:], titles[1:], strict=True):
        if first.imputation.m != other.imputation.m:
            raise ModelError(
                f"{name} was fitted to {first.imputation.m} imputed data sets and {title} to {other.imputation.m}",
                hint="fit both to the same imputations",
            )
        if set(first.imputation.failed) != set(other.imputation.failed):
            raise ModelError(
                f"{name} and {title} have solutions for different imputed data sets",
                hint="leave out those without a solution for both, with fit_imputed()",
            )
        pairs = zip(first.fits, other.fits, strict=True)
        if any(not _same_data(context_of(one), context_of(two)) for one, two in pairs):
            raise ModelError(
                f"{name} and {title} were not fitted to the same imputed data sets",
                hint="impute once with the variables of all models, and fit each with fit_imputed()",
            )


def _same_data(one: Context, other: Context) -> bool:
    """Whether two problems have the same sample covariances."""
    names = one.problem.table.observed
    if set(names) != set(other.problem.table.observed):
        return False
    for mine, theirs in zip(problems_of(one), problems_of(other), strict=True):
        order = [theirs.table.observed.index(v) for v in mine.table.observed]
        cov = mine.moments.cov
        sd = np.sqrt(np.diag(cov))
        gap = np.abs(cov - theirs.moments.cov[np.ix_(order, order)])
        if not (gap <= 1e-8 * np.outer(sd, sd)).all():
            return False
    return True
