"""The values of a population, solved: everything that responses are drawn from, and the covariances they have."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "Interaction", "Matrix", "Population"]

Array = NDArray[np.float64]
Matrix = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Interaction:
    """A product of two nodes that leads to an outcome.

    Both factors are normal deviations from their means (within a level), so that the product has a mean, their
    covariance, which is taken off; it is uncorrelated with everything that is normal. Standardized factors with
    correlation r give it the variance 1 + r^2.

    Attributes
    ----------
    outcome, first, second : str
    value : float
        Effect; standardized it is b3 sd(first) sd(second) / sd(outcome).
    mean : float
        Covariance of the factors.
    """

    outcome: str
    first: str
    second: str
    value: float
    mean: float


@dataclass(frozen=True)
class Population:
    """A structural equation model with all its values: standardized, or in the metric of the answers.

    Attributes
    ----------
    covariates, latents, items : tuple of str
        Observed predictors, latents (with facet factors), and indicators. The first two together are the nodes.
    paths : tuple of (str, str, float)
        Outcome, predictor and path, in model order; facet loadings are among them.
    loadings : tuple of (str, str, float)
        Latent, item and loading of the item as scored.
    higher : tuple of str
        Latents that are measured by facet factors.
    order : tuple of str
        Nodes so that every predictor comes before its outcomes.
    disturbance_sd : mapping of str to float
        Standard deviation of each node's unexplained part (standardized: 1 for exogenous nodes).
    disturbance_cor : Matrix
        Correlations of these parts, in the order of `nodes`.
    residual_sd : mapping of str to float
        Standard deviation of each item's residual.
    residual_cor : Matrix
        Correlations of the item residuals.
    means : mapping of str to float
        Total means of latents in a level of a split, minus those of the reference level; 0 if not named. Raw: the
        means themselves.
    shifts : mapping of str to float
        The same of the intercepts of items.
    response_sd : mapping of str to float
        Standard deviations of the responses, in units of the reference level; 1 if not named. They are not 1 in a level
        whose loadings differ, and in raw populations.
    interactions : tuple of Interaction
        Products of nodes that lead to outcomes.
    interaction_cov : Matrix
        Covariances of these products.
    added_last : frozenset of str
        Nodes that are there only because of a product: they are drawn from random numbers of their own.
    node_sd : mapping of str to float
        Standard deviations of the nodes; 1 if not named.
    cuts : mapping of str to tuple of float
        Cut points of items in the metric of their responses, where the shape of the answers does not say them: in raw
        populations, and in levels with thresholds of their own.
    raw : bool
        Whether values are in the metric of the answers.
    facets : frozenset of str
        The facet factors among the latents; empty: everything that latents in `higher` lead to.
    """

    covariates: tuple[str, ...]
    latents: tuple[str, ...]
    items: tuple[str, ...]
    paths: tuple[tuple[str, str, float], ...]
    loadings: tuple[tuple[str, str, float], ...]
    higher: tuple[str, ...]
    order: tuple[str, ...]
    disturbance_sd: Mapping[str, float]
    disturbance_cor: Matrix
    residual_sd: Mapping[str, float]
    residual_cor: Matrix
    means: Mapping[str, float] = field(default_factory=dict)
    shifts: Mapping[str, float] = field(default_factory=dict)
    response_sd: Mapping[str, float] = field(default_factory=dict)
    interactions: tuple[Interaction, ...] = ()
    interaction_cov: Matrix = ()
    added_last: frozenset[str] = frozenset()
    node_sd: Mapping[str, float] = field(default_factory=dict)
    cuts: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    raw: bool = False
    facets: frozenset[str] = frozenset()

    def is_facet(self, outcome: str, predictor: str) -> bool:
        """Whether a path is the loading of a facet factor on the latent above it."""
        return predictor in self.higher and (not self.facets or outcome in self.facets)

    @property
    def nodes(self) -> tuple[str, ...]:
        """Covariates and latents."""
        return (*self.covariates, *self.latents)

    @property
    def outcomes(self) -> tuple[str, ...]:
        """Nodes that something leads to, in model order."""
        targets = {outcome for outcome, _, _ in self.paths}
        return tuple(name for name in self.nodes if name in targets)

    @property
    def r2(self) -> dict[str, float]:
        """Explained variance of every outcome and item."""
        out = {name: 1 - (self.disturbance_sd[name] / self.node_sd.get(name, 1.0)) ** 2 for name in self.outcomes}
        return out | {i: 1 - (self.residual_sd[i] / self.response_sd.get(i, 1.0)) ** 2 for i in self.items}

    def intercept(self, node: str) -> float:
        """Return the mean of a node that its predictors do not account for."""
        own = [value * self.means.get(predictor, 0.0) for outcome, predictor, value in self.paths if outcome == node]
        return self.means.get(node, 0.0) - math.fsum(own)

    def response_mean(self, item: str) -> float:
        """Return the mean of the response behind an item."""
        own = [value * self.means.get(latent, 0.0) for latent, name, value in self.loadings if name == item]
        return self.shifts.get(item, 0.0) + math.fsum(own)

    def path_matrix(self) -> Array:
        """Return B with ``B[i, j]`` the path from node j to node i."""
        return _matrix(self.nodes, self.nodes, ((a, b, v) for a, b, v in self.paths))

    def loading_matrix(self) -> Array:
        """Return the loadings of the items (rows) on the nodes (columns)."""
        return _matrix(self.items, self.nodes, ((item, latent, v) for latent, item, v in self.loadings))

    def disturbance_cov(self) -> Array:
        """Return Psi, the covariances of what is unexplained in the nodes."""
        sd = np.array([self.disturbance_sd[name] for name in self.nodes])
        return np.array(self.disturbance_cor).reshape(len(sd), len(sd)) * np.outer(sd, sd)

    def residual_cov(self) -> Array:
        """Return Theta, the residual covariances of the items."""
        sd = np.array([self.residual_sd[name] for name in self.items])
        return np.array(self.residual_cor).reshape(len(sd), len(sd)) * np.outer(sd, sd)

    def product_part(self) -> Array:
        """Return the covariances of what products add to the nodes directly."""
        weight = np.zeros((len(self.nodes), len(self.interactions)))
        for k, product in enumerate(self.interactions):
            weight[self.nodes.index(product.outcome), k] = product.value
        return weight @ np.array(self.interaction_cov).reshape(len(self.interactions), -1) @ weight.T

    def latent_cov(self) -> Array:
        """Return the covariances of the nodes: ``(I - B)^-1 Psi (I - B)^-T``, with products added to Psi."""
        total = np.linalg.inv(np.eye(len(self.nodes)) - self.path_matrix())
        inner = self.disturbance_cov()
        if self.interactions:
            inner = inner + self.product_part()
        return total @ inner @ total.T

    def cov(self) -> Array:
        """Return the covariances of items (first) and nodes (after them); standardized, correlations."""
        lam, phi = self.loading_matrix(), self.latent_cov()
        cross = lam @ phi
        return np.block([[cross @ lam.T + self.residual_cov(), cross], [cross.T, phi]])

    def item_cov(self) -> Array:
        """Return the covariances of the continuous responses behind the items."""
        p = len(self.items)
        return self.cov()[:p, :p]

    def standardized(self) -> Population:
        """Return the same population with nodes and responses of mean 0 and variance 1."""
        if not self.raw:
            return self
        node, item = self.node_sd, self.response_sd
        products = tuple(
            replace(
                x,
                value=x.value * node[x.first] * node[x.second] / node[x.outcome],
                mean=x.mean / (node[x.first] * node[x.second]),
            )
            for x in self.interactions
        )
        own = [node[x.first] * node[x.second] for x in self.interactions]
        cuts = {
            name: tuple((t - self.response_mean(name)) / item[name] for t in points)
            for name, points in self.cuts.items()
        }
        return replace(
            self,
            paths=tuple((a, b, value * node[b] / node[a]) for a, b, value in self.paths),
            loadings=tuple((latent, i, value * node[latent] / item[i]) for latent, i, value in self.loadings),
            disturbance_sd={name: sd / node[name] for name, sd in self.disturbance_sd.items()},
            residual_sd={name: sd / item[name] for name, sd in self.residual_sd.items()},
            means={},
            shifts={},
            response_sd={},
            interactions=products,
            interaction_cov=tuple(
                tuple(value / (a * b) for value, b in zip(row, own, strict=True))
                for row, a in zip(self.interaction_cov, own, strict=True)
            ),
            node_sd={},
            cuts=cuts,
            raw=False,
        )

    def truth(self) -> list[tuple[str, str, str, float]]:
        """Return the values as rows ``(lhs, op, rhs, value)`` in lavaan's notation.

        Loadings, paths, correlations of exogenous latents, residual correlations (all that were given, and those of
        latents that lead to nothing, which lavaan's ``sem()`` estimates by default), and unexplained variances. Raw
        populations have covariances instead of correlations.
        """
        scale = {} if not self.raw else {**self.disturbance_sd, **self.residual_sd}
        rows = [(latent, "=~", item, value) for latent, item, value in self.loadings]
        rows += [(b, "=~", a, v) for a, b, v in self.paths if self.is_facet(a, b)]
        rows += [(a, "~", b, v) for a, b, v in self.paths if not self.is_facet(a, b)]
        rows += [(x.outcome, "~", f"{x.first}:{x.second}", x.value) for x in self.interactions]
        sources = {b for _, b, _ in self.paths}
        outcomes = set(self.outcomes)
        facets = {a for a, b, _ in self.paths if self.is_facet(a, b)}
        for i, a in enumerate(self.nodes):
            for j in range(i + 1, len(self.nodes)):
                b = self.nodes[j]
                if a in self.covariates or b in self.covariates:
                    continue
                value = self.disturbance_cor[i][j]
                exogenous = a not in outcomes and b not in outcomes
                ends = {a, b} <= outcomes - sources - facets
                if exogenous or ends or value:
                    rows.append((a, "~~", b, value * scale.get(a, 1.0) * scale.get(b, 1.0)))
        for i, a in enumerate(self.items):
            rows += [
                (a, "~~", b, self.residual_cor[i][j] * scale.get(a, 1.0) * scale.get(b, 1.0))
                for j, b in enumerate(self.items)
                if j > i and self.residual_cor[i][j]
            ]
        rows += [(name, "~~", name, self.disturbance_sd[name] ** 2) for name in self.latents]
        rows += [(item, "~~", item, self.residual_sd[item] ** 2) for item in self.items]
        return rows


def _matrix(rows: Sequence[str], columns: Sequence[str], values: Iterable[tuple[str, str, float]]) -> Array:
    i, j = ({name: k for k, name in enumerate(names)} for names in (rows, columns))
    out = np.zeros((len(rows), len(columns)))
    for a, b, value in values:
        out[i[a], j[b]] = value
    return out
