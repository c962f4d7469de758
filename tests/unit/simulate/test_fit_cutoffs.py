"""``bs.fit_cutoffs``: from a fit, a text or a population to cut-offs; the same numbers for any number of workers."""

from __future__ import annotations

import json
import math
import sys

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs
from b2b_sem.errors import DataError

ONE = "F =~ .7*a + .6*b + .8*c + .5*d + .65*e + .55*f"
ITEMS = [f"x{k}" for k in range(1, 7)]
CFA = "F =~ x1 + x2 + x3\nG =~ x4 + x5 + x6"


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    """Return answers with a cross-loading that the model leaves out."""
    rng = np.random.default_rng(8)
    factors = rng.standard_normal((500, 2)) @ np.array([[1, 0.3], [0, 0.95]])
    rows = np.repeat(factors, 3, axis=1) * [0.8, 0.6, 0.7, 0.6, 0.9, 0.5] + 0.6 * rng.standard_normal((500, 6))
    rows[:, 1] += 0.6 * factors[:, 1]
    return pd.DataFrame(rows, columns=ITEMS)


def test_cutoffs_of_a_fit_find_the_cross_loading_that_is_left_out(data: pd.DataFrame) -> None:
    fit = bs.fit(CFA, data, engine="native")
    found = bs.fit_cutoffs(fit, replications=300, seed=2)
    assert (found.nobs, found.replications, found.levels, found.factors) == (500, 300, 1, 2)
    for row in found.table.to_dict("records"):
        assert row["value"] == pytest.approx(fit.measures[row["index"]], abs=1e-7)
        assert row["reached"] is True
        samples, correct = (found.samples(k)[row["index"]].to_numpy() for k in (1, 0))
        sign = -1 if row["index"] == "cfi" else 1
        assert row["criterion"] == "95/5"
        assert row["cut"] == pytest.approx(np.quantile(samples, 0.95 if sign < 0 else 0.05))
        assert row["sensitivity"] == (sign * samples >= sign * row["cut"]).mean() >= 0.95
        assert row["specificity"] == (sign * correct < sign * row["cut"]).mean() >= 0.95
        assert found.reached(row["index"]) == 1
    assert all("as much misfit as 1 left-out cross-loading or more" in line for line in found.conclusions())
    again = bs.FitCutoffs.from_json(json.loads(json.dumps(found.to_json())))
    assert again.to_json() == found.to_json()
    assert str(again) == str(found)
    assert again.table["reached"].tolist() == [True] * 3
    pd.testing.assert_frame_equal(again.samples(1), found.samples(1))
    with pytest.raises(ValueError, match="levels 0 to 1"):
        found.samples(2)


def test_another_number_of_respondents_has_no_values_to_compare(data: pd.DataFrame) -> None:
    found = bs.fit_cutoffs(bs.fit(CFA, data, engine="native"), n=60, replications=60, seed=2)
    assert found.nobs == 60
    assert found.table["value"].isna().all()
    assert found.table["reached"].tolist() == [None] * 3
    assert found.conclusions() == ()
    again = bs.FitCutoffs.from_json(json.loads(json.dumps(found.to_json())))
    assert again.table["reached"].tolist() == [None] * 3
    assert again.reached("cfi") is None


def test_numbers_depend_on_seed_and_sample_only() -> None:
    few, many = (bs.fit_cutoffs(ONE, n=200, replications=r, seed=4) for r in (40, 200))
    pd.testing.assert_frame_equal(few.samples(2), many.samples(2).head(40))
    other = bs.fit_cutoffs(ONE, n=200, replications=40, seed=5)
    assert not other.samples(2).equals(few.samples(2))
    assert few.samples(0).equals(few.samples(0))
    assert (few.samples(3)["srmr"] > few.samples(0)["srmr"]).mean() > 0.9


def test_workers_do_not_change_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = bs.fit_cutoffs(ONE, n=150, replications=300, seed=9)
    monkeypatch.setattr("b2b_sem.engine.blocks.WORTHWHILE", 0.0)
    together = bs.fit_cutoffs(ONE, n=150, replications=300, seed=9, jobs=2)
    assert together.to_json() == alone.to_json()


def test_small_samples_have_no_cutoff_and_say_so() -> None:
    weak = "F =~ .3*a + .4*b + .35*c\nG =~ .3*d + .4*e + .35*f\nF ~~ .2*G"
    found = bs.fit_cutoffs(weak, n=40, replications=100, seed=1)
    assert set(found.table["criterion"]) == {"none"}
    assert found.table["cut"].isna().all()
    assert found.table["power"].between(0, 0.6).all()
    assert "none" in found.summary()
    lost = [int(found.samples(k)["cfi"].isna().sum()) for k in (0, 1)]
    assert found.failed == tuple(lost)
    assert sum(lost) > 0
    assert found.notes == (f"{sum(lost)} of 200 samples have no solution and are left out.",)
    assert math.isfinite(found.table["correct"].iloc[0])


