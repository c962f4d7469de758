"""Adjustment of p-values for the number of tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["METHODS", "adjusted", "adjusted_rows", "false_discovery"]

Array = npt.NDArray[np.floating[Any]]
METHODS = ("holm", "bonferroni", "bh", "none")


def adjusted(pvalues: Sequence[float], method: str) -> list[float]:
    """Return adjusted p-values; NaN stays NaN and does not count.

    Parameters
    ----------
    pvalues : sequence of m float
    method : {"holm", "bonferroni", "bh", "none"}
        Holm (1979), https://www.jstor.org/stable/4615733; Bonferroni; Benjamini and Hochberg (1995); nothing.

    Raises
    ------
    ValueError
        For another method.
    """
    # multipletests of statsmodels gives the same numbers, but collects garbage at every call: a tenth of a second
    values: list[float] = adjusted_rows(np.array([pvalues], dtype=float), method)[0].tolist()
    return values


def adjusted_rows(pvalue: Array, method: str) -> Array:
    """Return adjusted p-values of many families at once; the same numbers as :func:`adjusted` for each row.

    Parameters
    ----------
    pvalue : (R, m) array
        One family a row; NaN stays NaN and does not count.
    method : {"holm", "bonferroni", "bh", "none"}

    Raises
    ------
    ValueError
        For another method.
    """
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}")
    known = ~np.isnan(pvalue)
    count = known.sum(axis=1, keepdims=True)
    if method == "none" or not pvalue.shape[1]:
        return np.array(pvalue, dtype=float)
    if method == "bonferroni":
        return np.asarray(np.minimum(pvalue * count, 1.0))
    # NaN sorts to the end: beyond the first `count` places nothing is used
    order = np.argsort(pvalue, axis=1, kind="stable")
    ascending = np.take_along_axis(pvalue, order, axis=1)
    rank = np.arange(pvalue.shape[1])
    if method == "holm":
        steps = np.maximum.accumulate(np.where(rank < count, ascending * (count - rank), -np.inf), axis=1)
    else:
        raised = np.where(rank < count, ascending * count / (rank + 1.0), np.inf)
        steps = np.minimum.accumulate(raised[:, ::-1], axis=1)[:, ::-1]
    out = np.empty_like(ascending)
    np.put_along_axis(out, order, np.minimum(steps, 1.0), axis=1)
    return np.where(known, out, np.nan)


def false_discovery(pvalue: Array) -> Array:
    """Return Benjamini-Hochberg adjusted p-values; NaN stays NaN and does not count.

    p_(i) becomes min over j >= i of min(1, p_(j) m / j) (Benjamini & Hochberg 1995,
    doi:10.1111/j.2517-6161.1995.tb02031.x).

    Parameters
    ----------
    pvalue : (m,) array
    """
    out = np.full(len(pvalue), np.nan)
    at = np.flatnonzero(~np.isnan(pvalue))
    order = at[np.argsort(pvalue[at])[::-1]]
    ranks = np.arange(len(order), 0, -1)
    out[order] = np.minimum(1.0, np.minimum.accumulate(pvalue[order] * len(order) / np.maximum(ranks, 1)))
    return out
