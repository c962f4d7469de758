"""Structural paths in several groups, compared: ``compare_groups``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from b2b_sem.analysis.compare import compare
from b2b_sem.analysis.fitted import Fit, context_of
from b2b_sem.analysis.intake import model_text, name_list
from b2b_sem.analysis.path_fit import ESTIMATORS as LADDER_ESTIMATORS
from b2b_sem.analysis.path_fit import ORDINAL_ESTIMATORS, NumericPaths, OrdinalPaths, PathModel, is_ordinal
from b2b_sem.analysis.wald import wald_chisq
from b2b_sem.engine.base import Array
from b2b_sem.engine.equality import can_fit_equal, fit_equal
from b2b_sem.engine.group import GroupProblem
from b2b_sem.engine.threads import single_thread
from b2b_sem.errors import DataError, ModelError, ModelSyntaxError, Unsupported, did_you_mean
from b2b_sem.measures.difference import difference, satorra_bentler_2001
from b2b_sem.measures.multiplicity import METHODS, adjusted
from b2b_sem.results.fit import FitResult
from b2b_sem.results.path_group import DIFFERENCE_COLUMNS, EQUALITY_COLUMNS, ESTIMATE_COLUMNS, PathGroupResult
from b2b_sem.spec.indicator import observed_products
from b2b_sem.spec.model import ModelSpec
from b2b_sem.spec.partable import ParameterTable, Row
from b2b_sem.spec.product import product_entries
from b2b_sem.spec.syntax import parse_model
from b2b_sem.spec.threshold import released_thresholds

__all__ = ["compare_groups"]

ESTIMATORS = (*LADDER_ESTIMATORS, "MLMVS", "GLS", "WLS")
#: Power behind the smallest detectable difference.
ENOUGH = 0.8
#: Fall of chi-square under a restriction that says that the search without it stopped too early.
LOCAL = 1e-4


def compare_groups(
    model: str | Path | ModelSpec,
    data: Any,
    group: str,
    *,
    paths: Sequence[str] | str | None = None,
    equal: Sequence[str] = ("loadings",),
    partial: Sequence[str] = (),
    estimator: str = "ML",
    missing: str = "listwise",
    std_lv: bool = False,
    size: float = 0.2,
    alpha: float = 0.05,
    level: float = 0.95,
    multiplicity: str = "holm",
    ordered: Any = None,
    parameterization: str = "delta",
    cluster: str | None = None,
) -> PathGroupResult:
    """Test whether structural paths are equal in several groups, and estimate by how much they differ.

    The paths are free in each group of one joint model, in which loadings are equal: without that, coefficients are in
    units of their own in each group. Equality is tested twice, for all paths at once and for each by itself: by a Wald
    test of the free model, and by the difference of chi-squares (scaled where the estimator scales; Satorra & Bentler
    2001, doi:10.1007/BF02296192; Satorra 2000 for MLMV and MLMVS) to the model in which the paths are equal.

    The power is that of the Wald test with one degree of freedom, noncentrality (d / se)^2, for a difference d of
    `size` pooled standard deviations of the outcome per one of the predictor (Satorra & Saris 1985,
    doi:10.1007/BF02294150).

    Parameters
    ----------
    model : str, Path or ModelSpec
    data : DataFrame or Responses
    group : str
        Column that tells groups apart. The first group in the data is the one that others are compared with.
    paths : sequence of str, optional
        As ``"Y ~ X"`` or ``"X -> Y"``. Default: all that are free in the model.
    equal : sequence of str
        What is equal in all groups beside the paths under test: see ``group_equal`` of :func:`b2b_sem.fit`.
    partial : sequence of str
        Exceptions, for example the loadings that :func:`b2b_sem.invariance` released: ``"F=~x2"``.
    estimator : {"ML", "MLM", "MLMV", "MLMVS", "MLR", "MLF", "GLS", "WLS"}
        With ordinal items "WLSMV" (the default), "WLSM", "WLSMVS", "ULSMV", "ULSM" or "ULSMVS".
    missing : {"listwise", "fiml"}
        With ordinal items "listwise" or "pairwise".
    std_lv : bool
        Scale latent variables by their (residual) variance in the first group instead of the first loading.
    size : float
        Standardized difference that the power is computed for.
    alpha, level : float
        Error rate of a test, and confidence level of the differences.
    multiplicity : {"holm", "bonferroni", "bh", "none"}
        Adjustment over the paths (tests), and over paths and groups (differences).
    ordered : sequence of str, str or True, optional
        Ordinal items; True for all. Equal loadings then include equal thresholds, as in the metric step of
        :func:`b2b_sem.invariance`; with items of two categories also equal intercepts, without which their loadings
        cannot be equal. Differences are tested by the scaled difference of Satorra (2000).
    parameterization : {"delta", "theta"}
        Of ordinal items.
    cluster : str, optional
        Column that says which rows belong together, within groups: standard errors and tests then allow for it.

    Returns
    -------
    PathGroupResult

    Raises
    ------
    DataError
        For a group column or arguments that cannot be used.
    ModelSyntaxError
        For a path that the model does not have.
    ModelError
        If the joint model cannot be estimated.
    Unsupported
        For blocks of groups, a path that a label or the user makes equal in all groups, other estimators; with ordinal
        items for anything equal but loadings, and for ordinal variables that measure no latent variable.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(1)
    >>> x, sector = rng.normal(size=400), np.repeat(["a", "b"], 200)
    >>> y = np.where(sector == "a", 0.2, 0.8) * x + rng.normal(size=400)
    >>> found = compare_groups("y ~ x", pd.DataFrame({"x": x, "y": y, "sector": sector}), "sector")
    >>> bool(found.omnibus["wald_pvalue"] < 0.001)
    True
    """
    ordinal = is_ordinal(ordered)
    name = str(estimator).upper()
    name = "WLSMV" if ordinal and name in ("ML", "DEFAULT") else name
    _check(name, ordinal, equal, alpha, level, size, multiplicity)
    if group is None:
        raise DataError("no group", hint="name the column that tells groups apart")
    text, file = model_text(model)
    parsed = parse_model(text, file)
    if parsed.blocks:
        raise Unsupported(
            "the groups have models of their own", file=file, hint="give one model, without 'group:' blocks"
        )
    if len(product_entries(parsed)) > len(observed_products(parsed)):
        raise Unsupported(
            "paths of models with products of latent variables are not compared here",
            file=file,
            hint="fit them with group=..., labels c(b1, b2)*PC:PX and a definition 'gap := b1 - b2'",
        )
    kinds, exempt = tuple(equal), name_list("partial", partial)
    settings: dict[str, Any] = {"estimator": name, "missing": missing, "group": str(group), "std_lv": std_lv}
    models: PathModel = NumericPaths(text, file, data, kinds, exempt, {**settings, "cluster": cluster})
    if ordinal:
        if cluster is not None:
            raise Unsupported("clusters are not available for ordinal items", hint="leave cluster out")
        if kinds != ("loadings",):
            raise Unsupported(
                f"equal={list(kinds)!r} is not available with ordinal items", hint="leave equal out: loadings are equal"
            )
        models = OrdinalPaths(
            text, file, data, exempt, {**settings, "ordered": ordered, "parameterization": parameterization}
        )
    free = models.free()
    if not free.converged or not free.identified:
        raise ModelError(f"the paths cannot be compared: {free.failure}", hint="fit each group by itself first")
    table = context_of(free).problem.table
    _check_exempt(table, exempt)
    chosen = _paths(table, paths, file)
    contrasts = _contrasts(free, chosen)

    def restricted(some: Sequence[_Path]) -> Fit:
        names = {p.name for p in some}
        others = [r.name for r in table.rows if r.group == 1 and r.op == "~" and r.name not in names]
        # labels of a user keep the groups apart: these paths become equal by constraints
        lines = [f"{p.rows[0].label} == {r.label}" for p in some if p.labelled for r in p.rows[1:]]
        return models.equal(others, lines)

    warnings = [*free.warnings]
    sets = [chosen, *([path] for path in chosen if len(chosen) > 1)]
    whats = ["all paths equal", *(f"{p.name} equal" for p in chosen)]
    if can_fit_equal(context_of(free).problem):
        found = _equality_tests(free, sets, whats, warnings)
    else:
        found = [_difference(free, restricted(some), w, warnings) for some, w in zip(sets, whats, strict=False)]
    omnibus = {**_wald(contrasts, chosen), **found[0]}
    tests: list[dict[str, Any]] = []
    for path, difference_test in zip(chosen, found[1:] or found, strict=True):
        tests.append({"path": path.name, **_wald(contrasts, [path]), **difference_test})
    for source, target in (("wald_pvalue", "wald_adjusted"), ("pvalue_diff", "diff_adjusted")):
        for row, p in zip(tests, adjusted([r[source] for r in tests], multiplicity), strict=True):
            row[target] = p
    differences = _differences(free, chosen, contrasts, size, alpha, level, multiplicity)
    measured = bool(table.latents)
    loadings: dict[str, float] = {}
    if measured and "loadings" in kinds:
        loadings = _test_loadings(models, free, alpha, warnings)
    elif measured:
        warnings.append(
            "Loadings are free in each group: coefficients of latent variables are in units of their own in each group "
            "and differ with these."
        )
    if not free.admissible:
        warnings.append(f"The differences must not be interpreted: {free.failure}.")
    tests_frame = pd.DataFrame(tests, columns=list(EQUALITY_COLUMNS))
    return PathGroupResult(
        group=str(group),
        groups=MappingProxyType(dict(zip(free.groups, map(int, free.group_tests["nobs"]), strict=True))),
        model=text,
        estimator=free.estimator,
        missing=str(free.model.options["missing"]),
        equal=kinds,
        partial=exempt,
        alpha=alpha,
        level=level,
        size=size,
        multiplicity=multiplicity,
        loadings=MappingProxyType(loadings),
        statements=_statements(omnibus, tests, alpha),
        notes=tuple(n for n in free.notes if not n.startswith("The native engine was used")),
        warnings=tuple(dict.fromkeys(warnings)),
        _omnibus=MappingProxyType(omnibus),
        _tests=tests_frame,
        _differences=pd.DataFrame(differences, columns=list(DIFFERENCE_COLUMNS)),
        _estimates=_estimates(free, chosen, level),
        _fit=free,
    )


def _check(
    estimator: str, ordinal: bool, equal: Sequence[str], alpha: float, level: float, size: float, multiplicity: str
) -> None:
    available = ORDINAL_ESTIMATORS if ordinal else ESTIMATORS
    if estimator not in available:
        raise Unsupported(
            f"estimator={estimator!r} is not available here.{did_you_mean(estimator, available)}",
            hint="use "
            + ", ".join(available)
            + ("" if ordinal or estimator not in ORDINAL_ESTIMATORS else ", or ordered"),
        )
    if isinstance(equal, str):
        raise DataError(f"equal={equal!r} is text", hint=f"give a list: equal=[{equal!r}]")
    if "regressions" in equal:
        raise DataError("equal names the regressions, which are to be compared", hint="leave 'regressions' out")
    for name, value in (("alpha", alpha), ("level", level)):
        if not 0 < value < 1:
            raise DataError(f"{name} is {value!r}", hint="give a number between 0 and 1")
    if not (math.isfinite(size) and size > 0):
        raise DataError(f"size is {size!r}", hint="give a standardized difference above 0, such as 0.2")
    if multiplicity not in METHODS:
        raise DataError(
            f"multiplicity={multiplicity!r} is not available.{did_you_mean(multiplicity, METHODS)}",
            hint="use " + ", ".join(METHODS),
        )


def _check_exempt(table: ParameterTable, exempt: Sequence[str]) -> None:
    """Raise for an exception that would not be one: a loading fixed at the same value in all groups."""
    apart = released_thresholds(exempt)
    loadings = [r for r in table.rows if r.group == 1 and r.op == "=~" and not r.free]
    fixed = [r.name for r in loadings if r.name in exempt or r.rhs in apart]
    if fixed:
        raise DataError(
            f"partial releases {', '.join(fixed)}, fixed at one value in all groups, which gives the unit",
            hint="use std_lv=True, by which no loading is fixed",
        )


@dataclass(frozen=True)
class _Path:
    """One path in all groups: its rows, and their places in the table."""

    name: str
    rows: tuple[Row, ...]
    places: tuple[int, ...]

    @property
    def labelled(self) -> bool:
        return bool(self.rows[0].label)


def _paths(table: ParameterTable, wanted: Sequence[str] | str | None, file: str | None) -> list[_Path]:
    """Return the paths to compare."""
    found: dict[str, list[int]] = {}
    for i, row in enumerate(table.rows):
        if row.op == "~":
            found.setdefault(row.name, []).append(i)
    if not found:
        raise ModelSyntaxError(
            "the model has no paths to compare", file=file, hint="add regressions, or use b2b_sem.invariance"
        )
    paths = {n: _Path(n, tuple(table.rows[i] for i in at), tuple(at)) for n, at in found.items()}
    if wanted is None:
        chosen = [p for p in paths.values() if _why_not(p) == ""]
        if not chosen:
            first = next(iter(paths.values()))
            raise Unsupported(f"no path can be compared: {first.name} {_why_not(first)}", file=file, hint=_FREE)
        return chosen
    chosen = []
    for text in dict.fromkeys((wanted,) if isinstance(wanted, str) else wanted):
        name = _name(text)
        if name not in paths:
            raise ModelSyntaxError(
                f"the model has no path '{text}'.{did_you_mean(name, paths)}",
                file=file,
                hint="write it as 'Y ~ X' or 'X -> Y'; the model has " + ", ".join(paths),
            )
        if why := _why_not(paths[name]):
            raise Unsupported(f"{name} cannot be compared: it {why}", file=file, hint=_FREE)
        if paths[name] not in chosen:
            chosen.append(paths[name])
    if not chosen:
        raise DataError("paths names no path", hint="leave paths out to compare all")
    return chosen


_FREE = "leave labels and values of paths out of the model: it is fitted with and without equal paths"


def _name(text: str) -> str:
    if "->" in text:
        start, _, end = text.partition("->")
        return f"{end.strip()}~{start.strip()}"
    end, _, start = text.partition("~")
    return f"{end.strip()}~{start.strip()}"


def _why_not(path: _Path) -> str:
    numbers = [r.free for r in path.rows]
    if not all(numbers):
        return "is fixed"
    if len(set(numbers)) < len(numbers):
        return "is equal in several groups by its label"
    return ""


@dataclass(frozen=True)
class _Contrasts:
    """Differences of the paths from the first group, and their covariance matrix, in the order of paths and groups."""

    value: Array
    cov: Array
    place: Mapping[str, list[int]]


def _contrasts(free: Fit, paths: Sequence[_Path]) -> _Contrasts:
    context = context_of(free)
    raw = context.problem.values(context.solution.theta)
    values: list[float] = []
    slopes: list[Array] = []
    place: dict[str, list[int]] = {}
    for path in paths:
        first = path.places[0]
        place[path.name] = list(range(len(values), len(values) + len(path.places) - 1))
        for other in path.places[1:]:
            values.append(float(raw.value[other] - raw.value[first]))
            slopes.append(raw.jacobian[other] - raw.jacobian[first])
    jacobian = np.array(slopes)
    return _Contrasts(np.array(values), jacobian @ context.vcov @ jacobian.T, place)


def _wald(contrasts: _Contrasts, paths: Sequence[_Path]) -> dict[str, float]:
    at = [i for p in paths for i in contrasts.place[p.name]]
    chisq = wald_chisq(contrasts.value[at], contrasts.cov[np.ix_(at, at)])
    return {"df": len(at), "wald": chisq, "wald_pvalue": float(special.chdtrc(len(at), chisq))}


def _equality_tests(
    free: Fit, sets: Sequence[Sequence[_Path]], whats: Sequence[str], warnings: list[str]
) -> list[dict[str, float]]:
    """Return the difference of chi-squares to the model in which the paths of each set are equal."""
    context = context_of(free)
    problem, theta, measures = context.problem, context.solution.theta, free.measures
    assert isinstance(problem, GroupProblem)
    slopes = problem.values(theta).jacobian
    equations = [np.array([slopes[i] - slopes[p.places[0]] for p in s for i in p.places[1:]]) for s in sets]
    chisq1, df1 = measures["chisq"], int(measures["df"])
    out = []
    with single_thread():
        for what, equal in zip(whats, fit_equal(problem, context.observed, theta, equations), strict=False):
            row = dict.fromkeys(("chisq_diff", "df_diff", "pvalue_diff"), math.nan)
            out.append(row)
            if not (equal.converged and equal.identified):
                why = "the model is not identified" if equal.converged else "the fit did not converge"
                warnings.append(f"With {what} the model has no difference test: {why}.")
                continue
            if equal.df == df1:
                warnings.append(f"With {what} nothing is restricted: they are equal already.")
                continue
            if equal.chisq < chisq1 - LOCAL:
                raise ModelError(
                    f"the paths cannot be compared: with {what} the model fits better, so the model with free paths "
                    "stopped in a local minimum",
                    hint="give starting values with start()",
                )
            if problem.options.test == "standard":
                test = difference(chisq1, df1, equal.chisq, equal.df)
            else:
                factor = measures["chisq_scaling_factor"]
                test = satorra_bentler_2001(chisq1, df1, factor, equal.chisq, equal.df, equal.factor)
            row.update(chisq_diff=test.chisq, df_diff=float(test.df), pvalue_diff=test.pvalue)
            if math.isnan(test.pvalue):
                warnings.append(f"With {what} the scaled difference of chi-squares has no p-value: take the Wald test.")
    return out


def _difference(free: Fit, equal: Fit, what: str, warnings: list[str]) -> dict[str, float]:
    """Return the difference of chi-squares between two nested fits."""
    if not equal.converged or not equal.identified:
        warnings.append(f"With {what} the model has no difference test: {equal.failure}.")
        return dict.fromkeys(("chisq_diff", "df_diff", "pvalue_diff"), math.nan)
    row = compare(free, equal).table.iloc[-1]
    out = {
        "chisq_diff": float(row["chisq_diff"]),
        "df_diff": float(row["df_diff"]),
        "pvalue_diff": float(row["pvalue"]),
    }
    if math.isnan(out["pvalue_diff"]):
        warnings.append(f"With {what} the scaled difference of chi-squares has no p-value: take the Wald test.")
    return out


def _test_loadings(models: PathModel, free: Fit, alpha: float, warnings: list[str]) -> dict[str, float]:
    """Test the equality of loadings that the comparison rests on."""
    table = context_of(free).problem.table
    numbers = [r.free for r in table.rows if r.op == "=~" and r.free]
    if len(set(numbers)) == len(numbers):
        return {}
    loose = models.loose()
    found = _difference(loose, free, "equal loadings", warnings) if loose.converged and loose.identified else {}
    out = {name.removesuffix("_diff"): value for name, value in found.items()}
    if out.get("pvalue", 1.0) < alpha:
        warnings.append(
            f"Equal loadings are rejected (chi-square difference {out['chisq']:.2f}, df = {out['df']:.0f}, "
            f"p = {out['pvalue']:.3f}): differences of paths may come from items that work differently. Run "
            "b2b_sem.invariance and name the loadings that it releases in 'partial'."
        )
    return out


def _differences(
    free: Fit,
    paths: Sequence[_Path],
    contrasts: _Contrasts,
    size: float,
    alpha: float,
    level: float,
    multiplicity: str,
) -> list[dict[str, Any]]:
    reach = float(special.ndtri(0.5 + level / 2))
    critical = float(special.chdtri(1, alpha))
    needed = math.sqrt(float(special.chndtrinc(critical, 1, 1 - ENOUGH)))
    labels = free.groups
    sizes = free.group_tests["nobs"].to_numpy(float)
    moments = _variances(free)
    out: list[dict[str, Any]] = []
    for path in paths:
        row = path.rows[0]
        for g, at in enumerate(contrasts.place[path.name], 1):
            est, se = float(contrasts.value[at]), float(math.sqrt(max(contrasts.cov[at, at], 0.0)))
            weights = sizes[[0, g]]
            spread = [float(np.average([moments[0][v], moments[g][v]], weights=weights)) for v in (row.lhs, row.rhs)]
            unit = math.sqrt(spread[0] / spread[1]) if min(spread) > 0 else math.nan
            z = est / se if se > 0 else math.nan
            out.append(
                {
                    "path": path.name,
                    "group": labels[g],
                    "reference": labels[0],
                    "est": est,
                    "se": se,
                    "z": z,
                    "pvalue": float(special.chdtrc(1, z**2)),
                    "ci_lower": est - reach * se,
                    "ci_upper": est + reach * se,
                    "std": est / unit,
                    "power": 1 - float(special.chndtr(critical, 1, (size * unit / se) ** 2)) if se > 0 else math.nan,
                    "detectable": needed * se / unit,
                }
            )
    for row_, p in zip(out, adjusted([r["pvalue"] for r in out], multiplicity), strict=True):
        row_["p_adjusted"] = p
    return out


def _variances(free: Fit) -> list[dict[str, float]]:
    """Return the implied variances of all variables, group by group."""
    implied, latent = free.implied(), free.latent_cov()
    out = []
    for label in free.groups:
        own: dict[str, float] = {}
        for matrix in (implied[label]["cov"], latent[label]):
            own.update(zip(matrix.index, np.diag(matrix.to_numpy()).tolist(), strict=True))
        out.append(own)
    return out


def _estimates(free: FitResult, paths: Sequence[_Path], level: float) -> pd.DataFrame:
    reach = float(special.ndtri(0.5 + level / 2))
    table = free.parameters
    at = {(r["lhs"], r["rhs"], r["group"]): r for r in table[table["op"] == "~"].to_dict("records")}
    rows = []
    for path in paths:
        for g, label in enumerate(free.groups, 1):
            r = at[path.rows[0].lhs, path.rows[0].rhs, g]
            ends = (r["est"] - reach * r["se"], r["est"] + reach * r["se"])
            rows.append((path.name, label, r["est"], r["se"], r["pvalue"], *ends, r["std_all"]))
    return pd.DataFrame(rows, columns=list(ESTIMATE_COLUMNS))


def _statements(omnibus: Mapping[str, float], tests: Sequence[Mapping[str, Any]], alpha: float) -> tuple[str, ...]:
    """Say what the tests of the difference of chi-squares decide; the Wald test where there is none."""
    scaled, wald = omnibus["pvalue_diff"], omnibus["wald_pvalue"]
    p = scaled if math.isfinite(scaled) else wald
    if not math.isfinite(p):
        return ("There is no test of equal paths.",)
    many = len(tests) > 1
    what = "All paths together" if many else f"The path {tests[0]['path']}"
    verb = "differ" if many else "differs"
    if p < alpha:
        out = [f"{what} {verb} between the groups (p = {p:.3f})." if p >= 0.001 else f"{what} {verb} (p < .001)."]
    else:
        out = [f"{what} {'do' if many else 'does'} not differ reliably between the groups (p = {p:.3f})."]
        out.append("That is no evidence of equal paths: see the power and the intervals of the differences.")
    if many:
        adjusted = [
            (t["path"], t["diff_adjusted"] if math.isfinite(t["diff_adjusted"]) else t["wald_adjusted"]) for t in tests
        ]
        found = [path for path, value in adjusted if value < alpha]
        one = f"Paths that differ, one at a time, with adjusted p-values: {', '.join(found)}."
        out.append(one if found else "No single path differs reliably after adjustment.")
    return tuple(out)
