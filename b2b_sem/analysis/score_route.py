"""Moderation asked of scores: moderated regression, groups of a split moderator, and raw products as a warning."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from b2b_sem.analysis.construct_score import ConstructScores, score_constructs
from b2b_sem.analysis.path_group import compare_groups
from b2b_sem.analysis.structural import fit
from b2b_sem.engine.base import Array
from b2b_sem.errors import DataError, ModelError, Unsupported
from b2b_sem.measures.notation import number, p_phrase
from b2b_sem.measures.regression import product_reliability, regress, standardized_product
from b2b_sem.results.fit import FitResult
from b2b_sem.results.moderation import RouteRow
from b2b_sem.results.path_group import PathGroupResult
from b2b_sem.spec.product import factors_of, product_entries
from b2b_sem.spec.question import Question, path_entries, split_model

__all__ = ["Setting", "ask_observed", "ask_scores", "ask_split", "interval_of"]

#: How far all scales are moved to show what a product of raw scores depends on.
SHIFT = 10.0
#: Relative change of chi-square and standard errors that is worth a sentence; none if nothing predicts the factors.
TOLD = 1e-3
LOW, HIGH = "low", "high"


@dataclass(frozen=True, eq=False)
class Setting:
    """What the routes on scores share.

    Attributes
    ----------
    question : Question
    answers : DataFrame
        All variables of the model as numbers.
    data : object
        As the caller gave them.
    estimator, missing : str
    cluster : str or None
    std_lv : bool
    score : str
        How constructs are scored.
    cut : float or "median"
        Where the moderator is split.
    alpha, level : float
    """

    question: Question
    answers: pd.DataFrame
    data: Any
    estimator: str
    missing: str
    cluster: str | None
    std_lv: bool
    score: str
    cut: float | str
    alpha: float
    level: float

    @property
    def listwise(self) -> bool:
        """Whether rows that lack any answer of the model are left out, as in the latent routes."""
        return self.missing == "listwise"


def interval_of(est: float, se: float, level: float, df: float = math.inf) -> tuple[float, float]:
    """Return the interval of an estimate by the normal or the t distribution."""
    at = 0.5 + level / 2.0
    reach = float(special.ndtri(at) if math.isinf(df) else special.stdtrit(df, at)) * se
    return est - reach, est + reach


def ask_scores(setting: Setting) -> RouteRow:
    """Regress the outcome's score on those of its predictors and their products, mean-centred, with HC3.

    Raises
    ------
    Unsupported
        With clusters.
    DataError
        If a predictor follows from the others, or there are too few rows.
    """
    if setting.cluster is not None:
        raise Unsupported("HC3 standard errors suppose independent rows", hint="use the latent routes with clusters")
    question = setting.question
    predictors, products = _equation(question, question.outcome)
    found, rows = _scored(setting, [question.outcome, *predictors])
    columns = {name: rows[name].to_numpy() - rows[name].mean() for name in predictors}
    y = rows[question.outcome].to_numpy()
    design = [np.ones(len(rows)), *columns.values(), *(columns[a] * columns[b] for a, b in products)]
    place = 1 + len(predictors) + products.index(question.factors)
    ols = regress(y, np.column_stack(design))
    a, b = question.factors
    est, se = float(ols.coef[place]), float(ols.se[place])
    std, std_se = standardized_product(ols, place, y, columns[a], columns[b])
    low, high = interval_of(est, se, setting.level, ols.df)
    std_low, std_high = interval_of(std, std_se, setting.level, ols.df)
    row = RouteRow(
        "scores",
        "regression on scores, mean-centred (HC3)",
        est,
        se,
        float(ols.t[place]),
        float(ols.df),
        float(ols.pvalue[place]),
        low,
        high,
        std,
        std_se,
        std_low,
        std_high,
        len(rows),
    )
    kind = "scale means" if setting.score == "mean" else f"factor scores ({setting.score})"
    notes = [f"Least squares on {kind} with HC3 standard errors (Hayes & Cai 2007, doi:10.3758/BF03192961)."]
    rel = [found.reliability[question.focal], found.reliability[question.moderator]]
    if setting.score != "mean":
        notes.append("Factor scores are not free of measurement error: the effect of their product is biased.")
    elif all(map(math.isfinite, rel)) and question.focal != question.moderator:
        r = float(np.corrcoef(columns[a], columns[b])[0, 1])
        notes.append(
            f"Measurement error attenuates the effect: with alpha {number(rel[0], bounded=True)} of {question.focal} "
            f"and {number(rel[1], bounded=True)} of {question.moderator} the product has a reliability of about "
            f"{number(product_reliability(rel[0], rel[1], r), bounded=True)} "
            "(Busemeyer & Jones 1983, doi:10.1037/0033-2909.93.3.549)."
        )
    else:
        notes.append("Measurement error attenuates the effect.")
    return replace(row, notes=(*notes, *found.warnings))


def ask_observed(setting: Setting) -> RouteRow:
    """Fit the paths of the model to raw scale means, with products that are not centred: the example of a trap.

    The coefficient of the product does not depend on the zero points of the scales, but what stands beside it does: the
    other coefficients of the equation, the usual standardized coefficient of the product column, and, where a factor of
    the product is an outcome of others, chi-square and the standard error.

    Raises
    ------
    Unsupported
        With clusters.
    ModelError
        If the paths cannot be fitted.
    """
    if setting.cluster is not None:
        raise Unsupported("this example has no clusters", hint="leave it out of the routes")
    question = setting.question
    names = list(dict.fromkeys(n for e in path_entries(question.parsed) for n in (e.lhs, e.rhs)))
    products = [(e.lhs, factors_of(e)) for e in product_entries(question.parsed)]
    names = list(dict.fromkeys([*names, *(n for end, pair in products for n in (end, *pair))]))
    found, rows = _scored(setting, names)
    rows = rows[names]
    raw = _fit_paths(setting, rows)
    centred = _fit_paths(setting, rows - rows.mean())
    moved = _fit_paths(setting, rows + SHIFT)
    name = _column(question.factors)
    est, se = _coefficient(raw, question.outcome, name)
    sd = rows.std()
    a, b = question.factors
    unit = float(sd[a] * sd[b] / sd[question.outcome])
    low, high = interval_of(est, se, setting.level)
    row = RouteRow(
        "observed",
        "raw products of scale means (warning example)",
        est,
        se,
        est / se,
        math.nan,
        2.0 * float(special.ndtr(-abs(est / se))),
        low,
        high,
        est * unit,
        se * unit,
        low * unit,
        high * unit,
        len(rows),
    )
    notes = ["A warning, not an answer: what stands beside the product depends on where the scales have their zero."]
    df = int(raw.measures["df"])
    values = [f.measures["chisq"] for f in (raw, centred, moved)]
    if df and max(values) - min(values) > TOLD * max(values):
        chisq = [number(v, 1) for v in values]
        notes.append(
            f"Chi-square (df = {df}) of the same paths and answers is {chisq[0]} with the scales as they are, "
            f"{chisq[1]} mean-centred, and {chisq[2]} with {SHIFT:g} added to every scale."
        )
    main = [number(_coefficient(f, question.outcome, question.focal)[0]) for f in (raw, centred, moved)]
    naive = [number(_standardized(f, question.outcome, name)) for f in (raw, centred, moved)]
    errors = [_coefficient(f, question.outcome, name)[1] for f in (raw, centred, moved)]
    if max(errors) > (1.0 + TOLD) * min(errors):
        written = [number(v, 3) for v in errors]
        notes.append(
            f"The standard error of the product is {written[0]}, {written[1]} and {written[2]}: the paths leave out "
            "that its column covaries with the residuals of its factors."
        )
    notes.append(
        f"The effect of {question.focal} beside the product is {main[0]}, {main[1]} and {main[2]} (it is the one where "
        f"{question.moderator} is zero), and the product column has the standardized coefficients {naive[0]}, "
        f"{naive[1]} and {naive[2]}."
    )
    return replace(row, notes=(*notes, *found.warnings))


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


def _equation(question: Question, outcome: str) -> tuple[list[str], list[tuple[str, str]]]:
    """Return the predictors of an outcome, and its products; factors without a path of their own are predictors."""
    products = [factors_of(e) for e in product_entries(question.parsed) if e.lhs == outcome]
    own = [e.rhs for e in path_entries(question.parsed) if e.lhs == outcome]
    return list(dict.fromkeys([*own, *(name for pair in products for name in pair)])), products


def _scored(setting: Setting, names: list[str]) -> tuple[ConstructScores, pd.DataFrame]:
    """Return scores, and the rows of them that are used."""
    found = score_constructs(setting.question.parsed, setting.answers, names, setting.score)
    rows = found.values
    complete = np.isfinite(rows.to_numpy()).all(axis=1)
    if setting.listwise:
        complete &= np.isfinite(setting.answers.to_numpy()).all(axis=1)
    if not complete.any():
        raise DataError("no row has answers to all items", hint="check the missing codes")
    return found, rows[complete]


def _column(factors: tuple[str, str]) -> str:
    return "_x_".join(factors)


def _fit_paths(setting: Setting, rows: pd.DataFrame) -> FitResult:
    """Fit the paths of the model to scores, products being columns of their own."""
    question = setting.question
    frame = rows.copy()
    lines: list[str] = []
    ends = dict.fromkeys(e.lhs for e in (*path_entries(question.parsed), *product_entries(question.parsed)))
    for end in ends:
        predictors, products = _equation(question, end)
        columns: dict[str, Array] = {_column((a, b)): (rows[a] * rows[b]).to_numpy() for a, b in products}
        frame = frame.assign(**columns)
        lines.append(f"{end} ~ {' + '.join([*predictors, *columns])}")
    found = fit("\n".join(lines), frame, engine="native")
    if not (found.converged and found.identified):
        raise ModelError(f"the paths of scores cannot be fitted: {found.failure}", hint="leave this example out")
    return found


def _coefficient(found: FitResult, outcome: str, name: str) -> tuple[float, float]:
    table = found.parameters
    line = table[(table["op"] == "~") & (table["lhs"] == outcome) & (table["rhs"] == name)].iloc[0]
    return float(line["est"]), float(line["se"])


def _standardized(found: FitResult, outcome: str, name: str) -> float:
    table = found.standardized()
    line = table[(table["op"] == "~") & (table["lhs"] == outcome) & (table["rhs"] == name)].iloc[0]
    return float(line["est_std"])
