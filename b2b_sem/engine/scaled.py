"""Covariance matrices of estimates under non-normality, scaled tests, and the baseline model they are compared with."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from b2b_sem.engine.base import Array, FitOptions
from b2b_sem.engine.native.casewise import Casewise
from b2b_sem.engine.native.constraint import LinearConstraints
from b2b_sem.engine.native.implied import Structure, compile_structure
from b2b_sem.engine.native.information import invert_information
from b2b_sem.engine.native.loss import (
    Moments,
    Point,
    evaluate,
    expected_information,
    gradient,
    hessian,
    scoring_information,
)
from b2b_sem.engine.native.optimize import minimize
from b2b_sem.engine.robust import Rows, moment_meat, score_meat, second_trace, trace_of_gamma
from b2b_sem.errors import ModelError
from b2b_sem.measures import fit as fm
from b2b_sem.measures import robust as fr
from b2b_sem.spec.partable import ParameterTable, Row

__all__ = [
    "ScaledTest",
    "Solution",
    "baseline",
    "correct",
    "free_trace",
    "scaled_measures",
    "scaled_test",
    "test_kind",
    "traces",
]

NAN = float("nan")


@dataclass(frozen=True)
class ScaledTest:
    """A corrected test statistic.

    Attributes
    ----------
    chisq, df, pvalue : float
    factor : float
        Scaling factor; NaN for a saturated model.
    trace : float
        tr(U Gamma), whose expectation under normality is df; NaN for a saturated model.
    shift : float
        Constant added by the scaled and shifted test, else 0.
    """

    chisq: float
    df: float
    pvalue: float
    factor: float
    trace: float
    shift: float = 0.0

    def mean_factor(self, df: int) -> float:
        """Return the factor that makes means agree: that of the test, corrected for the shift."""
        return self.factor * (df - self.shift) / df if df > 0 else NAN


@dataclass(frozen=True)
class Solution:
    """A solution with what sandwiches are made of, each part computed once.

    Attributes
    ----------
    structure, moments, point : Structure, Moments, Point
    options : FitOptions
    rows : Rows or None
        The data; None where moments are enough.
    constraints : LinearConstraints or None
    """

    structure: Structure
    moments: Moments
    point: Point
    options: FitOptions
    rows: Rows | None
    constraints: LinearConstraints | None
    _found: dict[str, Array] = field(default_factory=dict, repr=False)

    @property
    def casewise(self) -> Casewise | None:
        """The likelihood of rows with holes, None for complete rows."""
        weight = self.moments.weight
        return weight if isinstance(weight, Casewise) else None

    @property
    def unit(self) -> float:
        """What second derivatives are multiplied by to have the unit of the fit function."""
        return 1.0 if self.moments.weight is None else self.moments.weight.unit

    @cached_property
    def expected(self) -> Array:
        """Expected information of one observation."""
        return self.unit * expected_information(self.structure, self.point)

    @cached_property
    def metric(self) -> Array:
        """Information that tells whether the parameters are determined: without holes, if every pair was observed."""
        return self.unit * scoring_information(self.structure, self.point)

    @cached_property
    def score_meat(self) -> Array:
        """Cross-products of the scores of one observation."""
        if self.casewise is not None:
            return self.casewise.score_meat(self.structure, self.point)
        assert self.rows is not None
        return score_meat(self.structure, self.point, self.rows)

    @cached_property
    def moment_meat(self) -> Array:
        """D'V Gamma V D."""
        assert self.rows is not None
        return moment_meat(self.structure, self.point, self.rows)

    def information(self, kind: str) -> Array:
        """Return the information of one observation: expected, observed, h1 (without structure), first.order."""
        if kind == "expected":
            return self.expected
        if kind == "first.order":
            return self.score_meat
        if self.casewise is not None:
            return self._casewise_information(kind)
        return 0.5 * self.unit * hessian(self.structure, self.moments, self.point, curved=kind != "h1")

    def _casewise_information(self, kind: str) -> Array:
        if kind not in self._found:
            assert self.casewise is not None
            if kind == "observed":  # the costly part is that of h1
                found = self._casewise_information("h1") + self.casewise.bend(self.structure, self.point)
                self._found[kind] = (found + found.T) / 2
            else:
                self._found[kind] = self.casewise.information(self.structure, self.point, kind)
        return self._found[kind]

    def bread(self, kind: str) -> Array:
        """Return the inverse information in the space the constraints leave; NaN if there is none."""
        return invert_information(self.information(kind), 1, self.constraints).vcov

    def vcov(self, n: int) -> Array:
        """Return the covariance matrix of the estimates, (q, q); NaN without standard errors.

        ``standard``: I^-1 / n. ``robust.sem``: E^-1 D'V Gamma V D E^-1 / n (Browne 1984,
        doi:10.1111/j.2044-8317.1984.tb00789.x; Satorra & Bentler 1994). ``robust.huber.white``: H^-1 B H^-1 / n with B
        from scores (White 1982, doi:10.2307/1912526). With clusters both middles are sums within clusters.
        """
        se, information = self.options.se, self.options.information
        if se == "none":
            return np.full((self.structure.q, self.structure.q), NAN)
        bread = self.bread(information)
        if se == "standard":
            return bread / n
        meat = self.moment_meat if se in ("robust.sem", "robust.cluster.sem") else self.score_meat
        return bread @ meat @ bread / n


