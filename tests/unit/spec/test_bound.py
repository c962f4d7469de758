"""Automatic bounds: which parameters get which, and what the model text overrides. Numbers: tests/reference."""

from __future__ import annotations

import pytest

from b2b_sem.errors import ModelSyntaxError
from b2b_sem.spec.bound import BOUNDS, add_bounds
from b2b_sem.spec.partable import ParameterTable, build_table
from b2b_sem.spec.syntax import parse_model

TEXT = "f =~ a1 + a2 + a3\ng =~ b1 + b2 + b3\ng ~ f\nz ~ g\na1 ~~ b1"
VARIANCES = {"a1": 4.0, "a2": 1.0, "a3": 9.0, "b1": 1.0, "b2": 1.0, "b3": 16.0, "z": 2.0}


def bounded(kind: str, text: str = TEXT) -> tuple[ParameterTable, dict[str, tuple[float | None, float | None]]]:
    table = add_bounds(build_table(parse_model(text, "m.lav")), kind, VARIANCES)
    return table, {r.name: (r.lower, r.upper) for r in table.rows}


def test_standard_bounds_follow_the_sample_variances() -> None:
    _, found = bounded("standard")
    assert found["a1~~a1"] == pytest.approx((0.0, 3.6))
    assert found["a2~~a2"] == pytest.approx((0.0, 1.0))
    assert found["f~~f"] == pytest.approx((0.4, 4.0))
    assert found["g~~g"] == pytest.approx((0.005, 1.0))
    assert found["f=~a3"] == pytest.approx((-((9 / 0.4) ** 0.5), (9 / 0.4) ** 0.5))
    assert found["a1~~b1"] == pytest.approx((-0.998 * (3.6 * 0.9) ** 0.5, 0.998 * (3.6 * 0.9) ** 0.5))
    assert found["g~f"] == (None, None)
    assert found["f=~a1"] == (None, None)


def test_positive_variances_have_one_side() -> None:
    for kind, names in {"pos.var": ("a1~~a1", "f~~f"), "pos.ov.var": ("a1~~a1",), "pos.lv.var": ("f~~f",)}.items():
        _, found = bounded(kind)
        assert all(found[name] == (0.0, None) for name in names)
        assert found["f=~a2"] == (None, None)
    assert bounded("pos.ov.var")[1]["f~~f"] == (None, None)


def test_the_model_text_comes_first() -> None:
    _, found = bounded("standard", TEXT + "\na2 ~~ lower(0.2)*a2")
    assert found["a2~~a2"] == pytest.approx((0.2, 1.0))


def test_sides_that_contradict_are_refused_with_their_place() -> None:
    with pytest.raises(ModelSyntaxError, match="leave no value") as info:
        bounded("standard", TEXT + "\na2 ~~ lower(3)*a2")
    assert (info.value.file, info.value.line) == ("m.lav", 6)


def test_every_name_is_known_and_none_changes_nothing() -> None:
    for kind in BOUNDS:
        bounded(kind)
    assert not bounded("none")[0].bounded
    assert bounded("default")[0].bounded == bounded("wide")[0].bounded


def test_lower_above_upper_is_refused() -> None:
    with pytest.raises(ModelSyntaxError, match="above the upper") as info:
        build_table(parse_model("f =~ a1 + lower(2)*a2 + upper(1)*a2 + a3", "m.lav"))
    assert info.value.line == 1
