"""Structural paths compared across groups."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import pandas as pd

from b2b_sem.measures.notation import count, p_phrase
from b2b_sem.results.fit import FitResult
from b2b_sem.results.io import frame_from_records, plain, records
from b2b_sem.results.text import TextKind, text_table

__all__ = ["DIFFERENCE_COLUMNS", "EQUALITY_COLUMNS", "ESTIMATE_COLUMNS", "PathGroupResult"]

EQUALITY_COLUMNS = (
    "path",
    "df",
    "wald",
    "wald_pvalue",
    "wald_adjusted",
    "chisq_diff",
    "df_diff",
    "pvalue_diff",
    "diff_adjusted",
)
DIFFERENCE_COLUMNS = (
    "path",
    "group",
    "reference",
    "est",
    "se",
    "z",
    "pvalue",
    "p_adjusted",
    "ci_lower",
    "ci_upper",
    "std",
    "power",
    "detectable",
)
ESTIMATE_COLUMNS = ("path", "group", "est", "se", "pvalue", "ci_lower", "ci_upper", "std_all")
_WIDTH = 100
_TEST: tuple[tuple[str, str, TextKind], ...] = (
    ("path", "path", "text"),
    ("df", "df", "count"),
    ("wald", "wald", "number"),
    ("wald_pvalue", "p", "p"),
    ("wald_adjusted", "adjusted", "p"),
    ("chisq_diff", "chisq", "number"),
    ("df_diff", "df", "count"),
    ("pvalue_diff", "p", "p"),
    ("diff_adjusted", "adjusted", "p"),
)
_HEAD = (
    "group",
    "groups",
    "model",
    "estimator",
    "missing",
    "equal",
    "partial",
    "alpha",
    "level",
    "size",
    "multiplicity",
    "loadings",
    "statements",
    "notes",
    "warnings",
)


@dataclass(frozen=True, eq=False)
class PathGroupResult:
    """Whether structural paths are equal in all groups, and by how much they differ.

    Attributes
    ----------
    group : str
        Column that tells groups apart.
    groups : mapping of str to int
        Labels and numbers of rows; the first group is the one that others are compared with.
    model, estimator, missing : str
    equal, partial : tuple of str
        What is equal in all groups beside the paths under test, and the exceptions.
    alpha, level, size : float
        Error rate of a test, confidence level, and the standardized difference that `power` is about.
    multiplicity : str
        How p-values are adjusted.
    loadings : mapping of str to float
        Chi-square difference test of equal loadings: chisq, df, pvalue; empty if there is nothing to test.
    statements, notes, warnings : tuple of str
    """

    group: str
    groups: Mapping[str, int]
    model: str
    estimator: str
    missing: str
    equal: tuple[str, ...]
    partial: tuple[str, ...]
    alpha: float
    level: float
    size: float
    multiplicity: str
    loadings: Mapping[str, float]
    statements: tuple[str, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    _omnibus: Mapping[str, float] = field(repr=False)
    _tests: pd.DataFrame = field(repr=False)
    _differences: pd.DataFrame = field(repr=False)
    _estimates: pd.DataFrame = field(repr=False)
    _fit: FitResult | None = field(default=None, repr=False)

    @property
    def omnibus(self) -> dict[str, float]:
        """Tests of all paths at once: df wald wald_pvalue chisq_diff df_diff pvalue_diff."""
        return dict(self._omnibus)

    @property
    def tests(self) -> pd.DataFrame:
        """One row a path, equal in all groups against free: Wald test and difference of chi-squares.

        path df wald wald_pvalue wald_adjusted chisq_diff df_diff pvalue_diff diff_adjusted.
        """
        return self._tests.copy()

    @property
    def differences(self) -> pd.DataFrame:
        """One row a path and group: its coefficient minus that of the first group.

        est se z pvalue p_adjusted ci_lower ci_upper; std, the difference in pooled standard deviations of outcome and
        predictor; power to find a standardized difference of `size`, and detectable, that with a power of .80 (both
        for one test at `alpha`).
        """
        return self._differences.copy()

    @property
    def estimates(self) -> pd.DataFrame:
        """The paths of each group: path group est se pvalue ci_lower ci_upper std_all."""
        return self._estimates.copy()

    @property
    def fit(self) -> FitResult | None:
        """The fit whose paths are free in each group; None for a result read from a file."""
        return self._fit

    def summary(self) -> str:
        """Return the result as text."""
        sizes = ", ".join(f"{label} (n = {n})" for label, n in self.groups.items())
        equal = ", ".join(self.equal) or "nothing"
        but = f", except {', '.join(self.partial)}" if self.partial else ""
        lines = [
            *textwrap.wrap(f"Paths across {self.group}: {sizes}", _WIDTH, subsequent_indent="  "),
            f"Estimator {self.estimator}, missing answers: {self.missing}. Equal in all groups: {equal}{but}.",
            f"Adjustment of p-values: {self.multiplicity}. Power: for a standardized difference of {self.size:g}.",
            "",
            "Equal paths, one at a time (Wald test; difference of chi-squares):",
            text_table(self._tests.to_dict("records"), _TEST),
            "",
            *self._whole(),
            f"Differences from {next(iter(self.groups))}:",
            text_table(self._differences.to_dict("records"), _difference_columns(self.level)),
            "",
            "Paths in each group:",
            text_table(self._estimates.to_dict("records"), _estimate_columns(self.level)),
            "",
        ]
        for text in (*self.statements, *self.warnings, *self.notes):
            lines += textwrap.wrap(text, _WIDTH, subsequent_indent="  ")
        return "\n".join(lines)

    def _whole(self) -> list[str]:
        """Say what the tests of all paths at once, and of equal loadings, came to."""
        whole, loads = self._omnibus, self.loadings
        out = [
            f"All paths at once: {what} {whole[key]:.3f}, df = {count(whole[df])}, {p_phrase(whole[p])}"
            for what, key, df, p in (
                ("Wald test", "wald", "df", "wald_pvalue"),
                ("difference of chi-squares", "chisq_diff", "df_diff", "pvalue_diff"),
            )
            if math.isfinite(whole[p])
        ]
        if math.isfinite(loads.get("pvalue", math.nan)):
            test = f"{loads['chisq']:.3f}, df = {count(loads['df'])}, {p_phrase(loads['pvalue'])}"
            out.append(f"Equal loadings: difference of chi-squares {test}")
        return [*out, ""]

    def __str__(self) -> str:
        return self.summary()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types; ``from_json`` rebuilds the result without its fit."""
        out: dict[str, Any] = {name: plain(getattr(self, name)) for name in _HEAD}
        out["omnibus"] = plain(dict(self._omnibus))
        for name in ("tests", "differences", "estimates"):
            out[name] = records(getattr(self, f"_{name}"))
        return out

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PathGroupResult:
        """Rebuild a result from the output of ``to_json``."""

        def numbers(values: Mapping[str, Any]) -> Mapping[str, float]:
            return MappingProxyType({k: math.nan if v is None else float(v) for k, v in values.items()})

        head: dict[str, Any] = {name: data[name] for name in _HEAD}
        for name in ("equal", "partial", "statements", "notes", "warnings"):
            head[name] = tuple(head[name])
        head["groups"] = MappingProxyType({label: int(n) for label, n in data["groups"].items()})
        head["loadings"] = numbers(data["loadings"])
        return cls(
            **head,
            _omnibus=numbers(data["omnibus"]),
            _tests=frame_from_records(data["tests"], EQUALITY_COLUMNS),
            _differences=frame_from_records(data["differences"], DIFFERENCE_COLUMNS),
            _estimates=frame_from_records(data["estimates"], ESTIMATE_COLUMNS),
        )


def _difference_columns(level: float) -> tuple[tuple[str, str, TextKind], ...]:
    return (
        ("path", "path", "text"),
        ("group", "group", "text"),
        ("est", "est", "number"),
        ("se", "se", "number"),
        ("pvalue", "p", "p"),
        ("p_adjusted", "adjusted", "p"),
        ("ci", f"{level:.0%} CI", "interval"),
        ("std", "std", "number"),
        ("power", "power", "number"),
        ("detectable", "detectable", "number"),
    )


def _estimate_columns(level: float) -> tuple[tuple[str, str, TextKind], ...]:
    return (
        ("path", "path", "text"),
        ("group", "group", "text"),
        ("est", "est", "number"),
        ("se", "se", "number"),
        ("pvalue", "p", "p"),
        ("ci", f"{level:.0%} CI", "interval"),
        ("std_all", "std.all", "number"),
    )
