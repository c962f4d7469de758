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


def test_skewed_answers_raise_the_error_rate() -> None:
    # what docs/missing.md says: about .12 (400 replications, seed 3); 150 replications have a standard error of .027
    rng = np.random.default_rng(3)
    count = 0
    for _ in range(150):
        latent = 0.75 * rng.normal(size=(500, 1)) + np.sqrt(1 - 0.75**2) * rng.normal(size=(500, 12))
        answers = np.digitize(latent, [-2.6, -2.1, -1.6, -1.1, -0.5, 0.1]) + 1.0
        answers[rng.random(answers.shape) < 0.03] = np.nan
        count += missingness(pd.DataFrame(answers).rename(columns=lambda j: f"x{j}")).pvalue < 0.05
    assert 0.06 < count / 150 < 0.2