def test_without_a_cutoff_the_limit_of_correct_samples_is_said() -> None:
    rng = np.random.default_rng(1)
    factors = rng.standard_normal((120, 2)) @ np.array([[1, 0.3], [0, 0.95]])
    rows = 0.5 * np.repeat(factors, 3, axis=1) + 0.8 * rng.standard_normal((120, 6))
    found = bs.fit_cutoffs(bs.fit(CFA, pd.DataFrame(rows, columns=ITEMS), engine="native"), replications=100, seed=1)
    table = found.table.set_index("index")
    assert set(table["criterion"]) == {"none"}
    for index, line in zip(("srmr", "rmsea", "cfi"), found.conclusions(), strict=True):
        side = "reach at least" if index == "cfi" else "do not exceed"
        assert f"95% of correct samples {side} {table.loc[index, 'correct']:.3f}".replace(" 0.", " .") in line
        assert found.reached(index) is None


def test_ordinal_items_are_cut_at_the_thresholds(data: pd.DataFrame) -> None:
    answers = data.apply(lambda c: np.digitize(c / c.std(), [-0.8, 0.6]))
    fit = bs.fit(CFA, answers, ordered=True)
    found = bs.fit_cutoffs(fit, replications=20, seed=3)
    assert (found.suffix, found.estimator) == ("_scaled", "WLSMV")
    assert found.values["cfi"] == pytest.approx(fit.measures["cfi_scaled"])
    assert found.values["rmsea"] == pytest.approx(fit.measures["rmsea_scaled"])
    assert found.samples(1)["rmsea"].mean() > found.samples(0)["rmsea"].mean() + 0.03
    from b2b_sem.analysis.cutoff_recipe import recipe_of
    from b2b_sem.analysis.cutoff_sample import prepare_rows
    from b2b_sem.analysis.misspecification import misspecify

    recipe = recipe_of(fit)
    task = prepare_rows(recipe.at(20_000), (recipe.solution, *misspecify(recipe.solution)[1]), 1, 1)
    drawn = next(task.draw(1))
    for item in ITEMS:
        shares = [(answers[item] == k).mean() for k in range(3)]
        assert [(drawn[item] == k).mean() for k in range(3)] == pytest.approx(shares, abs=4 * 0.5 / np.sqrt(20_000))


def test_a_population_stands_in_for_data_that_are_not_there_yet() -> None:
    text = "F =~ 1*a + .8*b + .9*c + .7*d\nG =~ 1*e + .9*f + .8*g\nG ~ .4*F\na ~~ 1*a\ne ~~ .8*e"
    found = bs.fit_cutoffs("F =~ a + b + c + d\nG =~ e + f + g\nG ~ F", population=text, n=250, replications=60, seed=1)
    # standardized by hand: b = .8 / sqrt(.64 + 1); the residual variance of G is 1, its variance 1.16
    standardized = {"d": 0.7 / math.sqrt(1.49)}
    (row,) = found.added.to_dict("records")
    assert (row["rhs"], row["lhs"]) == ("d", "G")
    assert row["value"] == pytest.approx(standardized["d"], abs=1e-6)
    assert found.table["value"].isna().all()
    assert "left out: G ~ F" in found.notes[0]


def test_a_simulation_file_brings_its_own_model(monkeypatch: pytest.MonkeyPatch) -> None:
    from b2b_sem.analysis.cutoff_recipe import Recipe

    seen: list[Recipe] = []
    module = sys.modules[bs.fit_cutoffs.__module__]
    monkeypatch.setattr(module, "derive_cutoffs", lambda recipe, **_: seen.append(recipe))
    bs.fit_cutoffs(population="lima2026", n=300, seed=1)
    (recipe,) = seen
    assert (len(recipe.solution.factors), len(recipe.solution.items), recipe.nobs) == (9, 44, 300)
    truth = bs.simulate("lima2026", 10, 1).truth.set_index(["lhs", "op", "rhs"])["expected"]
    pc1 = recipe.solution.loadings[recipe.solution.items.index("pc1"), recipe.solution.factors.index("PC")]
    # one loading for all pairs: whole answers lose a little more or less with each other item
    assert pc1 == pytest.approx(truth["PC", "=~", "pc1"], abs=3e-3)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"model": ONE}, "no number of respondents"),
        ({}, "no model"),
        ({"model": ONE, "n": 0}, "n=0"),
        ({"model": ONE, "n": 6}, "n=6 respondents for 6 items"),
        ({"model": ONE, "n": 100, "replications": 5}, "replications=5"),
        ({"model": ONE, "n": 100, "seed": -1}, "seed=-1"),
        ({"population": "F =~ .8*a + .7*b\na ~~ .5*a"}, "no model"),
        ({"population": "F =~ .8*a + .7*b", "model": "F =~ a + b"}, "no number of respondents"),
        ({"population": "F =~ .8*a + .7*b", "model": "F =~ a + z", "n": 90}, "no variable 'z'"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(DataError, match=said):
        bs.fit_cutoffs(**{"seed": 1, **arguments})


def test_a_fit_has_a_population_of_its_own(data: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="values of its own"):
        bs.fit_cutoffs(bs.fit(CFA, data, engine="native"), population="lima2026", seed=1)
