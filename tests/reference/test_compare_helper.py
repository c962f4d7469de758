"""The comparison itself: what is right must pass, and every kind of wrong number must be named."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
from compare import DEFAULT, PARAMETER_NUMBERS, STANDARDIZED_NUMBERS, compare, load_reference, row_key

CASES = ("hs_latent_means", "path_mediation", "path_mediation_means", "hs_parallel")


@pytest.fixture(params=CASES)
def reference(request: pytest.FixtureRequest) -> dict[str, Any]:
    return load_reference(request.param)


@pytest.fixture
def one() -> tuple[dict[str, Any], dict[str, Any]]:
    """A fit in the layout of a reference, equal to the reference, and the reference."""
    reference = load_reference("pd_indirect")
    return copy.deepcopy(reference), reference


def find(fit: dict[str, Any], lhs: str, op: str, rhs: str, table: str = "parameters") -> dict[str, Any]:
    return next(r for r in fit[table] if (r["lhs"], r["op"], r["rhs"]) == (lhs, op, rhs))


def test_a_reference_agrees_with_itself(reference: dict[str, Any]) -> None:
    # fits carry no bounds of lavaan's own
    ours = copy.deepcopy(reference)
    for name in ("rmsea_ci_lower_lavaan", "rmsea_ci_upper_lavaan"):
        del ours["measures"][name]
    assert compare(ours, reference) == []


@pytest.mark.parametrize("factor", [1.05, 1.0001, 1 + 1e-6, 0.9999])
@pytest.mark.parametrize("table", ["parameters", "standardized"])
def test_a_wrong_standard_error_is_named(one: Any, factor: float, table: str) -> None:
    fit, reference = one
    find(fit, "dem65", "~", "dem60", table)["se"] *= factor
    (line,) = compare(fit, reference)
    assert line.startswith(f"{table} dem65 ~ dem60 se:")


@pytest.mark.parametrize("table", ["parameters", "standardized"])
def test_no_number_of_a_table_goes_unseen(reference: dict[str, Any], table: str) -> None:
    fit = copy.deepcopy(reference)
    for row, ours in zip(reference[table], fit[table], strict=True):
        for column in PARAMETER_NUMBERS if table == "parameters" else STANDARDIZED_NUMBERS:
            value = row[column]
            if value is None or (column == "pvalue" and value < 1e-11):
                continue
            # 1e-4 of the number, or of the standard error where the number is near zero
            ours[column] = value + 1e-4 * max(abs(value), row["se"], 1e-6)
            lines = compare(fit, reference)
            ours[column] = value
            assert len(lines) == 1, (row, column)
            assert f"{' '.join(row_key(row))} {column}:" in lines[0]


def test_no_measure_goes_unseen(reference: dict[str, Any]) -> None:
    for name, value in reference["measures"].items():
        if name.endswith("_lavaan") or value is None:
            continue
        small = name.endswith("pvalue") and value < 1e-11
        fit = copy.deepcopy(reference)
        fit["measures"][name] = 1e-6 if small else value * 1.0001 + (1e-7 if value == 0 else 0)
        lines = compare(fit, reference)
        assert len(lines) == 1, name
        assert lines[0].startswith(f"measure {name}:")


@pytest.mark.parametrize("table", ["parameters", "standardized"])
@pytest.mark.parametrize("side", ["fit", "reference"])
def test_a_missing_row_is_named(one: Any, table: str, side: str) -> None:
    fit, reference = one
    rows = (fit if side == "fit" else reference)[table]
    gone = rows.pop(3)
    lines = compare(fit, reference)
    assert f"{table} {' '.join(row_key(gone))}: not in the {side}" in lines


@pytest.mark.parametrize("side", ["fit", "reference"])
def test_a_row_given_twice_is_named(one: Any, side: str) -> None:
    fit, reference = one
    rows = (fit if side == "fit" else reference)["parameters"]
    rows.append(dict(rows[0]))
    assert any("twice" in line for line in compare(fit, reference))


@pytest.mark.parametrize("missing", [None, math.nan])
@pytest.mark.parametrize("side", ["fit", "reference"])
def test_a_number_missing_on_one_side_is_named(one: Any, missing: Any, side: str) -> None:
    fit, reference = one
    find(fit if side == "fit" else reference, "dem65", "~", "dem60")["z"] = missing
    (line,) = compare(fit, reference)
    assert "dem65 ~ dem60 z" in line
    assert "missing" in line


def test_a_number_missing_on_both_sides_is_no_difference(one: Any) -> None:
    fit, reference = one
    row = find(fit, "ind60", "=~", "x1")
    assert row["z"] is None
    row["z"] = math.nan
    assert compare(fit, reference) == []


def test_numbers_under_the_wrong_name_are_named(one: Any) -> None:
    fit, reference = one
    a, b = find(fit, "dem60", "~", "ind60"), find(fit, "dem65", "~", "ind60")
    a["lhs"], b["lhs"] = b["lhs"], a["lhs"]
    lines = compare(fit, reference)
    assert any("dem60 ~ ind60 est" in line for line in lines)
    assert any("dem65 ~ ind60 est" in line for line in lines)


def test_direction_of_a_regression_counts(one: Any) -> None:
    fit, reference = one
    row = find(fit, "dem65", "~", "dem60")
    row["lhs"], row["rhs"] = row["rhs"], row["lhs"]
    lines = compare(fit, reference)
    assert "parameters dem65 ~ dem60: not in the fit" in lines
    assert "parameters dem60 ~ dem65: not in the reference" in lines


def test_sides_of_a_covariance_and_spaces_of_a_definition_do_not_count(one: Any) -> None:
    fit, reference = one
    for table in ("parameters", "standardized"):
        row = find(fit, "y1", "~~", "y5", table)
        row["lhs"], row["rhs"] = row["rhs"], row["lhs"]
        find(fit, "indirect", ":=", "a*b", table)["rhs"] = "a * b"
    assert compare(fit, reference) == []


def test_constraint_rows_are_no_parameters(one: Any) -> None:
    fit, reference = one
    fit["parameters"].append({"lhs": "a", "op": "==", "rhs": "b", "label": "", "free": 0})
    assert compare(fit, reference) == []


@pytest.mark.parametrize(
    ("measure", "change"),
    [
        ("chisq", lambda v: v * (1 + 1e-4)),
        ("chisq", lambda v: v * (1 + 1e-6)),
        ("df", lambda v: v + 1),
        ("npar", lambda v: v - 1),
        ("logl", lambda v: v + 1e-6),
        ("aic", lambda v: v + 2),
        ("rmsea_ci_lower", lambda v: v + 1e-7),
        ("pvalue", lambda v: v * (1 + 1e-4)),
    ],
)
def test_a_wrong_measure_is_named(one: Any, measure: str, change: Any) -> None:
    fit, reference = one
    fit["measures"][measure] = change(fit["measures"][measure])
    (line,) = compare(fit, reference)
    assert line.startswith(f"measure {measure}:")


def test_measures_must_be_the_same_set(one: Any) -> None:
    fit, reference = one
    del fit["measures"]["srmr"]
    fit["measures"]["crmr"] = 0.1
    assert sorted(compare(fit, reference)) == ["measure crmr: not in the reference", "measure srmr: not in the fit"]


def test_labels_and_freedom_count(one: Any) -> None:
    fit, reference = one
    row = find(fit, "dem65", "~", "dem60")
    row["label"], row["free"] = "", False
    lines = compare(fit, reference)
    assert "parameters dem65 ~ dem60 label: '', reference 'b'" in lines
    assert "parameters dem65 ~ dem60 free: False, reference True" in lines


@pytest.mark.parametrize("factor", [1 + 1e-5, math.nan])
@pytest.mark.parametrize(("which", "part"), [("implied", "cov"), ("implied", "mean"), ("sample", "cov")])
def test_moments_count(which: str, part: str, factor: float) -> None:
    reference = load_reference("hs_mimic_means")
    fit = copy.deepcopy(reference)
    values = fit[which][part]["values"]
    if part == "cov":
        values[0][0] *= factor
    else:
        values[0] *= factor
    (line,) = compare(fit, reference)
    assert line.startswith(f"{which} {part} {fit[which][part]['names'][0]}")


def test_order_of_variables_does_not_count(one: Any) -> None:
    fit, reference = one
    cov = fit["implied"]["cov"]
    cov["names"] = cov["names"][::-1]
    cov["values"] = [row[::-1] for row in cov["values"][::-1]]
    assert compare(fit, reference) == []
    cov["names"][0], cov["names"][1] = cov["names"][1], cov["names"][0]
    assert compare(fit, reference) != []


def test_r2_nobs_and_admissibility_count(one: Any) -> None:
    fit, reference = one
    fit["r2"]["dem65"] *= 1.0001
    del fit["r2"]["y1"]
    fit["nobs"] += 1
    fit["admissible"] = False
    lines = compare(fit, reference)
    assert [line.split(":")[0] for line in lines] == ["admissible", "nobs", "r2 y1", "r2 dem65"]


def test_an_estimate_near_zero_is_held_to_its_standard_error(one: Any) -> None:
    fit, reference = one
    for side, value in ((reference, 1e-9), (fit, 3e-9)):
        find(side, "dem65", "~", "dem60").update(est=value)
    assert compare(fit, reference) == []
    find(fit, "dem65", "~", "dem60").update(est=2 * DEFAULT.rtol * find(fit, "dem65", "~", "dem60")["se"])
    assert len(compare(fit, reference)) == 1
