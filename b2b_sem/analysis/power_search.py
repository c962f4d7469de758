"""Where does a test reach a power? A search by samples, for several tests at once.

Sizes are doubled or halved until the shares of rejections lie on both sides of the asked power. Then a curve through
the shares of all samples near the answer so far (:mod:`b2b_sem.measures.probit`) tells where to draw next, until its
confidence interval is narrow enough. What is drawn for one test counts for all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy import special

from b2b_sem.errors import DataError
from b2b_sem.measures.probit import fit_probit

__all__ = ["AT_MOST", "MORE", "Found", "Goal", "Look", "Pool", "search"]

Array = npt.NDArray[np.float64]
#: Size and number of the visit to it -> rejections and trials of each test.
Look = Callable[[float, int], tuple[Array, Array]]
#: On the scale of rows; the power of a test depends on the root of the rows, and on an effect itself.
NEAR, DOUBLE, BESIDE = 2.0, 2.0, (1.0, 0.85, 1.18)
#: Beyond this factor from the answer a size counts as beside it; a size that was tried within SNAP is tried again.
ASIDE, SNAP = 1.08, 1.03
#: The power is there at the smallest size that may be tried; is not there at the largest.
AT_MOST, MORE = "at most", "more than"


@dataclass(frozen=True)
class Goal:
    """What is looked for, and how sure it shall be.

    Attributes
    ----------
    power : float
    precision : float
        Half width of the confidence interval relative to the answer.
    level : float
        Of the interval.
    samples : int
        After so many the search ends with the interval it has.

    Raises
    ------
    DataError
        For numbers out of range.
    """

    power: float = 0.80
    precision: float = 0.05
    level: float = 0.95
    samples: int = 20_000

    def __post_init__(self) -> None:
        for name in ("power", "precision", "level"):
            value = getattr(self, name)
            if not 0 < value < 1:
                raise DataError(f"{name}={value!r} must lie between 0 and 1", hint="give a number in this range")
        if self.samples < 1:
            raise DataError(f"{self.samples} samples", hint="allow at least one batch")


@dataclass
class Pool:
    """All samples so far: rejections and trials of T tests by size.

    Attributes
    ----------
    hits, trials : dict of float to (T,) array
    visits : dict of float to int
    spent : int
        Samples drawn.
    """

    hits: dict[float, Array] = field(default_factory=dict)
    trials: dict[float, Array] = field(default_factory=dict)
    visits: dict[float, int] = field(default_factory=dict)
    spent: int = 0

    def add(self, size: float, hits: Array, trials: Array, samples: int) -> None:
        """Add the samples of one visit."""
        self.hits[size] = self.hits.get(size, 0.0) + hits
        self.trials[size] = self.trials.get(size, 0.0) + trials
        self.visits[size] = self.visits.get(size, 0) + 1
        self.spent += samples

    def of(self, test: int) -> tuple[Array, Array, Array]:
        """Return sizes in order, with rejections and trials of a test."""
        sizes = sorted(self.hits)
        hits, trials = (np.array([part[s][test] for s in sizes], dtype=float) for part in (self.hits, self.trials))
        return np.array(sizes, dtype=float), hits, trials


@dataclass(frozen=True)
class Found:
    """Where one test has the power.

    Attributes
    ----------
    at, lower, upper : float
        NaN where the samples do not tell.
    precise : bool
        Whether the interval is as narrow as asked, or one end of the allowed sizes is the answer.
    bound : str
        :data:`AT_MOST` or :data:`MORE` if `at` is an end of the allowed sizes; else empty.
    next : float
        Where to draw next.
    """

    at: float
    lower: float
    upper: float
    precise: bool
    bound: str
    next: float

    @property
    def width(self) -> float:
        """Half width of the interval relative to the answer; infinite where there is none."""
        return (self.upper - self.lower) / 2.0 / self.at if math.isfinite(self.at + self.upper) else math.inf


def search(
    look: Look,
    tests: int,
    goal: Goal,
    *,
    start: float,
    smallest: float,
    largest: float,
    batch: int,
    exponent: float = 0.5,
    whole: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Pool, tuple[Found, ...]]:
    """Search the size at which each of several tests has the asked power.

    Parameters
    ----------
    look : callable
        Draws `batch` samples of a size.
    tests : int
    goal : Goal
    start, smallest, largest : float
        First size; sizes that may be tried.
    batch : int
        Samples in a visit.
    exponent : float
        The power depends on size ** exponent: 0.5 for rows, 1 for effects.
    whole : bool
        Whether sizes are whole numbers.
    progress : callable, optional
        Called with samples drawn and the most there may be.

    Returns
    -------
    pool : Pool
    found : tuple of Found
        One a test.
    """
    pool, size = Pool(), min(max(start, smallest), largest)
    found: list[Found] = []
    while True:
        size = _nearby(pool, size, math.log(SNAP) * 0.5 / exponent)
        size = float(min(max(round(size), math.ceil(smallest)), math.floor(largest))) if whole else size
        hits, trials = look(size, pool.visits.get(size, 0))
        pool.add(size, hits, trials, batch)
        if progress is not None:
            progress(min(pool.spent, goal.samples), goal.samples)
        found = [_assess(pool, k, goal, smallest, largest, exponent) for k in range(tests)]
        waiting = [f for f in found if not f.precise]
        if not waiting or pool.spent >= goal.samples:
            break
        size = max(waiting, key=lambda f: f.width).next
    return pool, tuple(found)


def _nearby(pool: Pool, size: float, reach: float) -> float:
    """Return a size that was tried within `reach` (of logarithms), or the size itself."""
    distance = {tried: abs(math.log(tried / size)) for tried in pool.visits}
    known = min(distance, key=distance.__getitem__, default=size)
    return known if distance.get(known, math.inf) <= reach else size


def _assess(pool: Pool, test: int, goal: Goal, smallest: float, largest: float, exponent: float) -> Found:
    """Say what is known about one test, and where to draw next for it."""
    size, hits, trials = pool.of(test)
    stretch = 0.5 / exponent
    # a size at which no sample can be used does not find anything
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(trials > 0, hits / trials, 0.0)
    below, above = size[share < goal.power], size[share >= goal.power]
    if not len(above):
        top = float(size[-1])
        if top >= largest:
            return Found(largest, largest, math.inf, True, MORE, top)
        return Found(math.nan, math.nan, math.nan, False, "", min(top * DOUBLE**stretch, largest))
    if not len(below):
        low = float(size[0])
        if low <= smallest:
            return Found(smallest, 0.0, smallest, True, AT_MOST, low)
        return Found(math.nan, math.nan, math.nan, False, "", max(low / DOUBLE**stretch, smallest))
    # shares that cross the power more than once are noise around it: their middle is near the answer
    about = math.sqrt(float(below.max()) * float(above.min()))
    z, answer = float(special.ndtri(0.5 + goal.level / 2.0)), Found(math.nan, math.nan, math.nan, False, "", about)
    for _ in range(5):
        near = np.abs(np.log(size / about)) <= math.log(NEAR) * stretch + 1e-9
        curve = fit_probit(size[near] ** exponent, hits[near], trials[near]) if near.sum() > 1 else None
        curve = curve or fit_probit(size**exponent, hits, trials)
        if curve is None:
            low, high = float(below.max()), float(above.min())
            if low < high <= low * (1.0 + 2.0 * goal.precision):
                # nothing rejects below and nearly everything above, such as where samples have no solution below
                return Found(high, low, high, True, "", high)
            return answer
        t, error = curve.solve(goal.power)
        low, high = (t - z * error, t + z * error)
        at = max(t, 0.0) ** (1.0 / exponent)
        if not size[0] <= at <= size[-1]:
            # never beyond what was drawn: a curve through noise may cross anywhere
            at = float(min(max(at, size[0] / 1.2**stretch), size[-1] * 1.2**stretch))
            return Found(math.nan, math.nan, math.nan, False, "", min(max(at, smallest), largest))
        limits = tuple(max(v, 0.0) ** (1.0 / exponent) for v in (low, high))
        # the slope needs width: where fewest samples are of the answer, a bit below it and a bit above it
        ratio, edge = size / at, ASIDE**stretch
        places = ((ratio >= 1 / edge) & (ratio <= edge), ratio < 1 / edge, ratio > edge)
        counts = [float(trials[near & place].sum()) for place in places]
        beside = BESIDE[counts.index(min(counts))] ** stretch
        answer = Found(at, limits[0], limits[1], False, "", min(max(at * beside, smallest), largest))
        if abs(at - about) <= 0.01 * about:
            break
        about = at
    if answer.width <= goal.precision:
        return Found(answer.at, answer.lower, answer.upper, True, "", answer.next)
    return answer
