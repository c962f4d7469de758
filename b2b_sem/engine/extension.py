"""Score tests without refitting: what the fit function says about parameters the model does not have.

A fixed or absent parameter is given a place in an extended structure, at the value the model implies for it. The
gradient g and the expected information I of all parameters, old and new, at the solution then give for each direction
c that the model leaves out the score test and the expected change of the parameter (Sorbom 1989,
doi:10.1007/BF02294623; Saris, Satorra & Sorbom 1987, doi:10.2307/271030)

    s = -c'g / 2,    V = c'Ic - c'IT (T'IT)^-1 T'Ic,    MI = N s^2 / V,    EPC = s / V,

with T a basis of the directions the model is free to move in. All directions are done at once: only the diagonal of
c'Ic and its products with the model's own parameters are formed, so the cost grows linearly with the candidates.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve_triangular

from b2b_sem.engine.base import Array, IntArray
from b2b_sem.engine.native.casemoment import moment_information, moment_slopes
from b2b_sem.engine.native.casewise import Casewise
from b2b_sem.engine.native.implied import PSI, THETA, Structure, compile_structure
from b2b_sem.engine.native.loss import Point, evaluate, gradient
from b2b_sem.engine.problem import Problem
from b2b_sem.errors import ModelError
from b2b_sem.spec.partable import Row

__all__ = ["LEAST_SHARE", "Extension", "Joint", "Schur", "extend", "joint", "profile"]

#: Share of its information that a direction must keep once the model's own parameters are accounted for; below it the
#: model would not be identified with the direction. Free of units, unlike a bound on V itself.
LEAST_SHARE = 1e-9
#: Candidates handled at once: bounds the memory of their products with the model's parameters.
CHUNK = 4096


@dataclass(frozen=True)
class Extension:
    """A model with extra parameters, evaluated at its own solution.

    Attributes
    ----------
    rows : tuple of Row
        One for each entry; the model's own rows first, in order.
    parameter : (E,) int array
        Free parameter of the model (from 0) that an entry belongs to; -1 for entries the model does not have free, -2
        for moments of exogenous variables, which the data fix.
    structure : Structure
        With one parameter an entry.
    point : Point
    score : (E,) array
        -1/2 times the gradient of F, entry by entry.
    """

    rows: tuple[Row, ...]
    parameter: IntArray
    structure: Structure
    point: Point
    score: Array
    products: Array = field(repr=False)  # M' Omega M
    # with holes: expected information of the moments, and the derivatives of the moments by the entries
    inner: Array | None = field(default=None, repr=False)
    slopes: Array | None = field(default=None, repr=False)

    @property
    def own(self) -> IntArray:
        """Entries of the model's free parameters."""
        return np.flatnonzero(self.parameter >= 0)

    @property
    def nuisance(self) -> IntArray:
        """Entries of exogenous moments: known from the data, but estimated all the same."""
        return np.flatnonzero(self.parameter == -2)

    @property
    def extra(self) -> IntArray:
        """Entries that the model fixes or does not have."""
        return np.flatnonzero(self.parameter == -1)

    def information(self, first: IntArray, second: IntArray) -> Array:
        """Return a block of the expected information of one observation."""
        s, k = self.structure, self.products
        if self.inner is not None and self.slopes is not None:
            held: Array = self.slopes[:, first].T @ (self.inner @ self.slopes[:, second])
            return held
        ku, kv = k[s.u[first]], k[s.v[first]]
        u, v = s.u[second], s.v[second]
        out: Array = (ku[:, u] * kv[:, v] + ku[:, v] * kv[:, u]) * np.outer(s.w[first], s.w[second])
        if s.meanstructure:
            scale, column = self._mean_scale(), s.mean_column
            out += k[np.ix_(column[first], column[second])] * np.outer(scale[first], scale[second])
        return out

    def information_diagonal(self, entries: IntArray) -> Array:
        """Return diagonal elements of the expected information of one observation."""
        s, k = self.structure, self.products
        if self.inner is not None and self.slopes is not None:
            part = self.slopes[:, entries]
            own: Array = ((self.inner @ part) * part).sum(axis=0)
            return own
        u, v, w = s.u[entries], s.v[entries], s.w[entries]
        out: Array = w * w * (k[u, u] * k[v, v] + k[u, v] ** 2)
        if s.meanstructure:
            column = s.mean_column[entries]
            out = out + k[column, column] * self._mean_scale()[entries] ** 2
        return out

    def _mean_scale(self) -> Array:
        values = np.concatenate([[1.0], self.point.implied.eta_mean])
        return np.where(self.structure.mean_scale < 0, 0.0, values[self.structure.mean_scale])


@dataclass(frozen=True)
class Schur:
    """Directions after the model's own parameters are accounted for, each of shape (c,).

    Attributes
    ----------
    score, variance : arrays
        s and V; V is NaN for a direction that the model cannot tell from its own parameters.
    """

    score: Array
    variance: Array


@dataclass(frozen=True)
class Joint:
    """A few directions together.

    Attributes
    ----------
    score : (c,) array
    variance : (c, c) array
        V with all its covariances.
    known : (c,) bool array
        False for a direction that the model cannot tell from its own parameters.
    follow : (E, c) array
        Change of every entry with a unit step in a direction, the model's own parameters following.
    """

    score: Array
    variance: Array
    known: npt.NDArray[np.bool_]
    follow: Array


