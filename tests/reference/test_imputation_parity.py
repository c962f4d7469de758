"""Pooled fits against semTools, by name, on the same imputed data sets."""

from __future__ import annotations

import copy
import json
import math
from typing import Any

import pytest
from imputation_case import CASES, HERE, SPEC, failures, fit_run, number, parameters, reference
from reference_case import sha256

import b2b_sem as bs

EACH = pytest.mark.parametrize(("case", "run"), parameters())


@EACH
def test_estimates_errors_and_measures(case: str, run: str) -> None:
    numbers = reference(case)[run]
    fit = fit_run(case, run)
    assert fit.imputation.used == numbers["converged"] == numbers["m"]
    assert failures(fit, numbers) == []


def numbers_of(numbers: dict[str, Any], name: str) -> tuple[float, float, float, float]:
    """Return F, its second degrees of freedom, p and the relative increase in variance of a test of semTools."""
    found = numbers["tests"][name]
    robust = "_scaled" if "F_scaled" in found or "chisq_scaled" in found else ""
    if f"F{robust}" in found:
        f, df2 = number(found[f"F{robust}"]), number(found[f"df2{robust}"])
        riv = found[f"ariv{robust}"]
    else:
        f, df2 = number(found[f"chisq{robust}"]) / number(found[f"df{robust}"]), math.inf
        riv = found["ariv"]
    return f, math.inf if math.isnan(df2) else df2, number(found[f"pvalue{robust}"]), number(riv)


@EACH
def test_chi_square_tests(case: str, run: str) -> None:
    numbers = reference(case)[run]
    fit, nested = fit_run(case, run), fit_run(case, run, True)
    test = fit.model.options["test"]
    checked = []
    for name in numbers["tests"]:
        which, method = name.split("_")
        if method == "D3":
            # semTools reports the uncorrected test where a shift or adjusted df would be needed, or changes to D2
            if fit.model.options["estimator"] in ("GLS", "WLS") or test == "scaled.shifted":
                continue
            if test == "mean.var.adjusted" and which == "nested":
                continue
        ours = fit.pooled_test(method=method) if which == "model" else nested.pooled_test(fit, method)
        f, df2, pvalue, riv = numbers_of(numbers, name)
        # robust differences: semTools fits the models again, where lavaan's optimiser stops
        rtol = 2e-4 if which == "nested" and method == "D2" and test != "standard" else 1e-8
        assert ours.f == pytest.approx(f, rel=rtol), name
        assert ours.df2 == pytest.approx(df2, rel=rtol), name
        assert ours.pvalue == pytest.approx(pvalue, rel=max(rtol, 1e-7), abs=1e-12), name
        assert ours.riv == pytest.approx(riv, rel=rtol, abs=1e-9), name
        checked.append(name)
    assert {"model_D2", "nested_D2"} <= set(checked)


@EACH
def test_wald_test(case: str, run: str) -> None:
    theirs = reference(case)[run]["wald"]
    ours = fit_run(case, run).wald_test(CASES[case]["wald"])
    assert ours.riv == pytest.approx(theirs["ariv"], rel=1e-8)
    assert ours.df2 == pytest.approx(theirs["df2"], rel=1e-8)
    assert ours.df1 == theirs["df1"]
    # semTools takes the average increase over all parameters, D1 that over the tested ones
    assert ours.f * (1 + ours.riv) == pytest.approx(theirs["F"] * (1 + theirs["ariv_all"]), rel=1e-8)


@pytest.mark.parametrize("method", ["default", "D2", "D4"])
def test_compare_takes_the_pooled_test(method: str) -> None:
    fit, nested = fit_run("hs_three_factor", "ml"), fit_run("hs_three_factor", "ml", True)
    found = bs.compare(nested, fit, names=["nested", "fit"], method=method)
    name = "nested_D3" if method == "default" else f"nested_{method}"
    f, _, pvalue, _ = numbers_of(reference("hs_three_factor")["ml"], name)
    row = found.table.iloc[1]
    assert found.method == name[-2:]
    assert row["chisq_diff"] == pytest.approx(f * row["df_diff"], rel=1e-8)
    assert row["pvalue"] == pytest.approx(pvalue, rel=1e-6)
    assert found.nested[0] < 1e-6


@pytest.mark.parametrize(
    "change",
    [
        lambda n: n["parameters"][1].update(se=n["parameters"][1]["se"] * 1.00001),
        lambda n: n["parameters"][1].update(df=n["parameters"][1]["df"] * 1.00001),
        lambda n: n["parameters"].pop(),
        lambda n: n["standardized"].pop(0),
        lambda n: n["standardized"][3].update(est_std=n["standardized"][3]["est_std"] + 1e-6),
        lambda n: n["measures"].update(chisq=n["measures"]["chisq"] * (1 + 1e-8)),
        lambda n: n["measures"].update(srmr=None),
        lambda n: n["measures"].update(unheard_of=1.0),
    ],
)
def test_the_comparison_finds_a_wrong_number(change: Any) -> None:
    numbers = copy.deepcopy(reference("hs_three_factor")["ml"])
    change(numbers)
    assert failures(fit_run("hs_three_factor", "ml"), numbers)


def test_reference_files_belong_to_their_inputs() -> None:
    manifest = json.loads((HERE / "manifest.json").read_text(encoding="utf-8"))
    for name, digest in manifest["sha256"].items():
        assert sha256(HERE / name) == digest, f"{name} changed: run generate.R again"
    assert set(SPEC["settings"]) == {run for case in CASES.values() for run in case["runs"]}
