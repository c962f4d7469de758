"""Auxiliary variables as saturated correlates: they inform about missing answers without changing the model.

Graham (2003), doi:10.1207/S15328007SEM1001_4: an auxiliary variable covaries with every other auxiliary variable, with
exogenous observed variables and with the residuals of all other observed variables. These parameters are as many as the
moments the variable adds, so the degrees of freedom stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

from b2b_sem.errors import ModelSyntaxError
from b2b_sem.spec.partable import ParameterTable, Row

__all__ = ["add_auxiliary", "check_auxiliary"]


def check_auxiliary(names: Sequence[str] | str | None) -> tuple[str, ...]:
    """Return the names of auxiliary variables, each once.

    Raises
    ------
    ModelSyntaxError
        If a name occurs twice.
    """
    found = (names,) if isinstance(names, str) else tuple(str(name) for name in names or ())
    twice = sorted({name for name in found if found.count(name) > 1})
    if twice:
        raise ModelSyntaxError(f"auxiliary variables are named twice: {', '.join(twice)}", hint="name each once")
    return found


def add_auxiliary(table: ParameterTable, names: Sequence[str]) -> ParameterTable:
    """Add saturated correlates to a table with a mean structure and without variables taken as fixed.

    New rows stand behind those of the model, in each group behind its own: variances and covariances of the auxiliary
    variables, their means, and their covariances with each observed variable, as in ``semTools::auxiliary()``.

    Parameters
    ----------
    table : ParameterTable
        Built with ``meanstructure=True`` and ``fixed_x=False``.
    names : sequence of str

    Raises
    ------
    ModelSyntaxError
        If an auxiliary variable is part of the model.
    """
    inside = [name for name in names if name in {*table.observed, *table.latents}]
    if inside:
        raise ModelSyntaxError(
            f"auxiliary variables are part of the model: {', '.join(inside)}",
            file=table.file,
            hint="what is in the model informs about missing answers by itself: leave it out of auxiliary",
        )
    old, defaults = _free_means(table)
    number = max((r.free for r in old), default=0)
    cells = [(a, "~~", a) for a in names] + [(a, "~~", b) for a, b in combinations(names, 2)]
    cells += [(a, "~1", "") for a in names]
    cells += [(v, "~~", a) for v in table.observed for a in names]
    rows: list[Row] = []
    for group in range(1, max(len(table.groups), 1) + 1):
        rows += [r for r in old if r.group == group]
        rows += [
            Row(lhs, op, rhs, number + k, None, None, "", False, False, group=group)
            for k, (lhs, op, rhs) in enumerate(cells, start=1)
        ]
        number += len(cells)
    note = f"Auxiliary variables covary with all observed variables or their residuals: {', '.join(names)}."
    return replace(
        table,
        rows=tuple(rows),
        observed=(*table.observed, *names),
        auxiliary=tuple(names),
        defaults=(*defaults, note),
    )


def _free_means(table: ParameterTable) -> tuple[list[Row], tuple[str, ...]]:
    """Free the means of covariates that a growth model would fix at 0, as it does only where they are not fixed."""
    covariates = set(table.exogenous)
    wanted = [r for r in table.rows if r.op == "~1" and r.lhs in covariates and not r.user and not r.free]
    if not wanted:
        return list(table.rows), table.defaults
    number = table.nfree
    rows = []
    for row in table.rows:
        if row in wanted:
            number += 1
            row = replace(row, free=number, value=None)
        rows.append(row)
    names = ", ".join(r.lhs for r in wanted)
    return rows, (
        *table.defaults,
        f"Means of covariates are free, because auxiliary variables covary with them: {names}.",
    )
