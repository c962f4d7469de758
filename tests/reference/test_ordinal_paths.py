"""Paths of ordinal items compared across groups, against lavTestWald and lavTestLRT of lavaan."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from reference_case import data_frame

import b2b_sem as bs

HERE = Path(__file__).resolve().parent / "invariance_ordinal"
REFERENCE = json.loads((HERE / "paths.json").read_text(encoding="utf-8"))
RUNS: dict[str, dict[str, Any]] = REFERENCE["runs"]
SAT = "\n".join(f"{f} =~ " + " + ".join(f"{f}{k}" for k in range(1, 5)) for f in ("sat", "loy", "val"))
CASES: dict[str, tuple[str, str, str]] = {
    "delta": (f"{SAT}\nloy ~ sat + val\nsat ~ val", "gender", "delta"),
    "theta": (f"{SAT}\nloy ~ sat + val\nsat ~ val", "gender", "theta"),
    "binary": ("f =~ b1 + b2 + b3 + b4\ng =~ c1 + c2 + c3 + c4\ng ~ f", "part", "delta"),
}
IDS = [pytest.param(n, marks=[] if n == "binary" else [pytest.mark.shared_data]) for n in CASES]
#: The largest difference measured is 3e-7.
RTOL = 3e-6


@cache
def compared(name: str) -> Any:
    text, group, parameterization = CASES[name]
    frame = data_frame("local:answers" if name == "binary" else "shared:satisfaction_gender").copy()
    if name == "binary":
        frame["part"] = np.array(list("ab"))[np.arange(1, len(frame) + 1) * 7 % 2]
    else:
        for column in frame.columns.drop("gender"):
            frame[column] = np.searchsorted([6.5, 7.5, 8.5], frame[column].to_numpy(float), side="right") + 1
    return bs.compare_groups(text, frame, group, ordered=True, parameterization=parameterization, std_lv=True)


@pytest.mark.parametrize("name", IDS)
def test_tests_of_equal_paths(name: str) -> None:
    found, ref = compared(name), RUNS[name]
    assert list(found.groups) == ref["groups"]
    rows = [(found.omnibus, ref["omnibus"])]
    tests = {r["path"]: r for r in found.tests.to_dict("records")}
    assert set(tests) == set(ref["single"])
    rows += [(tests[path], own) for path, own in ref["single"].items()]
    for ours, theirs in rows:
        assert ours["wald"] == pytest.approx(theirs["wald"]["wald"], rel=RTOL, abs=1e-7)
        assert ours["wald_pvalue"] == pytest.approx(theirs["wald"]["pvalue"], rel=RTOL)
        assert ours["df"] == theirs["wald"]["df"] == theirs["lrt"]["df"] == ours["df_diff"]
        assert ours["chisq_diff"] == pytest.approx(theirs["lrt"]["chisq"], rel=RTOL, abs=1e-7)
        assert ours["pvalue_diff"] == pytest.approx(theirs["lrt"]["pvalue"], rel=RTOL)


@pytest.mark.parametrize("name", IDS)
def test_estimates_in_each_group(name: str) -> None:
    found, ref = compared(name), RUNS[name]
    assert found.fit.measures["df"] == ref["df"]
    assert found.fit.measures["chisq"] == pytest.approx(ref["chisq"], rel=RTOL)
    table = found.estimates.set_index(["path", "group"])
    assert len(table) == len(ref["estimates"])
    for row in ref["estimates"]:
        own = table.loc[(f"{row['lhs']}~{row['rhs']}", ref["groups"][row["group"] - 1])]
        assert own["est"] == pytest.approx(row["est"], rel=RTOL)
        assert own["se"] == pytest.approx(row["se"], rel=RTOL)


def test_the_numbers_are_those_of_the_scripts() -> None:
    for key, name in (("script", "paths.R"), ("generate", "generate.R")):
        assert hashlib.sha256((HERE / name).read_bytes()).hexdigest() == REFERENCE["sha256"][key]


def sample(n: int = 400, slope: float = 0.9) -> pd.DataFrame:
    rng = np.random.default_rng(4)
    frames = []
    for g in range(2):
        f = rng.normal(size=n)
        h = (slope if g else 0.3) * f + rng.normal(size=n) * 0.7
        columns = {f"x{k}": np.searchsorted([-0.8, 0.0, 0.9], 0.9 * f + rng.normal(size=n) * 0.6) for k in (1, 2, 3)}
        columns |= {f"y{k}": np.searchsorted([-0.8, 0.0, 0.9], 0.9 * h + rng.normal(size=n) * 0.6) for k in (1, 2, 3)}
        frames.append(pd.DataFrame(columns).assign(sector="ab"[g]))
    return pd.concat(frames, ignore_index=True)


MODEL = "F =~ x1 + x2 + x3\nH =~ y1 + y2 + y3\nH ~ F"


def test_a_difference_is_seen_whatever_gives_the_unit() -> None:
    data = sample()
    one = bs.compare_groups(MODEL, data, "sector", ordered=True)
    two = bs.compare_groups(MODEL, data, "sector", ordered=True, std_lv=True, parameterization="theta")
    assert one.omnibus["pvalue_diff"] < 0.001
    assert one.omnibus["chisq_diff"] == pytest.approx(two.omnibus["chisq_diff"], rel=1e-6)
    assert one.loadings["df"] == two.loadings["df"] == 4
    assert one.estimator == "WLSMV"


def test_released_items() -> None:
    data = sample()
    found = bs.compare_groups(MODEL, data, "sector", ordered=True, partial=["F=~x2", "y3|t1-t3"], std_lv=True)
    table = found.fit.parameters
    name = table["lhs"] + table["op"] + table["rhs"]
    for free in ("F=~x2", "H=~y3", "y3|t1"):
        assert table[name == free]["est"].nunique() == 2
    for same in ("F=~x1", "x2|t1"):
        assert table[name == same]["est"].nunique() == 1
    for first in ("F=~x1", "x1|t1-t3"):
        with pytest.raises(bs.DataError, match="releases F=~x1, fixed at one value") as caught:
            bs.compare_groups(MODEL, data, "sector", ordered=True, partial=[first])
        assert "std_lv=True" in str(caught.value.hint)
    for unknown in ("x1|t2", "F=~x9"):
        with pytest.raises(bs.ModelSyntaxError, match="names no parameter that can be released"):
            bs.compare_groups(MODEL, data, "sector", ordered=True, partial=[unknown])


@pytest.mark.parametrize(
    ("model", "options", "error", "message"),
    [
        (MODEL, {"equal": ("loadings", "intercepts")}, bs.Unsupported, "not available with ordinal items"),
        (MODEL, {"estimator": "MLR"}, bs.Unsupported, "estimator='MLR'"),
        (MODEL, {"missing": "fiml"}, bs.Unsupported, "missing='fiml'"),
        ("F =~ x1 + x2 + x3\ny1 ~ F", {}, bs.Unsupported, "y1 is ordinal and measures no latent"),
        (f"{MODEL}\nx1 | t1", {}, bs.Unsupported, "thresholds or scales"),
        (MODEL, {"ordered": None, "estimator": "WLSMV"}, bs.Unsupported, "estimator='WLSMV'"),
    ],
)
def test_refused(model: str, options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        bs.compare_groups(model, sample(100), "sector", **{"ordered": True, **options})
    assert caught.value.hint  # type: ignore[attr-defined]
