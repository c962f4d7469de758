"""Moments of normal variables that are cut into steps, such as answers on a rating scale: numbers in, numbers out.

A function f of a standard normal variable Z is a sum of Hermite polynomials, f(Z) = sum_k a_k h_k(Z) with h_k = He_k /
sqrt(k!). Of two standard normal variables with correlation r, E[h_k(X) h_l(Y)] is r^k where k = l and else 0 (Mehler),
so that cov(f(X), g(Y)) = sum_k r^k a_k b_k. A function that steps up by d_t at the cut points t has the coefficients
a_k = sum_t d_t phi(t) h_(k-1)(t) / sqrt(k). The first term alone is the correlation that rounding leaves (Olsson,
Drasgow & Dorans 1982, doi:10.1007/BF02294164).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

__all__ = ["Steps", "cut_moments", "linear_steps", "mixed_moments", "steps_of"]

Array = npt.NDArray[np.floating[Any]]

#: Terms of the series; what is left of a covariance is below r^TERMS times the product of the standard deviations.
TERMS = 400


@dataclass(frozen=True, eq=False)
class Steps:
    """A function of a standard normal variable.

    Attributes
    ----------
    mean, variance : float
    coefficients : (TERMS,) array
        a_1, a_2, ...
    """

    mean: float
    variance: float
    coefficients: Array


def linear_steps(mean: float, sd: float) -> Steps:
    """Return the function ``mean + sd * Z``, which has no steps."""
    coefficients = np.zeros(TERMS)
    coefficients[0] = sd
    return Steps(mean, sd * sd, coefficients)


def steps_of(cuts: Sequence[float] | Array, values: Sequence[float] | Array) -> Steps:
    """Return the function that has ``values[j]`` between the cut points j - 1 and j.

    Parameters
    ----------
    cuts : (m,) array_like
        Never falling, on the standard normal scale.
    values : (m + 1,) array_like
    """
    return _steps_of(tuple(map(float, cuts)), tuple(map(float, values)))


@lru_cache(maxsize=2048)
def _steps_of(cuts: tuple[float, ...], values: tuple[float, ...]) -> Steps:
    t, v = np.array(cuts), np.array(values)
    # from the nearer end, so that small shares keep their digits
    below, above = special.ndtr(t), special.ndtr(-t)
    share = np.diff(np.concatenate([[0.0], below, [1.0]]))
    upper = -np.diff(np.concatenate([[1.0], above, [0.0]]))
    share = np.where(np.concatenate([t, [np.inf]]) > 0, upper, share)
    mean = float(share @ v)
    variance = float(share @ (v - mean) ** 2)
    jump = np.diff(v) * np.exp(-0.5 * t * t) / math.sqrt(2.0 * math.pi)
    out, before, now = np.zeros(TERMS), np.zeros_like(t), np.ones_like(t)
    for k in range(1, TERMS + 1):
        out[k - 1] = jump @ now / math.sqrt(k)
        # h_k = (t h_(k-1) - sqrt(k - 1) h_(k-2)) / sqrt(k)
        before, now = now, (t * now - math.sqrt(k - 1) * before) / math.sqrt(k)
    out.flags.writeable = False
    return Steps(mean, variance, out)


def cut_moments(steps: Sequence[Steps], cor: Array) -> tuple[Array, Array]:
    """Return means and covariances of functions of correlated standard normal variables.

    Parameters
    ----------
    steps : sequence of Steps, length p
    cor : (p, p) array
        Correlations of the normal variables.

    Returns
    -------
    mean : (p,) array
    cov : (p, p) array
    """
    table = np.stack([s.coefficients for s in steps], axis=1)
    cov, power = np.zeros_like(cor), np.ones_like(cor)
    for row in table:
        power = power * cor
        cov += power * np.outer(row, row)
    np.fill_diagonal(cov, [s.variance for s in steps])
    return np.array([s.mean for s in steps]), cov


def mixed_moments(shares: Sequence[float], means: Sequence[Array], covs: Sequence[Array]) -> tuple[Array, Array]:
    """Return mean and covariances of a mixture: covariances within the parts, and those of their means.

    Parameters
    ----------
    shares : sequence of float
        They sum to 1.
    means, covs : sequence of (p,) and (p, p) arrays
    """
    weight, every = np.asarray(shares, dtype=float), np.asarray(means, dtype=float)
    mean = weight @ every
    apart = every - mean
    cov = np.einsum("g,gij->ij", weight, np.asarray(covs)) + (apart.T * weight) @ apart
    return mean, cov
