"""The result of a model with products of latent variables that is fitted by a likelihood of the rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn

from b2b_sem.analysis.fitted import Fit
from b2b_sem.errors import Unsupported

__all__ = ["ProductResult"]


@dataclass(frozen=True, eq=False)
class ProductResult(Fit):
    """The result of a model with products: questions that suppose a linear model are refused."""

    def _refuse(self, what: str) -> NoReturn:
        raise Unsupported(
            f"{what} are not available for models with latent products",
            hint="ask the model without products, or compare models by logl, AIC and BIC",
        )

    def modification_indices(self, **_: Any) -> NoReturn:
        """Not available."""
        self._refuse("modification indices")

    def score_test(self, *_: Any, **__: Any) -> NoReturn:
        """Not available."""
        self._refuse("score tests")

    def indirect_effects(self, *_: Any, **__: Any) -> NoReturn:
        """Not available: effects depend on the moderator."""
        self._refuse("indirect effects without a value of the moderator")

    def residuals(self, kind: str = "raw", *, se: bool = False) -> dict[str, Any]:
        """Return sample minus implied moments; standard errors and standardized ones are not available."""
        if se or kind not in ("raw", "cor", "cor_bollen", "cor_bentler"):
            self._refuse("standardized residuals")
        return super().residuals(kind)
