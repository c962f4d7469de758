"""Dynamic cut-offs of fit indices: samples of a correct and of misspecified populations, and what tells them apart."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import MappingProxyType

import numpy as np
import pandas as pd

from b2b_sem.analysis.cutoff_recipe import Recipe
from b2b_sem.analysis.cutoff_sample import prepare_moments, prepare_rows
from b2b_sem.analysis.misspecification import Addition, misspecify
from b2b_sem.engine.base import Array
from b2b_sem.engine.blocks import run_blocks
from b2b_sem.engine.threads import single_thread
from b2b_sem.errors import DataError, ModelError, whole_number
from b2b_sem.measures.cutoff import find_cut
from b2b_sem.results.cutoff import INDICES, FitCutoffs

__all__ = ["FEWEST", "derive_cutoffs"]

Progress = Callable[[int, int], None]
#: Replications below which a 5th percentile means nothing.
FEWEST = 20


def derive_cutoffs(
    recipe: Recipe, *, replications: int = 500, seed: int, jobs: int = 1, progress: Progress | None = None
) -> FitCutoffs:
    """Draw and fit samples of the correct and of each misspecified population, and find the cut-offs.

    The populations are those of :func:`~b2b_sem.analysis.misspecification.misspecify`, the cut-offs those of
    :func:`~b2b_sem.measures.cutoff.find_cut`. Samples are normal, drawn as moments; ordinal items are drawn as rows
    that are cut at the thresholds. Sample r of all populations comes from the same random numbers; they depend on the
    seed and r alone, not on `jobs`.

    Raises
    ------
    DataError
        For too few replications or respondents.
    ModelError
        If the model cannot be fitted to a population, or to none of its samples.
    Unsupported
        If there is no rule for misspecifications of this model.
    """
    replications = whole_number(replications, "replications", FEWEST)
    seed = whole_number(seed, "seed", 0)
    if recipe.nobs <= len(recipe.solution.items):
        raise DataError(
            f"n={recipe.nobs} respondents for {len(recipe.solution.items)} items", hint="use larger samples"
        )
    additions, levels = misspecify(recipe.solution)
    populations = (recipe.solution, *levels)
    with single_thread():
        prepare = prepare_rows if recipe.thresholds else prepare_moments
        task = prepare(recipe, populations, seed, replications)
        total = replications * len(populations)
        report = None if progress is None else lambda done: progress(min(done, total), total)
        found = run_blocks(task, "sample", task.blocks * len(populations), jobs, None, report)
    samples = found["indices"].reshape(len(populations), -1, len(INDICES))[:, :replications]
    return _assemble(recipe, additions, samples, int(seed))


def _assemble(recipe: Recipe, additions: tuple[Addition, ...], samples: Array, seed: int) -> FitCutoffs:
    count = samples.shape[1]
    solved = np.isfinite(samples).all(axis=2)
    if not np.any(solved, axis=1).all():
        raise ModelError("none of the samples of a population has a solution", hint="use larger samples")
    rows = []
    for level in range(1, len(samples)):
        for k, index in enumerate(INDICES):
            cut = find_cut(samples[0, :, k], samples[level, :, k], higher_is_worse=index != "cfi")
            value = recipe.values.get(index, math.nan)
            reached = None
            if math.isfinite(value) and math.isfinite(cut.value):
                reached = value <= cut.value if index == "cfi" else value >= cut.value
            rows.append(
                {
                    "level": level,
                    "index": index,
                    "cut": cut.value,
                    "criterion": cut.criterion,
                    "sensitivity": cut.sensitivity,
                    "specificity": cut.specificity,
                    "mcse": cut.mcse,
                    "correct": cut.correct,
                    "power": cut.power,
                    "value": value,
                    "reached": reached,
                }
            )
    table = pd.DataFrame(rows)
    table["reached"] = pd.Series([row["reached"] for row in rows], dtype=object)
    failed = tuple(int(n) for n in count - solved.sum(axis=1))
    notes = list(recipe.notes)
    if sum(failed):
        notes.append(f"{sum(failed)} of {solved.size} samples have no solution and are left out.")
    added = pd.DataFrame([{n: getattr(a, n) for n in ("level", "lhs", "op", "rhs", "value")} for a in additions])
    return FitCutoffs(
        model=recipe.model,
        factors=len(recipe.solution.factors),
        nobs=recipe.nobs,
        replications=count,
        seed=seed,
        estimator=recipe.estimator,
        suffix=recipe.suffix,
        values=MappingProxyType({index: float(recipe.values.get(index, math.nan)) for index in INDICES}),
        failed=failed,
        notes=tuple(notes),
        _table=table,
        _added=added,
        _samples=samples,
    )
