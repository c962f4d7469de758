"""Pooling of analyses of imputed data sets by Rubin's rules: numbers in, numbers out.

m completed data sets give m estimates Q_i with variances U_i. Rubin (1987), doi:10.1002/9780470316696:

    Q = mean(Q_i)    W = mean(U_i)    B = sum (Q_i - Q)^2 / (m - 1)    T = W + (1 + 1/m) B

The relative increase of variance by the missing answers is r = (1 + 1/m) B / W. Tests of several parameters at once
(D1 to D4) assume that r is the same for all of them; ``riv`` is its estimate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

__all__ = [
    "PooledF",
    "Rubin",
    "imputations_needed",
    "pool_d1",
    "pool_d2",
    "pool_d3",
    "pool_d4",
    "pool_scalars",
    "t_interval",
]

Array = npt.NDArray[np.floating[Any]]
NAN = float("nan")
#: Degrees of freedom above this are counted as infinite: the normal distribution, as in semTools.
MANY_DF = 9999.0


@dataclass(frozen=True)
class Rubin:
    """Pooled scalars, each of shape (k,).

    Attributes
    ----------
    estimate, within, between, total : array
        Q, W, B and T.
    df : array
        Of the t distribution of (Q - true value) / sqrt(T).
    riv : array
        r, the relative increase in variance; NaN without a variance.
    fmi : array
        (1 + 1/m) B / T, the share of the variance that is due to the missing answers.
    """

    estimate: Array
    within: Array
    between: Array
    total: Array
    df: Array
    riv: Array
    fmi: Array


@dataclass(frozen=True)
class PooledF:
    """A pooled test of `df1` restrictions.

    Attributes
    ----------
    f, df1, df2, pvalue : float
        F statistic; `df2` infinite where nothing is missing.
    riv : float
        Average relative increase in variance.
    """

    f: float
    df1: float
    df2: float
    pvalue: float
    riv: float

    @property
    def chisq(self) -> float:
        """F times its first degrees of freedom: chi-square when there are many imputations."""
        return self.f * self.df1

    @property
    def fmi(self) -> float:
        """Share of the information that is missing, riv / (1 + riv)."""
        return self.riv / (1.0 + self.riv)


def pool_scalars(estimates: Array, variances: Array, complete_df: float = math.inf) -> Rubin:
    """Pool k scalars over m imputed data sets.

    Parameters
    ----------
    estimates, variances : (m, k) arrays
    complete_df : float
        Degrees of freedom the test would have with complete data. Infinite (normal) gives Rubin's
        (m - 1) (1 + 1/r)^2; otherwise those of Barnard & Rubin (1999), doi:10.1093/biomet/86.4.948.

    Raises
    ------
    ValueError
        For fewer than two imputations.
    """
    m = len(estimates)
    if m < 2:
        raise ValueError("the variance between imputations needs at least two of them")
    return from_parts(estimates.mean(axis=0), variances.mean(axis=0), estimates.var(axis=0, ddof=1), m, complete_df)


def from_parts(estimate: Array, within: Array, between: Array, m: int, complete_df: float = math.inf) -> Rubin:
    """Return the pooled scalars of Q, W and B: see :func:`pool_scalars`."""
    extra = (1.0 + 1.0 / m) * between
    total = within + extra
    with np.errstate(divide="ignore", invalid="ignore"):
        riv = np.where(within > 0, extra / within, NAN)
        df = np.where(extra > 0, (m - 1) * (1.0 + within / extra) ** 2, math.inf)
        fmi = np.where(total > 0, extra / total, NAN)
        if math.isfinite(complete_df):
            observed = (1.0 - fmi) * (complete_df + 1.0) / (complete_df + 3.0) * complete_df
            df = 1.0 / (1.0 / df + 1.0 / observed)
    return Rubin(estimate, within, between, total, df, riv, fmi)


def t_interval(estimate: Array, se: Array, df: Array, level: float = 0.95) -> tuple[Array, Array, Array, Array]:
    """Return statistic, p-value and the bounds of the interval by the t distribution; NaN statistics without an SE."""
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = np.where(se > 0, estimate / se, NAN)
    normal = ~(df <= MANY_DF)
    finite = np.where(normal, 1.0, df)
    low = -np.abs(statistic)
    tail = np.where(normal, special.ndtr(low), special.stdtr(finite, low))
    quantile = np.where(normal, special.ndtri(0.5 + level / 2), special.stdtrit(finite, 0.5 + level / 2))
    return statistic, 2.0 * tail, estimate - quantile * se, estimate + quantile * se


def pool_d1(estimate: Array, within: Array, between: Array, m: int) -> PooledF:
    """Test that k parameters are zero: D1 = Q' W^-1 Q / (k (1 + r)), r = (1 + 1/m) tr(B W^-1) / k.

    Li, Raghunathan & Rubin (1991), doi:10.1080/01621459.1991.10475152.

    Parameters
    ----------
    estimate : (k,) array
    within, between : (k, k) arrays
        Mean covariance matrix of the k estimates, and their covariance matrix over imputations.
    m : int
    """
    k = len(estimate)
    riv = (1.0 + 1.0 / m) * float(np.trace(np.linalg.solve(within, between))) / k
    f = float(estimate @ np.linalg.solve(within, estimate)) / (k * (1.0 + riv))
    return _f(f, k, _likelihood_df(k, m, riv), riv)


def pool_d2(chisq: Array, df: float) -> PooledF:
    """Pool m chi-square statistics.

    D2 = (mean(w) / k - (m + 1) / (m - 1) r) / (1 + r) with r = (1 + 1/m) var(sqrt(w)) and
    k^(-3/m) (m - 1) (1 + 1/r)^2 degrees of freedom below. It needs no more than the statistics, which costs power. A
    negative D2 counts as 0. Li, Meng, Raghunathan & Rubin (1991), Statistica Sinica, 1, 65-92.
    """
    m = len(chisq)
    w = np.maximum(np.asarray(chisq, dtype=float), 0.0)
    riv = (1.0 + 1.0 / m) * float(np.sqrt(w).var(ddof=1))
    f = (float(w.mean()) / df - (m + 1) / (m - 1) * riv) / (1.0 + riv)
    below = df ** (-3.0 / m) * (m - 1) * (1.0 + 1.0 / riv) ** 2 if riv > 0 else math.inf
    return _f(max(f, 0.0), df, below, riv)


def pool_d3(mean_ratio: float, ratio_at_mean: float, df: int, m: int) -> PooledF:
    """Pool likelihood ratios: D3 = d_L / (k (1 + r)), r = (m + 1) / (k (m - 1)) (d_bar - d_L).

    Meng & Rubin (1992), doi:10.1093/biomet/79.1.103. A negative D3 counts as 0; r is not truncated, as in semTools.

    Parameters
    ----------
    mean_ratio : float
        d_bar: mean over the data sets of the ratio at the estimates of each, -2 (l_0 - l_1).
    ratio_at_mean : float
        d_L: mean of the ratio at the pooled estimates of both models.
    df, m : int
    """
    riv = (m + 1) / (df * (m - 1)) * (mean_ratio - ratio_at_mean)
    if 1.0 + riv <= 0:
        return PooledF(NAN, df, NAN, NAN, riv)
    f = max(ratio_at_mean / (df * (1.0 + riv)), 0.0)
    return _f(f, df, _likelihood_df(df, m, riv), riv)


def pool_d4(mean_ratio: float, stacked_ratio: float, df: int, m: int) -> PooledF:
    """Pool likelihood ratios by stacking: D4 = d_S / (k (1 + r)), r = max(0, (m + 1) / (k (m - 1)) (d_bar - d_S)).

    Chan & Meng (2022), doi:10.5705/ss.202019.0314. D4 does not change when parameters are transformed, and is never
    negative.

    Parameters
    ----------
    mean_ratio : float
        d_bar: mean over the data sets of the likelihood ratio of each.
    stacked_ratio : float
        d_S: likelihood ratio of the models fitted to all data sets stacked, divided by m.
    df, m : int
    """
    riv = max((m + 1) / (df * (m - 1)) * (mean_ratio - stacked_ratio), 0.0)
    below = df * (m - 1) * (1.0 + 1.0 / riv) ** 2 if riv > 0 else math.inf
    return _f(max(stacked_ratio, 0.0) / (df * (1.0 + riv)), df, below, riv)


def _likelihood_df(k: int, m: int, riv: float) -> float:
    """Return the second degrees of freedom of D1 and D3 (Li, Raghunathan & Rubin 1991)."""
    a = k * (m - 1)
    if riv == 0:
        return math.inf
    if a > 4:
        return 4.0 + (a - 4.0) * (1.0 + (1.0 - 2.0 / a) / riv) ** 2
    return a * (1.0 + 1.0 / k) * (1.0 + 1.0 / riv) ** 2 / 2.0


def _f(f: float, df1: float, df2: float, riv: float) -> PooledF:
    # with very many degrees of freedom below, k F is chi-square to the last digit
    known = not math.isnan(f + df2)
    tail = special.chdtrc(df1, f * df1) if df2 > 1e9 else special.fdtrc(df1, df2, f)
    return PooledF(f, df1, df2, float(tail) if known else NAN, riv)


def imputations_needed(fmi: float, m: int, cv: float = 0.05, level: float = 0.95) -> float:
    """Return how many imputations make a standard error repeatable: 1 + (fmi / cv)^2 / 2, rounded up.

    Another run with that many gives an SE that differs by a coefficient of variation `cv`. `fmi` is itself uncertain:
    the upper bound of its interval is used, logit(fmi) + z sqrt(2 / m). von Hippel (2020),
    doi:10.1177/0049124117747303.
    """
    if not 0.0 < fmi < 1.0:
        return 2.0 if fmi == 0 else NAN
    upper = special.expit(special.logit(fmi) + special.ndtri(0.5 + level / 2) * math.sqrt(2.0 / m))
    return float(max(math.ceil(1.0 + 0.5 * (upper / cv) ** 2), 2))
