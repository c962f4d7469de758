"""How a path diagram of a model is drawn, as far as the model file says so."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from pydantic import Field

from b2b_sem.errors import did_you_mean
from b2b_sem.spec.base import Code, Node, Problem

__all__ = ["DiagramSettings", "diagram_problems"]


class DiagramSettings(Node):
    """Places of nodes in the path diagram."""

    positions: dict[Code, tuple[float, float]] = Field(
        default_factory=dict,
        description="Node -> [x, y], its centre in pixels, y downwards. Other nodes are placed by themselves.",
    )


def diagram_problems(settings: DiagramSettings, names: Collection[str]) -> Iterator[Problem]:
    """Yield positions of what is no variable of the model."""
    for name in settings.positions:
        if name not in names:
            yield Problem(
                ("diagram", "positions", name),
                f"the model has no variable '{name}' to place.{did_you_mean(name, names)}",
                at_key=True,
            )
