"""Ladders over waves against lavaan and semTools: estimates, fit, differences, score tests, latent means, dMACS."""

from __future__ import annotations

import copy
import hashlib
import json
import math
from functools import cache, partial
from pathlib import Path
from typing import Any

import ladder_case
import numpy as np
import pytest
from reference_case import data_frame

import b2b_sem as bs
from b2b_sem.analysis.wave import WavePlan, wave_data
from b2b_sem.results.invariance import InvarianceResult
from b2b_sem.spec.syntax import parse_model

HERE = Path(__file__).resolve().parent / "wave"
CASES: dict[str, dict[str, Any]] = {
    c["id"]: c for c in json.loads((HERE / "cases.json").read_text(encoding="utf-8"))["cases"]
}
FITS: dict[str, dict[str, Any]] = {
    c["id"]: c for c in json.loads((HERE / "cases.json").read_text(encoding="utf-8"))["fits"]
}
#: Reference solutions are polished.
RTOL = 2e-8
#: Where only the stop of lavaan's own optimiser has a number.
LOOSE = 1e-6
#: lavaan compares information from products of scores with observed information: docs/developer/lavaan-differences.md.
MLF_FIML = ("cfi_robust", "rmsea_robust")
IDS = [
    pytest.param(i, id=i, marks=[pytest.mark.shared_data] if c["data"].startswith("shared:") else [])
    for i, c in CASES.items()
]
PLAIN = [p for p in IDS if "partial" not in CASES[str(p.values[0])]]
close = partial(ladder_case.close, rtol=RTOL)
rows_differ = partial(ladder_case.rows_differ, rtol=RTOL)


def reference(case_id: str) -> dict[str, Any]:
    return json.loads((HERE / f"{case_id}.json").read_text(encoding="utf-8"))


@cache
def ladder(case_id: str) -> InvarianceResult:
    """The whole ladder without releases: every step is compared with the one before."""
    case = CASES[case_id]
    return bs.invariance(
        "\n".join(case["model"]),
        data_frame(case["data"]),
        waves=case["waves"],
        correlated=case.get("correlated", True),
        partial=False,
        criteria=ladder_case.all_pass(),
        **case["options"],
    )


def plan_of(case_id: str) -> WavePlan:
    """What the ladder of a case climbs."""
    case = CASES[case_id]
    correlated = case.get("correlated", True)
    options = {"estimator": "ML", "missing": "listwise", **case["options"]}
    model, data, title = wave_data(
        parse_model("\n".join(case["model"])), data_frame(case["data"]), case["waves"], None, None, correlated
    )
    return WavePlan(model.measured, data, title, options["estimator"], options["missing"], model)


def table_differs(step: str, found: Any, expected: list[dict[str, Any]]) -> list[str]:
    """Compare every parameter of a model; an estimate is known to its standard error only."""
    ours = {f"{r['lhs']}{r['op']}{r['rhs']}": r for r in found.parameters.to_dict("records")}
    theirs = {r["name"]: r for r in expected}
    out = [f"{step} {name}: only on one side" for name in ours.keys() ^ theirs.keys()]
    for name in ours.keys() & theirs.keys():
        se = theirs[name]["se"] or 0.0
        out += close(f"{step} {name} est", ours[name]["est"], theirs[name]["est"], scale=se)
        fixed = theirs[name]["se"] == 0.0
        own = ours[name]["se"]
        out += close(f"{step} {name} se", 0.0 if fixed and math.isnan(own) else own, theirs[name]["se"])
    return out


def measures_differ(step: str, found: Any, entry: dict[str, Any], mlf_fiml: bool = False) -> list[str]:
    out = []
    for name, value in entry["measures"].items():
        own = found.measures.get(name, math.nan)
        if mlf_fiml and name in MLF_FIML:
            out += [] if math.isnan(own) else [f"{step} {name}: a number"]
            continue
        out += ladder_case.close(f"{step} {name}", own, value, LOOSE if name in entry.get("loose", ()) else RTOL)
    return out


def steps_differ(result: InvarianceResult, expected: dict[str, Any]) -> list[str]:
    ours = {row["step"]: row for row in result.steps.to_dict("records")}
    if list(ours) != list(expected["steps"]):
        return [f"steps: {list(ours)}"]
    out = []
    for step, entry in expected["steps"].items():
        out += measures_differ(step, result.fit(step), entry, (result.estimator, result.missing) == ("MLF", "fiml"))
        if "table" in entry:
            out += table_differs(step, result.fit(step), entry["table"])
        for name, value in entry.get("difference", {}).items():
            key = {"chisq": "chisq_diff", "df": "df_diff", "pvalue": "pvalue_diff"}[name]
            out += close(f"{step} {key}", ours[step][key], value)
    return out


@pytest.mark.parametrize("case", PLAIN)
def test_each_step(case: str) -> None:
    assert steps_differ(ladder(case), reference(case)) == []


@pytest.mark.parametrize("case", PLAIN)
def test_latent_means_under_scalar_invariance(case: str) -> None:
    ours = ladder(case).means.to_dict("records")
    assert rows_differ("mean", ours, reference(case)["steps"]["scalar"]["means"], ("latent", "group")) == []


@pytest.mark.parametrize("case", PLAIN)
def test_size_of_drift(case: str) -> None:
    ours = ladder(case).effects.to_dict("records")
    assert rows_differ("drift", ours, reference(case)["effects"], ("latent", "item", "group", "referent")) == []


