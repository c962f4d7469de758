"""The likelihood of latent products against an independent one, and its derivatives against differences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from lms_oracle import Oracle
from scipy import stats

from b2b_sem.analysis.fitted import context_of
from b2b_sem.analysis.structural import fit
from b2b_sem.engine.native.loss import evaluate, gradient, hessian
from b2b_sem.engine.native.mixture import Mixture, make_grid
from b2b_sem.errors import ModelSyntaxError, Unsupported
from b2b_sem.results.fit import FitResult

MEASURED = """
X =~ x1 + x2 + x3
M =~ m1 + m2 + m3
P =~ p1 + p2 + p3
Y =~ y1 + y2 + y3
"""
MODELS = {
    "exogenous": (
        "P ~ X\nY ~ P + X + M + X:M",
        {"P": ["X"], "Y": ["P", "X", "M", "X:M"]},
    ),
    "endogenous": (
        "P ~ X\nY ~ P + M + P:M + X:M",
        {"P": ["X"], "Y": ["P", "M", "X", "P:M", "X:M"]},
    ),
    "quadratic": (
        "P ~ X + M + M:M\nY ~ P + M + P:M",
        {"P": ["X", "M", "M:M"], "Y": ["P", "M", "P:M"]},
    ),
}
ITEMS = {f: [f"{f.lower()}{k}" for k in (1, 2, 3)] for f in "XMPY"}


def draw(n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    m = 0.3 * x + rng.normal(size=n)
    p = 0.5 * x + 0.8 * rng.normal(size=n)
    y = 0.4 * p + 0.2 * m + 0.3 * p * m + 0.7 * rng.normal(size=n)
    columns = {}
    for name, factor in zip("XMPY", (x, m, p, y), strict=True):
        for k, item in enumerate(ITEMS[name]):
            columns[item] = 2.0 + (1.0, 0.8, 1.2)[k] * factor + 0.6 * rng.normal(size=n)
    return pd.DataFrame(columns)


DATA = draw(120, 3)
HOLES = DATA.copy()
HOLES.loc[:30, ["x1", "y2"]] = np.nan
HOLES.loc[20:50, ["m1", "m2", "m3"]] = np.nan
HOLES.loc[45:60, "p1"] = np.nan


def values_of(found) -> dict[str, float]:
    return {f"{r.lhs}{r.op}{r.rhs}": float(r.est) for r in found.parameters.itertuples()}


@pytest.mark.parametrize("name", MODELS)
def test_likelihood_equals_the_oracle(name: str) -> None:
    text, equations = MODELS[name]
    found = fit(MEASURED + text, DATA)
    assert found.ok
    oracle = Oracle(ITEMS, ["M", "X"], equations)
    at = values_of(found)
    if name == "endogenous":
        at.setdefault("Y~X", 0.0)
    assert found.measures["logl"] == pytest.approx(oracle.log_likelihood(at, DATA), abs=2e-6)
    # the oracle tells a wrong value from a right one
    assert abs(oracle.log_likelihood(at | {"Y~M": at["Y~M"] + 0.05}, DATA) - found.measures["logl"]) > 0.01


@pytest.mark.parametrize("distance", [6.5, 9.0])
def test_the_integral_reaches_respondents_who_are_far_out(distance: float) -> None:
    """With skewed factors someone stands where a normal distribution has nobody."""
    text, equations = MODELS["endogenous"]
    data = DATA.copy()
    data.loc[0, ITEMS["M"]] = 2.0 - distance * np.array([1.0, 0.8, 1.2])
    found = fit(MEASURED + text, data)
    assert found.ok
    assert found.warnings == ()
    at = values_of(found)
    at.setdefault("Y~X", 0.0)
    oracle = Oracle(ITEMS, ["M", "X"], equations)
    wide = oracle.each(at, data, 601, 14.0).sum()
    assert found.measures["logl"] == pytest.approx(wide, abs=2e-6)
    # six standard deviations are not enough
    assert abs(oracle.each(at, data, 241, 6.0).sum() - wide) > 1e-4


@pytest.mark.parametrize("name", MODELS)
def test_the_oracle_has_its_maximum_there(name: str) -> None:
    text, equations = MODELS[name]
    found = fit(MEASURED + text, DATA)
    oracle = Oracle(ITEMS, ["M", "X"], equations)
    at = values_of(found)
    table = found.parameters
    for row in table[table["free"] > 0].itertuples():
        key, h = f"{row.lhs}{row.op}{row.rhs}", 1e-4 * row.se
        up = oracle.log_likelihood(at | {key: at[key] + h}, DATA, 61)
        down = oracle.log_likelihood(at | {key: at[key] - h}, DATA, 61)
        # in standard errors: slope * se
        assert abs(up - down) / (2.0 * h) * row.se < 1e-3, key


def test_holes() -> None:
    text, equations = MODELS["endogenous"]
    found = fit(MEASURED + text, HOLES, missing="fiml")
    assert found.ok
    at = values_of(found)
    total = 0.0
    for pattern, rows in HOLES.groupby(HOLES.notna().apply(tuple, axis=1)):
        present = {i for i, seen in zip(HOLES.columns, pattern, strict=True) if seen}
        items = {f: [i for i in members if i in present] for f, members in ITEMS.items()}
        total += Oracle(items, ["M", "X"], equations).log_likelihood(at, rows, 121)
    assert found.measures["logl"] == pytest.approx(total, abs=2e-6)


@pytest.mark.parametrize("data", [DATA, HOLES], ids=["complete", "holes"])
def test_derivatives(data: pd.DataFrame) -> None:
    found = fit(MEASURED + MODELS["endogenous"][0], data, missing="fiml")
    problem = context_of(found).problem
    mixture = problem.moments.weight
    assert isinstance(mixture, Mixture)
    moments = replace(problem.moments, weight=replace(mixture, grid=make_grid(np.zeros(1), np.ones(1), 25)))
    rng = np.random.default_rng(1)
    theta = context_of(found).solution.theta + 0.02 * rng.normal(size=problem.table.nfree)
    point = evaluate(problem.structure, moments, theta)
    slope, bend = gradient(problem.structure, moments, point), hessian(problem.structure, moments, point)
    scores = moments.weight.scores(point)
    np.testing.assert_allclose(-2.0 * scores.sum(axis=0) / len(data), slope, rtol=1e-9, atol=1e-12)
    for k in range(len(theta)):
        step = np.zeros_like(theta)
        step[k] = 1e-5
        above, below = (evaluate(problem.structure, moments, theta + s * step) for s in (1.0, -1.0))
        assert slope[k] == pytest.approx((above.value - below.value) / 2e-5, rel=1e-5, abs=2e-7)
        rows = [gradient(problem.structure, moments, at) for at in (above, below)]
        np.testing.assert_allclose(bend[k], (rows[0] - rows[1]) / 2e-5, rtol=2e-5, atol=2e-6)


def test_without_its_product_the_model_is_linear() -> None:
    found = fit(MEASURED + "P ~ X\nY ~ X + M + 0*X:M", DATA)
    plain = fit(MEASURED + "P ~ X\nY ~ X + M", DATA, meanstructure=True, information="observed")
    assert found.measures["logl"] == pytest.approx(plain.measures["logl"], abs=1e-6)
    both = found.parameters.merge(plain.parameters, on=["lhs", "op", "rhs"])
    np.testing.assert_allclose(both["est_x"], both["est_y"], atol=1e-6)
    np.testing.assert_allclose(both["se_x"], both["se_y"], rtol=1e-5)
    np.testing.assert_allclose(both["std_all_x"], both["std_all_y"], atol=1e-6)


def test_two_dimensions_agree_with_one() -> None:
    """X:M and P:M need M; X:X beside them needs X, too: with X:X fixed at 0 both integrals are the same."""
    one = fit(MEASURED + "P ~ X\nY ~ P + M + P:M", DATA)
    two = fit(MEASURED + "P ~ X\nY ~ P + M + P:M + X + 0*X + 0*X:X", DATA)
    assert two.measures["logl"] == pytest.approx(one.measures["logl"], abs=1e-5)


def test_standardized_by_simulation() -> None:
    found = fit(MEASURED + MODELS["endogenous"][0], DATA)
    at = values_of(found)
    rng = np.random.default_rng(2)
    n = 400_000
    root = np.linalg.cholesky([[at["X~~X"], at["X~~M"]], [at["X~~M"], at["M~~M"]]])
    x, m = root @ rng.normal(size=(2, n))
    p = at["P~X"] * x + np.sqrt(at["P~~P"]) * rng.normal(size=n)
    y = at["Y~P"] * p + at["Y~M"] * m + at["Y~P:M"] * p * m + at["Y~X:M"] * x * m
    y += np.sqrt(at["Y~~Y"]) * rng.normal(size=n)
    std = found.standardized().set_index(["lhs", "op", "rhs"])["est_std"]
    assert std["Y", "~", "P:M"] == pytest.approx(at["Y~P:M"] * p.std() * m.std() / y.std(), rel=0.01)
    assert std["Y", "~", "P"] == pytest.approx(at["Y~P"] * p.std() / y.std(), rel=0.01)
    assert found.r2["Y"] == pytest.approx(1.0 - at["Y~~Y"] / y.var(), abs=0.01)
    implied = found.implied()
    assert implied["mean"]["y2"] == pytest.approx(at["y2~1"] + at["Y=~y2"] * y.mean(), abs=0.02)


def test_labels_and_equations() -> None:
    text = "P ~ X\nY ~ P + M + a*P:M + b*X:M\ngap := a - b"
    free = fit(MEASURED + text, DATA)
    same = fit(MEASURED + text + "\na == b", DATA)
    tied = fit(MEASURED + "P ~ X\nY ~ P + M + a*P:M + a*X:M", DATA)
    assert same.measures["logl"] == pytest.approx(tied.measures["logl"], abs=1e-5)
    assert same.measures["npar"] == tied.measures["npar"] == free.measures["npar"] - 1
    assert free.measures["logl"] > same.measures["logl"]
    row = free.parameters.set_index("lhs").loc["gap"]
    wald = free.wald_test("a == b")
    assert row["z"] ** 2 == pytest.approx(wald.chisq, rel=1e-9)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("Y ~ X + M + X:Q", ModelSyntaxError, "Q"),
        ("Y ~ X + M + X:M + M:X", ModelSyntaxError, "stands twice"),
        ("P ~ Y\nY ~ P + M + P:M", Unsupported, "loops"),
        ("Y ~ X + M + X:Y", ModelSyntaxError, "cannot stand here"),
        ("X:M ~ Y", ModelSyntaxError, "unexpected ':'"),
    ],
)
def test_refused(text: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        fit(MEASURED + text, DATA)


def test_what_supposes_a_linear_model_is_refused() -> None:
    text = MEASURED + "P ~ X\nY ~ P + M + P:M"
    found = fit(text, DATA)
    for call in (
        lambda: found.modification_indices(),
        lambda: found.score_test(),
        lambda: found.indirect_effects(),
        lambda: found.factor_scores("bartlett"),
        lambda: found.residuals("standardized"),
        lambda: fit(text, DATA, ordered=True),
        lambda: fit(text, DATA, interaction="none"),
        lambda: fit(text, DATA, estimator="GLS"),
        lambda: fit(text, DATA, estimator="MLR", information="first.order"),
    ):
        with pytest.raises(Unsupported):
            call()
    assert set(found.residuals("raw")["cov"].columns) == set(DATA.columns)


def test_units_and_errors() -> None:
    text = MEASURED + "P ~ X\nY ~ P + M + P:M"
    one, other = fit(text, DATA, estimator="MLR"), fit(text, 1000.0 * DATA, estimator="MLR")
    np.testing.assert_allclose(one.parameters["std_all"], other.parameters["std_all"], atol=1e-7)
    np.testing.assert_allclose(one.parameters["z"], other.parameters["z"], rtol=1e-5)
    clustered = fit(text, DATA.assign(firm=np.arange(len(DATA))), estimator="MLR", cluster="firm")
    n = len(DATA)  # every row a cluster: only the factor C / (C - 1) remains
    np.testing.assert_allclose(clustered.parameters["se"], one.parameters["se"] * np.sqrt(n / (n - 1)), rtol=1e-8)
    assert FitResult.from_json(one.to_json()).measures["logl"] == one.measures["logl"]


def test_an_observed_moderator_needs_no_distribution() -> None:
    """Given the moderator the answers are normal, with moments of their own for each respondent."""
    rng = np.random.default_rng(7)
    n = 120
    x, z = rng.normal(size=n), rng.exponential(size=n)
    y = 0.5 * x + 0.1 * z + 0.3 * x * z + 0.8 * rng.normal(size=n)
    names = ["x1", "x2", "x3", "y1", "y2", "y3"]
    data = pd.DataFrame({f"{a}{k}": f + 0.7 * rng.normal(size=n) for a, f in (("x", x), ("y", y)) for k in (1, 2, 3)})
    found = fit("X =~ x1 + x2 + x3\nY =~ y1 + y2 + y3\nY ~ X + z + X:z", data.assign(z=z))
    at = values_of(found)
    loadings = np.zeros((6, 2))
    loadings[:3, 0] = [1.0, at["X=~x2"], at["X=~x3"]]
    loadings[3:, 1] = [1.0, at["Y=~y2"], at["Y=~y3"]]
    residual = np.diag([at[f"{i}~~{i}"] for i in names])
    intercept = np.array([at[f"{i}~1"] for i in names])
    total = 0.0
    for row, m in zip(data[names].to_numpy(), z, strict=True):
        slope, var = at["Y~X"] + at["Y~X:z"] * m, at["X~~X"]
        latent = np.array([[var, slope * var], [slope * var, slope**2 * var + at["Y~~Y"]]])
        mean = intercept + loadings @ np.array([0.0, at["Y~z"] * m])
        total += stats.multivariate_normal.logpdf(row, mean, loadings @ latent @ loadings.T + residual)
    assert found.measures["logl"] == pytest.approx(total, abs=2e-6)
