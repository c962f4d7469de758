"""Fit function and gradient for a stack of samples at once: the batched form of ``implied`` and ``loss``.

Axis 0 of every array runs over replicates. Two ways lead to the same numbers:

- *factor*: where Theta is diagonal and positive, with Lambda = L, Theta = T, Y = T^-1 L, A = L' Y and
  N = (E^-1 + A)^-1, Sigma^-1 = T^-1 - Y N Y' (Woodbury), and with S~ = S + d d', d = m - mu, nothing of size p x p is
  ever formed: one product S~ Y (2 p^2 m flops) and products of m columns give F, W L and diag(W), where
  W = Sigma^-1 - Sigma^-1 S~ Sigma^-1 holds all derivatives of F by Sigma. E^-1 is not needed: with A = C C' and
  B = I + C' E C, N = E - E C B^-1 C' E and |Sigma| = |T| |B|, so that singular Psi is no special case.
- *dense*: Sigma^-1 by inversion, for all other models and for replicates where a residual variance is not positive.

The formulas of F, its gradient and the expected information are those of :mod:`b2b_sem.engine.native.loss`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from b2b_sem.engine.base import Array, IntArray
from b2b_sem.engine.native.implied import ALPHA, BETA, LAMBDA, PSI, TAU, THETA, Structure
from b2b_sem.spec.partable import ParameterTable

__all__ = [
    "Kernel",
    "Parts",
    "Stack",
    "compile_kernel",
    "evaluate",
    "expected_informations",
    "inverses",
    "make_stack",
    "parts",
    "proper_inverse",
]

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Stack:
    """Sample moments of R replicates.

    Attributes
    ----------
    cov : (R, p, p) array
    mean : (R, p) array or None
    logdet : (R,) array
        log|S|; NaN where S is not positive definite.
    exo : (R, x) array
        The moments that the data fix, in the order of the table's rows with ``exo``.
    """

    cov: Array
    mean: Array | None
    logdet: Array
    exo: Array

    def __len__(self) -> int:
        return len(self.cov)

    def take(self, at: IntArray | slice | Flags) -> Stack:
        """Return some of the replicates."""
        return Stack(self.cov[at], None if self.mean is None else self.mean[at], self.logdet[at], self.exo[at])


@dataclass(frozen=True)
class Kernel:
    """A compiled structure with what batches need besides.

    Attributes
    ----------
    structure : Structure
    used : (m1,) int array
        Columns of Lambda that are not zero by construction.
    factor : bool
        Whether Theta is diagonal and not zero anywhere by construction.
    diagonal : bool
        Whether all entries in Theta are on its diagonal.
    exo : tuple of (matrix, i, j)
        Where the moments that the data fix are written.
    exo_source : tuple of (i, j)
        Where they stand in the sample moments; j is -1 for a mean.
    paths : bool
        Whether B has any element.
    info_index : tuple of three (E, E) int arrays
        Flat places of K_uu, K_vv and K_uv in a (p + 2m)^2 matrix.
    """

    structure: Structure
    used: IntArray
    factor: bool
    diagonal: bool
    exo: tuple[tuple[int, int, int], ...]
    exo_source: tuple[tuple[int, int], ...]
    paths: bool
    info_index: tuple[IntArray, IntArray, IntArray]

    def evaluate(self, stack: Stack, theta: Array) -> tuple[Array, Array]:
        """Return F and its gradient: see :func:`evaluate`."""
        return evaluate(self, stack, theta)

    def informations(self, theta: Array, exo: Array) -> Array:
        """Return expected informations: see :func:`expected_informations`."""
        return expected_informations(self, theta, exo)


def compile_kernel(table: ParameterTable, structure: Structure) -> Kernel:
    """Prepare a compiled table for batches."""
    index = {v: i for i, v in enumerate(table.observed)}
    eta = {v: i for i, v in enumerate(structure.eta)}
    places, sources = [], []
    for row in table.rows:
        if not row.exo:
            continue
        if row.op == "~~":
            sources.append((index[row.lhs], index[row.rhs]))
            inside = row.lhs in eta
            place = (PSI, eta[row.lhs], eta[row.rhs]) if inside else (THETA, index[row.lhs], index[row.rhs])
        else:
            sources.append((index[row.lhs], -1))
            place = (ALPHA, eta[row.lhs], 0) if row.lhs in eta else (TAU, index[row.lhs], 0)
        places.append(place)
    templates = structure.templates
    lam_free = structure.matrix == LAMBDA
    theta_free = structure.matrix == THETA
    nonzero = templates[LAMBDA].any(axis=0) | np.isin(np.arange(structure.m), structure.col[lam_free])
    theta = templates[THETA]
    held = set(np.flatnonzero(np.diag(theta) > 0).tolist())
    held |= set(structure.row[theta_free & (structure.row == structure.col)].tolist())
    for matrix, i, j in places:
        if matrix == THETA and i == j:
            held.add(i)
    diagonal = bool((structure.row[theta_free] == structure.col[theta_free]).all())
    off = theta - np.diag(np.diag(theta))
    diagonal = diagonal and not off.any() and all(m != THETA or i == j for m, i, j in places)
    width = structure.p + 2 * structure.m
    u, v = structure.u, structure.v
    return Kernel(
        structure,
        np.flatnonzero(nonzero),
        diagonal and len(held) == structure.p and bool(nonzero.any()),
        diagonal,
        tuple(places),
        tuple(sources),
        structure.paths or bool(templates[BETA].any()),
        (u[:, None] * width + u, v[:, None] * width + v, u[:, None] * width + v),
    )


def make_stack(kernel: Kernel, cov: Array, mean: Array | None) -> Stack:
    """Prepare sample moments, with the divisor of the likelihood."""
    factor, ok = _cholesky(cov)
    with np.errstate(divide="ignore", invalid="ignore"):
        logdet = 2.0 * np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(axis=1)
    logdet[~ok] = np.nan
    if not kernel.structure.meanstructure:
        mean = None
    exo = np.empty((len(cov), len(kernel.exo_source)))
    for k, (i, j) in enumerate(kernel.exo_source):
        if j >= 0:
            exo[:, k] = cov[:, i, j]
        elif mean is not None:
            exo[:, k] = mean[:, i]
    return Stack(cov, mean, logdet, exo)


def _cholesky(stack: Array) -> tuple[Array, Flags]:
    """Return lower factors and whether each exists; numpy raises for the whole stack, so halves are tried."""
    try:
        return np.linalg.cholesky(stack), np.ones(len(stack), dtype=bool)
    except np.linalg.LinAlgError:
        if len(stack) == 1:
            return np.full_like(stack, np.nan), np.zeros(1, dtype=bool)
        half = len(stack) // 2
        (a, x), (b, y) = _cholesky(stack[:half]), _cholesky(stack[half:])
        return np.concatenate([a, b]), np.concatenate([x, y])


def inverses(stack: Array) -> Array:
    """Return inverses; NaN where there is none."""
    try:
        return np.linalg.inv(stack)
    except np.linalg.LinAlgError:
        if len(stack) == 1:
            return np.full_like(stack, np.nan)
        half = len(stack) // 2
        return np.concatenate([inverses(stack[:half]), inverses(stack[half:])])


def proper_inverse(stack: Array) -> Array:
    """Return inverses of positive definite matrices by halves: products are far cheaper than numpy's LU here."""
    p = stack.shape[1]
    if p <= 20:
        return inverses(stack)
    h = p // 2
    first = proper_inverse(stack[:, :h, :h])
    left = stack[:, h:, :h] @ first
    second = proper_inverse(stack[:, h:, h:] - left @ stack[:, :h, h:])
    corner = second @ left
    out = np.empty_like(stack)
    out[:, :h, :h] = first + left.transpose(0, 2, 1) @ corner
    out[:, h:, :h] = -corner
    out[:, :h, h:] = -corner.transpose(0, 2, 1)
    out[:, h:, h:] = second
    return out


