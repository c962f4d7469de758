"""Score answers: missing codes, range and type checks, reverse coding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from b2b_sem.data.numeric import Cell, fail_on_cells, listed
from b2b_sem.data.read import Responses, numeric, set_missing
from b2b_sem.errors import DataError

__all__ = ["ItemRule", "Survey", "reverse", "rules_from_survey", "score"]


@dataclass(frozen=True)
class ItemRule:
    """How the answers to one item become numbers.

    Attributes
    ----------
    name : str
        Column of the data.
    reverse : bool
        Whether agreement means less of the construct.
    low, high : float or None
        Lowest and highest valid answer; None: no bound. A reversed item needs both.
    missing_codes : tuple of number or str
        Values of this column that mean "no answer".
    bounded : bool
        Whether numbers outside `low` and `high` are refused.
    """

    name: str
    reverse: bool = False
    low: float | None = None
    high: float | None = None
    missing_codes: tuple[float | str, ...] = ()
    bounded: bool = True

    def __post_init__(self) -> None:
        if self.reverse and (self.low is None or self.high is None):
            raise DataError(
                f"item '{self.name}' is reverse coded but its lowest and highest answers are not known",
                hint="Give the response format of the item.",
            )
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise DataError(
                f"item '{self.name}': the lowest answer {self.low:g} is not below the highest {self.high:g}"
            )


class Survey(Protocol):
    """What scoring needs to know of a survey."""

    def items(self, scale: str | None = None, *, active_only: bool = True) -> tuple[str, ...]:
        """Return the item codes."""
        ...

    def item(self, code: str) -> Any:
        """Return an item; its ``reverse`` says whether it is reverse coded."""
        ...

    def range_of(self, item: str) -> tuple[int, int]:
        """Return the lowest and the highest answer of an item."""
        ...

    def missing_codes(self, item: str) -> tuple[int, ...]:
        """Return the codes of an item that mean "no answer"."""
        ...


def rules_from_survey(
    survey: Survey, items: Iterable[str] | None = None, *, bounded: bool = True
) -> tuple[ItemRule, ...]:
    """Return the scoring rules of a survey for `items`, by default for all its active items.

    Names in `items` that the survey does not know (background variables, covariates) get no rule. Numbers outside the
    response format are refused unless `bounded` is False, as for simulated answers on a continuous scale.
    """
    known = survey.items(active_only=False)
    wanted = survey.items() if items is None else tuple(dict.fromkeys(i for i in items if i in set(known)))
    rules = []
    for name in wanted:
        low, high = survey.range_of(name)
        rules.append(
            ItemRule(
                name,
                bool(survey.item(name).reverse),
                float(low),
                float(high),
                tuple(survey.missing_codes(name)),
                bounded,
            )
        )
    return tuple(rules)


def reverse(values: Any, low: float, high: float) -> NDArray[np.float64]:
    """Return ``low + high - values``: the answer mirrored within its response format; NaN stays NaN.

    Applied twice it gives the original values.
    """
    return (low + high) - np.asarray(values, dtype=np.float64)


def score(responses: Responses, rules: Sequence[ItemRule]) -> Responses:
    """Apply the scoring rules and return new responses whose item columns are float64.

    In this order, for each rule: missing codes become NaN, the cells must be numbers, numbers must lie within the
    response format, reversed items are mirrored. Columns without a rule stay as they are.

    Parameters
    ----------
    responses : Responses
    rules : sequence of ItemRule
        One rule per item, each item once.

    Returns
    -------
    Responses
        With a note for everything that was changed, and ``details["reversed"]`` naming the mirrored items.

    Raises
    ------
    DataError
        An item has no column (with the closest column names), cells are not numbers or out of range (the first five
        named by file row and column, all counted), or an item was reversed before.
    """
    names = [rule.name for rule in rules]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"more than one scoring rule for {listed(twice)}", hint="Give one rule per item.")
    if not rules:
        return responses
    responses.require(names, hint="Items are looked up by their column names: rename columns to the survey's codes.")
    turned = [rule.name for rule in rules if rule.reverse]
    again = [name for name in turned if name in responses.details.get("reversed", ())]
    if again:
        raise DataError(
            f"reverse coded before: {listed(again)}", file=responses.path, hint="Score the responses only once."
        )
    scored = responses
    for codes in dict.fromkeys(rule.missing_codes for rule in rules if rule.missing_codes):
        scored = set_missing(scored, codes, [rule.name for rule in rules if rule.missing_codes == codes])
    values = numeric(scored, names)
    _refuse_out_of_range(scored, values, rules)
    notes = list(scored.notes)
    answers = values.to_numpy()
    fractions = ((np.mod(answers, 1) != 0) & ~np.isnan(answers)).sum(axis=0)
    broken = [f"{name} ({count})" for name, count in zip(names, fractions, strict=True) if count]
    if broken and any(rule.low is not None for rule in rules):
        notes.append(f"answers that are not whole numbers: {listed(broken)}")
    for rule in rules:
        if rule.reverse:
            assert rule.low is not None  # checked by the rule itself
            assert rule.high is not None
            values[rule.name] = reverse(values[rule.name], rule.low, rule.high)
    if turned:
        notes.append(f"reverse coded: {', '.join(turned)}")
    frame = scored.frame.copy()
    frame[names] = values
    details = {**scored.details, "reversed": (*scored.details.get("reversed", ()), *turned)}
    return replace(scored, frame=frame, notes=tuple(notes), details=details)


def _refuse_out_of_range(responses: Responses, values: Any, rules: Sequence[ItemRule]) -> None:
    cells: list[Cell] = []
    ranges: dict[str, None] = {}
    total = 0
    for rule in rules:
        if not rule.bounded:
            continue
        column = values[rule.name].to_numpy()
        low = -np.inf if rule.low is None else rule.low
        high = np.inf if rule.high is None else rule.high
        where = np.flatnonzero((column < low) | (column > high))
        if len(where):
            total += len(where)
            cells += [(int(i), rule.name, column[i]) for i in where[:5]]
            ranges[f"{low:g} to {high:g}"] = None
    fail_on_cells(
        cells,
        f"lie outside the response format ({' or '.join(ranges)})",
        responses.row_name,
        total=total,
        file=responses.path,
        hint="Correct these cells, or declare the value as a missing code of the survey.",
    )
