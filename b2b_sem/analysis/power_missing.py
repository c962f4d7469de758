"""Answers that are missing completely at random: how often each pattern of answers is seen."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from b2b_sem.data.em import Block, CaseSums
from b2b_sem.data.incomplete import Incomplete
from b2b_sem.engine.base import Array
from b2b_sem.engine.native.casewise import Casewise
from b2b_sem.errors import DataError, Unsupported, did_you_mean

__all__ = ["Holes", "Patterns", "expected_cases", "holes_by_chance"]

#: Combinations of reasons up to which all of them are listed ...
LISTED = 4096
#: ... of more, this many points are taken at least and at most, powers of 2, until there are enough patterns.
TAKEN, MOST, ENOUGH = 1 << 10, 1 << 16, 512


@dataclass(frozen=True, eq=False)
class Patterns:
    """Patterns of answers.

    Attributes
    ----------
    seen : (G, p) bool array
        True where there is an answer; each pattern has at least one.
    shares : (G,) array
        Of the respondents; what is left to 1 has no answer at all.
    exact : bool
        Whether all patterns are there.
    """

    seen: npt.NDArray[np.bool_]
    shares: Array
    exact: bool = True

    @property
    def answered(self) -> float:
        """Share of the respondents with any answer."""
        return float(self.shares.sum())


@dataclass(frozen=True)
class Holes:
    """Why answers are missing: reasons that are independent of each other and of all answers.

    Attributes
    ----------
    reasons : tuple of tuple of (float, frozenset of str)
        Of each reason, what may be missing because of it and how probable that is; the probabilities sum to 1.
    """

    reasons: tuple[tuple[tuple[float, frozenset[str]], ...], ...] = ()

    def complete(self, names: Iterable[str]) -> float:
        """Return the share of respondents who answer all of these variables."""
        wanted = frozenset(names)
        return math.prod(math.fsum(p for p, gone in reason if not gone & wanted) for reason in self.reasons)

    def touches(self, names: Iterable[str]) -> bool:
        """Whether any of these variables may be missing."""
        wanted = frozenset(names)
        return any(p > 0 and gone & wanted for reason in self.reasons for p, gone in reason)

    def patterns(self, names: Sequence[str]) -> Patterns:
        """Return the patterns of answers to some variables and their shares.

        Where there are more than LISTED combinations of what is missing for each reason, the points of a Sobol
        sequence stand for respondents (doi:10.1016/0041-5553(67)90144-9), and their weights are calibrated so that each
        two variables are answered together exactly as often as they should be (Deville & Sarndal 1992,
        doi:10.1080/01621459.1992.10475217).
        """
        place = {name: k for k, name in enumerate(names)}
        lists: list[tuple[list[float], list[npt.NDArray[np.bool_]]]] = []
        for reason in self.reasons:
            merged: dict[frozenset[str], float] = {}
            for p, gone in reason:
                own = gone & frozenset(place)
                merged[own] = merged.get(own, 0.0) + p
            if set(merged) == {frozenset()}:
                continue
            rows = []
            for gone in merged:
                row = np.ones(len(names), dtype=bool)
                row[[place[name] for name in gone]] = False
                rows.append(row)
            lists.append((list(merged.values()), rows))
        exact = math.prod(len(chances) for chances, _ in lists) <= LISTED
        if exact:
            seen = np.array([_both(rows, len(names)) for rows in product(*(rows for _, rows in lists))])
            shares = np.array([math.prod(chances) for chances in product(*(chances for chances, _ in lists))])
            seen, member = np.unique(seen, axis=0, return_inverse=True)
            shares = np.bincount(member.reshape(-1), shares, minlength=len(seen)).astype(float)
        else:
            seen, shares = _taken([(chances, np.array(rows)) for chances, rows in lists])
            pairs = [self.complete((a, b)) for i, a in enumerate(names) for b in names[: i + 1]]
            shares = _calibrated(seen, shares, np.array(pairs))
        some = seen.any(axis=1) & (shares > 0)
        return Patterns(seen[some], shares[some], exact)


def _taken(lists: Sequence[tuple[list[float], npt.NDArray[np.bool_]]]) -> tuple[npt.NDArray[np.bool_], Array]:
    """Return patterns that points of a Sobol sequence stand for, and their shares."""
    from scipy.stats import qmc

    sampler = qmc.Sobol(len(lists), scramble=False)
    points = sampler.random(TAKEN)
    while True:
        seen = np.ones((len(points), lists[0][1].shape[1]), dtype=bool)
        for k, (chances, rows) in enumerate(lists):
            even = points[:, k] + 0.5 / len(points)
            seen &= rows[np.minimum(np.searchsorted(np.cumsum(chances), even), len(chances) - 1)]
        found, count = np.unique(seen, axis=0, return_counts=True)
        if len(found) > ENOUGH or len(points) >= MOST:
            return found, count / len(points)
        points = np.concatenate([points, sampler.random(len(points))])


def _calibrated(seen: npt.NDArray[np.bool_], shares: Array, together: Array) -> Array:
    """Return shares near the given ones with which variables are answered together as often as asked.

    The given ones where that would need shares below 0.
    """
    values = seen.astype(float)
    i, j = np.tril_indices(seen.shape[1])
    table = np.concatenate([np.ones((len(values), 1)), values[:, i] * values[:, j]], axis=1)
    root = np.sqrt(shares)
    gap = np.concatenate([[1.0], together]) - table.T @ shares
    found: Array = shares + root * np.linalg.lstsq(table.T * root, gap, rcond=1e-10)[0]
    return found if found.min() > 0 else shares


def _both(rows: Iterable[npt.NDArray[np.bool_]], count: int) -> npt.NDArray[np.bool_]:
    out = np.ones(count, dtype=bool)
    for row in rows:
        out = out & row
    return out


def holes_by_chance(rate: float | Mapping[str, float] | None, names: Sequence[str]) -> Holes:
    """Return holes of each variable by itself.

    Parameters
    ----------
    rate : float, mapping of str to float, or None
        Share of missing answers to each variable, or to those named.
    names : sequence of str

    Raises
    ------
    DataError
        For a name that is not known, or a share that is none.
    """
    if rate is None:
        return Holes()
    rates = dict(rate) if isinstance(rate, Mapping) else dict.fromkeys(names, rate)
    for name, value in rates.items():
        if name not in names:
            raise DataError(f"missing_rate: the population has no variable '{name}'.{did_you_mean(str(name), names)}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
            raise DataError(
                f"missing_rate={value!r} for '{name}' is no share of the answers",
                hint="give a number from 0 to below 1",
            )
    return Holes(tuple(((float(v), frozenset({k})), (1.0 - v, frozenset())) for k, v in rates.items() if v > 0))


def expected_cases(names: Sequence[str], mean: Array, cov: Array, patterns: Patterns, count: int) -> Casewise:
    """Return the likelihood of rows with holes that a population expects.

    The rows of a pattern have the population's means and covariances exactly: they are replaced by their mean and a
    triangular factor of their scatter, as rows of frequent patterns always are.

    Parameters
    ----------
    names : sequence of str, length p
    mean, cov : (p,) and (p, p) arrays
    patterns : Patterns
    count : int
        Rows of the population, each with at least one answer.

    Raises
    ------
    Unsupported
        If two variables are never answered together.
    """
    shares = patterns.shares / patterns.answered
    together = patterns.seen.astype(float)
    coverage = (together.T * shares) @ together
    if (coverage <= 0).any():
        i, j = (int(k) for k in np.argwhere(coverage <= 0)[0])
        what = f"{names[i]} is never answered" if i == j else f"{names[i]} and {names[j]} are never answered together"
        raise Unsupported(f"{what}: their covariance cannot be known", hint="ask them of some respondents")
    p, holes = len(mean), (~patterns.seen).sum(axis=1)
    rows: list[Array] = []
    seen: list[Array] = []
    weights: list[Array] = []
    blocks: list[Block] = []
    done = 0
    for m in np.unique(holes):
        at = np.flatnonzero(holes == m)
        first, made = done, []
        for k, g in enumerate(at):
            answered, n = patterns.seen[g], float(shares[g]) * count
            own = np.zeros((1 + p - m, p))
            own[0] = np.where(answered, math.sqrt(n) * mean, 0.0)
            own[1:, answered] = math.sqrt(n) * np.linalg.cholesky(cov[np.ix_(answered, answered)]).T
            weight = np.zeros(len(own))
            weight[0] = math.sqrt(n)
            rows.append(own)
            weights.append(weight)
            seen.append(np.broadcast_to(answered.astype(float), own.shape))
            made.append(np.full(len(own), k, dtype=np.intp))
            done += len(own)
        where = np.nonzero(~patterns.seen[at])[1].reshape(len(at), m)
        blocks.append(Block(where, shares[at] * count, slice(first, done), np.concatenate(made)))
    sums = CaseSums(
        count,
        np.concatenate(rows),
        np.concatenate(seen),
        np.concatenate(weights),
        tuple(blocks),
        round(float((p - holes) @ shares) * count),
    )
    counts = np.maximum(np.rint(shares * count), 1).astype(np.intp)
    listed = np.where(patterns.seen, mean, np.nan)  # a row for each pattern
    incomplete = Incomplete(listed, patterns.seen, np.arange(len(listed), dtype=np.intp), counts)
    return Casewise(incomplete, sums, mean, cov)
