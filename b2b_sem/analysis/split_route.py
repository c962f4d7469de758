"""Moderation asked of groups: respondents split by the moderator's score, and the path compared."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from b2b_sem.analysis.construct_score import score_constructs
from b2b_sem.analysis.path_group import compare_groups
from b2b_sem.analysis.score_route import Setting
from b2b_sem.errors import DataError
from b2b_sem.measures.notation import number, p_phrase
from b2b_sem.results.moderation import RouteRow
from b2b_sem.results.path_group import PathGroupResult
from b2b_sem.spec.question import split_model

__all__ = ["ask_split"]

LOW, HIGH = "low", "high"


def ask_split(setting: Setting) -> tuple[RouteRow, PathGroupResult]:
    """Split respondents by the moderator's score and compare the path in both groups of one joint model.

    Raises
    ------
    Unsupported, ModelSyntaxError, ModelError, DataError
        As :func:`b2b_sem.compare_groups`; also for a cut that leaves a group empty.
    """
    question = setting.question
    text, dropped = split_model(question)
    found = score_constructs(question.parsed, setting.answers, [question.moderator], setting.score)
    score = found.values[question.moderator].to_numpy()
    used = np.isfinite(score)
    if setting.listwise:
        used &= np.isfinite(setting.answers.to_numpy()).all(axis=1)
    known = score[used]
    if not len(known):
        raise DataError(f"no row has a score of {question.moderator}", hint="use missing='fiml', or check the data")
    cut = float(np.median(known)) if setting.cut == "median" else float(setting.cut)
    upper = known > cut
    if upper.all() or not upper.any():
        raise DataError(
            f"no respondent lies {'at or below' if upper.all() else 'above'} the cut {cut:g} of {question.moderator}",
            hint=f"choose a cut between {known.min():g} and {known.max():g}",
        )
    frame = setting.answers.copy()
    group = "split"
    while group in frame.columns:
        group += "_"
    labels = np.array([LOW, HIGH], dtype=object)[(score > cut).astype(int)]
    labels[~used] = None
    frame[group] = labels
    if setting.cluster is not None:
        source = getattr(setting.data, "frame", setting.data)
        frame[setting.cluster] = np.asarray(source[setting.cluster])
    # the first group in the data is the one that others are compared with
    frame = frame.iloc[np.argsort(score, kind="stable")]
    path = f"{question.outcome}~{question.focal}"
    result = compare_groups(
        text,
        frame,
        group,
        paths=[path],
        estimator=setting.estimator,
        missing=setting.missing,
        std_lv=setting.std_lv,
        cluster=setting.cluster,
        alpha=setting.alpha,
        multiplicity="none",
        level=setting.level,
    )
    line = result.differences.iloc[0]
    assert (line["reference"], line["group"]) == (LOW, HIGH)
    # the difference of slopes per standard deviation of the moderator, as the products of the other routes have it
    apart = float((known[upper].mean() - known[~upper].mean()) / known.std(ddof=1))
    unit = float(line["std"] / line["est"]) / apart if line["est"] else math.nan
    row = RouteRow(
        "split",
        f"groups split at {'the median' if setting.cut == 'median' else number(cut)} of {question.moderator}",
        float(line["est"]),
        float(line["se"]),
        float(line["z"]),
        math.nan,
        float(line["pvalue"]),
        float(line["ci_lower"]),
        float(line["ci_upper"]),
        float(line["std"]) / apart,
        float(line["se"]) * unit,
        float(line["ci_lower"]) * unit,
        float(line["ci_upper"]) * unit,
        sum(result.groups.values()),
    )
    est = result.estimates.set_index("group")["est"]
    sizes = dict(result.groups)
    notes = [
        f"The path {question.focal} -> {question.outcome} is {number(est[LOW])} in the {sizes[LOW]} respondents with a "
        f"score of {question.moderator} up to {number(cut)}, and {number(est[HIGH])} in the {sizes[HIGH]} above.",
        "Splitting a continuous moderator throws information away, lowers power, and makes strangers of neighbours at "
        "the cut (MacCallum, Zhang, Preacher & Rucker 2002, doi:10.1037/1082-989X.7.1.19).",
    ]
    test = result.tests.iloc[0]
    if math.isfinite(test["pvalue_diff"]):
        notes.append(
            f"Difference of chi-squares for equal paths: {number(test['chisq_diff'])}, df = {test['df_diff']:.0f}, "
            f"{p_phrase(test['pvalue_diff'])}."
        )
    if dropped:
        notes.append(f"{question.moderator} leaves the model, and with it: {'; '.join(dropped)}.")
    failure = "" if result.fit is None else result.fit.failure
    return replace(row, reason=failure, notes=(*notes, *result.warnings, *found.warnings)), result
