"""What an engine is asked for, and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

__all__ = ["Array", "EngineFit", "FitOptions", "IntArray", "moments_divisor"]

Array = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.intp]


@dataclass(frozen=True)
class FitOptions:
    """The options of a fit that change numbers; every value is one that has been tested.

    Attributes
    ----------
    estimator : {"ML", "GLS", "ULS", "WLS"}
        The fit function.
    likelihood : {"normal", "wishart"}
        Divide the sample covariances by N and take chi-square = N F, or by N - 1 and (N - 1) F. The three kinds of
        least squares always do the latter.
    information : {"expected", "observed", "first.order"}
        The matrix that is inverted for the standard errors.
    se : {"standard", "robust.sem", "robust.huber.white", "robust.cluster", "robust.cluster.sem", "none"}
    test : str
        The test beside the chi-square: "standard" (none), "satorra.bentler", "mean.var.adjusted", "scaled.shifted" or
        "yuan.bentler.mplus".
    test_information : {"hessian", "h1"}
        Observed information of the scaled test: the Hessian, or its part without second derivatives of the moments.
    max_iterations : int
        Of the native optimiser, for each start.
    missing : {"listwise", "fiml", "fiml.x"}
        What became of rows with missing values. Full information maximum likelihood uses them; with "fiml" those that
        lack an exogenous variable taken as fixed are left out.
    """

    estimator: Literal["ML", "GLS", "ULS", "WLS"] = "ML"
    likelihood: Literal["normal", "wishart"] = "normal"
    information: Literal["expected", "observed", "first.order"] = "expected"
    se: str = "standard"
    test: str = "standard"
    test_information: Literal["hessian", "h1"] = "hessian"
    max_iterations: int = 150
    missing: Literal["listwise", "fiml", "fiml.x"] = "listwise"

    @property
    def needs_rows(self) -> bool:
        """Whether moments are not enough: the data themselves are used."""
        return (
            self.estimator == "WLS"
            or self.test != "standard"
            or self.se.startswith("robust")
            or self.information == "first.order"
        )


def moments_divisor(nobs: int, likelihood: str) -> int:
    """Return n*: the divisor of the sample covariances and the multiplier of the fit function."""
    return nobs if likelihood == "normal" else nobs - 1


@dataclass(frozen=True)
class EngineFit:
    """The solution of one minimisation.

    Attributes
    ----------
    theta : (q,) array
        Free parameters in the order of the table's ``free`` numbers.
    fmin : float
        Minimum of F = log|Sigma| + tr(S Sigma^-1) - log|S| - p [+ (m - mu)' Sigma^-1 (m - mu)].
    gradient : float
        Largest |dF/dtheta_k| / (2 sqrt(I_kk)), with I the expected information of one observation.
    converged : bool
    iterations : int
    message : str
    engine : str
    polish : float or None
        Largest |move| / SE between another engine's estimates and theta; None if there was none.
    """

    theta: Array
    fmin: float
    gradient: float
    converged: bool
    iterations: int
    message: str
    engine: str
    polish: float | None = None
