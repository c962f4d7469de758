"""Score tests of ordinal items: extended models, as :mod:`b2b_sem.engine.extension` has them for numbers.

With e = s - sigma and D the derivatives of the statistics by all parameters, old and new, the score is D'Ve and its
variance D'VD, as if V were the inverse of Gamma: for a diagonal V tests from them are not corrected, as in lavaan.
:func:`scatter` gives the variance that a score has whatever V is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from b2b_sem.data.observed import Observed
from b2b_sem.engine.base import Array, IntArray
from b2b_sem.engine.candidate import standardizing_factors
from b2b_sem.engine.categorical import weight_of
from b2b_sem.engine.extension import Extension, joint
from b2b_sem.engine.group_extension import GroupExtension
from b2b_sem.engine.native.categorical import CategoricalWeight
from b2b_sem.engine.native.ordinal import State, compile_layout
from b2b_sem.engine.ordinal import OrdinalRows, ordinal_rows
from b2b_sem.engine.problem import Problem
from b2b_sem.errors import ModelError, Unsupported
from b2b_sem.spec.partable import ParameterTable, Row

__all__ = ["OrdinalExtension", "extend_ordinal", "generalized_test", "scatter"]

#: Entries that are no parameters: what the data fix, and residual variances or scales that follow from the rest.
CLOSED = -3
#: Share of its information that a direction must keep to be tested: those the model can follow have none but rounding.
RANK = 1e-8


@dataclass(frozen=True)
class OrdinalExtension(Extension):
    """An extended model of ordinal items; rows that are no parameters have score and information 0.

    Attributes
    ----------
    state : State
        What it implies.
    open : (k,) int array
        Entries that are parameters, in the order of those of `state`.
    factors : three (E,) arrays
        What turns a change into a standardized one: ``lv``, ``all``, ``nox``.
    """

    state: State = None  # type: ignore[assignment]
    open: IntArray = None  # type: ignore[assignment]
    factors: tuple[Array, Array, Array] = None  # type: ignore[assignment]
    whole: Array = field(default=None, repr=False)  # type: ignore[arg-type]

    def information(self, first: IntArray, second: IntArray) -> Array:
        """Return a block of D'VD."""
        return self.whole[np.ix_(first, second)]

    def information_diagonal(self, entries: IntArray) -> Array:
        """Return diagonal elements of D'VD."""
        return np.diag(self.whole)[entries]

    def moves(self, directions: Array) -> Array:
        """Return how the statistics move with steps in some directions, (K, c); `directions` is (E, c)."""
        out: Array = self.state.slopes.matrix() @ directions[self.open]
        return out


def extend_ordinal(problem: Problem, theta: Array, added: Iterable[tuple[str, str, str]] = ()) -> OrdinalExtension:
    """Give every fixed parameter and those `added` a place, and evaluate everything at a solution.

    Parameters
    ----------
    problem : Problem
        Of one group.
    theta : (q,) array
    added : iterable of (lhs, op, rhs)
        Parameters that are no rows of the table; those of covariates that are conditioned on are left out.

    Raises
    ------
    ModelError
        If the solution has no positive variances.
    """
    table, weight = problem.table, weight_of(problem)
    layout = weight.layout
    state = layout.state(theta)
    if state is None:
        raise ModelError("a variance implied at the solution is not positive")
    found = ordinal_rows(problem, state)
    given = [layout.structure.observed[k] for k in layout.x]

    def closed(row: Row) -> bool:
        computed = row.lhs in table.ordered and row.lhs == row.rhs and row.op == ("~*~" if layout.theta else "~~")
        return row.exo or computed

    new = [
        Row(lhs, op, rhs, 1, 0.0, None, "", False, False)
        for lhs, op, rhs in added
        if lhs not in given and not (op == "~~" and rhs in given)
    ]
    rows = [*table.rows, *new]
    parameter = [CLOSED if closed(r) else r.free - 1 if r.free else -1 for r in table.rows] + [-1] * len(new)
    at = np.flatnonzero(np.array(parameter) != CLOSED)
    values = np.zeros(len(rows))
    values[: len(table.rows)] = found.raw.value[: len(table.rows)]
    made = [rows[i] for i in np.flatnonzero(np.array(parameter) == CLOSED)]
    numbered = [replace(rows[i], free=n, value=None) for n, i in enumerate(at, 1)]
    extended = replace(table, rows=(*numbered, *made), constraints=())
    larger = compile_layout(extended, problem.fixed, bool(given))
    point = CategoricalWeight(larger, weight.statistic, weight.diagonal, weight.dense, 1.0).evaluate(
        larger.structure, problem.moments, values[at]
    )
    reached = None if point is None else larger.state(values[at])
    if point is None or reached is None:
        raise ModelError("a variance implied at the solution is not positive")
    own = point.weight
    assert isinstance(own, CategoricalWeight)
    count = len(rows)
    whole, score = np.zeros((count, count)), np.zeros(count)
    whole[np.ix_(at, at)] = own.expected_information(larger.structure, point)
    # lavaan's score is that of (N - 1) / N F
    score[at] = -0.5 * (problem.nobs - 1) / problem.nobs * own.gradient(larger.structure, problem.moments, point)
    named = tuple(replace(r, value=float(v)) for r, v in zip(rows, values, strict=True))
    return OrdinalExtension(
        named,
        np.array(parameter, dtype=np.intp),
        larger.structure,
        point,
        score,
        np.zeros((0, 0)),
        state=reached,
        open=at,
        factors=_factors(table, named, found),
        whole=whole,
    )


