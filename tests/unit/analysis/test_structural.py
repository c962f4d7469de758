"""The door to the engines: what it accepts, what it refuses and what it tells."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs
from b2b_sem.errors import B2BSemError, DataError, ModelSyntaxError, Unsupported
from b2b_sem.results.columns import MEASURE_NAMES, PARAMETER_COLUMNS, STANDARDIZED_COLUMNS
from b2b_sem.spec.loader import load_model

MODEL = "F =~ x1 + x2 + x3\ny ~ a*F + z\ndouble := 2*a"


@lru_cache(maxsize=1)
def data() -> pd.DataFrame:
    rng = np.random.default_rng(6)
    n = 200
    f, z = rng.normal(size=n), rng.normal(size=n)
    out = {f"x{i}": f + rng.normal(scale=0.8, size=n) for i in (1, 2, 3)}
    return pd.DataFrame({**out, "y": 0.5 * f + 0.3 * z + rng.normal(size=n), "z": z, "word": ["a"] * n})


def fit(model: Any = MODEL, given: Any = None, **options: Any) -> Any:
    return bs.fit(
        model, data() if given is None and "sample_cov" not in options else given, **{"engine": "native", **options}
    )


# -- results -----------------------------------------------------------------------------------------------------------


def test_tables_have_the_promised_columns_and_rows() -> None:
    found = fit()
    assert tuple(found.parameters.columns) == PARAMETER_COLUMNS
    assert tuple(found.standardized().columns) == STANDARDIZED_COLUMNS
    assert tuple(found.measures) == MEASURE_NAMES
    rows = found.parameters
    assert list(rows["lhs"] + rows["op"] + rows["rhs"])[:6] == ["F=~x1", "F=~x2", "F=~x3", "y~F", "y~z", "x1~~x1"]
    assert list(rows["op"])[-1] == ":="
    assert list(rows["free"]) == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 0]
    double, a = rows.iloc[-1], rows.iloc[3]
    assert (double["lhs"], double["rhs"], double["label"]) == ("double", "2*a", "double")
    assert double["est"] == pytest.approx(2 * a["est"], rel=1e-12)
    assert double["se"] == pytest.approx(2 * a["se"], rel=1e-10)
    assert double["z"] == pytest.approx(a["z"], rel=1e-10)
    assert rows["std_all"].to_list() == found.standardized()["est_std"].to_list()


def test_wald_tests_and_intervals_follow_from_estimate_and_error() -> None:
    from scipy import stats

    rows = fit().parameters
    tested = rows[rows["se"] > 0]
    assert len(tested) == 10
    np.testing.assert_allclose(tested["z"], tested["est"] / tested["se"], rtol=1e-12)
    np.testing.assert_allclose(tested["pvalue"], 2 * stats.norm.sf(np.abs(tested["z"])), rtol=1e-10)
    np.testing.assert_allclose(tested["ci_lower"], tested["est"] - 1.959963984540054 * tested["se"], rtol=1e-12)
    np.testing.assert_allclose(tested["ci_upper"], tested["est"] + 1.959963984540054 * tested["se"], rtol=1e-12)
    fixed = rows[rows["se"] == 0]
    assert list(fixed["lhs"] + fixed["op"] + fixed["rhs"]) == ["F=~x1", "z~~z"]
    assert fixed[["z", "pvalue"]].isna().all(axis=None)
    assert (fixed["ci_lower"] == fixed["est"]).all()


def test_results_cannot_be_changed_from_outside() -> None:
    found = fit()
    for table in (found.parameters, found.standardized(), found.implied()["cov"], found.latent_cov()):
        table.iloc[0, -1] = 99.0
    found.measures["chisq"] = 99.0
    found.r2["y"] = 99.0
    for table in (found.parameters, found.standardized(), found.implied()["cov"], found.latent_cov()):
        assert table.iloc[0, -1] != 99.0
    assert found.measures["chisq"] != 99.0
    assert found.r2["y"] != 99.0
    with pytest.raises(AttributeError):
        found.engine = "other"


def test_moments_and_residuals_belong_together() -> None:
    found = fit(meanstructure=True)
    sample, implied, raw = found.sample(), found.implied(), found.residuals()
    names = ["x1", "x2", "x3", "y", "z"]
    expected = np.cov(data()[names].T, bias=True)
    np.testing.assert_allclose(sample["cov"].loc[names, names], expected, rtol=1e-12)
    np.testing.assert_allclose(raw["cov"], sample["cov"] - implied["cov"], atol=1e-14)
    np.testing.assert_allclose(raw["mean"], 0.0, atol=1e-7)
    cor = found.residuals("cor")["cov"]
    sd = {k: np.sqrt(np.diag(m["cov"])) for k, m in (("s", sample), ("i", implied))}
    np.testing.assert_allclose(
        cor, sample["cov"] / np.outer(sd["s"], sd["s"]) - implied["cov"] / np.outer(sd["i"], sd["i"]), atol=1e-14
    )
    with pytest.raises(Unsupported, match="'std'"):
        found.residuals("std")
    assert found.latent_cor().loc["F", "F"] == pytest.approx(1.0)


def test_the_result_says_what_was_done() -> None:
    found = fit("F =~ x1 + x2 + x3\ny ~ F + z", std_lv=True, likelihood="wishart", fixed_x=False)
    options = dict(found.model.options)
    assert options["std_lv"] is True
    assert options["fixed_x"] is False
    assert (options["likelihood"], options["estimator"], options["information"]) == ("wishart", "ML", "expected")
    assert found.model.observed == ("x1", "x2", "x3", "y", "z")
    assert "Variances of latent variables are fixed at 1 (std_lv)." in found.model.defaults
    assert (found.nobs, found.n_read, found.n_dropped) == (200, 200, 0)
    again = fit(found.model.syntax, likelihood="wishart", fixed_x=False)
    assert again.measures["chisq"] == pytest.approx(found.measures["chisq"], rel=1e-9)


def test_rows_with_holes_are_left_out_and_counted() -> None:
    holes = data().copy()
    holes.loc[[1, 5], "x1"] = np.nan
    holes.loc[5, "y"] = np.nan
    holes.loc[9, "word"] = None
    found = fit(given=holes)
    assert (found.nobs, found.n_read, found.n_dropped) == (198, 200, 2)
    assert any("2 of 200 rows dropped" in note for note in found.notes)
    whole = fit(given=data().drop(index=[1, 5]))
    assert found.measures == pytest.approx(whole.measures, nan_ok=True)


@pytest.mark.parametrize("engine", ["auto", "semopy", "native"])
def test_the_engine_is_named(engine: str) -> None:
    found = fit(engine=engine)
    assert found.engine == {"auto": "semopy"}.get(engine, engine)
    assert (found.optimizer.polish is None) == (engine == "native")
    assert found.notes == ()


def test_semopy_refuses_what_it_gets_wrong_and_auto_steps_aside() -> None:
    with pytest.raises(Unsupported, match="mean structure"):
        fit(meanstructure=True, engine="semopy")
    found = fit(meanstructure=True, engine="auto")
    assert found.engine == "native"
    assert any("mean structure" in note for note in found.notes)


def test_models_come_as_text_file_or_specification(tmp_path: Path) -> None:
    path = tmp_path / "m.lav"
    path.write_text("\ufeff" + MODEL, encoding="utf-8")
    assert fit(path).measures == fit().measures
    spec = load_model("lima2026")
    rng = np.random.default_rng(3)
    from b2b_sem.spec.syntax import parse_model

    items = dict.fromkeys(e.rhs for e in parse_model(spec.syntax()).entries if e.op == "=~")
    common = rng.normal(size=(150, 1))
    frame = pd.DataFrame(0.6 * common + rng.normal(size=(150, len(items))), columns=list(items))
    from_spec, from_text = fit(spec, frame), fit(spec.syntax(), frame)
    assert from_spec.measures["df"] == from_text.measures["df"]
    assert from_spec.measures["chisq"] == from_text.measures["chisq"]


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"estimator": "MLX"}, "estimator='MLX'.*Did you mean"),
        ({"likelihood": "wishard"}, "Did you mean 'wishart'"),
        ({"information": "observd"}, "Did you mean 'observed'"),
        ({"se": "bootstrap"}, "se='bootstrap'"),
        ({"test": "bollen.stine"}, "test='bollen.stine'"),
        ({"missing": "fimll"}, "missing='fimll'.*Did you mean 'fiml'"),
        ({"cluster": "word", "meanstructure": False}, "clusters need a mean structure"),
        ({"parameterization": "other"}, "parameterization"),
        ({"bounds": "tight"}, "bounds"),
        ({"kind": "growht"}, "kind='growht'.*Did you mean 'growth'"),
        ({"interaction": "qml"}, "interaction"),
        ({"engine": "natve"}, "Did you mean 'native'"),
    ],
)
def test_options_without_tested_numbers_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(Unsupported, match=message) as info:
        bs.fit(MODEL, data(), **options)
    assert info.value.hint


@pytest.mark.parametrize(
    ("model", "message", "line", "column"),
    [
        ("F =~ x1 + x2 + X3", "'X3' is neither .* Did you mean 'x3'", 1, 16),
        ("F =~ x1 + x2 + x3\ny ~ G", "'G' is neither", 2, 5),
        ("F =~ x1 + x2 + x3\nyy ~ F", "'yy' is neither .* Did you mean", 2, None),
        ("F =~ x1 + x2 + x3\ny ~ f", "'f' is neither .* Did you mean 'F'", 2, 5),
        ("y =~ x1 + x2 + x3", "'y' has the name of a column", 1, None),
    ],
)
def test_unknown_variables_are_placed(model: str, message: str, line: int, column: int | None) -> None:
    with pytest.raises(ModelSyntaxError, match=message) as info:
        fit(model)
    assert (info.value.line, info.value.column) == (line, column)


def cov() -> pd.DataFrame:
    names = ["x1", "x2", "x3", "y", "z"]
    return data()[names].cov()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, DataError, "no data"),
        ({"data": "frame", "sample_cov": "cov"}, DataError, "both given"),
        ({"data": "frame", "nobs": 200}, DataError, "nobs goes with sample_cov"),
        ({"data": "frame", "sample_mean": [0.0] * 5}, DataError, "sample_mean goes with sample_cov"),
        ({"sample_cov": "cov"}, DataError, "number of rows"),
        ({"sample_cov": ["cov", "cov"], "nobs": [10, 10]}, DataError, "Group 1: the covariance matrix"),
        ({"sample_cov": "array", "nobs": 200}, DataError, "no variable names"),
        ({"sample_cov": "cov", "nobs": 200, "meanstructure": True}, DataError, "no means"),
        ({"sample_cov": "small", "nobs": 200}, ModelSyntaxError, "'z' is neither"),
        ({"sample_cov": "cov", "nobs": 4}, DataError, "4 rows for 5 variables"),
        ({"data": "word"}, DataError, "x3"),
        ({"data": "constant"}, DataError, "x2"),
    ],
)
def test_data_that_cannot_be_used(options: dict[str, Any], error: type[B2BSemError], message: str) -> None:
    values: dict[str, Any] = {
        "frame": data(),
        "cov": cov(),
        "array": cov().to_numpy(),
        "small": cov().drop(index="z", columns="z"),
        "word": data().assign(x3="often"),
        "constant": data().assign(x2=4.0),
    }
    options = {k: values.get(v, v) if isinstance(v, str) else v for k, v in options.items()}
    with pytest.raises(error, match=message) as info:
        bs.fit(MODEL, **options)
    assert info.value.exit_code == 2


def test_a_missing_model_file_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(ModelSyntaxError, match="cannot read the model"):
        fit(tmp_path / "absent.lav")


def test_only_the_variables_of_the_model_are_taken_from_a_matrix() -> None:
    wide = data()[["z", "y", "x3", "x2", "x1"]].assign(extra=np.arange(200.0))
    a = fit("F =~ x1 + x2 + x3", sample_cov=wide.cov(), nobs=200)
    assert a.model.observed == ("x1", "x2", "x3")
    b = fit("F =~ x1 + x2 + x3")
    np.testing.assert_allclose(a.parameters["est"], b.parameters["est"], rtol=1e-7)


def test_a_perfect_fit_has_measures_too() -> None:
    matrix = pd.DataFrame(0.4, index=["x1", "x2", "x3", "y"], columns=["x1", "x2", "x3", "y"])
    for v in matrix:
        matrix.loc[v, v] = 1.0
    found = fit("F =~ x1 + x2 + x3 + y", sample_cov=matrix, nobs=100)
    assert found.ok
    assert found.measures["chisq"] == pytest.approx(0.0, abs=1e-9)
    assert found.measures["pvalue"] == pytest.approx(1.0)
    assert (found.measures["rmsea"], found.measures["cfi"]) == (0.0, 1.0)
    assert found.to_json()["measures"]["chisq"] == pytest.approx(0.0, abs=1e-9)


def test_loops_that_do_not_die_out_are_not_taken_for_the_minimum() -> None:
    """From the first starting values the fit ends at chi-square 68.3 with n > 1; from others it falls to 40.3."""
    names = ["y1", "y2", "x1", "x2"]
    moments = [
        [1.0, 2.976, 0.014, 0.093],
        [2.976, 12.25, 0.267, 0.522],
        [0.014, 0.267, 0.09, 0.082],
        [0.093, 0.522, 0.082, 0.09],
    ]
    cov = pd.DataFrame(moments, names, names)
    found = bs.fit("y1 ~ n*y2 + x1\ny2 ~ n*y1 + x2", sample_cov=cov, nobs=100, engine="native")
    assert found.ok
    assert found.measures["chisq"] == pytest.approx(40.33697701)
    assert abs(found.parameters.set_index("label").loc["n", "est"].iloc[0]) < 1


def test_models_and_data_of_another_type_are_refused_with_what_to_give() -> None:
    with pytest.raises(bs.ModelSyntaxError, match="the model is a NoneType"):
        bs.fit(None, pd.DataFrame({"x": [1.0, 2.0]}))  # type: ignore[arg-type]
    for data in (np.ones((5, 2)), [[1.0, 2.0]]):
        with pytest.raises(bs.DataError, match="have no names"):
            bs.fit("y ~ x", data)  # type: ignore[arg-type]


@pytest.mark.parametrize("engine", ["native", "semopy"])
@pytest.mark.parametrize("value", [0.8, -0.8])
def test_a_fixed_loading_points_the_way_where_the_variance_is_fixed_too(engine: str, value: float) -> None:
    """A start in the other direction ends in a local minimum with a chi-square in the hundreds."""
    rng = np.random.default_rng(5)
    f = rng.normal(size=(300, 1))
    data = pd.DataFrame(0.8 * f + 0.6 * rng.normal(size=(300, 4)), columns=["x1", "x2", "x3", "x4"])
    for sign in (1.0, -1.0):
        found = fit(f"F =~ x1 + {value}*x2 + x3 + x4", data * sign, std_lv=True, engine=engine)
        assert found.converged
        assert found.measures["chisq"] < 15.0
        loadings = found.parameters.query("op == '=~'")["est"]
        assert (np.sign(loadings) == np.sign(value)).all()
