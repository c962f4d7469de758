"""Ladders of ordinal items against lavaan and semTools: fit, differences, score tests, latent means, dMACS, by name."""

from __future__ import annotations

import copy
import hashlib
import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from reference_case import data_frame

import b2b_sem as bs
from b2b_sem.analysis.comparability import latent_means
from b2b_sem.analysis.ordinal_ladder import OrdinalPlan
from b2b_sem.measures.equivalence import Criteria
from b2b_sem.results.invariance import InvarianceResult
from b2b_sem.spec.measurement import measurement_model
from b2b_sem.spec.syntax import parse_model

HERE = Path(__file__).resolve().parent / "invariance_ordinal"
SPEC = json.loads((HERE / "cases.json").read_text(encoding="utf-8"))
CASES: dict[str, dict[str, Any]] = {c["id"]: c for c in SPEC["cases"]}
#: Both sides are polished; the largest differences measured are 3e-7 (estimates; 1e-8 absolute), 1e-7 and 3e-6.
RTOL = {"estimate": 4e-6, "se": 2e-6, "statistic": 2e-5}
#: Of numbers that may be zero.
FLOOR = 1e-7
IDS = [
    pytest.param(i, s, id=f"{i}-{s}", marks=[pytest.mark.shared_data] if c["data"].startswith("shared:") else [])
    for i, c in CASES.items()
    for s in c["settings"]
]
#: All steps hold, whatever they cost.
GENEROUS = Criteria("all pass", "none", cfi=1.0, least_cfi=0.0, most_srmr=1.0)


@cache
def data_of(case_id: str) -> pd.DataFrame:
    """Return the data of a case, with groups and categories made by the rules of generate.R."""
    case = CASES[case_id]
    frame = data_frame(case["data"]).copy()
    if "rule" in case:
        frame[case["group"]] = np.array(list("abcdef"))[np.arange(1, len(frame) + 1) * 7 % case["rule"]]
    for names, cuts in (
        (case["ordered"] if case["cuts"] else [], case["cuts"]),
        (case.get("collapse", []), [2.5, 3.5, 5.5]),
    ):
        for name in names:
            answers = frame[name].to_numpy(float)
            frame[name] = np.where(np.isnan(answers), np.nan, np.searchsorted(cuts, answers, side="right") + 1)
    return frame


@cache
def ladder(case_id: str, setting: str) -> InvarianceResult:
    """The whole ladder without releases: all steps are compared with the one before."""
    case = CASES[case_id]
    return bs.invariance(
        "\n".join(case["model"]),
        data_of(case_id),
        case["group"],
        ordered=case["ordered"],
        partial=False,
        criteria=GENEROUS,
        **SPEC["settings"][setting],
    )


@cache
def reference(case_id: str) -> dict[str, Any]:
    return json.loads((HERE / f"{case_id}.json").read_text(encoding="utf-8"))


def close(what: str, ours: float, theirs: float | None, kind: str = "statistic") -> list[str]:
    """Return one line if two numbers differ, or only one of them is there."""
    if theirs is None:
        return [] if math.isnan(ours) else [f"{what}: {ours}, reference missing"]
    if abs(ours - theirs) <= max(RTOL[kind] * abs(theirs), FLOOR):
        return []
    return [f"{what}: {ours!r}, reference {theirs!r}"]


def tables_differ(
    what: str, ours: list[dict[str, Any]], theirs: list[dict[str, Any]], keys: tuple[str, ...], kinds: dict[str, str]
) -> list[str]:
    """Compare two tables by name; a row that one side lacks is a difference."""
    left = {tuple(str(r[k]) for k in keys): r for r in ours}
    right = {tuple(str(r[k]) for k in keys): r for r in theirs}
    out = [f"{what} {key}: only on one side" for key in left.keys() ^ right.keys()]
    for key in left.keys() & right.keys():
        for name, kind in kinds.items():
            out += close(f"{what} {key} {name}", left[key][name], right[key][name], kind)
    return out


def rows_of(columns: dict[str, Any]) -> list[dict[str, Any]]:
    size = {len(v) for v in columns.values()}
    assert len(size) == 1
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def plan_of(case_id: str, setting: str) -> OrdinalPlan:
    """The plan of a finished ladder."""
    case, options = CASES[case_id], SPEC["settings"][setting]
    plan = OrdinalPlan(
        measurement_model(parse_model("\n".join(case["model"]))),
        data_of(case_id),
        case["group"],
        options["estimator"],
        options.get("missing", "listwise"),
        options.get("parameterization", "delta"),
        case["ordered"],
    )
    plan.fit("configural", ())
    return plan


