"""The cases of group/cases.json: models of several groups, and their comparison with lavaan, by name."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from compare import COUNTS, LIKELIHOODS, PARAMETER_NUMBERS, STANDARDIZED_NUMBERS, difference, row_key
from incomplete_case import BOUND_RTOL, BOUNDS, punch
from reference_case import data_frame

import b2b_sem as bs

HERE = Path(__file__).resolve().parent / "group"
SPEC = json.loads((HERE / "cases.json").read_text(encoding="utf-8"))
CASES: dict[str, dict[str, Any]] = {case["id"]: case for case in SPEC["cases"]}

#: Relative differences that are allowed: ten times the largest measured.
RTOL = 1e-7
#: Standard errors and scaled tests that rest on lavaan's Hessian, by differences of the gradient.
ERROR_RTOL = 1e-6
#: Standard errors of the standardized solution, whose derivatives lavaan takes by differences.
STANDARDIZED_RTOL = 1e-5
MOMENT_RTOL = 1e-8
LIKELIHOOD_RTOL = 1e-11
FLOOR = 1e-9


def parameters(wanted: Callable[[Mapping[str, Any]], Any] | None = None) -> list[Any]:
    """Return pytest parameters, one a case and setting; only those whose numbers are wanted."""
    return [
        pytest.param(case, setting, id=f"{case}-{setting}", marks=marks(case))
        for case, spec in CASES.items()
        for setting in spec["settings"]
        if wanted is None or wanted(reference(case)[setting])
    ]


def ladders() -> list[Any]:
    """Return pytest parameters of the difference tests between neighbours of a ladder."""
    found = json.loads((HERE / "ladders.json").read_text(encoding="utf-8"))
    return [
        pytest.param(ladder, id=f"{ladder['cases'][0]}-{ladder['setting']}", marks=marks(ladder["cases"][0]))
        for ladder in found
    ]


def marks(case: str) -> list[Any]:
    """Return the mark of a case on survey files outside the project."""
    return [pytest.mark.shared_data] if CASES[case]["data"].startswith("shared:") else []


@cache
def case_data(case: str) -> pd.DataFrame:
    """Return the data of a case, with groups and holes made by the rules of generate.R."""
    return data_of(CASES[case])


def data_of(spec: Mapping[str, Any]) -> pd.DataFrame:
    """Return data with groups and holes made by the rules of generate.R."""
    frame = punch(data_frame(spec["data"]), spec.get("holes"))
    if "rule" in spec:
        at = np.arange(1, len(frame) + 1) * 7 % spec["rule"]
        frame = frame.assign(**{spec["group"]: np.array(list("abcdef"))[at]})
    return frame


@cache
def reference(case: str) -> dict[str, Any]:
    """Return lavaan's numbers of a case, by setting."""
    return json.loads((HERE / f"{case}.json").read_text(encoding="utf-8"))["settings"]


def options(case: str, setting: str) -> dict[str, Any]:
    """Return the arguments of a fit beside model and data."""
    spec = CASES[case]
    return {"group": spec["group"], "kind": spec.get("function", "sem")} | spec["options"] | spec["settings"][setting]


@cache
def fit(case: str, setting: str) -> Any:
    """Return the fit of a case (kept: several tests look at it)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bs.B2BSemWarning)
        return bs.fit("\n".join(CASES[case]["model"]), case_data(case), **options(case, setting))


def key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the name of a row; definitions belong to no group."""
    return (*row_key(row), 0 if row["op"] == ":=" else int(row["group"]))


