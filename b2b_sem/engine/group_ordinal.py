"""Ordinal items in several groups: the joint problem, its solution and everything that is inferred from it.

Groups add up as in :mod:`b2b_sem.engine.group`: with E the sum of n_g / N D_g'V_g D_g and M that of
n_g / N D_g'V_g Gamma_g V_g D_g at the places of the groups' parameters, the covariance matrix of the estimates is
E^-1 M E^-1 / (N - G), the fit functions have the weights (n_g - 1) / N, and
tr(U Gamma) = sum of tr(V_g Gamma_g) - tr(E^-1 M) (Muthen, du Toit & Spisic 1997; lavaan's definitions).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from b2b_sem.data.observed import Observed
from b2b_sem.engine.base import Array, EngineFit, FitOptions, IntArray
from b2b_sem.engine.categorical import count_ordinal_df, prepare_ordinal, start_ordinal, weight_of
from b2b_sem.engine.group import GroupInference, GroupProblem, _joined, _widened, group_starts, local_table
from b2b_sem.engine.inference import NAN, check_admissible, explained, solution_warnings, wald
from b2b_sem.engine.native.constraint import LinearConstraints
from b2b_sem.engine.native.grouped import Grouped, Part, add_blocks, grouped_moments
from b2b_sem.engine.native.information import Precision, invert_information
from b2b_sem.engine.native.optimize import minimize
from b2b_sem.engine.nested import Reproduction
from b2b_sem.engine.ordinal import (
    LatentFit,
    OrdinalSolution,
    Totals,
    has_robust,
    latent_fit,
    ordinal_measure_names,
    ordinal_measures,
    ordinal_rows,
    residual_sizes,
    robust_measures,
    solution_of,
)
from b2b_sem.engine.ordinal_score import given_up, statistic_order
from b2b_sem.engine.standardize import RowValues, scale_rows
from b2b_sem.errors import ModelError
from b2b_sem.spec.partable import ParameterTable

__all__ = [
    "OrdinalGroupInference",
    "count_ordinal_groups",
    "directions_of_groups",
    "infer_ordinal_groups",
    "prepare_ordinal_groups",
    "reproduce_ordinal_groups",
    "solve_ordinal_groups",
]


@dataclass(frozen=True)
class OrdinalGroupInference:
    """All numbers of a fit of several groups to ordinal items.

    Attributes
    ----------
    main : GroupInference
    cov : tuple of (n, n) arrays
        Implied covariances of each group in the metric of the sample's.
    thresholds : tuple of (h,) arrays
        Implied thresholds, and minus the means of numeric variables.
    """

    main: GroupInference
    cov: tuple[Array, ...]
    thresholds: tuple[Array, ...]


def prepare_ordinal_groups(
    table: ParameterTable, observed: Observed, options: FitOptions, constraints: LinearConstraints | None
) -> GroupProblem:
    """Compile the table of several groups and the statistics of ordinal items it is fitted to.

    Raises
    ------
    DataError
        As :func:`~b2b_sem.engine.categorical.prepare_ordinal`.
    """
    assert observed.ordinal is not None
    parts, places = [], []
    for g, moments in enumerate(observed.ordinal, 1):
        local, place = local_table(table, g)
        parts.append(prepare_ordinal(local, moments, options, None))
        places.append(place)
    nobs = sum(part.nobs for part in parts)
    joint = grouped_moments(
        [
            Part(weight_of(part).layout.structure, part.moments, place, (part.nobs - 1) / nobs)
            for part, place in zip(parts, places, strict=True)
        ],
        table.nfree,
    )
    structure = replace(parts[0].structure, q=table.nfree)
    return GroupProblem(
        table, structure, joint, {}, nobs, options, constraints, None, tuple(parts), tuple(places), None
    )


def count_ordinal_groups(problem: GroupProblem) -> tuple[int, int, int]:
    """Return (statistics, free parameters, degrees of freedom) of all groups together."""
    count = sum(count_ordinal_df(part)[0] for part in problem.parts)
    rank = 0 if problem.constraints is None else problem.constraints.rank
    free = problem.table.nfree - rank
    return count, free, count - free


def solve_ordinal_groups(problem: GroupProblem) -> EngineFit:
    """Minimise the joint fit function.

    Raises
    ------
    ModelError
        If no starting value gives positive variances.
    """

    def thresholds(make: Callable[[], Array]) -> Array:
        theta = make()
        total, count = np.zeros(len(theta)), np.zeros(len(theta))
        for part, place in zip(problem.parts, problem.places, strict=True):
            total[place] += start_ordinal(part, theta[place])
            count[place] += 1.0
        return total / count

    def started(make: Callable[[], Array]) -> Callable[[], Array]:
        return lambda: thresholds(make)

    try:
        return minimize(
            problem.structure,
            problem.moments,
            [started(make) for make in group_starts(problem)],
            constraints=problem.constraints,
            max_iterations=problem.options.max_iterations,
        )
    except ValueError as error:
        raise ModelError(
            f"the model cannot be started: {error}", hint="give starting values with start(), or check fixed values"
        ) from error


@dataclass(frozen=True)
class _Joint:
    """A solution: those of the groups, and the sums of their matrices."""

    problem: GroupProblem
    parts: tuple[OrdinalSolution, ...]
    precision: Precision
    meat: Array | None

    def traces(self) -> tuple[float, float]:
        """Return tr(U Gamma) and tr(U Gamma U Gamma); parameters that groups share give cross terms."""
        assert self.meat is not None
        bread = self.precision.vcov
        inner = bread @ self.meat
        first, second = -float(np.trace(inner)), float((inner * inner.T).sum())
        for part, place, share in zip(self.parts, self.problem.places, self.problem.shares, strict=True):
            free, own = part.own_traces(share * bread[np.ix_(place, place)])
            first += free
            second += own
        return first, second


def _join(problem: GroupProblem, observed: Observed, theta: Array) -> _Joint:
    assert observed.ordinal is not None
    parts = tuple(
        solution_of(part, moments, theta[place])
        for part, moments, place in zip(problem.parts, observed.ordinal, problem.places, strict=True)
    )
    q, shares = problem.table.nfree, problem.shares
    information = add_blocks([part.information for part in parts], problem.places, shares, q)
    precision = invert_information(information, 1, problem.constraints)
    options, meat = problem.options, None
    if options.se == "robust.sem" or options.test != "standard":
        meat = add_blocks([part.meat for part in parts], problem.places, shares, q)
    return _Joint(problem, parts, precision, meat)


def reproduce_ordinal_groups(
    larger: GroupProblem, theta: Array, smaller: GroupProblem, theta0: Array, guess: Array | None = None
) -> Reproduction:
    """Fit the larger model to the thresholds and correlations that the restricted one implies in each group.

    Parameters
    ----------
    larger, smaller : GroupProblem
    theta, theta0 : (q,) arrays
        Their estimates.
    guess : (q,) array, optional
        Parameters of the larger model that probably reproduce them.
    """
    joint = larger.moments.weight
    assert isinstance(joint, Grouped)
    parts = []
    for g, own in enumerate(joint.parts):
        weight = weight_of(larger.parts[g])
        state = weight_of(smaller.parts[g]).layout.state(theta0[smaller.places[g]])
        assert state is not None
        target = state.statistic[statistic_order(larger.parts[g], smaller.parts[g])]
        parts.append(replace(own, moments=replace(own.moments, weight=replace(weight, statistic=target))))
    made = grouped_moments(parts, larger.table.nfree)
    assert made.weight is not None
    size = made.weight.unit
    best = Reproduction(float("inf"), theta, False)
    for start in (theta,) if guess is None else (guess, theta):
        try:
            found = minimize(larger.structure, made, [partial(np.array, start)], constraints=larger.constraints)
        except ValueError:
            continue
        now = Reproduction(larger.nobs * max(found.fmin, 0.0) * size, found.theta, found.converged)
        best = min(best, now, key=lambda r: r.chisq)
        if best.nested:
            break
    return best


def directions_of_groups(
    larger: GroupProblem, theta1: Array, smaller: GroupProblem, theta0: Array, observed: Observed
) -> tuple[Array, Array, Array]:
    """Return A (r0 - r1, q1), the inverse information and the middle of the sandwich of the larger model."""
    at = _join(larger, observed, theta1)
    assert at.meat is not None
    firsts, seconds = [], []
    for g, own in enumerate(at.parts):
        state = weight_of(smaller.parts[g]).layout.state(theta0[smaller.places[g]])
        assert state is not None
        order = statistic_order(larger.parts[g], smaller.parts[g])
        firsts.append(_wide(own.state.slopes.matrix(), larger.places[g], larger.table.nfree))
        seconds.append(_wide(state.slopes.matrix()[order], smaller.places[g], smaller.table.nfree))
    complement = given_up(np.concatenate(firsts), larger, np.concatenate(seconds), smaller)
    return complement, at.precision.vcov, at.meat


def _wide(slopes: Array, place: IntArray, q: int) -> Array:
    out = np.zeros((len(slopes), q))
    out[:, place] = slopes
    return out


def infer_ordinal_groups(
    problem: GroupProblem, observed: Observed, solution: EngineFit, *, level: float = 0.95
) -> OrdinalGroupInference:
    """Compute all inference at a solution of several groups.

    Raises
    ------
    ModelError
        If a group has no positive variances at the solution, or a defined parameter no value.
    """
    table, constraints, options = problem.table, problem.constraints, problem.options
    at = _join(problem, observed, solution.theta)
    n, precision = problem.multiplier, at.precision
    vcov = precision.vcov
    if precision.identified:
        if options.se == "none":
            vcov = np.full_like(vcov, NAN)
        elif options.se == "standard":
            vcov = vcov / n
        else:
            assert at.meat is not None
            vcov = vcov @ at.meat @ vcov / n
    raws: list[RowValues] = []
    lvs: list[RowValues] = []
    alls: list[RowValues] = []
    r2, problems, implied = [], [], []
    admissible = True
    for label, part, own, place in zip(table.groups, problem.parts, at.parts, problem.places, strict=True):
        rows = ordinal_rows(part, own.state)
        std_lv, std_all = scale_rows(part.table, rows.moving, rows.latent, rows.everything)
        fine, found = check_admissible(part.table, rows.structure, rows.implied, rows.raw)
        admissible = admissible and fine
        problems += [f"Group {label}: {text}" for text in found]
        r2.append(explained(part.table, std_all.value))
        implied.append(rows.implied)
        for whole, values in ((raws, rows.raw), (lvs, std_lv), (alls, std_all)):
            whole.append(_widened(values, place, table.nfree))
    trusted, constrained = solution.converged, constraints is not None
    measures, tests = _measures(at, trusted and precision.identified, trusted)
    std_all = _joined(table, alls, undefined_as_nan=True)
    main = GroupInference(
        raw=wald(_joined(table, raws), vcov, level, trusted, constrained=constrained),
        std_lv=_joined(table, lvs, undefined_as_nan=True).value,
        std_all=wald(std_all, vcov, level, trusted, drop_zero=True, constrained=constrained),
        r2=tuple(r2),
        measures=measures,
        implied=tuple(implied),
        tests=tests,
        vcov=vcov,
        identified=precision.identified,
        admissible=admissible,
        warnings=(*solution_warnings(table, solution, precision, constraints), *problems),
    )
    states = [own.state for own in at.parts]
    return OrdinalGroupInference(main, tuple(s.covariance for s in states), tuple(s.thresholds for s in states))


def _levels_tied(problem: GroupProblem) -> bool:
    """Whether thresholds, intercepts or scales are restricted, for which robust indices have no outside truth."""
    rows = [r for r in problem.table.rows if r.free and r.op in ("|", "~1", "~*~")]
    numbers = [r.free - 1 for r in rows]
    if len(set(numbers)) < len(numbers) or any(r.op == "~*~" for r in rows):
        return True
    if problem.constraints is None:
        return False
    # the basis is orthonormal: a parameter that no equation touches has a row of length 1
    moves = np.linalg.norm(problem.constraints.basis[numbers], axis=1)
    return bool((moves < 1.0 - 1e-8).any())


def _measures(at: _Joint, known: bool, converged: bool) -> tuple[dict[str, float], tuple[float, ...]]:
    """Return the measures, and what each group adds to the chi-square."""
    problem, shares = at.problem, at.problem.shares
    options, nobs, groups = problem.options, problem.nobs, len(at.parts)
    names = ordinal_measure_names(options.test)
    count, npar, df = count_ordinal_groups(problem)
    tests = tuple((p.moments.nobs - 1) * max(p.point.value, 0.0) * p.weight.size for p in at.parts)
    if not known:
        out: dict[str, float] = {"npar": npar, "df": df, "ntotal": nobs}
        return {name: out.get(name, NAN) for name in names}, tests if converged else (NAN,) * groups
    base, base_df, first, second, gfi, rmr, srmr = 0.0, 0, 0.0, 0.0, 0.0, 0.0, 0.0
    for part, share in zip(at.parts, shares, strict=True):
        value, freedom, (trace, square) = part.baseline()
        base += (part.moments.nobs - 1) * value
        base_df += freedom
        first += trace
        second += square
        own_rmr, own_srmr = residual_sizes(part)
        gfi += share * part.weight.fit_index(part.point)
        rmr += share * own_rmr
        srmr += share * own_srmr
    totals = Totals(
        nobs, problem.multiplier, groups, count, npar, df, sum(tests), base, base_df, (first, second), gfi, rmr, srmr
    )
    out = ordinal_measures(options, totals, at.traces)
    if has_robust(options.test):
        found: list[LatentFit] | None = None if _levels_tied(problem) else []
        for part, place in zip(at.parts, problem.places, strict=True):
            own = latent_fit(part)
            if own is None or found is None:
                found = None
                break
            found.append(replace(own, core=place[own.core]))
        out |= robust_measures(found, at.precision.vcov, problem.constraints, totals, shares)
    return {name: out.get(name, NAN) for name in names}, tests
