"""The quasi-likelihood of latent products against an independent one, and its derivatives against differences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from qml_oracle import QuasiOracle
from scipy import stats

from b2b_sem.analysis.compare import compare
from b2b_sem.analysis.fitted import context_of
from b2b_sem.analysis.structural import fit
from b2b_sem.engine.native.loss import evaluate, gradient, hessian
from b2b_sem.engine.native.quasi import Quasi
from b2b_sem.engine.native.quasi_piece import make_matrices, make_pieces
from b2b_sem.engine.quasi import transformed_variables
from b2b_sem.errors import DataError, Unsupported
from b2b_sem.results.fit import FitResult
from b2b_sem.spec.partable import build_table
from b2b_sem.spec.product import add_products, linear_part
from b2b_sem.spec.syntax import parse_model

ITEMS = {f: [f"{f.lower()}{k}" for k in (1, 2, 3)] for f in "XMPYW"}
MEASURED = "\n".join(f"{f} =~ {' + '.join(items)}" for f, items in ITEMS.items()) + "\n"
#: text, equations of the oracle, variables whose items are transformed
MODELS = {
    "exogenous": ("Y ~ X + M + X:M", {"Y": ["X", "M", "X:M"]}, ["Y"], "XMY"),
    "quadratic": ("Y ~ X + M + X:X + M:M + X:M", {"Y": ["X", "M", "X:X", "M:M", "X:M"]}, ["Y"], "XMY"),
    "endogenous": (
        "P ~ X + M\nY ~ P + M + P:M",
        {"P": ["X", "M"], "Y": ["P", "M", "P:M"]},
        ["Y"],
        "XMPY",
    ),
    "downstream": (
        "P ~ X\nY ~ P + M + P:M\nW ~ Y + P",
        {"P": ["X"], "Y": ["P", "M", "P:M"], "W": ["Y", "P"]},
        ["Y", "W"],
        "XMPYW",
    ),
    "two outcomes": (
        "P ~ X + M + X:M\nY ~ P + M + X + X:M + M:M",
        {"P": ["X", "M", "X:M"], "Y": ["P", "M", "X", "X:M", "M:M"]},
        ["P", "Y"],
        "XMPY",
    ),
    "linear beside": (
        "P ~ X\nY ~ P + M + X + X:M",
        {"P": ["X"], "Y": ["P", "M", "X", "X:M"]},
        ["P", "Y"],
        "XMPY",
    ),
}


def draw(n: int, seed: int, strength: float = 0.35) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    m = 0.3 * x + rng.normal(size=n)
    p = 0.5 * x + 0.1 * x * m + 0.8 * rng.normal(size=n)
    y = 0.4 * p + 0.2 * m + strength * p * m + 0.7 * rng.normal(size=n)
    w = 0.6 * y + 0.2 * p + 0.6 * rng.normal(size=n)
    columns = {}
    for name, factor in zip("XMPYW", (x, m, p, y, w), strict=True):
        for k, item in enumerate(ITEMS[name]):
            columns[item] = 2.0 + (1.0, 0.8, 1.2)[k] * factor + 0.6 * rng.normal(size=n)
    return pd.DataFrame(columns)


DATA = draw(120, 3)
SOME = DATA.iloc[:12]
HOLES = DATA.copy()
HOLES.loc[:30, ["x1", "y2"]] = np.nan
HOLES.loc[20:50, ["m1", "m2", "m3"]] = np.nan
HOLES.loc[45:60, "p1"] = np.nan
HOLES.loc[70:80, "y1"] = np.nan
HOLES.loc[85:90, ["y1", "y2", "y3"]] = np.nan


def measured(factors: str) -> str:
    return "\n".join(line for line in MEASURED.splitlines() if line[0] in factors) + "\n"


def case(name: str) -> tuple[str, QuasiOracle]:
    text, equations, transformed, factors = MODELS[name]
    items = {f: ITEMS[f] for f in factors}
    return measured(factors) + text, QuasiOracle(items, ["X", "M"], equations, transformed)


def values_of(found) -> dict[str, float]:
    return {f"{r.lhs}{r.op}{r.rhs}": float(r.est) for r in found.parameters.itertuples()}


@pytest.mark.parametrize("name", MODELS)
def test_likelihood_equals_the_oracle(name: str) -> None:
    text, oracle = case(name)
    found = fit(text, DATA, interaction="qml")
    assert found.ok
    at = values_of(found)
    context = context_of(found)
    assert list(transformed_variables(context.problem.table)) == sorted(oracle.transformed, key="XMPYW".index)
    assert found.measures["logl"] == pytest.approx(oracle.log_likelihood(at, DATA), abs=1e-8)
    assert found.measures["aic"] == pytest.approx(-2 * found.measures["logl"] + 2 * found.measures["npar"])
    # the oracle tells a wrong value from a right one
    product = next(key for key in at if ":" in key)
    assert abs(oracle.log_likelihood(at | {product: at[product] + 0.05}, DATA) - found.measures["logl"]) > 0.01


def test_other_models_equal_the_oracle() -> None:
    """Latent means, residual covariances within and across, an item of two outcomes, correlated residuals."""
    text, oracle = case("downstream")
    text += "\nX ~ 1\nx1 ~ 0*1\nM ~ 1\nm1 ~ 0*1\ny2 ~~ y3\nx2 ~~ y1\nm3 ~~ w1\nW =~ y3\nP ~~ M"
    found = fit(text, DATA, interaction="qml")
    items = dict(oracle.items) | {"W": [*ITEMS["W"], "y3"]}
    at = values_of(found)
    assert at["X~1"] > 1.0
    wide = replace(oracle, items=items)
    assert found.measures["logl"] == pytest.approx(wide.log_likelihood(at, DATA), abs=1e-8)
    assert abs(wide.log_likelihood(at | {"x2~~y1": at["x2~~y1"] + 0.05}, DATA) - found.measures["logl"]) > 1e-3


def test_covariates_taken_as_fixed() -> None:
    rng = np.random.default_rng(8)
    data = DATA.assign(age=3.0 + DATA["y1"] - DATA["p1"] + rng.normal(size=len(DATA)))
    text, oracle = case("exogenous")
    found = fit(text.replace("Y ~ X", "Y ~ age + X"), data, interaction="qml")
    wide = replace(
        oracle,
        items={"A": ["age"], **oracle.items},
        exogenous=["X", "M", "A"],
        equations={"Y": ["X", "M", "A", "X:M"]},
    )
    mean, variance = data["age"].mean(), data["age"].var(ddof=0)
    at = values_of(found)
    at |= {"Y~A": at["Y~age"], "A~1": mean, "A~~A": variance, "age~1": 0.0, "age~~age": 0.0}
    own = stats.norm.logpdf(data["age"], mean, np.sqrt(variance)).sum()
    assert found.measures["logl"] == pytest.approx(wide.log_likelihood(at, data) - own, abs=1e-7)


@pytest.mark.parametrize("name", ["endogenous", "downstream"])
def test_the_oracle_has_its_maximum_there(name: str) -> None:
    text, oracle = case(name)
    found = fit(text, DATA, interaction="qml")
    at = values_of(found)
    rows = found.parameters
    for row in rows[(rows["free"] > 0) & (rows["op"] == "~")].itertuples():
        key, h = f"{row.lhs}{row.op}{row.rhs}", 1e-3 * row.se
        up, down = (oracle.log_likelihood(at | {key: at[key] + sign * h}, DATA) for sign in (1.0, -1.0))
        # in standard errors: slope * se
        assert abs(up - down) / (2.0 * h) * row.se < 1e-4, key


def test_holes() -> None:
    """Each pattern has its own transformation: the first item present scales."""
    text, oracle = case("downstream")
    found = fit(text, HOLES, missing="fiml", interaction="qml")
    assert found.ok
    at = values_of(found)
    total = 0.0
    for pattern, rows in HOLES.groupby(HOLES.notna().apply(tuple, axis=1)):
        present = {i for i, seen in zip(HOLES.columns, pattern, strict=True) if seen}
        items = {f: [i for i in members if i in present] for f, members in oracle.items.items()}
        # the oracle divides by the loading of the first item
        own = replace(oracle, items=items, transformed=[v for v in oracle.transformed if items[v]])
        total += own.log_likelihood(at, rows)
    assert found.measures["logl"] == pytest.approx(total, abs=1e-8)


@pytest.mark.parametrize("data", [DATA, HOLES], ids=["complete", "holes"])
@pytest.mark.parametrize("name", ["downstream", "two outcomes"])
def test_derivatives(name: str, data: pd.DataFrame) -> None:
    found = fit(case(name)[0], data, missing="fiml", interaction="qml")
    problem = context_of(found).problem
    structure, moments = problem.structure, problem.moments
    assert isinstance(moments.weight, Quasi)
    rng = np.random.default_rng(1)
    theta = context_of(found).solution.theta + 0.02 * rng.normal(size=problem.table.nfree)
    point = evaluate(structure, moments, theta)
    slope, bend = gradient(structure, moments, point), hessian(structure, moments, point)
    # scores come from complex steps, the gradient from the way back
    scores = moments.weight.scores(point)
    np.testing.assert_allclose(-2.0 * scores.sum(axis=0) / len(data), slope, rtol=1e-9, atol=1e-12)
    for k in range(len(theta)):
        step = np.zeros_like(theta)
        step[k] = 1e-5
        above, below = (evaluate(structure, moments, theta + s * step) for s in (1.0, -1.0))
        assert slope[k] == pytest.approx((above.value - below.value) / 2e-5, rel=1e-5, abs=2e-7)
        rows = [gradient(structure, moments, at) for at in (above, below)]
        np.testing.assert_allclose(bend[k], (rows[0] - rows[1]) / 2e-5, rtol=2e-5, atol=2e-6)


def test_without_its_product_the_model_is_linear() -> None:
    """Without products nothing is approximate: exact likelihood, observed information."""
    text = measured("XMPY") + "P ~ X\nY ~ P + X + M"
    found = fit(text + " + 0*X:M", DATA, interaction="qml")
    plain = fit(text, DATA, meanstructure=True, information="observed")
    assert found.measures["logl"] == pytest.approx(plain.measures["logl"], abs=1e-7)
    both = found.parameters.merge(plain.parameters, on=["lhs", "op", "rhs"])
    np.testing.assert_allclose(both["est_x"], both["est_y"], atol=1e-6)
    np.testing.assert_allclose(both["se_x"], both["se_y"], rtol=1e-5)
    np.testing.assert_allclose(both["std_all_x"], both["std_all_y"], atol=1e-6)


def test_moments_and_standardized_values_are_those_of_lms() -> None:
    """Both describe the same model: at the same values all moments are the same, here in closed form."""
    text, _ = case("downstream")
    quasi = fit(text, DATA, interaction="qml")
    mixture = context_of(fit(text, DATA)).problem.moments.weight
    theta = context_of(quasi).solution.theta
    one = context_of(quasi).problem.moments.weight.whole_moments(theta)
    other = mixture.whole_moments(theta)
    np.testing.assert_allclose(one.eta_cov, other.eta_cov, atol=1e-6)
    np.testing.assert_allclose(one.eta_mean, other.eta_mean, atol=1e-6)
    np.testing.assert_allclose(one.sigma, other.sigma, atol=1e-6)
    np.testing.assert_allclose(one.mu, other.mu, atol=1e-6)
    at = values_of(quasi)
    std = quasi.standardized().set_index(["lhs", "op", "rhs"])["est_std"]
    sd = dict(zip(context_of(quasi).problem.structure.eta, np.sqrt(np.diag(one.eta_cov)), strict=True))
    assert std["Y", "~", "P:M"] == pytest.approx(at["Y~P:M"] * sd["P"] * sd["M"] / sd["Y"], rel=1e-9)


def test_units_orders_and_errors() -> None:
    text, _ = case("downstream")
    one = fit(text, DATA, estimator="MLR", interaction="qml")
    other = fit(text, 1000.0 * DATA, estimator="MLR", interaction="qml")
    np.testing.assert_allclose(one.parameters["std_all"], other.parameters["std_all"], atol=1e-7)
    np.testing.assert_allclose(one.parameters["z"], other.parameters["z"], rtol=1e-5)
    shuffled = fit(text, DATA.sample(frac=1.0, random_state=1), estimator="MLR", interaction="qml")
    np.testing.assert_allclose(one.parameters["se"], shuffled.parameters["se"], rtol=1e-7)
    clustered = fit(text, DATA.assign(firm=np.arange(len(DATA))), estimator="MLR", cluster="firm", interaction="qml")
    n = len(DATA)  # every row a cluster: only the factor C / (C - 1) remains
    np.testing.assert_allclose(clustered.parameters["se"], one.parameters["se"] * np.sqrt(n / (n - 1)), rtol=1e-8)
    assert FitResult.from_json(one.to_json()).measures["logl"] == one.measures["logl"]


def point_of(context):
    return evaluate(context.problem.structure, context.problem.moments, context.solution.theta)


def test_errors_by_hand() -> None:
    """Observed, first-order and robust standard errors from the oracle's scores and second differences."""
    text, oracle = case("exogenous")
    found = {e: fit(text, DATA, estimator=e, interaction="qml") for e in ("ML", "MLF", "MLR")}
    rows = found["ML"].parameters
    rows = rows[rows["free"] > 0]
    keys, se = [f"{r.lhs}{r.op}{r.rhs}" for r in rows.itertuples()], rows["se"].to_numpy()
    at = values_of(found["ML"])

    def scores(center: dict[str, float]) -> np.ndarray:
        columns = []
        for key, error in zip(keys, se, strict=True):
            h = 1e-3 * error
            up, down = (oracle.row_log_likelihoods(center | {key: center[key] + s * h}, SOME) for s in (1.0, -1.0))
            columns.append((up - down) / (2.0 * h))
        return np.array(columns).T

    product = keys.index("Y~X:M")
    h = 1e-2 * se[product]
    bend = [scores(at | {"Y~X:M": at["Y~X:M"] + s * h}).sum(axis=0) for s in (1.0, -1.0)]
    context = context_of(found["ML"])
    weight, point = context.problem.moments.weight, point_of(context)
    own = weight.scores(point)[: len(SOME)]
    order = [int(k) - 1 for k in rows["free"]]
    theirs = scores(at)
    np.testing.assert_allclose(own[:, order], theirs, rtol=1e-4, atol=1e-4 * np.abs(theirs).max())
    # the row of the Hessian that belongs to the product, of the same rows
    few = context_of(fit(text, pd.concat([SOME] * 10), interaction="qml")).problem
    there = evaluate(few.structure, few.moments, context.solution.theta)
    row = -0.5 * few.nobs * hessian(few.structure, few.moments, there)[order[product]][order] / 10.0
    np.testing.assert_allclose(row, (bend[0] - bend[1]) / (2.0 * h), rtol=1e-3, atol=1e-3 * np.abs(row).max())
    # and what standard errors make of them
    n, everything = len(DATA), weight.scores(point)
    bread = np.linalg.inv(0.5 * n * hessian(context.problem.structure, context.problem.moments, point))
    meat = everything.T @ everything
    for estimator, vcov in (("ML", bread), ("MLF", np.linalg.inv(meat)), ("MLR", bread @ meat @ bread)):
        table = found[estimator].parameters
        table = table[table["free"] > 0]
        np.testing.assert_allclose(table["se"], np.sqrt(np.diag(vcov))[order], rtol=1e-6)


