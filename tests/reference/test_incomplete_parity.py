"""Full information maximum likelihood against lavaan: real and made holes, all errors and tests that are offered."""

from __future__ import annotations

import copy
import math

import incomplete_case as ic
import numpy as np
import pytest
from reference_case import data_frame, data_path, sha256

import b2b_sem as bs
from b2b_sem.errors import Unsupported
from b2b_sem.results.columns import ROBUST_MEASURE_NAMES


def test_the_numbers_belong_to_script_cases_and_data():
    manifest = ic.manifest()
    assert manifest["script"] == sha256(ic.HERE / "generate.R")
    assert manifest["cases"] == sha256(ic.HERE / "cases.json")
    assert set(manifest["data"]) == set(ic.CASES)
    for case, digest in manifest["data"].items():
        source = ic.CASES[case]["data"]
        if not source.startswith("shared:"):
            assert sha256(data_path(source)) == digest, case


@pytest.mark.parametrize(("case", "setting"), ic.parameters())
def test_all_numbers(case, setting):
    problems = ic.compare(ic.fit(case, setting), ic.reference(case)[setting])
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(("case", "setting"), ic.parameters())
def test_coverage_and_patterns(case, setting):
    fit, ref = ic.fit(case, setting), ic.reference(case)[setting]
    incomplete = fit._context.observed.incomplete[0]
    names = ref["coverage"]["names"]
    order = [fit._context.observed.names.index(n) for n in names]
    assert np.allclose(incomplete.coverage[np.ix_(order, order)], ref["coverage"]["values"], rtol=0, atol=1e-14)
    assert len(incomplete.counts) == ref["patterns"]


@pytest.mark.parametrize(("case", "setting"), ic.parameters(lambda n: n["scores"]))
def test_factor_scores_of_incomplete_rows(case, setting):
    fit, ref = ic.fit(case, setting), ic.reference(case)[setting]["scores"]
    scores = fit.factor_scores()[ref["names"]]
    # lavaan keeps rows without any answer, with NA
    theirs = np.array([row for row in ref["first"] if None not in row], float)
    ours = scores.iloc[[*range(len(theirs) - 1), len(scores) - 1]].to_numpy()
    spread = scores.to_numpy().std(axis=0)
    assert (np.abs(ours - theirs) <= 1e-6 * spread).all()


@pytest.mark.parametrize(("case", "setting"), ic.parameters(lambda n: n.get("modindices")))
def test_modification_indices(case, setting):
    if setting.endswith("_x"):
        with pytest.raises(Unsupported, match="fixed have missing values"):
            ic.fit(case, setting).modification_indices()
        return
    ref = {ic.row_key(row): row for row in ic.reference(case)[setting]["modindices"]}
    ours = {ic.row_key(row): row for row in ic.fit(case, setting).modification_indices().to_dict("records")}
    # moments of fixed covariates and paths into them: see the differences from lavaan
    table = ic.fit(case, setting)._context.problem.table
    covariates = set(table.exogenous) if table.fixed_x else set()
    shared = [key for key in ref if key[0] not in covariates]
    assert shared
    assert all(key in ours for key in shared)
    if case != "scales_holes":  # with large variances lavaan loses rows
        assert not [key for key in ours if key not in ref]
    for key in shared:
        for column in ("mi", "epc", "sepc_lv", "sepc_all"):
            value = ref[key][column]
            if value is None:
                continue
            allowed = 1e-6 * abs(value) + (1e-7 if column == "mi" else 1e-8)
            assert abs(ours[key][column] - value) <= allowed, (key, column)


@pytest.mark.parametrize(("case", "setting"), ic.differences())
def test_difference_tests(case, setting):
    ref = ic.difference_of(case)[setting]
    table = bs.compare(ic.fit(case, setting), ic.fit_restricted(case, setting)).table.iloc[1]
    assert table["df_diff"] == ref["df"]
    assert table["chisq_diff"] == pytest.approx(ref["chisq"], rel=1e-6)
    assert table["pvalue"] == pytest.approx(ref["pvalue"], rel=1e-4)


def test_where_lavaan_disagrees_with_itself():
    """With covariates that have holes, lavaan's two log-likelihoods do not belong to its own chi-square."""
    ref = ic.reference("path_holes_x")["ML_x"]
    chisq, logl = ref["measures"]["chisq"], ref["measures"]["logl"]
    assert abs(2 * (ref["own"]["unrestricted_logl"] - logl) - chisq) > 1.0
    ours = ic.fit("path_holes_x", "ML_x").measures
    assert 2 * (ours["unrestricted_logl"] - ours["logl"]) == pytest.approx(ours["chisq"], rel=1e-10)


