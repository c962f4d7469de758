"""lavaan model syntax: what is understood, and where and how a mistake is reported."""

from __future__ import annotations

import pytest

from b2b_sem.errors import B2BSemError, ModelSyntaxError, Unsupported
from b2b_sem.spec import expression as ex
from b2b_sem.spec.syntax import Entry, Modifiers, parse_model


def entries(text: str) -> list[tuple[str, str, str]]:
    return [(e.lhs, e.op, e.rhs) for e in parse_model(text).entries]


def only(text: str) -> Entry:
    (entry,) = parse_model(text).entries
    return entry


# -- statements --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("f =~ x1 + x2", [("f", "=~", "x1"), ("f", "=~", "x2")]),
        ("y ~ x + z", [("y", "~", "x"), ("y", "~", "z")]),
        ("a ~~ b", [("a", "~~", "b")]),
        ("a ~~ a", [("a", "~~", "a")]),
        ("y ~ 1", [("y", "~1", "")]),
        ("y ~ 1 + x", [("y", "~1", ""), ("y", "~", "x")]),
        ("y + z ~ x", [("y", "~", "x"), ("z", "~", "x")]),
        ("f=~x1;g=~x2 ; ", [("f", "=~", "x1"), ("g", "=~", "x2")]),
        ("f =~ x1;;; g =~ x2", [("f", "=~", "x1"), ("g", "=~", "x2")]),
        ("f =~ x1 +\n  x2 +\n\n x3", [("f", "=~", "x1"), ("f", "=~", "x2"), ("f", "=~", "x3")]),
        ("f =~ x1\n  + x2", [("f", "=~", "x1"), ("f", "=~", "x2")]),
        ("y ~\nx", [("y", "~", "x")]),
        ("f =~ x1 + # one\n x2 # two; y ~ z\n! three\ny ~ f", [("f", "=~", "x1"), ("f", "=~", "x2"), ("y", "~", "f")]),
        ("\ty ~ x\r\nz ~ y\r\n", [("y", "~", "x"), ("z", "~", "y")]),
        ("名 =~ größe + x_1.2", [("名", "=~", "größe"), ("名", "=~", "x_1.2")]),
        ("groups ~ x\nlevel2 ~ groups", [("groups", "~", "x"), ("level2", "~", "groups")]),
    ],
)
def test_statements(text: str, expected: list[tuple[str, str, str]]) -> None:
    assert entries(text) == expected


def test_entries_know_their_place() -> None:
    places = [(e.rhs, e.line, e.column) for e in parse_model("# é\nf =~ x1 +\n  0.5*x2; y ~ a*f").entries]
    assert places == [("x1", 2, 6), ("x2", 3, 7), ("f", 3, 17)]


def test_statements_need_no_blanks() -> None:
    assert parse_model("f=~NA*x1+a*x2").entries[1].modifiers == Modifiers(label=("a",))


# -- modifiers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("term", "modifiers"),
    [
        ("x", Modifiers()),
        ("0.5*x", Modifiers(fixed=(0.5,))),
        (".5*x", Modifiers(fixed=(0.5,))),
        ("2.*x", Modifiers(fixed=(2.0,))),
        ("-1.5e-2*x", Modifiers(fixed=(-0.015,))),
        ("+1E2*x", Modifiers(fixed=(100.0,))),
        ("--2*x", Modifiers(fixed=(2.0,))),
        ("NA*x", Modifiers(fixed=(None,))),
        ("a.b_1*x", Modifiers(label=("a.b_1",))),
        ('"lab"*x', Modifiers(label=("lab",))),
        ("'lab'*x", Modifiers(label=("lab",))),
        ('label("lab")*x', Modifiers(label=("lab",))),
        ("start(0.5)*x", Modifiers(start=(0.5,))),
        ("start(-0.5)*x", Modifiers(start=(-0.5,))),
        ("0.5?x", Modifiers(start=(0.5,))),
        ('equal("F =~ x1")*x', Modifiers(equal="F=~x1")),
        ("equal(a)*x", Modifiers(equal="a")),
        ("c(a, b)*x", Modifiers(label=("a", "b"))),
        ("c(NA, 1, -2)*x", Modifiers(fixed=(None, 1.0, -2.0))),
        ("start(1, 2)*x", Modifiers(start=(1.0, 2.0))),
        ("NA*a*x", Modifiers(fixed=(None,), label=("a",))),
        ("a*x + start(.5)*x", Modifiers(start=(0.5,), label=("a",))),
        ("NA*x + a*x + start(.5)*x", Modifiers(fixed=(None,), start=(0.5,), label=("a",))),
        ("0*1", Modifiers(fixed=(0.0,))),
        ("a*1", Modifiers(label=("a",))),
        ("0", Modifiers(fixed=(0.0,))),
    ],
)
def test_modifiers(term: str, modifiers: Modifiers) -> None:
    assert only(f"y ~ {term}").modifiers == modifiers


