"""How the answers to one item are distributed: moments and counts, numbers in, numbers out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["SPARSE", "Moments", "count_answers", "describe_moments"]

#: Fewer answers than this make a category sparse: its threshold rests on a handful of people.
SPARSE = 5

_NAN = float("nan")


class Moments(NamedTuple):
    """Mean, standard deviation (divisor n - 1), range, skewness and excess kurtosis (divisor n)."""

    mean: float
    sd: float
    minimum: float
    maximum: float
    skew: float
    kurtosis: float


def describe_moments(values: ArrayLike) -> Moments:
    """Return the moments of one item.

    Skewness is m3 / m2^1.5 and excess kurtosis m4 / m2^2 - 3, with m_k the central moments with divisor n.

    Parameters
    ----------
    values : array_like, shape (n,)
        Without missing values.

    Returns
    -------
    Moments
        NaN where a moment is not defined: without answers, or without spread.
    """
    x = np.asarray(values, dtype=np.float64)
    if not len(x):
        return Moments(*(_NAN,) * 6)
    centred = x - x.mean()
    m2 = float((centred**2).mean())
    sd = float(x.std(ddof=1)) if len(x) > 1 else _NAN
    # a column of equal values leaves rounding behind, not a distribution
    spread = m2 > 0 and float(x.max()) > float(x.min())
    skew = float((centred**3).mean()) / m2**1.5 if spread else _NAN
    kurtosis = float((centred**4).mean()) / m2**2 - 3 if spread else _NAN
    return Moments(float(x.mean()), sd, float(x.min()), float(x.max()), skew, kurtosis)


def count_answers(
    values: ArrayLike, low: float | None = None, high: float | None = None, *, most: int | None = None
) -> tuple[NDArray[np.float64], NDArray[np.int64]] | None:
    """Return the possible answers to an item in order, and how often each was given.

    Parameters
    ----------
    values : array_like, shape (n,)
        Answers; missing ones are left out.
    low, high : float, optional
        Lowest and highest answer of the response format: every whole number between them is an answer, also one that
        nobody gave. Without them, whole numbers between the smallest and the largest answer seen.
    most : int, optional
        More answers than this are no response scale: None is returned.

    Returns
    -------
    answers : ndarray, shape (k,)
    counts : ndarray of int, shape (k,)
        Zeros for answers that nobody gave.
    """
    x = np.asarray(values, dtype=np.float64)
    seen, times = np.unique(x[np.isfinite(x)], return_counts=True)
    bounds = [v for v in (low, high) if v is not None]
    if most is not None and (len(seen) > most or (len(bounds) == 2 and bounds[1] - bounds[0] >= most)):
        return None
    ends = [*(seen[[0, -1]].tolist() if len(seen) else []), *bounds]
    answers = seen
    # answers such as 1.5 have no neighbours that could be missing
    if ends and not np.mod([*seen, *bounds], 1).any() and (most is None or max(ends) - min(ends) < most):
        answers = np.arange(min(ends), max(ends) + 1)
    counts = np.zeros(len(answers), dtype=np.int64)
    counts[np.searchsorted(answers, seen)] = times
    return answers, counts
