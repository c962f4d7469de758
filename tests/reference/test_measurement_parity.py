"""Reliability and validity of fitted models against psych and semTools; measurement/generate.R defines each number."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from reference_case import HERE, fit, parameters

import b2b_sem as bs
from b2b_sem.analysis.measurement import measurement

NAMES = sorted(path.stem for path in (HERE / "measurement").glob("*.json") if path.stem != "manifest")
RTOL = 1e-7


def load(case: str) -> dict[str, Any]:
    return json.loads((HERE / "measurement" / f"{case}.json").read_text(encoding="utf-8"))


def frame(matrix: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(matrix["values"], index=matrix["names"], columns=matrix["names"])


@pytest.mark.parametrize("case", parameters(NAMES))
def test_reliability(case: str) -> None:
    reference = load(case)
    table = bs.reliability(fit(case, "native")).set_index("scale")
    assert list(table.index) == list(reference["blocks"])
    for scale, items in reference["blocks"].items():
        row = table.loc[scale]
        assert row["items"] == len(items)
        assert row["alpha"] == pytest.approx(reference["alpha"][scale], rel=RTOL)
        assert row["omega"] == pytest.approx(reference["semtools"]["omega2"][scale], rel=RTOL)
        assert row["cr"] == pytest.approx(reference["cr"][scale], rel=RTOL)
        assert row["ave"] == pytest.approx(reference["ave_standardized"][scale], rel=RTOL)
        loadings = list(reference["loadings"][scale].values())
        assert row["loading_min"] == pytest.approx(min(loadings), rel=RTOL)
        assert row["loading_max"] == pytest.approx(max(loadings), rel=RTOL)


def lower(table: pd.DataFrame) -> np.ndarray:
    values = table.to_numpy(dtype=float)
    return values[np.tril_indices(len(values), -1)]


def smallest_correlation(reference: dict[str, Any]) -> pd.DataFrame:
    """Smallest absolute correlation between the items of each pair of scales."""
    cor, blocks = frame(reference["item_cor"]).abs(), reference["blocks"]
    return pd.DataFrame({a: {b: cor.loc[blocks[b], blocks[a]].to_numpy().min() for b in blocks} for a in blocks})


@pytest.mark.parametrize("case", parameters(NAMES))
def test_validity(case: str) -> None:
    reference = load(case)
    result = bs.validity(fit(case, "native"))
    for name in ("htmt", "htmt2"):
        expected = frame(reference["htmt"][name])
        ours = getattr(result, name)
        assert list(ours.index) == list(ours.columns) == list(expected.index)
        known = lower(expected)
        if name == "htmt2":
            # a geometric mean with a correlation of zero in it rests on the rounding of that zero
            known = np.where(lower(smallest_correlation(reference)) < 1e-12, np.nan, known)
            assert np.isfinite(known).mean() > 0.9
        there = np.isfinite(known)
        np.testing.assert_allclose(lower(ours)[there], known[there], rtol=RTOL)
    expected = frame(reference["factor_cor"]).loc[list(result.latent_cor.index), list(result.latent_cor.columns)]
    np.testing.assert_allclose(result.latent_cor, expected, rtol=RTOL, atol=1e-9)


@pytest.mark.parametrize("case", parameters(NAMES))
def test_sampling_adequacy(case: str) -> None:
    reference = load(case)
    ours = measurement(fit(case, "native")).adequacy
    assert ours["kmo"] == pytest.approx(reference["kmo"]["overall"], rel=RTOL)
    assert ours["bartlett_chisq"] == pytest.approx(reference["bartlett"]["chisq"], rel=RTOL)
    assert ours["bartlett_df"] == reference["bartlett"]["df"]


def test_signed_correlations_would_be_seen() -> None:
    """semTools' signed ratios differ here, so a mix-up of the two definitions cannot pass unseen."""
    reference = load("hs_three_factor")
    absolute, signed = (lower(frame(reference["htmt"][name])) for name in ("htmt", "htmt_signed"))
    assert np.max(np.abs(absolute - signed)) > 0.01
