"""Variance between clusters of respondents: every correlated set of variables as a sum of two independent ones.

With shares c_i between clusters the covariances of the parts are ``sqrt(c_i c_j) r_ij`` between, and what is left of
r_ij within clusters. Together they have the correlations r_ij, whatever the shares.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import pandas as pd
from numpy.random import Generator
from numpy.typing import NDArray

from b2b_sem.simulate.population import Matrix, Population, add_terms, cholesky
from b2b_sem.spec.cluster import Clusters
from b2b_sem.spec.method import METHOD_FACTOR
from b2b_sem.spec.simulation import SimulationSpec

__all__ = ["Clustered", "TwoParts", "icc_table", "make_clustered", "membership"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class TwoParts:
    """A set of correlated standard normal variables, part of whose variance lies between clusters.

    Attributes
    ----------
    share : tuple of float
        Of each variable.
    between, within : Matrix
        Lower Cholesky factors of the covariances of the parts.
    """

    share: tuple[float, ...]
    between: Matrix
    within: Matrix

    @classmethod
    def of(cls, cor: Matrix, share: Sequence[float]) -> TwoParts | None:
        """Split correlations, or return None if no covariances within clusters are left that could be."""
        roots = [math.sqrt(c) for c in share]
        whole = cholesky(cor)
        left = [[r * (1 - a * b) for r, b in zip(row, roots, strict=True)] for row, a in zip(cor, roots, strict=True)]
        within = cholesky(left)
        if whole is None or within is None:
            return None
        between = tuple(tuple(a * value for value in row) for a, row in zip(roots, whole, strict=True))
        return cls(tuple(share), between, within)

    def draw(self, z: Array, clusters: Array) -> list[Array]:
        """Return the variables from independent standard normal numbers of respondents and of their clusters."""
        out = []
        for within, between in zip(self.within, self.between, strict=True):
            out.append(add_terms(add_terms(np.zeros(len(z)), within, z), between, clusters))
        return out


@dataclass(frozen=True)
class Clustered:
    """What is unexplained in nodes, and the residuals of items, each in two parts."""

    nodes: TwoParts
    items: TwoParts


def make_clustered(spec: SimulationSpec, values: Population) -> Clustered | None:
    """Split the variances of a population, or return None if there are no clusters.

    Raises
    ------
    SpecError
        If shares differ so much that correlations within clusters are impossible.
    """
    asked = spec.clusters
    if asked is None:
        return None
    known = {*values.latents} - {METHOD_FACTOR}  # how somebody answers is their own
    share = [asked.latents.get(name, asked.icc if name in known else 0.0) for name in values.nodes]
    nodes = TwoParts.of(values.disturbance_cor, share)
    items = TwoParts.of(values.residual_cor, [asked.items.get(item, asked.residuals) for item in values.items])
    for part, at in ((nodes, ("clusters", "latents")), (items, ("clusters", "items"))):
        if part is None:
            raise spec.error(
                at,
                "impossible values: with such different shares between clusters no correlations within clusters are "
                "left that could be",
                hint="Bring the shares nearer to each other, or the correlations nearer to zero.",
            )
    assert nodes is not None
    assert items is not None
    return Clustered(nodes, items)


def membership(clusters: Clusters, n: int, rng: Generator) -> NDArray[np.intp]:
    """Return the cluster of each of `n` respondents, counted from 0; those of one cluster stand together.

    The last cluster has fewer members if `n` ends it.
    """
    if clusters.sizes is None:
        return np.arange(n) // (clusters.size or 1)
    sizes, cumulative = list(clusters.sizes), list(accumulate(clusters.sizes.values()))
    # a share of 0 is never drawn, and rounding may leave the last cumulative share just below 1
    drawn = np.searchsorted(np.array(cumulative) / cumulative[-1], rng.random(n), side="right")
    ends = np.cumsum(np.array(sizes)[drawn])
    return np.searchsorted(ends, np.arange(n), side="right")


def icc_table(values: Population, clustered: Clustered) -> pd.DataFrame:
    """Return the intraclass correlations that follow: of latents as a whole, and of the responses to items.

    Returns
    -------
    DataFrame
        name, icc: share of the variance that lies between clusters.
    """
    total = np.linalg.inv(np.eye(len(values.nodes)) - values.path_matrix())
    root = np.sqrt(clustered.nodes.share)
    nodes = total @ (values.disturbance_cov() * np.outer(root, root)) @ total.T
    load = values.loading_matrix()
    # only variances are read off: covariances of residuals do not matter
    own = np.diag(values.residual_cov()) * np.array(clustered.items.share)
    between = np.concatenate([np.diag(nodes), np.diag(load @ nodes @ load.T) + own])
    whole = np.concatenate([np.diag(values.latent_cov()), np.diag(values.item_cov())])
    names = [*values.nodes, *values.items]
    kept = [k for k, name in enumerate(names) if name not in values.covariates]
    return pd.DataFrame({"name": [names[k] for k in kept], "icc": (between / whole)[kept]})
