"""Ladders of ordinal items against lavaan and semTools: fit, differences, score tests, latent means, dMACS, by name."""

from __future__ import annotations

import copy
import hashlib
import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from reference_case import data_frame

import b2b_sem as bs
from b2b_sem.analysis.ordinal_ladder import OrdinalPlan
from b2b_sem.measures.equivalence import Criteria
from b2b_sem.results.invariance import InvarianceResult
from b2b_sem.spec.measurement import measurement_model
from b2b_sem.spec.syntax import parse_model

HERE = Path(__file__).resolve().parent / "invariance_ordinal"
SPEC = json.loads((HERE / "cases.json").read_text(encoding="utf-8"))
CASES: dict[str, dict[str, Any]] = {c["id"]: c for c in SPEC["cases"]}
#: Both sides are polished; polychoric correlations of lavaan are not: they agree to about 1e-6.
RTOL = {"estimate": 2e-5, "se": 2e-5, "statistic": 1e-4}
#: Of numbers that may be zero.
FLOOR = 2e-6
IDS = [
    pytest.param(
        i, s, id=f"{i}-{s}", marks=[pytest.mark.shared_data] if c["data"].startswith("shared:") else []
    )
    for i, c in CASES.items()
    for s in c["settings"]
]
#: All steps hold, whatever they cost.
GENEROUS = Criteria("all pass", "none", cfi=1.0, least_cfi=0.0, most_srmr=1.0)


@cache
def data_of(case_id: str) -> pd.DataFrame:
    """Return the data of a case, with groups and categories made by the rules of generate.R."""
    case = CASES[case_id]
    frame = data_frame(case["data"]).copy()
    if "rule" in case:
        frame[case["group"]] = np.array(list("abcdef"))[np.arange(1, len(frame) + 1) * 7 % case["rule"]]
    for names, cuts in ((case["ordered"] if case["cuts"] else [], case["cuts"]), (case.get("collapse", []), [2.5, 3.5, 5.5])):
        for name in names:
            answers = frame[name].to_numpy(float)
            frame[name] = np.where(np.isnan(answers), np.nan, np.searchsorted(cuts, answers, side="right") + 1)
    return frame


@cache
def ladder(case_id: str, setting: str) -> InvarianceResult:
    """The whole ladder without releases: all steps are compared with the one before."""
    case = CASES[case_id]
    return bs.invariance(
        "\n".join(case["model"]),
        data_of(case_id),
        case["group"],
        ordered=case["ordered"],
        partial=False,
        criteria=GENEROUS,
        **SPEC["settings"][setting],
    )


@cache
def reference(case_id: str) -> dict[str, Any]:
    return json.loads((HERE / f"{case_id}.json").read_text(encoding="utf-8"))


def close(what: str, ours: float, theirs: float | None, kind: str = "statistic") -> list[str]:
    """Return one line if two numbers differ, or only one of them is there."""
    if theirs is None:
        return [] if math.isnan(ours) else [f"{what}: {ours}, reference missing"]
    if abs(ours - theirs) <= max(RTOL[kind] * abs(theirs), FLOOR):
        return []
    return [f"{what}: {ours!r}, reference {theirs!r}"]


def tables_differ(
    what: str, ours: list[dict[str, Any]], theirs: list[dict[str, Any]], keys: tuple[str, ...], kinds: dict[str, str]
) -> list[str]:
    """Compare two tables by name; a row that one side lacks is a difference."""
    left = {tuple(str(r[k]) for k in keys): r for r in ours}
    right = {tuple(str(r[k]) for k in keys): r for r in theirs}
    out = [f"{what} {key}: only on one side" for key in left.keys() ^ right.keys()]
    for key in left.keys() & right.keys():
        for name, kind in kinds.items():
            out += close(f"{what} {key} {name}", left[key][name], right[key][name], kind)
    return out


def rows_of(columns: dict[str, Any]) -> list[dict[str, Any]]:
    size = {len(v) for v in columns.values()}
    assert len(size) == 1
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def plan_of(case_id: str, setting: str) -> OrdinalPlan:
    """The plan of a finished ladder."""
    case, options = CASES[case_id], SPEC["settings"][setting]
    plan = OrdinalPlan(
        measurement_model(parse_model("\n".join(case["model"]))),
        data_of(case_id),
        case["group"],
        options["estimator"],
        options.get("missing", "listwise"),
        options.get("parameterization", "delta"),
        case["ordered"],
    )
    plan.fit("configural", ())
    return plan


def compare(case_id: str, setting: str, theirs: dict[str, Any]) -> list[str]:
    """Return what differs, one line each."""
    found = ladder(case_id, setting)
    out = [] if dict(found.groups) == theirs["groups"] else [f"groups {dict(found.groups)}"]
    out += [] if list(theirs["steps"]) == found.steps["step"].tolist() else ["steps"]
    plan = plan_of(case_id, setting)
    for row in found.steps.to_dict("records"):
        step = row["step"]
        ref = theirs["steps"][step]
        fit = found.fit(step)
        assert ref["gradient"] < 1e-12
        assert fit.optimizer.gradient < 1e-10
        for name, value in ref["measures"].items():
            out += close(f"{step} {name}", fit.measures[name], value)
        change = ref.get("difference", {"chisq": None, "df": None, "pvalue": None})
        for name in ("chisq", "df", "pvalue"):
            out += close(f"{step} difference {name}", row[f"{name}_diff"], change[name])
        if step != "configural":
            tests = [vars(t) for t in plan.tests(step, found.fit(step))]
            kinds = dict.fromkeys(("chisq", "df", "pvalue"), "statistic")
            out += tables_differ(f"{step} score", tests, ref.get("score", []), ("parameter",), kinds)
        if "free" in ref:
            table = fit.parameters
            ours = table[(table["free"] > 0)].to_dict("records")
            kinds = {"est": "estimate", "se": "se"}
            out += tables_differ(step, ours, rows_of(ref["free"]), ("lhs", "op", "rhs", "group"), kinds)
    means = found.means.to_dict("records")
    kinds = {n: "estimate" for n in ("est", "d")} | {n: "statistic" for n in ("se", "z", "pvalue", "ci_lower", "ci_upper")}
    out += tables_differ("mean", means, theirs["steps"]["scalar"]["means"], ("latent", "group"), kinds)
    return out


@pytest.mark.parametrize(("case", "setting"), IDS)
def test_all_numbers(case: str, setting: str) -> None:
    problems = compare(case, setting, reference(case)[setting])
    assert not problems, "\n".join(problems)
