"""Models of ordinal items against lavaan: estimators, parameterizations, numeric variables, covariates, holes."""

from __future__ import annotations

import copy
import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ordinal_case import HERE, MODELS, RESTRICTED, RUNS, SPEC, compare_run, fit_run, parameters, reference
from reference_case import data_frame, data_path, sha256

import b2b_sem as bs
from b2b_sem.results.columns import ROBUST_MEASURE_NAMES

MANIFEST = json.loads((HERE / "manifest.json").read_text(encoding="utf-8"))["sha256"]
FOLLOWUP = json.loads((HERE / "followup.json").read_text(encoding="utf-8"))
BASE = "g =~ c1 + l2*c2 + l3*c3 + l4*c4\nh =~ e1 + m2*e2 + m3*e3 + m4*e4\nh ~ b*g"
EQUAL = BASE + "\nl2 == l3\nm2 == 0.9"
MIMIC = "f =~ b1 + b2 + b3 + b4\nh =~ e1 + e2 + e3 + e4\nf ~ a*x1 + x2\nh ~ b*f + x1\nind := a*b"
MIXED = "g =~ c1 + c2 + c3 + u1\nz ~ g"


def answers() -> pd.DataFrame:
    return data_frame("local:answers")


def test_reference_files_belong_to_these_cases_and_scripts() -> None:
    assert MANIFEST["cases"] == sha256(HERE / "cases.json"), "cases.json changed: run generate.R"
    assert MANIFEST["generate"] == sha256(HERE / "generate.R"), "generate.R changed: run it"
    assert MANIFEST["common"] == sha256(HERE.parent / "lavaan" / "common.R"), "common.R changed: run generate.R"
    assert FOLLOWUP["sha256"]["script"] == sha256(HERE / "followup.R"), "followup.R changed: run it"
    assert set(MANIFEST["outputs"]) == set(RUNS)
    for model, digest in MANIFEST["outputs"].items():
        assert digest == sha256(HERE / f"{model}.json"), f"{model}.json is not what generate.R wrote"
        assert list(reference(model)) == RUNS[model]


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(s, marks=[pytest.mark.shared_data] if s.startswith("shared:") else [])
        for s in sorted({MODELS[model]["data"] for model in RUNS})
    ],
)
def test_data_are_those_of_the_reference(source: str) -> None:
    assert sha256(data_path(source)) == MANIFEST["data"][source]


@pytest.mark.parametrize(("model", "setting"), parameters())
def test_numbers_are_those_of_lavaan(model: str, setting: str) -> None:
    numbers = reference(model)[setting]
    assert numbers["gradient"] < 1e-13
    fit = fit_run(model, setting)
    assert fit.converged
    assert fit.identified
    assert fit.optimizer.gradient < 1e-10
    assert compare_run(fit, numbers, robust=model not in RESTRICTED) == []


@pytest.mark.parametrize(
    ("model", "setting"),
    [
        ("fixed_thresholds", "WLSMV"),
        ("equal", "WLSMV"),
        ("equal", "ULSMV"),
        ("scales", "WLSMV"),
        ("scales", "ULSMV"),
    ],
)
def test_robust_indices_do_not_depend_on_restrictions_of_thresholds(model: str, setting: str) -> None:
    """They are about correlations, whose part of the model is the same: lavaan's numbers of that part by itself."""
    theirs = reference(f"{model}_without")[setting]["measures"]
    ours = fit_run(model, setting).measures
    for name in ROBUST_MEASURE_NAMES:
        assert ours[name] == pytest.approx(theirs[name], rel=1.4e-5, abs=1e-6), name
    own = reference(model)[setting]["measures"]["rni_robust"]
    assert own is None or abs(own - theirs["rni_robust"]) > 1e-4


@pytest.mark.parametrize(
    ("model", "setting"),
    [
        pytest.param(m, s, marks=[pytest.mark.shared_data] if MODELS[m]["data"].startswith("shared:") else [])
        for m, s in [(m, RUNS[m][0]) for m in RUNS]
    ],
)
def test_rows_stand_in_lavaans_order(model: str, setting: str) -> None:
    table = fit_run(model, setting).parameters
    ours = [(r.lhs, r.op, r.rhs) for r in table.itertuples() if r.op != ":="]
    rows = reference(model)[setting]["parameters"]
    theirs = [(r["lhs"], r["op"], r["rhs"]) for r in rows if r["op"] != ":="]
    # lavaan puts the statements on thresholds and scales after all others of the text
    stated = any("|" in text for text in MODELS[model]["model"])
    written = {key for key in ours if stated and key[1] in ("|", "~*~")}
    assert [k for k in ours if k not in written] == [k for k in theirs if k not in written]
    assert set(ours) == set(theirs)


