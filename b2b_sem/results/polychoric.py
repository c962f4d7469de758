"""Correlations of the latent responses behind ordered items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from b2b_sem.results.io import frame_from_records, matrix_from_json, matrix_to_json, plain, records

__all__ = ["PolychoricResult"]


@dataclass(frozen=True, eq=False)
class PolychoricResult:
    """Polychoric, polyserial and product-moment correlations with thresholds and standard errors.

    Attributes
    ----------
    correlations : DataFrame
        Items x items, 1 on the diagonal.
    thresholds : DataFrame
        One row a threshold: item, threshold (from 1), below, above (the answers it separates), est, se.
    table : DataFrame
        One row a pair: lhs, rhs, kind ("polychoric", "polyserial" or "pearson"), est, se, ci_lower, ci_upper (95 %, by
        Fisher's z), nobs (rows with both answers), empty_cells (of their two-way table).
    nobs : int
        Rows used.
    missing : str
        "listwise" or "pairwise".
    notes, warnings : tuple of str
    """

    correlations: pd.DataFrame
    thresholds: pd.DataFrame
    table: pd.DataFrame
    nobs: int
    missing: str
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types; :meth:`from_json` rebuilds the result."""
        return {
            "correlations": matrix_to_json(self.correlations),
            "thresholds": records(self.thresholds),
            "table": records(self.table),
            "nobs": self.nobs,
            "missing": self.missing,
            "notes": plain(self.notes),
            "warnings": plain(self.warnings),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PolychoricResult:
        """Rebuild a result from the output of :meth:`to_json`."""
        return cls(
            correlations=matrix_from_json(data["correlations"]),
            thresholds=frame_from_records(data["thresholds"]),
            table=frame_from_records(data["table"]),
            nobs=int(data["nobs"]),
            missing=str(data["missing"]),
            notes=tuple(data["notes"]),
            warnings=tuple(data["warnings"]),
        )
