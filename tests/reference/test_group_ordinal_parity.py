"""Ordinal items in several groups against lavaan: real groups, equality of all kinds, all estimators, by name."""

from __future__ import annotations

import copy
from typing import Any

import group_ordinal_case as gc
import pandas as pd
import pytest
from reference_case import data_path, sha256

import b2b_sem as bs

DIFFERENCE = gc.json.loads((gc.HERE / "difference.json").read_text(encoding="utf-8"))


def test_the_numbers_belong_to_script_cases_and_data() -> None:
    manifest = gc.json.loads((gc.HERE / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["script"] == sha256(gc.HERE / "generate.R")
    assert manifest["cases"] == sha256(gc.HERE / "cases.json")
    assert DIFFERENCE["script"] == sha256(gc.HERE / "difference.R")
    assert set(manifest["data"]) == set(manifest["outputs"]) == set(gc.CASES)
    for case, digest in manifest["outputs"].items():
        assert digest == sha256(gc.HERE / f"{case}.json")
        assert set(gc.reference(case)) == set(gc.CASES[case]["settings"])
        source = gc.CASES[case]["data"]
        if not source.startswith("shared:"):
            assert sha256(data_path(source)) == manifest["data"][case]


@pytest.mark.parametrize(("case", "setting"), gc.parameters())
def test_all_numbers(case: str, setting: str) -> None:
    numbers = gc.reference(case)[setting]
    assert numbers["gradient"] < 1e-13
    fit = gc.fit(case, setting)
    assert fit.converged
    assert fit.identified
    assert fit.optimizer.gradient < 1e-10
    problems = gc.compare(fit, numbers)
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(
    ("where", "name"),
    [
        ("measures", "chisq"),
        ("measures", "chisq_scaled"),
        ("measures", "chisq_scaling_factor"),
        ("measures", "srmr"),
        ("measures", "gfi"),
        ("measures", "wrmr"),
        ("measures", "baseline_chisq_scaled"),
        ("parameters", "est"),
        ("parameters", "se"),
        ("parameters", "est_std"),
        ("parameters", "se_std"),
    ],
)
def test_a_wrong_number_is_found(where: str, name: str) -> None:
    wrong = copy.deepcopy(gc.reference("three_thresholds")["WLSMV"])
    if where == "measures":
        wrong["measures"][name] *= 1 + 1e-4
    else:
        row = next(r for r in wrong[where] if r["op"] == "=~" and r["group"] == 2 and r["se"])
        row[name] *= 1 + 1e-4
    assert gc.compare(gc.fit("three_thresholds", "WLSMV"), wrong)


def test_a_missing_row_is_found() -> None:
    wrong = copy.deepcopy(gc.reference("three_thresholds")["WLSMV"])
    wrong["parameters"] = [r for r in wrong["parameters"] if not (r["op"] == "~*~" and r["group"] == 3)]
    assert gc.compare(gc.fit("three_thresholds", "WLSMV"), wrong)


@pytest.mark.shared_data
@pytest.mark.parametrize("pair", DIFFERENCE["tests"], ids=lambda p: f"{p['estimator']}-{p['smaller'][-1]}")
def test_difference_tests_are_those_of_lavaan(pair: dict[str, Any]) -> None:
    case = gc.CASES["sat_configural"]
    fits = [
        bs.fit(
            "\n".join(case["model"]),
            gc.case_data("sat_configural"),
            group=case["group"],
            ordered=case["ordered"],
            group_equal=equal,
            estimator=pair["estimator"],
            parameterization=pair["parameterization"],
        )
        for equal in (pair["larger"], pair["smaller"])
    ]
    row = bs.compare(*fits).table.iloc[1]
    assert row["chisq_diff"] == pytest.approx(pair["chisq_diff"], rel=1e-4)  # lavaan's own stop
    assert row["df_diff"] == pytest.approx(pair["df_diff"], rel=1e-6)
    assert row["pvalue"] == pytest.approx(pair["pvalue"], rel=1e-3)


@pytest.mark.shared_data
def test_equal_loadings_without_equal_thresholds_hold_more_equal() -> None:
    """Equal thresholds free the scales, so that the model with equal loadings alone does not contain the other."""
    with pytest.raises(bs.ModelError, match="is not nested"):
        bs.compare(gc.fit("sat_loadings", "WLSMV"), gc.fit("sat_thresholds", "WLSMV"))


def test_two_copies_of_a_data_set_have_the_indices_of_one() -> None:
    model, items = "g =~ c1 + c2 + c3 + c4", ["c1", "c2", "c3", "c4"]
    frame = gc.data_frame("local:answers")
    one = bs.fit(model, frame, ordered=items)
    twice = pd.concat([frame.assign(copy="a"), frame.assign(copy="b")])
    two = bs.fit(model, twice, ordered=items, group="copy")
    for name in ("cfi_robust", "tli_robust", "gfi", "srmr"):
        assert two.measures[name] == pytest.approx(one.measures[name], rel=1e-6), name
    assert two.measures["chisq"] == pytest.approx(2 * one.measures["chisq"], rel=1e-8)
    rows = two.parameters
    for g in (1, 2):
        assert rows[rows["group"] == g]["est"].to_numpy() == pytest.approx(one.parameters["est"].to_numpy(), abs=1e-7)
    # robust errors of one group are divided by N - 1, of two by 2 N - 2: shares 1/2
    assert rows[rows["group"] == 1]["se"].to_numpy() == pytest.approx(one.parameters["se"].to_numpy(), abs=1e-9)


def test_what_a_fit_of_several_groups_holds() -> None:
    fit = gc.fit("three_mimic", "WLSMV")
    again = type(fit).from_json(fit.to_json()) if hasattr(type(fit), "from_json") else fit
    for found in (fit, again):
        for label in fit.groups:
            sample, implied, left = found.sample()[label], found.implied()[label], found.residuals()[label]
            for part in ("cov", "th", "slopes"):
                gap = sample[part] - implied[part] - left[part]
                assert float(abs(gap).to_numpy().max()) < 1e-12
    assert "group" in fit.summary().lower()


def test_what_is_not_tested_is_refused() -> None:
    fit = gc.fit("three_thresholds", "WLSMV")
    for call in (fit.factor_scores, lambda: fit.residuals("standardized")):
        with pytest.raises(bs.Unsupported):
            call()


@pytest.mark.shared_data
def test_effects_and_wald_tests_are_those_of_definitions() -> None:
    fit, numbers = gc.fit("sat_labels", "WLSMV"), gc.reference("sat_labels")["WLSMV"]["parameters"]
    rows = {(r["lhs"], r["op"], r["rhs"], r["group"]): r for r in numbers}
    gap = next(r for r in numbers if r["op"] == ":=")
    assert fit.wald_test("b1 == b2").chisq == pytest.approx((gap["est"] / gap["se"]) ** 2, rel=1e-4)
    for g, label in enumerate(fit.groups, 1):
        effect = fit.indirect_effects(group=label).table.iloc[0]
        row = rows["loy", "~", "sat", g]
        for ours, theirs in (("est", "est"), ("se", "se"), ("est_std", "est_std"), ("se_std", "se_std")):
            assert effect[ours] == pytest.approx(row[theirs], rel=1e-5), (label, ours)


def test_an_answer_of_one_group_only_is_refused_by_name() -> None:
    frame = gc.case_data("three_thresholds")
    only = frame["c1"].where((frame["part"] == "a") | (frame["c1"] < frame["c1"].max()), frame["c1"].max() - 1)
    with pytest.raises(bs.DataError, match=r"nobody answered .* to c1"):
        bs.fit("g =~ c1 + c2 + c3", frame.assign(c1=only), ordered=True, group="part")
