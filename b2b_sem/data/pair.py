"""Second step of the two-step method: correlations of all pairs of variables and the influence of every row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from b2b_sem.data.category import refuse_copies
from b2b_sem.data.margin import Margin
from b2b_sem.data.numeric import listed
from b2b_sem.data.polychoric import estimate_polychorics, pair_tables, score_cells
from b2b_sem.data.polyserial import BLOCK, RowScores, correlate_numeric, correlate_ordered, correlate_serial
from b2b_sem.errors import DataError

__all__ = ["Layout", "Pairs"]

Array = NDArray[np.float64]
Index = NDArray[np.intp]

#: Correlations beyond this are reported: the two variables are nearly one (lavaan's rule).
NEARLY_ONE = 0.99
#: Information a row below this: the likelihood of the correlation has no maximum inside its range.
UNKNOWN = 1e-7


@dataclass(frozen=True, eq=False)
class Layout:
    """Where the parameters of each variable stand in the stack: places, slopes (covariate by covariate), variances."""

    place: tuple[slice, ...]
    slope: tuple[Index, ...]
    variance: tuple[int, ...]  # -1 for an ordered item
    size: int
    first: Index
    second: Index

    @classmethod
    def of(cls, margins: Sequence[Margin], q: int) -> Layout:
        """Return the layout of variables with these parameters, given q covariates."""
        p = len(margins)
        ends = np.cumsum([len(m.place) for m in margins]).tolist()
        place = tuple(slice(end - len(m.place), end) for end, m in zip(ends, margins, strict=True))
        slope = tuple(ends[-1] + i + p * np.arange(q) for i in range(p))
        numeric = [m.codes is None for m in margins]
        rank = np.cumsum(numeric) - 1
        start = ends[-1] + p * q
        variance = tuple(start + int(r) if num else -1 for r, num in zip(rank, numeric, strict=True))
        # the lower triangle by columns is the upper one by rows
        first, second = np.triu_indices(p, 1)
        return cls(place, slope, variance, start + sum(numeric), first, second)

    def columns(self, i: int) -> Index:
        """Return the positions of all parameters of variable i, in the order of its influence."""
        own = np.arange(self.place[i].start, self.place[i].stop)
        tail = [self.variance[i]] if self.variance[i] >= 0 else []
        return np.concatenate([own, self.slope[i], tail]).astype(np.intp)

    def labels(self, names: Sequence[str], ordered: Sequence[bool], covariates: Sequence[str]) -> tuple[str, ...]:
        """Return the names of all statistics, correlations included."""
        out = []
        for name, flag, place in zip(names, ordered, self.place, strict=True):
            out += [f"{name}|t{k + 1}" for k in range(place.stop - place.start)] if flag else [f"{name}~1"]
        out += [f"{name}~{x}" for x in covariates for name in names]
        out += [f"{name}~~{name}" for name, flag in zip(names, ordered, strict=True) if not flag]
        out += [f"{names[i]}~~{names[j]}" for i, j in zip(self.first.tolist(), self.second.tolist(), strict=True)]
        return tuple(out)


class Pairs:
    """The second step: correlations of all pairs and the influence of every row."""

    def __init__(
        self,
        margins: Sequence[Margin],
        layout: Layout,
        x: Array,
        codes: Index,
        levels: Sequence[tuple[float, ...]],
        names: Sequence[str],
    ) -> None:
        self.margins, self.layout, self.x, self.codes, self.names = margins, layout, x, codes, names
        self.sizes = np.array([len(own) for own in levels])
        count = len(layout.first)
        self.n = len(x)
        self.rho = np.zeros(count)
        self.score = np.zeros((count, self.n))
        self.cross = np.zeros((count, layout.size))
        self.square = np.zeros(count)
        self.lost = np.zeros(count)
        ordered = np.array([m.codes is not None for m in margins])
        self.table = ordered[layout.first] & ordered[layout.second]
        self.empty: list[tuple[str, str, int]] = []

    def solve(self) -> tuple[Array, Array, list[tuple[str, str, int]]]:
        """Return correlations, influences of all statistics, and pairs with empty cells."""
        ordered = np.array([m.codes is not None for m in self.margins])
        a, b = ordered[self.layout.first], ordered[self.layout.second]
        both, none = np.flatnonzero(a & b), np.flatnonzero(~a & ~b)
        if len(both):
            self._tables(both)
        self._by_row(none, correlate="numeric")
        self._by_row(np.flatnonzero(a & ~b), correlate="serial")
        self._by_row(np.flatnonzero(~a & b), correlate="serial")
        return self.rho, self._influence(), self.empty

    def _tables(self, which: Index) -> None:
        """Pairs of ordered items: from two-way tables, or row by row where covariates shift the limits."""
        items = np.unique(np.concatenate([self.layout.first[which], self.layout.second[which]]))
        at = np.full(len(self.margins), -1)
        at[items] = np.arange(len(items))
        size = int(self.sizes[items].max())
        first, second = at[self.layout.first[which]], at[self.layout.second[which]]
        codes = self.codes[items]
        tables = pair_tables(codes.T, size, first, second)
        sizes = self.sizes[items]
        refuse_copies(tables, [self.names[i] for i in items], first, second)
        real = np.arange(size) < sizes[:, None]
        holes = ((tables == 0) & real[first][:, :, None] & real[second][:, None, :]).sum(axis=(1, 2))
        self.empty = [
            (self.names[items[first[i]]], self.names[items[second[i]]], int(holes[i])) for i in np.flatnonzero(holes)
        ]
        if self.x.shape[1]:
            self._by_row(which, correlate="ordered")
            return
        edge = np.full((len(items), size - 1), np.inf)
        for own, item in zip(edge, items, strict=True):
            own[: len(self.margins[item].place)] = self.margins[item].place
        upper, lower = edge[first], edge[second]
        rho = estimate_polychorics(tables, upper, lower)
        cells = score_cells(tables, upper, lower, rho)
        self.rho[which], self.square[which], self.lost[which] = rho, cells.square, cells.lost
        # a row and a column more for "no answer": code -1 finds them from the end, and their score is zero
        lookup = np.zeros((len(which), size + 1, size + 1))
        lookup[:, :-1, :-1] = cells.score
        flat = lookup.reshape(len(which), -1)
        held = codes % (size + 1)
        rows = held * (size + 1)
        for j in range(len(which)):
            flat[j].take(rows[first[j]] + held[second[j]], out=self.score[which[j]], mode="clip")
        for side, own in zip(cells.cross, (self.layout.first[which], self.layout.second[which]), strict=True):
            for item in np.unique(own):
                mine = own == item
                place = self.layout.place[item]
                self.cross[which[mine], place] = side[mine, : place.stop - place.start]

    def _by_row(self, which: Index, correlate: str) -> None:
        step = max(1, BLOCK // max(self.n, 1))
        for start in range(0, len(which), step):
            self._block(which[start : start + step], correlate)

    def _block(self, which: Index, correlate: str) -> None:
        one, two = self.layout.first[which], self.layout.second[which]
        if correlate == "serial" and self.margins[one[0]].codes is not None:
            one, two = two, one  # the numeric variable comes first

        def rows(items: Index, kind: str) -> Array:
            return np.array([getattr(self.margins[i], kind) for i in items])

        seen = np.array([self.margins[i].seen & self.margins[j].seen for i, j in zip(one, two, strict=True)])
        if correlate == "numeric":
            sd = np.sqrt(rows(one, "variance") * rows(two, "variance"))
            done = correlate_numeric(rows(one, "upper"), rows(two, "upper"), sd, seen)
        elif correlate == "serial":
            done = correlate_serial(
                rows(one, "upper"),
                np.sqrt(rows(one, "variance")),
                rows(two, "upper"),
                rows(two, "lower"),
                seen,
                self.codes[two].astype(np.float64),
                [self.margins[i].place for i in two],
            )
        else:
            done = correlate_ordered(
                (rows(one, "upper"), rows(two, "upper")),
                (rows(one, "lower"), rows(two, "lower")),
                seen,
            )
        self._keep(which, one, two, done)

    def _keep(self, which: Index, one: Index, two: Index, done: RowScores) -> None:
        self.rho[which], self.lost[which] = done.rho, done.lost
        self.score[which] = done.score
        self.square[which] = np.einsum("pn,pn->p", done.score, done.score)
        for items, parts in ((one, done.first), (two, done.second)):
            # scores of a pair times scores of its variables, summed over the rows
            high, low = parts[0] * done.score, parts[1] * done.score
            for row, (pair, item) in enumerate(zip(which.tolist(), items.tolist(), strict=True)):
                self._cross(pair, item, high[row], low[row])

    def _cross(self, pair: int, item: int, high: Array, low: Array) -> None:
        margin, place, slope = self.margins[item], self.layout.place[item], self.layout.slope[item]
        if margin.codes is None:
            sd = np.sqrt(margin.variance)
            self.cross[pair, place] = high.sum() / sd
            self.cross[pair, slope] = high @ self.x / sd
            self.cross[pair, self.layout.variance[item]] = low.sum() / margin.variance
            return
        m = len(margin.place)
        held = margin.codes + 1  # 0: no answer, whose score is zero
        above = np.bincount(held, high, minlength=m + 2)[1 : m + 1]
        below = np.bincount(held, low, minlength=m + 2)[2 : m + 2]
        self.cross[pair, place] = above + below
        self.cross[pair, slope] = -(high + low) @ self.x

    def _influence(self) -> Array:
        """Return the influences; computed and stored with a row per statistic, which is contiguous in memory."""
        layout = self.layout
        out = np.empty((layout.size + len(self.rho), self.n))
        for i, margin in enumerate(self.margins):
            out[layout.columns(i)] = margin.influence.T
        if (self.square <= 0).any():
            at = np.flatnonzero(self.square <= 0)
            bad = [f"{self.names[layout.first[i]]} and {self.names[layout.second[i]]}" for i in at]
            raise DataError(
                f"the correlation of {listed(bad)} has no standard error: every answer lies in a cell that it makes "
                "all but impossible",
                hint="Merge rare categories, or leave one of the two out.",
            )
        head, tail = out[: layout.size], out[layout.size :]
        np.matmul(self.cross / -self.square[:, None], head, out=tail)
        self.score *= self.n / self.square[:, None]
        tail += self.score
        # correlations of numeric variables become covariances
        for j, (a, b) in enumerate(zip(layout.first.tolist(), layout.second.tolist(), strict=True)):
            va, vb = self.margins[a].variance, self.margins[b].variance
            if layout.variance[a] < 0 and layout.variance[b] < 0:
                continue
            tail[j] *= np.sqrt(va * vb)
            for own, size in ((a, va), (b, vb)):
                if layout.variance[own] >= 0:
                    tail[j] += self.rho[j] * np.sqrt(va * vb) / (2.0 * size) * head[layout.variance[own]]
        for i, margin in enumerate(self.margins):
            if margin.codes is None:
                out[layout.place[i]] *= -1.0
        return out.T

    def _named(self, which: NDArray[np.bool_], numbers: Array, form: str) -> str:
        at = np.flatnonzero(which).tolist()
        one, two = self.layout.first, self.layout.second
        return listed([f"{self.names[one[i]]} and {self.names[two[i]]} ({numbers[i]:{form}})" for i in at])

    def notes(self, where: str) -> list[str]:
        """Return where correlations differ from those of lavaan, and why."""
        lost = ~self.table & (self.lost > 0)
        if not lost.any():
            return []
        return [
            f"lavaan may give other correlations{where}: it leaves out answers whose density, in the units of the "
            f"numeric variable, is below 1.5e-8, so that its numbers depend on these units; here every answer counts. "
            f"Number of such answers: {self._named(lost, self.lost, '.0f')}"
        ]

    def warnings(self, cov: Array, where: str) -> list[str]:
        """Return what makes the correlations doubtful."""
        out, named = [], self._named
        unknown = self.square < UNKNOWN * self.n
        if unknown.any():
            out.append(
                f"correlations that cannot be determined{where}, because no answer contradicts a perfect one: "
                f"{named(unknown, np.sign(self.rho), '+.0f')}; they get next to no weight in a fit; merge rare "
                "categories, or leave one item of the pair out"
            )
        close = (np.abs(self.rho) > NEARLY_ONE) & ~unknown
        if close.any():
            out.append(f"correlations of nearly 1{where}: {named(close, self.rho, '.3f')}")
        lost = self.table & (self.lost > 0)
        if lost.any():
            out.append(
                f"answers so unlikely that they do not count in a correlation{where} (number of them): "
                f"{named(lost, self.lost, '.0f')}"
            )
        sd = np.sqrt(np.diag(cov))
        if len(cov) > 1 and np.linalg.eigvalsh(cov / np.outer(sd, sd))[0] < 1e-10:
            out.append(
                f"the matrix of correlations is not positive definite{where}: each comes from its own pair of "
                "variables, and together they contradict each other (few rows, sparse tables or much missing)"
            )
        return out
