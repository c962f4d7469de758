"""A model fitted to imputed data sets, and the fits pooled: ``fit_imputed``, and ``fit`` with ``missing="mi"``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import pandas as pd

from b2b_sem.analysis.fitted import Context, Fit, context_of
from b2b_sem.analysis.pooled import (
    PooledChisq,
    mean_moments,
    pool_chisq,
    pooled_measures,
    pooled_test,
    pooled_wald,
    problems_of,
    vcov_parts,
)
from b2b_sem.data.impute import Imputations, impute
from b2b_sem.data.numeric import listed
from b2b_sem.data.observed import GroupMoments
from b2b_sem.engine.base import Array, EngineFit, FitOptions, moments_divisor
from b2b_sem.engine.group import GroupInference, GroupProblem, infer_groups, standardized_groups, with_parts
from b2b_sem.engine.inference import Inference, infer
from b2b_sem.engine.native.implied import Implied, compile_structure
from b2b_sem.engine.native.loss import make_moments
from b2b_sem.engine.problem import Problem
from b2b_sem.engine.standardize import row_values, standardize
from b2b_sem.engine.threads import single_thread
from b2b_sem.errors import DataError, ModelError, Unsupported
from b2b_sem.measures.pooling import Rubin, from_parts, imputations_needed, t_interval
from b2b_sem.results.columns import PARAMETER_COLUMNS, STANDARDIZED_COLUMNS
from b2b_sem.results.fit import OptimizerInfo
from b2b_sem.results.group import GroupPart
from b2b_sem.results.imputation import POOLING_COLUMNS, PooledTest, Pooling
from b2b_sem.spec.model import ModelSpec
from b2b_sem.spec.partable import build_table
from b2b_sem.spec.syntax import parse_model

if TYPE_CHECKING:
    from b2b_sem.results.effect import EffectsResult
    from b2b_sem.results.test import ScoreTest, WaldTest

__all__ = ["PooledFit", "fit_imputed", "impute_and_fit"]

#: Completed data sets that ``fit(missing="mi")`` makes unless told otherwise.
IMPUTATIONS = 20
#: Standardized standard errors below this are those of quantities fixed by construction.
ZERO_SE = float(np.sqrt(np.finfo(float).eps))


@dataclass(frozen=True, eq=False)
class PooledFit(Fit):
    """Fits of one model to imputed data sets, pooled by Rubin's rules.

    It answers what a fit answers: parameters, standardized solution, measures, R2, implied moments, effects. The
    column ``z`` holds the pooled statistic, which is compared with the t distribution.

    Attributes
    ----------
    imputation : Pooling
        What was pooled, and how much information is missing.
    fits : tuple of Fit
        The fits that were pooled.
    """

    imputation: Pooling = field(kw_only=True)
    fits: tuple[Fit, ...] = field(kw_only=True, repr=False)

    @property
    def pooling(self) -> pd.DataFrame:
        """Pooled variances, degrees of freedom and missing information of every parameter: see ``Pooling.table``."""
        return self.imputation.table

    def pooled_test(self, against: PooledFit | None = None, method: str = "default") -> PooledTest:
        """Test the model against the saturated one, or against a model it is nested in.

        Parameters
        ----------
        against : PooledFit, optional
            Another model fitted to the same imputations. Whether the two are nested is checked by ``compare``.
        method : {"default", "D2", "D3", "D4"}
            "D3" (default with maximum likelihood; Meng & Rubin 1992, doi:10.1093/biomet/79.1.103) and "D4" (Chan & Meng
            2022, doi:10.5705/ss.202019.0314) pool likelihoods, "D2" (Li, Meng, Raghunathan & Rubin 1991) chi-squares.
            With a robust test, "D3" is divided by the mean scaling factor and compared with chi-square, and "D2" pools
            the robust statistics.

        Raises
        ------
        ModelError
            If there is nothing to test.
        Unsupported
            If the fits have no likelihood, or a robust test does not go with the method.
        """
        return pooled_test(self, against, method)

    def wald_test(self, restrictions: str) -> WaldTest:
        """Test restrictions on labelled parameters by D1 (Li, Raghunathan & Rubin 1991): a ``PooledTest``.

        Parameters
        ----------
        restrictions : str
            Such as ``"a == b; c == 0"``.
        """
        return pooled_wald(self, restrictions)  # type: ignore[return-value]

    def modification_indices(self, **options: Any) -> pd.DataFrame:
        """Not available for imputed data."""
        _refuse("modification indices are", "use fit.fits[0].modification_indices() and compare a few data sets")

    def score_test(self, *args: Any, **options: Any) -> ScoreTest:
        """Not available for imputed data."""
        _refuse("score tests are", "fit the larger model and compare, or use wald_test()")

    def bootstrap(self, *args: Any, **options: Any) -> Any:
        """Not available for imputed data."""
        _refuse("resampling is", "use the pooled standard errors, or indirect_effects(ci='mc')")

    def indirect_effects(self, ci: str = "delta", level: float = 0.95, **options: Any) -> EffectsResult:
        """Return effects at the pooled estimates, with the pooled covariance matrix: see ``Fit.indirect_effects``.

        Parameters
        ----------
        ci : {"delta", "mc"}
        level : float
        **options
        """
        if ci in ("percentile", "bc", "bca"):
            _refuse("bootstrap intervals are", "use ci='delta' or ci='mc'")
        return super().indirect_effects(ci, level, **options)

    def factor_scores(self, *args: Any, **options: Any) -> pd.DataFrame:
        """Not available for imputed data."""
        _refuse("factor scores are", "score each data set, fit.fits[0].factor_scores(), and analyse all of them")

    def residuals(self, kind: str = "raw", *, se: bool = False) -> dict[str, Any]:
        """Return pooled sample moments minus those implied at the pooled estimates.

        Parameters
        ----------
        kind : {"raw", "cor", "cor_bollen", "cor_bentler"}
        se : bool
            Not available.
        """
        if se or kind not in ("raw", "cor", "cor_bollen", "cor_bentler"):
            _refuse("standard errors of residuals are", "use kind='raw' or kind='cor'")
        return super().residuals(kind)

    def summary(self) -> str:
        """Return the result as text, with how it was pooled at its end."""
        return f"{super().summary()}\n\n{self.imputation.summary()}"

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain JSON types: that of a fit, and ``imputation``."""
        return {**super().to_json(), "imputation": self.imputation.to_json()}


