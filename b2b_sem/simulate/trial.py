"""One condition of a Monte Carlo study: draw samples, fit the model to each, note what came out.

Replication k of a condition has a seed of its own, which follows from the seed of the study, the sample size, the
change of the population and k alone: ``simulate(population, n, seed=replication_seed(...))`` draws its respondents
again. There are two ways to the same numbers: ``bs.fit`` for each sample, and, for maximum likelihood with complete
answers, the batched engine, which hands samples that give it trouble to the other one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.random import SeedSequence
from numpy.typing import NDArray
from scipy import special

from b2b_sem.analysis.claim_test import compare_split_claims, is_testable, settled
from b2b_sem.analysis.moderation_claim import moderation_claim
from b2b_sem.analysis.split import split_answers
from b2b_sem.analysis.structural import fit as fit_model
from b2b_sem.data.observed import GroupMoments, Observed
from b2b_sem.data.read import Responses
from b2b_sem.data.score import rules_from_survey, score
from b2b_sem.engine.base import FitOptions, moments_divisor
from b2b_sem.engine.native.constraint import linear_constraints
from b2b_sem.engine.problem import prepare, solve
from b2b_sem.engine.replicate import Replicator, replicator
from b2b_sem.engine.rowerror import MEASURES, infer_stack
from b2b_sem.engine.threads import single_thread
from b2b_sem.errors import B2BSemError, DataError, ModelError, Unsupported, did_you_mean
from b2b_sem.propositions import judge, quantile
from b2b_sem.results.comparison import GroupComparison
from b2b_sem.results.fit import FitResult
from b2b_sem.results.moderation_claim import ModerationClaim
from b2b_sem.results.verdict import NOT_TESTABLE
from b2b_sem.simulate.decision import VERDICTS, decide
from b2b_sem.simulate.draw import Plan
from b2b_sem.simulate.text import TextPlan
from b2b_sem.spec.model import ModelSpec, Proposition
from b2b_sem.spec.montecarlo import Condition
from b2b_sem.spec.partable import build_table
from b2b_sem.spec.product import linear_part, product_entries
from b2b_sem.spec.syntax import parse_model

__all__ = [
    "FIT_MEASURES",
    "Batch",
    "Key",
    "Trial",
    "block_size",
    "check_options",
    "key_of",
    "model_rows",
    "prepare_batch",
    "replication_seed",
    "sample_moments",
    "shaping",
]

Array = NDArray[np.float64]
#: lhs, op, rhs, label of the group (empty with one group).
Key = tuple[str, str, str, str]
#: Fit measures that are kept of every replication, where a fit has them.
FIT_MEASURES: tuple[str, ...] = (
    *MEASURES,
    "chisq_scaled",
    "df_scaled",
    "pvalue_scaled",
    "cfi_scaled",
    "tli_scaled",
    "rmsea_scaled",
    "rmsea_pvalue_scaled",
    "cfi_robust",
    "tli_robust",
    "rmsea_robust",
)
#: Options under which the batched engine gives what ``fit`` gives; all others go through ``fit``.
_BATCHED: Mapping[str, tuple[Any, ...]] = {
    "estimator": ("ML",),
    "likelihood": ("normal", "wishart"),
    "information": ("expected",),
    "se": ("default", "standard"),
    "test": ("default", "standard"),
    "missing": ("listwise",),
    "meanstructure": (True, False),
    "std_lv": (True, False),
    "orthogonal": (True, False),
    "fixed_x": (True, False),
    "parameterization": ("delta",),
    "kind": ("sem", "cfa"),
    "ordered": (False, ()),
    "bounds": ("none",),
    "engine": ("auto", "native"),
}
#: Options that shape the parameter table.
_SHAPING = ("meanstructure", "std_lv", "orthogonal", "fixed_x")
#: Respondents of the sample whose solution all replications of a batch start from.
_PILOT = 20_000
#: Scaled gradient at which a sample of a batch is done: estimates agree with those of ``fit`` to about 1e-8.
_TOLERANCE = 1e-8
#: Numbers in one batch of samples: what bounds the memory.
_NUMBERS = 2_000_000


def replication_seed(seed: int, key: tuple[int, int], number: int) -> int:
    """Return the seed of a replication, from that of the study, the key of the condition and the number."""
    sequence = SeedSequence(seed, spawn_key=(*key, number))
    return int(sequence.generate_state(1, np.uint64)[0])


def key_of(lhs: str, op: str, rhs: str, group: str = "") -> Key:
    """Return the name of a parameter; the two of a covariance are sorted."""
    return (rhs, op, lhs, group) if op == "~~" and rhs < lhs else (lhs, op, rhs, group)


def shaping(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a fit that shape its parameter table, as :func:`build_table` takes them."""
    out = {name: settings[name] for name in _SHAPING if name in settings}
    return out | {"growth": True, "meanstructure": True} if settings.get("kind") == "growth" else out