@cache
def released_fits(case_id: str, setting: str) -> dict[str, Any]:
    """The fits of a case with released equalities, and their differences."""
    plan, exempt, out = plan_of(case_id, setting), [], {}
    last = None
    for step in plan.steps:
        names = CASES[case_id]["partial"].get(step, [])
        apart = dict.fromkeys(n.split("|")[0] for n in names if "|" in n)
        exempt += [f"{item}|t1-t{plan.levels[item]}" for item in apart] + [n for n in names if "|" not in n]
        found = plan.fit(step, exempt)
        out[step] = (found, None if last is None else plan.difference(last, found))
        last = found
    return out


def fit_of(case_id: str, setting: str, step: str) -> Any:
    """The fit of a step."""
    if "partial" in CASES[case_id]:
        return released_fits(case_id, setting)[step][0]
    return ladder(case_id, setting).fit(step)


def compare(case_id: str, setting: str, theirs: dict[str, Any]) -> list[str]:
    """Return what differs, one line each."""
    plan, out = plan_of(case_id, setting), []
    partial = "partial" in CASES[case_id]
    if partial:
        fits = released_fits(case_id, setting)
    else:
        found = ladder(case_id, setting)
        out += [] if dict(found.groups) == theirs["groups"] else [f"groups {dict(found.groups)}"]
        out += [] if list(theirs["steps"]) == found.steps["step"].tolist() else ["steps"]
        changes = found.steps.rename(columns={f"{n}_diff": f"_{n}" for n in ("chisq", "df", "pvalue")})
        fits = {row["step"]: (found.fit(row["step"]), row) for row in changes.to_dict("records")}
    for step, ref in theirs["steps"].items():
        fit, change = fits[step]
        assert ref["gradient"] < 1e-12
        assert fit.optimizer.gradient < 1e-10
        for name, value in ref["measures"].items():
            out += close(f"{step} {name}", fit.measures[name], value)
        wanted = ref.get("difference", {"chisq": None, "df": None, "pvalue": None})
        for name in ("chisq", "df", "pvalue"):
            ours = getattr(change, name, math.nan) if partial else change[f"_{name}"]
            out += close(f"{step} difference {name}", ours, wanted[name])
        if step != "configural":
            tests = [vars(t) for t in plan.tests(step, fit)]
            kinds = dict.fromkeys(("chisq", "df", "pvalue"), "statistic")
            out += tables_differ(f"{step} score", tests, ref.get("score", []), ("parameter",), kinds)
        if "free" in ref:
            table = fit.parameters
            ours = table[(table["free"] > 0)].to_dict("records")
            kinds = {"est": "estimate", "se": "se"}
            out += tables_differ(step, ours, rows_of(ref["free"]), ("lhs", "op", "rhs", "group"), kinds)
    means = latent_means(fits["scalar"][0], plan.measured)
    if not partial:
        out += [] if means == ladder(case_id, setting).means.to_dict("records") else ["means"]
    kinds = dict.fromkeys(("est", "d"), "estimate")
    kinds |= dict.fromkeys(("se", "z", "pvalue", "ci_lower", "ci_upper"), "statistic")
    out += tables_differ("mean", means, theirs["steps"]["scalar"]["means"], ("latent", "group"), kinds)
    return out


@pytest.mark.parametrize(("case", "setting"), IDS)
def test_all_numbers(case: str, setting: str) -> None:
    problems = compare(case, setting, reference(case)[setting])
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(("case", "setting"), IDS)
def test_uncorrected_score_tests_are_those_of_lavaan(case: str, setting: str) -> None:
    """``score_test`` gives lavTestScore, which takes the weight for the inverse of Gamma."""
    fit = fit_of(case, setting, "metric")
    ref = reference(case)[setting]["steps"]["metric"]
    if "every" not in ref:
        with pytest.raises(bs.ModelError, match="no equality constraint"):
            fit.score_test()
        return
    found = fit.score_test()
    assert found.chisq == pytest.approx(ref["every"]["chisq"], rel=RTOL["statistic"], abs=FLOOR)
    # lavaan counts all constraints, also those that free intercepts and scales make up for
    steps = reference(case)[setting]["steps"]
    assert found.df == ref["measures"]["df"] - steps["configural"]["measures"]["df"] <= ref["every"]["df"]
    ours = [
        {"pair": " ".join(sorted((r.lhs, r.rhs))), "chisq": r.chisq} for r in found.univariate.itertuples(index=False)
    ]
    theirs = [{"pair": " ".join(sorted((r["lhs"], r["rhs"]))), "chisq": r["chisq"]} for r in ref["every"]["single"]]
    assert tables_differ("constraint", ours, theirs, ("pair",), {"chisq": "statistic"}) == []
    # all constraints of one item or parameter, released together
    plan = plan_of(case, setting)
    for row in ref.get("score", []):
        same = fit.parameters[lambda t, p=row["parameter"]: t["lhs"] + t["op"] + t["rhs"] == p]
        labels = set(same["label"])
        assert len(labels) == 1
        together = fit.score_test(release=list(labels))
        assert together.chisq == pytest.approx(row["plain"], rel=RTOL["statistic"])
        assert together.df == row["plain_df"] == len(plan.groups) - 1


