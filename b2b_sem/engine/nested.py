"""Whether one model is nested in another, by fitting instead of by looking.

The larger model is fitted to the moments that the restricted one implies: if it reproduces them exactly, every
distribution of the restricted model is one of the larger (Bentler & Satorra 2010, doi:10.1037/a0019625).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from b2b_sem.engine.base import Array, moments_divisor
from b2b_sem.engine.group import GroupProblem, group_starts
from b2b_sem.engine.native.grouped import Part, grouped_moments
from b2b_sem.engine.native.loss import make_moments
from b2b_sem.engine.native.optimize import minimize
from b2b_sem.engine.problem import Problem, starting_values

__all__ = ["REPRODUCED", "Reproduction", "reproduce", "reproduce_groups"]

#: Chi-square below which the moments count as reproduced (semTools::net uses the same).
REPRODUCED = 1e-4


@dataclass(frozen=True)
class Reproduction:
    """How well a model reproduces moments.

    Attributes
    ----------
    chisq : float
        n F; zero up to rounding if the models are nested.
    theta : (q,) array
        The larger model's parameters.
    converged : bool
    """

    chisq: float
    theta: Array
    converged: bool

    @property
    def nested(self) -> bool:
        """Whether the moments were reproduced."""
        return self.chisq < REPRODUCED


def reproduce(problem: Problem, theta: Array, names: tuple[str, ...], sigma: Array, mu: Array | None) -> Reproduction:
    """Fit the model of `problem` to given moments.

    Parameters
    ----------
    problem : Problem
        Of the larger model.
    theta : (q,) array
        Its estimates: a start beside the usual ones.
    names : tuple of str
        Order of the variables of the moments.
    sigma, mu : (p, p) and (p,) arrays
        Moments implied by the restricted model.
    """
    order = [names.index(v) for v in problem.table.observed]
    target = replace(problem, moments=make_moments(sigma[np.ix_(order, order)], None if mu is None else mu[order]))
    n = moments_divisor(problem.nobs, problem.options.likelihood)
    return _closest(target, theta, n, starting_values(target))


def reproduce_groups(
    problem: GroupProblem,
    theta: Array,
    moments: Sequence[tuple[tuple[str, ...], Array, Array | None]],
    guess: Array | None = None,
) -> Reproduction:
    """Fit a model of several groups to given moments of each group.

    Parameters
    ----------
    problem : GroupProblem
        Of the larger model.
    theta : (q,) array
        Its estimates.
    moments : sequence of (names, sigma, mu)
        Implied by the restricted model.
    guess : (q,) array, optional
        Parameters that probably reproduce them.
    """
    parts = []
    for part, (names, sigma, mu) in zip(problem.parts, moments, strict=True):
        order = [names.index(v) for v in part.table.observed]
        target = make_moments(sigma[np.ix_(order, order)], None if mu is None else mu[order])
        parts.append(replace(part, moments=target))
    joint = grouped_moments(
        [
            Part(part.structure, part.moments, place, share)
            for part, place, share in zip(parts, problem.places, problem.shares, strict=True)
        ],
        problem.table.nfree,
    )
    whole = replace(problem, moments=joint, parts=tuple(parts))
    starts = group_starts(whole)
    first = theta if guess is None else guess
    return _closest(whole, first, problem.multiplier, starts if guess is None else [lambda: theta, *starts])


def _closest(target: Problem, theta: Array, n: int, more: Sequence[Callable[[], Array]]) -> Reproduction:
    """Return the best fit to the moments of `target`."""
    best: Reproduction | None = None
    starts = [lambda: theta, *more]
    # one start at a time: where these moments do not determine the larger model, they can be reproduced without a
    # regular minimum
    for start in starts:
        try:
            found = minimize(target.structure, target.moments, [start], constraints=target.constraints)
        except ValueError:
            continue
        now = Reproduction(n * max(found.fmin, 0.0), found.theta, found.converged)
        if best is None or now.chisq < best.chisq:
            best = now
        if best.nested:
            break
    return best if best is not None else Reproduction(float("inf"), theta, False)
