"""Thresholds, correlations and their asymptotic covariance against lavaan, number by number and by name."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from reference_case import data_path

from b2b_sem.data.ordinal import OrdinalMoments, ordinal_moments
from b2b_sem.errors import DataError

HERE = Path(__file__).resolve().parent / "polychoric"
CASES: dict[str, dict[str, Any]] = {
    case["id"]: case for case in json.loads((HERE / "cases.json").read_text(encoding="utf-8"))["cases"]
}
MANIFEST = json.loads((HERE / "manifest.json").read_text(encoding="utf-8"))["sha256"]
REMARKS = json.loads((HERE / "evidence.json").read_text(encoding="utf-8"))
EVIDENCE = REMARKS["probit"]
#: Both sides are solved to the last digits; ten times the largest difference measured. Statistics in standard errors,
#: elements of gamma in units of their diagonal.
STATISTIC = 1e-8
GAMMA = 1e-7


def source(case: dict[str, Any]) -> Path:
    return HERE / "simulated.csv" if case["data"] == "here:simulated" else data_path(case["data"])


def frame_of(case: dict[str, Any]) -> pd.DataFrame:
    """Return the data of a case, with holes by the rule that generate.R follows."""
    frame = pd.read_csv(source(case))[[*case["columns"], *case.get("covariates", [])]].astype(float)
    if "holes" in case:
        i = np.arange(1, len(frame) + 1)
        given = np.ones(len(frame), dtype=bool)
        if "holes_given" in case:
            given = frame[case["columns"][0]].to_numpy() >= case["holes_given"]
        for j, column in enumerate(case["columns"], start=1):
            if "holes_given" in case and j == 1:
                continue
            frame.loc[((37 * i + 101 * j + 7 * i * i * j) % 97 < case["holes"]) & given, column] = np.nan
    return frame


@cache
def moments(name: str) -> OrdinalMoments:
    case = CASES[name]
    frame = frame_of(case)
    covariates = case.get("covariates", [])
    return ordinal_moments(
        frame[case["columns"]].to_numpy(),
        case["columns"],
        case["columns"] if case["ordered"] is True else case["ordered"],
        missing=case.get("missing", "listwise"),
        covariates=frame[covariates].to_numpy() if covariates else None,
        covariate_names=covariates,
    )


def differences(ours: OrdinalMoments, reference: dict[str, Any]) -> dict[str, float]:
    """Return the largest differences, in the units of the tolerances; infinite where names or sizes differ."""
    if list(ours.labels) != reference["labels"] or ours.nobs != reference["nobs"]:
        return {"statistic": np.inf, "gamma": np.inf}
    diagonal = np.array(reference["diagonal"])
    unit = np.sqrt(diagonal)
    gap = np.abs(ours.statistic - reference["statistic"]) / (unit / np.sqrt(ours.nobs))
    k = np.arange(1, len(unit) + 1)
    worst = [np.abs(ours.gamma.diagonal() / diagonal - 1.0).max()]
    # products with two vectors see every element
    for name, wave in (("cos", np.cos(k)), ("sin", np.sin(k))):
        allowed = unit * np.sqrt((unit * wave) @ (unit * wave))
        worst.append(np.abs((ours.gamma @ wave - reference[name]) / allowed).max())
    if reference.get("gamma") is not None:
        worst.append(np.abs((ours.gamma - np.array(reference["gamma"])) / np.outer(unit, unit)).max())
    return {"statistic": float(gap.max()), "gamma": float(max(worst))}


def parameters() -> list[Any]:
    return [
        pytest.param(name, id=name, marks=[pytest.mark.shared_data] if case["data"].startswith("shared:") else [])
        for name, case in CASES.items()
    ]


def read(name: str) -> dict[str, Any]:
    return json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", parameters())
def test_statistics_and_gamma_are_those_of_lavaan(name: str) -> None:
    gap = differences(moments(name), read(name))
    assert gap["statistic"] < STATISTIC
    assert gap["gamma"] < GAMMA


def test_the_comparison_notices_a_wrong_number() -> None:
    ours, reference = moments("mixed"), read("mixed")
    statistic = list(reference["statistic"])
    statistic[-1] *= 1 + 1e-6
    assert differences(ours, reference | {"statistic": statistic})["statistic"] > STATISTIC
    gamma = np.array(reference["gamma"])
    gamma[3, 9] += 1e-5 * np.sqrt(gamma[3, 3] * gamma[9, 9])
    assert differences(ours, reference | {"gamma": gamma})["gamma"] > GAMMA
    # without the matrix, its products with two vectors notice it, too
    waves = {name: gamma @ wave(np.arange(1, len(gamma) + 1)) for name, wave in (("cos", np.cos), ("sin", np.sin))}
    assert differences(ours, reference | {"gamma": None} | waves)["gamma"] > GAMMA
    assert differences(ours, reference | {"labels": reference["labels"][::-1]})["statistic"] == np.inf


@pytest.mark.shared_data
@pytest.mark.parametrize("name", [name for name in CASES if "rule" in read(name)])
def test_where_lavaan_drops_rows_a_note_names_the_pairs(name: str) -> None:
    rule, found = read(name)["rule"], moments(name)
    (note,) = [text for text in found.notes if "lavaan" in text]
    error = np.sqrt(found.gamma_diagonal / found.nobs)
    for label, theirs in zip(rule["labels"], rule["statistic"], strict=True):
        assert label.replace("~~", " and ") in note
        place = found.labels.index(label)
        assert abs(found.statistic[place] - theirs) > 0.1 * error[place]


def test_no_other_case_has_such_a_note() -> None:
    for name, case in CASES.items():
        if case["data"] == "here:simulated":
            assert not any("lavaan" in text for text in moments(name).notes)


@pytest.mark.shared_data
@pytest.mark.parametrize("run", REMARKS["units"]["pairs"], ids=lambda run: f"{run['item']}-{run['number']}")
def test_correlations_with_a_number_are_those_of_lavaan_in_small_units(run: dict[str, Any]) -> None:
    columns = [run["item"], run["number"]]
    frame = pd.read_csv(data_path(run["data"]))[columns].dropna().astype(float)
    for factor in run["factor"]:
        values = frame.to_numpy() * [1.0, factor]
        found = ordinal_moments(values, columns, columns[:1])
        rho = found.cov[0, 1] / values[:, 1].std()
        # what finds the maximum outside stops at about 1e-7
        assert rho == pytest.approx(run["mle"], abs=5e-7)
        assert rho == pytest.approx(run["lavaan"][-1], abs=5e-6)
    # in other units lavaan ends far below the maximum
    assert run["best"] - run["loglik"][0] > 0.5
    assert abs(run["lavaan"][0] - run["mle"]) > 0.015
    assert run["best"] - run["loglik"][-1] < 1e-6


@pytest.mark.parametrize("name", [p for p in parameters() if "covariates" not in CASES[p.id]])
def test_pairs_with_empty_cells_are_those_lavaan_counts(name: str) -> None:
    # given covariates, lavaan makes no tables
    assert len(moments(name).empty_cells) == read(name)["empty"]


@pytest.mark.parametrize("name", parameters())
def test_the_numbers_belong_to_these_data(name: str) -> None:
    digest = hashlib.sha256(source(CASES[name]).read_bytes()).hexdigest()
    assert MANIFEST["data"][CASES[name]["data"]] == digest


def test_the_numbers_belong_to_script_and_cases() -> None:
    for name, file in (("cases", "cases.json"), ("generate", "generate.R"), ("every_row", "every_row.R")):
        assert MANIFEST[name] == hashlib.sha256((HERE / file).read_bytes()).hexdigest()
    written = {path.stem for path in HERE.glob("*.json")} - {"cases", "evidence", "manifest"}
    assert written == set(CASES)


@pytest.mark.shared_data
@pytest.mark.parametrize("run", EVIDENCE, ids=lambda run: run["item"])
def test_thresholds_given_a_covariate_are_those_of_an_ordered_probit_regression(run: dict[str, Any]) -> None:
    frame = pd.read_csv(data_path(run["data"]))[[run["item"], run["covariate"]]].dropna().astype(float)
    found = ordinal_moments(
        frame[[run["item"]]].to_numpy(),
        [run["item"]],
        [run["item"]],
        covariates=frame[[run["covariate"]]].to_numpy(),
        covariate_names=[run["covariate"]],
    )
    error = np.sqrt(found.gamma_diagonal / found.nobs)
    # polr stops by the relative change of its deviance: 1e-5 standard errors is what that leaves
    assert np.abs(found.statistic - [*run["thresholds"], run["slope"]]).max() < 1e-5 * error.min()


def test_lavaan_leaves_the_parameter_space_of_one_of_them() -> None:
    out_of_order = [run["item"] for run in EVIDENCE if (np.diff(run["lavaan"][:-1]) <= 0).any()]
    assert out_of_order == ["CUSL2"]


def test_a_numeric_variable_with_two_values_is_refused_where_lavaan_returns_rounding_noise() -> None:
    frame = pd.read_csv(HERE / "simulated.csv").astype(float)
    gamma = dict(zip(REMARKS["two_values"]["labels"], REMARKS["two_values"]["diagonal"], strict=True))
    assert gamma["x2~1"] > 1e6 * frame["x2"].var()
    columns = ["b1", "c1", "s1", "x2"]
    with pytest.raises(DataError, match="x2"):
        ordinal_moments(frame[columns].to_numpy(), columns, columns[:3])


def test_a_pair_without_a_finite_correlation_is_named_and_without_weight_on_both_sides() -> None:
    rows = np.column_stack([np.repeat([0, 1], [98, 2]), np.repeat(range(4), [20, 30, 30, 20]), [0, 1, 2, 0, 1] * 20])
    ours, reference = ordinal_moments(rows.astype(float), list("abc"), list("abc")), REMARKS["perfect"]
    assert list(ours.labels) == reference["labels"]
    pair = ours.labels.index("a~~b")
    rest = np.arange(len(ours.labels)) != pair
    assert reference["diagonal"][pair] > 1e9
    assert ours.gamma_diagonal[pair] > 1e9
    # lavaan's own search is not finished here
    assert np.allclose(ours.statistic[rest], np.array(reference["statistic"])[rest], atol=1e-6)
    assert np.allclose(ours.gamma_diagonal[rest], np.array(reference["diagonal"])[rest], rtol=1e-6)
    assert any("cannot be determined" in text and "a and b" in text for text in ours.warnings)
