"""Missing answers: Little's test from lavaan's EM moments, coverage, Welch tests and correlations from R."""

from __future__ import annotations

import copy
import json
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from compare import difference
from growth_case import growth_data
from reference_case import HERE, data_frame

from b2b_sem.analysis.missingness import missingness
from b2b_sem.results.missingness import MissingnessResult

REFERENCE: dict[str, Any] = json.loads((HERE / "missingness" / "reference.json").read_text(encoding="utf-8"))
CASES = [
    "airquality",
    "dropout",
    "holzinger_rule",
    pytest.param("corprep", marks=pytest.mark.shared_data),
]
#: Both sides solve for the saturated moments to rounding; 2e-10 measured.
RTOL = 1e-8


def holzinger() -> pd.DataFrame:
    """Make the holes by the rule of generate.R."""
    frame = data_frame("semopy:holzinger").copy()
    i = np.arange(1, len(frame) + 1)
    for k in range(1, 10):
        frame.loc[((7 * i + 3 * k) % 10 == 0) & (i % 3 != k % 3), f"x{k}"] = np.nan
    return frame


@cache
def result(case: str) -> MissingnessResult:
    """Return our result on the data of a case."""
    frame = {
        "airquality": lambda: pd.read_csv(HERE / "missingness" / "airquality.csv"),
        "dropout": growth_data,
        "holzinger_rule": holzinger,
        "corprep": lambda: data_frame("shared:corprep"),
    }[case]()
    return missingness(frame, REFERENCE[case]["items"], others=REFERENCE[case]["others"])


def compare_case(found: MissingnessResult, numbers: dict[str, Any]) -> list[str]:
    """Return what differs, one line each."""
    out = difference("n", found.n, numbers["n"], 0)
    missing = dict(zip(found.items["item"], found.items["missing"], strict=True))
    if missing != numbers["missing"]:
        out.append(f"missing: {missing}")
    test = numbers["mcar"]
    out += difference("chisq", found.chisq, test["chisq"], RTOL * test["chisq"])
    out += difference("df", found.df, test["df"], 0)
    out += difference("patterns", found.compared, test["patterns"], 0)
    out += difference("pvalue", found.pvalue, test["pvalue"], RTOL * max(1.0, test["chisq"]) * test["pvalue"])
    if not np.allclose(found.coverage.to_numpy(), numbers["coverage"], rtol=0, atol=1e-14):
        out.append("coverage")
    theirs = {(r["item"], r["variable"]): r for r in numbers["related"]}
    mine = {(r["item"], r["variable"]): r for r in found.related.to_dict("records")}
    out += [f"{key}: only on one side" for key in set(theirs) ^ set(mine)]
    for key in set(theirs) & set(mine):
        for name, value in theirs[key].items():
            if name in ("item", "variable"):
                continue
            allowed = 1e-10 * max(abs(value or 0.0), 1e-3 if name in ("d", "t", "r") else 0.0)
            out += difference(f"{key} {name}", mine[key][name], value, allowed)
    return out


@pytest.mark.parametrize("case", CASES)
def test_diagnosis_equals_r(case: str) -> None:
    assert compare_case(result(case), REFERENCE[case]) == []


def test_published_test() -> None:
    # naniar::mcar_test(airquality): 35.1, 14 degrees of freedom, p = .00142, 4 patterns
    found = result("airquality")
    assert (round(found.chisq, 1), found.df, round(found.pvalue, 5), found.compared) == (35.1, 14, 0.00142, 4)


@pytest.mark.parametrize(
    ("where", "line"),
    [(("mcar", "chisq"), "chisq"), (("related", 0, "t"), " t:"), (("related", 1, "pvalue_fdr"), "pvalue_fdr")],
)
def test_a_wrong_number_is_seen(where: tuple[Any, ...], line: str) -> None:
    wrong = copy.deepcopy(REFERENCE["dropout"])
    part = wrong
    for step in where[:-1]:
        part = part[step]
    part[where[-1]] *= 1 + 1e-6
    lines = compare_case(result("dropout"), wrong)
    assert len(lines) == 1
    assert line in lines[0]


def test_a_missing_row_is_seen() -> None:
    wrong = copy.deepcopy(REFERENCE["dropout"])
    del wrong["related"][3]
    assert len(compare_case(result("dropout"), wrong)) == 1
