"""Results beside the hidden truth of a lesson: :func:`check_lesson`."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

from b2b_sem.analysis.measurement import reliability
from b2b_sem.analysis.recovery import recover
from b2b_sem.errors import B2BSemError, DataError, Unsupported
from b2b_sem.propositions import judge
from b2b_sem.results.fit import FitResult
from b2b_sem.results.lesson import (
    ANSWERS,
    LOADING_COLUMNS,
    PATH_COLUMNS,
    RELIABILITY_COLUMNS,
    VERDICT_COLUMNS,
    Lesson,
    LessonCheck,
    as_frame,
)
from b2b_sem.results.provenance import sha256
from b2b_sem.results.study import RESULTS_VERSION, StudyResult
from b2b_sem.results.verdict import CONTRADICTED, NOT_SUPPORTED, NOT_TESTABLE, SUPPORTED, Verdict
from b2b_sem.simulate import lesson_words as words
from b2b_sem.simulate.lesson import OpenLesson, open_lesson
from b2b_sem.simulate.lesson_answers import Treatment, identify
from b2b_sem.simulate.lesson_limit import Analysis, Limits
from b2b_sem.simulate.lesson_mistake import find_mistakes
from b2b_sem.simulate.lesson_model import FittedModel, measured, read_model
from b2b_sem.simulate.lesson_truth import TrueVerdict, main_paths, true_reliability, true_verdict

__all__ = ["check_lesson", "read_results"]

NAN = float("nan")
Pair = tuple[str, str]
Results = StudyResult | FitResult
#: Of the intervals of a fit.
CONFIDENCE = 0.95
#: Random numbers of the respondents that stand for very many.
SEED = 20261122
#: Distance of a path from the truth with very many respondents that is noise of their number.
NOISE = 0.004


@dataclass(frozen=True)
class _Case:
    """Everything the tables of a check are made of."""

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


def check_lesson(
    lesson: str | os.PathLike[str] | Lesson | OpenLesson,
    results: Results | str | os.PathLike[str],
    *,
    key: str | None = None,
    alpha: float | None = None,
    source: str | None = None,
) -> LessonCheck:
    """Compare results with the hidden truth of a lesson.

    Parameters
    ----------
    lesson : path, Lesson or OpenLesson
        Folder that ``lesson.save`` or ``b2b-sem lesson make`` wrote, the lesson itself, or one that was opened.
    results : StudyResult, FitResult or path
        What :func:`b2b_sem.run_study` or :func:`b2b_sem.fit` gave; or a folder of ``b2b-sem run``, its results.json, or
        a file of ``b2b-sem fit --json``. Latents are told by their items: they may have other names.
    key : str, optional
        Default: that of the lesson, or of the file beside its folder.
    alpha : float, optional
        Error rate of each test. Default: that of the study, else 0.05.
    source : str, optional
        What the results are called on the sheet. Default: the path.

    Returns
    -------
    LessonCheck
        Also where the fit failed; then ``ok`` is False and nothing is recovered.

    Raises
    ------
    DataError
        If there is no lesson, the key is another one, or the results cannot be read.
    Unsupported
        For one fit of several groups.

    Notes
    -----
    Truth and intervals are those of the standardized solution. An error is split into what the same analysis would be
    away from the truth with very many respondents (the population is drawn again with 20,000, treated like the answers,
    and the model is fitted) and the rest, which is chance. The power of a path is that of :func:`b2b_sem.power` for
    careful and complete answers. How many intervals miss by chance is binomial, as if they were independent.

    Examples
    --------
    >>> import b2b_sem as bs
    >>> lesson = bs.make_lesson("lima2026", n=300, seed=7, level="intro")
    >>> fit = bs.fit(bs.load_model("lima2026").syntax(), lesson.answers)
    >>> check = bs.check_lesson(lesson, fit)
    >>> sorted({m.code for m in check.mistakes if m.serious})
    ['reversed']
    """
    opened = lesson if isinstance(lesson, OpenLesson) else open_lesson(lesson, key)
    found, name = (results, "results in memory") if isinstance(results, Results) else read_results(results)
    study = found if isinstance(found, StudyResult) else None
    fit = found.fit if isinstance(found, StudyResult) else found
    if fit.groups:
        raise Unsupported(
            f"the fit is one of {len(fit.groups)} groups, and a lesson is checked with a fit of all respondents",
            hint="hand in the results of the study, or a fit without 'group'",
        )
    if alpha is None:
        alpha = float(study.study["alpha"]) if study is not None else 0.05
    if not 0 < alpha < 1:
        raise DataError(f"alpha={alpha:g}", hint="give a number between 0 and 1")
    values = opened.drawn.population
    main = main_paths(opened)
    # facets have no items of their own in the population's list: they count with the latent above them
    model = read_model(fit, values, (*opened.model.latents, *values.latents) if values.higher else opened.model.latents)
    digest = None if study is None else study.provenance.get("digests", {}).get("data")
    treatment = identify(fit, opened.recorded, opened.survey, opened.spoiled) if opened.same else None
    case = _case(opened, model, treatment, main, alpha)
    mistakes = find_mistakes(opened, model, treatment, main, case.truth, digest)
    paths = _paths(case, study)
    loadings = _loadings(case)
    verdicts = _verdicts(case, study)
    return LessonCheck(
        lesson=opened.id,
        title=opened.title,
        level=opened.level,
        source=name if source is None else source,
        n=opened.n,
        nobs=fit.nobs,
        estimator=fit.estimator,
        alpha=alpha,
        confidence=CONFIDENCE,
        ok=fit.ok,
        failure=fit.failure,
        mistakes=tuple(mistakes),
        notes=tuple(_notes(case)),
        chance=MappingProxyType(_chance(paths, loadings, alpha)),
        _paths=paths,
        _loadings=loadings,
        _reliability=_reliability(case),
        _verdicts=verdicts,
    )


def read_results(path: str | os.PathLike[str]) -> tuple[Results, str]:
    """Read what was handed in, and return it with the name of the file.

    Raises
    ------
    DataError
        If it is neither results of a study nor of a fit.
    """
    given = Path(path)
    file = given / "results.json" if given.is_dir() else given
    hint = "hand in the folder of 'b2b-sem run', its results.json, or the file of 'b2b-sem fit --json'"
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"cannot read the results: {error.strerror or error}", file=file, hint=hint) from error
    except ValueError as error:
        raise DataError("not a results file: it is not valid JSON", file=file, hint=hint) from error
    if not isinstance(data, Mapping):
        raise DataError("not a results file", file=file, hint=hint)
    try:
        if "results_version" in data:
            if data["results_version"] != RESULTS_VERSION:
                raise DataError(
                    f"results version {data['results_version']!r} cannot be read; this program reads {RESULTS_VERSION}",
                    file=file,
                    hint="run the study again with this version",
                )
            return StudyResult.from_json(data), str(given)
        return FitResult.from_json(data), str(given)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"these are no results of a fit: {error}", file=file, hint=hint) from error


# ---- what is known ---------------------------------------------------------------------------------------------------


def _case(
    opened: OpenLesson, model: FittedModel, treatment: Treatment | None, main: tuple[Pair, ...], alpha: float
) -> _Case:
    fit = model.fit
    table = opened.truth
    known = table[table["op"] == "~"]
    truth = {(r["lhs"], r["rhs"]): float(r["value"]) for r in known.to_dict("records")}
    truth = {pair: truth[pair] for pair in main if pair in truth}
    limits = Limits(opened.spec, opened.survey, SEED)
    options = fit.model.options
    listwise = str(options.get("missing") or "listwise") == "listwise"
    settings = {name: options[name] for name in ("std_lv", "orthogonal", "fixed_x") if options.get(name) is not None}
    own = Analysis(
        fit.model.text, treatment or Treatment(), settings, listwise=listwise, ordered=bool(options.get("ordered"))
    )
    correct = opened.model.syntax(opened.survey)
    # paths that differ between groups have no value of their own in all respondents together: the one they tend to
    mixed = frozenset(pair for pair in main if pair not in truth)
    if mixed:
        together = limits.paths(limits.best(own, correct)) or {}
        truth |= {pair: together[pair] for pair in mixed if pair in together}
    away: dict[Pair, float] = {}
    sources: dict[Pair, dict[str, float]] = {}
    if treatment is not None and fit.ok:
        away, sources = _away(opened, model, limits, own, correct, main)
    power: dict[Pair, tuple[float, float]] = {}
    if fit.ok:
        found = limits.power(own, tuple(fit.model.observed), max(fit.nobs, 2), alpha)
        for row in [] if found is None else found.to_dict("records"):
            outcome, _, predictor = str(row["test"]).partition("~")
            pair = model.names.get(outcome, outcome), model.names.get(predictor, predictor)
            power[pair] = float(row["power"]), float(row["rows_needed"])
    return _Case(
        opened, model, treatment, main, truth, mixed, alpha, recover(_compared(opened, truth, mixed), fit), away,
        sources, power,
    )  # fmt: skip


def _compared(opened: OpenLesson, truth: Mapping[Pair, float], mixed: frozenset[Pair]) -> pd.DataFrame:
    """Return the values to compare with, those of mixtures among them."""
    added = pd.DataFrame(
        [(a, "~", b, truth[a, b], truth[a, b]) for a, b in sorted(mixed) if (a, b) in truth],
        columns=["lhs", "op", "rhs", "value", "expected"],
    )
    return pd.concat([opened.truth, added], ignore_index=True) if len(added) else opened.truth


def _away(
    opened: OpenLesson, model: FittedModel, limits: Limits, own: Analysis, correct: str, main: Sequence[Pair]
) -> tuple[dict[Pair, float], dict[Pair, dict[str, float]]]:
    """Return how far each path is from the truth with very many respondents, and what takes part in that."""
    names = model.names
    without = _faults(opened, model, own, correct, main)
    if not without:
        return dict.fromkeys(model.regressions, 0.0), {}

    def paths(analysis: Analysis) -> dict[Pair, float] | None:
        found = limits.paths(analysis)
        if found is None or analysis.text == correct:
            return found
        return {(names.get(a, a), names.get(b, b)): value for (a, b), value in found.items()}

    best, mine = paths(limits.best(own, correct)), paths(own)
    if best is None or mine is None:
        return {}, {}
    # a path that the population does not have is zero there
    away = {pair: mine[pair] - best.get(pair, 0.0) for pair in mine}
    away = {pair: 0.0 if abs(value) < NOISE else value for pair, value in away.items()}
    sources: dict[Pair, dict[str, float]] = {}
    for name, analysis in without.items():
        for pair, value in (paths(analysis) or {}).items():
            if pair in mine:
                sources.setdefault(pair, {})[name] = mine[pair] - value
    return away, sources


def _faults(
    opened: OpenLesson, model: FittedModel, own: Analysis, correct: str, main: Sequence[Pair]
) -> dict[str, Analysis]:
    """Return what can lead away from the truth -> the same analysis without it."""
    without: dict[str, Analysis] = {}
    treatment = own.treatment
    if treatment.flipped:
        without["items that point the wrong way"] = replace(own, treatment=replace(treatment, flipped=()))
    if treatment.coded:
        without["codes taken for answers"] = replace(own, treatment=replace(treatment, coded=False))
    if opened.spoiled.any() and treatment.rows != "attentive":
        without["careless answers"] = replace(own, treatment=replace(treatment, rows="attentive"))
    if own.listwise and opened.spec.missing is not None and not treatment.coded:
        without["incomplete rows that were left out"] = replace(own, listwise=False)
    if opened.spec.values.method is not None:
        without["common method variance"] = replace(own, method=False)
    if set(main) != set(model.regressions) or model.misplaced or model.absent:
        without["the model"] = replace(own, text=correct, settings={})
    return without


# ---- tables ----------------------------------------------------------------------------------------------------------


def _paths(case: _Case, study: StudyResult | None) -> pd.DataFrame:
    fitted = case.model.regressions
    turned = {(b, a) for a, b in case.main if (a, b) not in fitted and (b, a) in fitted}
    every = dict.fromkeys([*case.main, *(pair for pair in fitted if _gradable(pair, case))])
    rows = [_path(case, pair, turned) for pair in every]
    rows += _products(case, study)
    return as_frame(rows, PATH_COLUMNS)


def _gradable(pair: Pair, case: _Case) -> bool:
    """Whether the value of a path is known: between latents that the population has."""
    known = set(case.opened.drawn.population.nodes)
    return set(pair) <= known and pair not in set(case.opened.spec.regressions(case.opened.model)) - set(case.main)


def _path(case: _Case, pair: Pair, turned: set[Pair]) -> dict[str, Any]:
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
        "rows_needed": needed if math.isfinite(needed) else NAN,
        "explanation": text,
    }


def _products(case: _Case, study: StudyResult | None) -> list[dict[str, Any]]:
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


def _claim(case: _Case, pair: Pair) -> tuple[str, str]:
    """Return the proposition about a path, and the sign that it claims."""
    for prop in case.opened.model.propositions:
        if prop.test == "path" and any(pair in claim.regressions for claim, _ in prop.claims()):
            return prop.id, prop.sign or ""
    return "", ""


def _loadings(case: _Case) -> pd.DataFrame:
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


def _reliability(case: _Case) -> pd.DataFrame:
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


def _verdicts(case: _Case, study: StudyResult | None) -> pd.DataFrame:
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


def _chance(paths: pd.DataFrame, loadings: pd.DataFrame, alpha: float) -> dict[str, float]:
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


def _notes(case: _Case) -> list[str]:
    opened, model = case.opened, case.model
    notes = [
        "All values are standardized. The truth of loadings is what recorded answers tend to: whole numbers weaken "
        "loadings a little, not paths."
    ]
    if not opened.same:
        notes.append(
            "The answers could not be drawn again exactly (another version of NumPy): what was done with them is not "
            "looked at."
        )
    elif opened.folder is not None:
        file = opened.folder / ANSWERS
        if file.is_file() and sha256(file) != opened.digest:
            notes.append(f"{ANSWERS} in the folder of the lesson is not the file that was handed out: it was changed.")
    other = {own: true for own, true in model.names.items() if own != true}
    if other:
        listed = ", ".join(f"{own} = {true}" for own, true in other.items())
        notes.append(f"Latents were told by their items: {listed}.")
    if model.general:
        notes.append(f"{', '.join(model.general)} was taken for a method factor: it is behind items of most constructs.")
    if case.mixed:
        listed = ", ".join(f"{b} -> {a}" for a, b in sorted(case.mixed))
        notes.append(
            f"{listed}: the groups of '{opened.drawn.split}' differ, or their means move the value; the truth is what all "
            "respondents together tend to, right to about .01."
        )
    if case.treatment is not None and case.away:
        notes.append(
            "Systematic: what the same analysis of very many respondents would be away from the truth; chance: the rest."
        )
    return notes
