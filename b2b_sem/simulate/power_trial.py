"""Power by simulated answers: what the tests of a study say about samples of any size from a population file."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2b_sem.analysis.power_sample import CHI_SQUARE, PowerTest, effect_paths, joint_hits, together
from b2b_sem.engine.blocks import run_blocks
from b2b_sem.errors import DataError, ModelSyntaxError, Unsupported, did_you_mean
from b2b_sem.results.io import write_text
from b2b_sem.results.verdict import NOT_TESTABLE, SUPPORTED
from b2b_sem.simulate.decision import VERDICTS
from b2b_sem.simulate.draw import Plan
from b2b_sem.simulate.estimand import true_values
from b2b_sem.simulate.experiment import plan_of, prepare_trial
from b2b_sem.simulate.folder import prepare_folder
from b2b_sem.simulate.text import TextPlan
from b2b_sem.simulate.trial import FIT_MEASURES, Key, Trial, check_options, key_of, model_rows, prepare_batch
from b2b_sem.spec import expression
from b2b_sem.spec.base import FitSettings
from b2b_sem.spec.model import ModelSpec, Proposition, model_from_lavaan
from b2b_sem.spec.montecarlo import Condition, MonteCarloSpec
from b2b_sem.spec.simulation import SimulationSpec
from b2b_sem.spec.statement import Statement, Term, render, split_statements
from b2b_sem.spec.syntax import parse_model
from b2b_sem.spec.text import TextPopulation

__all__ = ["MOST", "TrialSampler", "as_study", "make_sampler"]

Array = NDArray[np.float64]
#: Most rows that a search tries by default.
MOST = 20_000
_KEPT = 8
_SUPPORTED, _UNTESTED = VERDICTS.index(SUPPORTED), VERDICTS.index(NOT_TESTABLE)


def as_study(
    population: SimulationSpec | TextPopulation | MonteCarloSpec,
    model: str | ModelSpec | None = None,
    *,
    alpha: float | None = None,
    multiplicity: str | None = None,
    moderation: bool | None = None,
    groups: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> MonteCarloSpec:
    """Return the Monte Carlo study that samples of a population belong to.

    Parameters
    ----------
    population : SimulationSpec, TextPopulation or MonteCarloSpec
        What a study says holds where nothing else is asked for here.
    model : str or ModelSpec, optional
        The model to be fitted, such as lavaan syntax.
    alpha, multiplicity, moderation, groups, options
        As in a Monte Carlo file.

    Raises
    ------
    DataError
        For unknown options, and a model that needs what the population does not have.
    """
    drawn: SimulationSpec | TextPopulation | None
    if isinstance(population, MonteCarloSpec):
        study, drawn, own = population, population.population_spec, population.model_spec
    else:
        drawn, own = population, population.model_spec
        study = MonteCarloSpec(
            kind="montecarlo",
            schema_version=population.schema_version,
            id=population.id,
            title=population.title,
            population=population.id,
        )
    if drawn is None or own is None:
        raise DataError(f"'{population.id}' was built without its model", hint="load it from a file")
    if model is not None:
        own = model if isinstance(model, ModelSpec) else model_from_lavaan("model", model)
        own = own.with_survey(None if isinstance(drawn, TextPopulation) else drawn.survey_spec)
    over: dict[str, Any] = {"alpha": alpha, "multiplicity": multiplicity, "moderation": moderation, "groups": groups}
    over = {name: value for name, value in over.items() if value is not None}
    if options:
        known = [name for name in FitSettings.model_fields if name != "seed"]
        for name in options:
            if name not in known:
                raise DataError(
                    f"there is no option '{name}' of a fit.{did_you_mean(name, known)}",
                    hint="power by samples takes the options of fit: " + ", ".join(known),
                )
        over["options"] = {**study.options.stated(), **options}
    made = study.with_settings(over)
    for problem in made.problems_with(drawn, own):
        raise DataError(problem.message, hint=problem.hint)
    return made.tie(drawn, own)


@dataclass(frozen=True, eq=False)
class _Later:
    """Blocks of a trial from a certain one on."""

    trial: Trial
    first: int

    def run(self, block: int) -> dict[str, Any]:
        return self.trial.run(self.first + block)


@dataclass
class TrialSampler:
    """Samples of simulated respondents, drawn and fitted as a Monte Carlo study does.

    Replication k of n respondents is that of :func:`b2b_sem.monte_carlo` with the same seed and change.

    Attributes
    ----------
    spec : MonteCarloSpec
    plan : Plan or TextPlan
        The population with its change.
    cell : Condition
        Change and options.
    extra : tuple of (PowerTest, str)
        Further tests, each of a ``:=`` line behind the model.
    folder : Path, optional
        Where finished blocks are kept and looked for.
    first : int
        Number of respondents that the tests are listed with; any that a model can be fitted to.

    See :class:`b2b_sem.analysis.power_sample.Sampler` for the others.
    """

    spec: MonteCarloSpec
    plan: Plan | TextPlan
    cell: Condition
    seed: int
    extra: tuple[tuple[PowerTest, str], ...] = ()
    text: str = ""
    jobs: int = 1
    cluster: str | None = None
    folder: Path | None = None
    largest: int = MOST
    notes: tuple[str, ...] = ()
    why: dict[int, str] = field(default_factory=dict)
    first: int = 500
    _trials: dict[int, Trial] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.alpha = self.spec.alpha
        trial = self._trial(self.first)
        self.smallest = len(_observed(trial)) + 1
        model = self.spec.model_spec
        assert model is not None  # prepared with it
        self.population, self.model = self.spec.id, model.id
        self.tests = self._tests(trial)
        if trial.batch is None:
            self.notes = (*self.notes, f"Each sample is fitted by itself ({trial.reason}).")
        if trial.propositions and self.spec.multiplicity != "none":
            self.notes = (
                *self.notes,
                f"Verdicts on propositions rest on p-values adjusted by {self.spec.multiplicity}; other tests do not.",
            )

    def draw(self, size: int, visit: int, count: int) -> Array:
        """Draw and test, as :meth:`b2b_sem.analysis.power_sample.Sampler.draw`."""
        trial = self._trial(size)
        # blocks that make up a visit exactly, so that no sample is drawn in two visits
        step = min(trial.size, count)
        if visit:
            step = max(d for d in range(1, step + 1) if count % d == 0)
        task = _Later(replace(trial, size=step), visit * count // step)
        folder = None
        if self.folder is not None:
            folder = self.folder / f"n{size}" / f"{visit}-{count}-{step}"
        found = run_blocks(task, "run", -(-count // step), self.jobs, folder, None, size=step, cluster=self.cluster)
        found = {name: part[:count] for name, part in found.items()}
        lost = Counter(str(text) for text in found["why"][~np.isfinite(found["est"]).any(axis=1)] if text)
        if lost:
            self.why[size] = lost.most_common(1)[0][0]
        return self._hits(trial, found)

    def _trial(self, size: int) -> Trial:
        """Return the trial of a number of respondents."""
        if size not in self._trials:
            if len(self._trials) >= _KEPT:  # each holds arrays of a fit
                self._trials.pop(next(iter(self._trials)))
            cell = replace(self.cell, n=size, name=f"n={size}")
            trial = prepare_trial(self.spec, self.plan, cell, self.seed)
            if self.extra or self.text:
                trial = _extended(trial, self.text or trial.text, [line for _, line in self.extra])
            self._trials[size] = trial
        return self._trials[size]

    def _tests(self, trial: Trial) -> tuple[PowerTest, ...]:
        """Return what each sample is tested for, in the order in which :meth:`_hits` gives it."""
        true = true_values(self.plan, trial)
        named = {line.split(":=")[0].strip() for _, line in self.extra}
        tests = []
        for key, value in zip(trial.rows, true, strict=True):
            lhs, op, rhs, group = key
            if op == ":=":
                if lhs not in named:
                    tests.append(PowerTest("definition", lhs))
                continue
            kind = "path" if op == "~" else "parameter"
            tests.append(PowerTest(kind, f"{lhs}{op}{rhs}", group, value=float(value), usual=kind == "path"))
        tests += [test for test, _ in self.extra]
        tests += self._indirect(trial, true)
        testable = self._testable(trial)
        tests += [PowerTest("proposition", p.id, method="verdict", usual=p.id in testable) for p in trial.propositions]
        tests += together(tests)
        tests.append(PowerTest("model", CHI_SQUARE, method=CHI_SQUARE))
        return tuple(tests)

    def _indirect(self, trial: Trial, true: Array) -> list[PowerTest]:
        known = dict(zip(trial.rows, true, strict=True))
        settings = trial.condition.settings.stated()
        shaping = {k: settings[k] for k in ("std_lv", "orthogonal", "meanstructure", "fixed_x") if k in settings}
        groups = tuple(dict.fromkeys(key[3] for key in trial.rows if key[1] == "~"))
        linear = render(_linear(trial.text))
        out = []
        for path in effect_paths(linear, **shaping):
            for group in groups:
                keys = [key_of(b, "~", a, group) for a, b in pairwise(path.split(" -> "))]
                if all(k in known for k in keys):
                    value = math.prod(float(known[k]) for k in keys)
                    out.append(PowerTest("indirect", path, group, "joint", value))
        return out

    def _testable(self, trial: Trial) -> frozenset[str]:
        """Return the propositions that a fit of these settings can decide."""

        def fits(p: Proposition) -> bool:
            if p.test == "moderation":
                return self.spec.moderation
            return p.test != "group" or (self.spec.groups is not None and p.group == self.spec.groups)

        return frozenset(p.id for p in trial.propositions if fits(p))

    def _hits(self, trial: Trial, found: Mapping[str, Any]) -> Array:
        """Return what rejects: (R, T)."""
        pvalue = found["pvalue"]
        with np.errstate(invalid="ignore"):
            single = np.where(np.isfinite(pvalue), pvalue < self.alpha, np.nan)
        at: dict[Key | tuple[str, str], int] = {key: k for k, key in enumerate(trial.rows)}
        definitions = {key[0]: k for k, key in enumerate(trial.rows) if key[1] == ":="}
        lines = {test: line.split(":=")[0].strip() for test, line in self.extra}
        places = {p.id: k for k, p in enumerate(trial.propositions)}
        hit = np.full((len(pvalue), len(self.tests)), np.nan)
        for k, test in enumerate(self.tests):
            if test.kind in ("path", "parameter"):
                hit[:, k] = single[:, next(c for key, c in at.items() if _is(key, test))]
            elif test in lines:
                hit[:, k] = single[:, definitions[lines[test]]]
            elif test.kind == "definition":
                hit[:, k] = single[:, definitions[test.test]]
            elif test.kind == "indirect":
                keys = [key_of(b, "~", a, test.group) for a, b in pairwise(test.test.split(" -> "))]
                hit[:, k] = joint_hits(single, [at[key] for key in keys])
            elif test.kind == "proposition":
                verdict = found["verdict"][:, places[test.test]]
                hit[:, k] = np.where(verdict == _UNTESTED, np.nan, verdict == _SUPPORTED)
            elif test.kind == "model":
                p = [found["measures"][:, FIT_MEASURES.index(name)] for name in ("pvalue_scaled", "pvalue")]
                chosen = np.where(np.isfinite(p[0]), p[0], p[1])
                with np.errstate(invalid="ignore"):
                    hit[:, k] = np.where(np.isfinite(chosen), chosen < self.alpha, np.nan)
            else:
                hit[:, k] = joint_hits(hit, test.parts)
        return hit


def _is(key: Any, test: PowerTest) -> bool:
    return bool(f"{key[0]}{key[1]}{key[2]}" == test.test and key[3] == test.group and key[1] != ":=")


def _observed(trial: Trial) -> set[str]:
    """Return the observed variables that the model is about."""
    names = {n for s in split_statements(trial.text) if s.op in ("=~", "~", "~~") for n in _sides(s)}
    return names & set(trial.plan.items)


def _sides(statement: Statement) -> set[str]:
    return {statement.lhs, *(part for t in statement.terms for part in t.variable.split(":"))}


def _linear(text: str) -> list[Statement]:
    """Return the statements of a model for one group, without products and definitions."""
    out = []
    for s in split_statements(text):
        if s.op in ("=~", "~", "~~"):
            terms = tuple(
                replace(t, modifier="") if t.modifier.startswith("c(") else t for t in s.terms if ":" not in t.variable
            )
            if terms:
                out.append(replace(s, terms=terms))
    return out


def _extended(trial: Trial, text: str, lines: Sequence[str]) -> Trial:
    """Return a trial of a model with further lines."""
    whole = "\n".join([text, *lines])
    groups = tuple(dict.fromkeys(key[3] for key in trial.rows if key[3]))
    settings = trial.condition.settings.stated()
    made = replace(trial, text=whole, rows=model_rows(whole, settings, groups, raw=trial.raw), batch=None, reason="")
    batch, reason = prepare_batch(made)
    return replace(made, batch=batch, reason=reason)


def make_sampler(
    spec: MonteCarloSpec,
    *,
    seed: int,
    change: str | None = None,
    variant: str | None = None,
    tests: Sequence[str] = (),
    restrictions: Sequence[str] = (),
    nobs: int | None = None,
    jobs: int = 1,
    cluster: str | None = None,
    folder: Path | None = None,
) -> TrialSampler:
    """Prepare samples of one condition of a study, whatever its sizes.

    Parameters
    ----------
    spec : MonteCarloSpec
    seed : int
    change, variant : str, optional
        Names of a change of the population and of a set of options, where the study has several.
    tests : sequence of str
        Propositions among them decide whether products and groups are fitted, too.
    restrictions : sequence of str
        ``"a == b"`` with labels of the model: each is a Wald test of its own.
    nobs : int, optional
        A number of respondents that will be drawn.
    jobs, cluster, folder
        As in :func:`b2b_sem.monte_carlo`.

    Raises
    ------
    DataError
        If there is no such change or variant, or propositions need different groups.
    Unsupported
        For restrictions on several parameters at once.
    """
    spec = _with_claims(spec, tests)
    cells = spec.cells()
    cell = cells[0]
    for name, asked, attribute in (("change", change, "change"), ("variant", variant, "options")):
        known = list(dict.fromkeys(getattr(c, attribute) for c in cells))
        if asked is None and len(known) > 1:
            raise DataError(f"'{spec.id}' has several: {', '.join(known)}", hint=f"choose one with {name}=...")
        if asked is not None and asked not in known:
            named = [k for k in known if k]
            raise DataError(
                f"'{spec.id}' has no {name} '{asked}'.{did_you_mean(asked, named)}",
                hint="it has " + (", ".join(named) or "none: leave it out"),
            )
        cells = tuple(c for c in cells if getattr(c, attribute) == (known[0] if asked is None else asked))
        cell = cells[0]
    population = spec.population_spec
    assert population is not None  # cells() would have raised
    plan = plan_of(spec.changed(population, cell.change))
    size = max(plan.spec.n if nobs is None else nobs, 2 * len(plan.items))
    plain = prepare_trial(spec, plan, replace(cell, n=size, name=f"n={size}"), seed)
    check_options(plain)
    text, differences = _differences(plain, plan)
    asked_for = [_restriction(k, line) for k, line in enumerate(restrictions, 1)]
    extra = (*differences, *asked_for)
    if folder is not None:
        prepare_folder(folder, spec, seed)
        folder = folder / "-".join(filter(None, ("samples", cell.change, cell.options)))
        mark, content = folder / "tests.txt", "\n".join([text, *(line for _, line in extra)])
        if mark.exists() and mark.read_text(encoding="utf-8") != content:
            raise DataError("this folder holds samples with other tests", file=folder, hint="give another folder")
        write_text(mark, content)
    ready = {} if extra or text else {size: plain}
    return TrialSampler(spec, plan, cell, seed, extra, text, jobs, cluster, folder, first=size, _trials=ready)


def _with_claims(spec: MonteCarloSpec, tests: Sequence[str]) -> MonteCarloSpec:
    """Return the study with what the asked propositions need."""
    model, population = spec.model_spec, spec.population_spec
    assert model is not None
    assert population is not None
    asked = [p for p in model.propositions if p.id in {t.strip() for t in tests}]
    splits = {p.group for p in asked if p.test == "group" and p.group is not None} | ({spec.groups} - {None})
    if len(splits) > 1:
        raise DataError(
            f"these propositions compare different groups: {', '.join(sorted(map(str, splits)))}",
            hint="ask for the tests of one group at a time",
        )
    made = spec.model_copy(
        update={
            "moderation": spec.moderation or any(p.test == "moderation" for p in asked),
            "groups": next(iter(splits), None),
        }
    ).tie(population, model)
    for problem in made.problems_with(population, model):
        raise DataError(problem.message, hint=problem.hint)
    return made


def _restriction(number: int, text: str) -> tuple[PowerTest, str]:
    """Return the test of a restriction, and the line that makes it."""
    parsed = parse_model(text)
    if parsed.entries or not parsed.constraints or any(c.op != "==" for c in parsed.constraints):
        raise ModelSyntaxError(f"'{text}' is no restriction of labels", hint="write 'a == b'")
    if len(parsed.constraints) > 1:
        raise Unsupported(
            f"'{text}' restricts several parameters at once: by samples each restriction is tested alone",
            hint="give them one by one, or leave replications out",
        )
    left, right = (expression.render(side) for side in (parsed.constraints[0].left, parsed.constraints[0].right))
    return PowerTest("restriction", text, ""), f"restriction_{number} := ({left}) - ({right})"


def _differences(trial: Trial, plan: Plan | TextPlan) -> tuple[str, tuple[tuple[PowerTest, str], ...]]:
    """Return the model with labels, and the tests that paths differ between two groups; nothing without groups."""
    levels = tuple(dict.fromkeys(key[3] for key in trial.rows if key[3]))
    if len(levels) != 2:
        return "", ()
    # two levels only: which of them a fit calls the first depends on the sample, and the test does not
    value = dict(zip(trial.rows, true_values(plan, trial), strict=True))
    statements: list[Statement] = []
    tests: list[tuple[PowerTest, str]] = []
    for s in split_statements(trial.text):
        terms = []
        for term in s.terms:
            if s.op == "~" and not term.modifier and ":" not in term.variable and term.variable != "1":
                name = f"difference_{len(tests) + 1}"
                true = [float(value.get(key_of(s.lhs, "~", term.variable, g), math.nan)) for g in levels]
                test = PowerTest(
                    "difference", f"{s.lhs}~{term.variable}", f"{levels[1]} - {levels[0]}", value=true[1] - true[0]
                )
                tests.append((test, f"{name} := {name}_a - {name}_b"))
                term = Term(f"c({name}_a, {name}_b)*", term.variable)
            terms.append(term)
        statements.append(replace(s, terms=tuple(terms)))
    return render(statements), tuple(tests)
