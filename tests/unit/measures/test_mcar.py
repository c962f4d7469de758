"""Little's test and comparisons by answer, on numbers small enough to check."""

from __future__ import annotations

import numpy as np
import pytest

from b2b_sem.data.incomplete import group_patterns
from b2b_sem.measures import mcar
from b2b_sem.measures.mcar import compare_by_answer, little_test
from b2b_sem.measures.multiplicity import false_discovery

NAN = np.nan


def rows(n: int = 60, p: int = 4, seed: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 1)) + rng.normal(size=(n, p)) + np.arange(p)
    return np.where(rng.random((n, p)) < 0.3, NAN, x)


def slow_little(data: np.ndarray, mean: np.ndarray, cov: np.ndarray) -> tuple[float, int]:
    """The formula of Little (1988), pattern by pattern."""
    total, df = 0.0, -data.shape[1]
    keys = [tuple(~np.isnan(r)) for r in data]
    for key in sorted(set(keys)):
        own = data[[k == key for k in keys]][:, list(key)]
        d = own.mean(axis=0) - mean[list(key)]
        total += len(own) * float(d @ np.linalg.inv(cov[np.ix_(key, key)]) @ d)
        df += sum(key)
    return total, df


@pytest.mark.parametrize("chunk", [mcar.CHUNK, 1])
def test_little_is_its_formula(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mcar, "CHUNK", chunk)
    data = group_patterns(rows())
    mean, cov = np.array([0.1, 1.2, 1.9, 3.1]), np.eye(4) + 0.9
    found = little_test(data.rows, data.patterns, data.member, data.counts, mean, cov)
    assert (found.chisq, found.df) == pytest.approx(slow_little(data.rows, mean, cov), rel=1e-12)
    assert found.patterns == len(data.counts)


def test_complete_rows_have_no_test() -> None:
    data = group_patterns(np.ones((5, 2)))
    found = little_test(data.rows, data.patterns, data.member, data.counts, np.zeros(2), np.eye(2))
    assert found.df == 0
    assert np.isnan(found.chisq)
    assert np.isnan(found.pvalue)


def test_comparison_by_hand() -> None:
    holes = np.array([[True], [True], [False], [False], [False], [False]])
    values = np.array([[1.0], [3.0], [2.0], [4.0], [6.0], [NAN]])
    found = compare_by_answer(holes, values)
    assert (found.n_missing[0, 0], found.n_answered[0, 0]) == (2, 3)
    assert (found.mean_missing[0, 0], found.mean_answered[0, 0]) == pytest.approx((2.0, 4.0))
    # s1^2 = 2 over 2 values, s0^2 = 4 over 3
    assert found.t[0, 0] == pytest.approx(-2.0 / np.sqrt(2 / 2 + 4 / 3))
    assert found.d[0, 0] == pytest.approx(-2.0 / np.sqrt((1 * 2 + 2 * 4) / 3))


@pytest.mark.parametrize("shift", [0.0, 1e8])
def test_comparison_does_not_lose_digits_to_a_large_mean(shift: float) -> None:
    data = rows(p=3)
    plain = compare_by_answer(np.isnan(data), data)
    moved = compare_by_answer(np.isnan(data), data + shift)
    assert moved.t == pytest.approx(plain.t, rel=1e-6, nan_ok=True)


@pytest.mark.parametrize(
    "values",
    [
        [[1.0], [1.0], [1.0], [1.0]],  # nothing varies
        [[NAN], [NAN], [1.0], [2.0]],  # nobody to compare with
        [[1.0], [NAN], [1.0], [2.0]],  # one value has no variance
        [[NAN], [NAN], [NAN], [NAN]],
    ],
)
def test_what_cannot_be_compared_is_nan(values: list[list[float]]) -> None:
    found = compare_by_answer(np.array([[True], [True], [False], [False]]), np.array(values))
    assert np.isnan(found.t[0, 0])
    assert np.isnan(found.pvalue[0, 0])


def test_false_discovery_is_r_p_adjust() -> None:
    # p.adjust(c(.01, .02, NA, .04, .3), "BH")
    found = false_discovery(np.array([0.01, 0.02, NAN, 0.04, 0.3]))
    assert found == pytest.approx([0.04, 0.04, NAN, 0.16 / 3, 0.3], nan_ok=True)
    assert len(false_discovery(np.array([]))) == 0
