"""Running a study: from one study file to one result, in named steps."""

from __future__ import annotations

import os
import platform
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from b2b_sem.analysis.claim_test import compare_split_claims, group_claims, is_testable, settled
from b2b_sem.analysis.recovery import recover
from b2b_sem.errors import SpecError, Unsupported
from b2b_sem.resources import is_bundled
from b2b_sem.spec.loader import load_study
from b2b_sem.spec.model import ModelSpec
from b2b_sem.spec.study import CutoffSimulation, StudySpec
from b2b_sem.spec.survey import SurveySpec

if TYPE_CHECKING:
    import pandas as pd

    from b2b_sem.data.read import Responses
    from b2b_sem.results.comparison import GroupComparison
    from b2b_sem.results.cutoff import FitCutoffs
    from b2b_sem.results.effect import EffectsResult
    from b2b_sem.results.fit import FitResult
    from b2b_sem.results.measurement import MeasurementResult
    from b2b_sem.results.missingness import MissingnessResult
    from b2b_sem.results.moderation_claim import ModerationClaim
    from b2b_sem.results.study import RivalResult, SampleDescription, StudyResult
    from b2b_sem.results.verdict import Verdict

__all__ = ["read_answers", "run_study"]

Progress = Callable[[str], None]


@dataclass(frozen=True)
class _Data:
    """What the models are fitted to: answers, or a covariance matrix with its n."""

    source: str
    responses: Responses | None
    cov: pd.DataFrame | None
    nobs: int | None
    truth: pd.DataFrame | None
    seed: int | None
    digests: Mapping[str, str]
    notes: tuple[str, ...]
    split: str | None = None
    group_truth: pd.DataFrame | None = None
    moderated: pd.DataFrame | None = None


def run_study(
    study: str | os.PathLike[str] | StudySpec,
    *,
    data: str | os.PathLike[str] | None = None,
    seed: int | None = None,
    engine: str | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
) -> StudyResult:
    """Run a study file: read and score the answers, fit the model, judge the propositions.

    Parameters
    ----------
    study : str, path or StudySpec
        Bundled id, path of a study file, or a loaded study.
    data : path, optional
        Data file to use instead of the study's own data.
    seed : int, optional
        Seed of simulated data instead of the study's own.
    engine : {"auto", "semopy", "native"}, optional
        Default: as the study or model file says, else "auto".
    jobs : int
        Worker processes for analyses that repeat a fit many times; results do not depend on it.
    progress : callable, optional
        Called with one line of text at each step.

    Returns
    -------
    StudyResult
        Also when the main fit failed; then ``result.ok`` is False and no verdict rests on it.

    Raises
    ------
    SpecError, ModelSyntaxError, DataError, Unsupported
        For input that cannot be used.
    """
    if jobs < 1:
        raise SpecError("jobs must be at least 1")
    say = progress or (lambda text: None)
    spec = study if isinstance(study, StudySpec) else load_study(study, check_data=data is None)
    model = spec.model_spec
    if model is None:
        raise SpecError(f"the study '{spec.id}' was built without its model", hint="load it with load_study()")
    survey = spec.survey_spec
    if seed is not None and (data is not None or spec.data.origin != "simulate"):
        raise SpecError("a seed is given, but the data of this run are not simulated", hint="leave the seed out")

    say(f"study {spec.id}: reading the data")
    source = _obtain(spec, data, seed)
    scored = _score(source, spec, model, survey)
    settings = _settings(spec, engine)

    say("fitting the model")
    try:
        fit = _fit(model, survey, scored, settings, rival=None)
    except Unsupported as error:
        raise _placed(error, spec, model) from None
    cutoffs = None
    if spec.cutoffs is not None and fit.ok:
        say("finding cut-offs of fit indices")
        try:
            own = settled(settings, fit, model.items(survey))
            cutoffs = _cutoffs(spec.cutoffs, scored, own, fit, jobs)
        except Unsupported as error:
            raise _placed(error, spec, model) from None
    measured = None
    if "measurement" in spec.steps:
        say("judging the scales")
        from b2b_sem.analysis.measurement import measurement

        measured = measurement(fit)
    effects = None
    if "effects" in spec.steps:
        say("adding up the effects")
        from b2b_sem.analysis.effect import indirect_effects

        effects = indirect_effects(fit, level=spec.confidence)
    missing = None
    if "missingness" in spec.steps and scored.responses is not None:
        say("looking at missing answers")
        missing = _missing(fit, survey, scored.responses, spec.alpha)
    holes = () if missing is None else _biased(fit, missing)
    rivals = []
    for name in spec.rivals:
        say(f"fitting the rival model {name}")
        rivals.append(_rival(name, model, survey, scored, settings, fit, spec.alpha))
    comparisons = []
    for name in spec.splits:
        say(f"comparing the groups of {name}")
        try:
            own = settled(settings, fit, model.items(survey))
            comparisons.append(_compare(name, spec, model, survey, scored, own, fit))
        except Unsupported as error:
            raise _placed(error, spec, model) from None
    ladders = []
    for name in spec.ladders:
        say(f"testing invariance across {name}")
        try:
            ladders.append(_ladder(name, spec, model, survey, scored, settings))
        except Unsupported as error:
            raise _placed(error, spec, model) from None
    moderations = []
    for name in _moderated(spec, model):
        say(f"testing the moderation {name}")
        own = settled(settings, fit, model.items(survey))
        moderations.append(_moderate(name, spec, model, survey, scored, own))
    say("judging the propositions")
    command = _command(study, spec, data, seed, engine)
    found = _assemble(
        spec,
        model,
        survey,
        scored,
        settings,
        fit,
        measured,
        effects,
        tuple(rivals),
        tuple(comparisons),
        tuple(moderations),
        command,
    )
    warnings = (*holes, *found.warnings)
    return replace(found, missingness=missing, ladders=tuple(ladders), fit_cutoffs=cutoffs, warnings=warnings)


