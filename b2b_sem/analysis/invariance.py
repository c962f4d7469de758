"""Measurement invariance across groups, step by step: ``invariance``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from b2b_sem.analysis.fitted import Fit, context_of
from b2b_sem.analysis.intake import model_text
from b2b_sem.analysis.ladder import LEAST_EQUAL, Ladder, Tested, check_steps, corrected_difference, estimates_of
from b2b_sem.analysis.structural import fit as fit_model
from b2b_sem.engine.group import GroupProblem
from b2b_sem.engine.release import release_tests
from b2b_sem.engine.threads import single_thread
from b2b_sem.errors import DataError, Unsupported, did_you_mean
from b2b_sem.measures.difference import Difference
from b2b_sem.measures.equivalence import CRITERIA, Criteria, drift, mean_effect
from b2b_sem.results.invariance import InvarianceResult
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
    wanted = check_steps(steps, STEPS)
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
    plan = GroupPlan(measured, data, str(group), str(estimator).upper(), missing)
    return Ladder(plan, plan.estimator, missing, limits, alpha, partial).climb(wanted, stop)


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


@dataclass(frozen=True)
class GroupPlan:
    """Groups and continuous answers: each step makes one more kind of parameters equal.

    Attributes
    ----------
    measured : MeasurementModel
    data : DataFrame or Responses
    group, estimator, missing : str
        As :func:`invariance` takes them.
    """

    measured: MeasurementModel
    data: Any
    group: str
    estimator: str
    missing: str

    steps = STEPS
    #: What to do when the configural model cannot be fitted.
    alone = "fit each group by itself first"

    def fit(self, step: str, exempt: Sequence[str]) -> Fit:
        """Fit the model with all kinds equal up to a step."""
        names = list(self.steps)
        return fit_model(
            self.measured.text,
            self.data,
            estimator=self.estimator,
            missing=self.missing,
            group=self.group,
            group_equal=tuple(self.steps[s] for s in names[1 : names.index(step) + 1]),
            group_partial=tuple(exempt),
            std_lv=True,
            meanstructure=True,
        )

    def difference(self, larger: Fit, smaller: Fit) -> Difference | None:
        """Return the difference test, scaled where the estimator scales."""
        return corrected_difference(larger, smaller)

    def equivalent(self, step: str) -> str:
        """Return "": each step restricts the model."""
        return ""

    def tests(self, step: str, found: Fit) -> list[Tested]:
        """Return a score test of each parameter that the step makes equal."""
        kind = self.steps[step]
        context = context_of(found)
        assert isinstance(context.problem, GroupProblem)
        with single_thread():
            tested = release_tests(
                context.problem, context.observed, context.solution.theta, OPERATOR[kind], kind == "residuals"
            )
        # equal means or covariances of latent variables are no part of the ladder
        tested = [t for t in tested if kind == "loadings" or t.row.lhs not in self.measured.items]
        return [Tested(t.row.name, *self._place(t.row), t.chisq, t.df, t.pvalue) for t in tested]

    def _place(self, row: Row) -> tuple[tuple[str, ...], str]:
        if row.op == "=~":
            return (row.lhs,), row.rhs
        return tuple(f for f, items in self.measured.items.items() if row.lhs in items), row.lhs

    def inherited(self, step: str, exempt: Sequence[str]) -> list[tuple[str, str, str]]:
        """Release the intercepts of items with released loadings."""
        if step != "scalar":
            return []
        items = dict.fromkeys(name.split("=~")[1] for name in exempt if "=~" in name)
        return [(f"{item}~1", item, f"the loading of {item} differs") for item in items]

    def equal_items(self, latent: str, exempt: Sequence[str]) -> list[str]:
        """Return the items with equal loadings and intercepts."""
        items = self.measured.items[latent]
        return [i for i in items if f"{latent}=~{i}" not in exempt and f"{i}~1" not in exempt]

    def needs_equal(self, step: str) -> bool:
        """Whether releases of a step take items from the equal ones: residuals do not."""
        return self.steps[step] != "residuals"

    def settle(self, ladder: Ladder) -> dict[str, Any]:
        """Return latent means, effect sizes, and what may be compared."""
        first = ladder.fits["configural"]
        means = _means(ladder.fits["scalar"], self.measured) if ladder.reached >= 2 else []
        effects, notes = _effects(first, self.measured, set(ladder.exempt)) if first.converged else ([], [])
        return {
            "group": self.group,
            "groups": dict(zip(first.groups, map(int, first.group_tests["nobs"]), strict=True)),
            "statements": self._statements(ladder),
            "notes": notes,
            "means": means,
            "effects": effects,
        }

    def _statements(self, ladder: Ladder) -> tuple[str, ...]:
        """Say what may be compared."""
        exempt, reached = ladder.exempt, ladder.reached
        released = {
            kind: [n for n in exempt if OPERATOR[kind] in n] for kind in ("loadings", "intercepts", "residuals")
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
        if reached >= 3 and not exempt:
            out.append("Sums and means of observed answers may be compared: all parameters of the items are equal.")
        elif reached >= 0:
            why = "some items work differently" if reached >= 2 and exempt else "strict invariance does not hold"
            if ladder.stopped == "" and reached < 3:
                why = "strict invariance was not tested"
            out.append(f"Sums and means of observed answers may not be compared: {why}.")
        for latent in self.measured.items:
            equal = self.equal_items(latent, exempt)
            if reached >= 1 and len(equal) < LEAST_EQUAL:
                out.append(
                    f"{latent} has {len(equal)} item{'' if len(equal) == 1 else 's'} with equal parameters: that these "
                    "are equal cannot be tested by the data."
                )
        return tuple(out)


def _means(found: Fit, measured: MeasurementModel) -> list[dict[str, Any]]:
    at, sizes = estimates_of(found), found.group_tests["nobs"].tolist()
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
    at, factor = estimates_of(found), measured.factor
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
