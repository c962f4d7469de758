"""Adjusted p-values: values worked out by hand, and statsmodels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from b2b_sem.measures.multiplicity import METHODS, adjusted, false_discovery


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("holm", [0.06, 0.04, 0.06, 0.06]),
        ("bonferroni", [0.12, 0.04, 0.16, 0.08]),
        ("bh", [0.04, 0.04, 0.04, 0.04]),
        ("none", [0.03, 0.01, 0.04, 0.02]),
    ],
)
def test_adjusted_by_hand(method: str, expected: list[float]) -> None:
    assert adjusted([0.03, 0.01, 0.04, 0.02], method) == pytest.approx(expected)


@pytest.mark.parametrize("count", [1, 2, 9, 40])
def test_false_discovery_is_that_of_statsmodels(count: int) -> None:
    p = np.random.default_rng(count).uniform(size=count) ** 3
    p[: count // 3] = p[0]  # ties
    assert false_discovery(p) == pytest.approx(multipletests(p, method="fdr_bh")[1], rel=1e-12)


def test_a_missing_p_value_does_not_count() -> None:
    found = adjusted([0.01, math.nan, 0.03, 0.02], "holm")
    assert found[0] == pytest.approx(0.03)
    assert found[2:] == pytest.approx([0.04, 0.04])
    assert math.isnan(found[1])
    assert adjusted([0.02, math.nan], "bonferroni")[0] == pytest.approx(0.02)


def test_none_changes_nothing_and_others_are_refused() -> None:
    assert adjusted([0.2, 0.1], "none") == [0.2, 0.1]
    assert [adjusted([], m) for m in METHODS] == [[]] * len(METHODS)
    with pytest.raises(ValueError, match="sidak"):
        adjusted([0.1], "sidak")
