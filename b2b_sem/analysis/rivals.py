"""Rival models against the main model on the same data."""

from __future__ import annotations

from math import isfinite

from b2b_sem.analysis.compare import compare
from b2b_sem.errors import B2BSemError
from b2b_sem.results.fit import FitResult
from b2b_sem.results.study import RivalResult

__all__ = ["compare_rival", "relation"]

NAN = float("nan")


def _free(fit: FitResult) -> dict[tuple[str, str, str], str]:
    """Return the free parameters of a fit with their equality class."""
    table = fit.parameters
    return {
        (lhs, op, rhs): label or f"{lhs}{op}{rhs}"
        for lhs, op, rhs, label, free in table[["lhs", "op", "rhs", "label", "free"]].itertuples(index=False)
        if free
    }


def _fixed(fit: FitResult) -> dict[tuple[str, str, str], float]:
    table = fit.parameters
    rows = table[(table["free"] == 0) & (table["op"] != ":=")]
    if ordered := fit.model.options.get("ordered"):
        # what is computed from the other parameters differs between nested models and restricts nothing
        delta = fit.model.options.get("parameterization") == "delta"
        computed = (rows["op"] == "~~") & (rows["lhs"] == rows["rhs"]) if delta else rows["op"] == "~*~"
        rows = rows[~(computed & rows["lhs"].isin(list(ordered)))]
    return {
        (lhs, op, rhs): float(est)
        for lhs, op, rhs, est in rows[["lhs", "op", "rhs", "est"]].itertuples(index=False)
        if est != 0
    }


def _covariates(fit: FitResult) -> set[str]:
    """Return the observed variables whose variances are neither free nor residual: those taken as fixed."""
    if not fit.model.options.get("fixed_x", True):
        return set()
    table = fit.parameters
    predicted = set(table.loc[table["op"] == "~", "lhs"]) | set(table.loc[table["op"] == "=~", "rhs"])
    fixed = table[(table["op"] == "~~") & (table["lhs"] == table["rhs"]) & (table["free"] == 0)]
    return {v for v in fixed["lhs"] if v in fit.model.observed and v not in predicted}


def relation(main: FitResult, rival: FitResult) -> str:
    """Return how `rival` relates to `main`: "restricted", "extended", "same" or "other".

    Models count as nested when they have the same variables and the same fixed values, no equality constraints, and
    the free parameters of one are among those of the other (a parameter that is absent is 0).
    """
    if set(main.model.observed) != set(rival.model.observed) or set(main.model.latents) != set(rival.model.latents):
        return "other"
    a, b = _free(main), _free(rival)
    if len(set(a.values())) < len(a) or len(set(b.values())) < len(b) or _constrained(main, rival):
        return "other"
    fixed_a = {k: v for k, v in _fixed(main).items() if k not in b}
    fixed_b = {k: v for k, v in _fixed(rival).items() if k not in a}
    if fixed_a != fixed_b or _covariates(main) != _covariates(rival):
        return "other"
    if set(a) == set(b):
        return "same"
    if main.measures["df"] == rival.measures["df"]:
        return "other"
    if set(b) < set(a):
        return "restricted"
    return "extended" if set(a) < set(b) else "other"


def compare_rival(
    name: str, title: str, why: str, main: FitResult, rival: FitResult, *, alpha: float = 0.05
) -> RivalResult:
    """Compare a rival with the main model: chi-square difference if nested, information criteria otherwise.

    The test is the one :func:`~b2b_sem.analysis.compare.compare` chooses for these fits.
    """
    kind = relation(main, rival)
    diff, df, p = NAN, None, NAN
    if not (main.ok and rival.ok):
        who = "main model" if not main.ok else "rival"
        message = f"Not compared: {(main if not main.ok else rival).failure} (the {who})."
        return RivalResult(name, title, why, rival, kind, diff, df, p, message)
    a, b = main.measures, rival.measures
    if kind in ("restricted", "extended"):
        try:
            row = compare(main, rival).table.iloc[1]
        except B2BSemError as error:
            df = abs(int(b["df"] - a["df"]))
            message = f"Nested, but not tested: {error.message}."
            return RivalResult(name, title, why, rival, kind, NAN, df, NAN, message)
        diff, df, p = float(row["chisq_diff"]), int(row["df_diff"]), float(row["pvalue"])
        if not isfinite(p):
            message = "Nested, but the scaled difference test does not exist for these fits."
            return RivalResult(name, title, why, rival, kind, NAN, df, NAN, message)
        better = "main model" if kind == "restricted" else "rival"
        message = (
            f"The restrictions of the {'rival' if kind == 'restricted' else 'main model'} worsen the fit reliably: the "
            f"{better} is preferred."
            if p < alpha
            else "The additional parameters do not improve the fit reliably: the simpler model is preferred."
        )
    elif set(main.model.observed) != set(rival.model.observed):
        message = "The models have different observed variables: neither a test nor information criteria compare them."
    elif _covariates(main) != _covariates(rival):
        message = (
            "The models take different variables as fixed: their likelihoods are conditional on different things, and "
            "neither a test nor information criteria compare them."
        )
    elif kind == "same":
        message = "The two models have the same parameters."
    elif a["df"] == b["df"] and abs(a["chisq"] - b["chisq"]) <= 1e-6 * max(a["chisq"], 1.0):
        message = "Equivalent: both models fit these data equally, and no data can tell them apart."
    elif not (isfinite(a["bic"]) and isfinite(b["bic"])):
        message = "Not nested, and this estimator has no information criteria."
    else:
        lower = "rival" if b["bic"] < a["bic"] else "main model"
        message = f"Not nested: compare AIC and BIC (BIC is lower for the {lower})."
    return RivalResult(name, title, why, rival, kind, diff, df, p, message)


def _constrained(*fits: FitResult) -> bool:
    """Whether a model has constraints beside shared labels, which comparing parameter names cannot see."""
    marks = ("==", "<", ">", "lower(", "upper(")
    return any(mark in fit.model.syntax for fit in fits for mark in marks)
