"""Correlations with numeric variables: the largest maximum of the whole likelihood, in every unit."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_ndtr

import b2b_sem as bs
from b2b_sem.data.ordinal import OrdinalMoments, ordinal_moments
from b2b_sem.data.polyserial import SERIAL_LIMIT, _Serial, _shares

FINE = np.tanh(np.linspace(-np.arctanh(SERIAL_LIMIT), np.arctanh(SERIAL_LIMIT), 241))


def likelihood(x: np.ndarray, y: np.ndarray, edges: np.ndarray, rho: float) -> float:
    """Return the log-likelihood, tails by logarithms throughout."""
    z, code = (x - x.mean()) / x.std(), np.unique(y, return_inverse=True)[1]
    edges = np.concatenate([[-np.inf], edges, [np.inf]])
    h, k = ((edges[code + side] - rho * z) / np.sqrt(1 - rho * rho) for side in (1, 0))
    more = log_ndtr(np.where(k > 0, -k, h))
    return float((more + np.log(-np.expm1(log_ndtr(np.where(k > 0, -h, k)) - more))).sum())


def pair(x: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray, OrdinalMoments]:
    found = ordinal_moments(np.column_stack([x, y]).astype(float), ["x", "y"], ["y"])
    assert found.thresholds[1] is not None
    return float(found.cov[0, 1] / x.std()), found.thresholds[1], found


def draw(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a numeric variable, often with heavy tails or an outlier, and an ordered item."""
    rng = np.random.default_rng(seed)
    n, rho = int(rng.choice([15, 40, 150])), rng.uniform(-0.98, 0.98)
    x = rng.normal(size=n)
    y = rho * x + np.sqrt(1 - rho**2) * rng.normal(size=n)
    y = np.digitize(y, np.sort(rng.normal(size=rng.integers(1, 6))))
    if seed % 4 == 1:
        x[0] += rng.choice([-1, 1]) * 10 ** rng.uniform(0, 4)
    elif seed % 4 == 2:
        x = np.exp(2 * x)
    elif seed % 4 == 3:
        x = np.sign(x) * np.abs(x) ** 3
        y = np.where(rng.random(n) < 0.1, rng.permutation(y), y)
    y[:2] = 0, 5
    return x, y


@pytest.mark.parametrize("seed", range(60))
def test_no_other_correlation_is_more_likely(seed: int) -> None:
    x, y = draw(seed)
    rho, edges, found = pair(x, y)
    best = max(likelihood(x, y, edges, r) for r in FINE)
    assert likelihood(x, y, edges, rho) > best - 1e-6
    assert np.isfinite(found.gamma).all()


def two_maxima() -> list[tuple[list[float], list[float]]]:
    return [
        ([1, 2, 0, 0, 0, 1, 1, 1], [0, 0, 1, 0, 0, 0, 0, 0]),
        (
            [2582, 0.28, 0.82, -0.26, 0.61, -1.15, 1.17, 0.15, 1.59, 0.32, 1.20, -0.10, 0.40, -0.28, 0.16],
            [2, 2, 2, 2, 0, 2, 0, 2, 0, 2, 2, 0, 0, 2, 2],
        ),
        (
            [-6067, 0.171, 0.355, 1.11, 2.95, -0.099, -2.24, 1.67, -0.322, 0.139, 2.32, -0.949, 0.313, -0.154, -0.115],
            [5, 0, 5, 5, 5, 5, 0, 5, 0, 5, 5, 0, 5, 5, 0],
        ),
    ]


@pytest.mark.parametrize(("numbers", "answers"), two_maxima(), ids=["at the limit", "positive", "negative"])
def test_of_two_maxima_the_larger_one_is_taken(numbers: list[float], answers: list[float]) -> None:
    x, y = np.array(numbers, dtype=float), np.array(answers, dtype=float)
    rho, edges, _ = pair(x, y)
    values = np.array([likelihood(x, y, edges, r) for r in FINE])
    padded = np.concatenate([[-np.inf], values, [-np.inf]])
    tops = np.flatnonzero((values > padded[:-2]) & (values > padded[2:]))
    assert len(tops) == 2
    best, other = sorted(FINE[tops], key=lambda r: -likelihood(x, y, edges, r))
    assert rho == pytest.approx(best, abs=0.03)
    # a search that ended at the other one is corrected
    edge, code = np.concatenate([[-60.0], edges, [60.0]]), np.unique(y, return_inverse=True)[1]
    z = (x - x.mean()) / x.std()
    share = _Serial(z[None], edge[code + 1][None], edge[code][None], np.ones((1, len(x)), dtype=bool))
    found = np.array([other])
    share.improve(found, np.array([len(x)]))
    assert found[0] == pytest.approx(rho, abs=1e-7)


