"""How the numbers of a fit came about, in words: for the summary, the terminal and the report."""

from __future__ import annotations

from b2b_sem.results.fit import FitResult
from b2b_sem.results.variant import TEST_TITLES, variant

__all__ = ["describe_method", "label_method", "ordered_of"]

_FITTED = {
    "GLS": "generalized least squares",
    "ULS": "unweighted least squares",
    "WLS": "weighted least squares",
    "ADF": "weighted least squares (asymptotically distribution-free)",
}
_ORDINAL = (
    ("ULS", "unweighted least squares"),
    ("WLSM", "diagonally weighted least squares"),
    ("DWLS", "diagonally weighted least squares"),
    ("WLS", "weighted least squares"),
)
_INFORMATION = {
    "expected": "from the expected information",
    "observed": "from the observed information",
    "first.order": "from the products of the scores",
}
_FIML = {"fiml": "full information", "fiml.x": "full information, covariates included"}
_SPELLED = 12


def ordered_of(fit: FitResult) -> tuple[str, ...]:
    """Return the ordinal items of a fit in the order of the model."""
    ordered = set(fit.model.options.get("ordered") or ())
    return tuple(name for name in fit.model.observed if name in ordered)


def label_method(fit: FitResult) -> str:
    """Return in a few words what the numbers rest on: ``"WLSMV, 8 of 9 variables ordered, pairwise, N = 222"``."""
    options = fit.model.options
    parts = [f"estimator {fit.estimator}"]
    if ordered := ordered_of(fit):
        parts.append(f"{_share(fit, ordered)} ordered")
    missing = str(options.get("missing") or "listwise")
    if missing == "mi":
        parts.append(f"{options.get('imputations')} imputed data sets")
    elif missing in _FIML:
        parts.append("full information (FIML)")
    elif missing != "listwise" or fit.n_dropped:
        parts.append(f"{missing} deletion" + (f" of {fit.n_dropped} rows" if missing == "listwise" else ""))
    return ", ".join([*parts, f"N = {fit.nobs}"])


def _share(fit: FitResult, ordered: tuple[str, ...]) -> str:
    total = len(fit.model.observed)
    return f"all {total} variables" if len(ordered) == total else f"{len(ordered)} of {total} variables"


def describe_method(fit: FitResult) -> tuple[str, ...]:
    """Return sentences on estimator, missing answers, standard errors, test and fit indices.

    They say what was done, as a section on method would. Whether the numbers may be used is not their matter.
    """
    return (_model(fit), _answers(fit), _uncertainty(fit), *_indices(fit))


def _model(fit: FitResult) -> str:
    options = fit.model.options
    auto = ", chosen by 'estimator: auto', see the notes on the fit" if options.get("estimator_choice") else ""
    ordered = ordered_of(fit)
    if not ordered:
        how = _FITTED.get(fit.estimator, "maximum likelihood")
        return f"The model was fitted by {how} (estimator {fit.estimator}{auto}); answers count as numbers."
    how = next(words for start, words in _ORDINAL if fit.estimator.startswith(start))
    some = len(ordered) < len(fit.model.observed)
    names = f" ({', '.join(ordered)})" if some and len(ordered) <= _SPELLED else ""
    rest = [v for v in fit.model.observed if v not in set(ordered)]
    others = f"; {', '.join(rest)} count{'s' if len(rest) == 1 else ''} as numbers" if 0 < len(rest) <= _SPELLED else ""
    if len(rest) == 1:
        others = f"; {rest[0]} counts as a number"
    return (
        f"Thresholds and correlations of the responses behind the answers were fitted by {how} (estimator "
        f"{fit.estimator}{auto}): {_share(fit, ordered)} are ordered categories{names}{others}. Parameterization: "
        f"{options.get('parameterization') or 'delta'}."
    )


def _answers(fit: FitResult) -> str:
    options = fit.model.options
    missing = str(options.get("missing") or "listwise")
    left = f"{fit.n_dropped} of {fit.n_read} rows were left out" if fit.n_dropped else ""
    if missing == "mi":
        seed = f" (seed {options['seed']})" if options.get("seed") is not None else ""
        text = f"Missing answers were imputed {options.get('imputations')} times{seed} and the fits pooled"
    elif missing in _FIML:
        text = f"All answers of {fit.nobs} respondents were used (full information maximum likelihood)"
        if missing == "fiml.x":
            text = text[:-1] + ", also of those who lack a covariate)"
    elif missing == "pairwise":
        text = "Each threshold and correlation uses all who gave the answers it needs (pairwise deletion)"
    else:
        return f"{left} for missing values (listwise deletion)." if left else "No row was left out."
    if fit.auxiliary:
        text += f", with the auxiliary variables {', '.join(fit.auxiliary)}"
    return f"{text}; {left}." if left else f"{text}."


def _uncertainty(fit: FitResult) -> str:
    options = fit.model.options
    se, test = str(options.get("se")), str(options.get("test"))
    robust = "robust to answers that are not normal" if not ordered_of(fit) else "robust to the choice of weights"
    words = {
        "standard": _INFORMATION.get(str(options.get("information")), "those of the estimator"),
        "robust.sem": f"{robust} (robust.sem)",
        "robust.huber.white": "robust to answers that are not normal and to a wrong model (sandwich of scores)",
        "robust.cluster": "robust to answers that are not normal and not independent (sandwich of scores)",
        "robust.cluster.sem": "robust to answers that are not normal and not independent (robust.sem)",
    }
    if options.get("missing") == "mi":
        errors = "Standard errors follow Rubin's rules"
        words["standard"] = ""
    else:
        errors = "Standard errors are" if se != "none" else "There are no standard errors"
    parts = [f"{errors} {words.get(se, '')}".rstrip() if words.get(se) else errors]
    if options.get("missing") == "mi" and se != "standard":
        parts[0] = f"{errors}; those of each data set are {words.get(se, se)}"
    if options.get("cluster"):
        parts.append(f"rows with the same {options['cluster']} may depend on each other")
    title = TEST_TITLES.get(test)
    pooled = "pooled over the imputed data sets" if options.get("missing") == "mi" else ""
    kinds = [part for part in (title, pooled) if part]
    parts.append("the chi-square is " + " and ".join(kinds) if kinds else "the chi-square is not scaled")
    return "; ".join(parts) + "."


def _indices(fit: FitResult) -> tuple[str, ...]:
    kinds = {variant(fit.measures, name) for name in ("cfi", "tli", "rmsea")} - {""}
    if not kinds:
        return ()
    words = " or ".join(kind[1:] for kind in sorted(kinds))
    return (f"CFI, TLI and RMSEA are the {words} ones.",)
