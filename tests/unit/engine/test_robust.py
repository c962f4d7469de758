"""Sums over respondents against the same with full p* x p* matrices; clusters; what must not matter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from engine_case import MODELS, Case, case, frame
from pstar_case import data_of, grouped, moment_rows, normal_weight, scores, slopes

import b2b_sem as bs
from b2b_sem.data.observed import observe
from b2b_sem.engine import robust
from b2b_sem.engine.base import Array
from b2b_sem.engine.native.loss import evaluate
from b2b_sem.engine.robust import moment_meat, rows_of, score_meat, second_trace, trace_of_gamma

SOME = (
    "cfa",
    "cfa_means",
    "latent_means",
    "path_fixed_x",
    "path_fixed_x_means",
    "mimic",
    "mimic_means",
    "equal_labels",
    "path_random_x_means",
    "covariance_observed_latent",
    "feedback",
)


def clustered() -> pd.DataFrame:
    data = frame().copy()
    data["firm"] = np.array([f"f{k}" for k in np.random.default_rng(5).integers(0, 40, len(data))], dtype=object)
    return data


def rows(c: Case, cluster: bool) -> robust.Rows:
    return rows_of(c.table, observe(clustered(), c.table.observed, cluster="firm" if cluster else None))


@pytest.fixture(params=[200, 1_000_000], ids=["many blocks", "one block"])
def limit(request: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(robust, "LIMIT", request.param)


@pytest.mark.usefixtures("limit")
@pytest.mark.parametrize("cluster", [False, True], ids=["rows", "clusters"])
@pytest.mark.parametrize("name", SOME)
def test_products_and_traces(name: str, cluster: bool) -> None:
    c = case(name)
    theta = c.points(1)[0]
    point = evaluate(c.structure, c.moments, theta)
    assert point is not None
    data = data_of(c, frame())
    codes = clustered()["firm"].to_numpy() if cluster else None
    have = rows(c, cluster)

    s = grouped(scores(c, theta, data), codes)
    expected = s.T @ s / len(data)
    np.testing.assert_allclose(
        score_meat(c.structure, point, have), expected, rtol=1e-7, atol=1e-8 * np.abs(expected).max()
    )

    z = grouped(moment_rows(c, data), codes)
    gamma = z.T @ z / len(data)
    v = normal_weight(point.implied.sigma, c.table.meanstructure)
    d = slopes(c, theta)
    expected = d.T @ v @ gamma @ v @ d
    np.testing.assert_allclose(
        moment_meat(c.structure, point, have), expected, rtol=1e-7, atol=1e-8 * np.abs(expected).max()
    )
    assert trace_of_gamma(point.omega, have, c.table.meanstructure) == pytest.approx(np.trace(v @ gamma), rel=1e-9)

    if not cluster:
        bread = np.linalg.pinv(d.T @ v @ d)
        u = v - v @ d @ bread @ d.T @ v
        expected_trace = np.trace(u @ gamma @ u @ gamma)
        for route in (second_trace, robust._second_trace_of_rows, robust._second_trace_of_moments):
            assert route(c.structure, point, have, bread) == pytest.approx(expected_trace, rel=1e-7)


@pytest.mark.parametrize("name", [n for n in MODELS if n not in SOME])
def test_products_of_all_kinds_of_parameters(name: str) -> None:
    c = case(name)
    point = evaluate(c.structure, c.moments, c.points(1)[0])
    assert point is not None
    data = data_of(c, frame())
    s = scores(c, point.theta, data)
    np.testing.assert_allclose(
        score_meat(c.structure, point, rows(c, False)), s.T @ s / len(s), rtol=1e-7, atol=1e-8 * (s**2).mean(0).max()
    )


THREE, _ = MODELS["cfa"]
ESTIMATORS = ("MLM", "MLMV", "MLMVS", "MLR", "MLF", "GLS", "ULS", "WLS")


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_order_of_rows_and_columns_does_not_matter(estimator: str) -> None:
    plain = bs.fit(THREE, clustered(), estimator=estimator, engine="native")
    moved = clustered()[frame().columns[::-1]].sample(frac=1, random_state=2)
    turned = bs.fit(THREE, moved, estimator=estimator, engine="native")
    assert turned.measures == pytest.approx(plain.measures, rel=1e-8, abs=1e-10, nan_ok=True)
    np.testing.assert_allclose(turned.parameters["se"], plain.parameters["se"], rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_marker_and_unit_variances_are_the_same_model(estimator: str) -> None:
    """The statistics agree, and so do the standardized solution and its errors."""
    marker = bs.fit(THREE, frame(), estimator=estimator, engine="native")
    unit = bs.fit(THREE, frame(), estimator=estimator, engine="native", std_lv=True)
    assert unit.measures == pytest.approx(marker.measures, rel=1e-7, abs=1e-9, nan_ok=True)
    for column in ("est_std", "se"):
        a, b = (f.standardized().set_index(["lhs", "op", "rhs"])[column] for f in (marker, unit))
        np.testing.assert_allclose(a, b.loc[a.index], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("estimator", ["MLM", "MLMV", "MLR", "GLS", "WLS"])
def test_labels_and_linear_constraints_are_the_same_model(estimator: str) -> None:
    shared = bs.fit("f =~ x1 + a*x2 + a*x3\ng =~ x4 + x5 + x6", frame(), estimator=estimator, engine="native")
    stated = bs.fit("f =~ x1 + a*x2 + b*x3\ng =~ x4 + x5 + x6\na == b", frame(), estimator=estimator, engine="native")
    assert stated.measures == pytest.approx(shared.measures, rel=1e-7, abs=1e-9, nan_ok=True)
    np.testing.assert_allclose(stated.parameters["se"][:19], shared.parameters["se"][:19], rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("estimator", ["ML", "MLR", "MLM"])
def test_every_row_its_own_cluster(estimator: str) -> None:
    """Then clusters only bring the factor N / (N - 1) of their number."""
    data = frame().assign(firm=np.arange(300))
    alone = bs.fit(
        THREE, data, estimator="MLR" if estimator == "ML" else estimator, meanstructure=True, engine="native"
    )
    each = bs.fit(THREE, data, estimator=estimator, cluster="firm", engine="native")
    np.testing.assert_allclose(each.parameters["se"], alone.parameters["se"] * np.sqrt(300 / 299), rtol=1e-9)


def test_copies_of_rows_are_one_observation_for_clusters() -> None:
    """Twenty copies of a row in one cluster tell no more than the row; without clusters errors shrink."""
    data = pd.concat([frame().assign(firm=np.arange(300))] * 20, ignore_index=True)
    once = bs.fit(THREE, frame(), estimator="MLR", meanstructure=True, engine="native")
    firms = bs.fit(THREE, data, estimator="MLR", cluster="firm", engine="native")
    naive = bs.fit(THREE, data, estimator="MLR", meanstructure=True, engine="native")
    np.testing.assert_allclose(firms.parameters["se"], once.parameters["se"] * np.sqrt(300 / 299), rtol=1e-6)
    np.testing.assert_allclose(naive.parameters["se"], once.parameters["se"] / np.sqrt(20), rtol=1e-6)


def test_corrections_disappear_for_normal_data() -> None:
    rng = np.random.default_rng(17)
    f = rng.normal(size=(200_000, 1))
    data = pd.DataFrame(f + rng.normal(size=(200_000, 5)), columns=[f"y{i}" for i in range(5)])
    text = "f =~ y0 + y1 + y2 + y3 + y4"
    plain = bs.fit(text, data, engine="native")
    for estimator in ("MLM", "MLMV", "MLR"):
        fit = bs.fit(text, data, estimator=estimator, engine="native")
        assert fit.measures["chisq_scaling_factor"] == pytest.approx(1.0, abs=0.03)
        np.testing.assert_allclose(fit.parameters["se"], plain.parameters["se"], rtol=0.02)


def test_robust_errors_follow_from_repeated_samples() -> None:
    """Standard errors of heavy-tailed data against the spread of estimates: robust ones hold, plain ones do not."""
    rng = np.random.default_rng(8)
    found = []
    for _ in range(300):
        # a common factor of the scale makes kurtosis: normal theory understates the spread
        scale = rng.chisquare(6, size=(400, 1)) / 6
        f = rng.normal(size=(400, 1))
        data = pd.DataFrame((f + rng.normal(size=(400, 4))) / np.sqrt(scale), columns=list("abcd"))
        fit = bs.fit("f =~ a + b + c + d", data, estimator="MLM", engine="native")
        row = fit.parameters.iloc[4]
        plain = bs.fit("f =~ a + b + c + d", data, engine="native").parameters.iloc[4]
        found.append((row["est"], row["se"], plain["se"]))
    est, se, plain = np.array(found).T
    assert np.median(se) == pytest.approx(est.std(), rel=0.2)
    assert np.median(plain) < 0.75 * est.std()


def test_saturated_models_have_no_scaling() -> None:
    for estimator in ("MLM", "MLMV", "MLMVS", "MLR"):
        measures = bs.fit("x3 ~ x1 + x2", frame(), estimator=estimator, engine="native").measures
        assert measures["df_scaled"] == 0
        assert measures["chisq_scaled"] == pytest.approx(0, abs=1e-9)
        assert np.isnan([measures[n] for n in ("chisq_scaling_factor", "pvalue_scaled", "rmsea_pvalue_scaled")]).all()
        # lavaan: only the shifted test has an RMSEA here
        assert measures["rmsea_scaled"] == pytest.approx(0.0 if estimator == "MLMV" else np.nan, nan_ok=True)
        assert measures["cfi_scaled"] == pytest.approx(1.0)


@pytest.mark.parametrize("estimator", ["MLM", "MLMV", "MLMVS", "MLR"])
def test_models_without_identification_have_no_scaled_test(estimator: str) -> None:
    text = "f =~ x1 + x2\ng =~ x4 + x5 + x6\nh =~ x7 + x8 + x9\nx1 ~~ x2"
    fit = bs.fit(text, frame(), estimator=estimator, engine="native")
    assert not fit.identified
    measures = fit.measures
    assert measures["chisq"] > 0
    assert np.isnan([measures[n] for n in ("chisq_scaled", "rmsea_scaled", "rmsea_ci_upper_scaled")]).all()
    assert np.isnan(measures.get("rmsea_ci_upper_robust", np.nan))


def test_no_standard_errors_on_request() -> None:
    fit = bs.fit(THREE, frame(), se="none", engine="native")
    free = fit.parameters["free"] > 0
    assert fit.parameters.loc[free, ["se", "z", "pvalue", "ci_lower"]].isna().all(axis=None)
    assert fit.warnings == ()
    assert fit.measures["cfi"] > 0.5


def test_large_models_need_little_memory() -> None:
    """160 variables have 12 880 moments: one p* x p* matrix would take 1.3 GB."""
    import tracemalloc

    rng = np.random.default_rng(4)
    f = rng.normal(size=(500, 40)) + rng.normal(size=(500, 1))
    data = pd.DataFrame(np.repeat(f, 4, axis=1) + rng.normal(size=(500, 160)), columns=[f"y{i}" for i in range(160)])
    tracemalloc.start()
    wide = "\n".join(f"f{k} =~ " + " + ".join(f"y{4 * k + j}" for j in range(4)) for k in range(12))
    fit = bs.fit(wide, data, estimator="MLMV", engine="native", orthogonal=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert fit.converged
    assert peak < 150e6


def test_first_order_information_of_rows() -> None:
    c = case("cfa")
    fit = bs.fit(THREE, frame(), estimator="MLF", engine="native")
    theta = fit.parameters.query("free > 0").sort_values("free")["est"].to_numpy()
    s: Array = scores(c, theta, data_of(c, frame()))
    expected = np.sqrt(np.diag(np.linalg.inv(s.T @ s)))
    np.testing.assert_allclose(fit.parameters.query("free > 0").sort_values("free")["se"], expected, rtol=1e-6)