def test_robust_indices_hardly_depend_on_whether_complete_covariates_are_fixed():
    """The likelihood given complete covariates is the same: nearly so the index. lavaan mixes the two models."""
    fixed, free = ic.fit("hs_covariate", "ML").measures, ic.fit("hs_covariate", "ML_random").measures
    assert free["chisq"] == pytest.approx(fixed["chisq"], rel=1e-9)
    assert free["rmsea_robust"] == pytest.approx(fixed["rmsea_robust"], rel=4e-4)
    own = ic.reference("hs_covariate")["ML_random"]["own"]["rmsea_robust"]
    assert abs(own / fixed["rmsea_robust"] - 1) > 1e-3


def test_robust_indices_of_mlf_are_unknown():
    """With information from products of scores lavaan's factor is not 1 even without holes."""
    for case in ("hs_mcar", "hs_complete"):
        measures = ic.fit(case, "MLF").measures
        assert all(math.isnan(measures[name]) for name in ROBUST_MEASURE_NAMES)
        assert math.isfinite(measures["cfi"])
    theirs = ic.reference("hs_complete")["MLF"]["measures"]
    assert abs(theirs["rmsea_robust"] / theirs["rmsea"] - 1) > 0.01


@pytest.mark.parametrize(
    ("where", "name", "factor"),
    [
        ("measures", "chisq", 1 + 1e-6),
        ("measures", "chisq_scaled", 1 + 1e-5),
        ("measures", "cfi_robust", 1 + 1e-5),
        ("measures", "gfi", 1 + 1e-6),
        ("measures", "logl", 1 + 1e-9),
        ("parameters", "est", 1 + 1e-5),
        ("parameters", "se", 1 + 1e-5),
        ("standardized", "se", 1 + 1e-5),
    ],
)
def test_a_wrong_number_is_found(where, name, factor):
    ref = copy.deepcopy(ic.reference("hs_mcar")["MLR"])
    fit = ic.fit("hs_mcar", "MLR")
    assert not ic.compare(fit, ref)
    target = ref[where] if where == "measures" else next(r for r in ref[where] if r["rhs"] == "x2")
    target[name] *= factor
    assert ic.compare(fit, ref)


def test_a_missing_row_is_found():
    ref = copy.deepcopy(ic.reference("hs_mcar")["ML"])
    ref["parameters"] = ref["parameters"][1:]
    del ref["measures"]["cfi_robust"]
    assert len(ic.compare(ic.fit("hs_mcar", "ML"), ref)) == 2


def test_lavaan_was_at_its_minimum():
    for case in ic.CASES:
        for setting, ref in ic.reference(case).items():
            assert ref["gradient"]["polished"] < 1e-8, (case, setting)
            assert math.isfinite(ref["measures"]["chisq"])


ECSI = """
IMAG =~ IMAG1 + IMAG2 + IMAG3
CUEX =~ CUEX1 + CUEX2 + CUEX3
PERQ =~ PERQ1 + PERQ2 + PERQ3
PERV =~ PERV1 + PERV2
CUSA =~ CUSA1 + CUSA2 + CUSA3
CUEX ~ IMAG
PERQ ~ CUEX
PERV ~ PERQ + CUEX
CUSA ~ PERV + PERQ + IMAG
"""


def ecsi(share, seed):
    """Return the ECSI survey with holes in all items of the model."""
    items = [f"{c}{i}" for c in ("CUEX", "CUSA", "IMAG", "PERQ", "PERV") for i in range(1, 3 if c == "PERV" else 4)]
    return ic.punch(data_frame("shared:mobi"), {"columns": items, "share": share, "seed": seed})


@pytest.mark.shared_data
def test_a_ridge_is_given_up():
    """The model of the ECSI survey is nearly degenerate: with these holes its likelihood has no maximum."""
    fit = bs.fit(ECSI, ecsi(0.1, 4), missing="fiml")
    assert not fit.converged
    assert not fit.ok
    assert fit.optimizer.iterations <= 900
    assert np.isnan(fit.parameters["se"]).all()
    assert "did not converge" in fit.warnings[0]


@pytest.mark.shared_data
def test_a_start_by_complete_data_is_not_searched_for_long():
    """Complete data with these moments have no minimum, those with holes have one."""
    fit = bs.fit(ECSI, ecsi(0.2, 2), missing="fiml")
    assert fit.converged
    assert fit.optimizer.message == "Fisher scoring and Newton's method from start 2"
    assert fit.measures["logl"] == pytest.approx(-5114.2577, abs=1e-3)
