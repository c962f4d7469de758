"""Models with latent products side by side: likelihood-ratio tests, AIC and BIC."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from b2b_sem.analysis.compare import check_same_data
from b2b_sem.analysis.fitted import context_of
from b2b_sem.engine.product_difference import difference_scaling, likelihood_scaling, values_in_larger
from b2b_sem.engine.threads import single_thread
from b2b_sem.errors import DataError, ModelError, Unsupported
from b2b_sem.measures.difference import Difference, scaled_likelihood_ratio
from b2b_sem.measures.fit import chisq_pvalue
from b2b_sem.results.fit import FitResult
from b2b_sem.results.test import ComparisonResult

__all__ = ["compare_products"]

METHODS = ("default", "standard", "satorra.bentler.2001", "satorra.bentler.2010", "satorra.2000", "none")
#: Options that must agree for log-likelihoods to be comparable.
SAME = ("estimator", "missing", "cluster", "fixed_x")


def compare_products(fits: Sequence[FitResult], titles: Sequence[str], method: str) -> ComparisonResult:
    """Compare models of which at least one has latent products: by their log-likelihoods.

    2 (l1 - l0) is chi-square distributed under ML; under MLR it is divided by a scaling factor:

    * "satorra.2000", the default: from the scores and the information of the larger model, at its estimates; never
      negative (doi:10.1007/978-1-4615-4603-0_17). The measure ``product_chisq_scaled`` of a fit has it, too.
    * "satorra.bentler.2001": (q1 c1 - q0 c0) / (q1 - q0), with the number of parameters q and the scaling factor c of
      each log-likelihood, as Mplus has it. It is wrong, and can be negative, where the smaller model is far from true.
    * "satorra.bentler.2010": the same with c1 at the estimates of the smaller model (doi:10.1007/s11336-009-9135-y).

    A model is nested where its parameters (fixed values, labels and equations allowed for) are a special case of those
    of the larger one; the same model in another parameterization is not recognised.

    Raises
    ------
    DataError, ModelError, Unsupported
        As :func:`b2b_sem.compare`.
    """
    _check(fits, titles)
    order = sorted(range(len(fits)), key=lambda i: -fits[i].measures["npar"])
    chosen, labels = [fits[i] for i in order], [titles[i] for i in order]
    method = _method(chosen, labels, method)
    tests: list[Difference | None] = [None]
    with single_thread():
        for k in range(1, len(chosen)):
            pair = chosen[k - 1], chosen[k]
            tests.append(None if method == "none" else _difference(*pair, labels[k - 1], labels[k], method))
    notes = [f"{label}: {f.failure}." for f, label in zip(chosen, labels, strict=True) if not f.ok]
    for label, test in zip(labels, tests, strict=True):
        if test is not None and not test.scaling_factor > 0:
            notes.append(
                f"{label}: the scaling factor is negative ({test.scaling_factor:.3g}), so the test does not exist: use "
                "method='satorra.2000'."
            )
    if method == "none":
        notes.append("The models need not be nested; smaller AIC and BIC are better.")
    nested = tuple(math.nan if test is None else 0.0 for test in tests[1:])
    return ComparisonResult(method, nested, tuple(notes), _table(chosen, labels, tests))


def _check(fits: Sequence[FitResult], titles: Sequence[str]) -> None:
    for other, title in zip(fits, titles, strict=True):
        if other.model.options.get("meanstructure") is not True:
            raise DataError(f"{title} has no mean structure", hint="fit it with meanstructure=True")
    check_same_data(fits, titles, SAME)
    ways = {str(f.model.options["interaction"]): t for f, t in zip(fits, titles, strict=True) if _has_products(f)}
    if len(ways) > 1:
        raise DataError(
            f"{' and '.join(ways.values())} maximise different functions: interaction="
            + " and ".join(repr(way) for way in ways),
            hint="fit both in the same way",
        )
    first = fits[0]
    for other, title in zip(fits, titles, strict=True):
        if not math.isfinite(other.measures.get("logl", math.nan)):
            raise Unsupported(f"{title} has no log-likelihood", hint="fit it by estimator='ML' or 'MLR'")
        if _given(other) != _given(first):
            raise DataError(
                f"{titles[0]} and {title} take different variables as fixed (exogenous): their likelihoods are not "
                "those of the same data",
                hint="fit both with fixed_x=False, or give both the same exogenous variables with paths '0*x'",
            )


def _has_products(fit: FitResult) -> bool:
    return "interaction" in fit.model.options


def _given(fit: FitResult) -> set[str]:
    """Return the observed variables that are taken as fixed."""
    table = context_of(fit).problem.table
    return set(table.exogenous) if table.fixed_x else set()


def _method(fits: Sequence[FitResult], labels: Sequence[str], method: str) -> str:
    robust = [str(f.model.options.get("se")).startswith("robust") for f in fits]
    if method not in METHODS:
        raise Unsupported(
            f"method={method!r} is not available for models with latent products", hint=f"use {', '.join(METHODS)}"
        )
    if method == "none":
        return method
    if len(set(robust)) > 1:
        raise DataError("some of the models have robust standard errors and some have not", hint="fit all alike")
    if method == "default":
        method = "satorra.2000" if robust[0] else "standard"
    if method == "standard" and robust[0]:
        raise Unsupported(
            "the difference of log-likelihoods has to be scaled under MLR", hint="use method='satorra.2000'"
        )
    if method != "standard" and not robust[0]:
        raise Unsupported(f"method={method!r} is for robust fits", hint="use estimator='MLR', or method='standard'")
    for k in range(1, len(fits)):
        if fits[k - 1].measures["npar"] == fits[k].measures["npar"]:
            raise ModelError(
                f"{labels[k - 1]} and {labels[k]} have the same number of parameters: neither restricts the other",
                hint="compare their AIC and BIC with method='none'",
            )
    return method


def _difference(larger: FitResult, smaller: FitResult, title1: str, title0: str, method: str) -> Difference:
    first, second = context_of(larger), context_of(smaller)
    inside = None
    if set(first.problem.table.latents) == set(second.problem.table.latents):
        inside = values_in_larger(first.problem, second.problem, second.solution.theta)
    if inside is None:
        raise ModelError(
            f"{title0} is not nested in {title1}: its parameters are not a special case of those of {title1}",
            hint="write both models with the same scales and labels, or compare AIC and BIC with method='none'",
        )
    logl1, npar1 = larger.measures["logl"], int(larger.measures["npar"])
    logl0, npar0 = smaller.measures["logl"], int(smaller.measures["npar"])
    if logl0 > logl1 + 1e-4:
        raise ModelError(
            f"{title0} is nested in {title1} but fits better: {title1} stopped in a local maximum",
            hint=f"fit {title1} again with starting values, start(...)*X:M",
        )
    if method == "standard":
        chisq, df = 2.0 * (logl1 - logl0), npar1 - npar0
        return Difference(chisq, df, chisq_pvalue(chisq, df))
    at, directions = inside
    if method == "satorra.2000":
        factor = difference_scaling(first.problem, first.observed, first.solution.theta, directions)
        chisq = 2.0 * (logl1 - logl0) / factor
        return Difference(chisq, npar1 - npar0, chisq_pvalue(chisq, npar1 - npar0), factor)
    if method == "satorra.bentler.2001":
        at = first.solution.theta
    factor1 = likelihood_scaling(first.problem, first.observed, at)
    factor0 = likelihood_scaling(second.problem, second.observed, second.solution.theta)
    return scaled_likelihood_ratio(logl1, npar1, factor1, logl0, npar0, factor0)


def _table(fits: Sequence[FitResult], labels: Sequence[str], tests: Sequence[Difference | None]) -> pd.DataFrame:
    rows = []
    for k, (item, label, test) in enumerate(zip(fits, labels, tests, strict=True)):
        m, before = item.measures, fits[k - 1].measures if k else {}
        rows.append(
            {
                "model": label,
                "npar": int(m["npar"]),
                "logl": m["logl"],
                "chisq_diff": math.nan if test is None else test.chisq,
                "df_diff": math.nan if test is None else test.df,
                "pvalue": math.nan if test is None else test.pvalue,
                "scaling_factor": math.nan if test is None else test.scaling_factor,
                "aic": m["aic"],
                "bic": m["bic"],
                "aic_diff": m["aic"] - before.get("aic", math.nan),
                "bic_diff": m["bic"] - before.get("bic", math.nan),
            }
        )
    return pd.DataFrame(rows)
