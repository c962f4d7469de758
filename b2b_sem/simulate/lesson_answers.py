"""What somebody did with the answers of a lesson before fitting: told by the moments their fit rests on.

Nobody hands in a list of the rows that were kept or of the items that were turned round. But the correlations of a
complete-rows analysis are exact numbers, and few ways of treating the answers give the same ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from b2b_sem.data.score import reverse
from b2b_sem.results.fit import FitResult
from b2b_sem.spec.survey import SurveySpec

__all__ = ["ROWS", "Treatment", "failed_checks", "identify", "keep_rows", "scored"]

Array = NDArray[np.float64]
Rows = NDArray[np.bool_]

#: Ways of choosing rows, in words.
ROWS: Mapping[str, str] = {
    "all": "all respondents",
    "checks": "without respondents who failed an attention check",
    "failed": "without respondents who failed all attention checks",
    "lines": "without respondents who gave the same answer to all items",
    "both": "without respondents who failed an attention check or gave the same answer to all items",
    "attentive": "without exactly those who answered carelessly",
}
#: Correlations of the same answers agree to this, whatever wrote them.
_EXACT = 1e-6
#: Average difference of correlations that full information, imputation or polychorics make.
_NEAR, _NEAR_ORDERED = 0.02, 0.05
#: A correlation of this size or more says which way an item points.
_TELLING = 0.10


@dataclass(frozen=True)
class Treatment:
    """How answers were treated.

    Attributes
    ----------
    rows : str
        A key of ``ROWS``.
    flipped : tuple of str
        Items that point the wrong way.
    coded : bool
        Whether codes of missing answers were taken for answers.
    exact : bool
        Whether the moments are those of these rows to the last digit.
    counted : bool
        Whether these are as many rows as the fit rests on.
    """

    rows: str = "all"
    flipped: tuple[str, ...] = ()
    coded: bool = False
    exact: bool = False
    counted: bool = False


def scored(frame: pd.DataFrame, survey: SurveySpec, items: Sequence[str], *, coded: bool = False) -> pd.DataFrame:
    """Return recorded answers as numbers: reversed items turned round, codes of missing answers as missing.

    With `coded` the codes stay numbers.
    """
    out = {}
    for item in items:
        values = frame[item].to_numpy(dtype=float)
        low, high = survey.range_of(item)
        if not coded:
            values = np.where(np.isin(values, survey.missing_codes(item)), np.nan, values)
        out[item] = reverse(values, low, high) if survey.item(item).reverse else values
    return pd.DataFrame(out)


def failed_checks(frame: pd.DataFrame, survey: SurveySpec) -> NDArray[np.int64]:
    """Return how many attention checks each respondent failed."""
    out = np.zeros(len(frame), dtype=np.int64)
    for code, check in survey.attention_checks.items():
        if code in frame.columns:
            out += frame[code].to_numpy(dtype=float) != check.answer
    return out


def keep_rows(how: str, frame: pd.DataFrame, survey: SurveySpec, spoiled: Rows) -> Rows:
    """Return the rows that one of the ways in ``ROWS`` keeps."""
    failed = failed_checks(frame, survey)
    checks = sum(code in frame.columns for code in survey.attention_checks)
    known = [item for item in survey.items(active_only=False) if item in frame.columns]
    values = frame[known].to_numpy(dtype=float)
    # whoever broke off is not therefore a straight-liner: missing answers do not count
    low, high = np.fmin.reduce(values, axis=1), np.fmax.reduce(values, axis=1)
    line = low == high
    kept: dict[str, Rows] = {
        "all": np.ones(len(frame), dtype=bool),
        "checks": failed == 0,
        "failed": failed < max(checks, 1),
        "lines": ~line,
        "both": (failed == 0) & ~line,
        "attentive": ~spoiled,
    }
    return kept[how]


def identify(fit: FitResult, recorded: pd.DataFrame, survey: SurveySpec, spoiled: Rows) -> Treatment | None:
    """Return how the answers behind a fit were treated; None if no way that is tried gives them.

    Parameters
    ----------
    fit : FitResult
    recorded : DataFrame
        The answers that were handed out.
    survey : SurveySpec
    spoiled : ndarray of bool
        Who answered carelessly.
    """
    known = set(survey.items(active_only=False)) & set(recorded.columns)
    items = [name for name in fit.model.observed if name in known]
    if len(items) < 2:
        return None
    cov = fit.sample()["cov"].loc[items, items].to_numpy(dtype=float)
    found = _correlations(cov)
    ordered = bool(fit.model.options.get("ordered"))
    complete = fit.model.options.get("missing", "listwise") == "listwise" and not ordered
    best: tuple[float, Treatment] | None = None
    seen: set[bytes] = set()
    for how, coded in _ways(recorded, survey, items):
        rows = keep_rows(how, recorded, survey, spoiled)
        key = rows.tobytes() + bytes([coded])
        if key in seen:  # an earlier way keeps the same rows
            continue
        seen.add(key)
        answers = scored(recorded, survey, items, coded=coded)[rows]
        if answers.notna().sum().min() < 3:
            continue
        near = _correlations(answers.cov().to_numpy())
        flipped = _flipped(found, near)
        signs = np.where(flipped, -1.0, 1.0)
        names = tuple(item for item, turned in zip(items, flipped, strict=True) if turned)
        everything = scored(recorded, survey, [i for i in survey.items() if i in known], coded=coded)[rows]
        for own in (answers.dropna(), answers[everything.notna().all(axis=1)]):
            if complete and len(own) == fit.nobs and len(own) > 2:
                gap = np.abs(_correlations(np.cov(own.to_numpy(), rowvar=False)) * np.outer(signs, signs) - found)
                if np.nanmax(gap) < _EXACT:
                    return Treatment(how, names, coded, exact=True, counted=True)
        gap = np.abs(near * np.outer(signs, signs) - found)
        # rows that do not fit the number are possible (other rules), but less near
        apart = float(np.nanmean(gap)) + (0.0 if complete or len(answers) == fit.nobs else 0.005)
        if best is None or apart < best[0]:
            best = apart, Treatment(how, names, coded, counted=len(answers) == fit.nobs)
    limit = _NEAR_ORDERED if ordered else _NEAR
    return best[1] if best is not None and best[0] < limit else None


def _ways(recorded: pd.DataFrame, survey: SurveySpec, items: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """Yield ways of choosing rows, with codes as missing and, where there are some, as numbers."""
    with_codes = any(np.isin(recorded[item].to_numpy(dtype=float), survey.missing_codes(item)).any() for item in items)
    for coded in (False, True) if with_codes else (False,):
        for how in ROWS:
            yield how, coded


def _correlations(cov: Array) -> Array:
    sd = np.sqrt(np.diag(cov))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(cov / np.outer(sd, sd))


def _flipped(found: Array, near: Array) -> NDArray[np.bool_]:
    """Return the items whose correlations with the others have the wrong sign; fewer than half of those connected.

    Signs are settled by turning the item with the largest disagreement, one after the other.
    """
    weight = np.where(np.abs(near) >= _TELLING, found * near, 0.0)
    np.fill_diagonal(weight, 0.0)
    weight = np.nan_to_num(weight)
    signs = np.ones(len(weight))
    for _ in range(2 * len(weight)):
        agreement = signs * (weight @ signs)
        worst = int(np.argmin(agreement))
        if agreement[worst] >= 0:
            break
        signs[worst] = -signs[worst]
    if signs.sum() < 0:
        signs = -signs
    return np.asarray(signs < 0)
