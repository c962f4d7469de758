"""The small matrices of the quasi-likelihood (:mod:`b2b_sem.engine.native.quasi`), and their derivatives.

Parameters -> matrices of the model -> what the density of a row depends on. Every array may have leading dimensions,
so that many parameter vectors are computed at once; and may be complex, for derivatives by complex steps, which are
exact to rounding (Squire & Trapp 1998, doi:10.1137/S003614459631241X). The way back gives the gradient of any function
of the small matrices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from b2b_sem.engine.base import Array, IntArray
from b2b_sem.engine.native.implied import ALPHA, BETA, LAMBDA, PSI, TAU, THETA, Structure
from b2b_sem.engine.native.product import Product

__all__ = ["Cell", "Matrices", "Pieces", "fourth", "make_matrices", "make_pieces", "pull_back", "turn"]


@dataclass(frozen=True)
class Matrices:
    """The matrices of the model, each with any number of leading dimensions."""

    lam: Any
    theta: Any
    psi: Any
    tau: Any
    alpha: Any
    inverse: Any  # (I - B)^-1
    eta_cov: Any
    eta_mean: Any
    omega: Any  # (..., J)
    reach: Any  # G, (..., m, J)


@dataclass(frozen=True, eq=False)
class Cell:
    """Rows with the same answers present."""

    rows: IntArray
    answers: Array  # (p, n), less the center
    whole: IntArray  # items in t, places among all items
    scaling: IntArray  # scaling items
    cancelled: IntArray  # variables in eta that cancel in t, as many as scaling items


@dataclass(frozen=True)
class Pieces:
    """The small matrices that a row's density depends on, or derivatives by them.

    The mean of s given t is linear in t, plus k0 + sum k2_fg m_f m_g; its covariance matrix is
    v0 + sum v1_g m_g + sum v2_gh m_g m_h. What follows `k2` is of use on the way back only.
    """

    mean_t: Any  # (..., t)
    mean_s: Any  # (..., s)
    ratio: Any  # r (..., t, s)
    cov: Any  # of t (..., t, t)
    slope: Any  # A: m = mean + A t (..., f, t)
    mean: Any  # of the factors (..., f)
    loading: Any  # D (..., s, t)
    v0: Any  # (..., s, s)
    v1: Any  # (..., s, s, f)
    v2: Any  # (..., s, s, f, f)
    k0: Any  # (..., s)
    k2: Any  # (..., s, f, f)
    inverse: Any = None  # of cov
    spread: Any = None  # S1 (..., f, f)
    cross: Any = None  # c (..., s, f)
    unmixed: Any = None  # Lambda_s^-1
    left: Any = None  # Cov(s0, t)
    factor_t: Any = None  # Cov(eta0, t)
    factor_s: Any = None  # Cov(eta0, s0)
    linear_st: Any = None  # Cov(s0, y0 of t)
    linear_ss: Any = None  # Cov(s0)


def turn(matrix: Any) -> Any:
    """Return the transpose of the last two dimensions."""
    return np.swapaxes(matrix, -1, -2)


def fourth(pairs: Array, spread: Any) -> Any:
    """Return the covariances of products of normal deviations, (..., J, J).

    Parameters
    ----------
    pairs : (J, f, f) array
        1 where two factors make a product, 2 for a square.
    spread : (..., f, f) array
        Covariance matrix of the factors: Z_jk = S_ac S_bd + S_ad S_bc.
    """
    inner = pairs @ spread[..., None, :, :]
    return 0.5 * np.einsum("...jfg,...kgf->...jk", inner, inner)


def make_matrices(structure: Structure, products: tuple[Product, ...], theta: Any) -> Matrices:
    """Return the matrices of the model at `theta`, (..., q).

    Raises
    ------
    LinAlgError
        If I - B is singular.
    """
    s, lead = structure, theta.shape[:-1]
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
    inverse = np.linalg.inv(np.eye(s.m) - beta)
    omega = np.empty((*lead, len(products)), dtype=theta.dtype)
    for j, x in enumerate(products):
        omega[..., j] = x.value if x.parameter is None else theta[..., x.parameter]
    reach = inverse[..., [x.outcome for x in products]] * omega[..., None, :]
    eta_cov = inverse @ psi @ turn(inverse)
    eta_mean = (inverse @ alpha[..., None])[..., 0]
    return Matrices(lam, th, psi, tau, alpha, inverse, eta_cov, eta_mean, omega, reach)


def make_pieces(at: Matrices, cell: Cell, factors: IntArray, pairs: Array, center: Array) -> Pieces:
    """Return the small matrices of a cell.

    Raises
    ------
    LinAlgError
        If a matrix that has to be inverted is singular.
    """
    t, s, f = cell.whole, cell.scaling, factors
    lam = at.lam
    sigma = lam @ at.eta_cov @ turn(lam) + at.theta
    mu = at.tau + (lam @ at.eta_mean[..., None])[..., 0] - center
    toward = at.eta_cov[..., f, :] @ turn(lam)
    unmixed = np.linalg.inv(lam[..., s[:, None], cell.cancelled])
    ratio = lam[..., t[:, None], cell.cancelled] @ unmixed
    st = sigma[..., s[:, None], t]
    ss = sigma[..., s[:, None], s]
    cross_ts = ratio @ st
    cov = sigma[..., t[:, None], t] - cross_ts - turn(cross_ts) + ratio @ ss @ turn(ratio)
    left = st - ss @ turn(ratio)
    ft = toward[..., t] - toward[..., s] @ turn(ratio)
    inverse = np.linalg.inv(cov)
    slope, loading = ft @ inverse, left @ inverse
    spread = at.eta_cov[..., f[:, None], f] - slope @ turn(ft)
    cross = turn(toward[..., s]) - loading @ turn(ft)
    bend = 0.5 * np.einsum("...sj,jfg->...sfg", lam[..., s, :] @ at.reach, pairs)
    inner = bend @ spread[..., None, :, :]
    linear = 2.0 * np.einsum("...sfg,...uf->...sug", bend, cross)
    fixed = 2.0 * np.einsum("...sfg,...ugf->...su", inner, inner)
    return Pieces(
        mean_t=mu[..., t],
        mean_s=mu[..., s],
        ratio=ratio,
        cov=cov,
        slope=slope,
        mean=at.eta_mean[..., f],
        loading=loading,
        v0=ss - loading @ turn(left) + fixed,
        v1=linear + np.swapaxes(linear, -3, -2),
        v2=4.0 * np.einsum("...sgf,...ufh->...sugh", inner, bend),
        k0=(bend * spread[..., None, :, :]).sum(axis=(-2, -1)),
        k2=bend,
        inverse=inverse,
        spread=spread,
        cross=cross,
        unmixed=unmixed,
        left=left,
        factor_t=ft,
        factor_s=toward[..., s],
        linear_st=st,
        linear_ss=ss,
    )


@dataclass
class _Sums:
    """Derivatives of a function by the matrices of the model."""

    lam: Array
    sigma: Array
    toward: Array
    mu: Array
    eta_cov: Array
    eta_mean: Array
    reach: Array


def pull_back(
    structure: Structure,
    products: tuple[Product, ...],
    at: Matrices,
    cells: list[tuple[Cell, Pieces, Pieces]],
    factors: IntArray,
    pairs: Array,
) -> Array:
    """Return the derivatives of a function by the parameters from those by the small matrices, (..., q).

    Parameters
    ----------
    structure : Structure
    products : tuple of Product
    at : Matrices
    cells : list of (Cell, Pieces, Pieces)
        Of each cell the small matrices, and the derivatives by them.
    factors, pairs : arrays
        See :class:`~b2b_sem.engine.native.quasi.Quasi`.
    """
    s, lead = structure, at.eta_mean.shape[:-1]
    f = factors
    d = _Sums(
        np.zeros((*lead, s.p, s.m)),
        np.zeros((*lead, s.p, s.p)),
        np.zeros((*lead, len(f), s.p)),
        np.zeros((*lead, s.p)),
        np.zeros((*lead, s.m, s.m)),
        np.zeros((*lead, s.m)),
        np.zeros_like(at.reach),
    )
    for cell, g, bar in cells:
        _pull_cell(d, at, cell, g, bar, f, pairs)
    lam, inverse = at.lam, at.inverse
    d.lam += 2.0 * d.sigma @ lam @ at.eta_cov + turn(d.toward) @ at.eta_cov[..., f, :]
    d.lam += d.mu[..., :, None] * at.eta_mean[..., None, :]
    d.eta_cov += turn(lam) @ d.sigma @ lam
    d.eta_cov[..., f, :] += d.toward @ lam
    eta_cov = 0.5 * (d.eta_cov + turn(d.eta_cov))
    d.eta_mean += (turn(lam) @ d.mu[..., None])[..., 0]
    by_inverse = 2.0 * eta_cov @ inverse @ at.psi + d.eta_mean[..., :, None] * at.alpha[..., None, :]
    for j, x in enumerate(products):
        by_inverse[..., x.outcome] += d.reach[..., j] * at.omega[..., j, None]
    by = {
        LAMBDA: d.lam,
        THETA: d.sigma,
        BETA: turn(inverse) @ by_inverse @ turn(inverse),
        PSI: turn(inverse) @ eta_cov @ inverse,
        TAU: d.mu,
        ALPHA: (turn(inverse) @ d.eta_mean[..., None])[..., 0],
    }
    per_entry = np.empty((*lead, len(s.free)))
    for kind, (entries, row, col) in enumerate(s.where):
        if kind in (TAU, ALPHA):
            per_entry[..., entries] = by[kind][..., row]
        else:
            twice = np.where((row != col) & (kind in (THETA, PSI)), 2.0, 1.0)
            per_entry[..., entries] = by[kind][..., row, col] * twice
    out = per_entry @ (s.free[:, None] == np.arange(s.q)).astype(float)
    for j, x in enumerate(products):
        if x.parameter is not None:
            out[..., x.parameter] += (inverse[..., x.outcome] * d.reach[..., j]).sum(axis=-1)
    return out


def _pull_cell(d: _Sums, at: Matrices, cell: Cell, g: Pieces, bar: Pieces, f: IntArray, pairs: Array) -> None:
    """Add a cell's share: the steps of :func:`make_pieces` backwards."""
    t, s, c = cell.whole, cell.scaling, cell.cancelled
    bend, spread = g.k2, g.spread
    v0, v1, v2 = bar.v0, bar.v1, bar.v2  # symmetric in the first two places
    inner = bend @ spread[..., None, :, :]
    outer = spread[..., None, :, :] @ inner
    by_bend = bar.k2 + bar.k0[..., :, None, None] * spread[..., None, :, :]
    by_bend += 4.0 * np.einsum("...sug,...uf->...sfg", v1, g.cross)
    by_bend += 8.0 * np.einsum("...sugh,...uhf->...sfg", v2, inner)
    by_bend += 4.0 * np.einsum("...su,...ufg->...sfg", v0, outer)
    by_spread = np.einsum("...s,...sfg->...fg", bar.k0, bend)
    by_spread = by_spread + 4.0 * np.einsum("...su,...sfg,...ugh->...fh", v0, inner, bend)
    by_spread += 4.0 * np.einsum("...sugh,...sfg,...ukh->...fk", v2, bend, bend)
    by_spread = 0.5 * (by_spread + turn(by_spread))
    by_cross = 4.0 * np.einsum("...sug,...sfg->...uf", v1, bend)
    effect = 0.5 * np.einsum("...sfg,jfg->...sj", by_bend, pairs)
    loading = bar.loading - v0 @ g.left - by_cross @ g.factor_t
    slope = bar.slope - by_spread @ g.factor_t
    left = loading @ g.inverse - v0 @ g.loading
    ft = slope @ g.inverse - turn(by_cross) @ g.loading - by_spread @ g.slope
    cov = bar.cov - (turn(g.slope) @ slope + turn(g.loading) @ loading) @ g.inverse
    cov = 0.5 * (cov + turn(cov))
    ratio = bar.ratio - turn(ft) @ g.factor_s - turn(left) @ g.linear_ss
    ratio = ratio + 2.0 * cov @ (g.ratio @ g.linear_ss - turn(g.linear_st))
    st = left - 2.0 * turn(g.ratio) @ cov
    ss = v0 - left @ g.ratio + turn(g.ratio) @ cov @ g.ratio
    d.sigma[..., t[:, None], t] += cov
    d.sigma[..., s[:, None], s] += 0.5 * (ss + turn(ss))
    d.sigma[..., s[:, None], t] += 0.5 * st
    d.sigma[..., t[:, None], s] += 0.5 * turn(st)
    d.toward[..., t] += ft
    d.toward[..., s] += turn(by_cross) - ft @ g.ratio
    d.eta_cov[..., f[:, None], f] += by_spread
    d.eta_mean[..., f] += bar.mean
    d.mu[..., t] += bar.mean_t
    d.mu[..., s] += bar.mean_s
    turned = ratio @ turn(g.unmixed)
    d.lam[..., t[:, None], c] += turned
    d.lam[..., s[:, None], c] -= turn(g.ratio) @ turned
    d.lam[..., s, :] += effect @ turn(at.reach)
    d.reach += turn(at.lam[..., s, :]) @ effect