def test_far_tails_keep_their_digits() -> None:
    h = np.array([-36.0, -37.0, -40.0, -1000.0, np.inf, 45.0])
    k = np.array([-np.inf, -np.inf, -np.inf, -np.inf, 50.0, 44.9])
    log, above, below = _shares(h, k, np.ones(6, dtype=bool))
    # Mills' ratio by its continued fraction
    assert np.allclose(log[:4], log_ndtr(h[:4]), rtol=1e-13)
    assert np.allclose(above[:4], -h[:4] / (1 - 1 / (h[:4] ** 2 + 3 - 6 / (h[:4] ** 2 + 7))), rtol=1e-7)
    assert below[4] == pytest.approx(50 / (1 - 1 / (2500 + 3 - 6 / 2507)), rel=1e-7)
    # between 44.9 and 45 the density falls like exp(-44.9 d): both ends against the integral
    d = np.linspace(0, 0.1, 200_001)
    area = np.trapezoid(np.exp(-44.9 * d - 0.5 * d * d), d)
    assert below[5] == pytest.approx(1 / area, rel=1e-6)
    assert above[5] == pytest.approx(np.exp(-4.49 - 0.005) / area, rel=1e-6)


def test_a_row_against_all_others_counts() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=300)
    y = np.digitize(x + 0.2 * rng.normal(size=300), [-1, 0, 1]).astype(float)
    x[0], y[0] = 6.0, 0.0
    rho, edges, found = pair(x, y)
    without, _, quiet = pair(x[1:], y[1:])
    assert rho < without - 0.05
    assert likelihood(x, y, edges, rho) > max(likelihood(x, y, edges, r) for r in FINE) - 1e-9
    assert any("lavaan" in note and "x and y (1)" in note for note in found.notes)
    assert not any("unlikely" in text for text in found.warnings)
    assert not quiet.notes


@pytest.mark.parametrize("missing", ["listwise", "pairwise"])
@pytest.mark.parametrize("factor", [1e-3, 100.0, 1e4])
def test_units_do_not_matter(missing: str, factor: float) -> None:
    rng = np.random.default_rng(11)
    f = rng.normal(size=(250, 1))
    values = 0.8 * f + 0.6 * rng.normal(size=(250, 4))
    values[:, 2] += np.where(rng.random(250) < 0.02, 7.0, 0.0)
    values[:, 0], values[:, 1] = np.digitize(values[:, 0], [-1, 0, 1]), np.digitize(values[:, 1], [0.2])
    if missing == "pairwise":
        values[rng.random((250, 4)) < 0.2] = np.nan
    scaled = values * np.array([1, 1, factor, 1])
    one, two = (ordinal_moments(v, list("abzw"), ["a", "b"], missing=missing) for v in (values, scaled))
    unit = np.array([factor ** label.replace("~1", "~").split("~").count("z") for label in one.labels])
    assert np.allclose(one.statistic * unit, two.statistic, rtol=1e-9)
    gamma = one.gamma * np.outer(unit, unit)
    assert np.abs((gamma - two.gamma) / np.sqrt(np.outer(gamma.diagonal(), gamma.diagonal()))).max() < 1e-9


@pytest.mark.parametrize("factor", [1e-3, 100.0, 1e4])
def test_tests_of_a_model_do_not_know_the_unit(factor: float) -> None:
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(12)
    f = rng.normal(size=(200, 1))
    latent = 0.8 * f + 0.6 * rng.normal(size=(200, 4))
    frame = pd.DataFrame(np.digitize(latent, [-1, 0, 1]).astype(float), columns=list("abcz"))
    frame["z"] = latent[:, 3]
    frame.loc[:2, "z"] = [7.0, -6.0, 8.0]
    model = "f =~ a + b + c\nz ~ f"
    fits = [
        bs.fit(model, data, ordered=["a", "b", "c"], estimator="WLSMV")
        for data in (frame, frame.assign(z=factor * frame["z"]))
    ]
    assert any("lavaan" in note for note in fits[0].notes)
    for name in ("chisq", "chisq_scaled", "cfi_scaled", "rmsea_scaled"):
        assert fits[1].measures[name] == pytest.approx(fits[0].measures[name], rel=1e-7)
    z = [fit.parameters["est"] / fit.parameters["se"].where(fit.parameters["se"] > 0) for fit in fits]
    assert np.allclose(z[0], z[1], rtol=1e-6, equal_nan=True)


def test_two_numbers_with_holes_have_the_likeliest_of_three_solutions() -> None:
    rng = np.random.default_rng(6)
    several = 0
    for _ in range(20):
        # who answered both is near the means: the equation may have a solution on each side of zero
        values = 0.3 * rng.normal(size=(120, 3))
        values[60:] *= 10
        values[60:90, 0] = values[90:, 1] = np.nan
        values[:, 2] = values[:, 2] > 0
        found = ordinal_moments(values, ["x", "w", "y"], ["y"], missing="pairwise")
        both = np.isfinite(values).all(axis=1)
        z = ((values - np.nanmean(values, axis=0)) / np.nanstd(values, axis=0))[both]
        n, product, squares = len(z), z[:, 0] @ z[:, 1], np.square(z[:, :2]).sum()
        grid = np.linspace(-0.9995, 0.9995, 4000)
        rho = found.cov[0, 1] / np.sqrt(found.cov[0, 0] * found.cov[1, 1])
        free = 1 - np.append(grid, rho) ** 2
        value = -0.5 * n * np.log(free) - (0.5 * squares - np.append(grid, rho) * product) / free
        assert value[-1] >= value[:-1].max() - 1e-12
        several += int(((value[1:-2] > value[:-3]) & (value[1:-2] > value[2:-1])).sum() > 1)
    assert several > 5
