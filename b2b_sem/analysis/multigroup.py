"""Fitting one model to several groups at once: parameters may be equal across groups, or free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from b2b_sem.analysis.continuous import bounded_table, check_auxiliary_use, count_equations, refuse_restricted
from b2b_sem.analysis.fitted import Fit
from b2b_sem.analysis.intake import check_columns, check_data, check_names, refuse, require_df
from b2b_sem.analysis.outcome import assemble
from b2b_sem.data.group import group_labels, observe_group_moments
from b2b_sem.data.observed import Observed, observe
from b2b_sem.data.table import Table
from b2b_sem.engine.base import Array, EngineFit, FitOptions
from b2b_sem.engine.group import (
    GroupInference,
    GroupProblem,
    count_group_df,
    infer_groups,
    prepare_groups,
    solve_groups,
)
from b2b_sem.engine.native.constraint import linear_constraints
from b2b_sem.engine.problem import at_solution
from b2b_sem.engine.setting import SAME_MISSING, resolve_options
from b2b_sem.engine.threads import single_thread
from b2b_sem.errors import DataError, Unsupported, did_you_mean
from b2b_sem.results.group import GroupPart
from b2b_sem.spec.auxiliary import add_auxiliary, check_auxiliary
from b2b_sem.spec.bound import BOUNDS
from b2b_sem.spec.partable import ParameterTable, Row, build_table
from b2b_sem.spec.syntax import ParsedModel

__all__ = ["fit_groups", "group_labels_of", "make_group_fit", "observe_groups"]


def fit_groups(
    parsed: ParsedModel,
    data: Any,
    *,
    estimator: str,
    likelihood: str,
    information: str | None,
    se: str,
    test: str,
    missing: str,
    group: str | None,
    group_equal: Sequence[str],
    group_partial: Sequence[str],
    cluster: str | None,
    parameterization: str,
    meanstructure: bool | None,
    std_lv: bool,
    orthogonal: bool,
    fixed_x: bool,
    bounds: str | None,
    kind: str,
    interaction: str,
    engine: str,
    sample_cov: Any,
    sample_mean: Any,
    nobs: Any,
    auxiliary: Sequence[str],
) -> Fit:
    """Fit a model of continuous answers to several groups; arguments and errors are those of :func:`b2b_sem.fit`.

    The estimates minimise the sum of the groups' fit functions, weighted by their numbers of rows (Joreskog 1971,
    doi:10.1007/BF02291366).
    """
    refuse(
        missing=(
            SAME_MISSING.get(missing, missing),
            ("listwise", "fiml", "fiml.x"),
            "use missing='fiml' (all answers are used) or 'listwise' (rows with holes are left out and counted)",
        ),
        parameterization=(parameterization, ("delta", "theta"), "leave it out"),
        bounds=(bounds, (None, *BOUNDS), "use one of " + ", ".join(repr(b) for b in BOUNDS)),
        kind=(kind, ("sem", "cfa", "growth"), "use kind='sem'"),
        interaction=(interaction, ("lms",), "leave it out"),
        engine=(engine, ("auto", "native"), "use 'native': semopy cannot fit several groups in one model"),
    )
    options = resolve_options(estimator, likelihood, information, se, test, cluster is not None, missing)
    casewise = options.missing != "listwise"
    if meanstructure is False and (casewise or kind == "growth" or cluster is not None):
        what = "a growth model" if kind == "growth" else "missing='fiml'" if casewise else "a model with clusters"
        raise Unsupported(f"{what} needs a mean structure", hint="leave meanstructure out")
    extra = check_auxiliary(auxiliary)
    if extra:
        check_auxiliary_use(options, cluster, bounds)
    labels, moments = _labels(data, group, sample_cov, sample_mean, nobs, options)
    if cluster is not None and moments is not None:
        raise DataError("clusters need the rows of the data, not covariance matrices", hint="give data=... and group=")
    if sample_cov is not None and sample_mean is None and meanstructure is None:
        meanstructure = False
    table = build_table(
        parsed,
        meanstructure=meanstructure,
        std_lv=std_lv,
        orthogonal=orthogonal,
        fixed_x=fixed_x and not extra,
        growth=kind == "growth",
        groups=labels,
        group_equal=group_equal,
        group_partial=group_partial,
    )
    if extra:
        table = add_auxiliary(table, extra)
    constraints = linear_constraints(table, skip_nonlinear=True)
    with single_thread():
        if moments is None:
            assert group is not None
            observed = observe_groups(table, data, group, options, cluster)
        else:
            observed = _in_order(table, moments)
        if bounds is not None:
            table = _bounded(table, observed, options, bounds, std_lv)
        problem = prepare_groups(table, observed, options, constraints)
        refuse_restricted(problem)
        hint = "remove or fix parameters, or make some equal in all groups"
        require_df(
            count_group_df(problem), table.file, spare=len(table.equalities) - count_equations(constraints), hint=hint
        )
        solution = solve_groups(problem, engine)
        if problem.restrictions is not None:
            problem = at_solution(problem, solution.theta)
            require_df(count_group_df(problem), table.file, hint=hint)
        inference = infer_groups(problem, observed, solution)
    settings: dict[str, Any] = {
        "estimator": str(estimator).upper(),
        "likelihood": likelihood if options.estimator == "ML" else None,
        "information": options.information,
        "se": options.se,
        "test": options.test,
        "missing": options.missing,
        "meanstructure": table.meanstructure,
        "std_lv": std_lv,
        "orthogonal": orthogonal,
        "fixed_x": fixed_x and not extra,
        "group": group,
        "group_equal": tuple(group_equal),
        "group_partial": tuple(group_partial),
    }
    optional = {"auxiliary": extra or None, "bounds": bounds, "cluster": cluster}
    settings |= {name: value for name, value in optional.items() if value is not None}
    if kind == "growth":
        settings["kind"] = kind
    notes = ("The native engine was used: semopy cannot fit several groups in one model.",) if engine == "auto" else ()
    return make_group_fit(problem, observed, solution, inference, settings, notes)


def _labels(
    data: Any, group: str | None, sample_cov: Any, sample_mean: Any, nobs: Any, options: FitOptions
) -> tuple[tuple[str, ...], Observed | None]:
    """Return the labels of the groups, and the moments if these were given."""
    if (data is None) == (sample_cov is None):
        raise DataError(
            "no data" if data is None else "data and sample_cov are both given",
            hint="give either data=... with group=..., or lists of sample_cov=... and nobs=...",
        )
    if sample_cov is not None:
        if group is not None:
            raise DataError(
                "group names a column, but there are covariance matrices", hint="leave group out, or give data=..."
            )
        if options.missing != "listwise":
            raise Unsupported("missing='fiml' needs the data, not covariance matrices", hint="give data=...")
        if nobs is None:
            raise DataError("sample_cov needs the number of rows of each group", hint="give nobs=[...]")
        moments = observe_group_moments(sample_cov, nobs, sample_mean)
        return tuple(str(g.label) for g in moments.groups), moments
    assert group is not None
    return group_labels_of(data, group), None


def group_labels_of(data: Any, group: str) -> tuple[str, ...]:
    """Return the labels of the groups in a column of the data.

    Raises
    ------
    DataError
        If there is no such column, or only one group.
    """
    columns = check_columns(data)
    if group not in columns:
        raise DataError(
            f"there is no column '{group}' to tell groups apart.{did_you_mean(str(group), columns)}",
            hint="check the spelling; names are case-sensitive",
        )
    labels, _ = group_labels(Table.open(data, [str(group)]).columns[0])
    if len(labels) < 2:
        what = f"has a single value, {labels[0]}" if labels else "has no value"
        raise DataError(
            f"the group column {group} {what}: there are no groups to compare",
            hint="leave group out, or name the column that tells groups apart",
        )
    return labels


def observe_groups(table: ParameterTable, data: Any, group: str, options: FitOptions, cluster: str | None) -> Observed:
    """Return the moments and rows of each group.

    Raises
    ------
    DataError
        If the data lack a variable, or the column of the groups is a variable or tells clusters apart, too.
    """
    check_data(table, data)
    if group in (*table.observed, *table.latents):
        raise DataError(
            f"'{group}' tells groups apart and is a variable of the model, too",
            hint="within a group it does not vary: leave it out of the model",
        )
    if cluster == group:
        raise DataError(
            f"'{group}' names both groups and clusters", hint="each group needs several clusters: leave one out"
        )
    fixed = table.exogenous if table.fixed_x and options.missing == "fiml" else ()
    return observe(
        data, table.observed, missing=options.missing, keep_raw=True, cluster=cluster, complete=fixed, group=group
    )


def _bounded(
    table: ParameterTable, observed: Observed, options: FitOptions, bounds: str, std_lv: bool
) -> ParameterTable:
    """Return the table with automatic bounds: those of each group from the variances in it."""
    rows: list[Row] = []
    for g, label in enumerate(table.groups, 1):
        part = table.part(g)
        unknown = [r.lhs for r in part.rows if std_lv and r.free and r.op == "~~" and r.lhs == r.rhs in part.latents]
        if unknown and bounds in ("standard", "wide", "default"):
            raise Unsupported(
                f"bounds={bounds!r} has no range for variances that equal loadings free in group {label}: "
                + ", ".join(unknown),
                hint="use bounds='pos.var', or leave std_lv out",
            )
        rows += bounded_table(part, observed.part(g), options, bounds, std_lv and not unknown).rows
    return replace(table, rows=tuple(rows))


def _in_order(table: ParameterTable, whole: Observed) -> Observed:
    """Return given moments in the order of the model."""
    check_names(table, list(whole.names))
    if table.meanstructure and any(g.mean is None for g in whole.groups):
        raise DataError(
            "the model has a mean structure, but there are no means beside the covariance matrices",
            hint="give sample_mean=[...], or leave intercepts and the mean structure out",
        )
    at = [whole.names.index(v) for v in table.observed]
    names = list(table.observed)
    means = None
    if all(g.mean is not None for g in whole.groups):
        means = {str(g.label): pd.Series(np.asarray(g.mean)[at], index=names) for g in whole.groups}
    covs = {str(g.label): pd.DataFrame(g.cov[np.ix_(at, at)], index=names, columns=names) for g in whole.groups}
    return observe_group_moments(covs, {str(g.label): g.nobs for g in whole.groups}, means, rescale=False)


def make_group_fit(
    problem: GroupProblem,
    observed: Observed,
    solution: EngineFit,
    inference: GroupInference,
    settings: Mapping[str, Any],
    notes: tuple[str, ...],
    kind: type[Fit] = Fit,
) -> Fit:
    """Make the result of several groups; `kind` says what it can be asked."""
    table = problem.table
    names = list(table.observed)

    def labelled(matrix: Array, labels: list[str]) -> pd.DataFrame:
        return pd.DataFrame(matrix, index=labels, columns=labels)

    parts: dict[str, GroupPart] = {}
    for g, label in enumerate(table.groups):
        part, implied = problem.parts[g], inference.implied[g]
        mean, latents = part.moments.mean, list(part.table.latents)
        k = len(latents)
        parts[label] = GroupPart(
            part.nobs,
            inference.tests[g],
            MappingProxyType(inference.r2[g]),
            labelled(part.moments.cov, names),
            labelled(implied.sigma, names),
            labelled(implied.eta_cov[:k, :k], latents),
            None if mean is None else pd.Series(mean, index=names),
            None if implied.mu is None else pd.Series(implied.mu, index=names),
        )
    empty = pd.DataFrame()
    return assemble(
        problem,
        _syntax(problem),
        observed,
        solution,
        inference,
        settings,
        notes,
        kind,
        _r2=MappingProxyType({}),
        _sample_cov=empty,
        _implied_cov=empty,
        _latent_cov=empty,
        _groups=MappingProxyType(parts),
    )


def _syntax(problem: GroupProblem) -> str:
    """Return the whole table as lavaan syntax, with a block for each group."""
    table = problem.table
    blocks = [f"group: {g}\n{table.part(g).to_lavaan(part.fixed)}" for g, part in enumerate(problem.parts, 1)]
    statements = [c.statement for c in table.constraints]
    return "\n".join([*blocks, *statements])
