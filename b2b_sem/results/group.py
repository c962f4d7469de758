"""What a fit of several groups holds for each of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pandas as pd

from b2b_sem.results.io import matrix_from_json, matrix_to_json, plain

__all__ = ["GroupPart"]


@dataclass(frozen=True, eq=False)
class GroupPart:
    """One group of a fit.

    Attributes
    ----------
    nobs : int
    chisq : float
        What the group adds to the chi-square; NaN if the fit did not converge.
    r2 : mapping of str to float
    sample_cov, implied_cov, latent_cov : DataFrame
    sample_mean, implied_mean : Series or None
    sample_th, implied_th : Series or None
        Thresholds of ordinal items.
    sample_slopes, implied_slopes : DataFrame or None
        Regressions on covariates that models of ordinal items condition on.
    """

    nobs: int
    chisq: float
    r2: Mapping[str, float]
    sample_cov: pd.DataFrame
    implied_cov: pd.DataFrame
    latent_cov: pd.DataFrame
    sample_mean: pd.Series | None = None
    implied_mean: pd.Series | None = None
    sample_th: pd.Series | None = None
    implied_th: pd.Series | None = None
    sample_slopes: pd.DataFrame | None = None
    implied_slopes: pd.DataFrame | None = None

    def residuals(self, kind: str) -> dict[str, Any]:
        """Return sample minus implied moments, ``"raw"`` or of ``"cor"``relations."""
        s, sigma = self.sample_cov, self.implied_cov
        if kind == "cor":
            a, b = (m / _outer(m) for m in (s, sigma))
            return {"cov": a - b}
        out: dict[str, Any] = {"cov": s - sigma}
        if self.sample_mean is not None and self.implied_mean is not None:
            out["mean"] = self.sample_mean - self.implied_mean
        if self.sample_th is not None and self.implied_th is not None:
            out["th"] = self.sample_th - self.implied_th
        if self.sample_slopes is not None and self.implied_slopes is not None:
            out["slopes"] = self.sample_slopes - self.implied_slopes
        return out

    def latent_cor(self) -> pd.DataFrame:
        """Return the implied correlations of the latent variables."""
        return self.latent_cov / _outer(self.latent_cov)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "nobs": self.nobs,
            "chisq": plain(self.chisq),
            "r2": plain(dict(self.r2)),
            "sample_cov": matrix_to_json(self.sample_cov),
            "implied_cov": matrix_to_json(self.implied_cov),
            "latent_cov": matrix_to_json(self.latent_cov),
            "sample_mean": None if self.sample_mean is None else plain(self.sample_mean),
            "implied_mean": None if self.implied_mean is None else plain(self.implied_mean),
            **{f"{w}_th": plain(v) for w, v in self._pairs("th") if v is not None},
            **{f"{w}_slopes": matrix_to_json(v) for w, v in self._pairs("slopes") if v is not None},
        }

    def _pairs(self, what: str) -> list[tuple[str, Any]]:
        """Return moments of the sample and those implied, with these words."""
        return [(which, getattr(self, f"{which}_{what}")) for which in ("sample", "implied")]

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> GroupPart:
        """Rebuild a group from the output of ``to_json``."""

        def number(value: Any) -> float:
            return float("nan") if value is None else float(value)

        def series(value: Mapping[str, Any] | None) -> pd.Series | None:
            return None if value is None else pd.Series({k: number(v) for k, v in value.items()})

        return cls(
            data["nobs"],
            number(data["chisq"]),
            MappingProxyType({k: number(v) for k, v in data["r2"].items()}),
            matrix_from_json(data["sample_cov"]),
            matrix_from_json(data["implied_cov"]),
            matrix_from_json(data["latent_cov"]),
            series(data["sample_mean"]),
            series(data["implied_mean"]),
            series(data.get("sample_th")),
            series(data.get("implied_th")),
            matrix_from_json(data["sample_slopes"]) if data.get("sample_slopes") else None,
            matrix_from_json(data["implied_slopes"]) if data.get("implied_slopes") else None,
        )


def _outer(cov: pd.DataFrame) -> Any:
    sd = cov.to_numpy().diagonal() ** 0.5
    return sd[:, None] * sd
