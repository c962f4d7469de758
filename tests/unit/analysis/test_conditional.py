"""Conditional effects: against definitions of the same model, draws, replicates, and what is refused."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs
from b2b_sem.errors import DataError, ModelSyntaxError, Unsupported

# A moves X and the moderator; X acts on Y through V, whose path the moderator changes, too
MODEL = """
V ~ a1*X + a2*M + a3*X:M + a0*A
Y ~ b1*V + b2*M + b3*V:M + c1*X + q*X:X + k*A:B + B
M ~ p*A
X ~ r*A
"""
COLUMNS = {"XM": "X:M", "VM": "V:M", "XX": "X:X", "AB": "A:B"}


@cache
def data() -> pd.DataFrame:
    """Return observed variables and their products."""
    rng = np.random.default_rng(5)
    n = 300
    out = pd.DataFrame({"A": rng.normal(size=n), "B": 1.0 + rng.normal(size=n)})
    out["X"] = 0.5 * out["A"] + rng.normal(size=n)
    out["M"] = 0.3 * out["A"] + rng.normal(size=n) + 2.0
    out["V"] = 0.4 * out["X"] + 0.2 * out["X"] * out["M"] + rng.normal(size=n)
    out["Y"] = 0.3 * out["V"] + 0.2 * out["V"] * out["M"] + 0.1 * out["X"] ** 2 + rng.normal(size=n)
    for name, product in COLUMNS.items():
        a, b = product.split(":")
        out[name] = out[a] * out[b]
    return out


@cache
def fitted(*definitions: str) -> bs.FitResult:
    """Fit the model with products as columns, and definitions."""
    text = MODEL
    for name, product in COLUMNS.items():
        text = text.replace(product, name)
    return bs.fit("\n".join([text, *definitions]), data(), meanstructure=True, engine="native")


def defined(expression: str) -> pd.Series:
    """Return the defined parameter of an expression of labels."""
    rows = fitted(f"d := {expression}").parameters
    return rows[rows["op"] == ":="].iloc[0]


def effects(**options: Any) -> Any:
    """Return conditional effects."""
    given = {"at": [1.0, 3.0], "predictor": "X", "outcome": "Y", "aliases": COLUMNS} | options
    return bs.conditional_effects(fitted(), "V:M", **given)


@pytest.mark.parametrize(
    ("kind", "predictor", "outcome", "at", "held", "expression"),
    [
        ("indirect", "X", "Y", 1.0, {}, "(a1 + a3*1)*(b1 + b3*1)"),
        ("indirect", "X", "Y", 3.0, {}, "(a1 + a3*3)*(b1 + b3*3)"),
        ("direct", "X", "V", 3.0, {}, "a1 + a3*3"),
        ("total", "X", "Y", 3.0, {"X": 0.5}, "c1 + 2*q*0.5 + (a1 + a3*3)*(b1 + b3*3)"),
        ("total", "A", "Y", 1.0, {"X": 0.0, "B": 2.0}, "k*2 + r*c1 + (a0 + r*(a1 + a3*1))*(b1 + b3*1)"),
        ("direct", "V", "Y", 3.0, {}, "b1 + b3*3"),
    ],
)
def test_effects_are_defined_parameters(
    kind: str, predictor: str, outcome: str, at: float, held: dict[str, float], expression: str
) -> None:
    found = effects(predictor=predictor, outcome=outcome, at=[at], held=held).select(kind)
    assert len(found) == 1
    row = defined(expression)
    for column in ("est", "se", "z", "pvalue", "ci_lower", "ci_upper"):
        assert found.iloc[0][column] == pytest.approx(row[column], rel=1e-8), column


def test_a_line_has_an_index_and_a_curve_has_a_contrast() -> None:
    found = effects()
    index = found.index.set_index(["kind", "measure"])
    assert math.isnan(index.loc[("indirect", "index"), "est"])
    row = defined("(a1 + a3*3)*(b1 + b3*3) - (a1 + a3*1)*(b1 + b3*1)")
    for column in ("est", "se", "pvalue"):
        assert index.loc[("indirect", "contrast"), column] == pytest.approx(row[column], rel=1e-8)
    assert any("two stages" in note for note in found.notes)
    own = effects(predictor="V").index.set_index(["kind", "measure"])
    row = defined("b3")
    for column in ("est", "se", "pvalue"):
        assert own.loc[("direct", "index"), column] == pytest.approx(row[column], rel=1e-8)


def test_chains_through_the_moderator_are_left_out() -> None:
    found = effects(predictor="A")
    assert any("pass through M" in note for note in found.notes)
    assert not found.table["path"].str.contains("M").any()
    assert found.held.keys() == {"X", "B"}


def test_only_effects_that_the_moderator_changes() -> None:
    found = effects(predictor=None, outcome=None)
    assert set(found.table["predictor"]) == {"A", "X", "V", "M"}
    assert set(found.table["outcome"]) == {"V", "Y"}
    with pytest.raises(ModelSyntaxError, match="M changes none"):
        effects(predictor="B", outcome=None)


def test_the_moderator_as_predictor_has_indirect_effects_only() -> None:
    found = effects(predictor="M")
    assert set(found.table["kind"]) == {"specific", "indirect"}
    # its own path to V does not depend on M, that of V to Y does
    row = defined("(a2 + a3*0)*(b1 + b3*3)")
    with pytest.raises(AssertionError):
        assert found.table["est"].iloc[-1] == pytest.approx(row["est"])
    mean = float(data()["X"].mean())
    row = defined(f"(a2 + a3*({mean!r}))*(b1 + b3*3)")
    assert found.table["est"].iloc[-1] == pytest.approx(row["est"], rel=1e-8)


def test_monte_carlo_is_near_the_delta_method() -> None:
    delta, drawn = effects(), effects(ci="mc", draws=4000, seed=2)
    np.testing.assert_array_equal(delta.table["est"], drawn.table["est"])
    for end in ("ci_lower", "ci_upper"):
        np.testing.assert_allclose(drawn.table[end], delta.table[end], atol=0.15 * float(delta.table["se"].max()))
    assert (drawn.draws, drawn.seed, drawn.failed) == (4000, 2, 0)
    again = effects(ci="mc", draws=4000, seed=2)
    pd.testing.assert_frame_equal(drawn.table, again.table)
    pd.testing.assert_frame_equal(drawn.index, again.index)


@dataclass(frozen=True)
class Made:
    """Replicates."""

    theta: np.ndarray
    failed: int = 0
    jackknife: np.ndarray | None = None


def test_replicates_are_used_as_they_are() -> None:
    fit = fitted()
    from b2b_sem.analysis.fitted import context_of

    context = context_of(fit)
    rng = np.random.default_rng(8)
    thetas = rng.multivariate_normal(context.solution.theta, context.vcov, size=400)
    thetas[7] = np.nan
    found = effects(ci="percentile", bootstrap=Made(thetas))
    labels = fit.parameters.set_index("label")["free"]

    def column(name: str) -> np.ndarray:
        return thetas[:, labels[name] - 1]

    values = (column("a1") + 3 * column("a3")) * (column("b1") + 3 * column("b3"))
    own = found.select("indirect").iloc[1]
    assert own["se"] == pytest.approx(np.nanstd(values, ddof=1), rel=1e-10)
    low, high = np.nanpercentile(values, [2.5, 97.5])
    assert own["ci_lower"] == pytest.approx(low, abs=0.02)
    assert own["ci_upper"] == pytest.approx(high, abs=0.02)
    assert found.failed == 1
    assert any("1 replicates failed" in note for note in found.notes)
    with pytest.raises(Unsupported, match="jackknife"):
        effects(ci="bca", bootstrap=Made(thetas))
    with pytest.raises(DataError, match="do not belong"):
        effects(ci="percentile", bootstrap=Made(thetas[:, 1:]))


def test_own_bootstrap_and_columns_of_outcomes() -> None:
    text = MODEL
    for name, product in COLUMNS.items():
        text = text.replace(product, name)
    robust = bs.fit(text, data(), estimator="MLR", meanstructure=True, engine="native")
    given = {"at": [1.0, 3.0], "predictor": "X", "outcome": "V", "aliases": COLUMNS}
    delta = bs.conditional_effects(robust, "X:M", **given)
    found = bs.conditional_effects(robust, "X:M", ci="percentile", draws=200, seed=3, **given)
    assert found.draws == 200
    np.testing.assert_allclose(found.table["se"], delta.table["se"], rtol=0.25)
    # X and M are outcomes: the column is no exogenous variable, and normal standard errors are wrong
    plain = bs.conditional_effects(fitted(), "X:M", **given)
    assert abs(plain.table["se"][0] / found.table["se"][0] - 1.0) > 0.25
    assert any("estimator='MLR'" in note for note in plain.notes)
    assert any("estimator='MLR'" in note for note in bs.simple_slopes(fitted(), "X:M", aliases=COLUMNS).notes)
    assert not any("estimator='MLR'" in note for note in delta.notes)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"predictor": "Z"}, ModelSyntaxError, "predictor 'Z'"),
        ({"outcome": "Z"}, ModelSyntaxError, "outcome 'Z'"),
        ({"held": {"Z": 1.0}}, ModelSyntaxError, "'Z' cannot be held"),
        ({"held": {"M": 1.0}}, ModelSyntaxError, "'M' cannot be held"),
        ({"ci": "exact"}, Unsupported, "ci='exact'"),
        ({"ci": "mc", "draws": 3}, DataError, "too few"),
        ({"level": 2.0}, DataError, "confidence level"),
        ({"at": "median"}, DataError, "at='median'"),
        ({"aliases": {}}, ModelSyntaxError, "no product"),
    ],
)
def test_what_is_refused(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        effects(**options)


def test_two_factors_that_both_depend_on_a_predictor() -> None:
    fit = bs.fit("X ~ A\nV ~ A + X\nY ~ X + b*V + e*XV + M + d*VM", data().assign(XV=data()["X"] * data()["V"]))
    aliases = {"XV": "X:V", "VM": "V:M"}
    with pytest.raises(Unsupported, match="both factors of the product X:V"):
        bs.conditional_effects(fit, "V:M", aliases=aliases, predictor="X")
    found = bs.conditional_effects(fit, "V:M", aliases=aliases)
    assert set(found.table["predictor"]) == {"V"}
    assert any("Effects of A are left out" in note for note in found.notes)
    told = bs.conditional_effects(
        fit, "V:M", at=[0.0], aliases=aliases, predictor="X", held={"X": 1.0, "V": 2.0}
    ).select("indirect")
    rows = fit.parameters
    at = {(r.lhs, r.rhs): r.est for r in rows.itertuples() if r.op == "~"}
    assert told["est"].iloc[0] == pytest.approx(at["V", "X"] * (at["Y", "V"] + at["Y", "XV"] * 1.0))


def test_loops_are_refused() -> None:
    fit = bs.fit("V ~ X + Y + A\nY ~ V + B + VM + M", data())
    with pytest.raises(Unsupported, match="loops"):
        bs.conditional_effects(fit, "V:M", aliases={"VM": "V:M"})


def test_a_regression_is_no_model() -> None:
    with pytest.raises(DataError, match="fitted model"):
        bs.conditional_effects("fit", "V:M")  # type: ignore[arg-type]
