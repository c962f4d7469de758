"""The result of a bootstrap: all replicates, and the tables made from them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from b2b_sem.errors import DataError, Unsupported, did_you_mean
from b2b_sem.measures.interval import INTERVALS, interval, spread
from b2b_sem.results.arrays import write_arrays
from b2b_sem.results.io import plain, records

__all__ = ["BootstrapResult", "read_bootstrap"]

Array = npt.NDArray[np.floating[Any]]
_ARRAYS = ("theta", "values", "std_values", "chisq", "replicate", "estimate", "std_estimate")
_OPTIONAL = ("jackknife", "jackknife_values", "jackknife_std_values")


@dataclass(frozen=True, eq=False)
class BootstrapResult:
    """Replicates of a fit, with standard errors and intervals of every row, raw and standardized.

    Attributes
    ----------
    kind : {"nonparametric", "bollen-stine"}
    n : int
        Replicates asked for.
    seed, nobs : int
    ci : str
        Kind of interval in the tables.
    level : float
    failed : int
        Replicates without a minimum; they are in none of the arrays.
    inadmissible : int
        Replicates kept although a variance is negative or a covariance matrix improper (Heywood cases).
    retried : int
        Replicates that took the single-fit engine.
    theta : (R, q) array
        Free parameters of the R = n - failed replicates with a solution, in the order of ``free``.
    values, std_values : (R, rows) arrays
        Rows of the parameter table, then definitions; raw and completely standardized.
    chisq : (R,) array
    replicate : (R,) int array
        Number of each replicate, from 0.
    estimate, std_estimate : (rows,) arrays
        Of the full sample.
    jackknife, jackknife_values, jackknife_std_values : arrays of n rows, or None
        The same from leave-one-out samples, for BCa intervals.
    test : dict
        Under Bollen-Stine: ``chisq``, ``df``, ``pvalue``, ``replicates``; empty otherwise.
    warnings : tuple of str
    """

    kind: str
    n: int
    seed: int
    nobs: int
    ci: str
    level: float
    failed: int
    inadmissible: int
    retried: int
    rows: tuple[Mapping[str, Any], ...] = field(repr=False)
    theta: Array = field(repr=False)
    values: Array = field(repr=False)
    std_values: Array = field(repr=False)
    chisq: Array = field(repr=False)
    replicate: npt.NDArray[np.intp] = field(repr=False)
    estimate: Array = field(repr=False)
    std_estimate: Array = field(repr=False)
    jackknife: Array | None = field(default=None, repr=False)
    jackknife_values: Array | None = field(default=None, repr=False)
    jackknife_std_values: Array | None = field(default=None, repr=False)
    test: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in (*_ARRAYS, *_OPTIONAL):
            value = getattr(self, name)
            if value is not None:
                view = np.asarray(value).view()
                view.flags.writeable = False
                object.__setattr__(self, name, view)

    @property
    def parameters(self) -> pd.DataFrame:
        """All rows: lhs op rhs group label free est se bias ci_lower ci_upper."""
        return self.table()

    def standardized(self) -> pd.DataFrame:
        """Return the standardized solution: lhs op rhs group label est_std se bias ci_lower ci_upper."""
        return self.table(standardized=True)

    def table(self, *, standardized: bool = False, ci: str | None = None, level: float | None = None) -> pd.DataFrame:
        """Return estimates with bootstrap standard errors, bias and intervals.

        ``se`` is the standard deviation of the replicates (divisor R - 1), ``bias`` their mean minus the estimate.

        Parameters
        ----------
        standardized : bool
        ci : {"bca", "bc", "percentile", "basic", "normal"}, optional
            Default: as the bootstrap was called. See ``b2b_sem.measures.interval.interval`` for the formulas.
        level : float, optional

        Raises
        ------
        Unsupported
            For an unknown interval, or "bca" without leave-one-out estimates.
        """
        kind = self.ci if ci is None else ci
        if kind not in INTERVALS:
            raise Unsupported(
                f"ci={kind!r} is not available.{did_you_mean(kind, INTERVALS)}",
                hint=f"use one of {', '.join(INTERVALS)}",
            )
        jackknife = self.jackknife_std_values if standardized else self.jackknife_values
        if kind == "bca" and jackknife is None:
            raise Unsupported(
                "BCa intervals need leave-one-out estimates, and this bootstrap has none",
                hint="run the nonparametric bootstrap with ci='bca', or use ci='bc' or ci='percentile'",
            )
        draws, estimate = (self.std_values, self.std_estimate) if standardized else (self.values, self.estimate)
        lower, upper = interval(draws, estimate, kind, self.level if level is None else level, jackknife)
        mean, se = spread(draws)
        size = np.where(np.abs(estimate) > 0, np.abs(estimate), 1.0)
        se = np.where(se < 1e-12 * size, 0.0, se)  # fixed by construction, up to rounding
        frame = pd.DataFrame([dict(row) for row in self.rows])
        if standardized:
            frame = frame.drop(columns="free")
        return frame.assign(
            **{
                "est_std" if standardized else "est": estimate,
                "se": se,
                "bias": mean - estimate,
                "ci_lower": lower,
                "ci_upper": upper,
            }
        )

    def to_json(self) -> dict[str, Any]:
        """Return settings, counts and tables as plain JSON types; ``save`` keeps the replicates too."""
        return {
            "kind": self.kind,
            "n": self.n,
            "seed": self.seed,
            "nobs": self.nobs,
            "ci": self.ci,
            "level": self.level,
            "failed": self.failed,
            "inadmissible": self.inadmissible,
            "retried": self.retried,
            "test": plain(self.test),
            "warnings": list(self.warnings),
            "parameters": records(self.table()),
            "standardized": records(self.table(standardized=True)),
        }

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write everything to an ``.npz`` file, whole or not at all; ``read_bootstrap`` rebuilds it."""
        target = Path(path)
        meta = {
            name: plain(getattr(self, name))
            for name in ("kind", "n", "seed", "nobs", "ci", "level", "failed", "inadmissible", "retried", "warnings")
        }
        meta |= {"rows": [plain(r) for r in self.rows], "test": plain(self.test)}
        arrays = {name: getattr(self, name) for name in (*_ARRAYS, *_OPTIONAL) if getattr(self, name) is not None}
        write_arrays(target, {"meta": np.array(json.dumps(meta, allow_nan=False)), **arrays})
        return target

    def __str__(self) -> str:
        shown = self.table().to_string(index=False, float_format=lambda v: f"{v:.3f}", na_rep="")
        head = f"{self.kind} bootstrap: {self.n} replicates, {self.failed} failed, {self.inadmissible} inadmissible"
        test = f"\nBollen-Stine p = {self.test['pvalue']:.4f}" if self.test else ""
        return f"{head}{test}\n{shown}"


def read_bootstrap(path: str | os.PathLike[str]) -> BootstrapResult:
    """Read a result written by ``BootstrapResult.save``.

    Raises
    ------
    DataError
        If the file is not one.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            meta = json.loads(str(file["meta"]))
            arrays = {name: file[name] for name in file.files if name != "meta"}
        meta["rows"] = tuple(MappingProxyType(r) for r in meta["rows"])
        meta["test"] = MappingProxyType(meta["test"])
        meta["warnings"] = tuple(meta["warnings"])
        return BootstrapResult(**meta, **arrays)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"not a saved bootstrap: {error}", file=path) from error
