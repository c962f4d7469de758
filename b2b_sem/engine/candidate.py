"""Which parameters a model could have but has not: the candidates of modification indices.

The list is lavaan's (``modindices()``): loadings of all indicators on all latent variables, (residual) variances and
covariances of indicators, variances and covariances of latent variables, regressions among all variables that take
part in regressions, and intercepts under a mean structure; beside them every fixed row of the model itself.
"""

from __future__ import annotations

from itertools import combinations_with_replacement

import numpy as np

from b2b_sem.engine.base import Array
from b2b_sem.engine.native.implied import Implied
from b2b_sem.spec.partable import ParameterTable, Row
from b2b_sem.spec.product import units_of

__all__ = ["absent_parameters", "standardizing_factors"]

Key = tuple[str, str, str]


def absent_parameters(table: ParameterTable) -> list[Key]:
    """Return the parameters that are no rows of `table`, in lavaan's order."""
    latents, exogenous = table.latents, set(table.exogenous)
    random = [v for v in table.modelled if v not in exogenous]
    indicators = {r.rhs for r in table.rows if r.op == "=~"} - set(latents)
    related = list(
        dict.fromkeys([r.lhs for r in table.rows if r.op == "~"] + [r.rhs for r in table.rows if r.op == "~"])
    )
    out: list[Key] = [(f, "=~", v) for f in latents for v in random if v not in related]
    # covariances of outcomes that indicate nothing are those of the model text and the defaults
    out += [(a, "~~", b) for a, b in combinations_with_replacement([v for v in random if v in indicators], 2)]
    out += [(a, "~~", b) for a, b in combinations_with_replacement(latents, 2)]
    out += [(y, "~", x) for y in related for x in related if x != y and not (y in indicators and x in latents)]
    if table.meanstructure:
        out += [(v, "~1", "") for v in (*table.modelled, *latents)]
    known = {(r.lhs, r.op, r.rhs) for r in table.rows}
    known |= {(b, op, a) for a, op, b in known if op == "~~"}
    return [key for key in out if key not in known]


def standardizing_factors(
    table: ParameterTable, rows: tuple[Row, ...], implied: Implied, residual: dict[str, float]
) -> tuple[Array, Array, Array]:
    """Return what turns a change of each of `rows` into a standardized one: ``lv``, ``all`` and ``nox``, each (n,).

    Loadings and paths are multiplied by sd(predictor) / sd(outcome), variances divided by the variance, intercepts by
    the standard deviation, covariances by the standard deviations of the two (residual) terms.

    Parameters
    ----------
    table : ParameterTable
    rows : tuple of Row
    implied : Implied
        Of a structure whose eta starts with the latent variables of `table`.
    residual : dict
        (Residual) variance of each variable.
    """
    exogenous = set(table.exogenous)
    with np.errstate(invalid="ignore"):
        sd = dict(zip(table.observed, np.sqrt(np.diag(implied.sigma)), strict=True))
        sd |= dict(zip(table.latents, np.sqrt(np.diag(implied.eta_cov)[: len(table.latents)]), strict=True))
    own = {}
    for name, deviation in sd.items():
        variance = abs(residual.get(name, np.nan))
        own[name] = float(np.sqrt(variance)) if variance > 1e-10 * deviation**2 else np.nan

    def factor(row: Row, unit: dict[str, float], term: dict[str, float], raw_outcome: set[str]) -> float:
        a, b = row.lhs, row.rhs
        if row.op == "=~":
            return unit[a] / unit[b]
        if row.op == "~":
            return float(np.prod([unit[v] for v in units_of(b, unit)])) / (1.0 if a in raw_outcome else sd[a])
        if row.op == "~1":
            return 1.0 / unit[a]
        return 1.0 / unit[a] ** 2 if a == b else 1.0 / (term[a] * term[b])

    def factors(raw: set[str], raw_outcome: set[str]) -> Array:
        # variables in `raw` keep their own units, as outcomes of a regression only if in `raw_outcome`
        unit = {v: 1.0 if v in raw else s for v, s in sd.items()}
        term = {v: 1.0 if v in raw else s for v, s in own.items()}
        return np.array([factor(row, unit, term, raw_outcome) for row in rows], dtype=float)

    observed = set(table.observed)
    return factors(observed, observed), factors(set(), set()), factors(exogenous, set())
