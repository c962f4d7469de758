"""A third likelihood of models with products, straight from the rows of a parameter table: slow and plain.

Every variable, latent or observed, is a constant, a sum of paths from other variables, products, and a residual
(McArdle & McDonald 1984, doi:10.1111/j.2044-8317.1984.tb00802.x). Given the residual of one root variable, which takes
part in every product, all variables are affine functions of the other residuals. Nothing is shared with the package.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

__all__ = ["log_likelihood", "posterior_mean"]


def log_likelihood(
    rows: pd.DataFrame, data: pd.DataFrame, root: str, count: int = 161, fixed: tuple[str, ...] = ()
) -> float:
    """Return log L of one group; see :func:`joint` for the arguments.

    ``fixed`` are observed variables whose own likelihood (at their sample moments) is taken away.
    """
    columns, total = list(data.columns), 0.0
    for seen, own in _patterns(data):
        at = [i for i, here in enumerate(seen) if here]
        log = _densities(*joint(rows, [columns[i] for i in at], root, count), own[:, at])
        top = log.max(axis=0)
        total += float((top + np.log(np.exp(log - top).sum(axis=0))).sum())
    if fixed:
        x = data[list(fixed)].to_numpy()
        total -= float(stats.multivariate_normal.logpdf(x, x.mean(axis=0), np.atleast_2d(np.cov(x.T, bias=True))).sum())
    return total


def posterior_mean(rows: pd.DataFrame, answers: pd.Series, latent: str, root: str, count: int = 161) -> float:
    """Return E[latent | answers] of one respondent, by conditioning at every point."""
    names = [str(v) for v in answers.index[answers.notna()]]
    mean, cov, weight = joint(rows, [*names, latent], root, count)
    y = answers[names].to_numpy(dtype=float)
    log = _densities(mean[:, :-1], cov[:, :-1, :-1], weight, y[None])
    share = np.exp(log[:, 0] - log[:, 0].max())
    each = [m[-1] + c[-1, :-1] @ np.linalg.solve(c[:-1, :-1], y - m[:-1]) for m, c in zip(mean, cov, strict=True)]
    return float(np.average(each, weights=share))


def _patterns(data: pd.DataFrame) -> list[tuple[np.ndarray, np.ndarray]]:
    y = data.to_numpy()
    patterns, member = np.unique(~np.isnan(y), axis=0, return_inverse=True)
    return [(seen, y[member.ravel() == j]) for j, seen in enumerate(patterns)]


def _densities(mean: np.ndarray, cov: np.ndarray, weight: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the joint log densities of points and answers, (points, n)."""
    factor = np.linalg.cholesky(cov)
    white = np.linalg.solve(factor, (y[None] - mean[:, None]).transpose(0, 2, 1))
    logdet = 2.0 * np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(axis=1)
    log = -0.5 * ((white**2).sum(axis=1) + logdet[:, None] + y.shape[1] * np.log(2.0 * np.pi))
    return log + weight[:, None]


def joint(rows: pd.DataFrame, columns: list[str], root: str, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return means (points, k), covariance matrices and log weights of some variables, given each point of `root`.

    Parameters
    ----------
    rows : DataFrame
        lhs op rhs est.
    columns : list of str
        Observed or latent variables.
    root : str
        A variable without predictors.
    count : int
        Points on +-8 standard deviations of `root`.
    """
    names = list(dict.fromkeys([v for r in rows.itertuples() for v in (r.lhs, *str(r.rhs).split(":")) if v]))
    place = {v: i for i, v in enumerate(names)}
    m = len(names)
    alpha, omega = np.zeros(m), np.zeros((m, m))
    paths: list[list[tuple[float, tuple[int, ...]]]] = [[] for _ in names]
    for r in rows.itertuples():
        if r.op == "~1":
            alpha[place[r.lhs]] = r.est
        elif r.op == "~~":
            omega[place[r.lhs], place[r.rhs]] = omega[place[r.rhs], place[r.lhs]] = r.est
        elif r.op == "=~":
            paths[place[r.rhs]].append((r.est, (place[r.lhs],)))
        elif r.op == "~":
            paths[place[r.lhs]].append((r.est, tuple(place[v] for v in r.rhs.split(":"))))
    assert not paths[place[root]]
    k = place[root]
    slope = omega[:, k] / omega[k, k]
    rest = omega - np.outer(slope, omega[k])
    z = np.linspace(-8.0, 8.0, count) * np.sqrt(omega[k, k])
    # value of each variable at each point: (points, 1 + m), a constant and coefficients of the residuals
    done: dict[int, np.ndarray] = {}

    def value(i: int) -> np.ndarray:
        if i not in done:
            out = np.zeros((count, 1 + m))
            out[:, 0] = alpha[i] + slope[i] * z
            out[:, 1 + i] = 1.0
            for weight, factors in paths[i]:
                if len(factors) == 1:
                    out += weight * value(factors[0])
                else:
                    assert k in factors
                    other = factors[0] if factors[1] == k else factors[1]
                    out += weight * (alpha[k] + z)[:, None] * value(other)
            done[i] = out
        return done[i]

    done[k] = np.zeros((count, 1 + m))
    done[k][:, 0] = alpha[k] + z
    every = np.stack([value(place[v]) for v in columns], axis=1)  # (points, k, 1 + m)
    mean, loading = every[:, :, 0], every[:, :, 1:]
    weight = stats.norm.logpdf(z, scale=np.sqrt(omega[k, k])) + np.log(z[1] - z[0])
    return mean, loading @ rest @ loading.transpose(0, 2, 1), weight
