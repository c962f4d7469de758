"""The tables of a checked lesson: paths, loadings, reliabilities, verdicts beside the truth, and what chance does."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

from b2b_sem.analysis.measurement import reliability
from b2b_sem.errors import B2BSemError
from b2b_sem.propositions import judge
from b2b_sem.results.fit import FitResult
from b2b_sem.results.lesson import LOADING_COLUMNS, PATH_COLUMNS, RELIABILITY_COLUMNS, VERDICT_COLUMNS, as_frame
from b2b_sem.results.study import StudyResult
from b2b_sem.results.verdict import CONTRADICTED, NOT_SUPPORTED, NOT_TESTABLE, SUPPORTED, Verdict
from b2b_sem.simulate import lesson_words as words
from b2b_sem.simulate.lesson import OpenLesson
from b2b_sem.simulate.lesson_answers import Treatment
from b2b_sem.simulate.lesson_model import FittedModel, measured
from b2b_sem.simulate.lesson_truth import TrueVerdict, true_reliability, true_verdict

__all__ = [
    "CONFIDENCE",
    "Case",
    "chance",
    "loading_table",
    "path_table",
    "reliability_table",
    "verdict_table",
]

NAN = float("nan")
Pair = tuple[str, str]
#: Of the intervals of a fit.
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Case:
    """Everything the tables of a check are made of; paths are (outcome, predictor).

    Attributes
    ----------
    opened : OpenLesson
    model : FittedModel
    treatment : Treatment or None
        None: the moments of the fit are not those of the answers.
    main : tuple of Pair
        Paths of the true main model.
    truth : dict
        Their values, in all respondents together.
    mixed : frozenset of Pair
        Those that differ between groups.
    alpha : float
    recovered : DataFrame
        Known values beside estimates.
    away : dict
        How far each path would be from the truth with very many respondents.
    sources : dict
        What takes part in that -> how far.
    power : dict
        Power and rows needed of the test of each path.
    """

    opened: OpenLesson
    model: FittedModel
    treatment: Treatment | None
    main: tuple[Pair, ...]
    truth: dict[Pair, float]
    mixed: frozenset[Pair]
    alpha: float
    recovered: pd.DataFrame
    away: dict[Pair, float]
    sources: dict[Pair, dict[str, float]]
    power: dict[Pair, tuple[float, float]]


def path_table(case: Case, study: StudyResult | None) -> pd.DataFrame:
    """Return the paths of the population and of the fitted model, each with what became of it."""
    fitted = case.model.regressions
    turned = {(b, a) for a, b in case.main if (a, b) not in fitted and (b, a) in fitted}
    every = dict.fromkeys([*case.main, *(pair for pair in fitted if _gradable(pair, case))])
    rows = [_path(case, pair, turned) for pair in every]
    rows += _products(case, study)
    return as_frame(rows, PATH_COLUMNS)


def _gradable(pair: Pair, case: Case) -> bool:
    """Whether the value of a path is known: between latents that the population has."""
    known = set(case.opened.drawn.population.nodes)
    return set(pair) <= known and pair not in set(case.opened.spec.regressions(case.opened.model)) - set(case.main)


def _path(case: Case, pair: Pair, turned: set[Pair]) -> dict[str, Any]:
    outcome, predictor = pair
    fit = case.model.fit
    in_truth = pair in case.main
    truth = case.truth.get(pair, NAN) if in_truth else 0.0
    est, se, low, high = _standardized(fit, pair)
    p = _pvalue(fit, pair)
    if pair not in case.model.regressions:
        decision = words.ABSENT
    elif not fit.ok or not math.isfinite(p):
        decision = words.NO_VERDICT
    elif pair in turned:
        decision = words.TURNED
    else:
        decision = _decision(truth, est, p, case.alpha)
    covered = None if decision in (words.ABSENT, words.NO_VERDICT, words.TURNED) else bool(low <= truth <= high)
    recovered: bool | None
    if decision == words.ABSENT:
        recovered = False if truth else None
    elif not in_truth:
        recovered = None
    else:
        recovered = decision == words.RIGHT and covered is True
    power, needed = case.power.get(pair, (NAN, NAN))
    away = case.away.get(pair, NAN)
    usable = covered is not None and se > 0
    prop, sign = _claim(case, pair)
    explained = words.PathCase(
        predictor, outcome, truth, est, se, p, (low, high), decision, covered is True, away,
        case.sources.get(pair, {}), power, needed, fit.nobs, case.alpha, in_truth,
    )  # fmt: skip
    text = words.explain_path(explained)
    if pair in case.mixed:
        text += " The groups differ in this path: its truth is that of all respondents together."
    return {
        "path": f"{predictor} -> {outcome}",
        "lhs": outcome,
        "rhs": predictor,
        "proposition": prop,
        "claimed": sign,
        "truth": truth,
        "est": est,
        "ci_lower": low,
        "ci_upper": high,
        "covered": covered,
        "pvalue": p,
        "decision": decision,
        "recovered": recovered,
        "bias_se": (est - truth) / se if usable else NAN,
        "systematic_se": away / se if usable else NAN,
        "chance_se": (est - truth - away) / se if usable else NAN,
        "power": power,
        "rows_needed": needed if truth and math.isfinite(needed) else NAN,
        "explanation": text,
    }


def _products(case: Case, study: StudyResult | None) -> list[dict[str, Any]]:
    """Return the effects of products that a study tested, where the population has them."""
    table = case.opened.drawn.moderated
    if study is None or table is None:
        return []
    out = []
    for claim in study.moderations:
        names = {claim.product, ":".join(reversed(claim.product.split(":")))}
        known = table[(table["op"] == "~") & (table["lhs"] == claim.outcome) & table["rhs"].isin(names)]
        row = claim.row
        if known.empty or not claim.ok or not row.get("std_se", NAN) > 0:
            continue
        truth, est, se = float(known["value"].iloc[0]), row["std"], row["std_se"]
        low, high = row["std_lower"], row["std_upper"]
        decision = _decision(truth, est, row["pvalue"], case.alpha)
        covered = bool(low <= truth <= high)
        explained = words.PathCase(
            claim.product, claim.outcome, truth, est, se, row["pvalue"], (low, high), decision, covered, NAN, {}, NAN,
            NAN, claim.fit.nobs if claim.fit is not None else 0, case.alpha,
        )  # fmt: skip
        prop = next((p for p in case.opened.model.propositions if p.id == claim.id), None)
        out.append(
            dict.fromkeys(PATH_COLUMNS, NAN)
            | {
                "path": f"{claim.predictor} x {claim.moderator} -> {claim.outcome}",
                "lhs": claim.outcome,
                "rhs": claim.product,
                "proposition": claim.id,
                "claimed": (prop.sign if prop is not None else None) or "",
                "truth": truth,
                "est": est,
                "ci_lower": low,
                "ci_upper": high,
                "covered": covered,
                "pvalue": row["pvalue"],
                "decision": decision,
                "recovered": decision == words.RIGHT and covered,
                "bias_se": (est - truth) / se,
                "explanation": words.explain_path(explained),
            }
        )
    return out


def _decision(truth: float, est: float, p: float, alpha: float) -> str:
    if not math.isfinite(truth):
        return words.NO_VERDICT
    if not truth:
        return words.TYPE_I if p < alpha else words.RIGHT
    if not p < alpha:
        return words.TYPE_II
    return words.RIGHT if (est > 0) == (truth > 0) else words.TYPE_S


def _row(table: pd.DataFrame, pair: Pair) -> pd.Series | None:
    found = table[(table["op"] == "~") & (table["lhs"] == pair[0]) & (table["rhs"] == pair[1])]
    return None if found.empty else found.iloc[0]


def _standardized(fit: FitResult, pair: Pair) -> tuple[float, float, float, float]:
    row = _row(fit.standardized(), pair)
    if row is None:
        return NAN, NAN, NAN, NAN
    est, se, low, high = (float(row[c]) for c in ("est_std", "se", "ci_lower", "ci_upper"))
    return est, se, low, high


def _pvalue(fit: FitResult, pair: Pair) -> float:
    row = _row(fit.parameters, pair)
    return NAN if row is None else float(row["pvalue"])


def _claim(case: Case, pair: Pair) -> tuple[str, str]:
    """Return the proposition about a path, and the sign that it claims."""
    for prop in case.opened.model.propositions:
        if prop.test == "path" and any(pair in claim.regressions for claim, _ in prop.claims()):
            return prop.id, prop.sign or ""
    return "", ""


def loading_table(case: Case) -> pd.DataFrame:
    """Return the loadings of the fit beside those that recorded answers tend to."""
    table = case.recovered
    scales = measured(case.opened.drawn.population)
    known = {(latent, item) for latent, items in scales.items() for item in items}
    rows = []
    for r in table[table["op"] == "=~"].to_dict("records"):
        if (r["lhs"], r["rhs"]) not in known:
            continue
        rows.append(
            {
                "scale": r["lhs"],
                "item": r["rhs"],
                "reverse": bool(case.opened.survey.item(r["rhs"]).reverse),
                "truth": r["truth"],
                "est": r["est_std"],
                "ci_lower": r["ci_lower"],
                "ci_upper": r["ci_upper"],
                "covered": bool(r["covered"]),
                "bias_se": (r["est_std"] - r["truth"]) / r["se"],
            }
        )
    return as_frame(rows, LOADING_COLUMNS)


def reliability_table(case: Case) -> pd.DataFrame:
    """Return the composite reliability of each scale, of the items that were used, beside the true one."""
    fit = case.model.fit
    column = "value" if fit.model.options.get("ordered") else "expected"
    try:
        found = reliability(fit)
    except B2BSemError:
        return pd.DataFrame(columns=list(RELIABILITY_COLUMNS))
    scales = measured(case.opened.drawn.population)
    rows = []
    for r in found.to_dict("records"):
        latent = r["scale"]
        if latent not in scales:
            continue
        # of the items that were used
        used = fit.parameters
        used = used[(used["op"] == "=~") & (used["lhs"] == latent)]["rhs"]
        own = [item for item in scales[latent] if item in set(used)]
        truth = true_reliability(case.opened.truth, {latent: own}, column)[latent]
        rows.append({"scale": latent, "items": len(own), "truth": truth, "est": r["cr"], "difference": r["cr"] - truth})
    return pd.DataFrame(rows, columns=list(RELIABILITY_COLUMNS))


def verdict_table(case: Case, study: StudyResult | None) -> pd.DataFrame:
    """Return the verdicts of a study, or of a fit, beside the right ones."""
    propositions = case.opened.model.propositions
    found: dict[str, Verdict] = {}
    if study is not None and study.verdicts:
        found = {v.id: v for v in study.verdicts}
    elif propositions:
        found = {v.id: v for v in judge(propositions, case.model.fit, alpha=case.alpha)}
    rows = []
    for prop in propositions:
        known = true_verdict(prop, case.opened)
        verdict = found.get(prop.id)
        if known is None:
            continue
        got = NOT_TESTABLE if verdict is None else verdict.verdict
        outcome = _outcome(known, got)
        reason = "the results hold no verdict on it" if verdict is None else verdict.reason
        rows.append(
            {
                "id": prop.id,
                "path": prop.path or "; ".join(part.path for part in prop.parts),
                "sign": prop.sign or "; ".join(part.sign for part in prop.parts),
                "truth": known.words,
                "right": known.verdict,
                "found": got,
                "outcome": outcome,
                "explanation": words.explain_verdict(outcome, known.verdict, got, known.words, reason),
            }
        )
    return pd.DataFrame(rows, columns=list(VERDICT_COLUMNS))


def _outcome(known: TrueVerdict, found: str) -> str:
    if not known.verdict:
        return "not graded"
    if found == known.verdict:
        return words.RIGHT
    if found == NOT_TESTABLE:
        return "not tested"
    if known.verdict == NOT_SUPPORTED:
        return words.TYPE_I
    return words.TYPE_S if {found, known.verdict} == {SUPPORTED, CONTRADICTED} else words.TYPE_II


def chance(paths: pd.DataFrame, loadings: pd.DataFrame, alpha: float) -> dict[str, float]:
    """Return how many misses and wrong decisions there are, and how many chance alone makes on average."""
    own = paths[paths["recovered"].notna()]
    graded = own[own["covered"].map(lambda v: isinstance(v, bool))]
    out: dict[str, float] = {}
    for name, table in (("path", graded), ("loading", loadings)):
        count, misses = len(table), sum(value is False for value in table["covered"])
        out |= {
            f"{name}_intervals": float(count),
            f"{name}_misses": float(misses),
            f"{name}_expected": count * (1 - CONFIDENCE),
            f"{name}_probability": _at_least(misses, count, 1 - CONFIDENCE),
        }
    decided = graded[graded["decision"].isin([words.RIGHT, words.TYPE_I, words.TYPE_II, words.TYPE_S])]
    zeros = decided[decided["truth"] == 0]
    effects = decided[decided["truth"] != 0]
    known = bool(effects["power"].notna().all()) if len(effects) else True
    return out | {
        "zeros": float(len(zeros)),
        "false_alarms": float((zeros["decision"] == words.TYPE_I).sum()),
        "false_alarms_expected": len(zeros) * alpha,
        "effects": float(len(effects)),
        "overlooked": float((effects["decision"] == words.TYPE_II).sum()),
        "overlooked_expected": float((1 - effects["power"].astype(float)).sum()) if known else NAN,
    }


def _at_least(misses: int, count: int, rate: float) -> float:
    """Return the binomial probability of at least so many misses."""
    if misses == 0 or count == 0:
        return 1.0
    from scipy.special import bdtrc

    return float(bdtrc(misses - 1, count, rate))
