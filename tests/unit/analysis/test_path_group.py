"""Paths compared across groups on data whose truth is known."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs
from b2b_sem.errors import DataError, ModelSyntaxError, Unsupported
from b2b_sem.results.path_group import PathGroupResult

MODEL = "F =~ x1 + x2 + x3\nG =~ y1 + y2 + y3\nG ~ F + w"


def sample(seed: int = 1, slopes: tuple[float, ...] = (0.2, 0.8), n: int = 400, loading: float = 0.8) -> pd.DataFrame:
    """Draw groups that differ in the path from F to G; `loading` is that of x3 in the last group."""
    rng = np.random.default_rng(seed)
    frames = []
    for g, slope in enumerate(slopes):
        f, w = rng.normal(size=n), rng.normal(size=n)
        eta = slope * f + 0.3 * w + rng.normal(size=n)
        columns = {"w": w}
        for k, latent in (("x", f), ("y", eta)):
            for i in (1, 2, 3):
                own = loading if (k, i, g) == ("x", 3, len(slopes) - 1) else 0.8
                columns[f"{k}{i}"] = own * latent + rng.normal(scale=0.6, size=n)
        frames.append(pd.DataFrame(columns).assign(sector="abc"[g]))
    return pd.concat(frames, ignore_index=True)


def test_a_difference_is_found_where_it_is() -> None:
    found = bs.compare_groups(MODEL, sample(), "sector")
    assert found.omnibus["df"] == 2
    assert found.omnibus["wald_pvalue"] < 1e-6
    assert found.omnibus["pvalue_diff"] < 1e-6
    tests = found.tests.set_index("path")
    assert tests.index.tolist() == ["G~F", "G~w"]
    assert tests.loc["G~F", "diff_adjusted"] < 1e-6
    assert tests.loc["G~w", "wald_adjusted"] > 0.01
    row = found.differences.set_index("path").loc["G~F"]
    assert row["ci_lower"] < 0.6 < row["ci_upper"]
    a, b = found.estimates.query("path == 'G~F'")["est"]
    assert row["est"] == pytest.approx(b - a)
    assert row["z"] == pytest.approx(row["est"] / row["se"])
    assert "G~F" in found.statements[-1]
    assert "G~w" not in found.statements[-1]
    assert not found.warnings


def test_paths_can_be_chosen_and_written_both_ways() -> None:
    data = sample()
    one = bs.compare_groups(MODEL, data, "sector", paths="F -> G")
    other = bs.compare_groups(MODEL, data, "sector", paths=["G ~ F"])
    assert one.to_json() == other.to_json()
    assert one.tests["path"].tolist() == ["G~F"]
    assert one.omnibus["chisq_diff"] == one.tests["chisq_diff"][0]
    both = bs.compare_groups(MODEL, data, "sector").tests.set_index("path")
    assert one.tests["chisq_diff"][0] == pytest.approx(both.loc["G~F", "chisq_diff"], rel=1e-6)


def test_labels_by_group_change_nothing() -> None:
    data = sample()
    plain = bs.compare_groups(MODEL, data, "sector")
    labelled = bs.compare_groups(MODEL.replace("G ~ F", "G ~ c(p, q)*F"), data, "sector")
    pd.testing.assert_frame_equal(plain.tests, labelled.tests, rtol=1e-6)


def test_three_groups_have_two_contrasts_each() -> None:
    found = bs.compare_groups(MODEL, sample(slopes=(0.5, 0.5, 0.5), n=250), "sector")
    assert found.omnibus["df"] == 4
    assert found.tests["df"].tolist() == [2, 2]
    assert found.differences[["path", "group", "reference"]].to_numpy().tolist() == [
        ["G~F", "b", "a"],
        ["G~F", "c", "a"],
        ["G~w", "b", "a"],
        ["G~w", "c", "a"],
    ]
    assert any("no evidence of equal paths" in s for s in found.statements)


def test_power_is_alpha_for_nothing_and_reaches_the_detectable_difference() -> None:
    data = sample()
    tiny = bs.compare_groups(MODEL, data, "sector", paths="F -> G", size=1e-9).differences.iloc[0]
    assert tiny["power"] == pytest.approx(0.05, abs=1e-6)
    again = bs.compare_groups(MODEL, data, "sector", paths="F -> G", size=tiny["detectable"]).differences.iloc[0]
    assert again["power"] == pytest.approx(0.8, abs=1e-9)


def test_unequal_loadings_are_reported_until_they_are_exempt() -> None:
    data = sample(loading=0.2)
    found = bs.compare_groups(MODEL, data, "sector")
    assert any("Equal loadings are rejected" in w for w in found.warnings)
    freed = bs.compare_groups(MODEL, data, "sector", partial=["F=~x3"])
    assert freed.loadings["pvalue"] > 0.001
    assert freed.loadings["df"] == found.loadings["df"] - 1
    free = bs.compare_groups(MODEL, data, "sector", equal=[])
    assert any("units of their own" in w for w in free.warnings)
    assert not free.loadings


def test_json_and_text() -> None:
    found = bs.compare_groups(MODEL, sample(), "sector", estimator="MLR", multiplicity="bh")
    again = PathGroupResult.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False)))
    assert again.summary() == found.summary() == str(found)
    assert again.to_json() == found.to_json()
    assert found.fit is not None
    assert again.fit is None
    assert "Paths across sector: a (n = 400), b (n = 400)" in found.summary()


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"paths": ["G ~ x"]}, ModelSyntaxError, "no path 'G ~ x'"),
        ({"paths": []}, DataError, "paths names no path"),
        ({"model": "F =~ x1 + x2 + x3"}, ModelSyntaxError, "no paths to compare"),
        ({"model": MODEL.replace("G ~ F + w", "G ~ b*F")}, Unsupported, "equal in several groups by its label"),
        ({"model": MODEL.replace("G ~ F", "G ~ 0.5*F"), "paths": ["G ~ F"]}, Unsupported, "is fixed"),
        ({"estimator": "ULS"}, Unsupported, "estimator='ULS'"),
        ({"equal": ["loadings", "regressions"]}, DataError, "regressions"),
        ({"equal": "loadings"}, DataError, "is text"),
        ({"alpha": 0.0}, DataError, "alpha"),
        ({"size": -1.0}, DataError, "size"),
        ({"multiplicity": "homl"}, DataError, "holm"),
        ({"group": "sektor"}, DataError, "sektor"),
        ({"group": None}, DataError, "no group"),
    ],
)
def test_bad_input(change: dict[str, Any], error: type[Exception], text: str) -> None:
    arguments: dict[str, Any] = {"model": MODEL, "data": sample(n=60), "group": "sector", **change}
    with pytest.raises(error, match=text.replace("(", r"\(")):
        bs.compare_groups(**arguments)
