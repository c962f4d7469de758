"""Reliability and validity of ordered items, and under FIML, against semTools and psych.

measurement_ordinal/generate.R defines each number. Sample statistics of ordered items (ordinal alpha, HTMT, KMO) differ
by what lavaan's search for a polychoric correlation leaves: up to 1e-7 in a ratio of them.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from reference_case import HERE, data_frame

import b2b_sem as bs
from b2b_sem.analysis.measurement import ORDINAL_RELIABILITY_COLUMNS, RELIABILITY_COLUMNS, measurement
from b2b_sem.results.fit import FitResult
from b2b_sem.results.measurement import MeasurementResult

FOLDER = HERE / "measurement_ordinal"
CASES: dict[str, dict[str, Any]] = {
    c["id"]: c for c in json.loads((FOLDER / "cases.json").read_text(encoding="utf-8"))["cases"]
}
#: Of what rests on the answers as numbers, of model-based numbers, of ratios of polychoric correlations, and of what
#: rests on moments of incomplete rows, for which lavaan's EM stops at a change of 1e-5.
EXACT, RTOL, RATIO, EM = 1e-12, 1e-7, 1e-6, 1e-5


def source(case: str) -> str:
    data = CASES[case]["data"]
    return data if ":" in data else f"local:{data}"


def cases(ordered: bool) -> list[Any]:
    return [
        pytest.param(i, id=i, marks=[pytest.mark.shared_data] if source(i).startswith("shared:") else [])
        for i, c in CASES.items()
        if bool(c["ordered"]) == ordered
    ]


@cache
def reference(case: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{case}.json").read_text(encoding="utf-8"))


@cache
def fitted(case: str) -> Any:
    spec = CASES[case]
    options = {"estimator": "WLSMV"} | spec.get("options", {}) if spec["ordered"] else spec["options"]
    return bs.fit("\n".join(spec["model"]), data_frame(source(case)), ordered=spec["ordered"] or None, **options)


def number(case: str, table: str, scale: str) -> float:
    """Return a reference number; NaN where semTools has none."""
    value = (reference(case)["reliability"] or {}).get(table, {}).get(scale)
    return float("nan") if value in (None, "NA") else float(value)


def test_the_references_are_those_of_the_script() -> None:
    manifest = json.loads((FOLDER / "manifest.json").read_text(encoding="utf-8"))
    digests = manifest["sha256"]
    assert set(digests["outputs"]) == set(CASES)
    assert manifest["versions"]["semTools"] == "0.5.6"
    files = {FOLDER / "cases.json": digests["cases"], FOLDER / "generate.R": digests["generate"]}
    files |= {FOLDER / f"{i}.json": digest for i, digest in digests["outputs"].items()}
    for path, digest in files.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == digest, path.name
    assert max(reference(i)["gradient"] for i in CASES) < 1e-14


@pytest.mark.parametrize("case", cases(ordered=True))
def test_reliability_of_ordered_items(case: str) -> None:
    known = reference(case)
    table = bs.reliability(fitted(case)).set_index("scale")
    assert ("scale", *table.columns) == ORDINAL_RELIABILITY_COLUMNS
    assert list(table.index) == list(known["blocks"])
    ordered = set(CASES[case]["ordered"])
    theta = CASES[case].get("options", {}).get("parameterization") == "theta"
    compared = 0
    for scale, items in known["blocks"].items():
        row = table.loc[scale]
        among = ordered.intersection(items)
        if 0 < len(among) < len(items):
            assert row[["alpha", "alpha_ordinal", "omega", "omega_latent"]].isna().all()
            assert np.isfinite(row["cr"])
            continue
        assert row["omega"] == pytest.approx(known["comprelsem"]["answers"][scale], rel=RTOL)
        if case != "mixed_scales":  # where semTools::reliability stops
            assert row["omega"] == pytest.approx(number(case, "omega2", scale), rel=RTOL)
        if not among:
            assert np.isnan(row["alpha_ordinal"])
            assert row["alpha"] == pytest.approx(bs.reliability(numbers(case, scale)).loc[0, "alpha"], rel=EXACT)
            continue
        compared += 1
        assert row["alpha_ordinal"] == pytest.approx(known["psych_alpha"][scale], rel=RTOL)
        loadings = np.array(list(known["loadings"][scale].values()))
        assert row["ave"] == pytest.approx(np.mean(loadings**2), rel=RTOL)
        assert (row["loading_min"], row["loading_max"]) == pytest.approx((loadings.min(), loadings.max()), rel=RTOL)
        assert row["omega_latent"] == row["cr"]
        if not theta:  # semTools' numbers depend on the parameterization there: see lavaan-differences.md
            assert row["omega_latent"] == pytest.approx(known["comprelsem"]["responses"][scale], rel=RTOL)
        if case != "mixed_scales":
            assert row["alpha_ordinal"] == pytest.approx(number(case, "alpha.ord", scale), rel=RTOL)
            alpha = number(case, "alpha", scale)
            if CASES[case].get("options", {}).get("missing") == "pairwise":
                assert np.isnan(alpha)  # semTools has none; ours is that of the complete rows of the scale
                complete = data_frame(source(case))[items].dropna().cov().to_numpy()
                alpha = len(items) / (len(items) - 1) * (1 - np.trace(complete) / complete.sum())
            assert row["alpha"] == pytest.approx(alpha, rel=EXACT)
            if not theta and case != "std_lv_crossed":
                assert row["ave"] == pytest.approx(number(case, "avevar", scale), rel=RTOL)
    assert compared


def numbers(case: str, scale: str) -> Any:
    """Return a fit of one scale with its items as numbers."""
    items = reference(case)["blocks"][scale]
    return bs.fit(f"F =~ {' + '.join(items)}", data_frame(source(case)), engine="native")


def lower(table: pd.DataFrame) -> np.ndarray:
    values = table.to_numpy(dtype=float)
    return values[np.tril_indices(len(values), -1)]


@pytest.mark.parametrize("case", [*cases(ordered=True), *cases(ordered=False)])
def test_validity_and_adequacy(case: str) -> None:
    known, result = reference(case), measurement(fitted(case))
    rtol = RATIO if CASES[case]["ordered"] else EM
    for name in ("htmt", "htmt2"):
        matrix, ours = known[name], getattr(result, name)
        if not matrix:  # semTools takes an item in two scales for two items
            continue
        assert list(ours.index) == matrix["names"]
        expected = lower(pd.DataFrame(matrix["values"], matrix["names"], matrix["names"]))
        np.testing.assert_allclose(lower(ours), expected, rtol=rtol)
    latent = known["factor_cor"]
    expected = lower(pd.DataFrame(latent["values"], latent["names"], latent["names"]))
    np.testing.assert_allclose(lower(bs.validity(fitted(case)).latent_cor), expected, rtol=RTOL)
    assert result.adequacy["kmo"] == pytest.approx(known["kmo"], rel=rtol)
    assert np.isnan(result.adequacy["bartlett_chisq"])


@pytest.mark.parametrize("case", cases(ordered=False))
def test_reliability_from_incomplete_answers(case: str) -> None:
    known, found = reference(case), measurement(fitted(case))
    table = found.reliability.set_index("scale")
    assert ("scale", *table.columns) == RELIABILITY_COLUMNS
    for scale in known["blocks"]:
        row = table.loc[scale]
        assert row["alpha"] == pytest.approx(number(case, "alpha", scale), rel=EM)
        assert row["omega"] == pytest.approx(number(case, "omega2", scale), rel=RTOL)
        loadings = np.array(list(known["loadings"][scale].values()))
        assert row["ave"] == pytest.approx(np.mean(loadings**2), rel=RTOL)
    assert any("maximum likelihood estimates from the incomplete rows" in n for n in found.notes)
    listwise = bs.fit("\n".join(CASES[case]["model"]), data_frame(source(case)), engine="native")
    alpha = bs.reliability(listwise)["alpha"].to_numpy()
    assert np.max(np.abs(alpha - table["alpha"])) > 1e-3  # complete rows alone would be seen


def test_other_correlations_would_be_seen() -> None:
    """Product-moment correlations instead of polychoric ones fail by far."""
    known = reference("binary")
    numeric = bs.fit("\n".join(CASES["binary"]["model"]), data_frame(source("binary")), engine="native")
    table = bs.reliability(numeric).set_index("scale")
    assert abs(table.loc["A", "alpha"] - known["psych_alpha"]["A"]) > 0.1
    assert abs(table.loc["A", "omega"] - known["comprelsem"]["answers"]["A"]) > 1e-3
    expected = lower(pd.DataFrame(known["htmt"]["values"]))
    assert abs(lower(bs.validity(numeric).htmt) - expected)[0] > 1e-3


def test_notes_say_which_coefficient_is_which() -> None:
    notes = "\n".join(measurement(fitted("mixed_scales")).notes)
    assert "alpha takes the answers as numbers" in notes
    assert "doi:10.1007/s11336-008-9099-3" in notes
    assert "C: ordered items and numbers have no common sum" in notes


def test_other_rows_give_their_own_sample_statistics() -> None:
    case = "five_seven"
    data, fit = data_frame(source(case)), fitted(case)
    same = measurement(fit, data)
    pd.testing.assert_frame_equal(same.reliability, measurement(fit).reliability, rtol=1e-12)
    pd.testing.assert_frame_equal(same.htmt, measurement(fit).htmt, rtol=1e-12)
    half = bs.reliability(fit, data.iloc[:200]).set_index("scale")
    own = bs.fit("\n".join(CASES[case]["model"]), data.iloc[:200], ordered=CASES[case]["ordered"], estimator="WLSMV")
    expected = bs.reliability(own).set_index("scale")
    for name in ("alpha", "alpha_ordinal"):
        np.testing.assert_allclose(half[name], expected[name], rtol=1e-12)
    np.testing.assert_allclose(half["omega"], same.reliability["omega"], rtol=1e-12)


def test_a_result_read_from_a_file_has_all_but_the_answers() -> None:
    fit = fitted("five_seven")
    again = FitResult.from_json(json.loads(json.dumps(fit.to_json(), allow_nan=False)))
    found, whole = measurement(again), measurement(fit)
    assert found.reliability["alpha"].isna().all()
    others = [c for c in ORDINAL_RELIABILITY_COLUMNS if c != "alpha"]
    pd.testing.assert_frame_equal(found.reliability[others], whole.reliability[others], rtol=1e-12)
    pd.testing.assert_frame_equal(found.htmt, whole.htmt, rtol=1e-12)
    rebuilt = MeasurementResult.from_json(json.loads(json.dumps(whole.to_json(), allow_nan=False)))
    pd.testing.assert_frame_equal(rebuilt.reliability, whole.reliability)


def test_covariates_leave_only_what_does_not_depend_on_them() -> None:
    data = data_frame(source("five_seven")).assign(x=lambda t: (t.index % 3 == 0).astype(float))
    items = CASES["five_seven"]["ordered"]
    model = "\n".join(CASES["five_seven"]["model"])
    given = bs.fit(f"{model}\nB ~ x\nC ~ x", data, ordered=items, estimator="WLSMV")
    plain_fit = fitted("five_seven")
    found, other = measurement(given), measurement(plain_fit)
    table = found.reliability
    assert table[["omega", "omega_latent", "cr"]].isna().all(axis=None)
    assert table[["ave", "loading_min"]].notna().all(axis=None)
    for name in ("alpha", "alpha_ordinal"):
        np.testing.assert_allclose(table[name], other.reliability[name], rtol=1e-10)
    np.testing.assert_allclose(lower(found.htmt), lower(other.htmt), rtol=1e-10)
    assert any("omega and CR are not given" in n for n in found.notes)
    saved = measurement(FitResult.from_json(json.loads(json.dumps(given.to_json()))))
    assert saved.htmt.isna().all(axis=None)
    assert any("read from a file" in n for n in saved.notes)
