"""What went wrong in an analysis of a lesson: mistakes that students make, told from what they hand in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from b2b_sem.measures.notation import listing
from b2b_sem.results.fit import FitResult
from b2b_sem.results.lesson import Mistake
from b2b_sem.simulate.lesson import OpenLesson
from b2b_sem.simulate.lesson_answers import ROWS, Treatment, failed_checks, keep_rows
from b2b_sem.simulate.lesson_model import FittedModel

__all__ = ["find_mistakes"]

Pair = tuple[str, str]
_MOST = 8


def find_mistakes(
    opened: OpenLesson,
    model: FittedModel,
    treatment: Treatment | None,
    main: Sequence[Pair],
    truth: dict[Pair, float],
    data_digest: str | None,
) -> list[Mistake]:
    """Return what is wrong with an analysis, or what it has to live with.

    Parameters
    ----------
    opened : OpenLesson
    model : FittedModel
    treatment : Treatment or None
        None: the moments are not those of the answers.
    main : sequence of (outcome, predictor)
        Paths of the true main model.
    truth : dict
        Their true values.
    data_digest : str or None
        SHA-256 of the data file, if the results hold it.
    """
    out = [*_failed(model.fit), *_data(opened, treatment, data_digest)]
    if treatment is not None:
        out += [*_turned(opened, treatment), *_coded(opened, treatment), *_careless(opened, treatment)]
    out += [*_columns(opened, model), *_missing(opened, model.fit, treatment), *_method(opened, model)]
    return [*out, *_paths(opened, model, main, truth), *_measurement(model)]


def _failed(fit: FitResult) -> Iterator[Mistake]:
    if not fit.ok:
        yield Mistake(
            "failed",
            "The fit has no usable solution",
            f"{fit.failure[:1].upper()}{fit.failure[1:]}.",
            "Its numbers must not be interpreted, and no verdict rests on them.",
            "Look at reversed items, codes of missing answers and the model first; small samples of weak items do it, "
            "too.",
        )


def _data(opened: OpenLesson, treatment: Treatment | None, digest: str | None) -> Iterator[Mistake]:
    other = digest is not None and digest != opened.digest
    if treatment is None and opened.same:
        yield Mistake(
            "data",
            "These are not the answers of this lesson",
            "The correlations behind the fit are not those of the answers that were handed out, with any rows that one "
            "would leave out" + (", and the data file is another one." if other else "."),
            "Differences from the truth then say nothing about the analysis.",
            "Take answers.csv of this lesson again; change answers only by a rule that can be written down.",
        )
    elif other and treatment is not None and treatment.rows == "all" and not treatment.flipped:
        yield Mistake(
            "data",
            "Another file was analysed",
            "The file is not the one that was handed out, but holds the same answers of the same respondents.",
            "No number changes.",
            "Keep the original and say what was changed in the copy.",
            serious=False,
        )
    elif other and treatment is not None and treatment.rows != "all" and not treatment.counted:
        yield Mistake(
            "rows",
            "Which rows were left out could not be told exactly",
            f"The moments are nearest to those {ROWS[treatment.rows]}.",
            "The split of errors into what comes with the analysis and what is chance is then rough.",
            "Write the rule for leaving out respondents down, so that others can follow it.",
            serious=False,
        )


def _turned(opened: OpenLesson, treatment: Treatment) -> Iterator[Mistake]:
    if not treatment.flipped:
        return
    reversed_ = {name for name in treatment.flipped if opened.survey.item(name).reverse}
    others = [name for name in treatment.flipped if name not in reversed_]
    if reversed_:
        yield Mistake(
            "reversed",
            "Reversed items were not turned round",
            f"Against the other items of their scales: {_listed(n for n in treatment.flipped if n in reversed_)}.",
            "Their loadings come out negative, alpha and sums of items fall apart, and if such an item sets the unit "
            "of a latent, all its paths change their sign.",
            "Turn them round before anything else: lowest plus highest answer minus the answer. b2b-sem does it where "
            "the model names the survey.",
        )
    if others:
        yield Mistake(
            "reversed",
            "Items were turned round that are not reversed",
            f"{_listed(others)}: the survey does not say that agreement means less.",
            "Their loadings come out negative; a whole scale that was turned round turns the signs of its paths.",
            "Turn round only what the survey names as reversed.",
        )


def _coded(opened: OpenLesson, treatment: Treatment) -> Iterator[Mistake]:
    if treatment.coded:
        codes = sorted({c for item in opened.survey.items() for c in opened.survey.missing_codes(item)})
        yield Mistake(
            "codes",
            "Codes of missing answers were taken for answers",
            f"Codes for no answer went into the correlations as numbers: {_listed(map(str, codes))}.",
            "Items with the same holes seem to measure the same thing, and everything else drowns in these few rows.",
            "Read these codes as missing: the survey file names them.",
        )


def _careless(opened: OpenLesson, treatment: Treatment) -> Iterator[Mistake]:
    spoiled = opened.spoiled
    total = int(spoiled.sum())
    if not total:
        return
    kept = keep_rows(treatment.rows, opened.recorded, opened.survey, spoiled)
    inside = int((spoiled & kept).sum())
    lost = int((~spoiled & ~kept).sum())
    caught = int((spoiled & (failed_checks(opened.recorded, opened.survey) > 0)).sum())
    told = f"The attention checks alone tell {caught} of them."
    rule = "who fails an attention check or gives the same answer to everything"
    if not opened.survey.attention_checks:
        told = "The questionnaire has no attention check that would tell them."
        rule = "who gives the same answer to everything, or answers that contradict each other in reversed items"
    if treatment.rows == "all":
        yield Mistake(
            "careless",
            "Careless respondents were not screened",
            f"{total} of {opened.n} respondents answered at random or in straight lines; all of them were kept. {told}",
            "Answers at random pull correlations, loadings and paths towards zero; straight lines make everything "
            "agree with everything.",
            f"Leave out {rule}. Write the rule down before you see results.",
        )
    elif inside or lost:
        yield Mistake(
            "careless",
            "Screening is not perfect",
            f"Of {total} careless respondents {inside} {_was(inside)} kept, and {lost} careful "
            f"{'one' if lost == 1 else 'ones'} {_was(lost)} left out.",
            "What is left weakens the paths a little.",
            "No rule tells all of them: this is what a good analysis has to live with.",
            serious=False,
        )


def _columns(opened: OpenLesson, model: FittedModel) -> Iterator[Mistake]:
    predictors = set(opened.drawn.population.covariates)
    odd = [name for name in model.strangers if name not in predictors]
    if not odd:
        return
    checks = set(opened.survey.attention_checks)
    known = [name for name in odd if name == "id" or name in checks]
    yield Mistake(
        "columns",
        "Columns that measure nothing are in the model",
        f"{_listed(odd)}: "
        + ("the number of a respondent and attention checks are no answers to questions." if known else "no items."),
        "A latent that is measured by them is no longer the construct.",
        "Leave columns that are no items out of the model: the codebook says what each column is.",
        serious=bool(known) or not set(odd) <= set(opened.survey.facts),
    )


def _missing(opened: OpenLesson, fit: FitResult, treatment: Treatment | None) -> Iterator[Mistake]:
    holes = opened.spec.missing is not None or opened.spec.response.missing_rate > 0
    how = str(fit.model.options.get("missing") or "listwise")
    if not holes or how != "listwise" or (treatment is not None and treatment.coded):
        return
    lost = fit.n_dropped
    if treatment is not None and treatment.exact:
        kept = keep_rows(treatment.rows, opened.recorded, opened.survey, opened.spoiled)
        lost = max(lost, int(kept.sum()) - fit.nobs)
    if not lost:
        return
    reason = opened.spec.missing is not None
    yield Mistake(
        "missing",
        "Incomplete rows were left out",
        f"{lost} respondents with missing answers did not count.",
        "Who broke off depends on an earlier answer (missing at random): those who are left are not like all, and "
        "their answers are fewer."
        if reason
        else "The answers are missing by chance, so that nothing is biased; but intervals are wider than need be.",
        "Use all answers: 'missing: fiml', or multiple imputation.",
        serious=reason,
    )


def _method(opened: OpenLesson, model: FittedModel) -> Iterator[Mistake]:
    method = opened.spec.values.method
    if method is None or model.general:
        return
    yield Mistake(
        "method",
        "Common method variance was not modelled",
        f"{100 * method.share:.0f}% of the variance of every answer comes from how people answer, whatever is asked.",
        "It makes all constructs correlate more than they do: paths that are zero look positive, negative ones look "
        "weaker.",
        "Compare with a model that has a method factor (rival 'common_method'), or ask for a marker that has nothing "
        "to do with the topic. A path that vanishes beside it is not safe.",
    )


def _paths(opened: OpenLesson, model: FittedModel, main: Sequence[Pair], truth: dict[Pair, float]) -> Iterator[Mistake]:
    fitted = set(model.regressions)
    missing = [pair for pair in main if pair not in fitted]
    turned = [pair for pair in missing if (pair[1], pair[0]) in fitted]
    wrong = [pair for pair in missing if pair not in turned and truth.get(pair, 0.0)]
    harmless = [pair for pair in missing if pair not in turned and not truth.get(pair, 0.0)]
    every = set(opened.spec.regressions(opened.model)) | {(b, a) for a, b in turned}
    extra = [pair for pair in model.regressions if pair not in main and pair not in every]
    if main and len(missing) == len(main) and not turned:
        yield Mistake(
            "path-missing",
            "The model has no paths of the theory",
            "Constructs are measured, but nothing leads to anything.",
            "Correlations cannot say what a path is when other causes are held constant.",
            "Fit the whole model: the structural part of the model file.",
        )
        missing, wrong, harmless = [], [], []
    if turned:
        yield Mistake(
            "path-turned",
            "Paths were turned round",
            f"{_arrows((b, a) for a, b in turned)}: in the population the arrow points the other way.",
            "The number of one direction is not that of the other as soon as there are other causes.",
            "Take the direction from the theory and the design: the fit often cannot tell.",
        )
    if wrong:
        yield Mistake(
            "path-missing",
            "Paths are missing that are there in the population",
            f"{_arrows(wrong)}.",
            "What they carry goes through other paths, which come out too large or too small, and the fit gets worse.",
            "Look at modification indices and residual correlations, and ask the theory.",
        )
    if harmless:
        yield Mistake(
            "path-missing",
            "Paths of the theory were left out",
            f"{_arrows(harmless)}: zero in the population, as it happens.",
            "No number is harmed, but a claim was dropped without a test.",
            "Keep what the theory claims in the model: a path near zero with a narrow interval is a finding.",
            serious=False,
        )
    if extra:
        yield Mistake(
            "path-extra",
            "Paths were added that the theory does not name",
            f"{_arrows(extra)}.",
            "Each takes a degree of freedom, and if it was added because of a modification index, its p-value means "
            "little.",
            "Add a path only for a reason, say that it was added, and test it with new data.",
            serious=False,
        )


def _measurement(model: FittedModel) -> Iterator[Mistake]:
    if model.absent:
        yield Mistake(
            "measurement",
            "Constructs are not in the model",
            f"{_listed(model.absent)}.",
            "What they explain is part of other paths then.",
            "Fit the whole model.",
        )
    if model.misplaced:
        listed = [f"{item} on {latent}" for item, latent in model.misplaced.items()]
        yield Mistake(
            "measurement",
            "Items measure another construct than they were written for",
            f"{_listed(listed)}.",
            "Constructs run into each other, and paths between them are no longer those of the theory.",
            "Take the scales from the questionnaire.",
        )
    if model.left_out:
        yield Mistake(
            "measurement",
            "Items were left out",
            f"{_listed(model.left_out)}.",
            "Paths between latents stay about the same, with wider intervals.",
            "A weak item may go for a reason that was written down before; a reversed one is weak by its wording.",
            serious=False,
        )


def _was(count: int) -> str:
    return "was" if count == 1 else "were"


def _arrows(pairs: Iterable[Pair]) -> str:
    return _listed(f"{b} -> {a}" for a, b in pairs)


def _listed(names: Iterable[str]) -> str:
    every = [str(name) for name in names]
    if len(every) > _MOST:
        return ", ".join(every[:_MOST]) + f" and {len(every) - _MOST} more"
    return listing(every)
