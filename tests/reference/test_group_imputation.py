"""Several groups fitted to imputed data, against semTools by name, on the same imputed data sets."""

from __future__ import annotations

import copy
import json
import math
from functools import cache
from typing import Any

import pytest
from compare import row_key
from group_extra_case import HERE
from imputation_case import ALLOWED, NOT_OURS, gap, imputed, number
from imputation_case import _measures as measure_differences
from reference_case import data_frame, sha256

import b2b_sem as bs

SPEC = json.loads((HERE / "imputation.json").read_text(encoding="utf-8"))
CASES = {case["id"]: case for case in SPEC["cases"]}
REFERENCE: dict[str, Any] = json.loads((HERE / "pooled.json").read_text(encoding="utf-8"))
#: semTools fits the baseline model of several groups by lavaan's optimiser, which stops up to 1e-8 from the minimum.
LOOSE_BASELINE = ("baseline_chisq", "baseline_pvalue", "cfi", "tli", "nnfi", "rfi", "nfi", "pnfi", "ifi", "rni")
EACH = pytest.mark.parametrize(
    ("case", "run"),
    [
        pytest.param(
            case["id"], run, id=f"{case['id']}-{run}", marks=[pytest.mark.shared_data] if "rule" in case["data"] else []
        )
        for case in CASES.values()
        for run in case["runs"]
    ],
)


@cache
def pooled(case: str, run: str, nested: bool = False) -> Any:
    """Fit a case to its imputed data sets."""
    spec = CASES[case]
    frames = list(imputed(spec["data"]))
    if case == "corprep":
        frames = [frame.assign(servicetype=data_frame("shared:corprep")["servicetype"]) for frame in frames]
    return bs.fit_imputed(
        "\n".join(spec["model"]),
        frames,
        group=spec["group"],
        group_equal=spec["nested" if nested else "equal"],
        **SPEC["settings"][run],
    )


def key(row: dict[str, Any]) -> tuple[Any, ...]:
    """Return the name of a row; definitions belong to no group."""
    return (*row_key(row), 0 if row["op"] == ":=" else int(row["group"]))


def failures(fit: Any, theirs: dict[str, Any]) -> list[str]:
    """Return what differs by more than allowed, one line each."""
    out = []

    def check(kind: str, name: object, ours: float, other: float, size: float) -> None:
        far = gap(ours, other, size)
        allowed = max(ALLOWED[kind], 1e-7) if str(name).removeprefix("measure ") in LOOSE_BASELINE else ALLOWED[kind]
        if not far <= allowed:
            out.append(f"{name}: {ours!r}, reference {other!r} (relative {far:.1e}, allowed {allowed:.0e})")

    table = fit.parameters.merge(
        fit.pooling.drop(columns=["label", "est", "se"]), on=["lhs", "op", "rhs", "group"], how="left"
    )
    mine = {key(row): row for row in table.to_dict("records")}
    other = {key(row): row for row in theirs["parameters"]}
    out += [f"{name}: only on one side" for name in mine.keys() ^ other.keys()]
    for name in mine.keys() & other.keys():
        row, ref = mine[name], other[name]
        est, se = number(ref["est"]), number(ref["se"])
        check("estimate", f"{name} est", row["est"], est, max(abs(est), se if se > 0 else 0.0))
        if not row["se"] > 0:
            assert math.isnan(se) or se == 0, name
            continue
        check("error", f"{name} se", row["se"], se, se)
        t, p = number(ref["t"]), number(ref["pvalue"])
        check("statistic", f"{name} z", row["z"], t, max(abs(t), 1.0))
        check("pvalue", f"{name} pvalue", row["pvalue"], p, p * max(1.0, t * t) + 1e-9)
        for column in ("ci_lower", "ci_upper"):
            check("interval", f"{name} {column}", row[column], number(ref[column]), max(abs(number(ref[column])), se))
        for column in ("df", "fmi", "riv"):
            ours, value = row[column], number(ref[column])
            if column == "df":  # semTools counts more than 9999 as infinite
                ours, value = (math.inf if math.isnan(v) or v > 9999 else v for v in (ours, value))
            check("between", f"{name} {column}", ours, value, abs(value))
    mine = {key(row): row for row in fit.standardized().to_dict("records")}
    other = {key(row): row for row in theirs["standardized"]}
    out += [f"standardized {name}: only on one side" for name in mine.keys() ^ other.keys()]
    for name in mine.keys() & other.keys():
        est, se = number(other[name]["est_std"]), number(other[name]["se"])
        check("estimate", f"{name} est_std", mine[name]["est_std"], est, max(abs(est), se, 1e-2))
        check("error", f"{name} se_std", mine[name]["se"], se, max(se, 1e-3))
    for kind, name, ours, value, _ in measure_differences(fit.measures, theirs["measures"], fit):
        check(kind, name, ours, value, abs(value) + 1e-3)
    return out