@pytest.mark.parametrize(("case", "setting"), IDS)
def test_modification_indices_are_those_of_lavaan(case: str, setting: str) -> None:
    if "indices" not in reference(case)[setting]["steps"]["metric"]:
        pytest.skip("no parameter is equal in this model")
    ours = _by_name(fit_of(case, setting, "metric").modification_indices().to_dict("records"))
    theirs, same = _indices(case, setting), _indices(case, "delta")
    assert theirs
    out = []
    theta = SPEC["settings"][setting]["parameterization"] == "theta"
    if not theta:
        out += [f"{key}: only on one side" for key in theirs.keys() - ours.keys()]
        out += [f"{key}: only here" for key in ours.keys() - theirs.keys() if ours[key]["mi"] > 1e-4]
        for key in theirs.keys() & ours.keys():
            for name in ("mi", "epc", "sepc_all"):
                if theirs[key][name] is not None:
                    out += close(f"{key} {name}", ours[key][name], theirs[key][name])
        assert out == []
        return
    # the model is that of delta, and so are the indices; those of lavaan are off by up to 1 percent; scales are none
    shared = [k for k in same.keys() & theirs.keys() if "~*~" not in k and same[k]["mi"] > 1e-3]
    assert len(shared) > 5
    for key in shared:
        out += close(f"{key} mi", ours[key]["mi"], same[key]["mi"])
        assert ours[key]["mi"] == pytest.approx(theirs[key]["mi"], rel=0.02, abs=1e-4)
        assert ours[key]["epc"] == pytest.approx(theirs[key]["epc"], rel=0.02, abs=1e-3)
    assert out == []


def _by_name(rows: list[dict[str, Any]]) -> dict[tuple[str, ...], dict[str, Any]]:
    return {tuple(str(r[k]) for k in ("lhs", "op", "rhs", "group")): r for r in rows}


def _indices(case: str, setting: str) -> dict[tuple[str, ...], dict[str, Any]]:
    return _by_name(rows_of(reference(case)[setting]["steps"]["metric"]["indices"]))


@pytest.mark.parametrize(("case", "setting"), IDS)
def test_size_of_drift(case: str, setting: str) -> None:
    if "partial" in CASES[case]:
        pytest.skip("the configural model is that of the case without releases")
    kinds = {"dmacs": "statistic", "signed": "statistic"}
    ours = ladder(case, setting).effects.to_dict("records")
    keys = ("latent", "item", "group", "referent")
    assert tables_differ("drift", ours, reference(case)[setting]["effects"], keys, kinds) == []


@pytest.mark.parametrize(
    ("step", "where", "name"),
    [
        ("thresholds", "measures", "chisq_scaled"),
        ("metric", "measures", "srmr"),
        ("scalar", "difference", "chisq"),
        ("scalar", "difference", "df"),
        ("strict", "measures", "cfi_scaled"),
        ("metric", "score", "chisq"),
        ("scalar", "means", "est"),
        ("scalar", "free", "se"),
    ],
)
def test_a_wrong_number_is_found(step: str, where: str, name: str) -> None:
    right = reference("mixed")["theta"]
    assert compare("mixed", "theta", right) == []
    wrong = copy.deepcopy(right)
    place = wrong["steps"][step][where]
    if where == "free":
        place[name][3] *= 1 + 5 * RTOL["se"]
    else:
        (place[0] if isinstance(place, list) else place)[name] *= 1 + 5 * RTOL["statistic"]
    assert len(compare("mixed", "theta", wrong)) == 1


def test_a_missing_row_is_found() -> None:
    wrong = copy.deepcopy(reference("mixed")["theta"])
    del wrong["steps"]["metric"]["score"][0]
    for column in wrong["steps"]["scalar"]["free"].values():
        del column[0]
    assert len(compare("mixed", "theta", wrong)) == 2


def test_the_numbers_are_those_of_the_cases_and_the_script() -> None:
    manifest = json.loads((HERE / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["versions"]["lavaan"], manifest["versions"]["semTools"]) == ("0.6.14", "0.5.6")
    assert set(manifest["sha256"]) >= {f"{i}.json" for i in CASES}
    for name, digest in manifest["sha256"].items():
        assert hashlib.sha256((HERE / name).read_bytes()).hexdigest() == digest, name
