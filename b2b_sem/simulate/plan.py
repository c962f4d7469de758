"""Sample-size plans: :func:`plan_sample` finds how many respondents each proposition of a plan needs."""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from b2b_sem.analysis.power_search import Found, Goal, search
from b2b_sem.engine.blocks import run_blocks
from b2b_sem.errors import DataError, ModelError, SpecError, Unsupported
from b2b_sem.measures.power import binomial_band, required_noncentrality
from b2b_sem.results.plan import EFFECT_COLUMNS, HELD_COLUMNS, PLAN_COLUMNS, VISIT_COLUMNS, PlanResult
from b2b_sem.results.verdict import SUPPORTED
from b2b_sem.simulate.decision import VERDICTS
from b2b_sem.simulate.draw import Plan
from b2b_sem.simulate.effect_size import SizedPopulation, sized_population
from b2b_sem.simulate.experiment import hold_folder, prepare_trial, whole_number
from b2b_sem.simulate.power import power as theory
from b2b_sem.simulate.respond import make_plan, sources
from b2b_sem.simulate.trial import Trial
from b2b_sem.spec.loader import load_plan
from b2b_sem.spec.model import ModelSpec, Proposition
from b2b_sem.spec.montecarlo import Condition, MonteCarloSpec
from b2b_sem.spec.plan import Aim, PlanSpec, Search

__all__ = ["MARK", "plan_sample"]

Progress = Callable[[int, int], None]
#: Of the intervals.
LEVEL = 0.95
#: File that says whose the samples of a folder are.
MARK = "plan.json"
#: Respondents beyond which no answer is looked for.
MOST = 100_000
#: What is taken off the noncentrality of perfect measurement for a first number of respondents: of a product, of
#: differences of means and of paths. The search does not depend on it beyond its first steps.
PRODUCT, MEANS, PATHS = 0.6, 0.8, 0.7


@dataclass(frozen=True, eq=False)
class _Cell:
    """A proposition with an effect of one size, ready to be drawn from."""

    prop: Proposition
    sized: SizedPopulation
    plan: Plan
    spec: MonteCarloSpec
    setting: Search
    theory: float
    start: int

    @property
    def name(self) -> str:
        return f"{self.sized.proposition}.{self.sized.size}"

    def trial(self, n: int, seed: int) -> Trial:
        """Return the trial of a number of respondents."""
        (cell,) = self.spec.cells()
        return prepare_trial(self.spec, self.plan, Condition(f"n={n}", n, self.name, "", cell.settings), seed)


@dataclass(frozen=True, eq=False)
class _Draws:
    """What workers do with the blocks of one visit: the verdict on one proposition, and nothing else is kept."""

    trial: Trial
    first: int
    place: int
    row: int | None
    positive: bool

    def run(self, block: int) -> dict[str, Any]:
        """Return verdicts (places in ``VERDICTS``), and whether the test by itself finds the effect, R long."""
        found = self.trial.run(self.first + block)
        single = np.zeros(len(found["verdict"]), dtype=bool)
        if self.row is not None:
            estimate, p = found["est"][:, self.row], found["pvalue"][:, self.row]
            with np.errstate(invalid="ignore"):
                single = (p < self.trial.alpha) & ((estimate > 0) == self.positive) & ~found["improper"]
        return {"verdict": found["verdict"][:, self.place], "single": single}


