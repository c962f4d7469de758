"""Error rates of the ladder where the truth is known: releases of equal parameters, and intervals of latent means."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs

pytestmark = pytest.mark.slow

MODEL = "F =~ x1 + x2 + x3 + x4 + x5"
ITEMS = ["x1", "x2", "x3", "x4", "x5"]
REPLICATIONS = 120
N = 200


def draw(seed: int, mean: float, shift: float) -> pd.DataFrame:
    """Two equal groups but for the latent mean of the second and `shift` in its intercept of x2."""
    rng = np.random.default_rng([20261122, seed])
    second = np.arange(2 * N) >= N
    f = rng.normal(size=2 * N) + mean * second
    x = 0.8 * f[:, None] + rng.normal(scale=0.6, size=(2 * N, 5)) + np.outer(second, [0.0, shift, 0.0, 0.0, 0.0])
    return pd.DataFrame(x, columns=ITEMS).assign(sector=np.where(second, "b", "a"))


def test_equal_parameters_are_rarely_released_and_means_are_covered() -> None:
    releases = covered = stayed = 0
    for seed in range(REPLICATIONS):
        result = bs.invariance(MODEL, draw(seed, 0.4, 0.0), "sector", steps=("configural", "metric", "scalar"))
        score = bs.invariance(MODEL, draw(seed, 0.4, 0.0), "sector", steps=("configural", "metric"), criteria="chisq")
        releases += len(score.releases) > 0
        stayed += result.holds == "scalar"
        if len(result.means):
            row = result.means.iloc[0]
            covered += row["ci_lower"] < 0.4 < row["ci_upper"]
    # a step must fail before anything is released: at most alpha of the ladders release something
    assert releases / REPLICATIONS < 0.05 + 3 * math.sqrt(0.05 * 0.95 / REPLICATIONS)
    assert stayed / REPLICATIONS > 0.95
    assert abs(covered / stayed - 0.95) < 3 * math.sqrt(0.05 * 0.95 / stayed)


def test_a_shifted_intercept_is_found_and_means_stay_right() -> None:
    found = 0
    errors = []
    for seed in range(REPLICATIONS // 2):
        result = bs.invariance(MODEL, draw(seed, 0.0, 0.6), "sector", steps=("configural", "metric", "scalar"))
        found += result.releases["parameter"].tolist() == ["x2~1"]
        errors += result.means["est"].tolist()
    assert found / (REPLICATIONS // 2) > 0.85
    assert abs(np.mean(errors)) < 3 * np.std(errors) / math.sqrt(len(errors))
