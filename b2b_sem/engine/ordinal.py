"""From a solution for ordinal items to everything that is reported: lavaan's definitions for categorical data.

Standard errors, scaled tests and the baseline model come from the asymptotic covariance matrix Gamma of thresholds and
correlations: with D the derivatives of the statistics, E = D'VD and U = V - V D E^-1 D'V, the covariance matrix of the
estimates is E^-1 D'V Gamma V D E^-1 / (N - 1), and the tests use tr(U Gamma) and tr(U Gamma U Gamma)
(Muthen, du Toit & Spisic 1997; Asparouhov & Muthen 2010).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.linalg import lapack

from b2b_sem.data.ordinal import OrdinalMoments
from b2b_sem.engine.base import Array, EngineFit, IntArray
from b2b_sem.engine.categorical import count_ordinal_df, weight_of
from b2b_sem.engine.inference import Inference, check_admissible, explained, solution_warnings, wald
from b2b_sem.engine.native.categorical import CategoricalWeight, OrdinalPoint
from b2b_sem.engine.native.implied import Implied, Structure, compile_structure, implied_moments
from b2b_sem.engine.native.information import Precision, invert_information
from b2b_sem.engine.native.ordinal import Layout, State
from b2b_sem.engine.problem import Problem
from b2b_sem.engine.scaled import ScaledTest, correct, scaled_measures
from b2b_sem.engine.standardize import Deviations, RowValues, deviations, scale_rows, with_definitions
from b2b_sem.errors import ModelError
from b2b_sem.measures import fit as fm
from b2b_sem.measures import robust as fr

__all__ = ["OrdinalInference", "OrdinalRows", "OrdinalSolution", "infer_ordinal", "ordinal_rows", "solution_of"]

NAN = float("nan")
#: Smallest eigenvalue of polychoric correlations with which robust fit indices are computed (lavaan's rule).
PROPER = math.sqrt(np.finfo(float).eps)


@dataclass(frozen=True)
class OrdinalInference:
    """All numbers of a fit to ordinal items.

    Attributes
    ----------
    main : Inference
        What every fit has; its implied moments are those of the responses y* and of the numeric variables.
    cov : (n, n) array
        Implied covariances in the metric of the sample's: 1 on the diagonal of ordinal items.
    thresholds : (h,) array
        Implied thresholds, and minus the means of numeric variables.
    """

    main: Inference
    cov: Array
    thresholds: Array


@dataclass(frozen=True, eq=False)
class OrdinalSolution:
    """A solution with what covariance matrices and tests are made of, each part computed once."""

    problem: Problem
    moments: OrdinalMoments
    point: OrdinalPoint

    @property
    def weight(self) -> CategoricalWeight:
        """The fit function."""
        return weight_of(self.problem)

    @property
    def state(self) -> State:
        """What the model implies."""
        assert self.point.state is not None
        return self.point.state

    @property
    def layout(self) -> Layout:
        """Where statistics come from."""
        return self.weight.layout

    @cached_property
    def information(self) -> Array:
        """E = D'VD."""
        return self.weight.size * self.weight.expected_information(self.layout.structure, self.point)

    @cached_property
    def precision(self) -> Precision:
        """E^-1 in the space the constraints leave."""
        return invert_information(self.information, 1, self.problem.constraints)

    @cached_property
    def gamma_slopes(self) -> Array:
        """P = Gamma V D for a diagonal V, shape (K, q)."""
        layout, slopes, gamma = self.layout, self.state.slopes, self.moments.gamma
        v = self.weight.diagonal
        assert v is not None
        out = np.zeros((layout.size, layout.q))
        out[:, layout.core] = gamma @ (v[:, None] * slopes.dense)
        free = np.flatnonzero(layout.threshold >= 0)
        columns = gamma[:, free] * (v[free] * slopes.coefficient[free])
        at = layout.threshold[free]
        if len(np.unique(at)) == len(at):
            out[:, at] += columns
        else:
            np.add.at(out.T, at, columns.T)
        return out

    @cached_property
    def meat(self) -> Array:
        """D'V Gamma V D, shape (q, q)."""
        layout, slopes = self.layout, self.state.slopes
        v = self.weight.diagonal
        assert v is not None
        product = v[:, None] * self.gamma_slopes
        out = np.zeros((layout.q, layout.q))
        out[layout.core] = slopes.dense.T @ product
        free = np.flatnonzero(layout.threshold >= 0)
        np.add.at(out, layout.threshold[free], slopes.coefficient[free, None] * product[free])
        return (out + out.T) / 2

    def vcov(self, n: int) -> Array:
        """Return the covariance matrix of the estimates, (q, q)."""
        bread, se = self.precision.vcov, self.problem.options.se
        if se == "none":
            return np.full_like(bread, NAN)
        if se == "standard":
            return bread / n
        return bread @ self.meat @ bread / n

    def traces(self) -> tuple[float, float]:
        """Return tr(U Gamma) and tr(U Gamma U Gamma)."""
        v, gamma, p = self.weight.diagonal, self.moments.gamma, self.gamma_slopes
        assert v is not None
        bread = self.precision.vcov
        inner = bread @ self.meat
        first = float(v @ np.diag(gamma)) - float(np.trace(inner))
        second = self._squares[0]
        second -= 2.0 * float((v[:, None] * (p @ bread) * p).sum())
        return first, second + float((inner * inner.T).sum())

    @cached_property
    def _squares(self) -> tuple[float, float]:
        """v'(Gamma * Gamma)v for the diagonal of V, and for that part of it that is zero in the baseline model."""
        v, gamma = self.weight.diagonal, self.moments.gamma
        assert v is not None
        both = np.zeros((len(v), 2))
        both[:, 0] = v
        zero, _ = self.dependent
        both[zero, 1] = v[zero]
        product = (gamma * gamma) @ both
        return float(v @ product[:, 0]), float(both[:, 1] @ product[:, 1])

    @cached_property
    def dependent(self) -> tuple[IntArray, IntArray]:
        """Statistics that are zero in the baseline model and the others, which it fits exactly.

        Zero are correlations, but for those among exogenous variables.
        """
        layout, observed = self.layout, self.problem.table.observed
        exogenous = np.array([observed[k] in self.problem.table.exogenous for k in layout.y])
        kept = exogenous[layout.low] & exogenous[layout.high]
        zero = np.concatenate([np.zeros(layout.size - len(kept), dtype=bool), ~kept])
        return np.flatnonzero(zero), np.flatnonzero(~zero)

    def baseline(self) -> tuple[float, int, tuple[float, float]]:
        """Return fit function, df and both traces of the model of unrelated variables; it fits the rest exactly."""
        zero, rest = self.dependent
        s, weight = self.weight.statistic[zero], self.weight
        if weight.diagonal is None:
            assert weight.dense is not None
            inner = weight.dense[np.ix_(rest, rest)]
            cross = weight.dense[np.ix_(zero, rest)]
            v = weight.dense[np.ix_(zero, zero)] - cross @ np.linalg.solve(inner, cross.T)
            return float(s @ v @ s), len(zero), (NAN, NAN)
        diagonal = weight.diagonal[zero]
        value = float(diagonal @ (s * s))
        if self.problem.options.test == "standard":
            return value, len(zero), (NAN, NAN)
        return value, len(zero), (float(diagonal @ np.diag(self.moments.gamma)[zero]), self._squares[1])


