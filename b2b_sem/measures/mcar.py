"""Are answers missing completely at random? Little's test, and who differs from whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

from b2b_sem.measures.fit import chisq_pvalue

__all__ = ["Differences", "LittleTest", "compare_by_answer", "little_test"]

Array = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.integer[Any]]
BoolArray = npt.NDArray[np.bool_]

#: Numbers held at a time while covariance matrices of patterns are inverted (32 MB).
CHUNK = 4_194_304


@dataclass(frozen=True)
class LittleTest:
    """Little's test of data missing completely at random.

    Attributes
    ----------
    chisq, pvalue : float
        NaN without degrees of freedom.
    df : int
    patterns : int
        Patterns of holes compared, that of complete rows included.
    """

    chisq: float
    df: int
    pvalue: float
    patterns: int


def little_test(
    rows: Array, patterns: BoolArray, member: IntArray, counts: IntArray, mean: Array, cov: Array
) -> LittleTest:
    """Compare the mean of each pattern of holes with the mean of all.

    d2 = sum_g n_g (ybar_g - mu_g)' Sigma_gg^-1 (ybar_g - mu_g) is chi-square distributed with sum_g p_g - p degrees of
    freedom if answers are missing completely at random (Little 1988, doi:10.1080/01621459.1988.10478722), with mu and
    Sigma the maximum likelihood estimates from all rows (EM; divisor n). Moments of pairs of variables in their place
    reject too often.

    Parameters
    ----------
    rows : (N, p) array
        NaN where there is no answer.
    patterns : (G, p) bool array
        True where answered; at least one True in each.
    member : (N,) int array
        Pattern of each row.
    counts : (G,) int array
        Rows of each pattern.
    mean, cov : (p,) and (p, p) arrays
        Maximum likelihood estimates under normality.

    Raises
    ------
    LinAlgError
        If `cov` is singular.
    """
    g, p = patterns.shape
    df = int(patterns.sum()) - p
    if df <= 0:
        return LittleTest(float("nan"), max(df, 0), float("nan"), g)
    order = np.argsort(member, kind="stable")
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    deviations = np.nan_to_num(rows - mean, nan=0.0)[order]
    means = np.add.reduceat(deviations, starts, axis=0) / counts[:, None]
    sizes = patterns.sum(axis=1)
    total = 0.0
    for size in np.unique(sizes).tolist():
        own = np.flatnonzero(sizes == size)
        step = max(1, CHUNK // (size * size))
        for first in range(0, len(own), step):
            part = own[first : first + step]
            at = np.nonzero(patterns[part])[1].reshape(len(part), size)
            d = np.take_along_axis(means[part], at, axis=1)
            solved = np.linalg.solve(cov[at[:, :, None], at[:, None, :]], d[:, :, None])[:, :, 0]
            total += float(counts[part] @ (d * solved).sum(axis=1))
    return LittleTest(total, df, chisq_pvalue(total, df), g)


@dataclass(frozen=True)
class Differences:
    """Variables compared between those who left an item out and those who answered it; arrays of shape (p, v).

    Attributes
    ----------
    n_missing, n_answered : int arrays
        Respondents with a value of the variable.
    mean_missing, mean_answered : arrays
    d : array
        Standardized difference.
    t, df, pvalue : arrays
        Welch's test; NaN where a group has fewer than two values or nothing varies.
    """

    n_missing: IntArray
    n_answered: IntArray
    mean_missing: Array
    mean_answered: Array
    d: Array
    t: Array
    df: Array
    pvalue: Array


def compare_by_answer(holes: BoolArray, values: Array) -> Differences:
    """Compare the mean of each variable between rows with a hole in an item and rows without.

    t = (m1 - m0) / sqrt(s1^2/n1 + s0^2/n0) with the degrees of freedom of Welch (1947, doi:10.1093/biomet/34.1-2.28);
    d = (m1 - m0) / s with s^2 the variance pooled over both groups (Cohen 1988, doi:10.4324/9780203771587).

    Parameters
    ----------
    holes : (N, p) bool array
        True where an item was left out.
    values : (N, v) array
        The variables to compare, NaN where there is no value.
    """
    seen = (~np.isnan(values)).astype(float)
    n = seen.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        centre = np.where(n > 0, np.nansum(values, axis=0) / n, 0.0)
        # deviations in units of their own size: squares neither cancel nor overflow
        unit = np.nan_to_num(np.nanmax(np.abs(np.where(seen > 0, values - centre, 0.0)), axis=0, initial=0.0))
        unit = np.where(unit > 0, unit, 1.0)
        x = np.nan_to_num((values - centre) / unit, nan=0.0)
        out = holes.astype(float)
        n1 = out.T @ seen
        n0 = n - n1
        sum1, square1 = out.T @ x, out.T @ (x * x)
        sum0, square0 = x.sum(axis=0) - sum1, (x * x).sum(axis=0) - square1
        m1, m0 = sum1 / n1, sum0 / n0
        v1, v0 = (square1 - n1 * m1**2) / (n1 - 1), (square0 - n0 * m0**2) / (n0 - 1)
        v1, v0 = (np.where(v > 1e-13, v, 0.0) for v in (v1, v0))  # rounding of something that does not vary
        spread = v1 / n1 + v0 / n0
        usable = (n1 > 1) & (n0 > 1) & (spread > 0)
        t = np.where(usable, (m1 - m0) / np.sqrt(spread), np.nan)
        df = np.where(usable, spread**2 / ((v1 / n1) ** 2 / (n1 - 1) + (v0 / n0) ** 2 / (n0 - 1)), np.nan)
        pooled = ((n1 - 1) * v1 + (n0 - 1) * v0) / (n1 + n0 - 2)
        d = np.where(usable, (m1 - m0) / np.sqrt(pooled), np.nan)
        pvalue = 2.0 * special.stdtr(df, -np.abs(t))
    return Differences(n1.astype(np.intp), n0.astype(np.intp), centre + unit * m1, centre + unit * m0, d, t, df, pvalue)
