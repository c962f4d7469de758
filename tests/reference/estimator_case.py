"""The runs of cases.json: models with estimators, and their comparison with lavaan's numbers, by name."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from compare import COUNTS, LIKELIHOODS, difference, row_key
from reference_case import CASES, data_frame

import b2b_sem as bs

HERE = Path(__file__).resolve().parent / "estimators"
SPEC = json.loads((HERE / "cases.json").read_text(encoding="utf-8"))
MODELS: dict[str, dict[str, Any]] = CASES | {model["id"]: model for model in SPEC["models"]}
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
#: Measures that follow lavaan's finite differences where the observed information is used.
FROM_INFORMATION = ("scaled", "robust", "scaling_factor")


@dataclass(frozen=True)
class Tolerance:
    """Allowed relative differences.

    Attributes
    ----------
    estimate : float
        Of estimates, statistics and measures of the uncorrected test; the largest difference measured is 1.3e-9 (ULS),
        3e-11 without it.
    error : float
        Of standard errors, scaled tests and their measures; measured 9e-10.
    difference : float
        The same where lavaan's observed information enters: it takes differences of gradients with a fixed step of
        1e-6. Measured 5e-7, where that step is large for the parameter.
    inverse : float
        Of everything by WLS, whose weight is the inverse of an ill-conditioned matrix of fourth moments; measured 7e-8.
    """

    estimate: float = 1e-8
    error: float = 1e-8
    difference: float = 5e-6
    inverse: float = 1e-6
    tail: float = 1e-11


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
    """Fit one run with the native engine."""
    case = MODELS[model]
    options = {**case.get("options", {}), **SPEC["settings"][setting], **more}
    if "cluster" in options:
        options["cluster"] = SPEC["clusters"][case["data"]]
    text = "\n".join(case["model"])
    return bs.fit(text, data_frame(case["data"]), **{"engine": "native", "kind": case["function"], **options})


def compare_run(fit: Any, numbers: Mapping[str, Any], setting: str, tolerance: Tolerance = Tolerance()) -> list[str]:
    """Return what differs, one line each."""
    observed = fit.model.options["information"] == "observed"
    if "WLS" in setting:
        tolerance = replace(tolerance, estimate=tolerance.inverse, error=tolerance.inverse)
    error = tolerance.difference if observed else tolerance.error
    out = difference("nobs", fit.nobs, numbers["nobs"], 0)
    out += list(_rows(fit, numbers, tolerance.estimate, error))
    return out + list(_measures(fit.measures, numbers["measures"], tolerance, error))


def _rows(fit: Any, numbers: Mapping[str, Any], rtol: float, error: float) -> Iterator[str]:
    theirs = {row_key(row): row for row in numbers["parameters"]}
    raw, std = fit.parameters.to_dict("records"), fit.standardized().to_dict("records")
    mine = {row_key(a): {**a, "est_std": b["est_std"], "se_std": b["se"]} for a, b in zip(raw, std, strict=True)}
    mine = {key: row for key, row in mine.items() if row["op"] not in ("==", "<", ">")}
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
            size = max(abs(_number(ref[value])), _number(ref[spread]), 1e-9)
            yield from difference(f"{name} {value}", row[value], ref[value], rtol * size)
            yield from difference(f"{name} {spread}", row[spread], ref[spread], error * _number(ref[spread]) + 1e-12)


def _measures(ours: Mapping[str, Any], theirs: Mapping[str, Any], tolerance: Tolerance, error: float) -> Iterator[str]:
    skip = {"cn_05", "cn_01"} if theirs["df"] == 0 else set()  # lavaan: 1 or NA by rounding
    yield from (f"measure {name}: not in the fit" for name in theirs if name not in ours)
    yield from (f"measure {name}: not in the reference" for name in ours if name not in theirs)
    for name, value in theirs.items():
        if name in skip or name not in ours:
            continue
        size = abs(_number(value))
        rtol = error if any(part in name for part in FROM_INFORMATION) else tolerance.estimate
        if name in COUNTS:
            allowed = 0.0
        elif name in TAILS:
            allowed = rtol * max(1.0, _number(theirs[TAILS[name]])) * size + tolerance.tail
        elif name in LIKELIHOODS:
            allowed = 1e-11 * size
        else:
            allowed = rtol * size + 1e-9
        yield from difference(f"measure {name}", ours[name], value, allowed)


def _number(value: Any) -> float:
    return 0.0 if value is None or math.isnan(float(value)) else float(value)
