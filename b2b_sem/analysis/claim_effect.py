"""Claims on groups with latents of their own: total, direct and indirect effects of being in a group."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, cast

import numpy as np
import pandas as pd
from scipy import special

from b2b_sem.analysis.compare import compare
from b2b_sem.analysis.effect import indirect_effects
from b2b_sem.analysis.fitted import Fit, context_of
from b2b_sem.analysis.group_claim import settle
from b2b_sem.analysis.invariance import invariance
from b2b_sem.analysis.path_fit import NumericPaths, OrdinalPaths, PathModel
from b2b_sem.analysis.structural import fit as fit_model
from b2b_sem.analysis.wald import wald_chisq
from b2b_sem.engine.mean_difference import mean_differences
from b2b_sem.errors import B2BSemError, DataError, ModelError
from b2b_sem.measures.notation import number, p_phrase
from b2b_sem.results.fit import FitResult
from b2b_sem.results.group_claim import CLAIM_COLUMNS, SLOPE_COLUMNS, GroupClaim
from b2b_sem.results.invariance import InvarianceResult
from b2b_sem.spec.claim import ClaimModel
from b2b_sem.spec.threshold import ORDINAL_STEPS

__all__ = ["compare_claim"]

EQUAL = ("loadings", "intercepts")
CHANGES = (
    "Groups were not assigned by chance: direct and indirect parts describe the difference and do not prove what "
    "causes it."
)


def compare_claim(
    claim: ClaimModel,
    frame: pd.DataFrame,
    groups: pd.Series,
    settings: Mapping[str, Any],
    *,
    alpha: float,
    level: float,
    fit: FitResult | None = None,
) -> GroupClaim:
    """Test a claim on groups with the latents that it is about.

    A part ``RG -> AU`` is tested by regression where the model of the claim measures RG, else by the difference of the
    latent means of AU between two groups, in a model with equal loadings and intercepts, released ones aside. With
    mediators or covariates one joint model of the latents has their paths, with slopes that are equal in both groups
    unless the test of that says otherwise (difference of chi-squares, scaled where the estimator scales; the Wald test
    where there is none). Then slopes are free, and direct differences are those at the mean of all respondents.

    Parameters
    ----------
    claim : ClaimModel
        See :meth:`b2b_sem.spec.model.ModelSpec.claim_model`.
    frame : DataFrame
        Scored answers.
    groups : Series
        Group of each respondent, missing for those in none: see :func:`b2b_sem.analysis.split.split_answers`.
    settings : mapping
        Of the fit. Means are compared by maximum likelihood as in :func:`compare_split`.
    alpha, level : float
        Error rate of the test of slopes and of score tests, and confidence level.
    fit : FitResult, optional
        Of the main model, which serves for regressions if it has all of the claim.

    Returns
    -------
    GroupClaim
        With reasons instead of an error for what cannot be tested.
    """
    work = _Work(claim, alpha, level)
    try:
        if claim.starts:
            work.add_paths(frame, settings, fit)
    except B2BSemError as error:
        work.reasons.append(f"Paths of {claim.id} were not tested: {error.message}.")
    try:
        if work.outcomes:
            work.add_means(frame, groups, settings)
    except B2BSemError as error:
        work.reasons.append(f"Means of {claim.id} were not compared: {error.message}.")
    return work.result()


@dataclass
class _Work:
    """Work in progress."""

    claim: ClaimModel
    alpha: float
    level: float
    level_name: str = ""
    reference: str = ""
    ladder: InvarianceResult | None = None
    equal_slopes: bool | None = None
    slopes_test: dict[str, float] = field(default_factory=dict)
    slopes: list[dict[str, Any]] = field(default_factory=list)
    effects: list[dict[str, Any]] = field(default_factory=list)
    statements: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def outcomes(self) -> list[str]:
        """What means are compared of."""
        return list(dict.fromkeys(end for start, end in self.claim.pairs if start not in self.claim.starts))

    @property
    def role(self) -> str:
        return "mediators" if self.claim.mediators else "covariates" if self.claim.covariates else ""

    # ---- measured variables in the place of groups -----------------------------------------------------------------

    def add_paths(self, frame: pd.DataFrame, settings: Mapping[str, Any], fit: FitResult | None) -> None:
        """Add the effects of measured variables, from the main model or the one of the claim, all respondents."""
        claim = self.claim
        if not claim.in_main:
            fit = fit_model(claim.text, frame, **_single(settings, claim))
        if fit is None:
            raise DataError("the main model was not fitted")
        if not fit.ok:
            raise ModelError(f"no verdict rests on this fit: {fit.failure}")
        found = indirect_effects(fit, level=self.level)
        judged = "direct" if claim.covariates else "total"
        for start, end in claim.pairs:
            if start not in claim.starts:
                continue
            table = found.select(outcome=end, predictor=start)
            there = set(table["kind"])
            # without an indirect path there is no row of the total effect, which is the direct one
            alone = there <= {"direct"}
            for row in table.to_dict("records"):
                kind = row["kind"]
                if kind == "specific":
                    effect, through = "indirect", " and ".join(row["path"].split(" -> ")[1:-1])
                elif kind == "indirect":
                    if (table["kind"] == "specific").sum() < 2:
                        continue
                    effect, through = "indirect", ""
                else:
                    effect, through = kind, ""
                numbers = {k: float(row[k]) for k in ("est", "se", "z", "pvalue", "ci_lower", "ci_upper")}
                own = {"outcome": end, "predictor": start, "effect": effect, "through": through, "at": "", **numbers}
                self.effects.append({**own, "judged": effect == judged or (alone and effect == "direct")})

    # ---- means -----------------------------------------------------------------------------------------------------

    def add_means(self, frame: pd.DataFrame, groups: pd.Series, settings: Mapping[str, Any]) -> None:
        """Climb the ladder of invariance, fit the joint model, and add differences of means."""
        claim = self.claim
        data = self._sorted(frame, groups)
        options, replaced = settle(_of_claim(settings))
        self.notes += replaced
        assert claim.group is not None
        ordinal = "ordered" in options
        steps = tuple(ORDINAL_STEPS)[:4] if ordinal else ("configural", "metric", "scalar")
        self.ladder = ladder = invariance(claim.text, data, claim.group, steps=steps, alpha=self.alpha, **options)
        if ladder.holds != "scalar":
            raise ModelError("latent means may not be compared: equal intercepts were not established")
        inside = [pair for pair in claim.regressions if set(pair) <= set(claim.latents)]
        if not inside:
            self._differences(cast(Fit, ladder.fit("scalar")), unequal=False)
            return
        exempt = tuple(ladder.releases["parameter"])
        options |= {"group": claim.group, "std_lv": True}
        # the measurement as the ladder fitted it, scales of latent variables left to std_lv
        text = f"{ladder.model}\n{claim.structure}"
        models: PathModel = OrdinalPaths(text, None, data, exempt, options, step="scalar")
        if not ordinal:
            models = NumericPaths(text, None, data, EQUAL, exempt, {**options, "meanstructure": True})
        free, equal = models.free(), models.equal((), ())
        self._compare_slopes(free, equal, inside)
        self._differences(equal if self.equal_slopes else free, unequal=not self.equal_slopes)
        if claim.mediators:
            self.notes.append(CHANGES)

    def _sorted(self, frame: pd.DataFrame, groups: pd.Series) -> pd.DataFrame:
        """Return the answers with the group of each, those of the other group first."""
        claim = self.claim
        if claim.group is None or claim.level is None:
            raise DataError("the proposition does not say which group is meant ('level')")
        labels = sorted(groups.dropna().unique().tolist())
        if len(labels) != 2 or claim.level not in labels:
            raise DataError(f"the groups are {', '.join(labels)}, not '{claim.level}' and one other")
        self.level_name = claim.level
        self.reference = next(label for label in labels if label != claim.level)
        order = np.argsort((groups == claim.level).to_numpy(), kind="stable")
        return frame.assign(**{claim.group: groups}).iloc[order]

    def _compare_slopes(self, free: Fit, equal: Fit, paths: Sequence[tuple[str, str]]) -> None:
        """Test equal slopes and choose the model that the differences rest on."""
        if not free.ok:
            raise ModelError(f"the model with the paths of {self.claim.id} cannot be used: {free.failure}")
        context = context_of(free)
        raw = context.problem.values(context.solution.theta)
        at = {(r.lhs, r.rhs, r.group): i for i, r in enumerate(context.problem.table.rows) if r.op == "~"}
        pairs = [(at[y, x, 1], at[y, x, 2]) for y, x in paths]
        jacobian = np.array([raw.jacobian[b] - raw.jacobian[a] for a, b in pairs])
        value = np.array([raw.value[b] - raw.value[a] for a, b in pairs])
        cov = jacobian @ context.vcov @ jacobian.T
        wald = wald_chisq(value, cov)
        test = {"chisq": math.nan, "df": float(len(pairs)), "pvalue": math.nan}
        if equal.converged and equal.identified:
            row = compare(free, equal).table.iloc[-1]
            test = {"chisq": float(row["chisq_diff"]), "df": float(row["df_diff"]), "pvalue": float(row["pvalue"])}
        self.slopes_test = {**test, "wald": wald, "wald_pvalue": float(special.chdtrc(len(pairs), wald))}
        for (y, x), (a, b), est, variance in zip(paths, pairs, value, np.diag(cov), strict=True):
            sides = {"path": f"{y}~{x}", "first": float(raw.value[a]), "second": float(raw.value[b])}
            self.slopes.append({**sides, **self._numbers(float(est), float(variance))})
        p, chisq = test["pvalue"], test["chisq"]
        if not math.isfinite(p):
            p, chisq = self.slopes_test["wald_pvalue"], wald
        found = f"chi-square = {number(chisq)}, df = {test['df']:.0f}, {p_phrase(p)}" if math.isfinite(p) else "no test"
        self.equal_slopes = p >= self.alpha and equal.ok
        names = f"The slope{'s' * (len(pairs) > 1)} of {', '.join(f'{y} on {x}' for y, x in paths)}"
        verb, do = ("differ", "do") if len(pairs) > 1 else ("differs", "does")
        if self.equal_slopes:
            self.statements.append(
                f"{names} {do} not differ reliably between the groups ({found}): the differences rest on equal slopes."
            )
            return
        why = f"{verb} between the groups" if p < self.alpha else f"{do} not have to be equal: there is no usable test"
        self.statements.append(
            f"{names} {why} ({found}). The direct difference then depends on {', '.join(self.claim.between)}: the one "
            "given is that at the mean of all respondents; those at the means of each group stand beside it."
        )

    def _differences(self, fit: Fit, *, unequal: bool) -> None:
        """Add the differences of means from a joint fit of both groups."""
        if not fit.ok:
            raise ModelError(f"no verdict rests on this fit: {fit.failure}")
        context = context_of(fit)
        raw = context.problem.values(context.solution.theta)
        sizes = fit.group_tests["nobs"].to_numpy(float)
        shares = (float(sizes[0] / sizes.sum()), float(sizes[1] / sizes.sum()))
        table = context.problem.table
        wheres = {"": "", "first": self.reference, "second": self.level_name}
        found = mean_differences(table, raw, self.outcomes, (1, 2), shares, unequal)
        adjusted = {d.outcome for d in found if d.effect == "direct"} if self.claim.covariates else set()
        for d in found:
            own = {"outcome": d.outcome, "predictor": self.level_name, "effect": d.effect, "through": d.through}
            numbers = self._numbers(d.value, float(d.slope @ context.vcov @ d.slope))
            chosen = d.at == "" and d.effect == ("direct" if d.outcome in adjusted else "total")
            self.effects.append({**own, "at": wheres[d.at], **numbers, "judged": chosen})
        self.notes.append(
            f"Differences are {self.level_name} minus {self.reference}, in standard deviations of the outcome in "
            f"{self.reference}."
        )

    def _numbers(self, est: float, variance: float) -> dict[str, float]:
        se = math.sqrt(variance) if variance > 0 else math.nan
        reach = float(special.ndtri(0.5 + self.level / 2)) * se
        z = est / se
        ends = {"ci_lower": est - reach, "ci_upper": est + reach}
        return {"est": est, "se": se, "z": z, "pvalue": float(special.chdtrc(1, z**2)), **ends}

    def result(self) -> GroupClaim:
        """Return what was found."""
        return GroupClaim(
            id=self.claim.id,
            level=self.level_name,
            reference=self.reference,
            role=self.role,
            between=self.claim.between,
            text=self.claim.text,
            invariance=self.ladder,
            equal_slopes=self.equal_slopes,
            slopes_test=MappingProxyType(self.slopes_test),
            alpha=self.alpha,
            level_ci=self.level,
            statements=tuple(self.statements),
            reasons=tuple(self.reasons),
            notes=tuple(self.notes),
            _effects=pd.DataFrame(self.effects, columns=list(CLAIM_COLUMNS)),
            _slopes=pd.DataFrame(self.slopes, columns=list(SLOPE_COLUMNS)),
        )


def _single(settings: Mapping[str, Any], claim: ClaimModel) -> dict[str, Any]:
    """Return the settings of the main fit for one of the claim's latents alone."""
    return {k: v for k, v in _of_claim(settings).items() if k not in ("group", "group_equal", "group_partial")}


def _of_claim(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings for the latents of a claim: items that the main model does not have are of the same kind."""
    own = dict(settings)
    if isinstance(own.get("ordered"), list | tuple):
        own["ordered"] = bool(own["ordered"])
    return own
