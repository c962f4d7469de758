"""One stream of chained equations: every column with holes is drawn in turn from its regression on all the others.

The loop over columns is scikit-learn's ``IterativeImputer``; the draws are ours, because its own
(``sample_posterior=True`` with a Bayesian ridge) are continuous, and draw the regression coefficients anew for every
respondent, which leaves their uncertainty out of means over respondents: imputations would agree too well. Here the
coefficients and the residual variance are drawn once for each column and iteration from their posterior (Rubin 1987,
doi:10.1002/9780470316696, p. 167), and every respondent's answer is drawn given them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Settings", "run_chain", "scale_reduction"]

Array = NDArray[np.float64]
#: Added to the correlation matrix of the predictors: columns that repeat each other do no harm.
RIDGE = 1e-5


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
    """What the regressions of one chain share: the stream, and a record of what was drawn."""

    rng: np.random.Generator
    settings: Settings
    columns: int
    trace: list[tuple[float, float]] = field(default_factory=list)

    @property
    def column(self) -> int:
        """Position of the column whose turn it is: they come in a fixed order."""
        return len(self.trace) % self.columns


class _Regression:
    """A regression that predicts by drawing, in the form ``IterativeImputer`` calls."""

    def __init__(self, state: _State) -> None:
        self.state = state

    def __sklearn_clone__(self) -> _Regression:
        return _Regression(self.state)  # the stream is shared: a copy would repeat its numbers

    def fit(self, x: Array, y: Array) -> _Regression:
        """Draw coefficients and residual variance from their posterior under a flat prior."""
        rng = self.state.rng
        self.centre, spread = x.mean(axis=0), x.std(axis=0)
        self.spread = np.where(spread > 0, spread, 1.0)
        z = (x - self.centre) / self.spread
        n, k = z.shape
        root = np.linalg.cholesky(z.T @ z + RIDGE * n * np.eye(k))
        self.level = float(y.mean())
        best = np.linalg.solve(root.T, np.linalg.solve(root, z.T @ (y - self.level)))
        self.fitted = self.level + z @ best
        left = float(((y - self.fitted) ** 2).sum())
        sigma = np.sqrt(left / rng.chisquare(max(n - k - 1, 1)))
        self.best = best
        self.drawn = best + sigma * np.linalg.solve(root.T, rng.standard_normal(k))
        self.drawn_level = self.level + sigma / np.sqrt(n) * rng.standard_normal()
        self.sigma, self.answers = float(sigma), y
        return self

    def predict(self, x: Array) -> Array:
        """Return a draw for every row."""
        state = self.state
        rng, settings, at = state.rng, state.settings, state.column
        expected = self.drawn_level + ((x - self.centre) / self.spread) @ self.drawn
        if settings.scale == "match":
            values = _donors(self.fitted, self.answers, expected, settings.donors, rng)
        else:
            values = expected + self.sigma * rng.standard_normal(len(expected))
            if settings.scale == "round":
                values = np.round(values) if settings.step[at] else values
                values = np.clip(values, settings.low[at], settings.high[at])
        state.trace.append((float(values.mean()), float(values.std())))
        return values


def _donors(fitted: Array, answers: Array, expected: Array, count: int, rng: np.random.Generator) -> Array:
    """Return for each expected value the answer of one of the `count` respondents with the nearest fitted values."""
    shuffled = rng.permutation(len(fitted))  # among equal fitted values every respondent may give
    order = shuffled[np.argsort(fitted[shuffled], kind="stable")]
    line = fitted[order]
    n = len(line)
    count = min(count, n)
    start = np.searchsorted(line, expected)[:, None] + np.arange(-count, count)
    inside = (start >= 0) & (start < n)
    near = np.clip(start, 0, n - 1)
    gap = np.where(inside, np.abs(line[near] - expected[:, None]), np.inf)
    nearest = np.take_along_axis(near, np.argpartition(gap, count - 1, axis=1)[:, :count], axis=1)
    chosen = nearest[np.arange(len(expected)), rng.integers(count, size=len(expected))]
    return np.asarray(answers[order[chosen]])


def run_chain(values: Array, holes: Sequence[int], seed: np.random.SeedSequence, settings: Settings) -> tuple[Any, Any]:
    """Complete a data matrix once.

    Parameters
    ----------
    values : (n, p) array
        NaN where an answer is missing.
    holes : sequence of int
        Columns with missing answers, in the order in which they are drawn.
    seed : SeedSequence
        Of this chain alone.
    settings : Settings
        Limits in the order of `holes`.

    Returns
    -------
    completed : (n, p) array
    trace : (iterations, len(holes), 2) array
        Mean and standard deviation of the draws.
    """
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer
    from threadpoolctl import threadpool_limits

    rest = [j for j in range(values.shape[1]) if j not in set(holes)]
    order = [*holes, *rest]
    state = _State(np.random.default_rng(seed), settings, len(holes))
    imputer = IterativeImputer(
        _Regression(state),
        max_iter=settings.iterations,
        tol=0.0,  # draws do not settle: every iteration is run, and the warning that they did not is no news
        imputation_order="roman",
        skip_complete=True,
        random_state=0,  # draws nothing: see _Regression
    )
    with threadpool_limits(limits=1, user_api="blas"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = imputer.fit_transform(values[:, order])
    completed = np.empty_like(values)
    completed[:, order] = found
    # what was answered is kept to the last bit
    completed = np.where(np.isnan(values), completed, values)
    return completed, np.array(state.trace).reshape(settings.iterations, len(holes), 2)


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
