"""Linear constraints: the same as labels where they say the same, counted once, refused where they cannot hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from engine_case import THREE, compiled, frame

import b2b_sem as bs
from b2b_sem.engine.native.constraint import linear_constraints
from b2b_sem.errors import ModelSyntaxError, Unsupported
from b2b_sem.results.fit import FitResult
from b2b_sem.spec.partable import build_table
from b2b_sem.spec.syntax import parse_model

FREE = "f =~ x1 + a*x2 + b*x3\ng =~ x4 + c*x5 + d*x6\ng ~ p*f\nx1 ~~ v*x1\nx4 ~~ w*x4"


def native(text: str) -> FitResult:
    found = bs.fit(text, frame(), engine="native")
    assert found.ok, found.warnings
    return found


def column(found: FitResult, name: str) -> dict[str, float]:
    table = found.parameters
    return dict(zip(table["lhs"] + table["op"] + table["rhs"], table[name], strict=True))


@pytest.mark.parametrize(
    ("constraints", "labels"),
    [
        ("a == c", {"c": "a"}),
        ("c == a", {"c": "a"}),
        ("a - c == 0", {"c": "a"}),
        ("3*a == 3*c", {"c": "a"}),
        ("a == c\nb == d", {"c": "a", "d": "b"}),
        ("a == b\nb == c\nc == d", {"b": "a", "c": "a", "d": "a"}),
        ("v == w", {"w": "v"}),
        ("e := a - c\ne == 0", {"c": "a"}),
    ],
)
def test_equations_of_labels_are_shared_labels(constraints: str, labels: dict[str, str]) -> None:
    text = FREE
    for old, new in labels.items():
        text = text.replace(f"{old}*", f"{new}*")
    a, b = native(FREE + "\n" + constraints), native(text)
    assert a.measures["df"] == b.measures["df"] == native(FREE).measures["df"] + len(labels)
    assert a.measures["npar"] == b.measures["npar"]
    for name in ("chisq", "cfi", "rmsea", "srmr", "bic", "ecvi"):
        assert a.measures[name] == pytest.approx(b.measures[name], rel=1e-9), name
    for name in ("est", "se", "z", "std_all"):
        x, y = column(a, name), column(b, name)
        np.testing.assert_allclose([x[k] for k in y], list(y.values()), rtol=1e-7, atol=1e-10, err_msg=name)
    np.testing.assert_allclose(
        a.standardized()["se"][: len(b.standardized())], b.standardized()["se"], rtol=1e-6, atol=1e-9
    )


@pytest.mark.parametrize(
    ("constraint", "fixed"),
    [("a == 0.9", ("a*x2", "0.9*x2")), ("2*a - 1 == 0.8", ("a*x2", "0.9*x2")), ("p == sqrt(0.25)", ("p*f", "0.5*f"))],
)
def test_an_equation_with_a_number_fixes_the_parameter(constraint: str, fixed: tuple[str, str]) -> None:
    a, b = native(f"{FREE}\n{constraint}"), native(FREE.replace(*fixed))
    assert (a.measures["npar"], a.measures["df"]) == (b.measures["npar"], b.measures["df"])
    assert a.measures["chisq"] == pytest.approx(b.measures["chisq"], rel=1e-9)
    for name in ("est", "se"):
        np.testing.assert_allclose(
            list(column(a, name).values()), list(column(b, name).values()), rtol=1e-6, atol=1e-8, err_msg=name
        )


def test_effect_coding_is_another_scale_of_the_same_model() -> None:
    text = "f =~ NA*x1 + a*x1 + b*x2 + c*x3\ng =~ x4 + x5 + x6\na + b + c == 3"
    a, b = native(text), native("f =~ x1 + x2 + x3\ng =~ x4 + x5 + x6")
    est = column(a, "est")
    assert est["f=~x1"] + est["f=~x2"] + est["f=~x3"] == pytest.approx(3.0, abs=1e-12)
    assert a.measures["df"] == b.measures["df"]
    assert a.measures["chisq"] == pytest.approx(b.measures["chisq"], rel=1e-9)
    np.testing.assert_allclose(a.standardized()["est_std"], b.standardized()["est_std"], rtol=1e-7)
    np.testing.assert_allclose(a.standardized()["se"], b.standardized()["se"], rtol=1e-6, atol=1e-7)


def test_standard_errors_obey_the_constraints() -> None:
    found = native(FREE + "\na + b == 2*c\nsum := a + b - 2*c\ndouble := 2*c")
    se, est = column(found, "se"), column(found, "est")
    assert est["sum:=a+b-2*c"] == pytest.approx(0.0, abs=1e-10)
    assert se["sum:=a+b-2*c"] == pytest.approx(0.0, abs=1e-8)
    assert se["double:=2*c"] == pytest.approx(2 * se["g=~x5"], rel=1e-9)


@pytest.mark.parametrize(
    ("constraints", "redundant", "rank"),
    [
        ("a == c\nc == a", "c == a", 1),
        ("a == b\nb == c\n2*a == 2*c", "2*a == 2*c", 2),
        ("a == 1\na + 0 == 1", "a+0 == 1", 1),
        ("a == a", "a == a", 0),
        ("a == c\n1000*a - 1000*c == 0", "1000*a-1000*c == 0", 1),
    ],
)
def test_redundant_equations_are_reported_and_not_counted(constraints: str, redundant: str, rank: int) -> None:
    found = native(FREE + "\n" + constraints)
    assert any("Redundant" in w and redundant in w for w in found.warnings)
    free = native(FREE)
    assert found.measures["df"] == free.measures["df"] + rank
    assert found.measures["npar"] == free.measures["npar"] - rank


@pytest.mark.parametrize(
    ("constraints", "line"),
    [
        ("a == 1\na == 2", 7),
        ("a == b\nb == c\na - c == 0.1", 8),
        ("k == 3", 6),
        ("2 == 3", 6),
        ("a == 1000000\na == 1000001", 7),
    ],
)
def test_contradictions_are_refused_with_their_place(constraints: str, line: int) -> None:
    text = FREE.replace("p*f", "p*f + k*1").replace("k*1", "x9\nx9 ~ 2*x10 + k*x10") if "k" in constraints else FREE
    text = (
        FREE + "\n" + constraints
        if "k" not in constraints
        else FREE.replace("x1 + a", "1*x1 + k*x1 + a") + "\n" + constraints
    )
    table = build_table(parse_model(text, "m.lav"))
    with pytest.raises(ModelSyntaxError, match="contradicts") as info:
        linear_constraints(table)
    assert (info.value.file, info.value.line, info.value.column) == ("m.lav", line, 1)


@pytest.mark.parametrize(
    "constraint",
    [
        "a*b == 1",
        "a == b^2",
        "exp(a) == b",
        "a == b/c",
        "abs(a) == b",
        "abs(a+5) == b",
        "log(a) == 0",
        "sqrt(a) == b",
        "e := a*b\ne == c",
    ],
)
def test_what_is_not_linear_is_no_linear_constraint(constraint: str) -> None:
    table = build_table(parse_model(FREE + "\n" + constraint))
    with pytest.raises(Unsupported, match="not linear") as info:
        linear_constraints(table)
    assert info.value.line == 6 + constraint.count("\n")
    assert linear_constraints(table, skip_nonlinear=True) is None


def test_definitions_without_value_everywhere_do_not_matter_to_other_constraints() -> None:
    constraints = compiled(FREE + "\nl := log(a)\na == c").constraints
    assert constraints is not None
    assert constraints.rank == 1


def test_basis_and_projection() -> None:
    c = compiled(FREE + "\na + 2*b == 3\nc == d")
    k = c.constraints
    assert k is not None
    assert (k.rank, k.basis.shape) == (2, (c.q, c.q - 2))
    np.testing.assert_allclose(k.basis.T @ k.basis, np.eye(c.q - 2), atol=1e-14)
    at = {r.label: r.free - 1 for r in c.table.rows if r.label}
    theta = np.random.default_rng(1).normal(size=c.q)
    inside: Any = k.project(theta)
    assert inside[at["a"]] + 2 * inside[at["b"]] == pytest.approx(3.0, abs=1e-12)
    assert inside[at["c"]] == pytest.approx(inside[at["d"]], abs=1e-12)
    np.testing.assert_allclose(k.project(inside), inside, atol=1e-12)
    # the closest point: what is left is orthogonal to every direction that is allowed
    np.testing.assert_allclose(k.basis.T @ (theta - inside), 0.0, atol=1e-12)


def test_no_equation_no_constraints() -> None:
    assert linear_constraints(build_table(parse_model(THREE))) is None


def test_semopy_refuses_constraints_and_auto_says_who_ran() -> None:
    with pytest.raises(Unsupported, match="'==' constraints"):
        bs.fit(FREE + "\na == c", frame(), engine="semopy")
    found = bs.fit(FREE + "\na == c", frame())
    assert found.engine == "native"
    assert any("native engine was used" in note for note in found.notes)
