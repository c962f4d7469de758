"""Monte Carlo experiments: what is drawn, what comes back."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import b2b_sem as bs
from b2b_sem.analysis.montecarlo import MonteCarlo, monte_carlo, population
from b2b_sem.engine.resample import stream, wishart_moments

TRUTH = """F =~ 1*x1 + .8*x2 + .7*x3
G =~ 1*y1 + .9*y2 + .8*y3
G ~ .4*F
G ~~ .84*G
""" + "\n".join(f"{v} ~~ .5*{v}" for v in ("x1", "x2", "x3", "y1", "y2", "y3"))
MODEL = "F =~ x1 + x2 + x3\nG =~ y1 + y2 + y3\nG ~ F"


@cache
def experiment() -> MonteCarlo:
    return monte_carlo(population(TRUTH), MODEL, nobs=300, n=600, seed=1)


def test_population_moments_are_those_of_the_model() -> None:
    truth = population(TRUTH)
    at = {v: i for i, v in enumerate(truth.names)}
    assert truth.cov[at["x1"], at["x2"]] == pytest.approx(0.8)
    assert truth.cov[at["x1"], at["x1"]] == pytest.approx(1.5)
    assert truth.cov[at["x1"], at["y2"]] == pytest.approx(0.36)
    assert truth.cov[at["y1"], at["y1"]] == pytest.approx(0.84 + 0.16 + 0.5)
    with pytest.raises(bs.ModelSyntaxError, match="positive definite"):
        population("F =~ 1*x1 + 1*x2\nx1 ~~ -2*x1")


def test_estimates_come_back_with_honest_errors() -> None:
    table = experiment().summary()
    assert experiment().failed == 0
    # Monte Carlo errors times four, and bias of order 1/N
    assert (table["bias"].abs() < 4 * table["bias_mcse"] + 0.01).all()
    assert (table["mean_se"] / table["sd"]).between(0.88, 1.12).all()
    assert table["coverage"].between(0.92, 0.975).all()
    path = table.query("op == '~'").iloc[0]
    assert path["true"] == 0.4
    assert path["power"] > 0.9


def test_the_chi_square_test_keeps_its_level() -> None:
    share, error = experiment().rejection()
    assert experiment().df == 8
    assert abs(share - 0.05) < 4 * error + 0.01
    assert experiment().chisq.mean() == pytest.approx(8, abs=0.7)


def test_a_wrong_model_is_rejected() -> None:
    wrong = monte_carlo(population(TRUTH), "F =~ x1 + x2 + x3 + y1 + y2 + y3", nobs=300, n=50, seed=1)
    assert wrong.rejection()[0] == 1.0
    assert np.isnan(wrong.truth).sum() > 0  # loadings the population does not have
    assert wrong.summary()["coverage"].isna().sum() == np.isnan(wrong.truth).sum()


def test_numbers_do_not_depend_on_how_many_are_asked_for() -> None:
    few = monte_carlo(population(TRUTH), MODEL, nobs=300, n=20, seed=1)
    np.testing.assert_array_equal(few.theta, experiment().theta[:20])
    np.testing.assert_array_equal(few.se, experiment().se[:20])
    assert not np.allclose(monte_carlo(population(TRUTH), MODEL, nobs=300, n=20, seed=2).theta, few.theta)


def test_standard_errors_are_those_of_a_single_fit() -> None:
    truth = population(TRUTH)
    cov, _ = wishart_moments(stream(1, 0), truth.cov, None, 300, 128, divisor=300)
    import pandas as pd

    names = list(truth.names)
    frame = pd.DataFrame(cov[5] * 300 / 299, index=names, columns=names)
    one = bs.fit(MODEL, sample_cov=frame, nobs=300, engine="native")
    table = one.parameters.query("free > 0")
    np.testing.assert_allclose(experiment().theta[5], table["est"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(experiment().se[5], table["se"], rtol=1e-4)
    assert experiment().chisq[5] == pytest.approx(one.measures["chisq"], abs=1e-7)
    assert experiment().pvalue[5] == pytest.approx(one.measures["pvalue"], abs=1e-8)


def test_means_and_covariates() -> None:
    truth = population("y ~ .5*x + .3*w\ny ~~ .6*y\ny ~ 2*1\nx ~ 1*1\nx ~~ .2*w")
    result = monte_carlo(truth, "y ~ x + w", nobs=100, n=300, seed=3, meanstructure=True, fixed_x=True)
    table = result.summary()
    assert table.query("op == '~1'")["mean"].iloc[0] == pytest.approx(2.0, abs=0.05)
    assert table["coverage"].between(0.88, 0.99).all()


def test_wishart_moments_have_the_moments_they_should() -> None:
    cov = np.array([[2.0, 0.6, 0.1], [0.6, 1.0, -0.2], [0.1, -0.2, 0.5]])
    n, size = 20, 20_000
    drawn, mean = wishart_moments(stream(0, 0), cov, np.array([1.0, 2.0, 3.0]), n, size, divisor=n - 1)
    assert mean is not None
    variance = (cov**2 + np.outer(np.diag(cov), np.diag(cov))) / (n - 1)
    assert (np.abs(drawn.mean(axis=0) - cov) < 5 * np.sqrt(variance / size)).all()
    np.testing.assert_allclose(drawn.var(axis=0), variance, rtol=0.08)
    np.testing.assert_allclose(mean.mean(axis=0), [1, 2, 3], atol=0.01)
    np.testing.assert_allclose(np.cov(mean.T) * n, cov, atol=0.08)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "F =~ x1 + x2 + q"}, "no variable 'q'"),
        ({"nobs": 6}, "nobs=6"),
        ({"n": 0}, "n=0"),
    ],
)
def test_settings_are_checked(settings: dict, message: str) -> None:
    with pytest.raises(bs.DataError, match=message):
        monte_carlo(population(TRUTH), **{"model": MODEL, "nobs": 100, "n": 10, "seed": 1, **settings})
