"""Power from noncentral distributions: definitions, drawn samples, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special, stats

from b2b_sem.errors import DataError
from b2b_sem.measures.power import (
    chisq_power,
    chisq_rows,
    product_power,
    required_noncentrality,
    rmsea_change_power,
    rmsea_change_rows,
    rmsea_detectable,
    rmsea_power,
    rmsea_rows,
    wald_power,
)


@pytest.mark.parametrize(("null", "alternative"), [(0.05, 0.08), (0.05, 0.01), (0.0, 0.05), (0.03, 0.031)])
def test_rmsea_power_is_a_tail_of_the_noncentral_chi_square(null: float, alternative: float) -> None:
    df, rows = 37, np.array([50, 210, 800])
    low, high = ((rows - 1) * df * value**2 for value in (null, alternative))
    if null < alternative:
        expected = stats.ncx2.sf(stats.ncx2.ppf(0.9, df, np.maximum(low, 1e-12)), df, high)
    else:
        expected = stats.ncx2.cdf(stats.ncx2.ppf(0.1, df, low), df, high)
    assert rmsea_power(rows, df, null, alternative, 0.1) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("df", [2, 10, 100])
def test_rows_of_rmsea_are_enough_and_one_less_is_not(df: int) -> None:
    for alternative in (0.08, 0.01):
        rows = rmsea_rows(df, 0.05, alternative)
        assert rmsea_power(rows, df, 0.05, alternative) >= 0.80 > rmsea_power(rows - 1, df, 0.05, alternative)
    rows = rmsea_change_rows((df + 3, df), alternative=(0.08, 0.05))
    power = rmsea_change_power([rows, rows - 1], (df + 3, df), alternative=(0.08, 0.05))
    assert power[0] >= 0.80 > power[1]


def test_a_change_of_rmsea_has_the_degrees_of_freedom_of_the_difference() -> None:
    # both models fit the hypothesis: the difference is central chi-square
    noncentrality = 199 * (22 * 0.06**2 - 20 * 0.04**2)
    expected = stats.ncx2.sf(stats.chi2.ppf(0.95, 2), 2, noncentrality)
    assert float(rmsea_change_power(200, (22, 20), alternative=(0.06, 0.04))) == pytest.approx(expected, abs=1e-9)


def test_detectable_rmsea_has_the_asked_power() -> None:
    lower, upper = rmsea_detectable(400, 60, 0.05, 0.9)
    assert lower < 0.05 < upper
    assert float(rmsea_power(400, 60, 0.05, lower)) == pytest.approx(0.9, abs=1e-8)
    assert float(rmsea_power(400, 60, 0.05, upper)) == pytest.approx(0.9, abs=1e-8)
    assert math.isnan(rmsea_detectable(60, 5)[0])  # even a perfect model cannot be told from .05
    assert math.isnan(rmsea_detectable(400, 60, 0.0)[0])  # nothing is below 0


def test_groups_divide_the_noncentrality() -> None:
    rows, df = 601, 40
    critical = stats.ncx2.ppf(0.95, df, (rows - 1) * df * 0.05**2 / 3)
    expected = stats.ncx2.sf(critical, df, (rows - 1) * df * 0.08**2 / 3)
    assert float(rmsea_power(rows, df, groups=3)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("df", [1, 3, 48, 573])
def test_chisq_power_is_the_upper_tail(df: int) -> None:
    at = np.array([0.0, 0.5, 7.85, 40.0, 900.0])
    expected = stats.ncx2.sf(stats.chi2.ppf(0.99, df), df, at)
    assert chisq_power(at, df, 0.01) == pytest.approx(expected, abs=1e-10)
    assert chisq_power([1e6, 1e9], df).tolist() == [1.0, 1.0]


def test_rows_and_noncentrality_invert_power() -> None:
    # 7.849: the noncentrality of 80 % power with one degree of freedom, (z(.975) + z(.8))^2 but for the other tail
    assert required_noncentrality(0.8, 1) == pytest.approx((special.ndtri(0.975) + special.ndtri(0.8)) ** 2, rel=5e-6)
    for df in (1, 6, 200):
        assert float(chisq_power(required_noncentrality(0.9, df, 0.01), df, 0.01)) == pytest.approx(0.9, abs=1e-10)
        assert float(chisq_power(0.02 * chisq_rows(0.02, df), df)) == pytest.approx(0.8, abs=1e-10)
    assert chisq_rows(0.0, 1) == math.inf


def test_wald_power_is_that_of_one_degree_of_freedom() -> None:
    effect, se = np.array([0.3, -0.3, 0.0]), np.array([0.1, 0.1, 0.1])
    assert wald_power(effect, se) == pytest.approx(chisq_power((effect / se) ** 2, 1), abs=1e-12)
    assert float(wald_power(0.0, 0.2, 0.1)) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("effects", "cov"),
    [
        ([0.2], [[0.01]]),
        ([0.30, 0.20], [[0.010, 0.002], [0.002, 0.008]]),
        ([0.30, -0.20], [[0.010, 0.0], [0.0, 0.008]]),
        ([0.0, 0.4], [[0.010, 0.0], [0.0, 0.008]]),
        ([0.30, 0.20, 0.25], [[0.010, 0.002, 0.0], [0.002, 0.008, -0.001], [0.0, -0.001, 0.012]]),
    ],
)
def test_power_of_a_product_is_the_share_of_drawn_samples(effects: list[float], cov: list[list[float]]) -> None:
    draws = np.random.default_rng(4).multivariate_normal(effects, cov, size=200_000)
    variance = np.array(cov)
    z = stats.norm.ppf(0.975)
    joint = (np.abs(draws) > z * np.sqrt(np.diag(variance))).all(axis=1).mean()
    slope = np.stack([np.delete(draws, i, axis=1).prod(axis=1) for i in range(len(effects))], axis=1)
    se = np.sqrt(((slope @ variance) * slope).sum(axis=1))
    delta = (np.abs(draws.prod(axis=1)) > z * se).mean()
    found = product_power(np.array(effects), variance)
    # 4 Monte Carlo standard errors of 200,000 draws, and the error of the lattice
    assert found == pytest.approx((joint, delta), abs=4 * 0.5 / math.sqrt(200_000) + 5e-4)
    assert found == product_power(np.array(effects), variance)


def test_one_coefficient_needs_no_lattice_to_be_right() -> None:
    assert product_power(np.array([0.25]), np.array([[0.01]]))[0] == pytest.approx(
        float(wald_power(0.25, 0.1)), abs=1e-12
    )


def test_uncorrelated_coefficients_multiply_their_powers() -> None:
    cov = np.diag([0.01, 0.02])
    alone = wald_power([0.25, 0.4], np.sqrt(np.diag(cov)))
    assert product_power(np.array([0.25, 0.4]), cov)[0] == pytest.approx(alone.prod(), abs=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rmsea_power(100, 0), "no power"),
        (lambda: rmsea_power(1, 5), "at least 2 rows"),
        (lambda: rmsea_power(100, 5, 0.05, 0.05), "same RMSEA"),
        (lambda: rmsea_power(100, 5, -0.05, 0.05), "null=-0.05"),
        (lambda: rmsea_power(100, 5, groups=0), "groups=0"),
        (lambda: rmsea_rows(5, power=0.04), "power=0.04"),
        (lambda: rmsea_rows(1, 0.05, 0.0500001), "billion|rows would be needed"),
        (lambda: chisq_power(-1.0, 3), "negative"),
        (lambda: rmsea_change_power(200, (20, 22)), "larger one 22"),
        (lambda: rmsea_change_power(200, (22, 0)), "no power"),
        (lambda: rmsea_change_power(1, (22, 20)), "at least 2 rows"),
        (lambda: rmsea_change_power(200, (22, 20), alternative=(0.03, 0.06)), "smaller RMSEA"),
        (lambda: rmsea_change_power(200, (22, 20), (0.06, 0.05), (0.06, 0.05)), "no more than"),
        (lambda: rmsea_change_power(200, (22, 20), alternative=(2.0, 0.05)), "RMSEA of alternative=2"),
        (lambda: rmsea_change_rows((22, 20), groups=0), "groups=0"),
        (lambda: chisq_power(1.0, 3, 1.5), "alpha=1.5"),
        (lambda: wald_power(1.0, 1.0, 0.0), "alpha=0.0"),
        (lambda: product_power(np.array([1.0, 1.0]), np.array([[1.0]])), "2 x 2"),
        (lambda: product_power(np.array([1.0, 1.0]), np.ones((2, 2))), "positive definite"),
    ],
)
def test_bad_input_has_one_message(call, message: str) -> None:
    with pytest.raises(DataError, match=message):
        call()
