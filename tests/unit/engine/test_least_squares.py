"""GLS, ULS and WLS: their values by definition, their derivatives against finite differences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from engine_case import MODELS, Case, brute_moments, case, derivative, frame
from pstar_case import data_of, moment_rows, normal_weight, slopes, vech

from b2b_sem.data.observed import observe
from b2b_sem.engine.adf import make_weight
from b2b_sem.engine.base import Array, FitOptions
from b2b_sem.engine.native.loss import Moments, evaluate, expected_information, gradient, hessian
from b2b_sem.errors import DataError

LEAST = ("GLS", "ULS", "WLS")
each_model = pytest.mark.parametrize("name", MODELS)
each_estimator = pytest.mark.parametrize("estimator", LEAST)


def weighted(c: Case, estimator: str) -> Moments:
    """Return the moments of a case with the weight of an estimator."""
    observed = observe(frame(), c.table.observed)
    options = FitOptions(estimator=estimator)  # type: ignore[arg-type]
    return replace(c.moments, weight=make_weight(c.table, observed, c.moments.cov, c.moments.mean, options))


def brute_weight(c: Case, estimator: str) -> Array:
    """Return V in full."""
    means = c.table.meanstructure
    p = len(c.table.observed)
    if estimator == "GLS":
        return normal_weight(c.moments.cov, means)
    if estimator == "ULS":
        return np.eye(p * (p + 1) // 2 + (p if means else 0))
    rows = moment_rows(c, data_of(c, frame()))
    gamma = rows.T @ rows / len(rows)
    vary = np.flatnonzero(np.diag(gamma) > 1e-20)
    out = np.zeros_like(gamma)
    out[np.ix_(vary, vary)] = np.linalg.inv(gamma[np.ix_(vary, vary)])
    return out


def residual(c: Case, theta: Array) -> Array:
    sigma, mu = brute_moments(c.table, theta, c.fixed)
    cov = vech(c.moments.cov - sigma)
    return cov if c.moments.mean is None else np.concatenate([c.moments.mean - mu, cov])


@each_estimator
@each_model
def test_value_and_information_are_those_of_the_definition(name: str, estimator: str) -> None:
    c = case(name)
    moments, v = weighted(c, estimator), brute_weight(c, estimator)
    assert moments.weight is not None
    unit = moments.weight.unit
    sample = vech(c.moments.cov)
    if c.moments.mean is not None:
        sample = np.concatenate([c.moments.mean, sample])
    for theta in c.points(2):
        point = evaluate(c.structure, moments, theta)
        assert point is not None
        r = residual(c, theta)
        assert unit * point.value == pytest.approx(r @ v @ r, rel=1e-8)
        d = slopes(c, theta)
        np.testing.assert_allclose(
            unit * expected_information(c.structure, point), d.T @ v @ d, rtol=1e-6, atol=1e-7 * np.abs(v).max()
        )
        if estimator != "GLS" or not c.table.fixed_x:
            expected = 1 - (r @ v @ r) / (sample @ v @ sample)
            assert moments.weight.gfi(moments, point.implied) == pytest.approx(expected, rel=1e-7)


@each_estimator
@each_model
def test_derivatives(name: str, estimator: str) -> None:
    c = case(name)
    moments = weighted(c, estimator)

    def value(theta: Array) -> float:
        point = evaluate(c.structure, moments, theta)
        assert point is not None
        return point.value

    def slope(theta: Array) -> Array:
        point = evaluate(c.structure, moments, theta)
        assert point is not None
        return gradient(c.structure, moments, point)

    for theta in c.points(2):
        point = evaluate(c.structure, moments, theta)
        assert point is not None
        analytic = gradient(c.structure, moments, point)
        np.testing.assert_allclose(analytic, derivative(value, theta), rtol=1e-7, atol=1e-7 * np.abs(analytic).max())
        curved = hessian(c.structure, moments, point)
        np.testing.assert_allclose(curved, derivative(slope, theta), rtol=1e-7, atol=1e-7 * np.abs(curved).max())


def test_wls_needs_more_rows_than_moments() -> None:
    c = case("cfa")
    options = FitOptions(estimator="WLS")
    cov = c.moments.cov
    with pytest.raises(DataError, match="45 complete rows, and 9 variables have 45 moments") as info:
        make_weight(c.table, observe(frame().iloc[:45], c.table.observed), cov, None, options)
    assert info.value.hint is not None
    assert "MLM" in info.value.hint


def test_wls_refuses_a_singular_weight() -> None:
    c = case("cfa")
    data = frame()[list(c.table.observed)].copy()
    data["x1"] = (data["x1"] > 0).astype(float)  # with two answers the square is a function of the answer and its mean
    data["x2"] = data["x1"] + (np.arange(len(data)) % 2)
    data["x2"] = (data["x2"] > 1).astype(float)
    data["x3"] = data["x1"] * data["x2"] + data["x3"] * 0 + (np.arange(len(data)) % 3 == 0)
    with pytest.raises(DataError, match="singular"):
        make_weight(
            c.table,
            observe(data[["x1", "x2", *data.columns[2:]]].iloc[:60], c.table.observed),
            c.moments.cov,
            None,
            FitOptions(estimator="WLS"),
        )


def test_moments_alone_are_not_enough_for_wls() -> None:
    import b2b_sem as bs

    names = ["x1", "x2", "x3", "x4"]
    with pytest.raises(DataError, match="need the data"):
        bs.fit("f =~ x1 + x2 + x3 + x4", sample_cov=frame()[names].cov(), nobs=300, estimator="WLS")
    same = [
        bs.fit("f =~ x1 + x2 + x3 + x4", engine="native", estimator="GLS", **source).measures["chisq"]
        for source in ({"data": frame()}, {"sample_cov": frame()[names].cov(), "nobs": 300})
    ]
    assert same[0] == pytest.approx(same[1], rel=1e-9)
