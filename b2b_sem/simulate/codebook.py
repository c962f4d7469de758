"""What the columns of a file of answers mean: question by question, as the survey states it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd

from b2b_sem.spec.survey import SurveySpec

__all__ = ["COLUMNS", "codebook"]

COLUMNS = ("column", "kind", "text", "scale", "facet", "reverse", "low", "high", "codes")


def codebook(survey: SurveySpec, columns: Iterable[str], others: Mapping[str, str]) -> pd.DataFrame:
    """Describe columns in their order.

    Parameters
    ----------
    survey : SurveySpec
    columns : iterable of str
        Items, attention checks and facts of the survey, and `others`.
    others : mapping of str to str
        Meaning of columns that are not of the survey.

    Returns
    -------
    DataFrame
        column; kind (item, attention check, fact, other); text of the question; scale and facet; reverse (whether
        agreement means less); low and high (lowest and highest answer); codes (``1 = no; 2 = yes``). What does not
        apply is empty.
    """
    known = survey.items(active_only=False)
    rows = []
    for name in columns:
        row: dict[str, str] = dict.fromkeys(COLUMNS, "") | {"column": name}
        if name in others:
            row |= {"kind": "other", "text": others[name]}
        elif name in known:
            item, scale = survey.item(name), survey.scale_of(name)
            row |= {"kind": "item", "text": item.text, "scale": scale, "facet": item.facet or ""}
            row["reverse"] = "yes" if item.reverse else "no"
        elif name in survey.attention_checks:
            check = survey.attention_checks[name]
            row |= {"kind": "attention check", "text": f"{check.text} (right answer: {check.answer})"}
        else:
            fact = survey.facts[name]
            unit = f" ({fact.unit})" if fact.unit else ""
            row |= {"kind": "fact", "text": f"{fact.question or fact.label}{unit}", "codes": _codes(fact.categories)}
        if name in known or name in survey.attention_checks:
            form = survey.format_of(name)
            row |= {"low": str(form.low), "high": str(form.high), "codes": _codes(form.anchors)}
        rows.append(row)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _codes(labels: Mapping[int, str] | Mapping[int | str, str]) -> str:
    return "; ".join(f"{code} = {label}" for code, label in labels.items())
