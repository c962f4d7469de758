"""The likelihood of a model with latent products from its table of parameters alone, by another way than the package's.

The integral is over all latent variables at once, by Gauss and Hermite around the mode of each respondent's posterior:
L_i = int N(y_i; tau + Lambda eta, Theta) N(eta - alpha - B eta - sum omega eta_a eta_b; 0, Psi) d eta, whatever is
missing in y_i. Nothing is made linear, and nothing is held.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

Array = np.ndarray[Any, np.dtype[np.floating[Any]]]
STEP = 1e-3


def log_normal(away: Array, cov: Array) -> Array:
    """Return the log density of rows around 0."""
    root = np.linalg.cholesky(cov)
    white = np.linalg.solve(root, away.reshape(-1, away.shape[-1]).T)
    constant = np.log(np.diag(root)).sum() + 0.5 * len(cov) * np.log(2.0 * np.pi)
    return (-0.5 * (white**2).sum(axis=0) - constant).reshape(away.shape[:-1])


class Truth:
    """The likelihood of the rows of one group; scales of latent variables should be near 1."""

    def __init__(self, rows: Sequence[Mapping[str, Any]], data: pd.DataFrame, nodes: int = 6) -> None:
        self.rows = [r for r in rows if r["op"] in ("=~", "~", "~~", "~1")]
        latent = list(dict.fromkeys(r["lhs"] for r in self.rows if r["op"] == "=~"))
        self.items = list(dict.fromkeys(r["rhs"] for r in self.rows if r["op"] == "=~" and r["rhs"] not in latent))
        used = [v for r in self.rows if r["op"] == "~" for v in (r["lhs"], *r["rhs"].split(":"))]
        self.seen = [v for v in dict.fromkeys(used) if v not in latent]
        self.names = [*latent, *self.seen]
        self.dimensions = len(latent)
        self.y, self.x = data[self.items].to_numpy(float), data[self.seen].to_numpy(float)
        self.theta = np.zeros(max(r["free"] for r in self.rows))
        for r in self.rows:
            if r["free"]:
                self.theta[r["free"] - 1] = r["est"]
        self._place(nodes)

    def _model(self, theta: Array) -> tuple[Any, ...]:
        m, p = len(self.names), len(self.items)
        lam, beta, psi, noise = np.zeros((p, m)), np.zeros((m, m)), np.zeros((m, m)), np.zeros((p, p))
        tau, alpha, products = np.zeros(p), np.zeros(m), []
        at = {v: k for k, v in enumerate(self.names)} | {v: k for k, v in enumerate(self.items)}
        for r in self.rows:
            value = theta[r["free"] - 1] if r["free"] else r["est"]
            lhs, rhs, outer = r["lhs"], r["rhs"], r["lhs"] in self.items
            if r["op"] == "=~":
                target = lam if rhs in self.items else beta
                target[at[rhs], at[lhs]] = value
            elif ":" in rhs:
                products.append((at[lhs], *(at[v] for v in rhs.split(":")), value))
            elif r["op"] == "~":
                beta[at[lhs], at[rhs]] = value
            elif r["op"] == "~~":
                target = noise if outer else psi
                target[at[lhs], at[rhs]] = target[at[rhs], at[lhs]] = value
            else:
                (tau if outer else alpha)[at[lhs]] = value
        return lam, beta, psi, noise, tau, alpha, products

    def _joint(self, eta: Array, model: tuple[Any, ...]) -> Array:
        """Return log p(y, eta) for (n, Q, d) values of the latent variables, (n, Q)."""
        lam, beta, psi, noise, tau, alpha, products = model
        seen = np.broadcast_to(self.x[:, None], (*eta.shape[:2], len(self.seen)))
        whole = np.concatenate([eta, seen], axis=2)
        left = whole - alpha - whole @ beta.T
        for outcome, a, b, omega in products:
            left[:, :, outcome] -= omega * whole[:, :, a] * whole[:, :, b]
        out = log_normal(left, psi)
        away = self.y[:, None] - tau - whole @ lam.T
        for pattern in np.unique(np.isfinite(self.y), axis=0):
            own = np.flatnonzero((np.isfinite(self.y) == pattern).all(axis=1))
            out[own] += log_normal(away[own][:, :, pattern], noise[np.ix_(pattern, pattern)])
        return out

    def _place(self, nodes: int) -> None:
        """Find the mode of each posterior by Newton's method, and set the nodes around it."""
        model, d = self._model(self.theta), self.dimensions
        eta, step = np.zeros((len(self.y), d)), np.eye(d) * STEP

        def joint(at: Array) -> Array:
            return self._joint(at[:, None], model)[:, 0]

        for _ in range(50):
            middle = joint(eta)
            slope, bend = np.empty_like(eta), np.empty((len(eta), d, d))
            for i, j in product(range(d), repeat=2):
                corners = [joint(eta + s * step[i] + t * step[j]) for s, t in product((1, -1), repeat=2)]
                bend[:, i, j] = (corners[0] - corners[1] - corners[2] + corners[3]) / (4.0 * STEP**2)
                slope[:, i] = (joint(eta + step[i]) - joint(eta - step[i])) / (2.0 * STEP)
            value, vector = np.linalg.eigh(-bend)
            value = np.maximum(np.abs(value), 1e-2 * np.abs(value).max(axis=1, keepdims=True))
            precision = np.einsum("nij,nj,nkj->nik", vector, value, vector)
            move = np.linalg.solve(precision, slope[:, :, None])[:, :, 0]
            while (worse := joint(eta + move) < middle - 1e-9).any():
                move[worse] /= 2.0
            eta = eta + move
            if np.abs(move).max() < 1e-6:
                break
        root = np.linalg.cholesky(np.linalg.inv(precision))
        x, w = np.polynomial.hermite_e.hermegauss(nodes)
        points = np.array(list(product(x, repeat=d)))
        weights = np.log([np.prod(c) for c in product(w, repeat=d)]) + 0.5 * (points**2).sum(axis=1)
        self.points = eta[:, None] + np.einsum("nij,qj->nqi", root, points)
        self.weights = weights + np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)[:, None]

    def log_likelihoods(self, theta: Array) -> Array:
        """Return log L of each row, (n,)."""
        log = self._joint(self.points, self._model(theta)) + self.weights
        top = log.max(axis=1, keepdims=True)
        return top[:, 0] + np.log(np.exp(log - top).sum(axis=1))
