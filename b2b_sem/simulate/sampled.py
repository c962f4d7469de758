"""Power by samples: at numbers of rows, the rows that a power needs, and the effect that rows can find."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from b2b_sem import resources
from b2b_sem.analysis.intake import model_text
from b2b_sem.analysis.montecarlo import Population
from b2b_sem.analysis.montecarlo import population as text_population
from b2b_sem.analysis.power_population import read_population
from b2b_sem.analysis.power_sample import MomentSampler, Sampler, check_failures, choose, sample_power, search_rows
from b2b_sem.analysis.power_search import Goal, search
from b2b_sem.errors import DataError, SpecError, Unsupported, did_you_mean, whole_number
from b2b_sem.results.power_sample import COUNT, EffectSearch, RowSearch, SampledPower
from b2b_sem.simulate.experiment import plan_of
from b2b_sem.simulate.power_trial import as_study, make_sampler
from b2b_sem.spec.loader import load_montecarlo, load_population
from b2b_sem.spec.model import ModelSpec
from b2b_sem.spec.moderation import read_product
from b2b_sem.spec.montecarlo import MonteCarloSpec, changed_population
from b2b_sem.spec.reader import Reader
from b2b_sem.spec.simulation import SimulationSpec
from b2b_sem.spec.statement import is_syntax, read_pair
from b2b_sem.spec.syntax import parse_model
from b2b_sem.spec.text import TextPopulation, TextValues
from b2b_sem.spec.text import text_population as described_text

__all__ = ["Source", "find_effect", "find_rows", "load_source", "sampled_power"]

Source = (
    str | os.PathLike[str] | SimulationSpec | TextPopulation | MonteCarloSpec | Population | Mapping[str, Population]
)
Described = SimulationSpec | TextPopulation | MonteCarloSpec
Progress = Callable[[int, int], None]
#: Options of a fit of moments.
MOMENT_OPTIONS = ("likelihood", "std_lv", "orthogonal", "meanstructure", "fixed_x")
#: What only simulated answers have.
ANSWERS = ("change", "variant", "multiplicity", "moderation", "groups", "restrictions")
#: First rows of a search where no file says any.
START = 200
#: Largest standardized path, correlation and mean that is tried.
FURTHEST = {"~": 3.0, "~~": 0.999, "mean": 5.0}


def load_source(
    source: Source,
) -> SimulationSpec | TextPopulation | MonteCarloSpec | str | Population | Mapping[str, Population]:
    """Return a population file as what it holds; lavaan text and moments as they are.

    Raises
    ------
    SpecError
        If a file is neither a population nor a Monte Carlo study, or is not valid.
    """
    if isinstance(source, Described | Population | Mapping):
        return source
    if is_syntax(source):
        return source
    path = resources.resolve("simulations", source, None)
    if path.suffix.lower() in (".yaml", ".yml"):
        plain = Reader(path).plain
        if isinstance(plain, dict) and plain.get("kind") == MonteCarloSpec.KIND:
            return load_montecarlo(path)
    return load_population(path)


def sampled_power(
    population: Source,
    model: str | Path | ModelSpec | None = None,
    *,
    nobs: int | None = None,
    sizes: Sequence[int] = (),
    power: float = 0.80,
    alpha: float | None = None,
    replications: int,
    tests: Sequence[str] = (),
    failures: str = COUNT,
    level: float = 0.95,
    seed: int | None = None,
    jobs: int = 1,
    cluster: str | None = None,
    folder: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> SampledPower:
    """Return the share of samples in which each test rejects: what :func:`b2b_sem.power` gives with `replications`.

    See there for the arguments.
    """
    whole_number(replications, "replications", 10)
    source = load_source(population)
    sampler, usual = _sampler(source, model, alpha, tests, seed, jobs, cluster, folder, settings)
    if nobs is None and not sizes and isinstance(source, MonteCarloSpec):
        sizes = source.conditions.n
    nobs = usual if nobs is None else nobs
    if nobs is None:
        raise DataError("there is no number of rows", hint="give nobs=..., such as 200")
    return sample_power(
        sampler,
        sizes,
        nobs=whole_number(nobs, "nobs", 2),
        replications=replications,
        power=power,
        level=level,
        failures=failures,
        tests=tests,
        progress=progress,
    )


def find_rows(
    population: Source,
    model: str | Path | ModelSpec | None = None,
    *,
    tests: Sequence[str] = (),
    power: float = 0.80,
    alpha: float | None = None,
    precision: float = 0.05,
    level: float = 0.95,
    start: int | None = None,
    largest: int | None = None,
    batch: int = 250,
    replications: int = 20_000,
    failures: str = COUNT,
    seed: int | None = None,
    jobs: int = 1,
    cluster: str | None = None,
    folder: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> RowSearch:
    """Search the smallest number of rows at which tests have the asked power, by samples.

    Rows are doubled or halved until the shares of samples that reject lie on both sides of `power`. Then a probit curve
    through the shares of all samples near the answer tells where to draw next, until the confidence interval of the
    answer is narrow enough. What is drawn for one test counts for all.

    Parameters
    ----------
    population, model
        As in :func:`b2b_sem.power`; also a Monte Carlo file or a loaded one.
    tests : sequence of str
        "PC~NR" (a path), "NR -> PC -> RR" (an indirect effect: all its paths), "P1" (a proposition is supported),
        "all paths", "all propositions", names of ``:=`` lines. Default: all paths, indirect effects and propositions.
        Several that are named are also counted together ("all tests").
    power, alpha : float
        `alpha` defaults to that of a Monte Carlo file, else 0.05.
    precision, level : float
        Half width of the confidence interval, relative to the number of rows; its level.
    start, largest : int, optional
        First and largest number of rows that is tried.
    batch : int
        Samples drawn at a time.
    replications : int
        Samples after which the search ends with the interval it has.
    failures : {"count", "exclude"}
        Whether samples without a usable solution count as not found, or do not count.
    seed, jobs, cluster, folder
        As in :func:`b2b_sem.monte_carlo`: the numbers do not depend on jobs or cluster, and a search with a `folder`
        goes on where it was broken off.
    progress : callable, optional
        Called with samples drawn and the most there may be.
    **settings
        ``change``, ``variant`` (of a Monte Carlo file), ``multiplicity``, ``moderation``, ``groups``, ``restrictions``,
        and options of :func:`b2b_sem.fit`.

    Returns
    -------
    RowSearch

    Raises
    ------
    DataError
        For unknown tests or numbers out of range.
    Unsupported
        For what samples of this population cannot show.

    Examples
    --------
    >>> import b2b_sem as bs
    >>> found = bs.find_rows("x ~~ 1*x\\ny ~ .3*x\\ny ~~ .91*y", "y ~ x", tests=["y~x"], precision=0.1, seed=1)
    >>> bool(found.table["lower"].iloc[0] < 85 < found.table["upper"].iloc[0])
    True
    """
    goal = Goal(power=power, precision=precision, level=level, samples=whole_number(replications, "replications", 1))
    sampler, usual = _sampler(population, model, alpha, tests, seed, jobs, cluster, folder, settings)
    first = (usual or START) if start is None else whole_number(start, "start", 2)
    return search_rows(
        sampler,
        goal=goal,
        start=first,
        batch=whole_number(batch, "batch", 10),
        failures=failures,
        tests=tests,
        largest=None if largest is None else whole_number(largest, "largest", 2),
        progress=progress,
    )


def find_effect(
    population: str | os.PathLike[str] | Described,
    effect: str,
    model: str | Path | ModelSpec | None = None,
    *,
    test: str | None = None,
    nobs: int | None = None,
    power: float = 0.80,
    alpha: float | None = None,
    precision: float = 0.05,
    level: float = 0.95,
    batch: int = 250,
    replications: int = 20_000,
    failures: str = COUNT,
    seed: int | None = None,
    jobs: int = 1,
    cluster: str | None = None,
    progress: Progress | None = None,
    change: str | None = None,
    **settings: Any,
) -> EffectSearch:
    """Search the smallest effect that a number of rows finds with the asked power, by samples.

    One value of the population file is varied, with the sign it has there; all others stay. Residual variances are
    solved anew where the file states variances (all variances stay 1 in standardized files), and stay where it states
    them.

    Parameters
    ----------
    population, model
        A population or Monte Carlo file, with standardized values or lavaan text. For text and moments themselves there
        is ``power(..., detectable=True)``.
    effect : str
        "PC ~ NR" (a path), "NR ~~ PE" (a correlation), "RR ~ PC:PX" (a product); "regulated: PC ~ RE" (the path of a
        level: its difference from the reference level is the effect) or "regulated: AU" (a mean of a level).
    test : str, optional
        What shall find it: as in :func:`find_rows`. Default: the test of the path itself.
    nobs : int, optional
        Default: n of the file.
    change : str, optional
        Of a Monte Carlo file: what is different before the effect is varied.
    power, alpha, precision, level, batch, replications, failures, seed, jobs, cluster, progress, **settings
        As in :func:`find_rows`.

    Returns
    -------
    EffectSearch

    Raises
    ------
    DataError
        For an effect that the file does not have, unknown tests, or numbers out of range.
    """
    check_failures(failures)
    goal = Goal(power=power, precision=precision, level=level, samples=whole_number(replications, "replications", 1))
    whole_number(batch, "batch", 10)
    source = load_source(population)
    if not isinstance(source, Described):
        raise Unsupported(
            "effects of populations in lavaan text are not varied by samples",
            hint="theory holds for them: power(..., detectable=True)",
        )
    study, own = _study(source, model, alpha, settings)
    number = study.seed if isinstance(source, MonteCarloSpec) else None
    base = study.population_spec
    own_model = study.model_spec
    assert base is not None
    assert own_model is not None
    if change is not None and change not in study.conditions.changes:
        raise DataError(f"'{study.id}' has no change '{change}'.{did_you_mean(change, study.conditions.changes)}")
    base = study.changed(base, change or "")
    if isinstance(base, SimulationSpec) and not base.standardized:
        raise Unsupported(
            f"effects of populations with raw values are not varied by samples: '{base.id}' has such values",
            hint="change the value in the file, and ask for the power of each",
        )
    place, null, value, op = _place(base, effect)
    sign = math.copysign(1.0, value - null) if value != null else 1.0
    rows = base.n if nobs is None else whole_number(nobs, "nobs", 2)
    largest = _furthest(base, place, null, sign, op)
    name = test or "".join(effect.split())
    if test is None and op != "~":
        raise DataError(f"which test shall find '{effect}'?", hint="give test=..., such as 'P9' or 'PC~NR'")

    chosen = (base.seed if number is None else number) if seed is None else whole_number(seed, "seed", 0)

    def drawn_at(size: float) -> Sampler:
        # a name of its own for each value: samples of different values are independent
        label = f"effect {size:.12g}"
        changes = {label: _nested(place, null + sign * size)}
        conditions = study.conditions.model_copy(update={"changes": changes})
        one = study.model_copy(update={"conditions": conditions}).tie(base, own_model)
        return make_sampler(one, seed=chosen, tests=(name,), nobs=rows, jobs=jobs, cluster=cluster, change=label, **own)

    counts: list[dict[str, Any]] = []
    alpha_used = study.alpha
    if goal.power <= alpha_used:
        raise DataError(f"power={goal.power!r} with alpha={alpha_used!r}", hint="ask for a power above alpha")

    def look(size: float, visit: int) -> tuple[np.ndarray, np.ndarray]:
        sampler = drawn_at(size)
        at = choose(sampler.tests, (name,))
        if len(at) > 1:
            listing = ", ".join(f"'{sampler.tests[k].test} {sampler.tests[k].group}'" for k in at)
            raise DataError(f"'{name}' stands for several tests", hint=f"choose one: {listing}")
        hit = sampler.draw(rows, visit, batch)[:, at]
        used = int(np.isfinite(hit).sum())
        counts.append({"effect": null + sign * size, "drawn": batch, "used": used, "rejected": int(np.nansum(hit))})
        trials = batch if failures == COUNT else used
        return np.array([float(np.nansum(hit))]), np.array([float(trials)])

    first = abs(value - null) or 0.25 * largest
    pool, (found,) = search(
        look, 1, goal, start=first, smallest=1e-3 * largest, largest=largest, batch=batch, exponent=1.0, whole=False,
        progress=progress,
    )  # fmt: skip
    table = pd.DataFrame(counts).groupby("effect", as_index=False).sum()
    ends = sorted((null + sign * found.lower, null + sign * found.upper))
    return EffectSearch(
        population=study.id,
        model=own_model.id,
        effect=effect,
        test=name,
        nobs=rows,
        value=value,
        null=null,
        detectable=null + sign * found.at,
        lower=ends[0],
        upper=ends[1],
        bound=found.bound,
        precise=found.precise,
        power=power,
        alpha=alpha_used,
        level=level,
        precision=precision,
        replications=pool.spent,
        seed=chosen,
        failures=failures,
        _counts=table,
    )


# ---- which sampler -------------------------------------------------------------------------------------------------


def _study(
    source: Described,
    model: str | Path | ModelSpec | None,
    alpha: float | None,
    settings: Mapping[str, Any],
) -> tuple[MonteCarloSpec, dict[str, Any]]:
    """Return the study, and what of the settings is for the sampler."""
    named = {k: settings[k] for k in ("multiplicity", "moderation", "groups") if k in settings}
    own = {k: settings[k] for k in ("change", "variant", "restrictions") if k in settings}
    options = {k: v for k, v in settings.items() if k not in named and k not in own}
    text = model if model is None or isinstance(model, ModelSpec) else model_text(model)[0]
    return as_study(source, text, alpha=alpha, options=options, **named), own


def _asks_for_rows(
    text: str, model: str | Path | ModelSpec | None, tests: Sequence[str], settings: Mapping[str, Any]
) -> bool:
    """Whether tests of restrictions or definitions are asked for, which samples of moments do not have."""
    if model is None or read_population(text).labels:
        return False
    if settings.get("restrictions"):
        return True
    defined = {constraint.name for constraint in parse_model(model_text(model)[0]).constraints if constraint.op == ":="}
    return any(name.strip() in defined for name in tests)


def _sampler(
    population: Source,
    model: str | Path | ModelSpec | None,
    alpha: float | None,
    tests: Sequence[str],
    seed: int | None,
    jobs: int,
    cluster: str | None,
    folder: str | os.PathLike[str] | None,
    settings: Mapping[str, Any],
) -> tuple[Sampler, int | None]:
    """Return what draws samples, and the rows that a file names."""
    whole_number(jobs, "jobs", 1)
    if seed is not None:
        whole_number(seed, "seed", 0)
    if isinstance(tests, str):
        raise DataError(f"tests={tests!r} is one name", hint="give a list of names")
    place = None if folder is None else Path(folder)
    source = load_source(population)
    named = not isinstance(source, str)
    if isinstance(source, str) and _asks_for_rows(source, model, tests, settings):
        source = described_text("text", TextValues(text=source), "lavaan text")
    if isinstance(source, Described):
        study, own = _study(source, model, alpha, settings)
        drawn = study.population_spec
        assert drawn is not None
        usual = (study.conditions.n or (drawn.n,))[0] if named else None
        number = (study.seed if isinstance(source, MonteCarloSpec) else drawn.seed) if seed is None else seed
        return make_sampler(study, seed=number, tests=tests, jobs=jobs, cluster=cluster, folder=place, **own), usual
    if model is None:
        raise DataError("there is no model to test", hint="give model=..., such as 'Y ~ b*X'")
    given = [name for name in ANSWERS if settings.get(name)]
    if given:
        raise Unsupported(
            f"'{given[0]}' is for simulation and Monte Carlo files, and this population has moments only",
            hint="leave it out, or write a simulation file",
        )
    unknown = [name for name in settings if name not in MOMENT_OPTIONS and name not in ANSWERS]
    if unknown:
        raise DataError(
            f"samples of moments have no option '{unknown[0]}'.{did_you_mean(unknown[0], MOMENT_OPTIONS)}",
            hint="options: " + ", ".join(MOMENT_OPTIONS),
        )
    if isinstance(source, str):
        whole = read_population(source)
        truth = text_population(source) if not whole.labels else None
    elif isinstance(source, Population):
        truth = source
    else:
        truth = next(iter(source.values())) if len(source) == 1 else None
    if truth is None:
        raise Unsupported(
            "groups of a population in lavaan text have no power by samples",
            hint="leave replications out (theory), or write a simulation file with groups",
        )
    if place is not None:
        raise Unsupported("samples of moments take seconds and are not kept", hint="leave folder out")
    options = {k: v for k, v in settings.items() if k in MOMENT_OPTIONS}
    text = model_text(model)[0]
    rate = 0.05 if alpha is None else alpha
    if not 0 < rate < 1:
        raise DataError(f"alpha={rate!r} must lie between 0 and 1", hint="give a number in this range")
    name = model.id if isinstance(model, ModelSpec) else "model"
    return MomentSampler(truth, text, 1 if seed is None else seed, rate, options, jobs, cluster, model=name), None


# ---- effects of a file ---------------------------------------------------------------------------------------------


def _place(spec: SimulationSpec | TextPopulation, effect: str) -> tuple[tuple[int | str, ...], float, float, str]:
    """Return where a file states an effect, its value there when there is none, its value, and its kind."""
    if isinstance(spec, TextPopulation):
        return _text_place(spec, effect)
    level, _, rest = effect.rpartition(":")
    values = spec.values
    groups = spec.groups
    keys = {} if groups is None else {str(key): key for key in groups.levels}
    if groups is not None and level.strip() in keys:
        name, text, own = keys[level.strip()], rest.strip(), groups.levels[keys[level.strip()]]
        if text in own.means:
            return ("groups", "levels", name, "means", text), 0.0, float(own.means[text]), "mean"
        pair = read_pair(text, "~")
        key = next((k for k in own.paths if read_pair(k, "~") == pair), None)
        if key is not None and pair is not None:
            return ("groups", "levels", name, "paths", key), spec.paths()[pair], float(own.paths[key]), "level"
        listing = [f"{name}: {k}" for k in (*own.means, *own.paths)]
        raise DataError(
            f"'{spec.id}' does not state '{effect}'.{did_you_mean(effect, listing)}",
            hint="it states " + ", ".join(listing),
        )
    product = read_product(effect)
    for key, value in values.interactions.items():
        if product is not None and read_product(key) == product:
            return ("values", "interactions", key), 0.0, float(value), ":"
    for op, section, stated in (("~", "paths", values.paths), ("~~", "correlations", values.correlations)):
        pair = read_pair(effect, op)
        for key, value in stated.items():
            if pair is not None and read_pair(key, op) == pair:
                return ("values", section, key), 0.0, float(value), op
    known = [*values.paths, *values.interactions, *values.correlations]
    if groups is not None:
        known += [f"{n}: {k}" for n, own in groups.levels.items() for k in (*own.means, *own.paths)]
    raise DataError(
        f"'{spec.id}' does not state an effect '{effect}'.{did_you_mean(effect, known)}",
        hint="it states " + ", ".join(known),
    )


def _text_place(spec: TextPopulation, effect: str) -> tuple[tuple[int | str, ...], float, float, str]:
    known = {}
    for row in spec.table().rows:
        value = row.start if row.free else row.value
        if row.op in ("~", "~~") and row.lhs != row.rhs and row.user:
            known[f"{row.lhs} {row.op} {row.rhs}"] = (row, 0.0 if value is None else float(value))
    for name, (row, value) in known.items():
        sides = {(row.lhs, row.rhs), (row.rhs, row.lhs)} if row.op == "~~" else {(row.lhs, row.rhs)}
        if read_pair(effect, row.op) in sides:
            return ("values", name), 0.0, value, row.op
    raise DataError(
        f"'{spec.id}' does not state an effect '{effect}'.{did_you_mean(effect, known)}",
        hint="it states " + ", ".join(known),
    )


def _nested(place: Sequence[int | str], value: float) -> dict[str, Any]:
    out: Any = value
    for name in reversed(place):
        out = {name: out}
    return dict(out)


def _furthest(
    spec: SimulationSpec | TextPopulation, place: Sequence[int | str], null: float, sign: float, op: str
) -> float:
    """Return the largest distance from no effect at which the population exists."""
    most = FURTHEST.get(op, FURTHEST["~"])

    def possible(size: float) -> bool:
        try:
            changed = changed_population(spec, _nested(place, null + sign * size))
            if any(not problem.weak for problem in changed.problems()):
                return False
            plan_of(changed)
        except (SpecError, ValueError):  # an impossible population, or a value that a file may not have
            return False
        return True

    if possible(most):
        return most
    low, high = 0.0, most
    while high - low > 1e-4 * most:
        middle = (low + high) / 2.0
        low, high = (middle, high) if possible(middle) else (low, middle)
    if low == 0.0:
        raise DataError("no value of this effect is possible beside the others", hint="make other values smaller")
    return low