def model_rows(
    text: str, settings: Mapping[str, Any], groups: tuple[str, ...], *, raw: bool = False
) -> tuple[Key, ...]:
    """Return the parameters a fit of the model reports: loadings, paths, (co)variances and definitions.

    Of the raw solution these are the free ones, and intercepts are among them.
    """
    parsed = parse_model(text)
    products = product_entries(parsed)
    table = build_table(linear_part(parsed) if products else parsed, groups=groups, **shaping(settings))
    ops = ("=~", "~", "~~", "~1") if raw else ("=~", "~", "~~")
    own = [key_of(r.lhs, r.op, r.rhs) for r in table.rows if r.op in ops and not r.exo and (r.free or not raw)]
    own += [key_of(e.lhs, e.op, e.rhs) for e in products]
    rows = [(*key[:3], group) for group in groups or ("",) for key in own]
    # a definition may name parameters of several groups, and belongs to none
    rows += [key_of(d.name, ":=", d.text) for d in table.definitions]
    return tuple(dict.fromkeys(rows))


@dataclass(frozen=True, eq=False)
class Batch:
    """What the batched engine needs.

    Attributes
    ----------
    replicator : Replicator
    columns : (k,) int array
        Row of its table for each parameter that is reported.
    """

    replicator: Replicator
    columns: NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Trial:
    """One condition, prepared for any number of replications.

    Attributes
    ----------
    plan : Plan or TextPlan
        The population with the change of the condition.
    condition : Condition
    text : str
        The model that is fitted, as lavaan syntax.
    propositions : tuple of Proposition
    rows : tuple of Key
        Parameters that are reported.
    seed : int
        Of the study.
    size : int
        Replications in a block.
    alpha, confidence : float
    multiplicity : str
    model : ModelSpec
        The text and the propositions belong to it.
    split : str or None
        Group of the survey whose claims are tested.
    moderation : bool
        Whether claims on moderation are tested.
    raw : bool
        Whether they are those of the raw solution, not of the standardized one.
    batch : Batch or None
        None if every sample goes through ``fit``.
    reason : str
        Why it does; empty with a batch.
    """

    plan: Plan | TextPlan
    condition: Condition
    text: str
    propositions: tuple[Proposition, ...]
    rows: tuple[Key, ...]
    seed: int
    size: int
    alpha: float
    confidence: float
    multiplicity: str
    model: ModelSpec
    split: str | None = None
    moderation: bool = False
    raw: bool = False
    batch: Batch | None = None
    reason: str = ""

    # ---- what a worker does ----------------------------------------------------------------------------------------

    def run(self, block: int) -> dict[str, Any]:
        """Draw and fit the samples of one block.

        Returns
        -------
        dict of arrays, R long
            ``est``, ``se``, ``half`` (half the width of the interval) and ``pvalue`` (R, k) of the reported parameters,
            NaN where there is no usable solution; ``measures`` (R, len(FIT_MEASURES)); ``verdict`` (R, P) places in
            ``VERDICTS``; ``converged``, ``improper``; ``why``, the reason of a failure.
        """
        numbers = range(block * self.size, (block + 1) * self.size)
        out = _blank(len(numbers), len(self.rows), len(self.propositions))
        # all of it: the last digits of sums may depend on the threads, which workers have fewer of
        with single_thread():
            left = list(range(len(numbers))) if self.batch is None else self._together(self.batch, numbers, out)
            for r in left:
                self._alone(numbers[r], r, out)
        out["why"] = np.array(out["why"].tolist())  # as long as the longest reason, mostly none
        return out

    @property
    def weight(self) -> int:
        """Bytes that the numbers of one replication take."""
        return 8 * (4 * len(self.rows) + len(FIT_MEASURES)) + len(self.propositions) + 6

    def draw(self, number: int) -> pd.DataFrame:
        """Return the respondents of a replication, items reverse coded."""
        seed = replication_seed(self.seed, self.condition.key, number)
        frame = pd.DataFrame(self.plan.draw(self.condition.n, (SeedSequence(seed),)))
        if isinstance(self.plan, TextPlan):
            return frame
        cut = self.plan.spec.response.type == "ordinal"  # continuous answers reach beyond the response format
        rules = rules_from_survey(self.plan.survey, self.plan.items, bounded=cut)
        return score(Responses.from_frame(frame), rules).frame

    def _together(self, batch: Batch, numbers: range, out: dict[str, Any]) -> list[int]:
        """Fit all samples of a block at once; return those that have to be looked at alone."""
        problem = batch.replicator.problem
        seeds = [SeedSequence(replication_seed(self.seed, self.condition.key, k)) for k in numbers]
        cov, mean = sample_moments(self.plan, self.condition.n, seeds, problem.table.observed)
        cov *= self.condition.n / moments_divisor(self.condition.n, problem.options.likelihood)
        means = mean if problem.table.meanstructure else None
        found = batch.replicator.fit(cov, means, tolerance=_TOLERANCE, retry=False)
        at = np.flatnonzero(found.converged)
        inference = infer_stack(
            problem,
            batch.replicator.kernel,
            found.theta[at],
            found.fmin[at],
            cov[at],
            None if means is None else means[at],
        )
        use = inference.identified & np.isfinite(inference.raw_se).all(axis=1)
        at, good = at[use], np.flatnonzero(use)
        columns = batch.columns
        free = np.array([problem.table.rows[c].free > 0 for c in columns], dtype=bool)
        with np.errstate(invalid="ignore", divide="ignore"):
            raw = np.where(inference.raw_se > 0, inference.raw / inference.raw_se, np.nan)[good][:, columns]
            std = np.where(inference.std_se > 0, inference.std / inference.std_se, np.nan)[good][:, columns]
        pvalue = 2.0 * special.ndtr(-np.abs(np.where(free, raw, std)))
        est, se = (inference.raw, inference.raw_se) if self.raw else (inference.std, inference.std_se)
        out["est"][at] = est[good][:, columns]
        out["se"][at] = se[good][:, columns]
        out["half"][at] = special.ndtri(0.5 + self.confidence / 2) * np.where(out["se"][at] > 0, out["se"][at], np.nan)
        out["pvalue"][at] = pvalue
        out["measures"][at, : len(MEASURES)] = inference.measures[good]
        out["converged"][at] = True
        out["improper"][at] = ~found.admissible[at]
        out["why"][out["improper"]] = _IMPROPER
        estimate, tested = (np.full((len(at), len(self.propositions)), np.nan) for _ in range(2))
        for k, place in enumerate(self._places()):
            if place is not None:
                estimate[:, k] = inference.raw[good, columns[place]]
                tested[:, k] = np.where(free[place] & found.admissible[at], pvalue[:, place], np.nan)
        out["verdict"][at] = self._decide(estimate, tested)
        return sorted(set(range(len(numbers))) - set(at.tolist()))

    def fit_one(self, number: int) -> tuple[FitResult, pd.DataFrame, dict[str, Any]]:
        """Fit the sample of a replication; return the fit, the respondents, and the options it took."""
        settings = self.condition.settings.stated()
        if settings.get("missing") == "mi":
            settings["seed"] = replication_seed(self.seed, self.condition.key, number) % 2**32
        frame = self.draw(number)
        if "group" in settings and self.plan.survey is not None:
            # levels by the names that the survey and the truth give them; who belongs to none is left out
            _, levels = split_answers(frame, self.plan.survey, settings["group"])
            frame = frame.assign(**{settings["group"]: levels})[levels.notna()]
        # the engine of the batches; the other one takes ten times as long to the same numbers
        engine = settings.get("engine", "auto")
        own = {**settings, "engine": "native" if engine == "auto" else engine}
        return fit_model(self.text, frame, **own), frame, settings

    def _alone(self, number: int, r: int, out: dict[str, Any]) -> None:
        """Fit one sample by ``fit``."""
        try:
            fit, frame, settings = self.fit_one(number)
        except B2BSemError as error:
            out["why"][r] = error.message.splitlines()[0][:_WHY]
            return
        out["why"][r] = fit.failure[:_WHY]
        out["converged"][r] = fit.converged
        if self.worded:
            out["verdict"][r] = self._judge(fit, frame, settings)
        if not (fit.converged and fit.identified):
            return
        out["improper"][r] = not fit.admissible
        found = _tables(fit, raw=self.raw)
        for k, key in enumerate(self.rows):
            row = found.get(key)
            if row is not None:
                out["est"][r, k], out["se"][r, k], out["pvalue"][r, k] = row[0], row[1], row[3]
                out["half"][r, k] = _width(row, self.confidence)
        out["measures"][r] = [fit.measures.get(name, np.nan) for name in FIT_MEASURES]
        if self.worded or not self.propositions:
            return
        estimate, tested = (np.full((1, len(self.propositions)), np.nan) for _ in range(2))
        for k, place in enumerate(self._places()):
            row = None if place is None else found.get(self.rows[place])
            if row is not None and row[4] and fit.ok and np.isfinite(row[:4]).all():
                estimate[0, k], tested[0, k] = row[2], row[3]
        out["verdict"][r] = self._decide(estimate, tested)[0]

    @property
    def worded(self) -> bool:
        """Whether some propositions need more than the coefficients of one fit."""
        further = self.moderation or self.split is not None
        return bool(self.propositions) and (further or any(p.test == "indirect" for p in self.propositions))

    def _judge(self, fit: FitResult, frame: pd.DataFrame, settings: Mapping[str, Any]) -> list[int]:
        """Return the verdicts on all propositions as a study of these respondents gives them."""
        model, survey = self.model, self.plan.survey
        own = settled(settings, fit, model.items(survey))
        alpha, level = self.alpha, self.confidence
        comparisons: tuple[GroupComparison, ...] = ()
        moderations: tuple[ModerationClaim, ...] = ()
        if self.split is not None:
            comparisons = (
                compare_split_claims(
                    self.split, model, survey, frame, own, fit, alpha=alpha, level=level, multiplicity=self.multiplicity
                ),
            )
        if self.moderation:
            moderations = tuple(
                moderation_claim(
                    model.moderated(p.id, survey),
                    Responses.from_frame(frame),
                    own,
                    alpha=alpha,
                    level=level,
                    routes=(),
                    probe=False,
                )
                for p in self.propositions
                if is_testable(p, model)
            )
        verdicts = judge(
            self.propositions,
            fit,
            alpha=alpha,
            level=level,
            multiplicity=self.multiplicity,
            comparisons=comparisons,
            moderations=moderations,
        )
        return [VERDICTS.index(v.verdict) for v in verdicts]

    def _places(self) -> list[int | None]:
        """Return for each proposition the row of the one path it names, None if a fit of one model cannot test it."""
        at = {key: k for k, key in enumerate(self.rows)}
        return [None if path is None else at.get((path[0], "~", path[1], "")) for path in map(_path, self.propositions)]

    def _decide(self, estimate: Array, pvalue: Array) -> NDArray[np.int8]:
        stated = [p.sign == "+" for p in self.propositions]
        return decide(estimate, pvalue, stated, alpha=self.alpha, multiplicity=self.multiplicity)


