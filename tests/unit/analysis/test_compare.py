"""Comparing models: the numbers of the table, and everything that is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs
from b2b_sem.measures.difference import satorra_bentler_2001

DATA = Path(__file__).parents[2] / "reference" / "data"
FREE = "f =~ x1 + x2 + x3\ng =~ x4 + x5 + x6"
EQUAL = "f =~ x1 + a*x2 + a*x3\ng =~ x4 + a*x5 + a*x6"
ONE = "f =~ x1 + x2 + x3 + x4 + x5 + x6"


def answers(n: int = 400, seed: int = 8) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    f = rng.normal(size=n)
    g = 0.6 * f + 0.8 * rng.normal(size=n)
    parts = [f, 0.8 * f, 0.9 * f, g, 0.7 * g, 0.8 * g]
    return pd.DataFrame({f"x{i + 1}": p + 0.6 * rng.normal(size=n) for i, p in enumerate(parts)})


def fit(model: str, data: pd.DataFrame | None = None, **options: object) -> bs.FitResult:
    return bs.fit(model, answers() if data is None else data, engine="native", **options)  # type: ignore[arg-type]


def test_the_table() -> None:
    free, equal = fit(FREE), fit(EQUAL)
    result = bs.compare(equal, free, names=["equal", "free"])
    table = result.table.set_index("model")
    assert list(table.index) == ["free", "equal"]
    row = table.loc["equal"]
    assert row["chisq_diff"] == pytest.approx(equal.measures["chisq"] - free.measures["chisq"])
    assert row["df_diff"] == 3
    for name in ("aic", "bic", "cfi"):
        assert row[f"{name}_diff"] == pytest.approx(equal.measures[name] - free.measures[name])
    # AIC falls by twice the parameters saved less the chi-square lost
    assert row["aic_diff"] == pytest.approx(row["chisq_diff"] - 2 * row["df_diff"])
    assert np.isnan(table.loc["free", "pvalue"])
    assert result.method == "standard"
    assert result.nested[0] < 1e-8
    assert "equal" in str(result)
    assert result.to_json()["table"][0]["pvalue"] is None
    with pytest.raises(AttributeError):
        result.method = "none"  # type: ignore[misc]


def test_nesting_is_found_without_common_names() -> None:
    """One factor is a two-factor model with correlation 1, and orthogonal factors in another metric are one too."""
    assert bs.compare(fit(ONE.replace("f", "anything")), fit(FREE)).nested[0] < 1e-8
    unit = fit(FREE + "\nf ~~ 0*g", std_lv=True)
    assert bs.compare(unit, fit(FREE)).nested[0] < 1e-8


def test_equivalent_models_have_nothing_to_test() -> None:
    with pytest.raises(bs.ModelError, match="same degrees of freedom"):
        bs.compare(fit(FREE), fit(FREE + "\ng ~ f"))


def test_models_that_are_not_nested_are_refused() -> None:
    # fewer degrees of freedom, but not a superset
    other = fit("f =~ x1 + x2 + x3\ng =~ x4 + x5 + x6\nf ~~ 0*g\nx1 ~~ x4\nx2 ~~ x5\nx3 ~~ x6")
    with pytest.raises(bs.ModelError, match="model 1 is not nested in model 2"):
        bs.compare(fit(FREE), other)
    result = bs.compare(fit(FREE), other, method="none")
    assert result.table["pvalue"].isna().all()
    assert result.table["aic"].notna().all()


def test_other_data_are_refused() -> None:
    free = fit(FREE)
    with pytest.raises(bs.DataError, match="400 rows and model 2 399"):
        bs.compare(free, fit(EQUAL, answers().iloc[1:]))
    changed = answers()
    changed.loc[3, "x2"] += 0.01
    with pytest.raises(bs.DataError, match="different sample moments"):
        bs.compare(free, fit(EQUAL, changed))
    with pytest.raises(bs.DataError, match="only one of them has x6"):
        bs.compare(free, fit("f =~ x1 + x2 + x3\ng =~ x4 + x5"))
    with pytest.raises(bs.DataError, match="likelihood='wishart'"):
        bs.compare(free, fit(EQUAL, likelihood="wishart"))
    with pytest.raises(bs.DataError, match="meanstructure=True"):
        bs.compare(free, fit(EQUAL, meanstructure=True))
    # the same covariances with other means
    moved = answers() + 1.0
    with pytest.raises(bs.DataError, match="different sample moments"):
        bs.compare(fit(FREE, meanstructure=True), fit(EQUAL, moved, meanstructure=True))


def test_the_order_of_rows_and_columns_does_not_matter() -> None:
    shuffled = answers()[[f"x{i}" for i in (6, 2, 4, 1, 5, 3)]].iloc[::-1]
    assert bs.compare(fit(FREE), fit("g =~ x4 + a*x5 + a*x6\nf =~ x1 + a*x2 + a*x3", shuffled)).table["df_diff"][1] == 3


def test_other_exogenous_variables_are_refused() -> None:
    data = answers()
    one = fit("x1 ~ x2 + x3", data)
    other = fit("x1 ~ x2\nx2 ~ x3", data)
    with pytest.raises(bs.DataError, match="exogenous"):
        bs.compare(one, other)
    assert len(bs.compare(fit("x1 ~ x2 + x3", data, fixed_x=False), fit("x1 ~ x2\nx2 ~ x3", data, fixed_x=False)).table)


def test_failed_fits_are_refused() -> None:
    every = " + ".join(f"x{i}" for i in range(1, 7))
    bad = fit(f"f =~ {every}\ng =~ {every}\nx1 ~~ 0.4*x1\nx2 ~~ 0.4*x2\nx4 ~~ 0.4*x4")
    with pytest.raises(bs.ModelError, match="bad cannot be compared: the model is not identified"):
        bs.compare(fit(FREE), bad, names=["free", "bad"])


def test_wrong_use_is_refused() -> None:
    free, equal = fit(FREE), fit(EQUAL)
    with pytest.raises(bs.DataError, match="nothing to compare"):
        bs.compare(free)
    with pytest.raises(bs.DataError, match="str is not a fit"):
        bs.compare(free, FREE)  # type: ignore[arg-type]
    with pytest.raises(bs.DataError, match="a name of its own"):
        bs.compare(free, equal, names=["a", "a"])
    with pytest.raises(bs.Unsupported, match=r"Did you mean 'satorra\.2000'"):
        bs.compare(free, equal, method="satorra2000")
    with pytest.raises(bs.Unsupported, match="needs fits with a scaled test"):
        bs.compare(free, equal, method="satorra.bentler.2001")


def test_results_from_files_can_be_compared_but_not_tested() -> None:
    free, equal = (bs.FitResult.from_json(f.to_json()) for f in (fit(FREE), fit(EQUAL)))
    assert len(bs.compare(free, equal, method="none").table) == 2
    with pytest.raises(bs.Unsupported, match="read from a file"):
        bs.compare(free, equal)


def test_scaled_methods_say_what_they_need() -> None:
    def scaled(one: bs.FitResult) -> bs.FitResult:
        return replace(one, _measures={**one.measures, "chisq_scaling_factor": 1.1})

    data = answers()
    moments = {"sample_cov": data.cov(), "nobs": len(data)}
    pair = [scaled(bs.fit(m, engine="native", **moments)) for m in (FREE, EQUAL)]
    assert bs.compare(*pair).method == "satorra.bentler.2001"
    with pytest.raises(bs.Unsupported, match="made from moments"):
        bs.compare(*pair, method="satorra.2000")
    paths = [scaled(fit(m, data)) for m in ("x1 ~ x2 + x3", "x1 ~ a*x2 + a*x3")]
    with pytest.raises(bs.Unsupported, match="random covariates"):
        bs.compare(*paths, method="satorra.bentler.2010")
    with pytest.raises(bs.Unsupported, match="needs fits with a scaled test"):
        bs.compare(pair[0], fit(EQUAL, data), method="satorra.bentler.2001")


def test_a_larger_model_in_a_local_minimum_is_refused() -> None:
    free, equal = fit(FREE), fit(EQUAL)
    stuck = replace(free, _measures={**free.measures, "chisq": equal.measures["chisq"] + 1.0})
    with pytest.raises(bs.ModelError, match="local minimum"):
        bs.compare(stuck, equal)


def test_a_negative_scaling_factor_is_no_test() -> None:
    found = satorra_bentler_2001(50.0, 20, 1.5, 60.0, 22, 1.2)
    assert found.scaling_factor < 0
    assert np.isnan(found.chisq)
    assert np.isnan(found.pvalue)


def test_scaled_difference_by_hand() -> None:
    """T0 = 100, r0 = 30, c0 = 1.25 against T1 = 80, r1 = 24, c1 = 1.2: c = (37.5 - 28.8) / 6 = 1.45."""
    found = satorra_bentler_2001(80.0, 24, 1.2, 100.0, 30, 1.25)
    assert found.scaling_factor == pytest.approx(1.45)
    assert found.chisq == pytest.approx(20 / 1.45)
    assert found.df == 6


def test_tests_adjusted_in_more_than_the_mean_have_their_own_difference_test() -> None:
    """lavTestLRT of 0.6-14 takes satorra.2000, scaled and shifted, for MLMV; the constants are its answers."""
    data = pd.read_csv(DATA / "order2.csv")
    free = "f =~ o1 + o2 + o3\ng =~ o4 + o5 + o6"
    strict = "f =~ o1 + a*o2 + a*o3\ng =~ o4 + o5 + o6\nf ~~ 0*g"
    for estimator in ("MLMV", "MLMVS"):
        pair = [fit(m, data, estimator=estimator) for m in (free, strict)]
        found = bs.compare(*pair)
        assert found.method == "satorra.2000"
        assert found.table["chisq_diff"][1] == pytest.approx(118.561567281, rel=1e-7)
        assert found.table["df_diff"][1] == 2
        # the formulas for mean-scaled tests would give another number without a warning
        for method in ("satorra.bentler.2001", "satorra.bentler.2010"):
            with pytest.raises(bs.Unsupported, match="for the mean alone"):
                bs.compare(*pair, method=method)
    means = [fit(m, data, estimator="MLM") for m in (free, strict)]
    assert bs.compare(*means).table["chisq_diff"][1] == pytest.approx(119.202435613, rel=1e-7)
    paths = [fit(m, data, estimator="MLMV") for m in ("o1 ~ o2 + o3", "o1 ~ a*o2 + a*o3")]
    with pytest.raises(bs.Unsupported, match="fixed_x=False"):
        bs.compare(*paths)


def test_one_restriction_needs_no_shift() -> None:
    strict = f"{FREE}\nf ~~ 0*g"
    plain, shifted = (
        bs.compare(*(fit(m, estimator=e) for m in (FREE, strict)), method="satorra.2000").table["chisq_diff"][1]
        for e in ("MLM", "MLMV")
    )
    assert shifted == pytest.approx(plain, rel=1e-10)


def test_scaling_factors_of_different_kinds_are_not_mixed() -> None:
    data = answers().assign(firm=np.repeat(np.arange(80), 5))
    free = fit(FREE, data, estimator="MLR", cluster="firm")
    with pytest.raises(bs.DataError, match="cluster='firm'"):
        bs.compare(free, fit(EQUAL, data, estimator="MLR", meanstructure=True))
    with pytest.raises(bs.DataError, match="information"):
        bs.compare(fit(FREE, data, estimator="MLR"), fit(EQUAL, data, estimator="MLR", information="expected"))
