import numpy as np
import pytest

import b2b_sem as bs
from b2b_sem.analysis.montecarlo import population
from b2b_sem.errors import DataError
from b2b_sem.simulate.rows import draw_rows

TEXT = """
F =~ 1*x1 + .8*x2 + 1.2*x3
F ~~ 2*F
x1 ~~ .5*x1
x2 ~~ 1*x2
x3 ~~ 3*x3
y ~ .6*F
y ~~ .7*y
x1 ~ 4*1
y ~ -2*1
"""

ROWS = 400_000


def third(x):
    return (((x - x.mean()) / x.std()) ** 3).mean()


def fourth(x):
    return (((x - x.mean()) / x.std()) ** 4).mean() - 3


@pytest.mark.parametrize(
    ("method", "skew", "kurtosis"),
    [
        ("vale-maurelli", 0.0, 0.0),
        ("vale-maurelli", {"x1": 1.5, "y": -1}, {"x1": 4, "y": 2}),
        ("independent", 1.0, 2.0),
    ],
)
def test_rows_have_the_moments_of_a_text_with_raw_values(method, skew, kurtosis):
    truth = population(TEXT)
    rows = draw_rows(truth, ROWS, 3, skew=skew, kurtosis=kurtosis, method=method)
    assert list(rows) == list(truth.names)
    # worked out by hand: var x1 = 2 + .5, cov(x2, x3) = .8 * 1.2 * 2, var y = .36 * 2 + .7, cov(x3, y) = 1.2 * .6 * 2
    cov = rows.cov()
    for (a, b), want in {("x1", "x1"): 2.5, ("x2", "x3"): 1.92, ("y", "y"): 1.42, ("x3", "y"): 1.44}.items():
        assert cov.loc[a, b] == pytest.approx(want, abs=0.03)
    np.testing.assert_allclose(cov, truth.cov, atol=0.05)
    np.testing.assert_allclose(rows.mean(), truth.mean, atol=0.012)
    assert rows["x1"].mean() == pytest.approx(4, abs=0.01)
    for name in rows:
        want = [given.get(name, 0) if isinstance(given, dict) else given for given in (skew, kurtosis)]
        assert third(rows[name]) == pytest.approx(want[0], abs=0.06)
        assert fourth(rows[name]) == pytest.approx(want[1], abs=0.35)


def test_a_fit_finds_the_raw_values():
    rows = draw_rows(population(TEXT), 20_000, 3)
    fit = bs.fit("F =~ x1 + x2 + x3\ny ~ F", rows, engine="native")
    est = fit.parameters.set_index(["lhs", "op", "rhs"])["est"]
    for key, want in {("F", "=~", "x3"): 1.2, ("F", "~~", "F"): 2, ("y", "~", "F"): 0.6, ("x2", "~~", "x2"): 1}.items():
        assert est[key] == pytest.approx(want, abs=0.07)


@pytest.mark.parametrize("method", ["vale-maurelli", "independent"])
def test_the_first_rows_do_not_depend_on_how_many_follow(method):
    truth = population(TEXT)
    few, many = (draw_rows(truth, n, 3, skew=1, kurtosis=0.8, method=method) for n in (5, 200))
    assert few.equals(many.head(5))
    assert not few.equals(draw_rows(truth, 5, 4, skew=1, kurtosis=0.8, method=method))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "n=0 must be a whole number of 1 or more"),
        ({"seed": -1}, "seed=-1 must be a whole number of 0 or more"),
        ({"skew": {"x9": 1}}, "skew: the population has no variable 'x9'"),
        ({"skew": 2, "kurtosis": 4}, "x1: no cubic polynomial"),
        ({"kurtosis": float("nan")}, "kurtosis must be finite numbers"),
        ({"skew": 3, "kurtosis": 7.2, "method": "independent"}, "too much skew for so little kurtosis"),
        ({"method": "copula"}, "method='copula' is not available"),
    ],
)
def test_what_cannot_be_is_refused(arguments, message):
    with pytest.raises(DataError, match=message):
        draw_rows(population(TEXT), **{"n": 10, "seed": 1, **arguments})
