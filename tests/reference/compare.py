"""Compare a fit with reference numbers, by name, and say every difference.

The allowed difference is relative, ``rtol * |reference|``, with a floor where a relative difference has no meaning.
Every floor is a statement about rounding or about the uncertainty of the number itself, and stands beside its rule.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent

#: Columns of the two tables, and which of them the rules below treat alike.
PARAMETER_NUMBERS = ("est", "se", "z", "pvalue", "ci_lower", "ci_upper", "std_lv", "std_all")
STANDARDIZED_NUMBERS = ("est_std", "se", "z", "pvalue", "ci_lower", "ci_upper")

COUNTS = ("npar", "df", "baseline_df", "ntotal")
CHI_SQUARES = ("chisq", "baseline_chisq", "fmin")
TAILS = {"pvalue": "chisq", "baseline_pvalue": "baseline_chisq", "rmsea_pvalue": "chisq"}
LIKELIHOODS = ("logl", "unrestricted_logl", "aic", "bic", "bic2")
#: lavaan's own bounds come from a root search that stops early; the reference files also hold them solved tightly.
NOT_COMPARED = ("rmsea_ci_lower_lavaan", "rmsea_ci_upper_lavaan")
#: Constraints are no parameters: lavaan leaves them out of its tables, so they are left out on both sides.
CONSTRAINTS = ("==", "<", ">")


@dataclass(frozen=True)
class Tolerance:
    """Allowed differences.

    Attributes
    ----------
    rtol : float
        Of everything that depends on the estimates. The reference solutions have a scaled gradient below 1e-14; the
        largest difference measured over all cases is 1e-8, and the tolerance is ten times that.
    likelihood_rtol : float
        Of log-likelihoods and information criteria. They are flat at the solution and large (-3700), where a relative
        difference says little: they are held to rounding.
    floor : float
        Absolute, for unit-free measures that are zero in a saturated model.
    tail : float
        Absolute, for p-values: lavaan computes 1 - pnorm(|z|), which has the rounding of 1.
    """

    rtol: float = 1e-7
    likelihood_rtol: float = 1e-12
    floor: float = 1e-9
    tail: float = 1e-15


DEFAULT = Tolerance()


def load_reference(case: str) -> dict[str, Any]:
    """Return the lavaan numbers of a case."""
    return json.loads((HERE / "lavaan" / f"{case}.json").read_text(encoding="utf-8"))


def as_reference(fit: Any) -> dict[str, Any]:
    """Return a fit in the layout of a reference file, so that two fits can be compared by the same rules."""

    def matrix(frame: Any) -> dict[str, Any]:
        return {"names": [str(n) for n in frame.index], "values": frame.to_numpy().tolist()}

    def moments(parts: Mapping[str, Any]) -> dict[str, Any]:
        return {name: matrix(part) for name, part in parts.items()}

    return {
        "admissible": fit.admissible,
        "nobs": fit.nobs,
        "measures": dict(fit.measures),
        "parameters": fit.parameters.to_dict("records"),
        "standardized": fit.standardized().to_dict("records"),
        "r2": dict(fit.r2),
        "implied": moments(fit.implied()),
        "sample": moments(fit.sample()),
    }


def compare(fit: Any, reference: Mapping[str, Any], tolerance: Tolerance = DEFAULT) -> list[str]:
    """Return what differs between a fit and a reference, one line each; an empty list means agreement.

    Parameters
    ----------
    fit : FitResult, or a mapping in the layout of a reference file
    reference : mapping
        As returned by :func:`load_reference` or :func:`as_reference`.
    tolerance : Tolerance
    """
    ours = fit if isinstance(fit, Mapping) else as_reference(fit)
    out: list[str] = []
    for name in ("admissible", "nobs"):
        if ours[name] != reference[name]:
            out.append(f"{name}: {ours[name]}, reference {reference[name]}")
    unit = _scales(reference)
    out += _compare_table("parameters", ours, reference, unit, tolerance)
    out += _compare_table("standardized", ours, reference, unit, tolerance)
    out += _compare_measures(ours["measures"], reference["measures"], unit, tolerance)
    out += _compare_r2(ours["r2"], reference["r2"], tolerance)
    # sample moments involve no estimate: rounding only
    out += _compare_moments("sample", ours, reference, unit, 1e-12)
    out += _compare_moments("implied", ours, reference, unit, tolerance.rtol)
    return out


def difference(name: str, ours: Any, reference: Any, allowed: float) -> list[str]:
    """Return one line if two numbers differ by more than `allowed` or only one of them is missing."""
    a, b = _number(ours), _number(reference)
    if math.isnan(a) and math.isnan(b):
        return []
    if math.isnan(a) or math.isnan(b):
        return [f"{name}: {_show(a)}, reference {_show(b)}"]
    if a == b or abs(a - b) <= allowed:
        return []
    relative = abs(a - b) / abs(b) if b else math.inf
    return [f"{name}: {a:.10g}, reference {b:.10g} (relative {relative:.1e}, allowed {allowed:.1e} absolute)"]


def row_key(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return the name of a row: (lhs, op, rhs), with the two sides of ``~~`` in alphabetical order.

    The right-hand side of ``:=`` is text that may be spaced differently, so the left-hand side alone names the row.
    """
    lhs, op, rhs = str(row["lhs"]), str(row["op"]), str(row["rhs"])
    if op == "~~" and rhs < lhs:
        lhs, rhs = rhs, lhs
    if op == ":=":
        rhs = ""
    return lhs, op, rhs


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _show(value: float) -> str:
    return "missing" if math.isnan(value) else f"{value:.10g}"


