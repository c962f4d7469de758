"""Repeated fits against the single-fit engine, replicate by replicate."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from engine_case import MODELS, frame

import b2b_sem as bs
from b2b_sem.analysis.fitted import context_of
from b2b_sem.engine.native.loss import make_moments
from b2b_sem.engine.problem import prepare, solve
from b2b_sem.engine.replicate import replicator, standard_errors
from b2b_sem.engine.resample import bootstrap_counts, leave_one_out, stream, weighted_moments
from b2b_sem.errors import ModelError, Unsupported

REPLICATES = 6
CONSTRAINED = "f =~ x1 + a*x2 + b*x3\ng =~ x4 + c*x5 + x6\ng ~ d*f\na + b == 2\nc == 0.5 + d"


@cache
def fitted(name: str, likelihood: str = "normal") -> bs.FitResult:
    text, options = (CONSTRAINED, {}) if name == "constrained" else MODELS[name]
    return bs.fit(text, frame(), engine="native", likelihood=likelihood, **options)


@pytest.mark.parametrize("name", [*MODELS, "constrained"])
def test_equal_to_single_fits(name: str) -> None:
    result = fitted(name)
    if not (result.converged and result.identified):
        pytest.skip("these data do not determine the model")
    context = context_of(result)
    problem, data = context.problem, context.observed.raw[0]
    n = len(data)
    counts = bootstrap_counts(stream(3, 0), n, REPLICATES)
    cov, mean = weighted_moments(data, counts, divisor=n)
    found = replicator(problem, context.solution.theta).fit(cov, mean)
    se = standard_errors(problem, replicator(problem, context.solution.theta).kernel, found.theta, found.exo, n)
    compared = 0
    for r in range(REPLICATES):
        rows = np.repeat(data, counts[r].astype(int), axis=0)
        one = bs.fit(
            problem.table.text,
            dict(zip(problem.table.observed, rows.T, strict=True)),
            engine="native",
            **({} if name == "constrained" else MODELS[name][1]),
        )
        other = context_of(one)
        if not (one.converged and one.identified):
            continue
        if found.converged[r] and found.fmin[r] < other.solution.fmin - 1e-6:
            continue  # another, better minimum
        compared += 1
        own = np.sqrt(np.diag(other.vcov))
        away = np.abs(found.theta[r] - other.solution.theta)
        assert found.converged[r]
        assert (away <= 1e-4 * own + 1e-9 * np.abs(other.solution.theta)).all(), (away / own).max()
        assert found.fmin[r] == pytest.approx(other.solution.fmin, abs=1e-10)
        assert found.admissible[r] == one.admissible
        np.testing.assert_allclose(se[r], own, rtol=1e-3)
    assert compared >= REPLICATES // 2


def test_a_tighter_tolerance_comes_closer() -> None:
    context = context_of(fitted("latent_paths"))
    data = context.observed.raw[0]
    cov, mean = weighted_moments(data, bootstrap_counts(stream(1, 0), len(data), 20), divisor=len(data))
    prepared = replicator(context.problem, context.solution.theta)
    exact = prepared.fit(cov, mean, tolerance=1e-11).theta
    se = np.sqrt(np.diag(context.vcov))
    loose = np.abs(prepared.fit(cov, mean).theta - exact) / se
    tight = np.abs(prepared.fit(cov, mean, tolerance=1e-9).theta - exact) / se
    assert 0 < loose.max() < 1e-4
    assert np.median(loose.max(axis=1)) < 1e-5
    assert tight.max() < 1e-7


def test_the_chunk_bounds_memory_and_changes_nothing_that_matters() -> None:
    context = context_of(fitted("cfa_means"))
    data = context.observed.raw[0]
    cov, mean = weighted_moments(data, bootstrap_counts(stream(1, 0), len(data), 30), divisor=len(data))
    prepared = replicator(context.problem, context.solution.theta)
    se = np.sqrt(np.diag(context.vcov))
    one, seven = prepared.fit(cov, mean, chunk=1), prepared.fit(cov, mean, chunk=7)
    assert (np.abs(one.theta - seven.theta) / se).max() < 1e-9
    assert (one.iterations == seven.iterations).all()


def test_starts_far_away_lead_to_the_same_minima() -> None:
    context = context_of(fitted("cfa"))
    data = context.observed.raw[0]
    cov, mean = weighted_moments(data, bootstrap_counts(stream(1, 0), len(data), 12), divisor=len(data))
    prepared = replicator(context.problem, context.solution.theta)
    far = np.random.default_rng(1).uniform(0.7, 1.3, (12, len(context.solution.theta))) * context.solution.theta
    se = np.sqrt(np.diag(context.vcov))
    away = np.abs(prepared.fit(cov, mean, starts=far).theta - prepared.fit(cov, mean).theta) / se
    assert away.max() < 1e-4


def test_impossible_samples_are_flagged() -> None:
    context = context_of(fitted("cfa"))
    problem = context.problem
    cov = np.repeat(problem.moments.cov[None], 3, axis=0)
    cov[1] = np.ones_like(cov[1])  # singular
    found = replicator(problem, context.solution.theta).fit(cov)
    assert found.converged.tolist() == [True, False, True]
    assert np.isnan(found.theta[1]).all()
    assert not found.admissible[1]


def test_the_single_fit_engine_is_the_last_resort(monkeypatch: pytest.MonkeyPatch) -> None:
    from b2b_sem.engine import replicate
    from b2b_sem.engine.native.batch import StackSolution

    context = context_of(fitted("cfa"))
    data = context.observed.raw[0]
    cov, mean = weighted_moments(data, bootstrap_counts(stream(1, 0), len(data), 3), divisor=len(data))
    prepared = replicator(context.problem, context.solution.theta)
    expected = prepared.fit(cov, mean).theta

    def lost(kernel, stack, starts, curvature, **settings):  # type: ignore[no-untyped-def]
        count = len(stack)
        theta = np.broadcast_to(starts, (count, kernel.structure.q)).copy()
        nothing = np.zeros(count, dtype=bool)
        return StackSolution(theta, np.full(count, np.nan), np.full(count, np.inf), nothing, np.zeros(count, np.intp))

    monkeypatch.setattr(replicate, "minimize_stack", lost)
    found = prepared.fit(cov, mean)
    assert found.retried.all()
    assert found.converged.all()
    assert (np.abs(found.theta - expected) / np.sqrt(np.diag(context.vcov))).max() < 1e-4
    assert not prepared.fit(cov, mean, retry=False).converged.any()


@pytest.mark.parametrize("likelihood", ["normal", "wishart"])
def test_leaving_one_out_is_removing_a_row(likelihood: str) -> None:
    data = frame()[["x1", "x2", "x3", "x4"]].to_numpy()[:40]
    ddof = int(likelihood == "wishart")
    cov, mean = leave_one_out(data, slice(10, 20), divisor=len(data) - ddof)
    for k in range(10):
        rest = np.delete(data, 10 + k, axis=0)
        np.testing.assert_allclose(cov[k], np.cov(rest.T, ddof=ddof), rtol=1e-12)
        np.testing.assert_allclose(mean[k], rest.mean(axis=0), rtol=1e-13)


def test_weighted_moments_are_those_of_repeated_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    from b2b_sem.engine import resample

    data = frame()[["x1", "x2", "x10"]].to_numpy() + 1e4
    counts = bootstrap_counts(stream(9, 4), len(data), 5)
    assert (counts.sum(axis=1) == len(data)).all()
    for block in (resample.BLOCK_NUMBERS, 60):  # one block of rows, and many
        monkeypatch.setattr(resample, "BLOCK_NUMBERS", block)
        cov, mean = weighted_moments(data, counts, divisor=len(data))
        for r in range(5):
            rows = np.repeat(data, counts[r].astype(int), axis=0)
            np.testing.assert_allclose(cov[r], np.cov(rows.T, bias=True), rtol=1e-9)
            np.testing.assert_allclose(mean[r], rows.mean(axis=0), rtol=1e-14)


def test_refuses_what_is_not_identified_or_not_ml() -> None:
    context = context_of(fitted("cfa"))
    with pytest.raises(Unsupported, match="estimator='GLS'"):
        replicator(replace(context.problem, options=replace(context.problem.options, estimator="GLS")), np.zeros(21))  # type: ignore[arg-type]
    flat = bs.fit("f =~ NA*x1 + x2 + x3 + x4", frame(), engine="native")
    assert not flat.identified
    with pytest.raises(ModelError, match="not identified"):
        replicator(context_of(flat).problem, context_of(flat).solution.theta)


def test_the_curvature_may_be_that_of_an_improper_solution() -> None:
    """A Hessian that is not positive definite at the start is replaced by the information."""
    context = context_of(fitted("cfa"))
    theta = context.solution.theta * 0.6
    prepared = replicator(context.problem, theta)
    found = prepared.fit(context.problem.moments.cov[None])
    se = np.sqrt(np.diag(context.vcov))
    assert (np.abs(found.theta[0] - context.solution.theta) / se).max() < 1e-4


def test_problem_can_be_prepared_from_moments_alone() -> None:
    result = fitted("path_fixed_x")
    context = context_of(result)
    problem = prepare(context.problem.table, context.observed, context.problem.options, None)
    own = replace(problem, moments=make_moments(problem.moments.cov, None))
    theta = solve(own, "native")[0].theta
    np.testing.assert_allclose(theta, context.solution.theta, rtol=1e-9)
