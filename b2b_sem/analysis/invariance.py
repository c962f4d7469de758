"""Measurement invariance across groups or over waves, step by step: ``invariance``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from b2b_sem.analysis.comparability import comparable, drift_effects, latent_means
from b2b_sem.analysis.fitted import Fit, context_of
from b2b_sem.analysis.intake import model_text, refuse
from b2b_sem.analysis.ladder import Ladder, Plan, Tested, check_steps, corrected_difference
from b2b_sem.analysis.ordinal_ladder import ORDINAL_STEPS, OrdinalPlan
from b2b_sem.analysis.path_fit import ESTIMATORS, ORDINAL_ESTIMATORS, is_ordinal
from b2b_sem.analysis.structural import fit as fit_model
from b2b_sem.engine.group import GroupProblem
from b2b_sem.engine.release import release_tests
from b2b_sem.engine.threads import single_thread
from b2b_sem.errors import DataError, Unsupported, did_you_mean
from b2b_sem.measures.difference import Difference
from b2b_sem.measures.equivalence import CRITERIA, Criteria
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


def invariance(
    model: str | Path | ModelSpec,
    data: Any,
    group: str | None = None,
    *,
    waves: Any = None,
    wave: str | None = None,
    person: str | None = None,
    correlated: bool = True,
    steps: Sequence[str] | None = None,
    estimator: str = "ML",
    missing: str = "listwise",
    criteria: str | Criteria = "chen",
    partial: bool = True,
    alpha: float = 0.05,
    stop: bool = True,
    ordered: Any = None,
    parameterization: str = "delta",
    cluster: str | None = None,
) -> InvarianceResult:
    """Test whether items measure the same in several groups or waves: configural, metric, scalar, strict invariance.

    Each step makes more of the measurement model equal in all groups and is compared with the last model that held.
    A step that fails is taken up again with parameters released one at a time (partial invariance; Byrne, Shavelson &
    Muthen 1989, doi:10.1037/0033-2909.105.3.456): the equality with the largest score test, if its p-value, adjusted
    for all tests of the round (Benjamini & Hochberg), is below `alpha`. At least two items of each latent variable
    keep equal loadings and intercepts. An item with a released loading has its intercept released, too.

    All latent variables have variance 1 and mean 0 in the first group, so that every loading is estimated and tested.

    Waves (`waves`, or `wave` and `person`) are one group that was asked the same items several times: one model has the
    latent variables of all waves, which covary freely, and its parameters become equal over waves instead of groups.

    With ordinal items (`ordered`) a step of equal thresholds comes before that of equal loadings, and models are
    identified as by Wu & Estabrook (2016), doi:10.1007/s11336-016-9506-0. Differences are tested by the scaled (and
    shifted) difference of Satorra (2000), releases by the generalized score test of Boos (1992),
    doi:10.1080/00031305.1992.10475921, which is chi-square distributed with any weight. Thresholds are released item by
    item, all of them: nothing else of such an item is then compared. CFI and RMSEA are the scaled ones.

    Parameters
    ----------
    model : str, Path or ModelSpec
        Of a model with regressions only the measurement part is used, with latent variables that covary freely.
    data : DataFrame or Responses
    group : str
        Column that tells groups apart. The first group in the data is the one that others are compared with.
    waves : mapping, optional
        In place of `group`. For a model of one wave: the label of each wave, and what follows the names of items and
        latent variables in it (``{"T1": "_t1", "T2": "_t2"}``), a pattern (``"t1_{}"``), a list of columns in the order
        in which the items stand in the model, or a mapping of items to columns. For a model of all waves: the latent
        variables of each scale (``{"dem": ["dem60", "dem65"]}``), whose items belong together by their order.
    wave, person : str, optional
        In place of `group` and `waves`, for long data with a row for each person and wave: the columns that tell waves
        and persons apart. Numbers are sorted, other waves stand as they first appear; ``waves=["before", "after"]``
        names them in another order.
    correlated : bool
        Whether, with waves, the residuals of an item covary with those of the same item in other waves.
    steps : sequence of str
        The first ones of "configural", "thresholds" (of ordinal items), "metric" (equal loadings), "scalar" (and
        intercepts), "strict" (and residual variances). Default: all.
    estimator : {"ML", "MLM", "MLMV", "MLR", "MLF"}
        With ordinal items "WLSMV" (the default), "WLSM", "WLSMVS", "ULSMV", "ULSM" or "ULSMVS".
    missing : {"listwise", "fiml"}
        With ordinal items "listwise" or "pairwise".
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
    ordered : sequence of str, str or True, optional
        Ordinal items; True for all.
    parameterization : {"delta", "theta"}
        Of ordinal items. Equal residual variances are parameters of "theta" only, which the last step takes in any
        case.
    cluster : str, optional
        Column that says which rows belong together, within groups (not for ordinal items): with "ML", "MLM" and "MLR"
        tests then allow for it. Score tests of what to release do not.

    Returns
    -------
    InvarianceResult

    Raises
    ------
    DataError
        For a group column or waves that cannot be used, and for wrong arguments.
    Unsupported
        For latent variables of a second order, other estimators, and constraints within the measurement part.
    """
    limits = _criteria(criteria, alpha)
    ordinal = is_ordinal(ordered)
    known = ORDINAL_STEPS if ordinal else STEPS
    wanted = check_steps(tuple(known) if steps is None else steps, known)
    if not 0 < alpha < 1:
        raise DataError(f"alpha is {alpha!r}", hint="give an error rate between 0 and 1, such as 0.05")
    name = str(estimator).upper()
    name = "WLSMV" if ordinal and name in ("ML", "DEFAULT") else name
    available = ORDINAL_ESTIMATORS if ordinal else ESTIMATORS
    if name not in available:
        raise Unsupported(
            f"estimator={estimator!r} is not available here.{did_you_mean(name, available)}",
            hint="use " + ", ".join(available) + ("" if ordinal or name not in ORDINAL_ESTIMATORS else ", or ordered"),
        )
    refuse(
        parameterization=(
            parameterization,
            ("delta", "theta") if ordinal else ("delta",),
            "use 'delta' or 'theta'" if ordinal else "it goes with ordinal items: give ordered=..., or leave it out",
        ),
        cluster=(
            cluster,
            (cluster,) if not ordinal and group is not None else (None,),
            "clusters are available for groups and continuous answers: leave it out",
        ),
    )
    if missing == "mi":
        raise Unsupported("missing='mi' is not available here", hint="use missing='fiml': all answers are used")
    over_waves = any(given is not None for given in (waves, wave, person))
    if over_waves == (group is not None):
        message = "group and waves are both given" if over_waves else "no group"
        raise DataError(message, hint="name the column that tells groups apart (group=...), or the waves (waves=...)")
    parsed = parse_model(*model_text(model))
    if over_waves:
        if name == "MLMV":
            raise Unsupported("estimator='MLMV' is not available over waves", hint="use ML, MLM, MLR or MLF")
        from b2b_sem.analysis.ordinal_wave import OrdinalWavePlan
        from b2b_sem.analysis.wave import WavePlan, wave_data

        waved, wide, title = wave_data(parsed, data, waves, wave, person, correlated)
        settings = (waved.measured, wide, title, name, missing)
        over: Plan = WavePlan(*settings, model=waved)
        if ordinal:
            over = OrdinalWavePlan(*settings, parameterization, ordered, model=waved)
        return Ladder(over, name, missing, limits, alpha, partial).climb(wanted, stop)
    if not correlated:
        raise DataError("correlated=False goes with waves", hint="leave it out: residuals of groups do not covary")
    measured = measurement_model(parsed)
    plan: Plan = GroupPlan(measured, data, str(group), name, missing, cluster=cluster)
    if ordinal:
        plan = OrdinalPlan(measured, data, str(group), name, missing, parameterization, ordered)
    return Ladder(plan, name, missing, limits, alpha, partial).climb(wanted, stop)


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
    group, estimator, missing, cluster : str
        As :func:`invariance` takes them.
    """

    measured: MeasurementModel
    data: Any
    group: str
    estimator: str
    missing: str
    cluster: str | None = field(default=None, kw_only=True)

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
            cluster=self.cluster,
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
        means = latent_means(ladder.fits["scalar"], self.measured) if ladder.reached >= 2 else []
        effects, notes = drift_effects(first, self.measured, ladder.exempt) if first.converged else ([], [])
        return {
            "group": self.group,
            "groups": dict(zip(first.groups, map(int, first.group_tests["nobs"]), strict=True)),
            "statements": comparable(ladder, OPERATOR),
            "notes": notes,
            "means": means,
            "effects": effects,
        }