def extend(problem: Problem, theta: Array, added: Iterable[tuple[str, str, str]] = ()) -> Extension:
    """Give every fixed parameter and those `added` a place, and evaluate everything at a solution.

    Parameters
    ----------
    problem : Problem
    theta : (q,) array
    added : iterable of (lhs, op, rhs)
        Parameters that are no rows of the table; one whose place in the model's matrices is already taken is left out
        (``a ~ g`` beside ``g =~ a``).

    Raises
    ------
    ModelError
        If the solution has no positive definite covariance matrix.
    """
    table = problem.table
    own = [
        replace(
            r,
            free=1,
            value=theta[r.free - 1] if r.free else problem.fixed[r.name] if r.exo else r.value,
        )
        for r in table.rows
    ]
    parameter = [r.free - 1 if r.free else -2 if r.exo else -1 for r in table.rows]
    new = [Row(lhs, op, rhs, 1, 0.0, None, "", False, False) for lhs, op, rhs in added]
    rows, structure = _compile(problem, [*own, *new])
    taken = _taken(structure, len(own))
    if taken:
        new = [row for i, row in enumerate(new) if i not in taken]
        rows, structure = _compile(problem, [*own, *new])
    values = np.array([float(row.value or 0.0) for row in rows])
    point = evaluate(structure, problem.moments, values)
    if point is None:
        raise ModelError("the covariance matrix implied at the solution is not positive definite")
    score = -0.5 * gradient(structure, problem.moments, point)
    columns = point.implied.columns
    inner: Array | None = None
    slopes: Array | None = None
    if isinstance(point.weight, Casewise):
        assert point.implied.mu is not None
        inner = moment_information(point.weight.sums, point.implied.mu, point.implied.sigma, expected=True)
        slopes = moment_slopes(structure, point.implied)
    return Extension(
        tuple(rows),
        np.array([*parameter, *([-1] * len(new))], dtype=np.intp),
        structure,
        point,
        np.asarray(score),
        columns.T @ point.omega @ columns,
        inner,
        slopes,
    )


def _compile(problem: Problem, rows: Sequence[Row]) -> tuple[list[Row], Structure]:
    numbered = [replace(row, free=i + 1, exo=False) for i, row in enumerate(rows)]
    return numbered, compile_structure(replace(problem.table, rows=tuple(numbered), constraints=()), {})


def _taken(structure: Structure, count: int) -> set[int]:
    """Return which entries from `count` on have the place of an earlier one."""
    symmetric = (structure.matrix == PSI) | (structure.matrix == THETA)
    first = np.where(symmetric, np.minimum(structure.row, structure.col), structure.row)
    second = np.where(symmetric, np.maximum(structure.row, structure.col), structure.col)
    _, kept = np.unique(np.stack([structure.matrix, first, second]), axis=1, return_index=True)
    return set(range(len(first) - count)) - {int(k) - count for k in kept}


def profile(extension: Extension, tangent: Array, entries: IntArray) -> Schur:
    """Account for the model's own parameters in the direction of each of many entries.

    Parameters
    ----------
    extension : Extension
    tangent : (own + nuisance, r) array
        T: the directions the model is free to move in, in its own entries and then the nuisance entries.
    entries : (c,) int array

    Raises
    ------
    ModelError
        If the model's information is singular.
    """
    at, root = _own(extension, tangent)
    variance = np.full(len(entries), np.nan)
    for start in range(0, len(entries), CHUNK):
        part = entries[start : start + CHUNK]
        own = extension.information_diagonal(part)
        explained = solve_triangular(root, (extension.information(part, at) @ tangent).T, lower=True)
        rest = own - np.einsum("rc,rc->c", explained, explained)
        variance[start : start + CHUNK] = np.where(rest > LEAST_SHARE * own, rest, np.nan)
    return Schur(extension.score[entries], variance)


def joint(extension: Extension, tangent: Array, entries: IntArray, directions: Array) -> Joint:
    """Account for the model's own parameters in a few directions together.

    Parameters
    ----------
    extension : Extension
    tangent : (own + nuisance, r) array
    entries : (k,) int array
        Entries that directions are made of; none of them twice.
    directions : (k, c) array

    Raises
    ------
    ModelError
        If the model's information is singular.
    """
    at, root = _own(extension, tangent)
    own = directions.T @ extension.information(entries, entries) @ directions
    explained = solve_triangular(root, tangent.T @ extension.information(at, entries) @ directions, lower=True)
    variance = own - explained.T @ explained
    share = np.diag(variance) / np.where(np.diag(own) > 0, np.diag(own), 1.0)
    follow = np.zeros((len(extension.rows), directions.shape[1]))
    follow[entries] += directions
    follow[at] -= tangent @ solve_triangular(root.T, explained, lower=False)
    return Joint(directions.T @ extension.score[entries], variance, share > LEAST_SHARE, follow)


def _own(extension: Extension, tangent: Array) -> tuple[IntArray, Array]:
    """Return the model's own and nuisance entries, and the Cholesky factor of their information along T."""
    at = np.concatenate([extension.own, extension.nuisance])
    return at, _factor(tangent.T @ extension.information(at, at) @ tangent)


def _factor(information: Array) -> Array:
    """Return the Cholesky factor (lower) of an information matrix.

    Raises
    ------
    ModelError
        If it is singular.
    """
    try:
        # unit diagonal first: parameters have different units
        scale = np.sqrt(np.diag(information))
        out: Array = scale[:, None] * np.linalg.cholesky(information / np.outer(scale, scale))
    except np.linalg.LinAlgError:
        out = np.full_like(information, np.nan)
    if not np.isfinite(out).all():
        raise ModelError(
            "the information matrix is singular: the model is not identified",
            hint="simplify the model before testing what it leaves out",
        )
    return out
