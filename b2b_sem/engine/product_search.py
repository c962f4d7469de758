"""The maximum of the likelihood of a model with latent products, and the points that its integral needs.

The points are set from the model without products, and set again where the solution asks for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from b2b_sem.engine.base import Array, EngineFit, IntArray
from b2b_sem.engine.native.implied import LAMBDA, THETA
from b2b_sem.engine.native.loss import Point, evaluate
from b2b_sem.engine.native.mixture import REACH, Grid, Memory, Mixture, MixturePoint, make_grid
from b2b_sem.engine.native.optimize import minimize
from b2b_sem.engine.problem import Problem, starting_values
from b2b_sem.engine.product_problem import ProductProblem
from b2b_sem.errors import ModelError

__all__ = ["EXACT", "Found", "maximize", "prior_points", "roomy_points", "search"]

#: Distance of points, in the smallest posterior standard deviation of a given variable: the relative error of a sum
#: over a normal density is 2 exp(-2 (pi / distance)^2), 2e-8 here.
DISTANCE = 1.04
#: The same for a first, rough maximum.
ROUGH = 1.6 * DISTANCE
#: Change of the log-likelihood with twice the points below which the integral counts as exact.
EXACT = 1e-6
#: Points, in one dimension, to begin and to end with.
FEWEST, MOST = 25, 4001
#: Points in each of one, two and three dimensions, at most, for the rough maximum.
AT_FIRST = (201, 41, 21)
#: Points of two and of three or more dimensions together.
LIMITS = (15_000, 40_000)
#: Change of the log-likelihood with twice the points above which there is no result.
USELESS = 1e-2
#: How often the points are set again.
ROUNDS = 8
#: Distance from the ends, in standard deviations, within which no respondent may have any weight, that weight, and
#: what the ends are multiplied by where one has.
MARGIN, WEIGHT, FURTHER = 0.5, 1e-6, 1.4
#: Ends, in standard deviations, and distance of the points for the moments of all variables, in the smallest standard
#: deviation of a given variable given the others.
PRIOR_REACH, PRIOR_DISTANCE = 8.0, 0.8
#: Smallest posterior standard deviation, in distances of the points, that is taken as it is found.
RESOLVED = 0.3
#: What the distance is multiplied by where the points were too few.
CLOSER = 0.75
#: Share of an item's variance below which its residual variance may go to 0.
VANISHING = 3e-3
#: Share of an item's variance that a residual variance gets to begin with where it has none.
LEAST_RESIDUAL = 0.05
#: What distance and ends are multiplied by for points that serve other rows of the kind, too.
ROOM = (0.9, 1.1)


@dataclass(frozen=True)
class Found:
    """What a search has found: the problems of all groups with their last points, the solution and its exactness."""

    parts: tuple[ProductProblem, ...]
    solution: EngineFit
    points: int
    error: float


def search(
    parts: Sequence[ProductProblem],
    places: Sequence[IntArray],
    join: Callable[[Sequence[ProductProblem]], Problem],
    theta: Array,
) -> Found:
    """Maximise the likelihood of one group or several, setting the points until the integrals are exact.

    Parameters
    ----------
    parts : sequence of ProductProblem
        One for each group, with parameters of its own.
    places : sequence of (q_g,) int arrays
        Which of all parameters these are.
    join : callable
        Makes the problem of all groups.
    theta : (q,) array
        Where to begin.

    Raises
    ------
    ModelError
        If there is no likelihood at the start, an item of a given variable loses its error, or the integral cannot be
        had with the points that are available.
    """
    theta = np.array(theta)
    for part, place in zip(parts, places, strict=True):
        theta[place] = _proper(part, theta[place])
    wide = [_Wide(part.with_likelihood(memory=Memory())) for part in parts]
    for own, place in zip(wide, places, strict=True):
        own.locate(*_first_spread(own.problem, _without_products(own.problem, theta[place])), ROUGH)
    distance, iterations, error = ROUGH, 0, math.inf
    earlier: Array | None = None
    solution: EngineFit | None = None
    for _ in range(ROUNDS):
        points = _evaluate(wide, places, theta)
        if any(point is None for point in points):
            # a negative residual variance may do at some values of the given variables only
            for own, at in zip(wide, places, strict=True):
                theta[at] = _proper(own.problem, theta[at])
            points = _evaluate(wide, places, theta)
        if not all(isinstance(point, MixturePoint) for point in points):
            raise ModelError(
                "no starting value gives proper covariance matrices",
                hint="fit the model without products first; remove variances that are fixed at 0",
            )
        pairs = [(w, point) for w, point in zip(wide, points, strict=True) if isinstance(point, MixturePoint)]
        widened = [solution is not None and w.widen(point, distance) for w, point in pairs]
        if any(widened):
            continue
        now = [w.problem if solution is None else w.pruned(point) for w, point in pairs]
        joint = join(now)
        solution = maximize(joint, theta, rescue=None if distance == ROUGH else 0)
        theta, iterations = np.array(solution.theta), iterations + solution.iterations
        spreads = [
            w.resolved(*_spread(p, theta[at], w.problem.mixture.grid))
            for p, w, at in zip(now, wide, places, strict=True)
        ]
        if distance == ROUGH:
            distance = DISTANCE
        else:
            finer = [w.finer(*spread[:2]) for w, spread in zip(wide, spreads, strict=True)]
            values = [p.mixture.log_likelihood(theta[at], g) for p, at, g in zip(now, places, finer, strict=True)]
            value = sum(values) + 0.5 * solution.fmin * joint.nobs
            error = value if math.isfinite(value) else math.inf
            if abs(error) <= EXACT or not solution.converged:
                break
            if all(w.enough(*spread[1:], distance) for w, spread in zip(wide, spreads, strict=True)):
                distance *= CLOSER
        if earlier is not None:
            for part, at in zip(now, places, strict=True):
                _refuse_vanishing(part, theta[at], VANISHING, earlier[at])
        earlier = theta if distance < ROUGH and error < math.inf else None
        for w, spread in zip(wide, spreads, strict=True):
            w.locate(*spread, distance)
    assert solution is not None
    count = max(w.count for w in wide)
    if not (solution.converged and abs(error) <= EXACT):
        for part, at in zip(now, places, strict=True):
            _refuse_vanishing(part, theta[at], VANISHING)
    if solution.converged and abs(error) > USELESS:
        raise ModelError(
            f"the integral over {', '.join(parts[0].given)} needs more points than are available: with {count} in each "
            f"dimension the log-likelihood is wrong by {abs(error):.2g}",
            hint="take products with a common factor, or leave out products that do not matter",
        )
    last = [p.with_likelihood(prior=prior_points(p, theta[at]), memory=None) for p, at in zip(now, places, strict=True)]
    return Found(tuple(last), replace(solution, iterations=iterations), count, error)


def roomy_points(problem: ProductProblem, theta: Array) -> tuple[ProductProblem, Grid]:
    """Return the problem with points that also serve other rows of the kind, and twice as many to check with."""
    wide = _Wide(problem)
    wide.reach = ROOM[1] * REACH
    mean, sd, spread = _spread(problem, theta)
    wide.locate(mean, sd, spread, ROOM[0] * DISTANCE)
    return wide.problem, wide.finer(mean, sd)


class _Wide:
    """The points of one group while they are being set."""

    def __init__(self, problem: ProductProblem) -> None:
        self.problem, self.reach, self.count = problem, REACH, 0

    @property
    def inner(self) -> Problem:
        return self.problem.problem

    def locate(self, mean: Array, sd: Array, spread: Array, distance: float) -> None:
        """Set the points for these moments of the given variables."""
        self.mean, self.sd, self.spread = mean, sd, spread
        grid, self.count = _grid(mean, sd, spread, distance, self.reach)
        self.problem = self.problem.with_grid(grid)

    def widen(self, point: MixturePoint, distance: float) -> bool:
        """Set points further out if a respondent has any weight near the ends, and say so."""
        if _edge_weight(self.problem.mixture, point, self.mean, self.sd, self.reach) <= WEIGHT:
            return False
        self.reach *= FURTHER
        self.locate(self.mean, self.sd, self.spread, distance)
        return True

    def resolved(self, mean: Array, sd: Array, spread: Array) -> tuple[Array, Array, Array]:
        """Return moments of the given variables with a spread that these points can tell: not one much narrower."""
        return mean, sd, np.maximum(spread, RESOLVED * 2.0 * self.reach * self.sd / (self.count - 1))

    def pruned(self, point: MixturePoint) -> ProductProblem:
        """Return the problem without the points that nobody gives any weight."""
        return self.problem.with_grid(self.problem.mixture.prune(point))

    def enough(self, sd: Array, spread: Array, distance: float) -> bool:
        """Whether the points are about as many as a spread asks for."""
        return self.count >= 0.9 * _count(sd, spread, distance, self.reach)

    def finer(self, mean: Array, sd: Array) -> Grid:
        """Return twice as many points in each dimension."""
        return make_grid(mean, sd, 2 * self.count - 1, self.reach)


def _evaluate(wide: Sequence[_Wide], places: Sequence[IntArray], theta: Array) -> list[Point | None]:
    return [evaluate(w.inner.structure, w.inner.moments, theta[at]) for w, at in zip(wide, places, strict=True)]


def _proper(problem: ProductProblem, theta: Array) -> Array:
    """Return starting values with proper covariance matrices.

    Where the model without products has a Heywood case residual variances of items are made positive; if that is not
    enough, the starting values of that model are taken in the place of its solution.
    """
    structure, mixture = problem.problem.structure, problem.mixture
    out = theta.copy()
    variance = np.diag(problem.linear.moments.cov)
    for entry in np.flatnonzero((structure.matrix == THETA) & (structure.row == structure.col)):
        k, least = structure.free[entry], LEAST_RESIDUAL * variance[structure.row[entry]]
        out[k] = max(out[k], least)
    joint = mixture.joint_covariance(_without_products(problem, out))
    if joint is None or np.linalg.eigvalsh(joint[0])[0] <= 0.0:
        linear = _linear_parameters(problem)
        out[linear] = starting_values(problem.linear)[0]()[linear]
    return out


def _linear_parameters(problem: ProductProblem) -> IntArray:
    """Return which parameters the model without products has."""
    return np.array(sorted({r.free - 1 for r in problem.linear.table.rows if r.free}), dtype=np.intp)


def _without_products(problem: ProductProblem, theta: Array) -> Array:
    """Return parameters of which those of products are 0."""
    linear, out = _linear_parameters(problem), np.zeros(len(theta))
    out[linear] = theta[linear]
    return out


def _edge_weight(mixture: Mixture, point: MixturePoint, mean: Array, sd: Array, reach: float) -> float:
    """Return the largest posterior weight that any respondent has near the ends of the points."""
    away = (((mixture.grid.points - mean) / sd) ** 2).sum(axis=1) >= (reach - MARGIN) ** 2
    return max(float(w[:, away].max(initial=0.0)) for w in point.weights)


def _refuse_vanishing(problem: ProductProblem, theta: Array, share: float, earlier: Array | None = None) -> None:
    """Refuse a solution where an item of a given variable has no error left: no number of points is enough there.

    With the solution from fewer points only what has fallen to less than half since then.

    Raises
    ------
    ModelError
        Naming the item.
    """
    structure, mixture = problem.problem.structure, problem.mixture
    variance = np.diag(problem.problem.moments.cov)
    loads = structure.templates[LAMBDA][:, list(mixture.given)] != 0
    _, row, col = structure.where[LAMBDA]
    loads[row, :] |= col[:, None] == np.array(mixture.given)
    for entry in np.flatnonzero((structure.matrix == THETA) & (structure.row == structure.col)):
        item = structure.row[entry]
        now = theta[structure.free[entry]]
        falling = earlier is None or now < 0.5 * earlier[structure.free[entry]]
        if falling and loads[item].any() and now < share * variance[item]:
            name, least = structure.observed[item], LEAST_RESIDUAL * variance[item]
            raise ModelError(
                f"the residual variance of {name} goes to 0: the latent variable is the same as this item",
                hint=f"fix it at a share of the item's variance ({name} ~~ {least:.3g}*{name}), or leave the item out",
            )


def maximize(problem: Problem, theta: Array, *, rescue: int | None = None) -> EngineFit:
    """Maximise the likelihood from one start, with the points as they are.

    Raises
    ------
    ModelError
        If there is no likelihood at the start.
    """
    try:
        return minimize(
            problem.structure,
            problem.moments,
            [lambda: theta],
            constraints=problem.constraints,
            max_iterations=problem.options.max_iterations,
            rescue=rescue,
        )
    except ValueError as error:
        raise ModelError(
            "no starting value gives proper covariance matrices",
            hint="fit the model without products first; remove variances that are fixed at 0",
        ) from error


def _spread(problem: ProductProblem, theta: Array, whole: Grid | None = None) -> tuple[Array, Array, Array]:
    """Return mean and standard deviation of the given variables, and their smallest posterior deviation: (D,) each.

    Where points were left out `whole` has them all.
    """
    mixture = problem.mixture
    mean, sd = _location(mixture if whole is None else replace(mixture, grid=whole), theta)
    point = evaluate(problem.problem.structure, problem.problem.moments, theta)
    if not isinstance(point, MixturePoint):
        raise ModelError(
            f"{', '.join(problem.given)}: far from the mean of these variables covariance matrices are not proper",
            hint="a residual variance is negative: fix it at a share of the item's variance, or leave the item out",
        )
    centered = mixture.grid.points - mean  # keeps digits where a variable is far from 0
    variances = [weight @ centered**2 - (weight @ centered) ** 2 for weight in point.weights]
    smallest = np.quantile(np.concatenate(variances), 0.01, axis=0)
    return mean, sd, np.sqrt(np.maximum(smallest, 1e-8 * sd**2))


def _first_spread(problem: ProductProblem, theta: Array) -> tuple[Array, Array, Array]:
    """Return what :func:`_spread` does, from the model without products."""
    mixture = problem.mixture
    mean, sd = _location(mixture, theta)
    p, d = len(mixture.center), mixture.dimensions
    joint = mixture.joint_covariance(theta)
    assert joint is not None
    inverse = np.linalg.inv(joint[0])
    own = np.diag(inverse)[p : p + d]
    with np.errstate(invalid="ignore"):
        return mean, sd, np.where(own > 0, np.minimum(1.0 / np.sqrt(own), sd), 0.1 * sd)


def _location(mixture: Mixture, theta: Array) -> tuple[Array, Array]:
    """Return mean and standard deviation of the given variables: (D,) each."""
    implied, at = mixture.whole_moments(theta), list(mixture.given)
    return implied.eta_mean[at], np.sqrt(np.diag(implied.eta_cov)[at])


def _count(sd: Array, spread: Array, distance: float, reach: float) -> int:
    """Return how many points in each dimension have that distance."""
    return math.ceil(float(np.max(2.0 * reach * sd / (distance * spread)))) + 1


def _grid(mean: Array, sd: Array, spread: Array, distance: float, reach: float) -> tuple[Grid, int]:
    count = _count(sd, spread, distance, reach)
    most = _most(len(mean)) if distance < ROUGH else AT_FIRST[min(len(mean), 3) - 1]
    count = max(min(FEWEST, most), min(count, most))
    return make_grid(mean, sd, count, reach), count


def _most(dimensions: int) -> int:
    """Return the largest number of points in each dimension: the corners are left out."""
    if dimensions == 1:
        return MOST
    kind = min(dimensions, 3) - 2
    return int((LIMITS[kind] / (0.79, 0.53)[kind]) ** (1.0 / dimensions))


def prior_points(problem: ProductProblem, theta: Array) -> Grid:
    """Return points for the moments of all variables: a smooth integral without data needs few."""
    mixture, at = problem.mixture, list(problem.mixture.given)
    mean, sd = _location(mixture, theta)
    rough = make_grid(mean, sd, FEWEST)
    inner = mixture.models(theta, rough.points).eta_cov[:, at][:, :, at]
    alone = 1.0 / np.sqrt(np.diagonal(np.linalg.inv(inner), axis1=1, axis2=2))
    count = math.ceil(float(np.max(2.0 * PRIOR_REACH * sd / (PRIOR_DISTANCE * alone.min(axis=0))))) + 1
    return make_grid(mean, sd, min(count, _most(len(at))), PRIOR_REACH)
