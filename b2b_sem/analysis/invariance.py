"""Measurement invariance across groups, step by step: ``invariance``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from b2b_sem.analysis.fitted import Fit, context_of
from b2b_sem.analysis.intake import model_text
from b2b_sem.analysis.structural import fit as fit_model
from b2b_sem.engine.group import GroupProblem
from b2b_sem.engine.release import release_tests
from b2b_sem.engine.threads import single_thread
from b2b_sem.errors import DataError, ModelError, Unsupported, did_you_mean
from b2b_sem.measures.difference import Difference, difference, satorra_bentler_2001
from b2b_sem.measures.equivalence import CRITERIA, Criteria, decide_configural, decide_step, drift, mean_effect
from b2b_sem.measures.multiplicity import false_discovery
from b2b_sem.results.invariance import (
    EFFECT_COLUMNS,
    MEAN_COLUMNS,
    RELEASE_COLUMNS,
    STEP_COLUMNS,
    TEST_COLUMNS,
    InvarianceResult,
)
from b2b_sem.spec.measurement import MeasurementModel, measurement_model
from b2b_sem.spec.model import ModelSpec
from b2b_sem.spec.partable import Row
from b2b_sem.spec.syntax import parse_model

__all__ = ["STEPS", "invariance"]

#: The steps in order, and what becomes equal in each.
STEPS: Mapping[str, str] = MappingProxyType(
    {"configural": "", "metric": "loadings", "scalar": "intercepts", "strict": "residuals"}
)
OPERATOR = {"loadings": "=~", "intercepts": "~1", "residuals": "~~"}
ESTIMATORS = ("ML", "MLM", "MLR", "MLF")
#: A difference test whose scaling factor is a smaller share of those of the two models is said to be unreliable.
LEAST_FACTOR = 0.5
#: Items of a latent variable that must stay equal, so that its scale and origin do not hang on a single item.
LEAST_EQUAL = 2


def invariance(
    model: str | Path | ModelSpec,
    data: Any,
    group: str,
    *,
    steps: Sequence[str] = tuple(STEPS),
    estimator: str = "ML",
    missing: str = "listwise",
    criteria: str | Criteria = "chen",
    partial: bool = True,
    alpha: float = 0.05,
    stop: bool = True,
    ordered: Any = None,
) -> InvarianceResult:
    """Test whether items measure the same in several groups: configural, metric, scalar and strict invariance.

    Each step makes more of the measurement model equal in all groups and is compared with the last model that held.
    A step that fails is taken up again with parameters released one at a time (partial invariance; Byrne, Shavelson &
    Muthen 1989, doi:10.1037/0033-2909.105.3.456): the equality with the largest score test, if its p-value, adjusted
    for all tests of the round (Benjamini & Hochberg), is below `alpha`. At least two items of each latent variable
    keep equal loadings and intercepts. An item with a released loading has its intercept released, too.

    All latent variables have variance 1 and mean 0 in the first group, so that every loading is estimated and tested.

    Parameters
    ----------
    model : str, Path or ModelSpec
        Of a model with regressions only the measurement part is used, with latent variables that covary freely.
    data : DataFrame or Responses
    group : str
        Column that tells groups apart. The first group in the data is the one that others are compared with.
    steps : sequence of str
        The first ones of "configural", "metric" (equal loadings), "scalar" (and intercepts), "strict" (and residual
        variances).
    estimator : {"ML", "MLM", "MLR", "MLF"}
    missing : {"listwise", "fiml"}
    criteria : str or Criteria
        "chen": CFI falls by at most .010, and not both RMSEA rises by more than .015 and SRMR by more than .030
        (metric) or .010 (Chen 2007, doi:10.1080/10705510701301834). "cheung-rensvold": CFI falls by at most .010
        (Cheung & Rensvold 2002, doi:10.1207/S15328007SEM0902_5). "chisq": the difference test is not significant at
        `alpha`. Or limits of your own (``b2b_sem.measures.equivalence.Criteria``).
    partial : bool
        Whether to release parameters where a step fails.
    alpha : float
        Error rate of the score tests, and of the difference test with "chisq".
    stop : bool
        Whether to stop at the first step that fails. If not, later steps are fitted and compared with the last model
        that held, but make no claim: ``holds`` names the last step before the first failure.
    ordered
        Not available for ordinal items: anything but None is refused.

    Returns
    -------
    InvarianceResult

    Raises
    ------
    DataError
        For a group column that cannot be used and for wrong arguments.
    Unsupported
        For ordinal items, latent variables of a second order, other estimators, and constraints within the measurement
        part.
    """
    limits = _criteria(criteria, alpha)
    wanted = _steps(steps)
    if not 0 < alpha < 1:
        raise DataError(f"alpha is {alpha!r}", hint="give an error rate between 0 and 1, such as 0.05")
    if ordered is not None and ordered is not False and not (isinstance(ordered, Sequence) and not ordered):
        raise Unsupported(
            "invariance of ordinal items is not available",
            hint="treat items of five or more answers as continuous, with estimator='MLR'",
        )
    if str(estimator).upper() not in ESTIMATORS:
        raise Unsupported(
            f"estimator={estimator!r} is not available here.{did_you_mean(str(estimator).upper(), ESTIMATORS)}",
            hint="use " + ", ".join(ESTIMATORS),
        )
    if group is None:
        raise DataError("no group", hint="name the column that tells groups apart")
    measured = measurement_model(parse_model(*model_text(model)))
    ladder = _Ladder(measured, data, str(group), str(estimator).upper(), missing, limits, alpha, partial)
    for step in wanted:
        ladder.climb(step)
        if ladder.stopped and stop:
            break
    return ladder.result()


def _criteria(criteria: str | Criteria, alpha: float) -> Criteria:
    if isinstance(criteria, Criteria):
        return criteria
    if criteria not in CRITERIA:
        raise Unsupported(
            f"criteria={criteria!r} is not available.{did_you_mean(str(criteria), CRITERIA)}",
            hint="use " + ", ".join(repr(c) for c in CRITERIA),
        )
    found = CRITERIA[criteria]
    return replace(found, alpha=alpha) if found.alpha is not None else found


def _steps(steps: Sequence[str]) -> tuple[str, ...]:
    wanted = (steps,) if isinstance(steps, str) else tuple(steps)
    if not wanted or wanted != tuple(STEPS)[: len(wanted)]:
        raise DataError(
            f"steps={list(wanted)!r} are no ladder", hint=f"each step builds on those before: {', '.join(STEPS)}"
        )
    return wanted


@dataclass
class _Ladder:
    """Work in progress."""

    measured: MeasurementModel
    data: Any
    group: str
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

    def climb(self, step: str) -> None:
        """Fit a step, decide, and release parameters if it fails."""
        if self.stopped and self.last is None:
            return
        names = list(STEPS)
        kinds = tuple(STEPS[s] for s in names[1 : names.index(step) + 1])
        inherited = self._inherit() if step == "scalar" else []
        found = self._fit(step, kinds)
        if found is None:
            return
        if not self.fits:
            self.indices = _indices(found)
        self.fits[step] = found
        held, reason, against = self._decide(step, found)
        self._record_step(step, found, held, reason, against)
        for name in inherited:
            why = f"the loading of {name.removesuffix('~1')} differs"
            self._record_release({"step": step, "round": 0, "parameter": name}, 0, why, found, held)
        if not held and step != "configural" and self.partial and found.converged and found.identified:
            found, held = self._relax(step, kinds, found)
            self.fits[step] = found
        if held and not self.stopped:
            self.holds = step
        elif not held and not self.stopped:
            self.stopped = step
        if held:
            self.last = found
        elif step == "configural":
            self.last = found if found.converged and found.identified else None

    def _fit(self, step: str, kinds: tuple[str, ...]) -> Fit | None:
        try:
            return fit_model(
                self.measured.text,
                self.data,
                estimator=self.estimator,
                missing=self.missing,
                group=self.group,
                group_equal=kinds,
                group_partial=tuple(self.exempt),
                std_lv=True,
                meanstructure=True,
            )
        except ModelError as error:
            self.stopped = self.stopped or step
            self.notes.append(f"{step}: the model cannot be fitted: {error.message}.")
            return None

    def _decide(self, step: str, found: Fit) -> tuple[bool, str, Difference | None]:
        if not found.converged or not found.identified:
            return False, found.failure, None
        if step == "configural":
            held, reason = decide_configural(self.limits, self._index(found, "cfi"), found.measures["srmr"])
            return held, reason, None
        assert self.last is not None
        if found.measures["chisq"] < self.last.measures["chisq"] - 1e-4:
            return False, "it fits better than the model with fewer equalities, which stopped in a local minimum", None
        test = _difference(self.last, found)
        held, reason = decide_step(
            self.limits,
            STEPS[step],
            self._index(self.last, "cfi") - self._index(found, "cfi"),
            self._index(found, "rmsea") - self._index(self.last, "rmsea"),
            found.measures["srmr"] - self.last.measures["srmr"],
            math.nan if test is None else test.pvalue,
        )
        return held, reason, test

    def _index(self, found: Fit, name: str) -> float:
        return found.measures.get(f"{name}_{self.indices}" if self.indices else name, math.nan)

    def _inherit(self) -> list[str]:
        """Release the intercepts of items with released loadings."""
        new = []
        for name in list(self.exempt):
            if "=~" in name and (intercept := f"{name.split('=~')[1]}~1") not in self.exempt:
                self.exempt.append(intercept)
                new.append(intercept)
        return new

    def _relax(self, step: str, kinds: tuple[str, ...], found: Fit) -> tuple[Fit, bool]:
        """Release one equality after the other until the step holds or nothing is left to release."""
        kind, blocked, released = kinds[-1], set[str](), 0
        for number in range(1, sum(map(len, self.measured.items.values())) + 1):
            rows = self._score_tests(step, number, kind, found)
            ready = sorted((r for r in rows if r["pvalue_fdr"] < self.alpha), key=lambda r: (r["pvalue"], -r["chisq"]))
            chosen = next((r for r in ready if not self._needed(kind, r, blocked)), None)
            if chosen is None:
                break
            self.exempt.append(chosen["parameter"])
            again = self._fit(step, kinds)
            if again is None or not again.converged or not again.identified:
                self.exempt.pop()
                break
            found = again
            released += 1
            held, reason, against = self._decide(step, found)
            self._record_release(chosen, len(rows), "largest score test", found, held)
            if held:
                self._record_step(f"{step} (partial)", found, held, reason, against)
                return found, True
        if released:
            held, reason, against = self._decide(step, found)
            self._record_step(f"{step} (partial)", found, held, reason, against)
        text = f"{step}: no further equality can be released"
        if blocked:
            names = ", ".join(sorted(blocked))
            text += f": fewer than {LEAST_EQUAL} items with equal parameters would remain for {names}"
        else:
            text += f": no score test is significant at {self.alpha:g} after adjustment for their number"
        self.notes.append(f"{text}.")
        return found, False

    def _score_tests(self, step: str, number: int, kind: str, found: Fit) -> list[dict[str, Any]]:
        context = context_of(found)
        assert isinstance(context.problem, GroupProblem)
        with single_thread():
            tested = release_tests(
                context.problem, context.observed, context.solution.theta, OPERATOR[kind], kind == "residuals"
            )
        # equal means or covariances of latent variables are no part of the ladder
        tested = [t for t in tested if kind == "loadings" or t.row.lhs not in self.measured.items]
        adjusted = false_discovery(np.array([t.pvalue for t in tested]))
        rows = []
        for test, p in zip(tested, adjusted, strict=True):
            latent, item = self._place(test.row)
            rows.append(
                {
                    "step": step,
                    "round": number,
                    "parameter": test.row.name,
                    "latent": latent,
                    "item": item,
                    "chisq": test.chisq,
                    "df": test.df,
                    "pvalue": test.pvalue,
                    "pvalue_fdr": float(p),
                }
            )
        self.tests += rows
        return rows

    def _place(self, row: Row) -> tuple[str, str]:
        if row.op == "=~":
            return row.lhs, row.rhs
        return ", ".join(f for f, items in self.measured.items.items() if row.lhs in items), row.lhs

    def _needed(self, kind: str, row: Mapping[str, Any], blocked: set[str]) -> bool:
        """Whether too few equal items would remain if a parameter were released; notes whose."""
        if kind == "residuals":
            return False
        later = {*self.exempt, row["parameter"]}
        short = [f for f in row["latent"].split(", ") if len(self._equal_items(f, later)) < LEAST_EQUAL]
        blocked.update(short)
        return bool(short)

    def _equal_items(self, latent: str, exempt: set[str]) -> list[str]:
        items = self.measured.items[latent]
        return [i for i in items if f"{latent}=~{i}" not in exempt and f"{i}~1" not in exempt]

    def _record_step(self, step: str, found: Fit, held: bool, reason: str, test: Difference | None) -> None:
        m = found.measures
        scaled = "_scaled" if "chisq_scaled" in m else ""
        last = self.last if step != "configural" else None

        def change(name: str) -> float:
            if last is None:
                return math.nan
            if name == "srmr":
                return m["srmr"] - last.measures["srmr"]
            return self._index(found, name) - self._index(last, name)

        self.steps.append(
            {
                "step": step,
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
            self.notes.append(f"{step}: the scaled difference of chi-squares is negative and has no p-value.")
        elif test is not None and last is not None and test.scaling_factor < LEAST_FACTOR * _usual_factor(last, found):
            self.notes.append(
                f"{step}: the difference test is not reliable: its scaling factor, {test.scaling_factor:.3f}, is less "
                "than half of those of the two models."
            )

    def _record_release(self, row: Mapping[str, Any], tests: int, reason: str, found: Fit, held: bool) -> None:
        m, name = found.measures, row["parameter"]
        item = name.removesuffix("~1")
        blank = {
            "latent": ", ".join(f for f, items in self.measured.items.items() if item in items),
            "item": item,
            **dict.fromkeys(("chisq", "df", "pvalue", "pvalue_fdr"), math.nan),
        }
        after = {
            "model_chisq": m["chisq_scaled" if "chisq_scaled" in m else "chisq"],
            "model_df": int(m["df"]),
            "cfi": self._index(found, "cfi"),
            "rmsea": self._index(found, "rmsea"),
            "srmr": m["srmr"],
            "holds": held,
        }
        self.releases.append({**blank, **row, "tests": tests, "reason": reason, **after})

    def result(self) -> InvarianceResult:
        """Return the finished ladder."""
        first = self.fits.get("configural")
        if first is None:
            raise ModelError(
                f"the configural model cannot be fitted: {' '.join(self.notes)}", hint="fit each group by itself first"
            )
        reached = list(STEPS).index(self.holds) if self.holds else -1
        means = _means(self.fits["scalar"], self.measured) if reached >= 2 else []
        effects, notes = _effects(first, self.measured, set(self.exempt)) if first.converged else ([], [])
        warned = [f"{step}: {text}" for step, f in self.fits.items() for text in f.warnings]
        about = [n for n in first.notes if not n.startswith("The native engine was used")]
        sizes = dict(zip(first.groups, map(int, first.group_tests["nobs"]), strict=True))
        return InvarianceResult(
            group=self.group,
            groups=MappingProxyType(sizes),
            model=self.measured.text,
            estimator=self.estimator,
            missing=self.missing,
            criteria=self.limits.name,
            source=self.limits.source,
            indices=self.indices,
            holds=self.holds,
            stopped=self.stopped,
            statements=self._statements(reached),
            notes=(*self.measured.notes, *about, *self.notes, *notes),
            warnings=tuple(warned),
            _steps=pd.DataFrame(self.steps, columns=list(STEP_COLUMNS)),
            _tests=pd.DataFrame(self.tests, columns=list(TEST_COLUMNS)),
            _releases=pd.DataFrame(self.releases, columns=list(RELEASE_COLUMNS)),
            _effects=pd.DataFrame(effects, columns=list(EFFECT_COLUMNS)),
            _means=pd.DataFrame(means, columns=list(MEAN_COLUMNS)),
            _fits=MappingProxyType(dict(self.fits)),
            limits=self.limits.numbers(),
        )

    def _statements(self, reached: int) -> tuple[str, ...]:
        """Say what may be compared."""
        released = {
            kind: [n for n in self.exempt if OPERATOR[kind] in n] for kind in ("loadings", "intercepts", "residuals")
        }
        out = []
        if reached < 0:
            out.append("Nothing may be compared: the model does not describe the answers of all groups.")
        else:
            out.append("The same items measure the same latent variables in all groups (configural invariance).")
        if reached >= 1:
            but = f", except {', '.join(released['loadings'])}" if released["loadings"] else ""
            out.append(
                f"Paths, covariances and variances of latent variables may be compared: loadings are equal{but}."
            )
        elif reached == 0:
            out.append("Paths, covariances and variances of latent variables may not be compared: no equal loadings.")
        if reached >= 2:
            but = f", except {', '.join(released['intercepts'])}" if released["intercepts"] else ""
            out.append(f"Latent means may be compared: intercepts are equal{but}.")
        elif reached >= 0:
            out.append("Latent means may not be compared: equal intercepts were not established.")
        if reached >= 3 and not self.exempt:
            out.append("Sums and means of observed answers may be compared: all parameters of the items are equal.")
        elif reached >= 0:
            why = "some items work differently" if reached >= 2 and self.exempt else "strict invariance does not hold"
            if self.stopped == "" and reached < 3:
                why = "strict invariance was not tested"
            out.append(f"Sums and means of observed answers may not be compared: {why}.")
        for latent in self.measured.items:
            equal = self._equal_items(latent, set(self.exempt))
            if reached >= 1 and len(equal) < LEAST_EQUAL:
                out.append(
                    f"{latent} has {len(equal)} item{'' if len(equal) == 1 else 's'} with equal parameters: that these "
                    "are equal cannot be tested by the data."
                )
        return tuple(out)


def _indices(found: Fit) -> str:
    """Return which CFI and RMSEA a ladder compares: robust ones where there are any, else scaled ones."""
    m = found.measures
    for kind in ("robust", "scaled"):
        if f"cfi_{kind}" in m and (math.isfinite(m[f"cfi_{kind}"]) or m["df"] == 0):
            return kind
    return ""


def _difference(larger: Fit, smaller: Fit) -> Difference | None:
    """Return the difference test: scaled (Satorra & Bentler 2001) where the fits have scaled tests."""
    a, b = larger.measures, smaller.measures
    if a["df"] == b["df"]:
        return None
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


def _estimates(found: Fit) -> dict[tuple[int, str, str, str], dict[Any, Any]]:
    return {(row["group"], row["lhs"], row["op"], row["rhs"]): row for row in found.parameters.to_dict("records")}


def _means(found: Fit, measured: MeasurementModel) -> list[dict[str, Any]]:
    at, sizes = _estimates(found), found.group_tests["nobs"].tolist()
    out = []
    for latent in measured.items:
        first, own = at[1, latent, "~1", ""], at[1, latent, "~~", latent]
        for g, label in enumerate(found.groups[1:], 2):
            row, variance = at[g, latent, "~1", ""], at[g, latent, "~~", latent]
            d = mean_effect(first["est"], own["est"], sizes[0], row["est"], variance["est"], sizes[g - 1])
            numbers = {name: row[name] for name in ("est", "se", "z", "pvalue", "ci_lower", "ci_upper")}
            out.append({"latent": latent, "group": label, **numbers, "d": d})
    return out


def _effects(found: Fit, measured: MeasurementModel, exempt: set[str]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return dMACS of all items from the configural model, its scales linked by one item of each latent variable."""
    at, factor = _estimates(found), measured.factor
    sizes = found.group_tests["nobs"].tolist()
    sds = []
    for label, n in zip(found.groups, sizes, strict=True):
        cov = found.sample()[label]["cov"]
        sds.append(pd.Series(np.sqrt(np.diag(cov.to_numpy()) * n / (n - 1)), index=cov.index))
    out, crossed = [], []
    for latent, items in measured.items.items():
        single = [i for i in items if factor.get(i) == latent]
        crossed += [i for i in items if i not in factor and i not in crossed]
        free = [i for i in single if f"{latent}=~{i}" not in exempt and f"{i}~1" not in exempt]
        if len(single) < 2:
            continue
        referent = (free or single)[0]

        def line(g: int, item: str, latent: str = latent) -> tuple[float, float]:
            return at[g, latent, "=~", item]["est"], at[g, item, "~1", ""]["est"]

        for g, label in enumerate(found.groups[1:], 2):
            (slope1, level1), (slope2, level2) = line(1, referent), line(g, referent)
            # the group's latent variable on the scale of the first group: mean + spread * eta
            mean, spread = (level2 - level1) / slope1, slope2 / slope1
            for item in single:
                loading, intercept = line(g, item)
                loading /= spread
                weights = np.array([sizes[0] - 1, sizes[g - 1] - 1], dtype=float)
                sd = float(np.average([sds[0][item], sds[g - 1][item]], weights=weights))
                size = drift(*line(1, item), loading, intercept - loading * mean, mean, spread**2, sd)
                row = {"latent": latent, "item": item, "group": label, "referent": referent}
                out.append({**row, "dmacs": size.dmacs, "signed": size.signed})
    notes = [
        "dMACS compares the expected answers of two groups over the latent distribution of the second, in standard "
        "deviations of the item; scales are linked by the referent, whose own difference is 0 by construction."
    ]
    if crossed:
        notes.append(f"No dMACS for items of several latent variables: {', '.join(crossed)}.")
    return out, notes if out else notes[1:]
