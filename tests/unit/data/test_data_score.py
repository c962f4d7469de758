"""Scoring: what is changed, in which order, and which cells are named when they cannot be scored."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from b2b_sem.data.read import Responses, read_responses
from b2b_sem.data.score import ItemRule, reverse, rules_from_survey, score
from b2b_sem.errors import DataError

RULES = (ItemRule("nr1", False, 1, 7, (8,)), ItemRule("nr4", True, 1, 7, (8,)))


def responses(**columns):
    return Responses.from_frame(pd.DataFrame(columns))


@given(st.lists(st.integers(1, 7), min_size=1), st.integers(-3, 1), st.integers(7, 11))
def test_reversing_twice_is_the_identity_and_keeps_the_range(answers, low, high):
    once = reverse(answers, low, high)
    np.testing.assert_array_equal(reverse(once, low, high), answers)
    assert once.min() >= low
    assert once.max() <= high


@given(st.lists(st.integers(1, 7), min_size=2).filter(lambda a: len(set(a)) > 1))
def test_reversing_flips_the_order(answers):
    np.testing.assert_array_equal(np.diff(reverse(answers, 1, 7)), -np.diff(answers))


def test_reverse_keeps_missing():
    np.testing.assert_array_equal(reverse([1, np.nan, 7], 1, 7), [7, np.nan, 1])


def test_score_reverses_and_sets_missing_codes_with_notes():
    scored = score(responses(nr1=[1, 8, 7], nr4=[1, 2, 8], age=[8, 50, 8]), RULES)
    np.testing.assert_array_equal(scored.frame["nr1"], [1, np.nan, 7])
    np.testing.assert_array_equal(scored.frame["nr4"], [7, 6, np.nan])
    assert scored.frame["age"].tolist() == [8, 50, 8]
    assert scored.frame["nr4"].dtype == np.float64
    assert scored.notes == ("missing codes set to missing: 8 (2 cells) in nr1, nr4", "reverse coded: nr4")
    assert scored.details["reversed"] == ("nr4",)


def test_missing_code_inside_the_reversed_scale_is_removed_before_reversing():
    # 9 = "do not know" of one item; reversed first it would become -1
    scored = score(responses(nr4=[9, 7]), [ItemRule("nr4", True, 1, 7, (9,))])
    np.testing.assert_array_equal(scored.frame["nr4"], [np.nan, 1])


def test_input_is_left_alone():
    before = responses(nr1=[1, 2], nr4=[1, 2])
    score(before, RULES)
    assert before.frame["nr4"].tolist() == [1, 2]
    assert before.notes == ()


def test_scoring_twice_is_refused():
    with pytest.raises(DataError, match="reverse coded before: nr4"):
        score(score(responses(nr1=[1, 2], nr4=[1, 2]), RULES), RULES)


def test_unknown_columns_are_named_with_their_likely_spelling():
    with pytest.raises(DataError, match=r"2 columns not found: 'nr1', did you mean 'NR1'; 'nr4', did you mean 'NR4'"):
        score(responses(NR1=[1], NR4=[2]), RULES)


def test_out_of_range_cells_are_named_by_file_row_and_column(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("nr1,nr4\n1,2\n\n9,0\n77,3\n" + "0,4\n" * 4)
    with pytest.raises(DataError) as error:
        score(read_responses(path), RULES)
    text = str(error.value)
    assert "7 cells lie outside the response format (1 to 7): 9 (row 4, column nr1), 77 (row 5, column nr1)" in text
    assert text.count("(row") == 5
    assert "and 2 more" in text
    assert text.startswith(str(path))


def test_a_single_cell_out_of_range_reads_as_one():
    with pytest.raises(DataError, match=r"one cell lies outside .*: 9 \(row 2, column nr1\)"):
        score(responses(nr1=[1, 9], nr4=[1, 2]), RULES)


def test_text_cells_are_named():
    with pytest.raises(DataError, match=r"one cell is not a number: 'agree' \(row 2, column nr1\)"):
        score(responses(nr1=["3", "agree"], nr4=[1, 2]), RULES)


def test_text_missing_code_makes_the_column_numeric():
    scored = score(responses(nr1=["3", "no answer"]), [ItemRule("nr1", False, 1, 7, ("no answer",))])
    np.testing.assert_array_equal(scored.frame["nr1"], [3, np.nan])


def test_answers_between_the_points_are_pointed_out():
    scored = score(responses(nr1=[1, 2.5, 3.5], nr4=[1, 2, 3]), RULES)
    assert "answers that are not whole numbers: nr1 (2)" in scored.notes


def test_rules_without_bounds_check_only_the_type():
    scored = score(responses(wtp=[1e6, -3.5]), [ItemRule("wtp")])
    assert scored.frame["wtp"].tolist() == [1e6, -3.5]


def test_impossible_rules():
    with pytest.raises(DataError, match="item 'a' is reverse coded but"):
        ItemRule("a", True)
    with pytest.raises(DataError, match="the lowest answer 7 is not below the highest 1"):
        ItemRule("a", False, 7, 1)
    with pytest.raises(DataError, match="more than one scoring rule for nr1"):
        score(responses(nr1=[1]), [RULES[0], RULES[0]])


def test_no_rules_change_nothing():
    before = responses(a=[1])
    assert score(before, ()) is before


class TwoItems:
    def items(self, scale=None, *, active_only=True):
        return ("nr1", "nr4") if active_only else ("nr1", "nr4", "nr5")

    def item(self, code):
        return SimpleNamespace(reverse=code in ("nr4", "nr5"))

    def range_of(self, item):
        return (1, 10) if item == "nr1" else (1, 7)

    def missing_codes(self, item):
        return (99,)


def test_rules_from_a_survey():
    assert rules_from_survey(TwoItems()) == (
        ItemRule("nr1", False, 1.0, 10.0, (99,)),
        ItemRule("nr4", True, 1.0, 7.0, (99,)),
    )
    assert [rule.name for rule in rules_from_survey(TwoItems(), ["nr4", "age"])] == ["nr4"]


def test_a_dropped_item_asked_for_by_name_keeps_its_reverse_key():
    assert rules_from_survey(TwoItems(), ["nr5"]) == (ItemRule("nr5", True, 1.0, 7.0, (99,)),)


def test_rules_from_the_survey_format():
    from b2b_sem.spec.survey import SurveySpec

    survey = SurveySpec.model_validate(
        {
            "kind": "survey",
            "schema_version": 1,
            "id": "demo",
            "title": "Demo",
            "format": {"low": 1, "high": 7, "missing": {8: "don't know"}},
            "scales": {
                "NR": {
                    "name": "relevance",
                    "items": {"nr1": "Good.", "nr4": {"text": "Bad.", "reverse": True}},
                }
            },
        }
    )
    assert rules_from_survey(survey) == (ItemRule("nr1", False, 1, 7, (8,)), ItemRule("nr4", True, 1, 7, (8,)))
