"""Several groups in one fit: the joint problem, its solution and everything that is inferred from it.

Chi-squares of groups add up, and so do traces of U Gamma; informations and the middles of sandwiches are added with
weights n_g / N at the places of the groups' parameters. Definitions are lavaan's (checked against it, see
tests/reference/group): least squares weight the fit functions by (n_g - 1) / N, and the Wishart likelihood reports
chi-square = sum (n_g - 1) F_g where the estimates minimise sum n_g F_g.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from b2b_sem.data.observed import Observed
from b2b_sem.engine.base import Array, EngineFit, FitOptions, IntArray
from b2b_sem.engine.corrected import (
    Ingredients,
    expectation,
    ingredients,
    robust_indices,
    saturated_measures,
    unknown_measures,
)
from b2b_sem.engine.inference import (
    NAN,
    Pieces,
    Tested,
    check_admissible,
    count_df,
    explained,
    indices,
    measure_names,
    solution_warnings,
    wald,
    without_errors,
)
from b2b_sem.engine.native.casewise import Casewise
from b2b_sem.engine.native.constraint import LinearConstraints
from b2b_sem.engine.native.grouped import Grouped, GroupPoint, Part, add_blocks, grouped_moments
from b2b_sem.engine.native.implied import Implied
from b2b_sem.engine.native.information import invert_information
from b2b_sem.engine.native.loss import Point, evaluate
from b2b_sem.engine.native.optimize import minimize
from b2b_sem.engine.native.restricted import minimize_restricted
from b2b_sem.engine.native.restriction import restrict
from b2b_sem.engine.native.start import plain_start, start_values
from b2b_sem.engine.problem import Problem, make_casewise, prepare
from b2b_sem.engine.robust import Rows, rows_of, second_trace
from b2b_sem.engine.scaled import (
    ScaledTest,
    Solution,
    baseline,
    correct,
    free_trace,
    scaled_measures,
    test_kind,
    traces,
)
from b2b_sem.engine.standardize import RowValues, row_values, standardize, with_definitions
from b2b_sem.errors import ModelError, Unsupported
from b2b_sem.measures import fit as fm
from b2b_sem.spec.partable import ParameterTable

__all__ = [
    "GroupInference",
    "GroupProblem",
    "GroupSolution",
    "count_group_df",
    "group_chisq",
    "group_starts",
    "infer_groups",
    "join_rows",
    "local_table",
    "prepare_groups",
    "scaled_group_test",
    "solution_at",
    "solve_groups",
    "standardized_groups",
    "with_parts",
]


@dataclass(frozen=True)
class GroupProblem(Problem):
    """A problem of several groups.

    ``structure`` says how many parameters there are, ``moments`` hold the joint fit function; ``fixed`` is empty.

    Attributes
    ----------
    parts : tuple of Problem
        One for each group, with the parameters of that group only, numbered from 1.
    places : tuple of int arrays
        Joint parameter, from 0, of each parameter of a group.
    cases : tuple of Casewise or None
        Likelihoods of the rows of each group under full information maximum likelihood.
    """

    parts: tuple[Problem, ...] = ()
    places: tuple[IntArray, ...] = ()
    cases: tuple[Casewise, ...] | None = None

    @property
    def multiplier(self) -> int:
        """N, or N - G where each group has the divisor n_g - 1."""
        return self.nobs if self.options.likelihood == "normal" else self.nobs - len(self.parts)

    def values(self, theta: Array) -> RowValues:
        """Return the value of every row and definition at `theta`, with derivatives."""
        raws = []
        for part, place in zip(self.parts, self.places, strict=True):
            raws.append(_widened(row_values(part.table, theta[place], part.fixed), place, len(theta)))
        return _joined(self.table, raws)

    @property
    def shares(self) -> list[float]:
        """n_g / N."""
        return [part.nobs / self.nobs for part in self.parts]


def local_table(table: ParameterTable, group: int) -> tuple[ParameterTable, IntArray]:
    """Return the table of a group with parameters of its own, numbered from 1, and their joint places from 0."""
    part = table.part(group)
    numbers = sorted({r.free for r in part.rows if r.free})
    own = {number: k for k, number in enumerate(numbers, 1)}
    rows = tuple(replace(r, free=own[r.free]) if r.free else r for r in part.rows)
    # a group with a model of its own may lack a latent variable of the others
    used = {name for r in rows for name in (r.lhs, r.rhs)}
    latents = tuple(name for name in part.latents if name in used)
    return replace(part, rows=rows, latents=latents, total=None), np.array(numbers, dtype=np.intp) - 1


def prepare_groups(
    table: ParameterTable, observed: Observed, options: FitOptions, constraints: LinearConstraints | None
) -> GroupProblem:
    """Compile the table of several groups and the moments they are fitted to.

    Raises
    ------
    DataError
        As :func:`~b2b_sem.engine.problem.prepare`.
    """
    parts, places, cases = [], [], []
    for g in range(1, len(table.groups) + 1):
        local, place = local_table(table, g)
        own = observed.part(g)
        parts.append(prepare(local, own, options, None))
        places.append(place)
        cases.append(make_casewise(local, own))
    nobs, shares = observed.nobs, []
    for part in parts:
        n = part.nobs if options.estimator == "ML" else part.nobs - 1
        shares.append(n / nobs)
    joint = grouped_moments(
        [Part(p.structure, p.moments, place, w) for p, place, w in zip(parts, places, shares, strict=True)], table.nfree
    )
    structure = replace(parts[0].structure, q=table.nfree)
    found = tuple(c for c in cases if c is not None)
    return GroupProblem(
        table,
        structure,
        joint,
        {},
        nobs,
        options,
        constraints,
        restrict(table),
        tuple(parts),
        tuple(places),
        found or None,
    )


def solve_groups(problem: GroupProblem, engine: str) -> EngineFit:
    """Minimise the joint fit function.

    Raises
    ------
    Unsupported
        If semopy is asked for.
    ModelError
        If no starting value gives positive definite covariance matrices.
    """
    if engine == "semopy":
        raise Unsupported("the semopy engine cannot fit several groups in one model", hint="use engine='native'")
    starts = group_starts(problem)
    weight = problem.moments.weight
    assert isinstance(weight, Grouped)
    rescue: int | None = None
    try:
        if problem.restrictions is not None:
            return minimize_restricted(
                problem.structure,
                problem.moments,
                starts,
                problem.restrictions,
                max_iterations=problem.options.max_iterations,
            )
        if any(isinstance(part.moments.weight, Casewise) for part in weight.parts):
            starts = [*_complete_start(problem, weight, starts), *starts]
            rescue = 1
        return minimize(
            problem.structure,
            problem.moments,
            starts,
            constraints=problem.constraints,
            max_iterations=problem.options.max_iterations,
            rescue=rescue,
        )
    except ValueError as error:
        raise ModelError(
            f"the model cannot be started: {error}", hint="give starting values with start(), or check fixed values"
        ) from error


def _complete_start(
    problem: GroupProblem, weight: Grouped, starts: list[Callable[[], Array]]
) -> list[Callable[[], Array]]:
    """Return the estimates of complete data with the moments of the rows with holes: close to the solution."""
    parts = [replace(part, moments=replace(part.moments, weight=None)) for part in weight.parts]
    try:
        found = minimize(
            problem.structure, grouped_moments(parts, weight.q), starts[:2], constraints=problem.constraints
        )
    except ValueError:
        return []
    return [lambda: found.theta] if found.converged else []


def group_starts(problem: GroupProblem) -> list[Callable[[], Array]]:
    """Starting values of each group by itself; the mean where groups share a parameter."""

    def joined(make: Callable[[Problem], Array]) -> Array:
        q = problem.table.nfree
        total, count = np.zeros(q), np.zeros(q)
        for part, place in zip(problem.parts, problem.places, strict=True):
            total[place] += make(part)
            count[place] += 1.0
        return total / count

    def careful(part: Problem) -> Array:
        return start_values(part.table, part.moments.cov, part.moments.mean, part.fixed)

    def plain(part: Problem) -> Array:
        return plain_start(part.table, part.moments.cov, part.moments.mean)

    def perturbed(seed: int) -> Array:
        return joined(plain) * np.random.default_rng(seed).uniform(0.6, 1.4, size=problem.table.nfree)

    return [lambda: joined(careful), lambda: joined(plain), lambda: perturbed(1), lambda: perturbed(2)]


@dataclass(frozen=True)
class GroupSolution(Solution):
    """A solution of several groups; what it has in common with one group is inherited.

    Attributes
    ----------
    parts : tuple of Solution
    places : tuple of int arrays
    shares : tuple of float
        n_g / N.
    """

    parts: tuple[Solution, ...] = ()
    places: tuple[IntArray, ...] = ()
    shares: tuple[float, ...] = ()

    def add(self, blocks: list[Array], weights: tuple[float, ...] | None = None) -> Array:
        """Return the sum of the groups' matrices, weighted by n_g / N, at the places of their parameters."""
        return add_blocks(blocks, self.places, self.shares if weights is None else weights, self.structure.q)

    @cached_property
    def expected(self) -> Array:
        """Expected information of one observation."""
        return self.add([part.expected for part in self.parts])

    @cached_property
    def metric(self) -> Array:
        """Information that tells whether the parameters are determined."""
        if all(part.point.weight is None for part in self.parts):
            return self.expected
        return self.add([part.metric for part in self.parts])

    @cached_property
    def score_meat(self) -> Array:
        """Cross-products of the scores of one observation."""
        return self.add([part.score_meat for part in self.parts])

    @cached_property
    def moment_meat(self) -> Array:
        """D'V Gamma V D."""
        return self.add([part.moment_meat for part in self.parts])

    def information(self, kind: str) -> Array:
        """Return the information of one observation: expected, observed, h1 (without structure), first.order."""
        return self.add([part.information(kind) for part in self.parts])


