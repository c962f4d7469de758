"""Models with latent products in several groups: the joint likelihood, its maximum and what is inferred from it.

The likelihood is the product of those of the groups, each an integral with points of its own
(:mod:`b2b_sem.engine.native.mixture`); parameters may be equal across groups.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from b2b_sem.data.observed import Observed
from b2b_sem.engine.base import Array, EngineFit, FitOptions, IntArray
from b2b_sem.engine.group import (
    GroupInference,
    GroupProblem,
    join_rows,
    local_table,
    prepare_groups,
    solve_groups,
    with_parts,
)
from b2b_sem.engine.inference import NAN, check_admissible, explained, solution_warnings, wald
from b2b_sem.engine.native.constraint import LinearConstraints
from b2b_sem.engine.native.grouped import GroupPoint, Part, add_blocks, grouped_moments
from b2b_sem.engine.native.information import invert_information
from b2b_sem.engine.native.loss import Point, evaluate
from b2b_sem.engine.native.mixture import Mixture
from b2b_sem.engine.native.quasi import Quasi
from b2b_sem.engine.product import cross_products, sandwich, scaled_rows
from b2b_sem.engine.product_base import PreparedProducts, begin, plain_options
from b2b_sem.engine.product_measure import find_likelihoods, product_measures
from b2b_sem.engine.product_problem import ProductProblem, choose_given, given_variables, prepare_products
from b2b_sem.engine.product_search import EXACT, search
from b2b_sem.engine.standardize import RowValues, row_values
from b2b_sem.errors import ModelError, Unsupported
from b2b_sem.spec.partable import ParameterTable
from b2b_sem.spec.product import product_rows

__all__ = [
    "GroupEvidence",
    "GroupProductFit",
    "GroupProducts",
    "infer_product_groups",
    "prepare_product_groups",
    "solve_product_groups",
]


@dataclass(frozen=True)
class GroupProducts:
    """A model with products in several groups, and the same model without.

    Attributes
    ----------
    problem : GroupProblem
        The moments of each part have a :class:`Mixture` as their weight.
    linear : GroupProblem
        Without products; its parameters are the first ones.
    solution : EngineFit
        Of the model without products.
    parts : tuple of PreparedProducts
        One for each group, with parameters of its own; their `linear` is compiled, not to be solved.
    """

    problem: GroupProblem
    linear: GroupProblem
    solution: EngineFit
    parts: tuple[PreparedProducts, ...]

    @property
    def given(self) -> tuple[str, ...]:
        """The variables that are integrated out in any group."""
        return tuple(dict.fromkeys(v for part in self.parts for v in part.given))

    def with_points(self, parts: Sequence[PreparedProducts]) -> GroupProducts:
        """Return the problem with other points."""
        return replace(self, parts=tuple(parts), problem=with_parts(self.problem, [p.problem for p in parts]))

    def split(self, theta: Array) -> list[tuple[PreparedProducts, Array]]:
        """Return each group with its parameters."""
        return [(part, theta[place]) for part, place in zip(self.parts, self.problem.places, strict=True)]


@dataclass(frozen=True)
class GroupProductFit:
    """A solution: as :class:`~b2b_sem.engine.product.ProductFit`; `points` are those of the group with most."""

    problem: GroupProducts
    solution: EngineFit
    linear: EngineFit
    points: int
    error: float


def prepare_product_groups(
    table: ParameterTable,
    linear: ParameterTable,
    observed: Observed,
    options: FitOptions,
    constraints: LinearConstraints | None,
    prepare_part: Callable[[ParameterTable, ParameterTable, Observed], PreparedProducts] | None = None,
) -> GroupProducts:
    """Compile a table of several groups with products.

    Parameters
    ----------
    table, linear : ParameterTable
        With products, and without: its parameters are the first ones of the former.
    observed : Observed
        With the rows.
    options : FitOptions
    constraints : LinearConstraints or None
    prepare_part : callable, optional
        Compiles one group, given its table with products, the one without, and its rows; by default for LMS.
    """
    base = prepare_groups(linear, observed, plain_options(options, observed), None)
    solution = solve_groups(base, "native")
    parts: list[PreparedProducts] = []
    places = []
    for g in range(1, len(table.groups) + 1):
        local, place = local_table(table, g)
        # numbered as the whole: a product may share its label with a path of another group
        products = product_rows(local)
        without = replace(local, rows=tuple(r for r in local.rows if r not in products), total=local.nfree)
        places.append(place)
        if prepare_part is not None:
            parts.append(prepare_part(local, without, observed.part(g)))
            continue
        # without a product of its own a group is integrated like the others, which changes nothing
        own = solution.theta[base.places[g - 1]]
        given = choose_given(local, base.parts[g - 1], own) if products else _given_elsewhere(table, local, g)
        parts.append(prepare_products(local, without, observed.part(g), options, None, given=given))
    joint = [
        Part(p.problem.structure, p.problem.moments, place, p.problem.nobs / observed.nobs)
        for p, place in zip(parts, places, strict=True)
    ]
    problem = GroupProblem(
        table,
        replace(parts[0].problem.structure, q=table.nfree),
        grouped_moments(joint, table.nfree),
        {},
        observed.nobs,
        options,
        constraints,
        None,
        tuple(p.problem for p in parts),
        tuple(places),
    )
    return GroupProducts(problem, base, solution, tuple(parts))


def _given_elsewhere(table: ParameterTable, local: ParameterTable, group: int) -> tuple[str, ...]:
    """Return what to integrate out of a group without products: what another group does.

    Raises
    ------
    Unsupported
        If the group does not have these latent variables.
    """
    other = next(r.group for r in product_rows(table) if r.group != group)
    given = given_variables(local_table(table, other)[0])
    if not set(given) <= set(local.latents):
        raise Unsupported(
            f"group {table.groups[group - 1]} has neither the products of the others nor their latent variables",
            hint="give its block the same latent variables, or fit it by itself",
        )
    return given


def solve_product_groups(problem: GroupProducts) -> GroupProductFit:
    """Maximise the joint likelihood.

    Raises
    ------
    ModelError
        If the model without products has no start, or no starting value has a likelihood.
    """
    linear = problem.solution
    theta = begin(problem.problem.table, linear)

    def join(parts: Sequence[ProductProblem]) -> GroupProblem:
        return problem.with_points(parts).problem

    integrals = [part for part in problem.parts if isinstance(part, ProductProblem)]
    found = search(integrals, problem.problem.places, join, theta)
    return GroupProductFit(problem.with_points(found.parts), found.solution, linear, found.points, found.error)


@dataclass(frozen=True)
class GroupEvidence:
    """Information and cross-products of scores of one respondent, of all groups together, at a point."""

    problem: GroupProblem
    point: GroupPoint
    clusters: tuple[IntArray, ...] | None

    def _add(self, blocks: list[Array]) -> Array:
        problem = self.problem
        return add_blocks(blocks, problem.places, problem.shares, problem.table.nfree)

    def _each(self) -> list[tuple[Mixture | Quasi, Point]]:
        out = []
        for point in self.point.points:
            assert isinstance(point.weight, Mixture | Quasi)
            out.append((point.weight, point))
        return out

    @cached_property
    def observed(self) -> Array:
        """Observed information, (q, q)."""
        return self._add([m.expected_information(m.structure, at) for m, at in self._each()])

    @cached_property
    def first_order(self) -> Array:
        """Mean cross-product of the scores, (q, q)."""
        return self._add([m.first_order(at) for m, at in self._each()])

    @cached_property
    def middle(self) -> Array:
        """The same with sums within clusters, each group by itself."""
        codes = self.clusters or (None,) * len(self.point.points)
        pairs = zip(self._each(), codes, strict=True)
        return self._add([cross_products(m.scores(at), own) / m.nobs for (m, at), own in pairs])


def infer_product_groups(fit: GroupProductFit, observed: Observed, *, level: float = 0.95) -> GroupInference:
    """Compute all inference at a solution: as :func:`~b2b_sem.engine.product.infer_products`.

    Raises
    ------
    ModelError
        If the solution has no likelihood.
    """
    problem, solution = fit.problem, fit.solution
    inner = problem.problem
    table, options, constraints, n = inner.table, inner.options, inner.constraints, inner.nobs
    point = evaluate(inner.structure, inner.moments, solution.theta)
    if point is None:
        raise ModelError("a covariance matrix at the solution is not positive definite")
    assert isinstance(point, GroupPoint)
    evidence = GroupEvidence(inner, point, observed.clusters)
    information = evidence.first_order if options.information == "first.order" else evidence.observed
    precision = invert_information(information, n, constraints)
    robust = options.se.startswith("robust") and precision.identified
    middle = evidence.middle if robust else None
    vcov = sandwich(precision, middle, options, n)
    found: list[tuple[RowValues, RowValues, RowValues]] = []
    implied, r2, problems, admissible = [], [], [], True
    for label, (part, own) in zip(table.groups, problem.split(solution.theta), strict=True):
        raw = row_values(part.problem.table, own, part.problem.fixed)
        moments = part.mixture.whole_moments(own)
        structure = replace(part.problem.structure, observed=table.observed)
        fine, bad = check_admissible(part.problem.table, structure, moments, raw)
        admissible = admissible and fine
        problems += [f"Group {label}: {text}" for text in bad]
        found.append((raw, *scaled_rows(part, own, raw)))
        r2.append(explained(part.problem.table, found[-1][2].value))
        implied.append(moments)
    raw, std_lv, std_all = join_rows(inner, found)
    trusted, constrained = solution.converged, constraints is not None
    warnings = [*solution_warnings(table, solution, precision, constraints), *problems]
    if not abs(fit.error) <= EXACT:
        warnings.append(
            f"The integrals over {', '.join(problem.given)} are not exact: the log-likelihood changes by "
            f"{fit.error:.2g} with more points. Do not rely on small differences."
        )
    likelihoods = find_likelihoods(inner, problem.linear.table, solution, fit.linear, information, middle)
    return GroupInference(
        raw=wald(raw, vcov, level, trusted, constrained=constrained),
        std_lv=std_lv.value,
        std_all=wald(std_all, vcov, level, trusted, drop_zero=True, constrained=constrained),
        r2=tuple(r2),
        measures=product_measures(inner.parts, implied, likelihoods, converged=trusted),
        implied=tuple(implied),
        tests=(NAN,) * len(table.groups),
        vcov=vcov,
        identified=precision.identified and (options.se == "none" or bool(np.isfinite(vcov).all())),
        admissible=admissible,
        warnings=tuple(warnings),
    )
