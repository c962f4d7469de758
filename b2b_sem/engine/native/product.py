"""A product of two latent variables in the equation of a third."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Product"]


@dataclass(frozen=True)
class Product:
    """A term ``omega * eta[first] * eta[second]`` of the equation of ``eta[outcome]``.

    Attributes
    ----------
    parameter : int or None
        Of omega, from 0; None where it is fixed.
    value : float
        Of a fixed omega.
    outcome, first, second : int
        Places in eta. Where an integral is taken, the first is the variable that is given.
    """

    parameter: int | None
    value: float
    outcome: int
    first: int
    second: int