def compare(fitted: Any, ref: Mapping[str, Any], scale: float = 1.0) -> list[str]:
    """Return what differs, one line each; `scale` multiplies what is allowed."""
    out = [] if list(fitted.groups) == ref["groups"] else [f"groups: {fitted.groups}, reference {ref['groups']}"]
    tests = fitted.group_tests
    out += [] if tests["nobs"].tolist() == ref["nobs"] else [f"nobs: {tests['nobs'].tolist()}"]
    for label, mine, theirs in zip(ref["groups"], tests["chisq"], ref["chisq_group"], strict=True):
        out += difference(f"chisq {label}", mine, theirs, scale * (RTOL * abs(theirs) + FLOOR))
    out += _measures(dict(fitted.measures), ref["measures"], scale)
    out += _table("parameters", fitted.parameters.to_dict("records"), ref["parameters"], PARAMETER_NUMBERS, scale)
    rows = fitted.standardized().to_dict("records")
    out += _table("standardized", rows, ref["standardized"], STANDARDIZED_NUMBERS, scale)
    for label in ref["groups"]:
        mine, theirs = fitted.r2[label], ref["r2"].get(label) or {}
        out += [f"r2 {label} {name}: only on one side" for name in set(theirs) ^ set(mine)]
        for name in set(theirs) & set(mine):
            out += difference(
                f"r2 {name}", mine[name], theirs[name], scale * RTOL * max(abs(_number(theirs[name])), 0.01)
            )
        out += _moments(f"implied {label}", fitted.implied()[label], ref["implied"][label], scale * RTOL)
        out += _moments(f"sample {label}", fitted.sample()[label], ref["sample"][label], scale * MOMENT_RTOL)
    return out


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _table(
    table: str, ours: list[dict[str, Any]], theirs: list[dict[str, Any]], columns: tuple[str, ...], scale: float
) -> list[str]:
    # lavaan keeps constraints in its standardized solution
    mine, other = {key(r): r for r in ours}, {key(r): r for r in theirs if r["op"] not in ("==", "<", ">")}
    out = [f"{table} {k}: only on one side" for k in set(mine) ^ set(other)]
    errors = STANDARDIZED_RTOL if table == "standardized" else ERROR_RTOL
    for name in set(mine) & set(other):
        row, ref = mine[name], other[name]
        se, z = _number(ref["se"]), _number(ref["z"])
        spread = 0.0 if math.isnan(se) else se
        est = abs(_number(ref["est"] if "est" in ref else ref["est_std"]))
        for column in columns:
            value = _number(ref.get(column))
            size = 0.0 if math.isnan(value) else abs(value)
            allowed = RTOL * max(size, spread)
            if column in ("se", "ci_lower", "ci_upper"):
                allowed = errors * max(size, spread)
            elif column in ("std_lv", "std_all"):
                allowed = RTOL * max(size, spread * size / est if est else 0.0, 1e-3)
            elif column == "z":
                allowed = errors * max(size, 1.0)
            elif column == "pvalue":
                allowed = errors * max(1.0, abs(z) * (abs(z) + 1.0)) * size + 1e-15
            out += difference(f"{table} {name} {column}", row[column], ref.get(column), scale * allowed + 1e-12)
    return out


def _measures(ours: Mapping[str, Any], theirs: Mapping[str, Any], scale: float) -> list[str]:
    out = [
        f"measure {name}: only on one side"
        for name in (set(ours) ^ set(theirs)) - {"scaling_factor_h1", "scaling_factor_h0"}
        # lavaan leaves out what least squares do not have
        if not (name in (*LIKELIHOODS, "ntotal") and math.isnan(theirs.get("logl", math.nan)))
    ]
    saturated = theirs["df"] == 0
    for name in set(ours) & set(theirs):
        if saturated and name in ("cn_05", "cn_01", "fmin", "chisq"):
            continue  # a chi-square of rounding errors
        value = _number(theirs[name])
        size = 0.0 if math.isnan(value) else abs(value)
        allowed = RTOL * size + FLOOR
        if name in COUNTS:
            allowed = 0.0
        elif name in LIKELIHOODS:
            allowed = LIKELIHOOD_RTOL * size
        elif name.startswith(BOUNDS):
            allowed = BOUND_RTOL * size + 1e-4
        elif name.endswith(("_scaled", "_robust", "factor")) or "pvalue" in name:
            allowed = ERROR_RTOL * size + FLOOR
            if "pvalue" in name:
                allowed *= 1.0 + _number(theirs.get("baseline_chisq", 1.0)) / 2 if "baseline" in name else 50.0
        out += difference(f"measure {name}", ours[name], theirs[name], scale * allowed)
    return out


def _moments(which: str, ours: Mapping[str, Any], theirs: Mapping[str, Any], rtol: float) -> list[str]:
    out: list[str] = []
    names = theirs["cov"]["names"]
    cov = np.asarray(theirs["cov"]["values"], float)
    sd = np.sqrt(np.diag(cov))
    mine = ours["cov"].loc[names, names].to_numpy()
    if not (np.abs(mine - cov) <= rtol * np.outer(sd, sd)).all():
        out.append(f"{which} cov: up to {np.max(np.abs(mine - cov) / np.outer(sd, sd)):.1e}")
    if theirs.get("mean") is None or "mean" not in ours:
        return out
    mean = np.asarray(theirs["mean"]["values"], float)
    centre = ours["mean"].loc[names].to_numpy()
    if not (np.abs(centre - mean) <= rtol * np.maximum(sd, np.abs(mean))).all():
        out.append(f"{which} mean: up to {np.max(np.abs(centre - mean) / sd):.1e} standard deviations")
    return out
