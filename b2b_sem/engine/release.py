"""Score tests of equality across groups: what giving each group a parameter of its own would change.

At the solution of the restricted model a parameter that all G groups share is split into G. With s_g = -w_g dF_g / 2
the slope of the part of group g > 1 (all parts sum to zero), c_g = w_g I_g its information with the joint parameters
and d_g = w_g I_g its own,

    T = N s' (D - C I^-1 C')^-1 s

is chi-square with G - 1 degrees of freedom if the parameter is equal (Rao 1948; Sorbom 1989,
doi:10.1007/BF02294623). For two groups it is the univariate test of ``lavaan::lavTestScore``. It rests on normal theory
and the expected information, also where the fit has robust errors, as there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from b2b_sem.data.observed import Observed
from b2b_sem.engine.base import Array
from b2b_sem.engine.group import GroupProblem, solution_at
from b2b_sem.engine.native.information import invert_information
from b2b_sem.engine.native.loss import gradient
from b2b_sem.errors import Unsupported
from b2b_sem.measures.fit import chisq_pvalue
from b2b_sem.spec.partable import Row

__all__ = ["Release", "release_tests"]

#: Share of its information that a released parameter must keep; below it the model would not be identified.
LEAST_SHARE = 1e-9


@dataclass(frozen=True)
class Release:
    """The test of one shared parameter.

    Attributes
    ----------
    row : Row
        That of the first group.
    chisq, pvalue : float
        NaN if the model is not identified without the equality.
    df : int
        Groups less one.
    """

    row: Row
    chisq: float
    df: int
    pvalue: float


def release_tests(problem: GroupProblem, observed: Observed, theta: Array, op: str, own: bool) -> list[Release]:
    """Test every parameter of one kind that all groups share.

    Parameters
    ----------
    problem : GroupProblem
    observed : Observed
    theta : (q,) array
        The estimates.
    op : str
        Operator of the parameters.
    own : bool
        With ``~~``: variances only.

    Raises
    ------
    Unsupported
        For other estimators than maximum likelihood, and for a model with constraints.
    """
    if problem.options.estimator != "ML" or problem.constraints is not None:
        raise Unsupported(
            "score tests of equality across groups need maximum likelihood without further constraints",
            hint="use estimator='ML', 'MLM' or 'MLR'",
        )
    at = solution_at(problem, observed, theta)
    whole = at.expected
    precision = invert_information(whole, 1, None)
    slopes = [
        -0.5 * w * own_at.unit * gradient(part.structure, part.moments, own_at.point)
        for part, own_at, w in zip(problem.parts, at.parts, at.shares, strict=True)
    ]
    numbers: list[set[int]] = [{r.free for r in problem.table.rows if r.group == g} for g in _groups(problem)]
    shared = set.intersection(*numbers) - {0}
    out = []
    for row in problem.table.rows:
        if row.group != 1 or row.op != op or row.free not in shared or (own and row.lhs != row.rhs):
            continue
        g = len(problem.parts) - 1
        score, variance, cross = np.zeros(g), np.zeros(g), np.zeros((g, problem.table.nfree))
        for k in range(g):
            place, weight = problem.places[k + 1], at.shares[k + 1]
            local = int(np.flatnonzero(place == row.free - 1)[0])
            information = weight * at.parts[k + 1].expected[local]
            score[k], variance[k] = slopes[k + 1][local], information[local]
            cross[k, place] = information
        left = np.diag(variance) - cross @ precision.vcov @ cross.T
        scale = np.sqrt(variance)
        reduced = left / np.outer(scale, scale)
        if not precision.identified or np.linalg.eigvalsh(reduced)[0] < LEAST_SHARE:
            out.append(Release(row, float("nan"), g, float("nan")))
            continue
        z = score / scale
        chisq = problem.nobs * float(z @ np.linalg.solve(reduced, z))
        out.append(Release(row, chisq, g, chisq_pvalue(chisq, g)))
    return out


def _groups(problem: GroupProblem) -> range:
    return range(1, len(problem.parts) + 1)