@pytest.mark.parametrize(
    ("where", "factor"),
    [
        (("measures", "chisq_scaled"), 1 + 1e-3),
        (("measures", "cfi_robust"), 1 - 1e-4),
        (("measures", "baseline_chisq_scaling_factor"), 1 + 1e-4),
        (("measures", "srmr"), 1 + 1e-4),
        (("parameters", "se"), 1 + 1e-4),
        (("parameters", "est"), 1 + 1e-4),
        (("parameters", "se_std"), 1 + 1e-4),
    ],
)
def test_wrong_numbers_are_seen(where: tuple[str, str], factor: float) -> None:
    wrong: dict[str, Any] = copy.deepcopy(reference("sem")["WLSMV"])
    part = wrong["parameters"][1] if where[0] == "parameters" else wrong["measures"]
    part[where[1]] *= factor
    lines = compare_run(fit_run("sem", "WLSMV"), wrong)
    assert len(lines) == 1
    assert where[1] in lines[0]


def test_missing_rows_and_measures_are_seen() -> None:
    wrong = copy.deepcopy(reference("sem")["WLSMV"])
    del wrong["parameters"][3], wrong["measures"]["rmsea_robust"]
    lines = compare_run(fit_run("sem", "WLSMV"), wrong)
    assert lines == ["f =~ b4: not in the reference", "measure rmsea_robust: not in the reference"]


def test_another_runs_numbers_are_seen() -> None:
    assert compare_run(fit_run("sem", "ULSMV"), reference("sem")["WLSMV"])
    assert compare_run(fit_run("holes", "WLSMV"), reference("holes")["WLSMV_pairwise"])


@pytest.mark.parametrize("model", ["mediator", pytest.param("corprep", marks=pytest.mark.shared_data)])
def test_ordinal_mediators_are_the_same_model_in_both_parameterizations(model: str) -> None:
    # lavaan's delta takes the mediator's residual variance as 0 where it computes the others' (see lavaan-differences)
    numbers = reference(model)["WLSMV_theta"]
    fit = fit_run(model, "WLSMV")
    std = fit.standardized().set_index(["lhs", "op", "rhs"])
    for row in numbers["parameters"]:
        if row["op"] in ("~*~", ":="):
            continue
        ours = std.loc[(row["lhs"], row["op"], row["rhs"])]
        assert ours["est_std"] == pytest.approx(row["est_std"], abs=1e-5)
        assert ours["se"] == pytest.approx(row["se_std"] or 0.0, abs=1e-6)
    for name in ("chisq", "chisq_scaled", "cfi_scaled", "rmsea_robust", "srmr"):
        assert fit.measures[name] == pytest.approx(numbers["measures"][name], rel=2e-5, abs=1e-6), name
    assert np.diag(fit.implied()["cov"]) == pytest.approx(np.ones(len(fit.implied()["cov"])), abs=1e-12)


@pytest.mark.parametrize("estimator", ["ML", "WLSMV", "wlsmv"])
def test_wlsmv_is_the_default_for_ordinal_items(estimator: str) -> None:
    fit = bs.fit("\n".join(MODELS["three"]["model"]), answers(), ordered=True, estimator=estimator)
    assert fit.estimator == "WLSMV"
    assert compare_run(fit, reference("three")["WLSMV"]) == []
    assert any("maximum likelihood takes answers as continuous" in note for note in fit.notes) == (estimator == "ML")


def indices(fit: Any, rows: list[dict[str, Any]], rtol: float) -> None:
    """Compare modification indices by name: every row on both sides."""
    ours = fit.modification_indices().set_index(["lhs", "op", "rhs"])
    theirs = {(r["lhs"], r["op"], r.get("rhs") or ""): r for r in rows}
    assert set(ours.index) == set(theirs)
    for key, row in theirs.items():
        for column in ("mi", "epc", "sepc_lv", "sepc_all", "sepc_nox"):
            if key[1] == "~*~" and column.startswith("sepc"):
                continue  # lavaan: 1
            if key[1] == "~~" and key[0] == key[2] and column.startswith("sepc"):
                continue  # lavaan standardizes the value, not its change
            assert ours.loc[key, column] == pytest.approx(row[column], rel=rtol, abs=rtol), (key, column)


@pytest.mark.parametrize("parameterization", ["delta", "theta"])
def test_modification_indices_are_those_of_lavaan(parameterization: str) -> None:
    # the tolerance is the distance of lavaan's default stop from its minimum: indices near 0 move most
    frame, numbers = answers(), FOLLOWUP[parameterization]
    none = bs.fit(BASE.replace("b*g", "0*g"), frame, ordered=True, parameterization=parameterization)
    indices(none, numbers["indices"], 1e-3)
    equal = bs.fit(EQUAL, frame, ordered=True, parameterization=parameterization)
    indices(equal, numbers["indices_constrained"], 1e-3)


def test_modification_indices_with_numeric_variables_and_covariates() -> None:
    mixed = bs.fit(MIXED, answers(), ordered=["c1", "c2", "c3"])
    indices(mixed, FOLLOWUP["mixed"]["indices"], 1e-3)
    indices(bs.fit(MIMIC, answers(), ordered=True), FOLLOWUP["mimic"]["indices"], 1e-3)


