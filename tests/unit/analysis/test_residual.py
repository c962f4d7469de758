"""Residuals: their standard errors are those that repeated samples show, in any unit, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs
from b2b_sem.results.fit import FitResult

MODEL = "F =~ x1 + x2 + x3 + x4\ny ~ F + z"


def sample(seed: int, n: int = 500) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    f, z = rng.normal(size=(2, n))
    frame = {f"x{i}": f * (0.5 + 0.1 * i) + rng.normal(size=n) for i in (1, 2, 3, 4)}
    return pd.DataFrame({**frame, "y": 0.5 * f + 0.3 * z + rng.normal(size=n), "z": z})


def fit(frame: pd.DataFrame | None = None, **options: Any) -> Any:
    return bs.fit(MODEL, sample(1) if frame is None else frame, engine="native", **options)


def test_standard_errors_are_the_spread_over_samples() -> None:
    found = [fit(sample(s), fixed_x=False).residuals("cor_bollen", se=True) for s in range(200)]
    values = np.array([r["cov"].to_numpy() for r in found])
    errors = np.array([r["cov_se"].to_numpy() for r in found]).mean(axis=0)
    i, j = np.tril_indices(6, -1)
    keep = errors[i, j] > 1e-6
    assert keep.sum() >= 12
    # 200 samples: the SD is known to 5 %
    np.testing.assert_allclose(values.std(axis=0)[i, j][keep] / errors[i, j][keep], 1.0, atol=0.2)


def test_units_of_the_variables_do_not_matter() -> None:
    scaled = sample(1) * [1e-5, 1.0, 1e3, 1e-2, 1e4, 10.0]
    for kind in ("normalized", "standardized", "standardized_mplus", "cor_bollen", "cor_bentler"):
        a, b = fit().residuals(kind)["cov"], fit(scaled).residuals(kind)["cov"]
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_what_is_zero_by_construction_is_zero() -> None:
    found = fit(meanstructure=True).residuals("standardized", se=True)
    assert (np.diag(found["cov"])[:4] == 0.0).all()  # free residual variances
    assert (found["mean"] == 0.0).all()
    assert (found["mean_se"] == 0.0).all()
    assert found["cov_se"].loc["z", "z"] == 0.0  # taken as fixed
    saturated = bs.fit("y ~ x1 + z", sample(1), engine="native").residuals("standardized")["cov"]
    assert (saturated == 0.0).all(axis=None)


def test_names_and_parts() -> None:
    result = fit(meanstructure=True)
    assert set(result.residuals("raw")) == {"cov", "mean"}
    assert set(result.residuals("cor.bentler", se=True)) == {"cov", "cov_se", "cov_z", "mean", "mean_se", "mean_z"}
    assert set(result.residuals("normalized", se=True)) == {"cov", "cov_se", "mean", "mean_se"}
    assert set(fit().residuals("normalized")) == {"cov"}
    pd.testing.assert_frame_equal(result.residuals("cor")["cov"], result.residuals("cor.bollen")["cov"])
    raw = result.residuals("raw", se=True)
    np.testing.assert_allclose(raw["cov_z"], result.residuals("standardized")["cov"])
    bentler = result.residuals("cor_bentler")["cov"].to_numpy()
    lower = bentler[np.tril_indices(len(bentler))]
    assert np.sqrt((lower**2).sum() / (len(lower) + 6)) == pytest.approx(result.measures["srmr"], rel=1e-9)


def test_refusals_say_what_to_do() -> None:
    with pytest.raises(bs.Unsupported, match="Did you mean 'normalized'"):
        fit().residuals("normalised")
    stored = FitResult.from_json(fit().to_json())
    assert set(stored.residuals("cor")) == {"cov"}
    from b2b_sem.analysis.residual import residuals

    assert set(residuals(stored, "cor_bentler")) == {"cov"}
    with pytest.raises(bs.Unsupported, match="fit the model again"):
        residuals(stored, "normalized")


def test_a_fit_that_failed_has_no_standard_errors() -> None:
    model = "F =~ x1 + x2 + x3 + x4\ny ~ a*F + b*z\nz ~~ z"
    result = bs.fit(model, sample(1), engine="native")
    assert result.residuals("standardized")["cov"].notna().all(axis=None)
    from dataclasses import replace

    failed = replace(result, converged=False)
    assert failed.residuals("standardized")["cov"].isna().any(axis=None)
