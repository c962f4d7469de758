"""Ladders over waves against lavaan and semTools: estimates, fit, differences, score tests, latent means, dMACS."""

from __future__ import annotations

import json
import math
from functools import cache, partial
from pathlib import Path
from typing import Any

import ladder_case
import pytest
from reference_case import data_frame

import b2b_sem as bs
from b2b_sem.results.invariance import InvarianceResult

HERE = Path(__file__).resolve().parent / "wave"
CASES: dict[str, dict[str, Any]] = {
    c["id"]: c for c in json.loads((HERE / "cases.json").read_text(encoding="utf-8"))["cases"]
}
#: Reference solutions are polished.
RTOL = 2e-8
#: lavaan takes the Hessian of incomplete data by differences of the gradient.
HESSIAN = 2e-8
IDS = [
    pytest.param(i, id=i, marks=[pytest.mark.shared_data] if c["data"].startswith("shared:") else [])
    for i, c in CASES.items()
]
PLAIN = [p for p in IDS if "partial" not in CASES[str(p.values[0])]]
close = partial(ladder_case.close, rtol=RTOL)
rows_differ = partial(ladder_case.rows_differ, rtol=RTOL)


def reference(case_id: str) -> dict[str, Any]:
    return json.loads((HERE / f"{case_id}.json").read_text(encoding="utf-8"))


@cache
def ladder(case_id: str) -> InvarianceResult:
    """The whole ladder; every step but those of partial cases is compared with the one before."""
    case = CASES[case_id]
    return bs.invariance(
        "\n".join(case["model"]),
        data_frame(case["data"]),
        waves=case["waves"],
        correlated=case.get("correlated", True),
        partial=False,
        criteria=ladder_case.all_pass(),
        **case["options"],
    )


def table_differs(step: str, found: Any, expected: list[dict[str, Any]]) -> list[str]:
    """Compare every parameter of a model; an estimate is known to its standard error only."""
    ours = {f"{r['lhs']}{r['op']}{r['rhs']}": r for r in found.parameters.to_dict("records")}
    theirs = {r["name"]: r for r in expected}
    out = [f"{step} {name}: only on one side" for name in ours.keys() ^ theirs.keys()]
    for name in ours.keys() & theirs.keys():
        se = theirs[name]["se"] or 0.0
        out += close(f"{step} {name} est", ours[name]["est"], theirs[name]["est"], scale=se)
        fixed = theirs[name]["se"] == 0.0
        own = ours[name]["se"]
        out += close(f"{step} {name} se", 0.0 if fixed and math.isnan(own) else own, theirs[name]["se"])
    return out


def steps_differ(result: InvarianceResult, expected: dict[str, Any]) -> list[str]:
    ours = {row["step"]: row for row in result.steps.to_dict("records")}
    if list(ours) != list(expected["steps"]):
        return [f"steps: {list(ours)}"]
    out = []
    for step, entry in expected["steps"].items():
        measures = dict(result.fit(step).measures)
        for name, value in entry["measures"].items():
            out += close(f"{step} {name}", measures.get(name, math.nan), value)
        if "table" in entry:
            out += table_differs(step, result.fit(step), entry["table"])
        for name, value in entry.get("difference", {}).items():
            key = {"chisq": "chisq_diff", "df": "df_diff", "pvalue": "pvalue_diff"}[name]
            out += close(f"{step} {key}", ours[step][key], value)
    return out


@pytest.mark.parametrize("case", PLAIN)
def test_each_step(case: str) -> None:
    assert steps_differ(ladder(case), reference(case)) == []
