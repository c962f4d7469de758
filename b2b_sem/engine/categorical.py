"""Estimation from thresholds and latent correlations: what an estimator's name stands for, the problem, and its starts.

Numbers agree with lavaan: the fit function is multiplied by N - 1, and so are standard errors.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from b2b_sem.data.ordinal import OrdinalMoments
from b2b_sem.engine.base import Array, EngineFit, FitOptions
from b2b_sem.engine.native.categorical import CategoricalWeight
from b2b_sem.engine.native.constraint import LinearConstraints
from b2b_sem.engine.native.implied import compile_structure
from b2b_sem.engine.native.loss import Moments
from b2b_sem.engine.native.optimize import minimize
from b2b_sem.engine.native.ordinal import compile_layout
from b2b_sem.engine.native.start import plain_start, start_values
from b2b_sem.engine.problem import Problem
from b2b_sem.errors import DataError, ModelError, Unsupported, did_you_mean
from b2b_sem.spec.partable import ParameterTable

__all__ = [
    "ORDINAL_ESTIMATORS",
    "count_ordinal_df",
    "prepare_ordinal",
    "resolve_ordinal",
    "solve_ordinal",
    "start_ordinal",
    "weight_of",
]

#: Name -> (weight, default standard errors, default test).
ORDINAL_ESTIMATORS: dict[str, tuple[str, str, str]] = {
    "WLSMV": ("DWLS", "robust.sem", "scaled.shifted"),
    "WLSM": ("DWLS", "robust.sem", "satorra.bentler"),
    "WLSMVS": ("DWLS", "robust.sem", "mean.var.adjusted"),
    "DWLS": ("DWLS", "standard", "standard"),
    "WLS": ("WLS", "standard", "standard"),
    "ULS": ("ULS", "standard", "standard"),
    "ULSM": ("ULS", "robust.sem", "satorra.bentler"),
    "ULSMV": ("ULS", "robust.sem", "scaled.shifted"),
    "ULSMVS": ("ULS", "robust.sem", "mean.var.adjusted"),
}
TESTS = {
    "standard": "standard",
    "chisq": "standard",
    "satorra.bentler": "satorra.bentler",
    "satorra-bentler": "satorra.bentler",
    "sb": "satorra.bentler",
    "scaled.shifted": "scaled.shifted",
    "scaled-shifted": "scaled.shifted",
    "mean.var.adjusted": "mean.var.adjusted",
    "mean-var-adjusted": "mean.var.adjusted",
}
#: Smallest eigenvalue, in correlation metric, of an asymptotic covariance matrix that is inverted.
SINGULAR = 1e-10


def resolve_ordinal(
    estimator: str,
    likelihood: str = "normal",
    information: str | None = None,
    se: str = "default",
    test: str = "default",
) -> FitOptions:
    """Return the settings of an estimator for ordinal items, with what the user chose instead of its defaults.

    Parameters
    ----------
    estimator : str
        A name of :data:`ORDINAL_ESTIMATORS`.
    likelihood, information, se, test : str
        As in :func:`b2b_sem.fit`.

    Raises
    ------
    Unsupported
        For an estimator of continuous variables, and for combinations whose numbers are not tested.
    """
    name = str(estimator).upper()
    if name not in ORDINAL_ESTIMATORS:
        raise Unsupported(
            f"estimator='{estimator}' is not available for ordinal items.{did_you_mean(name, ORDINAL_ESTIMATORS)}",
            hint=f"use one of {', '.join(ORDINAL_ESTIMATORS)}, or leave ordered out to treat the items as numbers",
        )
    if likelihood != "normal":
        raise Unsupported(
            f"likelihood='{likelihood}' goes with maximum likelihood only", hint=f"leave it out with '{name}'"
        )
    if information not in (None, "expected"):
        raise Unsupported(
            f"information='{information}' is not available for ordinal items", hint="leave information out"
        )
    base, own_se, own_test = ORDINAL_ESTIMATORS[name]
    if se == "default":
        se = own_se
    elif se == "robust":
        se = "robust.sem"
    if se not in ("standard", "robust.sem", "none"):
        raise Unsupported(
            f"se='{se}' is not available for ordinal items", hint="use 'robust', 'standard' or 'none', or leave se out"
        )
    if test == "default":
        test = own_test
    elif test not in TESTS:
        raise Unsupported(
            f"test='{test}' is not available for ordinal items.{did_you_mean(test, TESTS)}",
            hint="use " + ", ".join(dict.fromkeys(TESTS.values())),
        )
    else:
        test = TESTS[test]
    if base == "WLS" and (se == "robust.sem" or test != "standard"):
        raise Unsupported(
            "robust standard errors and tests are not available with estimator='WLS', whose weight makes them needless",
            hint="leave se and test out, or use estimator='WLSMV'",
        )
    if own_test not in ("standard", test):
        raise Unsupported(
            f"test='{test}' is not available with estimator='{name}', whose test is '{own_test}'",
            hint=f"leave test out, or use estimator='{base}' with se='robust' and test='{test}'",
        )
    return FitOptions(estimator=base, likelihood="wishart", information="expected", se=se, test=test)  # type: ignore[arg-type]


def prepare_ordinal(
    table: ParameterTable,
    moments: OrdinalMoments,
    options: FitOptions,
    constraints: LinearConstraints | None,
) -> Problem:
    """Compile a table with ordinal variables and the statistics it is fitted to.

    Raises
    ------
    DataError
        If the weight of WLS cannot be made from so few rows.
    """
    conditional = bool(moments.covariates)
    cov, mean = joint_moments(table, moments)
    place = {v: i for i, v in enumerate(table.observed)}
    fixed: dict[str, float] = {}
    for row in table.rows:
        if row.exo and row.op == "~~":
            fixed[row.name] = float(cov[place[row.lhs], place[row.rhs]])
        elif row.exo:
            fixed[row.name] = float(mean[place[row.lhs]])
    layout = compile_layout(table, fixed, conditional)
    weight = make_ordinal_weight(moments, options)
    made = CategoricalWeight(layout, moments.statistic, *weight)
    structure = compile_structure(table, fixed)
    return Problem(
        table, structure, Moments(cov, mean, float("nan"), made), fixed, moments.nobs, options, constraints, None
    )


def weight_of(problem: Problem) -> CategoricalWeight:
    """Return the fit function of a problem with ordinal items."""
    weight = problem.moments.weight
    assert isinstance(weight, CategoricalWeight)
    return weight


def joint_moments(table: ParameterTable, moments: OrdinalMoments) -> tuple[Array, Array]:
    """Return covariances (p, p) and means (p,) of all observed variables, those conditioned on among them.

    Covariances of the latter have the divisor n - 1, as in lavaan.
    """
    if not moments.covariates:
        return np.array(moments.cov), np.array(moments.mean)
    names = [*moments.names, *moments.covariates]
    order = [names.index(v) for v in table.observed]
    assert moments.slopes is not None
    given = moments.covariate_cov * (moments.nobs / (moments.nobs - 1))
    cross = moments.slopes @ given
    cov = np.block([[moments.cov + cross @ moments.slopes.T, cross], [cross.T, given]])
    mean = np.concatenate([moments.mean + moments.slopes @ moments.covariate_mean, moments.covariate_mean])
    return cov[np.ix_(order, order)], mean[order]


def make_ordinal_weight(moments: OrdinalMoments, options: FitOptions) -> tuple[Array | None, Array | None, float]:
    """Return V as a diagonal or as a matrix, and the size of F."""
    s = moments.statistic
    if options.estimator == "ULS":
        return np.ones(len(s)), None, float(s @ s)
    if options.estimator == "DWLS":
        return 1.0 / moments.gamma_diagonal, None, 1.0
    hint = "use estimator='WLSMV', which needs no such matrix, or fewer items"
    if moments.nobs <= len(s):
        raise DataError(
            f"WLS needs more rows than statistics: there are {moments.nobs} rows, and these items have {len(s)} "
            "thresholds and correlations",
            hint=hint,
        )
    scale = np.sqrt(moments.gamma_diagonal)
    values, vectors = np.linalg.eigh(moments.gamma / np.outer(scale, scale))
    if values[0] <= SINGULAR:
        raise DataError(
            "WLS cannot be used with these data: the asymptotic covariance matrix of thresholds and correlations is "
            "singular",
            hint=hint,
        )
    return None, (vectors / values) @ vectors.T / np.outer(scale, scale), 1.0


def count_ordinal_df(problem: Problem) -> tuple[int, int, int]:
    """Return (statistics, free parameters, degrees of freedom)."""
    count = weight_of(problem).layout.size
    rank = problem.constraints.rank if problem.constraints is not None else 0
    free = problem.table.nfree - rank
    return count, free, count - free


def solve_ordinal(problem: Problem) -> EngineFit:
    """Minimise the fit function.

    Raises
    ------
    ModelError
        If no starting value gives positive variances.
    """
    weight = weight_of(problem)
    table, moments = problem.table, problem.moments

    def thresholds(theta: Array) -> Array:
        return start_ordinal(problem, theta)

    def perturbed(seed: int) -> Array:
        rng = np.random.default_rng(seed)
        theta = plain_start(table, moments.cov, moments.mean)
        return thresholds(theta * rng.uniform(0.6, 1.4, size=len(theta)))

    starts: list[Callable[[], Array]] = [
        lambda: thresholds(start_values(table, moments.cov, moments.mean, problem.fixed)),
        lambda: thresholds(plain_start(table, moments.cov, moments.mean)),
        lambda: perturbed(1),
        lambda: perturbed(2),
    ]
    try:
        return minimize(
            weight.layout.structure,
            moments,
            starts,
            constraints=problem.constraints,
            max_iterations=problem.options.max_iterations,
        )
    except ValueError as error:
        raise ModelError(
            f"the model cannot be started: {error}",
            hint="give starting values with start(), or check fixed values",
        ) from error


def start_ordinal(problem: Problem, theta: Array) -> Array:
    """Put thresholds and scales of the sample, in the metric of the parameterization, into starting values."""
    table, weight = problem.table, weight_of(problem)
    layout = weight.layout
    rows = [r for r in table.rows if r.free]
    given = {r.free - 1 for r in rows if r.start is not None}
    theta = theta.copy()
    for row in rows:
        if row.op == "~*~" and row.free - 1 not in given:
            theta[row.free - 1] = 1.0
    if layout.theta:
        theta = _theta_start(problem, theta, given)
    state = layout.state(theta)
    if state is None:
        return theta
    assert state.implied.mu is not None
    sample = weight.statistic[: len(layout.item)]
    for h in np.flatnonzero(layout.threshold >= 0):
        k = int(layout.threshold[h])
        if k not in given:
            item = layout.item[h]
            theta[k] = sample[h] / state.scale[item] + state.implied.mu[layout.y[item]]
    return theta


def _theta_start(problem: Problem, theta: Array, given: set[int]) -> Array:
    """Divide loadings on, and paths into, ordinal items by their residual standard deviations; markers rescale factors.

    Starting values are found for responses of variance 1, whose residual variances are less than 1; here these are 1.
    """
    table = problem.table
    known = set(table.ordered)
    value = {i: float(theta[r.free - 1] if r.free else r.value or 0.0) for i, r in enumerate(table.rows)}
    variance = {r.lhs: value[i] for i, r in enumerate(table.rows) if r.op == "~~" and r.lhs == r.rhs}
    share: dict[str, float] = dict.fromkeys(known, 0.0)
    for i, r in enumerate(table.rows):
        if r.op == "=~" and r.rhs in known:
            share[r.rhs] += value[i] ** 2 * variance.get(r.lhs, 1.0)
    stretch = {v: 1.0 / np.sqrt(max(1.0 - share[v], 0.2)) for v in known}
    # a factor whose loading on an ordinal item is fixed takes the stretch itself
    factor: dict[str, float] = {}
    for r in table.rows:
        if r.op == "=~" and r.rhs in known and not r.free and r.value and r.lhs not in factor:
            factor[r.lhs] = stretch[r.rhs]
    out = theta.copy()
    for r in table.rows:
        if not r.free or r.free - 1 in given:
            continue
        left, right = factor.get(r.lhs, 1.0), factor.get(r.rhs, 1.0)
        if r.op == "=~":
            out[r.free - 1] = theta[r.free - 1] * stretch.get(r.rhs, right) / left
        elif r.op == "~":
            out[r.free - 1] = theta[r.free - 1] * stretch.get(r.lhs, left) / stretch.get(r.rhs, right)
        elif r.op == "~~" and r.lhs == r.rhs and r.lhs in known:
            out[r.free - 1] = 1.0
        elif r.op == "~~":
            out[r.free - 1] = theta[r.free - 1] * stretch.get(r.lhs, left) * stretch.get(r.rhs, right)
    return out