def test_moments_of_scaling_items_by_simulation() -> None:
    """Downstream of a product the conditional variance needs all of (I - B)^-1.

    Residuals of s given t have the stated covariance matrix, on the whole and where the factors are far out. With the
    product's share of the variables downstream left out of the variance, they have not.
    """
    text, _ = case("downstream")
    found = fit(text, draw(400, 5, 0.8), interaction="qml")
    context = context_of(found)
    quasi, theta = context.problem.moments.weight, context.solution.theta
    at = make_matrices(quasi.structure, quasi.products, theta)
    cell = quasi.cells[0]
    g = make_pieces(at, cell, quasi.factors, quasi.pairs, quasi.center)
    rng, n = np.random.default_rng(4), 150_000
    # eta from the reduced form of the linear model, then the product through the equations of what is downstream
    names = list(quasi.structure.eta)
    eta = rng.multivariate_normal(at.eta_mean, at.eta_cov, size=n)
    value = values_of(found)
    share = value["Y~P:M"] * eta[:, names.index("P")] * eta[:, names.index("M")]
    eta[:, names.index("Y")] += share
    eta[:, names.index("W")] += value["W~Y"] * share
    answers = at.tau - quasi.center + eta @ at.lam.T + rng.normal(size=(n, len(at.tau))) * np.sqrt(np.diag(at.theta))
    s = answers[:, cell.scaling] - g.mean_s
    t = answers[:, cell.whole] - g.mean_t - s @ g.ratio.T
    m = g.mean + t @ g.slope.T
    e = s - t @ g.loading.T - g.k0 - np.einsum("sfg,if,ig->is", g.k2, m, m)
    v = g.v0 + np.einsum("sug,ig->isu", g.v1, m) + np.einsum("sugh,ig,ih->isu", g.v2, m, m)
    gap = e[:, :, None] * e[:, None, :] - v
    weights = np.stack([np.ones(n), m[:, 0], m[:, 1], m[:, 0] ** 2, m[:, 0] * m[:, 1], m[:, 1] ** 2])

    def worst(gap: np.ndarray) -> float:
        """Largest mean in its standard errors."""
        parts = weights[:, :, None, None] * gap
        return float(np.max(np.abs(parts.mean(axis=1)) / (parts.std(axis=1) / np.sqrt(n))))

    assert worst(e[:, :, None] * np.ones((1, 1, 2))) < 4.5
    assert worst(gap) < 4.5
    assert abs(np.mean(e[:, 0] ** 2) / np.mean(v[:, 0, 0]) - 1.0) < 0.01
    # without the share of W
    row = [names.index("W") == k for k in cell.cancelled].index(True)
    bend = g.k2.copy()
    bend[row] = 0.0
    slope = 2.0 * np.einsum("sfg,ig->isf", g.k2 - bend, m)
    other = 2.0 * np.einsum("sfg,ig->isf", bend, m)
    part = np.einsum("isf,uf->isu", slope, g.cross) + np.einsum("isf,fg,iug->isu", slope, g.spread, other)
    part += 0.5 * np.einsum("isf,fg,iug->isu", slope, g.spread, slope)
    assert worst(gap + part + part.transpose(0, 2, 1)) > 25.0


