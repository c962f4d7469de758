"""Runs that lavaan::growth() and semTools::auxiliary() also made, and their comparison by name."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from compare import COUNTS, difference, row_key

import b2b_sem as bs

GROWTH = Path(__file__).resolve().parent / "growth"

#: Measures that are probabilities, with the statistic each is a tail of: the slope of the tail grows with it.
TAILS = {
    "pvalue": "chisq",
    "baseline_pvalue": "baseline_chisq",
    "rmsea_pvalue": "chisq",
    "pvalue_scaled": "chisq_scaled",
}


@dataclass(frozen=True)
class Tolerance:
    """Allowed relative differences: of estimates and measures, and of standard errors.

    Both sides are polished to a gradient at rounding level, so estimates agree to 1e-9. Standard errors from observed
    information follow lavaan's finite differences (5e-7 measured).
    """

    estimate: float = 1e-8
    error: float = 5e-6


@cache
def growth_data() -> pd.DataFrame:
    """Return the simulated waves."""
    return pd.read_csv(GROWTH / "growth.csv")


@cache
def spec() -> dict[str, Any]:
    """Return cases.json with its models by id."""
    content = json.loads((GROWTH / "cases.json").read_text(encoding="utf-8"))
    return {**content, "models": {m["id"]: m for m in content["models"]}}


@cache
def growth_reference(model: str) -> dict[str, Any]:
    """Return lavaan's numbers of all runs of a model."""
    return json.loads((GROWTH / f"{model}.json").read_text(encoding="utf-8"))


@cache
def fit_growth(model: str, setting: str) -> Any:
    """Fit one run."""
    case = spec()["models"][model]
    options = {**case.get("options", {}), **spec()["settings"][setting]}
    return bs.fit("\n".join(case["model"]), growth_data(), kind="growth", **options)


def compare_numbers(fit: Any, numbers: Mapping[str, Any], tolerance: Tolerance = Tolerance()) -> list[str]:
    """Return what differs, one line each; every number of the reference must be in the fit."""
    out = difference("nobs", fit.nobs, numbers["nobs"], 0)
    out += list(_rows(fit, numbers, tolerance))
    return out + list(_measures(fit.measures, numbers["measures"], tolerance))


def _rows(fit: Any, numbers: Mapping[str, Any], tolerance: Tolerance) -> Iterator[str]:
    theirs = {row_key(row): row for row in numbers["parameters"]}
    raw, std = fit.parameters.to_dict("records"), fit.standardized().to_dict("records")
    mine = {row_key(a): {**a, "est_std": b["est_std"], "se_std": b["se"]} for a, b in zip(raw, std, strict=True)}
    yield from (f"{' '.join(key)}: not in the fit" for key in theirs if key not in mine)
    yield from (f"{' '.join(key)}: not in the reference" for key in mine if key not in theirs)
    for key, ref in theirs.items():
        row = mine.get(key)
        if row is None:
            continue
        name = " ".join(key)
        if bool(row["free"]) != bool(ref["free"]):
            yield f"{name} free: {row['free']}"
        for value, spread in (("est", "se"), ("est_std", "se_std")):
            # an estimate is known to its standard error only; fixed ones to rounding of their size
            size = max(abs(ref[value] or 0.0), ref[spread] or 0.0, 1e-9)
            yield from difference(f"{name} {value}", row[value], ref[value], tolerance.estimate * size)
            yield from difference(
                f"{name} {spread}", row[spread], ref[spread], tolerance.error * (ref[spread] or 0.0) + 1e-12
            )


def _measures(ours: Mapping[str, Any], theirs: Mapping[str, Any], tolerance: Tolerance) -> Iterator[str]:
    yield from (f"measure {name}: not in the fit" for name in theirs if name not in ours)
    for name, value in theirs.items():
        if name not in ours:
            continue
        size = abs(value or 0.0)
        rtol = tolerance.estimate
        if any(part in name for part in ("scaled", "scaling")):
            rtol = tolerance.error
        if name in COUNTS:
            allowed = 0.0
        elif name in TAILS:
            allowed = rtol * max(1.0, theirs[TAILS[name]]) * size + 1e-11
        else:
            allowed = rtol * size + 1e-9
        yield from difference(f"measure {name}", ours[name], value, allowed)
