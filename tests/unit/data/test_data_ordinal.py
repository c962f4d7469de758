"""Statistics of ordered items: against independent likelihoods, under recoding, and on data that cannot be used."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import ndtr, ndtri
from scipy.stats import multivariate_normal

from b2b_sem.data.category import merge_sparse
from b2b_sem.data.ordinal import OrdinalMoments, ordinal_moments
from b2b_sem.errors import DataError, Unsupported

NAMES = ["a", "b", "c", "z", "w"]
ORDERED = ["a", "b", "c"]


def sample(n: int = 300, seed: int = 1) -> np.ndarray:
    """Return three ordered items (2, 3 and 5 categories) and two numeric variables behind one factor."""
    rng = np.random.default_rng(seed)
    latent = 0.8 * rng.normal(size=(n, 1)) + 0.6 * rng.normal(size=(n, 5))
    out = latent.copy()
    for column, cuts in enumerate(([0.3], [-0.5, 0.8], [-1.2, -0.4, 0.4, 1.1])):
        out[:, column] = np.digitize(latent[:, column], cuts)
    out[:, 4] = 10 + 3 * latent[:, 4]
    return out


def moments(values: np.ndarray, **options: Any) -> OrdinalMoments:
    return ordinal_moments(values, NAMES, ORDERED, **options)


def at(found: OrdinalMoments, label: str) -> float:
    return float(found.statistic[found.labels.index(label)])


def test_order_and_names_of_the_statistics() -> None:
    found = moments(sample())
    assert found.labels[:9] == ("a|t1", "b|t1", "b|t2", "c|t1", "c|t2", "c|t3", "c|t4", "z~1", "w~1")
    assert found.labels[9:13] == ("z~~z", "w~~w", "a~~b", "a~~c")
    assert len(found.labels) == len(found.statistic) == 7 + 2 + 2 + 10


def test_first_step_is_proportions_means_and_variances() -> None:
    values = sample()
    found = moments(values)
    assert found.thresholds[0] is not None
    assert found.thresholds[0][0] == pytest.approx(ndtri((values[:, 0] == 0).mean()), abs=1e-14)
    assert at(found, "w~1") == pytest.approx(-values[:, 4].mean(), abs=1e-12)
    assert found.mean[4] == pytest.approx(values[:, 4].mean(), abs=1e-12)
    assert at(found, "w~~w") == pytest.approx(values[:, 4].var(), rel=1e-12)
    assert at(found, "z~~w") == pytest.approx(np.cov(values[:, 3], values[:, 4], ddof=0)[0, 1], rel=1e-12)


def test_polychoric_correlation_maximises_the_likelihood_of_the_table() -> None:
    values = sample()
    found = moments(values)
    edges = [np.concatenate([[-9.0], t, [9.0]]) for t in found.thresholds[1:3] if t is not None]

    def deviance(rho: float) -> float:
        grid = np.array(
            [
                [multivariate_normal.cdf([x, y], mean=[0, 0], cov=[[1, rho], [rho, 1]]) for y in edges[1]]
                for x in edges[0]
            ]
        )
        pi = np.diff(np.diff(grid, axis=0), axis=1)
        return -sum(np.log(pi[int(b), int(c)]) for b, c in values[:, 1:3])

    best = minimize_scalar(deviance, bounds=(0.2, 0.95), method="bounded", options={"xatol": 1e-9}).x
    assert at(found, "b~~c") == pytest.approx(best, abs=2e-7)


def test_polyserial_correlation_maximises_its_likelihood() -> None:
    values = sample()
    found = moments(values)
    z = (values[:, 4] - values[:, 4].mean()) / values[:, 4].std()
    edge = np.concatenate([[-np.inf], found.thresholds[2], [np.inf]])  # type: ignore[list-item]
    code = values[:, 2].astype(int)

    def deviance(rho: float) -> float:
        root = np.sqrt(1 - rho * rho)
        return -np.log(ndtr((edge[code + 1] - rho * z) / root) - ndtr((edge[code] - rho * z) / root)).sum()

    best = minimize_scalar(deviance, bounds=(0.1, 0.95), method="bounded", options={"xatol": 1e-9}).x
    assert at(found, "c~~w") / values[:, 4].std() == pytest.approx(best, abs=1e-7)


def test_medians_have_a_closed_form() -> None:
    rows = [(0, 0)] * 35 + [(1, 1)] * 35 + [(0, 1)] * 15 + [(1, 0)] * 15
    found = ordinal_moments(np.array(rows, dtype=float), ["a", "b"], ["a", "b"])
    assert found.cov[0, 1] == pytest.approx(-np.cos(2 * np.pi * 0.35), abs=1e-12)


def test_an_empty_corner_is_filled_as_its_margins_allow() -> None:
    rows = [(0, 0)] * 60 + [(1, 1)] * 10 + [(0, 1)] * 30
    found = ordinal_moments(np.array(rows, dtype=float), ["a", "b"], ["a", "b"])
    h, k = ndtri(0.9), ndtri(0.6)
    rho = found.cov[0, 1]
    # one parameter, one free cell: half an answer moves from (0, 0) to the empty cell, and back from (0, 1) to (1, 1)
    fitted = multivariate_normal.cdf([h, k], mean=[0, 0], cov=[[1, rho], [rho, 1]])
    assert fitted == pytest.approx(0.595, abs=1e-9)


def test_a_correlation_at_the_limit_is_named() -> None:
    low, high = np.repeat([0.0, 1.0], 50), np.repeat([0.0, 1.0, 2.0, 3.0], 25)
    found = ordinal_moments(np.column_stack([low, high]), ["a", "b"], ["a", "b"])
    assert found.cov[0, 1] == pytest.approx(0.999, abs=1e-6)
    assert any("nearly 1: a and b (0.999)" in text for text in found.warnings)


def test_influences_are_centred_and_make_gamma() -> None:
    found = moments(sample())
    spread = np.sqrt(found.gamma_diagonal)
    # the correlation is a maximum given the first step, and the first step is a maximum
    assert np.abs(found.influence.mean(axis=0) / spread).max() < 1e-9
    assert np.allclose(found.gamma, found.influence.T @ found.influence / found.nobs, rtol=1e-12)
    assert np.allclose(np.diag(found.gamma), found.gamma_diagonal, rtol=1e-12)


def test_gamma_is_the_sampling_variance() -> None:
    rng = np.random.default_rng(9)
    draws = []
    for _ in range(300):
        latent = rng.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], size=400)
        draws.append(ordinal_moments(np.digitize(latent, [-0.5, 0.6]).astype(float), ["a", "b"], ["a", "b"]))
    simulated = np.cov(np.array([d.statistic for d in draws]).T) * 400
    mean = np.mean([d.gamma for d in draws], axis=0)
    assert np.allclose(np.diag(simulated), np.diag(mean), rtol=4 * np.sqrt(2 / 300))


@pytest.mark.parametrize("missing", ["listwise", "pairwise"])
def test_any_increasing_codes_give_the_same_numbers(missing: str) -> None:
    values = sample()
    values[::7, 1] = np.nan
    recoded = values.copy()
    recoded[:, 2] = np.array([-3.5, 0.0, 0.1, 7.0, 99.0])[values[:, 2].astype(int)]
    one, two = moments(values, missing=missing), moments(recoded, missing=missing)
    assert np.array_equal(one.statistic, two.statistic)
    assert two.levels[2] == (-3.5, 0.0, 0.1, 7.0, 99.0)


def test_reversing_an_item_changes_signs_only() -> None:
    values = sample()
    turned = values.copy()
    turned[:, 2] = 4 - values[:, 2]
    one, two = moments(values), moments(turned)
    assert np.allclose(one.cov[:, 2], two.cov[:, 2] * np.array([-1, -1, 1, -1, -1]), atol=1e-10)
    assert np.allclose(one.thresholds[2], -two.thresholds[2][::-1], atol=1e-12)  # type: ignore[index]


def test_the_unit_of_a_numeric_variable_does_not_matter() -> None:
    values = sample()
    scaled = values.copy()
    scaled[:, 4] *= 1e3
    one, two = moments(values), moments(scaled)
    unit = np.array([1e3 ** label.replace("~1", "~").split("~").count("w") for label in one.labels])
    assert np.allclose(one.statistic * unit, two.statistic, rtol=1e-9)
    assert np.allclose(one.gamma * np.outer(unit, unit), two.gamma, rtol=1e-7)


def test_pairwise_without_holes_is_listwise() -> None:
    values = sample()
    one, two = moments(values), moments(values, missing="pairwise")
    assert np.array_equal(one.statistic, two.statistic)
    assert np.array_equal(one.influence, two.influence)


def test_pairwise_uses_every_answer() -> None:
    values = sample()
    values[:50, 0] = np.nan
    values[60:90, 3] = np.nan
    values[-1] = np.nan
    found = moments(values, missing="pairwise")
    assert found.nobs == 299
    assert found.coverage[0, 0] == 249
    assert found.coverage[0, 3] == 219
    assert any("no answer to any item" in note for note in found.notes)
    full = moments(values[:-1, :], missing="pairwise")
    assert np.array_equal(found.statistic, full.statistic)
    listwise = moments(values)
    assert listwise.nobs == 219
    assert any("81 of 300 rows dropped" in note for note in listwise.notes)


def test_covariates_may_be_shifted_and_scaled() -> None:
    values = sample()
    x = np.random.default_rng(2).normal(size=(300, 2))
    one = moments(values, covariates=x, covariate_names=["x1", "x2"])
    two = moments(values, covariates=2010 + 5 * x, covariate_names=["x1", "x2"])
    assert one.slopes is not None
    assert two.slopes is not None
    assert np.allclose(one.slopes, two.slopes * 5, atol=1e-10)
    assert np.allclose(one.cov, two.cov, rtol=1e-9)
    assert one.labels[9:19] == tuple(f"{name}~{x}" for x in ("x1", "x2") for name in NAMES)
    assert np.allclose(two.covariate_mean, 2010 + 5 * x.mean(axis=0))


def test_rows_without_a_covariate_are_left_out() -> None:
    values = sample()
    x = np.random.default_rng(2).normal(size=(300, 1))
    x[:20] = np.nan
    found = moments(values, covariates=x, covariate_names=["x"], missing="pairwise")
    assert found.nobs == 280
    assert found.rows[0] == 20
    assert any("a covariate is missing" in note for note in found.notes)


def test_sparse_categories_and_empty_cells_are_named() -> None:
    values = sample()
    values[0, 2] = 9
    found = moments(values)
    assert any("c (category 6: 1)" in text for text in found.warnings)
    assert ("a", "c", 1) in found.empty_cells
    assert any("empty cells" in text and "a and c (1)" in text for text in found.warnings)


def test_a_correlation_without_a_finite_value_is_named() -> None:
    rare = np.repeat([0.0, 1.0], [98, 2])
    graded = np.repeat([0.0, 1.0, 2.0, 3.0], [20, 30, 30, 20])
    other = np.random.default_rng(1).integers(0, 3, 100).astype(float)
    found = ordinal_moments(np.column_stack([rare, graded, other]), ["a", "b", "c"], ["a", "b", "c"])
    text = next(text for text in found.warnings if "cannot be determined" in text)
    assert "a and b (+1)" in text
    assert "and c" not in text
    assert np.isfinite(found.gamma).all()
    assert found.gamma_diagonal[found.labels.index("a~~b")] > 1e6


def bad(change: str) -> tuple[np.ndarray, dict[str, Any]]:
    """Return data that cannot be used, and options."""
    values, options = sample(), {}
    if change == "one answer":
        values[:, 1] = 3
    elif change == "copy":
        values[:, 2] = np.array([10, 20, 35])[values[:, 1].astype(int)]
    elif change == "reversed copy":
        values[:, 2] = 5 - values[:, 1]
    elif change == "never together":
        values[:150, 0] = np.nan
        values[150:, 3] = np.nan
        options = {"missing": "pairwise"}
    elif change == "blank":
        values[:, 3] = np.nan
    elif change == "constant":
        values[:, 3] = 2.5
    elif change == "absent":
        options = {"levels": {"b": (0.0, 1.0, 2.0, 7.0)}, "group": "women"}
    elif change == "dependent":
        x = np.arange(600.0).reshape(300, 2)
        options = {"covariates": np.column_stack([x, x.sum(axis=1)]), "covariate_names": ["p", "q", "r"]}
    elif change == "flat covariate":
        options = {"covariates": np.ones((300, 1)), "covariate_names": ["p"]}
    elif change == "separated":
        options = {"covariates": values[:, :1] + 0.0, "covariate_names": ["p"]}
    elif change == "two values":
        values[:, 3] = values[:, 3] > 0
    return values, options


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("one answer", ["b", "3", "one category"]),
        ("copy", ["b and c", "same answers"]),
        ("reversed copy", ["b and c (reversed)"]),
        ("never together", ["a with z"]),
        ("blank", ["z", "every value is missing"]),
        ("constant", ["z", "does not vary"]),
        ("absent", ["7", "b", "women"]),
        ("dependent", ["linearly dependent", "p, q, r"]),
        ("flat covariate", ["p", "do not vary"]),
        ("separated", ["a", "no finite solution"]),
        ("two values", ["z", "declare it as ordered", "fixed_x=True"]),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(change: str, words: list[str]) -> None:
    values, options = bad(change)
    with pytest.raises(DataError) as caught:
        moments(values, **options)
    for word in words:
        assert word in str(caught.value)
    assert caught.value.hint


def test_unknown_names_and_methods() -> None:
    with pytest.raises(DataError, match="aa"):
        ordinal_moments(sample(), NAMES, ["aa"])
    with pytest.raises(Unsupported, match="fiml"):
        moments(sample(), missing="fiml")


def test_merging_sparse_categories() -> None:
    values = np.array([1.0] * 2 + [2.0] * 10 + [3.0] * 20 + [5.0] * 3 + [7.0] * 1 + [np.nan])
    merged, pairs = merge_sparse(values, 5)
    assert pairs == ((1.0, 2.0), (5.0, 3.0), (7.0, 3.0))
    assert np.isnan(merged[-1])
    assert np.array_equal(np.unique(merged[:-1], return_counts=True), [[2, 3], [12, 24]])
    assert np.isnan(values[-1])
    assert values[0] == 1.0
    assert merge_sparse(np.array([1.0, 2.0]), 5)[1] == ()
