"""Patterns of missing values and the EM algorithm, against sums over single rows and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from b2b_sem.data.em import compact, em_moments, pull
from b2b_sem.data.incomplete import group_patterns, pairwise_moments, refuse_unseen_pairs
from b2b_sem.data.observed import observe
from b2b_sem.errors import DataError

NAN = float("nan")


def sample(n: int = 120, p: int = 4, share: float = 0.25, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, p)) @ rng.normal(size=(p, p)) * np.array([1.0, 10.0, 0.1, 3.0][:p]) + 5.0
    rows[rng.random((n, p)) < share] = NAN
    return rows[~np.isnan(rows).all(axis=1)]


def log_likelihood(rows: np.ndarray, mean: np.ndarray, cov: np.ndarray) -> float:
    """The definition, one row at a time."""
    total = 0.0
    for row in rows:
        o = ~np.isnan(row)
        d, s = (row - mean)[o], cov[np.ix_(o, o)]
        total -= 0.5 * (o.sum() * math.log(2 * math.pi) + np.linalg.slogdet(s)[1] + d @ np.linalg.solve(s, d))
    return total


def test_patterns_are_grouped_and_counted():
    rows = np.array([[1, 2, NAN], [NAN, NAN, NAN], [1, NAN, 3], [4, 5, NAN], [1, 2, 3.0]])
    found = group_patterns(rows)
    assert found.n_empty == 1
    assert found.nobs == 4
    assert found.counts.tolist() == [2, 1, 1]
    assert found.patterns.tolist() == [[True, True, False], [True, False, True], [True, True, True]]
    assert found.member.tolist() == [0, 1, 0, 2]
    assert not found.complete
    assert np.array_equal(found.coverage * 4, [[4, 3, 2], [3, 3, 1], [2, 1, 2]])


def test_many_variables_have_distinct_patterns():
    rows = np.zeros((70, 70))
    rows[np.diag_indices(70)] = NAN
    assert len(group_patterns(rows).counts) == 70


def test_pairs_never_observed_together_are_named():
    rows = np.array([[1.0, NAN, 2.0], [2.0, NAN, 1.0], [NAN, 3.0, 1.0], [NAN, 1.0, 2.0]])
    with pytest.raises(DataError, match="never answered by the same respondent: a and b") as caught:
        refuse_unseen_pairs(["a", "b", "c"], group_patterns(rows), "d.csv")
    assert "leave one of each pair out" in str(caught.value)


def test_pairwise_moments_are_those_of_the_rows_that_have_both():
    rows = sample()
    mean, cov = pairwise_moments(group_patterns(rows))
    assert np.allclose(mean, np.nanmean(rows, axis=0), rtol=1e-14)
    both = ~np.isnan(rows[:, 0]) & ~np.isnan(rows[:, 1])
    assert cov[0, 1] == pytest.approx(np.cov(rows[both, 0], rows[both, 1])[0, 1], rel=1e-12)


@pytest.mark.parametrize("shorten", [True, False])
def test_the_likelihood_is_the_sum_over_rows(shorten):
    rows = sample()
    incomplete = group_patterns(rows)
    sums = compact(incomplete, shorten=shorten)
    mean = np.nanmean(rows, axis=0)
    cov = np.diag(np.nanvar(rows, axis=0)) * 1.1
    cov[0, 1] = cov[1, 0] = 0.4 * math.sqrt(cov[0, 0] * cov[1, 1])
    at = pull(sums, mean, cov)
    ours = -0.5 * (len(rows) * at.value + sums.values * math.log(2 * math.pi))
    assert ours == pytest.approx(log_likelihood(rows, mean, cov), rel=1e-12)


def test_a_frequent_pattern_takes_few_rows():
    rows = np.random.default_rng(2).normal(size=(1000, 3))
    rows[:400, 1] = NAN
    assert len(compact(group_patterns(rows)).rows) == (1 + 3) + (1 + 2)


def test_no_likelihood_where_the_matrix_is_not_positive_definite():
    sums = compact(group_patterns(sample()))
    assert pull(sums, np.zeros(4), -np.eye(4)) is None


def test_complete_rows_give_their_own_moments():
    rows = sample(share=0.0)
    found = em_moments(group_patterns(rows))
    sd = rows.std(axis=0)
    assert found.converged
    assert np.allclose(found.mean, rows.mean(axis=0), rtol=0, atol=1e-12 * sd.max())
    assert (np.abs(found.cov - np.cov(rows.T, bias=True)) <= 1e-11 * np.outer(sd, sd)).all()
    assert found.logl == pytest.approx(log_likelihood(rows, found.mean, found.cov), rel=1e-12)


def test_monotone_holes_have_a_closed_form():
    """One variable that stops: regression on the other among complete rows (Anderson 1957)."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=200)
    y = 2.0 + 0.7 * x + rng.normal(size=200)
    y[x > 0.3] = NAN
    seen = ~np.isnan(y)
    slope, level = np.polyfit(x[seen], y[seen], 1)
    residual = np.mean((y[seen] - level - slope * x[seen]) ** 2)
    found = em_moments(group_patterns(np.column_stack([x, y])))
    assert found.converged
    assert found.mean == pytest.approx([x.mean(), level + slope * x.mean()], rel=1e-9)
    assert found.cov[0, 1] == pytest.approx(slope * x.var(), rel=1e-9)
    assert found.cov[1, 1] == pytest.approx(residual + slope**2 * x.var(), rel=1e-9)


