"""The smallest effects that a number of rows detects: populations change in one direction until the power is there.

A path changes by itself; the difference of a path between groups changes while the mean over groups stays; of an
indirect effect all coefficients are multiplied by the same number.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from b2b_sem.analysis.power_effect import IndirectTest, indirect_tests
from b2b_sem.analysis.power_population import GroupPopulation, PathChanges
from b2b_sem.analysis.power_target import Settings, Target, fit_population, unit
from b2b_sem.errors import ModelError, Unsupported
from b2b_sem.measures.power import required_noncentrality
from b2b_sem.spec.partable import Row

__all__ = ["Detector", "equal_paths", "spread_of"]

#: Steps outwards in search of the asked power.
MOST_STEPS = 60
#: A direction along which nothing changes less than this is none.
FLAT = 1e-12

Pair = tuple[float, float]
NOTHING: Pair = (math.nan, math.nan)


def equal_paths(q: int, numbers: list[int]) -> np.ndarray:
    """Return the restrictions that make parameters (from 1) of several groups equal, (G - 1, q)."""
    return np.array([unit(q, (k, 1.0), (numbers[0], -1.0)) for k in numbers[1:]])


@dataclass(frozen=True, eq=False)
class Detector:
    """Looks for effects with the asked power.

    Attributes
    ----------
    population : GroupPopulation
    model : str
    settings : Settings
    nobs : int
    power, alpha : float
    hold : {"variance", "residual"}
        What stays in the outcomes as their paths change.
    """

    population: GroupPopulation
    model: str
    settings: Settings
    nobs: int
    power: float
    alpha: float
    hold: str

    def path(self, target: Target, row: Row) -> Pair:
        """Return a path on the side of its own sign, raw and standardized; NaN where there is none.

        A path that groups share changes in all of them.
        """
        shared = [r for r in target.rows if r.free == row.free]
        groups = [max(r.group, 1) - 1 for r in shared]
        values = [self.population.value(row.lhs, "~", row.rhs, g) for g in groups]
        if len({(r.lhs, r.rhs) for r in shared}) > 1 or any(math.isnan(v) for v in values):
            return NOTHING
        if max(values) - min(values) > FLAT:
            return NOTHING
        sign = -1.0 if float(target.theta[row.free - 1]) < 0 else 1.0
        need = required_noncentrality(self.power, 1, self.alpha) / self.nobs

        def own(now: Target) -> Row:
            return next(r for r in now.rows if (r.lhs, r.op, r.rhs, r.group) == (row.lhs, "~", row.rhs, row.group))

        return self._search(
            max(abs(values[0]), 0.05),
            lambda size: {(row.lhs, row.rhs, g): sign * size for g in groups},
            lambda now: math.sqrt(now.zero(own(now))) - math.sqrt(need),
            lambda now: (float(now.theta[own(now).free - 1]), now.std(own(now))),
        )

    def difference(self, target: Target, lhs: str, rhs: str) -> Pair:
        """Return the difference of a path between groups, the largest minus the smallest value.

        With two groups it is the second minus the first, on the side of its own sign. Deviations from the mean over all
        respondents keep their proportions; three groups or more that are equal have no direction in which to differ.
        """
        groups = range(len(self.population.labels))
        values = np.array([self.population.value(lhs, "~", rhs, g) for g in groups])
        if np.isnan(values).any():
            return NOTHING
        shares = np.array(self.population.shares)
        mean = float(values @ shares)
        apart = values - mean
        spread = float(np.ptp(apart))
        if spread >= FLAT:
            apart = apart / spread
        elif len(values) > 2:
            return NOTHING
        else:
            apart = np.array([-shares[1], shares[0]])
        need = required_noncentrality(self.power, len(values) - 1, self.alpha) / self.nobs

        def own(now: Target) -> list[Row]:
            found = {r.group: r for r in now.rows if (r.lhs, r.op, r.rhs) == (lhs, "~", rhs)}
            return [found[g + 1] for g in groups]

        def gap(now: Target) -> float:
            matrix = equal_paths(len(now.theta), [r.free for r in own(now)])
            per_row = now.restricted(matrix, np.zeros(len(matrix)), f"{lhs}~{rhs} equal in all groups")
            return math.sqrt(per_row) - math.sqrt(need)  # nearly a line

        return self._search(
            max(spread, 0.05),
            lambda size: {(lhs, rhs, g): mean + size * float(apart[g]) for g in groups},
            gap,
            lambda now: (
                spread_of([float(now.theta[r.free - 1]) for r in own(now)]),
                spread_of([now.std(r) for r in own(now)]),
            ),
        )

    def indirect(self, effect: IndirectTest, method: str) -> Pair:
        """Return an indirect effect whose test has the asked power, raw and standardized."""
        values = {(a, b, effect.group): self.population.value(a, "~", b, effect.group) for a, b in effect.edges}
        if any(math.isnan(v) or abs(v) < FLAT for v in values.values()):
            return NOTHING

        def own(now: Target) -> IndirectTest:
            return indirect_tests(now, {}, (effect.name, effect.group))[0][0]

        return self._search(
            1.0,
            lambda size: {key: size * value for key, value in values.items()},
            lambda now: _probit(own(now).product.power(method, self.nobs, self.alpha)) - _probit(self.power),
            lambda now: (own(now).value, own(now).std),
            tolerance=1e-5,  # powers of products are means over a lattice
        )

    def _search(
        self,
        start: float,
        change: Callable[[float], PathChanges],
        gap: Callable[[Target], float],
        found: Callable[[Target], Pair],
        tolerance: float = 1e-8,
    ) -> Pair:
        """Go outwards until the power is there, or the population ends; then between the last two."""
        from scipy.optimize import brentq

        def at(size: float) -> Target | None:
            changed = self.population.with_paths(change(size), self.hold)
            if changed is None:
                return None
            try:
                return fit_population(changed, self.model, self.settings)
            except (ModelError, Unsupported):  # almost nothing is left of a variance: the population ends here, too
                return None

        def value(size: float) -> float:
            now = at(size)
            if now is None:
                return math.nan
            try:
                return gap(now)
            except ModelError:
                return math.nan

        low, high = 0.0, start
        for _ in range(MOST_STEPS):
            here = value(high)
            if here >= 0:
                break
            if math.isnan(here):
                high = (low + high) / 2
                if high - low < 1e-6:
                    return NOTHING
                continue
            low, high = high, 1.5 * high
        else:
            return NOTHING
        if low == 0.0 and not value(low) < 0:  # a wrong model finds what is not there
            return NOTHING
        last = at(float(brentq(value, low, high, xtol=tolerance, rtol=tolerance)))
        return NOTHING if last is None else found(last)


def _probit(power: float) -> float:
    from scipy import special

    return float(special.ndtri(min(max(power, 1e-9), 1.0 - 1e-9)))


def spread_of(values: list[float]) -> float:
    """Return the second of two values minus the first; of more, the largest minus the smallest."""
    return values[1] - values[0] if len(values) == 2 else max(values) - min(values)
