"""The weight of WLS: the inverse of the asymptotic covariance matrix of the sample moments."""

from __future__ import annotations

import numpy as np

from b2b_sem.data.observed import Observed
from b2b_sem.engine.base import Array, FitOptions
from b2b_sem.engine.native.least_squares import DenseWeight, IdentityWeight, LeastSquares, NormalWeight
from b2b_sem.engine.robust import Rows, rows_of
from b2b_sem.errors import DataError
from b2b_sem.spec.partable import ParameterTable

__all__ = ["asymptotic_weight", "make_weight"]

#: Smallest eigenvalue, in correlation metric, of an asymptotic covariance matrix that is inverted.
SINGULAR = 1e-10


def make_weight(
    table: ParameterTable, observed: Observed, cov: Array, mean: Array | None, options: FitOptions
) -> LeastSquares | None:
    """Return the weight of an estimator, or None for maximum likelihood."""
    x = [table.observed.index(v) for v in table.exogenous] if table.fixed_x else []
    if options.estimator == "GLS":
        inverse = np.linalg.inv(cov)
        return NormalWeight((inverse + inverse.T) / 2, tuple(x))
    if options.estimator == "ULS":
        return IdentityWeight.of(cov, mean)
    if options.estimator == "WLS":
        return asymptotic_weight(rows_of(table, observed), x, mean is not None)
    return None


def asymptotic_weight(rows: Rows, given: list[int], meanstructure: bool) -> DenseWeight:
    """Return the inverse of Gamma, the mean of z z' with z the centred products of a row.

    Browne (1984), doi:10.1111/j.2044-8317.1984.tb00789.x. Moments of the variables
    `given` do not vary and are left out.

    Raises
    ------
    DataError
        If there are not more rows than moments, or the matrix is singular for another reason.
    """
    p = rows.values.shape[1]
    i, j = np.tril_indices(p)
    fixed = np.isin(np.arange(p), given)
    vary = ~(fixed[i] & fixed[j])
    i, j = i[vary], j[vary]
    means = np.flatnonzero(~fixed) if meanstructure else np.zeros(0, dtype=np.intp)
    count = len(means) + len(i)
    hint = "use estimator='MLM' or 'MLR', which need no such matrix, or fewer variables"
    if rows.nobs <= count:
        raise DataError(
            f"WLS needs more rows than moments: there are {rows.nobs} complete rows, and {p} variables have {count} "
            "moments",
            hint=hint,
        )
    level = rows.residual[i, j]

    def products(block: Array) -> Array:
        out = block[:, i] * block[:, j] - level
        if rows.fitted is not None:
            predicted = block @ rows.fitted
            out -= predicted[:, i] * predicted[:, j]
            block = block - predicted
        return np.concatenate([block[:, means], out], axis=1)

    gamma = rows.crossproduct(3 * count, products, count)
    scale = np.sqrt(np.diag(gamma))
    if scale.min() > 0:
        values, vectors = np.linalg.eigh(gamma / np.outer(scale, scale))
        if values[0] > SINGULAR:
            inverse = (vectors / values) @ vectors.T / np.outer(scale, scale)
            return DenseWeight(inverse, means, i, j)
    raise DataError(
        "WLS cannot be used with these data: the asymptotic covariance matrix of the moments is singular (items with "
        "two answers, or too few rows)",
        hint=hint,
    )
