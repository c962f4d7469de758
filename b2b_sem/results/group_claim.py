"""A claim on groups with latents of its own: invariance, slopes, and total, direct and indirect effects."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import pandas as pd

from b2b_sem.results.invariance import InvarianceResult
from b2b_sem.results.io import frame_from_records, plain, records

__all__ = ["CLAIM_COLUMNS", "SLOPE_COLUMNS", "GroupClaim"]

CLAIM_COLUMNS = (
    "outcome",
    "predictor",
    "effect",
    "through",
    "at",
    "est",
    "se",
    "z",
    "pvalue",
    "ci_lower",
    "ci_upper",
    "judged",
)
SLOPE_COLUMNS = ("path", "first", "second", "est", "se", "z", "pvalue", "ci_lower", "ci_upper")


@dataclass(frozen=True, eq=False)
class GroupClaim:
    """A claim on groups, tested with the latents that it is about.

    Attributes
    ----------
    id : str
        Of the proposition.
    level, reference : str
        The group that the claim is about, and the other one; empty if no means were compared.
    role : str
        ``mediators``, ``covariates`` or empty.
    between : tuple of str
        The mediators or covariates.
    text : str
        The model of the claim.
    invariance : InvarianceResult or None
        Of the latents of the claim; the first group is `reference`.
    equal_slopes : bool or None
        Whether the effects rest on slopes that are equal in both groups; None without slopes.
    slopes_test : mapping of str to float
        Test of all slopes at once: chisq, df, pvalue (difference of chi-squares), wald, wald_pvalue; empty without.
    alpha, level_ci : float
        Error rate of the test of slopes, and confidence level.
    statements, reasons, notes : tuple of str
        What was found; why something could not be tested; what else to know.
    """

    id: str
    level: str
    reference: str
    role: str
    between: tuple[str, ...]
    text: str
    invariance: InvarianceResult | None
    equal_slopes: bool | None
    slopes_test: Mapping[str, float]
    alpha: float
    level_ci: float
    statements: tuple[str, ...]
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    _effects: pd.DataFrame = field(repr=False)
    _slopes: pd.DataFrame = field(repr=False)

    @property
    def effects(self) -> pd.DataFrame:
        """One row an effect.

        outcome; predictor (the level, or the measured variable that takes its place); effect (total, direct, indirect);
        through (which latents carry it); at (group whose means a direct difference is for, if slopes differ, else
        empty); est se z pvalue ci_lower ci_upper; judged (whether the verdict rests on it). Differences of means are in
        standard deviations of the outcome in the reference group, effects of measured variables in raw units.
        """
        return self._effects.copy()

    @property
    def slopes(self) -> pd.DataFrame:
        """Slopes in the reference group (first) and the other (second), and their difference.

        path first second est se z pvalue ci_lower ci_upper. Latent variables have (residual) variance 1 in the
        reference group.
        """
        return self._slopes.copy()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types; ``from_json`` rebuilds the result without its fits."""
        names = (
            "id",
            "level",
            "reference",
            "role",
            "between",
            "text",
            "equal_slopes",
            "slopes_test",
            "alpha",
            "level_ci",
            "statements",
            "reasons",
            "notes",
        )
        out: dict[str, Any] = plain({name: getattr(self, name) for name in names})
        out["invariance"] = None if self.invariance is None else self.invariance.to_json()
        out["effects"], out["slopes"] = records(self._effects), records(self._slopes)
        return out

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> GroupClaim:
        """Rebuild a result from the output of ``to_json``."""
        tests = {k: math.nan if v is None else float(v) for k, v in data["slopes_test"].items()}
        ladder = data["invariance"]
        return cls(
            id=data["id"],
            level=data["level"],
            reference=data["reference"],
            role=data["role"],
            between=tuple(data["between"]),
            text=data["text"],
            invariance=None if ladder is None else InvarianceResult.from_json(ladder),
            equal_slopes=data["equal_slopes"],
            slopes_test=MappingProxyType(tests),
            alpha=float(data["alpha"]),
            level_ci=float(data["level_ci"]),
            statements=tuple(data["statements"]),
            reasons=tuple(data["reasons"]),
            notes=tuple(data["notes"]),
            _effects=frame_from_records(data["effects"], CLAIM_COLUMNS),
            _slopes=frame_from_records(data["slopes"], SLOPE_COLUMNS),
        )
