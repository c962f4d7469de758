"""Criteria of invariance at their limits, and the sizes of differences against numerical integration."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, stats

from b2b_sem.measures.equivalence import CRITERIA, decide_configural, decide_step, drift, mean_effect

NAN = math.nan


@pytest.mark.parametrize(
    ("kind", "changes", "holds"),
    [
        ("loadings", (0.010, 0.015, 0.030), True),
        ("loadings", (0.0101, 0.0, 0.0), False),
        ("loadings", (0.0, 0.0151, 0.0300), True),
        ("loadings", (0.0, 0.0150, 0.0301), True),
        ("loadings", (0.0, 0.0151, 0.0301), False),
        ("intercepts", (0.0, 0.0151, 0.0101), False),
        ("intercepts", (0.0, NAN, 0.0101), False),
        ("residuals", (-0.01, -0.01, 0.010), True),
        ("intercepts", (NAN, 0.0, 0.0), True),
        ("intercepts", (NAN, NAN, NAN), False),
    ],
)
def test_limits_of_chen(kind: str, changes: tuple[float, float, float], holds: bool) -> None:
    assert decide_step(CRITERIA["chen"], kind, *changes, pvalue=0.0)[0] is holds


def test_only_what_the_criteria_name_decides() -> None:
    assert decide_step(CRITERIA["cheung-rensvold"], "loadings", 0.01, 0.5, 0.5, 0.0)[0]
    assert not decide_step(CRITERIA["cheung-rensvold"], "loadings", 0.011, 0.0, 0.0, 1.0)[0]
    assert decide_step(CRITERIA["chisq"], "loadings", 0.5, 0.5, 0.5, 0.05)[0]
    assert not decide_step(CRITERIA["chisq"], "loadings", 0.0, 0.0, 0.0, 0.0499)[0]


def test_the_reason_names_index_change_and_limit() -> None:
    reason = decide_step(CRITERIA["chen"], "intercepts", 0.02, 0.001, 0.0, 1.0)[1]
    assert "CFI -0.020 (beyond -0.010)" in reason
    assert "RMSEA +0.001 (within +0.015)" in reason


@pytest.mark.parametrize(("cfi", "srmr", "holds"), [(0.90, 0.08, True), (0.899, 0.0, False), (1.0, 0.081, False)])
def test_configural(cfi: float, srmr: float, holds: bool) -> None:
    assert decide_configural(CRITERIA["chen"], cfi, srmr)[0] is holds


def test_drift_is_the_integral_of_its_definition() -> None:
    l1, n1, l2, n2, mean, variance, sd = 0.8, 3.0, 1.1, 2.7, 0.4, 1.7, 1.3

    def gap(eta: float) -> float:
        return (n2 + l2 * eta) - (n1 + l1 * eta)

    density = stats.norm(mean, math.sqrt(variance)).pdf
    square = integrate.quad(lambda e: gap(e) ** 2 * density(e), -12, 12)[0]
    level = integrate.quad(lambda e: gap(e) * density(e), -12, 12)[0]
    found = drift(l1, n1, l2, n2, mean, variance, sd)
    assert found.dmacs == pytest.approx(math.sqrt(square) / sd, rel=1e-9)
    assert found.signed == pytest.approx(level / sd, rel=1e-9)
    assert drift(l1, n1, l1, n1, mean, variance, sd).dmacs == 0.0


def test_standardized_mean_difference() -> None:
    assert mean_effect(0.0, 1.0, 100, 0.5, 1.0, 300) == 0.5
    assert mean_effect(1.0, 1.0, 100, 2.0, 4.0, 300) == pytest.approx(1 / math.sqrt(3.25))
    assert np.isnan(mean_effect(0.0, 1.0, 100, 0.5, -0.1, 300))