_IMPROPER = "the solution is not admissible (Heywood case)"
_WHY = 120


def _blank(count: int, rows: int, propositions: int) -> dict[str, Any]:
    out: dict[str, Any] = {name: np.full((count, rows), np.nan) for name in ("est", "se", "half", "pvalue")}
    out["measures"] = np.full((count, len(FIT_MEASURES)), np.nan)
    out["verdict"] = np.full((count, propositions), VERDICTS.index(NOT_TESTABLE), dtype=np.int8)
    out["converged"], out["improper"] = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
    out["why"] = np.zeros(count, dtype=f"U{_WHY}")
    return out


def _path(proposition: Proposition) -> tuple[str, str] | None:
    if proposition.test != "path":
        return None
    claims = proposition.claims()
    if len(claims) != 1 or len(claims[0][0].regressions) != 1:
        return None
    ((outcome, predictor),) = claims[0][0].regressions
    return outcome, predictor


def _tables(fit: FitResult, *, raw: bool) -> dict[Key, tuple[float, float, float, float, bool, float]]:
    """Return estimate, its se, raw estimate, p (of the raw value if it is free, else of the standardized), free, reach.

    The estimate is the standardized one, or the raw one.
    """
    every, std = fit.parameters.to_dict("records"), fit.standardized().to_dict("records")
    groups = fit.groups
    out = {}
    for own, scaled in zip(every, std, strict=False):
        op, group = str(scaled["op"]), int(scaled["group"])
        label = groups[group - 1] if groups and group else ""
        free = bool(own["free"]) or op == ":="
        told = own if raw else scaled
        se = float(told["se"])
        reach = float(told["ci_upper"] - told["ci_lower"]) / 2 / se if se > 0 else np.nan
        p = float((own if free else scaled)["pvalue"])
        estimate = float(told["est" if raw else "est_std"])
        key = key_of(str(scaled["lhs"]), op, str(scaled["rhs"]), label)
        out[key] = (estimate, se, float(own["est"]), p, free, reach)
    return out


