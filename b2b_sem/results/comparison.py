"""What a study found by comparing groups: whether they can be compared, latent means, and paths."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from b2b_sem.results.group_claim import GroupClaim
from b2b_sem.results.invariance import InvarianceResult
from b2b_sem.results.io import plain
from b2b_sem.results.path_group import PathGroupResult

__all__ = ["ABSENT", "HOLDS", "OPEN", "OPPOSITE", "ClaimPart", "GroupComparison"]

HOLDS = "holds"
OPPOSITE = "opposite"
OPEN = "open"
ABSENT = "not tested"


@dataclass(frozen=True)
class ClaimPart:
    """One part of a proposition that claims several things together.

    Attributes
    ----------
    id, claim : str
        For example ``P10a`` and ``RG -> AU (-)``.
    outcome : str
        ``holds``, ``opposite`` (significant, with the other sign), ``open`` (not significant) or ``not tested``.
    text : str
        What was found and how, or what is missing.
    estimate, se, pvalue : float
        NaN for a test of several paths (which has only a p-value) and for a part that was not tested.
    """

    id: str
    claim: str
    outcome: str
    text: str
    estimate: float = math.nan
    se: float = math.nan
    pvalue: float = math.nan

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {k: plain(v) for k, v in asdict(self).items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ClaimPart:
        """Rebuild a part from the output of ``to_json``."""
        numbers = {k: math.nan if data[k] is None else float(data[k]) for k in ("estimate", "se", "pvalue")}
        return cls(data["id"], data["claim"], data["outcome"], data["text"], **numbers)


@dataclass(frozen=True, eq=False)
class GroupComparison:
    """Groups of respondents, compared.

    Attributes
    ----------
    name, label : str
        Code of the split, and what it is called.
    invariance : InvarianceResult or None
    paths : PathGroupResult or None
        With the loadings free that `invariance` released.
    reasons : tuple of str
        Why something is None, or must not be used.
    claims : tuple of GroupClaim
        Propositions on this split that have latents of their own.
    """

    name: str
    label: str
    invariance: InvarianceResult | None
    paths: PathGroupResult | None
    reasons: tuple[str, ...] = ()
    claims: tuple[GroupClaim, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types; ``from_json`` rebuilds the result without its fits."""
        return {
            "name": self.name,
            "label": self.label,
            "invariance": None if self.invariance is None else self.invariance.to_json(),
            "paths": None if self.paths is None else self.paths.to_json(),
            "reasons": list(self.reasons),
            "claims": [claim.to_json() for claim in self.claims],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> GroupComparison:
        """Rebuild a comparison from the output of ``to_json``."""
        return cls(
            data["name"],
            data["label"],
            None if data["invariance"] is None else InvarianceResult.from_json(data["invariance"]),
            None if data["paths"] is None else PathGroupResult.from_json(data["paths"]),
            tuple(data["reasons"]),
            tuple(GroupClaim.from_json(claim) for claim in data.get("claims") or ()),
        )