def _refuse(what: str, hint: str) -> NoReturn:
    raise Unsupported(f"{what} not available for fits to imputed data", hint=hint)


def impute_and_fit(arguments: Mapping[str, Any]) -> PooledFit:
    """Impute the variables of a model and fit it: ``fit(..., missing="mi")``.

    Parameters
    ----------
    arguments : mapping
        All arguments of :func:`b2b_sem.analysis.structural.fit`, by name.
    """
    from b2b_sem.analysis.intake import check_names, model_text
    from b2b_sem.analysis.multigroup import group_labels_of

    given = dict(arguments)
    model, data = given.pop("model"), given.pop("data")
    m, seed, auxiliary = given.pop("imputations"), given.pop("seed"), given.pop("auxiliary")
    given.pop("missing")
    if given["sample_cov"] is not None or data is None:
        raise Unsupported("missing='mi' needs the data, not a covariance matrix", hint="give data=...")
    if given["cluster"] is not None:
        raise Unsupported(
            f"missing='mi' does not know of cluster={given['cluster']!r}: imputations would ignore it",
            hint="use another method for missing answers",
        )
    _settings(given)  # says what cannot be pooled before the work begins
    group = given["group"]
    labels = () if group is None else group_labels_of(data, group)
    table = build_table(parse_model(*model_text(model)), groups=labels)
    frame = getattr(data, "frame", data)
    if hasattr(frame, "columns") or isinstance(frame, Mapping):
        check_names(table, [str(c) for c in frame])
    extra = [str(name) for name in auxiliary] if not isinstance(auxiliary, str) else auxiliary
    if not isinstance(extra, str):
        extra = [name for name in extra if name not in table.observed]
    m = IMPUTATIONS if m is None else m
    completed = impute(data, m, seed=seed, items=table.observed, auxiliary=extra, group=group)
    return fit_imputed(model, completed, **given)