@dataclass(frozen=True)
class GroupInference:
    """All numbers of a fit of several groups.

    Attributes
    ----------
    raw, std_all : Tested
        In the order of the rows of the table and its definitions.
    std_lv : (R + D,) array
    r2 : tuple of dict
        One for each group; so are `implied` and `tests`.
    measures : dict
    implied : tuple of Implied
    tests : tuple of float
        What each group adds to the chi-square.
    vcov : (q, q) array
    identified, admissible : bool
    warnings : tuple of str
    """

    raw: Tested
    std_lv: Array
    std_all: Tested
    r2: tuple[dict[str, float], ...]
    measures: dict[str, float]
    implied: tuple[Implied, ...]
    tests: tuple[float, ...]
    vcov: Array
    identified: bool
    admissible: bool
    warnings: tuple[str, ...]


def infer_groups(
    problem: GroupProblem, observed: Observed, solution: EngineFit, *, level: float = 0.95
) -> GroupInference:
    """Compute all inference at a solution of several groups.

    Raises
    ------
    ModelError
        If a group has no positive definite covariance matrix at the solution, or a defined parameter no value.
    """
    table, constraints = problem.table, problem.constraints
    at = solution_at(problem, observed, solution.theta)
    n = problem.multiplier
    precision = invert_information(at.metric, n, constraints)
    options = problem.options
    done = options.se == "standard" and options.information == "expected" and at.metric is at.expected
    vcov = at.vcov(n) if precision.identified and not done else precision.vcov
    implied = tuple(own.point.implied for own in at.parts)
    found = [part_rows(part, own, solution.theta[place]) for part, own, place in _each(problem, implied)]
    r2: list[dict[str, float]] = []
    problems: list[str] = []
    admissible = True
    for label, part, own, rows in zip(table.groups, problem.parts, implied, found, strict=True):
        fine, bad = check_admissible(part.table, part.structure, own, rows[0])
        admissible = admissible and fine
        problems += [f"Group {label}: {text}" for text in bad]
        r2.append(explained(part.table, rows[2].value))
    raw, std_lv, std_all = join_rows(problem, found)
    trusted, constrained = solution.converged, constraints is not None
    measures, tests = _measures(problem, at, trusted)
    return GroupInference(
        raw=wald(raw, vcov, level, trusted, constrained=constrained),
        std_lv=std_lv.value,
        std_all=wald(std_all, vcov, level, trusted, drop_zero=True, constrained=constrained),
        r2=tuple(r2),
        measures=measures,
        implied=implied,
        tests=tests,
        vcov=vcov,
        identified=precision.identified,
        admissible=admissible,
        warnings=(
            *solution_warnings(table, solution, precision, constraints),
            *without_errors(at, precision, vcov),
            *problems,
        ),
    )


