import math
from functools import partial

import numpy as np
import pytest
from numpy.polynomial import polynomial as P
from numpy.random import default_rng

from b2b_sem.simulate.nonnormal import Beta, Gamma, IndependentSums, Infeasible, Polynomials, fleishman, marginal

COR = ((1.0, 0.5, 0.4), (0.5, 1.0, -0.2), (0.4, -0.2, 1.0))


def moments(coefficients):
    """Return the first four moments of a polynomial of a standard normal variable, from those of the normal one."""
    out, power = [], [1.0]
    for _ in range(4):
        power = P.polymul(power, coefficients)
        # E z^k is 1 * 3 * ... * (k - 1) for even k
        out.append(sum(c * math.prod(range(1, k, 2)) for k, c in enumerate(power) if k % 2 == 0))
    return out


def sample_moments(x):
    z = (x - x.mean()) / x.std()
    return (z**3).mean(), (z**4).mean() - 3


@pytest.mark.parametrize(
    ("skew", "kurtosis"), [(0, 0), (1, 2), (-1.5, 3.5), (2, 7), (3, 21), (0, 20), (0, -1.15), (1.75, 3.75)]
)
def test_a_polynomial_has_the_asked_moments(skew, kurtosis):
    part = fleishman(skew, kurtosis)
    np.testing.assert_allclose(
        moments([-part.c, part.b, part.c, part.d]), [0, 1, skew, kurtosis + 3], rtol=0, atol=1e-10
    )
    z = np.array([-2.0, 0.0, 1.5])
    np.testing.assert_allclose(part(z), P.polyval(z, [-part.c, part.b, part.c, part.d]))


def test_published_coefficients():
    # Fleishman (1978), table 1, whose equations were solved to about eight decimals
    part = fleishman(1.75, 3.75)
    assert (part.b, part.c, part.d) == pytest.approx((0.92966052480111, 0.39949667453766, -0.03646699281275), abs=1e-7)


@pytest.mark.parametrize(("skew", "kurtosis"), [(0, -1.2), (2, 4), (3, 13.3), (1, 0)])
def test_moments_beyond_polynomials_are_refused(skew, kurtosis):
    with pytest.raises(Infeasible, match=f"no cubic polynomial of a normal variable has skew {skew}"):
        fleishman(skew, kurtosis)


@pytest.mark.parametrize(("skew", "kurtosis"), [(1, 0.2), (-1, 0.2), (2, 4), (0, -1.2), (0.5, -1), (-2.5, 7)])
def test_a_beta_variable_has_the_asked_moments(skew, kurtosis):
    part = marginal(skew, kurtosis)
    assert isinstance(part, Beta)
    a, b = part.first, part.second
    s = a + b
    assert 2 * (b - a) * math.sqrt(s + 1) / ((s + 2) * math.sqrt(a * b)) == pytest.approx(skew, abs=1e-12)
    excess = 6 * ((a - b) ** 2 * (s + 1) - a * b * (s + 2)) / (a * b * (s + 2) * (s + 3))
    assert excess == pytest.approx(kurtosis, abs=1e-12)
    x = part.draw(np.zeros(200_000), partial(default_rng, 1))
    assert (x.mean(), x.std(), *sample_moments(x)) == pytest.approx((0, 1, skew, kurtosis), abs=0.1)


def test_a_gamma_variable_lies_between_them():
    part = marginal(-4, 24)
    assert part == Gamma(-4)
    x = part.draw(np.zeros(400_000), partial(default_rng, 1))
    assert x.mean() == pytest.approx(0, abs=0.01)
    assert sample_moments(x)[0] == pytest.approx(-4, abs=0.15)
    with pytest.raises(Infeasible):
        marginal(4, 24.5)


def test_polynomials_correlate_as_asked():
    asked = [(2, 7), (-1, 2), (0, -1)]
    found = Polynomials.of(COR, asked)
    for i, x in enumerate(found.parts):
        for j, y in enumerate(found.parts[:i]):
            # E He_k(z1) He_k(z2) = k! rho^k: c is the weight of He_2, d of He_3, b + 3 d of He_1
            rho = found.intermediate[i][j]
            got = (x.b + 3 * x.d) * (y.b + 3 * y.d) * rho + 2 * x.c * y.c * rho**2 + 6 * x.d * y.d * rho**3
            assert got == pytest.approx(COR[i][j], abs=1e-12)


def test_correlations_that_no_polynomials_have_are_refused():
    with pytest.raises(Infeasible, match=r"no polynomials with these moments correlate by -0\.9") as caught:
        Polynomials.of(((1.0, -0.9), (-0.9, 1.0)), [(2, 7), (2, 7)])
    assert caught.value.names == (0, 1)
    # each pair is possible, the three together are not
    near = ((1.0, 0.7, 0.7), (0.7, 1.0, -0.0195), (0.7, -0.0195, 1.0))
    with pytest.raises(Infeasible, match="no normal variables have the intermediate correlations"):
        Polynomials.of(near, [(0, 0), (2, 7), (2, 7)])
    with pytest.raises(Infeasible) as caught:
        Polynomials.of(COR, [(0, 0), (0, -1.5), (0, 0)])
    assert caught.value.names == (1,)


def test_independent_sums_have_the_asked_moments():
    asked = [(1, 2), (-1, 1.5), (0.5, -0.5)]
    found = IndependentSums.of(COR, asked)
    root = np.array(found.root)
    np.testing.assert_allclose(root @ root.T, COR, atol=1e-12)
    np.testing.assert_allclose(root, root.T, atol=1e-12)
    z = default_rng(2).standard_normal((400_000, 3))
    x = np.column_stack(found.draw(z, [partial(default_rng, k) for k in range(3)]))
    np.testing.assert_allclose(np.cov(x, rowvar=False), COR, atol=0.01)
    for column, (skew, kurtosis) in zip(x.T, asked, strict=True):
        assert sample_moments(column) == pytest.approx((skew, kurtosis), abs=0.08)
    with pytest.raises(Infeasible, match="too much skew for so little kurtosis"):
        IndependentSums.of(COR, [(2, 2.3), (2, 2.3), (2, 2.3)])
