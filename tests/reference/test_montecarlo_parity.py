"""A Monte Carlo study against a loop of lavaan over the same 20 samples: numbers of each sample, verdicts, summary."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import b2b_sem as bs
from b2b_sem.data.score import rules_from_survey
from b2b_sem.engine.rowerror import MEASURES
from b2b_sem.results.montecarlo import MonteCarloResult
from b2b_sem.results.provenance import sha256
from b2b_sem.simulate.decision import VERDICTS
from b2b_sem.simulate.experiment import prepare_trial
from b2b_sem.simulate.respond import make_plan

FOLDER = Path(__file__).parent / "montecarlo"
REFERENCE: dict[str, Any] = json.loads((FOLDER / "reference.json").read_text(encoding="utf-8"))
NAME = "n=200"


@pytest.fixture(scope="module")
def result() -> MonteCarloResult:
    return bs.monte_carlo(FOLDER / "study.yaml")


def order(result: MonteCarloResult) -> list[int]:
    """Return the place of each of our parameters among lavaan's; a row missing on either side is an error."""
    table = result.parameters
    ours = [f"{a}{op}{b}" for a, op, b in zip(table["lhs"], table["op"], table["rhs"], strict=True)]
    turned = {f"{b}~~{a}": f"{a}~~{b}" for a, b in (n.split("~~") for n in REFERENCE["rows"] if "~~" in n)}
    theirs = {name: k for k, name in enumerate(REFERENCE["rows"])}
    assert {turned.get(n, n) if n not in theirs else n for n in ours} == set(theirs)
    return [theirs[n if n in theirs else turned[n]] for n in ours]


def differences(ours: np.ndarray, theirs: Any) -> float:
    """Return the largest difference, relative to 1 where numbers are smaller; a number on one side only is infinite."""
    other = np.array(theirs, dtype=float)
    if (np.isnan(ours) != np.isnan(other)).any():
        return float("inf")
    return float(np.nanmax(np.abs(ours - other) / np.maximum(1.0, np.abs(other))))


def test_the_reference_belongs_to_this_study(result: MonteCarloResult) -> None:
    assert REFERENCE["study"] == sha256(FOLDER / "study.yaml")
    spec = bs.load_montecarlo(FOLDER / "study.yaml")
    assert spec.population_spec is not None
    (cell,) = spec.cells()
    trial = prepare_trial(spec, make_plan(spec.population_spec), cell, spec.seed)
    assert trial.batch is not None
    items = trial.batch.replicator.problem.table.observed
    reverse = {rule.name for rule in rules_from_survey(trial.plan.survey, items) if rule.reverse}
    assert reverse <= set(REFERENCE["reversed"])
    for number, theirs in enumerate(REFERENCE["sample"]):
        # a sum that sees every answer: NumPy drawing other numbers is told apart from a fit that differs
        data = trial.draw(number)[list(items)].to_numpy(dtype=float)
        assert float(data.sum(axis=0) @ np.arange(1, len(items) + 1)) == theirs


@pytest.mark.parametrize("name", ["est", "se", "pvalue"])
def test_parameters_of_each_sample(result: MonteCarloResult, name: str) -> None:
    at = order(result)
    ours, theirs = np.array(result.samples[NAME][name]), np.array(REFERENCE[name], dtype=float)[:, at]
    if name != "est":  # lavaan writes NA for the tests of fixed variances, standardized to 1
        ours, theirs = (np.where(result.samples[NAME]["se"] > 0, v, np.nan) for v in (ours, theirs))
    assert differences(ours, theirs) < 1e-7
    wrong = theirs.copy()
    wrong[3, 5] += 1e-6
    assert differences(ours, wrong) > 1e-7
    wrong[3, 5] = np.nan
    assert differences(ours, wrong) == float("inf")


def test_measures_of_each_sample(result: MonteCarloResult) -> None:
    theirs = np.array([[row[name] for name in MEASURES] for row in REFERENCE["measures"]], dtype=float)
    ours = np.array(result.samples[NAME]["measures"])[:, : len(MEASURES)]
    assert differences(ours, theirs) < 1e-7
    assert np.isnan(result.samples[NAME]["measures"][:, len(MEASURES) :]).all()


def test_verdicts_of_each_sample(result: MonteCarloResult) -> None:
    ours = [[VERDICTS[v] for v in row] for row in result.samples[NAME]["verdict"]]
    assert [row[:8] for row in ours] == REFERENCE["verdict"]
    assert len({v for row in REFERENCE["verdict"] for v in row}) > 1


def test_summary(result: MonteCarloResult) -> None:
    at, table = order(result), result.parameters
    for name in ("mean", "sd", "mean_se"):
        theirs = np.array(REFERENCE["summary"][name], dtype=float)[at]
        ours = table[name].to_numpy(dtype=float)
        known = np.isfinite(ours)  # what is fixed has no standard error to average
        assert known.sum() >= len(ours) - 3
        assert differences(ours[known], theirs[known]) < 1e-7
