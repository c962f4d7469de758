"""What the ways to fit products of latent variables have in common: a likelihood of the rows."""

from __future__ import annotations

from typing import Protocol

from b2b_sem.engine.base import Array
from b2b_sem.engine.native.implied import Implied, Structure
from b2b_sem.engine.native.loss import Point
from b2b_sem.engine.problem import Problem

__all__ = ["Likelihood", "PreparedProducts"]


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
