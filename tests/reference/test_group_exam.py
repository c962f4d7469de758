"""Several groups against lavaan in combinations of options that group/ does not have, every number by name."""

from __future__ import annotations

import copy
import json
import math
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import group_case as gc
import pytest
from compare import difference
from reference_case import data_path, sha256

import b2b_sem as bs

HERE = Path(__file__).resolve().parent / "group_exam"
CASES = {case["id"]: case for case in json.loads((HERE / "cases.json").read_text(encoding="utf-8"))["cases"]}
REFERENCE = json.loads((HERE / "reference.json").read_text(encoding="utf-8"))
#: Relative differences that are allowed: of estimates and tests, of standard errors, of standardized standard errors
#: (whose derivatives lavaan takes by differences). Ten times the largest measured.
ESTIMATE, ERROR, STANDARDIZED = 1e-7, 1e-6, 1e-5


def parameters(wanted: str | None = None) -> list[Any]:
    """Return pytest parameters, one a case and setting; only those that have numbers of this name."""
    return [
        pytest.param(
            case,
            setting,
            id=f"{case}-{setting}",
            marks=[pytest.mark.shared_data] if spec["data"].startswith("shared:") else [],
        )
        for case, spec in CASES.items()
        for setting in spec["settings"]
        if wanted is None or REFERENCE["cases"][case][setting].get(wanted)
    ]


@cache
def fit(case: str, setting: str) -> Any:
    """Return the fit of a case, from rows or from the moments of each group."""
    spec = CASES[case]
    options = {"kind": spec.get("function", "sem")} | spec["options"] | spec["settings"][setting]
    frame = gc.data_of(spec)
    if "moments" in spec:
        used = frame[[name for name in frame if str(name).startswith("x")] + [spec["group"]]]
        parts = {label: part.drop(columns=spec["group"]) for label, part in used.groupby(spec["group"], sort=False)}
        options["sample_cov"] = [part.cov() for part in parts.values()]
        options["sample_mean"] = [part.mean() for part in parts.values()]
        options["nobs"] = [len(part) for part in parts.values()]
    else:
        options |= {"data": frame, "group": spec["group"]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bs.B2BSemWarning)
        return bs.fit("\n".join(spec["model"]), **options)


def compare(fitted: Any, ref: dict[str, Any]) -> list[str]:
    """Return what differs, one line each."""
    out = [] if list(fitted.groups) == ref["groups"] else [f"groups: {fitted.groups}, reference {ref['groups']}"]
    for label, mine, theirs in zip(ref["groups"], fitted.group_tests["chisq"], ref["chisq_group"], strict=True):
        out += difference(f"chisq {label}", mine, theirs, ESTIMATE * abs(theirs) + gc.FLOOR)
    out += gc._measures(dict(fitted.measures), ref["measures"], 1.0)
    raw, std = fitted.parameters, fitted.standardized()
    ours = {gc.key(a): (a, b) for a, b in zip(raw.to_dict("records"), std.to_dict("records"), strict=True)}
    theirs = {gc.key(row): row for row in ref["rows"]}
    out += [f"{key}: only on one side" for key in ours.keys() ^ theirs.keys()]
    for key in ours.keys() & theirs.keys():
        (plain, standard), row = ours[key], theirs[key]
        se = row["se"] or 0.0
        stretch = abs(row["std_lv"] / row["est"]) if row["est"] else 0.0
        for name, mine, spread, allowed in (
            ("est", plain["est"], se, ESTIMATE),
            ("se", plain["se"], 0.0, ERROR),
            ("std_lv", plain["std_lv"], max(se * stretch, 1e-3), ESTIMATE),
            ("est_std", standard["est_std"], max(row["se_std"] or 0.0, 1e-3), ESTIMATE),
            ("se_std", standard["se"], 0.0, STANDARDIZED),
        ):
            size = 0.0 if row[name] is None else abs(row[name])
            out += difference(f"{key} {name}", mine, row[name], allowed * max(size, spread) + 1e-11)
    for label in ref["groups"]:
        found = ref["r2"].get(label) or {}
        out += [f"r2 {label} {name}: only on one side" for name in set(found) ^ set(fitted.r2[label])]
        for name in set(found) & set(fitted.r2[label]):
            value = found[name]
            out += difference(f"r2 {label} {name}", fitted.r2[label][name], value, ESTIMATE * max(value or 0.0, 0.01))
    return out


