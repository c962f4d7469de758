import json
from pathlib import Path

import numpy as np
import pytest

from b2b_sem.errors import DataError
from b2b_sem.measures.adequacy import adequacy, adequacy_of_data

REFERENCE = json.loads((Path(__file__).parent / "reference_measures.json").read_text(encoding="utf-8"))
NAMES = [f"x{i}" for i in range(1, 10)]


def answers(n: int, p: int, seed: int, loading: float = 0.7) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return loading * rng.standard_normal((n, 1)) + np.sqrt(1 - loading**2) * rng.standard_normal((n, p))


def test_kmo_and_bartlett_equal_psych():
    got = adequacy(REFERENCE["cov"], REFERENCE["nobs"], NAMES)
    ref = REFERENCE["psych"]
    assert got.kmo == pytest.approx(ref["kmo"], rel=1e-12)
    assert dict(got.items) == pytest.approx(ref["kmo_items"], rel=1e-12)
    assert got.bartlett_chisq == pytest.approx(ref["chisq"], rel=1e-12)
    assert got.bartlett_df == ref["df"]
    assert got.bartlett_pvalue == pytest.approx(ref["pvalue"], rel=1e-9)
    assert got.low_items == ()


@pytest.mark.parametrize("shape", [(200, 6, 0.6), (400, 36, 0.9)])
def test_answers_and_their_correlations_give_the_same(shape):
    n, p, loading = shape
    x = answers(n, p, seed=3, loading=loading) * np.linspace(1, 1e4, p)
    a, b = adequacy_of_data(x), adequacy(np.cov(x, rowvar=False), n)
    assert a.kmo == pytest.approx(b.kmo, rel=1e-8)
    assert dict(a.items) == pytest.approx(dict(b.items), rel=1e-8)
    assert a.bartlett_chisq == pytest.approx(b.bartlett_chisq, rel=1e-8)
    assert a.bartlett_df == b.bartlett_df
    assert a.bartlett_pvalue == pytest.approx(b.bartlett_pvalue, rel=1e-6, abs=1e-300)


def test_an_item_that_correlates_less_than_its_partial_correlations_is_named():
    r = np.full((4, 4), 0.6)
    np.fill_diagonal(r, 1)
    r[3, :3] = r[:3, 3] = [0.2, -0.2, 0.0]
    assert adequacy(r, 60, ["a", "b", "c", "stranger"]).low_items == ("stranger",)


def test_a_determinant_below_the_smallest_number_still_gives_a_test():
    x = answers(700, 600, seed=6, loading=0.97)
    got = adequacy_of_data(x)
    assert np.isfinite(got.bartlett_chisq)
    assert 0 < got.kmo < 1


def test_a_total_score_is_named_as_the_dependent_item():
    x = answers(50, 3, seed=7)
    x = np.column_stack([x, x[:, 0] + x[:, 1]])
    for call in (
        lambda: adequacy_of_data(x, ["a", "b", "c", "total"]),
        lambda: adequacy(np.cov(x, rowvar=False), 50, ["a", "b", "c", "total"]),
    ):
        with pytest.raises(DataError, match="singular: a, b, total are linearly dependent") as caught:
            call()
        assert "leave out one" in str(caught.value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: adequacy(np.eye(3), 50), "no item correlates"),
        (lambda: adequacy([[1.0]], 50), "at least two items"),
        (lambda: adequacy(np.ones((2, 3)), 50), "must be square"),
        (lambda: adequacy([[1, np.nan], [np.nan, 1]], 50), "missing values"),
        (lambda: adequacy([[1, 0.5], [0.4, 1]], 50), "not symmetric"),
        (lambda: adequacy([[1, 1.5], [1.5, 1]], 50), "not positive definite"),
        (lambda: adequacy([[1, 0.5], [0.5, 1]], 2), "2 respondents are too few"),
        (lambda: adequacy([[1, 0.5], [0.5, 1]], 50, ["a"]), "1 names were given for 2 items"),
        (lambda: adequacy_of_data([1, 2, 3]), "must form a table"),
        (lambda: adequacy_of_data(np.eye(3)), "3 rows are too few"),
        (lambda: adequacy_of_data([[1, 1], [2, 1], [3, 1]], ["a", "b"]), "constant item: b"),
        (lambda: adequacy_of_data([[1, np.nan], [2, 1], [3, 1]]), "missing or infinite"),
    ],
)
def test_impossible_input_is_refused(call, message):
    with pytest.raises(DataError, match=message):
        call()
