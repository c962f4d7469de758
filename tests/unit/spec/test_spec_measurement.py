"""The measurement part of a model: what is kept, what is left out and said, what is refused."""

from __future__ import annotations

import pytest

from b2b_sem.errors import ModelSyntaxError, Unsupported
from b2b_sem.spec.measurement import measurement_model
from b2b_sem.spec.syntax import parse_model


def test_regressions_and_scales_are_left_out() -> None:
    found = measurement_model(
        parse_model(
            "F =~ 1*x1 + x2 + lam*x3\nG =~ NA*y1 + y2 + y3 + x3\nG ~ b*F + age\nF ~~ 1*F\nx1 ~~ y1\nF ~~ 0*G\n"
            "F ~ 1\nx1 ~ 1\nx2 ~~ 0.3*x2\nind := b*b"
        )
    )
    assert found.text.splitlines() == [
        "F =~ x1",
        "F =~ x2",
        "F =~ x3",
        "G =~ y1",
        "G =~ y2",
        "G =~ y3",
        "G =~ x3",
        "x1 ~~ y1",
        "F ~~ 0.0*G",
        "x2 ~~ 0.3*x2",
    ]
    assert found.items == {"F": ("x1", "x2", "x3"), "G": ("y1", "y2", "y3", "x3")}
    assert found.factor == {"x1": "F", "x2": "F", "y1": "G", "y2": "G", "y3": "G"}
    assert "left out: G ~ F; G ~ age" in found.notes[0]


def test_a_pure_measurement_model_needs_no_note() -> None:
    assert measurement_model(parse_model("F =~ x1 + x2 + x3")).notes == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("F =~ x1 + x2\nx1 | t1", "ordinal"),
        ("F =~ x1 + x2\nH =~ F + x3", "measured by the latent variable F"),
        ("F =~ x1 + c(a, b)*x2 + x3", "of its own for the groups"),
        ("F =~ x1 + c(1, 2)*x2 + x3", "of its own for the groups"),
        ("F =~ x1 + a*x2 + a*x3", "label a makes parameters"),
        ("F =~ x1 + x2 + x3\nx1 ~ 0*1", "intercept of x1 is fixed"),
        ("F =~ x1 + a*x2 + x3\na > 0", "constraints"),
        ("F =~ x1 + lower(0)*x2 + x3", "bounds"),
        ("F =~ x1\nG =~ x2\nG ~ F", "one item"),
        ("group: 1\nF =~ x1 + x2 + x3\ngroup: 2\nF =~ x1 + x2 + x4", "models of their own"),
    ],
)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(Unsupported, match=message):
        measurement_model(parse_model(text))


def test_no_latent_variable() -> None:
    with pytest.raises(ModelSyntaxError, match="no latent variable"):
        measurement_model(parse_model("y ~ x"))
