"""What samples said about power."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from b2b_sem.results.io import frame_from_records, plain, records

__all__ = ["RowSearch", "SampledPower"]


@dataclass(frozen=True, eq=False)
class SampledPower:
    """Shares of samples that reject.

    Attributes
    ----------
    alpha, level : float
        Error rate of each test; of the bands.
    n, seed : int
        Samples at each number of rows.
    """

    alpha: float
    level: float
    n: int
    seed: int
    _table: pd.DataFrame = field(repr=False)

    @property
    def table(self) -> pd.DataFrame:
        """test nobs power mcse lower upper (binomial band) used failed (samples without a solution)."""
        return self._table.copy()

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain JSON types."""
        out: dict[str, Any] = plain({k: getattr(self, k) for k in ("alpha", "level", "n", "seed")})
        return {**out, "table": records(self._table)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SampledPower:
        """Rebuild a result from the output of ``to_json``."""
        return cls(data["alpha"], data["level"], data["n"], data["seed"], frame_from_records(data["table"]))


@dataclass(frozen=True, eq=False)
class RowSearch:
    """The number of rows at which a test has a power, found by samples.

    Attributes
    ----------
    test : str
    power, alpha, level : float
    seed : int
    rows : int
        0 where the samples do not tell.
    lower, upper : float
        Confidence interval of the number of rows.
    precise : bool
        Whether the interval became as narrow as asked.
    """

    test: str
    power: float
    alpha: float
    level: float
    seed: int
    rows: int
    lower: float
    upper: float
    precise: bool
    _table: pd.DataFrame = field(repr=False)

    @property
    def table(self) -> pd.DataFrame:
        """All samples that were drawn: nobs rejected used power lower upper."""
        return self._table.copy()

    def summary(self) -> str:
        """Return the answer as one line."""
        text = f"{self.test}: {self.rows} rows for power {self.power:g} ({self.level:.0%} interval "
        text += f"{self.lower:.0f} to {self.upper:.0f}; {int(self._table['used'].sum())} samples)"
        return text if self.precise else text + "; wider than asked: draw more batches"

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain JSON types."""
        names = ("test", "power", "alpha", "level", "seed", "rows", "lower", "upper", "precise")
        out: dict[str, Any] = plain({k: getattr(self, k) for k in names})
        return {**out, "table": records(self._table)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RowSearch:
        """Rebuild a result from the output of ``to_json``."""
        numbers: dict[str, Any] = {k: float("nan") if data[k] is None else float(data[k]) for k in ("lower", "upper")}
        kept = {k: data[k] for k in ("test", "power", "alpha", "level", "seed", "rows", "precise")}
        return cls(**kept, **numbers, _table=frame_from_records(data["table"]))
