"""Power from samples: what is asked of anything that draws samples, and what is made of its rejections.

A :class:`Sampler` draws samples of a size and says for each of them which tests reject. Two do so:
:class:`MomentSampler` here, for normal populations that are moments, and
:class:`b2b_sem.simulate.power_trial.TrialSampler`, for simulated answers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special

from b2b_sem.analysis.montecarlo import MonteCarlo, Population, monte_carlo
from b2b_sem.analysis.power_search import Goal, search
from b2b_sem.engine.effect import find_effects
from b2b_sem.engine.inference import count_df
from b2b_sem.engine.native.constraint import linear_constraints
from b2b_sem.engine.native.implied import compile_structure
from b2b_sem.errors import DataError, did_you_mean
from b2b_sem.results.power_sample import BASIS, COUNT, EXCLUDE, RowSearch, SampledPower
from b2b_sem.spec.partable import build_table
from b2b_sem.spec.syntax import parse_model

__all__ = [
    "CHI_SQUARE",
    "MomentSampler",
    "PowerTest",
    "Sampler",
    "choose",
    "effect_paths",
    "joint_hits",
    "sample_power",
    "search_rows",
    "together",
]

Array = npt.NDArray[np.float64]
CHI_SQUARE = "chi-square"
#: Most rows that a search tries with moments; drawing them costs nothing.
MOST = 1_000_000


@dataclass(frozen=True)
class PowerTest:
    """One test that samples make.

    Attributes
    ----------
    kind : str
        "path", "parameter", "definition", "restriction", "difference", "indirect", "model", "proposition", "together".
    test, group, method : str
    value : float
        In the population, where it is known.
    usual : bool
        Whether it is made if no tests are asked for.
    parts : tuple of int
        Places of the tests that must all reject, for "together".
    """

    kind: str
    test: str
    group: str = ""
    method: str = "Wald"
    value: float = math.nan
    usual: bool = True
    parts: tuple[int, ...] = ()


class Sampler(Protocol):
    """What draws samples.

    Attributes
    ----------
    population, model : str
        What they are called.
    tests : tuple of PowerTest
        All that are made.
    seed : int
    alpha : float
    smallest, largest : int
        Rows that make sense.
    notes : tuple of str
    why : dict of int to str
        For numbers of rows at which samples failed: the most frequent reason so far.
    """

    population: str
    model: str
    tests: tuple[PowerTest, ...]
    seed: int
    alpha: float
    smallest: int
    largest: int
    notes: tuple[str, ...]
    why: dict[int, str]

    def draw(self, size: int, visit: int, count: int) -> Array:
        """Draw `count` samples of `size` rows and test.

        Visit v to a size draws samples v * count to (v + 1) * count - 1 of it, whatever else was drawn before.

        Returns
        -------
        (count, T) array
            1 where a test rejects, 0 where it does not, NaN where it could not be made.
        """
        ...  # pragma: no cover


def sample_power(
    sampler: Sampler,
    sizes: Sequence[int],
    *,
    nobs: int,
    replications: int,
    power: float = 0.80,
    level: float = 0.95,
    failures: str = COUNT,
    tests: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> SampledPower:
    """Return the shares of samples that reject, at each number of rows.

    Parameters
    ----------
    sampler : Sampler
    sizes : sequence of int
        `nobs` is drawn, too.
    nobs : int
    replications : int
        Samples at each number of rows.
    power, level : float
    failures : {"count", "exclude"}
    tests : sequence of str
        Names; default: the usual ones.
    progress : callable, optional
        Called with samples drawn and to be drawn.
    """
    check_failures(failures)
    Goal(power=power, level=level)
    every = sorted({int(nobs), *(int(v) for v in sizes)})
    for size in every:
        if size < 2:
            raise DataError(f"{size} rows are no sample", hint="give larger numbers")
    wanted, at = _pick(sampler.tests, tests)
    parts = []
    for done, size in enumerate(every):
        parts.append(_counts(wanted, size, _picked(sampler.draw(size, 0, replications), wanted, at)))
        if progress is not None:
            progress((done + 1) * replications, len(every) * replications)
    counts = _made(pd.concat(parts, ignore_index=True), tests)
    return SampledPower(
        population=sampler.population,
        model=sampler.model,
        nobs=int(nobs),
        power=power,
        alpha=sampler.alpha,
        level=level,
        replications=replications,
        seed=sampler.seed,
        failures=failures,
        notes=(*sampler.notes, *_lost(counts, sampler.why)),
        _counts=counts,
    )


def search_rows(
    sampler: Sampler,
    *,
    goal: Goal,
    start: int,
    batch: int = 250,
    failures: str = COUNT,
    tests: Sequence[str] = (),
    largest: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> RowSearch:
    """Search the smallest numbers of rows at which tests have the asked power.

    Parameters
    ----------
    sampler : Sampler
    goal : Goal
    start : int
        First number of rows, such as that of theory.
    batch : int
        Samples in a visit to a number of rows.
    failures : {"count", "exclude"}
        Whether samples without a solution count against the power.
    tests : sequence of str
        Names; default: the usual ones.
    largest : int, optional
        Most rows that are tried.
    progress : callable, optional
        Called with samples drawn and the most there may be.

    Raises
    ------
    DataError
        For unknown tests or numbers out of range.
    """
    check_failures(failures)
    if goal.power <= sampler.alpha:
        raise DataError(f"power={goal.power!r} with alpha={sampler.alpha!r}", hint="ask for a power above alpha")
    if batch < 10:
        raise DataError(f"batch={batch!r}", hint="draw at least 10 samples at a time")
    # a chi-square test that rejects a true model is nothing to wait for
    names = tests or [f"{t.test} {t.group}" for t in sampler.tests if t.usual and t.kind != "model"]
    wanted, at = _pick(sampler.tests, names, whole=bool(tests))
    most = sampler.largest if largest is None else int(largest)
    if most < sampler.smallest:
        raise DataError(f"largest={most!r} rows", hint=f"the model needs at least {sampler.smallest} rows")

    def look(size: float, visit: int) -> tuple[Array, Array]:
        one = _counts(wanted, int(size), _picked(sampler.draw(int(size), visit, batch), wanted, at))
        drawn.append(one)
        trials = one["drawn" if failures == COUNT else "used"]
        return one["rejected"].to_numpy(dtype=float), trials.to_numpy(dtype=float)

    drawn: list[pd.DataFrame] = []
    pool, found = search(
        look,
        len(wanted),
        goal,
        start=start,
        smallest=sampler.smallest,
        largest=most,
        batch=batch,
        progress=progress,
    )
    counts = pd.concat(drawn, ignore_index=True)
    keys = ["kind", "test", "group", "method", "value", "nobs"]
    counts = counts.groupby(keys, as_index=False, sort=False, dropna=False).sum()
    counts = counts.sort_values("nobs", kind="stable", ignore_index=True)
    rows = []
    for test, one in zip(wanted, found, strict=True):
        head = _head(test)
        head.insert(4, ("basis", BASIS))
        exact = math.ceil(one.at - 1e-9) if math.isfinite(one.at) else math.nan
        numbers = {"rows": float(exact), "lower": one.lower, "upper": one.upper, "bound": one.bound}
        rows.append(dict(head) | numbers | {"precise": one.precise})
    notes = [*sampler.notes, *_lost(counts, sampler.why)]
    if any(f.bound == "more than" for f in found):
        notes.append(f"More than {most} rows were not tried: is there an effect?")
    if not all(f.precise for f in found):
        notes.append("Some intervals are wider than asked: allow more samples.")
    return RowSearch(
        population=sampler.population,
        model=sampler.model,
        power=goal.power,
        alpha=sampler.alpha,
        level=goal.level,
        precision=goal.precision,
        replications=pool.spent,
        seed=sampler.seed,
        failures=failures,
        notes=tuple(notes),
        _table=pd.DataFrame(rows),
        _counts=counts,
    )


def check_failures(failures: str) -> None:
    """Refuse an unknown way to treat samples without a solution."""
    if failures not in (COUNT, EXCLUDE):
        raise DataError(
            f"failures={failures!r}.{did_you_mean(str(failures), (COUNT, EXCLUDE))}", hint="use 'count' or 'exclude'"
        )


def _head(test: PowerTest) -> list[tuple[str, Any]]:
    return [
        ("kind", test.kind),
        ("test", test.test),
        ("group", test.group),
        ("method", test.method),
        ("value", test.value),
    ]


def _pick(tests: Sequence[PowerTest], names: Sequence[str], *, whole: bool = True) -> tuple[list[PowerTest], list[int]]:
    """Return the tests that are reported, and the places of those that are drawn; the last may be all together."""
    at = choose(tests, names)
    wanted = [tests[k] for k in at]
    if whole and names and len(_single(wanted)) > 1 and not any(t.kind == "together" for t in wanted):
        wanted.append(PowerTest("together", "all tests", method="all"))
    return wanted, at


def _single(tests: Sequence[PowerTest]) -> list[int]:
    """Return the places of tests of one effect: a model that fits badly is nothing to wish for."""
    return [k for k, t in enumerate(tests) if t.kind not in ("model", "together")]


def _picked(hit: Array, wanted: Sequence[PowerTest], at: Sequence[int]) -> Array:
    own = hit[:, list(at)]
    if len(wanted) > len(at):
        own = np.column_stack([own, joint_hits(own, _single(wanted[:-1]))])
    return own


def _counts(tests: Sequence[PowerTest], size: int, hit: Array) -> pd.DataFrame:
    """Return one row a test: drawn, used, rejected."""
    used, rejected = np.isfinite(hit).sum(axis=0), np.nansum(hit, axis=0)
    rows = [
        dict(_head(t)) | {"nobs": size, "drawn": len(hit), "used": int(used[k]), "rejected": int(rejected[k])}
        for k, t in enumerate(tests)
    ]
    return pd.DataFrame(rows)


def _made(counts: pd.DataFrame, asked: Sequence[str]) -> pd.DataFrame:
    """Return the counts without tests that fits of this kind do not make, unless they were asked for."""
    if asked or not counts["used"].any():
        return counts
    never = counts.groupby(["kind", "test", "group"])["used"].transform("sum") == 0
    return counts[~never].reset_index(drop=True)


def _lost(counts: pd.DataFrame, why: Mapping[int, str]) -> list[str]:
    """Say where many samples could not be used, and why."""
    out = []
    for size, own in counts.groupby("nobs"):
        drawn, most = int(own["drawn"].max()), int(own["used"].max())
        text = f"n = {size}: {drawn - most} of {drawn} samples have no usable solution" if drawn > most else ""
        reason = why.get(int(own["nobs"].iloc[0]), "") if text else ""
        text += f" (most often: {reason})" if reason else ""
        fewer = own[(most - own["used"]) * 100 > drawn]
        if len(fewer):
            worst = fewer.sort_values("used", kind="stable").to_dict("records")[0]
            which = f"{worst['test']} {worst['group']}".strip()
            text += "; " if text else f"n = {size}: "
            text += f"{which} could be tested in {int(worst['used'])} of {drawn}"
        if text and (drawn - int(own["used"].min())) * 100 > drawn:
            out.append(f"{text}. 'power' leaves these out, 'power_all' counts them as not found.")
    return out


def choose(tests: Sequence[PowerTest], names: Sequence[str]) -> list[int]:
    """Return the places of the tests that names stand for; those that are usual without names.

    Spaces do not matter.

    Raises
    ------
    DataError
        If there is no such test.
    """
    if not names:
        return [k for k, t in enumerate(tests) if t.usual]
    known: dict[str, list[int]] = {}
    for k, t in enumerate(tests):
        for name in {_short(t.test), _short(f"{t.test} {t.group}")}:
            known.setdefault(name, []).append(k)
    out: list[int] = []
    for name in names:
        if _short(name) not in known:
            shown = {_short(t.test): t.test for t in tests}
            raise DataError(
                f"there is no test '{name}'.{did_you_mean(_short(name), shown)}",
                hint="tests: " + ", ".join(list(dict.fromkeys(shown.values()))[:40]),
            )
        out += [k for k in known[_short(name)] if k not in out]
    return out


def _short(name: str) -> str:
    return "".join(str(name).split())


def effect_paths(model: str, **shaping: Any) -> tuple[str, ...]:
    """Return the specific indirect effects of a model, as ``"F -> M -> Y"``."""
    # effects are the same whether predictors are fixed, and their values need not be known
    table = build_table(parse_model(model), **{**shaping, "fixed_x": False})
    found = find_effects(table, compile_structure(table, {}))
    return tuple(effect.path for effect in found.effects if effect.kind == "specific")


def joint_hits(hit: Array, places: Sequence[int]) -> Array:
    """Return whether all of several tests reject: NaN where one of them could not be made."""
    own = hit[:, list(places)]
    return (
        np.where(np.isfinite(own).all(axis=1), own.min(axis=1), np.nan) if own.shape[1] else np.full(len(own), np.nan)
    )


def together(tests: Sequence[PowerTest]) -> list[PowerTest]:
    """Return tests that several tests of one kind reject together: all paths, all propositions."""
    out = []
    for kind, name in (("path", "all paths"), ("proposition", "all propositions")):
        parts = tuple(k for k, t in enumerate(tests) if t.kind == kind and t.usual)
        if len(parts) > 1:
            out.append(PowerTest("together", name, method="all", parts=parts))
    return out


@dataclass
class MomentSampler:
    """Normal samples from the moments of one group, drawn and fitted in batches.

    Attributes
    ----------
    truth : Population
    text : str
        The model.
    options : mapping
        Of :func:`~b2b_sem.analysis.montecarlo.monte_carlo`.
    folder : Path, optional
        Where finished blocks are kept and looked for.

    See :class:`Sampler` for the others.
    """

    truth: Population
    text: str
    seed: int
    alpha: float
    options: dict[str, Any]
    jobs: int = 1
    cluster: str | None = None
    folder: Path | None = None
    population: str = "moments"
    model: str = "model"
    largest: int = MOST
    notes: tuple[str, ...] = ()
    why: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shaping = {k: v for k, v in self.options.items() if k in ("std_lv", "orthogonal", "meanstructure")}
        table = build_table(parse_model(self.text), fixed_x=False, **shaping)
        self.smallest = len(table.observed) + 1
        free = {r.free: r for r in reversed(table.rows) if r.free}
        tests = []
        for row in (free[k] for k in sorted(free)):
            kind = "path" if row.op == "~" else "parameter"
            key = (row.rhs, row.op, row.lhs) if row.op == "~~" and row.rhs < row.lhs else (row.lhs, row.op, row.rhs)
            value = self.truth.values.get(key, math.nan)
            tests.append(PowerTest(kind, "".join(key), value=value, usual=kind == "path"))
        self._free = {t.test: k for k, t in enumerate(tests)}
        tests += together(tests)
        for path in effect_paths(self.text, **shaping):
            steps = [f"{b}~{a}" for a, b in pairwise(path.split(" -> "))]
            values = [next((t.value for t in tests if t.test == s), math.nan) for s in steps]
            at = tuple(self._free[s] for s in steps if s in self._free)
            tests.append(PowerTest("indirect", path, method="joint", value=math.prod(values), parts=at))
        if count_df(table, linear_constraints(table))[2] > 0:
            tests.append(PowerTest("model", CHI_SQUARE, method=CHI_SQUARE))
        self.tests: tuple[PowerTest, ...] = tuple(tests)

    def draw(self, size: int, visit: int, count: int) -> Array:
        """Draw and test, as :meth:`Sampler.draw`."""
        # a seed of its own for each number of rows and visit: shares at different rows are independent
        words = np.random.SeedSequence(self.seed, spawn_key=(size, visit)).generate_state(2, np.uint32)
        own = int(words[0]) << 32 | int(words[1])
        drawn = monte_carlo(
            self.truth,
            self.text,
            nobs=size,
            n=count,
            seed=own,
            jobs=self.jobs,
            cluster=self.cluster,
            folder=None if self.folder is None else self.folder / f"n{size}" / f"visit-{visit}",
            **self.options,
        )
        return self._hits(drawn)

    def _hits(self, drawn: MonteCarlo) -> Array:
        z = float(special.ndtri(1.0 - self.alpha / 2.0))
        with np.errstate(invalid="ignore", divide="ignore"):
            tested = drawn.converged[:, None] & np.isfinite(drawn.se) & (drawn.se > 0)
            single = np.where(tested, np.abs(drawn.theta / drawn.se) > z, np.nan)
        columns = {"".join(key): k for k, key in enumerate(drawn.names)}
        hit = np.full((drawn.n, len(self.tests)), np.nan)
        for k, test in enumerate(self.tests):
            if test.parts:
                hit[:, k] = joint_hits(hit, test.parts)
            elif test.kind == "model":
                hit[:, k] = np.where(drawn.converged & (drawn.df > 0), drawn.pvalue < self.alpha, np.nan)
            elif test.kind != "indirect":
                hit[:, k] = single[:, columns[test.test]]
        return hit
