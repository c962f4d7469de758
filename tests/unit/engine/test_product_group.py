"""Latent products in several groups, and in models with all kinds of parts, against a likelihood of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from lms_rows import log_likelihood, posterior_mean

from b2b_sem.analysis.compare import compare
from b2b_sem.analysis.structural import fit
from b2b_sem.errors import DataError, ModelError, ModelSyntaxError, Unsupported
from b2b_sem.results.fit import FitResult

MEASURED = "X =~ x1 + x2 + x3\nM =~ m1 + m2 + m3\nY =~ y1 + y2 + y3\n"
SMALL = "X =~ x1 + x2\nM =~ m1 + m2\n"
EVERYTHING = [
    "loadings",
    "intercepts",
    "means",
    "residuals",
    "residual.covariances",
    "lv.variances",
    "lv.covariances",
    "regressions",
]


def draw(n: int, seed: int, product: float = 0.3) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    w, g = rng.normal(size=(2, n))
    x = 0.5 * w + 0.5 * g + rng.normal(size=n)
    m = 0.3 * x + 0.4 * g + rng.normal(size=n) + 0.3
    y = 0.4 * x + 0.2 * m + product * x * m + 0.2 * w + 0.7 * rng.normal(size=n)
    items = {
        f"{name}{k}": 1.0 + (1.0, 0.8, 1.2)[k - 1] * factor + 0.6 * rng.normal(size=n)
        for name, factor in (("x", x), ("m", m), ("y", y))
        for k in (1, 2, 3)
    }
    return pd.DataFrame(items).assign(w=w, z=rng.exponential(size=n))


ONE, TWO = draw(100, 5), draw(130, 6, 0.1)
BOTH = pd.concat([ONE.assign(team="a"), TWO.assign(team="b")], ignore_index=True)
HOLES = BOTH.copy()
HOLES.loc[3:40, ["x1", "y2"]] = np.nan
HOLES.loc[30:60, "m2"] = np.nan
HOLES.loc[120:170, ["y1", "m1"]] = np.nan


def of_group(found: Any, group: int) -> pd.DataFrame:
    table = found.parameters
    return table[table["group"] == group].drop(columns="group").reset_index(drop=True)


def oracle(found: Any, data: pd.DataFrame, root: str = "M", **settings: Any) -> float:
    """Return the joint log-likelihood at the estimates."""
    names = list(found.model.observed)
    parts = [data[data["team"] == label] for label in found.groups]
    return sum(log_likelihood(of_group(found, g), part[names], root, **settings) for g, part in enumerate(parts, 1))


@pytest.mark.parametrize(
    ("text", "options", "root", "fixed"),
    [
        ("Y ~ X + M + X:M\nX ~ NA*1\nM ~ NA*1\nY ~ NA*1\nx1 ~ 0*1\nm1 ~ 0*1\ny1 ~ 0*1", {}, "M", ()),
        ("Y ~ X + M + X:M", {"std_lv": True}, "M", ()),
        ("Y ~ X + M + X:M", {"orthogonal": True}, "M", ()),
        ("Y ~ X + M + X:M + w\nX ~ w", {}, "M", ("w",)),
        ("Y ~ X + M + X:M + w", {"fixed_x": False}, "M", ()),
        ("Y ~ X + z + X:z", {"fixed_x": False}, "X", ()),
        ("Y ~ X + M + X:M\nw ~ X + M", {}, "M", ()),
        ("Y ~ X + M + X:M\nx1 ~~ y1\nm1 ~~ m2", {}, "M", ()),
        ("Y ~ start(.3)*X + M + start(.2)*X:M\nX =~ m1", {}, "M", ()),
        ("S =~ X + M\nY ~ S + S:S", {}, "S", ()),
        ("S =~ X + M\nw ~ S + Y + S:Y", {}, "S", ()),
    ],
)
def test_parts_of_models(text: str, options: dict[str, Any], root: str, fixed: tuple[str, ...]) -> None:
    """Means, covariates, residual covariances, factors of second order: the likelihood is that of the oracle."""
    found = fit(MEASURED + text, ONE, **options)
    assert found.ok
    names = list(found.model.observed)
    at = found.parameters
    assert found.measures["logl"] == pytest.approx(log_likelihood(at, ONE[names], root, fixed=fixed), abs=2e-6)
    row = at.index[(at["op"] == "~") & at["rhs"].str.contains(":")][0]
    for sign in (1.0, -1.0):  # a maximum, in the direction of the product
        away = at.assign(est=at["est"].where(at.index != row, at["est"] + 0.1 * sign))
        assert log_likelihood(away, ONE[names], root, fixed=fixed) < found.measures["logl"] - 1e-3


@pytest.mark.parametrize(
    ("measured", "root"), [("M =~ m1\nm1 ~~ 0.3*m1\n", "M"), ("M =~ m1\n", "X")], ids=["error", "exact"]
)
def test_a_factor_of_one_item(measured: str, root: str) -> None:
    found = fit("X =~ x1 + x2 + x3\n" + measured + "y1 ~ X + M + X:M", ONE)
    names = list(found.model.observed)
    assert found.ok
    assert found.measures["logl"] == pytest.approx(log_likelihood(found.parameters, ONE[names], root), abs=2e-6)


@pytest.mark.parametrize("estimator", ["ML", "MLR", "MLF"])
def test_groups_that_share_nothing_are_fits_of_their_own(estimator: str) -> None:
    text = MEASURED + "Y ~ X + M + c(p, q)*X:M\ngap := p - q"
    joint = fit(text, BOTH, group="team", estimator=estimator)
    singles = [fit(MEASURED + "Y ~ X + M + X:M", part, estimator=estimator) for part in (ONE, TWO)]
    assert joint.ok
    for g, own in enumerate(singles, 1):
        both = of_group(joint, g).merge(own.parameters, on=["lhs", "op", "rhs"], validate="1:1")
        assert len(both) == len(own.parameters)
        for name in ("est", "se", "std_lv", "std_all", "ci_upper"):
            np.testing.assert_allclose(both[f"{name}_x"], both[f"{name}_y"], rtol=1e-7, atol=1e-7)
        label = joint.groups[g - 1]
        assert joint.r2[label] == pytest.approx(own.r2, abs=1e-7)
        np.testing.assert_allclose(joint.implied()[label]["cov"], own.implied()["cov"], atol=1e-7)
    for name in ("logl", "linear_logl", "product_chisq", "npar", "product_df"):
        assert joint.measures[name] == pytest.approx(sum(f.measures[name] for f in singles), abs=1e-7)
    gap = joint.parameters.set_index("lhs").loc["gap"]
    errors = [f.parameters.query("rhs == 'X:M'")["se"].item() for f in singles]
    assert gap["se"] == pytest.approx(np.hypot(*errors), rel=1e-7)
    assert joint.wald_test("p == q").chisq == pytest.approx(gap["z"] ** 2, rel=1e-9)


@pytest.mark.parametrize("estimator", ["ML", "MLR"])
def test_groups_of_one_sample_with_all_parameters_equal_are_one_sample(estimator: str) -> None:
    whole = fit(MEASURED + "Y ~ X + M + X:M", BOTH, estimator=estimator)
    joint = fit(MEASURED + "Y ~ X + M + X:M", BOTH, group="team", group_equal=EVERYTHING, estimator=estimator)
    for g in (1, 2):
        both = of_group(joint, g).merge(whole.parameters, on=["lhs", "op", "rhs"], validate="1:1")
        for name in ("est", "se", "std_all"):
            np.testing.assert_allclose(both[f"{name}_x"], both[f"{name}_y"], rtol=2e-7, atol=2e-7)
    names = ["npar", "logl", "aic", "bic", "linear_logl", "product_chisq", "product_df", "product_pvalue"]
    names += ["scaling_factor_h0", "product_chisq_scaled", "product_scaling_factor"] if estimator == "MLR" else []
    for name in names:
        assert joint.measures[name] == pytest.approx(whole.measures[name], rel=2e-6), name


def test_equal_parameters_against_the_oracle() -> None:
    """The joint maximum, and standard errors from a numerical Hessian of the other likelihood."""
    text = SMALL + "y1 ~ X + c(p, q)*M + X:M\nX ~~ M"
    equal = ["loadings", "intercepts", "regressions", "residuals"]
    found = fit(text, BOTH, group="team", group_equal=equal)
    assert found.ok
    table = found.parameters
    numbers = sorted({int(k) for k in table["free"] if k})
    data = [part[list(found.model.observed)] for _, part in BOTH.groupby("team")]
    assert found.measures["logl"] == pytest.approx(oracle(found, BOTH), abs=2e-6)

    def minus_logl(theta: np.ndarray) -> float:
        est = [theta[k - 1] if k else e for k, e in zip(table["free"], table["est"], strict=True)]
        at = table.assign(est=est)
        return -sum(log_likelihood(at[at["group"] == g], part, "M", 61) for g, part in enumerate(data, 1))

    center = np.array([table.loc[table["free"] == k, "est"].iloc[0] for k in numbers])
    se = np.array([table.loc[table["free"] == k, "se"].iloc[0] for k in numbers])
    q, step = len(center), 0.02 * se
    value = minus_logl(center)
    shifts = np.diag(step)
    up = np.array([minus_logl(center + s) for s in shifts])
    down = np.array([minus_logl(center - s) for s in shifts])
    # slope at the maximum, in standard errors
    np.testing.assert_allclose((up - down) / (2.0 * step) * se, 0.0, atol=1e-3)
    bend = np.diag((up + down - 2.0 * value) / step**2)
    for i in range(q):
        for j in range(i):
            both = minus_logl(center + shifts[i] + shifts[j]) + minus_logl(center - shifts[i] - shifts[j])
            rest = up[i] + up[j] + down[i] + down[j] - 2.0 * value
            bend[i, j] = bend[j, i] = (both - rest) / (2.0 * step[i] * step[j])
    np.testing.assert_allclose(np.sqrt(np.diag(np.linalg.inv(bend))), se, rtol=1e-3)
    one, two = of_group(found, 1), of_group(found, 2)
    product, path = (one["rhs"] == "X:M"), (one["op"] == "~") & (one["rhs"] == "M")
    assert one.loc[product, "est"].item() == two.loc[product, "est"].item()
    assert one.loc[path, "est"].item() != two.loc[path, "est"].item()


def test_holes_and_clusters() -> None:
    found = fit(MEASURED + "Y ~ X + M + X:M", HOLES, group="team", missing="fiml", group_equal=["regressions"])
    assert found.ok
    assert found.nobs == len(HOLES)
    assert found.measures["logl"] == pytest.approx(oracle(found, HOLES, count=121), abs=2e-6)
    firms = BOTH.assign(firm=np.arange(len(BOTH)))
    robust = fit(MEASURED + "Y ~ X + M + X:M", BOTH, group="team", estimator="MLR")
    clustered = fit(MEASURED + "Y ~ X + M + X:M", firms, group="team", estimator="MLR", cluster="firm")
    for g, n in ((1, len(ONE)), (2, len(TWO))):  # every row a cluster: only the factor C / (C - 1) remains
        expected = of_group(robust, g)["se"] * np.sqrt(n / (n - 1))
        np.testing.assert_allclose(of_group(clustered, g)["se"], expected, rtol=1e-8)


def test_blocks_and_partial_equality() -> None:
    block = MEASURED + "Y ~ X + M + {}X:M\n"
    by_block = fit("group: a\n" + block.format("b*") + "group: b\n" + block.format("b*"), BOTH, group="team")
    by_label = fit(block.format("b*"), BOTH, group="team")
    free = fit(block.format(""), BOTH, group="team")
    assert by_block.measures["logl"] == pytest.approx(by_label.measures["logl"], abs=1e-7)
    assert by_label.measures["npar"] == free.measures["npar"] - 1
    equal = fit(block.format(""), BOTH, group="team", group_equal="regressions")
    partial = fit(block.format(""), BOTH, group="team", group_equal="regressions", group_partial="Y ~ M:X")
    assert equal.measures["npar"] == free.measures["npar"] - 3
    assert partial.measures["npar"] == equal.measures["npar"] + 1
    # one group without the product
    lacking = fit("group: 1\n" + block.format("") + "group: 2\n" + block.format("0*"), BOTH, group="team")
    absent = fit("group: 1\n" + block.format("") + "group: 2\n" + MEASURED + "Y ~ X + M", BOTH, group="team")
    fixed = fit(block.format("c(NA, 0)*"), BOTH, group="team")
    assert lacking.measures["logl"] == pytest.approx(fixed.measures["logl"], abs=1e-7)
    assert absent.measures["logl"] == pytest.approx(fixed.measures["logl"], abs=1e-6)
    again = FitResult.from_json(by_label.to_json())
    assert again.groups == ("a", "b")
    assert again.measures == pytest.approx(by_label.measures, nan_ok=True)


def test_likelihood_ratio_tests() -> None:
    text = MEASURED + "Y ~ X + M + {}X:M"
    free = fit(text.format("c(p, q)*"), BOTH, group="team", estimator="MLR")
    same = fit(text.format("p*"), BOTH, group="team", estimator="MLR")
    none = fit(MEASURED + "Y ~ X + M", BOTH, group="team", estimator="MLR")
    found = compare(none, free, same, names=["none", "free", "same"])
    table = found.table.set_index("model")
    assert found.method == "satorra.2000"
    assert list(table.index) == ["free", "same", "none"]
    assert table["df_diff"].tolist()[1:] == [1, 1]
    assert "Likelihood-ratio" in str(found)
    m = free.measures
    both = compare(free, none).table.iloc[1]
    assert both["chisq_diff"] == pytest.approx(m["product_chisq_scaled"], rel=1e-6)
    assert both["scaling_factor"] == pytest.approx(m["product_scaling_factor"], rel=1e-6)
    # the formula of 2001 by hand, from the factors as they are printed
    q, c = ([f.measures[name] for f in (free, same)] for name in ("npar", "scaling_factor_h0"))
    scale = (q[0] * c[0] - q[1] * c[1]) / (q[0] - q[1])
    older = compare(free, same, method="satorra.bentler.2001").table.iloc[1]
    assert older["scaling_factor"] == pytest.approx(scale, rel=1e-8)
    assert older["chisq_diff"] == pytest.approx(2.0 * (m["logl"] - same.measures["logl"]) / scale, rel=1e-8)
    # for one degree of freedom the factor is that of the Wald tests, model-based over robust
    third = compare(free, same).table.iloc[1]
    plain = fit(text.format("c(p, q)*"), BOTH, group="team").wald_test("p == q").chisq
    assert third["scaling_factor"] == pytest.approx(plain / free.wald_test("p == q").chisq, rel=1e-6)
    newer = compare(free, same, method="satorra.bentler.2010").table.iloc[1]
    assert newer["scaling_factor"] != pytest.approx(scale, rel=1e-3)
    with pytest.raises(Unsupported, match="scaled"):
        compare(free, none, method="standard")


def test_nestedness_is_that_of_parameters() -> None:
    big = fit(MEASURED + "Y ~ X + M + a*X:M + b*X:X", ONE)
    tied = fit(MEASURED + "Y ~ X + M + a*X:M + b*X:X\na == 2*b", ONE)
    linear = fit(MEASURED + "Y ~ X + M", ONE, meanstructure=True)
    other = fit(MEASURED + "Y ~ X + M + M:M", ONE)
    table = compare(linear, tied, big).table
    assert table["npar"].tolist() == [big.measures["npar"], tied.measures["npar"], linear.measures["npar"]]
    expected = 2.0 * (big.measures["logl"] - linear.measures["logl"])
    assert table["chisq_diff"].sum() == pytest.approx(expected)
    assert compare(linear, big).table["chisq_diff"][1] == pytest.approx(big.measures["product_chisq"], abs=1e-5)
    with pytest.raises(ModelError, match="not nested"):
        compare(big, other)
    assert compare(big, other, method="none").table["pvalue"].isna().all()
    with pytest.raises(DataError, match="mean structure"):
        compare(big, fit(MEASURED + "Y ~ X + M", ONE))
    with pytest.raises(DataError, match="rows"):
        compare(big, fit(MEASURED + "Y ~ X + M + X:M", TWO))
    with pytest.raises(Unsupported, match="robust"):
        compare(big, other, method="satorra.bentler.2001")


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("file", "items", "path", "root", "options"),
    [
        (
            "influencer.csv",
            {"S": ["sic_1", "sic_2", "sic_4"], "P": ["pic_1", "pic_2", "pic_3"], "I": ["pi_1", "pi_2", "pi_3"]},
            "I ~ S + P + S:P",
            "P",
            {"group": "influencer_group", "group_equal": ["loadings", "intercepts"], "estimator": "MLR"},
        ),
        (
            "corprep.csv",
            {
                "L": ["like_1", "like_2", "like_3"],
                "C": ["comp_1", "comp_2", "comp_3"],
                "S": ["cusl_1", "cusl_2", "cusl_3"],
            },
            "S ~ L + C + L:C",
            "L",
            {"group": "servicetype", "group_equal": ["loadings", "regressions"], "missing": "fiml"},
        ),
    ],
)
def test_real_groups(
    file: str, items: dict[str, list[str]], path: str, root: str, options: dict[str, Any], shared_data: Path
) -> None:
    """Equal parameters, latent means and real holes: the oracle integrates over the factor of its own choice."""
    data = pd.read_csv(shared_data / file)
    found = fit("\n".join(f"{f} =~ {' + '.join(names)}" for f, names in items.items()) + f"\n{path}", data, **options)
    assert found.ok
    data = data.assign(team=data[options["group"]].astype(str))
    assert found.measures["logl"] == pytest.approx(oracle(found, data, root), abs=2e-6)


def test_factor_scores_are_posterior_means() -> None:
    text = MEASURED + "Y ~ X + M + X:M\nX ~ NA*1\nx1 ~ 0*1"
    found = fit(text, BOTH, group="team")
    scores = found.factor_scores()
    names = list(found.model.observed)
    for g, (label, part) in enumerate(BOTH.groupby("team"), 1):
        own = scores[label]
        assert list(own.columns) == ["X", "M", "Y"]
        for row in own.index[[0, 17, 60]]:
            answers = part[names].iloc[list(own.index).index(row)]
            for latent in own.columns:
                expected = posterior_mean(of_group(found, g), answers, latent, "M")
                assert own.loc[row, latent] == pytest.approx(expected, abs=1e-6)
    # rows of its own, other rows, and rows with holes
    single = fit(text, ONE)
    np.testing.assert_allclose(single.factor_scores(data=ONE), single.factor_scores(), atol=1e-6)
    holes = fit(text, HOLES.drop(columns="team"), missing="fiml")
    answers = HOLES[names].iloc[35]
    assert answers.isna().sum() > 1
    expected = posterior_mean(holes.parameters, answers, "Y", "M")
    assert holes.factor_scores()["Y"].iloc[35] == pytest.approx(expected, abs=1e-6)
    with pytest.raises(Unsupported, match="regression"):
        single.factor_scores("bartlett")
    # without the product these are the scores of the linear model
    flat = fit(MEASURED + "Y ~ X + M + 0*X:M", ONE).factor_scores()
    linear = fit(MEASURED + "Y ~ X + M", ONE, meanstructure=True).factor_scores()
    np.testing.assert_allclose(flat, linear, atol=1e-5)


@pytest.mark.parametrize(
    ("text", "options", "error", "message"),
    [
        ("Y ~ X + M + c(a, b, c)*X:M", {}, ModelSyntaxError, "3 groups"),
        ("Y ~ X + M + X:M", {"group_partial": "Y ~ X:X"}, ModelSyntaxError, "group_partial"),
        ("Y ~ X + M + X:M", {"group": "nothing"}, DataError, "nothing"),
        ("Y ~ X + M + X:M", {"group_equal": "regression"}, Unsupported, "regressions"),
        ("Y ~ X + M + X:M", {"cluster": "team"}, DataError, "team"),
    ],
)
def test_refused(text: str, options: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments = {"group": "team", "group_equal": "regressions"} | options
    with pytest.raises(error, match=message):
        fit(MEASURED + text, BOTH, **arguments)