def test_a_comment_sign_inside_quotes_is_text() -> None:
    with pytest.raises(ModelSyntaxError, match="'a#b' cannot be a label"):
        parse_model('y ~ "a#b"*x')


# -- constraints -------------------------------------------------------------------------------------------------------


def test_definition_and_constraint() -> None:
    model = parse_model("y ~ a*x + b*z\n  ind := a * b\na == 2 * b")
    define, equal = model.constraints
    assert (define.op, define.name, define.text, define.line, define.column) == (":=", "ind", "a*b", 2, 3)
    assert define.right == ex.Binary("*", ex.Name("a", 2, 10), ex.Name("b", 2, 14))
    assert (equal.op, equal.name, equal.line, equal.column) == ("==", "a", 3, 1)
    assert equal.right == ex.Binary("*", ex.Number(2.0), ex.Name("b", 3, 10))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2+3*4", 14.0),
        ("(2+3)*4", 20.0),
        ("2-3-4", -5.0),
        ("2/4/2", 0.25),
        ("2^3^2", 512.0),
        ("2**3", 8.0),
        ("-2^2", -4.0),
        ("(-2)^2", 4.0),
        ("2^-1", 0.5),
        ("2*-3", -6.0),
        ("--2", 2.0),
        ("+2", 2.0),
        ("1-+2", -1.0),
        ("exp(0)+sqrt(4)*log10(100)", 5.0),
        ("1.5e1*.2", 3.0),
    ],
)
def test_arithmetic_has_the_usual_precedence(text: str, value: float) -> None:
    (constraint,) = parse_model(f"d := {text}").constraints
    assert ex.evaluate(constraint.right, {})[0] == pytest.approx(value, rel=1e-15)


# -- errors ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("y ~ x +", 1, 8, "ends too early after '~'; expected a name"),
        ("f =~ x1\ny ~ x z", 2, 7, "unexpected 'z' after '~'; expected .*'\\*'"),
        ("y z ~ x", 1, 3, "unexpected 'z' before '~'"),
        ("2*y ~ x", 1, 1, "unexpected '2' before '~'; expected a name"),
        ("log(y) ~ x", 1, 4, "unexpected '\\(' before '~'"),
        ("f =~ x1 + x2 @ x3", 1, 14, "unexpected '@' after '=~'"),
        ("y ~ 1x", 1, 6, "unexpected 'x'"),
        ('y ~ "open*x', 1, 5, "unexpected '\"'"),
        ("y ~ (x)", 1, 5, "unexpected '\\('"),
        ("f =~ x1 +\n x2 + + x3", 2, 9, "unexpected 'x3'"),
        ("y ~", 1, 3, "nothing stands after '~'"),
        ("  ~ x", 1, 3, "nothing stands before '~'"),
        ("a == ", 1, 3, "nothing stands after '=='"),
        ("\n := a", 2, 2, "nothing stands before ':='"),
        ("y x", 1, 1, "'y x' has no operator"),
        ("y ~ x;  z", 1, 9, "'z' has no operator"),
        ("y = x", 1, 3, "'=' is not an operator"),
        ("y ~ x ~ z", 1, 7, "a second operator '~'"),
        ("a == b == c", 1, 8, "a second operator '=='"),
        ("f =~ 1", 1, 6, "expected a variable name, found a number"),
        ("y ~ 2", 1, 5, "expected a variable name, found a number"),
        ("y ~ x*2", 1, 7, "expected a variable name, found a number"),
        ("y ~ start(1)", 1, 5, "expected a variable name at the end"),
        ("y ~ NA", 1, 5, "NA is a modifier"),
        ("y ~ x + y", 1, 9, "'y' is regressed on itself"),
        ("f =~ f", 1, 6, "'f' cannot measure itself"),
        ("y ~ x\ny ~ z\ny ~ w + x", 3, 9, r"'y ~ x' is given twice \(first in line 1\)"),
        ("f =~ x1 + x1", 1, 11, "given twice"),
        ("a ~~ b\nb ~~ a", 2, 6, r"'b ~~ a' is given twice \(first in line 1\)"),
        ("y ~ a*x\ny ~ start(1)*x", 2, 14, "given twice"),
        ("y ~ 1\ny ~ 1", 2, 5, "'y ~ 1' is given twice"),
        ("y ~ a:b*x", 1, 5, "a label cannot contain ':'"),
        ('y ~ "my label"*x', 1, 5, "'my label' cannot be a label"),
        ("y ~ c(a, 1)*x", 1, 5, "either numbers or labels"),
        ("y ~ c()*x", 1, 5, "needs an argument"),
        ("y ~ start(a)*x", 1, 5, "start\\(\\) takes numbers"),
        ("y ~ equal(1)*x", 1, 5, "equal\\(\\) takes a text"),
        ("y ~ z + a?x", 1, 9, "'\\?' stands after a number"),
        ("y ~ 2*3*x", 1, 7, "two values"),
        ("y ~ NA*0*x", 1, 8, "two values"),
        ("y ~ a*x + b*x", 1, 13, "two labels"),
        ("y ~ start(1)*2?x", 1, 14, "two starting values"),
        ("d := a*b*", 1, 10, "ends too early after ':='"),
        ("d := a b", 1, 8, "unexpected 'b' after ':='"),
        ("d := (a", 1, 8, "ends too early .*expected .*'\\)'"),
        ("a + b := c", 1, 1, "':=' defines one name"),
        ("d := f(a)", 1, 6, "unknown function 'f'"),
    ],
)
def test_mistakes_are_placed_and_explained(text: str, line: int, column: int, message: str) -> None:
    with pytest.raises(ModelSyntaxError, match=message) as info:
        parse_model(text, "m.lav")
    assert (info.value.line, info.value.column) == (line, column)
    assert str(info.value).startswith(f"m.lav:{line}:{column}: ")
    assert info.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "guess"),
    [("y ~ strt(1)*x", "start"), ("y ~ eqal('a')*x", "equal"), ("d := lgo(a)", "log"), ("d := sqr(a)", "sqrt")],
)
def test_close_words_are_offered(text: str, guess: str) -> None:
    with pytest.raises(ModelSyntaxError, match=f"Did you mean '{guess}'"):
        parse_model(text)


