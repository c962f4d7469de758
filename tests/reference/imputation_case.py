"""The cases of imputation/cases.json: imputed data, fits, and their comparison with semTools by name."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from compare import COUNTS, row_key
from reference_case import data_path

import b2b_sem as bs
from b2b_sem.analysis.imputation import PooledFit

HERE = Path(__file__).resolve().parent / "imputation"
SPEC = json.loads((HERE / "cases.json").read_text(encoding="utf-8"))
CASES: dict[str, dict[str, Any]] = {case["id"]: case for case in SPEC["cases"]}
RULE = {"corprep": [*(f"{code}_{i}" for code in ("comp", "like", "cusl") for i in (1, 2, 3)), "cusa"]}


#: Allowed relative differences by kind, about ten times the largest one measured (in brackets).
ALLOWED = {
    "rows": 0.0,  # every row and measure on both sides
    "count": 0.0,
    "estimate": 1e-9,  # (2e-11)
    "error": 1e-7,  # (5e-9: a standardized error of 0, which is rounding on the other side)
    "statistic": 2e-9,  # (2e-10)
    "pvalue": 2e-9,  # (2e-10)
    "interval": 4e-9,  # (4e-10)
    "between": 1e-8,  # (1e-9) degrees of freedom and missing information: from differences between data sets
    "measure": 1e-10,  # (8e-12)
    "scaled": 1e-5,  # (1e-6) semTools fits the baseline model again, where lavaan's optimiser stops
    "loose": 2e-4,  # (1e-5) bounds from uniroot with its default tolerance
}


def parameters() -> list[Any]:
    """Return pytest parameters (case, run)."""
    return [
        pytest.param(
            case["id"],
            run,
            id=f"{case['id']}-{run}",
            marks=[pytest.mark.shared_data] if case["data"].startswith("rule:") else [],
        )
        for case in CASES.values()
        for run in case["runs"]
    ]


@cache
def imputed(source: str) -> tuple[pd.DataFrame, ...]:
    """Return the imputed data sets of a case; holes and answers by a rule that generate.R follows, too."""
    kind, name = source.split(":")
    if kind == "imputed":
        stacked = pd.read_csv(HERE / f"{name}.csv")
        return tuple(part.drop(columns="imputation") for _, part in stacked.groupby("imputation"))
    frame = pd.read_csv(data_path(f"shared:{name}"))[RULE[name]].astype(float)
    rows = np.arange(len(frame))
    for j, column in enumerate(frame.columns):
        frame.loc[(7 * rows + 11 * j) % 13 == 0, column] = np.nan
    out = []
    for i in range(1, 6):
        copy = frame.copy()
        for column in copy.columns:
            given = frame[column].dropna().to_numpy()
            hole = np.flatnonzero(frame[column].isna())
            copy.iloc[hole, copy.columns.get_loc(column)] = given[
                (7 * np.arange(len(hole)) + 13 * i + 3 * i**2) % len(given)
            ]
        out.append(copy)
    return tuple(out)


@cache
def fit_run(case: str, run: str, nested: bool = False) -> PooledFit:
    """Fit a case to its imputed data sets."""
    spec = CASES[case]
    text = "\n".join(spec["nested" if nested else "model"])
    return bs.fit_imputed(text, list(imputed(spec["data"])), **SPEC["settings"][run])


@cache
def reference(case: str) -> dict[str, Any]:
    """Return the numbers of semTools for all runs of a case."""
    return json.loads((HERE / f"{case}.json").read_text(encoding="utf-8"))


def number(value: Any) -> float:
    """Return a number; null, NA and the texts of infinities as R writes them."""
    if value is None or value == "NA":
        return math.nan
    return float({"Inf": math.inf, "-Inf": -math.inf}.get(value, value) if isinstance(value, str) else value)


Finding = tuple[str, str, float, float, float]  # kind, name, ours, theirs, relative difference


def gap(ours: float, theirs: float, size: float) -> float:
    """Return |ours - theirs| / size, infinite where only one of them exists."""
    if (math.isnan(ours) and math.isnan(theirs)) or ours == theirs:
        return 0.0
    return math.inf if math.isnan(ours) or math.isnan(theirs) else abs(ours - theirs) / max(size, 1e-300)


def failures(fit: Any, numbers: Mapping[str, Any]) -> list[str]:
    """Return what differs by more than allowed, one line each."""
    return [
        f"{name}: {ours!r}, reference {theirs!r} (relative {far:.1e}, allowed {ALLOWED[kind]:.0e})"
        for kind, name, ours, theirs, far in differences(fit, numbers)
        if not far <= ALLOWED[kind]
    ]


def differences(fit: Any, numbers: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield every number of both sides with its relative difference; a row on one side only is infinitely far."""
    yield from _parameters(fit, numbers["parameters"])
    yield from _standardized(fit, numbers["standardized"])
    yield from _measures(fit.measures, numbers["measures"], fit)


def _keyed(rows: Any) -> dict[tuple[str, str, str], Mapping[str, Any]]:
    return {row_key(row): row for row in rows if row["op"] not in ("==", "<", ">")}


