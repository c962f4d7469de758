"""Models with latent products by quasi-maximum likelihood: which items are transformed how, and the solution.

See :mod:`b2b_sem.engine.native.quasi` for the likelihood; inference is that of :mod:`b2b_sem.engine.product`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from b2b_sem.data.observed import Observed
from b2b_sem.engine.base import FitOptions
from b2b_sem.engine.native.constraint import LinearConstraints
from b2b_sem.engine.native.product import Product
from b2b_sem.engine.native.quasi import Quasi, make_quasi
from b2b_sem.engine.problem import Problem, prepare, solve
from b2b_sem.engine.product import ProductFit
from b2b_sem.engine.product_base import begin, patterns_of, plain_options
from b2b_sem.engine.product_group import GroupProductFit, GroupProducts, prepare_product_groups
from b2b_sem.engine.product_search import maximize
from b2b_sem.errors import Unsupported
from b2b_sem.spec.partable import ParameterTable
from b2b_sem.spec.product import factors_of, product_rows

__all__ = [
    "QuasiProblem",
    "prepare_quasi",
    "prepare_quasi_groups",
    "solve_quasi",
    "solve_quasi_groups",
    "transformed_variables",
]


@dataclass(frozen=True)
class QuasiProblem:
    """A model with products and the same model without.

    Attributes
    ----------
    problem : Problem
        With a :class:`Quasi` as the weight of its moments.
    linear : Problem
        Without products.
    scaling : tuple of str
        The scaling items of complete rows.
    """

    problem: Problem
    linear: Problem
    scaling: tuple[str, ...]

    @property
    def given(self) -> tuple[str, ...]:
        """Nothing is integrated out."""
        return ()

    @property
    def mixture(self) -> Quasi:
        """The likelihood."""
        weight = self.problem.moments.weight
        assert isinstance(weight, Quasi)
        return weight


def transformed_variables(table: ParameterTable) -> tuple[str, ...]:
    """Return the variables whose items are transformed, in the order of the table.

    These are the outcomes of products and all that depends on them, and the other endogenous variables as long as
    they and what they lead to, or covary with, is not a factor of a product: the items of factors are needed as they
    are.

    Raises
    ------
    Unsupported
        If a factor of a product depends on a product.
    """
    parents: dict[str, set[str]] = {v: set() for v in (*table.latents, *table.observed)}
    endogenous = set()
    for r in table.rows:
        if r.op == "~":
            parents[r.lhs].update(factors_of(r) if ":" in r.rhs else (r.rhs,))
            endogenous.add(r.lhs)
        elif r.op == "=~" and r.rhs in table.latents:
            parents[r.rhs].add(r.lhs)
    outcomes = {r.lhs for r in product_rows(table)}
    reached = _closure(outcomes, {v: {c for c, up in parents.items() if v in up} for v in parents})
    for row in product_rows(table):
        for name in factors_of(row):
            if name in reached:
                raise Unsupported(
                    f"interaction='qml' cannot use {name} in the product {row.rhs}: it depends on a product itself",
                    hint="use interaction='lms'",
                )
    for r in table.rows:
        pair = {r.lhs, r.rhs}
        if r.op == "~~" and len(pair) == 2 and pair <= set(parents) - reached and (r.free or r.value):
            parents[r.lhs].add(r.rhs)
            parents[r.rhs].add(r.lhs)
    needed = {v for r in product_rows(table) for v in factors_of(r)}
    # a factor of second order is known by the items of its dimensions
    kept = _closure(needed, parents)
    while True:
        dimensions = {r.rhs for r in table.rows if r.op == "=~" and r.rhs in table.latents and r.lhs in kept} - kept
        if not dimensions - reached:
            break
        kept = _closure(kept | (dimensions - reached), parents)
    return tuple(v for v in parents if v in reached or (v in endogenous and v not in kept))


def _closure(start: set[str], after: dict[str, set[str]]) -> set[str]:
    """Return what can be reached from `start`, itself included."""
    out, left = set(start), list(start)
    while left:
        for v in after[left.pop()]:
            if v not in out:
                out.add(v)
                left.append(v)
    return out


def prepare_quasi(
    table: ParameterTable,
    linear: ParameterTable,
    observed: Observed,
    options: FitOptions,
    constraints: LinearConstraints | None,
) -> QuasiProblem:
    """Compile a table with products: see :func:`b2b_sem.engine.product_problem.prepare_products`.

    Raises
    ------
    Unsupported
        If a factor of a product depends on a product, or two latent variables share all their items.
    """
    base = prepare(linear, observed, plain_options(options, observed), None)
    structure = replace(base.structure, q=table.nfree)
    place = {v: i for i, v in enumerate(structure.eta)}
    products = tuple(
        Product(r.free - 1 if r.free else None, r.value or 0.0, place[r.lhs], *(place[v] for v in factors_of(r)))
        for r in product_rows(table)
    )
    items: dict[int, Any] = {}
    item = {v: i for i, v in enumerate(table.observed)}
    changed = [v for v in transformed_variables(table) if v in place]
    for v in changed:
        own = [v] if v in item else [r.rhs for r in table.rows if r.op == "=~" and r.lhs == v and r.rhs in item]
        # an item of this variable alone scales it best
        shared = {r.rhs for r in table.rows if r.op == "=~" and r.lhs != v and r.lhs in changed}
        items[place[v]] = np.array([item[i] for i in sorted(own, key=lambda i: i in shared)], dtype=np.intp)
    cancelled = np.array([k for k, own in items.items() if len(own)], dtype=np.intp)
    rows = patterns_of(table, observed)
    try:
        quasi = make_quasi(structure, products, cancelled, items, rows)
    except ValueError as error:
        raise Unsupported(f"interaction='qml': {error} of its own", hint="use interaction='lms'") from error
    moments = replace(base.moments, weight=quasi)
    problem = Problem(table, structure, moments, base.fixed, observed.nobs, options, constraints)
    scaling = {int(items[int(k)][0]) for k in cancelled}
    return QuasiProblem(problem, base, tuple(v for i, v in enumerate(table.observed) if i in scaling))


def solve_quasi(problem: QuasiProblem) -> ProductFit:
    """Maximise the quasi-likelihood.

    Raises
    ------
    ModelError
        If the model without products has no start.
    """
    linear, _ = solve(problem.linear, "native")
    solution = maximize(problem.problem, begin(problem.problem.table, linear))
    return ProductFit(problem, solution, linear, 0, 0.0)


def prepare_quasi_groups(
    table: ParameterTable,
    linear: ParameterTable,
    observed: Observed,
    options: FitOptions,
    constraints: LinearConstraints | None,
) -> GroupProducts:
    """Compile a table of several groups: see :func:`b2b_sem.engine.product_group.prepare_product_groups`.

    Raises
    ------
    Unsupported
        As :func:`prepare_quasi`, and for a group without products.
    """

    def prepare_part(local: ParameterTable, without: ParameterTable, rows: Observed) -> QuasiProblem:
        if not product_rows(local):
            raise Unsupported(
                "interaction='qml' needs a product in every group", hint="use interaction='lms', or add '0*PC:PX'"
            )
        return prepare_quasi(local, without, rows, options, None)

    return prepare_product_groups(table, linear, observed, options, constraints, prepare_part)


def solve_quasi_groups(problem: GroupProducts) -> GroupProductFit:
    """Maximise the joint quasi-likelihood of several groups.

    Raises
    ------
    ModelError
        If the model without products has no start.
    """
    linear = problem.solution
    solution = maximize(problem.problem, begin(problem.problem.table, linear))
    return GroupProductFit(problem, solution, linear, 0, 0.0)
