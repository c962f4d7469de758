"""Cut-offs that tell the fit of a correct model from that of a misspecified one, by distributions over samples."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["CRITERIA", "NONE", "Cut", "construct_reliability", "cross_loading", "find_cut", "quantile_error"]

Array = npt.NDArray[np.floating[Any]]
NAN = float("nan")
#: Criteria in the order in which they are tried, each with the share of samples on the right side of the cut.
CRITERIA: tuple[tuple[str, float], ...] = (("95/5", 0.95), ("90/10", 0.90))
#: What stands in place of a criterion where distributions overlap too much.
NONE = "none"
#: Share of the largest possible cross-loading that is used, so that the residual variance stays positive.
MARGIN = 0.95


@dataclass(frozen=True)
class Cut:
    """A cut-off of one fit index for one misspecification.

    Attributes
    ----------
    value : float
        NaN where no criterion holds.
    criterion : str
        "95/5", "90/10" or "none".
    sensitivity, specificity : float
        Shares of the samples of the misspecified model at or beyond the cut, and of the correct model on this side.
    mcse : float
        Monte Carlo standard error of the value.
    correct : float
        What 95% of the samples of the correct model do not exceed (of CFI: reach).
    power : float
        Share of the samples of the misspecified model beyond that.
    """

    value: float
    criterion: str
    sensitivity: float
    specificity: float
    mcse: float
    correct: float
    power: float


def find_cut(correct: Array, wrong: Array, *, higher_is_worse: bool) -> Cut:
    """Return the cut-off that separates two distributions of a fit index (McNeish & Wolf 2023, doi:10.1037/met0000425).

    With SRMR and RMSEA the cut is the 5th percentile of the misspecified model, if that is above the 95th percentile
    of the correct one ("95/5"): at least 95% of both are on their own side. Else it is the 10th percentile, if that is
    above the 90th percentile of the correct model ("90/10"). Else there is none. Percentiles of CFI are the other way
    round. Quantiles are interpolated linearly between order statistics.

    Parameters
    ----------
    correct, wrong : (R,) arrays
        The index in samples of the correct and of the misspecified population; NaN are left out.
    higher_is_worse : bool
        True for SRMR and RMSEA, False for CFI.

    Raises
    ------
    ValueError
        If either has no number.
    """
    sign = 1.0 if higher_is_worse else -1.0
    good, bad = (sign * np.asarray(v, dtype=float) for v in (correct, wrong))
    good, bad = good[np.isfinite(good)], bad[np.isfinite(bad)]
    if not len(good) or not len(bad):
        raise ValueError("no values to compare")
    limit = float(np.quantile(good, CRITERIA[0][1]))
    power = float((bad > limit).mean())
    for name, share in CRITERIA:
        cut = float(np.quantile(bad, 1 - share))
        if float(np.quantile(good, share)) < cut:
            return Cut(
                sign * cut,
                name,
                float((bad >= cut).mean()),
                float((good < cut).mean()),
                quantile_error(bad, 1 - share),
                sign * limit,
                power,
            )
    return Cut(NAN, NONE, NAN, NAN, NAN, sign * limit, power)


def quantile_error(values: Array, share: float) -> float:
    """Return the Monte Carlo standard error of a quantile, without its density.

    Half the distance between the quantiles one binomial standard error, sqrt(p (1 - p) / R), to both sides; of the
    same order as the exact one (Serfling 1980, Approximation theorems of mathematical statistics, section 2.6).
    """
    if len(values) < 2:
        return NAN
    step = math.sqrt(share * (1 - share) / len(values))
    low, high = np.quantile(values, [max(share - step, 0.0), min(share + step, 1.0)])
    return float(high - low) / 2


def construct_reliability(loadings: Array) -> float:
    """Return coefficient H of standardized loadings, 1 / (1 + 1 / sum(l^2 / (1 - l^2))).

    Hancock & Mueller (2001), Rethinking construct reliability within latent variable systems.
    """
    squared = np.asarray(loadings, dtype=float) ** 2
    total = float((squared / (1 - squared)).sum())
    return 1.0 / (1.0 + 1.0 / total) if total > 0 else 0.0


def cross_loading(loading: float, correlation: float) -> float:
    """Return the cross-loading that a misspecified population gives to an item, in absolute value.

    As large as the item's own loading l, but at most .95 of sqrt(l^2 r^2 + 1 - l^2) - |l r|, with r the correlation of
    the two factors: up to there the item has a residual variance, whatever the signs (McNeish & Wolf 2023,
    doi:10.1037/met0000425).
    """
    size, both = abs(loading), abs(loading * correlation)
    return min(size, MARGIN * (math.sqrt(both**2 + 1 - size**2) - both))
