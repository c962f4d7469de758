"""Differences of latent means between two groups: total, direct, and through other latent variables.

In group g the means of the latent variables are mu_g = (I - B_g)^-1 alpha_g. With the shares w_1 and w_2 of the groups
and Delta = mu_2 - mu_1,

* the total difference of an outcome Y is Delta_Y,
* what a predictor j carries is (w_1 b_2j + w_2 b_1j) Delta_j, which is b_j Delta_j with equal slopes,
* the direct difference is the rest: alpha_2 - alpha_1 + sum over j of (b_2j - b_1j) m_j, the difference at the mean
  m_j = w_1 mu_1j + w_2 mu_2j of all respondents; with equal slopes it is alpha_2 - alpha_1 and the same everywhere.

All are divided by the standard deviation of the outcome that the model implies in the first of the two groups. With
equal slopes this is the decomposition of the analysis of covariance; with unequal ones it is of the kind of Oaxaca
(1973, doi:10.2307/2525981). Derivatives are exact: complex steps (Squire & Trapp 1998, doi:10.1137/S003614459631241X).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from b2b_sem.engine.base import Array
from b2b_sem.engine.standardize import RowValues
from b2b_sem.spec.partable import ParameterTable

__all__ = ["MeanDifference", "mean_differences"]

#: Far below the rounding of every value, and exact: no difference is taken.
STEP = 1e-100


@dataclass(frozen=True)
class MeanDifference:
    """One difference: what it is, its value and its derivatives (q,).

    Attributes
    ----------
    outcome : str
    effect : str
        ``total``, ``direct`` or ``indirect``.
    through : str
        The predictor that carries an indirect difference; empty for the sum over several.
    at : str
        ``""`` or, of a direct difference with unequal slopes, ``first`` or ``second``: at the means of that group.
    value : float
    slope : (q,) array
    """

    outcome: str
    effect: str
    through: str
    at: str
    value: float
    slope: Array


def mean_differences(
    table: ParameterTable,
    raw: RowValues,
    outcomes: Sequence[str],
    groups: tuple[int, int],
    shares: tuple[float, float],
    unequal: bool,
) -> list[MeanDifference]:
    """Return the differences of the second group minus the first.

    Parameters
    ----------
    table : ParameterTable
    raw : RowValues
        Of all rows at the estimates.
    outcomes : sequence of str
        Latent variables.
    groups : (int, int)
        Numbers of the first and the second group, from 1.
    shares : (float, float)
        Shares of the two groups in all respondents; they add up to 1.
    unequal : bool
        Whether slopes differ, so that direct differences at the means of each group are wanted, too.
    """
    names = tuple(table.latents)
    place = {name: i for i, name in enumerate(names)}
    used = [
        i
        for i, row in enumerate(table.rows)
        if row.group in groups and row.lhs in place and (row.op == "~1" or (row.op in ("~", "~~") and row.rhs in place))
    ]
    predictors = {
        y: [
            row.rhs
            for row in (table.rows[i] for i in used)
            if row.op == "~" and row.group == groups[0] and row.lhs == y
        ]
        for y in outcomes
    }
    labels = [label for y in outcomes for label in _labels(y, predictors[y], unequal)]

    def at(values: Array) -> Array:
        first, second = (_moments(table, used, values, place, g) for g in groups)
        found: list[complex] = []
        for y in outcomes:
            found += _effects(place, y, predictors[y], first, second, shares, unequal)
        return np.array(found)

    own = raw.value[used]
    slopes = np.zeros((len(labels), len(used)))
    for k in range(len(used)):
        step = own.astype(complex)
        step[k] += STEP * 1j
        slopes[:, k] = at(step).imag / STEP
    jacobian = slopes @ raw.jacobian[used]
    values = at(own.astype(complex)).real
    return [MeanDifference(*label, float(v), d) for label, v, d in zip(labels, values, jacobian, strict=True)]


@dataclass(frozen=True)
class _Moments:
    coefficients: Array
    intercepts: Array
    means: Array
    variances: Array


def _moments(
    table: ParameterTable, used: Sequence[int], values: Array, place: Mapping[str, int], group: int
) -> _Moments:
    k = len(place)
    beta, psi, alpha = np.zeros((k, k), complex), np.zeros((k, k), complex), np.zeros(k, complex)
    for value, row in zip(values, (table.rows[i] for i in used), strict=True):
        if row.group != group:
            continue
        i = place[row.lhs]
        if row.op == "~1":
            alpha[i] = value
        elif row.op == "~":
            beta[i, place[row.rhs]] = value
        else:
            psi[i, place[row.rhs]] = psi[place[row.rhs], i] = value
    inverse = np.linalg.inv(np.eye(k) - beta)
    return _Moments(beta, alpha, inverse @ alpha, np.diag(inverse @ psi @ inverse.T))


def _labels(outcome: str, predictors: Sequence[str], unequal: bool) -> list[tuple[str, str, str, str]]:
    out = [(outcome, "total", "", "")]
    if predictors:
        out += [(outcome, "direct", "", ""), *((outcome, "indirect", p, "") for p in predictors)]
    if len(predictors) > 1:
        out.append((outcome, "indirect", "", ""))
    if predictors and unequal:
        out += [(outcome, "direct", "", "first"), (outcome, "direct", "", "second")]
    return out


def _effects(
    place: Mapping[str, int],
    outcome: str,
    predictors: Sequence[str],
    first: _Moments,
    second: _Moments,
    shares: tuple[float, float],
    unequal: bool,
) -> list[complex]:
    y, at = place[outcome], [place[p] for p in predictors]
    sd = np.sqrt(first.variances[y])
    change = second.means - first.means
    slope = shares[0] * second.coefficients[y] + shares[1] * first.coefficients[y]
    carried = [slope[j] * change[j] for j in at]
    out = [change[y]]
    if predictors:
        out += [change[y] - sum(carried), *carried]
    if len(predictors) > 1:
        out.append(sum(carried))
    if predictors and unequal:
        start = second.intercepts[y] - first.intercepts[y]
        turn = second.coefficients[y] - first.coefficients[y]
        out += [start + sum(turn[j] * own.means[j] for j in at) for own in (first, second)]
    return [value / sd for value in out]