def _rows(ours: Any, theirs: Any, what: str) -> Iterator[tuple[str, Any, Any] | Finding]:
    mine, other = _keyed(ours), _keyed(theirs)
    for key in mine.keys() ^ other.keys():
        yield ("rows", f"{what} {' '.join(key)}", math.nan, math.nan, math.inf)
    for key in mine.keys() & other.keys():
        yield (" ".join(key), mine[key], other[key])


def _parameters(fit: Any, theirs: Any) -> Iterator[Finding]:
    table = fit.parameters.merge(
        fit.pooling.drop(columns=["group", "label", "est", "se"]), on=["lhs", "op", "rhs"], how="left"
    )
    for item in _rows(table.to_dict("records"), theirs, "parameters"):
        if len(item) == 5:
            yield item
            continue
        name, row, ref = item
        est, se = number(ref["est"]), number(ref["se"])
        free = row["se"] > 0
        size = max(abs(est), se if se > 0 else 0.0)
        yield ("estimate", f"{name} est", row["est"], est, gap(row["est"], est, size))
        if not free:
            # semTools has no test of fixed rows either
            yield ("error", f"{name} se", row["se"], se, 0.0 if math.isnan(se) or se == 0 else math.inf)
            continue
        yield ("error", f"{name} se", row["se"], se, gap(row["se"], se, se))
        t = number(ref["t"])
        yield ("statistic", f"{name} z", row["z"], t, gap(row["z"], t, max(abs(t), 1.0)))
        p = number(ref["pvalue"])
        yield ("pvalue", f"{name} pvalue", row["pvalue"], p, gap(row["pvalue"], p, p * max(1.0, t * t) + 1e-9))
        for column in ("ci_lower", "ci_upper"):
            value = number(ref[column])
            yield ("interval", f"{name} {column}", row[column], value, gap(row[column], value, max(abs(value), se)))
        for column in ("df", "fmi", "riv"):
            value = number(ref[column])
            mine = row[column]
            if column == "df":  # semTools counts more than 9999 as infinite, which is null in the file
                mine, value = (math.inf if math.isnan(v) or v > 9999 else v for v in (mine, value))
            yield ("between", f"{name} {column}", mine, value, gap(mine, value, abs(value)))


def _standardized(fit: Any, theirs: Any) -> Iterator[Finding]:
    for item in _rows(fit.standardized().to_dict("records"), theirs, "standardized"):
        if len(item) == 5:
            yield item
            continue
        name, row, ref = item
        est, se = number(ref["est_std"]), number(ref["se"])
        yield ("estimate", f"{name} est_std", row["est_std"], est, gap(row["est_std"], est, max(abs(est), se, 1e-2)))
        # a standard error that is zero by construction is rounding on the other side
        yield ("error", f"{name} se_std", row["se"], se, gap(row["se"], se, max(se, 1e-3)))


NOT_OURS = ("fmi", "ariv", "chisq_shift_parameters", "baseline_chisq_shift_parameters")
#: What semTools computes otherwise on purpose or by mistake: compared by rules of their own below.
OTHERWISE = ("tli_robust", "nnfi_robust")
TRACED = ("rmsea_ci_lower_scaled", "rmsea_ci_upper_scaled")
#: Bounds that semTools takes from uniroot with its default tolerance.
LOOSE = ("rmsea_ci_lower_scaled", "rmsea_ci_upper_scaled", "rmsea_ci_lower_robust", "rmsea_ci_upper_robust")


def _measures(ours: Mapping[str, float], theirs: Mapping[str, Any], fit: Any) -> Iterator[Finding]:
    for name, value in theirs.items():
        if name in NOT_OURS or name in OTHERWISE:
            continue
        ref = number(value)
        if name not in ours:
            yield ("rows", f"measure {name}", math.nan, ref, math.inf)
            continue
        mine = ours[name]
        if name in TRACED and fit.model.options["test"] != "scaled.shifted":
            # semTools divides by df where lavaan divides by the trace
            mine *= math.sqrt(ours["chisq_scaling_factor"] * ours["df_scaled"] / ours["df"])
        kind = "measure"
        size = abs(ref)
        if name in LOOSE and ref == 0.0:
            continue  # semTools sets the upper bound to 0 where there is no lower one
        if name in ("rfi_scaled", "nfi_scaled") and ours["df_scaled"] > ours["baseline_df_scaled"]:
            continue  # not defined, as in lavaan; semTools has a number
        if name == "pnfi_scaled" and fit.model.options["test"] == "mean.var.adjusted":
            continue  # the ratio of adjusted degrees of freedom, as in lavaan; semTools takes that of the others
        if name in COUNTS:
            kind = "count"
        elif "pvalue" in name:
            kind, size = "pvalue", size * max(1.0, ours["chisq"]) + 1e-11
        elif name in LOOSE:
            kind, size = "loose", 1.0
        elif "scal" in name or "robust" in name:
            kind, size = "scaled", size + 1e-3
        else:
            size += 1e-3
        yield (kind, f"measure {name}", mine, ref, gap(mine, ref, size))
