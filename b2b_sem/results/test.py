"""Results of tests on fitted models: comparisons, Wald tests and score tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from b2b_sem.results.io import plain, records

__all__ = ["ComparisonResult", "ScoreTest", "WaldTest"]


@dataclass(frozen=True)
class WaldTest:
    """A Wald test of restrictions that the model does not impose.

    Attributes
    ----------
    chisq : float
    df : int
    pvalue : float
    restrictions : tuple of str
        As typed.
    values : tuple of float
        Left side minus right side of each at the estimates.
    se : tuple of float
        Their standard errors (delta method).
    """

    chisq: float
    df: int
    pvalue: float
    restrictions: tuple[str, ...]
    values: tuple[float, ...]
    se: tuple[float, ...]

    def summary(self) -> str:
        """Return the test as text."""
        lines = [f"Wald test: chi-square {self.chisq:.3f}, df {self.df}, p {self.pvalue:.4f}"]
        lines += [
            f"  {text}: difference {value:.4f} (SE {se:.4f})"
            for text, value, se in zip(self.restrictions, self.values, self.se, strict=True)
        ]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Return the test as plain JSON types."""
        out: dict[str, Any] = plain(self.__dict__)
        return out


@dataclass(frozen=True, eq=False)
class ScoreTest:
    """Score (Lagrange multiplier) tests of constraints: what releasing them would change.

    Attributes
    ----------
    chisq : float
        Total test: all of the tested constraints released together.
    df : int
    pvalue : float
    warnings : tuple of str
    """

    chisq: float
    df: int
    pvalue: float
    warnings: tuple[str, ...] = ()
    _univariate: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False)
    _cumulative: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False)
    _epc: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False)

    @property
    def univariate(self) -> pd.DataFrame:
        """Each constraint released by itself: lhs op rhs chisq df pvalue epc (the change of lhs - rhs)."""
        return self._univariate.copy()

    @property
    def cumulative(self) -> pd.DataFrame:
        """Constraints released one after the other, the largest univariate test first: lhs op rhs chisq df pvalue."""
        return self._cumulative.copy()

    @property
    def epc(self) -> pd.DataFrame:
        """Expected change of every parameter when all are released.

        Columns: lhs op rhs group label est epc epv sepc_lv sepc_all sepc_nox, with epv = est + epc.
        """
        return self._epc.copy()

    def summary(self) -> str:
        """Return the tests as text."""
        table = self._univariate.to_string(index=False, float_format=lambda v: f"{v:.4f}")
        total = f"Total score test: chi-square {self.chisq:.3f}, df {self.df}, p {self.pvalue:.4f}"
        return "\n".join([total, "", "Each constraint by itself:", table, *self.warnings])

    def to_json(self) -> dict[str, Any]:
        """Return the tests as plain JSON types."""
        out: dict[str, Any] = plain(
            {
                "chisq": self.chisq,
                "df": self.df,
                "pvalue": self.pvalue,
                "warnings": self.warnings,
                "univariate": records(self._univariate),
                "cumulative": records(self._cumulative),
                "epc": records(self._epc),
            }
        )
        return out


@dataclass(frozen=True, eq=False)
class ComparisonResult:
    """Nested models side by side, from the least to the most restricted.

    Attributes
    ----------
    method : str
        How differences of chi-square were tested: "standard", "satorra.bentler.2001", "satorra.bentler.2010",
        "satorra.2000", or "none".
    nested : tuple of float
        For each pair of neighbours the chi-square (n F) with which the larger model reproduces the moments implied by
        the smaller one: zero, up to rounding, when the two are nested (Bentler & Satorra 2010). NaN if not tested.
    notes : tuple of str
    """

    method: str
    nested: tuple[float, ...]
    notes: tuple[str, ...]
    _table: pd.DataFrame = field(repr=False)

    @property
    def table(self) -> pd.DataFrame:
        """One row a model.

        Columns: model npar df chisq chisq_diff df_diff pvalue rmsea_diff aic bic aic_diff bic_diff cfi rmsea cfi_diff
        rmsea_change. Differences are to the row before; ``rmsea_diff`` is the RMSEA of the difference test, while
        ``rmsea_change`` is the difference of the two models' RMSEA. Models with latent products: model npar logl
        chisq_diff df_diff pvalue scaling_factor aic bic aic_diff bic_diff.
        """
        return self._table.copy()

    def summary(self) -> str:
        """Return the table and notes as text."""
        table = self._table.to_string(index=False, na_rep="", float_format=lambda v: f"{v:.3f}")
        what = "Likelihood-ratio" if "logl" in self._table else "Chi-square difference"
        return "\n".join([f"{what} tests ({self.method})", "", table, *("", *self.notes)]).rstrip()

    def __str__(self) -> str:
        return self.summary()

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as plain JSON types."""
        out: dict[str, Any] = plain(
            {"method": self.method, "nested": self.nested, "notes": self.notes, "table": records(self._table)}
        )
        return out
