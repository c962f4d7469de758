"""Every case of cases.json against lavaan, by both engines, and the two engines against each other."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from compare import Tolerance, as_reference, compare, load_reference
from reference_case import CASES, HERE, arguments, data_path, fit, model_text, parameters, sha256

import b2b_sem as bs

MANIFEST = json.loads((HERE / "lavaan" / "manifest.json").read_text(encoding="utf-8"))
IMPROPER = {i for i, case in CASES.items() if case.get("heywood")}

#: What the semopy engine must refuse, and the word its message gives as the reason; everything else it must fit.
REASONS = {
    "mean structure": {i for i in CASES if load_reference(i)["implied"]["mean"] is not None},
    "'=='": {i for i in CASES if "==" in model_text(i)},
    # variables that take part in covariances only; a latent and an observed outcome whose residuals covary
    "needs a measurement or a regression": {"path_covariances_only"},
    "no covariance between a latent variable and an observed outcome": {"hs_latent_observed_y"},
}
REFUSED = set().union(*REASONS.values())


# ---- the reference files themselves ----------------------------------------------------------------------------------


def test_reference_files_belong_to_these_cases_and_scripts() -> None:
    digests = MANIFEST["sha256"]
    assert digests["cases"] == sha256(HERE / "cases.json"), "cases.json changed: run tests/reference/lavaan/generate.R"
    for name in ("generate", "common"):
        assert digests[name] == sha256(HERE / "lavaan" / f"{name}.R"), f"{name}.R changed: run it"
    assert set(digests["outputs"]) == set(CASES)
    for case, digest in digests["outputs"].items():
        assert digest == sha256(HERE / "lavaan" / f"{case}.json"), f"{case}.json is not what generate.R wrote"
    written = {path.stem for path in (HERE / "lavaan").glob("*.json")} - {"manifest"}
    assert written == set(CASES)


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(s, marks=[pytest.mark.shared_data] if s.startswith("shared:") else [])
        for s in sorted({case["data"] for case in CASES.values()})
    ],
)
def test_data_are_those_of_the_reference(source: str) -> None:
    assert sha256(data_path(source)) == MANIFEST["sha256"]["data"][source]


def test_measurement_references_belong_to_these_cases_and_scripts() -> None:
    digests = json.loads((HERE / "measurement" / "manifest.json").read_text(encoding="utf-8"))["sha256"]
    assert digests["cases"] == sha256(HERE / "cases.json")
    assert digests["generate"] == sha256(HERE / "measurement" / "generate.R")
    assert digests["common"] == sha256(HERE / "lavaan" / "common.R")
    for case, digest in digests["outputs"].items():
        assert digest == sha256(HERE / "measurement" / f"{case}.json")


@pytest.mark.parametrize("case", CASES)
def test_reference_is_a_solution_and_explains_where_lavaan_stops(case: str) -> None:
    reference = load_reference(case)
    assert reference["converged"]
    assert reference["gradient"]["scaled"] < 1e-14
    # by how much a gradient this size can move an estimate, in standard errors: sqrt(N q) g, times the condition
    # number of the curvature (100 covers the cases here); so lavaan's own stop is explained by its gradient
    default = reference["lavaan_default"]
    n, q = reference["nobs"], reference["measures"]["npar"]
    assert default["largest_move"] <= 100 * math.sqrt(n * q) * default["gradient"]["scaled"] + 1e-12


@pytest.mark.parametrize(
    ("case", "printed"),
    [
        # lavaan tutorial (lavaan.ugent.be), output of summary(fit, fit.measures = TRUE)
        (
            "hs_three_factor",
            {"chisq": 85.306, "df": 24, "baseline_chisq": 918.852, "cfi": 0.931, "tli": 0.896, "logl": -3737.745,
             "unrestricted_logl": -3695.092, "aic": 7517.490, "bic": 7595.339, "bic2": 7528.739, "rmsea": 0.092,
             "rmsea_ci_lower": 0.071, "rmsea_ci_upper": 0.114, "rmsea_pvalue": 0.001, "srmr": 0.065, "npar": 21},
        ),
        ("pd_full", {"chisq": 38.125, "df": 35, "pvalue": 0.329, "npar": 31}),
        # lavaan tutorial, "covariance matrix input"; Wheaton et al. (1977) by LISREL's model
        ("wheaton_alienation", {"chisq": 4.735, "df": 4, "pvalue": 0.316}),
    ],
)  # fmt: skip
def test_published_numbers(case: str, printed: dict[str, float]) -> None:
    measures = fit(case, "native").measures
    assert {name: round(measures[name], 3) for name in printed} == printed


# ---- parity ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", parameters())
def test_native_engine_gives_lavaans_numbers(case: str) -> None:
    result = fit(case, "native")
    assert result.engine == "native"
    assert result.converged
    assert result.identified
    assert compare(result, load_reference(case)) == []


@pytest.mark.parametrize("case", parameters(i for i in CASES if i not in REFUSED))
def test_semopy_engine_gives_lavaans_numbers(case: str) -> None:
    result = fit(case, "semopy")
    assert result.engine == "semopy"
    assert result.converged
    assert compare(result, load_reference(case)) == []


@pytest.mark.parametrize("case", parameters(i for i in CASES if i not in REFUSED))
def test_engines_agree(case: str) -> None:
    a, b = fit(case, "native"), fit(case, "semopy")
    assert compare(a, as_reference(b), Tolerance(rtol=1e-6)) == []


@pytest.mark.parametrize("case", parameters(sorted(REFUSED)))
def test_semopy_engine_refuses_what_it_cannot_do(case: str) -> None:
    reasons = "|".join(reason for reason, ids in REASONS.items() if case in ids)
    with pytest.raises(bs.Unsupported, match=reasons):
        fit(case, "semopy")


@pytest.mark.parametrize("case", ["pd_full", "hs_effect_coding", "path_mediation_means", "hs_sample_cov"])
def test_auto_engine_gives_lavaans_numbers(case: str) -> None:
    result = fit(case, "auto")
    assert result.engine == ("native" if case in REFUSED else "semopy")
    assert compare(result, load_reference(case)) == []


@pytest.mark.parametrize("case", parameters(sorted(IMPROPER)))
def test_improper_solutions_are_said_to_be_improper(case: str) -> None:
    result = fit(case, "native")
    assert not result.admissible
    assert not result.ok
    assert result.warnings
    assert "not admissible" in result.failure


def test_improper_cases_are_those_lavaan_calls_improper() -> None:
    assert {i for i in CASES if not load_reference(i)["admissible"]} == IMPROPER


# ---- what must not depend on anything --------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["native", "semopy"])
def test_units_of_the_variables_do_not_matter(engine: str) -> None:
    """lavaan gives no standard errors on these units, so its numbers in plain units are the reference."""
    given = arguments("hs_three_factor")
    frame = given["data"].copy()
    names = [f"x{i}" for i in range(1, 10)]
    factors = dict(zip(names, [1e-4, 1.0, 1e5, 1e2, 1e-3, 1.0, 1e4, 1e-2, 1e3], strict=True))
    for name, factor in factors.items():
        frame[name] = frame[name] * factor
    result = bs.fit(model_text("hs_three_factor"), data=frame, engine=engine)
    reference = load_reference("hs_three_factor")
    same = ("chisq", "df", "pvalue", "cfi", "tli", "rmsea", "rmsea_ci_lower", "srmr", "gfi")
    for name in same:
        assert result.measures[name] == pytest.approx(reference["measures"][name], rel=1e-7)
    std = result.standardized()
    for column in ("est_std", "se", "ci_lower", "ci_upper"):
        np.testing.assert_allclose(std[column], [r[column] for r in reference["standardized"]], rtol=1e-6, atol=1e-9)
    loadings = result.parameters.query("op == '=~'")
    first = {"visual": "x1", "textual": "x4", "speed": "x7"}
    expected = [r for r in reference["parameters"] if r["op"] == "=~"]
    for (_, row), ref in zip(loadings.iterrows(), expected, strict=True):
        scale = factors[row["rhs"]] / factors[first[row["lhs"]]]
        assert row["est"] == pytest.approx(ref["est"] * scale, rel=1e-6)
        assert row["se"] == pytest.approx(ref["se"] * scale, rel=1e-6)


def test_order_of_rows_and_columns_does_not_matter() -> None:
    given = arguments("pd_full")
    frame = given["data"]
    shuffled = frame[frame.columns[::-1]].iloc[::-1]
    assert compare(bs.fit(model_text("pd_full"), data=shuffled, engine="native"), load_reference("pd_full")) == []


def test_wrong_numbers_would_be_seen() -> None:
    """The same fit against another case's reference: the comparison is not asleep."""
    lines = compare(fit("hs_std_lv", "native"), load_reference("hs_orthogonal"))
    assert any(line.startswith("measure chisq") for line in lines)
    assert any(line.startswith("parameters visual ~~ visual") for line in lines)
