"""The ladder over waves on data whose truth is known."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs
from b2b_sem.errors import DataError, ModelError, Unsupported
from b2b_sem.results.invariance import InvarianceResult

MODEL = "F =~ x1 + x2 + x3 + x4"
WAVES = {"T1": "_t1", "T2": "_t2", "T3": "_t3"}


def panel(
    seed: int = 1,
    n: int = 600,
    waves: int = 3,
    loading: dict[str, float] | None = None,
    intercept: dict[str, float] | None = None,
    gain: float = 0.3,
    own: float = 0.5,
) -> pd.DataFrame:
    """Draw waves whose last one has other parameters; the latent mean rises by `gain` each wave."""
    rng = np.random.default_rng(seed)
    f = rng.normal(size=n)
    lasting = {k: rng.normal(scale=own, size=n) for k in range(1, 5)}
    columns = {}
    for t in range(1, waves + 1):
        f = gain + 0.8 * f + 0.6 * rng.normal(size=n) if t > 1 else f
        for k in range(1, 5):
            item, last = f"x{k}", t == waves
            slope = 0.8 + (loading or {}).get(item, 0.0) * last
            level = 3.0 + (intercept or {}).get(item, 0.0) * last
            columns[f"{item}_t{t}"] = level + slope * f + lasting[k] + rng.normal(scale=0.5, size=n)
    return pd.DataFrame(columns)


def stacked(frame: pd.DataFrame, waves: int = 3) -> pd.DataFrame:
    """The same answers with a row for each person and wave, the waves of a person from last to first."""
    parts = []
    for t in range(waves, 0, -1):
        part = frame[[f"x{k}_t{t}" for k in range(1, 5)]].set_axis([f"x{k}" for k in range(1, 5)], axis=1)
        parts.append(part.assign(person=[f"p{i}" for i in range(len(frame))], month=6 * t))
    return pd.concat(parts, ignore_index=True)


def test_invariant_waves_climb_to_the_top() -> None:
    result = bs.invariance(MODEL, panel(), waves=WAVES)
    assert (result.holds, result.stopped) == ("strict", "")
    assert dict(result.groups) == {"T1": 600, "T2": 600, "T3": 600}
    means = result.means.set_index("group")
    for wave, truth in (("T2", 0.3), ("T3", 0.54)):
        assert means.loc[wave, "est"] == pytest.approx(truth, abs=3 * means.loc[wave, "se"])
    assert "Latent means may be compared: intercepts are equal." in result.statements
    assert any("in all waves" in s for s in result.statements)
    assert not any("group" in s for s in result.statements)
    assert result.summary().startswith("Measurement invariance across waves: T1 (n = 600), T2")


def test_a_shift_of_an_item_is_found_and_does_not_bias_means() -> None:
    data = panel(intercept={"x2": 0.7}, gain=0.0)
    bent = bs.invariance(MODEL, data, waves=WAVES, partial=False)
    assert (bent.holds, bent.stopped, len(bent.means)) == ("metric", "scalar", 0)
    result = bs.invariance(MODEL, data, waves=WAVES)
    assert result.releases["parameter"].tolist() == ["x2~1"]
    assert result.releases["latent"].tolist() == ["F"]
    assert set(result.tests["df"]) == {2}
    means = result.means.set_index("group")
    assert (means["ci_lower"] < 0).all()
    assert (means["ci_upper"] > 0).all()
    effects = result.effects.set_index(["item", "group"])["signed"]
    assert effects["x2", "T3"] == pytest.approx(0.65, abs=0.15)
    assert abs(effects["x2", "T2"]) < 0.15


def test_a_released_loading_takes_its_intercept_with_it() -> None:
    result = bs.invariance(MODEL, panel(loading={"x3": -0.5}), waves=WAVES)
    assert result.releases["parameter"].tolist()[:2] == ["F=~x3", "x3~1"]
    assert "loading.x3" not in result.fit("strict").model.text
    assert "intercept.x3" not in result.fit("strict").model.text
    assert "residual.x3" in result.fit("strict").model.text


def test_residuals_that_last_need_their_covariances() -> None:
    data = panel(own=0.7)
    assert bs.invariance(MODEL, data, waves=WAVES).holds == "strict"
    alone = bs.invariance(MODEL, data, waves=WAVES, correlated=False)
    assert alone.stopped == "configural"
    assert (
        alone.fit("configural").measures["df"]
        == bs.invariance(MODEL, data, waves=WAVES, steps=("configural",)).fit("configural").measures["df"] + 12
    )


def test_the_ladder_is_that_of_plain_fits() -> None:
    data = panel(n=200)
    result = bs.invariance(MODEL, data, waves={"T1": "_t1", "T2": "_t2"}, estimator="MLR")
    lines = [f"F1 =~ {' + '.join(f'l{k}*x{k}_t1' for k in range(1, 5))}"]
    lines += [f"F2 =~ {' + '.join(f'l{k}*x{k}_t2' for k in range(1, 5))}", "F2 ~~ NA*F2", "F2 ~ 1"]
    for k in range(1, 5):
        lines += [f"x{k}_t1 ~ i{k}*1", f"x{k}_t2 ~ i{k}*1", f"x{k}_t1 ~~ x{k}_t2"]
    plain = bs.fit("\n".join(lines), data, std_lv=True, estimator="MLR")
    assert result.fit("scalar").measures["chisq_scaled"] == pytest.approx(plain.measures["chisq_scaled"], rel=1e-8)
    table = bs.compare(result.fit("metric"), result.fit("scalar")).table
    row = result.steps.set_index("step").loc["scalar"]
    assert row["chisq_diff"] == pytest.approx(table["chisq_diff"][1], rel=1e-10)


def test_long_data_are_the_same_data() -> None:
    data = panel(n=200)
    data.iloc[::5, 4:] = np.nan
    data.iloc[::4, 8:] = np.nan
    wide = bs.invariance(MODEL, data, waves=WAVES, missing="fiml")
    rows = stacked(data).dropna()
    long = bs.invariance(MODEL, rows, wave="month", person="person", missing="fiml")
    assert long.group == "month"
    assert list(long.groups) == ["6", "12", "18"]
    assert list(long.groups.values()) == [200, 160, 120]
    assert list(long.groups.values()) == list(wide.groups.values())
    numbers = ["chisq", "df", "cfi", "srmr", "chisq_diff"]
    np.testing.assert_allclose(
        long.steps[numbers].to_numpy(float), wide.steps[numbers].to_numpy(float), rtol=1e-6, atol=1e-7
    )
    back = bs.invariance(MODEL, rows, wave="month", person="person", waves=[18, 6], missing="fiml")
    assert list(back.groups) == ["18", "6"]


def test_who_drops_out_is_used_with_all_information() -> None:
    data = panel(n=300)
    data.loc[data["x1_t1"] > 3.5, [c for c in data if not c.endswith("t1")]] = np.nan
    full = bs.invariance(MODEL, data, waves=WAVES, missing="fiml")
    few = bs.invariance(MODEL, data, waves=WAVES)
    assert any("more gave answers in some of them (T1 300, T2 " in note for note in few.notes)
    assert not any("more gave answers" in note for note in full.notes)
    assert full.groups["T1"] == 300
    assert full.groups["T2"] == few.groups["T1"] < 300
    assert full.means["est"][0] == pytest.approx(0.3, abs=3 * full.means["se"][0])


def test_a_whole_model_and_a_scale_asked_once() -> None:
    data = panel(n=300, waves=2)
    rng = np.random.default_rng(3)
    z = rng.normal(size=300)
    data["z1"], data["z2"], data["z3"] = (z + rng.normal(scale=0.6, size=300) for _ in range(3))
    text = "Z =~ z1 + z2 + z3\nA =~ x1_t1 + x2_t1 + x3_t1 + x4_t1\nB =~ x1_t2 + x2_t2 + x3_t2 + x4_t2\nB ~ A + Z"
    result = bs.invariance(text, data, waves={"F": ["A", "B"]})
    assert result.holds == "strict"
    assert list(result.groups) == ["A", "B"]
    assert result.means["latent"].tolist() == ["F"]
    single = bs.invariance(MODEL, data, waves={"1": "_t1", "2": "_t2"})
    assert result.means["est"][0] == pytest.approx(single.means["est"][0], abs=0.02)


def test_json() -> None:
    result = bs.invariance(MODEL, panel(n=200), waves=WAVES)
    data = json.loads(json.dumps(result.to_json(), allow_nan=False))
    again = InvarianceResult.from_json(data)
    assert again.to_json() == data
    assert again.summary() == result.summary()


def test_a_model_that_is_not_identified_says_what_to_do() -> None:
    with pytest.raises((ModelError, bs.errors.ModelSyntaxError), match="not identified"):
        bs.invariance("F =~ x1 + x2", panel(n=100, waves=2), waves={"a": "_t1", "b": "_t2"})


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, DataError, "no group"),
        ({"group": "x1_t1", "waves": WAVES}, DataError, "both given"),
        ({"group": "x1_t1", "wave": "month", "person": "id"}, DataError, "both given"),
        ({"wave": "month"}, DataError, "wave is given without person"),
        ({"person": "id", "waves": WAVES}, DataError, "person is given without wave"),
        ({"wave": "month", "person": "id", "waves": WAVES}, DataError, "list of labels"),
        ({"wave": "month", "person": "id"}, DataError, "no column 'month'"),
        ({"group": "x1_t1", "correlated": False}, DataError, "goes with waves"),
        ({"waves": WAVES, "missing": "mi"}, Unsupported, "missing='mi'"),
        ({"waves": WAVES, "estimator": "GLS"}, Unsupported, "estimator='GLS'"),
        ({"waves": WAVES, "estimator": "MLMV"}, Unsupported, "not available over waves"),
        ({"waves": WAVES, "cluster": "firm"}, Unsupported, "clusters are available for groups"),
        ({"waves": {"T1": "_t1", "T2": "_t4"}}, DataError, "'x1_t4'"),
    ],
)
def test_refused(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        bs.invariance(MODEL, panel(n=50), **options)
