"""Parameter tables row by row against lavaan's, and what may not be said in a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from b2b_sem.engine.inference import count_df
from b2b_sem.engine.native.constraint import linear_constraints
from b2b_sem.errors import ModelSyntaxError
from b2b_sem.spec import expression as ex
from b2b_sem.spec.partable import ParameterTable, Row, build_table
from b2b_sem.spec.syntax import parse_model

REFERENCE = json.loads((Path(__file__).parent / "partable_reference.json").read_text(encoding="utf-8"))
CASES: dict[str, dict[str, Any]] = {case["id"]: case for case in REFERENCE["cases"]}
OPTIONS = ("fixed_x", "std_lv", "orthogonal")
each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def table(text: str, **options: Any) -> ParameterTable:
    return build_table(parse_model(text), **options)


def case_table(case: dict[str, Any]) -> ParameterTable:
    return table(case["model"], meanstructure=case["options"]["meanstructure"] or None, **options_of(case))


def options_of(case: dict[str, Any]) -> dict[str, bool]:
    return {name: case["options"][name] for name in OPTIONS}


def row_of(built: ParameterTable, name: str) -> Row:
    (found,) = [r for r in built.rows if r.name == name]
    return found


def classes(pairs: list[tuple[str, str]]) -> set[frozenset[str]]:
    """Join pairs of equal parameters to classes."""
    out: list[set[str]] = []
    for pair in pairs:
        joined = set(pair)
        for known in [c for c in out if c & joined]:
            joined |= known
            out.remove(known)
        out.append(joined)
    return {frozenset(c) for c in out}


# -- against lavaan ----------------------------------------------------------------------------------------------------


def test_reference_is_from_the_pinned_lavaan() -> None:
    assert REFERENCE["lavaan"] == "0.6.14"
    assert len(CASES) == len(REFERENCE["cases"]) >= 40


@each_case
def test_rows_stand_in_lavaans_order(case: dict[str, Any]) -> None:
    ours = [(r.lhs, r.op, r.rhs, int(r.user)) for r in case_table(case).rows]
    assert ours == [tuple(row[:4]) for row in case["rows"]]


@each_case
def test_rows_are_free_or_fixed_as_in_lavaan(case: dict[str, Any]) -> None:
    for ours, (lhs, op, rhs, _, free, ustart, exo, _) in zip(case_table(case).rows, case["rows"], strict=True):
        name = f"{lhs}{op}{rhs}"
        assert bool(ours.free) == bool(free), name
        assert int(ours.exo) == exo, name
        # lavaan keeps starting values of free parameters and values of fixed ones in one column
        assert (ours.start if free else ours.value) == ustart, name


@each_case
def test_labels_and_equalities_are_lavaans(case: dict[str, Any]) -> None:
    built = case_table(case)
    names = [r.name for r in built.rows]
    wanted = classes([(names[i - 1], names[j - 1]) for i, j in case["equal"]])
    ours = classes(
        [(a.name, b.name) for a in built.rows for b in built.rows if a is not b and a.free and a.free == b.free]
    )
    assert ours == wanted
    for ours_row, (*_, label) in zip(built.rows, case["rows"], strict=True):
        # lavaan labels a parameter with the text of equal(); here the class gets a label of its own
        if "=~" in label:
            assert ours_row.label.startswith(".p")
        elif not ours_row.label.startswith(".p"):
            assert ours_row.label == label


@each_case
def test_variables_have_lavaans_roles_and_order(case: dict[str, Any]) -> None:
    built = case_table(case)
    assert list(built.observed) == case["observed"]
    assert list(built.latents) == case["latents"]
    assert list(built.exogenous) == case["exogenous"]


@each_case
def test_degrees_of_freedom_are_lavaans(case: dict[str, Any]) -> None:
    built = case_table(case)
    assert count_df(built, linear_constraints(built))[2] == case["df"]


@each_case
def test_free_numbers_count_up_in_row_order(case: dict[str, Any]) -> None:
    built = case_table(case)
    seen = list(dict.fromkeys(r.free for r in built.rows if r.free))
    assert seen == list(range(1, built.nfree + 1))


# -- written back ------------------------------------------------------------------------------------------------------


@each_case
def test_table_written_back_gives_the_same_table(case: dict[str, Any]) -> None:
    built = case_table(case)
    moments = {r.name: 0.25 * i for i, r in enumerate(built.rows) if r.exo}
    again = table(built.to_lavaan(moments))
    known = {r.name: r for r in again.rows}
    assert set(known) == {r.name for r in built.rows}
    for row in built.rows:
        twin = known[row.name]
        assert bool(twin.free) == bool(row.free), row.name
        assert twin.value == (moments[row.name] if row.exo else row.value), row.name
        assert (twin.start, twin.label) == (row.start, row.label), row.name
    pairs = [(a, b) for a in built.rows for b in built.rows if a.free and a.free == b.free]
    assert all(known[a.name].free == known[b.name].free for a, b in pairs)
    assert again.nfree == built.nfree
    assert [(c.op, ex.render(c.left), ex.render(c.right)) for c in again.constraints] == [
        (c.op, ex.render(c.left), ex.render(c.right)) for c in built.constraints
    ]
    # and once more, word for word
    assert again.to_lavaan() == built.to_lavaan(moments)


def test_written_back_without_moments_leaves_covariates_to_the_data() -> None:
    text = table("f =~ x1 + x2 + x3\nf ~ age + sex").to_lavaan()
    assert "age ~~" not in text
    assert [r.exo for r in table(text).rows if r.lhs == "age"] == [True, True]


def test_written_back_keeps_what_defaults_would_undo() -> None:
    text = table("f =~ NA*x1 + start(0.8)*x1 + a*x1 + x2 + x3\nf ~~ 1*f\ng =~ b*x4 + x5 + x6\nd := b + a").to_lavaan()
    again = table(text)
    assert row_of(again, "f=~x1").free
    assert (row_of(again, "f=~x1").start, row_of(again, "f=~x1").label) == (0.8, "a")
    assert (row_of(again, "g=~x4").value, row_of(again, "g=~x4").label) == (1.0, "b")


# -- defaults that are told --------------------------------------------------------------------------------------------


def test_applied_defaults_are_named() -> None:
    built = table("f =~ x1 + x2 + x3\ng =~ x4 + x5 + x6\nh =~ x7\ny ~ f + age\nz ~ g + sex\nh ~ f")
    assert built.defaults == (
        "The first loading of each latent variable is fixed at 1.",
        "Exogenous latent variables covary: f ~~ g.",
        "Residuals of outcomes that predict nothing covary: h ~~ y, h ~~ z, y ~~ z.",
        "Exogenous observed variables are taken as fixed (fixed_x): age, sex.",
        "The residual variance of a single indicator is fixed at 0: x7.",
    )


def test_defaults_that_were_not_applied_are_not_named() -> None:
    assert table("f =~ x1 + x2 + x3\ng =~ x4 + x5 + x6\nf ~~ 0*g", std_lv=True).defaults == (
        "Variances of latent variables are fixed at 1 (std_lv).",
    )
    assert table("f =~ x1 + x2 + x3\ng =~ x4 + x5 + x6", orthogonal=True).defaults[1:] == (
        "Covariances among latent variables are fixed at 0 (orthogonal).",
    )
    assert table("y ~ x + z", fixed_x=False).defaults == ("Exogenous observed variables covary: x ~~ z.",)


# -- what may not be said ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("y ~ x\nz ~ c(a, b)*x", 2, 13, "'z ~ x' has modifiers for 2 groups"),
        ("y ~ start(1, 2)*x", 1, 17, "has modifiers for 2 groups"),
        ("y ~ c(1, 2)*1", 1, 13, "'y ~ 1' has modifiers for 2 groups"),
        ('f =~ x1 + x2\ng =~ x3 + equal("f=~x9")*x4', 2, 26, r"names no parameter.* Did you mean 'f=~x2' or 'f=~x1'"),
        ("y ~ load*x\nd := 2*laod", 2, 8, "'laod' is not the label of any parameter. Did you mean 'load'"),
        ("y ~ a*x\na == b", 2, 6, "'b' is not the label"),
        ("y ~ a*x\nd := a\nd := 2*a", 3, 1, "'d' is defined twice"),
        ("y ~ a*x\na := 2*a", 2, 1, "'a' is already the label of a parameter"),
        ("y ~ a*x\nd := e\ne := f + a\nf := d", 2, 1, "the definition of 'd' refers to itself"),
        ("y ~ a*x\nd := 2*d", 2, 1, "the definition of 'd' refers to itself"),
    ],
)
def test_references_must_exist(text: str, line: int, column: int, message: str) -> None:
    with pytest.raises(ModelSyntaxError, match=message) as info:
        build_table(parse_model(text, "m.lav"))
    assert (info.value.file, info.value.line, info.value.column) == ("m.lav", line, column)


def test_a_model_needs_an_observed_variable() -> None:
    with pytest.raises(ModelSyntaxError, match="no observed variable"):
        table("f =~ g\ng =~ f")


def test_definitions_are_ordered_by_need() -> None:
    built = table("y ~ a*x\nd := e + 1\ne := 2*g\ng := a")
    assert [c.name for c in built.definitions] == ["g", "e", "d"]


def test_a_covariance_has_one_name() -> None:
    built = table("f =~ x1 + x2 + x3\ng =~ x4 + x5 + x6\nx5 ~~ s*x1\ng ~~ c*f\nx1 ~~ x1")
    assert row_of(built, "x1~~x5").label == "s"
    assert row_of(built, "f~~g").label == "c"
    assert row_of(built, "f~~g").user


def test_equal_finds_covariances_written_either_way() -> None:
    built = table('f =~ x1 + x2 + x3 + x4\nx1 ~~ x2\nx3 ~~ equal("x2~~x1")*x4')
    assert row_of(built, "x1~~x2").free == row_of(built, "x3~~x4").free > 0


def test_labels_that_look_like_own_numbers_do_not_tie_anything() -> None:
    built = table("f =~ x1 + .p3.*x2 + x3 + x4")
    assert len({r.free for r in built.rows if r.free}) == sum(r.free > 0 for r in built.rows)