@pytest.mark.parametrize("parameterization", ["delta", "theta"])
def test_difference_tests_are_those_of_lavaan(parameterization: str) -> None:
    frame, numbers = answers(), FOLLOWUP[parameterization]

    def fit(model: str, estimator: str = "WLSMV") -> Any:
        return bs.fit(model, frame, ordered=True, parameterization=parameterization, estimator=estimator)

    free = fit(BASE)
    runs = [
        ("equal", bs.compare(free, fit(EQUAL))),
        ("none", bs.compare(free, fit(BASE.replace("b*g", "0*g")))),
    ]
    mean = fit(BASE, "WLSM"), fit(EQUAL, "WLSM")
    runs += [("equal_2001", bs.compare(*mean)), ("equal_unshifted", bs.compare(*mean, method="satorra.2000"))]
    for name, found in runs:
        row = found.table.iloc[1]
        for column, value in numbers[name].items():
            assert row[column] == pytest.approx(value, rel=1e-5), (name, column)
    wald = free.wald_test("l2 == l3; m2 == 0.9")
    assert (wald.chisq, wald.df) == (pytest.approx(numbers["wald"]["chisq"], rel=1e-5), 2)


def test_difference_of_wls_chi_squares() -> None:
    fits = [bs.fit(model, answers(), ordered=True, estimator="WLS") for model in (BASE, EQUAL)]
    row = bs.compare(*fits).table.iloc[1]
    for column, value in FOLLOWUP["wls"].items():
        assert row[column] == pytest.approx(value, rel=1e-5)


def test_models_that_are_not_nested_are_refused() -> None:
    one = bs.fit("g =~ c1 + c2 + c3 + c4\nc1 ~~ c2", answers(), ordered=True)
    two = bs.fit("g =~ c1 + c2 + c3 + c4\nc1 ~~ c3\nc3 | 0*t1", answers(), ordered=True)
    with pytest.raises(bs.ModelError, match="is not nested"):
        bs.compare(one, two)


def test_residuals_are_those_of_lavaan() -> None:
    def same(ours: pd.DataFrame, theirs: dict[str, Any]) -> None:
        assert np.abs(ours.loc[theirs["names"], theirs["names"]].to_numpy() - np.array(theirs["values"])).max() < 1e-5

    for parameterization in ("delta", "theta"):
        none = bs.fit(BASE.replace("b*g", "0*g"), answers(), ordered=True, parameterization=parameterization)
        same(none.residuals("cor")["cov"], FOLLOWUP[parameterization]["residual"])
    mixed = bs.fit(MIXED, answers(), ordered=["c1", "c2", "c3"])
    same(mixed.residuals("cor")["cov"], FOLLOWUP["mixed"]["residual"])
    same(mixed.residuals()["cov"], FOLLOWUP["mixed"]["raw"])
    mimic = bs.fit(MIMIC, answers(), ordered=True)
    same(mimic.residuals()["cov"], FOLLOWUP["mimic"]["residual"])
    assert mimic.residuals()["th"].abs().max() < 1e-2


@pytest.mark.parametrize("model", ["mimic", "mediator"])
def test_effects_are_those_that_definitions_give(model: str) -> None:
    if model == "mimic":
        fit = bs.fit(MIMIC, answers(), ordered=True)
        raw, std = FOLLOWUP["mimic"]["effects"][0], FOLLOWUP["mimic"]["standardized"][0]
        path = "x1 -> f -> h"
    else:
        fit = fit_run("mediator", "WLSMV_theta")
        rows = {r["lhs"]: r for r in reference("mediator")["WLSMV_theta"]["parameters"]}
        raw = rows["ind"]
        std = {"est_std": rows["ind"]["est_std"], "se": rows["ind"]["se_std"]}
        path = "f -> c1 -> h"
    effect = fit.indirect_effects().table.set_index("path").loc[path]
    assert effect["est"] == pytest.approx(raw["est"], rel=1e-5)
    assert effect["se"] == pytest.approx(raw["se"], rel=1e-5)
    assert effect["est_std"] == pytest.approx(std["est_std"], rel=1e-5)
    assert effect["se_std"] == pytest.approx(std["se"], rel=1e-5)


def test_standardized_effects_do_not_depend_on_the_parameterization() -> None:
    delta, theta = (fit_run("mediator", s).indirect_effects().table for s in ("WLSMV", "WLSMV_theta"))
    for column in ("est_std", "se_std"):
        assert delta[column].iloc[:-1].to_list() == pytest.approx(theta[column].iloc[:-1].to_list(), rel=1e-7)


def test_every_setting_is_used() -> None:
    used = {setting for settings in RUNS.values() for setting in settings}
    assert used <= set(SPEC["settings"])
    assert not math.isnan(FOLLOWUP["wls"]["chisq_diff"])
