"""Factor scores: what they are by definition, which rows they belong to, and what is refused."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs

MODEL = "F =~ x1 + x2 + x3\nG =~ y1 + y2 + y3\nG ~ F + z\nw ~ G + z"


@cache
def data(n: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(4)
    f, z = rng.normal(size=(2, n))
    z = z + 2.0
    g = 0.5 * f + 0.4 * z + rng.normal(size=n)
    frame = {f"x{i}": 3 + f + rng.normal(size=n) for i in (1, 2, 3)}
    frame |= {f"y{i}": 1 + g + rng.normal(size=n) * 0.7 for i in (1, 2, 3)}
    return pd.DataFrame({**frame, "z": z, "w": g - z + rng.normal(size=n), "true_f": f, "true_g": g})


@cache
def fitted(model: str = MODEL, **options: Any) -> Any:
    return bs.fit(model, data(), engine="native", **options)


def test_scores_find_the_latent_variables() -> None:
    scores = fitted().factor_scores()
    assert np.corrcoef(scores["F"], data()["true_f"])[0, 1] > 0.8
    assert np.corrcoef(scores["G"], data()["true_g"])[0, 1] > 0.9


def test_regression_scores_have_the_moments_of_conditional_means() -> None:
    fit = fitted()
    scores = fit.factor_scores()
    # Cov(E(eta | y), y) = Cov(eta, y) Sigma^-1 S, exactly
    implied, sample = fit.implied()["cov"], fit.sample()["cov"]
    cov = np.cov(scores.T, data()[list(sample.index)].T, bias=True)[:2, 2:]
    loading = fit.parameters.query("op == '=~'")
    cross = {f: dict(zip(loading["rhs"], loading["est"], strict=True)) for f in ("F", "G")}
    for k, name in enumerate(("F", "G")):
        latent = fit.latent_cov()
        weights = np.linalg.solve(implied.to_numpy(), sample.to_numpy())
        # an indicator's covariance with a latent variable: its loading times that of its own latent variable
        row = np.array([
            latent.loc[name, "F" if v.startswith("x") else "G"] * cross["F"][v] if v[0] in "xy" else np.nan
            for v in sample.index
        ])  # fmt: skip
        own = cov[k] @ np.linalg.inv(weights)
        known = ~np.isnan(row)
        np.testing.assert_allclose(own[known], row[known], rtol=1e-8)


def test_bartlett_scores_are_unbiased_and_regression_scores_shrink() -> None:
    cfa = "F =~ x1 + x2 + x3\nG =~ y1 + y2 + y3"
    fit = fitted(cfa)
    moved = data().copy()
    loading = fit.parameters.query("op == '=~' and lhs == 'F'").set_index("rhs")["est"]
    for v in loading.index:
        moved[v] += loading[v]  # as if F were one unit higher for everybody
    bartlett = fit.factor_scores("bartlett", moved) - fit.factor_scores("bartlett")
    np.testing.assert_allclose(bartlett["F"], 1.0, rtol=1e-9)
    np.testing.assert_allclose(bartlett["G"], 0.0, atol=1e-9)
    regression = fit.factor_scores("regression", moved) - fit.factor_scores()
    assert 0.5 < regression["F"].iloc[0] < 0.95


def test_a_mean_structure_that_fits_the_means_changes_nothing() -> None:
    plain, means = fitted().factor_scores(), fitted(meanstructure=True).factor_scores()
    pd.testing.assert_frame_equal(plain, means, rtol=1e-6, atol=1e-6)
    # G has the mean that z gives it
    slope = fitted().parameters.query("lhs == 'G' and rhs == 'z'")["est"].iloc[0]
    assert plain["G"].mean() == pytest.approx(slope * data()["z"].mean(), rel=1e-6)
    assert plain["F"].mean() == pytest.approx(0.0, abs=1e-10)


def test_rows_keep_their_labels() -> None:
    frame = data().copy()
    frame.index = [f"r{i}" for i in range(len(frame))]
    frame.loc["r3", "x1"] = np.nan
    frame.loc["r7", "true_f"] = np.nan  # not in the model
    scores = bs.fit(MODEL, frame, engine="native").factor_scores()
    assert list(scores.index) == [v for v in frame.index if v != "r3"]
    again = bs.fit(MODEL, frame, engine="native").factor_scores(data=frame.iloc[:10])
    assert len(again) == 9
    pd.testing.assert_frame_equal(again, scores.iloc[:9], rtol=1e-12)
    columns = bs.fit(MODEL, {c: data()[c].to_numpy() for c in data()}, engine="native").factor_scores()
    assert list(columns.index) == list(range(400))


def test_fixed_zero_residual_variance() -> None:
    model = "F =~ x1 + x2 + x3\nx1 ~~ 0*x1"
    for method in ("regression", "bartlett"):
        scores = fitted(model).factor_scores(method)
        np.testing.assert_allclose(scores["F"], data()["x1"] - data()["x1"].mean(), rtol=1e-6, atol=1e-7)


def test_bartlett_scores_of_a_second_order_factor_do_not_exist() -> None:
    rng = np.random.default_rng(9)
    h = rng.normal(size=(300, 1))
    parts = [h + rng.normal(size=(300, 1)) * 0.6 + rng.normal(size=(300, 3)) for _ in range(3)]
    frame = pd.DataFrame(np.hstack(parts), columns=[f"{k}{i}" for k in "abc" for i in (1, 2, 3)])
    model = "A =~ a1 + a2 + a3\nB =~ b1 + b2 + b3\nC =~ c1 + c2 + c3\nH =~ A + B + C"
    fit = bs.fit(model, frame, engine="native")
    scores = fit.factor_scores("bartlett")
    assert scores["H"].isna().all()
    assert scores[["A", "B", "C"]].notna().all(axis=None)
    assert np.corrcoef(fit.factor_scores()["H"], h[:, 0])[0, 1] > 0.7


@pytest.mark.parametrize(
    ("model", "options", "words"),
    [
        (MODEL, {"method": "barlett"}, "Did you mean 'bartlett'"),
        (MODEL + "\nw ~~ F", {"method": "bartlett"}, "observed outcome w"),
        ("w ~ z + x1", {}, "no latent variable"),
    ],
)
def test_refusals_say_what_to_do(model: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(bs.Unsupported, match=words):
        fitted(model).factor_scores(**options)


def test_a_covariance_matrix_has_no_rows() -> None:
    names = [c for c in data() if not c.startswith("true")]
    cov = data()[names].cov()
    with pytest.raises(bs.Unsupported, match="without means"):
        bs.fit(MODEL, sample_cov=cov, nobs=400, engine="native").factor_scores()
    fit = bs.fit(MODEL, sample_cov=cov, sample_mean=data()[names].mean(), nobs=400, engine="native")
    with pytest.raises(bs.Unsupported, match="no rows to score"):
        fit.factor_scores()
    pd.testing.assert_frame_equal(fit.factor_scores(data=data()), fitted().factor_scores(), rtol=1e-6, atol=1e-7)
    with pytest.raises(bs.DataError, match="x1"):
        fit.factor_scores(data=data().drop(columns="x1"))
    with pytest.raises(bs.DataError, match="no complete row"):
        fit.factor_scores(data=data().assign(x1=np.nan))
