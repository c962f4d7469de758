"""Bootstrap of models with latent products: nonparametric, each replicate fitted by maximum likelihood again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from b2b_sem.analysis.bootstrap import check_request, count_failures, counter, make_bootstrap, prepare_folder
from b2b_sem.analysis.fitted import Fit, context_of
from b2b_sem.engine.blocks import run_blocks
from b2b_sem.engine.product_replicate import influence, product_task
from b2b_sem.engine.threads import single_thread
from b2b_sem.errors import DataError, ModelError, Unsupported
from b2b_sem.results.bootstrap import BootstrapResult

__all__ = ["bootstrap_products"]


def bootstrap_products(
    fit: Fit,
    n: int,
    *,
    seed: int,
    jobs: int,
    kind: str,
    ci: str | None,
    level: float,
    resume: str | Path | None,
    progress: Callable[[int, int], None] | None,
) -> BootstrapResult:
    """Refit a model with latent products (LMS) to resampled rows: see :func:`b2b_sem.analysis.bootstrap.bootstrap`.

    Replicates start from the estimates of all rows. Rows with missing answers are drawn as they are. There is no
    chi-square: ``chisq`` of the result is NaN. The leave-one-out estimates of BCa intervals are one Newton step from
    the estimates (:func:`b2b_sem.engine.product_replicate.influence`), not refits.

    Raises
    ------
    DataError, ModelError, Unsupported
        As the other.
    """
    check_request(n, seed, jobs, kind, ci, level)
    if kind != "nonparametric":
        raise Unsupported(
            f"kind={kind!r} needs a chi-square, and models with latent products have none", hint="use 'nonparametric'"
        )
    context = context_of(fit)
    problem, observed, theta = context.problem, context.observed, context.solution.theta
    if fit.model.options.get("interaction") != "lms":
        raise Unsupported("bootstrap replicates of products are those of LMS", hint="fit with interaction='lms'")
    if observed.clusters is not None:
        raise Unsupported(
            "rows of clusters are not independent, so they cannot be drawn one by one",
            hint="use the cluster-robust standard errors of the fit",
        )
    if not fit.converged or not fit.identified:
        raise ModelError(f"{fit.failure}: resampling it means nothing", hint="find a model that converges first")
    if observed.raw is None:
        raise DataError("there are no rows to resample", hint="fit the model to data=...")
    table = problem.table
    data = tuple(np.asarray(part, dtype=float) for part in observed.raw)
    x = [table.observed.index(v) for v in table.exogenous] if table.fixed_x else []
    if any(np.isnan(part[:, x]).any() for part in data):
        raise Unsupported(
            "resampling needs complete covariates where these are taken as fixed",
            hint="use missing='fiml' in the place of 'fiml.x', or fixed_x=False",
        )
    with single_thread():
        task = product_task(problem, theta, data, seed)
        folder = None if resume is None else prepare_folder(Path(resume), task, kind)
        blocks = -(-n // task.size)
        found = run_blocks(task, "draw", blocks, jobs, folder, counter(progress, 0, n, n))
        found = {name: part[:n] for name, part in found.items()}
        inadmissible, warnings = count_failures(found, n)
        chosen = "bca" if ci is None else ci
        jack: dict[str, Any] = {}
        if chosen == "bca":
            left = influence(problem, theta)
            jack = {
                "jackknife": left.theta,
                "jackknife_values": left.values,
                "jackknife_std_values": left.std_values,
            }
    good = np.flatnonzero(found["converged"])
    return make_bootstrap(
        table,
        found,
        found["values"][good],
        found["std_values"][good],
        warnings,
        n=n,
        kind=kind,
        seed=seed,
        nobs=problem.nobs,
        ci=chosen,
        level=level,
        inadmissible=inadmissible,
        chisq=np.full(len(good), np.nan),
        estimate=fit.parameters["est"].to_numpy(dtype=float),
        std_estimate=fit.standardized()["est_std"].to_numpy(dtype=float),
        **jack,
    )
