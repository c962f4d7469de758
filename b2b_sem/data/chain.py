"""Streams of chained equations: every column with holes is drawn in turn from its regression on all the others.

The loop over columns is scikit-learn's ``IterativeImputer``; the draws are ours, because its own
(``sample_posterior=True`` with a Bayesian ridge) are continuous, and draw the regression coefficients anew for every
respondent, which leaves their uncertainty out of means over respondents: imputations would agree too well. Here the
coefficients and the residual variance are drawn once for each column and iteration from their posterior (Rubin 1987,
doi:10.1002/9780470316696, p. 167), and every respondent's answer is drawn given them.

Most of the time would go into the loop, not into the draws. So the imputer is given several copies of the data below
each other, one for each chain, and the regression takes them apart again: no chain sees a number of another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Settings", "run_chains", "scale_reduction"]

Array = NDArray[np.float64]
#: Added to the correlation matrix of the predictors: columns that repeat each other do no harm.
RIDGE = 1e-5
#: Numbers in the copies of the data that run together.
LIMIT = 4_000_000


@dataclass(frozen=True)
class Settings:
    """How answers are drawn.

    Attributes
    ----------
    scale : {"match", "round", "none"}
    iterations, donors : int
    low, high : tuple of float
        Limits of each column with holes; used by "round".
    step : tuple of bool
        Whether a column with holes holds whole numbers only; used by "round".
    """

    scale: str
    iterations: int
    donors: int
    low: tuple[float, ...]
    high: tuple[float, ...]
    step: tuple[bool, ...]


@dataclass
class _State:
    """What the regressions of some chains share: a stream for each chain, and a record of what was drawn."""

    rngs: list[np.random.Generator]
    settings: Settings
    columns: int
    trace: list[Array] = field(default_factory=list)

    @property
    def column(self) -> int:
        """Position of the column whose turn it is: they come in a fixed order."""
        return len(self.trace) % self.columns

    def part(self, stacked: Array) -> Array:
        """Return an array with a row for each row of each chain as one with a block for each chain."""
        return stacked.reshape(len(self.rngs), -1, *stacked.shape[1:])


class _Regression:
    """A regression that predicts by drawing, in the form ``IterativeImputer`` calls.

    All arrays have the chains first.
    """

    def __init__(self, state: _State) -> None:
        self.state = state

    def __sklearn_clone__(self) -> _Regression:
        return _Regression(self.state)  # the streams are shared: copies would repeat their numbers

    def fit(self, x: Array, y: Array) -> _Regression:
        """Draw coefficients and residual variance from their posterior under a flat prior."""
        rngs = self.state.rngs
        x, y = self.state.part(x), self.state.part(y)
        n, k = x.shape[1:]
        self.centre = x.mean(axis=1, keepdims=True)
        d = x - self.centre
        gram = d.swapaxes(1, 2) @ d
        spread = np.sqrt(np.diagonal(gram, axis1=1, axis2=2) / n)
        spread = np.where(spread > 0, spread, 1.0)
        gram /= spread[:, :, None] * spread[:, None, :]
        gram += RIDGE * n * np.eye(k)
        half = np.linalg.inv(np.linalg.cholesky(gram))
        level = y.mean(axis=1, keepdims=True)
        right = (d.swapaxes(1, 2) @ (y - level)[:, :, None]) / spread[:, :, None]
        best = half.swapaxes(1, 2) @ (half @ right)
        self.fitted = level + (d @ (best / spread[:, :, None]))[:, :, 0]
        left = ((y - self.fitted) ** 2).sum(axis=1)
        sigma = np.sqrt(left / np.array([rng.chisquare(max(n - k - 1, 1)) for rng in rngs]))
        noise = np.array([rng.standard_normal(k) for rng in rngs])[:, :, None]
        drawn = best + sigma[:, None, None] * (half.swapaxes(1, 2) @ noise)
        self.slopes = drawn / spread[:, :, None]
        self.level = level[:, 0] + sigma / np.sqrt(n) * np.array([rng.standard_normal() for rng in rngs])
        self.sigma, self.answers = sigma, y
        return self

    def predict(self, x: Array) -> Array:
        """Return a draw for every row."""
        state = self.state
        rngs, settings, at = state.rngs, state.settings, state.column
        expected = self.level[:, None] + ((state.part(x) - self.centre) @ self.slopes)[:, :, 0]
        if settings.scale == "match":
            values = _donors(self.fitted, self.answers, expected, settings.donors, rngs)
        else:
            noise = np.array([rng.standard_normal(expected.shape[1]) for rng in rngs])
            values = expected + self.sigma[:, None] * noise
            if settings.scale == "round":
                values = np.round(values) if settings.step[at] else values
                values = np.clip(values, settings.low[at], settings.high[at])
        state.trace.append(np.stack([values.mean(axis=1), values.std(axis=1)], axis=1))
        return values.ravel()


def _donors(fitted: Array, answers: Array, expected: Array, count: int, rngs: Sequence[np.random.Generator]) -> Array:
    """Return for each expected value the answer of one of the `count` respondents with the nearest fitted values."""
    n = fitted.shape[1]
    count = min(count, n)
    # among equal fitted values every respondent may give
    shuffled = np.array([rng.permutation(n) for rng in rngs])
    order = np.take_along_axis(
        shuffled, np.argsort(np.take_along_axis(fitted, shuffled, axis=1), axis=1, kind="stable"), axis=1
    )
    line = np.take_along_axis(fitted, order, axis=1)
    place = np.array([np.searchsorted(own, values) for own, values in zip(line, expected, strict=True)])
    start = place[:, :, None] + np.arange(-count, count)
    inside = (start >= 0) & (start < n)
    near = np.clip(start, 0, n - 1)
    chain = np.arange(len(fitted))[:, None]
    gap = np.where(inside, np.abs(line[chain[:, :, None], near] - expected[:, :, None]), np.inf)
    nearest = np.take_along_axis(near, np.argpartition(gap, count - 1, axis=2)[:, :, :count], axis=2)
    picked = np.array([rng.integers(count, size=expected.shape[1]) for rng in rngs])
    chosen = np.take_along_axis(nearest, picked[:, :, None], axis=2)[:, :, 0]
    return np.asarray(answers[chain, order[chain, chosen]])


def run_chains(
    values: Array, holes: Sequence[int], seeds: Sequence[np.random.SeedSequence], settings: Settings
) -> list[tuple[Any, Any]]:
    """Complete a data matrix several times.

    Parameters
    ----------
    values : (n, p) array
        NaN where an answer is missing.
    holes : sequence of int
        Columns with missing answers, in the order in which they are drawn.
    seeds : sequence of SeedSequence
        One for each chain, whose numbers depend on no other.
    settings : Settings
        Limits in the order of `holes`.

    Returns
    -------
    list of (completed, trace)
        Arrays (n, p) and (iterations, len(holes), 2): the data, and mean and standard deviation of the draws.
    """
    size = max(LIMIT // values.size, 1)
    parts = [seeds[first : first + size] for first in range(0, len(seeds), size)]
    return [one for part in parts for one in _run_together(values, holes, part, settings)]


def _run_together(
    values: Array, holes: Sequence[int], seeds: Sequence[np.random.SeedSequence], settings: Settings
) -> list[tuple[Any, Any]]:
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer
    from threadpoolctl import threadpool_limits

    rest = [j for j in range(values.shape[1]) if j not in set(holes)]
    order = [*holes, *rest]
    state = _State([np.random.default_rng(seed) for seed in seeds], settings, len(holes))
    imputer = IterativeImputer(
        _Regression(state),
        max_iter=settings.iterations,
        tol=0.0,  # draws do not settle: every iteration is run, and the warning that they did not is no news
        initial_strategy="median",  # to the last bit the same for any number of copies
        imputation_order="roman",
        skip_complete=True,
        random_state=0,  # draws nothing: see _Regression
    )
    with threadpool_limits(limits=1, user_api="blas"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = state.part(imputer.fit_transform(np.tile(values[:, order], (len(seeds), 1))))
    trace = np.array(state.trace).reshape(settings.iterations, len(holes), len(seeds), 2)
    out = []
    for chain in range(len(seeds)):
        completed = np.empty_like(values)
        completed[:, order] = found[chain]
        # what was answered is kept to the last bit
        out.append((np.where(np.isnan(values), completed, values), trace[:, :, chain].copy()))
    return out


def scale_reduction(chains: Array) -> Array:
    """Return R-hat = sqrt((n - 1) / n + B / (n W)) of chains of shape (m, n, ...): near 1 when they mix.

    Gelman & Rubin (1992), doi:10.1214/ss/1177011136. B is n times the variance of the m means, W the mean variance
    within chains. NaN for chains that are too short.
    """
    n = chains.shape[1]
    if n < 2:
        return np.full(chains.shape[2:], np.nan)
    within = chains.var(axis=1, ddof=1).mean(axis=0)
    between = n * chains.mean(axis=1).var(axis=0, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(within > 0, np.sqrt((n - 1) / n + between / (n * within)), np.where(between > 0, np.inf, 1.0))
