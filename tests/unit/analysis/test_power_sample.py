"""Power by samples of moments: shares with bands, agreement with theory, and a search that ends where theory says."""

from __future__ import annotations

import json
import math
from functools import cache
from typing import ClassVar

import pytest

import b2b_sem as bs
from b2b_sem.analysis.montecarlo import monte_carlo, population
from b2b_sem.analysis.power import analytic_power
from b2b_sem.analysis.power_sample import MomentSampler, PowerTest, sample_power
from b2b_sem.measures.power import binomial_band
from b2b_sem.results.power_sample import RowSearch, SampledPower

TEXT = """F =~ 1*x1 + .8*x2 + .7*x3
M =~ 1*m1 + .9*m2 + .6*m3
M ~ .3*F
Y ~ .25*M + .1*F
M ~~ .9*M
""" + "\n".join(f"{v} ~~ .5*{v}" for v in ("x1", "x2", "x3", "m1", "m2", "m3", "Y"))
MODEL = "F =~ x1 + x2 + x3\nM =~ m1 + m2 + m3\nM ~ F\nY ~ M + F"
PATH = "F -> M -> Y"
#: Populations that no part of the package was made for: a chain of observed variables, and a negative latent path.
CHAIN = """x ~~ 1*x
m1 ~ .3*x
m2 ~ .35*m1 + .1*x
y ~ .25*m2 + .15*m1 + .05*x
m1 ~~ .9*m1
m2 ~~ .85*m2
y ~~ .9*y"""
NEGATIVE = """X =~ 1*x1 + .7*x2 + .8*x3
M =~ 1*m1 + .6*m2 + .9*m3
Y =~ 1*y1 + .8*y2 + .7*y3
X ~~ 1*X
M ~ -.5*X
Y ~ .2*M + .1*X
M ~~ .75*M
Y ~~ .9*Y
""" + "\n".join(f"{v}{k} ~~ .6*{v}{k}" for v in "xmy" for k in (1, 2, 3))
HELD_OUT = {
    "chain": (CHAIN, "m1 ~ x\nm2 ~ m1 + x\ny ~ m2 + m1 + x", (200, 400)),
    "negative": (NEGATIVE, "X =~ x1+x2+x3\nM =~ m1+m2+m3\nY =~ y1+y2+y3\nM ~ X\nY ~ M + X", (250, 500)),
}


def sampler(text: str = TEXT, model: str = MODEL, seed: int = 2) -> MomentSampler:
    return MomentSampler(population(text), model, seed, 0.05, {})


@cache
def search(start: int) -> RowSearch:
    return bs.find_rows(TEXT, MODEL, tests=["M~F"], start=start, seed=4)


@pytest.mark.parametrize("name", HELD_OUT)
def test_shares_agree_with_theory(name: str) -> None:
    text, model, sizes = HELD_OUT[name]
    found = bs.power(text, model, nobs=sizes[0], sizes=sizes, replications=2000, seed=7).shares
    theory = analytic_power(text, model, nobs=sizes[0]).curve(sizes)
    theory = theory[theory["method"].isin(["likelihood-ratio", "joint"])].set_index(["test", "nobs"])["power"]
    compared = 0
    for row in found.to_dict("records"):
        if row["kind"] in ("path", "indirect"):
            power = theory[(row["test"], row["nobs"])]
            # 4 Monte Carlo standard errors, and .02 for what is left of small samples
            assert row["power"] == pytest.approx(power, abs=4 * math.sqrt(power * (1 - power) / 2000) + 0.02)
            assert row["lower"] <= row["power"] <= row["upper"]
            assert row["used"] + row["failed"] == 2000
            compared += 1
    assert compared >= 2 * 4


def test_theory_of_another_population_does_not_agree() -> None:
    found = bs.power(CHAIN.replace(".35*m1", ".25*m1"), HELD_OUT["chain"][1], nobs=100, replications=2000, seed=7)
    theory = analytic_power(CHAIN, HELD_OUT["chain"][1], nobs=100).table.set_index("test")
    share = found.table.set_index("test").loc["m2~m1", "power"]
    assert abs(share - theory.loc["m2~m1", "power"]) > 4 * math.sqrt(0.25 / 2000) + 0.02