def _command(
    study: str | os.PathLike[str] | StudySpec,
    spec: StudySpec,
    data: str | os.PathLike[str] | None,
    seed: int | None,
    engine: str | None,
) -> str:
    """Return the command line that repeats this run."""
    source = None if spec.source is None else Path(spec.source)
    if source is None or is_bundled(source, "simulations"):
        name = spec.id
    else:
        name = str(source) if isinstance(study, StudySpec) else os.fspath(study)
    words = ["b2b-sem", "run", name]
    words += [] if data is None else ["--data", os.fspath(data)]
    words += [] if seed is None else ["--seed", str(seed)]
    words += [] if engine is None else ["--engine", engine]
    return shlex.join(words)


def read_answers(spec: StudySpec, data: str | os.PathLike[str] | None = None) -> Responses:
    """Read the data file of a study as the study says, or another file in its place."""
    from b2b_sem.data.read import read_responses

    section = spec.data
    own = section.origin == "file"
    path = Path(data) if data is not None else spec.data_path
    assert path is not None
    return read_responses(
        path,
        format=section.format if own and data is None else None,
        sheet=section.sheet if own else None,
        rename=section.rename if own else None,
        missing_codes=section.missing if own else (),
    )


def _obtain(spec: StudySpec, data: str | os.PathLike[str] | None, seed: int | None) -> _Data:
    """Read or simulate the answers."""
    from b2b_sem.data.read import Responses, read_covariance
    from b2b_sem.results.provenance import sha256

    section = spec.data
    if data is not None or section.origin == "file":
        responses = read_answers(spec, data)
        path = responses.path
        assert path is not None
        return _Data(str(path), responses, None, None, None, None, {"data": sha256(path)}, responses.notes)
    if section.origin == "covariance":
        path = spec.data_path
        assert path is not None
        note = "A covariance matrix was given: items are taken as scored, and answers cannot be described."
        return _Data(str(path), None, read_covariance(path), section.n, None, None, {"data": sha256(path)}, (note,))
    from b2b_sem.simulate.respond import simulate

    population = spec.simulation_spec
    drawn = simulate(
        population if population is not None else str(section.simulate),
        section.n,
        section.seed if seed is None else seed,
        base=spec.base,
    )
    text = f"{drawn.n} simulated respondents (population '{drawn.simulation}', seed {drawn.seed})"
    responses = Responses.from_frame(drawn.frame, notes=drawn.notes)
    # a fit of all respondents together finds only what is the same in all groups
    truth = drawn.truth if drawn.pooled is None else drawn.pooled
    # with raw values latents need not have the same variance in all groups, which the comparison takes for granted
    apart = None if drawn.split is None or drawn.population.raw else drawn.truth
    seed, digests, notes = drawn.seed, drawn.digests, responses.notes
    return _Data(text, responses, None, None, truth, seed, digests, notes, drawn.split, apart, drawn.moderated)


