from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from b2b_sem.errors import SpecError
from b2b_sem.spec.loader import digest, load_survey
from b2b_sem.spec.survey import SurveySpec


def survey(**changes: Any) -> SurveySpec:
    plain: dict[str, Any] = {
        "kind": "survey",
        "schema_version": 1,
        "id": "s",
        "title": "T",
        "format": {"high": 7, "missing": {8: "don't know", -99: "no answer"}},
        "scales": {
            "A": {
                "name": "a",
                "facets": {"f": "F", "g": "G"},
                "items": {
                    "a1": {"text": "one", "facet": "f"},
                    "a2": {"text": "two", "facet": "g", "reverse": True},
                    "a3": {"text": "three", "facet": "g", "dropped_because": "unclear in the pilot"},
                },
            },
            "B": {
                "name": "b",
                "format": {"low": 0, "high": 10},
                "items": {"b1": "one", "b2": {"text": "two", "format": {"high": 5, "missing": {9: "refused"}}}},
            },
        },
        "attention_checks": {"c1": {"text": "choose 2", "answer": 2}},
    }
    return SurveySpec.model_validate({**plain, **changes})


def test_items_of_scales_with_and_without_the_dropped_ones() -> None:
    spec = survey()
    assert spec.items() == ("a1", "a2", "b1", "b2")
    assert spec.items("A") == ("a1", "a2")
    assert spec.items("A", active_only=False) == ("a1", "a2", "a3")
    assert spec.reverse_items() == ("a2",)
    assert spec.reverse_items("B") == ()
    assert spec.scale_of("b2") == "B"
    assert spec.facet_items("A") == {"f": ("a1",), "g": ("a2",)}


def test_formats_go_from_item_to_scale_to_survey() -> None:
    spec = survey()
    assert [spec.range_of(item) for item in ("a1", "b1", "b2", "c1")] == [(1, 7), (0, 10), (1, 5), (1, 7)]
    assert spec.missing_codes("a1") == (-99, 8)
    assert spec.missing_codes("b2") == (9,)
    assert spec.format_of("b1").points == 11


def test_a_missing_code_inside_an_inherited_range_is_found() -> None:
    # 8 means "don't know" on the seven-point scales, and is an answer on the scale from 0 to 10.
    (problem,) = survey().problems()
    assert problem.loc == ("scales", "B", "format", "missing", 8)
    assert "is also a valid answer (0 to 10)" in problem.message


def test_unknown_names_are_answered_with_the_closest() -> None:
    with pytest.raises(SpecError, match=r"no item 'A1'\. Did you mean 'a1'"):
        survey().item("A1")
    with pytest.raises(SpecError, match="no scale 'C'"):
        survey().items("C")


def test_draft_notice_until_every_scale_has_a_doi() -> None:
    spec = survey()
    assert spec.notice == "draft, not validated"
    assert spec.draft_scales() == ("A", "B")
    plain = spec.model_dump(exclude_none=True)
    for scale in plain["scales"].values():
        scale["validated"] = {"doi": "10.1000/xyz"}
    validated = SurveySpec.model_validate(plain)
    assert validated.notice is None
    plain["scales"]["A"]["validated"] = False
    assert SurveySpec.model_validate(plain).draft_scales() == ("A",)


def test_survey_is_frozen_and_strict() -> None:
    spec = survey()
    with pytest.raises(ValidationError, match="frozen"):
        spec.title = "other"  # type: ignore[misc]
    with pytest.raises(ValidationError):
        survey(title=5)


def test_loaded_survey_knows_its_file(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(
        "kind: survey\nschema_version: 1\nid: s\ntitle: T\nformat: {high: 5}\nscales:\n  A: {name: a, items: {a1: x}}\n"
    )
    spec = load_survey(path)
    assert spec.source == path
    assert spec.base == tmp_path
    assert spec.digest == digest(path)
    assert len(digest(path)) == 64
    error = spec.error(("scales", "A", "items", "a1"), "something about a1")
    assert str(error) == f"{path}:7:28: something about a1"


def test_yaml_12_words_stay_words(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(
        "kind: survey\nschema_version: 1\nid: s\ntitle: no\nformat: {high: 5, anchors: {1: off, 5: on}}\n"
        "scales:\n  A: {name: yes, items: {a1: x}}\n"
    )
    spec = load_survey(path)
    assert (spec.title, spec.scales["A"].name, spec.format.anchors) == ("no", "yes", {1: "off", 5: "on"})


def test_aliases_are_written_out(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(
        "kind: survey\nschema_version: 1\nid: s\ntitle: &t T\nformat: &f {high: 5}\n"
        "scales:\n  A: {name: &t a, format: *f, items: {a1: *t}}\n"
    )
    spec = load_survey(path)
    assert (spec.range_of("a1"), spec.item("a1").text) == ((1, 5), "a")


def test_byte_order_mark_and_windows_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    text = "kind: survey\r\nschema_version: 1\r\nid: s\r\ntitle: é\r\n"
    text += "format: {high: 5}\r\nscales: {A: {name: a, items: {a1: x}}}\r\n"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert load_survey(path).title == "é"
