"""Nonlinear constraints, inequalities and bounds: exact derivatives, minima, standard errors, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from engine_case import THREE, compiled, derivative, frame

import b2b_sem as bs
from b2b_sem.engine.base import Array
from b2b_sem.engine.native.loss import objective
from b2b_sem.engine.native.quadratic import least_distance, quadratic_step
from b2b_sem.engine.native.restriction import Restrictions, restrict
from b2b_sem.errors import B2BSemError, ModelError, ModelSyntaxError, Unsupported
from b2b_sem.spec.partable import build_table
from b2b_sem.spec.syntax import parse_model

FREE = "f =~ x1 + a*x2 + b*x3\ng =~ x4 + c*x5 + d*x6\ng ~ p*f\nx1 ~~ v*x1\nx4 ~~ w*x4"


def native(text: str, **options: Any) -> Any:
    found = bs.fit(text, frame(), engine="native", **options)
    assert found.converged, found.warnings
    return found


def restrictions_of(constraints: str, text: str = FREE) -> Restrictions:
    found = restrict(build_table(parse_model(f"{text}\n{constraints}", "m.lav")))
    assert found is not None
    return found


# ---- derivatives -----------------------------------------------------------------------------------------------------

CURVED = [
    "a*b == 1",
    "a/b == c/d",
    "a^2 + b^3 - c^b == d^-1",
    "exp(a*b) > sqrt(c)*log(d)",
    "sin(a) + cos(b)*tan(c) < tanh(d)",
    "abs(a - 3)*b == log2(c) + log10(d)",
    "atanh(a/10) + 2^b == -(c*d)",
    "k := a*b\nm := k^2 + c\nm/k > d",
    "a^b + (a*c)^2 == 4",
]


@pytest.mark.parametrize("text", CURVED)
def test_derivatives_are_those_of_differences(text: str) -> None:
    made = restrictions_of(text)
    (item,) = made.items
    assert item.function is not None
    rng = np.random.default_rng(5)
    theta = rng.uniform(0.6, 1.6, made.q)

    def value(at: Array) -> Array:
        found = made.evaluate(at)
        assert found is not None
        return found[0]

    def slope(at: Array) -> Array:
        found = made.evaluate(at)
        assert found is not None
        return found[1][0]

    found = made.evaluate(theta)
    assert found is not None
    np.testing.assert_allclose(found[1], derivative(value, theta), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(
        made.curvature(theta, np.array([2.0])), 2 * derivative(slope, theta), rtol=1e-6, atol=1e-8
    )


def test_an_inequality_is_at_least_zero_in_either_direction() -> None:
    made = restrictions_of("a > 0.5\nb < 0.5\na*b < 2\nexp(c) > d")
    theta = np.zeros(made.q) + 1.0
    found = made.evaluate(theta)
    assert found is not None
    np.testing.assert_allclose(found[0], [0.5, -0.5, 1.0, math.e - 1.0])


def test_a_constraint_without_value_is_none() -> None:
    assert restrictions_of("log(a) == b").evaluate(-np.ones(13)) is None


def test_linear_equations_alone_need_none_of_this() -> None:
    for text in ("", "a == b", "a + 2*b == 3"):
        assert restrict(build_table(parse_model(FREE + "\n" + text))) is None


# ---- programs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(25))
def test_quadratic_steps_satisfy_the_conditions_of_a_minimum(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, m, k = int(rng.integers(3, 9)), int(rng.integers(0, 3)), int(rng.integers(1, 14))
    root = rng.normal(size=(n, n))
    matrix = root @ root.T + 0.1 * np.eye(n)
    inside = rng.normal(size=n)
    equations, rows, gradient = rng.normal(size=(m, n)), rng.normal(size=(k, n)), rng.normal(size=n)
    target, least = equations @ inside, rows @ inside - rng.uniform(0, 0.5, k) * (rng.random(k) < 0.7)
    step = quadratic_step(np.linalg.cholesky(matrix), gradient, equations, target, rows, least)
    assert step is not None
    slack = rows @ step.value - least
    np.testing.assert_allclose(equations @ step.value, target, atol=1e-9)
    assert slack.min() > -1e-9
    assert step.multipliers[m:].min() >= 0
    np.testing.assert_allclose(slack * step.multipliers[m:], 0, atol=1e-8)
    both = np.concatenate([equations, rows])
    np.testing.assert_allclose(matrix @ step.value + gradient, both.T @ step.multipliers, atol=1e-8)


def test_contradicting_inequalities_have_no_shortest_way() -> None:
    rows = np.array([[1.0, 0.0], [-1.0, 0.0]])
    assert least_distance(np.zeros((0, 2)), np.zeros(0), rows, np.array([1.0, 0.0])) is None


# ---- minima ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("constraint", "same"),
    [
        ("a*b == 1", "log(a) + log(b) == 0"),
        ("a^2 == b^2\na > 0\nb > 0", "a == b"),
        ("a*b == 0.8", "q := a*b\n2*q == 1.6"),
        ("exp(a) == exp(c)", "a == c"),
        ("a < 0.5", "b2 := 2*a\nb2 < 1"),
        ("a < 0.5", "exp(a) < exp(0.5)"),
        ("a > c", "0 > c - a"),
    ],
)
def test_two_ways_to_say_the_same(constraint: str, same: str) -> None:
    x, y = native(f"{FREE}\n{constraint}"), native(f"{FREE}\n{same}")
    assert (x.measures["df"], x.measures["npar"]) == (y.measures["df"], y.measures["npar"])
    assert x.measures["chisq"] == pytest.approx(y.measures["chisq"], rel=1e-9)
    rows = len(x._context.problem.table.rows)
    for name in ("est", "se"):
        np.testing.assert_allclose(x.parameters[name][:rows], y.parameters[name][:rows], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("inequality", "fixed"), [("a > 1.3", ("a*x2", "1.3*x2")), ("p < 0.3", ("p*f", "0.3*f"))])
def test_an_active_bound_gives_the_numbers_of_a_fixed_parameter(inequality: str, fixed: tuple[str, str]) -> None:
    x, y = native(f"{FREE}\n{inequality}"), native(FREE.replace(*fixed))
    assert x.measures["chisq"] == pytest.approx(y.measures["chisq"], rel=1e-9)
    assert x.measures["df"] == y.measures["df"] - 1
    np.testing.assert_allclose(x.parameters["se"], y.parameters["se"], rtol=1e-7, atol=1e-12)
    assert any("boundary" in w and inequality in w for w in x.warnings)


def test_constraints_that_do_not_bind_change_nothing() -> None:
    free = native(FREE)
    for text in ("a > 0.01", "a*b < 100\nc < 90", "v > 0\nw > 0"):
        held = native(f"{FREE}\n{text}")
        assert held.measures["chisq"] == pytest.approx(free.measures["chisq"], rel=1e-12)
        np.testing.assert_allclose(held.parameters["est"], free.parameters["est"], rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(held.parameters["se"], free.parameters["se"], rtol=1e-8)
        assert not any("boundary" in w for w in held.warnings)
    np.testing.assert_array_equal(native(THREE, bounds="none").parameters["est"], native(THREE).parameters["est"])


@pytest.mark.parametrize(
    "text", ["a*b == 0.7", "a*b < 0.5\nc > 1.2", "a + b == 1.5\nc*d == 1\np < 0.4", "a > b\nb > c"]
)
def test_no_feasible_neighbour_is_better(text: str) -> None:
    found = native(f"{FREE}\n{text}")
    problem, theta = found._context.problem, found._context.solution.theta
    base, least = found._context.solution.fmin, problem.restrictions
    rng = np.random.default_rng(3)
    basis = problem.constraints.basis
    for _ in range(40):
        near = theta + 1e-3 * basis @ rng.normal(size=basis.shape[1])
        values = least.evaluate(near)[0]
        # second order off the constraint: the fit can fall by no more than that
        assert objective(problem.structure, problem.moments, near) > base - 1e-4 * max(1e-9, np.abs(values).max())


@pytest.mark.parametrize("text", ["a*b == 0.9", "p^2 > 0.5", "c/d > 1.1"])
def test_units_do_not_matter(text: str) -> None:
    data = frame().copy()
    plain = native(f"{FREE}\n{text}")
    data[["x1", "x2", "x3"]] *= 1e3
    data[["x4", "x5", "x6"]] *= 1e3
    other = bs.fit(f"{FREE}\n{text}", data, engine="native")
    assert other.measures["chisq"] == pytest.approx(plain.measures["chisq"], rel=1e-8)
    np.testing.assert_allclose(other.standardized()["est_std"], plain.standardized()["est_std"], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(other.standardized()["se"], plain.standardized()["se"], rtol=1e-5, atol=1e-8)


def test_marker_and_std_lv_agree_under_bounds() -> None:
    text = "f =~ x1 + x2 + x3\ng =~ x4 + x5 + x6\nx3 ~~ e*x3\ne > 1"
    assert native(text).measures["chisq"] == pytest.approx(native(text, std_lv=True).measures["chisq"], rel=1e-9)


def test_nonlinear_equations_can_identify_a_model() -> None:
    text = "f =~ NA*x1 + a*x1 + b*x2 + c*x3\ng =~ x4 + x5 + x6\na^2 + b^2 + c^2 == 3"
    found, usual = native(text), native("f =~ x1 + x2 + x3\ng =~ x4 + x5 + x6")
    assert found.identified
    assert found.measures["df"] == usual.measures["df"]
    assert found.measures["chisq"] == pytest.approx(usual.measures["chisq"], rel=1e-9)
    np.testing.assert_allclose(found.standardized()["se"], usual.standardized()["se"], rtol=1e-6, atol=1e-7)


def test_degrees_of_freedom_need_not_be_there_without_the_constraint() -> None:
    text = "f =~ x1 + a*x2 + b*x3\nx1 ~~ c*x2\na*b == 1"
    assert native(text).measures["df"] == 0
    with pytest.raises(ModelSyntaxError, match="not identified"):
        bs.fit(text.replace("\na*b == 1", ""), frame(), engine="native")
    with pytest.raises(ModelSyntaxError, match="not identified"):
        bs.fit(text + "\n2*a*b == 2\nx1 ~~ x3", frame(), engine="native")


def test_redundant_and_idle_constraints_are_named() -> None:
    found = native(FREE.replace("x1 + a", "x1 + 1*x1 + k*x1 + a") + "\na*b == 1\nlog(a) + log(b) == 0\nk > 0.5")
    assert found.measures["df"] == native(FREE).measures["df"] + 1
    assert any("Redundant" in w and "log(a)+log(b) == 0" in w for w in found.warnings)
    assert any("restrict nothing" in w and "k > 0.5" in w for w in found.warnings)


def test_equal_parameters_take_the_narrowest_bound() -> None:
    found = native("f =~ x1 + a*x2 + lower(0.2)*x2 + upper(3)*x2 + a*x3 + upper(0.9)*x3\ng =~ x4 + x5 + x6")
    est = found.parameters.query("label == 'a'")["est"]
    assert list(est) == [0.9, 0.9]
    assert any("a (f=~x3) <= 0.9" in w for w in found.warnings)


def test_starting_values_need_not_be_feasible() -> None:
    x = native(FREE.replace("a*x2", "a*x2 + start(5)*x2") + "\na < 0.6\na*b == 0.5")
    y = native(FREE + "\na < 0.6\na*b == 0.5")
    assert x.measures["chisq"] == pytest.approx(y.measures["chisq"], rel=1e-9)


# ---- what cannot hold ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "kind"),
    [
        ("a > 2\na < 1", 7, ModelSyntaxError),
        ("a == 1\na > 1.5", 7, ModelSyntaxError),
        ("a > b\nb > c\nc > a + 0.1", 8, ModelSyntaxError),
        ("1 > 2", 6, ModelSyntaxError),
        ("a^2 == -1", 6, ModelError),
        ("a*b == 1\na*b == 2", 7, ModelError),
        ("a*b == 1\na*b > 1.5", 7, ModelError),
        ("sqrt(a) < -1", 6, ModelError),
    ],
)
def test_contradictions_name_their_line(text: str, line: int, kind: type[B2BSemError]) -> None:
    with pytest.raises(kind) as info:
        bs.fit(FREE + "\n" + text, frame(), engine="native")
    assert (info.value.line, info.value.column) == (line, 1)
    assert info.value.hint


def test_semopy_refuses_with_a_reason_and_auto_says_who_ran() -> None:
    for text in (FREE + "\na > 0.1", FREE.replace("p*f", "p*f + lower(0)*f")):
        with pytest.raises(Unsupported, match="inequality"):
            bs.fit(text, frame(), engine="semopy")
        assert bs.fit(text, frame()).engine == "native"
    with pytest.raises(Unsupported, match="'==' constraints"):
        bs.fit(FREE + "\na*b == 1", frame(), engine="semopy")


def test_wrong_names_of_bounds_are_refused() -> None:
    with pytest.raises(Unsupported, match="Did you mean 'standard'"):
        bs.fit(FREE, frame(), bounds="standrad")


def test_repeated_fits_keep_the_constraints() -> None:
    """The problem a fit remembers solves to the same point again, not to the tangent of its constraints."""
    from dataclasses import replace

    from b2b_sem.engine.native.loss import make_moments
    from b2b_sem.engine.problem import solve

    problem = native(FREE + "\na*b == 1")._context.problem
    moved = replace(problem, moments=make_moments(problem.moments.cov + np.diag(np.linspace(0.1, 0.9, 6)), None))
    theta = solve(moved, "native")[0].theta
    at = {r.label: r.free - 1 for r in problem.table.rows if r.label}
    assert theta[at["a"]] * theta[at["b"]] == pytest.approx(1.0, abs=1e-10)


def test_compiled_models_without_constraints_have_none() -> None:
    assert compiled(THREE).constraints is None
