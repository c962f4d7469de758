"""The joint fit function of several groups, its derivatives, and its inference."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs
from b2b_sem.data.observed import observe
from b2b_sem.engine.base import FitOptions
from b2b_sem.engine.group import local_table, prepare_groups, solve_groups
from b2b_sem.engine.native.loss import evaluate, expected_information, gradient, hessian, objective
from b2b_sem.spec.partable import build_table
from b2b_sem.spec.syntax import parse_model

MODEL = "f =~ x1 + x2 + x3\ng =~ x4 + x5 + x6\ng ~ f"


def sample(n: int = 240, seed: int = 4) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    f = rng.normal(size=n)
    g = 0.5 * f + rng.normal(size=n)
    items = np.column_stack([f, f, f, g, g, g]) * [1, 0.8, 1.2, 1, 0.7, 1.1] + rng.normal(size=(n, 6))
    frame = pd.DataFrame(items, columns=[f"x{i}" for i in range(1, 7)])
    return frame.assign(team=np.where(np.arange(n) % 5 < 2, "red", "blue"))


def problem(options: FitOptions, equal: tuple[str, ...] = ("loadings",), data: pd.DataFrame | None = None):
    frame = sample() if data is None else data
    table = build_table(parse_model(MODEL), groups=("red", "blue"), group_equal=equal)
    observed = observe(frame, table.observed, missing=options.missing, group="team")
    return prepare_groups(table, observed, options, None)


def holes(frame: pd.DataFrame) -> pd.DataFrame:
    out = frame.copy()
    out.loc[out.index % 7 == 0, "x2"] = np.nan
    out.loc[out.index % 11 == 0, "x5"] = np.nan
    return out


@pytest.mark.parametrize(
    ("options", "with_holes"),
    [
        (FitOptions(), False),
        (FitOptions(estimator="GLS", likelihood="wishart"), False),
        (FitOptions(estimator="ULS", likelihood="wishart"), False),
        (FitOptions(estimator="WLS", likelihood="wishart"), False),
        (FitOptions(missing="fiml", information="observed"), True),
    ],
)
def test_derivatives_are_those_of_the_joint_function(options, with_holes):
    found = problem(options, data=holes(sample()) if with_holes else None)
    theta = solve_groups(found, "native").theta + 0.05
    at = evaluate(found.structure, found.moments, theta)
    step = 1e-6
    slope = np.zeros_like(theta)
    bend = np.zeros((len(theta), len(theta)))
    for k in range(len(theta)):
        up, down = theta.copy(), theta.copy()
        up[k] += step
        down[k] -= step
        values = [objective(found.structure, found.moments, t) for t in (up, down)]
        slope[k] = (values[0] - values[1]) / (2 * step)
        sides = [
            gradient(found.structure, found.moments, evaluate(found.structure, found.moments, t)) for t in (up, down)
        ]
        bend[k] = (sides[0] - sides[1]) / (2 * step)
    assert gradient(found.structure, found.moments, at) == pytest.approx(slope, rel=1e-5, abs=1e-7)
    assert hessian(found.structure, found.moments, at) == pytest.approx(bend, rel=1e-5, abs=1e-6)


def test_a_parameter_of_one_group_has_no_information_in_another():
    found = problem(FitOptions(), equal=())
    theta = solve_groups(found, "native").theta
    info = expected_information(found.structure, evaluate(found.structure, found.moments, theta))
    first, second = found.places
    assert not set(first) & set(second)
    assert not info[np.ix_(first, second)].any()


def test_tables_of_groups_count_their_own_parameters():
    table = build_table(parse_model(MODEL), groups=("red", "blue"), group_equal=("loadings",))
    local, place = local_table(table, 2)
    assert local.nfree == len(place) == max(r.free for r in local.rows)
    names = {r.free: r.name for r in table.rows if r.group == 2}
    assert [names[k + 1] for k in place] == [r.name for r in sorted(local.rows, key=lambda r: r.free) if r.free]


def test_groups_without_equality_are_separate_fits():
    frame = sample()
    joint = bs.fit(MODEL, frame, group="team")
    alone = {team: bs.fit(MODEL, frame[frame["team"] == team], meanstructure=True) for team in ("red", "blue")}
    for number, team in enumerate(joint.groups, 1):
        rows = joint.parameters
        rows = rows[rows["group"] == number]
        assert rows["est"].to_numpy() == pytest.approx(alone[team].parameters["est"].to_numpy(), abs=1e-7)
        assert rows["se"].to_numpy() == pytest.approx(alone[team].parameters["se"].to_numpy(), abs=1e-7)
        assert joint.r2[team] == pytest.approx(alone[team].r2, abs=1e-7)
        assert joint.group_tests["chisq"][number - 1] == pytest.approx(alone[team].measures["chisq"], abs=1e-7)
    assert joint.measures["logl"] == pytest.approx(sum(f.measures["logl"] for f in alone.values()))
    assert joint.measures["df"] == sum(f.measures["df"] for f in alone.values())


def test_identical_groups_change_no_estimate():
    frame = sample()
    twice = pd.concat([frame.assign(copy="a"), frame.assign(copy="b")], ignore_index=True)
    everything = ("loadings", "intercepts", "means", "residuals", "lv.variances", "regressions")
    joint = bs.fit(MODEL, twice, group="copy", group_equal=everything)
    single = bs.fit(MODEL, frame, meanstructure=True)
    own = joint.parameters[joint.parameters["group"] == 1]
    assert own["est"].to_numpy() == pytest.approx(single.parameters["est"].to_numpy(), abs=1e-7)
    assert joint.measures["chisq"] == pytest.approx(2 * single.measures["chisq"], abs=1e-6)


def test_the_order_of_groups_is_that_of_the_data():
    frame = sample()
    turned = frame.iloc[::-1]
    first, second = bs.fit(MODEL, frame, group="team"), bs.fit(MODEL, turned, group="team")
    assert first.groups == ("red", "blue")
    assert second.groups == tuple(dict.fromkeys(turned["team"]))
    assert first.measures["chisq"] == pytest.approx(second.measures["chisq"], abs=1e-8)


def test_full_information_of_complete_rows_is_maximum_likelihood():
    options = {"group": "team", "group_equal": ["loadings", "intercepts"]}
    plain = bs.fit(MODEL, sample(), information="observed", **options)
    full = bs.fit(MODEL, sample(), missing="fiml", **options)
    assert full.parameters["est"].to_numpy() == pytest.approx(plain.parameters["est"].to_numpy(), abs=1e-9)
    assert full.parameters["se"].to_numpy() == pytest.approx(plain.parameters["se"].to_numpy(), abs=1e-9)
    assert full.measures["chisq"] == pytest.approx(plain.measures["chisq"], abs=1e-8)


def test_holes_in_one_group_only():
    frame = sample()
    some = frame.copy()
    some.loc[(some["team"] == "red") & (some.index % 3 == 0), "x3"] = np.nan
    found = bs.fit(MODEL, some, group="team", missing="fiml", estimator="MLR")
    red = bs.fit(MODEL, some[some["team"] == "red"], missing="fiml", estimator="MLR")
    blue = bs.fit(MODEL, some[some["team"] == "blue"], estimator="MLR", meanstructure=True)
    assert found.measures["logl"] == pytest.approx(red.measures["logl"] + blue.measures["logl"], abs=1e-6)
    factor = [f.measures["chisq_scaling_factor"] for f in (found, red, blue)]
    assert factor[0] == pytest.approx((factor[1] + factor[2]) / 2, abs=1e-5)
