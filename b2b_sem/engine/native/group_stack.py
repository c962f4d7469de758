"""The joint fit function of several groups for a stack of samples at once: F = sum of w_g F_g."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from b2b_sem.engine.base import Array, IntArray
from b2b_sem.engine.native.stack import Flags, Kernel, Stack

__all__ = ["GroupKernel", "GroupStack", "make_group_stack"]


@dataclass(frozen=True)
class GroupStack(Stack):
    """Sample moments of R replicates of several groups; ``cov`` and ``mean`` are those of the first.

    Attributes
    ----------
    groups : tuple of Stack
    weight : (R, G) array
        Weights of the fit functions of the groups, n_g / N.
    """

    groups: tuple[Stack, ...] = ()
    weight: Array = None  # type: ignore[assignment]

    def take(self, at: IntArray | slice | Flags) -> GroupStack:
        """Return some of the replicates."""
        own = super().take(at)
        parts = tuple(part.take(at) for part in self.groups)
        return GroupStack(own.cov, own.mean, own.logdet, own.exo, parts, self.weight[at])


@dataclass(frozen=True)
class GroupKernel(Kernel):
    """Compiled structures of several groups; what it has in common with one group is that of the first.

    Attributes
    ----------
    parts : tuple of Kernel
    places : tuple of int arrays
        Joint parameter, from 0, of each parameter of a group.
    shares : tuple of float
        n_g / N in the full sample.
    """

    parts: tuple[Kernel, ...] = ()
    places: tuple[IntArray, ...] = ()
    shares: tuple[float, ...] = ()

    def split(self, exo: Array) -> list[Array]:
        """Return the columns of each group among the moments that the data fix."""
        ends = np.cumsum([len(part.exo) for part in self.parts])
        return np.split(exo, ends[:-1], axis=1)

    def evaluate(self, stack: Stack, theta: Array) -> tuple[Array, Array]:
        """Return F (R,) and its gradient (R, q)."""
        assert isinstance(stack, GroupStack)
        value, slope = np.zeros(len(theta)), np.zeros(theta.shape)
        for g, (part, place) in enumerate(zip(self.parts, self.places, strict=True)):
            own, steep = part.evaluate(stack.groups[g], theta[:, place])
            value += stack.weight[:, g] * own
            slope[:, place] += stack.weight[:, g, None] * steep
        slope[~np.isfinite(value)] = 0.0
        return value, slope

    def informations(self, theta: Array, exo: Array) -> Array:
        """Return the expected information of one observation at every replicate, (R, q, q)."""
        out = np.zeros((len(theta), self.structure.q, self.structure.q))
        for part, place, share, own in zip(self.parts, self.places, self.shares, self.split(exo), strict=True):
            out[:, place[:, None], place] += share * part.informations(theta[:, place], own)
        return out


def make_group_stack(groups: tuple[Stack, ...], weight: Array) -> GroupStack:
    """Put the prepared moments of the groups side by side."""
    logdet = np.sum([part.logdet for part in groups], axis=0)
    exo = np.concatenate([part.exo for part in groups], axis=1)
    return GroupStack(groups[0].cov, groups[0].mean, logdet, exo, groups, weight)
