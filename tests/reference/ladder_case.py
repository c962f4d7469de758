"""Ladders of invariance compared with a reference by name: shared by groups and waves."""

from __future__ import annotations

import math
from typing import Any

from b2b_sem.measures.equivalence import Criteria

#: Of numbers that may be zero: indices, effects and estimates of latent means.
FLOOR = 1e-10


def all_pass() -> Criteria:
    """Return criteria that every step meets: each is compared with the one before."""
    return Criteria("all pass", "none", cfi=1.0, least_cfi=0.0, most_srmr=1.0)


def close(
    what: str, ours: float, theirs: float | None, rtol: float, scale: float = 0.0, floor: float = FLOOR
) -> list[str]:
    """Return one line if two numbers differ by more than `rtol` of the reference or `scale`, or only one is there."""
    if theirs is None:
        return [] if math.isnan(ours) else [f"{what}: {ours}, reference missing"]
    if abs(ours - theirs) <= max(rtol * max(abs(theirs), scale), floor):
        return []
    return [f"{what}: {ours!r}, reference {theirs!r}"]


def rows_differ(
    what: str,
    ours: list[dict[str, Any]],
    theirs: list[dict[str, Any]],
    keys: tuple[str, ...],
    rtol: float,
    floor: float = FLOOR,
) -> list[str]:
    """Compare two tables by name; a row that one side lacks is a difference."""
    left = {tuple(str(r[k]) for k in keys): r for r in ours}
    right = {tuple(str(r[k]) for k in keys): r for r in theirs}
    out = [f"{what} {key}: only on one side" for key in left.keys() ^ right.keys()]
    for key in left.keys() & right.keys():
        for name, value in right[key].items():
            if name not in keys and not isinstance(value, str):
                out += close(f"{what} {key} {name}", left[key][name], value, rtol, floor=floor)
    return out
