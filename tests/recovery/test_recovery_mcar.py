"""Little's test keeps its error rate where answers are missing completely at random, and finds what is not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from b2b_sem.analysis.missingness import missingness

pytestmark = pytest.mark.slow

#: Three patterns of holes beside complete rows, as in choices of a questionnaire in parts.
PATTERNS = np.array([[1, 1, 1, 1, 1], [0, 1, 1, 1, 1], [1, 0, 0, 1, 1], [1, 1, 1, 0, 1]], dtype=bool)


def rejections(replications: int, n: int, *, dependent: bool) -> float:
    """Return how often the test rejects at .05."""
    count = 0
    for k in range(replications):
        rng = np.random.default_rng([20261122, k])
        x = 0.7 * rng.normal(size=(n, 1)) + rng.normal(size=(n, 5))
        chance = 1 / (1 + np.exp(-1.2 * x[:, 4])) if dependent else rng.random(n)
        member = np.where(rng.random(n) < chance, rng.integers(1, 4, n), 0)
        data = pd.DataFrame(np.where(PATTERNS[member], x, np.nan)).rename(columns=lambda j: f"x{j}")
        count += missingness(data).pvalue < 0.05
    return count / replications


def test_error_rate_is_the_nominal_one() -> None:
    # 400 replications: the standard error of .05 is .011; moments of pairs in place of EM moments reject about .11
    assert abs(rejections(400, 300, dependent=False) - 0.05) < 0.033


def test_missing_at_random_is_found() -> None:
    assert rejections(60, 300, dependent=True) > 0.95
