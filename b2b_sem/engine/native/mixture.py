"""Products of latent variables by maximum likelihood: latent moderated structural equations (LMS).

With products the structural part is  eta = alpha + B eta + sum_j omega_j eta_a(j) eta_b(j) + zeta. Given the values c
of the latent variables a(j), each product is linear: omega_j c_a is an element of a matrix B(c). In a recursive model
the density of the answers y and of c is then the normal density of the linear model with B(c), taken at (y, c), because
the determinant of I - B is 1 with products and without. Hence

    L_i = int N((y_i, c); mu(c), Sigma(c)) dc,

an integral over as many dimensions as variables must be given to make every product linear, whatever is upstream or
downstream of them (Klein & Moosbrugger 2000, doi:10.1007/BF02296338, integrate over the standardized exogenous
variables instead). The integral is a sum over equally spaced points c_q: for a smooth integrand that vanishes at both
ends its error falls faster than any power of the distance (Trefethen & Weideman 2014, doi:10.1137/130932132).

Each point is like a group of a linear model, with respondents' posterior weights. Its quadratic forms are linear in y
and its products, so that the likelihood and its gradient are matrix products; the Hessian is that of the groups minus
the variance of the scores within respondents (Louis 1982, doi:10.1111/j.2517-6161.1982.tb01203.x).

The fit function is F(theta) = -2 log L / N.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from b2b_sem.data.incomplete import Incomplete
from b2b_sem.engine.base import Array
from b2b_sem.engine.native.implied import ALPHA, BETA, LAMBDA, PSI, TAU, THETA, Implied, Structure
from b2b_sem.engine.native.loss import Moments, Point, curvature
from b2b_sem.engine.native.mixture_rows import LIMIT, Models, Rows, Work, gather_rows
from b2b_sem.engine.native.product import Product

__all__ = ["Grid", "Memory", "Mixture", "MixturePoint", "extend_structure", "make_grid", "make_mixture"]

#: Ends of the grid, in standard deviations of the given variable.
REACH = 6.0
#: Respondents that are enough for the metric of the search.
SOME = 400
#: Posterior weight below which a point adds nothing to a respondent's score and to the Hessian.
NOTHING = 1e-14
#: Posterior weight that a point must have for some respondent to be kept in the search.
KEPT = 1e-17
#: Square of the move, in standard deviations times sqrt(N), for which the metric of the search is kept.
NEAR = 0.01


@dataclass(frozen=True)
class Grid:
    """Points that the integral is a sum over.

    Attributes
    ----------
    points : (Q, D) array
        Values of the given variables.
    volume : float
        Weight of each point: the product of the distances.
    """

    points: Array
    volume: float


def make_grid(mean: Array, sd: Array, count: int, reach: float = REACH) -> Grid:
    """Return equally spaced points over some standard deviations on either side of the means.

    Parameters
    ----------
    mean, sd : (D,) arrays
        Of the given variables, roughly.
    count : int
        Points in each dimension. In several dimensions those in the corners, which lie further out than the ends, are
        left out.
    reach : float
        Ends, in standard deviations.
    """
    axes = [m + s * np.linspace(-reach, reach, count) for m, s in zip(mean, sd, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
    if len(axes) > 1:
        points = points[(((points - mean) / sd) ** 2).sum(axis=1) <= reach**2]
    return Grid(points, float(np.prod(2.0 * reach * sd / (count - 1))))


def extend_structure(structure: Structure, products: tuple[Product, ...], given: tuple[int, ...]) -> Structure:
    """Return the structure of a linear model with the given variables among the observed, and its products as paths.

    The given variables stand after the answers. Free products are entries of B after all others; their derivatives
    are to be multiplied by the value of the given variable.
    """
    p, m, d = structure.p, structure.m, len(given)
    free = [x for x in products if x.parameter is not None]
    lam, theta, beta, psi, tau, alpha = structure.templates
    wide = np.zeros((p + d, m))
    wide[:p] = lam
    wide[np.arange(p, p + d), list(given)] = 1.0
    square = np.zeros((p + d, p + d))
    square[:p, :p] = theta
    matrix = np.concatenate([structure.matrix, np.full(len(free), BETA, dtype=np.intp)])
    row = np.concatenate([structure.row, np.array([x.outcome for x in free], dtype=np.intp)])
    col = np.concatenate([structure.col, np.array([x.second for x in free], dtype=np.intp)])
    parameter = np.concatenate([structure.free, np.array([x.parameter for x in free], dtype=np.intp)])
    base = {LAMBDA: 0, THETA: 0, BETA: p + d, PSI: p + d, TAU: 0, ALPHA: p + d}
    first = np.array([base[int(k)] for k in matrix], dtype=np.intp) + row
    shift = {LAMBDA: p + d + m, THETA: 0, BETA: p + d + m, PSI: p + d}
    mean = (matrix == TAU) | (matrix == ALPHA)
    second = np.array([shift.get(int(k), 0) for k in matrix], dtype=np.intp) + col
    slope = np.where((matrix == LAMBDA) | (matrix == BETA), 1 + col, np.where(mean, 0, -1))
    w = np.where(mean, 0.0, np.where(((matrix == THETA) | (matrix == PSI)) & (row == col), 0.5, 1.0))
    return replace(
        structure,
        p=p + d,
        observed=(*structure.observed, *(f"given:{structure.eta[g]}" for g in given)),
        templates=(wide, square, beta, psi, np.concatenate([tau, np.zeros(d)]), alpha),
        free=parameter,
        where=tuple((np.flatnonzero(matrix == k), row[matrix == k], col[matrix == k]) for k in range(6)),
        u=np.where(mean, 0, first),
        v=np.where(mean, 0, second),
        w=w,
        mean_column=np.where(slope < 0, 0, first),
        mean_scale=slope,
        matrix=matrix,
        row=row,
        col=col,
        meanstructure=True,
        paths=True,
        summing=(parameter[:, None] == np.arange(structure.q)).astype(float),
    )


@dataclass(frozen=True)
class MixturePoint(Point):
    """A point of the fit function with what its derivatives need.

    Attributes
    ----------
    models : Models
    works : tuple of Work
        One for each set of respondents.
    weights : per set of respondents (n, Q) array
        Posterior weights of the points.
    """

    models: Models | None = None
    works: tuple[Work, ...] = ()
    weights: tuple[Array, ...] = ()


@dataclass
class Memory:
    """What a search keeps from one evaluation to the next: close by, or with other points, it serves as well.

    Attributes
    ----------
    theta : (q,) array or None
        Where the information was computed.
    information, hessian : (q, q) arrays or None
    """

    theta: Array | None = None
    information: Array | None = None
    hessian: Array | None = None


@dataclass(frozen=True, eq=False)
class Mixture:
    """The likelihood of a model with latent products: a fit function (:class:`~.loss.Discrepancy`).

    Attributes
    ----------
    structure : Structure
        Of the extended linear model: see :func:`extend_structure`.
    products : tuple of Product
    given : tuple of int
        Places in eta of the given variables.
    grid : Grid
    cells : tuple of Rows
        All respondents, in sets that are fast to compute.
    center : (p,) array
        What was subtracted from the answers, to keep products of them small.
    nobs : int
    prior : Grid or None
        Points for the moments of all variables, if not those of the likelihood.
    memory : Memory or None
        Of the search; without it nothing is kept.
    """

    structure: Structure
    products: tuple[Product, ...]
    given: tuple[int, ...]
    grid: Grid
    cells: tuple[Rows, ...]
    center: Array
    nobs: int
    prior: Grid | None = None
    memory: Memory | None = None

    @property
    def unit(self) -> float:
        """What values and second derivatives are multiplied by to have the unit of the fit function."""
        return 1.0

    @property
    def dimensions(self) -> int:
        """How many variables are integrated out."""
        return len(self.given)

    def _scales(self) -> Array:
        """Return what the derivatives of the entries are multiplied by at each point, (Q, E)."""
        out = np.ones((len(self.grid.points), len(self.structure.free)))
        free = [x for x in self.products if x.parameter is not None]
        for k, x in enumerate(free, len(self.structure.free) - len(free)):
            out[:, k] = self.grid.points[:, self.given.index(x.first)]
        return out

    def _stack(self, theta: Array, points: Array | None = None) -> Models | None:
        """Return the linear models of all points, or None where I - B is singular."""
        s = self.structure
        points = self.grid.points if points is None else points
        free = [x for x in self.products if x.parameter is not None]
        linear = len(s.free) - len(free)
        values = theta[s.free]
        lam, th, beta, psi, tau, alpha = (t.copy() for t in s.templates)
        for target, (entries, i, j) in zip((lam, th, beta, psi), s.where[:4], strict=True):
            own = entries < linear
            target[i[own], j[own]] = values[entries[own]]
        for target, (entries, i, j) in zip((th, psi), (s.where[THETA], s.where[PSI]), strict=True):
            target[j, i] = values[entries]
        for target, (entries, i, _) in zip((tau, alpha), s.where[4:], strict=True):
            target[i] = values[entries]
        stacked = np.repeat(beta[None], len(points), axis=0)
        for x in self.products:
            omega = x.value if x.parameter is None else theta[x.parameter]
            stacked[:, x.outcome, x.second] += omega * points[:, self.given.index(x.first)]
        try:
            inverse = np.linalg.inv(np.eye(s.m) - stacked)
        except np.linalg.LinAlgError:
            return None
        eta_cov = inverse @ psi @ inverse.transpose(0, 2, 1)
        eta_mean = inverse @ alpha
        g, h = lam @ inverse, lam @ eta_cov
        sigma = h @ lam.T + th
        sigma = (sigma + sigma.transpose(0, 2, 1)) / 2
        identity = np.broadcast_to(np.eye(s.p), (len(inverse), s.p, s.p))
        columns = np.concatenate([identity, g, h], axis=2)
        return Models(points, tau + eta_mean @ lam.T, sigma, eta_cov, eta_mean, inverse, columns, psi, th)

    def models(self, theta: Array, points: Array) -> Models:
        """Return the linear models of some points.

        Raises
        ------
        ValueError
            If I - B is singular.
        """
        models = self._stack(theta, points)
        if models is None:
            raise ValueError("I - B is singular")
        return models

    def joint_covariance(self, theta: Array) -> Array | None:
        """Return the covariance matrices of answers and given variables at all points, (Q, p + d, p + d)."""
        stack = self._stack(theta)
        return None if stack is None else stack.sigma

    def whole_moments(self, theta: Array) -> Implied:
        """Return the moments of all variables, whatever is given: sums over the points.

        Given c the variables are normal: with mean and covariance matrix (m, V) of the linear model at c and C the
        given variables, E[eta | c] = m + V_C (V_CC)^-1 (c - m_C), and the rest follows.
        """
        s = self.structure
        grid = self.grid if self.prior is None else self.prior
        stack = self.models(theta, grid.points)
        at = list(self.given)
        p, d = len(self.center), self.dimensions
        lam, tau = s.templates[LAMBDA].copy(), s.templates[TAU].copy()
        entries, i, j = s.where[LAMBDA]
        lam[i, j] = theta[s.free[entries]]
        entries, i, _ = s.where[TAU]
        tau[i] = theta[s.free[entries]]
        inner = stack.eta_cov[:, at][:, :, at]
        away = grid.points - stack.eta_mean[:, at]
        solved = np.linalg.solve(inner, np.concatenate([away[:, :, None], stack.eta_cov[:, at]], axis=2))
        _, logdet = np.linalg.slogdet(inner)
        log = -0.5 * ((away * solved[:, :, 0]).sum(axis=1) + logdet + d * np.log(2.0 * np.pi))
        weight = np.exp(log) * grid.volume
        if len(weight) == 1:  # no grid yet: the model without products
            weight, mean, cov = np.ones(1), stack.eta_mean, stack.eta_cov
        else:
            weight = weight / weight.sum()
            across = stack.eta_cov[:, :, at]
            mean = stack.eta_mean + (across @ solved[:, :, :1])[:, :, 0]
            cov = stack.eta_cov - across @ solved[:, :, 1:]
        eta_mean = weight @ mean
        gap = mean - eta_mean
        eta_cov = np.einsum("q,qij->ij", weight, cov) + (gap * weight[:, None]).T @ gap
        eta_cov = (eta_cov + eta_cov.T) / 2
        lam, tau = lam[:p], tau[:p]
        residual = stack.theta[:p, :p]
        sigma = lam @ eta_cov @ lam.T + residual
        middle = stack.at(len(weight) // 2)
        return replace(
            middle,
            sigma=(sigma + sigma.T) / 2,
            mu=tau + lam @ eta_mean,
            eta_cov=eta_cov,
            eta_mean=eta_mean,
            theta=residual,
        )

    def evaluate(self, structure: Structure, moments: Moments, theta: Array) -> Point | None:
        """Return the fit function at `theta`, or None where a covariance matrix is not positive definite."""
        found = self._read(theta, self.grid.points)
        if found is None:
            return None
        models, works, weights, logl = found
        value = -2.0 * float(logl.sum()) / self.nobs
        if not np.isfinite(value):
            return None
        omega = np.empty((0, 0))  # each point has an inverse of its own
        middle = models.at(len(models.mu) // 2)
        return MixturePoint(theta, value, middle, omega, self, models, works, weights)

    def _read(self, theta: Array, points: Array) -> tuple[Models, tuple[Work, ...], tuple[Array, ...], Array] | None:
        """Return models, work and posterior weights, and the log-likelihood of each respondent (N,)."""
        models = self._stack(theta, points)
        if models is None or not (np.isfinite(models.sigma).all() and np.isfinite(models.mu).all()):
            return None
        works, weights = [], []
        logl = np.empty(self.nobs)
        for cell in self.cells:
            read = cell.weigh(models, self.center)
            if read is None:
                return None
            share, work = read
            top = share.max(axis=1, keepdims=True)
            share -= top
            np.exp(share, out=share)
            total = share.sum(axis=1, keepdims=True)
            share /= total
            logl[cell.rows] = (top + np.log(total))[:, 0] + np.log(self.grid.volume)
            works.append(work)
            weights.append(share)
        return models, tuple(works), tuple(weights), logl

    def log_likelihood(self, theta: Array, grid: Grid) -> float:
        """Return the log-likelihood with other points, which may be very many; NaN where there is none."""
        mixture = replace(self, grid=grid)
        size = max(1, LIMIT // max(len(c.rows) for c in self.cells))
        total = np.full(self.nobs, -np.inf)
        for first in range(0, len(grid.points), size):
            found = mixture._read(theta, grid.points[first : first + size])
            if found is None:
                return float("nan")
            total = np.logaddexp(total, found[3])
        return float(total.sum())

    def prune(self, point: Point) -> Grid:
        """Return the grid without the points that no respondent gives any weight."""
        largest = np.max([w.max(axis=0) for w in _own(point).weights], axis=0)
        return Grid(self.grid.points[largest > KEPT], self.grid.volume)

    def _forces(self, point: MixturePoint) -> tuple[Array, Array]:
        """Return the sums over respondents of w (Omega - r r') and w r at each point, (Q, p + d, p + d), (Q, p + d)."""
        models = point.models
        assert models is not None
        pull, push = np.zeros_like(models.sigma), np.zeros_like(models.mu)
        for cell, work, weight in zip(self.cells, point.works, point.weights, strict=True):
            cell.add_forces(models, self.center, work, weight, pull, push)
        return pull, push

    def gradient(self, structure: Structure, moments: Moments, point: Point) -> Array:
        """Return dF/dtheta, shape (q,)."""
        s, at = self.structure, _own(point)
        models = at.models
        assert models is not None
        pull, push = self._forces(at)
        scales, means = self._scales(), self._mean_scales(models)
        total = np.zeros(len(s.free))
        size = max(1, LIMIT // models.columns[0].size)
        for first in range(0, len(pull), size):
            part = slice(first, first + size)
            columns = models.columns[part]
            weight = columns.transpose(0, 2, 1) @ pull[part] @ columns
            lever = np.einsum("qic,qi->qc", columns, push[part])
            slope = s.w * weight[:, s.u, s.v] - means[part] * lever[:, s.mean_column]
            total += 2.0 * (slope * scales[part]).sum(axis=0)
        return s.gather(total) / self.nobs

    def _mean_scales(self, models: Models) -> Array:
        s = self.structure
        values = np.concatenate([np.ones((len(models.eta_mean), 1)), models.eta_mean], axis=1)
        return np.where(s.mean_scale < 0, 0.0, values[:, s.mean_scale])

    def scores(self, point: Point) -> Array:
        """Return the score of each respondent, d log L_i / dtheta, shape (N, q)."""
        return self._spread(_own(point), variance=False)[0]

    def _spread(self, point: MixturePoint, *, variance: bool, every: int = 1) -> tuple[Array, Array]:
        """Return the respondents' scores (N, q) and the sum of w s s' over respondents and points (q, q).

        Only each `every`-th row of a set is looked at; the scores of others are 0. A respondent takes part at the
        points that have some weight.
        """
        s, models = self.structure, point.models
        assert models is not None
        total = np.zeros((self.nobs, len(s.free)))
        square = np.zeros((len(s.free), len(s.free)))
        scales, means = self._scales(), self._mean_scales(models)
        for cell, work, weight in zip(self.cells, point.works, point.weights, strict=True):
            some = weight[::every].T > NOTHING
            for q in np.flatnonzero(some.any(axis=1)):
                take = np.flatnonzero(some[q]) * every
                scores = cell.scores(s, models, self.center, work, int(q), take, means[q])
                scores *= scales[q]
                weighted = scores * weight[take, q, None]
                total[cell.rows[take]] += weighted
                if variance:
                    square += scores.T @ weighted
        return s.gather(total), s.gather(s.gather(square).T)

    def first_order(self, point: Point) -> Array:
        """Return the mean cross-product of the scores, the first-order information of a respondent, (q, q)."""
        scores = self.scores(point)
        return scores.T @ scores / self.nobs

    def scoring_information(self, structure: Structure, point: Point) -> Array:
        """Return the metric of the search, shape (q, q): the first-order information of some of the respondents."""
        memory = self.memory
        if memory is not None and memory.theta is not None and memory.information is not None:
            move = point.theta - memory.theta
            if move @ memory.information @ move <= NEAR:
                return memory.information
        every = max(1, self.nobs // max(SOME, 10 * self.structure.q))
        scores = self._spread(_own(point), variance=False, every=every)[0]
        information: Array = scores.T @ scores / max(1, sum(len(range(0, len(c.rows), every)) for c in self.cells))
        if memory is not None:
            memory.theta, memory.information = point.theta, information
        return information

    def near_hessian(self, structure: Structure, point: Point) -> Array:
        """Return the Hessian, which is kept for as many steps as it serves."""
        if self.memory is not None and self.memory.hessian is not None:
            return self.memory.hessian
        return self.hessian(structure, None, point)

    def expected_information(self, structure: Structure, point: Point) -> Array:
        """Return the observed information of one respondent: there is no closed form of the expected one."""
        return self._information(_own(point))

    def hessian(self, structure: Structure, moments: Moments | None, point: Point) -> Array:
        """Return d2F / dtheta dtheta', shape (q, q)."""
        out = 2.0 * self._information(_own(point))
        if self.memory is not None:
            self.memory.hessian = out
        return out

    def _information(self, point: MixturePoint) -> Array:
        """Return the observed information of one respondent, (q, q)."""
        s, models = self.structure, point.models
        assert models is not None
        scales, means = self._scales(), self._mean_scales(models)
        pull, push = self._forces(point)
        complete = np.zeros((len(s.free), len(s.free)))
        largest = [w.max(axis=0) for w in point.weights]
        for q in np.flatnonzero(np.max(largest, axis=0) > NOTHING):
            at = models.at(int(q))
            columns = at.columns
            bend = curvature(s, at, columns.T @ pull[q] @ columns, columns.T @ push[q])
            for cell, work, weight, most in zip(self.cells, point.works, point.weights, largest, strict=True):
                if most[q] > NOTHING:
                    bend += cell.rigid(s, models, self.center, work, int(q), weight, means[q])
            complete += bend * np.outer(scales[q], scales[q])
        scores, square = self._spread(point, variance=True)
        whole = 0.5 * s.gather(s.gather(complete).T) - square + scores.T @ scores
        return (whole + whole.T) / (2.0 * self.nobs)

    def gfi(self, moments: Moments, implied: Implied) -> float:
        """Return NaN: there are no moments to reproduce."""
        return float("nan")


def make_mixture(
    structure: Structure, products: tuple[Product, ...], given: tuple[int, ...], incomplete: Incomplete, grid: Grid
) -> Mixture:
    """Prepare the likelihood of a model with latent products.

    Parameters
    ----------
    structure : Structure
        Of the linear part, with means.
    products : tuple of Product
    given : tuple of int
        Places in eta of the variables that make every product linear.
    incomplete : Incomplete
        The rows in model order, by pattern of what is present.
    grid : Grid
    """
    center = np.nanmean(incomplete.rows, axis=0)
    extended = extend_structure(structure, products, given)
    return Mixture(extended, products, given, grid, gather_rows(incomplete, center), center, incomplete.nobs)


def _own(point: Point) -> MixturePoint:
    assert isinstance(point, MixturePoint)
    return point
