"""The ladder of invariance on data whose truth is known: where it stops, what it releases, what it says."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs
from b2b_sem.errors import DataError, Unsupported
from b2b_sem.measures.equivalence import Criteria
from b2b_sem.results.invariance import InvarianceResult

MODEL = "F =~ x1 + x2 + x3 + x4\nG =~ y1 + y2 + y3 + y4"
ITEMS = ["x1", "x2", "x3", "x4", "y1", "y2", "y3", "y4"]


def sample(
    seed: int = 1,
    n: int = 400,
    groups: int = 2,
    loading: dict[str, float] | None = None,
    intercept: dict[str, float] | None = None,
    residual: dict[str, float] | None = None,
    mean: float = 0.0,
) -> pd.DataFrame:
    """Draw groups whose last one has other parameters, and a latent mean of `mean` in F."""
    rng = np.random.default_rng(seed)
    frames = []
    for g in range(groups):
        last = g == groups - 1
        f = rng.normal(mean if last else 0.0, 1.0, n)
        latent = {"x": f, "y": 0.4 * f + rng.normal(size=n)}
        columns = {}
        for item in ITEMS:
            slope = 0.8 + (loading or {}).get(item, 0.0) * last
            level = 3.0 + (intercept or {}).get(item, 0.0) * last
            noise = 0.6 + (residual or {}).get(item, 0.0) * last
            columns[item] = level + slope * latent[item[0]] + rng.normal(scale=noise, size=n)
        frames.append(pd.DataFrame(columns).assign(sector="abc"[g]))
    return pd.concat(frames, ignore_index=True)


def test_invariant_groups_climb_to_the_top() -> None:
    result = bs.invariance(MODEL, sample(mean=0.5), "sector")
    assert (result.holds, result.stopped) == ("strict", "")
    assert result.steps["holds"].all()
    assert result.steps["step"].tolist() == ["configural", "metric", "scalar", "strict"]
    assert len(result.releases) == 0
    means = result.means.set_index("latent")
    assert means.loc["F", "est"] == pytest.approx(0.5, abs=3 * means.loc["F", "se"])
    assert means.loc["F", "d"] == pytest.approx(means.loc["F", "est"], rel=0.2)
    assert (result.effects["dmacs"] < 0.2).all()
    assert any("Sums and means of observed answers may be compared" in s for s in result.statements)


def test_a_loading_is_found_and_its_intercept_goes_with_it() -> None:
    result = bs.invariance(MODEL, sample(loading={"x3": -0.5}, mean=0.3), "sector")
    assert result.releases["parameter"].tolist()[:2] == ["F=~x3", "x3~1"]
    assert result.releases["reason"].tolist()[1] == "the loading of x3 differs"
    assert result.holds == "strict"
    assert result.steps.query("step == 'metric'")["holds"].tolist() == [False]
    assert result.steps.query("step == 'metric (partial)'")["partial"].tolist() == [1]
    effects = result.effects.set_index("item")["dmacs"]
    assert effects.idxmax() == "x3"
    assert any("except F=~x3" in s for s in result.statements)
    assert any("Sums and means of observed answers may not be compared" in s for s in result.statements)


def test_an_intercept_biases_means_until_it_is_released() -> None:
    data = sample(intercept={"x2": 0.8})
    bent = bs.invariance(MODEL, data, "sector", partial=False)
    assert (bent.holds, bent.stopped) == ("metric", "scalar")
    assert len(bent.means) == 0
    assert any("Latent means may not be compared" in s for s in bent.statements)
    freed = bs.invariance(MODEL, data, "sector")
    assert freed.releases["parameter"].tolist() == ["x2~1"]
    means = freed.means.set_index("latent")
    assert means.loc["F", "ci_lower"] < 0.0 < means.loc["F", "ci_upper"]
    signed = freed.effects.set_index("item")["signed"]
    assert signed["x2"] == pytest.approx(0.8, abs=0.15)  # standard deviation of the items is 1


def test_residuals_of_strict_invariance() -> None:
    result = bs.invariance(MODEL, sample(residual={"y4": 0.6}), "sector", criteria="chisq")
    assert result.releases["parameter"].tolist() == ["y4~~y4"]
    assert result.holds == "strict"


def test_two_items_must_stay_equal() -> None:
    data = sample(intercept={"x1": 0.9, "x2": -0.7, "x3": 1.8})
    result = bs.invariance(MODEL, data, "sector")
    assert result.stopped == "scalar"
    released = [p for p in result.releases["parameter"] if p.startswith("x")]
    assert len(released) <= 2
    assert any("fewer than 2 items with equal parameters would remain for F" in n for n in result.notes)
    assert len(result.means) == 0


def test_three_groups_are_tested_together() -> None:
    result = bs.invariance(MODEL, sample(groups=3, intercept={"y2": 0.9}), "sector")
    assert result.releases["parameter"].tolist() == ["y2~1"]
    assert set(result.tests["df"]) == {2}
    assert result.means.groupby("latent")["group"].apply(list).to_dict() == {"F": ["b", "c"], "G": ["b", "c"]}
    assert dict(result.groups) == {"a": 400, "b": 400, "c": 400}


def test_a_wrong_model_stops_at_once_unless_told_not_to() -> None:
    model = "F =~ x1 + x2 + y1 + y2\nG =~ x3 + x4 + y3 + y4"
    result = bs.invariance(model, sample(), "sector")
    assert (result.holds, result.stopped) == ("", "configural")
    assert result.statements[0].startswith("Nothing may be compared")
    assert len(result.steps) == 1
    whole = bs.invariance(model, sample(), "sector", stop=False, partial=False)
    assert (whole.holds, whole.stopped) == ("", "configural")
    assert len(whole.steps) == 4


def test_steps_and_own_criteria() -> None:
    none = Criteria("none", "a test", cfi=-1.0)
    result = bs.invariance(MODEL, sample(), "sector", steps=("configural", "metric"), criteria=none, partial=False)
    assert (result.holds, result.stopped, result.criteria) == ("configural", "metric", "none")
    assert any("no equal loadings" in s for s in result.statements)


def test_the_difference_test_is_that_of_compare() -> None:
    data = sample(n=150)
    result = bs.invariance(MODEL, data, "sector", estimator="MLR", criteria=Criteria("all", "a test", cfi=1.0))
    row = result.steps.set_index("step").loc["scalar"]
    table = bs.compare(result.fit("metric"), result.fit("scalar")).table
    assert row["chisq_diff"] == pytest.approx(table["chisq_diff"][1], rel=1e-12)
    assert row["df_diff"] == table["df_diff"][1]
    assert result.indices == "robust"
    assert row["cfi"] == result.fit("scalar").measures["cfi_robust"]


def test_scores_of_few_answers_by_all_their_information() -> None:
    data = sample(n=150)
    data.loc[::7, "x1"] = np.nan
    result = bs.invariance(MODEL, data, "sector", missing="fiml")
    assert sum(result.groups.values()) == 300
    assert result.holds == "strict"


def test_json_and_summary() -> None:
    result = bs.invariance(MODEL, sample(loading={"x3": -0.5}), "sector")
    data = json.loads(json.dumps(result.to_json(), allow_nan=False))
    again = InvarianceResult.from_json(data)
    assert again.to_json() == data
    assert again.summary() == result.summary()
    for text in ("F=~x3", "dMACS", "Latent means minus those of a", "metric: does not hold"):
        assert text in str(result)
    with pytest.raises(Unsupported, match="read from a file"):
        again.fit("metric")
    with pytest.raises(Unsupported, match="there is no fit of 'metrc'"):
        result.fit("metrc")
    steps = result.steps
    steps["chisq"] = 0.0
    assert (result.steps["chisq"] > 0).all()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"estimator": "WLSMV"}, Unsupported, "estimator='WLSMV'"),
        ({"estimator": "MLMVS"}, Unsupported, "estimator='MLMVS'"),
        ({"criteria": "chenn"}, Unsupported, "Did you mean 'chen'"),
        ({"steps": ("metric", "scalar")}, DataError, "no ladder"),
        ({"steps": ()}, DataError, "no ladder"),
        ({"alpha": 5}, DataError, "alpha is 5"),
        ({"group": "nowhere"}, DataError, "nowhere"),
        ({"group": None}, DataError, "no group"),
    ],
)
def test_refused(options: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments: dict[str, Any] = {"group": "sector", **options}
    with pytest.raises(error, match=message):
        bs.invariance(MODEL, sample(n=60), **arguments)
