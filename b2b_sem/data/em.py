"""The normal likelihood of rows with holes, and its maximum without a model: the EM algorithm.

With K = Sigma^-1 and the missing variables m and observed ones o of a row, only small systems are solved:

    E[y_m | y_o] = mu_m - K_mm^-1 K_mo (y_o - mu_o),    Cov[y_m | y_o] = K_mm^-1,
    log|Sigma_oo| = log|Sigma| + log|K_mm|,    (y_o - mu_o)' Sigma_oo^-1 (y_o - mu_o) = z' K z,

where z is the deviation filled in by its expectation. With r = K z, which is 0 at the holes, the derivatives by the
moments are sums of r and r r' over rows: two products of an (N, p) with a (p, p) matrix, whatever the patterns are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2b_sem.data.incomplete import Incomplete

__all__ = [
    "Block",
    "CaseSums",
    "EmMoments",
    "Pull",
    "compact",
    "em_moments",
    "pull",
    "saturated_start",
    "small_inverses",
]

Array = NDArray[np.floating[Any]]

#: Largest step of the EM map, in standard deviations, at which the moments count as found ...
TOLERANCE = 1e-12
#: ... and that are good enough where rounding stops the progress before.
ENOUGH = 1e-9


@dataclass(frozen=True, eq=False)
class Block:
    """Patterns with the same number of holes.

    Attributes
    ----------
    holes : (G, m) int array
        The variables that are missing.
    counts : (G,) array
        Respondents.
    rows : slice
        Rows of these patterns.
    pattern : (k,) int array
        Pattern of each of these rows, from 0 and never falling.
    """

    holes: NDArray[np.intp]
    counts: Array
    rows: slice
    pattern: NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class CaseSums:
    """Rows in the form the likelihood needs, as few as possible.

    Rows of a frequent pattern are replaced by their mean and a triangular factor of their scatter: all sums stay the
    same.

    Attributes
    ----------
    nobs : int
        Number of respondents N.
    rows : (k, p) array
        Weighted rows, 0 at holes.
    seen : (k, p) array
        1 where there is a value, else 0.
    weight : (k,) array
        What the mean is multiplied by before it is subtracted: the root of the number of respondents of a mean, 0 for
        the rows of a scatter factor.
    blocks : tuple
        Patterns by number of holes; the rows are in this order.
    values : int
        Number of answers.
    order : (k,) int array or None
        The respondent of each row; None where rows were replaced.
    """

    nobs: int
    rows: Array
    seen: Array
    weight: Array
    blocks: tuple[Block, ...]
    values: int
    order: NDArray[np.intp] | None = None


def compact(incomplete: Incomplete, *, shorten: bool = True) -> CaseSums:
    """Return the rows in the form the likelihood needs; each row by itself, in the order of patterns, if asked."""
    order = np.argsort(incomplete.member, kind="stable")
    ends = np.cumsum(incomplete.counts)
    holes = (~incomplete.patterns).sum(axis=1)
    p = incomplete.rows.shape[1]
    parts: list[Array] = []
    weights: list[Array] = []
    blocks: list[Block] = []
    seen: list[Array] = []
    origin: list[NDArray[np.intp]] = []
    done = 0
    for m in np.unique(holes):
        at = np.flatnonzero(holes == m)
        where = np.nonzero(~incomplete.patterns[at])[1].reshape(len(at), m)
        first = done
        if not shorten or incomplete.counts[at].max() <= p - m + 1:
            pattern = np.repeat(np.arange(len(at)), incomplete.counts[at])
            own = order[np.isin(incomplete.member[order], at)]
            answered = incomplete.patterns[incomplete.member[own]]
            origin.append(own)
            parts.append(np.where(answered, incomplete.rows[own], 0.0))
            weights.append(np.ones(len(own)))
            seen.append(answered.astype(float))
            done += len(own)
        else:
            made = []
            for k, g in enumerate(at):
                answered = incomplete.patterns[g]
                own = order[ends[g] - incomplete.counts[g] : ends[g]]
                values = np.where(answered, incomplete.rows[own], 0.0)
                weight: Array = np.ones(len(values))
                if len(values) > p - m + 1:
                    values, weight = _shorten(values, answered)
                parts.append(values)
                weights.append(weight)
                seen.append(np.broadcast_to(answered.astype(float), values.shape))
                made.append(np.full(len(values), k, dtype=np.intp))
                done += len(values)
            pattern = np.concatenate(made)
        counts = incomplete.counts[at].astype(float)
        blocks.append(Block(where, counts, slice(first, done), pattern))
    return CaseSums(
        incomplete.nobs,
        np.concatenate(parts),
        np.concatenate(seen),
        np.concatenate(weights),
        tuple(blocks),
        int(((p - holes) * incomplete.counts).sum()),
        None if shorten else np.concatenate(origin),
    )


def _shorten(values: Array, answered: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Replace rows by sqrt(n) times their mean and a factor of their scatter."""
    n = len(values)
    mean = values.mean(axis=0)
    factor = np.linalg.qr((values - mean)[:, answered], mode="r")
    out = np.zeros((1 + len(factor), values.shape[1]))
    out[0] = math.sqrt(n) * mean
    out[1:, answered] = factor
    weight = np.zeros(len(out))
    weight[0] = math.sqrt(n)
    return out, weight