def plan_sample(
    plan: str | os.PathLike[str] | PlanSpec,
    *,
    seed: int | None = None,
    power: float | None = None,
    only: tuple[str, ...] = (),
    samples: int | None = None,
    batches: int | None = None,
    precision: float | None = None,
    jobs: int = 1,
    cluster: str | None = None,
    folder: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    base: str | os.PathLike[str] | None = None,
) -> PlanResult:
    """Find how many respondents each proposition of a plan needs, for each size of its effect.

    For each proposition and size the population gets an effect of that size, all else staying as it is. Samples of it
    are drawn and judged as a study judges them, with the adjustment for all propositions; the number of respondents is
    changed until the share of samples in which the proposition is supported is the asked power. A curve
    ``Phi(a + b sqrt(n))`` through the shares of all samples near the answer gives the number and its interval.

    Parameters
    ----------
    plan : str, path or PlanSpec
        Bundled id, path of a plan file, or a loaded one.
    seed : int, optional
        Instead of that of the file. The same seed gives the same numbers, whatever `jobs` is.
    power : float, optional
        Instead of that of the file.
    only : tuple of str
        Propositions to plan for. Default: all of the file.
    samples, batches : int, optional
        Samples in a batch, and batches after which a search ends, instead of those of the file.
    precision : float, optional
        Half width of the interval at which a search ends, relative to the number of respondents; instead of that of the
        file.
    jobs : int
        Worker processes on this machine.
    cluster : str, optional
        Address of a dask scheduler whose workers do the work instead.
    folder : path, optional
        Where what was drawn is kept and looked for: a second call goes on where the first one stopped.
    progress : callable, optional
        Called with (searches done, searches in all).
    base : path, optional
        Directory that a relative path in `plan` starts from.

    Returns
    -------
    PlanResult

    Raises
    ------
    SpecError
        If a file is not valid, or a population impossible.
    DataError
        For settings that cannot be, or a folder that holds another plan.
    Unsupported
        If a cluster is asked for and dask is not installed.

    Examples
    --------
    >>> import b2b_sem as bs
    >>> found = bs.plan_sample("lima2026_plan", only=("P4",), samples=50, batches=4)
    >>> found.wide().columns.tolist()
    ['small', 'medium', 'large']
    """
    spec = plan if isinstance(plan, PlanSpec) else load_plan(plan, base)
    number = spec.seed if seed is None else whole_number(seed, "the seed", 0)
    whole_number(jobs, "jobs", 1)
    asked = spec.power if power is None else power
    if not spec.alpha < asked < 1:
        raise DataError(f"power={asked!r}", hint=f"give a number above alpha = {spec.alpha:g} and below 1")
    given = Search.of(samples=samples, batches=batches, precision=precision)
    population = spec.population_spec
    if population is None or population.model_spec is None:
        raise SpecError(f"the plan '{spec.id}' was built without its population", hint="load it from a file")
    model = population.model_spec
    aims = _aims(spec, model, only)
    place = None if folder is None else hold_folder(Path(folder), MARK, spec.id, number, _content(spec, model))
    # all populations are solved before anything is drawn
    cells = [_cell(spec, model, name, aim, size, asked, given) for name, aim in aims.items() for size in spec.sizes]
    rows, visits = [], []
    warnings: dict[str, list[str]] = {}
    for done, cell in enumerate(cells):
        if progress is not None:
            progress(done, len(cells))
        row, own, said = _find(cell, asked, number, jobs, cluster, place)
        rows.append(row)
        visits += own
        for text in said:
            warnings.setdefault(text, []).append(f"{cell.sized.proposition} {cell.sized.size}")
    if progress is not None:
        progress(len(cells), len(cells))
    effects = [
        {"proposition": c.sized.proposition, "size": c.sized.size}
        | {"kind": e.kind, "asked": e.size, "name": e.name, "level": e.level, "value": e.value}
        for c in cells
        for e in c.sized.effects
    ]
    tables = {
        "table": pd.DataFrame(rows, columns=list(PLAN_COLUMNS)),
        "visits": pd.DataFrame(visits, columns=list(VISIT_COLUMNS)),
        "effects": pd.DataFrame(effects, columns=list(EFFECT_COLUMNS)),
        "held": pd.DataFrame(_held(make_plan(population)), columns=list(HELD_COLUMNS)),
    }
    digests = {"plan": spec.digest, "simulation": population.digest, "model": model.digest}
    return PlanResult(
        id=spec.id,
        title=spec.title,
        population=population.id,
        model=model.id,
        power=asked,
        alpha=spec.alpha,
        multiplicity=spec.multiplicity,
        level=LEVEL,
        seed=number,
        notes=_notes(spec, population.id, asked),
        warnings=tuple(f"{', '.join(names)}: {text}" for text, names in warnings.items()),
        provenance=MappingProxyType(
            {
                "version": version("b2b-sem"),
                "numpy": np.__version__,
                "digests": {kind: text for kind, text in digests.items() if text is not None},
                "seed": number,
            }
        ),
        _tables=MappingProxyType(tables),
    )


def _aims(spec: PlanSpec, model: ModelSpec, only: tuple[str, ...]) -> dict[str, Aim]:
    aims = spec.aims(model)
    if absent := [name for name in only if name not in aims]:
        raise DataError(f"the plan has no proposition '{absent[0]}'", hint="it has " + ", ".join(aims))
    return {name: aim for name, aim in aims.items() if not only or name in only}


