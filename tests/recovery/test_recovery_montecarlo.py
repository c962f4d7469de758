"""A correct model with normal answers: unbiased estimates, errors that say how much they vary, intervals that hold.

The numbers to meet are those of theory: values of the population, standard errors from the information at the
population's covariances, levels of tests and intervals. Bounds are four Monte Carlo standard errors. The seed is fixed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs
from b2b_sem.results.montecarlo import MonteCarloResult
from b2b_sem.simulate.respond import make_plan

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parents[1] / "reference" / "montecarlo_exam"
N, SAMPLES = 2000, 1500
STUDY = f"""
kind: montecarlo
schema_version: 1
id: coverage
title: Coverage
population: {FOLDER / "population.yaml"}
conditions: {{n: [{N}]}}
replications: {SAMPLES}
seed: 11
"""


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> MonteCarloResult:
    path = tmp_path_factory.mktemp("study") / "study.yaml"
    path.write_text(STUDY, encoding="utf-8")
    return bs.monte_carlo(path)


@pytest.fixture(scope="module")
def free(result: MonteCarloResult) -> pd.DataFrame:
    table = result.parameters
    assert result.replications["converged"].item() == 1
    return table[table["sd"] > 0]


def beyond(value: pd.Series, aim: pd.Series | float, error: pd.Series | float) -> float:
    return float(((value - aim).abs() / error).max())


def test_intervals_hold_the_true_value_as_often_as_they_say(free: pd.DataFrame) -> None:
    assert len(free) == 25
    error = np.sqrt(0.95 * 0.05 / SAMPLES)
    assert beyond(free["coverage"], 0.95, error) < 4
    # the same intervals are not 90 % intervals, nor 97.5 % ones
    assert beyond(free["coverage"], 0.90, error) > 4
    assert beyond(free["coverage"], 0.975, error) > 4


def test_estimates_are_unbiased_up_to_the_order_of_one_over_n(free: pd.DataFrame) -> None:
    linear = free[free["op"] != "~~"]
    assert beyond(linear["bias"], 0.0, linear["bias_mcse"]) < 4
    assert free["bias"].abs().max() < 5 / N  # squares, such as variances, are biased by that much


def test_errors_are_those_of_theory(result: MonteCarloResult, free: pd.DataFrame) -> None:
    spec = bs.load_montecarlo(FOLDER / "factors_fitted.yaml")
    assert spec.population_spec is not None
    population = make_plan(spec.population_spec).population
    items = list(population.items)
    cov = pd.DataFrame(population.item_cov() * N / (N - 1), index=items, columns=items)
    model = bs.load_model(FOLDER / "mediation.yaml")
    exact = bs.fit(model.syntax(), sample_cov=cov, nobs=N).standardized()
    theory = {(r["lhs"], r["op"], r["rhs"]): r["se"] for r in exact.to_dict("records")}
    expected = pd.Series([theory[tuple(r)] for r in free[["lhs", "op", "rhs"]].to_numpy()], index=free.index)
    assert beyond(free["sd"], expected, free["sd_mcse"]) < 4
    assert (free["mean_se"] / expected - 1).abs().max() < 0.01
    assert beyond(free["se_bias"], 0.0, free["se_bias_mcse"]) < 4
    assert beyond(free["sd"], 1.15 * expected, free["sd_mcse"]) > 4


def test_the_test_of_fit_rejects_as_often_as_it_says(result: MonteCarloResult) -> None:
    row = result.measures.set_index("measure").loc["pvalue"]
    assert abs(row["rejected"] - 0.05) < 4 * np.sqrt(0.05 * 0.95 / SAMPLES)
    chisq = result.measures.set_index("measure").loc[["chisq", "df"], "mean"]
    assert abs(chisq["chisq"] - chisq["df"]) < 4 * np.sqrt(2 * chisq["df"] / SAMPLES) + 0.1
