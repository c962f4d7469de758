"""What a sample-size plan came to: respondents for each proposition and size of its effect."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

from b2b_sem.errors import DataError
from b2b_sem.results.io import frame_from_records, plain, read_object, records, write_json

__all__ = ["EFFECT_COLUMNS", "HELD_COLUMNS", "PLAN_COLUMNS", "VISIT_COLUMNS", "PlanResult", "read_plan"]

PLAN_COLUMNS = (
    "proposition",
    "path",
    "size",
    "rows",
    "lower",
    "upper",
    "precise",
    "single",
    "single_lower",
    "single_upper",
    "theory",
    "samples",
    "unsolved",
)
VISIT_COLUMNS = (
    "proposition",
    "size",
    "nobs",
    "samples",
    "supported",
    "not_supported",
    "contradicted",
    "not_testable",
    "single",
    "power",
    "power_lower",
    "power_upper",
)
EFFECT_COLUMNS = ("proposition", "size", "kind", "asked", "name", "level", "value")
HELD_COLUMNS = ("lhs", "op", "rhs", "value")
_TABLES = {"table": PLAN_COLUMNS, "visits": VISIT_COLUMNS, "effects": EFFECT_COLUMNS, "held": HELD_COLUMNS}
_HEAD = (
    "id",
    "title",
    "population",
    "model",
    "power",
    "alpha",
    "multiplicity",
    "level",
    "seed",
    "notes",
    "warnings",
    "provenance",
)
_FORMAT = 1


@dataclass(frozen=True, eq=False)
class PlanResult:
    """Respondents that each proposition needs. Tables are copies.

    Attributes
    ----------
    id, title, population, model : str
    power, alpha : float
        Probability that is asked for; error rate of the verdicts.
    multiplicity : str
        How p-values are adjusted within a study.
    level : float
        Of the intervals.
    seed : int
    notes, warnings : tuple of str
    provenance : mapping
        Version, digests of the files.
    """

    id: str
    title: str
    population: str
    model: str
    power: float
    alpha: float
    multiplicity: str
    level: float
    seed: int
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    provenance: Mapping[str, Any] = field(repr=False)
    _tables: Mapping[str, pd.DataFrame] = field(repr=False)

    @property
    def table(self) -> pd.DataFrame:
        """One row a proposition and size of its effect.

        Columns: proposition, path (as claimed), size; rows (smallest number of respondents of which a study supports
        the proposition with the asked power, from samples; NaN where they do not tell), lower and upper (its interval),
        precise (whether that became as narrow as asked); single, single_lower, single_upper (the same for its test by
        itself, p-values not adjusted; of one path or product); theory (the same by large-sample theory; of paths);
        samples (that were drawn), unsolved (those in which the proposition could not be tested; they count as not
        supported).
        """
        return self._tables["table"].copy()

    @property
    def visits(self) -> pd.DataFrame:
        """All that was drawn: proposition size nobs samples; counts of each verdict; single (significant by itself).

        ``power`` is the share of supported with its interval, power_lower and power_upper.
        """
        return self._tables["visits"].copy()

    @property
    def effects(self) -> pd.DataFrame:
        """What the sizes are: proposition size kind (path, f2, d, change) asked name level value."""
        return self._tables["effects"].copy()

    @property
    def held(self) -> pd.DataFrame:
        """Paths and correlations of the population that stay as they are: lhs op rhs value."""
        return self._tables["held"].copy()

    def wide(self) -> pd.DataFrame:
        """Return respondents with one row a proposition and one column a size."""
        table = self.table
        out = table.pivot_table(index="proposition", columns="size", values="rows", sort=False, dropna=False)
        out = out.reindex(index=list(dict.fromkeys(table["proposition"])), columns=list(dict.fromkeys(table["size"])))
        out.index.name, out.columns.name = None, None
        return out

    def summary(self) -> str:
        """Return respondents by proposition and size as lines."""
        table = self.table
        sizes = list(dict.fromkeys(table["size"]))
        path = {r["proposition"]: r["path"] for r in table.to_dict("records")}
        cells = {(r["proposition"], r["size"]): _cell(r) for r in table.to_dict("records")}
        width = {s: max([len(s), *(len(v) for (_, own), v in cells.items() if own == s)]) for s in sizes}
        first = max(len(p) for p in path)
        second = max(len(p) for p in path.values())
        lines = [f"respondents with which a proposition is supported in {100 * self.power:g} % of samples:"]
        lines.append(f"{'':<{first}}  {'':<{second}}  " + "  ".join(f"{s:>{width[s]}}" for s in sizes))
        for name, shown in path.items():
            own = "  ".join(f"{cells.get((name, s), ''):>{width[s]}}" for s in sizes)
            lines.append(f"{name:<{first}}  {shown:<{second}}  {own}")
        lines.append(f"in brackets: {100 * self.level:g} % interval; p-values adjusted: {self.multiplicity}")
        return "\n".join([*lines, *self.warnings])

    def __str__(self) -> str:
        """Return the summary."""
        return self.summary()

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain JSON types."""
        head = {name: getattr(self, name) for name in _HEAD}
        tables = {name: records(table) for name, table in self._tables.items()}
        out: dict[str, Any] = plain({"format": _FORMAT, "kind": "plan", **head, "tables": tables})
        return out

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write :meth:`to_dict` as JSON, whole or not at all."""
        return write_json(path, self.to_dict())

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> PlanResult:
        """Rebuild a result from :meth:`to_dict`."""
        if data.get("kind") != "plan" or data.get("format") != _FORMAT:
            raise DataError("this is not the result of a sample-size plan", hint="name its results.json")
        tables = {name: frame_from_records(data["tables"][name], columns) for name, columns in _TABLES.items()}
        head = {name: data[name] for name in _HEAD}
        head |= {name: tuple(data[name]) for name in ("notes", "warnings")}
        head["provenance"] = MappingProxyType(dict(data["provenance"]))
        return cls(**head, _tables=MappingProxyType(tables))


def _cell(row: Mapping[Any, Any]) -> str:
    if pd.isna(row["rows"]):
        return "?"
    ends = [("?" if pd.isna(row[c]) else f"{row[c]:.0f}") for c in ("lower", "upper")]
    return f"{row['rows']:.0f} ({ends[0]}-{ends[1]})" + ("" if row["precise"] else "*")


def read_plan(path: str | os.PathLike[str]) -> PlanResult:
    """Read a result that :meth:`PlanResult.save` wrote; raises ``DataError`` for another file."""
    return PlanResult.from_dict(read_object(path, "the result of a sample-size plan"))
