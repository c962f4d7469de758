"""Common method variance of a population: one factor behind the answers to all items, whatever they are about."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from b2b_sem.spec.base import Code, Node

__all__ = ["METHOD_FACTOR", "MethodFactor"]

#: Called as in the rival model `common_method`, which finds it.
METHOD_FACTOR = "CMF"

MethodShare = Annotated[float, Field(ge=0, lt=1)]


class MethodFactor(Node):
    """How much of the variance of each response is common method variance.

    The factor is uncorrelated with all else. An item whose share is v has the standardized loading sqrt(v) on it.
    """

    share: MethodShare = Field(description="Share of the variance of each response that is not named below.")
    scales: dict[Code, MethodShare] = Field(default_factory=dict, description="Scale -> other share; 0 for a marker.")
    items: dict[Code, MethodShare] = Field(default_factory=dict, description="Item -> other share; 0 for a marker.")
    direction: Literal["scored", "recorded"] = Field(
        default="scored",
        description="scored: reversed items, as scored, are raised like all others; recorded: answers as given are, as "
        "by agreeing with everything, so that reversed items have negative loadings as scored.",
    )

    def loading(self, item: str, scale: str | None, reverse: bool) -> float:
        """Return the standardized loading of an item as scored."""
        share = self.items.get(item, self.scales.get(scale or "", self.share))
        return float(share**0.5) * (-1 if reverse and self.direction == "recorded" else 1)