def scaled_test(solution: Solution, chisq: float, df: int) -> ScaledTest:
    """Return the scaled test the options name.

    With U = V - V D E^-1 D'V: ``satorra.bentler`` divides by tr(U Gamma) / df (Satorra & Bentler 1994, in Latent
    variables analysis, ed. von Eye & Clogg); ``mean.var.adjusted`` takes tr(U Gamma)^2 / tr((U Gamma)^2) as degrees of
    freedom (Satterthwaite); ``scaled.shifted`` is a T + b with df as it is (Asparouhov & Muthen 2010);
    ``yuan.bentler.mplus`` divides by (tr(V_S Gamma) - tr(H^-1 B)) / df, with V_S at the sample moments
    (Yuan & Bentler 2000, doi:10.1111/0081-1750.00078; Asparouhov & Muthen 2005).
    """
    if df == 0:
        return ScaledTest(chisq, 0, NAN, NAN, NAN)
    return correct(solution.options.test, chisq, df, *traces(solution))


def traces(solution: Solution) -> tuple[float, float]:
    """Return tr(U Gamma) and, where the test needs it, tr(U Gamma U Gamma), else NaN."""
    rows, options = solution.rows, solution.options
    if solution.casewise is not None or options.test == "yuan.bentler.mplus":
        meat = float((solution.bread(test_kind(options)) * solution.score_meat).sum())
        return free_trace(solution) - meat, NAN
    assert rows is not None
    bread = solution.bread("expected")
    trace = free_trace(solution) - float((bread * solution.moment_meat).sum())
    if options.test == "satorra.bentler":
        return trace, NAN
    return trace, second_trace(solution.structure, solution.point, rows, bread)


def free_trace(solution: Solution) -> float:
    """Return tr(V Gamma): the part of the trace that knows no parameters, at the moments the test takes for V."""
    rows, means = solution.rows, solution.structure.meanstructure
    if solution.casewise is not None:
        return solution.casewise.moment_trace(solution.options.information)
    assert rows is not None
    if solution.options.test == "yuan.bentler.mplus":
        return trace_of_gamma(np.linalg.inv(solution.moments.cov), rows, means)
    return trace_of_gamma(solution.point.omega, rows, means)


def correct(test: str, chisq: float, df: int, trace: float, second: float) -> ScaledTest:
    """Return the scaled test of a statistic from tr(U Gamma) and, but for ``satorra.bentler``, tr(U Gamma U Gamma)."""
    if test in ("satorra.bentler", "yuan.bentler.mplus"):
        return _mean_scaled(chisq, df, trace)
    if test == "mean.var.adjusted":
        adjusted = trace * trace / second
        scaled = chisq / (trace / adjusted)
        return ScaledTest(scaled, adjusted, fm.chisq_pvalue(scaled, adjusted), trace / adjusted, trace)
    a = math.sqrt(df / second)
    shift = df - a * trace
    scaled = a * chisq + shift
    return ScaledTest(scaled, df, fm.chisq_pvalue(scaled, df), 1.0 / a, trace, shift)


def test_kind(options: FitOptions) -> str:
    """Return the information whose inverse a test from scores takes."""
    return "h1" if options.information == "observed" and options.test_information == "h1" else options.information


def _mean_scaled(chisq: float, df: int, trace: float) -> ScaledTest:
    factor = trace / df if trace >= 0 else NAN
    scaled = chisq / factor if factor else NAN
    return ScaledTest(scaled, df, fm.chisq_pvalue(scaled, df), factor, trace)


def baseline(
    table: ParameterTable, moments: Moments, options: FitOptions, rows: Rows | None
) -> tuple[Solution, float, int]:
    """Fit the baseline model: uncorrelated variables, except exogenous ones, whose covariances it keeps.

    With auxiliary variables all variables of the model are uncorrelated, exogenous ones too, and each covaries freely
    with the auxiliary variables, as in ``semTools::auxiliary()``.

    Returns
    -------
    solution : Solution
        For maximum likelihood the solution; for least squares, which have no scaled tests, where its step started.
    value : float
        The fit function at its minimum.
    df : int
    """
    x, cov, mean = () if table.auxiliary else table.exogenous, moments.cov, moments.mean
    at = {v: i for i, v in enumerate(table.observed)}
    casewise = moments.weight if isinstance(moments.weight, Casewise) else None
    if casewise is not None:
        mean, cov = casewise.independent([at[v] for v in x])
    cells = [(v, v) for v in table.observed] + [(a, b) for i, a in enumerate(x) for b in x[i + 1 :]]
    cells += [(a, b) for i, a in enumerate(table.observed) for b in table.observed[i + 1 :] if b in table.auxiliary]
    values = [(a, "~~", b, float(cov[at[a], at[b]])) for a, b in cells]
    if mean is not None:
        values += [(v, "~1", "", float(mean[at[v]])) for v in table.observed]
    made: list[Row] = []
    theta: list[float] = []
    for lhs, op, rhs, value in values:
        fixed = table.fixed_x and lhs in x and (rhs or lhs) in x
        if not fixed:
            theta.append(value)
        made.append(Row(lhs, op, rhs, 0 if fixed else len(theta), value, None, "", False, False))
    model = ParameterTable(
        tuple(made), (), table.observed, (), x, mean is not None, table.fixed_x, (), table.text, table.file
    )
    structure = compile_structure(model, {})
    estimate = np.array(theta)
    if table.auxiliary:
        apart = [lhs != rhs for lhs, op, rhs, _ in values if op == "~~"]
        estimate = _with_auxiliary(structure, moments, estimate, apart)
    point = evaluate(structure, moments, estimate)
    assert point is not None
    value = point.value
    if moments.weight is not None and casewise is None:
        # sigma is linear in these parameters and F quadratic: one step is exact, also to a negative variance
        slope = gradient(structure, moments, point)
        info = expected_information(structure, point)
        scale = np.sqrt(np.diag(info))
        value += -0.25 * float((slope / scale) @ np.linalg.solve(info / np.outer(scale, scale), slope / scale))
    solution = Solution(structure, moments, point, options, rows, None)
    p = len(table.observed)
    return solution, value * solution.unit, p * (p + 1) // 2 - len(cells)


