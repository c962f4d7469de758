"""Verdicts: what a fitted model says about each proposition.

A verdict is computed from results only. It is ``supported`` when the two-sided adjusted p is below alpha and the sign
is the stated one, ``contradicted`` when it is below alpha with the opposite sign, ``not supported`` otherwise, and
``not testable here`` when the model has no such path or its numbers must not be used. The adjustment runs over the
propositions that were tested; those on moderation are a family of their own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from b2b_sem.errors import SpecError, did_you_mean
from b2b_sem.measures.multiplicity import adjusted
from b2b_sem.measures.notation import interval, number, p_phrase
from b2b_sem.results.comparison import ABSENT, HOLDS, OPEN, OPPOSITE, ClaimPart, GroupComparison
from b2b_sem.results.effect import EffectsResult
from b2b_sem.results.fit import FitResult
from b2b_sem.results.moderation_claim import ModerationClaim
from b2b_sem.results.verdict import CONTRADICTED, NOT_SUPPORTED, NOT_TESTABLE, SUPPORTED, Verdict
from b2b_sem.spec.model import Proposition

__all__ = ["adjust", "judge", "quantile"]

NAN = float("nan")
#: Quantile of the normal distribution behind 95 % intervals.
NORMAL = 1.959963984540054
METHODS = {"holm": "Holm", "bonferroni": "Bonferroni", "bh": "Benjamini-Hochberg", "none": "not adjusted"}


@dataclass(frozen=True)
class _Path:
    """The estimates of one path."""

    estimate: float
    se: float
    z: float
    pvalue: float
    std: float
    std_se: float
    #: Half the width of the 95 % interval of the standardized estimate, in standard errors.
    reach: float = NORMAL


def adjust(pvalues: Sequence[float], method: str) -> list[float]:
    """Adjust p-values for multiple tests.

    Parameters
    ----------
    pvalues : sequence of float
    method : {"holm", "bonferroni", "bh", "none"}
        Holm (1979), https://www.jstor.org/stable/4615733; Bonferroni; Benjamini & Hochberg (1995),
        doi:10.1111/j.2517-6161.1995.tb02031.x.

    Raises
    ------
    SpecError
        For another method.
    """
    if method not in METHODS:
        raise SpecError(
            f"unknown multiplicity adjustment '{method}'.{did_you_mean(method, METHODS)}",
            hint="use " + ", ".join(METHODS),
        )
    return adjusted(pvalues, method)


def judge(
    propositions: Sequence[Proposition],
    fit: FitResult,
    *,
    alpha: float = 0.05,
    level: float = 0.95,
    multiplicity: str = "holm",
    names: Mapping[str, str] | None = None,
    effects: EffectsResult | None = None,
    comparisons: Sequence[GroupComparison] = (),
    moderations: Sequence[ModerationClaim] = (),
) -> tuple[Verdict, ...]:
    """Return a verdict for each proposition.

    Parameters
    ----------
    propositions : sequence of Proposition
        As declared in the model file.
    fit : FitResult
    alpha, level : float
        Decision level, and confidence level of the standardized intervals.
    multiplicity : {"holm", "bonferroni", "bh", "none"}
    names : mapping, optional
        Construct code -> name, for the sentences.
    effects : EffectsResult, optional
        Effects of the model by the delta method, for propositions on indirect effects. Computed from `fit` without it.
    comparisons : sequence of GroupComparison
        For propositions on groups. All parts of such a claim must hold: its p-value is the largest of theirs
        (intersection-union test; Berger 1982, doi:10.1080/00401706.1982.10487790).
    moderations : sequence of ModerationClaim
        For propositions on moderation. They rest on models of their own and are a family of their own: their p-values
        are adjusted together, and those of the others do not count them.

    Returns
    -------
    tuple of Verdict
        In the order of `propositions`.
    """
    paths: dict[str, _Path] = {}
    claims: dict[str, tuple[ClaimPart, ...]] = {}
    reasons: dict[str, str] = {}
    for prop in propositions:
        compared = next((c for c in comparisons if prop.test == "group" and c.name == prop.group), None)
        if compared is not None:
            claims[prop.id] = _claim(prop, fit, compared, alpha)
            continue
        if prop.test == "indirect" and effects is None and fit.ok:
            effects = _effects(fit)
        tried = next((m for m in moderations if prop.test == "moderation" and m.id == prop.id), None)
        found = _find(prop, fit, effects) if tried is None else _find_product(tried)
        if isinstance(found, _Path):
            paths[prop.id] = found
        else:
            reasons[prop.id] = found
    tested = {name: p.pvalue for name, p in paths.items()}
    # a claim with several parts is as sure as the least sure of them; without all of them it is not tested
    whole = {name for name, parts in claims.items() if all(p.outcome != ABSENT for p in parts)}
    tested |= {name: max(p.pvalue for p in claims[name]) for name in claims if name in whole}
    apart = {p.id for p in propositions if p.test == "moderation"} & set(tested)
    adjusted: dict[str, float] = {}
    for family in ([name for name in tested if name not in apart], [name for name in tested if name in apart]):
        adjusted |= zip(family, adjust([tested[name] for name in family], multiplicity), strict=True)
    out = []
    for prop in propositions:
        if prop.id in claims:
            p = adjusted.get(prop.id, NAN)
            out.append(_judge_claim(prop, claims[prop.id], p, alpha, level, multiplicity, len(tested) - len(apart)))
            continue
        path = paths.get(prop.id)
        if path is None:
            out.append(_untested(prop, reasons[prop.id], alpha, level, multiplicity))
            continue
        p = adjusted[prop.id]
        positive = path.estimate > 0
        expected = prop.sign == "+"
        if p < alpha:
            verdict = SUPPORTED if positive == expected else CONTRADICTED
        else:
            verdict = NOT_SUPPORTED
        half = quantile(level, path.reach) * path.std_se
        ci = (path.std - half, path.std + half)
        out.append(
            Verdict(
                prop.id,
                prop.statement,
                prop.path or "",
                prop.sign or "",
                prop.test,
                verdict,
                _reason(prop, verdict, positive, p, alpha, multiplicity),
                _sentence(prop, verdict, path, p, ci, level, multiplicity, names or {}),
                path.estimate,
                path.se,
                path.z,
                path.pvalue,
                p,
                path.std,
                path.std_se,
                *ci,
                alpha,
                level,
                multiplicity,
            )
        )
    return tuple(out)


def _claim(prop: Proposition, fit: FitResult, comparison: GroupComparison, alpha: float) -> tuple[ClaimPart, ...]:
    from b2b_sem.analysis.group_claim import claim_parts

    return claim_parts(prop, fit, comparison, alpha)


def _judge_claim(
    prop: Proposition,
    parts: tuple[ClaimPart, ...],
    p: float,
    alpha: float,
    level: float,
    multiplicity: str,
    family: int,
) -> Verdict:
    """Judge a claim with several parts: supported if all hold, contradicted if one is surely the opposite."""
    found = "; ".join(f"{part.id}, {part.claim}: {part.text}" for part in parts)
    absent = [part for part in parts if part.outcome == ABSENT]
    if absent:
        names = " and ".join(part.id for part in absent)
        reason = f"{names} could not be tested. {_capital(found)}."
        return replace(_untested(prop, reason, alpha, level, multiplicity), parts=parts)
    # one opposite part is enough, so that its p-value pays for all parts and all propositions (Bonferroni)
    against = [q for q in parts if q.outcome == OPPOSITE and q.pvalue * len(parts) * family < alpha]
    if against:
        verdict = CONTRADICTED
        verb = "is" if len(against) == 1 else "are"
        why = f"{' and '.join(q.id for q in against)} {verb} the opposite of what is stated"
    elif p < alpha and all(q.outcome == HOLDS for q in parts):
        verdict, why = SUPPORTED, "All parts hold"
    else:
        verdict = NOT_SUPPORTED
        words = {OPEN: "is not significant", OPPOSITE: "has the opposite sign", HOLDS: "holds"}
        why = ", ".join(f"{q.id} {words[q.outcome]}" for q in parts)
    test = f"{_adjusted(multiplicity)} of the least sure part {p_phrase(p).removeprefix('p ')}"
    blank = _untested(prop, "", alpha, level, multiplicity)
    return replace(
        blank,
        verdict=verdict,
        reason=f"{why} ({test}). {_capital(found)}.",
        sentence=f"{_capital(why)} ({found}; {test}): {prop.id} is {verdict}.",
        pvalue=max(q.pvalue for q in parts),
        p_adjusted=p,
        parts=parts,
    )


def quantile(level: float, reach: float) -> float:
    """Return what an interval adds on either side in standard errors.

    `reach` is that of the 95 % interval. Pooled fits to imputed data have t distributions with degrees of freedom of
    their own for each parameter; the one that leads to this reach serves other levels.
    """
    from scipy.special import ndtri, stdtridf, stdtrit

    normal = float(ndtri(0.5 + level / 2))
    if not reach > NORMAL * (1 + 1e-6):
        return normal
    if level == 0.95:
        return reach
    return float(stdtrit(stdtridf(0.975, reach), 0.5 + level / 2))


def _effects(fit: FitResult) -> EffectsResult | None:
    """Return the effects of a fit; None for one read from a file, which has nothing to compute them from."""
    from b2b_sem.analysis.effect import indirect_effects
    from b2b_sem.errors import Unsupported

    try:
        return indirect_effects(fit)
    except Unsupported:
        return None


def _find_indirect(prop: Proposition, needs: str, effects: EffectsResult | None) -> _Path | str:
    """Return the specific indirect effect along the stated path, or why it cannot be tested."""
    claims = prop.claims()
    if len(claims) != 1 or len(claims[0][0].steps) < 3:
        return needs or "It does not name a single path through another variable."
    if effects is None:
        return needs or "This result holds no indirect effects: fit the model again."
    path = " -> ".join(claims[0][0].steps)
    table = effects.select("specific")
    row = table[table["path"] == path]
    if row.empty:
        return f"The model has no path {path}. {needs}".rstrip()
    values = [float(row[c].iloc[0]) for c in ("est", "se", "z", "pvalue", "est_std", "se_std")]
    if not all(map(math.isfinite, values)):
        return f"The indirect effect {path} has no standard error."
    return _Path(*values)


def _find(prop: Proposition, fit: FitResult, effects: EffectsResult | None) -> _Path | str:
    """Return the path a proposition is about, or why it cannot be tested."""
    needs = f"It needs {prop.needs}." if prop.needs else ""
    if prop.test == "moderation":
        return needs or "It needs a model with the interaction as a predictor, and a test of that interaction."
    if prop.test == "group":
        return needs or "It needs a comparison of groups within one model."
    if not fit.ok:
        return f"No verdict rests on this fit: {fit.failure}."
    if prop.test == "indirect":
        return _find_indirect(prop, needs, effects)
    claims = prop.claims()
    if len(claims) != 1 or len(claims[0][0].regressions) != 1:
        return needs or "It does not name a single path."
    ((outcome, predictor),) = claims[0][0].regressions
    raw = fit.parameters
    row = raw[(raw["op"] == "~") & (raw["lhs"] == outcome) & (raw["rhs"] == predictor)]
    if row.empty:
        return f"The model has no path from {predictor} to {outcome}. {needs}".rstrip()
    table = fit.standardized()
    std = table[(table["op"] == "~") & (table["lhs"] == outcome) & (table["rhs"] == predictor)]
    values = [float(row[c].iloc[0]) for c in ("est", "se", "z", "pvalue")]
    values += [float(std[c].iloc[0]) for c in ("est_std", "se")]
    if int(row["free"].iloc[0]) == 0:
        return f"The path from {predictor} to {outcome} is fixed in the model, so there is nothing to test."
    if not all(map(math.isfinite, values)):
        return f"The path from {predictor} to {outcome} has no standard error."
    reach = (float(std["ci_upper"].iloc[0]) - float(std["ci_lower"].iloc[0])) / 2 / values[-1]
    return replace(_Path(*values), reach=reach)


def _find_product(claim: ModerationClaim) -> _Path | str:
    """Return the effect of the product, or why it cannot be tested."""
    if claim.fit is None:
        return " ".join(claim.reasons) or "The model with the product was not fitted."
    if not claim.ok:
        return f"No verdict rests on the fit with {claim.product}: {claim.fit.failure}."
    row = claim.row
    values = [row.get(c, NAN) for c in ("est", "se", "z", "pvalue", "std", "std_se")]
    if not all(map(math.isfinite, values)):
        return f"The product {claim.product} has no standard error."
    return _Path(*values)


def _untested(prop: Proposition, reason: str, alpha: float, level: float, multiplicity: str) -> Verdict:
    sign = prop.sign or " and ".join(f"{part.path} ({part.sign})" for part in prop.parts)
    path = prop.path or "; ".join(part.path for part in prop.parts)
    return Verdict(
        prop.id,
        prop.statement,
        path,
        sign if prop.sign else "two-part" if prop.parts else "",
        prop.test,
        NOT_TESTABLE,
        reason,
        f"{prop.id} is not testable here. {reason}",
        NAN,
        NAN,
        NAN,
        NAN,
        NAN,
        NAN,
        NAN,
        NAN,
        NAN,
        alpha,
        level,
        multiplicity,
    )


def _adjusted(multiplicity: str) -> str:
    return "p" if multiplicity == "none" else f"{METHODS[multiplicity]}-adjusted p"


def _reason(prop: Proposition, verdict: str, positive: bool, p: float, alpha: float, multiplicity: str) -> str:
    test = f"{_adjusted(multiplicity)} {p_phrase(p).removeprefix('p ')}"
    limit = number(alpha, 3, bounded=True).rstrip("0")
    what = {"indirect": "indirect effect", "moderation": "product"}.get(prop.test, "path")
    if verdict == NOT_SUPPORTED:
        return f"The {what} does not differ reliably from zero ({test}, not below {limit})."
    direction = "positive" if positive else "negative"
    stated = "as stated" if verdict == SUPPORTED else "the opposite of what is stated"
    return f"The {what} is {direction}, {stated} ({test}, below {limit})."


def _sentence(
    prop: Proposition,
    verdict: str,
    path: _Path,
    p: float,
    ci: tuple[float, float],
    level: float,
    multiplicity: str,
    names: Mapping[str, str],
) -> str:
    claim = prop.claims()[0][0]
    start, end = (names.get(c, c) for c in (claim.start, claim.end))
    through = " and ".join(names.get(c, c) for c in claim.steps[1:-1])
    end += f" through {through}" if through else ""
    numbers = (
        f"beta = {number(path.std, 2, bounded=True)}, {100 * level:g}% CI {interval(*ci, 2, bounded=True)}, "
        f"{p_phrase(path.pvalue)}"
    )
    if multiplicity != "none":
        numbers += f", {_adjusted(multiplicity)} {p_phrase(p).removeprefix('p ')}"
    if claim.moderator is not None:
        effect, moderator = f"the effect of {start} on {end}", names.get(claim.moderator, claim.moderator)
        if verdict == NOT_SUPPORTED:
            return f"{_capital(effect)} did not reliably depend on {moderator} ({numbers}): {prop.id} is not supported."
        moves = "rose" if path.estimate > 0 else "fell"
        stated = "supported" if verdict == SUPPORTED else "contradicted"
        return f"{_capital(effect)} {moves} with {moderator} ({numbers}): {prop.id} is {stated}."
    if verdict == NOT_SUPPORTED:
        text = f"{_capital(start)} was not reliably related to {end} ({numbers}): {prop.id} is not supported."
    else:
        direction = "positively" if path.estimate > 0 else "negatively"
        stated = "supported" if verdict == SUPPORTED else "contradicted"
        text = f"{_capital(start)} was {direction} related to {end} ({numbers}): {prop.id} is {stated}."
    return text


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
