"""Dynamic cut-offs of fit indices: samples of a correct and of misspecified populations, fitted by the same model."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from b2b_sem.analysis.intake import refuse
from b2b_sem.analysis.misspecification import Addition, Solution, misspecify
from b2b_sem.analysis.structural import fit as fit_model
from b2b_sem.data.observed import GroupMoments, Observed
from b2b_sem.engine.base import Array, FitOptions, moments_divisor
from b2b_sem.engine.blocks import run_blocks
from b2b_sem.engine.native.constraint import linear_constraints
from b2b_sem.engine.problem import prepare, solve
from b2b_sem.engine.replicate import Replicator, replicator
from b2b_sem.engine.resample import stream, wishart_moments
from b2b_sem.engine.rowerror import MEASURES, measure_stack
from b2b_sem.engine.threads import single_thread
from b2b_sem.errors import B2BSemError, DataError, ModelError, ModelSyntaxError, Unsupported
from b2b_sem.measures.cutoff import find_cut
from b2b_sem.results.cutoff import INDICES, FitCutoffs
from b2b_sem.results.fit import FitResult
from b2b_sem.spec.measurement import measurement_model
from b2b_sem.spec.partable import build_table
from b2b_sem.spec.product import product_entries
from b2b_sem.spec.syntax import parse_model

__all__ = ["FEWEST", "Recipe", "derive_cutoffs", "measurement_fit", "measurement_text", "recipe_of", "recipe_of_text"]

Progress = Callable[[int, int], None]
#: Samples in a block, each block with a random stream of its own: of moments, and of rows of ordinal items.
BLOCK, ROWS_BLOCK = 128, 10
#: Replications below which a 5th percentile means nothing.
FEWEST = 20
#: Estimators of ordinal items whose indices are compared with those of lavaan.
ORDINAL = ("WLSMV", "ULSMV")
_TESTED, _NOTE = "Only the measurement part is tested", "Cut-offs are those of the measurement part"
_SHAPING = ("meanstructure", "std_lv", "orthogonal")


@dataclass(frozen=True, eq=False)
class Recipe:
    """What cut-offs are made from.

    Attributes
    ----------
    model : str
        The measurement model that is fitted to samples.
    solution : Solution
        Its standardized values.
    nobs : int
    scale : (p,) array
        Standard deviations of the items; ones where only standardized values are known.
    estimator, likelihood : str
    settings : mapping
        Options of :func:`b2b_sem.fit` that shape the model.
    suffix : str
        Variant of CFI and RMSEA that is compared.
    values : mapping of str to float
        Indices of the fit; empty without one.
    thresholds : mapping of str to (k,) array
        Of ordinal items, standardized; empty for continuous ones.
    notes : tuple of str
    """

    model: str
    solution: Solution
    nobs: int
    scale: Array
    estimator: str = "ML"
    likelihood: str = "normal"
    settings: Mapping[str, Any] = field(default_factory=dict)
    suffix: str = ""
    values: Mapping[str, float] = field(default_factory=dict)
    thresholds: Mapping[str, Array] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def at(self, nobs: int) -> Recipe:
        """Return the recipe for another number of respondents; the indices of the fit then have nothing to meet."""
        return self if nobs == self.nobs else replace(self, nobs=nobs, values={})


def derive_cutoffs(
    recipe: Recipe, *, replications: int = 500, seed: int, jobs: int = 1, progress: Progress | None = None
) -> FitCutoffs:
    """Draw and fit samples of the correct and of each misspecified population, and find the cut-offs.

    The populations are those of :func:`~b2b_sem.analysis.misspecification.misspecify`, the cut-offs those of
    :func:`~b2b_sem.measures.cutoff.find_cut`. Samples are normal, drawn as moments; ordinal items are drawn as rows that
    are cut at the thresholds. Sample r of all populations comes from the same random numbers; they depend on the seed
    and r alone, not on `jobs`.

    Raises
    ------
    DataError
        For too few replications or respondents.
    ModelError
        If the model cannot be fitted to a population, or to none of its samples.
    Unsupported
        If there is no rule for misspecifications of this model.
    """
    if isinstance(replications, bool) or not isinstance(replications, int) or replications < FEWEST:
        raise DataError(f"replications={replications!r}", hint=f"give a whole number from {FEWEST}, such as 500")
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise DataError(f"seed={seed!r}", hint="give a whole number from 0")
    if recipe.nobs <= len(recipe.solution.items):
        raise DataError(
            f"n={recipe.nobs} respondents for {len(recipe.solution.items)} items", hint="use larger samples"
        )
    additions, levels = misspecify(recipe.solution)
    populations = (recipe.solution, *levels)
    with single_thread():
        task: _Moments | _Rows
        if recipe.thresholds:
            task = _Rows(recipe, tuple(p.cor() for p in populations), int(seed), -(-replications // ROWS_BLOCK))
        else:
            task = _moments_task(recipe, populations, int(seed), -(-replications // BLOCK))
        total = replications * len(populations)
        report = None if progress is None else lambda done: progress(min(done, total), total)
        found = run_blocks(task, "sample", task.blocks * len(populations), jobs, None, report)
    samples = found["indices"].reshape(len(populations), -1, len(INDICES))[:, :replications]
    return _assemble(recipe, additions, samples, int(seed))


def _assemble(recipe: Recipe, additions: tuple[Addition, ...], samples: Array, seed: int) -> FitCutoffs:
    count = samples.shape[1]
    solved = np.isfinite(samples).all(axis=2)
    if not solved.any(axis=1).all():
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


# ---- samples -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Moments:
    """Samples of continuous items: moments of normal rows, fitted in batches from the solution of each population."""

    replicators: tuple[Replicator, ...]
    covs: tuple[Array, ...]
    mean: Array | None
    nobs: int
    seed: int
    blocks: int
    size: int = BLOCK

    def sample(self, number: int) -> dict[str, Array]:
        """Fit one block of one population: (size, 3) indices, NaN where there is no solution."""
        level, block = divmod(number, self.blocks)
        prepared = self.replicators[level]
        problem = prepared.problem
        divisor = moments_divisor(self.nobs, problem.options.likelihood)
        with single_thread():
            rng = stream(self.seed, block)
            cov, mean = wishart_moments(rng, self.covs[level], self.mean, self.nobs, self.size, divisor=divisor)
            found = prepared.fit(cov, mean)
            at = np.flatnonzero(found.converged)
            means = None if mean is None else mean[at]
            measures = measure_stack(problem, prepared.kernel, found.theta[at], found.fmin[at], cov[at], means)
        out = np.full((self.size, len(INDICES)), np.nan)
        out[at] = measures[:, [MEASURES.index(name) for name in INDICES]]
        return {"indices": out}


def _moments_task(recipe: Recipe, populations: tuple[Solution, ...], seed: int, blocks: int) -> _Moments:
    shaping = {name: recipe.settings[name] for name in _SHAPING if name in recipe.settings}
    table = build_table(parse_model(recipe.model), fixed_x=False, **shaping)
    place = [recipe.solution.items.index(v) for v in table.observed]
    constraints = linear_constraints(table)
    options = FitOptions(likelihood=recipe.likelihood)
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
    return _Moments(tuple(replicators), tuple(covs), mean if table.meanstructure else None, recipe.nobs, seed, blocks)


@dataclass(frozen=True, eq=False)
class _Rows:
    """Samples of ordinal items: normal responses cut at the thresholds, each sample fitted by itself."""

    recipe: Recipe
    cors: tuple[Array, ...]
    seed: int
    blocks: int
    size: int = ROWS_BLOCK

    def sample(self, number: int) -> dict[str, Array]:
        """Fit one block of one population: (size, 3) indices, NaN where there is no solution."""
        level, block = divmod(number, self.blocks)
        rng = stream(self.seed, block)
        out = np.full((self.size, len(INDICES)), np.nan)
        recipe = self.recipe
        for r in range(self.size):
            frame = self.draw(rng, level)
            try:
                found = fit_model(
                    recipe.model, frame, estimator=recipe.estimator, ordered=list(frame.columns), **recipe.settings
                )
            except B2BSemError:
                continue
            if found.converged:
                out[r] = list(_indices(found, recipe.suffix).values())
        return {"indices": out}

    def draw(self, rng: np.random.Generator, level: int) -> pd.DataFrame:
        """Draw the answers of one sample: whole numbers from 0."""
        items = self.recipe.solution.items
        rows = rng.standard_normal((self.recipe.nobs, len(items))) @ np.linalg.cholesky(self.cors[level]).T
        return pd.DataFrame(
            {v: np.searchsorted(self.recipe.thresholds[v], rows[:, k], side="left") for k, v in enumerate(items)}
        )


def _indices(fit: FitResult, suffix: str) -> dict[str, float]:
    return {name: fit.measures[name + ("" if name == "srmr" else suffix)] for name in INDICES}


# ---- what they are made from -------------------------------------------------------------------------------------------


def measurement_fit(fit: FitResult) -> tuple[FitResult, tuple[str, ...]]:
    """Return the fit of the measurement part of a model, with latent variables that covary freely, and notes.

    A model of latent variables and their items alone is refitted, too; its numbers have to stay what they are.

    Raises
    ------
    Unsupported
        For several groups, holes in the data, other estimators than ML and WLSMV or ULSMV of ordinal items, second-order
        latent variables, restrictions of the measurement part, products of latent variables, and models of ordinal
        items with more than a measurement part.
    ModelError
        If the measurement part cannot be fitted.
    """
    options = fit.model.options
    ordinal = tuple(options.get("ordered") or ())
    if fit.groups:
        raise Unsupported("cut-offs are not available for a fit of several groups", hint="fit each group by itself")
    parsed = parse_model(fit.model.text)
    if product_entries(parsed):
        raise Unsupported(
            "cut-offs are not available for a model with products", hint="fit the model without the product"
        )
    name = str(options.get("estimator", fit.estimator)).upper()
    known = ORDINAL if ordinal else ("ML",)
    if name not in known or (not ordinal and options.get("test", "standard") != "standard"):
        tested = "" if ordinal else ": samples are normal, where its robust indices are those of ML"
        raise Unsupported(
            f"cut-offs are not available for estimator='{name}'{tested}",
            hint="fit the model with estimator=" + " or ".join(repr(k) for k in known),
        )
    refuse(
        missing=(
            options.get("missing", "listwise"),
            ("listwise",),
            "samples are complete: fit with missing='listwise' for the cut-offs",
        ),
        kind=(options.get("kind", "sem"), ("sem", "cfa"), "growth models have no rule for misspecifications"),
        bounds=(options.get("bounds"), (None, "none"), "leave them out"),
        cluster=(options.get("cluster"), (None,), "samples have no clusters: leave it out"),
    )
    text, items, notes = measurement_text(fit.model.text)
    if ordinal:
        if notes or any(e.op in ("|", "~*~") for e in parsed.entries):
            raise Unsupported(
                "cut-offs of ordinal items are made for the measurement part alone",
                hint="fit it: " + text.replace("\n", "; "),
            )
        if set(items) - set(ordinal):
            raise Unsupported(
                "cut-offs are not available for ordinal and continuous items in one model",
                hint="name all items as ordered, or none",
            )
        return _usable(fit), ()
    moments = fit.sample()
    cov = moments["cov"].loc[items, items]
    if options.get("likelihood") != "wishart":
        cov = cov * (fit.nobs / (fit.nobs - 1))
    shaping = {key: options[key] for key in _SHAPING if key in options}
    means = moments["mean"][items] if shaping.get("meanstructure") else None
    own = _usable(
        fit_model(
            text,
            sample_cov=cov,
            sample_mean=means,
            nobs=fit.nobs,
            likelihood=str(options.get("likelihood") or "normal"),
            engine="native",
            **shaping,
        )
    )
    if not notes:
        before, after = ((f.measures["chisq"], f.measures["df"]) for f in (fit, own))
        if before[1] != after[1] or abs(before[0] - after[0]) > 1e-5 * max(1.0, before[0]):
            raise Unsupported(
                "the model has restrictions that its measurement part does not keep: there is no rule for its "
                "misspecifications",
                hint="free them, or use the usual guides for its fit indices",
            )
    return own, notes


def measurement_text(text: str) -> tuple[str, list[str], tuple[str, ...]]:
    """Return the measurement part of a model as lavaan syntax, its items, and notes on what was left out.

    Raises
    ------
    ModelSyntaxError, Unsupported
        See :func:`~b2b_sem.spec.measurement.measurement_model`.
    """
    measured = measurement_model(parse_model(text))
    items = list(dict.fromkeys(item for own in measured.items.values() for item in own))
    return measured.text, items, tuple(_NOTE + note.removeprefix(_TESTED) for note in measured.notes)


def _usable(fit: FitResult) -> FitResult:
    if not fit.ok:
        raise ModelError(f"the measurement model cannot be used: {fit.failure}", hint="change the model first")
    if fit.measures["df"] < 1:
        raise Unsupported("the measurement model has no degrees of freedom: it fits any data", hint="use more items")
    return fit


def recipe_of(fit: FitResult) -> Recipe:
    """Return the recipe for the measurement part of a fitted model; errors are those of :func:`measurement_fit`."""
    own, dropped = measurement_fit(fit)
    ordinal = bool(own.model.options.get("ordered"))
    standardized = own.standardized()
    items = tuple(dict.fromkeys(standardized.loc[standardized["op"] == "=~", "rhs"]))
    cor = own.latent_cor()
    factors = tuple(v for v in cor.index if v in set(standardized.loc[standardized["op"] == "=~", "lhs"]))
    solution = _solution(
        items,
        factors,
        [
            (str(r["lhs"]), str(r["op"]), str(r["rhs"]), float(r["est_std"]))
            for r in standardized.to_dict("records")
            if r["op"] in ("=~", "~~")
        ],
        cor.loc[list(factors), list(factors)].to_numpy(),
    )
    notes = dropped
    thresholds: dict[str, Array] = {}
    settings = {key: own.model.options[key] for key in _SHAPING if key in own.model.options}
    scale = np.ones(len(items))
    if ordinal:
        own_rows = standardized[standardized["op"] == "|"]
        thresholds = {v: np.sort(own_rows.loc[own_rows["lhs"] == v, "est_std"].to_numpy(dtype=float)) for v in items}
        settings.pop("meanstructure", None)
        settings["parameterization"] = own.model.options.get("parameterization", "delta")
        notes += ("CFI and RMSEA are the scaled ones.",)
    else:
        scale = np.sqrt(np.diag(own.implied()["cov"].loc[list(items), list(items)].to_numpy()))
    suffix = "_scaled" if ordinal else ""
    return Recipe(
        model=own.model.text,
        solution=solution,
        nobs=own.nobs,
        scale=scale,
        estimator=str(own.model.options.get("estimator", "ML")),
        likelihood=str(own.model.options.get("likelihood") or "normal"),
        settings=settings,
        suffix=suffix,
        values=_indices(own, suffix),
        thresholds=thresholds,
        notes=notes,
    )


def _solution(
    items: tuple[str, ...], factors: tuple[str, ...], rows: list[tuple[str, str, str, float]], factor_cor: Array
) -> Solution:
    """Build a standardized solution from its loadings and correlations of residuals.

    Raises
    ------
    Unsupported
        If a factor accounts for all variance of an item.
    ModelError
        If the values are no proper solution.
    """
    loadings, residual = np.zeros((len(items), len(factors))), np.eye(len(items))
    free = np.zeros(loadings.shape, dtype=bool)
    tied = set()
    for lhs, op, rhs, value in rows:
        if op == "=~":
            loadings[items.index(rhs), factors.index(lhs)] = value
            free[items.index(rhs), factors.index(lhs)] = True
        elif lhs != rhs and lhs in items and rhs in items:
            i, j = items.index(lhs), items.index(rhs)
            residual[i, j] = residual[j, i] = value
            tied |= {lhs, rhs}
    left = 1.0 - np.diag(loadings @ factor_cor @ loadings.T)
    for i, item in enumerate(items):
        if abs(left[i]) < 1e-8:
            raise Unsupported(
                f"'{item}' has no residual variance: there is no rule for misspecifications of this model",
                hint="measure each latent variable by several items, or leave this one out",
            )
    if (left < 0).any() or np.linalg.eigvalsh(factor_cor)[0] <= 0 or np.linalg.eigvalsh(residual)[0] <= 0:
        raise ModelError(
            "the standardized values are no proper solution: a variance is negative",
            hint="check loadings and correlations; loadings of a standardized solution are smaller than 1",
        )
    return Solution(items, factors, loadings, free, np.asarray(factor_cor, dtype=float), residual, frozenset(tied))


def recipe_of_text(text: str, nobs: int) -> Recipe:
    """Return the recipe for a measurement model whose completely standardized values are given.

    Parameters
    ----------
    text : str
        lavaan syntax with a number for every loading, correlation of latent variables and correlation of residuals:
        ``F =~ .7*x1 + .6*x2 + .8*x3``, ``F ~~ .4*G``, ``x1 ~~ .2*x2``.
    nobs : int

    Raises
    ------
    ModelSyntaxError
        If a number is missing, or the text says something else.
    """
    parsed = parse_model(text)
    rows: list[tuple[str, str, str, float]] = []

    def wrong(entry: Any, message: str, hint: str) -> ModelSyntaxError:
        return ModelSyntaxError(message, file=parsed.file, line=entry.line, column=entry.column, hint=hint)

    if parsed.blocks or parsed.constraints:
        where = parsed.constraints[0] if parsed.constraints else parsed.entries[0]
        raise wrong(where, "cut-offs need one model without constraints", "leave groups and constraints out")
    for e in parsed.entries:
        if e.op not in ("=~", "~~") or (e.op == "~~" and e.lhs == e.rhs):
            raise wrong(
                e,
                f"'{e.text}' is no part of a standardized measurement model",
                "give loadings and correlations only, such as 'F =~ .7*x1' and 'F ~~ .4*G'",
            )
        fixed = e.modifiers.fixed
        if len(fixed) != 1 or fixed[0] is None:
            raise wrong(
                e,
                f"'{e.text}' has no number",
                "write its standardized value in front of it, such as .7*x1; or fit data",
            )
        rows.append((e.lhs, e.op, e.rhs, float(fixed[0])))
    factors = tuple(dict.fromkeys(lhs for lhs, op, _, _ in rows if op == "=~"))
    items = tuple(dict.fromkeys(rhs for _, op, rhs, _ in rows if op == "=~"))
    if not factors:
        raise ModelSyntaxError(
            "the model has no latent variable", file=parsed.file, hint="define some, such as 'F =~ .7*x1 + .6*x2'"
        )
    cor = np.full((len(factors), len(factors)), np.nan)
    np.fill_diagonal(cor, 1.0)
    for lhs, op, rhs, value in rows:
        if op == "~~" and lhs in factors and rhs in factors:
            i, j = factors.index(lhs), factors.index(rhs)
            cor[i, j] = cor[j, i] = value
        elif op == "~~" and not (lhs in items and rhs in items):
            raise ModelSyntaxError(
                f"'{lhs} ~~ {rhs}' names a variable that the model does not measure", file=parsed.file
            )
        elif op == "=~" and rhs in factors:
            raise Unsupported(
                f"{lhs} is measured by the latent variable {rhs}: such models are not available here",
                file=parsed.file,
                hint="use the latent variables of the first order",
            )
    for i, j in np.argwhere(np.isnan(cor)):
        raise ModelSyntaxError(
            f"the correlation of {factors[i]} and {factors[j]} is missing",
            file=parsed.file,
            hint=f"add '{factors[i]} ~~ .3*{factors[j]}' with its value",
        )
    lines = [f"{lhs} =~ {rhs}" for lhs, op, rhs, _ in rows if op == "=~"]
    lines += [f"{lhs} ~~ {rhs}" for lhs, op, rhs, _ in rows if op == "~~" and lhs in items]
    solution = _solution(items, factors, rows, cor)
    return Recipe("\n".join(lines), solution, nobs, np.ones(len(items)), settings={"std_lv": True})
