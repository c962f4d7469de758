"""When groups may be compared: criteria for steps of invariance, and the size of what differs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

__all__ = [
    "CRITERIA",
    "Criteria",
    "Drift",
    "decide_configural",
    "decide_step",
    "drift",
    "mean_effect",
    "ordinal_drift",
]


@dataclass(frozen=True)
class Criteria:
    """What a step may cost.

    Attributes
    ----------
    name, source : str
    cfi, rmsea : float or None
        Largest fall of the CFI and rise of the RMSEA; None: not looked at.
    srmr_loadings, srmr : float or None
        Largest rise of the SRMR where loadings become equal, and in later steps.
    alpha : float or None
        Error rate of the chi-square difference test; None: it does not decide.
    least_cfi, most_srmr : float
        What the configural model must reach (Bentler 1990, doi:10.1037/0033-2909.107.2.238; Hu & Bentler 1999,
        doi:10.1080/10705519909540118).
    """

    name: str
    source: str
    cfi: float | None = None
    rmsea: float | None = None
    srmr_loadings: float | None = None
    srmr: float | None = None
    alpha: float | None = None
    least_cfi: float = 0.90
    most_srmr: float = 0.08

    def numbers(self) -> Mapping[str, float]:
        """Return the limits that there are, by name."""
        there = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("name", "source")}
        return MappingProxyType({name: float(value) for name, value in there.items() if value is not None})


CRITERIA: Mapping[str, Criteria] = MappingProxyType(
    {
        "chen": Criteria("chen", "Chen (2007), doi:10.1080/10705510701301834", 0.010, 0.015, 0.030, 0.010),
        "cheung-rensvold": Criteria(
            "cheung-rensvold", "Cheung & Rensvold (2002), doi:10.1207/S15328007SEM0902_5", cfi=0.010
        ),
        "chisq": Criteria("chisq", "chi-square difference test", alpha=0.05),
    }
)
#: Indices are compared with limits of three digits; a change by rounding must not decide.
ROUNDING = 1e-9


def decide_configural(criteria: Criteria, cfi: float, srmr: float) -> tuple[bool, str]:
    """Return whether the model without equality fits well enough to go on, and why."""
    parts, holds = [], True
    for name, value, limit, fine in (
        ("CFI", cfi, criteria.least_cfi, cfi >= criteria.least_cfi - ROUNDING),
        ("SRMR", srmr, criteria.most_srmr, srmr <= criteria.most_srmr + ROUNDING),
    ):
        if math.isnan(value):
            continue
        holds = holds and fine
        word = "at least" if name == "CFI" else "at most"
        parts.append(f"{name} {value:.3f} ({'' if fine else 'not '}{word} {limit:.3f})")
    return holds, ", ".join(parts) or "no index says anything: all moments are reproduced"


def decide_step(
    criteria: Criteria, kind: str, cfi_fall: float, rmsea_rise: float, srmr_rise: float, pvalue: float
) -> tuple[bool, str]:
    """Return whether a step holds, and why.

    The CFI decides; RMSEA and SRMR, which reject too often in small samples (Chen 2007), decide together: both must
    rise by more than their limits.

    Parameters
    ----------
    criteria : Criteria
    kind : str
        What became equal: "thresholds", "loadings", "intercepts" or "residuals".
    cfi_fall, rmsea_rise, srmr_rise : float
        Changes for the worse; NaN where an index does not exist.
    pvalue : float
        Of the difference test.
    """
    srmr = criteria.srmr_loadings if kind == "loadings" else criteria.srmr
    parts: list[str] = []
    exceeded: dict[str, bool] = {}
    for name, change, limit, sign in (
        ("CFI", cfi_fall, criteria.cfi, -1),
        ("RMSEA", rmsea_rise, criteria.rmsea, 1),
        ("SRMR", srmr_rise, srmr, 1),
    ):
        if limit is None or math.isnan(change):
            continue
        exceeded[name] = change > limit + ROUNDING
        word = "beyond" if exceeded[name] else "within"
        parts.append(f"{name} {sign * change:+.3f} ({word} {sign * limit:+.3f})")
    others = [bad for name, bad in exceeded.items() if name != "CFI"]
    holds = not exceeded.get("CFI", False) and not (others and all(others))
    if criteria.alpha is not None and not math.isnan(pvalue):
        fine = pvalue >= criteria.alpha
        holds = holds and fine
        parts.append(f"difference test p = {pvalue:.4f} ({'not ' if fine else ''}below {criteria.alpha:g})")
    if not parts:
        return False, "none of the criteria can be computed"
    return holds, ", ".join(parts)


@dataclass(frozen=True)
class Drift:
    """How differently an item works in a group.

    Attributes
    ----------
    dmacs : float
        Size of the difference of the two expected answers over the group's latent distribution, in standard
        deviations of the item.
    signed : float
        Their mean difference, the group's minus the first group's, in the same unit: differences of opposite sign at
        different places of the latent variable cancel.
    """

    dmacs: float
    signed: float


def drift(
    loading1: float,
    intercept1: float,
    loading2: float,
    intercept2: float,
    mean: float,
    variance: float,
    sd: float,
) -> Drift:
    """Return dMACS of an item whose answers are linear in the latent variable.

    dMACS = sqrt(E[((nu1 + lambda1 eta) - (nu2 + lambda2 eta))^2]) / SD over eta ~ N(mean, variance) of the second
    group, which is sqrt((d_nu + d_lambda mean)^2 + d_lambda^2 variance) / SD (Nye & Drasgow 2011,
    doi:10.1037/a0022955); the signed form is (Nye et al. 2019, doi:10.1177/1094428118761122) their mean.

    Parameters
    ----------
    loading1, intercept1, loading2, intercept2 : float
        On one scale of the latent variable.
    mean, variance : float
        Of the latent variable in the second group.
    sd : float
        Pooled standard deviation of the item: the mean of those of the two groups, weighted by n - 1 (Nye & Drasgow,
        equation 3).
    """
    slope, level = loading2 - loading1, intercept2 - intercept1
    centre = level + slope * mean
    return Drift(math.sqrt(centre * centre + slope * slope * variance) / sd, centre / sd)


def ordinal_drift(
    slope1: float,
    cuts1: Sequence[float] | npt.NDArray[Any],
    slope2: float,
    cuts2: Sequence[float] | npt.NDArray[Any],
    mean: float,
    variance: float,
    sd: float,
) -> Drift:
    """Return dMACS of an item whose ordered answers follow a probit model.

    The expected answer, categories numbered in steps of 1, is a constant plus the sum over thresholds k of
    Phi(slope eta - cut_k). dMACS = sqrt(E[(difference of the two expected answers)^2]) / SD over eta ~ N(mean,
    variance) of the second group: the definition of Nye & Drasgow (2011), doi:10.1037/a0022955, with expected answers
    that are not linear in eta (as in Meade 2010, doi:10.1037/a0018966); signed: their mean.

    Parameters
    ----------
    slope1, slope2 : float
        Loadings divided by the standard deviation of the residual, on one scale of the latent variable.
    cuts1, cuts2 : sequences of float, same length
        Thresholds minus intercepts, divided likewise.
    mean, variance : float
        Of the latent variable in the second group.
    sd : float
        Pooled standard deviation of the item, categories numbered in steps of 1.
    """
    # the integrand is smooth and vanishes at both ends: equal steps are exact to rounding
    z = np.linspace(-9.0, 9.0, 1201)
    weight = np.exp(-0.5 * z * z)
    weight /= weight.sum()
    eta = mean + math.sqrt(variance) * z
    gap = np.zeros_like(eta)
    for one, two in zip(cuts1, cuts2, strict=True):
        gap += special.ndtr(slope2 * eta - two) - special.ndtr(slope1 * eta - one)
    return Drift(math.sqrt(float(weight @ (gap * gap))) / sd, float(weight @ gap) / sd)


def mean_effect(mean1: float, variance1: float, n1: int, mean2: float, variance2: float, n2: int) -> float:
    """Return the standardized difference of two latent means, in units of the pooled standard deviation.

    (mean2 - mean1) / sqrt((n1 var1 + n2 var2) / (n1 + n2)) (Hancock 2001, doi:10.1007/BF02294440). NaN where a
    variance is not positive.
    """
    if not (variance1 > 0 and variance2 > 0):
        return math.nan
    return (mean2 - mean1) / math.sqrt((n1 * variance1 + n2 * variance2) / (n1 + n2))
