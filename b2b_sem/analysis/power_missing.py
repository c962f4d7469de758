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

#: Patterns up to which all of them are listed; of more, this many are drawn, evenly over each reason.
LISTED = 1024


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

        Where there are more than LISTED combinations of what is missing for each reason, that many respondents are
        drawn with a fixed seed, each reason evenly (a Latin hypercube: McKay, Beckman & Conover 1979,
        doi:10.2307/1268522), so that every rate is right to half a respondent.
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
        exact = math.prod(len(p) for p, _ in lists) <= LISTED
        if exact:
            seen = np.array([_both(rows, len(names)) for rows in product(*(rows for _, rows in lists))])
            shares = np.array([math.prod(p) for p in product(*(p for p, _ in lists))])
        else:
            rng = np.random.default_rng(1979)
            seen = np.ones((LISTED, len(names)), dtype=bool)
            for p, rows in lists:
                even = (rng.permutation(LISTED) + 0.5) / LISTED
                at = np.minimum(np.searchsorted(np.cumsum(p), even), len(p) - 1)
                seen &= np.array(rows)[at]
            shares = np.full(LISTED, 1.0 / LISTED)
        seen, member = np.unique(seen, axis=0, return_inverse=True)
        shares = np.bincount(member.reshape(-1), shares, minlength=len(seen))
        some = seen.any(axis=1) & (shares > 0)
        return Patterns(seen[some], shares[some], exact)


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
                f"missing_rate={value!r} for '{name}' is no share of the answers", hint="give a number from 0 to below 1"
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
