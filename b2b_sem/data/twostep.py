"""Second step of the two-step method: the roots of many score functions at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["solve_scores"]

Array = NDArray[np.float64]

#: A step smaller than this ends the search: Newton's error is then about its square.
STEP = 1e-7
#: More than bisection alone would need.
MOST = 80
#: Score and curvature a row below this: the likelihood is flat, and any correlation from here to the limit is as good.
FLAT = 1e-9


def solve_scores(
    evaluate: Callable[[NDArray[np.intp], Array], tuple[Array, Array]],
    start: Array,
    limit: float,
    rows: Array,
    within: tuple[Array, Array] | None = None,
) -> Array:
    """Return the maximum of each likelihood of one correlation, searched between -limit and limit.

    Newton steps on the score, held inside a bracket that shrinks at every evaluation: the score is positive at its
    lower end and negative at its upper end, so a step that leaves it is replaced by bisection.

    Parameters
    ----------
    evaluate : callable
        Takes the indices still searched and their correlations, and returns score and derivative of the score.
    start : ndarray, shape (P,)
    limit : float
        A likelihood that rises up to the limit has its maximum there.
    rows : ndarray, shape (P,)
        Answers each likelihood is made of: where score and curvature vanish against them, the search ends.
    within : tuple of two ndarrays, shape (P,), optional
        Other limits, each pair's own, with the start between them or on them.

    Returns
    -------
    ndarray, shape (P,)
    """
    if within is None:
        value = np.clip(start, -0.99, 0.99)
        low, high = np.full(len(value), -limit), np.full(len(value), limit)
    else:
        value, low, high = np.array(start, dtype=np.float64), within[0].copy(), within[1].copy()
    active = np.arange(len(value))
    for _ in range(MOST):
        if not len(active):
            break
        now = value[active]
        score, slope = evaluate(active, now)
        low[active] = np.where(score > 0, now, low[active])
        high[active] = np.where(score < 0, now, high[active])
        left, right = low[active], high[active]
        with np.errstate(divide="ignore", invalid="ignore"):
            step = np.where(slope < 0, -score / slope, np.inf * np.sign(score))
        new = now + step
        outside = ~((new >= left) & (new <= right))
        # towards an end that was never evaluated: nearer to it than half way, so that a maximum there is found soon
        free = np.where(score > 0, right == limit, left == -limit)
        share = np.where(free, 0.1, 0.5)
        inside = np.where(score > 0, right + share * (now - right), left + share * (now - left))
        flat = (np.abs(score) < FLAT * rows[active]) & (np.abs(slope) < FLAT * rows[active])
        new = np.where(flat | (score == 0), now, np.where(outside, inside, new))
        value[active] = new
        active = active[np.abs(new - now) > STEP]
    return value
