"""What is not normal in a population: asked skew and kurtosis of the responses to items, or of latents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from pydantic import Field

from b2b_sem.spec.base import Code, Location, Node, Problem
from b2b_sem.spec.level import unknown

__all__ = ["Distribution", "ItemMoments", "Moments"]


class Moments(Node):
    """Third and fourth standardized moment."""

    skew: float = Field(default=0.0, description="Skewness, E z^3.")
    kurtosis: float = Field(default=0.0, description="Excess kurtosis, E z^4 - 3; 0 for the normal distribution.")

    @property
    def normal(self) -> bool:
        """Whether these are the moments of the normal distribution."""
        return self.skew == 0 and self.kurtosis == 0

    def check(self, loc: Location) -> Iterator[Problem]:
        """Yield what is wrong here: no distribution has a kurtosis below skew^2 - 2."""
        if self.kurtosis <= self.skew**2 - 2:
            yield Problem(
                (*loc, "kurtosis"),
                f"no variable has skew {self.skew:g} and excess kurtosis {self.kurtosis:g}",
                hint=f"The kurtosis must be above skew^2 - 2 = {self.skew**2 - 2:g}.",
            )


class ItemMoments(Moments):
    """Moments of the continuous responses behind all items (as scored), and exceptions by scale or item."""

    method: Literal["vale-maurelli", "independent"] = Field(
        default="vale-maurelli",
        description="vale-maurelli: polynomials of correlated normal variables; independent: sums of independent "
        "variables that are not normal.",
    )
    scales: dict[Code, Moments] = Field(default_factory=dict, description="Scale -> other moments.")
    items: dict[Code, Moments] = Field(default_factory=dict, description="Item -> other moments.")

    def of(self, item: str, scale: str | None) -> Moments:
        """Return the moments of an item: its own, else those of its scale, else the general ones."""
        return self.items.get(item) or self.scales.get(scale or "") or self


class Distribution(Node):
    """What is not normal: the responses to items as a whole, or the latents behind them."""

    items: ItemMoments | None = Field(
        default=None, description="Moments of the responses. Covariances stay those of the model."
    )
    latents: dict[Code, Moments] = Field(
        default_factory=dict,
        description="Latent -> moments of an exogenous latent, or of the part of an outcome that its predictors leave.",
    )

    def problems(self, at: Location) -> Iterator[Problem]:
        """Yield what is wrong here without looking at the model."""
        if self.items is not None and self.latents:
            yield Problem(
                (*at, "latents"),
                "the moments of items follow from those of latents: give one of the two",
                at_key=True,
            )
        for latent, moments in self.latents.items():
            yield from moments.check((*at, "latents", latent))
        if self.items is not None:
            yield from self.items.check((*at, "items"))
            for section, given in (("scales", self.items.scales), ("items", self.items.items)):
                for code, own in given.items():
                    yield from own.check((*at, "items", section, code))

    def problems_with(
        self, at: Location, latents: Iterable[str], items: Iterable[str], scales: Iterable[str]
    ) -> Iterator[Problem]:
        """Yield names that the population does not have."""
        yield from unknown((*at, "latents"), self.latents, latents, "latent")
        if self.items is not None:
            yield from unknown((*at, "items", "scales"), self.items.scales, scales, "scale")
            yield from unknown((*at, "items", "items"), self.items.items, items, "item")
