"""The cases of incomplete/cases.json: models on data with holes, and their comparison with lavaan, by name."""

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
from reference_case import data_frame

import b2b_sem as bs

HERE = Path(__file__).resolve().parent / "incomplete"
SPEC = json.loads((HERE / "cases.json").read_text(encoding="utf-8"))
CASES: dict[str, dict[str, Any]] = {case["id"]: case for case in SPEC["cases"]}

#: Relative differences that are allowed. Estimates and chi-squares are polished: ten times the largest difference
#: measured. Standard errors and scaled tests rest on lavaan's Hessian, by differences of the gradient with a step of
#: 1e-4 of the parameter's size.
RTOL = 1e-7
ERROR_RTOL = 1e-6
#: lavaan's EM algorithm stops when no moment changes by more than 1e-13.
MOMENT_RTOL = 1e-8
LIKELIHOOD_RTOL = 1e-11
FLOOR = 1e-9


def manifest() -> dict[str, Any]:
    """Return versions and digests of what the numbers were made from."""
    return json.loads((HERE / "manifest.json").read_text(encoding="utf-8"))


def parameters(wanted: Callable[[Mapping[str, Any]], Any] | None = None) -> list[Any]:
    """Return pytest parameters, one a case and setting; only those whose numbers are wanted."""
    return [
        pytest.param(
            case,
            setting,
            id=f"{case}-{setting}",
            marks=[pytest.mark.shared_data] if spec["data"].startswith("shared:") else [],
        )
        for case, spec in CASES.items()
        for setting in spec["settings"]
        if wanted is None or wanted(reference(case)[setting])
    ]


def differences() -> list[Any]:
    """Return pytest parameters of the difference tests."""
    return [(case, setting) for case in CASES for setting in difference_of(case)]


def draw(n: int, k: int, seed: int) -> np.ndarray:
    """Return a number in [0, 1) for each cell, by the rule of generate.R."""
    i, j = np.arange(1, n + 1)[:, None], np.arange(1, k + 1)
    v = (i * 7919 + j * 10007 + seed * 3571) % 65537
    for r in (1, 2, 3):
        v = (v * v + 5 * v * (i % 101) + 3 * j + r) % 65537
    return v / 65537


def punch(frame: pd.DataFrame, holes: Mapping[str, Any] | None) -> pd.DataFrame:
    """Return the data with the holes of a case, by the rule of generate.R."""
    if holes is None:
        return frame
    columns = holes["columns"]
    n, k = len(frame), len(columns)
    share = np.full((n, k), float(holes["share"]))
    if "driver" in holes:
        d = frame[holes["driver"]].to_numpy()
        share *= np.where(d > np.median(d), 1.5, 0.5)[:, None]
    u = draw(n, k, holes["seed"])
    if holes.get("monotone"):
        stay = np.floor(u[:, 0] / holes["share"] * k)
        gone = (np.arange(1, k + 1) > stay[:, None]) & (u[:, :1] < holes["share"])
    else:
        gone = u < share
    out = frame.copy()
    for c, name in enumerate(columns):
        out[name] = out[name].astype(float).mask(gone[:, c])
    return out


@cache
def case_data(case: str) -> pd.DataFrame:
    """Return the data of a case, with their holes."""
    spec = CASES[case]
    return punch(data_frame(spec["data"]), spec.get("holes"))


@cache
def reference(case: str) -> dict[str, Any]:
    """Return lavaan's numbers of a case, by setting."""
    return json.loads((HERE / f"{case}.json").read_text(encoding="utf-8"))["settings"]


@cache
def difference_of(case: str) -> dict[str, Any]:
    """Return lavaan's difference tests of a case against its restricted model, by setting."""
    return json.loads((HERE / f"{case}.json").read_text(encoding="utf-8")).get("difference") or {}


def fit_restricted(case: str, setting: str) -> Any:
    """Return the fit of the restricted model of a case."""
    options = {"missing": "fiml"} | CASES[case]["settings"][setting]
    return bs.fit("\n".join(CASES[case]["restricted"]), case_data(case), **options)


@cache
def fit(case: str, setting: str) -> Any:
    """Return the fit of a case (kept: several tests look at it)."""
    options = {"missing": "fiml"} | CASES[case]["settings"][setting]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bs.B2BSemWarning)
        return bs.fit("\n".join(CASES[case]["model"]), case_data(case), **options)


