"""Latent products in several dimensions, of outcomes, with outliers and holes: against the independent likelihood."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from lms_oracle import Oracle

from b2b_sem.analysis.structural import fit
from b2b_sem.data.incomplete import group_patterns
from b2b_sem.data.observed import observe
from b2b_sem.engine.base import FitOptions
from b2b_sem.engine.native import mixture_rows
from b2b_sem.engine.native.loss import evaluate, gradient, hessian
from b2b_sem.engine.native.mixture import make_grid
from b2b_sem.engine.product_problem import ProductProblem, prepare_products
from b2b_sem.errors import ModelError
from b2b_sem.spec.partable import build_table
from b2b_sem.spec.product import add_products, linear_part
from b2b_sem.spec.syntax import parse_model

#: Points of the package in each dimension: more than enough for two items of each latent variable.
FINE = 51
ITEMS = {f: [f"{f.lower()}{k}" for k in (1, 2)] for f in "XMABPY"}


def draw(n: int, seed: int, names: str, path: Mapping[str, float], error: float = 0.5) -> pd.DataFrame:
    """Return two items for each latent variable: exogenous ones correlate .3, P and Y follow their terms."""
    rng = np.random.default_rng(seed)
    root = np.linalg.cholesky(np.full((4, 4), 0.3) + 0.7 * np.eye(4))
    values = dict(zip("XMAB", root @ rng.normal(size=(4, n)), strict=True))
    for outcome in "PY":
        total = 0.7 * rng.normal(size=n)
        for name, b in path.items():
            lhs, rhs = name.split("~")
            if lhs == outcome:
                total = total + b * np.prod([values[v] for v in rhs.split(":")], axis=0)
        values[outcome] = total
    columns = {}
    for name in names:
        for k, item in enumerate(ITEMS[name]):
            columns[item] = 3.0 + (1.0, 0.8)[k] * values[name] + error * rng.normal(size=n)
    return pd.DataFrame(columns)


def measured(names: str) -> str:
    return "".join(f"{f} =~ {' + '.join(ITEMS[f])}\n" for f in names)


def values_of(found) -> dict[str, float]:
    return {f"{r.lhs}{r.op}{r.rhs}": float(r.est) for r in found.parameters.itertuples()}


CASES = {
    "two products without a common factor": (
        "Y ~ X + M + A + B + X:M + A:B",
        {"Y": ["X", "M", "A", "B", "X:M", "A:B"]},
        ("X", "A", "M", "B"),
        ("X", "A"),
        41,
    ),
    "squares and a product": (
        "Y ~ X + M + X:X + M:M + X:M",
        {"Y": ["X", "M", "X:X", "M:M", "X:M"]},
        ("X", "M"),
        ("X", "M"),
        49,
    ),
    "the square of an outcome": (
        "P ~ X\nY ~ P + X + P:P",
        {"P": ["X"], "Y": ["P", "X", "P:P"]},
        ("X",),
        ("X", "P"),
        49,
    ),
    "an outcome of a product in a product": (
        "P ~ X + M + X:M\nY ~ P + M + P:M",
        {"P": ["X", "M", "X:M"], "Y": ["P", "M", "P:M"]},
        ("M", "X"),
        ("M",),
        121,
    ),
    "the square of an outcome of a product": (
        "P ~ X + M + X:M\nY ~ P + P:P",
        {"P": ["X", "M", "X:M"], "Y": ["P", "P:P"]},
        ("X", "M"),
        ("X", "M", "P"),
        29,
    ),
}
PATHS = {"Y~X": 0.3, "Y~M": 0.2, "Y~X:M": 0.25, "Y~A:B": -0.2, "P~X": 0.5, "P~X:M": 0.2, "Y~P": 0.4, "Y~P:P": 0.1}


def problem_of(name: str, n: int) -> tuple[str, pd.DataFrame, Oracle, int]:
    text, equations, exogenous, given, count = CASES[name]
    terms = {v for rhs in equations.values() for term in rhs for v in term.split(":")}
    names = "".join(v for v in "XMABPY" if v in terms | set(equations))
    path = {k: b for k, b in PATHS.items() if set(k.replace("~", ":").split(":")) <= set(names)}
    items = {v: ITEMS[v] for v in names}
    return measured(names) + text, draw(n, 5, names, path), Oracle(items, exogenous, equations, given), count


def engine_problem(
    text: str, data: pd.DataFrame, count: int = FINE, missing: str = "listwise"
) -> tuple[ProductProblem, np.ndarray]:
    """Return a problem with points around 0, and the parameters of a model that is near the data."""
    parsed = parse_model(text)
    linear = build_table(linear_part(parsed), meanstructure=True)
    table = add_products(linear, parsed)
    observed = observe(data, table.observed, missing=missing, keep_raw=True)
    problem = prepare_products(table, linear, observed, FitOptions(missing=missing), None)
    theta = np.zeros(table.nfree)
    for row in table.rows:
        if row.free and row.lhs == row.rhs and row.op == "~~":
            theta[row.free - 1] = 0.3 if row.lhs in data.columns else 0.9
        elif row.free:
            name = f"{row.lhs}{row.op}{row.rhs}"
            theta[row.free - 1] = {"=~": 0.8, "~~": 0.3, "~1": 3.0}.get(row.op, PATHS.get(name, 0.1))
    d = len(problem.given)
    return problem.with_grid(make_grid(np.zeros(d), np.full(d, 1.3), count)), theta


@pytest.mark.parametrize("name", CASES)
def test_likelihood_and_gradient(name: str) -> None:
    text, data, oracle, count = problem_of(name, 12 if len(CASES[name][3]) == 3 else 25)
    problem, theta = engine_problem(text, data)
    inner = problem.problem
    rows = [(f"{r.lhs}{r.op}{r.rhs}", r.free - 1) for r in inner.table.rows if r.free]

    def brute(at: np.ndarray) -> float:
        values = {k: float(at[j]) for k, j in rows}
        return float(oracle.each(values, data, count, 6.0 if len(oracle.given) == 3 else 8.0).sum())

    point = evaluate(inner.structure, inner.moments, theta)
    slope = -0.5 * len(data) * gradient(inner.structure, inner.moments, point)
    assert -0.5 * len(data) * point.value == pytest.approx(brute(theta), abs=1e-6)
    products = [(k, j) for k, j in rows if ":" in k]
    for key, j in products[: 1 if len(oracle.given) == 3 else 3]:
        step = np.zeros(len(theta))
        step[j] = 1e-3
        difference = (brute(theta + step) - brute(theta - step)) / 2e-3
        assert slope[j] == pytest.approx(difference, rel=1e-4, abs=1e-4), key
        assert abs(slope[j]) > 1e-3  # it is not the maximum: the comparison can fail


def test_several_dimensions_by_one_call() -> None:
    text, data, oracle, count = problem_of("the square of an outcome", 60)
    found = fit(text, data)
    assert found.converged
    assert found.measures["logl"] == pytest.approx(oracle.log_likelihood(values_of(found), data, count), abs=1e-5)


def curvature(oracle: Oracle, at: dict[str, float], steps: Mapping[str, float], data: pd.DataFrame) -> np.ndarray:
    """Return the second derivatives of log L by central differences."""
    keys = list(steps)

    def value(moves: Sequence[tuple[str, float]]) -> float:
        moved = dict(at)
        for key, by in moves:
            moved[key] += by * steps[key]
        return oracle.log_likelihood(moved, data, 49)

    out = np.empty((len(keys), len(keys)))
    centre = value([])
    for i, a in enumerate(keys):
        out[i, i] = (value([(a, 1.0)]) - 2.0 * centre + value([(a, -1.0)])) / steps[a] ** 2
        for j, b in enumerate(keys[:i]):
            corners = [value([(a, s), (b, t)]) * s * t for s in (1.0, -1.0) for t in (1.0, -1.0)]
            out[i, j] = out[j, i] = sum(corners) / (4.0 * steps[a] * steps[b])
    return out


def test_standard_errors() -> None:
    """Observed information and the sandwich, by differences of the brute-force likelihood."""
    text = "X =~ x1 + x2\nM =~ m1 + m2\nY =~ y1\ny1 ~~ 0.2*y1\nY ~ X + M + X:M + X:X"
    data = draw(90, 8, "XMY", PATHS)[["x1", "x2", "m1", "m2", "y1"]]
    items = {"X": ["x1", "x2"], "M": ["m1", "m2"], "Y": ["y1"]}
    oracle = Oracle(items, ("X", "M"), {"Y": ["X", "M", "X:M", "X:X"]})
    found, robust = fit(text, data), fit(text, data, estimator="MLR")
    at = values_of(found)
    table = found.parameters[found.parameters["free"] > 0]
    keys = [f"{r.lhs}{r.op}{r.rhs}" for r in table.itertuples()]
    steps = {k: 0.005 * se for k, se in zip(keys, table["se"], strict=True)}
    bread = np.linalg.inv(-curvature(oracle, at, steps, data))
    np.testing.assert_allclose(table["se"], np.sqrt(np.diag(bread)), rtol=3e-4)
    scores = np.stack(
        [
            (oracle.each(at | {k: at[k] + h}, data, 49) - oracle.each(at | {k: at[k] - h}, data, 49)) / (2.0 * h)
            for k, h in steps.items()
        ],
        axis=1,
    )
    sandwich = bread @ (scores.T @ scores) @ bread
    ses = robust.parameters.loc[table.index, "se"]
    np.testing.assert_allclose(ses, np.sqrt(np.diag(sandwich)), rtol=4e-4)
    assert np.abs(ses / table["se"] - 1.0).max() > 0.02  # the two are different questions


def test_an_outlier_beyond_six_standard_deviations() -> None:
    fixed = "".join(f"{i} ~~ 0.25*{i}\n" for f in "XMY" for i in ITEMS[f])
    text = measured("XMY") + fixed + "Y ~ X + M + X:M"
    data = draw(100, 3, "XMY", PATHS)
    data.iloc[0, :4] += 16.0
    found = fit(text, data)
    items = {v: ITEMS[v] for v in "XMY"}
    oracle = Oracle(items, ("X", "M"), {"Y": ["X", "M", "X:M"]})
    at = values_of(found)
    assert (data["x1"].iloc[0] - 3.0) / np.sqrt(at["X~~X"]) > 6.0
    total = oracle.each(at, data, 401, 14.0).sum()
    assert found.measures["logl"] == pytest.approx(total, abs=1e-5)


def test_variance_of_an_outcome_of_products() -> None:
    """For normal X and M: var(X M) = var(X) var(M) + cov^2 and var(X^2) = 2 var(X)^2, without other covariances."""
    found = fit(measured("XMY") + "Y ~ X + M + X:M + X:X", draw(150, 4, "XMY", PATHS))
    at = values_of(found)
    a, b, c = at["X~~X"], at["M~~M"], at["X~~M"]
    linear = at["Y~X"] ** 2 * a + at["Y~M"] ** 2 * b + 2.0 * at["Y~X"] * at["Y~M"] * c
    bent = at["Y~X:M"] ** 2 * (a * b + c**2) + 2.0 * at["Y~X:X"] ** 2 * a**2 + 4.0 * at["Y~X:M"] * at["Y~X:X"] * a * c
    assert found.r2["Y"] == pytest.approx(1.0 - at["Y~~Y"] / (linear + bent + at["Y~~Y"]), abs=1e-9)
    mean = at["Y~X:M"] * c + at["Y~X:X"] * a
    assert found.implied()["mean"]["y1"] == pytest.approx(at["y1~1"] + mean, abs=1e-9)


def holes(data: pd.DataFrame, share: float, seed: int) -> pd.DataFrame:
    out = data.mask(np.random.default_rng(seed).random(data.shape) < share)
    return out[out.notna().any(axis=1)].reset_index(drop=True)


def test_patterns_together_and_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of patterns are computed together; each by itself gives the same numbers."""
    data = holes(draw(80, 6, "XMPY", PATHS), 0.25, 1)
    built, theta = engine_problem(measured("XMPY") + "P ~ X\nY ~ P + M + P:M", data, 15, missing="fiml")
    problem, together = built.problem, built.mixture
    assert len(together.cells) == 1
    kinds = {tuple(row) for row in data.notna().to_numpy()}
    assert len(kinds) > 40
    monkeypatch.setattr(mixture_rows, "MANY", 1)
    incomplete = group_patterns(data[list(problem.table.observed)].to_numpy())
    cells = mixture_rows.gather_rows(incomplete, together.center)
    assert len(cells) == len(kinds)
    one, each = (replace(problem.moments, weight=replace(together, cells=c)) for c in (together.cells, cells))
    a, b = (evaluate(problem.structure, m, theta) for m in (one, each))
    assert a.value == pytest.approx(b.value, rel=1e-12)
    for compute in (gradient, hessian):
        x, y = compute(problem.structure, one, a), compute(problem.structure, each, b)
        np.testing.assert_allclose(x, y, rtol=1e-8, atol=1e-9 * np.abs(y).max())
    np.testing.assert_allclose(one.weight.scores(a), each.weight.scores(b), rtol=1e-8, atol=1e-9)


