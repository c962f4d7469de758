"""Results of multiple imputation: how fits were pooled, and pooled tests."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from b2b_sem.results.io import plain, records

__all__ = ["POOLING_COLUMNS", "PooledTest", "Pooling"]

POOLING_COLUMNS: tuple[str, ...] = (
    "lhs",
    "op",
    "rhs",
    "group",
    "label",
    "est",
    "se",
    "within",
    "between",
    "df",
    "riv",
    "fmi",
    "efficiency",
    "imputations_needed",
)


@dataclass(frozen=True)
class PooledTest:
    """A test pooled over imputed data sets.

    Attributes
    ----------
    method : {"D1", "D2", "D3", "D4"}
    f, df1, df2, pvalue : float
        F statistic with its degrees of freedom; `df2` is infinite for a chi-square test.
    riv : float
        Average relative increase in variance by the missing answers; NaN where it has no part in the test.
    m : int
        Imputed data sets used.
    scaling_factor : float
        What a robust test divided the chi-square by; 1 for others.
    restrictions : tuple of str
        Of a Wald test, as typed.
    values, se : tuple of float
        Of a Wald test: left side minus right side of each, and its pooled standard error.
    """

    method: str
    f: float
    df1: float
    df2: float
    pvalue: float
    riv: float
    m: int
    scaling_factor: float = 1.0
    restrictions: tuple[str, ...] = ()
    values: tuple[float, ...] = ()
    se: tuple[float, ...] = ()

    @property
    def chisq(self) -> float:
        """F times `df1`: what a chi-square table is asked when there are many imputations."""
        return self.f * self.df1

    @property
    def df(self) -> float:
        """The number of restrictions."""
        return self.df1

    @property
    def fmi(self) -> float:
        """Share of the information that is missing, riv / (1 + riv)."""
        return self.riv / (1.0 + self.riv)

    def summary(self) -> str:
        """Return the test as text."""
        if math.isinf(self.df2):
            text = f"{self.method}: chi-square {self.chisq:.3f}, df {self.df1:g}, p {self.pvalue:.4f}"
        else:
            text = f"{self.method}: F({self.df1:g}, {self.df2:.1f}) {self.f:.3f}, p {self.pvalue:.4f}"
        if not math.isnan(self.riv):
            text += f"; relative increase in variance {self.riv:.3f}"
        lines = [f"{text} ({self.m} imputations)"]
        lines += [
            f"  {what}: difference {value:.4f} (SE {se:.4f})"
            for what, value, se in zip(self.restrictions, self.values, self.se, strict=True)
        ]
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.summary()

    def to_json(self) -> dict[str, Any]:
        """Return the test as plain JSON types; an infinite `df2` is null."""
        out: dict[str, Any] = plain({**self.__dict__, "chisq": self.chisq, "fmi": self.fmi})
        return out


@dataclass(frozen=True, eq=False)
class Pooling:
    """How the fits to imputed data sets were put together.

    Attributes
    ----------
    m : int
        Imputed data sets given.
    failed : mapping of int to str
        Data sets (from 1) without a solution, and why; they are left out.
    method : str
        Of the chi-squares in the measures: "D2" or "D3".
    riv : float
        Average relative increase in variance in the chi-square; NaN for a saturated model.
    baseline_riv : float
        The same for the baseline model.
    """

    m: int
    failed: Mapping[int, str]
    method: str
    riv: float
    baseline_riv: float
    _table: pd.DataFrame = field(repr=False)

    @property
    def used(self) -> int:
        """Imputed data sets whose fits were pooled."""
        return self.m - len(self.failed)

    @property
    def table(self) -> pd.DataFrame:
        """One row a parameter that has a standard error.

        Columns: lhs op rhs group label est se within between df riv fmi efficiency imputations_needed. ``within`` and
        ``between`` are the variances W and B of Rubin (1987); ``fmi`` is the share of the parameter's variance that is
        due to missing answers; ``efficiency`` = 1 / (1 + fmi / m); ``imputations_needed`` is how many imputations make
        the standard error repeatable within 5 % (von Hippel 2020, doi:10.1177/0049124117747303).
        """
        return self._table.copy()

    @property
    def imputations_needed(self) -> float:
        """The largest number of imputations any parameter needs; NaN if none has a standard error."""
        return float(self._table["imputations_needed"].max()) if len(self._table) else math.nan

    def summary(self) -> str:
        """Return what was pooled as text."""
        table = self._table
        lines = [f"Multiple imputation: {self.used} of {self.m} imputed data sets pooled by Rubin's rules."]
        if len(table):
            worst = table.iloc[int(table["fmi"].fillna(-1.0).to_numpy().argmax())]
            name = " ".join(str(worst[c]) for c in ("lhs", "op", "rhs")).strip()
            if (table["group"] > 1).any() and worst["group"]:
                name += f" in group {worst['group']}"
            lines.append(
                f"Fraction of missing information: mean {table['fmi'].mean():.3f}, largest {worst['fmi']:.3f} ({name})."
            )
        if not math.isnan(self.riv):
            lines.append(f"Chi-square: {self.method}, relative increase in variance {self.riv:.3f}.")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Return the pooling as plain JSON types."""
        out: dict[str, Any] = plain(
            {
                "m": self.m,
                "used": self.used,
                "failed": {str(k): v for k, v in self.failed.items()},
                "method": self.method,
                "riv": self.riv,
                "baseline_riv": self.baseline_riv,
                "table": records(self._table),
            }
        )
        return out
