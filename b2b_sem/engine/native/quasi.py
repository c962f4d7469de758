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

This is the method of Klein & Muthen (2007, doi:10.1080/00273170701710205) for any number of outcomes. Each row's density
is explicit, there is no integral. Its derivatives by the small matrices are written out below; those of the small
matrices by the parameters are complex steps, exact to rounding (Squire & Trapp 1998, doi:10.1137/S003614459631241X).

The fit function is F(theta) = -2 log L / N.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from b2b_sem.data.incomplete import Incomplete
from b2b_sem.engine.base import Array, IntArray
from b2b_sem.engine.native.implied import ALPHA, BETA, LAMBDA, PSI, TAU, THETA, Implied, Structure
from b2b_sem.engine.native.loss import Moments, Point

__all__ = ["Quasi", "QuasiPoint", "QuasiProduct", "make_quasi"]

#: Size of the complex step: its square is nothing beside 1.
TINY = 1e-30
#: Step of numeric second derivatives, in standard deviations of a respondent's information.
STEP = 1e-4
LOG_2PI = float(np.log(2.0 * np.pi))


@dataclass(frozen=True)
class QuasiProduct:
    """A term ``omega * eta[first] * eta[second]`` of the equation of ``eta[outcome]``.

    Attributes
    ----------
    parameter : int or None
        Of omega, from 0; None where it is fixed.
    value : float
        Of a fixed omega.
    outcome, first, second : int
        Places in eta.
    """

    parameter: int | None
    value: float
    outcome: int
    first: int
    second: int


@dataclass(frozen=True)
class _Matrices:
    """The matrices of the model, each with any number of leading dimensions."""

    lam: Any
    theta: Any
    psi: Any
    tau: Any
    inverse: Any
    eta_cov: Any
    eta_mean: Any
    reach: Any  # G, (..., m, J)


@dataclass(frozen=True, eq=False)
class _Cell:
    """Rows with the same answers present."""

    rows: IntArray
    answers: Array  # (n, k), less the center
    whole: IntArray  # items in t, places among all items
    scaling: IntArray  # scaling items
    cancelled: IntArray  # variables in eta that cancel in t, as many as scaling items


@dataclass(frozen=True)
class _Pieces:
    """The small matrices that a row's density depends on, each with any number of leading dimensions."""

    mean_t: Any  # (..., t)
    mean_s: Any  # (..., s)
    ratio: Any  # r (..., t, s)
    cov: Any  # of t (..., t, t)
    inverse: Any  # of cov
    slope: Any  # A: m = mean + A t (..., f, t)
    mean: Any  # of the factors (..., f)
    spread: Any  # S1 (..., f, f)
    loading: Any  # D (..., s, t)
    constant: Any  # V0 + K Z K' (..., s, s)
    cross: Any  # c (..., s, f)
    effect: Any  # K (..., s, J)


@dataclass(frozen=True)
class _Rows:
    """What the rows of a cell have at a point."""

    pieces: _Pieces
    t: Array  # (n, t)
    b: Array  # cov^-1 t
    scaling: Array  # s less its unconditional linear mean (n, s)
    m: Array  # (n, f)
    h: Array  # (n, J)
    n: Array  # N (n, J, f)
    reach: Array  # L (n, s, f)
    a: Array  # V^-1 e (n, s)
    pull: Array  # derivative by V: (a a' - V^-1) / 2 (n, s, s)


@dataclass(frozen=True)
class QuasiPoint(Point):
    """A point of the fit function with what its derivatives need."""

    cells: tuple[_Rows, ...] = ()


