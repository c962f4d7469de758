"""Simple slopes and Johnson-Neyman regions: against definitions of the same model, by hand, and what is refused."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf

import b2b_sem as bs
from b2b_sem.errors import DataError, ModelSyntaxError, Unsupported
from b2b_sem.results.probe import ConditionalEffects, JohnsonNeyman, ModerationSize, SimpleSlopes

MODEL = """
X =~ x1 + x2
M =~ m1 + m2
Y =~ y1 + y2
Y ~ b1*X + b2*M + w1*w + b3*X:M + b4*X:X + b5*X:w
at_low := b1 - 0.5*b3 + 10*b5
at_high := b1 + 1.5*b3 + 10*b5
curved := b1 + 2*b4*0.7 + 0.25*b3 + 10*b5
own := b1 + 2*b4*0.7 + 10*b5
"""


@cache
def answers(n: int = 220) -> pd.DataFrame:
    """Return answers of a model with products of X with M, with itself, and with a column."""
    rng = np.random.default_rng(11)
    x, m = rng.normal(size=(2, n))
    w = 10.0 + rng.normal(size=n)
    y = 0.4 * x + 0.2 * m + 0.3 * x * m + 0.1 * x**2 + 0.2 * (w - 10.0) * x + rng.normal(size=n)
    out = {f"{name}{k}": v + 0.6 * rng.normal(size=n) for name, v in [("x", x), ("m", m), ("y", y)] for k in (1, 2)}
    return pd.DataFrame(out | {"w": w})


@cache
def lms() -> bs.FitResult:
    """Fit the model with products of latent variables."""
    return bs.fit(MODEL, answers())


@cache
def ols(formula: str = "y1 ~ x1 * m1") -> Any:
    """Fit a regression of items."""
    return smf.ols(formula, answers()).fit()


def ordinal() -> bs.FitResult:
    """Fit a model of an ordinal item."""
    return bs.fit("z ~ x1 + m1 + w", answers().assign(z=(answers()["y1"] > 0).astype(int)), ordered=["z"])


def defined(name: str) -> pd.Series:
    """Return a defined parameter."""
    rows = lms().parameters
    return rows[(rows["op"] == ":=") & (rows["lhs"] == name)].iloc[0]


@pytest.mark.parametrize(
    ("name", "product", "at", "held"),
    [
        ("at_low", "X:M", -0.5, {"X": 0.0, "w": 10.0}),
        ("at_high", "M:X", 1.5, {"X": 0.0, "w": 10.0}),
        ("curved", "X:M", 0.25, {"X": 0.7, "w": 10.0}),
        ("own", "X:X", 0.7, {"M": 0.0, "w": 10.0}),
        ("at_low", "X:w", 10.0, {"X": 0.0, "M": -0.5}),
    ],
)
def test_slopes_are_defined_parameters(name: str, product: str, at: float, held: dict[str, float]) -> None:
    moderator = "M" if product == "M:X" else None
    found = bs.simple_slopes(lms(), product, moderator, at=at, held=held).table.iloc[0]
    row = defined(name)
    for column in ("est", "se", "z", "pvalue", "ci_lower", "ci_upper"):
        assert found[column] == pytest.approx(row[column], rel=1e-9)


def test_other_variables_are_held_at_their_means() -> None:
    found = bs.simple_slopes(lms(), "X:M", at=0.0)
    mean = answers()["w"].mean()
    assert found.surface.held == {"X": 0.0, "w": pytest.approx(mean)}
    told = bs.simple_slopes(lms(), "X:M", at=0.0, held={"w": mean, "X": 0.0})
    pd.testing.assert_frame_equal(found.table, told.table)


def test_standard_deviations_of_a_latent_moderator_are_those_of_the_model() -> None:
    found = bs.simple_slopes(lms(), "X:M").table
    sd = math.sqrt(lms().latent_cov().loc["M", "M"])
    assert found["at"].tolist() == ["-1 SD", "mean", "+1 SD"]
    np.testing.assert_allclose(found["value"], [-sd, 0.0, sd], rtol=1e-12)
    np.testing.assert_allclose(found["value_sd"], [-1.0, 0.0, 1.0], rtol=1e-12)
    percentiles = bs.simple_slopes(lms(), "X:M", at="percentiles").table
    np.testing.assert_allclose(percentiles["value_sd"], [-0.9944578832, 0.0, 0.9944578832], atol=1e-9)
    # the standardized slope at the mean is the standardized path where nothing else is added to it
    plain = bs.simple_slopes(lms(), "X:M", at=0.0, held={"w": 0.0, "X": 0.0}).table["est_std"][0]
    rows = lms().parameters
    assert plain == pytest.approx(rows[(rows["op"] == "~") & (rows["rhs"] == "X")]["std_all"].iloc[0], rel=1e-9)


def test_a_moderator_with_two_values_is_taken_at_both() -> None:
    data = answers().assign(z=(answers()["w"] > 10).astype(float))
    fit = smf.ols("y1 ~ x1 * z", data).fit()
    found = bs.simple_slopes(fit, "x1:z").table
    assert found["at"].tolist() == ["0", "1"]
    first = smf.ols("y1 ~ x1", data[data["z"] == 0]).fit()
    assert found["est"][0] == pytest.approx(first.params["x1"], rel=1e-10)


def test_lines_have_the_slopes_and_the_errors_of_predictions() -> None:
    fit = ols()
    found = bs.simple_slopes(fit, "x1:m1")
    lines = found.lines(5)
    for at, own in lines.groupby("at", sort=False):
        row = found.table[found.table["at"] == at].iloc[0]
        assert np.allclose(np.diff(own["est"]) / np.diff(own["x"]), row["est"])
        theirs = fit.get_prediction(pd.DataFrame({"x1": own["x"], "m1": own["value"]})).summary_frame(alpha=0.05)
        np.testing.assert_allclose(own["est"], theirs["mean"], rtol=1e-9)
        np.testing.assert_allclose(own["ci_lower"], theirs["mean_ci_lower"], rtol=1e-9)


def test_the_line_of_a_square_is_its_tangent() -> None:
    fit = ols("y1 ~ x1 + I(x1 ** 2) + m1")
    found = bs.simple_slopes(fit, "x1:x1", at=[0.5])
    b = fit.params
    assert found.table["est"][0] == pytest.approx(b["x1"] + b["I(x1 ** 2)"], rel=1e-10)
    line = found.lines(3)
    assert np.allclose(np.diff(line["est"]) / np.diff(line["x"]), found.table["est"][0])
    at = b["Intercept"] + b["x1"] * 0.5 + b["I(x1 ** 2)"] * 0.25 + b["m1"] * answers()["m1"].mean()
    y, _ = found.surface.predict(0.5, 0.0)
    assert float(y) == pytest.approx(at, rel=1e-10)


def test_regions_are_where_the_band_leaves_zero() -> None:
    found = bs.johnson_neyman(lms(), "X:M")
    band = found.band(401)
    outside = (band["pointwise_lower"] > 0) | (band["pointwise_upper"] < 0)
    assert (outside == band["significant"]).all()
    inside = np.zeros(len(band), dtype=bool)
    for low, high in found.intervals:
        inside |= (band["value"] >= low) & (band["value"] <= high)
    assert (inside == band["significant"]).all()
    assert 0.0 < found.share < 1.0
    assert bs.johnson_neyman(lms(), "X:M", simultaneous=True).share < found.share
    slope, _ = found.surface.slopes(found.crossing)
    assert float(slope) == pytest.approx(0.0, abs=1e-12)


def test_share_of_the_sample_counts_rows() -> None:
    found = bs.johnson_neyman(ols(), "x1:m1")
    values = answers()["m1"].to_numpy()
    counted = sum(float(((values >= low) & (values <= high)).mean()) for low, high in found.intervals)
    assert found.share_sample == pytest.approx(counted, abs=1e-12)
    assert math.isnan(bs.johnson_neyman(lms(), "X:M").share_sample) == (
        "share_sample" not in " ".join(bs.johnson_neyman(lms(), "X:M").notes)
    )


def test_nowhere_and_everywhere() -> None:
    rng = np.random.default_rng(3)
    data = pd.DataFrame(rng.normal(size=(60, 3)), columns=["x", "m", "e"])
    nothing = smf.ols("y ~ x * m", data.assign(y=data["e"])).fit()
    found = bs.johnson_neyman(nothing, "x:m", alpha=1e-6)
    assert found.intervals == ()
    assert found.share == 0.0
    assert found.share_sample == 0.0
    strong = smf.ols("y ~ x * m", data.assign(y=5 * data["x"] + 0.01 * data["e"])).fit()
    everywhere = bs.johnson_neyman(strong, "x:m", alpha=0.05)
    # far from the data any slope may be zero: the interval around them is all of the sample
    assert everywhere.share_sample == 1.0
    assert everywhere.regions["sign"].tolist()[0] == "+"


@pytest.mark.parametrize(
    "result",
    [
        lambda: bs.simple_slopes(lms(), "X:M"),
        lambda: bs.simple_slopes(ols(), "x1:m1"),
        lambda: bs.johnson_neyman(lms(), "X:M"),
        lambda: bs.johnson_neyman(ols(), "x1:m1", alpha=1e-12),
        lambda: bs.conditional_effects(lms(), "X:M", ci="mc", draws=200),
        lambda: bs.moderation_size(ols(), "x1:m1"),
    ],
)
def test_json_round_trip(result: Any) -> None:
    first = result()
    assert isinstance(first, SimpleSlopes | JohnsonNeyman | ConditionalEffects | ModerationSize)
    text = json.dumps(first.to_json(), allow_nan=False)
    second = type(first).from_json(json.loads(text))
    assert json.dumps(second.to_json(), allow_nan=False) == text
    assert str(second) == str(first)
    if isinstance(first, JohnsonNeyman):
        assert second.intervals == first.intervals
    if isinstance(first, SimpleSlopes):
        pd.testing.assert_frame_equal(second.lines(), first.lines())


def test_groups_have_their_own_slopes() -> None:
    data = answers().assign(xm=answers()["x1"] * answers()["m1"], g=np.tile(["a", "b"], 110))
    model = "y1 ~ x1 + m1 + xm"
    both = bs.fit(model, data, group="g", engine="native")
    alone = bs.fit(model, data[data["g"] == "b"], meanstructure=True, engine="native")
    aliases = {"xm": "x1:m1"}
    first = bs.simple_slopes(both, "x1:m1", aliases=aliases, group="b").table
    second = bs.simple_slopes(alone, "x1:m1", aliases=aliases).table
    pd.testing.assert_frame_equal(first, second, rtol=1e-6)
    with pytest.raises(Unsupported, match="one group"):
        bs.simple_slopes(both, "x1:m1", aliases=aliases)
    with pytest.raises(DataError, match="no group 'c'"):
        bs.johnson_neyman(both, "x1:m1", aliases=aliases, group="c")
    with pytest.raises(DataError, match="one group"):
        bs.simple_slopes(alone, "x1:m1", aliases=aliases, group="b")


@pytest.mark.parametrize("way", ["lms", "qml", "dmc", "mc", "rc"])
def test_slopes_do_not_depend_on_the_zero_point_of_an_observed_moderator(way: str) -> None:
    model = "X =~ x1 + x2\nY =~ y1 + y2\nX ~ a\nY ~ X + w + X:w"
    rng = np.random.default_rng(1)
    data = answers().assign(a=answers()["x1"] + rng.normal(size=len(answers())))
    first, second = (bs.fit(model, data.assign(w=data["w"] + shift), interaction=way) for shift in (-10.0, 5.0))
    mean = data["w"].mean()
    tested = ["value_sd", "est", "se", "ci_lower", "ci_upper", "est_std"]
    one, two = (bs.simple_slopes(fit, "X:w").table for fit in (first, second))
    np.testing.assert_allclose(one["value"] + 15.0, two["value"], rtol=1e-6)
    pd.testing.assert_frame_equal(one[tested], two[tested], rtol=2e-4, atol=1e-6)
    assert one["value"][1] == pytest.approx(mean - 10.0, rel=1e-6)
    # in units of the answers, not of a centred copy
    again = bs.simple_slopes(second, "X:w", at=two["value"].tolist()).table
    pd.testing.assert_frame_equal(again[["est", "se"]], two[["est", "se"]])
    ends = [bs.johnson_neyman(fit, "X:w") for fit in (first, second)]
    np.testing.assert_allclose(np.array(ends[0].bounds) + 15.0, ends[1].bounds, rtol=2e-4)
    assert ends[0].share_sample == ends[1].share_sample
    effects = [bs.conditional_effects(fit, "X:w", predictor="a").select("indirect") for fit in (first, second)]
    columns = ["value_sd", "est", "se", "ci_lower", "ci_upper", "est_std"]
    pd.testing.assert_frame_equal(effects[0][columns], effects[1][columns], rtol=2e-4, atol=1e-6)
    path = second.parameters.query("lhs == 'X' and op == '~' and rhs == 'a'")["est"].iloc[0]
    np.testing.assert_allclose(effects[1]["est"], path * two["est"], rtol=1e-9)
    sizes = [bs.moderation_size(fit, "X:w").delta_r2 for fit in (first, second)]
    assert sizes[0] == pytest.approx(sizes[1], rel=1e-3)


def test_groups_of_latent_products() -> None:
    rng = np.random.default_rng(17)
    x, m = rng.normal(size=(2, 500))
    y = 0.4 * x + 0.2 * m + 0.3 * x * m + rng.normal(size=500)
    names = [("x", x), ("m", m), ("y", y)]
    items = {f"{name}{k}": v + 0.5 * rng.normal(size=500) for name, v in names for k in (1, 2, 3)}
    data = pd.DataFrame(items).assign(g=np.tile(["a", "b"], 250))
    model = "X =~ x1 + x2 + x3\nM =~ m1 + m2 + m3\nY =~ y1 + y2 + y3\nY ~ X + M + X:M"
    both, alone = bs.fit(model, data, group="g"), bs.fit(model, data[data["g"] == "b"])
    first, second = bs.simple_slopes(both, "X:M", group="b").table, bs.simple_slopes(alone, "X:M").table
    pd.testing.assert_frame_equal(first, second, rtol=1e-4)
    assert bs.moderation_size(both, "X:M", group="b").f2 == pytest.approx(bs.moderation_size(alone, "X:M").f2, rel=1e-4)
    first, second = (
        bs.conditional_effects(both, "X:M", group="b").table,
        bs.conditional_effects(alone, "X:M").table,
    )
    pd.testing.assert_frame_equal(first, second, rtol=1e-4)


def test_factor_scores_tell_the_share_of_the_sample() -> None:
    data = answers().assign(g=np.tile(["a", "b"], 110))
    for k in (1, 2):
        product = (data[f"x{k}"] - data[f"x{k}"].mean()) * (data[f"m{k}"] - data[f"m{k}"].mean())
        data[f"p{k}"] = product - product.mean()
    model = "X =~ x1 + x2\nM =~ m1 + m2\nY =~ y1 + y2\nP =~ p1 + p2\nY ~ X + M + P"
    for group in (None, "b"):
        fit = bs.fit(model, data, group=None if group is None else "g", engine="native")
        found = bs.johnson_neyman(fit, "X:M", aliases={"P": "X:M"}, group=group)
        scores = fit.factor_scores()
        own = (scores if group is None else scores[group])["M"].to_numpy()
        counted = sum(float(((own >= low) & (own <= high)).mean()) for low, high in found.intervals)
        assert found.share_sample == pytest.approx(counted, abs=1e-12)
        assert 0.0 < counted < 1.0
        assert any("factor scores of M" in note for note in found.notes)


def test_the_same_regression_by_arrays_and_by_a_model() -> None:
    data = answers()
    data = data.assign(xm=data["x1"] * data["m1"])
    arrays = sm.OLS(data["y1"], sm.add_constant(data[["x1", "m1", "xm"]])).fit()
    first = bs.simple_slopes(arrays, "x1:m1", aliases={"xm": "x1:m1"}).table
    second = bs.simple_slopes(ols(), "x1:m1").table
    pd.testing.assert_frame_equal(first, second, rtol=1e-9)
    model = bs.fit("y1 ~ x1 + m1 + xm", data, engine="native", meanstructure=True)
    third = bs.simple_slopes(model, "x1:m1", at=second["value"].tolist(), aliases={"xm": "x1:m1"}).table
    np.testing.assert_allclose(third["est"], second["est"], rtol=1e-7)
    # maximum likelihood divides by n
    np.testing.assert_allclose(third["se"], second["se"] * math.sqrt(arrays.df_resid / len(data)), rtol=1e-6)


def test_values_beyond_the_data_are_told() -> None:
    assert any("Beyond the data" in note for note in bs.simple_slopes(ols(), "x1:m1", at=[0.0, 99.0]).notes)
    assert any("Beyond the data" in note for note in bs.simple_slopes(lms(), "X:M", at=[0.0, 99.0]).notes)
    assert not any("Beyond" in note for note in bs.simple_slopes(ols(), "x1:m1", at=[0.0]).notes)


def test_a_fit_that_failed_says_so() -> None:
    fit = replace(lms(), converged=False)
    found = bs.simple_slopes(fit, "X:M")
    assert "must not be interpreted: the estimation did not converge" in found.notes[0]
    assert found.table["se"].isna().all()
    region = bs.johnson_neyman(fit, "X:M")
    assert region.intervals == ()
    assert math.isnan(region.share)
    assert math.isnan(region.share_sample)
    assert "not known" in str(region)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: bs.simple_slopes(lms(), "X:Z"), ModelSyntaxError, "no product 'X:Z'"),
        (lambda: bs.simple_slopes(lms(), "X"), ModelSyntaxError, "no product of two"),
        (lambda: bs.simple_slopes(lms(), "X:M", "Z"), ModelSyntaxError, "not part of the product"),
        (lambda: bs.simple_slopes(lms(), "X:M", outcome="X"), ModelSyntaxError, "not in the equation of 'X'"),
        (lambda: bs.simple_slopes(lms(), "X:M", held={"M": 1.0}), ModelSyntaxError, "cannot be held"),
        (lambda: bs.simple_slopes(lms(), "X:M", held={"q": 1.0}), ModelSyntaxError, "cannot be held"),
        (lambda: bs.simple_slopes(lms(), "X:M", at="quartiles"), DataError, "at='quartiles' is not known"),
        (lambda: bs.simple_slopes(lms(), "X:M", at=[math.nan]), DataError, "finite numbers"),
        (lambda: bs.simple_slopes(lms(), "X:M", at=[]), DataError, "finite numbers"),
        (lambda: bs.simple_slopes(lms(), "X:M", at=[1.0], unit="SD"), DataError, "unit='SD'"),
        (lambda: bs.simple_slopes(lms(), "X:M", level=95), DataError, "confidence level"),
        (lambda: bs.johnson_neyman(lms(), "X:M", alpha=0.0), DataError, "alpha"),
        (lambda: bs.simple_slopes(ordinal(), "x1:m1", aliases={"w": "x1:m1"}), Unsupported, "ordinal items"),
        (lambda: bs.simple_slopes("fit", "X:M"), DataError, "need a fitted model"),
        (lambda: bs.simple_slopes(ols(), "x1:m1", group="a"), DataError, "no groups"),
        (lambda: bs.simple_slopes(ols("y1 ~ x1 + x1:m1"), "x1:m1"), ModelSyntaxError, "not by itself"),
        (lambda: bs.simple_slopes(ols("y1 ~ x1 * m1 * w"), "x1:m1"), Unsupported, "three variables"),
        (
            lambda: bs.simple_slopes(ols("y1 ~ x1 + m1 + w"), "x1:m1", aliases={"w": "x1:m1"}),
            DataError,
            "not the product",
        ),
        (lambda: bs.simple_slopes(ols(), "x1:m1", aliases={"q": "x1:m1"}), ModelSyntaxError, "no predictor"),
        (lambda: bs.simple_slopes(ols("y1 ~ x1 + w"), "x1:w", aliases={"w": "x1"}), ModelSyntaxError, "is no product"),
        (
            lambda: bs.simple_slopes(bs.FitResult.from_json(lms().to_json()), "X:M"),
            Unsupported,
            "read from a file",
        ),
    ],
)
def test_what_is_refused(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
