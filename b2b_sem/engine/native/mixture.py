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
from b2b_sem.engine.base import Array, IntArray
from b2b_sem.engine.native.implied import ALPHA, BETA, LAMBDA, PSI, TAU, THETA, Implied, Structure
from b2b_sem.engine.native.loss import Moments, Point, covariance_bend, curvature, mean_bend

__all__ = ["Grid", "Mixture", "MixturePoint", "Product", "extend_structure", "make_grid", "make_mixture"]

#: Ends of the grid, in standard deviations of the given variable.
REACH = 6.0
#: Respondents that are enough for the metric of the search.
SOME = 400
#: Posterior weight below which a point adds nothing to scores and Hessian.
NOTHING = 1e-17


@dataclass(frozen=True)
class Product:
    """A term ``omega * eta[given] * eta[partner]`` of the equation of ``eta[outcome]``.

    Attributes
    ----------
    parameter : int or None
        Of omega, from 0; None where it is fixed.
    value : float
        Of a fixed omega.
    outcome, given, partner : int
        Places in eta.
    """

    parameter: int | None
    value: float
    outcome: int
    given: int
    partner: int


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


def make_grid(mean: Array, sd: Array, count: int) -> Grid:
    """Return equally spaced points over 6 standard deviations on either side of the means.

    Parameters
    ----------
    mean, sd : (D,) arrays
        Of the given variables, roughly.
    count : int
        Points in each dimension. In several dimensions those in the corners, which lie further out than the ends, are
        left out.
    """
    axes = [m + s * np.linspace(-REACH, REACH, count) for m, s in zip(mean, sd, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
    if len(axes) > 1:
        points = points[(((points - mean) / sd) ** 2).sum(axis=1) <= REACH**2]
    return Grid(points, float(np.prod(2.0 * REACH * sd / (count - 1))))


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
    col = np.concatenate([structure.col, np.array([x.partner for x in free], dtype=np.intp)])
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
class _Stack:
    """The linear models of all points, each array with the point first."""

    mu: Array
    sigma: Array
    eta_cov: Array
    eta_mean: Array
    inverse: Array
    columns: Array
    psi: Array
    theta: Array


@dataclass(frozen=True)
class _Cell:
    """Rows with the same answers present."""

    rows: IntArray
    observed: IntArray
    answers: Array  # (n, k)
    features: Array  # (n, k (k + 1) / 2 + k + 1): products of answers, answers, 1
    first: IntArray
    second: IntArray


@dataclass(frozen=True)
class MixturePoint(Point):
    """A point of the fit function with what its derivatives need.

    Attributes
    ----------
    stack : _Stack
    inverses : per cell (Q, k + D, k + D) array
    levers : per cell (Q, k + D) array
        Sigma^-1 ((0, c) - mu).
    weights : per cell (n, Q) array
        Posterior weights of the points.
    """

    stack: _Stack | None = None
    inverses: tuple[Array, ...] = ()
    levers: tuple[Array, ...] = ()
    weights: tuple[Array, ...] = ()


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
    cells : tuple of _Cell
    center : (p,) array
        What was subtracted from the answers, to keep products of them small.
    nobs : int
    """

    structure: Structure
    products: tuple[Product, ...]
    given: tuple[int, ...]
    grid: Grid
    cells: tuple[_Cell, ...]
    center: Array
    nobs: int

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
            out[:, k] = self.grid.points[:, self.given.index(x.given)]
        return out

    def _stack(self, theta: Array) -> _Stack | None:
        """Return the linear models of all points, or None where I - B is singular."""
        s = self.structure
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
        stacked = np.repeat(beta[None], len(self.grid.points), axis=0)
        for x in self.products:
            omega = x.value if x.parameter is None else theta[x.parameter]
            stacked[:, x.outcome, x.partner] += omega * self.grid.points[:, self.given.index(x.given)]
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
        return _Stack(tau + eta_mean @ lam.T, sigma, eta_cov, eta_mean, inverse, columns, psi, th)

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
        stack = self._stack(theta)
        if stack is None:
            raise ValueError("I - B is singular")
        at = list(self.given)
        p, d = len(self.center), self.dimensions
        lam, tau = s.templates[LAMBDA].copy(), s.templates[TAU].copy()
        entries, i, j = s.where[LAMBDA]
        lam[i, j] = theta[s.free[entries]]
        entries, i, _ = s.where[TAU]
        tau[i] = theta[s.free[entries]]
        inner = stack.eta_cov[:, at][:, :, at]
        away = self.grid.points - stack.eta_mean[:, at]
        solved = np.linalg.solve(inner, np.concatenate([away[:, :, None], stack.eta_cov[:, at]], axis=2))
        _, logdet = np.linalg.slogdet(inner)
        log = -0.5 * ((away * solved[:, :, 0]).sum(axis=1) + logdet + d * np.log(2.0 * np.pi))
        weight = np.exp(log) * self.grid.volume
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
        middle = self._implied(stack, len(weight) // 2)
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
        stack = self._stack(theta)
        if stack is None or not (np.isfinite(stack.sigma).all() and np.isfinite(stack.mu).all()):
            return None
        p, d = len(self.center), self.dimensions
        inverses, levers, weights = [], [], []
        logl = np.empty(self.nobs)
        for cell in self.cells:
            k = len(cell.observed)
            at = np.concatenate([cell.observed, np.arange(p, p + d)])
            sigma = stack.sigma[:, at[:, None], at]
            try:
                factor = np.linalg.cholesky(sigma)
            except np.linalg.LinAlgError:
                return None
            logdet = 2.0 * np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(axis=1)
            inverse = np.linalg.inv(sigma)
            inverse = (inverse + inverse.transpose(0, 2, 1)) / 2
            # distance of (center, c) from the mean: answers are stored without their center
            away = np.concatenate([np.broadcast_to(self.center[cell.observed], (len(sigma), k)), self.grid.points], 1)
            away = away - stack.mu[:, at]
            lever = np.einsum("qij,qj->qi", inverse, away)
            form = inverse[:, cell.first, cell.second] * np.where(cell.first == cell.second, 1.0, 2.0)
            constant = (away * lever).sum(axis=1) + logdet + (k + d) * np.log(2.0 * np.pi)
            coefficients = np.concatenate([form, 2.0 * lever[:, :k], constant[:, None]], axis=1)
            density = -0.5 * (cell.features @ coefficients.T)
            top = density.max(axis=1, keepdims=True)
            share = np.exp(density - top)
            total = share.sum(axis=1, keepdims=True)
            logl[cell.rows] = (top + np.log(total))[:, 0] + np.log(self.grid.volume)
            inverses.append(inverse)
            levers.append(lever)
            weights.append(share / total)
        value = -2.0 * float(logl.sum()) / self.nobs
        if not np.isfinite(value):
            return None
        middle = len(stack.mu) // 2
        implied = self._implied(stack, middle)
        omega = np.empty((0, 0))  # each point has an inverse of its own
        return MixturePoint(theta, value, implied, omega, self, stack, tuple(inverses), tuple(levers), tuple(weights))

    def _implied(self, stack: _Stack, q: int) -> Implied:
        return Implied(
            stack.sigma[q],
            stack.mu[q],
            stack.eta_cov[q],
            stack.eta_mean[q],
            stack.columns[q],
            stack.inverse[q],
            stack.psi,
            stack.theta,
        )

    def _forces(self, point: MixturePoint) -> tuple[Array, Array]:
        """Return the sums over respondents of w (Omega - r r') and w r at each point, (Q, p + d, p + d), (Q, p + d)."""
        count, p, d = len(self.grid.points), len(self.center), self.dimensions
        pull, push = np.zeros((count, p + d, p + d)), np.zeros((count, p + d))
        for cell, inverse, lever, weight in zip(self.cells, point.inverses, point.levers, point.weights, strict=True):
            k = len(cell.observed)
            at = np.concatenate([cell.observed, np.arange(p, p + d)])
            sums = weight.T @ cell.features
            products = np.empty((count, k, k))
            products[:, cell.first, cell.second] = sums[:, : len(cell.first)]
            products[:, cell.second, cell.first] = sums[:, : len(cell.first)]
            total, n = sums[:, len(cell.first) : -1], sums[:, -1]
            slope = inverse[:, :, :k]
            mean = np.einsum("qij,qj->qi", slope, total)
            cross = mean[:, :, None] * lever[:, None, :]
            square = slope @ products @ slope.transpose(0, 2, 1) + cross + cross.transpose(0, 2, 1)
            square += n[:, None, None] * (lever[:, :, None] * lever[:, None, :])
            pull[:, at[:, None], at] += n[:, None, None] * inverse - square
            push[:, at] += mean + n[:, None] * lever
        return pull, push

    def gradient(self, structure: Structure, moments: Moments, point: Point) -> Array:
        """Return dF/dtheta, shape (q,)."""
        at = _own(point)
        assert at.stack is not None
        pull, push = self._forces(at)
        entries = self._slopes(at.stack, pull, push)
        return self.structure.gather((entries * self._scales()).sum(axis=0)) / self.nobs

    def _slopes(self, stack: _Stack, pull: Array, push: Array) -> Array:
        """Return derivatives of -2 log L by the entries at each point, (Q, E)."""
        s = self.structure
        weight = stack.columns.transpose(0, 2, 1) @ pull @ stack.columns
        lever = np.einsum("qic,qi->qc", stack.columns, push)
        return 2.0 * s.w * weight[:, s.u, s.v] - 2.0 * self._mean_scales(stack) * lever[:, s.mean_column]

    def _mean_scales(self, stack: _Stack) -> Array:
        s = self.structure
        values = np.concatenate([np.ones((len(stack.eta_mean), 1)), stack.eta_mean], axis=1)
        return np.where(s.mean_scale < 0, 0.0, values[:, s.mean_scale])

    def _each(self, point: MixturePoint, q: int, every: int) -> list[Array]:
        """Return the scores (n, E) of the entries at one point, of each `every`-th row, by cell."""
        s, stack = self.structure, point.stack
        assert stack is not None
        p, d = len(self.center), self.dimensions
        scale = self._scales()[q]
        means = self._mean_scales(stack)[q] * scale
        out = []
        for cell, inverse, lever in zip(self.cells, point.inverses, point.levers, strict=True):
            k = len(cell.observed)
            at = np.concatenate([cell.observed, np.arange(p, p + d)])
            columns = stack.columns[q][at]
            fixed = columns.T @ inverse[q] @ columns
            force = (cell.answers[::every] @ inverse[q][:k] + lever[q]) @ columns  # (n, K)
            own = s.w * scale
            scores = force[:, s.u] * force[:, s.v] * own - own * fixed[s.u, s.v]
            scores += means * force[:, s.mean_column]
            out.append(scores)
        return out

    def scores(self, point: Point) -> Array:
        """Return the score of each respondent, d log L_i / dtheta, shape (N, q)."""
        return self._spread(_own(point), variance=False)[0]

    def _spread(self, point: MixturePoint, *, variance: bool, every: int = 1) -> tuple[Array, Array]:
        """Return the respondents' scores (N, q) and the sum of w s s' over respondents and points (q, q).

        Only each `every`-th row of a cell is looked at; the scores of others are 0.
        """
        s = self.structure
        total = np.zeros((self.nobs, len(s.free)))
        square = np.zeros((len(s.free), len(s.free)))
        for q in range(len(self.grid.points)):
            if max(float(w[:, q].max()) for w in point.weights) < NOTHING:
                continue
            for cell, weight, scores in zip(self.cells, point.weights, self._each(point, q, every), strict=True):
                weighted = scores * weight[::every, q, None]
                total[cell.rows[::every]] += weighted
                if variance:
                    square += scores.T @ weighted
        return s.gather(total), s.gather(s.gather(square).T)

    def first_order(self, point: Point) -> Array:
        """Return the mean cross-product of the scores, the first-order information of a respondent, (q, q)."""
        scores = self.scores(point)
        return scores.T @ scores / self.nobs

    def scoring_information(self, structure: Structure, point: Point) -> Array:
        """Return the metric of the search, shape (q, q): the first-order information of some of the respondents."""
        every = max(1, self.nobs // max(SOME, 10 * self.structure.q))
        scores = self._spread(_own(point), variance=False, every=every)[0]
        return scores.T @ scores / max(1, sum(len(range(0, len(c.rows), every)) for c in self.cells))

    def near_hessian(self, structure: Structure, point: Point) -> Array:
        """Return the Hessian, which is kept for as many steps as it serves."""
        return 2.0 * self.expected_information(structure, point)

    def expected_information(self, structure: Structure, point: Point) -> Array:
        """Return the observed information of one respondent: there is no closed form of the expected one."""
        return self._information(_own(point))

    def hessian(self, structure: Structure, moments: Moments, point: Point) -> Array:
        """Return d2F / dtheta dtheta', shape (q, q)."""
        return 2.0 * self._information(_own(point))

    def _information(self, point: MixturePoint) -> Array:
        """Return the observed information of one respondent, (q, q)."""
        s, stack = self.structure, point.stack
        assert stack is not None
        scales = self._scales()
        pull, push = self._forces(point)
        complete = np.zeros((len(s.free), len(s.free)))
        for q in range(len(self.grid.points)):
            at = self._implied(stack, q)
            columns = at.columns
            bend = curvature(s, at, columns.T @ pull[q] @ columns, columns.T @ push[q])
            complete += bend * np.outer(scales[q], scales[q])
        complete += self._rigid(point)
        scores, square = self._spread(point, variance=True)
        whole = 0.5 * s.gather(s.gather(complete).T) - square + scores.T @ scores
        return (whole + whole.T) / (2.0 * self.nobs)

    def _rigid(self, point: MixturePoint) -> Array:
        """Return the Hessian of -2 log L of the complete data without second derivatives of the moments, (E, E)."""
        s, stack = self.structure, point.stack
        assert stack is not None
        scales, means = self._scales(), self._mean_scales(stack)
        p, d = len(self.center), self.dimensions
        out = np.zeros((len(s.free), len(s.free)))
        for cell, inverse, lever, weight in zip(self.cells, point.inverses, point.levers, point.weights, strict=True):
            k = len(cell.observed)
            at = np.concatenate([cell.observed, np.arange(p, p + d)])
            sums = weight.T @ cell.features
            for q in range(len(self.grid.points)):
                n = sums[q, -1]
                if n == 0.0:
                    continue
                columns = stack.columns[q][at]
                a = columns.T @ inverse[q] @ columns
                products = np.empty((k, k))
                products[cell.first, cell.second] = sums[q, : len(cell.first)]
                products[cell.second, cell.first] = sums[q, : len(cell.first)]
                slope = columns.T @ inverse[q][:, :k]
                fixed = columns.T @ lever[q]
                force = slope @ sums[q, len(cell.first) : -1]
                c = slope @ products @ slope.T + np.outer(force, fixed) + np.outer(fixed, force)
                c += n * np.outer(fixed, fixed)
                b = force + n * fixed
                part = covariance_bend(s, a, c, n) + mean_bend(s, a, b, means[q], n)
                out += part * np.outer(scales[q], scales[q])
        return out

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
    cells = []
    for pattern, present in enumerate(incomplete.patterns):
        rows = np.flatnonzero(incomplete.member == pattern)
        observed = np.flatnonzero(present)
        answers = incomplete.rows[np.ix_(rows, observed)] - center[observed]
        first, second = np.triu_indices(len(observed))
        features = np.concatenate([answers[:, first] * answers[:, second], answers, np.ones((len(rows), 1))], axis=1)
        cells.append(_Cell(rows, observed, answers, features, first, second))
    extended = extend_structure(structure, products, given)
    return Mixture(extended, products, given, grid, tuple(cells), center, incomplete.nobs)


def _own(point: Point) -> MixturePoint:
    assert isinstance(point, MixturePoint)
    return point
