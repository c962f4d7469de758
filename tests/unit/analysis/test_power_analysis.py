"""Power from a population and a model: samples agree, the pieces fit together, and what is refused."""

from __future__ import annotations

import json
import math
from functools import cache

import numpy as np
import pytest

import b2b_sem as bs
from b2b_sem.analysis.montecarlo import monte_carlo, population
from b2b_sem.analysis.power import analytic_power
from b2b_sem.analysis.power_population import read_population, split_rows_by
from b2b_sem.results.power import PowerResult

POPULATION = """F =~ 1*x1 + .8*x2 + .7*x3
M =~ 1*m1 + .9*m2 + .6*m3
Y =~ 1*y1 + .9*y2 + .8*y3
M ~ {a}*F
Y ~ .25*M + .15*F
M ~~ .88*M
Y ~~ .85*Y
""" + "\n".join(f"{v} ~~ .5*{v}" for v in ("x1", "x2", "x3", "m1", "m2", "m3", "y1", "y2", "y3"))
MODEL = "F =~ x1 + x2 + x3\nM =~ m1 + m2 + m3\nY =~ y1 + y2 + y3\nM ~ a*F\nY ~ b*M + c*F"
PAIR = ((("M", "~", "F"), ("Y", "~", "M")), (("Y", "~", "M"), ("M", "~", "F")))
GROUPS = """F =~ 1*x1 + c(.8,.8,.5)*x2 + .7*x3 + .9*x4
F ~~ c(1, 1.2, .9)*F
Y ~ c(.3, .3, .5)*F
""" + "\n".join(f"{v} ~~ .6*{v}" for v in ("x1", "x2", "x3", "x4", "Y"))
GROUP_MODEL = "F =~ x1 + x2 + x3 + x4\nY ~ F"


@cache
def result() -> PowerResult:
    return analytic_power(POPULATION.format(a=0.3), MODEL, nobs=300, detectable=True)


def row(found: PowerResult, kind: str, test: str, method: str | None = None) -> dict:
    table = found.table
    rows = [
        r for r in table.to_dict("records") if r["kind"] == kind and r["test"] == test and method in (None, r["method"])
    ]
    assert len(rows) == 1
    return rows[0]


def test_samples_reject_as_often_as_theory_says() -> None:
    drawn = monte_carlo(population(POPULATION.format(a=0.3)), MODEL, nobs=300, n=1500, seed=3)
    z = np.abs(drawn.theta / drawn.se) > 1.959964
    at = {key: k for k, key in enumerate(drawn.names)}
    a, b = z[:, at["M", "~", "F"]], z[:, at["Y", "~", "M"]]
    # 4 Monte Carlo standard errors, and .02 for what is left of small samples at 300 rows
    for name, share in (("M~F", a.mean()), ("Y~M", b.mean()), ("Y~F", z[:, at["Y", "~", "F"]].mean())):
        power = row(result(), "path", name)["power"]
        assert share == pytest.approx(power, abs=4 * math.sqrt(power * (1 - power) / 1500) + 0.02)
    product = drawn.theta[:, at["M", "~", "F"]] * drawn.theta[:, at["Y", "~", "M"]]
    se = np.hypot(*(drawn.theta[:, at[p]] * drawn.se[:, at[o]] for p, o in PAIR))
    delta = row(result(), "indirect", "F -> M -> Y", "delta")["power"]
    assert (np.abs(product / se) > 1.959964).mean() == pytest.approx(
        delta, abs=4 * math.sqrt(delta * (1 - delta) / 1500) + 0.02
    )
    joint = row(result(), "indirect", "F -> M -> Y", "joint")["power"]
    assert (a & b).mean() == pytest.approx(joint, abs=4 * math.sqrt(joint * (1 - joint) / 1500) + 0.02)


def test_rows_needed_have_the_power_and_one_less_has_not() -> None:
    found = result()
    for r in found.table.to_dict("records"):
        if not math.isfinite(r["rows_needed"]):
            assert r["per_row"] == 0.0
            continue
        rows = int(r["rows_needed"])
        curve = found.curve([rows - 1, rows])
        own = curve[(curve["kind"] == r["kind"]) & (curve["test"] == r["test"]) & (curve["method"] == r["method"])]
        assert own["power"].iloc[0] < 0.8 <= own["power"].iloc[1]


def test_curve_meets_the_table() -> None:
    assert result().curve([300])["power"].tolist() == result().table["power"].tolist()


@pytest.mark.parametrize("hold", ["variance", "residual"])
def test_detectable_value_has_the_asked_power(hold: str) -> None:
    text = POPULATION.format(a=-0.3)
    found = analytic_power(text, MODEL, nobs=180, detectable=True, hold=hold, power=0.9, indirect=False)
    value = row(found, "path", "M~F")["detectable"]
    assert value < 0  # on the side of its own sign
    again = POPULATION.format(a=value)
    if hold == "variance":  # .88 + .09, as before
        again = again.replace("M ~~ .88*M", f"M ~~ {0.97 - value**2}*M")
    check = analytic_power(again, MODEL, nobs=180, indirect=False)
    assert row(check, "path", "M~F")["power"] == pytest.approx(0.9, abs=1e-6)


