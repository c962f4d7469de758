"""Bounds of whole groups of parameters, as lavaan's ``bounds`` option sets them.

The idea (De Jonckere & Rosseel 2022, doi:10.1080/10705511.2021.1982716): an estimate far outside of what the sample
variances allow is a failure of the search, not a finding, so the search is kept inside.

With s_j the sample variance of an indicator, m the one of the marker of a latent variable (its only loading fixed at
1), and f a factor that widens or narrows the range:

========================  =============================================  ========================================
parameter                 lower bound                                    upper bound
========================  =============================================  ========================================
residual variance of j    0                                              s_j (marker: 0.9 m)
variance of a latent      0.1 m if exogenous, else 0.005                 m (without marker: the largest s_j)
loading on j              -sqrt(s_j / 0.1 m)                             +sqrt(s_j / 0.1 m)
covariance                -sqrt(product of the upper bounds of both)     + the same
========================  =============================================  ========================================

``"standard"`` narrows the range of covariances by 0.1 %; ``"wide"`` widens the ranges (residual variances by 5 % below
and 20 % above, variances of latents by 30 % above, loadings by 10 % on each side). ``"pos.var"`` has lower bounds 0 of
all variances, ``"pos.ov.var"`` of residual variances and ``"pos.lv.var"`` of latent variances only. A bound that the
model text gives replaces the automatic one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from b2b_sem.errors import ModelSyntaxError
from b2b_sem.spec.partable import ParameterTable

__all__ = ["BOUNDS", "add_bounds"]

#: Values of the ``bounds`` option; "default" is another name of "wide".
BOUNDS = ("none", "pos.var", "pos.ov.var", "pos.lv.var", "standard", "wide", "default")


@dataclass(frozen=True)
class _Plan:
    """Which bounds are set, and the factor of the range by kind: (lower, upper); None leaves the side open."""

    observed: tuple[float | None, float | None] = (None, None)
    latent: tuple[float | None, float | None] = (None, None)
    loading: tuple[float | None, float | None] = (None, None)
    covariance: tuple[float | None, float | None] = (None, None)
    reliability: float = 0.0
    least: float = 0.0


_WIDE = _Plan((1.05, 1.2), (1.0, 1.3), (1.1, 1.1), (1.0, 1.0), 0.1, 0.005)
_PLANS = {
    "standard": _Plan((1.0, 1.0), (1.0, 1.0), (1.0, 1.0), (0.999, 0.999), 0.1, 0.005),
    "wide": _WIDE,
    "default": _WIDE,
    "pos.var": _Plan((1.0, None), (1.0, None)),
    "pos.ov.var": _Plan(observed=(1.0, None)),
    "pos.lv.var": _Plan(latent=(1.0, None)),
}


def add_bounds(
    table: ParameterTable, kind: str, variances: Mapping[str, float], *, std_lv: bool = False
) -> ParameterTable:
    """Return the table with automatic bounds.

    Parameters
    ----------
    table : ParameterTable
    kind : str
        One of :data:`BOUNDS`.
    variances : mapping
        Sample variance of each observed variable, with the divisor of the likelihood.
    std_lv : bool
        Whether variances of latent variables are fixed at 1.

    Raises
    ------
    ModelSyntaxError
        If a bound of the model text and the automatic one of its other side contradict each other.
    """
    if kind == "none":
        return table
    plan = _PLANS[kind]
    auto = _ranges(table, plan, variances, std_lv)
    rows = []
    for row, (lower, upper) in zip(table.rows, auto, strict=True):
        if row.free:
            given = row
            row = replace(
                row,
                lower=row.lower if row.lower is not None else lower,
                upper=row.upper if row.upper is not None else upper,
            )
            if row.lower is not None and row.upper is not None and row.lower > row.upper:
                side = "lower" if given.lower is not None else "upper"
                raise ModelSyntaxError(
                    f"the bounds of '{row.name}' leave no value: {row.lower:.6g} to {row.upper:.6g}",
                    file=table.file,
                    line=row.line or None,
                    column=row.column or None,
                    hint=f"its {side} bound is outside of what bounds='{kind}' allows: give both bounds",
                )
        rows.append(row)
    return replace(table, rows=tuple(rows))


def _stretch(
    lower: float,
    upper: float,
    factors: tuple[float | None, float | None],
    origin: float | None = None,
    *,
    sign: int = 1,
) -> tuple[float, float]:
    """Widen a range by the factors; `origin` replaces the lower end where the range is measured."""
    width = upper - (lower if origin is None else max(lower, origin))
    change = [0.0 if f is None or not math.isfinite(width) else (f - 1.0) * width for f in factors]
    if sign:
        change = [abs(c) for c in change]
    return lower - change[0], upper + change[1]


def _ranges(
    table: ParameterTable, plan: _Plan, variances: Mapping[str, float], std_lv: bool
) -> list[tuple[float | None, float | None]]:
    markers = _markers(table)
    largest = max(variances[v] for v in table.observed)
    indicators = {r.rhs for r in table.rows if r.op == "=~"}
    endogenous = indicators | {r.lhs for r in table.rows if r.op == "~"}
    latents = {}
    for name in table.latents:
        marker = markers.get(name, "")
        if std_lv:
            latents[name] = (1.0, 1.0)
        elif marker in variances:
            latents[name] = (plan.reliability * variances[marker], variances[marker])
        else:
            latents[name] = (0.0, largest)
    full: dict[int, tuple[float, float]] = {}
    chosen: dict[int, tuple[float | None, float | None]] = {}

    def keep(i: int, ends: tuple[float, float], factors: tuple[float | None, float | None]) -> None:
        full[i] = ends
        sides = [None if f is None or not math.isfinite(e) else e for e, f in zip(ends, factors, strict=True)]
        chosen[i] = (sides[0], sides[1])

    variance_of: dict[str, int] = {}
    for i, row in enumerate(table.rows):
        if row.op == "~~" and row.lhs == row.rhs:
            variance_of[row.lhs] = i
            if row.lhs in latents:
                low, high = latents[row.lhs]
                low = plan.least if row.lhs in endogenous else low
                keep(i, _stretch(low, high, plan.latent, 0.0), plan.latent)
            else:
                high = variances[row.lhs] * (1.0 - plan.reliability if row.lhs in markers.values() else 1.0)
                keep(i, _stretch(0.0, high, plan.observed, 0.0), plan.observed)
    for i, row in enumerate(table.rows):
        if row.op == "=~" and row.rhs in variances:
            low = latents[row.lhs][0]
            end = math.sqrt(variances[row.rhs] / low) if low > 0 else math.inf
            keep(i, _stretch(-end, end, plan.loading), plan.loading)
        elif row.op == "~~" and row.lhs != row.rhs:
            pair = [variance_of.get(v) for v in (row.lhs, row.rhs)]
            if None not in pair:
                end = math.sqrt(full[pair[0]][1] * full[pair[1]][1])  # type: ignore[index]
                keep(i, _stretch(-end, end, plan.covariance, sign=0), plan.covariance)
    return [chosen.get(i, (None, None)) for i in range(len(table.rows))]


def _markers(table: ParameterTable) -> dict[str, str]:
    """Return the indicator whose loading is fixed at 1, where there is exactly one."""
    out: dict[str, list[str]] = {}
    for row in table.rows:
        if row.op == "=~" and not row.free and row.value == 1.0:
            out.setdefault(row.lhs, []).append(row.rhs)
    return {latent: names[0] for latent, names in out.items() if len(names) == 1}
