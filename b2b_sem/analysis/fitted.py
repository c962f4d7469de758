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
    from b2b_sem.data.observed import Observed
    from b2b_sem.engine.base import Array, EngineFit
    from b2b_sem.engine.problem import Problem
    from b2b_sem.results.bootstrap import BootstrapResult

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

    def bootstrap(self, n: int = 1000, **settings: Any) -> BootstrapResult:
        """Refit the model to resampled data: see :func:`b2b_sem.analysis.bootstrap.bootstrap`."""
        from b2b_sem.analysis.bootstrap import bootstrap

        return bootstrap(self, n, **settings)


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
