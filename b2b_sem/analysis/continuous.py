"""Fitting a model of continuous answers: moments, full information, auxiliary variables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from b2b_sem.analysis.fitted import Fit
from b2b_sem.analysis.intake import check_data, check_names, refuse, require_df
from b2b_sem.analysis.outcome import make_fit
from b2b_sem.data.observed import Observed, observe, observe_moments
from b2b_sem.engine.base import FitOptions, moments_divisor
from b2b_sem.engine.inference import count_df, infer
from b2b_sem.engine.native.casewise import Casewise
from b2b_sem.engine.native.constraint import LinearConstraints, linear_constraints
from b2b_sem.engine.problem import Problem, at_solution, make_casewise, prepare, solve
from b2b_sem.engine.robust import rows_of
from b2b_sem.engine.setting import SAME_MISSING, resolve_options
from b2b_sem.engine.threads import single_thread
from b2b_sem.errors import DataError, Unsupported
from b2b_sem.spec.auxiliary import add_auxiliary, check_auxiliary
from b2b_sem.spec.bound import BOUNDS, add_bounds
from b2b_sem.spec.partable import ParameterTable, build_table
from b2b_sem.spec.syntax import ParsedModel

__all__ = ["bounded_table", "check_auxiliary_use", "count_equations", "fit_continuous", "refuse_restricted"]


def fit_continuous(
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
    nobs: int | None,
    auxiliary: Sequence[str],
) -> Fit:
    """Fit a model of continuous answers; arguments and errors are those of :func:`b2b_sem.fit`."""
    refuse(
        missing=(
            SAME_MISSING.get(missing, missing),
            ("listwise", "fiml", "fiml.x"),
            "use missing='fiml' (all answers are used), 'mi' (imputation) or 'listwise' (rows with holes are left out "
            "and counted); 'pairwise' goes with ordered items",
        ),
        parameterization=(parameterization, ("delta", "theta"), "leave it out"),
        bounds=(bounds, (None, *BOUNDS), "use one of " + ", ".join(repr(b) for b in BOUNDS)),
        kind=(kind, ("sem", "cfa", "growth"), "use kind='sem'"),
        interaction=(interaction, ("lms",), "leave it out"),
        engine=(engine, ("auto", "semopy", "native"), "use 'auto', 'semopy' or 'native'"),
    )
    options = resolve_options(estimator, likelihood, information, se, test, cluster is not None, missing)
    casewise_fit = options.missing != "listwise"
    if cluster is not None and meanstructure is False:
        raise Unsupported("clusters need a mean structure", hint="leave meanstructure out")
    if kind == "growth" and meanstructure is False:
        raise Unsupported("a growth model needs a mean structure", hint="leave meanstructure out")
    if casewise_fit and meanstructure is False:
        raise Unsupported("missing='fiml' needs a mean structure", hint="leave meanstructure out")
    if casewise_fit and data is None and sample_cov is not None:
        raise Unsupported("missing='fiml' needs the data, not a covariance matrix", hint="give data=...")
    extra = check_auxiliary(auxiliary)
    if extra:
        check_auxiliary_use(options, cluster, bounds)
    table = build_table(
        parsed,
        meanstructure=meanstructure if cluster is None and not casewise_fit else True,
        std_lv=std_lv,
        orthogonal=orthogonal,
        fixed_x=fixed_x and not extra,
        growth=kind == "growth",
        group_equal=group_equal,
        group_partial=group_partial,
    )
    if extra:
        table = add_auxiliary(table, extra)
    constraints = linear_constraints(table, skip_nonlinear=True)
    require_df(count_df(table, constraints), table.file, spare=len(table.equalities) - count_equations(constraints))
    with single_thread():
        observed = _observe(table, data, sample_cov, sample_mean, nobs, cluster, options.missing)
        if bounds is not None:
            table = bounded_table(table, observed, options, bounds, std_lv)
        problem = prepare(table, observed, options, constraints)
        refuse_restricted(problem)
        solution, notes = solve(problem, engine)
        if problem.restrictions is not None:
            problem = at_solution(problem, solution.theta)
            constraints = problem.constraints
            require_df(count_df(table, constraints), table.file)
        weight = problem.moments.weight
        casewise = weight if isinstance(weight, Casewise) else make_casewise(table, observed)
        inference = infer(
            table,
            problem.structure,
            problem.moments,
            observed.nobs,
            problem.fixed,
            solution,
            options,
            constraints=constraints,
            rows=rows_of(table, observed)
            if options.needs_rows and (weight is None or weight is not casewise)
            else None,
            casewise=casewise,
        )
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
    }
    if extra:
        settings["auxiliary"] = extra
    if bounds is not None:
        settings["bounds"] = bounds
    if kind == "growth":
        settings["kind"] = kind
    if cluster is not None:
        settings["cluster"] = cluster
    if options.estimator == "ULS" and options.se == "standard":
        notes += (
            "The standard errors of ULS are those of lavaan, which take the sample moments as uncorrelated and equally "
            "precise; they are seldom right.",
        )
    return make_fit(table, observed, problem, solution, inference, settings, notes)


def refuse_restricted(problem: Problem) -> None:
    """Refuse bounds, inequalities and nonlinear constraints where their numbers are not tested."""
    if problem.restrictions is None or replace(problem.options, likelihood="normal") == FitOptions():
        return
    casewise = problem.options.missing != "listwise"
    raise Unsupported(
        "bounds, inequalities and nonlinear constraints are available for maximum likelihood with expected "
        "information and the standard test only" + (", and not with missing='fiml'" if casewise else ""),
        hint="remove them, or use estimator='ML' with " + ("missing='listwise'" if casewise else "its defaults"),
    )


def check_auxiliary_use(options: FitOptions, cluster: str | None, bounds: str | None) -> None:
    """Refuse auxiliary variables where they do nothing or their numbers are not tested."""
    if options.missing == "listwise":
        raise Unsupported(
            "auxiliary variables need missing='fiml' or 'mi': where rows with holes are left out they tell nothing",
            hint="use missing='fiml' or 'mi', or leave auxiliary out",
        )
    if cluster is not None or bounds not in (None, "none"):
        what = "clusters" if cluster is not None else f"bounds={bounds!r}"
        raise Unsupported(f"auxiliary variables are not available with {what}", hint="leave one of the two out")


def _observe(
    table: ParameterTable,
    data: Any,
    sample_cov: Any,
    sample_mean: Any,
    nobs: int | None,
    cluster: str | None,
    missing: str = "listwise",
) -> Observed:
    if (data is None) == (sample_cov is None):
        raise DataError(
            "no data" if data is None else "data and sample_cov are both given",
            hint="give either data=... or sample_cov=... with nobs=...",
        )
    if data is not None:
        check_data(table, data)
        fixed = table.exogenous if table.fixed_x and missing == "fiml" else ()
        return observe(data, table.observed, missing=missing, keep_raw=True, cluster=cluster, complete=fixed)
    if nobs is None:
        raise DataError("sample_cov needs the number of rows", hint="give nobs=...")
    if table.meanstructure and sample_mean is None:
        raise DataError(
            "the model has a mean structure, but there are no means beside the covariance matrix",
            hint="leave intercepts and the mean structure out, or give sample_mean=... from Python",
        )
    if not hasattr(sample_cov, "columns"):
        raise DataError("sample_cov has no variable names", hint="give a DataFrame with names on rows and columns")
    check_names(table, [str(c) for c in sample_cov.columns])
    whole = observe_moments(sample_cov, nobs, sample_mean, rescale=True)
    at = [whole.names.index(v) for v in table.observed]
    moments = whole.groups[0]
    mean = None if moments.mean is None else pd.Series(moments.mean[at], index=list(table.observed))
    cov = pd.DataFrame(moments.cov[np.ix_(at, at)], index=list(table.observed), columns=list(table.observed))
    return observe_moments(cov, nobs, mean, rescale=False)


def bounded_table(
    table: ParameterTable, observed: Observed, options: FitOptions, bounds: str, std_lv: bool
) -> ParameterTable:
    """Return the table of one group with automatic bounds, from the variances of its variables."""
    group = observed.groups[0]
    scale = group.nobs / moments_divisor(group.nobs, options.likelihood)
    variances = dict(zip(table.observed, (scale * np.diag(group.cov)).tolist(), strict=True))
    return add_bounds(table, bounds, variances, std_lv=std_lv)


def count_equations(constraints: LinearConstraints | None) -> int:
    """Return how many of the equations are linear."""
    return 0 if constraints is None else constraints.rank + len(constraints.redundant)
