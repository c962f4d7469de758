"""Polychoric and polyserial correlations of a table, without a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from b2b_sem.data.answer import Answers, read_answers
from b2b_sem.data.ordinal import OrdinalMoments, ordinal_moments
from b2b_sem.engine.threads import single_thread
from b2b_sem.errors import DataError
from b2b_sem.results.polychoric import PolychoricResult

if TYPE_CHECKING:
    from b2b_sem.data.read import Responses

__all__ = ["polychoric"]

#: Quantile of the normal distribution for intervals of 95 %.
_Z = 1.959963984540054


def polychoric(
    data: pd.DataFrame | Mapping[str, ArrayLike] | Responses,
    items: Sequence[str] | None = None,
    ordered: Sequence[str] | bool | None = None,
    *,
    missing: str = "listwise",
    merge_below: int | None = None,
) -> PolychoricResult:
    """Return the correlations of the continuous responses that ordered answers stand for.

    Parameters
    ----------
    data : DataFrame, mapping of str to array, or Responses
        One column an item. Answers are numbers (any, in their order) or ordered categories.
    items : sequence of str, optional
        Columns to use; all of them by default.
    ordered : sequence of str, optional
        Which items are ordered; the others are numeric. All of them by default (or with True).
    missing : {"listwise", "pairwise"}
        Complete rows only, or for every pair all rows that have both answers.
    merge_below : int, optional
        Merge every category with fewer answers with a neighbour; the notes say which. Nothing is merged by default.

    Returns
    -------
    PolychoricResult
        Polychoric correlations between ordered items, polyserial ones between an ordered item and a numeric variable,
        product-moment ones between numeric variables, each with its standard error.

    Raises
    ------
    DataError
        Columns that are not there or hold text, items with one answer only or with the same answers as another one,
        pairs never answered together; each named.

    Notes
    -----
    Two steps: thresholds from the proportions of each item, then the correlation of each pair by maximum likelihood.
    Olsson (1979), doi:10.1007/BF02296207; Olsson, Drasgow & Dorans (1982), doi:10.1007/BF02294164. Standard errors
    account for both steps: Muthen (1984), doi:10.1007/BF02294210.

    Examples
    --------
    >>> import b2b_sem as bs
    >>> answers = {"a": [1, 2, 2, 3, 3, 1, 2, 3], "b": [1, 1, 2, 3, 2, 1, 3, 3]}
    >>> print(bs.polychoric(answers).correlations.round(3))
           a      b
    a  1.000  0.867
    b  0.867  1.000
    """
    names = _names(data, items)
    chosen = names if ordered is None or ordered is True else [] if ordered is False else [str(o) for o in ordered]
    answers = read_answers(data, names, chosen)
    if merge_below is not None:
        answers = answers.merged(chosen, merge_below)
    with single_thread():
        moments = ordinal_moments(answers.values, names, chosen, missing=missing)
        return _result(moments, answers, missing)


def _names(data: Any, items: Sequence[str] | None) -> list[str]:
    frame = getattr(data, "frame", data)
    source = items if items is not None else (frame.columns if hasattr(frame, "columns") else frame)
    if isinstance(source, str):
        raise DataError(f"items must be a list of names, not the text '{source}'", hint=f"Write ['{source}', ...].")
    names = [str(name) for name in source]
    if len(names) < 2:
        raise DataError("a correlation needs two items", hint="Name at least two columns.")
    return names


def _result(moments: OrdinalMoments, answers: Answers, missing: str) -> PolychoricResult:
    sd = np.sqrt(np.diag(moments.cov))
    correlations = moments.cov / np.outer(sd, sd)
    place = {label: k for k, label in enumerate(moments.labels)}
    empty = {(a, b): count for a, b, count in moments.empty_cells}
    rows = []
    for i, a in enumerate(moments.names):
        for j in range(i + 1, len(moments.names)):
            b = moments.names[j]
            both = (moments.ordered[i], moments.ordered[j])
            kind = "polychoric" if all(both) else "polyserial" if any(both) else "pearson"
            est = float(correlations[i, j])
            se = _error(moments, place, (i, j), est, sd)
            spread = _Z * se / (1.0 - est * est) if abs(est) < 1.0 else np.nan
            low, high = np.tanh(np.arctanh(est) - spread), np.tanh(np.arctanh(est) + spread)
            cells = empty.get((a, b), 0) if all(both) else np.nan
            rows.append((a, b, kind, est, se, low, high, int(moments.coverage[i, j]), cells))
    columns = ["lhs", "rhs", "kind", "est", "se", "ci_lower", "ci_upper", "nobs", "empty_cells"]
    return PolychoricResult(
        correlations=pd.DataFrame(correlations, index=list(moments.names), columns=list(moments.names)),
        thresholds=_thresholds(moments, answers, place),
        table=pd.DataFrame(rows, columns=columns),
        nobs=moments.nobs,
        missing=missing,
        notes=(*answers.notes, *moments.notes),
        warnings=moments.warnings,
    )


def _error(
    moments: OrdinalMoments, place: Mapping[str, int], pair: tuple[int, int], est: float, sd: np.ndarray
) -> float:
    """Return the standard error of a correlation: that of the covariance, less what the variances contribute."""
    i, j = pair
    names = moments.names
    influence = moments.influence[:, place[f"{names[i]}~~{names[j]}"]] / (sd[i] * sd[j])
    for k in pair:
        if not moments.ordered[k]:
            variance = moments.influence[:, place[f"{names[k]}~~{names[k]}"]]
            influence = influence - est / (2.0 * sd[k] ** 2) * variance
    return float(np.sqrt(influence @ influence) / moments.nobs)


def _thresholds(moments: OrdinalMoments, answers: Answers, place: Mapping[str, int]) -> pd.DataFrame:
    error = np.sqrt(moments.gamma_diagonal / moments.nobs)
    rows = []
    for name, levels, thresholds in zip(moments.names, moments.levels, moments.thresholds, strict=True):
        if levels is None or thresholds is None:
            continue
        texts = answers.texts.get(name)
        words = [texts[int(v) - 1] if texts else v for v in levels]
        for k, value in enumerate(thresholds.tolist()):
            rows.append((name, k + 1, words[k], words[k + 1], value, error[place[f"{name}|t{k + 1}"]]))
    return pd.DataFrame(rows, columns=["item", "threshold", "below", "above", "est", "se"])