def test_shares_are_those_of_the_samples() -> None:
    own = sampler(seed=5)
    found = sample_power(own, [], nobs=120, replications=300)
    hit = own.draw(120, 0, 300)
    names = [t.test for t in own.tests]
    assert names[-1] == "chi-square"
    table = found.table.set_index("test")
    for test in ("M~F", "Y~M", PATH, "all paths"):
        share = hit[:, names.index(test)].mean()
        assert table.loc[test, "power"] == share
        assert table.loc[test, "mcse"] == pytest.approx(math.sqrt(share * (1 - share) / 300), rel=1e-12)
    both = hit[:, [names.index("M~F"), names.index("Y~M")]].min(axis=1)
    assert (hit[:, names.index(PATH)] == both).all()
    all_paths = hit[:, [names.index(t) for t in ("M~F", "Y~M", "Y~F")]].min(axis=1)
    assert (hit[:, names.index("all paths")] == all_paths).all()
    assert table.loc[PATH, "value"] == pytest.approx(0.3 * 0.25)
    # unnamed loadings and variances are there, but not usual
    assert "F=~x2" in names
    assert "F=~x2" not in set(found.table["test"])
    drawn = monte_carlo(population(TEXT), MODEL, nobs=120, n=300, seed=1)
    assert names[: len(drawn.names)] == ["".join(key) for key in drawn.names]


def test_shares_do_not_depend_on_other_sizes() -> None:
    one = bs.power(TEXT, MODEL, nobs=200, replications=150, seed=2)
    two = bs.power(TEXT, MODEL, nobs=100, sizes=[200], replications=150, seed=2)
    shares = two.shares[two.shares["nobs"] == 200].reset_index(drop=True)
    assert one.shares.equals(shares)
    assert two.nobs == 100
    assert set(two.table["nobs"]) == {100}
    other = bs.power(TEXT, MODEL, nobs=200, replications=150, seed=3)
    assert not one.shares.equals(other.shares)


def test_rows_needed_come_from_the_curve_and_never_from_beyond_it() -> None:
    found = bs.power(TEXT, MODEL, nobs=150, sizes=[80, 250], replications=2000, seed=2)
    theory = analytic_power(TEXT, MODEL, nobs=100, indirect=False).table.set_index("test")["rows_needed"]
    own = found.table.set_index("test")
    assert own.loc["M~F", "rows_lower"] < own.loc["M~F", "rows_needed"] < own.loc["M~F", "rows_upper"]
    assert own.loc["M~F", "rows_needed"] == pytest.approx(theory["M~F"], rel=0.08)
    assert math.isnan(own.loc["Y~F", "rows_needed"])  # more than 250
    curve = found.curve([40, 150, 400]).set_index(["test", "nobs"])
    assert math.isnan(curve.loc[("M~F", 40), "power"])
    assert math.isnan(curve.loc[("M~F", 400), "power"])
    assert curve.loc[("M~F", 150), "lower"] < own.loc["M~F", "power"] < curve.loc[("M~F", 150), "upper"]
    assert "rows needed for power 0.8" in found.summary()


@pytest.mark.parametrize("start", [60, 800])
def test_search_finds_the_rows_of_theory_from_both_sides(start: int) -> None:
    theory = analytic_power(TEXT, MODEL, nobs=100, indirect=False).table.set_index("test").loc["M~F", "rows_needed"]
    found = search(start)
    row = found.table.iloc[0]
    assert row["precise"]
    assert row["upper"] - row["lower"] <= 2 * 0.05 * row["rows"] + 1
    # the interval is one of 95 %: twice its half width, and 5 % for what is left of small samples
    assert row["rows"] == pytest.approx(theory, abs=(row["upper"] - row["lower"]) + 0.05 * theory)
    assert found.rows == row["rows"]
    assert found.replications == found.shares["drawn"].sum()
    assert "Rows for power 0.8" in found.summary()


def test_several_tests_share_their_samples() -> None:
    found = bs.find_rows(TEXT, MODEL, tests=["M~F", "F->M->Y"], precision=0.1, seed=4)
    assert found.table["test"].tolist() == ["M~F", PATH, "all tests"]
    rows = found.table.set_index("test")["rows"]
    # an indirect effect is found when both its paths are: so all tests are this test
    assert rows["all tests"] == rows[PATH] > rows["M~F"]
    assert found.rows == rows.max()
    assert found.shares.groupby("test")["drawn"].sum().nunique() == 1