@pytest.mark.parametrize("share", [0.05, 0.4])
def test_no_change_of_the_moments_raises_the_likelihood(share):
    rows = sample(share=share, seed=4)
    found = em_moments(group_patterns(rows))
    assert found.converged
    assert found.logl == pytest.approx(log_likelihood(rows, found.mean, found.cov), rel=1e-12)
    sd = np.sqrt(np.diag(found.cov))
    for i in range(4):
        for sign in (1e-3, -1e-3):
            mean = found.mean.copy()
            mean[i] += sign * sd[i]
            assert log_likelihood(rows, mean, found.cov) < found.logl
            for j in range(i + 1):
                cov = found.cov.copy()
                cov[i, j] += sign * sd[i] * sd[j]
                cov[j, i] = cov[i, j]
                assert log_likelihood(rows, found.mean, cov) < found.logl


def test_units_do_not_matter():
    rows = sample(seed=5)
    scale = np.array([1e4, 1e-5, 1.0, 1e3])
    one, other = em_moments(group_patterns(rows)), em_moments(group_patterns(rows * scale))
    sd = np.sqrt(np.diag(one.cov))
    assert (np.abs(other.mean / scale - one.mean) <= 1e-9 * sd).all()
    assert (np.abs(other.cov / np.outer(scale, scale) - one.cov) <= 1e-9 * np.outer(sd, sd)).all()


def table(rows: np.ndarray) -> dict[str, np.ndarray]:
    return {name: rows[:, k] for k, name in enumerate("abcd"[: rows.shape[1]])}


def test_rows_without_answers_are_dropped_and_counted():
    rows = np.concatenate([sample(), np.full((3, 4), NAN)])
    found = observe(table(rows), list("abcd"), missing="fiml")
    assert found.n_read == len(rows)
    assert found.n_dropped == 3
    assert found.incomplete[0].nobs == found.nobs == len(rows) - 3
    assert f"3 of {len(rows)} rows dropped: no answer to any variable" in found.notes
    assert any("patterns of answers" in note for note in found.notes)


def test_rows_without_a_fixed_covariate_are_dropped_and_counted():
    rows = sample()
    lost = int(np.isnan(rows[:, 3]).sum())
    found = observe(table(rows), list("abcd"), missing="fiml", complete=["d"])
    assert found.n_dropped == lost
    assert any("exogenous variables taken as fixed, d" in note and "fiml.x" in note for note in found.notes)


def test_complete_data_are_as_with_listwise_deletion():
    rows = sample(share=0.0)
    one, other = observe(table(rows), list("abcd")), observe(table(rows), list("abcd"), missing="fiml")
    assert np.array_equal(one.groups[0].cov, other.groups[0].cov)
    assert np.array_equal(one.groups[0].mean, other.groups[0].mean)
    assert one.notes == other.notes


def test_clusters_and_labels_follow_the_rows():
    import pandas as pd

    rows = sample(n=40)
    frame = pd.DataFrame(rows, columns=list("abcd"), index=range(100, 100 + len(rows)))
    frame["firm"] = np.arange(len(rows)) % 5
    frame.loc[103, list("abcd")] = NAN
    found = observe(frame, list("abcd"), missing="fiml", cluster="firm")
    assert 103 not in found.index
    assert found.clusters[0].tolist() == [i % 5 for i in range(len(rows)) if i != 3]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (np.full(50, NAN), "every value is missing in b"),
        (np.where(np.arange(50) < 40, 2.0, NAN), "column does not vary among the answers: b"),
    ],
)
def test_columns_that_say_nothing(column, message):
    rng = np.random.default_rng(6)
    data = {"a": rng.normal(size=50), "b": column, "c": rng.normal(size=50)}
    with pytest.raises(DataError, match=message):
        observe(data, list("abc"), missing="fiml")


def test_answers_that_do_not_determine_the_covariances():
    """Two rows share b and c: a covariance matrix without a model can be singular at its best."""
    rng = np.random.default_rng(7)
    rows = rng.normal(size=(40, 3))
    rows[:20, 1] = NAN
    rows[20:39, 2] = NAN
    with pytest.raises(DataError) as caught:
        observe(table(rows), list("abc"), missing="fiml")
    assert "b" in str(caught.value)
    assert "c" in str(caught.value)


def test_too_few_rows():
    with pytest.raises(DataError, match="needs more rows than variables"):
        observe({"a": [1.0, NAN, 2.0], "b": [1.0, 2.0, NAN], "c": [2.0, 1.0, 3.0]}, list("abc"), missing="fiml")


def test_a_likelihood_without_a_maximum_is_no_result():
    """Only the few complete rows see all variables at once: a singular matrix through them fits ever better."""
    rng = np.random.default_rng(5)
    rows = rng.normal(size=(60, 8)) + rng.normal(size=(60, 1))
    rows[rng.random(rows.shape) < 0.5] = NAN
    assert not em_moments(group_patterns(rows)).converged
    with pytest.raises(DataError, match="no maximum"):
        observe({f"v{k}": rows[:, k] for k in range(8)}, [f"v{k}" for k in range(8)], missing="fiml")
