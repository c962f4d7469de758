"""Advice on the estimator: each rule, its limits on both sides, and what fit(estimator="auto") makes of it."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs
from b2b_sem.errors import DataError, ModelSyntaxError, Unsupported
from b2b_sem.results.advice import Advice
from b2b_sem.spec.loader import load_survey


def cut(latent: np.ndarray, shares: list[float]) -> np.ndarray:
    """Return answers 1, 2, ... with these shares (normal quantiles of the sample)."""
    limits = np.quantile(latent, np.cumsum(shares)[:-1])
    return 1.0 + np.searchsorted(limits, latent)


def answers(n: int, shares: list[float] | None, items: int = 4, seed: int = 3) -> pd.DataFrame:
    """Return items of one factor, cut into categories; without shares normal numbers."""
    rng = np.random.default_rng(seed)
    factor = rng.normal(size=n)
    columns = {f"x{i}": factor + rng.normal(size=n) for i in range(1, items + 1)}
    return pd.DataFrame({k: v if shares is None else cut(v, shares) for k, v in columns.items()})


EVEN = {k: [1 / k] * k for k in (2, 3, 4, 5, 7)}
SKEWED = [0.62, 0.17, 0.10, 0.07, 0.04]
ITEMS = ["x1", "x2", "x3", "x4"]
MODEL = "F =~ x1 + x2 + x3 + x4"


@pytest.mark.parametrize("categories", [2, 3, 4])
def test_few_categories_take_categorical_least_squares(categories: int) -> None:
    found = bs.advise(answers(300, EVEN[categories]), ITEMS)
    assert (found.estimator, found.ordered, found.missing) == ("WLSMV", tuple(ITEMS), "listwise")
    assert found.reasons[0].startswith(f"All 4 items have fewer than 5 answer categories (x1 {categories}, ")
    assert "doi:10.1037/a0029315" in found.reasons[0]


@pytest.mark.parametrize("categories", [5, 7])
def test_enough_categories_and_mild_asymmetry_take_robust_maximum_likelihood(categories: int) -> None:
    found = bs.advise(answers(300, EVEN[categories]), ITEMS)
    assert (found.estimator, found.ordered, found.missing) == ("MLR", (), "listwise")
    assert f"All 4 items have {categories} answer categories (limit 5), and asymmetry is mild" in found.reasons[0]


def test_strong_asymmetry_takes_categorical_least_squares() -> None:
    found = bs.advise(answers(300, SKEWED), ITEMS)
    assert (found.estimator, found.ordered) == ("WLSMV", tuple(ITEMS))
    assert "|skew| above 1 in 4 of 4 items" in found.reasons[0]


def test_asymmetry_is_a_matter_of_most_items_or_of_one_extreme_item() -> None:
    data = answers(300, EVEN[5])
    skewed = answers(300, SKEWED)
    half = data.assign(x1=skewed["x1"], x2=skewed["x2"])
    assert bs.advise(half, ITEMS).estimator == "MLR"
    most = half.assign(x3=skewed["x3"])
    assert bs.advise(most, ITEMS).estimator == "WLSMV"
    extreme = data.assign(x1=answers(300, [0.9, 0.03, 0.03, 0.02, 0.02])["x1"])
    found = bs.advise(extreme, ITEMS)
    assert found.estimator == "WLSMV"
    assert "largest x1" in found.reasons[0]


def test_few_rows_turn_away_from_weights_of_the_data() -> None:
    few = bs.advise(answers(199, EVEN[2]), ITEMS)
    assert (few.estimator, few.ordered) == ("ULSMV", tuple(ITEMS))
    assert any("There are 199 rows, fewer than 200" in r and "10705510903203573" in r for r in few.reasons)
    assert bs.advise(answers(200, EVEN[2]), ITEMS).estimator == "WLSMV"
    skewed = bs.advise(answers(199, SKEWED), ITEMS)
    assert (skewed.estimator, skewed.ordered) == ("MLR", ())
    assert "speaks for WLSMV; but there are 199 rows" in skewed.reasons[0]


def test_normal_numbers_take_maximum_likelihood_and_others_the_robust_one() -> None:
    normal = answers(300, None)
    found = bs.advise(normal, ITEMS)
    assert (found.estimator, found.ordered) == ("ML", ())
    assert "All 4 items are numbers" in found.reasons[0]
    found = bs.advise(normal.assign(x2=np.exp(normal["x2"])), ITEMS)
    assert found.estimator == "MLR"
    assert "1 of 4 items has |skew| or |excess kurtosis| above 1" in found.reasons[0]
    assert "most x2" in found.reasons[0]
    flat = normal.assign(x3=np.linspace(0, 1, 300))  # excess kurtosis -1.2, no skew
    assert bs.advise(flat, ITEMS).estimator == "MLR"


def test_long_response_scales_count_as_numbers() -> None:
    assert bs.advise(answers(300, [0.1] * 10), ITEMS).ordered == ()
    assert bs.advise(answers(300, [1 / 8] * 8), ITEMS).estimator == "MLR"  # flat: excess kurtosis below -1
    skewed = answers(300, [0.4, 0.2, 0.1, 0.1, 0.05, 0.05, 0.05, 0.05])
    assert bs.advise(skewed, ITEMS).estimator == "MLR"


def test_mixed_items_order_the_response_scales_only() -> None:
    data = answers(300, EVEN[2]).assign(y=answers(300, None)["x1"], z=answers(300, EVEN[7])["x1"])
    found = bs.advise(data, [*ITEMS, "y", "z"])
    assert (found.estimator, found.ordered) == ("WLSMV", (*ITEMS, "z"))
    assert any("Taken as numbers" in r and ": y;" in r for r in found.reasons)


def test_covariates_do_not_decide_whatever_they_look_like() -> None:
    data = answers(300, EVEN[7]).assign(sex=lambda t: (t.index % 2).astype(float))
    assert bs.advise(data, ITEMS, covariates=["sex"]).estimator == "MLR"
    assert bs.advise(data, [*ITEMS, "sex"]).estimator == "WLSMV"


def holes(data: pd.DataFrame, share: float, columns: list[str] = ITEMS) -> pd.DataFrame:
    rng = np.random.default_rng(8)
    out = data.copy()
    for name in columns:
        out.loc[rng.random(len(out)) < share, name] = np.nan
    return out


def test_missing_answers_are_treated_as_the_estimator_can() -> None:
    for shares, estimator, missing in (
        (EVEN[7], "MLR", "fiml"),
        (EVEN[3], "WLSMV", "pairwise"),
        (None, "ML", "fiml"),
        (SKEWED, "WLSMV", "pairwise"),
    ):
        found = bs.advise(holes(answers(400, shares), 0.05), ITEMS)
        assert (found.estimator, found.missing) == (estimator, missing)
        assert any("of the answers are missing" in r for r in found.reasons)
    much = bs.advise(holes(answers(400, SKEWED), 0.2), ITEMS)
    assert (much.estimator, much.ordered, much.missing) == ("MLR", (), "fiml")
    assert "(limit 10%)" in much.reasons[0]
    # with few categories there is nothing better
    assert bs.advise(holes(answers(400, EVEN[2]), 0.2), ITEMS).estimator == "WLSMV"


def test_the_share_of_missing_answers_is_counted_without_empty_rows() -> None:
    data = answers(100, EVEN[7])
    data.loc[:9, ITEMS] = np.nan
    data.loc[10:19, "x1"] = np.nan
    found = bs.advise(data, ITEMS)
    assert "2.8% of the answers are missing and 10 of 90 rows are incomplete" in " ".join(found.reasons)


def test_covariates_with_holes_are_modelled_too() -> None:
    data = holes(answers(300, EVEN[7]).assign(age=answers(300, None)["x1"]), 0.1, ["age"])
    found = bs.advise(data, ITEMS, covariates=["age"])
    assert (found.estimator, found.missing) == ("MLR", "fiml.x")
    assert "Values of age are missing too" in found.reasons[-1]


def test_what_the_user_decided_is_kept() -> None:
    data = holes(answers(300, EVEN[3]), 0.05)
    found = bs.advise(data, ITEMS, missing="fiml")
    assert (found.estimator, found.ordered, found.missing) == ("MLR", (), "fiml")
    assert "but missing='fiml' was asked for" in found.reasons[0]
    assert bs.advise(data, ITEMS, missing="listwise").missing == "listwise"
    assert bs.advise(data, ITEMS, ordered=False).estimator == "MLR"
    assert "but no item shall be ordered" in bs.advise(data, ITEMS, ordered=()).reasons[0]
    some = bs.advise(answers(300, EVEN[7]), ITEMS, ordered=["x1", "x2"])
    assert (some.estimator, some.ordered) == ("WLSMV", ("x1", "x2"))
    assert bs.advise(answers(100, EVEN[7]), ITEMS, ordered=True).estimator == "ULSMV"
    assert bs.advise(answers(300, EVEN[7]), ITEMS, ordered=True).ordered == tuple(ITEMS)
    with pytest.raises(Unsupported, match="not available for ordered items"):
        bs.advise(data, ITEMS, ordered=True, missing="fiml")


def test_rows_are_compared_with_parameters() -> None:
    data = answers(300, EVEN[7])
    assert not any("free parameters" in r for r in bs.advise(data, ITEMS, parameters=60).reasons)
    (reason,) = [r for r in bs.advise(data, ITEMS, parameters=61).reasons if "free parameters" in r]
    assert "There are 300 rows for 61 free parameters, 4.9 each" in reason
    assert "doi:10.1177/0049124187016001004" in reason


def test_sparse_answers_are_named_where_they_matter() -> None:
    data = answers(300, EVEN[3])
    data.loc[:2, "x2"] = 4.0
    (reason,) = [r for r in bs.advise(data, ITEMS).reasons if r.startswith("Answers given fewer")]
    assert reason.startswith("Answers given fewer than 5 times: x2 4.")
    wide = answers(300, EVEN[7])
    wide.loc[:2, "x2"] = 8.0
    assert not any("fewer than 5 times" in r for r in bs.advise(wide, ITEMS).reasons)


def test_a_survey_names_the_answers_nobody_gave_and_formats_that_are_numbers() -> None:
    survey = load_survey("lima2026")
    name, other = survey.items()[:2]
    low, high = survey.range_of(name)
    assert (low, high) == (1, 7)
    rng = np.random.default_rng(2)
    data = pd.DataFrame({name: rng.integers(1, 4, 300), other: rng.integers(1, 8, 300)})
    (reason,) = [r for r in bs.advise(data, [name, other], survey).reasons if r.startswith("Answers given fewer")]
    assert f"{name} 4/5/6/7" in reason
    assert not any(r.startswith("Answers given fewer") for r in bs.advise(data, [name, other]).reasons)
    scale = survey.scales[survey.scale_of(name)]
    wide = survey.format.model_copy(update={"low": 0, "high": 100})
    slider = survey.model_copy(
        update={"scales": {**survey.scales, survey.scale_of(name): scale.model_copy(update={"format": wide})}}
    )
    assert slider.range_of(name) == (0, 100)
    assert bs.advise(data, [name, other], slider).ordered == ()


def test_unusable_columns_are_refused_by_name() -> None:
    data = answers(50, EVEN[5])
    with pytest.raises(DataError, match="column not found: 'x9'"):
        bs.advise(data, ["x1", "x9"])
    with pytest.raises(DataError, match=r"item x1 has a single answer \(3\)"):
        bs.advise(data.assign(x1=3.0), ITEMS)
    with pytest.raises(DataError, match="every value is missing in x2"):
        bs.advise(data.assign(x2=np.nan), ITEMS)
    with pytest.raises(DataError, match="holds text"):
        bs.advise(data.assign(x2="yes"), ITEMS)


def test_advice_survives_json_and_reads_well() -> None:
    found = bs.advise(answers(300, EVEN[2]), ITEMS)
    assert Advice.from_json(json.loads(json.dumps(found.to_json()))) == found
    assert str(found).startswith("estimator WLSMV, missing listwise, ordered: x1, x2, x3, x4\n- All 4 items")
    assert found.arguments() == {"estimator": "WLSMV", "ordered": tuple(ITEMS), "missing": "listwise"}
    assert bs.advise(answers(300, EVEN[7]), ITEMS).arguments()["ordered"] is None


def test_auto_fits_with_what_was_advised_and_says_so() -> None:
    data = answers(300, EVEN[7])
    found = bs.fit(MODEL, data, estimator="auto", engine="native")
    same = bs.fit(MODEL, data, estimator="MLR", engine="native")
    assert found.estimator == "MLR"
    assert found.model.options["estimator"] == "MLR"
    assert found.model.options["estimator_choice"] == "auto"
    assert "estimator_choice" not in same.model.options
    assert found.measures == same.measures
    pd.testing.assert_frame_equal(found.parameters, same.parameters)
    assert found.notes[0].startswith("estimator='auto' chose MLR: All 4 items have 7 answer categories")
    content = found.to_json()
    assert (content["estimator"], content["model"]["options"]["estimator_choice"]) == ("MLR", "auto")
    assert bs.fit(MODEL, answers(300, None), estimator="AUTO", engine="native").estimator == "ML"


def test_auto_looks_at_what_the_model_explains() -> None:
    data = answers(300, EVEN[7]).assign(sex=lambda t: (t.index % 2).astype(float))
    found = bs.fit(f"{MODEL}\nF ~ sex", data, estimator="auto", engine="native")
    assert found.estimator == "MLR"
    assert "All 4 items" in found.notes[0]


def test_auto_gives_way_to_what_only_maximum_likelihood_can() -> None:
    data = answers(300, EVEN[3])
    cov = bs.fit(MODEL, sample_cov=data.cov(), nobs=300, estimator="auto", engine="native")
    assert cov.estimator == "ML"
    assert "a covariance matrix was given" in cov.notes[0]
    bounded = bs.fit(MODEL, data, estimator="auto", bounds="pos.var", engine="native")
    assert bounded.estimator == "ML"
    clustered = bs.fit(MODEL, data.assign(firm=np.arange(300) // 6), estimator="auto", cluster="firm", engine="native")
    assert clustered.estimator == "MLR"
    assert any("because cluster='firm' goes with maximum likelihood only" in n for n in clustered.notes)
    assert bs.fit(MODEL, data, estimator="auto", engine="semopy").estimator == "MLR"
    nonlinear = bs.fit("F =~ x1 + a*x2 + b*x3 + x4\na == b^2", data, estimator="auto", engine="native")
    assert nonlinear.estimator == "ML"
    assert "nonlinear constraints" in nonlinear.notes[0]
    with pytest.raises(Unsupported, match="bounds"):
        bs.fit(MODEL, data, estimator="auto", bounds="pos.var", ordered=True)
    with pytest.raises(DataError, match="ordinal items need the rows"):
        bs.fit(MODEL, sample_cov=data.cov(), nobs=300, estimator="auto", ordered=True)


@pytest.mark.parametrize(("rows", "estimator"), [(300, "WLSMV"), (150, "ULSMV")])
def test_auto_fits_ordered_items(rows: int, estimator: str) -> None:
    data = answers(rows, EVEN[3])
    found = bs.fit(MODEL, data, estimator="auto")
    same = bs.fit(MODEL, data, estimator=estimator, ordered=ITEMS)
    assert (found.estimator, tuple(found.model.options["ordered"])) == (estimator, tuple(ITEMS))
    assert found.measures == same.measures
    assert found.to_json()["model"]["options"]["ordered"] == ITEMS
    assert found.notes[0].startswith(f"estimator='auto' chose {estimator}: All 4 items have fewer than 5")


def test_auto_takes_ordered_items_from_the_call_and_the_model() -> None:
    data = answers(300, EVEN[7])
    assert bs.fit(MODEL, data, estimator="auto", ordered="x1").model.options["ordered"] == ("x1",)
    stated = bs.fit(f"{MODEL}\nx2 | t1", data, estimator="auto", ordered=["x1"])
    assert stated.model.options["ordered"] == ("x1", "x2")
    assert bs.fit(MODEL, answers(300, EVEN[2]), estimator="auto", ordered=()).estimator == "MLR"


def test_auto_leaves_covariates_numeric_beside_ordered_items() -> None:
    data = answers(300, EVEN[3]).assign(sex=lambda t: (t.index % 2).astype(float))
    found = bs.fit(f"{MODEL}\nF ~ sex", data, estimator="auto")
    assert (found.estimator, found.model.options["ordered"]) == ("WLSMV", tuple(ITEMS))


def test_auto_uses_pairs_where_ordered_answers_are_missing() -> None:
    found = bs.fit(MODEL, holes(answers(400, EVEN[3]), 0.05), estimator="auto")
    assert (found.estimator, found.model.options["missing"], found.nobs) == ("WLSMV", "pairwise", 400)


def test_auto_uses_full_information_where_numbers_are_missing() -> None:
    data = holes(answers(400, EVEN[7]), 0.05)
    found = bs.fit(MODEL, data, estimator="auto", engine="native")
    assert (found.estimator, found.model.options["missing"], found.nobs) == ("MLR", "fiml", 400)
    assert found.measures == bs.fit(MODEL, data, estimator="MLR", missing="fiml").measures
    assert any("full information uses all answers" in n for n in found.notes)
    for option in ({"engine": "semopy"}, {"likelihood": "wishart"}, {"meanstructure": False}):
        only = bs.fit(MODEL, data, estimator="auto", **option)
        assert (only.model.options["missing"], only.nobs) == ("listwise", len(data.dropna()))
        assert any("with maximum likelihood of complete rows only" in n for n in only.notes)
    clustered = bs.fit(MODEL, data.assign(firm=np.arange(400) // 8), estimator="auto", cluster="firm")
    assert (clustered.model.options["missing"], clustered.nobs) == ("fiml", 400)
    data = holes(answers(300, EVEN[7]).assign(age=answers(300, None)["x1"]), 0.1, ["age"])
    found = bs.fit(f"{MODEL}\nF ~ age", data, estimator="auto")
    assert (found.estimator, found.model.options["missing"], found.nobs) == ("MLR", "fiml.x", 300)


def test_auto_leaves_messages_on_bad_input_as_they_are() -> None:
    data = answers(60, EVEN[5])
    with pytest.raises(ModelSyntaxError, match="'x9' is neither a latent variable"):
        bs.fit("F =~ x1 + x2 + x9", data, estimator="auto")
    with pytest.raises(DataError, match="no data"):
        bs.fit(MODEL, estimator="auto")
    with pytest.raises(ModelSyntaxError, match="has the name of a column"):
        bs.fit("x4 =~ x1 + x2 + x3", data, estimator="auto")