def test_products_are_entries() -> None:
    entries = parse_model("y ~ x + a*x:z\nf =~ x1").entries
    assert [(e.lhs, e.op, e.rhs, e.modifiers.label) for e in entries[:2]] == [
        ("y", "~", "x", ()),
        ("y", "~", "x:z", ("a",)),
    ]


@pytest.mark.parametrize("text", ["y ~ x:z:w", "f =~ x:z", "x ~~ x:z", "y ~ y:z"])
def test_products_of_two_predict_a_third(text: str) -> None:
    with pytest.raises(ModelSyntaxError, match="cannot stand here"):
        parse_model(text)


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("f =~ x1\nf <~ x2", 2, 3, "composite"),
        ("\n class: 1\ny ~ x", 2, 2, "blocks"),
        ("level : 2\ny ~ x", 1, 1, "blocks"),
        ("y ~ prior(0)*x", 1, 5, "prior"),
        ("y ~ rv('a')*x", 1, 5, "rv"),
    ],
)
def test_what_is_not_available_is_refused_by_name(text: str, line: int, column: int, message: str) -> None:
    with pytest.raises(Unsupported, match=message) as info:
        parse_model(text)
    assert (info.value.line, info.value.column) == (line, column)
    assert info.value.hint


@pytest.mark.parametrize("text", ["", "  \n ", "# nothing\n! here"])
def test_an_empty_model_says_so(text: str) -> None:
    with pytest.raises(ModelSyntaxError, match="the model is empty"):
        parse_model(text)


def test_model_text_is_never_run() -> None:
    for text in ("d := __import__('os')", "d := a.__class__()", "d := (lambda: 1)()", "y ~ exec('1')*x"):
        with pytest.raises(B2BSemError):
            parse_model(text)


@pytest.mark.parametrize(
    ("text", "op", "statement"),
    [
        ("a > 0", ">", "a > 0"),
        ("a < -1", "<", "a < -1"),
        ("a <= 2*b", "<", "a < 2*b"),
        ("0.5 >= a^2", ">", "0.5 > a^2"),
        ("a == exp(b)", "==", "a == exp(b)"),
    ],
)
def test_inequalities(text: str, op: str, statement: str) -> None:
    (constraint,) = parse_model("y ~ a*x + b*z\n" + text).constraints
    assert (constraint.op, constraint.statement, constraint.line, constraint.column) == (op, statement, 2, 1)


def test_bounds_are_modifiers() -> None:
    (entry,) = parse_model("y ~ a*x + lower(-0.5)*x + upper(2)*x").entries
    assert (entry.modifiers.label, entry.modifiers.lower, entry.modifiers.upper) == (("a",), (-0.5,), (2.0,))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("y ~ lower(a)*x", "takes numbers"),
        ("y ~ upper()*x", "argument|unexpected"),
        ("y ~ lower(0)*lower(1)*x", "two lower bounds"),
        ("y ~ x\na<-1", "not an operator"),
        ("y ~ a*x\n0 < a < 1", "second operator"),
        ("y ~ a*x\na >", "nothing stands after"),
    ],
)
def test_bad_bounds_say_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(ModelSyntaxError, match=message) as info:
        parse_model(text)
    assert info.value.line is not None