def fit_imputed(
    model: str | Path | ModelSpec, imputations: Imputations | Sequence[pd.DataFrame], **options: Any
) -> PooledFit:
    """Fit a model to imputed data sets and pool the results by Rubin's rules.

    Parameters
    ----------
    model : str, Path or ModelSpec
        As in :func:`b2b_sem.fit`.
    imputations : Imputations, or sequence of DataFrames
        What :func:`b2b_sem.impute` returns, or completed copies of the data made elsewhere, at least two.
    **options
        Of :func:`b2b_sem.fit`, except those about missing answers, clusters and moments. Data of several groups
        should be imputed group by group: see ``group`` of :func:`b2b_sem.impute`.

    Returns
    -------
    PooledFit
        Estimates are means over the data sets. With W the mean squared standard error and B the variance of the
        estimates, the standard error is sqrt(W + (1 + 1/m) B) (Rubin 1987, doi:10.1002/9780470316696), and tests and
        intervals take the t distribution with (m - 1) (1 + W / ((1 + 1/m) B))^2 degrees of freedom. The standardized
        solution and R2 are those of the pooled estimates, with delta-method standard errors. Data sets without a
        solution are left out, counted and named.

    Raises
    ------
    DataError
        If there are fewer than two data sets, they do not belong together, or have missing answers.
    ModelError
        If fewer than two of the fits have a solution.
    Unsupported
        For options whose pooled numbers are not tested.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from b2b_sem.data.impute import impute
    >>> rng = np.random.default_rng(1)
    >>> f = rng.normal(size=(200, 1))
    >>> data = pd.DataFrame(f + rng.normal(size=(200, 4)), columns=["x1", "x2", "x3", "x4"])
    >>> data.loc[:29, "x2"] = np.nan
    >>> fit = fit_imputed("F =~ x1 + x2 + x3 + x4", impute(data, m=5, seed=1))
    >>> fit.imputation.used, int(fit.measures["df"])
    (5, 2)
    """
    source = imputations if isinstance(imputations, Imputations) else None
    frames = source._frames if source is not None else _frames(imputations)
    settings = _settings(options)
    _check_source(source, settings.get("group"))
    fits: list[Fit] = []
    failed: dict[int, str] = {}
    for number, frame in enumerate(frames, start=1):
        if source is not None and not source.missing and fits:
            fits.append(fits[0])  # nothing was missing: all data sets are the same
            continue
        found = _fit_one(model, frame, number, settings)
        if isinstance(found, str):
            failed[number] = found
        else:
            fits.append(found)
    _check_groups(fits)
    if len(fits) < 2:
        first = f": {next(iter(failed.values()))}" if failed else ""
        raise ModelError(
            f"the model has a solution for {len(fits) or 'none'} of {len(frames)} imputed data sets, and two are "
            f"needed{first}",
            hint="simplify the model, or look at one of the fits: fit(model, imputations[0])",
        )
    with single_thread():
        return _pool(fits, failed, len(frames), source)


def _check_source(source: Imputations | None, group: str | None) -> None:
    """Raise if groups were not known when answers were imputed."""
    if group is not None and source is not None and source.missing and source.group != group:
        how = "without regard to groups" if source.group is None else f"by {source.group}"
        raise DataError(
            f"answers were imputed {how}, and the model is fitted by {group}: what differs between groups is lost",
            hint=f"impute each group by itself: impute(..., group={group!r})",
        )


