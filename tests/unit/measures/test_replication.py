"""Performance of estimates over samples: values worked out by hand, and Monte Carlo errors against their own spread."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from b2b_sem.measures.multiplicity import adjusted, adjusted_rows
from b2b_sem.measures.replication import PERFORMANCE, performance, share


def columns(*values: float) -> np.ndarray:
    return np.array(values, dtype=float)[:, None]


def test_by_hand() -> None:
    est, se = columns(0.4, 0.6, 0.8, np.nan), columns(0.1, 0.2, 0.3, 0.1)
    out = performance(est, se, 2 * se, columns(0.01, 0.2, 0.04, 0.001), np.array([0.5]), 0.05)
    assert tuple(out) == PERFORMANCE
    expected = {
        "true": 0.5,
        "mean": 0.6,
        "bias": 0.1,
        "bias_mcse": 0.2 / np.sqrt(3),
        "rel_bias": 0.2,
        "rel_bias_mcse": 0.4 / np.sqrt(3),
        "sd": 0.2,
        "sd_mcse": 0.2 / np.sqrt(4),
        "mean_se": np.sqrt(0.14 / 3),
        "se_bias": np.sqrt(0.14 / 3) / 0.2 - 1,
        "rmse": np.sqrt((0.01 + 0.01 + 0.09) / 3),
        "coverage": 1.0,
        "coverage_mcse": 0.0,
        "power": 2 / 3,
        "power_mcse": np.sqrt(2 / 27),
        "n_used": 3,
    }
    for name, value in expected.items():
        assert out[name][0] == pytest.approx(value), name


def test_what_is_not_known_is_nan() -> None:
    est = np.array([[0.2, 1.0, np.nan], [0.4, 1.0, np.nan], [0.3, 1.0, np.nan]])
    se = np.array([[0.1, 0.0, np.nan]] * 3)
    out = performance(est, se, se, np.full_like(est, np.nan), np.array([np.nan, 1.0, 0.0]), 0.05)
    assert np.isnan(out["bias"][0])
    assert np.isnan(out["bias_mcse"][0])
    assert np.isnan(out["coverage"][0])
    assert out["se_bias"][0] == pytest.approx(0.0)
    # a value that is fixed has no standard error to judge
    assert (out["sd"][1], out["bias"][1]) == (0.0, 0.0)
    assert np.isnan([out["se_bias"][1], out["coverage"][1], out["power"][1]]).all()
    assert out["n_used"].tolist() == [3, 3, 0]
    assert np.isnan(out["mean"][2])


def test_a_true_value_of_zero_has_no_relative_bias() -> None:
    out = performance(columns(0.1, -0.1), columns(0.1, 0.1), columns(0.2, 0.2), columns(0.3, 0.3), np.zeros(1), 0.05)
    assert np.isnan(out["rel_bias"][0])
    assert out["bias"][0] == pytest.approx(0.0)


def test_monte_carlo_errors_are_the_spread_of_repeated_studies() -> None:
    rng = np.random.default_rng(1)
    studies, size, n = 4000, 200, 30
    data = rng.standard_normal((size, studies, n)) + 0.3
    est, se = data.mean(axis=2), data.std(axis=2, ddof=1) / np.sqrt(n)
    p = 2 * (1 - _normal(np.abs(est / se)))
    out = performance(est, se, 1.96 * se, p, np.full(studies, 0.3), 0.05)
    for name in ("bias", "rel_bias", "sd", "mean_se", "se_bias", "rmse", "coverage", "power"):
        # the spread of 4,000 studies is known to about 1 percent
        assert out[f"{name}_mcse"].mean() == pytest.approx(out[name].std(ddof=1), rel=0.06), name


def _normal(z: np.ndarray) -> np.ndarray:
    from scipy.special import ndtr

    return np.asarray(ndtr(z))


def test_share() -> None:
    p, error = share(np.array([[1.0, np.nan], [0.0, 1.0], [1.0, np.nan]]))
    np.testing.assert_allclose(p, [2 / 3, 1.0])
    np.testing.assert_allclose(error, [np.sqrt(2 / 27), 0.0])


@pytest.mark.parametrize("method", ["holm", "bonferroni", "bh", "none"])
def test_rows_are_adjusted_as_families(method: str) -> None:
    rng = np.random.default_rng(2)
    p = rng.uniform(size=(60, 7)) ** 3
    p[:, 3] = p[:, 1]  # ties
    p[rng.uniform(size=p.shape) < 0.2] = np.nan
    p[0] = np.nan
    out = adjusted_rows(p, method)
    names = {"holm": "holm", "bonferroni": "bonferroni", "bh": "fdr_bh"}
    for row, own in zip(p, out, strict=True):
        known = ~np.isnan(row)
        expected = row.copy()
        if method in names and known.any():
            expected[known] = multipletests(row[known], method=names[method])[1]
        np.testing.assert_allclose(own, expected, rtol=1e-12)
        np.testing.assert_array_equal(own, adjusted(row.tolist(), method))


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown method"):
        adjusted_rows(np.zeros((1, 1)), "tukey")
