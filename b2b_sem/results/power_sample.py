"""What samples said about power: at given sizes, over sizes, and where a power is reached."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import pandas as pd

from b2b_sem.errors import DataError
from b2b_sem.measures.power import binomial_band
from b2b_sem.measures.probit import ProbitCurve, fit_probit
from b2b_sem.results.io import frame_from_records, plain, records

__all__ = ["BASIS", "COUNT", "EXCLUDE", "TEST_COLUMNS", "EffectSearch", "RowSearch", "SampledPower", "share_table"]

#: What tells tests apart, and the value in the population.
TEST_COLUMNS = ("kind", "test", "group", "method", "value")
KEYS = TEST_COLUMNS[:4]
#: How the power came about; theory says "analytic".
BASIS = "Monte Carlo"
#: Samples without a solution did not find anything, or are left out.
COUNT, EXCLUDE = "count", "exclude"
#: Sizes within this factor of the answer say most about it.
NEAR = 2.0


def share_table(counts: pd.DataFrame, level: float) -> pd.DataFrame:
    """Return counts with shares, Monte Carlo standard errors and Wilson bands.

    Parameters
    ----------
    counts : DataFrame
        With columns drawn, used and rejected.
    level : float
        Of the bands.

    Returns
    -------
    DataFrame
        With ``power`` mcse lower upper, over the samples in which the test could be made, and ``power_all`` mcse_all
        lower_all upper_all, over all that were drawn.
    """
    out = counts.copy()
    for ending, base in (("", "used"), ("_all", "drawn")):
        trials = out[base].to_numpy(dtype=float)
        trials = np.where(trials > 0, trials, np.nan)
        share = out["rejected"].to_numpy(dtype=float) / trials
        out[f"power{ending}"], out[f"mcse{ending}"] = share, np.sqrt(share * (1.0 - share) / trials)
        low, high = binomial_band(out["rejected"], trials, level)
        # of 0 and 1, rounding could leave the share outside
        out[f"lower{ending}"], out[f"upper{ending}"] = np.minimum(low, share), np.maximum(high, share)
    out["failed"] = out["drawn"] - out["used"]
    return out


def fitted_curve(counts: pd.DataFrame, failures: str, axis: str = "nobs", null: float = 0.0) -> ProbitCurve | None:
    """Return the probit curve through the shares of one test, over the root of rows or the size of an effect."""
    t = np.sqrt(counts["nobs"]) if axis == "nobs" else np.abs(counts[axis] - null)
    curve = fit_probit(t, counts["rejected"], counts["drawn" if failures == COUNT else "used"])
    return None if curve is None else curve.widened()


def curve_table(counts: pd.DataFrame, rows: Iterable[float], level: float, failures: str) -> pd.DataFrame:
    """Return for each test the probit curve through its shares: the keys, nobs, power lower upper.

    Only within the sizes that were drawn; NaN beyond, and for a test with less than two sizes.
    """
    at = np.array([float(v) for v in rows])
    root, out = np.sqrt(at), []
    for key, own in counts.groupby(list(KEYS), sort=False, dropna=False):
        drawn = own["nobs"].to_numpy(dtype=float)
        curve = fitted_curve(own, failures)
        inside = (at >= drawn.min()) & (at <= drawn.max())
        if curve is None:
            numbers = [np.full(len(at), np.nan)] * 3
        else:
            numbers = [np.where(inside, v, np.nan) for v in (curve.power(root), *curve.band(root, level))]
        part = dict(zip(KEYS, key, strict=True)) | {"nobs": at}
        out.append(pd.DataFrame(part | dict(zip(("power", "lower", "upper"), numbers, strict=True))))
    frame = pd.concat(out, ignore_index=True)
    return frame.astype({"nobs": "int64"}) if (at == np.round(at)).all() else frame


@dataclass(frozen=True, eq=False)
class SampledPower:
    """Power of tests as the share of samples that reject.

    Attributes
    ----------
    population, model : str
        What was drawn from and fitted.
    nobs : int
        Rows of each sample in ``table``.
    power, alpha, level : float
        The power that ``rows_needed`` is for; error rate of each test; level of the bands.
    replications, seed : int
        Samples at each number of rows.
    failures : {"count", "exclude"}
        Whether samples without a solution count against the power in ``rows_needed`` and ``curve``.
    notes : tuple of str
    """

    population: str
    model: str
    nobs: int
    power: float
    alpha: float
    level: float
    replications: int
    seed: int
    failures: str
    notes: tuple[str, ...]
    _counts: pd.DataFrame = field(repr=False)

    @property
    def shares(self) -> pd.DataFrame:
        """One row a test and number of rows.

        Columns: kind test group method value nobs drawn used rejected; ``power`` mcse lower upper: of the samples in
        which the test could be made (used); ``power_all`` mcse_all lower_all upper_all: of all samples; failed.
        """
        return share_table(self._counts, self.level)

    @property
    def table(self) -> pd.DataFrame:
        """One row a test, at :attr:`nobs` rows.

        Columns: kind ("path", "indirect", "difference", "definition", "restriction", "parameter", "model",
        "proposition", "together") test group method basis ("Monte Carlo") value nobs; ``power`` with its Monte Carlo
        standard error mcse and its band lower upper, of the samples in which the test could be made; power_all, of all
        samples; used, failed; ``rows_needed`` for the asked power with its interval rows_lower rows_upper: from the
        curve through all numbers of rows that were drawn, NaN where it does not reach that power within them.
        """
        own = self.shares
        own = own[own["nobs"] == self.nobs].reset_index(drop=True)
        out = own[list(TEST_COLUMNS)].copy()
        out.insert(4, "basis", BASIS)
        for name in ("nobs", "power", "mcse", "lower", "upper", "power_all", "used", "failed"):
            out[name] = own[name]
        needed = [self._needed(key) for key in zip(*(out[k] for k in KEYS), strict=True)]
        for k, name in enumerate(("rows_needed", "rows_lower", "rows_upper")):
            out[name] = [numbers[k] for numbers in needed]
        return out

    def _needed(self, key: tuple[Any, ...]) -> tuple[float, float, float]:
        from scipy import special

        nothing = (math.nan, math.nan, math.nan)
        counts = self._counts
        own = counts[np.logical_and.reduce([counts[k] == v for k, v in zip(KEYS, key, strict=True)])]
        curve = fitted_curve(own, self.failures)
        if curve is None:
            return nothing
        at, error = curve.solve(self.power)
        # the curve is nearly right, and better near the answer
        near = own[(own["nobs"] <= NEAR * at**2) & (own["nobs"] >= at**2 / NEAR)]
        closer = fitted_curve(near, self.failures) if at > 0 else None
        if closer is not None:
            at, error = closer.solve(self.power)
        if not (at > 0 and own["nobs"].min() <= at**2 <= own["nobs"].max()):
            return nothing
        reach = float(special.ndtri(0.5 + self.level / 2.0)) * error
        return math.ceil(at**2 - 1e-9), max(at - reach, 0.0) ** 2, (at + reach) ** 2

    def curve(self, rows: Iterable[int]) -> pd.DataFrame:
        """Return power over numbers of rows, from a probit curve through all shares of a test, with its band.

        Columns: kind test group method nobs power lower upper; NaN outside the numbers of rows that were drawn.
        """
        return curve_table(self._counts, rows, self.level, self.failures)

    def summary(self) -> str:
        """Return the table as text."""
        head = f"Power at {self.nobs} rows by {self.replications} samples, alpha {self.alpha:g}"
        shown = self.table.drop(columns=["basis", "nobs"])
        if shown["rows_needed"].notna().any():
            head += f"; rows needed for power {self.power:g}"
            shown["rows_needed"] = [f"{v:.0f}" if math.isfinite(v) else "" for v in shown["rows_needed"]]
        return "\n".join([head, "", _shown(shown), *(("", *self.notes) if self.notes else ())])

    def __str__(self) -> str:
        return self.summary()

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain JSON types."""
        names = ("population", "model", "nobs", "power", "alpha", "level", "replications", "seed", "failures", "notes")
        head: dict[str, Any] = plain({"basis": BASIS, **{k: getattr(self, k) for k in names}})
        return {**head, "counts": records(self._counts), "table": records(self.table)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SampledPower:
        """Rebuild a result from the output of ``to_json``."""
        return cls(**_kept(cls, data, "replications"), _counts=_counts_from(data["counts"]))


@dataclass(frozen=True, eq=False)
class RowSearch:
    """The smallest number of rows at which tests have a power, found by samples.

    Attributes
    ----------
    population, model : str
    power, alpha, level : float
        The asked power; error rate of each test; level of the intervals.
    precision : float
        Half width of the intervals, relative to the number of rows, that was asked for.
    replications : int
        Samples that were drawn, at all numbers of rows together.
    seed : int
    failures : {"count", "exclude"}
        Whether samples without a solution count against the power.
    notes : tuple of str
    """

    population: str
    model: str
    power: float
    alpha: float
    level: float
    precision: float
    replications: int
    seed: int
    failures: str
    notes: tuple[str, ...]
    _table: pd.DataFrame = field(repr=False)
    _counts: pd.DataFrame = field(repr=False)

    @property
    def table(self) -> pd.DataFrame:
        """One row a test.

        Columns: kind test group method basis value; ``rows`` (rounded up), NaN where the samples do not tell; lower
        upper, the confidence interval; bound ("at most" or "more than", where the answer is an end of the numbers of
        rows that were allowed); precise, whether the interval is as narrow as asked.
        """
        return self._table.copy()

    @property
    def shares(self) -> pd.DataFrame:
        """All samples that were drawn, one row a test and number of rows: as :attr:`SampledPower.shares`."""
        return share_table(self._counts, self.level)

    @property
    def rows(self) -> int:
        """Rows that are enough for every test by itself; 0 where the samples do not tell for one of them."""
        known = self._table["rows"]
        enough = known.notna().all() and not (self._table["bound"] == "more than").any()
        return int(known.max()) if enough else 0

    def curve(self, rows: Iterable[int]) -> pd.DataFrame:
        """Return power over numbers of rows, from a probit curve through all shares of a test, with its band.

        Columns: kind test group method nobs power lower upper; NaN outside the numbers of rows that were drawn.
        """
        return curve_table(self._counts, rows, self.level, self.failures)

    def summary(self) -> str:
        """Return the table as text."""
        head = f"Rows for power {self.power:g}, alpha {self.alpha:g}, by {self.replications} samples"
        shown = self._table.drop(columns=["basis"])
        shown["rows"] = [
            f"{b} {v:.0f}".strip() if math.isfinite(v) else ""
            for b, v in zip(shown["bound"], shown["rows"], strict=True)
        ]
        for name in ("lower", "upper"):
            shown[name] = [
                f"{v:.0f}" if math.isfinite(v) and not b else ""
                for v, b in zip(shown[name], shown["bound"], strict=True)
            ]
        return "\n".join([head, "", _shown(shown.drop(columns=["bound"])), *(("", *self.notes) if self.notes else ())])

    def __str__(self) -> str:
        return self.summary()

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain JSON types."""
        names = ("population", "model", "power", "alpha", "level", "precision", "replications", "seed", "failures")
        head: dict[str, Any] = plain({"basis": BASIS, **{k: getattr(self, k) for k in (*names, "notes")}})
        return {**head, "table": records(self._table), "counts": records(self._counts)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RowSearch:
        """Rebuild a result from the output of ``to_json``."""
        kept = _kept(cls, data, "precision")
        table = frame_from_records(data["table"])
        table = table.astype(dict.fromkeys(("value", "rows", "lower", "upper"), "float64"))
        # JSON has no infinity
        table.loc[table["bound"] == "more than", "upper"] = math.inf
        return cls(**kept, _table=table, _counts=_counts_from(data["counts"]))


@dataclass(frozen=True, eq=False)
class EffectSearch:
    """The smallest value of an effect that a number of rows finds with a power, found by samples.

    Attributes
    ----------
    population, model : str
    effect, test : str
        What was varied in the population; the test that shall find it.
    nobs : int
    value, null : float
        In the file; where there is no effect (0, or the value of the reference level).
    detectable : float
        NaN where the samples do not tell.
    lower, upper : float
        Confidence interval of `detectable`.
    bound : str
        "at most" or "more than" where the answer is an end of the possible values; else empty.
    precise : bool
        Whether the interval is as narrow as asked.
    power, alpha, level, precision : float
    replications, seed : int
        Samples that were drawn at all values together.
    failures : {"count", "exclude"}
    """

    population: str
    model: str
    effect: str
    test: str
    nobs: int
    value: float
    null: float
    detectable: float
    lower: float
    upper: float
    bound: str
    precise: bool
    power: float
    alpha: float
    level: float
    precision: float
    replications: int
    seed: int
    failures: str
    _counts: pd.DataFrame = field(repr=False)

    @property
    def shares(self) -> pd.DataFrame:
        """All samples that were drawn, one row a value: effect drawn used rejected, and shares as in SampledPower."""
        return share_table(self._counts, self.level)

    def summary(self) -> str:
        """Return the answer as text."""
        head = f"{self.effect} by {self.test}, power {self.power:g} at {self.nobs} rows, alpha {self.alpha:g}: "
        if not math.isfinite(self.detectable):
            return head + f"not found with {self.replications} samples; allow more"
        text = head + f"{self.bound} {self.detectable:.3f}".strip()
        if not self.bound:
            text += f" ({self.level:.0%} interval {self.lower:.3f} to {self.upper:.3f})"
        text += f"; the file says {self.value:g}; {self.replications} samples"
        return text if self.precise else text + "; the interval is wider than asked: allow more samples"

    def __str__(self) -> str:
        return self.summary()

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain JSON types."""
        head = {k: v for k, v in self.__dict__.items() if not k.startswith("_")}
        out: dict[str, Any] = plain({"basis": BASIS, **head})
        return {**out, "counts": records(self._counts)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> EffectSearch:
        """Rebuild a result from the output of ``to_json``."""
        kept = _kept(cls, data, "effect")
        for name in ("value", "null", "detectable", "lower", "upper"):
            kept[name] = math.nan if kept[name] is None else kept[name]
        if kept["bound"] == "more than":  # JSON has no infinity
            away = math.copysign(math.inf, kept["detectable"] - kept["null"])
            kept["upper" if away > 0 else "lower"] = away
        return cls(**kept, _counts=frame_from_records(data["counts"]))


def _kept(made: type[Any], data: Mapping[str, Any], needed: str) -> dict[str, Any]:
    """Return the fields of a result, tables left out."""
    if not isinstance(data, Mapping) or data.get("basis") != BASIS or needed not in data or "counts" not in data:
        raise DataError("this is not the result of this kind of power by samples", hint="give what to_json returned")
    kept = {f.name: data[f.name] for f in fields(made) if not f.name.startswith("_")}
    return {**kept, "notes": tuple(kept["notes"])} if "notes" in kept else kept


def _counts_from(rows: list[dict[str, Any]]) -> pd.DataFrame:
    counts = frame_from_records(rows).astype({"value": "float64"})
    return counts.astype(dict.fromkeys(("nobs", "drawn", "used", "rejected"), "int64"))


def _shown(table: pd.DataFrame) -> str:
    for name in ("group", "value", "precise", "failed", "rows_needed", "rows_lower", "rows_upper"):
        if name in table:
            column = table[name]
            blank = column.isna() | (column == "")
            whole = name == "precise" and bool(column.all())
            zero = name == "failed" and not (column != 0).any()
            if blank.all() or whole or zero:
                table = table.drop(columns=name)
    return table.to_string(index=False, na_rep="", float_format=lambda v: f"{v:.3f}")
