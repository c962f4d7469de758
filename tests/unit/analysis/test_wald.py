"""Wald tests: one restriction is a squared z value, several are independent of how they are written."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs

MODEL = "m ~ a*x\ny ~ b*m + c*x + 0.5*w\nw ~~ k*w\nind := a*b\n"


@pytest.fixture(scope="module")
def fit() -> bs.FitResult:
    rng = np.random.default_rng(4)
    x, w = rng.normal(size=(2, 300))
    m = 0.4 * x + rng.normal(size=300)
    y = 0.5 * m + 0.1 * x + 0.5 * w + rng.normal(size=300)
    return bs.fit(MODEL, pd.DataFrame({"x": x, "m": m, "y": y, "w": w}), engine="native")


def z(fit: bs.FitResult, label: str) -> float:
    table = fit.parameters
    return float(table.loc[table.label == label, "z"].iloc[0])


@pytest.mark.parametrize("label", ["a", "b", "c", "ind"])
def test_one_restriction_is_z_squared(fit: bs.FitResult, label: str) -> None:
    test = fit.wald_test(f"{label} == 0")
    assert test.df == 1
    assert test.chisq == pytest.approx(z(fit, label) ** 2, rel=1e-12)
    assert test.restrictions == (f"{label} == 0",)


def test_the_form_of_linear_restrictions_does_not_matter(fit: bs.FitResult) -> None:
    one = fit.wald_test("a == b; b == c")
    other = fit.wald_test("2*a == b + c\n3*c == a + b + c")
    assert one.chisq == pytest.approx(other.chisq, rel=1e-10)
    assert one.df == other.df == 2
    assert "Wald test" in one.summary()
    assert one.to_json()["df"] == 2


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("a == b; 2*a == 2*b", bs.ModelError, "not independent.*a == b; 2"),
        ("a == bb", bs.ModelSyntaxError, "'bb' is not a label of the model.*'b'"),
        ("a := b", bs.ModelSyntaxError, "takes restrictions"),
        ("y ~ x", bs.ModelSyntaxError, "takes restrictions"),
        ("a == a", bs.ModelError, "no uncertainty"),
        ("log(a - 10) == 0", bs.ModelError, "no value"),
        ("", bs.ModelSyntaxError, "empty"),
    ],
)
def test_wrong_restrictions_are_refused(fit: bs.FitResult, text: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        fit.wald_test(text)