def compare(fitted: Any, ref: Mapping[str, Any], scale: float = 1.0) -> list[str]:
    """Return what differs, one line each; `scale` multiplies what is allowed."""
    out = [] if fitted.nobs == ref["nobs"] else [f"nobs: {fitted.nobs}, reference {ref['nobs']}"]
    ours, theirs = dict(fitted.measures), ref["measures"]
    # lavaan's robust indices are then no indices: see lavaan-differences
    if fitted.model.options["information"] == "first.order":
        ours, theirs = ({k: v for k, v in m.items() if not k.endswith("_robust")} for m in (ours, theirs))
    out += _measures(ours, theirs, scale)
    out += _table("parameters", fitted.parameters.to_dict("records"), ref["parameters"], PARAMETER_NUMBERS, scale)
    rows = fitted.standardized().to_dict("records")
    out += _table("standardized", rows, ref["standardized"], STANDARDIZED_NUMBERS, scale)
    r2 = ref["r2"] or {}
    out += [f"r2 {name}: only on one side" for name in set(r2) ^ set(fitted.r2)]
    for name in set(r2) & set(fitted.r2):
        out += difference(f"r2 {name}", fitted.r2[name], r2[name], scale * RTOL * max(abs(r2[name]), 1e-2))
    out += _moments("implied", fitted.implied(), ref["implied"], scale * RTOL)
    out += _moments("without a model", fitted.sample(), ref["h1"], scale * MOMENT_RTOL)
    return out


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _table(
    table: str, ours: list[dict[str, Any]], theirs: list[dict[str, Any]], columns: tuple[str, ...], scale: float
) -> list[str]:
    mine, other = {row_key(r): r for r in ours}, {row_key(r): r for r in theirs}
    out = [f"{table} {' '.join(k)}: only on one side" for k in set(mine) ^ set(other)]
    for key in set(mine) & set(other):
        row, ref = mine[key], other[key]
        se, z = _number(ref["se"]), _number(ref["z"])
        spread = 0.0 if math.isnan(se) else se
        est = abs(_number(ref["est"] if "est" in ref else ref["est_std"]))
        for column in columns:
            value = _number(ref.get(column))
            size = 0.0 if math.isnan(value) else abs(value)
            allowed = RTOL * max(size, spread)
            if column in ("se", "ci_lower", "ci_upper"):
                allowed = ERROR_RTOL * max(size, spread)
            elif column in ("std_lv", "std_all"):
                allowed = RTOL * max(size, spread * size / est if est else 0.0, 1e-3)
            elif column == "z":
                allowed = ERROR_RTOL * max(size, 1.0)
            elif column == "pvalue":
                allowed = ERROR_RTOL * max(1.0, abs(z) * (abs(z) + 1.0)) * size + 1e-15
            out += difference(
                f"{table} {' '.join(key)} {column}", row[column], ref.get(column), scale * allowed + 1e-12
            )
    return out


#: lavaan's root search stops early: its bounds are good to about 1e-4.
BOUNDS = ("rmsea_ci_lower", "rmsea_ci_upper")
BOUND_RTOL = 1e-3


def _measures(ours: Mapping[str, Any], theirs: Mapping[str, Any], scale: float) -> list[str]:
    out = [
        f"measure {name}: only on one side"
        for name in (set(ours) ^ set(theirs)) - {"scaling_factor_h1", "scaling_factor_h0"}
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
    mean = np.asarray(theirs["mean"]["values"], float)
    sd = np.sqrt(np.diag(cov))
    mine = ours["cov"].loc[names, names].to_numpy()
    if not (np.abs(mine - cov) <= rtol * np.outer(sd, sd)).all():
        out.append(f"{which} cov: up to {np.max(np.abs(mine - cov) / np.outer(sd, sd)):.1e}")
    centre = ours["mean"].loc[names].to_numpy()
    if not (np.abs(centre - mean) <= rtol * np.maximum(sd, np.abs(mean))).all():
        out.append(f"{which} mean: up to {np.max(np.abs(centre - mean) / sd):.1e} standard deviations")
    return out
