"""Who answered and how: distributions of the items and counts of the background variables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from b2b_sem.data.numeric import as_floats
from b2b_sem.measures.distribution import SPARSE, count_answers, describe_moments
from b2b_sem.spec.survey import SurveySpec

__all__ = ["ANSWER_COLUMNS", "ITEM_COLUMNS", "describe_answers", "describe_background", "describe_items"]

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
    "categories",
    "floor",
    "ceiling",
    "empty",
    "sparse",
)
ANSWER_COLUMNS = ("name", "answer", "label", "n", "percent")
#: An item with more different answers is not shown answer by answer.
ANSWERS_MOST = 12


def describe_items(
    frame: pd.DataFrame, items: Iterable[str], survey: SurveySpec | None, scale_of: dict[str, str]
) -> pd.DataFrame:
    """Return one row an item: its text, and the distribution of the scored answers.

    A background fact that the model uses as an item is shown with its question, or with its label if it has none.

    Skew and excess kurtosis are moment ratios with divisor n, m3 / m2^1.5 and m4 / m2^2 - 3; sd has divisor n - 1.
    `categories` counts the different answers given, `floor` and `ceiling` are the percentages of the lowest and the
    highest possible answer, `empty` and `sparse` name the answers given never and fewer than five times. The possible
    answers are those of the survey's response format, else the whole numbers between the smallest and the largest
    answer; items with more than twelve have none of these (NaN, and no text).

    Parameters
    ----------
    frame : DataFrame
        Scored answers.
    items : iterable of str
    survey : SurveySpec or None
    scale_of : dict
        Construct of each item, for items the survey does not know.
    """
    known = _known(survey) if survey is not None else set()
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
                *describe_moments(present),
                *_scale(_counted(present, name, survey)),
            )
        )
    return pd.DataFrame(rows, columns=list(ITEM_COLUMNS))


def describe_answers(frame: pd.DataFrame, items: Iterable[str], survey: SurveySpec | None) -> pd.DataFrame:
    """Return one row an item and possible answer: how often it was given.

    Parameters
    ----------
    frame : DataFrame
        Scored answers.
    items : iterable of str
        Items with more than twelve different answers are left out.
    survey : SurveySpec or None
        Its response formats say which answers were possible, and how they were labelled.

    Returns
    -------
    DataFrame
        name, answer, label (of the answer as it was given, before reverse coding), n, percent (of those who answered).
    """
    rows = []
    for name in items:
        values = as_floats(frame[name])[0]
        counted = _counted(values[np.isfinite(values)], name, survey)
        if counted is None:
            continue
        answers, counts = counted
        total = int(counts.sum())
        for answer, count in zip(answers.tolist(), counts.tolist(), strict=True):
            share = 100.0 * count / total if total else float("nan")
            rows.append((name, _whole(answer), _label(name, answer, survey), count, share))
    return pd.DataFrame(rows, columns=list(ANSWER_COLUMNS))


def _counted(present: Any, name: str, survey: SurveySpec | None) -> tuple[Any, Any] | None:
    low, high = survey.range_of(name) if survey is not None and name in _known(survey) else (None, None)
    return count_answers(present, low, high, most=ANSWERS_MOST)


def _whole(value: float) -> float | int:
    return int(value) if float(value).is_integer() else value


def _known(survey: SurveySpec) -> set[str]:
    return set(survey.items(active_only=False))


def _scale(counted: tuple[Any, Any] | None) -> tuple[Any, ...]:
    """Return categories, floor, ceiling, empty, sparse."""
    if counted is None or not counted[1].sum():
        return (float("nan"),) * 3 + ("", "")
    answers, counts = counted
    share = 100.0 * counts / counts.sum()

    def shown(chosen: Any) -> str:
        return ", ".join(f"{a:g}" for a in answers[chosen])

    empty, sparse = shown(counts == 0), shown((counts > 0) & (counts < SPARSE))
    return int((counts > 0).sum()), float(share[0]), float(share[-1]), empty, sparse


def _label(name: str, answer: float, survey: SurveySpec | None) -> str:
    if survey is None or name not in _known(survey):
        return ""
    form = survey.format_of(name)
    given = form.low + form.high - answer if survey.item(name).reverse else answer
    return form.anchors.get(int(given), "") if float(given).is_integer() else ""


def _question(name: str, survey: SurveySpec | None) -> str:
    fact = survey.facts.get(name) if survey is not None else None
    return "" if fact is None else fact.question or fact.label


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
            mean, sd, low, high, *_ = describe_moments(present)
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
