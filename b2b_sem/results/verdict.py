"""One proposition, one verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from b2b_sem.results.comparison import ClaimPart
from b2b_sem.results.io import plain

__all__ = ["CONTRADICTED", "NOT_SUPPORTED", "NOT_TESTABLE", "SUPPORTED", "Verdict"]

SUPPORTED = "supported"
NOT_SUPPORTED = "not supported"
CONTRADICTED = "contradicted"
NOT_TESTABLE = "not testable here"


@dataclass(frozen=True)
class Verdict:
    """What the data say about one proposition.

    Attributes
    ----------
    id, statement, path, sign, test : str
        As declared in the model file: for example ``P1``, ..., ``NR -> PC``, ``+``, ``path``.
    verdict : str
        ``supported``, ``not supported``, ``contradicted`` or ``not testable here``.
    reason, sentence : str
        Why, and one plain sentence for the paper.
    estimate, se, z, pvalue : float
        Unstandardized coefficient and its two-sided Wald test (NaN when not testable).
    std, std_se, ci_lower, ci_upper : float
        Standardized coefficient, its delta-method SE and interval at `level`.
    p_adjusted : float
        p after the multiplicity correction of the study, over the propositions that were tested.
    alpha, level : float
        Decision level and confidence level.
    adjustment : str
        ``holm``, ``bonferroni``, ``bh`` or ``none``.
    parts : tuple of ClaimPart
        Of a proposition that claims several things together; `pvalue` is then the largest of theirs.
    """

    id: str
    statement: str
    path: str
    sign: str
    test: str
    verdict: str
    reason: str
    sentence: str
    estimate: float
    se: float
    z: float
    pvalue: float
    p_adjusted: float
    std: float
    std_se: float
    ci_lower: float
    ci_upper: float
    alpha: float
    level: float
    adjustment: str
    parts: tuple[ClaimPart, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {k: plain(v) for k, v in asdict(self).items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Verdict:
        """Rebuild a verdict from the output of :meth:`to_json`."""
        values: dict[str, Any] = {
            f.name: float("nan") if data[f.name] is None and f.type == "float" else data[f.name]
            for f in fields(cls)
            if f.name != "parts"
        }
        values["parts"] = tuple(ClaimPart.from_json(p) for p in data.get("parts") or ())
        return cls(**values)
