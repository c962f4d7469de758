"""Fit measures corrected for non-normality: numbers in, numbers out, with lavaan's definitions.

`factor` is the scaling factor c of the model's test statistic (scaled chi-square = chi-square / c), `baseline_factor`
that of the baseline model. The population value these measures estimate is the one of the uncorrected measure under
normality, unlike that of measures computed from the scaled chi-square.
"""

from __future__ import annotations

import math

from b2b_sem.measures import fit as fm

__all__ = ["cfi_robust", "rmsea_ci_robust", "rmsea_pvalue_robust", "rmsea_robust", "rni_robust", "tli_robust"]

NAN = float("nan")


def cfi_robust(
    chisq: float, df: float, baseline_chisq: float, baseline_df: float, factor: float, baseline_factor: float
) -> float:
    """Comparative fit index, 1 - max(chisq - c df, 0) / max(chisq - c df, chisq_b - c_b df_b, 0).

    Brosseau-Liard & Savalei (2014), doi:10.1080/00273171.2014.933697.
    """
    if math.isnan(factor + baseline_factor):
        return NAN
    return fm.cfi(chisq, factor * df, baseline_chisq, baseline_factor * baseline_df)


def tli_robust(
    chisq: float, df: float, baseline_chisq: float, baseline_df: float, factor: float, baseline_factor: float
) -> float:
    """Tucker-Lewis index, 1 - (chisq - c df) df_b / ((chisq_b - c_b df_b) df).

    Brosseau-Liard & Savalei (2014), doi:10.1080/00273171.2014.933697.
    """
    if math.isnan(factor + baseline_factor):
        return NAN
    below = (baseline_chisq - baseline_factor * baseline_df) * df
    return 1.0 - (chisq - factor * df) * baseline_df / below if df > 0 and below != 0 else 1.0


def rni_robust(
    chisq: float, df: float, baseline_chisq: float, baseline_df: float, factor: float, baseline_factor: float
) -> float:
    """Relative noncentrality index, 1 - (chisq - c df) / (chisq_b - c_b df_b).

    Brosseau-Liard & Savalei (2014), doi:10.1080/00273171.2014.933697.
    """
    if math.isnan(factor + baseline_factor):
        return NAN
    return fm.rni(chisq, factor * df, baseline_chisq, baseline_factor * baseline_df)


def rmsea_robust(chisq: float, df: float, n: int, factor: float) -> float:
    """Root mean square error of approximation, sqrt(max(chisq / (n df) - c / n, 0)); 0 for df = 0.

    Brosseau-Liard, Savalei & Li (2012), doi:10.1080/00273171.2012.715252.
    """
    if df <= 0:
        return 0.0
    return NAN if math.isnan(factor) else math.sqrt(max(chisq / n / df - factor / n, 0.0))


def rmsea_ci_robust(scaled: float, df: float, n: int, factor: float, level: float = 0.90) -> tuple[float, float]:
    """Confidence interval of the robust RMSEA: sqrt(c) times the bounds of the scaled chi-square `scaled`.

    Li & Bentler (2006); Brosseau-Liard, Savalei & Li (2012), doi:10.1080/00273171.2012.715252.
    """
    if math.isnan(scaled):
        return NAN, NAN
    lower, upper = fm.rmsea_ci(scaled, df, n, level)
    root = math.sqrt(factor) if df > 0 else 0.0
    return root * lower, root * upper


def rmsea_pvalue_robust(scaled: float, df: float, n: int, factor: float, close: float = 0.05) -> float:
    """Test of close fit of the robust RMSEA: P(X > scaled chi-square) with noncentrality n df close^2 / c.

    Brosseau-Liard, Savalei & Li (2012), doi:10.1080/00273171.2012.715252.
    """
    return fm.rmsea_pvalue(scaled, df, n, close / math.sqrt(factor)) if df > 0 and factor > 0 else NAN
