"""Power by samples: shares with bands, and a search that ends where theory says."""

from __future__ import annotations

import json
import math
from functools import cache

import numpy as np
import pytest

import b2b_sem as bs
from b2b_sem.analysis.montecarlo import Population, population
from b2b_sem.analysis.power import analytic_power
from b2b_sem.analysis.power_sample import find_rows, sampled_power
from b2b_sem.measures.power import binomial_band, probit_rows, wald_power
from b2b_sem.results.power_sample import RowSearch, SampledPower

TEXT = """F =~ 1*x1 + .8*x2 + .7*x3
M =~ 1*m1 + .9*m2 + .6*m3
M ~ .3*F
Y ~ .25*M + .1*F
M ~~ .9*M
""" + "\n".join(f"{v} ~~ .5*{v}" for v in ("x1", "x2", "x3", "m1", "m2", "m3", "Y"))
MODEL = "F =~ x1 + x2 + x3\nM =~ m1 + m2 + m3\nM ~ F\nY ~ M + F"
PATH = "F -> M -> Y"


@cache
def truth() -> Population:
    return population(TEXT)


@cache
def search(start: int) -> RowSearch:
    return find_rows(truth(), MODEL, "M~F", start=start, seed=4)


def test_shares_agree_with_theory() -> None:
    found = sampled_power(truth(), MODEL, rows=[150, 300], n=1500, seed=2, tests=["M~F", "Y~M", PATH]).table
    curve = analytic_power(TEXT, MODEL, nobs=300).curve([150, 300])
    curve = curve[curve["method"].isin(["likelihood-ratio", "joint"])].set_index(["test", "nobs"])["power"]
    for row in found.to_dict("records"):
        power = curve[(row["test"], row["nobs"])]
        # 4 Monte Carlo standard errors, and .02 for what is left of small samples
        assert row["power"] == pytest.approx(power, abs=4 * math.sqrt(power * (1 - power) / 1500) + 0.02)
        assert row["lower"] < row["power"] < row["upper"]
        assert row["used"] + row["failed"] == 1500


def test_shares_do_not_depend_on_the_other_rows_or_workers() -> None:
    one = sampled_power(truth(), MODEL, rows=[200], n=150, seed=2).table
    two = sampled_power(truth(), MODEL, rows=[100, 200], n=150, seed=2).table
    assert one.equals(two[two["nobs"] == 200].reset_index(drop=True))
    assert one["test"].tolist() == ["M~F", "Y~M", "Y~F", "chi-square"]
    other = sampled_power(truth(), MODEL, rows=[200], n=150, seed=3).table
    assert not one.equals(other)


@pytest.mark.parametrize("start", [60, 800])
def test_search_finds_the_rows_of_theory_from_both_sides(start: int) -> None:
    theory = analytic_power(TEXT, MODEL, nobs=100, indirect=False).table.set_index("test").loc["M~F", "rows_needed"]
    found = search(start)
    assert found.precise
    assert found.upper - found.lower <= 2 * 0.05 * found.rows + 1
    # the interval is one of 95 %: twice its half width, and 5 % for what is left of small samples
    assert found.rows == pytest.approx(theory, abs=(found.upper - found.lower) + 0.05 * theory)
    assert "rows for power 0.8" in found.summary()


def test_search_that_ends_early_says_so() -> None:
    found = find_rows(truth(), MODEL, "Y~F", start=100, precision=0.001, n=60, most=6, seed=1)
    assert not found.precise
    assert "wider than asked" in found.summary()


def test_search_without_an_effect_ends_with_a_message() -> None:
    text = TEXT.replace(".1*F", "0*F")
    with pytest.raises(bs.DataError, match=r"less power than 0\.8"):
        find_rows(population(text), MODEL, "Y~F", start=200_000, n=20, seed=1)


def test_probit_curve_gives_back_the_rows_of_a_z_test() -> None:
    rows = np.array([60, 90, 120, 200])
    trials = np.full(4, 10_000)
    hits = trials * wald_power(0.25, 1 / np.sqrt(rows))
    at, se = probit_rows(rows, hits, trials, 0.8)
    assert float(wald_power(0.25, 1 / math.sqrt(at))) == pytest.approx(0.8, abs=1e-3)
    rng = np.random.default_rng(1)
    spread = np.std([probit_rows(rows, rng.binomial(10_000, hits / trials), trials, 0.8)[0] for _ in range(400)])
    assert se == pytest.approx(spread, rel=0.15)
    assert all(math.isnan(v) for v in probit_rows(rows, np.zeros(4), trials))
    assert all(math.isnan(v) for v in probit_rows(rows, hits[::-1], trials))


def test_binomial_band_is_wilsons() -> None:
    # Newcombe (1998), table I: 81 of 263 and 0 of 20
    low, high = binomial_band([81, 0], [263, 20])
    assert low == pytest.approx([0.2553, 0.0], abs=5e-5)
    assert high == pytest.approx([0.3662, 0.1611], abs=5e-5)


def test_json_round_trips() -> None:
    shares = sampled_power(truth(), MODEL, rows=[150], n=130, seed=2)
    again = SampledPower.from_json(json.loads(json.dumps(shares.to_json(), allow_nan=False)))
    assert again.table.equals(shares.table)
    found = RowSearch.from_json(json.loads(json.dumps(search(60).to_json(), allow_nan=False)))
    assert found.summary() == search(60).summary()
    assert found.table.equals(search(60).table)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"test": "M~G"}, "no free parameter 'M~G'"),
        ({"test": "F -> Q -> Y"}, "no free parameter 'Q~F'"),
        ({"power": 0.01}, "power=0.01"),
        ({"precision": 0.0}, "precision=0.0"),
    ],
)
def test_bad_input_has_one_message(change: dict, message: str) -> None:
    arguments = {"test": "M~F", "start": 100, "seed": 1, "n": 10} | change
    with pytest.raises(bs.DataError, match=message):
        find_rows(truth(), MODEL, **arguments)
