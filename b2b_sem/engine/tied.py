"""Score tests of parameters that are equal within one model: what giving each place one of its own would change.

A parameter that stands in W places (an item asked in W waves) is split into W. With s and V the scores of all places
but one and their information, the model's own parameters accounted for, T = N s' V^-1 s is chi-square with W - 1
degrees of freedom if the parameter is equal (Rao 1948; Sorbom 1989, doi:10.1007/BF02294623): what
``lavaan::lavTestScore`` finds when it releases the equalities of the parameter together. It rests on normal theory and
the expected information, also where the fit has robust errors, as there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from b2b_sem.engine.base import Array
from b2b_sem.engine.extension import LEAST_SHARE, Extension, joint
from b2b_sem.measures.fit import chisq_pvalue

__all__ = ["Split", "tied_tests"]


@dataclass(frozen=True)
class Split:
    """The test of one shared parameter; chisq and pvalue are NaN where the model needs the equality."""

    chisq: float
    df: int
    pvalue: float


def tied_tests(extension: Extension, tangent: Array, nobs: int, places: Sequence[Sequence[str]]) -> list[Split]:
    """Test parameters that stand in several places of a model of one group, fitted by maximum likelihood.

    Parameters
    ----------
    extension : Extension
        The model at its estimates.
    tangent : (own + nuisance, r) array
        Directions the model is free to move in.
    nobs : int
    places : sequence of sequences of str
        Names of the rows of each shared parameter.

    Raises
    ------
    ModelError
        If the model's information is singular.
    """
    if not places:
        return []
    at = {row.name: i for i, row in enumerate(extension.rows)}
    rows = [[at[name] for name in names[1:]] for names in places]
    entries = np.array([i for part in rows for i in part], dtype=np.intp)
    found = joint(extension, tangent, entries, np.eye(len(entries)))
    scale = np.sqrt(extension.information_diagonal(entries))
    out, start = [], 0
    for part in rows:
        use = slice(start, start + len(part))
        start += len(part)
        left = found.variance[use, use] / np.outer(scale[use], scale[use])
        if np.linalg.eigvalsh(left)[0] < LEAST_SHARE:
            out.append(Split(float("nan"), len(part), float("nan")))
            continue
        z = found.score[use] / scale[use]
        chisq = nobs * float(z @ np.linalg.solve(left, z))
        out.append(Split(chisq, len(part), chisq_pvalue(chisq, len(part))))
    return out
