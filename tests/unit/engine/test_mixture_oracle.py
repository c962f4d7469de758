"""Latent products in several dimensions, of outcomes, with outliers and holes: against the independent likelihood."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from lms_oracle import Oracle

from b2b_sem.analysis.fitted import context_of
from b2b_sem.analysis.structural import fit
from b2b_sem.engine.native import mixture_rows
from b2b_sem.engine.native.loss import evaluate, gradient, hessian
from b2b_sem.engine.native.mixture import Mixture, make_grid, make_mixture
from b2b_sem.engine.product import prepare_products, solve_products
from b2b_sem.errors import ModelError

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


@pytest.mark.parametrize("name", CASES)
def test_likelihood(name: str) -> None:
    text, data, oracle, count = problem_of(name, 70)
    found = fit(text, data)
    assert found.converged
    assert not any("not exact" in w for w in found.warnings)
    at = values_of(found)
    rough = len(oracle.given) == 3
    # the oracle has fewer points the more dimensions it has: its own error
    assert found.measures["logl"] == pytest.approx(oracle.log_likelihood(at, data, count), abs=2e-3 if rough else 2e-5)
    if rough:
        return
    wrong = {k: v + 0.05 for k, v in at.items() if k.startswith("Y~") and ":" in k}
    assert abs(oracle.log_likelihood(at | wrong, data, count) - found.measures["logl"]) > 0.005
    # and its maximum there
    table = found.parameters[(found.parameters["free"] > 0) & found.parameters["rhs"].str.contains(":")]
    for row in table.itertuples():
        key, h = f"{row.lhs}~{row.rhs}", 1e-3 * row.se
        up, down = (oracle.log_likelihood(at | {key: at[key] + s * h}, data, count) for s in (1.0, -1.0))
        assert abs(up - down) / (2.0 * h) * row.se < 2e-3, key


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
    steps = {k: 0.02 * se for k, se in zip(keys, table["se"], strict=True)}
    bread = np.linalg.inv(-curvature(oracle, at, steps, data))
    np.testing.assert_allclose(table["se"], np.sqrt(np.diag(bread)), rtol=2e-4)
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
    text = measured("XMY") + "Y ~ X + M + X:M"
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
    data = holes(draw(120, 6, "XMPY", PATHS), 0.25, 1)
    found = fit(measured("XMPY") + "P ~ X\nY ~ P + M + P:M + X:X", data, missing="fiml")
    problem = context_of(found).problem
    together = problem.moments.weight
    assert isinstance(together, Mixture)
    assert len(together.cells) == 1
    kinds = {tuple(row) for row in data.notna().to_numpy()}
    assert len(kinds) > 60
    monkeypatch.setattr(mixture_rows, "MANY", 1)
    from b2b_sem.data.incomplete import group_patterns

    incomplete = group_patterns(data[list(problem.table.observed)].to_numpy())
    cells = mixture_rows.gather_rows(incomplete, together.center)
    assert len(cells) == len(kinds)
    grid = make_grid(np.zeros(2), np.ones(2), 9)
    rng = np.random.default_rng(2)
    theta = context_of(found).solution.theta + 0.02 * rng.normal(size=problem.table.nfree)
    one, each = (
        replace(problem.moments, weight=replace(together, grid=grid, cells=c)) for c in (together.cells, cells)
    )
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
    data = draw(150, 9, "XMY", PATHS)
    data["x2"] = data["x1"] + 0.9 * (data["x2"] - data["x1"])
    noise = np.random.default_rng(1).normal(size=150)
    data["x3"], data["m3"] = data["x1"] + 0.8 * noise, data["m1"] + 0.8 * np.roll(noise, 1)
    data["x2"] -= 0.9 * (data["x2"] - data["x3"]) * 0.9
    text = "X =~ x1 + x2 + x3\nM =~ m1 + m2 + m3\nY =~ y1 + y2\nY ~ X + M + X:X + X:M"
    plain = fit(text.replace(" + X:X + X:M", ""), data)
    negative = plain.parameters[(plain.parameters["op"] == "~~") & (plain.parameters["est"] < 0)]
    assert list(negative["lhs"]) == ["x3"] or list(negative["lhs"]) == ["x2"]
    with pytest.raises(ModelError, match=r"residual variance of x\d goes to 0"):
        fit(text, data)


__all__ = ["make_mixture", "prepare_products", "solve_products"]