def solution_of(problem: Problem, moments: OrdinalMoments, theta: Array) -> OrdinalSolution:
    """Evaluate a problem at a solution.

    Raises
    ------
    ModelError
        If a variance is not positive there.
    """
    weight = weight_of(problem)
    point = weight.evaluate(weight.layout.structure, problem.moments, theta)
    if point is None:
        raise ModelError("a variance implied at the solution is not positive")
    assert isinstance(point, OrdinalPoint)
    return OrdinalSolution(problem, moments, point)


def _disorder(layout: Layout, state: State, names: Sequence[str]) -> list[str]:
    """Name items whose thresholds do not increase: a category between two of them has no room."""
    bad = []
    for k in np.flatnonzero(layout.ordered):
        if (np.diff(state.thresholds[layout.item == k]) <= 0).any():
            bad.append(names[layout.y[k]])
    if not bad:
        return []
    return [
        f"The thresholds of {', '.join(bad)} are not in increasing order: an answer between two of them would be "
        "impossible. Look at the values and labels that the model gives to thresholds."
    ]


def infer_ordinal(
    problem: Problem, moments: OrdinalMoments, solution: EngineFit, *, level: float = 0.95
) -> OrdinalInference:
    """Compute all inference at a solution.

    Raises
    ------
    ModelError
        If the solution has no positive variances, or a defined parameter no value.
    """
    table, constraints = problem.table, problem.constraints
    at = solution_of(problem, moments, solution.theta)
    n = moments.nobs - 1
    precision = at.precision
    vcov = at.vcov(n) if precision.identified else precision.vcov
    rows = ordinal_rows(problem, at.state)
    std_lv, std_all = scale_rows(table, rows.moving, rows.latent, rows.everything)
    trusted, constrained = solution.converged, constraints is not None
    raw = wald(rows.raw, vcov, level, trusted, constrained=constrained)
    proper, problems = check_admissible(table, rows.structure, rows.implied, rows.raw)
    main = Inference(
        raw=raw,
        std_lv=std_lv.value,
        std_all=wald(std_all, vcov, level, trusted, drop_zero=True, constrained=constrained),
        r2=explained(table, std_all.value),
        measures=_measures(at, n, trusted and precision.identified),
        implied=rows.implied,
        vcov=vcov,
        identified=precision.identified,
        admissible=proper,
        warnings=(
            *solution_warnings(table, solution, precision, constraints),
            *problems,
            *_disorder(at.layout, at.state, table.observed),
        ),
    )
    return OrdinalInference(main, at.state.covariance, at.state.thresholds)


