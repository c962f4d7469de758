"""Models fitted with ``missing="fiml"``: what is used, what is refused, and what a fit can be asked afterwards."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs
from b2b_sem.engine.native.casewise import Casewise
from b2b_sem.engine.scaled import Solution
from b2b_sem.errors import DataError, Unsupported

MODEL = "F =~ x1 + a*x2 + x3\nG =~ x4 + x5 + x6\nG ~ b*F + w\nc := a*b"


def data(n: int = 150, share: float = 0.15, seed: int = 1, covariate: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    w = rng.normal(size=n)
    f = rng.normal(size=n)
    g = 0.5 * f + 0.3 * w + rng.normal(size=n)
    rows = np.column_stack([f, f, f, g, g, g]) + 0.8 * rng.normal(size=(n, 6)) + np.arange(6)
    rows[rng.random(rows.shape) < share] = np.nan
    w[rng.random(n) < covariate] = np.nan
    return pd.DataFrame(rows, columns=[f"x{i}" for i in range(1, 7)]).assign(w=w)


@pytest.fixture(scope="module")
def fitted():
    return bs.fit(MODEL, data(), missing="fiml")


def test_what_is_reported(fitted):
    assert fitted.converged
    assert fitted.engine == "native"
    assert fitted.nobs == 150
    assert fitted.model.options["missing"] == "fiml"
    assert fitted.model.options["information"] == "observed"
    assert fitted.model.options["meanstructure"] is True
    assert any("used with the answers there are" in note for note in fitted.notes)
    assert any("rows with missing values" in note for note in fitted.notes)
    assert 0 < fitted.measures["rmsea_robust"] < 1 or fitted.measures["rmsea_robust"] == 0
    assert math.isfinite(fitted.measures["cfi_robust"])
    assert "Robust Comparative Fit Index" in fitted.summary()
    assert "Scaled" not in fitted.summary()


@pytest.mark.parametrize(("name", "same"), [("ml", "fiml"), ("direct", "fiml"), ("ml.x", "fiml.x")])
def test_other_names(name, same):
    one, other = (bs.fit(MODEL, data(n=80, covariate=0.1), missing=m) for m in (name, same))
    assert dict(one.measures) == pytest.approx(dict(other.measures), nan_ok=True)
    assert one.model.options["missing"] == same


@pytest.mark.parametrize("estimator", ["ML", "MLR", "MLF"])
def test_complete_data_give_maximum_likelihood(estimator):
    """Estimates, errors and tests are those of complete data, to rounding."""
    frame = data(share=0.0)
    information = {"information": "observed"} if estimator == "ML" else {}
    one = bs.fit(MODEL, frame, missing="fiml", estimator=estimator, engine="native")
    other = bs.fit(MODEL, frame, estimator=estimator, meanstructure=True, engine="native", **information)
    assert np.allclose(one.parameters["est"], other.parameters["est"], rtol=1e-12, atol=1e-12)
    assert np.allclose(one.parameters["se"], other.parameters["se"], rtol=1e-12, atol=1e-12, equal_nan=True)
    for name, value in other.measures.items():
        if estimator == "ML" or not name.endswith("_robust"):
            assert one.measures[name] == pytest.approx(value, rel=1e-12, nan_ok=True), name
    if estimator == "ML":
        assert one.measures["cfi_robust"] == pytest.approx(one.measures["cfi"], rel=1e-10)
        assert one.measures["rmsea_robust"] == pytest.approx(one.measures["rmsea"], rel=1e-9)


@pytest.mark.parametrize("estimator", ["ML", "MLR"])
@pytest.mark.parametrize("model", ["F =~ x1 + x2 + x3\nG =~ x4 + x5 + x6", "F =~ x1 + a*x2 + a*x3\nF ~ w"])
def test_robust_indices_of_complete_data_do_not_depend_on_the_way(model, estimator, monkeypatch):
    rows = data(share=0.0)
    one = bs.fit(model, rows, missing="fiml", estimator=estimator).measures
    monkeypatch.setattr(Casewise, "complete", property(lambda self: False))
    other = bs.fit(model, rows, missing="fiml", estimator=estimator).measures
    names = [name for name in one if name.endswith(("_robust", "_scaled")) or name == "chisq_scaling_factor"]
    assert len(names) >= 8
    for name in names:
        assert one[name] == pytest.approx(other[name], rel=1e-8, abs=1e-8, nan_ok=True), name
    if estimator == "ML":
        assert one["cfi_robust"] == pytest.approx(one["cfi"], abs=1e-10)
        assert one["rmsea_robust"] == pytest.approx(one["rmsea"], abs=1e-10)


def test_the_order_of_rows_does_not_matter(fitted):
    other = bs.fit(MODEL, data().sample(frac=1.0, random_state=3), missing="fiml")
    assert np.allclose(fitted.parameters["est"], other.parameters["est"], rtol=1e-8)
    assert np.allclose(fitted.parameters["se"], other.parameters["se"], rtol=1e-8)


def test_units_do_not_matter():
    frame = data()
    scaled = frame.assign(x2=frame["x2"] * 1e4, x5=frame["x5"] * 1e-4)
    one, other = (bs.fit(MODEL, d, missing="fiml", estimator="MLR") for d in (frame, scaled))
    for name in ("chisq", "chisq_scaled", "cfi_robust", "rmsea_robust"):
        assert one.measures[name] == pytest.approx(other.measures[name], rel=1e-8)
    assert np.allclose(one.parameters["z"], other.parameters["z"], rtol=1e-6, equal_nan=True)


def test_covariates_with_holes():
    frame = data(covariate=0.1)
    lost = int(frame["w"].isna().sum())
    one, other = bs.fit(MODEL, frame, missing="fiml"), bs.fit(MODEL, frame, missing="fiml.x")
    assert one.nobs == 150 - lost
    assert one.n_dropped == lost
    assert other.nobs == 150
    assert other.n_dropped == 0
    free = bs.fit(MODEL, frame, missing="fiml", fixed_x=False)
    assert free.nobs == 150
    # fixing the covariate's moments at their values without a model costs a little fit, and gains none
    assert 0 < other.measures["chisq"] - free.measures["chisq"] < 0.1


def test_rows_without_answers():
    frame = pd.concat([data(), pd.DataFrame(np.nan, index=[0, 1], columns=data().columns)], ignore_index=True)
    fit = bs.fit(MODEL, frame, missing="fiml.x")
    assert (fit.nobs, fit.n_read, fit.n_dropped) == (150, 152, 2)


def test_pairs_never_observed_together():
    frame = data(share=0.0)
    frame.loc[:70, "x1"] = np.nan
    frame.loc[71:, "x5"] = np.nan
    with pytest.raises(DataError, match="never answered by the same respondent: x1 and x5"):
        bs.fit(MODEL, frame, missing="fiml")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"estimator": "MLM"}, "estimator='MLR'"),
        ({"estimator": "WLS"}, "needs complete rows"),
        ({"estimator": "GLS"}, "needs complete rows"),
        ({"likelihood": "wishart"}, "wishart"),
        ({"se": "robust.sem"}, "robust.huber.white"),
        ({"test": "satorra.bentler"}, "MLR"),
        ({"meanstructure": False}, "mean structure"),
        ({"bounds": "pos.var"}, "missing='listwise'"),
        ({"engine": "semopy"}, "missing values"),
    ],
)
def test_what_is_refused(options, words):
    with pytest.raises(Unsupported) as caught:
        bs.fit(MODEL, data(), missing="fiml", **options)
    assert words in str(caught.value)


def test_nonlinear_constraints_are_refused():
    with pytest.raises(Unsupported, match="nonlinear"):
        bs.fit(MODEL + "\na*b == 0.5", data(), missing="fiml")


def test_moments_are_refused():
    with pytest.raises(Unsupported, match="needs the data"):
        bs.fit("F =~ x1 + x2 + x3", sample_cov=data(share=0.0).cov(), nobs=150, missing="fiml")


def test_questions_that_need_complete_rows_are_refused(fitted):
    with pytest.raises(Unsupported, match="fiml"):
        fitted.bootstrap(10, 1)
    with pytest.raises(Unsupported, match="fiml"):
        fitted.residuals(se=True)
    with pytest.raises(Unsupported, match="missing values"):
        fitted.factor_scores("bartlett")
    robust = bs.fit(MODEL, data(), missing="fiml", estimator="MLR")
    with pytest.raises(Unsupported):
        robust.modification_indices()
    smaller = bs.fit(MODEL.replace("b*F", "b*F + 0*w").replace(" + w\n", "\n"), data(), missing="fiml", estimator="MLR")
    with pytest.raises(Unsupported, match="complete rows"):
        bs.compare(robust, smaller, method="satorra.bentler.2010")


def test_effects_and_wald_tests(fitted):
    row = fitted.parameters.set_index("lhs").loc["c"]
    effects = fitted.indirect_effects(ci="mc", draws=500, seed=1).table
    assert len(effects)
    test = fitted.wald_test("c == 0")
    assert test.chisq == pytest.approx(row["z"] ** 2, rel=1e-8)


def test_residuals_are_differences_of_moments_without_and_with_the_model(fitted):
    residual = fitted.residuals()
    found = fitted._context.observed.groups[0]
    assert np.allclose(residual["cov"], found.cov - fitted.implied()["cov"], atol=1e-12)


def test_scores_of_other_rows_with_holes(fitted):
    frame = data(n=20, seed=9)
    frame.iloc[3, :] = np.nan
    scores = fitted.factor_scores(data=frame)
    assert len(scores) == 19
    assert 3 not in scores.index
    complete = frame.dropna()
    alone = fitted.factor_scores(data=complete)
    assert np.allclose(scores.loc[complete.index], alone, rtol=1e-10)


def test_a_dropped_path_is_found_by_the_score_test(fitted):
    restricted = bs.fit(MODEL.replace("b*F + w", "b*F + 0*w"), data(), missing="fiml")
    found = restricted.modification_indices(op="~")
    row = found[(found["lhs"] == "G") & (found["rhs"] == "w")].iloc[0]
    difference = bs.compare(restricted, fitted).table.iloc[1]["chisq_diff"]
    assert row["mi"] == pytest.approx(difference, rel=0.3)
    total = restricted.score_test("G ~ w")
    assert total.chisq == pytest.approx(row["mi"], rel=1e-8)


FACTOR = "F =~ x1 + x2 + x3 + x4 + x5 + x6"


@pytest.mark.parametrize(
    ("change", "words", "others"),
    [
        (lambda d: d.assign(x5=d["x2"]), "x2 and x5", ["x1", "x3", "x4", "x6"]),
        (lambda d: d.assign(x5=3 - 2 * d["x2"]), "x2 and x5", ["x1", "x3", "x4", "x6"]),
        (lambda d: d.assign(x5=d["x1"] + d["x2"] + d["x3"]), "x1, x2, x3, x5", ["x4", "x6"]),
    ],
)
def test_collinear_columns_are_named(change, words, others):
    frame = change(data(share=0.0))
    frame = frame.mask(np.random.default_rng(5).random(frame.shape) < 0.15)
    with pytest.raises(DataError, match=words) as caught:
        bs.fit(FACTOR, frame, missing="fiml")
    assert not any(name in caught.value.message for name in others)


def test_chance_agreement_of_few_rows_is_not_collinearity():
    """Where the moments are found nothing is refused."""
    frame = data(share=0.0).drop(columns="w")
    frame.loc[:75, "x1"] = np.nan
    frame.loc[82:, "x5"] = np.nan
    frame.loc[76:81, "x5"] = frame.loc[76:81, "x1"]
    assert bs.fit(FACTOR, frame, missing="fiml").converged


def test_without_standard_errors_a_fit_is_not_ok(monkeypatch):
    monkeypatch.setattr(Solution, "vcov", lambda self, n: np.full((self.structure.q,) * 2, math.nan))
    fit = bs.fit(MODEL, data(), missing="fiml")
    assert fit.converged
    assert not fit.ok
    assert any("there are no standard errors" in text for text in fit.warnings)
    assert bs.fit(MODEL, data(), missing="fiml", se="none").ok


def test_a_model_that_needs_nearly_all_rows_to_have_their_own_pattern():
    frame = data(n=200, share=0.5, seed=4).drop(columns="w")
    fit = bs.fit("F =~ x1 + x2 + x3\nG =~ x4 + x5 + x6", frame, missing="fiml")
    assert fit.converged
    assert (fit.parameters["se"] >= 0).all()
