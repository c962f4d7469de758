"""Measurement invariance of ordinal items in several groups; ``b2b_sem.spec.threshold`` says what each step holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import special

from b2b_sem.analysis.comparability import Estimates, comparable, group_sizes, mean_rows
from b2b_sem.analysis.compare import nested_difference
from b2b_sem.analysis.fitted import Fit, context_of
from b2b_sem.analysis.ladder import Ladder, Tested, estimates_of
from b2b_sem.analysis.ordinal import fit_ordinal
from b2b_sem.analysis.score import extension_of, tangent_of
from b2b_sem.data.observed import Observed
from b2b_sem.engine.base import Array
from b2b_sem.engine.ordinal_extension import generalized_test
from b2b_sem.engine.threads import single_thread
from b2b_sem.measures.difference import Difference
from b2b_sem.measures.equivalence import Drift, drift, ordinal_drift
from b2b_sem.measures.fit import chisq_pvalue
from b2b_sem.spec.measurement import MeasurementModel
from b2b_sem.spec.partable import ParameterTable, Row
from b2b_sem.spec.syntax import parse_model
from b2b_sem.spec.threshold import ORDINAL_STEPS, released_thresholds, restrict_step, threshold_name, untested_loadings

__all__ = ["ORDINAL_STEPS", "OrdinalPlan"]

ORDER = list(ORDINAL_STEPS)
OPERATOR = {"thresholds": "|", "loadings": "=~", "intercepts": "~1", "residuals": "~~"}
#: Thresholds of an item with which its equality of thresholds can be tested.
TESTABLE = 3


@dataclass
class OrdinalPlan:
    """Groups and ordinal items, with numeric ones among them if there are any.

    Attributes
    ----------
    measured : MeasurementModel
    data : DataFrame or Responses
    group, estimator, missing, parameterization : str
        As :func:`b2b_sem.invariance` takes them.
    ordered : sequence of str, str or bool
    levels : dict of str to int
        Number of thresholds of each ordinal item. As all that follows it is known from the configural fit, the first.
    groups : tuple of str
        Labels.
    observed : Observed
        Thresholds and correlations, computed once for all steps.
    """

    measured: MeasurementModel
    data: Any
    group: str
    estimator: str
    missing: str
    parameterization: str
    ordered: Any
    levels: dict[str, int] = field(default_factory=dict)
    groups: tuple[str, ...] = ()
    observed: Observed | None = None

    steps = ORDINAL_STEPS
    #: What is compared.
    noun = "groups"
    #: What to do when the configural model cannot be fitted.
    alone = "fit each group by itself first; join answers that are rare in a group"

    def fit(self, step: str, exempt: Sequence[str]) -> Fit:
        """Fit the model of a step."""
        chosen = "theta" if step == "strict" else self.parameterization
        model = parse_model(self.measured.text)
        if step != "configural":
            model = restrict_step(model, self.levels, len(self.groups), step, exempt, chosen)
        found = fit_ordinal(
            model,
            self.data,
            self.ordered,
            estimator=self.estimator,
            missing=self.missing,
            group=self.group,
            parameterization=chosen,
            std_lv=True,
            observed=self.observed,
        )
        if step == "configural":
            table, self.observed = context_of(found).problem.table, context_of(found).observed
            self.groups = found.groups
            self.levels = dict(Counter(row.lhs for row in table.rows if row.op == "|" and row.group == 1))
        return found

    def difference(self, larger: Fit, smaller: Fit) -> Difference | None:
        """Return the scaled (and shifted) difference test; None without degrees of freedom between the two."""
        return None if larger.measures["df"] == smaller.measures["df"] else nested_difference(larger, smaller)

    def equivalent(self, step: str) -> str:
        """Return why a step restricts nothing."""
        if step == "thresholds" and all(k < TESTABLE for k in self.levels.values()):
            few = "two" if all(k == 1 for k in self.levels.values()) else "three or fewer"
            return (
                f"nothing to test: all ordinal items have {few} categories, whose thresholds can always be made equal "
                "by the free intercepts and scales of the responses"
            )
        several = sum(len(items) > 1 for items in self.measured.items.values())
        if step == "metric" and several and len(self.untested()) == several:
            return (
                "nothing to test: the loadings of items with two categories are tested together with their thresholds "
                "and intercepts"
            )
        return ""

    def untested(self) -> list[str]:
        """Return the latent variables of which the metric step makes no two loadings equal."""
        return untested_loadings(self.measured.items, self.levels)

    def tests(self, step: str, found: Fit) -> list[Tested]:
        """Return a generalized score test of each item's or parameter's equality that the step adds."""
        context = context_of(found)
        table, observed = context.problem.table, context.observed
        with single_thread():
            extension = extension_of(context.problem, context.solution.theta, absent=False)
            tangent = tangent_of(context, extension)
            out = []
            for name, item, latents, rows in self._candidates(step, table):
                at = np.array(rows, dtype=np.intp)
                chisq, df = generalized_test(extension, tangent, observed, at, context.problem.nobs)
                if df:
                    out.append(Tested(name, latents, item, chisq, df, chisq_pvalue(chisq, df)))
        return out

    def _candidates(self, step: str, table: ParameterTable) -> list[tuple[str, str, tuple[str, ...], list[int]]]:
        """Return what a step makes equal: name, item, latent variables, rows of all groups but the first."""
        kind = self.steps[step]
        op = OPERATOR[kind]
        first = {r.name: r for r in table.rows if r.group == 1}
        tied = {r.lhs for r in table.rows if r.op == "|" and r.group > 1 and r.free == first[r.name].free}
        found: dict[str, tuple[str, tuple[str, ...], list[int]]] = {}
        for i, row in enumerate(table.rows):
            if row.group == 1 or row.op != op or not self._equal(row, first, tied):
                continue
            item = row.rhs if op == "=~" else row.lhs
            latents = (row.lhs,) if op == "=~" else self._latents(item)
            name = threshold_name(item, self.levels[item]) if op == "|" else row.name
            found.setdefault(name, (item, latents, []))[2].append(i)
        return [(name, item, latents, rows) for name, (item, latents, rows) in found.items()]

    def _latents(self, item: str) -> tuple[str, ...]:
        return tuple(f for f, items in self.measured.items.items() if item in items)

    def _equal(self, row: Row, first: Mapping[str, Row], tied: Collection[str]) -> bool:
        """Whether a row of a later group is held equal; `tied` are items with equal thresholds."""
        item = row.rhs if row.op == "=~" else row.lhs
        if item in self.measured.items or (row.op == "~~" and row.lhs != row.rhs):
            return False
        shared = row.free > 0 and row.free == first[row.name].free
        count = self.levels.get(item, 0)
        if row.op == "|":
            return shared and count >= TESTABLE
        if row.op == "=~" or not count:
            return shared and count != 1
        # fixed: equal where thresholds are, without which the value is but a choice of scale
        return not row.free and item in tied

    def inherited(self, step: str, exempt: Sequence[str]) -> list[tuple[str, str, str]]:
        """Release loadings of items with released thresholds, and intercepts of items with released loadings."""
        apart = released_thresholds(exempt)
        if step == "metric":
            return [
                (f"{latent}=~{item}", item, f"the thresholds of {item} differ")
                for item in apart
                for latent, items in self.measured.items.items()
                if item in items
            ]
        if step == "scalar":
            items = dict.fromkeys(name.split("=~")[1] for name in exempt if "=~" in name)
            return [(f"{item}~1", item, f"the loading of {item} differs") for item in items if item not in apart]
        return []

    def equal_items(self, latent: str, exempt: Sequence[str]) -> list[str]:
        """Return the items with equal thresholds, loadings and intercepts."""
        apart = released_thresholds(exempt)
        items = self.measured.items[latent]
        return [i for i in items if i not in apart and f"{latent}=~{i}" not in exempt and f"{i}~1" not in exempt]

    def needs_equal(self, step: str) -> bool:
        """Whether releases of a step take items from the equal ones: residual variances do not."""
        return step != "strict"

    def settle(self, ladder: Ladder) -> dict[str, Any]:
        """Return latent means, effect sizes, and what may be compared."""
        first = ladder.fits["configural"]
        means = []
        if ladder.reached >= ORDER.index("scalar"):
            scalar = ladder.fits["scalar"]
            means = mean_rows(self.estimates(scalar), self.sizes(scalar), self.measured)
        effects, notes = self._effects(first, ladder.exempt) if first.converged and first.identified else ([], [])
        return {
            "group": self.group,
            "groups": self.sizes(first),
            "statements": comparable(ladder, OPERATOR, self.noun, self.untested()),
            "notes": [*self._notes(ladder), *notes],
            "means": means,
            "effects": effects,
        }

    def estimates(self, found: Fit) -> Estimates:
        """Return the rows of the parameters by group, lhs, op, rhs."""
        return estimates_of(found)

    def sizes(self, found: Fit) -> dict[str, int]:
        """Return labels and numbers of rows."""
        return group_sizes(found)

    def samples(self, found: Fit) -> Sequence[Mapping[str, Any]]:
        """Return the sample moments of each group."""
        return [found.sample()[label] for label in found.groups]

    def _notes(self, ladder: Ladder) -> list[str]:
        kinds: dict[int, list[str]] = {}
        for item, count in self.levels.items():
            kinds.setdefault(count + 1, []).append(item)
        shown = "; ".join(f"{', '.join(items)} ({count} categories)" for count, items in sorted(kinds.items()))
        notes = [
            f"Ordinal items: {shown}. Thresholds, scales and intercepts are identified as by Wu & Estabrook (2016), "
            "doi:10.1007/s11336-016-9506-0.",
            f"Limits of changes of fit indices come from maximum likelihood with numbers; with {self.estimator} these "
            "changes are less reliable, so that the difference tests should be looked at, too (Sass, Schmitt & Marsh "
            "2014, doi:10.1080/10705511.2014.882658).",
        ]
        if binary := kinds.get(2):
            notes.append(
                "With two categories, thresholds, loadings and intercepts are made equal together, in the scalar step: "
                f"{', '.join(binary)}."
            )
            if not all(f.converged and f.identified for f in ladder.fits.values()):
                notes.append(
                    "Scales of items with two categories are told apart from the variance of the latent variable only "
                    "by items whose thresholds differ in units of their loadings: a model that cannot be estimated may "
                    "say no more than that these are alike."
                )
        if self.parameterization == "delta" and "strict" in ladder.fits:
            notes.append(
                "Equal residual variances were tested in the theta parameterization, of which they are parameters."
            )
        return notes

    def _effects(self, found: Fit, exempt: Sequence[str]) -> tuple[list[dict[str, Any]], list[str]]:
        """Return dMACS of all items from the configural model, scales linked by an item of each latent variable."""
        at, factor = self.estimates(found), self.measured.factor
        labels = self.groups
        sizes = list(self.sizes(found).values())
        curves = [
            {item: self._curve(at, g, latent, item) for item, latent in factor.items()}
            for g in range(1, len(labels) + 1)
        ]
        sds = [self._deviations(sample, n) for sample, n in zip(self.samples(found), sizes, strict=True)]
        out = []
        for latent, items in self.measured.items.items():
            single = [i for i in items if factor.get(i) == latent]
            if len(single) < 2:
                continue
            equal = self.equal_items(latent, exempt)
            referent = next((i for i in single if i in equal), single[0])
            for g, label in enumerate(labels[1:], 1):
                one, two = curves[0][referent], curves[g][referent]
                # the latent variable on the scale of the first group: mean + spread * eta
                spread = two.slope / one.slope
                mean = float(one.cuts.mean() - two.cuts.mean()) / one.slope
                for item in single:
                    weights = np.array([sizes[0] - 1, sizes[g] - 1], dtype=float)
                    sd = float(np.average([sds[0][item], sds[g][item]], weights=weights))
                    size = _drift(curves[0][item], curves[g][item].linked(mean, spread), mean, spread**2, sd)
                    row = {"latent": latent, "item": item, "group": label, "referent": referent}
                    out.append({**row, "dmacs": size.dmacs, "signed": size.signed})
        crossed = list(dict.fromkeys(i for items in self.measured.items.values() for i in items if i not in factor))
        notes = [
            f"dMACS compares the expected answers of two {self.noun} (numbers of categories) over the latent "
            "distribution of the second, in standard deviations of the item; scales are linked by the slope and the "
            "mean threshold of the referent."
        ]
        if crossed:
            notes.append(f"No dMACS for items of several latent variables: {', '.join(crossed)}.")
        return out, notes if out else notes[1:]

    def _curve(
        self, at: Mapping[tuple[int, str, str, str], Mapping[Any, Any]], g: int, latent: str, item: str
    ) -> _Curve:
        loading, level = at[g, latent, "=~", item]["est"], at[g, item, "~1", ""]["est"]
        if item not in self.levels:
            return _Curve(False, loading, np.array([-level]))
        residual = at[g, item, "~~", item]["est"]
        cuts = np.array([at[g, item, "|", f"t{k}"]["est"] for k in range(1, self.levels[item] + 1)])
        sd = float(np.sqrt(residual)) if residual > 0 else float("nan")
        return _Curve(True, loading / sd, (cuts - level) / sd)

    def _deviations(self, sample: Mapping[str, Any], n: int) -> dict[str, float]:
        """Return the standard deviation of each item, of ordinal ones that of the numbers of their categories."""
        out = {}
        for item in self.measured.factor:
            if item in self.levels:
                cuts = sample["th"].loc[[f"{item}|t{k}" for k in range(1, self.levels[item] + 1)]].to_numpy()
                above = special.ndtr(-cuts)
                rank = np.arange(1, len(cuts) + 1)
                # of x counted from 0: E x = sum of P(x >= k), E x^2 = sum of (2k - 1) P(x >= k)
                variance = float(((2 * rank - 1) * above).sum() - above.sum() ** 2)
            else:
                variance = float(sample["cov"].loc[item, item])
            out[item] = float(np.sqrt(variance * n / (n - 1)))
        return out


@dataclass(frozen=True)
class _Curve:
    """The expected answer to an item: the sum of Phi(slope eta - cut), or slope eta - cut of a numeric item."""

    ordinal: bool
    slope: float
    cuts: Array

    def linked(self, mean: float, spread: float) -> _Curve:
        """Return the curve of mean + spread * eta."""
        slope = self.slope / spread
        return _Curve(self.ordinal, slope, self.cuts + slope * mean)


def _drift(one: _Curve, two: _Curve, mean: float, variance: float, sd: float) -> Drift:
    if one.ordinal:
        return ordinal_drift(one.slope, one.cuts, two.slope, two.cuts, mean, variance, sd)
    return drift(one.slope, -float(one.cuts[0]), two.slope, -float(two.cuts[0]), mean, variance, sd)
