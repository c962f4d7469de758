"""Monte Carlo studies: :func:`monte_carlo` runs the conditions of a study file and sums up what came out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from b2b_sem.engine.blocks import fill_store
from b2b_sem.errors import SpecError, Unsupported, whole_number
from b2b_sem.measures.replication import PERFORMANCE, performance, share
from b2b_sem.results.montecarlo import (
    CONDITION_COLUMNS,
    ESTIMATE_COLUMNS,
    MEASURE_COLUMNS,
    PARAMETER_COLUMNS,
    QUANTILES,
    REPLICATION_COLUMNS,
    VERDICT_COLUMNS,
    MonteCarloResult,
)
from b2b_sem.results.store import BlockStore, TemporaryFolder, column_groups
from b2b_sem.simulate.decision import VERDICTS
from b2b_sem.simulate.draw import Plan
from b2b_sem.simulate.estimand import true_values
from b2b_sem.simulate.folder import folder_name, prepare_folder
from b2b_sem.simulate.respond import make_plan
from b2b_sem.simulate.text import TextPlan, make_text_plan
from b2b_sem.simulate.trial import FIT_MEASURES, Trial, block_size, check_options, model_rows, prepare_batch
from b2b_sem.spec.loader import load_montecarlo
from b2b_sem.spec.montecarlo import Condition, MonteCarloSpec
from b2b_sem.spec.simulation import SimulationSpec
from b2b_sem.spec.text import TextPopulation

__all__ = [
    "monte_carlo",
    "plan_of",
    "prepare_trial",
    "summarise",
]

Array = NDArray[np.float64]
Progress = Callable[[int, int], None]
_CUT = (
    "answers are whole numbers, true values those of the responses behind them: fits that take answers as continuous "
    "find smaller loadings and larger residual variances, most so with few or skewed categories"
)
#: Most reasons of failures that a table names for a condition.
_REASONS = 5
#: Bytes of samples that are kept in memory; more of them stay in files.
IN_MEMORY = 64e6


def monte_carlo(
    study: str | os.PathLike[str] | MonteCarloSpec,
    *,
    replications: int | None = None,
    seed: int | None = None,
    jobs: int = 1,
    cluster: str | None = None,
    folder: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    base: str | os.PathLike[str] | None = None,
) -> MonteCarloResult:
    """Run a Monte Carlo study: draw samples of every condition, fit the model to each, and compare with the truth.

    Replication k of a condition depends on the seed, the sample size, the change of the population and k alone, so the
    numbers are the same for any number of workers, after an interruption, and whatever other conditions there are.

    Parameters
    ----------
    study : str, path or MonteCarloSpec
        Bundled id, path of a Monte Carlo file, or a loaded one.
    replications, seed : int, optional
        Instead of those of the file.
    jobs : int
        Worker processes on this machine.
    cluster : str, optional
        Address of a dask scheduler, such as ``tcp://host:8786``, whose workers do the work instead.
    folder : path, optional
        Where finished blocks are kept and looked for: a second call goes on where the first one stopped, also with more
        replications. Large studies (more than about 15,000 samples of a model with 100 parameters) read the samples
        from there when they are asked for; without a folder, from a temporary one.
    progress : callable, optional
        Called with (replications done, replications in all).
    base : path, optional
        Directory that a relative path in `study` starts from.

    Returns
    -------
    MonteCarloResult

    Raises
    ------
    SpecError
        If a file is not valid, or a population impossible.
    DataError
        For settings that cannot be, or a folder that holds another study.
    Unsupported
        If a cluster is asked for and dask is not installed.
    B2BSemError
        If workers are lost again and again; what is in `folder` is kept.
    """
    spec = study if isinstance(study, MonteCarloSpec) else load_montecarlo(study, base)
    count = spec.replications if replications is None else whole_number(replications, "replications", 2)
    number = spec.seed if seed is None else whole_number(seed, "seed", 0)
    whole_number(jobs, "jobs", 1)
    cells = spec.cells()
    plans = _plans(spec, cells)
    trials = [prepare_trial(spec, plans[cell.change], cell, number) for cell in cells]
    for trial in trials:
        check_options(trial)
    place = None if folder is None else prepare_folder(Path(folder), spec, number)
    total = count * len(cells)
    report = progress or (lambda done, total: None)
    tables: dict[str, list[Any]] = {name: [] for name in ("conditions", "parameters", "estimates", "measures")}
    tables |= {"verdicts": [], "replications": []}
    samples: dict[str, Mapping[str, Any]] = {}
    warnings: list[str] = []
    lean = count * sum(trial.weight for trial in trials) > IN_MEMORY
    owner = None
    if lean and place is None:
        owner = TemporaryFolder()
        place = owner.path
    for position, (cell, trial) in enumerate(zip(cells, trials, strict=True)):
        true = true_values(plans[cell.change], trial)
        before, blocks = position * count, -(-count // trial.size)
        store = BlockStore("run", None if place is None else place / folder_name(cell.name), lean=lean)
        fill_store(
            store,
            trial,
            "run",
            blocks,
            jobs,
            lambda done, before=before: report(before + min(done, count), total),  # type: ignore[misc]
            size=trial.size,
            cluster=cluster,
        )
        found = store.joined(blocks, count, owner)
        own = summarise(trial, found, true)
        for name, rows in own.items():
            tables[name] += rows
        samples[cell.name] = found if lean else MappingProxyType(dict(found))
        lost = own["replications"][0]["failed"]
        if lost * 10 > count:
            warnings.append(f"{cell.name}: {lost} of {count} samples gave no usable solution.")
    columns = {
        "conditions": CONDITION_COLUMNS,
        "parameters": PARAMETER_COLUMNS,
        "estimates": ESTIMATE_COLUMNS,
        "measures": MEASURE_COLUMNS,
        "verdicts": VERDICT_COLUMNS,
        "replications": REPLICATION_COLUMNS,
    }
    population, model = spec.population_spec, spec.model_spec
    assert population is not None  # cells() would have raised
    assert model is not None
    digests = {"montecarlo": spec.digest, "simulation": population.digest, "model": model.digest}
    from importlib.metadata import version

    return MonteCarloResult(
        id=spec.id,
        title=spec.title,
        population=population.id,
        model=model.id,
        seed=number,
        replications_each=count,
        alpha=spec.alpha,
        confidence=spec.confidence,
        multiplicity=spec.multiplicity,
        notes=_notes(spec, count),
        warnings=tuple(warnings),
        provenance=MappingProxyType(
            {
                "version": version("b2b-sem"),
                "numpy": np.__version__,
                "digests": {kind: text for kind, text in digests.items() if text is not None},
                "seed": number,
                "solution": "raw" if spec.raw else "standardized",
            }
        ),
        _tables=MappingProxyType({name: pd.DataFrame(tables[name], columns=list(columns[name])) for name in columns}),
        samples=MappingProxyType(samples),
    )


def prepare_trial(spec: MonteCarloSpec, plan: Plan | TextPlan, cell: Condition, seed: int) -> Trial:
    """Prepare one condition: what is fitted, what is reported, and which way leads to it.

    Raises
    ------
    SpecError
        If the study was built without its population.
    Unsupported
        For options that a study of many samples does not have.
    """
    model = spec.model_spec
    assert model is not None  # there would be no condition
    settings = cell.settings.stated()
    if not any(":" in predictor for _, predictor in model.regressions()):
        settings.pop("interaction", None)
    cell = replace(cell, settings=type(cell.settings)(**settings))
    text = model.syntax(plan.survey)
    groups: tuple[str, ...] = ()
    if "group" in settings:
        if isinstance(plan, TextPlan):
            raise Unsupported(f"group='{settings['group']}': the population '{plan.spec.id}' is lavaan text")
        groups = _levels(plan, settings["group"])
    rows = model_rows(text, settings, groups, raw=spec.raw)
    # verdicts rest on one fit of all respondents
    propositions = () if groups else tuple(model.propositions)
    trial = Trial(
        plan=plan,
        condition=cell,
        text=text,
        propositions=propositions,
        rows=rows,
        seed=seed,
        size=1,
        alpha=spec.alpha,
        confidence=spec.confidence,
        multiplicity=spec.multiplicity,
        model=model,
        split=spec.groups,
        moderation=spec.moderation,
        raw=spec.raw,
    )
    batch, reason = prepare_batch(trial)
    size = block_size(cell.n, len(plan.items), batch is not None)
    return replace(trial, batch=batch, reason=reason, size=size)


def _levels(plan: Plan, name: str) -> tuple[str, ...]:
    """Return the levels of a group of the survey, or the categories of a fact, that the population draws."""
    split = plan.survey.split(name)
    fact = plan.spec.facts.get(split.fact)
    if fact is None or fact.shares is None:
        raise Unsupported(
            f"group='{name}': the fact '{split.fact}' has no shares in the population '{plan.spec.id}'",
            hint="name a group that the population draws",
        )
    if split.levels:
        return tuple(split.levels)
    return tuple(str(code) for code, part in fact.shares.items() if part > 0)


def summarise(trial: Trial, found: Mapping[str, Any], true: Array) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of each table for one condition.

    Parameters
    ----------
    trial : Trial
    found : mapping of arrays
        What :meth:`Trial.run` gave, all blocks joined.
    true : (k,) array
    """
    head = {"condition": trial.condition.name}
    solved = np.zeros(len(found["converged"]), dtype=bool)
    parts: list[dict[str, Any]] = []
    for at, own in column_groups(found, ("est", "se", "half", "pvalue")):
        solved |= np.isfinite(own["est"]).any(axis=1)
        numbers = performance(own["est"], own["se"], own["half"], own["pvalue"], true[at], trial.alpha)
        parts.append(numbers | _quantiles(own["est"]))
    table = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    parameters, estimates = [], []
    for k, key in enumerate(trial.rows):
        if solved.any() and not table["n_used"][k]:
            continue  # a row that fits of this kind do not have
        name = head | dict(zip(("lhs", "op", "rhs", "group"), key, strict=True))
        row = {c: float(v[k]) for c, v in table.items()}
        parameters.append(name | {c: row[c] for c in PERFORMANCE} | {"n_used": int(row["n_used"])})
        estimates.append(name | {"true": row["true"]} | {c: row[c] for c in QUANTILES})
    cell = trial.condition
    conditions = [
        head
        | {"n": cell.n, "change": cell.change, "options": cell.options}
        | {"batched": trial.batch is not None, "reason": trial.reason}
    ]
    return {
        "conditions": conditions,
        "parameters": parameters,
        "estimates": estimates,
        "measures": _measures(head, found["measures"], trial.alpha),
        "verdicts": _verdicts(head, trial, found["verdict"]),
        "replications": [head | _outcomes(found, solved)],
    }


