"""The runs of ordinal/cases.json: models of ordinal items, and their comparison with lavaan's numbers, by name."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compare import COUNTS, difference, row_key
from reference_case import data_frame

import b2b_sem as bs

HERE = Path(__file__).resolve().parent / "ordinal"
SPEC = json.loads((HERE / "cases.json").read_text(encoding="utf-8"))
MODELS: dict[str, dict[str, Any]] = {model["id"]: model for model in SPEC["models"]}
RUNS: dict[str, list[str]] = SPEC["runs"]

#: Measures that are probabilities, with the statistic each is a tail of.
TAILS = {
    "pvalue": "chisq",
    "baseline_pvalue": "baseline_chisq",
    "rmsea_pvalue": "chisq",
    "pvalue_scaled": "chisq_scaled",
    "baseline_pvalue_scaled": "baseline_chisq_scaled",
    "rmsea_pvalue_scaled": "chisq_scaled",
    "rmsea_pvalue_robust": "chisq_scaled",
}


#: Models whose thresholds or scales are restricted: lavaan's robust indices mix degrees of freedom with and without
#: thresholds, or are NA. Ours are compared with lavaan's of the same model without these restrictions.
RESTRICTED = ("equal", "fixed_thresholds", "scales", "residual_variances")


@dataclass(frozen=True)
class Tolerance:
    """Allowed differences, ten times the largest ones measured.

    They come from lavaan's polychoric correlations, which its optimiser finds to about 1e-6; the solutions themselves
    have scaled gradients below 1e-14 on both sides.

    Attributes
    ----------
    value : float
        Of estimates, in units of the larger of the estimate and its standard error (measured 8e-7), and of standard
        errors (5e-7).
    statistic : float
        Of chi-squares and everything made of them; measured 1.4e-6.
    floor : float
        Absolute, of unit-free measures; measured 1e-7.
    tail : float
        Absolute, of probabilities; measured 1.4e-7.
    """

    value: float = 8e-6
    statistic: float = 1.4e-5
    floor: float = 1e-6
    tail: float = 1.4e-6


def parameters() -> list[Any]:
    """Return pytest parameters (model, setting)."""
    return [
        pytest.param(
            model,
            setting,
            id=f"{model}-{setting}",
            marks=[pytest.mark.shared_data] if MODELS[model]["data"].startswith("shared:") else [],
        )
        for model, settings in RUNS.items()
        for setting in settings
    ]


@cache
def reference(model: str) -> dict[str, Any]:
    """Return lavaan's numbers of all runs of a model."""
    return json.loads((HERE / f"{model}.json").read_text(encoding="utf-8"))


def fit_run(model: str, setting: str, **more: Any) -> Any:
    """Fit one run."""
    case = MODELS[model]
    options = {**SPEC["settings"][setting], **more}
    return bs.fit("\n".join(case["model"]), data_frame(case["data"]), ordered=case["ordered"], **options)


def compare_run(
    fit: Any, numbers: Mapping[str, Any], tolerance: Tolerance = Tolerance(), *, robust: bool = True
) -> list[str]:
    """Return what differs, one line each; `robust`: whether the ``*_robust`` measures are compared."""
    out = difference("nobs", fit.nobs, numbers["nobs"], 0)
    out += list(_rows(fit, numbers, tolerance))
    out += list(_r2(fit, numbers, tolerance))
    out += list(_implied(fit, numbers, tolerance))
    ours, theirs = fit.measures, numbers["measures"]
    if not robust:
        ours, theirs = ({k: v for k, v in m.items() if not k.endswith("_robust")} for m in (ours, theirs))
    return out + list(_measures(ours, theirs, tolerance))


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
        if bool(row["free"]) != bool(ref["free"]) or row["label"] != ref["label"]:
            yield f"{name}: free {row['free']}, label {row['label']!r}, reference {ref['free']}, {ref['label']!r}"
        for value, spread in (("est", "se"), ("est_std", "se_std"), ("std_lv", "se")):
            size = max(abs(_number(ref[value])), _number(ref[spread]), 1e-4)
            yield from difference(f"{name} {value}", row[value], ref[value], tolerance.value * size)
        for spread in ("se", "se_std"):
            yield from difference(
                f"{name} {spread}", row[spread], ref[spread], tolerance.value * _number(ref[spread]) + 1e-12
            )


def _r2(fit: Any, numbers: Mapping[str, Any], tolerance: Tolerance) -> Iterator[str]:
    ours, theirs = fit.r2, numbers["r2"]
    yield from (f"r2 {n}: not in the fit" for n in theirs if n not in ours)
    yield from (f"r2 {n}: not in the reference" for n in ours if n not in theirs)
    for name, value in theirs.items():
        if name in ours:
            yield from difference(f"r2 {name}", ours[name], value, tolerance.value * max(abs(_number(value)), 0.01))


def _implied(fit: Any, numbers: Mapping[str, Any], tolerance: Tolerance) -> Iterator[str]:
    ours, theirs = fit.implied(), numbers["implied"]
    part = "res_" if "res.cov" in theirs else ""
    cov = theirs["res.cov" if part else "cov"]
    mine = ours["cov"].loc[cov["names"], cov["names"]].to_numpy()
    gap = np.abs(mine - np.array(cov["values"], dtype=float))
    if not gap.max() < tolerance.value:
        yield f"implied cov: {gap.max():.1e}"
    th = theirs["res.th" if part else "th"]
    gap = np.abs(ours["th"].loc[th["names"]].to_numpy() - np.array(th["values"], dtype=float))
    if len(ours["th"]) != len(th["names"]) or not gap.max() < tolerance.value * 5:
        yield f"implied th: {gap.max():.1e}"
    if part:
        slopes = np.array(theirs["res.slopes"]["values"], dtype=float)
        gap = np.abs(ours["slopes"].to_numpy() - slopes)
        if not gap.max() < tolerance.value:
            yield f"implied slopes: {gap.max():.1e}"


def _measures(ours: Mapping[str, Any], theirs: Mapping[str, Any], tolerance: Tolerance) -> Iterator[str]:
    skip = {"cn_05", "cn_01"} if theirs["df"] == 0 else set()  # lavaan: 1 or NA by rounding
    # lavaan has no likelihood for ordinal items; here such measures are NaN
    none = {"logl", "unrestricted_logl", "aic", "bic", "bic2"}
    yield from (f"measure {n}: {ours[n]}, but there is no likelihood" for n in none if not math.isnan(ours[n]))
    yield from (f"measure {name}: not in the fit" for name in theirs if name not in ours)
    yield from (f"measure {name}: not in the reference" for name in ours if name not in theirs and name not in none)
    for name, value in theirs.items():
        if name in skip or name not in ours:
            continue
        size = abs(_number(value))
        if name in COUNTS:
            allowed = 0.0
        elif name in TAILS:
            allowed = tolerance.statistic * max(1.0, _number(theirs[TAILS[name]])) * size + tolerance.tail
        else:
            allowed = tolerance.statistic * size + tolerance.floor
        yield from difference(f"measure {name}", ours[name], value, allowed)


def _number(value: Any) -> float:
    return 0.0 if value is None or math.isnan(float(value)) else float(value)
