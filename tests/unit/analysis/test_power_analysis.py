"""Power from a population and a model: samples agree, the pieces fit together, and what is refused."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs
from b2b_sem.analysis.montecarlo import monte_carlo, population
from b2b_sem.analysis.power import analytic_power
from b2b_sem.analysis.power_detectable import Detector
from b2b_sem.analysis.power_effect import indirect_tests
from b2b_sem.analysis.power_missing import Holes
from b2b_sem.analysis.power_population import read_population, split_rows_by
from b2b_sem.analysis.power_target import Settings, fit_population
from b2b_sem.measures.power import rmsea_power
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


# ---- what else is detected -------------------------------------------------------------------------------------------

TWO = """F =~ 1*x1 + .8*x2 + .7*x3
F ~~ c(1, 1.3)*F
Y ~ c({0}, {1})*F
""" + "\n".join(f"{v} ~~ .6*{v}" for v in ("x1", "x2", "x3", "Y"))
TWO_MODEL = "F =~ x1 + x2 + x3\nY ~ F"
DIFFERENCE = "Y~F equal in all groups"


def difference(
    text: str, model: str, nobs: int, shares: tuple[float, ...] | None = None, equal: tuple[str, ...] = ()
) -> tuple[float, float]:
    """Return the detectable difference alone, raw and standardized."""
    population, settings = read_population(text, shares), Settings(group_equal=equal)
    search = Detector(population, model, settings, nobs, 0.8, 0.05, "residual")
    return search.difference(fit_population(population, model, settings), "Y", "F")


@pytest.mark.parametrize("paths", [(0.2, 0.45), (0.45, 0.2), (0.3, 0.3)])
def test_detectable_difference_has_the_asked_power(paths: tuple[float, float]) -> None:
    options = {"nobs": 400, "shares": (3, 1), "group_equal": ("loadings",), "steps": (), "rmsea": ()}
    before = row(analytic_power(TWO.format(*paths), TWO_MODEL, **options), "difference", DIFFERENCE)
    assert before["value"] == pytest.approx(paths[1] - paths[0], abs=1e-6)
    value, std = difference(TWO.format(*paths), TWO_MODEL, 400, (3, 1), ("loadings",))
    assert math.copysign(1, value) == (-1 if paths[0] > paths[1] else 1)
    # the mean over respondents stays
    mean = 0.75 * paths[0] + 0.25 * paths[1]
    again = TWO.format(mean - 0.25 * value, mean + 0.75 * value)
    after = row(analytic_power(again, TWO_MODEL, **options), "difference", DIFFERENCE)
    assert after["power"] == pytest.approx(0.8, abs=1e-6)
    assert after["std_all"] == pytest.approx(std, abs=1e-6)


def test_three_groups_differ_in_proportion_and_equal_ones_have_no_direction() -> None:
    size, _ = difference(GROUPS, GROUP_MODEL, 500)
    mean = (0.3 + 0.3 + 0.5) / 3
    low, high = mean - size / 3, mean + 2 * size / 3
    again = analytic_power(GROUPS.replace("c(.3, .3, .5)", f"c({low}, {low}, {high})"), GROUP_MODEL, nobs=500, steps=())
    assert row(again, "difference", DIFFERENCE)["power"] == pytest.approx(0.8, abs=1e-6)
    assert math.isnan(difference(GROUPS.replace("c(.3, .3, .5)", ".3"), GROUP_MODEL, 500)[0])


def test_a_path_that_groups_share_changes_in_all_of_them() -> None:
    model = "F =~ x1 + x2 + x3\nY ~ c(b, b)*F"
    options = {"nobs": 150, "steps": (), "hold": "residual"}
    found = row(analytic_power(TWO.format(0.3, 0.3), model, detectable=True, **options), "path", "Y~F")
    again = analytic_power(TWO.format(*[found["detectable"]] * 2), model, **options)
    assert row(again, "path", "Y~F")["power"] == pytest.approx(0.8, abs=1e-6)


@pytest.mark.parametrize("method", ["joint", "delta"])
def test_detectable_indirect_effect_has_the_asked_power(method: str) -> None:
    text = POPULATION.replace("{a}", "{a:.12f}").replace("Y ~ .25*M", "Y ~ {b:.12f}*M")
    population = read_population(text.format(a=0.3, b=0.25))
    target = fit_population(population, MODEL, Settings())
    search = Detector(population, MODEL, Settings(), 200, 0.8, 0.05, "residual")
    value, std = search.indirect(indirect_tests(target, {})[0][0], method)
    factor = math.sqrt(value / 0.075)
    again = row(
        analytic_power(text.format(a=0.3 * factor, b=0.25 * factor), MODEL, nobs=200),
        "indirect",
        "F -> M -> Y",
        method,
    )
    assert again["power"] == pytest.approx(0.8, abs=2e-4)
    assert again["std_all"] == pytest.approx(std, rel=1e-4)


def test_standardized_values_are_those_of_variances_of_one() -> None:
    found = row(result(), "path", "M~F")
    # M has the variance .09 + .88
    assert found["std_all"] == pytest.approx(0.3 / math.sqrt(0.97), abs=1e-6)
    assert found["detectable_std"] == pytest.approx(found["detectable"] / math.sqrt(0.97), abs=1e-6)
    indirect = row(result(), "indirect", "F -> M -> Y", "joint")
    assert indirect["std_all"] == pytest.approx(found["std_all"] * row(result(), "path", "Y~M")["std_all"], abs=1e-6)


def test_detectable_rmsea() -> None:
    found = analytic_power(POPULATION.format(a=0.3), MODEL, nobs=300, detectable=True, indirect=False)
    close = row(found, "rmsea", "close fit")
    assert float(rmsea_power(300, 24, 0.05, close["detectable"])) == pytest.approx(0.8, abs=1e-8)


def test_other_tests_of_rmsea() -> None:
    found = analytic_power(POPULATION.format(a=0.3), MODEL, nobs=300, rmsea=[(0.03, 0.06), (0.0, 0.04)]).table
    own = found[found["kind"] == "rmsea"]
    assert own["test"].tolist() == ["close fit", "exact fit"]
    assert own["power"].tolist() == pytest.approx([float(rmsea_power(300, 24, *p)) for p in ((0.03, 0.06), (0, 0.04))])


def test_tests_of_rmsea_of_the_same_kind_tell_their_numbers() -> None:
    found = analytic_power(
        POPULATION.format(a=0.3), MODEL, nobs=300, rmsea=[(0.03, 0.06), (0.05, 0.08), (0.05, 0.02)], indirect=False
    )
    names = found.table.query("kind == 'rmsea'")["test"].tolist()
    assert names == ["close fit, 0.03 against 0.06", "close fit, 0.05 against 0.08", "not close fit"]
    assert str(found).count("0.03 against 0.06") == 1


# ---- answers missing by chance ---------------------------------------------------------------------------------------


def test_missing_answers_cost_power_and_less_so_if_all_are_used() -> None:
    options = {"nobs": 300, "indirect": False}
    whole = analytic_power(POPULATION.format(a=0.3), MODEL, **options)
    rate = {"x1": 0.2, "m2": 0.1}
    some, used = (
        analytic_power(POPULATION.format(a=0.3), MODEL, missing=m, missing_rate=rate, **options)
        for m in ("listwise", "fiml")
    )
    for name in ("M~F", "Y~M", "Y~F"):
        per_row = [row(f, "path", name)["per_row"] for f in (some, used, whole)]
        assert per_row == sorted(per_row)
        assert per_row[0] == pytest.approx(0.8 * 0.9 * per_row[2], rel=1e-9)
    assert some.used == pytest.approx(0.72)
    assert used.used == 1.0
    assert any("72.0% of the rows are complete" in note for note in some.notes)
    fit = [row(f, "rmsea", "close fit")["power"] for f in (some, whole)]
    assert fit[0] == pytest.approx(float(rmsea_power(0.72 * 300, 24)), abs=1e-12)
    assert fit[1] == pytest.approx(float(rmsea_power(300, 24)), abs=1e-12)
    again = PowerResult.from_json(json.loads(json.dumps(some.to_json())))
    assert again.curve([100]).equals(some.curve([100]))
    needed = row(some, "rmsea", "close fit")["rows_needed"]
    assert float(rmsea_power(0.72 * needed, 24)) >= 0.8 > float(rmsea_power(0.72 * (needed - 1), 24))


def test_a_selection_of_patterns_says_nearly_the_same_as_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def per_row() -> list[float]:
        found = analytic_power(
            POPULATION.format(a=0.3), MODEL, nobs=300, missing="fiml", missing_rate=0.15, indirect=False
        )
        return list(found.table["per_row"][:3])

    exact = per_row()
    monkeypatch.setattr("b2b_sem.analysis.power_missing.LISTED", 100)
    monkeypatch.setattr("b2b_sem.analysis.power_missing.ENOUGH", 60)
    monkeypatch.setattr("b2b_sem.analysis.power_missing.TAKEN", 128)
    assert per_row() == pytest.approx(exact, rel=0.005)
    assert per_row() != pytest.approx(exact, rel=1e-9)


def test_variables_never_answered_together_are_named() -> None:
    reasons = (((0.5, frozenset({"x1"})), (0.5, frozenset({"m1"}))),)
    population = replace(read_population(POPULATION.format(a=0.3)), holes=(Holes(reasons),))
    with pytest.raises(bs.Unsupported, match=r"(m1 and x1|x1 and m1) are never"):
        analytic_power(population, MODEL, nobs=300, missing="fiml")


def test_exogenous_variables_may_not_be_missing() -> None:
    text = "y ~ .3*x\nx ~~ 1*x\ny ~~ .9*y"
    with pytest.raises(bs.Unsupported, match="exogenous"):
        analytic_power(text, "y ~ x", nobs=100, missing="fiml", missing_rate={"x": 0.1})
    found = analytic_power(text, "y ~ x", nobs=100, missing="fiml", missing_rate={"y": 0.1})
    # rows without the outcome say nothing about the path
    whole = analytic_power(text, "y ~ x", nobs=100)
    assert found.table["per_row"].iloc[0] == pytest.approx(0.9 * whole.table["per_row"].iloc[0], rel=1e-8)


# ---- invariance ------------------------------------------------------------------------------------------------------


def test_partial_invariance_leaves_released_parameters_out() -> None:
    found = analytic_power(GROUPS, GROUP_MODEL, nobs=600, group_partial=("F=~x2",), indirect=False)
    table = found.table[found.table["kind"] == "step"].set_index("test")
    assert table.loc["metric", "noncentrality"] > 5
    assert table.loc["metric, partial", "noncentrality"] == 0.0
    # one loading less in each of two further groups; the intercept of the item goes with it
    assert (table.loc["metric", "df"], table.loc["metric, partial", "df"]) == (6, 4)
    assert (table.loc["scalar", "df"], table.loc["scalar, partial", "df"]) == (6, 4)
    none = analytic_power(GROUPS, GROUP_MODEL, nobs=600, indirect=False).table
    assert not none["test"].str.contains("partial").any()


@pytest.mark.slow
def test_steps_reject_as_often_as_invariance_does() -> None:
    text = """F =~ 1*x1 + c(.9, .5)*x2 + .8*x3 + .7*x4