def _keyed(rows: Iterable[Mapping[str, Any]], table: str, side: str) -> tuple[dict[Any, Mapping[str, Any]], list[str]]:
    out: dict[Any, Mapping[str, Any]] = {}
    problems = []
    for row in rows:
        if row["op"] in CONSTRAINTS:
            continue
        key = row_key(row)
        if key in out:
            problems.append(f"{table} {' '.join(key)}: twice in the {side}")
        out[key] = row
    return out, problems


def _scales(reference: Mapping[str, Any]) -> dict[str, float]:
    """Return the standard deviation of each observed variable: the unit of its moments."""
    cov = reference["sample"]["cov"]
    return {n: math.sqrt(v) for n, v in zip(cov["names"], np.diag(np.asarray(cov["values"])), strict=True)}


def _compare_table(
    table: str, ours: Mapping[str, Any], reference: Mapping[str, Any], unit: Mapping[str, float], tolerance: Tolerance
) -> list[str]:
    mine, out = _keyed(ours[table], table, "fit")
    theirs, more = _keyed(reference[table], table, "reference")
    out += more
    out += [f"{table} {' '.join(key)}: not in the fit" for key in theirs if key not in mine]
    out += [f"{table} {' '.join(key)}: not in the reference" for key in mine if key not in theirs]
    standardized = {row_key(row): row for row in reference["standardized"]}
    numbers = PARAMETER_NUMBERS if table == "parameters" else STANDARDIZED_NUMBERS
    for key, ref in theirs.items():
        row = mine.get(key)
        if row is None:
            continue
        name = f"{table} {' '.join(key)}"
        if str(row["label"]) != str(ref["label"]):
            out.append(f"{name} label: {row['label']!r}, reference {ref['label']!r}")
        if table == "parameters" and bool(row["free"]) != bool(ref["free"]):
            out.append(f"{name} free: {bool(row['free'])}, reference {bool(ref['free'])}")
        allowed = _allowed_in_row(key, ref, standardized.get(key), unit, tolerance)
        for column in numbers:
            out += difference(f"{name} {column}", row[column], ref[column], allowed[column])
    return out


def _allowed_in_row(
    key: tuple[str, str, str],
    ref: Mapping[str, Any],
    standardized: Mapping[str, Any] | None,
    unit: Mapping[str, float],
    tolerance: Tolerance,
) -> dict[str, float]:
    """Return the allowed difference of each number of a row.

    An estimate is known to its standard error only: one near zero is held to ``rtol`` standard errors, not to ``rtol``
    of itself. Numbers without a standard error (fixed parameters, moments of covariates) are held to ``rtol`` of
    themselves, with rounding (1e-12 of their unit) as the floor. A standard error has no floor at all. z inherits the
    floor of the estimate, one standard error. p = 2 Phi(-|z|) falls with slope at most (|z| + 1) p, and z moves by
    rtol |z|.
    """
    lhs, op, rhs = key
    se = abs(_number(ref["se"]))
    se = 0.0 if math.isnan(se) else se
    rounding = 0.0
    if op == "~~" and lhs in unit and rhs in unit:
        rounding = 1e-12 * unit[lhs] * unit[rhs]
    elif op == "~1" and lhs in unit:
        rounding = 1e-12 * unit[lhs]

    def near(column: str, spread: float) -> float:
        value = abs(_number(ref[column])) if column in ref else math.nan
        return tolerance.rtol * max(0.0 if math.isnan(value) else value, spread) + rounding

    z = abs(_number(ref["z"]))
    z = 0.0 if math.isnan(z) else z
    p = _number(ref["pvalue"])
    p = 0.0 if math.isnan(p) else p
    out = {
        "se": tolerance.rtol * se,
        "z": tolerance.rtol * max(z, 1.0),
        "pvalue": tolerance.rtol * max(1.0, z * (z + 1.0)) * p + tolerance.tail,
        "ci_lower": near("ci_lower", se),
        "ci_upper": near("ci_upper", se),
    }
    if "est" in ref:
        est = abs(_number(ref["est"]))
        stretch = abs(_number(ref["std_lv"])) / est if est else 0.0
        spread_std = _number(standardized["se"]) if standardized else 0.0
        out["est"] = near("est", se)
        out["std_lv"] = near("std_lv", 0.0 if math.isnan(stretch) else se * stretch)
        out["std_all"] = near("std_all", 0.0 if math.isnan(spread_std) else spread_std)
    else:
        out["est_std"] = near("est_std", se)
    return out


