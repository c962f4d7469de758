"""What power was computed, at one sample size and over sample sizes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from b2b_sem.measures.power import chisq_power, delta_power, joint_power, rmsea_power
from b2b_sem.results.io import frame_from_records, plain, records

__all__ = ["COLUMNS", "PowerResult", "ProductTest", "power_at"]

KEYS = ("kind", "test", "group", "method")
COLUMNS = (
    *(*KEYS, "null", "value", "std_all", "df", "per_row", "noncentrality", "power"),
    *("rows_needed", "detectable", "detectable_std"),
)
#: Columns that hold text also where they are empty.
TEXT = (*KEYS,)


@dataclass(frozen=True)
class ProductTest:
    """The coefficients of a product, and the covariance matrix of their estimates from one row.

    Attributes
    ----------
    effects : tuple of float
    cov : tuple of tuple of float
    roots : tuple of float
        Signed roots of the noncentralities of their likelihood-ratio tests from one row. z tests of samples reject as
        often as these say; the delta method, which takes products of estimates, as the effects themselves say.
    """

    effects: tuple[float, ...]
    cov: tuple[tuple[float, ...], ...]
    roots: tuple[float, ...]

    def power(self, method: str, rows: float, alpha: float) -> float:
        """Return the power of the joint significance test ("joint") or of the delta method ("delta")."""
        cov = np.array(self.cov) / rows
        if method == "delta":
            return delta_power(np.array(self.effects), cov, alpha)
        return joint_power(np.array(self.roots) * math.sqrt(rows) * np.sqrt(np.diag(cov)), cov, alpha)


def power_at(
    row: Mapping[str, Any], product: ProductTest | None, rows: float, alpha: float, groups: int, used: float = 1.0
) -> float:
    """Return the power of one test of a table at a number of rows.

    Parameters
    ----------
    row : mapping
        A row of :attr:`PowerResult.table`.
    product : ProductTest or None
        Of an indirect effect.
    rows : float
    alpha : float
    groups : int
    used : float
        Share of the rows that tests of RMSEA are made with; all other tests allow for it already.
    """
    if product is not None:
        return product.power(str(row["method"]), rows, alpha)
    if row["kind"] == "rmsea":
        return float(rmsea_power(max(rows * used, 2.0), row["df"], row["null"], row["value"], alpha, groups))
    per_row = float(row["per_row"])
    return float(chisq_power(rows * per_row, row["df"], alpha)) if math.isfinite(per_row) else math.nan


@dataclass(frozen=True, eq=False)
class PowerResult:
    """Power of the tests of a model in a population.

    Attributes
    ----------
    nobs : int
        Rows of all groups together.
    alpha, power : float
        Error rate of each test; the power that ``rows_needed`` and ``detectable`` are for.
    groups : tuple of str
        Empty with one group.
    shares : tuple of float
        Of the rows in each group.
    notes : tuple of str
    used : float
        Share of the rows that are complete, where others are left out; else 1.
    """

    nobs: int
    alpha: float
    power: float
    groups: tuple[str, ...]
    shares: tuple[float, ...]
    notes: tuple[str, ...]
    _table: pd.DataFrame = field(repr=False)
    _products: tuple[ProductTest | None, ...] = field(default=(), repr=False)
    used: float = 1.0

    @property
    def table(self) -> pd.DataFrame:
        """One row a test.

        Columns: kind ("path", "restriction", "indirect", "difference", "step", "model", "rmsea"); test; group; method
        ("likelihood-ratio", "joint", "delta", "rmsea"); basis ("analytic"); null and value (what is tested, and what
        is true: for "model" and "rmsea" values of RMSEA); df; per_row (noncentrality of one row) and noncentrality (of
        all of them); power; rows_needed (smallest number of rows of all groups together with the asked power, infinite
        where there is none); detectable (smallest value with the asked power at these rows); std_all and
        detectable_std: values with variances of 1, of differences those of each group.
        """
        out = self._table.copy()
        out.insert(4, "basis", "analytic")
        return out

    def curve(self, rows: Iterable[int]) -> pd.DataFrame:
        """Return the power of every test over numbers of rows: kind test group method nobs power."""
        sizes = [int(n) for n in rows]
        out: list[dict[str, Any]] = []
        for row, product in zip(self._table.to_dict("records"), self._products, strict=True):
            for n in sizes:
                named = {str(k): v for k, v in row.items()}
                power = power_at(named, product, n, self.alpha, max(len(self.groups), 1), self.used)
                out.append({key: row[key] for key in KEYS} | {"nobs": n, "power": power})
        return pd.DataFrame(out, columns=[*KEYS, "nobs", "power"])

    def only(self, places: Sequence[int]) -> PowerResult:
        """Return the result with some of the tests, by their places in the table from 0."""
        table = self._table.iloc[list(places)].reset_index(drop=True)
        return replace(self, _table=table, _products=tuple(self._products[k] for k in places))

    def summary(self) -> str:
        """Return the table as text, and what it says about paths in one sentence."""
        split = f" in {len(self.groups)} groups" if self.groups else ""
        head = f"Power at {self.nobs} rows{split}, alpha {self.alpha:g}; rows needed for power {self.power:g}"
        columns = ["kind", "test", "group", "method", "value", "std_all", "df", "noncentrality", "power"]
        shown = self._table[[*columns, "rows_needed", "detectable", "detectable_std"]].copy()
        about = [
            f", {null:g} against {value:g}" for null, value in zip(self._table["null"], shown["value"], strict=True)
        ]
        fit = shown["method"] == "rmsea"
        shown["test"] = [
            t + a if own and not t.endswith(a) else t for t, a, own in zip(shown["test"], about, fit, strict=True)
        ]
        shown["rows_needed"] = [f"{v:.0f}" if math.isfinite(v) else "none" for v in shown["rows_needed"]]
        for name in ("group", "std_all", "noncentrality", "detectable", "detectable_std"):
            if not (shown[name].notna() & (shown[name] != "")).any():
                shown = shown.drop(columns=name)
        text = shown.to_string(index=False, na_rep="", float_format=lambda v: f"{v:.3f}")
        said = [*self._hardest(), *self.notes]
        return "\n".join([head, "", text, *(("", *said) if said else ())])

    def _hardest(self) -> list[str]:
        """Say how many rows all paths need."""
        paths = self._table[self._table["kind"] == "path"]
        if len(paths) < 2:
            return []
        worst = paths.to_dict("records")[int(np.argmax(paths["rows_needed"].to_numpy()))]
        name = " in ".join(filter(None, (str(worst["test"]), str(worst["group"]))))
        if not math.isfinite(worst["rows_needed"]):
            return [f"No number of rows gives each path power {self.power:g}: {name} is 0, or nearly."]
        return [f"Each path has at least power {self.power:g} with {worst['rows_needed']:.0f} rows; {name} needs most."]

    def __str__(self) -> str:
        return self.summary()

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain JSON types; what is infinite or unknown is null."""
        out: dict[str, Any] = plain(
            {
                "nobs": self.nobs,
                "alpha": self.alpha,
                "power": self.power,
                "groups": self.groups,
                "shares": self.shares,
                "notes": self.notes,
                "used": self.used,
                "table": records(self._table),
                "products": [
                    None if p is None else {"effects": p.effects, "cov": p.cov, "roots": p.roots}
                    for p in self._products
                ],
            }
        )
        return out

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PowerResult:
        """Rebuild a result from the output of ``to_json``."""
        table = frame_from_records(data["table"])
        for name in table.columns:
            if name not in TEXT:
                table[name] = pd.to_numeric(table[name]).astype("int64" if name == "df" else "float64")
        # the table of JSON has no infinity: no number of rows is enough where the power is known and the rows are not
        table.loc[table["rows_needed"].isna() & table["power"].notna(), "rows_needed"] = math.inf
        products = tuple(
            None
            if p is None
            else ProductTest(tuple(p["effects"]), tuple(tuple(r) for r in p["cov"]), tuple(p["roots"]))
            for p in data["products"]
        )
        return cls(
            data["nobs"],
            data["alpha"],
            data["power"],
            tuple(data["groups"]),
            tuple(data["shares"]),
            tuple(data["notes"]),
            table,
            products,
            data.get("used", 1.0),
        )