def test_the_numbers_belong_to_scripts_cases_and_data():
    manifest = REFERENCE["manifest"]
    assert manifest["script"] == sha256(HERE / "generate.R")
    assert manifest["functions"] == sha256(HERE.parent / "group" / "generate.R")
    assert manifest["cases"] == sha256(HERE / "cases.json")
    assert set(manifest["data"]) == set(CASES) == set(REFERENCE["cases"])
    for case, digest in manifest["data"].items():
        if not CASES[case]["data"].startswith("shared:"):
            assert sha256(data_path(CASES[case]["data"])) == digest, case


@pytest.mark.parametrize(("case", "setting"), parameters())
def test_all_numbers(case, setting):
    fitted = fit(case, setting)
    assert fitted.converged
    problems = compare(fitted, REFERENCE["cases"][case][setting])
    # products of scores are no test of normality: see the differences from lavaan
    problems = [p for p in problems if setting != "MLF" or "_robust" not in p]
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(
    ("name", "factor"), [("est", 1 + 1e-5), ("se", 1 + 1e-5), ("se_std", 1 + 1e-4), ("est_std", 1 + 1e-5)]
)
def test_a_wrong_number_is_found(name, factor):
    wrong = copy.deepcopy(REFERENCE["cases"]["anchored"]["ML"])
    row = next(r for r in wrong["rows"] if r["op"] == "~~" and r["group"] == 2 and r["se"])
    row[name] *= factor
    assert len(compare(fit("anchored", "ML"), wrong)) == 1


def test_a_missing_row_or_measure_is_found():
    wrong = copy.deepcopy(REFERENCE["cases"]["anchored"]["ML"])
    del wrong["rows"][5], wrong["measures"]["rmsea"]
    assert len(compare(fit("anchored", "ML"), wrong)) == 2


@pytest.mark.parametrize(("case", "setting"), parameters("modindices"))
def test_largest_modification_indices(case, setting):
    found = REFERENCE["cases"][case][setting]["modindices"]
    ours = {gc.key(row): row for row in fit(case, setting).modification_indices().to_dict("records")}
    covariates = set(fit(case, setting)._context.problem.table.exogenous)
    wanted = [row for row in found if row["lhs"] not in covariates]
    assert len(wanted) >= 6
    for row in wanted:
        for column in ("mi", "epc"):
            assert ours[gc.key(row)][column] == pytest.approx(row[column], rel=1e-6), (gc.key(row), column)


def test_indirect_effects_of_a_group_are_those_of_definitions():
    model = """
    visual =~ x1 + x2 + x3
    textual =~ x4 + x5 + x6
    speed =~ x7 + x8 + x9
    textual ~ c(a1, a2)*visual
    speed ~ c(b1, b2)*textual + c(c1, c2)*visual
    first := a1*b1
    second := a2*b2
    total := c2 + a2*b2
    """
    fitted = bs.fit(model, gc.data_frame("semopy:holzinger"), group="school", group_equal=["loadings"], estimator="MLR")
    defined = fitted.parameters.set_index("lhs")
    standard = fitted.standardized().set_index("lhs")
    for name, kind, group in (("first", "indirect", 0), ("second", "indirect", 1), ("total", "total", 1)):
        table = fitted.indirect_effects(group=fitted.groups[group]).table
        row = table[(table["kind"] == kind) & (table["outcome"] == "speed") & (table["predictor"] == "visual")].iloc[0]
        for mine, theirs in (("est", defined.loc[name, "est"]), ("se", defined.loc[name, "se"])):
            assert row[mine] == pytest.approx(theirs, rel=1e-8), (name, mine)
        assert row["est_std"] == pytest.approx(standard.loc[name, "est_std"], rel=1e-8), name
        assert row["se_std"] == pytest.approx(standard.loc[name, "se"], rel=1e-6), name
        assert math.isfinite(row["ci_lower"])