def test_labels_and_equations() -> None:
    text = measured("XMPY") + "P ~ X + M\nY ~ P + M + a*P:M + b*X:M\ngap := a - b"
    free = fit(text, DATA, interaction="qml")
    same = fit(text + "\na == b", DATA, interaction="qml")
    tied = fit(text.replace("b*X:M", "a*X:M").replace("gap := a - b", ""), DATA, interaction="qml")
    assert same.measures["logl"] == pytest.approx(tied.measures["logl"], abs=1e-6)
    assert same.measures["npar"] == tied.measures["npar"] == free.measures["npar"] - 1
    wald = free.wald_test("a == b")
    row = free.parameters.set_index("lhs").loc["gap"]
    assert row["z"] ** 2 == pytest.approx(wald.chisq, rel=1e-9)


def test_latent_variances_fixed_at_one() -> None:
    """Another way to set the scale changes no likelihood: the scaling items divide by their loadings."""
    text, _ = case("downstream")
    one = fit(text, DATA, interaction="qml")
    other = fit(text, DATA, interaction="qml", std_lv=True)
    assert one.measures["logl"] == pytest.approx(other.measures["logl"], abs=1e-6)


def test_observed_variables() -> None:
    """An observed outcome is its own scaling item, an observed moderator is known exactly."""
    data = DATA.assign(y=DATA[ITEMS["Y"]].mean(axis=1), m=DATA[ITEMS["M"]].mean(axis=1))
    text = measured("X") + "y ~ X + m + X:m"
    found = fit(text, data, interaction="qml")
    exact = fit(text, data)
    assert found.ok
    # given X's items and m the outcome is normal: quasi is exact
    assert found.measures["logl"] == pytest.approx(exact.measures["logl"], abs=1e-5)
    both = found.parameters.merge(exact.parameters, on=["lhs", "op", "rhs"])
    np.testing.assert_allclose(both["est_x"], both["est_y"], atol=1e-5)
    np.testing.assert_allclose(both["se_x"], both["se_y"], rtol=1e-4)


