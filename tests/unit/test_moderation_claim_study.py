"""Claims on moderation in studies: from the model file to verdict and report."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs
from b2b_sem.analysis.moderated import INTERACTIONS
from b2b_sem.analysis.moderation import LATENT, ON_SCORES
from b2b_sem.analysis.moderation_claim import default_routes, moderation_truth, settle_products
from b2b_sem.cli.app import run as command
from b2b_sem.propositions import judge
from b2b_sem.report.html import render_report
from b2b_sem.report.tables import build_tables, write_tables
from b2b_sem.report.terminal import verdict_table
from b2b_sem.results.moderation_claim import ModerationClaim
from b2b_sem.results.study import StudyResult
from b2b_sem.results.verdict import Verdict
from b2b_sem.spec.base import FitSettings
from b2b_sem.spec.study import Route

SURVEY = """\
kind: survey
schema_version: 1
id: small
title: Small survey
format: {low: 1, high: 7, missing: {9: no answer}}
scales:
  X: {name: credibility, items: {x1: one, x2: two, x3: {text: three, reverse: true}}}
  M: {name: complexity, items: {m1: one, m2: two, m3: three}}
  Y: {name: risk reduction, items: {y1: one, y2: two, y3: three}}
  Z: {name: trust, items: {z1: one, z2: two, z3: three}}
facts:
  years: {label: years, type: number}
"""
MODEL = """\
kind: model
schema_version: 1
id: small
title: Small model
survey: ./survey.yaml
measurement: {X: {scale: X}, Y: {scale: Y}, Z: {scale: Z}}
structural: |
  Y ~ X
  Z ~ Y
propositions:
  - {id: P1, statement: X makes Y., path: X -> Y, sign: "+"}
  - {id: P2, statement: Y makes Z., path: Y -> Z, sign: "+"}
  - {id: P9, statement: M matters., test: moderation, path: X x M -> Y, sign: "+", measurement: {M: {scale: M}}}
%s
"""
YEARS = '  - {id: P11, statement: Years matter., test: moderation, path: X x years -> Y, sign: "-"}'
STUDY = """\
kind: study
schema_version: 1
id: small
title: Small study
model: ./model.yaml
data: {file: answers.csv}
analyses: [fit, propositions%s]
options: {%s}
"""
SIMULATION = """\
kind: simulation
schema_version: 1
id: pop
title: Population
model: ./model.yaml
values:
  loadings: {default: 0.8}
  paths: {Y ~ X: 0.4, Z ~ Y: 0.5, Y ~ M: 0.1}
  interactions: {Y ~ X:M: 0.3}