def _compare_measures(
    ours: Mapping[str, Any], reference: Mapping[str, Any], unit: Mapping[str, float], tolerance: Tolerance
) -> list[str]:
    skip = set(NOT_COMPARED)
    if reference["df"] == 0:
        # lavaan gives 1 or NA, depending on whether the chi-square is above the machine epsilon
        skip |= {"cn_05", "cn_01"}
    out = [f"measure {n}: not in the fit" for n in reference if n not in ours and n not in skip]
    out += [f"measure {n}: not in the reference" for n in ours if n not in reference and n not in skip]
    largest_variance = max(s * s for s in unit.values())
    for name, value in reference.items():
        if name in skip or name not in ours:
            continue
        ref = _number(value)
        size = 0.0 if math.isnan(ref) else abs(ref)
        if name in COUNTS:
            allowed = 0.0
        elif name in CHI_SQUARES:
            allowed = tolerance.rtol * size + tolerance.floor  # N F: rounding of a log determinant, times N
        elif name in TAILS:
            # the upper tail of chi-square falls with slope at most p / 2; R's non-central tail is good to 1e-12
            allowed = tolerance.rtol * max(1.0, _number(reference[TAILS[name]]) / 2) * size + tolerance.tail
            allowed += 1e-11 if name == "rmsea_pvalue" else 0.0
        elif name in LIKELIHOODS:
            allowed = tolerance.likelihood_rtol * size + tolerance.floor
        elif name == "rmr":
            allowed = tolerance.rtol * size + tolerance.floor * largest_variance
        else:
            allowed = tolerance.rtol * size + tolerance.floor
        out += difference(f"measure {name}", ours[name], value, allowed)
    return out


def _compare_r2(ours: Mapping[str, Any], reference: Mapping[str, Any], tolerance: Tolerance) -> list[str]:
    out = [f"r2 {n}: not in the fit" for n in reference if n not in ours]
    out += [f"r2 {n}: not in the reference" for n in ours if n not in reference]
    for name, value in reference.items():
        if name in ours:
            # one minus a ratio: a small share of explained variance is known to the precision of the large one
            allowed = tolerance.rtol * max(abs(_number(value)), 1e-2)
            out += difference(f"r2 {name}", ours[name], value, allowed)
    return out


def _compare_moments(
    which: str, ours: Mapping[str, Any], reference: Mapping[str, Any], unit: Mapping[str, float], rtol: float
) -> list[str]:
    out: list[str] = []
    mine, theirs = ours[which], reference[which]
    # without a mean structure lavaan still reports sample means; ours may leave them out
    parts = [p for p in ("cov", "mean") if theirs.get(p) is not None and not (which == "sample" and p == "mean")]
    for part in parts:
        if mine.get(part) is None:
            out.append(f"{which} {part}: not in the fit")
            continue
        a, b = mine[part], theirs[part]
        if set(a["names"]) != set(b["names"]):
            out.append(f"{which} {part}: variables {sorted(a['names'])}, reference {sorted(b['names'])}")
            continue
        order = [a["names"].index(n) for n in b["names"]]
        sd = np.array([unit[n] for n in b["names"]])
        x, y = np.asarray(a["values"], float), np.asarray(b["values"], float)
        if part == "cov":
            x, allowed = x[np.ix_(order, order)], rtol * np.outer(sd, sd)
        else:
            x, allowed = x[order], rtol * np.maximum(np.abs(y), sd)
        bad = ~(np.abs(x - y) <= allowed)  # written so that NaN counts as a difference
        for index in np.argwhere(bad):
            where = " ".join(b["names"][i] for i in index)
            k = tuple(index)
            name = f"{which} {part} {where}"
            out += difference(name, x[k], y[k], float(allowed[k])) or [f"{name}: missing on both sides"]
    return out
