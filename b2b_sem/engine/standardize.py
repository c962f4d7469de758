"""Standardized solutions with exact derivatives.

``std_all`` divides by the implied standard deviations of all variables, ``std_lv`` by those of latent variables only:
loadings and paths are multiplied by sd(predictor) / sd(outcome), variances divided by the variance, intercepts by the
standard deviation; a covariance becomes the correlation of the two (residual) terms. Defined parameters are evaluated
at the standardized parameters. These are lavaan's definitions, but for the path of a product ``a:b``, which is
multiplied by sd(a) sd(b) / sd(outcome) (Wen, Marsh & Hau 2010, doi:10.1080/10705510903438872). Derivatives are
analytic, so the delta method (Sobel 1982, doi:10.2307/270723) needs no step size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from b2b_sem.engine.base import Array
from b2b_sem.engine.native.constraint import label_values
from b2b_sem.engine.native.implied import Implied, Structure
from b2b_sem.spec.partable import ParameterTable
from b2b_sem.spec.product import units_of

__all__ = ["Deviations", "RowValues", "deviations", "row_values", "scale_rows", "standardize", "with_definitions"]


@dataclass(frozen=True)
class RowValues:
    """Values of all rows of a table, then of its definitions, with derivatives.

    Attributes
    ----------
    value : (R + D,) array
    jacobian : (R + D, q) array
    """

    value: Array
    jacobian: Array


def row_values(table: ParameterTable, theta: Array, fixed: dict[str, float]) -> RowValues:
    """Return the unstandardized value of every row and definition."""
    rows = np.zeros((len(table.rows), len(theta)))
    value = np.zeros(len(table.rows))
    for i, row in enumerate(table.rows):
        if row.free:
            value[i] = theta[row.free - 1]
            rows[i, row.free - 1] = 1.0
        else:
            value[i] = fixed[row.name] if row.exo else float(row.value or 0.0)
    return with_definitions(table, value, rows)


def with_definitions(table: ParameterTable, value: Array, rows: Array, *, undefined_as_nan: bool = False) -> RowValues:
    """Append the definitions, evaluated at the values of the rows."""
    if not table.definitions:
        return RowValues(value, rows)
    known = label_values(table, value, rows, table.definitions, undefined_as_nan=undefined_as_nan)
    extra = [known[d.name] for d in table.definitions]
    return RowValues(
        np.concatenate([value, [v for v, _ in extra]]), np.concatenate([rows, np.array([g for _, g in extra])])
    )


@dataclass(frozen=True)
class Deviations:
    """Standard deviations of named variables and their derivatives."""

    value: dict[str, float]
    slope: dict[str, Array]

    def of(self, name: str, q: int) -> tuple[float, Array]:
        """Return a standard deviation and its derivative (q,); 1 and 0 for a name that keeps its unit."""
        return self.value.get(name, 1.0), self.slope.get(name, np.zeros(q))


def deviations(structure: Structure, implied: Implied) -> tuple[Deviations, Deviations]:
    """Return deviations of the latent variables, and of latent and observed variables."""
    p, m = structure.p, structure.m
    u, v, w = structure.u, structure.v, 2.0 * structure.w
    columns = implied.columns
    observed = structure.gather(w * columns[:, u] * columns[:, v])
    eta_columns = np.concatenate([np.zeros((m, p)), implied.inverse, implied.eta_cov], axis=1)
    eta = structure.gather(w * eta_columns[:, u] * eta_columns[:, v])
    k = structure.nlatent
    value: dict[str, float] = {}
    slope: dict[str, Array] = {}
    with np.errstate(invalid="ignore", divide="ignore"):
        for name, variance, d in zip(structure.eta[:k], np.diag(implied.eta_cov)[:k], eta[:k], strict=True):
            value[name] = float(np.sqrt(variance)) if variance > 0 else float("nan")
            slope[name] = d / (2.0 * value[name])
            if variance == 0 and not d.any():  # no parameter moves it: fixed, as in a growth factor without variance
                value[name], slope[name] = 0.0, np.zeros_like(d)
        latent = Deviations(dict(value), dict(slope))
        for name, variance, d in zip(structure.observed, np.diag(implied.sigma), observed, strict=True):
            value[name] = float(np.sqrt(variance))
            slope[name] = d / (2.0 * value[name])
    return latent, Deviations(value, slope)


def standardize(
    table: ParameterTable, structure: Structure, implied: Implied, raw: RowValues
) -> tuple[RowValues, RowValues]:
    """Return the ``std_lv`` and ``std_all`` solutions.

    Parameters
    ----------
    table, structure : ParameterTable, Structure
    implied : Implied
    raw : RowValues
        Unstandardized values at the same parameters.
    """
    return scale_rows(table, raw, *deviations(structure, implied))


def scale_rows(
    table: ParameterTable, raw: RowValues, latent: Deviations, everything: Deviations
) -> tuple[RowValues, RowValues]:
    """Return the ``std_lv`` and ``std_all`` solutions from standard deviations of the variables."""
    variance_row = {r.lhs: i for i, r in enumerate(table.rows) if r.op == "~~" and r.lhs == r.rhs}
    return (
        _scale(table, latent, raw, variance_row, set(table.latents)),
        _scale(table, everything, raw, variance_row, {*table.latents, *table.observed}),
    )


def _scale(
    table: ParameterTable,
    sd: Deviations,
    raw: RowValues,
    variance_row: dict[str, int],
    standardized: set[str],
) -> RowValues:
    n, q = len(table.rows), raw.jacobian.shape[1]
    known = {*table.latents, *table.observed}
    value, rows = np.zeros(n), np.zeros((n, q))
    with np.errstate(invalid="ignore", divide="ignore"):
        for i, row in enumerate(table.rows):
            number, slope = float(raw.value[i]), raw.jacobian[i]
            # value = number * prod(factor ** power): add up the logarithmic derivatives
            factors: list[tuple[float, Array, float]] = []
            if row.op == "=~":
                factors = [(*sd.of(row.lhs, q), 1.0), (*sd.of(row.rhs, q), -1.0)]
            elif row.op == "~":
                factors = [(*sd.of(name, q), 1.0) for name in units_of(row.rhs, known)]
                factors.append((*sd.of(row.lhs, q), -1.0))
            elif row.op in ("~1", "|"):
                factors = [(*sd.of(row.lhs, q), -1.0)]
            elif row.op == "~*~":
                # the scale of a standardized response is 1
                value[i], rows[i] = (1.0, 0.0) if row.lhs in standardized else (number, slope)
                continue
            elif row.lhs == row.rhs:
                factors = [(*sd.of(row.lhs, q), -2.0)]
            else:
                for name in (row.lhs, row.rhs):
                    if name in standardized:
                        j = variance_row.get(name)
                        variance = float(raw.value[j]) if j is not None else float("nan")
                        root = float(np.sqrt(abs(variance)))
                        inner = raw.jacobian[j] if j is not None else np.zeros(q)
                        factors.append((root, np.sign(variance) * inner / (2.0 * root), -1.0))
            if any(factor == 0 for factor, _, _ in factors):
                # an effect of what does not vary is 0, also standardized; nothing can be divided by that deviation
                value[i] = 0.0 if all(factor or power > 0 for factor, _, power in factors) else float("nan")
                rows[i] = value[i]
                continue
            scale = 1.0
            for factor, _, power in factors:
                scale *= np.power(factor, power)
            total = slope * scale
            for factor, derivative, power in factors:
                total = total + number * scale * power * derivative / factor
            value[i], rows[i] = number * scale, total
    # a definition can have a raw value and no standardized one: 1/(v - 1) for a variance v that becomes 1
    return with_definitions(table, value, rows, undefined_as_nan=True)
