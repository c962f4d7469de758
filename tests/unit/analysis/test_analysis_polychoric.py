"""bs.polychoric: what it takes, what it returns, and what it says."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs
from b2b_sem.results.polychoric import PolychoricResult


def frame(n: int = 200) -> pd.DataFrame:
    rng = np.random.default_rng(4)
    latent = 0.8 * rng.normal(size=(n, 1)) + 0.6 * rng.normal(size=(n, 4))
    out = pd.DataFrame({name: np.digitize(latent[:, i], [-1, 0, 1]) + 1.0 for i, name in enumerate("abc")})
    out["z"] = 5 + 2 * latent[:, 3]
    return out


def test_all_columns_are_ordered_by_default() -> None:
    result = bs.polychoric(frame()[["a", "b", "c"]])
    assert list(result.correlations.index) == ["a", "b", "c"]
    assert set(result.table["kind"]) == {"polychoric"}
    assert list(result.thresholds["item"]) == ["a"] * 3 + ["b"] * 3 + ["c"] * 3
    assert result.thresholds[["below", "above"]].iloc[1].tolist() == [2.0, 3.0]
    assert result.nobs == 200
    assert result.correlations.loc["a", "b"] == pytest.approx(0.64, abs=0.15)


def test_kinds_of_correlations_and_their_errors() -> None:
    data = frame()
    data["w"] = data["z"] + np.random.default_rng(1).normal(size=len(data))
    result = bs.polychoric(data, ["a", "b", "z", "w"], ordered=["a", "b"])
    kinds = {(row.lhs, row.rhs): row for row in result.table.itertuples()}
    assert kinds["a", "b"].kind == "polychoric"
    assert kinds["b", "z"].kind == "polyserial"
    pearson = kinds["z", "w"]
    assert pearson.kind == "pearson"
    r = np.corrcoef(data["z"], data["w"])[0, 1]
    assert pearson.est == pytest.approx(r, rel=1e-12)
    # normal theory; the errors are estimated from products of scores, hence the distance
    assert pearson.se == pytest.approx((1 - r * r) / np.sqrt(len(data)), rel=0.2)
    assert (result.table["ci_lower"] < result.table["est"]).all()
    assert (result.table["est"] < result.table["ci_upper"]).all()


def test_the_error_of_a_correlation_does_not_depend_on_the_unit() -> None:
    one = bs.polychoric(frame(), ordered=["a", "b", "c"]).table
    two = bs.polychoric(frame().assign(z=lambda d: d["z"] / 50), ordered=["a", "b", "c"]).table
    assert np.allclose(one["est"], two["est"], rtol=1e-8)
    assert np.allclose(one["se"], two["se"], rtol=1e-7)


def test_ordered_categories_with_words() -> None:
    data = frame()
    words = ["never", "seldom", "often", "always", "no idea"]
    data["a"] = pd.Categorical.from_codes(data["a"].astype(int) - 1, categories=words, ordered=True)
    result = bs.polychoric(data[["a", "b"]])
    assert result.correlations.equals(bs.polychoric(frame()[["a", "b"]]).correlations)
    assert result.thresholds.loc[0, "above"] == "seldom"
    assert any("no idea" in note and "a" in note for note in result.notes)


def test_missing_answers() -> None:
    data = frame()
    data.loc[:39, "a"] = np.nan
    data.loc[30:59, "b"] = np.nan
    assert bs.polychoric(data, ["a", "b", "c"]).nobs == 140
    result = bs.polychoric(data, ["a", "b", "c"], missing="pairwise")
    assert result.nobs == 200
    assert result.table["nobs"].tolist() == [140, 160, 170]


def test_rare_categories_are_merged_on_request_only() -> None:
    data = frame()
    data.loc[0, "a"] = 9.0
    plain = bs.polychoric(data, ["a", "b"])
    assert len(plain.thresholds) == 7
    assert any("fewer than 5 answers" in text for text in plain.warnings)
    merged = bs.polychoric(data, ["a", "b"], merge_below=5)
    assert len(merged.thresholds) == 6
    assert any("9 counted as 4" in note for note in merged.notes)


def test_json_round_trip() -> None:
    result = bs.polychoric(frame(), ordered=["a", "b", "c"])
    back = PolychoricResult.from_json(json.loads(json.dumps(result.to_json())))
    for name in ("correlations", "thresholds", "table"):
        pd.testing.assert_frame_equal(getattr(back, name), getattr(result, name))
    assert (back.nobs, back.missing, back.notes, back.warnings) == (200, "listwise", result.notes, result.warnings)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"items": ["a"]}, "two items"),
        ({"items": "ab"}, "list of names"),
        ({"items": ["a", "q"]}, "column not found: 'q'"),
        ({"items": ["a", "b"], "ordered": ["c"]}, "not among the variables: c"),
    ],
)
def test_bad_requests(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(bs.DataError, match=words):
        bs.polychoric(frame(), **arguments)  # type: ignore[arg-type]


def test_text_is_refused_with_its_cells() -> None:
    data = frame().astype(object)
    data.loc[3, "b"] = "often"
    with pytest.raises(bs.DataError, match="often"):
        bs.polychoric(data[["a", "b"]])