@dataclass(frozen=True)
class OrdinalRows:
    """Values of all rows with what standardization needs.

    Attributes
    ----------
    raw : RowValues
        Computed rows (residual variances under delta, scales under theta) without derivatives: they have no standard
        error of their own, as in lavaan.
    moving : RowValues
        With their derivatives.
    latent, everything : Deviations
        Standard deviations of the latent variables, and of latent and observed variables.
    structure : Structure
    implied : Implied
        Moments of y* and numeric variables, covariates with their variances.
    """

    raw: RowValues
    moving: RowValues
    latent: Deviations
    everything: Deviations
    structure: Structure
    implied: Implied


def ordinal_rows(problem: Problem, state: State) -> OrdinalRows:
    """Return the values of all rows and definitions with their derivatives, and the moments of y*."""
    table, layout = problem.table, state.layout
    q = layout.q
    names = [layout.structure.observed[i] for i in layout.y]
    computed, slopes = _computed(state, problem)
    value = np.zeros(len(table.rows))
    own, moving = np.zeros((len(value), q)), np.zeros((len(value), q))
    numbers: dict[str, int] = {}
    for i, row in enumerate(table.rows):
        k = names.index(row.lhs) if row.lhs in table.ordered else -1
        if row.free:
            value[i] = state.theta[row.free - 1]
            own[i, row.free - 1] = moving[i, row.free - 1] = 1.0
        elif k >= 0 and row.op == ("~*~" if layout.theta else "~~") and row.lhs == row.rhs:
            value[i], moving[i] = computed[k], slopes[k]
            if not layout.theta:
                numbers[row.lhs] = k
        else:
            value[i] = problem.fixed[row.name] if row.exo else float(row.value or 0.0)
    free = {v: q + 1 + n for n, v in enumerate(numbers)}
    made = tuple(
        replace(r, free=free[r.lhs], value=None) if r.op == "~~" and r.lhs == r.rhs and r.lhs in free else r
        for r in table.rows
    )
    structure = compile_structure(replace(table, rows=made), problem.fixed)
    places = [numbers[v] for v in free]
    implied = implied_moments(structure, np.concatenate([state.theta, computed[places]]))
    assert implied is not None
    chain = np.concatenate([np.eye(q), slopes[places]])

    def chained(sd: Deviations) -> Deviations:
        return Deviations(sd.value, {name: slope @ chain for name, slope in sd.slope.items()})

    latent, everything = (chained(sd) for sd in deviations(structure, implied))
    return OrdinalRows(
        with_definitions(table, value, own), RowValues(value, moving), latent, everything, structure, implied
    )