def part_rows(part: Problem, implied: Implied, theta: Array) -> tuple[RowValues, RowValues, RowValues]:
    """Return the values of the rows of one group at its own parameters: raw, ``std_lv`` and ``std_all``."""
    raw = row_values(part.table, theta, part.fixed)
    return raw, *standardize(part.table, part.structure, implied, raw)


def standardized_groups(problem: GroupProblem, implied: Sequence[Implied], theta: Array) -> RowValues:
    """Return the standardized values (``std_all``) of all rows and definitions, with derivatives.

    Parameters
    ----------
    problem : GroupProblem
    implied : sequence of Implied
        Of each group, at `theta`.
    theta : (q,) array
    """
    return join_rows(problem, [part_rows(p, own, theta[place]) for p, own, place in _each(problem, implied)])[2]


def _each(problem: GroupProblem, implied: Sequence[Implied]) -> Iterable[tuple[Problem, Implied, IntArray]]:
    return zip(problem.parts, implied, problem.places, strict=True)


def join_rows(
    problem: GroupProblem, found: Sequence[tuple[RowValues, RowValues, RowValues]]
) -> tuple[RowValues, RowValues, RowValues]:
    """Return values of the rows of all groups, and of the definitions, by all joint parameters."""
    q = problem.table.nfree
    wide = [[_widened(v, place, q) for v in rows] for rows, place in zip(found, problem.places, strict=True)]
    raw, std_lv, std_all = (
        _joined(problem.table, [rows[k] for rows in wide], undefined_as_nan=k > 0) for k in range(3)
    )
    return raw, std_lv, std_all