@dataclass(frozen=True)
class Parts:
    """Model matrices of R replicates.

    Attributes
    ----------
    lam : (R, p, m) array
    residual : (R, p, p) array, or (R, p) if Theta is diagonal
    psi, eta_cov : (R, m, m) arrays
    inverse : (R, m, m) array or None
        (I - B)^-1; None where B is zero.
    eta_mean, mu : (R, m) and (R, p) arrays, or None without a mean structure
    """

    lam: Array
    residual: Array
    psi: Array
    eta_cov: Array
    inverse: Array | None
    eta_mean: Array | None
    mu: Array | None

    def take(self, at: IntArray | Flags) -> Parts:
        """Return some of the replicates."""
        return Parts(*(None if v is None else v[at] for v in self.__dict__.values()))  # type: ignore[arg-type]

    def theta(self) -> Array:
        """Return Theta, (R, p, p)."""
        if self.residual.ndim == 3:
            return self.residual
        return self.residual[:, :, None] * np.eye(self.residual.shape[1])

    def residual_variances(self) -> Array:
        """Return the diagonal of Theta, (R, p)."""
        return self.residual if self.residual.ndim == 2 else np.diagonal(self.residual, axis1=1, axis2=2)

    def sigma(self) -> Array:
        """Return the implied covariance matrices, (R, p, p)."""
        out: Array = self.lam @ self.eta_cov @ self.lam.transpose(0, 2, 1)
        out += self.theta()
        return (out + out.transpose(0, 2, 1)) / 2


