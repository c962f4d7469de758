"""Constraints, bounds and models of several levels against lavaan, by name."""

from __future__ import annotations

import json
import math
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compare import Tolerance, compare
from reference_case import data_frame, data_path, sha256

import b2b_sem as bs

REFERENCE = Path(__file__).resolve().parent
HERE = REFERENCE / "constraints"
CASES: dict[str, dict[str, Any]] = {
    case["id"]: case for case in json.loads((HERE / "cases.json").read_text(encoding="utf-8"))["cases"]
}
MANIFEST = json.loads((HERE / "manifest.json").read_text(encoding="utf-8"))
#: lavaan takes the Jacobian of constraints by numerical differences (about 1e-10). The largest difference measured over
#: all cases is below 1e-8; the default is ten times that.
TOLERANCE = Tolerance()


def parameters(ids: Any) -> list[Any]:
    return [
        pytest.param(i, id=i, marks=[pytest.mark.shared_data] if CASES[i]["data"].startswith("shared:") else [])
        for i in ids
    ]


def reference(case: str) -> dict[str, Any]:
    return json.loads((HERE / f"{case}.json").read_text(encoding="utf-8"))


@cache
def fit(case: str) -> Any:
    spec = CASES[case]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bs.B2BSemWarning)
        text = "\n".join(spec["model"])
        return bs.fit(text, data_frame(spec["data"]), engine="native", kind=spec["function"], **spec.get("options", {}))


def test_reference_files_belong_to_these_cases_and_scripts() -> None:
    digests = MANIFEST["sha256"]
    assert digests["cases"] == sha256(HERE / "cases.json")
    assert digests["generate"] == sha256(HERE / "generate.R")
    lavaan = REFERENCE / "lavaan"
    assert digests["common"] == sha256(lavaan / "common.R"), "common.R changed: run generate.R here"
    assert digests["functions"] == sha256(lavaan / "generate.R"), "lavaan/generate.R changed: run generate.R here"
    assert set(digests["outputs"]) == set(CASES)
    for case, digest in digests["outputs"].items():
        assert digest == sha256(HERE / f"{case}.json")


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(s, marks=[pytest.mark.shared_data] if s.startswith("shared:") else [])
        for s in sorted({case["data"] for case in CASES.values()})
    ],
)
def test_data_are_those_of_the_reference(source: str) -> None:
    assert sha256(data_path(source)) == MANIFEST["sha256"]["data"][source]


@pytest.mark.parametrize("case", CASES)
def test_reference_solves_the_equations_of_a_minimum(case: str) -> None:
    assert reference(case)["converged"]
    assert reference(case)["size"] < 1e-11


@pytest.mark.parametrize("case", parameters(CASES))
def test_numbers_are_those_of_lavaan(case: str) -> None:
    result = fit(case)
    assert result.converged
    assert result.identified
    assert result.optimizer.gradient <= 1e-8
    assert compare(result, reference(case), TOLERANCE) == []


@pytest.mark.parametrize("case", parameters(CASES))
def test_active_inequalities_are_counted_and_named(case: str) -> None:
    named = [w for w in fit(case).warnings if "boundary" in w]
    assert len(named) == (reference(case)["active"] > 0)
    active = fit(case)._context.problem.constraints.active if named else ()
    assert len(active) == reference(case)["active"]
    for text in active[:6]:
        assert text in named[0]


@pytest.mark.parametrize("case", parameters(i for i in CASES if reference(i).get("bounds")))
def test_bounds_are_those_of_lavaan(case: str) -> None:
    table = fit(case)._context.problem.table
    ours = {r.name: (r.lower, r.upper) for r in table.rows if r.free}
    rows = reference(case)["bounds"]
    assert len(rows) == len(ours)
    for row in rows:
        name = f"{row['lhs']}{row['op']}{row['rhs']}"
        for mine, theirs in zip(ours[name], (row.get("lower"), row.get("upper")), strict=True):
            if theirs is None:
                assert mine is None, name
            else:
                assert mine == pytest.approx(theirs, rel=1e-12, abs=1e-15), name


@pytest.mark.parametrize("case", [i for i in CASES if reference(i).get("se_ignoring_bounds")])
def test_lavaan_forgets_active_bounds_in_standard_errors(case: str) -> None:
    """Why this package does not: the same model with the bound written as an inequality has other standard errors."""
    stated = [row["se"] for row in reference(case)["parameters"]]
    ignoring = [math.nan if s is None else float(s) for s in reference(case)["se_ignoring_bounds"]]
    assert any(s == 0 and i != 0 for s, i in zip(stated, ignoring, strict=True))


@pytest.mark.parametrize("case", parameters(["pd_product", "heywood_lower", "hs_equation_and_inequality", "hs_order"]))
def test_text_written_back_is_the_same_model(case: str) -> None:
    spec, first = CASES[case], fit(case)
    options = {k: v for k, v in spec.get("options", {}).items() if k != "bounds"}
    again = bs.fit(first.model.syntax, data_frame(spec["data"]), engine="native", **options)
    assert again.measures["npar"] == first.measures["npar"]
    assert again.measures["chisq"] == pytest.approx(first.measures["chisq"], rel=1e-9)
    n = len(first.parameters)
    np.testing.assert_allclose(again.parameters["se"][:n], first.parameters["se"], rtol=1e-6, atol=1e-9)


def test_automatic_bounds_are_written_back() -> None:
    first = fit("heywood_standard")
    assert "lower(" in first.model.syntax
    again = bs.fit(first.model.syntax, data_frame(CASES["heywood_standard"]["data"]), engine="native")
    assert again.measures["chisq"] == pytest.approx(first.measures["chisq"], rel=1e-9)


def test_wrong_numbers_would_be_seen() -> None:
    wrong = reference("hs_active")
    row = next(r for r in wrong["parameters"] if r["rhs"] == "x3")
    row["se"] *= 1.0001
    assert any("x3 se" in line for line in compare(fit("hs_active"), wrong, TOLERANCE))
    assert any("df" in line for line in compare(fit("hs_active"), reference("hs_mixed"), TOLERANCE))
