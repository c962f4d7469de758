"""Nested models side by side: ``compare``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from b2b_sem.analysis.fitted import Context, context_of
from b2b_sem.engine.base import Array, moments_divisor
from b2b_sem.engine.difference import bread_and_meat, restriction, scaling_factor
from b2b_sem.engine.group import GroupProblem
from b2b_sem.engine.group_difference import group_bread_and_meat, group_restriction, group_scaling_factor
from b2b_sem.engine.group_ordinal import directions_of_groups, reproduce_ordinal_groups
from b2b_sem.engine.nested import Reproduction, reproduce, reproduce_groups
from b2b_sem.engine.ordinal_score import directions_given_up, reproduce_ordinal
from b2b_sem.engine.threads import single_thread
from b2b_sem.errors import DataError, ModelError, Unsupported, did_you_mean
from b2b_sem.measures import fit as fm
from b2b_sem.measures.difference import (
    Difference,
    difference,
    satorra_2000,
    satorra_bentler_2001,
    satorra_bentler_2010,
)
from b2b_sem.results.fit import FitResult
from b2b_sem.results.test import ComparisonResult

__all__ = ["check_same_data", "compare", "nested_difference"]

METHODS = ("default", "standard", "satorra.bentler.2001", "satorra.bentler.2010", "satorra.2000", "none")
#: Options that must agree for chi-squares and likelihoods to be comparable.
SAME = ("estimator", "likelihood", "missing", "meanstructure", "test", "information", "cluster", "ordered")
#: Products of latent variables that are fitted by a likelihood: there is no chi-square.
BY_LIKELIHOOD = ("lms", "qml")
#: Tests whose scaling factor is not tr(U Gamma) / df: the formulas of 2001 and 2010 do not hold for them.
ADJUSTED = ("scaled.shifted", "mean.var.adjusted")


def compare(*fits: FitResult, names: Sequence[str] | None = None, method: str = "default") -> ComparisonResult:
    """Compare models fitted to the same data: chi-square difference tests, AIC, BIC, CFI and RMSEA.

    The models are sorted by degrees of freedom, and each is tested against the one before. That each pair is nested is
    checked, not assumed: the larger model must reproduce the moments that the restricted one implies exactly
    (Bentler & Satorra 2010, doi:10.1037/a0019625).

    Parameters
    ----------
    *fits : FitResult
        Two or more results of ``b2b_sem.fit``.
    names : sequence of str, optional
        Of the models, in the order given; default "model 1", "model 2", ...
    method : str
        "default" is "standard", the difference of the likelihood-ratio chi-squares, and "satorra.bentler.2001"
        (doi:10.1007/BF02296192) where the fits have scaled tests; "satorra.2000", scaled and shifted, for those of MLMV
        and MLMVS, whose scaling factors say more than the mean. "satorra.bentler.2010"
        (doi:10.1007/s11336-009-9135-y) and "satorra.2000" (doi:10.1007/978-1-4615-4603-0_17) need the data behind the
        fits. "none" tests nothing and takes any models of the same data: AIC and BIC compare them. Fits to imputed
        data take "D3" (the default for maximum likelihood), "D2", "D4" or "none": see the page on imputation. Models
        with latent products (LMS, QML) have no chi-square: differences of their log-likelihoods are tested, by default
        "standard" or, under MLR, "satorra.2000"; that they are nested is seen from their parameters.

    Returns
    -------
    ComparisonResult

    Raises
    ------
    DataError
        If the models were not fitted to the same variables, rows and moments.
    ModelError
        If a fit failed, two models have the same degrees of freedom, or a pair is not nested.
    Unsupported
        For a method that the fits do not support.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from b2b_sem.analysis.structural import fit
    >>> rng = np.random.default_rng(1)
    >>> f = rng.normal(size=(200, 1))
    >>> data = pd.DataFrame(f + rng.normal(size=(200, 4)), columns=["x1", "x2", "x3", "x4"])
    >>> free = fit("F =~ x1 + x2 + x3 + x4", data, engine="native")
    >>> equal = fit("F =~ x1 + a*x2 + a*x3 + a*x4", data, engine="native")
    >>> compare(free, equal, names=["free", "equal"]).table[["model", "df", "df_diff"]].values.tolist()
    [['free', 2, nan], ['equal', 4, 2.0]]
    """
    if any(hasattr(item, "imputation") for item in fits):
        from b2b_sem.analysis.pooled import compare_pooled

        return compare_pooled(fits, names, method)
    titles = _titles(fits, names)
    if method not in METHODS:
        raise Unsupported(
            f"method={method!r} is not available.{did_you_mean(method, METHODS)}", hint=f"use {', '.join(METHODS)}"
        )
    _check_fits(fits, titles)
    if any(item.model.options.get("interaction") in BY_LIKELIHOOD for item in fits):
        from b2b_sem.analysis.compare_product import compare_products

        return compare_products(fits, titles, method)
    check_same_data(fits, titles)
    order = sorted(range(len(fits)), key=lambda i: fits[i].measures["df"])
    chosen = [fits[i] for i in order]
    labels = [titles[i] for i in order]
    method = _method(chosen, labels, method)
    tests: list[Difference | None] = [None]
    nested: list[float] = []
    with single_thread():
        for k in range(1, len(chosen)):
            if method == "none":
                tests.append(None)
                nested.append(math.nan)
                continue
            found = _check_nested(chosen[k - 1], chosen[k], labels[k - 1], labels[k])
            nested.append(found.chisq)
            tests.append(_difference(chosen[k - 1], chosen[k], method, found))
    notes = _notes(chosen, labels, tests, method)
    return ComparisonResult(method, tuple(nested), notes, _table(chosen, labels, tests))


def _titles(fits: Sequence[FitResult], names: Sequence[str] | None) -> list[str]:
    if len(fits) < 2:
        raise DataError("there is nothing to compare", hint="give two or more fits: compare(fit1, fit2)")
    for item in fits:
        if not isinstance(item, FitResult):
            raise DataError(f"a {type(item).__name__} is not a fit", hint="give results of fit()")
    if names is None:
        return [f"model {i + 1}" for i in range(len(fits))]
    if len(names) != len(fits) or len(set(names)) != len(names):
        raise DataError("names must give each fit a name of its own", hint=f"give {len(fits)} different names")
    return [str(n) for n in names]


def _check_fits(fits: Sequence[FitResult], titles: Sequence[str]) -> None:
    for item, title in zip(fits, titles, strict=True):
        if not item.converged or not item.identified:
            raise ModelError(f"{title} cannot be compared: {item.failure}", hint="simplify it or leave it out")


def check_same_data(fits: Sequence[FitResult], titles: Sequence[str], same: Sequence[str] = SAME) -> None:
    """Raise unless models were fitted to the same rows of the same variables with the same options."""
    first, name = fits[0], titles[0]
    for other, title in zip(fits[1:], titles[1:], strict=True):
        mine = {*first.model.observed, *first.auxiliary}
        theirs = {*other.model.observed, *other.auxiliary}
        if set(first.auxiliary) != set(other.auxiliary):
            raise DataError(
                f"{name} and {title} have different auxiliary variables",
                hint="name the same auxiliary variables in both fits",
            )
        if mine != theirs:
            odd = sorted(mine ^ theirs)
            raise DataError(
                f"{name} and {title} have different variables: only one of them has {', '.join(odd[:5])}",
                hint="keep all variables in both models: a path that is left out is written '0*x'",
            )
        if first.nobs != other.nobs:
            raise DataError(
                f"{name} has {first.nobs} rows and {title} {other.nobs}", hint="fit both to the same rows of the data"
            )
        for option in same:
            a, b = first.model.options.get(option), other.model.options.get(option)
            if a != b:
                raise DataError(
                    f"{name} was fitted with {option}={a!r} and {title} with {option}={b!r}",
                    hint="fit both with the same options",
                )
        if first.groups != other.groups:
            raise DataError(
                f"{name} and {title} have different groups: {', '.join(first.groups) or 'one'}; "
                f"{', '.join(other.groups) or 'one'}",
                hint="fit both with the same group",
            )
        for one, two in zip(_samples(first), _samples(other), strict=True):
            _check_same_moments(one, two, name, title)
        a, b = first.measures.get("unrestricted_logl", math.nan), other.measures.get("unrestricted_logl", math.nan)
        if abs(a - b) > 1e-8 * abs(a):
            raise DataError(
                f"{name} and {title} take different variables as fixed (exogenous): their likelihoods are not those of "
                "the same data",
                hint="fit both with fixed_x=False, or give both the same exogenous variables with paths '0*x'",
            )


def _samples(fit: FitResult) -> list[dict[str, Any]]:
    """Return the sample moments of each group."""
    return list(fit.sample().values()) if fit.groups else [fit.sample()]


def _check_same_moments(first: dict[str, Any], other: dict[str, Any], name: str, title: str) -> None:
    cov = first["cov"]
    order = list(cov.columns)
    if set(order) != set(other["cov"].columns):
        raise DataError(f"{name} and {title} take different variables as given", hint="fit both with the same fixed_x")
    theirs_cov = other["cov"].loc[order, order].to_numpy()
    sd = np.sqrt(np.diag(cov))
    if (np.abs(cov.to_numpy() - theirs_cov) > 1e-8 * np.outer(sd, sd)).any() or _means_differ(first, other):
        raise DataError(
            f"{name} and {title} have different sample moments: they were not fitted to the same data",
            hint="fit both to the same rows of the data",
        )


def _means_differ(first: dict[str, Any], other: dict[str, Any]) -> bool:
    a, b = first.get("mean"), other.get("mean")
    if a is None or b is None:
        return (a is None) != (b is None)
    if set(a.index) != set(b.index):  # of models with ordinal items, only numeric variables have means
        return True
    names, cov = list(a.index), first["cov"]
    sd = np.sqrt(np.diag(cov.loc[names, names]))
    return bool((np.abs(a.to_numpy() - b.loc[names].to_numpy()) > 1e-8 * sd).any())


def _method(fits: Sequence[FitResult], labels: Sequence[str], method: str) -> str:
    scaled = [math.isfinite(f.measures.get("chisq_scaling_factor", math.nan)) or f.measures["df"] == 0 for f in fits]
    any_scaled = any("chisq_scaling_factor" in f.measures for f in fits)
    adjusted = next((f.model.options["test"] for f in fits if f.model.options.get("test") in ADJUSTED), None)
    best = "satorra.bentler.2001" if adjusted is None else "satorra.2000"
    if method == "default":
        method = best if any_scaled else "standard"
    if method == "none":
        return method
    for k in range(1, len(fits)):
        if fits[k - 1].measures["df"] == fits[k].measures["df"]:
            raise ModelError(
                f"{labels[k - 1]} and {labels[k]} have the same degrees of freedom: neither restricts the other",
                hint="compare their AIC and BIC with method='none'",
            )
    if method == "standard" and not any_scaled and any(f.estimator == "ULS" for f in fits):
        raise Unsupported(
            "the chi-square of ULS has no known distribution, and so has no difference of two",
            hint="fit with estimator='ULSMV' (ordinal items) or 'MLM', or compare with method='none'",
        )
    if method != "standard" and not (any_scaled and all(scaled)):
        raise Unsupported(
            f"method={method!r} needs fits with a scaled test",
            hint="use method='standard', or fit with estimator='MLM'",
        )
    if method == "standard" and any_scaled:
        raise Unsupported(
            "the difference of two chi-squares is not chi-square distributed where tests are scaled",
            hint=f"use method={best!r}",
        )
    if method.startswith("satorra.bentler") and adjusted is not None:
        raise Unsupported(
            f"method={method!r} needs scaling factors for the mean alone, and these fits have test={adjusted!r}",
            hint="use method='satorra.2000', or fit with estimator='MLM'",
        )
    return method


def _check_nested(
    larger: FitResult, smaller: FitResult, title1: str, title0: str, *, ordered: bool = True
) -> Reproduction:
    """Raise unless `smaller` is nested in `larger` and, with `ordered`, fits no better."""
    first, moments = context_of(larger), smaller.implied()
    if first.problem.table.ordered:
        second = context_of(smaller)
        if isinstance(first.problem, GroupProblem):
            assert isinstance(second.problem, GroupProblem)
            guess = _same_values(first, second)
            found = reproduce_ordinal_groups(
                first.problem, first.solution.theta, second.problem, second.solution.theta, guess
            )
        else:
            found = reproduce_ordinal(first.problem, first.solution.theta, second.problem, second.solution.theta)
    elif isinstance(first.problem, GroupProblem):
        each = [_named_moments(part) for part in moments.values()]
        found = reproduce_groups(first.problem, first.solution.theta, each, _same_values(first, context_of(smaller)))
    else:
        found = reproduce(first.problem, first.solution.theta, *_named_moments(moments))
    if not found.nested:
        raise ModelError(
            f"{title0} is not nested in {title1}: {title1} cannot reproduce the moments that {title0} implies "
            f"(chi-square {found.chisq:.3g} instead of 0)",
            hint="a difference test has no meaning here: compare AIC and BIC with method='none'",
        )
    if ordered and smaller.measures["chisq"] < larger.measures["chisq"] - 1e-4:
        raise ModelError(
            f"{title0} is nested in {title1} but fits better: {title1} stopped in a local minimum",
            hint=f"fit {title1} again with starting values, start(...)*x",
        )
    return found


def _same_values(larger: Context, smaller: Context) -> Array | None:
    """Return the parameters of the larger model with the values the same rows have in the smaller one."""
    value = smaller.problem.values(smaller.solution.theta).value
    known = {r.full_name: float(v) for r, v in zip(smaller.problem.table.rows, value, strict=False)}
    free = [r for r in larger.problem.table.rows if r.free]
    if any(r.full_name not in known for r in free):
        return None
    out = np.array(larger.solution.theta)
    for row in free:
        out[row.free - 1] = known[row.full_name]
    return out


def _named_moments(moments: dict[str, Any]) -> tuple[tuple[str, ...], Array, Array | None]:
    """Return names, covariance matrix and means."""
    cov, mean = moments["cov"], moments.get("mean")
    return tuple(cov.columns), cov.to_numpy(), None if mean is None else mean.loc[list(cov.columns)].to_numpy()


def _difference(larger: FitResult, smaller: FitResult, method: str, found: Reproduction) -> Difference:
    m1, m0 = larger.measures, smaller.measures
    chisq1, df1, chisq0, df0 = m1["chisq"], int(m1["df"]), m0["chisq"], int(m0["df"])
    if method == "standard":
        return difference(chisq1, df1, chisq0, df0)
    factor1, factor0 = m1.get("chisq_scaling_factor", 1.0), m0.get("chisq_scaling_factor", 1.0)
    if method == "satorra.bentler.2001":
        return satorra_bentler_2001(chisq1, df1, factor1, chisq0, df0, factor0)
    first, second = context_of(larger), context_of(smaller)
    shifted = larger.model.options.get("test") in ADJUSTED
    if first.problem.table.ordered:
        _refuse_2010(method)
        assert first.observed.ordinal is not None
        thetas = first.solution.theta, second.solution.theta
        if isinstance(first.problem, GroupProblem):
            assert isinstance(second.problem, GroupProblem)
            given_up, bread, meat = directions_of_groups(
                first.problem, thetas[0], second.problem, thetas[1], first.observed
            )
        else:
            given_up, bread, meat = directions_given_up(
                first.problem, thetas[0], second.problem, thetas[1], first.observed.ordinal[0]
            )
        return satorra_2000(chisq1, df1, chisq0, df0, restriction=given_up, inverse=bread, meat=meat, shifted=shifted)
    if isinstance(first.problem, GroupProblem):
        assert isinstance(second.problem, GroupProblem)
        _rows(larger, first, method)
        if method == "satorra.bentler.2010":
            factor10 = group_scaling_factor(first.problem, first.observed, found.theta, df1) if df1 else 0.0
            return satorra_bentler_2010(chisq1, df1, factor10, chisq0, df0, factor0)
        thetas = first.solution.theta, second.solution.theta
        bread, meat = group_bread_and_meat(first.problem, first.observed, thetas[0])
        given_up = group_restriction(first.problem, thetas[0], second.problem, thetas[1])
        return satorra_2000(chisq1, df1, chisq0, df0, restriction=given_up, inverse=bread, meat=meat, shifted=shifted)
    raw = _rows(larger, first, method)
    if method == "satorra.bentler.2010":
        factor10 = scaling_factor(first.problem, raw, found.theta, df1) if df1 else 0.0
        return satorra_bentler_2010(chisq1, df1, factor10, chisq0, df0, factor0)
    bread, meat = bread_and_meat(first.problem, raw, first.solution.theta)
    given_up = restriction(first.problem, first.solution.theta, second.problem, second.solution.theta)
    return satorra_2000(chisq1, df1, chisq0, df0, restriction=given_up, inverse=bread, meat=meat, shifted=shifted)


def nested_difference(larger: FitResult, smaller: FitResult) -> Difference:
    """Return the default difference test of two fits known to be nested."""
    method = _method((larger, smaller), ("the larger model", "the smaller model"), "default")
    with single_thread():
        return _difference(larger, smaller, method, Reproduction(0.0, context_of(larger).solution.theta, True))


def _refuse_2010(method: str) -> None:
    if method == "satorra.bentler.2010":
        raise Unsupported(f"method={method!r} is not available for ordinal items", hint="use method='satorra.2000'")


def _rows(fit: FitResult, context: Context, method: str) -> Array:
    """Return the complete rows in model order, or say why a method cannot use them."""
    table = context.problem.table
    reason, instead = "", "use method='satorra.bentler.2001'"
    test = fit.model.options.get("test")
    if context.observed.raw is None:
        reason = "the rows of the data, and this fit was made from moments"
    elif context.problem.options.missing != "listwise":
        reason = "complete rows, and this fit uses rows with missing values"
    elif test not in ("satorra.bentler", "standard", *ADJUSTED):
        reason = f"the Satorra-Bentler test, and this fit has test={test!r}"
    elif context.observed.clusters is not None and not fit.groups:
        reason = "independent rows, and this fit has clusters"
    elif table.fixed_x and not fit.groups:
        reason = "random covariates, and this fit takes some as fixed"
        if test in ADJUSTED:
            instead = "fit with fixed_x=False, or with estimator='MLM'"
    if reason or context.observed.raw is None:
        raise Unsupported(f"method={method!r} needs {reason}", hint=instead)
    order = [context.observed.names.index(v) for v in table.observed]
    return np.asarray(context.observed.raw[0][:, order])


def _notes(
    fits: Sequence[FitResult], labels: Sequence[str], tests: Sequence[Difference | None], method: str
) -> tuple[str, ...]:
    out = [f"{label}: {f.failure}." for f, label in zip(fits, labels, strict=True) if not f.ok]
    for label, test in zip(labels, tests, strict=True):
        if test is not None and not test.scaling_factor > 0:
            out.append(
                f"{label}: the scaling factor is negative ({test.scaling_factor:.3g}), so the test does not exist."
            )
    if method.startswith("satorra"):
        out.append("chisq holds unscaled chi-squares; the difference of scaled ones is not chi-square distributed.")
    if method == "none":
        out.append("The models need not be nested; smaller AIC and BIC are better.")
    return tuple(out)


def _table(fits: Sequence[FitResult], labels: Sequence[str], tests: Sequence[Difference | None]) -> pd.DataFrame:
    rows = []
    for k, (item, label, test) in enumerate(zip(fits, labels, tests, strict=True)):
        m = item.measures
        before = fits[k - 1].measures if k else {}
        count = max(len(item.groups), 1)
        normal = moments_divisor(item.nobs, str(item.model.options.get("likelihood", "normal"))) == item.nobs
        n, root = item.nobs if normal else item.nobs - count, math.sqrt(count)

        def change(name: str, now: dict[str, float] = m, then: dict[str, float] = before) -> float:
            return now.get(name, math.nan) - then.get(name, math.nan)

        plain = test is not None and test.scaling_factor == 1.0
        rows.append(
            {
                "model": label,
                "npar": int(m["npar"]),
                "df": int(m["df"]),
                "chisq": m["chisq"],
                "chisq_diff": math.nan if test is None else test.chisq,
                "df_diff": math.nan if test is None else test.df,
                "pvalue": math.nan if test is None else test.pvalue,
                "rmsea_diff": root * fm.rmsea(test.chisq, test.df, n) if test is not None and plain else math.nan,
                "aic": m.get("aic", math.nan),
                "bic": m.get("bic", math.nan),
                "aic_diff": change("aic"),
                "bic_diff": change("bic"),
                "cfi": m.get("cfi", math.nan),
                "rmsea": m.get("rmsea", math.nan),
                "cfi_diff": change("cfi"),
                "rmsea_change": change("rmsea"),
            }
        )
    return pd.DataFrame(rows)
