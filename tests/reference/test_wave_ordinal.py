"""Ladders of ordinal items over waves against lavaan and semTools."""

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
import pandas as pd
import pytest
from reference_case import data_frame

import b2b_sem as bs
from b2b_sem.analysis.comparability import mean_rows
from b2b_sem.analysis.ordinal_wave import OrdinalWavePlan
from b2b_sem.analysis.wave import wave_data
from b2b_sem.results.invariance import InvarianceResult
from b2b_sem.spec.syntax import parse_model

HERE = Path(__file__).resolve().parent / "wave_ordinal"
SPEC = json.loads((HERE / "cases.json").read_text(encoding="utf-8"))
CASES: dict[str, dict[str, Any]] = {c["id"]: c for c in SPEC["cases"]}
#: Both sides are polished; polychoric correlations of lavaan are not: they agree to about 1e-6.
ESTIMATE, STATISTIC, ZERO = 2e-5, 1e-4, 2e-6
IDS = [
    pytest.param(i, s, id=f"{i}-{s}", marks=[pytest.mark.shared_data] if c["data"].startswith("shared:") else [])
    for i, c in CASES.items()
    for s in c["settings"]
]
close = partial(ladder_case.close, floor=ZERO)
rows_differ = partial(ladder_case.rows_differ, floor=ZERO)


@cache
def data_of(case_id: str) -> pd.DataFrame:
    """Return the data of a case, with the categories of generate.R."""
    case = CASES[case_id]
    frame = data_frame(case["data"]).copy()
    model, _, _ = wave_data(parse_model("\n".join(case["model"])), frame, case["waves"], None, None, True)
    for name in [column for item in case["ordered"] for column in model.items[item]]:
        answers = frame[name].to_numpy(float)
        frame[name] = np.where(np.isnan(answers), np.nan, np.searchsorted(case["cuts"], answers, side="right") + 1)
    return frame


def plan_of(case_id: str, setting: str) -> OrdinalWavePlan:
    """Return a plan that has fitted its first step."""
    case = CASES[case_id]
    options = {"missing": "listwise", **SPEC["settings"][setting]}
    model, data, title = wave_data(
        parse_model("\n".join(case["model"])), data_of(case_id), case["waves"], None, None, case.get("correlated", True)
    )
    plan = OrdinalWavePlan(
        model.measured,
        data,
        title,
        options["estimator"],
        options["missing"],
        options["parameterization"],
        case["ordered"],
        model=model,
    )
    plan.fit("configural", ())
    return plan


@cache
def ladder(case_id: str, setting: str) -> InvarianceResult:
    """The whole ladder without releases: all steps are compared with the one before."""
    case = CASES[case_id]
    return bs.invariance(
        "\n".join(case["model"]),
        data_of(case_id),
        waves=case["waves"],
        correlated=case.get("correlated", True),
        ordered=case["ordered"],
        partial=False,
        criteria=ladder_case.all_pass(),
        **SPEC["settings"][setting],
    )


@cache
def fits_of(case_id: str, setting: str) -> dict[str, tuple[Any, Any]]:
    """Return the fit of each step, and its difference from the one before."""
    released = CASES[case_id].get("partial")
    if released is None:
        found = ladder(case_id, setting)
        rows = found.steps.set_index("step")[["chisq_diff", "df_diff", "pvalue_diff"]]
        return {step: (found.fit(step), tuple(row)) for step, row in zip(rows.index, rows.to_numpy(), strict=True)}
    plan = plan_of(case_id, setting)
    out: dict[str, tuple[Any, Any]] = {}
    exempt: list[str] = []
    last = None
    for step in plan.steps:
        exempt += released.get(step, [])
        found = plan.fit(step, exempt)
        test = None if last is None else plan.difference(last, found)
        out[step] = (found, (math.nan,) * 3 if test is None else (test.chisq, test.df, test.pvalue))
        last = found
    return out


@cache
def reference(case_id: str) -> dict[str, Any]:
    return json.loads((HERE / f"{case_id}.json").read_text(encoding="utf-8"))


def rows_of(columns: dict[str, Any]) -> list[dict[str, Any]]:
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def compare(case_id: str, setting: str, theirs: dict[str, Any]) -> list[str]:
    """Return what differs, one line each."""
    plan, fits = plan_of(case_id, setting), fits_of(case_id, setting)
    if list(fits) != list(theirs["steps"]):
        return [f"steps: {list(fits)}"]
    out = []
    for step, ref in theirs["steps"].items():
        fit, change = fits[step]
        assert ref["gradient"] < 1e-12
        for name, value in ref["measures"].items():
            out += close(f"{step} {name}", fit.measures[name], value, STATISTIC)
        wanted = ref.get("difference", {"chisq": None, "df": None, "pvalue": None})
        for name, own in zip(("chisq", "df", "pvalue"), change, strict=True):
            out += close(f"{step} difference {name}", own, wanted[name], STATISTIC)
        if step != "configural":
            tests = [vars(t) for t in plan.tests(step, fit)]
            out += rows_differ(f"{step} score", tests, ref.get("score", []), ("parameter",), STATISTIC)
        if "free" in ref:
            table = fit.parameters
            ours = table[table["free"] > 0].to_dict("records")
            out += rows_differ(step, ours, rows_of(ref["free"]), ("lhs", "op", "rhs"), ESTIMATE)
    scalar = fits["scalar"][0]
    means = mean_rows(plan.estimates(scalar), plan.sizes(scalar), plan.measured)
    return out + rows_differ("mean", means, theirs["steps"]["scalar"]["means"], ("latent", "group"), STATISTIC)


@pytest.mark.parametrize(("case", "setting"), IDS)
def test_all_numbers(case: str, setting: str) -> None:
    problems = compare(case, setting, reference(case)[setting])
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(("case", "setting"), [p for p in IDS if "partial" not in CASES[str(p.values[0])]])
def test_size_of_drift_and_latent_means_of_the_result(case: str, setting: str) -> None:
    found, theirs = ladder(case, setting), reference(case)[setting]
    keys = ("latent", "item", "group", "referent")
    assert rows_differ("drift", found.effects.to_dict("records"), theirs["effects"], keys, STATISTIC) == []
    means = found.means.to_dict("records")
    assert rows_differ("mean", means, theirs["steps"]["scalar"]["means"], ("latent", "group"), STATISTIC) == []


@pytest.mark.parametrize(
    ("step", "where", "name"),
    [
        ("thresholds", "measures", "chisq_scaled"),
        ("metric", "difference", "chisq"),
        ("strict", "measures", "cfi_scaled"),
        ("metric", "score", "chisq"),
        ("scalar", "means", "est"),
        ("scalar", "free", "se"),
    ],
)
def test_a_wrong_number_is_found(step: str, where: str, name: str) -> None:
    right = reference("four")["theta"]
    assert compare("four", "theta", right) == []
    wrong = copy.deepcopy(right)
    place = wrong["steps"][step][where]
    if where == "free":
        place[name][3] *= 1 + 5 * ESTIMATE
    else:
        (place[0] if isinstance(place, list) else place)[name] *= 1 + 5 * STATISTIC
    assert len(compare("four", "theta", wrong)) == 1


def test_the_numbers_are_those_of_the_cases_and_the_script() -> None:
    manifest = json.loads((HERE / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["versions"]["lavaan"], manifest["versions"]["semTools"]) == ("0.6.14", "0.5.6")
    assert set(manifest["sha256"]) >= {f"{i}.json" for i in CASES}
    for name, digest in manifest["sha256"].items():
        assert hashlib.sha256((HERE / name).read_bytes()).hexdigest() == digest, name
