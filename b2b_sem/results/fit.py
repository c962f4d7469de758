"""The result of fitting one model: numbers, tables and what must be known before they are used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from b2b_sem.errors import Unsupported
from b2b_sem.results.columns import PARAMETER_COLUMNS, STANDARDIZED_COLUMNS
from b2b_sem.results.group import GroupPart
from b2b_sem.results.io import frame_from_records, matrix_from_json, matrix_to_json, plain, records

__all__ = ["FitResult", "ModelInfo", "OptimizerInfo"]


@dataclass(frozen=True)
class ModelInfo:
    """What was fitted.

    Attributes
    ----------
    text : str
        The model as the user gave it.
    syntax : str
        The whole parameter table written back as lavaan syntax, defaults spelled out.
    defaults : tuple of str
        One sentence for each default that was applied.
    observed, latents : tuple of str
        Variable names in model order.
    options : mapping
        The options of the call that shape the numbers (estimator, likelihood, information, se, test, missing,
        meanstructure, std_lv, orthogonal, fixed_x).
    """

    text: str
    syntax: str
    defaults: tuple[str, ...]
    observed: tuple[str, ...]
    latents: tuple[str, ...]
    options: Mapping[str, Any]


@dataclass(frozen=True)
class OptimizerInfo:
    """How the solution was reached.

    Attributes
    ----------
    iterations : int
        Steps of the native optimiser.
    gradient : float
        Largest absolute element of the gradient of the fit function, each divided by the square root of its
        expected curvature, so that it does not depend on the units of the variables.
    polish : float or None
        Largest move, in standard errors, of any parameter between semopy's estimates and the final ones
        (None for the native engine).
    message : str
        Which method finished.
    """

    iterations: int
    gradient: float
    polish: float | None
    message: str


@dataclass(frozen=True, eq=False)
class FitResult:
    """Estimates, standard errors, tests and fit measures of one model, with their provenance.

    The tables use lavaan's column names with dots turned into underscores. Everything is read-only: properties
    and methods return copies.

    Attributes
    ----------
    model : ModelInfo
    estimator, engine : str
        For example ``"ML"`` and ``"native"``.
    converged, identified, admissible : bool
        Whether the optimiser reached a minimum; whether the information matrix has full rank there; whether all
        variances are non-negative and all implied covariance matrices proper (no Heywood case).
    nobs, n_read, n_dropped : int
        Rows used, read and left out.
    warnings, notes : tuple of str
        Warnings must be read before the numbers are used; notes describe what was done.
    """

    model: ModelInfo
    estimator: str
    engine: str
    converged: bool
    identified: bool
    admissible: bool
    nobs: int
    n_read: int
    n_dropped: int
    optimizer: OptimizerInfo
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    _measures: Mapping[str, float] = field(repr=False)
    _parameters: pd.DataFrame = field(repr=False)
    _standardized: pd.DataFrame = field(repr=False)
    _r2: Mapping[str, float] = field(repr=False)
    _sample_cov: pd.DataFrame = field(repr=False)
    _implied_cov: pd.DataFrame = field(repr=False)
    _latent_cov: pd.DataFrame = field(repr=False)
    _sample_mean: pd.Series | None = field(default=None, repr=False)
    _implied_mean: pd.Series | None = field(default=None, repr=False)
    _sample_th: pd.Series | None = field(default=None, repr=False)
    _implied_th: pd.Series | None = field(default=None, repr=False)
    _sample_slopes: pd.DataFrame | None = field(default=None, repr=False)
    _implied_slopes: pd.DataFrame | None = field(default=None, repr=False)
    _groups: Mapping[str, GroupPart] | None = field(default=None, repr=False)

    @property
    def groups(self) -> tuple[str, ...]:
        """Labels of the groups, in the order of their numbers in the tables; empty with one group."""
        return tuple(self._groups or ())

    @property
    def group_tests(self) -> pd.DataFrame:
        """What each group adds to the chi-square: label nobs chisq; no rows with one group."""
        rows = [(label, part.nobs, part.chisq) for label, part in (self._groups or {}).items()]
        return pd.DataFrame(rows, columns=["label", "nobs", "chisq"])

    @property
    def ok(self) -> bool:
        """Whether the numbers may be interpreted: converged, identified and admissible."""
        return self.converged and self.identified and self.admissible

    @property
    def failure(self) -> str:
        """Why the numbers must not be interpreted, in plain words; empty when they may."""
        if not self.converged:
            return "the estimation did not converge"
        if not self.identified:
            return "the model is not identified with these data"
        if not self.admissible:
            return "the solution is not admissible (Heywood case)"
        return ""

    @property
    def auxiliary(self) -> tuple[str, ...]:
        """Auxiliary variables: no part of the model, but their rows stand at the end of the tables."""
        return tuple(self.model.options.get("auxiliary") or ())

    def own(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of a table of parameters that belong to the model itself, not to auxiliary variables."""
        if not self.auxiliary:
            return table
        return table[~(table["lhs"].isin(self.auxiliary) | table["rhs"].isin(self.auxiliary))].reset_index(drop=True)

    @property
    def parameters(self) -> pd.DataFrame:
        """All parameters: lhs op rhs group label free est se z pvalue ci_lower ci_upper std_lv std_all."""
        return self._parameters.copy()

    @property
    def measures(self) -> dict[str, float]:
        """Fit measures by lavaan name (dots turned into underscores); not available ones are NaN."""
        return dict(self._measures)

    @property
    def r2(self) -> dict[str, Any]:
        """Explained variance of each endogenous variable and indicator; with groups a dict of these by label."""
        if self._groups is not None:
            return {label: dict(part.r2) for label, part in self._groups.items()}
        return dict(self._r2)

    def standardized(self) -> pd.DataFrame:
        """Return the completely standardized solution with delta-method SEs, z, p and intervals."""
        return self._standardized.copy()

    def implied(self) -> dict[str, Any]:
        """Return the model-implied moments: ``{"cov": DataFrame}``, with ``"mean"`` under a mean structure.

        With ordinal items ``"cov"`` holds their latent correlations, ``"mean"`` numeric variables only, and there are
        ``"th"`` (thresholds) and, given covariates, ``"slopes"``; all other moments are then residual ones. With
        groups a dict of all this by label.
        """
        if self._groups is not None:
            return {
                g: _moments(p.implied_cov, p.implied_mean, p.implied_th, p.implied_slopes)
                for g, p in self._groups.items()
            }
        parts = (self._implied_mean, self._implied_th, self._implied_slopes)
        return _moments(self._implied_cov, *parts)

    def sample(self) -> dict[str, Any]:
        """Return the sample moments the model was fitted to (divisor as the likelihood says); by label with groups."""
        if self._groups is not None:
            return {
                g: _moments(p.sample_cov, p.sample_mean, p.sample_th, p.sample_slopes) for g, p in self._groups.items()
            }
        return _moments(self._sample_cov, self._sample_mean, self._sample_th, self._sample_slopes)

    def latent_cov(self) -> Any:
        """Return the model-implied covariance matrix of the latent variables; a dict by label with groups."""
        if self._groups is not None:
            return {label: part.latent_cov.copy() for label, part in self._groups.items()}
        return self._latent_cov.copy()

    def latent_cor(self) -> Any:
        """Return the model-implied correlation matrix of the latent variables; a dict by label with groups."""
        if self._groups is not None:
            return {label: part.latent_cor() for label, part in self._groups.items()}
        cov = self._latent_cov
        sd = np.sqrt(np.diag(cov.to_numpy()))
        return pd.DataFrame(cov.to_numpy() / np.outer(sd, sd), index=cov.index, columns=cov.columns)

    def residuals(self, kind: str = "raw") -> dict[str, Any]:
        """Return sample minus implied moments.

        Parameters
        ----------
        kind : {"raw", "cor"}
            ``"raw"``: S - Sigma. ``"cor"``: both turned into correlations first (Bollen), so that the diagonal
            is zero and the unit is a correlation.

        Returns
        -------
        dict
            ``{"cov": DataFrame}`` with, under a mean structure and ``"raw"``, ``"mean"``; by label with groups.

        Raises
        ------
        Unsupported
            For other kinds.
        """
        if self._groups is not None and kind in ("raw", "cor"):
            return {label: part.residuals(kind) for label, part in self._groups.items()}
        s, sigma = self._sample_cov, self._implied_cov
        if kind == "raw":
            out: dict[str, Any] = {"cov": s - sigma}
            if self._sample_mean is not None and self._implied_mean is not None:
                out["mean"] = self._sample_mean - self._implied_mean
            if self._sample_th is not None and self._implied_th is not None:
                out["th"] = self._sample_th - self._implied_th
            if self._sample_slopes is not None and self._implied_slopes is not None:
                out["slopes"] = self._sample_slopes - self._implied_slopes
            return out
        if kind == "cor":
            a, b = (m.to_numpy() / np.sqrt(np.outer(np.diag(m), np.diag(m))) for m in (s, sigma))
            return {"cov": pd.DataFrame(a - b, index=s.index, columns=s.columns)}
        raise Unsupported(f"residuals of kind '{kind}' are not available", hint="use kind='raw' or kind='cor'")

    def summary(self) -> str:
        """Return the result as text, laid out as users of lavaan know it."""
        from b2b_sem.results.summary import summarize

        return summarize(self)

    def __str__(self) -> str:
        return self.summary()

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain JSON types; ``from_json`` rebuilds it."""
        return {
            "converged": self.converged,
            "identified": self.identified,
            "admissible": self.admissible,
            "estimator": self.estimator,
            "engine": self.engine,
            "nobs": self.nobs,
            "n_read": self.n_read,
            "n_dropped": self.n_dropped,
            "measures": plain(self._measures),
            "parameters": records(self._parameters),
            "standardized": records(self._standardized),
            "r2": plain(self.r2),
            "warnings": list(self.warnings),
            "notes": list(self.notes),
            "optimizer": plain(self.optimizer.__dict__),
            "model": {
                "text": self.model.text,
                "syntax": self.model.syntax,
                "defaults": list(self.model.defaults),
                "observed": list(self.model.observed),
                "latents": list(self.model.latents),
                "options": plain(self.model.options),
            },
            "sample_cov": matrix_to_json(self._sample_cov),
            "implied_cov": matrix_to_json(self._implied_cov),
            "latent_cov": matrix_to_json(self._latent_cov),
            "sample_mean": None if self._sample_mean is None else plain(self._sample_mean),
            "implied_mean": None if self._implied_mean is None else plain(self._implied_mean),
            **({} if self._sample_th is None else self._ordinal_json()),
            **({} if self._groups is None else {"groups": {g: part.to_json() for g, part in self._groups.items()}}),
        }

    def _ordinal_json(self) -> dict[str, Any]:
        """Return what only results of ordinal items have."""

        def slopes(frame: pd.DataFrame | None) -> Any:
            return None if frame is None else {str(name): plain(frame[name]) for name in frame}

        return {
            "sample_th": plain(self._sample_th),
            "implied_th": plain(self._implied_th),
            "sample_slopes": slopes(self._sample_slopes),
            "implied_slopes": slopes(self._implied_slopes),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> FitResult:
        """Rebuild a result from the output of ``to_json``."""

        def number(value: Any) -> float:
            return float("nan") if value is None else float(value)

        def series(value: Mapping[str, Any] | None) -> pd.Series | None:
            return None if value is None else pd.Series({k: number(v) for k, v in value.items()})

        def slopes(value: Mapping[str, Any] | None) -> pd.DataFrame | None:
            return None if value is None else pd.DataFrame({name: series(column) for name, column in value.items()})

        model, optimizer = data["model"], data["optimizer"]
        return cls(
            model=ModelInfo(
                text=model["text"],
                syntax=model["syntax"],
                defaults=tuple(model["defaults"]),
                observed=tuple(model["observed"]),
                latents=tuple(model["latents"]),
                options=MappingProxyType(dict(model["options"])),
            ),
            estimator=data["estimator"],
            engine=data["engine"],
            converged=data["converged"],
            identified=data["identified"],
            admissible=data["admissible"],
            nobs=data["nobs"],
            n_read=data["n_read"],
            n_dropped=data["n_dropped"],
            optimizer=OptimizerInfo(
                iterations=optimizer["iterations"],
                gradient=number(optimizer["gradient"]),
                polish=optimizer["polish"],
                message=optimizer["message"],
            ),
            warnings=tuple(data["warnings"]),
            notes=tuple(data["notes"]),
            _measures=MappingProxyType({k: number(v) for k, v in data["measures"].items()}),
            _parameters=frame_from_records(data["parameters"], PARAMETER_COLUMNS),
            _standardized=frame_from_records(data["standardized"], STANDARDIZED_COLUMNS),
            _r2=MappingProxyType({} if "groups" in data else {k: number(v) for k, v in data["r2"].items()}),
            _sample_cov=matrix_from_json(data["sample_cov"]),
            _implied_cov=matrix_from_json(data["implied_cov"]),
            _latent_cov=matrix_from_json(data["latent_cov"]),
            _sample_mean=series(data["sample_mean"]),
            _implied_mean=series(data["implied_mean"]),
            _sample_th=series(data.get("sample_th")),
            _implied_th=series(data.get("implied_th")),
            _sample_slopes=slopes(data.get("sample_slopes")),
            _implied_slopes=slopes(data.get("implied_slopes")),
            _groups=MappingProxyType({g: GroupPart.from_json(part) for g, part in data["groups"].items()})
            if "groups" in data
            else None,
        )


def _moments(
    cov: pd.DataFrame, mean: pd.Series | None, th: pd.Series | None, slopes: pd.DataFrame | None
) -> dict[str, Any]:
    """Return copies of the moments that exist, by name."""
    named: dict[str, Any] = {"cov": cov, "mean": mean, "th": th, "slopes": slopes}
    return {name: value.copy() for name, value in named.items() if value is not None}
