"""The cases of indicator/cases.json: products of latent variables by product indicators; comparison by name."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from compare import COUNTS, LIKELIHOODS, difference, row_key
from group_case import data_of
from incomplete_case import BOUND_RTOL, BOUNDS

import b2b_sem as bs

HERE = Path(__file__).resolve().parent / "indicator"
CASES: dict[str, dict[str, Any]] = {
    case["id"]: case for case in json.loads((HERE / "cases.json").read_text(encoding="utf-8"))["cases"]
}

#: Relative differences that are allowed: ten times the largest measured.
RTOL = 1e-7
#: Standard errors and scaled tests that rest on lavaan's Hessian, by differences of the gradient.
ERROR_RTOL = 5e-6
#: Standard errors of the standardized solution, whose derivatives lavaan takes by differences.
STANDARDIZED_RTOL = 1e-5
LIKELIHOOD_RTOL = 1e-11
FLOOR = 1e-9


def parameters() -> list[Any]:
    """Return pytest parameters, one a case and setting."""
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
    """Return the data of a case, with holes made by the rule of group/generate.R."""
    return data_of(CASES[case])


@cache
def reference(case: str) -> dict[str, Any]:
    """Return the reference numbers of a case, by setting."""
    return json.loads((HERE / f"{case}.json").read_text(encoding="utf-8"))["settings"]


def method(setting: str) -> str:
    """Return the value of `interaction` that a setting's name starts with."""
    words = setting.split("-")
    return "-".join(words[: 1 + ("all" in words[1:2])])


def model(case: str) -> str:
    """Return the model of a case."""
    text = "\n".join(CASES[case]["model"])
    for word, product in zip(("PRODUCT", "SQUARE"), CASES[case]["products"], strict=False):
        text = text.replace(word, product["name"])
    return text


@cache
def fit(case: str, setting: str) -> Any:
    """Return the fit of a case (kept: several tests look at it)."""
    spec = CASES[case]
    options = {**spec["options"], **spec["settings"][setting]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bs.B2BSemWarning)
        return bs.fit(
            model(case),
            case_data(case),
            group=spec.get("group"),
            interaction=method(setting),
            engine="native",
            **options,
        )


def compare(fitted: Any, ref: Mapping[str, Any], scale: float = 1.0) -> list[str]:
    """Return what differs, one line each; `scale` multiplies what is allowed."""
    out = difference("nobs", fitted.nobs, ref["nobs"], 0)
    out += _measures(fitted.measures, ref["measures"], scale)
    out += _table("parameters", fitted.parameters, ref["parameters"], ("est", "se", "std_lv", "std_all"), scale)
    out += _table("standardized", fitted.standardized(), ref["standardized"], ("est_std", "se"), scale)
    parts = [fitted.r2[label] for label in fitted.groups] or [fitted.r2]
    for mine, theirs in zip(parts, ref["r2"], strict=True):
        out += [f"r2 {name}: only on one side" for name in set(theirs) ^ set(mine)]
        for name in set(theirs) & set(mine):
            out += difference(f"r2 {name}", mine[name], theirs[name], scale * RTOL)
    return out


def key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the name of a row; definitions belong to no group, and with one group lavaan names none."""
    return (*row_key(row), 0 if row["op"] == ":=" else int(row.get("group", 1)))


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _table(which: str, frame: pd.DataFrame, theirs: Any, columns: tuple[str, ...], scale: float) -> list[str]:
    mine, other = {key(r): r for r in frame.to_dict("records")}, {key(r): r for r in theirs}
    out = [f"{which} {k}: only on one side" for k in set(mine) ^ set(other)]
    for name in set(mine) & set(other):
        row, ref = mine[name], other[name]
        spread = 0.0 if math.isnan(_number(ref["se"])) else _number(ref["se"])
        est = abs(_number(ref["est"])) if "est" in ref else 0.0
        for column in columns:
            if row["op"] == ":=" and (column.startswith("std") or which == "standardized"):
                continue  # follow from the standardized path of the product, which lavaan has otherwise
            size = abs(_number(ref.get(column)))
            allowed = RTOL * max(size, spread)
            if column == "se":
                allowed = (STANDARDIZED_RTOL if which == "standardized" else ERROR_RTOL) * size
            elif column.startswith("std"):
                allowed = RTOL * max(size, spread * size / est if est else 0.0, 1e-3)
            if math.isnan(allowed):
                allowed = 0.0
            out += difference(f"{which} {name} {column}", row[column], ref.get(column), scale * allowed + 1e-12)
    return out


def _measures(ours: Mapping[str, Any], theirs: Mapping[str, Any], scale: float) -> list[str]:
    least_squares = math.isnan(_number(theirs.get("logl", math.nan)))
    out = [
        f"measure {name}: only on one side"
        for name in (set(ours) ^ set(theirs)) - {"scaling_factor_h1", "scaling_factor_h0"}
        if not (least_squares and name in (*LIKELIHOODS, "ntotal"))  # lavaan leaves out what least squares do not have
    ]
    for name in set(ours) & set(theirs):
        size = abs(_number(theirs[name]))
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
        out += difference(f"measure {name}", ours[name], theirs[name], scale * (0.0 if math.isnan(size) else allowed))
    return out
