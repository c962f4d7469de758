"""A claim on moderation in a study: the model with the product, and what it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from b2b_sem.results.fit import FitResult
from b2b_sem.results.io import plain
from b2b_sem.results.moderation import ModerationResult
from b2b_sem.results.probe import ConditionalEffects, JohnsonNeyman, ModerationSize, SimpleSlopes

__all__ = ["ModerationClaim"]


@dataclass(frozen=True, eq=False)
class ModerationClaim:
    """A claim that one variable changes the effect of another, tested by the product of the two.

    Attributes
    ----------
    id : str
        Of the proposition.
    outcome, predictor, moderator, product : str
        For example ``RR``, ``PC``, ``PX`` and ``PC:PX``.
    interaction : str
        The way in which the model was fitted: ``lms``, ``qml``, ``dmc``, ...
    text : str
        The model.
    added : str
        The lines of it that the main model does not have.
    alpha, level : float
        Error rate, and confidence level.
    fit : FitResult or None
        Of the model with the product.
    linear : FitResult or None
        Of the same model without the product, which has a test of fit.
    statements : tuple of str
        What was found.
    reasons : tuple of str
        Why something could not be done, or was done in another way than the study says.
    slopes : SimpleSlopes or None
        The effect of the predictor at values of the moderator.
    region : JohnsonNeyman or None
        Where it differs from zero.
    effects : ConditionalEffects or None
        Direct, indirect and total effects of the predictor at values of the moderator, with the index of moderated
        mediation.
    size : ModerationSize or None
        What the product adds to the explained variance.
    routes : ModerationResult or None
        The same question asked in other ways.
    """

    id: str
    outcome: str
    predictor: str
    moderator: str
    product: str
    interaction: str
    text: str
    added: str
    alpha: float
    level: float
    fit: FitResult | None
    linear: FitResult | None = None
    statements: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    slopes: SimpleSlopes | None = None
    region: JohnsonNeyman | None = None
    effects: ConditionalEffects | None = None
    size: ModerationSize | None = None
    routes: ModerationResult | None = None

    @property
    def ok(self) -> bool:
        """Whether a verdict may rest on the fit."""
        return self.fit is not None and self.fit.ok

    @property
    def row(self) -> Mapping[str, float]:
        """The effect of the product: est se z pvalue ci_lower ci_upper std std_se std_lower std_upper.

        Empty without a fit. Standardized is b3 sd(predictor) sd(moderator) / sd(outcome).
        """
        if self.fit is None:
            return {}
        raw, std = _find(self.fit.parameters, self), _find(self.fit.standardized(), self)
        if raw is None or std is None:
            return {}
        own = {c: float(raw[c]) for c in ("est", "se", "z", "pvalue", "ci_lower", "ci_upper")}
        names = {"est_std": "std", "se": "std_se", "ci_lower": "std_lower", "ci_upper": "std_upper"}
        return own | {new: float(std[old]) for old, new in names.items()}

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types; ``from_json`` rebuilds the result."""
        out: dict[str, Any] = plain({name: getattr(self, name) for name in _HEAD})
        parts = {name: getattr(self, name) for name in _PARTS}
        found = {name: None if part is None else part.to_json() for name, part in parts.items()}
        return out | {"effect": plain(self.row), **found}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ModerationClaim:
        """Rebuild a result from the output of ``to_json``."""
        head: dict[str, Any] = {name: data[name] for name in _HEAD}
        head |= {name: tuple(data[name]) for name in ("statements", "reasons")}
        head |= {name: float(data[name]) for name in ("alpha", "level")}
        for name, kind in _PARTS.items():
            head[name] = None if data.get(name) is None else kind.from_json(data[name])
        return cls(**head)


_PARTS: dict[str, Any] = {
    "fit": FitResult,
    "linear": FitResult,
    "slopes": SimpleSlopes,
    "region": JohnsonNeyman,
    "effects": ConditionalEffects,
    "size": ModerationSize,
    "routes": ModerationResult,
}


_HEAD = (
    "id",
    "outcome",
    "predictor",
    "moderator",
    "product",
    "interaction",
    "text",
    "added",
    "alpha",
    "level",
    "statements",
    "reasons",
)


def _find(table: pd.DataFrame, claim: ModerationClaim) -> pd.Series | None:
    rows = table[(table["op"] == "~") & (table["lhs"] == claim.outcome) & (table["rhs"] == claim.product)]
    return None if rows.empty else rows.iloc[0]