def _content(spec: PlanSpec, model: ModelSpec) -> list[Any]:
    """Return what the samples depend on; more batches, or another power, go on with those that are there."""
    population = spec.population_spec
    assert population is not None
    plain = spec.model_dump(mode="json", exclude={"title", "description", "citation", "seed", "power", "search"})
    for aim in plain["propositions"].values():
        del aim["search"]
    parts = (population, model, *sources(population))
    return [plain, *(part.model_dump(mode="json") for part in parts)]


def _cell(spec: PlanSpec, model: ModelSpec, name: str, aim: Aim, size: str, power: float, given: Search) -> _Cell:
    prop = model.proposition(name)
    sized = sized_population(spec, prop, aim, size)
    study = MonteCarloSpec(
        kind="montecarlo",
        schema_version=1,
        id=spec.id,
        title=spec.title,
        population=spec.population,
        options=spec.options,
        seed=spec.seed,
        alpha=spec.alpha,
        multiplicity=spec.multiplicity,
        moderation=prop.test == "moderation",
        groups=prop.group if prop.test == "group" else None,
    ).tie(sized.spec, model)
    expected = _theory(study, sized, prop, power)
    start = expected if math.isfinite(expected) else _guess(spec, sized, prop, power)
    setting = given.over(spec.searching(aim))
    return _Cell(prop, sized, make_plan(sized.spec), study, setting, expected, round(start))


def _theory(study: MonteCarloSpec, sized: SizedPopulation, prop: Proposition, power: float) -> float:
    """Return the respondents that the test of a path needs in large samples, p-values not adjusted; NaN for others."""
    pair = _pair(prop)
    (cell,) = study.cells()
    if pair is None or cell.settings.estimator not in (None, "ML") or cell.settings.ordered:
        return math.nan
    try:
        table = theory(sized.spec, power=power, alpha=study.alpha, indirect=()).table
    except (Unsupported, ModelError):
        return math.nan
    row = table[(table["kind"] == "path") & (table["test"] == f"{pair[0]}~{pair[1]}") & (table["group"] == "")]
    return float(row["rows_needed"].iloc[0]) if len(row) == 1 else math.nan


def _guess(spec: PlanSpec, sized: SizedPopulation, prop: Proposition, power: float) -> float:
    """Return a number of respondents to start from where there is no theory."""
    values, one = spec.sizes[sized.size], required_noncentrality(power, 1, spec.alpha)
    if any(e.kind == "change" for e in sized.effects):
        return sized.spec.n
    if prop.test == "moderation" and values.f2 is not None:
        return one / (PRODUCT * values.f2)
    if prop.test == "group" and values.d is not None and values.f2 is not None:
        paths = sum(e.kind == "f2" for e in sized.effects) / 2
        all_paths = required_noncentrality(power, max(len(sized.spec.paths()), 1), spec.alpha)
        return max(4 * one / (MEANS * values.d**2), all_paths / (PATHS * paths * values.f2))
    return sized.spec.n


def _pair(prop: Proposition) -> tuple[str, str] | None:
    """Return outcome and predictor of a proposition on one path."""
    if prop.test != "path" or prop.path is None:
        return None
    ((claim, _),) = prop.claims()
    return claim.regressions[0] if len(claim.regressions) == 1 else None


def _find(
    cell: _Cell, power: float, seed: int, jobs: int, cluster: str | None, folder: Path | None
) -> tuple[dict[str, Any], list[dict[str, Any]], list[str]]:
    """Search the respondents of one proposition and size; return a row, what was drawn, and warnings."""
    prop, setting = cell.prop, cell.setting
    assert setting.samples is not None
    assert setting.batches is not None
    assert setting.precision is not None
    pair = _pair(prop)
    asked, trials = setting.samples, dict[int, Trial]()
    drawn: dict[int, list[Mapping[str, Any]]] = {}

    def look(size: float, visit: int) -> tuple[np.ndarray, np.ndarray]:
        n = int(size)
        if n not in trials:
            trials[n] = cell.trial(n, seed)
        trial = trials[n]
        # blocks that make up a visit exactly: its samples are the same whatever the size of blocks
        step = max(d for d in range(1, min(trial.size, asked) + 1) if asked % d == 0)
        trial, blocks = replace(trial, size=step), asked // step
        place = [p.id for p in trial.propositions].index(prop.id)
        row = None if pair is None else trial.rows.index((pair[0], "~", pair[1], ""))
        task = _Draws(trial, visit * blocks, place, row, prop.sign == "+")
        kept = None if folder is None else folder / _slug(cell.name) / f"{n}-{asked}-{visit}"
        found = run_blocks(task, "run", blocks, jobs, kept, size=trial.size, cluster=cluster)
        drawn.setdefault(n, []).append(found)
        hits = [float((found["verdict"] == VERDICTS.index(SUPPORTED)).sum())]
        if pair is not None:
            hits.append(float(found["single"].sum()))
        return np.array(hits), np.full(len(hits), float(len(found["verdict"])))

    smallest = len(cell.plan.items) + 2
    goal = Goal(power, setting.precision, LEVEL, setting.samples * setting.batches)
    _, answers = search(
        look,
        1 if pair is None else 2,
        goal,
        start=float(max(cell.start, smallest)),
        smallest=float(smallest),
        largest=float(MOST),
        batch=setting.samples,
    )
    rows = [_visit(cell, n, drawn[n]) for n in sorted(drawn)]
    samples, unsolved = sum(r["samples"] for r in rows), sum(r["not_testable"] for r in rows)
    whole = _numbers(answers[0])
    single = _numbers(answers[1]) if pair is not None else (math.nan,) * 3
    out: dict[str, Any] = {"proposition": prop.id, "path": _shown(prop), "size": cell.sized.size}
    out |= dict(zip(("rows", "lower", "upper"), whole, strict=True)) | {"precise": answers[0].precise}
    out |= dict(zip(("single", "single_lower", "single_upper"), single, strict=True))
    out |= {"theory": cell.theory, "samples": samples, "unsolved": unsolved}
    return out, rows, _warnings(answers[0], samples, unsolved, power)


