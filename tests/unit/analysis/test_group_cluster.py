"""Clusters within groups where groups are compared: ladders of invariance and paths."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs
from b2b_sem.errors import Unsupported

MODEL = "f =~ x1 + x2 + x3\ng =~ x4 + x5 + x6\ng ~ f"


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    firm = np.repeat(np.arange(60), 6)
    f = rng.normal(size=60)[firm] + rng.normal(size=360)
    g = 0.5 * f + 0.7 * rng.normal(size=60)[firm] + rng.normal(size=360)
    items = np.column_stack([f, f, f, g, g, g]) + rng.normal(size=(360, 6))
    data = pd.DataFrame(items, columns=[f"x{i}" for i in range(1, 7)])
    return data.assign(firm=firm, sector=np.where(firm % 2, "a", "b"))


@pytest.mark.parametrize("estimator", ["MLR", "MLM"])
def test_a_ladder_allows_for_clusters(frame, estimator):
    ladder = bs.invariance(MODEL, frame, "sector", estimator=estimator, cluster="firm", steps=("configural", "metric"))
    plain = bs.invariance(MODEL, frame, "sector", estimator=estimator, steps=("configural", "metric"))
    fits = [ladder.fit("configural"), ladder.fit("metric")]
    assert {fit.model.options["cluster"] for fit in fits} == {"firm"}
    row = bs.compare(*fits).table.iloc[1]
    step = ladder.steps.iloc[1]
    assert step["chisq_diff"] == pytest.approx(row["chisq_diff"])
    assert step["pvalue_diff"] == pytest.approx(row["pvalue"])
    assert abs(step["chisq"] - plain.steps.iloc[1]["chisq"]) > 1e-3


def test_scaled_and_shifted_steps_take_their_difference_test(frame):
    ladder = bs.invariance(MODEL, frame, "sector", estimator="MLMV", steps=("configural", "metric"))
    row = bs.compare(ladder.fit("configural"), ladder.fit("metric"), method="satorra.2000").table.iloc[1]
    assert ladder.steps.iloc[1]["chisq_diff"] == pytest.approx(row["chisq_diff"])


def test_paths_are_compared_with_errors_of_clusters(frame):
    found = bs.compare_groups(MODEL, frame, "sector", estimator="MLR", cluster="firm", partial="f=~x2")
    text = MODEL.replace("g ~ f", "g ~ c(p1, p2)*f\ngap := p2 - p1")
    fit = bs.fit(
        text, frame, group="sector", group_equal="loadings", group_partial="f=~x2", estimator="MLR", cluster="firm"
    )
    gap = fit.parameters.query("lhs == 'gap'").iloc[0]
    row = found.differences.iloc[0]
    assert row["est"] == pytest.approx(gap["est"])
    assert row["se"] == pytest.approx(gap["se"])
    plain = bs.compare_groups(MODEL, frame, "sector", estimator="MLR", partial="f=~x2")
    assert abs(plain.differences.iloc[0]["se"] / row["se"] - 1) > 1e-3


@pytest.mark.parametrize("estimator", ["MLMV", "GLS", "WLS"])
def test_paths_are_compared_with_other_estimators(frame, estimator):
    found = bs.compare_groups(MODEL, frame, "sector", estimator=estimator)
    assert found.estimator == estimator
    assert np.isfinite([found.omnibus["wald"], found.omnibus["chisq_diff"]]).all()
    # the two tests ask the same question
    assert found.omnibus["wald"] == pytest.approx(found.omnibus["chisq_diff"], rel=0.5, abs=0.2)


def test_clusters_are_refused_where_they_are_not_tested(frame):
    with pytest.raises(Unsupported, match="clusters"):
        bs.invariance(MODEL, frame, "sector", cluster="firm", estimator="MLMV")
    ordinal = frame.assign(**{f"x{i}": pd.cut(frame[f"x{i}"], 4, labels=False) for i in range(1, 7)})
    with pytest.raises(Unsupported, match="cluster"):
        bs.invariance(MODEL, ordinal, "sector", cluster="firm", ordered=True)
    with pytest.raises(Unsupported, match="cluster"):
        bs.compare_groups(MODEL, ordinal, "sector", cluster="firm", ordered=True)


def test_difference_tests_that_forget_clusters_are_refused(frame):
    fits = [bs.fit(f"f =~ x1 + {a}*x2 + {b}*x3 + x4", frame, cluster="firm", estimator="MLM") for a, b in ("ab", "aa")]
    assert bs.compare(*fits).table["df_diff"].iloc[1] == 1
    with pytest.raises(Unsupported, match="independent rows"):
        bs.compare(*fits, method="satorra.2000")