def _computed(state: State, problem: Problem) -> tuple[Array, Array]:
    """Return computed residual variances (delta) or scales (theta) of all variables and their derivatives by theta."""
    layout, parts = state.layout, state.parts
    c = len(layout.core)

    def total(blocks: Array) -> Array:
        dense = blocks[:, :c] if parts.chain is None else blocks[:, :c] + blocks[:, c:] @ parts.chain
        out = np.zeros((len(blocks), layout.q))
        out[:, layout.core] = dense
        return out

    if layout.theta:
        return state.scale, state.scale[:, None] * total(parts.log_scale)
    # what the rest of the model explains: the variance without the residual the table holds
    template = np.zeros(len(layout.y))
    names = [layout.structure.observed[i] for i in layout.y]
    for row in problem.table.rows:
        if row.op == "~~" and row.lhs == row.rhs and row.lhs in problem.table.ordered and not row.free:
            template[names.index(row.lhs)] = float(row.value or 0.0)
    diagonal = np.diag(state.implied.sigma)[layout.y]
    value = state.scale**-2 - (diagonal - template)
    slopes = total(-2.0 * state.scale[:, None] ** -2 * parts.log_scale - parts.variance)
    if layout.r:
        assert parts.chain is not None
        value[layout.computed] = state.full[layout.q :]
        slopes[layout.computed] = 0.0
        slopes[np.ix_(layout.computed, layout.core)] = parts.chain
    return value, slopes


def _measures(at: OrdinalSolution, n: int, trusted: bool) -> dict[str, float]:
    from b2b_sem.results.columns import MEASURE_NAMES, ROBUST_MEASURE_NAMES, SCALED_MEASURE_NAMES

    problem = at.problem
    test = problem.options.test
    scaled = test != "standard"
    robust = scaled and test != "mean.var.adjusted"
    names = (*MEASURE_NAMES, "wrmr", *(SCALED_MEASURE_NAMES if scaled else ()))
    names += ROBUST_MEASURE_NAMES if robust else ()
    count, npar, df = count_ordinal_df(problem)
    nobs = at.moments.nobs
    out: dict[str, float] = {"npar": npar, "df": df, "ntotal": nobs}
    if not trusted:
        return {name: out.get(name, NAN) for name in names}
    chisq = n * max(at.point.value, 0.0) * at.weight.size
    base_value, base_df, base_traces = at.baseline()
    base = n * base_value
    tested = problem.options.estimator != "ULS"  # without a weight from the data the distribution is unknown
    lower, upper = fm.rmsea_ci(chisq, df, n)
    gfi = at.weight.fit_index(at.point)
    rmr, srmr = _residual_sizes(at)
    out |= {
        "fmin": chisq / (2 * nobs),
        "chisq": chisq,
        "pvalue": fm.chisq_pvalue(chisq, df) if tested else NAN,
        "baseline_chisq": base,
        "baseline_df": base_df,
        "baseline_pvalue": fm.chisq_pvalue(base, base_df) if tested else NAN,
        "cfi": fm.cfi(chisq, df, base, base_df),
        "tli": fm.tli(chisq, df, base, base_df),
        "nnfi": fm.tli(chisq, df, base, base_df),
        "rfi": fm.rfi(chisq, df, base, base_df),
        "nfi": fm.nfi(chisq, df, base, base_df),
        "pnfi": fm.pnfi(chisq, df, base, base_df),
        "ifi": fm.ifi(chisq, df, base),
        "rni": fm.rni(chisq, df, base, base_df),
        "rmsea": fm.rmsea(chisq, df, n),
        "rmsea_ci_lower": lower,
        "rmsea_ci_upper": upper,
        "rmsea_pvalue": fm.rmsea_pvalue(chisq, df, n),
        "rmr": rmr,
        "srmr": srmr,
        "cn_05": fm.critical_n(chisq, df, n, 0.05),
        "cn_01": fm.critical_n(chisq, df, n, 0.01),
        "gfi": gfi,
        "agfi": fm.agfi(gfi, count, df),
        "pgfi": fm.pgfi(gfi, count, df),
        "mfi": fm.mfi(chisq, df, n),
        "ecvi": fm.ecvi(chisq, npar, n),
        "wrmr": math.sqrt(chisq / count),
    }
    if scaled:
        none = ScaledTest(chisq, 0, NAN, NAN, NAN)
        model = none if df == 0 else correct(test, chisq, df, *at.traces())
        null = correct(test, base, base_df, *base_traces) if base_df else replace(none, chisq=base)
        out |= scaled_measures(model, null, chisq, df, base, base_df, n, test)
    if robust:
        out |= _robust_measures(at, n, base_df)
    return {name: out.get(name, NAN) for name in names}