@pytest.mark.parametrize("case", PLAIN)
@pytest.mark.parametrize("step", ["metric", "scalar", "strict"])
def test_score_tests_of_equality(case: str, step: str) -> None:
    theirs = reference(case)["steps"][step]["score"]
    ours = [
        {"parameter": t.parameter, "chisq": t.chisq, "df": t.df, "pvalue": t.pvalue}
        for t in plan_of(case).tests(step, ladder(case).fit(step))
    ]
    # the only item of a latent variable: lavaan's pseudo-inverse makes 0 of what no data can tell
    untestable = {"G=~y1", "y1~1"} if case == "panel_single" else set()
    for row in ours:
        if row["parameter"] in untestable:
            assert math.isnan(row["chisq"])
            assert next(r for r in theirs if r["parameter"] == row["parameter"])["chisq"] < 1e-12
    ours, theirs = ([r for r in rows if r["parameter"] not in untestable] for rows in (ours, theirs))
    assert rows_differ("score test", ours, theirs, ("parameter",)) == []


def test_partial_invariance_is_what_lavaan_fits() -> None:
    """The loading and the intercepts that drift in these data are released, and nothing else."""
    case = CASES["panel_partial"]
    text, data = "\n".join(case["model"]), data_frame(case["data"])
    result = bs.invariance(text, data, waves=case["waves"], criteria="chisq", **case["options"])
    assert result.holds == "strict"
    assert result.releases["parameter"].tolist() == case["partial"]["strict"]
    expected = reference("panel_partial")
    for step in ("metric", "scalar", "strict"):
        entry = expected["steps"][step]
        for name, value in entry["measures"].items():
            assert close(name, result.fit(step).measures[name], value) == []
    assert table_differs("scalar", result.fit("scalar"), expected["steps"]["scalar"]["table"]) == []
    steps = result.steps.drop_duplicates("step", keep="last").set_index("step")
    for step, row in (("metric", "metric (partial)"), ("scalar", "scalar (partial)"), ("strict", "strict")):
        want = expected["steps"][step]["difference"]
        assert close(step, steps.loc[row, "chisq_diff"], want["chisq"]) == []
        assert steps.loc[row, "df_diff"] == want["df"]
    means = result.means.to_dict("records")
    assert rows_differ("mean", means, expected["steps"]["scalar"]["means"], ("latent", "group")) == []
    # the round that released the loading tested all of them by lavaan's score tests
    first = result.tests[(result.tests["step"] == "metric") & (result.tests["round"] == 1)]
    want = reference("panel_fiml")["steps"]["metric"]["score"]
    assert rows_differ("score test", first.to_dict("records"), want, ("parameter",)) == []


@pytest.mark.parametrize("case", [i for i, c in CASES.items() if c.get("semtools")])
def test_semtools_writes_the_same_models(case: str) -> None:
    for step, numbers in reference(case)["semtools"].items():
        measures = ladder(case).fit(step).measures
        for name, value in numbers.items():
            assert close(f"{step} {name}", measures[name], value) == []


@pytest.mark.parametrize("case", list(FITS))
def test_paths_from_wave_to_wave(case: str) -> None:
    """With equal labels, as a user writes them."""
    spec, expected = FITS[case], reference(case)
    found = bs.fit("\n".join(spec["model"]), data_frame(spec["data"]), meanstructure=True, **spec["options"])
    assert table_differs(case, found, expected["table"]) == []
    assert measures_differ(case, found, expected) == []


def test_a_wrong_number_is_found() -> None:
    result, expected = ladder("pd"), reference("pd")
    assert steps_differ(result, expected) == []
    for step, part, name in (("metric", "measures", "chisq"), ("strict", "difference", "chisq")):
        wrong = copy.deepcopy(expected)
        wrong["steps"][step][part][name] *= 1 + 3 * RTOL
        assert len(steps_differ(result, wrong)) == 1
    for name in ("est", "se"):
        wrong = copy.deepcopy(expected)
        row = wrong["steps"]["scalar"]["table"][0]
        row[name] += 3 * RTOL * max(row["est"], row["se"])
        assert len(steps_differ(result, wrong)) == 1
    wrong = copy.deepcopy(expected)
    wrong["steps"]["scalar"]["table"].pop()
    assert len(steps_differ(result, wrong)) == 1
    means = expected["steps"]["scalar"]["means"]
    assert rows_differ(
        "mean", result.means.to_dict("records"), [{**means[0], "se": means[0]["se"] * 1.0001}], ("latent",)
    )


def test_the_reference_solutions_are_minima() -> None:
    gradients = [s["gradient"] for i in CASES for s in reference(i)["steps"].values()]
    gradients += [reference(i)["gradient"] for i in FITS]
    assert max(gradients) < 1e-10
    assert np.isfinite(gradients).all()


def test_the_numbers_are_those_of_the_cases_and_the_script() -> None:
    manifest = json.loads((HERE / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["versions"]["lavaan"] == "0.6.14"
    assert set(manifest["sha256"]) >= {f"{i}.json" for i in (*CASES, *FITS)} | {"../data/panel.csv"}
    for name, digest in manifest["sha256"].items():
        assert hashlib.sha256((HERE / name).read_bytes()).hexdigest() == digest, name