def parts(kernel: Kernel, theta: Array, exo: Array) -> Parts:
    """Fill the model matrices of every replicate.

    Parameters
    ----------
    kernel : Kernel
    theta : (R, q) array
    exo : (R, x) array
        As in :class:`Stack`.
    """
    structure = kernel.structure
    count = len(theta)
    values = theta if structure.summing is None else theta[:, structure.free]

    def filled(which: int) -> Array:
        entries, i, j = structure.where[which]
        template = structure.templates[which]
        if which == THETA and kernel.diagonal:
            out = np.broadcast_to(np.diag(template), (count, structure.p)).copy()
            out[:, i] = values[:, entries]
            for k, (matrix, a, _) in enumerate(kernel.exo):
                if matrix == THETA:
                    out[:, a] = exo[:, k]
            return out
        out = np.broadcast_to(template, (count, *template.shape)).copy()
        if which in (TAU, ALPHA):
            out[:, i] = values[:, entries]
        else:
            out[:, i, j] = values[:, entries]
            if which in (THETA, PSI):
                out[:, j, i] = values[:, entries]
        for k, (matrix, a, b) in enumerate(kernel.exo):
            if matrix == which and which in (TAU, ALPHA):
                out[:, a] = exo[:, k]
            elif matrix == which:
                out[:, a, b] = out[:, b, a] = exo[:, k]
        return out

    lam, residual, psi = filled(LAMBDA), filled(THETA), filled(PSI)
    inverse, eta_cov = None, psi
    if kernel.paths:
        inverse = inverses(np.eye(structure.m) - filled(BETA))
        eta_cov = inverse @ psi @ inverse.transpose(0, 2, 1)
    eta_mean = mu = None
    if structure.meanstructure:
        eta_mean = filled(ALPHA)
        if inverse is not None:
            eta_mean = (inverse @ eta_mean[:, :, None])[:, :, 0]
        mu = filled(TAU) + (lam @ eta_mean[:, :, None])[:, :, 0]
    return Parts(lam, residual, psi, eta_cov, inverse, eta_mean, mu)


