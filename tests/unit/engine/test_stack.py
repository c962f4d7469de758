"""The batched fit function, its gradient, its information and its rows against the single-sample ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from engine_case import MODELS, case

from b2b_sem.engine.native.implied import compile_structure
from b2b_sem.engine.native.loss import evaluate, expected_information, gradient, make_moments
from b2b_sem.engine.native.stack import compile_kernel, expected_informations, make_stack, parts, proper_inverse
from b2b_sem.engine.native.stack import evaluate as evaluate_stack
from b2b_sem.engine.rowstack import row_stack
from b2b_sem.engine.standardize import row_values, standardize


def samples(name: str, count: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Sample moments near those of the case, each different."""
    c = case(name)
    rng = np.random.default_rng(5)
    root = np.linalg.cholesky(c.moments.cov)
    cov, mean = [], []
    for _ in range(count):
        x = rng.normal(size=(200, len(root))) @ root.T
        cov.append(np.cov(x.T, bias=True).reshape(len(root), -1))
        mean.append((0 if c.moments.mean is None else c.moments.mean) + x.mean(axis=0))
    return np.array(cov), np.array(mean)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("factor", [True, False], ids=["factor", "dense"])
def test_equal_to_one_sample_at_a_time(name: str, factor: bool) -> None:
    c = case(name)
    kernel = compile_kernel(c.table, c.structure)
    if not factor:
        kernel = replace(kernel, factor=False)
    theta = np.array(c.points(4))
    cov, mean = samples(name)
    stack = make_stack(kernel, cov, mean)
    value, slope = evaluate_stack(kernel, stack, theta)
    info = expected_informations(kernel, theta, stack.exo)
    raw, std = row_stack(c.table, kernel, theta, stack.exo)
    compared = 0
    for r in range(4):
        # fixed moments of covariates are those of the replicate
        fixed = dict(zip([row.name for row in c.table.rows if row.exo], stack.exo[r], strict=True))
        structure = compile_structure(c.table, fixed)
        moments = make_moments(cov[r], mean[r] if c.table.meanstructure else None)
        point = evaluate(structure, moments, theta[r])
        if point is None:
            assert np.isinf(value[r])
            continue
        compared += 1
        g, i = gradient(structure, moments, point), expected_information(structure, point)
        assert value[r] == pytest.approx(point.value, rel=1e-11)
        np.testing.assert_allclose(slope[r], g, rtol=0, atol=1e-10 * np.abs(g).max())
        np.testing.assert_allclose(info[r], i, rtol=0, atol=1e-11 * np.abs(i).max())
        rows = row_values(c.table, theta[r], fixed)
        np.testing.assert_allclose(raw[r], rows.value, rtol=1e-13)
        expected = standardize(c.table, structure, point.implied, rows)[1].value
        np.testing.assert_allclose(std[r], expected, rtol=1e-10, atol=1e-12)
    assert compared >= 3


def test_the_factor_way_is_taken_where_it_can_be() -> None:
    taken = {name for name in MODELS if compile_kernel(case(name).table, case(name).structure).factor}
    assert {"cfa", "cfa_means", "latent_paths", "second_order", "bifactor"} <= taken
    assert taken.isdisjoint({"residual_covariances", "mimic", "path_fixed_x", "equal_across_matrices"})


def test_negative_residual_variances_take_the_dense_way() -> None:
    c = case("cfa")
    kernel = compile_kernel(c.table, c.structure)
    theta = np.array(c.points(3))
    at = next(r.free - 1 for r in c.table.rows if r.op == "~~" and r.lhs == r.rhs == "x1")
    theta[1, at] = -0.01
    stack = make_stack(kernel, np.repeat(c.moments.cov[None], 3, axis=0), None)
    value, slope = evaluate_stack(kernel, stack, theta)
    for r in range(3):
        point = evaluate(c.structure, c.moments, theta[r])
        assert point is not None
        assert value[r] == pytest.approx(point.value, rel=1e-11)
        np.testing.assert_allclose(slope[r], gradient(c.structure, c.moments, point), rtol=1e-8, atol=1e-10)


def test_improper_points_and_samples_spoil_no_neighbour() -> None:
    c = case("cfa")
    kernel = compile_kernel(c.table, c.structure)
    theta = np.array(c.points(3))
    good = evaluate_stack(kernel, make_stack(kernel, np.repeat(c.moments.cov[None], 3, axis=0), None), theta)[0]
    theta[1, [r.free - 1 for r in c.table.rows if r.op == "~~" and r.free]] = -5.0
    cov = np.repeat(c.moments.cov[None], 3, axis=0)
    cov[2] = -cov[2]
    stack = make_stack(kernel, cov, None)
    value, slope = evaluate_stack(kernel, stack, theta)
    assert value[0] == pytest.approx(good[0], rel=1e-13)
    assert np.isinf(value[1])
    assert not slope[1].any()
    assert np.isnan(stack.logdet[2])


@pytest.mark.parametrize("size", [1, 7, 20, 21, 50, 83])
def test_inverse_by_halves(size: int) -> None:
    x = np.random.default_rng(1).normal(size=(3, 2 * size + 5, size))
    stack = x.transpose(0, 2, 1) @ x
    np.testing.assert_allclose(proper_inverse(stack) @ stack, np.broadcast_to(np.eye(size), stack.shape), atol=1e-10)


def test_parts_are_the_model_matrices() -> None:
    c = case("latent_paths_means")
    theta = c.points(1)[0]
    filled = parts(compile_kernel(c.table, c.structure), theta[None], np.zeros((1, 0)))
    point = evaluate(c.structure, c.moments, theta)
    assert point is not None
    np.testing.assert_allclose(filled.sigma()[0], point.implied.sigma, rtol=1e-13)
    assert filled.mu is not None
    np.testing.assert_allclose(filled.mu[0], point.implied.mu, rtol=1e-13)
