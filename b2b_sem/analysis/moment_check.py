"""The results of a study from its covariance matrix and number of rows alone, for readers without the answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from b2b_sem.analysis.effect import indirect_effects
from b2b_sem.analysis.measurement import measurement
from b2b_sem.analysis.rivals import compare_rival
from b2b_sem.analysis.structural import fit
from b2b_sem.errors import Unsupported
from b2b_sem.results.fit import FitResult
from b2b_sem.results.study import RivalResult, StudyResult
from b2b_sem.spec.model import ModelSpec
from b2b_sem.spec.survey import SurveySpec

__all__ = ["refit", "repeat_from_moments"]

#: Estimators whose estimates, standard errors and test are functions of the covariance matrix, the means and N.
_MOMENTS = frozenset({"ML", "GLS", "ULS"})
#: Options that need rows, or that name what a covariance matrix cannot have.
_ROWS = ("missing", "interaction", "auxiliary", "ordered", "parameterization", "cluster", "imputations", "seed")
_KEYS = (
    "converged", "identified", "admissible", "nobs", "measures", "parameters", "standardized", "r2", "sample_cov",
    "implied_cov", "latent_cov", "sample_mean", "implied_mean",
)  # fmt: skip


def _check(result: FitResult) -> bool:
    """Return whether standard errors and tests follow from the moments, too; raise if nothing does."""
    options = result.model.options
    missing = str(options.get("missing") or "listwise")
    for wrong, what in (
        (bool(options.get("ordered")), "thresholds and weights of ordinal items"),
        (missing != "listwise", f"missing answers treated by '{missing}'"),
        (bool(options.get("cluster")), "clusters"),
        (bool(result.groups), "groups"),
        (bool(result.auxiliary), "auxiliary variables"),
        (":" in " ".join(result.model.observed), "products"),
    ):
        if wrong:
            raise Unsupported(f"{what} need the answers: a covariance matrix does not determine the results")
    plainly = options.get("se") in ("standard", "none") and options.get("test") == "standard"
    if result.estimator in _MOMENTS and plainly and options.get("information") in ("expected", None):
        return True
    if result.estimator.startswith("ML") or result.estimator in ("GLS", "ULS"):
        return False
    raise Unsupported(f"estimator {result.estimator} needs the answers: its weights come from them")


def refit(saved: FitResult, text: str, settings: Mapping[str, Any]) -> FitResult:
    """Fit a model again to the moments that a result holds.

    Parameters
    ----------
    saved : FitResult
    text : str
        The model as the files say it.
    settings : mapping
        Options of the fit as the files say them.

    Raises
    ------
    Unsupported
        If the results are no function of the moments.
    """
    whole = _check(saved)
    options = saved.model.options
    given = {k: v for k, v in settings.items() if k not in _ROWS}
    base = "ML" if saved.estimator.startswith("ML") else saved.estimator
    given["estimator"] = base
    if not whole:
        given |= {"se": "standard", "test": "standard", "information": "expected"}
    elif settings.get("estimator") == "auto":
        given |= {"se": options["se"], "test": options["test"]}
    sample = saved.sample()
    n = saved.nobs
    # results hold moments with divisor N under the normal likelihood; labelled matrices are given with N - 1
    factor = n / (n - 1) if base == "ML" and options.get("likelihood", "normal") == "normal" else 1.0
    mean = sample.get("mean")
    if mean is not None:
        given["meanstructure"] = True
    found = fit(text, sample_cov=sample["cov"] * factor, sample_mean=mean, nobs=n, **given)
    assert isinstance(found, FitResult)
    return found


def _of_fit(result: FitResult, whole: bool) -> dict[str, Any]:
    made = result.to_json()
    out = {key: made[key] for key in _KEYS}
    if not whole:  # robust standard errors and scaled tests need rows; estimates do not
        names = ("lhs", "op", "rhs", "group", "est", "std_lv", "std_all")
        out["parameters"] = [{k: row[k] for k in names} for row in made["parameters"]]
        shown = ("lhs", "op", "rhs", "group", "est_std")
        out["standardized"] = [{k: row[k] for k in shown} for row in made["standardized"]]
        wanted = ("npar", "fmin", "chisq", "df", "baseline_chisq", "baseline_df", "logl", "aic", "bic", "srmr", "rmr")
        out["measures"] = {k: made["measures"][k] for k in wanted if k in made["measures"]}
    return out


def repeat_from_moments(
    saved: StudyResult, model: ModelSpec, survey: SurveySpec | None, settings: Mapping[str, Any], alpha: float
) -> tuple[dict[str, Any], dict[str, Any], StudyResult, list[str]]:
    """Repeat what follows from the moments of a study.

    Parameters
    ----------
    saved : StudyResult
        Holds the moments.
    model, survey, settings
        As the files of the study say.
    alpha : float

    Returns
    -------
    before, after : dict
        The parts that were repeated, of the saved results and of the repetition, to be compared.
    repeated : StudyResult
        `saved` with these parts replaced (verdicts are not judged here).
    unchecked : list of str
        What was not repeated.

    Raises
    ------
    Unsupported
        If the main fit is no function of the moments.
    """
    import dataclasses

    whole = _check(saved.fit)
    unchecked = ["whether the covariance matrix comes from the answers, and how the sample is described"]
    if not whole:
        unchecked.append("standard errors, scaled tests and the indices that rest on them (they need the answers)")
    main = refit(saved.fit, model.syntax(survey), settings)
    before: dict[str, Any] = {"fit": _of_fit(saved.fit, whole)}
    after: dict[str, Any] = {"fit": _of_fit(main, whole)}
    changes: dict[str, Any] = {"fit": main}
    if saved.measurement is not None and whole:
        changes["measurement"] = measurement(main)
        before["measurement"], after["measurement"] = saved.measurement.to_json(), changes["measurement"].to_json()
    if saved.effects is not None:
        if whole and saved.effects.ci == "delta":
            changes["effects"] = indirect_effects(main, level=saved.effects.level)
            before["effects"], after["effects"] = saved.effects.to_json(), changes["effects"].to_json()
        else:
            unchecked.append("indirect effects")
    rivals = []
    for rival in saved.rivals:
        again = _rival(rival, saved.fit, main, model, survey, settings, alpha) if whole else None
        if again is None or again.fit is None or rival.fit is None:
            unchecked.append(f"the rival model {rival.name}")
            continue
        for side, own in ((before, rival), (after, again)):
            assert own.fit is not None
            row = {"name": own.name, "relation": own.relation, "chisq_diff": own.chisq_diff, "df_diff": own.df_diff}
            row |= {"pvalue_diff": own.pvalue_diff, "message": own.message, "fit": _of_fit(own.fit, True)}
            side.setdefault("rivals", []).append({k: None if v != v else v for k, v in row.items()})
        rivals.append(again)
    for part, what in (
        (saved.missingness, "missing answers"),
        (saved.comparisons or saved.ladders or None, "groups"),
        (saved.moderations or None, "moderation"),
        (saved.fit_cutoffs, "cut-offs of fit indices"),
    ):
        if part is not None:
            unchecked.append(what)
    return before, after, dataclasses.replace(saved, **changes), unchecked


def _rival(
    rival: RivalResult,
    saved: FitResult,
    main: FitResult,
    model: ModelSpec,
    survey: SurveySpec | None,
    settings: Mapping[str, Any],
    alpha: float,
) -> RivalResult | None:
    if rival.fit is None or not set(rival.fit.model.observed) <= set(saved.model.observed):
        return None
    try:
        fitted = refit(rival.fit, model.syntax(survey, rival.name), settings)
    except Unsupported:
        return None
    return compare_rival(rival.name, rival.title, rival.why, main, fitted, alpha=alpha)
