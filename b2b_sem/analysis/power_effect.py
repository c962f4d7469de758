"""Specific indirect effects of a model in a population, with what the power of their tests needs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from b2b_sem.analysis.fitted import context_of, part_context
from b2b_sem.analysis.power_target import Target
from b2b_sem.engine.effect import find_effects
from b2b_sem.results.power import ProductTest
from b2b_sem.spec.partable import Row

__all__ = ["IndirectTest", "indirect_tests", "path_rows"]


@dataclass(frozen=True)
class IndirectTest:
    """One specific indirect effect.

    Attributes
    ----------
    name : str
        ``X -> M -> Y``.
    group : int
        From 0.
    value, std : float
        Raw, and with variances of 1.
    edges : tuple of (lhs, rhs)
        The free coefficients on its way.
    product : ProductTest
    """

    name: str
    group: int
    value: float
    std: float
    edges: tuple[tuple[str, str], ...]
    product: ProductTest


def path_rows(target: Target) -> list[Row]:
    """Return one row for each free regression coefficient."""
    seen: dict[int, Row] = {}
    for row in target.rows:
        if row.op == "~" and row.free:
            seen.setdefault(row.free, row)
    return list(seen.values())


def indirect_tests(
    target: Target, single: Mapping[int, float], only: tuple[str, int] | None = None
) -> tuple[list[IndirectTest], list[str]]:
    """Return the specific indirect effects, each with the coefficients on its way, and notes on those left out.

    `single` holds the noncentralities of likelihood-ratio tests of single paths, by the place of the parameter from 0;
    what is not there is computed. z tests of samples reject as often as these say, while standard errors at the
    population's values promise less than there is. `only` is the name and the group of one effect.
    """
    known = dict(single)
    rows = {row.free - 1: row for row in path_rows(target)}
    labels = target.population.labels

    def alone(place: int) -> float:
        if place not in known:
            known[place] = target.zero(rows[place])
        return known[place]

    out: list[IndirectTest] = []
    notes: list[str] = []
    for k, label in enumerate(labels or ("",)):
        place = target.places(k)
        problem = (part_context(target.fit, label) if label else context_of(target.fit)).problem
        theta = target.theta[place]
        effects = find_effects(problem.table, problem.structure)
        if effects.unlisted:
            notes.append("There are too many indirect effects to list.")
        specific = [e for e in effects.effects if e.kind == "specific"]
        for effect, path in zip(specific, effects.paths, strict=True):
            if only is not None and only != (effect.path, k):
                continue
            edges = path[path < len(effects.lhs)]
            free = edges[effects.parameter[edges] >= 0]
            numbers = [int(n) for n in effects.parameter[free]]
            if not numbers or len(set(numbers)) < len(numbers):
                notes.append(f"{effect.path}: no power, its coefficients are fixed or share a label.")
                continue
            held = float(np.prod(effects.fixed[edges][effects.parameter[edges] < 0]))
            joint = place[numbers]
            roots = np.sign(theta[numbers]) * np.sqrt([alone(int(n)) for n in joint])
            product = ProductTest(
                tuple(float(v) for v in theta[numbers]),
                tuple(tuple(float(v) for v in row) for row in target.vcov[np.ix_(joint, joint)]),
                tuple(float(v) for v in roots),
            )
            names = [(effects.names[effects.lhs[e]], effects.names[effects.rhs[e]]) for e in edges]
            std = math.prod(target.standardized.get((a, "~", b, k + 1), math.nan) for a, b in names)
            moving = tuple((effects.names[effects.lhs[e]], effects.names[effects.rhs[e]]) for e in free)
            value = held * float(np.prod(theta[numbers]))
            out.append(IndirectTest(effect.path, k, value, std, moving, product))
    return out, list(dict.fromkeys(notes))
