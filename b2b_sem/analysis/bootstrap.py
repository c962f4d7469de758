"""Bootstrap and jackknife of a fit: :func:`bootstrap`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from b2b_sem.analysis.fitted import Context, Fit, context_of, refuse_ordinal
from b2b_sem.engine.base import Array, moments_divisor
from b2b_sem.engine.blocks import Task, run_blocks
from b2b_sem.engine.group import GroupProblem
from b2b_sem.engine.group_replicate import GroupTask, group_replicator, group_row_stack
from b2b_sem.engine.native.batch import TOLERANCE
from b2b_sem.engine.native.group_stack import GroupKernel
from b2b_sem.engine.problem import Problem
from b2b_sem.engine.recentring import recentring
from b2b_sem.engine.replicate import Replicator, replicator
from b2b_sem.engine.resample import block_size, bollen_stine
from b2b_sem.engine.rowstack import row_stack
from b2b_sem.engine.threads import single_thread
from b2b_sem.errors import DataError, ModelError, Unsupported, did_you_mean
from b2b_sem.measures.interval import INTERVALS
from b2b_sem.results.bootstrap import BootstrapResult
from b2b_sem.spec.partable import ParameterTable
from b2b_sem.spec.product import product_rows

__all__ = [
    "bootstrap",
    "check_request",
    "count_failures",
    "counter",
    "jackknife",
    "make_bootstrap",
    "prepare_folder",
]

KINDS = ("nonparametric", "bollen-stine")
Progress = Callable[[int, int], None]


def bootstrap(
    fit: Fit,
    n: int = 1000,
    *,
    seed: int,
    jobs: int = 1,
    kind: str = "nonparametric",
    ci: str | None = None,
    level: float = 0.95,
    resume: str | Path | None = None,
    progress: Progress | None = None,
) -> BootstrapResult:
    """Refit a model to resampled data.

    Rows are drawn with replacement, in each group by itself. Each block of replicates has a random stream of its own
    (``numpy.random.SeedSequence(seed)``, one child a block), so replicate k is the same for any number of workers,
    after an interruption, and for any larger `n`. Under ``kind="bollen-stine"`` the data are first transformed so that
    the model is true in them, which makes the replicates' chi-squares the null distribution of the fit's (Bollen &
    Stine 1992, doi:10.1177/0049124192021002004): the p-value is the share of replicates with a larger chi-square.

    Parameters
    ----------
    fit : Fit
        A converged fit to raw data.
    n : int
        Replicates.
    seed : int
    jobs : int
        Worker processes.
    kind : {"nonparametric", "bollen-stine"}
    ci : {"bca", "bc", "percentile", "basic", "normal"}, optional
        Interval of the tables. Default: "bca", and "percentile" under Bollen-Stine. "bca" fits the leave-one-out
        samples too.
    level : float
    resume : str or Path, optional
        Folder to keep finished blocks in; a second call with the same fit and seed takes them from there.
    progress : callable, optional
        Called with (replicates done, replicates in all).

    Returns
    -------
    BootstrapResult

    Raises
    ------
    DataError
        If the fit has no raw data, or `resume` holds blocks of another bootstrap.
    ModelError
        If the fit did not converge, is not identified, or no replicate has a solution.
    Unsupported
        For settings that are not available.
    """
    check_request(n, seed, jobs, kind, ci, level)
    ci = ci or ("percentile" if kind == "bollen-stine" else "bca")
    if ci == "bca" and kind == "bollen-stine":
        raise Unsupported("BCa intervals do not go with the Bollen-Stine bootstrap", hint="use ci='percentile'")
    if product_rows(context_of(fit).problem.table):
        from b2b_sem.analysis.product_bootstrap import bootstrap_products

        settings: dict[str, Any] = {"kind": kind, "ci": ci, "level": level, "resume": resume, "progress": progress}
        return bootstrap_products(fit, n, seed=seed, jobs=jobs, **settings)
    context, data = _data(fit)
    problem = context.problem
    nobs = problem.nobs
    with single_thread():
        if kind == "bollen-stine":
            if context.products:
                raise Unsupported(
                    "the Bollen-Stine bootstrap changes items and their products by different rules",
                    hint="use kind='nonparametric'",
                )
            parts = problem.parts if isinstance(problem, GroupProblem) else (problem,)
            implied = [fit.implied()[g] for g in fit.groups] or [fit.implied()]
            data = tuple(_transformed(*pair) for pair in zip(data, parts, implied, strict=True))
        task = _task(context, data, seed)
        prepared, size = task.replicator, task.size
        blocks = -(-n // size)
        left = -(-nobs // size) if ci == "bca" else 0
        total = n + (nobs if left else 0)
        folder = None if resume is None else prepare_folder(Path(resume), task, kind)
        found = run_blocks(task, "draw", blocks, jobs, folder, counter(progress, 0, n, total))
        replicates = {name: part[:n] for name, part in found.items()}
        knife = None
        if left:
            knife = run_blocks(task, "leave_out", left, jobs, folder, counter(progress, n, nobs, total))
    return _result(fit, prepared, replicates, knife, n=n, seed=seed, kind=kind, ci=ci, level=level)


def jackknife(fit: Fit, *, jobs: int = 1) -> Array:
    """Return the estimates from all samples that leave out one row, (n, q); NaN where there is no solution."""
    if product_rows(context_of(fit).problem.table):
        raise Unsupported("leave-one-out fits are not available with latent products", hint="use bootstrap()")
    context, data = _data(fit)
    with single_thread():
        task = _task(context, data, 0)
        return run_blocks(task, "leave_out", -(-context.problem.nobs // task.size), jobs, None, None)["theta"]


def _task(context: Context, data: tuple[Array, ...], seed: int) -> Task | GroupTask:
    """Return what workers need; `data` are the rows of each group."""
    problem, theta = context.problem, context.solution.theta
    groups = context.observed.groups
    size = block_size(problem.nobs)
    again = None
    if context.products:
        means = [part.mean(axis=0) for part in data]
        again = recentring(
            context.products, context.observed.names, [g.cov for g in groups], means, [g.nobs for g in groups]
        )
    if isinstance(problem, GroupProblem):
        return GroupTask(group_replicator(problem, theta), data, seed, size, again)
    divisor = moments_divisor(problem.nobs, problem.options.likelihood)
    return Task(replicator(problem, theta), data[0], seed, size, divisor, again)


def _transformed(data: Array, problem: Problem, implied: dict[str, Any]) -> Array:
    """Return the rows of one group changed so that the model is true in them."""
    likelihood, n = problem.options.likelihood, len(data)
    divisor, mean = moments_divisor(n, likelihood), implied.get("mean")
    out = bollen_stine(
        data,
        problem.moments.cov * (divisor / n),
        implied["cov"].to_numpy(),
        None if mean is None else mean.to_numpy(),
    )
    if likelihood == "wishart":  # S with divisor n - 1 is to be Sigma
        centre = out.mean(axis=0)
        out = centre + (out - centre) * np.sqrt(divisor / n)
    return out


def check_request(n: int, seed: int, jobs: int, kind: str, ci: str | None, level: float) -> None:
    """Raise for settings of a bootstrap that cannot be."""
    if kind not in KINDS:
        raise Unsupported(f"kind={kind!r} is not available.{did_you_mean(kind, KINDS)}", hint="use 'nonparametric'")
    if ci is not None and ci not in INTERVALS:
        raise Unsupported(
            f"ci={ci!r} is not available.{did_you_mean(ci, INTERVALS)}", hint=f"use one of {', '.join(INTERVALS)}"
        )
    if isinstance(n, bool) or n < 2:
        raise DataError(f"n={n} replicates", hint="ask for at least 2; intervals need 1000 or more")
    if isinstance(seed, bool) or seed < 0:
        raise DataError(f"seed={seed}", hint="give a whole number, 0 or larger")
    if jobs < 1:
        raise DataError(f"jobs={jobs}", hint="give the number of worker processes, at least 1")
    if not 0 < level < 1:
        raise DataError(f"level={level}", hint="give a number between 0 and 1, such as 0.95")


def _data(fit: Fit) -> tuple[Any, tuple[Array, ...]]:
    """Return what the fit was made from, and the rows of each group."""
    context = context_of(fit)
    refuse_ordinal(context.problem, "bootstrap replicates", "use the standard errors of WLSMV, which are robust")
    if context.observed.raw is None:
        raise DataError("there are no rows to resample: the model was fitted to moments", hint="fit it to data=...")
    if context.problem.options.missing != "listwise":
        raise Unsupported(
            "resampling is not available with missing='fiml'",
            hint="use the robust standard errors of estimator='MLR', or missing='listwise'",
        )
    if not fit.converged or not fit.identified:
        raise ModelError(f"{fit.failure}: resampling it means nothing", hint="find a model that converges first")
    if context.observed.clusters is not None:
        raise Unsupported(
            "rows of clusters are not independent, so they cannot be drawn one by one",
            hint="use the cluster-robust standard errors of the fit",
        )
    return context, tuple(np.asarray(part, dtype=float) for part in context.observed.raw)


def counter(progress: Progress | None, before: int, most: int, total: int) -> Callable[[int], None]:
    """Return what counts finished replicates for `progress`."""

    def report(done: int) -> None:
        if progress is not None:
            progress(before + min(done, most), total)

    return report


def prepare_folder(folder: Path, task: Any, kind: str) -> Path:
    """Prepare the folder of finished blocks, and refuse one that belongs to something else."""
    problem = task.replicator.problem if hasattr(task, "replicator") else task.problem
    digest = hashlib.sha256()
    settings = [kind, task.seed, task.size, TOLERANCE, problem.options.__dict__, problem.table.meanstructure]
    if getattr(task, "recentring", None) is not None:
        settings.append([part.centring for part in task.recentring.parts])
    digest.update(json.dumps([*settings, [r.__dict__ for r in problem.table.rows]], default=str).encode())
    digest.update("\n".join(f"{c.op} {c.text}" for c in problem.table.constraints).encode())
    for part in task.data if isinstance(task.data, tuple) else (task.data,):
        digest.update(np.ascontiguousarray(part).tobytes())
    mark = folder / "bootstrap.json"
    text = json.dumps({"digest": digest.hexdigest(), "kind": kind, "seed": task.seed, "block": task.size})
    if mark.exists():
        if mark.read_text(encoding="utf-8") != text:
            raise DataError(
                "this folder holds the blocks of another bootstrap (other data, model, seed or kind)",
                file=folder,
                hint="give another folder, or delete this one",
            )
    else:
        from b2b_sem.results.io import write_text

        write_text(mark, text)
    return folder


def _result(
    fit: Fit,
    prepared: Replicator,
    found: dict[str, Array],
    knife: dict[str, Array] | None,
    *,
    n: int,
    seed: int,
    kind: str,
    ci: str,
    level: float,
) -> BootstrapResult:
    problem = prepared.problem
    table = problem.table
    inadmissible, warnings = count_failures(found, n)
    good = np.flatnonzero(found["converged"])
    values, std_values = _rows(prepared, found["theta"][good], found["exo"][good])
    parts = problem.parts if isinstance(problem, GroupProblem) else (problem,)
    exo = np.array([[part.fixed[r.name] for part in parts for r in part.table.rows if r.exo]])
    estimate, std_estimate = (a[0] for a in _rows(prepared, prepared.theta[None], exo))
    chisq = moments_divisor(problem.nobs, problem.options.likelihood) * np.maximum(found["fmin"][good], 0.0)
    test: dict[str, float] = {}
    if kind == "bollen-stine":
        observed = fit.measures["chisq"]
        df = int(fit.measures["df"])
        test = {
            "chisq": observed,
            "df": df,
            "pvalue": float(np.mean(chisq > observed)) if df else float("nan"),
            "replicates": len(good),
        }
    jack: dict[str, Array] = {}
    if knife is not None:
        lost = len(knife["converged"]) - int(knife["converged"].sum())
        if lost:
            warnings.append(
                f"{lost} of {problem.nobs} leave-one-out fits have no solution; the acceleration does without."
            )
        at = np.flatnonzero(knife["converged"])
        one, other = _rows(prepared, knife["theta"][at], knife["exo"][at])
        jack = {"jackknife": knife["theta"][at], "jackknife_values": one, "jackknife_std_values": other}
    return make_bootstrap(
        table,
        found,
        values,
        std_values,
        warnings,
        kind=kind,
        n=n,
        seed=seed,
        nobs=problem.nobs,
        ci=ci,
        level=level,
        inadmissible=inadmissible,
        chisq=chisq,
        estimate=estimate,
        std_estimate=std_estimate,
        test=MappingProxyType(test),
        **jack,
    )


def make_bootstrap(
    table: ParameterTable,
    found: dict[str, Array],
    values: Array,
    std_values: Array,
    warnings: list[str],
    *,
    n: int,
    **fields: Any,
) -> BootstrapResult:
    """Make the result from the replicates that have a solution; `fields` are those that need no work."""
    good = np.flatnonzero(found["converged"])
    rows = [
        {"lhs": r.lhs, "op": r.op, "rhs": r.rhs, "group": r.group, "label": r.label, "free": r.free} for r in table.rows
    ]
    rows += [
        {"lhs": d.name, "op": ":=", "rhs": d.text, "group": 0, "label": d.name, "free": 0} for d in table.definitions
    ]
    warnings = list(warnings)
    undefined = ~np.isfinite(values).all(axis=0)
    for k in np.flatnonzero(undefined):
        count = int((~np.isfinite(values[:, k])).sum())
        warnings.append(f"'{rows[k]['lhs']}' has no value in {count} of {n} replicates; they are left out for it.")
    return BootstrapResult(
        n=n,
        failed=n - len(good),
        retried=int(found["retried"].sum()),
        rows=tuple(MappingProxyType(r) for r in rows),
        theta=found["theta"][good],
        values=values,
        std_values=std_values,
        replicate=good,
        warnings=tuple(warnings),
        **fields,
    )


def count_failures(found: dict[str, Array], n: int) -> tuple[int, list[str]]:
    """Return the number of inadmissible replicates, and what is to be said about them and those without a solution.

    Raises
    ------
    ModelError
        If fewer than two replicates have a solution.
    """
    good = np.flatnonzero(found["converged"])
    failed = n - len(good)
    if len(good) < 2:
        raise ModelError(
            f"{failed} of {n} replicates have no solution", hint="the model asks too much of these data: simplify it"
        )
    inadmissible = int(len(good) - found["admissible"][good].sum())
    warnings = []
    if failed:
        warnings.append(
            f"{failed} of {n} replicates have no solution; they are left out of standard errors and intervals."
        )
    if inadmissible:
        warnings.append(f"{inadmissible} of {n} replicates are not admissible (Heywood cases); they are kept.")
    return inadmissible, warnings


def _rows(prepared: Replicator, theta: Array, exo: Array) -> tuple[Array, Array]:
    """Return raw and standardized values of all rows and definitions."""
    if isinstance(prepared.problem, GroupProblem):
        assert isinstance(prepared.kernel, GroupKernel)
        return group_row_stack(prepared.problem, prepared.kernel, theta, exo)
    return row_stack(prepared.problem.table, prepared.kernel, theta, exo)