@pytest.mark.parametrize(
    ("text", "transformed"),
    [
        ("P ~ X\nW ~ X\nY ~ P + M + W + P:M", ("Y", "W")),
        ("P ~ X\nW ~ X\nP ~~ W\nY ~ P + M + W + P:M", ("Y",)),
        ("P ~ X\nW ~ X\nP ~~ 0*W\nY ~ P + M + W + P:M", ("Y", "W")),
        ("W ~ X\nP ~ W\nY ~ P + M + P:M", ("Y",)),
        ("P ~ X\nY ~ P + X + M + X:M\nW ~ P", ("P", "Y", "W")),
    ],
)
def test_what_is_transformed(text: str, transformed: tuple[str, ...]) -> None:
    parsed = parse_model(MEASURED + text, None)
    table = add_products(build_table(linear_part(parsed), meanstructure=True), parsed)
    assert transformed_variables(table) == transformed


def test_factors_of_second_order() -> None:
    """The items of a factor's dimensions are kept as they are."""
    text = measured("XMPY") + "G =~ 1*X + M\nP ~~ G\nY ~ G + P + G:P"
    found = fit(text, DATA, interaction="qml")
    exact = fit(text, DATA)
    assert transformed_variables(context_of(found).problem.table) == ("Y",)
    row = ("Y", "~", "G:P")
    one, other = (r.parameters.set_index(["lhs", "op", "rhs"]) for r in (found, exact))
    assert one.loc[row, "est"] == pytest.approx(other.loc[row, "est"], abs=0.15 * other.loc[row, "se"])


def test_comparisons() -> None:
    """With products and without the likelihoods are comparable; with those of LMS they are not."""
    text = measured("XMPY") + "P ~ X\nY ~ P + M + P:M"
    one, plain = fit(text, DATA, interaction="qml"), fit(text.replace(" + P:M", ""), DATA, meanstructure=True)
    table = compare(one, plain).table
    assert table["chisq_diff"].iloc[1] == pytest.approx(one.measures["product_chisq"], abs=1e-5)
    assert table["df_diff"].iloc[1] == one.measures["product_df"] == 1
    with pytest.raises(DataError, match="maximise different functions"):
        compare(one, fit(text + " + X:M", DATA))


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("P ~ X + M + X:M\nY ~ P + M + P:M", {}, "depends on a product itself"),
        ("Y ~ X + M + X:M", {"estimator": "GLS"}, "ML"),
    ],
)
def test_refused(text: str, arguments: dict, message: str) -> None:
    with pytest.raises(Unsupported, match=message):
        fit(MEASURED + text, DATA.assign(team=["a", "b"] * 60), interaction="qml", **arguments)
