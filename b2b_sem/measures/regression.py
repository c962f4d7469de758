"""Linear regression by least squares with standard errors that do not suppose equal variances: numbers in and out."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from b2b_sem.errors import DataError

__all__ = ["Regression", "product_reliability", "regress", "standardized_product"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Regression:
    """A linear regression.

    Attributes
    ----------
    coef : ndarray, shape (k,)
    vcov : ndarray, shape (k, k)
        HC3.
    df : int
        Rows minus coefficients.
    r2 : float
    influence : ndarray, shape (n, k)
        What each row adds to the coefficients, (X'X)^-1 x_i e_i / (1 - h_i); ``influence.T @ influence`` is `vcov`.
    """

    coef: Array
    vcov: Array
    df: int
    r2: float
    influence: Array

    @property
    def se(self) -> Array:
        """Standard errors, shape (k,)."""
        return np.sqrt(np.diag(self.vcov))

    @property
    def t(self) -> Array:
        """Coefficients divided by their standard errors, shape (k,)."""
        return np.divide(self.coef, self.se, out=np.full(len(self.coef), np.nan), where=self.se > 0)

    @property
    def pvalue(self) -> Array:
        """Two-sided p-values by the t distribution, shape (k,)."""
        return np.asarray(2.0 * special.stdtr(self.df, -np.abs(self.t)))

    def critical(self, level: float) -> float:
        """Return the quantile of t behind an interval of this level."""
        return float(special.stdtrit(self.df, 0.5 + level / 2.0))


def regress(y: ArrayLike, x: ArrayLike) -> Regression:
    """Regress y on the columns of x by least squares (statsmodels), with standard errors of type HC3.

    V = (X'X)^-1 X' diag(e^2 / (1 - h)^2) X (X'X)^-1 with residuals e and leverages h (MacKinnon & White 1985,
    doi:10.1016/0304-4076(85)90158-7; Hayes & Cai 2007, doi:10.3758/BF03192961). Tests use t with n - k degrees of
    freedom. Equal to R's ``sandwich::vcovHC(type = "HC3")``.

    Parameters
    ----------
    y : array_like, shape (n,)
    x : array_like, shape (n, k)
        With a column of ones for the intercept.

    Raises
    ------
    DataError
        If there are not more rows than columns, a column follows from the others, or a row is fitted by force.
    """
    from statsmodels.regression.linear_model import OLS

    outcome, design = np.asarray(y, dtype=float), np.asarray(x, dtype=float)
    n, k = design.shape
    if n <= k:
        raise DataError(f"{n} rows are too few for {k} coefficients", hint="collect more answers")
    # columns of length 1: their units do not decide what counts as singular
    length = np.sqrt((design**2).sum(axis=0))
    if not (length > 0).all():
        raise DataError("a predictor is zero in every row", hint="leave it out")
    q, r = np.linalg.qr(design / length)
    if np.abs(np.diag(r)).min() < 1e-10:
        raise DataError("a predictor follows from the others", hint="leave one of them out")
    leverage = (q**2).sum(axis=1)
    if leverage.max() > 1.0 - 1e-10:
        raise DataError(
            "one row alone decides a coefficient, so that it has no HC3 standard error",
            hint="leave out the predictor that only this row has",
        )
    fit = OLS(outcome, design / length).fit()
    influence = (fit.model.pinv_wexog * (fit.resid / (1.0 - leverage))).T / length
    total = float(((outcome - outcome.mean()) ** 2).sum())
    r2 = 1.0 - float(fit.ssr) / total if total > 0 else math.nan
    return Regression(fit.params / length, fit.cov_HC3 / np.outer(length, length), n - k, r2, influence)


def standardized_product(
    found: Regression, at: int, y: ArrayLike, first: ArrayLike, second: ArrayLike
) -> tuple[float, float]:
    """Return the standardized coefficient of a product, and its standard error.

    b3 sd(a) sd(b) / sd(y), with standard deviations (divisor n - 1) of the variables themselves and not of their
    product (Friedrich 1982, doi:10.2307/2110973; Wen, Marsh & Hau 2010, doi:10.1080/10705510903438872). The standard
    error takes the standard deviations as estimates, too: it is the length of the sum of influence functions, HC3 for
    the coefficient.

    Parameters
    ----------
    found : Regression
    at : int
        Place of the product among the coefficients.
    y, first, second : array_like, shape (n,)
        Outcome and factors.
    """
    moments = []
    slope = []
    for values in (first, second, y):
        numbers = np.asarray(values, dtype=float)
        n, deviation = len(numbers), numbers - numbers.mean()
        variance = float(deviation @ deviation) / (n - 1)
        if not variance > 0:
            return math.nan, math.nan
        moments.append(math.sqrt(variance))
        slope.append((deviation**2 / variance - (n - 1) / n) / (2.0 * n))
    unit = moments[0] * moments[1] / moments[2]
    b = float(found.coef[at])
    rows = unit * (found.influence[:, at] + b * (slope[0] + slope[1] - slope[2]))
    return b * unit, float(np.sqrt(rows @ rows))


def product_reliability(first: float, second: float, correlation: float) -> float:
    """Return the reliability of the product of two centred, normal scores.

    (r^2 + rel_a rel_b) / (r^2 + 1), with the correlation r of the scores (Bohrnstedt & Marwell 1978; Busemeyer & Jones
    1983, doi:10.1037/0033-2909.93.3.549).
    """
    return (correlation**2 + first * second) / (correlation**2 + 1.0)
