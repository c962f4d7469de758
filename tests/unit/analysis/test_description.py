"""Sample description: distributions of items and counts of background variables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from b2b_sem.analysis.description import (
    ANSWER_COLUMNS,
    ITEM_COLUMNS,
    describe_answers,
    describe_background,
    describe_items,
)
from b2b_sem.spec.loader import load_survey


def test_moments_of_an_item() -> None:
    rng = np.random.default_rng(2)
    values = rng.integers(1, 8, size=60).astype(float)
    values[[3, 9]] = np.nan
    found = describe_items(pd.DataFrame({"q": values}), ["q"], None, {"q": "F"})
    assert tuple(found.columns) == ITEM_COLUMNS
    row = found.iloc[0]
    present = values[np.isfinite(values)]
    assert (row["name"], row["scale"], row["text"], row["reverse"]) == ("q", "F", "", False)
    assert (row["n"], row["missing"]) == (58, 2)
    assert row["mean"] == pytest.approx(present.mean(), rel=1e-13)
    assert row["sd"] == pytest.approx(present.std(ddof=1), rel=1e-13)
    assert (row["min"], row["max"]) == (present.min(), present.max())
    assert row["skew"] == pytest.approx(stats.skew(present), rel=1e-12)
    assert row["kurtosis"] == pytest.approx(stats.kurtosis(present), rel=1e-12)
    assert abs(row["skew"]) > 1e-3


def test_items_without_spread_or_answers() -> None:
    frame = pd.DataFrame({"empty": [np.nan] * 3, "one": [4.0, np.nan, np.nan], "same": [2.0, 2.0, 2.0]})
    found = describe_items(frame, frame.columns, None, {}).set_index("name")
    assert list(found["n"]) == [0, 1, 3]
    assert list(found["missing"]) == [3, 2, 0]
    assert found.loc["empty", ["mean", "sd", "min", "max", "skew", "kurtosis"]].isna().all()
    assert found.loc["one", "mean"] == 4.0
    assert found.loc["one", ["sd", "skew", "kurtosis"]].isna().all()
    assert found.loc["same", "sd"] == 0.0
    assert found.loc["same", ["skew", "kurtosis"]].isna().all()


def test_items_of_a_survey_bring_their_text() -> None:
    survey = load_survey("lima2026")
    reverse = survey.reverse_items()[0]
    plain = next(i for i in survey.items() if i not in survey.reverse_items())
    frame = pd.DataFrame({plain: [1.0, 2.0, 3.0], reverse: [3.0, 2.0, 1.0], "z": [1.0, 2.0, 2.0]})
    found = describe_items(frame, [plain, reverse, "z"], survey, {"z": "Z", plain: "wrong"}).set_index("name")
    assert found.loc[plain, "text"] == survey.item(plain).text
    assert found.loc[plain, "scale"] == survey.scale_of(plain)
    assert [bool(v) for v in found["reverse"]] == [False, True, False]
    assert (found.loc["z", "scale"], found.loc["z", "text"]) == ("Z", "")


def test_background_counts() -> None:
    survey = load_survey("lima2026")
    fact = survey.facts["role"]
    assert fact.type == "categorical"
    labels = list(fact.categories.values())
    frame = pd.DataFrame({"role": [2.0, 1.0, 2.0, np.nan, 99.0]})
    ((label, table),) = describe_background(frame, survey)
    assert label == fact.label
    # the order of the survey, then what it does not know; shares of those who answered
    assert list(table["category"]) == [labels[0], labels[1], "99"]
    assert list(table["n"]) == [1, 2, 1]
    assert list(table["percent"]) == [25.0, 50.0, 25.0]


def test_background_numbers_and_what_is_left_out() -> None:
    survey = load_survey("lima2026")
    numbers = [code for code, fact in survey.facts.items() if fact.type == "number"]
    texts = [code for code, fact in survey.facts.items() if fact.type == "text"]
    code = numbers[0]
    frame = pd.DataFrame({code: [10.0, 20.0, np.nan], **{t: ["x", "y", "z"] for t in texts}})
    ((label, table),) = describe_background(frame, survey)
    assert label == survey.facts[code].label
    assert list(table["n"]) == [2]
    assert "mean 15.0" in table["category"].iloc[0]
    assert "SD 7.1" in table["category"].iloc[0]
    assert "10 to 20" in table["category"].iloc[0]
    assert describe_background(pd.DataFrame({code: [np.nan, np.nan], "role": [np.nan, np.nan]}), survey) == ()


def test_floor_ceiling_empty_and_sparse_answers() -> None:
    survey = load_survey("lima2026")
    name = next(i for i in survey.items() if i not in survey.reverse_items())
    values = [2.0] * 3 + [4.0] * 10 + [7.0] * 7
    frame = pd.DataFrame({name: values, "free": values, "number": np.linspace(0, 1, 20)})
    found = describe_items(frame, frame.columns, survey, {}).set_index("name")
    row = found.loc[name]
    assert (row["categories"], row["floor"], row["ceiling"]) == (3, 0.0, 35.0)
    assert (row["empty"], row["sparse"]) == ("1, 3, 5, 6", "2")
    # without a survey nobody knows that 1 was possible
    row = found.loc["free"]
    assert (row["categories"], row["floor"], row["ceiling"]) == (3, 15.0, 35.0)
    assert (row["empty"], row["sparse"]) == ("3, 5, 6", "2")
    row = found.loc["number"]
    assert row[["categories", "floor", "ceiling"]].isna().all()
    assert (row["empty"], row["sparse"]) == ("", "")


def test_answers_are_counted_one_by_one_with_their_labels() -> None:
    survey = load_survey("lima2026")
    reverse = survey.reverse_items()[0]
    plain = next(i for i in survey.items() if i not in survey.reverse_items())
    frame = pd.DataFrame({plain: [1.0, 7.0, 7.0, np.nan], reverse: [1.0, 7.0, 7.0, 7.0], "number": [0.1, 0.2, 0.3, 4]})
    frame = pd.concat([frame] * 4, ignore_index=True)
    frame["number"] = np.arange(16) / 3
    found = describe_answers(frame, [plain, reverse, "number"], survey)
    assert tuple(found.columns) == ANSWER_COLUMNS
    assert list(found["name"]) == [plain] * 7 + [reverse] * 7
    assert list(found["answer"]) == [*range(1, 8)] * 2
    own = found[found["name"] == plain]
    assert list(own["n"]) == [4, 0, 0, 0, 0, 0, 8]
    assert own["percent"].tolist() == pytest.approx([100 / 3, 0, 0, 0, 0, 0, 200 / 3])
    anchors = survey.format_of(plain).anchors
    assert own["label"].iloc[0] == anchors[1]
    # a reversed item shows what was said, not what it counts as
    turned = found[found["name"] == reverse]
    assert (turned["label"].iloc[0], turned["label"].iloc[-1]) == (anchors[7], anchors[1])
    assert anchors[1] != anchors[7]