def evaluate(kernel: Kernel, stack: Stack, theta: Array) -> tuple[Array, Array]:
    """Return F (R,) and dF/dtheta (R, q); F is infinite where Sigma is not positive definite.

    Parameters
    ----------
    kernel : Kernel
    stack : Stack
    theta : (R, q) array
    """
    with np.errstate(all="ignore"):
        filled = parts(kernel, theta, stack.exo)
        value: Array = np.full(len(theta), np.inf)
        slope: Array = np.zeros((len(theta), kernel.structure.q))
        usable = np.isfinite(filled.eta_cov).all(axis=(1, 2)) & np.isfinite(theta).all(axis=1)
        dense = np.flatnonzero(usable)
        if kernel.factor:
            fast = usable & (filled.residual > 0).all(axis=1)
            if fast.all():
                value, slope, whole = _by_factor(kernel, stack, filled)
                dense = np.flatnonzero(~whole)
            elif fast.any():
                at = np.flatnonzero(fast)
                value[at], slope[at], whole = _by_factor(kernel, stack.take(at), filled.take(at))
                dense = np.flatnonzero(usable & ~fast)
                dense = np.concatenate([dense, at[~whole]])
        if len(dense) == len(theta):
            value, slope = _dense(kernel, stack, filled)
        elif len(dense):
            value[dense], slope[dense] = _dense(kernel, stack.take(dense), filled.take(dense))
        bad = ~(np.isfinite(value) & np.isfinite(slope).all(axis=1))
        value[bad] = np.inf
        slope[bad] = 0.0
    return value, slope


def _by_factor(kernel: Kernel, stack: Stack, filled: Parts) -> tuple[Array, Array, Flags]:
    """Return F, the gradient, and whether A had a Cholesky factor (else the numbers mean nothing)."""
    used = kernel.used
    whole = len(used) == kernel.structure.m
    lam = filled.lam if whole else filled.lam[:, :, used]
    eta_cov = filled.eta_cov if whole else filled.eta_cov[:, used[:, None], used]
    identity = np.eye(len(used))
    t = filled.residual
    inv_t = 1.0 / t
    y = lam * inv_t[:, :, None]
    yt = y.transpose(0, 2, 1)
    a = yt @ lam
    c, whole_a = _cholesky(a)
    if not whole_a.all():
        c = np.where(whole_a[:, None, None], c, identity)
    ec = eta_cov @ c
    b = c.transpose(0, 2, 1) @ ec
    b += identity
    factor, proper = _cholesky(b)
    n = eta_cov - ec @ inverses(b) @ ec.transpose(0, 2, 1)
    sy = stack.cov @ y
    variance = np.diagonal(stack.cov, axis1=1, axis2=2)
    d: Array | None = None
    if filled.mu is not None and stack.mean is not None:
        d = stack.mean - filled.mu
        sy += d[:, :, None] * (d[:, None, :] @ y)
        variance = variance + d * d
    ysy = yt @ sy
    q = y @ n
    logdet = np.log(t).sum(axis=1) + 2.0 * np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(axis=1)
    value = logdet - stack.logdet - kernel.structure.p
    value += (variance * inv_t).sum(axis=1) - (n * ysy).sum(axis=(1, 2))
    value[~proper] = np.inf
    sy *= inv_t[:, :, None]
    r = q @ ysy
    r += y
    r -= sy
    sy -= r
    weight_diagonal = inv_t - variance * inv_t * inv_t + np.einsum("rpm,rpm->rp", q, sy)
    z = r @ (identity - n @ a)
    lever: Array | None = None
    if d is not None:
        lever = d * inv_t - (q @ (yt @ d[:, :, None]))[:, :, 0]
    return value, _assemble(kernel, filled, lam, z, weight_diagonal, lever), whole_a


def _dense(kernel: Kernel, stack: Stack, filled: Parts) -> tuple[Array, Array]:
    sigma = filled.sigma()
    factor, proper = _cholesky(sigma)
    if not proper.all():
        sigma = np.where(proper[:, None, None], sigma, np.eye(kernel.structure.p))
    omega = proper_inverse(sigma)
    sample = stack.cov
    d: Array | None = None
    lever: Array | None = None
    if filled.mu is not None and stack.mean is not None:
        d = stack.mean - filled.mu
        sample = sample + d[:, :, None] * d[:, None, :]
        lever = (omega @ d[:, :, None])[:, :, 0]
    product = omega @ sample
    value = 2.0 * np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(axis=1) - stack.logdet - kernel.structure.p
    value += np.trace(product, axis1=1, axis2=2)
    value[~proper] = np.inf
    weight = omega - product @ omega
    lam = filled.lam[:, :, kernel.used]
    return value, _assemble(kernel, filled, lam, weight @ lam, weight, lever)