def with_parts(problem: GroupProblem, parts: Sequence[Problem]) -> GroupProblem:
    """Return the problem with other moments: those of `parts`, which have the same rows and parameters."""
    old = problem.moments.weight
    assert isinstance(old, Grouped)
    joint = [replace(own, structure=p.structure, moments=p.moments) for own, p in zip(old.parts, parts, strict=True)]
    return replace(problem, parts=tuple(parts), moments=grouped_moments(joint, problem.table.nfree))


def solution_at(problem: GroupProblem, observed: Observed, theta: Array) -> GroupSolution:
    """Return everything that is inferred from, at given values of the parameters."""
    options = problem.options
    point = evaluate(problem.structure, problem.moments, theta)
    if point is None:
        raise ModelError("the covariance matrix implied at the solution is not positive definite")
    assert isinstance(point, GroupPoint)
    parts = []
    for g, (part, own) in enumerate(zip(problem.parts, point.points, strict=True), 1):
        rows: Rows | None = None
        if options.needs_rows and not isinstance(part.moments.weight, Casewise):
            rows = rows_of(part.table, observed.part(g))
        parts.append(Solution(part.structure, part.moments, own, options, rows, None))
    return GroupSolution(
        problem.structure,
        problem.moments,
        point,
        options,
        None,
        problem.constraints,
        parts=tuple(parts),
        places=problem.places,
        shares=tuple(problem.shares),
    )


