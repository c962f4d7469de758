"""Every estimator, kind of standard error and scaled test against lavaan, on simulated and real data."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from estimator_case import HERE, MODELS, RUNS, compare_run, fit_run, parameters, reference
from reference_case import data_path, sha256

import b2b_sem as bs

MANIFEST = json.loads((HERE / "manifest.json").read_text(encoding="utf-8"))["sha256"]


def test_reference_files_belong_to_these_cases_and_scripts() -> None:
    assert MANIFEST["cases"] == sha256(HERE / "cases.json"), "cases.json changed: run generate.R"
    assert MANIFEST["models"] == sha256(HERE.parent / "cases.json"), "../cases.json changed: run generate.R"
    assert MANIFEST["generate"] == sha256(HERE / "generate.R"), "generate.R changed: run it"
    assert MANIFEST["common"] == sha256(HERE.parent / "lavaan" / "common.R"), "common.R changed: run generate.R"
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
def test_reference_is_a_solution(model: str, setting: str) -> None:
    # lavaan's fit function is in squared units of the moments for ULS, which its gradient then has, too
    size = 1e-9 if setting == "ULS" else 1e-13
    assert reference(model)[setting]["gradient"] < size


@pytest.mark.parametrize(("model", "setting"), parameters())
def test_estimator_gives_lavaans_numbers(model: str, setting: str) -> None:
    fit = fit_run(model, setting)
    assert fit.converged
    assert fit.identified
    assert compare_run(fit, reference(model)[setting], setting) == []


@pytest.mark.parametrize("setting", ["MLM", "MLR", "ML_observed", "MLR_cluster"])
def test_semopys_estimates_give_the_same_inference(setting: str) -> None:
    model = "hs_three_factor"
    engine = "auto" if "cluster" in setting else "semopy"
    fit = fit_run(model, setting, engine=engine)
    assert fit.engine == ("native" if "cluster" in setting else "semopy")
    assert compare_run(fit, reference(model)[setting], setting) == []


@pytest.mark.parametrize(
    ("setting", "printed"),
    [
        # lavaan tutorial (lavaan.ugent.be): three-factor model, estimator = "MLM" and "MLR"
        ("MLM", {"chisq_scaled": 80.872, "df_scaled": 24, "chisq_scaling_factor": 1.055}),
        ("MLR", {"chisq_scaled": 87.132, "df_scaled": 24, "chisq_scaling_factor": 0.979}),
    ],
)
def test_published_numbers(setting: str, printed: dict[str, float]) -> None:
    measures = fit_run("hs_three_factor", setting).measures
    assert {name: round(measures[name], 3) for name in printed} == printed


@pytest.mark.parametrize(
    ("where", "factor"),
    [
        (("measures", "chisq_scaled"), 1 + 1e-5),
        (("measures", "rmsea_robust"), 1 + 1e-4),
        (("measures", "baseline_chisq_scaling_factor"), 1 + 1e-5),
        (("parameters", "se"), 1 + 1e-5),
        (("parameters", "est"), 1 + 1e-5),
        (("parameters", "se_std"), 1 + 1e-5),
    ],
)
def test_wrong_numbers_are_seen(where: tuple[str, str], factor: float) -> None:
    fit = fit_run("hs_three_factor", "MLM")
    wrong: dict[str, Any] = copy.deepcopy(reference("hs_three_factor")["MLM"])
    part = wrong[where[0]][1] if where[0] == "parameters" else wrong["measures"]
    part[where[1]] *= factor
    lines = compare_run(fit, wrong, "MLM")
    assert len(lines) == 1
    assert where[1] in lines[0] or where[1].replace("se_std", "se") in lines[0]


def test_missing_rows_and_measures_are_seen() -> None:
    fit = fit_run("hs_three_factor", "MLM")
    wrong = copy.deepcopy(reference("hs_three_factor")["MLM"])
    del wrong["parameters"][3], wrong["measures"]["cfi_robust"]
    lines = compare_run(fit, wrong, "MLM")
    assert lines == ["textual =~ x4: not in the reference", "measure cfi_robust: not in the reference"]
    assert compare_run(fit, reference("hs_three_factor")["MLMV"], "MLMV")


def test_another_estimators_numbers_are_seen() -> None:
    fit = fit_run("hs_three_factor", "MLR_expected")
    lines = compare_run(fit, reference("hs_three_factor")["MLR"], "MLR")
    assert any("visual =~ x2 se" in line for line in lines)


@pytest.mark.parametrize("setting", ["ML_observed", "MLM", "MLMV", "MLR"])
def test_units_of_the_variables_do_not_matter(setting: str) -> None:
    from estimator_case import SPEC, data_frame

    text = "\n".join(MODELS["hs_three_factor"]["model"])
    frame = data_frame("semopy:holzinger").copy()
    plain = fit_run("hs_three_factor", setting)
    for i, factor in enumerate([1e-4, 1.0, 1e5, 1e2, 1e-3, 1.0, 1e4, 1e-2, 1e3], 1):
        frame[f"x{i}"] = frame[f"x{i}"] * factor
    scaled = bs.fit(text, frame, engine="native", **SPEC["settings"][setting])
    for name in set(plain.measures) - {"logl", "unrestricted_logl", "aic", "bic", "bic2", "rmr"}:
        assert scaled.measures[name] == pytest.approx(plain.measures[name], rel=1e-6, abs=1e-9), name
    for column in ("est_std", "se", "z"):
        assert scaled.standardized()[column].to_list() == pytest.approx(
            plain.standardized()[column].to_list(), rel=1e-6, abs=1e-9, nan_ok=True
        )