def _score(data: _Data, spec: StudySpec, model: ModelSpec, survey: SurveySpec | None) -> _Data:
    """Apply the survey's missing codes, ranges and reverse keys to the items that the models use."""
    if data.responses is None or survey is None:
        return data
    from b2b_sem.data.score import rules_from_survey, score

    items = dict.fromkeys(model.items(survey))
    for name in spec.rivals:
        items |= dict.fromkeys(model.items(survey, name))
    # a claim whose items were not asked is not tested; the rest of the study is
    columns = data.responses.frame.columns
    claims = (*group_claims(model, spec.splits), *_moderated(spec, model))
    items |= dict.fromkeys(i for i in model.items(survey, claims=claims) if i in columns)
    responses = score(data.responses, rules_from_survey(survey, items))
    notes = list(responses.notes)
    for code, check in survey.attention_checks.items():
        if code in responses.frame.columns:
            given = responses.frame[code]
            failed = int((given.notna() & (given.astype(str).map(_number) != float(check.answer))).sum())
            if failed:
                notes.append(f"{failed} respondents failed the attention check {code}; they were kept")
    return replace(data, responses=responses, notes=tuple(notes))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _settings(spec: StudySpec, engine: str | None) -> dict[str, Any]:
    """Return the options of the fits as stated in the study and model files."""
    settings = spec.fit_settings().stated()
    if engine is not None:
        settings["engine"] = engine
    return settings


def _fit(
    model: ModelSpec, survey: SurveySpec | None, data: _Data, settings: Mapping[str, Any], rival: str | None
) -> FitResult:
    from b2b_sem.analysis.structural import fit

    text = model.syntax(survey, rival)
    if not any(":" in predictor for _, predictor in model.regressions()):
        # how products are estimated is said for claims on moderation, and the model has none
        settings = {name: value for name, value in settings.items() if name != "interaction"}
    if data.responses is not None:
        if settings.get("group") is not None:
            raise Unsupported(
                "a study reports one group at a time, and its fit settings name a group",
                hint="leave 'group' out of the study; fit groups with bs.fit(..., group=...) or 'b2b-sem fit --group'",
            )
        return fit(text, data.responses, **settings)
    return fit(text, sample_cov=data.cov, nobs=data.nobs, **settings)


def _compare(
    name: str,
    spec: StudySpec,
    model: ModelSpec,
    survey: SurveySpec | None,
    data: _Data,
    settings: Mapping[str, Any],
    fit: FitResult,
) -> GroupComparison:
    """Compare the groups of one split; the paths are those that the propositions name, or all of the model."""
    frame = None if data.responses is None else data.responses.frame
    return compare_split_claims(
        name,
        model,
        survey,
        frame,
        settings,
        fit,
        alpha=spec.alpha,
        level=spec.confidence,
        multiplicity=spec.multiplicity,
    )


def _ladder(
    name: str,
    spec: StudySpec,
    model: ModelSpec,
    survey: SurveySpec | None,
    data: _Data,
    settings: Mapping[str, Any],
) -> GroupComparison:
    """Test measurement invariance across the groups of one split, up to equal residual variances."""
    from b2b_sem.analysis.group_claim import ladder_split
    from b2b_sem.errors import DataError

    if survey is None or data.responses is None:
        raise DataError(f"the groups of '{name}' cannot be compared: this needs a survey and its answers")
    return ladder_split(name, model.syntax(survey), data.responses.frame, survey, settings, alpha=spec.alpha)


