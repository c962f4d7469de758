"""Power and sample size from noncentral distributions: numbers in, numbers out.

A likelihood-ratio statistic is, in large samples, noncentral chi-square: its noncentrality is the number of rows times
what one row adds, so that power at any number of rows, the rows that a power needs, and the noncentrality that a number
of rows can detect are three views of one equation (Satorra & Saris 1985, doi:10.1007/BF02294150).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

from b2b_sem.errors import DataError

__all__ = [
    "binomial_band",
    "chisq_power",
    "chisq_rows",
    "delta_power",
    "joint_power",
    "product_power",
    "required_noncentrality",
    "rmsea_change_power",
    "rmsea_change_rows",
    "rmsea_detectable",
    "rmsea_power",
    "rmsea_rows",
    "wald_power",
]

Array = npt.NDArray[np.floating[Any]]

#: Points of the lattice over which normal probabilities of several estimates are averaged.
POINTS = 1 << 15
#: Rows above which no sample size is looked for.
MOST_ROWS = 10**9
#: Values of RMSEA above this are not looked for.
WORST = 1.0


def _check(name: str, value: float, low: float, high: float, *, closed: bool = False) -> None:
    if not (low <= value <= high if closed else low < value < high):
        raise DataError(f"{name}={value!r} must lie between {low:g} and {high:g}", hint="give a number in this range")


def _check_df(df: float) -> None:
    if not df > 0:
        raise DataError(f"a test with df={df!r} has no power", hint="use a model with at least 1 degree of freedom")


def chisq_power(noncentrality: npt.ArrayLike, df: float, alpha: float = 0.05) -> Array:
    """Return the probability that a noncentral chi-square exceeds the central quantile of 1 - alpha.

    Parameters
    ----------
    noncentrality : array_like
        At least 0; the result has its shape.
    df : float
    alpha : float

    Raises
    ------
    DataError
        For numbers out of range.
    """
    _check("alpha", alpha, 0.0, 1.0)
    _check_df(df)
    value = np.asarray(noncentrality, dtype=float)
    if (value < 0).any():
        raise DataError(
            "a noncentrality is negative",
            hint="give the fit function of the restricted model minus that of the larger one",
        )
    return _above(float(special.chdtri(df, alpha)), df, value)


def _above(critical: float, df: float, noncentrality: Array) -> Array:
    """Return P(X > critical); the series of SciPy needs more terms than it has where the noncentrality is huge."""
    with np.errstate(all="ignore"):
        power = 1.0 - special.chndtr(critical, df, noncentrality)
    mean, sd = df + noncentrality, np.sqrt(2.0 * (df + 2.0 * noncentrality))
    return np.asarray(np.where(mean - critical > 40.0 * sd, 1.0, np.clip(power, 0.0, 1.0)), dtype=float)


def required_noncentrality(power: float, df: float, alpha: float = 0.05) -> float:
    """Return the noncentrality at which the test has the asked power.

    Parameters
    ----------
    power : float
        Above alpha, below 1.
    df, alpha : float

    Raises
    ------
    DataError
        For numbers out of range.
    """
    from scipy.optimize import brentq

    _check("alpha", alpha, 0.0, 1.0)
    _check("power", power, alpha, 1.0)
    high = 10.0 + df
    while float(chisq_power(high, df, alpha)) < power:
        high *= 2.0
    return float(brentq(lambda v: float(chisq_power(v, df, alpha)) - power, 0.0, high, xtol=1e-11, rtol=1e-13))


def chisq_rows(per_row: float, df: float, power: float = 0.80, alpha: float = 0.05) -> float:
    """Return the rows at which a test with noncentrality ``rows * per_row`` has the asked power, not rounded.

    Infinite where one row adds nothing: the restriction is true, or the model cannot see that it is not.
    """
    need = required_noncentrality(power, df, alpha)
    return need / per_row if per_row > 0 else math.inf


def wald_power(effect: npt.ArrayLike, se: npt.ArrayLike, alpha: float = 0.05) -> Array:
    """Return the power of the two-sided z test, Phi(|d| - z) + Phi(-|d| - z) with d = effect / se.

    Parameters
    ----------
    effect, se : array_like
        The population's value, and the standard error at the sample size in question.
    alpha : float
    """
    _check("alpha", alpha, 0.0, 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        d = np.abs(np.asarray(effect, dtype=float) / np.asarray(se, dtype=float))
    z = float(special.ndtri(1.0 - alpha / 2.0))
    return np.asarray(special.ndtr(d - z) + special.ndtr(-d - z), dtype=float)


def product_power(effects: Array, cov: Array, alpha: float = 0.05) -> tuple[float, float]:
    """Return the power of two tests of a product of coefficients, such as an indirect effect.

    The estimates of the coefficients are taken as jointly normal, which they are in large samples; that their product
    is not normal at any usual sample size is accounted for. The probability is an average over the points of a lattice
    (Genz 1992, doi:10.1080/10618600.1992.10477010; POINTS of them), the same at every call; its error is below 1e-3.

    Parameters
    ----------
    effects : (k,) array
        The coefficients of the path, one or more.
    cov : (k, k) array
        Covariance matrix of their estimates.
    alpha : float

    Returns
    -------
    joint : float
        Of the joint significance test: all coefficients are significant (MacKinnon et al. 2002,
        doi:10.1037/1082-989X.7.1.83).
    delta : float
        Of the z test with the delta-method standard error (Sobel 1982, doi:10.2307/270723).

    Raises
    ------
    DataError
        If the shapes differ or `cov` is not positive definite.
    """
    return joint_power(effects, cov, alpha), delta_power(effects, cov, alpha)


def _coefficients(effects: Array, cov: Array, alpha: float) -> tuple[Array, Array, Array, Array]:
    """Check coefficients and return them with their covariances, standard errors and the root of their correlations."""
    _check("alpha", alpha, 0.0, 1.0)
    effects, cov = np.atleast_1d(np.asarray(effects, dtype=float)), np.atleast_2d(np.asarray(cov, dtype=float))
    k = len(effects)
    if cov.shape != (k, k) or not np.isfinite(cov).all() or np.linalg.eigvalsh(cov)[0] <= 0:
        raise DataError(
            f"{k} coefficients need a positive definite {k} x {k} covariance matrix", hint="give that of the estimates"
        )
    sd = np.sqrt(np.diag(cov))
    return effects, cov, sd, np.linalg.cholesky(cov / np.outer(sd, sd))


def joint_power(effects: Array, cov: Array, alpha: float = 0.05) -> float:
    """Return the power of the joint significance test: see :func:`product_power`."""
    effects, cov, sd, factor = _coefficients(effects, cov, alpha)
    z, k, tiny = float(special.ndtri(1.0 - alpha / 2.0)), len(effects), np.finfo(float).tiny
    delta = effects / sd
    points, _ = _lattice(k)
    weight, normal = np.ones(len(points)), np.empty_like(points)
    for i in range(k):
        # given the coordinates before, estimate i lies outside (-z, z) with this probability; the next coordinates
        # are drawn as if it did
        mean, scale = delta[i] + normal[:, :i] @ factor[i, :i], factor[i, i]
        low, high = special.ndtr((-z - mean) / scale), special.ndtr(-(z - mean) / scale)
        weight *= low + high
        if i + 1 < k:
            u = points[:, i] * (low + high)
            below = u < low
            tail = np.maximum(np.where(below, u, u - low), tiny)
            normal[:, i] = np.where(below, 1.0, -1.0) * special.ndtri(tail)
    return float(weight.mean())


def delta_power(effects: Array, cov: Array, alpha: float = 0.05) -> float:
    """Return the power of the z test with the delta-method standard error: see :func:`product_power`."""
    effects, cov, sd, factor = _coefficients(effects, cov, alpha)
    _, quantiles = _lattice(len(effects))
    draws = effects + sd * (quantiles @ factor.T)
    slope = np.stack([np.delete(draws, i, axis=1).prod(axis=1) for i in range(len(effects))], axis=1)
    error = np.sqrt(((slope @ cov) * slope).sum(axis=1))
    return float((np.abs(draws.prod(axis=1)) > float(special.ndtri(1.0 - alpha / 2.0)) * error).mean())


@cache
def _lattice(k: int) -> tuple[Array, Array]:
    """Return points that fill the unit cube of k dimensions evenly, (POINTS, k), and their normal quantiles.

    Multiples of roots of primes: Richtmyer's rule, as in Genz (1992); folded (the baker's transformation), which takes
    the jump at the edge away.
    """
    primes = [p for p in range(2, 8 * k + 16) if all(p % d for d in range(2, p))][:k]
    raw = np.mod((np.arange(POINTS)[:, None] + 0.5) * np.sqrt(np.array(primes, dtype=float)), 1.0)
    points = np.clip(1.0 - np.abs(2.0 * raw - 1.0), 1e-12, 1.0 - 1e-12)
    return points, np.asarray(special.ndtri(points), dtype=float)


def rmsea_power(
    rows: npt.ArrayLike, df: float, null: float = 0.05, alternative: float = 0.08, alpha: float = 0.05, groups: int = 1
) -> Array:
    """Return the power of a test of fit about RMSEA.

    With chi-square noncentral at (N - 1) df RMSEA^2 / G: where `alternative` is above `null` the test rejects "close
    fit" (RMSEA <= null) for large chi-squares, and exact fit with null = 0; where it is below, the test rejects "not
    close fit" (RMSEA >= null) for small ones. MacCallum, Browne & Sugawara (1996, doi:10.1037/1082-989X.1.2.130);
    several groups by Steiger (1998, doi:10.1080/10705519809540115). The divisor is that of the published tables, N - 1,
    while the RMSEA of a fit under the normal likelihood divides by N.

    Parameters
    ----------
    rows : array_like
        Rows of all groups together; the result has its shape.
    df : float
    null, alternative : float
        RMSEA of the hypothesis, and of the population.
    alpha : float
    groups : int

    Raises
    ------
    DataError
        For numbers out of range, or where `null` and `alternative` are equal.
    """
    _check_rmsea(df, null, alternative, alpha, groups)
    n = np.asarray(rows, dtype=float)
    if (n < 2).any():
        raise DataError("a test of fit needs at least 2 rows", hint="give larger samples")
    scale = (n - 1.0) * df / groups
    critical = _critical(df, scale * null**2, alpha, null < alternative)
    above = np.vectorize(lambda c, v: float(_above(c, df, np.asarray(v))), otypes=[float])
    power = above(critical, scale * alternative**2)
    return np.asarray(power if null < alternative else 1.0 - power, dtype=float)


def _check_rmsea(df: float, null: float, alternative: float, alpha: float, groups: int) -> None:
    _check_df(df)
    _check("alpha", alpha, 0.0, 1.0)
    for name, value in (("null", null), ("alternative", alternative)):
        _check(name, value, 0.0, WORST, closed=True)
    if null == alternative:
        raise DataError(
            "null and alternative are the same RMSEA",
            hint="give alternative > null for a test of close fit, alternative < null for one of not close fit",
        )
    if groups < 1:
        raise DataError(f"groups={groups!r}", hint="give the number of groups, at least 1")


def _critical(df: float, noncentrality: Array, alpha: float, upper: bool) -> Array:
    """Return the critical values under the null hypothesis."""
    from scipy.optimize import brentq

    target = 1.0 - alpha if upper else alpha

    def solve(nc: float) -> float:
        # the critical value of the central distribution is a bound from below, that of a normal one (generously)
        # from above
        mean, sd = df + nc, math.sqrt(2.0 * (df + 2.0 * nc))
        low, high = max(0.0, mean - 40.0 * sd), mean + 40.0 * sd + 100.0
        return float(brentq(lambda c: float(special.chndtr(c, df, nc)) - target, low, high, xtol=1e-10, rtol=1e-13))

    return np.asarray(np.vectorize(solve, otypes=[float])(noncentrality), dtype=float)


def rmsea_rows(
    df: float,
    null: float = 0.05,
    alternative: float = 0.08,
    power: float = 0.80,
    alpha: float = 0.05,
    groups: int = 1,
) -> int:
    """Return the smallest number of rows (of all groups together) with at least the asked power.

    Arguments and test are those of :func:`rmsea_power`.

    Raises
    ------
    DataError
        For numbers out of range, or where more than a billion rows would be needed.
    """
    _check_rmsea(df, null, alternative, alpha, groups)
    _check("power", power, alpha, 1.0)

    return _smallest(lambda n: float(rmsea_power(n, df, null, alternative, alpha, groups)) >= power)


def rmsea_change_power(
    rows: npt.ArrayLike,
    df: tuple[float, float],
    null: tuple[float, float] = (0.0, 0.0),
    alternative: tuple[float, float] = (0.06, 0.05),
    alpha: float = 0.05,
    groups: int = 1,
) -> Array:
    """Return the power of the test that a restriction makes a model fit worse, from the RMSEA of both models.

    The difference of the chi-squares of a restricted and a larger model is noncentral chi-square with the noncentrality
    (N - 1) (df_1 RMSEA_1^2 - df_2 RMSEA_2^2) / G (MacCallum, Browne & Cai 2006, doi:10.1037/1082-989X.11.1.19). The
    hypothesis is that both fit alike, or, with other values under `null`, that they differ by as much as these say.

    Parameters
    ----------
    rows : array_like
        Rows of all groups together; the result has its shape.
    df : (float, float)
        Degrees of freedom of the restricted model, and of the larger one.
    null, alternative : (float, float)
        RMSEA of both models by the hypothesis, and in the population.
    alpha : float
    groups : int

    Raises
    ------
    DataError
        For numbers out of range, or where the restricted model does not fit worse, or not worse than by the hypothesis.
    """
    low, high = _changes(df, null, alternative, alpha, groups)
    n = np.asarray(rows, dtype=float)
    if (n < 2).any():
        raise DataError("a test of fit needs at least 2 rows", hint="give larger samples")
    more = df[0] - df[1]
    critical = _critical(more, (n - 1.0) * low, alpha, True)
    above = np.vectorize(lambda c, v: float(_above(c, more, np.asarray(v))), otypes=[float])
    return np.asarray(above(critical, (n - 1.0) * high), dtype=float)


def _changes(
    df: tuple[float, float], null: tuple[float, float], alternative: tuple[float, float], alpha: float, groups: int
) -> tuple[float, float]:
    """Check a comparison of models and return what a row adds to its noncentrality by the hypothesis, and in truth."""
    _check("alpha", alpha, 0.0, 1.0)
    _check_df(df[1])
    if not df[0] > df[1]:
        raise DataError(
            f"the restricted model has {df[0]:g} degrees of freedom, the larger one {df[1]:g}",
            hint="give those of the restricted model first: it has more",
        )
    if groups < 1:
        raise DataError(f"groups={groups!r}", hint="give the number of groups, at least 1")
    found = []
    for name, pair in (("null", null), ("alternative", alternative)):
        for value in pair:
            _check(f"RMSEA of {name}", value, 0.0, WORST, closed=True)
        if pair[0] < pair[1]:
            raise DataError(
                f"{name}={pair!r}: the restricted model has the smaller RMSEA",
                hint="give that of the restricted model first: it is not smaller here",
            )
        found.append((df[0] * pair[0] ** 2 - df[1] * pair[1] ** 2) / groups)
    if not found[1] > found[0]:
        raise DataError(
            "the models differ in the population by no more than the hypothesis says",
            hint="take the RMSEA of alternative further apart than those of null",
        )
    return found[0], found[1]


def rmsea_change_rows(
    df: tuple[float, float],
    null: tuple[float, float] = (0.0, 0.0),
    alternative: tuple[float, float] = (0.06, 0.05),
    power: float = 0.80,
    alpha: float = 0.05,
    groups: int = 1,
) -> int:
    """Return the smallest number of rows with at least the asked power; arguments are those of ``rmsea_change_power``.

    Raises
    ------
    DataError
        For numbers out of range, or where more than a billion rows would be needed.
    """
    _changes(df, null, alternative, alpha, groups)
    _check("power", power, alpha, 1.0)
    return _smallest(lambda n: float(rmsea_change_power(n, df, null, alternative, alpha, groups)) >= power)


def _smallest(enough: Callable[[int], bool]) -> int:
    """Return the smallest number of rows, at least 2, that is enough: powers rise with the rows."""
    low, high = 1, 2
    while not enough(high):
        low, high = high, 2 * high
        if high > MOST_ROWS:
            raise DataError(
                f"more than {MOST_ROWS:,} rows would be needed", hint="take null and alternative further apart"
            )
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def rmsea_detectable(
    rows: float, df: float, null: float = 0.05, power: float = 0.80, alpha: float = 0.05, groups: int = 1
) -> tuple[float, float]:
    """Return the RMSEA below and above `null` that the tests tell from it with the asked power.

    Parameters
    ----------
    rows : float
        Of all groups together.
    df, null, power, alpha, groups
        As in :func:`rmsea_power`.

    Returns
    -------
    lower : float
        Largest RMSEA at which "not close fit" is rejected; NaN where even perfect fit is not enough.
    upper : float
        Smallest RMSEA at which "close fit" is rejected; NaN where an RMSEA of 1 is not enough.
    """
    from scipy.optimize import brentq

    _check("power", power, alpha, 1.0)

    def gap(value: float) -> float:
        return float(rmsea_power(rows, df, null, value, alpha, groups)) - power

    tiny = 1e-9
    _check_rmsea(df, null, WORST, alpha, groups)
    lower = upper = math.nan
    if null > 0 and gap(0.0) >= 0:
        lower = float(brentq(gap, 0.0, null - min(tiny, null / 2), xtol=1e-10))
    if null < WORST and gap(WORST) >= 0:
        upper = float(brentq(gap, null + tiny, WORST, xtol=1e-10))
    return lower, upper


def binomial_band(hits: npt.ArrayLike, trials: npt.ArrayLike, level: float = 0.95) -> tuple[Array, Array]:
    """Return the limits of a share: the score interval of Wilson (1927, doi:10.1080/01621459.1927.10502953).

    Parameters
    ----------
    hits, trials : array_like
        NaN where there are no trials.
    level : float
    """
    _check("level", level, 0.0, 1.0)
    n, k = np.asarray(trials, dtype=float), np.asarray(hits, dtype=float)
    z2 = float(special.ndtri(0.5 + level / 2.0)) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        share = k / n
        middle = (share + z2 / (2.0 * n)) / (1.0 + z2 / n)
        half = np.sqrt(z2 * (share * (1.0 - share) / n + z2 / (4.0 * n**2))) / (1.0 + z2 / n)
    return np.asarray(np.maximum(middle - half, 0.0)), np.asarray(np.minimum(middle + half, 1.0))
