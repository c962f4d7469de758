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
    """

    nobs: int
    chisq: float
    r2: Mapping[str, float]
    sample_cov: pd.DataFrame
    implied_cov: pd.DataFrame
    latent_cov: pd.DataFrame
    sample_mean: pd.Series | None = None
    implied_mean: pd.Series | None = None

    def residuals(self, kind: str) -> dict[str, Any]:
        """Return sample minus implied moments, ``"raw"`` or of ``"cor"``relations."""
        s, sigma = self.sample_cov, self.implied_cov
        if kind == "cor":
            a, b = (m / _outer(m) for m in (s, sigma))
            return {"cov": a - b}
        out: dict[str, Any] = {"cov": s - sigma}
        if self.sample_mean is not None and self.implied_mean is not None:
            out["mean"] = self.sample_mean - self.implied_mean
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
        }

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
        )


def _outer(cov: pd.DataFrame) -> Any:
    sd = cov.to_numpy().diagonal() ** 0.5
    return sd[:, None] * sd
