"""Power from samples: shares of rejections over numbers of rows, and the rows that a power needs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special

from b2b_sem.analysis.montecarlo import MonteCarlo, Population, monte_carlo
from b2b_sem.errors import DataError, ModelError, did_you_mean
from b2b_sem.measures.power import binomial_band, probit_rows
from b2b_sem.results.power_sample import RowSearch, SampledPower

__all__ = ["find_rows", "sampled_power"]

CHI_SQUARE = "chi-square"
#: Shares at numbers of rows within this factor of the current answer are used for the next one.
NEAR = 2.0
#: Most rows that are tried.
MOST = 1_000_000


def sampled_power(
    truth: Population,
    model: str,
    *,
    rows: Sequence[int],
    tests: Sequence[str] = (),
    n: int = 1000,
    seed: int,
    alpha: float = 0.05,
    level: float = 0.95,
    jobs: int = 1,
    **options: Any,
) -> SampledPower:
    """Return how many of `n` normal samples reject, at each number of rows.

    Parameters
    ----------
    truth : Population
    model : str
    rows : sequence of int
    tests : sequence of str
        Names of parameters (``"M~F"``), paths of indirect effects (``"F -> M -> Y"``: the joint significance test) or
        ``"chi-square"``. Default: every regression coefficient, and chi-square.
    n, seed, jobs : int
        Samples at each number of rows; each has a random stream of its own, which `jobs` and the other numbers of rows
        do not change.
    alpha, level : float
        Error rate of each test; of the binomial bands.
    **options
        Of :func:`~b2b_sem.analysis.montecarlo.monte_carlo`.

    Raises
    ------
    DataError
        For an unknown test or numbers out of range.
    ModelError
        If the model cannot be fitted to the population itself.
    """
    if not rows or not 0 < alpha < 1:
        raise DataError(f"rows={list(rows)!r}, alpha={alpha!r}", hint="give numbers of rows, and alpha between 0 and 1")
    out = []
    for size in rows:
        drawn = _draw(truth, model, int(size), n, seed, 0, jobs, options)
        wanted = tuple(tests) or _default_tests(drawn)
        for test in wanted:
            rejected = rejections(drawn, test, alpha)
            hits, used = int(rejected.sum()), len(rejected)
            low, high = binomial_band(hits, used, level)
            share = hits / used if used else math.nan
            mcse = math.sqrt(share * (1 - share) / used) if used else math.nan
            out.append((test, int(size), share, mcse, float(low), float(high), used, n - used))
    columns = ["test", "nobs", "power", "mcse", "lower", "upper", "used", "failed"]
    return SampledPower(alpha, level, n, seed, pd.DataFrame(out, columns=columns))


def find_rows(
    truth: Population,
    model: str,
    test: str,
    *,
    start: int,
    power: float = 0.80,
    alpha: float = 0.05,
    precision: float = 0.05,
    level: float = 0.95,
    n: int = 500,
    most: int = 40,
    seed: int,
    jobs: int = 1,
    progress: Callable[[int, float], None] | None = None,
    **options: Any,
) -> RowSearch:
    """Search the smallest number of rows at which a test has the asked power.

    Numbers of rows are doubled or halved from `start` until shares of rejections lie on both sides of `power`. Then a
    curve ``Phi(a + b sqrt(rows))`` through the shares of all samples drawn near the answer so far tells where to draw
    next, until its confidence interval for the number of rows is narrow enough.

    Parameters
    ----------
    truth, model, test, alpha, seed, jobs, **options
        As in :func:`sampled_power`.
    start : int
        First number of rows, such as that of theory.
    power : float
    precision : float
        Half width of the confidence interval at which the search ends, relative to the number of rows.
    level : float
        Of that interval.
    n, most : int
        Samples in a batch; batches after which the search ends, with the interval it has.
    progress : callable, optional
        Called with the rows and the share of each batch.

    Raises
    ------
    DataError
        For numbers out of range, an unknown test, or if no number of rows has the power.
    ModelError
        If no sample can be used.
    """
    if not alpha < power < 1 or not 0 < precision < 1 or n < 2 or most < 3:
        raise DataError(
            f"power={power!r}, precision={precision!r}, n={n!r}, most={most!r}",
            hint="give power above alpha and below 1, precision such as 0.05, samples and at least 3 batches",
        )
    smallest = len(truth.names) + 1
    visits: dict[int, int] = {}
    batches: list[tuple[int, int, int]] = []

    def look(size: int) -> float:
        size = max(size, smallest)
        if size > MOST:
            raise DataError(f"'{test}' has less power than {power:g} at {MOST:,} rows", hint="is there an effect?")
        drawn = _draw(truth, model, size, n, seed, visits.get(size, 0), jobs, options)
        visits[size] = visits.get(size, 0) + 1
        rejected = rejections(drawn, test, alpha)
        if not len(rejected):
            raise ModelError(f"no sample of {size} rows has a solution", hint="start from more rows")
        batches.append((size, int(rejected.sum()), len(rejected)))
        share = float(rejected.mean())
        if progress is not None:
            progress(size, share)
        return share

    # tiny samples seldom have a solution, and looking for one takes long: go down to them only if need be
    size = max(int(start), 5 * len(truth.names))
    first = look(size)
    up = first < power
    while len(batches) < most:
        before, size = size, (2 * size if up else max(size // 2, smallest))
        share = look(size)
        if (share < power) != up or (not up and size == before):
            break
    estimate, se = _estimate(batches, math.sqrt(size * before), power)
    z = float(special.ndtri(0.5 + level / 2.0))
    while len(batches) < most and not (math.isfinite(estimate) and z * se <= precision * estimate):
        # beside the answer on both sides in turn: a curve needs width to have a slope
        about = estimate if math.isfinite(estimate) else math.sqrt(size * before)
        look(round(about * (0.85, 1.0, 1.18)[len(batches) % 3]))
        estimate, se = _estimate(batches, about, power)
    table = pd.DataFrame(batches, columns=["nobs", "rejected", "used"])
    table = table.groupby("nobs", as_index=False).sum()
    table["power"] = table["rejected"] / table["used"]
    table["lower"], table["upper"] = binomial_band(table["rejected"], table["used"], level)
    done = math.isfinite(estimate) and z * se <= precision * estimate
    rows = math.ceil(estimate) if math.isfinite(estimate) else 0
    return RowSearch(test, power, alpha, level, seed, rows, estimate - z * se, estimate + z * se, bool(done), table)


def _estimate(batches: Sequence[tuple[int, int, int]], about: float, power: float) -> tuple[float, float]:
    near = [b for b in batches if about / NEAR <= b[0] <= about * NEAR]
    if len(near) < 2:
        near = list(batches)
    rows, hits, trials = zip(*near, strict=True)
    return probit_rows(rows, hits, trials, power)


def _draw(
    truth: Population, model: str, size: int, n: int, seed: int, visit: int, jobs: int, options: dict[str, Any]
) -> MonteCarlo:
    # a seed of its own for each number of rows and visit: shares at different rows are independent
    words = np.random.SeedSequence(seed, spawn_key=(size, visit)).generate_state(2, np.uint32)
    own = int(words[0]) << 32 | int(words[1])
    return monte_carlo(truth, model, nobs=size, n=n, seed=own, jobs=jobs, **options)


def _default_tests(drawn: MonteCarlo) -> tuple[str, ...]:
    paths = tuple("".join(key) for key in drawn.names if key[1] == "~")
    return (*paths, CHI_SQUARE) if drawn.df else paths


def rejections(drawn: MonteCarlo, test: str, alpha: float) -> npt.NDArray[np.bool_]:
    """Return whether each sample that can be used rejects.

    Raises
    ------
    DataError
        If there is no such test.
    """
    if test == CHI_SQUARE:
        if not drawn.df:
            raise DataError("a model without degrees of freedom has no chi-square test", hint="test a parameter")
        return np.asarray(drawn.pvalue[drawn.converged] < alpha)
    known = {"".join(key): k for k, key in enumerate(drawn.names)}
    steps = [s.strip() for s in test.split("->")]
    parts = [f"{b}~{a}" for a, b in pairwise(steps)] if len(steps) > 1 else [test.replace(" ", "")]
    unknown = next((p for p in parts if p not in known), None)
    if unknown is not None:
        raise DataError(
            f"the model has no free parameter '{unknown}'.{did_you_mean(unknown, known)}",
            hint="name a parameter ('Y~X'), an indirect effect ('X -> M -> Y') or 'chi-square'",
        )
    at = [known[p] for p in parts]
    usable = drawn.converged & np.isfinite(drawn.se[:, at]).all(axis=1)
    z = np.abs(drawn.theta[usable][:, at] / drawn.se[usable][:, at])
    return np.asarray((z > float(special.ndtri(1 - alpha / 2))).all(axis=1))
