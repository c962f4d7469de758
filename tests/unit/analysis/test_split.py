"""Groups of few respondents: joined, left out, or named."""

from __future__ import annotations

import pandas as pd
import pytest

from b2b_sem.analysis.split import small_groups, split_answers, too_small
from b2b_sem.errors import DataError, SpecError
from b2b_sem.spec.loader import load_survey
from b2b_sem.spec.survey import Group, SurveySpec


def survey(**group: object) -> SurveySpec:
    found = load_survey("lima2026")
    return found.model_copy(update={"groups": {"place": Group(fact="platform", label="place", **group)}})  # type: ignore[arg-type]


def frame(*sizes: int) -> pd.DataFrame:
    return pd.DataFrame({"platform": [code for code, n in enumerate(sizes, 1) for _ in range(n)]})


def sizes(spec: SurveySpec, data: pd.DataFrame) -> dict[str, int]:
    groups = split_answers(data, spec, "place")[1]
    return {str(k): int(n) for k, n in groups.value_counts(sort=False).items()}


def test_without_a_minimum_all_groups_stay() -> None:
    data = frame(50, 3, 20)
    spec = survey(levels={"a": (1,), "b": (2,), "c": (3,)})
    assert sizes(spec, data) == {"a": 50, "b": 3, "c": 20}
    assert small_groups(data, spec, "place") == ()


def test_small_groups_are_left_out() -> None:
    data = frame(50, 19, 20)
    spec = survey(levels={"a": (1,), "b": (2,), "c": (3,)}, minimum=20)
    assert sizes(spec, data) == {"a": 50, "c": 20}
    assert small_groups(data, spec, "place") == ("Fewer than 20 respondents, left out: b (n = 19).",)


def test_small_groups_are_joined() -> None:
    data = frame(50, 12, 9, 30)
    spec = survey(levels={"a": (1,), "b": (2,), "c": (3,), "d": (4,)}, minimum=20, rest="elsewhere")
    assert sizes(spec, data) == {"a": 50, "elsewhere": 21, "d": 30}
    assert small_groups(data, spec, "place") == (
        "Fewer than 20 respondents, joined to 'elsewhere': b (n = 12), c (n = 9).",
    )


def test_what_is_still_small_when_joined_is_left_out() -> None:
    data = frame(50, 12, 30)
    spec = survey(levels={"a": (1,), "b": (2,), "d": (3,)}, minimum=20, rest="elsewhere")
    assert sizes(spec, data) == {"a": 50, "d": 30}
    assert small_groups(data, spec, "place") == (
        "Fewer than 20 respondents, joined to 'elsewhere': b (n = 12).",
        "Fewer than 20 respondents, left out: elsewhere (n = 12).",
    )


def test_without_levels_each_category_or_text_is_a_group() -> None:
    assert list(sizes(survey(), frame(3, 2))) == ["LinkedIn", "video platform"]
    spec = load_survey("lima2026")
    data = pd.DataFrame({"country": ["PT"] * 120 + ["DE "] * 100 + ["FR"] * 99 + [" "] * 5 + [None]})
    label, groups = split_answers(data, spec, "country")
    assert label == "country"
    assert groups.value_counts().to_dict() == {"PT": 120, "DE": 100}
    assert small_groups(data, spec, "country") == ("Fewer than 100 respondents, left out: FR (n = 99).",)


def test_too_few_rows_name_level_and_size() -> None:
    groups = pd.Series(["a"] * 50 + ["b"] * 9 + ["c"] * 10 + [None])
    assert too_small(groups, 8) == ""
    text = too_small(groups, 9)
    assert text.startswith("b (n = 9): a covariance matrix of 9 items needs more than 9 respondents in each group")
    assert "'minimum'" in text
    assert too_small(groups, 10).startswith("b (n = 9), c (n = 10): ")
    assert too_small(groups[:50], 3) == "at least two groups are needed; found: a (n = 50)"
    assert too_small(pd.Series([None, None], dtype=object), 3) == "at least two groups are needed; found: none"


def test_bad_names_are_named() -> None:
    spec = load_survey("lima2026")
    with pytest.raises(DataError, match=r"no group or fact 'rool'\. Did you mean 'role'"):
        split_answers(frame(2, 2), spec, "rool")
    with pytest.raises(DataError, match="'experience' is a number"):
        small_groups(frame(2, 2), spec, "experience")
    with pytest.raises(DataError, match="no column 'purchase_size', which tells the groups of 'purchase' apart"):
        split_answers(frame(2, 2), spec, "purchase")


@pytest.mark.parametrize(
    ("group", "text"),
    [
        ("{fact: f, label: l, levels: {a: [1], b: [2]}, rest: c}", "say with 'minimum' which groups are small"),
        ("{fact: f, label: l, levels: {a: [1], b: [2]}, minimum: 5, rest: b}", "'b' is already a level of group 'g'"),
        ("{fact: f, label: l, minimum: 5, rest: one}", "'one' is already a level of group 'g'"),
        ("{fact: f, label: l, minimum: 1}", "must be at least 2"),
        ("{fact: n, label: l}", "fact 'n' is a number, so it cannot define groups"),
        ("{fact: f, label: l, levels: {a: [1]}}", "needs at least two levels"),
        ("{fact: f, label: l, levels: {a: [1], b: [7]}}", "has no category 7"),
    ],
)
def test_bad_groups_in_a_survey(tmp_path, group: str, text: str) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "s.yaml"
    path.write_text(
        "kind: survey\nschema_version: 1\nid: s\ntitle: S\nformat: {low: 1, high: 5}\n"
        "scales: {A: {name: a, items: {a1: one}}}\n"
        "facts:\n  f: {label: f, type: categorical, categories: {1: one, 2: two}}\n  n: {label: n, type: number}\n"
        f"groups:\n  g: {group}\n",
        encoding="utf-8",
    )
    with pytest.raises(SpecError) as error:
        load_survey(path)
    assert text in str(error.value)
    assert ":11:" in str(error.value)


def test_texts_may_be_joined_by_name(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "s.yaml"
    path.write_text(
        "kind: survey\nschema_version: 1\nid: s\ntitle: S\nformat: {low: 1, high: 5}\n"
        "scales: {A: {name: a, items: {a1: one}}}\nfacts: {c: {label: c, type: text}}\n"
        "groups: {region: {fact: c, label: region, levels: {iberia: [PT, ES], other: [DE]}}}\n",
        encoding="utf-8",
    )
    groups = split_answers(pd.DataFrame({"c": ["PT", "ES", "DE", "FR"]}), load_survey(path), "region")[1]
    assert groups.tolist()[:3] == ["iberia", "iberia", "other"]
    assert groups.isna().tolist() == [False, False, False, True]
