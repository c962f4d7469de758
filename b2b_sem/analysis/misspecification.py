"""What could be wrong with a measurement model: hypothetical populations of growing misfit (McNeish & Wolf)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from b2b_sem.engine.base import Array
from b2b_sem.errors import Unsupported
from b2b_sem.measures.cutoff import construct_reliability, cross_loading

__all__ = ["RESIDUAL", "Addition", "Solution", "misspecify"]

#: Correlation of residuals that a misspecified one-factor population has.
RESIDUAL = 0.3


@dataclass(frozen=True)
class Addition:
    """What the population of a level has and the model has not.

    Attributes
    ----------
    level : int
        From 1; higher levels keep the additions of lower ones.
    lhs, op, rhs : str
        A loading (``F =~ x``) or a correlation of residuals (``x ~~ y``).
    value : float
        Standardized.
    """

    level: int
    lhs: str
    op: str
    rhs: str
    value: float

    def __str__(self) -> str:
        return f"{self.lhs} {self.op} {self.value:.3f}*{self.rhs}"


@dataclass(frozen=True, eq=False)
class Solution:
    """A completely standardized measurement model.

    Attributes
    ----------
    items, factors : tuple of str
        p and m names.
    loadings : (p, m) array
    free : (p, m) bool array
        Which loadings the model has, whatever their values.
    factor_cor : (m, m) array
    residual_cor : (p, p) array
        Correlations of residuals, 1 on the diagonal.
    tied : frozenset of str
        Items whose residuals the model lets covary.
    """

    items: tuple[str, ...]
    factors: tuple[str, ...]
    loadings: Array
    free: Array
    factor_cor: Array
    residual_cor: Array
    tied: frozenset[str]

    def cor(self) -> Array:
        """Return the implied correlation matrix of the items: residual variances make up what loadings leave."""
        common = self.loadings @ self.factor_cor @ self.loadings.T
        spread = np.sqrt(np.maximum(1.0 - np.diag(common), 0.0))
        out: Array = common + self.residual_cor * np.outer(spread, spread)
        np.fill_diagonal(out, 1.0)
        return out

    def available(self) -> list[tuple[int, int]]:
        """Return the items (and their factors) that load on one factor and have no covariance of residuals."""
        count = self.free.sum(axis=1)
        return [
            (i, int(np.flatnonzero(self.free[i])[0]))
            for i, item in enumerate(self.items)
            if count[i] == 1 and item not in self.tied
        ]


def misspecify(solution: Solution) -> tuple[tuple[Addition, ...], tuple[Solution, ...]]:
    """Return misspecified populations, from the smallest misfit to the largest.

    Several factors (McNeish & Wolf 2023, doi:10.1037/met0000425): with f factors there are f - 1 levels. Each factor
    offers its item with the smallest loading, if it loads on one factor and has no covariance of residuals; factors of
    more than two items come first, then smaller loadings. Of these f - 1 items, from the smallest loading on, each gets
    a cross-loading on the factor with the highest coefficient H among those whose pair with its own factor is not
    taken yet. Level k has the first k cross-loadings; their sizes are those of :func:`cross_loading`.

    One factor (McNeish & Wolf 2022, doi:10.3758/s13428-021-01847-y): residuals of neighbours in the order of their
    loadings correlate at .3, in a third, two thirds and all of the pairs (one pair of four items; one and two of five).

    Variances of items and factors, loadings and all other correlations stay as they are.

    Returns
    -------
    additions : tuple of Addition
        In the order of the levels.
    levels : tuple of Solution

    Raises
    ------
    Unsupported
        If too few items are free to be changed.
    """
    if len(solution.factors) == 1:
        additions = _residual_pairs(solution)
    else:
        additions = _cross_loadings(solution)
    levels = sorted({a.level for a in additions})
    return additions, tuple(_population(solution, additions, level) for level in levels)


def _cross_loadings(solution: Solution) -> tuple[Addition, ...]:
    wanted = len(solution.factors) - 1
    lowest: dict[int, int] = {}
    for i, f in solution.available():
        if f not in lowest or _size(solution, i, f) < _size(solution, lowest[f], f):
            lowest[f] = i
    sizes = Counter(int(f) for f in np.nonzero(solution.free)[1])

    def order(f: int) -> tuple[bool, float]:
        return sizes[f] <= 2, _size(solution, lowest[f], f)

    chosen = sorted(lowest, key=order)[:wanted]
    if len(chosen) < wanted:
        raise Unsupported(
            f"{wanted} factors need an item that loads on one factor only and has no covariance of residuals, and "
            f"{len(chosen)} have one: there is no rule for misspecifications of this model",
            hint="use the usual guides for its fit indices",
        )
    reliability = [
        construct_reliability(solution.loadings[solution.free[:, f].astype(bool), f])
        for f in range(len(solution.factors))
    ]
    taken: set[frozenset[int]] = set()
    target: dict[int, int] = {}
    for f in sorted(chosen, key=lambda f: _size(solution, lowest[f], f)):
        others = [g for g in range(len(solution.factors)) if g != f and frozenset((f, g)) not in taken]
        target[f] = max(others, key=lambda g: reliability[g])
        taken.add(frozenset((f, target[f])))
    out = []
    for level, f in enumerate(chosen, 1):
        i, g = lowest[f], target[f]
        value = cross_loading(float(solution.loadings[i, f]), float(solution.factor_cor[f, g]))
        out.append(Addition(level, solution.factors[g], "=~", solution.items[i], value))
    return tuple(out)


def _size(solution: Solution, item: int, factor: int) -> float:
    return abs(float(solution.loadings[item, factor]))


def _residual_pairs(solution: Solution) -> tuple[Addition, ...]:
    free = sorted((i for i, _ in solution.available()), key=lambda i: _size(solution, i, 0))
    count = len(free)
    if count < 4:
        raise Unsupported(
            f"one factor with {count} items without covariances of residuals: misspecifications need at least 4",
            hint="use the usual guides for its fit indices",
        )
    pairs = count // 2
    # of four items one pair: two would leave no item alone
    last = {4: (1,), 5: (1, 2)}.get(count, (pairs // 3, 2 * pairs // 3, pairs))
    out = []
    for k in range(last[-1]):
        level = next(number for number, end in enumerate(last, 1) if k < end)
        a, b = free[2 * k], free[2 * k + 1]
        out.append(Addition(level, solution.items[b], "~~", solution.items[a], RESIDUAL))
    return tuple(out)


def _population(solution: Solution, additions: tuple[Addition, ...], level: int) -> Solution:
    loadings, residual = solution.loadings.copy(), solution.residual_cor.copy()
    for a in additions:
        if a.level > level:
            continue
        i = solution.items.index(a.rhs)
        if a.op == "=~":
            loadings[i, solution.factors.index(a.lhs)] = a.value
        else:
            j = solution.items.index(a.lhs)
            residual[i, j] = residual[j, i] = a.value
    return replace(solution, loadings=loadings, residual_cor=residual)