def _width(row: tuple[float, float, float, float, bool, float], confidence: float) -> float:
    """Return half the width of an interval; its quantile is normal, or that of the t distribution of a pooled fit."""
    return quantile(confidence, row[5]) * row[1] if np.isfinite(row[5]) else np.nan


def sample_moments(
    plan: Plan | TextPlan, n: int, seeds: list[SeedSequence], items: tuple[str, ...]
) -> tuple[Array, Array]:
    """Return covariances (R, p, p) with divisor n and means (R, p) of the items as scored, one sample a seed."""
    columns = plan.draw(n, seeds, facts=())
    survey = plan.survey
    reverse = {} if survey is None else {rule.name: rule for rule in rules_from_survey(survey, items)}
    data = np.empty((len(seeds), len(items), n))
    for k, item in enumerate(items):
        values = np.asarray(columns[item], dtype=float)
        rule = reverse.get(item)
        if rule is not None and rule.reverse and rule.low is not None and rule.high is not None:
            values = rule.low + rule.high - values
        data[:, k] = values.reshape(len(seeds), n)
    mean = data.mean(axis=2)
    data -= mean[:, :, None]
    return data @ data.transpose(0, 2, 1) / n, mean


def prepare_batch(trial: Trial) -> tuple[Batch | None, str]:
    """Prepare the batched engine for a condition.

    Returns
    -------
    batch : Batch or None
    reason : str
        Why there is none.
    """
    settings = trial.condition.settings.stated()
    for name, value in settings.items():
        if value not in _BATCHED.get(name, ()):
            return None, f"{name}={value!r}"
    if not trial.plan.complete:
        return None, "answers are missing"
    if trial.worded:
        further = trial.moderation or trial.split is not None
        return None, "models of single propositions" if further else "propositions on indirect effects"
    parsed = parse_model(trial.text)
    if product_entries(parsed) or any(e.op in ("|", "~*~") for e in parsed.entries):
        return None, "products or ordinal items"
    table = build_table(parsed, **shaping(settings))
    if table.exogenous or table.definitions or not set(table.observed) <= set(trial.plan.items):
        return None, "covariates or defined parameters"
    n = trial.condition.n
    if n <= len(table.observed):
        return None, f"n={n} respondents for {len(table.observed)} variables"
    options = FitOptions(likelihood="wishart" if settings.get("likelihood") == "wishart" else "normal")
    pilot = SeedSequence(trial.seed, spawn_key=(*trial.condition.key, 0, 0))
    with single_thread():
        cov, mean = sample_moments(trial.plan, _PILOT, [pilot], table.observed)
        moments = GroupMoments(None, n, cov[0], mean[0])
        try:
            constraints = linear_constraints(table)
            problem = prepare(table, Observed(table.observed, (moments,), n, 0), options, constraints)
            solution, _ = solve(problem, "native")
            if not solution.converged:
                return None, "the model does not fit the population well enough to start from it"
            prepared = replicator(problem, solution.theta)
        except (ModelError, Unsupported, np.linalg.LinAlgError) as error:
            return None, str(getattr(error, "message", error))
    at = {key_of(r.lhs, r.op, r.rhs): i for i, r in enumerate(table.rows)}
    return Batch(prepared, np.array([at[key] for key in trial.rows], dtype=np.intp)), ""


