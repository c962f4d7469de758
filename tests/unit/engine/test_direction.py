"""The direction of latent variables: where a search starts, and what it does when loadings change sign on the way."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs
from b2b_sem.engine.native import optimize
from b2b_sem.engine.native.implied import compile_structure
from b2b_sem.engine.native.loss import make_moments
from b2b_sem.engine.native.start import start_values
from b2b_sem.spec.partable import build_table
from b2b_sem.spec.syntax import parse_model


def answers(seed: int = 0, n: int = 200, second: float = 0.9) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    f = rng.normal(size=(n, 1))
    y = f * [0.7, 0.9, second, 1.1] + 0.8 * rng.normal(size=(n, 4))
    return pd.DataFrame(y, columns=["y1", "y2", "y3", "y4"]).assign(g=np.where(np.arange(n) % 2, "a", "b"))


@pytest.mark.parametrize("value", [0.8, -0.8])
@pytest.mark.parametrize("seed", range(6))
def test_a_factor_of_variance_one_starts_in_the_direction_of_its_fixed_loading(value: float, seed: int) -> None:
    table = build_table(parse_model(f"f =~ y1 + y2 + {value}*y3 + y4"), std_lv=True)
    data = answers(seed)[list(table.observed)] * [1, 1, np.sign(value), 1]
    start = start_values(table, np.cov(data.to_numpy().T), None, {})
    loadings = [r.free - 1 for r in table.rows if r.op == "=~" and r.free]
    assert (start[loadings] > 0).all()


def test_a_loading_fixed_in_one_group_does_not_hide_the_minimum() -> None:
    # the other direction of f in the second group is a minimum, too, with a chi-square of several hundred
    text = "f =~ y1 + c(l, l)*y2 + c(NA, 0.8)*y3 + y4"
    for seed in range(8):
        found = bs.fit(text, answers(seed), group="g", std_lv=True)
        assert found.measures["pvalue"] > 1e-4
        loadings = found.parameters.query("op == '=~'")["est"]
        assert (loadings > 0).all()


def turning_problem() -> tuple:
    """Two minima: f has variance 1 and a loading of 0.2 on y1, which is fixed, and large free ones."""
    table = build_table(parse_model("f =~ 0.2*y1 + y2 + y3 + y4"), std_lv=True)
    data = answers()[list(table.observed)].to_numpy()
    structure = compile_structure(table, {})
    return table, structure, make_moments(np.cov(data.T), None)


def test_a_solution_whose_loadings_turned_is_not_the_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    table, structure, moments = turning_problem()
    right = start_values(table, moments.cov, None, {})
    loadings = np.array([r.free - 1 for r in table.rows if r.op == "=~" and r.free])
    wrong = right.copy()
    wrong[loadings] *= -1
    turned = optimize._score(structure, moments, wrong, None, 150)
    straight = optimize._score(structure, moments, right, None, 150)
    assert turned is not None
    assert straight is not None
    assert turned.converged
    assert straight.point.value < turned.point.value - 0.01
    assert optimize._turned(structure, moments, turned.point.theta, right)
    assert not optimize._turned(structure, moments, straight.point.theta, right)
    tried = []

    def start(name: str, theta: np.ndarray):
        def make() -> np.ndarray:
            tried.append(name)
            return theta

        return make

    # pretend that the first start, which points the right way, ran into the other minimum
    score, calls = optimize._score, iter([turned])
    monkeypatch.setattr(optimize, "_score", lambda *given: next(calls, None) or score(*given))
    found = optimize.minimize(structure, moments, [start("first", right), start("second", right)])
    assert tried == ["first", "second"]
    assert found.fmin == pytest.approx(straight.point.value, abs=1e-9)


def test_reversed_items_are_no_reason_to_search_on() -> None:
    data = answers()
    data["y2"] *= -1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = bs.fit("f =~ y1 + y2 + y3 + y4", data, group="g", group_equal=["loadings"])
    assert "start 1" in found._context.solution.message  # type: ignore[union-attr]
