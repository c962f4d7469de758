"""Adjustment of p-values for the number of tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["false_discovery"]

Array = npt.NDArray[np.floating[Any]]


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
