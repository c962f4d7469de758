"""Fitting a model of ordinal items: what ``fit`` does when ``ordered`` is given or the model text has thresholds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from b2b_sem.analysis.fitted import Fit
from b2b_sem.analysis.intake import check_columns, check_names, require_df
from b2b_sem.analysis.multigroup import group_labels_of, make_group_fit
from b2b_sem.analysis.outcome import make_fit
from b2b_sem.data.numeric import listed
from b2b_sem.data.observed import GroupMoments, Observed
from b2b_sem.data.ordinal import OrdinalMoments
from b2b_sem.data.response import observe_ordinal
from b2b_sem.engine.base import Array
from b2b_sem.engine.categorical import (
    count_ordinal_df,
    joint_moments,
    prepare_ordinal,
    resolve_ordinal,
    solve_ordinal,
    weight_of,
)
from b2b_sem.engine.group_ordinal import (
    count_ordinal_groups,
    infer_ordinal_groups,
    prepare_ordinal_groups,
    solve_ordinal_groups,
)
from b2b_sem.engine.native.constraint import linear_constraints
from b2b_sem.engine.native.restriction import restrict
from b2b_sem.engine.ordinal import infer_ordinal
from b2b_sem.engine.problem import Problem
from b2b_sem.engine.threads import single_thread
from b2b_sem.errors import DataError, ModelSyntaxError, Unsupported
from b2b_sem.spec.partable import ParameterTable, build_table, ordinal_names
from b2b_sem.spec.syntax import ParsedModel

if TYPE_CHECKING:
    from b2b_sem.data.read import Responses

__all__ = ["fit_ordinal"]

#: Why WLSMV is taken where the estimator was left at its default.
DEFAULT_NOTE = (
    "Estimator WLSMV was used: {count} are ordinal, and maximum likelihood takes answers as continuous numbers. It "
    "fits thresholds and polychoric correlations, with robust standard errors and a scaled and shifted test."
)

#: What the data give a model of ordinal items.
STATISTICS = "thresholds, means, variances and correlations"


def fit_ordinal(
    model: ParsedModel,
    data: pd.DataFrame | Mapping[str, Any] | Responses,
    ordered: Sequence[str] | str | bool | None,
    *,
    estimator: str = "ML",
    likelihood: str = "normal",
    information: str | None = None,
    se: str = "default",
    test: str = "default",
    missing: str = "listwise",
    parameterization: str = "delta",
    std_lv: bool = False,
    orthogonal: bool = False,
    fixed_x: bool = True,
    group: str | None = None,
    group_equal: Sequence[str] = (),
    group_partial: Sequence[str] = (),
    observed: Observed | None = None,
) -> Fit:
    """Fit a model whose items are ordinal.

    Parameters
    ----------
    model : ParsedModel
    data : DataFrame, mapping of columns, or Responses
    ordered : sequence of str, str, bool or None
        Ordinal variables; True for all that are measured or predicted. Those with thresholds in the text are, too.
        Columns of the data that the model does not use are passed over with a note.
    estimator : str
        A name of :data:`~b2b_sem.engine.categorical.ORDINAL_ESTIMATORS`; "ML" becomes WLSMV.
    likelihood, information, se, test, std_lv, orthogonal, fixed_x
        As in :func:`b2b_sem.fit`. With `fixed_x`, statistics are those given the exogenous variables.
    missing : {"listwise", "pairwise"}
    parameterization : {"delta", "theta"}
    group : str, optional
        Column that tells groups apart; the categories of an item are those of all groups.
    group_equal, group_partial : sequence of str
        As in :func:`b2b_sem.fit`.
    observed : Observed, optional
        The statistics of an earlier fit to the same variables of the same data, which are not computed again.

    Raises
    ------
    ModelSyntaxError, DataError, ModelError, Unsupported
        As :func:`b2b_sem.fit`.
    """
    if missing not in ("listwise", "pairwise"):
        raise Unsupported(
            f"missing='{missing}' is not available for ordinal items", hint="use missing='listwise' or 'pairwise'"
        )
    if parameterization not in ("delta", "theta"):
        raise Unsupported(
            f"parameterization='{parameterization}' is not available", hint="use parameterization='delta' or 'theta'"
        )
    chosen = str(estimator).upper()
    defaulted = chosen in ("ML", "DEFAULT")
    chosen = "WLSMV" if defaulted else chosen
    options = resolve_ordinal(chosen, likelihood, information, se, test)
    given = [ordered] if isinstance(ordered, str) else ordered
    choices: dict[str, Any] = {
        "meanstructure": True,
        "std_lv": std_lv,
        "orthogonal": orthogonal,
        "fixed_x": fixed_x,
    }
    entries = tuple(e for e in model.entries if e.op not in ("|", "~*~"))
    labels = group_labels_of(data, group) if group is not None else ()
    plain = build_table(replace(model, entries=entries, constraints=()), groups=labels, **choices)
    columns = check_columns(data)
    check_names(plain, columns)
    if group in (*plain.observed, *plain.latents):
        raise DataError(
            f"'{group}' tells groups apart and is a variable of the model, too",
            hint="within a group it does not vary: leave it out of the model",
        )
    unused: list[str] = []
    if given is not None and not isinstance(given, bool):
        # a list of all ordinal items of a survey serves every model of it
        elsewhere = set(columns) - {*plain.observed, *plain.latents}
        unused = [name for name in dict.fromkeys(map(str, given)) if name in elsewhere]
        given = [str(name) for name in given if str(name) not in elsewhere]
    names = ordinal_names(model, given if given is not None else ())
    if not names:
        raise ModelSyntaxError(
            f"none of the ordinal variables is in the model: {listed(unused)}" if unused else "no variable is ordinal",
            file=model.file,
            hint="leave ordered out, or name columns that the model measures or predicts",
        )
    covariates = plain.exogenous if fixed_x else ()
    with single_thread():
        measured = [v for v in plain.observed if v not in covariates]
        if observed is None:
            observed = observe_ordinal(data, measured, names, covariates=covariates, missing=missing, group=group)
        assert observed.ordinal is not None
        assert list(observed.ordinal[0].names) == measured
        moments = observed.ordinal[0]
        levels = dict(zip(moments.names, moments.levels, strict=True))
        table = build_table(
            model,
            categories={v: len(levels[v] or ()) for v in names},
            parameterization=parameterization,
            groups=labels,
            group_equal=group_equal,
            group_partial=group_partial,
            **choices,
        )
        _refuse_restrictions(table)
        constraints = linear_constraints(table)
        joint = [joint_moments(table, own) for own in observed.ordinal]
        observed = replace(
            observed,
            names=table.observed,
            groups=tuple(
                GroupMoments(old.label, old.nobs, np.asarray(cov, float), np.asarray(mean, float))
                for old, (cov, mean) in zip(observed.groups, joint, strict=True)
            ),
        )
        if labels:
            several = prepare_ordinal_groups(table, observed, options, constraints)
            require_df(count_ordinal_groups(several), table.file, given=STATISTICS)
            solution = solve_ordinal_groups(several)
            found = infer_ordinal_groups(several, observed, solution)
        else:
            problem = prepare_ordinal(table, moments, options, constraints)
            require_df(count_ordinal_df(problem), table.file, given=STATISTICS)
            solution = solve_ordinal(problem)
            inference = infer_ordinal(problem, moments, solution)
    settings: dict[str, Any] = {
        "estimator": chosen,
        "likelihood": None,
        "information": options.information,
        "se": options.se,
        "test": options.test,
        "missing": missing,
        "meanstructure": True,
        "std_lv": std_lv,
        "orthogonal": orthogonal,
        "fixed_x": fixed_x,
        "ordered": tuple(sorted(names)),
        "parameterization": parameterization,
    }
    if labels:
        settings |= {"group": group, "group_equal": tuple(group_equal), "group_partial": tuple(group_partial)}
    notes: tuple[str, ...] = ()
    if unused:
        notes += (f"Ordered, but not in the model: {listed(unused)}.",)
    if defaulted:
        whole = len(names) == len(moments.names)
        count = "all variables" if whole else f"{len(names)} of {len(moments.names)} variables"
        notes += (DEFAULT_NOTE.format(count=count),)
    if covariates:
        notes += (
            f"Thresholds and correlations are those given the exogenous variables ({', '.join(covariates)}), which are "
            "taken as fixed (conditional.x in lavaan).",
        )
    if options.estimator == "ULS" and options.se == "standard":
        notes += (
            "The standard errors of ULS take thresholds and correlations as uncorrelated and equally precise; they are "
            "seldom right: use ULSMV.",
        )
    if labels:
        assert observed.ordinal is not None
        fit = make_group_fit(several, observed, solution, found.main, settings, notes)
        parts = {}
        for g, (label, part) in enumerate((fit._groups or {}).items()):
            slopes = _implied_slopes(several.parts[g], solution.theta[several.places[g]])
            parts[label] = replace(
                part, **_statistics(several.parts[g], observed.ordinal[g], found.cov[g], found.thresholds[g], slopes)
            )
        return replace(fit, _groups=MappingProxyType(parts))
    fit = make_fit(table, observed, problem, solution, inference.main, settings, notes)
    slopes = _implied_slopes(problem, solution.theta)
    more = _statistics(problem, moments, inference.cov, inference.thresholds, slopes)
    return replace(fit, **{f"_{name}": value for name, value in more.items()})


def _implied_slopes(problem: Problem, theta: Array) -> Array | None:
    """Return the implied regressions on the covariates, (n, number of covariates)."""
    layout = weight_of(problem).layout
    if not len(layout.x):
        return None
    state = layout.state(theta)
    assert state is not None
    return state.slopes_on_x


def _statistics(
    problem: Problem, moments: OrdinalMoments, cov: Array, thresholds: Array, slopes: Array | None
) -> dict[str, Any]:
    """Return sample and implied statistics in the metric of the answers, as the fields of a result."""
    weight = weight_of(problem)
    layout = weight.layout
    names = [problem.table.observed[i] for i in layout.y]
    h = len(layout.item)
    ordinal = layout.ordered[layout.item]
    labels = [label for label, keep in zip(moments.labels[:h], ordinal, strict=True) if keep]
    numeric = [names[k] for k in layout.numeric]

    def frame(matrix: Array) -> pd.DataFrame:
        return pd.DataFrame(matrix, index=names, columns=names)

    def series(values: Array, index: list[str]) -> pd.Series:
        return pd.Series(values, index=index)

    out: dict[str, Any] = {
        "sample_cov": frame(np.array(moments.cov)),
        "implied_cov": frame(cov),
        "sample_mean": series(-weight.statistic[:h][~ordinal], numeric) if numeric else None,
        "implied_mean": series(-thresholds[~ordinal], numeric) if numeric else None,
        "sample_th": series(weight.statistic[:h][ordinal], labels),
        "implied_th": series(thresholds[ordinal], labels),
    }
    if slopes is not None:
        out["implied_slopes"] = pd.DataFrame(slopes, index=names, columns=list(moments.covariates))
        out["sample_slopes"] = pd.DataFrame(moments.slopes, index=names, columns=list(moments.covariates))
    return out


def _refuse_restrictions(table: ParameterTable) -> None:
    """Raise for constraints whose numbers are not tested with ordinal items."""
    if restrict(table) is not None:
        raise Unsupported(
            "bounds, inequalities and nonlinear constraints are not available for ordinal items",
            hint="remove them; labels and linear equations can be used",
        )
