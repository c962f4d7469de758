"""Column and measure names of result tables: lavaan's names with dots turned into underscores."""

from __future__ import annotations

PARAMETER_COLUMNS: tuple[str, ...] = (
    "lhs",
    "op",
    "rhs",
    "group",
    "label",
    "free",
    "est",
    "se",
    "z",
    "pvalue",
    "ci_lower",
    "ci_upper",
    "std_lv",
    "std_all",
)

STANDARDIZED_COLUMNS: tuple[str, ...] = (
    "lhs",
    "op",
    "rhs",
    "group",
    "label",
    "est_std",
    "se",
    "z",
    "pvalue",
    "ci_lower",
    "ci_upper",
)

MODIFICATION_COLUMNS: tuple[str, ...] = (
    "lhs",
    "op",
    "rhs",
    "group",
    "mi",
    "epc",
    "sepc_lv",
    "sepc_all",
    "sepc_nox",
    "pvalue",
    "pvalue_bonferroni",
    "pvalue_fdr",
)

#: Fit measures in the order in which they are reported (a fit may lack some; missing numbers are NaN).
MEASURE_NAMES: tuple[str, ...] = (
    "npar",
    "fmin",
    "chisq",
    "df",
    "pvalue",
    "baseline_chisq",
    "baseline_df",
    "baseline_pvalue",
    "cfi",
    "tli",
    "nnfi",
    "rfi",
    "nfi",
    "pnfi",
    "ifi",
    "rni",
    "logl",
    "unrestricted_logl",
    "aic",
    "bic",
    "ntotal",
    "bic2",
    "rmsea",
    "rmsea_ci_lower",
    "rmsea_ci_upper",
    "rmsea_pvalue",
    "rmr",
    "srmr",
    "cn_05",
    "cn_01",
    "gfi",
    "agfi",
    "pgfi",
    "mfi",
    "ecvi",
)

#: Further measures of a fit with a scaled test, in this order behind the others.
SCALED_MEASURE_NAMES: tuple[str, ...] = (
    "chisq_scaled",
    "df_scaled",
    "pvalue_scaled",
    "chisq_scaling_factor",
    "baseline_chisq_scaled",
    "baseline_df_scaled",
    "baseline_pvalue_scaled",
    "baseline_chisq_scaling_factor",
    "cfi_scaled",
    "tli_scaled",
    "nnfi_scaled",
    "rfi_scaled",
    "nfi_scaled",
    "pnfi_scaled",
    "ifi_scaled",
    "rni_scaled",
    "rmsea_scaled",
    "rmsea_ci_lower_scaled",
    "rmsea_ci_upper_scaled",
    "rmsea_pvalue_scaled",
)

#: ... and those corrected for non-normality, which all scaled tests but the mean- and variance-adjusted one have.
ROBUST_MEASURE_NAMES: tuple[str, ...] = (
    "cfi_robust",
    "tli_robust",
    "nnfi_robust",
    "rni_robust",
    "rmsea_robust",
    "rmsea_ci_lower_robust",
    "rmsea_ci_upper_robust",
    "rmsea_pvalue_robust",
)
