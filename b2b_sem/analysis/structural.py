"""Fitting one structural equation model: ``fit``, the door to the engines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from b2b_sem.analysis.fitted import Context, Fit
from b2b_sem.data.observed import Observed, observe, observe_moments
from b2b_sem.engine.base import Array, EngineFit, FitOptions, moments_divisor
from b2b_sem.engine.inference import Inference, count_df, infer
from b2b_sem.engine.native.casewise import Casewise
from b2b_sem.engine.native.constraint import LinearConstraints, linear_constraints
from b2b_sem.engine.problem import Problem, at_solution, make_casewise, prepare, solve
from b2b_sem.engine.robust import rows_of
from b2b_sem.engine.setting import SAME_MISSING, resolve_options
from b2b_sem.engine.threads import single_thread
from b2b_sem.errors import DataError, ModelSyntaxError, Unsupported, did_you_mean
from b2b_sem.results.columns import PARAMETER_COLUMNS, STANDARDIZED_COLUMNS
from b2b_sem.results.fit import ModelInfo, OptimizerInfo
from b2b_sem.spec.auxiliary import add_auxiliary, check_auxiliary
from b2b_sem.spec.bound import BOUNDS, add_bounds
from b2b_sem.spec.model import ModelSpec
from b2b_sem.spec.partable import ParameterTable, build_table
from b2b_sem.spec.syntax import parse_model

if TYPE_CHECKING:
    from b2b_sem.data.read import Responses

__all__ = ["fit"]


def fit(
    model: str | Path | ModelSpec,
    data: pd.DataFrame | Mapping[str, Any] | Responses | None = None,
    *,
    estimator: str = "ML",
    likelihood: str = "normal",
    information: str | None = None,
    se: str = "default",
    test: str = "default",
    missing: str = "listwise",
    group: str | None = None,
    group_equal: Sequence[str] = (),
    group_partial: Sequence[str] = (),
    cluster: str | None = None,
    ordered: Sequence[str] | str | bool | None = None,
    parameterization: str = "delta",
    meanstructure: bool | None = None,
    std_lv: bool = False,
    orthogonal: bool = False,
    fixed_x: bool = True,
    bounds: str | None = None,
    kind: str = "sem",
    interaction: str = "lms",
    engine: str = "auto",
    sample_cov: Any = None,
    sample_mean: Any = None,
    nobs: int | None = None,
    imputations: int | None = None,
    seed: int | None = None,
    auxiliary: Sequence[str] = (),
) -> Fit:
    """Fit a structural equation model.

    Parameters
    ----------
    model : str, Path or ModelSpec
        lavaan model syntax, a path to a file of it, or a loaded model.
    data : DataFrame, mapping of columns, or Responses, optional
        One row a respondent. Rows with missing values in the model's variables are left out and counted.
    estimator : {"ML", "MLM", "MLMV", "MLMVS", "MLR", "MLF", "GLS", "ULS", "WLS"}
        Fit function with the standard errors and the test that go with it, as in lavaan. All that start with ML give
        the estimates of maximum likelihood. ``"ADF"`` is WLS. ``"auto"`` takes what ``b2b_sem.advise`` recommends for
        these answers, `ordered` and `missing` included unless they are given; the notes of the result say why.
    likelihood : {"normal", "wishart"}
        Divisor N and chi-square N F, or N - 1 and (N - 1) F; for maximum likelihood (GLS, ULS and WLS use N - 1).
    information : {"expected", "observed", "first.order"}, optional
        Inverted for the standard errors; ``"first.order"`` means products of scores. Default: that of `se`.
    se : {"default", "standard", "robust", "robust.sem", "robust.huber.white", "none"}
        Standard errors: inverse information; corrected for non-normality as in MLM; sandwich of scores as in MLR.
    test : str
        ``"standard"``, ``"satorra.bentler"``, ``"mean.var.adjusted"``, ``"scaled.shifted"`` or
        ``"yuan.bentler.mplus"``; all but the first add the ``*_scaled`` and ``*_robust`` measures.
    missing : {"listwise", "fiml", "fiml.x", "mi"}
        Rows with missing values are left out, or all answers are used: full information maximum likelihood (ML, MLR,
        MLF), for values missing at random. Rows that lack an exogenous variable taken as fixed are left out with
        ``"fiml"`` and used with ``"fiml.x"``. Also called ``"ml"``, ``"direct"``, ``"ml.x"`` and ``"direct.x"``. With
        ``"mi"`` answers are imputed several times and the fits pooled: see :func:`b2b_sem.impute` and
        :func:`b2b_sem.fit_imputed`.
    meanstructure : bool, optional
        Model the means. Default: only if the model text names an intercept.
    std_lv : bool
        Fix the variances of latent variables at 1 instead of the first loadings.
    orthogonal : bool
        Fix covariances among latent variables at 0.
    fixed_x : bool
        Take exogenous observed variables as fixed: their moments are those of the sample.
    bounds : {"none", "pos.var", "pos.ov.var", "pos.lv.var", "standard", "wide"}, optional
        Automatic bounds of variances, loadings and covariances: see ``b2b_sem.spec.bound``.
    kind : {"sem", "cfa", "growth"}
        The first two are the same, as in lavaan. A growth model has a mean structure in which means of latent
        variables are free and intercepts of observed variables 0, unless the model text says otherwise.
    engine : {"auto", "semopy", "native"}
        Who finds the estimates. "auto" takes semopy where it is right and the native engine elsewhere. All
        inference comes from one place; see ``Fit.engine`` for who ran.
    sample_cov, sample_mean, nobs : optional
        Moments instead of data: a labelled covariance matrix with divisor n - 1, means, and the number of rows.
    auxiliary : sequence of str
        Columns that are no part of the model but tell about missing answers: saturated correlates with
        ``missing="fiml"`` (see ``b2b_sem.spec.auxiliary``; exogenous observed variables are then not taken as fixed),
        predictors of imputed answers with ``missing="mi"``.
    cluster : str, optional
        Column that says which rows belong together (ML, MLM, MLR): standard errors and test allow for dependence
        within clusters. The means are modelled, as in lavaan.
    ordered : sequence of str, str or bool, optional
        Ordinal variables, or True for all that are measured or predicted. Thresholds and latent (polychoric)
        correlations are fitted by ``"WLSMV"`` (what ``"ML"`` becomes), ``"WLSM"``, ``"WLSMVS"``, ``"DWLS"``, ``"WLS"``,
        ``"ULS"``, ``"ULSM"``, ``"ULSMV"`` or ``"ULSMVS"``; `missing` may be ``"pairwise"``.
    imputations, seed : int, optional
        With ``missing="mi"``: how many completed data sets (default 20), and the seed of their random draws, which must
        be given.
    parameterization : {"delta", "theta"}
        Of ordinal items: scale of the response behind an item, or its residual variance, as the parameter.
    group, group_equal, group_partial, interaction
        Part of the public signature; other values than the default raise ``Unsupported``.

    Returns
    -------
    Fit
        A result is returned also when the fit failed: look at ``result.ok`` and ``result.warnings``.

    Raises
    ------
    ModelSyntaxError, DataError
        For input that cannot be used; the message says where and what to do.
    ModelError
        If no starting value gives a proper covariance matrix.
    Unsupported
        For a combination that is not available.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(1)
    >>> f = rng.normal(size=(200, 1))
    >>> data = pd.DataFrame(f + rng.normal(size=(200, 4)), columns=["x1", "x2", "x3", "x4"])
    >>> fit("F =~ x1 + x2 + x3 + x4", data, engine="native").measures["df"]
    2
    """
    arguments = dict(locals())  # before there is any other name
    if str(estimator).lower() == "auto":
        from b2b_sem.analysis.advice import fit_by_advice

        return fit_by_advice(fit, *_model_text(model), arguments)
    if missing == "mi":
        from b2b_sem.analysis.imputation import impute_and_fit

        return impute_and_fit(arguments)
    for name, value in (("imputations", imputations), ("seed", seed)):
        if value is not None:
            raise DataError(f"{name}={value!r} goes with missing='mi'", hint="add missing='mi', or leave it out")
    parsed = parse_model(*_model_text(model))
    if ordered or any(e.op in ("|", "~*~") for e in parsed.entries):
        from b2b_sem.analysis.ordinal import fit_ordinal

        _refuse(
            auxiliary=(tuple(auxiliary), ((),), "auxiliary variables go with missing='fiml' or 'mi': leave them out"),
            group=(group, (None,), "fit each group by itself; equality across groups cannot be tested"),
            group_equal=(tuple(group_equal), ((),), "leave it out"),
            group_partial=(tuple(group_partial), ((),), "leave it out"),
            cluster=(cluster, (None,), "clusters are not available for ordinal items"),
            bounds=(bounds, (None,), "bounds are not available for ordinal items"),
            meanstructure=(meanstructure, (None, True), "models of ordinal items have a mean structure: leave it out"),
            kind=(kind, ("sem", "cfa"), "use kind='sem'"),
            interaction=(interaction, ("lms",), "leave it out"),
            engine=(engine, ("auto", "native"), "use 'native': semopy has no ordinal items"),
        )
        if data is None or sample_cov is not None:
            raise DataError("ordinal items need the rows of the data, not moments", hint="give data=...")
        return fit_ordinal(
            parsed,
            data,
            ordered,
            estimator=estimator,
            likelihood=likelihood,
            information=information,
            se=se,
            test=test,
            missing=missing,
            parameterization=parameterization,
            std_lv=std_lv,
            orthogonal=orthogonal,
            fixed_x=fixed_x,
        )
    _refuse(
        missing=(
            SAME_MISSING.get(missing, missing),
            ("listwise", "fiml", "fiml.x"),
            "use missing='fiml' (all answers are used) or 'listwise' (rows with holes are left out and counted)",
        ),
        group=(group, (None,), "fit each group by itself; equality across groups cannot be tested"),
        group_equal=(tuple(group_equal), ((),), "leave it out"),
        group_partial=(tuple(group_partial), ((),), "leave it out"),
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
        _check_auxiliary_use(options, cluster, bounds)
    table = build_table(
        parsed,
        meanstructure=meanstructure if cluster is None and not casewise_fit else True,
        std_lv=std_lv,
        orthogonal=orthogonal,
        fixed_x=fixed_x and not extra,
        growth=kind == "growth",
    )
    if extra:
        table = add_auxiliary(table, extra)
    constraints = linear_constraints(table, skip_nonlinear=True)
    _require_df(table, constraints, spare=len(table.equalities) - _equations(constraints))
    with single_thread():
        observed = _observe(table, data, sample_cov, sample_mean, nobs, cluster, options.missing)
        if bounds is not None:
            table = _bounded(table, observed, options, bounds, std_lv)
        problem = prepare(table, observed, options, constraints)
        if problem.restrictions is not None and replace(options, likelihood="normal") != FitOptions():
            raise Unsupported(
                "bounds, inequalities and nonlinear constraints are available for maximum likelihood with expected "
                "information and the standard test only",
                hint="remove them, or use estimator='ML' with its defaults",
            )
        solution, notes = solve(problem, engine)
        if problem.restrictions is not None:
            problem = at_solution(problem, solution.theta)
            constraints = problem.constraints
            _require_df(table, constraints)
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
    return _result(table, observed, problem, solution, inference, settings, notes)


def _check_auxiliary_use(options: FitOptions, cluster: str | None, bounds: str | None) -> None:
    """Refuse auxiliary variables where they do nothing or their numbers are not tested."""
    if options.missing == "listwise":
        raise Unsupported(
            "auxiliary variables need missing='fiml' or 'mi': where rows with holes are left out they tell nothing",
            hint="use missing='fiml' or 'mi', or leave auxiliary out",
        )
    if cluster is not None or bounds not in (None, "none"):
        what = "clusters" if cluster is not None else f"bounds={bounds!r}"
        raise Unsupported(f"auxiliary variables are not available with {what}", hint="leave one of the two out")


def _refuse(**options: tuple[Any, tuple[Any, ...], str]) -> None:
    for name, (value, known, hint) in options.items():
        if value not in known:
            words = [k for k in known if isinstance(k, str)]
            guess = did_you_mean(value, words) if isinstance(value, str) else ""
            raise Unsupported(f"{name}={value!r} is not available.{guess}", hint=hint)


def _model_text(model: str | Path | ModelSpec) -> tuple[str, str | None]:
    if isinstance(model, ModelSpec):
        return model.syntax(), None
    if isinstance(model, Path):
        try:
            return model.read_text(encoding="utf-8-sig"), str(model)
        except (OSError, UnicodeDecodeError) as error:
            raise ModelSyntaxError(f"cannot read the model: {error}", file=model) from error
    if not isinstance(model, str):
        raise ModelSyntaxError(
            f"the model is a {type(model).__name__}", hint="give lavaan syntax as text, a Path, or a loaded model"
        )
    return model, None


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
        frame = getattr(data, "frame", data)
        if not hasattr(frame, "columns") and not isinstance(frame, Mapping):
            raise DataError(
                f"the data are a {type(frame).__name__}, whose columns have no names",
                hint="give a DataFrame, for example pd.DataFrame(array, columns=[...])",
            )
        columns = [str(c) for c in frame]
        details = getattr(data, "details", {})
        _check_names(table, columns, sorted(details.get("sheets", ()), key=lambda s: s != details.get("sheet")))
        fixed = table.exogenous if table.fixed_x and missing == "fiml" else ()
        return observe(data, table.observed, missing=missing, keep_raw=True, cluster=cluster, complete=fixed)
    if nobs is None:
        raise DataError("sample_cov needs the number of rows", hint="give nobs=...")
    if isinstance(sample_cov, list | tuple):
        raise Unsupported("several covariance matrices (groups) are not available", hint="fit one group at a time")
    if table.meanstructure and sample_mean is None:
        raise DataError(
            "the model has a mean structure, but there are no means beside the covariance matrix",
            hint="leave intercepts and the mean structure out, or give sample_mean=... from Python",
        )
    if not hasattr(sample_cov, "columns"):
        raise DataError("sample_cov has no variable names", hint="give a DataFrame with names on rows and columns")
    _check_names(table, [str(c) for c in sample_cov.columns])
    whole = observe_moments(sample_cov, nobs, sample_mean, rescale=True)
    at = [whole.names.index(v) for v in table.observed]
    moments = whole.groups[0]
    mean = None if moments.mean is None else pd.Series(moments.mean[at], index=list(table.observed))
    cov = pd.DataFrame(moments.cov[np.ix_(at, at)], index=list(table.observed), columns=list(table.observed))
    return observe_moments(cov, nobs, mean, rescale=False)


def _check_names(table: ParameterTable, columns: list[str], sheets: Sequence[str] = ()) -> None:
    """Name unknown variables with their place in the model text; `sheets` of a workbook start with the one in use."""
    known = set(columns)
    for latent in table.latents:
        if latent in known:
            raise ModelSyntaxError(
                f"the latent variable '{latent}' has the name of a column of the data",
                file=table.file,
                line=next(r.line for r in table.rows if r.lhs == latent and r.op == "=~"),
                hint="rename one of the two",
            )
    for name in table.observed:
        if name not in known:
            row = next((r for r in table.rows if r.user and name in (r.lhs, r.rhs)), None)
            hint = "check the spelling; names are case-sensitive"
            if not did_you_mean(name, columns):
                shown = ", ".join(columns[:8]) + (", ..." if len(columns) > 8 else "")
                hint = f"the data have: {shown}"
                if len(sheets) > 1:
                    hint += f" (sheet '{sheets[0]}'; the workbook also has {', '.join(sheets[1:4])})"
            shown = name if len(name) <= 60 else name[:57] + "..."
            raise ModelSyntaxError(
                f"'{shown}' is neither a latent variable of the model nor a column of the data."
                f"{did_you_mean(name, [*columns, *table.latents])}",
                file=table.file,
                line=row.line if row is not None else None,
                column=row.column if row is not None and row.rhs == name else None,
                hint=hint,
            )


def _input_warnings(table: ParameterTable, observed: Observed) -> tuple[str, ...]:
    """Name what is probably a mistake of the user, although a model was fitted."""
    out = []
    variables = {*table.observed, *table.latents}
    for row in table.rows:
        if row.user and row.label in variables:
            target = row.rhs or "1"
            out.append(
                f"'{row.label}*{target}' in '{row.lhs} {row.op}' gives the parameter of {target} the label "
                f"'{row.label}'. It is not a product, although {row.label} is a variable: choose another label."
            )
    if observed.nobs < table.nfree:
        out.append(
            f"There are {table.nfree} free parameters but only {observed.nobs} rows: estimates, standard errors and "
            "tests of such a fit are not reliable. Collect more answers or simplify the model."
        )
    return tuple(out)


def _bounded(
    table: ParameterTable, observed: Observed, options: FitOptions, bounds: str, std_lv: bool
) -> ParameterTable:
    group = observed.groups[0]
    scale = group.nobs / moments_divisor(group.nobs, options.likelihood)
    variances = dict(zip(table.observed, (scale * np.diag(group.cov)).tolist(), strict=True))
    return add_bounds(table, bounds, variances, std_lv=std_lv)


def _equations(constraints: LinearConstraints | None) -> int:
    return 0 if constraints is None else constraints.rank + len(constraints.redundant)


def _require_df(table: ParameterTable, constraints: LinearConstraints | None, spare: int = 0) -> None:
    """Refuse a model with more parameters than moments; `spare` parameters may be taken away by other constraints."""
    counted, free, df = count_df(table, constraints)
    if df + spare < 0:
        raise ModelSyntaxError(
            f"the model is not identified: it has {free} free parameters, but the data give only {counted} moments",
            file=table.file,
            hint="remove or fix parameters: a factor with two indicators, for example, must be related to another "
            "variable",
        )
    if free == 0:
        raise ModelSyntaxError("the model has no free parameter", file=table.file)


def _result(
    table: ParameterTable,
    observed: Observed,
    problem: Problem,
    solution: EngineFit,
    inference: Inference,
    settings: Mapping[str, Any],
    notes: tuple[str, ...],
) -> Fit:
    rows = [(r.lhs, r.op, r.rhs, 1, r.label, r.free) for r in table.rows]
    rows += [(d.name, ":=", d.text, 0, d.name, 0) for d in table.definitions]
    raw, std = inference.raw, inference.std_all
    head = dict(zip(("lhs", "op", "rhs", "group", "label", "free"), zip(*rows, strict=True), strict=True))
    wald = {"se": raw.se, "z": raw.z, "pvalue": raw.pvalue, "ci_lower": raw.lower, "ci_upper": raw.upper}
    parameters = pd.DataFrame(
        {**head, "est": raw.value, **wald, "std_lv": inference.std_lv, "std_all": std.value},
        columns=list(PARAMETER_COLUMNS),
    )
    wald = {"se": std.se, "z": std.z, "pvalue": std.pvalue, "ci_lower": std.lower, "ci_upper": std.upper}
    standardized = pd.DataFrame({**head, "est_std": std.value, **wald}, columns=list(STANDARDIZED_COLUMNS))
    names, latents = list(table.observed), list(table.latents)
    implied = inference.implied
    k = len(latents)

    def labelled(matrix: Array, labels: list[str]) -> pd.DataFrame:
        return pd.DataFrame(matrix, index=labels, columns=labels)

    mean = problem.moments.mean
    return Fit(
        model=ModelInfo(
            table.text,
            table.to_lavaan(problem.fixed),
            table.defaults,
            table.modelled,
            table.latents,
            MappingProxyType(dict(settings)),
        ),
        estimator=settings["estimator"],
        engine=solution.engine,
        converged=solution.converged,
        identified=inference.identified,
        admissible=inference.admissible,
        nobs=observed.nobs,
        n_read=observed.n_read,
        n_dropped=observed.n_dropped,
        optimizer=OptimizerInfo(solution.iterations, solution.gradient, solution.polish, solution.message),
        # values that look like undeclared missing codes come first: they are the usual cause of what follows
        warnings=(*observed.warnings, *inference.warnings, *_input_warnings(table, observed)),
        notes=(*observed.notes, *notes),
        _measures=MappingProxyType(inference.measures),
        _parameters=parameters,
        _standardized=standardized,
        _r2=MappingProxyType(inference.r2),
        _sample_cov=labelled(problem.moments.cov, names),
        _implied_cov=labelled(implied.sigma, names),
        _latent_cov=labelled(implied.eta_cov[:k, :k], latents),
        _sample_mean=None if mean is None else pd.Series(mean, index=names),
        _implied_mean=None if implied.mu is None else pd.Series(implied.mu, index=names),
        _context=Context(problem, observed, solution, inference.vcov),
    )