def _check_groups(fits: Sequence[Fit]) -> None:
    """Raise if data sets have different groups."""
    sizes = [list(zip(f.groups, f.group_tests["nobs"].tolist(), strict=True)) for f in fits]
    if any(one != sizes[0] for one in sizes):
        raise DataError(
            "the imputed data sets have different groups",
            hint="impute answers only; the column of groups must be the same in all",
        )


def _frames(imputations: Any) -> tuple[pd.DataFrame, ...]:
    if isinstance(imputations, pd.DataFrame) or not isinstance(imputations, Sequence):
        raise DataError(
            f"imputed data sets are expected, not a {type(imputations).__name__}",
            hint="give impute(...) or a list of DataFrames",
        )
    frames: tuple[Any, ...] = tuple(getattr(item, "frame", item) for item in imputations)
    for number, frame in enumerate(frames, start=1):
        if not isinstance(frame, pd.DataFrame):
            raise DataError(f"imputed data set {number} is a {type(frame).__name__}", hint="give DataFrames")
    if len(frames) < 2:
        raise DataError(
            f"{len(frames)} imputed data {'set' if len(frames) == 1 else 'sets'}: the uncertainty of what is missing "
            "shows in differences between them",
            hint="give at least two, better twenty",
        )
    sizes = {len(frame) for frame in frames}
    if len(sizes) > 1:
        raise DataError(
            f"the imputed data sets have different numbers of rows: {listed(sorted(sizes))}",
            hint="give completed copies of the same rows",
        )
    return frames