def _widened(values: RowValues, place: IntArray, q: int) -> RowValues:
    """Return values with derivatives by all joint parameters."""
    wide = np.zeros((len(values.value), q))
    wide[:, place] = values.jacobian
    return RowValues(values.value, wide)


def _joined(table: ParameterTable, parts: list[RowValues], *, undefined_as_nan: bool = False) -> RowValues:
    """Return the rows of all groups, then the definitions at their values."""
    value, rows = np.concatenate([p.value for p in parts]), np.concatenate([p.jacobian for p in parts])
    return with_definitions(table, value, rows, undefined_as_nan=undefined_as_nan)


def count_group_df(problem: GroupProblem) -> tuple[int, int, int]:
    """Return (moments that count, free parameters, degrees of freedom) of all groups together."""
    moments = sum(count_df(part.table, None)[0] for part in problem.parts)
    rank = 0 if problem.constraints is None else problem.constraints.rank
    free = problem.table.nfree - rank
    return moments, free, moments - free


def _measures(problem: GroupProblem, at: GroupSolution, trusted: bool) -> tuple[dict[str, float], tuple[float, ...]]:
    """Return the measures, and what each group adds to the chi-square."""
    options, nobs, n, groups = problem.options, problem.nobs, problem.multiplier, len(problem.parts)
    names = measure_names(options, problem.cases is not None)
    _, npar, df = count_group_df(problem)
    out: dict[str, float] = {"npar": npar, "df": df, "ntotal": nobs}
    if not trusted:
        return {name: out.get(name, NAN) for name in names}, (NAN,) * groups
    tests = group_chisq(problem, at)
    value, logl, unrestricted = 0.0, 0.0, 0.0
    base, base_df, origins = 0.0, 0, []
    gfi = rmr = srmr = 0.0
    all_moments = 0
    for part, own, share in zip(problem.parts, at.parts, at.shares, strict=True):
        times = part.nobs if options.likelihood == "normal" else part.nobs - 1
        least = max(own.point.value, 0.0) * own.unit
        value += (share if options.estimator == "ML" else times / nobs) * least
        origin, base_value, freedom = baseline(part.table, part.moments, options, own.rows)
        base += times * max(base_value, 0.0)
        base_df += freedom
        origins.append(origin)
        p = len(part.table.observed)
        all_moments += p * (p + 1) // 2 + (p if part.table.meanstructure else 0)
        own_logl, own_unrestricted, own_gfi = _likelihood(part, own)
        logl += own_logl
        unrestricted += own_unrestricted
        gfi += share * own_gfi
        four = _residual_moments(part, own.point)
        rmr += share * fm.rmr(*four)
        srmr += share * fm.srmr(*four)
    chisq = sum(tests)
    pieces = Pieces(value, chisq, df, base, base_df, logl, unrestricted, npar, nobs, n, groups)
    out |= indices(options, pieces, rmr, srmr, gfi, all_moments)
    if options.test != "standard":
        test = scaled_group_test(at, chisq, df)
        null = _base_test(origins, base, base_df)
        out |= scaled_measures(test, null, chisq, df, base, base_df, n, options.test, groups)
    if problem.cases is not None:
        out |= _corrected(problem, at, origins, df, base_df)
    return {name: out[name] for name in names}, tests


def group_chisq(problem: GroupProblem, at: GroupSolution) -> tuple[float, ...]:
    """Return what each group adds to the chi-square."""
    less = 0 if problem.options.likelihood == "normal" else 1
    return tuple(
        (part.nobs - less) * max(own.point.value, 0.0) * own.unit
        for part, own in zip(problem.parts, at.parts, strict=True)
    )


def _residual_moments(part: Problem, point: Point) -> tuple[Array, Array, Array | None, Array | None]:
    mean = part.moments.mean if part.table.meanstructure else None
    return part.moments.cov, point.implied.sigma, mean, point.implied.mu


