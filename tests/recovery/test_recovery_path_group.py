"""Comparisons of paths where the truth is known: error rate, coverage, and whether the stated power is the real one."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs

pytestmark = pytest.mark.slow

MODEL = "F =~ x1 + x2 + x3\nG =~ y1 + y2 + y3\nG ~ F"
REPLICATIONS = 80
N = 150


def draw(seed: int, gap: float) -> pd.DataFrame:
    """Two groups whose paths from F to G are 0.4 and 0.4 + `gap`; loadings are equal."""
    rng = np.random.default_rng([20261123, seed])
    second = np.arange(2 * N) >= N
    f = rng.normal(size=2 * N)
    g = (0.4 + gap * second) * f + rng.normal(scale=0.8, size=2 * N)
    columns = {
        f"{k}{i}": latent + rng.normal(scale=0.6, size=2 * N) for k, latent in (("x", f), ("y", g)) for i in (1, 2, 3)
    }
    return pd.DataFrame(columns).assign(sector=np.where(second, "b", "a"))


def band(rate: float) -> float:
    return 3 * math.sqrt(rate * (1 - rate) / REPLICATIONS)


def test_equal_paths_are_rarely_called_different() -> None:
    found = [bs.compare_groups(MODEL, draw(seed, 0.0), "sector") for seed in range(REPLICATIONS)]
    for name in ("wald_pvalue", "pvalue_diff"):
        assert np.mean([r.omnibus[name] < 0.05 for r in found]) < 0.05 + band(0.05)


def test_intervals_cover_and_power_is_what_it_says() -> None:
    gap = 0.25
    # pooled over the groups: variance of F is 1, of G 0.4^2 + 0.64 and 0.65^2 + 0.64
    size = gap / math.sqrt((0.4**2 + 0.65**2) / 2 + 0.64)
    rows = pd.concat(
        bs.compare_groups(MODEL, draw(seed, gap), "sector", size=size).differences for seed in range(REPLICATIONS)
    )
    covered = np.mean((rows["ci_lower"] < gap) & (gap < rows["ci_upper"]))
    assert abs(covered - 0.95) < band(0.95)
    assert abs(rows["est"].mean() - gap) < 3 * rows["est"].std() / math.sqrt(REPLICATIONS)
    assert abs(rows["std"].mean() - size) < 3 * rows["std"].std() / math.sqrt(REPLICATIONS)
    power = rows["power"].mean()
    assert 0.3 < power < 0.9
    assert abs((rows["pvalue"] < 0.05).mean() - power) < band(power)
