"""Bivariate normal probabilities against quadrature, known values and limits."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import ndtr
from scipy.stats import multivariate_normal, norm

from b2b_sem.data.bivariate import bvn_cdf, bvn_density, bvn_grid, bvn_rows


def by_quadrature(h: float, k: float, rho: float) -> float:
    """Return the probability as the integral of the conditional distribution function."""
    root = np.sqrt(1.0 - rho * rho)
    bend = [k / rho] if rho and -9 < k / rho < h else None
    value = quad(
        lambda x: norm.pdf(x) * ndtr((k - rho * x) / root),
        -9.0,
        h,
        points=bend,
        epsabs=1e-15,
        epsrel=1e-13,
        limit=400,
    )
    return float(value[0])


@pytest.mark.parametrize(
    "rho", [0.0, 0.05, -0.29, 0.31, 0.6, -0.74, 0.8, -0.92, 0.924, 0.926, -0.93, 0.97, -0.99, 0.999, -0.9999]
)
def test_probability_equals_quadrature(rho: float) -> None:
    rng = np.random.default_rng(3)
    h, k = rng.normal(size=8) * 1.6, rng.normal(size=8) * 1.6
    k[0], k[1], k[2] = h[0], -h[1], h[2] + 1e-3
    expected = [by_quadrature(a, b, rho) for a, b in zip(h, k, strict=True)]
    assert np.abs(bvn_cdf(h, k, rho) - expected).max() < 1e-13


def test_probability_equals_scipy() -> None:
    for h, k, rho in ((0.3, -1.2, 0.45), (2.5, 2.0, -0.8), (-1.0, -0.5, 0.95)):
        expected = multivariate_normal.cdf([h, k], mean=[0, 0], cov=[[1, rho], [rho, 1]], abseps=1e-14, releps=1e-14)
        assert bvn_cdf(h, k, rho) == pytest.approx(expected, abs=1e-13)


def test_orthant_has_a_closed_form() -> None:
    rho = np.linspace(-1, 1, 81)
    assert np.abs(bvn_cdf(0.0, 0.0, rho) - (0.25 + np.arcsin(rho) / (2 * np.pi))).max() < 1e-15


@pytest.mark.parametrize("rho", [-1.0, -0.95, -0.3, 0.0, 0.7, 0.96, 1.0])
def test_infinite_limits(rho: float) -> None:
    assert bvn_cdf(np.inf, 0.3, rho) == pytest.approx(ndtr(0.3), abs=1e-15)
    assert bvn_cdf(0.3, np.inf, rho) == pytest.approx(ndtr(0.3), abs=1e-15)
    assert bvn_cdf(-np.inf, 0.3, rho) == 0.0
    assert bvn_cdf(np.inf, np.inf, rho) == 1.0


def test_perfect_correlation() -> None:
    assert bvn_cdf(0.3, 0.5, 1.0) == pytest.approx(ndtr(0.3), abs=1e-15)
    assert bvn_cdf(0.3, 0.5, -1.0) == pytest.approx(ndtr(0.3) - ndtr(-0.5), abs=1e-15)
    assert bvn_cdf(-0.3, -0.5, -1.0) == 0.0


@pytest.mark.parametrize("rho", [-0.9, 0.2, 0.7, 0.95])
def test_density_is_the_derivative_with_respect_to_the_correlation(rho: float) -> None:
    h, k = np.array([0.4, -1.2]), np.array([1.1, -0.7])
    step = 1e-5
    numeric = (bvn_cdf(h, k, rho + step) - bvn_cdf(h, k, rho - step)) / (2 * step)
    assert np.abs(bvn_density(h, k, np.array(rho)) / numeric - 1).max() < 1e-7


def test_grid_and_rows_agree_with_single_values() -> None:
    rng = np.random.default_rng(5)
    h, k, rho = rng.normal(size=(6, 3)), rng.normal(size=(6, 4)), np.array([0.1, -0.5, 0.8, 0.93, -0.97, 0.0])
    grid = bvn_grid(h, k, rho)
    assert grid.shape == (6, 3, 4)
    assert np.abs(grid - bvn_cdf(h[:, :, None], k[:, None, :], rho[:, None, None])).max() < 1e-15
    assert np.abs(bvn_rows(h, k[:, :3], rho) - bvn_cdf(h, k[:, :3], rho[:, None])).max() < 1e-15
