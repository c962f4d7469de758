"""Several groups against lavaan: real groups, equality of all kinds, all estimators, every number by name."""

from __future__ import annotations

import copy

import group_case as gc
import pytest
from reference_case import data_path, sha256


def test_the_numbers_belong_to_script_cases_and_data():
    manifest = gc.json.loads((gc.HERE / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["script"] == sha256(gc.HERE / "generate.R")
    assert manifest["cases"] == sha256(gc.HERE / "cases.json")
    assert set(manifest["data"]) == set(gc.CASES)
    for case, digest in manifest["data"].items():
        source = gc.CASES[case]["data"]
        if not source.startswith("shared:"):
            assert sha256(data_path(source)) == digest, case


@pytest.mark.parametrize(("case", "setting"), gc.parameters())
def test_all_numbers(case, setting):
    problems = gc.compare(gc.fit(case, setting), gc.reference(case)[setting])
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(
    ("where", "name", "factor"),
    [
        ("measures", "chisq", 1 + 1e-6),
        ("measures", "chisq_scaled", 1 + 1e-5),
        ("measures", "rmsea", 1 + 1e-6),
        ("measures", "srmr", 1 + 1e-6),
        ("measures", "gfi", 1 + 1e-6),
        ("measures", "logl", 1 + 1e-9),
        ("parameters", "est", 1 + 1e-5),
        ("parameters", "se", 1 + 1e-5),
        ("standardized", "se", 1 + 1e-5),
    ],
)
def test_a_wrong_number_is_found(where, name, factor):
    wrong = copy.deepcopy(gc.reference("hs_scalar")["MLM"])
    if where == "measures":
        wrong["measures"][name] *= factor
    else:
        row = next(r for r in wrong[where] if r["op"] == "~~" and r["group"] == 2 and r["se"])
        row[name] *= factor
    assert gc.compare(gc.fit("hs_scalar", "MLM"), wrong)


def test_a_missing_row_is_found():
    wrong = copy.deepcopy(gc.reference("hs_scalar")["ML"])
    wrong["parameters"] = [r for r in wrong["parameters"] if not (r["op"] == "~1" and r["group"] == 2)]
    assert gc.compare(gc.fit("hs_scalar", "ML"), wrong)
