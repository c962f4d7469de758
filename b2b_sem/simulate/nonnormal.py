"""Variables with given correlations, skew and kurtosis.

Two ways: polynomials of correlated normal variables (Vale & Maurelli), and sums of independent variables that are not
normal (Foldnes & Olsson). They agree in moments up to the fourth of each variable, not in how variables depend on each
other: what is robust under one of them need not be so under the other.

References
----------
Fleishman (1978), doi:10.1007/BF02293811; Vale & Maurelli (1983), doi:10.1007/BF02293687; Foldnes & Olsson (2016),
doi:10.1080/00273171.2015.1133274.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from b2b_sem.simulate.population import Matrix, cholesky

__all__ = ["Beta", "Gamma", "IndependentSums", "Infeasible", "Polynomial", "Polynomials", "fleishman", "marginal"]

Array = NDArray[np.float64]

_STEPS = 25
_TOLERANCE = 1e-12


class Infeasible(ValueError):
    """Moments that a method cannot reach; `names` are the places of the variables in question."""

    def __init__(self, message: str, names: Sequence[int] = ()) -> None:
        super().__init__(message)
        self.names = tuple(names)


@dataclass(frozen=True)
class Polynomial:
    """The variable ``b z + c (z^2 - 1) + d z^3`` with z standard normal; mean 0, variance 1."""

    b: float
    c: float
    d: float

    def __call__(self, z: Array) -> Array:
        """Return the values of the polynomial at `z`."""
        return -self.c + z * (self.b + z * (self.c + z * self.d))

    def draw(self, z: Array, stream: Callable[[], Generator]) -> Array:
        """Turn standard normal numbers into draws of this variable."""
        return self(z)


@dataclass(frozen=True)
class Beta:
    """A beta variable, standardized: for little kurtosis, given the skew (Pearson's type I)."""

    first: float
    second: float

    def draw(self, z: Array, stream: Callable[[], Generator]) -> Array:
        """Return as many draws as there are numbers `z`, from a stream of their own."""
        a, b = self.first, self.second
        sd = math.sqrt(a * b / (a + b + 1)) / (a + b)
        return (stream().beta(a, b, len(z)) - a / (a + b)) / sd


@dataclass(frozen=True)
class Gamma:
    """A gamma variable, standardized; its kurtosis is 1.5 times its squared skew."""

    skew: float

    def draw(self, z: Array, stream: Callable[[], Generator]) -> Array:
        """Return as many draws as there are numbers `z`, from a stream of their own."""
        shape = 4 / self.skew**2
        return math.copysign(1.0, self.skew) * (stream().gamma(shape, 1.0, len(z)) - shape) / math.sqrt(shape)


@lru_cache(maxsize=1024)
def fleishman(skew: float, kurtosis: float) -> Polynomial:
    """Return the polynomial of a standard normal variable that has these moments.

    Solves Fleishman's three equations by Newton's method, in steps from the normal distribution to the asked moments,
    so that of several solutions it is always the one next to the identity.

    Parameters
    ----------
    skew, kurtosis : float
        Third moment and excess of the fourth.

    Returns
    -------
    Polynomial

    Raises
    ------
    Infeasible
        If no polynomial has these moments; for skew 0 the kurtosis must be above -1.15, for skew 1 above .43, for 2
        above 5.15.
    """
    b, c, d = 1.0, 0.0, 0.0
    for step in range(1, _STEPS + 1):
        share = step / _STEPS
        for _ in range(50):
            off = (
                b * b + 6 * b * d + 2 * c * c + 15 * d * d - 1,
                2 * c * (b * b + 24 * b * d + 105 * d * d + 2) - share * skew,
                24 * (b * d + c * c * (1 + b * b + 28 * b * d) + d * d * (12 + 48 * b * d + 141 * c * c + 225 * d * d))
                - share * kurtosis,
            )
            if max(map(abs, off)) < _TOLERANCE:
                break
            slopes = (
                (2 * b + 6 * d, 4 * c, 6 * b + 30 * d),
                (
                    2 * c * (2 * b + 24 * d),
                    2 * (b * b + 24 * b * d + 105 * d * d + 2),
                    2 * c * (24 * b + 210 * d),
                ),
                (
                    24 * (d + c * c * (2 * b + 28 * d) + 48 * d**3),
                    24 * (2 * c * (1 + b * b + 28 * b * d) + 282 * c * d * d),
                    24 * (b + 28 * b * c * c + 24 * d + 144 * b * d * d + 282 * c * c * d + 900 * d**3),
                ),
            )
            move = _solve3(slopes, off)
            if move is None or max(map(abs, move)) > 2:
                raise _beyond(skew, kurtosis)
            b, c, d = b - move[0], c - move[1], d - move[2]
        else:
            raise _beyond(skew, kurtosis)
    if b <= 0:
        raise _beyond(skew, kurtosis)
    return Polynomial(b, c, d)


def _beyond(skew: float, kurtosis: float) -> Infeasible:
    return Infeasible(
        f"no cubic polynomial of a normal variable has skew {skew:.3g} and excess kurtosis {kurtosis:.3g}"
    )


def _solve3(m: tuple[tuple[float, float, float], ...], y: tuple[float, float, float]) -> list[float] | None:
    """Return the solution of three linear equations by Cramer's rule, or None if there is not one."""

    def det(p: Sequence[Sequence[float]]) -> float:
        return (
            p[0][0] * (p[1][1] * p[2][2] - p[1][2] * p[2][1])
            - p[0][1] * (p[1][0] * p[2][2] - p[1][2] * p[2][0])
            + p[0][2] * (p[1][0] * p[2][1] - p[1][1] * p[2][0])
        )

    whole = det(m)
    if abs(whole) < 1e-10:
        return None
    return [det([[y[i] if j == k else m[i][j] for j in range(3)] for i in range(3)]) / whole for k in range(3)]


def marginal(skew: float, kurtosis: float) -> Polynomial | Beta | Gamma:
    """Return a variable with these moments: a polynomial where there is one, else beta or gamma.

    Raises
    ------
    Infeasible
        Where none of the three has them: kurtosis not above skew^2 - 2, and a narrow strip above 1.5 skew^2 for skews
        beyond about 3.
    """
    try:
        return fleishman(skew, kurtosis)
    except Infeasible:
        square = skew * skew
        gap = 1.5 * square - kurtosis
        if abs(gap) < 1e-9 and square > 0:
            return Gamma(skew)
        if gap < 0 or kurtosis <= square - 2:
            raise
        # moments of a beta variable solved for a + b, then for a and b: with skew = 2 (b - a) sqrt(a + b + 1) /
        # ((a + b + 2) sqrt(ab))
        total = 6 * (kurtosis - square + 2) / (3 * square - 2 * kurtosis)
        lean = (total + 2) ** 2 * square
        apart = math.sqrt(lean / (lean + 16 * (total + 1))) * math.copysign(1.0, skew)
        return Beta(total * (1 - apart) / 2, total * (1 + apart) / 2)


@lru_cache(maxsize=65536)
def _intermediate(x: Polynomial, y: Polynomial, r: float) -> float | None:
    """Return the correlation of two normal variables whose polynomials `x` and `y` correlate by `r`; None if none."""
    first = x.b * y.b + 3 * x.b * y.d + 3 * x.d * y.b + 9 * x.d * y.d
    second, third = 2 * x.c * y.c, 6 * x.d * y.d
    if r == 0:
        return 0.0

    def off(rho: float) -> float:
        return rho * (first + rho * (second + rho * third)) - r

    # from 0 to the end on the side of r, where off changes its sign
    low, high = 0.0, math.copysign(1.0, r)
    if off(high) * r < 0:
        return None
    for _ in range(80):
        middle = (low + high) / 2
        if off(middle) * r < 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2


@dataclass(frozen=True)
class Polynomials:
    """Variables by the method of Vale & Maurelli.

    Attributes
    ----------
    parts : tuple of Polynomial
        One a variable.
    intermediate : Matrix
        Correlations of the normal variables behind them.
    """

    parts: tuple[Polynomial, ...]
    intermediate: Matrix

    @classmethod
    def of(cls, cor: Matrix, moments: Sequence[tuple[float, float]]) -> Polynomials:
        """Solve for polynomials and intermediate correlations.

        Parameters
        ----------
        cor : Matrix
            Correlations that the variables shall have.
        moments : sequence of (float, float)
            Skew and excess kurtosis of each.

        Raises
        ------
        Infeasible
            If a variable, a pair or all together cannot be made in this way.
        """
        parts = []
        for k, (skew, kurtosis) in enumerate(moments):
            try:
                parts.append(fleishman(skew, kurtosis))
            except Infeasible as error:
                raise Infeasible(str(error), (k,)) from None
        out = [[1.0] * len(parts) for _ in parts]
        for i, x in enumerate(parts):
            for j in range(i):
                rho = _intermediate(x, parts[j], cor[i][j])
                if rho is None:
                    raise Infeasible(f"no polynomials with these moments correlate by {cor[i][j]:.3g}", (j, i))
                out[i][j] = out[j][i] = rho
        if cholesky(out) is None:
            raise Infeasible("no normal variables have the intermediate correlations that these moments need")
        return cls(tuple(parts), tuple(tuple(row) for row in out))

    def draw(self, normal: Sequence[Array]) -> list[Array]:
        """Turn normal variables with the intermediate correlations into variables with the asked moments."""
        return [part(z) for part, z in zip(self.parts, normal, strict=True)]


@dataclass(frozen=True)
class IndependentSums:
    """Variables by an independent generator: x = A u with A the symmetric root of their correlation matrix.

    The skews g of the independent u solve ``A^(3) g = skew(x)``, their kurtoses k ``A^(4) k = kurtosis(x)``, the powers
    being those of each entry.
    """

    root: Matrix
    parts: tuple[Polynomial | Beta | Gamma, ...]

    @classmethod
    def of(cls, cor: Matrix, moments: Sequence[tuple[float, float]]) -> IndependentSums:
        """Solve for the moments of the independent parts; arguments as of :meth:`Polynomials.of`."""
        values, vectors = np.linalg.eigh(np.array(cor))
        root = (vectors * np.sqrt(values)) @ vectors.T
        try:
            skews = np.linalg.solve(root**3, [skew for skew, _ in moments])
            kurtoses = np.linalg.solve(root**4, [kurtosis for _, kurtosis in moments])
        except np.linalg.LinAlgError:
            raise Infeasible("the moments of the independent parts cannot be solved for") from None
        parts = []
        for k, (skew, kurtosis) in enumerate(zip(skews, kurtoses, strict=True)):
            try:
                # digits that depend on the machine are cut off
                parts.append(marginal(round(float(skew), 10) + 0.0, round(float(kurtosis), 10) + 0.0))
            except Infeasible:
                raise Infeasible(
                    f"an independent part would need skew {skew:.3g} and excess kurtosis {kurtosis:.3g}, which is too "
                    "much skew for so little kurtosis",
                    (k,),
                ) from None
        return cls(tuple(tuple(float(v) for v in row) for row in root), tuple(parts))

    def draw(self, z: Array, streams: Sequence[Callable[[], Generator]]) -> list[Array]:
        """Turn independent standard normal columns into the variables; other parts than polynomials use `streams`."""
        own = [part.draw(z[:, k], streams[k]) for k, part in enumerate(self.parts)]
        out = []
        for row in self.root:
            total = np.zeros(len(z))
            for weight, part in zip(row, own, strict=True):
                total += weight * part
            out.append(total)
        return out
