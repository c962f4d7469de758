"""The cases of group_ordinal/cases.json: ordinal items in several groups, and their comparison with lavaan, by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from compare import difference
from ordinal_case import Tolerance, _implied, _measures, _r2, _rows
from reference_case import data_frame

import b2b_sem as bs

HERE = Path(__file__).resolve().parent / "group_ordinal"
SPEC = json.loads((HERE / "cases.json").read_text(encoding="utf-8"))
TOLERANCE = Tolerance()
CASES: dict[str, dict[str, Any]] = {case["id"]: case for case in SPEC["cases"]}


def parameters() -> list[Any]:
    """Return pytest parameters (case, setting)."""
    return [
        pytest.param(case, setting, id=f"{case}-{setting}", marks=marks(case))
        for case, spec in CASES.items()
        for setting in spec["settings"]
    ]


def marks(case: str) -> list[Any]:
    """Return the mark of a case on survey files outside the project."""
    return [pytest.mark.shared_data] if CASES[case]["data"].startswith("shared:") else []


@cache
def case_data(case: str) -> pd.DataFrame:
    """Return the data of a case, with groups and categories made by the rules of generate.R."""
    spec = CASES[case]
    frame = data_frame(spec["data"]).copy()
    if "rule" in spec:
        frame[spec["group"]] = np.array(list("abcdef"))[np.arange(1, len(frame) + 1) * 7 % spec["rule"]]
    for name, cuts in spec["cut"].items():
        frame[name] = np.searchsorted(cuts, frame[name].to_numpy(float), side="right") + 1
    return frame


@cache
def reference(case: str) -> dict[str, Any]:
    """Return lavaan's numbers of a case, by setting."""
    return json.loads((HERE / f"{case}.json").read_text(encoding="utf-8"))


@cache
def fit(case: str, setting: str) -> Any:
    """Return the fit of a case (kept: several tests look at it)."""
    spec = CASES[case]
    more = spec["options"] | SPEC["settings"][setting]
    return bs.fit("\n".join(spec["model"]), case_data(case), group=spec["group"], ordered=spec["ordered"], **more)


def compare(fitted: Any, ref: Mapping[str, Any], tolerance: Tolerance = TOLERANCE) -> list[str]:
    """Return what differs, one line each."""
    out = [] if list(fitted.groups) == ref["groups"] else [f"groups: {fitted.groups}, reference {ref['groups']}"]
    tests = fitted.group_tests
    out += [] if tests["nobs"].tolist() == ref["nobs"] else [f"nobs: {tests['nobs'].tolist()}"]
    for label, mine, theirs in zip(ref["groups"], tests["chisq"], ref["chisq_group"], strict=True):
        out += difference(f"chisq {label}", mine, theirs, tolerance.statistic * abs(theirs) + tolerance.floor)
    raw, std = fitted.parameters, fitted.standardized()
    theirs_of = {g: [r for r in ref["parameters"] if _group(r) == g] for g in range(len(ref["groups"]) + 1)}
    of = np.where(raw["op"] == ":=", 0, raw["group"])
    for g, rows in theirs_of.items():
        part = SimpleNamespace(parameters=raw[of == g], standardized=lambda keep=of == g: std[keep])
        out += [f"group {g} {text}" for text in _rows(part, {"parameters": rows}, tolerance)]
    for label in ref["groups"]:
        own = SimpleNamespace(r2=fitted.r2[label], implied=lambda at=label: fitted.implied()[at])
        numbers = {"r2": ref["r2"].get(label) or {}, "implied": ref["implied"][label]}
        out += [f"{label} {text}" for text in (*_r2(own, numbers, tolerance), *_implied(own, numbers, tolerance))]
    return out + list(_measures(fitted.measures, ref["measures"], tolerance))


def _group(row: Mapping[str, Any]) -> int:
    return 0 if row["op"] == ":=" else int(row["group"])
