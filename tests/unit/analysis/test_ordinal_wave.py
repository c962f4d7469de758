"""The ladder over waves with ordinal items: models of the steps, releases, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs
from b2b_sem.analysis.ordinal_wave import waves_of_step
from b2b_sem.errors import DataError, Unsupported
from b2b_sem.spec.partable import build_table
from b2b_sem.spec.syntax import parse_model
from b2b_sem.spec.wave import wave_model

MODEL = "F =~ x1 + x2 + x3 + x4"
WAVES = {"T1": "_t1", "T2": "_t2"}


def answers(seed: int = 1, n: int = 700, shift: dict[str, float] | None = None, gain: float = 0.4) -> pd.DataFrame:
    """Draw two waves of four categories; `shift` moves the upper thresholds of items in the second."""
    rng = np.random.default_rng(seed)
    f = rng.normal(size=n)
    g = gain + 0.7 * f + 0.7 * rng.normal(size=n)
    columns = {}
    for k in range(1, 5):
        lasting = rng.normal(scale=0.4, size=n)
        for label, latent in (("t1", f), ("t2", g)):
            cuts = np.array([-1.0, 0.0, 1.0])
            if label == "t2":
                cuts = cuts + np.array([0.0, 0.0, (shift or {}).get(f"x{k}", 0.0)])
            response = 0.9 * latent + lasting + rng.normal(scale=0.6, size=n)
            columns[f"x{k}_{label}"] = np.searchsorted(cuts, response) + 1
    return pd.DataFrame(columns)


def numbers(step: str, exempt: tuple[str, ...] = (), parameterization: str = "delta") -> dict[str, int]:
    """Number of the free parameter of each row of a step's model."""
    model = wave_model(parse_model(MODEL + "\nx1 ~~ x2"), WAVES)
    text = waves_of_step(model, dict.fromkeys(("x1", "x2", "x3", "x4"), 3), step, exempt, parameterization)
    columns = [f"x{k}_{t}" for t in ("t1", "t2") for k in range(1, 5)]
    table = build_table(
        parse_model(text),
        std_lv=True,
        categories=dict.fromkeys(columns, 4),
        parameterization=parameterization,
    )
    return {row.name: row.free for row in table.rows}


def test_equality_and_what_it_frees() -> None:
    found = numbers("metric", ("F=~x3",))
    assert found["x1_t1|t2"] == found["x1_t2|t2"] > 0
    assert found["F_t1=~x1_t1"] == found["F_t2=~x1_t2"] > 0
    assert found["F_t1=~x3_t1"] != found["F_t2=~x3_t2"]
    assert (found["x1_t1~1"], found["x1_t1~*~x1_t1"], found["F_t1~~F_t1"], found["F_t2~1"]) == (0, 0, 0, 0)
    assert min(found["x1_t2~1"], found["x1_t2~*~x1_t2"], found["F_t2~~F_t2"]) > 0
    assert min(found["x1_t1~~x1_t2"], found["x1_t1~~x2_t1"], found["x1_t2~~x2_t2"]) > 0
    scalar = numbers("scalar", ("x4~1",))
    assert scalar["x1_t2~1"] == 0
    assert min(scalar["x4_t2~1"], scalar["F_t2~1"]) > 0
    strict = numbers("strict", ("x2~~x2",), "theta")
    assert (strict["x1_t2~~x1_t2"], strict["x2_t2~~x2_t2"] > 0) == (0, True)


def test_invariant_waves_climb_to_the_top() -> None:
    result = bs.invariance(MODEL, answers(), waves=WAVES, ordered=True)
    assert (result.holds, result.stopped) == ("strict", "")
    assert result.steps["step"].tolist() == ["configural", "thresholds", "metric", "scalar", "strict"]
    assert result.estimator == "WLSMV"
    mean = result.means.iloc[0]
    assert mean["est"] == pytest.approx(0.4, abs=3 * mean["se"])
    assert not any("group" in text for text in (*result.statements, *result.notes))
    assert result.steps["df"].diff().tolist()[1:] == [4, 3, 3, 4]


def test_a_moved_threshold_is_found() -> None:
    result = bs.invariance(MODEL, answers(shift={"x3": 1.0}), waves=WAVES, ordered=True, criteria="chisq")
    assert result.releases["parameter"].tolist()[0] == "x3|t1-t3"
    assert result.holds == "strict"
    mean = result.means.iloc[0]
    assert mean["est"] == pytest.approx(0.4, abs=3 * mean["se"])
    assert result.effects.set_index("item")["dmacs"].idxmax() == "x3"


def test_names_of_the_scale_or_columns_say_what_is_ordinal() -> None:
    data = answers(n=300)
    options: dict[str, Any] = {"waves": WAVES, "steps": ("configural", "thresholds"), "parameterization": "theta"}
    first = bs.invariance(MODEL, data, ordered=["x1", "x2"], **options)
    second = bs.invariance(MODEL, data, ordered=["x1_t1", "x2_t2"], **options)
    assert first.fit("thresholds").measures["chisq"] == second.fit("thresholds").measures["chisq"]
    assert any("x1, x2 (4 categories)" in note for note in first.notes)
    whole = "A =~ x1_t1 + x2_t1 + x3_t1 + x4_t1\nB =~ x1_t2 + x2_t2 + x3_t2 + x4_t2"
    third = bs.invariance(whole, data, ordered=["x1_t1", "x2_t1"], **{**options, "waves": {"F": ["A", "B"]}})
    assert third.fit("thresholds").measures["chisq"] == pytest.approx(first.fit("thresholds").measures["chisq"])


def test_fixed_loadings_stay_fixed() -> None:
    data = answers(n=300)
    result = bs.invariance("F =~ x1 + 0.8*x2 + x3 + x4", data, waves=WAVES, ordered=True, stop=False, partial=False)
    for step in result.steps["step"]:
        table = result.fit(step).parameters
        fixed = table[(table["op"] == "=~") & table["rhs"].isin(["x2_t1", "x2_t2"])]
        assert fixed["est"].tolist() == [0.8, 0.8]


def test_fixed_loadings_stay_fixed_in_groups() -> None:
    data = answers(n=300)
    long = pd.concat(
        [data.filter(like=t).set_axis(["x1", "x2", "x3", "x4"], axis=1).assign(half=t) for t in ("t1", "t2")]
    )
    result = bs.invariance("F =~ x1 + 0.8*x2 + x3 + x4", long, "half", ordered=True, stop=False, partial=False)
    for step in result.steps["step"]:
        table = result.fit(step).parameters
        assert table[(table["op"] == "=~") & (table["rhs"] == "x2")]["est"].tolist() == [0.8, 0.8]


@pytest.mark.parametrize(
    ("change", "options", "error", "message"),
    [
        ({"x2_t2": 4}, {}, DataError, "item 'x2' has the answers 1, 2, 3, 4 in wave T1 and 1, 2, 3 in wave T2"),
        ({}, {"ordered": ["x1", "z"]}, DataError, "ordered names 'z', which is no item"),
        ({}, {"estimator": "MLR"}, Unsupported, "estimator='MLR'"),
        ({}, {"missing": "fiml"}, Unsupported, "fiml"),
    ],
)
def test_refused(change: dict[str, int], options: dict[str, Any], error: type[Exception], message: str) -> None:
    data = answers(n=200)
    for column, most in change.items():
        data[column] = np.minimum(data[column], most - 1)
    with pytest.raises(error, match=message):
        bs.invariance(MODEL, data, waves=WAVES, **{"ordered": True, **options})