def check_options(trial: Trial) -> None:
    """Refuse options that fail in every sample, before any work is done.

    Raises
    ------
    DataError
        For the name of a column that respondents do not have.
    Unsupported
        For options that ``fit`` does not have.
    """
    plan, settings = trial.plan, trial.condition.settings.stated()
    columns = {*plan.spec.facts, *plan.items}
    if plan.spec.clusters is not None:
        columns.add(plan.spec.clusters.name)
    for option in ("cluster", "auxiliary", "ordered"):
        value = settings.get(option)
        names = [value] if isinstance(value, str) else value if isinstance(value, tuple | list) else []
        for name in names:
            if name not in columns:
                raise DataError(
                    f"{trial.condition.name}: {option}='{name}': the population '{plan.spec.id}' has no such column",
                    hint=f"It has its items{', facts' if plan.spec.facts else ''} and the column that 'clusters' names."
                    + did_you_mean(name, columns),
                )
    if trial.batch is None:
        errors = []
        for number in (0, 1):  # once can be the sample
            try:
                trial.fit_one(number)
                return
            except Unsupported as error:
                errors.append(error)
            except B2BSemError:
                return
        if errors[0].message == errors[1].message:
            raise Unsupported(f"{trial.condition.name}: {errors[0].message}", hint=errors[0].hint)


def block_size(n: int, items: int, batched: bool) -> int:
    """Return the replications in a block: as many as a bounded memory holds, few where each of them takes long."""
    return int(np.clip(_NUMBERS // (n * items), 1, 64)) if batched else 5
