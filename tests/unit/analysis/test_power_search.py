"""The search for a power: it ends where the power is, with an interval that holds it as often as it says."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.optimize import brentq

import b2b_sem as bs
from b2b_sem.analysis.power_search import AT_MOST, MORE, Found, Goal, Look, Pool, search
from b2b_sem.measures.power import wald_power

EFFECTS = (0.1, 0.2, 0.35)


def rows_of(effect: float, power: float = 0.8) -> float:
    return float(brentq(lambda n: float(wald_power(effect, 1 / math.sqrt(n))) - power, 2, 1e6))


def looker(effects: tuple[float, ...], seed: int, size: int = 250) -> Look:
    """Return samples of z tests of effects, in units of the standard deviation, at numbers of rows."""
    rng = np.random.default_rng(seed)

    def look(rows: float, visit: int) -> tuple[np.ndarray, np.ndarray]:
        p = np.array([float(wald_power(e, 1 / math.sqrt(rows))) for e in effects])
        return rng.binomial(size, p).astype(float), np.full(len(effects), float(size))

    return look


def run(look: Look, tests: int = 3, **more: float) -> tuple[Pool, tuple[Found, ...]]:
    goal = Goal(**{k: more.pop(k) for k in list(more) if k in ("power", "precision", "level", "samples")})  # type: ignore[arg-type]
    settings: dict = {"start": 300, "smallest": 10, "largest": 100_000, "batch": 250} | more
    return search(look, tests, goal, **settings)


def test_intervals_hold_the_answer_as_often_as_they_say() -> None:
    true, inside, ratio = rows_of(0.2), 0, []
    for seed in range(120):
        _, (found,) = run(looker((0.2,), seed), 1)
        assert found.precise
        assert found.width <= 0.05
        inside += found.lower <= true <= found.upper
        ratio.append(found.at / true)
    # 95 % of 120: four Monte Carlo standard errors are .08
    assert inside / 120 > 0.87
    assert np.mean(ratio) == pytest.approx(1.0, abs=0.01)


def test_several_tests_are_found_by_the_same_samples() -> None:
    pool, found = run(looker(EFFECTS, 8))
    for one, effect in zip(found, EFFECTS, strict=True):
        assert one.precise
        assert one.at == pytest.approx(rows_of(effect), rel=0.075)  # one and a half half widths
    assert pool.spent == 250 * sum(pool.visits.values())


@pytest.mark.parametrize("start", [20, 5000])
def test_it_ends_at_the_same_place_from_everywhere(start: int) -> None:
    _, (found,) = run(looker((0.2,), 3), 1, start=start, precision=0.03)
    assert found.at == pytest.approx(rows_of(0.2), rel=0.06)


def test_effects_are_searched_on_their_own_scale() -> None:
    rng = np.random.default_rng(5)

    def look(effect: float, visit: int) -> tuple[np.ndarray, np.ndarray]:
        return np.array([rng.binomial(250, float(wald_power(effect, 1 / math.sqrt(200.0))))], float), np.array([250.0])

    _, (found,) = search(look, 1, Goal(), start=0.9, smallest=1e-3, largest=1.0, batch=250, exponent=1.0, whole=False)
    true = (1.959964 + 0.841621) / math.sqrt(200.0)
    assert found.precise
    assert found.at == pytest.approx(true, rel=0.075)  # one and a half half widths


def test_ends_of_the_allowed_sizes_are_said() -> None:
    pool, (never, always, between) = run(looker((0.0, 1.5, 0.2), 1), largest=2000)
    assert (never.bound, never.at, never.precise) == (MORE, 2000, True)
    assert math.isinf(never.upper)
    assert (always.bound, always.at) == (AT_MOST, 10)
    assert (between.bound, between.precise) == ("", True)
    assert min(pool.visits) == 10
    assert max(pool.visits) == 2000


def test_a_search_that_runs_out_of_samples_says_so() -> None:
    pool, (found,) = run(looker((0.2,), 1), 1, precision=0.001, samples=2000)
    assert pool.spent == 2000
    assert not found.precise
    assert found.lower < found.at < found.upper


def test_samples_that_cannot_be_used_do_not_count_as_found() -> None:
    def look(rows: float, visit: int) -> tuple[np.ndarray, np.ndarray]:
        hits, trials = inner(rows, visit)
        return (hits, trials) if rows >= 150 else (np.zeros(1), np.zeros(1))

    inner = looker((0.35,), 2)  # enough by 65 rows, if there were solutions
    _, (found,) = run(look, 1, smallest=20)
    assert found.at > 100


def test_visits_to_a_size_are_numbered() -> None:
    seen: dict[float, list[int]] = {}

    def look(rows: float, visit: int) -> tuple[np.ndarray, np.ndarray]:
        seen.setdefault(rows, []).append(visit)
        assert rows == round(rows)
        return inner(rows, visit)

    inner = looker((0.2,), 4)
    run(look, 1, precision=0.02)
    assert all(visits == list(range(len(visits))) for visits in seen.values())
    assert max(len(v) for v in seen.values()) > 1


@pytest.mark.parametrize("change", [{"power": 1.0}, {"precision": 0.0}, {"level": 2.0}, {"samples": 0}])
def test_numbers_out_of_range(change: dict[str, float]) -> None:
    make: Callable[..., Goal] = Goal
    with pytest.raises(bs.DataError):
        make(**change)
