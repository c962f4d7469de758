"""A second, independent likelihood of models with products of latent variables: slow and plain.

Latent variables are affine functions of independent standard normal variables, after Klein and Moosbrugger (2000): at
each of many values of the first of these the variables `given` are numbers and the answers are normal. Nothing is
shared with the package, which conditions on the variables themselves and never on the normal ones behind them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

__all__ = ["Oracle"]


@dataclass(frozen=True)
class Oracle:
    """A model in which every product has a factor that is `given`.

    Attributes
    ----------
    items : mapping
        Latent variable -> its items; the first loading is 1.
    exogenous : sequence of str
        Given ones first.
    equations : mapping
        Outcome -> predictors, "A:M" for products, in causal order.
    given : sequence of str
        Exogenous ones, then outcomes whose predictors are all given; the first exogenous variable if empty.
    """

    items: Mapping[str, Sequence[str]]
    exogenous: Sequence[str]
    equations: Mapping[str, Sequence[str]]
    given: Sequence[str] = ()

    def log_likelihood(self, value: Mapping[str, float], data: pd.DataFrame, count: int = 241) -> float:
        """Return log L with parameters by lavaan's names (``PC~NR``, ``PC=~pc2``, ``pc2~1``, ``PC~~PC``)."""
        return float(self.each(value, data, count).sum())

    def each(self, value: Mapping[str, float], data: pd.DataFrame, count: int = 241, reach: float = 8.0) -> np.ndarray:
        """Return the log-likelihood of each respondent, from points on both sides of 0 in each dimension."""
        given = list(self.given) or [self.exogenous[0]]
        k, outcomes = len(self.exogenous), list(self.equations)
        phi = [[value.get(f"{a}~~{b}", value.get(f"{b}~~{a}", 0.0)) for b in self.exogenous] for a in self.exogenous]
        root = np.linalg.cholesky(np.array(phi))
        basic = k + len(outcomes)
        known = [self.exogenous.index(v) if v in self.exogenous else k + outcomes.index(v) for v in given]
        axis = np.linspace(-reach, reach, count)
        z = np.zeros((count ** len(given), basic))
        z[:, known] = list(product(axis, repeat=len(given)))
        unknown = np.setdiff1d(np.arange(basic), known)
        # each latent variable at each point as a constant and coefficients of the other basic variables
        constant: dict[str, np.ndarray] = {}
        slope: dict[str, np.ndarray] = {}
        for j, name in enumerate(self.exogenous):
            own = np.zeros(basic)
            own[:k] = root[j]
            constant[name] = z @ own
            slope[name] = np.tile(own[unknown], (len(z), 1))
        for j, name in enumerate(outcomes):
            own = np.zeros(basic)
            own[k + j] = np.sqrt(value[f"{name}~~{name}"])
            constant[name], slope[name] = z @ own, np.tile(own[unknown], (len(z), 1))
            for term in self.equations[name]:
                b = np.full(len(z), value[f"{name}~{term}"])
                source = term
                if ":" in term:
                    first, second = term.split(":")
                    number, source = (first, second) if first in given else (second, first)
                    assert not slope[number].any()
                    b = b * constant[number]
                constant[name] = constant[name] + b * constant[source]
                slope[name] = slope[name] + b[:, None] * slope[source]
        names = [i for members in self.items.values() for i in members]
        loading = {i: (f, value.get(f"{f}=~{i}", 1.0)) for f, members in self.items.items() for i in members}
        mean = np.stack([value[f"{i}~1"] + loading[i][1] * constant[loading[i][0]] for i in names], axis=1)
        factors = np.stack([loading[i][1] * slope[loading[i][0]] for i in names], axis=1)
        cov = factors @ factors.transpose(0, 2, 1) + np.diag([value[f"{i}~~{i}"] for i in names])
        half = np.linalg.inv(np.linalg.cholesky(cov))
        total = np.log(np.diagonal(half, axis1=1, axis2=2)).sum(axis=1)
        total = total - 0.5 * len(names) * np.log(2.0 * np.pi)
        total = total - 0.5 * (z[:, known] ** 2).sum(axis=1) - 0.5 * len(given) * np.log(2.0 * np.pi)
        y = data[names].to_numpy()
        density = np.empty((len(y), len(z)))
        for n in range(len(z)):
            density[:, n] = total[n] - 0.5 * (((y - mean[n]) @ half[n].T) ** 2).sum(axis=1)
        top = density.max(axis=1)
        volume = (axis[1] - axis[0]) ** len(given)
        out: np.ndarray = top + np.log(np.exp(density - top[:, None]).sum(axis=1) * volume)
        return out