@dataclass(frozen=True, eq=False)
class Quasi:
    """The quasi-likelihood of a model with latent products: a fit function (:class:`~.loss.Discrepancy`).

    Attributes
    ----------
    structure : Structure
        Of the linear part, with means; ``q`` counts the parameters of products, too.
    products : tuple of QuasiProduct
    factors : (f,) int array
        Places in eta of the factors of products.
    pairs : (J, f, f) array
        1 where two factors make a product, 2 for a square.
    cells : tuple of _Cell
    center : (p,) array
        What was subtracted from the answers.
    nobs : int
    """

    structure: Structure
    products: tuple[QuasiProduct, ...]
    factors: IntArray
    pairs: Array
    cells: tuple[_Cell, ...]
    center: Array
    nobs: int

    @property
    def unit(self) -> float:
        """What values and second derivatives are multiplied by to have the unit of the fit function."""
        return 1.0

    def _matrices(self, theta: Any) -> _Matrices | None:
        """Return the matrices at `theta` (..., q), real or complex, or None where I - B is singular."""
        s, lead = self.structure, theta.shape[:-1]
        values = theta[..., s.free]

        def fill(kind: int) -> Any:
            template = s.templates[kind]
            out = np.empty((*lead, *template.shape), dtype=theta.dtype)
            out[...] = template
            entries, i, j = s.where[kind]
            if kind in (TAU, ALPHA):
                out[..., i] = values[..., entries]
                return out
            out[..., i, j] = values[..., entries]
            if kind in (THETA, PSI):
                out[..., j, i] = values[..., entries]
            return out

        lam, th, beta, psi, tau, alpha = (fill(k) for k in (LAMBDA, THETA, BETA, PSI, TAU, ALPHA))
        try:
            inverse = np.linalg.inv(np.eye(s.m) - beta)
        except np.linalg.LinAlgError:
            return None
        reach = np.stack(
            [
                inverse[..., x.outcome] * (x.value if x.parameter is None else theta[..., x.parameter, None])
                for x in self.products
            ],
            axis=-1,
        )
        eta_cov = inverse @ psi @ _turn(inverse)
        return _Matrices(lam, th, psi, tau, inverse, eta_cov, (inverse @ alpha[..., None])[..., 0], reach)

    def _pieces(self, at: _Matrices, cell: _Cell) -> _Pieces:
        """Return the small matrices of a cell. Raises LinAlgError where they do not exist."""
        t, s, f = cell.whole, cell.scaling, self.factors
        lam = at.lam
        sigma = lam @ at.eta_cov @ _turn(lam) + at.theta
        mu = at.tau + (lam @ at.eta_mean[..., None])[..., 0] - self.center
        toward = at.eta_cov[..., f, :] @ _turn(lam)  # Cov(factors, y0)
        ratio = np.zeros((*lam.shape[:-2], len(t), len(s)), dtype=lam.dtype)
        if len(s):
            ratio = lam[..., t[:, None], cell.cancelled] @ np.linalg.inv(lam[..., s[:, None], cell.cancelled])
        st = sigma[..., s[:, None], t]
        ss = sigma[..., s[:, None], s]
        cross_ts = ratio @ st  # (t, t)
        cov = sigma[..., t[:, None], t] - cross_ts - _turn(cross_ts) + ratio @ ss @ _turn(ratio)
        st = st - ss @ _turn(ratio)
        ft = toward[..., t] - toward[..., s] @ _turn(ratio)
        inverse = np.linalg.inv(cov)
        slope, loading = ft @ inverse, st @ inverse
        spread = at.eta_cov[..., f[:, None], f] - slope @ _turn(ft)
        effect = lam[..., s, :] @ at.reach
        constant = ss - loading @ _turn(st) + effect @ _fourth(self.pairs, spread) @ _turn(effect)
        return _Pieces(
            mu[..., t],
            mu[..., s],
            ratio,
            cov,
            inverse,
            slope,
            at.eta_mean[..., f],
            spread,
            loading,
            constant,
            _turn(toward[..., s]) - loading @ _turn(ft),
            effect,
        )

    def evaluate(self, structure: Structure, moments: Moments, theta: Array) -> Point | None:
        """Return the fit function at `theta`, or None where a covariance matrix is not positive definite."""
        at = self._matrices(theta)
        if at is None or not np.isfinite(at.eta_cov).all():
            return None
        total, cells = 0.0, []
        for cell in self.cells:
            found = self._rows(at, cell)
            if found is None:
                return None
            logl, rows = found
            total += float(logl.sum())
            cells.append(rows)
        value = -2.0 * total / self.nobs
        if not np.isfinite(value):
            return None
        return QuasiPoint(theta, value, self._implied(at), np.empty((0, 0)), self, tuple(cells))

    def _rows(self, at: _Matrices, cell: _Cell) -> tuple[Array, _Rows] | None:
        """Return the log density of each row of a cell, and what its derivatives need."""
        try:
            g = self._pieces(at, cell)
            factor = np.linalg.cholesky(g.cov)
        except np.linalg.LinAlgError:
            return None
        scaling = cell.answers[:, cell.scaling] - g.mean_s
        t = cell.answers[:, cell.whole] - g.mean_t - scaling @ g.ratio.T
        b = t @ g.inverse
        logl = -0.5 * (t * b).sum(axis=1) - np.log(np.diag(factor)).sum()
        m = g.mean + t @ g.slope.T
        n = np.einsum("jfg,if->ijg", self.pairs, m)
        h = 0.5 * (np.einsum("ijg,ig->ij", n, m) + np.einsum("jfg,fg->j", self.pairs, g.spread))
        reach = g.effect @ n
        e = scaling - t @ g.loading.T - h @ g.effect.T
        part = reach @ (g.cross.T + 0.5 * g.spread @ reach.transpose(0, 2, 1))
        v = g.constant + part + part.transpose(0, 2, 1)
        if v.shape[1] == 1:
            if not (v > 0.0).all():
                return None
            inverse, logdet = 1.0 / v, np.log(v[:, 0, 0])
        else:
            try:
                factor = np.linalg.cholesky(v)
            except np.linalg.LinAlgError:
                return None
            inverse = np.linalg.inv(v)
            logdet = 2.0 * np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(axis=1)
        a = (inverse @ e[:, :, None])[:, :, 0]
        logl -= 0.5 * (logdet + (a * e).sum(axis=1) + (t.shape[1] + e.shape[1]) * LOG_2PI)
        pull = 0.5 * (a[:, :, None] * a[:, None, :] - inverse)
        return logl, _Rows(g, t, b, scaling, m, h, n, reach, a, pull)

    def _adjoint(self, r: _Rows) -> tuple[Array, Array, Array]:
        """Return the derivatives of each row by m (n, f), by t (n, t), and by L (n, s, f)."""
        g = r.pieces
        force = 2.0 * r.pull @ (g.cross + r.reach @ g.spread)
        inner = np.einsum("sj,isf->ijf", g.effect, force)
        by_m = np.einsum("isf,is->if", r.reach, r.a) + np.einsum("ijg,jfg->if", inner, self.pairs)
        by_t = r.a @ g.loading + by_m @ g.slope - r.b
        return by_m, by_t, force

    def _slopes(self, theta: Array) -> tuple[_Pieces, ...]:
        """Return the derivatives of the small matrices of each cell by the parameters, (q, ...) each."""
        q = len(theta)
        at = self._matrices(theta + 1j * TINY * np.eye(q))
        assert at is not None
        out = []
        for cell in self.cells:
            g = self._pieces(at, cell)
            out.append(_Pieces(**{k: v.imag / TINY for k, v in vars(g).items()}))
        return tuple(out)

    def _parts(self, r: _Rows, d: _Pieces, *, rows: bool) -> Array:
        """Return the derivatives of a cell's log densities by the parameters: of each row (n, q), or the sum (q,)."""
        g = r.pieces
        by_m, by_t, force = self._adjoint(r)
        q = len(d.mean_t)
        by_s = r.a + by_t @ g.ratio
        gain = np.einsum("sj,is->ij", g.effect, r.a)
        by_spread = r.reach.transpose(0, 2, 1) @ r.pull @ r.reach + 0.5 * np.einsum("ij,jfg->ifg", gain, self.pairs)
        by_cross = 2.0 * r.pull @ r.reach
        by_effect = r.a[:, :, None] * r.h[:, None, :] + force @ r.n.transpose(0, 2, 1)
        n = len(r.t)
        if rows:

            def outer(x: Array, y: Array) -> Array:
                return (x[:, :, None] * y[:, None, :]).reshape(n, -1)

            def whole(x: Array) -> Array:
                return x.reshape(n, -1)
        else:

            def outer(x: Array, y: Array) -> Array:
                return (x.T @ y).reshape(1, -1)

            def whole(x: Array) -> Array:
                return x.sum(axis=0).reshape(1, -1)

        out: Array = -whole(by_t) @ d.mean_t.T
        out += whole(by_s) @ d.mean_s.T
        out -= outer(by_t, r.scaling) @ d.ratio.reshape(q, -1).T
        out += 0.5 * outer(r.b, r.b) @ d.cov.reshape(q, -1).T
        out -= 0.5 * (1 if rows else n) * (d.cov.reshape(q, -1) @ g.inverse.ravel())
        out += outer(by_m, r.t) @ d.slope.reshape(q, -1).T
        out += whole(by_m) @ d.mean.T
        out += whole(by_spread) @ d.spread.reshape(q, -1).T
        out += outer(r.a, r.t) @ d.loading.reshape(q, -1).T
        out += whole(r.pull) @ d.constant.reshape(q, -1).T
        out += whole(by_cross) @ d.cross.reshape(q, -1).T
        out += whole(by_effect) @ d.effect.reshape(q, -1).T
        return out if rows else out[0]

    def gradient(self, structure: Structure, moments: Moments, point: Point) -> Array:
        """Return dF/dtheta, shape (q,)."""
        return self._gradient(_own(point))

    def _gradient(self, point: QuasiPoint) -> Array:
        slopes = self._slopes(point.theta)
        total = np.zeros(len(point.theta))
        for r, d in zip(point.cells, slopes, strict=True):
            total += self._parts(r, d, rows=False)
        return -2.0 * total / self.nobs

    def scores(self, point: Point) -> Array:
        """Return the score of each respondent, d log L_i / dtheta, shape (N, q)."""
        at = _own(point)
        out = np.zeros((self.nobs, len(at.theta)))
        for cell, r, d in zip(self.cells, at.cells, self._slopes(at.theta), strict=True):
            out[cell.rows] = self._parts(r, d, rows=True)
        return out

    def first_order(self, point: Point) -> Array:
        """Return the mean cross-product of the scores, the first-order information of a respondent, (q, q)."""
        scores = self.scores(point)
        return scores.T @ scores / self.nobs

    def scoring_information(self, structure: Structure, point: Point) -> Array:
        """Return the metric of the search, shape (q, q): the first-order information."""
        return self.first_order(point)

    def near_hessian(self, structure: Structure, point: Point) -> Array:
        """Return the Hessian, which is kept for as many steps as it serves."""
        return 2.0 * self._information(_own(point))

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
        steps = STEP / np.where(size > 0.0, size, 1.0)
        out = np.zeros((len(theta), len(theta)))
        here: Array | None = None
        for k, h in enumerate(steps):
            slopes, distance = [], 0.0
            for sign in (1.0, -1.0):
                moved = theta.copy()
                moved[k] += sign * h
                found = self.evaluate(self.structure, _NOTHING, moved)
                if found is None:  # a variance at its end: one side will do
                    here = self._gradient(point) if here is None else here
                    slopes.append(here)
                    continue
                distance += h
                slopes.append(self._gradient(_own(found)))
            out[k] = (slopes[0] - slopes[1]) / distance if distance else np.nan
        return (out + out.T) / 4.0

    def whole_moments(self, theta: Array) -> Implied:
        """Return the moments of all variables, products and all, in closed form.

        Raises
        ------
        ValueError
            If I - B is singular.
        """
        at = self._matrices(theta)
        if at is None:
            raise ValueError("I - B is singular")
        linear = self._implied(at)
        f = self.factors
        cov, mean, cross = at.eta_cov[np.ix_(f, f)], at.eta_mean[f], at.eta_cov[:, f]
        reach = at.reach @ np.einsum("jfg,f->jg", self.pairs, mean)
        h = 0.5 * (
            np.einsum("jfg,f,g->j", self.pairs, mean, mean) + np.einsum("jfg,fg->j", self.pairs, cov)
        )
        part = reach @ (cross.T + 0.5 * cov @ reach.T)
        eta_cov = at.eta_cov + part + part.T + at.reach @ _fourth(self.pairs, cov) @ at.reach.T
        eta_mean = at.eta_mean + at.reach @ h
        sigma = at.lam @ eta_cov @ at.lam.T + at.theta
        return replace(
            linear,
            sigma=(sigma + sigma.T) / 2,
            mu=at.tau + at.lam @ eta_mean,
            eta_cov=(eta_cov + eta_cov.T) / 2,
            eta_mean=eta_mean,
        )

    def _implied(self, at: _Matrices) -> Implied:
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
    products: tuple[QuasiProduct, ...],
    cancelled: IntArray,
    markers: dict[int, IntArray],
    incomplete: Incomplete,
) -> Quasi:
    """Prepare the quasi-likelihood.

    Parameters
    ----------
    structure : Structure
        Of the linear part, with means; ``q`` counts the parameters of products, too.
    products : tuple of QuasiProduct
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
        answers = incomplete.rows[rows] - center
        cells.append(_Cell(rows, answers, whole, scaling, np.array(seen, dtype=np.intp)))
    return Quasi(structure, products, factors, pairs, tuple(cells), center, incomplete.nobs)


_NOTHING = Moments(np.empty((0, 0)), None, 0.0)


def _turn(matrix: Any) -> Any:
    return np.swapaxes(matrix, -1, -2)


def _fourth(pairs: Array, spread: Any) -> Any:
    """Return Cov(d_a d_b, d_c d_d) of products of normal deviations with covariance matrix `spread`: (..., J, J)."""
    inner = pairs @ spread[..., None, :, :]
    return 0.5 * np.einsum("...jfg,...kgf->...jk", inner, inner)


def _own(point: Point) -> QuasiPoint:
    assert isinstance(point, QuasiPoint)
    return point
