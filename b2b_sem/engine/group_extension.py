"""Score tests of several groups: extended models of the groups side by side, each entry a parameter of its own.

Scores and informations of a group count n_g / N; entries of different groups share no information. What ties groups
together is the space of directions the model may move in: equal parameters are several entries that move as one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from b2b_sem.engine.base import Array, IntArray
from b2b_sem.engine.extension import Extension, extend
from b2b_sem.engine.group import GroupProblem
from b2b_sem.engine.problem import Problem

__all__ = ["GroupExtension", "extend_groups"]


@dataclass(frozen=True)
class GroupExtension(Extension):
    """Extended models of several groups: the rows of the table in order, then what was added, group after group.

    ``structure`` and ``point`` are those of the first group.

    Attributes
    ----------
    parts : tuple of Extension
    shares : tuple of float
        n_g / N.
    member, local : (E,) int arrays
        Group of each entry, from 0, and its place in the extension of that group.
    """

    parts: tuple[Extension, ...] = ()
    shares: tuple[float, ...] = ()
    member: IntArray = None  # type: ignore[assignment]
    local: IntArray = None  # type: ignore[assignment]

    def information(self, first: IntArray, second: IntArray) -> Array:
        """Return a block of the expected information of one observation."""
        out = np.zeros((len(first), len(second)))
        for g, (part, share) in enumerate(zip(self.parts, self.shares, strict=True)):
            i, j = np.flatnonzero(self.member[first] == g), np.flatnonzero(self.member[second] == g)
            if len(i) and len(j):
                out[np.ix_(i, j)] = share * part.information(self.local[first[i]], self.local[second[j]])
        return out

    def information_diagonal(self, entries: IntArray) -> Array:
        """Return diagonal elements of the expected information of one observation."""
        out = np.zeros(len(entries))
        for g, (part, share) in enumerate(zip(self.parts, self.shares, strict=True)):
            i = np.flatnonzero(self.member[entries] == g)
            if len(i):
                out[i] = share * part.information_diagonal(self.local[entries[i]])
        return out


def extend_groups(
    problem: GroupProblem,
    theta: Array,
    added: Sequence[Iterable[tuple[str, str, str]]] | None = None,
    make: Callable[[Problem, Array, Iterable[tuple[str, str, str]]], Extension] = extend,
) -> GroupExtension:
    """Extend the model of each group.

    Parameters
    ----------
    problem : GroupProblem
    theta : (q,) array
    added : sequence of iterables of (lhs, op, rhs), optional
        For each group, parameters that are no rows of its table.
    make : callable
        Extends the model of one group.

    Raises
    ------
    ModelError
        If the solution of a group has no positive definite covariance matrix.
    """
    more = added or [()] * len(problem.parts)
    pairs = zip(problem.parts, problem.places, more, strict=True)
    parts = [make(part, theta[place], new) for part, place, new in pairs]
    own = [(g, k) for g, part in enumerate(problem.parts) for k in range(len(part.table.rows))]
    own += [
        (g, k)
        for g, (part, found) in enumerate(zip(problem.parts, parts, strict=True))
        for k in range(len(part.table.rows), len(found.rows))
    ]
    member, local = np.array(own, dtype=np.intp).T
    shares = tuple(problem.shares)

    def parameter(g: int, k: int) -> int:
        number = int(parts[g].parameter[k])
        return int(problem.places[g][number]) if number >= 0 else number

    return GroupExtension(
        tuple(replace(parts[g].rows[k], group=g + 1) for g, k in own),
        np.array([parameter(g, k) for g, k in own], dtype=np.intp),
        parts[0].structure,
        parts[0].point,
        np.array([shares[g] * parts[g].score[k] for g, k in own]),
        np.zeros((0, 0)),
        parts=tuple(parts),
        shares=shares,
        member=member,
        local=local,
    )