def _factors(table: ParameterTable, rows: tuple[Row, ...], found: OrdinalRows) -> tuple[Array, Array, Array]:
    """Return standardizing factors; thresholds are divided by the standard deviation of y*, scales have none."""
    residual = {
        r.lhs: float(found.moving.value[i]) for i, r in enumerate(table.rows) if r.op == "~~" and r.lhs == r.rhs
    }
    usual = np.array([r.op not in ("|", "~*~") for r in rows], dtype=bool)
    known = standardizing_factors(
        table, tuple(r for r, keep in zip(rows, usual, strict=True) if keep), found.implied, residual
    )
    sd = dict(zip(table.observed, np.sqrt(np.diag(found.implied.sigma)), strict=True))
    own = np.array([1.0 / sd[r.lhs] if r.op == "|" else np.nan for r in rows])
    raw = np.where([r.op == "|" for r in rows], 1.0, np.nan)

    def fill(base: Array, values: Array) -> Array:
        out = np.array(base, dtype=float)
        out[usual] = values
        return out

    return fill(raw, known[0]), fill(own, known[1]), fill(own, known[2])


def scatter(extension: Extension, observed: Observed, follow: Array) -> Array:
    """Return the variance of scores in some directions that does not rest on V: the sum of n_g / N f'D'V Gamma V D f.

    Parameters
    ----------
    extension : OrdinalExtension or GroupExtension of such
    observed : Observed
        With the asymptotic covariance matrix Gamma of each group.
    follow : (E, c) array
        f: change of every entry with a unit step in a direction, the model's own parameters following.

    Returns
    -------
    (c, c) array
        Of one observation, as the information.

    Raises
    ------
    Unsupported
        Where V is not diagonal: tests that rest on D'VD are right there (WLS).
    """
    assert observed.ordinal is not None
    if isinstance(extension, GroupExtension):
        parts, shares = extension.parts, extension.shares
        places = [(np.flatnonzero(extension.member == g), g) for g in range(len(parts))]
    else:
        parts, shares = (extension,), (1.0,)
        places = [(np.arange(len(extension.rows)), 0)]
    out = np.zeros((follow.shape[1],) * 2)
    for (at, g), part, share in zip(places, parts, shares, strict=True):
        assert isinstance(part, OrdinalExtension)
        own = part.point.weight
        assert isinstance(own, CategoricalWeight)
        if own.diagonal is None:
            raise Unsupported("scores are corrected for a diagonal weight only", hint="use estimator='WLSMV'")
        local = np.zeros((len(part.rows), follow.shape[1]))
        local[extension.local[at] if isinstance(extension, GroupExtension) else at] = follow[at]
        weighted = own.diagonal[:, None] * part.moves(local)
        out += share * weighted.T @ (observed.ordinal[g].gamma @ weighted)
    return (out + out.T) / 2


def generalized_test(
    extension: Extension, tangent: Array, observed: Observed, entries: IntArray, nobs: int
) -> tuple[float, int]:
    """Test giving some entries values of their own, together: chi-square and degrees of freedom.

    The generalized score test of Boos (1992), doi:10.1080/00031305.1992.10475921: with s the scores once the model's
    own parameters are accounted for, N s' M^+ s with M the variance of :func:`scatter`. Unlike the test that takes V
    for the inverse of Gamma it is chi-square distributed for least squares with any weight.

    Parameters
    ----------
    extension, observed
        As :func:`scatter` takes them.
    tangent : (own, r) array
        Directions the model is free to move in.
    entries : (c,) int array
        Directions that the model's own parameters can follow are left out, which lowers the degrees of freedom.
    nobs : int

    Returns
    -------
    float, int
        NaN and 0 if the model is not identified with any of the entries.
    """
    found = joint(extension, tangent, entries, np.eye(len(entries)))
    own = extension.information_diagonal(entries)
    scale = np.sqrt(np.where(own > 0, own, 1.0))
    values, vectors = np.linalg.eigh(found.variance / np.outer(scale, scale))
    kept = vectors[:, values > RANK] / scale[:, None]
    df = kept.shape[1]
    if df == 0:
        return float("nan"), 0
    score = kept.T @ found.score
    middle = scatter(extension, observed, found.follow @ kept)
    size = np.sqrt(np.diag(middle))
    z = score / size
    return nobs * float(z @ np.linalg.solve(middle / np.outer(size, size), z)), df