def _with_auxiliary(structure: Structure, moments: Moments, estimate: Array, covariance: list[bool]) -> Array:
    """Return the estimates of a baseline model with auxiliary variables: it has no closed form."""
    apart = estimate.copy()
    apart[: len(covariance)][covariance] = 0.0
    found = minimize(structure, moments, [lambda: estimate, lambda: apart])
    if not found.converged:
        raise ModelError(
            "the baseline model with auxiliary variables did not converge", hint="use fewer auxiliary variables"
        )
    return found.theta


def scaled_measures(
    test: ScaledTest,
    base: ScaledTest,
    chisq: float,
    df: int,
    base_chisq: float,
    base_df: int,
    n: int,
    name: str,
    groups: int = 1,
) -> dict[str, float]:
    """Return the measures of a scaled test, with lavaan's definitions.

    Parameters
    ----------
    test, base : ScaledTest
        Of the model and of the baseline model.
    chisq, df, base_chisq, base_df : float, int
        Uncorrected.
    n : int
        Multiplier of the fit function.
    name : str
        The test.
    groups : int
        RMSEA and its bounds are multiplied by the root of their number.
    """
    root = math.sqrt(groups)
    four = (test.chisq, test.df, base.chisq, base.df)
    # RMSEA is scaled by the trace, not by the scaled chi-square, unless that is shifted
    size, freedom = (test.chisq, float(df)) if name == "scaled.shifted" else (chisq, test.trace)
    known = not math.isnan(freedom + size)
    lower, upper = fm.rmsea_ci(size, freedom, n) if known else (NAN, NAN)
    out = {
        "chisq_scaled": test.chisq,
        "df_scaled": test.df,
        "pvalue_scaled": test.pvalue,
        "chisq_scaling_factor": test.factor,
        "baseline_chisq_scaled": base.chisq,
        "baseline_df_scaled": base.df,
        "baseline_pvalue_scaled": base.pvalue,
        "baseline_chisq_scaling_factor": base.factor,
        "cfi_scaled": fm.cfi(*four),
        "tli_scaled": fm.tli(*four),
        "nnfi_scaled": fm.tli(*four),
        "rfi_scaled": fm.rfi(*four),
        "nfi_scaled": fm.nfi(*four),
        "pnfi_scaled": fm.pnfi(*four),
        "ifi_scaled": fm.ifi(*four[:3]),
        "rni_scaled": fm.rni(*four),
        "rmsea_scaled": root * fm.rmsea(size, freedom, n) if known else NAN,
        "rmsea_ci_lower_scaled": root * lower,
        "rmsea_ci_upper_scaled": root * upper,
        "rmsea_pvalue_scaled": fm.rmsea_pvalue(size, freedom, n, 0.05 / root) if known else NAN,
    }
    if name == "mean.var.adjusted":
        return out
    factor, base_factor = test.mean_factor(df), base.mean_factor(base_df)
    if df == 0 and name == "scaled.shifted":
        factor, base_factor = 1.0, 1.0  # nothing to correct; lavaan has these numbers for this test only
    six = (chisq, df, base_chisq, base_df, factor, base_factor)
    lower, upper = fr.rmsea_ci_robust(test.chisq, df, n, test.factor)
    return out | {
        "cfi_robust": fr.cfi_robust(*six),
        "tli_robust": fr.tli_robust(*six),
        "nnfi_robust": fr.tli_robust(*six),
        "rni_robust": fr.rni_robust(*six),
        "rmsea_robust": root * fr.rmsea_robust(chisq, df, n, factor),
        "rmsea_ci_lower_robust": root * lower,
        "rmsea_ci_upper_robust": root * upper,
        "rmsea_pvalue_robust": fr.rmsea_pvalue_robust(test.chisq, df, n, test.factor, 0.05 / root),
    }
