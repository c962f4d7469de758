"""Propositions on groups: which answers can be compared in a study, and what each part of a claim is worth."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice, product
from string import ascii_lowercase
from typing import Any

import pandas as pd

from b2b_sem.analysis.fitted import context_of
from b2b_sem.analysis.invariance import invariance
from b2b_sem.analysis.path_fit import ESTIMATORS, ORDINAL_ESTIMATORS, is_ordinal
from b2b_sem.analysis.path_group import compare_groups
from b2b_sem.analysis.split import small_groups, split_answers, too_small
from b2b_sem.errors import B2BSemError, Unsupported
from b2b_sem.measures.notation import number, p_phrase
from b2b_sem.results.comparison import ABSENT, HOLDS, OPEN, OPPOSITE, ClaimPart, GroupComparison
from b2b_sem.results.fit import FitResult
from b2b_sem.results.invariance import InvarianceResult
from b2b_sem.spec.measurement import measurement_model
from b2b_sem.spec.model import Proposition
from b2b_sem.spec.partable import build_table
from b2b_sem.spec.survey import SurveySpec
from b2b_sem.spec.syntax import parse_model
from b2b_sem.spec.threshold import ORDINAL_STEPS, untested_loadings

__all__ = ["claim_parts", "compare_split", "ladder_split", "settle", "split_answers"]


def compare_split(
    name: str,
    text: str,
    frame: pd.DataFrame,
    survey: SurveySpec,
    paths: Sequence[str] | None,
    settings: Mapping[str, Any],
    *,
    alpha: float,
    level: float,
    multiplicity: str,
) -> GroupComparison:
    """Compare groups of respondents: invariance up to equal intercepts, latent means, and paths.

    Parameters
    ----------
    name : str
        A group of the survey, or a background fact.
    text : str
        The model.
    frame : DataFrame
        Scored answers and background facts.
    survey : SurveySpec
    paths : sequence of str or None
        To compare; None for all.
    settings : mapping
        Of the fit; what is not available for groups is replaced, which is said. Ordinal items stay ordinal.
    alpha, level, multiplicity
        As in :func:`b2b_sem.compare_groups`.
    """
    options, replaced = settle(settings)
    ordinal = "ordered" in options
    steps = tuple(ORDINAL_STEPS)[:4] if ordinal else ("configural", "metric", "scalar")
    found = _climb(name, text, frame, survey, options, replaced, steps, alpha)
    label, ladder, reasons = found.label, found.ladder, found.reasons
    if ladder is None:
        return GroupComparison(name, label, None, None, tuple(reasons))
    if why := _not_equal(ladder, ordinal):
        reasons.append(f"Paths were not compared: {why}.")
        return GroupComparison(name, label, ladder, None, tuple(reasons))
    released = [p for p in ladder.releases["parameter"].tolist() if "=~" in p or ordinal]
    firsts = {f: items[0] for f, items in measurement_model(parse_model(text)).items.items()}
    try:
        compared = compare_groups(
            text,
            found.data,
            name,
            paths=paths,
            partial=released,
            # the first loading gives the unit, unless it was released
            std_lv=any(p == f"{f}=~{item}" or p.startswith(f"{item}|") for f, item in firsts.items() for p in released),
            alpha=alpha,
            level=level,
            multiplicity=multiplicity,
            **options,
        )
    except B2BSemError as error:
        return GroupComparison(name, label, ladder, None, (*reasons, f"Paths were not compared: {error.message}."))
    return GroupComparison(name, label, ladder, compared, tuple(reasons))


def ladder_split(
    name: str, text: str, frame: pd.DataFrame, survey: SurveySpec, settings: Mapping[str, Any], *, alpha: float
) -> GroupComparison:
    """Test the invariance of the measurement in groups of respondents, up to strict invariance; no paths.

    Parameters
    ----------
    name, text, frame, survey, settings, alpha
        As in :func:`compare_split`.
    """
    options, replaced = settle(settings)
    found = _climb(name, text, frame, survey, options, replaced, None, alpha)
    return GroupComparison(name, found.label, found.ladder, None, tuple(found.reasons))


@dataclass(frozen=True)
class _Split:
    """Groups of respondents and their ladder; None if there is a reason against it."""

    label: str
    data: pd.DataFrame
    reasons: list[str]
    ladder: InvarianceResult | None


def _climb(
    name: str,
    text: str,
    frame: pd.DataFrame,
    survey: SurveySpec,
    options: Mapping[str, Any],
    replaced: Sequence[str],
    steps: Sequence[str] | None,
    alpha: float,
) -> _Split:
    label, groups = split_answers(frame, survey, name)
    reasons = [*small_groups(frame, survey, name)]
    data = frame.assign(**{name: groups})
    if why := too_small(groups, len(build_table(parse_model(text)).observed)):
        return _Split(label, data, [*reasons, f"Groups were not compared: {why}."], None)
    reasons += replaced
    try:
        return _Split(label, data, reasons, invariance(text, data, name, steps=steps, alpha=alpha, **options))
    except B2BSemError as error:
        return _Split(label, data, [*reasons, f"Invariance was not tested: {error.message}."], None)


def _not_equal(ladder: InvarianceResult, ordinal: bool) -> str:
    """Return why paths may not be compared after a ladder, "" if they may."""
    if ladder.holds in ("", "configural", "thresholds"):
        return "loadings are not equal in the groups"
    if ordinal and ladder.holds == "metric":
        table = context_of(ladder.fit("configural")).problem.table
        levels = Counter(r.lhs for r in table.rows if r.op == "|" and r.group == 1)
        items: dict[str, list[str]] = {}
        for row in table.rows:
            if row.op == "=~" and row.group == 1:
                items.setdefault(row.lhs, []).append(row.rhs)
        if untested := untested_loadings(items, levels):
            return (
                f"loadings of items with two categories are equal only with equal intercepts ({', '.join(untested)}), "
                "which were not established"
            )
    return ""


def settle(settings: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the options of fits of several groups, and what they replace or leave out.

    Ordinal items have ``ordered`` and ``parameterization`` among the options.

    Raises
    ------
    Unsupported
        For clusters: without them standard errors of differences would be wrong.
    """
    if settings.get("cluster") is not None:
        raise Unsupported(
            f"cluster={settings['cluster']!r}: groups of a study cannot be compared when answers are clustered",
            hint="leave 'groups' out of the analyses",
        )
    ordinal = is_ordinal(settings.get("ordered"))
    estimator = str(settings.get("estimator", "ML")).upper()
    reasons = []
    usual, available = ("WLSMV", ORDINAL_ESTIMATORS) if ordinal else ("MLR", ESTIMATORS)
    if ordinal and estimator in ("ML", "DEFAULT"):
        estimator = usual
    if estimator not in available:
        reasons.append(f"Groups were compared with {usual}: {estimator} is not available for that.")
        estimator = usual
    missing = str(settings.get("missing", "listwise"))
    all_answers = "pairwise" if ordinal else "fiml"
    if missing not in ("listwise", all_answers):
        what = "pairs of answers" if ordinal else "full information"
        reasons.append(f"Groups were compared with {what}: missing='{missing}' is not available for that.")
        missing = all_answers
    options: dict[str, Any] = {"estimator": estimator, "missing": missing}
    if ordinal:
        options |= {"ordered": settings["ordered"], "parameterization": settings.get("parameterization", "delta")}
    left = [
        k for k in ("auxiliary", "bounds", "information", "likelihood", "se", "test") if settings.get(k) is not None
    ]
    if left:
        reasons.append(f"Groups were compared without the setting{'s' * (len(left) > 1)} {', '.join(left)}.")
    return options, reasons


