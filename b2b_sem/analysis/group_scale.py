"""Several groups, one at a time: what the fit and the answers say of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pandas as pd

from b2b_sem.analysis.fitted import Fit, part_context
from b2b_sem.data.group import group_labels
from b2b_sem.errors import DataError, did_you_mean
from b2b_sem.results.fit import FitResult

__all__ = ["each_group", "group_result"]


def each_group(fit: FitResult, data: pd.DataFrame | None) -> Iterator[tuple[str, FitResult, pd.DataFrame | None]]:
    """Yield label, numbers and rows of `data` of each group of a fit.

    Raises
    ------
    DataError
        If `data` lacks the group column, or a group has no rows in it.
    """
    if data is None:
        for label in fit.groups:
            yield label, group_result(fit, label), None
        return
    column = fit.model.options.get("group")
    if column is None:
        raise DataError("the fit does not say which column tells its groups apart", hint="leave the data out")
    if column not in data.columns:
        raise DataError(
            f"the data have no column '{column}', which tells the groups apart."
            f"{did_you_mean(str(column), map(str, data.columns))}"
        )
    labels, codes = group_labels(data[column])
    for label in fit.groups:
        if label not in labels:
            raise DataError(f"the data have no rows of group {label}", hint=f"'{column}' has {', '.join(labels)}")
        yield label, group_result(fit, label), data[codes == labels.index(label)]


def group_result(fit: FitResult, label: str) -> FitResult:
    """Return the numbers of one group as a result of their own.

    They are those of the joint fit, and whether they may be interpreted is said of all groups together.
    """
    assert fit._groups is not None
    part, number = fit._groups[label], fit.groups.index(label) + 1

    def own(table: pd.DataFrame) -> pd.DataFrame:
        rows = table[(table["group"] == number) & (table["op"] != ":=")].reset_index(drop=True)
        return rows.assign(group=1)

    changes: dict[str, Any] = {
        "nobs": part.nobs,
        "_parameters": own(fit.parameters),
        "_standardized": own(fit.standardized()),
        "_r2": MappingProxyType(dict(part.r2)),
        "_sample_cov": part.sample_cov,
        "_implied_cov": part.implied_cov,
        "_latent_cov": part.latent_cov,
        "_sample_mean": part.sample_mean,
        "_implied_mean": part.implied_mean,
        "_sample_th": part.sample_th,
        "_implied_th": part.implied_th,
        "_sample_slopes": part.sample_slopes,
        "_implied_slopes": part.implied_slopes,
        "_groups": None,
    }
    if isinstance(fit, Fit) and fit._context is not None:
        changes["_context"] = part_context(fit, label)
    return replace(fit, **changes)
