"""A second, independent quasi-likelihood of models with latent products: one row at a time, slow and plain.

Latent variables and items without products are jointly normal. What of the data products do not reach (t) is a normal
density. Given t the factors of products are normal; at each point of a Gauss-Hermite rule for them, which is exact for
the moments of polynomials of this degree, the scaling items (s) have a mean and a covariance matrix, and those of the
mixture of all points are the moments of s. The density of s is the normal one with these moments (Klein & Muthen
2007). Nothing is shared with the package.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
from scipy import stats

__all__ = ["QuasiOracle"]


@dataclass(frozen=True)
class QuasiOracle:
    """A model.

    Attributes
    ----------
    items : mapping
        Latent variable -> its items; the first loading is 1 where the values have none.
    exogenous : sequence of str
    equations : mapping
        Outcome -> predictors, products as "A:M", in causal order.
    transformed : sequence of str
        Latent variables whose first item is the scaling item and whose other items are transformed.
    """

    items: Mapping[str, Sequence[str]]
    exogenous: Sequence[str]
    equations: Mapping[str, Sequence[str]]
    transformed: Sequence[str]

    def row_log_likelihoods(self, value: Mapping[str, float], data: pd.DataFrame) -> np.ndarray:
        """Return log L of each row; parameters by lavaan's names: ``PC~NR``, ``PC=~pc2``, ``pc2~1``, ``PC~~PC``."""
        latent = [*self.exogenous, *self.equations]
        place = {v: k for k, v in enumerate(latent)}
        m = len(latent)

        def symmetric(names: Sequence[str]) -> np.ndarray:
            return np.array([[value.get(f"{a}~~{b}", value.get(f"{b}~~{a}", 0.0)) for b in names] for a in names])

        paths, products = np.zeros((m, m)), []
        for outcome, terms in self.equations.items():
            for term in terms:
                if ":" in term:
                    first, second = term.split(":")
                    products.append((place[outcome], place[first], place[second], value[f"{outcome}~{term}"]))
                else:
                    paths[place[outcome], place[term]] = value[f"{outcome}~{term}"]
        total = np.linalg.inv(np.eye(m) - paths)
        latent_cov = total @ symmetric(latent) @ total.T
        latent_mean = total @ np.array([value.get(f"{v}~1", 0.0) for v in latent])
        names = list(dict.fromkeys(i for v in latent for i in self.items.get(v, ())))
        loadings = np.zeros((len(names), m))
        for v in latent:
            for i in self.items.get(v, ()):
                loadings[names.index(i), place[v]] = value.get(f"{v}=~{i}", 1.0)
        residual = symmetric(names)
        intercept = np.array([value[f"{i}~1"] for i in names])
        scaling = [names.index(self.items[v][0]) for v in self.transformed]
        # (t, s) = turned @ y
        turned, kept = np.eye(len(names)), [k for k in range(len(names)) if k not in scaling]
        own = [place[v] for v in self.transformed]
        turned[np.ix_(kept, scaling)] = -loadings[np.ix_(kept, own)] @ np.linalg.inv(loadings[np.ix_(scaling, own)])
        turned = turned[[*kept, *scaling]]
        # all that is normal: t, s without products, factors
        factors = sorted({k for _, a, b, _ in products for k in (a, b)})
        wide = np.concatenate([turned @ loadings, np.eye(m)[factors]])
        noise = np.zeros((len(wide), len(wide)))
        noise[: len(names), : len(names)] = turned @ residual @ turned.T
        cov = wide @ latent_cov @ wide.T + noise
        mean = wide @ latent_mean
        mean[: len(names)] += turned @ intercept
        nt, ns = len(kept), len(scaling)
        t, s = slice(0, nt), slice(nt, nt + ns)
        nodes, weights = np.polynomial.hermite_e.hermegauss(5)
        weights = weights / weights.sum()
        down = loadings[scaling] @ total
        out = np.empty(len(data))
        for row, y in enumerate(data[names].to_numpy()):
            seen = turned @ y
            slope = cov[nt:, t] @ np.linalg.inv(cov[t, t])
            given_mean = mean[nt:] + slope @ (seen[t] - mean[t])
            given_cov = cov[nt:, nt:] - slope @ cov[t, nt:]
            root = np.linalg.cholesky(given_cov[ns:, ns:])
            step = given_cov[:ns, ns:] @ np.linalg.inv(given_cov[ns:, ns:])
            inner = given_cov[:ns, :ns] - step @ given_cov[ns:, :ns]
            chances, means = [], []
            for chosen in product(range(len(nodes)), repeat=len(factors)):
                away = root @ nodes[list(chosen)]
                at = dict(zip(factors, given_mean[ns:] + away, strict=True))
                shift = np.zeros(m)
                for outcome, a, b, omega in products:
                    shift[outcome] += omega * at[a] * at[b]
                chances.append(weights[list(chosen)].prod())
                means.append(given_mean[:ns] + step @ away + down @ shift)
            chance, centers = np.array(chances), np.array(means)
            middle = chance @ centers
            spread = inner + (centers - middle).T @ ((centers - middle) * chance[:, None])
            out[row] = stats.multivariate_normal.logpdf(seen[t], mean[t], cov[t, t])
            out[row] += stats.multivariate_normal.logpdf(seen[s], middle, spread)
        return out

    def log_likelihood(self, value: Mapping[str, float], data: pd.DataFrame) -> float:
        """Return log L."""
        return float(self.row_log_likelihoods(value, data).sum())