def _cutoffs(
    wanted: CutoffSimulation, data: _Data, settings: Mapping[str, Any], fit: FitResult, jobs: int
) -> FitCutoffs:
    """Find the cut-offs of fit indices of the measurement part; one of ordinal items is fitted to the answers first."""
    from b2b_sem.analysis.cutoff import derive_cutoffs
    from b2b_sem.analysis.cutoff_recipe import recipe_of, recipe_of_answers

    if data.responses is not None and fit.model.options.get("ordered"):
        recipe = recipe_of_answers(fit.model.text, data.responses, settings)
    else:
        recipe = recipe_of(fit)
    return derive_cutoffs(recipe, replications=wanted.replications, seed=wanted.seed, jobs=jobs)


def _moderated(spec: StudySpec, model: ModelSpec) -> tuple[str, ...]:
    """Return the propositions on moderation that the study tests."""
    wanted = "moderation" in spec.steps
    return tuple(p.id for p in model.propositions if wanted and is_testable(p, model))


def _moderate(
    name: str,
    spec: StudySpec,
    model: ModelSpec,
    survey: SurveySpec | None,
    data: _Data,
    settings: Mapping[str, Any],
) -> ModerationClaim:
    """Fit the main model with the moderator of a claim and its product."""
    from b2b_sem.analysis.moderation_claim import moderation_claim

    whole = model.moderated(name, survey)
    return moderation_claim(
        whole, data.responses, settings, alpha=spec.alpha, level=spec.confidence, routes=spec.routes
    )


def _placed(error: Unsupported, *documents: StudySpec | ModelSpec) -> Unsupported:
    """Return `error` with the place where the option that it refuses is written, if a file states it."""
    for document in documents:
        for name in document.options.stated():
            if error.file is None and error.message.startswith(f"{name}=") and document.origin is not None:
                line, column = document.origin.position(("options", name))
                return Unsupported(error.message, file=document.origin.path, line=line, column=column, hint=error.hint)
    return error


def _rival(
    name: str,
    model: ModelSpec,
    survey: SurveySpec | None,
    data: _Data,
    settings: Mapping[str, Any],
    main: FitResult,
    alpha: float,
) -> RivalResult:
    from b2b_sem.analysis.rivals import compare_rival
    from b2b_sem.errors import B2BSemError
    from b2b_sem.results.study import RivalResult

    rival = model.rival(name)
    nan = float("nan")
    try:
        fitted = _fit(model, survey, data, settled(settings, main, model.items(survey, name)), name)
    except B2BSemError as error:
        return RivalResult(name, rival.title, rival.why, None, "other", nan, None, nan, f"Not fitted: {error.message}.")
    return compare_rival(name, rival.title, rival.why, main, fitted, alpha=alpha)


def _missing(fit: FitResult, survey: SurveySpec | None, responses: Responses, alpha: float) -> MissingnessResult:
    """Diagnose the variables of the model; background facts and auxiliary variables may tell who leaves them out."""
    from b2b_sem.analysis.missingness import missingness

    frame = responses.frame
    others = list(fit.auxiliary)
    if survey is not None:
        others += [c for c, fact in survey.facts.items() if fact.type == "number" and c in frame.columns]
    items = fit.model.observed
    return missingness(responses, items, others=[v for v in dict.fromkeys(others) if v not in items], alpha=alpha)


