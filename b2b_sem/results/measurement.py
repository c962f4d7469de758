"""Results on the quality of the scales."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from b2b_sem.results.io import frame_from_records, matrix_from_json, matrix_to_json, plain, records

__all__ = ["MeasurementResult"]


@dataclass(frozen=True)
class MeasurementResult:
    """Reliability and validity of every scale of a fitted measurement model.

    Attributes
    ----------
    reliability : DataFrame
        One row a scale: scale, items, alpha, omega, cr, ave, sqrt_ave, loading_min, loading_max; with ordered items
        also alpha_ordinal and omega_latent.
    loadings : DataFrame
        One row an indicator: scale, item, est, se, std_all, std_se, ci_lower, ci_upper (interval of std_all), r2.
    fornell_larcker : DataFrame
        Latent correlations below the diagonal, square roots of AVE on it (scales x scales, NaN above).
    htmt, htmt2 : DataFrame
        Heterotrait-monotrait ratios (scales x scales, lower triangle, NaN elsewhere).
    adequacy : mapping
        kmo, bartlett_chisq, bartlett_df, bartlett_pvalue of the indicators (of ordered or incomplete ones kmo only).
    warnings, notes : tuple of str
    """

    reliability: pd.DataFrame
    loadings: pd.DataFrame
    fornell_larcker: pd.DataFrame
    htmt: pd.DataFrame
    htmt2: pd.DataFrame
    adequacy: Mapping[str, float]
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types; :meth:`from_json` rebuilds the result."""
        return {
            "reliability": records(self.reliability),
            "loadings": records(self.loadings),
            "fornell_larcker": matrix_to_json(self.fornell_larcker),
            "htmt": matrix_to_json(self.htmt),
            "htmt2": matrix_to_json(self.htmt2),
            "adequacy": plain(self.adequacy),
            "warnings": list(self.warnings),
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> MeasurementResult:
        """Rebuild a result from the output of :meth:`to_json`."""
        return cls(
            reliability=frame_from_records(data["reliability"]),
            loadings=frame_from_records(data["loadings"]),
            fornell_larcker=matrix_from_json(data["fornell_larcker"]),
            htmt=matrix_from_json(data["htmt"]),
            htmt2=matrix_from_json(data["htmt2"]),
            adequacy={k: float("nan") if v is None else float(v) for k, v in data["adequacy"].items()},
            warnings=tuple(data["warnings"]),
            notes=tuple(data["notes"]),
        )
