"""Steps of measurement invariance, whatever is compared: fit, decide, release, say what may be compared.

A :class:`Plan` knows what is compared (groups, or occasions), how the model of a step is fitted and which of its
equalities can be released; the :class:`Ladder` does the rest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import pandas as pd

from b2b_sem.analysis.compare import ADJUSTED, nested_difference
from b2b_sem.analysis.fitted import Fit
from b2b_sem.errors import DataError, ModelError
from b2b_sem.measures.difference import Difference, difference, satorra_bentler_2001
from b2b_sem.measures.equivalence import Criteria, decide_configural, decide_step
from b2b_sem.measures.multiplicity import false_discovery
from b2b_sem.results.invariance import (
    EFFECT_COLUMNS,
    MEAN_COLUMNS,
    RELEASE_COLUMNS,
    STEP_COLUMNS,
    TEST_COLUMNS,
    InvarianceResult,
)
from b2b_sem.spec.measurement import MeasurementModel

__all__ = ["LEAST_EQUAL", "Ladder", "Plan", "Tested", "check_steps", "corrected_difference", "estimates_of"]

#: A difference test whose scaling factor is a smaller share of those of the two models is said to be unreliable.
LEAST_FACTOR = 0.5
#: Items of a latent variable that must stay equal, so that its scale and origin do not hang on a single item.
LEAST_EQUAL = 2


@dataclass(frozen=True)
class Tested:
    """The score test of one equality.

    Attributes
    ----------
    parameter : str
        What :meth:`Plan.fit` takes to release it.
    latents : tuple of str
        Latent variables that the item belongs to.
    item : str
    chisq, pvalue : float
        NaN if the model is not identified without the equality.
    df : int
    """

    parameter: str
    latents: tuple[str, ...]
    item: str
    chisq: float
    df: float
    pvalue: float


class Plan(Protocol):
    """What is compared, and how."""

    @property
    def steps(self) -> Mapping[str, str]:
        """Each step in order, and what it makes equal; "" for the first."""
        ...

    @property
    def measured(self) -> MeasurementModel:
        """The model and its items."""
        ...

    @property
    def alone(self) -> str:
        """What to do when the first model cannot be fitted."""
        ...

    def fit(self, step: str, exempt: Sequence[str]) -> Fit:
        """Fit the model of a step with some equalities released; raises ModelError if there is no fit."""
        ...

    def difference(self, larger: Fit, smaller: Fit) -> Difference | None:
        """Return the difference test; None without degrees of freedom between the two."""
        ...

    def equivalent(self, step: str) -> str:
        """Return why a step cannot be told from the one before, "" if it can."""
        ...

    def tests(self, step: str, found: Fit) -> list[Tested]:
        """Return the score tests of the equalities that a step adds."""
        ...

    def inherited(self, step: str, exempt: Sequence[str]) -> list[tuple[str, str, str]]:
        """Return what a step releases from the start: parameter, item, why."""
        ...

    def equal_items(self, latent: str, exempt: Sequence[str]) -> list[str]:
        """Return the items of a latent variable none of whose parameters are released."""
        ...

    def needs_equal(self, step: str) -> bool:
        """Whether releases of a step take items from the equal ones."""
        ...

    def settle(self, ladder: Ladder) -> dict[str, Any]:
        """Return what only the plan can say of a finished ladder.

        The fields ``group``, ``groups``, ``statements`` and ``notes`` of the result; rows of ``means`` and ``effects``.
        """
        ...


@dataclass
class Ladder:
    """Work in progress.

    Attributes
    ----------
    plan : Plan
    estimator, missing : str
        As the result names them.
    limits : Criteria
    alpha : float
        Error rate of the score tests.
    partial : bool
        Whether to release parameters where a step fails.
    exempt : list of str
        Released equalities.
    fits : dict of str to Fit
        By step.
    last : Fit or None
        The last one that held.
    holds, stopped : str
        The last step that holds before the first that fails, and that one.
    """

    plan: Plan
    estimator: str
    missing: str
    limits: Criteria
    alpha: float
    partial: bool
    exempt: list[str] = field(default_factory=list)
    fits: dict[str, Fit] = field(default_factory=dict)
    last: Fit | None = None
    holds: str = ""
    stopped: str = ""
    indices: str = ""
    steps: list[dict[str, Any]] = field(default_factory=list)
    tests: list[dict[str, Any]] = field(default_factory=list)
    releases: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def reached(self) -> int:
        """Number of the last step that holds, from 0; -1 if none does."""
        return list(self.plan.steps).index(self.holds) if self.holds else -1

    def climb(self, steps: Sequence[str], stop: bool = True) -> InvarianceResult:
        """Take the steps in order, up to the first that fails if `stop`, and return the result."""
        for step in steps:
            self._take(step)
            if self.stopped and stop:
                break
        return self._result()

    def _take(self, step: str) -> None:
        """Fit a step, decide, and release parameters if it fails."""
        if self.stopped and self.last is None:
            return
        first = step == next(iter(self.plan.steps))
        inherited = [t for t in self.plan.inherited(step, self.exempt) if t[0] not in self.exempt]
        self.exempt += [parameter for parameter, _, _ in inherited]
        found = self._fit(step)
        if found is None:
            return
        if not self.fits:
            self.indices = _indices(found)
        self.fits[step] = found
        held, reason, against = self._decide(step, found)
        self._record_step(step, step, found, held, reason, against)
        for parameter, item, why in inherited:
            self._record_release(step, 0, Tested(parameter, self._latents(item), item, *UNTESTED), 0, why, found, held)
        if not held and not first and self.partial and found.converged and found.identified:
            found, held = self._relax(step, found)
            self.fits[step] = found
        if held and not self.stopped:
            self.holds = step
        elif not held and not self.stopped:
            self.stopped = step
        if held:
            self.last = found
        elif first:
            self.last = found if found.converged and found.identified else None

    def _fit(self, step: str) -> Fit | None:
        try:
            return self.plan.fit(step, tuple(self.exempt))
        except ModelError as error:
            self.stopped = self.stopped or step
            self.notes.append(f"{step}: the model cannot be fitted: {error.message}.")
            return None

    def _latents(self, item: str) -> tuple[str, ...]:
        return tuple(f for f, items in self.plan.measured.items.items() if item in items)

    def _decide(self, step: str, found: Fit) -> tuple[bool, str, Difference | None]:
        if not found.converged or not found.identified:
            return False, found.failure, None
        if not self.plan.steps[step]:
            held, reason = decide_configural(self.limits, self._index(found, "cfi"), found.measures["srmr"])
            return held, reason, None
        assert self.last is not None
        if found.measures["chisq"] < self.last.measures["chisq"] - 1e-4:
            return False, "it fits better than the model with fewer equalities, which stopped in a local minimum", None
        if why := self.plan.equivalent(step):
            return True, why, None
        test = self.plan.difference(self.last, found)
        held, reason = decide_step(
            self.limits,
            self.plan.steps[step],
            self._index(self.last, "cfi") - self._index(found, "cfi"),
            self._index(found, "rmsea") - self._index(self.last, "rmsea"),
            found.measures["srmr"] - self.last.measures["srmr"],
            math.nan if test is None else test.pvalue,
        )
        return held, reason, test

    def _index(self, found: Fit, name: str) -> float:
        return found.measures.get(f"{name}_{self.indices}" if self.indices else name, math.nan)

    def _relax(self, step: str, found: Fit) -> tuple[Fit, bool]:
        """Release one equality after the other until the step holds or nothing is left to release."""
        blocked, released = set[str](), 0
        tested = self._score_tests(step, 1, found)
        most = max(len(tested), 1)
        for number in range(1, most + 1):
            tested = tested if number == 1 else self._score_tests(step, number, found)
            ready = sorted((t for t in tested if t[1] < self.alpha), key=lambda t: (t[0].pvalue, -t[0].chisq))
            chosen = next((t for t in ready if not self._needed(step, t[0], blocked)), None)
            if chosen is None:
                break
            self.exempt.append(chosen[0].parameter)
            again = self._fit(step)
            if again is None or not again.converged or not again.identified:
                self.exempt.pop()
                break
            found = again
            released += 1
            held, reason, against = self._decide(step, found)
            self._record_release(step, number, chosen[0], len(tested), "largest score test", found, held, chosen[1])
            if held:
                self._record_step(step, f"{step} (partial)", found, held, reason, against)
                return found, True
        if released:
            held, reason, against = self._decide(step, found)
            self._record_step(step, f"{step} (partial)", found, held, reason, against)
        text = f"{step}: no further equality can be released"
        if blocked:
            names = ", ".join(sorted(blocked))
            text += f": fewer than {LEAST_EQUAL} items with equal parameters would remain for {names}"
        else:
            text += f": no score test is significant at {self.alpha:g} after adjustment for their number"
        self.notes.append(f"{text}.")
        return found, False

    def _score_tests(self, step: str, number: int, found: Fit) -> list[tuple[Tested, float]]:
        """Test all equalities that a step adds; return them with p-values adjusted for their number."""
        tested = self.plan.tests(step, found)
        adjusted = [float(p) for p in false_discovery(np.array([t.pvalue for t in tested]))]
        self.tests += [_row(step, number, t, p) for t, p in zip(tested, adjusted, strict=True)]
        return list(zip(tested, adjusted, strict=True))

    def _needed(self, step: str, chosen: Tested, blocked: set[str]) -> bool:
        """Whether too few equal items would remain if a parameter were released; notes whose."""
        if not self.plan.needs_equal(step):
            return False
        later = [*self.exempt, chosen.parameter]
        short = [f for f in chosen.latents if len(self.plan.equal_items(f, later)) < LEAST_EQUAL]
        blocked.update(short)
        return bool(short)

    def _record_step(self, step: str, name: str, found: Fit, held: bool, reason: str, test: Difference | None) -> None:
        m = found.measures
        scaled = "_scaled" if "chisq_scaled" in m else ""
        last = self.last if self.plan.steps[step] else None

        def change(index: str) -> float:
            if last is None:
                return math.nan
            if index == "srmr":
                return m["srmr"] - last.measures["srmr"]
            return self._index(found, index) - self._index(last, index)

        self.steps.append(
            {
                "step": name,
                "partial": len(self.exempt),
                "npar": int(m["npar"]),
                "chisq": m[f"chisq{scaled}"],
                "df": int(m["df"]),
                "pvalue": m[f"pvalue{scaled}"],
                "cfi": self._index(found, "cfi"),
                "rmsea": self._index(found, "rmsea"),
                "srmr": m["srmr"],
                "aic": m.get("aic", math.nan),
                "bic": m.get("bic", math.nan),
                "chisq_diff": math.nan if test is None else test.chisq,
                "df_diff": math.nan if test is None else float(test.df),
                "pvalue_diff": math.nan if test is None else test.pvalue,
                "cfi_change": change("cfi"),
                "rmsea_change": change("rmsea"),
                "srmr_change": change("srmr"),
                "holds": held,
                "reason": reason,
            }
        )
        if test is not None and math.isnan(test.chisq):
            self.notes.append(f"{name}: the scaled difference of chi-squares is negative and has no p-value.")
        elif test is not None and last is not None and test.scaling_factor < LEAST_FACTOR * _usual_factor(last, found):
            self.notes.append(
                f"{name}: the difference test is not reliable: its scaling factor, {test.scaling_factor:.3f}, is less "
                "than half of those of the two models."
            )

    def _record_release(
        self,
        step: str,
        number: int,
        tested: Tested,
        tests: int,
        reason: str,
        found: Fit,
        held: bool,
        adjusted: float = math.nan,
    ) -> None:
        m = found.measures
        after = {
            "model_chisq": m["chisq_scaled" if "chisq_scaled" in m else "chisq"],
            "model_df": int(m["df"]),
            "cfi": self._index(found, "cfi"),
            "rmsea": self._index(found, "rmsea"),
            "srmr": m["srmr"],
            "holds": held,
        }
        self.releases.append({**_row(step, number, tested, adjusted), "tests": tests, "reason": reason, **after})

    def _result(self) -> InvarianceResult:
        first = self.fits.get(next(iter(self.plan.steps)))
        if first is None:
            raise ModelError(f"the configural model cannot be fitted: {' '.join(self.notes)}", hint=self.plan.alone)
        settled = self.plan.settle(self)
        # what is about the data is said by every fit
        warned = {text: f"{step}: {text}" for step, f in reversed(self.fits.items()) for text in f.warnings}
        about = [n for n in first.notes if not n.startswith("The native engine was used")]
        return InvarianceResult(
            group=settled["group"],
            groups=MappingProxyType(dict(settled["groups"])),
            model=self.plan.measured.text,
            estimator=self.estimator,
            missing=self.missing,
            criteria=self.limits.name,
            source=self.limits.source,
            indices=self.indices,
            holds=self.holds,
            stopped=self.stopped,
            statements=tuple(settled["statements"]),
            notes=(*self.plan.measured.notes, *about, *self.notes, *settled["notes"]),
            warnings=tuple(reversed(warned.values())),
            _steps=pd.DataFrame(self.steps, columns=list(STEP_COLUMNS)),
            _tests=pd.DataFrame(self.tests, columns=list(TEST_COLUMNS)),
            _releases=pd.DataFrame(self.releases, columns=list(RELEASE_COLUMNS)),
            _effects=pd.DataFrame(settled["effects"], columns=list(EFFECT_COLUMNS)),
            _means=pd.DataFrame(settled["means"], columns=list(MEAN_COLUMNS)),
            _fits=MappingProxyType(dict(self.fits)),
            limits=self.limits.numbers(),
        )


#: Statistic, degrees of freedom and p-value of a parameter that is released without a test.
UNTESTED = (math.nan, math.nan, math.nan)


def _row(step: str, number: int, tested: Tested, adjusted: float) -> dict[str, Any]:
    return {
        "step": step,
        "round": number,
        "parameter": tested.parameter,
        "latent": ", ".join(tested.latents),
        "item": tested.item,
        "chisq": tested.chisq,
        "df": tested.df,
        "pvalue": tested.pvalue,
        "pvalue_fdr": adjusted,
    }


def check_steps(steps: Sequence[str], known: Mapping[str, str]) -> tuple[str, ...]:
    """Return the steps that are wanted: the first ones of those known.

    Raises
    ------
    DataError
        If a step is left out.
    """
    wanted = (steps,) if isinstance(steps, str) else tuple(steps)
    if not wanted or wanted != tuple(known)[: len(wanted)]:
        raise DataError(
            f"steps={list(wanted)!r} are no ladder", hint=f"each step builds on those before: {', '.join(known)}"
        )
    return wanted


def _indices(found: Fit) -> str:
    """Return which CFI and RMSEA a ladder compares: robust ones where there are any, else scaled ones.

    Those of ordinal items are scaled: robust ones tell how well polychoric correlations fit, and nothing of thresholds.
    """
    m = found.measures
    if found.model.options.get("ordered"):
        return "scaled" if "cfi_scaled" in m else ""
    for kind in ("robust", "scaled"):
        if f"cfi_{kind}" in m and (math.isfinite(m[f"cfi_{kind}"]) or m["df"] == 0):
            return kind
    return ""


def corrected_difference(larger: Fit, smaller: Fit) -> Difference | None:
    """Return the difference test, scaled where the fits have scaled tests.

    Satorra & Bentler (2001); where these correct more than the mean, Satorra (2000).
    """
    a, b = larger.measures, smaller.measures
    if a["df"] == b["df"]:
        return None
    if smaller.model.options.get("test") in ADJUSTED:
        return nested_difference(larger, smaller)
    if "chisq_scaling_factor" not in b:
        return difference(a["chisq"], int(a["df"]), b["chisq"], int(b["df"]))
    return satorra_bentler_2001(
        a["chisq"],
        int(a["df"]),
        a["chisq_scaling_factor"],
        b["chisq"],
        int(b["df"]),
        b["chisq_scaling_factor"],
    )


def _usual_factor(larger: Fit, smaller: Fit) -> float:
    """Return the smaller one of two scaling factors; 1 without scaled tests."""
    both = [f.measures.get("chisq_scaling_factor", math.nan) for f in (larger, smaller)]
    return min((c for c in both if math.isfinite(c)), default=1.0)


def estimates_of(found: Fit) -> dict[tuple[int, str, str, str], dict[Any, Any]]:
    """Return the rows of the parameters by group, lhs, op, rhs."""
    return {(row["group"], row["lhs"], row["op"], row["rhs"]): row for row in found.parameters.to_dict("records")}
