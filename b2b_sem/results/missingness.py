"""Which answers are missing, whose, and what that means."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from b2b_sem.results.io import frame_from_records, matrix_from_json, matrix_to_json, plain, records

__all__ = ["MissingnessResult"]

_WIDTH = 90


@dataclass(frozen=True, eq=False)
class MissingnessResult:
    """Missing answers by item, person and pattern, and a test of whether they are missing completely at random.

    Attributes
    ----------
    n : int
        Respondents.
    n_complete, n_empty : int
        Respondents without a hole, and without any answer.
    items : DataFrame
        One row an item: item, n (answers), missing, percent (of the respondents).
    persons : DataFrame
        How many respondents left how many items out: missing, persons, percent.
    sparse : DataFrame
        Respondents who left at least half of the items out, worst first: row, missing, percent.
    patterns : DataFrame
        The most frequent patterns: pattern (number), persons, percent, missing (number of items left out), left_out
        (their names, a tuple).
    n_patterns : int
        Different patterns, that of complete rows and that of empty rows included.
    coverage : DataFrame
        Share of the respondents who answered both items (items x items; the diagonal is that of one item).
    lowest : tuple of (str, str, float) or None
        The pair of items with the lowest coverage; None with fewer than two items.
    chisq, df, pvalue, compared : float, int, float, int
        Little's test of missing completely at random, and the number of patterns it compares; NaN if `untested`.
    untested : str
        Why there is no test; empty if there is one.
    related : DataFrame
        Every other variable compared between those who left an item out and those who answered it (at least 10 each),
        smallest p first: item, variable, n_missing, n_answered, mean_missing, mean_answered, d (standardized
        difference), t, df, pvalue (Welch), pvalue_fdr (Benjamini-Hochberg), r (correlation of item and variable where
        both are known).
    alpha : float
        Error rate of the sentences.
    notes : tuple of str
        What the table leaves out, and what the test takes for granted.
    """

    n: int
    n_complete: int
    n_empty: int
    items: pd.DataFrame
    persons: pd.DataFrame
    sparse: pd.DataFrame
    patterns: pd.DataFrame
    n_patterns: int
    coverage: pd.DataFrame
    lowest: tuple[str, str, float] | None
    chisq: float
    df: int
    pvalue: float
    compared: int
    untested: str
    related: pd.DataFrame
    alpha: float
    notes: tuple[str, ...]

    @property
    def missing(self) -> int:
        """Number of answers that are missing."""
        return int(self.items["missing"].sum())

    @property
    def percent(self) -> float:
        """Missing answers in percent of all cells."""
        return 100.0 * self.missing / (self.n * len(self.items))

    def conclusions(self) -> tuple[str, ...]:
        """Return what follows, in sentences: how much is missing, what the test says, and what no test can say."""
        if not self.missing:
            return (f"No answer is missing: all {self.n} respondents answered all {len(self.items)} items.",)
        worst = self.items.sort_values("missing", ascending=False, kind="stable").iloc[0]
        out = [
            f"{self.percent:.1f} % of the answers are missing; {self.n_complete} of {self.n} respondents "
            f"({100.0 * self.n_complete / self.n:.1f} %) left nothing out. Most holes: {worst['item']} "
            f"({worst['percent']:.1f} %)."
        ]
        if self.lowest is not None:
            first, second, share = self.lowest
            if share == 0:
                out.append(f"Nobody answered both {first} and {second}: their covariance is not in the data.")
            else:
                out.append(f"The pair answered together least often is {first} with {second} ({100.0 * share:.1f} %).")
        out += self._test()
        out += self._predictors()
        out.append(
            "No test can tell whether an answer is missing because of what it would have been (missing not at random): "
            "only knowledge of how the data arose can."
        )
        return tuple(out)

    def _predictors(self) -> list[str]:
        """Name the variables on which those who leave items out differ from the others."""
        found = self.related[self.related["pvalue_fdr"] < self.alpha]
        names = list(dict.fromkeys(found["variable"]))
        within = [n for n in names if n in set(self.items["item"])]
        beyond = [n for n in names if n not in set(within)]
        out = []
        if within:
            out.append(f"Those who left an item out differ from those who answered it on other items: {_some(within)}.")
        if beyond:
            out.append(
                f"They differ on variables beside the items, too: {_some(beyond)}."
                if within
                else f"Those who left an item out differ from those who answered it on {_some(beyond)}."
            )
            out.append(
                "Naming such a variable as an auxiliary variable helps if it also goes with the answers themselves "
                "(column r of the table of differences)."
            )
        return out

    def _test(self) -> list[str]:
        if self.untested:
            return [f"Little's test was not made: {self.untested}."]
        p = "p < .001" if self.pvalue < 0.001 else f"p = {self.pvalue:.3f}".replace("0.", ".", 1)
        numbers = f"Little's test, chi-square({self.df}) = {self.chisq:.2f}, {p}"
        if self.pvalue < self.alpha:
            return [
                f"Answers are not missing completely at random ({numbers}): leaving out rows with holes can bias "
                "estimates. Full information maximum likelihood and multiple imputation can avoid that if what the "
                "holes depend on is among the variables used (missing at random)."
            ]
        return [
            f"There is no sign against missing completely at random ({numbers}). That is no proof: the test compares "
            "means of patterns only, and overlooks small differences in small samples."
        ]

    def summary(self) -> str:
        """Return the result as text for a terminal."""
        blocks = ["\n".join(textwrap.fill(line, _WIDTH) for line in self.conclusions())]
        if self.missing:
            head = self.items.sort_values("missing", ascending=False, kind="stable").head(10)
            blocks.append("Items with most missing answers:\n" + _text(head[head["missing"] > 0]))
            blocks.append("Items left out per respondent:\n" + _text(self.persons))
            blocks.append(self._pattern_text())
        if self.notes:
            lines = (
                textwrap.fill(note, _WIDTH, initial_indent="  - ", subsequent_indent="    ") for note in self.notes
            )
            blocks.append("\n".join(["Notes:", *lines]))
        return "\n\n".join(blocks)

    def _pattern_text(self) -> str:
        lines = [f"Most frequent patterns ({len(self.patterns)} of {self.n_patterns}; left out):"]
        for row in self.patterns.head(10).to_dict("records"):
            out = row["left_out"]
            shown = _some(list(out), 8) or "(nothing)"
            lines.append(f"{row['persons']:>8}  {shown}")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.summary()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types; ``from_json`` rebuilds the result."""
        return {
            "n": self.n,
            "n_complete": self.n_complete,
            "n_empty": self.n_empty,
            "items": records(self.items),
            "persons": records(self.persons),
            "sparse": records(self.sparse),
            "patterns": records(self.patterns),
            "n_patterns": self.n_patterns,
            "coverage": matrix_to_json(self.coverage),
            "lowest": plain(self.lowest),
            "mcar": {
                "chisq": plain(self.chisq),
                "df": self.df,
                "pvalue": plain(self.pvalue),
                "patterns": self.compared,
                "untested": self.untested,
            },
            "related": records(self.related),
            "alpha": self.alpha,
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> MissingnessResult:
        """Rebuild a result from the output of ``to_json``."""
        test = data["mcar"]
        patterns = frame_from_records(data["patterns"], PATTERN_COLUMNS)
        patterns["left_out"] = [tuple(names) for names in patterns["left_out"]]
        lowest = data["lowest"]
        return cls(
            n=int(data["n"]),
            n_complete=int(data["n_complete"]),
            n_empty=int(data["n_empty"]),
            items=frame_from_records(data["items"], ITEM_COLUMNS),
            persons=frame_from_records(data["persons"], PERSON_COLUMNS),
            sparse=frame_from_records(data["sparse"], SPARSE_COLUMNS),
            patterns=patterns,
            n_patterns=int(data["n_patterns"]),
            coverage=matrix_from_json(data["coverage"]),
            lowest=None if lowest is None else (str(lowest[0]), str(lowest[1]), float(lowest[2])),
            chisq=_number(test["chisq"]),
            df=int(test["df"]),
            pvalue=_number(test["pvalue"]),
            compared=int(test["patterns"]),
            untested=str(test["untested"]),
            related=frame_from_records(data["related"], RELATED_COLUMNS),
            alpha=float(data["alpha"]),
            notes=tuple(data["notes"]),
        )


ITEM_COLUMNS = ("item", "n", "missing", "percent")
PERSON_COLUMNS = ("missing", "persons", "percent")
SPARSE_COLUMNS = ("row", "missing", "percent")
PATTERN_COLUMNS = ("pattern", "persons", "percent", "missing", "left_out")
RELATED_COLUMNS = (
    "item",
    "variable",
    "n_missing",
    "n_answered",
    "mean_missing",
    "mean_answered",
    "d",
    "t",
    "df",
    "pvalue",
    "pvalue_fdr",
    "r",
)


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _some(names: list[str], most: int = 6) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _text(frame: pd.DataFrame) -> str:
    return frame.to_string(index=False, float_format=lambda v: f"{v:.1f}")
