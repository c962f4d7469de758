"""The ladder of ordinal items on data whose truth is known: what it releases, what it says, what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs
from b2b_sem.results.invariance import InvarianceResult

MODEL = "F =~ x1 + x2 + x3 + x4 + x5"
ITEMS = ["x1", "x2", "x3", "x4", "x5"]
STEPS = ("configural", "thresholds", "metric", "scalar", "strict")
CUTS = np.array([-1.0, -0.2, 0.5, 1.2])


def sample(
    seed: int = 1,
    n: int = 500,
    groups: int = 2,
    cuts: np.ndarray = CUTS,
    loading: str = "",
    intercept: str | dict[str, float] = "",
    thresholds: str = "",
    residual: str = "",
    mean: float = 0.4,
    spread: float = 0.3,
) -> pd.DataFrame:
    """Draw groups; in the last one the latent mean is `mean`, and each named item has one other parameter."""
    shift = intercept if isinstance(intercept, dict) else {intercept: 0.6}
    rng = np.random.default_rng(seed)
    frames = []
    for g in range(groups):
        last = g == groups - 1
        f = rng.normal(mean * last, 1.0, n)
        columns: dict[str, Any] = {}
        for k, item in enumerate(ITEMS):
            slope = 0.3 if last and item == loading else 0.8
            noise = 1.2 if last and item == residual else 0.6
            y = slope * f + shift.get(item, 0.0) * last + rng.normal(scale=noise, size=n)
            own = cuts + np.resize([0.0, 0.5, -0.1, 0.5], len(cuts)) if last and item == thresholds else cuts
            # thresholds that differ between items: without it, scales of binary items are not identified
            columns[item] = np.searchsorted(own + spread * (k - 2) * (len(cuts) == 1), y) + 1
        frames.append(pd.DataFrame(columns).assign(sector="abc"[g]))
    return pd.concat(frames, ignore_index=True)


def climb(data: pd.DataFrame, **options: Any) -> InvarianceResult:
    return bs.invariance(MODEL, data, "sector", **{"ordered": True, "criteria": "chisq", **options})


@pytest.mark.parametrize("parameterization", ["delta", "theta"])
def test_invariant_groups_climb_to_the_top(parameterization: str) -> None:
    result = climb(sample(), parameterization=parameterization, criteria="chen")
    assert result.steps["step"].tolist() == ["configural", "thresholds", "metric", "scalar", "strict"]
    assert (result.holds, result.stopped, result.estimator) == ("strict", "", "WLSMV")
    assert result.indices == "scaled"
    # 2 of 4 thresholds of 5 items; 4 loadings, 4 intercepts less what latent variables take; 5 residual variances
    assert result.steps["df_diff"].tolist()[1:] == [10.0, 4.0, 4.0, 5.0]
    mean = result.means.iloc[0]
    assert mean["est"] == pytest.approx(0.4, abs=3 * mean["se"])
    assert (result.effects["dmacs"] < 0.15).all()
    assert any("thresholds and intercepts are equal." in s for s in result.statements)
    assert any("theta parameterization" in n for n in result.notes) == (parameterization == "delta")


def test_both_parameterizations_are_one_ladder() -> None:
    data = sample(n=300)
    one, two = climb(data, criteria="chen"), climb(data, parameterization="theta", criteria="chen")
    for column in ("chisq", "df", "chisq_diff", "cfi", "srmr"):
        assert one.steps[column].to_numpy() == pytest.approx(two.steps[column].to_numpy(), rel=1e-6, nan_ok=True)
    assert one.means["est"][0] == pytest.approx(two.means["est"][0], rel=1e-6)


@pytest.mark.parametrize(
    ("change", "released", "step"),
    [
        ({"loading": "x2"}, ["F=~x2", "x2~1"], "metric"),
        ({"intercept": "x4"}, ["x4~1"], "scalar"),
        ({"residual": "x3"}, ["x3~~x3"], "strict"),
        ({"thresholds": "x5"}, ["x5|t1-t4", "F=~x5"], "thresholds"),
    ],
)
def test_what_differs_is_found(change: dict[str, str], released: list[str], step: str) -> None:
    result = climb(sample(**change))
    assert result.releases["parameter"].tolist() == released
    assert result.releases["step"].tolist()[0] == step
    assert result.holds == "strict"
    mean = result.means.iloc[0]
    assert mean["ci_lower"] < 0.4 < mean["ci_upper"]
    assert any("may not be compared: some items work differently" in s for s in result.statements)
    item = next(iter(change.values()))
    if step != "strict":
        assert result.effects.set_index("item")["dmacs"].idxmax() == item
    if step == "thresholds":
        assert result.releases["reason"].tolist()[1] == "the thresholds of x5 differ"
        assert result.releases["df"].tolist()[0] == 2  # two of four thresholds can always be made equal


def test_three_groups_are_released_together() -> None:
    result = climb(sample(groups=3, intercept="x1", n=300), steps=STEPS[:4])
    assert result.releases["parameter"].tolist() == ["x1~1"]
    assert set(result.tests["df"]) == {2}
    assert result.means["group"].tolist() == ["b", "c"]


def test_three_categories_have_no_step_of_thresholds() -> None:
    result = climb(sample(cuts=np.array([-0.6, 0.6])))
    row = result.steps.set_index("step").loc["thresholds"]
    assert np.isnan(row["chisq_diff"])
    assert row["holds"]
    assert "nothing to test" in row["reason"]
    assert row["df"] == result.steps["df"][0]
    assert result.holds == "strict"


def test_two_categories_are_tested_at_once() -> None:
    result = climb(sample(cuts=np.array([0.2]), n=800))
    steps = result.steps.set_index("step")
    assert steps.loc[["thresholds", "metric"], "chisq_diff"].isna().all()
    assert steps.loc["metric", "reason"].startswith("nothing to test")
    assert steps["df_diff"].tolist()[3:] == [3.0, 5.0]
    assert any("made equal together" in n for n in result.notes)
    bent = climb(sample(cuts=np.array([0.2]), n=800, intercept="x2"), steps=STEPS[:4])
    assert bent.releases["parameter"].tolist() == ["x2~1"]
    half = climb(sample(cuts=np.array([0.2]), n=800), steps=STEPS[:3])
    assert half.holds == "metric"
    assert any("may not be compared: loadings of items with two" in s for s in half.statements)
    assert not any("loadings are equal" in s for s in half.statements)


def test_scales_that_cannot_be_told_apart_are_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Items with the same threshold and loading leave the scales and the latent variance open."""
    from b2b_sem.analysis import ordinal

    usual = ordinal.resolve_ordinal
    monkeypatch.setattr(ordinal, "resolve_ordinal", lambda *a: replace(usual(*a), max_iterations=60))
    data = sample(cuts=np.array([0.2]), n=800, spread=0.0)
    result = bs.invariance("F =~ x1 + x2 + x3 + x4", data, "sector", ordered=True)
    assert result.stopped == "scalar"
    assert any("thresholds differ in units of their loadings" in n for n in result.notes)


