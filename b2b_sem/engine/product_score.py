"""Factor scores of models with latent products: means of the latent variables given a respondent's answers.

With products the distribution of the latent variables given the answers is not normal, and its mean is not linear in
the answers. Given the variables c that are integrated out it is normal, so that

    E[eta | y] = sum_q w_q(y) E[eta | y, c_q],

with the posterior weights w_q of the points (Klein & Moosbrugger 2000, doi:10.1007/BF02296338).
"""

from __future__ import annotations

import numpy as np

from b2b_sem.data.incomplete import group_patterns
from b2b_sem.engine.base import Array
from b2b_sem.engine.native.mixture import Grid, Mixture, make_grid

__all__ = ["posterior_means", "scoring_grid"]

#: Ends of the points for rows that the model was not fitted to, in standard deviations.
FAR = 12.0
#: Numbers in one working array.
LIMIT = 4_000_000
#: Posterior weight below which a point adds nothing.
NOTHING = 1e-17


def scoring_grid(mixture: Mixture, theta: Array) -> Grid:
    """Return points as dense as those of the likelihood, and further out."""
    at = list(mixture.given)
    moments = mixture.whole_moments(theta)
    mean, sd = moments.eta_mean[at], np.sqrt(np.diag(moments.eta_cov)[at])
    columns = mixture.grid.points.T
    distance = np.array([np.diff(np.unique(column.round(12))).min(initial=np.inf) for column in columns])
    count = int(np.ceil(np.max(2.0 * FAR * sd / distance))) + 1
    return make_grid(mean, sd, count, FAR)


def posterior_means(mixture: Mixture, theta: Array, rows: Array, grid: Grid | None = None) -> Array:
    """Return E[eta | y] of each row, (n, m).

    Parameters
    ----------
    mixture : Mixture
    theta : (q,) array
    rows : (n, p) array
        In model order, NaN where there is no answer; every row has at least one.
    grid : Grid, optional
        Default: the points of the likelihood, which suit the rows that the model was fitted to.
    """
    points = (mixture.grid if grid is None else grid).points
    models = mixture.models(theta, points)
    p, d = rows.shape[1], points.shape[1]
    m = models.eta_mean.shape[1]
    cross = models.columns[:, :, models.columns.shape[2] - m :]  # Cov((y, c), eta)
    out = np.empty((len(rows), m))
    whole = group_patterns(rows)
    for pattern, present in enumerate(whole.patterns):
        every = np.flatnonzero(whole.member == pattern)
        seen = np.flatnonzero(present)
        at = np.concatenate([seen, np.arange(p, p + d)])
        sigma = models.sigma[:, at[:, None], at]
        factor = np.linalg.cholesky(sigma)
        logdet = np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(axis=1)
        weights = np.linalg.solve(sigma, cross[:, at])  # (Q, k, m)
        for own in np.array_split(every, max(1, len(every) * len(points) // LIMIT)):
            answers = whole.rows[own][:, seen]
            log = np.empty((len(points), len(own)))
            for q, point in enumerate(points):
                white = np.linalg.solve(factor[q], _away(answers, point, models.mu[q, at]).T)
                log[q] = -0.5 * (white**2).sum(axis=0) - logdet[q]
            share = np.exp(log - log.max(axis=0))
            share /= share.sum(axis=0)
            total = np.zeros((len(own), m))
            for q, point in enumerate(points):
                if share[q].max() > NOTHING:
                    inner = models.eta_mean[q] + _away(answers, point, models.mu[q, at]) @ weights[q]
                    total += share[q, :, None] * inner
            out[own] = total
    return out


def _away(answers: Array, point: Array, mean: Array) -> Array:
    """Return answers and given variables less their means, (n, k + d)."""
    given = np.broadcast_to(point, (len(answers), len(point)))
    return np.concatenate([answers, given], axis=1) - mean
