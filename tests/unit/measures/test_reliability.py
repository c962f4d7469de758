import json
from pathlib import Path

import numpy as np
import pytest

from b2b_sem.errors import DataError
from b2b_sem.measures.reliability import (
    alpha,
    alpha_if_deleted,
    alpha_standardized,
    ave,
    ave_weighted,
    composite_reliability,
    omega,
)

# made by reference_measures.R (lavaan 0.6.14, semTools 0.5.6, psych)
REFERENCE = json.loads((Path(__file__).parent / "reference_measures.json").read_text(encoding="utf-8"))
COV = np.array(REFERENCE["cov"])
FITS = ("simple", "crossed")
SCALES = ("visual", "textual", "speed")


def scale(fit: str, name: str) -> dict:
    """Return what a fit says about one scale."""
    ref = REFERENCE[fit]
    j = ref["scales"].index(name)
    lam = np.array(ref["lambda"])
    at = np.flatnonzero(lam[:, j])
    grid = np.ix_(at, at)
    return {
        "loadings": lam[at, j],
        "phi": np.array(ref["psi"])[j, j],
        "theta": np.array(ref["theta"])[grid],
        "implied": np.array(ref["implied"])[grid],
        "sample": COV[grid],
        "std": np.array(ref["lambda_std"])[at, j],
        "theta_std": np.array(ref["theta_std"])[grid],
        "reliability": {k: v[name] for k, v in ref["reliability"].items()},
    }


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("name", SCALES)
def test_alpha_and_the_three_omegas_equal_semtools(fit, name):
    s = scale(fit, name)
    expected = s["reliability"]
    assert alpha(s["sample"]) == pytest.approx(expected["alpha"], rel=1e-12)
    first = omega(s["loadings"], s["theta"], s["phi"])
    second = omega(s["loadings"], s["theta"], s["phi"], total_var=s["implied"].sum())
    third = omega(s["loadings"], s["theta"], s["phi"], total_var=s["sample"].sum())
    assert first == pytest.approx(expected["omega"], rel=1e-12)
    assert second == pytest.approx(expected["omega2"], rel=1e-12)
    assert third == pytest.approx(expected["omega3"], rel=1e-12)
    assert third == pytest.approx(REFERENCE[fit]["omega_observed"][name], rel=1e-12)


def test_the_reference_tells_the_definitions_apart():
    crossed = scale("crossed", "visual")["reliability"]
    assert abs(crossed["omega"] - crossed["omega2"]) > 0.01
    residuals = scale("crossed", "textual")
    without = omega(residuals["loadings"], np.diag(residuals["theta"]), residuals["phi"])
    assert without - residuals["reliability"]["omega"] > 0.01


@pytest.mark.parametrize("name", SCALES)
def test_weighted_ave_equals_semtools_and_plain_ave_is_the_mean_square(name):
    s = scale("simple", name)
    weighted = ave_weighted(s["loadings"], s["theta"], s["phi"])
    assert weighted == pytest.approx(s["reliability"]["avevar"], rel=1e-12)
    assert ave(s["std"]) == pytest.approx(np.mean(s["std"] ** 2), rel=1e-14)
    assert ave(s["std"]) != pytest.approx(weighted, rel=1e-6)


@pytest.mark.parametrize("name", SCALES)
def test_composite_reliability_is_omega_of_standardized_items(name):
    s = scale("simple", name)
    d = 1 / np.sqrt(np.diag(s["implied"]))
    of_standardized = omega(s["loadings"] * d, s["theta"] * np.outer(d, d), s["phi"])
    assert composite_reliability(s["std"]) == pytest.approx(of_standardized, rel=1e-10)


def test_composite_reliability_and_omega_agree_for_equal_variances():
    loadings = np.array([0.8, 0.7, 0.6])
    scaled = 3 * loadings
    assert composite_reliability(loadings) == pytest.approx(omega(scaled, 9 * (1 - loadings**2)), rel=1e-14)


def test_correlated_residuals_lower_composite_reliability():
    s = scale("crossed", "textual")
    assert composite_reliability(s["std"], s["theta_std"]) < composite_reliability(s["std"]) - 0.01


def test_alpha_standardized_and_deleted_equal_psych():
    ref = REFERENCE["psych"]
    s = COV[:3, :3]
    assert alpha(s) == pytest.approx(ref["alpha"], rel=1e-12)
    assert alpha_standardized(s) == pytest.approx(ref["alpha_std"], rel=1e-12)
    np.testing.assert_allclose(alpha_if_deleted(s), ref["deleted"], rtol=1e-12)


def test_alpha_of_parallel_items_is_spearman_brown():
    r, k = 0.3, 5
    s = np.full((k, k), r) + (1 - r) * np.eye(k)
    assert alpha(s) == pytest.approx(k * r / (1 + (k - 1) * r), rel=1e-14)
    assert alpha(7.5 * s) == pytest.approx(alpha(s), rel=1e-14)
    np.testing.assert_allclose(alpha_if_deleted(s), 4 * r / (1 + 3 * r), rtol=1e-14)


def test_a_reversed_item_that_was_not_recoded_lowers_alpha():
    r = np.full((4, 4), 0.5) + 0.5 * np.eye(4)
    keyed = np.diag([1, 1, 1, -1.0])
    assert alpha(keyed @ r @ keyed) < 0.5 < alpha(r)
    assert alpha_if_deleted(keyed @ r @ keyed)[3] == pytest.approx(0.75)


def test_a_single_item_has_no_internal_consistency():
    assert np.isnan(alpha([[2.0]]))
    assert np.isnan(alpha_standardized([[2.0]]))
    assert np.isnan(alpha_if_deleted([[2.0]])).all()
    assert np.isnan(alpha_if_deleted(np.eye(2))).all()
    assert np.isnan(omega([1.0], [0.5]))
    assert np.isnan(composite_reliability([0.7]))
    assert np.isnan(ave([0.7]))
    assert np.isnan(ave_weighted([0.7], [0.5]))


def test_a_sum_without_variance_gives_nan():
    s = np.array([[1.0, -1.0], [-1.0, 1.0]])
    assert np.isnan(alpha(s))
    assert np.isnan(omega([1.0, -1.0], [0.0, 0.0]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: alpha(np.ones((2, 3))), r"must be square and not empty, but its shape is \(2, 3\)"),
        (lambda: alpha([[1.0, np.nan], [np.nan, 1.0]]), "missing or infinite"),
        (lambda: alpha([[1.0, 0.2], [0.5, 1.0]]), "not symmetric"),
        (lambda: alpha([[1.0, 0.0], [0.0, 0.0]]), r"not above zero \(item 2\)"),
        (lambda: omega([0.5, 0.5], [0.1, 0.2, 0.3]), "2 loadings need 2 residual variances"),
        (lambda: omega([0.5, 0.5], [0.1, np.inf]), "residual variances hold missing"),
        (lambda: omega([0.5, 0.5], [0.1, 0.2], -1.0), "variance of a factor cannot be -1"),
        (lambda: ave([0.5, np.nan]), "loadings hold missing"),
        (lambda: ave([]), "loadings must be a list of numbers"),
    ],
)
def test_impossible_input_is_refused(call, message):
    with pytest.raises(DataError, match=message):
        call()
