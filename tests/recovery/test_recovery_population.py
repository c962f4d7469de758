"""A large sample from a known population: every value is found again, through the whole way a study goes."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs
from b2b_sem.propositions import judge
from b2b_sem.results.study import StudyResult
from b2b_sem.spec.loader import load_simulation, load_study
from b2b_sem.spec.study import GroupsAnalysis

pytestmark = pytest.mark.slow

N = 5000
SEEDS = (20260501, 20260502, 20260503)


@cache
def recovered(seed: int) -> tuple[bs.FitResult, pd.DataFrame]:
    """Fit the model to continuous responses; return the fit and the truth beside the standardized solution."""
    simulation = load_simulation("lima2026")
    response = simulation.response.model_copy(update={"type": "continuous"})
    drawn = bs.simulate(simulation.model_copy(update={"response": response}), N, seed)
    model = bs.load_model("lima2026")
    survey = model.survey_spec
    assert survey is not None
    frame = drawn.frame.copy()
    # continuous answers may lie outside 1 to 7, which scoring refuses; turning them around is all that is needed
    for item in set(survey.reverse_items()) & set(frame):
        frame[item] = sum(survey.range_of(item)) - frame[item]
    result = bs.fit(model, frame, engine="native")
    assert result.ok, result.failure
    both = drawn.truth.merge(result.standardized(), on=["lhs", "op", "rhs"], how="left", validate="one_to_one")
    assert both["est_std"].notna().all()  # no value of the population is without an estimate
    return result, both[both["se"] > 0]


@pytest.mark.parametrize("seed", SEEDS)
def test_every_value_lies_within_four_standard_errors(seed: int) -> None:
    _, table = recovered(seed)
    assert len(table) > 100
    away = (table["est_std"] - table["value"]).abs() / table["se"]
    assert away.max() < 4, table[away >= 4].to_string()


def test_distances_are_as_large_as_the_standard_errors_say() -> None:
    """Over three samples: the mean squared z is 1 and 95 % of the intervals hold the truth, or the SEs are wrong."""
    tables = [recovered(seed)[1] for seed in SEEDS]
    z = np.concatenate([((t["est_std"] - t["value"]) / t["se"]).to_numpy() for t in tables])
    covered = np.concatenate(
        [((t["ci_lower"] <= t["value"]) & (t["value"] <= t["ci_upper"])).to_numpy() for t in tables]
    )
    # loadings and residuals of one item are the same information, so half the values are counted as independent
    independent = len(z) / 2
    assert abs(float((z**2).mean()) - 1) < 4 * math.sqrt(2 / independent)
    assert abs(float(covered.mean()) - 0.95) < 4 * math.sqrt(0.95 * 0.05 / independent)


def test_the_true_model_is_not_rejected_more_often_than_it_should() -> None:
    """The sum of three chi-squares is one chi-square: it must not be in either tail."""
    fits = [recovered(seed)[0] for seed in SEEDS]
    chisq, df = (sum(fit.measures[name] for fit in fits) for name in ("chisq", "df"))
    # normal approximation of a chi-square with 2,670 df
    assert abs(chisq - df) < 4 * math.sqrt(2 * df)
    for fit in fits:
        assert fit.measures["rmsea"] < 0.01
        assert fit.measures["cfi"] > 0.998


@cache
def ordinal() -> StudyResult:
    """Run the demonstration study, whose answers are whole numbers from 1 to 7, on many respondents."""
    study = load_study("demo")
    data = study.data.model_copy(update={"n": N, "seed": 20260504})
    return bs.run_study(study.model_copy(update={"data": data, "analyses": ("fit", "propositions")}), engine="native")


def test_study_on_ordinal_answers_finds_its_truth() -> None:
    """Whole way: answers are written reversed, scored, fitted, and set beside what they were drawn from.

    Seven ordered answers are treated as continuous, so standard errors are approximate: five of them are allowed.
    """
    result = ordinal()
    assert result.ok
    assert result.fit.nobs == N
    truth = result.truth
    assert truth is not None
    assert {"PC ~ NR", "DE ~ BT", "NR =~ nr4", "NR ~~ PE"} <= set(truth["lhs"] + " " + truth["op"] + " " + truth["rhs"])
    se = (truth["ci_upper"] - truth["ci_lower"]) / (2 * 1.959964)
    assert ((truth["est_std"] - truth["truth"]).abs() < 5 * se).all()
    assert 0.88 < truth["covered"].mean() <= 1.0
    paths = truth[truth["op"] == "~"]
    assert (paths["population"] == paths["truth"]).all()
    loadings = truth[truth["op"] == "=~"]
    assert (loadings["truth"] < loadings["population"]).all()


@cache
def sectors() -> StudyResult:
    """Run the comparison of sectors of the demonstration study on many respondents."""
    study = load_study("demo")
    data = study.data.model_copy(update={"n": N, "seed": 20260505})
    compared = GroupsAnalysis(groups="sector")
    return bs.run_study(study.model_copy(update={"data": data, "analyses": ("fit", "propositions", compared)}))


def test_study_finds_the_truth_of_its_groups() -> None:
    truth = sectors().group_truth
    assert truth is not None
    kinds = truth["quantity"].value_counts().to_dict()
    # of P10: total, direct and through DA, of AU and LG; 9 means of the main model; 8 paths in each sector
    assert kinds == {"total": 2, "direct": 2, "indirect": 2, "mean": 9, "path": 16}
    se = (truth["ci_upper"] - truth["ci_lower"]) / (2 * 1.959964)
    assert ((truth["est"] - truth["truth"]).abs() < 4 * se).all()
    assert truth["covered"].mean() > 0.8
    assert (sectors().comparisons[0].reasons, sectors().comparisons[0].claims[0].reasons) == ((), ())


def test_study_supports_a_claim_on_groups_that_is_true() -> None:
    (claim,) = [v for v in sectors().verdicts if v.id == "P10"]
    assert claim.verdict == "supported"
    assert [p.outcome for p in claim.parts] == ["holds"] * 3
    assert claim.parts[0].estimate < 0 < claim.parts[1].estimate
    # with the stated signs turned around, the same respondents contradict it
    prop = bs.load_model("lima2026").proposition("P10")
    parts = tuple(p.model_copy(update={"sign": "+" if p.sign == "-" else "-"}) for p in prop.parts)
    turned = prop.model_copy(update={"parts": parts})
    (other,) = judge([turned], sectors().fit, comparisons=sectors().comparisons)
    assert other.verdict == "contradicted"


def test_study_supports_what_is_true() -> None:
    verdicts = {v.id: v for v in ordinal().verdicts}
    assert [v.verdict for v in verdicts.values()] == ["supported"] * 8 + ["not testable here"] * 2
    # with the stated signs turned around, the same data contradict every proposition
    model = bs.load_model("lima2026")
    turned = [p.model_copy(update={"sign": "-"}) for p in model.propositions if p.test == "path"]
    assert {v.verdict for v in judge(turned, ordinal().fit)} == {"contradicted"}
    # and nothing rests on the same numbers when their fit failed
    failed = replace(ordinal().fit, converged=False)
    assert {v.verdict for v in judge(turned, failed)} == {"not testable here"}
