"""Product indicators in resampled data: items are centred at the means of each sample, not at those of the full one.

A product of items that are centred elsewhere is a linear function of the old product and the items,
``(x - c - d)(z - e - h) = old - d z - h x + constant``, so its moments in a sample follow from the moments of the old
columns there, and no row is touched. Residual-centred products change by the change of their regression.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from b2b_sem.engine.base import Array, IntArray
from b2b_sem.spec.indicator import ProductTerm

__all__ = ["Recentring", "recentring"]

Moments = list[tuple[Array, Array]]


@dataclass(frozen=True, eq=False)
class _Columns:
    """Places of one product: its columns, the two items of each, and all items of its factors."""

    centring: str
    product: IntArray
    first: IntArray
    second: IntArray
    items: IntArray


@dataclass(frozen=True, eq=False)
class Recentring:
    """What turns moments of the columns of the full sample into those of columns made anew.

    Attributes
    ----------
    parts : tuple of _Columns
    cov, mean : (p, p) and (p,) arrays
        Of all rows used, over all groups, with divisor n.
    """

    parts: tuple[_Columns, ...]
    cov: Array
    mean: Array

    def apply(self, moments: Moments, weight: Array, ratio: float = 1.0) -> Moments:
        """Return the moments of samples whose products are made from their own answers.

        Items are centred over all groups, as in the full sample.

        Parameters
        ----------
        moments : list of ((R, p, p), (R, p)) arrays
            Covariance matrices and means of each group.
        weight : (R, G) array
            n_g / N in each sample.
        ratio : float
            Divisor of the covariances by the number of rows.
        """
        count, p = moments[0][1].shape
        total = np.zeros((count, p))
        for g, (_, mean) in enumerate(moments):
            total += weight[:, g, None] * mean
        whole = np.zeros((count, p, p))
        for g, (cov, mean) in enumerate(moments):
            away = mean - total
            whole += weight[:, g, None, None] * (ratio * cov + away[:, :, None] * away[:, None, :])
        move = total - self.mean
        change = np.tile(np.eye(p), (count, 1, 1))
        target = np.tile(self.mean, (count, 1))
        for part in self.parts:
            if part.centring == "rc":
                old = _slopes(self.cov[None], part)
                change[:, part.product[:, None], part.items] = (old - _slopes(whole, part)).transpose(0, 2, 1)
                continue
            change[:, part.product, part.second] -= move[:, part.first]
            change[:, part.product, part.first] -= move[:, part.second]
            if part.centring in ("mc", "ca"):
                target[:, part.product] += whole[:, part.first, part.second] - self.cov[part.first, part.second]
        shift = np.zeros((count, p))
        at = np.concatenate([part.product for part in self.parts])
        shift[:, at] = target[:, at] - (change[:, at] @ total[:, :, None])[:, :, 0]
        turned = change.transpose(0, 2, 1)
        return [(change @ cov @ turned, (change @ mean[:, :, None])[:, :, 0] + shift) for cov, mean in moments]


def _slopes(cov: Array, part: _Columns) -> Array:
    """Return the regression of products on the items, (R, items, products)."""
    inner = cov[:, part.items[:, None], part.items]
    return np.linalg.solve(inner, cov[:, part.items[:, None], part.product])


def recentring(
    terms: Sequence[ProductTerm],
    names: Sequence[str],
    covs: Sequence[Array],
    means: Sequence[Array],
    nobs: Sequence[int],
) -> Recentring | None:
    """Prepare the products of a fit; None if no product is centred.

    Parameters
    ----------
    terms : sequence of ProductTerm
    names : sequence of str, length p
        Columns, in the order of the moments.
    covs, means : sequences of (p, p) and (p,) arrays
        Of the rows used of each group, with divisor n.
    nobs : sequence of int
    """
    place = {name: k for k, name in enumerate(names)}

    def at(items: Sequence[str]) -> IntArray:
        return np.array([place[v] for v in items], dtype=np.intp)

    parts = tuple(
        _Columns(
            term.centring,
            at(term.columns),
            at([a for a, _ in term.pairs]),
            at([b for _, b in term.pairs]),
            at(list(dict.fromkeys((*term.first, *term.second)))),
        )
        for term in terms
        if term.centring != "none"
    )
    if not parts:
        return None
    share = np.array(nobs, dtype=float) / sum(nobs)
    mean = np.einsum("g,gp->p", share, np.array(means))
    away = np.array(means) - mean
    cov = np.einsum("g,gpq->pq", share, np.array(covs) + away[:, :, None] * away[:, None, :])
    return Recentring(parts, cov, mean)
