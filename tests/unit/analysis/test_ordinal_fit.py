"""Fits of ordinal items: what is taken, what is refused and why, and what the result says."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs
from b2b_sem.errors import DataError, ModelError, ModelSyntaxError, Unsupported
from b2b_sem.results.fit import FitResult

MODEL = "f =~ x1 + x2 + x3 + x4"


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(11)
    f = rng.normal(size=(300, 1))
    answers = np.digitize(0.8 * f + 0.6 * rng.normal(size=(300, 5)), [-0.8, 0.1, 1.0]) + 1
    out = pd.DataFrame(answers, columns=["x1", "x2", "x3", "x4", "x5"])
    out["u"] = f[:, 0] + rng.normal(size=300)
    out["z"] = 0.5 * f[:, 0] + rng.normal(size=300)
    return out


def fit(frame: Any, model: str = MODEL, **options: Any) -> Any:
    return bs.fit(model, frame, **{"ordered": True, **options})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"estimator": "MLR"}, "not available for ordinal items"),
        ({"estimator": "GLS"}, "use one of WLSMV"),
        ({"estimator": "WLSMW"}, "or 'WLSMV'"),
        ({"estimator": "WLS", "se": "robust"}, "estimator='WLS'"),
        (
            {"estimator": "WLSMV", "test": "satorra.bentler"},
            "estimator='DWLS' with se='robust' and test='satorra.bentler'",
        ),
        ({"estimator": "DWLS", "test": "yuan.bentler"}, "not available for ordinal items"),
        ({"se": "robust.huber.white"}, "se='robust.huber.white'"),
        ({"information": "observed"}, "information"),
        ({"likelihood": "wishart"}, "maximum likelihood only"),
        ({"missing": "fiml"}, "missing='listwise' or 'pairwise'"),
        ({"parameterization": "gamma"}, "'delta' or 'theta'"),
        ({"engine": "semopy"}, "native"),
        ({"cluster": "z"}, "clusters are not available"),
        ({"bounds": "standard"}, "bounds are not available"),
        ({"meanstructure": False}, "mean structure"),
    ],
)
def test_what_is_not_tested_is_refused(frame: pd.DataFrame, options: dict[str, Any], words: str) -> None:
    with pytest.raises(Unsupported) as caught:
        fit(frame, **options)
    assert words in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize(
    ("model", "options", "kind", "words"),
    [
        (MODEL + "\nx1 | t4", {}, ModelSyntaxError, "there is no t4"),
        (MODEL + "\nx1 | cut", {}, ModelSyntaxError, "thresholds are t1, t2"),
        (MODEL + "\nx1 ~*~ x2", {}, ModelSyntaxError, "names two variables"),
        (MODEL + "\nx1 ~~ x1", {}, Unsupported, "parameterization='theta'"),
        (MODEL + "\nx1 ~*~ x1", {"parameterization": "theta"}, Unsupported, "parameterization='delta'"),
        (MODEL + "\nx9 | t1", {}, ModelSyntaxError, "'x9' is not an observed variable"),
        (MODEL + "\nx1 | lower(0)*t2", {}, Unsupported, "bounds"),
        (MODEL + "\nx1 | a*t1\nx2 | b*t1\na*b == 1", {}, Unsupported, "linear"),
        (MODEL + "\nx1 | a*t1\nx2 | b*t1\na < b", {}, Unsupported, "not available for ordinal"),
        (MODEL, {"ordered": ["x1", "x7"]}, ModelSyntaxError, "'x7'"),
        (MODEL + "\nf ~ z", {"ordered": ["x1", "z"]}, ModelSyntaxError, "only predicts"),
        (MODEL + " + y", {}, ModelSyntaxError, "neither a latent variable"),
        ("f =~ x1 + x2", {}, ModelSyntaxError, "not identified"),
    ],
)
def test_model_texts_that_mean_nothing(
    frame: pd.DataFrame, model: str, options: dict[str, Any], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind) as caught:
        fit(frame, model, **options)
    assert words in str(caught.value)


def test_data_are_needed(frame: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="need the rows"):
        bs.fit(MODEL, sample_cov=frame.cov(), nobs=300, ordered=True)
    with pytest.raises(DataError, match="no names"):
        bs.fit(MODEL, frame.to_numpy(), ordered=True)


def test_an_item_with_one_answer_is_named(frame: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="x2"):
        fit(frame.assign(x2=3))


def test_an_undeclared_missing_code_is_a_warning(frame: pd.DataFrame) -> None:
    wrong = frame.copy()
    wrong.loc[:20, "x3"] = -99
    assert any("x3 is -99 in 21 cells" in text for text in fit(wrong).warnings)


def test_too_few_rows_for_wls(frame: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="WLS needs more rows than statistics"):
        fit(frame.head(15), estimator="WLS")


def test_thresholds_in_the_text_make_an_item_ordinal(frame: pd.DataFrame) -> None:
    with_text = bs.fit(MODEL + "\nx1 | t1\nx2 | t1\nx3 | t1\nx4 | t1", frame)
    whole = fit(frame)
    assert with_text.measures["chisq"] == pytest.approx(whole.measures["chisq"], rel=1e-10)
    one = fit(frame, MODEL + "\nx1 | t1", ordered=["x2"])
    assert one.model.options["ordered"] == ("x1", "x2")
    assert set(one.implied()["mean"].index) == {"x3", "x4"}


def test_values_of_the_categories_do_not_matter(frame: pd.DataFrame) -> None:
    other = frame.replace({1: -7, 2: 0, 3: 0.5, 4: 1000})
    assert fit(other).measures["chisq_scaled"] == pytest.approx(fit(frame).measures["chisq_scaled"], rel=1e-12)


def test_a_string_names_one_item(frame: pd.DataFrame) -> None:
    assert fit(frame, ordered="x1").model.options["ordered"] == ("x1",)


def test_units_of_numeric_variables_do_not_matter(frame: pd.DataFrame) -> None:
    model = "f =~ x1 + x2 + x3 + u\nz ~ f"
    items = ["x1", "x2", "x3"]
    for estimator in ("WLSMV", "DWLS"):
        plain = fit(frame, model, ordered=items, estimator=estimator)
        scaled = fit(frame.assign(u=1e2 * frame["u"], z=1e-3 * frame["z"]), model, ordered=items, estimator=estimator)
        for name in ("chisq", "cfi", "srmr", "baseline_chisq"):
            assert scaled.measures[name] == pytest.approx(plain.measures[name], rel=1e-6), (estimator, name)
        ours, theirs = scaled.standardized(), plain.standardized()
        assert ours["est_std"].to_list() == pytest.approx(theirs["est_std"].to_list(), abs=1e-6)


def test_starting_values_do_not_matter(frame: pd.DataFrame) -> None:
    plain = fit(frame, parameterization="theta")
    moved = fit(frame, "f =~ x1 + start(3)*x2 + start(0.2)*x3 + x4\nx1 | start(2)*t1", parameterization="theta")
    assert moved.parameters["est"].to_list() == pytest.approx(plain.parameters["est"].to_list(), abs=1e-8)


def test_a_negative_computed_residual_variance_is_a_heywood_case() -> None:
    rng = np.random.default_rng(3)
    cor = np.array([[1.0, 0.8, 0.8], [0.8, 1.0, 0.5], [0.8, 0.5, 1.0]])  # loadings of x1 beyond 1
    rows = np.digitize(rng.multivariate_normal(np.zeros(3), cor, 400), [-0.7, 0.4])
    found = fit(pd.DataFrame(rows, columns=["x1", "x2", "x3"]), "f =~ x1 + x2 + x3")
    assert not found.admissible
    assert any("Heywood case: negative variance of x1" in text for text in found.warnings)
    row = found.parameters.query("op == '~~' and lhs == 'x1' and rhs == 'x1'").iloc[0]
    assert row["est"] < 0


def test_an_unidentified_model_has_no_numbers(frame: pd.DataFrame) -> None:
    found = fit(frame, MODEL + "\nx1 ~ NA*1")
    assert not found.identified
    assert any("does not determine" in text or "not identified" in text for text in found.warnings)
    assert math.isnan(found.measures["chisq_scaled"])


def test_the_result_survives_json(frame: pd.DataFrame, tmp_path: Path) -> None:
    found = fit(frame, "f =~ x1 + x2 + x3 + u\nf ~ z", ordered=["x1", "x2", "x3"])
    again = FitResult.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False)))
    for part in ("implied", "sample", "residuals"):
        ours, theirs = getattr(found, part)(), getattr(again, part)()
        assert set(ours) == set(theirs) == {"cov", "mean", "th", "slopes"}
        for name in ours:
            assert np.allclose(ours[name].to_numpy(), theirs[name].to_numpy(), atol=1e-12)
    assert again.model.options["parameterization"] == "delta"
    # a fit of numbers has no such keys
    assert "sample_th" not in bs.fit(MODEL, frame).to_json()


def test_the_table_can_be_fitted_again(frame: pd.DataFrame) -> None:
    found = fit(frame, MODEL + "\nx1 | a*t1\nx2 | a*t1")
    lines = found.model.syntax.splitlines()
    assert "x1 | a*t1" in lines
    assert "x4 | NA*t3" in lines
    assert "x1 ~*~ 1*x1" in lines


def test_summary_shows_thresholds_and_scales(frame: pd.DataFrame) -> None:
    text = fit(frame, parameterization="theta").summary()
    assert "Thresholds:" in text
    assert "x4|t3" in text
    assert "Scales y*:" in text
    assert "theta" in text


def test_what_needs_continuous_answers_is_refused(frame: pd.DataFrame) -> None:
    found = fit(frame)
    for call in (
        lambda: found.factor_scores(),
        lambda: found.bootstrap(20, 1),
        lambda: found.indirect_effects("mc"),
        lambda: found.residuals("standardized"),
    ):
        with pytest.raises(Unsupported):
            call()


def test_models_with_other_ordinal_items_are_not_compared(frame: pd.DataFrame) -> None:
    one, two = fit(frame), fit(frame, "f =~ x1 + x2 + x3 + a*x4\na == 1", ordered=["x1", "x2"])
    with pytest.raises(DataError, match="ordered"):
        bs.compare(one, two)


def test_missing_answers_listwise_and_pairwise(frame: pd.DataFrame) -> None:
    holes = frame.astype(float).copy()
    holes.loc[::7, "x1"] = np.nan
    holes.loc[::5, "x2"] = np.nan
    listwise, pairwise = fit(holes), fit(holes, missing="pairwise")
    assert listwise.nobs < pairwise.nobs == 300
    assert listwise.n_dropped == 300 - listwise.nobs
    complete = holes.dropna()
    assert listwise.measures["chisq"] == pytest.approx(fit(complete).measures["chisq"], rel=1e-12)


def test_a_failed_fit_cannot_be_asked_for_indices(frame: pd.DataFrame) -> None:
    with pytest.raises(ModelError, match="not identified"):
        fit(frame, MODEL + "\nx1 ~ NA*1").modification_indices()


def test_a_list_of_all_ordinal_items_serves_every_model(frame: pd.DataFrame) -> None:
    fitted = fit(frame, ordered=["x1", "x2", "x3", "x4", "x5"])
    alone = fit(frame, ordered=["x1", "x2", "x3", "x4"])
    assert fitted.model.options["ordered"] == ("x1", "x2", "x3", "x4")
    assert fitted.measures["chisq"] == alone.measures["chisq"]
    assert [n for n in fitted.notes if n not in alone.notes] == ["Ordered, but not in the model: x5."]
    advised = fit(frame, ordered=["x1", "x2", "x3", "x4", "x5"], estimator="auto")
    assert any("4 items were named as ordered" in note for note in advised.notes)


@pytest.mark.parametrize(
    ("ordered", "words"),
    [(["x1", "y1"], "'y1' is not an observed variable"), (["x5"], "none of the ordinal variables is in the model: x5")],
)
def test_names_that_mean_nothing_are_refused(frame: pd.DataFrame, ordered: list[str], words: str) -> None:
    with pytest.raises(ModelSyntaxError, match=words):
        fit(frame, ordered=ordered)


def test_a_quantity_is_not_an_ordinal_item(frame: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="u has 300 different answers") as caught:
        fit(frame, MODEL + " + u")
    assert "Leave u out of `ordered`" in str(caught.value.hint)
    rounded = frame.assign(u=frame["u"].rank(method="first") // 6)  # 51 values
    with pytest.raises(DataError, match="51 different answers"):
        fit(rounded, MODEL + " + u")
    assert fit(frame.assign(u=frame["u"].rank(method="first") // 15), MODEL + " + u").converged