def test_many_patterns_against_the_oracle() -> None:
    data = holes(draw(60, 6, "XMY", PATHS), 0.25, 1)
    found = fit(measured("XMY") + "Y ~ X + M + X:M", data, missing="fiml")
    at = values_of(found)
    total = 0.0
    for pattern, rows in data.groupby(data.notna().apply(tuple, axis=1)):
        present = {i for i, seen in zip(data.columns, pattern, strict=True) if seen}
        items = {f: [i for i in ITEMS[f] if i in present] for f in "XMY"}
        total += Oracle(items, ("X", "M"), {"Y": ["X", "M", "X:M"]}).log_likelihood(at, rows, 121)
    assert found.measures["logl"] == pytest.approx(total, abs=2e-6)


def test_a_vanishing_residual_variance_is_refused() -> None:
    """Without products x1 has a negative residual variance; the way out that the message names is one."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=100)
    y = 0.5 * x + 0.2 * x * x + 0.6 * rng.normal(size=100)
    noise = rng.normal(size=(5, 100)) * np.array([0.01, 1.0, 1.0, 0.5, 0.5])[:, None]
    data = pd.DataFrame((np.array([x, x, x, y, y]) + noise).T, columns=["x1", "x2", "x3", "y1", "y2"])
    text = "X =~ x1 + x2 + x3\nY =~ y1 + y2\nY ~ X"
    plain = fit(text, data).parameters.set_index(["lhs", "op", "rhs"])["est"]
    assert plain["x1", "~~", "x1"] < -0.02
    with pytest.raises(ModelError, match="residual variance of x1 goes to 0") as caught:
        fit(text + " + X:X", data)
    assert "x1 ~~ 0.0" in caught.value.hint
    found = fit(text + " + X:X\nx1 ~~ 0.05*x1", data)
    assert found.ok
    assert not any("not exact" in w for w in found.warnings)
