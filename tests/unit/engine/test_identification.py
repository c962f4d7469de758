"""Models that cannot be estimated and solutions that must not be used are said to be so, with who is to blame."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from engine_case import THREE, compiled, frame

import b2b_sem as bs
from b2b_sem.engine import problem
from b2b_sem.engine.base import FitOptions
from b2b_sem.engine.inference import infer
from b2b_sem.engine.native.information import definite_inverse, invert_information
from b2b_sem.engine.native.loss import evaluate, expected_information
from b2b_sem.engine.native.optimize import minimize, scaled_gradient
from b2b_sem.engine.native.start import plain_start
from b2b_sem.errors import ModelError, ModelSyntaxError
from b2b_sem.results.columns import MEASURE_NAMES


def covariance(*rows: list[float]) -> pd.DataFrame:
    names = [f"x{i + 1}" for i in range(len(rows))]
    matrix = np.zeros((len(rows),) * 2)
    for i, row in enumerate(rows):
        matrix[i, : i + 1] = row
    matrix = matrix + np.tril(matrix, -1).T
    return pd.DataFrame(matrix, index=names, columns=names)


# -- not identified ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "guilty", "innocent"),
    [
        # no scale: every loading of f and its variance can be traded
        ("f =~ NA*x1 + x2 + x3\ng =~ x4 + x5 + x6", {"f=~x1", "f=~x2", "f=~x3", "f~~f"}, {"g=~x5", "g~~g"}),
        # a factor with two indicators, alone in the model
        (
            "f =~ x1 + x2\ng =~ x3 + x4 + x5 + x6\nf ~~ 0*g",
            {"f=~x2", "f~~f", "x1~~x1", "x2~~x2"},
            {"g=~x4", "x4~~x4", "g~~g"},
        ),
        # both directions between two outcomes without an instrument
        ("x1 ~ x2 + x5\nx2 ~ x1 + x5\nx3 ~ x5", {"x1~x2", "x2~x1"}, {"x3~x5", "x3~~x3"}),
    ],
)
def test_unidentified_models_name_the_parameters(text: str, guilty: set[str], innocent: set[str]) -> None:
    found = bs.fit(text, frame(), engine="native")
    assert not found.identified
    assert not found.ok
    assert "not identified" in found.failure
    (warning,) = [w for w in found.warnings if "not identified" in w]
    listed = {w.strip(" ,.") for w in warning.split("determine ")[1].split(". Standard")[0].split(", ")}
    assert guilty <= listed | {"and"}
    assert not innocent & listed
    free = found.parameters["free"] > 0
    assert found.parameters.loc[free, ["se", "z", "pvalue", "ci_lower", "ci_upper"]].isna().all(axis=None)
    assert found.standardized().loc[free, ["z", "pvalue"]].isna().all(axis=None)


def test_two_information_values_apart_are_told_from_zero() -> None:
    """Rank does not depend on units: the information of a model in wild units is as regular as in good ones."""
    text = THREE
    wild = frame() * np.array([1e-4, 1e4, 1, 1e3, 1e-3, 1, 1e5, 1, 1e-5, 1])
    found = bs.fit(text, wild, engine="native")
    assert found.ok
    assert found.measures["chisq"] == pytest.approx(bs.fit(text, frame(), engine="native").measures["chisq"], rel=1e-7)


def test_rank_is_that_of_the_information() -> None:
    c = compiled("f =~ NA*x1 + x2 + x3\ng =~ x4 + x5 + x6")
    point = evaluate(c.structure, c.moments, plain_start(c.table, c.moments.cov, None))
    assert point is not None
    info = expected_information(c.structure, point)
    precision = invert_information(info, 300)
    assert not precision.identified
    assert precision.rank == c.q - 1 == np.linalg.matrix_rank(info)
    assert np.isnan(precision.vcov).all()


def test_covariance_of_the_estimates_is_the_inverse_information() -> None:
    c = compiled(THREE)
    point = evaluate(c.structure, c.moments, plain_start(c.table, c.moments.cov, None))
    assert point is not None
    info = expected_information(c.structure, point)
    precision = invert_information(info, 300)
    assert precision.identified
    assert precision.unidentified == ()
    np.testing.assert_allclose(precision.vcov @ info * 300, np.eye(c.q), atol=1e-8)


@pytest.mark.parametrize(
    ("text", "free", "moments"),
    [("f =~ x1 + x2", 4, 3), ("f =~ x1 + x2\nx1 ~~ x2", 5, 3), ("x1 ~~ x1\nx1 ~ 1\nf =~ x1 + x2 + x3\nf ~ 1", 10, 9)],
)
def test_more_parameters_than_moments_are_refused(text: str, free: int, moments: int) -> None:
    with pytest.raises(ModelSyntaxError, match=f"{free} free parameters.* {moments} moments") as info:
        bs.fit(text, frame())
    assert info.value.exit_code == 2


def test_a_model_without_free_parameters_is_refused() -> None:
    with pytest.raises(ModelSyntaxError, match="no free parameter"):
        bs.fit("x1 ~~ 1*x1\nx2 ~~ 1*x2", frame())


# -- not admissible ----------------------------------------------------------------------------------------------------


def test_negative_residual_variance_is_a_heywood_case() -> None:
    # one factor through three variables: lambda1^2 = r12 r13 / r23 = 1.2 > 1
    cov = covariance([1.0], [0.8, 1.0], [0.75, 0.5, 1.0])
    found = bs.fit("f =~ x1 + x2 + x3", sample_cov=cov, nobs=200, engine="native")
    assert found.converged
    assert found.identified
    assert not found.admissible
    assert "Heywood" in found.failure
    residual = found.parameters.set_index(["lhs", "op", "rhs"]).loc[("x1", "~~", "x1"), "est"]
    assert residual == pytest.approx((1 - 1.2) * 199 / 200, rel=1e-6)
    (warning,) = [w for w in found.warnings if "Heywood" in w]
    assert f"x1 ({residual:.3g})" in warning
    assert "x2" not in warning
    assert math.isnan(found.r2["x1"])


def test_latent_correlation_above_one_is_not_admissible() -> None:
    # within-pair correlations of .3 and between of .4: the factors correlate 4/3
    cov = covariance([1.0], [0.3, 1.0], [0.4, 0.4, 1.0], [0.4, 0.4, 0.3, 1.0])
    found = bs.fit("f =~ x1 + x2\ng =~ x3 + x4", sample_cov=cov, nobs=300, engine="native")
    assert found.converged
    assert not found.admissible
    assert found.latent_cor().loc["f", "g"] == pytest.approx(4 / 3, rel=1e-6)
    assert any("g with f, 1.333" in w for w in found.warnings)


def test_indefinite_residuals_are_not_admissible() -> None:
    # loadings .9 and residual variances .19, but residuals of x1 and x2 covary -.25
    load = np.full(5, 0.9)
    cov = np.outer(load, load) + 0.19 * np.eye(5)
    cov[0, 1] = cov[1, 0] = 0.81 - 0.25
    names = [f"x{i}" for i in range(1, 6)]
    found = bs.fit(
        "f =~ x1 + x2 + x3 + x4 + x5\nx1 ~~ x2",
        sample_cov=pd.DataFrame(cov, index=names, columns=names),
        nobs=500,
        engine="native",
    )
    assert found.converged
    assert found.measures["chisq"] == pytest.approx(0.0, abs=1e-8)
    assert not found.admissible
    (warning,) = found.warnings
    assert "covariance matrix of the residuals is not positive definite" in warning


def test_indefinite_disturbances_are_not_admissible() -> None:
    # two outcomes of x3 whose residuals "correlate" -1.44
    cov = covariance([1.0], [0.68, 1.0], [0.9, 0.9, 1.0])
    found = bs.fit(
        "f =~ 1*x1\ng =~ 1*x2\nx1 ~~ 0.1*x1\nx2 ~~ 0.1*x2\nf ~ x3\ng ~ x3", sample_cov=cov, nobs=500, engine="native"
    )
    assert found.converged
    assert not found.admissible
    assert any("(residual) latent terms is not positive definite" in w for w in found.warnings)


def test_proper_solutions_have_no_warnings() -> None:
    found = bs.fit(THREE, frame(), engine="native")
    assert found.warnings == ()
    assert found.failure == ""


# -- not converged -----------------------------------------------------------------------------------------------------


def test_an_unfinished_minimisation_gives_no_tests_and_no_measures() -> None:
    c = compiled(THREE + "g ~ f\nh ~ g")
    solution = minimize(c.structure, c.moments, [lambda: plain_start(c.table, c.moments.cov, None)], max_iterations=1)
    # the fallback may still find it: cut it short for good
    solution = replace(
        solution, theta=plain_start(c.table, c.moments.cov, None), converged=False, iterations=1, gradient=0.3
    )
    inference = infer(c.table, c.structure, c.moments, 300, c.fixed, solution, FitOptions())
    (warning,) = inference.warnings
    assert "did not converge after 1 iterations" in warning
    assert "must not be used" in warning
    assert np.isfinite(inference.raw.value).all()
    for tested in (inference.raw, inference.std_all):
        for name in ("se", "z", "pvalue", "lower", "upper"):
            assert np.isnan(getattr(tested, name)).all(), name
    assert tuple(inference.measures) == MEASURE_NAMES
    known = {k for k, v in inference.measures.items() if not math.isnan(v)}
    assert known == {"npar", "df", "ntotal"}


def test_fit_reports_non_convergence_without_raising(monkeypatch: pytest.MonkeyPatch) -> None:
    def tired(*args: object, **options: object) -> object:
        found = minimize(*args, **options)  # type: ignore[arg-type]
        return replace(found, converged=False, gradient=0.1, message="no start led to a minimum")

    monkeypatch.setattr(problem, "minimize", tired)
    found = bs.fit(THREE, frame(), engine="native")
    assert not found.converged
    assert not found.ok
    assert "did not converge" in found.failure
    assert found.parameters.loc[found.parameters["free"] > 0, "se"].isna().all()
    assert math.isnan(found.measures["chisq"])
    assert found.measures["df"] == 24


def test_iterations_are_limited_and_the_best_point_is_kept() -> None:
    c = compiled(THREE + "g ~ f\nh ~ g")
    start = plain_start(c.table, c.moments.cov, None)
    first = evaluate(c.structure, c.moments, start)
    assert first is not None
    from b2b_sem.engine.native import optimize

    short = optimize._score(c.structure, c.moments, start, None, 2)
    assert short is not None
    assert not short.converged
    assert short.iterations == 2
    assert short.point.value < first.value


def test_starts_are_tried_in_order_until_one_works() -> None:
    c = compiled(THREE)
    good = plain_start(c.table, c.moments.cov, None)
    bad = -np.ones(c.q)
    tried = []

    def start(name: str, theta: np.ndarray) -> object:
        def make() -> np.ndarray:
            tried.append(name)
            return theta

        return make

    found = minimize(c.structure, c.moments, [start("bad", bad), start("good", good), start("never", good)])  # type: ignore[list-item]
    assert found.converged
    assert tried == ["bad", "good"]
    assert "start 2" in found.message
    with pytest.raises(ValueError, match="no starting value"):
        minimize(c.structure, c.moments, [lambda: bad])


def test_a_model_that_cannot_be_started_is_one_message() -> None:
    with pytest.raises(ModelError, match="cannot be started"):
        bs.fit("f =~ 1*x1 + 1*x2 + 1*x3\nf ~~ -5*f\nx1 ~~ 0.1*x1\nx2 ~~ 0.1*x2", frame(), engine="native")


def test_scaled_gradient_does_not_depend_on_units() -> None:
    grad, info = np.array([0.1, -0.4]), np.array([[4.0, 1.0], [1.0, 25.0]])
    assert scaled_gradient(grad, info) == pytest.approx(0.04, rel=1e-12)  # max(.1 / 4, .4 / 10)
    units = np.array([1e-6, 1e3])
    assert scaled_gradient(grad * units, info * np.outer(units, units)) == pytest.approx(0.04, rel=1e-12)


def test_converged_solutions_are_stationary() -> None:
    found = bs.fit(THREE + "g ~ f\nh ~ g + f", frame(), engine="native")
    assert found.optimizer.gradient <= 1e-8


def test_measures_of_a_perfect_fit_exist() -> None:
    # within-pair correlations of .3 and between of .4: two factors reproduce them to the last bit
    cov = covariance([1.0], [0.3, 1.0], [0.4, 0.4, 1.0], [0.4, 0.4, 0.3, 1.0])
    measures = bs.fit("f =~ x1 + x2\ng =~ x3 + x4", sample_cov=cov, nobs=300, engine="native").measures
    assert measures["df"] == 1
    assert measures["chisq"] == pytest.approx(0.0, abs=1e-9)
    assert measures["cn_05"] > 1e9
    assert (measures["cfi"], measures["rmsea"], measures["pvalue"]) == (1.0, 0.0, pytest.approx(1.0))


def test_the_quick_inverse_is_only_for_what_is_far_from_singular() -> None:
    rng = np.random.default_rng(1)
    vectors = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    for least, quick in ((1e-1, True), (1e-6, True), (1e-9, False), (1e-12, False), (0.0, False), (-0.1, False)):
        values = np.r_[least, np.linspace(0.5, 1.5, 7)]
        matrix = (vectors * values) @ vectors.T
        matrix = (matrix + matrix.T) / 2
        found = definite_inverse(matrix)
        assert (found is not None) == quick, least
        if found is not None:
            assert found @ matrix == pytest.approx(np.eye(8), abs=1e-8)
        # the slow way decides: identified above the tolerance, whichever way was taken
        assert invert_information(matrix, 1).identified == (least >= 1e-9)
