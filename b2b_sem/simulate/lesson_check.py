"""Results beside the hidden truth of a lesson: :func:`check_lesson`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from b2b_sem.analysis.recovery import recover
from b2b_sem.errors import DataError, Unsupported
from b2b_sem.results.fit import FitResult
from b2b_sem.results.lesson import (
    ANSWERS,
    Lesson,
    LessonCheck,
)
from b2b_sem.results.provenance import sha256
from b2b_sem.results.study import RESULTS_VERSION, StudyResult
from b2b_sem.simulate.lesson import OpenLesson, open_lesson
from b2b_sem.simulate.lesson_answers import Treatment, identify
from b2b_sem.simulate.lesson_limit import Analysis, Limits
from b2b_sem.simulate.lesson_mistake import find_mistakes
from b2b_sem.simulate.lesson_model import FittedModel, read_model
from b2b_sem.simulate.lesson_table import (
    CONFIDENCE,
    Case,
    chance,
    loading_table,
    path_table,
    reliability_table,
    verdict_table,
)
from b2b_sem.simulate.lesson_truth import main_paths

__all__ = ["check_lesson", "read_results"]

NAN = float("nan")
Pair = tuple[str, str]
Results = StudyResult | FitResult
#: Random numbers of the respondents that stand for very many.
SEED = 20261122
#: Distance of a path from the truth with very many respondents that is noise of their number.
NOISE = 0.004


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
    paths = path_table(case, study)
    loadings = loading_table(case)
    verdicts = verdict_table(case, study)
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
        chance=MappingProxyType(chance(paths, loadings, alpha)),
        _paths=paths,
        _loadings=loadings,
        _reliability=reliability_table(case),
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
) -> Case:
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
        # that of the right analysis; of paths that only the fitted model has, that of this model
        if set(model.regressions) - set(main):
            power |= _power(limits, own, fit, alpha, model)
        power |= _power(limits, limits.best(own, correct), fit, alpha, None)
    return Case(
        opened, model, treatment, main, truth, mixed, alpha, recover(_compared(opened, truth, mixed), fit), away,
        sources, power,
    )  # fmt: skip


def _power(
    limits: Limits, analysis: Analysis, fit: FitResult, alpha: float, model: FittedModel | None
) -> dict[Pair, tuple[float, float]]:
    """Return power and rows needed of the tests of an analysis, under the names of the population."""
    names = {} if model is None else model.names
    found = limits.power(analysis, max(fit.nobs, 2), alpha)
    out = {}
    for row in [] if found is None else found.to_dict("records"):
        outcome, _, predictor = str(row["test"]).partition("~")
        pair = names.get(outcome, outcome), names.get(predictor, predictor)
        out[pair] = float(row["power"]), float(row["rows_needed"])
    return out


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


def _notes(case: Case) -> list[str]:
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
        notes.append(
            f"{', '.join(model.general)} was taken for a method factor: it is behind items of most constructs."
        )
    if case.mixed:
        listed = ", ".join(f"{b} -> {a}" for a, b in sorted(case.mixed))
        notes.append(
            f"{listed}: the groups of '{opened.drawn.split}' differ, or their means move the value; the truth is what "
            "all respondents together tend to, right to about .01."
        )
    if case.treatment is not None and case.away:
        notes.append(
            "Systematic: what the same analysis of very many respondents would be away from the truth; chance: the "
            "rest."
        )
    return notes
