"""Rows drawn from moments: data for a population that is lavaan text with raw values, without a survey."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from numpy.random import SeedSequence, default_rng
from numpy.typing import NDArray

from b2b_sem.analysis.montecarlo import Population
from b2b_sem.errors import DataError, did_you_mean, whole_number
from b2b_sem.simulate.nonnormal import IndependentSums, Infeasible, Polynomials
from b2b_sem.simulate.uneven import correlated

if TYPE_CHECKING:
    from b2b_sem.simulate.structure import Matrix

__all__ = ["RowDraw", "draw_rows", "make_row_draw"]

Array = NDArray[np.float64]
Method = Literal["vale-maurelli", "independent"]
METHODS: Mapping[str, type[Polynomials] | type[IndependentSums]] = {
    "vale-maurelli": Polynomials,
    "independent": IndependentSums,
}


@dataclass(frozen=True)
class RowDraw:
    """How rows of a population are drawn; `parts` is None for normal variables."""

    names: tuple[str, ...]
    mean: tuple[float, ...]
    sd: tuple[float, ...]
    cor: Matrix
    parts: Polynomials | IndependentSums | None

    def draw(self, n: int, seeds: Sequence[SeedSequence]) -> dict[str, Array]:
        """Draw `n` rows for each seed, one sample after another; a sample does not depend on those beside it."""
        p = len(self.names)
        children = [seed.spawn(p + 1) for seed in seeds]
        drawn = [default_rng(own[0]).standard_normal((n, p)) for own in children]
        if isinstance(self.parts, IndependentSums):
            each = [
                self.parts.draw(z, [partial(default_rng, child) for child in own[1:]])
                for z, own in zip(drawn, children, strict=True)
            ]
            columns = [np.concatenate(own) for own in zip(*each, strict=True)]
        else:
            z = np.asfortranarray(np.concatenate(drawn))
            if self.parts is None:
                columns = correlated(self.cor, z)
            else:
                columns = self.parts.draw(correlated(self.parts.intermediate, z))
        every = zip(self.names, self.mean, self.sd, columns, strict=True)
        return {name: mean + sd * x for name, mean, sd, x in every}


def draw_rows(
    truth: Population,
    n: int,
    seed: int,
    *,
    skew: float | Mapping[str, float] = 0.0,
    kurtosis: float | Mapping[str, float] = 0.0,
    method: Method = "vale-maurelli",
) -> pd.DataFrame:
    """Draw rows of observed variables with the means and covariances of a population.

    Parameters
    ----------
    truth : Population
        From :func:`b2b_sem.analysis.montecarlo.population`.
    n : int
        Number of rows.
    seed : int
        The same seed gives the same rows; the first rows do not depend on how many follow.
    skew, kurtosis : float or mapping of str to float
        Skewness and excess kurtosis of all variables, or of those named (the others are normal).
    method : {"vale-maurelli", "independent"}
        Polynomials of correlated normal variables, or sums of independent variables with the symmetric root of the
        correlation matrix. Without skew and kurtosis both draw normal variables.

    Returns
    -------
    DataFrame, shape (n, p)
        Columns as in the population.

    Raises
    ------
    DataError
        If a name is not known, numbers make no sense, or the method does not reach the moments; the message names the
        variables.

    References
    ----------
    Vale & Maurelli (1983), doi:10.1007/BF02293687; Foldnes & Olsson (2016), doi:10.1080/00273171.2015.1133274.
    """
    count, number = whole_number(n, "n", 1), whole_number(seed, "seed", 0)
    return pd.DataFrame(make_row_draw(truth, skew, kurtosis, method).draw(count, [SeedSequence(number)]))


def make_row_draw(
    truth: Population,
    skew: float | Mapping[str, float] = 0.0,
    kurtosis: float | Mapping[str, float] = 0.0,
    method: Method = "vale-maurelli",
) -> RowDraw:
    """Solve for the draws of :func:`draw_rows`, which has the same arguments and errors."""
    if method not in METHODS:
        raise DataError(f"method={method!r} is not available.{did_you_mean(str(method), METHODS)}")
    third, fourth = (_each(given, truth.names, what) for given, what in ((skew, "skew"), (kurtosis, "kurtosis")))
    sd = np.sqrt(np.diag(truth.cov))
    scaled = truth.cov / np.outer(sd, sd)
    p = len(truth.names)
    # the last digits, which may depend on the machine, are cut off
    cor: Matrix = tuple(tuple(1.0 if i == j else round(float(scaled[i, j]), 12) for j in range(p)) for i in range(p))
    parts: Polynomials | IndependentSums | None = None
    if any(third) or any(fourth):
        try:
            parts = METHODS[method].of(cor, list(zip(third, fourth, strict=True)))
        except Infeasible as error:
            names = ", ".join(truth.names[k] for k in error.names)
            raise DataError(
                f"{names}: {error}" if names else str(error),
                hint="ask for more kurtosis or less skew, or take the other method",
            ) from None
    return RowDraw(truth.names, tuple(map(float, truth.mean)), tuple(map(float, sd)), cor, parts)


def _each(given: float | Mapping[str, float], names: tuple[str, ...], what: str) -> list[float]:
    """Return the moment of each variable."""
    if isinstance(given, Mapping):
        for name in given:
            if name not in names:
                raise DataError(f"{what}: the population has no variable '{name}'.{did_you_mean(name, names)}")
        out = [float(given.get(name, 0.0)) for name in names]
    else:
        out = [float(given)] * len(names)
    if not all(map(math.isfinite, out)):
        raise DataError(f"{what} must be finite numbers")
    return out
