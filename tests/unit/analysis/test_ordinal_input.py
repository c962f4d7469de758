"""What users give for ordinal items, and what they are told."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs
from b2b_sem.errors import DataError, Unsupported

MODEL = "X =~ x1 + x2 + x3\nY =~ y1 + y2 + y3\nY ~ X"
ITEMS = ["x1", "x2", "x3", "y1", "y2", "y3"]


@pytest.fixture(scope="module")
def answers() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    x = rng.normal(size=250)
    y = 0.6 * x + rng.normal(size=250)
    raw = {name: (x if name[0] == "x" else y) + rng.normal(size=250) for name in ITEMS}
    return pd.DataFrame({name: np.digitize(v, [-1.2, 0.0, 1.2]) + 1.0 for name, v in raw.items()})


@pytest.mark.parametrize(
    "ordered",
    [["x1", "x2"], ("x1", "x2"), np.array(["x1", "x2"]), pd.Index(["x1", "x2"]), pd.Series(["x1", "x2"])],
    ids=["list", "tuple", "array", "Index", "Series"],
)
def test_names_in_any_list(answers: pd.DataFrame, ordered: object) -> None:
    fit = bs.fit(MODEL, answers, ordered=ordered)
    assert fit.model.options["ordered"] == ("x1", "x2")


def test_all_and_none(answers: pd.DataFrame) -> None:
    assert bs.fit(MODEL, answers, ordered=np.True_).model.options["ordered"] == tuple(ITEMS)
    assert bs.fit(MODEL, answers, ordered=[], engine="native").estimator == "ML"
    with pytest.raises(DataError, match="ordered holds 1, which is no name"):
        bs.fit(MODEL, answers, ordered=1)


def test_answers_in_words_are_their_order(answers: pd.DataFrame) -> None:
    words = ["never", "rarely", "often", "always"]
    spoken = answers.copy()
    spoken["x2"] = pd.Categorical([words[int(v) - 1] for v in answers["x2"]], categories=words, ordered=True)
    found, numbers = bs.fit(MODEL, spoken, ordered=True), bs.fit(MODEL, answers, ordered=True)
    assert found.measures == pytest.approx(numbers.measures, rel=1e-12, nan_ok=True)
    assert "x2: answers in words are numbered in their order: never, rarely, often, always" in found.notes


def test_dropped_rows_are_counted_by_item(answers: pd.DataFrame) -> None:
    rng = np.random.default_rng(2)
    fit = bs.fit(MODEL, answers.mask(rng.random(answers.shape) < 0.05), ordered=True)
    note = next(n for n in fit.notes if "dropped" in n)
    assert note.startswith(f"{fit.n_dropped} of 250 rows dropped: missing values in ")
    assert "missing='pairwise'" in note
    with pytest.raises(DataError, match=r"missing values in .*\n.*missing='pairwise'"):
        bs.fit(MODEL, answers.mask(rng.random(answers.shape) < 0.6), ordered=True)


def test_differences_of_unscaled_least_squares_are_not_tested(answers: pd.DataFrame) -> None:
    fits = [bs.fit(text, answers, ordered=True, estimator="ULS") for text in (MODEL, MODEL.replace("~ X", "~ 0*X"))]
    with pytest.raises(Unsupported, match="ULS has no known distribution"):
        bs.compare(*fits)
    assert bs.compare(*fits, method="none").table["pvalue"].isna().all()


def test_thresholds_out_of_order_are_named(answers: pd.DataFrame) -> None:
    fit = bs.fit("X =~ x1 + x2 + x3 + y1\nx1 | 1*t1 + 0*t2", answers, ordered=True)
    assert any("thresholds of x1 are not in increasing order" in w for w in fit.warnings)
    assert not any("increasing order" in w for w in bs.fit(MODEL, answers, ordered=True).warnings)


def test_hints_lead_out(answers: pd.DataFrame) -> None:
    holes = answers.mask(np.random.default_rng(3).random(answers.shape) < 0.1)
    with pytest.raises(Unsupported, match="without se='none'"):
        bs.fit(MODEL, holes, missing="fiml", se="none").indirect_effects("mc", seed=1)
    with pytest.raises(Unsupported, match="'pairwise' goes with ordered items"):
        bs.fit(MODEL, holes, missing="pairwise")