"""


def answers(n: int = 300) -> pd.DataFrame:
    """Return answers as given; the effect of X on Y rises with M and does not depend on years."""
    rng = np.random.default_rng(5)
    x, m = rng.normal(size=(2, n))
    years = rng.normal(10, 4, size=n).round(1)
    y = 0.4 * x + 0.1 * m + 0.3 * x * m + 0.8 * rng.normal(size=n)
    z = 0.5 * y + 0.8 * rng.normal(size=n)
    columns = {
        f"{name}{k}": (4 + 1.2 * (f + 0.6 * rng.normal(size=n))).round().clip(1, 7).astype(int)
        for name, f in (("x", x), ("m", m), ("y", y), ("z", z))
        for k in (1, 2, 3)
    }
    columns["x3"] = 8 - columns["x3"]
    return pd.DataFrame({**columns, "years": years})


def run(
    folder: Path,
    analyses: str = ", moderation: []",
    options: str = "",
    more: str = "",
    data: pd.DataFrame | None = None,
) -> StudyResult:
    (folder / "survey.yaml").write_text(SURVEY, encoding="utf-8")
    (folder / "model.yaml").write_text(MODEL % more, encoding="utf-8")
    (folder / "study.yaml").write_text(STUDY % (analyses, options), encoding="utf-8")
    (answers() if data is None else data).to_csv(folder / "answers.csv", index=False)
    return bs.run_study(folder / "study.yaml")


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> StudyResult:
    return run(tmp_path_factory.mktemp("study"), ", moderation", more=YEARS)


def claim(result: StudyResult, name: str = "P9") -> ModerationClaim:
    return next(m for m in result.moderations if m.id == name)


def verdict(result: StudyResult, name: str = "P9") -> Verdict:
    return next(v for v in result.verdicts if v.id == name)


def scored(data: pd.DataFrame | None = None) -> pd.DataFrame:
    frame = answers() if data is None else data
    return frame.assign(x3=8 - frame["x3"])


# -- the verdict -------------------------------------------------------------------------------------------------------


def test_the_verdict_is_that_of_the_product(result: StudyResult) -> None:
    text = "X =~ x1 + x2 + x3\nY =~ y1 + y2 + y3\nZ =~ z1 + z2 + z3\nM =~ m1 + m2 + m3\nY ~ X + M + X:M\nZ ~ Y"
    fit = bs.fit(text, scored())
    row = fit.parameters.query("lhs == 'Y' and rhs == 'X:M'").iloc[0]
    std = fit.standardized().query("lhs == 'Y' and rhs == 'X:M'").iloc[0]
    found = verdict(result)
    assert found.verdict == "supported"
    assert (found.estimate, found.se, found.pvalue) == pytest.approx((row["est"], row["se"], row["pvalue"]), rel=1e-6)
    assert (found.std, found.std_se) == pytest.approx((std["est_std"], std["se"]), rel=1e-6)
    assert (found.path, found.sign, found.test) == ("X x M -> Y", "+", "moderation")
    assert found.sentence.startswith("The effect of credibility on risk reduction rose with complexity (beta = ")
    assert found.reason.startswith("The product is positive, as stated")
    assert claim(result).row["est"] == found.estimate


def test_the_main_fit_does_not_know_of_the_moderator(result: StudyResult, tmp_path: Path) -> None:
    without = run(tmp_path, analyses="", more=YEARS)
    assert without.fit.measures == result.fit.measures
    pd.testing.assert_frame_equal(without.fit.parameters, result.fit.parameters)
    assert [v.to_json() for v in without.verdicts[:2]] == [v.to_json() for v in result.verdicts[:2]]
    assert "M" not in result.fit.model.latents
    assert without.moderations == ()
    assert verdict(without).verdict == "not testable here"
    assert "a test of that interaction" in verdict(without).reason


def test_moderations_are_a_family_of_their_own(result: StudyResult) -> None:
    p = {v.id: v.pvalue for v in result.verdicts}
    adjusted = {v.id: v.p_adjusted for v in result.verdicts}
    for family in (("P1", "P2"), ("P9", "P11")):
        first, second = sorted(family, key=p.__getitem__)
        assert adjusted[first] == pytest.approx(2 * p[first], rel=1e-12)
        assert adjusted[second] == pytest.approx(max(p[second], 2 * p[first]), rel=1e-12)
    notes = " ".join(build_tables(result)["verdicts"].notes)
    assert "adjusted over 2 propositions; P9, P11 on moderation are a family of their own" in notes
    assert "P9, P11 on a model with the product" in notes


@pytest.mark.parametrize(
    ("sign", "alpha", "outcome", "words"),
    [
        ("+", 0.05, "supported", "rose with complexity"),
        ("-", 0.05, "contradicted", "rose with complexity"),
        ("+", 1e-12, "not supported", "did not reliably depend on complexity"),
    ],
)
def test_sign_and_significance_decide(result: StudyResult, sign: str, alpha: float, outcome: str, words: str) -> None:
    model = bs.load_model(Path(str(result.provenance["command"]).split()[2]).parent / "model.yaml")
    prop = model.proposition("P9").model_copy(update={"sign": sign})
    names = {"X": "credibility", "M": "complexity", "Y": "risk reduction"}
    (found,) = judge([prop], result.fit, moderations=result.moderations, alpha=alpha, names=names)
    assert found.verdict == outcome
    assert words in found.sentence
    assert found.p_adjusted == found.pvalue


def test_a_negative_product_falls(result: StudyResult) -> None:
    own = claim(result)
    assert own.fit is not None
    tables = {name: getattr(own.fit, name).copy() for name in ("_parameters", "_standardized")}
    for table, columns in ((tables["_parameters"], ["est", "z"]), (tables["_standardized"], ["est_std"])):
        table.loc[table["rhs"] == "X:M", columns] *= -1
    turned = replace(own, fit=replace(own.fit, **tables))
    prop = bs.load_model(Path(str(result.provenance["command"]).split()[2]).parent / "model.yaml").proposition("P9")
    (found,) = judge([prop], result.fit, moderations=[turned])
    assert found.verdict == "contradicted"
    assert "fell with M" in found.sentence
    assert "the opposite of what is stated" in found.reason


def test_no_verdict_rests_on_a_failed_fit(result: StudyResult) -> None:
    own = claim(result)
    assert own.fit is not None
    failed = replace(own, fit=replace(own.fit, converged=False))
    assert not failed.ok
    prop = bs.load_model(Path(str(result.provenance["command"]).split()[2]).parent / "model.yaml").proposition("P9")
    (found,) = judge([prop], result.fit, moderations=[failed])
    assert found.verdict == "not testable here"
    assert "No verdict rests on the fit with X:M" in found.reason
    assert math.isnan(found.p_adjusted)


def test_items_that_were_not_asked_leave_the_rest_alone(result: StudyResult, tmp_path: Path) -> None:
    found = run(tmp_path, more=YEARS, data=answers().drop(columns=["m1", "m2", "m3"]))
    assert verdict(found).verdict == "not testable here"
    assert verdict(found).reason == "The data have no m1, m2, m3: M was not asked in full."
    assert any("P9: The data have no m1" in w for w in found.warnings)
    assert verdict(found, "P1").pvalue == verdict(result, "P1").pvalue
    # alone in its family now
    assert (
        verdict(found, "P11").p_adjusted == verdict(found, "P11").pvalue == pytest.approx(verdict(result, "P11").pvalue)
    )
    assert claim(found).fit is None
    page = render_report(found)
    assert "M was not asked in full" in page


def test_a_column_that_is_not_there(result: StudyResult, tmp_path: Path) -> None:
    gone = run(tmp_path, more=YEARS, data=answers().drop(columns=["years", "m3"]))
    assert verdict(gone, "P11").reason == "The data have no column 'years'."
    assert verdict(gone).reason.startswith("The data have no m3:")


def test_an_observed_moderator(result: StudyResult) -> None:
    found = claim(result, "P11")
    assert found.added == "Y ~ years\nY ~ X:years"
    fit = bs.fit("X =~ x1 + x2 + x3\nY =~ y1 + y2 + y3\nZ =~ z1 + z2 + z3\nY ~ X\nZ ~ Y\nY ~ years + X:years", scored())
    row = fit.parameters.query("rhs == 'X:years'").iloc[0]
    assert found.row["est"] == pytest.approx(row["est"], rel=1e-5)
    assert verdict(result, "P11").verdict == "not supported"
    assert found.slopes is not None
    assert not found.slopes.surface.m.latent


# -- what goes with it -------------------------------------------------------------------------------------------------


def test_slopes_and_indirect_effects_by_hand(result: StudyResult) -> None:
    own = claim(result)
    assert own.fit is not None
    assert own.slopes is not None
    assert own.effects is not None
    table = own.fit.parameters
    b = {r["rhs"]: r["est"] for r in table[(table["op"] == "~") & (table["lhs"] == "Y")].to_dict("records")}
    z = float(table[(table["op"] == "~") & (table["lhs"] == "Z")]["est"].iloc[0])
    sd = math.sqrt(float(table[(table["op"] == "~~") & (table["lhs"] == "M") & (table["rhs"] == "M")]["est"].iloc[0]))
    slopes = own.slopes.table
    assert slopes["at"].tolist() == ["-1 SD", "mean", "+1 SD"]
    assert slopes["est"].tolist() == pytest.approx([b["X"] + k * sd * b["X:M"] for k in (-1, 0, 1)], rel=1e-6)
    index = own.effects.index
    index = index[(index["measure"] == "index") & (index["path"] == "X -> Y -> Z")]
    assert float(index["est"].iloc[0]) == pytest.approx(b["X:M"] * z, rel=1e-9)
    assert set(own.effects.table["predictor"]) == {"X"}
    text = " ".join(own.statements)
    assert f"The effect of X on Y is {b['X'] - sd * b['X:M']:.2f} at -1 SD of M" in text
    assert "Index of moderated mediation, X -> Y -> Z: " in text
    assert "Likelihood-ratio test of X:M against the model without it: chi-square(1) = " in text
    assert (
        "Johnson-Neyman (alpha = 0.05): within 3 standard deviations of the mean of M, the effect of X on Y is" in text
    )
    assert own.size is not None
    assert f"adds {100 * own.size.delta_r2:.1f} % to the explained variance of Y" in text


def test_the_same_question_by_other_routes(result: StudyResult, tmp_path: Path) -> None:
    routes = claim(result).routes
    assert routes is not None
    assert tuple(row.route for row in routes.rows) == default_routes()
    assert {"lms", "scores", "split"} <= set(default_routes()) <= set(get_args(Route)) == {*LATENT, *ON_SCORES}
    assert set(get_args(FitSettings.model_fields["interaction"].annotation)[0].__args__) == set(INTERACTIONS)
    assert routes.route("lms").est == claim(result).row["est"]
    assert routes.fits["lms"] is claim(result).fit
    found = claim(run(tmp_path, ", moderation: [scores]")).routes
    assert found is not None
    assert [row.route for row in found.rows] == ["lms", "scores"]
    assert found.agreement == "agree"


def test_settings_that_products_do_not_have() -> None:
    options, reasons = settle_products({})
    assert options == {"estimator": "ML", "missing": "listwise", "interaction": "lms"}
    assert reasons == []
    options, reasons = settle_products(
        {"estimator": "WLSMV", "ordered": True, "missing": "pairwise", "parameterization": "theta", "std_lv": True}
    )
    assert options == {"estimator": "MLR", "missing": "fiml", "interaction": "lms", "std_lv": True}
    assert "Ordered items were taken as numbers" in reasons[0]
    assert "missing='pairwise'" in reasons[1]
    options, reasons = settle_products(
        {"estimator": "MLM", "se": "robust", "test": "satorra.bentler", "ordered": False}
    )
    assert options["estimator"] == "MLR"
    assert "MLM is not available for that" in reasons[0]
    assert "without the settings se, test" in reasons[1]
    assert settle_products({"missing": "mi", "seed": 1, "imputations": 5})[0]["missing"] == "fiml"
    assert settle_products({"interaction": "qml", "cluster": "firm"})[0] == {
        "estimator": "ML",
        "missing": "listwise",
        "interaction": "qml",
        "cluster": "firm",
    }


def test_replaced_settings_are_said(tmp_path: Path) -> None:
    found = run(tmp_path, options="estimator: WLSMV, ordered: true")
    own = claim(found)
    assert own.routes is None
    assert own.fit is not None
    assert own.fit.estimator == "MLR"
    assert any("P9: Ordered items were taken as numbers" in w for w in found.warnings)
    assert not any("Likelihood-ratio" in s for s in own.statements)  # unscaled, it is for normal answers


def test_a_way_that_cannot_be_taken_is_a_reason(tmp_path: Path) -> None:
    found = run(tmp_path, options="estimator: ML, kind: growth")
    assert verdict(found).verdict == "not testable here"
    assert "The model with X:M was not fitted: kind='growth' is not available" in verdict(found).reason


# -- results and report ------------------------------------------------------------------------------------------------


def test_results_survive_json(result: StudyResult, tmp_path: Path) -> None:
    result.save(tmp_path / "r.json")
    text = (tmp_path / "r.json").read_text(encoding="utf-8")
    assert "NaN" not in text
    assert "Infinity" not in text
    again = bs.read_study_result(tmp_path / "r.json")
    assert again.to_json() == result.to_json()
    own = claim(again)
    assert own.row == pytest.approx(dict(claim(result).row))
    assert own.linear is not None
    assert own.region is not None
    data = json.loads(text)
    effect = data["moderations"][0]["effect"]
    assert effect["est"] == claim(result).row["est"]
    for name in ("moderations", "moderation_truth"):
        del data[name]
    assert StudyResult.from_json(data).moderations == ()


def test_report_and_tables(result: StudyResult, tmp_path: Path) -> None:
    page = render_report(result)
    assert '<section id="moderation">' in page
    assert "P9: X × M → Y" in page
    assert "P11: X × years → Y" in page
    own = claim(result)
    assert own.linear is not None
    text = "X =~ x1 + x2 + x3\nY =~ y1 + y2 + y3\nZ =~ z1 + z2 + z3\nM =~ m1 + m2 + m3\nY ~ X + M\nZ ~ Y"
    linear = bs.fit(text, scored())
    assert own.linear.measures["chisq"] == pytest.approx(linear.measures["chisq"], rel=1e-8)
    assert f"The same model without the product fits so: χ²({linear.measures['df']:.0f}, N = 300)" in page
    for name in ("equation", "slopes", "regions", "index", "effects", "routes"):
        assert f'id="table-moderation_P9_{name}"' in page
    tables = build_tables(result)
    rows = {r[0]: r for r in tables["moderation_P9_equation"].rows}
    assert rows["X:M -> Y"][1] == claim(result).row["est"]
    assert rows["X:M -> Y"][6] == claim(result).row["std"]
    written = {p.name for p in write_tables(result, tmp_path / "t")}
    assert {"moderation_P9_slopes.csv", "moderation_P11_routes.csv"} <= written
    slopes = pd.read_csv(tmp_path / "t" / "moderation_P9_slopes.csv")
    assert own.slopes is not None
    assert slopes["est"].tolist() == pytest.approx(own.slopes.table["est"].tolist(), rel=1e-12)
    assert "X x M -> Y" in verdict_table(result)
    assert render_report(result) == page


def test_a_failed_fit_is_shown_as_such(result: StudyResult) -> None:
    own = claim(result)
    assert own.fit is not None
    failed = replace(own, fit=replace(own.fit, converged=False))
    shown = replace(result, moderations=(failed,))
    assert "No verdict rests on this fit" in render_report(shown)
    assert "moderation_P9_equation" not in build_tables(shown)


def test_the_command_prints_the_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path, analyses="")
    study = tmp_path / "study.yaml"
    study.write_text(study.read_text(encoding="utf-8").replace("propositions]", "propositions, moderation: []]"))
    capsys.readouterr()
    assert command(["run", str(tmp_path / "study.yaml"), "--out", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr()
    line = next(x for x in shown.out.splitlines() if x.startswith("P9"))
    assert line.endswith("supported")
    assert "testing the moderation P9" in shown.err
    assert (tmp_path / "out" / "tables" / "moderation_P9_equation.csv").exists()


# -- simulated respondents ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> StudyResult:
    folder = tmp_path_factory.mktemp("simulated")
    (folder / "survey.yaml").write_text(SURVEY, encoding="utf-8")
    (folder / "model.yaml").write_text(MODEL % "", encoding="utf-8")
    (folder / "pop.yaml").write_text(SIMULATION, encoding="utf-8")
    text = (STUDY % (", moderation: []", "")).replace("{file: answers.csv}", "{simulate: ./pop.yaml, n: 1500, seed: 2}")
    (folder / "study.yaml").write_text(text, encoding="utf-8")
    return bs.run_study(folder / "study.yaml")


def test_the_truth_stands_beside_the_estimates(simulated: StudyResult) -> None:
    table = simulated.moderation_truth
    assert table is not None
    assert dict(zip(table["rhs"], table["truth"], strict=True)) == {"X": 0.4, "M": 0.1, "X:M": 0.3}
    se = (table["ci_upper"] - table["ci_lower"]) / (2 * 1.959964)
    assert (np.abs(table["est_std"] - table["truth"]) < 4 * se).all()
    assert simulated.truth is not None
    main = simulated.truth[simulated.truth["op"] == "~"]
    assert set(main["rhs"]) == {"X", "Y"}
    # what the main model without M and the product has as residual of Y is another variance
    assert not ((simulated.truth["lhs"] == "Y") & (simulated.truth["rhs"] == "Y")).any()
    page = render_report(simulated)
    assert 'id="table-moderation_truth"' in page


def test_a_wrong_truth_is_not_covered(simulated: StudyResult) -> None:
    own = claim(simulated)
    known = pd.DataFrame({"lhs": "Y", "op": "~", "rhs": ["X", "M", "M:X"], "expected": [0.4, 0.1, 0.3]})
    assert moderation_truth(known, own)["covered"].any()
    wrong = known.assign(expected=known["expected"] + 0.3)
    assert not moderation_truth(wrong, own)["covered"].any()
    # an equation with more terms than the model is another one
    more = pd.concat([known, pd.DataFrame([{"lhs": "Y", "op": "~", "rhs": "years", "expected": 0.2}])])
    assert moderation_truth(more, own).empty


def test_the_demo_asks_for_its_moderation() -> None:
    spec: Any = bs.load_study("demo")
    assert "moderation" in spec.steps
    assert spec.routes is None
    assert spec.model_spec.moderated("P9").product == "PC:PX"


def test_how_products_are_estimated_does_not_concern_the_main_model(tmp_path: Path) -> None:
    found = run(tmp_path, options="estimator: WLSMV, ordered: true, interaction: dmc")
    assert found.fit.estimator == "WLSMV"
    own = claim(found)
    assert own.interaction == "dmc"
    assert own.fit is not None
    assert own.fit.model.options["interaction"] == "dmc"
    assert verdict(found).verdict == "supported"


def test_a_poor_fit_of_the_model_without_the_product_is_said(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    apart = 1.4 * rng.normal(size=300)  # an item of M and one of X have something in common
    data = answers()
    for item in ("m2", "x2"):
        data[item] = (data[item] + apart).round().clip(1, 7).astype(int)
    found = run(tmp_path, data=data)
    assert any(w.startswith("P9, the same without the product: The model fits poorly") for w in found.warnings)
