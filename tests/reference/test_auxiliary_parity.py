"""Auxiliary variables (saturated correlates) against semTools::auxiliary(), by name."""

from __future__ import annotations

import copy
import json
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from growth_case import GROWTH, Tolerance, compare_numbers, growth_data
from reference_case import HERE, data_frame, sha256

import b2b_sem as bs

FOLDER = HERE / "auxiliary"
REFERENCE: dict[str, Any] = json.loads((FOLDER / "reference.json").read_text(encoding="utf-8"))
CASES = {m["id"]: m for m in json.loads((FOLDER / "cases.json").read_text(encoding="utf-8"))["models"]}
pytestmark = pytest.mark.filterwarnings("ignore::b2b_sem.errors.B2BSemWarning")


@cache
def frame(name: str) -> pd.DataFrame:
    """Return the data of a case, with the holes of generate.R."""
    if name == "growth":
        return growth_data()
    data = data_frame("semopy:holzinger").copy()
    data["school"] = pd.factorize(data["school"], sort=True)[0]
    if name == "holzinger":
        i = np.arange(1, len(data) + 1)
        for k in range(1, 10):
            data.loc[((7 * i + 3 * k) % 11 == 0) & (i % 3 != k % 3), f"x{k}"] = np.nan
        data.loc[(data["ageyr"] <= 12) & (i % 3 == 0), "x5"] = np.nan
    return data


@cache
def fit_case(case: str) -> Any:
    """Fit a case."""
    spec = CASES[case]
    return bs.fit(
        "\n".join(spec["model"]),
        frame(spec["data"]),
        kind=spec["function"],
        missing="fiml",
        auxiliary=spec["auxiliary"],
        **spec.get("options", {}),
    )


def test_reference_belongs_to_these_cases_and_scripts() -> None:
    digests = REFERENCE["sha256"]
    assert digests["cases"] == sha256(FOLDER / "cases.json"), "cases.json changed: run generate.R"
    assert digests["generate"] == sha256(FOLDER / "generate.R"), "generate.R changed: run it"
    assert digests["growth"] == sha256(GROWTH / "growth.csv")
    assert set(CASES) <= set(REFERENCE)


@pytest.mark.parametrize("case", CASES)
def test_reference_is_a_solution(case: str) -> None:
    assert REFERENCE[case]["gradient"] < 1e-13


@pytest.mark.parametrize("case", CASES)
def test_auxiliary_variables_give_the_numbers_of_semtools(case: str) -> None:
    fit = fit_case(case)
    assert fit.converged
    assert fit.identified
    assert compare_numbers(fit, REFERENCE[case], Tolerance()) == []
    shares = {name: np.nan if value is None else value for name, value in REFERENCE[case]["r2"].items()}
    assert fit.r2 == pytest.approx(shares, rel=1e-8, nan_ok=True)


def test_robust_indices_rest_on_the_baseline_model_with_auxiliary_variables() -> None:
    # without holes nothing is corrected; lavaan's own robust CFI is that of another baseline model
    measures, theirs = fit_case("complete").measures, REFERENCE["complete"]
    assert measures["cfi_robust"] == pytest.approx(measures["cfi"], rel=1e-10)
    assert measures["tli_robust"] == pytest.approx(measures["tli"], rel=1e-10)
    assert abs(theirs["stopped"]["cfi_robust"] - theirs["measures"]["cfi"]) > 1e-3


def test_a_wrong_number_and_a_missing_row_are_seen() -> None:
    wrong = copy.deepcopy(REFERENCE["cfa"])
    wrong["measures"]["baseline_chisq"] *= 1 + 1e-6
    wrong["parameters"][-1]["se"] *= 1 + 1e-4
    del wrong["parameters"][0]
    assert len(compare_numbers(fit_case("cfa"), wrong)) == 3