def test_search_that_ends_early_says_so() -> None:
    found = bs.find_rows(TEXT, MODEL, tests=["Y~F"], start=100, precision=0.001, batch=60, replications=360, seed=1)
    assert not found.table["precise"].any()
    assert "wider than asked" in found.summary()


def test_search_without_an_effect_ends_at_the_largest_size() -> None:
    found = bs.find_rows(TEXT.replace(".1*F", "0*F"), MODEL, tests=["Y~F"], start=500, largest=2000, batch=50, seed=1)
    assert found.table["bound"].tolist() == ["more than"]
    assert found.rows == 0
    assert "is there an effect?" in found.summary()
    again = RowSearch.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False)))
    assert again.summary() == found.summary()


def test_samples_without_a_solution_are_counted_or_left_out() -> None:
    class Half:
        population, model, seed, alpha, smallest, largest, notes = "p", "m", 1, 0.05, 10, 1000, ()
        why: ClassVar = {50: "no minimum was found"}
        tests = (PowerTest("path", "y~x"), PowerTest("path", "z~x"))

        def draw(self, size: int, visit: int, count: int):
            import numpy as np

            hit = np.ones((count, 2))
            hit[: count // 2] = np.nan
            hit[count // 2 : count // 2 + 2, 1] = np.nan
            return hit

    found = sample_power(Half(), [], nobs=50, replications=20)  # type: ignore[arg-type]
    row = found.table.iloc[0]
    assert (row["power"], row["power_all"], row["used"], row["failed"]) == (1.0, 0.5, 10, 10)
    (note,) = found.notes
    assert "10 of 20 samples have no usable solution (most often: no minimum was found)" in note
    assert "z~x could be tested in 8 of 20" in note
    many = sample_power(Half(), [], nobs=50, replications=20, failures="exclude")  # type: ignore[arg-type]
    assert many.table.equals(found.table)  # both are always shown


def test_binomial_band_is_wilsons() -> None:
    # Newcombe (1998), table I: 81 of 263 and 0 of 20
    low, high = binomial_band([81, 0], [263, 20])
    assert low == pytest.approx([0.2553, 0.0], abs=5e-5)
    assert high == pytest.approx([0.3662, 0.1611], abs=5e-5)


def test_json_round_trips() -> None:
    shares = bs.power(TEXT, MODEL, nobs=150, sizes=[100], replications=130, seed=2)
    again = SampledPower.from_json(json.loads(json.dumps(shares.to_json(), allow_nan=False)))
    assert again.table.equals(shares.table)
    assert again.curve([120]).equals(shares.curve([120]))
    assert again.summary() == shares.summary()
    found = RowSearch.from_json(json.loads(json.dumps(search(60).to_json(), allow_nan=False)))
    assert found.summary() == search(60).summary()
    assert found.table.equals(search(60).table)
    with pytest.raises(bs.DataError, match="not the result"):
        RowSearch.from_json(shares.to_json())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tests": ["M~G"]}, "no test 'M~G'"),
        ({"tests": ["F -> Q -> Y"]}, "no test 'F -> Q -> Y'"),
        ({"tests": "M~F"}, "one name"),
        ({"power": 0.01}, r"power=0\.01"),
        ({"precision": 0.0}, r"precision=0\.0"),
        ({"failures": "drop"}, "failures='drop'"),
        ({"batch": 3}, "batch=3"),
        ({"estimator": "MLR"}, "no option 'estimator'"),
        ({"largest": 5}, "largest=5"),
        ({"alpha": 1.5}, r"alpha=1\.5"),
        ({"model": None}, "no model"),
        ({"population": "y ~ c(.3, .5)*x\nx ~~ c(1, 1)*x"}, "groups"),
        ({"multiplicity": "holm"}, "moments only"),
    ],
)
def test_bad_input_has_one_message(change: dict, message: str) -> None:
    arguments = {"population": TEXT, "model": MODEL, "seed": 1} | change
    with pytest.raises((bs.DataError, bs.Unsupported), match=message):
        bs.find_rows(**arguments)