def _likelihood(part: Problem, own: Solution) -> tuple[float, float, float]:
    """Return log-likelihood, that without a model, and the goodness of fit index of a group."""
    moments, implied, weight = part.moments, own.point.implied, part.moments.weight
    if isinstance(weight, Casewise):
        return weight.log_likelihood(own.point.value), weight.log_likelihood(0.0), weight.gfi(moments, implied)
    if weight is not None:
        return NAN, NAN, weight.gfi(moments, implied)
    cov, sigma, mean, mu = _residual_moments(part, own.point)
    given = [part.table.observed.index(v) for v in part.table.exogenous] if part.table.fixed_x else None
    return (
        fm.log_likelihood(cov, mean, sigma, mu, part.nobs, given=given),
        fm.log_likelihood(cov, None, cov, None, part.nobs, given=given),
        fm.gfi(cov, sigma, mean, mu, given=given),
    )


def scaled_group_test(at: GroupSolution, chisq: float, df: int) -> ScaledTest:
    """Return the scaled test of all groups together.

    Traces of V Gamma add up over groups. With E the inverse of the joint information and M the joint middle, what the
    parameters take away is tr(E M); tr(U Gamma U Gamma) of each group with its part of E counts the last term,
    tr(E M E M), group by group, where it belongs to all groups at once.
    """
    if df == 0:
        return ScaledTest(chisq, 0, NAN, NAN, NAN)
    options = at.options
    free = sum(free_trace(part) for part in at.parts)
    if options.test == "yuan.bentler.mplus":
        trace = free - float((at.bread(test_kind(options)) * at.score_meat).sum())
        return correct(options.test, chisq, df, trace, NAN)
    bread = at.bread("expected")
    product = bread @ at.moment_meat
    trace = free - float(np.trace(product))
    second = NAN
    if options.test != "satorra.bentler":
        second = float((product * product.T).sum())
        for part, place, share in zip(at.parts, at.places, at.shares, strict=True):
            assert part.rows is not None
            own = share * bread[np.ix_(place, place)]
            inner = own @ part.moment_meat
            second += second_trace(part.structure, part.point, part.rows, own) - float((inner * inner.T).sum())
    return correct(options.test, chisq, df, trace, second)


def _base_test(origins: list[Solution], chisq: float, df: int) -> ScaledTest:
    """Return the scaled test of the baseline model, which shares no parameter between groups."""
    if df == 0:
        return ScaledTest(chisq, 0, NAN, NAN, NAN)
    pairs = [traces(origin) for origin in origins]
    return correct(origins[0].options.test, chisq, df, sum(p[0] for p in pairs), sum(p[1] for p in pairs))


def _corrected(
    problem: GroupProblem, at: GroupSolution, origins: list[Solution], df: int, base_df: int
) -> dict[str, float]:
    """Return the ``*_robust`` measures of full information maximum likelihood."""
    assert problem.cases is not None
    if at.options.information == "first.order":
        return unknown_measures()
    if df == 0:
        return saturated_measures()
    groups = range(len(at.parts))
    sizes = [part.nobs for part in problem.parts]
    own = [ingredients(at.parts[g], problem.cases[g], sizes[g]) for g in groups]
    joint = Ingredients(
        sum(i.chisq for i in own),
        sum(i.level for i in own),
        *(at.add([getattr(i, name) for i in own]) for name in ("inner", "reach", "pushed", "middle")),
    )
    found = expectation(joint, at.options, at.constraints)
    # parameters of the baseline model belong to one group each: expectations add up
    null = [expectation(ingredients(origins[g], problem.cases[g], sizes[g]), at.options, None) for g in groups]
    total = type(found)(sum(d.chisq for d in null), sum(d.expected for d in null))
    return robust_indices(found, total, problem.nobs, df, base_df, len(sizes))
