"""Which product a question of moderation is about, and the model of a split."""

from __future__ import annotations

import pytest

from b2b_sem.errors import DataError, ModelSyntaxError, Unsupported
from b2b_sem.spec.question import Question, find_question, items_of, split_model
from b2b_sem.spec.syntax import parse_model

MODEL = """
A =~ a1 + a2
B =~ 1*b1 + l*b2
F =~ f1 + f2
G =~ g1 + g2
M =~ F + G
Y =~ y1 + l*y2
B ~ A + M
Y ~ p*A + B + M + w + A:M
a1 ~~ y1
f1 ~~ f2
Y ~~ 0.5*Y
high := p
"""


def ask(text: str, *names: str | None, **more: str) -> Question:
    return find_question(parse_model(text), *names, **more)


def test_the_only_product_needs_no_name() -> None:
    found = ask(MODEL)
    assert (found.outcome, found.product, found.focal, found.moderator) == ("Y", "A:M", "A", "M")
    assert ask(MODEL, "M:A", "Y").moderator == "A"  # the second factor as it is asked
    assert ask(MODEL, "M:A").product == "A:M"
    assert ask(MODEL, moderator="A").focal == "M"
    square = ask(MODEL.replace("A:M", "A:A"))
    assert (square.focal, square.moderator, square.factors) == ("A", "A", ("A", "A"))


def test_questions_without_an_answer() -> None:
    with pytest.raises(ModelSyntaxError, match="no product"):
        ask("y ~ x + z")
    with pytest.raises(ModelSyntaxError, match="has no 'B ~ A:M'"):
        ask(MODEL, "A:M", "B")
    with pytest.raises(ModelSyntaxError, match="has no 'A:B'"):
        ask(MODEL, "A:B")
    with pytest.raises(ModelSyntaxError, match=r"several products: Y ~ A:M, Y ~ B:M"):
        ask(MODEL + "Y ~ B:M")
    assert ask(MODEL + "Y ~ B:M", "B:M").focal == "B"
    with pytest.raises(DataError, match="no product of two"):
        ask(MODEL, "A*M")
    with pytest.raises(DataError, match="no factor of A:M"):
        ask(MODEL, moderator="B")
    with pytest.raises(Unsupported, match="models of their own"):
        ask("group: 1\nY =~ y1 + y2 + y3\nY ~ x:z\ngroup: 2\nY =~ y1 + y2 + y3\nY ~ x:z")


def test_items_through_latents() -> None:
    parsed = parse_model(MODEL)
    assert items_of(parsed, "M") == ("f1", "f2", "g1", "g2")
    assert items_of(parsed, "w") == ("w",)


def test_the_model_of_a_split_has_no_moderator() -> None:
    text, dropped = split_model(ask(MODEL))
    assert dropped == ("B ~ M",)
    assert text.splitlines() == [
        "A =~ a1",
        "A =~ a2",
        "B =~ 1.0*b1",
        "B =~ l*b2",
        "Y =~ y1",
        "Y =~ l*y2",
        "B ~ A",
        "Y ~ A",
        "Y ~ B",
        "Y ~ w",
        "a1 ~~ y1",
        "Y ~~ 0.5*Y",
    ]
    parse_model(text)


def test_the_path_is_there_even_if_the_model_has_none() -> None:
    text, dropped = split_model(ask("X =~ x1 + x2 + x3\nY =~ y1 + y2 + y3\nY ~ w + X:w + X:X", "X:w"))
    assert text.splitlines()[-1] == "Y ~ X"
    assert dropped == ("Y ~ X:X",)


def test_splits_that_make_no_sense() -> None:
    with pytest.raises(Unsupported, match="whose own effect"):
        split_model(ask(MODEL.replace("A:M", "A:A")))
    with pytest.raises(Unsupported, match="bounds"):
        split_model(ask(MODEL.replace("Y ~ p*A", "Y ~ lower(0)*A")))