def test_nothing_is_detectable_where_the_population_ends_first() -> None:
    found = analytic_power(POPULATION.format(a=0.1), MODEL, nobs=3, detectable=True, indirect=False)
    assert math.isnan(row(found, "path", "Y~F")["detectable"])


def test_a_true_restriction_has_the_power_of_its_error_rate() -> None:
    found = analytic_power(POPULATION.format(a=0.25), MODEL, nobs=300, restrictions=("a == b",), alpha=0.1)
    true = row(found, "restriction", "a == b")
    assert true["noncentrality"] == 0.0
    assert true["power"] == pytest.approx(0.1)
    assert true["rows_needed"] == math.inf


def test_groups_differ_only_where_they_do() -> None:
    found = analytic_power(GROUPS, GROUP_MODEL, nobs=600, shares=(2, 1, 1), group_equal=())
    assert found.groups == ("Group 1", "Group 2", "Group 3")
    assert found.shares == (0.5, 0.25, 0.25)
    assert row(found, "difference", "Y~F equal in all groups")["df"] == 2
    assert row(found, "step", "metric")["df"] == 6
    assert row(found, "step", "metric")["noncentrality"] > 5
    # residuals are equal where the loading differs: what is left to strict follows from the loading that was forced
    same = GROUPS.replace("c(.8,.8,.5)", ".8")
    equal = analytic_power(same, GROUP_MODEL, nobs=600, shares=(2, 1, 1))
    assert [row(equal, "step", s)["noncentrality"] for s in ("metric", "scalar", "strict")] == [0.0, 0.0, 0.0]


def test_group_blocks_and_moments_are_the_same_population() -> None:
    blocks = "\n".join(
        f"group: {label}\n" + GROUPS.replace("c(.8,.8,.5)", x).replace("c(1, 1.2, .9)", v).replace("c(.3, .3, .5)", b)
        for label, x, v, b in (("one", ".8", "1", ".3"), ("two", ".8", "1.2", ".3"), ("three", ".5", ".9", ".5"))
    )
    parts = dict(zip("abc", read_population(GROUPS).parts, strict=True))
    first, second, third = (analytic_power(p, GROUP_MODEL, nobs=600) for p in (GROUPS, blocks, parts))
    assert second.groups == ("one", "two", "three")
    assert third.groups == ("a", "b", "c")
    for other in (second, third):
        assert other.table["power"].tolist() == pytest.approx(first.table["power"].tolist(), abs=1e-12)


def test_equal_parameters_are_tested_once() -> None:
    found = analytic_power(GROUPS, "F =~ x1 + x2 + x3 + x4\nY ~ c(b, b, b)*F", nobs=600, steps=())
    table = found.table
    assert (table["kind"] == "path").sum() == 1
    assert not (table["kind"] == "difference").any()


def test_json_round_trip() -> None:
    text = json.dumps(result().to_json(), allow_nan=False)
    again = PowerResult.from_json(json.loads(text))
    assert again.table.equals(result().table)
    assert again.curve([100, 500]).equals(result().curve([100, 500]))
    assert "F -> M -> Y" in str(again)


def test_rows_are_split_without_loss() -> None:
    assert split_rows_by((0.5, 0.25, 0.25), 10) == [5, 3, 2]
    assert sum(split_rows_by((1 / 3,) * 3, 100)) == 100


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"model": "F =~ x1 + x2 + q9"}, bs.ModelSyntaxError, "'q9' is neither"),
        ({"restrictions": ("a == z",)}, bs.ModelSyntaxError, "'z' is not a label"),
        ({"restrictions": ("a > b",)}, bs.ModelSyntaxError, "no restriction"),
        ({"restrictions": ("a*b == 0",)}, bs.Unsupported, "not linear"),
        ({"restrictions": ("a == b; b == a",)}, bs.ModelError, "twice the same"),
        ({"steps": ("metric",)}, bs.DataError, "there is one"),
        ({"group_equal": ("loadings",)}, bs.DataError, "there is one"),
        ({"nobs": 1}, bs.DataError, "nobs=1"),
        ({"power": 1.2}, bs.DataError, "power=1.2"),
        ({"hold": "all"}, bs.DataError, "hold='all'"),
        ({"shares": (1, 2)}, bs.DataError, "1 group"),
        ({"model": MODEL + "\na > 0"}, bs.Unsupported, "inequalities"),
        ({"model": MODEL + "\nY ~ F:M"}, bs.Unsupported, "product of variables"),
    ],
)
def test_bad_input_has_one_clear_message(change: dict, error: type[Exception], message: str) -> None:
    arguments = {"population": POPULATION.format(a=0.3), "model": MODEL, "nobs": 200} | change
    with pytest.raises(error, match=message):
        analytic_power(arguments.pop("population"), arguments.pop("model"), **arguments)


def test_moments_alone_tell_no_detectable_value() -> None:
    with pytest.raises(bs.Unsupported, match="not moments alone"):
        analytic_power(population(POPULATION.format(a=0.3)), MODEL, nobs=200, detectable=True)