def claim_parts(
    prop: Proposition, fit: FitResult, comparison: GroupComparison | None, alpha: float
) -> tuple[ClaimPart, ...]:
    """Return each part of a proposition on groups, tested at `alpha`.

    A single path is claimed for every group, each a part. Of several parts, ``RG -> AU`` is the regression on measured
    RG where the model has it, else the latent mean of AU in the level that the proposition names minus that in the
    other; and the paths of the model must differ. A claim with latents, mediators or covariates of its own rests on
    what :func:`b2b_sem.analysis.claim_effect.compare_claim` found.
    """
    claims = prop.claims()
    if not prop.parts:
        return _in_each_group(prop, comparison, alpha)
    out = []
    for letter, (path, sign) in zip(_letters(), claims, strict=False):
        claim, identity = f"{path.start} -> {path.end} ({sign})", f"{prop.id}{letter}"
        if prop.own_model:
            out.append(_own_part(prop, identity, claim, path.start, path.end, sign, comparison, alpha))
            continue
        found = _regression(fit, path.start, path.end)
        what = f"the path from {path.start} to {path.end}"
        if found is None:
            what = f"the mean of {path.end} in {prop.level} minus that in the other group"
            found = _mean(prop, path.end, comparison)
        if isinstance(found, str):
            out.append(ClaimPart(identity, claim, ABSENT, found))
            continue
        est, se, p = found
        outcome = _outcome(est, p, sign, alpha)
        text = f"{what} is {number(est)} (SE = {number(se)}, {p_phrase(p)})"
        out.append(ClaimPart(identity, claim, outcome, text, est, se, p))
    identity = f"{prop.id}{next(islice(_letters(), len(claims), None))}"
    out.append(_paths_differ(identity, comparison, alpha))
    return tuple(out)


