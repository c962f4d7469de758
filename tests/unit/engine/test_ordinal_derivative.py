"""Derivatives of thresholds and latent correlations against differences; what delta and theta must share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from b2b_sem.engine.native.categorical import CategoricalWeight
from b2b_sem.engine.native.loss import Moments
from b2b_sem.engine.native.ordinal import Layout, compile_layout
from b2b_sem.spec.partable import ParameterTable, build_table
from b2b_sem.spec.syntax import parse_model

FACTORS = ("f =~ x1+x2+x3\ng =~ x4+x5+x6\ny ~ f+ g", {"x1": 3, "x2": 4, "x3": 2, "x4": 3, "x5": 3, "y": 3}, False)
CHAIN = (
    "f =~ x1+x2+x3\nm1 ~ f\nm2~m1+x\ny ~ m2+f\nx~~x\nx3~~x2\nx1~1\nx1|0*t1\n",
    {"x1": 3, "x2": 4, "x3": 2, "m1": 3, "m2": 3, "y": 3},
    False,
)
COVARIATES = (
    "f =~ x1+x2+x3\ng =~ x4+x5+x6\ng~f\ny ~ f+ g\nf ~ z1+z2\ny~z1\ng ~~ y\nx3 ~ z2\nf~1",
    {"x1": 3, "x2": 4, "x3": 2, "x4": 3, "x5": 3, "y": 3},
    True,
)
PATHS = ("m ~ a*z1 + z2\ny ~ b*m + z1\nw ~ y+m+a*z2", {"m": 3, "y": 2}, True)
LOOP = ("f =~ x1+x2+x3\nm ~ f + n\nn ~ 0.3*m + z\nz ~~ z", {"x1": 3, "x2": 4, "x3": 2, "m": 3, "n": 4}, False)
DELTA = "x2 ~*~ NA*x2\nx1 ~*~ NA*x1+d*x1\nm2 ~*~NA*m2"
THETA = "x1~~NA*x1\nm2~~NA*m2"


def made(model: str, categories: dict[str, int], given: bool, parameterization: str) -> tuple[ParameterTable, Layout]:
    table = build_table(parse_model(model), categories=categories, parameterization=parameterization, fixed_x=given)
    return table, compile_layout(table, {}, given)


def somewhere(table: ParameterTable) -> np.ndarray:
    """Return parameters that imply proper moments."""
    rng = np.random.default_rng(5)
    typical = {"=~": 0.8, "~": 0.3, "|": 0.0, "~1": 0.2, "~*~": 1.1, "~~": 0.1}
    theta = np.zeros(table.nfree)
    for row in table.rows:
        if row.free:
            value = 0.6 if row.op == "~~" and row.lhs == row.rhs else typical[row.op]
            theta[row.free - 1] = value + 0.1 * rng.normal() + (int(row.rhs[1:]) - 2 if row.op == "|" else 0)
    return theta


CASES = [
    (*FACTORS, "delta"),
    (*FACTORS, "theta"),
    (CHAIN[0] + DELTA, *CHAIN[1:], "delta"),
    (CHAIN[0] + THETA, *CHAIN[1:], "theta"),
    (*COVARIATES, "delta"),
    (*COVARIATES, "theta"),
    (*PATHS, "delta"),
    (*PATHS, "theta"),
    (*LOOP, "delta"),
    (*LOOP, "theta"),
]


@pytest.mark.parametrize(("model", "categories", "given", "parameterization"), CASES)
def test_derivatives_are_exact(model: str, categories: dict[str, int], given: bool, parameterization: str) -> None:
    table, layout = made(model, categories, given, parameterization)
    theta = somewhere(table)
    state = layout.state(theta)
    assert state is not None
    rng = np.random.default_rng(1)
    size, q = layout.size, table.nfree
    root = rng.normal(size=(size, size))
    weights = (rng.uniform(0.5, 2.0, size), None), (None, root @ root.T / size + np.eye(size))
    sample = state.statistic + 0.1 * rng.normal(size=size)
    moments = Moments(np.eye(layout.structure.p), None, 0.0)
    steps = 1e-6 * np.eye(q)

    def statistic(at: np.ndarray) -> np.ndarray:
        here = layout.state(at)
        assert here is not None
        return here.statistic

    slopes = np.array([(statistic(theta + h) - statistic(theta - h)) / 2e-6 for h in steps]).T
    assert np.abs(state.slopes.matrix() - slopes).max() < 1e-8
    for diagonal, dense in weights:
        weight = CategoricalWeight(layout, sample, diagonal, dense)

        def gradient(at: np.ndarray, weight: CategoricalWeight = weight) -> np.ndarray:
            point = weight.evaluate(layout.structure, moments, at)
            assert point is not None
            return weight.gradient(layout.structure, moments, point)

        point: Any = weight.evaluate(layout.structure, moments, theta)
        v = np.diag(diagonal) if diagonal is not None else dense
        exact = state.slopes.matrix()
        assert gradient(theta) == pytest.approx(2 * exact.T @ v @ (state.statistic - sample), abs=1e-12)
        assert weight.expected_information(layout.structure, point) == pytest.approx(exact.T @ v @ exact, abs=1e-12)
        curved = np.array([(gradient(theta + h) - gradient(theta - h)) / 2e-6 for h in steps])
        assert np.abs(weight.hessian(layout.structure, moments, point) - curved).max() < 1e-8


@pytest.mark.parametrize(("model", "categories", "given"), [CHAIN, PATHS, LOOP, COVARIATES])
def test_delta_responses_have_unit_variance(model: str, categories: dict[str, int], given: bool) -> None:
    table, layout = made(model, categories, given, "delta")
    state = layout.state(somewhere(table))
    assert state is not None
    assert layout.r > 0  # ordinal variables take part in paths
    places = layout.y[layout.computed]
    assert np.diag(state.implied.sigma)[places] == pytest.approx(np.ones(layout.r), abs=1e-12)


def test_parameters_with_one_label_add_up() -> None:
    table, layout = made("f =~ x1 + x2 + x3\nx1 | a*t1 + t2\nx2 | a*t1", {"x1": 3, "x2": 2, "x3": 3}, False, "delta")
    theta = somewhere(table)
    state = layout.state(theta)
    assert state is not None
    column = state.slopes.matrix()[:, next(r.free for r in table.rows if r.label == "a") - 1]
    assert np.flatnonzero(column).tolist() == [0, 2]
    weight = np.arange(1.0, layout.size + 1.0)
    exact = state.slopes.matrix()
    assert state.slopes.weigh(weight) == pytest.approx(exact.T * weight @ exact)
    assert state.slopes.pull(weight) == pytest.approx(exact.T @ weight)


def test_no_state_where_a_scale_is_not_positive() -> None:
    table, layout = made(CHAIN[0] + DELTA, *CHAIN[1:], "delta")
    theta = somewhere(table)
    theta[next(r.free for r in table.rows if r.op == "~*~" and r.free) - 1] = -0.5
    assert layout.state(theta) is None
