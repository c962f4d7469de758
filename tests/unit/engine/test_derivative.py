"""Implied moments against another algebra, and every analytic derivative against differences of the function."""

from __future__ import annotations

import numpy as np
import pytest
from engine_case import MODELS, Case, brute_moments, case, derivative

from b2b_sem.engine.base import Array
from b2b_sem.engine.inference import explained
from b2b_sem.engine.native.implied import implied_moments
from b2b_sem.engine.native.loss import evaluate, expected_information, gradient, make_moments, objective
from b2b_sem.engine.standardize import RowValues, row_values, standardize

each_model = pytest.mark.parametrize("name", MODELS)


@each_model
def test_implied_moments(name: str) -> None:
    c = case(name)
    for theta in c.points():
        implied = implied_moments(c.structure, theta)
        assert implied is not None
        sigma, mu = brute_moments(c.table, theta, c.fixed)
        np.testing.assert_allclose(implied.sigma, sigma, rtol=1e-12, atol=1e-12)
        if c.table.meanstructure:
            np.testing.assert_allclose(implied.mu, mu, rtol=1e-12, atol=1e-12)
        else:
            assert implied.mu is None


@each_model
def test_fit_function(name: str) -> None:
    c = case(name)
    s, m = c.moments.cov, c.moments.mean
    for theta in c.points():
        sigma, mu = brute_moments(c.table, theta, c.fixed)
        inverse = np.linalg.inv(sigma)
        expected = np.log(np.linalg.det(sigma)) - np.log(np.linalg.det(s)) + np.trace(s @ inverse) - len(s)
        if m is not None:
            expected += (m - mu) @ inverse @ (m - mu)
        assert objective(c.structure, c.moments, theta) == pytest.approx(expected, rel=1e-10)


@each_model
def test_gradient(name: str) -> None:
    c = case(name)
    for theta in c.points():
        point = evaluate(c.structure, c.moments, theta)
        assert point is not None
        analytic = gradient(c.structure, c.moments, point)
        numeric = derivative(lambda t: objective(c.structure, c.moments, t), theta)
        assert np.abs(analytic).max() > 0.01  # not at a minimum, where any gradient is right
        np.testing.assert_allclose(analytic, numeric, rtol=1e-7, atol=1e-7 * np.abs(analytic).max())


def brute_information(c: Case, theta: Array) -> Array:
    """1/2 tr(W dS_a W dS_b) + dmu_a' W dmu_b with Sigma and mu differentiated numerically."""
    ds = derivative(lambda t: brute_moments(c.table, t, c.fixed)[0], theta)
    dm = derivative(lambda t: brute_moments(c.table, t, c.fixed)[1], theta)
    w = np.linalg.inv(brute_moments(c.table, theta, c.fixed)[0])
    out = 0.5 * np.einsum("ij,jka,kl,lib->ab", w, ds, w, ds, optimize=True)
    if c.table.meanstructure:
        out = out + dm.T @ w @ dm
    return out


@each_model
def test_expected_information(name: str) -> None:
    c = case(name)
    for theta in c.points():
        point = evaluate(c.structure, c.moments, theta)
        assert point is not None
        analytic = expected_information(c.structure, point)
        numeric = brute_information(c, theta)
        scale = np.sqrt(np.outer(np.diag(numeric), np.diag(numeric)))
        np.testing.assert_allclose(analytic / scale, numeric / scale, rtol=0, atol=1e-7)


def test_expected_information_is_half_the_mean_hessian() -> None:
    """At S = Sigma the Hessian of F is twice the expected information: checks both against the function itself."""
    c = case("mimic_means")
    theta = c.points(1)[0]
    sigma, mu = brute_moments(c.table, theta, c.fixed)
    perfect = make_moments(sigma, mu)

    def slope(t: Array) -> Array:
        point = evaluate(c.structure, perfect, t)
        assert point is not None
        return gradient(c.structure, perfect, point)

    point = evaluate(c.structure, perfect, theta)
    assert point is not None
    assert point.value == pytest.approx(0.0, abs=1e-12)
    np.testing.assert_allclose(
        derivative(slope, theta), 2 * expected_information(c.structure, point), rtol=1e-7, atol=1e-7
    )


# -- standardized solutions --------------------------------------------------------------------------------------------


