"""Moderation asked of scores: regression, latent products with known reliability, raw products as a warning."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from b2b_sem.analysis.construct_score import ConstructScores, score_constructs
from b2b_sem.analysis.structural import fit
from b2b_sem.engine.base import Array
from b2b_sem.errors import DataError, ModelError, Unsupported
from b2b_sem.measures.notation import number
from b2b_sem.measures.regression import product_reliability, regress, standardized_product
from b2b_sem.results.fit import FitResult
from b2b_sem.results.moderation import RouteRow
from b2b_sem.spec.product import factors_of, product_entries
from b2b_sem.spec.question import Question, items_of, path_entries

__all__ = ["Setting", "ask_adjusted", "ask_observed", "ask_scores", "interval_of", "product_line"]

#: How far all scales are moved to show what a product of raw scores depends on.
SHIFT = 10.0
#: Relative change of chi-square and standard errors that is worth a sentence; none if nothing predicts the factors.
TOLD = 1e-3


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
        "regression on scores, HC3",
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


def ask_adjusted(setting: Setting) -> tuple[RouteRow, FitResult]:
    """Fit the latent product to scale means whose error variances are fixed by alpha, (1 - alpha) s^2, by LMS.

    Hsiao, Kwok & Lai 2018, doi:10.1177/0013164416679877. Alpha is taken as known.

    Raises
    ------
    Unsupported
        With clusters, or with factor scores.
    DataError
        For a construct whose alpha is not above 0.
    """
    if setting.cluster is not None or setting.score != "mean":
        raise Unsupported(
            "scores adjusted for reliability are scale means of independent rows",
            hint="use score='mean' without clusters, or the latent routes",
        )
    question = setting.question
    names = _structural(question)
    found, rows = _scored(setting, names)
    # single items have no alpha: as in the model itself, they are free of error
    scales = [name for name in names if len(items_of(question.parsed, name)) > 1]
    frame, lines = pd.DataFrame(index=rows.index), []
    for name in names:
        if name not in scales:
            frame[name] = rows[name]
            continue
        rel = found.reliability[name]
        if not 0.0 < rel <= 1.0:
            raise DataError(
                f"alpha of {name} is {number(rel)}", hint="the adjustment needs scales whose items go together"
            )
        item = f"{name}_mean"
        while item in names:
            item += "_"
        frame[item] = rows[name]
        lines += [f"{name} =~ 1*{item}", f"{item} ~~ {float((1.0 - rel) * rows[name].var(ddof=0))!r}*{item}"]
    for end, predictors, products in _equations(question):
        lines.append(f"{end} ~ {' + '.join([*predictors, *(f'{a}:{b}' for a, b in products)])}")
    lines += _covariances(question, names, scales)
    estimator = setting.estimator if setting.estimator in ("ML", "MLR", "MLF") else "ML"
    fitted = fit("\n".join(lines), frame, interaction="lms", estimator=estimator)
    alphas = ", ".join(f"{n} {number(found.reliability[n], bounded=True)}" for n in scales)
    return (
        RouteRow(
            "adjusted",
            "",
            n=len(rows),
            notes=(
                "Scale means as single indicators with error variances of (1 - alpha) s^2 (Hsiao, Kwok & Lai 2018, "
                f"doi:10.1177/0013164416679877), taken as known; alpha: {alphas}.",
                *found.warnings,
            ),
        ),
        fitted,
    )


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
    names = _structural(question)
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
        "raw products of scale means",
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


def _equation(question: Question, outcome: str) -> tuple[list[str], list[tuple[str, str]]]:
    """Return the predictors of an outcome, and its products; factors without a path of their own are predictors."""
    products = [factors_of(e) for e in product_entries(question.parsed) if e.lhs == outcome]
    own = [e.rhs for e in path_entries(question.parsed) if e.lhs == outcome]
    return list(dict.fromkeys([*own, *(name for pair in products for name in pair)])), products


def _equations(question: Question) -> list[tuple[str, list[str], list[tuple[str, str]]]]:
    """Return every outcome of the model with its predictors and products."""
    every = (*path_entries(question.parsed), *product_entries(question.parsed))
    return [(end, *_equation(question, end)) for end in dict.fromkeys(e.lhs for e in every)]


def _structural(question: Question) -> list[str]:
    """Return all variables that predict or are predicted."""
    return list(dict.fromkeys(name for end, predictors, _ in _equations(question) for name in (end, *predictors)))


def _covariances(question: Question, names: Sequence[str], among: Sequence[str]) -> list[str]:
    """Write the covariances that the model states among some of its variables."""
    out = []
    for e in question.parsed.entries:
        if e.op == "~~" and e.lhs != e.rhs and all(n in names and n in among for n in (e.lhs, e.rhs)):
            fixed = e.modifiers.fixed[0] if e.modifiers.fixed else None
            out.append(f"{e.lhs} ~~ {'' if fixed is None else f'{fixed!r}*'}{e.rhs}")
    return out


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
    for end, predictors, products in _equations(question):
        columns: dict[str, Array] = {_column((a, b)): (rows[a] * rows[b]).to_numpy() for a, b in products}
        frame = frame.assign(**columns)
        lines.append(f"{end} ~ {' + '.join([*predictors, *columns])}")
    lines += _covariances(question, _structural(question), [end for end, _, _ in _equations(question)])
    found = fit("\n".join(lines), frame, engine="native")
    if not (found.converged and found.identified):
        raise ModelError(f"the paths of scores cannot be fitted: {found.failure}", hint="leave this example out")
    return found


def _coefficient(found: FitResult, outcome: str, name: str) -> tuple[float, float]:
    line = product_line(found.parameters, outcome, name)
    return float(line["est"]), float(line["se"])


def _standardized(found: FitResult, outcome: str, name: str) -> float:
    return float(product_line(found.standardized(), outcome, name)["est_std"])


def product_line(table: pd.DataFrame, outcome: str, product: str) -> pd.Series:
    """Return the row of a path; the factors of a product may stand in either order."""
    wanted = sorted(product.split(":"))
    same = [sorted(str(rhs).split(":")) == wanted for rhs in table["rhs"]]
    return table[(table["op"] == "~") & (table["lhs"] == outcome) & np.array(same)].iloc[0]