def _quantiles(values: Array) -> dict[str, Array]:
    out = np.full((len(QUANTILES), values.shape[1]), np.nan)
    some = np.isfinite(values).any(axis=0)
    if some.any():
        out[:, some] = np.nanquantile(values[:, some], list(QUANTILES.values()), axis=0)
    return dict(zip(QUANTILES, out, strict=True))


def _measures(head: Mapping[str, Any], values: Array, alpha: float) -> list[dict[str, Any]]:
    spread = _quantiles(values)
    rows = []
    for k, name in enumerate(FIT_MEASURES):
        own = values[np.isfinite(values[:, k]), k]
        if not len(own):
            continue
        rejected = (np.nan, np.nan)
        if "pvalue" in name:
            p, error = share((own < alpha).astype(float)[:, None])
            rejected = (float(p[0]), float(error[0]))
        rows.append(
            {
                **head,
                "measure": name,
                "mean": float(own.mean()),
                "sd": float(own.std(ddof=1)) if len(own) > 1 else np.nan,
                **{c: float(v[k]) for c, v in spread.items()},
                "rejected": rejected[0],
                "rejected_mcse": rejected[1],
                "n_used": len(own),
            }
        )
    return rows


def _verdicts(head: Mapping[str, Any], trial: Trial, verdict: NDArray[np.int8]) -> list[dict[str, Any]]:
    rows = []
    names = ("supported", "not_supported", "contradicted", "not_testable")
    assert len(names) == len(VERDICTS)
    for k, proposition in enumerate(trial.propositions):
        row: dict[str, Any] = {**head, "proposition": proposition.id}
        for code, name in enumerate(names):
            p, error = share((verdict[:, k] == code).astype(float)[:, None])
            row |= {name: float(p[0]), f"{name}_mcse": float(error[0])}
        rows.append(row | {"n_used": len(verdict)})
    return rows


