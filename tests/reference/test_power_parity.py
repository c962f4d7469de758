"""Power against semTools, and noncentralities against models that lavaan fitted to the same population moments."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from b2b_sem.analysis.power import analytic_power
from b2b_sem.measures.power import rmsea_change_power, rmsea_change_rows, rmsea_power, rmsea_rows
from b2b_sem.results.power import PowerResult

HERE = Path(__file__).resolve().parent / "power"
CASES = json.loads((HERE / "cases.json").read_text(encoding="utf-8"))
FOUND = json.loads((HERE / "power.json").read_text(encoding="utf-8"))
MODELS = {case["id"]: (case, found) for case, found in zip(CASES["models"], FOUND["models"], strict=True)}
#: lavaan's optimiser stops where the fit function is right to 1e-9 or so; measured: 2e-11.
NONCENTRALITY = 1e-9
#: The same with holes, where likelihoods of all rows are subtracted; measured: 5e-8.
HOLES = 5e-7


@cache
def result(case: str) -> PowerResult:
    spec = MODELS[case][0]
    return analytic_power(
        "\n".join(spec["population"]),
        "\n".join(spec["model"]),
        nobs=sum(spec["nobs"]),
        shares=spec["nobs"],
        restrictions=tuple(spec["restrictions"]),
        steps=tuple(spec.get("steps", ())),
    )


def rows(case: str, kind: str) -> dict[str, dict[str, Any]]:
    table = result(case).table
    return {r["test"]: r for r in table[table["kind"] == kind].to_dict("records")}


@pytest.mark.parametrize("at", range(len(CASES["rmsea"])))
def test_rmsea_power_and_rows(at: int) -> None:
    case, expected = CASES["rmsea"][at], FOUND["rmsea"][at]
    about = (case["df"], case["null"], case["alternative"])
    options = {"alpha": case["alpha"], "groups": case["groups"]}
    assert rmsea_power(CASES["rows"], *about, **options) == pytest.approx(expected["power"], abs=1e-9)
    assert [rmsea_rows(*about, power=p, **options) for p in CASES["power"]] == expected["rows"]


@pytest.mark.parametrize("case", MODELS)
def test_restrictions_have_the_same_noncentrality(case: str) -> None:
    own, reference = rows(case, "restriction"), MODELS[case][1]["restrictions"]
    assert set(own) == {r["restriction"] for r in reference}
    for row in reference:
        found = own[row["restriction"]]
        assert found["df"] == row["df"]
        assert found["noncentrality"] == pytest.approx(row["ncp"], rel=NONCENTRALITY)
        assert found["power"] == pytest.approx(row["power"], abs=1e-9)
        assert found["noncentrality"] != pytest.approx(row["ncp"] * 1.0001, rel=NONCENTRALITY)
        if "semtools" in row:
            assert found["power"] == pytest.approx(row["semtools"], abs=1e-9)


@pytest.mark.parametrize("case", MODELS)
def test_paths_are_tests_of_zero(case: str) -> None:
    table = result(case).table
    paths = table[table["kind"] == "path"]
    reference = MODELS[case][1]["paths"]
    assert len(paths) == len(reference)
    zero = {r["restriction"]: r["ncp"] for r in MODELS[case][1]["restrictions"] if r["restriction"].endswith("== 0")}
    for (_, found), row in zip(paths.iterrows(), reference, strict=True):
        assert found["test"] == f"{row['lhs']}~{row['rhs']}"
        assert found["value"] == pytest.approx(row["est"], abs=1e-7)
        assert any(found["noncentrality"] == pytest.approx(ncp, rel=NONCENTRALITY) for ncp in zero.values())


def test_group_difference_and_invariance_steps() -> None:
    reference = MODELS["groups"][1]
    difference = rows("groups", "difference")["Y~F equal in all groups"]
    equal = next(r for r in reference["restrictions"] if r["restriction"] == "a1 == a2")
    assert difference["noncentrality"] == pytest.approx(equal["ncp"], rel=NONCENTRALITY)
    steps = rows("groups", "step")
    assert set(steps) == set(reference["steps"])
    for name, row in reference["steps"].items():
        assert steps[name]["df"] == row["df"]
        assert steps[name]["noncentrality"] == pytest.approx(row["ncp"], rel=NONCENTRALITY)


@pytest.mark.parametrize("case", MODELS)
def test_the_model_itself(case: str) -> None:
    own, reference = rows(case, "model")["chi-square"], MODELS[case][1]["fit"]
    assert own["df"] == reference["df"]
    assert own["noncentrality"] == pytest.approx(reference["ncp"], rel=NONCENTRALITY, abs=1e-6)


@pytest.mark.parametrize("at", range(len(CASES["nested"])))
def test_power_of_a_change_of_rmsea(at: int) -> None:
    case, expected = CASES["nested"][at], FOUND["nested"][at]
    about = tuple(tuple(case[name]) for name in ("df", "null", "alternative"))
    options = {"alpha": case["alpha"], "groups": case["groups"]}
    found = rmsea_change_power(CASES["rows"], *about, **options)
    assert found == pytest.approx(expected["power"], abs=1e-9)
    assert [rmsea_change_rows(*about, power=p, **options) for p in CASES["power"]] == expected["rows"]
    assert rmsea_change_power(CASES["rows"], *about, alpha=case["alpha"], groups=4) != pytest.approx(
        expected["power"], abs=1e-9
    )


@pytest.mark.parametrize("missing", ["fiml", "listwise"])
@pytest.mark.parametrize("at", range(len(CASES["missing"])))
def test_answers_missing_by_chance(at: int, missing: str) -> None:
    case, expected = CASES["missing"][at], FOUND["missing"][at]
    spec = MODELS[case["model"]][0]
    text = ("\n".join(spec["population"]), "\n".join(spec["model"]))
    options = {
        "nobs": 500,
        "shares": spec["nobs"],
        "restrictions": spec["restrictions"],
        "steps": (),
        "indirect": False,
    }
    found = analytic_power(*text, missing=missing, missing_rate=case["rates"], **options).table
    own = found[found["kind"] == "restriction"].set_index("test")["per_row"]
    assert set(own.index) == {r["restriction"] for r in expected[missing]}
    other = analytic_power(*text, **options).table.set_index("test")["per_row"]
    for row in expected[missing]:
        assert own[row["restriction"]] == pytest.approx(row["per_row"], rel=HOLES)
        assert other[row["restriction"]] != pytest.approx(row["per_row"], rel=100 * HOLES)
