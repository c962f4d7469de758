"""Score tests of models of ordinal items in one group, against lavTestScore of lavaan."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from reference_case import HERE, data_frame

import b2b_sem as bs

REFERENCE = json.loads((HERE / "ordinal" / "score.json").read_text(encoding="utf-8"))
BASE = "g =~ c1 + c2 + c3 + c4\nh =~ e1 + e2 + e3 + e4\nh ~ 0*g"
TIED = "g =~ c1 + a*c2 + a*c3 + a*c4\nh =~ e1 + b*e2 + b*e3 + m*e4\nh ~ g\nm == 0.9"
OPTIONS: dict[str, dict[str, Any]] = {
    "delta": {},
    "theta": {"parameterization": "theta"},
    "ULSMV": {"estimator": "ULSMV"},
}
#: The largest difference measured is 4e-8: polychoric correlations of lavaan are not polished.
RTOL = 1e-6


def fit(text: str, options: dict[str, Any]) -> Any:
    return bs.fit(text, data_frame("local:answers"), ordered=True, **options)


def check(found: Any, ref: dict[str, Any]) -> None:
    (total,) = ref["total"]
    assert found.chisq == pytest.approx(total["X2"], rel=RTOL)
    assert found.df == total["df"]
    ours = {frozenset((r.lhs, r.rhs)): r for r in found.univariate.itertuples(index=False)}
    theirs = {frozenset((r["lhs"], str(r["rhs"]))): r for r in ref["single"]}
    assert ours.keys() == theirs.keys()
    for key, row in theirs.items():
        assert ours[key].chisq == pytest.approx(row["X2"], rel=RTOL)
        assert ours[key].pvalue == pytest.approx(row["p_value"], rel=RTOL, abs=1e-12)


@pytest.mark.parametrize("name", list(OPTIONS))
def test_parameters_to_add(name: str) -> None:
    found = fit(BASE, OPTIONS[name]).score_test("c1 ~~ e1; g =~ e2")
    check(found, REFERENCE["runs"][name]["added"])


@pytest.mark.parametrize("name", list(OPTIONS))
def test_constraints_to_release(name: str) -> None:
    tied = fit(TIED, OPTIONS[name])
    ref = REFERENCE["runs"][name]["released"]
    check(tied.score_test(), ref)
    # of two parameters with one label, the index of either is the test of the constraint
    rows = tied.modification_indices(constrained=True)
    names = rows["lhs"] + rows["op"] + rows["rhs"]
    pair = next(r for r in ref["single"] if r["lhs"] == "h=~e2")
    for own in ("h=~e2", "h=~e3"):
        assert rows[names == own]["mi"].item() == pytest.approx(pair["X2"], rel=RTOL)


def test_a_parameter_that_does_not_exist_is_not_identified() -> None:
    found = fit(BASE, {}).score_test("c1 ~~ c1; c1 ~~ e1")
    assert found.df == 1
    assert any("c1~~c1" in note for note in found.warnings)


def test_the_numbers_are_those_of_the_script() -> None:
    for key, path in (("script", "ordinal/score.R"), ("data", "data/answers.csv")):
        assert hashlib.sha256((HERE / path).read_bytes()).hexdigest() == REFERENCE["sha256"][key]