@dataclass(frozen=True, eq=False)
class Pull:
    """The likelihood at given moments and what its derivatives are made of.

    Attributes
    ----------
    value : float
        -2 log L / N without the constant log(2 pi).
    omega : (p, p) array
        Mean over respondents of Sigma_oo^-1, 0 at holes.
    cross : (p, p) array
        Mean of r r'.
    lever : (p,) array
        Mean of r = Sigma_oo^-1 (y_o - mu_o), 0 at holes.
    inverse : (p, p) array
        Sigma^-1.
    """

    value: float
    omega: Array
    cross: Array
    lever: Array
    inverse: Array


def pull(sums: CaseSums, mean: Array, cov: Array) -> Pull | None:
    """Evaluate the likelihood of rows with holes; None where `cov` is not positive definite.

    Parameters
    ----------
    sums : CaseSums
    mean, cov : (p,) and (p, p) arrays
    """
    try:
        factor = np.linalg.cholesky(cov)
    except np.linalg.LinAlgError:
        return None
    p = len(cov)
    half = np.linalg.inv(factor)
    inverse = half.T @ half
    logdet = sums.nobs * 2.0 * float(np.log(np.diag(factor)).sum())
    d = (sums.rows - np.multiply.outer(sums.weight, mean)) * sums.seen
    first = d @ inverse
    spread = np.zeros(p * p)
    for block in sums.blocks:
        m = block.holes.shape[1]
        if not m:
            continue
        at = block.holes
        try:
            small, own = small_inverses(inverse[at[:, :, None], at[:, None, :]])
        except np.linalg.LinAlgError:
            return None
        logdet += float(block.counts @ own)
        places = (at[:, :, None] * p + at[:, None, :]).reshape(len(at), -1)
        weights = (small * block.counts[:, None, None]).reshape(len(at), -1)
        spread += np.bincount(places.ravel(), weights.ravel(), minlength=p * p)
        holes = at[block.pattern]
        rows = np.arange(block.rows.start, block.rows.stop)[:, None]
        d[rows, holes] = -(small[block.pattern] @ first[rows, holes][:, :, None])[:, :, 0]
    r = (d @ inverse) * sums.seen
    n = sums.nobs
    value = (logdet + float((d * r).sum())) / n
    if not math.isfinite(value):
        return None
    omega = inverse - inverse @ (spread.reshape(p, p) / n) @ inverse
    return Pull(value, (omega + omega.T) / 2, r.T @ r / n, sums.weight @ r / n, inverse)


