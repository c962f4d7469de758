"""Populations that are lavaan text, and the true values of studies of them, against lavaan."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from b2b_sem.simulate.estimand import true_values
from b2b_sem.simulate.experiment import prepare_trial
from b2b_sem.simulate.text import make_text_plan, standardized_values
from b2b_sem.simulate.trial import key_of
from b2b_sem.spec.loader import load_montecarlo
from b2b_sem.spec.text import TextValues, text_population

FOLDER = Path(__file__).parent / "raw_population"
CASES = json.loads((FOLDER / "cases.json").read_text(encoding="utf-8"))
REFERENCE = json.loads((FOLDER / "raw_population.json").read_text(encoding="utf-8"))
#: Moments and standardized values are closed forms, written with 12 digits.
EXACT = 1e-10
#: lavaan's optimiser ends 1.2e-7 and nearer to the values that give the moments.
FITTED = 1.5e-6


def plan(name: str) -> Any:
    return make_text_plan(text_population(name, TextValues(text=CASES["populations"][name])))


def ours(case: dict[str, Any], folder: Path) -> dict[tuple[str, str, str], float]:
    options = ", ".join(f"{key}: {str(case[key]).lower()}" for key in ("std_lv", "meanstructure") if key in case)
    lines = ["kind: montecarlo", "schema_version: 1", "id: case", "title: case", "population: {file: population.lav}"]
    lines += [
        "model: |",
        *(f"  {line}" for line in case["model"].split("\n")),
        f"options: {{{options}}}",
        "replications: 2",
    ]
    (folder / "population.lav").write_text(CASES["populations"][case["population"]], encoding="utf-8")
    (folder / "case.yaml").write_text("\n".join(lines), encoding="utf-8")
    spec = load_montecarlo(folder / "case.yaml")
    made = make_text_plan(spec.population_spec)
    trial = prepare_trial(spec, made, spec.cells()[0], 1)
    assert trial.raw
    return {key[:3]: value for key, value in zip(trial.rows, true_values(made, trial), strict=True)}


@pytest.mark.parametrize("name", CASES["populations"])
def test_moments_and_standardized_values(name: str) -> None:
    found, reference = plan(name).population, REFERENCE["populations"][name]
    at = [found.names.index(variable) for variable in reference["names"]]
    assert len(at) == len(found.names)
    np.testing.assert_allclose(found.cov[np.ix_(at, at)], reference["cov"], rtol=0, atol=EXACT)
    np.testing.assert_allclose(found.mean[at], reference["mean"], rtol=0, atol=EXACT)
    values = {key_of(*key)[:3]: value for key, value in standardized_values(found).items()}
    for row in reference["standardized"]:
        key = key_of(row["lhs"], row["op"], row.get("rhs") or "")[:3]
        assert values.pop(key) == pytest.approx(row["est.std"], abs=EXACT), key
    assert not values


@pytest.mark.parametrize("name", CASES["fits"])
def test_true_values_are_what_lavaan_finds_in_the_moments(name: str, tmp_path: Path) -> None:
    reference = REFERENCE["fits"][name]
    assert reference["fmin"] < 1e-9
    found = ours(CASES["fits"][name], tmp_path)
    for row in reference["parameters"]:
        key = key_of(row["lhs"], row["op"], row.get("rhs") or "")[:3]
        assert found.pop(key) == pytest.approx(row["est"], rel=FITTED, abs=FITTED), key
    assert not found


def test_a_wrong_value_is_noticed(tmp_path: Path) -> None:
    """The values of the text itself are not those of a model in another metric."""
    case = CASES["fits"]["mediation_std_lv"]
    found, text = ours(case, tmp_path), plan("mediation").population.values
    apart = [abs(found[key] - text[key]) for key in found if key in text and key[1] == "=~"]
    assert min(apart) > 1000 * FITTED
