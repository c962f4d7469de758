"""A fitted model that can be asked further questions.

:class:`~b2b_sem.results.fit.FitResult` holds what was found; a :class:`Fit` also remembers the problem it solved, so
that questions which need new computation (tests, effects, scores, resampling) can be answered. The answers are frozen
results of their own. A fit read back from JSON is a plain ``FitResult``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from b2b_sem.errors import Unsupported
from b2b_sem.results.fit import FitResult

if TYPE_CHECKING:
    import pandas as pd

    from b2b_sem.data.observed import Observed
    from b2b_sem.engine.base import Array, EngineFit
    from b2b_sem.engine.problem import Problem
    from b2b_sem.results.effect import EffectsResult

__all__ = ["Context", "Fit", "context_of"]


@dataclass(frozen=True, eq=False)
class Context:
    """What a fit was made from.

    Attributes
    ----------
    problem : Problem
    observed : Observed
        With the complete rows, if data were given.
    solution : EngineFit
    vcov : (q, q) array
        Covariance matrix of the free parameters; NaN when the model is not identified.
    """

    problem: Problem
    observed: Observed
    solution: EngineFit
    vcov: Array


@dataclass(frozen=True, eq=False)
class Fit(FitResult):
    """The result of :func:`b2b_sem.fit`: a :class:`FitResult` with its problem."""

    _context: Context | None = field(default=None, repr=False)

    def indirect_effects(self, ci: str = "delta", level: float = 0.95, **options: Any) -> EffectsResult:
        """Return all specific, direct, indirect and total effects: :func:`~b2b_sem.analysis.effect.indirect_effects`.

        Parameters
        ----------
        ci : {"delta", "mc", "percentile", "bc", "bca"}
        level : float
        **options
            ``draws``, ``seed``, ``outcome``, ``predictor``, ``bootstrap``.
        """
        from b2b_sem.analysis.effect import indirect_effects

        return indirect_effects(self, ci, level, **options)

    def factor_scores(self, method: str = "regression", data: Any = None) -> pd.DataFrame:
        """Return scores of the latent variables: :func:`~b2b_sem.analysis.score.factor_scores`.

        Parameters
        ----------
        method : {"regression", "bartlett"}
        data : DataFrame, mapping of columns, or Responses, optional
            Other rows than those the model was fitted to.
        """
        from b2b_sem.analysis.score import factor_scores

        return factor_scores(self, method, data)

    def residuals(self, kind: str = "raw", *, se: bool = False) -> dict[str, Any]:
        """Return sample minus implied moments: :func:`~b2b_sem.analysis.residual.residuals`.

        Parameters
        ----------
        kind : {"raw", "cor", "cor_bollen", "cor_bentler", "normalized", "standardized", "standardized_mplus"}
        se : bool
            Standard errors and z beside the residuals.
        """
        from b2b_sem.analysis.residual import residuals

        return residuals(self, kind, se=se)


def context_of(fit: FitResult) -> Context:
    """Return what a fit was made from.

    Raises
    ------
    Unsupported
        If the result was read from a file: numbers are there, the data are not.
    """
    context = getattr(fit, "_context", None)
    if context is None:
        raise Unsupported(
            "this result was read from a file and holds no data to compute from", hint="fit the model again"
        )
    return context