def _assemble(kernel: Kernel, filled: Parts, lam: Array, z: Array, weight: Array, lever: Array | None) -> Array:
    """Gather the gradient from z = W L, W or its diagonal, and Sigma^-1 d."""
    structure = kernel.structure
    used = kernel.used
    whole = len(used) == structure.m
    eta_cov = filled.eta_cov if whole else filled.eta_cov[:, used]
    out = np.empty((len(z), len(structure.free)))
    where = structure.where
    entries, i, j = where[LAMBDA]
    if len(entries):
        out[:, entries] = 2.0 * (z @ eta_cov)[:, i, j]
    entries, i, j = where[THETA]
    if len(entries):
        out[:, entries] = weight[:, i] if weight.ndim == 2 else weight[:, i, j] * (2.0 * structure.w[entries])
    if len(where[PSI][0]) or len(where[BETA][0]):
        inner = lam.transpose(0, 2, 1) @ z
        if filled.inverse is not None:
            left = (filled.inverse if whole else filled.inverse[:, used]).transpose(0, 2, 1) @ inner
            right = left @ (filled.inverse if whole else filled.inverse[:, used])
        elif whole:
            left = right = inner
        else:
            left = np.zeros((len(z), structure.m, len(used)))
            left[:, used] = inner
            right = np.zeros((len(z), structure.m, structure.m))
            right[:, :, used] = left
        entries, i, j = where[PSI]
        out[:, entries] = right[:, i, j] * (2.0 * structure.w[entries])
        entries, i, j = where[BETA]
        if len(entries):
            out[:, entries] = 2.0 * (left @ eta_cov)[:, i, j]
    if lever is not None and filled.eta_mean is not None:
        inside = (lam.transpose(0, 2, 1) @ lever[:, :, None])[:, :, 0]
        if filled.inverse is not None:
            inner_lever = (inside[:, None, :] @ filled.inverse[:, used])[:, 0, :]
        else:
            inner_lever = np.zeros((len(z), structure.m))
            inner_lever[:, used] = inside
        for which, source in ((LAMBDA, lever), (BETA, inner_lever)):
            entries, i, j = where[which]
            out[:, entries] -= 2.0 * filled.eta_mean[:, j] * source[:, i]
        for which, source in ((TAU, lever), (ALPHA, inner_lever)):
            entries, i, _ = where[which]
            out[:, entries] = -2.0 * source[:, i]
    return structure.gather(out)


def expected_informations(kernel: Kernel, theta: Array, exo: Array) -> Array:
    """Return the expected information of one observation at every replicate, (R, q, q); NaN where Sigma is improper.

    Parameters
    ----------
    kernel : Kernel
    theta : (R, q) array
    exo : (R, x) array
    """
    structure = kernel.structure
    count = len(theta)
    with np.errstate(all="ignore"):
        filled = parts(kernel, theta, exo)
        g = filled.lam if filled.inverse is None else filled.lam @ filled.inverse
        h = filled.lam @ filled.eta_cov
        sigma = filled.sigma()
        _, proper = _cholesky(np.where(np.isfinite(sigma), sigma, 0.0))
        sigma[~proper] = np.eye(structure.p)
        columns = np.concatenate([np.broadcast_to(np.eye(structure.p), sigma.shape), g, h], axis=2)
        k = columns.transpose(0, 2, 1) @ proper_inverse(sigma) @ columns
        flat = k.reshape(count, -1)
        uu, vv, uv = kernel.info_index
        info = np.take(flat, uu, axis=1)
        info *= np.take(flat, vv, axis=1)
        cross = np.take(flat, uv, axis=1)
        info += cross * cross.transpose(0, 2, 1)
        info *= np.outer(structure.w, structure.w)
        if filled.eta_mean is not None:
            ones = np.concatenate([np.ones((count, 1)), filled.eta_mean], axis=1)
            scale = np.where(structure.mean_scale < 0, 0.0, ones[:, structure.mean_scale])
            at = structure.mean_column
            info += k[:, at[:, None], at] * scale[:, :, None] * scale[:, None, :]
        if structure.summing is not None:
            info = structure.summing.T @ info @ structure.summing
    info[~proper] = np.nan
    return info
