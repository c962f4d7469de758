"""Effects: which there are, what they are worth, and what is refused."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs
from b2b_sem.analysis.fitted import context_of
from b2b_sem.engine.draw import multivariate_normal
from b2b_sem.engine.effect import effect_draws, effects_at, find_effects
from b2b_sem.engine.rowstack import evaluate_stack
from b2b_sem.results.effect import EFFECT_COLUMNS, EffectsResult
from b2b_sem.results.fit import FitResult
from b2b_sem.spec import expression as ex
from b2b_sem.spec.syntax import parse_model

MODEL = """
F =~ f1 + f2 + f3
G =~ g1 + k*g2 + g3
m ~ a*F + x
G ~ b*m + c*F
y ~ G + m + x
indirect := a*b
odd := sqrt(abs(a)) + log(k^2)/tanh(b) - exp(-c)
"""


@cache
def data(n: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(8)
    x, f = rng.normal(size=(2, n))
    m = 0.5 * f + 0.3 * x + rng.normal(size=n)
    g = 0.6 * m + 0.3 * f + rng.normal(size=n)
    y = 0.4 * g + 0.2 * m - 0.3 * x + rng.normal(size=n)
    frame = {f"f{i}": f + rng.normal(size=n) * 0.6 for i in (1, 2, 3)}
    frame |= {f"g{i}": g + rng.normal(size=n) * 0.6 for i in (1, 2, 3)}
    return pd.DataFrame({**frame, "m": m, "y": y, "x": x})


@cache
def fitted(model: str = MODEL, **options: Any) -> Any:
    return bs.fit(model, data(), engine="native", **options)


@dataclass(frozen=True)
class Boot:
    theta: np.ndarray
    jackknife: np.ndarray | None
    failed: int


def replicates(fit: Any, count: int = 400, failed: int = 0) -> Boot:
    context = context_of(fit)
    rng = np.random.default_rng(3)
    theta = multivariate_normal(context.solution.theta, context.vcov, count, rng)
    return Boot(theta, multivariate_normal(context.solution.theta, context.vcov / 300, 300, rng), failed)


def test_all_effects_are_found_and_add_up() -> None:
    effects = fitted().indirect_effects()
    table = effects.table
    assert list(table.columns) == list(EFFECT_COLUMNS)
    paths = set(effects.select("specific")["path"])
    assert paths == {
        "F -> m -> G", "F -> m -> y", "F -> G -> y", "F -> m -> G -> y",
        "x -> m -> G", "x -> m -> y", "x -> m -> G -> y", "m -> G -> y",
    }  # fmt: skip
    for outcome, predictor in itertools.permutations(("F", "G", "m", "x", "y"), 2):
        one = effects.select(outcome=outcome, predictor=predictor)
        sums = one.groupby("kind")[["est", "est_std"]].sum()
        if one.empty:
            continue
        zero = pd.Series({"est": 0.0, "est_std": 0.0})
        parts = {k: sums.loc[k] if k in sums.index else zero for k in ("specific", "indirect", "direct", "total")}
        np.testing.assert_allclose(parts["specific"], parts["indirect"], atol=1e-14)
        np.testing.assert_allclose(parts["direct"] + parts["indirect"], parts["total"], atol=1e-14)
    direct = effects.select("direct", outcome="y", predictor="x").iloc[0]
    row = fitted().parameters.query("lhs == 'y' and op == '~' and rhs == 'x'").iloc[0]
    assert (direct["est"], direct["est_std"]) == pytest.approx((row["est"], row["std_all"]), rel=1e-12)
    assert direct["se"] == pytest.approx(row["se"], rel=1e-9)


def test_loadings_of_second_order_factors_are_no_effects() -> None:
    model = "A =~ f1 + f2 + f3\nB =~ g1 + g2 + g3\nH =~ A + B\nH ~ x\ny ~ A"
    effects = fitted(model).indirect_effects()
    assert effects.select("specific").empty
    assert set(effects.table["path"]) == {"x -> H", "A -> y"}


def test_a_path_fixed_at_zero_is_none_and_a_fixed_path_has_no_test() -> None:
    effects = fitted("m ~ 0.5*x\ny ~ m + 0*x").indirect_effects()
    assert list(effects.table["path"]) == ["x -> m -> y", "m -> y", "m -> y", "x -> m", "x -> m", "x -> y", "x -> y"]
    fixed = effects.select("direct", outcome="m").iloc[0]
    assert (fixed["est"], fixed["se"], fixed["ci_lower"]) == (0.5, 0.0, 0.5)
    assert np.isnan(fixed["z"])
    assert fixed["se_std"] > 0
    assert effects.select("specific")["se"].iloc[0] > 0
    drawn = fitted("m ~ 0.5*x\ny ~ m + 0*x").indirect_effects(ci="mc", draws=500).select("direct", outcome="m").iloc[0]
    assert (drawn["ci_lower"], drawn["ci_upper"]) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("model", "options"),
    [
        (MODEL, {}),
        (MODEL, {"fixed_x": False, "meanstructure": True}),
        (MODEL + "b == c\n", {"likelihood": "wishart"}),
        ("m ~ a*x\ny ~ a*m + 0.3*x\nG =~ g1 + g2 + g3\nG ~ y + m", {}),
        ("y ~ p*m + x\nm ~ q*y + f1\nf2 ~ y", {}),
        ("A =~ f1 + f2 + f3\nB =~ g1 + g2 + g3\nH =~ A + B\nH ~ x + m\nm ~ x\ny ~ H", {"std_lv": True}),
    ],
)
def test_derivatives_are_those_of_finite_differences(model: str, options: dict[str, Any]) -> None:
    context = context_of(fitted(model, **options))
    problem, theta = context.problem, context.solution.theta
    effects = find_effects(problem.table, problem.structure)
    exact = effects_at(problem, effects, theta)
    step = 1e-5
    moved = np.concatenate([theta + step * np.eye(len(theta)), theta - step * np.eye(len(theta))])
    stacks = effect_draws(problem, effects, np.concatenate([theta[None], moved]))
    for values, stack in zip(exact, stacks, strict=True):
        np.testing.assert_allclose(stack[0], values.value, rtol=1e-12, atol=1e-14)
        up, down = np.split(stack[1:], 2)
        np.testing.assert_allclose(values.jacobian.T, (up - down) / (2 * step), rtol=1e-7, atol=1e-7)


def test_a_stack_is_worked_through_in_pieces_with_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fitted().indirect_effects(ci="mc", draws=300).table
    monkeypatch.setattr("b2b_sem.engine.effect.CHUNK", 1)
    pd.testing.assert_frame_equal(fitted().indirect_effects(ci="mc", draws=300).table, whole)


def test_the_seed_decides_the_draws() -> None:
    one, same, other = (fitted().indirect_effects(ci="mc", draws=300, seed=s) for s in (5, 5, 6))
    pd.testing.assert_frame_equal(one.table, same.table)
    assert not one.table["ci_lower"].equals(other.table["ci_lower"])
    assert (one.seed, one.draws, one.failed) == (5, 300, 0)
    bounds = one.table[["ci_lower", "est", "ci_upper", "ci_lower_std", "est_std", "ci_upper_std"]]
    assert (bounds.diff(axis=1).iloc[:, [1, 2, 4, 5]] > 0).all(axis=None)


def test_levels_are_nested() -> None:
    for ci in ("delta", "mc", "percentile", "bc", "bca"):
        wide, narrow = (
            fitted().indirect_effects(ci, level, draws=2000, bootstrap=replicates(fitted())).table
            for level in (0.99, 0.8)
        )
        assert (wide["ci_lower"] < narrow["ci_lower"]).all()
        assert (wide["ci_upper_std"] > narrow["ci_upper_std"]).all()


def test_units_of_the_variables_do_not_matter() -> None:
    scaled = data() * pd.Series({c: 10.0 ** (i % 5 - 2) for i, c in enumerate(data().columns)})
    model = MODEL.split("indirect")[0]
    a, b = (bs.fit(model, d, engine="native").indirect_effects("mc", draws=500) for d in (data(), scaled))
    for name in (c for c in EFFECT_COLUMNS if c.endswith("_std") and not c.startswith("ci")):
        np.testing.assert_allclose(a.table[name], b.table[name], rtol=1e-5, atol=1e-12)
    np.testing.assert_allclose(a.table["z"], b.table["z"], rtol=1e-5)


# -- bootstrap ---------------------------------------------------------------------------------------------------------


def test_bootstrap_replaces_se_and_interval() -> None:
    boot = replicates(fitted())
    for ci in ("percentile", "bc", "bca"):
        effects = fitted().indirect_effects(ci, bootstrap=boot)
        row = effects.select("direct", outcome="G", predictor="m").iloc[0]
        k = int(fitted().parameters.query("lhs == 'G' and rhs == 'm'")["free"].iloc[0]) - 1
        assert row["se"] == pytest.approx(boot.theta[:, k].std(ddof=1), rel=1e-12)
        assert effects.draws == 400
    table = {ci: fitted().indirect_effects(ci, bootstrap=boot).table["ci_lower"] for ci in ("percentile", "bc", "bca")}
    assert not table["percentile"].equals(table["bc"])
    assert not table["bc"].equals(table["bca"])


def test_replicates_that_failed_are_counted_and_said() -> None:
    boot = replicates(fitted())
    theta = boot.theta.copy()
    theta[:3] = np.nan
    inside = fitted().indirect_effects("percentile", bootstrap=Boot(theta, None, 3))
    outside = fitted().indirect_effects("percentile", bootstrap=Boot(theta[3:], None, 3))
    for effects in (inside, outside):
        assert (effects.draws, effects.failed) == (400, 3)
        assert any("3 of 400 bootstrap replicates" in note for note in effects.notes)
    pd.testing.assert_frame_equal(inside.table, outside.table)


# -- loops -------------------------------------------------------------------------------------------------------------


def test_an_unstable_loop_has_no_total_effects() -> None:
    loop = "y ~ 1.5*m + x\nm ~ 1.2*y + f1"
    effects = fitted(loop).indirect_effects()
    assert not effects.stable
    assert effects.select("total")["est"].isna().all()
    assert effects.select("specific")["est"].notna().all()
    assert any("not stable" in note for note in effects.notes)
    stable = fitted("y ~ 0.5*m + x\nm ~ 0.5*y + f1").indirect_effects()
    assert stable.stable
    assert stable.select("total", outcome="y", predictor="m")["est"].iloc[0] == pytest.approx(0.5 / 0.75)


# -- many paths --------------------------------------------------------------------------------------------------------


def test_too_many_specific_effects_are_not_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("b2b_sem.engine.effect.MOST_PATHS", 5)
    effects = fitted().indirect_effects()
    assert effects.select("specific").empty
    assert not effects.select("indirect").empty
    assert any("not listed" in note for note in effects.notes)
    assert len(fitted().indirect_effects(predictor="x").select("specific")) == 3


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"ci": "monte carlo"}, bs.Unsupported, "use delta, mc"),
        ({"ci": "bca", "draws": 5}, bs.DataError, "too few"),
        ({"level": 95}, bs.DataError, "between 0 and 1"),
        ({"ci": "mc", "draws": 10}, bs.DataError, "too few"),
        ({"outcome": "GG"}, bs.ModelSyntaxError, "no part in the regressions"),
        ({"predictor": ["F", "f1"]}, bs.ModelSyntaxError, "predictor 'f1'"),
        ({"ci": "bc", "bootstrap": Boot(np.zeros((5, 2)), None, 0)}, bs.DataError, "do not belong to this model"),
    ],
)
def test_refusals_say_what_to_do(options: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        fitted().indirect_effects(**options)


def test_bootstrap_intervals_come_from_the_fits_own_replicates() -> None:
    fit = fitted()
    for ci in ("percentile", "bc", "bca"):
        own = fit.indirect_effects(ci, draws=200, seed=3)
        given = fit.indirect_effects(ci, seed=3, bootstrap=fit.bootstrap(200, 3, ci=ci))
        assert own.draws == 200
        pd.testing.assert_frame_equal(own.table, given.table)
    assert not np.allclose(own.table["ci_lower"], fit.indirect_effects().table["ci_lower"])


@pytest.mark.parametrize("options", [{}, {"fixed_x": False}, {"meanstructure": True}], ids=str)
@pytest.mark.parametrize("ci", ["percentile", "bc", "bca"])
def test_effects_are_those_of_the_bootstraps_own_tables(ci: str, options: dict[str, Any]) -> None:
    """Moments of fixed covariates differ from replicate to replicate, and standardized effects with them."""
    fit = fitted("m ~ a*x\ny ~ b*m + x\nab := a*b", **options)
    boot = fit.bootstrap(150, 3, ci=ci)
    effects = fit.indirect_effects(ci, bootstrap=boot)
    direct, defined = effects.select("direct"), effects.select("defined")
    for ending, table in (("", boot.parameters), ("_std", boot.standardized())):
        for row in table[table["op"] == "~"].to_dict("records"):
            ours = direct.query(f"outcome == '{row['lhs']}' and predictor == '{row['rhs']}'").iloc[0]
            found = [ours[f"{name}{ending}"] for name in ("est", "se", "ci_lower", "ci_upper")]
            expected = [row[name] for name in (f"est{ending}", "se", "ci_lower", "ci_upper")]
            np.testing.assert_allclose(found, expected, rtol=1e-9)
        row = table[table["op"] == ":="].iloc[0]
        found = defined.iloc[0][[f"se{ending}", f"ci_lower{ending}", f"ci_upper{ending}"]].to_list()
        np.testing.assert_allclose(found, row[["se", "ci_lower", "ci_upper"]].to_list(), rtol=1e-9)


def test_bca_needs_the_jackknife() -> None:
    boot = replicates(fitted())
    with pytest.raises(bs.Unsupported, match="jackknife"):
        fitted().indirect_effects("bca", bootstrap=Boot(boot.theta, None, 0))


def test_a_result_from_a_file_cannot_be_asked() -> None:
    from b2b_sem.analysis.effect import indirect_effects

    with pytest.raises(bs.Unsupported, match="fit the model again"):
        indirect_effects(FitResult.from_json(fitted().to_json()))


def test_a_model_without_regressions_has_no_effects() -> None:
    effects = fitted("F =~ f1 + f2 + f3\nG =~ g1 + g2 + g3").indirect_effects("mc", draws=200)
    assert len(effects.table) == 0
    assert effects.failed == 0


# -- the result --------------------------------------------------------------------------------------------------------


def test_the_result_survives_json_and_cannot_be_changed() -> None:
    effects = fitted().indirect_effects("mc", draws=200)
    again = EffectsResult.from_json(json.loads(json.dumps(effects.to_json(), allow_nan=False)))
    pd.testing.assert_frame_equal(again.table, effects.table, check_exact=True)
    assert (again.ci, again.draws, again.seed, again.notes) == ("mc", 200, 1, effects.notes)
    copy = effects.table
    copy.iloc[0, 4] = 99.0
    assert effects.table.iloc[0, 4] != 99.0
    assert "F -> m -> G" in str(effects)
    with pytest.raises(bs.Unsupported, match="Did you mean 'specific'"):
        effects.select("specifc")


# -- stacks of expressions ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", sorted(ex.FUNCTIONS))
def test_every_function_works_on_stacks(function: str) -> None:
    parsed = parse_model(f"y ~ a*x + b*z\nq := {function}(a)^2/b - 3*-b", None)
    values = {"a": np.array([0.3, 0.7, 0.9]), "b": np.array([0.5, -2.0, 4.0])}
    tree = parsed.constraints[0].right
    expected = [ex.evaluate(tree, {k: (float(v[i]), 0.0) for k, v in values.items()})[0] for i in range(3)]
    np.testing.assert_allclose(evaluate_stack(tree, values), expected, rtol=1e-12)


def test_what_has_no_value_is_nan() -> None:
    tree = parse_model("y ~ a*x\nq := log(a)/(a - 1)", None).constraints[0].right
    found = evaluate_stack(tree, {"a": np.array([-1.0, 1.0, 2.0])})
    assert list(np.isnan(found)) == [True, True, False]


def test_draws_have_the_moments_that_were_asked_for() -> None:
    cov = np.array([[1e6, 300.0, 0.0], [300.0, 0.25, 0.0], [0.0, 0.0, 0.0]])
    draws = multivariate_normal(np.array([1.0, 2.0, 3.0]), cov, 200_000, np.random.default_rng(1))
    np.testing.assert_allclose((draws.mean(axis=0) - [1.0, 2.0, 3.0]) / [1e3, 0.5, 1.0], 0.0, atol=0.01)
    np.testing.assert_allclose(np.cov(draws.T)[:2, :2], cov[:2, :2], rtol=0.03)
    assert (draws[:, 2] == 3.0).all()
