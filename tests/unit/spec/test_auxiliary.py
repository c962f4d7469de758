"""Saturated correlates: which rows they add, and where they are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs
from b2b_sem.engine.inference import count_df
from b2b_sem.errors import ModelSyntaxError, Unsupported
from b2b_sem.spec.auxiliary import add_auxiliary, check_auxiliary
from b2b_sem.spec.partable import ParameterTable, build_table
from b2b_sem.spec.syntax import parse_model

MODEL = "f =~ x1 + x2 + x3\nf ~ z"


def table(text: str = MODEL, **options: Any) -> ParameterTable:
    return build_table(parse_model(text), meanstructure=True, fixed_x=False, **options)


def data(n: int = 200) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    z = rng.normal(size=(n, 1))
    f = 0.5 * z + rng.normal(size=(n, 1))
    frame = pd.DataFrame(np.hstack([f + rng.normal(size=(n, 4)), z]), columns=["x1", "x2", "x3", "a", "z"])
    frame.loc[frame["a"] > 1, "x3"] = np.nan
    return frame


def test_rows_are_those_of_saturated_correlates_and_df_stays() -> None:
    plain = table()
    full = add_auxiliary(plain, ["a", "b"])
    added = [(r.lhs, r.op, r.rhs) for r in full.rows[len(plain.rows) :]]
    assert full.rows[: len(plain.rows)] == plain.rows
    assert added == [
        ("a", "~~", "a"),
        ("b", "~~", "b"),
        ("a", "~~", "b"),
        ("a", "~1", ""),
        ("b", "~1", ""),
        *[(v, "~~", w) for v in ("x1", "x2", "x3", "z") for w in ("a", "b")],
    ]
    assert [r.free for r in full.rows[len(plain.rows) :]] == list(range(plain.nfree + 1, full.nfree + 1))
    assert count_df(full, None)[2] == count_df(plain, None)[2]
    assert full.observed == ("x1", "x2", "x3", "z", "a", "b")
    assert full.modelled == plain.observed
    assert "Auxiliary variables covary" in full.defaults[-1]


def test_means_of_covariates_of_a_growth_model_are_freed() -> None:
    plain = table("i =~ 1*t1 + 1*t2 + 1*t3\ni ~ z", growth=True)
    full = add_auxiliary(plain, ["a"])
    mean = {r.lhs: r for r in full.rows if r.op == "~1"}
    assert mean["z"].free
    assert mean["z"].value is None
    assert not mean["t1"].free
    assert any("Means of covariates are free" in note for note in full.defaults)
    assert sorted({r.free for r in full.rows if r.free}) == list(range(1, full.nfree + 1))


def test_names_that_cannot_be_auxiliary_are_refused() -> None:
    with pytest.raises(ModelSyntaxError, match="part of the model: x1, f"):
        add_auxiliary(table(), ["x1", "f"])
    with pytest.raises(ModelSyntaxError, match="named twice: a"):
        check_auxiliary(["a", "b", "a"])
    assert check_auxiliary(None) == ()
    assert check_auxiliary("a") == ("a",)


def test_a_fit_keeps_auxiliary_rows_at_the_end_and_out_of_the_summary() -> None:
    fit = bs.fit(MODEL, data(), missing="fiml", auxiliary=["a"])
    assert fit.auxiliary == ("a",)
    assert fit.model.observed == ("x1", "x2", "x3", "z")
    own = fit.own(fit.parameters)
    assert not (own["lhs"].isin(["a"]) | own["rhs"].isin(["a"])).any()
    assert fit.parameters.iloc[: len(own)].equals(own)
    assert "a" not in fit.r2
    text = fit.summary()
    assert "of auxiliary variables (not shown)" in text
    assert "\n    a  " not in text
    again = bs.FitResult.from_json(fit.to_json())
    assert again.auxiliary == ("a",)
    assert again.summary() == text
    candidates = fit.modification_indices()
    assert not (candidates["lhs"].isin(["a"]) | candidates["rhs"].isin(["a"])).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "auxiliary variables need missing='fiml'"),
        ({"missing": "fiml", "bounds": "pos.var"}, "not available with bounds"),
        ({"missing": "fiml", "cluster": "z", "estimator": "MLR"}, "not available with clusters"),
    ],
)
def test_combinations_that_say_nothing_or_are_not_tested(options: dict[str, Any], message: str) -> None:
    with pytest.raises(Unsupported, match=message):
        bs.fit(MODEL, data(), auxiliary=["a"], **options)


def test_a_column_that_is_not_there_is_named() -> None:
    with pytest.raises(bs.B2BSemError, match="aa"):
        bs.fit(MODEL, data(), missing="fiml", auxiliary=["aa"])


def test_fits_with_other_auxiliary_variables_are_not_compared() -> None:
    frame = data().assign(b=lambda d: d["a"] ** 2)
    first = bs.fit(MODEL, frame, missing="fiml", auxiliary=["a"])
    second = bs.fit("f =~ x1 + x2 + l*x3\nf ~ l*z", frame, missing="fiml", auxiliary=["a", "b"])
    with pytest.raises(bs.DataError, match="different auxiliary variables"):
        bs.compare(first, second)