def _residual_sizes(at: OrdinalSolution) -> tuple[float, float]:
    """Return RMR over covariances and thresholds, and SRMR over correlations; variances count as fitted."""
    layout, state = at.layout, at.state
    sample = at.weight.statistic
    h = len(layout.item)
    pairs = sample[layout.size - len(layout.low) :] - state.covariance[layout.low, layout.high]
    ordinal = layout.ordered[layout.item]
    levels = (sample[:h] - state.thresholds)[ordinal]
    sd = np.sqrt(np.diag(at.moments.cov))
    standardized = pairs / (sd[layout.low] * sd[layout.high])
    n = layout.structure.p  # lavaan counts covariates, too
    rmr = math.sqrt((float(pairs @ pairs) + float(levels @ levels)) / (len(pairs) + len(levels) + n))
    return rmr, math.sqrt(float(standardized @ standardized) / (len(pairs) + n))


def _robust_measures(at: OrdinalSolution, n: int, base_df: int) -> dict[str, float]:
    """Return fit indices that estimate what they would be for the continuous responses.

    The estimates are put into the normal-theory fit function of the polychoric correlations, whose statistic is then
    scaled: Savalei (2021), doi:10.1080/00273171.2020.1717922. NaN with numeric variables or covariates, for which there
    is no such theory, and where the polychoric correlations are not positive definite.
    """
    from b2b_sem.results.columns import ROBUST_MEASURE_NAMES

    unknown = dict.fromkeys(ROBUST_MEASURE_NAMES, NAN)
    layout, state, moments = at.layout, at.state, at.moments
    sample, implied = np.array(moments.cov), state.covariance
    if not layout.ordered.all() or len(layout.x) or np.linalg.eigvalsh(sample)[0] < PROPER:
        return unknown
    factor, info = lapack.dpotrf(implied, lower=1)
    if info != 0:
        return unknown
    omega, _ = lapack.dpotri(factor, lower=1)
    omega = np.tril(omega) + np.tril(omega, -1).T
    logdet = float(np.linalg.slogdet(sample)[1])
    p = len(sample)
    value = 2.0 * float(np.log(np.diag(factor)).sum()) + float((sample * omega).sum()) - logdet - p
    chisq, base = moments.nobs * value, -moments.nobs * logdet
    low, high, h = layout.low, layout.high, len(layout.item)
    # tr(X' V X Gamma) with X = I - D E^-1 D'W for the correlations alone
    slopes = state.slopes.dense[h:]
    own_df = len(low) - _rank(slopes, at)
    weights = at.weight.diagonal
    assert weights is not None
    gamma = moments.gamma[h:, h:]
    bread = at.precision.vcov[np.ix_(layout.core, layout.core)]
    pulled = gamma @ (weights[h:, None] * slopes)
    spread = slopes @ bread
    middle = (weights[h:, None] * slopes).T @ pulled
    left = pulled - 0.5 * spread @ middle
    # X Gamma X' = Gamma - left spread' - spread left'
    by_low, by_high = omega[:, low], omega[:, high]
    normal = by_low[low]
    normal *= by_high[high]
    normal += by_low[high] * by_high[low]
    trace = float((normal * gamma).sum()) - 2.0 * float(((normal @ spread) * left).sum())
    factor_c = trace / own_df if own_df else 1.0
    base_c = float(np.trace(gamma)) / base_df if base_df else NAN
    # degrees of freedom without thresholds: equal or fixed ones give the model itself more
    six = (chisq, own_df, base, base_df, factor_c, base_c)
    scaled = chisq / factor_c
    lower, upper = fr.rmsea_ci_robust(scaled, own_df, n, factor_c)
    return unknown | {
        "cfi_robust": fr.cfi_robust(*six),
        "tli_robust": fr.tli_robust(*six),
        "nnfi_robust": fr.tli_robust(*six),
        "rni_robust": fr.rni_robust(*six),
        "rmsea_robust": fr.rmsea_robust(chisq, own_df, n, factor_c),
        "rmsea_ci_lower_robust": lower,
        "rmsea_ci_upper_robust": upper,
        "rmsea_pvalue_robust": fr.rmsea_pvalue_robust(scaled, own_df, n, factor_c),
    }


def _rank(slopes: Array, at: OrdinalSolution) -> int:
    """Return how many dimensions the correlations have in the model; `slopes` are their derivatives, (pairs, core)."""
    if at.problem.constraints is not None:
        slopes = slopes @ at.problem.constraints.basis[at.layout.core]
    size = np.linalg.norm(slopes, axis=0)
    used = size > 1e-10 * size.max(initial=0.0)
    values = np.linalg.svd(slopes[:, used] / size[used], compute_uv=False)
    return int((values > 1e-6).sum())
