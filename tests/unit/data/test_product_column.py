"""Columns of products of items."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from b2b_sem.data.product import METHODS, add_product_columns, product_columns, product_indicators
from b2b_sem.data.read import Responses
from b2b_sem.errors import DataError, Unsupported
from b2b_sem.spec.indicator import ProductTerm

X, Z = ["x1", "x2"], ["z1", "z2", "z3"]


@pytest.fixture
def answers() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(rng.integers(1, 8, size=(60, 5)), columns=X + Z)
    return frame.set_axis(range(100, 160))


def test_matched_products_by_hand(answers):
    made = product_indicators(answers, X, Z)
    assert list(made.columns) == [*X, *Z, "x1.z1", "x2.z2"]
    assert made.index.equals(answers.index)
    centred = answers - answers.mean()
    product = centred["x1"] * centred["z1"]
    np.testing.assert_allclose(made["x1.z1"], product - product.mean(), atol=1e-13)
    np.testing.assert_allclose(product_indicators(answers, X, Z, method="mc")["x1.z1"], product, atol=1e-13)


def test_residuals_are_uncorrelated_with_all_items(answers):
    made = product_indicators(answers, X, Z, method="rc-all")
    products = made[[f"{x}.{z}" for x in X for z in Z]]
    cross = products.to_numpy().T @ (answers - answers.mean()).to_numpy()
    np.testing.assert_allclose(cross, 0, atol=1e-9)
    np.testing.assert_allclose(products.mean(), 0, atol=1e-12)


@pytest.mark.parametrize("method", ["dmc-all", "rc-all"])
def test_neither_unit_nor_zero_point_of_an_item_matters(answers, method):
    made = product_indicators(answers, X, Z, method=method)["x2.z3"]
    moved = product_indicators(answers * 1e4 + 1e6, X, Z, method=method)["x2.z3"]
    np.testing.assert_allclose(moved, made * 1e8, rtol=1e-6, atol=1e-2)


def test_a_product_is_missing_where_an_item_is(answers):
    answers = answers.astype(float)
    answers.iloc[4, 0] = np.nan
    made = product_indicators(answers, X, Z, method="dmc-all")
    assert made["x1.z2"].isna().sum() == 1
    assert made["x2.z2"].notna().all()
    assert made["x1.z2"].mean() == pytest.approx(0, abs=1e-13)
    assert (made["x1.z1"].dropna().iloc[0]) == pytest.approx(
        ((answers["x1"] - answers["x1"].mean()) * (answers["z1"] - answers["z1"].mean())).pipe(lambda p: p - p.mean())[
            100
        ]
    )
    # a residual needs all items of the two factors
    assert product_indicators(answers, X, Z, method="rc-all")["x2.z2"].isna().sum() == 1


def test_a_file_stays_a_file(answers):
    term = ProductTerm("X:Z", ("x1",), ("z1",), (("x1", "z1"),), "dmc", ("x1.z1",))
    made = add_product_columns(Responses.from_frame(answers), [term])
    assert isinstance(made, Responses)
    assert made.columns[-1] == "x1.z1"
    assert product_indicators(Responses.from_frame(answers), ["x1"], ["z1"])["x1.z1"].equals(made.frame["x1.z1"])
    columns = {name: answers[name].to_numpy() for name in answers}
    assert list(add_product_columns(columns, [term])) == [*X, *Z, "x1.z1"]


def test_raw_products_are_not_centred(answers):
    term = ProductTerm("x1:z1", ("x1",), ("z1",), (("x1", "z1"),), "none", ("x1:z1",))
    np.testing.assert_array_equal(product_columns(answers, [term])["x1:z1"], answers["x1"] * answers["z1"])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"first": ["x1", "x9"]}, DataError, "x9"),
        ({"first": []}, DataError, "names no item"),
        ({"second": ["z1", "z1"]}, DataError, "twice"),
        ({"names": ["a"]}, DataError, "1 names for 2 products"),
        ({"names": ["x1", "a"]}, DataError, "column 'x1'"),
        ({"method": "rc-al"}, Unsupported, "rc-all"),
    ],
)
def test_refused(answers, arguments, error, message):
    options = {"first": X, "second": Z[:2], **arguments}
    with pytest.raises(error, match=message):
        product_indicators(answers, **options)


def test_items_that_say_the_same_cannot_be_regressed_on(answers):
    answers["x2"] = 2 * answers["x1"] + 1
    with pytest.raises(DataError, match="say the same"):
        product_indicators(answers, X, Z, method="rc")


def test_an_empty_or_infinite_item_is_named(answers):
    answers = answers.astype(float)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DataError, match="every value is missing in x1"):
            product_indicators(answers.assign(x1=np.nan), X, Z)
        with pytest.raises(DataError, match="infinite"):
            product_indicators(answers.assign(x1=np.inf), X, Z)


def test_every_method_has_a_name():
    assert METHODS == ("dmc", "dmc-all", "mc", "mc-all", "rc", "rc-all")
