"""What a Monte Carlo study found: how good the estimates are, how often tests reject, and which verdicts follow."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

from b2b_sem.errors import DataError
from b2b_sem.measures.replication import PERFORMANCE
from b2b_sem.results.io import frame_from_records, plain, read_object, records, write_json

__all__ = [
    "CONDITION_COLUMNS",
    "ESTIMATE_COLUMNS",
    "MEASURE_COLUMNS",
    "PARAMETER_COLUMNS",
    "QUANTILES",
    "REPLICATION_COLUMNS",
    "VERDICT_COLUMNS",
    "MonteCarloResult",
    "read_monte_carlo",
]

_NAME = ("condition", "lhs", "op", "rhs", "group")
#: Quantiles of the distributions of estimates and fit measures, by column.
QUANTILES: Mapping[str, float] = MappingProxyType(
    {"q01": 0.01, "q05": 0.05, "q25": 0.25, "q50": 0.50, "q75": 0.75, "q95": 0.95, "q99": 0.99}
)
CONDITION_COLUMNS = ("condition", "n", "change", "options", "batched", "reason")
PARAMETER_COLUMNS = (*_NAME, *PERFORMANCE)
ESTIMATE_COLUMNS = (*_NAME, "true", *QUANTILES)
MEASURE_COLUMNS = ("condition", "measure", "mean", "sd", *QUANTILES, "rejected", "rejected_mcse", "n_used")
VERDICT_COLUMNS = (
    "condition",
    "proposition",
    "supported",
    "supported_mcse",
    "not_supported",
    "not_supported_mcse",
    "contradicted",
    "contradicted_mcse",
    "not_testable",
    "not_testable_mcse",
    "n_used",
)
REPLICATION_COLUMNS = (
    "condition",
    "replications",
    "converged",
    "converged_mcse",
    "improper",
    "improper_mcse",
    "failed",
    "why",
)
_TABLES = {
    "conditions": CONDITION_COLUMNS,
    "parameters": PARAMETER_COLUMNS,
    "estimates": ESTIMATE_COLUMNS,
    "measures": MEASURE_COLUMNS,
    "verdicts": VERDICT_COLUMNS,
    "replications": REPLICATION_COLUMNS,
}
_TEXT = {"condition", "lhs", "op", "rhs", "group", "change", "options", "reason", "measure", "proposition", "why"}
_FORMAT = 1


@dataclass(frozen=True, eq=False)
class MonteCarloResult:
    """Tables of a Monte Carlo study, one row a condition and thing. Tables are copies.

    Attributes
    ----------
    id, title, population, model : str
    seed, replications : int
        Samples of each condition.
    alpha, confidence : float
    multiplicity : str
    notes, warnings : tuple of str
    provenance : mapping
        Version, digests of the files, the design.
    samples : mapping of str to mapping of arrays
        For each condition what each replication gave: ``est``, ``se``, ``half`` and ``pvalue`` with one column a row of
        `parameters`, ``measures``, ``verdict``, ``converged``, ``improper``, ``why``. Empty in a result read from a
        file.
    """

    id: str
    title: str
    population: str
    model: str
    seed: int
    replications_each: int
    alpha: float
    confidence: float
    multiplicity: str
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    provenance: Mapping[str, Any] = field(repr=False)
    _tables: Mapping[str, pd.DataFrame] = field(repr=False)
    samples: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: MappingProxyType({}), repr=False)

    @property
    def conditions(self) -> pd.DataFrame:
        """One row a condition: condition n change options; batched, and reason if each sample was fitted by itself."""
        return self._tables["conditions"].copy()

    @property
    def parameters(self) -> pd.DataFrame:
        """One row a parameter of the standardized solution: see :func:`b2b_sem.measures.replication.performance`.

        ``true`` is what the population file says. ``power`` is the share of Wald tests that reject zero: of the
        unstandardized estimate, which verdicts rest on, or of the standardized one where that is fixed.
        """
        return self._tables["parameters"].copy()

    @property
    def estimates(self) -> pd.DataFrame:
        """Quantiles of the estimates: condition lhs op rhs group true q01 ... q99."""
        return self._tables["estimates"].copy()

    @property
    def measures(self) -> pd.DataFrame:
        """Mean, sd and quantiles of each fit measure; for p-values the share of tests that reject at alpha."""
        return self._tables["measures"].copy()

    @property
    def verdicts(self) -> pd.DataFrame:
        """Share of each verdict on each proposition, over all replications: failed ones are not testable."""
        return self._tables["verdicts"].copy()

    @property
    def replications(self) -> pd.DataFrame:
        """Shares of samples that converged (and are identified), of improper solutions; failures and their reasons."""
        return self._tables["replications"].copy()

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the single samples as plain JSON types."""
        head = {
            name: getattr(self, name)
            for name in (
                "id",
                "title",
                "population",
                "model",
                "seed",
                "replications_each",
                "alpha",
                "confidence",
                "multiplicity",
                "notes",
                "warnings",
                "provenance",
            )
        }
        tables = {name: records(table) for name, table in self._tables.items()}
        out: dict[str, Any] = plain({"format": _FORMAT, "kind": "montecarlo", **head, "tables": tables})
        return out

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write :meth:`to_dict` as JSON, whole or not at all."""
        return write_json(path, self.to_dict())

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> MonteCarloResult:
        """Rebuild a result from :meth:`to_dict`."""
        if data.get("kind") != "montecarlo" or data.get("format") != _FORMAT:
            raise DataError("this is not the result of a Monte Carlo study", hint="name its results.json")
        tables = {}
        for name, columns in _TABLES.items():
            frame = frame_from_records(data["tables"][name], columns)
            for column in frame.columns:
                if column in _TEXT:
                    frame[column] = frame[column].astype(object)
            tables[name] = frame
        head = {k: v for k, v in data.items() if k not in ("format", "kind", "tables")}
        for name in ("notes", "warnings"):
            head[name] = tuple(head[name])
        return cls(
            **{**head, "provenance": MappingProxyType(dict(head["provenance"]))}, _tables=MappingProxyType(tables)
        )


def read_monte_carlo(path: str | os.PathLike[str]) -> MonteCarloResult:
    """Read a result that :meth:`MonteCarloResult.save` wrote; raises ``DataError`` for another file."""
    return MonteCarloResult.from_dict(read_object(path, "the result of a Monte Carlo study"))
