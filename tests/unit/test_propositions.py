"""Verdicts: every kind, the adjustment by hand, and the sentences; and results that survive JSON."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import cache, lru_cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs
from b2b_sem.analysis.rivals import compare_rival
from b2b_sem.errors import DataError, SpecError
from b2b_sem.propositions import adjust, judge
from b2b_sem.results.fit import FitResult
from b2b_sem.results.measurement import MeasurementResult
from b2b_sem.results.study import SampleDescription, StudyResult, read_study_result
from b2b_sem.results.verdict import Verdict
from b2b_sem.spec.model import Part, Proposition

MODEL = "A =~ a1 + a2 + a3\nB =~ b1 + b2 + b3\nC =~ c1 + c2 + c3\nB ~ A\nC ~ A + B"


@lru_cache(maxsize=1)
def data() -> pd.DataFrame:
    """B rises with A, C falls with B and does not depend on A."""
    rng = np.random.default_rng(8)
    n = 400
    a = rng.normal(size=n)
    b = 0.6 * a + rng.normal(size=n)
    c = -0.5 * b + rng.normal(size=n)
    return pd.DataFrame(
        {f"{v}{i}": f + rng.normal(scale=0.7, size=n) for v, f in (("a", a), ("b", b), ("c", c)) for i in (1, 2, 3)}
    )


@cache
def fitted(text: str = MODEL) -> FitResult:
    return bs.fit(text, data(), engine="native")


def claim(id_: str, path: str | None, sign: str | None = "+", **more: Any) -> Proposition:
    return Proposition(id=id_, statement=f"Statement of {id_}.", path=path, sign=sign, **more)


def one(proposition: Proposition, fit: FitResult | None = None, **options: Any) -> Verdict:
    (verdict,) = judge([proposition], fitted() if fit is None else fit, **options)
    return verdict


def cell(table: pd.DataFrame, lhs: str, rhs: str, column: str) -> float:
    row = table[(table["op"] == "~") & (table["lhs"] == lhs) & (table["rhs"] == rhs)]
    return float(row[column].iloc[0])


# -- kinds of verdicts -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "sign", "verdict"),
    [
        ("A -> B", "+", "supported"),
        ("A -> B", "-", "contradicted"),
        ("B -> C", "-", "supported"),
        ("B -> C", "+", "contradicted"),
        ("A -> C", "+", "not supported"),
        ("A -> C", "-", "not supported"),
    ],
)
def test_sign_and_significance_decide(path: str, sign: str, verdict: str) -> None:
    found = one(claim("P1", path, sign))
    assert found.verdict == verdict
    assert (found.id, found.path, found.sign, found.test) == ("P1", path, sign, "path")
    start, end = path.split(" -> ")
    assert found.estimate == cell(fitted().parameters, end, start, "est")
    assert (found.se, found.pvalue) == (
        cell(fitted().parameters, end, start, "se"),
        cell(fitted().parameters, end, start, "pvalue"),
    )
    assert found.z == pytest.approx(found.estimate / found.se, rel=1e-12)
    assert found.std == cell(fitted().standardized(), end, start, "est_std")
    assert found.std_se == cell(fitted().standardized(), end, start, "se")
    assert found.ci_lower == pytest.approx(cell(fitted().standardized(), end, start, "ci_lower"), rel=1e-9)
    assert found.ci_upper == pytest.approx(cell(fitted().standardized(), end, start, "ci_upper"), rel=1e-9)


def test_the_interval_has_the_level_that_was_asked_for() -> None:
    found = one(claim("P1", "A -> B"), level=0.90)
    half = 1.6448536269514722 * found.std_se
    assert (found.ci_lower, found.ci_upper) == pytest.approx((found.std - half, found.std + half), rel=1e-12)
    assert "90% CI" in found.sentence


def test_alpha_is_a_strict_limit_on_the_adjusted_p() -> None:
    p = one(claim("P1", "A -> C")).pvalue
    assert 0.05 < p < 1
    assert one(claim("P1", "A -> C"), alpha=p, multiplicity="none").verdict == "not supported"
    assert one(claim("P1", "A -> C"), alpha=math.nextafter(p, 1), multiplicity="none").verdict != "not supported"


def test_adjustment_runs_over_the_tested_propositions_only() -> None:
    family = [
        claim("P1", "A -> B"),
        claim("P2", "B -> C", "-"),
        claim("P3", "A -> C"),
        claim("P4", "C -> A"),
        claim("P5", "A x B -> C", test="moderation"),
    ]
    verdicts = {v.id: v for v in judge(family, fitted())}
    assert list(verdicts) == ["P1", "P2", "P3", "P4", "P5"]
    p = {k: verdicts[k].pvalue for k in ("P1", "P2", "P3")}
    first, second, third = sorted(p, key=p.__getitem__)
    assert verdicts[first].p_adjusted == pytest.approx(3 * p[first], rel=1e-12)
    assert verdicts[second].p_adjusted == pytest.approx(max(2 * p[second], 3 * p[first]), rel=1e-12)
    assert verdicts[third].p_adjusted == pytest.approx(max(p[third], 2 * p[second]), rel=1e-12)
    assert math.isnan(verdicts["P4"].p_adjusted)
    assert math.isnan(verdicts["P5"].p_adjusted)
    assert all(v.adjustment == "holm" for v in verdicts.values())


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        # by hand, p = .01 .04 .03 .005: Holm 3(.01) ... in order .005*4 .01*3 .03*2 .04*1, made monotone
        ("holm", [0.03, 0.06, 0.06, 0.02]),
        ("bonferroni", [0.04, 0.16, 0.12, 0.02]),
        ("bh", [0.02, 0.04, 0.04, 0.02]),
        ("none", [0.01, 0.04, 0.03, 0.005]),
    ],
)
def test_adjustments_by_hand(method: str, expected: list[float]) -> None:
    assert adjust([0.01, 0.04, 0.03, 0.005], method) == pytest.approx(expected, rel=1e-12)
    assert adjust([0.9, 0.8], method)[0] <= 1.0
    assert adjust([], method) == []


def test_unknown_adjustment() -> None:
    with pytest.raises(SpecError, match="Did you mean 'holm'"):
        adjust([0.1], "holms")


def test_adjustment_can_undo_a_finding() -> None:
    """One p just below .05 holds alone, and does not in a family."""
    fit = fitted()
    parameters = fit.parameters
    row = (parameters["op"] == "~") & (parameters["lhs"] == "C") & (parameters["rhs"] == "A")
    parameters.loc[row, "pvalue"] = 0.03
    near = replace(fit, _parameters=parameters)
    sign = "+" if cell(parameters, "C", "A", "est") > 0 else "-"
    assert one(claim("P3", "A -> C", sign), near).verdict == "supported"
    family = [claim("P3", "A -> C", sign), claim("P4", "A -> C", sign)]
    assert [v.verdict for v in judge(family, near)] == ["not supported"] * 2
    assert [v.verdict for v in judge(family, near, multiplicity="none")] == ["supported"] * 2


# -- not testable ------------------------------------------------------------------------------------------------------


def test_no_verdict_rests_on_a_failed_fit() -> None:
    for change, reason in (
        ({"converged": False}, "did not converge"),
        ({"identified": False}, "not identified"),
        ({"admissible": False}, "not admissible"),
    ):
        found = one(claim("P1", "A -> B"), replace(fitted(), **change))
        assert found.verdict == "not testable here"
        assert "No verdict rests on this fit" in found.reason
        assert reason in found.reason
        assert reason in found.sentence
        for name in ("estimate", "se", "z", "pvalue", "p_adjusted", "std", "std_se", "ci_lower", "ci_upper"):
            assert math.isnan(getattr(found, name)), name


@pytest.mark.parametrize(
    ("proposition", "reason"),
    [
        (claim("P", "C -> A"), "no path from C to A"),
        (claim("P", "A -> B", needs="a longer questionnaire", test="moderation"), "It needs a longer questionnaire."),
        (claim("P", "X -> Y", needs="scale X"), "no path from X to Y. It needs scale X."),
        (claim("P", "A x B -> C", test="moderation"), "needs a model with the interaction"),
        (claim("P", "A -> B", test="group"), "needs a comparison of groups"),
        (claim("P", "A -> C -> B", test="indirect"), "no path A -> C -> B"),
        (claim("P", "A -> B -> C"), "does not name a single path"),
    ],
)
def test_reasons_for_not_testing(proposition: Proposition, reason: str) -> None:
    found = one(proposition)
    assert found.verdict == "not testable here"
    assert reason in found.reason
    assert found.sentence == f"P is not testable here. {found.reason}"


def test_a_two_part_proposition_shows_its_parts() -> None:
    parts = (Part(path="A -> B", sign="-"), Part(path="B -> C", sign="+"))
    found = one(claim("P10", None, None, parts=parts, test="group", needs="two sectors"))
    assert (found.path, found.sign) == ("A -> B; B -> C", "two-part")
    assert found.reason == "It needs two sectors."


def test_a_fixed_path_is_not_a_test() -> None:
    found = one(claim("P1", "A -> B"), fitted(MODEL.replace("B ~ A", "B ~ 0.5*A")))
    assert found.verdict == "not testable here"
    assert "is fixed in the model" in found.reason
    labelled = one(claim("P1", "A -> B"), fitted(MODEL.replace("B ~ A", "B ~ p*A")))
    assert labelled.verdict == "supported"


def test_a_path_without_standard_error_is_not_a_test() -> None:
    parameters = fitted().parameters
    parameters.loc[parameters["op"] == "~", ["se", "z", "pvalue"]] = math.nan
    found = one(claim("P1", "A -> B"), replace(fitted(), _parameters=parameters))
    assert found.verdict == "not testable here"
    assert "no standard error" in found.reason


# -- indirect effects --------------------------------------------------------------------------------------------------


def test_an_indirect_effect_is_tested_by_the_delta_method() -> None:
    names = {"A": "network relevance", "B": "perceived credibility", "C": "risk"}
    fit = fitted()
    row = fit.indirect_effects().select("specific", outcome="C", predictor="A").iloc[0]
    found = one(claim("P", "A -> B -> C", "-", test="indirect"), fit, names=names)
    assert (found.verdict, found.estimate, found.se, found.std) == ("supported", row["est"], row["se"], row["est_std"])
    parameters = fit.parameters
    product = cell(parameters, "B", "A", "est") * cell(parameters, "C", "B", "est")
    assert found.estimate == pytest.approx(product, rel=1e-12)
    assert found.ci_lower == pytest.approx(row["ci_lower_std"], rel=1e-9)
    assert found.reason.startswith("The indirect effect is negative, as stated")
    assert "negatively related to risk through perceived credibility (beta = -." in found.sentence
    assert one(claim("P", "A -> B -> C", "+", test="indirect"), fit).verdict == "contradicted"
    given = fit.indirect_effects(predictor="B")
    assert "no path A -> B -> C" in one(claim("P", "A -> B -> C", test="indirect"), fit, effects=given).reason


def test_a_result_from_a_file_has_no_indirect_effects_to_test() -> None:
    stored = FitResult.from_json(fitted().to_json())
    found = one(claim("P", "A -> B -> C", test="indirect"), stored)
    assert found.verdict == "not testable here"
    assert "fit the model again" in found.reason


# -- sentences ---------------------------------------------------------------------------------------------------------


def test_sentences_are_plain_and_complete() -> None:
    names = {"A": "network relevance", "B": "perceived credibility", "C": "risk"}
    up = one(claim("P1", "A -> B"), names=names)
    std = f"{up.std:.2f}".removeprefix("0")
    assert up.sentence.startswith(
        f"Network relevance was positively related to perceived credibility (beta = {std}, 95% CI ["
    )
    assert up.sentence.endswith("p < .001, Holm-adjusted p < .001): P1 is supported.")
    assert up.reason == "The path is positive, as stated (Holm-adjusted p < .001, below .05)."
    down = one(claim("P2", "B -> C"), names=names, multiplicity="none")
    assert "Perceived credibility was negatively related to risk (beta = -." in down.sentence
    assert down.sentence.endswith("p < .001): P2 is contradicted.")
    assert down.reason == "The path is negative, the opposite of what is stated (p < .001, below .05)."
    flat = one(claim("P3", "A -> C"), names=names, multiplicity="bh", alpha=0.01)
    assert "Network relevance was not reliably related to risk" in flat.sentence
    assert flat.sentence.endswith("P3 is not supported.")
    assert "Benjamini-Hochberg-adjusted p" in flat.sentence
    assert "not below .01)" in flat.reason


# -- JSON --------------------------------------------------------------------------------------------------------------


def through_json(value: Any) -> Any:
    return json.loads(json.dumps(value.to_json(), allow_nan=False))


def assert_equal_fits(a: FitResult, b: FitResult) -> None:
    for name in (*(f for f in a.__dataclass_fields__ if not f.startswith("_") and f != "model"),):
        assert getattr(a, name) == getattr(b, name), name
    assert (a.model.text, a.model.syntax, a.model.defaults) == (b.model.text, b.model.syntax, b.model.defaults)
    assert (a.model.observed, a.model.latents) == (b.model.observed, b.model.latents)
    assert dict(a.model.options) == dict(b.model.options)
    pd.testing.assert_frame_equal(a.parameters, b.parameters, check_exact=True)
    pd.testing.assert_frame_equal(a.standardized(), b.standardized(), check_exact=True)
    assert list(a.measures) == list(b.measures)
    np.testing.assert_array_equal(list(a.measures.values()), list(b.measures.values()))
    np.testing.assert_array_equal(list(a.r2.values()), list(b.r2.values()))
    for x, y in ((a.implied(), b.implied()), (a.sample(), b.sample()), (a.residuals(), b.residuals())):
        assert set(x) == set(y)
        pd.testing.assert_frame_equal(x["cov"], y["cov"], check_exact=True)
        if "mean" in x:
            pd.testing.assert_series_equal(x["mean"], y["mean"], check_exact=True)
    pd.testing.assert_frame_equal(a.latent_cov(), b.latent_cov(), check_exact=True)
    assert a.summary() == b.summary()


@pytest.mark.parametrize(
    "text",
    [
        MODEL,
        MODEL.replace("B ~ A", "B ~ p*A") + "\na1 ~ 1\nd := p^2",
        "a1 ~ b1 + c1",
        "A =~ NA*a1 + a2 + a3\nB =~ b1 + b2 + b3",
        "a1 ~~ b1",
    ],
    ids=["sem", "means", "no_latent", "unidentified", "covariance_only"],
)
def test_fit_results_survive_json(text: str) -> None:
    fit = fitted(text)
    again = FitResult.from_json(through_json(fit))
    assert_equal_fits(again, fit)
    assert again.to_json() == fit.to_json()


def test_verdicts_survive_json() -> None:
    for verdict in judge([claim("P1", "A -> B"), claim("P4", "C -> A")], fitted()):
        again = Verdict.from_json(through_json(verdict))
        assert again.to_json() == verdict.to_json()
        assert again.sentence == verdict.sentence
        assert math.isnan(again.estimate) == math.isnan(verdict.estimate)


def study() -> StudyResult:
    fit, smaller = fitted(), fitted(MODEL.replace("C ~ A + B", "C ~ B"))
    frame = pd.DataFrame({"name": ["a1", "a2"], "mean": [1.5, math.nan], "text": ["one", ""]})
    matrix = pd.DataFrame([[1.0, math.nan], [0.4, 1.0]], index=["A", "B"], columns=["A", "B"])
    return StudyResult(
        id="s",
        title="Größe",
        study={"alpha": 0.05, "multiplicity": "holm", "seed": None, "analyses": ["fit"]},
        propositions_source="Lima (2026)",
        fit=fit,
        verdicts=judge([claim("P1", "A -> B"), claim("P9", "A x B -> C", test="moderation")], fit),
        measurement=MeasurementResult(
            frame, frame, matrix, matrix, matrix, {"kmo": 0.8, "bartlett_chisq": 12.0}, ("w",)
        ),
        sample=SampleDescription("x.csv", 410, 400, 10, frame, (("Sector", frame),), ("note",)),
        rivals=(compare_rival("r", "Rival", "why", fit, smaller),),
        truth=frame,
        provenance={"seed": 7, "versions": {"numpy": "2"}},
        warnings=("careful",),
    )


def test_study_results_survive_json(tmp_path: Any) -> None:
    result = study()
    again = StudyResult.from_json(through_json(result))
    assert again.to_json() == result.to_json()
    assert_equal_fits(again.fit, result.fit)
    assert again.rivals[0].df_diff == 1
    pd.testing.assert_frame_equal(again.sample.items, result.sample.items)
    assert again.sample.background[0][0] == "Sector"
    assert again.measurement is not None
    assert result.measurement is not None
    pd.testing.assert_frame_equal(again.measurement.htmt, result.measurement.htmt)
    path = result.save(tmp_path / "out" / "results.json")
    assert read_study_result(path).to_json() == result.to_json()
    assert "NaN" not in path.read_text(encoding="utf-8")


def test_results_without_optional_parts_survive_json() -> None:
    result = replace(study(), measurement=None, truth=None, rivals=(), verdicts=())
    assert StudyResult.from_json(through_json(result)).to_json() == result.to_json()


def test_other_files_are_not_results(tmp_path: Any) -> None:
    path = tmp_path / "results.json"
    with pytest.raises(DataError, match="cannot read"):
        read_study_result(path)
    path.write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match="not valid JSON"):
        read_study_result(path)
    path.write_text('{"results_version": 99}', encoding="utf-8")
    with pytest.raises(DataError, match="version 99"):
        read_study_result(path)
    path.write_text("[1]", encoding="utf-8")
    with pytest.raises(DataError, match="version None"):
        read_study_result(path)
