"""Samples for dynamic cut-offs: drawn from a correct and from misspecified populations, fitted by the same model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from b2b_sem.analysis.cutoff_recipe import SHAPING, Recipe, indices_of
from b2b_sem.analysis.misspecification import Solution
from b2b_sem.analysis.structural import fit as fit_model
from b2b_sem.data.observed import GroupMoments, Observed
from b2b_sem.engine.base import Array, FitOptions, moments_divisor
from b2b_sem.engine.native.constraint import linear_constraints
from b2b_sem.engine.problem import prepare, solve
from b2b_sem.engine.replicate import Replicator, replicator
from b2b_sem.engine.resample import stream, wishart_moments
from b2b_sem.engine.rowerror import MEASURES, measure_stack
from b2b_sem.engine.threads import single_thread
from b2b_sem.errors import B2BSemError, ModelError
from b2b_sem.results.cutoff import INDICES
from b2b_sem.spec.partable import build_table
from b2b_sem.spec.syntax import parse_model

__all__ = ["MomentSamples", "RowSamples", "prepare_moments", "prepare_rows"]

#: Samples in a block, each block with a random stream of its own: of moments, and of rows of ordinal items.
BLOCK, ROWS_BLOCK = 128, 10
#: One of so many samples of a block may be fitted alone where the batch finds no solution.
FEW = 8


@dataclass(frozen=True, eq=False)
class MomentSamples:
    """Samples of continuous items: moments of normal rows, fitted in batches from the solution of each population.

    Attributes
    ----------
    replicators : tuple of Replicator
        One a population, the correct one first.
    covs : tuple of (p, p) arrays
        Of the populations.
    mean : (p,) array or None
    nobs, seed : int
    blocks : int
        Blocks of samples of each population; block b of population l has the number ``l * blocks + b``.
    size : int
        Samples in a block.
    """

    replicators: tuple[Replicator, ...]
    covs: tuple[Array, ...]
    mean: Array | None
    nobs: int
    seed: int
    blocks: int
    size: int = BLOCK

    def draw(self, number: int) -> tuple[Array, Array | None]:
        """Return the moments of one block: (size, p, p) with the divisor of the likelihood, and (size, p)."""
        level, block = divmod(number, self.blocks)
        divisor = moments_divisor(self.nobs, self.replicators[level].problem.options.likelihood)
        rng = stream(self.seed, block)
        return wishart_moments(rng, self.covs[level], self.mean, self.nobs, self.size, divisor=divisor)

    def sample(self, number: int) -> dict[str, Array]:
        """Fit one block: (size, 3) indices, NaN where there is no solution."""
        prepared = self.replicators[number // self.blocks]
        with single_thread():
            cov, mean = self.draw(number)
            found = prepared.fit(cov, mean, alone=False)
            theta, fmin = found.theta, found.fmin
            left = np.flatnonzero(~found.converged)
            # where weak models have no solution in many samples, the last resorts of single fits would take minutes
            if 0 < len(left) <= self.size // FEW:
                again = prepared.fit(cov[left], None if mean is None else mean[left])
                theta[left], fmin[left] = again.theta, again.fmin
            at = np.flatnonzero(np.isfinite(fmin))
            means = None if mean is None else mean[at]
            measures = measure_stack(prepared.problem, prepared.kernel, theta[at], fmin[at], cov[at], means)
        out = np.full((self.size, len(INDICES)), np.nan)
        out[at] = measures[:, [MEASURES.index(name) for name in INDICES]]
        return {"indices": out}


def prepare_moments(recipe: Recipe, populations: Sequence[Solution], seed: int, replications: int) -> MomentSamples:
    """Fit the model to each population, where its samples start from.

    Raises
    ------
    ModelError
        If there is no solution.
    """
    shaping = {name: recipe.settings[name] for name in SHAPING if name in recipe.settings}
    table = build_table(parse_model(recipe.model), fixed_x=False, **shaping)
    place = [recipe.solution.items.index(v) for v in table.observed]
    constraints = linear_constraints(table)
    options = FitOptions(likelihood="wishart" if recipe.likelihood == "wishart" else "normal")
    divisor = moments_divisor(recipe.nobs, recipe.likelihood)
    mean = np.zeros(len(place))
    replicators, covs = [], []
    for population in populations:
        cov = (population.cor() * np.outer(recipe.scale, recipe.scale))[np.ix_(place, place)]
        moments = GroupMoments(None, recipe.nobs, cov * divisor / recipe.nobs, mean)
        problem = prepare(table, Observed(table.observed, (moments,), recipe.nobs, 0), options, constraints)
        solution, _ = solve(problem, "native")
        if not solution.converged:
            raise ModelError("the model cannot be fitted to a population", hint="check its standardized solution")
        replicators.append(replicator(problem, solution.theta))
        covs.append(cov)
    means = mean if table.meanstructure else None
    return MomentSamples(tuple(replicators), tuple(covs), means, recipe.nobs, seed, -(-replications // BLOCK))


@dataclass(frozen=True, eq=False)
class RowSamples:
    """Samples of ordinal items: normal responses cut at the thresholds, each sample fitted by itself.

    Attributes
    ----------
    recipe : Recipe
    cors : tuple of (p, p) arrays
        Correlations of the responses in each population, the correct one first.
    seed, blocks, size : int
        As in :class:`MomentSamples`.
    """

    recipe: Recipe
    cors: tuple[Array, ...]
    seed: int
    blocks: int
    size: int = ROWS_BLOCK

    def draw(self, number: int) -> Iterator[pd.DataFrame]:
        """Yield the answers of each sample of one block: whole numbers from 0."""
        level, block = divmod(number, self.blocks)
        rng, items = stream(self.seed, block), self.recipe.solution.items
        root = np.linalg.cholesky(self.cors[level]).T
        for _ in range(self.size):
            rows = rng.standard_normal((self.recipe.nobs, len(items))) @ root
            yield pd.DataFrame({v: np.searchsorted(self.recipe.thresholds[v], rows[:, k]) for k, v in enumerate(items)})

    def sample(self, number: int) -> dict[str, Array]:
        """Fit one block: (size, 3) indices, NaN where there is no solution."""
        recipe = self.recipe
        out = np.full((self.size, len(INDICES)), np.nan)
        for r, frame in enumerate(self.draw(number)):
            try:
                found = fit_model(
                    recipe.model, frame, estimator=recipe.estimator, ordered=list(frame.columns), **recipe.settings
                )
            except B2BSemError:
                continue
            if found.converged:
                out[r] = list(indices_of(found, recipe.suffix).values())
        return {"indices": out}


def prepare_rows(recipe: Recipe, populations: Sequence[Solution], seed: int, replications: int) -> RowSamples:
    """Prepare samples of ordinal items."""
    return RowSamples(recipe, tuple(p.cor() for p in populations), seed, -(-replications // ROWS_BLOCK))
