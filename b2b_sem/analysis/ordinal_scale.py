"""What the quality of scales of ordered items rests on: which items are ordered, the answers, their correlations."""

from __future__ import annotations

import numpy as np
import pandas as pd

from b2b_sem.data.ordinal import ordinal_moments
from b2b_sem.data.table import Table
from b2b_sem.results.fit import FitResult

__all__ = ["answers_of", "ordered_items", "polychorics"]


def ordered_items(fit: FitResult) -> frozenset[str]:
    """Return the items that were fitted as ordered categories: those with thresholds."""
    thresholds = fit.sample().get("th")
    return frozenset() if thresholds is None else frozenset(str(n).rsplit("|", 1)[0] for n in thresholds.index)


def answers_of(fit: FitResult, items: list[str], data: pd.DataFrame | None) -> pd.DataFrame | None:
    """Return the answers as numbers, NaN where there is none: those of `data`, else those the fit was made from.

    None for a result that was read from a file and has no rows.

    Raises
    ------
    DataError
        If `data` lacks an item or holds text.
    """
    if data is not None:
        values = Table.open(data, items).floats()
        return pd.DataFrame(dict(zip(items, values, strict=True)))
    context = getattr(fit, "_context", None)
    if context is None or context.observed.raw is None:
        return None
    rows = pd.DataFrame(context.observed.raw[0], columns=list(context.observed.names))
    return rows[items]


def polychorics(answers: pd.DataFrame, items: list[str], ordered: frozenset[str], fit: FitResult) -> pd.DataFrame:
    """Return polychoric and polyserial correlations, and covariances of numbers, not given any covariates."""
    moments = ordinal_moments(
        answers.to_numpy(dtype=np.float64),
        items,
        [name for name in items if name in ordered],
        missing=str(fit.model.options.get("missing", "listwise")),
    )
    return pd.DataFrame(moments.cov, items, items)