def _numbers(found: Found) -> tuple[float, float, float]:
    """Return respondents, as whole numbers, and the ends of the interval."""
    if found.bound or not math.isfinite(found.at):
        return (math.nan,) * 3
    return float(math.ceil(found.at)), float(math.floor(found.lower)), float(math.ceil(found.upper))


def _warnings(found: Found, samples: int, unsolved: int, power: float) -> list[str]:
    out = []
    if found.bound:
        out.append(f"{found.bound} {found.at:.0f} respondents.")
    elif not math.isfinite(found.at):
        out.append(f"the samples do not tell where the power is {power:g}; allow more batches.")
    elif not found.precise:
        out.append("the interval is wider than asked; allow more batches.")
    if unsolved * 20 > samples:
        out.append(f"in {100 * unsolved / samples:.0f} % of the samples the proposition could not be tested.")
    return out


def _visit(cell: _Cell, n: int, parts: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what all samples of one number of respondents said."""
    verdict = np.concatenate([part["verdict"] for part in parts])
    count = [int((verdict == k).sum()) for k in range(len(VERDICTS))]
    lower, upper = binomial_band(count[0], len(verdict), LEVEL)
    single = sum(int(part["single"].sum()) for part in parts) if _pair(cell.prop) is not None else math.nan
    return {
        "proposition": cell.sized.proposition,
        "size": cell.sized.size,
        "nobs": n,
        "samples": len(verdict),
        **dict(zip(("supported", "not_supported", "contradicted", "not_testable"), count, strict=True)),
        "single": single,
        "power": count[0] / len(verdict),
        "power_lower": float(lower),
        "power_upper": float(upper),
    }


def _shown(prop: Proposition) -> str:
    if prop.path is not None:
        return prop.path
    return ", ".join(f"{part.path} ({part.sign})" for part in prop.parts) + ", paths differ"


def _held(plan: Plan) -> list[dict[str, Any]]:
    """Return paths and correlations of the population as it is."""
    nodes = set(plan.population.nodes)
    pairs = ((a, op, b, v) for a, op, b, v in plan.population.truth() if a != b and {a, b} <= nodes)
    return [dict(zip(HELD_COLUMNS, row, strict=True)) for row in pairs]


def _notes(spec: PlanSpec, population: str, power: float) -> tuple[str, ...]:
    adjusted = f"adjusted for all that are tested ({spec.multiplicity})"
    adjusted = "not adjusted" if spec.multiplicity == "none" else adjusted
    return (
        f"Respondents with which a study supports the proposition in {100 * power:g} % of samples: p below "
        f"{spec.alpha:g}, {adjusted}, and the sign as claimed.",
        f"One effect at a time has the size that the row names; all else is as in the population '{population}'.",
        f"Intervals: {100 * LEVEL:g} %, of the numbers of respondents, by the samples that were drawn; samples in "
        "which the proposition could not be tested count as not supported.",
        "By itself: the same for the test of one path without adjustment. Theory: large-sample theory for that test.",
    )


def _slug(name: str) -> str:
    return f"{re.sub(r'[^A-Za-z0-9]+', '-', name)}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
