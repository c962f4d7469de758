"""Moderation by scores, split and raw products, against R: lm with sandwich, and lavaan."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reference_case import data_frame

import b2b_sem as bs
from b2b_sem.measures.regression import Regression, regress, standardized_product
from b2b_sem.results.moderation import ModerationResult

HERE = Path(__file__).resolve().parent / "moderation_route"
CASES: dict[str, dict[str, Any]] = {
    c["id"]: c for c in json.loads((HERE / "cases.json").read_text(encoding="utf-8"))["cases"]
}
#: Least squares is exact, and the solutions of the split are polished; paths stop where lavaan's optimiser does.
RTOL = {"scores": 1e-10, "split": 2e-8, "observed": 1e-7}
FLOOR = 1e-11
#: The sandwich of lavaan is computed at its own stop.
RTOL_DEFINED = 1e-6
IDS = [
    pytest.param(i, id=i, marks=[pytest.mark.shared_data] if c["data"].startswith("shared:") else [])
    for i, c in CASES.items()
]


@cache
def ours(case_id: str) -> ModerationResult:
    case = CASES[case_id]
    model, data = "\n".join(case["model"]), data_frame(case["data"])
    return bs.moderation(model, data, routes=("scores", "split", "observed"), **case.get("arguments", {}))


def reference(case_id: str) -> dict[str, Any]:
    return json.loads((HERE / f"{case_id}.json").read_text(encoding="utf-8"))


def differences(found: ModerationResult, theirs: dict[str, Any]) -> list[str]:
    """Compare by name all that the reference has."""
    wanted = {"scores": theirs["scores"], "split": theirs["split"]}
    wanted["observed"] = {k: theirs["observed"]["raw"][k] for k in ("est", "se")}
    out = []
    for route, numbers in wanted.items():
        row = found.route(route)
        assert row.ok, row.reason
        for name, value in numbers.items():
            mine = getattr(row, name, None)
            if value is None or mine is None or not math.isfinite(mine):
                out.append(f"{route} {name}: one side is missing")
            elif not abs(mine - value) <= RTOL[route] * abs(value) + FLOOR:
                out.append(f"{route} {name}: {mine!r}, reference {value!r}")
    return out


@pytest.mark.parametrize("case_id", IDS)
def test_close(case_id: str) -> None:
    assert not differences(ours(case_id), reference(case_id))


@pytest.mark.parametrize("case_id", IDS)
def test_the_warning_shows_what_depends_on_zero(case_id: str) -> None:
    theirs = reference(case_id)["observed"]
    notes = " ".join(ours(case_id).route("observed").notes)
    shown = [float(v) for v in re.findall(r"-?\d+\.\d+", notes)]
    states = [theirs[k] for k in ("raw", "centred", "moved")]
    expected = [s[k] for k in ("main", "naive") for s in states]
    errors = [s["se"] for s in states]
    chisq = [s["chisq"] for s in states]
    changes = states[0]["df"] > 0 and not np.allclose(chisq, chisq[0], rtol=1e-4)
    # only where a factor of the product is itself predicted
    assert changes is (case_id in ("democracy", "influencer"))
    if changes:
        assert not np.allclose(errors, errors[0], rtol=1e-3)
        expected = chisq + errors + expected
        assert f"(df = {states[0]['df']})" in notes
    assert len(shown) == len(expected)
    for mine, value in zip(shown, expected, strict=True):
        assert abs(mine - value) < (0.051 if value in chisq else 0.00051 if value in errors else 0.0051)
    # the coefficient itself is free of the zero point
    assert states[1]["est"] == pytest.approx(states[0]["est"], rel=1e-6)


@pytest.mark.parametrize("case_id", IDS)
def test_standard_error_of_the_standardized_effect(case_id: str) -> None:
    case, theirs = CASES[case_id], reference(case_id)["defined"]
    data = data_frame(case["data"])
    means = {name: data[items].to_numpy(float).mean(axis=1) for name, items in case["scales"].items()}
    complete = np.isfinite(np.array(list(means.values()))).all(axis=0)
    used = {name: values[complete] for name, values in means.items()}
    a, m = (used[case[k]] - used[case[k]].mean() for k in ("focal", "moderator"))
    n = int(complete.sum())
    x = np.column_stack([np.ones(n), a, m, *(used[name] for name in case["others"]), a * m])
    y = used[case["outcome"]]
    found = regress(y, x)
    std, se = standardized_product(found, x.shape[1] - 1, y, a, m)
    row = ours(case_id).route("scores")
    assert (row.std, row.std_se) == pytest.approx((std, se), rel=1e-9)
    # lavaan divides by n, and its sandwich has no leverage correction
    divisor = math.sqrt((n - 1) / n)
    assert std * divisor == pytest.approx(theirs["std"], rel=RTOL_DEFINED, abs=1e-9)
    leverage = np.einsum("ij,ji->i", x, np.linalg.pinv(x))
    plain = Regression(found.coef, found.vcov, found.df, found.r2, found.influence * (1 - leverage)[:, None])
    plain_se = standardized_product(plain, x.shape[1] - 1, y, a, m)[1]
    assert plain_se * divisor == pytest.approx(theirs["se"], rel=2 / n)
    assert plain_se < se < 1.5 * plain_se


def test_a_wrong_number_is_found() -> None:
    theirs = reference("hs")
    for route, name in (("scores", "se"), ("scores", "pvalue"), ("split", "est"), ("split", "std")):
        wrong = copy.deepcopy(theirs)
        wrong[route][name] *= 1 + 1e-6
        assert len(differences(ours("hs"), wrong)) == 1
    wrong = copy.deepcopy(theirs)
    wrong["scores"]["absent"] = 1.0
    assert len(differences(ours("hs"), wrong)) == 1


def test_reference_solutions_are_polished() -> None:
    assert all(reference(case_id)["gradient"] < 1e-7 for case_id in CASES)


def test_files_are_those_of_the_script() -> None:
    manifest = json.loads((HERE / "manifest.json").read_text(encoding="utf-8"))
    assert set(manifest["sha256"]) >= {f"{i}.json" for i in CASES}
    for name, digest in manifest["sha256"].items():
        assert hashlib.sha256((HERE / name).read_bytes()).hexdigest() == digest, name
