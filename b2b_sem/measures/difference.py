"""Chi-square difference tests of nested models: numbers in, numbers out.

Model 1 is the larger one, model 0 the restricted one. T is the unscaled chi-square, r its degrees of freedom and c its
scaling factor (T / c is the scaled chi-square).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from b2b_sem.measures.fit import chisq_pvalue

__all__ = [
    "Difference",
    "difference",
    "satorra_2000",
    "satorra_bentler_2001",
    "satorra_bentler_2010",
    "scaled_likelihood_ratio",
]

Array = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Difference:
    """A difference test.

    Attributes
    ----------
    chisq, pvalue : float
    df : int
    scaling_factor : float
        What the difference of the unscaled chi-squares was divided by.
    """

    chisq: float
    df: int
    pvalue: float
    scaling_factor: float = 1.0


def _scaled(difference: float, df: int, factor: float) -> Difference:
    # a negative factor says that the scaled difference does not exist
    chisq = difference / factor if factor > 0 else math.nan
    return Difference(chisq, df, chisq_pvalue(chisq, df) if factor > 0 else math.nan, factor)


def difference(chisq1: float, df1: int, chisq0: float, df0: int) -> Difference:
    """Return the likelihood-ratio difference T0 - T1 with r0 - r1 degrees of freedom."""
    return _scaled(chisq0 - chisq1, df0 - df1, 1.0)


def satorra_bentler_2001(
    chisq1: float, df1: int, factor1: float, chisq0: float, df0: int, factor0: float
) -> Difference:
    """Scaled difference (T0 - T1) / c, c = (r0 c0 - r1 c1) / (r0 - r1).

    Satorra & Bentler (2001), doi:10.1007/BF02296192. c can be negative; the test then does not exist (NaN).

    Parameters
    ----------
    chisq1, df1, factor1 : float, int, float
        Of the larger model; the factor of a saturated model does not matter.
    chisq0, df0, factor0 : float, int, float
        Of the restricted model.
    """
    first = df1 * factor1 if df1 else 0.0
    return _scaled(chisq0 - chisq1, df0 - df1, (df0 * factor0 - first) / (df0 - df1))


def satorra_bentler_2010(
    chisq1: float, df1: int, factor10: float, chisq0: float, df0: int, factor0: float
) -> Difference:
    """Scaled difference with c = (r0 c0 - r1 c10) / (r0 - r1), which is positive.

    Satorra & Bentler (2010), doi:10.1007/s11336-009-9135-y.

    Parameters
    ----------
    chisq1, df1 : float, int
        Of the larger model.
    factor10 : float
        c10: scaling factor of the larger model evaluated at the estimates of the restricted one.
    chisq0, df0, factor0 : float, int, float
        Of the restricted model.
    """
    return satorra_bentler_2001(chisq1, df1, factor10, chisq0, df0, factor0)


def scaled_likelihood_ratio(
    logl1: float, npar1: int, factor1: float, logl0: float, npar0: int, factor0: float
) -> Difference:
    """Scaled likelihood-ratio test 2 (l1 - l0) / c, c = (q1 c1 - q0 c0) / (q1 - q0), for models without a chi-square.

    Satorra & Bentler (2010), doi:10.1007/s11336-009-9135-y, for log-likelihoods: q is the number of free parameters and
    c = tr(I^-1 J) / q, with the observed information I and the cross-products J of the scores. With c1 of the larger
    model at the estimates of the restricted one the scaling factor is that of 2010, else that of 2001.

    Parameters
    ----------
    logl1, npar1, factor1 : float, int, float
        Of the larger model.
    logl0, npar0, factor0 : float, int, float
        Of the restricted model.
    """
    return satorra_bentler_2001(-2.0 * logl1, -npar1, factor1, -2.0 * logl0, -npar0, factor0)


def satorra_2000(
    chisq1: float,
    df1: int,
    chisq0: float,
    df0: int,
    *,
    restriction: Array,
    inverse: Array,
    meat: Array,
    shifted: bool = False,
) -> Difference:
    """Scaled difference with c = tr(M) / (r0 - r1), M = A P^-1 B P^-1 A' (A P^-1 A')^-1.

    Satorra (2000), doi:10.1007/978-1-4615-4603-0_17. Scaled and shifted it is a (T0 - T1) + d - a tr(M), with
    d = r0 - r1 and a = sqrt(d / tr(M^2)) (Asparouhov & Muthen 2010, "Simple second order chi-square correction",
    Mplus technical appendix), which has the variance of a chi-square as well as its mean.

    Parameters
    ----------
    chisq1, df1, chisq0, df0 : float, int
    restriction : (r0 - r1, q) array
        A: derivative of the restrictions that turn the larger model into the other.
    inverse : (q, q) array
        P^-1: inverse information of one observation of the larger model, within its constraints.
    meat : (q, q) array
        B: covariance matrix of the casewise scores of the larger model.
    shifted : bool
        Scaled and shifted; the scaling factor is then 1 / a.
    """
    bread = restriction @ inverse
    middle = np.linalg.pinv(bread @ restriction.T, hermitian=True)
    product = middle @ bread @ meat @ bread.T
    trace, df = float(np.trace(product)), df0 - df1
    if not shifted:
        return _scaled(chisq0 - chisq1, df, trace / df)
    a = math.sqrt(df / float((product * product.T).sum()))
    chisq = a * (chisq0 - chisq1) + df - a * trace
    return Difference(chisq, df, chisq_pvalue(chisq, df), 1 / a)
