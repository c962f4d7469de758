"""Products of latent variables by product indicators, against semTools::indProd and lavaan."""

from __future__ import annotations

import copy
import json

import indicator_case as ic
import pytest
from reference_case import data_path, sha256


def test_the_numbers_belong_to_script_cases_and_data():
    manifest = json.loads((ic.HERE / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["script"] == sha256(ic.HERE / "generate.R")
    assert manifest["cases"] == sha256(ic.HERE / "cases.json")
    assert set(manifest["data"]) == set(ic.CASES)
    for case, digest in manifest["data"].items():
        source = ic.CASES[case]["data"]
        if not source.startswith("shared:"):
            assert sha256(data_path(source)) == digest, case


@pytest.mark.parametrize(("case", "setting"), ic.parameters())
def test_all_numbers(case, setting):
    ref = ic.reference(case)[setting]
    assert ref["gradient"]["polished"] < 1e-11
    problems = ic.compare(ic.fit(case, setting), ref)
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(
    ("where", "name"), [("measures", "chisq"), ("parameters", "se"), ("parameters", "std_all"), ("standardized", "se")]
)
def test_a_wrong_number_is_found(where, name):
    wrong = copy.deepcopy(ic.reference("hs")["dmc-MLR"])
    part = wrong[where]
    row = part if where == "measures" else next(r for r in part if r["rhs"] == "visual:textual" and r["op"] == "~")
    row[name] *= 1 + 1e-4
    assert ic.compare(ic.fit("hs", "dmc-MLR"), wrong)


def test_a_missing_row_is_found():
    wrong = copy.deepcopy(ic.reference("hs")["dmc-all"])
    gone = next(r for r in wrong["parameters"] if r["op"] == "~~" and "." in r["lhs"] and r["lhs"] != r["rhs"])
    wrong["parameters"].remove(gone)
    assert any("only on one side" in line for line in ic.compare(ic.fit("hs", "dmc-all"), wrong))


@pytest.mark.parametrize("case", ["hs", "hs_groups", "hs_two", "hs_observed"])
def test_the_standardized_path_is_not_that_of_a_variable(case):
    # what lavaan prints is another number: the product of two normal variables has another deviation
    setting = next(iter(ic.CASES[case]["settings"]))
    rows = [r for r in ic.reference(case)[setting]["parameters"] if r.get("naive") is not None]
    assert rows
    assert all(abs(r["naive"] - r["std_all"]) > 1e-3 * abs(r["std_all"]) for r in rows)


def test_a_definition_is_standardized_with_the_path():
    table = ic.fit("hs_two", "dmc").standardized().set_index("label")["est_std"]
    assert table["gain"] == pytest.approx(2 * table["b"], rel=1e-12)