def _outcomes(found: Mapping[str, Any], solved: NDArray[np.bool_]) -> dict[str, Any]:
    converged, converged_error = share(solved.astype(float)[:, None])
    improper, improper_error = share(np.where(solved, found["improper"], np.nan)[:, None])
    reasons = Counter(str(text) for text, fine in zip(found["why"], solved, strict=True) if text and not fine)
    listing = [f"{text} ({times})" for text, times in reasons.most_common(_REASONS)]
    return {
        "replications": len(solved),
        "converged": float(converged[0]),
        "converged_mcse": float(converged_error[0]),
        "improper": float(improper[0]),
        "improper_mcse": float(improper_error[0]),
        "failed": int(len(solved) - solved.sum()),
        "why": "; ".join(listing),
    }


def plan_of(population: SimulationSpec | TextPopulation) -> Plan | TextPlan:
    """Return a population ready to be drawn from; raises ``SpecError`` if its values are impossible."""
    return make_text_plan(population) if isinstance(population, TextPopulation) else make_plan(population)


def _plans(spec: MonteCarloSpec, cells: tuple[Condition, ...]) -> dict[str, Plan | TextPlan]:
    """Return the population of each change; all of them are solved before any work is done."""
    population = spec.population_spec
    assert population is not None  # cells() would have raised
    plans: dict[str, Plan | TextPlan] = {}
    for change in dict.fromkeys(cell.change for cell in cells):
        try:
            plans[change] = plan_of(spec.changed(population, change))
        except SpecError as error:
            if not change:
                raise
            where = ("conditions", "changes", change)
            raise spec.error(
                where, f"the change '{change}' of '{population.id}': {error.message}", hint=error.hint, at_key=True
            ) from None
    return plans


def _notes(spec: MonteCarloSpec, count: int) -> tuple[str, ...]:
    worst = 0.5 / np.sqrt(count)
    population = spec.population_spec
    assert population is not None  # cells() would have raised
    cut = [
        cell
        for cell in spec.cells()
        if _whole_answers(spec.changed(population, cell.change)) and not cell.settings.ordered
    ]
    return (
        f"{count} samples of each condition: shares have a Monte Carlo standard error of {worst:.4f} at most",
        f"parameters are those of the {'raw' if spec.raw else 'standardized'} solution, true values those of the "
        "population file",
        f"verdicts at alpha = {spec.alpha:g}, p-values adjusted within a sample: {spec.multiplicity}",
        *([_CUT] if cut else []),
    )


def _whole_answers(population: SimulationSpec | TextPopulation) -> bool:
    """Return whether responses are cut into categories."""
    if isinstance(population, TextPopulation):
        return bool(population.cuts() or population.shares)
    return population.response.type == "ordinal"
