"""Propositions that need models of their own, on one data set: groups compared, and products fitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from b2b_sem.errors import DataError
from b2b_sem.results.comparison import GroupComparison
from b2b_sem.results.fit import FitResult
from b2b_sem.spec.model import ModelSpec, Proposition
from b2b_sem.spec.moderation import product_of
from b2b_sem.spec.survey import SurveySpec

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["compare_split_claims", "group_claims", "is_testable", "settled"]


def compare_split_claims(
    name: str,
    model: ModelSpec,
    survey: SurveySpec | None,
    frame: pd.DataFrame | None,
    settings: Mapping[str, Any],
    fit: FitResult,
    *,
    alpha: float,
    level: float,
    multiplicity: str,
) -> GroupComparison:
    """Compare the groups of one split, and test the claims on it that have latents of their own.

    Parameters
    ----------
    name : str
        A group of the survey, or a categorical fact.
    model, survey : ModelSpec, SurveySpec or None
        The paths that are compared are those that the propositions name, or all of the model.
    frame : DataFrame or None
        Scored answers; None if there is only a covariance matrix.
    settings : mapping
        Of the fits.
    fit : FitResult
        Of all respondents.
    alpha, level : float
    multiplicity : str

    Raises
    ------
    DataError
        Without survey or answers.
    """
    from b2b_sem.analysis.claim_effect import compare_claim
    from b2b_sem.analysis.group_claim import compare_split
    from b2b_sem.analysis.split import split_answers

    if survey is None or frame is None:
        raise DataError(f"the groups of '{name}' cannot be compared: this needs a survey and its answers")
    paths = model.regressions()
    claimed = [p.claims()[0][0] for p in model.propositions if p.path is not None and p.readable]
    named = [f"{end} ~ {start}" for c in claimed for end, start in c.regressions if (end, start) in paths]
    found = compare_split(
        name,
        model.syntax(survey),
        frame,
        survey,
        list(dict.fromkeys(named)) or None,
        settings,
        alpha=alpha,
        level=level,
        multiplicity=multiplicity,
    )
    own = [model.claim_model(p, survey) for p in group_claims(model, (name,))]
    _, groups = split_answers(frame, survey, name)
    claims = tuple(compare_claim(c, frame, groups, settings, alpha=alpha, level=level, fit=fit) for c in own if c)
    return replace(found, claims=claims)


def group_claims(model: ModelSpec, splits: Sequence[str]) -> tuple[str, ...]:
    """Return the propositions that are tested with latents of their own, on one of these splits."""
    return tuple(p.id for p in model.propositions if p.own_model and p.group in splits)


def is_testable(prop: Proposition, model: ModelSpec) -> bool:
    """Whether the file says how the moderator is measured; without that the claim says what it needs."""
    return product_of(prop) is not None and (prop.needs is None or not model.absent(prop))


def settled(settings: Mapping[str, Any], main: FitResult, items: Sequence[str]) -> Mapping[str, Any]:
    """Return the settings of rivals and groups: what "auto" chose for the main model, as only like fits compare."""
    if str(settings.get("estimator", "")).lower() != "auto":
        return settings
    chosen = main.model.options
    ordered = set(chosen.get("ordered") or ())
    # an item that the main model does not have is of the same kind as its neighbours
    same = [i for i in items if i in ordered or i not in main.model.observed] if ordered else None
    return {**settings, "estimator": main.estimator, "missing": chosen["missing"], "ordered": same}
