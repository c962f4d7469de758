"""What cut-offs are made from: standardized values of a fit or a text, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs
from b2b_sem.analysis.cutoff_recipe import measurement_fit, recipe_of, recipe_of_answers, recipe_of_text
from b2b_sem.errors import ModelError, ModelSyntaxError, Unsupported

CFA = "F =~ x1 + x2 + x3\nG =~ x4 + x5 + x6"
SEM = CFA + "\nG ~ F"


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    factors = rng.standard_normal((400, 2)) @ np.array([[1, 0.5], [0, 0.87]])
    rows = np.repeat(factors, 3, axis=1) * [0.8, 0.6, 0.7, 0.5, 0.9, 0.6] + 0.6 * rng.standard_normal((400, 6))
    frame = pd.DataFrame(rows * [1, 5, 0.2, 1, 1, 3], columns=[f"x{k}" for k in range(1, 7)])
    return frame.assign(g=np.where(rng.random(400) < 0.5, "a", "b"))


@pytest.fixture(scope="module")
def answers(data: pd.DataFrame) -> pd.DataFrame:
    items = data.drop(columns="g")
    return items.apply(lambda c: np.digitize(c / c.std(), [-1.0, 0.0, 0.9]))


def test_a_fit_gives_its_standardized_solution(data: pd.DataFrame) -> None:
    fit = bs.fit(CFA + "\nx1 ~~ x5", data, engine="native")
    recipe = recipe_of(fit)
    implied = fit.implied()["cov"].loc[list(recipe.solution.items), list(recipe.solution.items)].to_numpy()
    assert recipe.solution.cor() * np.outer(recipe.scale, recipe.scale) == pytest.approx(implied, rel=1e-6)
    assert recipe.values == {name: pytest.approx(fit.measures[name], abs=1e-7) for name in ("srmr", "rmsea", "cfi")}
    assert recipe.solution.tied == {"x1", "x5"}
    assert recipe.notes == ()


def test_a_model_with_paths_gives_its_measurement_part_from_moments_and_from_json(data: pd.DataFrame) -> None:
    free = bs.fit(CFA, data, engine="native", meanstructure=True, likelihood="wishart")
    paths = bs.fit("F =~ x1 + x2 + x3\nG =~ x4 + x5 + x6\nG ~ 0*F", data, meanstructure=True, likelihood="wishart")
    assert paths.measures["chisq"] > free.measures["chisq"] + 20
    own, notes = measurement_fit(bs.FitResult.from_json(paths.to_json()))
    assert own.measures["chisq"] == pytest.approx(free.measures["chisq"], rel=1e-6)
    assert own.measures["srmr"] == pytest.approx(free.measures["srmr"], rel=1e-6)
    assert notes[0].startswith("Cut-offs and values are those of the measurement part")
    assert "G ~ F" in notes[0]


def test_ordinal_items_bring_their_thresholds(answers: pd.DataFrame) -> None:
    delta = recipe_of(bs.fit(CFA, answers, ordered=True))
    theta = recipe_of(bs.fit(CFA, answers, ordered=True, parameterization="theta"))
    assert delta.suffix == "_scaled"
    assert delta.estimator == "WLSMV"
    for item, cuts in delta.thresholds.items():
        shares = answers[item].value_counts(normalize=True).sort_index().cumsum().to_numpy()[:-1]
        from scipy.special import ndtr

        assert ndtr(cuts) == pytest.approx(shares, abs=1e-9)
        assert theta.thresholds[item] == pytest.approx(cuts, abs=1e-5)
    assert theta.solution.loadings == pytest.approx(delta.solution.loadings, abs=1e-5)
    assert "parameterization" not in theta.settings


def test_ordinal_items_of_a_model_with_paths_need_the_answers(answers: pd.DataFrame) -> None:
    fit = bs.fit(SEM, answers, ordered=True)
    with pytest.raises(Unsupported, match="measurement part alone") as error:
        recipe_of(fit)
    assert "F =~ x1; F =~ x2" in str(error.value.hint)
    recipe = recipe_of_answers(SEM, answers, {"ordered": (*answers.columns, "z9")})
    assert recipe.values == recipe_of(bs.fit(CFA, answers, ordered=True)).values
    assert "left out: G ~ F" in recipe.notes[0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"estimator": "MLR"}, "estimator='MLR'"),
        ({"estimator": "ULS"}, "estimator='ULS'"),
        ({"test": "satorra.bentler"}, "robust indices are those of ML"),
        ({"missing": "fiml"}, "missing='fiml'"),
        ({"group": "g"}, "several groups"),
        ({"bounds": "pos.var"}, "bounds='pos.var'"),
    ],
)
def test_what_has_no_tested_rule_is_refused(data: pd.DataFrame, options: dict[str, str], said: str) -> None:
    with pytest.raises(Unsupported, match=said):
        recipe_of(bs.fit(CFA, data, **options))


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("F =~ x1 + x2 + x3", "no degrees of freedom"),
        ("F =~ a*x1 + a*x2 + x3 + x4", "label a"),
        ("F =~ x1 + x2 + x3\nG =~ x4 + x5 + x6\nH =~ F + G", "measured by the latent variable"),
        ("F =~ x1 + x2 + x3 + x4\nG =~ x5\nG ~~ F", "'x5' has no residual variance"),
        ("x1 ~ x2 + x3\nx4 ~ x1", "no latent variable"),
        ("F =~ 1*x1 + x2 + x3 + x4\nF ~~ 0.3*F", "restrictions that its measurement part does not keep"),
    ],
)
def test_models_without_a_rule_are_refused(data: pd.DataFrame, model: str, said: str) -> None:
    with pytest.raises((Unsupported, ModelSyntaxError), match=said):
        recipe_of(bs.fit(model, data, engine="native"))


def test_mixed_items_products_and_failed_fits_are_refused(data: pd.DataFrame, answers: pd.DataFrame) -> None:
    mixed = answers.assign(x6=data["x6"])
    with pytest.raises(Unsupported, match="ordinal and continuous"):
        recipe_of(bs.fit(CFA, mixed, ordered=["x1", "x2", "x3", "x4", "x5"]))
    with pytest.raises(Unsupported, match="estimator='DWLS'"):
        recipe_of(bs.fit(CFA, answers, ordered=True, estimator="DWLS"))
    rng = np.random.default_rng(2)
    noise = pd.DataFrame(rng.normal(size=(60, 6)), columns=list(answers.columns))
    heywood = bs.fit("F =~ x1 + x2\nG =~ x3 + x4\nH =~ x5 + x6", noise, engine="native")
    assert not heywood.ok
    with pytest.raises(ModelError, match="cannot be used"):
        recipe_of(heywood)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("F =~ .7*a + b", "has no number"),
        ("F =~ .7*a + .6*b\nG =~ .5*c + .6*d", "correlation of F and G is missing"),
        ("F =~ .7*a + .6*b\nF ~ .3*z", "no part of a standardized"),
        ("F =~ .7*a + .6*b\na ~~ .3*a", "no part of a standardized"),
        ("F =~ .7*a + .6*b\na ~~ .3*z", "does not measure"),
        ("F =~ .7*a + .6*b\nk := 2", "without constraints"),
        ("a ~~ .2*b", "no latent variable"),
    ],
)
def test_texts_that_lack_something_are_refused_with_their_place(text: str, said: str) -> None:
    with pytest.raises(ModelSyntaxError, match=said) as error:
        recipe_of_text(text, 200, "model.lav")
    assert error.value.hint or "does not measure" in said


def test_values_that_are_no_solution_are_refused() -> None:
    with pytest.raises(ModelError, match="no proper solution"):
        recipe_of_text("F =~ 1.2*a + .6*b + .7*c + .5*d", 200)
    with pytest.raises(Unsupported, match="no residual variance"):
        recipe_of_text("F =~ 1*a + .6*b + .7*c + .5*d", 200)
    with pytest.raises(Unsupported, match="measured by the latent"):
        recipe_of_text("F =~ .7*a + .6*b\nG =~ .7*c + .6*d\nH =~ .5*F + .6*G\nF~~.1*G\nF~~.1*H\nG~~.1*H", 200)
