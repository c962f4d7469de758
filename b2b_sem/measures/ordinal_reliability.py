"""Reliability of the sum of ordered answers, from a model of the responses behind them: numbers in, numbers out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from b2b_sem.errors import DataError

__all__ = ["omega_categorical", "score_covariance"]

Array = NDArray[np.float64]
#: P(X <= h, Y <= k) of standard normal X and Y with correlation rho; the three broadcast.
Bivariate = Callable[[Array, Array, Array], Array]


def omega_categorical(
    loadings: ArrayLike, cor: ArrayLike, thresholds: Sequence[ArrayLike], bivariate: Bivariate
) -> float:
    """Categorical omega: the reliability of the sum of the answers 1, 2, ..., under a factor model of the responses.

    Covariance of the sums of two administrations that share the factor only, divided by the variance of the sum:

    ``sum_jk c(t_j, t_k, l_j l_k) / sum_jk c(t_j, t_k, r_jk)`` with
    ``c(t, u, r) = sum_ab Phi2(t_a, u_b; r) - sum_a Phi(t_a) sum_b Phi(u_b)``.

    Alpha and omega of polychoric correlations speak of the sum of the unseen responses, which nobody can compute; this
    one speaks of the score that is used.

    Parameters
    ----------
    loadings : array_like, shape (k,)
        Completely standardized loadings on the factor.
    cor : array_like, shape (k, k)
        Correlations of the responses that the model implies. What the loadings do not explain in them counts as error.
    thresholds : sequence of k array_like
        Ascending thresholds of each item for responses with mean 0 and variance 1.
    bivariate : callable
        ``bivariate(h, k, rho)``: standard bivariate normal probabilities.

    Returns
    -------
    float
        NaN for fewer than two items, or a sum without variance.

    Raises
    ------
    DataError
        If shapes do not fit, values are not finite, thresholds do not ascend, or correlations leave [-1, 1].

    References
    ----------
    Green & Yang (2009), doi:10.1007/s11336-008-9099-3. Same number as ``omega2`` of ``semTools::reliability`` and as
    ``compRelSEM(obs.var = FALSE)``.
    """
    weights = np.asarray(loadings, dtype=np.float64)
    if weights.ndim != 1 or not weights.size or not np.isfinite(weights).all():
        raise DataError(f"loadings must be a list of finite numbers, but are {weights!r}")
    true = score_covariance(np.outer(weights, weights), thresholds, bivariate)
    total = score_covariance(cor, thresholds, bivariate, unit=True)
    if len(weights) < 2 or not total.sum() > 0:
        return float("nan")
    return float(true.sum() / total.sum())


def score_covariance(
    cor: ArrayLike, thresholds: Sequence[ArrayLike], bivariate: Bivariate, *, unit: bool = False
) -> Array:
    """Return the covariance matrix of answers 1, 2, ..., from the correlations of the responses behind them.

    Parameters
    ----------
    cor : array_like, shape (k, k)
        On the diagonal what two answers of one person to the same item share: 1 gives the variance of the item.
    thresholds : sequence of k array_like
    bivariate : callable
    unit : bool
        Require a diagonal of ones.

    Returns
    -------
    ndarray, shape (k, k)

    Raises
    ------
    DataError
        As for :func:`omega_categorical`.
    """
    from scipy.special import ndtr

    r = np.asarray(cor, dtype=np.float64)
    limits = [np.asarray(t, dtype=np.float64) for t in thresholds]
    k = len(limits)
    if r.shape != (k, k):
        raise DataError(f"{k} items with thresholds need {k} x {k} correlations, not {r.shape}")
    slack = 1e-9  # rounding of a standardized solution
    if not np.isfinite(r).all() or np.abs(r).max(initial=0.0) > 1 + slack:
        raise DataError("correlations of the responses must lie between -1 and 1")
    if unit and np.abs(np.diag(r) - 1).max(initial=0.0) > 1e-6:
        raise DataError("the diagonal of a correlation matrix must be 1")
    for number, own in enumerate(limits, start=1):
        if own.ndim != 1 or not own.size or not np.isfinite(own).all() or (np.diff(own) <= 0).any():
            raise DataError(f"the thresholds of item {number} must be finite and ascend")
    item = np.repeat(np.arange(k), [len(t) for t in limits])
    flat = np.concatenate(limits)
    rho = np.clip(r, -1.0, 1.0)
    h, u, both = np.broadcast_arrays(flat[:, None], flat[None, :], rho[np.ix_(item, item)])
    single = ndtr(flat)
    joint = np.asarray(bivariate(h.ravel(), u.ravel(), both.ravel())).reshape(len(flat), len(flat))
    member = np.equal.outer(np.arange(k), item).astype(np.float64)
    out = member @ (joint - np.outer(single, single)) @ member.T
    return np.asarray((out + out.T) / 2)
