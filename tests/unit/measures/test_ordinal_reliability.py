"""Categorical omega: against semTools, against closed forms, and against answers drawn from the model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from b2b_sem.data.bivariate import bvn_cdf
from b2b_sem.errors import DataError
from b2b_sem.measures.ordinal_reliability import omega_categorical, score_covariance
from b2b_sem.measures.reliability import composite_reliability

FOLDER = Path(__file__).parents[2] / "reference" / "measurement_ordinal"
CASES = ["binary", "five_seven", "theta", "std_lv_crossed", "structural", "influencer", "lancelot"]


def parts(case: str) -> list[tuple[dict[str, Any], str, list[str]]]:
    reference = json.loads((FOLDER / f"{case}.json").read_text(encoding="utf-8"))
    return [(reference, scale, items) for scale, items in reference["blocks"].items()]


def inputs(reference: dict[str, Any], scale: str, items: list[str]) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    names, values = reference["implied_cor"]["names"], np.array(reference["implied_cor"]["values"])
    at = [names.index(i) for i in items]
    loadings = np.array([reference["loadings"][scale][i] for i in items])
    return loadings, values[np.ix_(at, at)], [np.array(reference["thresholds"][i]) for i in items]


@pytest.mark.parametrize("case", CASES)
def test_equals_semtools(case: str) -> None:
    """Numbers in, numbers out: lavaan's own loadings, thresholds and correlations go in, so only rounding differs."""
    for reference, scale, items in parts(case):
        found = omega_categorical(*inputs(reference, scale, items), bvn_cdf)
        assert found == pytest.approx(reference["reliability"]["omega2"][scale], rel=1e-10)
        assert found == pytest.approx(reference["comprelsem"]["answers"][scale], rel=1e-10)


def test_the_omega_of_the_responses_is_another_number() -> None:
    for reference, scale, items in parts("binary"):
        loadings, cor, limits = inputs(reference, scale, items)
        latent = composite_reliability(loadings, cor - np.outer(loadings, loadings))
        assert latent == pytest.approx(reference["comprelsem"]["responses"][scale], rel=1e-10)
        assert abs(latent - omega_categorical(loadings, cor, limits, bvn_cdf)) > 0.04


def test_binary_items_cut_in_the_middle_have_a_closed_form() -> None:
    """Phi2(0, 0; r) = 1/4 + asin(r) / (2 pi)."""
    loadings = np.array([0.8, 0.6, 0.7])
    cor = np.outer(loadings, loadings)
    true = np.arcsin(cor).sum()
    np.fill_diagonal(cor, 1.0)
    found = omega_categorical(loadings, cor, [[0.0]] * 3, bvn_cdf)
    assert found == pytest.approx(true / np.arcsin(cor).sum(), rel=1e-13)


def test_variances_and_covariances_of_the_answers_are_those_of_a_large_sample() -> None:
    limits = [np.array([-1.0, 0.2, 1.1]), np.array([0.4]), np.array([-0.5, 0.5])]
    cor = np.array([[1.0, 0.6, -0.3], [0.6, 1.0, 0.1], [-0.3, 0.1, 1.0]])
    rng = np.random.default_rng(4)
    latent = rng.multivariate_normal(np.zeros(3), cor, size=400_000)
    answers = np.column_stack([np.searchsorted(t, y) for t, y in zip(limits, latent.T, strict=True)])
    np.testing.assert_allclose(
        score_covariance(cor, limits, bvn_cdf), np.cov(answers, rowvar=False), atol=0.006, rtol=0.01
    )


def test_many_categories_come_close_to_the_omega_of_the_responses() -> None:
    loadings = np.array([0.8, 0.7, 0.6, 0.75])
    cor = np.outer(loadings, loadings)
    np.fill_diagonal(cor, 1.0)
    latent = composite_reliability(loadings)
    gaps = [latent - omega_categorical(loadings, cor, [np.linspace(-3, 3, k)] * 4, bvn_cdf) for k in (3, 7, 30)]
    assert gaps[0] > gaps[1] > gaps[2] > 0
    assert gaps[2] < 0.003


def test_what_is_not_defined() -> None:
    assert np.isnan(omega_categorical([0.7], [[1.0]], [[0.0]], bvn_cdf))
    with pytest.raises(DataError, match="finite and ascend"):
        omega_categorical([0.7, 0.7], np.eye(2), [[0.0, 0.0], [1.0]], bvn_cdf)
    with pytest.raises(DataError, match="need 1 x 1 correlations"):
        omega_categorical([0.7, 0.7], np.eye(2), [[0.0]], bvn_cdf)
    with pytest.raises(DataError, match="between -1 and 1"):
        omega_categorical([1.2, 0.7], np.eye(2), [[0.0], [0.0]], bvn_cdf)
    with pytest.raises(DataError, match="diagonal"):
        omega_categorical([0.7, 0.7], 0.5 * np.eye(2), [[0.0], [0.0]], bvn_cdf)
    with pytest.raises(DataError, match="finite numbers"):
        omega_categorical([np.nan, 0.7], np.eye(2), [[0.0], [0.0]], bvn_cdf)
