"""Effects, factor scores, residuals and bootstrap intervals against lavaan, semTools and boot (effects/generate.R)."""

from __future__ import annotations

import copy
import json
from functools import cache
from typing import Any

import numpy as np
import pytest
from reference_case import CASES, HERE, fit, parameters, sha256

import b2b_sem as bs
from b2b_sem.measures.interval import interval

AREAS = ("effects", "scores", "residuals", "montecarlo", "intervals")


@cache
def area(name: str) -> Any:
    return json.loads((HERE / "effects" / f"{name}.json").read_text(encoding="utf-8"))


def test_reference_files_belong_to_these_cases_and_scripts() -> None:
    digests = area("manifest")["sha256"]
    assert digests["cases"] == sha256(HERE / "cases.json")
    assert digests["generate"] == sha256(HERE / "effects" / "generate.R")
    assert digests["common"] == sha256(HERE / "lavaan" / "common.R")
    assert {name: sha256(HERE / "effects" / f"{name}.json") for name in AREAS} == digests["outputs"]


# ---- effects ---------------------------------------------------------------------------------------------------------

NUMBERS = ("est", "se", "est_std", "se_std")


def key(row: Any) -> tuple[str, str]:
    return row["kind"], row["path"]


def compare_effects(ours: list[dict[str, Any]], reference: list[dict[str, Any]], rtol: float = 1e-6) -> list[str]:
    """Return every difference; a row missing on either side is one."""
    found, expected = {key(r): r for r in ours}, {key(r): r for r in reference}
    out = [f"{k}: only here" for k in found.keys() - expected.keys()]
    out += [f"{k}: only in lavaan" for k in expected.keys() - found.keys()]
    out += [f"{k}: twice" for k in found if sum(key(r) == k for r in ours) > 1]
    for k in found.keys() & expected.keys():
        for name in NUMBERS:
            a, b = found[k][name], expected[k][name]
            if not abs(a - (0.0 if b is None else b)) <= rtol * max(abs(b or 0.0), 1e-9):
                out.append(f"{k} {name}: {a}, lavaan {b}")
    return sorted(out)


@pytest.mark.parametrize("case", parameters(area("effects")))
def test_effects_are_those_of_lavaans_definitions(case: str) -> None:
    rows = fit(case, "native").indirect_effects().table.to_dict("records")
    assert compare_effects([r for r in rows if r["kind"] != "defined"], area("effects")[case]) == []


@pytest.mark.parametrize("case", ["pd_indirect", "lima36", pytest.param("lancelot_sem", marks=pytest.mark.shared_data)])
def test_definitions_are_rows_of_the_parameter_table(case: str) -> None:
    result = fit(case, "native")
    effects, raw, std = result.indirect_effects(), result.parameters, result.standardized()
    found = effects.select("defined")
    raw, std = raw[raw["op"] == ":="], std[std["op"] == ":="]
    assert list(found["path"]) == list(raw["lhs"])
    for name in ("est", "se", "z", "pvalue", "ci_lower", "ci_upper"):
        np.testing.assert_allclose(found[name], raw[name], rtol=1e-9)
        np.testing.assert_allclose(found[f"{name}_std"], std["est_std" if name == "est" else name], rtol=1e-9)


def test_a_wrong_effect_would_be_seen() -> None:
    reference = area("effects")["lima36"]
    rows = fit("lima36", "native").indirect_effects().table.to_dict("records")
    rows = [r for r in rows if r["kind"] != "defined"]
    for name in NUMBERS:
        broken = copy.deepcopy(rows)
        broken[3][name] *= 1.00001
        assert len(compare_effects(broken, reference)) == 1
    assert "only in lavaan" in compare_effects(rows[1:], reference)[0]
    assert "only here" in compare_effects(rows, reference[1:])[0]
    assert "twice" in compare_effects([*rows, rows[0]], reference)[0]


# ---- Monte Carlo -----------------------------------------------------------------------------------------------------


def test_monte_carlo_intervals_are_those_of_semtools() -> None:
    reference = area("montecarlo")
    effects = fit(reference["case"], "native").indirect_effects(ci="mc", draws=200_000, seed=3)
    rows = {r["path"]: r for r in effects.select("defined").to_dict("records")}
    assert set(rows) == {r["name"] for r in reference["effects"]}
    for expected in reference["effects"]:
        ours = rows[expected["name"]]
        for ending, draws in (("", reference["raw_draws"]), ("_std", reference["std_draws"])):
            # SE of a 2.5 % quantile of a normal: 2.67 sd / sqrt(draws); skewed ones are wider by less than a half
            error = 4 * 2.67 * 1.5 * ours[f"se{ending}"] * np.sqrt(1 / draws + 1 / 200_000)
            for bound in ("ci_lower", "ci_upper"):
                assert abs(ours[f"{bound}{ending}"] - expected[f"{bound}{ending}"]) < error
                # and the comparison is sharp enough to tell it from the delta method's
    share = rows["share"]
    delta = {b: share["est"] + s * 1.959964 * share["se"] for b, s in (("ci_lower", -1), ("ci_upper", 1))}
    expected = next(r for r in reference["effects"] if r["name"] == "share")
    assert abs(delta["ci_lower"] - expected["ci_lower"]) > 10 * abs(share["ci_lower"] - expected["ci_lower"])


# ---- bootstrap intervals ---------------------------------------------------------------------------------------------


