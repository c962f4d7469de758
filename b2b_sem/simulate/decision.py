"""Verdicts on many samples at once: the rules of :mod:`b2b_sem.propositions`, without words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from b2b_sem.measures.multiplicity import adjusted_rows
from b2b_sem.results.verdict import CONTRADICTED, NOT_SUPPORTED, NOT_TESTABLE, SUPPORTED

__all__ = ["VERDICTS", "decide"]

#: What the codes of :func:`decide` stand for.
VERDICTS: tuple[str, ...] = (SUPPORTED, NOT_SUPPORTED, CONTRADICTED, NOT_TESTABLE)


def decide(
    estimate: NDArray[np.float64],
    pvalue: NDArray[np.float64],
    positive: Sequence[bool],
    *,
    alpha: float,
    multiplicity: str,
) -> NDArray[np.int8]:
    """Return the verdicts on P propositions in R samples, as places in ``VERDICTS``.

    Parameters
    ----------
    estimate, pvalue : (R, P) arrays
        Of the coefficient each proposition is about; the p-value is NaN where it cannot be tested. Those of a sample
        are adjusted together.
    positive : sequence of P bool
        Whether a positive coefficient is stated.
    alpha : float
    multiplicity : {"holm", "bonferroni", "bh", "none"}
    """
    adjusted = adjusted_rows(pvalue, multiplicity)
    as_stated = (estimate > 0) == np.array(positive, dtype=bool)
    with np.errstate(invalid="ignore"):
        found = np.where(adjusted < alpha, np.where(as_stated, 0, 2), 1)
    return np.where(np.isnan(adjusted), 3, found).astype(np.int8)