def test_numeric_items_climb_along() -> None:
    data = sample(intercept="x2")
    rng = np.random.default_rng(5)
    data["x5"] = data["x5"] + rng.normal(size=len(data))
    result = climb(data, ordered=["x1", "x2", "x3", "x4"])
    assert result.releases["parameter"].tolist() == ["x2~1"]
    assert "x5" in result.effects["item"].tolist()
    assert result.fit("strict").parameters.query("lhs == 'x5' and op == '~1'")["est"].nunique() == 1


def test_each_step_is_nested_in_the_one_before() -> None:
    data = sample(n=300)
    result = climb(data, parameterization="theta", criteria="chen")
    names = ["configural", "thresholds", "metric", "scalar", "strict"]
    table = bs.compare(*(result.fit(s) for s in names), names=names).table
    assert table["chisq_diff"].to_numpy()[1:] == pytest.approx(result.steps["chisq_diff"].to_numpy()[1:], rel=1e-10)


def test_at_least_two_items_stay_equal() -> None:
    data = sample(intercept={"x1": 0.8, "x2": -0.6, "x3": 1.5, "x4": -1.1}, mean=0.0)
    result = climb(data, steps=STEPS[:4])
    equal = set(ITEMS) - {p.split("|")[0].split("=~")[-1].removesuffix("~1") for p in result.releases["parameter"]}
    assert len(equal) >= 2
    assert result.stopped
    assert any("fewer than 2 items" in n for n in result.notes)


def test_values_of_the_user_stay() -> None:
    data = sample(n=300)
    text = "F =~ x1 + x2 + x3 + 0.5*x4 + x5\nx1 ~~ 0.1*x2"
    result = bs.invariance(text, data, "sector", ordered=True, partial=False, stop=False)
    for step in result.steps["step"]:
        rows = result.fit(step).parameters
        name = rows["lhs"] + rows["op"] + rows["rhs"]
        assert set(rows[name == "F=~x4"]["est"]) == {0.5}
        assert set(rows[name == "x1~~x2"]["est"]) == {0.1}


def test_json_and_summary() -> None:
    result = climb(sample(loading="x2", n=300))
    data = json.loads(json.dumps(result.to_json(), allow_nan=False))
    again = InvarianceResult.from_json(data)
    assert again.to_json() == data
    assert again.summary() == result.summary()
    # what the data warn of is said once, not by every step
    assert len({w.split(": ", 1)[1] for w in result.warnings}) == len(result.warnings)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"missing": "fiml"}, bs.Unsupported, "missing='fiml'"),
        ({"estimator": "MLR"}, bs.Unsupported, "estimator='MLR'"),
        ({"estimator": "DWLS"}, bs.Unsupported, "estimator='DWLS'"),
        ({"parameterization": "gamma"}, bs.Unsupported, "parameterization='gamma'"),
        ({"ordered": None, "parameterization": "theta"}, bs.Unsupported, "parameterization='theta'"),
        ({"ordered": None, "estimator": "WLSMV"}, bs.Unsupported, "or ordered"),
        ({"steps": ("configural", "metric")}, bs.DataError, "thresholds"),
        ({"ordered": None, "steps": ("configural", "thresholds")}, bs.DataError, "no ladder"),
        ({"ordered": ["nothing"]}, bs.ModelSyntaxError, "nothing"),
    ],
)
def test_refused(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        climb(sample(n=60), **options)
    assert caught.value.hint  # type: ignore[attr-defined]


def test_statements_on_thresholds_are_refused_with_a_way_out() -> None:
    with pytest.raises(bs.Unsupported, match="thresholds or scales") as caught:
        bs.invariance(f"{MODEL}\nx1 | 0*t1", sample(n=60), "sector", ordered=True)
    assert "ordered=" in str(caught.value.hint)
