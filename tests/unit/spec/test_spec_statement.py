from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from b2b_sem.spec.statement import remove_terms, render, split_statements


def test_comments_semicolons_and_breaks() -> None:
    text = "# first\nF =~ x1 +  # second\n  x2\n; G =~ y1 ! third\n + y2\nF ~\n G"
    assert render(split_statements(text)) == "F =~ x1 + x2\nG =~ y1 + y2\nF ~ G"


def test_modifiers_are_kept_as_written() -> None:
    text = "F =~ NA*x1 + c(a, b)*x2 + start(1e+2)*x3 + 0.5?x4\nx1 ~~ 0*x2\nd := a*b + 1\na == 2*b"
    assert render(split_statements(text)) == (
        "F =~ NA*x1 + c(a,b)*x2 + start(1e+2)*x3 + 0.5?x4\nx1 ~~ 0*x2\nd := a*b + 1\na == 2*b"
    )


def test_several_left_sides_become_several_statements() -> None:
    assert render(split_statements("a + b ~ x + y")) == "a ~ x + y\nb ~ x + y"


def test_positions_count_from_one() -> None:
    first, second = split_statements("A ~ b\n  C ~ 2*d +\n    e")
    assert (first.line, first.column, first.terms[0].line, first.terms[0].column) == (1, 1, 1, 5)
    assert (second.line, second.column) == (2, 3)
    assert [(t.variable, t.line, t.column) for t in second.terms] == [("d", 2, 7), ("e", 3, 5)]


def test_removing_a_term_ignores_its_modifier_and_the_side_of_a_covariance() -> None:
    statements = split_statements("Y ~ a*X + Z\nX ~~ Z\nY ~ W")
    left = remove_terms(statements, split_statements("Y ~ X\nZ ~~ X\nY ~ W"))
    assert render(left) == "Y ~ Z"


@pytest.mark.parametrize("text", ["", "  \n", "# only a comment", "no operator here"])
def test_text_without_statements(text: str) -> None:
    assert split_statements(text) == ()


names = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,4}", fullmatch=True)


@settings(derandomize=True, max_examples=60)
@given(
    st.lists(st.tuples(names, st.sampled_from(["~", "~~", "=~"]), st.lists(names, min_size=1, max_size=4)), min_size=1)
)
def test_rendered_text_reads_back_as_itself(lines: list[tuple[str, str, list[str]]]) -> None:
    text = "\n".join(f"{lhs} {op} {' + '.join(rhs)}" for lhs, op, rhs in lines)
    assert render(split_statements(text)) == text
