"""Arithmetic on parameters: values, derivatives, and text that means the same when read again."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from b2b_sem.errors import ModelError
from b2b_sem.spec.expression import FUNCTIONS, Binary, Call, Expression, Name, Negative, Number, evaluate, names, render
from b2b_sem.spec.syntax import parse_model

POINT = {"a": 0.4, "b": 0.7, "c": -0.3}


def read(text: str) -> Expression:
    return parse_model(f"d := {text}").constraints[0].right


def value_at(tree: Expression, point: dict[str, float]) -> float:
    return evaluate(tree, {k: (v, 0.0) for k, v in point.items()})[0]


def numeric_gradient(tree: Expression, point: dict[str, float]) -> np.ndarray[Any, Any]:
    out = []
    for name in point:
        h = 1e-5
        shifts = [value_at(tree, {**point, name: point[name] + k * h}) for k in (-2, -1, 1, 2)]
        out.append((shifts[0] - 8 * shifts[1] + 8 * shifts[2] - shifts[3]) / (12 * h))
    return np.array(out)


def analytic_gradient(tree: Expression, point: dict[str, float]) -> np.ndarray[Any, Any]:
    rows = np.eye(len(point))
    return np.zeros(len(point)) + evaluate(tree, {k: (v, rows[i]) for i, (k, v) in enumerate(point.items())})[1]


@pytest.mark.parametrize(
    "text",
    [
        "a+b",
        "a-b-c",
        "a*b*c",
        "a/b",
        "1/(a*c)",
        "-a*b",
        "a^2*c",
        "c^2",
        "c^-1",
        "c^(1+1)",
        "a^b",
        "(a+b)^c",
        "2^c",
        "a*b/(a*b+c)",
        "a^0",
        *(f"{name}(a*b)" for name in FUNCTIONS),
        "abs(c)*a",
        "exp(a)*log(b)-sqrt(a/b)",
        "tanh(a)+atanh(c)",
    ],
)
def test_derivatives_are_those_of_the_value(text: str) -> None:
    tree = read(text)
    np.testing.assert_allclose(analytic_gradient(tree, POINT), numeric_gradient(tree, POINT), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a+b*c", 0.4 + 0.7 * -0.3),
        ("a^2", 0.16),
        ("c^2", 0.09),
        ("c^-1", 1 / -0.3),
        ("a/b", 0.4 / 0.7),
        ("log(a)", math.log(0.4)),
        ("log2(8)", 3.0),
        ("log10(a)", math.log10(0.4)),
        ("abs(c)", 0.3),
        ("atanh(a)", math.atanh(0.4)),
        ("tan(a)+sin(b)*cos(c)", math.tan(0.4) + math.sin(0.7) * math.cos(-0.3)),
    ],
)
def test_values(text: str, value: float) -> None:
    assert value_at(read(text), POINT) == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize("text", ["log(c)", "sqrt(c)", "1/(a-a)", "c^a", "atanh(2)", "exp(10000)", "0^c"])
def test_values_that_do_not_exist_are_errors(text: str) -> None:
    with pytest.raises(ModelError, match="has no value") as info:
        value_at(read(text), POINT)
    assert render(read(text)) in str(info.value)


def test_names_come_left_to_right_with_repeats() -> None:
    assert [n.name for n in names(read("b*(a+exp(b))-c"))] == ["b", "a", "b", "c"]


leaves = st.one_of(
    st.sampled_from("abc").map(Name),
    st.floats(0, 1e6, allow_nan=False).map(Number),
)
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        inner.map(Negative),
        st.builds(Call, st.sampled_from(sorted(FUNCTIONS)), inner),
        st.builds(Binary, st.sampled_from("+-*/^"), inner, inner),
    ),
    max_leaves=12,
)


def bare(tree: Expression) -> Expression:
    """Return the tree without the places of its names."""
    match tree:
        case Name(name):
            return Name(name)
        case Negative(operand):
            return Negative(bare(operand))
        case Call(function, operand):
            return Call(function, bare(operand))
        case Binary(op, left, right):
            return Binary(op, bare(left), bare(right))
    return tree


@given(trees)
def test_written_and_read_again_is_the_same_tree(tree: Expression) -> None:
    assert bare(read(render(tree))) == tree


@pytest.mark.parametrize(
    "text", ["a+b*c", "(a+b)*c", "a-(b-c)", "a/(b/c)", "a^b^c", "(a^b)^c", "-(a*b)", "(-a)^2", "-a^2", "exp(a)^2"]
)
def test_written_with_no_more_parentheses_than_needed(text: str) -> None:
    assert render(read(text)) == text
