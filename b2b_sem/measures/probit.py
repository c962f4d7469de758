"""A curve of power through shares of rejections: ``Phi(a + b t)``, its band, and where it reaches a power.

With ``t`` the root of the number of rows, or the size of an effect, this is the power of a z test but for its other
tail. All shares are fitted together by maximum likelihood, so that samples drawn anywhere near the answer count for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

__all__ = ["ProbitCurve", "fit_probit"]

Array = npt.NDArray[np.floating[Any]]
#: Condition of the information matrix above which the samples do not tell slope and height apart.
BLURRED = 1e14


@dataclass(frozen=True, eq=False)
class ProbitCurve:
    """The curve ``Phi(height + slope (t - center))``.

    Attributes
    ----------
    height, slope, center : float
    cov : (2, 2) array
        Of height and slope.
    misfit : float
        Pearson's chi-square of the shares around the curve divided by its degrees of freedom; NaN without any.
    """

    height: float
    slope: float
    center: float
    cov: Array
    misfit: float = math.nan

    def widened(self) -> ProbitCurve:
        """Return the curve with the covariances that its misfit calls for: times `misfit` if that is above 1.

        The power of most tests is nearly, and not exactly, such a curve (Finney 1971, Probit analysis, calls this the
        heterogeneity factor).
        """
        return replace(self, cov=self.cov * self.misfit) if self.misfit > 1 else self

    def power(self, t: npt.ArrayLike) -> Array:
        """Return the power at `t`."""
        return np.asarray(special.ndtr(self.height + self.slope * (np.asarray(t, dtype=float) - self.center)))

    def band(self, t: npt.ArrayLike, level: float = 0.95) -> tuple[Array, Array]:
        """Return the limits of a pointwise confidence band of the power at `t`."""
        offset = np.asarray(t, dtype=float) - self.center
        line = self.height + self.slope * offset
        variance = self.cov[0, 0] + 2.0 * offset * self.cov[0, 1] + offset**2 * self.cov[1, 1]
        reach = float(special.ndtri(0.5 + level / 2.0)) * np.sqrt(np.maximum(variance, 0.0))
        return np.asarray(special.ndtr(line - reach)), np.asarray(special.ndtr(line + reach))

    def solve(self, power: float) -> tuple[float, float]:
        """Return where the curve has a power, and the standard error of that by the delta method."""
        offset = (float(special.ndtri(power)) - self.height) / self.slope
        slope = np.array([-1.0, -offset]) / self.slope
        return self.center + offset, float(np.sqrt(slope @ self.cov @ slope))


def fit_probit(t: npt.ArrayLike, hits: npt.ArrayLike, trials: npt.ArrayLike) -> ProbitCurve | None:
    """Fit the curve to shares of rejections.

    Parameters
    ----------
    t, hits, trials : (k,) array_like
        At two values of `t` or more.

    Returns
    -------
    ProbitCurve or None
        None where the shares do not rise with `t`, or do not tell (all samples rejected, or none).
    """
    at, k, n = (np.asarray(v, dtype=float) for v in (t, hits, trials))
    at, k, n = at[n > 0], k[n > 0], n[n > 0]
    if len(np.unique(at)) < 2 or not 0 < k.sum() < n.sum():
        return None
    center = float((at * n).sum() / n.sum())
    x = np.stack([np.ones_like(at), at - center], axis=1)
    beta = np.array([float(special.ndtri(k.sum() / n.sum())), 0.0])
    for _ in range(100):
        line = np.clip(x @ beta, -8.0, 8.0)
        p, density = special.ndtr(line), np.exp(-0.5 * line**2) / math.sqrt(2.0 * math.pi)
        weight = n * density**2 / (p * (1.0 - p))
        information = x.T @ (x * weight[:, None])
        step = np.linalg.lstsq(information, x.T @ (density * (k - n * p) / (p * (1.0 - p))), rcond=None)[0]
        beta = beta + step
        if not np.isfinite(beta).all():
            return None
        if float(np.abs(step).max()) < 1e-10:
            break
    else:
        return None  # no samples both reject and do not where they are near each other: any steep curve fits
    if beta[1] <= 0 or np.linalg.cond(information) > BLURRED:
        return None
    df = len(np.unique(at)) - 2
    misfit = float((((k - n * p) ** 2) / (n * p * (1.0 - p))).sum() / df) if df > 0 else math.nan
    return ProbitCurve(float(beta[0]), float(beta[1]), center, np.linalg.inv(information), misfit)