def _settings(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of each fit, or say which of them cannot be pooled."""
    settings = dict(options)
    if settings.pop("missing", "listwise") not in ("listwise", "mi"):
        raise Unsupported("imputed data have no missing answers", hint="leave missing out")
    nothing: dict[str, tuple[Any, ...]] = {
        "cluster": (None,),
        "bounds": (None, "none"),
        "ordered": (None, False, (), []),
        "data": (None,),
        "sample_cov": (None,),
        "sample_mean": (None,),
        "nobs": (None,),
        "imputations": (None,),
        "seed": (None,),
        "auxiliary": ((), []),
    }
    for name, empty in nothing.items():
        value = settings.pop(name, empty[0])
        if value not in empty:
            raise Unsupported(f"{name}={value!r} is not available for imputed data", hint="leave it out")
    if settings.get("likelihood", "normal") != "normal":
        raise Unsupported("likelihood='wishart' is not available for imputed data", hint="leave likelihood out")
    if settings.get("se") == "none":
        raise Unsupported("pooling needs the standard errors of each fit", hint="leave se='none' out")
    if str(settings.get("estimator", "ML")).upper() == "ULS":
        raise Unsupported(
            "the chi-square of ULS has no known distribution that could be pooled", hint="use another estimator"
        )
    if settings.get("engine", "auto") == "auto":
        settings["engine"] = "native"  # the fits are repetitions of one another
    return settings


def _fit_one(model: Any, frame: pd.DataFrame, number: int, settings: Mapping[str, Any]) -> Fit | str:
    """Return the fit to one data set, or why there is none."""
    from b2b_sem.analysis.structural import fit

    try:
        found = fit(model, frame, **settings)
    except ModelError as error:
        return error.message
    except DataError as error:
        raise DataError(f"imputed data set {number}: {error.message}", hint=error.hint) from None
    if found.n_dropped:
        raise DataError(
            f"imputed data set {number} still has missing answers: {found.notes[0]}",
            hint="complete all variables of the model",
        )
    if context_of(found).problem.restrictions is not None:
        raise Unsupported(
            "bounds, inequalities and nonlinear constraints are not available for imputed data",
            hint="remove them: the mean of estimates need not satisfy them",
        )
    if not found.converged or not found.identified:
        return found.failure
    return found if np.isfinite(context_of(found).vcov).all() else "there are no standard errors"


@dataclass(frozen=True)
class _Rows:
    """Pooled values of all rows of a table of results."""

    value: Array
    se: Array
    z: Array
    pvalue: Array
    lower: Array
    upper: Array

    @classmethod
    def of(cls, pooled: Rubin, level: float = 0.95) -> _Rows:
        se = np.sqrt(pooled.total)
        return cls(pooled.estimate, se, *t_interval(pooled.estimate, se, pooled.df, level))


def _pool(fits: Sequence[Fit], failed: Mapping[int, str], m: int, source: Imputations | None) -> PooledFit:
    """Put fits together; all have a solution."""
    first = fits[0]
    contexts = [context_of(fit) for fit in fits]
    context, inference = _pooled_context(contexts)
    used = len(fits)
    tables = [fit._parameters for fit in fits]
    estimates = np.array([t["est"].to_numpy(float) for t in tables])
    within = np.array([t["se"].to_numpy(float) ** 2 for t in tables]).mean(axis=0)
    # fixed moments of covariates differ between data sets, but they are no estimates
    between = np.where(within > 0, estimates.var(axis=0, ddof=1), 0.0)
    raw = from_parts(estimates.mean(axis=0), within, between, used)
    rows = _Rows.of(raw)
    std = _Rows.of(_pooled_standardized(context, contexts, inference))
    head = first._parameters[["lhs", "op", "rhs", "group", "label", "free"]]
    wald = {"se": rows.se, "z": rows.z, "pvalue": rows.pvalue, "ci_lower": rows.lower, "ci_upper": rows.upper}
    parameters = head.assign(est=rows.value, **wald, std_lv=inference.std_lv, std_all=inference.std_all.value)
    wald = {"se": std.se, "z": std.z, "pvalue": std.pvalue, "ci_lower": std.lower, "ci_upper": std.upper}
    standardized = head.assign(est_std=std.value, **wald)
    implied = inference.implied if isinstance(inference, GroupInference) else (inference.implied,)
    chisq = pool_chisq(fits, implied)
    pooling = Pooling(
        m,
        MappingProxyType(dict(failed)),
        chisq.method,
        float("nan") if chisq.model is None else chisq.model.riv,
        chisq.baseline.riv,
        _pooling_table(head, raw, used),
    )
    settings = dict(first.model.options) | {"missing": "mi", "imputations": m}
    if source is not None:
        settings |= {"seed": source.seed, "scale": source.scale}
        if source.auxiliary:
            settings["auxiliary"] = list(source.auxiliary)
    inherited = {f.name: getattr(first, f.name) for f in fields(Fit)}
    return PooledFit(
        **{
            **inherited,
            "model": replace(first.model, options=MappingProxyType(settings)),
            "converged": True,
            "identified": inference.identified,
            "admissible": inference.admissible,
            "n_read": first.n_read if source is None else source.n_read,
            "n_dropped": first.n_dropped if source is None else source.n_dropped,
            "optimizer": OptimizerInfo(
                sum(f.optimizer.iterations for f in fits),
                max(f.optimizer.gradient for f in fits),
                first.optimizer.polish,
                f"{used} fits; {first.optimizer.message}",
            ),
            "warnings": _warnings(fits, failed, m, inference, source, pooling),
            "notes": _notes(fits, source, pooling, chisq),
            "_measures": MappingProxyType(pooled_measures(fits, chisq, context, implied)),
            "_parameters": parameters[list(PARAMETER_COLUMNS)],
            "_standardized": standardized[list(STANDARDIZED_COLUMNS)],
            **_moments(context, inference),
            "_context": context,
        },
        imputation=pooling,
        fits=tuple(fits),
    )


def _moments(context: Context, inference: Inference | GroupInference) -> dict[str, Any]:
    """Return R2, pooled sample moments and implied moments as fields of a fit."""
    if isinstance(inference, GroupInference):
        groups = {}
        triples = zip(context.problem.table.groups, problems_of(context), inference.implied, inference.r2, strict=True)
        for label, part, own, r2 in triples:
            found = _labelled(part, own)
            # the pooled chi-square is not a sum over groups
            groups[label] = GroupPart(
                part.nobs,
                float("nan"),
                MappingProxyType(r2),
                *(found[name] for name in ("sample_cov", "implied_cov", "latent_cov", "sample_mean", "implied_mean")),
            )
        return {"_groups": MappingProxyType(groups)}
    found = _labelled(context.problem, inference.implied)
    return {"_r2": MappingProxyType(inference.r2), **{f"_{name}": value for name, value in found.items()}}


def _labelled(problem: Problem, implied: Implied) -> dict[str, Any]:
    moments, latents, names = problem.moments, list(problem.table.latents), list(problem.table.observed)
    k = len(latents)

    def labelled(matrix: Array, labels: Sequence[str]) -> pd.DataFrame:
        return pd.DataFrame(matrix, index=list(labels), columns=list(labels))

    return {
        "sample_cov": labelled(moments.cov, names),
        "implied_cov": labelled(implied.sigma, names),
        "latent_cov": labelled(implied.eta_cov[:k, :k], latents),
        "sample_mean": None if moments.mean is None else pd.Series(moments.mean, index=names),
        "implied_mean": None if implied.mu is None else pd.Series(implied.mu, index=names),
    }


def _pooled_part(contexts: Sequence[Context], g: int) -> Problem:
    """Return the problem of one group with the means of its moments."""
    same = [problems_of(c)[g] for c in contexts]
    first = same[0]
    fixed = {name: float(np.mean([p.fixed[name] for p in same])) for name in first.fixed}
    structure, moments = compile_structure(first.table, fixed), make_moments(*mean_moments(contexts)[g])
    return replace(first, structure=structure, moments=moments, fixed=fixed, restrictions=None)


def _pooled_context(contexts: Sequence[Context]) -> tuple[Context, Inference | GroupInference]:
    """Return the problem with pooled moments and estimates, and what follows from these."""
    first = contexts[0]
    problem = first.problem
    parts = [_pooled_part(contexts, g) for g in range(len(problems_of(first)))]
    theta = np.mean([c.solution.theta for c in contexts], axis=0)
    within, between = vcov_parts(contexts)
    solution = EngineFit(
        theta,
        float("nan"),
        max(c.solution.gradient for c in contexts),
        True,
        sum(c.solution.iterations for c in contexts),
        "pooled",
        first.solution.engine,
    )
    groups = [
        GroupMoments(
            old.label,
            part.nobs,
            np.asarray(part.moments.cov * moments_divisor(part.nobs, part.options.likelihood) / part.nobs, float),
            None if part.moments.mean is None else np.asarray(part.moments.mean, float),
        )
        for part, old in zip(parts, first.observed.groups, strict=True)
    ]
    observed = replace(first.observed, names=problem.table.observed, groups=tuple(groups), raw=None, index=None)
    # only what follows from estimates and moments is used of it: standardized solution, R2, Heywood cases
    plain = FitOptions(likelihood=problem.options.likelihood)
    pooled: Problem
    inference: Inference | GroupInference
    if isinstance(problem, GroupProblem):
        pooled = with_parts(problem, parts)
        bare = [replace(part, options=plain) for part in parts]
        inference = infer_groups(replace(with_parts(problem, bare), options=plain), observed, solution)
    else:
        pooled = parts[0]
        inference = infer(
            problem.table,
            pooled.structure,
            pooled.moments,
            problem.nobs,
            pooled.fixed,
            solution,
            plain,
            constraints=problem.constraints,
        )
    total = within + (1.0 + 1.0 / len(contexts)) * between
    return Context(pooled, observed, solution, total), inference


def _pooled_standardized(context: Context, contexts: Sequence[Context], inference: Inference | GroupInference) -> Rubin:
    """Pool the standardized solution: that of the pooled estimates, with J W J' and J B J' as its variances."""
    problem = context.problem
    if isinstance(inference, GroupInference):
        assert isinstance(problem, GroupProblem)
        std = standardized_groups(problem, inference.implied, context.solution.theta)
    else:
        raw = row_values(problem.table, context.solution.theta, problem.fixed)
        _, std = standardize(problem.table, problem.structure, inference.implied, raw)
    within, between = (
        np.maximum(np.einsum("rq,qs,rs->r", std.jacobian, part, std.jacobian, optimize=True), 0.0)
        for part in vcov_parts(contexts)
    )
    # standardized values that are 1 by construction have only rounding for a variance
    fixed = within < ZERO_SE**2
    return from_parts(std.value, np.where(fixed, 0.0, within), np.where(fixed, 0.0, between), len(contexts))


def _pooling_table(head: pd.DataFrame, raw: Rubin, m: int) -> pd.DataFrame:
    keep = raw.within > 0
    table = head.assign(
        est=raw.estimate,
        se=np.sqrt(raw.total),
        within=raw.within,
        between=raw.between,
        df=raw.df,
        riv=raw.riv,
        fmi=raw.fmi,
        efficiency=1.0 / (1.0 + raw.fmi / m),
        imputations_needed=[imputations_needed(float(f), m) for f in raw.fmi],
    )
    return table.loc[keep, list(POOLING_COLUMNS)].reset_index(drop=True)


def _notes(fits: Sequence[Fit], source: Imputations | None, pooling: Pooling, chisq: PooledChisq) -> tuple[str, ...]:
    own = list(source.notes) if source is not None else []
    shared = [note for note in fits[0].notes if all(note in fit.notes for fit in fits)]
    own.append(
        f"Estimates are means over {pooling.used} imputed data sets, standard errors follow Rubin's rules, and z is "
        "compared with the t distribution (Rubin 1987)."
    )
    needed = pooling.imputations_needed
    if needed > pooling.used:
        own.append(
            f"For standard errors that change by less than 5 % with another seed, {needed:.0f} imputations are needed "
            "(von Hippel 2020)."
        )
    scaled = fits[0].model.options["test"] != "standard"
    own.append(
        f"Chi-square and fit measures: {chisq.method} "
        + ("(Meng & Rubin 1992)" if chisq.method == "D3" else "(Li, Meng, Raghunathan & Rubin 1991)")
        + (", divided by the mean scaling factor" if scaled else "")
        + f"; relative increase in variance {pooling.riv:.3f}."
        if chisq.model is not None
        else "The model is saturated: there is no chi-square to pool."
    )
    return (*own, *(note for note in shared if note not in own))


def _warnings(
    fits: Sequence[Fit],
    failed: Mapping[int, str],
    m: int,
    inference: Inference | GroupInference,
    source: Imputations | None,
    pooling: Pooling,
) -> tuple[str, ...]:
    from b2b_sem.analysis.outcome import input_warnings

    context = context_of(fits[0])
    out = [*context.observed.warnings, *(source.warnings if source is not None else ()), *inference.warnings]
    out += input_warnings(context.problem.table, context.observed)
    if failed:
        number, why = next(iter(failed.items()))
        out.append(
            f"{len(failed)} of {m} imputed data sets have no solution and were left out (number {number}: {why})."
        )
    improper = sum(not fit.admissible for fit in fits)
    if improper:
        out.append(
            f"The solution is not admissible (Heywood case) in {improper} of {len(fits)} imputed data sets; they were "
            "pooled with the others."
        )
    if pooling.riv < -1e-6:  # below that it is rounding: nothing was missing
        out.append(
            "The pooled likelihood ratio says that missing answers add information, which they cannot: its relative "
            f"increase in variance is {pooling.riv:.3f}. Use pooled_test(method='D4'), or more imputations."
        )
    return tuple(dict.fromkeys(out))
