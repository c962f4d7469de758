"""A second, independent likelihood of models with products of one exogenous moderator: slow and plain.

Latent variables are affine functions of independent standard normal variables, after Klein and Moosbrugger (2000): the
first of these is the moderator's, and at each of many values of it the answers are normal. Nothing is shared with the
package.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

__all__ = ["Oracle"]


@dataclass(frozen=True)
class Oracle:
    """A model in which `moderator` takes part in every product.

    Attributes
    ----------
    items : mapping
        Latent variable -> its items; the first loading is 1.
    exogenous : sequence of str
        The moderator first.
    equations : mapping
        Outcome -> predictors, "A:M" for products with the moderator M, in causal order.
    """

    items: Mapping[str, Sequence[str]]
    exogenous: Sequence[str]
    equations: Mapping[str, Sequence[str]]

    def log_likelihood(
        self, value: Mapping[str, float], data: pd.DataFrame, count: int = 241, reach: float = 8.0
    ) -> float:
        """Return log L with parameters by lavaan's names (``PC~NR``, ``PC=~pc2``, ``pc2~1``, ``PC~~PC``)."""
        moderator, k = self.exogenous[0], len(self.exogenous)
        phi = np.array(
            [[value.get(f"{a}~~{b}", value.get(f"{b}~~{a}", 0.0)) for b in self.exogenous] for a in self.exogenous]
        )
        root = np.linalg.cholesky(phi)
        outcomes = list(self.equations)
        basic = k + len(outcomes)
        points = np.linspace(-reach, reach, count)
        total = np.full((len(data), count), -np.inf)
        names = [i for members in self.items.values() for i in members]
        y = data[names].to_numpy()
        for n, z in enumerate(points):
            # each latent variable as constant + coefficients of the other basic variables
            constant: dict[str, float] = {}
            slope: dict[str, np.ndarray] = {}
            for j, name in enumerate(self.exogenous):
                constant[name] = root[j, 0] * z
                slope[name] = np.concatenate([[0.0], root[j, 1:], np.zeros(len(outcomes))])
            for j, name in enumerate(outcomes):
                constant[name], slope[name] = 0.0, np.zeros(basic)
                for term in self.equations[name]:
                    b, source = value[f"{name}~{term}"], term
                    if ":" in term:
                        others = [v for v in term.split(":") if v != moderator]
                        source = others[0] if others else moderator
                        b *= constant[moderator]
                    constant[name] += b * constant[source]
                    slope[name] += b * slope[source]
                slope[name][k + j] += np.sqrt(value[f"{name}~~{name}"])
            mean, rows = [], []
            for latent, members in self.items.items():
                for item in members:
                    loading = value.get(f"{latent}=~{item}", 1.0)
                    mean.append(value[f"{item}~1"] + loading * constant[latent])
                    rows.append(loading * slope[latent])
            loadings = np.array(rows)
            cov = loadings @ loadings.T + np.diag([value[f"{i}~~{i}"] for i in names])
            total[:, n] = stats.multivariate_normal.logpdf(y, np.array(mean), cov) + stats.norm.logpdf(z)
        top = total.max(axis=1, keepdims=True)
        return float((top[:, 0] + np.log(np.exp(total - top).sum(axis=1) * (points[1] - points[0]))).sum())
