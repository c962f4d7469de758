import json
from pathlib import Path

import numpy as np
import pytest

from b2b_sem.errors import DataError
from b2b_sem.measures.validity import (
    fornell_larcker,
    fornell_larcker_violations,
    htmt,
    htmt2,
    undefined_ratios,
)

REFERENCE = json.loads((Path(__file__).parent / "reference_measures.json").read_text(encoding="utf-8"))
COV = np.array(REFERENCE["cov"])
BLOCKS = [[0, 1, 2], [3, 4, 5], [6, 7, 8]]


@pytest.mark.parametrize(("function", "name"), [(htmt, "htmt"), (htmt2, "htmt2")])
def test_ratios_of_absolute_correlations_equal_semtools(function, name):
    np.testing.assert_allclose(function(COV, BLOCKS), REFERENCE[f"{name}_absolute"], rtol=1e-12)


def test_signed_ratio_equals_semtools():
    np.testing.assert_allclose(htmt(COV, BLOCKS, absolute=False), REFERENCE["htmt_signed"], rtol=1e-12)


def test_signed_htmt2_refuses_the_negative_correlation_of_x2_and_x7():
    assert COV[1, 6] < 0
    got = htmt2(COV, BLOCKS, absolute=False)
    assert np.isnan(got[2, 0])
    assert np.isnan(got[0, 2])
    assert np.isfinite(got[[1, 2], [0, 1]]).all()
    reasons = undefined_ratios(COV, BLOCKS, absolute=False, geometric=True)
    assert set(reasons) == {(2, 0)}
    assert "zero or negative" in reasons[2, 0]


def test_covariances_and_correlations_give_the_same():
    sd = np.sqrt(np.diag(COV))
    np.testing.assert_allclose(htmt(COV / np.outer(sd, sd), BLOCKS), htmt(COV, BLOCKS), rtol=1e-14)


def test_both_ratios_return_the_latent_correlation_where_theory_says_so():
    rho, equal, unequal = 0.6, [0.7] * 3, [0.9, 0.7, 0.5]
    for loadings, exact in ((equal, (htmt, htmt2)), (unequal, (htmt2,))):
        lam = np.zeros((6, 2))
        lam[:3, 0] = lam[3:, 1] = loadings
        r = lam @ np.array([[1, rho], [rho, 1]]) @ lam.T
        np.fill_diagonal(r, 1)
        for function in exact:
            assert function(r, [[0, 1, 2], [3, 4, 5]])[1, 0] == pytest.approx(rho, rel=1e-12)
    assert htmt(r, [[0, 1, 2], [3, 4, 5]])[1, 0] != pytest.approx(rho, abs=1e-3)


def test_two_item_scales_are_enough_and_single_items_are_not():
    r = np.array([[1, 0.5, 0.3, 0.2], [0.5, 1, 0.3, 0.2], [0.3, 0.3, 1, 0.6], [0.2, 0.2, 0.6, 1.0]])
    two = htmt(r, [[0, 1], [2, 3]])
    assert two[1, 0] == pytest.approx(0.25 / np.sqrt(0.5 * 0.6))
    got = htmt(r, [[0, 1], [2]])
    assert np.isnan(got[1, 0])
    assert np.isnan(got[1, 1])
    assert got[0, 0] == 1
    assert "single item" in undefined_ratios(r, [[0, 1], [2]])[1, 0]


def test_items_keyed_against_each_other():
    r = np.array([[1, -0.5, 0.3], [-0.5, 1, -0.3], [0.3, -0.3, 1.0]])
    r = np.block([[r, np.zeros((3, 1))], [np.zeros((1, 3)), np.ones((1, 1))]])
    r[3, 2] = r[2, 3] = 0.4
    blocks = [[0, 1], [2, 3]]
    assert np.isfinite(htmt(r, blocks)[1, 0])
    assert np.isnan(htmt(r, blocks, absolute=False)[1, 0])
    assert "not above zero" in undefined_ratios(r, blocks, absolute=False)[1, 0]


def test_an_item_of_both_scales_is_not_paired_with_itself():
    r = np.full((3, 3), 0.5) + 0.5 * np.eye(3)
    assert htmt(r, [[0, 1], [1, 2]])[1, 0] == pytest.approx(1.0)


def test_fornell_larcker_table_and_violations():
    r = np.array([[1, 0.5, -0.8], [0.5, 1, 0.2], [-0.8, 0.2, 1]])
    table = fornell_larcker(r, [0.49, 0.64, np.nan])
    np.testing.assert_allclose(np.diag(table), [0.7, 0.8, np.nan])
    np.testing.assert_allclose(table[[1, 2, 2], [0, 0, 1]], [0.5, -0.8, 0.2])
    assert np.isnan(table[np.triu_indices(3, 1)]).all()
    assert fornell_larcker_violations(r, [0.49, 0.64, np.nan]) == ((2, 0),)
    assert fornell_larcker_violations(r, [0.25, 0.64, 0.9]) == ((1, 0), (2, 0))
    assert fornell_larcker_violations(r, [0.81, 0.81, 0.81]) == ()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: htmt(np.ones((2, 3)), [[0]]), "must be square"),
        (lambda: htmt(np.eye(3), [[0, 1], [2, 3]]), "scale 2 names an item outside the 3 x 3"),
        (lambda: htmt(np.eye(3), [[0, 0]]), "scale 1 names an item twice"),
        (lambda: htmt2(np.eye(3), [[0, 1], []]), "scale 2 has no items"),
        (lambda: htmt([[1, np.nan], [np.nan, 1]], [[0, 1]]), "missing values"),
        (lambda: fornell_larcker(np.eye(2), [0.5]), "do not belong together"),
        (lambda: fornell_larcker(np.eye(1), [-0.5]), "cannot be negative"),
    ],
)
def test_impossible_input_is_refused(call, message):
    with pytest.raises(DataError, match=message):
        call()
