"""Which group each respondent belongs to, and what happens to groups of few respondents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from b2b_sem.errors import DataError
from b2b_sem.spec.survey import Group, SurveySpec

__all__ = ["small_groups", "split_answers", "too_small"]


def split_answers(frame: pd.DataFrame, survey: SurveySpec, name: str) -> tuple[str, pd.Series]:
    """Return what a split of the respondents is called, and the group of each.

    Groups with fewer respondents than the minimum that the survey states are joined or left out, as it says.

    Parameters
    ----------
    frame : DataFrame
    survey : SurveySpec
    name : str
        A group of the survey, or a background fact, whose categories (or texts) are the groups.

    Returns
    -------
    str, Series of text
        Missing for respondents whose answer is missing or belongs to no group.

    Raises
    ------
    DataError
        For a name that the survey or the data do not have, and for facts that are numbers.
    """
    split = survey.split(name)
    return split.label, _join(_place(frame, split, name), split)[0]


def small_groups(frame: pd.DataFrame, survey: SurveySpec, name: str) -> tuple[str, ...]:
    """Return one sentence for the groups that :func:`split_answers` joins, and one for those that it leaves out."""
    split = survey.split(name)
    return _join(_place(frame, split, name), split)[1]


def _place(frame: pd.DataFrame, split: Group, name: str) -> pd.Series:
    if split.fact not in frame.columns:
        raise DataError(f"the data have no column '{split.fact}', which tells the groups of '{name}' apart")
    levels = {str(value): level for level, values in split.levels.items() for value in values}

    def place(value: Any) -> Any:
        if pd.isna(value):
            return None
        text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
        return levels.get(text) if levels else text or None

    return frame[split.fact].map(place).astype(object)


def _join(groups: pd.Series, split: Group) -> tuple[pd.Series, tuple[str, ...]]:
    if split.minimum is None:
        return groups, ()
    notes = []
    small = _below(groups, split.minimum)
    if small and split.rest is not None:
        groups = groups.where(~groups.isin(list(small)), split.rest)
        notes.append(f"Fewer than {split.minimum} respondents, joined to '{split.rest}': {_listed(small)}.")
        small = _below(groups, split.minimum)
    if small:
        groups = groups.where(~groups.isin(list(small)), None)
        notes.append(f"Fewer than {split.minimum} respondents, left out: {_listed(small)}.")
    return groups, tuple(notes)


def too_small(groups: pd.Series, needed: int) -> str:
    """Return why groups cannot be compared, "" if they can.

    Parameters
    ----------
    groups : Series of text
    needed : int
        Items of the model: a covariance matrix needs one row more.
    """
    sizes = groups.value_counts()
    if len(sizes) < 2:
        found = _listed({str(k): int(n) for k, n in sizes.items()}) or "none"
        return f"at least two groups are needed; found: {found}"
    if small := _below(groups, needed + 1):
        return (
            f"{_listed(small)}: a covariance matrix of {needed} items needs more than {needed} respondents in each "
            "group; give the group of the survey a 'minimum', which leaves out or joins small groups"
        )
    return ""


def _below(groups: pd.Series, least: int) -> dict[str, int]:
    sizes = groups.value_counts(sort=False)
    return {str(name): int(n) for name, n in sizes.items() if n < least}


def _listed(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{name} (n = {n})" for name, n in sizes.items())
