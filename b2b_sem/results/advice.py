"""Advice on the estimator: what to use for these answers, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Advice"]


@dataclass(frozen=True)
class Advice:
    """Which estimator suits the answers, with the reasons.

    Attributes
    ----------
    estimator : str
        A name for ``b2b_sem.fit(estimator=...)``.
    ordered : tuple of str
        Items to be treated as ordered categories; empty when all are treated as continuous.
    missing : str
        For ``b2b_sem.fit(missing=...)``.
    reasons : tuple of str
        One sentence for each rule that spoke: value, limit and source.
    """

    estimator: str
    ordered: tuple[str, ...]
    missing: str
    reasons: tuple[str, ...]

    def arguments(self) -> dict[str, Any]:
        """Return the advice as keyword arguments of ``b2b_sem.fit``."""
        return {"estimator": self.estimator, "ordered": self.ordered or None, "missing": self.missing}

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types; :meth:`from_json` rebuilds the advice."""
        return {
            "estimator": self.estimator,
            "ordered": list(self.ordered),
            "missing": self.missing,
            "reasons": list(self.reasons),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Advice:
        """Rebuild advice from the output of :meth:`to_json`."""
        return cls(data["estimator"], tuple(data["ordered"]), data["missing"], tuple(data["reasons"]))

    def __str__(self) -> str:
        ordered = f", ordered: {', '.join(self.ordered)}" if self.ordered else ""
        head = f"estimator {self.estimator}, missing {self.missing}{ordered}"
        return "\n".join([head, *(f"- {reason}" for reason in self.reasons)])
