"""What analyses of lessons tend to, and true reliabilities, against models that lavaan fitted to known moments."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from b2b_sem.simulate.lesson_answers import Treatment
from b2b_sem.simulate.lesson_limit import Analysis, Limits
from b2b_sem.simulate.lesson_model import measured
from b2b_sem.simulate.lesson_truth import true_reliability
from b2b_sem.simulate.respond import simulate, sources
from b2b_sem.spec.loader import load_simulation
from b2b_sem.spec.part import clean

HERE = Path(__file__).resolve().parent / "lesson"
FOUND = json.loads((HERE / "lesson.json").read_text(encoding="utf-8"))
CASES: dict[str, dict[str, Any]] = FOUND["cases"]
#: Standardized paths of 20,000 respondents have standard errors of about .01; largest distance of three seeds: .024.
ONE = 0.035
#: Distances of two fits to the same random numbers are more exact; largest of three seeds: .015.
TWO = 0.02


@pytest.fixture(scope="module")
def limits() -> Limits:
    spec = load_simulation(HERE / "population.yaml")
    return Limits(spec, sources(spec)[1], 20261122)


def analysis(case: dict[str, Any]) -> Analysis:
    turned = case.get("flipped")
    rows = "all" if case["careless"] else "attentive"
    treatment = Treatment(rows, () if turned is None else (turned,))
    return Analysis(case["text"], treatment, {}, listwise=False, method=case["method"] > 0)


def paths(case: dict[str, Any]) -> dict[tuple[str, str], float]:
    return {(row["lhs"], row["rhs"]): row["est"] for row in case["paths"]}


@pytest.mark.parametrize("name", CASES)
def test_analyses_tend_to_what_lavaan_finds_in_the_moments(name: str, limits: Limits) -> None:
    expected, found = paths(CASES[name]), limits.paths(analysis(CASES[name]))
    assert found is not None
    assert set(found) == set(expected)
    for pair, value in expected.items():
        assert found[pair] == pytest.approx(value, abs=ONE), pair


@pytest.mark.parametrize("name", [n for n in CASES if n != "right"])
def test_the_distance_from_the_truth_is_more_exact(name: str, limits: Limits) -> None:
    right, mine = limits.paths(analysis(CASES["right"])), limits.paths(analysis(CASES[name]))
    assert right is not None
    assert mine is not None
    truth, expected = paths(CASES["right"]), paths(CASES[name])
    for pair in expected:
        if pair in truth:
            distance = expected[pair] - truth[pair]
            assert mine[pair] - right[pair] == pytest.approx(distance, abs=TWO), pair


def test_a_wrong_treatment_would_be_noticed() -> None:
    right = paths(CASES["right"])
    for name in ("omitted", "misplaced", "careless", "method", "everything"):
        own = paths(CASES[name])
        assert max(abs(own[pair] - right[pair]) for pair in own if pair in right) > 1.5 * TWO, name


@pytest.mark.parametrize("kind", ["pure", "method"])
def test_reliability_is_what_the_construct_has_of_the_sum(kind: str) -> None:
    spec = load_simulation(HERE / "population.yaml")
    drawn = simulate(clean(spec, method=kind == "pure"), 10, 1)
    found = true_reliability(drawn.truth, measured(drawn.population), "expected")
    assert found == pytest.approx(FOUND["reliability"][kind], rel=1e-8)