def _biased(fit: FitResult, missing: MissingnessResult) -> tuple[str, ...]:
    """Warn where the fit rests on answers missing completely at random and Little's test speaks against that."""
    how = fit.model.options.get("missing", "listwise")
    if not missing.pvalue < missing.alpha or not (how == "pairwise" or (how == "listwise" and fit.n_dropped)):
        return ()
    done = (
        f"{fit.n_dropped} of {fit.n_read} rows with missing answers were left out"
        if how == "listwise"
        else "Each correlation was estimated from those who gave both answers"
    )
    p = "p < .001" if missing.pvalue < 0.001 else f"p = {missing.pvalue:.3f}".replace("0.", ".", 1)
    ordered = " with 'estimator: MLR' (ordered items become numbers)" if fit.model.options.get("ordered") else ""
    return (
        f"{done}, but answers are not missing completely at random (Little's test, {p}): estimates and verdicts can be "
        f"biased. Use 'missing: fiml' or 'missing: mi' among the options of the study{ordered} and compare. (The test "
        "takes answers for normally distributed; with skewed ones it rejects too often.)",
    )


def _assemble(
    spec: StudySpec,
    model: ModelSpec,
    survey: SurveySpec | None,
    data: _Data,
    settings: Mapping[str, Any],
    fit: FitResult,
    measured: MeasurementResult | None,
    effects: EffectsResult | None,
    rivals: tuple[RivalResult, ...],
    comparisons: tuple[GroupComparison, ...],
    moderations: tuple[ModerationClaim, ...],
    command: str,
) -> StudyResult:
    from b2b_sem.propositions import judge
    from b2b_sem.results.study import StudyResult

    names = {} if survey is None else _names(survey, fit)
    verdicts: tuple[Verdict, ...] = ()
    if "propositions" in spec.steps:
        verdicts = judge(
            model.propositions,
            fit,
            alpha=spec.alpha,
            level=spec.confidence,
            multiplicity=spec.multiplicity,
            names=names,
            effects=effects,
            comparisons=comparisons,
            moderations=moderations,
        )
    warnings = [*fit.warnings, *_misfit(fit), *(measured.warnings if measured is not None else ())]
    for rival in rivals:
        if rival.fit is None or not rival.fit.ok:
            warnings.append(f"Rival model {rival.name}: {rival.message}")
    for claim in moderations:
        own = () if claim.fit is None else claim.fit.warnings
        if claim.fit is not None and not claim.ok:
            own = (f"The model with {claim.product} failed: {claim.fit.failure}.", *own)
        poor = [] if claim.linear is None or not claim.ok else _misfit(claim.linear)
        warnings += [f"{claim.id}: {text}" for text in (*own, *claim.reasons)]
        warnings += [f"{claim.id}, the same without the product: {text}" for text in poor]
    return StudyResult(
        id=spec.id,
        title=spec.title,
        study=_describe(spec, model, survey, data, settings, names),
        propositions_source="; ".join(
            c.citation + (f" https://doi.org/{c.doi}" if c.doi else "") for c in model.citation
        ),
        fit=fit,
        verdicts=verdicts,
        measurement=measured,
        sample=_sample(fit, model, survey, data),
        rivals=rivals,
        truth=None if data.truth is None else recover(data.truth, fit),
        provenance=_provenance(spec, model, survey, data, fit, command),
        warnings=tuple(dict.fromkeys(warnings)),
        effects=effects,
        comparisons=comparisons,
        group_truth=_group_recovery(data, comparisons),
        moderations=moderations,
        moderation_truth=_moderation_recovery(data, moderations),
    )


def _names(survey: SurveySpec, fit: FitResult) -> dict[str, str]:
    """Return what the variables are called: all scales, and the background facts that the model uses."""
    names = {code: scale.name for code, scale in survey.scales.items()}
    return names | {code: fact.label for code, fact in survey.facts.items() if code in fit.model.observed}


def _misfit(fit: FitResult) -> list[str]:
    """Warn when the model clearly does not describe the data: its paths are then those of a wrong model."""
    if not fit.ok:
        return []
    m = fit.measures
    from b2b_sem.results.variant import variant

    read = {name: m[name.lower() + variant(m, name.lower())] for name in ("CFI", "RMSEA", "SRMR")}
    signs = {"CFI": read["CFI"] < 0.90, "RMSEA": read["RMSEA"] > 0.10, "SRMR": read["SRMR"] > 0.10}
    if m["df"] == 0 or not any(signs.values()):
        return []
    values = ", ".join(f"{name} {value:.3f}" for name, value in read.items())
    return [
        f"The model fits poorly ({values}; {' and '.join(k for k, bad in signs.items() if bad)} beyond usual limits): "
        "paths of a misspecified model can mislead. Look at the largest residuals before using the verdicts."
    ]


