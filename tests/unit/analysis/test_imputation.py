"""Fits to imputed data: limits in which the answer is known, what is counted, and what is refused."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs
from b2b_sem.analysis import structural
from b2b_sem.analysis.imputation import PooledFit
from b2b_sem.errors import DataError, ModelError, ModelSyntaxError, Unsupported
from b2b_sem.results.fit import FitResult

MODEL = "A =~ a1 + l*a2 + k*a3\nB =~ b1 + b2 + b3\nB ~ s*A\nt := 2*s"


def answers(n: int = 200, share: float = 0.15) -> pd.DataFrame:
    """Return six items of two factors with holes, and a column that says more about one of them."""
    rng = np.random.default_rng(11)
    a = rng.normal(size=n)
    b = 0.6 * a + 0.8 * rng.normal(size=n)
    frame = pd.DataFrame({f"a{i}": a + 0.7 * rng.normal(size=n) for i in (1, 2, 3)})
    frame = frame.assign(**{f"b{i}": b + 0.7 * rng.normal(size=n) for i in (1, 2, 3)})
    frame["help"] = frame["a2"] + 0.3 * rng.normal(size=n)
    for name in ("a2", "a3", "b1"):
        frame.loc[rng.random(n) < share, name] = np.nan
    return frame


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    return answers()


@pytest.fixture(scope="module")
def fit(data: pd.DataFrame) -> PooledFit:
    found = bs.fit(MODEL, data, missing="mi", imputations=5, seed=1)
    assert isinstance(found, PooledFit)
    return found


@pytest.mark.parametrize("estimator", ["ML", "MLR", "MLM"])
def test_complete_data_give_the_plain_fit(data: pd.DataFrame, estimator: str) -> None:
    whole = data.dropna()
    plain = bs.fit(MODEL, whole, estimator=estimator, engine="native")
    pooled = bs.fit(MODEL, whole, estimator=estimator, missing="mi", imputations=3, seed=1)
    pd.testing.assert_frame_equal(pooled.parameters, plain.parameters, rtol=1e-10)
    pd.testing.assert_frame_equal(pooled.standardized(), plain.standardized(), rtol=1e-10)
    gone = {"fmin", "gfi", "agfi", "pgfi"}
    for name, value in plain.measures.items():
        if name in gone:
            assert math.isnan(pooled.measures[name])
        else:
            assert pooled.measures[name] == pytest.approx(value, rel=1e-9, abs=1e-12), name
    assert pooled.r2 == pytest.approx(plain.r2)
    assert (pooled.pooling["fmi"] < 1e-20).all()
    assert str(pooled.indirect_effects()) == str(plain.indirect_effects())


def test_the_result_is_that_of_rubin(data: pd.DataFrame, fit: PooledFit) -> None:
    frames = bs.impute(data, 5, seed=1, items=[c for c in data if c != "help"])
    fits = [bs.fit(MODEL, frame, engine="native") for frame in frames]
    values = np.array([f.parameters["est"] for f in fits])
    errors = np.array([f.parameters["se"] for f in fits])
    assert np.allclose(fit.parameters["est"], values.mean(axis=0), rtol=1e-12)
    total = (errors**2).mean(axis=0) + 1.2 * values.var(axis=0, ddof=1)
    free = errors[0] > 0
    assert np.allclose(fit.parameters["se"][free], np.sqrt(total)[free], rtol=1e-12)
    again = bs.fit_imputed(MODEL, list(frames))
    pd.testing.assert_frame_equal(again.parameters, fit.parameters)


def test_it_says_how_it_was_made(fit: PooledFit) -> None:
    options = fit.model.options
    assert (options["missing"], options["imputations"], options["seed"]) == ("mi", 5, 1)
    text = fit.summary()
    assert "5 of 5 imputed data sets pooled by Rubin's rules" in text
    assert "Meng & Rubin 1992" in text
    assert "predictive mean matching" in text
    assert fit.nobs == 200
    assert fit.imputation.method == "D3"
    table = fit.pooling
    missing = table.set_index(["lhs", "op", "rhs"])["fmi"]
    assert ((missing >= 0) & (missing < 1)).all()
    assert fit.imputation.imputations_needed == table["imputations_needed"].max()


def test_auxiliary_columns_lessen_the_missing_information(data: pd.DataFrame, fit: PooledFit) -> None:
    helped = bs.fit(MODEL, data, missing="mi", imputations=5, seed=1, auxiliary=["help", "b1"])
    assert helped.model.options["auxiliary"] == ["help"]  # b1 is in the model
    row = (fit.pooling["lhs"] == "a2") & (fit.pooling["op"] == "~~")
    assert helped.pooling.loc[row, "fmi"].item() < fit.pooling.loc[row, "fmi"].item()


def test_json_goes_out_and_comes_back(fit: PooledFit) -> None:
    content = json.loads(json.dumps(fit.to_json(), allow_nan=False))
    assert content["imputation"]["used"] == 5
    assert len(content["imputation"]["table"]) == len(fit.pooling)
    back = FitResult.from_json(content)
    pd.testing.assert_frame_equal(back.parameters, fit.parameters)
    assert back.measures["chisq"] == fit.measures["chisq"]


def test_tests_of_the_model(fit: PooledFit) -> None:
    found = {method: fit.pooled_test(method=method) for method in ("D2", "D3", "D4")}
    assert fit.pooled_test().f == found["D3"].f
    assert found["D3"].chisq == pytest.approx(fit.measures["chisq"])
    for test in found.values():
        assert test.df == 8
        assert 0 < test.pvalue < 1
        assert "imputations" in test.summary()
        assert test.to_json()["method"] == test.method
    wald = fit.wald_test("l == k; s == 0.6")
    assert wald.method == "D1"
    assert wald.df == 2
    assert len(wald.se) == 2
    assert "l == k" in wald.summary()
    with pytest.raises(Unsupported, match="wald_test"):
        fit.pooled_test(method="D1")
    with pytest.raises(Unsupported, match="Did you mean"):
        fit.pooled_test(method="D33")


def test_nested_models(data: pd.DataFrame, fit: PooledFit) -> None:
    imputed = bs.impute(data, 5, seed=1, items=[c for c in data if c != "help"])
    equal = bs.fit_imputed(MODEL.replace("k*", "l*"), imputed)
    found = bs.compare(fit, equal, names=["free", "equal"])
    assert found.method == "D3"
    test = equal.pooled_test(fit)
    row = found.table.iloc[1]
    assert (row["chisq_diff"], row["pvalue"]) == (test.chisq, test.pvalue)
    assert fit.pooled_test(equal).f == test.f  # in any order
    none = bs.compare(fit, equal, method="none").table
    assert none["chisq_diff"].isna().all()
    with pytest.raises(ModelError, match="same degrees of freedom"):
        fit.pooled_test(fit)
    with pytest.raises(Unsupported, match="not available for imputed data"):
        bs.compare(fit, equal, method="satorra.2000")


def test_only_the_same_imputations_are_compared(data: pd.DataFrame, fit: PooledFit) -> None:
    equal = MODEL.replace("k*", "l*")
    other = bs.fit(equal, data, missing="mi", imputations=5, seed=2)
    with pytest.raises((ModelError, DataError), match=r"same data|same imputed"):
        bs.compare(fit, other)
    with pytest.raises(ModelError, match="not fitted to the same imputed"):
        other.pooled_test(fit)
    fewer = bs.fit(equal, data, missing="mi", imputations=4, seed=1)
    with pytest.raises(ModelError, match="5 imputed data sets"):
        fewer.pooled_test(fit)
    with pytest.raises(Unsupported, match="was not fitted to imputed data"):
        bs.compare(fit, bs.fit(equal, data.dropna()))


def test_robust_tests(data: pd.DataFrame) -> None:
    frames = bs.impute(data, 4, seed=1, items=[c for c in data if c != "help"])
    one = bs.fit_imputed(MODEL, frames, estimator="MLM")
    two = bs.fit_imputed(MODEL.replace("k*", "l*"), frames, estimator="MLM")
    test = one.pooled_test()
    assert math.isinf(test.df2)
    assert test.chisq == pytest.approx(one.measures["chisq_scaled"])
    assert bs.compare(one, two).table["chisq_diff"][1] == pytest.approx(two.pooled_test(one).chisq)
    with pytest.raises(Unsupported, match="D4"):
        one.pooled_test(method="D4")
    shifted = bs.fit_imputed(MODEL, frames, estimator="MLMV")
    assert shifted.imputation.method == "D2"
    assert math.isnan(shifted.measures["cfi_robust"])


def test_fits_without_a_solution_are_counted_and_left_out(data: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = list(bs.impute(data, 4, seed=1, items=[c for c in data if c != "help"]))
    kept = bs.fit_imputed(MODEL, [frames[0], *frames[2:]])
    plain = structural.fit

    def fails_for_the_second(model: str, frame: pd.DataFrame, **options: object) -> object:
        if frame is frames[1]:
            raise ModelError("no start was found")
        return plain(model, frame, **options)

    monkeypatch.setattr(structural, "fit", fails_for_the_second)
    found = bs.fit_imputed(MODEL, frames)
    assert found.imputation.used == 3
    assert dict(found.imputation.failed) == {2: "no start was found"}
    assert any("1 of 4 imputed data sets" in text and "number 2: no start" in text for text in found.warnings)
    pd.testing.assert_frame_equal(found.parameters, kept.parameters)


def test_no_solution_at_all_is_an_error(data: pd.DataFrame) -> None:
    frames = bs.impute(data, 2, seed=1)
    with pytest.raises(ModelError, match="none of 2 imputed data sets"):
        bs.fit_imputed("A =~ NA*a1 + a2 + a3 + b1", frames)


def test_fixed_covariates_have_no_standard_error() -> None:
    frame = answers()
    frame.loc[::9, "help"] = np.nan
    found = bs.fit(MODEL + "\nA ~ help", frame, missing="mi", imputations=4, seed=1)
    row = found.parameters[(found.parameters["lhs"] == "help") & (found.parameters["op"] == "~~")].iloc[0]
    assert row["se"] == 0
    assert math.isnan(row["z"])
    assert row["est"] == pytest.approx(np.mean([f.sample()["cov"].loc["help", "help"] for f in found.fits]))


def test_saturated_models_have_no_chi_square(data: pd.DataFrame) -> None:
    found = bs.fit("A =~ a1 + a2 + a3", data, missing="mi", imputations=3, seed=1)
    assert found.measures["chisq"] == 0
    assert math.isnan(found.measures["pvalue"])
    with pytest.raises(ModelError, match="saturated"):
        found.pooled_test()


@pytest.mark.parametrize(
    ("question", "hint"),
    [
        (lambda f: f.modification_indices(), "fits"),
        (lambda f: f.score_test("a1 ~~ a2"), "wald_test"),
        (lambda f: f.bootstrap(10, 1), "pooled standard errors"),
        (lambda f: f.factor_scores(), "score each data set"),
        (lambda f: f.residuals("normalized"), "kind='raw'"),
        (lambda f: f.indirect_effects(ci="bca", seed=1), "ci='mc'"),
    ],
)
def test_what_is_not_defined_is_refused(fit: PooledFit, question, hint: str) -> None:
    with pytest.raises(Unsupported) as error:
        question(fit)
    assert hint in str(error.value)


def test_what_a_fit_answers_is_answered(fit: PooledFit) -> None:
    assert fit.residuals()["cov"].abs().to_numpy().max() < 0.2
    assert fit.residuals("cor")["cov"].to_numpy()[0, 0] == pytest.approx(0, abs=1e-12)
    assert fit.indirect_effects(ci="mc", seed=1, draws=200) is not None
    reliability = bs.reliability(fit)
    assert reliability.select_dtypes("number").notna().any().any()
    assert fit.implied()["cov"].shape == (6, 6)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"missing": "mi"}, DataError, "needs a seed"),
        ({"missing": "mi", "seed": 1, "imputations": 1}, DataError, "m=1"),
        ({"seed": 1}, DataError, "goes with missing='mi'"),
        ({"imputations": 5}, DataError, "goes with missing='mi'"),
        ({"auxiliary": ["help"]}, Unsupported, "need missing='fiml' or 'mi'"),
        ({"missing": "mi", "seed": 1, "group": "hepl"}, DataError, "no column 'hepl'"),
        ({"missing": "mi", "seed": 1, "cluster": "help"}, Unsupported, "cluster='help'"),
        ({"missing": "mi", "seed": 1, "bounds": "pos.var"}, Unsupported, "bounds='pos.var'"),
        ({"missing": "mi", "seed": 1, "estimator": "ULS"}, Unsupported, "no known distribution"),
        ({"missing": "mi", "seed": 1, "se": "none"}, Unsupported, "standard errors of each fit"),
        ({"missing": "mi", "seed": 1, "likelihood": "wishart"}, Unsupported, "wishart"),
        ({"missing": "mi", "seed": 1, "auxiliary": ["hepl"]}, DataError, "hepl"),
    ],
)
def test_bad_options_are_refused(data: pd.DataFrame, options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        bs.fit(MODEL, data, **options)


def test_bad_input_is_refused(data: pd.DataFrame) -> None:
    with pytest.raises(ModelSyntaxError, match="zz"):
        bs.fit(MODEL + "\nA ~ zz", data, missing="mi", seed=1)
    with pytest.raises(Unsupported, match="needs the data"):
        bs.fit(MODEL, sample_cov=data.dropna().cov(), nobs=100, missing="mi", seed=1)
    with pytest.raises(DataError, match="data set 2 still has missing answers"):
        bs.fit_imputed(MODEL, [data.fillna(0.0), data])
    with pytest.raises(DataError, match="different numbers of rows"):
        bs.fit_imputed(MODEL, [data.fillna(0.0), data.fillna(0.0).head(50)])
    with pytest.raises(DataError, match="1 imputed data set:"):
        bs.fit_imputed(MODEL, [data])
    with pytest.raises(DataError, match="are expected, not a DataFrame"):
        bs.fit_imputed(MODEL, data)
    with pytest.raises(DataError, match="data set 1 is a int"):
        bs.fit_imputed(MODEL, [1, 2])
    with pytest.raises(Unsupported, match="nonlinear"):
        bs.fit_imputed(MODEL + "\ns > 0", bs.impute(data, 2, seed=1))
    with pytest.raises(DataError, match="imputed data set 1: "):
        bs.fit_imputed(MODEL, [data.assign(a1=1.0).fillna(0.0)] * 2)
