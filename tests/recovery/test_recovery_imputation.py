"""Are population values found again from data with holes: bias and coverage of multiple imputation, over many samples.

Bounds are four times the Monte Carlo error, with a stated allowance. The seeds are fixed.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs
from b2b_sem.data.impute import impute

pytestmark = pytest.mark.slow

MODEL = "F =~ x1 + x2 + x3\nG =~ y1 + y2 + y3\nG ~ F\ny1 ~ 1"
TRUTH = {
    ("F", "=~", "x2"): 0.9,
    ("F", "=~", "x3"): 0.8,
    ("G", "=~", "y2"): 1.1,
    ("G", "=~", "y3"): 0.7,
    ("G", "~", "F"): 0.5,
    ("y1", "~1", ""): 2.0,
    ("y1", "~~", "y1"): 0.5,
    ("y3", "~~", "y3"): 0.5,
    ("F", "~~", "F"): 1.0,
}
N, SAMPLES, M = 250, 100, 10


def sample(rng: np.random.Generator) -> pd.DataFrame:
    """Draw a sample with holes: x2, y2 and y3 completely at random, y1 at random given x1."""
    f = rng.normal(size=N)
    g = 0.5 * f + math.sqrt(0.75) * rng.normal(size=N)
    error = math.sqrt(0.5) * rng.normal(size=(N, 6))
    values = np.outer(f, [1.0, 0.9, 0.8, 0, 0, 0]) + np.outer(g, [0, 0, 0, 1.0, 1.1, 0.7]) + error + 2.0
    frame = pd.DataFrame(values, columns=["x1", "x2", "x3", "y1", "y2", "y3"])
    for name in ("x2", "y2", "y3"):
        frame.loc[rng.random(N) < 0.2, name] = np.nan
    frame.loc[rng.random(N) < 1 / (1 + np.exp(-1.5 * (values[:, 0] - 2.5))), "y1"] = np.nan
    return frame


def collected(fit: Any) -> list[tuple[float, float, float]]:
    rows = fit.parameters.set_index(["lhs", "op", "rhs"])
    return [tuple(rows.loc[key, ["est", "ci_lower", "ci_upper"]]) for key in TRUTH]


@pytest.fixture(scope="module")
def draws() -> dict[str, np.ndarray]:
    out: dict[str, list[Any]] = {"mi": [], "listwise": [], "d2": [], "d3": [], "d4": []}
    for seed in np.random.SeedSequence(20261122).spawn(SAMPLES):
        data = sample(np.random.default_rng(seed))
        pooled = bs.fit(MODEL, data, missing="mi", imputations=M, seed=int(seed.spawn_key[0]))
        out["mi"].append(collected(pooled))
        out["listwise"].append(collected(bs.fit(MODEL, data, engine="native")))
        for method in ("d2", "d3", "d4"):
            out[method].append(pooled.pooled_test(method=method.upper()).pvalue)
    return {name: np.array(values) for name, values in out.items()}


def test_estimates_are_unbiased(draws: dict[str, np.ndarray]) -> None:
    est = draws["mi"][:, :, 0]
    truth = np.array(list(TRUTH.values()))
    error = est.std(axis=0, ddof=1) / math.sqrt(SAMPLES)
    # matching lessens relations a little where few with such values answered: 2 % are allowed
    assert (np.abs(est.mean(axis=0) - truth) <= 4 * error + 0.02 * truth).all()


def test_leaving_rows_out_is_biased_here(draws: dict[str, np.ndarray]) -> None:
    at = list(TRUTH).index(("y1", "~1", ""))
    est = draws["listwise"][:, at, 0]
    assert est.mean() < 2.0 - 8 * est.std(ddof=1) / math.sqrt(SAMPLES)


def test_intervals_cover_as_often_as_they_say(draws: dict[str, np.ndarray]) -> None:
    truth = np.array(list(TRUTH.values()))
    covered = (draws["mi"][:, :, 1] <= truth) & (truth <= draws["mi"][:, :, 2])
    # parameters of one sample are related: the error of the mean is that of the samples' own means
    mean = covered.mean(axis=1)
    assert abs(mean.mean() - 0.95) <= 4 * mean.std(ddof=1) / math.sqrt(SAMPLES)
    assert (covered.mean(axis=0) >= 0.95 - 4 * math.sqrt(0.95 * 0.05 / SAMPLES)).all()


@pytest.mark.parametrize("method", ["d3", "d4"])
def test_true_models_are_seldom_rejected(draws: dict[str, np.ndarray], method: str) -> None:
    rate = (draws[method] < 0.05).mean()
    assert rate <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / SAMPLES)


def test_how_draws_are_put_on_the_scale_matters() -> None:
    """Skewed five-point items: means and variances of the completed data against those before holes were made."""
    cuts = np.array([-0.2, 0.6, 1.1, 1.7])
    found: dict[str, list[list[float]]] = {"match": [], "round": [], "none": []}
    for seed in np.random.SeedSequence(3).spawn(60):
        rng = np.random.default_rng(seed)
        latent = math.sqrt(0.6) * rng.normal(size=(300, 1)) + math.sqrt(0.4) * rng.normal(size=(300, 4))
        whole = pd.DataFrame(1.0 + np.searchsorted(cuts, latent), columns=list("abcd"))
        holes = whole.copy()
        for name in "ab":
            holes.loc[rng.random(300) < 0.3, name] = np.nan
        for scale, rows in found.items():
            frames = impute(holes, 4, seed=1, scale=scale, iterations=6).frames
            variance = np.mean([frame["a"].var() for frame in frames]) / whole["a"].var()
            relation = np.mean([frame["a"].cov(frame["b"]) for frame in frames]) / whole["a"].cov(whole["b"])
            rows.append([variance - 1, relation - 1])
    mean = {scale: np.mean(rows, axis=0) for scale, rows in found.items()}
    error = {scale: np.std(rows, axis=0) / math.sqrt(60) for scale, rows in found.items()}
    assert mean["round"][0] < -4 * error["round"][0]  # rounding and clipping take variance away
    assert abs(mean["match"][0]) <= 0.02
    assert abs(mean["match"][1]) <= 0.05
    assert abs(mean["none"][1]) <= 0.05
    assert abs(mean["match"][0]) < abs(mean["round"][0])
