"""One question of moderation, asked by all routes: ``moderation``."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from b2b_sem.analysis.construct_score import SCORES
from b2b_sem.analysis.intake import check_data, column_name, model_text, name_list, refuse
from b2b_sem.analysis.score_route import (
    Setting,
    ask_adjusted,
    ask_observed,
    ask_scores,
    interval_of,
    product_line,
)
from b2b_sem.analysis.split_route import ask_split
from b2b_sem.analysis.structural import fit
from b2b_sem.data.table import Table
from b2b_sem.errors import B2BSemError, DataError, did_you_mean
from b2b_sem.measures.notation import number
from b2b_sem.results.fit import FitResult
from b2b_sem.results.moderation import AGREE, DIFFER, EXAMPLE, OPEN, ModerationResult, RouteRow, describe_row
from b2b_sem.spec.model import ModelSpec
from b2b_sem.spec.partable import build_table
from b2b_sem.spec.product import linear_part
from b2b_sem.spec.question import Question, find_question
from b2b_sem.spec.syntax import parse_model

__all__ = ["ROUTES", "moderation"]

#: Routes through a latent product, and what each is called.
LATENT = {
    "lms": "latent product, maximum likelihood",
    "qml": "latent product, quasi-maximum likelihood",
    "dmc": "product indicators in pairs, double-mean-centred",
    "dmc-all": "all product indicators, double-mean-centred",
    "mc": "product indicators in pairs, mean-centred",
    "mc-all": "all product indicators, mean-centred",
    "rc": "product indicators in pairs, residual-centred",
    "rc-all": "all product indicators, residual-centred",
}
ON_SCORES = {
    "scores": "regression on scores, HC3",
    "adjusted": "scale means adjusted for reliability",
    "split": "groups by the moderator",
    "observed": "raw products of scale means",
}
#: What is asked by default.
ROUTES = ("lms", "qml", "dmc", "dmc-all", "rc", "scores", "split", "observed")


def moderation(
    model: str | Path | ModelSpec,
    data: Any,
    product: str | None = None,
    outcome: str | None = None,
    *,
    routes: Sequence[str] | str = ROUTES,
    moderator: str | None = None,
    estimator: str = "ML",
    missing: str = "listwise",
    cluster: str | None = None,
    std_lv: bool = False,
    score: str = "mean",
    cut: float | str = "median",
    alpha: float = 0.05,
    level: float = 0.95,
    fits: Mapping[str, FitResult] | None = None,
) -> ModerationResult:
    """Ask one question of moderation by several routes, and whether the verdict depends on the route.

    Parameters
    ----------
    model : str, Path or ModelSpec
        With the product: ``RR ~ PC + PX + PC:PX``.
    data : DataFrame, mapping of columns, or Responses
    product, outcome : str, optional
        Which product of which equation; may be left out where there is one.
    routes : sequence of str
        ``"lms"``, ``"qml"``, ``"dmc"``, ``"dmc-all"``, ``"mc"``, ``"mc-all"``, ``"rc"`` and ``"rc-all"`` fit the latent
        product, as `interaction` of :func:`b2b_sem.fit`. ``"scores"`` regresses scores of constructs, mean-centred,
        with HC3 standard errors (Hayes & Cai 2007, doi:10.3758/BF03192961). ``"adjusted"`` fits the latent product to
        scale means whose error variances are fixed by alpha (Hsiao, Kwok & Lai 2018, doi:10.1177/0013164416679877).
        ``"split"`` compares the path in two groups of a split moderator (see MacCallum et al. 2002,
        doi:10.1037/1082-989X.7.1.19, for why not to). ``"observed"`` shows what raw products of scale means depend on;
        it is a warning and does not count.
    moderator : str, optional
        The factor that makes the groups of the split; default: the second one.
    estimator, missing, cluster, std_lv
        Of the latent routes and the split: see :func:`b2b_sem.fit`. Scores always need complete answers: with
        ``missing="fiml"`` to the items of their own equation, else to all of the model.
    score : {"mean", "regression", "bartlett"}
        Scores are means of items, or factor scores.
    cut : float or "median"
        Score of the moderator up to which a respondent belongs to the lower group.
    alpha, level : float
        Error rate of each test, and level of the intervals.
    fits : mapping of str to FitResult, optional
        Fits of latent routes that exist already, by route: they are not repeated.

    Returns
    -------
    ModerationResult
        A row a route. A route that fails, or is not available, is a row with its reason.

    Raises
    ------
    ModelSyntaxError, DataError, Unsupported
        For input that no route can use.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(1)
    >>> x, m = rng.normal(size=(2, 300))
    >>> y = 0.4 * x + 0.2 * m + 0.3 * x * m + rng.normal(size=300)
    >>> data = pd.DataFrame(
    ...     {f"{v}{i}": f + 0.6 * rng.normal(size=300) for v, f in (("x", x), ("m", m), ("y", y)) for i in (1, 2, 3)}
    ... )
    >>> text = "X =~ x1 + x2 + x3; M =~ m1 + m2 + m3; Y =~ y1 + y2 + y3; Y ~ X + M + X:M"
    >>> found = moderation(text, data, routes=("lms", "scores"))
    >>> found.agreement
    'agree'
    """
    text, file = model_text(model)
    parsed = parse_model(text, file)
    question = find_question(parsed, product, outcome, moderator)
    wanted = _check(routes, score, cut, alpha, level)
    cluster = column_name("cluster", cluster)
    setting = Setting(
        question,
        _answers(question, data, cluster),
        data,
        str(estimator).upper(),
        missing,
        cluster,
        std_lv,
        score,
        cut if isinstance(cut, str) else float(cut),
        alpha,
        level,
    )
    kept: dict[str, Any] = {}
    given = _check_fits(fits, question)
    rows = [_asked(name, setting, model, given, kept) for name in wanted]
    agreement, statements = _compare(question, rows, alpha)
    options = {
        "estimator": setting.estimator,
        "missing": missing,
        "cluster": cluster,
        "std_lv": std_lv,
        "score": score,
        "cut": setting.cut,
    }
    notes = [
        "est and se are in the units of each route; std is the change of the standardized effect of "
        f"{question.focal} when {question.moderator} is one standard deviation higher (Wen, Marsh & Hau 2010, "
        "doi:10.1080/10705510903438872), and can be compared.",
    ]
    if "split" in kept:
        notes.append(
            "The split has no product: its est is the difference of the two paths, its std that difference for one "
            f"standard deviation of {question.moderator}'s score between the means of the groups."
        )
    return ModerationResult(
        text,
        question.product,
        question.outcome,
        question.focal,
        question.moderator,
        alpha,
        level,
        MappingProxyType(options),
        agreement,
        statements,
        tuple(notes),
        (),
        tuple(rows),
        MappingProxyType(kept),
    )


def _check(routes: Any, score: str, cut: Any, alpha: float, level: float) -> tuple[str, ...]:
    """Return the names of the routes, once each."""
    wanted = tuple(dict.fromkeys(name_list("routes", routes)))
    known = (*LATENT, *ON_SCORES)
    if not wanted:
        raise DataError("routes names no route", hint=f"use {', '.join(known)}")
    for name in wanted:
        if name not in known:
            raise DataError(f"there is no route '{name}'.{did_you_mean(name, known)}", hint=f"use {', '.join(known)}")
    refuse(score=(score, SCORES, "use " + " or ".join(map(repr, SCORES))))
    for name, value in (("alpha", alpha), ("level", level)):
        if not 0 < value < 1:
            raise DataError(f"{name} is {value!r}", hint="give a number between 0 and 1")
    if cut != "median" and (isinstance(cut, str | bool) or not math.isfinite(cut)):
        raise DataError(f"cut={cut!r} is no score", hint="give a number, or 'median'")
    return wanted


def _check_fits(fits: Mapping[str, FitResult] | None, question: Question) -> dict[str, FitResult]:
    """Return fits that exist already, by route.

    Raises
    ------
    DataError
        For what is no fit of the product by that route.
    """
    given = dict(fits or {})
    for name, own in given.items():
        if name not in LATENT:
            raise DataError(
                f"fits has '{name}', which is no route with a fit of its own.{did_you_mean(name, LATENT)}",
                hint=f"use {', '.join(LATENT)}",
            )
        if not isinstance(own, FitResult):
            raise DataError(f"fits[{name!r}] is a {type(own).__name__}, not a fit", hint="give the result of fit()")
        way = own.model.options.get("interaction", name)
        if way != name:
            raise DataError(
                f"fits[{name!r}] was fitted with interaction={way!r}", hint=f"give it as {way!r}, or leave it out"
            )
        if own.groups:
            raise DataError(f"fits[{name!r}] has several groups", hint="leave it out")
        paths = own.parameters.query("op == '~'")
        known = {(y, frozenset(x.split(":"))) for y, x in zip(paths["lhs"], paths["rhs"], strict=True) if ":" in x}
        if (question.outcome, frozenset(question.product.split(":"))) not in known:
            raise DataError(
                f"fits[{name!r}] has no product {question.product} in the equation of {question.outcome}",
                hint="fit the model that you ask about",
            )
    return given


def _answers(question: Question, data: Any, cluster: str | None) -> pd.DataFrame:
    """Return the columns of the model as numbers; bad cells are named by row here, before any route."""
    table = build_table(linear_part(question.parsed))
    check_data(table, data)
    opened = Table.open(data, table.observed)
    columns = opened.floats()
    opened.refuse_infinite(np.array(columns))
    opened.refuse_empty({name: np.isnan(values) for name, values in zip(opened.names, columns, strict=True)})
    if cluster is not None:
        Table.open(data, [cluster])
    return pd.DataFrame(dict(zip(opened.names, columns, strict=True)))


def _asked(
    name: str,
    setting: Setting,
    model: Any,
    fits: Mapping[str, FitResult],
    kept: dict[str, Any],
) -> RouteRow:
    """Return the row of a route, with the reason if it has no answer."""
    title = {**LATENT, **ON_SCORES}[name]
    try:
        if name in LATENT:
            kept[name] = fits[name] if name in fits else _fitted(name, setting, model)
            row = _read(RouteRow(name, title), kept[name], setting)
        elif name == "adjusted":
            start, kept[name] = ask_adjusted(setting)
            row = _read(replace(start, title=title), kept[name], setting)
        elif name == "split":
            row, kept[name] = ask_split(setting)
        else:
            ask: Callable[[Setting], RouteRow] = ask_scores if name == "scores" else ask_observed
            row = ask(setting)
    except (B2BSemError, ArithmeticError, np.linalg.LinAlgError) as error:
        message = getattr(error, "message", str(error))
        hint = getattr(error, "hint", None)
        return RouteRow(name, title, reason=f"{message} ({hint})" if hint else message)
    if row.reason:
        return row
    if not (math.isfinite(row.pvalue) and row.se > 0):
        return replace(row, reason="the product has no standard error")
    found = row.pvalue < setting.alpha
    return replace(row, decision=("positive" if row.est > 0 else "negative") if found else "none")


def _fitted(name: str, setting: Setting, model: Any) -> FitResult:
    return fit(
        model,
        setting.data,
        interaction=name,
        estimator=setting.estimator,
        missing=setting.missing,
        cluster=setting.cluster,
        std_lv=setting.std_lv,
    )


def _read(row: RouteRow, found: FitResult, setting: Setting) -> RouteRow:
    """Fill a row with what a fit of the latent product says."""
    question, level = setting.question, setting.level
    row = replace(row, n=found.nobs, notes=(*row.notes, *found.warnings))
    if not (found.converged and found.identified):
        return replace(row, reason=found.failure)
    line, standard = (
        product_line(t, question.outcome, question.product) for t in (found.parameters, found.standardized())
    )
    if not line["free"]:
        return replace(row, reason="the product is fixed in the model (give it no value)")
    est, se = float(line["est"]), float(line["se"])
    std, std_se = float(standard["est_std"]), float(standard["se"])
    z = est / se if se > 0 else math.nan
    low, high = interval_of(est, se, level)
    std_low, std_high = interval_of(std, std_se, level)
    return replace(
        row,
        est=est,
        se=se,
        statistic=z,
        pvalue=2.0 * float(special.ndtr(-abs(z))),
        ci_lower=low,
        ci_upper=high,
        std=std,
        std_se=std_se,
        std_lower=std_low,
        std_upper=std_high,
        reason=found.failure,
    )


def _compare(question: Question, rows: Sequence[RouteRow], alpha: float) -> tuple[str, tuple[str, ...]]:
    """Say whether the verdict depends on the route."""
    counted = [row for row in rows if row.ok and row.route != EXAMPLE]
    what = f"{question.focal} on {question.outcome} by {question.moderator}"
    if not counted:
        return OPEN, (f"No route has an answer on the moderation of {what}.",)
    by = question.moderator if question.moderator != question.focal else f"{question.moderator} itself"
    words = {
        "positive": f"the effect of {question.focal} grows with {by}",
        "negative": f"the effect of {question.focal} falls with {by}",
        "none": "no reliable moderation",
    }
    decisions = list(dict.fromkeys(row.decision for row in counted))
    limit = f"p < {number(alpha, 2, bounded=True)}" if alpha >= 0.005 else f"p < {alpha:g}"
    if len(counted) == 1:
        return OPEN, (f"By {describe_row(counted[0])}: {words[decisions[0]]}. No other route has an answer.",)
    ends = sorted((row for row in counted if math.isfinite(row.std)), key=lambda row: row.std)
    sizes: tuple[str, ...] = ()
    if len(ends) > 1:
        least, most = (f"{number(row.std)} ({row.route})" for row in (ends[0], ends[-1]))
        sizes = (f"Standardized effects: from {least} to {most}.",)
    if len(decisions) == 1:
        said = words[decisions[0]] + (f" ({limit})" if decisions[0] != "none" else "")
        *names, last = (row.route for row in counted)
        return AGREE, (f"The verdict does not depend on the route: {said} by {', '.join(names)} and {last}.", *sizes)
    parts = [
        f"{words[decision]} by {', '.join(describe_row(row) for row in counted if row.decision == decision)}"
        for decision in decisions
    ]
    return DIFFER, (f"The verdict depends on the route: {'; '.join(parts)}.", *sizes)
