"""Thresholds and scales of ordinal variables: what the syntax means, and the default rows of the table."""

from __future__ import annotations

from typing import Any

import pytest

from b2b_sem.errors import ModelSyntaxError, Unsupported
from b2b_sem.spec.partable import ParameterTable, build_table, ordinal_names
from b2b_sem.spec.syntax import parse_model

MODEL = "f =~ x1 + x2 + u\ny ~ f + z"


def table(model: str = MODEL, **options: Any) -> ParameterTable:
    chosen = {"categories": {"x1": 3, "x2": 2, "y": 4}, **options}
    return build_table(parse_model(model), **chosen)


def test_statements_on_thresholds_and_scales_are_read() -> None:
    entries = parse_model("x1 + x2 | a*t1 + 0.5*t2\nx1 ~*~ NA*x1").entries
    assert [(e.lhs, e.op, e.rhs) for e in entries] == [
        ("x1", "|", "t1"),
        ("x1", "|", "t2"),
        ("x2", "|", "t1"),
        ("x2", "|", "t2"),
        ("x1", "~*~", "x1"),
    ]
    assert entries[0].modifiers.label == ("a",)
    assert entries[1].modifiers.fixed == (0.5,)
    assert entries[4].modifiers.fixed == (None,)


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("x1 | t0", 6, "'t0' is not a threshold"),
        ("x1 | t1 + x2", 11, "thresholds are t1, t2"),
        ("x1 ~*~ x2", 8, "names two variables"),
        ("x1 | t1\nx1 | t1", 6, "given twice"),
    ],
)
def test_statements_that_mean_nothing(text: str, column: int, words: str) -> None:
    with pytest.raises(ModelSyntaxError, match=words) as info:
        parse_model(text)
    assert info.value.column == column


def test_default_rows_are_lavaans() -> None:
    rows = [r for r in table().rows if not r.user]
    assert [r.name for r in rows] == [
        *("x1|t1", "x1|t2", "x2|t1", "y|t1", "y|t2", "y|t3"),
        *("x1~~x1", "x2~~x2", "u~~u", "y~~y", "f~~f", "z~~z"),
        *("x1~*~x1", "x2~*~x2", "y~*~y"),
        *("x1~1", "x2~1", "u~1", "y~1", "z~1", "f~1"),
    ]
    fixed = {r.name: r.value for r in rows if not r.free and not r.exo}
    assert fixed == {
        **{f"{v}~~{v}": 1.0 for v in ("x1", "x2", "y")},
        **{f"{v}~*~{v}": 1.0 for v in ("x1", "x2", "y")},
        **{f"{v}~1": 0.0 for v in ("x1", "x2", "y", "f")},
    }
    assert all(r.free for r in rows if r.op == "|")


def test_rows_of_the_user_come_first_and_keep_their_modifiers() -> None:
    made = table(MODEL + "\nx1 | 0*t1\ny | a*t3\nx1 ~ NA*1")
    assert made.rows[5].name == "x1|t1"
    assert made.rows[5].value == 0.0
    assert made.rows[6].label == "a"
    assert made.rows[7].free
    assert sum(r.name == "x1|t1" for r in made.rows) == 1
    assert made.ordered == ("x1", "x2", "y")
    assert made.parameterization == "delta"


def test_without_ordinal_variables_nothing_changes() -> None:
    plain = build_table(parse_model(MODEL))
    assert plain.ordered == ()
    assert not any(r.op in ("|", "~*~") for r in plain.rows)
    assert build_table(parse_model(MODEL), categories={}) == plain


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("x1 | t1", {"categories": None}, "thresholds and scales .* belong to ordinal variables"),
        ("u | t1", {}, "'u' is not one here"),
        ("u ~*~ u", {}, "'u' is not one here"),
        ("x1 ~~ x1", {}, "no parameter in the delta"),
        ("x1 ~*~ x1", {"parameterization": "theta"}, "follows from its residual variance"),
    ],
)
def test_what_does_not_go_with_a_parameterization(text: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(Unsupported, match=words) as info:
        table(f"{MODEL}\n{text}", **options)
    assert info.value.line == 3


def test_a_threshold_beyond_the_categories() -> None:
    with pytest.raises(ModelSyntaxError, match="x2 has 2 categories in the data, and so 1 thresholds: there is no t2"):
        table(MODEL + "\nx2 | t2")


def test_which_variables_are_ordinal() -> None:
    model = parse_model(MODEL + "\nu | t1")
    assert ordinal_names(model, True) == ["x1", "x2", "u", "y"]
    assert ordinal_names(model, ["y", "x1"]) == ["x1", "u", "y"]
    assert ordinal_names(model, False) == ["u"]
    with pytest.raises(ModelSyntaxError, match="Did you mean 'x1'"):
        ordinal_names(model, ["x11"])
    with pytest.raises(ModelSyntaxError, match="'z' only predicts"):
        ordinal_names(model, ["z"])
    with pytest.raises(ModelSyntaxError, match="'f' is not an observed variable"):
        ordinal_names(model, ["f"])


def test_a_single_ordinal_indicator_is_not_said_to_have_residual_variance_0() -> None:
    made = table("f =~ x1\ng =~ x2 + u + y\ng ~ f", categories={"x1": 3, "x2": 2})
    assert not any("residual variance of a single indicator" in text for text in made.defaults)
