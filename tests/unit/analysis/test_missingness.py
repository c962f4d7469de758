"""Diagnosis of missing answers: counts, patterns, what is said, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs
from b2b_sem.analysis.missingness import missingness
from b2b_sem.data.read import Responses
from b2b_sem.results.missingness import MissingnessResult

NAN = np.nan


def small() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "a": [1.0, 2.0, NAN, 4.0, NAN, 2.0, 3.0, 5.0],
            "b": [2.0, 1.0, 3.0, NAN, NAN, 2.5, 3.5, 4.0],
            "c": [1.0, 2.0, 2.0, 3.0, NAN, 1.0, 2.0, 2.5],
        },
        index=list("qrstuvwx"),
    )


def sample(n: int = 300, seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    f = rng.normal(size=(n, 1))
    return pd.DataFrame(f + rng.normal(size=(n, 4)), columns=["x1", "x2", "x3", "z"])


def test_counts_by_item_person_and_pattern() -> None:
    found = missingness(small())
    assert found.items.to_dict("list") == {
        "item": ["a", "b", "c"],
        "n": [6, 6, 7],
        "missing": [2, 2, 1],
        "percent": [25.0, 25.0, 12.5],
    }
    assert found.persons.to_dict("list") == {"missing": [0, 1, 3], "persons": [5, 2, 1], "percent": [62.5, 25.0, 12.5]}
    assert (found.n, found.n_complete, found.n_empty, found.missing) == (8, 5, 1, 5)
    assert found.percent == pytest.approx(100 * 5 / 24)
    assert found.n_patterns == 4
    assert list(zip(found.patterns["persons"], found.patterns["left_out"], strict=True)) == [
        (5, ()),
        (1, ("a",)),
        (1, ("b",)),
        (1, ("a", "b", "c")),
    ]
    assert found.sparse.to_dict("records") == [{"row": "u", "missing": 3, "percent": 100.0}]


def test_coverage_counts_pairs_over_all_respondents() -> None:
    found = missingness(small())
    assert found.coverage.loc["a", "b"] == 5 / 8
    assert found.coverage.loc["c", "c"] == 7 / 8
    assert found.lowest == ("a", "b", 5 / 8)


def test_most_limits_what_is_listed_not_what_is_counted() -> None:
    found = missingness(small(), most=2)
    assert len(found.patterns) == 2
    assert found.n_patterns == 4


def test_rows_of_a_file_are_named_by_their_rows() -> None:
    answers = Responses(small().reset_index(drop=True), None, "memory", np.arange(2, 10))
    assert list(missingness(answers).sparse["row"]) == ["6"]


def test_missing_at_random_is_seen_and_the_predictor_named() -> None:
    data = sample()
    data.loc[data["z"] > 0.8, "x3"] = NAN
    found = missingness(data, ["x1", "x2", "x3"])
    assert found.pvalue < 0.001
    top = found.related.iloc[0]
    assert (top["item"], top["variable"]) == ("x3", "z")
    assert top["d"] > 1
    text = " ".join(found.conclusions())
    assert "not missing completely at random" in text
    assert "No test can tell" in text
    assert "z" in text.split("They differ on variables beside the items, too: ")[1][:5]


def test_complete_answers_are_said_to_be_complete() -> None:
    found = missingness(sample())
    assert found.untested == "no answer is missing"
    assert np.isnan(found.pvalue)
    assert "No answer is missing" in str(found)
    assert len(found.related) == 0


def test_no_sign_is_no_proof() -> None:
    data = sample()
    data.loc[::9, "x1"] = NAN
    found = missingness(data)
    assert found.pvalue > 0.05
    assert "That is no proof" in found.summary()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: d.assign(x1=d["x1"].where(np.arange(300) < 150), x2=d["x2"].where(np.arange(300) >= 150)), "never"),
        (lambda d: d.assign(x1=d["x1"].where(np.arange(300) > 9), w=d["x2"] + d["x3"]), "same information"),
        (lambda d: d.iloc[:4].assign(x1=[1.0, NAN, 2.0, 3.0]), "4 respondents for 4 items"),
    ],
)
def test_why_there_is_no_test_is_said(change: Any, reason: str) -> None:
    found = missingness(change(sample()))
    assert reason in found.untested
    assert np.isnan(found.chisq)
    assert "Little's test was not made" in found.summary()


def test_unseen_pairs_are_named() -> None:
    data = sample()
    i = np.arange(300)
    found = missingness(data.assign(x1=data["x1"].where(i < 150), x2=data["x2"].where(i >= 150)))
    assert found.lowest == ("x1", "x2", 0.0)
    assert "Nobody answered both x1 and x2" in found.summary()


def test_text_columns_are_counted_and_left_out_of_the_test() -> None:
    data = sample().assign(city=["Lima", None, "Cusco"] * 100, same=1.0)
    data.loc[:20, "x1"] = NAN
    found = missingness(data)
    assert found.items.set_index("item").loc["city", "missing"] == 100
    notes = " ".join(found.notes)
    assert "Columns that hold text are counted, but not tested: city." in notes
    assert "because they do not vary: same." in notes
    assert found.compared == 2


def test_single_patterns_are_remarked_on() -> None:
    data = sample(60)
    rng = np.random.default_rng(2)
    found = missingness(data.mask(rng.random(data.shape) < 0.3).dropna(how="all"))
    assert found.compared > 5
    rng = np.random.default_rng(2)
    wide = pd.DataFrame(rng.normal(size=(60, 9))).rename(columns=lambda k: f"v{k}")
    found = missingness(wide.mask(rng.random(wide.shape) < 0.2))
    assert any("a single respondent each" in note for note in found.notes)


def test_values_that_look_like_missing_codes_are_named() -> None:
    data = sample()
    data.loc[:5, "x1"] = -99.0
    found = missingness(data)
    assert any("x1 is -99 in 6 cells" in note for note in found.notes)
    assert "-99" in found.summary()


def test_json_round_trip() -> None:
    data = sample()
    data.loc[data["z"] > 0.8, "x3"] = NAN
    for found in (missingness(data), missingness(sample()), missingness(small())):
        again = MissingnessResult.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False)))
        assert again.to_json() == found.to_json()
        assert again.summary() == found.summary()
        for name in ("items", "persons", "patterns", "coverage"):
            pd.testing.assert_frame_equal(getattr(again, name), getattr(found, name))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"items": ["x1", "x9"]}, "column not found: 'x9'"),
        ({"items": []}, "no variables are named"),
        ({"most": 0}, "at least one pattern"),
        ({"alpha": 1.5}, "no error rate"),
        ({"items": ["x1"], "others": ["city"]}, "'city' does not hold numbers"),
    ],
)
def test_bad_input_is_refused(arguments: dict[str, Any], message: str) -> None:
    data = sample().assign(city="Lima")
    with pytest.raises(bs.DataError, match=message):
        bs.missingness(data, **arguments)


def test_bad_data_are_refused() -> None:
    with pytest.raises(bs.DataError, match="have no names"):
        missingness(np.ones((3, 2)))  # type: ignore[arg-type]
    with pytest.raises(bs.DataError, match="no rows"):
        missingness(sample().iloc[:0])
    with pytest.raises(bs.DataError, match="infinite"):
        missingness(sample().assign(x1=np.inf))