def test_bootstrap_intervals_are_those_of_boot() -> None:
    reference = area("intervals")
    draws, jackknife = np.array(reference["replicates"]), np.array(reference["jackknife"])
    estimate = np.array(reference["estimate"])
    assert len(reference["intervals"]) == 16
    for row in reference["intervals"]:
        k, level = row["statistic"] - 1, row["level"]
        for name in ("percentile", "bc", "bca"):
            lower, upper = interval(draws, estimate, name, level, jackknife)
            np.testing.assert_allclose([lower[k], upper[k]], row[name], rtol=1e-12)
    assert len({tuple(np.round(row[name], 6)) for name in ("percentile", "bc", "bca")}) == 3


# ---- factor scores ---------------------------------------------------------------------------------------------------

#: Cases in which lavPredict rewrites loadings of observed variables in regressions, or counts their means twice: its
#: numbers are not those of the definition then, which the reference file also holds ("conditional").
LAVPREDICT_WRONG = {
    "regression": {"order2_structural", "mobi_ecsi", "corprep_drivers", "hs_latent_observed_y"},
    "bartlett": {"hs_direct_effect_on_indicator"},
}
#: Observed outcomes that predict a latent variable, or whose residual covaries with that of one.
NO_BARTLETT = {"order2_structural", "mobi_ecsi", "corprep_drivers", "hs_latent_observed_y"}


def compare_scores(scores: Any, expected: Any) -> list[str]:
    out = [] if list(scores.columns) == expected["names"] else ["names"]
    values = scores.to_numpy()
    rows = np.array(expected["rows"]) - 1
    reference, mean, size = (np.array(expected[k], dtype=float) for k in ("values", "mean", "sd"))
    for k, name in enumerate(expected["names"]):
        if np.isnan(values[:, k]).all() and size[k] < 1e-8:
            continue  # latent indicators only: lavaan's Bartlett scores are one number in every row
        differences = [*np.abs(values[rows, k] - reference[:, k]), abs(values[:, k].mean() - mean[k])]
        differences.append(abs(values[:, k].std(ddof=1) - size[k]))
        if not max(differences) <= 1e-8 * size[k]:
            out.append(f"{name}: {max(differences) / size[k]:.1e} SD")
    return out


@pytest.mark.parametrize("method", ["regression", "bartlett"])
@pytest.mark.parametrize("case", parameters(area("scores")))
def test_scores_are_those_of_lavaan(case: str, method: str) -> None:
    result = fit(case, "native")
    if method == "bartlett" and case in NO_BARTLETT:
        with pytest.raises(bs.Unsupported, match="predicts a latent"):
            result.factor_scores(method)
        return
    scores = result.factor_scores(method)
    differences = compare_scores(scores, area("scores")[case][method])
    assert bool(differences) == (case in LAVPREDICT_WRONG[method]), differences
    definition = area("scores")[case]["conditional" if method == "regression" else "conditional_bartlett"]
    if method == "regression" or case in LAVPREDICT_WRONG[method]:
        assert compare_scores(scores, definition) == []


def test_a_wrong_score_would_be_seen() -> None:
    expected = area("scores")["pd_full"]["regression"]
    scores = fit("pd_full", "native").factor_scores()
    assert compare_scores(scores, expected) == []
    assert compare_scores(scores + 1e-7, expected)
    assert compare_scores(scores[scores.columns[::-1]], expected)
    assert compare_scores(scores * (1 + 1e-7), expected)


# ---- residuals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["raw", "cor_bollen", "cor_bentler", "normalized", "standardized", "standardized_mplus"]
)
@pytest.mark.parametrize("case", parameters(area("residuals")))
def test_residuals_are_those_of_lavaan(case: str, kind: str) -> None:
    expected = area("residuals")[case][kind]
    wishart = CASES[case].get("options", {}).get("likelihood") == "wishart"
    if wishart and kind == "standardized_mplus":
        pytest.skip("lavaan subtracts a variance with N - 1 from one with N")
    result = fit(case, "native")
    found = result.residuals(kind, se=True)
    plain = result.residuals("raw")
    for part in ("cov", "mean"):
        if expected[part] is None:
            assert part not in found
            continue
        assert list(found[part].index) == expected[part]["names"]
        for name in (part, f"{part}_se"):
            ours = found[name].to_numpy()
            theirs = np.array(expected[name]["values"], dtype=float)
            sampling = result.residuals("normalized", se=True)[f"{part}_se"].to_numpy()
            if kind in ("cor_bollen", "cor_bentler"):
                sd = np.sqrt(np.diag(result.sample()["cov"]))
                sampling = sampling / (np.outer(sd, sd) if part == "cov" else sd)
            if name == part and kind not in ("raw", "cor_bollen", "cor_bentler"):
                # lavaan does not divide residuals below 1e-5
                theirs = np.where(np.abs(plain[part].to_numpy()) < 1e-5, ours, theirs)
                theirs = np.where(found[f"{part}_se"].to_numpy() == 0.0, 0.0, theirs)
                if wishart:
                    theirs = theirs * np.sqrt((result.nobs - 1) / result.nobs)
                np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-8)
                continue
            if name == f"{part}_se" and wishart:
                theirs = theirs * np.sqrt(result.nobs / (result.nobs - 1))
            # what is 0 by construction is the root of rounding in lavaan, or NaN
            theirs = np.where(ours == 0.0, np.where(np.abs(theirs) < 1e-5 * sampling, 0.0, theirs), theirs)
            theirs = np.where((ours == 0.0) & np.isnan(theirs), 0.0, theirs)
            scale = np.where(sampling > 0, sampling, 1.0)
            np.testing.assert_allclose(ours / scale, theirs / scale, rtol=1e-6, atol=1e-8)
