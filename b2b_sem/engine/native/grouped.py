"""The fit function of several groups: F = sum of w_g F_g over groups that may share parameters.

Each group has a structure, moments and parameters of its own, numbered from 0; an index says which of the joint
parameters they are. Gradients and information matrices of the groups are added at these places, so that a parameter of
one group costs nothing in the others (Joreskog 1971, doi:10.1007/BF02291366).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from b2b_sem.engine.base import Array, IntArray
from b2b_sem.engine.native.implied import Implied, Structure
from b2b_sem.engine.native.loss import (
    Moments,
    Point,
    evaluate,
    expected_information,
    gradient,
    hessian,
    scoring_information,
)

__all__ = ["GroupPoint", "Grouped", "Part", "add_blocks", "grouped_moments"]


@dataclass(frozen=True, eq=False)
class Part:
    """One group.

    Attributes
    ----------
    structure : Structure
        With the parameters of this group only.
    moments : Moments
    index : (q_g,) int array
        Joint parameter of each parameter of the group.
    share : float
        Weight w_g of its fit function.
    """

    structure: Structure
    moments: Moments
    index: IntArray
    share: float


@dataclass(frozen=True)
class GroupPoint(Point):
    """A point of the joint fit function: those of the groups; ``implied`` and ``omega`` are of the first group."""

    points: tuple[Point, ...] = ()


def add_blocks(blocks: Sequence[Array], places: Sequence[IntArray], weights: Sequence[float], q: int) -> Array:
    """Return the weighted sum of vectors or square matrices of the groups at their places among `q` parameters."""
    out = np.zeros((q,) * blocks[0].ndim)
    for block, place, weight in zip(blocks, places, weights, strict=True):
        out[np.ix_(*[place] * block.ndim)] += weight * block
    return out


@dataclass(frozen=True, eq=False)
class Grouped:
    """A weighted sum of fit functions.

    Attributes
    ----------
    parts : tuple of Part
    q : int
        Joint parameters.
    """

    parts: tuple[Part, ...]
    q: int

    @property
    def unit(self) -> float:
        """What values and second derivatives are multiplied by to have the unit of the fit function."""
        return sum(part.share * _unit(part) for part in self.parts)

    @property
    def _weights(self) -> list[float]:
        """Weights of values without their unit."""
        unit = self.unit
        return [part.share * _unit(part) / unit for part in self.parts]

    def evaluate(self, structure: Structure, moments: Moments, theta: Array) -> Point | None:
        """Return the fit function at `theta`, or None where that of a group does not exist."""
        points: list[Point] = []
        for part in self.parts:
            point = evaluate(part.structure, part.moments, theta[part.index])
            if point is None:
                return None
            points.append(point)
        value = sum(w * point.value for w, point in zip(self._weights, points, strict=True))
        return GroupPoint(theta, value, points[0].implied, points[0].omega, self, tuple(points))

    def _add(self, point: Point, block: Callable[[Part, Point], Array]) -> Array:
        assert isinstance(point, GroupPoint)
        blocks = [block(part, own) for part, own in zip(self.parts, point.points, strict=True)]
        return add_blocks(blocks, [part.index for part in self.parts], self._weights, self.q)

    def gradient(self, structure: Structure, moments: Moments, point: Point) -> Array:
        """Return the gradient, shape (q,)."""
        return self._add(point, lambda part, own: gradient(part.structure, part.moments, own))

    def expected_information(self, structure: Structure, point: Point) -> Array:
        """Return the weighted sum of the groups' expected information, shape (q, q)."""
        return self._add(point, lambda part, own: expected_information(part.structure, own))

    def scoring_information(self, structure: Structure, point: Point) -> Array:
        """Return the metric of the search, shape (q, q)."""
        return self._add(point, lambda part, own: scoring_information(part.structure, own))

    def hessian(self, structure: Structure, moments: Moments, point: Point) -> Array:
        """Return the Hessian, shape (q, q)."""
        return self._add(point, lambda part, own: hessian(part.structure, part.moments, own))

    @property
    def near_hessian(self) -> Callable[[Structure, Point], Array] | None:
        """The Hessian with something cheaper in groups that have it; None if there is no such group."""
        if not any(hasattr(part.moments.weight, "near_hessian") for part in self.parts):
            return None

        def block(part: Part, own: Point) -> Array:
            near = getattr(part.moments.weight, "near_hessian", None)
            if near is None:
                return hessian(part.structure, part.moments, own)
            out: Array = near(part.structure, own)
            return out

        return lambda structure, point: self._add(point, block)

    def gfi(self, moments: Moments, implied: Implied) -> float:
        """Refuse: the index belongs to a group."""
        raise TypeError("the goodness of fit index is computed for each group")


def _unit(part: Part) -> float:
    return 1.0 if part.moments.weight is None else part.moments.weight.unit


def grouped_moments(parts: Sequence[Part], q: int) -> Moments:
    """Return moments whose fit function is the joint one; they hold no matrix, which only groups have."""
    return Moments(np.zeros((0, 0)), None, 0.0, Grouped(tuple(parts), q))