def brute_standardized(c: Case, theta: Array, *, latent_only: bool) -> Array:
    """Standardize row by row from the definition, with nothing but the numbers of the model."""
    table = c.table
    names = [*table.observed, *table.latents]
    at = {v: i for i, v in enumerate(names)}
    from engine_case import brute_all_moments

    variance = np.diag(brute_all_moments(table, theta, c.fixed))
    keep = set(table.latents) if latent_only else set(names)
    sd = {v: float(np.sqrt(variance[at[v]])) if v in keep else 1.0 for v in names}
    raw = row_values(table, theta, c.fixed).value
    own = {r.lhs: raw[i] for i, r in enumerate(table.rows) if r.op == "~~" and r.lhs == r.rhs}
    out, known = [], {}
    for row, value in zip(table.rows, raw[: len(table.rows)], strict=True):
        if row.op == "=~":
            value = value * sd[row.lhs] / sd[row.rhs]
        elif row.op == "~":
            value = value * sd[row.rhs] / sd[row.lhs]
        elif row.op == "~1":
            value = value / sd[row.lhs]
        elif row.lhs == row.rhs:
            value = value / sd[row.lhs] ** 2
        else:
            for v in (row.lhs, row.rhs):
                value = value / (np.sqrt(abs(own[v])) if v in keep else 1.0)
        out.append(value)
        if row.label:
            known.setdefault(row.label, value)
    functions = {
        "latent_paths": lambda k: [k["a"] * k["b"], k["a"] + (k["a"] * k["b"]) ** 2 / (1 + k["a"])],
        "path_fixed_x": lambda k: [k["a"] * k["b"]],
        "feedback": lambda k: [k["b1"] * k["b2"]],
    }
    name = next(n for n in MODELS if case(n) is c)
    return np.array([*out, *functions.get(name, lambda k: [])(known)])


def standardized(c: Case, theta: Array) -> tuple[RowValues, RowValues]:
    implied = implied_moments(c.structure, theta)
    assert implied is not None
    return standardize(c.table, c.structure, implied, row_values(c.table, theta, c.fixed))


def positive_variances(c: Case) -> list[Array]:
    out = []
    for theta in c.points(6):
        raw = row_values(c.table, theta, c.fixed).value
        own = [raw[i] for i, r in enumerate(c.table.rows) if r.op == "~~" and r.lhs == r.rhs]
        if min(own, default=1.0) > 0.02:
            out.append(theta)
    assert out
    return out[:2]


@each_model
@pytest.mark.parametrize("which", [0, 1], ids=["std_lv", "std_all"])
def test_standardized_values_and_derivatives(name: str, which: int) -> None:
    c = case(name)
    for theta in positive_variances(c):
        found = standardized(c, theta)[which]
        np.testing.assert_allclose(
            found.value, brute_standardized(c, theta, latent_only=which == 0), rtol=1e-11, atol=1e-12
        )
        numeric = derivative(lambda t: brute_standardized(c, t, latent_only=which == 0), theta)
        np.testing.assert_allclose(found.jacobian, numeric, rtol=1e-7, atol=1e-8 * max(1.0, np.abs(numeric).max()))


@each_model
def test_raw_values_and_derivatives(name: str) -> None:
    c = case(name)
    theta = c.points(1)[0]
    raw = row_values(c.table, theta, c.fixed)
    np.testing.assert_allclose(
        raw.jacobian, derivative(lambda t: row_values(c.table, t, c.fixed).value, theta), atol=1e-9
    )
    free = [i for i, r in enumerate(c.table.rows) if r.free]
    np.testing.assert_array_equal(raw.value[free], theta[[c.table.rows[i].free - 1 for i in free]])


@each_model
def test_explained_variance_is_one_minus_the_residual_share(name: str) -> None:
    c = case(name)
    from engine_case import brute_all_moments

    theta = positive_variances(c)[0]
    variance = dict(
        zip([*c.table.observed, *c.table.latents], np.diag(brute_all_moments(c.table, theta, c.fixed)), strict=True)
    )
    r2 = explained(c.table, standardized(c, theta)[1].value)
    raw = row_values(c.table, theta, c.fixed).value
    predicted = {r.rhs for r in c.table.rows if r.op == "=~"} | {r.lhs for r in c.table.rows if r.op == "~"}
    assert set(r2) == predicted
    for i, row in enumerate(c.table.rows):
        if row.op == "~~" and row.lhs == row.rhs and row.lhs in predicted:
            assert r2[row.lhs] == pytest.approx(1 - raw[i] / variance[row.lhs], abs=1e-12)


def test_definitions_use_the_standardized_value_of_fixed_parameters() -> None:
    from engine_case import compiled

    c = compiled("f =~ a*x1 + x2 + x3\nx7 ~ b*f\nd := a*b")
    theta = c.points(1)[0]
    std = standardized(c, theta)[1].value
    values = {r.label: v for r, v in zip(c.table.rows, std, strict=False) if r.label}
    assert std[-1] == pytest.approx(values["a"] * values["b"], rel=1e-14)
    assert abs(values["a"] - 1.0) > 0.05