def _own_part(
    prop: Proposition,
    identity: str,
    claim: str,
    start: str,
    end: str,
    sign: str,
    comparison: GroupComparison | None,
    alpha: float,
) -> ClaimPart:
    """Return a part of a claim that has latents of its own, with what its effect is made of."""
    own = None if comparison is None else next((c for c in comparison.claims if c.id == prop.id), None)
    if own is None:
        return ClaimPart(identity, claim, ABSENT, "no groups were compared with the latents of this claim")
    effects = own.effects
    effects = effects[(effects["outcome"] == end) & effects["predictor"].isin([start, own.level])]
    judged = effects[effects["judged"]]
    if judged.empty:
        return ClaimPart(identity, claim, ABSENT, "; ".join(own.reasons).rstrip(".") or f"there is no {end}")
    row = judged.iloc[0]
    est, se, p = (float(row[c]) for c in ("est", "se", "pvalue"))
    if not math.isfinite(p):
        return ClaimPart(identity, claim, ABSENT, f"the effect on {end} has no standard error")
    means = row["predictor"] != start
    what = (
        f"the mean of {end} in {own.level} minus that in {own.reference}"
        if means
        else f"the effect of {start} on {end}"
    )
    if own.role == "covariates":
        what += f", with {' and '.join(own.between)} held equal,"
        if own.equal_slopes is False and means:
            what += " at the mean of all respondents"
    others = effects[(effects["at"] == "") & ~effects["judged"]]
    shown = [f"{_word(r)} {number(r['est'])} ({p_phrase(r['pvalue'])})" for r in others.to_dict("records")]
    text = f"{what} is {number(est)} (SE = {number(se)}, {p_phrase(p)})" + (f": {', '.join(shown)}" if shown else "")
    return ClaimPart(identity, claim, _outcome(est, p, sign, alpha), text, est, se, p)


def _word(row: Mapping[Any, Any]) -> str:
    if row["effect"] != "indirect":
        return str(row["effect"])
    return f"through {row['through']}" if row["through"] else "through all of these"


def _letters() -> Iterator[str]:
    """Yield a, b, ..., z, aa, ab, ...: the names of parts."""
    for length in count(1):
        for letters in product(ascii_lowercase, repeat=length):
            yield "".join(letters)


def _outcome(est: float, p: float, sign: str, alpha: float) -> str:
    if not p < alpha:
        return OPEN
    return HOLDS if (est > 0) == (sign == "+") else OPPOSITE


