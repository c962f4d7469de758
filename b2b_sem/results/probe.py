"""What a product in a model means: simple slopes, Johnson-Neyman regions, conditional effects, and its size.

A simple slope is read off a quadratic surface of the outcome over the focal variable x and the moderator m,

    y = k + kx x + km m + kxm x m + kxx x^2 + kmm m^2,

everything else held where it is: its six coefficients and their covariance matrix are all that lines, surfaces and
regions need.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from b2b_sem.measures.probing import johnson_neyman, slope_lines, wald_columns
from b2b_sem.results.effect import select_effects
from b2b_sem.results.io import frame_from_records, plain, records

__all__ = [
    "CONDITIONAL_COLUMNS",
    "INDEX_COLUMNS",
    "REGION_COLUMNS",
    "SLOPE_COLUMNS",
    "ConditionalEffects",
    "JohnsonNeyman",
    "ModerationSize",
    "SimpleSlopes",
    "Spread",
    "Surface",
]

Array = npt.NDArray[np.floating[Any]]
TESTED = ("est", "se", "z", "pvalue", "ci_lower", "ci_upper")
SLOPE_COLUMNS = ("at", "value", "value_sd", *TESTED, "est_std")
REGION_COLUMNS = ("band", "lower", "upper", "sign", "share", "share_sample")
CONDITIONAL_COLUMNS = ("kind", "outcome", "predictor", "path", "at", "value", "value_sd", *TESTED, "est_std")
INDEX_COLUMNS = ("measure", "kind", "outcome", "predictor", "path", *TESTED)
#: Half-width of lines, bands and surfaces, in standard deviations.
SPAN = 2.0


@dataclass(frozen=True)
class Spread:
    """Where a variable lies.

    Attributes
    ----------
    mean, sd : float
        Of the variable in the model: implied by it for latent variables, of the sample for observed ones.
    low, high : float
        Range of the sample; NaN for latent variables.
    latent : bool
    """

    mean: float
    sd: float
    low: float = math.nan
    high: float = math.nan
    latent: bool = True

    def window(self, span: float = SPAN) -> tuple[float, float]:
        """Return mean -+ `span` standard deviations, within the range of the sample where that is known."""
        low, high = self.mean - span * self.sd, self.mean + span * self.sd
        if math.isfinite(self.low) and math.isfinite(self.high):
            low, high = max(low, self.low), min(high, self.high)
        return low, high

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        out: dict[str, Any] = plain(self.__dict__)
        return out

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Spread:
        """Rebuild from the output of ``to_json``."""
        numbers = {k: _number(data[k]) for k in ("mean", "sd", "low", "high")}
        return cls(**numbers, latent=bool(data["latent"]))


@dataclass(frozen=True, eq=False)
class Surface:
    """The outcome over the focal variable and the moderator, everything else held.

    Attributes
    ----------
    outcome, focal, moderator, product : str
        `moderator` equals `focal` for a square.
    coefficients : (6,) array
        Of 1, x, m, x m, x^2, m^2. For a square those of m, x m and m^2 are 0.
    cov : (6, 6) array
        Their covariance matrix.
    df : float
        Residual degrees of freedom of t tests; infinite for z.
    held : mapping of str to float
        Where other variables of the equation are held: their means, if the call did not say otherwise.
    x, m, y : Spread
        Of the focal variable, the moderator and the outcome.
    """

    outcome: str
    focal: str
    moderator: str
    product: str
    coefficients: Array
    cov: Array
    df: float
    held: Mapping[str, float]
    x: Spread
    m: Spread
    y: Spread

    @property
    def line(self) -> tuple[float, float, Array]:
        """The slope as a line over the moderator, b1 + b3 m: b1, b3 and their covariance matrix (2, 2).

        With a square of the focal variable beside a moderator, the slope is that at its held value.
        """
        k, at = np.zeros((2, 6)), self.held.get(self.focal, 0.0)
        k[0, 1] = 1.0
        if self.moderator == self.focal:
            k[1, 4] = 2.0
        else:
            k[0, 4], k[1, 3] = 2.0 * at, 1.0
        b = k @ self.coefficients
        return float(b[0]), float(b[1]), k @ self.cov @ k.T

    def slopes(self, at: npt.ArrayLike) -> tuple[Array, Array]:
        """Return the simple slopes at values of the moderator, and their standard errors, each (k,)."""
        b1, b3, cov = self.line
        return slope_lines(b1, b3, cov, at)

    def predict(self, x: npt.ArrayLike, m: npt.ArrayLike) -> tuple[Array, Array]:
        """Return the expected outcome at values of the focal variable and the moderator, and its standard error.

        Shapes of `x` and `m` are broadcast. For a square `m` has no part.
        """
        a, b = np.broadcast_arrays(np.asarray(x, dtype=float), np.asarray(m, dtype=float))
        design = np.stack([np.ones_like(a), a, b, a * b, a**2, b**2], axis=-1)
        variance = np.einsum("...i,ij,...j->...", design, self.cov, design)
        return design @ self.coefficients, np.sqrt(np.maximum(variance, 0.0))

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        names = ("outcome", "focal", "moderator", "product", "coefficients", "cov", "df", "held")
        out: dict[str, Any] = plain({name: getattr(self, name) for name in names})
        return out | {name: getattr(self, name).to_json() for name in ("x", "m", "y")}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Surface:
        """Rebuild from the output of ``to_json``."""
        return cls(
            outcome=data["outcome"],
            focal=data["focal"],
            moderator=data["moderator"],
            product=data["product"],
            coefficients=np.array([_number(v) for v in data["coefficients"]]),
            cov=np.array([[_number(v) for v in row] for row in data["cov"]]),
            df=math.inf if data["df"] is None else float(data["df"]),
            held=MappingProxyType({k: float(v) for k, v in data["held"].items()}),
            x=Spread.from_json(data["x"]),
            m=Spread.from_json(data["m"]),
            y=Spread.from_json(data["y"]),
        )


@dataclass(frozen=True, eq=False)
class SimpleSlopes:
    """The effect of one variable on another at chosen values of a moderator.

    Attributes
    ----------
    surface : Surface
        What the slopes are read off.
    level : float
        Of the intervals.
    notes : tuple of str
    """

    surface: Surface
    level: float
    notes: tuple[str, ...]
    _table: pd.DataFrame = field(repr=False)

    @property
    def table(self) -> pd.DataFrame:
        """One row a value of the moderator.

        at (what it is: "-1 SD", "P84" or a number); value (raw units) and value_sd (standard deviations from the
        mean); est se z pvalue ci_lower ci_upper of the slope (z is t where the residual degrees of freedom count);
        est_std: change of the outcome by one standard deviation of the focal variable, in its standard deviations.
        """
        return self._table.copy()

    def lines(self, count: int = 41, span: float = SPAN) -> pd.DataFrame:
        """Return the line of each slope with its band: at value x est se ci_lower ci_upper.

        Parameters
        ----------
        count : int
            Points of each line.
        span : float
            Half-width in standard deviations of the focal variable; never beyond the range of the sample.
        """
        s = self.surface
        x = np.linspace(*s.x.window(span), count)
        parts = []
        for at, value in zip(self._table["at"], self._table["value"], strict=True):
            if s.moderator == s.focal:  # the tangent at the value
                y, _ = s.predict(value, value)
                slope, _ = s.slopes(value)
                tangent = np.stack([np.ones_like(x), x, 0 * x, 0 * x, 2.0 * value * x - value**2, 0 * x], axis=-1)
                se = np.sqrt(np.maximum(np.einsum("ki,ij,kj->k", tangent, s.cov, tangent), 0.0))
                est = y + slope * (x - value)
            else:
                est, se = s.predict(x, value)
            tested = wald_columns(est, se, self.level, s.df)
            kept = {k: tested[k] for k in ("est", "se", "ci_lower", "ci_upper")}
            parts.append(pd.DataFrame({"at": at, "value": float(value), "x": x, **kept}))
        return pd.concat(parts, ignore_index=True)

    def __str__(self) -> str:
        s = self.surface
        head = f"Slopes of {s.focal} on {s.outcome} at values of {s.moderator} ({self.level:.0%} intervals)"
        return "\n".join([head, _shown(self._table), *self.notes])

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types; ``from_json`` rebuilds the result."""
        return {
            "surface": self.surface.to_json(),
            "level": self.level,
            "notes": list(self.notes),
            "slopes": records(self._table),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SimpleSlopes:
        """Rebuild a result from the output of ``to_json``."""
        return cls(
            Surface.from_json(data["surface"]),
            float(data["level"]),
            tuple(data["notes"]),
            frame_from_records(data["slopes"], SLOPE_COLUMNS),
        )


@dataclass(frozen=True, eq=False)
class JohnsonNeyman:
    """Where a moderated effect differs from zero.

    Attributes
    ----------
    surface : Surface
    alpha : float
    simultaneous : bool
        Whether :attr:`intervals` and :attr:`share` are those of the simultaneous band.
    critical : mapping of str to float
        Factors of the standard error by band: pointwise, simultaneous.
    notes : tuple of str
    """

    surface: Surface
    alpha: float
    simultaneous: bool
    critical: Mapping[str, float]
    notes: tuple[str, ...]
    _regions: pd.DataFrame = field(repr=False)

    @property
    def known(self) -> bool:
        """Whether the estimates have standard errors; without them no region is known."""
        return bool(np.isfinite(self.surface.line[2]).all())

    @property
    def kind(self) -> str:
        """Which band decides: ``pointwise`` or ``simultaneous``."""
        return "simultaneous" if self.simultaneous else "pointwise"

    @property
    def regions(self) -> pd.DataFrame:
        """One row an interval of the moderator in which the slope differs from zero, for both bands.

        band; lower, upper (raw units, may be infinite); sign of the slope in it; share of the model-implied normal
        distribution of the moderator inside, and share_sample of the sample (factor scores of latent moderators; NaN
        where there are none).
        """
        return self._regions.copy()

    @property
    def intervals(self) -> tuple[tuple[float, float], ...]:
        """The intervals of the band that decides: none, one or two; their ends may be infinite."""
        own = self._regions[self._regions["band"] == self.kind]
        return tuple((float(a), float(b)) for a, b in zip(own["lower"], own["upper"], strict=True))

    @property
    def bounds(self) -> tuple[float, ...]:
        """The finite ends of the intervals, in increasing order."""
        return tuple(sorted(v for pair in self.intervals for v in pair if math.isfinite(v)))

    @property
    def share(self) -> float:
        """Share of the model-implied normal distribution of the moderator in which the slope differs from zero."""
        if not self.known:
            return math.nan
        return float(self._regions.loc[self._regions["band"] == self.kind, "share"].sum())

    @property
    def share_sample(self) -> float:
        """Share of the sample in which the slope differs from zero; NaN where the sample has no values."""
        if not self.known:
            return math.nan
        own = self._regions.loc[self._regions["band"] == self.kind, "share_sample"]
        return float(own.sum(skipna=False)) if len(own) else 0.0

    @property
    def crossing(self) -> float:
        """The value of the moderator at which the slope is zero; NaN for parallel lines."""
        b1, b3, _ = self.surface.line
        return -b1 / b3 if b3 else math.nan

    def band(self, count: int = 121, span: float = 3.0) -> pd.DataFrame:
        """Return the slope over the moderator: value est se, lower and upper ends of both bands, and significant.

        Parameters
        ----------
        count : int
            Points.
        span : float
            Half-width in standard deviations of the moderator; never beyond the range of the sample.
        """
        at = np.linspace(*self.surface.m.window(span), count)
        est, se = self.surface.slopes(at)
        c = self.critical
        return pd.DataFrame(
            {
                "value": at,
                "est": est,
                "se": se,
                **{f"{band}_lower": est - c[band] * se for band in c},
                **{f"{band}_upper": est + c[band] * se for band in c},
                "significant": np.abs(est) >= c[self.kind] * se,
            }
        )

    def __str__(self) -> str:
        s = self.surface
        head = (
            f"Where the slope of {s.focal} on {s.outcome} differs from zero over {s.moderator} "
            f"(alpha = {self.alpha:g}; {self.kind} band decides)"
        )
        body = _shown(self._regions) if len(self._regions) else "nowhere"
        if not self.known:
            body = "not known: the estimates have no standard errors"
        return "\n".join([head, body, *self.notes])

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types; ``from_json`` rebuilds the result. Infinite ends of intervals are null."""
        return {
            "surface": self.surface.to_json(),
            "alpha": self.alpha,
            "simultaneous": self.simultaneous,
            "critical": dict(self.critical),
            "notes": list(self.notes),
            "regions": records(self._regions),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> JohnsonNeyman:
        """Rebuild a result from the output of ``to_json``."""
        rows = [
            row
            | {
                "lower": -math.inf if row["lower"] is None else row["lower"],
                "upper": math.inf if row["upper"] is None else row["upper"],
            }
            for row in data["regions"]
        ]
        return cls(
            Surface.from_json(data["surface"]),
            float(data["alpha"]),
            bool(data["simultaneous"]),
            MappingProxyType({k: float(v) for k, v in data["critical"].items()}),
            tuple(data["notes"]),
            frame_from_records(rows, REGION_COLUMNS),
        )


def find_regions(surface: Surface, critical: Mapping[str, float]) -> list[tuple[str, float, float, str]]:
    """Return band, lower, upper and sign of the slope for every interval of every band."""
    b1, b3, cov = surface.line
    out = []
    for band, factor in critical.items():
        for low, high in johnson_neyman(b1, b3, cov, factor):
            inside = _between(low, high)
            out.append((band, low, high, "+" if b1 + b3 * inside > 0 else "-"))
    return out


def _between(low: float, high: float) -> float:
    """Return a value inside an interval."""
    if math.isinf(low):
        return 0.0 if math.isinf(high) else high - 1.0
    return low + 1.0 if math.isinf(high) else (low + high) / 2.0


@dataclass(frozen=True, eq=False)
class ConditionalEffects:
    """Direct, indirect and total effects at values of a moderator, and how much they change with it.

    Attributes
    ----------
    product, moderator : str
    ci : str
        ``delta``, ``mc``, ``percentile``, ``bc`` or ``bca``.
    level : float
    draws, failed : int
        Draws or replicates behind the intervals, and those without a value; 0 for the delta method.
    seed : int or None
    held : mapping of str to float
        Where other moderators are held.
    notes : tuple of str
    """

    product: str
    moderator: str
    ci: str
    level: float
    draws: int
    failed: int
    seed: int | None
    held: Mapping[str, float]
    notes: tuple[str, ...]
    _table: pd.DataFrame = field(repr=False)
    _index: pd.DataFrame = field(repr=False)

    @property
    def table(self) -> pd.DataFrame:
        """One row an effect and value of the moderator.

        kind (specific, indirect, direct, total) outcome predictor path; at value value_sd as in :class:`SimpleSlopes`;
        est se z pvalue ci_lower ci_upper; est_std: times sd(predictor) / sd(outcome). Only effects that the moderator
        changes are listed.
        """
        return self._table.copy()

    @property
    def index(self) -> pd.DataFrame:
        """How effects change with the moderator.

        measure: ``index`` is the change of the effect by one unit of the moderator, the index of moderated mediation
        (Hayes 2015, doi:10.1080/00273171.2014.962683); NaN where the moderator changes an effect at two stages, since
        then it is no line. ``contrast`` is the effect at the last value of the moderator minus that at the first.
        """
        return self._index.copy()

    def select(
        self, kind: str | None = None, *, outcome: str | None = None, predictor: str | None = None
    ) -> pd.DataFrame:
        """Return the effects of one kind, on one outcome, of one predictor.

        Raises
        ------
        Unsupported
            If there is no such kind.
        """
        kinds = ("specific", "indirect", "direct", "total")
        return select_effects(self._table, kinds, kind, outcome=outcome, predictor=predictor)

    def __str__(self) -> str:
        head = f"Effects at values of {self.moderator} ({self.level:.0%} intervals: {self.ci})"
        names = ["kind", "path", "at", "est", "se", "pvalue", "ci_lower", "ci_upper"]
        change = ["measure", "kind", "path", "est", "se", "pvalue", "ci_lower", "ci_upper"]
        return "\n".join([head, _shown(self._table[names]), "", _shown(self._index[change]), *self.notes])

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types; ``from_json`` rebuilds the result."""
        names = ("product", "moderator", "ci", "level", "draws", "failed", "seed", "held", "notes")
        out: dict[str, Any] = plain({name: getattr(self, name) for name in names})
        return out | {"effects": records(self._table), "index": records(self._index)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ConditionalEffects:
        """Rebuild a result from the output of ``to_json``."""
        return cls(
            product=data["product"],
            moderator=data["moderator"],
            ci=data["ci"],
            level=float(data["level"]),
            draws=int(data["draws"]),
            failed=int(data["failed"]),
            seed=None if data["seed"] is None else int(data["seed"]),
            held=MappingProxyType({k: float(v) for k, v in data["held"].items()}),
            notes=tuple(data["notes"]),
            _table=frame_from_records(data["effects"], CONDITIONAL_COLUMNS),
            _index=frame_from_records(data["index"], INDEX_COLUMNS),
        )


@dataclass(frozen=True)
class ModerationSize:
    """How much of an outcome a product explains.

    Attributes
    ----------
    outcome, product : str
    r2, r2_without : float
        Explained variance of the outcome with the product and without it.
    definition : str
        What "without" means.
    notes : tuple of str
    """

    outcome: str
    product: str
    r2: float
    r2_without: float
    definition: str
    notes: tuple[str, ...] = ()

    @property
    def delta_r2(self) -> float:
        """R2 with the product minus R2 without it."""
        return self.r2 - self.r2_without

    @property
    def f2(self) -> float:
        """delta R2 / (1 - R2) (Aiken & West 1991; Cohen 1988); .005, .01 and .025 are small, medium and large.

        The marks are those of Kenny (2018) for moderation: Cohen's .02, .15 and .35 are hardly ever reached (Aguinis,
        Beaty, Boik & Pierce 2005, doi:10.1037/0021-9010.90.1.94).
        """
        return self.delta_r2 / (1.0 - self.r2) if self.r2 < 1.0 else math.nan

    def __str__(self) -> str:
        return (
            f"{self.product} on {self.outcome}: R2 = {self.r2:.3f}, without {self.r2_without:.3f}, "
            f"delta R2 = {self.delta_r2:.4f}, f2 = {self.f2:.4f}\n{self.definition}"
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types; ``from_json`` rebuilds the result."""
        out: dict[str, Any] = plain(self.__dict__)
        return out | {"delta_r2": plain(self.delta_r2), "f2": plain(self.f2)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ModerationSize:
        """Rebuild a result from the output of ``to_json``."""
        return cls(
            data["outcome"],
            data["product"],
            _number(data["r2"]),
            _number(data["r2_without"]),
            data["definition"],
            tuple(data["notes"]),
        )


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _shown(frame: pd.DataFrame) -> str:
    return frame.to_string(index=False, float_format=lambda v: f"{v:.3f}")
