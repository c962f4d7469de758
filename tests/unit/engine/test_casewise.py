"""The likelihood of rows with holes: derivatives against differences, sums against single rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from b2b_sem.data.em import compact
from b2b_sem.data.incomplete import group_patterns
from b2b_sem.data.observed import observe
from b2b_sem.engine.base import FitOptions
from b2b_sem.engine.native import casemoment
from b2b_sem.engine.native.casemoment import (
    case_residuals,
    complete_information,
    complete_spread,
    moment_information,
)
from b2b_sem.engine.native.casewise import Casewise
from b2b_sem.engine.native.implied import implied_moments
from b2b_sem.engine.native.loss import evaluate, gradient, hessian
from b2b_sem.engine.native.start import start_values
from b2b_sem.engine.problem import Problem, prepare
from b2b_sem.spec.partable import build_table
from b2b_sem.spec.syntax import parse_model

MODELS = {
    "factors": "F =~ x1 + x2 + x3\nG =~ x4 + x5 + x6\nG ~ F",
    "equal": "F =~ x1 + a*x2 + a*x3\nG =~ x4 + x5 + x6\nx1 ~ m*1\nx2 ~ m*1",
    "paths": "x3 ~ x1 + x2\nx5 ~ x3 + x1\nx4 ~~ x5",
    "means": "F =~ 1*x1 + 1*x2 + 1*x3\nx1 ~ 0*1\nx2 ~ 0*1\nx3 ~ 0*1\nF ~ 1\nF ~ x6",
}


def data(n: int = 90, share: float = 0.2, seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    f = rng.normal(size=(n, 1))
    rows = 0.7 * f + rng.normal(size=(n, 6)) + np.arange(6)
    rows[rng.random(rows.shape) < share] = np.nan
    return pd.DataFrame(rows, columns=[f"x{i}" for i in range(1, 7)])


def problem(name: str, **options: float) -> tuple[Problem, np.ndarray]:
    table = build_table(parse_model(MODELS[name], None), meanstructure=True)
    fixed = table.exogenous
    observed = observe(data(**options), table.observed, missing="fiml", complete=fixed)
    made = prepare(table, observed, FitOptions(missing="fiml", information="observed"), None)
    start = start_values(table, made.moments.cov, made.moments.mean, made.fixed)
    rng = np.random.default_rng(2)
    return made, start + rng.uniform(-0.05, 0.05, len(start))


@pytest.mark.parametrize("name", MODELS)
def test_gradient_and_hessian_are_derivatives(name):
    made, theta = problem(name)
    weight = made.moments.weight
    assert isinstance(weight, Casewise)
    point = evaluate(made.structure, made.moments, theta)
    slope = gradient(made.structure, made.moments, point)
    bend = hessian(made.structure, made.moments, point)
    step = 1e-5
    for k in range(len(theta)):
        move = np.zeros_like(theta)
        move[k] = step
        up, down = (evaluate(made.structure, made.moments, theta + s * move) for s in (1, -1))
        assert slope[k] == pytest.approx((up.value - down.value) / (2 * step), abs=1e-8)
        change = gradient(made.structure, made.moments, up) - gradient(made.structure, made.moments, down)
        assert bend[k] == pytest.approx(change / (2 * step), abs=1e-7)


@pytest.mark.parametrize("name", ["factors", "means"])
def test_information_is_the_sum_over_rows(name):
    made, theta = problem(name)
    weight = made.moments.weight
    point = evaluate(made.structure, made.moments, theta)
    implied = point.implied
    slopes = casemoment.moment_slopes(made.structure, implied)
    p = made.structure.p
    i, j = np.tril_indices(p)
    expected, meat = np.zeros((len(theta),) * 2), np.zeros((len(theta),) * 2)
    for row in weight.incomplete.rows:
        o = np.flatnonzero(~np.isnan(row))
        omega = np.linalg.inv(implied.sigma[np.ix_(o, o)])
        r = omega @ (row - implied.mu)[o]
        dmu = slopes[:p][o]
        score = dmu.T @ r
        matrices = np.zeros((len(theta), len(o), len(o)))
        for k in range(len(theta)):
            full = np.zeros((p, p))
            full[i, j] = full[j, i] = slopes[p:, k]
            matrices[k] = full[np.ix_(o, o)]
            score[k] += 0.5 * (r @ matrices[k] @ r - np.trace(omega @ matrices[k]))
        expected += dmu.T @ omega @ dmu
        expected += 0.5 * np.einsum("ab,kbc,cd,lda->kl", omega, matrices, omega, matrices)
        meat += np.outer(score, score)
    n = weight.incomplete.nobs
    assert np.allclose(weight.information(made.structure, point, "expected"), expected / n, rtol=1e-9, atol=1e-11)
    assert np.allclose(weight.score_meat(made.structure, point), meat / n, rtol=1e-9, atol=1e-11)


def test_arrays_cut_in_pieces_give_the_same(monkeypatch):
    made, theta = problem("factors")
    weight = made.moments.weight
    point = evaluate(made.structure, made.moments, theta)

    def numbers():
        kinds = [weight.information(made.structure, point, k) for k in ("expected", "observed", "first.order")]
        return [*kinds, case_residuals(weight.incomplete, point.implied.mu, point.implied.sigma)]

    whole = numbers()
    monkeypatch.setattr(casemoment, "LIMIT", 50)
    for one, other in zip(whole, numbers(), strict=True):
        assert np.allclose(one, other, rtol=1e-12, atol=1e-14)


def test_without_holes_everything_is_that_of_complete_data():
    made, theta = problem("factors", share=0.0)
    assert made.moments.weight is None
    incomplete = group_patterns(data(share=0.0).to_numpy())
    rows = incomplete.rows
    mean, cov = rows.mean(axis=0), np.cov(rows.T, bias=True)
    weight = Casewise(incomplete, compact(incomplete), mean, cov)
    moments = replace(made.moments, weight=weight)
    one, other = evaluate(made.structure, made.moments, theta), evaluate(made.structure, moments, theta)
    assert other.value == pytest.approx(one.value, rel=1e-12)
    assert np.allclose(
        gradient(made.structure, moments, other), gradient(made.structure, made.moments, one), rtol=1e-11, atol=1e-13
    )
    assert np.allclose(
        hessian(made.structure, moments, other), hessian(made.structure, made.moments, one), rtol=1e-10, atol=1e-11
    )
    assert np.allclose(moment_information(weight.sums, mean, cov), complete_information(cov), rtol=1e-9, atol=1e-11)


def test_closed_forms_of_complete_rows_are_the_sums_over_patterns(monkeypatch):
    incomplete = group_patterns(data(share=0.0).to_numpy())
    rows = incomplete.rows
    alone = Casewise(incomplete, compact(incomplete), rows.mean(axis=0), np.cov(rows.T, bias=True))
    short = replace(alone, given=(0, 3))
    names = ("observed_moments", "expected_moments", "complete_moments", "inverse_moments", "complete_trace")
    for weight in (short, alone):
        fresh = replace(weight)
        quick = {name: getattr(fresh, name) for name in names} | {"trace": fresh.moment_trace("expected")}
        with monkeypatch.context() as patch:
            patch.setattr(Casewise, "complete", property(lambda self: False))
            fresh = replace(weight)
            slow = {name: getattr(fresh, name) for name in names} | {"trace": fresh.moment_trace("expected")}
        for name, value in quick.items():
            np.testing.assert_allclose(value, slow[name], rtol=1e-9, atol=1e-10, err_msg=name)
    spread = complete_spread(alone.cov)
    np.testing.assert_allclose(spread @ complete_information(alone.cov), np.eye(len(spread)), atol=1e-10)


def test_residuals_keep_the_order_of_the_rows():
    frame = data()
    rows = frame.to_numpy()
    mean, cov = np.nanmean(rows, axis=0), np.eye(6) + 0.3
    found = case_residuals(group_patterns(rows), mean, cov)
    for row, ours in zip(rows, found, strict=True):
        o = ~np.isnan(row)
        assert np.allclose(ours[o], np.linalg.solve(cov[np.ix_(o, o)], (row - mean)[o]), rtol=1e-10)
        assert not ours[~o].any()


def test_no_value_outside_the_parameter_space():
    made, theta = problem("factors")
    bad = theta.copy()
    variances = [r.free - 1 for r in made.table.rows if r.op == "~~" and r.lhs == r.rhs and r.free]
    bad[variances] = -5.0
    assert implied_moments(made.structure, bad) is not None
    assert evaluate(made.structure, made.moments, bad) is None
