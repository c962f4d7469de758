"""Models with latent products: the compiled problem, and what its integral is over."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from b2b_sem.data.observed import Observed
from b2b_sem.engine.base import Array, EngineFit, FitOptions
from b2b_sem.engine.native.constraint import LinearConstraints
from b2b_sem.engine.native.implied import implied_moments
from b2b_sem.engine.native.mixture import Grid, Mixture, extend_structure, make_mixture
from b2b_sem.engine.native.product import Product
from b2b_sem.engine.problem import Problem, prepare, solve
from b2b_sem.engine.product_base import patterns_of, plain_options
from b2b_sem.errors import Unsupported
from b2b_sem.spec.partable import ParameterTable
from b2b_sem.spec.product import factors_of, product_rows

__all__ = ["ProductProblem", "choose_given", "given_variables", "prepare_products"]


@dataclass(frozen=True)
class ProductProblem:
    """A model with products, and the same model without.

    Attributes
    ----------
    problem : Problem
        With a :class:`Mixture` as the weight of its moments; its structure is that of the linear models of all points.
    linear : Problem
        Without products.
    given : tuple of str
        The variables that are integrated out.
    solution : EngineFit or None
        Of `linear`; None for a part of several groups, which are solved together.
    """

    problem: Problem
    linear: Problem
    given: tuple[str, ...]
    solution: EngineFit | None = None

    @property
    def mixture(self) -> Mixture:
        """The likelihood."""
        weight = self.problem.moments.weight
        assert isinstance(weight, Mixture)
        return weight

    def with_grid(self, grid: Grid) -> ProductProblem:
        """Return the problem with other points."""
        return self.with_likelihood(grid=grid)

    def with_likelihood(self, **changes: Any) -> ProductProblem:
        """Return the problem with a changed likelihood."""
        moments = replace(self.problem.moments, weight=replace(self.mixture, **changes))
        return replace(self, problem=replace(self.problem, moments=moments))


def given_variables(table: ParameterTable) -> tuple[str, ...]:
    """Return the fewest latent variables of which every product has one; of several such sets the first.

    Raises
    ------
    Unsupported
        If a product needs a latent variable that equals an item without error.
    """
    return _covers(table)[0]


def _covers(table: ParameterTable) -> list[tuple[str, ...]]:
    """Return all sets of the fewest latent variables of which every product has one; exogenous variables first."""
    pairs = [factors_of(r) for r in product_rows(table)]
    exact = {r.lhs for r in table.rows if r.op == "~~" and r.lhs == r.rhs and not r.free and r.value == 0.0}
    sure = {r.lhs for r in table.rows if r.op == "=~" and r.rhs in exact and r.rhs in table.observed}
    endogenous = {r.lhs for r in table.rows if r.op == "~"} | {r.rhs for r in table.rows if r.op == "=~"}
    named = dict.fromkeys(v for pair in pairs for v in pair if v in table.latents and v not in sure)
    candidates = sorted(named, key=lambda v: v in endogenous)
    for size in range(1, len(candidates) + 1):
        found = [c for c in combinations(candidates, size) if all(set(pair) & set(c) for pair in pairs)]
        if found:
            return found
    names = ", ".join(":".join(p) for p in pairs if not set(p) & set(candidates))
    raise Unsupported(
        f"the product {names} has no latent variable with measurement error",
        hint="measure one of its factors by several items, or make the product a column of the data",
    )


def choose_given(table: ParameterTable, base: Problem, theta: Array) -> tuple[str, ...]:
    """Return the variables to integrate over: those the answers say least about, as they need the fewest points.

    `base` is the model without products, `theta` its solution. The first of the sets of :func:`given_variables` that
    will do, unless another one is clearly better. A variable that the model without products gives no posterior
    variance at all (a Heywood case) is the last choice.
    """
    covers = _covers(table)
    if len(covers) == 1:
        return covers[0]
    structure = base.structure
    names = sorted({v for c in covers for v in c})
    places = tuple(structure.eta.index(v) for v in names)
    extended = extend_structure(structure, (), places)
    implied = implied_moments(extended, theta)
    if implied is None:
        return covers[0]
    p = structure.p
    across = implied.sigma[p:, :p]
    prior = np.diag(implied.sigma)[p:]
    left = prior - (np.linalg.solve(implied.sigma[:p, :p], across.T).T * across).sum(axis=1)
    share = dict(zip(names, np.sqrt(np.maximum(left / prior, 0.0)).tolist(), strict=True))
    smallest = [min(share[v] for v in c) for c in covers]
    return next(c for c, s in zip(covers, smallest, strict=True) if s >= 0.85 * max(smallest))


def prepare_products(
    table: ParameterTable,
    linear: ParameterTable,
    observed: Observed,
    options: FitOptions,
    constraints: LinearConstraints | None,
    given: tuple[str, ...] | None = None,
) -> ProductProblem:
    """Compile a table with products.

    Parameters
    ----------
    table, linear : ParameterTable
        With products, and without: its parameters are the first ones of the former.
    observed : Observed
        With the rows.
    options : FitOptions
    constraints : LinearConstraints or None
    given : tuple of str, optional
        The variables that are to be integrated out. By default they are chosen with the solution of the model without
        products, which is kept.
    """
    base = prepare(linear, observed, plain_options(options, observed), None)
    structure = replace(base.structure, q=table.nfree)
    place = {v: i for i, v in enumerate(structure.eta)}
    solution = None
    if given is None:
        solution, _ = solve(base, "native")
        given = choose_given(table, base, solution.theta)
    products = []
    for row in product_rows(table):
        first, second = factors_of(row)
        known, other = (first, second) if first in given else (second, first)
        number = row.free - 1 if row.free else None
        products.append(Product(number, row.value or 0.0, place[row.lhs], place[known], place[other]))
    start = Grid(np.zeros((1, len(given))), 1.0)
    rows, places = patterns_of(table, observed), tuple(place[v] for v in given)
    mixture = make_mixture(structure, tuple(products), places, rows, start)
    moments = replace(base.moments, weight=mixture)
    problem = Problem(table, mixture.structure, moments, base.fixed, observed.nobs, options, constraints)
    return ProductProblem(problem, base, given, solution)