def small_inverses(stack: Array) -> tuple[Array, Array]:
    """Return inverses and log determinants of small positive definite matrices, (G, m, m)."""
    if stack.shape[1] == 1:
        if (stack <= 0).any():
            raise np.linalg.LinAlgError("not positive definite")
        return 1.0 / stack, np.log(stack[:, 0, 0])
    factor = np.linalg.cholesky(stack)
    half = np.linalg.inv(factor)
    return half.swapaxes(1, 2) @ half, 2.0 * np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(axis=1)


@dataclass(frozen=True, eq=False)
class EmMoments:
    """Maximum likelihood estimates of mean and covariance matrix without a model.

    Attributes
    ----------
    mean, cov : (p,) and (p, p) arrays
    logl : float
        Log-likelihood of all answers.
    iterations : int
        Evaluations of the EM map.
    converged : bool
    """

    mean: Array
    cov: Array
    logl: float
    iterations: int
    converged: bool


def saturated_start(incomplete: Incomplete) -> tuple[Array, Array]:
    """Return means and variances of the answers to each variable, without covariances."""
    mean = np.nanmean(incomplete.rows, axis=0)
    return mean, np.diag(np.nanmean((incomplete.rows - mean) ** 2, axis=0))


def em_moments(incomplete: Incomplete, *, sums: CaseSums | None = None, max_iterations: int = 5000) -> EmMoments:
    """Return the maximum likelihood estimates of the moments of rows with holes.

    The EM algorithm (Dempster, Laird & Rubin 1977, doi:10.1111/j.2517-6161.1977.tb01600.x) with squared extrapolation
    (Varadhan & Roland 2008, doi:10.1111/j.1467-9469.2007.00585.x): an extrapolated step that does not raise the
    likelihood is not taken.

    Parameters
    ----------
    incomplete : Incomplete
        Every pair of variables answered together at least once.
    sums : CaseSums, optional
        The same rows, if they are prepared already.
    max_iterations : int
        Evaluations of the EM map.

    Returns
    -------
    EmMoments
        With ``converged=False`` if the maximum was not reached, or lies where the covariance matrix is singular.
    """
    sums = compact(incomplete) if sums is None else sums
    mean, cov = saturated_start(incomplete)
    sd = np.sqrt(np.diag(cov))
    unit = np.concatenate([sd, np.outer(sd, sd).ravel()])
    p = len(mean)
    state = np.concatenate([mean, cov.ravel()])
    here = _step(sums, state, p)
    count, size = 1, math.inf
    while here is not None and count < max_iterations:
        first = (here[1] - state) / unit
        size = float(np.abs(first).max())
        if size <= TOLERANCE:
            break
        following = _step(sums, here[1], p)
        count += 1
        if following is None:
            break
        second = (following[1] - here[1]) / unit
        bend = second - first
        curved = float(bend @ bend)
        target, value = following[1], here[0]
        length = math.sqrt(float(first @ first) / curved) if curved > 0 else 1.0
        if length > 1.0:
            target = state + unit * (2.0 * length * first + length**2 * bend)
        reached = _step(sums, target, p)
        count += 1
        if target is not following[1] and (reached is None or reached[0] > value + 1e-13 * (1.0 + abs(value))):
            target = following[1]
            reached = _step(sums, target, p)
            count += 1
        state, here = target, reached
    value = here[0] if here is not None else math.nan
    logl = -0.5 * (sums.nobs * value + sums.values * math.log(2.0 * math.pi))
    return EmMoments(state[:p].copy(), state[p:].reshape(p, p).copy(), logl, count, size <= ENOUGH)


def _step(sums: CaseSums, state: Array, p: int) -> tuple[float, Array] | None:
    """Return the value at a state and the state the EM map leads to; None where there is no likelihood."""
    mean, cov = state[:p], state[p:].reshape(p, p)
    at = pull(sums, mean, cov)
    if at is None:
        return None
    move = cov @ at.lever
    new = cov - cov @ (at.omega - at.cross) @ cov - np.outer(move, move)
    return at.value, np.concatenate([mean + move, ((new + new.T) / 2).ravel()])
