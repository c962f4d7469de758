"""Fit measures: numbers in, numbers out, with lavaan's definitions.

``n`` is the multiplier of the fit function (N for the normal likelihood, N - 1 for Wishart), chi-square is
``n * fmin * 2``. A measure that does not exist is NaN.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

__all__ = [
    "agfi",
    "aic",
    "bic",
    "bic2",
    "cfi",
    "chisq_pvalue",
    "critical_n",
    "ecvi",
    "gfi",
    "ifi",
    "log_likelihood",
    "mfi",
    "nfi",
    "pgfi",
    "pnfi",
    "rfi",
    "rmr",
    "rmsea",
    "rmsea_ci",
    "rmsea_pvalue",
    "rni",
    "srmr",
    "tli",
]

Array = npt.NDArray[np.floating[Any]]
NAN = float("nan")


def chisq_pvalue(chisq: float, df: float) -> float:
    """Return P(X > chisq) for X chi-square with `df` degrees of freedom; NaN for df = 0."""
    return float(special.chdtrc(df, max(chisq, 0.0))) if df > 0 else NAN


def cfi(chisq: float, df: float, baseline_chisq: float, baseline_df: float) -> float:
    """Comparative fit index, 1 - max(chisq - df, 0) / max(chisq - df, chisq_b - df_b, 0).

    Bentler (1990), doi:10.1037/0033-2909.107.2.238.
    """
    t1 = max(chisq - df, 0.0)
    t2 = max(chisq - df, baseline_chisq - baseline_df, 0.0)
    return 1.0 if t2 == 0 or (t1 < 1.5e-8 and t2 < 1.5e-8) else 1.0 - t1 / t2


def tli(chisq: float, df: float, baseline_chisq: float, baseline_df: float) -> float:
    """Tucker-Lewis (non-normed fit) index, 1 - (chisq - df) df_b / ((chisq_b - df_b) df); not clipped.

    Tucker & Lewis (1973), doi:10.1007/BF02291170; Bentler & Bonett (1980), doi:10.1037/0033-2909.88.3.588.
    """
    t2 = (baseline_chisq - baseline_df) * df
    return 1.0 - (chisq - df) * baseline_df / t2 if df > 0 and t2 != 0 else 1.0


def nfi(chisq: float, df: float, baseline_chisq: float, baseline_df: float) -> float:
    """Normed fit index, (chisq_b - chisq) / chisq_b. Bentler & Bonett (1980), doi:10.1037/0033-2909.88.3.588."""
    if df > baseline_df or baseline_chisq < 1.5e-8:
        return NAN
    return (baseline_chisq - chisq) / baseline_chisq if df > 0 else 1.0


def pnfi(chisq: float, df: float, baseline_chisq: float, baseline_df: float) -> float:
    """Parsimony normed fit index, df / df_b * NFI. James, Mulaik & Brett (1982)."""
    if baseline_df <= 0 or baseline_chisq <= 0:
        return NAN
    return df / baseline_df * (baseline_chisq - chisq) / baseline_chisq


def rfi(chisq: float, df: float, baseline_chisq: float, baseline_df: float) -> float:
    """Relative fit index, (chisq_b / df_b - chisq / df) / (chisq_b / df_b). Bollen (1986), doi:10.1007/BF02294061."""
    if df > baseline_df:
        return NAN
    if df <= 0 or baseline_df <= 0:
        return 1.0
    t2 = baseline_chisq / baseline_df
    t1 = t2 - chisq / df
    return 1.0 if t1 < 0 or t2 <= 0 else t1 / t2


def ifi(chisq: float, df: float, baseline_chisq: float) -> float:
    """Incremental fit index, (chisq_b - chisq) / (chisq_b - df). Bollen (1989), doi:10.1177/0049124189017003004."""
    t2 = baseline_chisq - df
    if t2 < 0:
        return 1.0
    return NAN if t2 < 1.5e-8 else (baseline_chisq - chisq) / t2


def rni(chisq: float, df: float, baseline_chisq: float, baseline_df: float) -> float:
    """Relative noncentrality index, 1 - (chisq - df) / (chisq_b - df_b).

    McDonald & Marsh (1990), doi:10.1037/0033-2909.107.2.247.
    """
    t2 = baseline_chisq - baseline_df
    return NAN if abs(t2) < 1.5e-8 else 1.0 - (chisq - df) / t2


def log_likelihood(
    cov: Array, mean: Array | None, sigma: Array, mu: Array | None, nobs: int, *, given: list[int] | None = None
) -> float:
    """Return the normal log-likelihood of `nobs` rows with the given moments.

    Parameters
    ----------
    cov, mean : (p, p) and (p,) arrays
        Sample moments; `mean` None takes the means as fitted exactly.
    sigma, mu : (p, p) and (p,) arrays
        Model moments.
    nobs : int
    given : list of int, optional
        Positions of variables the likelihood is conditional on (exogenous and fixed).
    """

    def joint(keep: list[int] | None) -> float:
        s, m = (cov, sigma) if keep is None else (cov[np.ix_(keep, keep)], sigma[np.ix_(keep, keep)])
        factor = np.linalg.cholesky(m)
        half = np.linalg.solve(factor, s)
        trace = float(np.trace(np.linalg.solve(factor, half.T)))
        value = len(m) * math.log(2 * math.pi) + 2 * float(np.log(np.diag(factor)).sum()) + trace
        if mean is not None and mu is not None:
            d = (mean - mu) if keep is None else (mean - mu)[keep]
            z = np.linalg.solve(factor, d)
            value += float(z @ z)
        return -0.5 * nobs * value

    return joint(None) - (joint(given) if given else 0.0)


def aic(logl: float, npar: int) -> float:
    """Return -2 logl + 2 npar. Akaike (1974), doi:10.1109/TAC.1974.1100705."""
    return -2 * logl + 2 * npar


def bic(logl: float, npar: int, nobs: int) -> float:
    """Return -2 logl + npar log N. Schwarz (1978), doi:10.1214/aos/1176344136."""
    return -2 * logl + npar * math.log(nobs)


def bic2(logl: float, npar: int, nobs: int) -> float:
    """Return the sample-size adjusted BIC, -2 logl + npar log((N + 2) / 24). Sclove (1987), doi:10.1007/BF02294360."""
    return -2 * logl + npar * math.log((nobs + 2) / 24)


def rmsea(chisq: float, df: float, n: int) -> float:
    """Root mean square error of approximation, sqrt(max(chisq / (n df) - 1 / n, 0)); 0 for df = 0.

    Steiger (1990), doi:10.1207/s15327906mbr2502_4.
    """
    return math.sqrt(max(chisq / n / df - 1 / n, 0.0)) if df > 0 else 0.0


def _noncentrality(chisq: float, df: float, probability: float, limit: float) -> float | None:
    """Return lambda with P(X <= chisq | df, lambda) = probability on [0, limit], or None if there is none."""
    from scipy.optimize import brentq

    def f(value: float) -> float:
        return float(special.chndtr(chisq, df, value)) - probability

    if f(0.0) < 0 or f(limit) > 0:
        return None
    return float(brentq(f, 0.0, limit, xtol=1e-10, rtol=1e-13))


def rmsea_ci(chisq: float, df: float, n: int, level: float = 0.90) -> tuple[float, float]:
    """Confidence interval of RMSEA from the noncentral chi-square distribution.

    Steiger (1990), doi:10.1207/s15327906mbr2502_4. The bounds solve P(X <= chisq | df, n df RMSEA^2) = (1 +- level) / 2
    to 1e-10; a bound without a solution is 0.
    """
    if df < 1:
        return 0.0, 0.0
    high, low = (1 + level) / 2, (1 - level) / 2
    lower = _noncentrality(chisq, df, high, chisq)
    upper = _noncentrality(chisq, df, low, max(float(n), 4 * chisq, 50.0))  # 50: small samples with small chisq
    return (
        0.0 if lower is None else math.sqrt(lower / (n * df)),
        0.0 if upper is None else math.sqrt(upper / (n * df)),
    )


def rmsea_pvalue(chisq: float, df: float, n: int, close: float = 0.05) -> float:
    """Test of close fit: P(X > chisq) for RMSEA `close`. Browne & Cudeck (1992), doi:10.1177/0049124192021002005."""
    return 1.0 - float(special.chndtr(chisq, df, n * df * close**2)) if df > 0 else NAN


def _residual_size(residual: Array, mean_residual: Array | None) -> float:
    lower = residual[np.tril_indices(len(residual))]
    total, count = float(lower @ lower), len(lower)
    if mean_residual is not None:
        total += float(mean_residual @ mean_residual)
        count += len(mean_residual)
    return math.sqrt(total / count)


def rmr(cov: Array, sigma: Array, mean: Array | None = None, mu: Array | None = None) -> float:
    """Root mean square of the residuals S - Sigma (lower triangle) and, with means, m - mu."""
    return _residual_size(cov - sigma, None if mean is None or mu is None else mean - mu)


def srmr(cov: Array, sigma: Array, mean: Array | None = None, mu: Array | None = None) -> float:
    """Standardized root mean square residual: residuals divided by the sample standard deviations.

    Bentler's form: (s_ij - sigma_ij) / sqrt(s_ii s_jj) over the lower triangle with diagonal and, with means,
    (m_i - mu_i) / sqrt(s_ii). Bentler (1995), EQS structural equations program manual.
    """
    sd = np.sqrt(np.diag(cov))
    return _residual_size((cov - sigma) / np.outer(sd, sd), None if mean is None or mu is None else (mean - mu) / sd)


def gfi(
    cov: Array,
    sigma: Array,
    mean: Array | None = None,
    mu: Array | None = None,
    *,
    given: list[int] | None = None,
    omega: Array | None = None,
) -> float:
    """Goodness of fit index, 1 - e'We / s'Ws with the normal-theory weight at Sigma.

    Without means this is 1 - tr[(Sigma^-1 S - I)^2] / tr[(Sigma^-1 S)^2] (Tanaka & Huba 1985,
    doi:10.1111/j.2044-8317.1985.tb00834.x); a mean structure adds d' Sigma^-1 d and m' Sigma^-1 m. Moments among
    fixed exogenous variables (`given`) get no weight, as in lavaan. `omega` replaces Sigma^-1 in the weight
    (GLS: S^-1).
    """
    omega = np.linalg.inv(sigma) if omega is None else omega

    def size(matrix: Array) -> float:
        # vech(matrix)' W vech(matrix) = 1/2 tr(Omega A Omega A); a zeroed row and column of W equals a zero in A
        if given:
            matrix = matrix.copy()
            matrix[np.ix_(given, given)] = 0.0
        product = omega @ matrix
        return 0.5 * float((product * product.T).sum())

    def length(vector: Array) -> float:
        if given:
            vector = vector.copy()
            vector[given] = 0.0
        return float(vector @ omega @ vector)

    numerator, denominator = size(cov - sigma), size(cov)
    if mean is not None and mu is not None:
        numerator += length(mean - mu)
        denominator += length(mean)
    return 1.0 - numerator / denominator


def agfi(value: float, moments: int, df: float) -> float:
    """Adjusted GFI, 1 - (moments / df) (1 - GFI); 1 for df = 0."""
    return 1.0 - moments / df * (1.0 - value) if df > 0 else 1.0


def pgfi(value: float, moments: int, df: float) -> float:
    """Parsimony GFI, df / moments * GFI. Mulaik et al. (1989), doi:10.1037/0033-2909.105.3.430."""
    return df / moments * value


def mfi(chisq: float, df: float, n: int) -> float:
    """McDonald's noncentrality index, exp(-(chisq - df) / (2 n)). McDonald (1989), doi:10.1007/BF01908590."""
    return math.exp(-0.5 * (chisq - df) / n)


def ecvi(chisq: float, npar: int, n: int) -> float:
    """Expected cross-validation index, (chisq + 2 npar) / n.

    Browne & Cudeck (1989), doi:10.1207/s15327906mbr2404_4.
    """
    return (chisq + 2 * npar) / n


def critical_n(chisq: float, df: float, n: int, alpha: float = 0.05) -> float:
    """Hoelter's critical N, chi-square quantile / (chisq / n) + 1; infinite for a perfect fit.

    Hoelter (1983), doi:10.1177/0049124183011003003.
    """
    if df == 0:
        return NAN if chisq < 2.3e-16 else 1.0
    if chisq <= 0.0:
        return math.inf
    return float(special.chdtri(df, alpha)) / (chisq / n) + 1.0
