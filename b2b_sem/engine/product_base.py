"""What the ways to fit products of latent variables have in common: a likelihood of the rows."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from b2b_sem.data.incomplete import Incomplete, group_patterns
from b2b_sem.data.observed import Observed
from b2b_sem.engine.base import Array, EngineFit, FitOptions
from b2b_sem.engine.native.implied import Implied, Structure
from b2b_sem.engine.native.loss import Point
from b2b_sem.engine.problem import Problem
from b2b_sem.spec.partable import ParameterTable
from b2b_sem.spec.product import product_rows

__all__ = ["Likelihood", "PreparedProducts", "begin", "patterns_of", "plain_options"]


class Likelihood(Protocol):
    """What inference needs of the likelihood of a model with products."""

    def scores(self, point: Point) -> Array:
        """Return the score of each respondent, (N, q)."""

    def first_order(self, point: Point) -> Array:
        """Return the first-order information of a respondent, (q, q)."""

    def expected_information(self, structure: Structure, point: Point) -> Array:
        """Return the observed information of a respondent, (q, q)."""

    def whole_moments(self, theta: Array) -> Implied:
        """Return the moments of all variables, products and all."""


class PreparedProducts(Protocol):
    """A compiled model with products: see :class:`b2b_sem.engine.product_problem.ProductProblem`."""

    @property
    def problem(self) -> Problem:
        """With the likelihood as the weight of its moments."""

    @property
    def linear(self) -> Problem:
        """Without products."""

    @property
    def given(self) -> tuple[str, ...]:
        """The variables that are integrated out, if any."""

    @property
    def mixture(self) -> Likelihood:
        """The likelihood."""


def plain_options(options: FitOptions, observed: Observed) -> FitOptions:
    """Return the options of the model without products, which is fitted for the starting values."""
    return FitOptions(missing=options.missing, information="observed" if observed.incomplete else "expected")


def patterns_of(table: ParameterTable, observed: Observed) -> Incomplete:
    """Return the rows of a group in the order of the table, by pattern of what is missing."""
    assert observed.raw is not None
    order = [observed.names.index(v) for v in table.observed]
    return group_patterns(observed.raw[0][:, order])


def begin(table: ParameterTable, linear: EngineFit) -> Array:
    """Return where to begin: the solution of the model without products, and products at 0 or their own start, (q,)."""
    theta: Array = np.zeros(table.nfree)
    theta[: len(linear.theta)] = linear.theta
    for row in product_rows(table):
        if row.free and row.start is not None:
            theta[row.free - 1] = row.start
    return theta