def _describe(
    spec: StudySpec,
    model: ModelSpec,
    survey: SurveySpec | None,
    data: _Data,
    settings: Mapping[str, Any],
    names: Mapping[str, str],
) -> dict[str, Any]:
    return {
        "description": spec.description,
        "authors": [a.model_dump(exclude_none=True) for a in spec.authors],
        "model": {"id": model.id, "title": model.title},
        "survey": None if survey is None else {"id": survey.id, "title": survey.title},
        "instrument_notice": None if survey is None else survey.notice,
        "construct_names": dict(names),
        **({"diagram": model.diagram.model_dump(mode="json")} if model.diagram.positions else {}),
        "data": data.source,
        **({} if data.split is None else {"population_groups": data.split}),
        "analyses": list(spec.steps),
        "alpha": spec.alpha,
        "confidence": spec.confidence,
        "multiplicity": spec.multiplicity,
        "options": dict(settings),
        "preregistration": None
        if spec.preregistration is None
        else spec.preregistration.model_dump(mode="json", exclude_none=True),
        "deviations": [d.model_dump(mode="json", exclude_none=True) for d in spec.deviations],
        "decisions": [d.model_dump(mode="json", exclude_none=True) for d in spec.decisions],
    }


def _sample(fit: FitResult, model: ModelSpec, survey: SurveySpec | None, data: _Data) -> SampleDescription:
    import pandas as pd

    from b2b_sem.analysis.description import ITEM_COLUMNS, describe_answers, describe_background, describe_items
    from b2b_sem.results.study import SampleDescription

    items = pd.DataFrame(columns=list(ITEM_COLUMNS))
    background: tuple[tuple[str, pd.DataFrame], ...] = ()
    answers = None
    if data.responses is not None:
        frame = data.responses.frame
        scale_of = {item: latent for latent in model.latents for item in model.items_of(latent, survey)}
        items = describe_items(frame, fit.model.observed, survey, scale_of)
        answers = describe_answers(frame, fit.model.observed, survey)
        if survey is not None:
            background = describe_background(frame, survey)
    return SampleDescription(
        source=data.source,
        n_read=fit.n_read,
        n_used=fit.nobs,
        n_dropped=fit.n_dropped,
        items=items,
        background=background,
        notes=(*data.notes, *fit.notes),
        answers=answers,
    )


def _group_recovery(data: _Data, comparisons: Sequence[GroupComparison]) -> pd.DataFrame | None:
    """Set the known truth of simulated groups beside the estimates of their comparison; None without both."""
    if data.group_truth is None:
        return None
    from b2b_sem.analysis.recovery import recover_groups

    for comparison in comparisons:
        if comparison.name == data.split:
            return recover_groups(data.group_truth, comparison)
    return None


def _moderation_recovery(data: _Data, moderations: Sequence[ModerationClaim]) -> pd.DataFrame | None:
    """Set the known equations with products of simulated respondents beside the estimates; None without both."""
    if data.moderated is None or not moderations:
        return None
    import pandas as pd

    from b2b_sem.analysis.moderation_claim import moderation_truth

    return pd.concat([moderation_truth(data.moderated, claim) for claim in moderations], ignore_index=True)


def _provenance(
    spec: StudySpec, model: ModelSpec, survey: SurveySpec | None, data: _Data, fit: FitResult, command: str
) -> dict[str, Any]:
    from b2b_sem.results.provenance import now, versions

    digests = {"study": spec.digest, "model": model.digest, "survey": None if survey is None else survey.digest}
    return {
        "versions": versions(),
        "digests": {k: v for k, v in (digests | dict(data.digests)).items() if v is not None},
        "seed": data.seed,
        "engine": fit.engine,
        "platform": f"{platform.system()} {platform.machine()}",
        "command": command,
        "created": now(),
    }
