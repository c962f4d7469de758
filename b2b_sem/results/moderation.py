"""One question of moderation, asked in several ways: a row for each, and whether the verdict depends on the way."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

import pandas as pd

from b2b_sem.errors import DataError, did_you_mean
from b2b_sem.measures.notation import number, p_phrase
from b2b_sem.results.io import frame_from_records, plain
from b2b_sem.results.text import TextKind, text_table

__all__ = ["AGREE", "DIFFER", "EXAMPLE", "OPEN", "ROUTE_COLUMNS", "ModerationResult", "RouteRow"]

#: What the routes come to together.
AGREE, DIFFER, OPEN = "agree", "differ", "open"
#: The route that shows a trap: its row does not count.
EXAMPLE = "observed"
_WIDTH = 100
_NUMBERS = (
    "est",
    "se",
    "statistic",
    "df",
    "pvalue",
    "ci_lower",
    "ci_upper",
    "std",
    "std_se",
    "std_lower",
    "std_upper",
)
ROUTE_COLUMNS = ("route", "title", *_NUMBERS, "n", "decision", "reason")


@dataclass(frozen=True)
class RouteRow:
    """What one route found.

    Attributes
    ----------
    route, title : str
        Its name in calls, and in words.
    est, se, statistic, df, pvalue, ci_lower, ci_upper : float
        The coefficient of the product, in the units of the route; of ``"split"`` the path in the upper group minus that
        in the lower one. The statistic is t where it has degrees of freedom, else z.
    std, std_se, std_lower, std_upper : float
        The change of the standardized effect of the focal variable when the moderator is one standard deviation higher:
        comparable over routes.
    n : int
        Rows used.
    decision : str
        ``positive``, ``negative``, ``none`` (not significant), or empty without an answer.
    reason : str
        Why there is no answer.
    notes : tuple of str
        What a reader of the row must know.
    """

    route: str
    title: str
    est: float = math.nan
    se: float = math.nan
    statistic: float = math.nan
    df: float = math.nan
    pvalue: float = math.nan
    ci_lower: float = math.nan
    ci_upper: float = math.nan
    std: float = math.nan
    std_se: float = math.nan
    std_lower: float = math.nan
    std_upper: float = math.nan
    n: int = 0
    decision: str = ""
    reason: str = ""
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the row holds an answer."""
        return bool(self.decision)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {f.name: plain(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RouteRow:
        """Rebuild a row from the output of ``to_json``."""
        values = dict(data)
        values.update({k: math.nan if data[k] is None else float(data[k]) for k in _NUMBERS})
        values["notes"] = tuple(data["notes"])
        return cls(**values)


@dataclass(frozen=True, eq=False)
class ModerationResult:
    """Whether an effect is moderated, by several routes side by side.

    Attributes
    ----------
    model, product, outcome, focal, moderator : str
        The product as the model writes it; its factors are the variable whose effect is moderated and the moderator.
    alpha, level : float
        Error rate of a test, and confidence level.
    options : mapping
        Estimator, treatment of missing answers, scores, cut of the split.
    agreement : str
        ``agree``, ``differ``, or ``open`` (fewer than two answers); ``observed`` does not count.
    statements, notes, warnings : tuple of str
    rows : tuple of RouteRow
    fits : mapping of str to result
        What each latent route and the split were read from; empty for a result read from a file.
    """

    model: str
    product: str
    outcome: str
    focal: str
    moderator: str
    alpha: float
    level: float
    options: Mapping[str, Any]
    agreement: str
    statements: tuple[str, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    rows: tuple[RouteRow, ...]
    fits: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}), repr=False)

    @property
    def routes(self) -> pd.DataFrame:
        """One row a route.

        route title est se statistic df pvalue ci_lower ci_upper std std_se std_lower std_upper n decision reason.
        """
        rows = [{k: v for k, v in row.to_json().items() if k in ROUTE_COLUMNS} for row in self.rows]
        frame = frame_from_records(rows, ROUTE_COLUMNS)
        return frame.astype(dict.fromkeys(_NUMBERS, float))

    @property
    def ok(self) -> bool:
        """Whether any route but the warning example has an answer."""
        return any(row.ok for row in self.rows if row.route != EXAMPLE)

    def route(self, name: str) -> RouteRow:
        """Return the row of a route.

        Raises
        ------
        DataError
            If it was not run.
        """
        for row in self.rows:
            if row.route == name:
                return row
        known = [row.route for row in self.rows]
        raise DataError(
            f"the route '{name}' was not run.{did_you_mean(name, known)}", hint=f"there are: {', '.join(known)}"
        )

    def summary(self) -> str:
        """Return the result as text."""
        options = self.options
        lines = [
            f"Moderation: the effect of {self.focal} on {self.outcome}, moderated by {self.moderator} ({self.product})",
            f"Estimator {options['estimator']}, missing answers: {options['missing']}; alpha = {self.alpha:g}, "
            f"{self.level:.0%} intervals.",
            "",
            text_table(
                [
                    {**row.to_json(), **{k: getattr(row, k) for k in _NUMBERS}, "n": row.n or math.nan}
                    | {"stds": (row.std_lower, row.std_upper)}
                    for row in self.rows
                ],
                _columns(self.level),
            ),
            "",
        ]
        for text in (*self.statements, *self.warnings, *self.notes):
            lines += textwrap.wrap(text, _WIDTH, subsequent_indent="  ")
        for row in self.rows:
            texts = [f"no answer: {row.reason}"] if row.reason and not row.ok else []
            for text in (*texts, *row.notes):
                lines += textwrap.wrap(f"{row.route}: {text}", _WIDTH, subsequent_indent="  ")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.summary()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types; ``from_json`` rebuilds the result without its fits."""
        out = {name: plain(getattr(self, name)) for name in _HEAD}
        out["rows"] = [row.to_json() for row in self.rows]
        return out

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ModerationResult:
        """Rebuild a result from the output of ``to_json``."""
        head: dict[str, Any] = {name: data[name] for name in _HEAD}
        for name in ("statements", "notes", "warnings"):
            head[name] = tuple(head[name])
        head["options"] = MappingProxyType(dict(data["options"]))
        return cls(**head, rows=tuple(RouteRow.from_json(row) for row in data["rows"]))


_HEAD = tuple(f.name for f in fields(ModerationResult) if f.name not in ("rows", "fits"))


def _columns(level: float) -> tuple[tuple[str, str, TextKind], ...]:
    return (
        ("route", "route", "text"),
        ("est", "est", "number"),
        ("se", "se", "number"),
        ("statistic", "z or t", "number"),
        ("df", "df", "count"),
        ("pvalue", "p", "p"),
        ("ci", f"{level:.0%} CI", "interval"),
        ("std", "std", "number"),
        ("stds", f"{level:.0%} CI", "interval"),
        ("n", "n", "count"),
        ("decision", "effect", "text"),
    )


def describe_row(row: RouteRow) -> str:
    """Return ``lms (b = 0.21, p = .003)``."""
    return f"{row.route} (b = {number(row.est)}, {p_phrase(row.pvalue)})"
