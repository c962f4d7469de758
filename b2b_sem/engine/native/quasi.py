"""Products of latent variables by quasi-maximum likelihood (QML).

With products the structural part is  eta = alpha + B eta + sum_j omega_j e_o(j) eta_a(j) eta_b(j) + zeta. As long as
no factor of a product depends on a product itself,

    eta = eta0 + G q,    q_j = eta0_a(j) eta0_b(j),    G = (I - B)^-1 [e_o(1) omega_1, ...],

with eta0 the (normal) variables of the linear model: whatever is downstream of a product has its share of it. Items
measure y = y0 + Lambda G q. They are transformed one to one to

- t: the items of the variables that q does not reach, and for the others the combinations of items in which eta
  cancels (u = y_k - r y_s, r = Lambda_k Lambda_s^-1). t is normal, with the moments of the linear model;
- s: one scaling item for each of the others. Its density given t is taken as normal with its exact mean and covariance
  matrix. These are polynomials in m = E[eta0 | t]: with S1 = Cov[eta0 | t], D t = E[s0 | t], V0 = Cov[s0 | t],
  c = Cov[s0, eta0 | t], K = Lambda_s G, N_j = m_a e_b' + m_b e_a' and L = K N,

    E[s | t] = mu_s + D t + K h,    h_j = m_a m_b + S1_ab,
    Cov[s | t] = V0 + L c' + c L' + L S1 L' + K Z K',    Z_jk = S1_ac S1_bd + S1_ad S1_bc.

This is the method of Klein & Muthen (2007, doi:10.1080/00273170701710205) for any number of outcomes. The density of a
row is explicit, there is no integral. For the small matrices and the way back to the parameters see
:mod:`b2b_sem.engine.native.quasi_piece`; the derivatives of a density by them are written out below.

The fit function is F(theta) = -2 log L / N.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from b2b_sem.data.incomplete import Incomplete
from b2b_sem.engine.base import Array, IntArray
from b2b_sem.engine.native.implied import Implied, Structure
from b2b_sem.engine.native.loss import Moments, Point
from b2b_sem.engine.native.product import Product
from b2b_sem.engine.native.quasi_piece import (
    Cell,
    Matrices,
    Pieces,
    fourth,
    make_matrices,
    make_pieces,
    pull_back,
    turn,
)

__all__ = ["Quasi", "QuasiPoint", "make_quasi"]

#: Size of a complex step: its square is nothing beside 1.
TINY = 1e-30
#: Step of numeric second derivatives, in standard deviations of a respondent's information.
STEP = 1e-4
#: Numbers in the arrays of one batch of numeric second derivatives.
BATCH = 200_000
#: Respondents that are enough for the metric of the search.
SOME = 400
LOG_2PI = float(np.log(2.0 * np.pi))


@dataclass(frozen=True)
class _Rows:
    """What the rows of a cell have at a point, or at many: leading dimensions. The rows come last."""

    pieces: Pieces
    t: Array  # (..., t, n)
    b: Array  # cov^-1 t
    scaling: Array  # s less its mean without products (..., s, n)
    m: Array  # (..., f, n)
    square: Array  # m m' (..., f f, n)
    a: Array  # V^-1 e (..., s, n)
    pull: Array  # derivative by V: (a a' - V^-1) / 2 (..., s s, n)


@dataclass(frozen=True)
class QuasiPoint(Point):
    """A point of the fit function with what its derivatives need."""

    matrices: Matrices | None = None
    cells: tuple[_Rows, ...] = ()


@dataclass(frozen=True, eq=False)
class Quasi:
    """The quasi-likelihood of a model with latent products: a fit function (:class:`~.loss.Discrepancy`).

    Attributes
    ----------
    structure : Structure
        Of the linear part, with means; ``q`` counts the parameters of products, too.
    products : tuple of Product
    factors : (f,) int array
        Places in eta of the factors of products.
    pairs : (J, f, f) array
        1 where two factors make a product, 2 for a square.
    cells : tuple of Cell
    center : (p,) array
        What was subtracted from the answers.
    nobs : int
    """

    structure: Structure
    products: tuple[Product, ...]
    factors: IntArray
    pairs: Array
    cells: tuple[Cell, ...]
    center: Array
    nobs: int

    @property
    def unit(self) -> float:
        """What values and second derivatives are multiplied by to have the unit of the fit function."""
        return 1.0

    def evaluate(self, structure: Structure, moments: Moments, theta: Array) -> Point | None:
        """Return the fit function at `theta`, or None where a covariance matrix is not positive definite."""
        try:
            at = make_matrices(self.structure, self.products, theta)
            if not np.isfinite(at.eta_cov).all():
                return None
            found = [self._rows(self._pieces(at, cell), cell) for cell in self.cells]
        except np.linalg.LinAlgError:
            return None
        value = -2.0 * sum(float(logl.sum()) for logl, _ in found) / self.nobs
        if not np.isfinite(value):
            return None
        rows = tuple(r for _, r in found)
        return QuasiPoint(theta, value, self._implied(at), np.empty((0, 0)), self, at, rows)

    def _pieces(self, at: Matrices, cell: Cell) -> Pieces:
        return make_pieces(at, cell, self.factors, self.pairs, self.center)

    def _rows(self, g: Pieces, cell: Cell) -> tuple[Array, _Rows]:
        """Return the log density of each row of a cell (..., n), and what its derivatives need.

        Raises
        ------
        LinAlgError
            If a covariance matrix is not positive definite.
        """
        factor = np.linalg.cholesky(g.cov)
        scaling = cell.answers[cell.scaling] - g.mean_s[..., None]
        t = cell.answers[cell.whole] - g.mean_t[..., None] - g.ratio @ scaling
        b = g.inverse @ t
        logl = -0.5 * (t * b).sum(axis=-2) - np.log(np.diagonal(factor, axis1=-2, axis2=-1)).sum(axis=-1)[..., None]
        m = g.mean[..., None] + g.slope @ t
        square = _flat(m[..., :, None, :] * m[..., None, :, :], 3)
        e = scaling - g.loading @ t - g.k0[..., None] - _flat(g.k2) @ square
        count = e.shape[-2]
        v = _flat(g.v0)[..., None] + _flat(g.v1, 3) @ m + g.v2.reshape(*g.v2.shape[:-4], count**2, -1) @ square
        inverse, logdet = _invert(v.reshape(*e.shape[:-1], *e.shape[-2:]))
        a = (inverse * e[..., None, :, :]).sum(axis=-2)
        logl -= 0.5 * (logdet + (a * e).sum(axis=-2) + (t.shape[-2] + count) * LOG_2PI)
        pull = _flat(0.5 * (a[..., :, None, :] * a[..., None, :, :] - inverse), 3)
        return logl, _Rows(g, t, b, scaling, m, square, a, pull)

    def _adjoint(self, r: _Rows) -> tuple[Array, Array, Array]:
        """Return the derivatives of each row by m (..., f, n), t (..., t, n) and s (..., s, n)."""
        g = r.pieces
        f, lead = r.m.shape[-2], r.m.shape[:-2]
        v2 = g.v2.reshape(*lead, -1, f * f)
        by_square = (turn(_flat(g.k2)) @ r.a + turn(v2) @ r.pull).reshape(*lead, f, f, -1)
        by_square = by_square + np.swapaxes(by_square, -3, -2)
        by_m = turn(_flat(g.v1, 3)) @ r.pull + (by_square * r.m[..., None, :, :]).sum(axis=-2)
        by_t = turn(g.loading) @ r.a + turn(g.slope) @ by_m - r.b
        return by_m, by_t, r.a + turn(g.ratio) @ by_t

    def _by_pieces(self, r: _Rows) -> Pieces:
        """Return the derivatives of the sum of a cell's log densities by the small matrices."""
        g = r.pieces
        by_m, by_t, by_s = self._adjoint(r)
        count = r.t.shape[-1]
        return Pieces(
            mean_t=-by_t.sum(axis=-1),
            mean_s=by_s.sum(axis=-1),
            ratio=-by_t @ turn(r.scaling),
            cov=0.5 * (r.b @ turn(r.b) - count * g.inverse),
            slope=by_m @ turn(r.t),
            mean=by_m.sum(axis=-1),
            loading=r.a @ turn(r.t),
            v0=r.pull.sum(axis=-1).reshape(g.v0.shape),
            v1=(r.pull @ turn(r.m)).reshape(g.v1.shape),
            v2=(r.pull @ turn(r.square)).reshape(g.v2.shape),
            k0=r.a.sum(axis=-1),
            k2=(r.a @ turn(r.square)).reshape(g.k2.shape),
        )

    def gradient(self, structure: Structure, moments: Moments, point: Point) -> Array:
        """Return dF/dtheta, shape (q,)."""
        at = _own(point)
        assert at.matrices is not None
        return self._gradient(at.matrices, [(r.pieces, self._by_pieces(r)) for r in at.cells])

    def _gradient(self, at: Matrices, pieces: list[tuple[Pieces, Pieces]]) -> Array:
        """Return the gradient at one point or many, (..., q), from each cell's small matrices and slopes by them."""
        cells = [(cell, g, bar) for cell, (g, bar) in zip(self.cells, pieces, strict=True)]
        total = pull_back(self.structure, self.products, at, cells, self.factors, self.pairs)
        return -2.0 * total / self.nobs

    def _gradients(self, thetas: Array) -> Array:
        """Return the gradients at many parameter vectors, (k, q).

        Raises
        ------
        LinAlgError
            If a covariance matrix is not positive definite.
        """
        at = make_matrices(self.structure, self.products, thetas)
        pieces = []
        for cell in self.cells:
            g = self._pieces(at, cell)
            chunk = max(1, BATCH // (cell.answers.size + self.structure.p**2))
            parts = [
                self._by_pieces(self._rows(_take(g, slice(k, k + chunk)), cell)[1])
                for k in range(0, len(thetas), chunk)
            ]
            pieces.append((g, _join(parts)))
        return self._gradient(at, pieces)

    def scores(self, point: Point) -> Array:
        """Return the score of each respondent, d log L_i / dtheta, shape (N, q).

        The derivatives of the small matrices are complex steps.
        """
        return self._scores(_own(point), len(self.cells))

    def _scores(self, at: QuasiPoint, count: int) -> Array:
        """Return the scores of respondents of the first `count` cells, those of others 0, (N, q)."""
        steps = at.theta + 1j * TINY * np.eye(len(at.theta))
        model = make_matrices(self.structure, self.products, steps)
        out = np.zeros((self.nobs, len(at.theta)))
        for cell, r in zip(self.cells[:count], at.cells[:count], strict=True):
            out[cell.rows] = self._row_scores(r, self._pieces(model, cell))
        return out

    def _row_scores(self, r: _Rows, complex_pieces: Pieces) -> Array:
        """Return the scores of a cell's rows, (n, q)."""
        by_m, by_t, by_s = self._adjoint(r)
        n = r.t.shape[1]

        def slope(matrix: Array) -> Array:
            return (matrix.imag / TINY).reshape(len(matrix), -1).T

        def outer(x: Array, y: Array) -> Array:
            return (x[:, None, :] * y[None, :, :]).reshape(-1, n).T

        d = complex_pieces
        cov = slope(d.cov)
        out: Array = by_s.T @ slope(d.mean_s) - by_t.T @ slope(d.mean_t)
        out -= outer(by_t, r.scaling) @ slope(d.ratio)
        out += 0.5 * (outer(r.b, r.b) @ cov - r.pieces.inverse.ravel() @ cov)
        out += outer(by_m, r.t) @ slope(d.slope) + by_m.T @ slope(d.mean)
        out += outer(r.a, r.t) @ slope(d.loading)
        out += r.pull.T @ slope(d.v0) + outer(r.pull, r.m) @ slope(d.v1) + outer(r.pull, r.square) @ slope(d.v2)
        out += r.a.T @ slope(d.k0) + outer(r.a, r.square) @ slope(d.k2)
        return out

    def first_order(self, point: Point) -> Array:
        """Return the mean cross-product of the scores, the first-order information of a respondent, (q, q)."""
        scores = self.scores(point)
        return scores.T @ scores / self.nobs

    def scoring_information(self, structure: Structure, point: Point) -> Array:
        """Return the metric of the search, shape (q, q): the first-order information of most respondents."""
        count, rows, seen = 0, 0, np.zeros(self.structure.p, dtype=bool)
        while count < len(self.cells) and not (seen.all() and rows >= max(SOME, 10 * self.structure.q)):
            cell = self.cells[count]
            seen[cell.whole] = seen[cell.scaling] = True
            rows, count = rows + len(cell.rows), count + 1
        scores = self._scores(_own(point), count)
        return scores.T @ scores / rows

    def near_hessian(self, structure: Structure, point: Point) -> Array:
        """Return what serves as the Hessian as long as its steps go well: twice the first-order information."""
        return 2.0 * self.first_order(point)

    def expected_information(self, structure: Structure, point: Point) -> Array:
        """Return the observed information of one respondent: there is no closed form of the expected one."""
        return self._information(_own(point))

    def hessian(self, structure: Structure, moments: Moments, point: Point) -> Array:
        """Return d2F / dtheta dtheta', shape (q, q)."""
        return 2.0 * self._information(_own(point))

    def _information(self, point: QuasiPoint) -> Array:
        """Return the observed information of one respondent, (q, q): central differences of the gradient.

        The steps follow the information of each parameter, so that they have its unit.
        """
        theta = point.theta
        size = np.sqrt(np.diag(self.first_order(point)))
        steps = np.diag(STEP / np.where(size > 0.0, size, 1.0))
        try:
            both = self._gradients(np.concatenate([theta + steps, theta - steps]))
        except np.linalg.LinAlgError:
            both = np.concatenate([self._beside(point, steps), self._beside(point, -steps)])
        out = (both[: len(theta)] - both[len(theta) :]) / (2.0 * np.diag(steps)[:, None])
        return (out + out.T) / 4.0

    def _beside(self, point: QuasiPoint, steps: Array) -> Array:
        """Return the gradients at parameter vectors beside a point, (k, q), one by one.

        Where there is none, with a variance at its end, it is extrapolated from the other side.
        """
        here, out = self.gradient(self.structure, _NOTHING, point), np.full_like(steps, np.nan)
        for k, step in enumerate(steps):
            for sign in (1.0, -1.0):
                try:
                    found = self._gradients(point.theta[None] + sign * step)[0]
                except np.linalg.LinAlgError:
                    continue
                out[k] = found if sign > 0.0 else 2.0 * here - found
                break
        return out

    def whole_moments(self, theta: Array) -> Implied:
        """Return the moments of all variables, products and all, in closed form.

        Raises
        ------
        ValueError
            If I - B is singular.
        """
        try:
            at = make_matrices(self.structure, self.products, theta)
        except np.linalg.LinAlgError as error:
            raise ValueError("I - B is singular") from error
        linear = self._implied(at)
        f = self.factors
        cov, mean, cross = at.eta_cov[np.ix_(f, f)], at.eta_mean[f], at.eta_cov[:, f]
        reach = at.reach @ np.einsum("jfg,f->jg", self.pairs, mean)
        h = 0.5 * (np.einsum("jfg,f,g->j", self.pairs, mean, mean) + np.einsum("jfg,fg->j", self.pairs, cov))
        part = reach @ (cross.T + 0.5 * cov @ reach.T)
        eta_cov = at.eta_cov + part + part.T + at.reach @ fourth(self.pairs, cov) @ at.reach.T
        eta_mean = at.eta_mean + at.reach @ h
        sigma = at.lam @ eta_cov @ at.lam.T + at.theta
        return replace(
            linear,
            sigma=(sigma + sigma.T) / 2,
            mu=at.tau + at.lam @ eta_mean,
            eta_cov=(eta_cov + eta_cov.T) / 2,
            eta_mean=eta_mean,
        )

    def _implied(self, at: Matrices) -> Implied:
        """Return the moments of the linear model."""
        sigma = at.lam @ at.eta_cov @ at.lam.T + at.theta
        columns = np.concatenate([np.eye(len(sigma)), at.lam @ at.inverse, at.lam @ at.eta_cov], axis=1)
        mu = at.tau + at.lam @ at.eta_mean
        return Implied((sigma + sigma.T) / 2, mu, at.eta_cov, at.eta_mean, columns, at.inverse, at.psi, at.theta)

    def gfi(self, moments: Moments, implied: Implied) -> float:
        """Return NaN: there are no moments to reproduce."""
        return float("nan")


def make_quasi(
    structure: Structure,
    products: tuple[Product, ...],
    cancelled: IntArray,
    markers: dict[int, IntArray],
    incomplete: Incomplete,
) -> Quasi:
    """Prepare the quasi-likelihood.

    Parameters
    ----------
    structure : Structure
        Of the linear part, with means; ``q`` counts the parameters of products, too.
    products : tuple of Product
        No factor may depend on a product.
    cancelled : int array
        Places in eta of the variables with items of their own that products may reach.
    markers : dict
        For each of these its items, the preferred scaling item first.
    incomplete : Incomplete
        The rows in model order, by pattern of what is present.

    Raises
    ------
    ValueError
        If no item of such a variable can be its scaling item.
    """
    center = np.nanmean(incomplete.rows, axis=0)
    factors = np.array(sorted({i for x in products for i in (x.first, x.second)}), dtype=np.intp)
    place = {int(v): k for k, v in enumerate(factors)}
    pairs = np.zeros((len(products), len(factors), len(factors)))
    for j, x in enumerate(products):
        a, b = place[x.first], place[x.second]
        pairs[j, a, b] += 1.0
        pairs[j, b, a] += 1.0
    cells = []
    for pattern, present in enumerate(incomplete.patterns):
        rows = np.flatnonzero(incomplete.member == pattern)
        chosen: list[int] = []
        seen: list[int] = []
        for variable in cancelled:
            items = [int(i) for i in markers[int(variable)] if present[i]]
            free = [i for i in items if i not in chosen]
            if items and not free:
                raise ValueError(f"{structure.eta[variable]} has no scaling item")
            if free:
                chosen.append(free[0])
                seen.append(int(variable))
        scaling = np.array(chosen, dtype=np.intp)
        whole = np.array([i for i in np.flatnonzero(present) if i not in chosen], dtype=np.intp)
        answers = (incomplete.rows[rows] - center).T
        cells.append(Cell(rows, answers, whole, scaling, np.array(seen, dtype=np.intp)))
    return Quasi(structure, products, factors, pairs, tuple(cells), center, incomplete.nobs)


_NOTHING = Moments(np.empty((0, 0)), None, 0.0)


def _take(pieces: Pieces, which: slice) -> Pieces:
    return Pieces(**{name: value[which] for name, value in vars(pieces).items()})


def _join(parts: list[Pieces]) -> Pieces:
    first = vars(parts[0])
    return Pieces(**{k: np.concatenate([vars(p)[k] for p in parts]) for k, v in first.items() if v is not None})


def _flat(array: Array, places: int = 2) -> Array:
    """Return the array with two of its last dimensions made one: those before the last `places` - 2."""
    shape, k = array.shape, array.ndim - places
    return array.reshape(*shape[:k], shape[k] * shape[k + 1], *shape[k + 2 :])


def _invert(matrix: Array) -> tuple[Array, Array]:
    """Return the inverses of small symmetric matrices (..., s, s, n), and their log determinants (..., n): by sweeps.

    Raises
    ------
    LinAlgError
        If one is not positive definite.
    """
    out, logdet = matrix, np.zeros(())
    for k in range(matrix.shape[-2]):
        pivot = out[..., k, k, :]
        if not (pivot > 0.0).all():
            raise np.linalg.LinAlgError("a covariance matrix is not positive definite")
        row = out[..., k, :, :] / pivot[..., None, :]
        logdet = logdet + np.log(pivot)
        out = out - out[..., :, k, None, :] * row[..., None, :, :]
        out[..., k, :, :] = out[..., :, k, :] = row
        out[..., k, k, :] = -1.0 / pivot
    return -out, logdet


def _own(point: Point) -> QuasiPoint:
    assert isinstance(point, QuasiPoint)
    return point
