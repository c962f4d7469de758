"""Cut-offs of fit indices that were made for one model and one sample size."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from b2b_sem.measures.cutoff import NONE
from b2b_sem.measures.notation import number
from b2b_sem.results.io import frame_from_records, plain, records

__all__ = ["INDICES", "FitCutoffs"]

#: Fit indices in the order of the tables.
INDICES: tuple[str, ...] = ("srmr", "rmsea", "cfi")
_COLUMNS = (
    "level",
    "index",
    "cut",
    "criterion",
    "sensitivity",
    "specificity",
    "mcse",
    "correct",
    "power",
    "value",
    "reached",
)
_ADDED = ("level", "lhs", "op", "rhs", "value")


@dataclass(frozen=True, eq=False)
class FitCutoffs:
    """Dynamic cut-offs of SRMR, RMSEA and CFI.

    Attributes
    ----------
    model : str
        The measurement model, as lavaan syntax.
    factors : int
    nobs : int
        Respondents of each sample.
    replications : int
        Samples of each population.
    seed : int
    estimator : str
        Of the fits to samples.
    suffix : str
        Which variant of CFI and RMSEA the numbers are: empty, or "_scaled" for ordinal items.
    values : mapping of str to float
        The indices of the fit itself; NaN where there is none.
    failed : tuple of int
        Samples without a solution: of the correct population, then of each level.
    notes : tuple of str
    """

    model: str
    factors: int
    nobs: int
    replications: int
    seed: int
    estimator: str
    suffix: str
    values: Mapping[str, float]
    failed: tuple[int, ...]
    notes: tuple[str, ...]
    _table: pd.DataFrame = field(repr=False)
    _added: pd.DataFrame = field(repr=False)
    _samples: npt.NDArray[np.floating[Any]] = field(repr=False)

    @property
    def levels(self) -> int:
        """Number of misspecified populations."""
        return len(self._samples) - 1

    @property
    def table(self) -> pd.DataFrame:
        """One row a level and index.

        Columns: level; index ("srmr", "rmsea", "cfi"); cut, NaN where there is none; criterion ("95/5", "90/10",
        "none"); sensitivity and specificity of the cut; mcse, its Monte Carlo standard error; correct, the value that
        95% of the samples of a correct model do not exceed (of CFI: reach), and power, the share of misspecified
        samples beyond it; value of the fit itself; reached, whether that is at or beyond the cut (None if there is no
        cut or no value).
        """
        return self._table.copy()

    @property
    def added(self) -> pd.DataFrame:
        """What the populations have and the model has not: level lhs op rhs value; levels keep what lower ones add."""
        return self._added.copy()

    def samples(self, level: int) -> pd.DataFrame:
        """Return the indices of all samples of a level (0: the correct model): srmr rmsea cfi; NaN where a fit failed.

        Raises
        ------
        ValueError
            If there is no such level.
        """
        if not 0 <= level <= self.levels:
            raise ValueError(f"there are levels 0 to {self.levels}, not {level}")
        return pd.DataFrame(self._samples[level], columns=list(INDICES))

    def reached(self, index: str) -> int | None:
        """Return the highest level whose cut-off the fit is at or beyond, 0 if none; None if it cannot be said."""
        own = self._table[self._table["index"] == index]
        known = [bool(v) for v in own["reached"] if v is not None]
        if not known:
            return None
        return max((int(k) for k, v in zip(own["level"], own["reached"], strict=True) if v), default=0)

    def conclusions(self) -> tuple[str, ...]:
        """Return what the indices of the fit say, in plain words; empty without a fit of this sample size."""
        out = []
        for index in INDICES:
            value = self.values.get(index, math.nan)
            if not math.isfinite(value):
                continue
            name = f"{index.upper()} = {number(value, 3, bounded=True)}"
            level, rows = self.reached(index), self._table[self._table["index"] == index]
            if level is None:
                limit = number(float(rows["correct"].iloc[0]), 3, bounded=True)
                side = "reach at least" if index == "cfi" else "do not exceed"
                out.append(
                    f"{name}: no cut-off tells a correct model from these misspecified ones; 95% of correct samples "
                    f"{side} {limit}."
                )
                continue
            own = rows[rows["cut"].notna()]
            if level == 0:
                first = own.iloc[0]
                cut = number(float(first["cut"]), 3, bounded=True)
                out.append(
                    f"{name} is better than the cut-off of level {int(first['level'])} ({cut}): no misfit of this "
                    "size shows."
                )
            else:
                cut = number(float(own[own["level"] == level]["cut"].iloc[0]), 3, bounded=True)
                out.append(f"{name} is at or beyond the cut-off of level {level} ({cut}): {self._meaning(level)}.")
        return tuple(out)

    def _meaning(self, level: int) -> str:
        count = int((self._added["level"] <= level).sum())
        what = "cross-loading" if self.factors > 1 else "correlation of residuals"
        plural = {"cross-loading": "cross-loadings", "correlation of residuals": "correlations of residuals"}
        word = what if count == 1 else plural[what]
        return f"as much misfit as {count} left-out {word} or more"

    def summary(self) -> str:
        """Return levels, cut-offs and conclusions as text."""
        kind = "one factor" if self.factors == 1 else f"{self.factors} factors"
        head = (
            f"Dynamic cut-offs of fit indices: {kind}, n = {self.nobs}, {self.replications} samples a level, "
            f"estimator {self.estimator}, seed {self.seed}"
        )
        rows = []
        for level in range(1, self.levels + 1):
            own = self._table[self._table["level"] == level].set_index("index")
            row: dict[str, str] = {"level": str(level)}
            for index in INDICES:
                part = own.loc[index]
                row[index.upper() + ("" if index == "srmr" else self.suffix)] = (
                    "none" if part["criterion"] == NONE else f"{part['cut']:.3f}"
                )
                row[f"({index})"] = "" if part["criterion"] == NONE else str(part["criterion"])
            added = self._added[self._added["level"] == level].to_dict("records")
            row["added"] = "; ".join(f"{a['lhs']} {a['op']} {a['value']:.3f}*{a['rhs']}" for a in added)
            rows.append(row)
        frame = pd.DataFrame(rows).rename(columns={f"({i})": " " * k for k, i in enumerate(INDICES)})
        lines = [head, "", frame.to_string(index=False)]
        if any(math.isfinite(v) for v in self.values.values()):
            lines += ["", *self.conclusions()]
        return "\n".join([*lines, *(("", *self.notes) if self.notes else ())])

    def __str__(self) -> str:
        return self.summary()

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain JSON types; what is unknown is null."""
        out: dict[str, Any] = plain(
            {
                "model": self.model,
                "factors": self.factors,
                "nobs": self.nobs,
                "replications": self.replications,
                "seed": self.seed,
                "estimator": self.estimator,
                "suffix": self.suffix,
                "values": self.values,
                "failed": self.failed,
                "notes": self.notes,
                "table": records(self._table),
                "added": records(self._added),
                "samples": self._samples,
            }
        )
        return out

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> FitCutoffs:
        """Rebuild a result from the output of ``to_json``."""

        def numbers(value: Any) -> Any:
            return np.array(value, dtype=float)  # null becomes NaN

        table = frame_from_records(data["table"], _COLUMNS)
        for name in _COLUMNS:
            if name not in ("level", "index", "criterion", "reached"):
                table[name] = pd.to_numeric(table[name]).astype("float64")
        table["reached"] = pd.Series([row["reached"] for row in data["table"]], dtype=object)
        return cls(
            data["model"],
            data["factors"],
            data["nobs"],
            data["replications"],
            data["seed"],
            data["estimator"],
            data["suffix"],
            MappingProxyType({k: math.nan if v is None else float(v) for k, v in data["values"].items()}),
            tuple(data["failed"]),
            tuple(data["notes"]),
            table,
            frame_from_records(data["added"], _ADDED),
            numbers(data["samples"]),
        )
