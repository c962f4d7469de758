"""Robust fit measures: known values, their relation to the scaled ones, and what happens at the edges."""

from __future__ import annotations

import math

import pytest

from b2b_sem.measures import fit as fm
from b2b_sem.measures import robust as fr

# Holzinger and Swineford, three factors, MLM: chi-square, df, baseline, scaling factors
SIX = (85.30552, 24, 918.85159, 36, 1.054824, 1.164138)


def test_known_values() -> None:
    """lavaan tutorial: robust CFI 0.932, TLI 0.897, RMSEA 0.091 [0.070, 0.113]."""
    chisq, df, *_, factor, _ = SIX
    assert round(fr.cfi_robust(*SIX), 3) == 0.932
    assert round(fr.tli_robust(*SIX), 3) == 0.897
    assert round(fr.rmsea_robust(chisq, df, 301, factor), 3) == 0.091
    assert [round(b, 3) for b in fr.rmsea_ci_robust(chisq / factor, df, 301, factor)] == [0.07, 0.113]


def test_relation_to_measures_of_the_scaled_statistic() -> None:
    """1 - CFI(robust) = c / c_b (1 - CFI(scaled)): Brosseau-Liard & Savalei (2014), equation 8."""
    chisq, df, base, base_df, c, cb = SIX
    for robust, plain in ((fr.cfi_robust, fm.cfi), (fr.tli_robust, fm.tli), (fr.rni_robust, fm.rni)):
        scaled = plain(chisq / c, df, base / cb, base_df)
        assert 1 - robust(*SIX) == pytest.approx(c / cb * (1 - scaled), rel=1e-12)
    lower, upper = fm.rmsea_ci(chisq / c, df, 301)
    assert fr.rmsea_ci_robust(chisq / c, df, 301, c) == pytest.approx((math.sqrt(c) * lower, math.sqrt(c) * upper))
    assert fr.rmsea_robust(chisq, df, 301, c) == pytest.approx(math.sqrt(c) * fm.rmsea(chisq / c, df, 301))


def test_no_correction_is_the_plain_measure() -> None:
    chisq, df, base, base_df, *_ = SIX
    for robust, plain in ((fr.cfi_robust, fm.cfi), (fr.tli_robust, fm.tli), (fr.rni_robust, fm.rni)):
        assert robust(chisq, df, base, base_df, 1.0, 1.0) == pytest.approx(plain(chisq, df, base, base_df), rel=1e-12)
    assert fr.rmsea_robust(chisq, df, 301, 1.0) == fm.rmsea(chisq, df, 301)
    assert fr.rmsea_pvalue_robust(chisq, df, 301, 1.0) == fm.rmsea_pvalue(chisq, df, 301)


def test_close_fit_is_a_test_of_its_own_bound() -> None:
    """The p-value of H0: RMSEA <= the lower bound is 5 %."""
    chisq, df, *_, factor, _ = SIX
    lower, _ = fr.rmsea_ci_robust(chisq / factor, df, 301, factor)
    assert fr.rmsea_pvalue_robust(chisq / factor, df, 301, factor, close=lower) == pytest.approx(0.05, abs=1e-6)


def test_edges() -> None:
    nan = math.nan
    for function in (fr.cfi_robust, fr.tli_robust, fr.rni_robust):
        assert math.isnan(function(0.0, 0, 100.0, 3, nan, 1.1))
    assert fr.rmsea_robust(0.0, 0, 100, nan) == 0.0
    assert fr.rmsea_ci_robust(0.0, 0, 100, nan) == (0.0, 0.0)
    assert math.isnan(fr.rmsea_pvalue_robust(0.0, 0, 100, nan))
    assert math.isnan(fr.rmsea_robust(5.0, 2, 100, nan))
    assert math.isnan(fr.rmsea_pvalue_robust(5.0, 2, 100, nan))
    assert fr.cfi_robust(3.0, 4, 100.0, 6, 1.2, 1.3) == 1.0
    assert fr.rmsea_robust(3.0, 4, 100, 1.2) == 0.0