def _in_each_group(prop: Proposition, comparison: GroupComparison | None, alpha: float) -> tuple[ClaimPart, ...]:
    path, sign = prop.claims()[0]
    claim = f"{path.start} -> {path.end} ({sign})"
    found = None if comparison is None else comparison.paths
    if comparison is None or found is None:
        why = "no groups were compared" if comparison is None else "; ".join(comparison.reasons).rstrip(".")
        return (ClaimPart(f"{prop.id}a", f"{claim} in each group", ABSENT, why),)
    if found.fit is not None and not found.fit.ok:
        return (ClaimPart(f"{prop.id}a", f"{claim} in each group", ABSENT, found.fit.failure),)
    table = found.estimates
    rows = table[table["path"] == f"{path.end}~{path.start}"]
    if rows.empty:
        return (ClaimPart(f"{prop.id}a", f"{claim} in each group", ABSENT, "this path was not compared"),)
    out = []
    for letter, row in zip(_letters(), rows.to_dict("records"), strict=False):
        est, se, p = (float(row[c]) for c in ("est", "se", "pvalue"))
        identity, own = f"{prop.id}{letter}", f"{claim} in {row['group']}"
        if not math.isfinite(p):
            out.append(ClaimPart(identity, own, ABSENT, "the path has no standard error"))
            continue
        text = f"the path is {number(est)} (SE = {number(se)}, {p_phrase(p)})"
        out.append(ClaimPart(identity, own, _outcome(est, p, sign, alpha), text, est, se, p))
    return tuple(out)


def _regression(fit: FitResult, start: str, end: str) -> tuple[float, float, float] | str | None:
    table = fit.parameters
    row = table[(table["op"] == "~") & (table["lhs"] == end) & (table["rhs"] == start) & (table["group"] <= 1)]
    if row.empty:
        return None
    if not fit.ok:
        return f"no verdict rests on this fit: {fit.failure}"
    est, se, p = (float(row[c].iloc[0]) for c in ("est", "se", "pvalue"))
    return (est, se, p) if math.isfinite(p) else f"the path from {start} to {end} has no standard error"


def _mean(prop: Proposition, latent: str, comparison: GroupComparison | None) -> tuple[float, float, float] | str:
    if comparison is None:
        return "no groups were compared"
    ladder = comparison.invariance
    if ladder is None:
        return "; ".join(comparison.reasons).rstrip(".")
    if prop.level is None:
        return "the proposition does not say which group is meant ('level')"
    if len(ladder.groups) != 2 or prop.level not in ladder.groups:
        return f"the groups are {', '.join(ladder.groups)}, not '{prop.level}' and one other"
    means = ladder.means
    if means.empty:
        return "latent means may not be compared: equal intercepts were not established"
    row = means[means["latent"] == latent]
    if row.empty:
        return f"the model has no {latent}"
    est, se, p = (float(row[c].iloc[0]) for c in ("est", "se", "pvalue"))
    if not (math.isfinite(est) and math.isfinite(p)):
        return f"the difference in {latent} has no standard error"
    # results hold the second group minus the first
    return (-est if prop.level == next(iter(ladder.groups)) else est), se, p


def _paths_differ(identity: str, comparison: GroupComparison | None, alpha: float) -> ClaimPart:
    claim = "paths differ"
    if comparison is None:
        return ClaimPart(identity, claim, ABSENT, "no groups were compared")
    found = comparison.paths
    if found is None:
        return ClaimPart(identity, claim, ABSENT, "; ".join(comparison.reasons).rstrip("."))
    if found.fit is not None and not found.fit.ok:
        return ClaimPart(identity, claim, ABSENT, f"paths cannot be compared: {found.fit.failure}")
    p, chisq, df = (found.omnibus[k] for k in ("pvalue_diff", "chisq_diff", "df_diff"))
    if not math.isfinite(p):
        p, chisq, df = (found.omnibus[k] for k in ("wald_pvalue", "wald", "df"))
    if not math.isfinite(p):
        return ClaimPart(identity, claim, ABSENT, "the test of equal paths has no p-value")
    paths = len(found.tests)
    text = f"equality of {paths} path{'s' * (paths > 1)}: chi-square = {number(chisq)}, df = {df:.0f}, {p_phrase(p)}"
    return ClaimPart(identity, claim, HOLDS if p < alpha else OPEN, text, pvalue=p)