F ~~ c(.8, 1.1)*F
x3 ~ c(0, .3)*1
F ~ c(0, .3)*1
""" + "\n".join(f"{v} ~~ .6*{v}" for v in ("x1", "x2", "x3", "x4"))
    sizes, model, count = (130, 170), "F =~ x1 + x2 + x3 + x4", 100
    expected = analytic_power(text, model, nobs=sum(sizes), shares=sizes).table.set_index("test")["power"]
    rng = np.random.default_rng(11)
    parts = read_population(text).parts
    hits = {"metric": 0, "scalar": 0}
    for _ in range(count):
        frames = [
            pd.DataFrame(rng.multivariate_normal(p.mean, p.cov, n), columns=p.names).assign(side=k)
            for k, (p, n) in enumerate(zip(parts, sizes, strict=True))
        ]
        options = {"steps": ("configural", "metric", "scalar"), "criteria": "chisq", "partial": False, "stop": False}
        found = bs.invariance(model, pd.concat(frames, ignore_index=True), "side", **options)
        chisq = {name: found.fit(name).measures["chisq"] for name in options["steps"]}
        for before, step in (("configural", "metric"), ("metric", "scalar")):
            hits[step] += chisq[step] - chisq[before] > 7.814728  # chi-square with 3 degrees of freedom, 95 %
    for step, hit in hits.items():
        power = expected[step]
        assert hit / count == pytest.approx(power, abs=4 * math.sqrt(power * (1 - power) / count) + 0.02)