def test_the_numbers_belong_to_script_and_cases():
    assert REFERENCE["script"] == sha256(HERE / "imputation.R")
    assert REFERENCE["cases"] == sha256(HERE / "imputation.json")
    assert {f"{case}-{run}" for case, spec in CASES.items() for run in spec["runs"]} <= set(REFERENCE)
    assert NOT_OURS


@EACH
def test_estimates_errors_and_measures(case, run):
    theirs = REFERENCE[f"{case}-{run}"]
    fit = pooled(case, run)
    assert list(fit.groups) == [str(g) for g in theirs["groups"]]
    assert failures(fit, theirs) == []


@EACH
def test_chi_square_and_wald_tests(case, run):
    theirs = REFERENCE[f"{case}-{run}"]
    fit, nested = pooled(case, run), pooled(case, run, True)
    checked = []
    for name, found in theirs["tests"].items():
        which, method = name.split("_")
        if method == "D3" and run == "gls":
            continue
        ours = fit.pooled_test(method=method) if which == "model" else nested.pooled_test(fit, method)
        robust = "_scaled" if "F_scaled" in found or "chisq_scaled" in found else ""
        if f"F{robust}" in found:
            f, df2 = number(found[f"F{robust}"]), number(found[f"df2{robust}"])
        else:
            f, df2 = number(found[f"chisq{robust}"]) / number(found[f"df{robust}"]), math.inf
        # robust differences: semTools fits the models again, where lavaan's optimiser stops
        rtol = 2e-4 if which == "nested" and method == "D2" and robust else 1e-8
        assert ours.f == pytest.approx(f, rel=rtol), name
        assert ours.df2 == pytest.approx(math.inf if math.isnan(df2) else df2, rel=rtol), name
        assert ours.pvalue == pytest.approx(number(found[f"pvalue{robust}"]), rel=max(rtol, 1e-6), abs=1e-12), name
        checked.append(name)
    assert {"model_D2", "nested_D2"} <= set(checked)
    wald, ours = theirs["wald"], fit.wald_test(CASES[case]["wald"])
    assert (ours.df1, ours.riv) == (wald["df1"], pytest.approx(wald["ariv"], rel=1e-8))
    # semTools takes the average increase over all parameters, D1 that over the tested ones
    assert ours.f * (1 + ours.riv) == pytest.approx(wald["F"] * (1 + wald["ariv_all"]), rel=1e-8)


@pytest.mark.parametrize(("where", "name"), [("parameters", "se"), ("standardized", "est_std"), ("measures", "chisq")])
def test_a_wrong_number_is_found(where, name):
    wrong = copy.deepcopy(REFERENCE["hs_sex-ml"])
    row = wrong[where] if where == "measures" else next(r for r in wrong[where] if r["op"] == "~" and r["group"] == 2)
    row[name] *= 1 + 1e-6
    assert failures(pooled("hs_sex", "ml"), wrong)
