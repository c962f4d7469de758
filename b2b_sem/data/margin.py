"""First step of the two-step method, one variable at a time: thresholds, or mean and variance; given covariates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from b2b_sem.data.bivariate import FAR
from b2b_sem.errors import DataError

__all__ = ["Margin", "fit_numeric", "fit_ordered", "interval"]

Array = NDArray[np.float64]
Index = NDArray[np.intp]

#: Newton's method on a concave likelihood: more steps than this mean that a category is separated by the covariates.
MOST = 100
#: Relative eigenvalue below which the information about the parameters of a variable counts as singular.
SINGULAR = 1e-10


@dataclass(frozen=True, eq=False)
class Margin:
    """Estimates for one variable and what the second step needs of it; N rows, q covariates.

    Attributes
    ----------
    place : ndarray, shape (m,)
        The m thresholds of an ordered item, or the mean (intercept) of a numeric variable (m = 1).
    slope : ndarray, shape (q,)
        Regression on the covariates: of the latent response, or of the variable itself.
    variance : float
        Residual variance; 1 for an ordered item.
    influence : ndarray, shape (N, m + q) or (N, m + q + 1)
        Influence of each row on place, slope and (numeric only) variance: N A^-1 times the row's scores, A the sum of
        the products of scores. Zero for a row without an answer.
    codes : ndarray of int, shape (N,), or None
        Category from 0, -1 where there is no answer; None for a numeric variable.
    upper, lower : ndarray, shape (N,)
        Limits of the latent response given the covariates (ordered); both the standardized residual z (numeric).
    seen : ndarray of bool, shape (N,)
    """

    place: Array
    slope: Array
    variance: float
    influence: Array
    codes: Index | None
    upper: Array
    lower: Array
    seen: NDArray[np.bool_]


def fit_ordered(name: str, codes: Index, covariates: Array) -> Margin:
    """Return thresholds of an item, by its proportions or, given covariates, by ordered probit regression.

    Parameters
    ----------
    name : str
        For messages.
    codes : ndarray of int, shape (N,)
        Category from 0, -1 where there is no answer; every category up to the largest occurs.
    covariates : ndarray, shape (N, q)
    """
    from scipy.special import ndtri

    seen = codes >= 0
    counts = np.bincount(codes[seen])
    cumulative = np.cumsum(counts)[:-1] / counts.sum()
    place = ndtri(cumulative)
    slope = np.zeros(covariates.shape[1])
    if covariates.shape[1]:
        place, slope, influence = _probit(name, codes, covariates, place)
    else:
        # the multinomial: its inverse information times the scores is the derivative of the quantiles
        density = np.exp(-0.5 * place * place) / np.sqrt(2.0 * np.pi)
        change = (np.arange(len(counts))[:, None] <= np.arange(len(place))) - cumulative
        change *= len(codes) / counts.sum() / density
        influence = np.vstack([change, np.zeros(len(place))])[codes]
    edge = np.concatenate([[-np.inf], place, [np.inf]])
    centre = covariates @ slope
    held = np.where(seen, codes, 0)
    upper = np.clip(np.where(seen, edge[held + 1] - centre, 0.0), -FAR, FAR)
    lower = np.clip(np.where(seen, edge[held] - centre, 0.0), -FAR, FAR)
    return Margin(place, slope, 1.0, influence, codes, upper, lower, seen)


def fit_numeric(name: str, values: Array, covariates: Array) -> Margin:
    """Return mean (or intercept and slopes) and residual variance of a numeric variable, by maximum likelihood.

    Parameters
    ----------
    name : str
        For messages.
    values : ndarray, shape (N,)
        NaN where there is no answer.
    covariates : ndarray, shape (N, q)
    """
    seen = ~np.isnan(values)
    n = int(seen.sum())
    design = np.column_stack([np.ones(len(values)), covariates])
    y = np.where(seen, values, 0.0)
    level = y.sum() / n
    beta = np.zeros(design.shape[1])
    if design.shape[1] > 1:
        beta = np.linalg.lstsq(design[seen], y[seen] - level, rcond=None)[0]
    else:
        beta[0] = (y[seen] - level).sum() / n
    rest = np.where(seen, y - level - design @ beta, 0.0)
    beta[0] += level
    variance = float(rest @ rest / n)
    if not variance > 1e-20 * max(float(np.square(y - level * seen).sum()) / n, np.finfo(float).tiny):
        why = "is a linear function of the covariates" if covariates.shape[1] else "does not vary"
        raise DataError(f"{name} {why}", hint="Leave it out.")
    z = rest / np.sqrt(variance)
    scores = np.column_stack([design * z[:, None], np.where(seen, 0.5 * (z * z - 1.0), 0.0)])
    # scores of place / sd and variance / variance, so that units do not matter
    unit = np.concatenate([np.full(design.shape[1], np.sqrt(variance)), [variance]])
    hint = (
        "A number with two values has no variance of its own beside its mean. An exogenous one: use fixed_x=True (the "
        "default). Another one: declare it as ordered."
        if len(np.unique(values[seen])) == 2
        else "Leave a covariate out, or collect more answers."
    )
    influence = _influence(name, scores, hint) * unit
    return Margin(beta[:1], beta[1:], variance, influence, None, z, z, seen)


def _influence(name: str, scores: Array, hint: str) -> Array:
    """Return N A^-1 s for every row's scores s, with A the sum of s s'."""
    information = scores.T @ scores
    scale = 1.0 / np.sqrt(np.maximum(np.diag(information), np.finfo(float).tiny))
    values, vectors = np.linalg.eigh(information * np.outer(scale, scale))
    if values[0] < SINGULAR:
        raise DataError(f"the asymptotic covariance of the statistics of {name} cannot be computed", hint=hint)
    inverse = (vectors / values) @ vectors.T * np.outer(scale, scale)
    return np.asarray(len(scores) * (scores @ inverse))


def _probit(name: str, codes: Index, covariates: Array, start: Array) -> tuple[Array, Array, Array]:
    """Return thresholds, slopes and influences of an ordered probit regression.

    The likelihood is concave (Pratt 1981, doi:10.1080/01621459.1981.10477619): Newton steps, halved while it falls.
    """
    seen = codes >= 0
    y, held = codes[seen], covariates[seen]
    m, q = len(start), held.shape[1]
    # covariates centred and scaled: their units and offsets do not matter for the search
    mean, sd = held.mean(axis=0), held.std(axis=0)
    x = (held - mean) / sd
    top, bottom = y[:, None] == np.arange(m), y[:, None] - 1 == np.arange(m)
    theta = np.concatenate([start, np.zeros(q)])
    value, scores, hessian = _probit_terms(theta, y, x, top, bottom)
    for _ in range(MOST):
        step = np.linalg.solve(hessian, scores.sum(axis=0))
        share = 1.0
        while True:
            trial = theta - share * step
            new = _probit_terms(trial, y, x, top, bottom)
            if new[0] >= value - 1e-12 * abs(value) or share < 1e-6:
                break
            share /= 2.0
        theta, (value, scores, hessian) = trial, new
        if np.abs(share * step).max() < 1e-10:
            break
    else:
        raise DataError(
            f"the ordered probit regression of {name} on the covariates has no finite solution",
            hint="A covariate separates its categories completely: merge categories, or leave the covariate out.",
        )
    hint = "A covariate repeats others within the answers of this item: leave it out."
    inner = _influence(name, scores, hint)
    slope = theta[m:] / sd
    # back to the covariates as given: threshold + mean'slope
    jacobian = np.eye(m + q)
    jacobian[m:, m:] = np.diag(1.0 / sd)
    jacobian[:m, m:] = mean / sd
    influence = np.zeros((len(codes), m + q))
    influence[seen] = inner @ jacobian.T * (len(codes) / len(y))
    return theta[:m] + mean @ slope, slope, influence


def _probit_terms(
    theta: Array, y: Index, x: Array, top: NDArray[np.bool_], bottom: NDArray[np.bool_]
) -> tuple[float, Array, Array]:
    """Return log-likelihood, scores of every row and Hessian; thresholds out of order give -inf."""
    m = top.shape[1]
    edge = np.concatenate([[-FAR], theta[:m], [FAR]])
    if (np.diff(edge) <= 0).any():
        return -np.inf, np.zeros((len(y), len(theta))), np.eye(len(theta))
    centre = x @ theta[m:]
    upper, lower = edge[y + 1] - centre, edge[y] - centre
    pi = interval(upper, lower)
    if (pi <= 0).any():
        return -np.inf, np.zeros((len(y), len(theta))), np.eye(len(theta))
    # density / probability at both limits
    a, b = _density(upper) / pi, _density(lower) / pi
    rows = np.column_stack([top * a[:, None] - bottom * b[:, None], -x * (a - b)[:, None]])
    up, down = np.column_stack([top, -x]), np.column_stack([bottom, -x])
    hessian = -(up * (a * upper)[:, None]).T @ up + (down * (b * lower)[:, None]).T @ down - rows.T @ rows
    return float(np.log(pi).sum()), rows, hessian


def interval(upper: Array, lower: Array) -> Array:
    """Return the normal probability between two limits, from the tail where no digits are lost."""
    from scipy.special import ndtr

    flip = lower > 0
    return np.asarray(ndtr(np.where(flip, -lower, upper)) - ndtr(np.where(flip, -upper, lower)))


def _density(z: Array) -> Array:
    return np.asarray(np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi))
