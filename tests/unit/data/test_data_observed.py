"""Observed moments: their values, what is counted out loud, and the message for data no model can use."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from b2b_sem.data.observed import observe, observe_moments
from b2b_sem.data.read import read_responses
from b2b_sem.errors import DataError, Unsupported


@pytest.fixture
def table():
    rng = np.random.default_rng(11)
    return pd.DataFrame(rng.normal(size=(60, 4)) @ rng.normal(size=(4, 4)) + 3, columns=list("abcd"))


# ---- values --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep_raw", [True, False])
def test_moments_equal_numpy(table, keep_raw):
    observed = observe(table, ["c", "a", "d"], keep_raw=keep_raw)
    group = observed.groups[0]
    data = table[["c", "a", "d"]].to_numpy()
    np.testing.assert_allclose(group.cov, np.cov(data.T, bias=True), rtol=1e-13)
    np.testing.assert_allclose(group.mean, data.mean(axis=0), rtol=1e-14)
    assert observed.names == ("c", "a", "d")
    assert (group.nobs, observed.nobs, observed.n_read, observed.n_dropped) == (60, 60, 60, 0)
    assert group.label is None
    assert observed.notes == ()
    if keep_raw:
        np.testing.assert_array_equal(observed.raw[0], data)
    else:
        assert observed.raw is None


def test_many_blocks_of_rows_equal_numpy():
    data = np.random.default_rng(5).normal(size=(30_011, 3))
    data[7, 0] = data[29_999, 2] = np.nan
    observed = observe({"x": data[:, 0], "y": data[:, 1], "z": data[:, 2]}, "xyz")
    complete = data[~np.isnan(data).any(axis=1)]
    np.testing.assert_allclose(observed.groups[0].cov, np.cov(complete.T, bias=True), rtol=1e-11, atol=1e-15)
    np.testing.assert_array_equal(observed.raw[0], complete)


def test_digits_survive_a_large_mean():
    # E[xx'] - mm' would lose all of them: the variance is 1e-20 of the squared mean
    data = np.random.default_rng(2).integers(0, 7, size=(500, 2)).astype(float)
    small, large = (
        observe({"x": data[:, 0], "y": data[:, 1]}, "xy"),
        observe({"x": data[:, 0] + 1e10, "y": data[:, 1]}, "xy"),
    )
    np.testing.assert_allclose(large.groups[0].cov, small.groups[0].cov, rtol=1e-12)


@settings(deadline=None, max_examples=40)
@given(arrays(np.int8, (12, 3)), st.permutations(["x", "y", "z"]))
def test_order_of_names_only_permutes(cells, order):
    data = dict(zip("xyz", cells.T.astype(float), strict=True))
    try:
        straight = observe(data, "xyz").groups[0]
    except DataError:
        with pytest.raises(DataError):
            observe(data, order)
        return
    pick = ["xyz".index(name) for name in order]
    np.testing.assert_allclose(observe(data, order).groups[0].cov, straight.cov[np.ix_(pick, pick)], atol=1e-12)


def test_arrays_are_read_only_and_apart_from_the_input(table):
    data = {name: table[name].to_numpy(copy=True) for name in table}
    observed = observe(data, list("abcd"))
    data["a"][0] = 99
    assert observed.raw[0][0, 0] != 99
    for array in (observed.groups[0].cov, observed.groups[0].mean, observed.raw[0]):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        observed.names = ()


def test_numeric_types_that_are_taken(table):
    frame = pd.DataFrame(
        {
            "int": [1, 2, 4, 4, 5, 1, 1],
            "bool": [True, False, True, True, False, False, True],
            "nullable": pd.array([1, None, 3, 1, 2, 2, 9], dtype="Int64"),
            "ordered": pd.Categorical([1, 2, 3, 3, 1, 2, 2], categories=[1, 2, 3], ordered=True),
            "text": ["1", "2 ", "1", "NA", "5", "4", "7"],
        }
    )
    observed = observe(frame, list(frame.columns[:3]))
    np.testing.assert_array_equal(observed.raw[0][:, 1], [1, 1, 1, 0, 0, 1])
    np.testing.assert_array_equal(observe(frame, ["ordered"]).raw[0][:, 0], [1, 2, 3, 3, 1, 2, 2])
    np.testing.assert_array_equal(observe(frame, ["text"]).raw[0][:, 0], [1, 2, 1, 5, 4, 7])


def test_listwise_deletion_is_counted_out_loud(table):
    table.iloc[:12, 1] = np.nan
    table.iloc[10:15, 3] = np.nan
    observed = observe(table, list("abcd"))
    assert observed.notes == ("15 of 60 rows dropped: missing values in b (12), d (5)",)
    assert (observed.nobs, observed.n_read, observed.n_dropped) == (45, 60, 15)
    np.testing.assert_array_equal(observed.raw[0], table.to_numpy()[15:])
    assert observe(table, ["a", "c"]).n_dropped == 0


def test_heavy_deletion_gives_the_same_moments(table):
    table.iloc[::2, 0] = np.nan
    kept = table.dropna().to_numpy()
    np.testing.assert_allclose(observe(table, list("abcd")).groups[0].cov, np.cov(kept.T, bias=True), rtol=1e-12)


def test_variances_far_apart_are_pointed_out(table):
    table["d"] *= 500
    (note,) = observe(table, list("abcd")).notes
    assert note.startswith("variances differ by more than a factor of 1000: d ")


# ---- data no model can use -----------------------------------------------------------------------------------------


def fails(data, names, message, error=DataError, **options):
    with pytest.raises(error, match=message) as caught:
        observe(data, names, **options)
    assert caught.value.exit_code == 2
    assert caught.value.hint
    return str(caught.value)


def test_unknown_columns(table):
    fails(table, ["a", "B"], r"column not found: 'B'. Did you mean 'b'\?")
    fails(table, ["x1", "x2"], "2 columns not found: 'x1'; 'x2'")


def test_names(table):
    fails(table, [], "no variables are named")
    fails(table, ["a", "a"], "named more than once: a")
    fails(table.set_axis(["a", "a", "c", "d"], axis=1), ["a", "c"], "more than one column is called a")


def test_cells_that_are_not_numbers(table, tmp_path):
    frame = table.astype(object)
    frame.iloc[4, 1] = "agree"
    fails(frame, list("ab"), r"one cell is not a number: 'agree' \(data row 5, column b\)")
    path = tmp_path / "data.csv"
    frame.to_csv(path, index=False)
    text = fails(read_responses(path), list("ab"), r"'agree' \(row 6, column b\)")
    assert text.startswith(str(path))


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pd.Categorical(["x", "y"] * 30), "unordered categories"),
        (pd.Categorical(["x", "y"] * 30, ordered=True), "categories that are not numbers"),
        (pd.date_range("2026-01-01", periods=60), "holds dates or times"),
        (np.ones(60) * 1j, "complex numbers"),
        (["male", "female", None] * 20, r"holds text \('male', 'female'\)"),
    ],
)
def test_columns_without_numeric_meaning(table, column, message):
    fails(table.assign(e=column), ["a", "e"], rf"column 'e' .*{message}")


def test_infinite_values(table):
    table.iloc[[3, 7], 2] = [np.inf, -np.inf]
    fails(table, list("abc"), r"2 cells are infinite: inf \(data row 4, column c\), -inf \(data row 8, column c\)")


def test_huge_but_finite_values_are_not_called_infinite():
    data = np.random.default_rng(1).normal(size=50)
    assert observe({"x": data * 1e70}, ["x"]).nobs == 50
    fails({"x": data * 1e307}, ["x"], "the numbers in column x are too large")
    fails({"x": data * 1e-200}, ["x"], "the numbers in column x are too close together")


@pytest.mark.parametrize(
    ("rest", "stray", "found"),
    [
        ([1, 2, 3, 7], 99, "x is 99 in 1 cell, far from all other values (1 to 7)"),
        ([1, 2, 3, 7], -9, "x is -9 in 1 cell, far from all other values (1 to 7)"),
        ([1.5, 2.5, 3.0, 2.0], 35, "x is 35 in 1 cell, far from all other values (1.5 to 3)"),
        ([1, 2, 3, 7], 9, None),
        ([1, 2, 3, 7], 35, None),
        ([0, 1, 0, 1], 1, None),
        ([20, 99, 45, 98], 99, None),
    ],
)
def test_values_far_from_all_others_are_reported(rest, stray, found):
    data = np.resize(np.asarray(rest, dtype=float), 40)
    data[5] = stray
    warnings = observe({"x": data, "y": np.arange(40.0) % 7}, ["x", "y"]).warnings
    assert len(warnings) == (found is not None)
    assert all(found in text for text in warnings)


def test_missing_columns_and_rows(table):
    fails(table.assign(e=np.nan), list("abe"), "every value is missing in e")
    hollow = table.copy()
    hollow.iloc[:30, 0] = np.nan
    hollow.iloc[30:, 1] = np.nan
    fails(hollow, list("ab"), r"no complete rows: .*\(60 of 60 rows dropped: missing values in a \(30\), b \(30\)\)")
    fails(table.iloc[:0], list("ab"), "the data have no rows")


def test_constant_columns(table):
    fails(table.assign(e=4), list("abe"), r"column does not vary: e \(always 4\)")
    fails(table.assign(e=0.1 + 0.2 * np.resize([1, 1 + 1e-16], 60)), list("abe"), "does not vary")
    flat_later = table.assign(e=4.0)
    flat_later.iloc[0, 4] = 5
    flat_later.iloc[0, 0] = np.nan
    fails(flat_later, list("abe"), "does not vary, once rows with missing values are left out: e")


def test_duplicate_columns(table):
    fails(table.assign(e=table["b"]), list("abcde"), r"same information: b and e \(the same values\)")
    fails(table.assign(e=8 - table["b"]), list("abcde"), r"same information: b and e \(correlation -1\)")
    fails(table.assign(e=table["b"] * 3 + 1), list("abcde"), r"same information: b and e \(correlation 1\)")


def test_collinear_columns_are_named_and_others_are_not(table):
    text = fails(table.assign(total=table["a"] + table["b"] - 2 * table["d"]), [*"abcd", "total"], "linearly dependent")
    assert "linearly dependent: a, b, d, total (4 columns hold the information of 3)" in text


def test_nearly_collinear_columns_are_accepted(table):
    noise = np.random.default_rng(4).normal(size=60) * 1e-3
    assert observe(table.assign(e=table["a"] + table["b"] + noise), list("abcde")).nobs == 60


def test_too_few_rows(table):
    fails(table.iloc[:3], list("abcd"), "3 complete rows for 4 variables")
    fails(table.iloc[:4], list("abcd"), "4 complete rows for 4 variables")
    fails(table.iloc[:1], ["a"], "1 complete row for one variable")
    short = table.iloc[:8].copy()
    short.iloc[0:5, 0] = np.nan
    fails(short, list("abcd"), r"3 complete rows .*\(5 of 8 rows dropped: missing values in a \(5\)\)")


def test_a_covariance_matrix_is_not_taken_for_data(table):
    fails(table.cov(), list("abcd"), "looks like a covariance matrix")


def test_shapes(table):
    fails(table.to_numpy(), ["a"], "must be a DataFrame or a mapping of names to columns, not ndarray")
    fails({"a": [1, 2, 3], "b": [1, 2]}, ["a", "b"], "columns differ in length: a has 3, b has 2")


@pytest.mark.parametrize("missing", ["pairwise", "ml"])
def test_other_missing_methods_say_what_to_use(table, missing):
    fails(table, ["a"], r"missing='.*' is not available\n  -> Use missing='fiml'", Unsupported, missing=missing)


def test_misspelt_missing_method(table):
    fails(table, ["a"], "unknown method missing='listwize'. Did you mean 'listwise'", missing="listwize")


# ---- moments as input ----------------------------------------------------------------------------------------------


def test_matrix_input_is_rescaled_to_divisor_n(table):
    raw, moments = observe(table, list("bad")), observe_moments(table.cov(), 60, table.mean(), names=list("bad"))
    np.testing.assert_allclose(moments.groups[0].cov, raw.groups[0].cov, rtol=1e-12)
    np.testing.assert_allclose(moments.groups[0].mean, raw.groups[0].mean, rtol=1e-14)
    assert moments.names == ("b", "a", "d")
    assert (moments.raw, moments.n_read, moments.n_dropped, moments.nobs) == (None, 60, 0, 60)
    kept = observe_moments(np.cov(table.to_numpy().T, bias=True), 60, names=list("abcd"), rescale=False)
    np.testing.assert_allclose(kept.groups[0].cov, observe(table, list("abcd")).groups[0].cov, rtol=1e-12)
    assert kept.groups[0].mean is None


def test_labels_of_rows_are_used(table):
    cov = table.cov()
    np.testing.assert_array_equal(
        observe_moments(cov.iloc[[2, 0, 3, 1]], 60).groups[0].cov, observe_moments(cov, 60).groups[0].cov
    )


def test_correlation_matrix_is_pointed_out(table):
    assert "correlation matrix" in observe_moments(table.corr(), 60).notes[0]


def moments_fail(message, *args, **options):
    with pytest.raises(DataError, match=message) as caught:
        observe_moments(*args, **options)
    assert caught.value.hint


def test_bad_matrices(table):
    cov = table.cov()
    moments_fail("has no names", cov.to_numpy(), 60)
    moments_fail("3 names for a 4 x 4", cov.to_numpy(), 60, names=list("abc"))
    moments_fail("not square: 3 x 4", cov.to_numpy()[:3], 60, names=list("abcd"))
    moments_fail("different names: d, e", cov.rename(columns={"d": "e"}), 60)
    moments_fail("not in the covariance matrix: 'A'. Did you mean 'a'", cov, 60, names=["A", "b"])
    moments_fail("cells that are not numbers", cov.astype(object).replace(cov.iloc[0, 0], "x"), 60)
    skew = cov.copy()
    skew.iloc[0, 1] += 0.1
    moments_fail("not symmetric: a with b", skew, 60)
    hole = cov.copy()
    hole.iloc[1, 2] = np.nan
    moments_fail("covariance of b and c is nan", hole, 60)
    moments_fail(r"variances must be positive: b \(-1\)", [[1, 0], [0, -1]], 60, names=["a", "b"])
    moments_fail("4 rows for 4 variables", cov, 4)
    moments_fail("3 means for 4 variables", cov, 60, [1, 2, 3])
    moments_fail("no mean is given for d", cov, 60, {"a": 1, "b": 2, "c": 3})
    moments_fail("a mean is not a finite number", cov, 60, [1, 2, 3, np.nan])


@pytest.mark.parametrize("nobs", [1, 0, -5, 2.5, "many", None, float("nan"), True])
def test_number_of_observations(table, nobs):
    moments_fail("number of observations must be a whole number of at least 2", table.cov(), nobs)


def test_matrices_that_are_not_positive_definite():
    names = ["a", "b", "c", "d"]
    indefinite = np.array([[1, 0.9, -0.9, 0], [0.9, 1, 0.9, 0], [-0.9, 0.9, 1, 0], [0, 0, 0, 1.0]])
    moments_fail(r"not positive definite .*the columns involved are a, b, c\n", indefinite, 60, names=names)
    moments_fail("correlations beyond 1: a and b", [[1, 1.5], [1.5, 1]], 60, names=["a", "b"])
    moments_fail(r"a and b \(correlation 1\)", [[1, 2], [2, 4]], 60, names=["a", "b"])
