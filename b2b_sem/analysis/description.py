"""Who answered and how: distributions of the items and counts of the background variables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from b2b_sem.data.numeric import as_floats
from b2b_sem.spec.survey import SurveySpec

__all__ = ["describe_background", "describe_items"]

ITEM_COLUMNS = (
    "name",
    "scale",
    "text",
    "reverse",
    "n",
    "missing",
    "mean",
    "sd",
    "min",
    "max",
    "skew",
    "kurtosis",
)


def describe_items(
    frame: pd.DataFrame, items: Iterable[str], survey: SurveySpec | None, scale_of: dict[str, str]
) -> pd.DataFrame:
    """Return one row an item: its text, and the distribution of the scored answers.

    A background fact that the model uses as an item is shown with its question, or with its label if it has none.

    Skew and excess kurtosis are moment ratios with divisor n, m3 / m2^1.5 and m4 / m2^2 - 3; sd has divisor n - 1.

    Parameters
    ----------
    frame : DataFrame
        Scored answers.
    items : iterable of str
    survey : SurveySpec or None
    scale_of : dict
        Construct of each item, for items the survey does not know.
    """
    known = set(survey.items(active_only=False)) if survey is not None else set()
    rows = []
    for name in items:
        spec = survey.item(name) if survey is not None and name in known else None
        values = as_floats(frame[name])[0]
        present = values[np.isfinite(values)]
        rows.append(
            (
                name,
                survey.scale_of(name) if survey is not None and spec is not None else scale_of.get(name, ""),
                spec.text if spec is not None else _question(name, survey),
                bool(spec.reverse) if spec is not None else False,
                len(present),
                len(values) - len(present),
                *_moments(present),
            )
        )
    return pd.DataFrame(rows, columns=list(ITEM_COLUMNS))


def _question(name: str, survey: SurveySpec | None) -> str:
    fact = survey.facts.get(name) if survey is not None else None
    return "" if fact is None else fact.question or fact.label


def _moments(values: Any) -> tuple[float, ...]:
    if not len(values):
        return (float("nan"),) * 6
    centred = values - values.mean()
    m2 = float((centred**2).mean())
    sd = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
    skew = float((centred**3).mean()) / m2**1.5 if m2 > 0 else float("nan")
    kurtosis = float((centred**4).mean()) / m2**2 - 3 if m2 > 0 else float("nan")
    return float(values.mean()), sd, float(values.min()), float(values.max()), skew, kurtosis


def describe_background(frame: pd.DataFrame, survey: SurveySpec) -> tuple[tuple[str, pd.DataFrame], ...]:
    """Return, for each background variable of the survey that is in the data, its label and a table of counts.

    Categorical variables give category, n, percent (of those who answered); numbers give mean, sd and range as rows.
    """
    out = []
    for code, fact in survey.facts.items():
        if code not in frame.columns or fact.type == "text":
            continue
        column = frame[code]
        if fact.type == "number":
            values, _ = as_floats(column)
            present = values[np.isfinite(values)]
            if not len(present):
                continue
            mean, sd, low, high, *_ = _moments(present)
            text = f"mean {mean:.1f}, SD {sd:.1f}, range {low:g} to {high:g}" + (f" ({fact.unit})" if fact.unit else "")
            table = pd.DataFrame([(text, len(present), 100.0)], columns=["category", "n", "percent"])
        else:
            labels = {str(k): v for k, v in fact.categories.items()}
            counts = column.dropna().map(_category).value_counts()
            order = [*[k for k in labels if k in counts.index], *[k for k in counts.index if k not in labels]]
            total = int(counts.sum())
            if not total:
                continue
            table = pd.DataFrame(
                [(labels.get(k, k), int(counts[k]), 100.0 * int(counts[k]) / total) for k in order],
                columns=["category", "n", "percent"],
            )
        out.append((fact.label, table))
    return tuple(out)


def _category(value: Any) -> str:
    """Name a category as the survey file does: 1.0 read from a file is category 1."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
