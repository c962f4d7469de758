"""Respondents who belong together: people of one firm, buyers of one sales team."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated

from pydantic import Field

from b2b_sem.spec.base import Code, Location, Node, Problem
from b2b_sem.spec.level import Share, unknown

__all__ = ["Clusters"]

Icc = Annotated[float, Field(ge=0, lt=1)]
Size = Annotated[int, Field(ge=1)]


class Clusters(Node):
    """Clusters of respondents, and the share of each variance that lies between them (intraclass correlation).

    Paths, loadings and correlations are the same between and within clusters as in all respondents together, as far as
    the shares are equal.
    """

    name: Code = Field(default="cluster", description="Column with the numbers of the clusters.")
    size: Size | None = Field(default=None, description="Respondents of each cluster.")
    sizes: dict[Size, Share] | None = Field(
        default=None, description="Instead: size -> share of the clusters that have it; they sum to 1."
    )
    icc: Icc = Field(
        description="Share between clusters of the variance of exogenous latents, and of what predictors leave of "
        "others."
    )
    latents: dict[Code, Icc] = Field(default_factory=dict, description="Latent -> other share.")
    residuals: Icc = Field(default=0.0, description="Share between clusters of the residual variances of items.")
    items: dict[Code, Icc] = Field(default_factory=dict, description="Item -> other share of its residual variance.")

    def problems(self, at: Location) -> Iterator[Problem]:
        """Yield what is wrong here without looking at the model."""
        if (self.size is None) == (self.sizes is None):
            yield Problem(
                at, "give either 'size' (of each cluster) or 'sizes' (size -> share of clusters)", at_key=True
            )
        elif self.sizes is not None and abs(sum(self.sizes.values()) - 1) > 1e-9:
            yield Problem((*at, "sizes"), f"the shares sum to {sum(self.sizes.values()):g}, not to 1")

    def problems_with(
        self, at: Location, latents: Iterable[str], items: Iterable[str], columns: Iterable[str]
    ) -> Iterator[Problem]:
        """Yield names that the population does not have, and a column that stands for something else."""
        yield from unknown((*at, "latents"), self.latents, latents, "latent")
        yield from unknown((*at, "items"), self.items, items, "item")
        if self.name in columns:
            yield Problem((*at, "name"), f"the column '{self.name}' stands for something else")
